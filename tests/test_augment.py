"""Making recordings less clean."""

import random

import pytest
import torch

from moshi_ref.corpus.augment import add_noise, change_level, change_speed, telephone

SHARES = {change_level: 0.5, add_noise: 1 / 3, telephone: 0.2}  # of the cases that are changed
LOW, HIGH = (0, 3_400), (4_300, 12_000)  # Hz: what a telephone carries, and what it does not


def tone(frequency: float, count: int = 12_000) -> torch.Tensor:
    return 0.3 * torch.sin(2 * torch.pi * frequency * torch.arange(count) / 24_000)


def power(wav: torch.Tensor, band: tuple[int, int]) -> float:
    spectrum = torch.fft.rfft(wav * torch.hann_window(len(wav))).abs().square()
    begin, end = (round(f / 24_000 * len(wav)) for f in band)
    return spectrum[begin:end].sum().item()


@pytest.mark.parametrize("function", SHARES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("count", [1, 1_921, 5_000])
def test_lengths_stay_and_chance_is_repeatable(function, count):
    wav = 0.1 * torch.randn(count)
    original = wav.clone()
    for seed in range(20):
        changed, again = (function(wav, random.Random(seed)) for _ in range(2))
        assert changed.shape == wav.shape and changed.isfinite().all()
        assert torch.equal(changed, again)
    assert torch.equal(wav, original)


@pytest.mark.parametrize("function, share", SHARES.items(), ids=[f.__name__ for f in SHARES])
def test_clean_sounds_remain(function, share):
    wav, rng = 0.1 * torch.randn(600), random.Random(1)
    changed = sum(not torch.equal(function(wav, rng), wav) for _ in range(600))
    assert changed / 600 == pytest.approx(share, abs=0.06)


def changes(function, wav: torch.Tensor, count: int) -> list[torch.Tensor]:
    """The first `count` results that differ from the sound."""
    rng, found = random.Random(2), []
    while len(found) < count:
        changed = function(wav, rng)
        if not torch.equal(changed, wav):
            found.append(changed)
    return found


def test_levels_change_within_bounds():
    wav = 0.1 * torch.randn(500)
    gains = torch.stack([20 * (changed / wav).median().log10() for changed in changes(change_level, wav, 60)])
    assert -15.01 <= gains.min() < -12 and 3 < gains.max() <= 6.01


def test_noise_is_quieter_than_speech():
    silence = torch.zeros(24_000)
    noises = changes(add_noise, silence, 40)
    levels = torch.stack([20 * noise.square().mean().sqrt().log10() for noise in noises])
    assert -70 < levels.min() < -60 and -45 < levels.max() < -37  # dBFS; speech has -23
    dull = [power(noise, (0, 1_000)) > 0.4 * power(noise, (0, 12_000)) for noise in noises]
    assert 10 < sum(dull) < 30  # the others are white


def test_a_telephone_carries_only_what_is_below_4_khz():
    wav = 0.1 * torch.randn(24_000)
    (narrow,) = changes(telephone, wav, 1)
    assert power(narrow, HIGH) < 1e-3 * power(wav, HIGH)
    assert power(narrow, LOW) == pytest.approx(power(wav, LOW), rel=0.05)


def test_speed_changes_length_and_pitch_together():
    factors = set()
    for seed in range(40):
        wav, factor = change_speed(tone(440), random.Random(seed))
        factors.add(round(factor, 3))
        assert 0.849 < factor < 1.151 and len(wav) == pytest.approx(12_000 * factor, abs=1)
        expected = tone(440 / factor, len(wav))
        torch.testing.assert_close(wav[500:-500], expected[500:-500], atol=0.01, rtol=0)
    assert len(factors) > 5
    assert torch.equal(*(change_speed(tone(440), random.Random(5))[0] for _ in range(2)))
