"""Making recordings less clean."""

import random

import pytest
import torch

from moshi_ref.corpus.augment import (
    ECHO_DELAY,
    ECHO_SCALE,
    NOISES,
    REFLECTED,
    REVERBERATION,
    SPEECH,
    add_loud_noise,
    add_noise,
    change_gain,
    change_level,
    change_speed,
    echo,
    reverberate,
    telephone,
)

SHARES = {  # of the cases that are changed
    change_level: 0.5, add_noise: 1 / 3, telephone: 0.2, change_gain: 0.5, add_loud_noise: 0.3, reverberate: 0.3,
}  # fmt: skip
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


def test_gains_are_those_of_the_paper():
    wav = 0.01 * torch.randn(500)
    gains = torch.stack([20 * (changed / wav).median().log10() for changed in changes(change_gain, wav, 60)])
    assert -24.01 <= gains.min() < -20 and 11 < gains.max() <= 15.01
    assert max(changed.abs().max() for changed in changes(change_gain, 100 * wav, 20)) == 1  # clipped


def test_loud_noise_may_be_louder_than_speech():
    levels = [20 * noise.square().mean().sqrt().log10() for noise in changes(add_loud_noise, torch.zeros(6_000), 60)]
    assert -56 < min(levels) < -48 and -23 < max(levels) < -16  # dBFS; speech has -23


CLICK = torch.cat([torch.ones(1), torch.zeros(23_999)])


def test_a_room_answers_a_click_with_a_decay():
    decays = set()
    for response in changes(reverberate, CLICK, 12):
        assert response[0] == pytest.approx(1, abs=1e-4)
        late = response[1:].double()
        decibels = 10 * late.square().sum().log10().item()
        assert REFLECTED[0] - 0.1 < decibels < REFLECTED[1] + 0.1
        end = int((late.abs() > 1e-6).nonzero()[-1]) / 24_000
        assert REVERBERATION[0] - 0.01 < end < REVERBERATION[1] + 0.01
        half = int(end * 12_000)
        assert late[:half].square().sum() > 100 * late[half:].square().sum()
        decays.add(round(end, 3))
    assert len(decays) > 6


def test_an_echo_comes_later_and_weaker():
    delays, scales = [], []
    for seed in range(40):
        back = echo(CLICK, random.Random(seed))
        assert back.shape == CLICK.shape
        strongest = int(back.abs().argmax())
        delays.append(strongest / 24_000)
        scales.append(back[strongest].item())
        assert back[: strongest - 1].abs().max() < 1e-6  # nothing of the sound itself
    assert ECHO_DELAY[0] - 1e-3 < min(delays) < 0.15 and 0.45 < max(delays) < ECHO_DELAY[1] + 1e-3
    assert ECHO_SCALE[0] < min(scales) < 0.03 and 0.16 < max(scales) < ECHO_SCALE[1] + 1e-3
    assert torch.equal(echo(CLICK, random.Random(1)), echo(CLICK, random.Random(1)))


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


@pytest.mark.parametrize("noise", NOISES)
def test_a_noise_without_end_is_as_loud_as_it_says(noise):
    sound = noise.add(torch.zeros(48_000), random.Random(0))
    level = 20 * torch.log10(sound.square().mean().sqrt() / SPEECH)
    assert level.item() == pytest.approx(-noise.below, abs=0.2)
    assert torch.equal(sound, noise.add(torch.zeros(48_000), random.Random(0)))
    power = torch.fft.rfft(sound).abs().square()  # bins of half a hertz
    low = (power[:2_000].sum() / power.sum()).item()  # below 1 kHz
    assert low == pytest.approx(1 / 12, abs=0.02) if noise.white else low > 0.5
