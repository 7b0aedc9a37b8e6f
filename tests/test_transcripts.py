"""Words with times from the files of whisper and whisper_timestamped."""

import json
import math

import pytest

from moshi_ref.corpus.transcripts import checked_word, read_transcript
from moshi_ref.inner_monologue import Word, words_to_tokens
from moshi_ref.tokenizer import EPAD, PAD

# As the two programs write them, fields that nobody reads here included.
WHISPER = {
    "text": " Hello there. How are you?",
    "segments": [
        {"id": 0, "seek": 0, "start": 0.3, "end": 1.1, "text": " Hello there.", "tokens": [50364, 2425],
         "temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 0.9, "no_speech_prob": 0.01,
         "words": [{"word": " Hello", "start": 0.3, "end": 0.62, "probability": 0.98},
                   {"word": " there.", "start": 0.62, "end": 1.1, "probability": 0.95}]},
        {"id": 1, "seek": 0, "start": 2.0, "end": 2.8, "text": " How are you?", "words": [
            {"word": " How", "start": 2.0, "end": 2.2, "probability": 0.99},
            {"word": " are", "start": 2.2, "end": 2.2, "probability": 0.7},
            {"word": " you?", "start": 2.2, "end": 2.8, "probability": 0.99}]},
    ],
    "language": "en",
}  # fmt: skip
TIMESTAMPED = {
    "text": " Hello there. How are you?",
    "segments": [
        {"id": 0, "start": 0.3, "end": 1.1, "text": " Hello there.", "confidence": 0.9, "words": [
            {"text": "Hello", "start": 0.3, "end": 0.62, "confidence": 0.98},
            {"text": "there.", "start": 0.62, "end": 1.1, "confidence": 0.95}]},
        {"id": 1, "start": 1.4, "end": 2.8, "text": " How are you?", "confidence": 0.9, "words": [
            {"text": "[*]", "start": 1.4, "end": 1.9, "confidence": 0.0},
            {"text": "How", "start": 2.0, "end": 2.2, "confidence": 0.99},
            {"text": "are", "start": 2.2, "end": 2.2, "confidence": 0.7},
            {"text": "you?", "start": 2.2, "end": 2.8, "confidence": 0.99}]},
    ],
    "language": "en",
}  # fmt: skip
WORDS = [
    Word("Hello", 0.3, 0.62), Word("there.", 0.62, 1.1),
    Word("How", 2.0, 2.2), Word("are", 2.2, 2.2), Word("you?", 2.2, 2.8),
]  # fmt: skip


@pytest.mark.parametrize("content", [WHISPER, TIMESTAMPED], ids=["whisper", "whisper_timestamped"])
def test_both_layouts_give_the_same_words(content, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_transcript(path) == read_transcript(str(path)) == WORDS


def test_words_are_put_in_the_order_in_which_they_start(tmp_path):
    turned = {"segments": WHISPER["segments"][::-1]}
    (tmp_path / "a.json").write_text(json.dumps(turned))
    assert read_transcript(tmp_path / "a.json") == WORDS


def test_letters_beyond_ascii(tmp_path):
    word = {"word": " déjà", "start": 0, "end": 1, "probability": 1}
    content = json.dumps({"segments": [{"words": [word]}]}, ensure_ascii=False)
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    assert read_transcript(tmp_path / "a.json") == [Word("déjà", 0.0, 1.0)]


def test_nobody_speaks(tmp_path):
    (tmp_path / "a.json").write_text('{"segments": []}')
    assert read_transcript(tmp_path / "a.json") == []


def test_a_transcript_becomes_a_text_stream(tmp_path, tokenizer):
    (tmp_path / "a.json").write_text(json.dumps(TIMESTAMPED))
    stream = words_to_tokens(read_transcript(tmp_path / "a.json"), tokenizer, 40).tolist()
    assert stream[:3] == [PAD, PAD, EPAD]  # "Hello" starts at 0.3 s, in frame 3
    assert tokenizer.decode([token for token in stream if token > PAD]).split() == [word.text for word in WORDS]


def changed(**fields) -> dict:
    """A file with one word, the fields of which are changed. A field that becomes ... is missing."""
    word = {"word": "two", "start": 0.5, "end": 1.0} | fields
    kept = {name: value for name, value in word.items() if value is not ...}
    return {"segments": [{"words": []}, {"words": [kept]}]}


@pytest.mark.parametrize(
    "content, message",
    [
        ([], "should hold a JSON object, got a list"),
        ({"text": "two"}, 'a.json should hold a list "segments"'),
        ({"segments": {"words": []}}, 'a.json should hold a list "segments"'),
        ({"segments": [{"text": "two"}]}, r'segments\[0\] has no list "words"; run whisper with --word_timestamps'),
        ({"segments": ["two"]}, r'a.json, segments\[0\] has no list "words"'),
        ({"segments": [{"words": ["two"]}]}, r"segments\[0\].words\[0\]: expected an object with .* got 'two'"),
        (changed(word=...), r"a.json, segments\[1\].words\[0\]: expected the text of a word, got None"),
        (changed(word=" "), "expected the text of a word, got ' '"),
        (changed(start=...), "expected the start of 'two' in seconds, got None"),
        (changed(end="1.0"), "expected the end of 'two' in seconds, got '1.0'"),
        (changed(end=math.nan), "expected the end of 'two' in seconds, got nan"),
        (changed(end=math.inf), "expected the end of 'two' in seconds, got inf"),
        (changed(start=True), "expected the start of 'two' in seconds, got True"),
        (changed(end=0.4), "expected 0 <= start <= end, got 0.5 and 0.4 for 'two'"),
        (changed(start=-0.1), "expected 0 <= start <= end, got -0.1 and 1.0 for 'two'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(content, message, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_transcript(tmp_path / "a.json")


@pytest.mark.parametrize("content", [b"", b"{'segments': []}", b'{"segments": [', bytes([0xFF, 0xFE, 0x00])])
def test_what_is_not_json(content, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.json is not JSON \(.*\); write it again"):
        read_transcript(tmp_path / "a.json")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file .*a.json; expected the JSON that belongs to a sound"):
        read_transcript(tmp_path / "a.json")


def test_a_word_is_stripped():
    assert checked_word(" two ", 1, 2, "here") == Word("two", 1.0, 2.0)
