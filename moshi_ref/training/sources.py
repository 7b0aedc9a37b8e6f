"""What is heard in each stage of Moshi's training; see `stages.py`.

    stage           utterances                                              drawn by
    pretraining     readings by many speakers, one of them Moshi            SingleStream
    posttraining    the same readings                                       SimulatedPair
    finetuning      questions by users, answers by Moshi                    DuplexDialogues
    instruction     the same, also in rooms, and human digits if given;     DuplexDialogues
                    and now and then what belongs to asr or to tts          SingleStream
    asr             readings, questions and human digits                    SingleStream
    tts             what Moshi reads, and its answers                       SingleStream

Utterances are encoded once and kept beside the utterances themselves.
"""

import functools
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from ..corpus.clips import Clip, encode, encode_echoes, load_clips, save_clips
from ..corpus.dialogues import Dialogue, encode_backgrounds, fingerprint
from ..corpus.duplex_dialogues import DuplexDialogues
from ..corpus.human import HumanUtterances
from ..corpus.single_stream import SimulatedPair, SingleStream
from ..corpus.spoken import VERSION, InRooms, WrittenDigits, spoken
from ..corpus.utterances import CACHE, Utterance, VariedUtterances
from ..corpus.voices import MOSHI_VOICE
from ..mimi import Mimi
from ..speech_text import AHEAD, BEHIND
from ..tokenizer import TextTokenizer
from .distribution import first_before_others
from .recipes import BACKGROUNDS, Profile
from .stage_task import Stage

REACTIONS = 0.04  # clips of back-channels and of interruptions, each, as a share of the answers
ECHOES = 0.2  # share of the answers that know their echo

Draw = Callable[[random.Random], Dialogue]


class Voices:
    """The clips of a profile; each kind is made when it is asked for, or read from the cache."""

    def __init__(self, profile: Profile, seed: int, human: Path | None, mimi: Mimi):
        self.seed, self.human, self.mimi = seed, human, mimi
        asked, answered, self.people = profile.clips
        reactions = math.ceil(REACTIONS * answered)
        self.counts = {"question": asked, "answer": answered, "reading": profile.readings, "backchannel": reactions,
                       "interruption": reactions}  # fmt: skip

    def said(self, kind: str) -> Sequence[Utterance]:
        """The utterances of a kind."""
        if kind == "people":
            people = HumanUtterances(self.human, "train", self.people, self.seed) if self.human is not None else ()
            return WrittenDigits(people)
        role = kind.removesuffix(" in rooms")
        utterances = first_before_others(lambda: spoken(role, "train", self.counts[role], self.seed))
        varied = VariedUtterances(utterances, self.seed) if role == "question" else utterances
        return InRooms(varied, self.seed) if kind != role else varied

    def clips(self, kind: str) -> list[Clip]:
        """The clips of a kind: a role of `spoken.py`, "question in rooms", or "people"."""
        said = self.said(kind)
        name = f"{kind.replace(' ', '-')}-{len(said)}-{self.seed}"
        path = CACHE / f"spoken-{VERSION}-{fingerprint(self.mimi)}-{name}.safetensors"

        def found() -> list[Clip]:
            if not path.exists():
                save_clips(self.encoded(kind, said), path)
            return load_clips(path)

        return first_before_others(found) if len(said) else []

    def encoded(self, kind: str, said: Sequence[Utterance]) -> list[Clip]:
        """Moshi's answers are clean, and some know their echo; a room has noise of its own."""
        augmented = kind not in ("answer", "question in rooms")
        clips = encode(self.mimi, said, self.seed, augmented, f"encoding {kind}")
        return encode_echoes(self.mimi, said, clips, self.seed, ECHOES) if kind == "answer" else clips


def sources(profile: Profile, seed: int, human: Path | None, mimi: Mimi, tokenizer: TextTokenizer) -> Callable[
    [Stage], Draw
]:
    """A function that gives what a stage draws its dialogues with. `human` is a clone of the Free Spoken Digit
    Dataset."""
    clips, rate = functools.cache(Voices(profile, seed, human, mimi).clips), mimi.config.frame_rate
    backgrounds = encode_backgrounds(mimi, profile.frames, BACKGROUNDS, seed)

    def alone(said: Sequence[Clip], stage: Stage, ahead: float) -> Draw:
        return SingleStream(said, backgrounds, tokenizer, rate, stage.offset, stage.masked, ahead).draw

    def recognition(stage: Stage) -> Draw:
        return alone([*clips("reading"), *clips("question"), *clips("people")], stage, -BEHIND)

    def synthesis(stage: Stage) -> Draw:
        own = [clip for clip in clips("reading") if clip.speaker == MOSHI_VOICE.name]
        return alone([*own, *clips("answer")], stage, AHEAD)

    def duplex(questions: Sequence[Clip]) -> Draw:
        others = [clips(kind) for kind in ("answer", "backchannel", "interruption")]
        return DuplexDialogues(questions, *others, backgrounds, tokenizer, rate).draw

    def source(stage: Stage) -> Draw:
        match stage.name:
            case "pretraining":
                return alone(clips("reading"), stage, 0.0)
            case "posttraining":
                return SimulatedPair(clips("reading"), backgrounds, tokenizer, rate).draw
            case "finetuning":
                return duplex(clips("question"))
            case "instruction":
                dialogue = duplex([*clips("question"), *clips("question in rooms"), *clips("people")])
                return now_and_then(dialogue, (recognition(stage), synthesis(stage)), stage.aside)
            case "asr":
                return recognition(stage)
            case _:
                return synthesis(stage)

    return source


def now_and_then(usual: Draw, others: Sequence[Draw], share: float) -> Draw:
    """Draws the usual, and in a share of the cases one of the others."""
    return lambda rng: (rng.choice(others) if rng.random() < share else usual)(rng)
