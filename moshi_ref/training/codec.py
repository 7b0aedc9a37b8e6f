"""Training Mimi: reconstruction, codebooks, and a semantic codebook that knows the phonemes.

The loss of a batch of short crops is a weighted sum of

    mel         L1 between log-mel spectrograms of original and output, at three resolutions
    wave        L1 between the samples
    commitment  the encoder stays near the codebook entries
    phones      cross-entropy of the phoneme, read linearly off the quantized semantic latent

The last is our offline stand-in for the paper's distillation of WavLM into the first codebook (section
3.3.3): the synthesizer knows which phoneme sounds when, so codebook 0 can be taught what is being said.
The paper's adversarial losses are not used here.

Shapes: B batch, T samples, F frames.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..corpus.augment import add_noise, change_level, telephone
from ..corpus.utterances import PHONES, Utterance, phone_frames
from ..mimi import Mimi
from .balancer import Balancer
from .codebooks import quantize_split
from .discriminator import (
    DiscriminatorConfig,
    MultiScaleSTFTDiscriminator,
    adversarial,
    feature_matching,
    hinge_fake,
    hinge_real,
)

LISTEN = 1  # half frames by which the phoneme targets lag the sound: time to recognise a phoneme


@dataclass(frozen=True)
class CodecRecipe:
    batch_size: int = 8
    frames: int = 12  # 0.96 s: longer than the context of Mimi's Transformers
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.8, 0.99)
    unquantized_steps: int = 300  # the autoencoder learns first, then the codebooks start from k-means
    skipped: float = 0.5  # share of the sequences that are not quantized after that, either
    commitment: float = 0.25
    phones: float = 0.4
    # Weights of the losses of the sound, for the balancer; 0 leaves one out. Kyutai's released model was trained
    # without the first two.
    mel: float = 1.0
    wave: float = 1.0
    adversarial: float = 0.0
    features: float = 0.0
    discriminator: DiscriminatorConfig = DiscriminatorConfig(filters=8, windows=(1024, 512, 256))


BALANCED = ("mel", "wave", "adversarial", "features")
AVERAGE = 0.99  # decay of the running mean of Mimi's weights, which is what is kept of them


class MelLoss(nn.Module):
    """L1 distance between log-mel spectrograms at window lengths 512, 1024 and 2048."""

    FLOOR = 1.5e-3  # noise at -70 dBFS: quieter than a quiet room, louder than rounding to 16 bits

    def __init__(self, sample_rate: int):
        super().__init__()
        self.scales = nn.ModuleList(
            torchaudio.transforms.MelSpectrogram(
                sample_rate, n_fft=size, hop_length=size // 4, n_mels=mels, power=1.0, normalized="window"
            )
            for size, mels in ((512, 40), (1024, 64), (2048, 80))
        )

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Two sounds (B, T) -> scalar."""
        return sum(
            F.l1_loss(scale(output).clamp(min=self.FLOOR).log(), scale(target).clamp(min=self.FLOOR).log())
            for scale in self.scales
        ) / len(self.scales)


@dataclass(frozen=True)
class Source:
    """Utterances, how often a crop comes from them, and whether some of the crops are made less clean."""

    utterances: Sequence[Utterance]
    weight: float
    augmented: bool


class CodecTask:
    """What `training.loop.train` needs to train a Mimi.

    Codec and discriminator learn in one step, from one sum of losses: where the codec is judged, the discriminator's
    weights are constants, and where the discriminator learns, the codec's output is one.
    """

    def __init__(self, mimi: Mimi, sources: Sequence[Source], recipe: CodecRecipe, device: torch.device):
        self.mimi, self.sources, self.recipe, self.device = mimi, sources, recipe, device
        # Two phonemes a frame, one for each half of its 80 ms.
        self.phone_head = nn.Linear(mimi.config.seanet.dim, 2 * len(PHONES))
        self.discriminator = MultiScaleSTFTDiscriminator(recipe.discriminator)
        self.balancer = Balancer({name: getattr(recipe, name) for name in BALANCED if getattr(recipe, name)})
        self.average = AveragedModel(mimi, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE), use_buffers=True)
        self.modules = nn.ModuleDict({
            "mimi": mimi, "phone_head": self.phone_head, "discriminator": self.discriminator,
            "balancer": self.balancer, "average": self.average,
        }).to(device).train()  # fmt: skip
        self.mel = MelLoss(mimi.config.sample_rate).to(device)
        transformers = [*mimi.encoder_transformer.parameters(), *mimi.decoder_transformer.parameters()]
        inside = {id(parameter) for parameter in transformers}
        learnt = [*mimi.parameters(), *self.phone_head.parameters(), *self.discriminator.parameters()]
        others = [parameter for parameter in learnt if id(parameter) not in inside]
        self.optimizer = torch.optim.AdamW(
            [{"params": transformers, "weight_decay": 5e-2}, {"params": others, "weight_decay": 0.0}],
            lr=recipe.learning_rate, betas=recipe.betas,
        )  # fmt: skip

    def crop(self, rng: random.Random) -> tuple[Tensor, Tensor]:
        """A piece of an utterance with silence around it: sound (T,), phonemes (2 * F,)."""
        config = self.mimi.config
        source = rng.choices(self.sources, [s.weight for s in self.sources])[0]
        utterance = source.utterances[rng.randrange(len(source.utterances))]
        length = self.recipe.frames * config.frame_size
        before = config.frame_size * 8
        whole = F.pad(utterance.wav, (before, length))  # silence on both sides
        start = rng.randrange(before // 2, max(before, before + len(utterance.wav) - length // 2))
        half = 2 * config.frame_rate
        shift = (before - start) / config.sample_rate + LISTEN / half
        phones = [type(p)(p.symbol, p.start + shift, p.end + shift) for p in utterance.phones]
        wav = whole[start : start + length]
        if source.augmented:
            wav = add_noise(change_level(telephone(wav, rng), rng), rng)
        return wav, phone_frames(phones, 2 * self.recipe.frames, half)

    def batch(self, rng: random.Random) -> tuple[Tensor, Tensor]:
        """Random crops: sound (B, 1, T), phonemes (B, 2 * F)."""
        wav, phones = zip(*(self.crop(rng) for _ in range(self.recipe.batch_size)), strict=True)
        return torch.stack(wav)[:, None].to(self.device), torch.stack(phones).to(self.device)

    def losses(self, step: int, rng: random.Random) -> dict[str, Tensor]:
        """The losses of one batch; see `training.loop.Task`."""
        if step > 0:
            self.average.update_parameters(self.mimi)  # with the weights that the last step has made
        recipe, (wav, phones) = self.recipe, self.batch(rng)
        latent = self.mimi.encode_latent(wav)  # (B, D, F)
        if step < recipe.unquantized_steps:
            quantized, semantic, commitment = latent, latent, latent.new_zeros(())
        else:
            quantized, semantic, commitment, _ = quantize_split(self.mimi.quantizer, latent, self._dropout(len(wav)))
            skipped = torch.rand(len(wav), 1, 1, device=self.device) < recipe.skipped
            quantized = torch.where(skipped, latent, quantized)
        output = self.mimi.decode_latent(quantized)
        logits = self.phone_head(semantic.transpose(1, 2)).unflatten(-1, (2, -1)).flatten(1, 2)  # (B, 2F, P)
        losses = {
            "commitment": commitment,
            "phones": F.cross_entropy(logits.flatten(0, 1), phones.flatten()),
            **self.sound_losses(output, wav),
        }
        aside = recipe.commitment * commitment + recipe.phones * losses["phones"]
        losses["loss"] = aside + self.balancer(losses, output) + losses.get("discriminator", 0.0)
        losses["phone_accuracy"] = (logits.argmax(-1) == phones).float().mean()
        return losses

    def sound_losses(self, output: Tensor, wav: Tensor) -> dict[str, Tensor]:
        """How far the output (B, 1, T) is from the original, in the ears of the losses that the recipe uses; and
        how well the discriminator tells them apart."""
        losses = {"mel": self.mel(output[:, 0], wav[:, 0]), "wave": F.l1_loss(output, wav)}
        if self.recipe.adversarial or self.recipe.features:
            constants = {name: p.detach() for name, p in self.discriminator.named_parameters()}
            judged, real = functional_call(self.discriminator, constants, (output,)), self.discriminator(wav)
            losses["adversarial"], losses["features"] = adversarial(judged), feature_matching(judged, real)
            losses["discriminator"] = hinge_real(real) + hinge_fake(self.discriminator(output.detach()))
        return losses

    def _dropout(self, rows: int) -> Tensor:
        """Quantizer dropout: half of the rows use all codebooks, the others 1 to all of them, (B,)."""
        count = self.mimi.config.codebooks
        some = torch.randint(1, count + 1, (rows,))
        return torch.where(torch.rand(rows) < 0.5, some, torch.tensor(count)).to(self.device)


class DecoderTask(CodecTask):
    """A second stage, in which only what comes after the quantizer goes on learning.

    The codes stay what they are. So a language model can be trained on them at the same time, and the voice
    that will speak its answers gets better meanwhile.
    """

    def losses(self, step: int, rng: random.Random) -> dict[str, Tensor]:
        """The losses of one batch; see `training.loop.Task`."""
        if step > 0:
            self.average.update_parameters(self.mimi)
        wav, _ = self.batch(rng)
        with torch.no_grad():
            quantized = self.mimi.quantizer.decode(self.mimi.encode(wav))
        output = self.mimi.decode_latent(quantized)
        losses = self.sound_losses(output, wav)
        losses["loss"] = self.balancer(losses, output) + losses.get("discriminator", 0.0)
        return losses
