"""Utterances: the sentences of the small world, spoken, and kept on disk.

Rendering one utterance takes about ten milliseconds; reading it back takes almost none. `utterances`
therefore renders a set once, writes its samples into one long file and its texts and times into another, and
from then on opens these files. The samples are 16-bit integers mapped into memory, so a set may be larger
than the memory.
"""

import dataclasses
import functools
import hashlib
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from moshi_ref.corpus.augment import change_speed
from moshi_ref.corpus.fsdd import DigitRecording
from moshi_ref.corpus.small_world import DIGITS, Exchange, exchange, held_out_pairs, known_pairs
from moshi_ref.corpus.voices import SAMPLE_RATE, Phone, Voice, moshi_voice, synthesize, user_voice
from moshi_ref.corpus.words import reading
from moshi_ref.inner_monologue import Word

_ROOT = Path(__file__).resolve().parents[2]
CACHE = (_ROOT if (_ROOT / "pyproject.toml").exists() else Path.cwd()) / "data" / "cache"
VERSION = 4  # part of every cache's name: raise it when the same arguments would give different utterances

SAMPLES, INDEX = "samples.int16", "index.jsonl"  # the two files of a cache

TOPIC_WEIGHTS = {"sum": 0.3, "repeat": 0.25, "compare": 0.25, "digits": 0.2}
PAUSE = (0.1, 0.5)  # seconds between two bare digits, drawn uniformly


@dataclass(frozen=True)
class Utterance:
    """What one party says in one go.

    wav: (T,) float32 at 24 kHz; words and phones have times in seconds from the beginning of wav.
    """

    wav: torch.Tensor
    text: str
    words: tuple[Word, ...]
    phones: tuple[Phone, ...]
    exchange: Exchange
    speaker: str


# --- Phones as numbers ----------------------------------------------------------------------------

# Every phone of every accent; "" is silence. Accents write the same vowel differently, and so it stays.
PHONES = (
    "",
    "a", "aa", "aɪ", "aɪə", "aɪɚ", "aʊ", "b", "d", "dʒ", "e", "ei", "eə", "eɪ", "f", "h", "i",
    "iə", "j", "k", "l", "m", "n", "n̩", "o", "oə", "oɪ", "oʊ", "p", "r", "s", "t", "tʃ",
    "t̪", "u", "v", "w", "z", "æ", "æʊ", "ð", "ŋ", "ɐ", "ɑ", "ɑə", "ɑɹ", "ɒ", "ɔ", "ɔə",
    "ɔɪ", "ɔɹ", "ə", "əl", "əu", "əɪ", "əɹ", "əʊ", "ɚ", "ɛ", "ɛə", "ɛɹ", "ɜ", "ɡ", "ɪ", "ɪɹ",
    "ɹ", "ɾ", "ʃ", "ʉ", "ʉɹ", "ʊ", "ʊə", "ʊɹ", "ʌ", "ʌɹ", "ʌʉ", "ʌʊ", "ʍ", "ʒ", "ʔ", "ʲ",
    "θ", "ᵻ",
)  # fmt: skip


def phone_frames(phones: Sequence[Phone], frames: int, frame_rate: float = 12.5) -> torch.Tensor:
    """(frames,) int64: per frame the index in PHONES of what fills most of it, 0 where that is silence."""
    unknown = {phone.symbol for phone in phones} - set(PHONES)
    if unknown:
        raise ValueError(f"expected phones of PHONES, got {sorted(unknown)}; extend PHONES by them")
    index = torch.tensor([0] + [PHONES.index(phone.symbol) for phone in phones])
    starts = torch.tensor([phone.start for phone in phones], dtype=torch.float64)
    ends = torch.tensor([phone.end for phone in phones], dtype=torch.float64)
    left = torch.arange(frames, dtype=torch.float64)[:, None] / frame_rate
    right = left + 1 / frame_rate
    overlap = torch.minimum(ends, right) - torch.maximum(starts, left)  # seconds, (frames, phones)
    spoken = overlap.clamp(min=0)
    silent = 1 / frame_rate - spoken.sum(dim=1, keepdim=True)
    return index[torch.cat([silent, spoken], dim=1).argmax(dim=1)]


# --- One utterance --------------------------------------------------------------------------------


def _later(marks: tuple, seconds: float) -> tuple:
    """The same words or phones, moved to a later time."""
    return tuple(dataclasses.replace(m, start=m.start + seconds, end=m.end + seconds) for m in marks)


def _with_pause(first: Utterance, second: Utterance, rng: random.Random) -> Utterance:
    """Two bare digits by the same or by two speakers, with a random silence between them."""
    silence = torch.zeros(round(rng.uniform(*PAUSE) * SAMPLE_RATE))
    delay = (len(first.wav) + len(silence)) / SAMPLE_RATE
    return dataclasses.replace(
        first,
        wav=torch.cat([first.wav, silence, second.wav]),
        text=f"{first.text} {second.text}",
        words=first.words + _later(second.words, delay),
        phones=first.phones + _later(second.phones, delay),
    )


def _render(text: str, about: Exchange, voice: Voice) -> Utterance:
    speech = synthesize(text, voice)
    return Utterance(speech.wav, text, speech.words, speech.phones, about, voice.name)


def render_user(about: Exchange, voice: Voice, rng: random.Random) -> Utterance:
    """A user asks the question. Two bare digits are spoken one by one, as people do; rng draws the pause."""
    if about.topic != "digits":
        return _render(about.question, about, voice)
    first, second = (_render(DIGITS[digit], about, voice) for digit in about.operands)
    return _with_pause(first, second, rng)


def render_moshi(about: Exchange, voice: Voice) -> Utterance:
    """Moshi gives the answer."""
    return _render(about.answer, about, voice)


def render_reader(rng: random.Random, split: str) -> Utterance:
    """Somebody reads a few words, Moshi in every third case."""
    text = reading(rng, split)
    voice = moshi_voice(rng) if rng.random() < 1 / 3 else user_voice(rng, split)
    return _render(text, Exchange("reading", text, text, ()), voice)


@functools.lru_cache
def _digit_symbols(digit: int) -> tuple[str, ...]:
    return tuple(phone.symbol for phone in synthesize(DIGITS[digit], Voice("en-us")).phones)


def _human_digit(recording: DigitRecording, about: Exchange) -> Utterance:
    """One recorded digit. Nobody marked its phones, so the dictionary's phones share the recording evenly."""
    seconds = len(recording.wav) / SAMPLE_RATE
    symbols = _digit_symbols(recording.digit)
    step = seconds / len(symbols)
    phones = tuple(Phone(symbol, i * step, (i + 1) * step) for i, symbol in enumerate(symbols))
    text = DIGITS[recording.digit]
    return Utterance(recording.wav, text, (Word(text, 0.0, seconds),), phones, about, recording.speaker)


def human_utterance(first: DigitRecording, second: DigitRecording, rng: random.Random) -> Utterance:
    """A person says two digits. Both recordings should be the same person's; the first one's name is kept."""
    about = exchange("digits", first.digit, second.digit)
    return _with_pause(_human_digit(first, about), _human_digit(second, about), rng)


def faster_or_slower(utterance: Utterance, rng: random.Random) -> Utterance:
    """The utterance at another speed, its times changed with it. The pitch and the resonances of the vocal tract
    change too: it is another speaker."""
    wav, factor = change_speed(utterance.wav, rng)
    words, phones = (
        tuple(dataclasses.replace(mark, start=mark.start * factor, end=mark.end * factor) for mark in marks)
        for marks in (utterance.words, utterance.phones)
    )
    return dataclasses.replace(utterance, wav=wav, words=words, phones=phones)


# --- Many utterances ------------------------------------------------------------------------------


def _about(entry: dict) -> Exchange:
    """The exchange of an entry. Question and answer are written down only where they are not the small world's."""
    topic, *operands = entry["exchange"]
    if "question" in entry:
        return Exchange(topic, entry["question"], entry["answer"], tuple(operands))
    return exchange(topic, *operands) if operands else Exchange(topic, entry["text"], entry["text"], ())


class UtteranceSet(Sequence[Utterance]):
    """The utterances in one cache folder, read on demand."""

    def __init__(self, folder: Path):
        self.samples = np.memmap(folder / SAMPLES, dtype="<i2", mode="r")
        with open(folder / INDEX, encoding="utf-8") as lines:
            self.entries = [json.loads(line) for line in lines]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, i: int) -> Utterance:
        entry = self.entries[i]
        text, about = entry["text"], _about(entry)
        wav = torch.from_numpy(self.samples[entry["begin"] : entry["end"]].astype(np.float32)) / 32767
        words = tuple(Word(*word) for word in entry["words"])
        phones = tuple(Phone(*phone) for phone in entry["phones"])
        return Utterance(wav, text, words, phones, about, entry["speaker"])


def _write(items: Iterator[Utterance], folder: Path) -> None:
    """All samples go into one file; each line of the other file says where one utterance lies in it."""
    folder.mkdir()
    position = 0
    with open(folder / SAMPLES, "wb") as samples, open(folder / INDEX, "w", encoding="utf-8") as index:
        for item in items:
            samples.write((item.wav * 32767).round().numpy().astype("<i2").tobytes())
            entry = {
                "begin": position,
                "end": position + len(item.wav),
                "text": item.text,
                "words": [dataclasses.astuple(word) for word in item.words],
                "phones": [dataclasses.astuple(phone) for phone in item.phones],
                "exchange": (item.exchange.topic, *item.exchange.operands),
                "speaker": item.speaker,
            }
            if _about(entry) != item.exchange:
                entry |= {"question": item.exchange.question, "answer": item.exchange.answer}
            index.write(json.dumps(entry, ensure_ascii=False) + "\n")
            position += len(item.wav)


def _random_utterances(role: str, split: str, count: int, seed: int) -> Iterator[Utterance]:
    """Random topics, pairs and voices; a split decides which pairs and which voices may be drawn."""
    rng = random.Random(seed)
    pairs = known_pairs if split == "train" else held_out_pairs
    for _ in range(count):
        if role == "reader":
            yield render_reader(rng, split)
            continue
        topic = rng.choices(list(TOPIC_WEIGHTS), list(TOPIC_WEIGHTS.values()))[0]
        about = exchange(topic, *rng.choice(pairs(topic)))
        if role == "user":
            yield render_user(about, user_voice(rng, split), rng)
        else:
            yield render_moshi(about, moshi_voice(rng))


def utterances(role: str, split: str, count: int, seed: int, folder: Path = CACHE) -> UtteranceSet:
    """`count` random utterances of role "user", "moshi" or "reader".

    Split "train" draws known pairs, words and voices, "test" held-out ones. The first call
    renders the utterances and writes them below `folder`; later calls with the same arguments only open the
    files.
    """
    if role not in ("user", "moshi", "reader") or split not in ("train", "test") or count < 1:
        raise ValueError(
            'utterances needs role "user", "moshi" or "reader", split "train" or "test" and count of at least 1, '
            f"got {role!r}, {split!r} and {count}"
        )
    arguments, name = [VERSION, role, split, count, seed], f"{role}-{split}-{count}"
    return cached(name, arguments, lambda: _random_utterances(role, split, count, seed), count, folder)


def cached(name: str, arguments: list, items: Callable[[], Iterator[Utterance]], count: int,
           folder: Path) -> UtteranceSet:
    """The set that `items` renders, `count` utterances, from its files below `folder` if it was rendered before.

    The folder's name is `name` and a hash of the arguments, all that the utterances depend on. A set gets its name
    when it is complete: an interrupted call leaves no half of one behind.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    title, name = name, f"{name}-{hashlib.sha256(json.dumps(arguments).encode()).hexdigest()[:12]}"
    if not (folder / name).exists():
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=folder) as temporary:
            _write(tqdm(items(), title, total=count, disable=None), Path(temporary) / name)
            if not (folder / name).exists():  # or another process was faster
                (Path(temporary) / name).rename(folder / name)
    return UtteranceSet(folder / name)


class VariedUtterances(Sequence[Utterance]):
    """Utterances, each a little faster or slower: more speakers than the synthesizer has. Number i is the same at
    every call with the same seed."""

    def __init__(self, utterances: Sequence[Utterance], seed: int):
        self.utterances, self.seed = utterances, seed

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, i: int) -> Utterance:
        return faster_or_slower(self.utterances[i], random.Random(f"{self.seed}/varied/{i}"))
