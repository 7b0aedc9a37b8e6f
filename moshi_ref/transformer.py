"""The one Transformer that every model of this package is built of.

Helium, the Temporal and the Depth Transformer of Moshi, and the two Transformers inside Mimi are
this class with other settings (Moshi paper, sections 3.2, 3.3.1 and 3.4.1; sizes in Table 1). The file
reads from leaf to root:

    RMSNorm, LayerScale        keep activations in range
    rotations, rotate          RoPE: positions as rotations of query and key
    Linear                     one matrix, or one matrix for each position (Depth Transformer)
    Attention, MLP             the two halves of a layer
    Layer, Transformer         x + attention(norm(x)), then x + mlp(norm(x)), many times
    sample                     from logits to a token

Shapes: B batch, T steps, S key slots, D width, H heads.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .fast_layouts import Plan, linear, pages, suits
from .streaming import State

CHUNK = 32  # longest piece that a stream processes at once; longer chunks are cut into such pieces


@dataclass(frozen=True)
class TransformerConfig:
    dim: int
    heads: int
    layers: int
    hidden: int  # width inside the MLP
    context: int  # a step attends to itself and to the `context - 1` steps before it
    rope_period: float | None = 10_000.0  # None: no position embedding
    gated: bool = True  # SiLU-gated MLP and RMSNorm (Helium, Moshi); False: GELU and LayerNorm (Mimi)
    layer_scale: float | None = None  # initial scale of each branch
    weight_sets: int = 1  # more than 1: position t has its own weights number t (Depth Transformer)

    def __post_init__(self):
        if self.dim % self.heads or (self.dim // self.heads) % 2:
            raise ValueError(
                f"dim must be heads times an even head size, got dim {self.dim} and {self.heads} heads"
            )
        if self.weight_sets > 1 and self.rope_period is not None:
            raise ValueError("with weights of its own, a position needs no RoPE: expected rope_period None")


class RMSNorm(nn.Module):
    """Divide by the root mean square over the last axis, then scale: x / sqrt(mean(x^2) + eps) * weight (Zhang &
    Sennrich 2019).

    The mean is taken in float32, and epsilon sits inside the root, as in the released models.
    """

    def __init__(self, dim: int, eps: float = 1e-8):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class LayerScale(nn.Module):
    """A learnt scale per channel, small at first, so that a deep stack starts near the identity."""

    def __init__(self, dim: int, initial: float):
        super().__init__()
        self.scale = nn.Parameter(torch.full((dim,), initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def rotations(positions: Tensor, head_dim: int, period: float) -> Tensor:
    """RoPE's rotations (Su et al. 2021): positions (B, T) -> complex numbers of length 1, (B, 1, T, D/H/2)."""
    pair = torch.arange(head_dim // 2, device=positions.device, dtype=torch.float32)
    frequency = torch.exp(-math.log(period) * 2 * pair / head_dim)
    angle = positions[:, None, :, None].float() * frequency  # (B, 1, T, D/H/2)
    return torch.polar(torch.ones_like(angle), angle)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn each pair of neighbouring channels (2i, 2i + 1) of x (B, H, T, D/H): a pair is a point in the plane,
    so a complex number, and a product with a complex number of length 1 turns it."""
    points = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))  # (B, H, T, D/H/2)
    return torch.view_as_real(points * rotation).flatten(-2).to(x.dtype)  # (B, H, T, D/H)


class Linear(nn.Module):
    """A matrix product without bias. With `sets` > 1, position t is multiplied by matrix number t."""

    def __init__(self, dim_in: int, dim_out: int, sets: int = 1):
        super().__init__()
        shape = (dim_out, dim_in) if sets == 1 else (sets, dim_out, dim_in)
        self.weight = nn.Parameter(torch.empty(shape))
        initialise(self.weight, dim_in)

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """x (B, T, dim_in), whose first step is position `first` -> (B, T, dim_out)."""
        if self.weight.dim() == 2:
            return linear(x, self.weight)
        if x.shape[1] == 1:
            return linear(x, self.weight[first])
        weight = self.weight[first : first + x.shape[1]]  # (T, out, in)
        return torch.bmm(x.transpose(0, 1), weight.transpose(1, 2)).transpose(0, 1)


def initialise(weight: Tensor, fan_in: int) -> None:
    """Truncated normal of deviation 1 / sqrt(fan_in): each product keeps the variance of its input."""
    std = fan_in**-0.5
    nn.init.trunc_normal_(weight, std=std, a=-3 * std, b=3 * std)


@dataclass
class TransformerState(State):
    """The keys and values of the last steps, in a ring, and how many steps have passed."""

    offset: Tensor  # (B,) int64
    rings: list[Tensor]  # one (B, 2 * H, S, D/H) for each layer: keys, then values
    plans: dict[int, Plan] = field(default_factory=dict)  # for short pieces, see `fast_layouts.py`


@dataclass(frozen=True)
class Attending:
    """What all layers share during one call: rotations, who may see whom, and where to write in the ring."""

    rotation: Tensor | None  # (B, 1, T, D/H/2) of RoPE, or None
    visible: Tensor | None  # (B, 1, T, S) bool; None: everything, or everything before if `causal`
    causal: bool
    slots: Tensor | slice | None  # places in the ring: (B, 2 * H, T, D/H), or the same for all rows; None: no ring
    filled: int  # slots of the ring that anything was written into


def remember(ring: Tensor, new: Tensor, attending: Attending) -> Tensor:
    """Write new (B, 2 * H, T, D/H) into the ring (B, 2 * H, S, D/H), in place. Returns what may be looked at."""
    if isinstance(attending.slots, slice):
        ring[:, :, attending.slots] = new.detach()
    else:
        ring.scatter_(2, attending.slots, new.detach())
    return ring[:, :, : attending.filled]


class Attention(nn.Module):
    """Causal multi-head attention over the last `context` steps."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.heads = config.heads
        self.in_proj = Linear(config.dim, 3 * config.dim, config.weight_sets)  # rows: query, key, value
        self.out_proj = Linear(config.dim, config.dim, config.weight_sets)

    def forward(self, x: Tensor, attending: Attending, ring: Tensor | None, first: int) -> Tensor:
        count = self.heads
        projected = self.in_proj(x, first)  # (B, T, 3 * D)
        heads = projected.unflatten(-1, (3 * count, -1)).transpose(1, 2)  # (B, 3 * H, T, D/H)
        turned, value = heads.split([2 * count, count], dim=1)
        if attending.rotation is not None:  # queries and keys are turned, values are not
            turned = rotate(turned, attending.rotation)
        query, key = turned.chunk(2, dim=1)  # (B, H, T, D/H)
        if ring is not None:
            key, value = remember(ring, torch.cat([key, value], dim=1), attending).chunk(2, dim=1)  # (B, H, S, D/H)
        out = F.scaled_dot_product_attention(
            query, key, value, attn_mask=attending.visible, is_causal=attending.causal
        )  # (B, H, T, D/H)
        return self.out_proj(out.transpose(1, 2).flatten(-2), first)  # (B, T, D)


class MLP(nn.Module):
    """Gated: out(silu(a) * b), where a and b are the halves of in(x). Plain: out(gelu(in(x)))."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.gated = config.gated
        width = 2 * config.hidden if config.gated else config.hidden
        self.linear_in = Linear(config.dim, width, config.weight_sets)
        self.linear_out = Linear(config.hidden, config.dim, config.weight_sets)

    def forward(self, x: Tensor, first: int) -> Tensor:
        x = self.linear_in(x, first)
        if self.gated:
            gate, up = x.chunk(2, dim=-1)  # (B, T, hidden) each
            x = F.silu(gate) * up
        else:
            x = F.gelu(x)
        return self.linear_out(x, first)


class Layer(nn.Module):
    """One layer, pre-norm: each half reads a normalised copy and adds its answer to the stream."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        norm = RMSNorm if config.gated else nn.LayerNorm
        self.norm1, self.norm2 = norm(config.dim), norm(config.dim)
        self.attention, self.mlp = Attention(config), MLP(config)
        scaled = config.layer_scale is not None
        self.scale1 = LayerScale(config.dim, config.layer_scale) if scaled else nn.Identity()
        self.scale2 = LayerScale(config.dim, config.layer_scale) if scaled else nn.Identity()

    def forward(self, x: Tensor, attending: Attending, ring, first: int) -> Tensor:
        x = x + self.scale1(self.attention(self.norm1(x), attending, ring, first))
        return x + self.scale2(self.mlp(self.norm2(x), first))


class Transformer(nn.Module):
    """A stack of layers, (B, T, D) -> (B, T, D), without a final norm. Causal, and so streamable. A stack of none, as
    in a Mimi without Transformers, passes on what it gets."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))

    def initial_state(self, batch_size: int) -> TransformerState:
        """A ring that holds the context and one more chunk, so that no query loses a key it may see."""
        c, weight = self.config, next(self.parameters(), torch.empty(0))
        slots = c.context + (CHUNK - 1 if c.weight_sets == 1 else 0)
        shape = (batch_size, 2 * c.heads, slots, c.dim // c.heads)
        return TransformerState(
            offset=torch.zeros(batch_size, dtype=torch.long, device=weight.device),
            rings=[pages(shape, weight.dtype, weight.device, whole=False) for _ in self.layers],
        )

    def forward(self, x: Tensor, state: TransformerState | None = None, first: int = 0) -> Tensor:
        """x (B, T, D) -> (B, T, D). `first` is the number of the weights of x's first step, where
        every position has its own (see `Linear`)."""
        if not self.layers:
            return x
        if state is not None and x.shape[1] > CHUNK:
            pieces = x.split(CHUNK, 1)
            return torch.cat([self(p, state, first + i * CHUNK) for i, p in enumerate(pieces)], 1)
        attending = self._attending(x, state, first)
        if state is not None and suits(x):
            x = self._planned(x, attending, state, first)
        else:
            for index, layer in enumerate(self.layers):
                x = layer(x, attending, None if state is None else state.rings[index], first)
        if state is not None:
            state.offset += x.shape[1]
        return x

    def _planned(self, x: Tensor, attending: Attending, state: TransformerState, first: int) -> Tensor:
        """The same layers by a plan that the state keeps."""
        plan = state.plans.get(first)
        if plan is None or not plan.fits(x, attending.filled):
            plan = Plan(self.layers, state.rings, self.config.heads, x, first, attending.filled)
            state.plans[first] = plan
        slots = None if isinstance(attending.slots, slice) else attending.slots
        return plan.run(x, attending.rotation, attending.visible, slots)

    def _attending(self, x: Tensor, state: TransformerState | None, first: int) -> Attending:
        length, device = x.shape[1], x.device
        if state is None:
            return self._whole(length, device)
        return self._few(first, length, device) if self.config.weight_sets > 1 else self._stream(state, length)

    def _whole(self, length: int, device: torch.device) -> Attending:
        """A whole sequence."""
        position = torch.arange(length, device=device)[None]  # (1, T)
        rotation, fits = self._rotation(position), length <= self.config.context
        return Attending(rotation, None if fits else self._visible(position, position), fits, None, 0)

    def _few(self, first: int, length: int, device: torch.device) -> Attending:
        """The Depth Transformer: all of its steps fit into the ring, and no row is ahead of another."""
        end, visible = first + length, None
        if length > 1:
            position = torch.arange(end, device=device)
            visible = position <= position[first:, None]  # (T, S)
        return Attending(None, visible, False, slice(first, end), end)

    def _stream(self, state: TransformerState, length: int) -> Attending:
        """A chunk of a stream. Each row may be at another step, because rows are started anew one by one."""
        c, ring, device = self.config, state.rings[0].shape[2], state.offset.device
        filled = ring
        if device.type == "cpu":  # elsewhere, asking for the number would make the device wait
            filled = min(CHUNK * math.ceil((int(state.offset.max()) + length) / CHUNK), ring)
        position = state.offset[:, None] + torch.arange(length, device=device)  # (B, T)
        slots = (position % ring)[:, None, :, None].expand(-1, 2 * c.heads, -1, c.dim // c.heads)
        # The newest step sits in slot (end - 1) % ring; going backwards from it, each slot is one
        # step older. Slots that were never written come out with a negative position.
        newest = position[:, -1:]  # (B, 1)
        key_position = newest - (newest - torch.arange(filled, device=device)) % ring  # (B, S)
        return Attending(self._rotation(position), self._visible(position, key_position), False, slots, filled)

    def _visible(self, position: Tensor, key_position: Tensor) -> Tensor:
        """Which queries at position (B, T) see which keys (B, S): bool (B, 1, T, S)."""
        distance = position[:, :, None] - key_position[:, None, :]  # (B, T, S)
        visible = (distance >= 0) & (distance < self.config.context) & (key_position >= 0)[:, None, :]
        return visible[:, None]

    def _rotation(self, position: Tensor) -> Tensor | None:
        c = self.config
        return rotations(position, c.dim // c.heads, c.rope_period) if c.rope_period else None


def sample(logits: Tensor, temperature: float, top_k: int, generator: torch.Generator | None = None,
           noise: Tensor | None = None) -> Tensor:
    """Draw a token from logits (..., V) -> (...). Temperature 0 takes the likeliest token; otherwise
    one of the `top_k` likeliest is drawn in proportion to softmax(logits / temperature). Exponential `noise`
    (..., min(top_k, V)) may be given; if not, it comes from the generator. Raises ValueError for a negative
    temperature or a top_k below 1."""
    if not temperature >= 0 or top_k < 1:
        raise ValueError(f"expected temperature >= 0 and top_k >= 1, got {temperature} and {top_k}")
    if temperature == 0:
        return logits.argmax(-1)
    values, tokens = logits.float().topk(min(top_k, logits.shape[-1]), sorted=False)  # (..., k), in any order
    # The Gumbel-max trick: with exponential noise, argmax(values / temperature - log(noise)) is one draw from the
    # softmax, without leaving the device.
    noise = torch.empty_like(values).exponential_(generator=generator) if noise is None else noise
    choice = torch.sub(values, noise.log(), alpha=temperature).argmax(-1, keepdim=True)  # (..., 1)
    return tokens.gather(-1, choice)[..., 0]
