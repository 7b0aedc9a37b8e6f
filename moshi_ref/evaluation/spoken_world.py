"""What a Moshi of the spoken world hears, knows, says aloud, and when: the table of its evaluation.

    python -m moshi_ref evaluate --trials 200 --human PATH --json table.json

Users have voices that were never in training, but for one row. Everything streams, and text is greedy. An answer is
right if the text of the whole conversation is exactly the *written* answer of the script (`corpus.scripts`), letter by
letter, with its capital letter, commas and full stop: "Three plus four is seven." Nothing is forgiven. If there are
several questions, the text counts from the silence before each to the silence before the next.

    known            sums and facts that were asked and answered aloud in training, in its phrasings
    in training      facts in utterances in which training asked for them (there some were also quieter, noisier, or
                     as over a telephone): what fails here too does not fail for want of voices
    held out         pairs of numbers, ranges to count and phrasings of questions that no training has read or heard
    only read        sums and facts that Helium has read and nobody has spoken: does reading teach to speak?
    people, noise    known sums, asked by human speakers with recordings of the test, and asked in noise
    conversation     six known sums, one after the other: is the last one answered as well as the first?
    full duplex      interruptions, back-channels, new questions, silence and noise; see `full_duplex`
    voice            does Moshi's voice say what its text says?

Each share comes with its 95 % interval (`intervals.wilson`). The gap is the time from the end of the question until
Moshi's voice begins.
"""

import argparse
import bisect
import itertools
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio import writing
from ..checkpoints import load_mimi, load_moshi, load_tokenizer, mimi_of
from ..corpus.human import HumanUtterances
from ..corpus.scripts import script, unspoken
from ..corpus.small_world import Exchange
from ..corpus.spoken import WrittenDigits, spoken
from ..corpus.utterances import VariedUtterances, render_moshi, render_user
from ..corpus.voices import SAMPLE_RATE, moshi_voice, user_voice
from ..mimi import Mimi
from .duplex import Answer, Question, line, question, score, share, spoken_part
from .full_duplex import Asker, asker, full_duplex, noisy, quiet
from .judges import agreement, as_heard, knows
from .recogniser import Recogniser, load_recogniser

TURNS = 6  # questions of a conversation
MARGIN = 4_800  # samples of silence around an original, a fifth of a second


# --- Questions ------------------------------------------------------------------------------------


def synthetic(topic: str, split: str, count: int, seed: int) -> list[Question]:
    """Random scripts of a topic and a split, asked in voices that training has not heard."""
    rng = random.Random(f"{seed}/{topic}/{split}")
    return [question(render_user(script(topic, rng, split), user_voice(rng, "test"), rng), rng) for _ in range(count)]


def trained(topic: str, count: int) -> list[Question]:
    """The first questions of a topic that training with seed 0 has heard, from the same utterances before
    `clips.encode` has changed the level or added noise (see `training.sources`)."""
    said = VariedUtterances(spoken("question", "train", 10 * count, 0), 0)
    chosen = (utterance for utterance in said if utterance.exchange.topic == topic)
    rng = random.Random(f"{topic}/trained")
    return [question(utterance, rng) for utterance in itertools.islice(chosen, count)]


def human(folder: Path, count: int, seed: int) -> list[Question]:
    """Two digits by one human speaker, from recordings of the test, about sums that are spoken in training."""
    said = WrittenDigits(HumanUtterances(folder, "test", 20 * count, seed))
    known = (utterance for utterance in said if not unspoken(*utterance.exchange.operands))
    rng = random.Random(f"{seed}/human")
    return [question(utterance, rng) for utterance in itertools.islice(known, count)]


def questions(count: int, seed: int, people: Path | None) -> dict[str, list[Question]]:
    """The rows of the table, `count` questions each."""
    rows = {
        "sum, known": synthetic("sum", "train", count, seed),
        "sum, held-out pairs": synthetic("sum", "test", count, seed),
        "sum, only read": synthetic("sum", "unspoken", count, seed),
        "fact, in training": trained("fact", count),
        "fact, known": synthetic("fact", "train", count, seed),
        "fact, held-out phrasings": synthetic("fact", "test", count, seed),
        "fact, only read": synthetic("fact", "unspoken", count, seed),
        "repeat, held-out pairs": synthetic("repeat", "test", count, seed),
        "compare, held-out pairs": synthetic("compare", "test", count, seed),
        "count, held-out ranges": synthetic("count", "test", count, seed),
    }
    rows["sum, known, in noise"] = [noisy(asked, seed + i) for i, asked in enumerate(rows["sum, known"])]
    if people is not None:
        rows["human digits, known"] = human(people, count, seed)
    return rows


# --- Conversations --------------------------------------------------------------------------------


def one_after_the_other(asked: Sequence[Question]) -> Question:
    """A conversation of several questions: the end is that of the last one, and the answers are in one text."""
    before = sum(len(each.wav) for each in asked[:-1]) / SAMPLE_RATE
    return Question(torch.cat([each.wav for each in asked]), before + asked[-1].end, " ".join(q.answer for q in asked))


def right_answers(asked: Sequence[Question], answer: Answer) -> list[bool]:
    """Whether all that was written from the silence before each question to that before the next is its answer."""
    ends = [end / SAMPLE_RATE for end in itertools.accumulate(len(each.wav) for each in asked)]
    said: list[list[str]] = [[] for _ in asked]
    for word in answer.words:
        said[min(bisect.bisect_right(ends, word.start), len(asked) - 1)].append(word.text)
    return [" ".join(words) == each.answer for words, each in zip(said, asked, strict=True)]


def conversations(answers_to: Asker, count: int, seed: int) -> dict:
    """How often each of the TURNS questions is answered right, in `count` conversations, and how many seconds after the
    beginning it has been asked, on average."""
    asked = synthetic("sum", "train", count * TURNS, seed)
    every = [asked[i : i + TURNS] for i in range(0, len(asked), TURNS)]
    answers = answers_to([one_after_the_other(each) for each in every])
    right = [right_answers(*each) for each in zip(every, answers, strict=True)]
    rows = {}
    for turn in range(TURNS):
        seconds = sum(one_after_the_other(each[: turn + 1]).end for each in every) / count
        rows[f"question {turn + 1}"] = share(sum(r[turn] for r in right), count) | {"seconds": round(seconds, 1)}
    return rows


# --- The voice ------------------------------------------------------------------------------------


@torch.inference_mode()
def voice(answers: Sequence[Answer], mimi: Mimi, judge: Recogniser, seed: int) -> dict:
    """In how many answers does the judge hear the text? Beside it, its score on the synthesizer's originals of the same
    texts, and on these through the codec. Only texts count of which it knows every word: `judged` of all."""
    said = [answer for answer in answers if knows(judge, answer.text)]
    kinds = {"answers": [(spoken_part(answer), as_heard(answer.text)) for answer in said]}
    kinds |= originals([answer.text for answer in said], mimi, random.Random(f"{seed}/voice"))
    rows = {name: share(*agreement(judge.transcribe, items)) for name, items in kinds.items()}
    return rows | {"judged": {"texts": len(said), "of": len(answers)}}


def originals(texts: Sequence[str], mimi: Mimi, rng: random.Random) -> dict[str, list[tuple[Tensor, str]]]:
    """The texts in the synthesizer's voice of Moshi, as they are and through the codec, and what is heard in them."""
    items = []
    for text in texts:
        wav = render_moshi(Exchange("answer", "", text, ()), moshi_voice(rng)).wav
        items.append((F.pad(wav, (MARGIN, MARGIN)), as_heard(text)))
    coded = [(mimi(wav[None, None])[0, 0], heard) for wav, heard in items]
    return {"originals": items, "originals through the codec": coded}


# --- The command ----------------------------------------------------------------------------------


def percent(row: dict) -> str:
    """A share as it is printed."""
    if row["share"] is None:
        return "nothing to count"
    return f"{100 * row['share']:5.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]  n {row['n']}"


def run(args: argparse.Namespace) -> None:
    """The command `evaluate`: the whole table, printed as it comes, and written as JSON if asked to."""
    moshi, mimi = load_moshi(args.moshi), load_mimi(args.mimi or mimi_of(args.moshi))
    judge, answers_to = load_recogniser(args.recogniser), asker(moshi, mimi, load_tokenizer(args.moshi), args.seed)
    results, everything = {}, []
    for name, asked in questions(args.trials, args.seed, args.human).items():
        answers = answers_to(asked)
        everything += answers
        results[name] = score(asked, answers)
        print(line(name, results[name]), flush=True)
    results["conversation"] = conversations(answers_to, math.ceil(args.trials / 4), args.seed)
    results["full duplex"] = full_duplex(answers_to, args.trials, args.seed)
    results["quiet minutes"] = quiet(answers_to, args.minutes, args.seed)
    some = random.Random(args.seed).sample(everything, min(args.trials, len(everything)))
    results["voice"] = voice(some, mimi, judge, args.seed)
    for name in ("conversation", "full duplex", "quiet minutes", "voice"):
        for kind, row in results[name].items():
            more = {key: value for key, value in row.items() if key not in ("right", "n", "share", "low", "high")}
            print(f"{name}, {kind:28}", percent(row) if "share" in row else "", more or "", flush=True)
    if args.json is not None:
        with writing(args.json) as part:
            part.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
