"""Clean text made dirty on purpose, so that one can watch the cleaning, and measure it.

The web is the paper's largest source of text, and most of a web page is not text. These pages are made by rule:

    menu        lines that every page of a site has at its top
    footer      lines that every page of a site has at its end, with other numbers each time
    markup      pieces of HTML and of scripts between the paragraphs
    copy        a page that was there before
    gibberish   a page of letters
    spam        a page of words for search engines, without a sentence
    foreign     a page in another language: its words in random order

Each line comes with its kind, so what a cleaning removes can be counted, rightly and wrongly.
"""

import random
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .facts import MONTHS
from .words import TEST_WORDS

TEXT = "text"  # the kind of a line that should be kept
SITES = ("village-news", "old-mill-tales", "harbour-post", "little-library")
MENUS = (
    ("Home", "About us", "Contact", "Log in", "Search"), ("Start page", "All stories", "Write to us", "Help"),
    ("News", "Weather", "Sport", "Shop", "Subscribe to our newsletter"), ("Catalogue", "Opening hours", "Imprint"),
)  # fmt: skip
FOOTERS = (
    ("Posted in {month} {year}", "{n} comments, {m} likes", "Read more: page {n} of {m}",
     "(c) {year} {site}. All rights reserved."),
    ("Last changed in {month} by user {m}", "Visitors today: {m}", "Share this page with {n} friends",
     "{site}, edition {n}, {year}"),
)  # fmt: skip
SHARES = {"copy": 0.1, "gibberish": 0.05, "spam": 0.1, "foreign": 0.1}  # of all pages
MARKUP = 0.3  # the share of gaps between paragraphs with markup in them

# Common words of some languages. The language filter learns from the first half of each
# list, and the pages are made of the second half.
FOREIGN = {
    "french": """
le de un que pour dans ce il qui ne sur se pas plus par je avec tout faire son mettre autre on mais nous comme ou leur
homme si deux vie temps petit monde jour chose main nuit bien maison trouver donner porte tomber rue
la et une est du les au elle des en cette sont vous sans aussi fille mon votre quand alors encore toujours jamais rien
femme pays enfant vieux soir matin eau terre arbre chemin fleur oiseau jardin parler venir beaucoup pourquoi chez""",
    "german": """
der und in den von zu das mit sich des auf nicht ein als auch es an werden aus er hat dass sie nach wird bei einer um
am sind noch wie einem haus zeit mann kind hand jahr tag weg nacht wasser licht stadt freund
die ist im dem eine war wurde ich wir aber oder hatte kein nur schon mehr durch wenn man sehr wieder frau leben baum
garten schule abend morgen vogel berg fluss geht kommt immer vielleicht zwischen klein alt gut schnell welche""",
    "spanish": """
el de en un ser se no haber por con su para como estar tener le lo todo pero hacer o poder decir este ir otro ese
casa si cuando mundo hombre agua noche calle mano amigo libro puerta ciudad luz tiempo
la que y a los una las del es muy sin sobre mujer hijo campo flor pan mesa camino perro nunca siempre mientras donde
ella nosotros ellos bueno grande viejo mucho poco ahora después hay año mañana niño corazón pueblo""",
}


@dataclass(frozen=True)
class Page:
    """Lines, and of which kind each is."""

    lines: tuple[str, ...]
    kinds: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def foreign_lines(language: str, half: int, count: int, rng: random.Random) -> list[str]:
    """Lines of words of one half, 0 or 1, of the language's list."""
    words = FOREIGN[language].split()
    words = words[: len(words) // 2] if half == 0 else words[len(words) // 2 :]
    return [" ".join(rng.choices(words, k=rng.randint(8, 20))).capitalize() + "." for _ in range(count)]


def gibberish_lines(count: int, rng: random.Random) -> list[str]:
    """Lines of random letters in groups like words."""
    letters = string.ascii_lowercase + rng.choice(("", string.digits, string.digits + string.punctuation))
    return [
        " ".join("".join(rng.choices(letters, k=rng.randint(1, 10))) for _ in range(rng.randint(5, 20)))
        for _ in range(count)
    ]


def spam_lines(words: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """Lines of English words that make no sentence."""
    return [", ".join(rng.choices(words, k=rng.randint(6, 15))) for _ in range(count)]


def markup_line(rng: random.Random) -> str:
    """A piece of HTML, or of a script."""
    name = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 6)))
    number = rng.randrange(10_000)
    return rng.choice((
        f'<div class="{name}-{number}"><a href="/{name}/{number}.html">', f"</span></li><li id={name}{number}>",
        f"function {name}(e){{var t=e[{number}];return t&&t.{name}}}", f"&nbsp;&nbsp;|&nbsp;{name}&gt;{number}&raquo;",
        f'<img src="/img/{name}_{number}.png" width="{number % 900}" alt="">',
    ))  # fmt: skip


def footer(site: str, template: tuple[str, ...], rng: random.Random) -> list[str]:
    """The end of a page: always the same but for the numbers."""
    numbers = {"n": rng.randint(1, 12), "m": rng.randint(13, 60), "year": rng.randint(2005, 2024)}
    return [line.format(site=site, month=rng.choice(MONTHS), **numbers) for line in template]


def body(document: str, kind: str, rng: random.Random) -> list[tuple[str, str]]:
    """The lines of a page between menu and footer, each with its kind."""
    lines = document.split("\n")
    if kind == "gibberish":
        return [(line, kind) for line in gibberish_lines(len(lines), rng)]
    if kind == "spam":
        return [(line, kind) for line in spam_lines(TEST_WORDS, len(lines), rng)]
    if kind == "foreign":
        return [(line, kind) for line in foreign_lines(rng.choice(list(FOREIGN)), 1, len(lines), rng)]
    pairs = []
    for line in lines:
        pairs += [(markup_line(rng), "markup")] * (rng.random() < MARKUP) + [(line, TEXT)]
    return pairs


def make_dirty(documents: Iterable[str], seed: int) -> Iterator[Page]:
    """A page for each document: the document with dirt around it, or, at times, dirt in its place."""
    rng, before = random.Random(f"dirt {seed}"), []
    for document in documents:
        if before and rng.random() < SHARES["copy"]:
            copied = rng.choice(before).lines
            yield Page(copied, ("copy",) * len(copied))
            continue
        others = {kind: share for kind, share in SHARES.items() if kind != "copy"}
        kind = rng.choices([TEXT, *others], [1 - sum(others.values()), *others.values()])[0]
        site = rng.randrange(len(SITES))
        pairs = [(line, "menu") for line in MENUS[site]] + body(document, kind, rng)
        pairs += [(line, "footer") for line in footer(SITES[site], FOOTERS[site % len(FOOTERS)], rng)]
        before.append(Page(*map(tuple, zip(*pairs, strict=True))))
        yield before[-1]
