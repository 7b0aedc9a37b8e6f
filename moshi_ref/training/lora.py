"""LoRA: a large model learns something new by a few weights beside its own (Hu et al. 2021).

A matrix W stays as it is. Beside it come two thin ones, A and B, through a bottleneck of `rank` numbers:

    y = W x + scaling * B (A x)        A (rank, in) starts random, B (out, rank) starts as zero

so that at the start nothing is changed, and the change that is learnt is a matrix of a low rank. The optimizer
remembers two numbers for each weight that learns, which is why few of them save so much memory. Afterwards
W + scaling * B A is a matrix like any other (`merge`): the finished model is no slower.

The conventions are those of Kyutai's fine-tuning tool: every matrix product of the model gets an adapter, one for each
position where a position has weights of its own (Depth Transformer); the scaling is not divided by the rank; the
embeddings do not learn. A recogniser writes and does not speak, so it has them in the Temporal Transformer alone, and
in the head above it.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..audio import writing
from ..checkpoints import CHECKPOINTS, load_moshi
from ..kyutai_names import their_name
from ..moshi import Moshi
from ..transformer import Linear

SCALING = 2.0  # of the fine-tuning tool
WRITING = ("model.temporal.", "model.text_head")  # the parts of a Moshi that hear and write
ASR_TINY = CHECKPOINTS / "asr-tiny" / "lora.safetensors"


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


def add_adapters(moshi: Moshi, rank: int, scaling: float = SCALING, parts: tuple[str, ...] = ("",)) -> Moshi:
    """Give every matrix of `moshi` whose name begins with one of `parts`, by default all, an adapter, in place; from
    now on only adapters learn. Returns the model.

    Raises ValueError for a rank below 1, and for a model that has adapters.
    """
    if rank < 1:
        raise ValueError(f"expected a rank of 1 or more, got {rank}")
    if any(adapters(moshi)):
        raise ValueError("this model has adapters already; merge them first")
    moshi.requires_grad_(False)
    for name, module in list(moshi.named_modules()):
        if isinstance(module, Linear) and name.startswith(parts):
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


def _their_names(name: str, weight: Tensor) -> list[str]:
    """How the names of an adapter begin in Kyutai's files; of several, if each position has one of its own."""
    count = len(weight) if weight.dim() == 3 else 1
    names = [their_name(Moshi, f"{name}.weight#{i}") or their_name(Moshi, f"{name}.weight") for i in range(count)]
    return [theirs.removesuffix("weight") for theirs in names]


def for_kyutai(moshi: Moshi) -> dict[str, Tensor]:
    """The adapters alone, under the names that the official programs give them:
    "transformer.layers.0.self_attn.in_projs.0.lora_A.weight" and the like, each step of the Depth Transformer apart."""
    named = {}
    for name, adapter in adapters(moshi):
        for part in ("lora_A", "lora_B"):
            weight = getattr(adapter, part).weight.detach().cpu()
            blocks = weight.unbind() if weight.dim() == 3 else (weight,)
            for theirs, block in zip(_their_names(name, weight), blocks, strict=True):
                named[f"{theirs}{part}.weight"] = block.contiguous()
    return named


def save_adapters(moshi: Moshi, path: Path) -> None:
    """Write the adapters alone, as `for_kyutai` names them, in float16."""
    with writing(path) as part:
        save_file({name: weight.half() for name, weight in for_kyutai(moshi).items()}, part, {"format": "pt"})


@torch.no_grad()
def load_adapters(moshi: Moshi, path: Path, scaling: float = SCALING) -> Moshi:
    """Put what the adapters in a file have learnt into the matrices of `moshi`, in place. The file is one of
    `save_adapters`, or of Kyutai's fine-tuning tool. Returns the model, a plain one as from `merge`.

    Raises FileNotFoundError without the file, and ValueError for one that is damaged or made for another model.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}; expected adapters, as `finetune --lora` and `train asr` write them")
    try:
        held = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} holds no adapters, or is damaged: {error}") from error
    changes = {}
    for name, linear in moshi.named_modules():
        if isinstance(linear, Linear):
            for i, theirs in enumerate(_their_names(name, linear.weight)):
                pair = [held.pop(f"{theirs}{part}.weight", None) for part in ("lora_B", "lora_A")]
                matrix = linear.weight[i] if linear.weight.dim() == 3 else linear.weight
                if pair != [None, None]:
                    changes[theirs] = matrix, pair
    wrong = [theirs for theirs, (matrix, pair) in changes.items() if not _fits(matrix, pair)] + list(held)
    if wrong or not changes:
        raise ValueError(f"the adapters in {path} do not fit this model: {', '.join(wrong[:3]) or 'there are none'}; "
                         "put them on the model that they were trained beside")  # fmt: skip
    for matrix, (b, a) in changes.values():
        matrix += scaling * (b.float() @ a.float()).to(matrix)
    return moshi


def _fits(matrix: Tensor, pair: list[Tensor | None]) -> bool:
    """Does an adapter, B (out, rank) and A (rank, in), belong to a matrix (out, in)?"""
    b, a = pair
    if a is None or b is None or b.dim() != 2:
        return False
    return len(b) == len(matrix) and a.shape == (b.shape[1], matrix.shape[1])


def recogniser_of(folder: Path) -> Path | None:
    """The adapters that make a recogniser of the Moshi in a folder: asr-tiny's, of the moshi-tiny that comes along. Of
    other models none are known."""
    return ASR_TINY if Path(folder).resolve() == (CHECKPOINTS / "moshi-tiny").resolve() else None


def load_asr(folder: Path, lora: Path | None = None) -> Moshi:
    """The Moshi in a folder, with the adapters in the file `lora`; by default with those of `recogniser_of`.

    Raises ValueError for a folder that holds adapters and no model; for other errors see `checkpoints.load`.
    """
    alone = Path(folder) / ASR_TINY.name
    if alone.is_file() and not (Path(folder) / "config.json").is_file():
        raise ValueError(f"{folder} holds adapters and no model; expected the model, and {alone} as the adapters "
                         "(of asr-tiny: moshi-tiny, which takes them by itself)")  # fmt: skip
    moshi, lora = load_moshi(folder), lora or recogniser_of(folder)
    return moshi if lora is None else load_adapters(moshi, lora)
