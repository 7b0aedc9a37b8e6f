"""The stages of the committed moshi-tiny in numbers: its curves, and what `evaluation.stage_report` has measured.

Where a file is not there, a sentence says which.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from .training_plots import Curve, read_curve

STAGES = ("pretraining", "posttraining", "finetuning", "instruction")


def stage_files(folder: Path) -> dict[str, Path]:
    """Where the curve of each stage lies, or would lie, beside a model."""
    return {stage: folder / f"curve_{stage}.json" for stage in STAGES}


def stored_curves(folder: Path) -> dict[str, Curve]:
    """The curves beside a model, of those stages that have one."""
    return {stage: read_curve(path) for stage, path in stage_files(folder).items() if path.is_file()}


def missing(paths: Sequence[Path]) -> str:
    """A sentence about those files that are not there; "" if all are."""
    names = [path.name for path in paths if not path.is_file()]
    return f"Not there yet: {', '.join(names)}." if names else ""


def read_report(path: Path) -> dict:
    """What `evaluation.stage_report` has written. Raises ValueError for another file."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(report["stages"], dict) and report["stages"]:
            return report
    except (json.JSONDecodeError, KeyError, TypeError):
        pass
    raise ValueError(f"expected in {path.name} a report with stages; write it again with evaluation.stage_report")


def share(found: Mapping) -> str:
    """A share with its 95 % interval."""
    if found["share"] is None:
        return "nothing to count"
    return f"{100 * found['share']:.0f} % [{100 * found['low']:.0f}, {100 * found['high']:.0f}]"


def stage_rows(report: Mapping, columns: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A table in Markdown: a row for each stage, a column for each (heading, path of keys); numbers are nats, shares
    come with their intervals, and what a stage has not is left empty."""
    lines = ["| | " + " | ".join(heading for heading, _ in columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    for stage, found in report["stages"].items():
        lines.append(f"| {stage} | " + " | ".join(_cell(found, keys) for _, keys in columns) + " |")
    return "\n".join(lines)


def _cell(found, keys: Sequence[str]) -> str:
    for key in keys:
        if key not in found:
            return ""
        found = found[key]
    return share(found) if isinstance(found, Mapping) else f"{found:.2f}"
