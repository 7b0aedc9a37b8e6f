"""A data sheet: what a model hears in the stages of its training, in numbers.

    python -m moshi_ref.corpus.data_sheet                              a few clips, as a sample
    python -m moshi_ref.corpus.data_sheet --clips 2000 --draws 1000 --json sheet.json

Clips are rendered and encoded as for a training, and for each stage dialogues are drawn from them. Of the draws are
counted: hours, words a minute on either channel, the shares of the time in which Moshi, the user or both speak, turns
of Moshi that were cut short, and the share of the text tokens that are PAD or EPAD. (In the paper that is about 65 %
of the tokens of English conversations.)
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..audio import writing
from ..checkpoints import load_mimi, load_tokenizer
from ..mimi import Mimi
from ..tokenizer import PAD, TextTokenizer
from .clips import encode, encode_echoes
from .dialogues import encode_backgrounds
from .duplex_dialogues import DuplexDialogues
from .single_stream import SimulatedPair, SingleStream
from .spoken import spoken
from .timeline import Timeline
from .utterances import CACHE

STEP = 0.01  # seconds: the raster on which is counted who speaks
REACTIONS = 24  # clips of back-channels and of interruptions, each
ECHOES = 0.2  # share of the answers that know their echo


@dataclass(frozen=True)
class DataSheet:
    """Numbers about draws. Shares are between 0 and 1."""

    hours: float
    moshi_words_per_minute: float
    user_words_per_minute: float
    moshi_speaks: float  # of the time
    user_speaks: float
    both_speak: float
    cut_short: float  # of Moshi's turns
    padding: float  # of the text tokens


def speaking(line: Timeline, speaker: str) -> torch.Tensor:
    """(T,) bool: whether "moshi" or the "user" speaks, every hundredth of a second."""
    times = (torch.arange(round(line.seconds / STEP)) + 0.5) * STEP
    active = torch.zeros(len(times), dtype=torch.bool)
    for turn in line.turns[speaker]:
        active |= (turn.start <= times) & (times < turn.end)
    return active


def describe(lines: Sequence[Timeline]) -> DataSheet:
    """The data sheet of some draws. Raises ValueError if there are none."""
    if not lines:
        raise ValueError("expected draws to describe, got none")
    seconds = sum(line.seconds for line in lines)
    moshi, user = (torch.cat([speaking(line, who) for line in lines]) for who in ("moshi", "user"))
    begun = {who: [w for line in lines for w in line.words(who) if w.start < line.seconds] for who in ("moshi", "user")}
    turns = [turn for line in lines for turn in line.turns["moshi"]]
    text = torch.cat([line.dialogue().codes[0] for line in lines])
    return DataSheet(
        seconds / 3600, 60 * len(begun["moshi"]) / seconds, 60 * len(begun["user"]) / seconds,
        moshi.float().mean().item(), user.float().mean().item(), (moshi & user).float().mean().item(),
        sum(len(turn.words) < len(turn.clip.words) for turn in turns) / max(1, len(turns)),
        (text <= PAD).float().mean().item(),
    )  # fmt: skip


Source = SingleStream | SimulatedPair | DuplexDialogues


def sources(mimi: Mimi, tokenizer: TextTokenizer, clips: int, frames: int, seed: int,
            folder: Path = CACHE) -> dict[str, Source]:
    """What each stage draws from: so many readings, questions and answers each, as codes of this Mimi."""
    roles = {"reading": clips, "question": clips, "answer": clips, "backchannel": REACTIONS, "interruption": REACTIONS}
    said = {role: spoken(role, "train", count, seed, folder) for role, count in roles.items()}
    encoded = {role: encode(mimi, said[role], seed, role != "answer", role) for role in roles}
    answers = encode_echoes(mimi, said["answer"], encoded["answer"], seed, ECHOES)
    backgrounds, rate = encode_backgrounds(mimi, frames, 8, seed), mimi.config.frame_rate
    return {
        "pre-training": SingleStream(encoded["reading"], backgrounds, tokenizer, rate),
        "post-training": SimulatedPair(encoded["reading"], backgrounds, tokenizer, rate),
        "dialogues": DuplexDialogues(encoded["question"], answers, encoded["backchannel"], encoded["interruption"],
                                     backgrounds, tokenizer, rate),
    }  # fmt: skip


def main() -> int:
    """Print the data sheets. Returns 0, or 2 if there are no models, or no numbers that make sense."""
    parser = argparse.ArgumentParser(description="Count what a model hears in the stages of its training.")
    parser.add_argument("--mimi", type=Path, default="data/checkpoints/mimi-tiny", help="a folder with a codec")
    parser.add_argument("--tokenizer", type=Path, default="data/checkpoints/helium-tiny", help="one with a tokenizer")
    parser.add_argument("--clips", type=int, default=100, help="readings, questions and answers, each")
    parser.add_argument("--draws", type=int, default=200, help="dialogues of each stage")
    parser.add_argument("--frames", type=int, default=112, help="of a dialogue; 12.5 are a second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    args = parser.parse_args()
    try:
        mimi, tokenizer = load_mimi(args.mimi), load_tokenizer(args.tokenizer)
        stages = sources(mimi, tokenizer, args.clips, args.frames, args.seed)
        rng = random.Random(args.seed)
        sheets = {name: describe([source.timeline(rng) for _ in range(args.draws)]) for name, source in stages.items()}
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(" " * 24, *(f"{name:>13}" for name in sheets))
    for field in DataSheet.__dataclass_fields__:
        print(f"{field:24}", *(f"{getattr(sheet, field):13.3f}" for sheet in sheets.values()))
    if args.json is not None:
        with writing(args.json) as part:
            part.write_text(json.dumps({name: vars(sheet) for name, sheet in sheets.items()}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
