"""A gradient balancer: weights of losses that mean what they say (after Défossez et al. 2022, section 3.4).

Losses of a sound differ by orders of magnitude in the gradients that they send back, and the difference changes
as training goes on. The balancer looks at the gradient of each loss with respect to the output and brings it to
the running mean of the first one's length; only then it applies the weights. A loss of twice the weight moves the
output twice as much, always.

Shapes: B batch, T samples, L losses.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .distribution import mean

DECAY = 0.99  # of the running mean


class Balancer(nn.Module):
    """Combines losses of one output by their weights, {name: weight}."""

    def __init__(self, weights: Mapping[str, float]):
        super().__init__()
        self.weights = dict(weights)
        self.register_buffer("lengths", torch.zeros(len(self.weights)))  # (L,) decaying sums of the gradients' lengths

    def forward(self, losses: Mapping[str, Tensor], output: Tensor) -> Tensor:
        """Losses that were computed from output (B, 1, T) -> a scalar: its value is their weighted sum, its gradient
        with respect to the output the balanced one."""
        gradients = [torch.autograd.grad(losses[name], output, retain_graph=True)[0] for name in self.weights]
        lengths = mean(torch.stack([g.flatten(1).norm(dim=1).mean() for g in gradients]))  # (L,)
        self.lengths.mul_(DECAY).add_((1 - DECAY) * lengths)
        weights = torch.tensor(list(self.weights.values()), device=output.device)
        scales = weights * self.lengths[0] / self.lengths.clamp(min=1e-12)  # (L,)
        combined = sum(scale * gradient for scale, gradient in zip(scales, gradients, strict=True))
        surrogate = (output * combined).sum()  # its gradient is `combined`
        value = sum(weight * losses[name].detach() for name, weight in self.weights.items())
        return surrogate + (value - surrogate).detach()
