"""How codebooks are learnt: k-means to start, moving averages, revival of unused entries.

Nearest-neighbour choice has no gradient. So the entries follow the vectors that choose them by moving
averages (van den Oord et al. 2017), and the encoder gets its gradient as if quantization were not there
(straight-through), plus a commitment loss that pulls it towards the entries (Moshi paper, section 3.3).

Shapes: B batch, F frames, D latent width, C entry width, V entries, N = B * F vectors.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..rvq import ResidualVectorQuantizer, SplitResidualVectorQuantizer, VectorQuantizer
from .distribution import gather

DECAY = 0.99  # of the moving averages
DEAD = 0.1  # an entry used less than this share of the mean is replaced


@torch.no_grad()
def kmeans(vectors: Tensor, count: int, iterations: int = 20) -> tuple[Tensor, Tensor]:
    """Centres (count, C) and the number of vectors nearest to each, from vectors (N, C)."""
    centres = vectors[torch.randint(len(vectors), (count,), device=vectors.device)]
    for _ in range(iterations):
        nearest = torch.cdist(vectors, centres).argmin(1)  # (N,)
        sizes = torch.bincount(nearest, minlength=count).to(vectors.dtype)  # (count,)
        sums = torch.zeros_like(centres).index_add_(0, nearest, vectors)
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
    return centres, sizes


@torch.no_grad()
def update(quantizer: VectorQuantizer, vectors: Tensor, codes: Tensor) -> None:
    """Move the entries towards the vectors (N, C) that chose them with codes (N,); revive dead ones."""
    count = len(quantizer.usage)
    chosen = torch.bincount(codes, minlength=count).to(vectors.dtype)  # (V,)
    sums = torch.zeros_like(quantizer.sums).index_add_(0, codes, vectors)
    quantizer.usage.lerp_(chosen, 1 - DECAY)
    quantizer.sums.lerp_(sums, 1 - DECAY)
    share = quantizer.usage.sum() / count
    dead = quantizer.usage < DEAD * share  # (V,)
    strangers = vectors[torch.randint(len(vectors), (count,), device=vectors.device)]
    quantizer.usage.copy_(torch.where(dead, share, quantizer.usage))
    quantizer.sums.copy_(torch.where(dead[:, None], strangers * share, quantizer.sums))


@torch.no_grad()
def start(quantizer: VectorQuantizer, vectors: Tensor) -> None:
    """Start the codebook from k-means over vectors (N, C)."""
    centres, sizes = kmeans(vectors, len(quantizer.usage))
    sizes = sizes.clamp(min=1)
    quantizer.usage.copy_(sizes)
    quantizer.sums.copy_(centres * sizes[:, None])
    quantizer.initialized.fill_(1)


def quantize(stack: ResidualVectorQuantizer, latent: Tensor, used: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize in training. Row b of latent (B, D, F) uses its first used[b] codebooks only (quantizer
    dropout), while all of them learn. Returns the latent (B, D, F) after quantization with the
    straight-through gradient, the commitment loss, and the codes (B, Q, F)."""
    x = stack.input_proj(latent).transpose(1, 2)  # (B, F, C)
    residual, total, commitment, codes = x, torch.zeros_like(x), x.new_zeros(()), []
    for level, quantizer in enumerate(stack.codebooks):
        vectors = gather(residual.detach()).flatten(0, 1)  # (N, C), of all processes
        if quantizer.initialized == 0:
            start(quantizer, vectors)
        code = quantizer.encode(residual.detach())  # (B, F)
        entry = quantizer.decode(code)  # (B, F, C)
        commitment = commitment + F.mse_loss(residual, entry)
        total = total + entry * (level < used)[:, None, None]
        residual = residual - entry
        codes.append(code)
        update(quantizer, vectors, gather(code).flatten())
    out = stack.output_proj(straight_through(x, total).transpose(1, 2))
    return out, commitment / len(stack.codebooks), torch.stack(codes, 1)


def straight_through(x: Tensor, quantized: Tensor) -> Tensor:
    """Forward: quantized. Backward: as if it were x."""
    return x + (quantized - x).detach()


def quantize_split(split: SplitResidualVectorQuantizer, latent: Tensor, used: Tensor):
    """The same for both halves. Returns the whole latent, its semantic part, the commitment loss, codes."""
    semantic, c1, code1 = quantize(split.semantic, latent, torch.ones_like(used))
    acoustic, c2, code2 = quantize(split.acoustic, latent, used - 1)
    levels = code2.shape[1]
    commitment = (c1 + levels * c2) / (1 + levels)
    return semantic + acoustic, semantic, commitment, torch.cat([code1, code2], 1)


def quantize_plain(stack: ResidualVectorQuantizer, latent: Tensor, used: Tensor):
    """The same without the split: the semantic part is what the first codebook of the one stack makes alone."""
    whole, commitment, codes = quantize(stack, latent, used)
    x = stack.input_proj(latent).transpose(1, 2)  # (B, F, C)
    semantic = stack.output_proj(straight_through(x, stack.codebooks[0].decode(codes[:, 0])).transpose(1, 2))
    return whole, semantic, commitment, codes
