"""Pictures of Inner Monologue: text streams as cells, text on a waveform, when a word begins, and who follows whom.

In every picture a PAD is a dot on white, an EPAD is hatched, and a token of a word is dark with its letters in it. So
the three can be told apart without colours.

Shapes: T samples, F frames, N conversations, L frames of an aligner, S states.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from ..evaluation.intervals import wilson
from ..inner_monologue import Word
from ..tokenizer import EPAD, PAD, TextTokenizer
from .codebook_plots import STYLES
from .figures import INK, MARK, Picture
from .plots import envelope, readable
from .rq_plots import FILLS, SECOND

DOT, BAR = ".", "_"  # a PAD and an EPAD in a stream that is written as a string
Shares = Mapping[str, Sequence[float]]
Row = tuple[Tensor, Sequence[int] | None, Sequence[Word]]  # a sound (T,), its text stream if there is one, its words


def cell(axes: Axes, x: float, y: float, token: str | None, height: float = 0.84, size: int = 8,
         upright: bool = True) -> None:  # fmt: skip
    """One frame of a text stream, one wide, around (x, y): DOT, BAR, or the letters of a token. None draws nothing."""
    if token is None:
        return
    face, hatch = ("white", "") if token == DOT else ("white", "//////") if token == BAR else (MARK, "")
    axes.add_patch(Rectangle((x - 0.46, y - height / 2), 0.92, height, facecolor=face, hatch=hatch,
                             edgecolor=SECOND if hatch else "0.6", linewidth=0.6))  # fmt: skip
    if token == DOT:
        axes.plot(x, y, ".", color="0.55", markersize=3)
    elif not hatch:
        axes.text(x, y, token, fontsize=size, color="white", ha="center", va="center", clip_on=True,
                  rotation=0 if upright else 90)  # fmt: skip


def rules(panels: Mapping[str, Mapping[str, str]]) -> Picture:
    """Text streams of one letter a token, one panel for each title: a row for each rule, written as a string of DOT,
    BAR and letters."""
    width = max(len(text) for rows in panels.values() for text in rows.values())
    figure = Picture(10, 0.6 + sum(0.42 + 0.3 * len(rows) for rows in panels.values()))
    heights = [1.2 + len(rows) for rows in panels.values()]
    every = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axes, (title, rows) in zip(every, panels.items(), strict=True):
        for y, text in enumerate(rows.values()):
            for x, token in enumerate(text):
                cell(axes, x, y, token)
        axes.set(xlim=(-0.6, width - 0.4), ylim=(len(rows) - 0.45, -0.55), xticks=range(width))
        axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
        axes.set_title(title, fontsize=9, loc="left")
        axes.tick_params(length=0, labelsize=8)
        axes.spines[:].set_visible(False)
    axes.set_xlabel("frame", fontsize=8)
    return figure


def written(tokens: Sequence[int], tokenizer: TextTokenizer) -> list[str]:
    """Tokens as a picture shows them: DOT, BAR, or the letters; a lone space is an underscore with a space."""
    marks = {PAD: DOT, EPAD: BAR}
    return [marks.get(int(t)) or readable(tokenizer.piece(t).strip() or " _") for t in tokens]


def on_wave(rows: Mapping[str, Row], tokenizer: TextTokenizer, rate: int, size: int, first: int = 0) -> Picture:
    """For each title a sound with its words, as lines at the times at which they really sound, and below it the text
    stream, a cell for each frame of `size` samples. Frames count from `first`."""
    figure = Picture(10, 0.3 + 1.75 * len(rows))
    for axes, (title, (wav, tokens, words)) in zip(
        figure.subplots(len(rows), 1, squeeze=False, sharex=True)[:, 0], rows.items(), strict=True
    ):
        frames, top = len(wav) / size, max(0.05, float(wav.abs().max()))
        low, high, seconds = envelope(wav, rate)
        place = seconds * rate / size - 0.5  # in frames; a frame is centred on its number
        axes.fill_between(place, low / top, high / top, color="0.55", linewidth=0)
        for number, word in enumerate(words):
            x = word.start * rate / size - 0.5
            axes.vlines(x, -1, 1.35 + 0.45 * (number % 2), color=SECOND, linewidth=1)
            axes.text(x, 1.35 + 0.45 * (number % 2), " " + readable(word.text), fontsize=8, color=INK, va="center",
                      clip_on=True)  # fmt: skip
        if tokens is not None:
            for x, token in enumerate(written(tokens, tokenizer)):
                cell(axes, x, -1.95, token, height=1.4, size=8 if frames < 24 else 7, upright=frames < 24)
        axes.set(xlim=(-0.5, frames - 0.5), ylim=(-1.1 if tokens is None else -2.7, 2.2 if words else 1.1), yticks=[])
        step = 2 if frames < 40 else 5
        ticks = range(-first % step, int(frames), step)
        axes.set_xticks(ticks, [first + tick for tick in ticks])
        axes.set_title(title, fontsize=9, loc="left")
        axes.tick_params(labelsize=8, length=2)
        axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("frame (80 ms each); dot: PAD, hatched: EPAD, dark: a token", fontsize=8)
    return figure


def time_errors(panels: Mapping[str, Mapping[str, Tensor]], frame: float = 80.0) -> Picture:
    """Errors of times in milliseconds, one panel for each title: the share of the words that are off by at most so
    much. The dashed line is one frame."""
    figure = Picture(10, 2.7)
    for axes, (title, named) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels.items(), strict=True
    ):
        for (line, _, colour), (name, errors) in zip(STYLES, named.items(), strict=False):
            size = errors.abs().sort().values
            share = torch.arange(1, len(size) + 1) / len(size)
            axes.step([0, *size.tolist()], [0, *share.tolist()], line, where="post", color=colour, linewidth=1.6,
                      label=name)  # fmt: skip
        axes.axvline(frame, color="0.5", linestyle="--", linewidth=1)
        axes.text(frame, 0.02, " one frame", fontsize=8, color="0.3")
        axes.set(xlim=(0, None), ylim=(0, 1.02))
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel("milliseconds off, at most", fontsize=8)
        axes.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 0.1))
        _tidy(axes)
    figure.axes[0].set_ylabel("share of the words", fontsize=8)
    return figure


def trellis(scores: Tensor, path: Sequence[int], labels: Sequence[str]) -> Picture:
    """Log-probabilities (L, S) of S states in L frames, dark where likely, and the best path through them."""
    figure = Picture(9, 0.9 + 0.3 * len(labels))
    axes = figure.add_subplot()
    axes.imshow(scores.T.exp().numpy(), cmap="Greys", vmin=0, vmax=1.3, aspect="auto", interpolation="nearest")
    axes.plot(range(len(path)), path, "o-", color=SECOND, linewidth=2, markersize=6)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.set_xticks(range(len(path)))
    axes.set_xlabel("frame", fontsize=8)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    return figure


def shares(groups: Mapping[str, Mapping[str, tuple[int, int]]]) -> Picture:
    """Counts (k of n) as shares with their 95 % intervals: a group of bars for each title, a bar for each name."""
    names = list(dict.fromkeys(name for counts in groups.values() for name in counts))
    figure = Picture(10, 0.7 + (0.24 * len(names) + 0.16) * len(groups))
    axes = figure.add_subplot()
    height = 0.84 / len(names)
    for row, counts in enumerate(groups.values()):
        for name, (k, n) in counts.items():
            index = names.index(name)
            (face, hatch), y = FILLS[index], row + (index + 0.5) * height - 0.42
            low, high = wilson(k, n)
            axes.barh(y, k / n, height, color=face, hatch=hatch, edgecolor=INK, linewidth=0.8,
                      label=name if row == 0 else None)  # fmt: skip
            axes.plot((low, high), (y, y), color=SECOND, linewidth=2)
            axes.text(1.02, y, f"{k} of {n}", fontsize=8, va="center")
    axes.set_yticks(range(len(groups)), list(groups), fontsize=8)
    axes.set(xlim=(0, 1.1), xticks=np.arange(0, 1.01, 0.25))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.invert_yaxis()
    figure.legend(loc="outside upper left", ncols=len(names), fontsize=8, frameon=False)
    _tidy(axes)
    return figure


def chances(conversations: Tensor, means: Mapping[str, Tensor], frame: float = 0.08, end: int = 0) -> Picture:
    """Probabilities over the seconds since the question ended, at the beginning of frame `end`. Left, a row for each of
    the conversations (N, F), dark where likely, the earliest first; right, named means (F,)."""
    figure = Picture(10, 3.2)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    seconds = frame * (np.arange(conversations.shape[1] + 1) - end)
    first = (conversations > 0.5).int().argmax(1)
    left.pcolormesh(seconds, np.arange(len(first) + 1), conversations[first.argsort(stable=True)].numpy(), cmap="Greys",
                    vmin=0, vmax=1)  # fmt: skip
    left.invert_yaxis()
    left.set_ylabel("conversation", fontsize=8)
    for (line, _, colour), (name, values) in zip(STYLES, means.items(), strict=False):
        right.stairs(values.numpy(), seconds, linestyle=line, color=colour, linewidth=1.8, label=name, baseline=None)
    right.set(ylim=(-0.03, 1.03), xlim=(seconds[0], seconds[-1]))
    right.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.2), ncols=len(means))
    for axes in (left, right):
        axes.axvline(0, color=SECOND, linestyle="--", linewidth=1.2)
        axes.set_xlabel("seconds since the end of the question", fontsize=8)
        _tidy(axes)
    left.set_title("probability of EPAD in each conversation", fontsize=9, loc="left")
    right.set_title("mean of all conversations", fontsize=9, loc="left")
    return figure


def onsets(panels: Mapping[str, Shares], expected: Mapping[str, Shares], first: int = 0) -> Picture:
    """When speech begins: for each title a panel of shares by frame, a bar for each name; `expected` shares are lines
    over the bars. The first share belongs to frame `first`."""
    figure = Picture(10, 2.8)
    for axes, (title, named) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels.items(), strict=True
    ):
        width = 0.84 / len(named)
        for index, ((face, hatch), (name, values)) in enumerate(zip(FILLS, named.items(), strict=False)):
            x = first + np.arange(len(values)) + (index + 0.5) * width - 0.42
            axes.bar(x, values, width, color=face, hatch=hatch, edgecolor=INK, linewidth=0.8, label=name)
            if name in expected.get(title, {}):
                axes.hlines(expected[title][name], x - width / 2, x + width / 2, color=SECOND, linewidth=2.6,
                            label="computed" if index == len(named) - 1 else None)  # fmt: skip
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel("silent frames between question and answer", fontsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _tidy(axes)
    figure.axes[0].set_ylabel("share of the answers", fontsize=8)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
