"""The table of facts: what is read, what is held out, and that nothing gives the held-out ones away."""

import math
from collections import Counter

import pytest

from moshi_ref.corpus.bloom import fnv1a
from moshi_ref.corpus.facts import ABOUT, FACTS, HELD_OUT, JOB, NATURE, PEOPLE, READ, VILLAGE, Fact, sentence
from moshi_ref.evaluation.intervals import wilson

VILLAGE_HASH = 0x6DBA5978C71818A3
RELATIONS = sorted({fact.relation for fact in FACTS}, key=lambda relation: relation.name)


def test_how_many_there_are():
    assert len(FACTS) == len({(fact.relation, fact.subject) for fact in FACTS}) == 534  # one object for each subject
    assert len(READ) == 410 and len(HELD_OUT) == 124
    assert not set(READ) & set(HELD_OUT) and set(READ) | set(HELD_OUT) == set(FACTS)
    assert len(set(PEOPLE)) == 48


def test_only_the_village_is_held_out():
    assert not any(fact.held_out for fact in NATURE)
    assert {fact.relation for fact in HELD_OUT} == set(VILLAGE)


@pytest.mark.parametrize("relation", VILLAGE, ids=lambda relation: relation.name)
def test_objects_are_balanced(relation):
    """Each is as frequent as the others, among the facts that are read and among the held-out ones."""
    for facts in (READ, HELD_OUT):
        counts = Counter(fact.object for fact in facts if fact.relation == relation)
        assert set(counts) == set(VILLAGE[relation]) and len(set(counts.values())) == 1
    assert {fact.subject for fact in FACTS if fact.relation == relation} == set(PEOPLE)


def test_what_is_held_out_follows_from_nothing_else():
    """A naive Bayes guesser looks for what people have in common: who shares a job, a pet, a month. It knows all that
    may be read, and is right about the held-out facts as often as chance among eight or twelve objects is."""
    village = [fact for fact in READ if fact.relation in VILLAGE]
    owned = {person: {(fact.relation, fact.object) for fact in village if fact.subject == person} for person in PEOPLE}
    right, chance = 0, 0.0
    for fact in HELD_OUT:
        scores = {}
        for thing in VILLAGE[fact.relation]:
            owners = [have for have in owned.values() if (fact.relation, thing) in have]
            scores[thing] = sum(math.log(1 + sum(each in have for have in owners)) for each in owned[fact.subject])
        right += max(scores, key=scores.get) == fact.object
        chance += 1 / len(scores)
    low, high = wilson(right, len(HELD_OUT))
    assert low < chance / len(HELD_OUT) < high


def test_the_table_is_the_same_every_time():
    """It is drawn from fixed seeds. If this fails, trained models know another village."""
    assert [fact.answer for fact in READ if fact.relation == JOB][:2] == ["Maria is a baker.", "Nina is a farmer."]
    village = [(fact.relation.name, fact.subject, fact.object) for fact in FACTS if fact.relation in VILLAGE]
    assert fnv1a(repr(village).encode()) == VILLAGE_HASH


def test_everyone_has_facts_that_may_be_told():
    assert set(PEOPLE) <= set(ABOUT)
    assert all(len(ABOUT[person]) >= 3 for person in PEOPLE)
    assert not any(fact.held_out for facts in ABOUT.values() for fact in facts)


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_phrasings(relation):
    """Each names both ends, no two are the same, and those of the test are not among those of the training."""
    for statement in (*relation.statements, relation.test_statement):
        assert statement.count("{subject}") == statement.count("{object}") == 1
    for question in (*relation.questions, relation.test_question):
        assert question.count("{subject}") == 1 and "{object}" not in question
    assert relation.statements[0].endswith("{object}")
    assert len(relation.statements) >= 2 and len(relation.questions) >= 2
    assert not set(relation.statements_of("train")) & set(relation.statements_of("test"))
    assert not set(relation.questions_of("train")) & set(relation.questions_of("test"))


def test_telling_and_asking():
    fact = Fact(JOB, "Ada", "painter")
    assert fact.answer == "Ada is a painter."
    assert fact.tell(JOB.test_statement) == "Ada earns money as a painter."
    assert fact.ask(JOB.questions[0]) == "What is the job of Ada?"
    assert sentence("well", "!") == "Well!"
