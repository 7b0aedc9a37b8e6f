"""Interruptions, back-channels and barge-ins, on voices and texts whose scores are known."""

import random

import pytest
import torch
from conftest import close, tiny_mimi
from test_checkpoints import small_moshi

from moshi_ref.corpus.augment import SPEECH
from moshi_ref.corpus.scripts import BACKCHANNELS, INTERRUPTIONS, LONGEST, plain
from moshi_ref.corpus.small_world import NUMBERS
from moshi_ref.evaluation.duplex import LOUD, Answer, Question, share
from moshi_ref.evaluation.full_duplex import (
    AFTER,
    BLOCK,
    LONGER,
    REACTION,
    STRONG,
    Disturbed,
    asker,
    backchannel,
    barge_in,
    disturb,
    falls_silent,
    full_duplex,
    goes_on,
    interjection,
    interruption,
    is_quiet,
    long_answers,
    longest_pause,
    loud,
    noisy,
    quiet,
    speech_span,
)
from moshi_ref.inner_monologue import Word
from moshi_ref.mimi import Mimi

RATE = 24_000


def said(text: str, *spans: tuple[float, float], seconds: float = 16.0, at: float = 0.0) -> Answer:
    """A voice that sounds in these spans; the words of its text come every 80 ms from `at` on."""
    wav = torch.zeros(round(seconds * RATE))
    for start, end in spans:
        wav[round(start * RATE) : round(end * RATE)] = 0.1
    words = tuple(Word(word, at + 0.08 * i, at + 0.08 * i + 0.08) for i, word in enumerate(text.split()))
    return Answer(text, wav, spans[0][0] if spans else None, words)


def event(start: float = 3.0, telling: float = 3.4, end: float = 4.0, answer: str = "") -> Disturbed:
    return Disturbed(Question(torch.zeros(1), end, answer), start, telling)


# --- Voices in blocks -----------------------------------------------------------------------------


def test_what_is_known_of_a_voice():
    voice = loud(said("", (1.0, 2.0), (2.3, 3.0), (5.0, 5.5)))
    assert len(voice) == 1600 and voice.sum() == 220
    assert speech_span(voice) == (1.0, 5.5) and longest_pause(voice) == pytest.approx(2.0)
    assert is_quiet(voice, 3.0) and not is_quiet(voice, 4.5) and is_quiet(voice, 0.0) and not is_quiet(voice, 0.01)
    assert falls_silent(voice, 1.5) == pytest.approx(3.0)  # 0.3 s are a pause
    assert falls_silent(voice, 3.5) == pytest.approx(3.5) and falls_silent(voice, 4.5) == pytest.approx(5.5)
    silence = loud(said(""))
    assert speech_span(silence) is None and longest_pause(silence) == 0 and falls_silent(silence, 2.0) == 2.0


def test_a_voice_that_never_stops_never_falls_silent():
    assert falls_silent(loud(said("", (1.0, 15.5))), 2.0) is None
    assert falls_silent(loud(said("", (1.0, 14.9))), 2.0) == pytest.approx(14.9)


def test_what_is_too_soft_is_silence():
    assert not loud(Answer("", torch.full((RATE,), 0.9 * LOUD), None)).any()
    assert loud(Answer("", torch.full((RATE + 7,), 1.1 * LOUD), None)).sum() == RATE / BLOCK


# --- What disturbs --------------------------------------------------------------------------------


def test_long_answers_are_six_numbers():
    questions, voices = long_answers(3, seed=0)
    assert len(voices) == 3
    for question in questions:
        words = plain(question.answer).split()
        first = NUMBERS.index(words[0])
        assert words == list(NUMBERS[first : first + LONGEST + 1]) and question.answer.endswith(".")
    assert [q.answer for q in questions] == [q.answer for q in long_answers(3, seed=0)[0]]


def test_the_first_word_of_an_interruption_is_none_of_a_back_channel():
    """So who hears it to its end can tell them apart."""
    assert not {plain(t).split()[0] for t in INTERRUPTIONS} & {plain(t).split()[0] for t in BACKCHANNELS}


def test_the_utterance_comes_while_moshi_would_speak_on():
    (asked,), (voice,) = long_answers(1, seed=1)
    begins, ends = asked.end + 0.5, asked.end + 3.5
    speaks = loud(said("", (begins, ends)))
    for seed in range(5):
        rng = random.Random(seed)
        told = interjection("interruption", voice, rng)
        found = disturb(asked, speaks, told, rng)
        assert begins + 0.3 <= found.start + 1e-3 and found.telling + REACTION <= ends + 1e-3
        assert found.telling == pytest.approx(found.start + told.words[0].end)
        wav, at = found.question.wav, round(found.start * RATE)
        assert torch.equal(wav[at : at + len(told.wav)], told.wav) and torch.equal(wav[:at], asked.wav[:at])
        assert len(wav) >= round((found.question.end + AFTER) * RATE) - 1 and found.question.answer == ""
    told, rng = interjection("barge-in", voice, random.Random(0)), random.Random(0)
    assert disturb(asked, speaks, told, rng).question.answer == told.exchange.answer != ""
    assert disturb(asked, loud(said("", (begins, begins + 0.6))), told, rng) is None  # too short
    assert disturb(asked, loud(said("")), told, rng) is None
    late = loud(said("", (begins, begins + 0.4), (begins + 5, begins + 5.1)))  # a pause would pass for a stop
    drawn = [disturb(asked, late, told, random.Random(seed)) for seed in range(20)]
    assert None in drawn and all(not is_quiet(late, found.telling + REACTION) for found in drawn if found)


# --- Rows -----------------------------------------------------------------------------------------


def test_interruptions_by_hand():
    before = said("", (2.0, 6.0))
    afters = [
        said("", (2.0, 3.7)),  # 0.3 s after the telling word
        said("", (2.0, 4.2)),  # 0.8 s: too late
        said("", (2.0, 3.6), (4.5, 6.0)),  # stops, and starts again 0.9 s later
        said("", (2.0, 3.2)),  # before the word was over
        said("", (2.0, 15.5)),  # never
    ]
    row = interruption([(before, event(), after) for after in afters])
    assert {key: row[key] for key in share(2, 5)} == share(2, 5)
    spread = row["seconds until silence"]
    assert row["never silent"] == 1 and (spread["5 %"], spread["25 %"], spread["50 %"]) == (-0.2, -0.2, 0.3)
    assert spread["95 %"] == 0.8  # of -0.2, 0.3, 0.8 and 2.6 the third
    nothing = interruption([])
    assert nothing["share"] is None and nothing["seconds until silence"] == {}


def test_what_goes_on():
    before = said("One, two.", (2.0, 3.0), (3.4, 6.0))
    assert goes_on(before, said("One, two.", (2.0, 3.0), (3.8, 6.2)))
    assert not goes_on(before, said("One, two.", (2.0, 3.0), (3.4 + LONGER + 0.1, 7.0)))  # a pause
    assert not goes_on(before, said("One, two.", (2.0, 3.0), (3.4, 5.4)))  # text goes on, voice does not
    assert not goes_on(before, said("One,", (2.0, 3.0), (3.4, 6.0)))
    assert not goes_on(before, said("One, two."))


def test_back_channels_count_where_the_answer_was_right():
    right, wrong = said("One, two.", (2.0, 6.0)), said("One, ten.", (2.0, 6.0))
    asked = [Question(torch.zeros(1), 1.0, "One, two.")] * 3
    pairs = [(right, event(), right), (right, event(), wrong), (wrong, event(), wrong)]
    assert backchannel(asked, pairs) == share(1, 2)


def test_barge_ins_by_hand():
    new, before = event(end=5.0, answer="Two plus two is four."), said("One, two, three.", (2.0, 6.0))
    afters = [
        said("Two plus two is four.", at=5.5),
        said("Two plus two is five.", at=5.5),
        said("Two plus two is four.", at=4.9),  # its first word came before the question was over
    ]
    started = said("One, two,", at=3.0)
    afters.append(Answer("", started.wav, 3.0, started.words + afters[0].words))  # broken off
    assert barge_in([(before, new, after) for after in afters]) == share(2, 4)


class Made:
    """Counts for three seconds; and what it does when it hears something meanwhile."""

    def __init__(self, stops: float | None, answer: bool):
        self.stops, self.answer, self.asked = stops, answer, []

    def __call__(self, questions: list[Question]) -> list[Answer]:
        self.asked.append(questions)
        return [self.one(plain_question, question) for plain_question, question in zip(self.asked[0], questions,
                                                                                        strict=True)]  # fmt: skip

    def one(self, first: Question, heard: Question) -> Answer:
        begin, text = first.end + 0.5, first.answer
        counted = said(text, (begin, begin + 3.0), seconds=20.0, at=begin)
        if heard.wav is first.wav or self.stops is None:
            return counted
        told = heard.wav[round(first.end * RATE) + 1 :].nonzero()[0, 0].item() / RATE + first.end
        new = heard.answer if self.answer else ""
        told_words = said(new, at=heard.end + 0.5).words
        return Answer("", said("", (begin, told + self.stops), seconds=20.0).wav, begin, told_words)


@pytest.mark.parametrize(
    "made, interrupted, going_on, answered",
    [(Made(None, False), 0, 1, 0), (Made(0.5, True), 1, 0, 1), (Made(0.5, False), 1, 0, 0), (Made(1.9, True), 0, 0, 1)],
)
def test_full_duplex_of_known_answers(made, interrupted, going_on, answered):
    """One that hears nothing, one that obeys, one that stops and forgets the question, one that stops too late."""
    rows = full_duplex(made, 2, seed=0)
    shares = [rows[kind]["share"] for kind in ("interruption", "back-channel", "barge-in")]
    assert shares == [interrupted, going_on, answered]
    assert all(row["n"] == row["conversations"] == 2 for row in rows.values())
    assert len(made.asked) == 4  # undisturbed, and once for each kind


def test_one_that_never_speaks_is_not_tested():
    rows = full_duplex(lambda questions: [said("")] * len(questions), 2, seed=0)
    assert all(row["n"] == 0 and row["share"] is None and row["conversations"] == 2 for row in rows.values())


# --- Silence and noise ----------------------------------------------------------------------------


def test_quiet_minutes_by_hand():
    hums = said("", (70.0, 70.5), seconds=180.0)
    talks = said("Yes.", seconds=180.0, at=130.0)
    heard = []
    rows = quiet(lambda questions: heard.extend(questions) or [said("", seconds=180.0), hums, talks], 3, seed=0)
    assert rows == {
        "silence": share(3, 3) | {"words": 0}, "faint noise": share(2, 3) | {"words": 0},
        "strong noise": share(2, 3) | {"words": 1},
    }  # fmt: skip
    assert [len(question.wav) for question in heard] == [180 * RATE] * 3
    levels = [question.wav[:RATE].std().item() for question in heard]
    assert levels[0] == 0 and levels[2] / levels[1] == pytest.approx(10.0)


def test_noise_is_as_loud_as_it_says():
    wav = noisy(Question(torch.zeros(RATE), 0.5, "Yes."), 3).wav
    assert 20 * torch.log10(wav.square().mean().sqrt() / SPEECH) == pytest.approx(-STRONG, abs=0.2)
    assert torch.equal(wav, noisy(Question(torch.zeros(RATE), 0.5, "Yes."), 3).wav)


def test_a_conversation_is_the_same_until_it_is_disturbed(tokenizer):
    """What all of this rests on, with a real stream: the answer differs only from the disturbance on."""
    ask = asker(small_moshi(len(tokenizer)), Mimi(tiny_mimi()), tokenizer, seed=0)
    asked = [Question(0.1 * torch.randn(9 * 1920), 0.1, "") for _ in range(2)]
    disturbed = asked[0].wav.clone()
    disturbed[5 * 1920 :] += 0.5
    longer = torch.cat([disturbed, torch.zeros(4000)])
    before, after = ask(asked), ask([Question(longer, 0.1, ""), asked[1]])
    assert torch.equal(before[0].wav[: 5 * 1920], after[0].wav[: 5 * 1920])
    close(before[1].wav, after[1].wav[: 9 * 1920])  # the last piece was longer: but for rounding
    assert not torch.equal(before[0].wav, after[0].wav[: 9 * 1920])
    starts = [{word.start for word in answers[0].words if word.start < 0.4} for answers in (before, after)]
    assert starts[0] == starts[1] != set()
