"""Asking Moshi questions by the hundred: is the answer right, and does it come in time?

Each trial is a new conversation: silence, a spoken question, silence. Moshi runs frame by frame with
greedy text, as it does live. An answer is right if the words of its text stream are exactly the expected
ones, from the first frame to the last.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ..corpus.utterances import Utterance
from ..inner_monologue import Word, tokens_to_words
from ..mimi import Mimi
from ..moshi import Moshi, MoshiStream
from ..rq_transformer import Sampling
from ..tokenizer import TextTokenizer
from .intervals import wilson

BEFORE, AFTER = (0.5, 1.5), 4.5  # seconds of silence around a question
LOUD = 10 ** (-45 / 20)  # a frame of Moshi's louder than this is speech
PIECE = 4  # frames that Mimi encodes or decodes at a time: more would not be faster, and needs more memory
IN_TIME = (0.2, 0.8)  # seconds after the end of the question


@dataclass(frozen=True)
class Question:
    """A sound that is played to Moshi, and what should come back."""

    wav: Tensor  # (T,)
    end: float  # of the question, in seconds
    answer: str  # "" for silence


@dataclass(frozen=True)
class Answer:
    """What came back."""

    text: str
    wav: Tensor  # (T,) Moshi's channel
    onset: float | None  # seconds at which Moshi's voice starts
    words: tuple[Word, ...] = ()  # of the text, with their times


def question(utterance: Utterance, rng: random.Random) -> Question:
    """The utterance with silence before it, as long as chance will have it, and after it."""
    before = round(rng.uniform(*BEFORE) * 24_000)
    wav = F.pad(utterance.wav, (before, round(AFTER * 24_000)))
    return Question(wav, (before + len(utterance.wav)) / 24_000, utterance.exchange.answer)


@torch.inference_mode()
def ask(moshi: Moshi, mimi: Mimi, tokenizer: TextTokenizer, questions: Sequence[Question], seed: int) -> list[Answer]:
    """All questions at once, each in a conversation of its own. Everything streams; Mimi does a few frames
    at a time, which gives the same codes and samples as frame by frame."""
    size, rate = mimi.config.frame_size, mimi.config.sample_rate
    frames = -(-max(len(q.wav) for q in questions) // size)
    sound = torch.stack([F.pad(q.wav, (0, frames * size - len(q.wav))) for q in questions])[:, None]
    codec = mimi.initial_state(len(questions))
    heard = torch.cat([mimi.encode(piece, codec) for piece in sound.split(PIECE * size, -1)], -1)  # (N, Q, F)
    stream = MoshiStream(moshi, mimi, seed, len(questions), text=Sampling(0.0, 1))
    replies = [stream.step_codes(column) for column in tqdm(heard.unbind(-1), "frames", leave=False, disable=None)]
    text = torch.stack([t for t, _ in replies], dim=-1)  # (N, F)
    codes = torch.stack([c for _, c in replies], dim=-1)  # (N, Q, F)
    pieces = codes.clamp(min=0).split(PIECE, -1)
    said = torch.cat([mimi.decode(piece, codec) for piece in pieces], -1)[:, 0]  # (N, F * 1920)
    answers = []
    for tokens, wav in zip(text, said, strict=True):
        words = tokens_to_words(tokens, tokenizer, mimi.config.frame_rate)
        loud = wav.view(-1, rate // 100).square().mean(-1).sqrt() > LOUD  # (F * 8,) ten milliseconds each
        onset = loud.int().argmax().item() / 100 if loud.any() else None
        answers.append(Answer(" ".join(w.text for w in words), wav, onset, tuple(words)))
    return answers


def spoken_part(answer: Answer) -> Tensor:
    """Moshi's voice from its first sound to its last, with a little silence around."""
    loud = (answer.wav.abs() > LOUD).nonzero()[:, 0]
    if len(loud) == 0:
        return answer.wav[:24_000]
    margin = 2400
    return answer.wav[max(0, int(loud[0]) - margin) : int(loud[-1]) + margin]


def share(k: int, n: int) -> dict:
    """A count as a share with its 95 % interval; of no trials nothing is known."""
    if n == 0:
        return {"right": 0, "n": 0, "share": None, "low": 0.0, "high": 1.0}
    low, high = wilson(k, n)
    return {"right": k, "n": n, "share": round(k / n, 4), "low": round(low, 4), "high": round(high, 4)}


def score(questions: Sequence[Question], answers: Sequence[Answer]) -> dict:
    """Shares of right answers, of right operands (where the answer names them), and of answers in time; how many voices
    began before the end of the question, and how often not a word was written."""
    n, pairs = len(questions), list(zip(questions, answers, strict=True))
    gaps = [a.onset - q.end for q, a in pairs if a.onset is not None]
    row = {
        "text": share(sum(a.text == q.answer for q, a in pairs), n),
        "in_time": share(sum(IN_TIME[0] <= gap <= IN_TIME[1] for gap in gaps), n),
        "early": sum(gap < 0 for gap in gaps),
        "no_answer": sum(not a.text for a in answers),
        "median_gap": round(sorted(gaps)[len(gaps) // 2], 3) if gaps else None,
    }
    if all(" plus " in q.answer for q in questions):
        wanted = [(q.answer.split(), (a.text.split() + [""] * 3)) for q, a in pairs]
        right = sum((w[0] == g[0]) + (w[2] == g[2]) for w, g in wanted)
        row["operands"] = share(right, 2 * n)
    return row


def line(name: str, row: dict) -> str:
    """One row of the table."""
    def percent(s: dict) -> str:
        return f"{100 * s['share']:5.1f} % [{100 * s['low']:.1f}, {100 * s['high']:.1f}]"

    operands = f"  operands {percent(row['operands'])}" if "operands" in row else ""
    return (f"{name:28} right {percent(row['text'])}  in time {percent(row['in_time'])}  "
            f"early {row['early']}  no answer {row['no_answer']}  gap {row['median_gap']} s{operands}  "
            f"n {row['text']['n']}")  # fmt: skip
