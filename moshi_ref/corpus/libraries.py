"""Read speech from public libraries: LibriSpeech and LJSpeech.

    LibriSpeech (Panayotov et al. 2015, openslr.org/12), a thousand hours of many readers, FLAC, 16 kHz
        train-clean-100/103/1240/103-1240-0000.flac        reader, chapter, number
        train-clean-100/103/1240/103-1240.trans.txt        103-1240-0000 CHAPTER ONE MISSUS RACHEL LYNDE ...
    LJSpeech (Ito & Johnson 2017, keithito.com/LJ-Speech-Dataset), a day of one reader, WAV, 22.05 kHz
        wavs/LJ001-0001.wav
        metadata.csv                                       LJ001-0001|as it is printed|as it is spoken

Both come without the times of words: `corpus.alignment.align` finds them. Human digits are in `corpus.fsdd`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..audio import read_audio
from .small_world import Exchange
from .utterances import Utterance


@dataclass(frozen=True)
class Reading:
    """Where somebody reads what."""

    path: Path
    text: str  # as it is spoken
    speaker: str


class ReadSpeech(Sequence[Utterance]):
    """Readings as utterances of topic "reading", their sound at 24 kHz read on demand.

    They have no words with times and no phones. Raises what `read_audio` raises if a sound is missing or broken.
    """

    def __init__(self, readings: Sequence[Reading]):
        self.readings = list(readings)

    def __len__(self) -> int:
        return len(self.readings)

    def __getitem__(self, i: int) -> Utterance:
        reading = self.readings[i]
        wav, _ = read_audio(reading.path)
        about = Exchange("reading", reading.text, reading.text, ())
        return Utterance(wav, reading.text, (), (), about, reading.speaker)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """(place, line) of a text file, for the lines that are not empty."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            yield f"{path}, line {number}", line


def _beside(path: Path, place: str) -> Path:
    """The path of a sound. Raises FileNotFoundError if there is none."""
    if not path.is_file():
        raise FileNotFoundError(f"{place}: no sound {path}; unpack the archive again")
    return path


def librispeech(folder: str | Path) -> ReadSpeech:
    """LibriSpeech, or any of its folders, in the order of the transcripts. Texts become lower case.

    Raises FileNotFoundError if there are no transcripts or if a sound is missing, and ValueError for a line that is
    not a name and a text.
    """
    transcripts = sorted(Path(folder).rglob("*.trans.txt"))
    if not transcripts:
        raise FileNotFoundError(f"no .trans.txt in {folder}; expected a part of LibriSpeech, unpacked (openslr.org/12)")
    readings = []
    for transcript in transcripts:
        for place, line in _lines(transcript):
            name, _, text = line.partition(" ")
            if name.count("-") != 2 or not text.strip():
                raise ValueError(f"{place}: expected reader-chapter-number and a text, got {line[:60]!r}")
            sound = _beside(transcript.parent / f"{name}.flac", place)
            readings.append(Reading(sound, text.strip().lower(), f"librispeech-{name.split('-')[0]}"))
    return ReadSpeech(readings)


def ljspeech(folder: str | Path) -> ReadSpeech:
    """LJSpeech, the texts as they are spoken, numbers in words.

    Raises FileNotFoundError if metadata.csv or a sound is missing, and ValueError for a line that is not a name and two
    texts between bars.
    """
    metadata = Path(folder) / "metadata.csv"
    if not metadata.is_file():
        raise FileNotFoundError(f"no {metadata}; expected the folder LJSpeech-1.1 (keithito.com/LJ-Speech-Dataset)")
    readings = []
    for place, line in _lines(metadata):
        name, *texts = line.split("|")  # not the csv module: quotation marks stand for themselves
        if len(texts) != 2 or not texts[1].strip():
            raise ValueError(f"{place}: expected name|text|text as it is spoken, got {line[:60]!r}")
        readings.append(Reading(_beside(metadata.parent / "wavs" / f"{name}.wav", place), texts[1].strip(), "ljspeech"))
    return ReadSpeech(readings)
