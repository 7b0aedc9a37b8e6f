"""Short stories of the small world: twelve plots, told in very many ways.

A story is a cast (people, things, places, numbers) and a plot. A plot is text with two kinds of gaps:

    [in the morning|at noon]    one of these, at random; they may be nested, and one may be empty
    {hero}                      filled in from the cast, so that what is lost is what is found

Stories have causes and effects, people talk in them, and they tell facts in passing. Each plot ends with a sentence
that follows from the story, and knows a wrong ending which mixes up two members of the cast. The same story with
these two exchanged makes the wrong ending right. Such twins make a test that nobody passes without reading the story.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .facts import ABOUT, ANIMALS, CLOSED, DAYS, MEN, PEOPLE
from .small_world import NUMBERS, held_out_pairs, known_pairs

GAP = re.compile(r"\[([^\[\]]*)\]")  # an innermost one
SENTENCE_START = re.compile(r"(^|\n|[.!?] |\.\" |(?<![a-z])\")([a-z])")

THINGS = """
key ball lamp hat rope cup book bell spoon scarf basket coin ring box kite brush ribbon whistle map letter pen shell
button glove candle bottle jar hammer doll ladder blanket bucket mirror needle pillow barrow broom chain cork cushion
fan feather flag fork garland hook kettle lantern marble mask medal mug net paddle pan pipe plate pot pouch purse puzzle
rattle saddle sack sickle sponge stamp stool string tile toy tray trunk vase watch wheel
""".split()
LOOKS = """
small old new shiny heavy pretty wooden round broken fine dusty green red strange long short light plain silver golden
painted wet clean cheap rare lovely crooked yellow blue striped dark bright
""".split()
PLACES = """
mill bakery school library harbour garden market church field river bridge lake well tower barn square station inn
museum workshop chapel cottage farm orchard pond fountain theatre
""".split()
SPOTS = (
    "under a bench", "behind the gate", "beside the door", "under a stone", "in the long grass", "between two barrels",
    "behind a cart", "on the low wall", "next to the fence", "under the steps", "on a big stone", "behind the old tree",
    "under some leaves", "in an empty crate", "beside the path", "in the shade of the roof",
)  # fmt: skip
FRUITS = """
apples pears plums nuts eggs buns cherries lemons carrots mushrooms stones shells figs grapes onions beans cones acorns
leeks melons turnips daisies tulips
""".split()
SCENE = (
    "[The sun [shone|was warm|stood high]|A [cold|soft|strong] wind blew|[Grey|White|Dark] clouds [hung|moved] over the"
    " [hills|roofs|fields]|Rain had fallen before dawn|There was [frost|dew|dust] on the [ground|windows|leaves]|It was"
    " [warm|cool|quiet|misty]], and [birds sang in the trees|the streets were empty|smoke rose from the chimneys|"
    "[a dog barked|somebody whistled] far away|the air smelt of [bread|hay|flowers|apples|wood]|[nobody|everybody] was"
    " in a hurry|children played [in the yard|by the water|on the steps]|bees [hummed|flew] from flower to flower|"
    "an old man swept the [street|stairs]|two women carried [water|baskets] home|a [cart|coach] rolled by]. "
)
BRIDGE = "[That was not the end of it|There is more to tell about {hero}|But the week was not over|{hero} slept well]."

CAUSES = (
    ("it had rained all night", "the road was wet"), ("the sun had shone all day", "the grass was dry"),
    ("it had snowed", "the hill was white"), ("the wind blew hard", "leaves flew through the air"),
    ("the river was frozen", "they could walk on the ice"), ("the moon was full", "the night was bright"),
    ("the fog was thick", "nobody could see the church"), ("the oven had been too hot", "the bread was black"),
    ("the clock had stopped", "everyone came too late"), ("the bridge was broken", "they had to take the boat"),
    ("somebody had left the gate open", "the sheep were gone"), ("the candle had burnt down", "it was dark inside"),
    ("the well was empty", "there was no water for the flowers"), ("the band had come", "people danced in the street"),
    ("the roof had a hole", "the floor was full of water"), ("the baker was ill", "there were no cakes"),
    ("the king was coming", "flags hung from every window"), ("the rope had snapped", "the boat was far out"),
    ("the bees were angry", "nobody went into the garden"), ("a letter had come from far away", "they read it aloud"),
    ("the clouds had gone", "they could see the stars"), ("the lake was warm", "the children went for a swim"),
    ("a tree had fallen", "the street was blocked"), ("the teacher had lost the key", "the lesson was in the yard"),
)  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """A story with gaps, a paragraph a line, and its last sentence. `mixed_up` are the pairs of the cast that the
    wrong ending exchanges."""

    text: str
    ending: str
    mixed_up: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Story:
    """`text` without the last sentence, and two ways to go on: `ending` is consistent with the text."""

    text: str
    ending: str
    wrong_ending: str


MEETING = "[One|That] [morning|day|afternoon] {hero} [met|saw|came across] {friend} at the {place}"
THANKS = '"[Thank you|Thank you so much|How kind of you]!" said {hero}.'

LOST = Plot(
    "[One day|One morning|In the morning|Early on {day}] {hero} [walked|went|strolled|ran] to the {place}. "
    "{he} [carried|had] a {look} {thing}[, a gift from {his} [aunt|uncle|grandmother|teacher]|]. {aside}\n"
    "At the {place} {he} [met|found|saw] {friend}, who [carried|had] a {look2} {other}. They [talked|played|sat in the"
    " sun|told each other stories] [for a while|for an hour|until noon]. [Then|Soon after|When the bell rang] {hero}"
    " [looked into {his} bag|reached into {his} pocket|turned around], and the {thing} was [gone|not there].\n"
    '"[Have you seen|Did you take|Where is] my {thing}?" asked {hero}. "[I do not know|No, I have not seen it]," said '
    '{friend}. "[But I will help you|Let us look for it]."\n'
    "They looked {spot}[, but it was not there|, but found nothing]. They looked {spot2}, and there [it was|lay the "
    "{thing}]. [It had fallen out of the bag|The wind had blown it there|A dog had carried it there].\n" + THANKS,
    "[In the evening|Before it was dark|After that] {hero} went home with the {thing}.",
    (("thing", "other"),),
)
SWAPPED = Plot(
    "{hero} had a {look} {thing}, but {he} [wished for|wanted|dreamt of] a {other}[ more than anything|]. {aside}\n"
    + MEETING + ". {friend} had a {look2} {other} and [never used it|did not need it|was tired of it]. "
    '"[Will you give me|Can I have|May I have] your {other} for my {thing}?" asked {hero}. "[Yes|Gladly|Why not]," '
    'said {friend}. "[I need one|That is a fair trade|I have always wanted one]."\n'
    "So they [swapped|made the trade|shook hands on it]. [Both were happy|Neither of them was sorry]. {aside2}",
    "[In the evening|That night|After that] {hero} went home with the {other}.",
    (("thing", "other"),),
)  # fmt: skip
GIFTS = Plot(
    "[Tomorrow was a holiday|The feast was near|It was almost new year], and {hero} [wanted|had promised] to bring "
    "gifts to {friend} and {third}. {aside}\n"
    "[At the market|In a shop|At the {place}] {he} found a {look} {thing} and a {look2} {other}. "
    "[The {thing} was for {friend}, and the {other} was for {third}|The {other} was for {third}, and the {thing} was "
    "for {friend}]. {he} [wrapped both in paper|put both into boxes].\n"
    '"[What have you got there|What is in the bag]?" asked a neighbour. "[That is a secret|Wait and see]," '
    "said {hero}.\n{aside2}[In the evening|Next day] [the boxes were opened|they all met by the fire].",
    "[When {friend} opened the box|In the box for {friend}], there was a {thing}.",
    (("thing", "other"),),
)
MOVED = Plot(
    "{hero} [put|left] the {thing} {spot} and went to the {place}. {aside}\n"
    "[While {he} was away|Not long after], {friend} came [by|along] and [saw|found] the {thing}. "
    '"[That is no place for a {thing}|It will get lost here]," said {friend}, who [took|carried] it away and [put|laid]'
    " it {spot2}.\n[An hour later|Before dinner|At last] {hero} came back and looked for the {thing}. It was not where "
    '{he} had left it. "[Where is it|Who took it]?" {he} [asked|cried]. [{friend} [laughed|smiled] and showed {him} the'
    " right place|Then {friend} told {him} where it was].",
    "[So|In the end] {hero} found the {thing} {spot2}.",
    (("spot", "spot2"),),
)
HUNGRY = Plot(
    "{aside} [On the way to|On the way home from|Not far from] the {place} {hero} heard a [loud|soft|sad] noise. "
    '"{sound}, {sound}!" [Something moved|Something was hidden] {spot}. It was a [small|thin|young|tired] {animal}.\n'
    '[{hero} called {friend}. "What [can we do|is wrong with it]?" {he} asked. "[It is hungry|It wants to eat]," said '
    '{friend}. ["The {animal} eats {food}."|"You know what it likes."]|{he} knew that sound: the {animal} was '
    "hungry.]\nIn {his} bag {hero} had [some {food} and some {other_food}|some {other_food} and some {food}]. {he} "
    "[put both on the ground|laid everything on a stone] and [waited|stepped back].",
    "It ate the {food} and [went to sleep|was happy|was quiet].",
    (("animal", "other_animal"), ("sound", "other_sound"), ("food", "other_food")),
)
RUNAWAY = Plot(
    "[There was a fair at the {place}|The circus had come to the {place}], and a {animal} had [run away|got lost]. "
    "Everyone [looked for it|was looking for it]. {aside}\n"
    '"[How does it sound|What does it say]?" asked {hero}. "The {animal} says {sound}," said {friend}.\n'
    "They looked {spot}, and they looked {spot2}. [It was late|It grew dark|They were tired]. Then {hero} had an idea. "
    '"[Where would it sleep|Where does a {animal} feel at home]?" {he} asked. [They came to a {home} and then '
    "to a {other_home}|They came to a {other_home} and then to a {home}], and they looked into both.",
    "They found it in the {home}.",
    (("animal", "other_animal"), ("sound", "other_sound"), ("home", "other_home")),
)
MARKET = Plot(
    "[On {day}|One morning|Early in the day] {hero} [went to|was at] the market and bought {a} {fruit}. {aside}\n"
    "[On the way home|At the {place}] {he} [met|saw] {friend}. "
    '"[I have too many {fruit}|My basket is too heavy]," said {friend}. "[Would you like|Do you want] {b}?" '
    '"[Yes, please|Gladly]," said {hero}. [{friend} counted them into the bag|So {friend} gave {him} {b} {fruit}].\n'
    '"How many {fruit} [do you have|are there] now?" asked {friend}. [{hero} counted|{hero} thought for a moment].',
    '"{total}," said {hero}.',
    (("a", "other_a"), ("b", "other_b"), ("total", "other_total")),
)
CONTEST = Plot(
    MEETING + ". [They were bored|It was a long day|There was nothing to do]. "
    '"Who can [find|gather|collect] more {fruit}?" asked {friend}. "[I can|That will be me]," said {hero}. {aside}\n'
    "[They ran|Both ran] [off|in different directions]. [After an hour|When the bell rang] they [came back|met again]."
    " [{hero} had {a} {fruit}, and {friend} had {b}|{friend} had {b} {fruit}, and {hero} had {a}]. {aside2}",
    "[So|They counted twice, and] {winner} had more than {loser}.",
    (("a", "b"), ("winner", "loser")),
)
SHUT = Plot(
    "On {closed} {hero} [went|walked] to the {shop}[ to meet {friend}|, where {he} was awaited]. {aside}\n"
    "[But the door was shut|But nobody was there], [and {he} knocked for nothing|and the windows were dark]. "
    "{friend} [came by|looked out of a window]. "
    '"[The {shop} is closed on {closed}|Nobody works at the {shop} on {closed}]," said {friend}. '
    '"[Come back|Try again] tomorrow."\n"[That is a pity|I had forgotten it]," said {hero}, and [went home|read a book '
    "at home|had tea with {friend}].",
    "{he} came back on {next_day}[, and the door was open|].",
    (("shop", "other_shop"), ("closed", "other_closed"), ("next_day", "other_next_day")),
)
MESSAGE = Plot(
    "[{third} had left a {thing} at the {place}|{third} needed the {thing} from the {place}]. "
    '"[Please tell {third}|Tell {third}] that the {thing} is {spot}, not {spot2}," said {friend} to {hero}. '
    '"[Can you remember that?|Say it again!]" "The {thing} is {spot}," said {hero}. {aside}\n'
    "{hero} [ran|walked] [across the square|down the hill|along the river] and [said it to {himself} again and again|"
    "sang it like a song]. {aside2}\n[{third} was at home|{third} opened the door]. "
    '"[I have a message|{friend} sends me]!" said {hero}, and told {third} everything.',
    "[So|Then] {third} [went there|went to the {place}], looked {spot} and found the {thing}.",
    (("spot", "spot2"),),
)
WEATHER = Plot(
    MEETING + ". {aside}\nThey [talked about|wondered about] the [day|news|village]. {aside2}\n"
    '"[Look|Do you see that]!" said {hero}. "[What has happened|What is going on]?"\n"[I will tell you|I can tell you '
    'why]," said {friend}. [{friend} had been up early|{friend} knows everything]. [Everyone knew that|It was simple:] '
    "{cause}.",
    "[Because of that|That is why] {effect}.",
    (("cause", "other_cause"), ("effect", "other_effect")),
)
CHAIN = Plot(
    "{hero} had a {look} {thing}[, and everyone wanted to see it|]. {aside}\n"
    "{he} [gave|handed|passed] the {thing} to {friend}, who [looked at it for a long time|turned it round and round]. "
    '"[How {look} it is!|Where did you get it?]" said {friend}. {aside2}\n'
    "[Then|After a while] {friend} [gave|handed|passed] it to {third}. [{third} put it into a bag|{third} held it to "
    "the light]. [{hero} saw it all and smiled|{hero} did not mind].",
    "[Now|In the end] the {thing} was with {third}, and no longer with {friend}.",
    (("friend", "third"),),
)
PLOTS = (LOST, SWAPPED, GIFTS, MOVED, HUNGRY, RUNAWAY, MARKET, CONTEST, SHUT, MESSAGE, WEATHER, CHAIN)


def two(name: str, values: list, rng: random.Random) -> dict[str, str]:
    """Two different values for the slots `name` and `other_name`."""
    return dict(zip((name, f"other_{name}"), rng.sample(values, 2), strict=True))


def draw_sums(rng: random.Random, split: str) -> dict[str, str]:
    """Two sums with different results, whose numbers are two or more: one asks for plurals only."""
    pairs = known_pairs("compare") if split == "train" else held_out_pairs("compare")
    pairs = [pair for pair in pairs if min(pair) > 1]
    first = rng.choice(pairs)
    second = rng.choice([pair for pair in pairs if sum(pair) != sum(first)])
    numbers = {"a": first[0], "b": first[1], "total": sum(first)}
    numbers |= {"other_a": second[0], "other_b": second[1], "other_total": sum(second)}
    return {slot: NUMBERS[number] for slot, number in numbers.items()}


def draw_cast(rng: random.Random, split: str, people: Sequence[str] = ()) -> dict[str, str]:
    """Everyone and everything that a story may need. The pairs of numbers are those of the split. `people` are the
    hero, the friend and the third one, unless they are to be drawn too."""
    hero, friend, third = people or rng.sample(PEOPLE, 3)
    pronouns = ("he", "him", "his", "himself") if hero in MEN else ("she", "her", "her", "herself")
    cast = {"hero": hero, "friend": friend, "third": third, "day": rng.choice(DAYS), "place": rng.choice(PLACES)}
    cast |= dict(zip(("he", "him", "his", "himself"), pronouns, strict=True))
    cast |= dict(zip(("thing", "other"), rng.sample(THINGS, 2), strict=True))
    cast |= dict(zip(("look", "look2"), rng.sample(LOOKS, 2), strict=True))
    cast |= dict(zip(("spot", "spot2"), rng.sample(SPOTS, 2), strict=True))
    cast |= {"fruit": rng.choice(FRUITS)} | draw_sums(rng, split)
    more = NUMBERS.index(cast["a"]) > NUMBERS.index(cast["b"])
    cast |= {"winner": hero if more else friend, "loser": friend if more else hero}
    cast |= two("animal", list(ANIMALS), rng) | two("shop", list(CLOSED), rng)
    for prefix in ("", "other_"):
        cast |= zip((prefix + "sound", prefix + "home", prefix + "food"), ANIMALS[cast[prefix + "animal"]], strict=True)
        closed = cast[prefix + "closed"] = CLOSED[cast[prefix + "shop"]]
        cast[prefix + "next_day"] = DAYS[(DAYS.index(closed) + 1) % len(DAYS)]
    causes = rng.sample(CAUSES, 2)
    cast |= {"cause": causes[0][0], "effect": causes[0][1], "other_cause": causes[1][0], "other_effect": causes[1][1]}
    for slot, person in (("aside", hero), ("aside2", friend)):
        cast[slot] = aside(person, rng, split)
    return cast


def aside(person: str, rng: random.Random, split: str) -> str:
    """Half of the time a fact about a person, told in passing, and perhaps one about its object; or else nothing."""
    if rng.random() < 0.5:
        return ""
    told = [rng.choice(ABOUT[person])]
    if told[0].object in ABOUT and rng.random() < 0.5:
        told.append(rng.choice(ABOUT[told[0].object]))
    return " ".join(each.tell(rng.choice(each.relation.statements_of(split))) for each in told)


def expand(template: str, rng: random.Random, slots: Mapping[str, str]) -> str:
    """Choose among [alternatives], fill in {slots}, and mend capitals and spaces."""
    while GAP.search(template):
        template = GAP.sub(lambda gap: rng.choice(gap[1].split("|")), template)
    text = re.sub(r" +", " ", template.format(**slots)).replace(" \n", "\n").strip()
    return SENTENCE_START.sub(lambda match: match[1] + match[2].upper(), text)


def exchange_roles(cast: Mapping[str, str], pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The cast with both members of each pair exchanged."""
    exchanged = {first: cast[second] for first, second in pairs} | {second: cast[first] for first, second in pairs}
    return {**cast, **exchanged}


def tell(plot: Plot, cast: Mapping[str, str], key: str) -> Story:
    """The plot with this cast. The alternatives are chosen by `key`, so the same key gives the same words."""
    mixed_up = exchange_roles(cast, plot.mixed_up)
    endings = [expand(plot.ending, random.Random(f"{key} ending"), each) for each in (cast, mixed_up)]
    return Story(expand(plot.text, random.Random(key), cast), *endings)


def draw(key: str, split: str) -> tuple[Plot, dict[str, str]]:
    """A plot and its cast; the same key gives the same ones. Raises ValueError for a split that does not exist."""
    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    rng = random.Random(f"story {split} {key}")
    return rng.choice(PLOTS), draw_cast(rng, split)


def story(key: str, split: str) -> str:
    """A whole story of split "train" or "test": perhaps a scene, the plot, and perhaps a second one with the same
    people."""
    plot, cast = draw(key, split)
    rng = random.Random(f"frame {split} {key}")
    scene = expand(SCENE, rng, {}) + " " if plot != WEATHER and rng.random() < 0.5 else ""
    paragraphs = [scene + whole(tell(plot, cast, key))]
    if rng.random() < 0.4:
        cast = draw_cast(rng, split, [cast["hero"], cast["friend"], cast["third"]])
        second = tell(rng.choice([other for other in PLOTS if other != plot]), cast, f"{key} second")
        paragraphs.append(f"{expand(BRIDGE, rng, cast)} {whole(second)}")
    return "\n".join(paragraphs)


def whole(told: Story) -> str:
    """The story with its right ending."""
    return f"{told.text} {told.ending}"


def twins(key: str, split: str) -> tuple[Story, Story]:
    """A story and the same one with two members of its cast exchanged: the ending of one is wrong in the other."""
    plot, cast = draw(key, split)
    return tell(plot, cast, key), tell(plot, exchange_roles(cast, plot.mixed_up), key)
