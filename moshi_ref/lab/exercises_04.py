"""The checkers of notebook 04: perplexity, residual quantization, straight-through gradient, moving averages."""

from collections.abc import Callable

import torch
from torch import Tensor

from .exercises import Verdict, expect, judge


def check_perplexity(perplexity: Callable[[Tensor, int], float]) -> Verdict:
    """perplexity(codes (N,), entries) -> a number between 1 and entries."""
    cases = (
        ("4 entries, all used alike", [0, 1, 2, 3] * 5, 4, 4.0),
        ("1 of 8 entries used", [5] * 7, 8, 1.0),
        ("2 of 8 entries used alike", [1, 6] * 9, 8, 2.0),
        ("2 of 2 entries, one used three times as often", [0, 0, 0, 1], 2, 4 / 3**0.75),
    )
    return judge(
        lambda: [_try_perplexity(perplexity, *case) for case in cases],
        "it counts the entries that a codebook really uses.",
        (
            "First the shares: <code>torch.bincount(codes, minlength=entries)</code> counts, and a division by the "
            "number of codes makes shares p that add up to 1.",
            "The entropy is minus the sum of p log p. An entry that is never used has p = 0, and its term is 0, but "
            "the computer says 0 times minus infinity, which is NaN.",
            "<code>torch.xlogy(p, p)</code> is p log p with the right value at 0. The result is "
            "<code>torch.exp(-torch.xlogy(p, p).sum()).item()</code>.",
        ),
    )


def _try_perplexity(perplexity, case: str, codes: list[int], entries: int, right: float) -> None:
    got = float(perplexity(torch.tensor(codes), entries))
    expect(
        got == got,
        f"{case}: got NaN. An entry that is never used contributes nothing; take care of 0 times log 0.",
    )
    expect(
        abs(got - torch.tensor(right).log().item()) > 1e-4 or abs(got - right) < 1e-4,
        f"{case}: got {got:.3f}, which is the entropy in nats. The perplexity is its exponential, here {right:.3f}.",
    )
    expect(
        abs(got - right) < 1e-3,
        f"{case}: expected {right:.3f}, got {got:.3f}. Perplexity is exp of minus the sum of p log p, with the natural "
        "logarithm in both places (or base 2 in both).",
    )


def check_residual_codes(residual_codes: Callable[[Tensor, list[Tensor]], Tensor]) -> Verdict:
    """residual_codes(vectors (N, C), codebooks [(V, C)]) -> codes (Q, N) int64."""
    return judge(
        lambda: [_try_residual_codes(residual_codes, *case) for case in ((5, 2, 4, 1), (50, 3, 8, 3), (7, 6, 16, 8))],
        "each codebook quantizes what the ones before left over.",
        (
            "Keep a variable <code>residual</code>. At first it is the vectors. Each codebook finds the entry nearest "
            "to the residual, and then the residual changes.",
            "<code>torch.cdist(residual, codebook).argmin(1)</code> are the codes of one level, and "
            "<code>codebook[code]</code> are the entries that they stand for.",
            "In the loop: find the codes, append them to a list, <code>residual = residual - codebook[code]</code>. "
            "At the end, <code>torch.stack</code> the list.",
        ),
    )


def _try_residual_codes(residual_codes, count: int, width: int, entries: int, levels: int) -> None:
    dice = torch.Generator().manual_seed(levels)
    vectors = torch.randn(count, width, generator=dice)
    codebooks = [torch.randn(entries, width, generator=dice) * 0.6**level for level in range(levels)]
    right, unsubtracted, residual = [], [], vectors
    for codebook in codebooks:
        right.append(torch.cdist(residual, codebook).argmin(1))
        unsubtracted.append(torch.cdist(vectors, codebook).argmin(1))
        residual = residual - codebook[right[-1]]
    given = vectors.clone()
    got = residual_codes(given, codebooks)
    case = f"with {count} vectors of {width} numbers and {levels} codebooks of {entries} entries"
    expect(isinstance(got, Tensor), f"{case}, expected a tensor, got {type(got).__name__}.")
    expect(
        tuple(got.shape) == (levels, count),
        f"{case}, expected the shape {(levels, count)}: one row of codes for each codebook; got {tuple(got.shape)}.",
    )
    expect(not got.is_floating_point(), f"{case}, codes are whole numbers, but {got.dtype} came back.")
    expect(torch.equal(got[0], right[0]), f"{case}, already the codes of the first codebook are not the nearest.")
    expect(
        levels == 1 or not torch.equal(got, torch.stack(unsubtracted)),
        f"{case}, every codebook got the original vectors. From the second one on, it must get what is left over: the "
        "vector minus all entries that were chosen so far.",
    )
    expect(
        torch.equal(got, torch.stack(right)),
        f"{case}, the codes go wrong after the first codebook. Subtract the chosen entry from the residual, not from "
        "the vectors, so that all entries so far are taken off.",
    )
    expect(
        torch.equal(given, vectors),
        f"{case}, your function changed the vectors that it was given. Write `residual = residual - ...` instead of "
        "`residual -= ...`.",
    )


def check_straight_through(straight_through: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """straight_through(x, quantized) -> a tensor with the value of `quantized` and the gradient of x."""
    return judge(
        lambda: _try_straight_through(straight_through),
        "forward it is the entry, backward it is as if nothing had been quantized.",
        (
            "<code>y.detach()</code> has the value of y, but no gradient flows through it. You need a sum in which x "
            "stands once without it.",
            "Forward, x must cancel. So the sum begins with x and contains minus x as well, and that one is detached.",
            "<code>x + (quantized - x).detach()</code>.",
        ),
    )


def _try_straight_through(straight_through) -> None:
    dice = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, generator=dice, requires_grad=True)
    entry = torch.randn(3, 4, generator=dice, requires_grad=True)
    weight = torch.randn(3, 4, generator=dice)
    out = straight_through(x, entry)
    expect(isinstance(out, Tensor), f"expected a tensor, got {type(out).__name__}.")
    expect(
        out.shape == x.shape and torch.allclose(out, entry, atol=1e-6),
        "forward, the result must be the quantized vectors: the decoder has to see what it will see in use.",
    )
    expect(
        out.requires_grad,
        "no gradient reaches anything: the result is detached as a whole. Only a part of it may be.",
    )
    (out * weight).sum().backward()
    expect(x.grad is not None, "no gradient reaches x, so the encoder would learn nothing.")
    expect(
        torch.allclose(x.grad, weight, atol=1e-6),
        "the gradient of x must be the gradient of the result, unchanged, as if the result were x.",
    )
    expect(
        entry.grad is None or not bool(entry.grad.any()),
        "a gradient reaches the entries. They learn by moving averages, so none should flow to them: is everything "
        "detached in which `quantized` stands?",
    )


def check_moving_averages(
    moving_averages: Callable[[Tensor, Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]],
) -> Verdict:
    """moving_averages(usage (V,), sums (V, C), vectors (N, C), codes (N,), decay) -> new usage and new sums."""
    return judge(
        lambda: [
            _try_moving_averages(moving_averages, *case) for case in ((6, 4, 2, 0.9), (40, 8, 3, 0.99), (5, 3, 1, 0.0))
        ],
        "the entries follow the vectors that choose them.",
        (
            "Both quantities move in the same way: <code>decay * old + (1 - decay) * new</code>. For the usage, new is "
            "the number of vectors that chose each entry in this batch.",
            "<code>torch.bincount(codes, minlength=len(usage))</code> counts. For the sums, begin with "
            "<code>torch.zeros_like(sums)</code> and add each vector to the row of its code.",
            "<code>torch.zeros_like(sums).index_add_(0, codes, vectors)</code> does that in one call. An entry that "
            "nobody chose gets 0 in both, and decays.",
        ),
    )


def _try_moving_averages(moving_averages, count: int, entries: int, width: int, decay: float) -> None:
    dice = torch.Generator().manual_seed(count)
    vectors = torch.randn(count, width, generator=dice)
    codes = torch.randint(entries - 1, (count,), generator=dice)  # nobody chooses the last entry
    usage, sums = torch.rand(entries, generator=dice) + 1, torch.randn(entries, width, generator=dice)
    chosen = torch.stack([(codes == entry).sum() for entry in range(entries)]).float()
    added = torch.stack([vectors[codes == entry].sum(0) for entry in range(entries)])
    got = moving_averages(usage.clone(), sums.clone(), vectors, codes, decay)
    case = f"with {count} vectors, {entries} entries and a decay of {decay}"
    expect(isinstance(got, tuple) and len(got) == 2, f"{case}, expected two tensors: the new usage and the new sums.")
    new_usage, new_sums = got
    expect(
        new_usage.shape == usage.shape and new_sums.shape == sums.shape,
        f"{case}, expected the shapes {tuple(usage.shape)} and {tuple(sums.shape)}, got {tuple(new_usage.shape)} and "
        f"{tuple(new_sums.shape)}. An entry that nobody chose needs a row too.",
    )
    swapped = (1 - decay) * usage + decay * chosen
    expect(
        not torch.allclose(new_usage, swapped, atol=1e-5) or abs(decay - 0.5) < 1e-6,
        f"{case}, the weights are exchanged: the old value counts with `decay`, the new one with `1 - decay`.",
    )
    expect(
        torch.allclose(new_usage, decay * usage + (1 - decay) * chosen, atol=1e-5),
        f"{case}, the usage is wrong: decay times the old one, plus (1 - decay) times how often each entry was chosen.",
    )
    expect(
        torch.allclose(new_sums, decay * sums + (1 - decay) * added, atol=1e-5),
        f"{case}, the sums are wrong. Several vectors may have chosen the same entry: all of them must be added. "
        "`new[codes] += vectors` keeps only the last one.",
    )
