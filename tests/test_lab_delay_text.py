"""What notebook 14 is made with: its figures, and checkers that name the typical mistakes."""

import random

import pytest
import torch
from test_lab import assert_picture

from moshi_ref.inner_monologue import FREE, PAUSE, Script, Word
from moshi_ref.lab import delay_text_plots as plots
from moshi_ref.lab.exercises_14 import (
    begins,
    check_bits_of_text,
    check_hand_out,
    check_shift_text,
    check_word_error_count,
    check_word_starts,
    edit_distance,
    handed_out,
    shifted,
    starts,
    text_bits,
)
from moshi_ref.tokenizer import EPAD, PAD


class Pieces:
    """A tokenizer whose token 4 is "ab" and whose token 5 is a full stop."""

    def piece(self, token):
        return {4: " ab", 5: "."}[int(token)]


def row(ahead):
    words = (Word("ab", 0.08, 0.2),)
    return plots.Row(torch.rand(6 * 1920) - 0.5, torch.tensor([PAD, EPAD, 4, PAD, PAD, PAD]), words, words, ahead)


# --- Figures --------------------------------------------------------------------------------------


def test_figures():
    panel = {"text": [".", "_", "ab"], "semantic": [None, None, 0], "acoustic": [None, 1, 0]}
    assert_picture(plots.streams({"a": panel, "b": panel}))
    assert_picture(plots.text_and_sound({"a": row(-0.08), "b": row(0.0)}, Pieces(), 24_000, 1920))
    assert_picture(plots.frames_off({"a": [0, 0, -9], "b": []}))
    assert_picture(plots.by_offset({"a": {-0.5: 1.0, 0.0: 2.0}, "b": {0.0: 1.0}}, (-0.5, 0.0), "nats"))
    bits = {"text": [5.0, 1.0], "sound": [3.0, 7.0]}
    assert_picture(plots.moved_bits((-1, 2), bits, bits))
    assert_picture(plots.right_by_delay((0, 1), (0.1, 1.0), {"x": [(1, 9), (8, 9)]}))


def test_a_full_stop_is_no_padding():
    assert plots.marks(torch.tensor([PAD, EPAD, 4, 5]), Pieces()) == [".", "_", "ab", " ."]


def test_streams_say_which_word_sounds():
    axes = plots.streams({"a": {"text": ["_", "ab"], "semantic": [None, 3]}}).axes[0]
    assert [text.get_text() for text in axes.texts] == ["ab", "3"]
    assert [bool(patch.get_hatch()) for patch in axes.patches] == [True, False, False, False]


def test_a_line_leads_from_the_text_to_its_moment():
    """Text that is one frame behind stands one frame to the right of the sound; a frame is centred on its number."""
    line = plots.text_and_sound({"a": row(-0.08)}, Pieces(), 24_000, 1920).axes[0].lines[0]
    text, moment = line.get_xdata()
    assert moment == pytest.approx(0.5) and text == pytest.approx(moment + 0.5 + 1)


def test_what_is_far_off_stands_at_the_edge():
    axes = plots.frames_off({"a": [0, 0, 1, -9]}, most=2).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0.25, 0, 0.5, 0.25, 0]


def test_bits_are_stacked():
    axes = plots.moved_bits((0, 1), {"text": [5, 1], "sound": [3, 7]}, {"text": [6, 1], "sound": [3, 8]}).axes[0]
    assert [(bar.get_y(), bar.get_height()) for bar in axes.patches] == [(0, 5), (0, 1), (5, 3), (1, 7)]
    assert [line.get_ydata().tolist() for line in axes.lines[:2]] == [[6, 1], [9, 9]]


# --- Exercises ------------------------------------------------------------------------------------


def test_handing_out_is_what_the_package_does():
    """`Script` says what may be drawn, and the model draws EPAD where it asks and PAD where it does not."""

    class Numbers:
        def encode(self, text):
            return [int(number) for number in text.split("+")]

    chance = random.Random(0)
    for _ in range(50):
        asks, patience = [chance.random() < 0.3 for _ in range(30)], chance.randint(0, 5)
        script, stream, last = Script("10+11 20 30+31+32", Numbers(), patience), [], PAD
        for asked in asks:
            last = script.next(last)
            last = (EPAD if asked else PAD) if last == PAUSE else PAD if last == FREE else last
            stream.append(last)
        assert stream == handed_out([[10, 11], [20], [30, 31, 32]], asks, patience)


def test_a_frame_of_waiting_is_a_digit_less_to_guess():
    assert [text_bits(delay, 3, 2.0) for delay in range(-1, 5)] == [5, 5, 4, 1, 0, 0]


def turned(stream, steps):
    return stream[-steps % len(stream) :] + stream[: -steps % len(stream)]


def by_place(said, written):
    return sum(a != b for a, b in zip(said, written, strict=False)) + abs(len(said) - len(written))


def unclipped(stream, begins, behind):
    """A word may begin before the sound."""
    return [seconds - behind for seconds in starts(stream, 0.0)]


def every_token(stream, begins, behind):
    return [max(0.0, f / 12.5 - behind) for f, token in enumerate(stream) if token > PAD]


def from_epad(stream, begins, behind):
    return [max(0.0, seconds - 0.08) for seconds in starts(stream, behind)]


def interrupted(words, asks, patience):
    """Asking in the middle of a word begins the next one."""
    left, waiting, stream = [list(word) for word in words], [], []
    for asked in asks:
        if asked and left:
            stream, waiting = [*stream, EPAD], left.pop(0)
        else:
            stream.append(waiting.pop(0) if waiting else PAD)
    return stream


def announces_nothing(words, asks, patience):
    stream = handed_out(words, asks, patience)
    return [*stream[:-1], EPAD if stream[-1] == PAD else stream[-1]]


@pytest.mark.parametrize(
    ("check", "wrong", "told"),
    [
        (check_shift_text, lambda stream, steps: shifted(stream, -steps), "other direction"),
        (check_shift_text, turned, "no circle"),
        (check_shift_text, lambda stream, steps: shifted(stream, steps)[:-1], "one a frame"),
        (check_shift_text, lambda stream, steps: torch.tensor(stream), "expected a list"),
        (check_shift_text, lambda stream, steps: stream, "expected PAD PAD PAD EPAD"),
        (check_word_starts, lambda stream, begins, behind: starts(stream, -behind), "the delay is added"),
        (check_word_starts, lambda stream, begins, behind: starts(stream, 0.0), "not of the sound"),
        (check_word_starts, unclipped, "0 is the earliest"),
        (check_word_starts, every_token, "begin nothing"),
        (check_word_starts, from_epad, "frame of the EPAD"),
        (check_word_error_count, by_place, "compares place by place"),
        (check_word_error_count, lambda said, written: len(set(said) - set(written)), "Order counts"),
        (check_word_error_count, lambda said, written: edit_distance(said, written) + 1, "expected 0, got 1"),
        (check_hand_out, interrupted, "written whole"),
        (check_hand_out, announces_nothing, "EPAD too many"),
        (check_hand_out, lambda words, asks, patience: handed_out(words, asks, 99), "words are missing"),
        (check_hand_out, lambda words, asks, patience: handed_out(words, asks, max(0, patience - 6)), "expected"),
        (check_bits_of_text, lambda delay, digits, when: digits - delay + when, "more than the word"),
        (check_bits_of_text, lambda delay, digits, when: digits - max(delay, 0), "when is a guess"),
        (check_bits_of_text, lambda delay, digits, when: text_bits(min(delay, 1), digits, when), "expected 1"),
        (check_bits_of_text, lambda delay, digits, when: text_bits(delay, digits, 0) + when, "nothing is left"),
        (check_bits_of_text, lambda delay, digits, when: -1.0, "less than nothing"),
    ],
)
def test_checkers_name_the_mistake(check, wrong, told):
    verdict = check(wrong)
    assert not verdict and told in verdict.message, verdict.message
    assert len(verdict.hints) == 3


@pytest.mark.parametrize(
    ("check", "right"),
    [
        (check_shift_text, shifted),
        (check_word_starts, lambda stream, begins, behind: starts(stream, behind)),
        (check_word_error_count, edit_distance),
        (check_hand_out, handed_out),
        (check_bits_of_text, text_bits),
    ],
)
def test_checkers_let_the_right_answer_pass(check, right):
    verdict = check(right)
    assert verdict, verdict.message


def test_the_checkers_tokenizer():
    assert begins(20) and not begins(21)
