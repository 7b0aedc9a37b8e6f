"""Streaming state: what a causal module must remember between two chunks of a stream.

Every streaming module of this package is called in two ways, and both run the same lines:

    y = module(x)                               # a whole sequence
    state = module.initial_state(batch_size)    # a stream, chunk after chunk
    y = module(chunk, state)                    # updates `state` in place

The state is an explicit object. Its tensors are preallocated, have the batch first, and are all
zero when a stream starts: that is why one function, `reset`, can start any row of the batch anew.
"""

from dataclasses import fields

import torch
from torch import Tensor


class State:
    """Base class of the state dataclasses. Fields are tensors (B, ...), states, or lists of these; nothing else is
    remembered, so that copies of the tensors are a copy of the state."""

    def named_tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """All tensors of this state and of the states inside it, by names such as "mimi.encoder.parts.0.previous"."""
        found = {}
        for field in fields(self):
            value = getattr(self, field.name)
            parts = {f"{prefix}{field.name}": value}
            if isinstance(value, list):
                parts = {f"{prefix}{field.name}.{index}": part for index, part in enumerate(value)}
            for name, part in parts.items():
                if isinstance(part, Tensor):
                    found[name] = part
                elif isinstance(part, State):
                    found |= part.named_tensors(f"{name}.")
        return found

    def tensors(self) -> list[Tensor]:
        """The same without the names."""
        return list(self.named_tensors().values())

    @torch.no_grad()
    def reset(self, rows: Tensor | None = None) -> None:
        """Start the streams of `rows` (B,) bool anew, or all streams if `rows` is None. In place."""
        for tensor in self.tensors():
            if rows is None:
                tensor.zero_()
            else:
                tensor.masked_fill_(rows.view(-1, *[1] * (tensor.dim() - 1)), 0)
