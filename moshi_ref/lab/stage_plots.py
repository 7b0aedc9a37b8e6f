"""Pictures of the stages of Moshi's training: what is heard in each, who pulls at the text, whose steps are how large,
and the losses of stages that follow each other.

Shapes: K streams, F frames, N weights.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from ..corpus.timeline import Timeline
from ..rq_transformer import ZERO
from ..tokenizer import EPAD, PAD
from .codebook_plots import STYLES
from .figures import INK, MARK, Picture
from .plots import MOSHI, USER, readable
from .training_plots import Curve, means

NOTHING = "////"  # hatch of a stream that holds nothing
KINDS = (("PAD", "0.92"), ("EPAD", "0.65"), ("words", MARK))  # of text tokens, light to dark


def heard(rows: Mapping[str, tuple[Timeline, Tensor]]) -> Picture:
    """A drawn dialogue of each stage, (what is known about it, its tokens (K, F)): Moshi's text stream, and who says
    what on which channel. Of the text, a dot is PAD, grey is EPAD and dark is a token of a word; hatched is nothing."""
    figure = Picture(10, 0.5 + 1.5 * len(rows))
    every = figure.subplots(len(rows), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (title, (line, codes)) in zip(every, rows.items(), strict=True):
        _draw_text(axes, codes[0], line.frame_rate)
        half = (len(codes) - 1) // 2
        for y, who, colour, own in ((1, "moshi", MOSHI, codes[1]), (2, "user", USER, codes[1 + half])):
            if (own == ZERO).all():
                _block(axes, 0, line.seconds, y, "white", NOTHING)
            for turn in line.turns[who]:
                _block(axes, turn.start, min(turn.end, line.seconds), y, colour)
                said = " ".join(word.text for word in turn.words)
                axes.text(turn.start + 0.04, y, readable(said), fontsize=7, color="white", va="center", clip_on=True)
        axes.set(xlim=(0, line.seconds), ylim=(2.6, -0.6))
        axes.set_yticks(range(3), ["text", "Moshi", "user"], fontsize=8)
        axes.set_title(title, fontsize=9, loc="left")
        axes.tick_params(length=0, labelsize=8)
        axes.spines[["top", "right", "left"]].set_visible(False)
    every[-1].set_xlabel("seconds", fontsize=8)
    return figure


def _draw_text(axes: Axes, text: Tensor, frame_rate: float) -> None:
    width = 1 / frame_rate
    for frame, token in enumerate(text.tolist()):
        if token == PAD:
            axes.plot((frame + 0.5) * width, 0, ".", color="0.6", markersize=2)
        else:
            face = {EPAD: KINDS[1][1], ZERO: "white"}.get(token, MARK)
            _block(axes, frame * width, (frame + 1) * width, 0, face, NOTHING if token == ZERO else "")


def _block(axes: Axes, start: float, end: float, y: float, face: str, hatch: str = "") -> None:
    axes.add_patch(Rectangle((start, y - 0.36), max(0.0, end - start), 0.72, facecolor=face, hatch=hatch,
                             edgecolor="0.7" if hatch else "white", linewidth=0.5))  # fmt: skip


def shares(rows: Mapping[str, Sequence[float]], xlabel: str) -> Picture:
    """A bar for each row, of the shares of PAD, of EPAD and of tokens of words, in this order; they need not add up
    to 1 before they are drawn."""
    figure = Picture(9, 0.9 + 0.34 * len(rows))
    axes = figure.add_subplot()
    for y, parts in enumerate(rows.values()):
        left, whole = 0.0, sum(parts) or 1.0
        for (name, face), part in zip(KINDS, parts, strict=True):
            share = 100 * part / whole
            axes.barh(y, share, left=left, color=face, edgecolor=INK, linewidth=0.5, label=None if y else name)
            if share >= 6:
                axes.text(left + share / 2, y, f"{share:.0f} %", fontsize=8, ha="center", va="center",
                          color="white" if face == MARK else INK)  # fmt: skip
            left += share
    axes.set_yticks(range(len(rows)), list(rows), fontsize=9)
    axes.set(xlim=(0, 100), xlabel=xlabel)
    axes.invert_yaxis()
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def sizes(panels: Mapping[str, Mapping[str, Tensor]], xlabel: str) -> Picture:
    """How large many positive numbers (N,) are, panel by panel: their distribution over powers of ten."""
    figure = Picture(10, 2.6)
    for axes, (title, named) in zip(figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels.items(),
                                    strict=True):  # fmt: skip
        every = np.concatenate([values.log10().numpy() for values in named.values()])
        edges = np.linspace(every.min(), every.max() + 1e-6, 61)
        for (line, _, colour), (name, values) in zip(STYLES, named.items(), strict=False):
            count, _ = np.histogram(values.log10().numpy(), edges)
            axes.plot((edges[1:] + edges[:-1]) / 2, 100 * count / len(values), line, color=colour, label=name)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set(xlabel=xlabel, ylim=(0, None))
        axes.xaxis.set_major_formatter(lambda power, _: f"$10^{{{power:g}}}$")
        axes.legend(fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("percent of the weights")
    return figure


def stage_curves(curves: Mapping[str, Curve], names: Sequence[str], together: int = 1) -> Picture:
    """Losses of stages that follow each other, {stage: its curve}, a panel for each loss; grey lines are where a stage
    begins, and all are equally wide, however many steps they have. Each point is the mean of `together` entries."""
    figure = Picture(10, 2.7)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, loss in zip(panels, names, strict=True):
        for number, (stage, curve) in enumerate(curves.items()):
            line, _, colour = STYLES[number % len(STYLES)]
            steps, values = means(curve, loss, together)
            count = curve[-1]["step"] + 1
            axes.plot([number + step / count for step in steps], values, line, color=colour, linewidth=1.3, label=stage)
            if number:
                axes.axvline(number, color="0.8", linewidth=0.8, zorder=0)
        axes.set_title(loss.replace("_", " "), fontsize=9, loc="left")
        axes.set_xlabel("stages, equally wide", fontsize=8)
        axes.set_ylabel("share" if loss == "words_right" else "nats", fontsize=8)
        axes.set_xticks([])
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside lower center",
                  ncols=max(1, len(curves)))  # fmt: skip
    return figure
