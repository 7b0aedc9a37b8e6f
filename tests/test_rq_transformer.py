"""Temporal and Depth Transformer over parallel streams."""

import pytest
import torch

from moshi_ref.rq_transformer import ConditionConfig, RQTransformer, RQTransformerConfig, Sampling
from moshi_ref.transformer import TransformerConfig

GREEDY = Sampling(0.0, 1)


def small(predicted: int = 3, heard: int = 2, **extra) -> RQTransformer:
    """Text, `predicted` streams of its own and `heard` of the user's, 11 entries each."""
    temporal = TransformerConfig(32, 4, 2, hidden=48, context=6)
    depth = None
    if predicted:
        depth = TransformerConfig(16, 2, 2, hidden=24, context=predicted, rope_period=None, weight_sets=predicted)
    return RQTransformer(RQTransformerConfig(temporal, depth, 20, 11, predicted + heard, **extra)).eval()


def grid(model: RQTransformer, batch: int, frames: int) -> torch.Tensor:
    """Random tokens (B, K, F)."""
    c = model.config
    text = torch.randint(0, c.text_vocabulary, (batch, 1, frames))
    return torch.cat([text, torch.randint(0, c.entries, (batch, c.audio_streams, frames))], dim=1)


def test_shapes():
    model = small()
    columns, targets = grid(model, 2, 5), grid(model, 2, 5)
    z, text, audio = model(columns, targets)
    assert z.shape == (2, 5, 32) and text.shape == (2, 5, 20) and audio.shape == (2, 3, 5, 11)


def test_without_depth_no_audio_is_predicted():
    model = small(predicted=0, heard=4, extra_heads=2)
    columns = grid(model, 2, 5)
    z, text, audio = model(columns, columns)
    assert audio.shape == (2, 0, 5, 11)
    assert model.sample_column(z[:, :1], GREEDY, GREEDY).shape == (2, 1)
    assert [head(z).shape for head in model.extra_heads] == [(2, 5, 6)] * 2


def test_the_context_vector_does_not_see_later_columns():
    model, columns = small(), grid(small(), 1, 8)
    changed = columns.clone()
    changed[..., 5:] = (changed[..., 5:] + 1) % 11
    before, after = model.context(columns), model.context(changed)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


def test_a_code_sees_only_the_earlier_codes_of_its_column():
    model = small()
    z, targets = torch.randn(1, 1, 32), grid(model, 1, 1)
    before = model.depth_logits(z, targets)
    for changed_stream in range(1, 4):
        changed = targets.clone()
        changed[:, changed_stream] = (changed[:, changed_stream] + 1) % 11
        after = model.depth_logits(z, changed)
        same = [torch.allclose(before[:, q], after[:, q], atol=1e-6) for q in range(3)]
        assert same == [q < changed_stream for q in range(3)]


def test_the_users_streams_are_never_targets():
    model = small()
    z, targets = torch.randn(1, 4, 32), grid(model, 1, 4)
    changed = targets.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % 11
    assert torch.equal(model.depth_logits(z, targets), model.depth_logits(z, changed))


def test_code_by_code_equals_all_at_once():
    """Greedy sampling, one code at a time, finds the arg max of the teacher-forced logits of its own choice."""
    model, z = small(), torch.randn(5, 1, 32)
    column = model.sample_column(z, GREEDY, GREEDY)  # (5, 4)
    targets = torch.cat([column, torch.zeros(5, 2, dtype=torch.long)], 1)[..., None]
    assert torch.equal(model.depth_logits(z, targets).argmax(-1)[..., 0], column[:, 1:])


@pytest.mark.parametrize("chunks", [[1] * 12, [5, 1, 6], [12]])
def test_whole_equals_streamed(chunks):
    model, columns = small(), grid(small(), 2, 12)
    state = model.initial_state(2)
    with torch.no_grad():
        streamed = torch.cat([model.context(piece, state) for piece in columns.split(chunks, -1)], 1)
        torch.testing.assert_close(streamed, model.context(columns), atol=1e-5, rtol=1e-5)


def test_token_minus_one_is_nothing():
    model, columns = small(), grid(small(), 1, 1)
    columns[:, 1:] = -1
    torch.testing.assert_close(model.embed(columns), model.text_embedding(columns[:, 0]))


def test_a_condition_is_added_to_every_column():
    model = small(condition=ConditionConfig((), bins=4, dim=3))
    columns, condition = grid(model, 2, 5), model.condition(torch.tensor([3, -1]))
    assert condition.shape == (2, 1, 32)
    torch.testing.assert_close(model.embed(columns, condition) - model.embed(columns), condition.expand(-1, 5, -1))
    torch.testing.assert_close(condition[1, 0], model.condition.nothing)


def test_without_a_list_of_values_any_text_is_a_condition():
    config = ConditionConfig((), bins=31, dim=16)
    assert config.index(None) == -1
    assert {config.index("good"), config.index("good ")} <= set(range(31))
    assert config.index("good") == config.index("good")


def test_extra_heads_give_probabilities():
    model = small(predicted=0, extra_heads=4)
    probabilities = model.extra_probabilities(model.context(grid(model, 2, 5)))
    assert probabilities.shape == (2, 5, 4, 6)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(2, 5, 4))


def test_gradients_reach_every_parameter():
    model = small(extra_heads=1, condition=ConditionConfig((), bins=1, dim=3))
    condition = model.condition(torch.tensor([0, -1]))
    z, text, audio = model(grid(model, 2, 5), grid(model, 2, 5), condition)
    (text.square().mean() + audio.square().mean() + model.extra_heads[0](z).square().mean()).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert missing == []
