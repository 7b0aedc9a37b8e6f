"""Exercises: checkers that test what a learner wrote, and say what is wrong in words that help.

A checker takes the learner's function and returns a Verdict, which shows itself with the exercise's hints folded
below it. Nothing is raised: a notebook with unsolved exercises still runs to its end.
"""

import html
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..delays import delay


@dataclass(frozen=True)
class Verdict:
    """Passed or not, and why. True if passed."""

    passed: bool
    message: str
    hints: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return ("passed: " if self.passed else "not yet: ") + self.message

    def _repr_html_(self) -> str:
        mark, colour = ("&#10003;", "#2e7d32") if self.passed else ("&#9675;", "#8a6d00")
        shown = "" if self.passed else fold(self.hints)
        return (
            f'<div style="border-left:4px solid {colour};padding:4px 10px"><b>{mark} '
            f"{'passed' if self.passed else 'not yet'}</b>: {html.escape(self.message)}{shown}</div>"
        )


class Wrong(Exception):
    """What a checker raises inside itself; the message is for the learner."""


def expect(condition: bool, message: str) -> None:
    if not condition:
        raise Wrong(message)


def fold(hints: tuple[str, ...]) -> str:
    """Hints inside each other: the next one can be opened only in the one before."""
    inner = ""
    for number, text in reversed(list(enumerate(hints, start=1))):
        inner = f"<details><summary>hint {number}</summary><div>{text}{inner}</div></details>"
    return inner


def judge(test: Callable[[], None], success: str, hints: tuple[str, ...]) -> Verdict:
    """Run a test of a learner's function, whatever happens in it."""
    try:
        test()
    except NotImplementedError:
        return Verdict(False, "the function is still the stub; replace the line that raises.", hints)
    except Wrong as wrong:
        return Verdict(False, str(wrong), hints)
    except Exception as error:  # the learner's code may raise anything
        return Verdict(False, f"your function stopped with {type(error).__name__}: {error}", hints)
    return Verdict(True, success)


# --- Notebook 00 ----------------------------------------------------------------------------------


def check_split_frames(split_frames: Callable[[Tensor, int], Tensor]) -> Verdict:
    """split_frames(wav (T,), size) -> (F, 1, 1, size)."""

    def test():
        for length, size in ((5, 5), (6, 5), (9, 5), (10, 5), (1, 5), (4000, 1920)):
            wav = torch.arange(1.0, length + 1)
            frames = split_frames(wav.clone(), size)
            case = f"for {length} samples and frames of {size}"
            expect(isinstance(frames, Tensor), f"{case}, expected a tensor, got {type(frames).__name__}.")
            count = -(-length // size)
            expect(
                frames.numel() >= length,
                f"{case}, only {frames.numel()} samples came back: the last word would lose its end. A frame that "
                "is not full must be filled up, not dropped.",
            )
            expect(
                frames.numel() <= count * size,
                f"{case}, {frames.numel() // size} frames came back, but {count} are enough. When the last frame "
                "is full already, nothing is missing: look at what T % size gives then.",
            )
            expect(
                tuple(frames.shape) == (count, 1, 1, size),
                f"{case}, expected the shape {(count, 1, 1, size)} (frames, batch, channels, samples), got "
                f"{tuple(frames.shape)}.",
            )
            flat = frames.flatten()
            expect(
                bool((flat[:length] == wav).all()),
                f"{case}, the samples are not where they were: the first one should be first, and zeros come last, "
                "because silence before the sound would delay it.",
            )
            expect(bool((flat[length:] == 0).all()), f"{case}, the rest of the last frame should be zeros (silence).")

    return judge(test, "every sample arrives, in order, in whole frames.", (
        "How many samples are missing to the next multiple of <code>size</code>? For 6 samples and frames of 5 it is "
        "4; for 10 samples it is 0.",
        "In Python, <code>-T % size</code> is exactly this number. <code>torch.nn.functional.pad(wav, (0, n))</code> "
        "adds n zeros at the end.",
        "Then one <code>view(-1, 1, 1, size)</code> cuts the padded sound: -1 lets PyTorch count the frames.",
    ))  # fmt: skip


def check_line_up(line_up: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Verdict:
    """line_up(columns (K, F), delays) -> (K, F - longest delay)."""

    def test():
        for delays in ((0, 0, 1), (0, 1, 1), (0, 2, 1), (1, 0, 3), (0, 0, 0)):
            grid = torch.arange(3 * 9).view(3, 9)
            columns = delay(grid[None], delays, (-1, -1, -1))[0]
            got = line_up(columns.clone(), delays)
            case = f"with delays {delays}"
            expect(isinstance(got, Tensor), f"{case}, expected a tensor, got {type(got).__name__}.")
            frames = 9 - max(delays)
            expect(
                got.dim() == 2 and got.shape[0] == 3,
                f"{case}, expected one row for each of the 3 streams, got shape {tuple(got.shape)}.",
            )
            expect(
                got.shape[1] == frames,
                f"{case}, 9 columns hold {frames} complete frames, but {got.shape[1]} came back. A frame is complete "
                "when its most delayed token has arrived.",
            )
            expect(
                not bool((got == -1).any()),
                f"{case}, initial tokens (-1) are left in the frames. A stream with delay d holds the token of frame f "
                "in column f + d, so read later columns, not earlier ones.",
            )
            wrong = (got != grid[:, :frames]).any(1).nonzero()
            expect(
                len(wrong) == 0,
                f"{case}, stream {int(wrong[0]) if len(wrong) else 0} is not lined up. A stream with delay d holds the "
                "token of frame f in column f + d.",
            )

    return judge(test, "all streams of a frame stand in one column again.", (
        "Write the columns of two streams with delays 0 and 1 on paper: <code>a0 a1 a2</code> above "
        "<code>. b0 b1</code>. In which column is <code>b0</code>? How many complete pairs are there?",
        "Stream k loses its first <code>delays[k]</code> columns. All rows must then have the same length: "
        "F minus the longest delay.",
        "For each stream: <code>columns[k, d : d + frames]</code> with <code>d = delays[k]</code> and "
        "<code>frames = F - max(delays)</code>; then <code>torch.stack</code> the rows.",
    ))  # fmt: skip


def check_response_time(response_time: Callable[[Tensor, Tensor, int], float | None]) -> Verdict:
    """response_time(user (T,), moshi (T,), rate) -> seconds, or None if Moshi says nothing."""

    def sound(start: float, end: float, rate: int) -> Tensor:
        noise = 0.005 * (2 * torch.rand(4 * rate, generator=torch.Generator().manual_seed(0)) - 1)
        noise[round(start * rate) : round(end * rate)] = 0.3
        return noise

    def test():
        for rate, (u0, u1), (m0, m1) in (
            (8000, (0.5, 1.5), (2.0, 3.0)), (24000, (0.2, 1.0), (1.4, 2.0)), (8000, (0.5, 2.0), (1.5, 3.0)),
        ):  # fmt: skip
            got = response_time(sound(u0, u1, rate), sound(m0, m1, rate), rate)
            case = f"the user speaks until {u1} s and Moshi from {m0} s, at {rate} samples a second"
            expect(got is not None, f"{case}: that is an answer, but None came back.")
            expect(
                abs(got) < 100,
                f"{case}: got {float(got):.0f}. That looks like samples; divide by the rate to get seconds.",
            )
            if m0 < u1:
                expect(got < 0, f"{case}: Moshi interrupts, so the time is negative, but {float(got):.2f} came back.")
            expect(
                abs(got - (m0 - u1)) < 0.01,
                f"{case}: that is {m0 - u1:.2f} s, but {float(got):.2f} came back. Measure from the user's last loud "
                "sample to Moshi's first one, and do not mistake the quiet noise for speech.",
            )
        silent = response_time(sound(0.5, 1.0, 8000), sound(0, 0, 8000), 8000)
        expect(silent is None, f"Moshi only hissed, so the result is None, but {silent} came back.")

    return judge(test, "you can measure who waits for whom.", (
        "Speech is what is louder than the noise: look at <code>wav.abs() &gt; 0.02</code>, one True or False for "
        "each sample. The noise of a quiet room stays below that.",
        "<code>torch.nonzero(loud)[:, 0]</code> lists the positions of the loud samples. You need the last position "
        "of the user and the first one of Moshi, and a case for an empty list.",
        "<code>(first - last) / rate</code>, with <code>.item()</code> to make it a plain number.",
    ))  # fmt: skip


CHECKS = {
    0: {"split_frames": check_split_frames, "line_up": check_line_up, "response_time": check_response_time},
}
