"""The facts of the small world: what there is to know in it, and in which words it is told and asked.

A fact is a triple: subject, relation, object. There are two kinds.

    nature     cows say moo, bakers bake bread, Tuesday comes after Monday: written down below
    village    what 48 people do, eat and play, and where they live: drawn once and for all at random

The village is what a benchmark needs. Its facts follow from nothing, so whoever knows one has read it. A third of
them is held out: no training text ever tells them, and on questions about them an honest model must be at chance.
In each relation every object belongs to equally many people, and to equally many of the held-out ones, so neither
the frequency of an object nor the search for those that are left over helps to guess.

Phrasings are held out too: of each relation one way to tell it and one way to ask for it occur only in tests.
"""

import random
from dataclasses import dataclass

from .small_world import NUMBERS

WOMEN = """
Ada Anna Bea Clara Dora Edith Ella Emma Fay Grace Hanna Ida Iris Jane Kate Laura Lena Lucy Maria Nina Olga Rosa Ruth
Vera
""".split()
MEN = """
Adam Albert Ben Carl Daniel David Edgar Felix Frank George Harry Hugo Jack Jacob Leo Lukas Martin Max Noah Oscar Paul
Peter Simon Thomas
""".split()
PEOPLE = WOMEN + MEN

DAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
MONTHS = tuple("January February March April May June July August September October November December".split())


@dataclass(frozen=True)
class Relation:
    """In which words a kind of fact is told and asked; {subject} and {object} stand for the two ends."""

    name: str
    statements: tuple[str, ...]  # the first is how Moshi answers, and has its object at the end
    questions: tuple[str, ...]
    test_statement: str
    test_question: str

    def statements_of(self, split: str) -> tuple[str, ...]:
        """The ways to tell it in split "train" or "test"."""
        return {"train": self.statements, "test": (self.test_statement,)}[split]

    def questions_of(self, split: str) -> tuple[str, ...]:
        """The ways to ask for it in split "train" or "test"."""
        return {"train": self.questions, "test": (self.test_question,)}[split]


@dataclass(frozen=True)
class Fact:
    relation: Relation
    subject: str
    object: str
    held_out: bool = False

    def tell(self, statement: str) -> str:
        """The fact as a sentence, by one of the relation's statements."""
        return sentence(statement.format(subject=self.subject, object=self.object))

    def ask(self, question: str) -> str:
        """The question for the fact, by one of the relation's questions."""
        return sentence(question.format(subject=self.subject), "?")

    @property
    def answer(self) -> str:
        """What Moshi answers."""
        return self.tell(self.relation.statements[0])


def sentence(words: str, stop: str = ".") -> str:
    """Words with a capital letter before and a full stop after them."""
    return words[0].upper() + words[1:] + stop


# --- The village ----------------------------------------------------------------------------------

JOB = Relation(
    "job",
    ("{subject} is a {object}", "{subject} works as a {object}", "{subject} became a {object} long ago"),
    ("what is the job of {subject}", "what does {subject} do for a living"),
    "{subject} earns money as a {object}", "which job does {subject} have",
)  # fmt: skip
HOME = Relation(
    "home",
    ("{subject} lives {object}", "the house of {subject} stands {object}", "{subject} has a small house {object}"),
    ("where does {subject} live", "where is the house of {subject}"),
    "you find the home of {subject} {object}", "where can I find the home of {subject}",
)  # fmt: skip
COLOUR = Relation(
    "colour",
    ("the favourite colour of {subject} is {object}", "of all colours, {subject} likes {object}",
     "{subject} wears {object} on most days"),
    ("what is the favourite colour of {subject}", "which colour does {subject} like"),
    "the colour that {subject} loves most is {object}", "what colour would {subject} choose",
)  # fmt: skip
FOOD = Relation(
    "food",
    ("{subject} likes to eat {object}", "the favourite food of {subject} is {object}",
     "for dinner {subject} wants {object}"),
    ("what does {subject} like to eat", "what is the favourite food of {subject}"),
    "nothing tastes better to {subject} than {object}", "which food does {subject} love",
)  # fmt: skip
PET = Relation(
    "pet",
    ("{subject} has a {object}", "{subject} keeps a {object}", "the animal in the yard of {subject} is a {object}"),
    ("which animal does {subject} have", "which animal does {subject} keep"),
    "{subject} looks after a {object}", "what kind of animal lives with {subject}",
)  # fmt: skip
NUMBER = Relation(
    "number",
    ("{subject} lives in house number {object}", "the door of {subject} has the number {object}",
     "the number of the house of {subject} is {object}"),
    ("what is the house number of {subject}", "what number is on the door of {subject}"),
    "to visit {subject}, look for number {object}", "which number does the house of {subject} have",
)  # fmt: skip
MONTH = Relation(
    "month",
    ("{subject} was born in {object}", "the birthday of {subject} is in {object}",
     "in {object}, {subject} has a birthday"),
    ("when was {subject} born", "when is the birthday of {subject}"),
    "{subject} grows a year older in {object}", "in which month was {subject} born",
)  # fmt: skip
MUSIC = Relation(
    "music",
    ("{subject} plays the {object}", "in the evening {subject} plays the {object}",
     "{subject} has learnt to play the {object}"),
    ("what does {subject} play", "which instrument does {subject} play"),
    "the music of {subject} comes from the {object}", "on what does {subject} make music",
)  # fmt: skip

# The number of objects divides the number of people, and 4 divides it, for questions with four choices.
VILLAGE = {
    JOB: tuple("baker farmer teacher doctor gardener painter sailor miller".split()),
    HOME: ("by the river", "on the hill", "near the mill", "at the harbour", "behind the church",
           "beside the forest", "on the square", "across the bridge"),
    COLOUR: tuple("red blue green yellow white black brown purple".split()),
    FOOD: tuple("bread cheese soup honey apples rice cake fish".split()),
    PET: tuple("dog cat horse goat rabbit duck hen parrot".split()),
    NUMBER: NUMBERS[1:9],
    MONTH: MONTHS,
    MUSIC: tuple("drum flute violin guitar piano trumpet harp organ".split()),
}  # fmt: skip


def draw_village(relation: Relation) -> list[Fact]:
    """One fact for each of the people: they stand in rows as long as the objects, in random order, and everyone
    gets the object of the column. The first third of the rows is held out."""
    objects, people = VILLAGE[relation], list(PEOPLE)
    random.Random(f"village {relation.name}").shuffle(people)
    rows = len(people) // len(objects)
    return [
        Fact(relation, person, objects[i % len(objects)], held_out=i // len(objects) < rows // 3)
        for i, person in enumerate(people)
    ]


# --- Nature ---------------------------------------------------------------------------------------

# animal: (sound, home, food)
ANIMALS = {
    "dog": ("woof", "kennel", "bones"), "cat": ("meow", "basket", "mice"), "cow": ("moo", "barn", "grass"),
    "horse": ("neigh", "stable", "hay"), "pig": ("oink", "sty", "potatoes"), "sheep": ("baa", "fold", "clover"),
    "goat": ("meh", "shed", "leaves"), "hen": ("cluck", "coop", "corn"), "duck": ("quack", "pond", "snails"),
    "goose": ("honk", "meadow", "seeds"), "bee": ("buzz", "hive", "nectar"), "frog": ("croak", "marsh", "flies"),
    "mouse": ("squeak", "hole", "crumbs"), "lion": ("roar", "cave", "meat"), "snake": ("hiss", "den", "eggs"),
    "wolf": ("howl", "forest", "hares"), "crow": ("caw", "nest", "berries"), "donkey": ("hee-haw", "yard", "thistles"),
}  # fmt: skip
# job: (place, what one does there)
JOBS = {
    "baker": ("bakery", "bakes bread"), "farmer": ("field", "grows corn"), "teacher": ("school", "teaches children"),
    "doctor": ("hospital", "helps the sick"), "gardener": ("garden", "plants flowers"),
    "painter": ("workshop", "paints pictures"), "sailor": ("harbour", "sails a ship"),
    "miller": ("mill", "grinds flour"),
}  # fmt: skip
COLOURS = {
    "grass": "green", "snow": "white", "coal": "black", "sky": "blue", "sun": "yellow", "tomato": "red",
    "bark": "brown", "plum": "purple", "lemon": "yellow", "milk": "white", "raven": "black", "cherry": "red",
}  # fmt: skip
CLOSED = dict(zip("bakery library mill museum workshop market school".split(), DAYS, strict=True))
OPPOSITES = (
    "hot cold", "big small", "old new", "fast slow", "day night", "summer winter", "open closed", "full empty",
    "wet dry", "hard soft", "early late", "near far",
)  # fmt: skip

SOUND = Relation(
    "sound",
    ("the {subject} says {object}", "when a {subject} is hungry, it says {object}"),
    ("what does the {subject} say", "what sound does the {subject} make"),
    "{object} is the sound of a {subject}", "how does a {subject} sound",
)  # fmt: skip
SHELTER = Relation(
    "shelter",
    ("the {subject} sleeps in the {object}", "the {object} is the home of the {subject}"),
    ("where does the {subject} sleep", "where is the {subject} at night"),
    "at night the {subject} goes to the {object}", "which place is the home of the {subject}",
)  # fmt: skip
FODDER = Relation(
    "fodder",
    ("the {subject} eats {object}", "a hungry {subject} looks for {object}"),
    ("what does the {subject} eat", "what is the food of the {subject}"),
    "you can feed a {subject} with {object}", "with what do you feed a {subject}",
)  # fmt: skip
WORKPLACE = Relation(
    "workplace",
    ("a {subject} works at the {object}", "at the {object} you can meet the {subject}"),
    ("where does a {subject} work", "where can I meet the {subject}"),
    "every day the {subject} goes to the {object}", "at which place does a {subject} spend the day",
)  # fmt: skip
TASK = Relation(
    "task",
    ("a {subject} {object}", "all day long the {subject} {object}"),
    ("what does a {subject} do", "what does the {subject} do all day"),
    "it is the {subject} who {object}", "how does a {subject} spend the day",
)  # fmt: skip
LOOK = Relation(
    "look",
    ("the {subject} is {object}", "the colour of the {subject} is {object}"),
    ("which colour is the {subject}", "what is the colour of the {subject}"),
    "everyone can see that the {subject} is {object}", "what does the {subject} look like",
)  # fmt: skip
CLOSING = Relation(
    "closing",
    ("the {subject} is closed on {object}", "nobody works at the {subject} on {object}"),
    ("when is the {subject} closed", "on which day is the {subject} closed"),
    "the {subject} does not open on {object}", "on which day should I not go to the {subject}",
)  # fmt: skip
NEXT = Relation(
    "next",
    ("after {subject} comes {object}", "{object} follows {subject}"),
    ("what comes after {subject}", "what follows {subject}"),
    "next after {subject} is {object}", "what is next after {subject}",
)  # fmt: skip
OPPOSITE = Relation(
    "opposite",
    ("the opposite of {subject} is {object}", "what is not {subject} may be {object}"),
    ("what is the opposite of {subject}", "which word means the opposite of {subject}"),
    "if it is the contrary of {subject}, it is {object}", "what is the contrary of {subject}",
)  # fmt: skip


def nature() -> list[Fact]:
    """Every fact that is not about one of the people. All of them may be read."""
    pairs = {relation: [] for relation in (SOUND, SHELTER, FODDER, WORKPLACE, TASK)}
    for animal, objects in ANIMALS.items():
        for relation, thing in zip((SOUND, SHELTER, FODDER), objects, strict=True):
            pairs[relation].append((animal, thing))
    for job, objects in JOBS.items():
        for relation, thing in zip((WORKPLACE, TASK), objects, strict=True):
            pairs[relation].append((job, thing))
    pairs |= {LOOK: list(COLOURS.items()), CLOSING: list(CLOSED.items())}
    following = [(row[i], row[(i + 1) % len(row)]) for row in (DAYS, MONTHS) for i in range(len(row))]
    pairs[NEXT] = following + list(zip(NUMBERS, NUMBERS[1:], strict=False))
    words = [pair.split() for pair in OPPOSITES]
    pairs[OPPOSITE] = [(a, b) for a, b in words] + [(b, a) for a, b in words]
    return [Fact(relation, *pair) for relation, each in pairs.items() for pair in each]


NATURE = tuple(nature())
FACTS = NATURE + tuple(fact for relation in VILLAGE for fact in draw_village(relation))
READ = tuple(fact for fact in FACTS if not fact.held_out)
HELD_OUT = tuple(fact for fact in FACTS if fact.held_out)

# subject: the facts about it that may be read
ABOUT: dict[str, list[Fact]] = {}
for fact in READ:
    ABOUT.setdefault(fact.subject, []).append(fact)
