"""Pictures of text that comes before, with, or after its sound: streams, word times, what a delay costs and moves.

The tokens of text look as in `monologue_plots.py`: a PAD is a dot, an EPAD is hatched, a token of a word is dark.

Shapes: T samples, F frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from ..evaluation.intervals import wilson
from ..inner_monologue import Word
from ..tokenizer import PAD, TextTokenizer
from .codebook_plots import STYLES
from .figures import INK, MARK, Picture
from .monologue_plots import DOT, cell, written
from .plots import envelope, readable
from .rq_plots import FILLS, SECOND

SHADES = ("0.62", "0.86")  # of the sounds of a word, in turn


def marks(tokens: Sequence[int], tokenizer: TextTokenizer) -> list[str]:
    """Tokens as `cell` draws them. A full stop is a token too, and must not look like a PAD: it gets a space."""
    shown = zip(tokens, written(tokens, tokenizer), strict=True)
    return [" ." if text == DOT and token > PAD else text for token, text in shown]


def streams(panels: Mapping[str, Mapping[str, Sequence]], text: str = "text") -> Picture:
    """Rows of cells, one a column of the model, one panel for each title. The row named `text` holds what `cell` draws;
    in the other rows a cell says which word sounds in it, by its number, and None is silence."""
    rows = next(iter(panels.values()))
    figure = Picture(10, 0.5 + len(panels) * (0.5 + 0.3 * len(rows)))
    every = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (title, rows) in zip(every, panels.items(), strict=True):
        for y, (name, values) in enumerate(rows.items()):
            for x, value in enumerate(values):
                if name == text:
                    cell(axes, x, y, value, size=7, upright=len(value) < 4)
                else:
                    _sound(axes, x, y, value)
        axes.set(xlim=(-0.6, len(values) - 0.4), ylim=(len(rows) - 0.45, -0.55))
        axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
        axes.set_title(title, fontsize=9, loc="left")
        axes.tick_params(length=0, labelsize=8)
        axes.spines[:].set_visible(False)
    axes.set_xlabel("column of 80 ms; a number says which word sounds", fontsize=8)
    return figure


def _sound(axes: Axes, x: int, y: int, word: int | None) -> None:
    face = "white" if word is None else SHADES[word % 2]
    axes.add_patch(Rectangle((x - 0.46, y - 0.42), 0.92, 0.84, facecolor=face, edgecolor="0.6", linewidth=0.6))
    if word is not None:
        axes.text(x, y, word, fontsize=7, ha="center", va="center", color=INK)


@dataclass(frozen=True)
class Row:
    """A sound (T,), its text stream (F,), the words as they were spoken, and as they were found in the text; the text
    comes `ahead` seconds before its sound."""

    wav: Tensor
    tokens: Tensor
    spoken: Sequence[Word]
    found: Sequence[Word]
    ahead: float


def text_and_sound(rows: Mapping[str, Row], tokenizer: TextTokenizer, rate: int, size: int,
                   black: str = "the true times") -> Picture:
    """For each title a sound. Above it the words as they were spoken, at times of which `black` says what they are;
    below it the text, a cell for each frame of `size` samples. A line leads from the text of each word that was found
    to the moment that it stands for."""
    figure = Picture(10, 0.3 + 2.2 * len(rows))
    widest = max(max(len(row.tokens), len(row.wav) / size) for row in rows.values())
    every = figure.subplots(len(rows), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (title, row) in zip(every, rows.items(), strict=True):
        low, high, seconds = envelope(row.wav, rate)
        top, place = max(0.05, float(row.wav.abs().max())), seconds * rate / size - 0.5
        axes.fill_between(place, low / top, high / top, color="0.6", linewidth=0)
        for number, word in enumerate(row.spoken):
            x, height = word.start * rate / size - 0.5, 1.35 + 0.5 * (number % 2)
            axes.vlines(x, -1, height, color=INK, linewidth=1)
            axes.text(x, height, " " + readable(word.text), fontsize=8, color=INK, va="center", clip_on=True)
        for word in row.found:
            x = word.start * rate / size - 0.5
            axes.plot((x + 0.5 - row.ahead * rate / size, x), (-2.45, -1.15), color=SECOND, linewidth=0.9)
            axes.plot(x, -1.15, "^", color=SECOND, markersize=6)
        for x, token in enumerate(marks(row.tokens, tokenizer)):
            cell(axes, x, -3.2, token, height=1.4, size=7, upright=False)
        axes.set(xlim=(-0.5, widest - 0.5), ylim=(-4.0, 2.4), yticks=[])
        axes.set_title(title, fontsize=9, loc="left")
        axes.tick_params(labelsize=8, length=2)
        axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(f"frame (80 ms each); black lines: {black}; triangles: what the text says", fontsize=8)
    return figure


def frames_off(errors: Mapping[str, Sequence[int]], most: int = 4) -> Picture:
    """How many frames too early (negative) or too late each word's time is, as shares of the words; what is off by more
    than `most` stands at the edge."""
    figure = Picture(8, 2.7)
    axes, places = figure.add_subplot(), np.arange(-most, most + 1)
    width = 0.84 / len(errors)
    for index, ((face, hatch), (name, values)) in enumerate(zip(FILLS, errors.items(), strict=False)):
        inside = np.clip(np.asarray(values, dtype=int), -most, most)
        shares = [(inside == place).mean() if len(inside) else 0.0 for place in places]
        axes.bar(places + (index + 0.5) * width - 0.42, shares, width, color=face, hatch=hatch, edgecolor=INK,
                 linewidth=0.8, label=f"{name} ({len(inside)} words)")  # fmt: skip
    labels = [f"{place:+d}" if place else "0" for place in places]
    axes.set_xticks(places, [f"{labels[0]} or less", *labels[1:-1], f"{labels[-1]} or more"])
    axes.set_xlabel("frames off (negative: too early)", fontsize=8)
    axes.set_ylabel("share of the words", fontsize=8)
    axes.legend(fontsize=8, frameon=False)
    _tidy(axes)
    return figure


def by_offset(panels: Mapping[str, Mapping[float, float]], trained: Sequence[float], ylabel: str) -> Picture:
    """A curve for each title: a loss, by how many seconds the text comes before its sound. A dashed line is the offset
    with which the model was trained."""
    figure = Picture(10, 2.9)
    for axes, own, (title, curve) in zip(figure.subplots(1, len(panels), squeeze=False)[0], trained, panels.items(),
                                         strict=True):  # fmt: skip
        axes.plot(list(curve), list(curve.values()), "o-", color=MARK, markersize=4, linewidth=1.3)
        axes.axvline(own, color=SECOND, linestyle="--", linewidth=1.4)
        axes.text(own, 0.97, " trained so", fontsize=8, color=SECOND, va="top", transform=axes.get_xaxis_transform())
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel("seconds by which the text comes first (negative: after)", fontsize=8)
        axes.set_ylabel(ylabel, fontsize=8)
        axes.grid(color="0.9", linewidth=0.6)
        _tidy(axes)
    return figure


def moved_bits(delays: Sequence[int], computed: Mapping[str, Sequence[float]],
               measured: Mapping[str, Sequence[float]]) -> Picture:  # fmt: skip
    """For each delay of the text, in frames, the bits of every stream on top of each other: bars are `computed`, short
    lines with a dot, at the upper ends of the bars, are `measured`."""
    figure = Picture(8, 3.3)
    axes, bottom, top = figure.add_subplot(), np.zeros(len(delays)), np.zeros(len(delays))
    for (face, hatch), (name, bits) in zip((FILLS[1], FILLS[0]), computed.items(), strict=True):
        axes.bar(delays, bits, 0.7, bottom, color=face, hatch=hatch, edgecolor=INK, linewidth=0.8, label=name)
        bottom, top = bottom + np.array(bits), top + np.array(measured[name])
        axes.plot(delays, top, "o", color=SECOND, markersize=5, zorder=4)
        axes.hlines(top, np.array(delays) - 0.35, np.array(delays) + 0.35, color=SECOND, linewidth=2)
    axes.plot([], [], "o-", color=SECOND, markersize=5, linewidth=2, label="measured")
    axes.set_xticks(delays, [f"{-d} ahead" if d < 0 else f"{d} behind" if d else "with it" for d in delays])
    axes.set_xlabel("frames by which the text comes before or after its sound", fontsize=8)
    axes.set_ylabel("bits of a recording", fontsize=8)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    _tidy(axes)
    return figure


def right_by_delay(delays: Sequence[int], computed: Sequence[float], counts: Mapping[str, Sequence[tuple[int, int]]],
                   frame_ms: int = 80) -> Picture:  # fmt: skip
    """Latency against accuracy: shares of right words, (k, n) for each delay and name, with 95 % intervals; the line
    is computed."""
    figure = Picture(7.5, 3.2)
    axes = figure.add_subplot()
    x = frame_ms * np.array(delays)
    axes.plot(x, computed, color="0.55", linewidth=5, alpha=0.6, label="computed")
    for (line, marker, colour), (name, found) in zip(STYLES, counts.items(), strict=False):
        axes.plot(x, [k / n for k, n in found], line, marker=marker, color=colour, linewidth=1.3, label=name)
        for place, (k, n) in zip(x, found, strict=True):
            axes.plot((place, place), wilson(k, n), color=colour, linewidth=2)
    axes.set(ylim=(-0.03, 1.05))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xticks(x)
    axes.set_xlabel("milliseconds by which the text comes after its sound", fontsize=8)
    axes.set_ylabel("words written rightly", fontsize=8)
    axes.grid(color="0.9", linewidth=0.6)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    _tidy(axes)
    return figure


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
