"""The scripts of the spoken world, spoken, and kept on disk.

Who says it, and what:

    question       a user asks the question of a script
    answer         Moshi gives the answer of a script
    reading        somebody reads sentences aloud, Moshi in every third case
    backchannel    a user says "uh huh": go on
    interruption   a user says "stop"

The sets are like those of `utterances.py`, and lie in the same cache. There, a user who asks about a sum and Moshi who
answers agree on an `Exchange`; here too, and it is written (`scripts.written`). Back-channels and interruptions have
an empty answer: nothing is to be said to them.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch.nn.functional as F

from .augment import add_loud_noise, change_gain, reverberate
from .dialogues import later
from .scripts import BACKCHANNELS, INTERRUPTIONS, TOPICS, draw_script, written
from .scripts import reading as draw_reading
from .small_world import Exchange
from .utterances import CACHE, Utterance, UtteranceSet, cached, render_moshi, render_user
from .voices import SAMPLE_RATE, moshi_voice, user_voice

VERSION = 4  # part of every cache's name: raise it when the same arguments would give different utterances
ROLES = {  # and the splits in which one can have them
    "question": tuple(TOPICS), "answer": tuple(TOPICS), "reading": ("train",), "backchannel": ("train", "test"),
    "interruption": ("train", "test"),
}  # fmt: skip


def render(role: str, split: str, rng: random.Random) -> Utterance:
    """One random utterance of a role. Users who ask what is unspoken have voices of the test: nobody trains on it."""
    voice = user_voice(rng, "train" if split == "train" else "test")
    match role:
        case "question":
            return render_user(draw_script(rng, split), voice, rng)
        case "answer":
            return render_moshi(draw_script(rng, split), moshi_voice(rng))
        case "reading":
            text = draw_reading(rng)
            reader = moshi_voice(rng) if rng.random() < 1 / 3 else voice
            return render_user(Exchange("reading", text, text, ()), reader, rng)
        case _:
            text = rng.choice({"backchannel": BACKCHANNELS, "interruption": INTERRUPTIONS}[role])
            return render_user(Exchange(role, text, "", ()), voice, rng)


def _random_utterances(role: str, split: str, count: int, seed: int) -> Iterator[Utterance]:
    rng = random.Random(f"{role} {split} {seed}")
    for _ in range(count):
        yield render(role, split, rng)


def spoken(role: str, split: str, count: int, seed: int, folder: Path = CACHE) -> UtteranceSet:
    """`count` random utterances of a role: "question", "answer", "reading", "backchannel" or "interruption".

    Split "train", "test" or "unspoken" decides which scripts (see `scripts.py`) and which users may be drawn; all
    readings are of split "train". The first call renders the utterances and writes them below `folder`; later calls
    with the same arguments only open the files.
    """
    if split not in ROLES.get(role, ()) or count < 1:
        raise ValueError(f"expected a role and one of its splits, {ROLES}, and a count of at least 1; "
                         f"got {role!r}, {split!r} and {count}")  # fmt: skip
    arguments = ["spoken", VERSION, role, split, count, seed]
    return cached(f"{role}-{split}-{count}", arguments, lambda: _random_utterances(role, split, count, seed), count,
                  folder)  # fmt: skip


BEFORE, AFTER = 0.05, 0.3  # seconds of the room before and after the speech


class InRooms(Sequence[Utterance]):
    """Utterances as a microphone in a room may hear them: reverberated, noisy, too soft or too loud, each with a
    moment of the room before and after it. As in the paper, section 4.4. Number i is the same at every call with
    the same seed."""

    def __init__(self, utterances: Sequence[Utterance], seed: int):
        self.utterances, self.seed = utterances, seed

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, i: int) -> Utterance:
        utterance, rng = self.utterances[i], random.Random(f"{self.seed}/room/{i}")
        wav = F.pad(utterance.wav, (round(BEFORE * SAMPLE_RATE), round(AFTER * SAMPLE_RATE)))
        wav = change_gain(add_loud_noise(reverberate(wav, rng), rng), rng)
        words, phones = later(utterance.words, BEFORE), later(utterance.phones, BEFORE)
        return replace(utterance, wav=wav, words=tuple(words), phones=tuple(phones))


class WrittenDigits(Sequence[Utterance]):
    """Bare digits by people (`human.HumanUtterances`), with the answer as Moshi now writes it. Some are about unspoken
    sums; nobody renders an answer to them, so `DuplexDialogues` leaves them out."""

    def __init__(self, utterances: Sequence[Utterance]):
        self.utterances = utterances

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, i: int) -> Utterance:
        return replace(self.utterances[i], exchange=written(self.utterances[i].exchange))
