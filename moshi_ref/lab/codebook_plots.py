"""Pictures of quantization: levels, cells, residuals, rate against distortion, and how codebooks are used.

Shapes: N points, C width of a vector, V entries of a codebook, Q codebooks, T samples.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
import torchaudio
from matplotlib.axes import Axes
from torch import Tensor

from .figures import INK, MARK, Picture

STYLES = (  # line, marker, colour: told apart without the colours too
    ("-", "o", "#1f4e79"), ("--", "s", "#b45f06"), ("-.", "^", "#38761d"), (":", "D", "#741b47"), ("-", "x", "0.55"),
)  # fmt: skip
Curve = tuple[Sequence[float], Sequence[float]]  # x and y


def curves(several: Mapping[str, Mapping[str, Curve]], xlabel: str, ylabels: Sequence[str],
           plain: Collection[str] = ()) -> Picture:  # fmt: skip
    """One panel of named curves for each title in `several`; the curves named in `plain` have no markers."""
    columns = 1 if len(several) > 2 else 2  # of the legends, which stand below the panels
    rows = -(-max(map(len, several.values())) // columns)
    figure = Picture(10 if len(several) > 1 else 7, 3.2 + 0.2 * rows)
    panels = figure.subplots(1, len(several), squeeze=False)[0]
    for axes, ylabel, (title, named) in zip(panels, ylabels, several.items(), strict=True):
        for (line, marker, colour), (name, (x, y)) in zip(STYLES, named.items(), strict=False):
            axes.plot(x, y, line, marker="" if name in plain else marker, markersize=4, color=colour, label=name)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.grid(color="0.9", linewidth=0.6)
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.16), ncols=columns)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def rounding(wav: Tensor, rounded: Mapping[int, Tensor], rate: int, start: int, length: int) -> Picture:
    """A piece of a sound (T,) and the same piece rounded to fewer bits, one panel for each number of bits."""
    figure = Picture(10, 2.6)
    panels = figure.subplots(1, len(rounded), sharex=True, sharey=True)
    piece = slice(start, start + length)
    milliseconds = 1000 * np.arange(length) / rate
    for axes, (bits, coarse) in zip(panels, rounded.items(), strict=True):
        axes.plot(milliseconds, wav[piece].numpy(), color="0.65", linewidth=2.4, label="before")
        axes.step(milliseconds, coarse[piece].numpy(), where="mid", color=INK, linewidth=0.9, label="after")
        axes.set_title(f"{bits} bits, {2**bits} levels", fontsize=9, loc="left")
        axes.set_xlabel("milliseconds")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("sample")
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def cells(points: Tensor, codebooks: Mapping[str, Tensor], size: float = 10) -> Picture:
    """Points (N, 2) and, panel by panel, a codebook (V, 2): its entries, and the cell that belongs to each. The
    picture is `size` inches wide."""
    low, high = points.amin(0) - 0.3, points.amax(0) + 0.3
    width, height = (high - low).tolist()
    figure = Picture(size, size / len(codebooks) * height / width + 0.35)
    panels = figure.subplots(1, len(codebooks), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (title, entries) in zip(panels, codebooks.items(), strict=True):
        draw_cells(axes, entries, low, high)
        axes.scatter(*points.T.numpy(), s=2, color="0.45", linewidths=0)
        axes.scatter(*entries.T.numpy(), s=34, marker="X", color=INK, edgecolors="white", linewidths=0.6)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set(xticks=[], yticks=[], aspect="equal")
    return figure


def draw_cells(axes: Axes, entries: Tensor, low: Tensor, high: Tensor, steps: int = 400) -> None:
    """The borders between the cells of the entries (V, 2), inside the box from `low` to `high`."""
    x, y = (torch.linspace(float(low[i]), float(high[i]), steps) for i in (0, 1))
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # (steps, steps, 2)
    nearest = torch.cdist(grid.flatten(0, 1), entries).argmin(1).view(steps, steps)
    border = (nearest[2:, 2:] != nearest[:-2, 2:]) | (nearest[2:, 2:] != nearest[2:, :-2])  # two pixels wide
    shade = np.where(border.numpy(), 0.4, 1.0)
    edges = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    axes.imshow(shade, extent=edges, origin="lower", cmap="gray", vmin=0, vmax=1)


def residual_clouds(residuals: Sequence[Tensor], codebooks: Sequence[Tensor]) -> Picture:
    """What each codebook (V, 2) sees: the vectors (N, 2) first, then what the codebooks before left over. The titles
    give the mean squared length."""
    count = len(residuals)
    figure = Picture(10, 10 / count + 0.4)
    panels = figure.subplots(1, count, squeeze=False)[0]
    reach = float(residuals[0].abs().max())
    for level, (axes, cloud) in enumerate(zip(panels, residuals, strict=True)):
        if level < len(codebooks):
            entries = codebooks[level]
            draw_cells(axes, entries, torch.full((2,), -reach), torch.full((2,), reach))
            axes.scatter(*entries.T.numpy(), s=34, marker="X", color=INK, edgecolors="white", linewidths=0.6, zorder=3)
        axes.scatter(*cloud.T.numpy(), s=1.5, color="0.45", linewidths=0)
        name = "the vectors" if level == 0 else f"left over by {level}"
        axes.set_title(f"{name}: {cloud.square().sum(1).mean():.3g}", fontsize=9, loc="left")
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
    return figure


def latent_clouds(panels: Mapping[str, tuple[Tensor, Tensor, Tensor]]) -> Picture:
    """Vectors (N, C), entries (V, C) and how often each is chosen (V,), panel by panel, seen from the side from
    which the vectors spread most (two principal components, of each panel for itself)."""
    figure = Picture(10, 4.2)
    for axes, (title, (vectors, entries, counts)) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        middle = vectors.mean(0)
        axes_of_view = torch.linalg.svd(vectors - middle, full_matrices=False).Vh[:2].T  # (C, 2)
        cloud, marks = (vectors - middle) @ axes_of_view, (entries - middle) @ axes_of_view
        used = counts > 0
        axes.scatter(*cloud.T.numpy(), s=1.5, color="0.7", linewidths=0, label="vectors")
        axes.scatter(*marks[used].T.numpy(), s=22, color=MARK, label=f"{int(used.sum())} entries in use")
        axes.scatter(*marks[~used].T.numpy(), s=22, marker="x", color=INK, linewidths=0.9,
                     label=f"{int((~used).sum())} never chosen")  # fmt: skip
        axes.set_title(title, fontsize=9, loc="left")
        axes.set(xticks=[], yticks=[])
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.02), ncols=3, frameon=False)
    return figure


def code_usage(counts: Tensor, names: Sequence[str]) -> Picture:
    """How often each entry is chosen, counts (Q, V): entries sorted by frequency, one row a codebook. A codebook
    whose entries are all used alike would be an even grey."""
    figure = Picture(10, 0.36 * len(counts) + 1.0)
    axes = figure.add_subplot()
    shares = counts.sort(dim=1, descending=True).values / counts.sum(1, keepdim=True)
    even = 1 / counts.shape[1]
    picture = axes.imshow((shares / even).clamp(min=0.1).log10().numpy(), aspect="auto", cmap="Greys", vmin=-1,
                          vmax=1, interpolation="nearest")  # fmt: skip
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("entries, the most frequent first")
    bar = figure.colorbar(picture, ax=axes, ticks=(-1, 0, 1), pad=0.01)
    bar.ax.set_yticklabels(("rare or\nnever", "even\nshare", "10 times\nas often"), fontsize=8)
    return figure


def log_mel(wav: Tensor, rate: int) -> Tensor:
    """A sound (T,) -> its log-mel spectrogram (80, T / 240), for the eye."""
    mel = torchaudio.transforms.MelSpectrogram(rate, n_fft=1024, hop_length=240, n_mels=80, power=1.0)
    return mel(wav.cpu()).clamp(min=1e-2).log()


def spectrogram_row(wavs: Mapping[str, Tensor], rate: int) -> Picture:
    """The log-mel spectrograms of several versions of a sound (T,), side by side in one scale."""
    figure = Picture(10, 2.8)
    pictures = {title: log_mel(wav, rate).numpy() for title, wav in wavs.items()}
    low, high = min(p.min() for p in pictures.values()), max(p.max() for p in pictures.values())
    panels = figure.subplots(1, len(wavs), sharey=True, squeeze=False)[0]
    for axes, (title, picture) in zip(panels, pictures.items(), strict=True):
        axes.imshow(picture, origin="lower", aspect="auto", cmap="Greys", vmin=low, vmax=high,
                    extent=(0, picture.shape[1] / 100, 0, 80))  # fmt: skip
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel("seconds")
    panels[0].set_ylabel("mel band")
    return figure
