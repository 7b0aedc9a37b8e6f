"""LoRA: a large model learns something new by a few weights beside its own (Hu et al. 2021).

A matrix W stays as it is. Beside it come two thin ones, A and B, through a bottleneck of `rank` numbers:

    y = W x + scaling * B (A x)        A (rank, in) starts random, B (out, rank) starts as zero

so that at the start nothing is changed, and the change that is learnt is a matrix of a low rank. The optimizer
remembers two numbers for each weight that learns, which is why few of them save so much memory. Afterwards
W + scaling * B A is a matrix like any other (`merge`): the finished model is no slower.

The conventions are those of Kyutai's fine-tuning tool: every matrix product of the model gets an adapter, one for each
position where a position has weights of its own (Depth Transformer); the scaling is not divided by the rank; the
embeddings do not learn.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..audio import writing
from ..kyutai_names import their_name
from ..moshi import Moshi
from ..transformer import Linear

SCALING = 2.0  # of the fine-tuning tool


class LoRALinear(nn.Module):
    """A `Linear` with an adapter. The names of its parts are those in Kyutai's files."""

    def __init__(self, linear: Linear, rank: int, scaling: float):
        super().__init__()
        *sets, dim_out, dim_in = linear.weight.shape
        like = {"device": linear.weight.device, "dtype": linear.weight.dtype}
        self.scaling = scaling
        self.frozen_W = linear.requires_grad_(False)
        self.lora_A, self.lora_B = Linear(dim_in, rank, *sets).to(**like), Linear(rank, dim_out, *sets).to(**like)
        nn.init.uniform_(self.lora_A.weight, -(dim_in**-0.5), dim_in**-0.5)  # Kaiming's, as PyTorch's own Linear
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """See `Linear.forward`."""
        return self.frozen_W(x, first) + self.scaling * self.lora_B(self.lora_A(x, first), first)

    @property
    def weight(self) -> Tensor:
        """The one matrix that both amount to, made anew at each call; a model that is to stream is better merged."""
        return self.frozen_W.weight + self.scaling * self.lora_B.weight @ self.lora_A.weight


def add_adapters(moshi: Moshi, rank: int, scaling: float = SCALING) -> Moshi:
    """Give every matrix of `moshi` an adapter, in place; from now on only adapters learn. Returns the model.

    Raises ValueError for a rank below 1, and for a model that has adapters.
    """
    if rank < 1:
        raise ValueError(f"expected a rank of 1 or more, got {rank}")
    if any(adapters(moshi)):
        raise ValueError("this model has adapters already; merge them first")
    moshi.requires_grad_(False)
    for name, module in list(moshi.named_modules()):
        if isinstance(module, Linear):
            _replace(moshi, name, LoRALinear(module, rank, scaling))
    return moshi


def adapters(moshi: Moshi) -> Iterator[tuple[str, LoRALinear]]:
    """All of them, with their names."""
    return ((name, module) for name, module in moshi.named_modules() if isinstance(module, LoRALinear))


@torch.no_grad()
def merge(moshi: Moshi) -> Moshi:
    """Put what the adapters have learnt into the matrices beside them, in place. Returns the model, a plain one again,
    all of which may learn."""
    for name, adapter in list(adapters(moshi)):
        adapter.frozen_W.weight.copy_(adapter.weight)
        _replace(moshi, name, adapter.frozen_W)
    return moshi.requires_grad_(True)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)


def for_kyutai(moshi: Moshi) -> dict[str, Tensor]:
    """The adapters alone, under the names that the official programs give them:
    "transformer.layers.0.self_attn.in_projs.0.lora_A.weight" and the like, each step of the Depth Transformer apart."""
    named = {}
    for name, adapter in adapters(moshi):
        for part in ("lora_A", "lora_B"):
            weight = getattr(adapter, part).weight.detach().cpu()
            for number, block in enumerate(weight.unbind() if weight.dim() == 3 else (weight,)):
                theirs = their_name(Moshi, f"{name}.weight#{number}") or their_name(Moshi, f"{name}.weight")
                named[theirs.removesuffix("weight") + f"{part}.weight"] = block.contiguous()
    return named


def save_adapters(moshi: Moshi, path: Path) -> None:
    """Write the adapters alone, as `for_kyutai` names them."""
    with writing(path) as part:
        save_file(for_kyutai(moshi), part, {"format": "pt"})
