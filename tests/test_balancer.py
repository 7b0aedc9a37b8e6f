"""The gradient balancer: a weight is a share of the movement, however large a loss is."""

import pytest
import torch
from conftest import close

from moshi_ref.training.balancer import Balancer


def gradient(balancer: Balancer, scale: float = 1.0) -> torch.Tensor:
    """Of one call with losses that pull an output (1, 1, 2) along its two axes, the second `scale` times as hard."""
    output = torch.zeros(1, 1, 2, requires_grad=True)
    losses = {"a": 3 * output[..., 0].sum(), "b": scale * output[..., 1].sum(), "aside": output.sum()}
    balancer(losses, output).backward()
    return output.grad[0, 0]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_size_of_a_loss_does_not_matter(scale):
    close(gradient(Balancer({"a": 1.0, "b": 2.0}), scale), torch.tensor([3.0, 6.0]))


def test_the_first_loss_keeps_its_gradient():
    close(gradient(Balancer({"a": 1.0})), torch.tensor([3.0, 0.0]))


def test_lengths_are_remembered():
    balancer = Balancer({"a": 1.0, "b": 1.0})
    for _ in range(400):
        gradient(balancer, 1.0)
    moved = gradient(balancer, 10.0)  # one unusual batch is not evened out
    assert 25 < moved[1] < 30 and moved[0] == pytest.approx(3.0)
    resumed = Balancer({"a": 1.0, "b": 1.0})
    resumed.load_state_dict(balancer.state_dict())
    close(gradient(resumed, 1.0), gradient(balancer, 1.0))


def test_the_value_is_the_weighted_sum():
    output = torch.ones(2, 1, 5, requires_grad=True)
    losses = {"a": output.square().mean(), "b": output.mean()}
    assert Balancer({"a": 2.0, "b": 0.5})(losses, output).item() == pytest.approx(2.5)
