"""Recordings of one channel: what pre-training and post-training learn from (Moshi paper, section 4.4).

Most of the speech in the world was recorded on one channel, and the paper begins with seven million hours of it:

    pre-training     one stream. Whoever speaks, speaks as Moshi; there is no user, all of whose streams are empty
                     (ZERO). Text and sound are shifted against each other by up to 0.6 s, and the text is hidden in
                     30 % of the recordings, so that the model does not rely on either.      `SingleStream`
    post-training    two streams, made of one: a diarizer tells who speaks when. One of the speakers becomes Moshi,
                     the other the user. They never speak at the same time, and whoever does not speak is perfectly
                     silent: that is what real conversations still have to mend.             `SimulatedPair`

With a constant shift, `ahead`, the same data teach to write down speech (text behind) or to read aloud (text ahead).

Shapes: Q codebooks, F frames, K = 1 + 2 * Q streams.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ..rq_transformer import ZERO
from ..tokenizer import TextTokenizer
from .clips import Clip
from .dialogues import Dialogue
from .timeline import Timeline

BREATH = (0.6, 1.3)  # seconds between two readings of a speaker; the silence before a clip has room in it
TURN = (0.1, 1.0)  # seconds between two speakers
MORE = 0.3  # how often a speaker goes on after a reading


def by_speaker(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    """The clips of each speaker."""
    speakers: dict[str, list[Clip]] = {}
    for clip in clips:
        speakers.setdefault(clip.speaker, []).append(clip)
    return speakers


class SingleStream:
    """Draws recordings of one speaker each, as long as the backgrounds (N, Q, F): silence and noises.

    The text leads by `ahead` seconds (lags, if negative), and besides by a random time of at most `offset` seconds in
    either direction; in a share of `masked` recordings there is none (ZERO). Raises ValueError without clips.
    """

    def __init__(self, clips: Sequence[Clip], backgrounds: Tensor, tokenizer: TextTokenizer, frame_rate: float,
                 offset: float = 0.6, masked: float = 0.3, ahead: float = 0.0):
        if not clips:
            raise ValueError("expected clips of readings, got none")
        self.clips, self.speakers, self.backgrounds = clips, by_speaker(clips), backgrounds
        self.tokenizer, self.frame_rate = tokenizer, frame_rate
        self.offset, self.masked, self.ahead = offset, masked, ahead

    def draw(self, rng: random.Random) -> Dialogue:
        """One recording. The user's codes and what the user says are empty. Words that come first are given."""
        ahead = self.ahead + rng.uniform(-self.offset, self.offset)
        dialogue = self.timeline(rng, ahead).dialogue(ahead)
        dialogue.codes[1 + self.backgrounds.shape[1] :] = ZERO
        if rng.random() < self.masked:
            dialogue.codes[0] = ZERO
        return replace(dialogue, given=self.ahead > 0)

    def timeline(self, rng: random.Random, ahead: float = 0.0) -> Timeline:
        """The same, with all that is known about it. The speech leaves time for text that comes before it."""
        background = rng.choice(self.backgrounds)
        line = Timeline(background, background, self.tokenizer, self.frame_rate)
        now = max(0.0, ahead) + rng.uniform(0.0, 1.0)
        own = self.speakers[rng.choice(self.clips).speaker]  # who has read more is heard more often
        while now < line.seconds + max(0.0, ahead):
            now = line.moshi_says(rng.choice(own), now).end + rng.uniform(*BREATH)
        return line


class SimulatedPair:
    """Draws conversations of two readers, as a diarizer would find them in a recording of one channel; as long as the
    backgrounds (N, Q, F), of which the first is silence. Raises ValueError for clips of fewer than two speakers."""

    def __init__(self, clips: Sequence[Clip], backgrounds: Tensor, tokenizer: TextTokenizer, frame_rate: float):
        self.clips, self.speakers, self.silence = clips, by_speaker(clips), backgrounds[0]
        if len(self.speakers) < 2:
            raise ValueError(f"expected clips of two speakers or more, got {len(self.speakers)}")
        self.tokenizer, self.frame_rate = tokenizer, frame_rate

    def draw(self, rng: random.Random) -> Dialogue:
        """One conversation; either reader is Moshi."""
        return self.timeline(rng).dialogue()

    def timeline(self, rng: random.Random) -> Timeline:
        """The same, with all that is known about it."""
        line = Timeline(self.silence, self.silence, self.tokenizer, self.frame_rate)
        first = second = rng.choice(self.clips).speaker
        while second == first:
            second = rng.choice(self.clips).speaker
        now, turns = rng.uniform(0.0, 1.0), [(line.moshi_says, first), (line.user_says, second)]
        rng.shuffle(turns)
        while now < line.seconds:
            says, speaker = turns[0]
            now = says(rng.choice(self.speakers[speaker]), now).end
            if rng.random() < MORE:
                now = says(rng.choice(self.speakers[speaker]), now + rng.uniform(*BREATH)).end
            now += rng.uniform(*TURN)
            turns.reverse()
        return line
