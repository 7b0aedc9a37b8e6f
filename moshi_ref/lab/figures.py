"""Two maps, drawn by code: the system with the present part marked, and the course.

`python -m moshi_ref.lab.figures` writes the map of the system to data/figures/system.png.
"""

from collections.abc import Collection
from io import BytesIO
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

from .course import CHAPTERS, GROUPS, existing
from .profile import repository

INK, PALE, MARK = "#222222", "#f3f3f3", "#1f4e79"  # dark on light, so that it reads in greyscale too
DPI = 90


COLOURS = 128  # of a PNG: no eye sees the difference to all colours, and the file is less than half as large


class Picture(Figure):
    """A figure that shows itself as a PNG, without pyplot's list of open figures."""

    def __init__(self, width: float, height: float):
        super().__init__((width, height), dpi=DPI, layout="constrained")

    def _repr_png_(self) -> bytes:
        drawn, written = BytesIO(), BytesIO()
        self.savefig(drawn, format="png")
        few = Image.open(drawn).convert("RGB").quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(written, "png", optimize=True)
        return written.getvalue()


# name of a part: (left, bottom, width, height, text)
PARTS = {
    "voice": (0, 49, 12, 12, "user's\nvoice"),
    "encoder": (17, 49, 14, 12, "Mimi\nencoder"),
    "quantizer": (33, 49, 9, 12, "split\nRVQ"),
    "decoder": (25, 18, 14, 12, "Mimi\ndecoder"),
    "reply": (7, 18, 12, 12, "Moshi's\nvoice"),
    "text": (86, 57, 14, 8, "text token\n(inner monologue)"),
    "temporal": (66, 40, 15, 15, "Temporal\nTransformer\none step a frame"),
    "depth": (86, 30, 14, 15, "Depth\nTransformer\none step a code"),
    "delay": (62, 18, 13, 12, "acoustic delay\none frame"),
    "helium": (71, 3, 13, 7, "Helium\n(text model)"),
    "text data": (71, -8, 13, 6, "text"),
    "codec training": (17, 3, 22, 7, "losses, semantic distillation"),
    "speech data": (17, -8, 22, 6, "speech"),
    "moshi training": (48, 3, 16, 7, "stages, loss weights"),
    "dialogue data": (48, -8, 16, 6, "dialogues"),
    "evaluation": (86, 3, 14, 7, "metrics"),
}
STREAMS = (48, 31, 12, 30)  # the column of 17 tokens, drawn token by token


def system_map(here: int | str | Collection[str] = ()) -> Picture:
    """The map of the system. `here` is a notebook's number, a part, or several: these are filled dark."""
    if isinstance(here, int):
        title = f"{here:02d} {CHAPTERS[here].title}: the dark parts are what this notebook is about"
        here = CHAPTERS[here].parts
    else:
        here = {here} if isinstance(here, str) else set(here)
        title = "dark: the part this is about" if here else "Moshi: 80 ms of the user in, 80 ms of Moshi out"
    unknown = set(here) - {*PARTS, "streams"}
    if unknown:
        raise ValueError(f"expected parts of the map ({', '.join(PARTS)}, streams), got {sorted(unknown)}")
    figure = Picture(10, 6.2)
    axes = figure.add_subplot()
    axes.set(xlim=(-4, 102), ylim=(-10, 71))
    axes.axis("off")
    axes.set_title(title, fontsize=11, color=INK, loc="left")
    for name, (left, bottom, width, height, text) in PARTS.items():
        _box(axes, left, bottom, width, height, text, name in here)
    _streams(axes, "streams" in here)
    _arrows(axes)
    axes.axhline(13.5, color="0.6", linewidth=0.8, linestyle=(0, (4, 4)))
    for y, text in ((14.3, "running"), (10.7, "training and judging")):
        axes.text(-3.5, y, text, fontsize=8, color="0.35", va="bottom" if y > 13 else "center")
    return figure


def _box(axes: Axes, left, bottom, width, height, text: str, marked: bool) -> None:
    face, ink = (MARK, "white") if marked else (PALE, INK)
    shape = FancyBboxPatch(
        (left, bottom), width, height, boxstyle="round,pad=0,rounding_size=1.2",
        facecolor=face, edgecolor=INK, linewidth=1.6 if marked else 0.8,
    )  # fmt: skip
    axes.add_patch(shape)
    axes.text(left + width / 2, bottom + height / 2, text, color=ink, fontsize=8.5, ha="center", va="center")


def _streams(axes: Axes, marked: bool) -> None:
    """The column of 17 tokens: 1 of text, 8 of Moshi's voice, 8 of the user's."""
    left, bottom, width, height = STREAMS
    _box(axes, left - 1, bottom - 1, width + 2, height + 2, "", marked)
    row = height / 17
    for index in range(17):
        semantic = index in (1, 9)
        shade = "white" if index == 0 else "0.45" if semantic else ("0.72" if index < 9 else "0.88")
        y = bottom + height - (index + 1) * row
        axes.add_patch(FancyBboxPatch((left, y), 3.2, row, boxstyle="square,pad=0", facecolor=shade,
                                      edgecolor=INK, linewidth=0.6))  # fmt: skip
    ink = "white" if marked else INK
    for first, count, text in ((0, 1, "text"), (1, 8, "Moshi\n8 codes"), (9, 8, "user\n8 codes")):
        middle = bottom + height - (first + count / 2) * row
        axes.text(left + 4.2, middle, text, fontsize=8, color=ink, va="center")
    above = (left + width / 2, bottom + height + 2.2)
    axes.text(*above, "one column\nof 17 tokens", fontsize=8, color=INK, ha="center")


def _arrows(axes: Axes) -> None:
    def arrow(start, end, text="", where=(0.0, 0.0), bend=0.0, style="-|>", dashed=False):
        axes.add_patch(FancyArrowPatch(
            start, end, arrowstyle=style, mutation_scale=11, color=INK, linewidth=1.1, shrinkA=0, shrinkB=0,
            connectionstyle=f"arc3,rad={bend}", linestyle=(0, (3, 2)) if dashed else "solid",
        ))  # fmt: skip
        if text:
            axes.text(*where, text, fontsize=7.5, color=INK, ha="center", va="center")

    arrow((12, 55), (17, 55), "1920\nsamples", (14.5, 59.5))
    arrow((31, 55), (33, 55))
    arrow((42, 50), (47, 42), "8 codes, 7 of them\na frame late", (39, 44))
    arrow((61, 48), (66, 48))
    arrow((81, 51), (86, 59), "z", (82, 56.5))
    arrow((81, 44), (86, 40), "z", (84, 44.3))
    arrow((86, 63), (61, 60), "back in, too", (73, 63.7))
    arrow((93, 57), (93, 45), "text first", (97.2, 51))
    arrow((93, 30), (75, 24), "8 codes", (89, 25.5))
    arrow((62, 24), (39, 24), "codes of the frame\nthat is complete", (47, 27.2))
    arrow((25, 24), (19, 24), "1920\nsamples", (22, 28.5))
    arrow((67, 30), (61, 36), "back in, for\nthe next frame", (71.5, 35))
    _wave(axes, -2.2, 55)
    _wave(axes, 4.8, 24)
    arrow((79, 10), (79, 40), dashed=True)
    arrow((28, 10), (28, 18), dashed=True)
    arrow((56, 10), (56, 29.5), dashed=True)
    for x in (28, 56, 77.5):
        arrow((x, -2), (x, 3), dashed=True)


def _wave(axes: Axes, x: float, y: float) -> None:
    t = np.linspace(-1, 1, 60)
    axes.plot(x + 1.6 * t, y + 3 * np.sin(14 * t) * np.exp(-3 * t**2), color=INK, linewidth=1)


def course_map() -> Picture:
    """The 18 notebooks; those that exist are filled, the others are outlines."""
    there = existing()
    figure = Picture(10, 3.6)
    axes = figure.add_subplot()
    axes.set(xlim=(-1, 101), ylim=(0, 36))
    axes.axis("off")
    for column, (group, numbers) in enumerate(GROUPS.items()):
        left = column * 20
        axes.text(left, 34.5, group, fontsize=10, fontweight="bold", color=INK, va="center")
        for row, number in enumerate(numbers):
            exists = number in there
            shape = FancyBboxPatch(
                (left, 26.5 - 6.6 * row), 18.4, 5.6, boxstyle="round,pad=0,rounding_size=0.8",
                facecolor=MARK if exists else "white", edgecolor=INK, linewidth=0.8,
                linestyle="solid" if exists else (0, (3, 2)),
            )  # fmt: skip
            axes.add_patch(shape)
            words = "\n      ".join(wrap(f"{number:02d}  {CHAPTERS[number].title}", 25))
            axes.text(left + 0.8, 29.3 - 6.6 * row, words, fontsize=7.6, va="center",
                      color="white" if exists else INK)  # fmt: skip
    axes.text(0, 8, "filled: ready\ndashed: to come", fontsize=8, color=INK)
    return figure


def main() -> None:
    target = repository() / "data" / "figures" / "system.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(system_map()._repr_png_())
    print(f"wrote {target.relative_to(repository())}")


if __name__ == "__main__":
    main()
