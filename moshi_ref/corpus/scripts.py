"""Scripts: what users ask and Moshi answers aloud, and what is read to it, written as Helium reads it.

In `small_world.py` a question is a row of lower-case words. Helium has learnt to write sentences, "Three plus four is
seven.", and what it knows is of use to Moshi only if Moshi's text stream is written in the same way. So a script is an
`Exchange` with capital letters and stops, in the very words of `documents.py`:

    fact                "Tell me, what does Ada work as?"  "Ada is a baker."
    sum                 "What is three plus four?"         "Three plus four is seven."
    digits              "three four"                       "Three plus four is seven."
    compare             "Which is more three or four?"     "Four is more."
    repeat              "Repeat three four."               "Three four."
    word                "Repeat harbour."                  "You said harbour."   (so it keeps its small letter)
    words               "Repeat Ada seven."                "Ada seven."
    count               "Count from two to four."          "Two, three, four."
    greeting, farewell  "Good night."                      "Good night, sleep well."

Three splits, by construction:

    train      what may be spoken in training; questions for facts in any of the many ways of `phrasings.py`
    test       held-out pairs of numbers, and facts in the phrasings of the test: neither read nor spoken in training
    unspoken   sums and facts that Helium reads in training, and that nobody says there. If Moshi knows them aloud, its
               knowledge has come from reading. Their words are all spoken elsewhere; only the facts are new.
"""

import random
import re
from itertools import combinations

from .documents import FAREWELLS, GREETINGS, LESSON_COMPARISONS, LESSON_SUMS, pair, tell
from .facts import FACTS, NEXT, READ, VILLAGE, Fact, Relation, sentence
from .phrasings import ask_aloud
from .small_world import NUMBERS, Exchange, exchange, held_out, held_out_pairs, known_pairs
from .stories import CHAIN, CONTEST, GIFTS, LOST, MESSAGE, MOVED, SWAPPED, WEATHER, draw_cast, whole
from .stories import tell as tell_story

# split: {topic: how often, relative to the others}
TOPICS = {
    "train": {"fact": 12, "sum": 4, "digits": 3, "compare": 2, "repeat": 2, "word": 3, "words": 6, "count": 2,
              "greeting": 1, "farewell": 1},
    "test": {"fact": 8, "sum": 4, "digits": 3, "compare": 2, "repeat": 2, "count": 2},
    "unspoken": {"fact": 3, "sum": 1},
}  # fmt: skip
BACKCHANNELS = ("Uh huh.", "Hmm.", "Yes.", "Right.", "Okay.", "I see.")  # not "Mm hmm.": eSpeak spells "Mm"
INTERRUPTIONS = ("Stop.", "Wait.", "Stop please.", "Hold on.")
HIGHEST, LONGEST = 12, 5  # up to where one counts, and how far at most
SHARE = 0.2  # of the facts of nature that stay unspoken
ROWS = 1_000  # of words to be repeated
READING = 18  # words of a reading at most
STORIES = (LOST, SWAPPED, GIFTS, MOVED, CONTEST, MESSAGE, WEATHER, CHAIN)  # the plots that tell no fact and no sum
STOPS = '.,?!"'
SENTENCE_END = re.compile(r'(?<=[.!?]) (?=[A-Z"])|(?<=[.!?]") (?=[A-Z"])')


# --- What is read and never spoken ----------------------------------------------------------------


def unspoken(a: int, b: int) -> bool:
    """Whether a sum is read but never spoken in training: of digits that differ by 5 or by 6, 18 of the 80 pairs.

    As with `held_out`, (a, b) goes with (b, a), every digit occurs, and so does every sum in another, spoken pair.
    """
    return abs(a - b) in (5, 6)


def unspoken_pairs() -> tuple[tuple[int, int], ...]:
    """The sums that only Helium knows."""
    return tuple(each for each in known_pairs("sum") if unspoken(*each))


def spoken_pairs(topic: str) -> tuple[tuple[int, int], ...]:
    """The pairs that may be spoken in training. What is unspoken are sums: to compare or repeat is another matter."""
    sums = topic in ("sum", "digits")
    return tuple(each for each in known_pairs(topic) if not (sums and unspoken(*each)))


def _choose(relation: Relation) -> list[Fact]:
    """The facts of a relation that stay unspoken.

    Of the village, as many as there are objects, each object once: so, again, its frequency is no help. Of nature, a
    random fifth, each opposite together with its reverse. Never which number follows which, for counting tells that.
    """
    facts = [fact for fact in READ if fact.relation == relation and fact.subject not in NUMBERS]
    if relation in VILLAGE:
        return facts[: len(VILLAGE[relation])]
    ends = sorted({tuple(sorted((fact.subject, fact.object))) for fact in facts})
    chosen = random.Random(f"unspoken {relation.name}").sample(ends, round(len(ends) * SHARE))
    return [fact for fact in facts if tuple(sorted((fact.subject, fact.object))) in chosen]


RELATIONS = list(dict.fromkeys(fact.relation for fact in FACTS))
UNSPOKEN = tuple(fact for relation in RELATIONS for fact in _choose(relation))
SPOKEN = tuple(fact for fact in READ if fact not in set(UNSPOKEN))
WORDS = sorted({word for fact in FACTS for word in (fact.subject, fact.object)} - set(NUMBERS))  # names, things, places

# subject: the facts about it that may be spoken
SPOKEN_ABOUT: dict[str, list[Fact]] = {}
for _fact in SPOKEN:
    SPOKEN_ABOUT.setdefault(_fact.subject, []).append(_fact)
ENDS = {frozenset((fact.subject, fact.object)) for fact in FACTS}


def _draw_rows() -> list[tuple[str, ...]]:
    """Rows of two or three words for somebody to repeat: too many to be learnt by heart, as the pairs of numbers can
    be. No two words of a row are the ends of a fact, whether it is spoken or not, and no row has two numbers. The first
    is a name or a number, for these occur with a capital letter in the text, too; other words would have to be spelled.
    """
    rng, rows = random.Random("rows of words"), set()
    numbers, names = NUMBERS[: HIGHEST + 1], [word for word in WORDS if word[0].isupper()]
    while len(rows) < ROWS:
        row = [rng.choice(numbers if rng.random() < 0.4 else names), *rng.sample(WORDS, rng.choice((1, 2)))]
        if row[0] not in numbers and rng.random() < 0.5:
            row[-1] = rng.choice(numbers)
        if len(set(row)) == len(row) and not any(frozenset(two) in ENDS for two in combinations(row, 2)):
            rows.add(tuple(row))
    return sorted(rows)


WORD_ROWS = _draw_rows()


# --- Questions and answers ------------------------------------------------------------------------


def written(about: Exchange) -> Exchange:
    """An exchange of `small_world.py`, written as Helium reads it. Bare digits stay bare: they are no sentence."""
    stops = {"sum": "?", "compare": "?", "repeat": "."}
    question = sentence(about.question, stops[about.topic]) if about.topic in stops else about.question
    return Exchange(about.topic, question, sentence(about.answer), about.operands)


def ranges(split: str) -> list[tuple[int, int]]:
    """From where to where one counts. In training never over a distance that `held_out` keeps for the test."""
    every = [(a, b) for a in range(1, HIGHEST) for b in range(a + 1, min(a + LONGEST, HIGHEST) + 1)]
    return [each for each in every if held_out(*each) == (split == "test")]


def counting(a: int, b: int) -> Exchange:
    """The script of counting from a to b."""
    question = sentence(f"count from {NUMBERS[a]} to {NUMBERS[b]}")
    return Exchange("count", question, sentence(", ".join(NUMBERS[a : b + 1])), ())


def script(topic: str, rng: random.Random, split: str = "train") -> Exchange:
    """A random script of a topic. Raises ValueError if the split has no such topic."""
    if topic not in TOPICS.get(split, ()):
        raise ValueError(f"expected a split and one of its topics, {TOPICS}; got {split!r} and {topic!r}")
    match topic:
        case "fact":
            fact = rng.choice(UNSPOKEN if split == "unspoken" else SPOKEN)
            question = fact.ask(fact.relation.test_question) if split == "test" else ask_aloud(fact, rng)
            return Exchange(topic, question, fact.answer, ())
        case "word":
            word = rng.choice(WORDS)
            return Exchange(topic, sentence(f"repeat {word}"), sentence(f"you said {word}"), ())
        case "words":
            row = " ".join(rng.choice(WORD_ROWS))
            return Exchange(topic, sentence(f"repeat {row}"), sentence(row), ())
        case "count":
            return counting(*rng.choice(ranges(split)))
        case "greeting" | "farewell":
            return Exchange(topic, *rng.choice(GREETINGS if topic == "greeting" else FAREWELLS), ())
        case _:
            pairs = {"train": spoken_pairs, "test": held_out_pairs, "unspoken": lambda _: unspoken_pairs()}[split]
            return written(exchange(topic, *rng.choice(pairs(topic))))


def draw_script(rng: random.Random, split: str = "train") -> Exchange:
    """A random script of split "train", "test" or "unspoken"; raises ValueError for another."""
    if split not in TOPICS:
        raise ValueError(f"split must be one of {', '.join(TOPICS)}, got {split!r}")
    topic = rng.choices(list(TOPICS[split]), list(TOPICS[split].values()))[0]
    return script(topic, rng, split)


def plain(text: str) -> str:
    """The words of a written text in small letters and without stops: "Two, three." is "two three"."""
    words = (word.lower().strip(STOPS) for word in text.split())
    return " ".join(word for word in words if word)


# --- Readings -------------------------------------------------------------------------------------


def _portrait(rng: random.Random) -> list[str]:
    """What may be said about somebody or something."""
    facts = SPOKEN_ABOUT[rng.choice(list(SPOKEN_ABOUT))]
    return [tell(fact, rng, "train") for fact in rng.sample(facts, min(3, len(facts)))]


def _lesson(rng: random.Random) -> list[str]:
    """A sum, a comparison, and what follows what."""
    a, b = rng.choice(spoken_pairs("sum"))
    low, high = sorted(pair("compare", rng, "train"))
    total = rng.choice(LESSON_SUMS).format(a=NUMBERS[a], b=NUMBERS[b], total=NUMBERS[a + b])
    comparison = rng.choice(LESSON_COMPARISONS).format(high=NUMBERS[high], low=NUMBERS[low])
    row = tell(rng.choice([fact for fact in SPOKEN if fact.relation == NEXT]), rng, "train")
    return rng.sample([sentence(total), sentence(comparison), row], 3)


def _story(rng: random.Random) -> list[str]:
    """A paragraph of a story in which no fact is told, not even in passing."""
    cast = draw_cast(rng, "train") | {"aside": "", "aside2": ""}
    text = whole(tell_story(rng.choice(STORIES), cast, str(rng.random())))
    return SENTENCE_END.split(rng.choice(text.split("\n")).strip())


def reading(rng: random.Random) -> str:
    """Sentences that follow each other, for somebody to read aloud: at most `READING` words."""
    while True:
        sentences = rng.choice((_portrait, _lesson, _story))(rng)
        begin = rng.randrange(len(sentences))
        words = [each.split() for each in sentences[begin : begin + rng.randint(1, 3)]]
        while words and sum(map(len, words)) > READING:
            words.pop()
        if words:
            return " ".join(word for each in words for word in each)
