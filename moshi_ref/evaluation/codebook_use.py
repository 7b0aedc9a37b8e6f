"""What the codebooks of a codec are used for, and what the codec costs.

    use            how many entries occur, and how evenly: entropy and perplexity
    bitrate        what the codes cost nominally, and what they carry
    idempotence    whether a sound that has been through the codec keeps its codes (Moshi paper, Table 16)
    look-ahead     whether anything depends on what has not been heard yet
    speed          milliseconds and share of real time for a frame

Shapes: B batch, T samples, Q codebooks, F frames, V entries.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..mimi import Mimi
from .speed import take_turns


@dataclass(frozen=True)
class CodebookUse:
    """used: share of the entries that occur; bits: entropy of a code; perplexity: 2 to the power of it, the number of
    entries that would be as uncertain if they were used evenly."""

    used: float
    bits: float
    perplexity: float


def codebook_use(codes: Tensor, entries: int) -> list[CodebookUse]:
    """For each codebook, over all frames of codes (Q, F).

    F frames show F entries and log2 F bits at most, so a share or an entropy of few frames is too low: take many more
    frames than there are entries.
    """
    if codes.ndim != 2 or codes.shape[1] == 0 or codes.is_floating_point():
        raise ValueError(f"expected integer codes (Q, F) with F > 0, got {codes.dtype} {tuple(codes.shape)}")
    if codes.min() < 0 or codes.max() >= entries:
        raise ValueError(f"codes must lie in 0 to {entries - 1}, got {codes.min()} to {codes.max()}")
    uses = []
    for level in codes:
        share = torch.bincount(level, minlength=entries).double() / len(level)  # (V,)
        bits = torch.special.entr(share).sum().item() / torch.log(torch.tensor(2.0)).item()
        uses.append(CodebookUse((share > 0).double().mean().item(), bits, 2**bits))
    return uses


def effective_bitrate(uses: list[CodebookUse], frame_rate: float) -> float:
    """Bits a second that the codes carry: what an ideal code of each codebook by itself would need. Whoever also
    predicted a frame from the last one, or a codebook from another, would need less still."""
    return frame_rate * sum(use.bits for use in uses)


@torch.inference_mode()
def idempotence(mimi: Mimi, wav: Tensor, codebooks: int) -> Tensor:
    """Share of codes (Q,) that stay when the sound (B, 1, T) is coded, decoded, and coded again."""
    codes = mimi.encode(wav, codebooks=codebooks)  # (B, Q, F)
    again = mimi.encode(mimi.decode(codes), codebooks=codebooks)
    return (codes == again).double().mean((0, 2))


@torch.inference_mode()
def look_ahead(mimi: Mimi, wav: Tensor) -> dict[str, int]:
    """How far into the future the codec looks beyond the present frame: in frames for the encoder, in samples for the
    decoder. 0 if it is causal; then its latency is a frame, because a frame must be heard before it can be coded.

    The second half of the sound (1, 1, F * 1920) is replaced by noise: what changes before it had seen it.
    """
    latent = mimi.encode_latent(wav)  # (1, D, F)
    middle = latent.shape[-1] // 2
    if middle == 0:
        raise ValueError("expected a sound of two frames or more")
    noise = 0.1 * torch.randn_like(wav)
    start = middle * mimi.config.frame_size
    other = mimi.encode_latent(torch.cat([wav[..., :start], noise[..., start:]], -1))
    encoder = first_change(latent[0], other[0], middle)
    changed = torch.cat([latent[..., :middle], latent.flip(-1)[..., middle:] + latent.std()], -1)
    decoder = first_change(mimi.decode_latent(latent)[0], mimi.decode_latent(changed)[0], start)
    return {"encoder, frames": encoder, "decoder, samples": decoder}


def first_change(one: Tensor, other: Tensor, here: int) -> int:
    """How many steps before `here` two sequences (C, L) begin to differ by more than rounding; 0 if they do not."""
    differ = ((one - other).abs() > 1e-4 * one.std()).any(0)[:here].nonzero()  # (changes, 1)
    return here - int(differ[0]) if len(differ) else 0


def frame_times(mimi: Mimi, frames: int = 50) -> dict[str, dict[str, float]]:
    """What a frame of a stream takes to encode and to decode on this machine: median and 95th percentile in ms, and
    the real-time factor, the median as a share of the frame's duration."""
    size = mimi.config.frame_size
    frame, state = 0.1 * torch.randn(1, 1, size), mimi.initial_state(1)
    codes = torch.randint(mimi.config.entries, (1, mimi.config.used_codebooks, 1))
    turns = {"encode": lambda: mimi.encode(frame, state), "decode": lambda: mimi.decode(codes, state)}
    times = {}
    for name, turn in turns.items():
        taken = take_turns({"moshi_ref": turn}, frames)["moshi_ref"]
        times[name] = {"median_ms": taken["median_ms"], "p95_ms": taken["p95_ms"],
                       "real_time_factor": round(taken["median_ms"] / 1000 * mimi.config.frame_rate, 4)}  # fmt: skip
    return times
