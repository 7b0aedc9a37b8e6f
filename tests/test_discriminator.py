"""The discriminators that judge Mimi, and the losses on both sides."""

import pytest
import torch
from conftest import close, without_gradient

from moshi_ref.training.discriminator import (
    DiscriminatorConfig,
    MultiScaleSTFTDiscriminator,
    Verdict,
    adversarial,
    feature_matching,
    hinge_fake,
    hinge_real,
)

SMALL = DiscriminatorConfig(filters=4, windows=(256, 64))


def verdict(*logits: float) -> list[Verdict]:
    return [Verdict(torch.tensor(logits), [])]


def test_one_verdict_a_scale_with_windows_in_time_and_halved_frequencies():
    verdicts = MultiScaleSTFTDiscriminator(SMALL)(torch.randn(3, 1, 1920))
    assert len(verdicts) == 2
    for window, each in zip(SMALL.windows, verdicts, strict=True):
        windows = 1920 // (window // 4) + 1
        widths = [feature.shape[3] for feature in each.features]
        assert all(feature.shape[:3] == (3, 4, windows) for feature in each.features)
        assert widths[0] == window // 2 + 1 and widths[1] == (widths[0] + 1) // 2
        assert each.logits.shape[:3] == (3, 1, windows)


def test_the_published_size():
    """EnCodec's, with 32 filters on five scales."""
    config = DiscriminatorConfig()
    assert config.filters == 32 and sorted(config.windows) == [128, 256, 512, 1024, 2048]


@torch.no_grad()
def test_a_new_one_already_sees_how_sounds_differ():
    torch.manual_seed(0)
    judge, quiet = MultiScaleSTFTDiscriminator(DiscriminatorConfig(filters=8)), 0.05 * torch.randn(2, 1, 9600)
    seen = [feature.square().mean().sqrt().item() for v in judge(quiet) for feature in v.features]
    assert min(seen) > 0.1 and max(seen) < 10, "neither lost on the way nor blown up"
    assert feature_matching(judge(0 * quiet), judge(quiet)) == pytest.approx(1.0)
    assert feature_matching(judge(3 * quiet), judge(quiet)) == pytest.approx(2.0, rel=1e-3)


def test_hinge_losses_by_hand():
    close(hinge_real(verdict(2.0, 0.5, -1.0)), torch.tensor((0 + 0.5 + 2) / 3))
    close(hinge_fake(verdict(-2.0, -0.5, 1.0)), torch.tensor((0 + 0.5 + 2) / 3))
    close(adversarial(verdict(0.0, 3.0)), torch.tensor(0.5))


def test_feature_matching_is_relative_and_leaves_the_original_alone():
    real = [Verdict(torch.zeros(1), [torch.full((2, 2), 4.0, requires_grad=True)])]
    fake = [Verdict(torch.zeros(1), [torch.full((2, 2), 5.0, requires_grad=True)])]
    loss = feature_matching(fake, real)
    assert loss.item() == pytest.approx(0.25)
    loss.backward()
    assert fake[0].features[0].grad is not None and real[0].features[0].grad is None


def test_it_learns_to_tell_noise_from_tones():
    torch.manual_seed(0)
    judge, time = MultiScaleSTFTDiscriminator(SMALL), torch.arange(2400) / 24_000
    optimizer = torch.optim.AdamW(judge.parameters(), 3e-3, betas=(0.5, 0.9))

    def sounds() -> tuple[torch.Tensor, torch.Tensor]:
        pitch = 200 + 400 * torch.rand(4, 1, 1)
        return 0.3 * torch.sin(2 * torch.pi * pitch * time), 0.2 * torch.randn(4, 1, 2400)

    for _ in range(30):
        tone, noise = sounds()
        loss = hinge_real(judge(tone)) + hinge_fake(judge(noise))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert without_gradient(judge) == []
    tone, noise = sounds()
    assert hinge_real(judge(tone)) + hinge_fake(judge(noise)) < 0.5  # 2 before it has learnt anything
