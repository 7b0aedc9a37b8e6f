"""What notebook 11 is made with: its figures, and checkers that name the typical mistakes."""

import pytest
import torch
from test_lab import assert_picture

from moshi_ref.inner_monologue import Word
from moshi_ref.lab import exercises_11 as exercises
from moshi_ref.lab import monologue_plots as plots
from moshi_ref.lab.exercises_11 import (
    by_the_package,
    check_chance_to_start,
    check_read_words,
    check_replace_pending,
    check_when_it_starts,
    check_write_words,
    first_time,
    replaced,
    sharpened,
)
from moshi_ref.tokenizer import EPAD, PAD


class Pieces:
    """A tokenizer whose token 4 is "ab" and whose token 5 is a lone space."""

    def piece(self, token):
        return {4: " ab", 5: " "}[int(token)]


def test_figures(tokenizer):
    assert_picture(plots.rules({"a": {"ours": "._Ab", "theirs": "_Ab."}, "b": {"ours": "...."}}))
    wav, words = torch.rand(4 * 1920) - 0.5, (Word("ab", 0.1, 0.2),)
    row = (wav, torch.tensor([PAD, EPAD, 4, PAD]), words)
    assert_picture(plots.on_wave({"a": row, "b": (wav, None, ())}, Pieces(), 24_000, 1920, first=3))
    assert_picture(plots.time_errors({"a": {"x": torch.randn(9), "y": torch.randn(5)}, "b": {"x": torch.randn(9)}}))
    assert_picture(plots.trellis(torch.randn(5, 3).log_softmax(-1), [0, 0, 1, 2, 2], "abc"))
    assert_picture(plots.shares({"a": {"x": (1, 4), "y": (0, 4)}, "b": {"y": (4, 4)}}))
    assert_picture(plots.chances(torch.rand(3, 9), {"a": torch.rand(9), "b": torch.rand(9)}, end=4))
    assert_picture(plots.onsets({"a": {"x": [0.5, 0.5], "y": [1, 0]}}, {"a": {"y": [0.9, 0.1]}}, first=2))


def test_a_stream_is_drawn_as_dots_hatches_and_letters():
    assert plots.written(torch.tensor([PAD, EPAD, 4, 5]), Pieces()) == [".", "_", "ab", " _"]
    axes = plots.rules({"a": {"x": "._A"}}).axes[0]
    assert [text.get_text() for text in axes.texts] == ["A"]
    assert [bool(patch.get_hatch()) for patch in axes.patches] == [False, True, False]
    assert [line.get_xdata()[0] for line in axes.lines] == [0]  # one dot, in frame 0


def test_words_stand_where_they_sound():
    """A frame is centred on its number: half a frame into frame 2 is at 2."""
    figure = plots.on_wave({"a": (torch.ones(5 * 1920), None, (Word("x", 2.5 * 0.08, 0.3),))}, Pieces(), 24_000, 1920)
    (word,) = figure.axes[0].texts
    assert word.get_position()[0] == pytest.approx(2)


def test_shares_say_how_many():
    axes = plots.shares({"a": {"x": (3, 4)}, "b": {"x": (0, 4)}}).axes[0]
    assert [text.get_text() for text in axes.texts] == ["3 of 4", "0 of 4"]
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0]
    assert all(line.get_xdata()[0] <= k <= line.get_xdata()[1] for line, k in zip(axes.lines, (0.75, 0), strict=True))


def test_time_errors_count_words_whatever_the_sign():
    axes = plots.time_errors({"a": {"x": torch.tensor([-40.0, 10.0])}}).axes[0]
    assert axes.lines[0].get_xdata().tolist() == [0, 10, 40] and axes.lines[0].get_ydata()[-1] == 1


def test_conversations_are_sorted_by_their_first_likely_frame():
    values = torch.tensor([[0.0, 0.0, 0.9], [0.8, 0.0, 0.0]])
    axes = plots.chances(values, {"a": values.mean(0)}, frame=1.0, end=2).axes[0]
    (mesh,) = axes.collections
    assert mesh.get_array().tolist() == [pytest.approx([0.8, 0, 0]), pytest.approx([0, 0, 0.9])]
    assert mesh.get_coordinates()[0, :, 0].tolist() == [-2, -1, 0, 1]  # frame 2 begins where the question ends


def test_the_rules_differ_where_it_is_crowded():
    crowded = [(1, [10, 11, 12, 13]), (3, [20])]
    assert by_the_package(crowded, 7) == [EPAD, 10, 11, 12, 13, 20, PAD]
    assert replaced(crowded, 7) == [EPAD, 10, 11, 20, PAD, PAD, PAD]
    roomy = [(2, [10]), (5, [20, 21])]
    assert by_the_package(roomy, 8) == replaced(roomy, 8) == [PAD, EPAD, 10, PAD, EPAD, 20, 21, PAD]


def test_when_and_how_likely():
    assert first_time(torch.tensor([0.5, 0.5, 1.0])).tolist() == [0.5, 0.25, 0.25]
    assert sharpened(0.6, 8, 1.0) == pytest.approx(0.6) and sharpened(0.6, 1, 1.0) == pytest.approx(0.6)
    assert sharpened(0.6, 1, 0.05) > 0.99 > 0.01 > sharpened(0.6, 8, 0.05)


# --- Exercises ------------------------------------------------------------------------------------


def careless(words, frames):
    """Every word at its place, over whatever stands there."""
    stream = [PAD] * frames
    for frame, tokens in words:
        frame = max(1, frame)
        stream[frame - 1] = EPAD
        for place, token in enumerate(tokens):
            if frame + place < frames:
                stream[frame + place] = token
    return stream


def no_epad(words, frames):
    return [PAD if token == EPAD else token for token in by_the_package(words, frames)]


def one_more_epad(words, frames):
    stream = by_the_package(words, frames)
    return stream[:-1] + [EPAD if stream[-1] == PAD else stream[-1]]


def later(words, frames):
    return [PAD, *by_the_package(words, frames)][:frames]


def merged(stream, begins):
    """Words end only at a pause."""
    return exercises.read_by_rule([t + 1 if t % 10 == 0 and p > PAD else t for t, p in zip(stream, [PAD, *stream],
                                                                                          strict=False)])  # fmt: skip


def by_tokens(stream, begins):
    """Words begin only at tokens that say so."""
    words = []
    for frame, token in enumerate(stream):
        if token > PAD and (begins(token) or not words):
            words.append((frame, []))
        if token > PAD:
            words[-1][1].append(token)
    return words


def split(stream, begins):
    return [(frame, [token]) for frame, token in enumerate(stream) if token > PAD]


def with_epad(stream, begins):
    return [(frame, [EPAD, *tokens]) for frame, tokens in exercises.read_by_rule(stream)]


def from_epad(stream, begins):
    return [(frame - 1, tokens) for frame, tokens in exercises.read_by_rule(stream)]


def pending_without_epad(words, frames):
    return [PAD if token == EPAD else token for token in replaced(words, frames)]


def epad_over_text(words, frames):
    """Before each word an EPAD, whatever stands there."""
    stream = replaced(words, frames)
    return [EPAD if frame + 1 in dict(words) else token for frame, token in enumerate(stream)]


def flipped(chance, words, temperature, epad):
    return sharpened(chance, words if epad else 1, temperature)


def chance(given, inclusive=False):
    waited = (1 - given).cumprod(0)
    return given * (waited if inclusive else torch.cat([torch.ones(1), waited[:-1]]))


@pytest.mark.parametrize(
    ("check", "wrong", "told"),
    [
        (check_write_words, careless, "overwritten"),
        (check_write_words, replaced, "EPAD"),
        (check_write_words, no_epad, "expected 1 EPAD, got 0"),
        (check_write_words, one_more_epad, "never over a word"),
        (check_write_words, later, "expected PAD PAD EPAD 10 11"),
        (check_write_words, lambda words, frames: by_the_package(words, frames + 1), "one a frame"),
        (check_write_words, lambda words, frames: torch.zeros(frames), "expected a list"),
        (check_read_words, merged, "side by side"),
        (check_read_words, by_tokens, "after a pause"),
        (check_read_words, split, "goes on with the last one"),
        (check_read_words, with_epad, "no part of a word"),
        (check_read_words, from_epad, "that of its first token"),
        (check_replace_pending, by_the_package, "the paper's rule"),
        (check_replace_pending, pending_without_epad, "lacks an EPAD"),
        (check_replace_pending, epad_over_text, "EPAD too many"),
        (check_when_it_starts, lambda given: given, "Speech starts once"),
        (check_when_it_starts, lambda given: chance(given, inclusive=True), "itself is in the product"),
        (check_when_it_starts, lambda given: chance(given) / 2, "expected"),
        (check_when_it_starts, lambda given: chance(given).sum(), "a tensor (F,)"),
        (check_chance_to_start, lambda h, n, t, e: h, "as at temperature 1"),
        (check_chance_to_start, flipped, "the other case"),
        (check_chance_to_start, lambda h, n, t, e: 2.0, "no probability"),
        (check_chance_to_start, lambda h, n, t, e: sharpened(h, 1 if e else n, t) ** 2, "expected"),
    ],
)
def test_checkers_name_the_mistake(check, wrong, told):
    verdict = check(wrong)
    assert not verdict and told in verdict.message, verdict.message
    assert len(verdict.hints) == 3


@pytest.mark.parametrize(
    ("check", "right"),
    [
        (check_write_words, by_the_package),
        (check_read_words, lambda stream, begins: exercises.read_by_rule(stream)),
        (check_replace_pending, replaced),
        (check_when_it_starts, chance),
        (check_chance_to_start, lambda h, n, t, e: sharpened(h, 1 if e else n, t)),
    ],
)
def test_checkers_let_the_right_answer_pass(check, right):
    verdict = check(right)
    assert verdict, verdict.message
