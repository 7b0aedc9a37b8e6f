"""What notebook 01 is made with: its figures, its tables to hover over, and checkers that name the typical mistakes."""

import re

import pytest
import torch
from test_lab import assert_picture

from moshi_ref.lab import text_plots as plots
from moshi_ref.lab.exercises_01 import (
    check_best_pieces,
    check_causal_attention,
    check_largest_width,
    check_to_neighbours,
    parameters,
)
from moshi_ref.lab.patterns import patterns, shade

PIECES = [" The", " <b>", ' "', "."]


def attention(count: int) -> torch.Tensor:
    return torch.randn(count, count).masked_fill(torch.ones(count, count).triu(1).bool(), -torch.inf).softmax(-1)


def test_figures():
    line = ([1, 2, 3], [3.0, 1.0, 2.0])
    assert_picture(plots.next_tokens({"The $": {" cat": 0.7, "$": 0.1}, "A": {"\n": 1.0}}))
    assert_picture(plots.token_surprise(PIECES, [1.0, 12.0, 0.0, 3.0], 10.0))
    assert_picture(plots.norm_clouds({"before": torch.randn(30, 2), "after": torch.randn(30, 2)}))
    assert_picture(plots.lines({"one": {"": line}}, ["x"], ["y"]))
    assert_picture(plots.lines({"a": {"m": line, "n": line}, "b": {"m": line, "n": line}}, ["x"] * 2, ["y"] * 2, "xy"))
    assert_picture(plots.hands(torch.arange(6.0).view(2, 3), ["fast", "slow"]))
    assert_picture(plots.matrices({"a": torch.randn(5, 5), "b": torch.zeros(5, 5)}, ("key", "query")))
    assert_picture(plots.matrices({"a": torch.rand(5, 5)}, ("key", "query"), largest=1.0))
    assert_picture(plots.pattern_grid(torch.stack([attention(4)] * 6).view(3, 2, 4, 4), PIECES, [(0, 1)]))
    reach = torch.linspace(-1, 1, 9)
    assert_picture(plots.surface({"a": reach[:, None] * reach, "b": reach[:, None] + reach}, 1.0))


def test_a_space_and_a_line_break_can_be_seen_on_an_axis():
    assert plots.written(" cat") == "_cat" and plots.written("\n") == "\\n" and plots.written("é") == "?"


def test_all_matrices_share_one_scale():
    figure = plots.matrices({"a": torch.tensor([[-3.0, 0], [0, 1]]), "b": torch.full((2, 2), 2.0)}, ("x", "y"))
    assert {axes.images[0].get_clim() for axes in figure.axes} == {(-3.0, 2.0)}


def test_patterns_tell_every_weight_and_run_nothing():
    weights = attention(4)
    page = patterns({"layer 0": weights, "layer 1 & 2": weights}, PIECES)._repr_html_()
    assert page.count("<table>") == 2 and page.count("<td ") == 2 * 10  # the triangle, twice
    assert f'title="{float(weights[3, 1]):.0%}: . → _&lt;b&gt;"' in page
    assert "layer 1 &amp; 2" in page and "&quot;" in page
    assert "<script" not in page and "http" not in page
    assert len(patterns({"": attention(20)}, ["token"] * 20)._repr_html_()) < 20_000


def test_a_darker_cell_is_more_weight():
    shades = [sum(int(part, 16) for part in re.findall("..", shade(weight)[1:])) for weight in (0.0, 0.3, 0.7, 1.0)]
    assert shades == sorted(shades, reverse=True) and len(set(shades)) == 4


def test_patterns_refuse_the_future_and_a_wrong_number_of_pieces():
    with pytest.raises(ValueError, match="looks at a later one"):
        patterns({"leak": torch.full((4, 4), 0.25)}, PIECES)
    with pytest.raises(ValueError, match=r"expected weights \(4, 4\) for 4 pieces, got \(3, 3\)"):
        patterns({"small": attention(3)}, PIECES)


# --- Exercises ------------------------------------------------------------------------------------


def longest_first(word, scores):
    pieces = []
    while word:
        piece = max((word[:n] for n in range(1, len(word) + 1) if word[:n] in scores), key=len)
        pieces, word = [*pieces, piece], word[len(piece) :]
    return pieces


def every_cut(word, scores):
    if not word:
        return []
    options = [[word[:n], *every_cut(word[n:], scores)] for n in range(1, len(word) + 1) if word[:n] in scores]
    return max(options, key=lambda pieces: sum(scores[piece] for piece in pieces))


def viterbi(word, scores):
    best = {0: (0.0, [])}
    for end in range(1, len(word) + 1):
        options = [(best[s][0] + scores[word[s:end]], best[s][1] + [word[s:end]])
                   for s in range(end) if s in best and word[s:end] in scores]  # fmt: skip
        best |= {end: max(options)} if options else {}
    return best[len(word)][1]


def attend(query, key, value, scale=None, mask=1, after=False):
    scores = query @ key.T * (query.shape[1] ** -0.5 if scale is None else scale)
    future = torch.ones_like(scores).triu(mask).bool()
    if after:
        return scores.softmax(-1).masked_fill(future, 0) @ value
    return scores.masked_fill(future, -torch.inf).softmax(-1) @ value


def halves(weight, heads):
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def widest(budget, vocabulary, layers, step=64, tables=2, matrices=3):
    def count(d):
        return tables * vocabulary * d + layers * (4 * d * d + matrices * d * (11 * d // 4) + 2 * d) + d

    width = step
    while count(width + step) <= budget:
        width += step
    return width


@pytest.mark.parametrize(
    ("check", "wrong", "told"),
    [
        (check_best_pieces, longest_first, "is not always the likeliest"),
        (check_best_pieces, every_cut, "tries too many ways"),
        (check_best_pieces, lambda word, scores: [word], "is no piece of the vocabulary"),
        (check_best_pieces, lambda word, scores: viterbi(word, scores)[::-1], "are not the word"),
        (check_best_pieces, lambda word, scores: " ".join(viterbi(word, scores)), "expected a list"),
        (check_causal_attention, lambda q, k, v: attend(q, k, v, mask=99), "sees later ones"),
        (check_causal_attention, lambda q, k, v: attend(q, k, v, 1.0), "not divided"),
        (check_causal_attention, lambda q, k, v: attend(q, k, v, 1 / q.shape[1]), "divided by d;"),
        (check_causal_attention, lambda q, k, v: attend(q, k, v, after=True), "before the softmax"),
        (check_causal_attention, lambda q, k, v: attend(q, k, v, mask=0), "NaN"),
        (check_causal_attention, lambda q, k, v: v, "not the weighted means"),
        (check_to_neighbours, lambda w, h: w.unflatten(0, (h, -1, 2)).transpose(1, 2).flatten(0, 2), "the way back"),
        (check_to_neighbours, lambda w, h: halves(w, 1), "inside its head"),
        (check_to_neighbours, lambda w, h: halves(w.T, h).T, "reordered the columns"),
        (check_to_neighbours, lambda w, h: w, "not in the order"),
        (check_to_neighbours, lambda w, h: halves(w, h)[None], "expected a matrix"),
        (check_largest_width, lambda *given: widest(*given, tables=1), "Have you counted both tables"),
        (check_largest_width, lambda *given: widest(*given, matrices=2), "Have you counted both tables"),
        (check_largest_width, lambda *given: widest(*given, matrices=4), "fits too"),
        (check_largest_width, lambda *given: widest(*given, step=1), "multiple of 64"),
        (check_largest_width, lambda *given: float(widest(*given)), "whole number"),
    ],
)
def test_checkers_name_the_mistake(check, wrong, told):
    verdict = check(wrong)
    assert not verdict and told in verdict.message, verdict.message
    assert len(verdict.hints) == 3


@pytest.mark.parametrize(
    ("check", "right"),
    [(check_best_pieces, viterbi), (check_causal_attention, attend), (check_to_neighbours, halves),
     (check_largest_width, widest)],
)  # fmt: skip
def test_checkers_let_the_right_answer_pass(check, right):
    verdict = check(right)
    assert verdict, verdict.message


def test_parameters_are_those_of_the_formula():
    assert parameters(64, 500, 3) == 2 * 500 * 64 + 3 * (4 * 64**2 + 3 * 64 * 176 + 2 * 64) + 64
