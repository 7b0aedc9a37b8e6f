"""Acoustic delay: shifting parallel streams against each other and back (Moshi paper, section 3.4.2).

In a frame, the acoustic codes depend on the semantic code. If they are written a frame later, the large
Temporal Transformer has already seen the semantic code when it predicts them. With delays (0, 1):

    stream 0   a0 a1 a2 a3            a0 a1 a2 a3
    stream 1   b0 b1 b2 b3   delay->  .  b0 b1 b2     (. is the initial token; b3 falls off the end)

Shapes: B batch, K streams, F frames.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def shift(x: Tensor, steps: Tensor, fill: Tensor | float) -> Tensor:
    """Move stream k of x (B, K, F, ...) by steps[k] frames, to later frames if positive. Frames that
    come into being hold `fill`, a number or a tensor that broadcasts against x."""
    frames = x.shape[2]
    source = torch.arange(frames, device=x.device) - steps.to(x.device)[:, None]  # (K, F): where from
    inside = (source >= 0) & (source < frames)
    extra = [1] * (x.dim() - 3)
    index = source.clamp(0, frames - 1).view(1, *source.shape, *extra).expand_as(x)
    return torch.where(inside.view(1, *inside.shape, *extra), x.gather(2, index), fill)


def delay(codes: Tensor, delays: Sequence[int], initial: Sequence[int]) -> Tensor:
    """Delay stream k of codes (B, K, F) by delays[k] frames; its first frames hold initial[k].

    Raises ValueError if there is not one delay and one initial token for each stream.
    """
    _check(codes, delays)
    if len(initial) != codes.shape[1]:
        raise ValueError(f"expected {codes.shape[1]} initial tokens (one a stream), got {len(initial)}")
    fill = torch.tensor(initial, device=codes.device)[None, :, None]  # (1, K, 1)
    return shift(codes, torch.tensor(delays), fill)


def undelay(x: Tensor, delays: Sequence[int], fill: float) -> Tensor:
    """The inverse of `delay`, for codes (B, K, F) or logits (B, K, F, V). What `delay` pushed over the
    end cannot be known: the last delays[k] frames of stream k hold `fill`."""
    _check(x, delays)
    return shift(x, -torch.tensor(delays), torch.tensor(fill, dtype=x.dtype, device=x.device))


def known(delays: Sequence[int], frames: int) -> Tensor:
    """(K, F) bool: the frames that survive `undelay(delay(...))`."""
    return torch.arange(frames) < frames - torch.tensor(delays)[:, None]


def _check(x: Tensor, delays: Sequence[int]) -> None:
    if len(delays) != x.shape[1]:
        raise ValueError(f"expected {x.shape[1]} delays (one a stream), got {len(delays)}")
    if any(d < 0 for d in delays):
        raise ValueError(f"delays must not be negative, got {tuple(delays)}")
