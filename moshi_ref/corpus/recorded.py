"""Recorded conversations as training data: windows of tokens, drawn at random.

    Conversation -> `encode_conversation` -> tokens of both channels, words with times
                 -> `RecordedDialogues.draw` -> a `Dialogue`, like those of the small world

`training.language.LanguageTask` takes the drawing of either. The recipe's `heard` should be 0 where nobody wrote
down what the users say.

Shapes: Q codebooks, F frames, K = 1 + 2 * Q streams.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..inner_monologue import Word, words_to_tokens
from ..mimi import Mimi
from ..rq_transformer import ZERO
from ..tokenizer import PAD, TextTokenizer
from .conversations import Conversation
from .dialogues import HEARING, Dialogue, later

PIECE = 125  # frames that are encoded at once: ten seconds


@dataclass(frozen=True)
class EncodedConversation:
    """codes: (2 * Q, F) int16, Moshi's and then the user's; words with times in seconds."""

    codes: Tensor
    words: tuple[Word, ...]
    user_words: tuple[Word, ...]


@torch.inference_mode()
def encode_conversation(mimi: Mimi, conversation: Conversation) -> EncodedConversation:
    """Both channels as codes of this Mimi, piece by piece, so that an hour needs no more memory than a minute."""
    size, device = mimi.config.frame_size, next(mimi.parameters()).device
    wav = F.pad(conversation.wav, (0, -conversation.wav.shape[1] % size))[:, None]  # (2, 1, F * 1920)
    state = mimi.initial_state(2)
    pieces = [mimi.encode(piece.to(device), state).short().cpu() for piece in wav.split(PIECE * size, dim=-1)]
    return EncodedConversation(torch.cat(pieces, dim=-1).flatten(0, 1), conversation.words, conversation.user_words)


def window(
    conversation: EncodedConversation, first: int, frames: int, tokenizer: TextTokenizer, frame_rate: float
) -> Dialogue:
    """The dialogue of `frames` frames that begins with frame `first`.

    A word belongs to the window in which it starts; the EPAD before it may be the last token of the window before.
    What lies behind the end of the conversation is ZERO, which no loss counts.
    """
    codes = conversation.codes[:, first : first + frames].long()  # (2 * Q, F or less)
    known = codes.shape[1]

    def inside(words: Sequence[Word]) -> list[Word]:
        return [w for w in later(words, -first / frame_rate) if 0 <= w.start < (known + 1) / frame_rate]

    heard = [Word(w.text, w.end + HEARING, w.end + HEARING) for w in inside(conversation.user_words)]
    said = words_to_tokens(inside(conversation.words), tokenizer, known, frame_rate)
    grid = F.pad(torch.cat([said[None], codes]), (0, frames - known), value=ZERO)
    return Dialogue(grid, F.pad(words_to_tokens(heard, tokenizer, known, frame_rate), (0, frames - known), value=PAD))


class RecordedDialogues:
    """Draws windows of `frames` frames, each frame of all conversations about equally often.

    Raises ValueError without conversations, or for windows without frames.
    """

    def __init__(
        self, conversations: Sequence[EncodedConversation], tokenizer: TextTokenizer, frames: int, frame_rate: float
    ):
        if not conversations or frames < 1:
            raise ValueError(f"expected conversations and frames, got {len(conversations)} and {frames}")
        self.conversations, self.tokenizer, self.frames, self.frame_rate = conversations, tokenizer, frames, frame_rate
        self.lengths = [conversation.codes.shape[1] for conversation in conversations]

    def draw(self, rng: random.Random) -> Dialogue:
        """A random window of a random conversation; short conversations are always drawn whole."""
        (number,) = rng.choices(range(len(self.lengths)), self.lengths)
        first = rng.randint(0, max(0, self.lengths[number] - self.frames))
        return window(self.conversations[number], first, self.frames, self.tokenizer, self.frame_rate)
