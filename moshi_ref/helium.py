"""Helium: the text language model that Moshi grows out of (Moshi paper, section 3.2).

    tokens (B, T) -> embedding -> Transformer -> RMSNorm -> linear -> logits (B, T, V)

Moshi's Temporal Transformer is this network; it starts from Helium's weights.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .tokenizer import BOS
from .transformer import RMSNorm, Transformer, TransformerConfig, TransformerState, sample


@dataclass(frozen=True)
class HeliumConfig:
    transformer: TransformerConfig
    vocabulary: int

    @classmethod
    def kyutai_7b(cls) -> "HeliumConfig":
        """The paper's Helium (Table 1)."""
        return cls(TransformerConfig(4096, 32, 32, hidden=11264, context=4096), 32_000)

    @classmethod
    def kyutai_2b(cls) -> "HeliumConfig":
        """The released Helium-1-preview-2b."""
        transformer = TransformerConfig(2560, 20, 24, hidden=7040, context=4096, rope_period=100_000.0)
        return cls(transformer, 48_000)

    @classmethod
    def tiny(cls, vocabulary: int = 512) -> "HeliumConfig":
        """The size of the tiny Moshi's Temporal Transformer."""
        return cls(TransformerConfig(256, 4, 4, hidden=704, context=256), vocabulary)


class Helium(nn.Module):
    def __init__(self, config: HeliumConfig):
        super().__init__()
        self.config = config
        dim = config.transformer.dim
        self.embedding = nn.Embedding(config.vocabulary, dim)
        self.transformer = Transformer(config.transformer)
        self.norm = RMSNorm(dim)
        self.head = nn.Linear(dim, config.vocabulary, bias=False)
        for weight in (self.embedding.weight, self.head.weight):
            nn.init.trunc_normal_(weight, std=dim**-0.5, a=-3 * dim**-0.5, b=3 * dim**-0.5)

    def initial_state(self, batch_size: int) -> TransformerState:
        return self.transformer.initial_state(batch_size)

    def forward(self, tokens: Tensor, state: TransformerState | None = None) -> Tensor:
        """tokens (B, T) int64 -> logits (B, T, V) of the token that comes after each.

        Raises ValueError for a token outside the vocabulary.
        """
        if tokens.numel() and (tokens.min() < 0 or tokens.max() >= self.config.vocabulary):
            raise ValueError(
                f"tokens must lie in 0 to {self.config.vocabulary - 1}, got {tokens.min()} to {tokens.max()}"
            )
        return self.head(self.norm(self.transformer(self.embedding(tokens), state)))

    @torch.no_grad()
    def generate(self, prompt: Tensor, length: int, temperature: float = 0.7, top_k: int = 25,
                 generator: torch.Generator | None = None) -> Tensor:
        """Continue prompt (B, T) by `length` tokens, one at a time: (B, T + length). An empty prompt,
        T = 0, starts from BOS, which the result then does not contain."""
        state = self.initial_state(len(prompt))
        tokens = [prompt]
        latest = prompt if prompt.shape[1] else torch.full_like(prompt.new_empty(len(prompt), 1), BOS)
        for _ in range(length):
            logits = self(latest, state)[:, -1]  # (B, V)
            latest = sample(logits, temperature, top_k, generator)[:, None]  # (B, 1)
            tokens.append(latest)
        return torch.cat(tokens, dim=1)
