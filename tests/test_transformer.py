"""The Transformer: norms, rotary positions, windowed attention, one matrix per position, sampling."""

import math

import pytest
import torch
import torch.nn.functional as F
from conftest import close, tiny_transformer, without_gradient

from moshi_ref.transformer import (
    MLP,
    Linear,
    RMSNorm,
    Transformer,
    TransformerConfig,
    rotate,
    rotations,
    sample,
)

# --- norms ----------------------------------------------------------------------------------------------


def test_rmsnorm_is_the_formula():
    norm, x = RMSNorm(8), torch.randn(2, 3, 8)
    torch.nn.init.normal_(norm.weight)
    close(norm(x), x / (x.square().mean(-1, keepdim=True) + 1e-8).sqrt() * norm.weight)


def test_rmsnorm_has_its_epsilon_inside_the_root():
    """For x far below the root of epsilon, the output is x / sqrt(epsilon)."""
    close(RMSNorm(4)(torch.full((4,), 1e-6)), torch.full((4,), 1e-6 / math.sqrt(1e-8 + 1e-12)), 1e-6)


def test_rmsnorm_takes_the_mean_in_float32():
    """The square of 300 overflows in float16."""
    out = RMSNorm(4).half()(torch.full((4,), 300.0, dtype=torch.float16))
    assert out.dtype == torch.float16
    close(out, torch.ones(4, dtype=torch.float16))


# --- rotary positions -----------------------------------------------------------------------------------


def angles(first: int, steps: int, dim: int, period: float = 100.0):
    return rotations(torch.arange(first, first + steps)[None], dim, period)


def test_one_pair_of_channels_turns_by_one_radian_a_step():
    x = torch.tensor([1.0, 0.0]).expand(1, 1, 3, 2)  # the x axis at positions 0, 1, 2
    expected = torch.tensor([[math.cos(t), math.sin(t)] for t in range(3)])
    close(rotate(x, angles(0, 3, 2))[0, 0], expected)


def test_pairs_are_neighbouring_channels_each_with_its_own_frequency():
    """Channels (0, 1) turn by 1 radian a step, channels (2, 3) by period ** -(2 / 4)."""
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(1, 1, 1, 4)
    a, b = 5.0, 5.0 * 100.0**-0.5
    expected = torch.tensor([
        1 * math.cos(a) - 2 * math.sin(a), 1 * math.sin(a) + 2 * math.cos(a),
        3 * math.cos(b) - 4 * math.sin(b), 3 * math.sin(b) + 4 * math.cos(b),
    ])  # fmt: skip
    close(rotate(x, angles(5, 1, 4))[0, 0, 0], expected)


def test_rotation_keeps_norms_and_position_zero():
    x = torch.randn(2, 3, 7, 8)
    turned = rotate(x, angles(0, 7, 8))
    close(turned.norm(dim=-1), x.norm(dim=-1))
    close(turned[:, :, 0], x[:, :, 0])


def test_scores_depend_only_on_the_distance():
    query, key = torch.randn(1, 1, 1, 8).expand(1, 1, 6, 8), torch.randn(1, 1, 1, 8).expand(1, 1, 6, 8)
    near = rotate(query, angles(0, 6, 8)) @ rotate(key, angles(0, 6, 8)).mT  # (1, 1, 6, 6)
    far = rotate(query, angles(1000, 6, 8)) @ rotate(key, angles(1000, 6, 8)).mT
    close(near, far, 1e-4)  # angles near 1000 are exact to 6e-5 only
    close(near[0, 0, 1:, 1:], near[0, 0, :-1, :-1])  # the same along every diagonal


# --- attention and layers -------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [1, 3, 5])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_step_sees_itself_and_the_context_minus_one_before(context, streamed):
    """One layer; disturb step t and see which later steps notice it."""
    model = Transformer(tiny_transformer(layers=1, context=context))
    x, t = torch.randn(1, 12, 32), 3
    disturbed = x.clone()
    disturbed[:, t] += 1
    with torch.no_grad():
        a, b = (model(v, model.initial_state(1) if streamed else None) for v in (x, disturbed))
    noticed = (a - b).abs().amax(-1)[0] > 1e-5  # (12,)
    assert noticed.nonzero().flatten().tolist() == list(range(t, t + context))


def attention_by_hand(model: Transformer, x: torch.Tensor) -> torch.Tensor:
    """Attention of the first layer, step by step and head by head."""
    config, attention = model.config, model.layers[0].attention
    size = config.dim // config.heads
    query, key, value = (x @ attention.in_proj.weight.T).split(config.dim, dim=-1)
    rows = []
    for t in range(len(x)):
        seen = range(max(0, t - config.context + 1), t + 1)
        heads = []
        for h in range(config.heads):
            part = slice(h * size, (h + 1) * size)

            def turned(v, position, part=part):
                turn = rotations(torch.tensor([[position]]), size, config.rope_period)
                return rotate(v[position, part].view(1, 1, 1, -1), turn).flatten()

            scores = torch.stack([turned(query, t) @ turned(key, s) for s in seen]) / math.sqrt(size)
            heads.append(scores.softmax(0) @ value[list(seen), part])
        rows.append(torch.cat(heads))
    return torch.stack(rows) @ attention.out_proj.weight.T


def test_a_layer_is_attention_and_mlp_on_normalised_copies():
    """Pre-norm: x + attention(norm1(x)), then x + out(silu(first half) * second half)."""
    model, x = Transformer(tiny_transformer(layers=1, context=3)), torch.randn(6, 32)
    layer = model.layers[0]
    with torch.no_grad():
        middle = x + attention_by_hand(model, layer.norm1(x))
        gate, up = (layer.norm2(middle) @ layer.mlp.linear_in.weight.T).split(64, dim=-1)
        expected = middle + (F.silu(gate) * up) @ layer.mlp.linear_out.weight.T
        close(model(x[None])[0], expected)


def test_the_plain_mlp_is_gelu_between_two_matrices():
    mlp, x = MLP(tiny_transformer(gated=False)), torch.randn(1, 3, 32)
    close(mlp(x, 0), F.gelu(x @ mlp.linear_in.weight.T) @ mlp.linear_out.weight.T)


def test_layer_scale_zero_makes_the_identity():
    x = torch.randn(2, 7, 32)
    assert torch.equal(Transformer(tiny_transformer(gated=False, layer_scale=0.0))(x), x)


def test_without_positions_and_mask_the_order_of_the_past_does_not_matter():
    model, x = Transformer(tiny_transformer(layers=1, rope_period=None, context=8)), torch.randn(1, 6, 32)
    shuffled = x[:, [3, 0, 4, 1, 2, 5]]
    close(model(shuffled)[:, -1], model(x)[:, -1])
    rotary = Transformer(tiny_transformer(layers=1, context=8))
    assert (rotary(shuffled)[:, -1] - rotary(x)[:, -1]).abs().max() > 1e-3


@pytest.mark.parametrize("changes", [
    {}, {"rope_period": None}, {"gated": False, "layer_scale": 0.1}, {"weight_sets": 7, "rope_period": None},
], ids=str)  # fmt: skip
def test_gradients_reach_every_parameter(changes):
    model = Transformer(tiny_transformer(**changes))
    out = model(torch.randn(2, 7, 32))
    assert out.shape == (2, 7, 32)
    out.square().sum().backward()
    assert without_gradient(model) == []


@pytest.mark.parametrize("dim, heads", [(30, 4), (12, 4)])
def test_a_head_needs_an_even_number_of_channels(dim, heads):
    with pytest.raises(ValueError, match=f"dim {dim} and {heads} heads"):
        TransformerConfig(dim, heads, 2, 64, 5)


def test_weights_for_each_position_leave_no_room_for_rope():
    with pytest.raises(ValueError, match="expected rope_period None"):
        tiny_transformer(weight_sets=3)


# --- one matrix for each position -----------------------------------------------------------------------


def test_position_t_is_multiplied_by_matrix_t():
    linear, x = Linear(4, 6, sets=5), torch.randn(3, 5, 4)
    expected = torch.stack([x[:, t] @ linear.weight[t].T for t in range(5)], dim=1)  # (3, 5, 6)
    close(linear(x), expected)
    close(linear(x[:, 2:4], first=2), expected[:, 2:4])
    close(linear(x[:, 3:4], first=3), expected[:, 3:4])


def test_one_set_is_one_matrix_for_all_positions():
    linear, x = Linear(4, 6), torch.randn(3, 5, 4)
    close(linear(x, first=2), x @ linear.weight.T)


@pytest.mark.parametrize("steps", [6, 40])
def test_weights_per_position_give_the_same_one_by_one_and_at_once(steps):
    """Also for more positions than a stream processes at once."""
    model = Transformer(tiny_transformer(weight_sets=steps, context=steps, rope_period=None))
    x = torch.randn(2, steps, 32)
    with torch.no_grad():
        whole, one_by_one = model(x), model.initial_state(2)
        close(torch.cat([model(x[:, t : t + 1], one_by_one, t) for t in range(steps)], 1), whole)
        close(model(x, model.initial_state(2)), whole)


# --- sampling -------------------------------------------------------------------------------------------


def test_temperature_zero_and_top_1_take_the_likeliest_token():
    logits = torch.randn(4, 5, 30)
    assert torch.equal(sample(logits, 0.0, 25), logits.argmax(-1))
    assert torch.equal(sample(logits, 2.0, 1), logits.argmax(-1))


@pytest.mark.parametrize("temperature, top_k", [(1.0, 6), (0.7, 6), (1.5, 3), (1.0, 100)])
def test_frequencies_follow_the_softmax(temperature, top_k):
    """Chi-square of 40,000 draws against the expected counts, at most at the 99.99 % quantile."""
    logits, draws = torch.tensor([0.3, -1.0, 2.0, 1.1, 0.0, 1.6]), 40_000
    tokens = sample(logits.expand(draws, -1), temperature, top_k)
    kept = torch.where(logits >= logits.sort(descending=True)[0][min(top_k, 6) - 1], logits, -torch.inf)
    expected = draws * torch.softmax(kept / temperature, dim=-1)  # (6,)
    counts = torch.bincount(tokens, minlength=6)
    possible = expected > 0
    assert not counts[~possible].any()
    chi_square = ((counts - expected).square() / expected)[possible].sum()
    assert chi_square < {6: 25.7, 3: 18.4}[int(possible.sum())]


def test_the_same_generator_draws_the_same_tokens():
    logits = torch.randn(50, 30)
    first, again, other = (sample(logits, 1.0, 25, torch.Generator().manual_seed(s)) for s in (7, 7, 8))
    assert torch.equal(first, again) and not torch.equal(first, other)
