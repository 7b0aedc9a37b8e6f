"""What notebook 07 is made with: its figures, and checkers that name the typical mistakes."""

import pytest
import torch
import torch.nn.functional as F
from test_lab import assert_picture

from moshi_ref.corpus.utterances import PHONES
from moshi_ref.corpus.voices import Phone
from moshi_ref.evaluation.abx import warped
from moshi_ref.lab import semantic_plots as plots
from moshi_ref.lab.exercises_07 import _cheapest, check_abx_error, check_angles, check_pooled, check_warp

RATE = 24_000
WAV = 0.1 * torch.sin(torch.arange(RATE) / 20)
SAID = (Phone("b", 0.1, 0.2), Phone("æ", 0.2, 0.5))


def test_figures():
    assert_picture(plots.spoken_phones(WAV, RATE, SAID, 0.08))
    assert_picture(plots.durations([50, 80, 120], 80))
    path = [(0, 0), (1, 1), (1, 2)]
    assert_picture(plots.warping({"small": (torch.rand(2, 3), path), "large": (torch.rand(9, 9), path)}))
    assert_picture(plots.bars({"a": {"x": 0.1, "y": 0.2}, "b": {"x": 0.3, "y": 0.1}}, "error", 0.5))
    assert_picture(plots.windows({"one": torch.eye(4), "two": torch.rand(3, 12)}, 0.02, 0.08))
    assert_picture(plots.taught(WAV, RATE, SAID, F.one_hot(torch.arange(25) % 3, len(PHONES)).float(), PHONES, 0.04))
    assert_picture(plots.directions(torch.tensor([1.0, 0.0]), {"a": torch.tensor([1.0, 1.0])}))
    assert_picture(plots.tradeoff({"a": (1, 2, 0, 0), "b": (2, 3, 0.1, 0.2)}, "x", "y"))


def test_entries_are_sorted_by_the_phone_that_they_stand_for():
    counts = torch.tensor([[0, 9, 1], [8, 0, 0], [0, 1, 0], [1, 7, 2], [0, 20, 0]])  # (V, P)
    axes = plots.entry_phones(counts, ("", "b", "æ")).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "silence"]
    shown = torch.as_tensor(axes.images[0].get_array())
    torch.testing.assert_close(shown, torch.tensor([[1, 0.9, 0.7, 0], [0, 0, 0.1, 1]], dtype=torch.double))


def test_the_cheapest_path_is_the_package_s():
    for shape in ((1, 1), (2, 5), (6, 6)):
        costs = torch.rand(shape).double()
        total, cells = _cheapest(costs)
        mean = warped(costs[:, :, None], torch.tensor(shape[:1]), torch.tensor(shape[1:]))
        assert total / cells == pytest.approx(float(mean))


def cosines(x, y):
    return F.normalize(x, dim=1) @ F.normalize(y, dim=1).T


@pytest.mark.parametrize(
    ("check", "wrong", "told"),
    [
        (check_angles, lambda x, y: cosines(x, y).clamp(-1, 1).acos(), "radians"),
        (check_angles, cosines, "cosines themselves"),
        (check_angles, lambda x, y: (x @ y.T).clamp(-1, 1).acos() / torch.pi, "the angles are wrong"),
        (check_angles, lambda x, y: cosines(y, x).acos() / torch.pi, "expected the shape"),
        (check_angles, lambda x, y: (1.000001 * cosines(x, y)).acos() / torch.pi, "gave NaN"),
        (check_warp, lambda costs: float(costs.mean()), "expected"),
        (check_warp, lambda costs: float(costs.diagonal().mean()), "mean of the diagonal"),
        (check_warp, lambda costs: _cheapest(costs)[0], "the total of the path"),
        (check_warp, lambda costs: float("inf"), "Where may a path begin"),
        (check_abx_error, lambda a, b: (a[:, :, None] > b[:, None]).double().mean(), "ties count as right"),
        (check_abx_error, lambda a, b: (a[:, :, None] >= b[:, None]).double().mean(), "ties count as errors"),
        (check_abx_error, lambda a, b: (a[:, :, None] < b[:, None]).double().mean(), "share of right triples"),
        (check_pooled, lambda v: v.view(-1, 4, v.shape[1]).mean(1), "its own frame only"),
        (check_pooled, lambda v: F.avg_pool1d(v.T[None], 8, 4, 2)[0].T, "zeros were averaged in"),
        (
            check_pooled,
            lambda v: torch.stack([v[max(0, 4 * f - 4) : 4 * f + 4].mean(0) for f in range(len(v) // 4)]),
            "ends with the frame",
        ),
        (check_pooled, lambda v: v, "expected the shape"),
    ],
)
def test_checkers_name_the_mistake(check, wrong, told):
    verdict = check(wrong)
    assert not verdict and told in verdict.message and len(verdict.hints) == 3
