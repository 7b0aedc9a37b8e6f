"""A conversation of an hour: does a frame still take as long, and Moshi still answer, as in the first minute?

    python -m moshi_ref.evaluation.endurance --json endurance.json

The user is silent for a while, then there is noise, then a question; again and again. A stream is meant to go on for
ever: its state has a fixed size, and nothing else is remembered.
"""

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import Tensor
from tqdm import tqdm

from ..audio import check_folder, writing
from ..checkpoints import load_tokenizer
from ..inner_monologue import tokens_to_words
from ..moshi import MoshiStream
from ..rq_transformer import Sampling
from ..tokenizer import TextTokenizer
from .duplex import Question
from .latency import WARM_UP, add_models, load_models, milliseconds, now
from .spoken_world import synthetic

HOUR = 45_000  # frames
PAUSE_SECONDS = 10  # of silence, and of noise


@dataclass(frozen=True)
class Scene:
    """A piece of the user's sound, and what Moshi should say to it."""

    kind: str  # "silence", "noise" or "question"
    frames: Tensor  # (F, 1, 1, 1920)
    answer: str


def scenes(questions: list[Question], rate: int, size: int, seed: int) -> Iterator[Scene]:
    """Silence, noise and a question, for ever."""
    rng = random.Random(seed)
    dice = torch.Generator().manual_seed(seed)
    length = PAUSE_SECONDS * rate // size
    while True:
        yield Scene("silence", torch.zeros(length, 1, 1, size), "")
        yield Scene("noise", 0.01 * torch.randn(length, 1, 1, size, generator=dice), "")
        question = rng.choice(questions)
        whole = len(question.wav) // size
        yield Scene("question", question.wav[: whole * size].view(whole, 1, 1, size), question.answer)


@dataclass
class Endured:
    """What was measured, frame by frame and scene by scene."""

    times: list[float]  # milliseconds of each frame
    memory: list[int]  # MiB of this process after each frame
    right: list[tuple[str, bool]]  # of each whole scene: its kind, and was the text exactly what it should be?


def endure(stream: MoshiStream, tokenizer: TextTokenizer, questions: list[Question], frames: int, seed: int) -> Endured:
    """Hold one conversation for so many frames."""
    config, device, process = stream.mimi.config, stream.initial.device, psutil.Process()
    found, bar = Endured([], [], []), tqdm(total=frames, unit="frame", disable=None)
    for scene in scenes(questions, config.sample_rate, config.frame_size, seed):
        tokens = []
        for frame in scene.frames[: frames - len(found.times)]:
            began = now(device)
            tokens.append(int(stream.step(frame.to(device)).text[0]))
            found.times.append(1000 * (now(device) - began))
            found.memory.append(process.memory_info().rss // 2**20)
            bar.update()
        if len(tokens) < len(scene.frames):
            break
        said = " ".join(word.text for word in tokens_to_words(tokens, tokenizer, config.frame_rate))
        found.right.append((scene.kind, said == scene.answer))
    bar.close()
    return found


def shares(right: list[tuple[str, bool]]) -> dict[str, str]:
    """{kind: "right of all"}"""
    kinds = sorted({kind for kind, _ in right})
    return {kind: f"{sum(ok for k, ok in right if k == kind)} of {sum(k == kind for k, _ in right)}" for kind in kinds}


def report(found: Endured, minute: int) -> dict:
    """The first and the last `minute` frames (after a few that do not count), and the scenes of the first and the
    second half."""
    warm, half = found.times[WARM_UP:], len(found.right) // 2
    return {
        "frames": len(found.times),
        "first minute": milliseconds(warm[:minute]),
        "last minute": milliseconds(warm[-minute:]),
        "memory_mib": {"after the first minute": found.memory[min(minute, len(found.memory)) - 1],
                       "at the end": found.memory[-1]},
        "right, first half": shares(found.right[:half]),
        "right, second half": shares(found.right[half:]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m moshi_ref.evaluation.endurance",
                                     description=__doc__.split("\n")[0])  # fmt: skip
    add_models(parser)
    parser.add_argument("--frames", type=int, default=HOUR, help="default: an hour of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file to write the results to")
    args = parser.parse_args()
    if args.frames < 100:
        parser.error(f"expected at least 100 frames, got {args.frames}")
    torch.set_num_threads(1)
    try:
        if args.json is not None:
            check_folder(args.json)
        moshi, mimi = load_models(args)
        tokenizer = load_tokenizer(args.moshi)
        stream = MoshiStream(moshi, mimi, args.seed, text=Sampling(0.0, 1))
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    questions = synthetic("sum", "train", 20, args.seed)
    found = endure(stream, tokenizer, questions, args.frames, args.seed)
    result = report(found, round(60 * mimi.config.frame_rate))
    print(json.dumps(result, indent=1))
    if args.json is not None:
        with writing(args.json) as part:
            part.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
