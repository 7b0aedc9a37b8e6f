"""Text to tokens and back."""

import pytest
from conftest import SENTENCES

from moshi_ref.tokenizer import BOS, EOS, EPAD, PAD, TextTokenizer, candidates


def test_special_tokens_have_the_ids_of_the_released_models(tokenizer):
    assert (EPAD, BOS, EOS, PAD) == (0, 1, 2, 3)
    assert [tokenizer.piece(t) for t in range(4)] == ["EPAD", "BOS", "EOS", "PAD"]
    assert 260 < len(tokenizer) <= 360


@pytest.mark.parametrize("text", [
    *SENTENCES[:3], "words it has never seen: zyxw!", "x", "", "UPPER case", "a+b=c; 1% #$&*()[]{}<>|\\~^`@_",
], ids=repr)  # fmt: skip
def test_ascii_comes_back(tokenizer, text):
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert all(PAD < t < len(tokenizer) for t in tokens)


def test_a_frequent_word_is_one_token(tokenizer):
    """With the space before it, so that a token tells where a word begins."""
    assert [tokenizer.piece(t) for t in tokenizer.encode("five five")] == [" five", " five"]


def test_a_word_that_is_part_of_no_other_word_is_one_token():
    """Even if it comes in a text of few different words, in which SentencePiece alone would not look at it."""
    tokenizer = TextTokenizer.train(["twelve question one", "one question"] * 20, 300)
    assert [tokenizer.piece(t) for t in tokenizer.encode("twelve question one")] == [" twelve", " question", " one"]
    text = "onerous? one, two; xone and twelve questions."
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_candidates_cover_words_by_how_often_they_come():
    pieces = dict(candidates(["to go", "to be, 22"]))
    assert pieces["\u2581to"] == 2 * 3
    assert pieces["be"] == 2
    assert "e," not in pieces  # letters and other signs do not mix
    assert not any("2" in piece for piece in pieces)  # digits stand alone


def test_each_digit_is_a_token():
    """Even in a number that is frequent."""
    tokenizer = TextTokenizer.train([*SENTENCES, *["the year 2024 is here"] * 50], 400)
    pieces = [tokenizer.piece(t).strip() for t in tokenizer.encode("2024 and 45")]
    assert [p for p in pieces if p[:1].isdigit()] == ["2", "0", "2", "4", "4", "5"]


@pytest.mark.parametrize("text", ["naïve 你好", "🙂", "Привет, hello"])
def test_unknown_characters_are_spelled_in_bytes(tokenizer, text):
    tokens = tokenizer.encode(text)
    assert EPAD not in tokens  # "unknown" would lose the text
    assert any(tokenizer.piece(t).startswith("<0x") for t in tokens)
    assert tokenizer.decode(tokens) == text


def test_special_tokens_are_left_out_of_the_text(tokenizer):
    tokens = tokenizer.encode("hello there")
    assert tokenizer.decode([BOS, PAD, EPAD, *tokens, PAD, EOS]) == "hello there"


def test_save_and_load(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "text.model")
    loaded = TextTokenizer.load(tmp_path / "text.model")
    assert len(loaded) == len(tokenizer)
    assert [loaded.encode(s) for s in SENTENCES] == [tokenizer.encode(s) for s in SENTENCES]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.model"):
        TextTokenizer.load(tmp_path / "nothing.model")


@pytest.mark.parametrize("content", [b"not a model", b""], ids=repr)
def test_a_file_that_is_no_model_is_named(tmp_path, content):
    (tmp_path / "text.model").write_bytes(content)
    with pytest.raises(ValueError, match=r"text\.model is not a SentencePiece model"):
        TextTokenizer.load(tmp_path / "text.model")


@pytest.mark.parametrize("vocabulary", [0, 260, 261])
def test_a_vocabulary_too_small_is_refused(vocabulary):
    """260 leaves nothing but the special tokens and the bytes; 261 not even the letters."""
    with pytest.raises(ValueError, match=f"{vocabulary}"):
        TextTokenizer.train(SENTENCES, vocabulary)
