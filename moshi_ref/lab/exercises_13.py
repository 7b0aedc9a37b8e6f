"""The checkers of notebook 13: how late answers are, slots of a ring, a draw with given noise, when a voice ends."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .exercises import Verdict, expect, judge
from .live import lateness as how_late

# --- Exercise 1 -----------------------------------------------------------------------------------


def check_lateness(lateness: Callable[[Sequence[float], float], Sequence[float]]) -> Verdict:
    """lateness(computing seconds of each frame, seconds of a frame) -> from each frame's fullness to its reply."""
    return judge(
        lambda: [_try_lateness(lateness, seconds) for seconds in (
            (0.02, 0.02, 0.02), (0.02, 0.2, 0.02, 0.02, 0.02), (0.1,) * 6, (0.08,) * 4, (0.3, 0.01, 0.01, 0.01, 0.01),
            (0.05, 0.09, 0.09, 0.01))],
        "a frame waits for the one before it, and never begins before it is full.",
        (
            "A frame can be computed when two things are true: it is full, and the frame before it is done. When is "
            "that?",
            "Keep the moment at which the last reply was ready. Frame n is full at <code>(n + 1) * frame</code>; "
            "computing begins at the later one of the two moments.",
            "<code>ready = 0</code>; for each n and its seconds: <code>full = (n + 1) * frame</code>, <code>ready = "
            "max(ready, full) + seconds</code>, and the answer is <code>ready - full</code>.",
        ),
    )  # fmt: skip


def _near(got, right) -> bool:
    return len(got) == len(right) and all(abs(a - b) < 1e-6 for a, b in zip(got, right, strict=True))


def _try_lateness(lateness, seconds: Sequence[float]) -> None:
    frame = 0.08
    got, right = [float(value) for value in lateness(list(seconds), frame)], how_late(seconds, frame)
    case = f"computing {list(seconds)} s, frames of {frame} s"
    shown = [round(value, 3) for value in right]
    expect(len(got) == len(seconds), f"{case}: expected one number for each frame, got {len(got)}.")
    if _near(got, right):
        return
    greedy = [sum(seconds[: n + 1]) - n * frame for n in range(len(seconds))]
    expect(not _near(got, seconds), f"{case}: got the computing times alone. A frame that comes while another is still "
           f"being computed must wait: expected {shown}.")  # fmt: skip
    expect(not _near(got, greedy) and min(got) >= 0, f"{case}: got a frame that is begun before it is full. Nobody "
           f"can save time for later: expected {shown}.")  # fmt: skip
    behind = [max(0.0, late - frame) for late in right]
    expect(not _near(got, behind), f"{case}: got the time beyond the next frame; count from the moment when the frame "
           f"itself was full: expected {shown}.")  # fmt: skip
    absolute = [late + (n + 1) * frame for n, late in enumerate(right)]
    expect(not _near(got, absolute), f"{case}: got moments on the clock; subtract the moment when the frame was full.")
    expect(False, f"{case}: expected {shown}, got {[round(value, 3) for value in got]}.")


# --- Exercise 2 -----------------------------------------------------------------------------------


def check_ring(ring: Callable[[int, int], Sequence[int]]) -> Verdict:
    """ring(steps, slots) -> which step each slot holds after so many steps, -1 where none was written."""
    return judge(
        lambda: [_try_ring(ring, steps, slots) for steps, slots in (
            (0, 4), (3, 4), (4, 4), (5, 4), (13, 5), (100, 7), (45_000, 3))],
        "the newest step overwrites the oldest one, for ever.",
        (
            "Step n is written into slot <code>n % slots</code>. Which steps have been written into slot s?",
            "Go backwards from the newest step, <code>steps - 1</code>. Its slot is <code>(steps - 1) % slots</code>; "
            "one slot further back (around the ring) each step is one older.",
            "<code>newest = steps - 1</code>; slot s holds <code>step = newest - (newest - s) % slots</code>, and -1 "
            "if that is negative.",
        ),
    )  # fmt: skip


def ring_of(steps: int, slots: int) -> list[int]:
    newest = steps - 1
    return [max(-1, newest - (newest - slot) % slots) if steps else -1 for slot in range(slots)]


def _try_ring(ring, steps: int, slots: int) -> None:
    got, right = [int(step) for step in ring(steps, slots)], ring_of(steps, slots)
    case = f"{steps} steps, {slots} slots"
    expect(len(got) == slots, f"{case}: expected one number for each slot, got {len(got)}.")
    if got == right:
        return
    expect(steps >= slots or got[steps:] == right[steps:], f"{case}: a slot that no step was written into holds -1, "
           f"expected {right}, got {got}.")  # fmt: skip
    expect(max(got) < steps, f"{case}: the steps are 0 to {steps - 1}, got step {max(got)}.")
    expect(got != sorted(right) or steps <= slots, f"{case}: the right steps in order of age, but step n is in slot "
           f"n % {slots}: expected {right}, got {got}.")  # fmt: skip
    expect(got != ring_of(min(steps, slots), slots), f"{case}: got the first steps. In a ring the newest step takes "
           f"the place of the oldest one: expected {right}.")  # fmt: skip
    expect(False, f"{case}: expected {right}, got {got}.")


# --- Exercise 3 -----------------------------------------------------------------------------------


def check_draw(draw: Callable[[Tensor, float, int, Tensor], int]) -> Verdict:
    """draw(logits (V,), temperature, top_k, noise (top_k,)) -> the token, by the Gumbel-max trick."""
    return judge(
        lambda: _try_draw(draw),
        "the noise decides among the likeliest tokens, and temperature says how much.",
        (
            "First take the <code>top_k</code> largest logits and the tokens that they belong to, the largest first. "
            "The noise has one number for each of these.",
            "With exponential noise e, the argmax of <code>logit / temperature - log(e)</code> is a draw from the "
            "softmax. The index that you get counts within the top k: translate it back into a token.",
            "<code>if temperature == 0: return int(logits.argmax())</code>; then <code>values, tokens = "
            "logits.topk(top_k)</code> and <code>return int(tokens[(values / temperature - "
            "noise.log()).argmax()])</code>.",
        ),
    )  # fmt: skip


DRAWS = ((0.0, 4), (0.7, 4), (0.7, 1), (1.5, 8), (0.3, 8), (3.0, 8), (1.0, 3), (2.0, 5)) * 3  # temperature and top_k
# What somebody may do with the values of the top k, the temperature t and the noise instead, and what to say.
MISTAKES = {
    "divide the logits by the temperature: a small one makes them stand out more.": lambda v, t, n: v * t - n.log(),
    "mind the sign of the logarithm: a small exponential number is a strong wish.": lambda v, t, n: v / t + n.log(),
    "subtract the logarithm of the noise, and do not add the noise itself.": lambda v, t, n: v / t + n,
    "this is always the likeliest token; the noise should have a say.": lambda v, t, n: v,
}


def draw_of(logits: Tensor, temperature: float, top_k: int, noise: Tensor) -> int:
    """As `transformer.sample` does it, which only takes the likeliest tokens in any order."""
    if temperature == 0:
        return int(logits.argmax())
    values, tokens = logits.topk(top_k)
    return int(tokens[(values / temperature - noise.log()).argmax()])


def _try_draw(draw) -> None:
    dice, cases, got = torch.Generator().manual_seed(0), [], []
    for temperature, top_k in DRAWS:
        logits, noise = torch.randn(8, generator=dice), torch.empty(top_k).exponential_(generator=dice)
        cases.append((logits, temperature, top_k, noise))
        got.append(int(draw(logits.clone(), temperature, top_k, noise.clone())))
        case = f"logits {_short(logits)}, temperature {temperature}, top_k {top_k}, noise {_short(noise)}"
        expect(0 <= got[-1] < 8, f"{case}: expected a token from 0 to 7, got {got[-1]}.")
        best = int(logits.argmax())
        expect(temperature > 0 or got[-1] == best, f"{case}: temperature 0 takes the likeliest token, {best}; got "
               f"{got[-1]}.")  # fmt: skip
        expect(got[-1] in logits.topk(top_k).indices, f"{case}: got token {got[-1]}, which is not among the {top_k} "
               "likeliest. If it is an index within the top k, translate it into a token.")  # fmt: skip
    right = [draw_of(*case) for case in cases]
    for told, score in MISTAKES.items():
        mistaken = [_by(score, *case) for case in cases]
        expect(got != mistaken, f"{sum(map(int.__ne__, got, right))} of {len(got)} draws are wrong; {told}")
    for case, one, other in zip(cases, got, right, strict=True):
        expect(one == other, f"logits {_short(case[0])}, temperature {case[1]}, top_k {case[2]}, noise "
               f"{_short(case[3])}: expected {other}, got {one}.")  # fmt: skip


def _by(score, logits: Tensor, temperature: float, top_k: int, noise: Tensor) -> int:
    values, tokens = logits.topk(top_k)
    return int(tokens[score(values, temperature, noise).argmax()] if temperature else logits.argmax())


def _short(values: Tensor) -> list[float]:
    return [round(value, 2) for value in values.tolist()]


# --- Exercise 4 -----------------------------------------------------------------------------------


def check_stops(stops: Callable[[Tensor, int, int], int | None]) -> Verdict:
    """stops(loud (L,) bool, since, quiet) -> the step from which it is silent for at least `quiet` steps, or None."""
    return judge(
        lambda: [_try_stops(stops, *case) for case in (
            ("######......", 3, 4), ("###.###.....", 2, 3), ("##..........", 5, 4), ("############", 3, 2),
            ("#####....##.", 2, 3), ("#####..", 2, 3), ("##...####...", 4, 3), ("............", 0, 4))],
        "short pauses do not count, nor does what was before.",
        (
            "You look for the first silence that is long enough. Where can it begin?",
            "It begins at <code>since</code>, if it is silent there already, or just after a loud step that is not "
            "before <code>since</code>. Try these places in order.",
            "For each step from <code>since</code> to <code>len(loud) - quiet</code>: if <code>not loud[step : step + "
            "quiet].any()</code>, return the step. If there is none, return <code>None</code>.",
        ),
    )  # fmt: skip


def stop_of(loud: Tensor, since: int, quiet: int) -> int | None:
    for step in range(since, len(loud) - quiet + 1):
        if not loud[step : step + quiet].any():
            return step
    return None


def _try_stops(stops, text: str, since: int, quiet: int) -> None:
    loud = torch.tensor([mark == "#" for mark in text])
    got, right = stops(loud.clone(), since, quiet), stop_of(loud, since, quiet)
    got = None if got is None else int(got)
    case = f"{text} since {since}, quiet {quiet}"
    if got == right:
        return
    expect(right is not None or got is None, f"{case}: there is no silence of {quiet} steps; expected None, got {got}. "
           "What comes after the recording nobody knows.")  # fmt: skip
    expect(got is not None, f"{case}: got None, but it is silent for {quiet} steps from step {right} on.")
    expect(got >= since, f"{case}: got step {got}, before anybody said anything. Begin at step {since}.")
    first = next((step for step in range(since, len(text)) if not loud[step]), None)
    expect(got != first, f"{case}: got {got}, where the first pause begins; it is shorter than {quiet} steps. Moshi "
           f"only took a breath: expected {right}.")  # fmt: skip
    expect(got != right + quiet, f"{case}: got {got}, when the silence is long enough to be sure; the voice stopped "
           f"{quiet} steps earlier.")  # fmt: skip
    expect(got != right - 1, f"{case}: got {got}, the last loud step; the silence begins one later.")
    expect(False, f"{case}: expected {right}, got {got}.")
