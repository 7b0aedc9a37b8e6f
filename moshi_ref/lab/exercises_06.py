"""The checkers of notebook 06: cutting a crop, feature matching, balancing gradients, the learning rate."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .exercises import Verdict, expect, judge


def check_cut(cut: Callable[[Tensor, int, int], Tensor]) -> Verdict:
    """cut(wav (T,), start, length) -> the samples from start on, (length,), zeros where there is no sound."""
    cases = ((10, 3, 4), (10, -3, 8), (10, 6, 9), (5, -4, 20), (6, 9, 4), (6, -9, 4), (7, 0, 7))
    return judge(
        lambda: [_try_cut(cut, *case) for case in cases],
        "any place of a sound can be cut out, with silence where there is none.",
        (
            "Three parts may be needed: zeros before the sound, a piece of the sound, zeros after it. A sound with "
            "enough zeros on both sides makes all cases one.",
            "<code>torch.nn.functional.pad(wav, (before, after))</code> puts zeros on both sides. With "
            "<code>length</code> zeros on each side, sample 0 of the sound is at <code>length</code>.",
            "A start far outside would still leave the padded sound. Bring it back with "
            "<code>max(-length, min(start, len(wav)))</code>; then cut <code>length</code> samples from "
            "<code>start + length</code> on.",
        ),
    )


def _try_cut(cut, size: int, start: int, length: int) -> None:
    wav = torch.arange(1.0, size + 1)
    given = wav.clone()
    right = torch.tensor([wav[i].item() if 0 <= i < size else 0.0 for i in range(start, start + length)])
    got = cut(given, start, length)
    case = f"with a sound of {size} samples, start {start} and length {length}"
    expect(isinstance(got, Tensor), f"{case}, expected a tensor, got {type(got).__name__}.")
    expect(
        tuple(got.shape) == (length,),
        f"{case}, expected {length} samples, got {tuple(got.shape)}. All crops of a batch must have one length, also "
        "those that reach over an end of the sound.",
    )
    expect(
        start >= 0 or not torch.equal(got, wav.roll(-start)[:length]),
        f"{case}, samples of the end came to the front: Python counts negative indices from the end.",
    )
    expect(
        torch.equal(got, right),
        f"{case}, expected {right.int().tolist()}, got {got.int().tolist()}. Sample i of the result is sample "
        "start + i of the sound, and 0 where the sound has none.",
    )
    expect(torch.equal(given, wav), f"{case}, your function changed the sound that it was given.")


def check_feature_distance(feature_distance: Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]) -> Verdict:
    """feature_distance(fake [(B, ...)], real [(B, ...)]) -> scalar; a mean of relative differences."""
    return judge(
        lambda: [_try_feature_distance(feature_distance, *case) for case in ((1, 1), (3, 1), (2, 4))],
        "each layer and each row counts as a share of its own size, and the originals are left alone.",
        (
            "For one layer and one row: the mean absolute difference, divided by the mean absolute value of the "
            "original. Then take the mean over the rows, and the mean over the layers.",
            "<code>x.flatten(1)</code> makes (B, everything else), and <code>.mean(1)</code> is a mean for each row. "
            "The originals must be constants: <code>real.detach()</code>.",
            "<code>f, r = fake.flatten(1), real.detach().flatten(1)</code>, then "
            "<code>((f - r).abs().mean(1) / r.abs().mean(1)).mean()</code> for each layer.",
        ),
    )


def _try_feature_distance(feature_distance, rows: int, layers: int) -> None:
    dice = torch.Generator().manual_seed(layers)
    sizes = [(rows, 2 + i, 3 + i) for i in range(layers)]
    scales = [(10.0**i) * torch.arange(1.0, rows + 1)[:, None, None] for i in range(layers)]  # rows differ in size too
    real = [s * (1 + torch.rand(size, generator=dice)) for s, size in zip(scales, sizes, strict=True)]
    fake = [r + s * torch.randn(r.shape, generator=dice) for r, s in zip(real, scales, strict=True)]
    real, fake = ([x.requires_grad_() for x in several] for several in (real, fake))
    differences = [(f - r).abs().flatten(1).mean(1) for f, r in zip(fake, real, strict=True)]
    sizes_of = [r.abs().flatten(1).mean(1) for r in real]
    right = sum((d / s).mean() for d, s in zip(differences, sizes_of, strict=True)) / layers
    got = feature_distance(fake, real)
    case = f"with {layers} layers and {rows} rows"
    expect(isinstance(got, Tensor) and got.ndim == 0, f"{case}, expected a tensor with one number, got {got!r}.")
    expect(
        torch.allclose(feature_distance(real, real).detach(), torch.tensor(0.0)),
        f"{case}, equal features must have the distance 0.",
    )
    plain = sum(d.mean() for d in differences) / layers
    expect(
        abs(got - plain) > 1e-4 * plain or abs(right - plain) < 1e-4 * plain,
        f"{case}, this is the plain difference. Divide each by the size of the original's features: otherwise a layer "
        "with large numbers drowns the others.",
    )
    summed = layers * right
    expect(
        layers == 1 or abs(got - summed) > 1e-4 * summed,
        f"{case}, this is the sum over the layers; take the mean, so that the weight of the loss does not depend on "
        "how many layers there are.",
    )
    expect(
        torch.allclose(got, right, rtol=1e-4),
        f"{case}, expected {right:.4f}, got {got:.4f}. Divide for each row of each layer, before any mean over rows.",
    )
    expect(got.requires_grad, f"{case}, no gradient reaches the features of the output, so the codec learns nothing.")
    got.backward()
    expect(
        all(r.grad is None or not r.grad.any() for r in real),
        f"{case}, a gradient reaches the original's features. They are what is wanted, so they must be constants.",
    )


def check_balance(balance: Callable[[Sequence[Tensor], Sequence[float]], Tensor]) -> Verdict:
    """balance(gradients [(N,)], weights) -> (N,): each at the first one's length, times its weight, added up."""
    return judge(
        lambda: [_try_balance(balance, *case) for case in ((2, (1.0, 1.0)), (2, (1.0, 3.0)), (5, (2.0, 0.1, 4.0)))],
        "a weight says how strongly a loss pulls, whatever its size.",
        (
            "A gradient divided by its length says only where the loss wants to go. Its length must come from "
            "somewhere else: from the first gradient, and from the weight.",
            "<code>gradient.norm()</code> is the length. Each gradient gets the factor weight times length of the "
            "first, divided by its own length.",
            "<code>first = gradients[0].norm()</code>; then the sum of <code>w * first / g.norm() * g</code> over both "
            "lists. The first one keeps its length, times its weight.",
        ),
    )


def _try_balance(balance, size: int, weights: tuple[float, ...]) -> None:
    dice = torch.Generator().manual_seed(size)
    gradients = [10.0 ** (3 * i) * torch.randn(size, generator=dice) for i in range(len(weights))]
    first = gradients[0].norm()
    right = sum(w * first * g / g.norm() for w, g in zip(weights, gradients, strict=True))
    got = balance([g.clone() for g in gradients], weights)
    case = f"with gradients of length {', '.join(f'{g.norm():.3g}' for g in gradients)} and the weights {weights}"
    expect(isinstance(got, Tensor) and got.shape == (size,), f"{case}, expected one vector ({size},), got {got!r}.")
    plain = sum(w * g for w, g in zip(weights, gradients, strict=True))
    expect(
        not torch.allclose(got, plain),
        f"{case}, this is the plain weighted sum: the longest gradient decides alone, whatever its weight.",
    )
    unit = right / first
    expect(
        not torch.allclose(got, unit, rtol=1e-3),
        f"{case}, every gradient has length 1. They should have the length of the first one, so that the step gets "
        "smaller when the losses have little left to say.",
    )
    expect(
        torch.allclose(got, right, rtol=1e-3),
        f"{case}, expected {[round(v, 3) for v in right.tolist()]}, got {[round(v, 3) for v in got.tolist()]}.",
    )


def check_learning_rate(learning_rate: Callable[[int, int, int, float], float]) -> Verdict:
    """learning_rate(step, steps, warmup, largest) -> a number: linear warm-up, then half a cosine down to 2 %."""
    return judge(
        lambda: [
            _try_learning_rate(learning_rate, *case) for case in ((100, 10, 1e-3), (1000, 50, 2e-3), (20, 1, 1.0))
        ],
        "it climbs, then falls as half a cosine, and never reaches 0.",
        (
            "Two cases. While step is less than warmup, the share is (step + 1) / warmup. After that, ask how much of "
            "the way from warmup to steps is done: 0 at first, 1 at the end.",
            "Half a cosine: <code>(1 + math.cos(math.pi * done)) / 2</code> goes from 1 to 0.",
            "It should end at 2 %, so the share is <code>0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2</code> with "
            "<code>done = (step - warmup) / (steps - warmup)</code>.",
        ),
    )


def _try_learning_rate(learning_rate, steps: int, warmup: int, largest: float) -> None:
    case = f"with {steps} steps, {warmup} of them warm-up, and a largest rate of {largest:g}"
    expect(
        learning_rate(0, steps, warmup, largest) > 0,
        f"{case}, the rate of step 0 is 0, and the first batch is wasted. Begin with (0 + 1) / warmup.",
    )
    for step in range(warmup):
        got, right = learning_rate(step, steps, warmup, largest), largest * (step + 1) / warmup
        expect(
            math.isclose(got, right, rel_tol=1e-6),
            f"{case}, step {step} is in the warm-up: expected {right:.6g}, got {got:.6g}.",
        )
    last = learning_rate(steps, steps, warmup, largest)
    expect(
        not math.isclose(last, 0.0, abs_tol=1e-9),
        f"{case}, the rate falls to 0. Let it end at 2 % of the largest one.",
    )
    for step in range(warmup, steps + 1):
        done = (step - warmup) / (steps - warmup)
        right = largest * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
        got = learning_rate(step, steps, warmup, largest)
        expect(
            math.isclose(got, right, rel_tol=1e-6),
            f"{case}, at step {step} {100 * done:.0f} % of the way down are done: expected {right:.6g}, got {got:.6g}.",
        )
