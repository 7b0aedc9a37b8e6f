"""What notebook 12 is made with: its figures, its tables, and checkers that name the typical mistakes."""

import json
import random

import pytest
import torch
from test_lab import assert_picture
from test_timeline import NOISE, RATE, SILENCE, channel, numbered_clip

from moshi_ref.corpus.timeline import Timeline
from moshi_ref.lab import stage_plots as plots
from moshi_ref.lab import stage_tables as tables
from moshi_ref.lab.exercises_12 import (
    adam,
    check_adam_steps,
    check_merged,
    check_reads,
    check_text_nats,
    text_nats_of,
)
from moshi_ref.rq_transformer import ZERO
from moshi_ref.tokenizer import PAD
from moshi_ref.training.text_only import chosen_evenly

CURVE = [{"step": i, "seconds": 1.0, "loss": 3 - i / 10, **({"text": 1.0} if i % 2 else {})} for i in range(10)]


# --- Figures --------------------------------------------------------------------------------------


@pytest.fixture
def line(tokenizer) -> Timeline:
    line = Timeline(channel(SILENCE), channel(NOISE), tokenizer, RATE)
    line.user_says(numbered_clip(1, "what is seven"), 1.0)
    line.moshi_says(numbered_clip(2, "seven is nine"), 2.0)
    return line


def test_figures(line):
    codes = line.dialogue().codes
    assert_picture(plots.heard({"a": (line, codes), "b": (line, codes)}))
    assert_picture(plots.shares({"a": (6, 1, 3), "b": (0, 0, 0)}, "percent"))
    assert_picture(plots.sizes({"a": {"x": torch.rand(50) + 1e-6, "y": torch.rand(50) + 1e-3}}, "size"))
    assert_picture(plots.stage_curves({"first": CURVE, "second": CURVE}, ["loss", "text"]))


def test_an_empty_channel_and_a_hidden_text_are_hatched(line):
    codes = line.dialogue().codes
    hatched = []
    for change in (lambda c: None, lambda c: c[1 + (len(c) - 1) // 2 :].fill_(ZERO), lambda c: c[0].fill_(ZERO)):
        shown = codes.clone()
        change(shown)
        axes = plots.heard({"a": (line, shown)}).axes[0]
        hatched.append(sum(bool(patch.get_hatch()) for patch in axes.patches))
    assert hatched == [0, 1, codes.shape[1]]
    words = int((codes[0] != PAD).sum())
    assert len(plots.heard({"a": (line, codes)}).axes[0].patches) == words + 2  # and two turns


def test_shares_fill_their_bar():
    widths = [bar.get_width() for bar in plots.shares({"a": (1, 1, 2)}, "").axes[0].patches]
    assert widths == [25, 25, 50]


def test_a_stage_begins_where_the_one_before_has_ended_and_is_as_wide():
    first, second, boundary = plots.stage_curves({"first": CURVE, "second": CURVE}, ["text"]).axes[0].lines[:3]
    assert first.get_xdata().tolist() == [0.1, 0.3, 0.5, 0.7, 0.9]  # CURVE has ten steps
    assert second.get_xdata().tolist() == [1.1, 1.3, 1.5, 1.7, 1.9] and list(boundary.get_xdata()) == [1, 1]


# --- Tables ---------------------------------------------------------------------------------------


def test_curves_that_are_not_there_are_named(tmp_path):
    files = tables.stage_files(tmp_path)
    assert tables.stored_curves(tmp_path) == {}
    (tmp_path / "curve_finetuning.json").write_text(json.dumps(CURVE))
    assert tables.stored_curves(tmp_path) == {"finetuning": CURVE}
    told = tables.missing(list(files.values()))
    assert "curve_pretraining.json" in told and "finetuning" not in told
    assert tables.missing([tmp_path / "curve_finetuning.json"]) == ""


def test_the_table_of_a_report(tmp_path):
    right = {"right": 1, "n": 2, "share": 0.5, "low": 0.1, "high": 0.9}
    stages = {"helium": {"text": {"known phrasings": 0.5}},
              "pretraining": {"text": {"known phrasings": 0.75}, "answers": {"sum": {"text": right}}}}  # fmt: skip
    path = tmp_path / "stages.json"
    path.write_text(json.dumps({"trials": 2, "seed": 0, "stages": stages}))
    columns = [("text", ("text", "known phrasings")), ("sums", ("answers", "sum", "text"))]
    table = tables.stage_rows(tables.read_report(path), columns).split("\n")
    assert table[2:] == ["| helium | 0.50 |  |", "| pretraining | 0.75 | 50 % [10, 90] |"]
    assert tables.share(right | {"share": None}) == "nothing to count"


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", '{"stages": {}}'])
def test_other_reports_are_refused(text, tmp_path):
    path = tmp_path / "stages.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="stages.json"):
        tables.read_report(path)


# --- Exercises ------------------------------------------------------------------------------------


def merged(W, A, B, scaling):
    return W + scaling * B @ A


def in_place(W, A, B, scaling):
    W += scaling * B @ A
    return W


def weights(tokens, padding, there=True, epad=True):
    weight = torch.where(tokens <= 3 if epad else tokens == 3, padding, 1.0)
    return weight * (tokens >= 0) if there else weight


def mean(nats, weight):
    return (nats * weight).sum() / weight.sum().clamp(min=1e-9)


@pytest.mark.parametrize(
    ("check", "wrong", "told"),
    [
        (check_text_nats, lambda n, t, p: (n * weights(t, p)).mean(), "divide by the sum of the weights"),
        (check_text_nats, lambda n, t, p: mean(n, weights(t, p, there=False)), "holds nothing"),
        (check_text_nats, lambda n, t, p: mean(n, weights(t, p, epad=False)), "EPAD (0) is padding"),
        (check_text_nats, lambda n, t, p: mean(n, (t > 3).float()), "only less"),
        (check_text_nats, lambda n, t, p: mean(n, (t >= 0).float()), "count alike"),
        (check_text_nats, lambda n, t, p: (n * (w := weights(t, p))).sum() / w.sum(), "the loss is 0"),
        (check_text_nats, lambda n, t, p: torch.tensor(7.0), "expected"),
        (check_reads, lambda step, share: random.random() < share, "answers differently"),
        (check_reads, lambda step, share: step < 400 * share, "Spread them evenly"),
        (check_reads, lambda step, share: share > 0 and step % round(1 / share) == 0, "of 400 steps"),
        (check_adam_steps, lambda g, k: [], "one for each gradient"),
        (check_adam_steps, lambda g, k: [-step for step in adam(g, k)], "sign"),
        (check_adam_steps, lambda g, k: adam(g, "a" * len(g)), "share one state"),
        (check_adam_steps, lambda g, k: adam(g, k, corrected=False), "start at 0"),
        (check_adam_steps, lambda g, k: adam(g, k, count_all=True), "not all"),
        (check_adam_steps, lambda g, k: list(g), "expected"),
        (check_merged, in_place, "W has changed"),
        (check_merged, lambda W, A, B, s: (W + s * B @ A).T, "shape of W"),
        (check_merged, lambda W, A, B, s: W + B @ A, "scaling is missing"),
        (check_merged, lambda W, A, B, s: W.clone(), "nothing has been added"),
        (check_merged, lambda W, A, B, s: W + s / len(A) * B @ A, "not divided by the rank"),
        (check_merged, lambda W, A, B, s: s * (W + B @ A), "keeps its size"),
        (check_merged, lambda W, A, B, s: 3 * W, "expected"),
    ],
)
def test_checkers_name_the_mistake(check, wrong, told):
    verdict = check(wrong)
    assert not verdict and told in verdict.message, verdict.message
    assert len(verdict.hints) == 3


def test_the_order_of_an_adapter_is_named():
    def turned(W, A, B, scaling):
        return W + scaling * (A @ B if A.shape == B.shape else B @ A)

    assert "A stands on the right" in check_merged(turned).message


@pytest.mark.parametrize(("check", "right"), [
    (check_text_nats, text_nats_of), (check_reads, chosen_evenly), (check_adam_steps, adam), (check_merged, merged),
])  # fmt: skip
def test_checkers_let_the_right_answer_pass(check, right):
    verdict = check(right)
    assert verdict, verdict.message


def test_what_is_right_is_what_pytorch_does():
    """One kind of step is plain Adam."""
    weight = torch.zeros(1, requires_grad=True)
    optimizer, places = torch.optim.Adam([weight], lr=1.0, betas=(0.9, 0.95)), [0.0]
    for gradient in (1.0, -2.0, 0.5):
        weight.grad = torch.tensor([gradient])
        optimizer.step()
        places.append(weight.item())
    steps = [before - after for before, after in zip(places, places[1:], strict=False)]
    assert adam((1.0, -2.0, 0.5), "aaa") == pytest.approx(steps, abs=1e-4)
