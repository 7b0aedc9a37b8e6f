"""Clips of the spoken world: utterances as Mimi codes that still know what they are about.

    utterances (spoken.py) -> `encode` -> clips -> `encode_echoes` -> clips of Moshi that know how they come back

A clip of `dialogues.py` knows its codes, its words and the answer. These also know topic, question and speaker: a
reading is put together from sentences of one speaker, and a data sheet counts topics.

Moshi's voice comes back to it: from the loudspeaker, through the room, into the user's microphone. To sounds one can
add an echo; to codes one cannot. So for some answers the channel of a silent user who listens to them is encoded as a
whole. Laid over the user's channel beside the answer, it teaches Moshi not to answer itself (paper, section 4.4).

Shapes: Q codebooks, F frames. Times are seconds from the beginning of the clip.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from ..audio import writing
from ..inner_monologue import Word
from ..mimi import Mimi
from . import augment, dialogues
from .utterances import Utterance


@dataclass(frozen=True)
class Clip(dialogues.Clip):
    """An utterance as Mimi codes, and what it is about."""

    topic: str = ""
    question: str = ""
    speaker: str = ""
    echo: Tensor | None = None  # (Q, F) int16: what a silent user's microphone hears meanwhile
    noise: int = 0  # number of the noise in which it was said, among `augment.NOISES` and counted from 1; 0 for none


def encode(mimi: Mimi, utterances: Sequence[Utterance], seed: int, augmented: bool, title: str,
           noise: int = 0) -> list[Clip]:
    """Encode utterances into clips, as `dialogues.encode` does, in a noise of `augment.NOISES` counted from 1, or in
    none. The speech starts with its first word and ends with its last one, whatever silence was part of the
    utterance."""
    around, clips = augment.NOISES[noise - 1] if noise else None, []
    encoded = dialogues.encode(mimi, utterances, seed, augmented, title, around)
    for utterance, clip in zip(utterances, encoded, strict=True):
        about = utterance.exchange
        clips.append(Clip(clip.codes, clip.words, clip.words[0].start, clip.words[-1].end, clip.answer, about.topic,
                          about.question, utterance.speaker, noise=noise))  # fmt: skip
    return clips


@torch.inference_mode()
def encode_echoes(mimi: Mimi, utterances: Sequence[Utterance], clips: Sequence[Clip], seed: int,
                  share: float) -> list[Clip]:
    """The same clips, a random share of them with its echo. `utterances` and `seed` are those with which `encode`
    made the clips, not augmented: the echo belongs to the very sound. Raises ValueError if it does not."""
    echoed, device = [], next(mimi.parameters()).device
    for i, clip in enumerate(tqdm(clips, "echoes", disable=None)):
        rng = random.Random(f"{seed}/echo/{i}")
        if rng.random() < share:
            wav, _ = dialogues.pad(utterances[i], random.Random(f"{seed}/{i}"), augmented=False)
            codes = mimi.encode(augment.echo(wav, rng)[None, None].to(device))[0].short().cpu()  # (Q, F)
            if codes.shape != clip.codes.shape:
                raise ValueError(f"clip {i} should come from utterance {i} and seed {seed}: expected {codes.shape[1]} "
                                 f"frames, got {clip.codes.shape[1]}")  # fmt: skip
            clip = replace(clip, echo=codes)
        echoed.append(clip)
    return echoed


def save_clips(clips: Sequence[Clip], path: Path) -> None:
    """Write clips into one safetensors file, aside first and then renamed."""
    index = [
        [c.codes.shape[1], [[w.text, w.start, w.end] for w in c.words], c.start, c.end, c.answer, c.topic, c.question,
         c.speaker, c.echo is not None, c.noise]
        for c in clips
    ]  # fmt: skip
    pieces = [piece for c in clips for piece in (c.codes, c.echo) if piece is not None]
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as part:
        save_file({"codes": torch.cat(pieces, dim=1)}, part, {"index": json.dumps(index)})


def load_clips(path: Path) -> list[Clip]:
    """Read what `save_clips` wrote. Raises FileNotFoundError if there is no such file."""
    with safe_open(path, framework="pt") as file:
        index, codes = json.loads(file.metadata()["index"]), file.get_tensor("codes")
    clips, first = [], 0
    for frames, words, start, end, answer, topic, question, speaker, echoed, noise in index:
        echo = codes[:, first + frames : first + 2 * frames] if echoed else None
        clips.append(Clip(codes[:, first : first + frames], tuple(Word(*w) for w in words), start, end, answer, topic,
                          question, speaker, echo, noise))  # fmt: skip
        first += frames * (1 + echoed)
    return clips
