"""What notebook 04 is made with: its figures, its slider, and checkers that name the typical mistakes."""

import pytest
import torch
from test_lab import assert_picture

from moshi_ref.lab import codebook_plots as plots
from moshi_ref.lab.exercises_04 import (
    check_moving_averages,
    check_perplexity,
    check_residual_codes,
    check_straight_through,
)
from moshi_ref.lab.players import player
from moshi_ref.lab.run import WIDGET
from moshi_ref.lab.sliders import slider

RATE = 24_000


def test_figures():
    points, entries = torch.randn(200, 2), torch.randn(5, 2)
    wav = torch.sin(torch.arange(RATE) / 20)
    assert_picture(plots.curves({"a": {"x": ([1, 2], [3, 4]), "y": ([1, 2], [4, 3])}}, "bits", ["dB"], ["y"]))
    assert_picture(plots.curves({"a": {"x": ([1], [3])}, "b": {"x": ([1], [3])}}, "bits", ["dB", "dB"]))
    assert_picture(plots.rounding(wav, {2: wav.round(), 3: wav}, RATE, 100, 200))
    assert_picture(plots.cells(points, {"one": entries, "two": entries[:1]}))
    assert_picture(plots.residual_clouds([points, points / 2], [entries]))
    counts = torch.tensor([3, 0, 1, 0, 7])
    assert_picture(plots.latent_clouds({"one": (torch.randn(50, 4), torch.randn(5, 4), counts)}))
    assert_picture(plots.code_usage(torch.stack([counts, counts]), ["one", "two"]))
    assert_picture(plots.spectrogram_row({"one": wav, "two": wav / 2}, RATE))


def test_a_border_lies_in_the_middle_between_two_entries():
    axes = plots.Picture(3, 3).add_subplot()
    plots.draw_cells(
        axes, torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.tensor([-2.0, -2.0]), torch.tensor([2.0, 2.0])
    )
    columns = (axes.images[0].get_array() < 1).any(0).nonzero()[0]
    assert len(columns) == 2 and all(abs(column - 199) <= 1 for column in columns)


def test_a_slider_shows_what_is_chosen():
    tone = torch.full((100,), 0.1)
    panel = slider("codebooks", {n: player(tone, RATE, f"{n} codebooks") for n in (1, 2, 4)})
    assert "1 codebooks" in panel.output.value
    panel.children[0].value = 4
    assert "4 codebooks" in panel.output.value and "audio" in panel.output.value
    shown = panel._repr_mimebundle_()
    assert "codebooks: 1, 2, 4" in shown["text/html"] and WIDGET in shown
    picture = slider("rounds", {0: plots.cells(torch.randn(9, 2), {"": torch.randn(2, 2)})})
    assert picture.output.value.startswith('<img src="data:image/png;base64,')


def shares(codes, entries):
    return torch.bincount(codes, minlength=entries) / len(codes)


def in_place(vectors, codebooks):
    codes = []
    for codebook in codebooks:
        codes.append(torch.cdist(vectors, codebook).argmin(1))
        vectors -= codebook[codes[-1]]
    return torch.stack(codes)


def last_one_wins(usage, sums, vectors, codes, decay):
    chosen, added = torch.bincount(codes, minlength=len(usage)).float(), torch.zeros_like(sums)
    added[codes] += vectors
    return usage.lerp(chosen, 1 - decay), sums.lerp(added, 1 - decay)


@pytest.mark.parametrize(
    ("check", "wrong", "told"),
    [
        (check_perplexity, lambda c, v: (-(shares(c, v) * shares(c, v).log()).sum()).exp(), "NaN"),
        (check_perplexity, lambda c, v: -torch.xlogy(shares(c, v), shares(c, v)).sum(), "entropy in nats"),
        (check_perplexity, lambda c, v: len(c.unique()), "exp of minus the sum"),
        (check_residual_codes, lambda x, books: torch.stack([torch.cdist(x, b).argmin(1) for b in books]), "left over"),
        (check_residual_codes, in_place, "changed the vectors"),
        (check_residual_codes, lambda x, books: torch.zeros(len(x), len(books)), "one row of codes"),
        (check_straight_through, lambda x, y: y.detach(), "no gradient reaches anything"),
        (check_straight_through, lambda x, y: x, "forward"),
        (check_straight_through, lambda x, y: y + x - x.detach(), "reaches the entries"),
        (check_straight_through, lambda x, y: y, "no gradient reaches x"),
        (check_moving_averages, last_one_wins, "keeps only the last one"),
        (check_moving_averages, lambda n, m, x, c, d: (n, m), "usage is wrong"),
        (
            check_moving_averages,
            lambda n, m, x, c, d: (n.lerp(torch.bincount(c, minlength=len(n)).float(), d), m),
            "exchanged",
        ),
    ],
)
def test_checkers_name_the_mistake(check, wrong, told):
    verdict = check(wrong)
    assert not verdict and told in verdict.message and len(verdict.hints) == 3
