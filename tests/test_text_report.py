"""The report on a Helium: known answers from models that know everything, or nothing."""

import json
import math

import pytest
from conftest import tiny_helium

from moshi_ref import __main__ as cli
from moshi_ref.checkpoints import save
from moshi_ref.corpus.documents import documents
from moshi_ref.evaluation import text_report
from moshi_ref.evaluation.multiple_choice import Question
from moshi_ref.helium import Helium, HeliumConfig
from moshi_ref.training.recipes import train_tokenizer

QUESTIONS = [
    Question("What is two plus two? It is", (" four", " nine"), 0),
    Question("What is two plus seven? It is", (" four", " nine"), 1),
]


@pytest.fixture(scope="module")
def small_world_tokenizer():
    return train_tokenizer(documents(0.05, 0), 700)


def helium_that_says(tokenizer, favourite: str) -> Helium:
    """A Helium to which one token is always the likeliest, by far, and all others are equal."""
    helium = Helium(HeliumConfig(tiny_helium(context=64).transformer, len(tokenizer))).eval()
    helium.embedding.weight.data[:] = 1.0
    for layer in helium.transformer.layers:
        layer.attention.out_proj.weight.data.zero_()
        layer.mlp.linear_out.weight.data.zero_()
    helium.head.weight.data.zero_()
    helium.head.weight.data[tokenizer.encode(favourite)] = 1.0  # times 32 channels that are all 1
    return helium


def test_a_favourite_answers_the_questions_that_it_fits(small_world_tokenizer):
    row = text_report.known(helium_that_says(small_world_tokenizer, "four"), small_world_tokenizer, QUESTIONS)
    assert row.raw.value == row.normalised.value == row.exact.value == 0.5
    assert (row.raw.chance, row.exact.chance) == (0.5, 0.0)


def test_who_knows_nothing_needs_as_many_bits_as_a_uniform_model(small_world_tokenizer):
    helium = helium_that_says(small_world_tokenizer, "four")
    helium.head.weight.data.zero_()
    bits = text_report.predicted(helium, small_world_tokenizer, 0.01)
    assert len(bits) == 6
    for name in ("known phrasings", "held-out phrasings"):
        assert bits[f"Helium, {name}"].value == pytest.approx(bits[f"uniform, {name}"].value, rel=1e-5)
        assert bits[f"unigram, {name}"].value < bits[f"uniform, {name}"].value
    assert all(math.isfinite(bound) for each in bits.values() for bound in each.interval)


def test_the_command(small_world_tokenizer, tmp_path, monkeypatch, capsys):
    save(helium_that_says(small_world_tokenizer, "four"), tmp_path)
    small_world_tokenizer.save(tmp_path / "tokenizer.model")
    monkeypatch.setattr(text_report, "benchmarks", lambda seed, stories: {"arithmetic": QUESTIONS})
    monkeypatch.setattr(text_report, "NEW", 0.01)
    assert cli.main(["evaluate", "helium", "--helium", str(tmp_path), "--json", str(tmp_path / "out.json")]) == 0
    assert "arithmetic" in (printed := capsys.readouterr().out) and "50.0%" in printed
    results = json.loads((tmp_path / "out.json").read_text())
    assert results["benchmarks"]["arithmetic"]["raw"]["value"] == 0.5
    assert results["benchmarks"]["arithmetic"]["exact"]["count"] == 2
    assert results["bits_per_byte"]["uniform, known phrasings"]["value"] > 0
