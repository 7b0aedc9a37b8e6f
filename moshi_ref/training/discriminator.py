"""Who judges Mimi: a discriminator that looks at spectrograms of several resolutions (Moshi paper, section 3.3.1;
the discriminator is that of EnCodec, Défossez et al. 2022, section 3.4).

A codec that is trained on differences alone sounds dull: where several sounds are possible, it makes their mean.
A discriminator learns to tell originals from the codec's output; the codec learns to fool it, and so to make
one of the possible sounds.

    STFTDiscriminator              a small 2-D network on one spectrogram, real and imaginary part
    MultiScaleSTFTDiscriminator    several of them, from 128 samples a window to 2048
    hinge_real, hinge_fake         what the discriminator minimises
    adversarial, feature_matching  what the codec minimises

Shapes: B batch, T samples, C channels, N windows, K frequencies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


@dataclass(frozen=True)
class DiscriminatorConfig:
    filters: int = 32
    windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)  # samples of each spectrogram's windows
    dilations: tuple[int, ...] = (1, 2, 4)  # in time; each of these layers also halves the frequencies


LOUDER = 32.0  # speech is quiet


@dataclass(frozen=True)
class Verdict:
    """What one discriminator thinks of a sound: logits (B, 1, N, K'), large for originals, and what its layers
    saw, (B, C, N, K'') each."""

    logits: Tensor
    features: list[Tensor]


def convolution(c_in: int, c_out: int, kernel: tuple[int, int], dilation: int = 1, stride: int = 1,
                gain: float = 2**0.5) -> nn.Module:
    """A convolution over (time, frequency) that keeps the number of windows; its weight has a norm of its own.

    The signal must neither die on its way nor drown in the biases: otherwise all sounds look the same to a new
    discriminator, and what it sends back to the codec is noise.
    """
    padding = ((kernel[0] - 1) * dilation // 2, kernel[1] // 2)
    layer = nn.Conv2d(c_in, c_out, kernel, (1, stride), padding, (dilation, 1))
    nn.init.normal_(layer.weight, std=gain * (c_in * kernel[0] * kernel[1]) ** -0.5)
    nn.init.zeros_(layer.bias)
    return weight_norm(layer)


class STFTDiscriminator(nn.Module):
    """Judges a sound by its complex spectrogram at one resolution."""

    def __init__(self, window: int, config: DiscriminatorConfig):
        super().__init__()
        self.window, filters = window, config.filters
        self.register_buffer("hann", torch.hann_window(window), persistent=False)
        self.layers = nn.ModuleList(
            [convolution(2, filters, (3, 9), gain=LOUDER)]
            + [convolution(filters, filters, (3, 9), dilation, stride=2) for dilation in config.dilations]
            + [convolution(filters, filters, (3, 3))]
        )
        self.last = convolution(filters, 1, (3, 3))

    def forward(self, wav: Tensor) -> Verdict:
        """wav (B, 1, T)."""
        spectrum = torch.stft(wav[:, 0], self.window, self.window // 4, window=self.hann, normalized=True,
                              return_complex=True)  # (B, K, N)  # fmt: skip
        x = torch.view_as_real(spectrum).permute(0, 3, 2, 1)  # (B, 2, N, K)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return Verdict(self.last(x), features)


class MultiScaleSTFTDiscriminator(nn.Module):
    """One discriminator for each window length: long windows resolve pitch, short ones resolve clicks."""

    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        self.scales = nn.ModuleList(STFTDiscriminator(window, config) for window in config.windows)

    def forward(self, wav: Tensor) -> list[Verdict]:
        return [scale(wav) for scale in self.scales]


def hinge_real(verdicts: Sequence[Verdict]) -> Tensor:
    """Originals should get logits above 1."""
    return sum(F.relu(1 - v.logits).mean() for v in verdicts) / len(verdicts)


def hinge_fake(verdicts: Sequence[Verdict]) -> Tensor:
    """The codec's output should get logits below -1."""
    return sum(F.relu(1 + v.logits).mean() for v in verdicts) / len(verdicts)


def adversarial(fake: Sequence[Verdict]) -> Tensor:
    """The codec wants its output to get large logits. Beyond 1 the discriminator does not mind any more, so neither
    does the codec try for more."""
    return hinge_real(fake)


def feature_matching(fake: Sequence[Verdict], real: Sequence[Verdict]) -> Tensor:
    """The layers of the discriminator should see the same in the output as in the original: the mean difference, as
    a share of the mean size, of each row."""
    seen, wanted = ([x.flatten(1) for v in verdicts for x in v.features] for verdicts in (fake, real))  # (B, ...)
    pairs = [(f, r.detach()) for f, r in zip(seen, wanted, strict=True)]
    shares = [((f - r).abs().mean(1) / r.abs().mean(1).clamp(min=1e-6)).mean() for f, r in pairs]
    return sum(shares) / len(shares)
