"""Text without sound: Moshi reads as Helium does, and two optimizers look like one."""

import copy
import random

import pytest
import torch
from conftest import close, tiny_helium
from test_checkpoints import small_moshi
from torch import nn

from moshi_ref.helium import Helium
from moshi_ref.training.language import start_from_helium
from moshi_ref.training.text_only import Alternating, chosen_evenly, crops, read


def test_moshi_reads_as_the_helium_that_it_starts_from():
    moshi, helium = small_moshi(40), Helium(tiny_helium())
    start_from_helium(moshi, helium)
    tokens = torch.randint(0, 40, (2, 12))  # longer than the context of 5
    close(read(moshi.model, tokens), helium(tokens))


def test_reading_teaches_what_comes_from_helium_and_nothing_else():
    model = small_moshi().model
    read(model, torch.randint(0, 20, (2, 8))).square().sum().backward()
    learnt = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    assert learnt == {"text_embedding", "temporal", "norm", "text_head"}


def test_pieces_of_a_text():
    text, rng = torch.arange(100, dtype=torch.int32), random.Random(0)
    rows = crops(text, 200, 9, rng)
    assert rows.shape == (200, 10) and rows.dtype == torch.int64
    assert (rows.diff(dim=1) == 1).all()
    assert rows.min() == 0 and rows.max() == 99  # also the ends are read
    assert crops(text, 1, 99, rng)[0].tolist() == list(range(100))
    with pytest.raises(ValueError, match="expected more than 100 tokens to read, got 100; give more text"):
        crops(text, 1, 100, rng)


@pytest.mark.parametrize("share, expected", [(0.0, 0), (0.1, 10), (0.5, 50), (0.75, 75), (1.0, 100)])
def test_a_share_of_the_steps_is_spread_evenly(share, expected):
    chosen = [chosen_evenly(step, share) for step in range(100)]
    assert sum(chosen) == expected
    for begin in range(0, 100, 20):
        assert sum(chosen[begin : begin + 20]) == pytest.approx(20 * share, abs=1)


def two_optimizers() -> tuple[nn.Module, Alternating]:
    torch.manual_seed(3)
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    both = torch.optim.AdamW([{"params": model[0].parameters(), "lr": 0.1}, {"params": model[1].parameters()}], lr=0.2)
    return model, Alternating(both=both, one=torch.optim.AdamW(model[1].parameters(), lr=0.3))


def step(model: nn.Module, optimizer: Alternating, chosen: str) -> None:
    optimizer.chosen = chosen
    optimizer.zero_grad()
    model[1](model[0](torch.ones(1, 2))).square().sum().backward()
    optimizer.step()


def test_only_the_chosen_optimizer_notices_a_step():
    model, optimizer = two_optimizers()
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2, 0.3]
    for chosen in ("both", "one"):
        step(model, optimizer, chosen)
        before, weights = optimizer.state_dict()["state"], [p.clone() for p in model.parameters()]
        assert len(before) == (4 if chosen == "both" else 6)
    kept = {number: value["exp_avg"].clone() for number, value in before.items()}
    step(model, optimizer, "one")
    after = optimizer.state_dict()["state"]
    assert [number for number in after if not torch.equal(after[number]["exp_avg"], kept[number])] == [4, 5]
    changed = [not torch.equal(a, b) for a, b in zip(model.parameters(), weights, strict=True)]
    assert changed == [False, False, True, True]


def test_the_state_of_both_comes_back():
    model, optimizer = two_optimizers()
    for chosen in ("both", "one", "one"):
        step(model, optimizer, chosen)
    other_model, other = two_optimizers()
    other_model.load_state_dict(model.state_dict())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for chosen in ("one", "both", "one"):
        step(model, optimizer, chosen)
        step(other_model, other, chosen)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other_model.parameters(), strict=True))
