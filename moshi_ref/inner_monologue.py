"""Inner Monologue: what Moshi says, as one text token for each frame (Moshi paper, section 3.4.4).

Speech has 12.5 frames a second and about three or four text tokens. The tokens of a word are written
from the frame in which the word starts, one a frame; all other frames hold PAD, and the frame before a
word holds EPAD ("end of padding"), so that *when* to speak is decided before *what* to say:

    frame   0    1    2     3       4     5    6    7
    token   PAD  PAD  EPAD  " sev"  "en"  PAD  PAD  EPAD  ...

Shapes: F frames; times are seconds.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .tokenizer import EPAD, PAD, TextTokenizer


@dataclass(frozen=True)
class Word:
    """A spoken word and when it sounds, in seconds."""

    text: str
    start: float
    end: float


def words_to_tokens(words: Sequence[Word], tokenizer: TextTokenizer, frames: int,
                    frame_rate: float = 12.5, ahead: float = 0.0) -> Tensor:
    """Text stream (F,) int64 of words with times.

    `ahead` moves the text earlier by so many seconds (text leads, as for TTS), or later if negative (as
    for ASR). A word whose tokens do not fit before the next word pushes it later: no word is lost,
    unless the frames end. EPAD never overwrites a word; a word in the first frame moves by one to make
    room for it.
    """
    stream = torch.full((frames,), PAD)
    free = 0  # the first frame that no word has taken
    for word in sorted((w for w in words if w.text.strip()), key=lambda w: w.start):
        start = math.floor((word.start - ahead) * frame_rate + 1e-6)  # + rounding: frame / rate is frame
        if start <= 0 and free == 0:
            start = 1
        start = max(start, free)
        if start > free:
            stream[start - 1 : start] = EPAD
        tokens = torch.tensor(tokenizer.encode(word.text.strip()))[: max(0, frames - start)]
        stream[start : start + len(tokens)] = tokens
        free = min(frames, start + len(tokens))
    return stream


def tokens_to_words(tokens: Iterable[int], tokenizer: TextTokenizer,
                    frame_rate: float = 12.5, ahead: float = 0.0) -> list[Word]:
    """Words with times from a text stream (F,): the inverse of `words_to_tokens`, to the frame.

    A word begins at a token that starts with a space, or after PAD or EPAD. It ends with its last token,
    because the stream does not say how long it sounds.
    """
    runs: list[tuple[int, list[int]]] = []  # (frame of the first token, tokens)
    inside = False
    for frame, token in enumerate(int(t) for t in tokens):
        if token <= PAD:
            inside = False
            continue
        if not inside or tokenizer.piece(token).startswith(" "):
            runs.append((frame, []))
        runs[-1][1].append(token)
        inside = True
    return [
        Word(tokenizer.decode(run).strip(), frame / frame_rate + ahead, (frame + len(run)) / frame_rate + ahead)
        for frame, run in runs
    ]


FREE, PAUSE = -1, -2  # instead of a token: whatever the model draws; PAD or EPAD, whichever it draws


class Script:
    """Words to put into Moshi's mouth: *what* is said is given, *when* is left to the model.

        script = Script("hello there", tokenizer)
        reply = stream.step(frame, torch.tensor([script.next(int(stream.written))]))    # in every frame

    Before each word the model may only draw PAD or EPAD, and its EPAD calls for the word: so it begins where it would
    speak anyway, and its voice keeps its own pace. (The text-to-speech of the Delayed Streams Modeling paper, arXiv
    2509.08753, is driven in this way.) A model that calls for nothing in `patience` frames gets the word anyway; with
    0, the words follow each other at once. After the last word, all is the model's own choice again.
    """

    def __init__(self, text: str, tokenizer: TextTokenizer, patience: int = 12):
        self.words = deque(tokenizer.encode(word) for word in text.split())
        self.word: deque[int] = deque()  # what is left of the present one
        self.patience = patience
        self.waited = 0  # frames since the last word

    def next(self, last: int) -> int:
        """What the next text token must be, or FREE or PAUSE. `last` is the text token before it."""
        if not self.word and self.words:
            if last != EPAD:
                self.waited += 1
                return EPAD if self.waited > self.patience else PAUSE
            self.word.extend(self.words.popleft())
            self.waited = 0
        return self.word.popleft() if self.word else FREE
