"""The stages of Moshi's training, each at small scale (Moshi paper, section 4 and Table 1).

    stage          sound                                  the paper: steps, rates (temporal, depth)    text only
    pretraining    one speaker reads, in Moshi's streams  1,000,000   3e-5 and 2e-4, cosine            1/2
    posttraining   two speakers, as if from one channel   100,000     3e-6 and 5e-5, fixed             1/10
    finetuning     conversations on two channels          10,000      2e-6 and 4e-6, fixed             none
    instruction    questions, and answers in one voice    30,000      2e-6 and 2e-6, fixed             none

First it learns what speech is, with an acoustic delay of 2 frames, because that is easier; text and sound are shifted
against each other, so that neither is a mere copy of the other. Then it learns that there are two, with a delay of 1;
then, when people speak and when they listen; and last, whom it is to be. Each stage begins with the weights of the one
before.

Here a stage has thousands of steps and not millions, so the rates are larger and lie closer together; the last stage
has to teach all that Moshi is asked later, so it is long and its rates fall; and there is some text to the end, because
so many steps without any would let it forget what it has read.

In a fifth of the last stage the dialogues are none: somebody speaks in Moshi's streams and nobody in the user's, and
the text comes after the sound, or before it (section 5.7; `speech_text.py`). So the one Moshi can also write down what
is said, and read aloud what is written. Two more stages, `asr` and `tts`, make of a trained Moshi a model for one of
these alone. All weights of a voice go on learning; a recogniser learns by adapters (`lora.py`), and nothing of the
sound, which is given to it.

And then there is what it has only read. Helium knows it as running text; Moshi speaks in words with PAD and EPAD
between them, and has to find it there, also while it hears itself. So in a quarter of the last stage it reads
silently, in that form; in three of four cases there are the sounds of a conversation in which something else is said.
Nothing of its past text is hidden in this stage: an answer should go on from what was just said, as text does.

Nearly half of the time of a step is the Depth Transformer's, which runs eight times for every frame. It is small and
learns quickly; to hear and to answer takes longer. So in the last stage the audio of a random quarter of the frames is
learnt in each step, and all of their text. (Sesame's CSM learns a sixteenth: "compute amortization", in Crossing the
uncanny valley of conversational voice, 2025.)

What takes longest is to hear: which of 154 names and things was that? In the last stage there are so many
utterances that none can be learnt by heart, so the user is misheard more seldom, and never muffled. Audio counts
less than text. What remains of its loss is mostly chance, one of many voices in which the same can be said; to those
parts of the model that listen, its gradients are noise.

And a conversation goes on. The Temporal Transformer remembers six seconds in each of its layers, and what a frame
knows of the past is at most as old as all of them together: 24 s with four. So the dialogues of the last stage, twice
as long as the others, last about as long (23 s). A model that has heard no more than eleven seconds of anybody can
know by the time that these are over, and nobody has told it how to go on.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from ..corpus.documents import documents
from ..helium import Helium
from ..mimi import Mimi
from ..moshi import Moshi, MoshiConfig
from ..tokenizer import TextTokenizer
from .distribution import pick_device
from .finetune import keep
from .language import start_from_helium
from .loop import constant, train
from .lora import WRITING, add_adapters
from .recipes import Profile, keep_with_tokenizer
from .sources import sources
from .stage_task import Stage, StageTask, hear_as_spoken, new_student
from .supervision import for_both_speakers, for_moshi_alone
from .text import pack

RANK = 32  # of a recogniser's adapters


def stages(profile: Profile) -> tuple[Stage, ...]:
    """The four stages of a Moshi that converses."""
    recipe, alone = profile.moshi, replace(profile.moshi, heard=0.0)  # alone, there is nobody to be heard
    # what it has just said is what its answer goes on from; of its voice it has learnt most already
    asked = replace(recipe, audio_weight=0.3, heard=2.0, forgotten=0.0, misheard=0.1, muffled=0.0, sounded=0.25)
    return (
        Stage("pretraining", steps(profile, 0.5), 5e-4, 1e-3, 2, text_only=0.5, recipe=alone, offset=0.6, masked=0.3),
        Stage("posttraining", steps(profile, 0.1), 2e-4, 5e-4, 1, constant, text_only=0.1, recipe=recipe),
        Stage("finetuning", steps(profile, 0.1), 1e-4, 2e-4, 1, constant, text_only=0.1, recipe=recipe),
        Stage("instruction", steps(profile, 19.1), 8e-4, 1e-3, 1, text_only=0.1, recipe=asked, longer=2, aside=0.2,
              silent=0.25),
    )  # fmt: skip


def speech_text_stage(name: str, profile: Profile) -> Stage:
    """The stage "asr" or "tts". What is to be spoken is never hidden from a model that is to speak it."""
    alone = replace(profile.moshi, heard=0.0)
    if name == "asr":
        return Stage(name, steps(profile, 0.7), 1e-3, 1e-3, 1,
                     recipe=replace(alone, audio_weight=0.0, sounded=0.0))  # fmt: skip
    return Stage(name, steps(profile, 0.5), 3e-4, 3e-4, 2, recipe=replace(alone, forgotten=0.0))


def steps(profile: Profile, share: float) -> int:
    """A share of the steps that a Moshi of the profile is trained for without stages."""
    return max(1, round(share * profile.moshi_steps))


def train_stages(profile: Profile, folder: Path, seed: int, human: Path | None, mimi: Mimi, helium: Helium | None,
                 tokenizer: TextTokenizer, both: bool = False, bfloat16: bool = False) -> Moshi:
    """Train the tiny Moshi into `folder`, stage after stage, on the codes of `mimi`; the model after each stage is kept
    in a folder of its own below it.

    helium: what it starts from. None leaves out all that comes from text alone: this start, and the steps on text.
    both: predict the user's codes too, as the paper does; what is kept predicts Moshi's alone.
    bfloat16: make products in it on a CPU too. A third faster on processors that have instructions for it.
    """
    device = pick_device()
    print(f"training Moshi in stages on {device}", file=sys.stderr)
    read = () if helium is None else tuple(documents(profile.megabytes, seed))
    source = sources(profile, seed, human, mimi.to(device), tokenizer, read)
    torch.manual_seed(seed)
    config, text = MoshiConfig.tiny(len(tokenizer)), None
    moshi = Moshi(for_both_speakers(config) if both else config)
    if helium is not None:
        start_from_helium(moshi, helium)
        text = pack(read, tokenizer)
    student = new_student(moshi, device)
    for stage in stages(profile):
        if stage.name == "posttraining":
            hear_as_spoken(moshi)
        task = StageTask(student, source(stage), stage, device, text, bfloat16)
        train(task, folder / stage.name, stage.steps, seed, factor=stage.factor)
        trained = keep_with_tokenizer(for_moshi_alone(moshi), tokenizer, folder / stage.name)
    return keep_with_tokenizer(trained, tokenizer, folder)


def train_speech_text(name: str, profile: Profile, folder: Path, seed: int, human: Path | None, mimi: Mimi,
                      moshi: Moshi, tokenizer: TextTokenizer, bfloat16: bool = False) -> Moshi:
    """Make a recogniser ("asr") or a voice ("tts") of a trained Moshi, into `folder`; the adapters of a recogniser lie
    there once more, alone, as lora.safetensors."""
    device = pick_device()
    print(f"training {name} on {device}", file=sys.stderr)
    stage = speech_text_stage(name, profile)
    draw = sources(profile, seed, human, mimi.to(device), tokenizer)(stage)
    torch.manual_seed(seed)
    rank = RANK if name == "asr" else None
    if rank is not None:
        add_adapters(moshi, rank, parts=WRITING)
    task = StageTask(new_student(moshi, device), draw, stage, device, bfloat16=bfloat16)
    train(task, folder, stage.steps, seed, factor=stage.factor)
    return keep(moshi, tokenizer, folder, rank)
