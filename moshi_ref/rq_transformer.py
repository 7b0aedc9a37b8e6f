"""The RQ-Transformer: many parallel token streams, modelled by two Transformers (Moshi paper, section 3.4.1).

In every frame there is one column of K tokens: text, then the codes of Moshi, then the codes of the user.

    Temporal Transformer   reads the sum of the embeddings of each column, one step a frame, and gives
                           a context vector z for the next column
    text                   the text token of the next column, from z
    Depth Transformer      the audio codes of the next column, one after the other, from z and from the
                           tokens of that column chosen so far; it starts anew in each frame

Flattening a column into K steps would make the large Transformer run K times as often; predicting all K
tokens at once would make them independent. This is the way between.

Only the first Q audio streams are predicted (Moshi's own); the others are only heard.

Shapes: B batch, F frames, K streams (1 text + A audio), Q predicted audio streams, D temporal width,
E depth width, V entries.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .transformer import Linear, RMSNorm, Transformer, TransformerConfig, TransformerState, initialise, sample

ZERO = -1  # a token that is embedded as zero: "nothing here"


@dataclass(frozen=True)
class ConditionConfig:
    """What may be known about a whole conversation beforehand, as a choice from a list (not in the paper; the
    released 2B models are told how good the speech should sound)."""

    values: tuple[str, ...]  # the choices; none: any text, which its hash turns into a number
    bins: int
    dim: int

    def index(self, value: str | None) -> int:
        """The number of a value, -1 for None. Raises ValueError for a value that is not one of `values`."""
        if value is None:
            return -1
        if not self.values:
            return int(hashlib.sha256(value.encode()).hexdigest(), 16) % self.bins
        if value not in self.values:
            raise ValueError(f"expected a condition of {list(self.values)}, got {value!r}")
        return self.values.index(value)


@dataclass(frozen=True)
class RQTransformerConfig:
    temporal: TransformerConfig
    depth: TransformerConfig | None  # None: no audio is predicted (speech recognition)
    text_vocabulary: int
    entries: int  # of each audio codebook
    audio_streams: int  # A
    extra_heads: int = 0  # small classifiers on z, such as the voice activity of the released STT 1B
    extra_classes: int = 6
    condition: ConditionConfig | None = None

    @property
    def predicted(self) -> int:
        """Q: the number of audio streams that are predicted."""
        return 0 if self.depth is None else self.depth.weight_sets

    @property
    def streams(self) -> int:
        """K: text and audio."""
        return 1 + self.audio_streams

    @property
    def initial_tokens(self) -> tuple[int, ...]:
        """What each stream holds before its first frame: the entry after the last real token."""
        return (self.text_vocabulary,) + (self.entries,) * self.audio_streams


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn; temperature 0 is greedy."""

    temperature: float
    top_k: int


Generators = torch.Generator | Sequence[torch.Generator] | None  # one for all rows of a batch, or one for each row


def exponential_noise(rows: int, count: int, generator: Generators, device: torch.device) -> Tensor:
    """Noise (rows, count) for `sample`. What a row gets from a generator of its own does not depend on the others."""
    noise = torch.empty(rows, count, device=device)
    if not isinstance(generator, Sequence):
        return noise.exponential_(generator=generator)
    for row, own in zip(noise, generator, strict=True):
        row.exponential_(generator=own)
    return noise


class Embedding(nn.Embedding):
    """An embedding that starts like the matrices of the Transformers."""

    def __init__(self, count: int, dim: int):
        super().__init__(count, dim)
        initialise(self.weight, dim)


def embed(embeddings: Iterable[Embedding], tokens: Tensor) -> Tensor:
    """Each stream of tokens (B, N, F) with its own of N embeddings -> (B, N, F, D). Token -1 is embedded as the
    zero vector."""
    streams = zip(embeddings, tokens.clamp(min=0).unbind(1), strict=True)
    embedded = torch.stack([F.embedding(stream, embedding.weight) for embedding, stream in streams], dim=1)
    return embedded * (tokens != ZERO)[..., None]


class Condition(nn.Module):
    """A vector for what is known about the conversation; it is added to every column."""

    def __init__(self, config: ConditionConfig, dim: int):
        super().__init__()
        self.embedding = nn.Embedding(config.bins + 1, config.dim)  # the last one is never used
        self.proj = Linear(config.dim, dim)
        self.nothing = nn.Parameter(0.2 * torch.randn(dim))

    def forward(self, index: Tensor) -> Tensor:
        """index (B,) int64, -1 where nothing is known -> (B, 1, D)."""
        known = self.proj(self.embedding(index.clamp(min=0)))  # (B, D)
        return torch.where((index >= 0)[:, None], known, self.nothing)[:, None]


class RQTransformer(nn.Module):
    """Columns in, the next column out. It knows nothing of delays, nor of what the streams mean."""

    def __init__(self, config: RQTransformerConfig):
        super().__init__()
        self.config = config
        dim, text, entries = config.temporal.dim, config.text_vocabulary, config.entries
        self.text_embedding = Embedding(text + 1, dim)  # + 1: the initial token
        self.audio_embeddings = nn.ModuleList(Embedding(entries + 1, dim) for _ in range(config.audio_streams))
        self.temporal = Transformer(config.temporal)
        self.norm = RMSNorm(dim)
        self.text_head = Linear(dim, text)
        self.extra_heads = nn.ModuleList(Linear(dim, config.extra_classes) for _ in range(config.extra_heads))
        if config.condition is not None:
            self.condition = Condition(config.condition, dim)
        if config.depth is not None:
            depth, count = config.depth.dim, config.predicted
            self.depth_in = Linear(dim, depth, sets=count)
            self.depth_text_embedding = Embedding(text + 1, depth)
            self.depth_audio_embeddings = nn.ModuleList(Embedding(entries + 1, depth) for _ in range(count - 1))
            self.depth = Transformer(config.depth)
            self.audio_heads = Linear(depth, entries, sets=count)

    @property
    def before(self) -> list[Embedding]:
        """The embeddings of what comes before each code in its column: the text, then the codes."""
        return [self.depth_text_embedding, *self.depth_audio_embeddings]

    def initial_state(self, batch_size: int) -> TransformerState:
        """State of the Temporal Transformer; the Depth Transformer remembers nothing between frames."""
        return self.temporal.initial_state(batch_size)

    def embed(self, columns: Tensor, condition: Tensor | None = None) -> Tensor:
        """Columns (B, K, F) and a condition (B, 1, D) -> the sum of their embeddings (B, F, D)."""
        embedded = embed([self.text_embedding, *self.audio_embeddings], columns).sum(dim=1)
        return embedded if condition is None else embedded + condition.to(embedded.dtype)

    def context(self, columns: Tensor, state: TransformerState | None = None,
                condition: Tensor | None = None) -> Tensor:
        """Columns (B, K, F) -> z (B, F, D): at each frame, what is known about the next column."""
        return self.norm(self.temporal(self.embed(columns, condition), state))

    def forward(self, columns: Tensor, targets: Tensor, condition: Tensor | None = None,
                sounded: slice = slice(None)) -> tuple[Tensor, Tensor, Tensor]:
        """Teacher forcing. Frame f of `targets` (B, K, F) comes right after frame f of `columns` (B, K, F).

        Returns z (B, F, D), the text logits (B, F, V_text) and the audio logits (B, Q, F, V) of the targets, these
        only of the frames `sounded`.
        """
        z = self.context(columns, condition=condition)
        return z, self.text_head(z), self.depth_logits(z[:, sounded], targets[..., sounded])

    def depth_logits(self, z: Tensor, targets: Tensor) -> Tensor:
        """Audio logits (B, Q, F, V) of each target column, all its tokens at once: code q is predicted from z
        (B, F, D), the text token and codes 0 to q - 1 of the same column of targets (B, K, F)."""
        batch, frames, _ = z.shape
        if self.config.depth is None:
            return z.new_zeros(batch, 0, frames, self.config.entries)
        before = embed(self.before, targets[:, : self.config.predicted])  # (B, Q, F, E)
        tokens = before.transpose(1, 2).flatten(0, 1)  # (B * F, Q, E)
        every = z.flatten(0, 1)[:, None].expand(-1, self.config.predicted, -1)  # (B * F, Q, D)
        hidden = self.depth(self.depth_in(every) + tokens)  # (B * F, Q, E)
        logits = self.audio_heads(hidden)  # (B * F, Q, V)
        return logits.unflatten(0, (batch, frames)).transpose(1, 2)

    def extra_probabilities(self, z: Tensor) -> Tensor:
        """What the extra heads say: z (B, F, D) -> probabilities (B, F, heads, classes). Of the STT 1B's four
        heads, class 0 is the probability that nobody will speak within 0.5, 1, 2 and 3 s."""
        return torch.stack([head(z).softmax(-1) for head in self.extra_heads], dim=2)

    def sample_column(self, z: Tensor, text: Sampling, audio: Sampling,
                      generator: Generators = None, allowed: Tensor | None = None,
                      state: TransformerState | None = None) -> Tensor:
        """Draw the next column from z (B, 1, D): text first, then code after code -> (B, 1 + Q). `allowed` (B, V_text)
        bool says which text tokens may come, by default all. `state` is that of the Depth Transformer; its content
        does not matter, because each column overwrites it, but having it already saves making it."""
        c = self.config
        counts = [min(text.top_k, c.text_vocabulary)] + c.predicted * [min(audio.top_k, c.entries)]
        noise = exponential_noise(len(z), sum(counts), generator, z.device).split(counts, dim=1)  # (B, top_k) each
        logits = self.text_head(z)[:, 0]  # (B, V_text)
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -math.inf)
        column = [sample(logits, text.temperature, text.top_k, noise=noise[0])]
        if self.config.depth is not None:
            state = self.depth.initial_state(len(z)) if state is None else state
            every = self.depth_in(z.expand(-1, self.config.predicted, -1))  # (B, Q, E)
            for q, (embedding, step) in enumerate(zip(self.before, every.split(1, dim=1), strict=True)):
                hidden = step + embedding(column[-1])[:, None]  # (B, 1, E)
                logits = self.audio_heads(self.depth(hidden, state, q), q)[:, 0]  # (B, V)
                column.append(sample(logits, audio.temperature, audio.top_k, noise=noise[1 + q]))
        return torch.stack(column, dim=1)
