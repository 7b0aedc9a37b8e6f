"""Making clean recordings less clean: level, noise, telephone band (Moshi paper, section 4.4).

Every function takes a sound (T,) and a random source, and, if nothing else is said, leaves the sound as it is
in a part of the cases, so that clean speech stays in the training data too.

The functions of the first part are as strong as a tiny model can bear; those of the second are as strong as
in the paper, and add what a loudspeaker does in a room: it sends Moshi's own voice back to the microphone.
"""

import random
from dataclasses import dataclass

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
    return wav + _noise(len(wav), rng) * 10 ** ((-23 - rng.uniform(15, 45)) / 20)


def _noise(count: int, rng: random.Random) -> Tensor:
    """(count,) white noise, or, half of the time, low-passed noise."""
    noise = torch.randn(count, generator=torch.Generator().manual_seed(rng.getrandbits(60)))
    return low_passed(noise) if rng.random() < 0.5 else noise


def low_passed(noise: Tensor) -> Tensor:
    """A one-pole low-pass of (T,), as loud as before: most of the noise below 1 kHz, as in a room."""
    return torchaudio.functional.lfilter(noise, torch.tensor([1.0, -0.8]), torch.tensor([0.6, 0.0]), clamp=False)


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


# --- As in the paper ------------------------------------------------------------------------------

SPEECH = 10 ** (-23 / 20)  # root mean square of an utterance
REVERBERATION = (0.1, 0.5)  # seconds until the sound of a room has decayed by 60 dB
REFLECTED = (-20.0, -6.0)  # dB by which all reflections together are weaker than the direct sound
ECHO_DELAY, ECHO_SCALE = (0.1, 0.5), (0.0, 0.2)  # seconds, and factor of the amplitude


def change_gain(wav: Tensor, rng: random.Random) -> Tensor:
    """Between 24 dB quieter and 15 dB louder, half of the time; what exceeds full scale is clipped, as in a
    recording."""
    return (wav * 10 ** (rng.uniform(-24, 15) / 20)).clamp(-1, 1) if rng.random() < 0.5 else wav


def add_loud_noise(wav: Tensor, rng: random.Random) -> Tensor:
    """Noise between 30 dB below and 6 dB *above* speech level, three times of ten. (The paper's is recorded; it
    also falls silent now and then for up to 30 s, which is longer than our sounds.)"""
    if rng.random() >= 0.3:
        return wav
    return wav + _noise(len(wav), rng) * SPEECH * 10 ** (rng.uniform(-30, 6) / 20)


def _in_room(wav: Tensor, rng: random.Random) -> Tensor:
    """The sound and its reflections: convolved with noise that decays exponentially, as far as the sound is long."""
    decay = rng.uniform(*REVERBERATION)
    times = torch.arange(1, round(decay * 24_000)) / 24_000
    generator = torch.Generator().manual_seed(rng.getrandbits(60))
    late = torch.randn(len(times), generator=generator) * 10 ** (-3 * times / decay)
    late *= 10 ** (rng.uniform(*REFLECTED) / 20) / late.square().sum().sqrt()
    response = torch.cat([torch.ones(1), late])  # the direct sound comes first, at once
    return torchaudio.functional.fftconvolve(wav, response)[: len(wav)]


def reverberate(wav: Tensor, rng: random.Random) -> Tensor:
    """As it sounds in a room, three times of ten."""
    return _in_room(wav, rng) if rng.random() < 0.3 else wav


def echo(wav: Tensor, rng: random.Random) -> Tensor:
    """What comes back of a sound, and only that: later, weaker and reverberated. Always."""
    delay, scale = round(rng.uniform(*ECHO_DELAY) * 24_000), rng.uniform(*ECHO_SCALE)
    late = torch.nn.functional.pad(wav, (delay, 0))[: len(wav)]
    return scale * _in_room(late, rng)


@dataclass(frozen=True)
class Noise:
    """A noise that does not end: it is there before somebody speaks, meanwhile and afterwards."""

    below: float  # dB below the level of speech
    white: bool

    def add(self, wav: Tensor, rng: random.Random) -> Tensor:
        """The sound (T,) with this noise from its beginning to its end."""
        noise = torch.randn(len(wav), generator=torch.Generator().manual_seed(rng.getrandbits(60)))
        return wav + (noise if self.white else low_passed(noise)) * SPEECH * 10 ** (-self.below / 20)


NOISES = tuple(Noise(below, white) for below in (5.0, 10.0, 15.0, 22.0) for white in (True, False))
