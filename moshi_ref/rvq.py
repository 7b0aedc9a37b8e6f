"""Residual vector quantization: from vectors to a few integers and back (Moshi paper, section 3.3.2).

    VectorQuantizer                 one codebook: the index of the nearest entry
    ResidualVectorQuantizer         several: each quantizes what the one before left over
    SplitResidualVectorQuantizer    Mimi's: one semantic codebook beside a residual stack of acoustic ones

How codebooks are learnt is in `training/codebooks.py`; here they are only used.

Shapes: B batch, F frames, D width of the latent, C width of a codebook entry, V entries, Q codebooks.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .fast_layouts import Kept, in_parts, product


class VectorQuantizer(nn.Module):
    """One codebook of V entries of width C.

    An entry is stored as the running sum of the vectors that chose it and the running count of them,
    because this is what the moving averages of its training update; their quotient is the entry.
    """

    def __init__(self, entries: int, width: int):
        super().__init__()
        self.register_buffer("initialized", torch.zeros(1))
        self.register_buffer("usage", torch.ones(entries))  # (V,)
        self.register_buffer("sums", torch.randn(entries, width))  # (V, C)
        self.kept = Kept(codebook)

    @property
    def entries(self) -> Tensor:
        """The codebook, (V, C)."""
        return self.kept(self.sums, self.usage)[0]

    def encode(self, x: Tensor) -> Tensor:
        """x (B, F, C) -> index of the nearest entry (B, F) int64, by Euclidean distance."""
        entries, half_square = self.kept(self.sums, self.usage)
        # |x - e|^2 / 2 = |x|^2 / 2 + |e|^2 / 2 - x e, of which the first is the same for all entries
        rows = x.to(entries.dtype).flatten(0, 1)  # (B * F, C)
        return (half_square - product(rows, in_parts(entries))).argmin(-1).view(x.shape[:2])

    def decode(self, codes: Tensor) -> Tensor:
        """codes (B, F) -> entries (B, F, C)."""
        return F.embedding(codes, self.entries).to(self.sums.dtype)


def codebook(sums: Tensor, usage: Tensor) -> tuple[Tensor, Tensor]:
    """The entries (V, C) and half the squares of their lengths (V,). At least float32, because squares cancel."""
    exact = torch.promote_types(sums.dtype, torch.float32)
    entries = sums.to(exact) / usage.to(exact).clamp(min=1e-5)[:, None]
    return entries, entries.square().sum(-1) / 2


class ResidualVectorQuantizer(nn.Module):
    """Q codebooks in a row between two linear projections: (B, D, F) <-> codes (B, Q, F)."""

    def __init__(self, dim: int, width: int, codebooks: int, entries: int):
        super().__init__()
        self.input_proj = nn.Conv1d(dim, width, 1, bias=False)
        self.output_proj = nn.Conv1d(width, dim, 1, bias=False)
        self.codebooks = nn.ModuleList(VectorQuantizer(entries, width) for _ in range(codebooks))

    def encode(self, latent: Tensor, codebooks: int) -> Tensor:
        """Latent (B, D, F) -> codes (B, codebooks, F), with only the first `codebooks` codebooks."""
        residual = F.linear(latent.transpose(1, 2), self.input_proj.weight[:, :, 0])  # (B, F, C)
        codes = []
        for quantizer in self.codebooks[:codebooks]:
            codes.append(quantizer.encode(residual))
            residual = residual - quantizer.decode(codes[-1])
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, any number up to Q, F) -> latent (B, D, F): the sum of the entries, projected."""
        chosen = [q.decode(c) for q, c in zip(self.codebooks, codes.unbind(1), strict=False)]
        return F.linear(sum(chosen), self.output_proj.weight[:, :, 0]).transpose(1, 2)


class SplitResidualVectorQuantizer(nn.Module):
    """One semantic codebook and Q - 1 acoustic ones, side by side.

    Both halves quantize the same latent, and their outputs are added. So the semantic codebook need
    not serve the sound, and may be taught what is being said; the acoustic ones carry the sound.
    """

    def __init__(self, dim: int, width: int, codebooks: int, entries: int):
        super().__init__()
        self.entries = entries
        self.semantic = ResidualVectorQuantizer(dim, width, 1, entries)
        self.acoustic = ResidualVectorQuantizer(dim, width, codebooks - 1, entries)

    def encode(self, latent: Tensor, codebooks: int) -> Tensor:
        """Latent (B, D, F) -> codes (B, codebooks, F) int64; index 0 is the semantic one."""
        semantic = self.semantic.encode(latent, 1)
        if codebooks == 1:
            return semantic
        return torch.cat([semantic, self.acoustic.encode(latent, codebooks - 1)], dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, 1 to Q, F) -> latent (B, D, F)."""
        latent = self.semantic.decode(codes[:, :1])
        return latent if codes.shape[1] == 1 else latent + self.acoustic.decode(codes[:, 1:])
