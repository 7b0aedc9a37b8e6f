"""The measured variants of Mimi and Moshi, and what may be said about them: `data/ablations`, read, averaged, compared.

The files are written by `evaluation.ablation_report` and `evaluation.moshi_ablation_report`; several runs of a variant
differ in their seed.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..training.ablations import VARIANTS
from ..training.moshi_ablations import WHAT_IS_LEFT_OUT
from .profile import repository

Run = dict  # {"variant", "profile", "seed", "curve", "report"}; of Moshi, "rows" in place of "report"
Ablations = dict[str, list[Run]]
FOLDER = "data/ablations"


def load_ablations(folder: str | Path | None = None) -> Ablations:
    """{variant: its runs, by seed}, in the order of `training.ablations.VARIANTS`; a variant without a run is left
    out. `folder` is data/ablations unless told. Raises ValueError for a file that is no report of a known variant."""
    return _load(repository() / FOLDER if folder is None else Path(folder), VARIANTS, "report")


def load_moshi_ablations(folder: str | Path | None = None) -> Ablations:
    """The same of Moshi, in the order of `training.moshi_ablations`; `folder` is data/ablations/moshi unless told."""
    return _load(repository() / FOLDER / "moshi" if folder is None else Path(folder), WHAT_IS_LEFT_OUT, "rows")


def _load(folder: Path, variants: Iterable[str], measured: str) -> Ablations:
    runs = [_read(path, variants, measured) for path in sorted(folder.glob("*.json"))]
    found = {name: sorted((r for r in runs if r["variant"] == name), key=lambda r: r["seed"]) for name in variants}
    return {name: several for name, several in found.items() if several}


def _read(path: Path, variants: Iterable[str], measured: str) -> Run:
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is no JSON ({error}); write it again, as the folder's reports are") from None
    missing = {"variant", "seed", "curve", measured} - set(run if isinstance(run, dict) else ())
    if missing or run["variant"] not in variants:
        raise ValueError(
            f"expected in {path.name} a report on one of {', '.join(variants)}, got "
            + (f"no {', '.join(sorted(missing))}" if missing else repr(run["variant"]))
        )
    return run


def coverage(runs: Ablations, variants: Iterable[str] = VARIANTS) -> str:
    """One line that says which runs are there and which variants are not."""
    there = [f"{name} (seeds {', '.join(str(run['seed']) for run in several)})" for name, several in runs.items()]
    missing = [name for name in variants if name not in runs]
    text = "measured: " + ("; ".join(there) if there else "nothing yet")
    return text + (f". Not there yet: {', '.join(missing)}" if missing else "")


# --- Values over the seeds ------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """One value in several runs. Shows itself as the mean and the standard deviation, which one run does not have."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return sum(self.values) / self.n

    @property
    def deviation(self) -> float | None:
        if self.n < 2:
            return None
        return math.sqrt(sum((value - self.mean) ** 2 for value in self.values) / (self.n - 1))

    def __format__(self, how: str) -> str:
        return format(self.mean, how) + ("" if self.deviation is None else f" ± {format(self.deviation, how)}")


def over_seeds(runs: Sequence[Run], *keys: str | int) -> Spread | None:
    """The value at a path of keys, over the runs that have it: `over_seeds(runs["all"], "report", "quality", "8",
    "STOI", "mean")`. None if no run has it."""
    values = [value for run in runs if (value := _at(run, keys)) is not None]
    return Spread(tuple(values)) if values else None


def _at(item, keys: Sequence[str | int]) -> float | None:
    for key in keys:
        try:
            item = item[key]
        except (KeyError, IndexError, TypeError):
            return None
    return item


# --- What may be said -----------------------------------------------------------------------------

FEW = 0.1  # an order of the runs that comes about by luck more often than this says nothing


@dataclass(frozen=True)
class Comparison:
    """Is `left` lower than `right`? difference: of the means, left minus right; direction: -1 if all runs on the left
    lie below all on the right, 1 if above, 0 if they overlap; luck: how often such an order comes about if the two are
    the same, which is one divided by the number of ways to deal the runs out."""

    difference: float
    direction: int
    luck: float

    @property
    def clear(self) -> bool:
        return self.direction != 0 and self.luck <= FEW


def compared(left: Spread, right: Spread) -> Comparison:
    direction = (min(left.values) > max(right.values)) - (max(left.values) < min(right.values))
    return Comparison(left.mean - right.mean, direction, 1 / math.comb(left.n + right.n, left.n))


def verdict(left: Spread | None, right: Spread | None, expected: int) -> str:
    """Do the runs agree with the paper, in which left minus right has the sign `expected`? In words."""
    if left is None or right is None:
        return "not measured yet"
    found = compared(left, right)
    if found.direction == 0:
        return "open: the runs overlap"
    way = "agrees" if found.direction == expected else "disagrees"
    return way if found.clear else f"{way}, but {found.luck:.0%} by luck"


# --- Tables ---------------------------------------------------------------------------------------

Column = tuple[Sequence[str | int], str, float]  # keys, format, factor

# What the paper says of the variants that it has too (Table 3; "adversarial-only" is from Table 4): the ABX error
# within speakers in %, the quality ViSQOL (1 to 5), and listeners' judgement MUSHRA (0 to 100).
PAPER = {
    "all": (8.1, 2.82, 64.0),
    "no-split": (6.5, 2.22, 57.8),
    "no-split-no-distillation": (23.3, 2.91, 65.9),
    "no-skipping": (8.0, 2.45, 68.3),
    "adversarial-only": (8.7, 1.84, 81.0),
}


def rows(runs: Ablations, columns: Mapping[str, Column]) -> str:
    """A table in Markdown: a row for each measured variant, a column for each path of keys; means and standard
    deviations over the seeds, times the column's factor."""
    lines = ["| variant | runs | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 2) + "|"]
    for name, several in runs.items():
        cells = [cell(over_seeds(several, *keys), how, factor) for keys, how, factor in columns.values()]
        lines.append(f"| {name} | {len(several)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rows_beside_paper(runs: Ablations, columns: Mapping[str, Column]) -> str:
    """The same for all variants, measured or not, with the paper's numbers on the right."""
    heads = ["variant", "runs", *columns, "paper: ABX, %", "paper: ViSQOL", "paper: MUSHRA"]
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for name in VARIANTS:
        several = runs.get(name, [])
        ours = [cell(over_seeds(several, *keys), how, factor) for keys, how, factor in columns.values()]
        theirs = [str(value) for value in PAPER.get(name, ("", "", ""))]
        lines.append(f"| {name} | " + " | ".join([str(len(several) or "not there yet"), *ours, *theirs]) + " |")
    return "\n".join(lines)


def cell(spread: Spread | None, how: str, factor: float = 1.0) -> str:
    return "" if spread is None else format(Spread(tuple(factor * value for value in spread.values)), how)
