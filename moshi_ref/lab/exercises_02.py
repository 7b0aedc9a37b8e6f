"""The checkers of notebook 02: the loss, sampling, bits per byte, symmetric rounding."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .exercises import Verdict, expect, judge


def check_next_token_loss(next_token_loss: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """next_token_loss(logits (B, T, V), tokens (B, T)) -> scalar: each token predicted by the step before it."""
    return judge(
        lambda: [_try_next_token_loss(next_token_loss, *case) for case in ((1, 2, 3), (2, 5, 7), (3, 4, 2))],
        "each step is judged by the token that comes after it, and by no other.",
        (
            "The logits of step t speak about token t + 1. So the logits of the last step have no target, and the "
            "first token is never predicted.",
            "Cut both: <code>logits[:, :-1]</code> belongs to <code>tokens[:, 1:]</code>.",
            "<code>torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())</code> "
            "takes (N, V) and (N,) and gives the mean, in nats.",
        ),
    )


def _try_next_token_loss(next_token_loss, rows: int, steps: int, entries: int) -> None:
    dice = torch.Generator().manual_seed(steps)
    logits = (2 * torch.randn(rows, steps, entries, generator=dice)).requires_grad_()
    tokens = torch.randint(entries, (rows, steps), generator=dice)
    log_p = logits.log_softmax(-1)

    def mean(of: Tensor, targets: Tensor) -> Tensor:
        return -of.gather(-1, targets[..., None]).mean()

    right = mean(log_p[:, :-1], tokens[:, 1:])
    got = next_token_loss(logits, tokens)
    case = f"with logits ({rows}, {steps}, {entries}) and tokens ({rows}, {steps})"
    expect(isinstance(got, Tensor) and got.dim() == 0, f"{case}, expected one number as a tensor, got {got!r:.80}.")
    expect(
        not torch.isclose(got, mean(log_p, tokens)),
        f"{case}, each step is judged by its own token, which it has read. That is a leak of the future: the loss of a "
        "training falls to 0, and nothing is learnt.",
    )
    expect(
        not torch.isclose(got, mean(log_p[:, 1:], tokens[:, :-1])),
        f"{case}, the shift goes the wrong way: each step is judged by the token before it.",
    )
    expect(
        not torch.isclose(got, mean(log_p, tokens.roll(-1, 1))),
        f"{case}, the last step is judged by the first token of its row: <roll> goes round. Leave the last step out.",
    )
    count = rows * (steps - 1)
    expect(
        count == 1 or not torch.isclose(got, right * count),
        f"{case}, this is the sum over all predictions. Their mean does not depend on how many there are.",
    )
    expect(torch.isclose(got, right, rtol=1e-4), f"{case}, expected {right.item():.4f} nats, got {got.item():.4f}.")
    (gradient,) = torch.autograd.grad(got, logits, allow_unused=True) if got.requires_grad else (None,)
    expect(gradient is not None, f"{case}, no gradient reaches the logits. Do not detach, and do not use .item().")


def check_sampling_probabilities(sampling_probabilities: Callable[[Tensor, float, int], Tensor]) -> Verdict:
    """sampling_probabilities(logits (V,), temperature, top_k) -> (V,): what `sample` draws from."""
    cases = ((8, 1.0, 8), (8, 0.5, 3), (20, 2.0, 5), (6, 0.7, 1), (5, 1.3, 9))
    return judge(
        lambda: [_try_sampling_probabilities(sampling_probabilities, *case) for case in cases],
        "the likeliest tokens share all of the probability, and the temperature sharpens or flattens it.",
        (
            "First throw away what may not be drawn, then divide by the temperature, then make probabilities. A token "
            "with logit minus infinity gets probability 0.",
            "<code>logits.topk(k).indices</code> are the tokens to keep; <code>top_k</code> may be larger than the "
            "vocabulary.",
            "<code>kept = torch.full_like(logits, -math.inf)</code>, then "
            "<code>kept[best] = logits[best] / temperature</code>, then <code>kept.softmax(-1)</code>.",
        ),
    )


def _try_sampling_probabilities(sampling_probabilities, entries: int, temperature: float, top_k: int) -> None:
    logits = 2 * torch.randn(entries, generator=torch.Generator().manual_seed(entries))
    given, best = logits.clone(), logits.topk(min(top_k, entries)).indices
    right = torch.zeros(entries)
    right[best] = (logits[best] / temperature).softmax(-1)
    got = sampling_probabilities(logits, temperature, top_k)
    case = f"with {entries} logits, temperature {temperature} and top_k {top_k}"
    expect(isinstance(got, Tensor) and got.shape == (entries,), f"{case}, expected ({entries},), got {got!r:.80}.")
    expect(torch.equal(logits, given), f"{case}, your function changed the logits that it was given.")
    outside = float(got[right == 0].sum())
    expect(outside == 0, f"{case}, tokens outside the {top_k} likeliest have probability {outside:.3f}; expected 0.")
    total = float(got.sum())
    expect(
        abs(total - 1) < 1e-4,
        f"{case}, the probabilities add up to {total:.3f}. What is cut off must be shared out among those left.",
    )
    multiplied, plain = torch.zeros(entries), torch.zeros(entries)
    multiplied[best], plain[best] = (logits[best] * temperature).softmax(-1), logits[best].softmax(-1)
    alike = temperature == 1.0 or top_k == 1
    expect(
        alike or not torch.allclose(got, multiplied, atol=1e-5),
        f"{case}, you multiply by the temperature. A high temperature must flatten: divide.",
    )
    expect(alike or not torch.allclose(got, plain, atol=1e-5), f"{case}, the temperature changes nothing.")
    expect(
        torch.allclose(got, right, atol=1e-5),
        f"{case}, expected {[round(p, 3) for p in right.tolist()]}, got {[round(p, 3) for p in got.tolist()]}.",
    )


def check_bits_per_byte_of(bits_per_byte_of: Callable[[Sequence[float], Sequence[str]], float]) -> Verdict:
    """bits_per_byte_of(log-likelihoods in nats, texts) -> a number, over all texts together."""
    return judge(
        lambda: _try_bits_per_byte_of(bits_per_byte_of),
        "bits, bytes, and one quotient for all texts, so that long ones count more.",
        (
            "A log-likelihood is a negative number of nats. One bit is log 2 nats.",
            "Bytes are not letters: <code>len(text.encode())</code> counts them.",
            "Add up all bits, add up all bytes, and divide once: <code>-sum(log_likelihoods) / math.log(2) / "
            "sum(len(text.encode()) for text in texts)</code>.",
        ),
    )


def _try_bits_per_byte_of(bits_per_byte_of) -> None:
    cases = (
        ([-7.0], ["Moshi"]),
        ([-3.0, -40.0], ["No.", "Ada lives by the river, and Max on the hill."]),
        ([-9.0, -2.0], ["Où êtes-vous ?", "Là."]),
    )
    for nats, texts in cases:
        sizes = [len(text.encode()) for text in texts]
        right = -sum(nats) / math.log(2) / sum(sizes)
        got = float(bits_per_byte_of(list(nats), list(texts)))
        case = f"with log-likelihoods {nats} of {texts}"
        expect(got > 0, f"{case}, got {got:.4f}. Log-likelihoods are negative, bits are positive: change the sign.")
        shares = [n / size for n, size in zip(nats, sizes, strict=True)]
        letters = sum(map(len, texts))
        wrong = {
            "these are nats: divide by log 2": -sum(nats) / sum(sizes),
            "you count letters: an accent makes two bytes of one letter": -sum(nats) / math.log(2) / letters,
            "this is a mean of quotients, in which a short text counts as much as a long one": -sum(shares)
            / math.log(2)
            / len(nats),
        }
        for told, value in wrong.items():
            expect(math.isclose(value, right) or not math.isclose(got, value, rel_tol=1e-6), f"{case}, {told}.")
        expect(math.isclose(got, right, rel_tol=1e-6), f"{case}, expected {right:.4f}, got {got:.4f}.")


def check_round_symmetric(round_symmetric: Callable[[Tensor, int], Tensor]) -> Verdict:
    """round_symmetric(x (N, D), bits) -> (N, D): each row on a grid of its own, symmetric about 0."""
    return judge(
        lambda: [_try_round_symmetric(round_symmetric, bits) for bits in (2, 4, 8)],
        "each row has a grid of its own, 0 lies on it, and nothing moves by more than half a step.",
        (
            "With b bits the levels are the integers from -(2^(b-1) - 1) to 2^(b-1) - 1, times a step. The largest "
            "absolute value of a row must lie on the outermost level.",
            "<code>x.abs().amax(1, keepdim=True)</code> is the largest of each row, and the step is that divided by "
            "2^(b-1) - 1. A row of zeros needs a step that is not 0: <code>.clamp(min=1e-8)</code>.",
            "<code>(x / step).round() * step</code>.",
        ),
    )


def _try_round_symmetric(round_symmetric, bits: int) -> None:
    x = torch.randn(4, 33, generator=torch.Generator().manual_seed(bits)) * torch.tensor([[0.01], [1.0], [30.0], [0.0]])
    x[1] += 0.5  # not centred
    given, most = x.clone(), 2 ** (bits - 1) - 1
    step = (x.abs().amax(1, keepdim=True) / most).clamp(min=1e-8)
    right = (x / step).round() * step
    got = round_symmetric(x, bits)
    case = f"with {bits} bits and rows of very different size"
    expect(isinstance(got, Tensor) and got.shape == x.shape, f"{case}, expected (4, 33), got {got!r:.80}.")
    expect(torch.equal(x, given), f"{case}, your function changed what it was given.")
    expect(not got.isnan().any(), f"{case}, a row of zeros became NaN: its step is 0, and 0 / 0 is not a number.")
    whole = x.abs().max() / most
    expect(
        not torch.allclose(got, (x / whole).round() * whole),
        f"{case}, all rows share one step, so the small ones are rounded to 0. Each row needs its own.",
    )
    levels = [len(row.unique()) for row in got]
    expect(
        max(levels) <= 2 * most + 1,
        f"{case}, a row has {max(levels)} different values; {bits} bits, symmetric about 0, allow {2 * most + 1}.",
    )
    expect(
        torch.allclose(got, right, atol=1e-6),
        f"{case}, the mean error is {float((got - x).abs().mean()):.4f}, expected "
        f"{float((right - x).abs().mean()):.4f}. Is the outermost level at the largest absolute value?",
    )
