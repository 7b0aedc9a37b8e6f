"""Cleaning web text before a language model reads it (Moshi paper, section 3.2.2), at small scale.

    duplicate        a line that was seen before, found by its FNV-1a hash in a Bloom filter (`bloom.py`)
    near duplicate   at least 3 lines in a row that look like duplicates to a classifier
    language         a document that is English with a probability below 0.85
    quality          a document whose lines look, on average by length, more like the web than like good text

in this order, which is the paper's. Its classifiers are fastText's; ours are still simpler (`classifier.py`). Its
language identifier is a general one; ours tells English from three other languages. Its classes of quality are nine,
learnt from sources such as Wikipedia, Wikibooks and parts of StackExchange, and from random web pages; ours are the
kinds of documents of the small world, and made-up dirt. So ours would let through what looks like the small world, and
of other text it is a rough judge. The paper does not say its threshold for the quality; ours is even odds.

The paper describes this for crawled text, seven eighths of the whole; the rest comes from curated sources. In dialogues
lines repeat for good reasons (how often does somebody say "Thank you."?), so do not clean those of the small world.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from .bloom import BloomFilter
from .classifier import LineClassifier
from .dirt import FOREIGN, TEXT, Page, foreign_lines, gibberish_lines, markup_line, spam_lines
from .documents import KINDS, document
from .words import TRAIN_WORDS

REASONS = ("duplicate", "near duplicate", "language", "quality")
BLOCK = 3  # lines in a row, as in the paper
ENGLISH, GOOD = 0.85, 0.5  # thresholds of documents; the first is the paper's
OFTEN = 2  # times that a line comes back, to be an example of a repeated one
ENOUGH = 20  # such lines, without which nobody can learn what they look like

# The commonest English words; with the words of `words.py` they stand for all the English outside the small world.
FUNCTION_WORDS = """
the of and to in is it that was for on are as with his they at be this from or had by not but what all were we when
your can said there an which she do how their if will up about out then them these so some her would him into has my
than been who its now did could me our over just only very after most also where those because through before
""".split()


# --- Filters --------------------------------------------------------------------------------------


def language_filter(seed: int = 0) -> LineClassifier:
    """Tells English from French, German and Spanish."""
    rng = random.Random(f"language filter {seed}")
    english = [line for i in range(300) for line in document(i, seed + 1_000_000, "train")[1].split("\n")]
    for _ in range(len(english)):
        words = rng.choices(FUNCTION_WORDS, k=rng.randint(4, 10)) + rng.choices(TRAIN_WORDS, k=rng.randint(4, 10))
        rng.shuffle(words)
        english.append(" ".join(words))
    lines = {name: foreign_lines(name, 0, 400, rng) for name in FOREIGN}
    return LineClassifier.train({"english": english} | lines, seed)


def quality_filter(seed: int = 0) -> LineClassifier:
    """Tells the kinds of documents of the small world from the web, which is its last class."""
    rng = random.Random(f"quality filter {seed}")
    lines: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for i in range(600):
        kind, text = document(i, seed + 2_000_000, "train")
        lines[kind] += text.split("\n")
    lines["web"] = gibberish_lines(400, rng) + spam_lines(TRAIN_WORDS, 400, rng)
    lines["web"] += [markup_line(rng) for _ in range(400)]
    return LineClassifier.train(lines, seed)


def duplicate_filter(documents: Iterable[str], capacity: int = 1_000_000, seed: int = 0) -> LineClassifier | None:
    """Tells lines that look like those which the documents repeat from lines that occur in them once.

    None if there are too few of either to learn from.
    """
    seen, once, again = BloomFilter(capacity), [], Counter()
    for text in documents:
        for line in split_lines(text):
            if seen.add(line):
                again[line] += 1
            else:
                once.append(line)
    once = [line for line in once if line not in again]
    often = [line for line, count in again.items() if count >= OFTEN]  # not the lines of a page that was copied once
    if min(len(once), len(often)) < ENOUGH:
        return None
    return LineClassifier.train({"once": once, "repeated": often}, seed)


@dataclass(frozen=True)
class Filters:
    """The three classifiers; without `duplicate`, near duplicates are not looked for."""

    language: LineClassifier
    quality: LineClassifier
    duplicate: LineClassifier | None = None

    @classmethod
    def train(cls, documents: Iterable[str], seed: int = 0) -> "Filters":
        """Learn what is repeated from the documents that are to be cleaned, and the rest from text made here."""
        return cls(language_filter(seed), quality_filter(seed), duplicate_filter(documents, seed=seed))


# --- Cleaning -------------------------------------------------------------------------------------


def split_lines(text: str) -> list[str]:
    """The lines of a document, without white space around them and without empty ones."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def blocks(flags: Sequence[bool]) -> list[bool]:
    """Of the flags that are set, those in a row of at least BLOCK."""
    kept: list[bool] = []
    for flag, run in groupby(flags):
        length = len(list(run))
        kept += [flag and length >= BLOCK] * length
    return kept


def language_score(filters: Filters, lines: Sequence[str]) -> float:
    """How probably a document is English, all of its lines taken together."""
    return filters.language.probability("english", [" ".join(lines)])[0]


def quality_score(filters: Filters, lines: Sequence[str]) -> float:
    """How probably its lines come from good text and not from the web: the mean, weighted by their lengths in bytes."""
    weights = [len(line.encode()) for line in lines]
    web = filters.quality.probability("web", lines)
    return 1 - sum(p * weight for p, weight in zip(web, weights, strict=True)) / sum(weights)


def judge(lines: Sequence[str], filters: Filters, seen: BloomFilter) -> list[str | None]:
    """For each line of a document the reason to remove it, one of REASONS, or None. The lines are added to `seen`."""
    reasons: list[str | None] = ["duplicate" if seen.add(line) else None for line in lines]
    if filters.duplicate is not None:
        likely = filters.duplicate.probability("repeated", lines)
        in_blocks = blocks([reason is not None or p > 0.5 for reason, p in zip(reasons, likely, strict=True)])
        reasons = [r or ("near duplicate" if b else None) for r, b in zip(reasons, in_blocks, strict=True)]
    kept = [line for line, reason in zip(lines, reasons, strict=True) if reason is None]
    verdict = None
    if kept and language_score(filters, kept) < ENGLISH:
        verdict = "language"
    elif kept and quality_score(filters, kept) < GOOD:
        verdict = "quality"
    return [reason or verdict for reason in reasons]


@dataclass
class Report:
    """What a cleaning removed and why: lines and bytes for each reason, "kept" among them, and the first examples."""

    lines: Counter = field(default_factory=Counter)
    bytes: Counter = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: {reason: [] for reason in REASONS})

    def count(self, line: str, reason: str | None) -> None:
        self.lines[reason or "kept"] += 1
        self.bytes[reason or "kept"] += len(line.encode())
        if reason and len(self.examples[reason]) < 3:
            self.examples[reason].append(line)

    def __str__(self) -> str:
        total = max(1, sum(self.bytes.values()))
        rows = [f"{'':16}{'lines':>9}{'bytes':>9}"]
        for reason in ("kept", *REASONS):
            rows.append(f"{reason:16}{self.lines[reason]:9,}{self.bytes[reason] / total:9.1%}")
            rows += [f"    {line[:90]}" for line in self.examples.get(reason, [])]
        return "\n".join(rows)


def clean(
    documents: Iterable[str], filters: Filters, report: Report | None = None, capacity: int = 1_000_000
) -> Iterator[str]:
    """What is left of each document, if anything is. `report` counts what was removed; `capacity` is the number of
    lines that the Bloom filter is made for."""
    seen, report = BloomFilter(capacity), Report() if report is None else report
    for text in documents:
        lines = split_lines(text)
        kept = []
        for line, reason in zip(lines, judge(lines, filters, seen), strict=True):
            report.count(line, reason)
            kept += [line] * (reason is None)
        if kept:
            yield "\n".join(kept)


@dataclass(frozen=True)
class Score:
    """How well a cleaning did."""

    precision: float  # of the lines that it removed, the share that was dirt
    recall: float  # of the lines that were dirt, the share that it removed
    removed: dict[str, tuple[int, int]]  # for each kind of line: how many were removed, how many there were


def measure(pages: Sequence[Page], filters: Filters) -> Score:
    """Clean pages whose lines are known to be text or dirt."""
    seen, total, removed = BloomFilter(1_000_000), Counter(), Counter()
    for page in pages:
        for kind, reason in zip(page.kinds, judge(page.lines, filters, seen), strict=True):
            total[kind] += 1
            removed[kind] += reason is not None
    dirt = sum(removed.values()) - removed[TEXT]
    precision = dirt / max(1, sum(removed.values()))
    recall = dirt / max(1, sum(total.values()) - total[TEXT])
    return Score(precision, recall, {kind: (removed[kind], total[kind]) for kind in total})


def read_texts(folder: str | Path) -> Iterator[str]:
    """A reader's own text: every .txt file in a folder and below it, by name. Each is a document, in UTF-8.

    Raises FileNotFoundError if there is no such folder or no such file in it, ValueError if a file is not UTF-8.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"no folder {folder}; expected one with .txt files in it")
    paths = sorted(Path(folder).rglob("*.txt"))
    if not paths:
        raise FileNotFoundError(f"no .txt file in {folder}; give each document a file of its own")
    for path in paths:
        try:
            yield path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}; save it as UTF-8"
            ) from error
