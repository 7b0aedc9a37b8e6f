"""The checkers of notebook 05: who may see whom, look-ahead, chunks from a microphone, codes as bytes."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..mimi import Mimi, MimiConfig
from ..seanet import SEANetConfig
from ..transformer import TransformerConfig
from .exercises import Verdict, expect, judge

Encode = Callable[[Tensor], Tensor]  # sound (1, 1, F * size) -> one vector a frame, (1, C, F)


def check_visible(visible: Callable[[int, int], Tensor]) -> Verdict:
    """visible(steps, context) -> (steps, steps) bool: may the query (row) see the key (column)?"""
    return judge(
        lambda: [_try_visible(visible, *case) for case in ((6, 3), (5, 1), (4, 9), (8, 8))],
        "each step sees itself and the context - 1 steps before it.",
        (
            "Number the steps. How far is the key of column s behind the query of row t? The answer to the exercise is "
            "a condition on this distance alone.",
            "With <code>step = torch.arange(steps)</code>, <code>step[:, None] - step</code> is the table of all "
            "distances: query minus key. The future has negative ones.",
            "<code>distance = step[:, None] - step</code>, and then <code>(distance >= 0) & (distance < context)"
            "</code>.",
        ),
    )


def _try_visible(visible, steps: int, context: int) -> None:
    case = f"with {steps} steps and a context of {context}"
    right = torch.tensor([[0 <= query - key < context for key in range(steps)] for query in range(steps)])
    got = visible(steps, context)
    expect(isinstance(got, Tensor), f"{case}, expected a tensor, got {type(got).__name__}.")
    expect(tuple(got.shape) == (steps, steps), f"{case}, expected {(steps, steps)}, got {tuple(got.shape)}.")
    expect(got.dtype == torch.bool, f"{case}, expected True and False, got {got.dtype}.")
    expect(
        steps == 1 or not got.triu(1).any(),
        f"{case}, a step sees later steps. In a stream they are not there yet.",
    )
    expect(bool(got.diagonal().all()), f"{case}, a step must see itself.")
    seen, allowed = int(got.sum(1).max()), min(steps, context)
    expect(seen <= allowed, f"{case}, a step sees {seen} steps; the context counts the step itself.")
    expect(torch.equal(got, right), f"{case}, a step sees too little of its past: up to {context - 1} steps before it.")


def check_look_ahead(look_ahead: Callable[[Encode, Tensor, int], int]) -> Verdict:
    """look_ahead(encode, sound (1, 1, F * size), size) -> frames of the future that a vector depends on."""
    return judge(
        lambda: [_try_look_ahead(look_ahead, *case) for case in ((0, 4), (0, 0), (1, 0), (3, 2), (2, 9))],
        "whoever changes the future and looks at the past finds every leak.",
        (
            "You need two sounds that are the same up to the border of a frame, and different from there on. What do "
            "the vectors before the border know of the difference, if the encoder is causal?",
            "Take the border in the middle: frame m. Change all samples from <code>m * size</code> on, encode both "
            "sounds, and find the first frame in which the vectors differ.",
            "<code>moved = (one - other).abs().amax(1)[0] > 1e-6</code> says it for each frame, and <code>first = "
            "int(moved.nonzero()[0])</code>. If nothing looks ahead, first is m. The result is <code>m - first</code>.",
        ),
    )


def _try_look_ahead(look_ahead, ahead: int, behind: int) -> None:
    size = 5

    def encode(sound: Tensor) -> Tensor:
        """A vector sees its own frame, `behind` frames before it and `ahead` frames after it."""
        frames = sound.view(1, -1, size).transpose(1, 2)  # (1, size, F)
        return F.avg_pool1d(F.pad(frames, (behind, ahead)), behind + 1 + ahead, stride=1)

    sound = torch.randn(1, 1, 30 * size, generator=torch.Generator().manual_seed(ahead))
    given = sound.clone()
    got = look_ahead(encode, given, size)
    case = f"an encoder that looks {behind} frames back and {ahead} ahead"
    expect(torch.equal(given, sound), "the sound that you were given has changed; work on a clone of it.")
    expect(isinstance(got, int), f"{case}: expected a whole number, got {type(got).__name__}; int(...) makes one.")
    expect(got != ahead + behind or not behind, f"{case}: got {got}, which counts the past as well. Only look before "
           "the border: what comes after it may differ.")  # fmt: skip
    expect(got >= 0, f"{case}: got {got}. The first vector that differs lies before the border, or at it.")
    expect(got != ahead + 1, f"{case}: got {got}, one too many. The frame of the border itself is the present.")
    expect(got == ahead, f"{case}: expected {ahead}, got {got}.")


def check_microphone(microphone: Callable[[Mimi, Iterable[Tensor]], Tensor]) -> Verdict:
    """microphone(mimi, chunks [(1, 1, any number of samples)]) -> codes (1, Q, F) of all of them."""
    return judge(
        lambda: _try_microphone(microphone),
        "chunks of any length go in, and the codes of the whole sound come out.",
        (
            "The codec wants 1920 samples at a time, and the microphone does not care. Keep what has arrived and is "
            "not yet a frame: it begins empty, and each chunk is appended to it.",
            "Inside the loop over the chunks a second loop is needed: while the waiting samples are a frame or more, "
            "take the first 1920 of them, encode them with the state, and keep the rest. One state serves all frames.",
            "At the end, some samples may be left. Fill them up with zeros, "
            "<code>torch.nn.functional.pad(rest, (0, 1920 - rest.shape[-1]))</code>, and encode this frame too. Then "
            "<code>torch.cat</code> the codes along the last axis.",
        ),
    )


def _small_mimi() -> Mimi:
    """Real frames, few channels, random weights; in double precision, so that no code hangs on rounding."""
    transformer = TransformerConfig(16, 2, 1, 32, 10, gated=False, layer_scale=1.0)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        mimi = Mimi(MimiConfig(SEANetConfig(16, 2), transformer, 3, 3, 32, 8))
    return mimi.double().requires_grad_(False)


def _try_microphone(microphone) -> None:
    mimi, dice = _small_mimi(), torch.Generator().manual_seed(1)
    size = mimi.config.frame_size
    for case, sizes in (
        ("chunks of exactly one frame", [size] * 4),
        ("chunks of 20 ms", [480] * 14),
        ("chunks of 50 and of 5000 samples", [50, 5000, 50, 5000]),
        ("a sound of 100 samples", [100]),
    ):
        sound = torch.randn(1, 1, sum(sizes), generator=dice, dtype=torch.float64)
        right = mimi.encode(sound)
        got = microphone(mimi, list(sound.split(sizes, dim=-1)))
        expect(isinstance(got, Tensor), f"{case}: expected codes (1, Q, F), got {type(got).__name__}.")
        frames = right.shape[-1]
        expect(
            got.shape[-1] != sum(sizes) // size or sum(sizes) % size == 0,
            f"{case}: {sum(sizes) % size} samples are left at the end and never encoded; fill them up with zeros.",
        )
        expect(
            got.shape == right.shape,
            f"{case}: {sum(sizes)} samples make {frames} frames, expected codes {tuple(right.shape)}, got "
            f"{tuple(got.shape)}. Encode a frame as soon as 1920 samples wait, and not before.",
        )
        alone = torch.cat([mimi.encode(piece) for piece in sound.split(size, dim=-1)], dim=-1)
        expect(
            torch.equal(got, right) or not torch.equal(got, alone),
            f"{case}: the codes are those of frames that know nothing of each other. Make one state before the loop, "
            "and pass it each time.",
        )
        expect(torch.equal(got, right), f"{case}: the codes are not those of the whole sound. Is the order of the "
               "samples kept, and none lost or used twice?")  # fmt: skip


def check_pack(pack: Callable[[Tensor, int], bytes]) -> Verdict:
    """pack(codes (Q, F), bits) -> bytes: all codes of a frame after each other, highest bit first."""
    return judge(
        lambda: [_try_pack(pack, *case) for case in ((2, 3, 9), (1, 1, 8), (8, 25, 11), (3, 1, 1))],
        "now the rate on the page is the size of a file.",
        (
            "First bring the codes into the order in which they are sent: all of the first frame, then all of the "
            "second. Then write each as `bits` zeros and ones, and cut the long row into eights.",
            "<code>codes.T.flatten()</code> is the order. Bit number i of a code is <code>(code >> i) & 1</code>; the "
            "highest one is i = bits - 1. Fill the row up with zeros to a multiple of eight.",
            "<code>row = (codes.T.flatten()[:, None] >> torch.arange(bits - 1, -1, -1)) & 1</code>, then "
            "<code>.flatten()</code>, pad, <code>.view(-1, 8)</code>, multiply by 128, 64, ..., 1 and add up; "
            "<code>bytes(numbers.tolist())</code>.",
        ),
    )


def _try_pack(pack, codebooks: int, frames: int, bits: int) -> None:
    codes = torch.randint(2**bits, (codebooks, frames), generator=torch.Generator().manual_seed(bits))
    text = "".join(f"{code:0{bits}b}" for code in codes.T.flatten().tolist())
    text += "0" * (-len(text) % 8)
    right = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
    case = f"{frames} frames of {codebooks} codes of {bits} bits"
    got = pack(codes.clone(), bits)
    expect(isinstance(got, bytes), f"{case}: expected bytes, got {type(got).__name__}.")
    expect(
        len(got) == len(right),
        f"{case}: {codebooks * frames * bits} bits fit into {len(right)} bytes, got {len(got)}. A code takes {bits} "
        "bits, not a byte or two of its own.",
    )
    other = "".join(f"{code:0{bits}b}" for code in codes.flatten().tolist())
    other += "0" * (-len(other) % 8)
    expect(
        got == right or got != bytes(int(other[i : i + 8], 2) for i in range(0, len(other), 8)),
        f"{case}: sent codebook after codebook. A listener needs all codes of a frame before it can decode the frame, "
        "so send frame after frame.",
    )
    expect(got == right, f"{case}: the size is right, the bits are not. Is the highest bit of each code first, and are "
           "the zeros that fill the last byte at its end?")  # fmt: skip
