"""From the scripts to tokens, with the committed codec and the committed tokenizer."""

import random
from pathlib import Path

import pytest
import torch

from moshi_ref.checkpoints import load_mimi, load_tokenizer
from moshi_ref.corpus.data_sheet import describe, sources
from moshi_ref.corpus.duplex_dialogues import REACTION, plain
from moshi_ref.corpus.facts import HELD_OUT
from moshi_ref.corpus.scripts import TOPICS, UNSPOKEN, WORDS, draw_script, reading, unspoken_pairs, written
from moshi_ref.corpus.small_world import exchange, held_out_pairs
from moshi_ref.inner_monologue import tokens_to_words
from moshi_ref.rq_transformer import ZERO
from moshi_ref.tokenizer import PAD, TextTokenizer

CHECKPOINTS = Path(__file__).parents[1] / "data" / "checkpoints"
FRAMES, RATE, Q = 112, 12.5, 8
FORBIDDEN = {fact.answer for fact in (*UNSPOKEN, *HELD_OUT)} | {
    written(exchange("sum", *pair)).answer for pair in (*unspoken_pairs(), *held_out_pairs("sum"))
}


@pytest.fixture(scope="module")
def words() -> TextTokenizer:
    return load_tokenizer(CHECKPOINTS / "helium-tiny")


@pytest.fixture(scope="module")
def stages(words, tmp_path_factory):
    """A little of everything, with few questions, so that some of them have an answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TOPICS, "train", {"count": 1, "farewell": 2, "greeting": 2})
        patch.setattr("moshi_ref.corpus.data_sheet.REACTIONS", 4)
        mimi = load_mimi(CHECKPOINTS / "mimi-tiny")
        return sources(mimi, words, 12, FRAMES, 0, tmp_path_factory.mktemp("cache"))


def lines(source, count: int = 60):
    return [source.timeline(random.Random(seed)) for seed in range(count)]


def test_every_word_has_the_tokens_that_helium_gives_it(words):
    rng = random.Random(0)
    texts = [text for _ in range(300) for text in (draw_script(rng).answer, reading(rng))] + WORDS
    for text in texts:
        apart = [token for word in text.split() for token in words.encode(word)]
        assert apart == words.encode(text)
    longest = max(len(words.encode(word)) for text in texts for word in text.split())
    assert longest <= 5  # frames for which Moshi may have to wait before it stops


def test_duplex_dialogues_keep_their_promises(stages, words):
    source, stopped = stages["dialogues"], 0
    for line in lines(source):
        dialogue = line.dialogue()
        text, moshi = dialogue.codes[0], dialogue.codes[1 : 1 + Q]
        assert dialogue.codes.shape == (1 + 2 * Q, FRAMES) and dialogue.codes.min() >= 0
        assert dialogue.codes[1:].max() < 512
        known = {word.text for turn in line.turns["moshi"] for word in turn.clip.words}
        whole = [word for word in tokens_to_words(text, words) if word.end < FRAMES / RATE]  # the end may cut the last
        assert {word.text for word in whole} <= known
        speech = torch.zeros(FRAMES, dtype=torch.bool)
        for turn in line.turns["moshi"]:
            speech[turn.first : turn.first + turn.clip.codes.shape[1]] = True
            assert turn.clip.answer not in FORBIDDEN
            if turn.end < min(line.seconds, turn.first / RATE + turn.clip.end) - 1e-6:  # it was stopped
                frame, stopped = round(turn.end * RATE), stopped + 1
                following = min([t.first for t in line.turns["moshi"] if t.start > turn.end], default=FRAMES)
                assert (text[frame:following] <= PAD).all()
                assert torch.equal(moshi[:, frame:following], source.backgrounds[0, :, frame:following].long())
                heard = [u.start + source.telling(u.clip) - u.clip.start for u in line.turns["user"]]
                assert any(REACTION[0] - 1e-6 <= turn.end - h <= REACTION[1] + 0.08 + 0.4 for h in heard)
        silence = source.backgrounds[0].long()
        assert torch.equal(moshi[:, ~speech], silence[:, ~speech])
    assert stopped > 5


def test_no_back_channel_touches_moshi(stages):
    source, seen = stages["dialogues"], 0
    for line in lines(source):
        for small in line.turns["user"]:
            if small.clip.topic != "backchannel":
                continue
            seen += 1
            assert tuple(plain(small.clip)) in source.harmless
            for turn in line.turns["moshi"]:
                if turn.start < small.start < turn.end:
                    assert len(turn.words) == len(turn.clip.words)
                    here = line.moshi[:, turn.first : turn.first + turn.clip.codes.shape[1]]
                    assert torch.equal(here, turn.clip.codes[:, : here.shape[1]])
    assert seen > 10


def test_readings_of_one_and_of_two(stages):
    for name, share in (("pre-training", 0.2), ("post-training", 0.05)):
        source = stages[name]
        drawn = [source.draw(random.Random(seed)) for seed in range(30)]
        assert all(each.codes.shape == (1 + 2 * Q, FRAMES) for each in drawn)
        empty = [(each.codes[1 + Q :] == ZERO).all().item() for each in drawn]
        assert set(empty) == {name == "pre-training"}
        sheet = describe(lines(source, 30))
        assert sheet.both_speak == 0 and sheet.moshi_speaks > share and sheet.cut_short == 0
        assert 60 < sheet.moshi_words_per_minute + sheet.user_words_per_minute < 220
    assert not any(text in FORBIDDEN for clip in stages["pre-training"].clips for text in [clip.answer])
