"""A conversation on record, to be taken up or repeated bit for bit.

    recorder = Recorder(stream)                     # at the beginning, or in the middle of a conversation
    reply = stream.step(frame); recorder.note()     # in every frame
    recorder.save("talk.safetensors")

    replies = replay("talk.safetensors", moshi, mimi)     # the same text, codes and sound again
    stream = resume("talk.safetensors", moshi, mimi)      # a stream as it was when the record began

A file holds everything that the conversation depends on: its state and its generator when the record began, how tokens
are drawn, and then what came in: the codes of the user, which are all that Moshi hears of the sound, and the text that
was put into its mouth. An hour takes 0.9 MB beside the state. The models are not in it, but they are described.

Bit for bit holds on the same machine with the same number of threads, for a conversation that was alone in its stream.
Elsewhere, sums of numbers are taken in another order, and near ties may fall otherwise.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .audio import writing
from .inner_monologue import FREE
from .mimi import Mimi
from .moshi import Moshi, MoshiStream, Reply
from .rq_transformer import Sampling


def snapshot(stream: MoshiStream, row: int = 0) -> dict[str, Tensor]:
    """A copy, on the CPU, of all that one conversation of a stream depends on: {name: tensor}."""
    tensors = {name: tensor[row] for name, tensor in stream.state.named_tensors().items()}
    tensors["generator"] = stream.generators[row].get_state()
    if stream.condition is not None:
        tensors["condition"] = stream.condition[0]
    return {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}


def restore(stream: MoshiStream, tensors: dict[str, Tensor], row: int = 0) -> None:
    """Put a snapshot into a row of a stream of the same models; the other rows go on undisturbed. Raises ValueError for
    a snapshot that does not fit, or whose condition is not that of the stream."""
    fitting = snapshot(stream, row)
    for name in fitting.keys() | tensors.keys():
        got, expected = (d[name].shape if name in d else None for d in (tensors, fitting))
        if got != expected:
            raise ValueError(
                f"this snapshot is of another model, or of another kind of device: {name} is "
                f"{got and tuple(got)}, expected {expected and tuple(expected)}"
            )
    if "condition" in fitting and not torch.equal(tensors["condition"], fitting["condition"]):
        raise ValueError("this conversation has another condition than the stream; make a stream with the same one")
    with torch.inference_mode():
        for name, tensor in stream.state.named_tensors().items():
            tensor[row] = tensors[name]
    stream.generators[row].set_state(tensors["generator"])


def describe(model: nn.Module) -> dict:
    """What tells one model from another: its configuration, and a hash of the first numbers of each tensor."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        first = tensor[(0,) * (tensor.dim() - 1)][:16] if tensor.dim() else tensor[None]
        digest.update(first.float().cpu().numpy().tobytes())
    return {"config": asdict(model.config), "weights": digest.hexdigest()}


class Recorder:
    """Keeps what comes in to one conversation of a stream, from now on."""

    def __init__(self, stream: MoshiStream, row: int = 0):
        self.stream, self.row = stream, row
        self.start = snapshot(stream, row)
        self.heard: list[Tensor] = []  # (K - 1 - Q,) of each frame
        self.text: list[int] = []

    def note(self, text: int = FREE) -> None:
        """Call this after each step, with the text that the step was given."""
        self.heard.append(self.stream.state.user[self.row, :, -1].short().cpu())
        self.text.append(text)

    def save(self, path: str | Path) -> None:
        """Write the record so far to a file. Raises FileNotFoundError if its folder does not exist."""
        stream, width = self.stream, self.stream.heard
        tensors = {f"start.{name}": tensor.contiguous() for name, tensor in self.start.items()}
        tensors["heard"] = torch.stack(self.heard) if self.heard else torch.empty(0, width, dtype=torch.int16)  # (F, N)
        tensors["text"] = torch.tensor(self.text, dtype=torch.int32)  # (F,)
        about = {"moshi": describe(stream.moshi), "mimi": describe(stream.mimi),
                 "text": asdict(stream.text), "audio": asdict(stream.audio)}  # fmt: skip
        with writing(path) as part:
            save_file(tensors, part, {"recording": json.dumps(about)})


def resume(path: str | Path, moshi: Moshi, mimi: Mimi) -> MoshiStream:
    """A stream of one conversation, as it was when the record began. Raises FileNotFoundError, or ValueError for a file
    that is no recording, or one of other models."""
    about, tensors = read(path)
    for name, model in (("moshi", moshi), ("mimi", mimi)):
        got, expected = json.loads(json.dumps(describe(model))), about[name]  # as JSON has it: lists, no tuples
        for part in expected:
            if got[part] != expected[part]:
                raise ValueError(
                    f"{path} was recorded with another {type(model).__name__}: expected as its {part} "
                    f"{expected[part]}, got {got[part]}; load the model that the conversation was held with"
                )
    text, audio = Sampling(**about["text"]), Sampling(**about["audio"])
    stream = MoshiStream(moshi, mimi, 0, text=text, audio=audio)
    start = {name.removeprefix("start."): tensor for name, tensor in tensors.items() if name.startswith("start.")}
    if "condition" in start:
        stream.condition = start["condition"][None].to(stream.initial.device)
    restore(stream, start)
    return stream


def replay(path: str | Path, moshi: Moshi, mimi: Mimi) -> Iterator[Reply]:
    """What Moshi answered in each frame of the record. Raises as `resume`."""
    stream, (_, tensors) = resume(path, moshi, mimi), read(path)
    for heard, text in zip(tensors["heard"].long(), tensors["text"].long(), strict=True):
        yield stream.answer(heard[None].to(stream.initial.device), text[None])


def read(path: str | Path) -> tuple[dict, dict[str, Tensor]]:
    """What a file of `Recorder.save` says and holds."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}; expected a recording, as written by Recorder.save")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["recording"])
            return about, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} is no recording, or damaged ({error}); expected a file of Recorder.save") from error
