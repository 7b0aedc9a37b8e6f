"""Word errors by hand, and held-out answers."""

import pytest
import torch

from moshi_ref.corpus.small_world import exchange, held_out_pairs
from moshi_ref.evaluation.intelligibility import held_out_answers, word_errors


@pytest.mark.parametrize(
    "heard, errors",
    [
        ("six plus two is eight", 0),
        ("", 5),
        ("six plus two is nine", 1),  # replaced
        ("plus two is eight", 1),  # left out
        ("six plus two two is eight", 1),  # added
        ("two plus six is", 3),
    ],
)
def test_word_errors_by_hand(heard, errors):
    items = [(torch.zeros(1), "six plus two is eight"), (torch.zeros(1), "six plus two is eight")]
    assert word_errors(lambda wav: heard, items) == (2 * errors, 10)


def test_only_held_out_pairs_are_said():
    kinds = held_out_answers(4, seed=0)
    assert list(kinds) == ["Moshi's voice", "held-out voices"]
    allowed = {exchange(t, *p).answer for t in ("sum", "repeat", "compare") for p in held_out_pairs(t)}
    for items in kinds.values():
        assert len(items) == 4 and all(text in allowed for _, text in items)
        assert [" plus " in text for _, text in items] == [True, False, False, True]
        assert all((wav[:4800] == 0).all() and (wav[-4800:] == 0).all() and wav.abs().max() > 0.05 for wav, _ in items)
    again = held_out_answers(4, seed=0)
    assert all(torch.equal(a[0], b[0]) for k in kinds for a, b in zip(kinds[k], again[k], strict=True))
