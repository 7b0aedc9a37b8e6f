"""The checkers of notebook 01: a word in pieces, causal attention, a layout of RoPE, the width for a budget."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..helium import Helium, HeliumConfig
from ..transformer import TransformerConfig
from .exercises import Verdict, Wrong, expect, judge

MOST_LOOKS = 200_000  # into the scores, before a search counts as endless


class Scores(dict):
    """Scores that count how often somebody looks into them."""

    looks = 0

    def _looked(self) -> None:
        self.looks += 1
        if self.looks > MOST_LOOKS:
            raise Wrong(
                "your search tries too many ways; a word of 40 letters has 2 to the power of 39. Keep the best way to "
                "each place of the word, and build on it."
            )

    def __getitem__(self, piece):
        self._looked()
        return super().__getitem__(piece)

    def __contains__(self, piece):
        self._looked()
        return super().__contains__(piece)

    def get(self, piece, default=None):
        self._looked()
        return super().get(piece, default)

    def items(self):
        self._looked()
        return super().items()

    def __iter__(self):
        self._looked()
        return super().__iter__()


WORDS = (
    # word, scores, the best pieces
    ("cats", {"c": -5, "a": -5, "t": -5, "s": -4, "cat": -7, "ca": -6, "ts": -9}, ["cat", "s"]),
    ("seventeen", {**dict.fromkeys("sevnt", -6), "seven": -4, "sevent": -3, "teen": -4, "een": -9}, ["seven", "teen"]),
    ("abab", {"a": -1, "b": -1, "ab": -3, "abab": -5}, ["a", "b", "a", "b"]),
    ("no", {"n": -2, "o": -3, "no": -4.5}, ["no"]),
    ("a", {"a": -1}, ["a"]),
)


def check_best_pieces(best_pieces: Callable[[str, Mapping[str, float]], list[str]]) -> Verdict:
    """best_pieces(word, scores of pieces) -> the pieces of the word with the highest sum of scores."""

    def test():
        for case in WORDS:
            _try_best_pieces(best_pieces, *case)
        long = "ab" * 20
        _try_best_pieces(best_pieces, long, {"a": -1.5, "b": -1.6, "ab": -2, "aba": -2.6, "ba": -9}, ["ab"] * 20)

    return judge(
        test,
        "of all ways to cut the word, the likeliest, without trying them all.",
        (
            "The best way to cut the first n letters ends with some piece. What stands before that piece is itself "
            "the best way to cut a shorter beginning. So go through the beginnings, from short to long.",
            "Keep for each n the pair (score, pieces) of the best way: <code>best = {0: (0.0, [])}</code>. For each "
            "end try every start before it: is <code>word[start:end]</code> among the scores, start among the best?",
            "<code>options = [(best[s][0] + scores[word[s:e]], best[s][1] + [word[s:e]]) for s in range(e) if s in "
            "best and word[s:e] in scores]</code>; if there are any, <code>best[e] = max(options)</code>.",
        ),
    )


def _try_best_pieces(best_pieces, word: str, scores: dict[str, float], right: list[str]) -> None:
    got = best_pieces(word, Scores(scores))
    case = word if len(word) < 12 else f"{word[:6]}... of {len(word)} letters"
    expect(isinstance(got, list | tuple), f"{case}: expected a list of pieces, got {type(got).__name__}.")
    got = list(got)
    expect("".join(map(str, got)) == word, f"{case}: your pieces, written one after the other, are not the word.")
    unknown = [piece for piece in got if piece not in scores]
    expect(not unknown, f"{case}: {unknown[:1]} is no piece of the vocabulary.")
    total, best = (sum(scores[piece] for piece in pieces) for pieces in (got, right))
    shown = " ".join(got[:6])
    expect(
        total >= best - 1e-6,
        f"{case}: {shown} has a score of {total:g}, but there are pieces with {best:g}. The longest piece first, or "
        "the fewest pieces, is not always the likeliest.",
    )


def check_causal_attention(causal_attention: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """causal_attention(query, key, value, (T, d) each) -> (T, d)."""
    return judge(
        lambda: [_try_causal_attention(causal_attention, *case) for case in ((5, 4), (1, 3), (12, 16))],
        "each token asks all tokens up to itself, and no other.",
        (
            "Scores first: every query with every key, <code>query @ key.T</code>, a matrix (T, T) whose row is the "
            "token that asks. What keeps them from growing with d?",
            "Forbid the future before the softmax: there the scores become minus infinity. "
            "<code>torch.ones(T, T).triu(1).bool()</code> is true above the diagonal: there the key comes after the "
            "query.",
            "<code>scores = query @ key.T / query.shape[1] ** 0.5</code>, then <code>scores.masked_fill(future, "
            "-torch.inf).softmax(-1) @ value</code>.",
        ),
    )


def _try_causal_attention(causal_attention, steps: int, width: int) -> None:
    generator = torch.Generator().manual_seed(steps)
    query, key, value = 2 * torch.randn(3, steps, width, generator=generator)
    case = f"with {steps} tokens of {width} channels"
    got = causal_attention(query, key, value)
    expect(isinstance(got, Tensor), f"{case}, expected a tensor, got {type(got).__name__}.")
    expect(got.shape == value.shape, f"{case}, expected {tuple(value.shape)}, got {tuple(got.shape)}.")
    expect(not got.isnan().any(), f"{case}, the result has NaN: is there a token that may look at nothing?")
    future = torch.ones(steps, steps).triu(1).bool()
    right = _attend(query, key, value, width**-0.5, future)
    mistakes = {
        "a token sees later ones; the causal mask is missing or the wrong way round.":
            _attend(query, key, value, width**-0.5, torch.zeros_like(future)),
        "the scores are not divided by the square root of d.": _attend(query, key, value, 1.0, future),
        "the scores are divided by d; it is the square root of d.": _attend(query, key, value, 1 / width, future),
        "the weights of a row do not add up to 1: forbid the future before the softmax, not after it.":
            (query @ key.T * width**-0.5).softmax(-1).masked_fill(future, 0) @ value,
    }  # fmt: skip
    for told, wrong in mistakes.items():
        expect(_same(got, right) or not _same(got, wrong), f"{case}, {told}")
    expect(
        steps == 1 or _same(got[0], value[0]), f"{case}, the first token sees only itself, so its answer is its value."
    )
    expect(_same(got, right), f"{case}, the answers are not the weighted means; is the softmax over the keys?")


def _attend(query: Tensor, key: Tensor, value: Tensor, scale: float, hidden: Tensor) -> Tensor:
    return (query @ key.T * scale).masked_fill(hidden, -math.inf).softmax(-1) @ value


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-5)


def check_to_neighbours(to_neighbours: Callable[[Tensor, int], Tensor]) -> Verdict:
    """to_neighbours(weight (D, D) of queries or keys, heads) -> the same weight with its rows in another order."""
    return judge(
        lambda: [_try_to_neighbours(to_neighbours, *case) for case in ((1, 6), (3, 8), (4, 2))],
        "the weights are the same; only the partners of the rotation sit beside each other now.",
        (
            "Take one head of d rows. Row i turns together with row i + d/2 in the old layout, and with its neighbour "
            "in the new one. So where must row 0 go, where row d/2, where row 1?",
            "The new order of one head is 0, d/2, 1, d/2 + 1, and so on. With the rows seen as (heads, 2, d/2), the "
            "axis of length 2 must become the last of the three.",
            "<code>weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)</code>.",
        ),
    )


def _try_to_neighbours(to_neighbours, heads: int, size: int) -> None:
    dim = heads * size
    weight = torch.randn(dim, dim, generator=torch.Generator().manual_seed(dim))
    case = f"with {heads} heads of {size} channels"
    got = to_neighbours(weight.clone(), heads)
    expect(isinstance(got, Tensor) and got.shape == weight.shape, f"{case}, expected a matrix {tuple(weight.shape)}.")
    rows = torch.arange(dim)
    right = rows.view(heads, 2, size // 2).transpose(1, 2).flatten()
    back = rows.view(heads, size // 2, 2).transpose(1, 2).flatten()
    whole = rows.view(2, dim // 2).T.flatten()
    expect(
        torch.equal(got, weight[right]) or not torch.equal(got, weight[back]),
        f"{case}, this is the way back: it takes neighbours apart.",
    )
    expect(
        torch.equal(got, weight[right]) or not torch.equal(got, weight[whole]),
        f"{case}, a pair must stay inside its head; you have mixed the rows of all heads.",
    )
    expect(
        torch.equal(got, weight[right]) or not torch.equal(got, weight[:, right]),
        f"{case}, you have reordered the columns, which are the inputs. The rows are what is turned.",
    )
    expect(
        torch.equal(got, weight[right]), f"{case}, the rows are not in the order 0, d/2, 1, d/2 + 1, ... of each head."
    )


def check_largest_width(largest_width: Callable[[int, int, int], int]) -> Verdict:
    """largest_width(budget, vocabulary, layers) -> the width D of the largest Helium within a budget of parameters."""
    return judge(
        lambda: [_try_largest_width(largest_width, *case)
                 for case in ((256, 500, 4, 0), (64, 1000, 2, 0), (256, 500, 4, -1), (320, 800, 3, 5))],
        "a model for every budget.",
        (
            "Write the number of parameters as a function of D: two tables, and in each layer the attention, the gated "
            "MLP and two norms. What is left after the layers?",
            "Attention has 4 D D, the MLP 3 D h with h = 11 D / 4, the norms 2 D; the tables have 2 V D, and the last "
            "norm D. Then try D = 64, 128, 192 and so on.",
            "<code>count = 2 * V * D + layers * (4 * D * D + 3 * D * (11 * D // 4) + 2 * D) + D</code>; go up while "
            "the next width still fits.",
        ),
    )  # fmt: skip


def _try_largest_width(largest_width, width: int, vocabulary: int, layers: int, more: int) -> None:
    budget = parameters(width, vocabulary, layers) + more
    right = width if more >= 0 else width - 64
    case = f"with {budget:,} parameters, {vocabulary} tokens and {layers} layers"
    got = largest_width(budget, vocabulary, layers)
    expect(isinstance(got, int), f"{case}, expected a whole number, got {got!r}.")
    expect(got > 0 and got % 64 == 0, f"{case}, the width must be a multiple of 64, got {got}.")
    used = parameters(got, vocabulary, layers)
    expect(
        used <= budget,
        f"{case}, width {got} needs {used:,}. Have you counted both tables, three matrices in the MLP, and the norms?",
    )
    larger = parameters(got + 64, vocabulary, layers)
    expect(got == right, f"{case}, got {got}, but {got + 64} fits too: it needs {larger:,}.")


def parameters(width: int, vocabulary: int, layers: int) -> int:
    """Of a Helium with heads of 64 channels and an MLP 11/4 times as wide, counted on the model itself."""
    transformer = TransformerConfig(width, width // 64, layers, hidden=11 * width // 4, context=256)
    with torch.device("meta"):
        model = Helium(HeliumConfig(transformer, vocabulary))
    return sum(p.numel() for p in model.parameters())
