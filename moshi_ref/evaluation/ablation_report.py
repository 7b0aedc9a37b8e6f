"""Mimi's variants side by side: the codec's report, the curve and the voice of every run of `train mimi --variant`.

    python -m moshi_ref.evaluation.ablation_report runs/mimi-cpu-*-[0-9] --human PATH

For a run in runs/mimi-PROFILE-VARIANT-SEED it writes into data/ablations

    VARIANT-SEED.json   {"variant", "profile", "seed", "curve", "report"}: the losses, as means of 50 steps, and what
                        `evaluate mimi --json` says
    VARIANT-SEED.flac   a held-out question in a held-out voice and a held-out answer of Moshi's, through the codec
    original.flac       the same two, as they were
"""

import argparse
import json
import random
import sys
from itertools import chain
from pathlib import Path

import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio import writing
from ..checkpoints import load_mimi
from ..corpus.small_world import exchange, held_out_pairs
from ..corpus.utterances import render_moshi, render_user
from ..corpus.voices import SAMPLE_RATE, moshi_voice, user_voice
from .codec_report import decoded, everything
from .recogniser import Recogniser, load_recogniser

DATA = Path(__file__).resolve().parents[2] / "data"
PIECE = 50  # steps of a point of the curve


def two_sentences() -> Tensor:
    """A question and an answer about a held-out pair, with a pause between them (T,)."""
    rng = random.Random("two sentences")
    about = exchange("compare", *held_out_pairs("compare")[0])
    question, answer = render_user(about, user_voice(rng, "test"), rng), render_moshi(about, moshi_voice(rng))
    pause = SAMPLE_RATE // 4
    return torch.cat([F.pad(question.wav, (0, pause)), F.pad(answer.wav, (0, pause))])


def thinned(curve: list[dict]) -> list[dict]:
    """The mean of every PIECE steps, at the last of them. A loss that not all of them have is the mean of those that
    do: steps on text alone have others than steps on dialogues."""
    thin = []
    for i in range(0, len(curve) - PIECE + 1, PIECE):
        piece = curve[i : i + PIECE]
        found = {name: [entry[name] for entry in piece if name in entry] for name in dict.fromkeys(chain(*piece))}
        last = {name: piece[-1][name] for name in ("step", "seconds")}
        thin.append({name: round(sum(some) / len(some), 4) for name, some in found.items()} | last)
    return thin


def named(folder: Path, model: str = "mimi") -> dict:
    """What the name of a model's run says. Raises ValueError for other names."""
    try:
        kind, profile, rest = folder.name.split("-", 2)
        variant, seed = rest.rsplit("-", 1)
        if kind == model:
            return {"variant": variant, "profile": profile, "seed": int(seed)}
    except ValueError:
        pass
    raise ValueError(
        f"expected a folder {model}-PROFILE-VARIANT-SEED, as `train {model} --variant` makes it, got {folder}"
    )


def write_sound(wav: Tensor, path: Path) -> None:
    with writing(path) as part:
        soundfile.write(part, wav.clamp(-1, 1).numpy(), SAMPLE_RATE, "PCM_16", format="FLAC")


def report_on(folder: Path, out: Path, recogniser: Recogniser, trials: int, human: Path | None) -> None:
    """Measure one run, and write its files."""
    run = named(folder)
    mimi, wav = load_mimi(folder), two_sentences()
    torch.manual_seed(0)
    run["curve"] = thinned(json.loads((folder / "curve.json").read_text()))
    run["report"] = everything(mimi, recogniser, trials, 0, human)
    name = f"{run['variant']}-{run['seed']}"
    write_sound(wav, out / "original.flac")
    write_sound(decoded(mimi, wav)[mimi.config.used_codebooks], out / f"{name}.flac")
    with writing(out / f"{name}.json") as part:
        part.write_text(json.dumps(run, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m moshi_ref.evaluation.ablation_report",
                                     description=__doc__.split("\n")[0])  # fmt: skip
    parser.add_argument("runs", type=Path, nargs="+", help="folders mimi-PROFILE-VARIANT-SEED")
    parser.add_argument("--out", type=Path, default=DATA / "ablations")
    parser.add_argument("--trials", type=int, default=60, help="sounds in each row")
    parser.add_argument("--human", type=Path, help="a clone of the Free Spoken Digit Dataset")
    args = parser.parse_args()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        recogniser = load_recogniser(DATA / "checkpoints" / "recogniser-tiny")
        for folder in args.runs:
            print(f"\n{folder}", flush=True)
            report_on(folder, args.out, recogniser, args.trials, args.human)
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
