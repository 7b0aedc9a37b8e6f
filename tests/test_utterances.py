"""Spoken utterances and the cache that keeps them."""

import random

import pytest
import torch

from moshi_ref.corpus import utterances as module
from moshi_ref.corpus.fsdd import DigitRecording
from moshi_ref.corpus.small_world import TOPICS, Exchange, exchange, held_out, sentences
from moshi_ref.corpus.utterances import (
    PHONES,
    human_utterance,
    phone_frames,
    render_moshi,
    render_user,
    utterances,
)
from moshi_ref.corpus.voices import (
    ENGLISH,
    MOSHI_VOICE,
    TEST_VARIANTS,
    TRAIN_VARIANTS,
    Phone,
    Voice,
    synthesize,
)
from moshi_ref.corpus.words import TEST_WORDS, TRAIN_WORDS

VOICE = Voice("en-us+m3")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def refuse(*_):
    raise AssertionError("nothing should be synthesized here")


def check(utterance):
    """What holds for every utterance."""
    seconds = len(utterance.wav) / 24000
    assert utterance.wav.dtype == torch.float32 and utterance.wav.abs().max() < 1
    assert " ".join(word.text for word in utterance.words) == utterance.text
    for marks in (utterance.words, utterance.phones):
        assert marks[0].start == 0 and marks[-1].end == pytest.approx(seconds, abs=1e-3)
        assert all(mark.end <= later.start + 1e-9 for mark, later in zip(marks, marks[1:], strict=False))
    assert {phone.symbol for phone in utterance.phones} <= set(PHONES)


@pytest.mark.parametrize("topic", TOPICS)
def test_user_asks_and_moshi_answers(topic):
    about = exchange(topic, 6, 2)
    asked, answered = render_user(about, VOICE, random.Random(0)), render_moshi(about, MOSHI_VOICE)
    check(asked)
    check(answered)
    assert (asked.text, asked.exchange, asked.speaker) == (about.question, about, VOICE.name)
    assert (answered.text, answered.exchange, answered.speaker) == (about.answer, about, MOSHI_VOICE.name)


def test_bare_digits_are_spoken_one_by_one():
    about = exchange("digits", 6, 2)
    pauses = set()
    for seed in range(5):
        asked = render_user(about, VOICE, random.Random(seed))
        first, second = asked.words
        pauses.add(pause := second.start - first.end)
        assert 0.099 < pause < 0.501
        assert asked.wav[round(first.end * 24000) + 2 : round(second.start * 24000) - 2].abs().max() == 0
        assert torch.equal(asked.wav[round(second.start * 24000) :], synthesize("two", VOICE).wav)
    assert len(pauses) == 5


def test_people_say_two_digits():
    first, second = (DigitRecording(d, "anna", 7, torch.rand(n) - 0.5) for d, n in ((7, 12000), (3, 9600)))
    spoken = human_utterance(first, second, random.Random(1))
    check(spoken)
    assert spoken.exchange == exchange("digits", 7, 3) and spoken.speaker == "anna"
    assert spoken.words[0].end == 0.5
    assert 0.099 < spoken.words[1].start - 0.5 < 0.501
    assert [phone.symbol for phone in spoken.phones] == ["s", "ɛ", "v", "ə", "n", "θ", "ɹ", "i"]
    assert [phone.start for phone in spoken.phones[:5]] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert torch.equal(spoken.wav[-9600:], second.wav)


def test_phones_become_frames():
    one, two = PHONES.index("s"), PHONES.index("i")
    phones = [Phone("s", 0.0, 0.15), Phone("i", 0.15, 0.25)]
    assert phone_frames(phones, 5).tolist() == [one, one, two, 0, 0]  # frames of 0.08 s
    assert phone_frames(phones, 2, frame_rate=5).tolist() == [one, 0]
    assert phone_frames([], 2).tolist() == [0, 0]
    assert phone_frames(phones, 5).dtype == torch.int64
    with pytest.raises(ValueError, match="extend PHONES"):
        phone_frames([Phone("ʁ", 0, 1)], 3)


def test_phones_cover_every_accent():
    assert PHONES[0] == "" and len(PHONES) < 128 and list(PHONES) == sorted(set(PHONES))
    texts = [*sentences()[:19], "what is plus", "repeat", "which is more or"]
    spoken = {p.symbol for a in ENGLISH for t in texts for p in synthesize(t, Voice(f"{a}+m3")).phones}
    assert spoken <= set(PHONES)


@pytest.mark.parametrize("role", ["user", "moshi"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_sets_of_utterances(role, split, cache):
    items = utterances(role, split, 30, seed=0, folder=cache)
    assert len(items) == 30
    for item in items:
        check(item)
        assert held_out(*item.exchange.operands) == (split == "test")
        assert item.text == (item.exchange.question if role == "user" else item.exchange.answer)
        variants = {"train": TRAIN_VARIANTS, "test": TEST_VARIANTS}[split] if role == "user" else ("f3",)
        assert item.speaker.split("+")[1] in variants
    assert {item.exchange.topic for item in items} == set(TOPICS)


@pytest.mark.parametrize("split", ["train", "test"])
def test_readings(split, tmp_path):
    items = utterances("reader", split, 12, seed=0, folder=tmp_path)
    words = {"train": TRAIN_WORDS, "test": TEST_WORDS}[split]
    for item in items:
        assert {phone.symbol for phone in item.phones} <= set(PHONES)
        assert item.text.split() == [word.text for word in item.words] and set(item.text.split()) <= set(words)
        assert item.exchange == Exchange("reading", item.text, item.text, ())
        assert item.speaker.split("+")[1] in {"train": TRAIN_VARIANTS, "test": TEST_VARIANTS}[split] + ("f3",)
    assert not set(TRAIN_WORDS) & set(TEST_WORDS)
    assert len({item.speaker for item in items}) > 5


def test_cache_is_read_without_synthesis(tmp_path, monkeypatch):
    first = list(utterances("user", "train", 3, seed=1, folder=tmp_path))
    again = list(utterances("user", "train", 3, seed=1, folder=tmp_path / "other"))
    monkeypatch.setattr(module, "synthesize", refuse)
    cached = utterances("user", "train", 3, seed=1, folder=tmp_path)
    for a, b, c in zip(first, cached, again, strict=True):
        assert torch.equal(a.wav, b.wav) and torch.equal(a.wav, c.wav)
        assert (a.text, a.words, a.phones, a.exchange) == (b.text, b.words, b.phones, b.exchange)
        assert (a.text, a.words, a.phones, a.exchange) == (c.text, c.words, c.phones, c.exchange)
    assert torch.equal(cached[-1].wav, first[-1].wav)
    with pytest.raises(IndexError):
        cached[3]
    for other in ({"seed": 2}, {"count": 2}, {"role": "moshi"}, {"split": "test"}):
        arguments = {"role": "user", "split": "train", "count": 3, "seed": 1} | other
        with pytest.raises(AssertionError, match="nothing should"):
            utterances(**arguments, folder=tmp_path)


def test_cache_keeps_the_samples(cache):
    (item,) = utterances("moshi", "train", 1, seed=3, folder=cache)
    (fresh,) = module._random_utterances("moshi", "train", 1, 3)
    assert (item.wav - fresh.wav).abs().max() < 1e-4
    assert (item.text, item.words, item.phones) == (fresh.text, fresh.words, fresh.phones)


def test_interrupted_call_leaves_nothing(tmp_path, monkeypatch):
    calls = []

    def interrupted(text, voice):
        calls.append(text)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return synthesize(text, voice)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "synthesize", interrupted)
        utterances("moshi", "train", 6, seed=0, folder=tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(utterances("moshi", "train", 6, seed=0, folder=tmp_path)) == 6


@pytest.mark.parametrize("wrong", [("robot", "train", 1), ("user", "validation", 1), ("user", "train", 0)])
def test_wrong_arguments_are_refused(wrong, tmp_path):
    with pytest.raises(ValueError, match="role"):
        utterances(*wrong, seed=0, folder=tmp_path)
