"""Phoneme ABX: do two renderings of one phoneme lie nearer to each other than to another phoneme?

A and X are two renderings of one triphone, say "bat"; B is the same but for its middle, say "bit". The features of a
sound fail on the triple (A, B, X) if X is nearer to B than to A. This needs no training and no labels beyond the test
set, so it can be asked of any features: a spectrogram, a latent, tokens (Moshi paper, Tables 3 and 4). The error is
50 % by chance and 0 % for features in which phonemes are all that matters.

The task is that of Schatz et al. (2013), with the conventions of Libri-light's evaluation, which the paper uses:

    frames     angle between their vectors, as a share of 180 degrees
    triphones  dynamic time warping: the mean over the cheapest path
    ties       count as half an error
    within     one speaker says A, B and X; then the mean over contexts, over speakers, over pairs of phonemes
    across     one speaker says A and B, another says X; otherwise the same

Libri-light draws at most five speakers of X and ten renderings; here all are taken.

Shapes: N triphones, F frames, D width of a feature.
"""

import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..corpus.voices import TEST_VARIANTS, Phone, Speech, Voice, synthesize
from ..mimi import Mimi

Features = Callable[[Tensor], Tensor]  # sound (T,) at 24 kHz -> features (F, D)

# --- What is said ---------------------------------------------------------------------------------

# Every onset with every vowel, as words or as syllables that could be words. Between two "a" each gives two triphones:
# of the vowel ("bat" against "bit") and of the onset ("a ba" against "a sa").
SYLLABLES = (
    "bat", "bit", "bet", "beet", "boat", "bite",
    "sat", "sit", "set", "seat", "soat", "site",
    "mat", "mit", "met", "meet", "moat", "mite",
    "cat", "kit", "ket", "keet", "coat", "kite",
)  # fmt: skip
AT_ONCE = 8  # syllables in an utterance
ACCENT = "en-us"  # a single one, so that a symbol means the same sound in every mouth


@dataclass(frozen=True)
class Spoken:
    """An utterance with the times of its phones, and who says it."""

    speaker: str
    speech: Speech


def spoken_syllables(speakers: int = len(TEST_VARIANTS), repetitions: int = 2, seed: int = 0) -> list[Spoken]:
    """Every syllable `repetitions` times by each of the first `speakers` test voices.

    The same text in the same voice would be the same samples. So each time the syllables come in another order, at
    another pace and pitch, and fall differently on the frames.
    """
    if not 1 <= speakers <= len(TEST_VARIANTS) or repetitions < 1:
        raise ValueError(
            f"expected 1 to {len(TEST_VARIANTS)} speakers and 1 repetition or more, got {speakers} and {repetitions}"
        )
    rng, spoken = random.Random(f"syllables {seed}"), []
    for variant in TEST_VARIANTS[:speakers]:
        for _ in range(repetitions):
            voice = Voice(f"{ACCENT}+{variant}", rng.randint(130, 190), rng.randint(35, 65), rng.randint(30, 70))
            order = rng.sample(SYLLABLES, len(SYLLABLES))
            for first in range(0, len(order), AT_ONCE):
                text = " ".join(f"a {syllable}" for syllable in order[first : first + AT_ONCE])
                spoken.append(Spoken(voice.name, synthesize(f"{text} again", voice)))
    return spoken


# --- Triphones ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Triphone:
    """Features (F, D) of a phone between two others."""

    phone: str
    context: tuple[str, str]
    speaker: str
    features: Tensor


def frames_between(start: float, end: float, frame_rate: float, count: int) -> slice:
    """The frames of `count` whose middle lies between two times in seconds.

    A triphone of a quarter of a second has three frames of 80 ms. Libri-light, which is used to frames of 10 ms, also
    drops the last one; of three frames this would be a third of the sound.
    """
    first, last = math.ceil(start * frame_rate - 0.5), math.ceil(end * frame_rate - 0.5)
    return slice(max(0, first), min(count, last))


def triphones(spoken: Spoken, features: Tensor, frame_rate: float) -> list[Triphone]:
    """All triphones of an utterance that no pause interrupts, cut out of its features (F, D). The piece is from the
    beginning of the first phone to the end of the third; one that is too short for any frame is left out."""
    found, phones = [], spoken.speech.phones
    for before, phone, after in zip(phones, phones[1:], phones[2:], strict=False):
        piece = features[frames_between(before.start, after.end, frame_rate, len(features))]
        if len(piece) and adjacent(before, phone) and adjacent(phone, after):
            found.append(Triphone(phone.symbol, (before.symbol, after.symbol), spoken.speaker, piece))
    return found


def adjacent(first: Phone, second: Phone) -> bool:
    return abs(second.start - first.end) < 1e-3


# --- Distances ------------------------------------------------------------------------------------

AT_A_TIME = 32  # triphones that are compared with all others at once, to save memory


def warped(costs: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Dynamic time warping of N pairs at once: the mean cost (N,) along each pair's cheapest path.

    costs (I, J, N): distances between the frames of a pair, of which the first rows[n] by columns[n] count. A path goes
    from corner to corner by steps to the right, down, or both at once.
    """
    height, width, n = costs.shape
    total = costs.new_full((height + 1, width + 1, n), math.inf)  # of the cheapest path to a cell
    length = torch.zeros_like(total)  # of that path, in cells
    total[0, 0] = 0
    for i in range(1, height + 1):
        for j in range(1, width + 1):
            best, cells = total[i - 1, j - 1], length[i - 1, j - 1]  # where equal, both at once is shortest
            for k, m in ((i, j - 1), (i - 1, j)):
                cells = torch.where(total[k, m] < best, length[k, m], cells)
                best = torch.minimum(total[k, m], best)
            total[i, j], length[i, j] = best + costs[i - 1, j - 1], cells + 1
    corner = rows, columns, torch.arange(n)
    return total[corner] / length[corner]


def distances(items: Sequence[Tensor]) -> Tensor:
    """Distances (N, N) between N sequences of features (F, D)."""
    sizes = torch.tensor([len(item) for item in items])
    frames = F.normalize(pad_sequence(list(items), batch_first=True).double(), dim=-1)  # (N, F, D)
    rows = []
    for some, lengths in zip(frames.split(AT_A_TIME), sizes.split(AT_A_TIME), strict=True):
        cosine = torch.tensordot(some, frames, dims=([2], [2]))  # (n, F, N, F)
        angles = cosine.permute(1, 3, 0, 2).flatten(2).clamp(-1, 1).acos() / math.pi  # (F, F, n * N), 0 to 1
        # Equal tokens must be equally far from everything, or a tie would be decided by the last bit.
        far = warped(angles.round(decimals=6), lengths.repeat_interleave(len(items)), sizes.repeat(len(some)))
        rows.append(far.view(len(some), len(items)))
    return torch.cat(rows)


# --- The score ------------------------------------------------------------------------------------


DRAWS = 1000  # of the bootstrap


@dataclass(frozen=True)
class Score:
    """error: 0 to 1, 0.5 by chance, None if there was no triple; triples: how many were counted; low, high: where the
    error would lie, in 95 of 100 cases, had other speakers been drawn (a bootstrap over those that there are)."""

    error: float | None
    triples: int
    low: float | None = None
    high: float | None = None


def wrong(to_a: Tensor, to_b: Tensor) -> Tensor:
    """Per X the share of wrong triples (X,), from distances (X, A) and (X, B). Infinity in to_a leaves a pair out."""
    a, b = to_a[:, :, None], to_b[:, None, :]
    errors = (a > b).double() + 0.5 * (a == b)  # (X, A, B)
    counted = to_a.isfinite()  # (X, A)
    return (errors.mean(-1) * counted).sum(-1) / counted.sum(-1)


class Tally:
    """Errors by pair of phonemes, then by speaker of A and B; their mean is of means, as the task defines it."""

    def __init__(self):
        self.errors = defaultdict(lambda: defaultdict(list))
        self.triples = 0

    def add(self, pair: tuple[str, str], speaker: str, error: float, triples: int) -> None:
        self.errors[pair][speaker].append(error)
        self.triples += triples

    def score(self) -> Score:
        names = sorted({speaker for speakers in self.errors.values() for speaker in speakers})
        if not names:
            return Score(None, 0)
        errors = torch.zeros(len(self.errors), len(names), dtype=torch.float64)  # by pair and speaker
        counted = torch.zeros_like(errors)
        for row, speakers in enumerate(self.errors.values()):
            for speaker, contexts in speakers.items():
                column = names.index(speaker)
                errors[row, column], counted[row, column] = sum(contexts) / len(contexts), 1
        everyone = torch.ones(1, len(names), dtype=torch.float64)
        generator = torch.Generator().manual_seed(0)
        drawn = torch.multinomial(everyone.expand(DRAWS, -1), len(names), replacement=True, generator=generator)
        others = mean_of_means(errors, counted, F.one_hot(drawn, len(names)).sum(1).double())
        low, high = others.nanquantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        return Score(mean_of_means(errors, counted, everyone).item(), self.triples, low, high)


def mean_of_means(errors: Tensor, counted: Tensor, times: Tensor) -> Tensor:
    """The mean over pairs of the mean over speakers (N,), when each speaker is counted `times` (N, speakers) over.
    errors (pairs, speakers); counted: 1 where there is one, else 0."""
    sums, weights = times @ (errors * counted).T, times @ counted.T  # (N, pairs)
    there = weights > 0
    return torch.where(there, sums / weights.clamp(min=1), 0).sum(1) / there.sum(1)


def abx(items: Sequence[Triphone]) -> dict[str, Score]:
    """The error "within" and "across" speakers. Only triphones that share their context are ever compared."""
    contexts, tallies = defaultdict(list), {"within": Tally(), "across": Tally()}
    for item in items:
        contexts[item.context].append(item)
    for group in contexts.values():
        if len({item.phone for item in group}) > 1:
            count_context(group, distances([item.features for item in group]), tallies)
    return {name: tally.score() for name, tally in tallies.items()}


def count_context(group: Sequence[Triphone], far: Tensor, tallies: dict[str, Tally]) -> None:
    """Counts all triples of one context, whose triphones are `far` (N, N) from each other."""
    who = defaultdict(lambda: defaultdict(list))  # who[phone][speaker]: numbers of triphones
    for number, item in enumerate(group):
        who[item.phone][item.speaker].append(number)
    for a in who:
        for b in who:
            for speaker in who[a].keys() & who[b].keys() if a != b else ():
                ours, others = who[a][speaker], who[b][speaker]
                if len(ours) > 1:
                    to_a = far[ours][:, ours].fill_diagonal_(math.inf)  # nothing is its own X
                    error = wrong(to_a, far[ours][:, others]).mean().item()
                    tallies["within"].add((a, b), speaker, error, len(ours) * (len(ours) - 1) * len(others))
                for third in who[a].keys() - {speaker}:
                    theirs = who[a][third]
                    error = wrong(far[theirs][:, ours], far[theirs][:, others]).mean().item()
                    tallies["across"].add((a, b), speaker, error, len(theirs) * len(ours) * len(others))


# --- Features of a codec --------------------------------------------------------------------------


def one_hot(tokens: Tensor, entries: int) -> Tensor:
    """Tokens (F,) as features (F, entries): any two different ones are at right angles, so that only their equality
    counts."""
    return F.one_hot(tokens, entries).float()


@torch.inference_mode()
def codec_features(mimi: Mimi, wav: Tensor) -> dict[str, Tensor]:
    """What Mimi makes of a sound (T,): features (F, D) before and after quantization.

    Tokens are judged by what they stand for, the quantized latent, as in the paper: of the semantic codebook alone,
    before the acoustic ones are added; of the acoustic ones alone; or by nothing but their equality.
    """
    wav = F.pad(wav, (0, -len(wav) % mimi.config.frame_size))
    latent = mimi.encode_latent(wav[None, None])  # (1, D, F)
    codes = mimi.quantizer.encode(latent, mimi.config.used_codebooks)  # (1, Q, F)
    semantic = mimi.quantizer.decode(codes[:, :1])  # (1, D, F)
    features = {
        "latent": latent[0].T,
        "semantic tokens": semantic[0].T,
        "semantic tokens, equal or not": one_hot(codes[0, 0], mimi.config.entries),
    }
    if codes.shape[1] > 1:
        features["acoustic tokens"] = (mimi.quantizer.decode(codes) - semantic)[0].T
    return features


def abx_of(spoken: Sequence[Spoken], features: Features, frame_rate: float) -> dict[str, Score]:
    """The errors of any function from sound to features of `frame_rate` frames a second."""
    return abx([item for s in spoken for item in triphones(s, features(s.speech.wav), frame_rate)])


def abx_of_codec(spoken: Sequence[Spoken], mimi: Mimi) -> dict[str, dict[str, Score]]:
    """The errors of each of `codec_features`, for which every sound is encoded once."""
    items = defaultdict(list)
    for s in spoken:
        for name, features in codec_features(mimi, s.speech.wav).items():
            items[name] += triphones(s, features, mimi.config.frame_rate)
    return {name: abx(found) for name, found in items.items()}
