"""Transcripts: the words that a recogniser wrote down, with their times, out of its JSON file.

Moshi's text stream needs to know when each word sounds. For recordings the paper takes that from Whisper
(section 4.2). Two programs write such files, and they name two fields differently:

    whisper --word_timestamps True     {"segments": [{"words": [{"word": " Hello,", "start": 0.0, "end": 0.5,
                                                                 "probability": 0.95}, ...]}, ...]}
    whisper_timestamped                {"segments": [{"words": [{"text": "Hello,", "start": 0.0, "end": 0.5,
                                                                 "confidence": 0.95}, ...]}, ...]}

Times are seconds from the beginning of the sound. Everything else in the files is left alone.
"""

import json
import math
from pathlib import Path

from ..inner_monologue import Word

DISFLUENCY = "[*]"  # whisper_timestamped's mark for a hesitation without words


def read_json(path: str | Path) -> dict:
    """The object in a JSON file.

    Raises FileNotFoundError if there is no such file, and ValueError if it holds no JSON object.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; expected the JSON that belongs to a sound")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # JSON and UTF-8 alike
        raise ValueError(f"{path} is not JSON ({error}); write it again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} should hold a JSON object, got a {type(content).__name__}")
    return content


def checked_word(text: object, start: object, end: object, place: str) -> Word:
    """A word, if these values make one; `place` says in the error where they were read.

    Raises ValueError unless text is a string with something in it and start and end are seconds with
    0 <= start <= end.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{place}: expected the text of a word, got {text!r}")
    for name, time in (("start", start), ("end", end)):
        if isinstance(time, bool) or not isinstance(time, int | float) or not math.isfinite(time):
            raise ValueError(f"{place}: expected the {name} of {text.strip()!r} in seconds, got {time!r}")
    if not 0 <= start <= end:
        raise ValueError(f"{place}: expected 0 <= start <= end, got {start} and {end} for {text.strip()!r}")
    return Word(text.strip(), float(start), float(end))


def _word(entry: object, place: str) -> Word | None:
    """One entry of a list of words; None for a hesitation."""
    if not isinstance(entry, dict):
        raise ValueError(f"{place}: expected an object with the fields of a word, got {entry!r}")
    text = entry.get("word", entry.get("text"))
    if text == DISFLUENCY:
        return None
    return checked_word(text, entry.get("start"), entry.get("end"), place)


def read_transcript(path: str | Path) -> list[Word]:
    """The words of a file of whisper or whisper_timestamped, in the order in which they start.

    Marked hesitations are left out. Raises FileNotFoundError if there is no such file, and ValueError with the
    file and the place in it if it has another layout, no times of words, or times that cannot be.
    """
    segments = read_json(path).get("segments")
    if not isinstance(segments, list):
        raise ValueError(f'{path} should hold a list "segments", as whisper and whisper_timestamped write it')
    words = []
    for number, segment in enumerate(segments):
        place = f"{path}, segments[{number}]"
        entries = segment.get("words") if isinstance(segment, dict) else None
        if not isinstance(entries, list):
            raise ValueError(f'{place} has no list "words"; run whisper with --word_timestamps True')
        words += [_word(entry, f"{place}.words[{i}]") for i, entry in enumerate(entries)]
    return sorted((word for word in words if word), key=lambda word: word.start)
