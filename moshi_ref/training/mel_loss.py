"""The spectral loss of a codec: do original and output sound alike, whatever their samples are?

Two sounds may be the same to an ear and differ in every sample: a phase is enough. So mel spectrograms are compared, as
in EnCodec (Défossez et al. 2022, section 3.4), which Mimi's training follows (Moshi paper, section 3.3.1).

Shapes: B batch, T samples.
"""

import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn


class MelLoss(nn.Module):
    """How far two sounds are apart in mel spectrograms of five window lengths: short windows see when something sounds,
    long ones at which pitch.

    One half is the mean difference of the logarithms, for which a quiet overtone counts as much as a loud one; the
    other the mean difference of the magnitudes as a share of the original's mean, for which the loud ones count.
    """

    SCALES = ((128, 16), (256, 24), (512, 40), (1024, 64), (2048, 80))  # samples of a window, mel bands
    FLOOR = 1.5e-3  # noise at -70 dBFS: quieter than a quiet room, louder than rounding to 16 bits

    def __init__(self, sample_rate: int):
        super().__init__()
        self.scales = nn.ModuleList(
            torchaudio.transforms.MelSpectrogram(
                sample_rate, n_fft=size, hop_length=size // 4, n_mels=mels, power=1.0, normalized="window"
            )
            for size, mels in self.SCALES
        )

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Two sounds (B, T) -> scalar."""
        distances = [self.distance(scale(output), scale(target)) for scale in self.scales]
        return sum(distances) / len(distances)

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """Two mel spectrograms (B, bands, windows) -> scalar."""
        output, target = output.clamp(min=self.FLOOR), target.clamp(min=self.FLOOR)
        logarithms = F.l1_loss(output.log(), target.log())
        share = (output - target).abs().mean((1, 2)) / target.mean((1, 2))  # (B,)
        return (logarithms + share.mean()) / 2
