"""Forced alignment on made-up emissions, whose answer is known."""

import math

import pytest
import torch
import torchaudio

from moshi_ref.corpus import alignment as module
from moshi_ref.corpus.alignment import CTCModel, align, pretrained, spell
from moshi_ref.inner_monologue import Word

LETTERS = "-abcdefghijklmnopqrstuvwxyz'"  # number 0 is the blank
LABELS = {letter: number for number, letter in enumerate(LETTERS) if number}
SURE = 0.9  # probability of the label that a made-up emission means
RATE = 100  # frames a second, and samples too: a frame a sample


def emission(path: str, letters: str = LETTERS) -> torch.Tensor:
    """Log-probabilities (L, C) of a model that means this path, one label a frame."""
    meant = torch.nn.functional.one_hot(torch.tensor([letters.index(c) for c in path]), len(letters))
    return (meant * SURE + (1 - meant) * (1 - SURE) / (len(letters) - 1)).log()


def model(path: str, letters: str = LETTERS, **changes) -> CTCModel:
    labels = {letter: number for number, letter in enumerate(letters) if letter not in "-|"}
    return CTCModel(lambda wav: emission(path, letters), labels, RATE, **changes)


def aligned(path: str, text: str, **changes) -> tuple[list[Word], list[float]]:
    return align(torch.zeros(len(path)), text, model(path, **changes), sample_rate=RATE)


def test_words_are_where_the_emission_says():
    path = "-t-wo-----iss--ff--oo-uu-rr---"
    words, sure = aligned(path, "two is four")
    assert [w.text for w in words] == ["two", "is", "four"]
    times = [(w.start, w.end) for w in words]
    assert times == [pytest.approx(t) for t in [(0.01, 0.05), (0.10, 0.13), (0.15, 0.27)]]
    assert sure == pytest.approx([SURE] * 3)


def test_double_letters_need_a_blank_between():
    words, _ = aligned("-th-r-e-e-to-o", "three too")
    assert [(w.start, w.end) for w in words] == [pytest.approx((0.01, 0.09)), pytest.approx((0.10, 0.14))]


def test_a_text_that_is_not_said_is_unlikely():
    _, right = aligned("--two--is--more--", "two is more")
    _, wrong = aligned("--two--is--more--", "six is more")
    assert right[0] == pytest.approx(SURE)
    assert wrong[0] < 0.1 and wrong[2] == pytest.approx(SURE)


def test_a_model_may_write_separators():
    letters = "-|abcdefghijklmnopqrstuvwxyz'"
    with_bars = model("-two-||is-|-more--", letters, separator=1)
    words, sure = align(torch.zeros(18), "two is more", with_bars, sample_rate=RATE)
    assert [(w.start, w.end) for w in words] == [pytest.approx(t) for t in [(0.01, 0.04), (0.07, 0.09), (0.12, 0.16)]]
    assert sure == pytest.approx([SURE] * 3)


def test_a_model_may_know_whole_words():
    labels = {"two": 1, "is": 2, "more": 3}
    path = torch.tensor([0, 1, 1, 0, 2, 0, 0, 3, 3, 3])
    whole = CTCModel(lambda wav: torch.nn.functional.one_hot(path, 4).float() * 20, labels, RATE)  # logits will do
    words, _ = align(torch.zeros(10), "Two is more.", whole, sample_rate=RATE)
    assert words[0] == Word("Two", pytest.approx(0.01), pytest.approx(0.03))
    assert words[2] == Word("more.", pytest.approx(0.07), pytest.approx(0.10))
    with pytest.raises(ValueError, match="no label for e i n of 'nine'; the model knows is more two"):
        align(torch.zeros(10), "nine is more", whole, sample_rate=RATE)


def test_the_sound_is_resampled_for_the_model():
    heard = []

    def remember(wav: torch.Tensor) -> torch.Tensor:
        heard.append(wav.shape)
        return emission("--two-----")

    words, _ = align(torch.zeros(12_000), "two", CTCModel(remember, LABELS, 16_000))
    assert heard == [(8_000,)]
    assert words == [Word("two", pytest.approx(0.1), pytest.approx(0.25))]  # ten frames are half a second


def test_spelling():
    assert spell("Don’t", LABELS) == spell("don't", LABELS) == [LABELS[c] for c in "don't"]
    assert spell("naïve,", LABELS) == [LABELS[c] for c in "naive"]
    assert spell("well-known", LABELS) == [LABELS[c] for c in "wellknown"]
    assert spell("--", LABELS) == []
    words, _ = aligned("--two--is--more--", "two -- is more !")
    assert [w.text for w in words] == ["two", "is", "more"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("two is 14", "no label for 1 4 of '14'; the model knows ' a b .* numbers in words"),
        ("is два", "no label for а в д of 'два'"),
        (" -- ", "expected a text with letters in it, got ' -- '"),
        ("", "expected a text with letters in it, got ''"),
        ("this is far more", "0.08 s of sound give 8 frames, too few for the 13 that 'this is far more' needs"),
        ("eeeee", "too few for the 9"),  # blanks between the five
    ],
)
def test_texts_that_cannot_be_aligned(text, message):
    with pytest.raises(ValueError, match=message):
        aligned("--two---", text)


@pytest.mark.parametrize("wav", [torch.zeros(0), torch.zeros(1, 10), torch.full((10,), math.nan)])
def test_sounds_that_cannot_be_aligned(wav):
    with pytest.raises(ValueError, match=r"expected finite sound of shape \(T,\), T > 0, got shape"):
        align(wav, "two", model("--two--"), sample_rate=RATE)


# --- Models ---------------------------------------------------------------------------------------


class FakeBundle:
    """A pretrained model of torchaudio that is here already."""

    sample_rate = RATE

    def __init__(self, letters: str, path: str):
        self.letters, self.path = letters, path

    def get_labels(self) -> tuple[str, ...]:
        return tuple(self.letters)

    def get_model(self):
        return lambda wav: (emission(self.path, self.letters)[None], None)


@pytest.mark.parametrize(
    "name, letters, path",
    [("MMS_FA", "-abcdefghijklmnopqrstuvwxyz'*", "-two--is-"),
     ("WAV2VEC2_ASR_BASE_960H", "-|ABCDEFGHIJKLMNOPQRSTUVWXYZ'", "-TWO-|IS-")],
)  # fmt: skip
def test_pretrained_models(name, letters, path, monkeypatch):
    monkeypatch.setattr(torchaudio.pipelines, name, FakeBundle(letters, path))
    words, sure = align(torch.zeros(9), "Two is", pretrained(name), sample_rate=RATE)
    assert [w.text for w in words] == ["Two", "is"]
    assert [(w.start, w.end) for w in words] == [pytest.approx((0.01, 0.04)), pytest.approx((0.06, 0.08))]
    assert sure == pytest.approx([SURE] * 2)


@pytest.mark.parametrize("name", module.PRETRAINED)
def test_torchaudio_has_these_models(name):
    """Their labels, without their weights."""
    bundle = getattr(torchaudio.pipelines, name)
    labels = bundle.get_labels()
    assert labels[0] == "-" and {label.lower() for label in labels} >= set(LABELS)
    assert ("|" in labels) == (name != "MMS_FA")
    assert bundle.sample_rate == 16_000


def test_no_network(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionRefusedError("no route")

    monkeypatch.setattr(torchaudio.pipelines, "MMS_FA", FakeBundle("-ab", ""))
    monkeypatch.setattr(FakeBundle, "get_model", refuse)
    with pytest.raises(FileNotFoundError, match="MMS_FA are not in .* failed .no route.*with a CTC model of your own"):
        pretrained()
    with pytest.raises(ValueError, match="expected a model of MMS_FA, WAV2VEC2_ASR_BASE_960H, got 'whisper'"):
        pretrained("whisper")
