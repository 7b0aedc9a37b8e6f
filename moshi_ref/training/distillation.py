"""Semantic distillation: a teacher says what is being said, and the first codebook learns it (section 3.3.2).

A network that was trained on speech without labels knows which phoneme sounds when. Mimi's first codebook is
taught to know it too: a linear projection of the quantized semantic latent shall point in the same direction as the
teacher's vector for the frame. The teacher hears past and future; Mimi only the past.

    Teacher        sound or phones -> one vector for each frame
    WavLMTeacher   the paper's: WavLM Large (Chen et al. 2021), 1024 wide; downloaded by torchaudio
    PhoneTeacher   works offline: knows the phones, because the synthesizer told when each of them sounded
    distillation   the loss

What `PhoneTeacher` changes: it says only which phones sound, nothing about how; it makes no mistakes; and it knows
nothing about speech that the synthesizer did not make (for recordings the times are guessed, see `corpus.human`).
WavLM's vectors also carry the neighbouring phones, the word and some of the speaker.

Shapes: B batch, T samples, F frames, P phones, E width of the teacher's vectors.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from ..corpus.utterances import PHONES, phone_frames
from ..corpus.voices import Phone

RATE = 50  # marks or vectors of a teacher in a second, before they are averaged
STRIDE, KERNEL = 4, 8  # of the average over WavLM's vectors: to 12.5 a second, each over 160 ms
LAG = 0.04  # seconds by which `PhoneTeacher` is late: a phone must have sounded for a while to be recognised


class Teacher(Protocol):
    width: int  # E

    def __call__(self, wav: Tensor, phones: Sequence[Sequence[Phone]]) -> Tensor:
        """Sounds (B, F * 1920) at 24 kHz and the phones in each -> vectors (B, F, E). Uses what it likes of both."""


class PhoneTeacher:
    """For each half of a frame, the share of each phone, or of silence, in the 40 ms before it.

    The paper's average over 160 ms would also say which phones sound, but not in which order.
    """

    width = 2 * len(PHONES)

    def __call__(self, wav: Tensor, phones: Sequence[Sequence[Phone]]) -> Tensor:
        steps = wav.shape[-1] * RATE // 24_000
        late = [[Phone(p.symbol, p.start + LAG, p.end + LAG) for p in row] for row in phones]
        marks = torch.stack([phone_frames(row, steps, RATE) for row in late])  # (B, 4 * F)
        shares = F.one_hot(marks, len(PHONES)).float().unflatten(1, (-1, 2, 2)).mean(3)  # (B, F, 2, P)
        return shares.flatten(2).to(wav.device)


class WavLMTeacher(nn.Module):
    """WavLM Large on the sound at 16 kHz. The first use downloads 1.2 GB, and so needs a network."""

    width = 1024

    def __init__(self):
        super().__init__()
        self.model = torchaudio.pipelines.WAVLM_LARGE.get_model().eval().requires_grad_(False)
        self.resample = torchaudio.transforms.Resample(24_000, 16_000)

    @torch.no_grad()
    def forward(self, wav: Tensor, phones: Sequence[Sequence[Phone]]) -> Tensor:
        # Its convolutions see 400 samples and move by 320: 40 more on either side make one vector for each 320.
        features, _ = self.model.extract_features(F.pad(self.resample(wav), (40, 40)))
        return pool(features[-1])


def pool(vectors: Tensor) -> Tensor:
    """Vectors (B, 4 * F, E) -> (B, F, E): means over the frame and half a frame to either side of it, so a part of
    what a frame is to know is still to come. At the ends over what there is."""
    margin = (KERNEL - STRIDE) // 2
    pooled = F.avg_pool1d(vectors.transpose(1, 2), KERNEL, STRIDE, margin, count_include_pad=False)
    return pooled.transpose(1, 2)


def distillation(projected: Tensor, wanted: Tensor) -> Tensor:
    """One less the cosine between projected and wanted vectors (B, F, E), averaged: 0 when all directions agree."""
    return 1 - F.cosine_similarity(projected, wanted, dim=-1).mean()
