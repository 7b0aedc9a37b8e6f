"""Diarization: who speaks when, so that a recording of a conversation becomes two channels.

Moshi hears itself and the user on two channels, but most recordings have one. The paper (section 4.4) lets PyAnnote
(Bredin 2023) find out who speaks when, takes one speaker as Moshi, and cuts the sound in two: what is heard while
this speaker speaks, and all the rest.

`PyannoteDiarizer` does this where that library is installed. `SimpleDiarizer` needs no network and no trained model:

    sound (T,) -> loudness of every 10 ms -> where there is speech
               -> vector of every second of speech: how the voice sounds on average
               -> the vectors in two groups -> every frame to one of the two -> segments

This is how it was done before neural networks. It always finds two speakers, and of two who speak at once it names
one. Memory grows with the square of the speech, 50 MB for a quarter of an hour: cut longer recordings first.
`evaluation.diarization` measures how often it is wrong.

Shapes: T samples, L frames of 10 ms, W windows, C cepstral coefficients.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
import torchaudio
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor
from torch.distributions import MultivariateNormal

from ..inner_monologue import Word
from .voices import SAMPLE_RATE

FRAME = SAMPLE_RATE // 100  # samples of a frame, 10 ms


@dataclass(frozen=True)
class Segment:
    """Somebody speaks; start and end in seconds. The names of speakers mean nothing beyond one recording."""

    start: float
    end: float
    speaker: str


class Diarizer(Protocol):
    """Whatever says who speaks when."""

    def __call__(self, wav: Tensor) -> list[Segment]:
        """Sound (T,) at 24 kHz -> segments in the order in which they start."""


def _check(wav: Tensor) -> None:
    if wav.ndim != 1 or len(wav) < FRAME or not wav.isfinite().all():
        raise ValueError(f"expected finite sound of shape (T,), at least {FRAME} samples, got shape {tuple(wav.shape)}")


# --- Without a trained model ----------------------------------------------------------------------


def runs(mask: Tensor) -> list[tuple[int, int]]:
    """[(first, behind the last), ...] of the stretches of True in a mask (L,)."""
    edges = torch.diff(mask.int(), prepend=torch.zeros(1), append=torch.zeros(1)).nonzero()[:, 0].tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def speech_activity(wav: Tensor, pause: int = 30, shortest: int = 8) -> Tensor:
    """Where there is speech: sound (T,) at 24 kHz -> (L,) bool.

    Two thresholds, so that it does not flicker: speech begins where it is clearly louder than the room, and reaches, in
    both directions, as far as it is a little louder. The room is the softest twentieth of the recording, but is never
    taken for softer than 41 dB or louder than 21 dB below the loudest moment. What is 80 dB below full scale is
    silence in any case. Then pauses shorter than `pause` frames are filled (0.3 s, as NIST's evaluations do), and what
    is shorter than `shortest` frames is dropped.
    """
    _check(wav)
    power = wav[: len(wav) // FRAME * FRAME].view(-1, FRAME).square().mean(-1)  # (L,)
    decibel = 10 * torch.log10(power.clamp(min=1e-10))
    loudest = decibel.topk(min(5, len(decibel))).values[-1]  # for 50 ms: a click is no measure
    off = (decibel.quantile(0.05) + 6).clamp(loudest - 35, loudest - 15).clamp(min=-80)
    on = off + 10
    speech = torch.zeros_like(decibel, dtype=torch.bool)
    for first, last in runs(decibel > off):
        speech[first:last] = (decibel[first:last] > on).any()
    for first, last in runs(~speech):
        if 0 < first and last < len(speech) and last - first < pause:
            speech[first:last] = True
    for first, last in runs(speech):
        if last - first < shortest:
            speech[first:last] = False
    return speech


class SimpleDiarizer:
    """Two speakers, told apart by the average sound of their voices; no training, no network.

    The vector of a window is the mean and the deviation of its cepstral coefficients, which describe the vocal
    tract, each scaled to the same spread. Two groups are made by joining the nearest ones again and again (Ward 1963).
    Windows are coarse, so each frame is then decided anew, a few times over: both speakers become a Gaussian of their
    frames, and a frame goes to whom the frames around it fit better.
    """

    WINDOW, HOP = 100, 25  # frames
    ROUNDS, AROUND = 3, 75  # how often each frame is decided anew, and the number of frames around it
    FEW = 60  # frames: less speech makes no Gaussian

    def __init__(self):
        mel = {"n_fft": 768, "hop_length": FRAME, "n_mels": 40, "f_min": 60.0, "f_max": 8000.0}
        self.cepstrum = torchaudio.transforms.MFCC(SAMPLE_RATE, n_mfcc=30, melkwargs=mel)

    def vectors(self, frames: Tensor, speech: Tensor) -> tuple[list[tuple[int, int]], Tensor]:
        """Windows of the speech, [(first, behind the last)] in frames, and their vectors (W, 2 * C)."""
        windows = []
        for first, last in runs(speech):
            starts = range(first, max(first + 1, last - self.WINDOW + self.HOP), self.HOP)
            windows += [(start, min(last, start + self.WINDOW)) for start in starts]
        pieces = [frames[first:last] for first, last in windows]
        vectors = torch.stack([torch.cat([p.mean(0), p.std(0, correction=0)]) for p in pieces])
        return windows, (vectors - vectors.mean(0)) / vectors.std(0, correction=0).clamp(min=1e-6)

    def by_windows(self, frames: Tensor, speech: Tensor) -> Tensor:
        """(L,) bool: where the second group speaks, by the votes of the windows of frames (L, C)."""
        windows, vectors = self.vectors(frames, speech)
        votes = torch.zeros(len(speech), 2)
        for (first, last), group in zip(windows, two_groups(vectors), strict=True):
            votes[first:last, group] += 1
        return votes[:, 1] > votes[:, 0]

    def by_frames(self, frames: Tensor, speech: Tensor, second: Tensor) -> Tensor:
        """The same, decided anew for each frame."""
        groups = [frames[mask].double() for mask in (speech & ~second, speech & second)]
        if min(map(len, groups)) < self.FEW:
            return second
        likely = []
        for group in groups:
            covariance = torch.cov(group.T) + 1e-3 * torch.eye(group.shape[1])  # never singular
            likely.append(MultivariateNormal(group.mean(0), covariance).log_prob(frames.double()))
        favour = ((likely[1] - likely[0]) * speech)[None]  # (1, L)
        return F.avg_pool1d(favour, self.AROUND, stride=1, padding=self.AROUND // 2)[0] > 0

    def __call__(self, wav: Tensor) -> list[Segment]:
        """See `Diarizer`. The speakers are "A", who begins, and "B". No speech gives no segments."""
        speech = speech_activity(wav)
        if not speech.any():
            return []
        frames = self.cepstrum(wav)[1:, : len(speech)].T  # (L, C), without the loudness
        second = self.by_windows(frames, speech)
        for _ in range(self.ROUNDS):
            second = self.by_frames(frames, speech, second)
        if second[speech][0]:
            second = ~second
        segments = [
            Segment(first * FRAME / SAMPLE_RATE, last * FRAME / SAMPLE_RATE, name)
            for name, mask in (("A", speech & ~second), ("B", speech & second))
            for first, last in runs(mask)
        ]
        return sorted(segments, key=lambda segment: segment.start)


def two_groups(vectors: Tensor) -> list[int]:
    """Group 0 or 1 of each of the vectors (W, D). A single one is in group 0."""
    if len(vectors) == 1:
        return [0]
    return [int(group) - 1 for group in fcluster(linkage(vectors.numpy(), "ward"), 2, "maxclust")]


# --- With one -------------------------------------------------------------------------------------


class PyannoteDiarizer:
    """The diarizer that the paper uses, if pyannote.audio 3.1 or later is installed.

    Its weights are downloaded once, and its authors ask you to accept their conditions on the page of the model
    and to log in with `hf auth login` first. Raises ImportError without the library, and ValueError if the weights
    cannot be had.
    """

    def __init__(self, name: str = "pyannote/speaker-diarization-3.1"):
        try:
            pipelines = importlib.import_module("pyannote.audio")
        except ImportError as error:
            raise ImportError(
                "pyannote.audio is not installed: pip install pyannote.audio, or take SimpleDiarizer"
            ) from error
        try:
            self.pipeline = pipelines.Pipeline.from_pretrained(name)
        except OSError as error:
            raise ValueError(f"{name} cannot be downloaded ({error}); take SimpleDiarizer without a network") from error
        if self.pipeline is None:  # what version 3 returns when it was not let in
            raise ValueError(f"no access to {name}; accept its conditions at hf.co/{name}, then run `hf auth login`")

    def __call__(self, wav: Tensor) -> list[Segment]:
        """See `Diarizer`."""
        _check(wav)
        output = self.pipeline({"waveform": wav[None], "sample_rate": SAMPLE_RATE}, num_speakers=2)
        turns = getattr(output, "speaker_diarization", output).itertracks(yield_label=True)  # version 4, or 3
        segments = [Segment(turn.start, turn.end, speaker) for turn, _, speaker in turns]
        return sorted(segments, key=lambda segment: segment.start)


# --- What segments are for ------------------------------------------------------------------------


def two_channels(wav: Tensor, segments: Sequence[Segment], main: str) -> Tensor:
    """Sound (T,) at 24 kHz -> (2, T): what is heard while `main` speaks, and the rest (Moshi paper, section 4.4).

    Each channel is zero where the other is not, and their sum is the sound. Where both speak at once, both are on
    the main speaker's channel. Raises ValueError if `main` never speaks.
    """
    _check(wav)
    own = [segment for segment in segments if segment.speaker == main]
    if not own:
        names = ", ".join(sorted({segment.speaker for segment in segments})) or "nobody"
        raise ValueError(f"expected a speaker of these segments, {names}, got {main!r}")
    mask = torch.zeros_like(wav)
    for segment in own:
        mask[max(0, round(segment.start * SAMPLE_RATE)) : round(segment.end * SAMPLE_RATE)] = 1
    return torch.stack([wav * mask, wav * (1 - mask)])


def words_by_speaker(words: Sequence[Word], segments: Sequence[Segment]) -> dict[str, list[Word]]:
    """Each word to whom it overlaps most, or, if it overlaps nobody, to whom is nearest in time.

    Raises ValueError if there are words but no segments.
    """
    said: dict[str, list[Word]] = {segment.speaker: [] for segment in segments}
    if words and not segments:
        raise ValueError(f"expected segments of speakers for {len(words)} words, got none; is the sound silent?")
    for word in words:
        shared = dict.fromkeys(said, 0.0)
        nearest = dict.fromkeys(said, float("-inf"))
        for segment in segments:
            overlap = min(word.end, segment.end) - max(word.start, segment.start)  # minus the distance, if there is one
            shared[segment.speaker] += max(0.0, overlap)
            nearest[segment.speaker] = max(nearest[segment.speaker], overlap)
        said[max(said, key=lambda speaker: (shared[speaker], nearest[speaker]))].append(word)
    return said
