"""Making clean recordings less clean: level, noise, telephone band (Moshi paper, section 4.4).

Every function takes a sound (T,) and a random source, and leaves the sound as it is in a part of the
cases, so that clean speech stays in the training data too.
"""

import random

import torch
import torchaudio
from torch import Tensor


def change_level(wav: Tensor, rng: random.Random) -> Tensor:
    """Between 15 dB quieter and 6 dB louder, half of the time."""
    return wav * 10 ** (rng.uniform(-15, 6) / 20) if rng.random() < 0.5 else wav


def add_noise(wav: Tensor, rng: random.Random) -> Tensor:
    """White or low-passed noise 15 to 45 dB below speech level (-23 dBFS), a third of the time."""
    if rng.random() < 2 / 3:
        return wav
    noise = torch.randn(len(wav), generator=torch.Generator().manual_seed(rng.getrandbits(60)))
    if rng.random() < 0.5:  # a one-pole low-pass: most of the noise below 1 kHz, as in a room
        noise = torchaudio.functional.lfilter(
            noise, torch.tensor([1.0, -0.8]), torch.tensor([0.6, 0.0]), clamp=False
        )
    return wav + noise * 10 ** ((-23 - rng.uniform(15, 45)) / 20)


def telephone(wav: Tensor, rng: random.Random) -> Tensor:
    """Only what a telephone at 8 kHz carries (below 4 kHz), a fifth of the time."""
    if rng.random() < 0.8:
        return wav
    narrow = torchaudio.functional.resample(wav, 24_000, 8_000)
    return torchaudio.functional.resample(narrow, 8_000, 24_000)[: len(wav)]


def change_speed(wav: Tensor, rng: random.Random) -> tuple[Tensor, float]:
    """Faster or slower by up to 15 %, pitch included. Returns the sound and the factor of all times."""
    percent = rng.randrange(85, 116, 3)  # few ratios, so that the resampler's filters can be cached
    changed = torchaudio.functional.resample(wav, 100, percent)
    return changed, len(changed) / len(wav)
