"""What has no sound of its own: text in the rhythm of speech."""

import random

import pytest
import torch
from test_duplex_dialogues import ANSWERS, BACKCHANNELS, BACKGROUNDS, INTERRUPTIONS, QUESTIONS
from test_timeline import FRAMES, RATE, Q

from moshi_ref.corpus import duplex_dialogues
from moshi_ref.corpus.duplex_dialogues import DuplexDialogues
from moshi_ref.corpus.silent_reading import SENTENCES, SilentReading, as_moshi_says, first_difference
from moshi_ref.inner_monologue import tokens_to_words
from moshi_ref.rq_transformer import ZERO
from moshi_ref.tokenizer import PAD

DOCUMENTS = "Seven plus five is nine. I just wait.", "User: repeat the question Moshi: lazy dogs jump over boxes"


def test_of_a_dialogue_it_says_its_own_part():
    assert as_moshi_says(DOCUMENTS[0]) == ["Seven plus five is nine.", "I just wait."]
    assert as_moshi_says(DOCUMENTS[1]) == ["lazy dogs jump over boxes"]
    assert as_moshi_says("User: Hi. Moshi: Hello. How are you?\nUser: Bye.") == ["Hello.", "How are you?", "User: Bye."]


@pytest.fixture
def conversations(tokenizer, monkeypatch) -> DuplexDialogues:
    others = BACKCHANNELS, INTERRUPTIONS, BACKGROUNDS, tokenizer, RATE
    monkeypatch.setattr(duplex_dialogues, "EVENTS", {"none": 1})
    monkeypatch.setattr(duplex_dialogues, "PAUSING", 0.0)  # a long pause would leave no time for words
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
    assert found == {"Seven plus five is nine. I just wait.", "I just wait.", "lazy dogs jump over boxes"}


def test_of_a_silent_reading_no_sound_is_learnt(silent, tokenizer):
    quiet = 0
    for seed in range(80):
        dialogue = silent.draw(random.Random(seed))
        assert dialogue.codes.shape == dialogue.past.shape == (1 + 2 * Q, FRAMES)
        assert dialogue.codes.dtype == dialogue.past.dtype == torch.int64
        assert (dialogue.codes[1:] == ZERO).all() and not dialogue.given
        if dialogue.shown is None:
            quiet += 1
            assert (dialogue.user_text == PAD).all()
            said = " ".join(w.text for w in tokens_to_words(dialogue.codes[0], tokenizer))
            assert any(said in " ".join(as_moshi_says(document)) for document in DOCUMENTS)
    assert 10 < quiet < 30


def test_in_a_conversation_it_reads_other_answers_of_the_same_length(silent, conversations, tokenizer):
    exchanged = 0
    for seed in range(60):
        dialogue, line = silent.draw(random.Random(seed)), conversations.timeline(random.Random(seed))
        if dialogue.shown is None:
            continue
        spoken = line.dialogue()
        assert torch.equal(dialogue.past[1:], spoken.codes[1:]) and torch.equal(dialogue.user_text, spoken.user_text)
        words, learnt = silent.instead(line, random.Random(0))
        assert [(w.start, w.end) for w in words] == [(w.start, w.end) for w in line.words("moshi")]
        assert len(learnt) == len(words)
        for turn in line.turns["moshi"]:
            here = " ".join(w.text for w in words if turn.start <= w.start < turn.end)
            same = silent.answers.get(len(turn.words), ())
            assert here in same if same else here == " ".join(w.text for w in turn.words)
            exchanged += bool(same)
    assert exchanged > 20


def test_only_what_comes_after_the_first_difference_is_learnt(silent, conversations, tokenizer):
    """Moshi says "seven plus five is twelve" and reads "seven plus six is thirteen"."""
    line = next(line for line in map(conversations.timeline, map(random.Random, range(99)))
                if [w.text for w in line.words("moshi")] == "seven plus five is twelve".split())
    silent.answers = {5: ["seven plus six is thirteen"]}
    assert silent.instead(line, random.Random(0))[1] == [False, False, False, True, True]
    silent.conversation = lambda rng: line
    dialogue = next(each for each in map(silent.draw, map(random.Random, range(9))) if each.shown is not None)
    assert [w.text for w in tokens_to_words(dialogue.past[0], tokenizer)] == "seven plus six is thirteen".split()
    assert [w.text for w in tokens_to_words(dialogue.codes[0].clamp(min=PAD), tokenizer)] == ["is", "thirteen"]
    kept = dialogue.codes[0] != ZERO
    assert torch.equal(dialogue.codes[0][kept], dialogue.past[0][kept])
    assert (dialogue.past[0][~kept] > PAD).all()  # when it speaks is learnt everywhere


def test_it_reads_what_is_like_what_is_heard(silent, conversations):
    """Of a few random answers the one with most words in the same places; with few answers that is the most alike."""
    line = next(line for line in map(conversations.timeline, map(random.Random, range(99)))
                if [w.text for w in line.words("moshi")] == "seven plus five is twelve".split())
    silent.answers = {5: ["lazy dogs jump over boxes", "seven plus six is thirteen", "one two plus four five"]}
    read = [" ".join(w.text for w in silent.instead(line, random.Random(seed))[0]) for seed in range(40)]
    assert read.count("seven plus six is thirteen") > 30


def test_the_very_answer_is_learnt_as_a_whole(silent, conversations):
    line = next(line for line in map(conversations.timeline, map(random.Random, range(99))) if line.turns["moshi"])
    said = {len(turn.words): [" ".join(word.text for word in turn.words)] for turn in line.turns["moshi"][:1]}
    for silent.answers in ({}, said):  # none of that length, or the very one
        words, learnt = silent.instead(line, random.Random(0))
        first = len(line.turns["moshi"][0].words)
        assert words[:first] == line.words("moshi")[:first] and all(learnt[:first])
    assert first_difference("a b c".split(), "a x c".split()) == 1 and first_difference(["a"], ["a"]) == 1


def test_a_silent_reading_needs_documents(conversations, tokenizer):
    with pytest.raises(ValueError, match="expected documents to read, got none"):
        SilentReading((), conversations.timeline, tokenizer, RATE)
