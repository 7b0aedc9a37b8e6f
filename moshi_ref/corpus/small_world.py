"""The small world: everything that users ask and Moshi answers in this course, as text.

Two digits and four things to do with them. The world is small enough for a laptop and large enough to ask
whether a model has understood: a fifth of all pairs of digits never occurs in training, so an answer about
one of them cannot have been learned by heart.
"""

from dataclasses import dataclass

NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
)  # fmt: skip
DIGITS = NUMBERS[:10]

# topic: (question, answer)
TEMPLATES = {
    "sum": ("what is {a} plus {b}", "{a} plus {b} is {sum}"),
    "repeat": ("repeat {a} {b}", "{a} {b}"),
    "compare": ("which is more {a} or {b}", "{max} is more"),
    "digits": ("{a} {b}", "{a} plus {b} is {sum}"),  # two bare digits: all that human speakers say
}
TOPICS = tuple(TEMPLATES)


@dataclass(frozen=True)
class Exchange:
    """One question, its only right answer, and the two digits it is about (none for words that are only read)."""

    topic: str
    question: str
    answer: str
    operands: tuple[int, ...]


def held_out(a: int, b: int) -> bool:
    """Whether a pair is kept for testing: those whose digits differ by 3 or by 7, 20 of the 100 pairs.

    The rule holds for (a, b) and (b, a) alike, so no test pair is the mirror image of a training pair, and it
    meets every digit. Every sum from 0 to 18 still has a pair that is used in training.
    """
    return abs(a - b) in (3, 7)


def _pairs(topic: str) -> list[tuple[int, int]]:
    """Every pair the topic can be asked about: all 100, but nothing can be more than itself."""
    if topic not in TEMPLATES:
        raise ValueError(f"topic must be one of {', '.join(TOPICS)}, got {topic!r}")
    return [(a, b) for a in range(10) for b in range(10) if topic != "compare" or a != b]


def known_pairs(topic: str) -> tuple[tuple[int, int], ...]:
    """The pairs that may occur in training."""
    return tuple(pair for pair in _pairs(topic) if not held_out(*pair))


def held_out_pairs(topic: str) -> tuple[tuple[int, int], ...]:
    """The pairs that occur only in tests."""
    return tuple(pair for pair in _pairs(topic) if held_out(*pair))


def exchange(topic: str, a: int, b: int) -> Exchange:
    """The question about digits a and b, 0..9, and its answer."""
    if (a, b) not in _pairs(topic):
        raise ValueError(f"{topic} needs two digits 0..9, and compare different ones; got {a} and {b}")
    words = {"a": NUMBERS[a], "b": NUMBERS[b], "sum": NUMBERS[a + b], "max": NUMBERS[max(a, b)]}
    question, answer = (template.format(**words) for template in TEMPLATES[topic])
    return Exchange(topic, question, answer, (a, b))


def sentences() -> list[str]:
    """Every text that can be heard in training, each once: the number words, then questions and answers.

    Only known pairs: a tokenizer trained on these sentences has not seen the test set either.
    """
    known = [exchange(topic, a, b) for topic in TOPICS for a, b in known_pairs(topic)]
    texts = [text for each in known for text in (each.question, each.answer)]
    return list(dict.fromkeys([*NUMBERS, *texts]))
