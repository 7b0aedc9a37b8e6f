"""Saving and loading models, as safetensors and JSON, never as pickles.

    save(mimi, "runs/my-mimi")                       # a folder with config.json and model.safetensors
    mimi = load_mimi("runs/my-mimi")
    moshi = load_moshi("moshiko/model.safetensors")  # a file that Kyutai released, with or without config.json
    moshi = load_moshi("kyutai/moshiko-pytorch-bf16")  # a repository of the Hugging Face hub
    save(moshi, "runs/for-kyutai", kyutai=True)      # for the official programs

Weights above 15 MiB are written to several files and an index, as on the Hugging Face hub; a folder is loaded in the
same way whatever it holds. What our weights are called in Kyutai's files is in `kyutai_names.py`, what their
config.json files say in `kyutai_configs.py`; `weight_files.py` finds, reads and writes the files.
"""

import json
import sys
import warnings
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from .helium import Helium, HeliumConfig
from .kyutai_configs import FROM_KYUTAI, RELEASED, TO_KYUTAI
from .kyutai_names import NAMES, group, to_ours, to_theirs
from .mimi import Mimi, MimiConfig
from .moshi import Moshi, MoshiConfig
from .tokenizer import TextTokenizer
from .weight_files import find, headers, mapped, read, write

CHECKPOINTS = Path(__file__).resolve().parents[1] / "data" / "checkpoints"  # the small models that come along
CONFIGS = {Mimi: MimiConfig, Helium: HeliumConfig, Moshi: MoshiConfig}
LARGEST = 15 * 2**20  # bytes of weights in one file; many places that keep code take files of 16 MiB at most


def save(model: nn.Module, folder: str | Path, dtype: torch.dtype = torch.float32, kyutai: bool = False) -> None:
    """Write a model to a folder; its floating-point weights are stored as `dtype`. With `kyutai`, a Mimi or a Moshi
    is written in the layout of the released files, for the official programs; these read one file, however large."""
    folder = Path(folder)
    weights, description = model.state_dict(), {"class": type(model).__name__, "config": asdict(model.config)}
    if kyutai:
        weights, description = to_theirs(type(model), weights), TO_KYUTAI[type(model)](model.config)
    weights = {
        key: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in weights.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    write(weights, folder, sys.maxsize if kyutai else LARGEST)
    (folder / "config.json").write_text(json.dumps(description, indent=1) + "\n")


def load_mimi(where: str | Path) -> Mimi:
    """A Mimi, on the CPU, ready for inference. `where` is a folder or a file, ours or Kyutai's, or the name of a
    repository of the Hugging Face hub. float16 is only for storage and becomes float32; other types stay.
    For errors see `load`."""
    return load(Mimi, where)


def load_helium(where: str | Path) -> Helium:
    """A Helium; see `load_mimi`."""
    return load(Helium, where)


def load_moshi(where: str | Path) -> Moshi:
    """A Moshi; see `load_mimi`. Its text tokenizer is read by `load_tokenizer`."""
    return load(Moshi, where)


def mimi_of(moshi: str | Path) -> Path:
    """The folder of the codec whose codes a Moshi has learnt: `mimi` in its own folder, as Kyutai's repositories hold
    both; if it has none, that is the mimi-tiny that comes along."""
    own = Path(moshi) / "mimi"
    return own if own.is_dir() else CHECKPOINTS / "mimi-tiny"


def load_tokenizer(folder: str | Path) -> TextTokenizer:
    """The text tokenizer that lies beside a model's weights."""
    return TextTokenizer.load(Path(folder) / "tokenizer.model")


def load(kind: type[nn.Module], where: str | Path) -> nn.Module:
    """A model of class `kind`; see `load_mimi`. The model is made without memory of its own, and the weights are read
    one by one: loading needs little more memory than they do.

    Raises FileNotFoundError if a file is missing, and ValueError if the files are damaged, describe another class,
    or do not fit each other; the message says what to do. Warns of weights that are NaN.
    """
    files, description = find(kind, where)
    configs = [read_config(kind, description, where)] if description else RELEASED[kind]
    held, ours = headers(files), "class" in description
    fitting = [match(kind, config, {name: tensor for name, (_, tensor) in held.items()}, ours, where)
               for config in configs]  # fmt: skip
    model, problems = min(fitting, key=lambda fit: len(fit[1]))
    if problems:
        shown = "; ".join(sorted(problems)[:5])
        told = "its config.json" if description else "any released model (and no config.json says what they are)"
        raise ValueError(f"the weights in {where} do not fit {told} in {len(problems)} places: {shown}")
    sources = {name: [name] for name in held} if ours else group(kind, held)
    tables = {f"{name}.weight" for name, layer in model.named_modules() if isinstance(layer, nn.Embedding)}
    weights = {}
    for name, place in model.state_dict().items():
        parts = [(held[part][0], part) for part in sources[name]]
        weights[name] = value = read(parts, place.shape)
        if value.is_floating_point() and value.amax().isnan():  # NaN is the largest of all, and needs no copy
            warnings.warn(f"{name} in {where} has NaN; the model will say nothing sensible", stacklevel=3)
        if name in tables and mapped(*parts[0]).dtype == value.dtype:
            weights[name] = mapped(*parts[0])
    model.load_state_dict(weights, assign=True)
    return model.eval()


def read_config(kind: type[nn.Module], description: dict, where: str | Path):
    """The configuration that a config.json describes, which must be one of class `kind`."""
    name = description.get("class", kind.__name__)
    if name != kind.__name__:
        raise ValueError(f"{where} holds a {name}, expected a {kind.__name__}")
    try:
        if "class" in description:
            return build(CONFIGS[kind], description["config"])
        return FROM_KYUTAI[kind](description)
    except KeyError as error:
        raise ValueError(f"the config.json of {where} is damaged: expected an entry {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"the config.json of {where} does not describe a {kind.__name__}: {error}") from error


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


def match(kind: type[nn.Module], config, weights: dict[str, Tensor], ours: bool,
          where: str | Path) -> tuple[nn.Module, list[str]]:
    """A model of this configuration without memory, and where weights of these names and shapes do not fit it."""
    try:
        with torch.device("meta" if kind in NAMES else "cpu"):  # others may have buffers that are in no file
            model = kind(config)
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ValueError(f"the config.json of {where} does not describe a {kind.__name__}: {error}") from error
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    weights = weights if ours else to_ours(kind, weights, shapes)
    got = {name: tuple(value.shape) for name, value in weights.items()}
    problems = [f"missing {name}" for name in shapes.keys() - got.keys()]
    problems += [f"unexpected {name}" for name in got.keys() - shapes.keys()]
    both = shapes.keys() & got.keys()
    problems += [f"{name} is {got[name]}, expected {shapes[name]}" for name in both if got[name] != shapes[name]]
    return model, problems
