"""SEANet: the convolutional encoder and decoder of Mimi (Moshi paper, section 3.3.1).

All convolutions are causal: a sample never depends on later ones, so sound can be processed as it
arrives. The encoder shortens 24,000 samples a second to 25 vectors by strides 4, 5, 6 and 8; the
decoder undoes this with transposed convolutions. The file reads from leaf to root:

    convolve, ..._transposed   as one matrix product where that is faster
    StreamingConv1d            remembers the last input samples
    StreamingConvTranspose1d   remembers the output samples that are not finished yet
    ResidualBlock, Chain       the pieces between the strides
    SEANetEncoder, SEANetDecoder

Shapes: B batch, C channels, T steps in time; all tensors are (B, C, T).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .fast_layouts import in_order, in_parts, product, times_columns
from .streaming import State

GAIN = 1.2  # makes up for what ELU takes away from the variance


@dataclass(frozen=True)
class SEANetConfig:
    dim: int  # channels of the latent
    filters: int  # channels after the first convolution; doubled at each stride
    ratios: tuple[int, ...] = (8, 6, 5, 4)  # strides, in the decoder's order
    kernel: int = 7
    last_kernel: int = 3
    residual_kernel: int = 3

    @property
    def hop(self) -> int:
        """Samples per latent step: the product of the strides."""
        hop = 1
        for ratio in self.ratios:
            hop *= ratio
        return hop


SHORT = 512  # outputs up to which a convolution is faster as a matrix product
FEW = 4  # outputs up to which this product is faster with the outputs as rows than as columns


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """The convolution of x (B, C_in, T) with weight (C_out, C_in, kernel), `stride` apart.

    In a stream, x is short and the weight large. Then the time goes into bringing the weight into the order that
    the library's convolution likes, which it does at every call. A matrix product over the windows of x takes the
    weight as it is; but its gradient takes longer.
    """
    kernel = weight.shape[2]
    if x.shape[-1] > SHORT * stride or x.requires_grad:
        return F.conv1d(x, weight, bias, stride)
    windows, matrix = x.unfold(-1, kernel, stride), weight.flatten(1)  # (B, C_in, T', kernel), (C_out, C_in * kernel)
    if windows.shape[2] <= FEW:
        rows = windows.transpose(1, 2).flatten(-2).flatten(0, 1)  # (B * T', C_in * kernel)
        out = product(rows, in_parts(matrix)).unflatten(0, (len(x), -1)).transpose(1, 2)  # (B, C_out, T')
    else:
        out = times_columns(matrix, windows.transpose(2, 3).flatten(1, 2))
    return out if bias is None else out + bias[:, None]


def convolve_transposed(x: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
    """The transposed convolution of x (B, C_in, T) with weight (C_in, C_out / groups, kernel): every input step adds
    a piece of `kernel` samples to the output, `stride` apart. In a stream, all pieces come from one product."""
    kernel = weight.shape[2]
    if groups > 1 or x.shape[-1] > SHORT or kernel != 2 * stride:
        return F.conv_transpose1d(x, weight, None, stride, groups=groups)
    matrix = weight.permute(1, 2, 0).flatten(0, 1)  # (C_out * kernel, C_in)
    if x.shape[-1] <= FEW:
        rows = x.transpose(1, 2).flatten(0, 1)  # (B * T, C_in)
        pieces = product(rows, in_parts(matrix)).unflatten(0, (len(x), -1)).transpose(1, 2)
    else:
        pieces = times_columns(matrix, x)  # (B, C_out * kernel, T)
    pieces = pieces.unflatten(1, (-1, 2, stride)).permute(2, 0, 1, 4, 3).flatten(-2)  # (2, B, C_out, T * stride)
    return F.pad(pieces[0], (0, stride)) + F.pad(pieces[1], (stride, 0))  # first halves, second halves


@dataclass
class ConvState(State):
    previous: Tensor  # (B, C, kernel - stride): the last input samples
    started: Tensor  # (B,) bool: has this stream seen any input?


class StreamingConv1d(nn.Module):
    """Causal convolution: (B, C_in, T) -> (B, C_out, T / stride). T must be a multiple of the stride.

    Before the first sample there are `kernel - stride` zeros, or copies of the first sample with
    `replicate`. Nothing is ever padded at the end. Raises ValueError for any other T.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, bias: bool = True,
                 replicate: bool = False, gain: float = GAIN):
        super().__init__()
        self.stride, self.replicate, self.past = stride, replicate, kernel - stride
        self.weight = nn.Parameter(torch.empty(c_out, c_in, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out)) if bias else None
        nn.init.normal_(self.weight, std=gain * (c_in * kernel) ** -0.5)

    def initial_state(self, batch_size: int) -> ConvState:
        previous = self.weight.new_zeros(batch_size, self.weight.shape[1], self.past)
        return ConvState(previous, torch.zeros(batch_size, dtype=torch.bool, device=previous.device))

    def forward(self, x: Tensor, state: ConvState | None = None) -> Tensor:
        if x.shape[-1] == 0 or x.shape[-1] % self.stride:
            raise ValueError(
                f"expected a positive multiple of {self.stride} steps (the stride), got {x.shape[-1]}"
            )
        padded = torch.cat([self._before(x, state), x], dim=-1) if self.past else x  # (B, C, past + T)
        if state is not None:
            state.previous.copy_(padded[..., padded.shape[-1] - self.past :].detach())
            state.started.fill_(True)
        return convolve(padded, self.weight, self.bias, self.stride)

    def _before(self, x: Tensor, state: ConvState | None) -> Tensor:
        """What comes before x: (B, C, past)."""
        previous = x.new_zeros(*x.shape[:2], self.past) if state is None else state.previous
        if not self.replicate:
            return previous
        first = x[..., :1].expand_as(previous)
        return first if state is None else torch.where(state.started[:, None, None], previous, first)


@dataclass
class ConvTransposeState(State):
    partial: Tensor  # (B, C, kernel - stride): output samples that still wait for later inputs


class StreamingConvTranspose1d(nn.Module):
    """Causal transposed convolution: (B, C_in, T) -> (B, C_out, T * stride).

    Each input step adds `kernel` samples to the output, `stride` apart. The last `kernel - stride`
    samples are not finished when a chunk ends: they are kept, and added to the start of the next chunk.
    Groups equal to the channels give one filter for each channel (Mimi's upsampling).
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, groups: int = 1, bias: bool = True):
        super().__init__()
        self.stride, self.groups, self.unfinished = stride, groups, kernel - stride
        self.weight = nn.Parameter(torch.empty(c_in, c_out // groups, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out)) if bias else None
        # Only kernel / stride inputs meet in one output sample: the fan-in is smaller than it looks.
        nn.init.normal_(self.weight, std=GAIN * (c_in // groups * kernel / stride) ** -0.5)

    def initial_state(self, batch_size: int) -> ConvTransposeState:
        with torch.no_grad():
            # A stream reads the whole weight for a few steps. In this order in memory, it reads it in one go.
            in_order(self.weight, 1, 2, 0)
        channels = self.weight.shape[1] * self.groups
        return ConvTransposeState(self.weight.new_zeros(batch_size, channels, self.unfinished))

    def forward(self, x: Tensor, state: ConvTransposeState | None = None) -> Tensor:
        full = convolve_transposed(x, self.weight, self.stride, self.groups)
        done, rest = full.split([x.shape[-1] * self.stride, self.unfinished], dim=-1)
        if state is not None:
            # never longer than `done`, because kernel <= 2 * stride in every model here
            done = done + F.pad(state.partial, (0, done.shape[-1] - self.unfinished))
            state.partial.copy_(rest.detach())
        return done if self.bias is None else done + self.bias[:, None]


class ELU(nn.Module):
    """The activation between convolutions: x where x > 0, else exp(x) - 1."""

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(x)


@dataclass
class ChainState(State):
    parts: list[State | None]


class Chain(nn.Sequential):
    """Modules in a row, some of which stream; the state is the list of their states."""

    def initial_state(self, batch_size: int) -> ChainState:
        return ChainState([m.initial_state(batch_size) if hasattr(m, "initial_state") else None for m in self])

    def forward(self, x: Tensor, state: ChainState | None = None) -> Tensor:
        parts = [None] * len(self) if state is None else state.parts
        for module, part in zip(self, parts, strict=True):
            x = module(x, part) if hasattr(module, "initial_state") else module(x)
        return x


class ResidualBlock(nn.Module):
    """x + (ELU, convolution to half the channels, ELU, 1x1 convolution back)."""

    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.branch = Chain(
            ELU(), StreamingConv1d(channels, channels // 2, kernel),
            ELU(), StreamingConv1d(channels // 2, channels, 1, gain=GAIN / 2),
        )  # fmt: skip

    def initial_state(self, batch_size: int) -> ChainState:
        return self.branch.initial_state(batch_size)

    def forward(self, x: Tensor, state: ChainState | None = None) -> Tensor:
        return x + self.branch(x, state)


class SEANetEncoder(Chain):
    """Sound (B, 1, T) -> latent (B, dim, T / hop)."""

    def __init__(self, config: SEANetConfig):
        channels = config.filters
        modules = [StreamingConv1d(1, channels, config.kernel, gain=4 * GAIN)]  # speech is quiet
        for ratio in reversed(config.ratios):
            modules += [
                ResidualBlock(channels, config.residual_kernel),
                ELU(), StreamingConv1d(channels, 2 * channels, 2 * ratio, stride=ratio),
            ]  # fmt: skip
            channels *= 2
        super().__init__(*modules, ELU(), StreamingConv1d(channels, config.dim, config.last_kernel))


class SEANetDecoder(Chain):
    """Latent (B, dim, T) -> sound (B, 1, T * hop)."""

    def __init__(self, config: SEANetConfig):
        channels = config.filters * 2 ** len(config.ratios)
        modules = [StreamingConv1d(config.dim, channels, config.kernel)]
        for ratio in config.ratios:
            modules += [
                ELU(), StreamingConvTranspose1d(channels, channels // 2, 2 * ratio, stride=ratio),
                ResidualBlock(channels // 2, config.residual_kernel),
            ]  # fmt: skip
            channels //= 2
        super().__init__(*modules, ELU(), StreamingConv1d(channels, 1, config.last_kernel, gain=GAIN / 4))
