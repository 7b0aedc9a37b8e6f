"""Pictures of the whole codec: where its weights are, how far a sample reaches, what a frame costs, its codes.

Shapes: T samples, F frames, Q codebooks, D width of the latent. Drawn dark on light; what colour tells is told by
hatching or by place as well.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from ..inner_monologue import Word
from .figures import INK, MARK, Picture

SECOND = "#b45f06"  # for marks
FLOOR = -120  # decibels: what is drawn as nothing
FILLS = ((MARK, ""), ("0.88", "///"), ("0.6", ""), ("white", "..."), ("0.35", ""), ("0.95", "xx"), ("#b45f06", ""),
         ("0.75", "\\\\"))  # fmt: skip


def level(x: Tensor) -> Tensor:
    """Mean squares in decibels, not below FLOOR."""
    return 10 * x.clamp(min=10 ** (FLOOR / 10)).log10()


def shares(models: Mapping[str, Mapping[str, float]], unit: str) -> Picture:
    """Bars of equal length, one a model, cut into the shares of its parts."""
    figure = Picture(10, 0.62 * len(models) + 1.3)
    axes = figure.add_subplot()
    for row, parts in enumerate(models.values()):
        total, left = sum(parts.values()), 0.0
        for (name, value), (face, hatch) in zip(parts.items(), cycle(FILLS), strict=False):
            width = 100 * value / total
            axes.barh(row, width, left=left, height=0.7, color=face, hatch=hatch, edgecolor=INK, linewidth=0.8,
                      label=name if row == 0 else None)  # fmt: skip
            if width > 4:
                axes.text(left + width / 2, row, f"{width:.0f} %", fontsize=8, ha="center", va="center", color=INK,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
            left += width
    names = [f"{name}\n{sum(parts.values()):,.0f} {unit}" for name, parts in models.items()]
    axes.set_yticks(range(len(models)), names, fontsize=8)
    axes.set(xlim=(0, 100), xticks=[])
    axes.invert_yaxis()
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0, 0), ncols=4)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def windows(matrices: Mapping[str, Tensor], rate: float) -> Picture:
    """Who sees whom: (steps, steps) bool each, `rate` steps a second; the later step downwards."""
    figure = Picture(3.3 * len(matrices), 3.2)
    for axes, (name, seen) in zip(figure.subplots(1, len(matrices), squeeze=False)[0], matrices.items(), strict=True):
        seconds = len(seen) / rate
        axes.imshow(np.where(seen.numpy(), 0.25, 0.96), cmap="gray", vmin=0, vmax=1, extent=(0, seconds, seconds, 0),
                    interpolation="nearest")  # fmt: skip
        axes.plot((0, seconds), (0, seconds), "--", color=SECOND, linewidth=1.2)
        axes.text(0.97 * seconds, 0.03 * seconds, "future", fontsize=8, ha="right", va="top", color=SECOND)
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlabel("input (seconds)", fontsize=8)
        axes.set_ylabel("output (seconds)", fontsize=8)
        axes.tick_params(labelsize=8)
    return figure


def look_back(gradient: Tensor, last: int, marks: Mapping[str, int], rate: int, size: int) -> Picture:
    """How strongly a frame depends on each 10 ms of sound, by its gradient (T,). `last` is the frame's last sample, and
    `marks` say how many samples before its end something begins."""
    figure = Picture(10, 2.9)
    axes = figure.add_subplot()
    block = size // 8
    first, end = last + 1 - (max(marks.values()) // block + 12) * block, last + 1 + 12 * block
    padded = torch.zeros(end - first)
    inside = gradient[max(0, first) : end]
    padded[max(0, -first) : max(0, -first) + len(inside)] = inside.float()
    blocks = level(padded.view(-1, block).square().mean(1) / padded.square().mean())
    seconds = (np.arange(len(blocks) + 1) * block + first - last - 1) / rate
    axes.stairs(blocks.numpy(), seconds, baseline=FLOOR, fill=True, color=MARK)
    axes.axvspan(-size / rate, 0, color="0.85", zorder=0)
    axes.axvline(0, color=INK, linewidth=1)
    for (name, samples), dashes in zip(marks.items(), ("--", "-.", ":"), strict=False):
        axes.axvline(-samples / rate, color=SECOND, linestyle=dashes, linewidth=1.4, label=name)
    axes.set(xlim=(seconds[0], seconds[-1]), ylim=(FLOOR, 25), ylabel="gradient (dB)")
    axes.set_xlabel("seconds around the end of the frame; grey: the frame, to the right: the future", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def ripples(cases: Mapping[str, tuple[Tensor, Tensor, Tensor]], rate: int, size: int, sample: int) -> Picture:
    """What a change of one sample does, one column a case: (latent (D, F), changed codes (Q, F) bool, sound (T,)),
    the first and the last as the difference, relative to the undisturbed."""
    figure = Picture(10, 4.8)
    columns = figure.subplots(3, len(cases), squeeze=False, sharex=True, height_ratios=(1, 1, 1)).T
    for (latent_axes, code_axes, sound_axes), (name, (latent, changed, sound)) in zip(
        columns, cases.items(), strict=True
    ):
        codebooks, frames = changed.shape
        times = np.arange(frames + 1) * size / rate
        latent_axes.stairs(level(latent.square().mean(0)).numpy(), times, baseline=FLOOR, fill=True, color=MARK)
        code_axes.imshow(np.where(changed.numpy(), 0.2, 0.96), cmap="gray", vmin=0, vmax=1, aspect="auto",
                         extent=(0, times[-1], codebooks, 0), interpolation="nearest")  # fmt: skip
        blocks = sound.view(-1, size // 8).square().mean(1)  # 10 ms each
        sound_axes.stairs(level(blocks).numpy(), np.arange(len(blocks) + 1) * size / 8 / rate, baseline=FLOOR,
                          fill=True, color="0.45")  # fmt: skip
        for axes in (latent_axes, code_axes, sound_axes):
            axes.axvline(sample / rate, color=SECOND, linestyle="--", linewidth=1.2)
            axes.tick_params(labelsize=8)
        for axes in (latent_axes, sound_axes):
            axes.set(ylim=(FLOOR, 12))
            axes.spines[["top", "right"]].set_visible(False)
        latent_axes.set_title(name, fontsize=9, loc="left")
        sound_axes.set_xlabel("seconds; dashed: the sample that was changed", fontsize=8)
    for axes, label in zip(columns[0], ("latent (dB)", "codebook (dark: changed)", "sound (dB)"), strict=True):
        axes.set_ylabel(label, fontsize=8)
    return figure


def frame_budget(stages: Mapping[str, float], limit: float) -> Picture:
    """Milliseconds of each stage of a frame, one after the other, beside the time that a frame lasts."""
    figure = Picture(10, 1.9)
    axes = figure.add_subplot()
    left = 0.0
    for (name, value), (face, hatch) in zip(stages.items(), cycle(FILLS), strict=False):
        axes.barh(0, value, left=left, height=0.6, color=face, hatch=hatch, edgecolor=INK, linewidth=0.8,
                  label=f"{name}: {value:.1f} ms")  # fmt: skip
        left += value
    axes.axvline(limit, color=SECOND, linestyle="--", linewidth=1.4)
    side = "right" if limit >= left else "left"
    axes.text(limit, 0.42, f" {limit:.0f} ms: the next frame is there ", fontsize=8, ha=side, va="center", color=SECOND)
    axes.set(xlim=(0, 1.05 * max(limit, left)), ylim=(-0.4, 0.55), yticks=[])
    axes.set_xlabel("milliseconds of computing", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.35), ncols=4)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def healing(errors: Mapping[str, Tensor], seconds: float) -> Picture:
    """The error after one loss, frame after frame (frames,) in decibels, one panel for each thing that was lost; a
    frame lasts `seconds`. What has no bar is no error at all."""
    figure = Picture(10, 3.6)
    panels = figure.subplots(2, -(-len(errors) // 2), sharex=True, sharey=True)
    for axes, (name, error) in zip(panels.flat, errors.items(), strict=False):
        edges = (np.arange(len(error) + 1)) * seconds
        axes.stairs(error.clamp(min=FLOOR).numpy(), edges, baseline=FLOOR, fill=True, color=MARK)
        axes.set_title(name, fontsize=9, loc="left")
        axes.set(ylim=(FLOOR, 5), xlim=(0, edges[-1]))
        axes.tick_params(labelsize=8)
        axes.grid(axis="y", color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("seconds after the loss", fontsize=8)
    for axes in panels[:, 0]:
        axes.set_ylabel("error (dB)", fontsize=8)
    return figure


def code_grid(wav: Tensor, codes: Tensor, rate: int, entries: int, words: Sequence[Word] = ()) -> Picture:
    """A sound (T,) with its words, and its codes (Q, F) below: a shade is the number of an entry."""
    figure = Picture(10, 3.9)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    codebooks, frames = codes.shape
    seconds = len(wav) / rate
    _draw_sound(upper, wav, rate, words)
    lower.imshow(codes.numpy(), cmap="gray_r", vmin=-0.1 * entries, vmax=entries, aspect="auto",
                 extent=(0, seconds, codebooks, 0), interpolation="nearest")  # fmt: skip
    for frame in range(frames + 1):
        lower.axvline(frame * seconds / frames, color="white", linewidth=0.4)
    lower.axhline(1, color=SECOND, linewidth=1.6)
    names = ["semantic", *(f"acoustic {n}" for n in range(1, codebooks))]
    lower.set_yticks(np.arange(codebooks) + 0.5, names, fontsize=8)
    lower.set_xlabel(f"seconds; a column is a frame, its shade the number of the entry, 0 to {entries - 1}", fontsize=8)
    lower.tick_params(labelsize=8, length=2)
    return figure


def _draw_sound(axes: Axes, wav: Tensor, rate: int, words: Sequence[Word]) -> None:
    axes.plot(np.arange(len(wav)) / rate, wav, color=MARK, linewidth=0.4)
    top = max(0.05, float(wav.abs().max()))
    axes.set(xlim=(0, len(wav) / rate), ylim=(-1.1 * top, 1.8 * top), yticks=[])
    for index, word in enumerate(words):
        height = (1.1 + 0.35 * (index % 2)) * top  # neighbours at two heights, so that both can be read
        axes.axvline(word.start, color="0.6", linewidth=0.6)
        axes.text(word.start, height, " " + word.text, fontsize=8, clip_on=True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def relative(difference: Tensor, reference: Tensor) -> Tensor:
    """A difference in units of the root mean square of what it is a difference to."""
    return difference / reference.square().mean().sqrt().clamp(min=torch.finfo(torch.float32).tiny)
