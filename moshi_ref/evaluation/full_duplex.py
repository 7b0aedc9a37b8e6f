"""Two who may speak at any time: does Moshi stop when it is told to, go on when it may, and stay silent when it should?

    interruption    "stop", while Moshi counts      its voice is silent soon after, and stays so
    back-channel    "uh huh", while Moshi counts    it counts on as if nothing had been said
    barge-in        a sum, while Moshi counts       it answers the sum, once that has been asked
    quiet           nothing, or noise, for minutes  not a word and not a sound

Each conversation of the first three is held twice, with the same seed. First the user only asks, and we see when Moshi
speaks; then, at a moment when it does, the user says something. A conversation is causal: until that moment both are
the same, and what differs afterwards is the effect. Where Moshi does not speak long enough, nothing can be tested; such
conversations are not counted, and how many are counted is part of every row.

Voices are looked at in blocks of ten milliseconds, each loud or not (`duplex.LOUD`).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..corpus.augment import SPEECH
from ..corpus.duplex_dialogues import SETTLED
from ..corpus.scripts import BACKCHANNELS, INTERRUPTIONS, LONGEST, counting, ranges, script
from ..corpus.small_world import Exchange
from ..corpus.utterances import Utterance, render_user
from ..corpus.voices import SAMPLE_RATE, Voice, user_voice
from ..mimi import Mimi
from ..moshi import Moshi
from ..tokenizer import TextTokenizer
from .duplex import AFTER, LOUD, Answer, Question, ask, question, share

BLOCK = SAMPLE_RATE // 100  # samples in ten milliseconds
REACTION = 0.6  # seconds after the word that tells it to stop, in which Moshi may still speak
QUIET = 1.0  # seconds for which it must then be silent
LONGER = 0.5  # seconds by which a back-channel may lengthen Moshi's longest pause
FAINT, STRONG = 30.0, 10.0  # dB by which noise is below speech

Asker = Callable[[Sequence[Question]], list[Answer]]


# --- Voices in blocks -----------------------------------------------------------------------------


def loud(answer: Answer) -> Tensor:
    """(blocks,) bool: where Moshi's voice sounds."""
    blocks = answer.wav[: len(answer.wav) // BLOCK * BLOCK].view(-1, BLOCK)  # (blocks, 240)
    return blocks.square().mean(-1).sqrt() > LOUD


def speech_span(voice: Tensor) -> tuple[float, float] | None:
    """From when to when (seconds) it speaks; None if it never does."""
    sounds = voice.nonzero()[:, 0]
    return (sounds[0].item() / 100, (sounds[-1].item() + 1) / 100) if len(sounds) else None


def longest_pause(voice: Tensor) -> float:
    """Seconds of the longest silence between two sounds."""
    sounds = voice.nonzero()[:, 0]
    return (sounds.diff().max().item() - 1) / 100 if len(sounds) > 1 else 0.0


def is_quiet(voice: Tensor, since: float, seconds: float = QUIET) -> bool:
    """Whether it is silent for so long from `since` on."""
    begin = max(0, round(100 * since))
    return not voice[begin : begin + round(100 * seconds)].any()


def falls_silent(voice: Tensor, since: float) -> float | None:
    """When (seconds), at `since` or later, a silence of at least QUIET begins; None if none does."""
    stop, least = max(0, round(100 * since)), round(100 * QUIET)
    for block in voice[stop:].nonzero()[:, 0].add(stop).tolist():
        if block - stop >= least:
            break
        stop = block + 1
    return stop / 100 if len(voice) - stop >= least else None


# --- Conversations that are disturbed -------------------------------------------------------------


@dataclass(frozen=True)
class Disturbed:
    """A question with something that the user says while Moshi answers. Times are seconds from the beginning."""

    question: Question  # `end` and `answer` are those of what was said last
    start: float  # of the disturbance
    telling: float  # when its first word is over: it already tells a back-channel from all else


def long_answers(count: int, seed: int) -> tuple[list[Question], list[Voice]]:
    """Requests to count six numbers, the longest answers of the spoken world, and who makes them."""
    rng = random.Random(f"{seed}/long answers")
    far = [(a, b) for a, b in ranges("train") if b - a == LONGEST]
    questions, voices = [], []
    for _ in range(count):
        voices.append(user_voice(rng, "test"))
        questions.append(question(render_user(counting(*rng.choice(far)), voices[-1], rng), rng))
    return questions, voices


def interjection(kind: str, voice: Voice, rng: random.Random) -> Utterance:
    """What disturbs: an "interruption", a "back-channel", or for a "barge-in" the question for a spoken sum."""
    if kind == "barge-in":
        return render_user(script("sum", rng), voice, rng)
    text = rng.choice({"interruption": INTERRUPTIONS, "back-channel": BACKCHANNELS}[kind])
    return render_user(Exchange(kind, text, "", ()), voice, rng)


def disturb(asked: Question, voice: Tensor, said: Utterance, rng: random.Random) -> Disturbed | None:
    """The question and, at a random moment of Moshi's answer, the utterance; None if there is no such moment. Left
    alone, Moshi's `voice` (blocks,) must still sound when it should have stopped, or who could tell that it has?"""
    span, first_word = speech_span(voice), said.words[0].end
    if span is None or span[0] + SETTLED > span[1] - first_word - REACTION:
        return None
    at = round(rng.uniform(span[0] + SETTLED, span[1] - first_word - REACTION) * SAMPLE_RATE)
    start, end = at / SAMPLE_RATE, at + len(said.wav)
    if is_quiet(voice, start + first_word + REACTION):
        return None
    wav = F.pad(asked.wav, (0, max(0, end + round(AFTER * SAMPLE_RATE) - len(asked.wav))))
    wav[at:end] += said.wav
    return Disturbed(Question(wav, end / SAMPLE_RATE, said.exchange.answer), start, start + first_word)


# --- Rows of the table ----------------------------------------------------------------------------

Pair = tuple[Answer, Disturbed, Answer]  # undisturbed, the disturbance, disturbed


def interruption(pairs: Sequence[Pair]) -> dict:
    """How often Moshi's voice is silent from REACTION after the telling word on, and when it stopped: seconds from
    the end of this word, negative if it ended earlier, and in how many conversations it never did."""
    stopped = sum(is_quiet(loud(after), event.telling + REACTION) for _, event, after in pairs)
    stops = [(falls_silent(loud(after), event.start), event.telling) for _, event, after in pairs]
    times = sorted(stop - telling for stop, telling in stops if stop is not None)
    spread = {f"{p} %": round(times[int(p / 100 * (len(times) - 1))], 2) for p in (5, 25, 50, 75, 95)} if times else {}
    return share(stopped, len(pairs)) | {"seconds until silence": spread, "never silent": len(stops) - len(times)}


def backchannel(asked: Sequence[Question], pairs: Sequence[Pair]) -> dict:
    """How often Moshi completes its answer: the whole text, no pause LONGER than before, and a voice that does not end
    earlier by more than that. Counted where the answer was right without the back-channel."""
    right = [(before, after) for wanted, (before, _, after) in zip(asked, pairs, strict=True)
             if before.text == wanted.answer]  # fmt: skip
    return share(sum(goes_on(*pair) for pair in right), len(right))


def goes_on(before: Answer, after: Answer) -> bool:
    """Whether the second answer is as complete as the first."""
    voices = loud(before), loud(after)
    spans = [speech_span(voice) for voice in voices]
    if before.text != after.text or None in spans:
        return False
    pauses, (lasted, lasts) = [longest_pause(voice) for voice in voices], [end - start for start, end in spans]
    return pauses[1] <= pauses[0] + LONGER and lasts >= lasted - LONGER


def barge_in(pairs: Sequence[Pair]) -> dict:
    """How often the words that begin after the end of the new question are exactly its answer."""
    right = 0
    for _, event, after in pairs:
        words = [word.text for word in after.words if word.start >= event.question.end]
        right += " ".join(words) == event.question.answer
    return share(right, len(pairs))


def full_duplex(answers_to: Asker, count: int, seed: int) -> dict:
    """The first three rows, of `count` conversations each. The asker must give the same answer to the same sound in
    the same place of the list."""
    asked, voices = long_answers(count, seed)
    before, rows = answers_to(asked), {}
    for kind in ("interruption", "back-channel", "barge-in"):
        rng = random.Random(f"{seed}/{kind}")
        said = [interjection(kind, voice, rng) for voice in voices]
        events = [disturb(q, loud(a), s, rng) for q, a, s in zip(asked, before, said, strict=True)]
        after = answers_to([q if e is None else e.question for q, e in zip(asked, events, strict=True)])
        tested = [i for i, event in enumerate(events) if event is not None]
        pairs = [(before[i], events[i], after[i]) for i in tested]
        match kind:
            case "interruption":
                row = interruption(pairs)
            case "back-channel":
                row = backchannel([asked[i] for i in tested], pairs)
            case _:
                row = barge_in(pairs)
        rows[kind] = row | {"conversations": count}
    return rows


# --- Silence and noise ----------------------------------------------------------------------------


def noise(samples: int, below: float, seed: int) -> Tensor:
    """(samples,) white noise, so many dB below the level of speech."""
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed)) * SPEECH * 10 ** (-below / 20)


def noisy(asked: Question, seed: int) -> Question:
    """The question in STRONG noise, which is there before and after it too."""
    return replace(asked, wav=asked.wav + noise(len(asked.wav), STRONG, seed))


def quiet(answers_to: Asker, minutes: int, seed: int) -> dict:
    """The share of the minutes in which Moshi neither writes a word nor makes a sound, in a conversation of silence and
    in two of noise, and how many words it wrote."""
    samples, rows = minutes * 60 * SAMPLE_RATE, {}
    sounds = {"silence": torch.zeros(samples), "faint noise": noise(samples, FAINT, seed),
              "strong noise": noise(samples, STRONG, seed)}  # fmt: skip
    answers = answers_to([Question(wav, 0.0, "") for wav in sounds.values()])
    for name, answer in zip(sounds, answers, strict=True):
        failed = {int(word.start // 60) for word in answer.words} | set((loud(answer).nonzero()[:, 0] // 6000).tolist())
        rows[name] = share(minutes - len(failed), minutes) | {"words": len(answer.words)}
    return rows


def asker(moshi: Moshi, mimi: Mimi, tokenizer: TextTokenizer, seed: int) -> Asker:
    """Asks a model; see `duplex.ask`."""
    return lambda questions: ask(moshi, mimi, tokenizer, questions, seed)
