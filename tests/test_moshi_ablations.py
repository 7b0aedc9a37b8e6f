"""Moshi with a part left out: what exactly is, and what is written about it."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import tiny_mimi
from test_checkpoints import small_moshi

from moshi_ref.checkpoints import save
from moshi_ref.corpus.dialogues import Dialogue
from moshi_ref.evaluation import moshi_ablation_report as module
from moshi_ref.evaluation.duplex import Answer, Question
from moshi_ref.evaluation.moshi_ablation_report import main, row
from moshi_ref.mimi import Mimi
from moshi_ref.tokenizer import PAD
from moshi_ref.training.moshi_ablations import variant_stage, wordless
from moshi_ref.training.recipes import PROFILES

CPU = PROFILES["cpu"]
SEVEN, NINE = "Three plus four is seven.", "Three plus four is nine."


def test_a_variant_differs_from_all_in_one_thing():
    every = variant_stage("all", CPU)
    assert variant_stage("no-acoustic-delay", CPU) == replace(every, acoustic_delay=0)
    even = replace(every.recipe, semantic_weight=1.0)
    assert variant_stage("even-weights", CPU) == replace(every, recipe=even) != every
    for name in ("no-inner-monologue", "no-helium"):  # differ in what they learn from, and in where they begin
        assert variant_stage(name, CPU) == every
    longer = variant_stage("no-reading", CPU)
    assert longer == replace(every, steps=longer.steps) and longer.steps == 3 * every.steps
    assert variant_stage("reading", CPU) == replace(longer, text_only=0.1, silent=0.25)


def test_without_its_words_a_dialogue_sounds_the_same():
    dialogue = Dialogue(torch.arange(40).view(5, 8), torch.arange(8))
    drawn = wordless(lambda _: dialogue)(random.Random(0))
    assert drawn.codes[0].tolist() == [PAD] * 8
    assert torch.equal(drawn.codes[1:], dialogue.codes[1:]) and torch.equal(drawn.user_text, dialogue.user_text)


class Hears:
    """A judge that hears what is written into the first samples of a sound."""

    heard = {1: "three plus four is seven", 2: "three plus four is nine"}

    def transcribe(self, wav: torch.Tensor) -> str:
        return self.heard[round(wav.max().item())]


def test_the_voice_is_judged_by_the_question_and_not_by_the_text():
    asked = [Question(torch.zeros(10), 1.0, SEVEN)] * 4
    voices = [(SEVEN, 1.0), (NINE, 1.0), (SEVEN, 2.0), ("", 1.0)]
    answers = [Answer(text, torch.full((4_800,), loud), onset=1.5) for text, loud in voices]
    found = row(asked, answers, Hears())
    assert (found["text"]["right"], found["voice"]["right"], found["in_time"]["right"]) == (2, 3, 4)


def test_the_file_of_a_run(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(module, "load_recogniser", lambda _: Hears())
    monkeypatch.setattr(module, "asker", lambda *_: lambda asked: [
        Answer(q.answer, torch.ones(4_800), 1.0) for q in asked])  # fmt: skip
    run = tmp_path / "moshi-cpu-no-helium-2"
    save(small_moshi(len(tokenizer)), run)
    save(Mimi(tiny_mimi()), run / "mimi")
    tokenizer.save(run / "tokenizer.model")
    (run / "curve.json").write_text(json.dumps([{"step": i, "seconds": 1.0, "text": 0.5} for i in range(50)]))
    assert main([str(run), "--out", str(tmp_path / "out"), "--trials", "3"]) == 0
    written = json.loads((tmp_path / "out" / "no-helium-2.json").read_text())
    assert (written["variant"], written["seed"], written["curve"][0]["step"]) == ("no-helium", 2, 49)
    assert list(written["rows"]) == ["known", "held-out pairs", "only read"]
    assert all(each["text"]["right"] == each["text"]["n"] == 3 for each in written["rows"].values())


@pytest.mark.parametrize("arguments, part", [(["mimi-cpu-all-0"], "moshi-PROFILE-VARIANT-SEED"),
                                             (["moshi-cpu-all-0"], "moshi-cpu-all-0"),
                                             (["moshi-cpu-all-0", "--trials", "0"], "at least 1 trial")])  # fmt: skip
def test_wrong_wishes_are_refused(arguments, part, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--out", "out"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and part in said and not list(Path(tmp_path).glob("out/*"))
