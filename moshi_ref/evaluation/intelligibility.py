"""Whether words survive a codec: what a recogniser writes down before and after.

The recogniser (`recogniser.py`) was trained on originals alone, never on what a codec puts out, and has no grammar, so
a word that it loses was lost on the way, up to its own errors on the originals. It knows only the words of Moshi's
answers; so answers are what is said here, of held-out pairs, in Moshi's voice and in voices held out of training.
"""

import random
from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor
from torchaudio.functional import edit_distance

from ..corpus.small_world import exchange, held_out_pairs
from ..corpus.utterances import render_moshi
from ..corpus.voices import SAMPLE_RATE, moshi_voice, user_voice
from .judges import Judge

TOPICS = ("sum", "repeat", "compare")
SILENCE = 0.2  # seconds before and after the speech


def held_out_answers(count: int, seed: int) -> dict[str, list[tuple[Tensor, str]]]:
    """Sounds (T,) and their texts, `count` in Moshi's voice and `count` in held-out voices."""
    rng = random.Random(f"held-out answers {seed}")
    margin, kinds = round(SILENCE * SAMPLE_RATE), {"Moshi's voice": [], "held-out voices": []}
    for i in range(count):
        topic = TOPICS[i % 3]
        for kind, items in kinds.items():
            about = exchange(topic, *rng.choice(held_out_pairs(topic)))
            voice = moshi_voice(rng) if kind == "Moshi's voice" else user_voice(rng, "test")
            items.append((F.pad(render_moshi(about, voice).wav, (margin, margin)), about.answer))
    return kinds


def word_errors(judge: Judge, items: Iterable[tuple[Tensor, str]]) -> tuple[int, int]:
    """Words that were replaced, left out or added in what the judge writes down, by the cheapest count (Levenshtein's),
    and words that were said. Their quotient is the word error rate."""
    errors = words = 0
    for wav, text in items:
        errors += edit_distance(text.split(), judge(wav).split())
        words += len(text.split())
    return errors, words
