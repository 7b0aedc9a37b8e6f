"""Training with several processes: each takes its share of every batch, and all keep the same weights.

`torchrun --nproc-per-node 4 -m moshi_ref train mimi ...` starts four such processes, one for each GPU. Each draws the
same random numbers for the whole batch and then computes only its own rows. Where rows meet (the gradients, the
moving averages of the codebooks, the means that are shown), the processes exchange what they have. So four
processes train what one would train, but for the order in which numbers are added.

A codec is small, and each process has all of it. A language model may be too large for one GPU: its weights, their
gradients and what the optimizer remembers of them are divided among the processes (`divide`).

With one process every function here returns its argument.
"""

import os
import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

T = TypeVar("T")


def pick_device() -> torch.device:
    """CUDA, else MPS, else the CPU. Joins the other processes first, if `torchrun` has started this one."""
    several = "WORLD_SIZE" in os.environ
    cuda = torch.cuda.is_available()
    if several and not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps" if torch.backends.mps.is_available() and not several else "cpu")


def processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def first() -> bool:
    """Is this the process that shows progress and writes files?"""
    return not dist.is_initialized() or dist.get_rank() == 0


def first_before_others(make: Callable[[], T]) -> T:
    """What `make` returns. The first process calls it before the others do, so that they find the files it has made."""
    if not first():
        dist.barrier()
    made = make()
    if processes() > 1 and first():
        dist.barrier()
    return made


def leave() -> None:
    """End this process, if it is one of several: the work is done. At once, because a thread of the process group that
    still holds a tensor while Python shuts down would abort it, and `torchrun` would call the training failed."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
        sys.stdout.flush()
        os._exit(0)


def share(rows: int) -> slice:
    """Which of the rows of a whole batch this process computes. Raises ValueError if they cannot be shared evenly."""
    if rows % processes():
        raise ValueError(f"a batch of {rows} cannot be shared by {processes()} processes; choose a multiple of them")
    size = rows // processes()
    begin = size * (dist.get_rank() if dist.is_initialized() else 0)
    return slice(begin, begin + size)


def gather(x: Tensor) -> Tensor:
    """The rows of all processes, (N, ...), from those of this one, (N / processes, ...), without gradient."""
    if processes() == 1:
        return x
    parts = [torch.empty_like(x) for _ in range(processes())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


def mean(x: Tensor) -> Tensor:
    """The mean of x over all processes, without gradient."""
    if processes() == 1:
        return x
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / processes()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes, in one exchange: what DistributedDataParallel does,
    without its hooks on the backward pass, of which a step of the codec has several. Divided parameters have that
    already."""
    if processes() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None and not isinstance(p, DTensor)]
    if not gradients:
        return
    flat = mean(torch.cat([g.flatten() for g in gradients]))
    for gradient, averaged in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(averaged.view_as(gradient))


def divide(model: nn.Module, layers: Iterable[nn.Module]) -> nn.Module:
    """Let each process keep a share of every weight (PyTorch's fully sharded data parallelism, FSDP; Zhao et al. 2023).

    One of the `layers` is put together right before it computes, and taken apart after it; on the way back its
    gradients are averaged, and each process keeps those of its share. Returns the model.
    """
    if processes() > 1:
        for layer in layers:
            fully_shard(layer)
        fully_shard(model)
    return model


def whole(tensor: Tensor) -> Tensor:
    """A tensor that may be divided, put together again. All processes must ask for it at the same time."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def divided_like(tensor: Tensor, other: Tensor) -> Tensor:
    """This process's share of a whole tensor, if `other` is divided."""
    return distribute_tensor(tensor, other.device_mesh, other.placements) if isinstance(other, DTensor) else tensor
