"""The checkers of notebook 03: aliases, a dilated convolution in a stream, overlap-add in a stream."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .exercises import Verdict, expect, judge


def check_alias(alias: Callable[[float, float], float]) -> Verdict:
    """alias(frequency, rate) -> the frequency that is heard, 0 to rate / 2."""
    cases = ((1000, 8000), (4000, 8000), (5000, 8000), (7999, 8000), (8000, 8000), (9000, 8000), (13_000, 8000),
             (5000, 4000), (11_000, 24_000), (47_500.5, 24_000))  # fmt: skip
    return judge(
        lambda: [_try_alias(alias, *case) for case in cases],
        "whatever the tone, you know what will be heard.",
        (
            "Sampled at <code>rate</code>, the tones f, f + rate, f + 2 rate, ... have the same samples. "
            "So begin with <code>frequency % rate</code>.",
            "What is left lies in 0 to rate. The cosines of f and of rate - f have the same samples too.",
            "The smaller one of <code>left</code> and <code>rate - left</code>.",
        ),
    )


def _try_alias(alias, frequency: float, rate: float) -> None:
    got = alias(frequency, rate)
    case = f"a tone of {frequency:g} Hz, sampled {rate:g} times a second"
    expect(isinstance(got, int | float), f"{case}: expected a number, got {type(got).__name__}.")
    expect(
        0 <= got <= rate / 2,
        f"{case}: {got:g} Hz came back, but {rate:g} samples a second hold only tones from 0 to {rate / 2:g} Hz.",
    )
    n = torch.arange(50, dtype=torch.float64)
    true, heard = (torch.cos(2 * torch.pi * tone * n / rate) for tone in (frequency, got))
    expect(
        bool((true - heard).abs().max() < 1e-6),
        f"{case}: {got:g} Hz came back, but the samples of that tone are others. Compare "
        "cos(2 pi f n / rate) for both, for n = 0, 1, 2.",
    )


def check_dilated_step(dilated_step: Callable[[Tensor, Tensor, int, Tensor], tuple[Tensor, Tensor]]) -> Verdict:
    """dilated_step(x (B, C_in, T), weight (C_out, C_in, K), dilation, past (B, C_in, (K - 1) * dilation))
    -> outputs (B, C_out, T) and the new past."""
    cases = ((3, 1), (3, 4), (2, 5), (7, 2), (1, 3))
    return judge(
        lambda: [_try_dilated(dilated_step, *case) for case in cases],
        "in any pieces, the stream is the whole.",
        (
            "Put the past in front of the new samples: <code>torch.cat([past, x], -1)</code>. How many outputs does a "
            "convolution without padding give then?",
            "<code>torch.nn.functional.conv1d(padded, weight, dilation=dilation)</code> gives exactly T outputs.",
            "The new past is the end of <em>padded</em>, not of x: with chunks of one sample, most of the past "
            "is older than the chunk. Mind the case K = 1: the past is empty, but <code>[-0:]</code> is everything.",
        ),
    )


def _try_dilated(dilated_step, kernel: int, dilation: int) -> None:
    generator = torch.Generator().manual_seed(kernel)
    x = torch.randn(2, 3, 20, generator=generator)
    weight = torch.randn(4, 3, kernel, generator=generator)
    length = (kernel - 1) * dilation
    whole = F.conv1d(F.pad(x, (length, 0)), weight, dilation=dilation)
    for sizes in ([20], [1] * 20, [3, 1, 9, 2, 5]):
        past, outputs = torch.zeros(2, 3, length), []
        case = f"kernel {kernel}, dilation {dilation}, chunks of {', '.join(map(str, sizes[:5]))} steps"
        for number, chunk in enumerate(x.split(sizes, dim=-1)):
            result = dilated_step(chunk.clone(), weight.clone(), dilation, past.clone())
            expect(
                isinstance(result, tuple) and len(result) == 2,
                f"{case}: expected two tensors, the outputs and the new past, got {type(result).__name__}.",
            )
            output, past = result
            shape = (2, 4, chunk.shape[-1])
            expect(
                tuple(output.shape) == shape,
                f"{case}: expected outputs {shape} for chunk {number}, got {tuple(output.shape)}: one output for each "
                "new step, no more.",
            )
            expect(
                tuple(past.shape) == (2, 3, length),
                f"{case}: after chunk {number} the past should hold (kernel - 1) * dilation = {length} steps, it holds "
                f"{past.shape[-1]}.",
            )
            outputs.append(output)
        first = torch.allclose(outputs[0], whole[..., : sizes[0]], atol=1e-5)
        expect(first, f"{case}: already the first chunk is wrong. The zeros of the past come before it, not after it.")
        expect(
            torch.allclose(torch.cat(outputs, -1), whole, atol=1e-5),
            f"{case}: the first chunk is right, a later one is not. Does the past hold the latest steps, in order?",
        )


def check_overlap_add(overlap_add: Callable[[Tensor, int, Tensor], tuple[Tensor, Tensor]]) -> Verdict:
    """overlap_add(pieces (T, K), stride, partial (K - stride,)) -> finished samples (T * stride,), new partial."""
    cases = ((4, 2), (5, 3), (3, 3), (6, 2), (16, 8))
    return judge(
        lambda: [_try_overlap_add(overlap_add, *case) for case in cases],
        "every piece lands where it belongs, also across chunks.",
        (
            "Draw it: piece t begins at sample <code>t * stride</code> and is K long. How long is the sum of T pieces? "
            "Which of its samples will no later piece touch?",
            "Begin with <code>torch.zeros((T - 1) * stride + K)</code>. Add <code>partial</code> to its beginning, "
            "then every piece at its place.",
            "The first <code>T * stride</code> samples are finished. The K - stride samples after them are "
            "the new <code>partial</code>.",
        ),
    )


def _try_overlap_add(overlap_add, kernel: int, stride: int) -> None:
    pieces = torch.randn(12, kernel, generator=torch.Generator().manual_seed(kernel))
    whole = F.conv_transpose1d(pieces.T[None], torch.eye(kernel)[:, None], stride=stride)[0, 0]
    for sizes in ([12], [1] * 12, [2, 1, 5, 4]):
        partial, done = torch.zeros(kernel - stride), []
        case = f"kernel {kernel}, stride {stride}, chunks of {', '.join(map(str, sizes[:4]))} pieces"
        for number, chunk in enumerate(pieces.split(sizes)):
            result = overlap_add(chunk.clone(), stride, partial.clone())
            expect(
                isinstance(result, tuple) and len(result) == 2,
                f"{case}: expected two tensors, finished samples and the new partial, got {type(result).__name__}.",
            )
            finished, partial = result
            expect(
                tuple(finished.shape) == (len(chunk) * stride,),
                f"{case}: {len(chunk)} pieces finish {len(chunk) * stride} samples, got {tuple(finished.shape)}.",
            )
            expect(
                tuple(partial.shape) == (kernel - stride,),
                f"{case}: after chunk {number}, kernel - stride = {kernel - stride} samples still wait for later "
                f"pieces, got {tuple(partial.shape)}.",
            )
            done.append(finished)
        expect(
            torch.allclose(done[0], whole[: len(done[0])], atol=1e-5),
            f"{case}: already the first chunk is wrong. Pieces that overlap are added; none replaces another.",
        )
        expect(
            torch.allclose(torch.cat(done), whole[: 12 * stride], atol=1e-5),
            f"{case}: the first chunk is right, a later one is not. The old partial belongs to the beginning of the "
            "new chunk, and it can be longer than what the chunk finishes.",
        )
