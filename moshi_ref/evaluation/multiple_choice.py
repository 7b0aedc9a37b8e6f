"""Multiple choice by likelihood: the form of ARC, HellaSwag, PIQA, MMLU and others (Moshi paper, Table 2).

A language model answers no questions by itself, but it can say how probable each answer is. The choice with the highest
score counts as its answer. There are two usual scores:

    raw           log p(choice | context)
    normalised    log p(choice | context) / bytes of the choice

Raw scores prefer short choices. EleutherAI's evaluation harness reports both, as "acc" and "acc_norm"; it divides by
characters, which in English are bytes. For HellaSwag, PIQA, OpenBookQA and ARC challenge one mostly quotes the
normalised score. MMLU's choices are the letters A to D, all equally long, where both agree.

Open questions, such as TriviaQA's, count if greedy generation writes exactly the answer (`exact_match`).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .intervals import wilson
from .likelihood import Likelihood


@dataclass(frozen=True)
class Question:
    """`choices` are continuations of the context, each with the space before it; `answer` is the right one's index."""

    context: str
    choices: tuple[str, ...]
    answer: int

    def __post_init__(self):
        if len(self.choices) < 2 or not 0 <= self.answer < len(self.choices):
            raise ValueError(f"expected two choices or more and the index of one, got {self.choices}, {self.answer}")


@dataclass(frozen=True)
class Accuracy:
    """A share of right answers, its 95 % interval, and what guessing would reach."""

    value: float
    interval: tuple[float, float]
    chance: float
    count: int

    @classmethod
    def of(cls, credits: Sequence[float], chance: float) -> "Accuracy":
        """From one number for each question: 1 for a right answer, 0 for a wrong one, between for a tie."""
        if not credits:
            raise ValueError("no questions, so no accuracy; expected at least one")
        right, count = sum(credits), len(credits)
        return cls(right / count, wilson(right, count), chance, count)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} [{low:.1%}, {high:.1%}], chance {self.chance:.1%}, n = {self.count}"


@dataclass(frozen=True)
class Result:
    raw: Accuracy
    normalised: Accuracy


# From pairs of context and continuation to the likelihoods of the continuations. With Helium and its tokenizer it is
# functools.partial(likelihoods, helium, tokenizer); but anything will do.
Scorer = Callable[[Sequence[tuple[str, str]]], Sequence[Likelihood]]


def credit(scores: Sequence[float], answer: int) -> float:
    """1 if the answer alone has the highest score, 0 if another has a higher one; a tie of m choices counts 1 / m."""
    best = max(scores)
    return (scores[answer] == best) / sum(score == best for score in scores)


def evaluate(scorer: Scorer, questions: Sequence[Question]) -> Result:
    """The accuracy on multiple choice. Raises ValueError if there is no question."""
    pairs = [(question.context, choice) for question in questions for choice in question.choices]
    scored, raw, normalised = iter(scorer(pairs)), [], []
    for question in questions:
        scores = [next(scored).log_likelihood for _ in question.choices]
        per_byte = [score / len(choice.encode()) for score, choice in zip(scores, question.choices, strict=True)]
        raw.append(credit(scores, question.answer))
        normalised.append(credit(per_byte, question.answer))
    chance = sum(1 / len(question.choices) for question in questions) / max(1, len(questions))
    return Result(Accuracy.of(raw, chance), Accuracy.of(normalised, chance))


def exact_match(scorer: Scorer, pairs: Sequence[tuple[str, str]]) -> Accuracy:
    """The share of contexts after which greedy generation writes exactly the answer, from pairs of context and answer.

    Nothing need be generated. Greedy generation writes an answer if and only if each of its tokens is the likeliest
    one after the context and the tokens before it, which one pass over the answer shows.
    """
    return Accuracy.of([float(each.greedy) for each in scorer(pairs)], chance=0.0)


def balanced(items: Sequence[tuple[str, str, str]], size: int, rng: random.Random) -> list[Question]:
    """Questions that nobody answers by liking some answers better than others.

    Each item is a context, a continuation with a gap {}, and the answer that belongs into the gap. Items are put into
    groups of `size` different answers, and each item of a group has all of these answers to choose among. So in a group
    each answer is right once, and whoever always prefers the same one gets exactly 1 / size of the raw scores right.
    Items are dropped when fewer than `size` different answers are left.
    """
    waiting: dict[str, list[tuple[str, str, str]]] = {}
    for item in rng.sample(list(items), len(items)):
        waiting.setdefault(item[2], []).append(item)
    questions = []
    while sum(map(bool, waiting.values())) >= size:
        # The commonest answers first, so that few items are left over.
        answers = sorted(waiting, key=lambda answer: -len(waiting[answer]))[:size]
        for context, continuation, answer in [waiting[answer].pop() for answer in answers]:
            choices = rng.sample(answers, size)
            filled = tuple(continuation.format(choice) for choice in choices)
            questions.append(Question(context, filled, choices.index(answer)))
    return questions
