"""One stage of Moshi's training: dialogues, and text alone in between (Moshi paper, section 4 and Table 1).

    a step on dialogues    all weights learn, each part at its own rate; see `language.py` for the losses
    a step on text         the Temporal Transformer, the text embedding and the text head learn; see `text_only.py`

The parts have rates of their own because they do not start alike: the Temporal Transformer comes from Helium and is
only to be bent, the Depth Transformer starts from nothing. Where a stage has steps on text, the text embedding and the
text head learn more slowly from dialogues, by 0.75: text teaches them better.

Shapes: B batch, K streams, F frames, T tokens, V vocabulary.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..corpus.dialogues import Dialogue
from ..moshi import Moshi, MoshiOutput
from ..tokenizer import PAD
from ..transformer import Linear
from .distribution import divide, share
from .language import LanguageRecipe, dialogue_losses, disturb
from .loop import schedule
from .text import decayed
from .text_only import Alternating, chosen_evenly, crops, read

WORDS = 0.75  # the rate of the text embedding and the text head in steps on dialogues, as a share of the temporal rate


@dataclass(frozen=True)
class Stage:
    name: str
    steps: int
    temporal: float  # learning rate of the Temporal Transformer and what belongs to it
    depth: float  # and of the Depth Transformer
    acoustic_delay: int  # frames
    factor: Callable[[int, int, int], float] = schedule  # of the rates; see `loop.py`
    text_only: float = 0.0  # share of the steps
    recipe: LanguageRecipe = field(default_factory=LanguageRecipe)
    longer: int = 1  # by how many times its dialogues are longer than the profile's, and fewer in a batch
    offset: float = 0.0  # seconds: text and sound are shifted against each other by up to so much, at random
    masked: float = 0.0  # share of the dialogues whose text is hidden
    aside: float = 0.0  # share of the dialogues in which it is a recogniser or a voice instead; see `speech_text.py`
    silent: float = 0.0  # share of the dialogues in which it reads silently; see `silent_reading.py`


class Student(nn.Module):
    """A Moshi, and the head that names the user's words; see `language.py`. One module, so that several processes can
    divide it as one."""

    def __init__(self, moshi: Moshi):
        super().__init__()
        config = moshi.config.model
        self.moshi, self.hearing_head = moshi, Linear(config.temporal.dim, config.text_vocabulary)

    def forward(self, codes: Tensor, shown: Tensor | None = None,
                sounded: slice = slice(None)) -> Tensor | tuple[MoshiOutput, Tensor]:
        """Dialogues (B, K, F) and how they are shown (B, K, F) -> what Moshi makes of them, of audio only in the frames
        `sounded`, and the logits (B, F, V) of the user's words. Text (B, T) -> the logits (B, T, V) of the token after
        each."""
        if codes.dim() == 2:
            return read(self.moshi.model, codes)
        out = self.moshi(codes, shown, sounded=sounded)
        return out, self.hearing_head(out.hidden)

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The modules that hold the weights, and what each belongs to: "words", "sounds", "temporal" or "depth"."""
        others = {"text_embedding": "words", "text_head": "words", "audio_embeddings": "sounds", "audio_heads": "depth"}
        for name, module in self.moshi.model.named_children():
            yield others.get(name, "depth" if name.startswith("depth") else "temporal"), module
        yield "depth", self.hearing_head  # it starts from nothing too


def new_student(moshi: Moshi, device: torch.device) -> Student:
    """Ready to learn on this device; divided, if there are several processes."""
    model, student = moshi.model, Student(moshi).to(device).train()
    return divide(student, [*model.temporal.layers, *model.depth.layers])


def set_acoustic_delay(moshi: Moshi, frames: int) -> None:
    """Shift the acoustic streams of both speakers by so many frames from now on. The weights stay: they know nothing
    of the delay, they have only learnt with one."""
    own = moshi.config.model.audio_streams // 2
    speaker = (0,) + (frames,) * (own - 1)
    moshi.config = replace(moshi.config, delays=(0, *speaker, *speaker))


@torch.no_grad()
def hear_as_spoken(moshi: Moshi) -> None:
    """Embed the user's codes as Moshi's own: in recordings of one channel all speech was Moshi's, and what has been
    learnt of its sound holds for the user's as well."""
    embeddings = moshi.model.audio_embeddings
    own = len(embeddings) // 2
    for mine, theirs in zip(embeddings[:own], embeddings[own:], strict=True):
        theirs.weight.copy_(mine.weight)


def piece(frames: int, share: float, rng: random.Random) -> slice:
    """A random piece of so many frames that is a share of them."""
    length = max(1, round(share * frames))
    begin = rng.randrange(frames - length + 1)
    return slice(begin, begin + length)


class StageTask:
    """What `training.loop.train` needs for a stage. `draw` gives a random dialogue; `text` (N,) is for the steps on
    text alone, of which there are none if it is left out. Products are made in bfloat16 on a GPU, and elsewhere if
    `bfloat16`. The student has the stage's acoustic delay from now on."""

    def __init__(self, student: Student, draw: Callable[[random.Random], Dialogue], stage: Stage,
                 device: torch.device, text: Tensor | None = None, bfloat16: bool = False):
        self.modules, self.draw, self.device, self.text = student, draw, device, text
        self.bfloat16 = bfloat16 or device.type == "cuda"
        self.recipe, self.dialogues = stage.recipe, max(1, stage.recipe.batch_size // stage.longer)
        self.text_only = 0.0 if text is None else stage.text_only
        rates = {"words": stage.temporal, "temporal": stage.temporal}
        slower = {"words": (WORDS if self.text_only else 1.0) * stage.temporal}
        optimizers = {"dialogues": self.optimizer_of(rates | slower | {"sounds": stage.temporal, "depth": stage.depth})}
        if self.text_only:
            optimizers["text"] = self.optimizer_of(rates)
        self.optimizer = Alternating(**optimizers)
        set_acoustic_delay(student.moshi, stage.acoustic_delay)

    def optimizer_of(self, rates: dict[str, float]) -> torch.optim.Optimizer:
        """An optimizer for these parts of the student, each at its own rate."""
        groups = []
        for part, rate in rates.items():
            modules = nn.ModuleList(module for name, module in self.modules.parts() if name == part)
            groups += [group | {"lr": rate} for group in decayed(modules) if group["params"]]
        return torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=self.device.type != "mps")

    def losses(self, step: int, rng: random.Random) -> dict[str, Tensor]:
        """The losses of one batch; see `training.loop.Task`."""
        reading = chosen_evenly(step, self.text_only)
        self.optimizer.chosen = "text" if reading else "dialogues"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return self.read(rng) if reading else self.listen(rng)

    def read(self, rng: random.Random) -> dict[str, Tensor]:
        """The cross-entropy of running text, in nats a token. A row is as long as the context."""
        rows = crops(self.text, self.recipe.batch_size, self.modules.moshi.config.model.temporal.context, rng)
        rows = rows[share(len(rows))].to(self.device)  # (B, T + 1)
        loss = F.cross_entropy(self.modules(rows[:, :-1]).float().flatten(0, 1), rows[:, 1:].flatten())
        return {"loss": loss, "reading": loss}

    def listen(self, rng: random.Random) -> dict[str, Tensor]:
        """The losses of dialogues; see `language.dialogue_losses`."""
        dialogues = [self.draw(rng) for _ in range(self.dialogues)]
        mine, whole_batch = share(len(dialogues)), torch.stack([d.codes for d in dialogues])  # (B, K, F)
        shown = disturb(torch.stack([d.past for d in dialogues]), self.recipe)
        codes, shown = (each[mine].to(self.device) for each in (whole_batch, shown))
        heard = torch.stack([d.user_text for d in dialogues[mine]]).to(self.device)  # (B, F)
        out, hearing = self.modules(codes, shown, piece(codes.shape[-1], self.recipe.sounded, rng))
        given = torch.tensor([d.given for d in dialogues[mine]], device=self.device)  # (B,)
        words = codes[:, 0] > PAD  # (B, F)
        out = replace(out, text_mask=out.text_mask & ~(given[:, None] & words))
        return dialogue_losses(out, hearing, codes, heard, self.recipe)
