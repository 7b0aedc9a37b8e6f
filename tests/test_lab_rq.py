"""What notebook 08 is made with: its figures, and checkers that name the typical mistakes."""

import pytest
import torch
from test_lab import assert_picture

from moshi_ref.lab import rq_plots as plots
from moshi_ref.lab.exercises_08 import (
    check_columns_before,
    check_greedy_column,
    check_lost_bits,
    check_saving,
    matrices,
)
from moshi_ref.transformer import TransformerConfig


def test_figures():
    curve = ([1, 2, 3], [12.0, 8.0, 6.0])
    assert_picture(plots.two_clocks([1, 2, 3], [[1, 2]] * 3))
    assert_picture(plots.two_clocks([1, 2, 3], [[1, 2]] * 3, at=3))
    assert_picture(
        plots.dependencies({"a": torch.eye(3).bool(), "b": torch.ones(3, 3).bool()}, [(0, 1), (2, 2)], "xyz")
    )
    assert_picture(plots.learning({"": {"a": curve}}, ["steps"], {"floor": 6.0}))
    assert_picture(plots.learning({"one": {"a": curve, "b": curve}, "two": {"a": curve, "b": curve}}, "xy", {}))
    assert_picture(plots.stream_bars({"a": [1, 2], "b": [2, 3]}, ["text", "code"], {"known": [1, 1]}))
    assert_picture(plots.stream_bars({"a": [1.0]}, ["text"], {}))
    assert_picture(plots.bars({"a": 1.0, "b": 20.0}, "ms"))


def test_the_two_clocks_say_the_numbers_that_they_are_given():
    axes = plots.two_clocks([1, 2], [[1, 2], [1, 9]]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["1", "", "1", "2", "2", "", "1", "9"]
    early = plots.two_clocks([1, 2], [[1, 2], [1, 9]], at=2).axes[0]  # frame 1, code 0
    assert [text.get_text() for text in early.texts] == ["1", "", "1", "2", "2", "", "1", ""]
    frames = [patch for patch in early.patches if not patch.get_fill()]
    assert [(box.get_width(), box.get_height()) for box in frames] == [(2, 1), (1, 1)]


# --- Exercises ------------------------------------------------------------------------------------


def lost(joint, log=torch.log2, sign=1, pairs=False, zero=False):
    def entropy(p):
        p = p.flatten() if zero else p[p > 0]
        return -(p * log(p)).sum()

    def rest(*kept):
        axes = [axis for axis in range(joint.dim()) if axis not in kept]
        return joint.sum(axes) if axes else joint

    whole = range(joint.dim())
    if pairs:
        return float(sum(entropy(rest(i)) + entropy(rest(i + 1)) - entropy(rest(i, i + 1)) for i in whole[:-1]))
    return sign * float(sum(entropy(rest(i)) for i in whole) - entropy(joint))


def before(tokens, initial, same=False):
    first = torch.full((1, len(initial)), initial[0]) if same else torch.tensor([initial])
    return torch.cat([first[..., None].expand(len(tokens), -1, 1), tokens[..., :-1]], dim=-1)


def in_place(tokens, initial):
    tokens[..., 0] = 0
    return before(tokens, initial)


def column(text_logits, step, codebooks, cache=None, same=False, skip=False):
    cache, tokens = [] if cache is None else cache, [int(text_logits.argmax())]
    for q in range(codebooks):
        token = tokens[0] if same else tokens[-1]
        tokens.append(int(step(q, token, [] if skip else cache).argmax()))
    return tokens


def factor(temporal, depth, streams, steps=None, gate=3):
    def weights(c):
        return c.layers * (4 * c.dim**2 + gate * c.dim * c.hidden)

    steps = depth.weight_sets if steps is None else steps
    return streams * weights(temporal) / (weights(temporal) + steps * weights(depth))


KEPT = []  # a cache that outlives a column


@pytest.mark.parametrize(
    ("check", "wrong", "told"),
    [
        (check_lost_bits, lambda joint: lost(joint, torch.log), "are nats"),
        (check_lost_bits, lambda joint: lost(joint, sign=-1), "wrong way round"),
        (check_lost_bits, lambda joint: lost(joint, pairs=True), "compare with the joint"),
        (check_lost_bits, lambda joint: lost(joint, zero=True), "not a number"),
        (check_lost_bits, lambda joint: 2.0, "expected 0 bits"),
        (check_columns_before, lambda tokens, initial: tokens, "would predict itself"),
        (check_columns_before, lambda tokens, initial: tokens.roll(1, -1), "come round to the front"),
        (check_columns_before, lambda tokens, initial: tokens.roll(-1, -1), "after each one"),
        (check_columns_before, lambda tokens, initial: before(tokens, initial, same=True), "own initial token"),
        (check_columns_before, lambda tokens, initial: before(tokens, initial)[..., 1:], "expected (2, 3, 5)"),
        (check_columns_before, in_place, "have changed"),
        (check_greedy_column, lambda *given: column(*given, cache=KEPT), "starts anew in each frame"),
        (check_greedy_column, lambda *given: column(*given, skip=True), "share one list"),
        (check_greedy_column, lambda *given: column(*given, same=True), "the token before it"),
        (check_greedy_column, lambda *given: column(*given)[1:], "1 text token and 5 codes"),
        (check_greedy_column, lambda logits, step, q: column(-logits, step, q), "likeliest text token"),
        (check_saving, lambda *given: 1 / factor(*given), "the share that is left"),
        (check_saving, lambda *given: factor(*given, steps=1), "a step for each codebook"),
        (check_saving, lambda temporal, depth, streams: streams, "not free"),
        (check_saving, lambda *given: factor(*given, gate=2), "three matrices"),
    ],
)
def test_checkers_name_the_mistake(check, wrong, told):
    KEPT.clear()
    verdict = check(wrong)
    assert not verdict and told in verdict.message, verdict.message
    assert len(verdict.hints) == 3


@pytest.mark.parametrize(
    ("check", "right"),
    [(check_lost_bits, lost), (check_columns_before, before), (check_greedy_column, column), (check_saving, factor)],
)
def test_checkers_let_the_right_answer_pass(check, right):
    verdict = check(right)
    assert verdict, verdict.message


def test_every_set_of_weights_is_counted():
    one = TransformerConfig(16, 2, 3, hidden=20, context=4, rope_period=None)
    four = TransformerConfig(16, 2, 3, hidden=20, context=4, rope_period=None, weight_sets=4)
    assert matrices(one) == 3 * (4 * 16**2 + 3 * 16 * 20) and matrices(four) == 4 * matrices(one)
