"""Training Mimi: to sound like the original, in few bits, with a first codebook that knows what is said.

The losses of a batch of short crops:

    mel           the mel spectrograms of original and output should agree, at five resolutions
    envelope      each band of the output should get louder and softer with the original's
    wave          L1 between the samples
    adversarial   the discriminator should take the output for an original
    features      the discriminator's layers should see the same in both
    commitment    the encoder stays near the codebook entries
    distillation  the quantized semantic latent, seen through a linear projection, points where the teacher points

The first five are about the sound, and the balancer weighs them against each other. Kyutai compared a training with
reconstruction losses to one without; listeners liked the second far better, and measures of fidelity the first
(sections 3.3.1 and 5.2, Table 4). A small model on a small machine learns less without `mel`, and is understood
better with `envelope`, which is not in the paper.

Besides: the quantizer is left out for half of the sequences, so that the decoder learns from clean latents too; a
random number of codebooks is used (quantizer dropout), so that a few of them are worth something without the others;
and what is kept of the weights is their running mean.

Shapes: B batch, T samples, F frames.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import weight_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..corpus.augment import add_noise, change_level, telephone
from ..corpus.utterances import Utterance
from ..corpus.voices import Phone
from ..mimi import Mimi
from ..seanet import StreamingConv1d, StreamingConvTranspose1d
from .balancer import Balancer
from .codebooks import quantize_plain, quantize_split
from .discriminator import (
    DiscriminatorConfig,
    MultiScaleSTFTDiscriminator,
    adversarial,
    feature_matching,
    hinge_fake,
    hinge_real,
)
from .distillation import PhoneTeacher, Teacher, distillation
from .distribution import share
from .envelope_loss import EnvelopeLoss
from .mel_loss import MelLoss


@dataclass(frozen=True)
class CodecRecipe:
    batch_size: int = 8
    frames: int = 12  # 0.96 s: longer than the context of the tiny Mimi's Transformers
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 5e-2  # of the Transformers alone
    unquantized_steps: int = 300  # the autoencoder learns first, then the codebooks start from k-means
    skipped: float = 0.5  # share of the sequences that are not quantized after that, either
    commitment: float = 0.02
    distillation: float = 1.0  # 0: without a teacher
    # Weights of the losses of the sound, for the balancer; 0 leaves one out.
    mel: float = 1.0
    envelope: float = 0.5
    wave: float = 0.1
    adversarial: float = 0.0
    features: float = 0.0
    judge_alone: int = 0  # first steps, in which only the discriminator learns: an untaught one would do harm
    discriminator: DiscriminatorConfig = DiscriminatorConfig(filters=8, windows=(1024, 512, 256))


BALANCED = ("mel", "envelope", "wave", "adversarial", "features")
FEWER = 0.25  # share of the decoder's own steps in which it hears a random number of codebooks, and not all of them
AVERAGE = 0.99  # decay of the running mean of Mimi's weights, which is what is kept of them


@dataclass(frozen=True)
class Source:
    """Utterances, how often a crop comes from them, and whether some of the crops are made less clean."""

    utterances: Sequence[Utterance]
    weight: float
    augmented: bool


@dataclass(frozen=True)
class Crop:
    """A piece of an utterance. wav, clean: (T,), with and without augmentation; the phones' times begin with it."""

    wav: Tensor
    clean: Tensor
    phones: tuple[Phone, ...]


def convolutions(*seanets: nn.Module) -> list[nn.Module]:
    """The layers whose weights have a norm of their own while they learn."""
    layers = [layer for seanet in seanets for layer in seanet.modules()]
    return [layer for layer in layers if isinstance(layer, StreamingConv1d | StreamingConvTranspose1d)]


def folded(mimi: Mimi) -> Mimi:
    """A copy on the CPU in which direction and norm of each weight are one weight again, as Mimi is used and stored."""
    plain = Mimi(mimi.config)
    weights = {name: w for name, w in mimi.state_dict().items() if ".parametrizations." not in name}
    names = {layer: name for name, layer in mimi.named_modules()}
    weights |= {f"{names[layer]}.weight": layer.weight.detach() for layer in convolutions(mimi.encoder, mimi.decoder)}
    plain.load_state_dict(weights)
    return plain


class CodecTask:
    """What `training.loop.train` needs to train a Mimi.

    Codec and discriminator learn in one step, from one sum of losses: where the codec is judged, the discriminator's
    weights are constants, and where the discriminator learns, the codec's output is one.
    """

    learning = ("encoder", "decoder")  # which SEANets

    def __init__(self, mimi: Mimi, sources: Sequence[Source], recipe: CodecRecipe, device: torch.device,
                 teacher: Teacher | None = None):
        self.mimi, self.sources, self.recipe, self.device = folded(mimi), sources, recipe, device
        self.teacher = PhoneTeacher() if teacher is None else teacher
        for layer in convolutions(*(getattr(self.mimi, part) for part in self.learning)):
            weight_norm(layer)
        self.projection = nn.Linear(mimi.config.seanet.dim, self.teacher.width)
        self.discriminator = MultiScaleSTFTDiscriminator(recipe.discriminator)
        self.balancer = Balancer({name: getattr(recipe, name) for name in BALANCED if getattr(recipe, name)})
        self.average = AveragedModel(self.mimi, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE))
        self.modules = nn.ModuleDict({
            "mimi": self.mimi, "projection": self.projection, "discriminator": self.discriminator,
            "balancer": self.balancer, "average": self.average,
        }).to(device).train()  # fmt: skip
        self.mel = MelLoss(mimi.config.sample_rate).to(device)
        self.envelope = EnvelopeLoss(mimi.config.sample_rate).to(device)
        transformers = [*self.mimi.encoder_transformer.parameters(), *self.mimi.decoder_transformer.parameters()]
        inside = {id(parameter) for parameter in transformers}
        others = [p for p in [*self.mimi.parameters(), *self.projection.parameters()] if id(p) not in inside]
        self.optimizer = torch.optim.AdamW(
            [{"params": transformers, "weight_decay": recipe.weight_decay}, {"params": others},
             {"params": list(self.discriminator.parameters())}],
            lr=recipe.learning_rate, betas=recipe.betas, weight_decay=0.0,
        )  # fmt: skip

    def trained(self) -> Mimi:
        """The Mimi that the training has made so far: the running mean of the weights."""
        return folded(self.average.module).eval()

    def crop(self, rng: random.Random) -> Crop:
        """A piece of an utterance with silence around it."""
        config = self.mimi.config
        source = rng.choices(self.sources, [s.weight for s in self.sources])[0]
        utterance = source.utterances[rng.randrange(len(source.utterances))]
        length = self.recipe.frames * config.frame_size
        before = config.frame_size * 8
        whole = F.pad(utterance.wav, (before, length))  # silence on both sides
        start = rng.randrange(before // 2, max(before, before + len(utterance.wav) - length // 2))
        shift = (before - start) / config.sample_rate
        phones = tuple(Phone(p.symbol, p.start + shift, p.end + shift) for p in utterance.phones)
        wav = clean = whole[start : start + length]
        if source.augmented:
            wav = add_noise(change_level(telephone(wav, rng), rng), rng)
        return Crop(wav, clean, phones)

    def batch(self, rng: random.Random) -> tuple[Tensor, Tensor]:
        """This process's rows of a batch of random crops: sound (B, 1, T), what the teacher says (B, F, E)."""
        seeds = [rng.getrandbits(60) for _ in range(self.recipe.batch_size)]
        crops = [self.crop(random.Random(seed)) for seed in seeds[share(len(seeds))]]
        wav, clean = (torch.stack([getattr(c, name) for c in crops]).to(self.device) for name in ("wav", "clean"))
        return wav[:, None], self.teacher(clean, [c.phones for c in crops])

    def losses(self, step: int, rng: random.Random) -> dict[str, Tensor]:
        """The losses of one batch; see `training.loop.Task`."""
        self.remember(step)
        recipe, (wav, wanted) = self.recipe, self.batch(rng)
        latent = self.mimi.encode_latent(wav)  # (B, D, F)
        used, skipped = self.chances()
        if step < recipe.unquantized_steps:
            quantized, semantic, commitment = latent, latent, latent.new_zeros(())
        else:
            quantizing = quantize_split if self.mimi.config.split else quantize_plain
            quantized, semantic, commitment, _ = quantizing(self.mimi.quantizer, latent, used)
            quantized = torch.where(skipped[:, None, None], latent, quantized)
        output = self.mimi.decode_latent(quantized)
        losses = {
            "commitment": commitment,
            "distillation": distillation(self.projection(semantic.transpose(1, 2)), wanted),
            **self.sound_losses(output, wav),
        }
        aside = recipe.commitment * commitment + recipe.distillation * losses["distillation"]
        losses["loss"] = aside + self.total(step, losses, output)
        return losses

    def total(self, step: int, losses: dict[str, Tensor], output: Tensor) -> Tensor:
        """What is minimised for the sake of the sound: the codec's losses, balanced, and the discriminator's."""
        if step < self.recipe.judge_alone:
            return losses["discriminator"]
        return self.balancer(losses, output) + losses.get("discriminator", 0.0)

    def remember(self, step: int) -> None:
        """Take the weights that the last step has made into the running mean."""
        if step > 0:
            self.average.update_parameters(self.mimi)

    def chances(self) -> tuple[Tensor, Tensor]:
        """For this process's rows: how many codebooks are used (B,), half of the time all of them; and whether the
        quantizer is left out (B,)."""
        rows, count = self.recipe.batch_size, self.mimi.config.codebooks
        used = torch.where(torch.rand(rows) < 0.5, torch.randint(1, count + 1, (rows,)), count)
        skipped = torch.rand(rows) < self.recipe.skipped
        mine = share(rows)
        return used[mine].to(self.device), skipped[mine].to(self.device)

    def sound_losses(self, output: Tensor, wav: Tensor) -> dict[str, Tensor]:
        """How far the output (B, 1, T) is from the original, in the ears of the losses that the recipe uses; and
        how well the discriminator tells them apart."""
        pair = output[:, 0], wav[:, 0]
        losses = {"mel": self.mel(*pair), "envelope": self.envelope(*pair), "wave": F.l1_loss(output, wav)}
        if self.recipe.adversarial or self.recipe.features:
            constants = {name: p.detach() for name, p in self.discriminator.named_parameters()}
            judged, real = functional_call(self.discriminator, constants, (output,)), self.discriminator(wav)
            losses["adversarial"], losses["features"] = adversarial(judged), feature_matching(judged, real)
            losses["discriminator"] = hinge_real(real) + hinge_fake(self.discriminator(output.detach()))
        return losses


class DecoderTask(CodecTask):
    """A last stage, in which only what comes after the quantizer goes on learning.

    The codes stay what they are. So a language model can be trained on them at the same time, and the voice
    that will speak its answers gets better meanwhile.
    """

    learning = ("decoder",)

    def losses(self, step: int, rng: random.Random) -> dict[str, Tensor]:
        """The losses of one batch; see `training.loop.Task`."""
        self.remember(step)
        wav, _ = self.batch(rng)
        most = self.mimi.config.codebooks
        count = int(torch.randint(1, most + 1, ())) if torch.rand(()) < FEWER else most
        with torch.no_grad():
            quantized = self.mimi.quantizer.decode(self.mimi.encode(wav, codebooks=count))
        output = self.mimi.decode_latent(quantized)
        losses = self.sound_losses(output, wav)
        losses["loss"] = self.total(step, losses, output)
        return losses
