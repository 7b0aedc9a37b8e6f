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

But an answer must still be one to the question. In the second case the text is another answer than the one that is
heard, and only what comes after the first word in which they differ is learnt:

    heard     "What is three plus four?"    "Three plus four is seven."
    read                                    "Three plus eight is eleven."
    learnt                                                   is eleven.

So nothing here says that one might answer with what was not asked; only how it goes on if one has begun. And what is
read is as much like what is heard as chance allows: somebody else's job where one is asked for a job. So it is learnt
that the job is that of who is named in the text, whoever was named aloud, and that a job is what comes.

This is ours, not the paper's.

Shapes: F frames, K streams.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import eq

import torch
from torch import Tensor

from ..inner_monologue import Word, tokens_to_words, words_to_tokens
from ..rq_transformer import ZERO
from ..tokenizer import PAD, TextTokenizer
from .dialogues import Dialogue
from .scripts import SENTENCE_END
from .timeline import Timeline

WORD, LETTER = 0.12, 0.055  # seconds that a word takes, and each of its letters besides
PACE = (0.8, 1.2)  # how much slower or faster
SENTENCES = (0.4, 2.5)  # seconds between two sentences
QUIET = 0.25  # share of the readings without sounds
NEAREST = 8  # random answers, of which the one is read that is most like what is heard
MOSHI = " Moshi: "  # what stands before its part of a written dialogue


def as_moshi_says(document: str) -> list[str]:
    """The sentences of a document as Moshi would say them: of a written dialogue, only its own."""
    lines = [line.split(MOSHI)[-1] for line in document.split("\n")]
    return [each for line in lines for each in SENTENCE_END.split(line)]


def first_difference(texts: Sequence[str], others: Sequence[str]) -> int:
    """The first place in which two rows of as many words differ; their length if they do not."""
    return next((i for i, (a, b) in enumerate(zip(texts, others, strict=True)) if a != b), len(texts))


class SilentReading:
    """Draws readings as long as the conversations that `conversation` draws.

    Where nothing sounds, sentences of a random document follow each other. Where there are the sounds of a
    conversation, the text says, instead of each turn of Moshi, another of its answers in written dialogues, of as many
    words and at the same times. Raises ValueError without documents.
    """

    def __init__(self, documents: Sequence[str], conversation: Callable[[random.Random], Timeline],
                 tokenizer: TextTokenizer, frame_rate: float):
        if not documents:
            raise ValueError("expected documents to read, got none")
        self.documents = [as_moshi_says(document) for document in documents]
        self.conversation, self.tokenizer, self.frame_rate = conversation, tokenizer, frame_rate
        self.answers: dict[int, list[str]] = {}  # number of words: sentences
        answers = [line for document in documents for line in document.split("\n") if MOSHI in line]
        for sentence in (each for answer in answers for each in as_moshi_says(answer)):
            self.answers.setdefault(len(sentence.split()), []).append(sentence)

    def draw(self, rng: random.Random) -> Dialogue:
        """One reading."""
        line = self.conversation(rng)
        sounding, nothing = line.dialogue(), torch.full((2 * len(line.moshi), line.frames), ZERO)
        if rng.random() < QUIET:
            text = words_to_tokens(self.words(rng), self.tokenizer, line.frames, self.frame_rate)
            return Dialogue(torch.cat([text[None], nothing]), torch.full_like(text, PAD))
        words, learnt = self.instead(line, rng)
        text = words_to_tokens(words, self.tokenizer, line.frames, self.frame_rate)
        codes = torch.cat([self.without(text, learnt)[None], nothing])
        return Dialogue(codes, sounding.user_text, shown=torch.cat([text[None], sounding.codes[1:]]))

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

    def instead(self, line: Timeline, rng: random.Random) -> tuple[list[Word], list[bool]]:
        """The words of other answers at the times of Moshi's turns, and which of them are learnt. A turn that is as
        long as no answer stays, and is learnt."""
        words, learnt = [], []
        for turn in line.turns["moshi"]:
            said = [word.text for word in turn.words]
            some = rng.choices(self.answers.get(len(said), [" ".join(said)]), k=NEAREST)
            read = max((each.split() for each in some), key=lambda words: sum(map(eq, words, said)))
            begin = first_difference(read, said) + 1
            words += [replace(word, text=text) for word, text in zip(turn.words, read, strict=True)]
            learnt += [read == said or i >= begin for i in range(len(said))]
        return words, learnt

    def without(self, text: Tensor, learnt: Sequence[bool]) -> Tensor:
        """The text stream (F,) with nothing where there is a word that is not learnt."""
        text = text.clone()
        words = tokens_to_words(text, self.tokenizer, self.frame_rate)
        for word, kept in zip(words, learnt, strict=False):  # some begin behind the end
            if not kept:
                text[round(word.start * self.frame_rate) : round(word.end * self.frame_rate)] = ZERO
        return text
