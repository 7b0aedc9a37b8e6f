"""Exercises: checkers that test what a learner wrote, and say what is wrong in words that help.

A checker takes the learner's function and returns a Verdict, which shows itself with the exercise's hints folded
below it. Nothing is raised: a notebook with unsolved exercises still runs to its end.

The checkers of notebook NN are in exercises_NN.py: one function check_NAME for each function NAME to be written.
"""

import html
from collections.abc import Callable
from dataclasses import dataclass


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
    """Hints in HTML, folded inside each other: the next one can be opened only in the one before."""
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
