"""What may be said, what may only be read, and what neither."""

import random
import re
from itertools import combinations

import pytest

from moshi_ref.corpus.documents import FAREWELLS, GREETINGS, fact_turn, small_world_turn
from moshi_ref.corpus.facts import FACTS, HELD_OUT, PEOPLE, READ, VILLAGE, Fact
from moshi_ref.corpus.scripts import (
    READING,
    ROWS,
    SENTENCE_END,
    SPOKEN,
    TOPICS,
    UNSPOKEN,
    WORD_ROWS,
    draw_script,
    ranges,
    reading,
    script,
    spoken_pairs,
    unspoken,
    unspoken_pairs,
    written,
)
from moshi_ref.corpus.small_world import DIGITS, NUMBERS, exchange, held_out, known_pairs


def drawn(count: int, split: str = "train") -> list[tuple[str, str]]:
    rng = random.Random(0)
    scripts = [draw_script(rng, split) for _ in range(count)]
    return [(each.question, each.answer) for each in scripts]


def statements(fact: Fact) -> set[str]:
    return {fact.tell(each) for each in (*fact.relation.statements, fact.relation.test_statement)}


@pytest.fixture(scope="module")
def said() -> list[str]:
    """Very much of what is said in training: enough that what may be said is said."""
    rng = random.Random(1)
    return [text for turn in drawn(6_000) for text in turn] + [reading(rng) for _ in range(8_000)]


def sums(text: str) -> set[tuple[int, int]]:
    """The pairs of digits that a text adds."""
    digit = f"({'|'.join(DIGITS)})"
    found = re.findall(rf"\b{digit} (?:plus|and) {digit}\b", text.lower())
    return {(NUMBERS.index(a), NUMBERS.index(b)) for a, b in found}


def test_everything_is_written_as_helium_reads_it():
    rng = random.Random(0)
    read = {turn(rng, "train") for turn in (small_world_turn, fact_turn) for _ in range(8_000)}
    for topic in ("sum", "compare", "repeat", "greeting", "farewell"):
        found = [script(topic, rng) for _ in range(40)]
        assert {(each.question, each.answer) for each in found} <= read | {*GREETINGS, *FAREWELLS}
    answers = {answer for _, answer in read}
    assert all(script("fact", rng).answer in answers for _ in range(100))  # the questions are many more
    assert script("digits", rng).question.islower()
    count, word = script("count", random.Random(1)), script("word", rng)
    first, last = re.fullmatch(r"Count from (\w+) to (\w+)\.", count.question).groups()
    row = NUMBERS[NUMBERS.index(first) : NUMBERS.index(last) + 1]
    assert count.answer.lower() == ", ".join(row) + "."
    assert word.question.removeprefix("Repeat ") == word.answer.removeprefix("You said ")


def test_splits_have_the_right_pairs():
    for topic in ("sum", "digits", "compare", "repeat"):
        rng = random.Random(0)
        train = {script(topic, rng).operands for _ in range(2_000)}
        assert train == set(spoken_pairs(topic)) and not any(held_out(*pair) for pair in train)
        assert all(held_out(*script(topic, rng, "test").operands) for _ in range(100))
    assert {script("sum", rng, "unspoken").operands for _ in range(500)} == set(unspoken_pairs())
    assert not set(ranges("train")) & set(ranges("test")) and all(held_out(*each) for each in ranges("test"))


def test_unspoken_sums_are_a_fifth_and_each_part_of_them_is_spoken():
    assert set(unspoken_pairs()) | set(spoken_pairs("sum")) == set(known_pairs("sum"))
    assert not set(unspoken_pairs()) & set(spoken_pairs("digits"))
    assert len(unspoken_pairs()) / len(known_pairs("sum")) == pytest.approx(0.2, abs=0.03)
    assert all(unspoken(b, a) for a, b in unspoken_pairs())
    assert {a for a, _ in unspoken_pairs()} == set(range(10))
    assert {a + b for a, b in unspoken_pairs()} <= {a + b for a, b in spoken_pairs("sum")}


def test_unspoken_facts_are_read_and_in_every_relation():
    assert set(SPOKEN) | set(UNSPOKEN) == set(READ) and not set(SPOKEN) & set(UNSPOKEN)
    assert len(UNSPOKEN) / len(READ) == pytest.approx(0.22, abs=0.03)
    assert {fact.relation for fact in UNSPOKEN} == {fact.relation for fact in FACTS}
    for relation, objects in VILLAGE.items():  # each object once, so that its frequency tells nothing
        assert sorted(f.object for f in UNSPOKEN if f.relation == relation) == sorted(objects)
    ends = {(fact.relation.name, fact.subject, fact.object) for fact in UNSPOKEN}
    assert all((name, b, a) in ends for name, a, b in ends if name == "opposite")


def test_no_forbidden_fact_or_sum_is_ever_said(said):
    sentences = {each for text in said for each in SENTENCE_END.split(text)}
    for fact in (*UNSPOKEN, *HELD_OUT):
        assert not statements(fact) & sentences
    for text in said:
        assert not any(held_out(*pair) or unspoken(*pair) for pair in sums(text)), text
    assert all(statements(fact) & sentences for fact in SPOKEN)  # the search finds what is there
    assert set().union(*map(sums, said)) == set(spoken_pairs("sum"))


def test_no_phrasing_of_the_test_is_ever_said(said):
    asked = set(said)
    assert not any(fact.ask(fact.relation.test_question) in asked for fact in READ)
    assert any(fact.ask(fact.relation.questions[0]) in asked for fact in READ)
    rng = random.Random(0)
    assert all(script("fact", rng, "test").question not in asked for _ in range(200))
    unspoken_answers = {fact.answer for fact in UNSPOKEN}
    assert all(script("fact", rng, "unspoken").answer in unspoken_answers for _ in range(200))


def test_the_words_of_unspoken_facts_are_all_spoken(said):
    words = {word.strip('.,?!"').lower() for text in said for word in text.split()}
    for fact in UNSPOKEN:
        assert {word.lower() for word in f"{fact.subject} {fact.object}".split()} <= words
    assert {person.lower() for person in PEOPLE} <= words


def test_rows_of_words_tell_no_fact_and_no_pair_of_numbers():
    ends = {frozenset((fact.subject, fact.object)) for fact in FACTS}
    assert len(set(WORD_ROWS)) == len(WORD_ROWS) == ROWS
    for row in WORD_ROWS:
        assert len(row) in (2, 3) and sum(word in NUMBERS for word in row) <= 1
        assert row[0] in NUMBERS or row[0][0].isupper()  # so that it has a capital letter in the text, too
        assert not any(frozenset(two) in ends for two in combinations(row, 2))
    assert sum(any(word in NUMBERS for word in row) for row in WORD_ROWS) > ROWS / 3
    rng = random.Random(0)
    for _ in range(50):
        about = script("words", rng)
        assert about.question.removeprefix("Repeat ").lower() == about.answer.lower() and about.answer[0].isupper()


def test_readings_are_sentences():
    rng, starts = random.Random(0), set()
    for _ in range(500):
        text = reading(rng)
        starts.add(text.split()[0])
        assert 2 <= len(text.split()) <= READING and text == " ".join(text.split())
        assert text[-1] in '.!?"' and (text[0].isupper() or text[0] == '"')
    assert len(starts) > 60


def test_written_exchanges():
    assert written(exchange("sum", 3, 4)).question == "What is three plus four?"
    assert written(exchange("digits", 3, 4)).question == "three four"
    assert written(exchange("digits", 3, 4)).answer == "Three plus four is seven."
    assert written(exchange("digits", 3, 4)).operands == (3, 4)


def test_every_topic_is_drawn_and_others_are_refused():
    for split, topics in TOPICS.items():
        rng = random.Random(0)
        assert {draw_script(rng, split).topic for _ in range(400)} == set(topics)
    with pytest.raises(ValueError, match="split must be one of train, test, unspoken"):
        draw_script(random.Random(0), "validation")
    with pytest.raises(ValueError, match="expected a split and one of its topics"):
        script("greeting", random.Random(0), "test")
