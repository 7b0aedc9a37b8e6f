"""The checkers of notebook 11: write words into frames, read them off again, the other rule, when speech begins, and
why there is an EPAD.

Words are given as (frame in which the word begins, its tokens); streams are lists with one token a frame.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..inner_monologue import Word as SpokenWord
from ..inner_monologue import words_to_tokens
from ..tokenizer import EPAD, PAD
from .exercises import Verdict, expect, judge

Word = tuple[int, list[int]]  # the frame in which it begins, its tokens
Stream = list[int]


class Numbers:
    """A tokenizer for texts that are numbers already: "17 18" has the tokens 17 and 18."""

    def encode(self, text: str) -> list[int]:
        return [int(number) for number in text.split()]


def by_the_package(words: Sequence[Word], frames: int) -> Stream:
    spoken = [SpokenWord(" ".join(map(str, tokens)), (f + 0.5) / 12.5, (f + 0.5) / 12.5) for f, tokens in words]
    return words_to_tokens(spoken, Numbers(), frames).tolist()


def drawn(stream: Sequence[int]) -> str:
    """A stream as it is written in a message."""
    return " ".join({PAD: "PAD", EPAD: "EPAD"}.get(token, str(token)) for token in stream)


def _expect_stream(got: object, right: Stream, case: str) -> None:
    expect(isinstance(got, list), f"{case}: expected a list of tokens, got {type(got).__name__}.")
    expect(len(got) == len(right), f"{case}: expected {len(right)} tokens, one a frame, got {len(got)}.")


# --- Writing --------------------------------------------------------------------------------------

CROWDED = ((1, [10, 11, 12]), (2, [20, 21]))  # the second word begins while the first is still being written


def check_write_words(write_words: Callable[[Sequence[Word], int], Stream]) -> Verdict:
    """write_words(words in the order of their starts, frames) -> a token for each frame, by the paper's rule."""
    return judge(
        lambda: [_try_write_words(write_words, words, frames) for words, frames in (
            (((3, [10, 11]),), 8), (((2, [10]), (6, [20, 21])), 10), (((0, [10, 11]),), 5), (((1, [10]), (2, [20])), 6),
            (CROWDED, 8), (((0, [10]), (0, [20]), (0, [30])), 6), (((3, [10, 11, 12]),), 5), ((), 3))],
        "words where they begin, EPAD before them where there is room, PAD everywhere else, and no word is lost.",
        (
            "Start with PAD in every frame. Keep one number: the first frame that no word has taken.",
            "A word begins at its own frame, or at that number if it is larger. If there is a free frame before it, "
            "that one becomes EPAD. A first word in frame 0 moves to frame 1, so that there is one.",
            "<code>start = max(frame, free, 1 if free == 0 else 0)</code>; if <code>start &gt; free</code>, then "
            "<code>stream[start - 1] = EPAD</code> (as long as that is inside); then write token after token while "
            "there are frames, and set <code>free</code> to the frame after the last.",
        ),
    )  # fmt: skip


def _try_write_words(write_words, words: tuple[Word, ...], frames: int) -> None:
    right, case = by_the_package(words, frames), f"words {list(words)} in {frames} frames"
    got = write_words([(frame, list(tokens)) for frame, tokens in words], frames)
    _expect_stream(got, right, case)
    if got == right:
        return
    tokens = [token for _, own in words for token in own]
    kept = [token for token in got if token in tokens]
    if len(tokens) + len(words) < frames:
        missing = [token for token in tokens if token not in kept]
        expect(not missing, f"{case}: {missing} were overwritten or left out. A word that finds its frames taken comes "
               "later; no word is lost.")  # fmt: skip
        expect(kept == tokens, f"{case}: the tokens stand in the order {kept}; words must not run through each other.")
    wanted, found = right.count(EPAD), got.count(EPAD)
    expect(found >= wanted, f"{case}: expected {wanted} EPAD, got {found}. The frame before a word is EPAD if no word "
           "has taken it; a word in the very first frame moves by one to make room.")  # fmt: skip
    expect(found <= wanted, f"{case}: expected {wanted} EPAD, got {found}. EPAD is written only where a word follows, "
           "and never over a word.")  # fmt: skip
    expect(False, f"{case}: expected {drawn(right)}, got {drawn(got)}.")


# --- Reading --------------------------------------------------------------------------------------


def check_read_words(read_words: Callable[[Stream, Callable[[int], bool]], list[Word]]) -> Verdict:
    """read_words(a token for each frame, a function that says whether a token begins a word) -> the words."""
    return judge(
        lambda: [_try_read_words(read_words, stream) for stream in (
            [PAD, EPAD, 10, 11, PAD], [EPAD, 10, 21, 20, 11, PAD], [10, PAD, 11, EPAD, 12], [PAD, PAD], [],
            [PAD, EPAD, 10, EPAD, 20, 21])],
        "a word begins at a token that says so, or after PAD or EPAD.",
        (
            "Go through the frames with one flag: are we inside a word? PAD and EPAD end a word.",
            "A token opens a new word if we are not inside one, or if it begins one by itself. Otherwise it belongs to "
            "the last word.",
            "<code>if token &lt;= PAD: inside = False</code>; else, <code>if not inside or begins(token): "
            "words.append((frame, []))</code>, then <code>words[-1][1].append(token)</code> and <code>inside = True"
            "</code>.",
        ),
    )  # fmt: skip


def begins(token: int) -> bool:
    """The checker's tokenizer: tokens that end in 0 begin a word."""
    return token % 10 == 0


def read_by_rule(stream: Stream) -> list[Word]:
    words, inside = [], False
    for frame, token in enumerate(stream):
        if token > PAD:
            if not inside or begins(token):
                words.append((frame, []))
            words[-1][1].append(token)
        inside = token > PAD
    return words


def _try_read_words(read_words, stream: Stream) -> None:
    right, case = read_by_rule(stream), f"the stream {drawn(stream) or '(no frames)'}"
    got = [(frame, list(tokens)) for frame, tokens in read_words(list(stream), begins)]
    found = [token for _, tokens in got for token in tokens]
    expect(not {PAD, EPAD} & set(found), f"{case}: PAD and EPAD are no part of a word, got {got}.")
    expect(
        len(got) >= len(right),
        f"{case}: expected {len(right)} words, got {len(got)}. Two words may stand side by side without an EPAD: then "
        "only the token itself tells that it begins one. And after a pause, any token does.",
    )
    expect(len(got) <= len(right), f"{case}: expected {len(right)} words, got {len(got)}. A token that begins no word "
           "goes on with the last one, unless there was a pause.")  # fmt: skip
    expect(got == right, f"{case}: expected {right}, got {got}. A word's frame is that of its first token.")


# --- The other rule -------------------------------------------------------------------------------


def check_replace_pending(replace_pending: Callable[[Sequence[Word], int], Stream]) -> Verdict:
    """replace_pending(words in the order of their starts, frames) -> a token for each frame, by the rule of Kyutai's
    fine-tuning tool: a word that begins replaces what is left of the one before."""
    return judge(
        lambda: [_try_replace_pending(replace_pending, words, frames) for words, frames in (
            (((2, [10, 11]), (7, [20])), 10), (((0, [10, 11]),), 5), (CROWDED, 7), (((1, [10, 11]), (3, [20])), 6),
            (((2, [10, 11]), (2, [20])), 6), (((1, [10, 11, 12, 13, 14]), (4, [20, 21])), 8))],
        "a word that begins replaces what is left of the one before, and only a PAD becomes EPAD.",
        (
            "Keep a list of pending tokens. In each frame: if a word begins here, the pending list <em>becomes</em> "
            "its tokens. Then, if anything is pending, its first token is written.",
            "When a token is written and the frame before holds PAD, that frame becomes EPAD. In frame 0 there is no "
            "frame before; nothing is moved.",
            "<code>for frame in range(frames):</code> <code>for start, tokens in words: if start == frame: pending = "
            "list(tokens)</code>; <code>if pending: if frame and stream[frame - 1] == PAD: stream[frame - 1] = EPAD"
            "</code>; <code>stream[frame] = pending.pop(0)</code>.",
        ),
    )  # fmt: skip


def replaced(words: Sequence[Word], frames: int) -> Stream:
    """The rule of the fine-tuning tool."""
    stream, pending = [PAD] * frames, []
    for frame in range(frames):
        for start, tokens in words:
            if start == frame:
                pending = list(tokens)
        if pending:
            if frame and stream[frame - 1] == PAD:
                stream[frame - 1] = EPAD
            stream[frame] = pending.pop(0)
    return stream


def _try_replace_pending(replace_pending, words: tuple[Word, ...], frames: int) -> None:
    right, case = replaced(words, frames), f"words {list(words)} in {frames} frames"
    got = replace_pending([(frame, list(tokens)) for frame, tokens in words], frames)
    _expect_stream(got, right, case)
    if got == right:
        return
    expect(got != by_the_package(words, frames), f"{case}: this is the paper's rule. Here a word that begins cuts off "
           "what is left of the one before, and nothing is moved.")  # fmt: skip
    expect(got.count(EPAD) <= right.count(EPAD), f"{case}: {drawn(got)} has an EPAD too many; only a PAD before a "
           "token becomes EPAD.")  # fmt: skip
    expect(got.count(EPAD) >= right.count(EPAD), f"{case}: {drawn(got)} lacks an EPAD where a token comes after a PAD.")
    expect(False, f"{case}: expected {drawn(right)}, got {drawn(got)}.")


# --- When speech begins ---------------------------------------------------------------------------


def check_when_it_starts(when_it_starts: Callable[[Tensor], Tensor]) -> Verdict:
    """when_it_starts(chance (F,) of EPAD in each frame if none has come before) -> (F,): the probability that the first
    EPAD comes in that frame."""
    return judge(
        lambda: [_try_when_it_starts(when_it_starts, values) for values in (
            [0.25, 0.6, 0.6, 1.0], [1.0, 0.5, 0.5], [0.0, 0.0, 0.5], [0.1] * 6)],
        "it starts in a frame if it has waited through all frames before, and then does not.",
        (
            "For the EPAD to come in frame 2, two things must not have happened and one must happen.",
            "Multiply the chance of that frame with the product of (1 - chance) of all frames before it, and of these "
            "only.",
            "<code>waited = torch.cumprod(1 - chance, 0)</code> still contains the frame itself: shift it by one, "
            "<code>torch.cat([torch.ones(1), waited[:-1]])</code>.",
        ),
    )  # fmt: skip


def first_time(chance: Tensor) -> Tensor:
    """The chance (F,) of an event in each frame if it has not come before -> (F,): that it comes there first."""
    return chance * torch.cat([torch.ones(1), (1 - chance).cumprod(0)[:-1]])


def _try_when_it_starts(when_it_starts, values: list[float]) -> None:
    chance = torch.tensor(values)
    right, case = first_time(chance), f"chances {values}"
    got = when_it_starts(chance.clone())
    expect(isinstance(got, Tensor) and got.shape == right.shape, f"{case}: expected a tensor (F,), one value a frame.")
    expect(got.sum() <= 1.0001, f"{case}: the probabilities add up to {got.sum():.2f}. Speech starts once only: a "
           "frame counts only if nothing has come before.")  # fmt: skip
    inclusive = chance * (1 - chance).cumprod(0)
    expect(torch.allclose(right, inclusive) or not torch.allclose(got, inclusive), f"{case}: the frame itself is in "
           "the product; it must have waited through the frames before it only.")  # fmt: skip
    expect(torch.allclose(got, right, atol=1e-5), f"{case}: expected {[round(v, 4) for v in right.tolist()]}, got "
           f"{[round(v, 4) for v in got.tolist()]}.")  # fmt: skip


# --- Why there is an EPAD -------------------------------------------------------------------------


def check_chance_to_start(chance_to_start: Callable[[float, int, float, bool], float]) -> Verdict:
    """chance_to_start(chance, words, temperature, epad) -> the chance that something begins, if tokens are drawn at
    that temperature: by an EPAD, or by one of `words` equally likely words."""
    return judge(
        lambda: [_try_chance_to_start(chance_to_start, *case) for case in (
            (0.6, 8, 1.0), (0.6, 8, 0.7), (0.6, 8, 0.2), (0.3, 2, 0.5), (0.9, 100, 0.7), (0.5, 1, 0.5))],
        "with EPAD the words stand together in the choice between now and later; without, each stands alone.",
        (
            "Write down the distribution. With EPAD: two tokens, <code>chance</code> and <code>1 - chance</code>. "
            "Without: PAD has <code>1 - chance</code>; what does each word have?",
            "A temperature $T$ raises every probability to the power $1/T$, and divides by the sum of all of them, so "
            "that they add up to 1 again.",
            "<code>n = 1 if epad else words</code>, <code>go = n * (chance / n) ** (1 / T)</code>, <code>wait = (1 - "
            "chance) ** (1 / T)</code>; the answer is <code>go / (go + wait)</code>.",
        ),
    )  # fmt: skip


def sharpened(chance: float, words: int, temperature: float) -> float:
    """The chance that one of `words` equally likely tokens, `chance` together, is drawn at a temperature."""
    go, wait = words * (chance / words) ** (1 / temperature), (1 - chance) ** (1 / temperature)
    return go / (go + wait)


def _try_chance_to_start(chance_to_start, chance: float, words: int, temperature: float) -> None:
    for epad in (True, False):
        right = sharpened(chance, 1 if epad else words, temperature)
        got = float(chance_to_start(chance, words, temperature, epad))
        case = f"chance {chance}, {words} words, temperature {temperature}, {'with' if epad else 'without'} EPAD"
        expect(0 <= got <= 1, f"{case}: {got:.3f} is no probability; divide by the sum over all tokens.")
        expect(
            abs(got - chance) > 1e-4 or abs(right - chance) < 1e-4,
            f"{case}: got {got:.3f}, as at temperature 1. Every probability is raised to the power 1 / temperature.",
        )
        other = sharpened(chance, words if epad else 1, temperature)
        expect(
            abs(got - other) > 1e-4 or abs(right - other) < 1e-4,
            f"{case}: got {got:.3f}, which is the other case. Who competes with PAD: one EPAD, or every word for "
            "itself?",
        )
        expect(abs(got - right) < 1e-4, f"{case}: expected {right:.4f}, got {got:.4f}.")
