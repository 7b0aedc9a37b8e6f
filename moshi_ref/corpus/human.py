"""Human users: pairs of digits spoken by the speakers of the Free Spoken Digit Dataset.

There are only a few hundred recordings, so each pair is drawn anew and, in training, played faster or
slower: more speakers than there are.
"""

import random
from collections.abc import Sequence
from pathlib import Path

from .fsdd import DigitRecording, load_digits
from .small_world import known_pairs
from .utterances import Utterance, faster_or_slower, human_utterance


class HumanUtterances(Sequence[Utterance]):
    """`count` utterances of two digits by one speaker, of pairs that training may know. Utterance number i is
    the same at every call with the same seed. split "train" changes the speed, "test" leaves it."""

    def __init__(self, folder: str | Path, split: str, count: int, seed: int):
        self.split, self.count, self.seed = split, count, seed
        self.recordings: dict[tuple[str, int], list[DigitRecording]] = {}
        for recording in load_digits(folder, split):
            self.recordings.setdefault((recording.speaker, recording.digit), []).append(recording)
        self.speakers = sorted({speaker for speaker, _ in self.recordings})

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Utterance:
        if not 0 <= i < self.count:
            raise IndexError(i)
        rng = random.Random(f"{self.seed}/{i}")
        speaker = rng.choice(self.speakers)
        pair = rng.choice(known_pairs("digits"))
        first, second = (rng.choice(self.recordings[speaker, digit]) for digit in pair)
        utterance = human_utterance(first, second, rng)
        return faster_or_slower(utterance, rng) if self.split == "train" else utterance
