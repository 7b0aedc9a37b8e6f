"""What notebook 05 is made with: its figures, and checkers that name the typical mistakes."""

import pytest
import torch
import torch.nn.functional as F
from test_lab import assert_picture

from moshi_ref import Word
from moshi_ref.lab import mimi_plots as plots
from moshi_ref.lab.exercises_05 import check_look_ahead, check_microphone, check_pack, check_visible

RATE, SIZE = 24_000, 1920


def test_figures():
    wav = 0.1 * torch.randn(12 * SIZE)
    codes = torch.randint(512, (8, 12))
    assert_picture(plots.shares({"a": {"x": 3, "y": 1}, "b": {"x": 1, "y": 0}}, "numbers"))
    assert_picture(plots.windows({"a": torch.ones(5, 5).tril().bool(), "b": torch.eye(5).bool()}, 25))
    assert_picture(plots.look_back(torch.randn(20 * SIZE), 19 * SIZE - 1, {"near": 3000, "far": 9000}, RATE, SIZE))
    assert_picture(plots.frame_budget({"a": 3.0, "b": 1.0}, 80.0))
    assert_picture(plots.frame_budget({"a": 300.0, "b": 1.0}, 80.0))
    assert_picture(plots.healing({name: torch.linspace(0, -200, 9) for name in "abcdef"}, 0.08))
    assert_picture(plots.code_grid(wav, codes, RATE, 512, [Word("one", 0.1, 0.3), Word("two", 0.3, 0.5)]))
    assert_picture(plots.code_grid(wav, codes, RATE, 512))


def test_ripples_begin_at_the_sample():
    hit = 5 * SIZE + 700
    latent, changed, sound = torch.zeros(4, 12), torch.zeros(8, 12, dtype=torch.bool), torch.zeros(12 * SIZE)
    latent[:, 5:], changed[:, 5:], sound[hit:] = 1, True, 1
    figure = plots.ripples({"a": (latent, changed, sound)}, RATE, SIZE, hit)
    assert_picture(figure)
    above, grid, below = figure.axes
    values = above.patches[0].get_data().values
    assert (values[:5] == plots.FLOOR).all() and (values[5:] == 0).all()
    assert (grid.images[0].get_array()[:, :5] > 0.9).all() and (grid.images[0].get_array()[:, 5:] < 0.3).all()
    assert (below.patches[0].get_data().values[: 5 * 8] == plots.FLOOR).all()


@pytest.mark.parametrize("last", [2 * SIZE - 1, 19 * SIZE - 1])
def test_looking_back_puts_each_block_at_its_time(last):
    gradient = torch.zeros(20 * SIZE)
    gradient[last - 239 : last + 1] = 1  # the last 10 ms of the frame
    figure = plots.look_back(gradient, last, {"formula": 3 * SIZE}, RATE, SIZE)
    steps = figure.axes[0].patches[0].get_data()
    block = int(steps.values.argmax())
    assert steps.edges[block] == pytest.approx(-0.01) and steps.edges[block + 1] == pytest.approx(0)
    assert (steps.values > plots.FLOOR).sum() == 1


def test_levels_are_decibels_with_a_floor():
    assert plots.level(torch.tensor([1.0, 0.1, 0.0])).tolist() == pytest.approx([0, -10, plots.FLOOR])
    assert plots.relative(torch.ones(3), 2 * torch.ones(5)).tolist() == [0.5] * 3


def border(encode, sound, size, later=0):
    """Changes everything from the middle on, and counts from there."""
    middle = sound.shape[-1] // size // 2
    other = sound.clone()
    other[..., middle * size :] += 3
    moved = (encode(sound) - encode(other)).abs().amax(1)[0] > 1e-6
    return middle - int(moved.nonzero()[0]) + later


def all_that_moves(encode, sound, size):
    """One frame is changed, and all frames that notice are counted, before and after."""
    other = sound.clone()
    other[..., 10 * size : 11 * size] += 3
    return int(((encode(sound) - encode(other)).abs().amax(1)[0] > 1e-6).sum()) - 1


def in_place(encode, sound, size):
    before = encode(sound)
    sound[..., sound.shape[-1] // 2 :] += 3
    return sound.shape[-1] // size // 2 - int((encode(sound) - before).abs().amax(1)[0].nonzero()[0])


def frames_of(mimi, chunks, state=True, rest=True):
    sound = torch.cat(list(chunks), dim=-1)
    whole = sound.shape[-1] // SIZE * SIZE
    pieces = [p for p in sound[..., :whole].split(SIZE, dim=-1) if p.shape[-1]]
    if rest and whole < sound.shape[-1]:
        pieces.append(F.pad(sound[..., whole:], (0, SIZE - sound.shape[-1] + whole)))
    memory = mimi.initial_state(1) if state else None
    codes = [mimi.encode(piece, memory) for piece in pieces]
    return torch.cat(codes, dim=-1) if codes else torch.zeros(1, mimi.config.codebooks, 0, dtype=torch.long)


def each_chunk(mimi, chunks):
    return torch.cat([mimi.encode(chunk) for chunk in chunks], dim=-1)


def packed(codes, bits):
    text = "".join(f"{code:0{bits}b}" for code in codes.flatten().tolist())
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


def steps(count, context):
    distance = torch.arange(count)[:, None] - torch.arange(count)
    return (distance >= 0) & (distance < context)


@pytest.mark.parametrize(
    ("check", "wrong", "told"),
    [
        (check_visible, lambda t, c: steps(t, c).T, "sees later steps"),
        (check_visible, lambda t, c: steps(t, c + 1), "counts the step itself"),
        (check_visible, lambda t, c: steps(t, c) & ~torch.eye(t).bool(), "must see itself"),
        (check_visible, lambda t, c: torch.eye(t).bool(), "too little of its past"),
        (check_visible, lambda t, c: steps(t, c).float(), "True and False"),
        (check_look_ahead, all_that_moves, "counts the past"),
        (check_look_ahead, lambda *given: border(*given, later=1), "one too many"),
        (check_look_ahead, lambda *given: -border(*given), "lies before the border"),
        (check_look_ahead, in_place, "work on a clone"),
        (check_look_ahead, lambda *given: torch.tensor(border(*given)), "whole number"),
        (check_microphone, lambda mimi, chunks: frames_of(mimi, chunks, state=False), "nothing of each other"),
        (check_microphone, lambda mimi, chunks: frames_of(mimi, chunks, rest=False), "left at the end"),
        (check_microphone, each_chunk, "nothing of each other"),
        (check_microphone, lambda mimi, chunks: frames_of(mimi, [-c for c in chunks]), "not those of the whole"),
        (check_pack, packed, "codebook after codebook"),
        (check_pack, lambda codes, bits: bytes(codes.numel()), "not a byte or two"),
        (check_pack, lambda codes, bits: packed(codes.T, bits)[::-1], "the bits are not"),
    ],
)
def test_checkers_name_the_mistake(check, wrong, told):
    verdict = check(wrong)
    assert not verdict and told in verdict.message and len(verdict.hints) == 3


@pytest.mark.parametrize(
    ("check", "right"),
    [(check_visible, steps), (check_look_ahead, border), (check_microphone, frames_of),
     (check_pack, lambda codes, bits: packed(codes.T, bits))],
)  # fmt: skip
def test_checkers_let_the_right_answer_pass(check, right):
    verdict = check(right)
    assert verdict, verdict.message
