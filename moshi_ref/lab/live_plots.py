"""Pictures of a live conversation: where its time goes, its ring of keys, reactions on one time axis, who is there.

Shapes: T samples, F frames. Moshi is dark and above, the user lighter and below. Times are seconds unless they say ms.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from ..tokenizer import PAD, TextTokenizer
from .conversation import Conversation
from .figures import INK, MARK, Picture
from .plots import MOSHI, USER, envelope, readable

FACES = (("0.9", ""), ("0.75", ""), (MARK, ""), ("#b45f06", "///"), ("0.45", ""), ("white", "..."))  # and hatches
Mark = tuple[float, str]  # a moment, and what it is called
Stay = tuple[str, int, int, int]  # who, in which place, from which frame, until which


def budget_bars(design: Mapping[str, float], parts: Mapping[str, float], limit: float) -> Picture:
    """Milliseconds: above, what the design costs and all computing of a frame; below, the computing in its parts,
    beside the limit that it must keep."""
    figure = Picture(10, 3.0)
    whole, near = figure.subplots(2, 1)
    _stack(whole, {**design, "computing": sum(parts.values())})
    whole.set(xlabel="ms from a sound in the room to the earliest answer in the loudspeaker")
    _stack(near, parts)
    near.axvline(limit, color=INK, linestyle="--", linewidth=1.2)
    near.text(limit, 0.48, " limit", fontsize=8, va="top")
    near.set(xlabel="ms of computing in a frame", xlim=(0, 1.1 * max(limit, sum(parts.values()))))
    return figure


def _stack(axes: Axes, parts: Mapping[str, float]) -> None:
    """One bar made of pieces; a piece that is wide enough has its name inside, all are in the legend."""
    left, total = 0.0, sum(parts.values())
    for (colour, hatch), (name, value) in zip(FACES, parts.items(), strict=False):
        axes.barh(0, value, left=left, color=colour, hatch=hatch, edgecolor=INK, linewidth=0.6, height=0.6,
                  label=f"{name}, {value:.3g} ms")  # fmt: skip
        left += value
    axes.set(yticks=[], ylim=(-0.5, 0.5), xlim=(0, 1.05 * total))
    axes.legend(fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _tidy(axes)


def schedule(computing: float, frame: float = 80.0, frames: int = 4) -> Picture:
    """What happens when, for a sound at the very beginning of frame 0. Times in ms."""
    figure = Picture(10, 2.4)
    axes = figure.add_subplot()
    for n in range(frames):
        sounds = n == 0  # the frame with the sound in it
        _block(axes, n * frame, 2, frame, f"user, frame {n}", USER if sounds else "0.9", "white" if sounds else INK)
        ready = (n + 1) * frame
        _block(axes, ready, 1, computing, "", MARK, INK)
        answer = n == 1  # its words can be about the sound
        _block(axes, ready + computing, 0, frame, f"Moshi, frame {n}", MOSHI if answer else "0.9",
               "white" if answer else INK)  # fmt: skip
    for time, name in ((frame, "frame 0 is full"), (2 * frame + computing, "the first words that know of it")):
        axes.axvline(time, color=INK, linestyle="--", linewidth=0.9)
        axes.text(time, 3.05, f" {name}: {time:.0f} ms", fontsize=8, va="bottom")
    axes.set(yticks=[0.4, 1.4, 2.4], yticklabels=["loudspeaker", "computing", "microphone"], ylim=(-0.1, 3.6),
             xlim=(0, (frames + 1) * frame + computing), xlabel="ms since the sound")  # fmt: skip
    _tidy(axes)
    return figure


def _block(axes: Axes, left: float, row: int, width: float, text: str, colour: str, ink: str) -> None:
    axes.add_patch(Rectangle((left, row), width, 0.8, facecolor=colour, edgecolor=INK, linewidth=0.6))
    axes.text(left + width / 2, row + 0.4, text, fontsize=8, color=ink, ha="center", va="center", clip_on=True)


def ring_slots(rows: Mapping[int, Sequence[int]], context: int) -> Picture:
    """For each number of steps, which step every slot of the ring holds (-1: never written). Dark: seen by the newest
    step; grey: too old to be seen."""
    figure = Picture(10, 0.45 * len(rows) + 0.8)
    axes = figure.add_subplot()
    for y, (steps, slots) in enumerate(rows.items()):
        for x, step in enumerate(slots):
            seen = step >= 0 and steps - 1 - step < context
            face = MARK if seen else "white" if step < 0 else "0.8"
            axes.add_patch(Rectangle((x, y), 1, 0.85, facecolor=face, edgecolor=INK, linewidth=0.6))
            axes.text(x + 0.5, y + 0.43, "" if step < 0 else step, fontsize=8, ha="center", va="center",
                      color="white" if seen else INK)  # fmt: skip
    axes.set(xlim=(0, len(slots)), ylim=(len(rows), 0), xticks=np.arange(len(slots)) + 0.5, xlabel="slot of the ring")
    axes.set_xticklabels(range(len(slots)))
    axes.set_yticks(np.arange(len(rows)) + 0.43, [f"after {steps} steps" for steps in rows])
    axes.tick_params(labelsize=8, length=0)
    axes.spines[:].set_visible(False)
    return figure


def reactions(cases: Mapping[str, Conversation], tokenizer: TextTokenizer,
              marks: Mapping[str, Sequence[Mark]]) -> Picture:  # fmt: skip
    """A panel for each conversation, all on one time axis: Moshi's voice above, its text tokens, the user's voice
    below; dashed lines at the marks."""
    figure = Picture(10, 1.75 * len(cases) + 0.4)
    panels = figure.subplots(len(cases), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, held) in zip(panels, cases.items(), strict=True):
        for wav, middle, colour in ((held.moshi[0], 1.0, MOSHI), (held.user[0], -1.0, USER)):
            low, high, seconds = envelope(wav, held.sample_rate)
            scale = 0.75 / max(0.2, float(wav.abs().max()))
            axes.fill_between(seconds, middle + scale * low, middle + scale * high, color=colour, linewidth=0)
        for frame, token in enumerate(held.columns[0, 0].tolist()):
            if token > PAD:
                piece = readable(tokenizer.piece(token).strip() or "_")
                axes.text(frame / held.frame_rate, 0, piece, fontsize=7, rotation=45, va="center", clip_on=True)
        for number, (time, text) in enumerate(marks.get(name, ())):
            axes.axvline(time, color=INK, linestyle="--", linewidth=1)
            height, side = ((1.95, "top"), (-1.95, "bottom"))[number % 2]  # neighbours do not cover each other
            axes.text(time, height, f" {text}", fontsize=7.5, va=side, clip_on=True)
        axes.set(ylim=(-2, 2), yticks=[1, 0, -1], yticklabels=["Moshi", "its text", "user"])
        axes.set_title(name, fontsize=9, loc="left")
        _tidy(axes)
    axes.set(xlabel="seconds", xlim=(0, max(held.frames / held.frame_rate for held in cases.values())))
    return figure


def dots(groups: Mapping[str, Sequence[float]], limits: Mapping[str, float], xlabel: str) -> Picture:
    """A row of points for each group; dashed lines at the limits. A group without points says so."""
    figure = Picture(8, 0.5 * len(groups) + 1.1)
    axes = figure.add_subplot()
    for y, values in enumerate(groups.values()):
        axes.plot(values, [y] * len(values), "o", color=MARK, markersize=7, markerfacecolor="none", markeredgewidth=1.6)
        if not len(values):
            axes.text(0, y, " none", fontsize=8, va="center")
    for name, limit in limits.items():
        axes.axvline(limit, color=INK, linestyle="--", linewidth=1)
        axes.text(limit, -0.75, f" {name}", fontsize=8, va="center")
    every = [*limits.values(), *(value for values in groups.values() for value in values)]
    axes.set(ylim=(len(groups) - 0.5, -1), xlim=(min(0, *every) - 0.1, max(every) + 0.3), xlabel=xlabel)
    axes.set_yticks(range(len(groups)), list(groups))
    _tidy(axes)
    return figure


def places(stays: Sequence[Stay], spoken: Mapping[str, Sequence[Mark]], frames: int, frame: float = 0.08) -> Picture:
    """Who is in which place of a batch, from which frame to which, with Moshi's words at their times (seconds from the
    beginning of the picture)."""
    count = 1 + max(place for _, place, _, _ in stays)
    figure = Picture(10, 0.75 * count + 0.8)
    axes = figure.add_subplot()
    for who, place, first, last in stays:
        axes.add_patch(Rectangle((first * frame, place), (last - first) * frame, 0.8, facecolor="0.9", edgecolor=INK))
        axes.text(first * frame, place + 0.2, f" {who}", fontsize=9, fontweight="bold", va="center")
        for time, word in spoken.get(who, ()):
            axes.text(time, place + 0.58, readable(word), fontsize=7.5, rotation=20, va="center", clip_on=True)
    axes.set(xlim=(0, frames * frame), ylim=(count, 0), xlabel="seconds")
    axes.set_yticks(np.arange(count) + 0.4, [f"place {place}" for place in range(count)])
    _tidy(axes)
    return figure


def lost_frames(cases: Mapping[str, tuple[Tensor, Sequence[int]]], rate: int, size: int) -> Picture:
    """Sounds (T,) with the frames that did not arrive as they were sent in grey."""
    figure = Picture(10, 0.95 * len(cases) + 0.5)
    panels = figure.subplots(len(cases), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, (wav, lost)) in zip(panels, cases.items(), strict=True):
        low, high, seconds = envelope(wav, rate)
        for frame in lost:
            axes.axvspan(frame * size / rate, (frame + 1) * size / rate, color="0.8", linewidth=0)
        axes.fill_between(seconds, low, high, color=USER, linewidth=0)
        axes.set(yticks=[], xlim=(0, max(len(wav) for wav, _ in cases.values()) / rate))
        axes.set_title(name, fontsize=9, loc="left")
        _tidy(axes)
    axes.set_xlabel("seconds", fontsize=8)
    return figure


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
