"""Dialogues in which the user does not wait: who goes on, who stops, and when."""

import random
from dataclasses import replace

import pytest
import torch
from test_timeline import FRAMES, RATE, SILENCE, Q, numbered_clip

from moshi_ref.corpus import dialogues, duplex_dialogues
from moshi_ref.corpus.dialogues import GAP, HEARING
from moshi_ref.corpus.duplex_dialogues import (
    LONG,
    NEXT,
    NO_AFTERTHOUGHT,
    PAUSING,
    REACTION,
    REST,
    SETTLED,
    DuplexDialogues,
    pause,
)
from moshi_ref.inner_monologue import Word, tokens_to_words
from moshi_ref.moshi import MoshiConfig
from moshi_ref.tokenizer import PAD

QUESTIONS = [
    numbered_clip(1, "What is seven plus five?", 0.35, answer="seven plus five is twelve"),
    numbered_clip(2, "Repeat nine", 0.4, answer="nine"),
    numbered_clip(3, "I just wait", 0.3, answer="what was the question again"),
]
ANSWERS = [
    numbered_clip(4, "seven plus five is twelve", answer="seven plus five is twelve"),
    numbered_clip(5, "seven plus five is twelve", 0.3, answer="seven plus five is twelve"),
    numbered_clip(6, "nine", 0.4, answer="nine"),
    numbered_clip(7, "what was the question again", 0.4, answer="what was the question again"),
]
BACKCHANNELS = [numbered_clip(8, "Yes.", 0.3, topic="go on"), numbered_clip(9, "I see.", 0.2, topic="go on")]
INTERRUPTIONS = [numbered_clip(11, "Stop.", 0.35, topic="stop"), numbered_clip(12, "Wait a minute.", 0.3, topic="stop")]
BACKGROUNDS = torch.tensor([SILENCE, 11, 12], dtype=torch.int16)[:, None, None].expand(3, Q, FRAMES)
SLACK = 0.041  # seconds: clips lie in whole frames


@pytest.fixture
def source(tokenizer, monkeypatch) -> DuplexDialogues:
    """Clips are used as they are: nobody hesitates, which has tests of its own."""
    monkeypatch.setattr(dialogues, "HESITATION", 0)
    return DuplexDialogues(QUESTIONS, ANSWERS, BACKCHANNELS, INTERRUPTIONS, BACKGROUNDS, tokenizer, RATE)


@pytest.fixture
def only(monkeypatch):
    """Lets only one kind of event happen, and nothing after an answer."""

    def set_events(event: str) -> None:
        monkeypatch.setattr(duplex_dialogues, "EVENTS", {event: 1})
        monkeypatch.setattr(duplex_dialogues, "AFTERWARDS", 0.0)

    return set_events


def lines(source: DuplexDialogues, count: int = 80):
    return [source.timeline(random.Random(seed)) for seed in range(count)]


def moshi_codes(turn, line, until: int = FRAMES) -> tuple[torch.Tensor, torch.Tensor]:
    """What Moshi's channel holds from the turn's beginning until a frame, and what the clip holds there."""
    frames = max(0, min(turn.clip.codes.shape[1], until - turn.first))
    return line.moshi[:, turn.first : turn.first + frames], turn.clip.codes[:, :frames]


def test_chance_is_repeatable(source):
    first, again, other = (source.draw(random.Random(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.codes, again.codes) and torch.equal(first.user_text, again.user_text)
    assert not torch.equal(first.codes, other.codes)
    assert first.codes.shape == (1 + 2 * Q, FRAMES) and first.codes.dtype == torch.int64
    assert torch.equal(source.backgrounds, BACKGROUNDS)


def test_some_leave_out_the_afterthought_with_which_they_were_recorded(source, tokenizer):
    asked = replace(numbered_clip(1, "Repeat nine please?", 0.4, answer="nine"))
    source = DuplexDialogues([asked], ANSWERS, BACKCHANNELS, INTERRUPTIONS, BACKGROUNDS, tokenizer, RATE)
    words = [len(source.question(0, random.Random(seed)).words) for seed in range(400)]
    assert set(words) == {2, 3} and words.count(2) / 400 == pytest.approx(NO_AFTERTHOUGHT, abs=0.08)
    for seed in range(20):
        for turn in source.timeline(random.Random(seed)).turns["user"]:
            assert turn.clip.topic or turn.end == turn.words[-1].end


def test_every_question_is_answered_after_the_gap(source, only):
    only("none")
    for line in lines(source):
        asked, answered = line.turns["user"], line.turns["moshi"]
        assert len(asked) == len(answered)
        for question, answer in zip(asked, answered, strict=True):
            assert answer.clip.answer == question.clip.answer and answer.words
            assert GAP[0] - 2 * SLACK < answer.start - question.end < GAP[1] + 2 * SLACK


def test_a_back_channel_changes_nothing_in_what_moshi_does(source, only):
    only("backchannel")
    within = 0
    for line in lines(source):
        text = line.dialogue().codes[0]
        small = [turn for turn in line.turns["user"] if turn.clip.topic == "go on"]
        for turn in line.turns["moshi"]:
            here, alone = moshi_codes(turn, line)
            assert torch.equal(here, alone) and len(turn.words) == len(turn.clip.words)
            within += sum(turn.start < other.start < turn.end for other in small)
        assert all(word.start < line.seconds for word in tokens_to_words(text, source.tokenizer))
        assert len(small) == len(line.turns["moshi"])
        for turn in small:
            here = line.user[:, turn.first : int(turn.end * RATE) + 1]  # the silence after it may be another's
            assert torch.equal(here, turn.clip.codes[:, : here.shape[1]])
    assert within > 50


def test_moshi_stops_when_it_has_understood_and_not_before(source, only):
    only("interruption")
    stopped = 0
    for line in lines(source):
        dialogue = line.dialogue()
        for turn in line.turns["moshi"]:
            said = [u for u in line.turns["user"] if u.clip.topic == "stop" and turn.start < u.start < turn.end]
            if not said:
                continue
            heard = said[0].words[0].end  # neither "stop" nor "wait" is a back-channel
            frame = round(turn.end * RATE)
            if frame >= FRAMES:
                continue
            stopped += 1
            assert said[0].start >= turn.start + SETTLED - SLACK
            assert heard + HEARING < heard + REACTION[0] <= frame / RATE + 1e-6
            assert frame / RATE < heard + REACTION[1] + 0.08 + 0.32  # whole frames, and the rest of a word's tokens
            after = [next_turn.first for next_turn in line.turns["moshi"] if next_turn.first > frame]
            until = min(after, default=FRAMES)
            assert (dialogue.codes[1 : 1 + Q, frame:until] == SILENCE).all()
            assert (dialogue.codes[0, frame:until] <= PAD).all()
            here, alone = moshi_codes(turn, line, frame)
            assert torch.equal(here, alone)
            assert 0 < len(turn.words) <= len(turn.clip.words)
    assert stopped > 50


def test_a_new_question_stops_the_answer_and_is_answered(source, only):
    only("barge-in")
    cut = 0
    for line in lines(source, 120):
        asked, answered = line.turns["user"], line.turns["moshi"]
        assert len(asked) == len(answered)  # each question has an answer, or the beginning of one
        for i, (question, answer) in enumerate(zip(asked, answered, strict=True)):
            assert GAP[0] - 2 * SLACK < answer.start - question.end < GAP[1] + 2 * SLACK
            if i + 1 < len(asked) and asked[i + 1].start < answer.end:
                cut += 1
                assert answer.end < asked[i + 1].end + GAP[0]  # Moshi is silent before it answers
                assert asked[i + 1].start > answer.start
    assert cut > 30


def test_a_silent_listener_hears_an_echo_that_is_nobodys_question(source, only, monkeypatch):
    only("none")
    monkeypatch.setattr(duplex_dialogues, "ECHOING", 1.0)
    source.answers = {key: [replace(c, echo=c.codes + 5_000) for c in clips] for key, clips in source.answers.items()}
    for line in lines(source, 20):
        dialogue = line.dialogue()
        echoed = (dialogue.codes[1 + Q] > 5_000).nonzero()[:, 0] / RATE
        assert all(any(t.start - 0.08 <= at <= t.end + 0.8 for t in line.turns["moshi"]) for at in echoed)
        assert len(echoed) or not line.turns["moshi"] or line.turns["moshi"][0].start > line.seconds
        assert len(line.turns["user"]) == len(line.turns["moshi"])
    monkeypatch.setattr(duplex_dialogues, "ECHOING", 0.0)
    assert all((line.user < 5_000).all() for line in lines(source, 20))


def test_what_is_said_to_nobody_stays_unanswered(source, only, monkeypatch):
    only("none")
    monkeypatch.setattr(duplex_dialogues, "AFTERWARDS", 1.0)
    for line in lines(source, 30):
        small = [turn for turn in line.turns["user"] if not turn.clip.answer]
        assert len(small) == len(line.turns["moshi"])
        assert not any(m.start < u.start < m.end for u in small for m in line.turns["moshi"])


def test_now_and_then_nobody_speaks(source):
    silent = [line for line in lines(source, 300) if not line.turns["user"]]
    assert 3 < len(silent) < 40
    for line in silent:
        assert (line.moshi == SILENCE).all() and not line.turns["moshi"]
        assert set(line.dialogue().codes[0].tolist()) == set(line.dialogue().user_text.tolist()) == {PAD}
    assert any((line.user != SILENCE).any() for line in silent) and any((line.user == SILENCE).all() for line in silent)


def test_a_question_may_come_after_longer_than_moshi_remembers(source, only, monkeypatch):
    memory = MoshiConfig.tiny().model.temporal.context / RATE
    pauses = [pause(NEXT, random.Random(seed)) for seed in range(2_000)]
    assert 0.01 < sum(each > memory for each in pauses) / len(pauses) < 0.1
    assert sum(NEXT[0] <= each <= NEXT[1] for each in pauses) / len(pauses) == pytest.approx(1 - PAUSING, abs=0.03)
    only("none")
    monkeypatch.setattr(duplex_dialogues, "PAUSING", 1.0)
    for line in lines(source, 30):
        asked, answered = line.turns["user"], line.turns["moshi"]
        ends = [0.0, *(turn.end for turn in answered)]
        assert all(turn.start > end + LONG[0] - SLACK for turn, end in zip(asked, ends, strict=False))
        assert len(asked) == len(answered)


def test_only_the_end_cuts_a_word_in_two(source, tokenizer):
    known = {word.text for clip in (*QUESTIONS, *ANSWERS, *BACKCHANNELS, *INTERRUPTIONS) for word in clip.words}
    for seed in range(80):
        dialogue = source.draw(random.Random(seed))
        for stream in (dialogue.codes[0], dialogue.user_text):
            found = tokens_to_words(stream, tokenizer)
            assert {word.text for word in found if word.end < FRAMES / RATE} <= known


def test_a_word_tells_if_no_back_channel_has_it_there(source):
    stop, wait = INTERRUPTIONS
    assert source.telling(stop) == stop.words[0].end and source.telling(wait) == wait.words[0].end
    assert source.telling(QUESTIONS[2]) == QUESTIONS[2].words[1].end  # "I" might have been "I see."
    assert source.telling(BACKCHANNELS[1]) == BACKCHANNELS[1].end
    later = (*wait.words[:1], *(Word("other", w.start + 1, w.end + 1) for w in wait.words[1:]))
    assert source.telling(replace(wait, words=later)) == source.telling(wait)  # what comes later does not count


def test_only_a_long_turn_can_be_interrupted(source):
    line = source.timeline(random.Random(0))
    long, short = (line.moshi_says(clip, 1.0) for clip in (ANSWERS[0], ANSWERS[2]))
    assert source.interruptible(short, INTERRUPTIONS[0]) is None
    earliest, latest = source.interruptible(long, INTERRUPTIONS[0])
    assert earliest == long.start + SETTLED and latest + 0.33 + REACTION[1] == pytest.approx(long.end, abs=0.01)
    brief = numbered_clip(13, "Bye.", REST, answer="nine")  # would be over before Moshi has stopped
    assert source.interruptible(long, brief) is None
    assert source.interruptible(long, replace(brief, answer="")) is not None


def test_every_kind_of_clip_is_needed(tokenizer):
    for missing in (BACKCHANNELS, INTERRUPTIONS):
        lists = [[] if each is missing else each for each in (BACKCHANNELS, INTERRUPTIONS)]
        with pytest.raises(ValueError, match="at least one back-channel and one interruption"):
            DuplexDialogues(QUESTIONS, ANSWERS, *lists, BACKGROUNDS, tokenizer, RATE)
    with pytest.raises(ValueError, match="render more answers"):
        DuplexDialogues(QUESTIONS, [], BACKCHANNELS, INTERRUPTIONS, BACKGROUNDS, tokenizer, RATE)


def test_who_asks_in_noise_is_in_noise_all_the_time(tokenizer, only):
    only("barge-in")
    noisy = [replace(clip, codes=clip.codes + 1_000, noise=2) for clip in QUESTIONS[:2]]
    noises = torch.tensor([[21, 22], [23, 24]], dtype=torch.int16)[..., None, None].expand(2, 2, Q, FRAMES)
    others = ANSWERS, BACKCHANNELS, INTERRUPTIONS, BACKGROUNDS, tokenizer, RATE
    source, backgrounds = DuplexDialogues([*QUESTIONS, *noisy], *others, noises), set()
    for line in lines(source, 300):
        heard = {turn.clip.noise for turn in line.turns["user"]}
        assert len(heard) <= 1
        backgrounds.add((int(line.noise[0, 0]), *heard))
    assert {each for each in backgrounds if 2 in each} == {(23, 2), (24, 2)}
    assert {each[0] for each in backgrounds if 0 in each} == {SILENCE, 11, 12}


def test_what_is_hard_is_asked_more_often(tokenizer, monkeypatch):
    monkeypatch.setattr(duplex_dialogues, "PRACTICE", {"hard": 8})
    asked = [replace(clip, topic="easy") for clip in QUESTIONS] + [replace(QUESTIONS[0], topic="hard")]
    source = DuplexDialogues(asked, ANSWERS, BACKCHANNELS, INTERRUPTIONS, BACKGROUNDS, tokenizer, RATE)
    topics = [source.question(0, random.Random(seed)).topic for seed in range(600)]
    assert topics.count("hard") / 600 == pytest.approx(8 / 9, abs=0.05)
