"""Human users, on made-up recordings in the layout of the data set."""

import random

import numpy as np
import pytest
import soundfile
import torch

from moshi_ref.corpus.fsdd import load_digits
from moshi_ref.corpus.human import HumanUtterances, faster_or_slower
from moshi_ref.corpus.small_world import held_out

SECONDS = 0.2  # of each recording


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Two speakers, ten digits, one recording of the test set and two of the training set of each."""
    folder, rng = tmp_path_factory.mktemp("digits"), np.random.default_rng(0)
    for speaker in ("anna", "bob"):
        for digit in range(10):
            for index in (4, 5, 6):
                samples = 0.1 * rng.standard_normal(round(SECONDS * 8_000))
                soundfile.write(folder / f"{digit}_{speaker}_{index}.wav", samples, 8_000)
    return folder


def same(a, b) -> bool:
    return torch.equal(a.wav, b.wav) and (a.words, a.phones, a.speaker) == (b.words, b.phones, b.speaker)


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_utterance_depends_on_seed_and_number_alone(split, clone):
    first, again = (HumanUtterances(clone, split, 12, seed=3) for _ in range(2))
    assert len(first) == 12
    assert all(same(first[i], again[i]) for i in reversed(range(12)))
    assert not same(first[0], first[1])
    assert not same(first[0], HumanUtterances(clone, split, 12, seed=4)[0])
    for outside in (12, -1):
        with pytest.raises(IndexError):
            first[outside]


def test_only_pairs_that_training_may_know(clone):
    items = HumanUtterances(clone, "train", 60, seed=0)
    assert not any(held_out(*item.exchange.operands) for item in items)
    assert all(item.exchange.topic == "digits" and item.text == item.exchange.question for item in items)
    assert {item.speaker for item in items} == {"anna", "bob"}


def test_the_test_set_keeps_the_sound_as_it_is(clone):
    recordings = {(r.speaker, r.digit): r.wav for r in load_digits(clone, "test")}
    for item in HumanUtterances(clone, "test", 12, seed=0):
        first, second = (recordings[item.speaker, digit] for digit in item.exchange.operands)
        assert torch.equal(item.wav[: len(first)], first) and torch.equal(item.wav[-len(second) :], second)
        assert item.words[0].end == pytest.approx(SECONDS)


def test_training_changes_speed_and_times_together(clone):
    factors = set()
    for item in HumanUtterances(clone, "train", 30, seed=0):
        factor = item.words[0].end / SECONDS
        factors.add(round(factor, 2))
        assert 0.84 < factor < 1.16
        assert item.words[1].end - item.words[1].start == pytest.approx(SECONDS * factor)
        assert item.words[1].end == item.phones[-1].end == pytest.approx(len(item.wav) / 24_000, abs=1e-3)
        first, second = (round(item.words[1].start * 24_000) + k for k in (-50, 50))
        assert item.wav[first - 500 : first].abs().max() < 1e-3  # the pause before the second word
        assert item.wav[second : second + 500].abs().max() > 0.05
    assert len(factors) > 5


def test_faster_or_slower_changes_nothing_else(clone):
    item = HumanUtterances(clone, "test", 1, seed=0)[0]
    changed = faster_or_slower(item, random.Random(1))
    factor = len(changed.wav) / len(item.wav)
    assert factor != 1
    for marks, before in ((changed.words, item.words), (changed.phones, item.phones)):
        assert [mark.start for mark in marks] == pytest.approx([mark.start * factor for mark in before])
        assert [mark.end for mark in marks] == pytest.approx([mark.end * factor for mark in before])
    assert (changed.text, changed.exchange, changed.speaker) == (item.text, item.exchange, item.speaker)
