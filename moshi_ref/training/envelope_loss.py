"""The envelope loss of a codec: does each band get louder and softer when the original does?

What is understood of speech lies in how the loudness of each band changes over a third of a second or so: that is
how the measure STOI judges a sound (Taal et al. 2011), and this loss is its idea with gradients. A mel loss counts
every window for itself; this one asks whether a rise of the original is a rise of the output too. What learns from it
cannot be judged by STOI alone any more: a recogniser's word error is the independent judge.

Shapes: B batch, T samples, L windows.
"""

import torch
from torch import Tensor, nn

LOWEST, BANDS = 150.0, 17  # Hz, centre of the lowest band; the highest then is 6 kHz, where consonants hiss
SEGMENT = 30  # windows whose rise and fall are compared: 0.38 s, as in STOI
SILENCE = 1e-4  # power of a segment below this share of the loudest one's in its row (-40 dB) counts as silence
SPEECH = 10.0  # power of a soft voice's loudest segment: a row without any speech has none to compare


def third_octaves(sample_rate: int, size: int) -> Tensor:
    """Which bins of a Fourier transform of `size` samples lie in which band of a third of an octave: (bins, BANDS)
    of zeros and ones."""
    frequencies = torch.arange(size // 2 + 1) * sample_rate / size
    centres = LOWEST * 2 ** (torch.arange(BANDS) / 3)
    above = frequencies[:, None] >= centres * 2 ** (-1 / 6)
    below = frequencies[:, None] < centres * 2 ** (1 / 6)
    return (above & below).to(torch.get_default_dtype())


class EnvelopeLoss(nn.Module):
    """1 minus the correlation between the envelopes of two sounds, over bands and segments that are not silent.

    Windows of 25.6 ms, half overlapping. The mean of a segment is taken away and its size divided out, so neither
    loudness nor the colour of the voice counts, only rise and fall. 0 is perfect, 1 unrelated.
    """

    def __init__(self, sample_rate: int):
        super().__init__()
        window = round(0.0256 * sample_rate)
        self.hop, self.size = window // 2, 1 << (window - 1).bit_length()
        self.register_buffer("window", torch.hann_window(window))
        self.register_buffer("bands", third_octaves(sample_rate, self.size))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Two sounds (B, T) -> scalar."""
        segments, originals = self.segments(output), self.segments(target)  # (B, BANDS, pieces, SEGMENT)
        correlation = (unit(segments) * unit(originals)).sum(-1)  # (B, BANDS, pieces)
        power = originals.square().mean((1, 3))  # (B, pieces)
        heard = power > SILENCE * power.amax(1, keepdim=True).clamp(min=SPEECH)
        lacking = ((1 - correlation).mean(1) * heard).sum(1) / heard.sum(1).clamp(min=1)  # (B,)
        return lacking.mean()

    def segments(self, wav: Tensor) -> Tensor:
        """(B, T) -> the envelope of each band in overlapping segments: (B, BANDS, pieces, SEGMENT). A sound that is too
        short for one is a segment of its own, with fewer windows."""
        spectrum = torch.stft(
            wav, self.size, self.hop, len(self.window), self.window, center=False, return_complex=True
        )
        power = torch.view_as_real(spectrum).square().sum(-1)  # (B, bins, L)
        envelope = (power.transpose(1, 2) @ self.bands + 1e-6).sqrt().transpose(1, 2)  # (B, BANDS, L)
        # Every third start: the segments overlap by nine tenths.
        return envelope.unfold(-1, min(SEGMENT, envelope.shape[-1]), 3)


def unit(segments: Tensor) -> Tensor:
    """Segments (..., SEGMENT) without their mean, as vectors of length 1; a constant one becomes 0."""
    centred = segments - segments.mean(-1, keepdim=True)
    return centred / (centred.norm(dim=-1, keepdim=True) + 1e-4)
