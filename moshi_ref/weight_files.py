"""Files of weights: where they lie, what they hold, and their tensors, a few at a time.

    find         a folder, a file or a repository of the hub -> its files of weights, and what its config.json says
    headers      what is in these files: names, shapes, and which file
    read         the numbers of some of them, in memory of their own
    mapped       one of them without memory of its own
    write        weights into files of a folder

Tables of embeddings are best mapped, because a stream reads few of their rows. All others are best read: a stream
copies them into the order that it reads fastest (`fast_layouts.py`), and what was mapped would stay in memory beside.
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .fast_layouts import pages
from .helium import Helium
from .kyutai_configs import RELEASED
from .mimi import Mimi
from .moshi import Moshi


def hub_file(repository: str, name: str) -> Path | None:
    """A file of a repository of the Hugging Face hub, fetched or from the cache; None if it has no such file."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, name))
    except EntryNotFoundError as error:
        if not isinstance(error, LocalEntryNotFoundError):
            return None
    except (HfHubHTTPError, OSError, ValueError):
        pass
    raise FileNotFoundError(
        f"there is no folder {repository}, and no repository of this name could be reached on the Hugging Face hub; "
        "check the name, the network, and whether the repository needs a login"
    )


def read_json(path: Path) -> dict:
    try:
        description = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} is damaged: expected JSON with "class" and "config", or a released one') from error
    if not isinstance(description, dict):
        raise ValueError(f'{path} is damaged: expected JSON with "class" and "config", or a released one')
    return description


INDEX = "model.safetensors.index.json"  # which of several files holds which tensor
WRITTEN = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")  # what `write` calls its files
MIMI_FILE, MOSHI_FILE = "tokenizer-e351c8d8-checkpoint125.safetensors", "model.safetensors"  # in their repositories
SIGN = {Mimi: "seanet", Moshi: "dim", Helium: "hidden_size"}  # an entry that only this description has


def find(kind: type[nn.Module], where: str | Path) -> tuple[list[Path], dict]:
    """The files with the weights of a model, and what its config.json says ({}: there is none)."""
    path = Path(where)
    if path.is_file():
        description = read_json(path.parent / "config.json") if (path.parent / "config.json").is_file() else {}
        return [path], description if description.keys() & {"class", SIGN.get(kind)} else {}
    on_hub = not path.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(where))

    def fetch(name: str) -> Path | None:
        return hub_file(str(where), name) if on_hub else path / name if (path / name).is_file() else None

    config, main, index = fetch("config.json"), MOSHI_FILE, None
    description = read_json(config) if config else {}
    if "class" not in description:
        if kind is Mimi and SIGN[Mimi] not in description:  # in a folder with a language model
            main = description.get("mimi_name", MIMI_FILE)
            name = description.get("mimi_config_name")
            description = read_json(fetch(name)) if name else {}
        elif kind is Moshi:
            main = description.get("moshi_name", MOSHI_FILE)
    if "class" in description or kind is Helium:
        index = fetch(INDEX)
    names = files_of(index) if index else [main]
    files = [fetch(name) for name in names]
    if None in files or not (description or kind in RELEASED):
        missing = names[files.index(None)] if config else "config.json"
        raise FileNotFoundError(
            f"no {missing} in {where}; expected a folder with config.json and model.safetensors, as written by "
            f"moshi_ref.checkpoints.save, or a folder, a file or a hub repository that was released by Kyutai"
        )
    return files, description


def files_of(index: Path) -> list[str]:
    """The files that an index names."""
    try:
        return sorted(set(read_json(index)["weight_map"].values()))
    except (KeyError, AttributeError) as error:
        raise ValueError(f"{index} is damaged: expected an entry 'weight_map'; fetch it again") from error


def headers(files: Sequence[Path]) -> dict[str, tuple[Path, Tensor]]:
    """{name: (its file, a tensor of its shape without memory)}. Raises ValueError for a file that is damaged, or that
    is no safetensors file."""
    found = {}
    for path in files:
        refuse_pickle(path)
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (not a dict)
                    found[name] = path, torch.empty(file.get_slice(name).get_shape(), device="meta")
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged or cut short ({error}); fetch it again") from error
    return found


def refuse_pickle(path: Path) -> None:
    with open(path, "rb") as file:
        start = file.read(2)
    if start in (b"PK", b"\x80\x02", b"\x80\x04"):
        raise ValueError(
            f"{path} is a pickle, which can run any program when it is opened; have it converted to safetensors "
            "by somebody who trusts its source"
        )


def read(parts: Sequence[tuple[Path, str]], shape: Sequence[int]) -> Tensor:
    """Tensors, given by file and name, as one tensor of this shape: their numbers one after the other. float16 becomes
    float32. A file is mapped for no longer than copying from it takes."""
    whole, done = None, 0
    for path, name in parts:
        with safe_open(path, framework="pt") as file:
            numbers = file.get_tensor(name).flatten()
            if whole is None:
                kind = torch.float32 if numbers.dtype == torch.float16 else numbers.dtype
                whole = pages((math.prod(shape),), kind)
            whole[done : done + len(numbers)] = numbers
        done += len(numbers)
    return whole.view(*shape)


def mapped(path: Path, name: str) -> Tensor:
    """The tensor as it lies in the file: what is never read takes no memory."""
    with safe_open(path, framework="pt") as file:
        return file.get_tensor(name)


def write(weights: dict[str, Tensor], folder: Path, largest: int) -> None:
    """Write model.safetensors; or, where that would have more than `largest` bytes of weights, several files and an
    index. A single tensor is never cut. What an earlier call left in the folder goes.

    Files are written aside and renamed: they may be those that these very weights are mapped from. Several files
    cannot be exchanged at once. Meanwhile there is no index, so that a program that is stopped here leaves a folder
    that is refused, and never one with old and new weights.
    """
    split = split_torch_state_dict_into_shards(
        weights, filename_pattern="model{suffix}.safetensors", max_shard_size=largest
    )
    for name, held in split.filename_to_tensors.items():
        save_file({key: weights[key] for key in held}, folder / f"{name}.part", {"format": "pt"})
    index = folder / INDEX
    if split.is_sharded:
        index.unlink(missing_ok=True)
    for name in split.filename_to_tensors:
        (folder / f"{name}.part").replace(folder / name)
    if split.is_sharded:
        content = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        index.with_suffix(".part").write_text(json.dumps(content, indent=1) + "\n")
        index.with_suffix(".part").replace(index)
    else:
        index.unlink(missing_ok=True)
    for path in folder.iterdir():
        if WRITTEN.fullmatch(path.name) and path.name not in split.filename_to_tensors:
            path.unlink()
