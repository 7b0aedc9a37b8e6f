"""Sound files in and out: anything that libsndfile reads becomes mono at 24 kHz, or a clear error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile
import torch
import torchaudio
from torch import Tensor


def read_audio(path: str | Path, sample_rate: int = 24_000) -> tuple[Tensor, list[str]]:
    """A sound (T,) float32 at `sample_rate`, and notes on what had to be changed for it.

    Other rates are resampled and channels averaged. Raises FileNotFoundError if there is no such file, and
    ValueError if it is not a sound, has no samples, or has samples that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; expected the path of a sound file (WAV, FLAC, OGG, MP3)")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)  # (T, channels)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise ValueError(f"{path} is not a sound file that can be read; expected WAV, FLAC, OGG or MP3") from error
    wav, notes = torch.from_numpy(samples).T, []  # (channels, T)
    if wav.shape[1] == 0:
        raise ValueError(f"{path} has no samples; record something first")
    if not torch.isfinite(wav).all():
        raise ValueError(f"{path} has samples that are NaN or infinite; export the recording again")
    if wav.shape[0] > 1:
        notes.append(f"averaged {wav.shape[0]} channels")
    wav = wav.mean(0)  # (T,)
    if rate != sample_rate:
        wav = torchaudio.functional.resample(wav, rate, sample_rate)
        notes.append(f"resampled from {rate} to {sample_rate} Hz")
    return wav, notes


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, which becomes `path` if the block ends well: no half-written files.

    Raises FileNotFoundError if the folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} to write {path.name} into; create it first")
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
