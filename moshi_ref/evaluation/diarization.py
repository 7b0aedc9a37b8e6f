"""How often a diarizer is wrong about who speaks: the diarization error rate, on conversations put together here.

    python -m moshi_ref.evaluation.diarization                      20 conversations of held-out synthetic voices
    python -m moshi_ref.evaluation.diarization --human PATH         20 of people who say digits; a clone of FSDD
    python -m moshi_ref.evaluation.diarization --diarizer pyannote  for pyannote.audio, if it is installed

The settings of `SimpleDiarizer` were chosen on voices and recordings of the training splits; these are of the test
splits. The rate is that of NIST's Rich Transcription evaluations, without a collar, speech of two at once included:

    (missed + false alarm + confused) / speech

    missed        somebody speaks, and nobody is named; or two speak, and one is named
    false alarm   somebody is named, and nobody speaks
    confused      the wrong one is named, names being matched so that this is least

Shapes: T samples, S speakers, L frames of 10 ms.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from tqdm import tqdm

from ..corpus.diarization import Diarizer, PyannoteDiarizer, Segment, SimpleDiarizer
from ..corpus.fsdd import DigitRecording, load_digits
from ..corpus.voices import LOUDNESS, SAMPLE_RATE, Voice, synthesize, user_voice
from ..corpus.words import reading

DIARIZERS = {"simple": SimpleDiarizer, "pyannote": PyannoteDiarizer}
STEP = 0.01  # seconds of a frame in which errors are counted
TURNS = 14
READINGS = (1, 3)  # of two to five words, in a turn of a synthetic voice
DIGITS, DIGIT_GAP = (3, 8), 0.1  # digits in a turn of a person, and seconds between them
GAP = (0.1, 1.0)  # seconds between two turns
OVERLAP = (0.2, 0.6)  # seconds by which a turn begins too early, in a part of the cases:
INTERRUPTED = 0.15
LEVEL = 3.0  # dB by which a speaker is louder or softer than usual at most
NOISE = (25.0, 45.0)  # dB by which the noise of the room is below the speech


@dataclass(frozen=True)
class DiarizationErrors:
    """In seconds."""

    speech: float = 0.0
    missed: float = 0.0
    false_alarm: float = 0.0
    confused: float = 0.0

    def __add__(self, other: "DiarizationErrors") -> "DiarizationErrors":
        return DiarizationErrors(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True)))

    @property
    def rate(self) -> float:
        """All errors in units of the speech; may exceed 1. Raises ValueError if there is no speech."""
        if self.speech == 0:
            raise ValueError("expected a reference with speech in it, got none; the rate is undefined")
        return (self.missed + self.false_alarm + self.confused) / self.speech


def grid(segments: Sequence[Segment], seconds: float) -> Tensor:
    """(S, L) bool: who speaks in the middle of each frame. The speakers are in alphabetical order."""
    middles = (torch.arange(round(seconds / STEP)) + 0.5) * STEP
    speakers = sorted({segment.speaker for segment in segments})
    active = torch.zeros(len(speakers), len(middles), dtype=torch.bool)
    for segment in segments:
        active[speakers.index(segment.speaker)] |= (segment.start <= middles) & (middles < segment.end)
    return active


def diarization_errors(truth: Sequence[Segment], found: Sequence[Segment], seconds: float) -> DiarizationErrors:
    """The errors of the segments that were found in a recording of so many seconds. Names may differ."""
    true, named = grid(truth, seconds), grid(found, seconds)
    together = (true.float() @ named.float().T).numpy()  # (S, S'): frames in which both speak
    right = float(together[linear_sum_assignment(together, maximize=True)].sum())
    speaking, naming = true.sum(0), named.sum(0)  # (L,): how many
    confused = torch.minimum(speaking, naming).sum().item() - right
    missed, false_alarm = ((a - b).clamp(min=0).sum().item() for a, b in ((speaking, naming), (naming, speaking)))
    return DiarizationErrors(*(count * STEP for count in (speaking.sum().item(), missed, false_alarm, confused)))


# --- Conversations whose truth is known -----------------------------------------------------------


@dataclass(frozen=True)
class Speaker:
    """Somebody who can say a random turn, (T,) at 24 kHz."""

    name: str
    say: Callable[[random.Random], Tensor]


Pair = Callable[[random.Random], tuple[Speaker, Speaker]]  # draws two different ones


def synthetic(voice: Voice, split: str) -> Speaker:
    """A voice that reads words."""

    def say(rng: random.Random) -> Tensor:
        return synthesize(" ".join(reading(rng, split) for _ in range(rng.randint(*READINGS))), voice).wav

    return Speaker(voice.name, say)


def synthetic_pair(rng: random.Random, split: str = "test") -> tuple[Speaker, Speaker]:
    """Two users with different vocal tracts; split "train" or "test"."""
    first = second = user_voice(rng, split)
    while second.name.split("+")[1] == first.name.split("+")[1]:
        second = user_voice(rng, split)
    return synthetic(first, split), synthetic(second, split)


def human(name: str, recordings: Sequence[DigitRecording]) -> Speaker:
    """A person who says digits."""

    def say(rng: random.Random) -> Tensor:
        said = [rng.choice(recordings).wav for _ in range(rng.randint(*DIGITS))]
        return torch.cat([F.pad(wav, (0, round(DIGIT_GAP * SAMPLE_RATE))) for wav in said[:-1]] + said[-1:])

    return Speaker(name, say)


def human_pairs(folder: str | Path) -> Pair:
    """Pairs of the people of the Free Spoken Digit Dataset. Raises what `load_digits` raises."""
    recordings: dict[str, list[DigitRecording]] = {}
    for recording in load_digits(folder, "test"):
        recordings.setdefault(recording.speaker, []).append(recording)
    people = [human(name, own) for name, own in sorted(recordings.items())]
    return lambda rng: tuple(rng.sample(people, 2))


def mono_conversation(rng: random.Random, pair: Pair) -> tuple[Tensor, list[Segment]]:
    """About 40 s (T,) at 24 kHz on one channel, and who really speaks when.

    Two take turns, with pauses, and now and then one begins before the other has ended. They are not equally loud, and
    the room is not quite silent.
    """
    speakers = pair(rng)
    levels = [10 ** (rng.uniform(-LEVEL, LEVEL) / 20) for _ in speakers]
    sounds, segments, now = [], [], rng.uniform(*GAP)
    for turn in range(TURNS):
        wav = speakers[turn % 2].say(rng) * levels[turn % 2]
        if turn > 0:
            now += -rng.uniform(*OVERLAP) if rng.random() < INTERRUPTED else rng.uniform(*GAP)
        first = round(now * SAMPLE_RATE)
        sounds.append((first, wav))
        now = (first + len(wav)) / SAMPLE_RATE
        segments.append(Segment(first / SAMPLE_RATE, now, speakers[turn % 2].name))
    length = round((now + rng.uniform(*GAP)) * SAMPLE_RATE)
    noise = torch.randn(length, generator=torch.Generator().manual_seed(rng.getrandbits(60)))
    whole = noise * LOUDNESS * 10 ** (-rng.uniform(*NOISE) / 20)
    for first, wav in sounds:
        whole[first : first + len(wav)] += wav
    return whole, segments


def measure(diarizer: Diarizer, count: int, seed: int, pair: Pair = synthetic_pair) -> list[DiarizationErrors]:
    """The errors of a diarizer in each of `count` conversations."""
    errors = []
    for number in tqdm(range(count), "conversations", disable=None):
        wav, truth = mono_conversation(random.Random(f"diarization {seed}/{number}"), pair)
        errors.append(diarization_errors(truth, diarizer(wav), len(wav) / SAMPLE_RATE))
    return errors


def one_speaker(wav: Tensor) -> list[Segment]:
    """What any diarizer should beat: the same one speaks all the time."""
    return [Segment(0.0, len(wav) / SAMPLE_RATE, "A")]


def summary(errors: Sequence[DiarizationErrors]) -> dict[str, float]:
    """Rates of all conversations together, and the best and the worst conversation."""
    total = sum(errors, DiarizationErrors())
    parts = {name: round(value / total.speech, 4) for name, value in asdict(total).items() if name != "speech"}
    rates = [each.rate for each in errors]
    return {"speech_seconds": round(total.speech, 1), "rate": round(total.rate, 4), **parts,
            "best": round(min(rates), 4), "worst": round(max(rates), 4)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="The error rate of a diarizer on conversations whose truth is known.")
    parser.add_argument("--diarizer", choices=tuple(DIARIZERS), default="simple")
    parser.add_argument("--conversations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=("test", "train"), default="test", help="of the synthetic voices")
    parser.add_argument("--human", type=Path, help="a clone of the Free Spoken Digit Dataset, for human voices")
    args = parser.parse_args()
    try:
        diarizer = DIARIZERS[args.diarizer]()
        pair = partial(synthetic_pair, split=args.split) if args.human is None else human_pairs(args.human)
    except (ImportError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    measured = {args.diarizer: diarizer, "one speaker": one_speaker}
    report = {name: summary(measure(d, args.conversations, args.seed, pair)) for name, d in measured.items()}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
