"""Saving and loading models: a folder with `config.json` and `model.safetensors`, never pickles.

    save(mimi, "runs/my-mimi")
    mimi = load_mimi("runs/my-mimi")

The configuration names the class and all its numbers, so that a folder is enough to rebuild the model.
"""

import json
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from .helium import Helium, HeliumConfig
from .mimi import Mimi, MimiConfig
from .moshi import Moshi, MoshiConfig
from .tokenizer import TextTokenizer

CONFIGS = {Mimi: MimiConfig, Helium: HeliumConfig, Moshi: MoshiConfig}


def save(model: nn.Module, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a model to a folder; its floating-point weights are stored as `dtype`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    description = {"class": type(model).__name__, "config": asdict(model.config)}
    weights = {
        key: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in model.state_dict().items()
    }
    (folder / "config.json").write_text(json.dumps(description, indent=1) + "\n")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def load_mimi(folder: str | Path) -> Mimi:
    """A Mimi from a folder, in float32 on the CPU, ready for inference. For errors see `load`."""
    return load(Mimi, folder)


def load_helium(folder: str | Path) -> Helium:
    """A Helium from a folder; see `load_mimi`."""
    return load(Helium, folder)


def load_moshi(folder: str | Path) -> Moshi:
    """A Moshi from a folder; see `load_mimi`. Its text tokenizer is read by `load_tokenizer`."""
    return load(Moshi, folder)


def load_tokenizer(folder: str | Path) -> TextTokenizer:
    """The text tokenizer that lies beside a model's weights."""
    return TextTokenizer.load(Path(folder) / "tokenizer.model")


def load(kind: type[nn.Module], folder: str | Path) -> nn.Module:
    """A model of class `kind` from a folder.

    Raises FileNotFoundError if the folder or a file in it is missing, and ValueError if the files are
    damaged, describe another class, or do not fit each other; the message says what to do.
    """
    folder = Path(folder)
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"no {name} in {folder}; expected a folder with config.json and model.safetensors, "
                f"as written by moshi_ref.checkpoints.save"
            )
    config = read_config(kind, folder / "config.json")
    try:
        model = kind(config)
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{folder / 'config.json'} does not describe a {kind.__name__}: {error}") from error
    try:
        weights = load_file(folder / "model.safetensors")
    except SafetensorError as error:
        raise ValueError(f"{folder / 'model.safetensors'} is damaged or cut short ({error}); fetch it again") from error
    check_fit(model, weights, folder)
    model.load_state_dict(weights)
    return model.eval()


def read_config(kind: type[nn.Module], path: Path):
    """The configuration in a config.json, which must be one of class `kind`."""
    try:
        description = json.loads(path.read_text())
        name, values = description["class"], description["config"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is damaged: expected JSON with "class" and "config"') from error
    if name != kind.__name__:
        raise ValueError(f"{path.parent} holds a {name}, expected a {kind.__name__}")
    try:
        return build(CONFIGS[kind], values)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} does not describe a {kind.__name__}: {error}") from error


def build(kind: type, values: dict):
    """The (nested) dataclass `kind` from the dictionary that `dataclasses.asdict` made of it."""
    hints = get_type_hints(kind)
    unknown = values.keys() - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"unknown entries {sorted(unknown)}")
    made = {}
    for name, value in values.items():
        hint = hints[name]
        if get_origin(hint) is UnionType:  # X | None
            hint = get_args(hint)[0]
        if value is not None and is_dataclass(hint):
            value = build(hint, value)
        made[name] = tuple(value) if isinstance(value, list) else value
    return kind(**made)


def check_fit(model: nn.Module, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Raise ValueError unless the weights have exactly the names and shapes that the model has."""
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    got = {key: tuple(value.shape) for key, value in weights.items()}
    problems = [f"missing {key}" for key in expected.keys() - got.keys()]
    problems += [f"unexpected {key}" for key in got.keys() - expected.keys()]
    problems += [
        f"{key} is {got[key]}, expected {expected[key]}"
        for key in expected.keys() & got.keys()
        if expected[key] != got[key]
    ]
    if problems:
        shown = "; ".join(sorted(problems)[:5])
        raise ValueError(f"the weights in {folder} do not fit its config.json in {len(problems)} places: {shown}")
