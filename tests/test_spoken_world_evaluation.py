"""The table of the spoken world: whose questions, which answers count, whose voice is judged, and the command."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from conftest import tiny_mimi
from test_checkpoints import small_moshi

from moshi_ref.__main__ import main
from moshi_ref.checkpoints import save
from moshi_ref.corpus.facts import FACTS
from moshi_ref.corpus.scripts import SPOKEN, UNSPOKEN, spoken_pairs, unspoken_pairs, written
from moshi_ref.corpus.small_world import exchange, held_out_pairs
from moshi_ref.corpus.voices import SAMPLE_RATE, TEST_VARIANTS
from moshi_ref.evaluation import full_duplex, spoken_world
from moshi_ref.evaluation.duplex import Answer, Question, score, share
from moshi_ref.evaluation.recogniser import WORDS, Recogniser, RecogniserConfig
from moshi_ref.evaluation.spoken_world import (
    conversations,
    human,
    one_after_the_other,
    questions,
    right_answers,
    trained,
    voice,
)
from moshi_ref.inner_monologue import Word
from moshi_ref.mimi import Mimi
from moshi_ref.training.recipes import PROFILES
from moshi_ref.training.sources import Voices

COUNT = 3


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Recordings in the layout of the Free Spoken Digit Dataset."""
    folder = tmp_path_factory.mktemp("digits")
    for digit in range(10):
        soundfile.write(folder / f"{digit}_anna_0.wav", 0.1 * np.sin(np.arange(2_000)), 8_000)
    return folder


@pytest.fixture(scope="module")
def rows(people):
    heard = []
    with pytest.MonkeyPatch.context() as patch:
        render = spoken_world.render_user
        patch.setattr(spoken_world, "render_user", lambda about, v, rng: heard.append(v.name) or render(about, v, rng))
        made = questions(COUNT, 0, people)
    return made, heard


def answers_about(topic: str, pairs) -> set[str]:
    return {written(exchange(topic, *pair)).answer for pair in pairs}


def test_each_row_asks_what_its_name_says(rows):
    allowed = {
        "sum, known": answers_about("sum", spoken_pairs("sum")),
        "sum, held-out pairs": answers_about("sum", held_out_pairs("sum")),
        "sum, only read": answers_about("sum", unspoken_pairs()),
        "fact, in training": {fact.answer for fact in SPOKEN},
        "fact, known": {fact.answer for fact in SPOKEN},
        "fact, held-out phrasings": {fact.answer for fact in SPOKEN},
        "fact, only read": {fact.answer for fact in UNSPOKEN},
        "repeat, held-out pairs": answers_about("repeat", held_out_pairs("repeat")),
        "compare, held-out pairs": answers_about("compare", held_out_pairs("compare")),
        "count, held-out ranges": None,
        "sum, known, in noise": answers_about("sum", spoken_pairs("sum")),
        "human digits, known": answers_about("sum", spoken_pairs("sum")),
    }
    made, _ = rows
    assert list(made) == list(allowed) and all(len(row) == COUNT for row in made.values())
    for name, answers in allowed.items():
        assert answers is None or {question.answer for question in made[name]} <= answers
    assert all(len(q.answer.split()) in (4, 8) for q in made["count, held-out ranges"])  # over a distance of 3 or 7


def test_nobody_in_it_was_heard_in_training(rows):
    made, heard = rows
    assert len(heard) == 9 * COUNT and {name.split("+")[1] for name in heard} <= set(TEST_VARIANTS)
    for clean, noisy in zip(made["sum, known"], made["sum, known, in noise"], strict=True):
        assert clean.answer == noisy.answer and clean.end == noisy.end
        assert (noisy.wav - clean.wav).std() > 0.01 and not (noisy.wav[:100] == 0).any()


def test_one_row_asks_in_the_very_sounds_of_the_training():
    """The questions of `Voices` are the same ones at any length, so a short set has the first of a long one."""
    profile = replace(PROFILES["smoke"], clips=(30, 1, 1))
    said = [each for each in Voices(profile, 0, None, None).said("question") if each.exchange.topic == "fact"]
    asked = trained("fact", 5)
    assert len(asked) == 5
    for one, utterance in zip(asked, said[:5], strict=True):
        begin = round(one.end * SAMPLE_RATE) - len(utterance.wav)
        assert one.answer == utterance.exchange.answer
        assert torch.equal(one.wav[begin : begin + len(utterance.wav)], utterance.wav)


def test_people_are_asked_only_about_spoken_sums(people):
    asked = human(people, 40, seed=0)
    assert len(asked) == 40 and {q.answer for q in asked} <= answers_about("sum", spoken_pairs("sum"))


def test_a_conversation_of_several_questions(rows):
    """Each answer is looked for between its question and the next; one of three was not only the answer."""
    asked = rows[0]["sum, known"]
    whole = one_after_the_other(asked)
    begins = [sum(len(q.wav) for q in asked[:i]) / SAMPLE_RATE for i in range(COUNT)]
    assert torch.equal(whole.wav, torch.cat([q.wav for q in asked]))
    assert whole.end == pytest.approx(begins[-1] + asked[-1].end)
    assert whole.answer == " ".join(q.answer for q in asked)
    words = [Word(text, begin + q.end, begin + q.end)
             for begin, q in zip(begins, asked, strict=True) for text in q.answer.split()]  # fmt: skip
    words.insert(0, Word("Well,", 0.0, 0.2))
    assert right_answers(asked, Answer("", whole.wav, None, tuple(words))) == [False, True, True]


def test_each_question_of_a_conversation_has_a_row(monkeypatch):
    """To somebody who answers all but the last question of every second conversation."""
    monkeypatch.setattr(spoken_world, "TURNS", 2)
    short = [Question(torch.zeros(24_000 * (1 + i)), 0.5, f"{i}.") for i in range(4)]
    monkeypatch.setattr(spoken_world, "synthetic", lambda *_: short)

    def answers(whole):
        return [Answer("", whole[0].wav, 0.5, (Word("0.", 0.5, 0.6), Word("1.", 1.6, 1.7))),
                Answer("", whole[1].wav, 0.5, (Word("2.", 0.5, 0.6),))]  # fmt: skip

    assert conversations(answers, 2, 0) == {
        "question 1": share(2, 2) | {"seconds": 0.5},
        "question 2": share(1, 2) | {"seconds": 2.5},
    }


def test_an_answer_must_be_written_exactly(rows):
    asked = rows[0]["sum, known"][:1] * 3
    right = asked[0].answer
    made = [Answer(text, torch.zeros(240), None) for text in (right, right.lower(), right.removesuffix("."))]
    assert score(asked, made)["text"] == share(1, 3)


def test_the_voice_is_judged_where_the_judge_knows_the_words():
    """Of three texts it knows two; it hears "four is more" in all that sounds, and the codec loses everything."""
    sounds = 0.1 * torch.randn(24_000)
    spoken = [Answer(t, sounds, 0.0) for t in ("Four is more.", "Five is more.", FACTS[0].answer, "", "three . four")]
    judge = SimpleNamespace(config=RecogniserConfig(), transcribe=lambda w: "four is more" if w.std() > 0.01 else "")
    assert voice(spoken, torch.zeros_like, judge, seed=0) == {
        "answers": share(1, 2),
        "originals": share(1, 2),
        "originals through the codec": share(0, 2),
        "judged": {"texts": 2, "of": 5},
    }


@pytest.fixture
def models(tmp_path, tokenizer):
    save(Mimi(tiny_mimi()), tmp_path / "moshi" / "mimi")
    save(small_moshi(len(tokenizer)), tmp_path / "moshi")
    tokenizer.save(tmp_path / "moshi" / "tokenizer.model")
    save(Recogniser(RecogniserConfig(WORDS, dim=8)), tmp_path / "judge")
    return ["--moshi", tmp_path / "moshi", "--recogniser", tmp_path / "judge"]


def test_the_command(models, tmp_path, monkeypatch, capsys):
    """A question of two rows and of each disturbance to a random model; what it answers is nonsense, and that is what
    the table says."""
    monkeypatch.setattr("moshi_ref.evaluation.duplex.AFTER", 0.2)
    two = questions(1, 0, None)
    monkeypatch.setattr(spoken_world, "questions", lambda *_: {name: two[name] for name in list(two)[:2]})
    monkeypatch.setattr(full_duplex, "AFTER", 0.2)
    monkeypatch.setattr(spoken_world, "quiet", lambda *_: {"silence": share(1, 1) | {"words": 0}})
    assert main(["evaluate", *map(str, models), "--trials", "1", "--json", str(tmp_path / "table.json")]) == 0
    table, printed = json.loads((tmp_path / "table.json").read_text()), capsys.readouterr().out
    assert len(table) == 2 + 4 and all(name in printed for name in table)
    assert table["sum, known"]["text"] == share(0, 1) and table["quiet minutes"]["silence"]["share"] == 1
    assert list(table["full duplex"]) == ["interruption", "back-channel", "barge-in"]
    assert all(row["conversations"] == 1 for row in table["full duplex"].values())
    assert [row["n"] for row in table["conversation"].values()] == [1] * 6
    assert table["voice"]["judged"]["of"] == 1
