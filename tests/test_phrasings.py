"""Many ways to ask, none of them the test's."""

import random

import pytest

from moshi_ref.corpus.facts import FACTS, READ, Relation
from moshi_ref.corpus.phrasings import AFTER, BEFORE, PLAIN, SPOKEN_QUESTIONS, ask_aloud, spoken_questions

RELATIONS = list(dict.fromkeys(fact.relation for fact in FACTS))


def test_every_relation_has_a_dozen():
    assert set(SPOKEN_QUESTIONS) == set(RELATIONS)
    for relation in RELATIONS:
        questions = spoken_questions(relation)
        assert len(questions) == len(set(questions)) == 12 and questions[:2] == relation.questions
        assert all(question.count("{subject}") == 1 for question in questions)


def test_no_way_to_ask_is_shared_by_two_relations_of_one_subject():
    for fact in READ:
        others = {other.relation for other in READ if other.subject == fact.subject} - {fact.relation}
        own = set(spoken_questions(fact.relation))
        assert not any(own & set(spoken_questions(other)) for other in others)


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_the_phrasing_of_the_test_is_none_of_them_but_its_words_are_known(relation: Relation):
    asked = [question for each in RELATIONS for question in spoken_questions(each)]
    assert not any(relation.test_question in question for question in asked)
    assert set(relation.test_question.split()) <= {word for question in asked for word in question.split()}


def test_questions_aloud():
    rng, fact = random.Random(0), next(fact for fact in READ if fact.relation.name == "job")
    asked = [ask_aloud(fact, rng) for _ in range(2_000)]
    plain = {fact.ask(question) for question in spoken_questions(fact.relation)}
    assert sum(each in plain for each in asked) / len(asked) == pytest.approx(PLAIN, abs=0.04)
    for each in set(asked) - plain:
        before, after = each.split(", ")
        assert before in BEFORE or after.removesuffix("?") in AFTER
        assert (after[0].upper() + after[1:] if before in BEFORE else f"{before}?") in plain
    pieces = {piece.removesuffix("?") for each in asked for piece in each.split(", ")}
    assert pieces >= {*BEFORE, *AFTER}
    assert all(each[0].isupper() and each.endswith("?") and fact.subject in each for each in asked)
