"""The checkers of notebook 09: undo a delay, what a token may see, a mean over what is known, the complete frame."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..delays import delay, known, undelay
from .exercises import Verdict, expect, judge


def check_undo_delay(undo_delay: Callable[[Tensor, Sequence[int], int], Tensor]) -> Verdict:
    """undo_delay(delayed (B, K, F), delays, fill) -> (B, K, F), the codes in their frames again."""
    return judge(
        lambda: [_try_undo_delay(undo_delay, delays, frames) for delays, frames in (
            ((0, 1, 1), 6), ((0, 2, 1), 5), ((0, 0), 4), ((3, 0), 3), ((0, 5), 3))],
        "every stream moves back by its own delay, and what is not known is marked.",
        (
            "Stream k was moved to the right by delays[k] frames. Move it to the left by as many. Which frames are "
            "then without a token?",
            "Fill everything first: <code>out = torch.full_like(delayed, fill)</code>. Then write for each stream what "
            "is known; it has F - d frames, and none if d is larger than F.",
            "<code>for k, d in enumerate(delays):</code> <code>kept = max(0, F - d)</code> and "
            "<code>out[:, k, :kept] = delayed[:, k, d : d + kept]</code>.",
        ),
    )  # fmt: skip


def _try_undo_delay(undo_delay, delays: tuple[int, ...], frames: int) -> None:
    streams, fill = len(delays), -7
    codes = torch.arange(2 * streams * frames).view(2, streams, frames)
    delayed = delay(codes, delays, [1000 + k for k in range(streams)])
    given, right = delayed.clone(), undelay(delayed, delays, fill)
    got = undo_delay(given, delays, fill)
    case = f"with delays {delays} and {frames} frames"
    expect(torch.equal(given, delayed), f"{case}, the tokens that you were given have changed; make new ones.")
    expect(isinstance(got, Tensor), f"{case}, expected a tensor, got {type(got).__name__}.")
    expect(got.shape == right.shape, f"{case}, expected {tuple(right.shape)}, got {tuple(got.shape)}.")
    if not torch.equal(got, right):
        twice = delay(delayed, delays, [fill] * streams)
        expect(not torch.equal(got, twice), f"{case}, the streams were moved to the right once more; move them back.")
        expect(not (got >= 1000).any(), f"{case}, there are initial tokens (1000 and more) in the result; they belong "
               "to no frame. A roll brings them round to the end.")  # fmt: skip
        expect((got == fill).sum() >= (right == fill).sum(), f"{case}, the last frames of a delayed stream fell off "
               f"the end: they must hold fill, which is {fill}.")  # fmt: skip
        expect(False, f"{case}, expected {right[0].tolist()} in row 0, got {got[0].tolist()}.")


def check_may_see(may_see: Callable[[Sequence[int], int, int, int], Tensor]) -> Verdict:
    """may_see(delays, frames, stream, frame) -> (K, F) bool: which tokens the prediction of that token sees."""
    return judge(
        lambda: [_try_may_see(may_see, *case) for case in (
            ((0, 0, 0), 5, 1, 2), ((0, 1, 1), 5, 1, 2), ((0, 1, 1), 5, 0, 2), ((0, 2, 2), 7, 1, 3),
            ((0, 1, 2, 3), 8, 2, 3), ((0, 1, 1), 4, 2, 0))],
        "everything in earlier columns, and what is above in its own column.",
        (
            "Think in columns, not in frames. In which column does the token of stream k and frame f stand, if the "
            "stream has delay d?",
            "It stands in column f + d. The prediction sees all tokens in columns before its own, and in its own "
            "column those of earlier streams. It does not see itself.",
            "With <code>column = torch.arange(frames) + torch.tensor(delays)[:, None]</code>, (K, F), and <code>own = "
            "frame + delays[stream]</code>: <code>(column &lt; own) | (column == own) &amp; "
            "(torch.arange(len(delays))[:, None] &lt; stream)</code>.",
        ),
    )  # fmt: skip


def visible_tokens(delays: Sequence[int], frames: int, stream: int, frame: int) -> Tensor:
    """The rule: (K, F) bool, token by token."""
    own = frame + delays[stream]
    seen = [[(f + d, k) < (own, stream) for f in range(frames)] for k, d in enumerate(delays)]
    return torch.tensor(seen)


def _try_may_see(may_see, delays: tuple[int, ...], frames: int, stream: int, frame: int) -> None:
    got, right = may_see(delays, frames, stream, frame), visible_tokens(delays, frames, stream, frame)
    case = f"delays {delays}, stream {stream}, frame {frame}"
    expect(isinstance(got, Tensor) and got.dtype == torch.bool, f"{case}: expected a tensor of bool.")
    expect(got.shape == right.shape, f"{case}: expected (K, F) = {tuple(right.shape)}, got {tuple(got.shape)}.")
    expect(not got[stream, frame], f"{case}: the token sees itself. That is a leak: it would predict what it is given.")
    undelayed = visible_tokens((0,) * len(delays), frames, stream, frame)
    expect(
        torch.equal(right, undelayed) or not torch.equal(got, undelayed),
        f"{case}: this would be right without a delay. A delayed token stands in a later column.",
    )
    own = torch.tensor(delays)[:, None] + torch.arange(frames) == frame + delays[stream]
    own &= torch.arange(len(delays))[:, None] < stream
    expect(
        not own.any() or bool(got[own].any()),
        f"{case}: the Depth Transformer is missing. What stands above in the same column is seen, too.",
    )
    wrong = (got != right).nonzero()
    if len(wrong):
        k, f = wrong[0].tolist()
        told = "is seen, and you say that it is not" if right[k, f] else "is not seen, and you say that it is"
        expect(False, f"{case}: the token of stream {k} in frame {f} stands in column {f + delays[k]}; it {told}.")


def check_mean_bits(mean_bits: Callable[[Tensor, Sequence[int]], float]) -> Verdict:
    """mean_bits(bits (B, K, F), NaN where a delay pushed a frame out, delays) -> the mean over what is known."""
    return judge(
        lambda: [_try_mean_bits(mean_bits, delays, frames) for delays, frames in (
            ((0, 0), 4), ((0, 1, 1), 5), ((0, 3), 8), ((0, 1, 2, 3), 6))],
        "frames that were pushed out are left out of the sum, and out of the count.",
        (
            "The last delays[k] frames of stream k are NaN. They must not enter the sum. And by what do you divide?",
            "NaN times 0 is NaN: a mask cannot be multiplied. Choose with it: <code>bits[:, mask]</code>.",
            "<code>frames = torch.arange(bits.shape[-1])</code>, <code>mask = frames &lt; bits.shape[-1] - "
            "torch.tensor(delays)[:, None]</code>, (K, F), and then <code>bits[:, mask].mean()</code>.",
        ),
    )  # fmt: skip


def _try_mean_bits(mean_bits, delays: tuple[int, ...], frames: int) -> None:
    mask = known(delays, frames)
    bits = 1 + torch.rand(3, len(delays), frames, generator=torch.Generator().manual_seed(frames))
    bits[:, ~mask] = math.nan
    got, right = float(mean_bits(bits.clone(), delays)), bits[:, mask].mean().item()
    case = f"delays {delays}, {frames} frames"
    expect(got == got, f"{case}: the result is NaN. A NaN stays in a sum, also when it is multiplied by 0.")
    short = bits.nansum().item() / bits.numel()
    expect(
        mask.all() or abs(got - short) > 1e-5,
        f"{case}: got {got:.3f}; the sum is right, but it was divided by all frames, also by those that do not count.",
    )
    common = bits[..., : frames - max(delays)].mean().item()
    expect(
        mask.all() or abs(got - common) > 1e-5,
        f"{case}: got {got:.3f}. Here the end was cut off from all streams; without a delay, a stream is known to its "
        "end.",
    )
    expect(abs(got - right) < 1e-4, f"{case}: expected {right:.4f}, got {got:.4f}.")


def check_complete_frame(complete_frame: Callable[[Tensor, Sequence[int]], Tensor]) -> Verdict:
    """complete_frame(window (K, W), the last W columns with the newest last, delays) -> (K,): the newest frame of which
    all tokens are there. W is the longest delay plus one."""
    return judge(
        lambda: [_try_complete_frame(complete_frame, delays) for delays in (
            (0, 1, 1), (0, 2, 2), (0, 1, 2, 3), (0, 0), (2, 0, 1))],
        "each stream is read where its delay has brought it: the longest delay in the newest column, no delay in the "
        "oldest.",
        (
            "Write down a window for delays (0, 2), with the number of the frame in each cell. Which frame is there in "
            "both rows?",
            "The stream with the longest delay has its token in the newest column, number W - 1. A stream without "
            "delay wrote its token of that frame long ago: it stands in column 0.",
            "Stream k is read at place delays[k]: <code>window[torch.arange(len(delays)), torch.tensor(delays)]"
            "</code>.",
        ),
    )  # fmt: skip


def _try_complete_frame(complete_frame, delays: tuple[int, ...]) -> None:
    longest, newest = max(delays), 40
    columns = torch.arange(newest - longest, newest + 1)  # (W,)
    frames = columns - torch.tensor(delays)[:, None]  # (K, W): the frame of each token
    window = 100 * torch.arange(len(delays))[:, None] + frames
    got = torch.as_tensor(complete_frame(window.clone(), delays))
    expect(got.shape == (len(delays),), f"delays {delays}: expected ({len(delays)},), got {tuple(got.shape)}.")
    numbers = (got - 100 * torch.arange(len(delays))).tolist()
    case = f"delays {delays}: your tokens belong to frames {numbers}"
    expect(
        longest == 0 or not torch.equal(got, window[:, -1]),
        f"{case}. This is the newest column: its tokens come from different frames.",
    )
    expect(len(set(numbers)) == 1, f"{case}; they must all belong to one frame.")
    expect(numbers[0] == newest - longest, f"{case}; the newest complete frame is {newest - longest}.")
