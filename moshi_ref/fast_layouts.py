"""Layouts in memory that make a stream on a CPU fast; what is computed stays the same.

A frame brings few numbers and needs many weights. Then the time goes into reading the weights, into bringing them
into another order, and into calling operations: after a large matrix went through the processor's caches, even the
smallest operation takes 10 to 40 microseconds. Two remedies, both invisible from outside:

    pages       memory for a weight that is moved
    in_order    a weight keeps its shape and its values, but lies in memory as the product wants to read it
    Plan        all views and buffers of one step of a Transformer, made once: a layer is 12 to 20 operations

The plain versions are in `transformer.py` and `seanet.py`. They stay what is read, trained and run on a GPU, and the
tests hold the two against each other.
"""

import math
import mmap
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEW = 4  # steps (rows of a product) up to which calling and reading cost more than computing
LARGE = 1 << 17  # bytes from which a tensor gets pages of its own


def pages(shape: Sequence[int], dtype: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
    """Memory for a weight. When weights are moved one after the other, the heap is left with holes that the next one
    does not fit into, a fifth of the model in the end. Pages of its own go back to the system with the tensor."""
    size, cpu = math.prod(shape) * dtype.itemsize, torch.device(device).type == "cpu"
    if size < LARGE or not cpu or not hasattr(mmap, "MAP_PRIVATE"):  # there is no such thing on Windows
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.frombuffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), dtype=dtype).view(*shape)


def in_order(weight: Tensor, *axes: int) -> Tensor:
    """The weight with its axes in this order, contiguous. The first call moves its numbers in memory accordingly,
    so that all further calls cost nothing. Its shape, its values and its gradient are as before."""
    ordered = weight.permute(axes)
    if ordered.is_contiguous() or torch.is_grad_enabled() or weight.is_inference():
        return ordered.contiguous()
    back = sorted(range(len(axes)), key=axes.__getitem__)
    with torch.inference_mode(False):
        weight.data = pages(ordered.shape, weight.dtype, weight.device).copy_(ordered).permute(back)
    return weight.permute(axes)


def for_rows(weight: Tensor, rows: int) -> Tensor:
    """A matrix (out, in), or several (sets, out, in), laid out for products x @ weight.mT where x has so many rows.
    One row is fastest with the inputs one after the other in memory, a few rows with the outputs so."""
    last = weight.dim() - 1
    return in_order(weight, *range(last - 1), last, last - 1).mT if rows == 1 else in_order(weight, *range(last + 1))


class Kept:
    """A function of tensors that keeps its last answer until one of them changes. For what is made of weights and
    takes longer to make than to use."""

    def __init__(self, function):
        self.function, self.source, self.versions, self.answer = function, [], None, None

    def __call__(self, *source: Tensor):
        versions = [t._version for t in source if not t.is_inference()]  # counts what was written into a tensor
        if versions != self.versions or any(a is not b for a, b in zip(source, self.source, strict=True)):
            self.source, self.versions = source, versions
            with torch.inference_mode(False), torch.no_grad():  # whoever asks first, it may be used in training
                self.answer = self.function(*source)
        return self.answer


def suits(x: Tensor) -> bool:
    """Is x (B, T, D) a short piece of a stream on a CPU that nobody will ask the gradient of?"""
    return x.shape[1] <= FEW and x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_grad_enabled()


class Plan:
    """One step of a `Transformer` for pieces of a given length: the same lines as there, with views made before.

    N = B * T rows. Products write into buffers, and each half of a layer is added to x within its last product.
    """

    def __init__(self, layers: nn.ModuleList, rings: list[Tensor], heads: int, x: Tensor, first: int, filled: int):
        self.key = (x.shape, filled)
        pairs = zip(layers, rings, strict=True)
        self.layers = [PlannedLayer(layer, ring, heads, x, first, filled) for layer, ring in pairs]
        self.parameters = list(layers.parameters())
        self.addresses = [p.data_ptr() for p in self.parameters]

    def fits(self, x: Tensor, filled: int) -> bool:
        """Is this the plan for such a piece, and are the weights still where they were?"""
        return self.key == (x.shape, filled) and self.addresses == [p.data_ptr() for p in self.parameters]

    def run(self, x: Tensor, rotation: Tensor | None, visible: Tensor | None, slots: Tensor | None) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        rows = x.reshape(-1, x.shape[-1]).clone()  # (N, D)
        turn = None if rotation is None else rotation.transpose(1, 2)  # (B, T, 1, D/H/2)
        mask = None if visible is None else torch.zeros(visible.shape).masked_fill_(~visible, -math.inf)
        for layer in self.layers:
            layer.run(rows, turn, mask, slots)
        return rows.view(x.shape)


class PlannedLayer:
    def __init__(self, layer: nn.Module, ring: Tensor, heads: int, x: Tensor, first: int, filled: int):
        batch, steps, dim = x.shape
        matrices = (layer.attention.in_proj, layer.attention.out_proj, layer.mlp.linear_in, layer.mlp.linear_out)
        weights = [for_rows(m.weight, batch * steps).detach() for m in matrices]
        weights = [w.t() if w.dim() == 2 else w[first].t() for w in weights]  # (in, out)
        self.into_heads, self.out_of_heads, self.into_mlp, self.out_of_mlp = weights
        self.norm1, self.norm2 = norm(layer.norm1), norm(layer.norm2)
        self.scale1, self.scale2 = getattr(layer.scale1, "scale", None), getattr(layer.scale2, "scale", None)
        self.projected = x.new_empty(batch * steps, 3 * dim)
        parts = self.projected.view(batch, steps, 3 * heads, -1)  # (B, T, 3 * H, D/H): query, key, value
        self.turned = torch.view_as_complex(parts[:, :, : 2 * heads].unflatten(-1, (-1, 2)))  # (B, T, 2 * H, D/H/2)
        self.query, self.new = parts.transpose(1, 2).split([heads, 2 * heads], dim=1)  # (B, H or 2 * H, T, D/H)
        self.ring, self.slot = ring, ring[:, :, first : first + steps]
        self.keys, self.values = ring[:, :, :filled].chunk(2, dim=1)  # (B, H, S, D/H)
        self.hidden = x.new_empty(batch * steps, self.into_mlp.shape[1])
        self.gated = layer.mlp.gated
        self.gate, self.up = self.hidden.chunk(2, dim=-1)

    def run(self, x: Tensor, turn: Tensor | None, mask: Tensor | None, slots: Tensor | None) -> None:
        """x (N, D), in place."""
        torch.mm(self.norm1(x), self.into_heads, out=self.projected)
        if turn is not None:
            self.turned.mul_(turn)
        if slots is None:
            self.slot.copy_(self.new)
        else:
            self.ring.scatter_(2, slots, self.new)
        out = F.scaled_dot_product_attention(self.query, self.keys, self.values, attn_mask=mask)  # (B, H, T, D/H)
        out = out if out.shape[2] == 1 else out.transpose(1, 2)  # (B, T, H, D/H)
        add_product(x, out.reshape(x.shape), self.out_of_heads, self.scale1)
        torch.mm(self.norm2(x), self.into_mlp, out=self.hidden)
        inner = F.silu(self.gate) * self.up if self.gated else F.gelu(self.hidden)  # (N, hidden)
        add_product(x, inner, self.out_of_mlp, self.scale2)


def add_product(x: Tensor, inner: Tensor, weight: Tensor, scale: Tensor | None) -> None:
    """x + scale * (inner @ weight), in place."""
    if scale is None:
        x.addmm_(inner, weight)
    else:
        x.addcmul_(inner @ weight, scale)


def norm(module: nn.Module):
    """The norm as a function of x (N, D). RMSNorm is four operations here and a dozen in the library."""
    if isinstance(module, nn.LayerNorm):
        return lambda x: F.layer_norm(x, module.normalized_shape, module.weight, module.bias, module.eps)
    dim = module.weight.shape[0]
    zero, tiny = module.weight.new_zeros(()), module.weight.new_tensor(math.sqrt(dim * module.eps))

    def rms(x: Tensor) -> Tensor:
        length = torch.hypot(torch.linalg.vector_norm(x, dim=-1, keepdim=True), tiny)  # sqrt(sum x^2 + D eps)
        return torch.addcdiv(zero, x * module.weight, length, value=math.sqrt(dim))

    return rms
