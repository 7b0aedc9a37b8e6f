"""Silent reading: text in the form of speech, of which no sound is learnt.

What a model reads and what it says do not look alike:

    read    "Ada"  " is"  " a"  " baker"  "."                     a token in every frame
    said    EPAD  "Ada"  PAD  PAD  EPAD  " is"  " a"  PAD  ...    words in the rhythm of speech

and what has been learnt in the first form is not known in the second one. The paper's Moshi need not be helped: it
hears seven million hours, in which nearly all that can be read is also said. Ours hears some hours of a small world,
and should still say aloud what it has only read. So documents are given to it in the second form, with

    nothing at all in the audio streams; or
    the sounds of a conversation in which something else is said. Otherwise two models grow in one, of which the first
    answers from what it has read, while nothing sounds, and the second from what it has heard, while something does.

This is ours, not the paper's.

Shapes: F frames, K streams.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ..inner_monologue import Word
from ..rq_transformer import ZERO
from ..tokenizer import PAD, TextTokenizer
from .dialogues import Dialogue
from .scripts import SENTENCE_END
from .timeline import Timeline, whole_words

WORD, LETTER = 0.12, 0.055  # seconds that a word takes, and each of its letters besides
PACE = (0.8, 1.2)  # how much slower or faster
SENTENCES = (0.4, 2.5)  # seconds between two sentences
QUIET = 0.5  # share of the readings without sounds


def as_moshi_says(document: str) -> list[str]:
    """The sentences of a document as Moshi would say them: of a written dialogue, only its own."""
    lines = [line.split(" Moshi: ")[-1] for line in document.split("\n")]
    return [each for line in lines for each in SENTENCE_END.split(line)]


class SilentReading:
    """Draws readings as long as the conversations that `conversation` draws.

    Where nothing sounds, sentences of a random document follow each other. Where there are the sounds of a
    conversation, the text says, instead of each turn of Moshi, a random sentence of as many words at the same times.
    Raises ValueError without documents.
    """

    def __init__(self, documents: Sequence[str], conversation: Callable[[random.Random], Timeline],
                 tokenizer: TextTokenizer, frame_rate: float):
        if not documents:
            raise ValueError("expected documents to read, got none")
        self.documents = [as_moshi_says(document) for document in documents]
        self.conversation, self.tokenizer, self.frame_rate = conversation, tokenizer, frame_rate
        self.by_length: dict[int, list[str]] = {}  # number of words: sentences
        for sentence in (each for sentences in self.documents for each in sentences):
            self.by_length.setdefault(len(sentence.split()), []).append(sentence)

    def draw(self, rng: random.Random) -> Dialogue:
        """One reading."""
        line = self.conversation(rng)
        sounding, nothing = line.dialogue(), torch.full((2 * len(line.moshi), line.frames), ZERO)
        if rng.random() < QUIET:
            words, sounds, said = self.words(rng), None, torch.full((line.frames,), PAD)
        else:
            words, sounds, said = self.instead(line, rng), sounding.codes[1:], sounding.user_text
        text = whole_words(words, self.tokenizer, line.frames, self.frame_rate)
        return Dialogue(torch.cat([text[None], nothing]), said, sounds=sounds)

    def words(self, rng: random.Random) -> list[Word]:
        """A document from a random sentence on, and when its words would be said."""
        sentences = rng.choice(self.documents)
        now, words = rng.uniform(0.0, SENTENCES[1]), []
        for sentence in sentences[rng.randrange(len(sentences)) :]:
            for text in sentence.split():
                end = now + (WORD + LETTER * len(text)) * rng.uniform(*PACE)
                words.append(Word(text, now, end))
                now = end
            now += rng.uniform(*SENTENCES)
        return words

    def instead(self, line: Timeline, rng: random.Random) -> list[Word]:
        """The words of other sentences at the times of Moshi's turns. A turn that is as long as no sentence stays."""
        words = []
        for turn in line.turns["moshi"]:
            sentences = self.by_length.get(len(turn.words))
            texts = rng.choice(sentences).split() if sentences else [word.text for word in turn.words]
            words += [replace(word, text=text) for word, text in zip(turn.words, texts, strict=True)]
        return words
