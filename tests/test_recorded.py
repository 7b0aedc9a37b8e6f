"""Recorded conversations become windows of tokens."""

import json
import math
import random

import pytest
import torch
from conftest import tiny_mimi

from moshi_ref.corpus import recorded as module
from moshi_ref.corpus.conversations import Conversation, from_mono, read_conversation, write_conversation
from moshi_ref.corpus.dialogues import HEARING, later
from moshi_ref.corpus.diarization import SimpleDiarizer
from moshi_ref.corpus.recorded import EncodedConversation, RecordedDialogues, encode_conversation, window
from moshi_ref.corpus.transcripts import read_transcript
from moshi_ref.corpus.voices import Voice, synthesize
from moshi_ref.inner_monologue import Word, tokens_to_words
from moshi_ref.mimi import Mimi
from moshi_ref.rq_transformer import ZERO
from moshi_ref.tokenizer import EPAD, PAD

RATE, Q = 12.5, 3
WORDS = (Word("hello", 0.5, 0.9), Word("there", 1.7, 2.0), Word("you", 3.0, 3.2))
USER = (Word("what", 1.0, 1.3),)


@pytest.fixture
def mimi() -> Mimi:
    return Mimi(tiny_mimi()).eval()


def counted(frames: int = 50) -> EncodedConversation:
    """A conversation whose codes say where they come from: stream * 100 + frame."""
    codes = torch.arange(2 * Q)[:, None] * 100 + torch.arange(frames)
    return EncodedConversation(codes.short(), WORDS, USER)


def test_both_channels_are_encoded_piece_by_piece(mimi, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 4)
    wav = torch.randn(2, 10 * 1920 - 700) * 0.1
    encoded = encode_conversation(mimi, Conversation(wav, WORDS, USER))
    assert encoded.codes.shape == (2 * Q, 10) and encoded.codes.dtype == torch.int16
    with torch.inference_mode():
        assert torch.equal(encoded.codes.long(), mimi.encode(wav[:, None]).flatten(0, 1))
    assert (encoded.words, encoded.user_words) == (WORDS, USER)


def test_the_whole_conversation(tokenizer):
    dialogue = window(counted(), 0, 50, tokenizer, RATE)
    assert dialogue.codes.shape == (1 + 2 * Q, 50) and dialogue.codes.dtype == torch.int64
    assert torch.equal(dialogue.codes[1:], counted().codes.long())
    said = tokens_to_words(dialogue.codes[0].tolist(), tokenizer)
    assert [word.text for word in said] == ["hello", "there", "you"]
    assert [word.start for word in said] == pytest.approx([0.48, 1.68, 2.96])  # to the frame
    (heard,) = tokens_to_words(dialogue.user_text.tolist(), tokenizer)
    assert heard.text == "what" and heard.start <= 1.3 + HEARING < heard.start + 1 / RATE


def test_a_window_in_the_middle(tokenizer):
    dialogue = window(counted(), 20, 20, tokenizer, RATE)  # from 1.6 s to 3.2 s
    assert torch.equal(dialogue.codes[1:], counted().codes[:, 20:40].long())
    said = tokens_to_words(dialogue.codes[0].tolist(), tokenizer)
    assert [word.text for word in said] == ["there", "you"]
    assert said[1].start == pytest.approx(17 / RATE)  # 3.0 s is in frame 37
    assert dialogue.user_text.tolist() == [PAD] * 20


def test_a_word_belongs_to_the_window_in_which_it_starts(tokenizer):
    dialogue = window(counted(), 22, 10, tokenizer, RATE)  # from 1.76 s: "there" has begun already
    assert dialogue.codes[0].tolist() == [PAD] * 10
    dialogue = window(counted(), 22, 15, tokenizer, RATE)  # to 2.96 s: "you" comes in the next frame
    assert dialogue.codes[0].tolist() == [PAD] * 14 + [EPAD]


def test_nothing_follows_the_end(tokenizer):
    dialogue = window(counted(), 35, 20, tokenizer, RATE)
    assert (dialogue.codes[:, 15:] == ZERO).all() and (dialogue.codes[:, :15] != ZERO).all()
    assert dialogue.codes[0, 1] == EPAD
    assert dialogue.user_text.tolist() == [PAD] * 20


def test_windows_are_drawn_from_everywhere(tokenizer):
    conversations = [counted(30), counted(90), counted(5)]
    dialogues = RecordedDialogues(conversations, tokenizer, 20, RATE)
    rng, starts, short = random.Random(0), set(), 0
    for _ in range(1500):
        drawn = dialogues.draw(rng)
        assert drawn.codes.shape == (1 + 2 * Q, 20) and drawn.user_text.shape == (20,)
        if drawn.codes[1, -1] == ZERO:
            short += 1
            assert torch.equal(drawn.codes[1:, :5], conversations[2].codes.long())
        else:
            starts.add(drawn.codes[1, 0].item())
    assert starts == set(range(71)) and 30 < short < 90  # 5 of 125 frames
    first, again = (dialogues.draw(random.Random(3)) for _ in range(2))
    assert torch.equal(first.codes, again.codes)


def test_nothing_to_draw_from(tokenizer):
    for arguments in (([], 20), ([counted()], 0)):
        with pytest.raises(ValueError, match="expected conversations and frames, got"):
            RecordedDialogues(arguments[0], tokenizer, arguments[1], RATE)


def test_from_disk_to_a_dialogue(mimi, tokenizer, tmp_path):
    wav = torch.randn(2, 4 * 24_000).clamp(-3, 3) * 0.1
    write_conversation(tmp_path / "a.wav", Conversation(wav, WORDS, USER))
    encoded = encode_conversation(mimi, read_conversation(tmp_path / "a.wav"))
    drawn = RecordedDialogues([encoded], tokenizer, 50, RATE).draw(random.Random(0))
    assert drawn.codes.shape == (1 + 2 * Q, 50)
    assert [word.text for word in tokens_to_words(drawn.codes[0].tolist(), tokenizer)] == ["hello", "there", "you"]


def test_from_one_channel_and_a_transcript_to_a_dialogue(mimi, tokenizer, tmp_path):
    """All of the path: a recording with one channel and a file of whisper, two channels, disk, tokens."""
    asked = synthesize("what is one and two", Voice("en-us+m3"))
    answered = synthesize("you are fine", Voice("en-us+f4"))
    silence, begin = torch.zeros(12_000), 1.0 + len(asked.wav) / 24_000
    words = [*later(asked.words, 0.5), *later(answered.words, begin)]
    entries = [{"word": f" {w.text}", "start": w.start, "end": w.end, "probability": 1.0} for w in words]
    (tmp_path / "mono.json").write_text(json.dumps({"segments": [{"words": entries}]}))

    wav = torch.cat([silence, asked.wav, silence, answered.wav, silence])
    segments = SimpleDiarizer()(wav)
    _, main = dict.fromkeys(segment.speaker for segment in segments)  # the user begins
    conversation = from_mono(wav, read_transcript(tmp_path / "mono.json"), segments, main)
    write_conversation(tmp_path / "stereo.wav", conversation)
    read = read_conversation(tmp_path / "stereo.wav")
    assert [w.text for w in read.words] == ["you", "are", "fine"]
    assert [w.text for w in read.user_words] == ["what", "is", "one", "and", "two"]
    assert not read.wav[0, : len(asked.wav)].any() and not read.wav[1, round((begin + 0.2) * 24_000) : -24_000].any()

    frames = math.ceil(len(wav) / 1920)
    drawn = RecordedDialogues([encode_conversation(mimi, read)], tokenizer, frames, RATE).draw(random.Random(0))
    said = tokens_to_words(drawn.codes[0].tolist(), tokenizer)
    assert said[0].text == "you" and begin - 1 / RATE < said[0].start <= begin
    assert (drawn.codes != ZERO).all()
