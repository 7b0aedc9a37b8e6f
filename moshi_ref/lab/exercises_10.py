"""The checkers of notebook 10: inter-pausal units, pauses and gaps, the end of a turn, the diarization error rate."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..corpus.diarization import runs
from .exercises import Verdict, expect, judge


def mask(text: str) -> Tensor:
    """"..##." -> (L,) bool, or several rows -> (N, L): True where there is a #."""
    rows = [[mark == "#" for mark in row] for row in text.split()]
    return torch.tensor(rows[0] if len(rows) == 1 else rows)


def drawn(active: Tensor) -> str:
    return "".join("#" if on else "." for on in active.tolist())


# --- Exercise 1 -----------------------------------------------------------------------------------


def check_units(units: Callable[[Tensor, int], list[tuple[int, int]]]) -> Verdict:
    """units(active (L,) bool, shortest) -> [(first, behind the last), ...], silences shorter than `shortest` filled."""
    return judge(
        lambda: [_try_units(units, text, shortest) for text, shortest in (
            ("..###....##..", 3), ("..###..##...", 3), (".##...##.", 3), ("#.#.#", 2), ("###", 3), (".....", 2),
            ("#..#.#...#", 3))],
        "short silences are filled, long ones end a unit, and the edges stay.",
        (
            "Walk along the steps. When speech begins, ask how long ago the last unit ended.",
            "Find the stretches of speech first; <code>runs</code> of <code>moshi_ref.corpus.diarization</code> shows "
            "how with a difference. Then go through them, and join a stretch to the one before it if the silence "
            "between the two is shorter than <code>shortest</code>.",
            "<code>found = []</code>; for each stretch <code>(first, last)</code>: if <code>found and first - "
            "found[-1][1] &lt; shortest</code>, then <code>found[-1] = (found[-1][0], last)</code>, else "
            "<code>found.append((first, last))</code>.",
        ),
    )  # fmt: skip


def units_of(active: Tensor, shortest: int) -> list[tuple[int, int]]:
    filled = active.clone()
    for first, last in runs(~active):
        if 0 < first and last < len(active) and last - first < shortest:
            filled[first:last] = True
    return runs(filled)


def _try_units(units, text: str, shortest: int) -> None:
    active = mask(text)
    given, right, plain = active.clone(), units_of(active, shortest), runs(active)
    got = [tuple(map(int, unit)) for unit in units(given, shortest)]
    case = f"{text} with shortest {shortest}"
    expect(torch.equal(given, active), f"{case}: the activity that you were given has changed; work on a copy.")
    if got != right:
        joined = units_of(active, shortest + 1)
        inclusive = [(first, last - 1) for first, last in right]
        edges = not active.all() and len(got) == 1 and got[0] == (0, len(active))
        expect(got != inclusive, f"{case}: the second number should be the step behind the last one, as in a slice.")
        expect(got != plain, f"{case}: got every stretch of speech; silences shorter than {shortest} end no unit.")
        expect(got != joined, f"{case}: a silence of exactly {shortest} steps is not shorter than {shortest}: it ends "
               "the unit.")  # fmt: skip
        expect(not edges, f"{case}: silence before the first and after the last unit belongs to no unit.")
        expect(False, f"{case}: expected {right}, got {got}.")


# --- Exercise 2 -----------------------------------------------------------------------------------


def check_pauses_and_gaps(pauses_and_gaps: Callable[[Tensor], tuple[int, int, int]]) -> Verdict:
    """pauses_and_gaps(speaking (2, L) bool) -> steps of pause, of gap and of overlap."""
    return judge(
        lambda: [_try_pauses_and_gaps(pauses_and_gaps, text) for text in (
            ".##..........##. .....###........", "###...###..... ..............", "####.......#.. .##...........",
            ".####.... ....####.", "##......## ....##....", "........ ........", "..##.. ......")],
        "only silences of both count, and who spoke before and who speaks after decides.",
        (
            "Where nobody speaks, somebody may have spoken before and somebody may speak after. Who?",
            "Take the silences of both, <code>~speaking.any(0)</code>. One that touches an edge of the recording is "
            "neither pause nor gap. Of the others, look at the column before the silence and at the column after it.",
            "It is a pause if <code>(speaking[:, first - 1] &amp; speaking[:, last]).any()</code>, and else a gap. "
            "Overlap is <code>speaking.all(0).sum()</code>.",
        ),
    )  # fmt: skip


def pauses_and_gaps_of(speaking: Tensor) -> tuple[int, int, int]:
    pause = gap = 0
    for first, last in runs(~speaking.any(0)):
        if first > 0 and last < speaking.shape[1]:
            same = bool((speaking[:, first - 1] & speaking[:, last]).any())
            pause, gap = pause + same * (last - first), gap + (not same) * (last - first)
    return pause, gap, int(speaking.all(0).sum())


def _inner_silence(speaking: Tensor) -> int:
    """Silence between two units of one speaker, whatever the other one does."""
    inner = [runs(~channel) for channel in speaking]
    return sum(b - a for own in inner for a, b in own if a > 0 and b < speaking.shape[1])


def _try_pauses_and_gaps(pauses_and_gaps, text: str) -> None:
    speaking = mask(text)
    got, right = tuple(int(value) for value in pauses_and_gaps(speaking.clone())), pauses_and_gaps_of(speaking)
    case = "Moshi " + text.replace(" ", ", user ")
    expect(len(got) == 3, f"{case}: expected three numbers (pause, gap, overlap), got {len(got)}.")
    expect(got[2] == right[2], f"{case}: overlap is where both speak, {right[2]} steps; got {got[2]}.")
    edges = int((~speaking.any(0)).sum()) - right[0] - right[1]
    together = got[0] + got[1] - right[0] - right[1]
    expect(edges == 0 or together != edges, f"{case}: silence at the edges of the recording is neither pause nor gap.")
    expect(
        got[0] == right[0] or got[0] != _inner_silence(speaking),
        f"{case}: got {got[0]} steps of pause. One speaker is silent there, but the other one is not always: in a "
        "pause nobody speaks.",
    )
    swapped = right[0] != right[1] and (got[1], got[0]) == right[:2]
    expect(not swapped, f"{case}: pause and gap are exchanged; in a pause the same speaker goes on.")
    expect(got == right, f"{case}: expected (pause, gap, overlap) = {right}, got {got}.")


# --- Exercise 3 -----------------------------------------------------------------------------------


def check_end_of_turn(end_of_turn: Callable[[Tensor, int], int | None]) -> Verdict:
    """end_of_turn(loud (L,) bool, timeout) -> the step in which the end-pointer decides, or None."""
    return judge(
        lambda: [_try_end_of_turn(end_of_turn, text, timeout) for text, timeout in (
            ("..##......", 3), ("....##.....", 3), (".##..##......", 3), (".##...##....", 3), ("..##..", 3),
            ("......", 2), ("#.#..#", 2))],
        "it decides after so many silent steps in a row, once somebody has spoken.",
        (
            "An end-pointer lives in the present. It keeps two things in mind: has anybody spoken yet, and for how "
            "many steps has it been silent since?",
            "Count the silent steps, set the count to 0 at each loud one, and do not count before the first loud one. "
            "When the count reaches the timeout, this is the step.",
            "<code>silent, begun = 0, False</code>; for each step: if loud, <code>silent, begun = 0, True</code>; else "
            "<code>silent += 1</code>; <code>if begun and silent == timeout: return step</code>.",
        ),
    )  # fmt: skip


def end_of(loud: Tensor, timeout: int) -> int | None:
    silent, begun = 0, False
    for step, on in enumerate(loud.tolist()):
        silent, begun = (0, True) if on else (silent + 1, begun)
        if begun and silent == timeout:
            return step
    return None


def _try_end_of_turn(end_of_turn, text: str, timeout: int) -> None:
    loud = mask(text)
    got, right = end_of_turn(loud.clone(), timeout), end_of(loud, timeout)
    case = f"{text} with timeout {timeout}"
    got = None if got is None else int(got)
    if got == right:
        return
    spoken = loud.nonzero()[:, 0].tolist()
    expect(right is not None or got is None, f"{case}: {timeout} silent steps after speech never come; expected None, "
           f"got {got}.")  # fmt: skip
    expect(got is None or got >= spoken[0], f"{case}: got step {got}, before anybody has spoken. Silence at the "
           "beginning ends nothing.")  # fmt: skip
    expect(got is None or len(spoken) == 0 or right >= spoken[-1] or got <= right, f"{case}: got step {got}, because "
           "speech goes on later. The end-pointer cannot know that: it decides in step "
           f"{right}.")  # fmt: skip
    expect(got != right - timeout, f"{case}: got step {got}, the last loud one. Nobody knows that then: the decision "
           f"falls {timeout} steps later.")  # fmt: skip
    expect(got != right + 1, f"{case}: one step too late; the decision falls in the step that makes the count full.")
    expect(False, f"{case}: expected {right}, got {got}.")


# --- Exercise 4 -----------------------------------------------------------------------------------


def check_error_rate(error_rate: Callable[[Tensor, Tensor], float]) -> Verdict:
    """error_rate(truth (2, L) bool, found (2, L) bool) -> (missed + false alarm + confused) / speech."""
    return judge(
        lambda: [_try_error_rate(error_rate, *texts) for texts in (
            ("####...... ......####", "####...... ......####"), ("####...... ......####", "......#### ####......"),
            ("####...... ......####", "####...... .........."), ("####...... ......####", "######.... ......####"),
            ("####...... ......####", "###....... ...#..####"), ("######..... ....######.", "####....... ....######."),
            ("######..... ....######.", "......####. #####......"))],
        "names are matched first, and every speaker in every step counts.",
        (
            "Count step by step. How many speak, how many does the diarizer name, and how many of these are right?",
            "The names of a diarizer mean nothing: try both ways to match them, and keep the better one. In a step, "
            "the errors are the larger of the two counts, minus the right ones.",
            "With <code>right = max((truth &amp; found).sum(), (truth &amp; found.flip(0)).sum())</code>, the rate is "
            "<code>(torch.maximum(truth.sum(0), found.sum(0)).sum() - right) / truth.sum()</code>.",
        ),
    )  # fmt: skip


def error_rate_of(truth: Tensor, found: Tensor) -> float:
    right = max(int((truth & names).sum()) for names in (found, found.flip(0)))
    return (torch.maximum(truth.sum(0), found.sum(0)).sum().item() - right) / truth.sum().item()


def _try_error_rate(error_rate, spoken: str, named: str) -> None:
    truth, found = mask(spoken), mask(named)
    got, right = float(error_rate(truth.clone(), found.clone())), error_rate_of(truth, found)
    case = f"truth {drawn(truth[0])} and {drawn(truth[1])}, found {drawn(found[0])} and {drawn(found[1])}"
    if abs(got - right) < 1e-4:
        return
    kept = (torch.maximum(truth.sum(0), found.sum(0)).sum() - (truth & found).sum()) / truth.sum()
    expect(abs(got - kept) > 1e-4, f"{case}: got {got:.2f}, because the names were not matched. Speaker 0 of the "
           "diarizer may be speaker 1 of the truth.")  # fmt: skip
    errors = right * truth.sum().item()
    expect(abs(got - errors / truth.shape[1]) > 1e-4, f"{case}: got {got:.2f}; divide by the speech, "
           f"{int(truth.sum())}, and not by the length of the recording.")  # fmt: skip
    expect(abs(got - errors / truth.any(0).sum().item()) > 1e-4, f"{case}: got {got:.2f}; where both speak, the step "
           "counts twice as speech.")  # fmt: skip
    different = min(int((truth != names).sum()) for names in (found, found.flip(0))) / truth.sum().item()
    expect(abs(got - different) > 1e-4, f"{case}: got {got:.2f}. Where A speaks and B is named there are two "
           "differences, but one error: confused.")  # fmt: skip
    expect(False, f"{case}: expected {right:.2f}, got {got:.2f}.")
