"""Layouts in memory that make a stream on a CPU fast; what is computed stays the same.

A frame brings few numbers and needs many weights. Then the time goes into reading the weights, into bringing them
into another order, and into calling operations: after a large matrix went through the processor's caches, even the
smallest operation takes 10 to 40 microseconds. The remedies, all invisible from outside:

    product     x @ weight.mT as a batch of products, which reads the weights as fast as the memory gives them
    in_order    a weight keeps its shape and its values, but lies in memory as a product wants to read it
    Plan        all views and buffers of one step of a Transformer, made once: a layer is 12 to 20 operations

The plain versions are in `transformer.py` and `seanet.py`. They stay what is read, trained and run on a GPU, and the
tests hold the two against each other.
"""

import functools
import math
import mmap
import time
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEW = 4  # steps (rows of a product) up to which calling and reading cost more than computing
LARGE = 1 << 17  # bytes from which a tensor gets pages of its own


def pages(shape: Sequence[int], dtype: torch.dtype, device: torch.device | str = "cpu", whole: bool = True) -> Tensor:
    """Memory for a weight or for what a stream remembers, full of zeros. When weights are moved one after the other,
    the heap is left with holes that the next one does not fit into, a fifth of the model in the end. Pages of its own
    go back to the system with the tensor, and are not there before something is written into them. What is used as a
    `whole` gets few large pages, among which the processor finds its way faster."""
    size, cpu = math.prod(shape) * dtype.itemsize, torch.device(device).type == "cpu"
    if size < LARGE or not cpu or not hasattr(mmap, "MAP_PRIVATE"):  # there is no such thing on Windows
        return torch.zeros(shape, dtype=dtype, device=device)
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if whole and hasattr(mmap, "MADV_HUGEPAGE"):  # on Linux
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(*shape)


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


# --- Products with few rows ---------------------------------------------------------------------------------
#
# x @ weight.mT with one or two rows in x reads every weight once, and so should take as long as reading does. The
# library often needs two or three times as long, and leaves the work to one thread. But a *batch* of products, matrix
# times columns, it does well and deals out to all threads. So the matrix is taken as a batch of its own parts.


def in_parts(weight: Tensor) -> Tensor:
    """A matrix (out, in) as a batch (P, out / P, in), without moving it: on a CPU as many parts as there are threads,
    two at least."""
    out, inputs = weight.shape
    count = max(2, torch.get_num_threads()) if weight.device.type == "cpu" else 1
    return weight.view(count if out % count == 0 else 1, -1, inputs)


def product(x: Tensor, parts: Tensor) -> Tensor:
    """x (N, in) and a matrix in parts (P, out / P, in) -> (N, out)."""
    rows, count = x.shape[0], parts.shape[0]
    if rows > FEW or not columns_are_faster():
        return torch.bmm(x.expand(count, -1, -1), parts.mT).transpose(0, 1).flatten(1)
    columns = x.contiguous().t().expand(count, -1, -1)  # (P, in, N), each column in one piece of memory
    return torch.bmm(parts, columns).flatten(0, 1).t()


class Product:
    """out = x @ weight.mT, or out += scale * x @ weight.mT where it is `added`, for an x (N, in) and an out (N, out)
    that stay where they are in memory. With one row nothing is left to do but the product itself."""

    def __init__(self, x: Tensor, weight: Tensor, out: Tensor, added: bool = False, scale: Tensor | None = None):
        self.x, self.parts, self.out, self.added, self.scale = x, in_parts(weight), out, added, scale
        count = len(self.parts)
        self.alone = len(x) == 1 and scale is None and columns_are_faster()
        if self.alone:
            self.column, self.pieces = x.t().expand(count, -1, -1), out.view(count, -1, 1)

    def __call__(self) -> None:
        if self.alone:
            self.pieces.baddbmm_(self.parts, self.column, beta=int(self.added))
        elif not self.added:
            self.out.copy_(product(self.x, self.parts))
        elif self.scale is None:
            self.out.add_(product(self.x, self.parts))
        else:
            self.out.addcmul_(product(self.x, self.parts), self.scale)


def times_columns(matrix: Tensor, columns: Tensor) -> Tensor:
    """(out, in) and columns (B, in, T) -> (B, out, T)."""
    if len(columns) > 1:
        return torch.bmm(matrix.expand(len(columns), -1, -1), columns)
    parts = in_parts(matrix)
    return torch.bmm(parts, columns.expand(len(parts), -1, -1)).view(1, len(matrix), -1)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """F.linear(x, weight), the fast way if x (B, T, in) is a short piece of one stream."""
    if x.dim() != 3 or not suits(x) or x.shape[0] * x.shape[1] > FEW:
        return F.linear(x, weight)
    return product(x.flatten(0, 1), in_parts(weight)).contiguous().view(*x.shape[:2], -1)


@functools.lru_cache
@torch.inference_mode()
def columns_are_faster() -> bool:
    """Are columns faster than rows for this processor and its library? Tried once, with two rows; nearly equal: yes."""
    x, weights = torch.ones(2, 512), [in_parts(pages((2048, 512), torch.float32).fill_(1.0)) for _ in range(4)]
    columns, fastest = x.t().expand(len(weights[0]), -1, -1), []
    for function in (lambda w: torch.bmm(w, columns), lambda w: torch.bmm(columns.mT, w.mT)):
        times = []
        for _ in range(7):
            began = time.perf_counter()
            for weight in weights:
                function(weight)
            times.append(time.perf_counter() - began)
        fastest.append(min(times))
    return fastest[0] < 1.2 * fastest[1]


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

    N = B * T rows. All layers work on the same rows, and each half of a layer is added to them by its last product.
    """

    def __init__(self, layers: nn.ModuleList, rings: list[Tensor], heads: int, x: Tensor, first: int, filled: int):
        self.key = (x.shape, filled)
        self.rows = x.new_empty(x.shape).flatten(0, 1)  # (N, D)
        pairs = zip(layers, rings, strict=True)
        self.layers = [PlannedLayer(layer, ring, heads, self.rows, x.shape[1], first, filled) for layer, ring in pairs]
        self.parameters = list(layers.parameters())
        self.addresses = [p.data_ptr() for p in self.parameters]

    def fits(self, x: Tensor, filled: int) -> bool:
        """Is this the plan for such a piece, and are the weights still where they were?"""
        return self.key == (x.shape, filled) and self.addresses == [p.data_ptr() for p in self.parameters]

    def run(self, x: Tensor, rotation: Tensor | None, visible: Tensor | None, slots: Tensor | None) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        self.rows.view(x.shape).copy_(x)
        turn = None if rotation is None else rotation.transpose(1, 2)  # (B, T, 1, D/H/2)
        mask = None if visible is None else torch.zeros(visible.shape).masked_fill_(~visible, -math.inf)
        for layer in self.layers:
            layer.run(turn, mask, slots)
        return self.rows.view(x.shape).clone()


class PlannedLayer:
    def __init__(self, layer: nn.Module, ring: Tensor, heads: int, x: Tensor, steps: int, first: int, filled: int):
        rows, dim = x.shape
        matrices = (layer.attention.in_proj, layer.attention.out_proj, layer.mlp.linear_in, layer.mlp.linear_out)
        weights = [m.weight.detach() if m.weight.dim() == 2 else m.weight[first].detach() for m in matrices]
        scales = [getattr(scale, "scale", None) for scale in (layer.scale1, layer.scale2)]

        normed, projected, mixed = x.new_empty(rows, dim), x.new_empty(rows, 3 * dim), x.new_empty(rows, dim)
        self.norm1, self.into_heads = norm(layer.norm1, x, normed), Product(normed, weights[0], projected)
        parts = projected.view(-1, steps, 3 * heads, dim // heads)  # (B, T, 3 * H, D/H): query, key, value
        self.turned = torch.view_as_complex(parts[:, :, : 2 * heads].unflatten(-1, (-1, 2)))  # (B, T, 2 * H, D/H/2)
        self.query, self.new = parts.transpose(1, 2).split([heads, 2 * heads], dim=1)  # (B, H or 2 * H, T, D/H)
        self.ring, self.slot = ring, ring[:, :, first : first + steps]
        self.keys, self.values = ring[:, :, :filled].chunk(2, dim=1)  # (B, H, S, D/H)
        self.mixed = mixed.view(-1, steps, heads, dim // heads).transpose(1, 2)  # (B, H, T, D/H)
        self.out_of_heads = Product(mixed, weights[1], x, added=True, scale=scales[0])

        hidden, inner = x.new_empty(rows, len(weights[2])), x.new_empty(rows, weights[3].shape[1])
        self.norm2, self.into_mlp = norm(layer.norm2, x, normed), Product(normed, weights[2], hidden)
        self.gated, self.hidden, self.inner = layer.mlp.gated, hidden, inner
        self.gate, self.up = hidden.chunk(2, dim=-1)
        self.out_of_mlp = Product(inner, weights[3], x, added=True, scale=scales[1])

    def run(self, turn: Tensor | None, mask: Tensor | None, slots: Tensor | None) -> None:
        """Changes the rows (N, D) that the layer was planned for."""
        self.norm1()
        self.into_heads()
        if turn is not None:
            self.turned.mul_(turn)
        if slots is None:
            self.slot.copy_(self.new)
        else:
            self.ring.scatter_(2, slots, self.new)
        self.mixed.copy_(F.scaled_dot_product_attention(self.query, self.keys, self.values, attn_mask=mask))
        self.out_of_heads()
        self.norm2()
        self.into_mlp()
        if self.gated:
            torch.mul(F.silu(self.gate), self.up, out=self.inner)
        else:
            self.inner.copy_(F.gelu(self.hidden))
        self.out_of_mlp()


def norm(module: nn.Module, x: Tensor, out: Tensor):
    """The norm of rows x (N, D), written into out (N, D), as a function without arguments. RMSNorm is a dozen
    operations in the library, four here, and two for a single row, whose length is a number."""
    if isinstance(module, nn.LayerNorm):
        return lambda: out.copy_(F.layer_norm(x, module.normalized_shape, module.weight, module.bias, module.eps))
    weight, dim, epsilon = module.weight, len(module.weight), len(module.weight) * module.eps
    zero, tiny, row = weight.new_zeros(()), weight.new_tensor(math.sqrt(epsilon)), x.flatten()

    def rms() -> None:
        length = torch.hypot(torch.linalg.vector_norm(x, dim=-1, keepdim=True), tiny)  # sqrt(sum x^2 + D eps)
        torch.addcdiv(zero, x * weight, length, value=math.sqrt(dim), out=out)

    def rms_of_one() -> None:
        length = torch.dot(row, row).item() + epsilon  # squared
        torch.addcmul(zero, x, weight, value=math.sqrt(dim / length), out=out)

    return rms_of_one if len(x) == 1 else rms
