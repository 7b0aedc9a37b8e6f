"""Moshi with a part left out: what do Inner Monologue and the acoustic delay do for its voice (Moshi paper, Table 6)?
And what has been read, for what it can say?

    python -m moshi_ref train moshi --variant no-inner-monologue --seed 1

All variants learn from the same conversations, greetings and sums, in one stage and from Helium on: long enough to
answer, and short enough to be done several times. In each of them the user's words are named by a head that is thrown
away, so all are helped to listen; they differ in how they speak. Another seed means other weights where nothing comes
from Helium, and other dialogues of the same utterances.

The last two are a pair of their own, trained three times as long, because their question is about sums that nobody says
in training: whoever answers these has read them (`corpus.silent_reading`).
"""

import random
from dataclasses import replace
from pathlib import Path

import torch

from ..corpus.dialogues import Dialogue
from ..corpus.documents import documents
from ..helium import Helium
from ..mimi import Mimi
from ..moshi import Moshi, MoshiConfig
from ..tokenizer import PAD, TextTokenizer
from .distribution import pick_device
from .language import start_from_helium
from .loop import train
from .recipes import Profile, keep_with_tokenizer
from .sources import Draw, sources
from .stage_task import Stage, StageTask, new_student
from .stages import steps
from .text import pack

WHAT_IS_LEFT_OUT = {
    "all": "nothing",
    "no-inner-monologue": "Moshi's words: its text is PAD in every frame, while it speaks as well",
    "no-acoustic-delay": "the delay: the acoustic codes of a frame come with its text and its semantic code",
    "even-weights": "the weight of the semantic code, which counts no more than an acoustic one",
    "no-helium": "what has been read: all weights start from nothing",
    "reading": "nothing; it goes on reading while it learns to converse, text alone and silently",
    "no-reading": "all that is read: it starts from nothing, and only converses",
}


def variant_stage(name: str, profile: Profile) -> Stage:
    """The one stage of a variant."""
    recipe = replace(profile.moshi, heard=2.0, forgotten=0.0)
    if name == "even-weights":
        recipe = replace(recipe, semantic_weight=1.0)
    delay = 0 if name == "no-acoustic-delay" else 1
    count = steps(profile, 1 / 3 if name in ("reading", "no-reading") else 1 / 9)
    stage = Stage("sums", count, 8e-4, 1e-3, delay, recipe=recipe)
    return replace(stage, text_only=0.1, silent=0.25) if name == "reading" else stage


def wordless(draw: Draw) -> Draw:
    """Draws the same dialogues without Moshi's words."""

    def drawn(rng: random.Random) -> Dialogue:
        dialogue = draw(rng)
        text = torch.full_like(dialogue.codes[:1], PAD)
        return replace(dialogue, codes=torch.cat([text, dialogue.codes[1:]]))

    return drawn


def train_moshi_variant(name: str, profile: Profile, folder: Path, seed: int, mimi: Mimi, helium: Helium,
                        tokenizer: TextTokenizer, bfloat16: bool = False) -> Moshi:
    """Train one of `WHAT_IS_LEFT_OUT` into `folder`, on the codes of `mimi`."""
    device, stage = pick_device(), variant_stage(name, profile)
    read = tuple(documents(profile.megabytes, 0)) if stage.silent else ()
    draw = sources(profile, 0, None, mimi.to(device), tokenizer, read)(stage)
    torch.manual_seed(seed)
    moshi = Moshi(MoshiConfig.tiny(len(tokenizer)))
    if name not in ("no-helium", "no-reading"):
        start_from_helium(moshi, helium)
    task = StageTask(new_student(moshi, device), wordless(draw) if name == "no-inner-monologue" else draw, stage,
                     device, pack(read, tokenizer) if read else None, bfloat16)  # fmt: skip
    train(task, folder, stage.steps, seed)
    return keep_with_tokenizer(moshi, tokenizer, folder)
