"""Inner Monologue: words with times to a text token per frame, and back."""

import random

import pytest
import torch
from conftest import SENTENCES

from moshi_ref.inner_monologue import Word, tokens_to_words, words_to_tokens
from moshi_ref.tokenizer import EPAD, PAD


class Letters:
    """A tokenizer for examples by hand: one token a letter; the first of a word is its capital."""

    def encode(self, text):
        return [ord(c) for c in text.capitalize()]

    def decode(self, tokens):
        return "".join(chr(t) for t in tokens).lower()

    def piece(self, token):
        return (" " if chr(token).isupper() else "") + chr(token).lower()


def stream(*words: tuple[str, float], frames: int = 12, **options) -> str:
    """The text stream, a character a frame: '.' is PAD, '_' is EPAD, capitals begin words."""
    words = [Word(text, start, start + 0.1) for text, start in words]
    tokens = words_to_tokens(words, Letters(), frames, **options)
    assert tokens.shape == (frames,) and tokens.dtype == torch.int64
    return "".join({PAD: ".", EPAD: "_"}.get(t, chr(t)) for t in tokens.tolist())


# A frame lasts 0.08 s: 0.2 s lies in frame 2, 0.8 s in frame 10.
@pytest.mark.parametrize("words, expected", [
    ([("ab", 0.25)], ".._Ab......."),  # the docstring's
    ([("ab", 0.2), ("c", 0.8)], "._Ab....._C."),
    ([("ab", 0.0)], "_Ab........."),  # a word in the first frame makes room for EPAD
    ([("ab", 0.1)], "_Ab........."),
    ([("ab", 0.25), ("cd", 0.33)], ".._AbCd....."),  # pushed later; EPAD never overwrites text
    ([("ab", 0.25), ("cd", 0.41)], ".._AbCd....."),  # fits exactly, no frame for EPAD
    ([("ab", 0.25), ("cd", 0.49)], ".._Ab_Cd...."),
    ([("abcdef", 0.1), ("xy", 0.32)], "_AbcdefXy..."),
    ([("a", 0.0), ("b", 0.0), ("c", 0.0)], "_ABC........"),
    ([("cd", 0.65), ("ab", 0.25)], ".._Ab.._Cd.."),  # words need not come in order
    ([("abcd", 0.81)], "........._Ab"),  # cut where the frames end
    ([("ab", 0.97)], "..........._"),  # begins in the frame after the last
    ([("ab", 5.0)], "............"),
    ([(" ab ", 0.25)], ".._Ab......."),
    ([], "............"),
], ids=repr)  # fmt: skip
def test_examples_by_hand(words, expected):
    assert stream(*words) == expected


def test_text_may_lead_or_lag():
    assert stream(("ab", 0.41)) == "...._Ab....."
    assert stream(("ab", 0.41), ahead=0.16) == ".._Ab......."
    assert stream(("ab", 0.41), ahead=-0.24) == "......._Ab.."
    assert stream(("ab", 0.41), ahead=2.0) == "_Ab........."  # not before the beginning


def test_a_word_without_text_leaves_no_trace():
    assert stream(("", 0.25), ("ab", 0.65)) == "......._Ab.."


def test_another_frame_rate():
    assert stream(("ab", 0.25), frame_rate=25.0) == "....._Ab...."


def test_no_frames():
    assert stream(("ab", 0.0), frames=0) == ""


def read(text: str, **options) -> list[tuple[str, float, float]]:
    tokens = [{".": PAD, "_": EPAD}.get(c, ord(c)) for c in text]
    return [(w.text, w.start, w.end) for w in tokens_to_words(torch.tensor(tokens), Letters(), **options)]


def test_words_are_read_with_the_time_of_their_tokens():
    assert read(".._Ab...") == [("ab", pytest.approx(0.24), pytest.approx(0.40))]
    assert [w[0] for w in read("_AbCd.E.f")] == ["ab", "cd", "e", "f"]  # a capital, or a pause, begins a word
    assert read("....") == [] and read("") == []


def test_reading_takes_the_lead_into_account():
    assert read(".._A", ahead=0.16)[0][1] == pytest.approx(0.24 + 0.16)
    assert read(".._A", ahead=-0.16)[0][2] == pytest.approx(0.32 - 0.16)


@pytest.mark.parametrize("ahead", [0.0, 2.0, -0.6, 0.16, -2.08])
def test_what_was_read_is_written_again_in_the_same_frames(ahead):
    """A word in each frame in turn: times that lie exactly on a frame do not slip into the one before."""
    slipped = []
    for frame in range(1, 400):
        tokens = torch.full((402,), PAD)
        tokens[frame - 1 : frame + 2] = torch.tensor([EPAD, ord("A"), ord("b")])
        words = tokens_to_words(tokens, Letters(), ahead=ahead)
        if not torch.equal(words_to_tokens(words, Letters(), 402, ahead=ahead), tokens):
            slipped.append(frame)
    assert slipped == []


@pytest.mark.parametrize("trial", range(10))
@pytest.mark.parametrize("ahead", [0.0, 0.24, -0.4])
def test_spoken_words_come_back(tokenizer, trial, ahead):
    """With a real tokenizer, and pauses long enough for the tokens of each word."""
    rng = random.Random(trial)
    vocabulary, time, words = " ".join(SENTENCES).split() + ["42", "zyxw", "naïve"], rng.uniform(0.5, 1), []
    for _ in range(12):
        text = rng.choice(vocabulary)
        words.append(Word(text, time, time + 0.3))
        time += (len(tokenizer.encode(text)) + rng.uniform(1, 9)) / 12.5
    frames = int((time + 1) * 12.5)
    tokens = words_to_tokens(words, tokenizer, frames, ahead=ahead)
    back = tokens_to_words(tokens, tokenizer, ahead=ahead)
    assert [w.text for w in back] == [w.text for w in words]
    assert all(abs(b.start - w.start) <= 1 / 12.5 for b, w in zip(back, words, strict=True))
    for frame in range(1, frames):  # EPAD stands before each word unless text does
        if tokens[frame] > PAD and tokens[frame - 1] <= PAD:
            assert tokens[frame - 1] == EPAD
    assert (tokens == EPAD).sum() == len(words)


@pytest.mark.parametrize("trial", range(10))
def test_words_in_a_hurry_are_late_but_never_lost(tokenizer, trial):
    rng = random.Random(trial)
    words = [Word(w, 0.0, 0.0) for w in rng.choices(" ".join(SENTENCES).split(), k=15)]
    words = [Word(w.text, start, start) for w, start in
             zip(words, sorted(rng.uniform(0, 1) for _ in words), strict=True)]  # fmt: skip
    back = tokens_to_words(words_to_tokens(words, tokenizer, 200), tokenizer)
    assert [w.text for w in back] == [w.text for w in words]
    assert all(b.start >= w.start - 1 / 12.5 for b, w in zip(back, words, strict=True))
