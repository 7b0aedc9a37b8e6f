"""Pictures of sounds and of convolutions: spectrograms, who sees whom, overlapping pieces, clicks.

Shapes: T samples, N samples in a window. Everything is drawn dark on light, so that it reads in greyscale.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from ..inner_monologue import Word
from .figures import INK, MARK, Picture

SECOND = "#b45f06"  # for marks and dashed lines
LIGHT = "#f2b070"  # under a line in MARK: much lighter in greyscale
FLOOR = -90  # decibels below full scale that are drawn white


def decibels(wav: Tensor) -> float:
    """The level of a sound (T,): its mean square in decibels, 0 for samples of size 1; silence reads -120."""
    return 10 * float(wav.square().mean().clamp(min=1e-12).log10())


def spectrogram(wav: Tensor, window: int = 1024, hop: int = 120) -> Tensor:
    """Sound (T,) -> decibels (window / 2 + 1, frames); a tone of amplitude 1 reads 0. Frame f is around sample
    f * hop."""
    hann = torch.hann_window(window)
    spectrum = torch.stft(wav, window, hop, window=hann, pad_mode="constant", return_complex=True)
    return 20 * (2 * spectrum.abs() / hann.sum()).clamp(min=1e-6).log10()


def draw_spectrogram(axes: Axes, wav: Tensor, rate: int, window: int = 1024, highest: float | None = None) -> None:
    """Time to the right, frequency upwards, the darker the louder."""
    hop = max(1, len(wav) // 900)  # no more columns than a picture can show
    shown = spectrogram(wav, window, hop).clamp(FLOOR, -20)
    axes.imshow(shown.numpy(), origin="lower", aspect="auto", cmap="gray_r", interpolation="bilinear",
                extent=(0, len(wav) / rate, 0, rate / 2000))  # fmt: skip
    axes.set(ylim=(0, (highest or rate / 2) / 1000), ylabel="kHz")
    axes.tick_params(labelsize=8)


def spectrograms(
    sounds: Mapping[str, tuple[Tensor, int, int]], highest: float | None = None, marks: Sequence[float] = ()
) -> Picture:
    """Spectrograms of (sound, rate, window) side by side; ticks at the times `marks`, in seconds."""
    figure = Picture(10, 2.7)
    panels = figure.subplots(1, len(sounds), squeeze=False)[0]
    for axes, (name, (wav, rate, window)) in zip(panels, sounds.items(), strict=True):
        draw_spectrogram(axes, wav, rate, window, highest)
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlabel("seconds", fontsize=8)
        for time in marks:
            axes.axvline(time, ymin=0.95, color=SECOND, linewidth=2)
    return figure


def three_zooms(wav: Tensor, rate: int, words: Sequence[Word], at: float) -> Picture:
    """A whole sound (T,) with its words, 80 ms of it that begin `at` seconds, and 2 ms of these, sample by sample."""
    figure = Picture(10, 4)
    whole, near, nearest = figure.subplot_mosaic([["whole", "whole"], ["near", "nearest"]]).values()
    time = np.arange(len(wav)) / rate
    whole.plot(time, wav, color=MARK, linewidth=0.4)
    whole.axvspan(at, at + 0.08, color="0.8")
    top = float(wav.abs().max())
    whole.set(xlim=(0, len(wav) / rate), ylim=(-1.1 * top, 1.6 * top))
    whole.set_xlabel("seconds", fontsize=8)
    for word in words:
        whole.axvline(word.start, color="0.6", linewidth=0.6)
        whole.text(word.start, 1.25 * top, " " + word.text, fontsize=8)
    for axes, width, style in ((near, 0.08, "-"), (nearest, 0.002, "o")):
        first, count = round(at * rate), round(width * rate)
        milliseconds = 1000 * np.arange(count) / rate
        axes.plot(milliseconds, wav[first : first + count], "-", color="0.6" if style == "o" else MARK, linewidth=0.8)
        if style == "o":
            axes.plot(milliseconds, wav[first : first + count], "o", color=MARK, markersize=3)
        axes.set_xlabel(f"milliseconds: {count} samples", fontsize=8)
        axes.set_xlim(0, 1000 * width)
    near.axvspan(0, 2, color="0.8")
    _tidy(whole, near, nearest)
    return figure


def sound_and_spectrogram(wav: Tensor, rate: int, words: Sequence[Word], window: int = 1024) -> Picture:
    """A sound (T,) above its spectrogram, with the beginnings of its words."""
    figure = Picture(10, 4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    upper.plot(np.arange(len(wav)) / rate, wav, color=MARK, linewidth=0.4)
    upper.set_yticks([])
    draw_spectrogram(lower, wav, rate, window)
    lower.set_xlabel("seconds", fontsize=8)
    top = float(wav.abs().max())
    upper.set_ylim(-1.1 * top, 1.7 * top)
    for word in words:
        upper.text(word.start, 1.3 * top, " " + word.text, fontsize=8)
        for axes in (upper, lower):
            axes.axvline(word.start, color=SECOND, linewidth=0.8)
    _tidy(upper)
    return figure


def curves(
    lines: Mapping[str, tuple[Tensor, Tensor]], x: str, y: str, logarithmic: bool = False, points: bool = False
) -> Picture:
    """Named curves (x values, y values) in one picture."""
    figure = Picture(8, 2.8)
    axes = figure.add_subplot()
    styles = ((MARK, "-", 1.6), (SECOND, "--", 1.6), ("0.45", "-", 1.0), (INK, ":", 1.6))
    for (name, (xs, ys)), (colour, dashes, width) in zip(lines.items(), styles, strict=False):
        axes.plot(xs, ys, dashes, color=colour, linewidth=width, label=name, marker="o" if points else None)
    axes.set(xlabel=x, ylabel=y)
    if logarithmic:
        axes.set_yscale("log")
    if len(lines) > 1:
        axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(lines))
    _tidy(axes)
    return figure


def mel_figure(frequencies: Tensor, triangles: Tensor, shown: Sequence[int], mel: Tensor, seconds: float) -> Picture:
    """Some of the triangles (bands, frequencies), and the mel spectrogram (bands, frames) that all of them make."""
    figure = Picture(10, 2.8)
    left, right = figure.subplots(1, 2)
    for number, style in zip(shown, ("-", "--", "-.", ":"), strict=False):
        inside = triangles[number].nonzero()[:, 0]
        part = slice(max(0, int(inside[0]) - 1), int(inside[-1]) + 2)  # with the zeros at both feet
        left.plot(frequencies[part] / 1000, triangles[number][part], style, color=MARK, label=f"band {number}")
    left.set_xlabel("kHz", fontsize=8)
    left.set_ylabel("weight", fontsize=8)
    left.set_xlim(0, float(frequencies[-1]) / 1000)
    left.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(shown))
    levels = 20 * mel.clamp(min=1e-6).log10()
    levels = levels.clamp(min=float(levels.max()) - 70)
    right.imshow(levels.numpy(), origin="lower", aspect="auto", cmap="gray_r", extent=(0, seconds, 0, len(mel)))
    right.set_xlabel("seconds", fontsize=8)
    right.set_ylabel("band", fontsize=8)
    _tidy(left)
    right.tick_params(labelsize=8)
    return figure


def same_samples(rate: int, first: float, second: float, milliseconds: float = 1.5) -> Picture:
    """Two cosines (Hz) and the samples, `rate` a second, at which they meet."""
    figure = Picture(10, 2.4)
    axes = figure.add_subplot()
    fine = np.linspace(0, milliseconds / 1000, 1500)
    coarse = np.arange(0, milliseconds / 1000, 1 / rate)
    for tone, colour, style in ((first, SECOND, "-"), (second, MARK, "--")):
        axes.plot(
            1000 * fine, np.cos(2 * np.pi * tone * fine), style, color=colour, linewidth=1.2, label=f"{tone:g} Hz"
        )
    axes.plot(1000 * coarse, np.cos(2 * np.pi * first * coarse), "o", color=INK, label=f"{rate} samples a second")
    axes.set_xlabel("milliseconds", fontsize=8)
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    _tidy(axes)
    return figure


def influences(matrices: Mapping[str, Tensor]) -> Picture:
    """How much input step (to the right) changes output step (downwards), each matrix (outputs, inputs). Above the
    dashed line is the future."""
    figure = Picture(3.4 * len(matrices), 3.9)
    for axes, (name, matrix) in zip(figure.subplots(1, len(matrices), squeeze=False)[0], matrices.items(), strict=True):
        axes.imshow(matrix.abs().numpy(), cmap="gray_r", interpolation="nearest")
        size = len(matrix)
        axes.plot((0.5, size - 0.5), (-0.5, size - 1.5), "--", color=SECOND, linewidth=1.4)
        axes.text(size - 1, 0, "future", fontsize=8, ha="right", va="top", color=SECOND)
        axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlabel("input step", fontsize=8)
        axes.set_ylabel("output step", fontsize=8)
        axes.tick_params(labelsize=8)
    return figure


Layer = tuple[int, int, int]  # kernel, stride, dilation


def connections(stacks: Mapping[str, Sequence[Layer]], steps: int = 16) -> Picture:
    """Causal convolutions on top of each other, and all that the last output sees of the `steps` inputs below."""
    figure = Picture(10, 2.6)
    for axes, (name, layers) in zip(figure.subplots(1, len(stacks))[:], stacks.items(), strict=True):
        seen = _draw_stack(axes, layers, steps)
        axes.set_title(f"{name}: {seen} inputs", fontsize=9, loc="left")
        axes.axis("off")
    return figure


def _draw_stack(axes: Axes, layers: Sequence[Layer], steps: int) -> int:
    """Draws one stack and returns how many inputs its last output sees."""
    levels = [np.arange(steps)]  # places on the time axis of the steps of every level
    for _, stride, _ in layers:
        levels.append(levels[-1][stride - 1 :: stride])
    wanted = {len(levels[-1]) - 1}
    for level in range(len(layers), -1, -1):
        if level < len(layers):
            wanted = _draw_edges(axes, levels, level, layers[level], wanted)
        shades = [MARK if step in wanted else "white" for step in range(len(levels[level]))]
        axes.scatter(levels[level], [level] * len(levels[level]), c=shades, edgecolors=INK, s=34, zorder=3)
    return len(wanted)


def _draw_edges(axes: Axes, levels: list[np.ndarray], below: int, layer: Layer, wanted: set[int]) -> set[int]:
    """Draws what each output sees one level below; returns what the wanted ones see there."""
    kernel, stride, dilation = layer
    found = set()
    for step, place in enumerate(levels[below + 1]):
        last = stride * (step + 1) - 1
        for source in range(last, last - kernel * dilation, -dilation):
            if source >= 0:
                dark = step in wanted
                found |= {source} if dark else set()
                axes.plot((levels[below][source], place), (below, below + 1), color=INK if dark else "0.75",
                          linewidth=1.1 if dark else 0.6, zorder=2 if dark else 1)  # fmt: skip
    return found


def stages(tensors: Mapping[str, Tensor], seconds: float) -> Picture:
    """What a network makes of a sound, stage after stage: each (C, T) as shades over the same time axis."""
    figure = Picture(10, 1.0 * len(tensors))
    rows = figure.subplots(len(tensors), 1, sharex=True)
    for axes, (name, tensor) in zip(rows, tensors.items(), strict=True):
        if len(tensor) == 1:
            axes.plot(np.linspace(0, seconds, tensor.shape[1]), tensor[0], color=MARK, linewidth=0.4)
        else:
            shown = tensor / tensor.abs().amax(1, keepdim=True).clamp(min=1e-9)  # each channel on its own scale
            shown = shown[:24, :: max(1, tensor.shape[1] // 1800)].abs()
            axes.imshow(shown.numpy(), cmap="gray_r", aspect="auto", interpolation="nearest",
                        extent=(0, seconds, 0, len(shown)))  # fmt: skip
        axes.set_yticks([])
        axes.set_title(name, fontsize=8, loc="left", pad=2)
    rows[-1].set_xlabel("seconds", fontsize=8)
    rows[-1].tick_params(labelsize=8)
    return figure


def overlaps(cases: Mapping[str, tuple[Tensor, int]]) -> Picture:
    """Transposed convolutions as stacked pieces: (pieces (T, kernel), stride); the sum is the dark line."""
    figure = Picture(10, 2.6)
    for axes, (name, (pieces, stride)) in zip(figure.subplots(1, len(cases)), cases.items(), strict=True):
        kernel = pieces.shape[1]
        height = np.zeros(stride * (len(pieces) - 1) + kernel)
        for number, piece in enumerate(pieces.numpy()):
            place = slice(number * stride, number * stride + kernel)
            axes.bar(np.arange(len(height))[place], piece, bottom=height[place], width=1, edgecolor="white",
                     linewidth=0.5, color=("0.55", "0.8")[number % 2])  # fmt: skip
            height[place] += piece
        axes.step(np.arange(len(height)), height, where="mid", color=MARK, linewidth=1.6)
        axes.axvspan(stride * len(pieces) - 0.5, len(height) - 0.5, facecolor="none", hatch="///", edgecolor="0.3")
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlabel("output step; hatched: not finished", fontsize=8)
        axes.set_ylabel("sum of the pieces", fontsize=8)
        _tidy(axes)
    return figure


def reach(milliseconds: Tensor, strength: Tensor, first: float, frame: float) -> Picture:
    """How strongly a step depends on each sample before it, on a logarithmic scale; `first` is where the formula
    says that it begins, and `frame` the length of a frame, both in milliseconds."""
    figure = Picture(10, 2.6)
    axes = figure.add_subplot()
    axes.semilogy(milliseconds, strength.clamp(min=1e-12), color=MARK, linewidth=0.6)
    top = float(strength.max())
    axes.set(ylim=(top * 1e-6, top * 3), xlim=(float(milliseconds[0]), float(milliseconds[-1])))
    axes.set_xlabel("milliseconds before (negative) and after the last sample that the step may see", fontsize=8)
    axes.set_ylabel("|gradient|", fontsize=8)
    axes.axvline(first, color=SECOND, linestyle="--", linewidth=1.4)
    axes.axvline(0, color=INK, linewidth=1)
    axes.axvspan(-frame, 0, color="0.9")
    axes.text(first, top * 1.2, " receptive field begins", fontsize=8, color=SECOND)
    axes.text(-frame, top * 1.2, " one frame", fontsize=8)
    axes.text(0, top * 1.2, " future", fontsize=8)
    _tidy(axes)
    return figure


def click_figure(good: Tensor, bad: Tensor, rate: int, size: int) -> Picture:
    """Two versions of a sound (F * size,): four frames of both around the border where `bad` jumps most, 6 ms around
    this border, and by how much `bad` is louder around all borders."""
    figure = Picture(10, 4.8)
    boxes = figure.subplot_mosaic([["frames", "frames"], ["border", "average"]], height_ratios=(1, 1.2))
    jumps = (bad - good).diff().abs()[2 * size - 1 : -2 * size : size]  # not at the first and the last borders
    border = (2 + int(jumps.argmax())) * size
    for name, margin in (("frames", 2 * size), ("border", rate // 160)):
        axes, piece = boxes[name], slice(border - margin, border + margin)
        milliseconds = 1000 * np.arange(-margin, margin) / rate
        axes.plot(milliseconds, bad[piece], color=LIGHT, linewidth=2.6, label="each frame for itself")
        axes.plot(milliseconds, good[piece], color=MARK, linewidth=0.8, label="with state")
        axes.set_xlim(milliseconds[0], milliseconds[-1])
        axes.set_xlabel("milliseconds; dashed: borders of frames", fontsize=8)
        for dashed in range(-margin // size * size, margin + 1, size):
            axes.axvline(1000 * dashed / rate, color=INK, linestyle="--", linewidth=0.8)
    boxes["frames"].legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    _tidy(boxes["frames"], boxes["border"])
    _draw_average(figure, boxes["average"], good, bad, rate, size)
    return figure


def _draw_average(figure: Picture, axes: Axes, good: Tensor, bad: Tensor, rate: int, size: int) -> None:
    """The power of `bad` in that of `good`, in decibels, as a spectrogram: the mean over all borders of frames."""
    margin, window = rate // 50, torch.hann_window(128)
    powers = []
    for wav in (good, bad):
        around = wav[size - margin : margin - size].unfold(0, 2 * margin, size)  # (borders, 2 * margin)
        spectrum = torch.stft(around, 128, 12, window=window, pad_mode="constant", return_complex=True)
        powers.append(spectrum.abs().square().mean(0))
    louder = 10 * (powers[1] / powers[0]).log10()
    image = axes.imshow(louder[:, 5:-5].numpy(), origin="lower", aspect="auto", cmap="gray_r", vmin=-10, vmax=10,
                        extent=(-17.5, 17.5, 0, rate / 2000))  # fmt: skip
    axes.set_xlabel("milliseconds around all borders", fontsize=8)
    axes.set_ylabel("kHz", fontsize=8)
    axes.set_title("dark: louder without state, light: quieter (dB)", fontsize=9, loc="left")
    axes.tick_params(labelsize=8)
    figure.colorbar(image, ax=axes).ax.tick_params(labelsize=8)


def _tidy(*every: Axes) -> None:
    for axes in every:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
