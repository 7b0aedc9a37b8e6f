"""Recorded conversations on disk, in the layout of Kyutai's fine-tuning tool (kyutai-labs/moshi-finetune).

A data set made for that tool can be read here, and one written here can be used there:

    data.jsonl        {"path": "stereo/a.wav", "duration": 24.52}    a line for each sound, seen from this file's folder
    stereo/a.wav      two channels: Moshi on the left, the user on the right
    stereo/a.json     {"alignments": [["Hello,", [0.1, 0.52], "SPEAKER_MAIN"], ...]}    in the order of the starts

Times are seconds. SPEAKER_MAIN is Moshi, and the tool reads nobody else's words, and none that end when they start.
We may know the user's as well, and write them with the label SPEAKER_OTHER. Sounds of other rates are resampled to
24 kHz when they are read, as the tool does; below 24 kHz a part of what Mimi hears is missing, and that is called a
fault.

    python -m moshi_ref.corpus.conversations data.jsonl    names all bad files of a data set, a manifest or a folder

Shapes: T samples.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torchaudio
from torch import Tensor

from ..audio import read_channels, writing
from ..inner_monologue import Word
from .diarization import Segment, two_channels, words_by_speaker
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


def read_stereo(path: str | Path) -> Tensor:
    """The sound of a file with two channels, (2, T) float32 at 24 kHz.

    Raises FileNotFoundError if there is no such file, and ValueError if it is not a sound, has another number of
    channels, a lower rate, no samples, or samples that are not finite.
    """
    wav, rate = read_channels(path)  # (channels, T)
    if wav.shape[0] != 2:
        raise ValueError(f"{path} should have 2 channels, Moshi and the user, got {wav.shape[0]}; see `from_mono`")
    if rate < SAMPLE_RATE:
        raise ValueError(f"{path} should have {SAMPLE_RATE} Hz or more, got {rate}; find the original, or resample it")
    return torchaudio.functional.resample(wav, rate, SAMPLE_RATE)


def from_mono(wav: Tensor, words: Sequence[Word], segments: Sequence[Segment], main: str) -> Conversation:
    """The conversation in a recording (T,) at 24 kHz with one channel: the speaker `main` becomes Moshi.

    words: of everybody, from a transcript; segments: from a diarizer. The paper draws `main` at random. Raises
    ValueError if `main` never speaks.
    """
    wav = two_channels(wav, segments, main)
    said = words_by_speaker(words, segments)
    others = [word for speaker, own in said.items() if speaker != main for word in own]
    return Conversation(wav, tuple(said[main]), tuple(sorted(others, key=lambda word: word.start)))


def _alignment_faults(path: Path, entries: list, seconds: float) -> list[str]:
    """All that is wrong with the list of alignments in a file, for a sound of so many seconds."""
    faults, latest = [], 0.0
    for number, entry in enumerate(entries):
        place = f"{path}, alignments[{number}]"
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
    faults, wav, entries, transcript = [], None, None, path.with_suffix(".json")
    try:
        wav = read_stereo(path)
    except (OSError, ValueError) as error:
        faults.append(str(error))
    try:
        entries = _read_alignments(transcript)
    except (OSError, ValueError) as error:
        faults.append(str(error))
    if entries is not None:
        seconds = math.inf if wav is None else wav.shape[1] / SAMPLE_RATE
        faults += _alignment_faults(transcript, entries, seconds)
        if not any(isinstance(entry, list) and entry[-1:] == [MAIN] for entry in entries):
            faults.append(f"{transcript} has no word with the label {MAIN}; give it to those that Moshi says")
    if faults:
        return None, faults
    return Conversation(wav, _words(entries, MAIN), _words(entries, OTHER)), []


def read_conversation(path: str | Path) -> Conversation:
    """The conversation in a sound file and the JSON beside it.

    Raises ValueError with all that is wrong with the two files, also if one of them is missing.
    """
    conversation, faults = _examine(Path(path))
    if conversation is None:
        raise ValueError("; ".join(faults))
    return conversation


def write_conversation(path: str | Path, conversation: Conversation) -> None:
    """Write a sound file, 16 bits, and the JSON beside it.

    Raises ValueError for what `read_conversation` would refuse, and FileNotFoundError if there is no such folder.
    """
    path, transcript, wav = Path(path), Path(path).with_suffix(".json"), conversation.wav
    if path.suffix != ".wav":
        raise ValueError(f"expected a name that ends in .wav, got {path.name}")
    if wav.ndim != 2 or wav.shape[0] != 2 or wav.shape[1] == 0 or not wav.isfinite().all():
        raise ValueError(f"expected finite sound of shape (2, T), T > 0, got shape {tuple(wav.shape)}")
    labelled = ((conversation.words, MAIN), (conversation.user_words, OTHER))
    entries = [[word.text, [word.start, word.end], label] for words, label in labelled for word in words]
    entries.sort(key=lambda entry: entry[1][0])
    faults = _alignment_faults(transcript, entries, wav.shape[1] / SAMPLE_RATE)
    if faults or not conversation.words:
        raise ValueError("; ".join(faults) or f"expected words of Moshi for {path}, got none")
    with writing(transcript) as part:
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
                wrong.append(f"{source} says {promised} s, the sound has {seconds:.2f} s; write the manifest again")
        if wrong:
            faults[str(sound)] = wrong
    return faults


def main() -> int:
    """Print what is wrong with a data set. Returns 0 if it is good, 1 if it is not, 2 if there is none."""
    parser = argparse.ArgumentParser(description="Check a data set of two-channel conversations.")
    parser.add_argument("source", type=Path, help="a folder of WAV files with a JSON each, or a .jsonl manifest")
    args = parser.parse_args()
    try:
        faults = validate(args.source)
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for place, reasons in faults.items():
        print(place, *reasons, sep="\n    ")
    print(f"{len(faults)} bad files" if faults else "all files are good", file=sys.stderr)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
