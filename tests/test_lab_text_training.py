"""What notebook 02 is made with: its figures, and checkers that name the typical mistakes."""

import math

import pytest
import torch
import torch.nn.functional as F
from test_lab import assert_picture

from moshi_ref.evaluation.multiple_choice import Accuracy
from moshi_ref.lab import text_training_plots as plots
from moshi_ref.lab.exercises_02 import (
    check_bits_per_byte_of,
    check_next_token_loss,
    check_round_symmetric,
    check_sampling_probabilities,
)
from moshi_ref.training.text import pack

CURVE = [{"step": i, "loss": 5.0 - 0.1 * i} | ({"held_out": 5.0} if i % 5 == 0 else {}) for i in range(10)]


def test_figures(tokenizer):
    rows = pack(["one and two", "two", "three"], tokenizer)
    assert_picture(plots.packed_rows(torch.stack([rows, rows]), tokenizer))
    assert_picture(plots.judged_lines(["a line", "a $ line " * 20, ""], [None, "duplicate", "quality"]))
    curves = {"training": (CURVE, "loss", 2), "held out": (CURVE, "held_out", 1)}
    assert_picture(plots.losses(curves, {"uniform": 7.0}))
    assert_picture(plots.on_logarithmic_axis({"a": ([1, 10, 100], [3, 2, 1])}, "x", "y", {"level": 2.5}))
    p = torch.rand(len(tokenizer)).softmax(-1)
    assert_picture(plots.distribution({"one": p, "two": p.flip(0)}, tokenizer))
    assert_picture(plots.surprise({"one": (["a", " b"], [0.1, 9.0]), "two": (["c"], [4.0])}))
    accuracy = {"raw": Accuracy.of([1.0, 0.0, 0.5], 0.25), "exact": Accuracy.of([0.0, 0.0, 0.0], 0.0)}
    assert_picture(plots.accuracies({"read": accuracy, "sums": accuracy}))


def test_a_document_has_a_shade_and_its_edges_are_dark(tokenizer):
    rows = pack(["one", "two"], tokenizer)[None]
    axes = plots.packed_rows(rows, tokenizer).axes[0]
    shades = [patch.get_facecolor()[:3] for patch in axes.patches]
    edges = [shade for shade, token in zip(shades, rows[0].tolist(), strict=True) if token in (1, 2)]
    inside = [shade for shade, token in zip(shades, rows[0].tolist(), strict=True) if token not in (1, 2)]
    assert len(set(edges)) == 1 and len(set(inside)) == 2 and edges[0] not in inside


# --- Checkers ---------------------------------------------------------------------------------------


def shifted(logits, tokens, reduction="mean"):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction=reduction)


def drawn_from(logits, temperature, top_k):
    kept, best = torch.full_like(logits, -math.inf), logits.topk(min(top_k, len(logits))).indices
    kept[best] = logits[best] / temperature
    return kept.softmax(-1)


def rounded(x, bits, most=None, least=1e-8, rows=True):
    most = most or 2 ** (bits - 1) - 1
    step = (x.abs().amax(1, keepdim=True) if rows else x.abs().max()) / most
    return (x / step.clamp(min=least)).round() * step


def asymmetric(x, bits):
    low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)
    step = ((high - low) / (2**bits - 1)).clamp(min=1e-8)
    return ((x - low) / step).round() * step + low


def test_right_ones_pass():
    assert check_next_token_loss(shifted)
    assert check_sampling_probabilities(drawn_from)
    assert check_bits_per_byte_of(lambda n, t: -sum(n) / math.log(2) / sum(len(x.encode()) for x in t))
    assert check_round_symmetric(rounded)


@pytest.mark.parametrize(
    ("check", "wrong", "told"),
    [
        (check_next_token_loss, lambda l, t: F.cross_entropy(l.flatten(0, 1), t.flatten()), "leak of the future"),
        (check_next_token_loss, lambda l, t: shifted(l.flip(1), t.flip(1)), "wrong way"),
        (check_next_token_loss, lambda l, t: F.cross_entropy(l.flatten(0, 1), t.roll(-1, 1).flatten()), "goes round"),
        (check_next_token_loss, lambda l, t: shifted(l, t, "sum"), "sum over all predictions"),
        (check_next_token_loss, lambda l, t: shifted(l, t).detach(), "no gradient"),
        (check_next_token_loss, lambda l, t: shifted(l, t).item(), "one number as a tensor"),
        (check_sampling_probabilities, lambda l, t, k: (l / t).softmax(-1), "outside the 3 likeliest"),
        (check_sampling_probabilities, lambda l, t, k: (l / t).softmax(-1) * (drawn_from(l, t, k) > 0), "add up to"),
        (check_sampling_probabilities, lambda l, t, k: drawn_from(l, 1 / t, k), "multiply by the temperature"),
        (check_sampling_probabilities, lambda l, t, k: drawn_from(l, 1.0, k), "changes nothing"),
        (check_sampling_probabilities, lambda l, t, k: drawn_from(l, t, k + 1), "outside the"),
        (check_bits_per_byte_of, lambda n, t: sum(n), "change the sign"),
        (check_bits_per_byte_of, lambda n, t: -sum(n) / sum(len(x.encode()) for x in t), "divide by log 2"),
        (check_bits_per_byte_of, lambda n, t: -sum(n) / math.log(2) / sum(map(len, t)), "count letters"),
        (
            check_bits_per_byte_of,
            lambda n, t: -sum(a / len(b.encode()) for a, b in zip(n, t, strict=True)) / math.log(2) / len(n),
            "mean of quotients",
        ),
        (check_round_symmetric, lambda x, b: rounded(x, b, rows=False), "share one step"),
        (check_round_symmetric, lambda x, b: rounded(x, b, least=0.0), "NaN"),
        (check_round_symmetric, lambda x, b: rounded(x, b, most=2 ** (b - 1)), "different values"),
        (check_round_symmetric, asymmetric, "different values"),
        (check_round_symmetric, lambda x, b: rounded(x, b) * 0.9, "mean error"),
    ],
)
def test_checkers_name_the_mistake(check, wrong, told):
    verdict = check(wrong)
    assert not verdict and told in verdict.message and len(verdict.hints) == 3


def test_what_is_given_is_left_alone():
    def in_place(logits, temperature, top_k):
        logits /= temperature
        return drawn_from(logits, 1.0, top_k)

    assert "changed the logits" in check_sampling_probabilities(in_place).message
