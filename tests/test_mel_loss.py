"""The spectral loss on pairs of sounds whose difference is known."""

import torch

from moshi_ref.training.mel_loss import MelLoss


def test_equal_sounds_have_no_loss():
    wav = 0.1 * torch.randn(2, 9_600)
    assert MelLoss(24_000)(wav, wav.clone()) == 0


def test_the_loss_grows_with_the_distortion():
    mel, wav, noise = MelLoss(24_000), 0.1 * torch.randn(2, 9_600), torch.randn(2, 9_600)
    losses = [mel(wav + level * noise, wav).item() for level in (0.001, 0.01, 0.1, 1.0)]
    assert losses == sorted(losses) and losses[0] < 0.1 < 1 < losses[-1]


def test_what_nobody_can_hear_does_not_count():
    mel, silence, noise = MelLoss(24_000), torch.zeros(1, 9_600), torch.randn(1, 9_600)
    assert mel(1e-5 * noise, silence) == 0
    assert mel(1e-2 * noise, silence) > 0.5


def test_a_delay_that_long_windows_forgive_is_heard_by_the_short_ones():
    mel, click = MelLoss(24_000), torch.zeros(1, 9_600)
    click[0, 4_800] = 1.0
    late = click.roll(96, 1)  # 4 ms
    heard = [mel.distance(scale(late), scale(click)).item() for scale in mel.scales]
    assert heard == sorted(heard, reverse=True) and heard[0] > 3 * heard[-1]
