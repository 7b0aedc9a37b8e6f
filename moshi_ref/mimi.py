"""Mimi: speech to 12.5 small vectors of integers a second and back (Moshi paper, section 3.3).

    sound (B, 1, T) -> SEANet encoder -> Transformer -> stride 2 -> split RVQ -> codes (B, Q, F)
    codes (B, Q, F) -> split RVQ -> stride 2 back -> Transformer -> SEANet decoder -> sound (B, 1, F * 1920)

One frame is 1920 samples, 80 ms at 24 kHz. Every part is causal, so that a frame can be encoded as soon
as its last sample has arrived and decoded at once: Mimi itself waits for nothing else.

Shapes: B batch, T samples, F frames, Q codebooks, D width of the latent.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .rvq import ResidualVectorQuantizer, SplitResidualVectorQuantizer
from .seanet import (
    ChainState,
    ConvState,
    ConvTransposeState,
    SEANetConfig,
    SEANetDecoder,
    SEANetEncoder,
    StreamingConv1d,
    StreamingConvTranspose1d,
)
from .streaming import State
from .transformer import Transformer, TransformerConfig, TransformerState


def _mimi_transformer(dim: int, heads: int, layers: int, hidden: int, context: int) -> TransformerConfig:
    return TransformerConfig(dim, heads, layers, hidden, context, gated=False, layer_scale=0.01)


@dataclass(frozen=True)
class MimiConfig:
    seanet: SEANetConfig
    transformer: TransformerConfig  # one such before the quantizer and one after it, at 25 Hz
    codebooks: int  # that exist
    used_codebooks: int  # that `encode` returns unless told otherwise
    entries: int  # in each codebook
    codebook_dim: int
    sample_rate: int = field(default=24_000)
    split: bool = True  # False: one residual stack, whose first codebook serves both masters (Table 3 of the paper)

    @property
    def frame_size(self) -> int:
        """Samples in a frame; the convolution after the Transformer halves the frame rate."""
        return 2 * self.seanet.hop

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.frame_size

    @property
    def bits_per_second(self) -> float:
        """Rate of the used codes."""
        return self.used_codebooks * (self.entries - 1).bit_length() * self.frame_rate

    @classmethod
    def kyutai(cls) -> "MimiConfig":
        """The released model: 32 codebooks of 2048, of which Moshi uses 8 (1.1 kbps)."""
        return cls(SEANetConfig(512, 64), _mimi_transformer(512, 8, 8, 2048, 250), 32, 8, 2048, 256)

    @classmethod
    def tiny(cls) -> "MimiConfig":
        """The same geometry, small enough to train on a laptop: 8 codebooks of 512 (0.9 kbps)."""
        return cls(SEANetConfig(128, 16), _mimi_transformer(128, 4, 2, 512, 20), 8, 8, 512, 64)


@dataclass
class MimiState(State):
    """Both directions of a stream: `encode` uses the first three, `decode` the last three."""

    encoder: ChainState
    encoder_transformer: TransformerState
    downsample: ConvState
    upsample: ConvTransposeState
    decoder_transformer: TransformerState
    decoder: ChainState


class Mimi(nn.Module):
    def __init__(self, config: MimiConfig):
        super().__init__()
        self.config = config
        dim = config.seanet.dim
        self.encoder = SEANetEncoder(config.seanet)
        self.encoder_transformer = Transformer(config.transformer)
        self.downsample = StreamingConv1d(dim, dim, 4, stride=2, bias=False, replicate=True, gain=1.0)
        quantizer = SplitResidualVectorQuantizer if config.split else ResidualVectorQuantizer
        self.quantizer = quantizer(dim, config.codebook_dim, config.codebooks, config.entries)
        self.upsample = StreamingConvTranspose1d(dim, dim, 4, stride=2, groups=dim, bias=False)
        self.decoder_transformer = Transformer(config.transformer)
        self.decoder = SEANetDecoder(config.seanet)

    def initial_state(self, batch_size: int) -> MimiState:
        return MimiState(
            self.encoder.initial_state(batch_size),
            self.encoder_transformer.initial_state(batch_size),
            self.downsample.initial_state(batch_size),
            self.upsample.initial_state(batch_size),
            self.decoder_transformer.initial_state(batch_size),
            self.decoder.initial_state(batch_size),
        )

    def encode(self, wav: Tensor, state: MimiState | None = None, codebooks: int | None = None) -> Tensor:
        """Sound (B, 1, T) float at 24 kHz -> codes (B, Q, F) int64; codebook 0 is the semantic one.

        A whole sequence is padded with zeros to whole frames, F = ceil(T / 1920). The chunk of a stream
        must be whole frames. Raises ValueError for another shape, for an empty or a non-finite sound.
        """
        used = self.config.used_codebooks if codebooks is None else codebooks
        if not 1 <= used <= self.config.codebooks:
            raise ValueError(f"expected 1 to {self.config.codebooks} codebooks, got {used}")
        return self.quantizer.encode(self.encode_latent(self._check(wav, state), state), used)

    def decode(self, codes: Tensor, state: MimiState | None = None) -> Tensor:
        """Codes (B, 1 to Q, F) int64 -> sound (B, 1, F * 1920). Raises ValueError for other codes."""
        fits = codes.dim() == 3 and 1 <= codes.shape[1] <= self.config.codebooks and codes.numel() > 0
        if not fits or codes.is_floating_point():
            raise ValueError(
                f"expected integer codes (B, 1 to {self.config.codebooks}, F > 0), "
                f"got {codes.dtype} {tuple(codes.shape)}"
            )
        if codes.min() < 0 or codes.max() >= self.config.entries:
            raise ValueError(
                f"codes must lie in 0 to {self.config.entries - 1}, got {codes.min()} to {codes.max()}"
            )
        return self.decode_latent(self.quantizer.decode(codes), state)

    def forward(self, wav: Tensor) -> Tensor:
        """Sound (B, 1, T) -> what is left of it after 1.1 kbps, cut to the same length."""
        return self.decode(self.encode(wav))[..., : wav.shape[-1]]

    def encode_latent(self, wav: Tensor, state: MimiState | None = None) -> Tensor:
        """Sound (B, 1, F * 1920) -> what the quantizer sees, (B, D, F)."""
        latent = self.encoder(wav, state and state.encoder)  # (B, D, 2 * F), 25 Hz
        latent = self.encoder_transformer(latent.transpose(1, 2), state and state.encoder_transformer)
        return self.downsample(latent.transpose(1, 2), state and state.downsample)

    def decode_latent(self, latent: Tensor, state: MimiState | None = None) -> Tensor:
        """Latent (B, D, F) -> sound (B, 1, F * 1920)."""
        latent = self.upsample(latent, state and state.upsample)  # (B, D, 2 * F), 25 Hz
        latent = self.decoder_transformer(latent.transpose(1, 2), state and state.decoder_transformer)
        return self.decoder(latent.transpose(1, 2), state and state.decoder)

    def _check(self, wav: Tensor, state: MimiState | None) -> Tensor:
        """The sound, if it is one, padded to whole frames where that is allowed."""
        size = self.config.frame_size
        if wav.dim() != 3 or wav.shape[1] != 1 or not wav.is_floating_point():
            raise ValueError(
                f"expected a mono sound (B, 1, T) of floats at {self.config.sample_rate} Hz, "
                f"got {wav.dtype} {tuple(wav.shape)}"
            )
        if wav.shape[-1] == 0:
            raise ValueError("expected a sound, got one without samples")
        if not torch.isfinite(wav).all():
            raise ValueError("the sound has samples that are NaN or infinite; repair the recording first")
        missing = -wav.shape[-1] % size
        if missing and state is not None:
            raise ValueError(
                f"a stream takes whole frames of {size} samples, got {wav.shape[-1]}; "
                "collect samples until a frame is full"
            )
        return F.pad(wav, (0, missing))
