"""The checkers of notebook 14: shift a text, read word times off it, count word errors, hand out words on request, and
how many bits a delay leaves to the text.

Streams are lists with one token a frame, in which EPAD is 0 and PAD is 3.
"""

from collections.abc import Callable, Sequence

from torchaudio.functional import edit_distance

from ..tokenizer import EPAD, PAD
from .exercises import Verdict, expect, judge

Stream = list[int]


def drawn(stream: Sequence[int]) -> str:
    """A stream as it is written in a message."""
    return " ".join({PAD: "PAD", EPAD: "EPAD"}.get(token, str(token)) for token in stream)


def _expect_stream(got: object, length: int, case: str) -> None:
    expect(isinstance(got, list), f"{case}: expected a list of tokens, got {type(got).__name__}.")
    expect(len(got) == length, f"{case}: expected {length} tokens, one a frame, got {len(got)}.")


# --- Shifting -------------------------------------------------------------------------------------


def check_shift_text(shift_text: Callable[[Stream, int], Stream]) -> Verdict:
    """shift_text(a token for each frame, frames) -> the same length, each token so many frames later, or earlier if
    negative."""
    return judge(
        lambda: [_try_shift_text(shift_text, steps) for steps in (2, -2, 0, 1, -1, 9, -9)],
        "later or earlier, as long as before, and PAD where nothing is.",
        (
            "Start with PAD in all frames, and put each token to its new place.",
            "A token from frame <code>f</code> goes to frame <code>f + frames</code>, if there is such a frame. What "
            "would stand before the beginning or after the end is lost.",
            "<code>for f, token in enumerate(stream): if 0 &lt;= f + frames &lt; len(stream): shifted[f + frames] = "
            "token</code>. Slices with a negative number are a trap: <code>stream[:-0]</code> is empty.",
        ),
    )  # fmt: skip


def shifted(stream: Sequence[int], steps: int) -> Stream:
    """The tokens, each so many frames later."""
    new = [PAD] * len(stream)
    for frame, token in enumerate(stream):
        if 0 <= frame + steps < len(new):
            new[frame + steps] = token
    return new


def _try_shift_text(shift_text, steps: int) -> None:
    stream = [PAD, EPAD, 10, 11, PAD, EPAD, 20, PAD]
    case, right = f"{drawn(stream)}, by {steps}", shifted(stream, steps)
    got = shift_text(list(stream), steps)
    _expect_stream(got, len(stream), case)
    if got == right:
        return
    expect(got != shifted(stream, -steps), f"{case}: this is the other direction. A positive number means later.")
    turned = stream[-steps % len(stream) :] + stream[: -steps % len(stream)]
    expect(got != turned, f"{case}: what falls off one end comes back at the other; a text is no circle.")
    expect(False, f"{case}: expected {drawn(right)}, got {drawn(got)}.")


# --- Times ----------------------------------------------------------------------------------------


def check_word_starts(word_starts: Callable[[Stream, Callable[[int], bool], float], list[float]]) -> Verdict:
    """word_starts(a recogniser's stream, a function that says whether a token begins a word, seconds by which the text
    is behind) -> when each word began to sound, in seconds."""
    return judge(
        lambda: [_try_word_starts(word_starts, stream, behind) for stream, behind in (
            ([PAD] * 7 + [EPAD, 10, 11, PAD, EPAD, 20], 0.48), ([PAD, EPAD, 10, 20, 21, PAD], 0.0),
            ([PAD, PAD, EPAD, 10, PAD], 0.4), ([PAD] * 9, 0.48), ([EPAD, 11, PAD, 12], 0.0))],
        "the frame of each first token, 80 ms a frame, minus the delay, and never before the beginning.",
        (
            "First find the frames in which words begin: at a token that says so, or at any token after PAD or EPAD.",
            "Frame <code>f</code> begins at <code>f / 12.5</code> seconds. The text is behind: the sound was earlier.",
            "<code>max(0.0, f / 12.5 - behind)</code> for each of these frames; a word cannot have begun before the "
            "sound.",
        ),
    )  # fmt: skip


def begins(token: int) -> bool:
    """The checker's tokenizer: tokens that end in 0 begin a word."""
    return token % 10 == 0


def starts(stream: Sequence[int], behind: float) -> list[float]:
    """When the words of a stream began to sound."""
    before = [PAD, *stream]
    frames = [f for f, token in enumerate(stream) if token > PAD and (before[f] <= PAD or begins(token))]
    return [max(0.0, frame / 12.5 - behind) for frame in frames]


def _try_word_starts(word_starts, stream: Stream, behind: float) -> None:
    case, right = f"{drawn(stream)}, {behind} s behind", starts(stream, behind)
    got = [float(seconds) for seconds in word_starts(list(stream), begins, behind)]
    expect(len(got) == len(right), f"{case}: expected {len(right)} words, got {len(got)}. A word begins at a token "
           "that says so, or after PAD or EPAD; its other tokens begin nothing.")  # fmt: skip

    def same(other: Sequence[float]) -> bool:
        return all(abs(a - b) < 1e-6 for a, b in zip(got, other, strict=True))

    expect(same(right) or not same(starts(stream, -behind)), f"{case}: the delay is added. The text comes after the "
           "sound, so the word began before its text.")  # fmt: skip
    expect(same(right) or not same(starts(stream, 0.0)), f"{case}: these are the times of the text, not of the sound.")
    expect(all(seconds >= 0 for seconds in got), f"{case}: a word cannot begin before the sound; 0 is the earliest.")
    expect(same(right) or not same([max(0.0, s - 0.08) for s in right]), f"{case}: this is the frame of the EPAD; the "
           "word begins in the frame after it.")  # fmt: skip
    expect(same(right), f"{case}: expected {[round(s, 2) for s in right]}, got {[round(s, 2) for s in got]}.")


# --- Word errors ----------------------------------------------------------------------------------


def check_word_error_count(word_error_count: Callable[[list[str], list[str]], int]) -> Verdict:
    """word_error_count(words that were said, words that were written) -> the fewest words to replace, leave out or add
    that turn one into the other."""
    return judge(
        lambda: [_try_word_error_count(word_error_count, said.split(), written.split()) for said, written in (
            ("three plus four", "three plus four"), ("three plus four", "three plus nine"), ("two is", ""),
            ("", "two"), ("one two three four", "two three four"), ("one two three", "one one two three"),
            ("a b c d", "b c d e"), ("one two three four five", "five one two six four"))],
        "replaced, left out and added words cost one each, and the cheapest way counts.",
        (
            "Comparing place by place fails as soon as one word is missing: everything after it is off by one.",
            "Let <code>cost[i][j]</code> be the fewest errors between the first <code>i</code> words that were said "
            "and the first <code>j</code> that were written. The first row and the first column are easy.",
            "<code>cost[i][j] = min(cost[i-1][j] + 1, cost[i][j-1] + 1, cost[i-1][j-1] + (said[i-1] != written[j-1]))"
            "</code>; the answer is the last one.",
        ),
    )  # fmt: skip


def _try_word_error_count(word_error_count, said: list[str], written: list[str]) -> None:
    case, right = f"said {' '.join(said)!r}, written {' '.join(written)!r}", edit_distance(said, written)
    got = int(word_error_count(list(said), list(written)))
    by_place = sum(a != b for a, b in zip(said, written, strict=False)) + abs(len(said) - len(written))
    expect(got == right or got != by_place, f"{case}: expected {right}, got {got}, which compares place by place. One "
           "word that is left out must cost 1, not all words after it.")  # fmt: skip
    as_sets = len(set(said) - set(written))
    expect(got == right or got != as_sets, f"{case}: expected {right}, got {got}. Order counts, and so do words too "
           "many.")  # fmt: skip
    expect(got == right, f"{case}: expected {right}, got {got}.")


# --- Handing out words ----------------------------------------------------------------------------


def check_hand_out(hand_out: Callable[[list[list[int]], list[bool], int], Stream]) -> Verdict:
    """hand_out(the tokens of each word, in which frames the model asks for one, patience) -> the text stream: EPAD, and
    from the frame after it the word, whenever the model asks or has been silent for `patience` frames."""
    return judge(
        lambda: [_try_hand_out(hand_out, words, asks, patience) for words, asks, patience in (
            ([[10, 11], [20]], "..a...a.......", 9), ([[10], [20]], "aaaaaaaa", 9), ([[10]], "a.a.a.", 9),
            ([[10, 11, 12], [20]], ".a.aa...", 9), ([[10], [20]], "............", 3), ([[10], [20]], "......", 0))],
        "the model says when, the script says what; and whoever never asks gets the next word all the same.",
        (
            "Keep a list of tokens that are waiting to be written. While it is not empty, its first token is written, "
            "and what the model asks for does not matter.",
            "Otherwise, if words are left: EPAD if the model asks, or if more than <code>patience</code> frames have "
            "passed since the last word; then the next word's tokens wait. If it does not ask: PAD.",
            "<code>if waiting: stream.append(waiting.pop(0))</code>; <code>elif words: silent += 1; if asks[frame] or "
            "silent &gt; patience: stream.append(EPAD); waiting, silent = list(words.pop(0)), 0</code>; in all other "
            "cases PAD.",
        ),
    )  # fmt: skip


def handed_out(words: Sequence[Sequence[int]], asks: Sequence[bool], patience: int) -> Stream:
    """The text stream that a script makes of what the model asks for."""
    left, waiting, silent, stream = [list(word) for word in words], [], 0, []
    for asked in asks:
        if waiting:
            stream.append(waiting.pop(0))
            continue
        silent += 1
        ready = bool(left) and (asked or silent > patience)
        stream.append(EPAD if ready else PAD)
        if ready:
            waiting, silent = left.pop(0), 0
    return stream


def _try_hand_out(hand_out, words: list[list[int]], pattern: str, patience: int) -> None:
    asks = [mark == "a" for mark in pattern]
    case, right = f"words {words}, asked in {pattern}, patience {patience}", handed_out(words, asks, patience)
    got = hand_out([list(word) for word in words], list(asks), patience)
    _expect_stream(got, len(right), case)
    tokens = [token for word in words for token in word]
    kept = [token for token in got if token > PAD]
    expect(kept == tokens[: len(kept)], f"{case}: the words come as {kept}; each is written whole, and in order.")
    expect(got.count(EPAD) <= right.count(EPAD), f"{case}: an EPAD too many. Nothing is asked for in the middle of a "
           "word, and after the last word there is nothing to announce.")  # fmt: skip
    expect(len(kept) >= len([token for token in right if token > PAD]), f"{case}: words are missing. A model that does "
           "not ask in so many frames gets the next word anyway.")  # fmt: skip
    expect(got == right, f"{case}: expected {drawn(right)}, got {drawn(got)}.")


# --- Bits -----------------------------------------------------------------------------------------


def check_bits_of_text(bits_of_text: Callable[[int, int, float], float]) -> Verdict:
    """bits_of_text(frames by which the text is behind, digits of a word, bits of when it begins) -> the bits that a
    perfect model pays for the text of a word, in the world of the notebook."""
    return judge(
        lambda: [_try_bits_of_text(bits_of_text, delay, digits, when) for delay, digits, when in (
            (-3, 3, 2.0), (0, 3, 2.0), (1, 3, 2.0), (2, 3, 2.0), (3, 3, 2.0), (9, 3, 2.0), (4, 6, 1.5), (1, 1, 0.5))],
        "every frame of waiting takes a digit off the text, and two frames take the guess when.",
        (
            "The text of a word stands <code>delay</code> frames after the word's first frame, and comes before the "
            "sound of its own column. How many frames of the word have been heard by then?",
            "Each frame that was heard is a digit less to guess, but there are only so many, and never fewer than "
            "none. The EPAD stands one frame before: has the first frame been heard by then?",
            "<code>digits - min(max(delay, 0), digits)</code>, and <code>when</code> besides as long as <code>delay "
            "&lt; 2</code>.",
        ),
    )  # fmt: skip


def text_bits(delay: int, digits: int, when: float) -> float:
    """Bits of a word's text, with what has been heard of the word by then."""
    return digits - min(max(delay, 0), digits) + (when if delay < 2 else 0.0)


def _try_bits_of_text(bits_of_text, delay: int, digits: int, when: float) -> None:
    got, right = float(bits_of_text(delay, digits, when)), text_bits(delay, digits, when)
    case = f"delay {delay}, {digits} digits, {when} bits of when"
    expect(got >= -1e-9, f"{case}: {got} bits; nothing can cost less than nothing.")
    expect(got <= digits + when + 1e-9, f"{case}: {got} bits, more than the word and its moment hold. Text that comes "
           "before the sound has heard nothing of it, however early it comes.")  # fmt: skip
    expect(abs(got - right) < 1e-6 or abs(got - right - when) > 1e-6, f"{case}: expected {right}, got {got}. When the "
           "EPAD is written, the first frame of the word has been heard already: nothing is left to guess about when.")
    expect(abs(got - right) < 1e-6 or abs(got - right + when) > 1e-6, f"{case}: expected {right}, got {got}. The EPAD "
           "stands a frame before the word's text; nothing of the word has been heard by then, so when is a guess.")
    expect(abs(got - right) < 1e-6, f"{case}: expected {right}, got {got}.")
