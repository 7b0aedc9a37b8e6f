"""The linear classifier of lines."""

import pytest
import torch

from moshi_ref.corpus.classifier import LineClassifier, buckets

FRUIT = ["an apple and a pear", "two plums", "the pear tree", "apple juice", "ripe plums and pears"]
TOOLS = ["a hammer and a saw", "two nails", "the saw is sharp", "hammer it in", "rusty nails and saws"]


@pytest.fixture(scope="module")
def classifier() -> LineClassifier:
    return LineClassifier.train({"fruit": FRUIT, "tools": TOOLS})


def test_it_learns(classifier):
    assert classifier.classes == ("fruit", "tools")
    assert min(classifier.probability("fruit", FRUIT)) > 0.9 > 0.1 > max(classifier.probability("fruit", TOOLS))
    assert classifier.probability("fruit", ["a plum and an apple"])[0] > 0.7
    assert classifier.probability("tools", ["a nail and a hammer"])[0] > 0.7


def test_probabilities(classifier):
    p = classifier.probabilities(["apple", "Hammer", "HAMMER", ""])
    assert p.shape == (4, 2)
    torch.testing.assert_close(p.sum(1), torch.ones(4))
    assert p[1].equal(p[2])
    assert classifier.probabilities([]).shape == (0, 2) and classifier.probability("fruit", []) == []


def test_pieces():
    """Of " ab ": 3 of two bytes, 2 of three, 1 of four."""
    assert len(buckets("ab")) == 6 and buckets("ab").equal(buckets("AB"))
    assert len(buckets("")) == 1


def test_training_is_deterministic(classifier):
    again = LineClassifier.train({"fruit": FRUIT, "tools": TOOLS})
    assert again.weights.weight.equal(classifier.weights.weight)


@pytest.mark.parametrize("lines", [{"one": ["a"]}, {"one": ["a"], "two": []}])
def test_too_little_to_learn_from(lines):
    with pytest.raises(ValueError, match="at least two classes"):
        LineClassifier.train(lines)
