"""What every streaming module promises: causal, the same in any chunks, a state that stays in place."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from conftest import chunkings, close, tiny_helium, tiny_mimi, tiny_transformer
from torch import Tensor, nn

from moshi_ref.helium import Helium
from moshi_ref.mimi import Mimi
from moshi_ref.seanet import (
    ELU,
    Chain,
    ResidualBlock,
    SEANetDecoder,
    SEANetEncoder,
    StreamingConv1d,
    StreamingConvTranspose1d,
)
from moshi_ref.streaming import State
from moshi_ref.transformer import CHUNK, Transformer


@dataclass(frozen=True)
class Case:
    make: Callable[[], nn.Module]
    draw: Callable[[int, int], Tensor]  # (batch, steps) -> a random input
    axis: int  # of time, in the input and in the output
    units: int  # length of the test in units
    unit: int = 1  # steps in the shortest chunk that the module takes
    method: str = "forward"

    def run(self, module: nn.Module, x: Tensor, state: State | None = None, sizes: list[int] | None = None):
        call, pieces = getattr(module, self.method), x.split(sizes or x.shape[self.axis], self.axis)
        with torch.no_grad():
            return torch.cat([call(piece, state) for piece in pieces], self.axis)

    def sample(self, batch: int) -> Tensor:
        return self.draw(batch, self.units * self.unit)


def channels(count: int):
    return lambda batch, steps: torch.randn(batch, count, steps)


def vectors(batch: int, steps: int) -> Tensor:
    return torch.randn(batch, steps, 32)


def tokens(batch: int, steps: int) -> Tensor:
    return torch.randint(40, (batch, steps))


def chain() -> Chain:
    return Chain(StreamingConv1d(3, 4, 6, stride=2), ELU(), StreamingConvTranspose1d(4, 2, 6, stride=3))


def transformer(**changes):
    return lambda: Transformer(tiny_transformer(**changes))


# 144 steps are four times the ring of a Transformer with context 5; 72 frames of Mimi are as many.
CASES = {
    "convolution": Case(lambda: StreamingConv1d(3, 4, 5), channels(3), -1, 50),
    "convolution of width 1": Case(lambda: StreamingConv1d(3, 4, 1), channels(3), -1, 50),
    "strided convolution": Case(lambda: StreamingConv1d(3, 4, 6, stride=3), channels(3), -1, 50, unit=3),
    "replicate": Case(lambda: StreamingConv1d(3, 4, 5, replicate=True), channels(3), -1, 50),
    "strided replicate": Case(
        lambda: StreamingConv1d(3, 4, 4, stride=2, replicate=True, bias=False), channels(3), -1, 50, unit=2
    ),
    "transposed convolution": Case(lambda: StreamingConvTranspose1d(3, 4, 6, stride=3), channels(3), -1, 50),
    "transposed in groups": Case(
        lambda: StreamingConvTranspose1d(4, 4, 4, stride=2, groups=4, bias=False), channels(4), -1, 50
    ),
    "residual block": Case(lambda: ResidualBlock(4, 3), channels(4), -1, 50),
    "chain": Case(chain, channels(3), -1, 50, unit=2),
    "encoder": Case(lambda: SEANetEncoder(tiny_mimi().seanet), channels(1), -1, 12, unit=960),
    "decoder": Case(lambda: SEANetDecoder(tiny_mimi().seanet), channels(32), -1, 12),
    "transformer": Case(transformer(), vectors, 1, 144),
    "transformer without positions": Case(transformer(rope_period=None), vectors, 1, 144),
    "transformer of Mimi": Case(transformer(gated=False, layer_scale=0.5), vectors, 1, 144),
    "transformer with context 1": Case(transformer(context=1), vectors, 1, 144),
    "Helium": Case(lambda: Helium(tiny_helium()), tokens, 1, 144),
    "Mimi, encoding": Case(lambda: Mimi(tiny_mimi()), channels(1), -1, 72, 1920, "encode_latent"),
    "Mimi, decoding": Case(lambda: Mimi(tiny_mimi()), channels(32), -1, 72, method="decode_latent"),
}

every_module = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def with_biases(module: nn.Module) -> nn.Module:
    """Biases start at zero, where a bias added twice would go unnoticed."""
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return module


def test_the_cases_reach_what_they_are_for():
    """The ring goes round several times, and the irregular chunks contain one that has to be cut."""
    ring = CASES["transformer"].make().initial_state(1).rings[0].shape[2]
    assert CASES["transformer"].units >= 4 * ring
    assert CASES["Mimi, encoding"].units * 2 >= 4 * ring
    assert max(chunkings(50)[1]) > CHUNK


@every_module
def test_a_stream_in_any_chunks_equals_the_whole(case):
    module, x = with_biases(case.make()), case.sample(2)
    whole = case.run(module, x)
    assert whole.std() > 0.05  # or the tolerance would be blind
    for sizes in chunkings(case.units, case.unit):
        close(case.run(module, x, module.initial_state(2), sizes), whole)


@every_module
def test_the_past_does_not_depend_on_the_future(case):
    module, x, other = with_biases(case.make()), case.sample(1), case.sample(1)
    whole = case.run(module, x)
    rate = whole.shape[case.axis] // case.units  # steps of the output for each unit of the input
    for now in (1, case.units // 2, case.units - 1):
        steps = [case.unit * now, case.unit * (case.units - now)]
        changed = torch.cat([x.split(steps, case.axis)[0], other.split(steps, case.axis)[1]], case.axis)
        difference = (case.run(module, changed) - whole).abs()
        assert difference.narrow(case.axis, 0, now * rate).max() < 1e-6
        assert difference.narrow(case.axis, now * rate, rate).max() > 1e-3  # the present does depend on it


@every_module
def test_a_reset_row_starts_anew_while_the_others_go_on(case):
    module, x, cut = with_biases(case.make()), case.sample(3), (case.units - 5) * case.unit
    state = module.initial_state(3)
    before, after = x.split([cut, x.shape[case.axis] - cut], case.axis)
    case.run(module, before, state)
    state.reset(torch.tensor([False, True, False]))
    streamed = case.run(module, after, state)

    whole = case.run(module, x).narrow(case.axis, -streamed.shape[case.axis], streamed.shape[case.axis])
    close(streamed[[0, 2]], whole[[0, 2]])
    close(streamed[1], case.run(module, after)[1])

    state.reset()
    close(case.run(module, after, state), case.run(module, after))


@every_module
def test_the_state_stays_where_it_is(case):
    """A step can be captured in a CUDA graph, and its cost does not grow with the stream."""
    module, x = case.make(), case.sample(2)
    state = module.initial_state(2)
    before = [(t.data_ptr(), t.shape, t.dtype) for t in state.tensors()]
    assert all(not t.any() for t in state.tensors())
    case.run(module, x, state, chunkings(case.units, case.unit)[1])
    assert any(t.any() for t in state.tensors())
    state.reset(torch.tensor([True, False]))
    assert [(t.data_ptr(), t.shape, t.dtype) for t in state.tensors()] == before
    assert all(t.shape[0] == 2 and not t.requires_grad for t in state.tensors())


@dataclass
class Inner(State):
    count: Tensor


@dataclass
class Outer(State):
    one: Tensor
    inner: Inner
    many: list


def example() -> Outer:
    one, count = torch.ones(3, 2), torch.ones(3, dtype=torch.long)
    return Outer(one, Inner(count), [torch.ones(3, 1, 1), Inner(torch.ones(3, dtype=torch.bool)), None])


def test_a_state_finds_its_tensors_however_deep():
    assert [tuple(t.shape) for t in example().tensors()] == [(3, 2), (3,), (3, 1, 1), (3,)]


def test_reset_clears_the_chosen_rows_of_every_tensor():
    state = example()
    state.reset(torch.tensor([True, False, True]))
    for tensor in state.tensors():
        assert not tensor[[0, 2]].any() and tensor[1].all()
    state.reset()
    assert not any(tensor.any() for tensor in state.tensors())
