"""How much a sound has changed on its way through a codec, measured against the original.

    level              decibels by which it has become louder
    log-mel distance   decibels in the bands of the ear; phase does not count
    SI-SDR             decibels, sample against sample: signal over distortion, whatever the level (Le Roux et al. 2019)
    STOI               0 to 1, short-time intelligibility (Taal et al. 2011); library pystoi
    PESQ               1 to 4.6, wideband (ITU-T P.862.2); library pesq, if it is installed
    ViSQOL             1 to 5, speech mode (Chinen et al. 2020); library visqol-python, if it is installed

Higher is better but for the level, which should be 0, and the distance. None of them is a listener: a codec that is
trained to sound right, not to give back the samples, may sound far better than SI-SDR and ViSQOL say. The paper's Table
4 is an example: trained by discriminators alone, Mimi falls from 2.82 to 1.84 in ViSQOL while people rate it at 81 in
place of 58.8 of 100.

Shapes: T samples at 24 kHz.
"""

import functools
import importlib
import importlib.util
import math
import warnings
from collections.abc import Callable

import numpy as np
import pystoi
import torchaudio
from torch import Tensor

from ..corpus.voices import SAMPLE_RATE

FLOOR = 1e-8  # power of a band: -80 dB, quieter than a quiet room
WIDEBAND = 16_000  # Hz, what PESQ and ViSQOL's speech mode take


def check(original: Tensor, output: Tensor) -> None:
    """Raises ValueError unless both are finite sounds (T,) of the same length."""
    if original.ndim != 1 or original.shape != output.shape or len(original) == 0:
        raise ValueError(
            f"expected two sounds of one shape (T,), got {tuple(original.shape)} and {tuple(output.shape)}; "
            "cut what the codec added to fill its last frame"
        )
    if not (original.isfinite().all() and output.isfinite().all()):
        raise ValueError("a sound has samples that are NaN or infinite")


@functools.lru_cache
def mel_power() -> torchaudio.transforms.MelSpectrogram:
    """Power in 80 bands of the ear, windows of 43 ms, every 11 ms."""
    return torchaudio.transforms.MelSpectrogram(
        SAMPLE_RATE, n_fft=1024, hop_length=256, n_mels=80, power=2.0, normalized="window"
    )


def log_mel(wav: Tensor) -> Tensor:
    """(T,) -> decibels (80, L)."""
    return 10 * mel_power()(wav).clamp(min=FLOOR).log10()


def log_mel_distance(original: Tensor, output: Tensor) -> float:
    """Mean absolute difference of the log-mel spectrograms of two sounds (T,), in decibels."""
    check(original, output)
    return (log_mel(original) - log_mel(output)).abs().mean().item()


def gain(original: Tensor, output: Tensor) -> float:
    """How much louder the output (T,) is than the original, in decibels of their powers; negative if it is softer."""
    check(original, output)
    powers = [wav.square().mean().clamp(min=1e-10) for wav in (output, original)]  # -100 dB for digital silence
    return 10 * (powers[0] / powers[1]).log10().item()


def si_sdr(original: Tensor, output: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in decibels (Le Roux et al. 2019, equation 5).

    The output is split into a multiple of the original, the signal, and the rest, the distortion; their powers are
    compared. The formula is for sounds of mean zero, so the means are taken away first.
    """
    check(original, output)
    original, output = (wav.double() - wav.double().mean() for wav in (original, output))
    signal = (output @ original) / (original @ original).clamp(min=1e-20) * original
    distortion = output - signal
    power, rest = (signal @ signal).item(), (distortion @ distortion).item()
    return 10 * math.log10(max(power, 1e-20) / max(rest, 1e-20))


def stoi(original: Tensor, output: Tensor) -> float:
    """Short-time objective intelligibility, 0 to 1. Raises ValueError for less than 0.4 s of speech."""
    check(original, output)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi.stoi(original.double().numpy(), output.double().numpy(), SAMPLE_RATE))
        except RuntimeWarning as warning:
            raise ValueError("STOI needs 0.4 s of speech or more, and no silence; take a longer recording") from warning


def wideband(wav: Tensor) -> np.ndarray:
    """(T,) at 24 kHz -> NumPy array at 16 kHz."""
    return torchaudio.functional.resample(wav, SAMPLE_RATE, WIDEBAND).numpy()


# --- Measures whose libraries are not required ----------------------------------------------------

INSTALL = {
    "pesq": "PESQ needs a library that is built from C: pip install pesq==0.0.4",
    "visqol": "ViSQOL needs a library that is not required here: pip install visqol-python==3.8.0",
}  # by the name of the module


def library(name: str):
    """The module, if it is installed. Raises ImportError with what to do if it is not."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(INSTALL[name]) from error


def pesq(original: Tensor, output: Tensor) -> float:
    """Perceptual evaluation of speech quality, wideband, 1 to 4.6. Raises ImportError without its library."""
    check(original, output)
    return float(library("pesq").pesq(WIDEBAND, wideband(original), wideband(output), "wb"))


@functools.lru_cache
def visqol_speech():
    api = library("visqol").VisqolApi()
    # The map from similarity to opinion that needs no second library; the other gives slightly different scores.
    api.create(mode="speech", use_lattice_model=False)
    return api


def visqol(original: Tensor, output: Tensor) -> float:
    """Virtual speech quality objective listener, speech mode, 1 to 5. Raises ImportError without its library."""
    check(original, output)
    arrays = (wideband(wav).astype("float64") for wav in (original, output))
    return float(visqol_speech().measure_from_arrays(*arrays, WIDEBAND).moslqo)


# --- All of them ----------------------------------------------------------------------------------

Measure = Callable[[Tensor, Tensor], float]  # original (T,), output (T,) at 24 kHz
REQUIRED: dict[str, Measure] = {
    "level, dB": gain, "log-mel distance, dB": log_mel_distance, "SI-SDR, dB": si_sdr, "STOI": stoi
}  # fmt: skip
OPTIONAL: dict[str, Measure] = {"PESQ": pesq, "ViSQOL": visqol}


def measures() -> tuple[dict[str, Measure], list[str]]:
    """The measures that can be taken here, and a sentence for each that cannot."""
    found, missing = dict(REQUIRED), []
    for (name, measure), module in zip(OPTIONAL.items(), INSTALL, strict=True):
        if importlib.util.find_spec(module):
            found[name] = measure
        else:
            missing.append(INSTALL[module])
    return found, missing
