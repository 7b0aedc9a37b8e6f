"""What a text model has learnt of the small world: its own benchmarks, in the form of the paper's Table 2.

    read, read_anew    facts that the training text tells; asked as there, and in a phrasing that occurs only here
    held_out           facts that no training text tells: an honest model is at chance, 25 %
    known_sums, sums   sums of pairs of digits that occur in training, and of pairs that never do
    endings            does the model prefer the consistent end of a new story? Chance is 50 %

The choices are balanced (`multiple_choice.balanced`, `stories.twins`), so a preference for an answer, or a good ear for
the language, gains nothing: only what was read counts.
"""

import random
from dataclasses import replace

from ..corpus.documents import turn_text
from ..corpus.facts import HELD_OUT, READ, VILLAGE, Fact
from ..corpus.small_world import NUMBERS, exchange, held_out_pairs, known_pairs
from ..corpus.stories import twins
from .multiple_choice import Question, balanced

CHOICES = 4


def fact_item(fact: Fact, split: str, rng: random.Random) -> tuple[str, str, str]:
    """Context, answer with a gap, and what belongs into the gap."""
    question = fact.ask(rng.choice(fact.relation.questions_of(split)))
    return turn_text(question), " " + replace(fact, object="{}").answer, fact.object


def fact_questions(facts: tuple[Fact, ...], split: str, seed: int) -> list[Question]:
    """A question for each of these facts about the people, phrased as in split "train" or "test"."""
    rng, questions = random.Random(f"fact questions {seed}"), []
    for relation in VILLAGE:
        items = [fact_item(fact, split, rng) for fact in facts if fact.relation == relation]
        questions += balanced(items, CHOICES, rng)
    return questions


def sum_questions(pairs: tuple[tuple[int, int], ...], seed: int) -> list[Question]:
    """A question for each pair of digits, in the words in which Moshi is asked aloud."""
    items = []
    for a, b in pairs:
        question = exchange("sum", a, b).question.capitalize() + "?"
        items.append((turn_text(question), f" {NUMBERS[a].capitalize()} plus {NUMBERS[b]} is {{}}.", NUMBERS[a + b]))
    return balanced(items, CHOICES, random.Random(f"sum questions {seed}"))


def ending_questions(count: int, seed: int) -> list[Question]:
    """`count` stories of split "test", and of each its twin, for which the other ending is right."""
    rng, questions = random.Random(f"ending questions {seed}"), []
    for i in range(count):
        for told in twins(f"ending {seed} {i}", "test"):
            endings, answer = [told.wrong_ending], rng.randrange(2)
            endings.insert(answer, told.ending)
            questions.append(Question(told.text, tuple(" " + ending for ending in endings), answer))
    return questions


def benchmarks(seed: int = 0, stories: int = 100) -> dict[str, list[Question]]:
    """All benchmarks by name. Twins and the four of a group hang together, so the intervals, which take questions for
    independent, are only about right."""
    return {
        "read": fact_questions(READ, "train", seed),
        "read_anew": fact_questions(READ, "test", seed),
        "held_out": fact_questions(HELD_OUT, "train", seed),
        "known_sums": sum_questions(known_pairs("sum"), seed),
        "sums": sum_questions(held_out_pairs("sum"), seed),
        "endings": ending_questions(stories, seed),
    }
