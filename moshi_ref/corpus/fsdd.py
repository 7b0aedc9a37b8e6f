"""Human voices: the Free Spoken Digit Dataset.

Six people say every digit fifty times. The recordings are public under the licence CC BY-SA 4.0: clone
github.com/Jakobovski/free-spoken-digit-dataset and pass its folder to `load_digits`. A file is named
`{digit}_{speaker}_{index}.wav`; indices 0 to 4 of each speaker and digit are the test set, as the authors
propose.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch

from moshi_ref.corpus.voices import resampler, to_loudness

FSDD_RATE = 8_000  # Hz
TEST_RECORDINGS = 5  # indices 0..4 of each speaker and digit
SOURCE = "https://github.com/Jakobovski/free-spoken-digit-dataset"
FILE_NAME = re.compile(r"([0-9])_([a-z]+)_([0-9]+)\.wav")


@dataclass(frozen=True)
class DigitRecording:
    """One person says one digit. wav: (T,) float32 at 24 kHz, as loud as the synthetic voices."""

    digit: int
    speaker: str
    index: int
    wav: torch.Tensor


def trim(wav: torch.Tensor, rate: int) -> torch.Tensor:
    """Only the speech: without what is more than 40 dB below the loudest ten milliseconds, before and after it, and
    without clicks that a quarter of a second of such silence separates from it.

    Most recordings have neither, some end with more than half a second of silence, and then nobody could say whether
    an answer came before the end of the question.
    """
    piece = rate // 100
    power = wav[: len(wav) // piece * piece].view(-1, piece).square().mean(-1)  # of ten milliseconds each
    loud = (power >= 1e-4 * power.max()).nonzero()[:, 0]
    sounds = torch.tensor_split(loud, (loud.diff() > 25).nonzero()[:, 0] + 1)
    speech = next(sound for sound in sounds if power.argmax() in sound)
    return wav[speech[0] * piece : (speech[-1] + 1) * piece]


def _read(path: Path) -> torch.Tensor:
    """(T,) at 24 kHz, trimmed."""
    samples, rate = soundfile.read(path, dtype="float32")
    if rate != FSDD_RATE or samples.ndim != 1 or len(samples) < FSDD_RATE // 100:
        raise ValueError(
            f"{path} should hold one channel at {FSDD_RATE} Hz, but its samples have shape {samples.shape} "
            f"and rate {rate} Hz; take the original file from {SOURCE}"
        )
    return to_loudness(resampler(FSDD_RATE)(trim(torch.from_numpy(samples), FSDD_RATE)))


def load_digits(folder: str | Path, split: str) -> list[DigitRecording]:
    """All recordings of split "train" or "test", sorted by file name.

    folder: the cloned repository, or its folder `recordings`.
    """
    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; run `git clone {SOURCE}` and pass its folder")
    if (folder / "recordings").is_dir():
        folder = folder / "recordings"
    recordings = []
    for path in sorted(folder.glob("*.wav")):
        match = FILE_NAME.fullmatch(path.name)
        if match and (int(match[3]) < TEST_RECORDINGS) == (split == "test"):
            recordings.append(DigitRecording(int(match[1]), match[2], int(match[3]), _read(path)))
    if not recordings:
        raise FileNotFoundError(
            f"{folder} holds no {split} recordings named like 7_jackson_12.wav; pass a clone of {SOURCE}"
        )
    return recordings
