"""What is measured after each stage of training, on small models with random weights."""

import json
import math
import random
from dataclasses import replace

import pytest
import torch
from conftest import tiny_helium, tiny_mimi
from test_checkpoints import small_moshi

from moshi_ref.checkpoints import save
from moshi_ref.evaluation import stage_report
from moshi_ref.evaluation.duplex import Answer, Question
from moshi_ref.evaluation.stage_report import answering, listening, main, reading, texts, unheard_dialogues
from moshi_ref.helium import Helium
from moshi_ref.mimi import Mimi
from moshi_ref.rq_transformer import ZERO
from moshi_ref.tokenizer import EPAD, PAD, TextTokenizer


def test_a_model_that_knows_nothing_reads_at_the_logarithm_of_the_vocabulary(tokenizer):
    rows = texts(tokenizer, 9, seed=0)
    assert {name: tuple(piece.shape) for name, piece in rows.items()} == {
        name: (stage_report.PIECES, 10) for name in ("known phrasings", "held-out phrasings")
    }
    found = reading(lambda tokens: torch.zeros(*tokens.shape, len(tokenizer)), rows)
    assert set(found.values()) == {round(math.log(len(tokenizer)), 4)}


def test_a_model_that_knows_the_next_token_reads_without_surprise(tokenizer):
    rows = texts(tokenizer, 9, seed=0)
    after = {piece[:, :-1].sum().item(): piece[:, 1:] for piece in rows.values()}

    def knows(tokens):
        return 100 * torch.nn.functional.one_hot(after[tokens.sum().item()], len(tokenizer)).float()

    assert set(reading(knows, rows).values()) == {0.0}


def test_listening_counts_words_and_leaves_out_what_is_not_there():
    torch.manual_seed(0)
    moshi = small_moshi().eval()
    codes = torch.randint(4, 15, (2, 7, 12))
    codes[:, 0, ::2], codes[:, 0, 1] = PAD, EPAD
    found = listening(moshi, codes)
    assert found["words_right"]["n"] == int((codes[:, 0] > PAD).sum()) == 10
    assert all(0 < found[name] < 10 for name in ("text", "semantic", "acoustic"))
    other = codes.clone()
    other[:, 1, -1] = (other[:, 1, -1] + 1) % 15  # a semantic code of the last frame: only its own loss may change
    changed = {name for name in ("text", "semantic") if listening(moshi, other)[name] != found[name]}
    assert changed == {"semantic"}
    codes[:, 1] = ZERO
    assert listening(moshi, codes)["semantic"] == 0.0


def test_every_question_gets_its_own_answer():
    asked = {name: [Question(torch.zeros(10), 1.0, f"{name}{i}") for i in range(2)] for name in "ab"}
    calls = []

    def answers_to(questions):
        calls.append(len(questions))
        return [Answer(q.answer if q.answer != "b1" else "no", torch.zeros(1), 1.4) for q in questions]

    rows = answering(answers_to, asked)
    assert calls == [4] and [rows[name]["text"]["right"] for name in "ab"] == [2, 1]


def test_dialogues_are_spoken_by_voices_of_the_test(tokenizer, monkeypatch):
    splits, real = [], stage_report.user_voice
    monkeypatch.setattr(stage_report, "user_voice", lambda rng, split: splits.append(split) or real(rng, split))
    mimi = Mimi(tiny_mimi())
    codes = unheard_dialogues(mimi, tokenizer, 2, seed=0)
    own = mimi.config.used_codebooks
    assert codes.shape == (2 * stage_report.DRAWS, 1 + 2 * own, stage_report.FRAMES) and splits == ["test", "test"]
    assert torch.equal(codes, unheard_dialogues(mimi, tokenizer, 2, seed=0))
    assert (codes[:, 0] > PAD).any()


@pytest.fixture
def run(tmp_path, tokenizer, monkeypatch):
    """A folder of two stages, the Helium before them, and quick measures of conversations."""
    torch.manual_seed(0)
    folder = tmp_path / "run"
    for name in ("pretraining", "instruction"):
        save(small_moshi(len(tokenizer)), folder / name)
        tokenizer.save(folder / name / "tokenizer.model")
    save(Mimi(tiny_mimi()), folder / "mimi")
    save(Helium(replace(tiny_helium(), vocabulary=len(tokenizer))), tmp_path / "helium")
    tokenizer.save(tmp_path / "helium" / "tokenizer.model")
    quick = {"right": 1, "n": 1, "share": 1.0, "low": 0.2, "high": 1.0}
    monkeypatch.setattr(stage_report, "full_duplex", lambda answers_to, count, seed: {"interruption": quick})
    monkeypatch.setattr(stage_report, "questions", lambda count, seed, people: {
        name: [Question(torch.zeros(4 * 1920), 0.1, "seven")] * count for name in ("sum, known", "sum, held-out pairs")
    })  # fmt: skip
    return folder


def test_the_command_measures_the_stages_that_are_there(run, capsys):
    out = run / "stages.json"
    assert main([str(run), "--helium", str(run.parent / "helium"), "--trials", "1", "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    assert written["trials"] == 1 and list(written["stages"]) == ["helium", "pretraining", "instruction"]
    assert list(written["stages"]["helium"]) == ["text"]
    stage = written["stages"]["instruction"]
    assert list(stage) == ["text", "dialogues", "answers", "full duplex"]
    assert list(stage["answers"]) == ["sum, known"]  # the rows of the table alone
    assert "instruction: text" in capsys.readouterr().out


@pytest.mark.parametrize("change, told", [
    (lambda run: ["--trials", "0"], "at least 1 trial"),
    (lambda run: ["--out", str(run / "nowhere" / "a.json")], "no folder"),
])  # fmt: skip
def test_bad_input_is_told_in_a_sentence(run, change, told, capsys):
    base = [str(run), "--helium", str(run.parent / "helium"), "--trials", "1", "--out", str(run / "a.json")]
    assert main([*base, *change(run)]) == 2 and told in capsys.readouterr().err


def test_a_folder_without_stages_or_another_helium_is_refused(run, tmp_path, capsys):
    out, helium = ["--out", str(run / "a.json")], ["--helium", str(run.parent / "helium")]
    assert main([str(run / "mimi"), *helium, *out]) == 2 and "as `train stages`" in capsys.readouterr().err
    other = TextTokenizer.train([" ".join(random.Random(1).choices(["ab", "cde", "fgh"], k=40))], 280)
    other.save(run.parent / "helium" / "tokenizer.model")
    assert main([str(run), *helium, *out]) == 2 and "other tokens" in capsys.readouterr().err
