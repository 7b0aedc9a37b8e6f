"""Training Helium: predict the next token of running text (Moshi paper, section 3.2 and Table 1).

    documents -> BOS, tokens, EOS of each, one after the other -> crops of T + 1 tokens

Each crop is a row of the batch: its first T tokens are read, its last T are predicted. So no place of a batch is
padding. A crop may begin within a document and hold the end of one and the beginning of the next ("packing"); that
they have nothing to do with each other is what BOS tells the model.

The optimizer is the paper's: AdamW with betas 0.9 and 0.95 and a weight decay of 0.1 on the matrices.

Shapes: B batch, T steps, V vocabulary.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..helium import Helium
from ..tokenizer import BOS, EOS, TextTokenizer
from .distribution import divide, share

TEST_EVERY, TEST_ROWS = 50, 32  # steps between two looks at the held-out text, and how much of it is looked at


@dataclass(frozen=True)
class TextRecipe:
    batch_size: int = 16
    learning_rate: float = 1e-3


def pack(documents: Iterable[str], tokenizer: TextTokenizer) -> Tensor:
    """All documents as one row of tokens (N,), each between BOS and EOS."""
    row = [token for text in documents for token in (BOS, *tokenizer.encode(text), EOS)]
    return torch.tensor(row, dtype=torch.int32)


def decayed(model: torch.nn.Module, weight_decay: float = 0.1) -> list[dict]:
    """The parameters for AdamW, in two groups: matrices decay, vectors (the scales of the norms) do not."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


class TextTask:
    """What `training.loop.train` needs to train a Helium on `tokens` (N,); `held_out` (M,) is only looked at.

    Raises ValueError if either is too short for a single crop.
    """

    def __init__(self, helium: Helium, tokens: Tensor, held_out: Tensor, recipe: TextRecipe, device: torch.device):
        self.recipe, self.device, self.length = recipe, device, helium.config.transformer.context
        shortest = min(len(tokens), len(held_out))
        if shortest <= self.length:
            raise ValueError(f"expected more than {self.length} tokens to learn from, got {shortest}; give more text")
        self.modules = divide(helium.to(device).train(), helium.transformer.layers)
        self.tokens = tokens
        self.test = self.crops(held_out, TEST_ROWS, random.Random("held-out crops"))
        self.optimizer = torch.optim.AdamW(
            decayed(helium), lr=recipe.learning_rate, betas=(0.9, 0.95), fused=device.type != "mps"
        )

    def crops(self, tokens: Tensor, count: int, rng: random.Random) -> Tensor:
        """Random pieces of the text: (B, T + 1)."""
        begins = [rng.randrange(len(tokens) - self.length) for _ in range(count)]
        return torch.stack([tokens[begin : begin + self.length + 1] for begin in begins]).long()

    def cross_entropy(self, rows: Tensor) -> Tensor:
        """The mean over rows (B, T + 1), in nats a token. In bfloat16 on a GPU, whose matrix units are made for it."""
        rows = rows.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.modules(rows[:, :-1])  # (B, T, V)
        return F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())

    def losses(self, step: int, rng: random.Random) -> dict[str, Tensor]:
        """The loss of one batch, and now and then that of the held-out text; see `training.loop.Task`."""
        rows = self.crops(self.tokens, self.recipe.batch_size, rng)
        losses = {"loss": self.cross_entropy(rows[share(len(rows))])}
        if step % TEST_EVERY == 0:
            with torch.no_grad():
                losses["held_out"] = self.cross_entropy(self.test[share(TEST_ROWS)])
        return losses
