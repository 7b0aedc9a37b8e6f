"""A conversation while it is put together: two channels of codes, and who says what when.

    timeline = Timeline(moshi, user, tokenizer, frame_rate)     two channels of silence or noise, (Q, F)
    asked = timeline.user_says(question, 1.0)                    clips are laid over them
    timeline.moshi_says(answer, asked.end + 0.5)
    timeline.stop(3.2)                                           Moshi falls silent
    timeline.dialogue()                                          tokens, for training

All that is drawn at random is drawn elsewhere; here is only what must hold of every conversation: that text and voice
go together, and that who stops does so between two words of the text. The end is only where we stop looking: a word
that it cuts in two begins before it like any other.

Shapes: Q codebooks, F frames, K = 1 + 2 * Q streams. Times are seconds from the beginning.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..inner_monologue import Word, tokens_to_words, words_to_tokens
from ..tokenizer import PAD, TextTokenizer
from .clips import Clip
from .dialogues import HEARING, Dialogue, later, place


def within_word(stream: Tensor, frame: int, tokenizer: TextTokenizer) -> bool:
    """Whether a word of the stream (F,) is under way when `frame` begins."""
    if not 0 < frame < len(stream) or stream[frame - 1] <= PAD or stream[frame] <= PAD:
        return False
    return not tokenizer.piece(stream[frame]).startswith(" ")


@dataclass(frozen=True)
class Turn:
    """A clip in its place. Words and times are the timeline's; `first` is the frame in which its codes begin."""

    clip: Clip
    words: tuple[Word, ...]
    start: float
    end: float
    first: int


class Timeline:
    """What was said so far. `moshi` and `user` (Q, F) are the channels while nobody speaks.

    `turns` of "moshi" and of the "user" are in the order in which they were laid, and may end behind the end.
    """

    def __init__(self, moshi: Tensor, user: Tensor, tokenizer: TextTokenizer, frame_rate: float):
        self.silence, self.moshi = moshi, moshi.clone()
        self.noise, self.user = user, user.clone()
        self.tokenizer, self.frame_rate, self.frames = tokenizer, frame_rate, moshi.shape[-1]
        self.turns: dict[str, list[Turn]] = {"moshi": [], "user": []}

    @property
    def seconds(self) -> float:
        return self.frames / self.frame_rate

    def words(self, speaker: str) -> list[Word]:
        """All that "moshi" or the "user" said."""
        return [word for turn in self.turns[speaker] for word in turn.words]

    def _lay(self, clip: Clip, channel: Tensor, at: float, speaker: str) -> Turn:
        first = place(clip, channel, at, self.frame_rate)
        shift = first / self.frame_rate
        turn = Turn(clip, tuple(later(clip.words, shift)), clip.start + shift, clip.end + shift, first)
        self.turns[speaker].append(turn)
        return turn

    def user_says(self, clip: Clip, at: float) -> Turn:
        """The user says a clip; its speech starts near `at`."""
        return self._lay(clip, self.user, at, "user")

    def moshi_says(self, clip: Clip, at: float, since: int = 0) -> Turn:
        """Moshi says a clip. What it did before the frame `since` stays, also where silence precedes the speech."""
        before = self.moshi[:, :since].clone()
        turn = self._lay(clip, self.moshi, at, "moshi")
        self.moshi[:, :since] = before
        return turn

    def echo(self, turn: Turn) -> None:
        """The microphone of the user, who is silent, hears Moshi's turn, if its clip knows its echo."""
        if turn.clip.echo is not None:
            begin = int(turn.start * self.frame_rate)
            heard = turn.clip.echo[:, begin - turn.first :]
            room = max(0, self.frames - begin)
            self.user[:, begin : begin + heard.shape[-1]] = heard[:, :room]

    def stop(self, at: float) -> int:
        """Moshi, interrupted by the user's last turn, falls silent `at` that time, in mid-sentence and perhaps in
        mid-word. Returns the first frame of the silence.

        If the tokens of a word are just being written, the silence waits for the last one, a frame or two. Text and
        voice end together, and when the user has finished, no echo is left.
        """
        *earlier, turn = self.turns["moshi"]
        stream = words_to_tokens(self.words("moshi"), self.tokenizer, self.frames, self.frame_rate)
        frame = min(self.frames, math.ceil(at * self.frame_rate - 1e-6))
        while within_word(stream, frame, self.tokenizer):
            frame += 1
        self.moshi[:, frame:] = self.silence[:, frame:]
        last = self.turns["user"][-1]
        quiet = max(frame, last.first + last.clip.codes.shape[-1])
        self.user[:, quiet:] = self.noise[:, quiet:]
        said = len(tokens_to_words(stream[:frame], self.tokenizer)) - sum(len(each.words) for each in earlier)
        turn = replace(turn, words=turn.words[:said], end=min(turn.end, frame / self.frame_rate))
        self.turns["moshi"] = [*earlier, turn]
        return frame

    def dialogue(self, ahead: float = 0.0) -> Dialogue:
        """The tokens; text leads by `ahead` seconds."""
        text = words_to_tokens(self.words("moshi"), self.tokenizer, self.frames, self.frame_rate, ahead)
        known = [Word(word.text, word.end + HEARING, word.end + HEARING) for word in self.words("user")]
        codes = torch.cat([text[None], self.moshi.long(), self.user.long()])  # (K, F)
        return Dialogue(codes, words_to_tokens(known, self.tokenizer, self.frames, self.frame_rate))
