"""Pictures of the RQ-Transformer: its two clocks, what each prediction sees, learning curves beside a known entropy.

Shapes: K streams, F frames, Q codebooks. Dark is much or present, light is little or absent; marks have a second colour
and a form of their own.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Rectangle
from torch import Tensor

from .codebook_plots import STYLES
from .figures import INK, MARK, Picture

SECOND = "#b45f06"  # for marks
DONE, EMPTY = "0.82", "white"
FILLS = (("0.88", "///"), (MARK, ""), ("0.6", "..."), ("white", "xx"))
Curve = tuple[Sequence[float], Sequence[float]]  # x and y


def two_clocks(temporal: Sequence[int], depth: Sequence[Sequence[int]], at: int | None = None) -> Picture:
    """Every step of both Transformers, with the number of steps in its cache: the Temporal Transformer goes to the
    right, one step a frame, the Depth Transformer downwards, one step a code. temporal: a number for each frame; depth:
    for each frame, one for each code. With `at`, only the steps up to the Depth Transformer's step number `at`, which
    is dark; a frame is drawn around all that it sees in its own cache and in that of the Temporal Transformer."""
    frames, codes = len(depth), len(depth[0])
    now, code = divmod(frames * codes - 1 if at is None else at, codes)
    figure = Picture(1.6 + 0.75 * frames, 0.7 + 0.36 * (codes + 2))
    axes = figure.add_subplot()
    for frame in range(frames):
        for row in range(codes + 2):
            here = at is not None and (frame, row) == (now, code + 2)
            done = frame < now or frame == now and row <= code + 2
            number = temporal[frame] if row == 0 else "" if row == 1 else depth[frame][row - 2]
            face = MARK if here else DONE if done else EMPTY
            axes.add_patch(
                Rectangle((frame - 0.45, row - 0.42), 0.9, 0.84, facecolor=face, edgecolor=INK, linewidth=0.6)
            )
            axes.text(frame, row, number if done else "", fontsize=8, ha="center", va="center",
                      color="white" if here else INK)  # fmt: skip
    if at is not None:
        for left, top, width, height in ((-0.5, -0.5, now + 1, 1), (now - 0.5, 1.5, 1, code + 1)):
            axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=SECOND, linewidth=2.2))
        axes.set_title(f"frame {now}, code {code}", fontsize=9, loc="left")
    axes.set_yticks(range(codes + 2), ["Temporal", "text", *(f"code {q}" for q in range(codes))], fontsize=8)
    axes.set_xticks(range(frames))
    axes.set(xlim=(-0.6, frames - 0.4), ylim=(codes + 1.6, -0.6))
    axes.set_xlabel("frame", fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    return figure


def dependencies(seen: Mapping[str, Tensor], places: Sequence[tuple[int, int]], names: Sequence[str]) -> Picture:
    """What each prediction sees, one panel each: (K, F) bool, dark where it sees the token. The token that is predicted
    has a cross; `places` (stream, frame) say where it is, `names` are those of the streams."""
    figure = Picture(10, 0.9 + 0.2 * len(names))
    panels = figure.subplots(1, len(seen), sharey=True, squeeze=False)[0]
    for axes, (title, grid), (stream, frame) in zip(panels, seen.items(), places, strict=True):
        axes.imshow(np.where(grid.numpy(), 0.35, 0.96), cmap="gray", vmin=0, vmax=1, aspect="auto",
                    interpolation="nearest")  # fmt: skip
        axes.plot(frame, stream, "X", color=SECOND, markersize=9)
        axes.set_xticks(range(grid.shape[1]))
        axes.set_xticks(np.arange(grid.shape[1]) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(names)) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel("frame", fontsize=8)
        axes.tick_params(which="both", length=0, labelsize=7)
    panels[0].set_yticks(range(len(names)), names)
    return figure


def learning(panels: Mapping[str, Mapping[str, Curve]], xlabels: Sequence[str], floors: Mapping[str, float],
             ylabel: str = "bits a column") -> Picture:  # fmt: skip
    """Learning curves, one panel for each title; `floors` are levels that are known beforehand, dashed."""
    figure = Picture(10 if len(panels) > 1 else 7, 3.5)
    for axes, xlabel, (title, named) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], xlabels, panels.items(), strict=True
    ):
        edge = max(max(x) for x, _ in named.values())
        for name, level in floors.items():
            axes.axhline(level, color="0.55", linestyle=(0, (2, 2)), linewidth=1)
            axes.text(edge, level - 0.2, name, fontsize=8, ha="right", va="top", color="0.3")
        for (line, _, colour), (name, (x, y)) in zip(STYLES, named.items(), strict=False):
            axes.plot(x, y, line, color=colour, linewidth=1.4, label=name)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, None))
        _tidy(axes)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def stream_bars(models: Mapping[str, Sequence[float]], streams: Sequence[str], known: Mapping[str, Sequence[float]],
                ylabel: str = "bits") -> Picture:  # fmt: skip
    """For each stream a group of bars, one a model; `known` values are drawn as lines across the group."""
    figure = Picture(10, 3)
    axes = figure.add_subplot()
    width, places = 0.8 / len(models), np.arange(len(streams))
    for index, ((face, hatch), (name, values)) in enumerate(zip(FILLS, models.items(), strict=False)):
        axes.bar(places + (index + 0.5) * width - 0.4, values, width, color=face, hatch=hatch, edgecolor=INK,
                 linewidth=0.8, label=name)  # fmt: skip
    for (name, values), line in zip(known.items(), ("-", "--"), strict=False):
        axes.hlines(values, places - 0.46, places + 0.46, color=SECOND, linestyle=line, linewidth=1.8, label=name)
    axes.set_xticks(places, streams, fontsize=8)
    axes.set_ylabel(ylabel)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    _tidy(axes)
    return figure


def bars(values: Mapping[str, float], unit: str) -> Picture:
    """Named numbers as bars, each with its number behind it."""
    figure = Picture(8, 0.5 + 0.36 * len(values))
    axes = figure.add_subplot()
    rows = range(len(values))
    axes.barh(rows, list(values.values()), color=MARK, height=0.7)
    for row, value in zip(rows, values.values(), strict=True):
        axes.text(value, row, f" {value:,.3g} {unit}", fontsize=8, va="center")
    axes.set_yticks(rows, list(values), fontsize=8)
    axes.set(xlim=(0, 1.25 * max(values.values())), xticks=[])
    axes.invert_yaxis()
    _tidy(axes)
    axes.spines["bottom"].set_visible(False)
    return figure


def _tidy(axes) -> None:
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
