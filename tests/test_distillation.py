"""Semantic distillation: what the teacher says about which frame, and the loss."""

import pytest
import torch
from conftest import close

from moshi_ref.corpus.utterances import PHONES
from moshi_ref.corpus.voices import Phone
from moshi_ref.training.distillation import PhoneTeacher, distillation, pool


def test_the_teacher_knows_which_phones_sound_and_in_which_order():
    phones = [Phone("s", 0.10, 0.18), Phone("i", 0.18, 0.30)]
    halves = PhoneTeacher()(torch.zeros(1, 5 * 1920), [phones])  # 0.4 s
    assert halves.shape == (1, 5, 2 * len(PHONES))
    shares = halves[0].view(10, len(PHONES))  # one row for each 40 ms
    close(shares.sum(-1), torch.ones(10))
    late = {PHONES.index("s"): (0.14, 0.22), PHONES.index("i"): (0.22, 0.34)}  # by 40 ms
    for phone, (start, end) in late.items():
        inside = [max(0.0, min(end, 0.04 * (h + 1)) - max(start, 0.04 * h)) / 0.04 for h in range(10)]
        close(shares[:, phone], torch.tensor(inside))


def test_a_frame_gets_the_mean_over_itself_and_half_a_frame_to_either_side():
    steps = torch.arange(12.0)[None, :, None]  # 12 marks of 20 ms: three frames of 80 ms
    close(pool(steps), torch.tensor([[[2.5], [5.5], [8.5]]]))  # marks 0 to 5, 2 to 9, 6 to 11


def test_pooling_is_linear_and_keeps_the_sum_of_shares():
    marks = torch.nn.functional.one_hot(torch.randint(5, (2, 40)), 5).float()
    pooled = pool(marks)
    assert pooled.shape == (2, 10, 5)
    close(pooled.sum(-1), torch.ones(2, 10))


def test_only_the_direction_counts():
    wanted = torch.randn(2, 3, 8)
    close(distillation(5 * wanted, wanted), torch.tensor(0.0))
    close(distillation(-wanted, wanted), torch.tensor(2.0))
    a, b = torch.eye(4)[None, :2], torch.eye(4)[None, 2:]
    close(distillation(a, b), torch.tensor(1.0))


def test_an_unknown_phone_is_named():
    with pytest.raises(ValueError, match="extend PHONES"):
        PhoneTeacher()(torch.zeros(1, 24_000), [[Phone("ʁ", 0, 1)]])
