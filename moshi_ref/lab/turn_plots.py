"""Pictures of two speakers at once: a dialogue and its turns, where a minute goes, roles of streams, who speaks when.

Shapes: T samples, L steps, N points. Moshi is dark and above, the user lighter, hatched and below.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from ..corpus.diarization import Segment
from ..evaluation.turn_taking import Stretch, Turns
from ..inner_monologue import Word
from .codebook_plots import STYLES
from .figures import INK, MARK, Picture
from .plots import MOSHI, USER, envelope, readable

KINDS = {"pause": ("white", "..."), "gap": ("0.85", ""), "overlap": ("0.35", "///")}  # face and hatch
ON_HATCHES = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # the ground of a text
Curve = tuple[Sequence[float], Sequence[float]]  # x and y


def dialogue(wav: Tensor, turns: Turns, words: tuple[Sequence[Word], Sequence[Word]] = ((), ()),
             rate: int = 24_000) -> Picture:  # fmt: skip
    """Two channels (2, T), Moshi's first, with words. Below each its IPUs as bars; between them, what neither or both
    do."""
    figure = Picture(10, 3.9)
    upper, middle, lower = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 3))
    rows = ((upper, "Moshi", MOSHI), (lower, "user", USER))
    for (axes, name, colour), channel, own, said in zip(rows, wav, turns.ipus, words, strict=True):
        low, high, seconds = envelope(channel, rate)
        top = max(0.3, float(channel.abs().max()))
        axes.fill_between(seconds, low, high, color=colour, linewidth=0)
        for stretch in own:
            _block(axes, stretch, -1.45 * top, 0.25 * top, "0.25", "")
        for index, word in enumerate(said):
            height = (1.1 + 0.6 * (index % 2)) * top  # neighbours at two heights, so that both can be read
            axes.vlines(word.start, -top, height, color="0.5", linewidth=0.6)
            axes.text(word.start, height, " " + readable(word.text), fontsize=8, color=INK, clip_on=True)
        axes.set(ylim=(-1.6 * top, 2.3 * top), xlim=(0, turns.seconds), yticks=[], ylabel=name)
    for kind, stretches in (("pause", turns.pauses), ("gap", turns.gaps), ("overlap", turns.overlaps)):
        for stretch in stretches:
            _block(middle, stretch, 0.1, 0.8, *KINDS[kind])
            middle.text((stretch.start + stretch.end) / 2, 0.5, kind, fontsize=7.5, ha="center", va="center",
                        bbox=ON_HATCHES if KINDS[kind][1] else None)  # fmt: skip
    middle.set(ylim=(0, 1), yticks=[])
    lower.set_xlabel("seconds (thick bars: IPUs)", fontsize=8)
    for axes in (upper, middle, lower):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure


def _block(axes: Axes, stretch: Stretch, bottom: float, height: float, face: str, hatch: str) -> None:
    axes.add_patch(Rectangle((stretch.start, bottom), stretch.seconds, height, facecolor=face, hatch=hatch,
                             edgecolor=INK, linewidth=0.7))  # fmt: skip


def minutes(rows: Mapping[str, tuple[float, float, float, float]]) -> Picture:
    """Where a minute goes, a bar for each row of (IPU, pause, gap, overlap) in seconds per minute."""
    figure = Picture(10, 1.0 + 0.36 * len(rows))
    axes = figure.add_subplot()
    parts = (("one speaks", MARK, ""), ("both (overlap)", *KINDS["overlap"]), ("pause", *KINDS["pause"]),
             ("gap", *KINDS["gap"]), ("before and after", "white", ""))  # fmt: skip
    for y, (ipu, pause, gap, overlap) in enumerate(rows.values()):
        spans = [ipu - 2 * overlap, overlap, pause, gap]
        left = 0.0
        for (name, face, hatch), span in zip(parts, [*spans, max(0.0, 60 - sum(spans))], strict=True):
            axes.barh(y, span, left=left, height=0.7, color=face, hatch=hatch, edgecolor=INK, linewidth=0.7,
                      label=name if y == 0 else None)  # fmt: skip
            if span > 2.4:
                ink = "white" if face == MARK else INK
                axes.text(left + span / 2, y, f"{span:.1f}", fontsize=8, ha="center", va="center", color=ink,
                          bbox=ON_HATCHES if hatch else None)  # fmt: skip
            left += span
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set(xlim=(0, 62))
    axes.axvline(60, color=INK, linestyle="--", linewidth=1)
    axes.set_xlabel("seconds of a minute", fontsize=8)
    axes.invert_yaxis()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    _tidy(axes)
    return figure


def stream_roles(roles: Mapping[str, Sequence[bool]], names: Sequence[str]) -> Picture:
    """For each role a column, for each stream a row: dark where the stream has the role."""
    figure = Picture(9, 1.1 + 0.2 * len(names))
    axes = figure.add_subplot()
    for x, has in enumerate(roles.values()):
        for y, yes in enumerate(has):
            axes.add_patch(Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, facecolor=MARK if yes else "0.95",
                                     edgecolor="0.6", linewidth=0.5))  # fmt: skip
        axes.text(x, len(names) - 0.2, f"{sum(has)} streams", fontsize=8, ha="center", va="top")
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(len(roles)), list(roles))
    axes.xaxis.tick_top()
    axes.set(xlim=(-0.6, len(roles) - 0.4), ylim=(len(names) + 0.6, -0.6))
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    return figure


def end_pointing(timeouts: Sequence[float], cut_off: Sequence[float], waits: Sequence[float],
                 others: Mapping[str, tuple[float, float]]) -> Picture:  # fmt: skip
    """The curve of an end-pointer, a point for each timeout in seconds at which somebody is left to wait: the share of
    users cut off, and the wait of the others. `others` are points of their own, (share, seconds)."""
    figure = Picture(7.5, 3.6)
    axes = figure.add_subplot()
    points = [point for point in zip(timeouts, cut_off, waits, strict=True) if point[1] < 1]
    axes.plot([x for _, x, _ in points], [y for *_, y in points], "-o", color=MARK, markersize=5,
              label="silence of so many seconds ends the turn")  # fmt: skip
    for timeout, *place in points:
        axes.annotate(f"{timeout:g} s", place, (6, 3), textcoords="offset points", fontsize=8)
    for (_, marker, colour), (name, place) in zip(STYLES[1:], others.items(), strict=False):
        axes.plot(*place, marker, color=colour, markersize=9, label=name)
    axes.set_xlabel("share of users who are cut off", fontsize=8)
    axes.set_ylabel("seconds of waiting", fontsize=8)
    axes.set(xlim=(-0.03, 1.08), ylim=(0, None))
    axes.legend(fontsize=8, frameon=False)
    _tidy(axes)
    return figure


def influence(panels: Mapping[str, Sequence[float]], frame: int, first: int) -> Picture:
    """How much each column changes, a panel for each case; column `first` is the leftmost. Empty rings are exactly 0,
    and the dashed line is the frame of the user that was changed."""
    figure = Picture(10, 2.7)
    every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, changes) in zip(every, panels.items(), strict=True):
        columns, values = first + np.arange(len(changes)), np.asarray(changes)
        none = values == 0
        axes.vlines(columns, 0, values, color=MARK, linewidth=2)
        axes.plot(columns[~none], values[~none], "o", color=MARK, markersize=4)
        axes.plot(columns[none], values[none], "o", color="white", markeredgecolor="0.4", markersize=4)
        axes.axvline(frame, color=USER, linestyle="--", linewidth=1.4)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel("column", fontsize=8)
        _tidy(axes)
    every[0].set_ylabel("relative change of z", fontsize=8)
    return figure


def start_times(models: Mapping[str, Sequence[float]], frame: float = 0.08) -> Picture:
    """For each model the share of conversations that begin to speak in each frame after the user's end."""
    figure = Picture(7.5, 3.2)
    axes = figure.add_subplot()
    for (line, marker, colour), (name, shares) in zip(STYLES, models.items(), strict=False):
        axes.plot(frame * 1000 * np.arange(len(shares)), shares, line, marker=marker, markersize=4, color=colour,
                  label=name)  # fmt: skip
    axes.set_xlabel("milliseconds after the user's end", fontsize=8)
    axes.set_ylabel("begins to speak", fontsize=8)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set(ylim=(0, None))
    axes.legend(fontsize=8, frameon=False)
    _tidy(axes)
    return figure


def who_speaks(rows: Mapping[str, Sequence[Segment]], seconds: float) -> Picture:
    """Segments of two speakers over time, two lanes for each row; the first speaker is dark and above."""
    figure = Picture(10, 0.7 + 0.62 * len(rows))
    axes = figure.add_subplot()
    for y, segments in enumerate(rows.values()):
        names = list(dict.fromkeys(segment.speaker for segment in sorted(segments, key=lambda s: s.start)))
        for segment in segments:
            lane = names.index(segment.speaker)
            face, hatch = (MARK, "") if lane == 0 else ("0.88", "///")
            axes.add_patch(Rectangle((segment.start, y - 0.38 + 0.38 * lane), segment.end - segment.start, 0.34,
                                     facecolor=face, hatch=hatch, edgecolor=INK, linewidth=0.6))  # fmt: skip
    axes.set(xlim=(0, seconds), ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_xlabel("seconds; whoever speaks first is dark and above, the other hatched and below", fontsize=8)
    _tidy(axes)
    return figure


def clouds(panels: Mapping[str, tuple[Tensor, Sequence[int]]], names: Sequence[str]) -> Picture:
    """Points (N, 2), each with the number of its group, which is its mark; a panel for each title."""
    figure = Picture(9, 3.3)
    every = figure.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
    for axes, (title, (points, labels)) in zip(every, panels.items(), strict=True):
        for number, ((_, marker, colour), name) in enumerate(zip(STYLES, names, strict=False)):
            own = points[[label == number for label in labels]]
            if len(own):
                axes.plot(own[:, 0], own[:, 1], marker, color=colour, markersize=7, label=name,
                          fillstyle="none" if number else "full")  # fmt: skip
        axes.set_title(title, fontsize=9, loc="left")
        axes.legend(fontsize=8, frameon=False)
        _tidy(axes)
    return figure


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
