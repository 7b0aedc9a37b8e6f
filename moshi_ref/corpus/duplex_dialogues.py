"""Full-duplex dialogues: both may speak at any time, and Moshi goes on, stops or says nothing, as it should.

A dialogue is a row of exchanges as in `dialogues.py`: a question, a gap of about half a second, one of the many
renderings of its answer. But the user does not always wait:

    back-channel    "uh huh", while Moshi speaks: it goes on as if nothing had been said
    interruption    "stop", while Moshi speaks: it falls silent, and stays so until it is asked something
    barge-in        a new question, while Moshi speaks: it falls silent, and answers the new question
    echo            a silent user's microphone hears Moshi, who must not take that for a question
    nothing         in some dialogues nobody says anything at all, and there may be noise
    noise           some users are where it is noisy: it sounds from the beginning to the end, also between questions
    long pause      now and then nobody speaks for longer than Moshi remembers: then too it answers the next question

When may Moshi stop? Only what has been heard can be known, and "stop" is known from "uh huh" when the word is over. So
Moshi stops a moment after the end of the first word that no back-channel has in its place (`telling`), after the time
at which the training expects it to have understood that word (`dialogues.HEARING`), and never before.

Shapes: Q codebooks, F frames.
"""

import random
from collections.abc import Sequence

from torch import Tensor

from ..tokenizer import TextTokenizer
from .clips import Clip
from .dialogues import GAP, HEARING, PAUSE, Dialogue, Dialogues, hesitate, without_afterthought
from .timeline import Timeline, Turn

FIRST = (0.0, 1.6)  # seconds until the first question begins
NEXT = (0.5, 1.6)  # seconds between the end of an exchange and the next question
LONG = (1.6, 8.0)  # seconds of the pause before some of the questions: Moshi's context is 6
PAUSING = 0.25  # how often the pause is long
REACTION = (HEARING + 0.04, HEARING + 0.20)  # seconds from the end of the telling word until Moshi falls silent
EVENTS = {"none": 8, "backchannel": 8, "interruption": 3, "barge-in": 3}  # during an answer, and how often
SETTLED = 0.3  # seconds that Moshi speaks before anything happens
AFTERWARDS = 0.1  # how often the user says "yes" or "stop" when Moshi has finished
NO_AFTERTHOUGHT = 0.5  # how often a question with a "please" or the like at its end is asked without it
REST = 0.5  # seconds for which a question goes on after its telling word, if it interrupts: Moshi must be silent first
SILENT = 0.05  # how often nobody says anything more
ECHOING = 0.3  # share of dialogues in which the user's microphone hears Moshi
# topic: how often it is asked for, relative to the others (and to 1): what is hard to learn is practised more often
PRACTICE = {"fact": 48, "sum": 6, "digits": 12, "compare": 8, "repeat": 6, "word": 4, "words": 12, "count": 8}


def plain(clip: Clip) -> list[str]:
    """The clip's words without capitals and stops."""
    return [word.text.lower().strip(".,?!") for word in clip.words]


def pause(usual: tuple[float, float], rng: random.Random) -> float:
    """Seconds until the user asks: as usual, or now and then for `LONG`."""
    return rng.uniform(*(LONG if rng.random() < PAUSING else usual))


class DuplexDialogues(Dialogues):
    """Draws dialogues from encoded clips; all have the length of the backgrounds (N, Q, F), of which the first is
    silence. Every drawn dialogue is different.

    Questions that were said in a noise are asked where it is heard: noises (N, M, Q, F) are M channels of each. The
    other questions of that dialogue come from the same place.

    Questions without a rendering of their answer are left out. Raises ValueError if none is left, or if there are
    no back-channels or no interruptions.
    """

    def __init__(self, questions: Sequence[Clip], answers: Sequence[Clip], backchannels: Sequence[Clip],
                 interruptions: Sequence[Clip], backgrounds: Tensor, tokenizer: TextTokenizer, frame_rate: float,
                 noises: Tensor | None = None):
        super().__init__(questions, answers, backgrounds, tokenizer, frame_rate)
        self.noises = noises
        self.asked: dict[int, dict[str, list[Clip]]] = {}  # number of a noise, topic: questions
        for clip in self.questions:
            self.asked.setdefault(clip.noise, {}).setdefault(clip.topic, []).append(clip)
        if not backchannels or not interruptions:
            raise ValueError("expected at least one back-channel and one interruption, got "
                             f"{len(backchannels)} and {len(interruptions)}")  # fmt: skip
        self.backchannels, self.interruptions = backchannels, interruptions
        self.harmless = {tuple(plain(clip)) for clip in backchannels}

    def draw(self, rng: random.Random) -> Dialogue:
        """A dialogue as long as the backgrounds."""
        return self.timeline(rng).dialogue()

    def timeline(self, rng: random.Random) -> Timeline:
        """The same, with all that is known about it."""
        noise = rng.choice(self.questions).noise
        line = Timeline(self.backgrounds[0], self.background(noise, rng), self.tokenizer, self.frame_rate)
        echoing, now = rng.random() < ECHOING, pause(FIRST, rng)
        while now < line.seconds and rng.random() > SILENT:
            now = self.exchange(line, now, noise, echoing, rng) + pause(NEXT, rng)
        return line

    def background(self, noise: int, rng: random.Random) -> Tensor:
        """The user's channel (Q, F) while nobody speaks: in a noise, or, in every second case, in silence."""
        if noise:
            return rng.choice(self.noises[noise - 1])
        return self.backgrounds[rng.choice([0, rng.randrange(len(self.backgrounds))])]

    def question(self, noise: int, rng: random.Random) -> Clip:
        """A random question that is asked in this noise, of a topic that is drawn before it; some without the
        afterthought with which they were said."""
        topics = self.asked[noise]
        topic = rng.choices(list(topics), [PRACTICE.get(each, 1) for each in topics])[0]
        clip = rng.choice(topics[topic])
        return without_afterthought(clip, self.frame_rate) if rng.random() < NO_AFTERTHOUGHT else clip

    def exchange(self, line: Timeline, now: float, noise: int, echoing: bool, rng: random.Random) -> float:
        """A question at `now`, its answer, and what happens meanwhile. Returns when all is said."""
        asked, since = line.user_says(hesitate(self.question(noise, rng), rng, self.frame_rate), now), 0
        while True:
            answer = rng.choice(self.answers[asked.clip.answer])
            answered = line.moshi_says(answer, asked.end + rng.uniform(*GAP), since)
            if echoing:
                line.echo(answered)
            event = rng.choices(list(EVENTS), list(EVENTS.values()))[0]
            clip = self.question(noise, rng) if event == "barge-in" else rng.choice(self.interruptions)
            times = self.interruptible(answered, clip)
            if event in ("none", "backchannel") or times is None:
                return self.listen(line, answered, event == "backchannel", rng)
            said = line.user_says(hesitate(clip, rng, self.frame_rate), rng.uniform(*times))
            since = line.stop(said.start + self.telling(said.clip) - clip.start + rng.uniform(*REACTION))
            if event == "interruption":
                return max(said.end, since / self.frame_rate)
            asked = said

    def listen(self, line: Timeline, answered: Turn, during: bool, rng: random.Random) -> float:
        """Moshi finishes. The user may say a back-channel `during` its turn, or something that needs no answer after
        it. Returns the end of all speech."""
        if during:
            clip, at = rng.choice(self.backchannels), rng.uniform(answered.start + SETTLED, answered.end)
        elif rng.random() < AFTERWARDS:
            clip = rng.choice(rng.choice((self.backchannels, self.interruptions)))
            at = answered.end + rng.uniform(*PAUSE)
        else:
            return answered.end
        return max(answered.end, line.user_says(clip, at).end)

    def interruptible(self, answered: Turn, clip: Clip) -> tuple[float, float] | None:
        """Between which times the user may say a clip, so that Moshi can stop before it has finished its turn; None
        if the turn is too short. A question must go on until Moshi is silent."""
        telling = self.telling(clip)
        earliest = answered.start + SETTLED
        latest = answered.end - (telling - clip.start) - REACTION[1]
        too_short = bool(clip.answer) and clip.end - telling < REST
        return None if latest <= earliest or too_short else (earliest, latest)

    def telling(self, clip: Clip) -> float:
        """The end of the first word by which a clip differs from all back-channels, in the clip's time."""
        words = plain(clip)
        for count, word in enumerate(clip.words, start=1):
            if not any(other[:count] == tuple(words[:count]) for other in self.harmless):
                return word.end
        return clip.end
