"""Pictures of a text Transformer: chances of the next token, norms, rotations, who looks at whom, the residual stream.

Shapes: T tokens, L layers, H heads. Dark is much, light is little; dashes and markers tell lines apart without colour.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from .codebook_plots import STYLES
from .figures import MARK, Picture
from .plots import readable

SECOND = "#b45f06"  # for marks
Curve = tuple[Sequence[float], Sequence[float]]  # x and y


def written(piece: str) -> str:
    """A piece of text for an axis: a space at its beginning is drawn as an underscore, a line break as \\n."""
    return readable(piece.replace(" ", "_").replace("\n", "\\n"))


def next_tokens(cases: Mapping[str, Mapping[str, float]]) -> Picture:
    """For each beginning of a text, bars with the probabilities of some next pieces."""
    figure = Picture(10, 2.5)
    for axes, (title, chances) in zip(figure.subplots(1, len(cases), squeeze=False)[0], cases.items(), strict=True):
        rows = range(len(chances))
        axes.barh(rows, list(chances.values()), color=MARK, height=0.7)
        axes.set_yticks(rows, [written(piece) for piece in chances], fontsize=8)
        axes.invert_yaxis()
        axes.set(xlim=(0, 1))
        axes.set_title(readable(title), fontsize=9, loc="left")
        axes.set_xlabel("probability", fontsize=8)
        _tidy(axes)
    return figure


def token_surprise(pieces: Sequence[str], bits: Sequence[float], line: float) -> Picture:
    """A bar for each token: how many bits of surprise it was; the dashed line is a model that knows nothing."""
    figure = Picture(10, 2.6)
    axes = figure.add_subplot()
    axes.bar(range(len(bits)), bits, color=MARK, width=0.8)
    axes.axhline(line, color=SECOND, linestyle="--", linewidth=1.2)
    axes.text(-0.6, line, "knows nothing", fontsize=8, va="bottom", color=SECOND)
    axes.set_xticks(range(len(bits)), [written(piece) for piece in pieces], rotation=90, fontsize=8)
    axes.set(xlim=(-0.7, len(bits) - 0.3), ylim=(0, max(1.15 * line, 1.05 * max(bits))), ylabel="bits")
    _tidy(axes)
    return figure


def norm_clouds(clouds: Mapping[str, Tensor]) -> Picture:
    """Points (N, 2) before and after, one panel each, on one scale; a circle of radius sqrt(2) in all of them."""
    figure = Picture(10, 3.9)
    edge = 1.05 * max(float(points.abs().max()) for points in clouds.values())
    angle = np.linspace(0, 2 * np.pi, 200)
    for axes, (title, points) in zip(figure.subplots(1, len(clouds)), clouds.items(), strict=True):
        axes.plot(2**0.5 * np.cos(angle), 2**0.5 * np.sin(angle), color="0.75", linewidth=0.8)
        axes.axhline(0, color="0.85", linewidth=0.8)
        axes.axvline(0, color="0.85", linewidth=0.8)
        axes.scatter(*points.T.numpy(), s=9, c=np.linspace(0, 0.75, len(points)), cmap="gray", vmin=0, vmax=1)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal", xlabel="channel 0", ylabel="channel 1")
        axes.tick_params(labelsize=8)
    return figure


def lines(panels: Mapping[str, Mapping[str, Curve]], xlabels: Sequence[str], ylabels: Sequence[str],
          log: str = "") -> Picture:  # fmt: skip
    """One panel of named curves for each title; all panels have the same names. `log` may hold x and y: the axes with
    logarithmic scales."""
    figure = Picture(10 if len(panels) > 1 else 7, 3.4)
    for axes, xlabel, ylabel, (title, named) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], xlabels, ylabels, panels.items(), strict=True
    ):
        few = max(len(x) for x, _ in named.values()) <= 25
        for (line, marker, colour), (name, (x, y)) in zip(STYLES, named.items(), strict=False):
            marker = marker if few else ""
            axes.plot(x, y, line, marker=marker, markersize=4, color=colour, linewidth=1.3, label=name)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        if "x" not in log:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for side in log:
            getattr(axes, f"set_{side}scale")("log")
        axes.grid(color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        _tidy(axes)
    if len(named) > 1:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(named), fontsize=8,
                      frameon=False)  # fmt: skip
    return figure


def hands(angles: Tensor, names: Sequence[str]) -> Picture:
    """Rotations as hands of clocks: angles (pairs, T) in radians, a row for each pair, a column for each position."""
    pairs, steps = angles.shape
    figure = Picture(10, 0.56 * pairs + 0.7)
    axes = figure.add_subplot()
    circle = np.linspace(0, 2 * np.pi, 60)
    for row in range(pairs):
        for step in range(steps):
            axes.plot(step + 0.4 * np.cos(circle), row + 0.4 * np.sin(circle), color="0.8", linewidth=0.7)
            turn = float(angles[row, step])
            axes.plot((step, step + 0.4 * np.cos(turn)), (row, row - 0.4 * np.sin(turn)), color=MARK, linewidth=2)
    axes.set_yticks(range(pairs), names, fontsize=8)
    axes.set_xticks(range(steps))
    axes.set(xlabel="position", xlim=(-0.6, steps - 0.4), ylim=(pairs - 0.5, -0.5), aspect="equal")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    return figure


def matrices(cases: Mapping[str, Tensor], labels: tuple[str, str], largest: float | None = None) -> Picture:
    """Matrices (T, T) side by side, each value a shade; labels: of the columns and of the rows. White is 0 and black
    is `largest`; without it, white and black are the lowest and the highest value of all of them."""
    low, high = 0.0, largest
    if largest is None:
        low, high = min(float(m.min()) for m in cases.values()), max(float(m.max()) for m in cases.values())
    figure = Picture(10, 4.7)
    for axes, (title, matrix) in zip(figure.subplots(1, len(cases), squeeze=False)[0], cases.items(), strict=True):
        axes.imshow(matrix.numpy(), cmap="gray_r", vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel(labels[0], fontsize=8)
        axes.set_ylabel(labels[1], fontsize=8)
        axes.tick_params(labelsize=7)
    return figure


def pattern_grid(weights: Tensor, pieces: Sequence[str], marked: Sequence[tuple[int, int]] = ()) -> Picture:
    """Attention weights (L, H, T, T) of all heads, a row for each layer; `marked` heads (layer, head) get a frame."""
    layers, heads = weights.shape[:2]
    figure = Picture(10, 2.55 * layers + 0.4)
    panels = figure.subplots(layers, heads, squeeze=False)
    for layer in range(layers):
        for head in range(heads):
            axes = panels[layer, head]
            axes.imshow(weights[layer, head].numpy(), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(f"layer {layer}, head {head}", fontsize=8, loc="left")
            axes.set(xticks=[], yticks=[])
            if layer == layers - 1:
                axes.set_xticks(range(len(pieces)), [written(piece) for piece in pieces], rotation=90, fontsize=6)
            if head == 0:
                axes.set_yticks(range(len(pieces)), [written(piece) for piece in pieces], fontsize=6)
            if (layer, head) in marked:
                axes.spines[:].set(color=SECOND, linewidth=2.5)
    return figure


def surface(functions: Mapping[str, Tensor], reach: float) -> Picture:
    """Functions of two numbers from -reach to reach, each (N, N), as contours: the zero line is thick."""
    figure = Picture(10, 3.2)
    for axes, (title, values) in zip(figure.subplots(1, len(functions), squeeze=False)[0], functions.items(),
                                     strict=True):  # fmt: skip
        grid = torch.linspace(-reach, reach, len(values)).numpy()
        axes.contourf(grid, grid, values.numpy(), levels=12, cmap="gray_r")
        axes.contour(grid, grid, values.numpy(), levels=[0.0], colors=SECOND, linewidths=1.4)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set(aspect="equal", xlabel="first number", ylabel="second number")
        axes.tick_params(labelsize=8)
    return figure


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
