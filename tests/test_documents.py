"""The text of the small world: deterministic, varied, and without what is held out."""

import re
import zlib

import pytest

from moshi_ref.corpus.documents import KINDS, document, documents, turn_text
from moshi_ref.corpus.facts import HELD_OUT, READ
from moshi_ref.corpus.small_world import exchange, held_out_pairs, known_pairs


@pytest.fixture(scope="module")
def train() -> str:
    return "\n".join(documents(0.8, seed=0))


@pytest.fixture(scope="module")
def test() -> str:
    return "\n".join(documents(0.3, seed=0, split="test"))


def test_size_and_repetition():
    short, long = list(documents(0.02, seed=1)), list(documents(0.05, seed=1))
    assert long[: len(short)] == short
    assert 20_000 <= sum(len(text.encode()) + 1 for text in short) < 24_000
    assert short != list(documents(0.02, seed=2)) and short != list(documents(0.02, seed=1, split="test"))
    assert list(documents(0, seed=1)) == []


def test_every_kind_is_there():
    found = {}
    for i in range(100):
        kind, text = document(i, 0, "train")
        found.setdefault(kind, []).append(text)
    assert set(found) == set(KINDS)
    lines = [line for text in found["dialogue"] for line in text.split("\n")]
    assert all(line.startswith("User: ") and " Moshi: " in line for line in lines)
    assert all(text and text == text.strip() for texts in found.values() for text in texts)


def test_every_fact_that_may_be_read_is_told(train):
    told = sum(any(fact.tell(s) in train for s in fact.relation.statements) for fact in READ)
    assert told == len(READ)


@pytest.mark.parametrize("split", ["train", "test"])
def test_no_held_out_fact_is_told(split, request):
    text = request.getfixturevalue(split)
    for fact in HELD_OUT:
        for statement in (*fact.relation.statements, fact.relation.test_statement):
            assert fact.tell(statement) not in text
        for question in (*fact.relation.questions, fact.relation.test_question):
            assert fact.ask(question) not in text


def test_phrasings_of_the_test_are_not_in_the_training_text(train, test):
    for fact in READ:
        assert fact.tell(fact.relation.test_statement) not in train
        assert fact.ask(fact.relation.test_question) not in train
        assert not any(fact.ask(question) in test for question in fact.relation.questions)
    assert any(fact.tell(fact.relation.test_statement) in test for fact in READ)


def test_held_out_pairs_are_not_in_the_training_text(train, test):
    """Neither asked nor told, in a sum or in a comparison, in any of their phrasings."""
    lower = train.lower()
    for a, b in held_out_pairs("sum"):
        for topic in ("sum", "repeat", "compare"):
            assert exchange(topic, a, b).question not in lower
    number = r"(zero|one|two|three|four|five|six|seven|eight|nine)"
    phrasings = rf"{number} plus {number}|{number} and {number} make|add {number} and {number},"
    phrasings += rf"|{number} is (?:more|less) than {number}"
    names = "zero one two three four five six seven eight nine".split()
    for text, pairs in ((lower, known_pairs("sum")), (test.lower(), held_out_pairs("sum"))):
        asked = {tuple(names.index(w) for w in match.groups() if w) for match in re.finditer(phrasings, text)}
        assert asked and asked <= set(pairs)


def test_sums_are_right(train):
    for a, b in known_pairs("sum"):
        assert exchange("sum", a, b).answer.lower() in train.lower()


def test_there_is_something_to_learn(train):
    """Neither noise nor the same again and again: zlib makes English prose about three times smaller."""
    size = len(train.encode())
    assert 3 < size / len(zlib.compress(train.encode(), 9)) < 8
    stories = [text for i in range(1000) for kind, text in [document(i, 0, "train")] if kind == "story"]
    assert len(set(stories)) == len(stories)


def test_a_turn():
    assert turn_text("Hello.", "Hi.") == "User: Hello. Moshi: Hi."
    assert turn_text("Hello.") == "User: Hello. Moshi:"


def test_a_split_that_does_not_exist():
    with pytest.raises(ValueError, match="'valid'"):
        next(documents(1, 0, "valid"))
