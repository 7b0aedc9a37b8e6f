"""Training Helium: packing, held-out text, which weights decay; and that a text can be learnt."""

import math
import random

import pytest
import torch
import torch.nn.functional as F
from conftest import SENTENCES, tiny_helium, without_gradient
from test_checkpoints import small_moshi

from moshi_ref.helium import Helium, HeliumConfig
from moshi_ref.moshi import MoshiConfig
from moshi_ref.tokenizer import BOS, EOS
from moshi_ref.training.language import start_from_helium
from moshi_ref.training.loop import one_step, train
from moshi_ref.training.text import TEST_EVERY, TEST_ROWS, TextRecipe, TextTask, decayed, pack

CPU = torch.device("cpu")
TEXT = torch.arange(90) ** 2 % 37  # of no more than 40 tokens, which repeats itself every 37


def small_helium(seed: int = 1) -> Helium:
    torch.manual_seed(seed)
    return Helium(tiny_helium(context=16))


def text_task(text=TEXT, held_out=TEXT, batch_size: int = 4) -> TextTask:
    return TextTask(small_helium(), text, held_out, TextRecipe(batch_size), CPU)


def test_documents_are_packed_one_after_the_other(tokenizer):
    first, second = SENTENCES[:2]
    assert pack([first, second], tokenizer).tolist() == [
        BOS, *tokenizer.encode(first), EOS, BOS, *tokenizer.encode(second), EOS
    ]  # fmt: skip


def test_crops_are_pieces_of_the_text_and_reach_all_of_it():
    task = text_task()
    crops = task.crops(TEXT, 400, random.Random(0))
    assert crops.shape == (400, task.length + 1)
    begins = {tuple(TEXT[i : i + task.length + 1].tolist()): i for i in range(len(TEXT) - task.length)}
    assert {begins[tuple(crop)] for crop in crops.tolist()} == set(begins.values())


def test_too_little_text_is_refused():
    with pytest.raises(ValueError, match="more than 16 tokens to learn from, got 16"):
        text_task(TEXT[:16])
    with pytest.raises(ValueError, match="more than 16 tokens to learn from, got 3"):
        text_task(held_out=TEXT[:3])
    text_task(TEXT[:17])


def test_the_loss_is_that_of_the_next_token():
    task = text_task()
    rows = task.crops(TEXT, 3, random.Random(0))
    logits = task.modules(rows)  # of one token too many
    each = [F.cross_entropy(logits[b, t], rows[b, t + 1]) for b in range(3) for t in range(task.length)]
    torch.testing.assert_close(task.cross_entropy(rows), torch.stack(each).mean())


def test_held_out_text_is_only_looked_at(monkeypatch):
    held_out = torch.full((60,), 39)  # a token that the training text lacks
    task = text_task(held_out=held_out)
    losses = [one_step(task, step, 0) for step in range(TEST_EVERY + 1)]
    assert [step for step, each in enumerate(losses) if "held_out" in each] == [0, TEST_EVERY]
    assert losses[-1]["held_out"] > losses[0]["held_out"] > losses[-1]["loss"]
    assert task.test.shape == (TEST_ROWS, task.length + 1) and (task.test == 39).all()


def test_matrices_decay_and_scales_do_not():
    helium = small_helium()
    matrices, vectors = decayed(helium)
    assert matrices["weight_decay"] == 0.1 and vectors["weight_decay"] == 0.0
    assert len(matrices["params"]) + len(vectors["params"]) == len(list(helium.parameters()))
    names = {id(p): name for name, p in helium.named_parameters()}
    assert all("norm" in names[id(p)] for p in vectors["params"])
    assert not any("norm" in names[id(p)] for p in matrices["params"])


def test_a_text_is_learnt_by_heart(tmp_path):
    task = text_task()
    curve = train(task, tmp_path, 150, seed=0, warmup=5)
    assert curve[0]["loss"] == pytest.approx(math.log(40), abs=1.0)
    assert curve[-1]["loss"] < 0.6  # a crop does not tell at once where it begins
    assert without_gradient(task.modules) == []


# --- From Helium to Moshi -------------------------------------------------------------------------


def fitting() -> tuple[MoshiConfig, Helium]:
    moshi = small_moshi()
    config = moshi.config.model
    torch.manual_seed(7)
    return moshi, Helium(HeliumConfig(config.temporal, config.text_vocabulary))


def test_moshi_starts_from_helium():
    """Fed with text alone, its Temporal Transformer says what Helium says."""
    moshi, helium = fitting()
    start_from_helium(moshi, helium)
    tokens = torch.randint(helium.config.vocabulary, (2, 9))
    columns = torch.full((2, moshi.config.model.streams, 9), -1)
    columns[:, 0] = tokens
    torch.testing.assert_close(moshi.model.text_head(moshi.model.context(columns)), helium(tokens))
    assert all(p.requires_grad for p in moshi.parameters())


def test_another_size_is_refused():
    moshi, helium = fitting()
    for wrong in (Helium(tiny_helium()), Helium(HeliumConfig(helium.config.transformer, 11))):
        with pytest.raises(ValueError, match="does not fit: expected"):
            start_from_helium(moshi, wrong)
