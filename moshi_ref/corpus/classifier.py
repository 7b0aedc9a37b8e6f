"""A linear classifier of lines, for the filters of the cleaning.

The paper takes fastText (Joulin et al. 2016): a text is the mean of the vectors of its words and pieces of words, each
found in a table by its hash, and a linear layer and a softmax follow. Here is the simplest such classifier: only pieces
of 2 to 4 bytes, each with one number for each class, so that the mean is already the logits:

    p(class | line) = softmax(mean of weights[hash(piece)] over the pieces of the line)

It learns in seconds from a few thousand lines. FastText finds its pieces by FNV-1a too.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .bloom import fnv1a_windows

PIECES = (2, 3, 4)  # bytes
BUCKETS = 2**15  # pieces with the same hash share their numbers
STEPS, BATCH_SIZE, RATE, DECAY = 120, 64, 0.5, 1e-7


def buckets(line: str) -> Tensor:
    """The pieces of a line as numbers of buckets, (pieces,) int64. Upper and lower case are the same."""
    data = f" {line.lower()} ".encode()
    hashes = np.concatenate([fnv1a_windows(data, width) for width in PIECES])
    return torch.from_numpy((hashes % BUCKETS).astype(np.int64))


class LineClassifier:
    def __init__(self, classes: Sequence[str]):
        self.classes = tuple(classes)
        self.weights = nn.EmbeddingBag(BUCKETS, len(self.classes), mode="mean")
        nn.init.zeros_(self.weights.weight)

    @classmethod
    def train(cls, lines: dict[str, Sequence[str]], seed: int = 0) -> "LineClassifier":
        """Learn to tell the classes, given some lines of each; every class counts the same, however many lines it has.

        Raises ValueError for fewer than two classes, or a class without lines.
        """
        if len(lines) < 2 or not all(lines.values()):
            counts = {name: len(each) for name, each in lines.items()}
            raise ValueError(f"expected lines of at least two classes, got {counts}")
        classifier, generator = cls(list(lines)), torch.Generator().manual_seed(seed)
        examples = [[buckets(line) for line in each] for each in lines.values()]
        optimizer = torch.optim.Adam(classifier.weights.parameters(), lr=RATE)
        for _ in range(STEPS):
            targets = torch.randint(len(examples), (BATCH_SIZE,), generator=generator)
            rows = torch.rand(BATCH_SIZE, generator=generator).tolist()
            batch = [examples[t][int(r * len(examples[t]))] for t, r in zip(targets.tolist(), rows, strict=True)]
            loss = F.cross_entropy(classifier.logits(batch), targets)
            # Without decay the numbers would grow without end, and every line would be judged with certainty.
            loss = loss + DECAY * classifier.weights.weight.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return classifier

    def logits(self, batch: Sequence[Tensor]) -> Tensor:
        """Pieces of N lines -> (N, classes)."""
        offsets = torch.tensor([0] + [len(pieces) for pieces in batch[:-1]]).cumsum(0)
        return self.weights(torch.cat(list(batch)), offsets)

    @torch.no_grad()
    def probabilities(self, lines: Sequence[str]) -> Tensor:
        """(N, classes): how probable each class is for each line."""
        if not lines:
            return torch.zeros(0, len(self.classes))
        return self.logits([buckets(line) for line in lines]).softmax(-1)

    def probability(self, name: str, lines: Sequence[str]) -> list[float]:
        """How probable the class `name` is for each line."""
        return self.probabilities(lines)[:, self.classes.index(name)].tolist()
