"""The text of the small world: what Helium reads.

Four kinds of documents, drawn at random:

    story       see `stories.py`
    portrait    facts about somebody or something, and about what these lead to
    lesson      sums, comparisons, and what follows what
    dialogue    a user asks, Moshi answers: what Moshi will later do aloud

A paragraph is a line. Document number i depends only on the seed, the split and i, so a longer corpus begins with the
shorter one. Split "train" tells only facts that may be read, in training phrasings, and known pairs of numbers. Split
"test" tells the same facts in the phrasings of the test, and the held-out pairs; held-out facts are told in neither.
"""

import random
from collections.abc import Iterator

from .facts import ABOUT, NEXT, OPPOSITE, READ, Fact, sentence
from .small_world import NUMBERS, exchange, held_out_pairs, known_pairs
from .stories import story

KINDS = {"story": 6, "portrait": 2, "lesson": 1, "dialogue": 4}  # and how often, relative to each other
GREETINGS = (
    ("Hello.", "Hello, what can I do for you?"), ("Hi Moshi.", "Hi, it is nice to hear from you."),
    ("Good morning.", "Good morning, how are you?"), ("Hey, how are you?", "I am fine, thank you."),
    ("Are you there?", "Yes, I am listening."), ("Good evening, Moshi.", "Good evening, what would you like to know?"),
)  # fmt: skip
FAREWELLS = (
    ("Thank you.", "You are welcome."), ("Bye.", "Goodbye, and have a nice day."), ("That is all.", "See you soon."),
    ("Good night.", "Good night, sleep well."), ("I have to go now.", "Until next time."),
)  # fmt: skip
LESSON_SUMS = ("{a} plus {b} is {total}", "{a} and {b} make {total}", "if you add {a} and {b}, you get {total}")
LESSON_COMPARISONS = ("{high} is more than {low}", "{low} is less than {high}")


def tell(fact: Fact, rng: random.Random, split: str) -> str:
    """The fact in one of the split's statements."""
    return fact.tell(rng.choice(fact.relation.statements_of(split)))


def pair(topic: str, rng: random.Random, split: str) -> tuple[int, int]:
    """Two digits that the split may ask about."""
    return rng.choice((known_pairs if split == "train" else held_out_pairs)(topic))


def portrait(rng: random.Random, split: str) -> str:
    """Several facts about a subject, and, in further paragraphs, about the objects that they mention."""
    lines, subjects = [], [rng.choice([subject for subject, facts in ABOUT.items() if len(facts) > 1])]
    for subject in subjects:
        facts = rng.sample(ABOUT[subject], min(len(ABOUT[subject]), rng.randint(3, 6)))
        lines.append(" ".join(tell(fact, rng, split) for fact in facts))
        if len(subjects) < 4:
            subjects += [fact.object for fact in facts if fact.object in ABOUT and fact.object not in subjects][:2]
    return "\n".join(lines)


def lesson(rng: random.Random, split: str) -> str:
    """A paragraph of sums, one of comparisons, and one of what follows what and what opposes what."""
    sums, comparisons = [], []
    for _ in range(rng.randint(3, 6)):
        a, b = pair("sum", rng, split)
        template = rng.choice(LESSON_SUMS)
        sums.append(sentence(template.format(a=NUMBERS[a], b=NUMBERS[b], total=NUMBERS[a + b])))
    for _ in range(rng.randint(2, 5)):
        low, high = sorted(pair("compare", rng, split))
        comparisons.append(sentence(rng.choice(LESSON_COMPARISONS).format(high=NUMBERS[high], low=NUMBERS[low])))
    rows = rng.sample([fact for fact in READ if fact.relation in (NEXT, OPPOSITE)], rng.randint(2, 5))
    paragraphs = [sums, comparisons, [tell(fact, rng, split) for fact in rows]]
    rng.shuffle(paragraphs)
    return "\n".join(" ".join(paragraph) for paragraph in paragraphs)


def small_world_turn(rng: random.Random, split: str) -> tuple[str, str]:
    """A sum, a repetition or a comparison, in the words in which Moshi is asked aloud."""
    topic = rng.choice(("sum", "repeat", "compare"))
    about = exchange(topic, *pair(topic, rng, split))
    return sentence(about.question, "." if topic == "repeat" else "?"), sentence(about.answer)


def fact_turn(rng: random.Random, split: str) -> tuple[str, str]:
    """A question about a fact, and Moshi's answer."""
    fact = rng.choice(READ)
    return fact.ask(rng.choice(fact.relation.questions_of(split))), fact.answer


def dialogue(rng: random.Random, split: str) -> str:
    """A user and Moshi; each turn, a question and its answer, is a line."""
    turns = [rng.choice((fact_turn, fact_turn, small_world_turn))(rng, split) for _ in range(rng.randint(2, 7))]
    turns = [rng.choice(GREETINGS)] * (rng.random() < 0.5) + turns + [rng.choice(FAREWELLS)] * (rng.random() < 0.5)
    return "\n".join(turn_text(*turn) for turn in turns)


def turn_text(question: str, answer: str = "") -> str:
    """How a turn is written. Without an answer it stops where Moshi's answer would begin."""
    return f"User: {question} Moshi: {answer}".rstrip()


def document(index: int, seed: int, split: str) -> tuple[str, str]:
    """Document number `index`, and of which kind it is."""
    key = f"{seed} {index}"
    rng = random.Random(f"document {split} {key}")
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    if kind == "story":
        return kind, story(key, split)
    return kind, {"portrait": portrait, "lesson": lesson, "dialogue": dialogue}[kind](rng, split)


def documents(megabytes: float, seed: int, split: str = "train") -> Iterator[str]:
    """Documents until there are so many megabytes (a million bytes of UTF-8, newlines between documents counted).

    Raises ValueError for a split other than "train" and "test".
    """
    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    index, left = 0, megabytes * 1e6
    while left > 0:
        text = document(index, seed, split)[1]
        yield text
        index, left = index + 1, left - len(text.encode()) - 1
