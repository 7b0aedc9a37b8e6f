"""What has no sound of its own: text in the rhythm of speech."""

import random

import pytest
import torch
from test_duplex_dialogues import ANSWERS, BACKCHANNELS, BACKGROUNDS, INTERRUPTIONS, QUESTIONS
from test_timeline import FRAMES, RATE, Q

from moshi_ref.corpus import duplex_dialogues
from moshi_ref.corpus.duplex_dialogues import DuplexDialogues
from moshi_ref.corpus.silent_reading import SENTENCES, SilentReading, as_moshi_says
from moshi_ref.inner_monologue import tokens_to_words
from moshi_ref.rq_transformer import ZERO
from moshi_ref.tokenizer import PAD

DOCUMENTS = "Seven plus five is nine. I just wait.", "User: repeat the question Moshi: lazy dogs jump over the box"


def test_of_a_dialogue_it_says_its_own_part():
    assert as_moshi_says(DOCUMENTS[0]) == ["Seven plus five is nine.", "I just wait."]
    assert as_moshi_says(DOCUMENTS[1]) == ["lazy dogs jump over the box"]
    assert as_moshi_says("User: Hi. Moshi: Hello. How are you?\nUser: Bye.") == ["Hello.", "How are you?", "User: Bye."]


@pytest.fixture
def conversations(tokenizer, monkeypatch) -> DuplexDialogues:
    others = BACKCHANNELS, INTERRUPTIONS, BACKGROUNDS, tokenizer, RATE
    monkeypatch.setattr(duplex_dialogues, "EVENTS", {"none": 1})
    return DuplexDialogues(QUESTIONS, ANSWERS, *others)


@pytest.fixture
def silent(conversations, tokenizer) -> SilentReading:
    return SilentReading(DOCUMENTS, conversations.timeline, tokenizer, RATE)


def test_a_silent_reading_is_text_in_the_rhythm_of_speech(silent, tokenizer):
    found = set()
    for seed in range(30):
        words = silent.words(random.Random(seed))
        found.add(" ".join(w.text for w in words))
        for word, following in zip(words, words[1:], strict=False):
            pause = following.start - word.end
            assert pause == 0 or SENTENCES[0] <= pause <= SENTENCES[1]
            assert (pause > 0) == word.text.endswith(".")
            assert 0.1 < word.end - word.start < 1.0
    assert found == {"Seven plus five is nine. I just wait.", "I just wait.", "lazy dogs jump over the box"}


def test_of_a_silent_reading_no_sound_is_learnt(silent, tokenizer):
    quiet = 0
    for seed in range(60):
        dialogue = silent.draw(random.Random(seed))
        assert dialogue.codes.shape == (1 + 2 * Q, FRAMES) and dialogue.codes.dtype == torch.int64
        assert (dialogue.codes[1:] == ZERO).all() and not dialogue.given
        assert torch.equal(dialogue.heard[0], dialogue.codes[0])
        if dialogue.sounds is None:
            quiet += 1
            assert dialogue.heard is dialogue.codes and (dialogue.user_text == PAD).all()
            said = " ".join(w.text for w in tokens_to_words(dialogue.codes[0], tokenizer))
            assert any(said in " ".join(as_moshi_says(document)) for document in DOCUMENTS)
    assert 15 < quiet < 45


def test_in_a_conversation_it_reads_sentences_of_the_same_length(silent, conversations, tokenizer):
    exchanged = 0
    for seed in range(60):
        dialogue, line = silent.draw(random.Random(seed)), conversations.timeline(random.Random(seed))
        if dialogue.sounds is None:
            continue
        spoken = line.dialogue()
        assert torch.equal(dialogue.heard[1:], spoken.codes[1:]) and torch.equal(dialogue.user_text, spoken.user_text)
        words = silent.instead(line, random.Random(0))
        assert [(w.start, w.end) for w in words] == [(w.start, w.end) for w in line.words("moshi")]
        for turn in line.turns["moshi"]:
            here = " ".join(w.text for w in words if turn.start <= w.start < turn.end)
            same = [each for each in silent.by_length.get(len(turn.words), ())]
            assert here in same if same else here == " ".join(w.text for w in turn.words)
            exchanged += bool(same)
    assert exchanged > 20


def test_a_silent_reading_needs_documents(conversations, tokenizer):
    with pytest.raises(ValueError, match="expected documents to read, got none"):
        SilentReading((), conversations.timeline, tokenizer, RATE)
