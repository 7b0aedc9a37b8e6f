"""The small world: its questions, its answers, and the pairs that are kept for testing."""

import pytest

from moshi_ref.corpus.small_world import (
    DIGITS,
    NUMBERS,
    TOPICS,
    exchange,
    held_out,
    held_out_pairs,
    known_pairs,
    sentences,
)


@pytest.mark.parametrize(
    ("topic", "question", "answer"),
    [
        ("sum", "what is two plus nine", "two plus nine is eleven"),
        ("repeat", "repeat two nine", "two nine"),
        ("compare", "which is more two or nine", "nine is more"),
        ("digits", "two nine", "two plus nine is eleven"),
    ],
)
def test_each_topic(topic, question, answer):
    about = exchange(topic, 2, 9)
    assert (about.topic, about.question, about.answer, about.operands) == (topic, question, answer, (2, 9))


def test_numbers():
    assert len(NUMBERS) == 19 and NUMBERS[11] == "eleven" and DIGITS == NUMBERS[:10]
    assert exchange("sum", 9, 9).answer == "nine plus nine is eighteen"
    assert exchange("compare", 8, 3).answer == "eight is more"


@pytest.mark.parametrize("topic", TOPICS)
def test_pairs_are_split_without_a_leak(topic):
    known, kept = set(known_pairs(topic)), set(held_out_pairs(topic))
    assert not known & kept
    assert len(known | kept) == (90 if topic == "compare" else 100)
    assert len(kept) == 20
    assert kept == {(b, a) for a, b in kept} == {pair for pair in known | kept if held_out(*pair)}
    for digit in range(10):
        assert any(digit in pair for pair in kept)
        assert sum(digit in pair for pair in known) >= 5


def test_every_sum_can_be_learned_and_every_topic_keeps_the_same_pairs():
    assert {a + b for a, b in known_pairs("sum")} == set(range(19))
    assert len({held_out_pairs(topic) for topic in TOPICS}) == 1


def test_sentences_know_no_test_pair():
    texts = sentences()
    assert len(texts) == len(set(texts))
    assert set(NUMBERS) <= set(texts)
    for topic in TOPICS:
        for pair in known_pairs(topic):
            assert exchange(topic, *pair).question in texts and exchange(topic, *pair).answer in texts
        for pair in held_out_pairs(topic):
            assert exchange(topic, *pair).question not in texts
    assert not {exchange("sum", *pair).answer for pair in held_out_pairs("sum")} & set(texts)


@pytest.mark.parametrize(("topic", "a", "b"), [("compare", 4, 4), ("sum", 10, 1), ("repeat", -1, 1)])
def test_impossible_pairs_are_refused(topic, a, b):
    with pytest.raises(ValueError, match="digits 0..9"):
        exchange(topic, a, b)


def test_unknown_topics_are_refused():
    for ask in (known_pairs, held_out_pairs):
        with pytest.raises(ValueError, match="one of sum"):
            ask("product")
