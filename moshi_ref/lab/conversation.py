"""A conversation that is recorded while it is held: the sound, the tokens and the time of every frame.

`talk.converse` does the same for the command line. Here, several conversations run side by side as one batch,
the tokens of both speakers are kept for the figures, and a function may watch.

Shapes: B conversations, T samples, F frames, K streams.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..inner_monologue import Word, tokens_to_words
from ..moshi import MoshiStream
from ..tokenizer import TextTokenizer


@dataclass(frozen=True)
class Conversation:
    """What both sides said. Frame f of every field is the same 80 ms."""

    user: Tensor  # (B, T)
    moshi: Tensor  # (B, T)
    columns: Tensor  # (B, K, F): text, Moshi's codes, the user's codes; without delays
    seconds: tuple[float, ...]  # computing time of each frame
    sample_rate: int

    @property
    def frames(self) -> int:
        return self.columns.shape[-1]

    @property
    def frame_size(self) -> int:
        return self.user.shape[-1] // self.frames

    @property
    def frame_rate(self) -> float:
        return self.sample_rate / self.frame_size

    def words(self, tokenizer: TextTokenizer, row: int = 0) -> list[Word]:
        """What Moshi says in conversation number `row`, read off its text stream."""
        return tokens_to_words(self.columns[row, 0], tokenizer, self.frame_rate)

    def text(self, tokenizer: TextTokenizer, row: int = 0) -> str:
        return " ".join(word.text for word in self.words(tokenizer, row))

    def stereo(self, row: int = 0) -> Tensor:
        """(2, T): Moshi on the left, the user on the right."""
        return torch.stack([self.moshi[row], self.user[row]])


def join(*parts: Conversation) -> Conversation:
    """Pieces of a conversation that followed each other, as one."""
    wavs = [torch.cat([getattr(part, who) for part in parts], dim=-1) for who in ("user", "moshi")]
    seconds = tuple(taken for part in parts for taken in part.seconds)
    return Conversation(*wavs, torch.cat([part.columns for part in parts], dim=-1), seconds, parts[0].sample_rate)


def to_frames(wav: Tensor, size: int, silence: int = 0) -> Tensor:
    """Sounds (B, T) -> (F, B, 1, size): `silence` samples follow, and what a whole frame still lacks."""
    padded = F.pad(wav, (0, silence + -(wav.shape[-1] + silence) % size))
    return padded.unflatten(-1, (-1, 1, size)).transpose(0, 1)


def hold(stream: MoshiStream, wav: Tensor, after: float = 0.0, every: int = 8,
         watch: Callable[[Conversation], None] | None = None) -> Conversation:
    """Play the sound (T,), or the sounds (B, T) of a batch, to Moshi, then `after` seconds of silence.
    `watch` is called with the conversation so far: every `every` frames, and at the end."""
    config, device = stream.mimi.config, stream.initial.device
    silence = round(after * config.sample_rate)
    frames = to_frames(torch.atleast_2d(wav), config.frame_size, silence)
    said, columns, seconds = [], [], []
    for number, frame in enumerate(frames, start=1):
        began = time.perf_counter()
        reply = stream.step(frame.to(device))
        said.append(reply.audio[:, 0].clamp(-1, 1).cpu())  # what a loudspeaker can play
        seconds.append(time.perf_counter() - began)
        newest = torch.cat([reply.text[:, None], reply.codes, stream.state.user[..., -1]], dim=1)  # (B, K)
        columns.append(newest.cpu())
        if number == len(frames) or (watch and number % every == 0):
            heard = frames[:number, :, 0].transpose(0, 1).flatten(1)
            so_far = Conversation(
                heard, torch.cat(said, -1), torch.stack(columns, -1), tuple(seconds), config.sample_rate
            )
            if watch:
                watch(so_far)
    return so_far


def side_by_side(wavs: Sequence[Tensor], before: float = 0.0, sample_rate: int = 24_000) -> Tensor:
    """Sounds of different lengths as one batch (B, T): `before` seconds of silence, the sound, more silence."""
    lead, longest = round(before * sample_rate), max(len(wav) for wav in wavs)
    return torch.stack([F.pad(wav, (lead, longest - len(wav))) for wav in wavs])
