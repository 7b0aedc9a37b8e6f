"""Pictures of a conversation: both waveforms with their words, and the grid of the 17 streams."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from ..corpus.small_world import held_out
from ..inner_monologue import Word
from ..tokenizer import EPAD, PAD, TextTokenizer
from .conversation import Conversation
from .figures import INK, Picture

MOSHI, USER = "#1f4e79", "#b45f06"  # a dark and a lighter one in greyscale
TEXT_HEIGHT = 5  # rows of the grid that the text stream takes, so that words fit into their cells


def two_waveforms(conversation: Conversation, user: Sequence[Word] = (), moshi: Sequence[Word] = (),
                  row: int = 0) -> Picture:
    """Both speakers on one time axis, each with words at their times."""
    figure = Picture(10, 3.2)
    upper, lower = figure.subplots(2, 1, sharex=True)
    draw_waveforms(upper, lower, conversation, user, moshi, row)
    lower.set_xlabel("seconds")
    return figure


def token_grid(columns: Tensor, tokenizer: TextTokenizer, start: int = 0, entries: int = 512) -> Picture:
    """The streams (K, F) as a grid, one column a frame; the first one is frame number `start`."""
    figure = Picture(10, 3.6)
    axes = figure.add_subplot()
    draw_grid(axes, columns, tokenizer, start, entries)
    return figure


def conversation_figure(conversation: Conversation, tokenizer: TextTokenizer, user: Sequence[Word] = (),
                        row: int = 0, shortest: int = 75, longest: int = 125) -> Picture:
    """Waveforms and grid over one time axis: `shortest` frames wide at first, then growing with the conversation;
    of a very long one, the last `longest` frames."""
    figure = Picture(10, 5.6)
    upper, lower, grid = figure.subplots(3, 1, height_ratios=(1, 1, 3.2))
    words = conversation.words(tokenizer, row)
    first = max(0, conversation.frames - longest)
    width = max(shortest, conversation.frames - first)
    draw_waveforms(upper, lower, conversation, user, words, row)
    for axes in (upper, lower):
        axes.set_xlim(first / conversation.frame_rate, (first + width) / conversation.frame_rate)
        axes.tick_params(labelbottom=axes is lower)
    draw_grid(grid, conversation.columns[row, :, first:], tokenizer, first)
    grid.set_xlim(first - 0.5, first + width - 0.5)
    said = readable(" ".join(word.text for word in words))
    title = f'{conversation.frames} frames; Moshi: "{said}"'[:110]
    upper.set_title(title, fontsize=10, loc="left", color=INK)
    return figure


def readable(text: str) -> str:
    """Text that any font can show and that matplotlib does not take for a formula."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text).replace("$", r"\$")


def draw_waveforms(upper: Axes, lower: Axes, conversation: Conversation, user, moshi, row: int) -> None:
    rows = (
        (upper, "user", conversation.user, user, USER),
        (lower, "Moshi", conversation.moshi, moshi, MOSHI),
    )
    for axes, name, wav, words, colour in rows:
        low, high, seconds = envelope(wav[row], conversation.sample_rate)
        axes.fill_between(seconds, low, high, color=colour, linewidth=0)
        top = max(0.3, float(wav[row].abs().max()))
        axes.set(ylim=(-top, 2 * top), yticks=[], ylabel=name)
        axes.set_xlim(0, wav.shape[-1] / conversation.sample_rate)
        axes.spines[["top", "right", "left"]].set_visible(False)
        for index, word in enumerate(words):
            height = (1.1 + 0.45 * (index % 2)) * top  # neighbours at two heights, so that both can be read
            axes.vlines(word.start, -0.8 * top, height, color="0.5", linewidth=0.6)
            axes.text(word.start, height, " " + readable(word.text), fontsize=8, color=INK, clip_on=True)


def envelope(wav: Tensor, sample_rate: int, step: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lowest and highest sample of every 10 ms, and their times: all that a picture can show."""
    pieces = wav[: len(wav) // step * step].view(-1, step)
    return pieces.amin(1).numpy(), pieces.amax(1).numpy(), np.arange(len(pieces)) * step / sample_rate


def draw_grid(axes: Axes, columns: Tensor, tokenizer: TextTokenizer, start: int = 0,
              entries: int = 512) -> None:
    """Lightness is the number of the code; the text stream on top shows its tokens."""
    streams, frames = columns.shape
    half = (streams - 1) // 2
    shades = torch.full((streams - 1, frames, 3), 1.0)
    for first, colour in ((0, MOSHI), (half, USER)):
        ink = torch.tensor([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        depth = 0.15 + 0.85 * columns[1 + first : 1 + first + half, :, None].clamp(min=0) / entries
        shades[first : first + half] = 1 - depth * (1 - ink)
    edges = (start - 0.5, start + frames - 0.5, streams - 1, 0)
    axes.imshow(shades.numpy(), extent=edges, aspect="auto", interpolation="nearest")
    axes.set_ylim(streams - 1, -TEXT_HEIGHT)
    axes.set_xlim(start - 0.5, start + frames - 0.5)
    for frame, token in enumerate(columns[0].tolist(), start=start):
        _text_cell(axes, frame, token, tokenizer)
    silent = torch.nonzero(columns[0] == PAD)[:, 0] + start
    axes.plot(silent, [-TEXT_HEIGHT / 2] * len(silent), ".", color="0.6", markersize=2)
    axes.text(start - 0.2, -TEXT_HEIGHT + 0.2, "dot: PAD   bar: EPAD", fontsize=7, color="0.35", va="top")
    for y in (0, 1, half, half + 1):
        axes.axhline(y, color="white" if y in (1, half + 1) else INK, linewidth=1)
    names = {
        -TEXT_HEIGHT / 2: "Moshi text", 0.5: "Moshi semantic", (half + 1) / 2: "Moshi acoustic",
        half + 0.5: "user semantic", half + (half + 1) / 2: "user acoustic",
    }  # fmt: skip
    axes.set_yticks(list(names), list(names.values()))
    axes.tick_params(axis="both", labelsize=8, length=2)
    axes.set_xlabel("frame (80 ms each)", fontsize=8)


def _text_cell(axes: Axes, frame: int, token: int, tokenizer: TextTokenizer) -> None:
    """EPAD is a bar, a piece of a word is written upwards, and a lone space is an underscore."""
    if token == EPAD:
        axes.fill_between((frame - 0.5, frame + 0.5), -TEXT_HEIGHT, 0, color="0.75", linewidth=0)
    elif token != PAD:
        piece = readable(tokenizer.piece(token).strip() or "_")
        axes.text(frame, -0.3, piece, rotation=90, fontsize=7, color=INK, ha="center", va="bottom",
                  clip_on=True)  # fmt: skip


def pairs_map() -> Picture:
    """The 100 pairs of digits; those kept out of training are dark."""
    figure = Picture(3.4, 3.2)
    axes = figure.add_subplot()
    kept = np.array([[held_out(a, b) for b in range(10)] for a in range(10)])
    axes.imshow(np.where(kept, 0.25, 0.93), cmap="gray", vmin=0, vmax=1)
    for a, b in np.ndindex(kept.shape):
        axes.text(b, a, a + b, fontsize=7, color="white" if kept[a, b] else INK, ha="center", va="center")
    axes.set(xticks=range(10), yticks=range(10), xlabel="second digit", ylabel="first digit")
    axes.set_title("pairs and their sums; dark: never in training", fontsize=8)
    axes.tick_params(labelsize=8, length=0)
    return figure


def frame_times(milliseconds: Tensor, limit: float = 80.0) -> Picture:
    """How long the frames took, and the time that they may take."""
    figure = Picture(7, 2.4)
    axes = figure.add_subplot()
    edge = max(limit * 1.15, float(milliseconds.max()) * 1.05)
    axes.hist(milliseconds.numpy(), bins=np.linspace(0, edge, 60), color=MOSHI)
    axes.axvline(limit, color=INK, linestyle="--", linewidth=1)
    axes.text(limit, axes.get_ylim()[1] * 0.9, " a frame lasts this long", fontsize=8, va="top",
              ha="left" if limit < 0.7 * edge else "right")  # fmt: skip
    axes.set(xlabel="milliseconds of computing", ylabel="frames", xlim=(0, edge))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def seams(good: Tensor, bad: Tensor, rate: int, size: int, around: float = 15.0) -> Picture:
    """Two versions of sounds (B, T): the first sound around the beginning of the frame where they differ most, and
    how much all of them differ on average at each place in a frame."""
    figure = Picture(10, 4.2)
    upper, lower = figure.subplots(2, 1)
    error = (good - bad)[:, : good.shape[1] // size * size].unflatten(1, (-1, size))  # (B, F, size)
    margin = round(around * rate / 1000)
    worst = 1 + int(error[0, 1:-1, :margin].square().mean(1).argmax())  # neither the first nor the last frame
    piece = slice(worst * size - margin, worst * size + margin)
    time = 1000 * (np.arange(2 * margin) - margin) / rate
    upper.plot(time, bad[0, piece], color=USER, linewidth=1.6, label="without memory")
    upper.plot(time, good[0, piece], color=MOSHI, linewidth=1, label="with memory")
    upper.axvline(0, color=INK, linestyle="--", linewidth=0.8)
    upper.set(xlabel=f"milliseconds around the beginning of frame {worst}", ylabel="sample", xlim=(-around, around))
    upper.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8, frameon=False)
    smooth = error.square().mean((0, 1)).view(40, -1).mean(1).sqrt()  # (40,): one value for 2 ms
    lower.plot(1000 * (np.arange(40) + 0.5) * (size / 40) / rate, smooth.numpy(), color=INK, linewidth=1.2)
    lower.set(xlabel="milliseconds since the frame began", ylabel="error (RMS)", ylim=(0, None),
              xlim=(0, 1000 * size / rate))  # fmt: skip
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def recording_figure(raw: Tensor, raw_rate: int, wav: Tensor, rate: int, size: int) -> Picture:
    """A recording (channels, T) as it came, and the mono sound (T,) in frames that is made of it."""
    figure = Picture(10, 2.8)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for channel, shift in zip(raw, (0.6, -0.6), strict=False):
        low, high, seconds = envelope(channel, raw_rate, raw_rate // 100)
        upper.fill_between(seconds, low + shift, high + shift, color="0.45", linewidth=0)
    low, high, seconds = envelope(wav, rate)
    lower.fill_between(seconds, low, high, color=USER, linewidth=0)
    for start in np.arange(0, len(wav) / rate, size / rate):
        lower.axvline(start, color="0.7", linewidth=0.6)
    upper.set_title(f"as recorded: {len(raw)} channels, {raw_rate} samples a second", fontsize=9, loc="left")
    lower.set_title(f"as Moshi hears it: {rate} samples a second, in frames of {size}", fontsize=9, loc="left")
    lower.set_xlabel("seconds")
    for axes in (upper, lower):
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    return figure
