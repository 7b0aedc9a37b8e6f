"""The probe on tokens whose answer is known: spelled out, absent, or shared by two codebooks."""

from pathlib import Path

import pytest
import torch
from conftest import tiny_mimi

from moshi_ref.corpus.fsdd import DigitRecording
from moshi_ref.evaluation import hearing as module
from moshi_ref.evaluation.hearing import (
    FRAMES,
    Digits,
    Probe,
    accuracy,
    hearing,
    hears_through,
    human_digits,
    spoken_digits,
    tokens,
    train_probe,
)
from moshi_ref.evaluation.intervals import wilson
from moshi_ref.mimi import Mimi

ENTRIES = 32


def noise(count: int, codebooks: int = 3) -> Digits:
    return Digits(torch.randint(ENTRIES, (count, codebooks, FRAMES)), torch.randint(10, (count,)))


def semantic_says_it(count: int) -> Digits:
    """In three frames the semantic token is the digit; all the rest is noise."""
    data = noise(count)
    data.codes[:, 0, 4:7] = data.digits[:, None]
    return data


def both_say_it(count: int) -> Digits:
    """The semantic token says which half of the digits, an acoustic one which of the five."""
    data = noise(count)
    data.codes[:, 0, 4:7] = (data.digits // 5)[:, None]
    data.codes[:, 2, 4:7] = (data.digits % 5)[:, None]
    return data


def shares(make) -> list[float]:
    results = hears_through(make(600), {"test": make(300)}, ENTRIES, steps=70, seed=0)
    assert list(results) == ["semantic", "acoustic", "both"]
    return [row["test"]["share"] for row in results.values()]


def test_what_only_the_semantic_codebook_says():
    semantic, acoustic, both = shares(semantic_says_it)
    assert semantic > 0.95 and both > 0.9 and acoustic < 0.2


def test_what_no_codebook_says_is_at_chance():
    assert max(shares(noise)) < 0.2


def test_what_only_both_together_say():
    semantic, acoustic, both = shares(both_say_it)
    assert both > 0.7 and semantic < 0.35 and acoustic < 0.65


def test_the_same_seed_gives_the_same_probe_and_disturbs_nobody():
    data = semantic_says_it(64)
    state = torch.get_rng_state()
    one, other, another = (train_probe(data, ENTRIES, 5, seed) for seed in (1, 1, 2))
    assert torch.equal(one(data.codes), other(data.codes)) and not torch.equal(one(data.codes), another(data.codes))
    assert torch.equal(torch.get_rng_state(), state)


def test_accuracy_has_its_interval():
    class Always(torch.nn.Module):
        def forward(self, codes):
            return torch.eye(10)[codes[:, 0, 0]]

    codes = torch.arange(10)[:, None, None].expand(10, 1, FRAMES)
    row = accuracy(Always(), Digits(codes, torch.tensor([0, 1, 2, 3, 0, 0, 0, 0, 0, 0])))
    assert row == {"right": 4, "n": 10, "share": 0.4, "low": wilson(4, 10)[0], "high": wilson(4, 10)[1]}


def test_a_split_needs_two_codebooks():
    data = noise(8, codebooks=1)
    with pytest.raises(ValueError, match="at least one acoustic"):
        hears_through(data, {"test": data}, ENTRIES, 1, 0)


def test_probe_shapes():
    assert Probe(3, ENTRIES)(noise(5).codes).shape == (5, 10)


# --- From sounds to tokens ------------------------------------------------------------------------


def test_spoken_digits():
    one, other, held_out = (spoken_digits(split, 3, 0) for split in ("train", "train", "test"))
    for (wav, digit), (same, again) in zip(one, other, strict=True):
        assert torch.equal(wav, same) and digit == again and 0 <= digit <= 9
    assert not any(len(a[0]) == len(b[0]) for a, b in zip(one, held_out, strict=True))


def test_tokens_are_the_codec_s():
    """Sounds begin somewhere in the first frame, and are filled up or cut."""
    mimi, size = Mimi(tiny_mimi()).eval(), 1920
    items = [(0.1 * torch.ones(size), 3), (0.1 * torch.randn(3 * FRAMES * size), 9)]
    heard = []
    inner, mimi.encode = mimi.encode, lambda wav: heard.append(wav) or inner(wav)
    data = tokens(mimi, items, seed=0)
    (wav,) = heard
    assert wav.shape == (2, 1, FRAMES * size) and data.codes.shape == (2, 3, FRAMES)
    assert data.digits.tolist() == [3, 9]
    assert wav[0].count_nonzero() == size and wav[0, 0].nonzero()[0] < size


def test_everything(monkeypatch):
    """A few digits, an untrained codec: that the parts fit together. People are added to both sides."""
    asked = []

    def load(folder, split):
        asked.append((folder, split))
        return [DigitRecording(digit, "anna", 7, 0.1 * torch.randn(5000)) for digit in range(10)]

    monkeypatch.setattr(module, "load_digits", load)
    results = hearing(Mimi(tiny_mimi()).eval(), Path("clone"), 0, train=6, test=4, steps=2)
    assert set(asked) == {(Path("clone"), "train"), (Path("clone"), "test")}
    assert all(list(row) == ["known voices", "held-out voices", "people"] for row in results.values())
    assert all(cell["n"] == 4 for row in results.values() for cell in row.values())
    assert len(human_digits(Path("clone"), "test", 99, 0)) == 10
    without = hearing(Mimi(tiny_mimi()).eval(), None, 0, train=6, test=4, steps=2)
    assert list(without["both"]) == ["known voices", "held-out voices"]
