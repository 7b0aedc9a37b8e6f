"""Moshi's variants side by side: what every run of `train moshi --variant` answers, in its text and aloud.

    python -m moshi_ref.evaluation.moshi_ablation_report runs/moshi-cpu-*-[0-9]

For a run in runs/moshi-PROFILE-VARIANT-SEED it writes data/ablations/moshi/VARIANT-SEED.json:

    {"variant", "profile", "seed",
     "curve": the losses, as means of 50 steps,
     "rows": {row: {"text", "voice", "in_time"}}}

A row is so many sums, asked in voices that were never in training: of pairs that are spoken in training, of held-out
ones, and of pairs that Helium has read and nobody has spoken. The text is right if it is the written answer, letter by
letter; the voice, if the recogniser hears the words of the right answer in it, whatever the text says.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ..audio import writing
from ..checkpoints import CHECKPOINTS, load_mimi, load_moshi, load_tokenizer, mimi_of
from .ablation_report import DATA, named, thinned
from .duplex import Answer, Question, score, share, spoken_part
from .full_duplex import asker
from .judges import as_heard
from .recogniser import Recogniser, load_recogniser
from .spoken_world import percent, synthetic

ROWS = {"known": "train", "held-out pairs": "test", "only read": "unspoken"}


def row(asked: Sequence[Question], answers: Sequence[Answer], judge: Recogniser) -> dict:
    """Shares of right texts, of right voices, and of answers in time."""
    pairs = zip(asked, answers, strict=True)
    right = sum(judge.transcribe(spoken_part(answer)) == as_heard(question.answer) for question, answer in pairs)
    found = score(asked, answers)
    return {"text": found["text"], "voice": share(right, len(asked)), "in_time": found["in_time"]}


def report_on(folder: Path, out: Path, judge: Recogniser, trials: int, seed: int) -> dict:
    """Measure one run, print the rows, and write its file. Raises ValueError for a folder that is no such run."""
    run = named(folder, "moshi")
    answers_to = asker(load_moshi(folder), load_mimi(mimi_of(folder)), load_tokenizer(folder), seed)
    run |= {"curve": thinned(json.loads((folder / "curve.json").read_text())), "rows": {}}
    for name, split in ROWS.items():
        asked = synthetic("sum", split, trials, seed)
        run["rows"][name] = found = row(asked, answers_to(asked), judge)
        print(f"{name:16}", *(f"{what} {percent(each)}" for what, each in found.items()), flush=True)
    with writing(out / f"{run['variant']}-{run['seed']}.json") as part:
        part.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 with a sentence on standard error for bad input."""
    parser = argparse.ArgumentParser(prog="python -m moshi_ref.evaluation.moshi_ablation_report",
                                     description=__doc__.split("\n")[0])  # fmt: skip
    parser.add_argument("runs", type=Path, nargs="+", help="folders moshi-PROFILE-VARIANT-SEED")
    parser.add_argument("--out", type=Path, default=DATA / "ablations" / "moshi")
    parser.add_argument("--trials", type=int, default=100, help="questions in each row")
    parser.add_argument("--seed", type=int, default=0, help="of the questions and the sampling")
    args = parser.parse_args(arguments)
    try:
        if args.trials < 1:
            raise ValueError(f"expected at least 1 trial, got {args.trials}")
        args.out.mkdir(parents=True, exist_ok=True)
        judge = load_recogniser(CHECKPOINTS / "recogniser-tiny")
        for folder in args.runs:
            print(f"\n{folder}", flush=True)
            report_on(folder, args.out, judge, args.trials, args.seed)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
