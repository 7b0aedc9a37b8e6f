"""What is heard in each stage of Moshi's training; see `stages.py`.

    stage           utterances                                              drawn by
    pretraining     readings by many speakers, one of them Moshi            SingleStream
    posttraining    the same readings                                       SimulatedPair
    finetuning      questions by users, answers by Moshi                    DuplexDialogues
    instruction     the same, also in rooms and in noise, and human         DuplexDialogues
                    digits if given; now and then what belongs to asr or    SingleStream
                    to tts; and text that is only read                      SilentReading
    asr             readings, questions and human digits                    SingleStream
    tts             what Moshi reads, and its answers                       SingleStream
    sums            sums and greetings by users, answers by Moshi; text     DuplexDialogues
                    that is only read, in one of its variants               SilentReading

Utterances are encoded once and kept beside the utterances themselves.

A little more is drawn of every dialogue than is given. Where it ends, nothing may be otherwise than in its middle: if
nobody began to speak there, or no word that is to be cut in two, the model would learn when its dialogues of training
end, and fall silent at that time for ever.
"""

import functools
import math
import random
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

from torch import Tensor
from torch.utils.data import Subset

from ..corpus.augment import NOISES
from ..corpus.clips import Clip, encode, encode_echoes, load_clips, save_clips
from ..corpus.dialogues import Dialogue, encode_backgrounds, encode_noises, fingerprint
from ..corpus.duplex_dialogues import DuplexDialogues
from ..corpus.human import HumanUtterances
from ..corpus.silent_reading import SilentReading
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

REACTIONS = 0.5  # clips of back-channels and of interruptions, each, as a share of the answers
NOISY = 1 / 16  # questions in each noise, as a share of the questions
PLACES = 4  # channels of each noise
ECHOES = 0.2  # share of the answers that know their echo
BEHIND_THE_END = 50  # frames that are drawn and not given
SUMS = ("sum", "greeting", "farewell")  # topics of conversations about sums

Draw = Callable[[random.Random], Dialogue]


def kinds_of_question(asked: int) -> dict[str, range]:
    """Which of the questions make up each kind: `asked` of them as they are, as many in rooms, and some in each noise.
    No kind has a question of another one, so a name is heard from as many people as there are questions."""
    some, noises = math.ceil(NOISY * asked), range(1, 1 + len(NOISES))
    sizes = {"question": asked, "question in rooms": asked} | {f"question in noise {n}": some for n in noises}
    ends = accumulate(sizes.values())
    return {kind: range(end - size, end) for (kind, size), end in zip(sizes.items(), ends, strict=True)}


class Voices:
    """The clips of a profile; each kind is made when it is asked for, or read from the cache."""

    def __init__(self, profile: Profile, seed: int, human: Path | None, mimi: Mimi):
        self.seed, self.human, self.mimi = seed, human, mimi
        asked, answered, self.people = profile.clips
        self.questions, reactions = kinds_of_question(asked), math.ceil(REACTIONS * answered)
        self.counts = {"question": sum(map(len, self.questions.values())), "answer": answered,
                       "reading": profile.readings, "backchannel": reactions, "interruption": reactions}  # fmt: skip

    def said(self, kind: str) -> Sequence[Utterance]:
        """The utterances of a kind. Users, of whom the synthesizer has few, are a little faster or slower."""
        if kind == "people":
            people = HumanUtterances(self.human, "train", self.people, self.seed) if self.human is not None else ()
            return WrittenDigits(people)
        role = kind.split()[0]
        utterances = first_before_others(lambda: spoken(role, "train", self.counts[role], self.seed))
        if role in ("answer", "reading"):
            return utterances
        varied = VariedUtterances(utterances, self.seed)
        if role != "question":
            return varied
        asked = Subset(varied, self.questions[kind])
        return InRooms(asked, self.seed) if kind == "question in rooms" else asked

    def clips(self, kind: str) -> list[Clip]:
        """The clips of a kind: a role of `spoken.py`, "question in rooms", "question in noise 1" and so on, or
        "people"."""
        said = self.said(kind)
        name = f"{kind.replace(' ', '-')}-{len(said)}-{self.seed}"
        path = CACHE / f"clips-of-spoken-{VERSION}-{fingerprint(self.mimi)}-{name}.safetensors"

        def found() -> list[Clip]:
            if not path.exists():
                save_clips(self.encoded(kind, said), path)
            return load_clips(path)

        return first_before_others(found) if len(said) else []

    def encoded(self, kind: str, said: Sequence[Utterance]) -> list[Clip]:
        """Moshi's answers are clean, and some know their echo; a room has noise of its own."""
        augmented = kind not in ("answer", "question in rooms")
        noise = int(kind.split()[-1]) if "noise" in kind else 0
        clips = encode(self.mimi, said, self.seed, augmented, f"encoding {kind}", noise)
        return encode_echoes(self.mimi, said, clips, self.seed, ECHOES) if kind == "answer" else clips


def sources(profile: Profile, seed: int, human: Path | None, mimi: Mimi, tokenizer: TextTokenizer,
            documents: Sequence[str] = ()) -> Callable[[Stage], Draw]:
    """A function that gives what a stage draws its dialogues with. `human` is a clone of the Free Spoken Digit
    Dataset; without `documents`, nothing is read silently."""
    clips, rate = functools.cache(Voices(profile, seed, human, mimi).clips), mimi.config.frame_rate

    @functools.cache
    def backgrounds(longer: int) -> Tensor:
        return encode_backgrounds(mimi, longer * profile.frames + BEHIND_THE_END, BACKGROUNDS, seed)

    def alone(said: Sequence[Clip], stage: Stage, ahead: float) -> Draw:
        around = backgrounds(stage.longer)
        return SingleStream(said, around, tokenizer, rate, stage.offset, stage.masked, ahead).draw

    def recognition(stage: Stage) -> Draw:
        return alone([*clips("reading"), *clips("question"), *clips("people")], stage, -BEHIND)

    def synthesis(stage: Stage) -> Draw:
        own = [clip for clip in clips("reading") if clip.speaker == MOSHI_VOICE.name]
        return alone([*own, *clips("answer")], stage, AHEAD)

    def duplex(questions: Sequence[Clip], stage: Stage, noises: Tensor | None = None) -> DuplexDialogues:
        others = [clips(kind) for kind in ("answer", "backchannel", "interruption")]
        return DuplexDialogues(questions, *others, backgrounds(stage.longer), tokenizer, rate, noises)

    def reading_too(conversations: DuplexDialogues, stage: Stage) -> Draw:
        if not documents or not stage.silent:
            return conversations.draw
        reading = SilentReading(documents, conversations.timeline, tokenizer, rate).draw
        return now_and_then(conversations.draw, (reading,), stage.silent / (1 - stage.aside))

    def instruction(stage: Stage) -> Draw:
        kinds = [*kinds_of_question(profile.clips[0]), "people"]
        questions = [clip for kind in kinds for clip in clips(kind)]
        noises = encode_noises(mimi, stage.longer * profile.frames + BEHIND_THE_END, PLACES, seed)
        conversations = duplex(questions, stage, noises)
        return now_and_then(reading_too(conversations, stage), (recognition(stage), synthesis(stage)), stage.aside)

    def with_what_follows(stage: Stage) -> Draw:
        match stage.name:
            case "pretraining":
                return alone(clips("reading"), stage, 0.0)
            case "posttraining":
                return SimulatedPair(clips("reading"), backgrounds(stage.longer), tokenizer, rate).draw
            case "finetuning":
                return duplex(clips("question"), stage).draw
            case "instruction":
                return instruction(stage)
            case "sums":
                return reading_too(duplex([c for c in clips("question") if c.topic in SUMS], stage), stage)
            case "asr":
                return recognition(stage)
            case _:
                return synthesis(stage)

    def source(stage: Stage) -> Draw:
        draw, frames = with_what_follows(stage), stage.longer * profile.frames
        return lambda rng: draw(rng).until(frames)

    return source


def now_and_then(usual: Draw, others: Sequence[Draw], share: float) -> Draw:
    """Draws the usual, and in a share of the cases one of the others."""
    return lambda rng: (rng.choice(others) if rng.random() < share else usual)(rng)
