"""What notebook 10 is made with: its figures, and checkers that name the typical mistakes."""

import pytest
import torch
from test_lab import assert_picture

from moshi_ref.corpus.diarization import Segment, runs
from moshi_ref.evaluation.turn_taking import find_turns
from moshi_ref.inner_monologue import Word
from moshi_ref.lab import turn_plots as plots
from moshi_ref.lab.exercises_10 import (
    check_end_of_turn,
    check_error_rate,
    check_pauses_and_gaps,
    check_units,
    end_of,
    error_rate_of,
    mask,
    pauses_and_gaps_of,
    units_of,
)


def two_speakers():
    """Moshi 0 to 2 s and 4 to 5 s, the user 1.5 to 3 s: an overlap, and a gap."""
    active = torch.zeros(2, 600, dtype=torch.bool)
    active[0, :200] = active[0, 400:500] = active[1, 150:300] = True
    return find_turns(active)


def test_figures():
    words = ([Word("yes", 0.1, 0.4), Word("$no", 0.5, 0.8)], [])
    assert_picture(plots.dialogue(0.1 * torch.randn(2, 144_000), two_speakers(), words))
    assert_picture(plots.minutes({"one": (50.0, 5.0, 4.0, 3.0), "two": (20.0, 0.0, 0.0, 0.0)}))
    assert_picture(plots.stream_roles({"read": [True, True], "drawn": [True, False]}, ["text", "user"]))
    assert_picture(plots.end_pointing((0.1, 0.5), (1.0, 0.2), (0.1, 0.5), {"other": (0.0, 0.4)}))
    assert_picture(plots.influence({"a": [0.0, 0.0, 0.3], "b": [0.0, 0.1, 0.2]}, frame=4, first=3))
    assert_picture(plots.start_times({"a": [0.1, 0.4], "b": [0.2, 0.2]}))
    segments = [Segment(0.0, 1.0, "A"), Segment(0.8, 2.0, "B")]
    assert_picture(plots.who_speaks({"truth": segments, "nobody": []}, 3.0))
    assert_picture(plots.clouds({"a": (torch.randn(4, 2), [0, 1, 0, 1])}, ["x", "y"]))


def test_a_dialogue_shows_its_turns():
    figure = plots.dialogue(0.1 * torch.randn(2, 144_000), two_speakers())
    moshi, between, user = figure.axes
    assert [len(axes.patches) for axes in (moshi, user)] == [2, 1]  # IPUs
    assert sorted(text.get_text() for text in between.texts) == ["gap", "overlap"]


def test_a_minute_is_full():
    axes = plots.minutes({"one": (50.0, 5.0, 4.0, 3.0)}).axes[0]
    widths = [patch.get_width() for patch in axes.patches]
    assert widths == pytest.approx([44, 3, 5, 4, 4]) and sum(widths) == pytest.approx(60)


def test_roles_are_counted():
    axes = plots.stream_roles({"read": [True, True, True], "drawn": [True, False, False]}, "abc").axes[0]
    assert [text.get_text() for text in axes.texts] == ["3 streams", "1 streams"]


def test_a_timeout_that_leaves_nobody_waiting_is_no_point():
    axes = plots.end_pointing((0.1, 0.5, 1.0), (1.0, 0.2, 0.0), (0.0, 0.5, 1.0), {"other": (0.0, 0.4)}).axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.5 s", "1 s"]
    assert axes.lines[0].get_xdata().tolist() == [0.2, 0.0]


def test_influence_shows_what_is_exactly_nothing():
    axes = plots.influence({"a": [0.0, 0.0, 0.3]}, frame=4, first=3).axes[0]
    filled, empty = axes.lines[:2]
    assert filled.get_xdata().tolist() == [5] and empty.get_xdata().tolist() == [3, 4]


def test_the_first_speaker_has_the_upper_lane():
    axes = plots.who_speaks({"truth": [Segment(2.0, 3.0, "a"), Segment(0.0, 1.0, "b")]}, 3.0).axes[0]
    lane = {patch.get_x(): patch.get_y() for patch in axes.patches}
    assert lane[0.0] < lane[2.0]  # the axis points downwards


# --- Exercises ------------------------------------------------------------------------------------


def test_what_is_right():
    assert units_of(mask(".##.#...#"), 2) == [(1, 5), (8, 9)]
    assert pauses_and_gaps_of(mask("##..##....... ........##.##")) == (3, 2, 0)
    assert end_of(mask("..#.#..."), 2) == 6 and end_of(mask("...."), 1) is None
    assert error_rate_of(mask("##.. ..##"), mask("..## ##..")) == 0
    assert error_rate_of(mask("##.. ..##"), mask("#### ....")) == 0.5


def inclusive(active, shortest):
    return [(first, last - 1) for first, last in units_of(active, shortest)]


def in_place(active, shortest):
    active[:] = True
    return []


def each_alone(speaking):
    """A pause is any silence within one channel."""
    inner = [(a, b) for own in speaking for a, b in runs(~own) if a > 0 and b < len(own)]
    return sum(b - a for a, b in inner), 0, int(speaking.all(0).sum())


def with_edges(speaking):
    pause, gap, overlap = pauses_and_gaps_of(speaking)
    return pause, int((~speaking.any(0)).sum()) - pause, overlap


def changed(speaking):
    pause, gap, overlap = pauses_and_gaps_of(speaking)
    return gap, pause, overlap


def last_loud(loud, timeout):
    found = end_of(loud, timeout)
    return None if found is None else found - timeout


def from_the_end(loud, timeout):
    spoken = loud.nonzero()[:, 0]
    return int(spoken[-1]) + timeout if len(spoken) and len(loud) - 1 - spoken[-1] >= timeout else None


def from_the_beginning(loud, timeout):
    silent = 0
    for step, on in enumerate(loud.tolist()):
        silent = 0 if on else silent + 1
        if silent == timeout:
            return step
    return None


def unmatched(truth, found):
    return (torch.maximum(truth.sum(0), found.sum(0)).sum() - (truth & found).sum()) / truth.sum()


def every_difference(truth, found):
    return min((truth != names).sum() for names in (found, found.flip(0))) / truth.sum()


def best(truth, found):
    return error_rate_of(truth, found) * truth.sum().item()


@pytest.mark.parametrize(
    ("check", "wrong", "told"),
    [
        (check_units, lambda active, shortest: runs(active), "end no unit"),
        (check_units, lambda active, shortest: units_of(active, shortest + 1), "is not shorter than"),
        (check_units, inclusive, "as in a slice"),
        (check_units, in_place, "has changed"),
        (check_units, lambda active, shortest: [(0, len(active))], "belongs to no unit"),
        (check_units, lambda active, shortest: [], "expected"),
        (check_pauses_and_gaps, each_alone, "in a pause nobody speaks"),
        (check_pauses_and_gaps, with_edges, "neither pause nor gap"),
        (check_pauses_and_gaps, changed, "exchanged"),
        (check_pauses_and_gaps, lambda speaking: (*pauses_and_gaps_of(speaking)[:2], 1), "overlap is where both"),
        (check_pauses_and_gaps, lambda speaking: (0, 0), "three numbers"),
        (check_end_of_turn, last_loud, "Nobody knows that then"),
        (check_end_of_turn, from_the_end, "speech goes on later"),
        (check_end_of_turn, from_the_beginning, "before anybody has spoken"),
        (check_end_of_turn, lambda loud, timeout: (end_of(loud, timeout) or 0) + 1, "one step too late"),
        (check_end_of_turn, lambda loud, timeout: end_of(loud, timeout) or 5, "never come"),
        (check_end_of_turn, lambda loud, timeout: None, "expected 6, got None"),
        (check_error_rate, unmatched, "not matched"),
        (check_error_rate, every_difference, "but one error"),
        (check_error_rate, lambda t, f: best(t, f) / t.shape[1], "divide by the speech"),
        (check_error_rate, lambda t, f: best(t, f) / t.any(0).sum(), "counts twice as speech"),
        (check_error_rate, lambda t, f: 0.3, "expected 0.00"),
    ],
)
def test_checkers_name_the_mistake(check, wrong, told):
    verdict = check(wrong)
    assert not verdict and told in verdict.message, verdict.message
    assert len(verdict.hints) == 3


@pytest.mark.parametrize(
    ("check", "right"),
    [(check_units, units_of), (check_pauses_and_gaps, pauses_and_gaps_of), (check_end_of_turn, end_of),
     (check_error_rate, error_rate_of)],
)  # fmt: skip
def test_checkers_let_the_right_answer_pass(check, right):
    verdict = check(right)
    assert verdict, verdict.message
