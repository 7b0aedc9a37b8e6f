"""The judges' grammar, ears and arithmetic."""

import re
import sys

import pytest
import torch
import torch.nn.functional as F

from moshi_ref.corpus.small_world import TOPICS, exchange, held_out_pairs, known_pairs
from moshi_ref.evaluation import judges
from moshi_ref.evaluation.intervals import wilson
from moshi_ref.evaluation.judges import GRAMMAR, agreement, hears, speech_only, spoken_answers

ANSWERS = {exchange(t, a, b).answer for t in TOPICS for a, b in known_pairs(t) + held_out_pairs(t)}


def pattern() -> str:
    """The grammar as a regular expression, which Python can match without sound."""
    rules = dict(re.findall(r"<(\w+)> = (.*);", GRAMMAR.replace(" | ", "|")))
    return re.sub(r"<(\w+)>", lambda name: f"({rules[name[1]]})", rules["answer"])


def test_the_grammar_accepts_every_answer():
    assert len(ANSWERS) == 209  # 100 sums, 100 repetitions, 9 comparisons
    assert all(re.fullmatch(pattern(), answer) for answer in ANSWERS)


@pytest.mark.parametrize("text", ["", "seven", "seven plus four", "eleven nine", "is more", "one two three"])
def test_the_grammar_accepts_nothing_else(text):
    assert not re.fullmatch(pattern(), text)


def test_pocketsphinx_knows_every_word():
    words = set(re.findall(r"[a-z]+", " ".join(ANSWERS)))
    assert all(judges._decoder().lookup_word(word) for word in words)


def test_spoken_answers_are_right_answers_and_repeatable():
    items = spoken_answers(12, seed=3)
    assert {text for _, text in items} <= ANSWERS
    again = spoken_answers(12, seed=3)
    assert all(torch.equal(a, b) and s == t for (a, s), (b, t) in zip(items, again, strict=True))
    assert [text for _, text in items] != [text for _, text in spoken_answers(12, seed=4)]


def test_pocketsphinx_hears_moshi():
    right, n = agreement(hears, spoken_answers(30, seed=1))
    assert right >= 0.9 * n


def test_pocketsphinx_hears_the_same_at_any_level_in_any_silence_and_order():
    (first, text), (second, _) = spoken_answers(2, seed=1)
    assert hears(first) == text
    hears(second)
    assert hears(first) == text
    assert hears(F.pad(0.1 * first, (40_000, 30_000))) == text


def test_speech_only_cuts_silence():
    speech = torch.ones(4_800)
    cut = speech_only(F.pad(speech, (24_000, 24_000)))
    assert cut.sum() == 4_800 and len(cut) == 4_800 + 2 * 5 * 480
    assert len(speech_only(torch.zeros(1_000))) == 1_000


def test_pocketsphinx_bad_input():
    for wav in (torch.zeros(1, 24_000), torch.zeros(0), torch.full((100,), float("nan"))):
        with pytest.raises(ValueError, match=r"expected finite sound of shape \(T,\)"):
            hears(wav)
    assert isinstance(hears(torch.zeros(24_000)), str)


def test_without_pocketsphinx_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    judges._decoder.cache_clear()
    with pytest.raises(ImportError, match="pip install pocketsphinx"):
        hears(torch.zeros(24_000))


def test_agreement_counts_exact_texts():
    items = [(torch.zeros(1), "one two"), (torch.ones(1), "two"), (torch.ones(1), "two two")]
    assert agreement(lambda wav: "two" if wav.sum() else "one two", items) == (2, 3)


@pytest.mark.parametrize(
    "k, n, low, high",  # Newcombe 1998, table I
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_against_published_values(k, n, low, high):
    assert wilson(k, n) == pytest.approx((low, high), abs=1e-4)
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-4)


@pytest.mark.parametrize("k, n", [(1, 0), (-1, 5), (6, 5)])
def test_wilson_bad_input(k, n):
    with pytest.raises(ValueError, match="0 <= k <= n"):
        wilson(k, n)
