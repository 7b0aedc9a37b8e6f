"""Asking Moshi questions by the hundred, and counting."""

import random

import pytest
import torch
from conftest import close, tiny_mimi
from test_checkpoints import small_moshi

from moshi_ref.corpus.small_world import exchange
from moshi_ref.corpus.utterances import render_user
from moshi_ref.corpus.voices import Voice
from moshi_ref.evaluation import duplex
from moshi_ref.evaluation.duplex import (
    AFTER,
    BEFORE,
    LOUD,
    PIECE,
    Answer,
    Question,
    ask,
    question,
    score,
    share,
    spoken_part,
)  # fmt: skip
from moshi_ref.evaluation.intervals import wilson
from moshi_ref.inner_monologue import tokens_to_words
from moshi_ref.mimi import Mimi
from moshi_ref.moshi import MoshiStream
from moshi_ref.rq_transformer import Sampling

SILENCE = torch.zeros(24_000)


# --- Questions ------------------------------------------------------------------------------------


def test_a_question_has_silence_around_it():
    said = render_user(exchange("sum", 3, 4), Voice("en-us+m3"), random.Random(0))
    asked = question(said, random.Random(1))
    assert asked.answer == said.exchange.answer
    assert len(asked.wav) / 24_000 == pytest.approx(asked.end + AFTER)
    assert asked.wav[round(asked.end * 24_000) :].abs().max() == 0
    before = asked.wav.nonzero()[0, 0].item() / 24_000
    assert BEFORE[0] <= before <= BEFORE[1] + 0.1


# --- Answers --------------------------------------------------------------------------------------


def test_asking_is_the_same_as_talking(tokenizer):
    """Whole sounds through Mimi and a batch of conversations, against one frame after the other."""
    moshi, mimi = small_moshi(len(tokenizer)), Mimi(tiny_mimi())
    questions = [Question(0.1 * torch.randn(count), 0.1, "") for count in (9_000, 15_000, 1_920)]
    answers = ask(moshi, mimi, tokenizer, questions, seed=5)
    stream = MoshiStream(moshi, mimi, seed=5, batch_size=3, text=Sampling(0.0, 1))
    sound = torch.zeros(3, 1, 8 * 1920)
    for row, asked in enumerate(questions):
        sound[row, 0, : len(asked.wav)] = asked.wav
    replies = [stream.step(frame) for frame in sound.split(1920, dim=-1)]
    said = torch.cat([reply.audio for reply in replies], dim=-1)[:, 0]
    assert len(answers) == 3
    for row, answer in enumerate(answers):
        words = tokens_to_words([reply.text[row] for reply in replies], tokenizer)
        assert answer.text == " ".join(word.text for word in words) != ""
        close(answer.wav, said[row], 1e-4)


def test_the_onset_is_where_the_voice_begins(tokenizer):
    moshi, mimi = small_moshi(len(tokenizer)), Mimi(tiny_mimi())
    voice = torch.zeros(2, 1, 10 * 1920)
    voice[0, 0, 7_200:9_600] = 10 * LOUD
    voice[1] = 0.5 * LOUD
    pieces = iter(voice.split(PIECE * 1920, -1))
    mimi.decode = lambda codes, state: next(pieces)
    answers = ask(moshi, mimi, tokenizer, [Question(torch.zeros(10 * 1920), 0.0, "")] * 2, seed=0)
    assert [answer.onset for answer in answers] == [0.3, None]


def test_the_spoken_part_is_cut_out():
    wav = torch.zeros(3 * 24_000)
    wav[30_000:42_000] = 0.1
    part = spoken_part(Answer("", wav, None))
    assert part.sum() == wav.sum() and len(part) == pytest.approx(12_000 + 2 * 2_400, abs=1)
    wav[100] = 0.1
    assert len(spoken_part(Answer("", wav, None))) == pytest.approx(42_000 + 2_400, abs=1)
    assert len(spoken_part(Answer("", torch.zeros(3 * 24_000), None))) == 24_000


# --- Counting -------------------------------------------------------------------------------------


def test_shares_have_an_interval():
    result = share(30, 40)
    low, high = wilson(30, 40)
    assert result == {"right": 30, "n": 40, "share": 0.75, "low": round(low, 4), "high": round(high, 4)}
    assert 0.59 < result["low"] < 0.61 and 0.85 < result["high"] < 0.87


def test_a_row_of_the_table():
    answers = [
        Answer("three plus four is seven", SILENCE, 2.5),  # right and in time
        Answer("three plus four is eight", SILENCE, 2.1),  # right operands; too fast
        Answer("five plus four", SILENCE, 1.5),  # one right operand; before the question has ended
        Answer("", SILENCE, None),
    ]
    questions = [Question(SILENCE, 2.0, "three plus four is seven")] * 4
    row = score(questions, answers)
    assert row["text"] == share(1, 4) and row["in_time"] == share(1, 4) and row["operands"] == share(5, 8)
    assert row["early"] == row["no_answer"] == 1 and row["median_gap"] == pytest.approx(0.1)
    text = duplex.line("sum", row)
    for part in ("sum ", "right  25.0 %", "operands  62.5 %", "early 1 ", "no answer 1 ", "n 4"):
        assert part in text


def test_other_answers_have_no_operands_and_silence_no_gap():
    row = score([Question(SILENCE, 1.0, "six is more")], [Answer("", SILENCE, None)])
    assert row["text"] == share(0, 1) and row["median_gap"] is None and "operands" not in row
    with pytest.raises(ValueError):
        score([Question(SILENCE, 1.0, "six is more")], [])
