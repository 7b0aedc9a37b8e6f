"""How probable is a text? Log-likelihoods of continuations, and bits per byte.

Any causal language model will do, if it is a function of tokens (B, T) int64 that gives logits (B, T, V) of the token
after each, as `Helium` is. A text is BOS and its tokens:

    log p(continuation | context) = sum over its tokens of log softmax(logits of the token before)[token]

Models with other tokenizers cannot be compared token by token, but byte by byte:

    bits per byte = -log2 p(text) / bytes of the text

Shapes: B batch, T steps, V vocabulary.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tokenizer import BOS, TextTokenizer
from .intervals import Z

Model = Callable[[Tensor], Tensor]  # (B, T) -> (B, T, V), causal


@dataclass(frozen=True)
class Likelihood:
    """Of a continuation, given its context."""

    log_likelihood: float  # nats, summed over its tokens
    greedy: bool  # whether greedy generation would write exactly this


def split_tokens(tokenizer: TextTokenizer, context: str, continuation: str) -> tuple[tuple[int, ...], int]:
    """BOS, context and continuation as tokens, and where the continuation begins.

    Raises ValueError for an empty continuation, or if the seam is within a token; a space there makes it safe.
    """
    before, tokens = tokenizer.encode(context), tokenizer.encode(context + continuation)
    if len(tokens) == len(before) or tokens[: len(before)] != before:
        raise ValueError(
            f"the tokens of {context[-20:] + continuation[:20]!r} do not divide into context and continuation; "
            "expected a continuation that is not empty and begins with a space"
        )
    return (BOS, *tokens), 1 + len(before)


def longest_rows(rows: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], tuple[int, ...]]:
    """For each row of tokens a row that begins with it, so that few different rows are left.

    A causal model computes on the way to a long row all that it would say about the row's beginnings. So four choices
    that differ in their last token cost no more than one: that token is predicted and never read.
    """
    longest, last = {}, ()
    for row in sorted(set(rows), reverse=True):  # in this order a row comes right after those that begin with it
        last = last if last[: len(row)] == row else row
        longest[row] = last
    return longest


@torch.inference_mode()
def likelihoods(
    model: Model,
    tokenizer: TextTokenizer,
    pairs: Sequence[tuple[str, str]],
    batch_size: int = 32,
    device: torch.device | str = "cpu",
) -> list[Likelihood]:
    """The likelihood of each continuation, given pairs of context and continuation; see `split_tokens`."""
    texts = [split_tokens(tokenizer, *pair) for pair in pairs]
    longest = longest_rows([tokens[:-1] for tokens, _ in texts])
    rows = sorted(set(longest.values()), key=len)  # rows of about equal length together, so there is little padding
    wanted: dict[tuple[int, ...], list[int]] = {row: [] for row in rows}
    for i, (tokens, _) in enumerate(texts):
        wanted[longest[tokens[:-1]]].append(i)
    results: list[Likelihood | None] = [None] * len(pairs)
    for begin in range(0, len(rows), batch_size):
        batch = rows[begin : begin + batch_size]
        padded = torch.full((len(batch), len(batch[-1])), BOS)
        for i, row in enumerate(batch):
            padded[i, : len(row)] = torch.tensor(row)
        log_p = model(padded.to(device)).float().log_softmax(-1).cpu()  # (B, T, V)
        for i, row in enumerate(batch):
            for index in wanted[row]:
                results[index] = _likelihood(log_p[i], *texts[index])
    return results


def _likelihood(log_p: Tensor, tokens: tuple[int, ...], start: int) -> Likelihood:
    """Of tokens[start:], by log-probabilities (T, V) of the token after each."""
    continuation = torch.tensor(tokens[start:])
    log_p = log_p[start - 1 : len(tokens) - 1]  # (tokens of the continuation, V)
    chosen = log_p.gather(-1, continuation[:, None])
    return Likelihood(float(chosen.double().sum()), bool((log_p.argmax(-1) == continuation).all()))


# --- Bits per byte --------------------------------------------------------------------------------


@dataclass(frozen=True)
class BitsPerByte:
    """A mean over documents, weighted by their bytes, and its 95 % interval."""

    value: float
    interval: tuple[float, float]

    @classmethod
    def of(cls, bits: Sequence[float], sizes: Sequence[int]) -> "BitsPerByte":
        """From the bits and the bytes of each of at least two documents.

        A ratio of sums; its interval is that of the usual linear approximation, with documents as the units, because
        within a document everything hangs together.
        """
        if len(bits) < 2:
            raise ValueError(f"an interval needs at least 2 documents, got {len(bits)}")
        n, total = len(bits), sum(sizes)
        value = sum(bits) / total
        spread = sum((b - value * size) ** 2 for b, size in zip(bits, sizes, strict=True)) * n / (n - 1)
        half = Z * math.sqrt(spread) / total
        return cls(value, (value - half, value + half))


@torch.inference_mode()
def bits_per_byte(
    model: Model,
    tokenizer: TextTokenizer,
    documents: Sequence[str],
    window: int,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
) -> BitsPerByte:
    """Documents are cut into windows of at most `window` tokens, each read from BOS on; the cuts cost a little."""
    pieces, owners = [], []
    for i, text in enumerate(documents):
        tokens = tokenizer.encode(text)
        for begin in range(0, len(tokens), window):
            pieces.append(tokens[begin : begin + window])
            owners.append(i)
    bits = [0.0] * len(documents)
    order = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
    for begin in range(0, len(order), batch_size):
        indices = order[begin : begin + batch_size]
        longest = len(pieces[indices[-1]])
        targets = torch.tensor([pieces[i] + [-1] * (longest - len(pieces[i])) for i in indices])  # (B, T)
        inputs = F.pad(targets.clamp(min=0)[:, :-1], (1, 0), value=BOS)
        logits = model(inputs.to(device)).float().cpu()  # (B, T, V)
        losses = F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-1, reduction="none")
        for i, nats in zip(indices, losses.double().sum(1).tolist(), strict=True):
            bits[owners[i]] += nats / math.log(2)
    return BitsPerByte.of(bits, [len(text.encode()) for text in documents])


def uniform_bits_per_byte(tokenizer: TextTokenizer, documents: Sequence[str]) -> BitsPerByte:
    """Of a model that knows nothing: every token is as probable as every other."""
    bits = [len(tokenizer.encode(text)) * math.log2(len(tokenizer)) for text in documents]
    return BitsPerByte.of(bits, [len(text.encode()) for text in documents])


def unigram_bits_per_byte(tokenizer: TextTokenizer, training: Iterable[str], documents: Sequence[str]) -> BitsPerByte:
    """Of a model that knows how frequent each token is in the training text, with one more of each (Laplace's rule),
    and looks at no context."""
    counts = Counter(token for text in training for token in tokenizer.encode(text))
    total = sum(counts.values()) + len(tokenizer)
    bits = [sum(math.log2(total / (counts[token] + 1)) for token in tokenizer.encode(text)) for text in documents]
    return BitsPerByte.of(bits, [len(text.encode()) for text in documents])
