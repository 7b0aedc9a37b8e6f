"""Pictures of semantic tokens: phones and frames, warped time, what a teacher says, what a codebook has learnt.

Shapes: T samples, F frames, P phones, V entries, E width of the teacher's vectors.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from ..corpus.voices import Phone
from .codebook_plots import log_mel
from .figures import INK, MARK, Picture
from .sound_plots import LIGHT, SECOND

MARKERS = "osD^vPX*"


def spoken_phones(wav: Tensor, rate: int, phones: Sequence[Phone], frame: float) -> Picture:
    """The log-mel spectrogram of a sound (T,), its phones above it, and the borders of frames of `frame` seconds."""
    figure = Picture(10, 3.2)
    axes = figure.add_subplot()
    _draw_mel(axes, wav, rate, phones)
    seconds = len(wav) / rate
    for border in np.arange(0, seconds, frame):
        axes.axvline(border, ymax=0.08, color=INK, linewidth=1.6)
    axes.set_xlabel(f"seconds; dashed: phones, ticks below: frames of {1000 * frame:.0f} ms", fontsize=8)
    axes.set_xlim(0, seconds)
    return figure


def _draw_mel(axes: Axes, wav: Tensor, rate: int, phones: Sequence[Phone]) -> None:
    """A log-mel spectrogram with the phones of the sound above it."""
    shown = log_mel(wav, rate)
    axes.imshow(shown.numpy(), origin="lower", aspect="auto", cmap="Greys", interpolation="nearest",
                extent=(0, shown.shape[1] / 100, 0, len(shown)))  # fmt: skip
    axes.set_ylabel("mel band", fontsize=8)
    axes.tick_params(labelsize=8)
    _write_phones(axes, phones)


def _write_phones(axes: Axes, phones: Sequence[Phone]) -> None:
    """A dashed line where each phone begins, its symbol above the picture."""
    for phone in phones:
        axes.axvline(phone.start, color=SECOND, linewidth=0.9, linestyle="--")
        axes.text((phone.start + phone.end) / 2, 1.02, phone.symbol, fontsize=9, ha="center", va="bottom",
                  transform=axes.get_xaxis_transform(), clip_on=False)  # fmt: skip


def durations(milliseconds: Sequence[float], frame: float) -> Picture:
    """How long phones last, and how long a frame."""
    figure = Picture(7, 2.4)
    axes = figure.add_subplot()
    axes.hist(milliseconds, bins=np.arange(0, 300, 10), color=MARK)
    axes.axvline(frame, color=SECOND, linestyle="--", linewidth=1.6)
    axes.text(frame, 0.95, f" a frame: {frame:.0f} ms", fontsize=8, va="top", transform=axes.get_xaxis_transform())
    axes.set(xlabel="milliseconds", ylabel="phones")
    _tidy(axes)
    return figure


def warping(several: Mapping[str, tuple[Tensor, Sequence[tuple[int, int]]]]) -> Picture:
    """Costs (I, J) between the frames of two sounds, dark where they differ, and the cheapest path through them."""
    figure = Picture(10, 3.4)
    panels = figure.subplots(1, len(several), squeeze=False)[0]
    for axes, (title, (costs, path)) in zip(panels, several.items(), strict=True):
        axes.imshow(costs.numpy(), cmap="Greys", vmin=0, vmax=2 * float(costs.max()), aspect="auto")
        rows, columns = zip(*path, strict=True)
        axes.plot(columns, rows, "o-", color=SECOND, linewidth=2, markersize=5)
        if costs.numel() <= 60:  # few enough to be read
            for i, j in np.ndindex(*costs.shape):
                axes.text(j, i + 0.32, f"{costs[i, j]:.2f}", fontsize=8, ha="center", va="center", color=INK)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set(xlabel="frames of the one", ylabel="frames of the other")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, integer=True))
        axes.tick_params(labelsize=8)
    return figure


def bars(rows: Mapping[str, Mapping[str, float]], xlabel: str, line: float | None = None,
         name: str = "chance") -> Picture:  # fmt: skip
    """Groups of horizontal bars, one group for each row; a dashed line where `line` is, called `name`."""
    kinds = list(next(iter(rows.values())))
    looks = (dict(color=MARK), dict(color=LIGHT, hatch="///"), dict(color="0.75", hatch=".."))
    figure = Picture(8.5, 0.34 * len(rows) * len(kinds) / 1.5 + 1.0)
    axes = figure.add_subplot()
    height = 0.8 / len(kinds)
    for k, (kind, look) in enumerate(zip(kinds, looks, strict=False)):
        values = [row[kind] for row in rows.values()]
        places = np.arange(len(rows)) + (k - (len(kinds) - 1) / 2) * height
        drawn = axes.barh(places, values, height, label=kind, edgecolor=INK, linewidth=0.5, **look)
        axes.bar_label(drawn, fmt="%.3g", fontsize=7, padding=2)
    if line is not None:
        axes.axvline(line, color=INK, linestyle="--", linewidth=1, label=name)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(xlabel, fontsize=8)
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    _tidy(axes)
    return figure


def windows(weights: Mapping[str, Tensor], step: float, frame: float) -> Picture:
    """Of which moments a teacher's vector for a frame is the mean: weights (F, steps of `step` seconds). What lies to
    the right of a frame's dashed line is still to come when the frame is over."""
    figure = Picture(10, 2.6)
    panels = figure.subplots(1, len(weights), squeeze=False, sharey=True)[0]
    for axes, (title, matrix) in zip(panels, weights.items(), strict=True):
        frames, steps = matrix.shape
        axes.imshow(matrix.numpy(), cmap="Greys", vmin=0, vmax=float(matrix.max()) * 1.3, aspect="auto",
                    extent=(0, 1000 * step * steps, frames - 0.5, -0.5))  # fmt: skip
        for row in range(frames):
            axes.plot([1000 * frame * (row + 1)] * 2, [row - 0.5, row + 0.5], "--", color=SECOND, linewidth=1.8)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel("milliseconds of sound; dashed: end of the frame", fontsize=8)
        axes.tick_params(labelsize=8)
    panels[0].set_ylabel("frame")
    return figure


def taught(wav: Tensor, rate: int, phones: Sequence[Phone], vectors: Tensor, symbols: Sequence[str],
           step: float) -> Picture:  # fmt: skip
    """The phones of a sound (T,) in its spectrogram, and what a teacher says of each step: shares (steps, P) of
    `symbols`, of which only those that occur are drawn."""
    figure = Picture(10, 5)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.6))
    _draw_mel(upper, wav, rate, phones)
    there = [index for index in range(len(symbols)) if float(vectors[:, index].sum()) > 0]
    there.sort(key=lambda index: int(vectors[:, index].argmax()))
    lower.imshow(vectors[:, there].T.numpy(), cmap="Greys", aspect="auto", interpolation="nearest", vmin=0, vmax=1,
                 extent=(0, len(vectors) * step, len(there) - 0.5, -0.5))  # fmt: skip
    lower.set_yticks(range(len(there)), [symbols[index] or "silence" for index in there], fontsize=8)
    for border in np.arange(0, len(vectors) * step, 2 * step):
        lower.axvline(border, color="0.8", linewidth=0.5)
    for phone in phones:
        lower.axvline(phone.start, color=SECOND, linewidth=0.9, linestyle="--")
    lower.set_xlim(0, len(vectors) * step)
    lower.set_xlabel("seconds; light lines: frames, dashed: phones", fontsize=8)
    return figure


def directions(wanted: Tensor, projected: Mapping[str, Tensor]) -> Picture:
    """A wanted vector (2,) and others; the loss as a function of the angle between them."""
    figure = Picture(9, 3.2)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    several = {**projected, "wanted": wanted}
    reach = 1.2 * max(float(vector.norm()) for vector in several.values())
    angles = np.linspace(0, 180, 181)
    right.plot(angles, 1 - np.cos(np.deg2rad(angles)), color="0.6")
    for number, (name, vector) in enumerate(several.items()):
        colour = SECOND if name == "wanted" else MARK
        left.annotate("", vector.tolist(), (0, 0), arrowprops=dict(arrowstyle="-|>", color=colour, linewidth=1.8))
        place = 1.13 * vector - vector.new_tensor((0, 0.3 if name == "wanted" else 0))
        left.text(*place.tolist(), name, fontsize=8, ha="center", va="center", color=colour,
                  bbox=dict(facecolor="white", edgecolor="none", pad=0.5))  # fmt: skip
        if name == "wanted":
            continue
        cosine = float(vector @ wanted / vector.norm() / wanted.norm())
        angle = float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))
        right.plot(angle, 1 - cosine, MARKERS[number % len(MARKERS)], color=colour, label=name)
    left.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
    right.set(xlabel="degrees between the two", ylabel="loss")
    right.legend(fontsize=8, frameon=False)
    _tidy(right)
    return figure


Point = tuple[float, float, float, float]  # x, y, and the standard deviations of both (0 where there is none)


def tradeoff(points: Mapping[str, Point], xlabel: str, ylabel: str) -> Picture:
    """Named points with their spread."""
    figure = Picture(7.5, 3.4)
    axes = figure.add_subplot()
    for number, (name, (x, y, dx, dy)) in enumerate(points.items()):
        look = dict(color=(MARK, SECOND)[number % 2], markersize=6, capsize=3, label=name)
        axes.errorbar(x, y, dy or None, dx or None, MARKERS[number % len(MARKERS)], **look)
    axes.margins(0.2)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _tidy(axes)
    return figure


def entry_phones(counts: Tensor, symbols: Sequence[str], least: int = 5) -> Picture:
    """Which entries stand for which phones: counts (V, P) of frames, each entry's row as shares. Entries with fewer
    than `least` frames and phones without an entry of their own are left out; the order is by phone."""
    counts = counts[counts.sum(1) >= least].double()
    owner = counts.argmax(1)  # the phone that an entry stands for
    frames = {int(phone): float(counts[:, phone].sum()) for phone in owner.unique()}
    phones = sorted(frames, key=lambda phone: -frames[phone])
    share = counts / counts.sum(1, keepdim=True)
    entries = sorted(range(len(counts)), key=lambda v: (phones.index(int(owner[v])), -float(share[v, owner[v]])))
    shown = share[entries][:, phones].T.numpy()
    figure = Picture(10, 0.13 * len(phones) + 1.0)
    axes = figure.add_subplot()
    picture = axes.imshow(shown, cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(phones)), [symbols[phone] or "silence" for phone in phones], fontsize=6)
    axes.set_xlabel(f"{len(entries)} entries, sorted by the phone that they stand for", fontsize=8)
    axes.tick_params(length=2)
    figure.colorbar(picture, ax=axes, pad=0.01, label="share of the entry's frames")
    return figure


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
