"""Sound files in and out: anything that libsndfile reads becomes mono at 24 kHz, or a clear error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile
import torch
import torchaudio
from torch import Tensor


def read_channels(path: str | Path) -> tuple[Tensor, int]:
    """The sound (channels, T) float32 of a file as it is, and its samples a second. Raises as `read_audio`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; expected the path of a sound file (WAV, FLAC, OGG, MP3)")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)  # (T, channels)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise ValueError(f"{path} is not a sound file that can be read; expected WAV, FLAC, OGG or MP3") from error
    wav = torch.from_numpy(samples).T  # (channels, T)
    if wav.shape[1] == 0:
        raise ValueError(f"{path} has no samples; record something first")
    if not wav.isfinite().all():
        raise ValueError(f"{path} has samples that are NaN or infinite; export the recording again")
    return wav, rate


def read_audio(path: str | Path, sample_rate: int = 24_000) -> tuple[Tensor, list[str]]:
    """A sound (T,) float32 at `sample_rate`, and notes on what had to be changed for it.

    Other rates are resampled and channels averaged. Raises FileNotFoundError if there is no such file, and
    ValueError if it is not a sound, has no samples, or has samples that are not finite.
    """
    (wav, rate), notes = read_channels(path), []
    if wav.shape[0] > 1:
        notes.append(f"averaged {wav.shape[0]} channels")
    wav = wav.mean(0)  # (T,)
    if rate != sample_rate:
        wav = torchaudio.functional.resample(wav, rate, sample_rate)
        notes.append(f"resampled from {rate} to {sample_rate} Hz")
    return wav, notes


def sound_format(path: Path) -> str:
    """The format that the name of a sound file asks for. Raises ValueError if it cannot hold 16-bit samples."""
    name = path.suffix[1:].upper()
    if not soundfile.check_format(name, "PCM_16"):
        raise ValueError(f"cannot write sound as {path.name}; expected a name that ends in .wav or .flac")
    return name


def check_folder(path: Path) -> None:
    """Raises FileNotFoundError if the folder that `path` is to be written into does not exist."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} to write {path.name} into; create it first")


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, which becomes `path` if the block ends well: no half-written files.

    Raises FileNotFoundError if the folder does not exist.
    """
    path = Path(path)
    check_folder(path)
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
