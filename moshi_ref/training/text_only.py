"""Text alone, between the steps on sound: Moshi goes on reading, so that it does not forget what it has read (Moshi
paper, section 4).

A row of a text-only batch is a piece of running text in the text stream, a token in every frame, without PAD; all audio
streams hold nothing (-1):

    text     "the"  "cap"  "ital"  "of"  ...       the next token is predicted
    audio     -1     -1     -1      -1   ...       embedded as zero

So the Temporal Transformer reads exactly as Helium does, and the Depth Transformer has nothing to do.

These steps have an optimizer state of their own. Adam keeps running means of the gradients and of their squares; the
gradients of text and of sound differ in size and in direction, and a step of one kind should not be made with the means
of the other.

Shapes: B batch, T tokens, V vocabulary, K streams.
"""

import random

import torch
import torch.nn.functional as F
from torch import Tensor

from ..rq_transformer import ZERO, RQTransformer


def read(model: RQTransformer, tokens: Tensor) -> Tensor:
    """Text (B, T) -> logits (B, T, V) of the token that comes after each."""
    columns = F.pad(tokens[:, None], (0, 0, 0, model.config.audio_streams), value=ZERO)  # (B, K, T)
    return model.text_head(model.context(columns))


def crops(text: Tensor, count: int, length: int, rng: random.Random) -> Tensor:
    """Random pieces of a text (N,): (count, length + 1), of which all but the last token are read, and all but the
    first predicted. Raises ValueError if the text is too short."""
    if len(text) <= length:
        raise ValueError(f"expected more than {length} tokens to read, got {len(text)}; give more text")
    begins = [rng.randrange(len(text) - length) for _ in range(count)]
    return torch.stack([text[begin : begin + length + 1] for begin in begins]).long()


def chosen_evenly(step: int, share: float) -> bool:
    """Is this step one of a share of all steps, spread evenly? With 0.5 it is every second one."""
    return int((step + 1) * share) > int(step * share)


class Alternating:
    """Several optimizers that look like one, of which `chosen` makes the step; the others do not notice it.

    They may hold the same parameters. It offers what the training loop asks of an optimizer: the groups of all, and the
    state of all, numbered one after the other.
    """

    def __init__(self, **optimizers: torch.optim.Optimizer):
        self.optimizers = optimizers
        self.chosen = next(iter(optimizers))

    @property
    def param_groups(self) -> list[dict]:
        return [group for optimizer in self.optimizers.values() for group in optimizer.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none)

    def step(self) -> None:
        self.optimizers[self.chosen].step()

    def state_dict(self) -> dict:
        """{"state": {number of a parameter among those of all optimizers: its state}}."""
        state = {}
        for first, optimizer in self._numbered():
            state |= {first + number: value for number, value in optimizer.state_dict()["state"].items()}
        return {"state": state}

    def load_state_dict(self, saved: dict) -> None:
        for first, optimizer in self._numbered():
            own = optimizer.state_dict()
            count = sum(len(group["params"]) for group in own["param_groups"])
            own["state"] = {key - first: value for key, value in saved["state"].items() if 0 <= key - first < count}
            optimizer.load_state_dict(own)

    def _numbered(self) -> list[tuple[int, torch.optim.Optimizer]]:
        """The optimizers, and the number of the first parameter of each."""
        pairs, first = [], 0
        for optimizer in self.optimizers.values():
            pairs.append((first, optimizer))
            first += sum(len(group["params"]) for group in optimizer.param_groups)
        return pairs
