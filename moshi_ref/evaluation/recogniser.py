"""A small recogniser of the small world's words: what a judge with good ears hears in Moshi's voice.

    sound (B, T) -> log-mel (B, M, L) -> convolutions, half the frames -> GRU in both directions
                 -> logits (B, L / 2, 1 + words), at 25 frames a second

It is trained with CTC (Graves et al. 2006): every frame names a word or "blank", and the text is what is left
when repetitions are merged and blanks removed. There is no language model and no grammar, so it writes down
what it hears: "two plus two is nine" stays as wrong as it was said.

Shapes: B batch, T samples, M mel bands, L mel frames, D width, W words.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from ..checkpoints import CONFIGS, load
from ..corpus.small_world import NUMBERS

WORDS = (*NUMBERS, "plus", "is", "more")  # all that Moshi ever answers
BLANK = 0  # class 0; word i is class i + 1
SILENCE = 0.4  # seconds put before and after what is transcribed, see `transcribe`
QUIET = 0.03  # peak of the quietest speech, 30 dB below full scale


@dataclass(frozen=True)
class RecogniserConfig:
    words: tuple[str, ...] = WORDS
    dim: int = 128
    mels: int = 40
    window: int = 768  # samples, 32 ms
    hop: int = 480  # samples, 20 ms
    sample_rate: int = 24_000


class LogMel(nn.Module):
    """Loudness in M bands of the ear, every 20 ms, whatever the level of the speech."""

    FLOOR, MEAN, SCALE = 0.1, 0.9, 1.4  # mean and deviation of Moshi's voice, fixed once and for all

    def __init__(self, config: RecogniserConfig):
        super().__init__()
        self.config = config
        bands = torchaudio.functional.melscale_fbanks(
            config.window // 2 + 1, 50.0, 7600.0, config.mels, config.sample_rate
        )  # (window / 2 + 1, M)
        self.register_buffer("bands", bands, persistent=False)
        self.register_buffer("taper", torch.hann_window(config.window), persistent=False)

    def forward(self, wav: Tensor) -> Tensor:
        """(B, T) -> (B, M, L) with L = T // hop + 1."""
        # The peak, unlike the mean power, does not depend on how much silence surrounds the speech. What
        # stays below QUIET is only amplified as much as speech would be: silence must not become loud noise.
        wav = wav / wav.abs().amax(1, keepdim=True).clamp(min=QUIET)
        size, hop = self.config.window, self.config.hop
        spectrum = torch.stft(wav, size, hop, window=self.taper, pad_mode="constant", return_complex=True)
        mel = self.bands.T @ spectrum.abs()  # (B, M, L)
        return ((mel + self.FLOOR).log() - self.MEAN) / self.SCALE


class ConvBlock(nn.Module):
    """Convolution, normalisation of each frame by itself, GELU."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, 5, stride, padding=2)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, L) -> (B, outputs, L / stride)."""
        return F.gelu(self.norm(self.conv(x).mT).mT)


class Recogniser(nn.Module):
    """Sound -> words. It may look into the future: a judge listens to the whole answer first."""

    def __init__(self, config: RecogniserConfig):
        super().__init__()
        self.config = config
        dim = config.dim
        self.mel = LogMel(config)
        self.convs = nn.Sequential(
            ConvBlock(config.mels, dim, stride=2), ConvBlock(dim, dim, 1), ConvBlock(dim, dim, 1)
        )
        self.gru = nn.GRU(dim, dim, num_layers=2, batch_first=True, bidirectional=True)
        self.classes = nn.Linear(2 * dim, 1 + len(config.words))

    def forward(self, wav: Tensor) -> Tensor:
        """Sound (B, T) at 24 kHz -> logits (B, L / 2, 1 + W); class 0 is the blank."""
        if wav.ndim != 2 or wav.shape[1] == 0 or not wav.isfinite().all():
            raise ValueError(f"expected finite sound of shape (B, T), T > 0, got shape {tuple(wav.shape)}")
        return self.logits(self.mel(wav))

    def logits(self, mel: Tensor) -> Tensor:
        """The same from a log-mel (B, M, L)."""
        frames = self.convs(mel).mT  # (B, L / 2, D)
        return self.classes(self.gru(frames)[0])

    @torch.no_grad()
    def transcribe(self, wav: Tensor) -> str:
        """What is said in (T,) at 24 kHz: words separated by spaces, "" if there are none.

        Silence is put around it. The backward GRU needs some to get going before it meets the last word:
        with less than 0.2 s it takes "is more" for "more" or "is is more".
        """
        if wav.ndim != 1:
            raise ValueError(f"expected one sound of shape (T,), got shape {tuple(wav.shape)}")
        silence = round(SILENCE * self.config.sample_rate)
        return decode(self(F.pad(wav, (silence, silence))[None])[0], self.config.words)


def decode(logits: Tensor, words: tuple[str, ...]) -> str:
    """Greedy CTC, (L / 2, 1 + W) -> text: each frame's likeliest class, repetitions merged, no blanks."""
    best = logits.argmax(-1).unique_consecutive()
    return " ".join(words[i - 1] for i in best.tolist() if i != BLANK)


CONFIGS[Recogniser] = RecogniserConfig  # so that `checkpoints.save` and `load` know the class


def load_recogniser(folder: str | Path) -> Recogniser:
    """A Recogniser from a folder, in float32 on the CPU. For errors see `checkpoints.load`."""
    return load(Recogniser, folder)
