"""The loss of the envelopes on sounds whose rise and fall is known."""

import math

import pytest
import torch

from moshi_ref.corpus.voices import MOSHI_VOICE, synthesize
from moshi_ref.evaluation.sound_quality import stoi
from moshi_ref.training.envelope_loss import BANDS, LOWEST, EnvelopeLoss, third_octaves, unit

LOSS = EnvelopeLoss(24_000)


def beating(hertz: float, seconds: float = 1.0, tone: float = 600.0) -> torch.Tensor:
    """A tone (1, T) that gets louder and softer `hertz` times a second."""
    t = torch.arange(round(24_000 * seconds)) / 24_000
    return (0.1 * (1.1 + torch.cos(2 * math.pi * hertz * t)) * torch.sin(2 * math.pi * tone * t))[None]


def noisy_speech() -> torch.Tensor:
    """Noise (1, T) that comes and goes like syllables."""
    return beating(4.0, 2.0) + 0.05 * torch.randn(1, 48_000) * beating(3.0, 2.0).abs()


def test_bands_are_thirds_of_octaves_and_share_no_bin():
    bands = third_octaves(24_000, 1024)
    assert bands.shape == (513, BANDS) and bands.sum(1).max() == 1 and (bands.sum(0) > 0).all()
    loud = bands[:, -1].nonzero()[:, 0] * 24_000 / 1024
    centre = LOWEST * 2 ** ((BANDS - 1) / 3)
    assert centre * 2 ** (-1 / 6) <= loud.min() and loud.max() < centre * 2 ** (1 / 6)


def test_equal_sounds_have_no_loss_at_any_loudness():
    wav = noisy_speech()
    assert LOSS(wav, wav) < 1e-2
    assert LOSS(0.3 * wav, wav) < 1e-2


def test_the_opposite_rhythm_costs_more_than_none():
    wav = beating(4.0)
    other = beating(4.0).roll(3_000, 1)  # half a period later: loud where the original is soft
    band = LOSS.segments(wav).mean((0, 2, 3)).argmax()  # the one of the tone

    def in_band(output):
        return 1 - (unit(LOSS.segments(output)) * unit(LOSS.segments(wav))).sum(-1)[:, band].mean()

    assert in_band(wav) < 0.01 < 0.9 < in_band(torch.zeros_like(wav)) < 1.01 < 1.8 < in_band(other)


def test_silent_segments_do_not_count():
    wav = torch.cat([noisy_speech(), torch.zeros(1, 48_000)], dim=1)
    humming = wav + torch.cat([torch.zeros(1, 48_000), 0.01 * torch.randn(1, 48_000)], dim=1)
    assert LOSS(humming, wav) < LOSS(wav + 0.05 * torch.randn_like(wav), wav) / 3


def test_it_orders_sounds_as_stoi_does():
    wav = synthesize("three plus four is seven", MOSHI_VOICE).wav[None]
    noise = torch.randn(wav.shape, generator=torch.Generator().manual_seed(0))
    worse = [wav + level * noise for level in (0.003, 0.01, 0.03, 0.1, 0.3)]
    losses, scores = [LOSS(w, wav).item() for w in worse], [stoi(wav[0], w[0]) for w in worse]
    assert losses == sorted(losses) and scores == sorted(scores, reverse=True)


def test_rows_count_alike_and_the_silent_ones_nothing():
    wavs = torch.cat([noisy_speech(), 0.1 * noisy_speech(), torch.zeros(1, 48_000)])
    output = wavs + 0.01 * torch.randn_like(wavs)
    alone = [LOSS(a[None], b[None]) for a, b in zip(output, wavs, strict=True)]
    assert alone[2] == 0 < alone[0] < alone[1]
    torch.testing.assert_close(LOSS(output, wavs), sum(alone) / 3)


@pytest.mark.parametrize("rows", [1, 3])
def test_silence_has_finite_gradients(rows):
    output = torch.zeros(rows, 23_040, requires_grad=True)
    LOSS(output, torch.zeros(rows, 23_040)).backward()
    assert output.grad.isfinite().all()


def test_learning_from_it_brings_the_envelopes_together():
    """Gains of a steady noise, 25 ms each, learn the rhythm of another noise."""
    steady = 0.1 * torch.randn(1, 24_000, generator=torch.Generator().manual_seed(1))
    rhythm = 1.1 + torch.cos(8 * math.pi * torch.arange(24_000) / 24_000)
    target = rhythm * steady.roll(7_000, 1)
    gains = torch.zeros(1, 40, requires_grad=True)
    optimizer = torch.optim.Adam([gains], lr=0.1)
    losses = []
    for _ in range(60):
        losses.append(LOSS(steady * (1 + gains).repeat_interleave(600, 1), target))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    learnt = torch.stack([(1 + gains[0]).detach(), rhythm.view(40, 600).mean(1)])
    assert losses[-1] < losses[0] / 1.5 and torch.corrcoef(learnt)[0, 1] > 0.8
