"""Layouts and plans change how fast a stream is, never what it gives."""

import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import close, tiny_transformer
from torch import nn

from moshi_ref import fast_layouts
from moshi_ref.fast_layouts import (
    FEW,
    LARGE,
    Kept,
    Product,
    columns_are_faster,
    in_order,
    in_parts,
    linear,
    norm,
    pages,
    product,
    suits,
    times_columns,
)
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


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    """So many threads, of which each gets a part of a product."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(params=[True, False])
def columns(request, monkeypatch):
    """On a processor that likes columns, or rows."""
    monkeypatch.setattr(fast_layouts, "columns_are_faster", lambda: request.param)


def test_what_is_faster_is_asked_once():
    assert columns_are_faster() in (True, False)
    asked = columns_are_faster.cache_info().misses
    columns_are_faster()
    assert columns_are_faster.cache_info().misses == asked


@pytest.mark.parametrize("rows", [1, 2, FEW + 1])
@pytest.mark.parametrize("out", [12, 13])  # 13 outputs cannot be divided
def test_a_product_of_parts_is_the_product(rows, out, threads, columns):
    x, weight = torch.randn(rows, 5), torch.randn(out, 5)
    parts = in_parts(weight)
    assert parts.shape == ((max(2, threads) if out == 12 else 1), out // len(parts), 5)
    assert parts.data_ptr() == weight.data_ptr()
    expected = F.linear(x, weight)
    close(product(x, parts), expected)
    close(product(x.t().contiguous().t(), parts), expected)  # whatever its order in memory


@pytest.mark.parametrize("rows", [1, 2, FEW + 1])
@pytest.mark.parametrize("out", [12, 13])
def test_a_product_in_its_place_reads_and_writes_there(rows, out, columns):
    x, weight, there, scale = torch.zeros(rows, 5), torch.randn(out, 5), torch.empty(rows, out), torch.randn(out)
    there.fill_(torch.nan)
    written, added = Product(x, weight, there), Product(x, weight, there, added=True)
    scaled = Product(x, weight, there, added=True, scale=scale)
    for _ in range(2):  # what is in x now counts, not what was when the product was planned
        expected = F.linear(x.normal_(), weight)
        written()
        close(there, expected)
        added()
        close(there, 2 * expected)
        scaled()
        close(there, (2 + scale) * expected)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_product_with_columns(batch, threads):
    matrix, columns = torch.randn(12, 7), torch.randn(batch, 7, 3)
    close(times_columns(matrix, columns), matrix @ columns)


@pytest.mark.parametrize("shape", [(1, 1, 5), (2, 2, 5), (1, FEW + 1, 5), (FEW + 1, 1, 5)])
@pytest.mark.parametrize("learning", [True, False])
def test_linear_is_linear(shape, learning, columns):
    x, weight = torch.randn(shape), torch.randn(6, 5, requires_grad=True)
    with torch.set_grad_enabled(learning):
        out = linear(x, weight)
    close(out, F.linear(x, weight))
    assert out.requires_grad == learning


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("size", [10, LARGE])
def test_pages_are_zeros(size, whole):
    memory = pages((2, size), torch.float32, whole=whole)
    assert memory.shape == (2, size) and not memory.any()
    memory += 1
    assert memory.sum() == 2 * size


def test_a_weight_in_pages_of_its_own_is_like_any_other():
    layer = nn.Linear(300, 400, bias=False)
    with torch.no_grad():
        in_order(layer.weight, 1, 0)
    assert layer.weight.untyped_storage().nbytes() >= LARGE
    twin, x = copy.deepcopy(layer), torch.randn(2, 300)
    layer(x).sum().backward()
    torch.optim.SGD(layer.parameters(), 0.1).step()
    close(layer.weight, twin.weight - 0.1 * x.sum(0))
    layer.load_state_dict(twin.state_dict())
    assert torch.equal(layer.weight, twin.weight)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0, 1e4])
@pytest.mark.parametrize("module", [RMSNorm(8), nn.LayerNorm(8)])
def test_a_planned_norm_is_the_norm(module, scale, rows):
    nn.init.normal_(module.weight)
    x, out = scale * torch.randn(rows, 8), torch.empty(rows, 8)
    with torch.no_grad():
        norm(module, x, out)()
        close(out, module(x))


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
