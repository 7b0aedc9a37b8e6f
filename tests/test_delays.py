"""The acoustic delay: shifting streams against each other and back."""

import random

import pytest
import torch

from moshi_ref.delays import delay, known, shift, undelay


def test_the_example_of_the_docstring():
    codes = torch.tensor([[[10, 11, 12, 13], [20, 21, 22, 23]]])
    delayed = delay(codes, (0, 1), (-1, -2))
    assert delayed.tolist() == [[[10, 11, 12, 13], [-2, 20, 21, 22]]]
    assert undelay(delayed, (0, 1), -3).tolist() == [[[10, 11, 12, 13], [20, 21, 22, -3]]]
    assert known((0, 1), 4).tolist() == [[True] * 4, [True, True, True, False]]


def test_shift_moves_later_if_positive_and_earlier_if_negative():
    x = torch.tensor([[[1, 2, 3], [4, 5, 6], [7, 8, 9]]])
    assert shift(x, torch.tensor([1, 0, -2]), 0).tolist() == [[[0, 1, 2], [4, 5, 6], [9, 0, 0]]]


@pytest.mark.parametrize("trial", range(20))
def test_what_survives_comes_back(trial):
    """Random delays, some longer than the sequence."""
    rng = random.Random(trial)
    batch, streams, frames = rng.randint(1, 3), rng.randint(1, 5), rng.randint(1, 8)
    delays, initial = ([rng.randint(0, 10) for _ in range(streams)] for _ in range(2))
    codes = torch.randint(100, 1000, (batch, streams, frames))
    delayed = delay(codes, delays, initial)
    back, survives = undelay(delayed, delays, -1), known(delays, frames)
    assert delayed.shape == back.shape == codes.shape and survives.shape == (streams, frames)
    assert delayed.dtype == back.dtype == torch.int64
    for k in range(streams):
        moved = [initial[k]] * delays[k]
        assert all(row == (moved + was)[:frames] for row, was in zip(
            delayed[:, k].tolist(), codes[:, k].tolist(), strict=True))  # fmt: skip
    assert torch.equal(back, torch.where(survives, codes, -1))


def test_logits_are_moved_with_all_their_values():
    logits = torch.randn(2, 3, 5, 7)
    back = undelay(logits, (0, 2, 1), -torch.inf)
    assert back.shape == logits.shape
    assert torch.equal(back[:, 0], logits[:, 0])
    assert torch.equal(back[:, 1, :3], logits[:, 1, 2:]) and (back[:, 1, 3:] == -torch.inf).all()
    assert torch.equal(back[:, 2, :4], logits[:, 2, 1:]) and (back[:, 2, 4:] == -torch.inf).all()


def test_logits_line_up_with_the_codes_they_predict():
    """Logits of delayed codes, undelayed, belong to the codes before the delay."""
    codes, delays = torch.randint(7, (2, 3, 5)), (0, 2, 1)
    logits = torch.nn.functional.one_hot(delay(codes, delays, (0, 0, 0)), 7).float()
    survives = known(delays, 5)
    assert torch.equal(undelay(logits, delays, 0.0).argmax(-1)[:, survives], codes[:, survives])


def test_the_gradient_reaches_exactly_the_frames_that_survive():
    logits = torch.randn(1, 2, 4, 3, requires_grad=True)
    undelay(logits, (0, 1), torch.nan)[:, known((0, 1), 4)].sum().backward()
    expected = torch.ones(1, 2, 4, 3)
    expected[0, 1, 0] = 0  # the initial token's place holds no prediction
    assert torch.equal(logits.grad, expected)


@pytest.mark.parametrize("call, named", [
    (lambda c: delay(c, (0,), (0, 0)), "expected 2 delays .*got 1"),
    (lambda c: delay(c, (0, 1, 1), (0, 0)), "expected 2 delays .*got 3"),
    (lambda c: delay(c, (0, -1), (0, 0)), r"not be negative, got \(0, -1\)"),
    (lambda c: delay(c, (0, 1), (0,)), "expected 2 initial tokens .*got 1"),
    (lambda c: undelay(c, (0,), 0), "expected 2 delays .*got 1"),
    (lambda c: undelay(c, (-2, 0), 0), r"not be negative, got \(-2, 0\)"),
])  # fmt: skip
def test_delays_that_do_not_fit_are_refused(call, named):
    with pytest.raises(ValueError, match=named):
        call(torch.zeros(1, 2, 4, dtype=torch.long))
