"""What a language model can hear through a codec: which digit was spoken, read off the tokens alone.

Moshi knows of a user's voice only what the tokens tell. So a small probe learns to name single digits from tokens: of
the semantic codebook alone, of the acoustic ones alone, or of all. It is the same probe three times, trained on
training voices; it is tested on voices with known vocal tracts, on held-out ones, and on people. What the probe cannot
hear, a language model will hardly hear; what it hears from one codebook alone lies in the open there.

Shapes: N digits, Q codebooks, F frames, D width of the probe, V entries.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ..corpus.fsdd import load_digits
from ..corpus.small_world import DIGITS
from ..corpus.voices import synthesize, user_voice
from ..mimi import Mimi
from .intervals import wilson

FRAMES = 10  # 0.8 s, longer than nearly every digit
PIECE = 16  # sounds that are encoded at a time


@dataclass(frozen=True)
class Digits:
    """Spoken digits as tokens (N, Q, F) int64, and which digits they are (N,) int64."""

    codes: Tensor
    digits: Tensor

    def only(self, codebooks: slice) -> "Digits":
        return Digits(self.codes[:, codebooks], self.digits)


def spoken_digits(split: str, count: int, seed: int) -> list[tuple[Tensor, int]]:
    """`count` digits as sounds (T,), each in a new voice of split "train" or "test"."""
    rng, items = random.Random(f"spoken digits {split} {seed}"), []
    for _ in range(count):
        digit = rng.randrange(10)
        items.append((synthesize(DIGITS[digit], user_voice(rng, split)).wav, digit))
    return items


def human_digits(folder: Path, split: str, count: int, seed: int) -> list[tuple[Tensor, int]]:
    """Up to `count` recordings of people, at random, of a split of the Free Spoken Digit Dataset."""
    recordings = load_digits(folder, split)
    chosen = random.Random(f"human digits {split} {seed}").sample(recordings, min(count, len(recordings)))
    return [(recording.wav, recording.digit) for recording in chosen]


@torch.no_grad()
def tokens(mimi: Mimi, items: Sequence[tuple[Tensor, int]], seed: int) -> Digits:
    """The sounds as tokens. Each begins at a random moment of the first frame, because nobody waits for the frame to
    begin; the window of FRAMES frames is filled up with silence, or cuts off the end of a very slow digit."""
    rng, size = random.Random(f"onsets {seed}"), mimi.config.frame_size
    wavs = []
    for wav, _ in items:
        before = rng.randrange(size)
        wavs.append(F.pad(wav, (before, FRAMES * size))[: FRAMES * size])
    pieces = tqdm(torch.stack(wavs)[:, None].split(PIECE), "encoding digits", leave=False, disable=None)
    codes = torch.cat([mimi.encode(piece) for piece in pieces])
    return Digits(codes, torch.tensor([digit for _, digit in items]))


class Probe(nn.Module):
    """Tokens -> digit: the codebooks' embeddings added, a convolution over time twice, the mean, a linear layer.

    While it learns, two fifths of the tokens are hidden. Otherwise it knows the few training digits by heart, the
    sooner the more codebooks there are, and has heard nothing.
    """

    HIDDEN = 0.4

    def __init__(self, codebooks: int, entries: int, dim: int = 64):
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(entries, dim) for _ in range(codebooks))
        self.convs = nn.ModuleList(nn.Conv1d(dim, dim, 3, padding=1) for _ in range(2))
        self.drop = nn.Dropout(0.3)
        self.digit = nn.Linear(dim, 10)

    def forward(self, codes: Tensor) -> Tensor:
        """codes (N, Q, F) -> logits (N, 10)."""
        levels = zip(self.embeddings, codes.unbind(1), strict=True)
        x = torch.stack([embed(level) for embed, level in levels], 1)  # (N, Q, F, D)
        if self.training:
            x = x * (torch.rand(codes.shape) > self.HIDDEN)[..., None] / (1 - self.HIDDEN)
        x = self.drop(x.sum(1)).mT  # (N, D, F)
        for conv in self.convs:
            x = F.gelu(conv(x))
        return self.digit(self.drop(x.mean(-1)))


def train_probe(data: Digits, entries: int, steps: int, seed: int) -> Probe:
    """A probe, trained on random batches."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        probe = Probe(data.codes.shape[1], entries)
        optimizer = torch.optim.AdamW(probe.parameters(), lr=3e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
        for _ in range(steps):
            batch = torch.randint(len(data.digits), (64,))
            loss = F.cross_entropy(probe(data.codes[batch]), data.digits[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return probe.eval()


@torch.no_grad()
def accuracy(probe: Probe, data: Digits) -> dict[str, float]:
    """Share of the digits that the probe names, with its 95 % interval; a tenth by chance."""
    right, n = int((probe(data.codes).argmax(-1) == data.digits).sum()), len(data.digits)
    low, high = wilson(right, n)
    return {"right": right, "n": n, "share": right / n, "low": low, "high": high}


def hears_through(train: Digits, tests: dict[str, Digits], entries: int, steps: int, seed: int) -> dict:
    """accuracy of one probe per choice of codebooks: {choice: {name of the test set: accuracy}}."""
    choices = {"semantic": slice(0, 1), "acoustic": slice(1, None), "both": slice(None)}
    if train.codes.shape[1] < 2:
        raise ValueError("expected tokens of a semantic codebook and at least one acoustic one")
    results = {}
    for name, codebooks in choices.items():
        probe = train_probe(train.only(codebooks), entries, steps, seed)
        results[name] = {kind: accuracy(probe, data.only(codebooks)) for kind, data in tests.items()}
    return results


def hearing(mimi: Mimi, human: Path | None, seed: int, train: int = 1000, test: int = 300, steps: int = 1600) -> dict:
    """The whole measurement for a codec; see `hears_through`.

    train: digits of synthetic training voices, and as many of people if `human`, a clone of the Free Spoken Digit
    Dataset, is given (its training recordings; the test ones, by the same people, are a test set of their own).
    """
    learnt = spoken_digits("train", train, seed)
    tests: dict[str, Iterable] = {
        "known voices": spoken_digits("train", test, seed + 1),
        "held-out voices": spoken_digits("test", test, seed),
    }
    if human is not None:
        learnt += human_digits(human, "train", train, seed)
        tests["people"] = human_digits(human, "test", test, seed)
    coded = {name: tokens(mimi, items, seed + 1) for name, items in tests.items()}
    return hears_through(tokens(mimi, learnt, seed), coded, mimi.config.entries, steps, seed)
