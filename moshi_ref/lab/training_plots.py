"""Pictures of a codec's training: losses step by step, also while they are made; gradients; what a discriminator sees.

Shapes: T samples, K frequencies, N windows.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from IPython.display import clear_output, display
from torch import Tensor

from .codebook_plots import STYLES
from .figures import INK, MARK, Picture

GREY = "0.8"  # of vertical marks
Curve = Sequence[Mapping[str, float]]  # {"step", and any of the losses} for each step or each mean of several


def read_curve(path: str | Path) -> list[dict[str, float]]:
    """The curve that a training run has written: one entry for each step, or for the mean of several.

    Raises FileNotFoundError if there is no such file, and ValueError if it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; `python -m moshi_ref train mimi` writes one beside the weights")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is no JSON ({error})") from error
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) and "step" in e for e in entries):
        raise ValueError(f'expected in {path.name} a list of {{"step": ..., losses}}, got something else')
    return entries


def losses_in(curve: Curve) -> list[str]:
    """The names of all losses in a curve, in their order."""
    return list(dict.fromkeys(name for entry in curve for name in entry if name not in ("step", "seconds")))


def loss_panels(runs: Mapping[str, Curve], names: Sequence[str], marks: Mapping[str, float] | None = None,
                together: int = 1) -> Picture:  # fmt: skip
    """A panel for each loss, a line for each run, each point the mean of `together` entries. `marks` are vertical
    lines at steps, {text: step}. A run that lacks a loss has no line in its panel."""
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Picture(10, 0.5 + 2.1 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, loss in zip(panels, names, strict=False):
        for (line, _, colour), curve in zip(STYLES, runs.values(), strict=False):
            axes.plot(*means(curve, loss, together), line, color=colour, linewidth=1.3)
        for step in (marks or {}).values():
            axes.axvline(step, color=GREY, linewidth=2.5, zorder=0)
        axes.set_title(loss, fontsize=9, loc="left")
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(names) :]:
        axes.axis("off")
    styles = [(line, colour) for line, _, colour in STYLES]
    shown = [panels[0].plot([], [], line, color=colour)[0] for (line, colour), _ in zip(styles, runs, strict=False)]
    shown += [panels[0].plot([], [], color=GREY, linewidth=2.5)[0] for _ in marks or {}]
    figure.legend(shown, [*runs, *(marks or {})], fontsize=8, frameon=False, loc="outside lower center", ncols=5)
    return figure


def means(curve: Curve, name: str, together: int) -> tuple[list[float], list[float]]:
    """Steps, and means of `together` values each; what is left over at the end has fewer."""
    points = [(entry["step"], entry[name]) for entry in curve if name in entry]
    pieces = [points[i : i + together] for i in range(0, len(points), together)]
    steps, values = ([sum(point[i] for point in piece) / len(piece) for piece in pieces] for i in (0, 1))
    return steps, values


class Watched:
    """A task for `training.loop.train` whose losses are drawn while they are made.

    `measure`, if there is one, is called every `every` steps before the weights change, and what it returns is kept
    in `measured`. It must draw no random numbers.
    """

    def __init__(self, task, names: Sequence[str], every: int, measure: Callable[[], dict[str, float]] | None = None):
        self.task, self.modules, self.optimizer = task, task.modules, task.optimizer
        self.names, self.every, self.measure = names, every, measure
        self.curve: list[dict[str, float]] = []
        self.measured: list[dict[str, float]] = []

    def losses(self, step: int, rng) -> dict[str, Tensor]:
        """See `training.loop.Task`."""
        if self.measure is not None and step % self.every == 0:
            self.measured.append({"step": step, **self.measure()})
        losses = self.task.losses(step, rng)
        self.curve.append({"step": step} | {name: losses[name].item() for name in self.names})
        if step % self.every == self.every - 1:
            clear_output(wait=True)
            display(loss_panels({f"after {step + 1} steps": self.curve}, self.names))
        return losses


def hinges() -> Picture:
    """What both sides minimise, over the discriminator's logit."""
    figure = Picture(7, 2.7)
    axes = figure.add_subplot()
    logits = np.linspace(-3, 3, 121)
    axes.plot(logits, np.maximum(0, 1 - logits), color=MARK, linewidth=2.6, alpha=0.5,
              label="discriminator, of originals")  # fmt: skip
    axes.plot(logits, np.maximum(0, 1 + logits), "--", color="#b45f06", label="discriminator, of outputs")
    axes.plot(logits, np.maximum(0, 1 - logits), ":", color=INK, label="codec, of its outputs")
    axes.set(xlabel="logit", ylabel="loss")
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def complex_spectrogram(wav: Tensor, rate: int, windows: Sequence[int], highest: float = 4000) -> Picture:
    """What discriminators of several windows get of a sound (T,): real and imaginary part, light for negative numbers
    and dark for positive ones. Small numbers are shown larger than they are (square root)."""
    figure = Picture(10, 3.6)
    panels = figure.subplots(2, len(windows), sharex=True, squeeze=False)
    for column, window in zip(panels.T, windows, strict=True):
        spectrum = torch.stft(wav, window, window // 4, window=torch.hann_window(window), return_complex=True)
        top = spectrum.abs().max().sqrt().item()
        for axes, name, part in zip(column, ("real", "imaginary"), (spectrum.real, spectrum.imag), strict=True):
            shown = part.sign() * part.abs().sqrt()  # (K, N)
            axes.imshow(shown.numpy(), origin="lower", aspect="auto", cmap="gray_r", vmin=-top / 2, vmax=top / 2,
                        interpolation="nearest", extent=(0, len(wav) / rate, 0, rate / 2000))  # fmt: skip
            axes.set(ylim=(0, highest / 1000), ylabel="kHz")
            axes.set_title(f"{name} part, windows of {window} samples", fontsize=9, loc="left")
            axes.tick_params(labelsize=8)
        column[-1].set_xlabel("seconds", fontsize=8)
    return figure


def gradient_bars(panels: Mapping[str, Mapping[str, float]]) -> Picture:
    """How strongly each loss pulls at the output, as a share of all of them, panel by panel."""
    figure = Picture(10, 0.6 + 0.42 * max(len(lengths) for lengths in panels.values()))
    for axes, (title, lengths) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        whole = sum(lengths.values())
        names, shares = list(lengths), [100 * length / whole for length in lengths.values()]
        axes.barh(names, shares, color=MARK)
        for row, share in enumerate(shares):
            axes.text(share + 1.5, row, f"{share:.1f} %", fontsize=8, va="center")
        axes.set(xlim=(0, 119), xticks=(0, 50, 100))
        axes.set_xlabel("percent of the pull", fontsize=8)
        axes.invert_yaxis()
        axes.set_title(title, fontsize=9, loc="left")
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
