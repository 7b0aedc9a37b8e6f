"""Layouts and plans change how fast a stream is, never what it gives."""

import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import close, tiny_transformer
from torch import nn

from moshi_ref.fast_layouts import FEW, LARGE, Kept, for_rows, in_order, norm, suits
from moshi_ref.transformer import RMSNorm, Transformer


def test_a_weight_moves_in_memory_and_nothing_else():
    weight = nn.Parameter(torch.randn(3, 4, 5))
    before = weight.detach().clone()
    with torch.no_grad():
        ordered = in_order(weight, 1, 2, 0)
        assert ordered.is_contiguous() and torch.equal(ordered, before.permute(1, 2, 0))
        assert torch.equal(weight, before) and weight.shape == (3, 4, 5)
        assert in_order(weight, 1, 2, 0).data_ptr() == weight.data_ptr()  # free from now on
    in_order(weight, 1, 2, 0).sum().backward()
    assert weight.grad.shape == (3, 4, 5)


@pytest.mark.parametrize("shape", [(6, 4), (3, 6, 4), (400, 300)])  # the last has pages of its own
@pytest.mark.parametrize("rows", [1, 2])
def test_for_rows_is_the_same_matrix(shape, rows):
    weight = nn.Parameter(torch.randn(shape))
    before = weight.detach().clone()
    with torch.inference_mode():
        assert torch.equal(for_rows(weight, rows), before)
        assert (weight.mT if rows == 1 else weight).is_contiguous()


def test_a_weight_in_pages_of_its_own_is_like_any_other():
    layer = nn.Linear(300, 400, bias=False)
    with torch.no_grad():
        for_rows(layer.weight, 1)
    assert layer.weight.untyped_storage().nbytes() >= LARGE
    twin, x = copy.deepcopy(layer), torch.randn(2, 300)
    layer(x).sum().backward()
    torch.optim.SGD(layer.parameters(), 0.1).step()
    close(layer.weight, twin.weight - 0.1 * x.sum(0))
    layer.load_state_dict(twin.state_dict())
    assert torch.equal(layer.weight, twin.weight)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("module", [RMSNorm(8), nn.LayerNorm(8)])
def test_a_planned_norm_is_the_norm(module, scale):
    nn.init.normal_(module.weight)
    x = scale * torch.randn(3, 8)
    with torch.no_grad():
        close(norm(module)(x), module(x))


def test_plans_are_for_short_pieces_without_gradients():
    with torch.no_grad():
        assert suits(torch.zeros(1, FEW, 8)) and not suits(torch.zeros(1, FEW + 1, 8))
        assert not suits(torch.zeros(1, 1, 8, dtype=torch.bfloat16))
    assert not suits(torch.zeros(1, 1, 8))


def both(model: Transformer, x: torch.Tensor, sizes: list[int], between=lambda index: None):
    """The stream by plans and by the plain layers."""
    outs = []
    for planned in (True, False):
        state, pieces = model.initial_state(len(x)), []
        for index, piece in enumerate(x.split(sizes, 1)):
            between(index)
            with torch.set_grad_enabled(not planned):
                pieces.append(model(piece, state).detach())
        assert bool(state.plans) == planned
        outs.append(torch.cat(pieces, 1))
    return outs


@pytest.mark.parametrize("changes", [
    {}, {"rope_period": None}, {"gated": False, "layer_scale": 0.5}, {"context": 1}, {"context": 40},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("sizes", [[1] * 60, [2] * 30, [1, 2, 3, 4, 10] * 3])
def test_a_plan_gives_what_the_layers_give(changes, sizes):
    planned, plain = both(Transformer(tiny_transformer(**changes)), torch.randn(3, 60, 32), sizes)
    close(planned, plain)


def test_a_plan_follows_its_weights():
    """Written into, put elsewhere in memory, or moved by a stream of another batch: the next step sees it."""
    model = Transformer(tiny_transformer())

    def between(index: int) -> None:
        torch.manual_seed(index)
        for parameter in model.parameters():
            fresh = torch.randn(parameter.shape) / 5
            if index % 3 == 0:
                parameter.data.copy_(fresh)
            elif index % 3 == 1:
                parameter.data = fresh
        with torch.no_grad():
            model(torch.randn(2, 1, 32), model.initial_state(2))

    planned, plain = both(model, torch.randn(1, 9, 32), [1] * 9, between)
    close(planned, plain)


def test_what_is_kept_is_made_anew_when_its_source_changes():
    calls, tensor = [], torch.ones(3)
    kept = Kept(lambda t: calls.append(1) or F.relu(t))
    assert kept(tensor) is kept(tensor) and len(calls) == 1
    tensor.mul_(2)
    assert torch.equal(kept(tensor), 2 * torch.ones(3)) and len(calls) == 2
    assert kept(torch.ones(3)) is not kept(tensor)
