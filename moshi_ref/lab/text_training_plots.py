"""Pictures of a text model's training and use: packed rows, cleaned pages, losses beside baselines, distributions,
surprise word by word, accuracies with their intervals.

Shapes: B rows, T steps, V vocabulary.
"""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from ..evaluation.multiple_choice import Accuracy
from ..tokenizer import BOS, EOS, TextTokenizer
from .codebook_plots import STYLES
from .figures import INK, MARK, PALE, Picture
from .training_plots import Curve, means

LEVEL = "0.55"  # of lines that are baselines


def packed_rows(rows: Tensor, tokenizer: TextTokenizer, width: int = 16) -> Picture:
    """The first tokens of packed rows (B, T): a shade for each document, BOS and EOS dark."""
    figure = Picture(10, 0.36 * len(rows) + 0.3)
    axes = figure.add_subplot()
    for i, row in enumerate(rows[:, :width].tolist()):
        document = 0
        for step, token in enumerate(row):
            document += token == BOS
            edge = token in (BOS, EOS)
            shade = INK if edge else (PALE, "0.8")[document % 2]
            axes.add_patch(_square(step, i, shade))
            text = {BOS: "BOS", EOS: "EOS"}.get(token) or tokenizer.piece(token).strip()
            axes.text(step + 0.5, i + 0.5, text[:9], ha="center", va="center", fontsize=7, color="w" if edge else INK)
    axes.set(xlim=(0, min(width, rows.shape[1])), ylim=(len(rows), 0), yticks=[], xticks=[])
    axes.set_ylabel("rows", fontsize=8)
    axes.spines[:].set_visible(False)
    return figure


def _square(left: float, top: float, shade: str, width: float = 1) -> Rectangle:
    return Rectangle((left, top), width, 1, facecolor=shade, edgecolor="w", linewidth=1.5)


def judged_lines(lines: Sequence[str], reasons: Sequence[str | None], longest: int = 88) -> Picture:
    """The lines of a page; those that a cleaning removes are grey, with the reason beside them."""
    figure = Picture(10, 0.21 * len(lines) + 0.2)
    axes = figure.add_subplot()
    for i, (line, reason) in enumerate(zip(lines, reasons, strict=True)):
        shown = line if len(line) <= longest else line[: longest - 3] + "..."
        axes.text(0.17, i, shown.replace("$", r"\$"), fontsize=8, va="center", color="0.6" if reason else INK)
        axes.text(
            0.155, i, reason or "kept", fontsize=8, va="center", ha="right", weight="normal" if reason else "bold"
        )
    axes.set(xlim=(0, 1), ylim=(len(lines) - 0.4, -0.6))
    axes.axis("off")
    return figure


def losses(curves: Mapping[str, tuple[Curve, str, int]], levels: Mapping[str, float]) -> Picture:
    """Losses in nats a token over steps. `curves` are {text: (curve, name of the loss, entries to a mean)}, `levels`
    are horizontal lines, {text: nats}."""
    figure = Picture(8, 3.4)
    axes = figure.add_subplot()
    for (line, _, colour), (name, (curve, loss, together)) in zip(STYLES, curves.items(), strict=False):
        axes.plot(*means(curve, loss, together), line, color=colour, linewidth=1.5, label=name)
    _draw_levels(axes, levels)
    axes.set(xlabel="step", ylabel="nats a token", ylim=(0, None))
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_levels(axes: Axes, levels: Mapping[str, float]) -> None:
    """Horizontal lines, with their names at the right end."""
    for name, height in levels.items():
        axes.axhline(height, color=LEVEL, linestyle=(0, (4, 3)), linewidth=1.2)
        axes.annotate(name, (1, height), xycoords=("axes fraction", "data"), xytext=(0, 2), ha="right", va="bottom",
                      textcoords="offset points", fontsize=8, color="0.35")  # fmt: skip


def on_logarithmic_axis(named: Mapping[str, tuple[Sequence[float], Sequence[float]]], xlabel: str, ylabel: str,
                        levels: Mapping[str, float] | None = None) -> Picture:  # fmt: skip
    """Curves with markers over a logarithmic x axis, and horizontal lines."""
    figure = Picture(7, 3.2)
    axes = figure.add_subplot()
    for (line, marker, colour), (name, (x, y)) in zip(STYLES, named.items(), strict=False):
        axes.plot(x, y, line, marker=marker, markersize=5, color=colour, label=name)
    _draw_levels(axes, levels or {})
    axes.set_xscale("log")
    axes.set_xticks(list(x), [f"{value:,g}" for value in x])
    axes.minorticks_off()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(color="0.9", linewidth=0.6)
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def distribution(panels: Mapping[str, Tensor], tokenizer: TextTokenizer, count: int = 14) -> Picture:
    """Probabilities (V,) of the next token, panel by panel: the `count` likeliest of the first panel, in its order,
    and what all the others have together."""
    figure = Picture(10 if len(panels) > 1 else 5, 0.19 * (count + 1) + 0.8)
    order = next(iter(panels.values())).topk(count).indices
    edge = 0.01 + 1.25 * max(max(p.max().item(), 1 - p[order].sum().item()) for p in panels.values())
    names = [tokenizer.piece(token).strip() or "(space)" for token in order]
    for axes, (title, p) in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels.items(),
                                strict=True):  # fmt: skip
        shown = p[order].tolist()
        values = [*shown, max(0.0, 1 - sum(shown))]
        axes.barh(range(count + 1), values, color=[MARK] * count + ["0.75"], edgecolor=INK, linewidth=0.4)
        for row, value in enumerate(values):
            axes.text(value + 0.01 * edge, row, f"{value:.3f}" if value > 0 else "0", fontsize=7, va="center")
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_yticks(range(count + 1), [*names, "all others"], fontsize=8)
        axes.set_xlim(0, edge)
        axes.tick_params(axis="x", labelsize=7)
        axes.set_xlabel("share", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].invert_yaxis()
    return figure


def surprise(rows: Mapping[str, tuple[Sequence[str], Sequence[float]]], most: float = 8.0) -> Picture:
    """Texts token by token, {title: (tokens, bits of each)}: the darker, the more bits. The bits stand below."""
    figure = Picture(10, 0.72 * len(rows) + 0.1)
    for axes, (title, (tokens, bits)) in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows.items(),
                                             strict=True):  # fmt: skip
        left = 0.0
        for token, value in zip(tokens, bits, strict=True):
            width, depth = 1.6 + len(token.strip()), min(1.0, max(0.0, value / most))
            axes.add_patch(_square(left, 0, str(0.97 - 0.75 * depth), width))
            colour = "w" if depth > 0.55 else INK
            axes.text(left + width / 2, 0.35, token.strip(), ha="center", va="center", fontsize=8, color=colour)
            axes.text(left + width / 2, 0.78, f"{value:.1f}", ha="center", va="center", fontsize=6, color=colour)
            left += width
        axes.set(xlim=(0, max(left, 90)), ylim=(1, 0), xticks=[], yticks=[])
        axes.set_title(title, fontsize=8, loc="left")
        axes.spines[:].set_visible(False)
    return figure


def accuracies(rows: Mapping[str, Mapping[str, Accuracy]]) -> Picture:
    """Benchmarks one below the other, {benchmark: {kind: accuracy}}: a mark and its 95 % interval for each kind, and
    a vertical stroke where guessing would be."""
    kinds = list(next(iter(rows.values())))
    figure = Picture(8.5, 0.3 * len(rows) * len(kinds) / 1.4 + 1.0)
    axes = figure.add_subplot()
    for k, (kind, (_, marker, colour)) in enumerate(zip(kinds, STYLES, strict=False)):
        places = [row + (k - (len(kinds) - 1) / 2) * 0.26 for row in range(len(rows))]
        found = [each[kind] for each in rows.values()]
        reach = torch.tensor([[a.value - a.interval[0] for a in found], [a.interval[1] - a.value for a in found]])
        axes.errorbar([100 * a.value for a in found], places, xerr=100 * reach.clamp(min=0).numpy(), fmt=marker,
                      color=colour, markersize=5, elinewidth=1.3, capsize=2.5, label=kind)  # fmt: skip
    for row, each in enumerate(rows.values()):
        chance = 100 * next(iter(each.values())).chance
        axes.plot([chance, chance], [row - 0.42, row + 0.42], color=INK, linewidth=1.2, linestyle=":",
                  label=None if row else "chance of the choices")  # fmt: skip
    axes.set_yticks(range(len(rows)), rows, fontsize=9)
    axes.set(xlim=(-2, 102), ylim=(len(rows) - 0.45, -0.55), xlabel="right answers, percent")
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
