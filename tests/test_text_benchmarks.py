"""The small world's own benchmarks: whoever has not read, is at chance; whoever counts words, knows what was told."""

import math
import os
import re
import zlib
from collections import Counter
from functools import partial

import pytest
import torch

from moshi_ref.corpus.documents import documents
from moshi_ref.corpus.facts import PEOPLE
from moshi_ref.corpus.small_world import held_out_pairs
from moshi_ref.evaluation.likelihood import Likelihood, likelihoods
from moshi_ref.evaluation.multiple_choice import evaluate
from moshi_ref.evaluation.text_benchmarks import benchmarks

SIZES = {"read": 260, "read_anew": 260, "held_out": 124, "known_sums": 80, "sums": 20, "endings": 60}


@pytest.fixture(scope="module")
def questions():
    return benchmarks(seed=0, stories=30)


def test_sizes(questions):
    assert {name: len(each) for name, each in questions.items()} == SIZES
    assert questions == benchmarks(seed=0, stories=30) != benchmarks(seed=1, stories=30)
    for name, each in questions.items():
        assert {len(question.choices) for question in each} == {2 if name == "endings" else 4}
        assert len({question.context for question in each}) == len(each)


@pytest.mark.parametrize("name", SIZES)
def test_the_choices_alone_tell_nothing(questions, name):
    """A scorer with a taste for some answers that does not read the question, whatever its taste, is at chance."""
    for seed in range(3):
        scores = []
        for question in questions[name]:
            shared = len(os.path.commonprefix(question.choices))
            answers = [f"{seed} {choice[shared:]}" for choice in question.choices]
            scores += [Likelihood(-float(zlib.crc32(answer.encode())), False) for answer in answers]
        result = evaluate(lambda pairs, scores=scores: scores, questions[name])
        assert result.raw.value == pytest.approx(result.raw.chance)


@pytest.mark.parametrize("name", SIZES)
def test_a_uniform_model_is_at_chance(questions, tokenizer, name):
    """From tokens to accuracy: each token is as probable as any other, so the shortest choice is preferred, and in
    balanced choices that gains nothing."""

    def uniform(tokens):
        return torch.zeros(*tokens.shape, len(tokenizer))

    result = evaluate(partial(likelihoods, uniform, tokenizer), questions[name])
    assert result.raw.value == pytest.approx(result.raw.chance)


def test_the_sums_are_held_out(questions):
    asked = {tuple(re.findall(r"is (\w+) plus (\w+)\?", question.context)[0]) for question in questions["sums"]}
    assert len(asked) == len(held_out_pairs("sum")) == 20
    for question in questions["sums"] + questions["known_sums"]:
        assert question.context.startswith("User: What is ") and question.context.endswith(" Moshi:")


def test_who_counts_words_knows_what_was_told_and_nothing_else(questions):
    """A guesser without grammar: in how many training documents does the last word of a choice occur together with the
    person who is asked about? It knows what may be read. On the held-out facts it is at chance, so no trace of them,
    in whatever words, is in the training text."""
    together, alone = Counter(), Counter()
    for text in documents(1.5, seed=0):
        words = set(re.findall(r"\w+", text))
        alone.update(words)
        together.update((person, word) for person in words.intersection(PEOPLE) for word in words)

    def guesser(pairs):
        scores = []
        for context, choice in pairs:
            person = next(word for word in re.findall(r"\w+", context) if word in PEOPLE)
            word = choice.removesuffix(".").split()[-1]
            scores.append(Likelihood(math.log((together[person, word] + 0.1) / (alone[word] + 1)), False))
        return scores

    assert evaluate(guesser, questions["read"]).raw.value > 0.95
    assert evaluate(guesser, questions["read_anew"]).raw.value > 0.95
    low, high = evaluate(guesser, questions["held_out"]).raw.interval
    assert low < 0.25 < high
