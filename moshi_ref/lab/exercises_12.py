"""The checkers of notebook 12: the weighted loss of text, steps that are spread evenly, Adam with a state for each kind
of step, an adapter that becomes a matrix."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .exercises import Verdict, expect, judge

EPAD, PAD, NOTHING = 0, 3, -1
BETAS, TINY = (0.9, 0.95), 1e-8


# --- Exercise 1 -----------------------------------------------------------------------------------


def check_text_nats(text_nats: Callable[[Tensor, Tensor, float], Tensor]) -> Verdict:
    """text_nats(nats (F,), tokens (F,), padding) -> the weighted mean, a scalar."""
    return judge(
        lambda: [_try_text_nats(text_nats, tokens, padding) for tokens, padding in (
            ((3, 3, 0, 10, 11, 3), 0.5), ((3, 0, 10, -1, -1, 12), 0.5), ((3, 3, 3, 0, 10, 3), 1.0),
            ((3, 0, 10, 3, 3, 3), 0.0), ((-1, -1, -1, -1, -1, -1), 0.5))],
        "words count once, PAD and EPAD count what they are told, nothing counts nothing, and the sum of the weights "
        "divides.",
        (
            "Give each frame a weight first. Three kinds of frames: words, padding, nothing.",
            "PAD is 3 and EPAD is 0, so padding and nothing are exactly the tokens up to 3. Of these, the ones that "
            "are -1 weigh 0. Divide by the sum of the weights, not by the number of frames.",
            "<code>weights = torch.where(tokens &lt;= 3, padding, 1.0) * (tokens &gt;= 0)</code>, and then "
            "<code>(nats * weights).sum() / weights.sum().clamp(min=1e-9)</code>.",
        ),
    )  # fmt: skip


def text_nats_of(nats: Tensor, tokens: Tensor, padding: float) -> Tensor:
    weights = torch.where(tokens <= PAD, padding, 1.0) * (tokens >= 0)
    return (nats * weights).sum() / weights.sum().clamp(min=1e-9)


def _try_text_nats(text_nats, tokens: Sequence[int], padding: float) -> None:
    nats, tokens = torch.arange(1.0, len(tokens) + 1), torch.tensor(tokens)
    got, right = float(text_nats(nats.clone(), tokens.clone(), padding)), float(text_nats_of(nats, tokens, padding))
    case = f"tokens {tokens.tolist()}, nats {nats.tolist()}, padding {padding}"
    if abs(got - right) < 1e-4:
        return
    there, words, pad = tokens >= 0, tokens > PAD, tokens == PAD
    weights = torch.where(tokens <= PAD, padding, 1.0)
    if not there.any():
        expect(False, f"{case}: where nothing counts, the loss is 0; got {got}. A sum of weights may be 0: "
               "clamp it.")  # fmt: skip
    epad_full = (torch.where(pad, padding, 1.0) * there).float()
    mistakes = {
        "divide by the sum of the weights. Divided by the number of frames, a batch with much padding would count "
        "less": (nats * weights * there).sum() / len(nats),
        "a frame with -1 holds nothing; it must not count, neither above nor below the line":
            (nats * weights).sum() / weights.sum(),
        "EPAD (0) is padding, too": (nats * epad_full).sum() / epad_full.sum(),
        "PAD and EPAD are left out; they should count, only less": (nats * words).sum() / words.sum().clamp(min=1),
        "all frames count alike": (nats * there).sum() / there.sum(),
    }
    for told, value in mistakes.items():
        expect(abs(got - float(value)) > 1e-4, f"{case}: got {got:.3f}; {told}.")
    expect(False, f"{case}: expected {right:.3f}, got {got:.3f}.")


# --- Exercise 2 -----------------------------------------------------------------------------------


def check_reads(reads: Callable[[int, float], bool]) -> Verdict:
    """reads(step, share) -> whether this step is one on text alone."""
    return judge(
        lambda: [_try_reads(reads, share) for share in (0.5, 0.1, 0.2, 0.3, 0.75, 0.0, 1.0)],
        "after any number of steps, the share is right to within one step, and nothing had to be remembered.",
        (
            "How many of the first <code>n</code> steps should have been on text? And of the first <code>n + 1</code>?",
            "Of the first n steps, <code>int(n * share)</code>. The step is one on text if this number grows by it.",
            "<code>return int((step + 1) * share) &gt; int(step * share)</code>",
        ),
    )


def _try_reads(reads, share: float) -> None:
    chosen = [bool(reads(step, share)) for step in range(400)]
    again = [bool(reads(step, share)) for step in range(400)]
    expect(chosen == again, f"share {share}: asked twice about the same step, it answers differently. A run that is "
           "resumed must choose as before, so chance or memory must not decide.")  # fmt: skip
    count = sum(chosen)
    expect(abs(count - 400 * share) <= 1, f"share {share}: of 400 steps {count} are on text, expected "
           f"{400 * share:.0f}.")  # fmt: skip
    for n in range(1, 401):
        so_far = sum(chosen[:n])
        expect(abs(so_far - n * share) <= 1, f"share {share}: after {n} steps {so_far} were on text, expected about "
               f"{n * share:.1f}. Spread them evenly: what is not practised for long is forgotten.")  # fmt: skip


# --- Exercise 3 -----------------------------------------------------------------------------------


def check_adam_steps(adam_steps: Callable[[Sequence[float], Sequence[str]], list[float]]) -> Verdict:
    """adam_steps(gradients, kinds) -> the step of each, for a rate of 1, with a state for each kind."""
    return judge(
        lambda: [_try_adam_steps(adam_steps, gradients, kinds) for gradients, kinds in (
            ((2.0,), "a"), ((1.0, 1.0, -1.0), "aaa"), ((10.0, 0.1, -10.0, 0.1, 10.0, 0.1), "ababab"),
            ((1.0, 5.0, 5.0, 2.0), "abba"))],
        "each kind has its own means, and its own count of steps; the small gradients step as far as the large ones.",
        (
            "Write Adam for one kind first: two means and a count. Then keep them in a dictionary, one entry a kind.",
            "<code>m = 0.9 m + 0.1 g</code>, <code>v = 0.95 v + 0.05 g * g</code>. Both start at 0, so after n steps "
            "of this kind divide them by <code>1 - 0.9 ** n</code> and <code>1 - 0.95 ** n</code>.",
            "<code>m, v, n = states.get(kind, (0.0, 0.0, 0))</code>; update; <code>states[kind] = m, v, n + 1</code>; "
            "the step is <code>(m / (1 - 0.9 ** n)) / ((v / (1 - 0.95 ** n)) ** 0.5 + 1e-8)</code> with the new n.",
        ),
    )  # fmt: skip


def adam(gradients: Sequence[float], kinds: Sequence[str], count_all: bool = False, corrected: bool = True
         ) -> list[float]:  # fmt: skip
    """The steps of Adam with a state for each kind; the two options are mistakes."""
    states: dict[str, tuple[float, float, int]] = {}
    steps = []
    for number, (g, kind) in enumerate(zip(gradients, kinds, strict=True), start=1):
        m, v, n = states.get(kind, (0.0, 0.0, 0))
        m, v, n = BETAS[0] * m + (1 - BETAS[0]) * g, BETAS[1] * v + (1 - BETAS[1]) * g * g, n + 1
        states[kind] = m, v, n
        count = number if count_all else n
        first, second = (1 - BETAS[0] ** count, 1 - BETAS[1] ** count) if corrected else (1.0, 1.0)
        steps.append((m / first) / ((v / second) ** 0.5 + TINY))
    return steps


def _try_adam_steps(adam_steps, gradients: Sequence[float], kinds: str) -> None:
    got, right = [float(step) for step in adam_steps(list(gradients), list(kinds))], adam(gradients, kinds)
    case = f"gradients {list(gradients)}, kinds {list(kinds)}"
    expect(len(got) == len(right), f"{case}: expected {len(right)} steps, one for each gradient, got {len(got)}.")

    def same(other: Sequence[float]) -> bool:
        return all(abs(a - b) < 1e-3 for a, b in zip(got, other, strict=True))

    if same(right):
        return
    expect(not same([-step for step in right]), f"{case}: the sign is turned around; a step is along the mean of the "
           "gradients, and whoever uses it subtracts it.")  # fmt: skip
    expect(not same(adam(gradients, "a" * len(gradients))), f"{case}: both kinds share one state. The large gradients "
           "of one then decide how small the steps of the other are.")  # fmt: skip
    expect(not same(adam(gradients, kinds, corrected=False)), f"{case}: the means start at 0, and are too small at "
           "first; divide them by 1 - beta ** n.")  # fmt: skip
    expect(not same(adam(gradients, kinds, count_all=True)), f"{case}: n counts the steps of this kind, not all "
           "steps.")  # fmt: skip
    expect(False, f"{case}: expected {[round(step, 3) for step in right]}, got {[round(step, 3) for step in got]}.")


# --- Exercise 4 -----------------------------------------------------------------------------------


def check_merged(merged: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> Verdict:
    """merged(W (out, in), A (rank, in), B (out, rank), scaling) -> the one matrix (out, in)."""
    return judge(
        lambda: [_try_merged(merged, *sizes) for sizes in ((5, 4, 2, 0.5), (3, 6, 1, 2.0), (4, 4, 4, 2.0))],
        "one matrix does what the matrix and its adapter did together.",
        (
            "What does x go through, in which order? First A, then B.",
            "<code>B @ (A @ x)</code> is <code>(B @ A) @ x</code>. So B @ A has the shape of W.",
            "<code>return W + scaling * B @ A</code>",
        ),
    )


def _try_merged(merged, dim_out: int, dim_in: int, rank: int, scaling: float) -> None:
    generator = torch.Generator().manual_seed(dim_in)
    shapes = (dim_out, dim_in), (rank, dim_in), (dim_out, rank)
    W, A, B = (torch.randn(*shape, generator=generator) for shape in shapes)
    given, x = W.clone(), torch.randn(dim_in, generator=generator)
    got = merged(given, A.clone(), B.clone(), scaling)
    case = f"W {tuple(W.shape)}, A {tuple(A.shape)}, B {tuple(B.shape)}, scaling {scaling}"
    expect(torch.equal(given, W), f"{case}: W has changed; return a new matrix, so that the adapter can be taken away.")
    expect(tuple(got.shape) == (dim_out, dim_in), f"{case}: expected the shape of W, got {tuple(got.shape)}.")
    wanted = W @ x + scaling * (B @ (A @ x))
    if torch.allclose(got @ x, wanted, atol=1e-4):
        return
    mistakes = {"the scaling is missing": W + B @ A, "nothing has been added": W,
                "here the scaling is not divided by the rank": W + scaling / rank * B @ A,
                "the scaling is of the change alone, W keeps its size": scaling * (W + B @ A)}  # fmt: skip
    if dim_in == dim_out == rank:
        mistakes["x goes through A first, so A stands on the right"] = W + scaling * A @ B
    for told, wrong in mistakes.items():
        expect(not torch.allclose(got, wrong, atol=1e-4), f"{case}: {told}.")
    expect(False, f"{case}: for some x, expected {wanted.tolist()}, got {(got @ x).tolist()}.")
