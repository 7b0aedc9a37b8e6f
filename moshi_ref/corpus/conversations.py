"""Recorded conversations on disk, in the layout of Kyutai's fine-tuning tool (kyutai-labs/moshi-finetune).

A data set made for that tool can be read here, and one written here can be used there:

    data.jsonl        {"path": "stereo/a.wav", "duration": 24.52}    a line for each sound, seen from this file's folder
    stereo/a.wav      two channels: Moshi on the left, the user on the right
    stereo/a.json     {"alignments": [["Hello,", [0.1, 0.52], "SPEAKER_MAIN"], ...]}    in the order of the starts

Times are seconds. SPEAKER_MAIN is Moshi, and the tool reads nobody else's words. We may know the user's as well, and
write them with the label SPEAKER_OTHER. Sounds of other rates are resampled to 24 kHz when they are read, as the tool
does; below 24 kHz a part of what Mimi hears is missing, and that is called a fault.

Shapes: T samples.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
import torchaudio
from torch import Tensor

from ..audio import writing
from ..inner_monologue import Word
from .transcripts import checked_word, read_json
from .voices import SAMPLE_RATE

MAIN, OTHER = "SPEAKER_MAIN", "SPEAKER_OTHER"
SLACK = 0.1  # seconds by which a word may outlast the sound, and by which a manifest may be wrong: times are rounded


@dataclass(frozen=True)
class Conversation:
    """Moshi and a user. wav: (2, T) float32 at 24 kHz, Moshi first; words in the order in which they start."""

    wav: Tensor
    words: tuple[Word, ...]
    user_words: tuple[Word, ...] = ()  # empty if nobody wrote them down


# --- One conversation -----------------------------------------------------------------------------


def _read_stereo(path: Path) -> Tensor:
    """(2, T) at 24 kHz."""
    if not path.is_file():
        raise FileNotFoundError("there is no such file")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)  # (T, channels)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise ValueError("not a sound file that can be read; expected WAV") from error
    wav = torch.from_numpy(samples).T  # (channels, T)
    if wav.shape[0] != 2:
        raise ValueError(f"expected 2 channels, Moshi and the user, got {wav.shape[0]}; see corpus.diarization")
    if rate < SAMPLE_RATE:
        raise ValueError(f"expected {SAMPLE_RATE} Hz or more, got {rate}; find the original, or resample knowingly")
    if wav.shape[1] == 0:
        raise ValueError("expected a sound, got one without samples")
    if not wav.isfinite().all():
        raise ValueError("samples are NaN or infinite; export the recording again")
    return torchaudio.functional.resample(wav, rate, SAMPLE_RATE)


def _alignment_faults(entries: list, seconds: float) -> list[str]:
    """All that is wrong with a list of alignments for a sound of so many seconds."""
    faults, latest = [], 0.0
    for number, entry in enumerate(entries):
        place = f"alignments[{number}]"
        match entry:
            case [text, [start, end], str()]:
                try:
                    word = checked_word(text, start, end, place)
                except ValueError as error:
                    faults.append(str(error))
                    continue
            case _:
                faults.append(f"{place}: expected [word, [start, end], speaker], got {entry!r}")
                continue
        found = f"{place}: {word.text!r} from {word.start} to {word.end}"
        if word.start < latest:
            faults.append(f"{found} comes after a word that starts at {latest}; sort them by their starts")
        if word.start >= seconds or word.end > seconds + SLACK:
            faults.append(f"{found} lies outside of the {seconds:.2f} s of sound; align it again")
        latest = max(latest, word.start)
    return faults


def _read_alignments(path: Path) -> list:
    entries = read_json(path).get("alignments")
    if not isinstance(entries, list):
        raise ValueError(f'{path} should hold a list "alignments" of [word, [start, end], speaker]')
    return entries


def _words(entries: list, label: str) -> tuple[Word, ...]:
    return tuple(Word(text.strip(), float(start), float(end)) for text, (start, end), who in entries if who == label)


def _examine(path: Path) -> tuple[Conversation | None, list[str]]:
    """A conversation and no faults, or none and the faults of its two files."""
    faults, wav, entries = [], None, None
    try:
        wav = _read_stereo(path)
    except (OSError, ValueError) as error:
        faults.append(str(error))
    try:
        entries = _read_alignments(path.with_suffix(".json"))
    except (OSError, ValueError) as error:
        faults.append(str(error))
    if entries is not None:
        faults += _alignment_faults(entries, math.inf if wav is None else wav.shape[1] / SAMPLE_RATE)
        if not any(isinstance(entry, list) and entry[-1:] == [MAIN] for entry in entries):
            faults.append(f"no word has the label {MAIN}, so Moshi would learn to be silent; label its words so")
    if faults:
        return None, faults
    return Conversation(wav, _words(entries, MAIN), _words(entries, OTHER)), []


def read_conversation(path: str | Path) -> Conversation:
    """The conversation in a sound file and the JSON beside it.

    Raises ValueError with all that is wrong with the two files, also if one of them is missing.
    """
    conversation, faults = _examine(Path(path))
    if conversation is None:
        raise ValueError(f"{path}: " + "; ".join(faults))
    return conversation


def write_conversation(path: str | Path, conversation: Conversation) -> None:
    """Write a sound file, 16 bits, and the JSON beside it.

    Raises ValueError for what `read_conversation` would refuse, and FileNotFoundError if there is no such folder.
    """
    path, wav = Path(path), conversation.wav
    if path.suffix != ".wav":
        raise ValueError(f"expected a name that ends in .wav, got {path.name}")
    if wav.ndim != 2 or wav.shape[0] != 2 or wav.shape[1] == 0 or not wav.isfinite().all():
        raise ValueError(f"expected finite sound of shape (2, T), T > 0, got shape {tuple(wav.shape)}")
    labelled = ((conversation.words, MAIN), (conversation.user_words, OTHER))
    entries = [[word.text, [word.start, word.end], label] for words, label in labelled for word in words]
    entries.sort(key=lambda entry: entry[1][0])
    faults = _alignment_faults(entries, wav.shape[1] / SAMPLE_RATE)
    if faults or not conversation.words:
        raise ValueError(f"{path}: " + ("; ".join(faults) or "expected words of Moshi, got none"))
    with writing(path.with_suffix(".json")) as part:
        part.write_text(json.dumps({"alignments": entries}, ensure_ascii=False), encoding="utf-8")
    with writing(path) as part:
        soundfile.write(part, wav.clamp(-1, 1).T.numpy(), SAMPLE_RATE, "PCM_16")


# --- Many -----------------------------------------------------------------------------------------


def write_manifest(path: str | Path, sounds: Iterable[str | Path]) -> None:
    """Write the list of sound files that the fine-tuning tool reads, their paths seen from the list's folder.

    Raises FileNotFoundError if a sound is missing, and ValueError if one lies outside of that folder.
    """
    path, lines = Path(path), []
    for sound in map(Path, sounds):
        if not sound.is_file():
            raise FileNotFoundError(f"no file {sound}; write the conversations before their manifest")
        if not sound.resolve().is_relative_to(path.parent.resolve()):
            raise ValueError(f"{sound} should lie in {path.parent}, the folder of the manifest, or below it")
        inside = sound.resolve().relative_to(path.parent.resolve()).as_posix()
        lines.append(json.dumps({"path": inside, "duration": soundfile.info(sound).duration}, ensure_ascii=False))
    with writing(path) as part:
        part.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _manifest(path: Path) -> tuple[dict[Path, float], dict[str, list[str]]]:
    """{sound: its duration in seconds}, and the faults of lines: {"data.jsonl, line 3": [...]}."""
    durations, faults = {}, {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            match json.loads(line):
                case {"path": str(sound), "duration": int() | float() as seconds}:
                    durations[path.parent / sound] = seconds  # an absolute path stays what it is
                case _:
                    raise ValueError("it has other fields")
        except ValueError as error:
            reason = f'expected {{"path": "a.wav", "duration": seconds}}, got {line[:80]} ({error})'
            faults[f"{path}, line {number}"] = [reason]
    return durations, faults


def _listed(source: Path) -> tuple[dict[Path, float | None], dict[str, list[str]]]:
    """The sounds of a folder or a manifest, with durations as far as they were promised, and faults of the list."""
    if source.is_dir():
        durations, faults = dict.fromkeys(sorted(source.rglob("*.wav"))), {}
    elif source.is_file() and source.suffix == ".jsonl":
        durations, faults = _manifest(source)
    else:
        raise FileNotFoundError(f"expected a folder of conversations or a manifest such as data.jsonl, got {source}")
    if not durations and not faults:
        faults[str(source)] = ["expected stereo WAV files, found none"]
    return durations, faults


def sounds_of(source: str | Path) -> list[Path]:
    """The sound files of a data set: all WAV files in or below a folder, or those that a manifest lists.

    Raises FileNotFoundError if there is no such folder or file, and ValueError if it lists nothing, or badly.
    """
    durations, faults = _listed(Path(source))
    if faults:
        raise ValueError("; ".join(f"{place}: {reason}" for place, (reason,) in faults.items()))
    return list(durations)


def validate(source: str | Path) -> dict[str, list[str]]:
    """All bad files of a data set, a folder or a manifest: {file: [what is wrong, ...]}, empty if it is good.

    Every file is looked at, whatever is wrong with those before it. Raises FileNotFoundError if there is no such
    folder or manifest.
    """
    durations, faults = _listed(Path(source))
    for sound, promised in durations.items():
        conversation, wrong = _examine(sound)
        if conversation is not None and promised is not None:
            seconds = conversation.wav.shape[1] / SAMPLE_RATE
            if not abs(seconds - promised) <= SLACK:  # NaN is not
                wrong.append(f"the manifest says {promised} s, the sound has {seconds:.2f} s; write the manifest again")
        if wrong:
            faults[str(sound)] = wrong
    return faults
