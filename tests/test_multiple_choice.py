"""Multiple choice, with scorers whose preferences are known."""

import random
from collections import Counter

import pytest

from moshi_ref.evaluation.likelihood import Likelihood
from moshi_ref.evaluation.multiple_choice import Accuracy, Question, balanced, credit, evaluate, exact_match

QUESTIONS = [
    Question("the sky is", (" blue", " a very long way of being green"), 0),
    Question("two and two are", (" three", " four"), 1),
    Question("say the long one:", (" no", " certainly"), 1),
]
ITEMS = [(f"{i}?", f" {i} is {{}}.", "abcde"[i % 5]) for i in range(40)]


def scorer(score):
    """A scorer by a function of context and continuation."""
    return lambda pairs: [Likelihood(score(*pair), False) for pair in pairs]


def test_raw_and_normalised_scores():
    """A token costs 1 nat a character here, but for one sentence: what is long loses, unless one divides."""
    result = evaluate(scorer(lambda context, choice: -float(len(choice)) + 0.5 * (choice == " blue")), QUESTIONS)
    assert result.raw.value == pytest.approx(2 / 3)  # " blue", " four" (4 letters against 5), not " certainly"
    assert result.normalised.value == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert result.raw.chance == result.normalised.chance == 0.5 and result.raw.count == 3


def test_a_scorer_that_knows_and_one_that_knows_nothing():
    right = {(question.context, question.choices[question.answer]) for question in QUESTIONS}
    best = evaluate(scorer(lambda *pair: -1.0 if pair in right else -50.0), QUESTIONS)
    assert best.raw.value == best.normalised.value == 1.0
    nothing = evaluate(scorer(lambda *pair: 0.0), QUESTIONS)
    assert nothing.raw.value == nothing.normalised.value == 0.5
    low, high = nothing.raw.interval
    assert low < 0.5 < high


def test_choices_of_different_numbers():
    questions = [Question("a", (" b", " c"), 0), Question("d", (" e", " f", " g", " h"), 0)]
    assert evaluate(scorer(lambda *pair: 0.0), questions).raw.chance == pytest.approx(0.375)


@pytest.mark.parametrize(
    ("scores", "answer", "expected"),
    [([1, 2, 3], 2, 1), ([1, 2, 3], 1, 0), ([3, 3, 1], 0, 0.5), ([3, 3, 1], 2, 0), ([1, 1, 1], 1, 1 / 3)],
)
def test_ties_count_in_part(scores, answer, expected):
    assert credit(scores, answer) == pytest.approx(expected)


def test_bytes_are_counted_not_letters():
    """The first choice has 3 letters in 5 bytes, with its space."""
    questions = [Question("x", (" éé", " abc"), 0)]
    assert evaluate(scorer(lambda context, choice: -1.0), questions).normalised.value == 1.0


def test_exact_match():
    pairs = [("2 + 2 =", " 4"), ("3 + 3 =", " 6")]
    result = exact_match(lambda asked: [Likelihood(-1.0, context.startswith("2")) for context, _ in asked], pairs)
    assert (result.value, result.chance, result.count) == (0.5, 0.0, 2)


def test_accuracy_in_words():
    assert str(Accuracy.of([1] * 80 + [0] * 20, 0.25)) == "80.0% [71.1%, 86.7%], chance 25.0%, n = 100"


def test_no_questions():
    with pytest.raises(ValueError, match="no questions"):
        evaluate(scorer(lambda *pair: 0.0), [])


@pytest.mark.parametrize(("choices", "answer"), [((" a",), 0), ((" a", " b"), 2), ((" a", " b"), -1)])
def test_impossible_questions(choices, answer):
    with pytest.raises(ValueError, match="two choices or more"):
        Question("x", choices, answer)


@pytest.mark.parametrize("size", [2, 4, 5])
def test_balanced_choices(size):
    """Each question has different choices, the right one among them; each item comes at most once."""
    questions = balanced(ITEMS, size, random.Random(0))
    right = {context: continuation.format(answer) for context, continuation, answer in ITEMS}
    assert len(questions) == len({question.context for question in questions}) == 40
    for question in questions:
        assert len(set(question.choices)) == size
        assert question.choices[question.answer] == right[question.context]
    assert len({question.answer for question in questions}) == size  # no place is always right


@pytest.mark.parametrize("seed", range(5))
def test_a_taste_gains_nothing(seed):
    """Whoever likes some answers better than others, in any order, gets exactly 1 / size of balanced choices."""
    rng = random.Random(seed)
    taste = {letter: rng.random() for letter in "abcde"}
    for size in (2, 4):
        questions = balanced(ITEMS, size, rng)
        result = evaluate(scorer(lambda context, choice: taste[choice[-2]]), questions)
        assert result.raw.value == result.normalised.value == result.raw.chance == 1 / size


def test_rare_answers():
    """The commonest answers are used up first, so nothing need be left over here."""
    items = [(f"{i}?", " {}", answer) for i, answer in enumerate("aaaabbccdd")]
    questions = balanced(items, 2, random.Random(0))
    assert len(questions) == 10
    assert balanced(items, 5, random.Random(0)) == []
    assert Counter(len(question.choices) for question in questions) == {2: 10}
