"""One switch for how much a notebook does: MOSHI_REF_PROFILE = smoke | cpu | gpu.

`smoke` proves in seconds that every cell runs, `cpu` is for a laptop, `gpu` for a machine with an
accelerator. Without the switch, the device decides.
"""

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy
import torch

from ..training.distribution import pick_device

NAMES = ("smoke", "cpu", "gpu")
VARIABLE = "MOSHI_REF_PROFILE"
Value = TypeVar("Value")


@dataclass(frozen=True)
class Profile:
    name: str
    device: torch.device
    seed: int

    def scale(self, smoke: Value, cpu: Value, gpu: Value) -> Value:
        """The one of three values that belongs to this profile."""
        return {"smoke": smoke, "cpu": cpu, "gpu": gpu}[self.name]


def profile(seed: int = 0) -> Profile:
    """Read the switch, choose the device, seed every source of randomness, and say so in one line.

    Raises ValueError for an unknown profile, and for `gpu` on a machine without an accelerator.
    """
    found = pick_device()
    name = os.environ.get(VARIABLE) or ("cpu" if found.type == "cpu" else "gpu")
    if name not in NAMES:
        raise ValueError(f"{VARIABLE} must be one of {', '.join(NAMES)}, got {name!r}")
    if name == "gpu" and found.type == "cpu":
        raise ValueError(f"{VARIABLE} is gpu, but PyTorch finds no accelerator here; set it to cpu or smoke")
    device = torch.device("cpu") if name == "cpu" else found
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    threads = f", threads {torch.get_num_threads()}" if device.type == "cpu" else ""
    print(f"profile {name}, device {device}{threads}, seed {seed}")
    return Profile(name, device, seed)


def repository() -> Path:
    """The folder that holds `notebooks/` and `data/`, from wherever the notebook was started.

    Raises FileNotFoundError if the package was installed without its repository.
    """
    here = Path(__file__).resolve()
    for folder in (*here.parents, Path.cwd(), *Path.cwd().parents):
        if (folder / "notebooks").is_dir() and (folder / "data").is_dir():
            return folder
    raise FileNotFoundError(
        "no folder with notebooks/ and data/ above this notebook; clone the repository, and install it with "
        "`pip install -r requirements.txt` from inside the clone"
    )
