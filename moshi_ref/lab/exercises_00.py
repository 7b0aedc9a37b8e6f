"""The checkers of notebook 00: frames, delays, response time."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..delays import delay
from .exercises import Verdict, expect, judge


def check_split_frames(split_frames: Callable[[Tensor, int], Tensor]) -> Verdict:
    """split_frames(wav (T,), size) -> (F, 1, 1, size)."""
    cases = ((5, 5), (6, 5), (9, 5), (10, 5), (1, 5), (4000, 1920))
    return judge(
        lambda: [_try_frames(split_frames, *case) for case in cases],
        "every sample arrives, in order, in whole frames.",
        (
            "How many samples are missing to the next multiple of <code>size</code>? For 6 samples and frames of 5 "
            "it is 4; for 10 samples it is 0.",
            "In Python, <code>-T % size</code> is exactly this number. "
            "<code>torch.nn.functional.pad(wav, (0, n))</code> adds n zeros at the end.",
            "Then one <code>view(-1, 1, 1, size)</code> cuts the padded sound: -1 lets PyTorch count the frames.",
        ),
    )


def _try_frames(split_frames, length: int, size: int) -> None:
    wav, count = torch.arange(1.0, length + 1), -(-length // size)
    frames = split_frames(wav.clone(), size)
    case = f"for {length} samples and frames of {size}"
    expect(isinstance(frames, Tensor), f"{case}, expected a tensor, got {type(frames).__name__}.")
    expect(
        frames.numel() >= length,
        f"{case}, only {frames.numel()} samples came back: the last word would lose its end. A frame that is not "
        "full must be filled up, not dropped.",
    )
    expect(
        frames.numel() <= count * size,
        f"{case}, {frames.numel() // size} frames came back, but {count} are enough. When the last frame is full "
        "already, nothing is missing: look at what T % size gives then.",
    )
    expect(
        tuple(frames.shape) == (count, 1, 1, size),
        f"{case}, expected the shape {(count, 1, 1, size)} (frames, batch, channels, samples), got "
        f"{tuple(frames.shape)}.",
    )
    flat = frames.flatten()
    expect(
        bool((flat[:length] == wav).all()),
        f"{case}, the samples are not where they were: the first one should be first, and zeros come last, because "
        "silence before the sound would delay it.",
    )
    expect(bool((flat[length:] == 0).all()), f"{case}, the rest of the last frame should be zeros (silence).")


def check_line_up(line_up: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Verdict:
    """line_up(columns (K, F), delays) -> (K, F - longest delay)."""
    cases = ((0, 0, 1), (0, 1, 1), (0, 2, 1), (1, 0, 3), (0, 0, 0))
    return judge(
        lambda: [_try_line_up(line_up, delays) for delays in cases],
        "all streams of a frame stand in one column again.",
        (
            "Write the columns of two streams with delays 0 and 1 on paper: <code>a0 a1 a2</code> above "
            "<code>. b0 b1</code>. In which column is <code>b0</code>? How many complete pairs are there?",
            "Stream k loses its first <code>delays[k]</code> columns. All rows must then have the same length: "
            "F minus the longest delay.",
            "For each stream: <code>columns[k, d : d + frames]</code> with <code>d = delays[k]</code> and "
            "<code>frames = F - max(delays)</code>; then <code>torch.stack</code> the rows.",
        ),
    )


def _try_line_up(line_up, delays: tuple[int, ...]) -> None:
    grid = torch.arange(3 * 9).view(3, 9)
    got = line_up(delay(grid[None], delays, (-1, -1, -1))[0], delays)
    case, frames = f"with delays {delays}", 9 - max(delays)
    expect(isinstance(got, Tensor), f"{case}, expected a tensor, got {type(got).__name__}.")
    expect(
        got.dim() == 2 and got.shape[0] == 3,
        f"{case}, expected one row for each of the 3 streams, got the shape {tuple(got.shape)}.",
    )
    expect(
        got.shape[1] == frames,
        f"{case}, 9 columns hold {frames} complete frames, but {got.shape[1]} came back. A frame is complete when "
        "its most delayed token has arrived.",
    )
    expect(
        not bool((got == -1).any()),
        f"{case}, initial tokens (-1) are left in the frames. A stream with delay d holds the token of frame f in "
        "column f + d, so read later columns, not earlier ones.",
    )
    for stream in range(3):
        expect(
            torch.equal(got[stream], grid[stream, :frames]),
            f"{case}, stream {stream} is not lined up. A stream with delay d holds the token of frame f in column "
            "f + d.",
        )


def check_response_time(response_time: Callable[[Tensor, Tensor, int], float | None]) -> Verdict:
    """response_time(user (T,), moshi (T,), rate) -> seconds, or None if Moshi says nothing."""
    cases = ((8000, (0.5, 1.5), (2.0, 3.0)), (24000, (0.2, 1.0), (1.4, 2.0)), (8000, (0.5, 2.0), (1.5, 3.0)))

    def test():
        for case in cases:
            _try_response_time(response_time, *case)
        got = response_time(_speech(0.5, 1.0, 8000), _speech(0, 0, 8000), 8000)
        expect(got is None, f"Moshi made only a quiet noise, so the result should be None, but {got} came back.")

    return judge(
        test,
        "you can measure who waits for whom.",
        (
            "Speech is what is louder than the noise: look at <code>wav.abs() &gt; 0.02</code>, one True or False "
            "for each sample. The noise of a quiet room stays below that.",
            "<code>torch.nonzero(loud)[:, 0]</code> lists the positions of the loud samples. You need the last "
            "position of the user and the first one of Moshi, and a case for an empty list.",
            "<code>(first - last) / rate</code>, with <code>.item()</code> to make it a plain number.",
        ),
    )


def _speech(start: float, end: float, rate: int) -> Tensor:
    """Four seconds of quiet noise, with a loud tone from `start` to `end`."""
    wav = 0.005 * (2 * torch.rand(4 * rate, generator=torch.Generator().manual_seed(0)) - 1)
    wav[round(start * rate) : round(end * rate)] = 0.3
    return wav


def _try_response_time(response_time, rate: int, user: tuple, moshi: tuple) -> None:
    got = response_time(_speech(*user, rate), _speech(*moshi, rate), rate)
    case = f"the user speaks until {user[1]} s and Moshi from {moshi[0]} s, at {rate} samples a second"
    expect(got is not None, f"{case}: that is an answer, but None came back.")
    got, right = float(got), moshi[0] - user[1]
    expect(abs(got) < 100, f"{case}: got {got:.0f}. That looks like samples; divide by the rate to get seconds.")
    expect(
        right > 0 or got < 0,
        f"{case}: Moshi interrupts, so the time is negative, but {got:.2f} came back.",
    )
    expect(
        abs(got - right) < 0.01,
        f"{case}: that is {right:.2f} s, but {got:.2f} came back. Measure from the user's last loud sample to Moshi's "
        "first one, and do not mistake the quiet noise for speech.",
    )
