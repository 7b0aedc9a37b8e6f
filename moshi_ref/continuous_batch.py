"""Several conversations as one batch, which each may join and leave at any time ("continuous batching").

    batch = ContinuousBatch(moshi, mimi, places=4)
    anna = batch.join(seed=1)
    replies = batch.step({anna: frame})    # every 80 ms, for all who are there
    batch.leave(anna)

A batch costs less than its conversations one by one, because the weights are read once for all. All places are
computed in every step, taken or not, so that no tensor ever changes its shape. A conversation does not depend on who
else is there: each row has its own state and its own generator of random numbers, and no operation mixes rows.
"""

import torch
from torch import Tensor

from .inner_monologue import FREE
from .mimi import Mimi
from .moshi import AUDIO_SAMPLING, TEXT_SAMPLING, Moshi, MoshiStream, Reply
from .rq_transformer import Sampling


class ContinuousBatch:
    """A `MoshiStream` whose rows are given to conversations and taken back.

    Matrix products of other shapes add their numbers in another order. So a conversation here and the same one alone
    in a stream have logits that differ by rounding (about 1e-6 of their size in float32).
    """

    def __init__(
        self, moshi: Moshi, mimi: Mimi, places: int, text: Sampling = TEXT_SAMPLING, audio: Sampling = AUDIO_SAMPLING
    ):
        self.stream = MoshiStream(moshi, mimi, 0, places, text, audio)
        self.places = places
        self.rows: dict[int, int] = {}  # of the conversations that are there
        self.joined = 0  # so many conversations so far; no handle is given twice

    def join(self, seed: int) -> int:
        """Begin a conversation. Returns its handle. Raises ValueError if all places are taken."""
        free = set(range(self.places)) - set(self.rows.values())
        if not free:
            raise ValueError(f"all {self.places} places are taken; let a conversation leave, or make more places")
        handle, row = self.joined, min(free)
        self.stream.generators[row].manual_seed(seed)
        self.stream.restart(torch.arange(self.places, device=self.stream.initial.device) == row)
        self.joined, self.rows[handle] = handle + 1, row
        return handle

    def leave(self, handle: int) -> None:
        """End a conversation; its place is free. Raises ValueError if it is not there."""
        self.row(handle)
        del self.rows[handle]

    def row(self, handle: int) -> int:
        """Where in the batch a conversation is. Raises ValueError if it is not there."""
        if handle not in self.rows:
            raise ValueError(f"no conversation {handle} here; there are {sorted(self.rows)}")
        return self.rows[handle]

    def step(self, frames: dict[int, Tensor], text: dict[int, int] | None = None) -> dict[int, Reply]:
        """The next 80 ms: {handle: sound of the user (1, 1920)} -> {handle: reply, batch of 1} for all who are there.

        Nobody waits for a user whose frame is late: without a frame, a user is heard as silent. `text` holds text
        tokens for some conversations, see `MoshiStream.step`. Raises ValueError for the frame of one conversation,
        before anything has happened to the others.
        """
        size, device = self.stream.mimi.config.frame_size, self.stream.initial.device
        sound = torch.zeros(self.places, 1, size, device=device)
        for handle, frame in frames.items():
            if frame.shape != (1, size):
                raise ValueError(f"expected samples (1, {size}) from conversation {handle}, got {tuple(frame.shape)}")
            if not frame.isfinite().all():
                raise ValueError(
                    f"expected finite samples from conversation {handle}, got some that are NaN or infinite; "
                    "send silence instead"
                )
            sound[self.row(handle)] = frame
        wishes = torch.full((self.places,), FREE, device=device) if text else None
        for handle, token in (text or {}).items():
            wishes[self.row(handle)] = token
        reply = self.stream.step(sound, wishes)
        return {
            handle: Reply(reply.audio[row, None], reply.text[row, None], reply.codes[row, None])
            for handle, row in self.rows.items()
        }
