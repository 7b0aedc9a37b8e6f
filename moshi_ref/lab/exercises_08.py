"""The checkers of notebook 08: what independent heads lose, the column before, a column code by code, what it saves."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..moshi import MoshiConfig
from ..transformer import Transformer, TransformerConfig
from .exercises import Verdict, Wrong, expect, judge

Step = Callable[[int, int, list], Tensor]  # (q, the token before, cache) -> logits (V,)


def check_lost_bits(lost_bits: Callable[[Tensor], float]) -> Verdict:
    """lost_bits(joint (V, ..., V) with an axis for each codebook) -> bits a column that independent heads lose."""
    return judge(
        lambda: [_try_lost_bits(lost_bits, *case) for case in _joints()],
        "the sum of the entropies of all codebooks, minus the entropy of the column.",
        (
            "The best independent heads know each codebook's marginal. Coding every code by its marginal costs the sum "
            "of their entropies; coding the column as one costs the entropy of the joint.",
            "The marginal of codebook i: sum the joint over all axes but i. With <code>axes = [k for k in "
            "range(joint.dim()) if k != i]</code> it is <code>joint.sum(axes)</code>, but with one codebook the list "
            "is empty.",
            "<code>entropy = lambda p: -(p[p > 0] * p[p > 0].log2()).sum()</code>: a probability of 0 must not reach "
            "the logarithm. The result is a sum over i, minus <code>entropy(joint)</code>.",
        ),
    )


def _joints() -> list[tuple[str, Tensor, float]]:
    same = torch.eye(4) / 4
    parity = torch.tensor([[[1.0, 0], [0, 1]], [[0, 1], [1, 0]]]) / 4
    all_equal = torch.zeros(4, 4, 4)
    all_equal[range(4), range(4), range(4)] = 0.25
    apart = torch.tensor([0.5, 0.25, 0.25])[:, None] * torch.tensor([0.25, 0.75])
    return [
        ("two codebooks of 4 entries that are always equal", same, 2.0),
        ("two independent codebooks", apart, 0.0),
        ("three bits with an even sum", parity, 1.0),
        ("three codebooks of 4 entries, all equal", all_equal, 4.0),
        ("one codebook alone", torch.tensor([0.5, 0.25, 0.25, 0.0]), 0.0),
    ]


def _try_lost_bits(lost_bits, case: str, joint: Tensor, right: float) -> None:
    got = float(lost_bits(joint.clone()))
    expect(got == got, f"{case}: the result is not a number. 0 times the logarithm of 0 counts as 0 here.")
    expect(
        right == 0 or abs(got - right * torch.tensor(2.0).log().item()) > 1e-4,
        f"{case}: got {got:.3f}, which are nats. A bit takes the logarithm to base 2.",
    )
    expect(right == 0 or abs(got + right) > 1e-4, f"{case}: got {got:.3f}; the sign is the wrong way round.")
    expect(
        case != "three bits with an even sum" or abs(got) > 1e-4,
        f"{case}: got 0. Each pair of bits is independent, but the three together are not: compare with the joint of "
        "all codebooks.",
    )
    expect(abs(got - right) < 1e-4, f"{case}: expected {right:g} bits, got {got:.3f}.")


def check_columns_before(columns_before: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Verdict:
    """columns_before(tokens (B, K, F), initial tokens (K)) -> the column before each, (B, K, F)."""
    return judge(
        lambda: [_try_columns_before(columns_before, *case) for case in ((2, 3, 5), (1, 17, 1), (3, 2, 2))],
        "each column is predicted from the one before it, and the first one from the initial tokens.",
        (
            "Everything moves one frame to the right. What was in the last frame falls out, and something new comes "
            "into the first.",
            "<code>torch.tensor(initial)[None, :, None]</code> has shape (1, K, 1). Each row of the batch needs its "
            "own: <code>expand(B, -1, 1)</code>.",
            "<code>first = torch.tensor(initial)[None, :, None].expand(len(tokens), -1, 1)</code>, and then "
            "<code>torch.cat([first, tokens[..., :-1]], dim=-1)</code>.",
        ),
    )


def _try_columns_before(columns_before, batch: int, streams: int, frames: int) -> None:
    tokens = torch.arange(batch * streams * frames).view(batch, streams, frames)
    initial = tuple(1000 + k for k in range(streams))
    case = f"with {streams} streams and {frames} frames"
    given = tokens.clone()
    got = columns_before(given, initial)
    expect(torch.equal(given, tokens), f"{case}, the tokens that you were given have changed; make new ones.")
    expect(isinstance(got, Tensor), f"{case}, expected a tensor, got {type(got).__name__}.")
    expect(got.shape == tokens.shape, f"{case}, expected {tuple(tokens.shape)}, got {tuple(got.shape)}.")
    expect(not torch.equal(got, tokens), f"{case}, these are the columns themselves: every token would predict itself.")
    first = torch.tensor(initial).expand(batch, -1)
    expect(
        frames == 1 or not torch.equal(got[..., 0], tokens[..., -1]),
        f"{case}, the last column has come round to the front: the first prediction sees the future.",
    )
    expect(
        frames == 1 or not torch.equal(got[..., :-1], tokens[..., 1:]),
        f"{case}, this is the column after each one, not before it.",
    )
    expect(torch.equal(got[..., 0], first), f"{case}, the first column must hold each stream's own initial token.")
    expect(torch.equal(got[..., 1:], tokens[..., :-1]), f"{case}, the columns are not in their order.")


def check_greedy_column(greedy_column: Callable[[Tensor, Step, int], list[int]]) -> Verdict:
    """greedy_column(text_logits (V,), step, codebooks) -> the likeliest text token, then code after code."""
    return judge(
        lambda: _try_greedy_column(greedy_column),
        "text first, then each code from the one before it, and a fresh cache for every column.",
        (
            "The column begins with the likeliest text token. The step of code 0 gets that token, the step of code 1 "
            "gets code 0, and so on.",
            "The cache is a list that <code>step</code> itself fills. Where must it be made, so that a column finds it "
            "empty? (Not in the head of the function: a default value is made once.)",
            "<code>column, cache = [int(text_logits.argmax())], []</code>; then for q in range(codebooks): "
            "<code>column.append(int(step(q, column[-1], cache).argmax()))</code>.",
        ),
    )


def _try_greedy_column(greedy_column) -> None:
    table = torch.randn(5, 9, 9, generator=torch.Generator().manual_seed(0))  # code, token before, token
    calls = []

    def step(q: int, token: int, cache: list) -> Tensor:
        calls.append((q, int(token)))
        if len(cache) > q:
            raise Wrong(
                f"at code {q}, the cache already has {len(cache)} entries: what an earlier column left is still there. "
                "The Depth Transformer starts anew in each frame."
            )
        if len(cache) < q:
            raise Wrong(f"at code {q}, the cache has {len(cache)} entries; all steps of a column share one list.")
        cache.append(token)
        return table[q, int(token)]

    for codebooks, seed in ((5, 1), (5, 2), (1, 3)):
        text_logits = torch.randn(9, generator=torch.Generator().manual_seed(seed))
        calls.clear()
        got = greedy_column(text_logits, step, codebooks)
        expect(isinstance(got, list | tuple), f"expected a list of tokens, got {type(got).__name__}.")
        got = [int(token) for token in got]
        expect(len(got) == 1 + codebooks, f"expected 1 text token and {codebooks} codes, got {len(got)} tokens.")
        expect(got[0] == int(text_logits.argmax()), "the column does not begin with the likeliest text token.")
        right = [got[0]]
        for q in range(codebooks):
            right.append(int(table[q, right[-1]].argmax()))
        expect([q for q, _ in calls] == list(range(codebooks)), "call step once for each code, 0 first.")
        expect(
            [token for _, token in calls] == right[:-1],
            "each step must get the token before it: the text token for code 0, code 0 for code 1, and so on.",
        )
        expect(got == right, "the codes are not the likeliest ones.")


def check_saving(saving: Callable[[TransformerConfig, TransformerConfig, int], float]) -> Verdict:
    """saving(temporal, depth, streams) -> how many times more multiplications by weights a flattened model needs."""
    tiny, real = MoshiConfig.tiny().model, MoshiConfig.kyutai_7b().model
    one = replace(tiny.depth, weight_sets=1, context=1)
    return judge(
        lambda: [_try_saving(saving, *case) for case in (
            ("tiny", tiny.temporal, tiny.depth, 17), ("7B", real.temporal, real.depth, 17),
            ("one code only", tiny.temporal, one, 3),
            ("a wider MLP in the depth", tiny.temporal, replace(tiny.depth, hidden=960), 17))],
        "nearly as many times as there are streams, because the Depth Transformer is small.",
        (
            "Count the weights that one token meets in one layer: four square matrices in the attention, three of D "
            "times the hidden width in the gated MLP.",
            "A flattened model sends all tokens of the column through the large Transformer. The other way sends one "
            "sum through it, and then one token for each codebook through the small one: depth.weight_sets of them.",
            "<code>def weights(c): return c.layers * (4 * c.dim**2 + 3 * c.dim * c.hidden)</code>, and the answer is "
            "<code>streams * weights(temporal) / (weights(temporal) + depth.weight_sets * weights(depth))</code>.",
        ),
    )  # fmt: skip


def _try_saving(saving, case: str, temporal: TransformerConfig, depth: TransformerConfig, streams: int) -> None:
    got = float(saving(temporal, depth, streams))
    large, small = matrices(temporal), matrices(depth)  # the depth's count holds the weights of all its steps
    right = streams * large / (large + small)
    expect(abs(got - 1 / right) > 1e-6, f"{case}: this is the share that is left; the question is how many times more.")
    expect(
        abs(got - streams * large / (large + small / depth.weight_sets)) > 1e-6 or depth.weight_sets == 1,
        f"{case}: got {got:.2f}. The Depth Transformer takes a step for each codebook, not one for all.",
    )
    expect(abs(got - streams) > 1e-6, f"{case}: got {got:.2f}. The Depth Transformer is cheap, but not free.")
    expect(
        abs(got - right) < 1e-3 * right,
        f"{case}: expected {right:.3f}, got {got:.3f}. An MLP with a gate has three matrices, the attention four.",
    )


def matrices(config: TransformerConfig) -> int:
    """Numbers in the matrices of a Transformer, counted on the model itself."""
    with torch.device("meta"):
        parameters = Transformer(config).parameters()
    return sum(p.numel() for p in parameters if p.dim() > 1)
