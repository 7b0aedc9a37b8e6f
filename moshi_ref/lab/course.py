"""The course: its notebooks, and the parts of the system that each of them is about."""

from dataclasses import dataclass
from pathlib import Path

from IPython.display import Markdown

from .profile import repository


@dataclass(frozen=True)
class Chapter:
    number: int
    title: str
    teaches: str
    parts: tuple[str, ...]  # boxes of `figures.system_map`


SOUND = ("voice", "encoder", "quantizer", "decoder")
LIVE = (*SOUND, "reply", "streams", "delay", "temporal", "depth", "text")

CHAPTERS = tuple(
    Chapter(number, *row)
    for number, row in enumerate((
        ("Talk to a tiny Moshi", "the whole system, running", LIVE),
        ("Helium, a text language model", "every layer of a Transformer on a small tensor", ("helium",)),
        ("Training Helium", "loss, schedule, sampling, cache", ("helium", "text data")),
        ("From sound to frames", "sampling, causal convolutions, streaming", ("voice", "encoder", "decoder")),
        ("Quantization", "from vectors to a few integers", ("quantizer",)),
        ("Mimi", "the codec put together", SOUND),
        ("Training Mimi", "losses, discriminators, listening", ("codec training", "speech data")),
        ("Semantic tokens", "a codebook that knows what is said", ("quantizer", "codec training")),
        ("RQ-Transformer", "many streams, two Transformers", ("temporal", "depth")),
        ("Delays", "what waiting for one frame buys", ("delay",)),
        ("Two speakers at once", "streams instead of turns", ("streams", "dialogue data")),
        ("Inner monologue", "words written into frames", ("text",)),
        ("Training Moshi", "the stages, and what each adds", ("moshi training", "dialogue data")),
        ("Full duplex, live", "the streaming loop and its latency", LIVE),
        ("ASR and TTS from one model", "only the delay changes", ("text", "delay", "streams")),
        ("Judging speech models", "the paper's tables at our scale", ("evaluation",)),
        ("Ablations", "each choice switched off", ("moshi training", "codec training", "evaluation")),
        ("The real thing", "released weights, 7B on a GPU", LIVE),
    ))
)  # fmt: skip

GROUPS = {"Start": (0,), "Text": (1, 2), "Sound": (3, 4, 5, 6, 7), "Moshi": (8, 9, 10, 11, 12),
          "Using it": (13, 14, 15, 16, 17)}  # fmt: skip


def existing() -> dict[int, Path]:
    """The notebooks that are in the repository's folder, by number."""
    found = sorted((repository() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    return {int(path.name[:2]): path for path in found}


def course_links(after: int) -> Markdown:
    """The chapters that come after number `after`, as a list; those that exist are links."""
    there, lines = existing(), []
    for chapter in CHAPTERS[after + 1 :]:
        name = f"{chapter.number:02d}. {chapter.title}"
        if chapter.number in there:
            name = f"[{name}]({there[chapter.number].name})"
        lines.append(f"- {name}: {chapter.teaches}" + ("" if chapter.number in there else " (to come)"))
    return Markdown("\n".join(lines))
