"""The scripts, spoken."""

import random

import pytest
import torch
from test_codec import fake_utterance
from test_utterances import check, refuse

from moshi_ref.corpus import spoken as module
from moshi_ref.corpus import utterances as cache_module
from moshi_ref.corpus.scripts import BACKCHANNELS, INTERRUPTIONS, TOPICS, UNSPOKEN, unspoken
from moshi_ref.corpus.small_world import exchange, held_out
from moshi_ref.corpus.spoken import AFTER, BEFORE, InRooms, WrittenDigits, spoken
from moshi_ref.corpus.utterances import Utterance
from moshi_ref.corpus.voices import TEST_VARIANTS, TRAIN_VARIANTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("split", TOPICS)
def test_users_ask_and_moshi_answers(split, folder):
    for role in ("question", "answer"):
        items = spoken(role, split, 10, 0, folder)
        for item in items:
            check(item)
            about = item.exchange
            assert item.text == (about.question if role == "question" else about.answer)
            assert about.topic in TOPICS[split] and about.answer[0].isupper() and about.answer[-1] in ".?"
            if about.operands:
                assert held_out(*about.operands) == (split == "test")
            if about.topic in ("sum", "digits"):
                assert unspoken(*about.operands) == (split == "unspoken")
            if about.topic == "fact":
                assert (about.answer in {fact.answer for fact in UNSPOKEN}) == (split == "unspoken")
            variants = TRAIN_VARIANTS if split == "train" else TEST_VARIANTS
            assert item.speaker.split("+")[1] in (variants if role == "question" else ("f3",))


def test_readers_are_many_and_moshi_is_one_of_them(folder):
    items = spoken("reading", "train", 16, 0, folder)
    for item in items:
        check(item)
        assert item.exchange.topic == "reading" and item.exchange.answer == item.text
    variants = [item.speaker.split("+")[1] for item in items]
    assert set(variants) <= {*TRAIN_VARIANTS, "f3"} and 1 < variants.count("f3") < 12 and len(set(variants)) > 5


@pytest.mark.parametrize("role, texts", [("backchannel", BACKCHANNELS), ("interruption", INTERRUPTIONS)])
def test_short_reactions_want_no_answer(role, texts, folder):
    items = spoken(role, "train", 12, 0, folder)
    for item in items:
        check(item)
        assert item.text in texts and item.exchange.answer == "" and item.exchange.topic == role
        assert len(item.wav) < 1.2 * 24_000 and item.speaker.split("+")[1] in TRAIN_VARIANTS
    assert len({item.text for item in items}) > 2


def test_the_cache_keeps_questions_and_answers(tmp_path, monkeypatch):
    fresh = list(module._random_utterances("question", "train", 6, 1))
    first = spoken("question", "train", 6, 1, tmp_path)
    monkeypatch.setattr(cache_module, "synthesize", refuse)
    for made, a, b in zip(fresh, first, spoken("question", "train", 6, 1, tmp_path), strict=True):
        assert (made.text, made.words, made.phones, made.exchange) == (a.text, a.words, a.phones, a.exchange)
        assert (made.wav - a.wav).abs().max() < 1e-4 and torch.equal(a.wav, b.wav) and a.exchange == b.exchange
    for other in ({"seed": 2}, {"count": 5}, {"role": "answer"}, {"split": "test"}):
        arguments = {"role": "question", "split": "train", "count": 6, "seed": 1} | other
        with pytest.raises(AssertionError, match="nothing should"):
            spoken(**arguments, folder=tmp_path)


@pytest.mark.parametrize("wrong", [("robot", "train", 1), ("reading", "test", 1), ("question", "train", 0)])
def test_wrong_arguments_are_refused(wrong, tmp_path):
    with pytest.raises(ValueError, match="a role and one of its splits"):
        spoken(*wrong, seed=0, folder=tmp_path)


def test_in_a_room_the_words_stay_where_they_sound():
    plain = [fake_utterance(i) for i in range(12)]
    rooms, changed = InRooms(plain, seed=3), 0
    assert len(rooms) == 12
    for i, utterance in enumerate(plain):
        begin, count = round(BEFORE * 24_000), len(utterance.wav)
        there = rooms[i]
        assert len(there.wav) == begin + count + round(AFTER * 24_000)
        assert (there.text, there.exchange, there.speaker) == (utterance.text, utterance.exchange, utterance.speaker)
        for marks, later in ((utterance.words, there.words), (utterance.phones, there.phones)):
            assert [m.start + BEFORE for m in marks] == pytest.approx([m.start for m in later])
        changed += not torch.equal(there.wav[begin : begin + count], utterance.wav)
        assert torch.equal(there.wav, rooms[i].wav)
    assert 4 < changed < 12


def test_digits_of_people_get_written_answers():
    digits = Utterance(torch.zeros(9), "three four", (), (), exchange("digits", 3, 4), "anna")
    (item,) = WrittenDigits([digits])
    assert item.exchange.answer == "Three plus four is seven." and item.exchange.operands == (3, 4)
    assert item.text == "three four" and item.speaker == "anna"


def test_users_of_one_seed_are_not_those_of_another(folder):
    first, other = (spoken("interruption", "train", 6, seed, folder) for seed in (1, 2))
    assert [item.speaker for item in first] != [item.speaker for item in other]
    assert random.Random(0).choice(first).speaker in {item.speaker for item in first}
