"""What notebook 09 is made with: its figures, and checkers that name the typical mistakes."""

import math

import pytest
import torch
from test_lab import assert_picture

from moshi_ref.delays import delay, undelay
from moshi_ref.lab import delay_plots as plots
from moshi_ref.lab.exercises_09 import (
    check_complete_frame,
    check_may_see,
    check_mean_bits,
    check_undo_delay,
    visible_tokens,
)


def test_figures():
    rows = [[0, 1, 2], [plots.INITIAL, 0, plots.LOST]]
    assert_picture(plots.shifted({"a": rows, "b": rows}, "xy", marked=(0, None), xlabels=("frame", "column")))
    grids = (torch.tensor([[1.0, 2, 0], [math.nan, 1, 0]]), torch.tensor([[1.0, 2, 0], [1, 0, 0]]))
    assert_picture(plots.visible({"a": grids, "b": grids}, [(1, 2, 1), (0, 2, 2)], "xy"))
    bits = torch.rand(3, 2)
    assert_picture(plots.stream_bits({"a": bits, "b": bits}, "xy", {"a": (0.1, 0.2)}))
    assert_picture(plots.stream_bits({"a": bits}, "xy", {}, uniform=1.0))
    points = {"one": (80.0, 7.0), "two": (160.0, 5.0)}
    assert_picture(plots.bits_and_latency({"a": points, "b": points}, floor=5))
    assert_picture(plots.latencies({"none": 0, "one": 1}, limit=100))


def test_shifted_writes_the_frames_and_marks_one_of_them():
    axes = plots.shifted({"a": [[0, 1], [plots.INITIAL, 0]]}, "xy", marked=(0,), xlabels=("column",)).axes[0]
    assert [text.get_text() for text in axes.texts] == ["0", "1", "0"]  # no number on an initial token
    thick = [patch.get_xy() for patch in axes.patches if patch.get_linewidth() > 2]
    assert len(thick) == 2 and thick[0][0] < 0 < thick[1][0]  # column 0 above, column 1 below
    assert [bool(patch.get_hatch()) for patch in axes.patches] == [False, False, True, False]


def test_visible_draws_the_cross_at_the_column_and_at_the_frame():
    grid = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    figure = plots.visible({"a": (grid, grid)}, [(1, 1, 0)], "xy")
    crosses = [(axes.lines[0].get_xdata()[0], axes.lines[0].get_ydata()[0]) for axes in figure.axes]
    assert crosses == [(1, 1), (0, 1)]
    hatched = [bool(patch.get_hatch()) for patch in figure.axes[0].patches]
    assert hatched == [False, False, True, False]


def test_latencies_add_the_frame_and_the_delay():
    axes = plots.latencies({"none": 0, "two": 2}).axes[0]
    assert [text.get_text().strip() for text in axes.texts] == ["80 ms", "240 ms"]


def test_the_rule_of_who_sees_whom():
    """With delays (0, 1, 1), the first acoustic code of frame 1 stands in column 2."""
    expected = [[True, True, True, False], [True, False, False, False], [True, False, False, False]]
    assert visible_tokens((0, 1, 1), 4, stream=1, frame=1).tolist() == expected
    assert visible_tokens((0, 0), 2, stream=0, frame=0).sum() == 0


# --- Exercises ------------------------------------------------------------------------------------


def rolled(delayed, delays, fill):
    return torch.stack([delayed[:, k].roll(-d, dims=-1) for k, d in enumerate(delays)], dim=1)


def in_place(delayed, delays, fill):
    right = undelay(delayed, delays, fill)
    delayed[:] = 0
    return right


def unmarked(delayed, delays, fill):
    """The last known code stands where nothing is known."""
    out = undelay(delayed, delays, fill)
    return torch.where(out == fill, out[..., :1], out)


def seen(delays, frames, stream, frame, itself=False, depth=True, at_once=False):
    delays = (0,) * len(delays) if at_once else delays
    column = torch.arange(frames) + torch.tensor(delays)[:, None]
    own, rows = frame + delays[stream], torch.arange(len(delays))[:, None]
    above = (rows <= stream if itself else rows < stream) & depth
    return (column < own) | (column == own) & above


def too_much(delays, frames, stream, frame):
    got = seen(delays, frames, stream, frame)
    got[0, -1] = True
    return got


def mean(bits, delays):
    frames = bits.shape[-1]
    return bits[:, torch.arange(frames) < frames - torch.tensor(delays)[:, None]].mean()


def read(window, delays):
    return window[range(len(delays)), list(delays)]


@pytest.mark.parametrize(
    ("check", "wrong", "told"),
    [
        (check_undo_delay, rolled, "initial tokens"),
        (check_undo_delay, lambda x, delays, fill: delay(x, delays, [fill] * x.shape[1]), "move them back"),
        (check_undo_delay, in_place, "have changed"),
        (check_undo_delay, unmarked, "must hold fill"),
        (check_undo_delay, lambda x, delays, fill: x[..., max(delays) :], "expected (2, 3, 6)"),
        (check_undo_delay, lambda x, delays, fill: None, "expected a tensor"),
        (check_may_see, lambda *given: seen(*given, itself=True), "sees itself"),
        (check_may_see, lambda *given: seen(*given, depth=False), "Depth Transformer is missing"),
        (check_may_see, lambda *given: seen(*given, at_once=True), "without a delay"),
        (check_may_see, too_much, "is not seen"),
        (check_may_see, lambda *given: seen(*given).float(), "tensor of bool"),
        (check_mean_bits, lambda bits, delays: bits.mean(), "NaN stays"),
        (check_mean_bits, lambda bits, delays: bits.nansum() / bits.numel(), "divided by all frames"),
        (check_mean_bits, lambda bits, delays: bits[..., : bits.shape[-1] - max(delays)].mean(), "cut off from all"),
        (check_mean_bits, lambda bits, delays: bits.nansum(), "expected"),
        (check_complete_frame, lambda window, delays: window[:, -1], "the newest column"),
        (check_complete_frame, lambda window, delays: window[:, 0], "one frame"),
        (check_complete_frame, lambda window, delays: read(window, delays) - 1, "newest complete frame"),
        (check_complete_frame, lambda window, delays: window, "expected (3,)"),
    ],
)
def test_checkers_name_the_mistake(check, wrong, told):
    verdict = check(wrong)
    assert not verdict and told in verdict.message, verdict.message
    assert len(verdict.hints) == 3


@pytest.mark.parametrize(
    ("check", "right"),
    [(check_undo_delay, undelay), (check_may_see, seen), (check_mean_bits, mean), (check_complete_frame, read)],
)
def test_checkers_let_the_right_answer_pass(check, right):
    verdict = check(right)
    assert verdict, verdict.message
