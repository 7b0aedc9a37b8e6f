"""Synthetic speakers: text in, speech with the exact times of its words and phones out.

The speech comes from eSpeak NG, a small rule-based synthesizer. It does not sound like a person, but it has
two properties that recordings lack: it says anything we type, and it tells to the millisecond when each word
and each phone begins. One accent ("en-us") plus one variant of the vocal tract ("f4") plus a speaking rate
and a pitch make one speaker, so a few dozen files on disk give thousands of different voices.

The library is called through its C interface with `ctypes`. Everything about C stays in the third section of
this file; `synthesize` at the end is what the rest of the corpus uses.
"""

import _ctypes
import atexit
import bisect
import ctypes
import functools
import os
import random
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader
import torch
from torchaudio.transforms import Resample

from moshi_ref.inner_monologue import Word

SAMPLE_RATE = 24_000  # what the codec hears, in Hz
ESPEAK_RATE = 22_050  # what eSpeak NG produces, in Hz
LOUDNESS = 10 ** (-23 / 20)  # root mean square of every utterance: -23 dB below full scale
PEAK = 0.99


# --- Who can speak --------------------------------------------------------------------------------

ENGLISH = (
    "en-us",
    "en",  # British; the library knows "en-gb" only by this name
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",  # Lancaster
    "en-gb-x-gbcwmd",  # West Midlands
    "en-029",  # Caribbean
    "en-us-nyc",
)

# The variants that sound like somebody. Left out are robots, whisperers, croaks and echoes, the near twins
# of another variant, and two ("caleb", "Reed") whose breath is random at every call.
# A variant is in one of the two lists only: a test speaker is a vocal tract that training has never heard.
TRAIN_VARIANTS = (
    "Alex", "Alicia", "Andrea", "Andy", "Denis", "Gene", "Gene2", "Henrique", "Jacky", "Marco", "Mario",
    "Mike", "Nguyen", "RicishayMax", "RicishayMax2", "RicishayMax3", "adam", "anika", "antonio", "belinda",
    "boris", "ed", "edward", "f1", "f2", "f5", "grandma", "gustave", "ian", "iven2", "john", "kaukovalta",
    "linda", "m1", "m2", "m4", "m5", "m6", "m8", "marcelo", "max", "miguel", "mike2", "norbert", "paul",
    "pedro", "quincy", "rob", "steph", "travis", "zac",
)  # fmt: skip
TEST_VARIANTS = (
    "Annie", "aunty", "f4", "shelby",
    "Diogo", "Lee", "david", "m3", "m7", "pablo", "robert", "victor",
)  # fmt: skip


@dataclass(frozen=True)
class Voice:
    """One speaker: language and variant, joined by "+", and the speaker's habits.

    rate: words per minute; pitch and pitch_range: 0..100, where 50 is the variant's own.
    """

    name: str
    rate: int = 170
    pitch: int = 50
    pitch_range: int = 50


MOSHI_VOICE = Voice("en-us+f3")  # no user ever has this variant: who hears it hears Moshi


def user_voice(rng: random.Random, split: str) -> Voice:
    """A random user; split "train" or "test" decides whose vocal tracts may be drawn."""
    variants = {"train": TRAIN_VARIANTS, "test": TEST_VARIANTS}
    if split not in variants:
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    name = f"{rng.choice(ENGLISH)}+{rng.choice(variants[split])}"
    return Voice(name, rng.randint(120, 210), rng.randint(25, 75), rng.randint(30, 70))


def moshi_voice(rng: random.Random) -> Voice:
    """Moshi's voice in a slightly different mood, so that one answer has many renderings."""
    pitch = MOSHI_VOICE.pitch + rng.randint(-6, 6)
    return Voice(MOSHI_VOICE.name, rng.randint(150, 190), pitch, MOSHI_VOICE.pitch_range)


# --- What is said ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phone:
    """One speech sound, written in the international phonetic alphabet; start and end in seconds."""

    symbol: str
    start: float
    end: float


@dataclass(frozen=True)
class Speech:
    """A spoken text. wav: (T,) float32 at 24 kHz; words and phones in the order in which they are spoken."""

    wav: torch.Tensor
    words: tuple[Word, ...]
    phones: tuple[Phone, ...]


def base_symbol(symbol: str) -> str:
    """The phone without its marks of stress and length: "ˈiː" becomes "i"."""
    return "".join(mark for mark in symbol if mark not in "ˈˌːˑ:")


@functools.lru_cache
def resampler(rate: int) -> Resample:
    """A filter from `rate` to 24 kHz; its kernel is computed once per rate."""
    return Resample(rate, SAMPLE_RATE)


def to_loudness(wav: torch.Tensor) -> torch.Tensor:
    """Scales (T,) to the common loudness; the rare sample that would exceed the peak is clipped."""
    rms = wav.square().mean().sqrt()
    return (wav * (LOUDNESS / rms.clamp(min=1e-6))).clamp(-PEAK, PEAK)


# --- The C library --------------------------------------------------------------------------------

SYNCHRONOUS = 2  # espeak_Synth returns when all samples have been delivered
PHONEME_EVENTS, PHONEME_IPA, DONT_EXIT = 0x1, 0x2, 0x8000  # options of espeak_Initialize
UTF8 = 1
RATE, VOLUME, PITCH, RANGE, WORD_GAP = 1, 2, 3, 4, 7  # numbers of espeak_SetParameter
QUIET = 40  # eSpeak's own volume: low enough that no variant overdrives its 16 bits
END_OF_LIST, WORD, PHONEME = 0, 1, 7  # event types
LONGEST_PATH = 120  # bytes; the library keeps the path in a small fixed buffer


class _EventId(ctypes.Union):
    """A phoneme event carries the phone's name, at most eight bytes of UTF-8; the pointer sets the size."""

    _fields_ = [("number", ctypes.c_int), ("string", ctypes.c_char * 8), ("name", ctypes.c_void_p)]


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h. text_position counts characters from 1; sample counts samples from 0."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


@functools.lru_cache
def _home() -> Path:
    """The folder that contains `espeak-ng-data`, copied to a short temporary path if its own is too long."""
    data = Path(espeakng_loader.get_data_path())
    if len(os.fsencode(data)) <= LONGEST_PATH:
        return data.parent
    folder = Path(tempfile.mkdtemp(prefix="espeak-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(data, folder / "espeak-ng-data")
    return folder


def _open() -> ctypes.CDLL:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    options = PHONEME_EVENTS | PHONEME_IPA | DONT_EXIT
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, os.fsencode(_home()), options)
    if rate != ESPEAK_RATE:
        raise RuntimeError(
            f"eSpeak NG should start and speak at {ESPEAK_RATE} Hz, but espeak_Initialize returned {rate}; "
            f"check that {_home()} contains a complete espeak-ng-data, or reinstall espeakng-loader"
        )
    library.espeak_ng_SetRandSeed(1)
    return library


def _close(library: ctypes.CDLL) -> None:
    library.espeak_Terminate()
    if sys.platform == "win32":
        _ctypes.FreeLibrary(library._handle)
    else:
        _ctypes.dlclose(library._handle)


def _speak(text: str, voice: Voice) -> tuple[torch.Tensor, list[tuple[int, int, int, str]]]:
    """Samples (T,) at 22.05 kHz in -1..1, and events (type, position in the text, sample where it begins, phone).

    The library is loaded before each text and unloaded after it. This costs half a millisecond and is the one
    way to make the same text sound the same every time: a voice's slow flutter of the pitch is read from a
    table and continues where the previous text stopped, even across `espeak_Terminate`.
    """
    samples, events = bytearray(), []

    @_Callback
    def receive(wav, count, event):
        samples.extend(ctypes.string_at(wav, 2 * count) if wav else b"")
        i = 0
        while event[i].type != END_OF_LIST:
            e = event[i]
            phone = e.id.string.decode("utf-8", "ignore") if e.type == PHONEME else ""
            events.append((e.type, e.text_position - 1, e.sample, phone))
            i += 1
        return 0

    library = _open()
    try:
        library.espeak_SetSynthCallback(receive)
        if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise ValueError(f'eSpeak NG has no voice {voice.name!r}; take for example "en-us+f3"')
        values = {RATE: voice.rate, VOLUME: QUIET, PITCH: voice.pitch, RANGE: voice.pitch_range, WORD_GAP: 0}
        for parameter, value in values.items():
            library.espeak_SetParameter(parameter, value, 0)
        raw = text.encode()
        if library.espeak_Synth(raw, len(raw) + 1, 0, 1, 0, UTF8, None, None) != 0:
            raise RuntimeError(f"eSpeak NG could not speak {text!r}")
    finally:
        _close(library)
    return torch.frombuffer(samples, dtype=torch.int16).float() / 32768, events


# --- Text to speech -------------------------------------------------------------------------------


def _phone_spans(events: list[tuple[int, int, int, str]], begins: list[int]) -> list[tuple[int, str, float, float]]:
    """(number of its word, symbol, start, end) per phone, in seconds; pauses have no symbol and are left out.

    `begins` are the positions in the text at which the words begin. A phone lasts until the next one begins. The
    last phoneme event is always a pause.
    """
    word, marks = 0, []  # the first word is not always announced: not "Hugo" in New York, which loses its first sound
    for kind, position, sample, symbol in events:
        if kind == WORD:
            word = bisect.bisect_right(begins, position) - 1
        elif kind == PHONEME:
            marks.append((word, base_symbol(symbol), sample / ESPEAK_RATE))
    ends = [start for _, _, start in marks[1:]]
    return [(*mark, end) for mark, end in zip(marks, ends, strict=False) if mark[1]]


def _share(names: list[str], start: float, end: float) -> list[Word]:
    """Words that were spoken as one, each with a part of the time that fits the number of its letters."""
    words, letters = [], sum(map(len, names))
    for name in names[:-1]:
        words.append(Word(name, start, start + (end - start) * len(name) / letters))
        start, letters = words[-1].end, letters - len(name)
    return [*words, Word(names[-1], start, end)]


def synthesize(text: str, voice: Voice) -> Speech:
    """Speaks words or sentences; the recording begins with the first phone and ends with the last one.

    Words are what stands between spaces, written as in the text: "seven." is one. eSpeak runs some small words
    together, such as "of the": they share their time. The same text and voice give the same samples, whatever was
    spoken before. Raises ValueError for a text without words, or with one that cannot be heard.
    """
    found = [(match.start(), match[0]) for match in re.finditer(r"\S+", text)]
    begins, names = [begin for begin, _ in found], [name for _, name in found]
    wav, events = _speak(text, voice)
    spans = _phone_spans(events, begins)
    heard = sorted({span[0] for span in spans})  # numbers of the words that have phones of their own
    if heard[:1] != [0] or not all(any(map(str.isalnum, name)) for name in names):
        raise ValueError(f"expected plain words or sentences, a letter in each word, all audible; got {text!r}")
    begin, end = spans[0][2], spans[-1][3]
    phones = [Phone(symbol, start - begin, stop - begin) for _, symbol, start, stop in spans]
    words = []
    for number, following in zip(heard, [*heard[1:], len(names)], strict=True):
        own = [phone for phone, span in zip(phones, spans, strict=True) if span[0] == number]
        words += _share(names[number:following], own[0].start, own[-1].end)
    wav = wav[round(begin * ESPEAK_RATE) : round(end * ESPEAK_RATE)]
    return Speech(to_loudness(resampler(ESPEAK_RATE)(wav)), tuple(words), tuple(phones))
