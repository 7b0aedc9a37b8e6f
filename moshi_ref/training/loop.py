"""One training loop for every model: seeds, progress bar, loss curve, checkpoints that resume exactly.

A task says what is trained and what the loss of step `s` is; the loop does the rest. All randomness of
step `s` comes from the pair (seed, s), never from the steps before. So a run that is interrupted and
started again goes on as if nothing had happened, bit for bit on a CPU.
"""

import json
import math
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from .distribution import average_gradients, divided_like, first, mean, whole


class Task(Protocol):
    """What the loop trains."""

    modules: nn.Module  # everything with weights or buffers, the parts needed only in training too
    optimizer: torch.optim.Optimizer

    def losses(self, step: int, rng: random.Random) -> dict[str, Tensor]:
        """The scalars of one batch; the one named "loss" is minimised, the others are only recorded."""


def schedule(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate: linear warm-up, then half a cosine down to 2 %."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def constant(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate: linear warm-up, then 1 for ever."""
    return min(1.0, (step + 1) / max(1, warmup))


def train(task: Task, folder: Path, steps: int, seed: int, save_every: int = 100, warmup: int = 50,
          factor: Callable[[int, int, int], float] = schedule) -> list:
    """Train up to `steps` steps, from the checkpoint in `folder` if there is one. Returns the curve, a
    list of {"step", "seconds", "loss", ...}, which is also written to `folder`/curve.json. `factor` is that of the
    learning rate, `schedule` or `constant`.

    An interrupted run loses the steps since its last checkpoint. Raises ValueError if the checkpoint in
    the folder is damaged or of another run (other seed or number of steps).
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = {"seed": seed, "steps": steps}
    start, curve = load_checkpoint(task, folder / "checkpoint.safetensors", run)
    base = [group.setdefault("base_lr", group["lr"]) for group in task.optimizer.param_groups]
    began = time.time() - (curve[-1]["seconds"] if curve else 0.0)
    if start == 0:  # so that a run which is interrupted early goes on from these very weights
        save_checkpoint(task, folder, 0, curve, run)
    bar = tqdm(range(start, steps), initial=start, total=steps, unit="step",
               disable=None if first() else True, file=sys.stderr)  # fmt: skip
    step = start
    try:
        for step in bar:
            for group, lr in zip(task.optimizer.param_groups, base, strict=True):
                group["lr"] = lr * factor(step, steps, warmup)
            curve.append({"step": step, **one_step(task, step, seed), "seconds": round(time.time() - began, 2)})
            bar.set_postfix(loss=f"{curve[-1]['loss']:.3f}")
            if (step + 1) % save_every == 0 or step + 1 == steps:
                save_checkpoint(task, folder, step + 1, curve, run)
    except KeyboardInterrupt:
        print(f"interrupted at step {step}; start again to go on from the last checkpoint", file=sys.stderr)
        raise
    return curve


def one_step(task: Task, step: int, seed: int) -> dict[str, float]:
    """One update of the weights. Returns the losses as numbers."""
    torch.manual_seed(seed * 1_000_003 + step)
    losses = task.losses(step, random.Random(f"{seed}/{step}"))
    task.optimizer.zero_grad(set_to_none=True)
    losses["loss"].backward()
    average_gradients(task.modules.parameters())
    nn.utils.clip_grad_norm_(task.modules.parameters(), 1.0)
    task.optimizer.step()
    return {name: round(mean(value).item(), 6) for name, value in losses.items()}


def save_checkpoint(task: Task, folder: Path, step: int, curve: list, run: dict) -> None:
    """Weights, optimizer and curve in one file, written aside and then renamed: never half a file. The first process
    writes it, but all must come here, because each may have a share of the weights."""
    tensors = {f"modules.{k}": v for k, v in task.modules.state_dict().items()}
    for index, entry in task.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in entry.items()}
    tensors = {k: whole(v).detach().cpu().contiguous().clone() for k, v in tensors.items()}
    if not first():
        return
    path = folder / "checkpoint.safetensors"
    metadata = {"run": json.dumps(run), "step": str(step), "curve": json.dumps(curve)}
    save_file(tensors, path.with_suffix(".part"), metadata)
    os.replace(path.with_suffix(".part"), path)
    (folder / "curve.part").write_text(json.dumps(curve))
    os.replace(folder / "curve.part", folder / "curve.json")


def load_checkpoint(task: Task, path: Path, run: dict) -> tuple[int, list]:
    """Put the checkpoint, if there is one, into the task. Returns the next step and the curve so far."""
    if not path.exists():
        return 0, []
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}); remove it to start anew") from error
    if json.loads(metadata["run"]) != run:
        raise ValueError(
            f"{path.parent} holds another run ({metadata['run']}, asked for {json.dumps(run)}); "
            "choose another folder, or remove it"
        )
    weights = task.modules.state_dict()
    task.modules.load_state_dict({k: divided_like(tensors[f"modules.{k}"], v) for k, v in weights.items()})
    saved = task.optimizer.state_dict()
    parameters = [p for group in task.optimizer.param_groups for p in group["params"]]
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            value = divided_like(value, parameters[int(index)]) if value.dim() else value  # the step count is no matrix
            saved["state"].setdefault(int(index), {})[name] = value
    task.optimizer.load_state_dict(saved)
    return int(metadata["step"]), json.loads(metadata["curve"])
