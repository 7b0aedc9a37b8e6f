"""Training Moshi on dialogues: text, semantic and acoustic tokens of both speakers (Moshi paper, section 4).

The loss of a batch is

    text    cross-entropy of Moshi's text, PAD and EPAD counted half, because most frames hold them
    audio   cross-entropy of Moshi's codes, a semantic one counted as much as 100 acoustic ones
    heard   cross-entropy of the *user's* words, a moment after they were spoken, by a head that is thrown
            away after training

The last one is ours. In the paper the model learns to hear from millions of hours of single-stream speech
with transcripts; here there are hours, and without this hint the answers come long before the hearing.

The model is shown a past that is not quite as it was. In half of the dialogues some of Moshi's audio tokens
are replaced: otherwise it recognises which of the few renderings of an answer it is in the middle of, and
reads the answer off its own voice, which in a live conversation does not know the answer yet. Some of its
text is hidden (the paper hides 30 % in pre-training). And the user is misheard now and then, or known by the
semantic codes alone: otherwise the model learns by heart how the few voices of the training set sound.

Shapes: B batch, K streams, Q codebooks, F frames, V entries.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..corpus.dialogues import Dialogue
from ..helium import Helium
from ..moshi import Moshi, MoshiOutput
from ..rq_transformer import ZERO
from ..tokenizer import PAD
from ..transformer import Linear
from .distribution import divide, mean, share
from .text import decayed


@dataclass(frozen=True)
class LanguageRecipe:
    batch_size: int = 8
    learning_rate: float = 1e-3
    padding_weight: float = 0.5
    semantic_weight: float = 100.0
    audio_weight: float = 1.0  # of the loss of audio, beside that of text
    heard: float = 1.0  # and of the loss of the user's words
    forgotten: float = 0.3  # the largest share of Moshi's past text tokens that is hidden
    replaced: float = 0.4  # the largest share of Moshi's past audio tokens that is replaced
    misheard: float = 0.3  # the largest share of the user's past tokens that is replaced
    muffled: float = 0.3  # the share of dialogues in which only the semantic codes of the user are shown
    sounded: float = 1.0  # the share of the frames whose audio is learnt; see `stages.py`


def weighted_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Mean of the cross-entropy of logits (..., V) against targets (...), weighted by weights (...); 0 where nothing
    has a weight. With several processes, the mean of what they return is the mean over all of their rows."""
    losses = F.cross_entropy(logits.float().flatten(0, -2), targets.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / mean(weights.sum()).clamp(min=1e-9)


def text_loss(logits: Tensor, targets: Tensor, mask: Tensor, padding_weight: float) -> Tensor:
    """Of logits (B, F, V) against targets (B, F), where mask (B, F); PAD and EPAD count `padding_weight`."""
    weights = torch.where(targets <= PAD, padding_weight, 1.0) * mask
    return weighted_cross_entropy(logits, targets.clamp(min=0), weights)


def audio_loss(logits: Tensor, targets: Tensor, mask: Tensor, semantic_weight: float) -> Tensor:
    """Of logits (B, Q, F, V) against targets (B, Q, F), where mask (B, Q, F); codebook 0 is the semantic one."""
    weights = mask.float()
    weights[:, 0] *= semantic_weight
    logits = torch.where(mask[..., None], logits, 0.0)  # what a delay pushed out is NaN
    return weighted_cross_entropy(logits, targets.clamp(min=0), weights)


def dialogue_losses(out: MoshiOutput, hearing: Tensor, codes: Tensor, heard: Tensor,
                    recipe: LanguageRecipe) -> dict[str, Tensor]:
    """The losses of dialogues codes (B, K, F) whose users say heard (B, F), from what the model and the hearing head
    (B, F, V_text) made of them. Where the user's codes are predicted too, they count as much as Moshi's."""
    own = (codes.shape[1] - 1) // 2  # codebooks of a speaker
    spoken = codes[:, 1 : 1 + out.audio_logits.shape[1], out.sounded]  # (B, Q, F), where Q is `own` or twice that
    audio = (x.unflatten(1, (-1, own)).flatten(0, 1) for x in (out.audio_logits, spoken, out.audio_mask))
    losses = {
        "text": text_loss(out.text_logits, codes[:, 0], out.text_mask, recipe.padding_weight),
        "audio": audio_loss(*audio, recipe.semantic_weight),  # a row for each speaker
        "heard": text_loss(hearing, heard, torch.ones_like(heard, dtype=torch.bool), recipe.padding_weight),
    }
    losses["loss"] = losses["text"] + recipe.audio_weight * losses["audio"] + recipe.heard * losses["heard"]
    words = out.text_mask & (codes[:, 0] > PAD)
    right = (out.text_logits.argmax(-1) == codes[:, 0]) & words
    losses["words_right"] = right.sum() / mean(words.sum().float()).clamp(min=1)
    return losses


def disturb(codes: Tensor, recipe: LanguageRecipe) -> Tensor:
    """Disturb the past in codes (B, K, F). Each of the three kinds of stream is left alone in half of the rows;
    in the others a random share of its tokens, up to the recipe's, becomes nothing (text) or a token of
    another dialogue (audio). Besides, in some rows all acoustic codes of the user become nothing."""
    batch, streams, frames = codes.shape
    own = (streams - 1) // 2  # codebooks of a speaker
    most = torch.tensor([recipe.forgotten, recipe.replaced, recipe.misheard])[:, None]  # (3, 1)
    share = torch.rand(batch, 3, 1) * most * (torch.rand(batch, 3, 1) < 0.5)
    chosen = torch.rand(batch, streams, frames) < share.repeat_interleave(torch.tensor([1, own, own]), dim=1)
    other = codes.roll(1, dims=0)[..., torch.randperm(frames)]
    other[:, 0] = ZERO
    shown = torch.where(chosen & (codes != ZERO), other, codes)  # where there was nothing, there is nothing
    shown[torch.rand(batch) < recipe.muffled, 2 + own :] = ZERO
    return shown


@torch.no_grad()
def start_from_helium(moshi: Moshi, helium: Helium) -> None:
    """Make the Temporal Transformer of `moshi`, its text embedding and its text head those of `helium`.

    Raises ValueError if the two differ in size or vocabulary.
    """
    model, text = moshi.model, helium.config
    ours, theirs = (replace(c, context=0) for c in (moshi.config.model.temporal, text.transformer))
    if ours != theirs or moshi.config.model.text_vocabulary != text.vocabulary:
        raise ValueError(f"this Helium does not fit: expected {ours} and {moshi.config.model.text_vocabulary} tokens, "
                         f"got {theirs} and {text.vocabulary}")  # fmt: skip
    model.temporal.load_state_dict(helium.transformer.state_dict())
    model.norm.load_state_dict(helium.norm.state_dict())
    model.text_head.weight.copy_(helium.head.weight)
    model.text_embedding.weight[:-1] = helium.embedding.weight  # the last one is the initial token's


class LanguageTask:
    """What `training.loop.train` needs to train a Moshi. `draw` gives a random dialogue."""

    def __init__(self, moshi: Moshi, draw: Callable[[random.Random], Dialogue], recipe: LanguageRecipe,
                 device: torch.device):
        self.moshi, self.draw, self.recipe, self.device = moshi, draw, recipe, device
        config = moshi.config.model
        self.hearing_head = Linear(config.temporal.dim, config.text_vocabulary)
        modules = nn.ModuleDict({"moshi": moshi, "hearing_head": self.hearing_head})
        self.modules = modules.to(device).train()
        divide(moshi, [*moshi.model.temporal.layers, *moshi.model.depth.layers])
        divide(self.hearing_head, [])
        self.optimizer = torch.optim.AdamW(
            decayed(modules), lr=recipe.learning_rate, betas=(0.9, 0.95), fused=device.type != "mps"
        )

    def losses(self, step: int, rng: random.Random) -> dict[str, Tensor]:
        """The losses of one batch; see `training.loop.Task`."""
        dialogues = [self.draw(rng) for _ in range(self.recipe.batch_size)]
        mine, whole_batch = share(len(dialogues)), torch.stack([d.codes for d in dialogues])  # (B, K, F)
        codes, shown = (each[mine].to(self.device) for each in (whole_batch, self.disturb(whole_batch)))
        heard = torch.stack([d.user_text for d in dialogues[mine]]).to(self.device)  # (B, F)
        out = self.moshi(codes, shown)
        return dialogue_losses(out, self.hearing_head(out.hidden), codes, heard, self.recipe)

    def disturb(self, codes: Tensor) -> Tensor:
        """Disturb the past in codes (B, K, F) as the recipe says."""
        return disturb(codes, self.recipe)
