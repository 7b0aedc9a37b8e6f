"""The checkers of notebook 07: angles between frames, warped time, the ABX error, a teacher's mean."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..evaluation.abx import wrong
from ..training.distillation import pool
from .exercises import Verdict, expect, judge


def _shape(case: str, got, shape: tuple[int, ...]) -> None:
    expect(isinstance(got, Tensor), f"{case}, expected a tensor, got {type(got).__name__}.")
    expect(tuple(got.shape) == shape, f"{case}, expected the shape {shape}, got {tuple(got.shape)}.")


def check_angles(angles: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """angles(x (I, D), y (J, D)) -> angles between all frames (I, J), as shares of 180 degrees."""
    return judge(
        lambda: [_try_angles(angles, *case) for case in ((3, 4, 5), (6, 2, 8), (1, 1, 2))],
        "the length of a vector does not count, only its direction.",
        (
            "The cosine of an angle is the inner product of two vectors that were divided by their lengths.",
            "<code>x / x.norm(dim=1, keepdim=True)</code> divides each row by its length; a product with the transpose "
            "of the other, <code>@ y.T</code>, gives all pairs at once.",
            "Rounding may make a cosine 1.0000001, and its arccosine is not a number. So: "
            "<code>cosines.clamp(-1, 1).acos() / torch.pi</code>.",
        ),
    )


def _try_angles(angles, i: int, j: int, width: int) -> None:
    dice = torch.Generator().manual_seed(i)
    x, y = (torch.randn(count, width, generator=dice, dtype=torch.float64) for count in (i, j))
    case = f"with {i} and {j} frames of {width} numbers"
    got = angles(x.clone(), y.clone())
    _shape(case, got, (i, j))
    right = (F.normalize(x, dim=1) @ F.normalize(y, dim=1).T).clamp(-1, 1).acos() / torch.pi
    expect(
        not torch.allclose(got, right * torch.pi, atol=1e-4),
        f"{case}, got radians. Divide by pi: opposite directions have the distance 1.",
    )
    expect(
        not torch.allclose(got, (right * torch.pi).cos(), atol=1e-4),
        f"{case}, got the cosines themselves. The angle is their arccosine.",
    )
    expect(torch.allclose(got, right, atol=1e-4), f"{case}, the angles are wrong.")
    same = angles(7 * y, y)
    expect(
        bool(same.isfinite().all()), "a frame against itself gave NaN: a cosine was rounded to more than 1. Clamp it."
    )
    expect(float(same.diagonal().max()) < 1e-4, "a frame and seven times the same frame must have the distance 0.")


def check_warp(warp: Callable[[Tensor], float]) -> Verdict:
    """warp(costs (I, J)) -> the mean cost along the cheapest path from corner to corner."""
    cases = (torch.zeros(3, 3), 1 - torch.eye(4), torch.tensor([[0.0, 0, 1], [1, 0.5, 0], [1, 1, 0]]))
    return judge(
        lambda: [_try_warp(warp, case) for case in (*cases, *_dice_costs())],
        "whoever speaks slowly says the same.",
        (
            "Let <code>total[i, j]</code> be the cost of the cheapest path from the upper left corner to cell (i, j). "
            "The path came from above, from the left, or from both at once.",
            "Give the table one more row and column, full of infinity, and 0 in its corner. Then no cell is special: "
            "<code>total[i, j] = costs[i - 1, j - 1] + min(of the three neighbours)</code>.",
            "The mean needs the number of cells on the path. Keep pairs (total, cells): <code>min</code> compares the "
            "total first, and of equal ones takes the shorter path. The result is total / cells of the last pair.",
        ),
    )


def _dice_costs() -> list[Tensor]:
    dice = torch.Generator().manual_seed(0)
    return [torch.rand(i, j, generator=dice) for i, j in ((1, 1), (1, 5), (4, 2), (5, 7), (6, 6))]


def _cheapest(costs: Tensor) -> tuple[float, int]:
    """The cheapest total, and how many cells its path has; of equally cheap ones the shortest."""
    height, width = costs.shape
    table = {(i, j): (float("inf"), 0) for i in range(-1, height) for j in range(-1, width)} | {(-1, -1): (0.0, 0)}
    for i in range(height):
        for j in range(width):
            total, cells = min(table[i - 1, j - 1], table[i - 1, j], table[i, j - 1])
            table[i, j] = (total + float(costs[i, j]), cells + 1)
    return table[height - 1, width - 1]


def _try_warp(warp, costs: Tensor) -> None:
    height, width = costs.shape
    case = f"for costs of shape {(height, width)}"
    total, cells = _cheapest(costs)
    right, got = total / cells, float(warp(costs.clone()))
    expect(got == got and abs(got) != float("inf"), f"{case}, got {got}. Where may a path begin?")
    if height == width > 1:
        diagonal = float(costs.diagonal().mean())
        expect(
            abs(got - diagonal) > 1e-5 or abs(right - diagonal) < 1e-5,
            f"{case}, got the mean of the diagonal. A path may also go right or down only.",
        )
    expect(
        abs(got - total) > 1e-5 or abs(total - right) < 1e-5,
        f"{case}, got {got:.4f}, the total of the path. The mean divides it by the cells on the path, here {cells}.",
    )
    expect(abs(got - right) < 1e-4, f"{case}, expected {right:.4f}, got {got:.4f}.")


def check_abx_error(abx_error: Callable[[Tensor, Tensor], float]) -> Verdict:
    """abx_error(to_a (X, A), to_b (X, B)) -> the share of wrong triples, ties counted half."""
    return judge(
        lambda: [_try_abx_error(abx_error, *case) for case in _abx_cases()],
        "a tie is a coin that is tossed: half an error.",
        (
            "A triple takes one X, one A and one B, so there are X times A times B of them. Put the two tables next to "
            "each other with a new axis: <code>to_a[:, :, None]</code> and <code>to_b[:, None, :]</code>.",
            "A triple is wrong where A is further away than B, and half wrong where both are equally far.",
            "<code>((a &gt; b).float() + 0.5 * (a == b).float()).mean().item()</code>.",
        ),
    )


def _abx_cases() -> list[tuple[str, Tensor, Tensor]]:
    dice = torch.Generator().manual_seed(1)
    coarse = [torch.randint(3, (4, n), generator=dice) / 2 for n in (3, 5)]
    return [
        ("A is always nearer", torch.zeros(2, 3), torch.ones(2, 2)),
        ("B is always nearer", torch.ones(2, 3), torch.zeros(2, 2)),
        ("all are equally far", torch.ones(2, 3), torch.ones(2, 2)),
        ("random distances", torch.rand(4, 3, generator=dice), torch.rand(4, 5, generator=dice)),
        ("random distances with many ties", *coarse),
    ]


def _try_abx_error(abx_error, case: str, to_a: Tensor, to_b: Tensor) -> None:
    right, got = float(wrong(to_a, to_b).mean()), float(abx_error(to_a.clone(), to_b.clone()))
    pairs = to_a[:, :, None], to_b[:, None, :]
    for name, slip in (("ties count as right", pairs[0] > pairs[1]), ("ties count as errors", pairs[0] >= pairs[1])):
        slipped = float(slip.double().mean())
        expect(
            abs(got - slipped) > 1e-5 or abs(right - slipped) < 1e-5,
            f"{case}: expected {right:.3f}, got {got:.3f}, because {name}. Features that never change would then be "
            "judged perfect, or worse than chance.",
        )
    expect(
        abs(got - (1 - right)) > 1e-5 or abs(right - 0.5) < 1e-5,
        f"{case}: expected {right:.3f}, got {got:.3f}, which is the share of right triples.",
    )
    expect(abs(got - right) < 1e-5, f"{case}: expected {right:.3f}, got {got:.3f}.")


def check_pooled(pooled: Callable[[Tensor], Tensor]) -> Verdict:
    """pooled(vectors (4 * F, E)) -> means (F, E), each over eight vectors, fewer at the ends."""
    return judge(
        lambda: [_try_pooled(pooled, *case) for case in ((2, 3), (7, 5), (1, 2))],
        "a frame's vector also knows the 40 ms before the frame and the 40 ms after it.",
        (
            "Frame f lasts from vector 4f to vector 4f + 4. The window begins two vectors earlier and ends two later.",
            "At the ends, some of the eight do not exist. The mean is over those that do: cut with "
            "<code>max(0, first)</code>; a slice that is too long ends by itself.",
            "<code>[vectors[max(0, 4 * f - 2) : 4 * f + 6].mean(0) for f in range(len(vectors) // 4)]</code>, stacked.",
        ),
    )


def _try_pooled(pooled, frames: int, width: int) -> None:
    vectors = torch.randn(4 * frames, width, generator=torch.Generator().manual_seed(frames))
    right, got, case = pool(vectors[None])[0], pooled(vectors.clone()), f"for {4 * frames} vectors"
    _shape(case, got, (frames, width))
    expect(
        frames == 1 or not torch.allclose(got, vectors.view(frames, 4, width).mean(1), atol=1e-5),
        f"{case}, each mean is over its own frame only. The window has eight vectors: two more on either side.",
    )
    padded = F.pad(vectors.T[None], (2, 2)).unfold(2, 8, 4).mean(-1)[0].T
    expect(
        not torch.allclose(got, padded, atol=1e-5),
        f"{case}, the ends are too small: zeros were averaged in. Divide by how many vectors there are.",
    )
    causal = torch.stack([vectors[max(0, 4 * f - 4) : 4 * f + 4].mean(0) for f in range(frames)])
    expect(
        frames == 1 or not torch.allclose(got, causal, atol=1e-5),
        f"{case}, the window ends with the frame. Mimi could know that much; the paper's window looks 40 ms further.",
    )
    expect(
        torch.allclose(got, right, atol=1e-5), f"{case}, the means are wrong: frame f takes vectors 4f - 2 to 4f + 5."
    )
