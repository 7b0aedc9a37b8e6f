"""Pictures of delays: shifted streams, what a prediction may see, bits of each stream, latency.

Shapes: K streams, F frames or columns, S seeds. Dark is seen or present, light is not; marks have a form of their own.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from .codebook_plots import STYLES
from .figures import INK, MARK, Picture
from .rq_plots import FILLS, SECOND

INITIAL, LOST = "·", "?"  # a token before the stream has begun; one that is not known
THROUGH_Z, IN_THE_COLUMN = 1, 2  # how a prediction sees a token


def shifted(panels: Mapping[str, Sequence[Sequence]], streams: Sequence[str], marked: Sequence[int | None],
            xlabels: Sequence[str], dark: int = 0) -> Picture:  # fmt: skip
    """Small grids of numbers, one panel each: rows are streams, and a cell says which frame its token belongs to, or is
    INITIAL (hatched) or LOST (crossed). In each panel, the cells of one frame, in `marked`, have a thick edge; row
    number `dark` is dark."""
    widths = [len(rows[0]) for rows in panels.values()]
    figure = Picture(10, 1.0 + 0.34 * len(streams))
    every = figure.subplots(1, len(panels), squeeze=False, sharey=True, width_ratios=widths)[0]
    for axes, (title, rows), frame, xlabel in zip(every, panels.items(), marked, xlabels, strict=True):
        for y, row in enumerate(rows):
            for x, value in enumerate(row):
                _cell(axes, x, y, value, y == dark, not isinstance(value, str) and value == frame)
        axes.set(xlim=(-0.55, len(rows[0]) - 0.45), ylim=(len(rows) - 0.45, -0.55), xticks=range(len(rows[0])))
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel(xlabel, fontsize=8)
        axes.tick_params(length=0, labelsize=8)
        axes.spines[:].set_visible(False)
    every[0].set_yticks(range(len(streams)), streams)
    return figure


def _cell(axes: Axes, x: int, y: int, value, dark: bool, marked: bool) -> None:
    """One token. Its edge is thick if it is marked."""
    hatch = {INITIAL: "////", LOST: "xx"}.get(value, "")
    face = "white" if hatch else MARK if dark else "0.87"
    edge = SECOND if marked else "0.6" if hatch else INK
    axes.add_patch(
        Rectangle((x - 0.44, y - 0.42), 0.88, 0.84, facecolor=face, hatch=hatch, edgecolor=edge,
                  linewidth=2.8 if marked else 0.6, zorder=2 if marked else 1)
    )  # fmt: skip
    if not hatch:
        axes.text(x, y, value, fontsize=8, ha="center", va="center", color="white" if dark else INK, zorder=3)


def visible(views: Mapping[str, tuple[Tensor, Tensor]], targets: Sequence[tuple[int, int, int]],
            names: Sequence[str]) -> Picture:  # fmt: skip
    """What a prediction sees, one column of panels each. Above as the model gets it, below the same tokens in their
    frames. views: two grids (K, F) of 0, THROUGH_Z (dark) or IN_THE_COLUMN (hatched); NaN, a dot, where a grid has no
    token. targets: stream, column and frame of the token that is predicted, which has a cross."""
    figure = Picture(10, 1.3 + 0.42 * len(names))
    panels = figure.subplots(2, len(views), sharey=True, squeeze=False)
    for number, ((title, grids), (stream, *places)) in enumerate(zip(views.items(), targets, strict=True)):
        for axes, grid, place, label in zip(panels[:, number], grids, places, ("column", "frame"), strict=True):
            for (y, x), how in np.ndenumerate(grid.numpy()):
                face, hatch = {THROUGH_Z: ("0.35", ""), IN_THE_COLUMN: ("white", "//////"), 0: ("0.96", "")}.get(
                    how, ("white", "")
                )
                edge = INK if hatch else "white"
                axes.add_patch(Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, facecolor=face, hatch=hatch, edgecolor=edge,
                                         linewidth=0.6))  # fmt: skip
                if np.isnan(how):
                    axes.text(x, y, INITIAL, ha="center", va="center", color="0.6")
            axes.plot(place, stream, "X", color=SECOND, markersize=9, zorder=3)
            axes.set(xlim=(-0.6, grid.shape[1] - 0.4), ylim=(len(names) - 0.4, -0.6), xticks=range(grid.shape[1]))
            axes.set_xlabel(label, fontsize=8)
            axes.tick_params(length=0, labelsize=8)
            axes.spines[:].set_visible(False)
        panels[0, number].set_title(title, fontsize=9, loc="left")
    for axes in panels[:, 0]:
        axes.set_yticks(range(len(names)), names)
    return figure


def stream_bits(models: Mapping[str, Tensor], streams: Sequence[str], known: Mapping[str, Sequence[float]],
                uniform: float | None = None) -> Picture:  # fmt: skip
    """For each stream a group of bars, one a model: the mean over its seeds (S, streams), and a dot for each seed.
    `known` values, by the model's name, are short lines; `uniform` is a guess that knows nothing."""
    figure = Picture(10, 3.1)
    axes = figure.add_subplot()
    width, places = 0.84 / len(models), np.arange(len(streams))
    for index, ((face, hatch), (name, bits)) in enumerate(zip(FILLS, models.items(), strict=False)):
        left = places + (index + 0.5) * width - 0.42
        axes.bar(left, bits.mean(0), width, color=face, hatch=hatch, edgecolor=INK, linewidth=0.8, label=name)
        for seed in bits:
            axes.plot(left, seed, "o", color="white", markeredgecolor=INK, markersize=4)
        if name in known:
            label = "entropy" if index == 0 else None
            axes.hlines(known[name], left - width / 2, left + width / 2, color=SECOND, linewidth=3, label=label)
    if uniform is not None:
        axes.axhline(uniform, color="0.4", linestyle=":", linewidth=1.2, label="uniform guess")
    axes.set_xticks(places, streams, fontsize=8)
    axes.set_ylabel("bits", fontsize=8)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    _tidy(axes)
    return figure


def bits_and_latency(models: Mapping[str, Mapping[str, tuple[float, float]]], floor: float) -> Picture:
    """Points (latency in ms, bits a frame) with their names, joined for each kind of model; `floor` is the entropy."""
    figure = Picture(7.5, 3.4)
    axes = figure.add_subplot()
    for index, ((line, marker, colour), (name, points)) in enumerate(zip(STYLES, models.items(), strict=False)):
        axes.plot(*zip(*points.values(), strict=True), line, marker=marker, color=colour, label=name)
        for label, place in points.items():
            axes.annotate(label, place, (0, 7 if index else -14), textcoords="offset points", fontsize=7.5,
                          ha="center", color=colour)  # fmt: skip
    axes.axhline(floor, color="0.55", linestyle=(0, (2, 2)), linewidth=1)
    axes.text(1, floor, "entropy", fontsize=8, ha="right", va="top", color="0.3", transform=axes.get_yaxis_transform())
    axes.set_xlabel("latency, ms", fontsize=8)
    axes.set_ylabel("bits a frame", fontsize=8)
    axes.margins(0.12, 0.2)
    axes.legend(fontsize=8, frameon=False)
    _tidy(axes)
    return figure


def latencies(delays: Mapping[str, int], frame_ms: int = 80, limit: float | None = None) -> Picture:
    """For the longest delay of each pattern: a frame must be full, and then wait. `limit` is a dashed line."""
    figure = Picture(9, 0.9 + 0.4 * len(delays))
    axes = figure.add_subplot()
    for row, longest in enumerate(delays.values()):
        for part in range(1 + longest):
            label = ("fill the user's frame", "acoustic delay")[part] if part < 2 and row == 1 else None
            axes.barh(row, frame_ms, left=part * frame_ms, color=MARK if part == 0 else "0.85", edgecolor=INK,
                      hatch="" if part == 0 else "///", linewidth=0.8, height=0.62, label=label)  # fmt: skip
        total = (1 + longest) * frame_ms
        axes.text(total, row, f" {total} ms", fontsize=9, va="center")
    if limit is not None:
        axes.axvline(limit, color=SECOND, linestyle="--", linewidth=1.4, label=f"{limit:.0f} ms")
    axes.set_yticks(range(len(delays)), list(delays), fontsize=8)
    axes.set(xlim=(0, 1.18 * frame_ms * (1 + max(delays.values()))))
    axes.set_xlabel("milliseconds", fontsize=8)
    axes.invert_yaxis()
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    _tidy(axes)
    return figure


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
