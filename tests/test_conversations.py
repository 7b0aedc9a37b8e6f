"""The layout of Kyutai's fine-tuning tool: read, written, and checked."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from moshi_ref.corpus.conversations import (
    Conversation,
    from_mono,
    main,
    read_conversation,
    read_stereo,
    sounds_of,
    validate,
    write_conversation,
    write_manifest,
)
from moshi_ref.corpus.diarization import Segment
from moshi_ref.inner_monologue import Word

RATE = 24_000
SAID = (Word("Hello,", 0.1, 0.5), Word("naïve", 0.5, 0.9), Word("user.", 1.2, 1.2))
HEARD = (Word("Hi!", 0.7, 1.0),)
ALIGNMENTS = [["Hello,", [0.1, 0.5], "SPEAKER_MAIN"], ["naïve", [0.5, 0.9], "SPEAKER_MAIN"]]


def stereo(seconds: float = 1.5, rate: int = RATE) -> torch.Tensor:
    """440 Hz on the left, 660 Hz on the right."""
    times = torch.arange(round(seconds * rate)) / rate
    return torch.stack([0.3 * torch.sin(2 * math.pi * frequency * times) for frequency in (440, 660)])


def put(folder: Path, name: str = "a", wav: torch.Tensor | None = None, rate: int = RATE, content=None) -> Path:
    """A sound and its JSON, not written by what is tested here."""
    folder.mkdir(exist_ok=True)
    wav = stereo(1.5, rate) if wav is None else wav
    soundfile.write(folder / f"{name}.wav", wav.T.numpy(), rate, "FLOAT")
    content = {"alignments": ALIGNMENTS} if content is None else content
    (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder / f"{name}.wav"


# --- One conversation -----------------------------------------------------------------------------


def test_what_is_written_is_read_again(tmp_path):
    conversation = Conversation(stereo(), SAID, HEARD)
    write_conversation(tmp_path / "a.wav", conversation)
    again = read_conversation(str(tmp_path / "a.wav"))
    assert (again.words, again.user_words) == (SAID, HEARD)
    torch.testing.assert_close(again.wav, conversation.wav, atol=1e-4, rtol=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.wav"]
    assert validate(tmp_path) == {}


def test_files_are_as_the_tool_wants_them(tmp_path):
    write_conversation(tmp_path / "a.wav", Conversation(stereo(), SAID, HEARD))
    samples, rate = soundfile.read(tmp_path / "a.wav")
    assert rate == RATE and samples.shape == (36_000, 2)
    assert np.argmax(np.abs(np.fft.rfft(samples[:24_000, 0]))) == 440  # Moshi is on the left
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {
        "alignments": [
            ["Hello,", [0.1, 0.5], "SPEAKER_MAIN"],
            ["naïve", [0.5, 0.9], "SPEAKER_MAIN"],
            ["Hi!", [0.7, 1.0], "SPEAKER_OTHER"],
            ["user.", [1.2, 1.2], "SPEAKER_MAIN"],
        ]
    }


def test_files_of_the_tool_are_read(tmp_path):
    """At the 44.1 kHz of its sample data, words with spaces around them, with fields and speakers unknown here."""
    entries = [*ALIGNMENTS, [" user. ", [1, 1.3], "SPEAKER_MAIN"], ["hm", [1.4, 1.5], "SPEAKER_02"]]
    path = put(tmp_path, rate=44_100, content={"alignments": entries, "text_conditions": {"description": "calm"}})
    read = read_conversation(path)
    assert [word.text for word in read.words] == ["Hello,", "naïve", "user."]
    assert read.words[2] == Word("user.", 1.0, 1.3) and read.user_words == ()
    assert read.wav.dtype == torch.float32
    torch.testing.assert_close(read.wav[:, 1_000:-1_000], stereo()[:, 1_000:-1_000], atol=2e-3, rtol=0)


def test_stereo_without_a_transcript(tmp_path):
    path = put(tmp_path)
    path.with_suffix(".json").unlink()
    torch.testing.assert_close(read_stereo(str(path)), stereo())


def test_a_recording_with_one_channel(tmp_path):
    """Two speak, one after the other; each of them can be Moshi."""
    wav = stereo().mean(0)
    segments = [Segment(0.1, 0.9, "x"), Segment(1.0, 1.4, "y")]
    words = [Word("yes", 0.2, 0.4), Word("no", 1.1, 1.3), Word("well", 0.5, 0.8)]
    conversation = from_mono(wav, words, segments, "x")
    assert conversation.words == (words[0], words[2]) and conversation.user_words == (words[1],)
    assert torch.equal(conversation.wav.sum(0), wav)
    assert torch.equal(conversation.wav[0, 2400:21600], wav[2400:21600]) and not conversation.wav[0, 21600:].any()
    assert from_mono(wav, words, segments, "y").user_words == (words[0], words[2])
    write_conversation(tmp_path / "a.wav", conversation)
    assert read_conversation(tmp_path / "a.wav").words == conversation.words
    with pytest.raises(ValueError, match="expected a speaker of these segments, x, y, got 'z'"):
        from_mono(wav, words, segments, "z")


# --- What is wrong --------------------------------------------------------------------------------


def sound(wav: torch.Tensor, rate: int = RATE):
    return lambda folder: put(folder, wav=wav, rate=rate)


def words(*entries):
    return lambda folder: put(folder, content={"alignments": list(entries)})


def raw(name: str, content: bytes | None):
    """Good files, one of which is replaced or removed."""

    def make(folder: Path) -> None:
        put(folder)
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)

    return make


def said(text, start, end):
    return [text, [start, end], "SPEAKER_MAIN"]


SPOILED = stereo()
SPOILED[1, 100] = math.nan
FAULTS = {
    "mono": (sound(stereo()[:1]), ["a.wav should have 2 channels, Moshi and the user, got 1; see `from_mono`"]),
    "three channels": (sound(torch.cat([stereo(), stereo()[:1]])), ["should have 2 channels"]),
    "telephone": (sound(stereo(rate=8_000), 8_000), ["a.wav should have 24000 Hz or more, got 8000; find"]),
    "no samples": (sound(stereo()[:, :0]), ["a.wav has no samples"]),
    "not a number": (sound(SPOILED), ["a.wav has samples that are NaN or infinite"]),
    "not a sound": (raw("a.wav", b"no sound"), ["a.wav is not a sound file that can be read"]),
    "empty sound": (raw("a.wav", b""), ["a.wav is not a sound file that can be read"]),
    "no transcript": (raw("a.json", None), ["a.json; expected the JSON"]),
    "empty transcript": (raw("a.json", b""), ["a.json is not JSON"]),
    "not JSON": (raw("a.json", b"{'alignments': []}"), ["a.json is not JSON"]),
    "a list": (raw("a.json", b"[]"), ["should hold a JSON object, got a list"]),
    "other fields": (raw("a.json", b'{"words": []}'), ['should hold a list "alignments"']),
    "nobody": (words(), ["a.json has no word with the label SPEAKER_MAIN"]),
    "only the user": (words(["Hi!", [0.1, 0.5], "SPEAKER_OTHER"]), ["a.json has no word with the label SPEAKER_MAIN"]),
    "shape": (
        words(said("a", 0, 1), ["b", 0.1, 0.5, "SPEAKER_MAIN"], ["c", [0.1], "SPEAKER_MAIN"], "d", said("e", 1, 1.1)),
        [f"a.json, alignments[{i}]: expected [word, [start, end], speaker], got" for i in (1, 2, 3)],
    ),
    "speaker": (words(said("a", 0, 1), ["b", [1, 1.2], 7]), ["alignments[1]: expected [word, [start, end], speaker]"]),
    "no text": (words(said("", 0, 1)), ["alignments[0]: expected the text of a word, got ''"]),
    "time": (words(said("a", "0", 1)), ["alignments[0]: expected the start of 'a' in seconds, got '0'"]),
    "NaN": (words(said("a", 0, math.nan)), ["alignments[0]: expected the end of 'a' in seconds, got nan"]),
    "negative": (words(said("a", -1, 1)), ["alignments[0]: expected 0 <= start <= end, got -1 and 1"]),
    "backwards": (words(said("a", 1, 0.5)), ["alignments[0]: expected 0 <= start <= end, got 1 and 0.5"]),
    "unsorted": (
        words(said("a", 0.5, 0.6), said("b", 0.4, 0.7), said("c", 0.8, 0.9), said("d", 0.7, 0.9)),
        ["alignments[1]: 'b' from 0.4 to 0.7 comes after a word that starts at 0.5; sort them",
         "alignments[3]: 'd' from 0.7 to 0.9 comes after a word that starts at 0.8; sort them"],
    ),
    "too long": (words(said("a", 1.0, 1.7)), ["alignments[0]: 'a' from 1.0 to 1.7 lies outside of the 1.50 s"]),
    "too late": (words(said("a", 1.5, 1.5)), ["alignments[0]: 'a' from 1.5 to 1.5 lies outside of the 1.50 s"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_and_named(name, tmp_path):
    make, reasons = FAULTS[name]
    make(tmp_path / "data")
    found = validate(tmp_path / "data")
    assert list(found) == [str(tmp_path / "data" / "a.wav")]
    (faults,) = found.values()
    assert len(faults) == len(reasons) and all(map(str.__contains__, faults, reasons)), faults
    with pytest.raises(ValueError, match="a.wav|a.json") as error:
        read_conversation(tmp_path / "data" / "a.wav")
    assert all(reason in str(error.value) for reason in reasons)


def test_no_file_is_skipped_because_of_another(tmp_path):
    put(tmp_path, "bad both", wav=stereo()[:1], content={"alignments": [said("a", 2, 1)]})
    put(tmp_path, "good")
    put(tmp_path / "below", "bad", content=[])
    (tmp_path / "no transcript.wav").write_bytes((tmp_path / "good.wav").read_bytes())
    found = validate(tmp_path)
    assert [Path(name).name for name in found] == ["bad both.wav", "bad.wav", "no transcript.wav"]
    assert [len(faults) for faults in found.values()] == [2, 1, 1]


def test_words_may_outlast_the_sound_by_a_rounding(tmp_path):
    put(tmp_path, content={"alignments": [said("a", 1.45, 1.55)]})
    assert validate(tmp_path) == {}


def test_a_missing_sound(tmp_path):
    with pytest.raises(ValueError, match="no file .*a.wav; expected .*; no file .*a.json; expected the JSON"):
        read_conversation(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "conversation, message",
    [
        (Conversation(stereo()[:1], SAID), r"expected finite sound of shape \(2, T\), T > 0, got shape \(1, 36000\)"),
        (Conversation(stereo()[:, :0], SAID), r"got shape \(2, 0\)"),
        (Conversation(SPOILED, SAID), "expected finite sound"),
        (Conversation(stereo(), ()), "expected words of Moshi for .*a.wav, got none"),
        (Conversation(stereo(0.8), SAID), "lies outside of the 0.80 s of sound"),
        (Conversation(stereo(), (Word("a", math.nan, 1),)), "expected the start of 'a' in seconds, got nan"),
    ],
)
def test_what_cannot_be_read_is_not_written(conversation, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_conversation(tmp_path / "a.wav", conversation)
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        write_conversation(tmp_path / "nowhere" / "a.wav", Conversation(stereo(), SAID))
    with pytest.raises(ValueError, match="expected a name that ends in .wav, got a.flac"):
        write_conversation(tmp_path / "a.flac", Conversation(stereo(), SAID))


# --- Manifests ------------------------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path) -> Path:
    sounds = [put(tmp_path / "stereo", name, stereo(1.5 + i)) for i, name in enumerate("ba")]
    write_manifest(tmp_path / "data.jsonl", sounds)
    return tmp_path / "data.jsonl"


def test_manifests(manifest):
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert lines == [{"path": "stereo/b.wav", "duration": 1.5}, {"path": "stereo/a.wav", "duration": 2.5}]
    assert sounds_of(manifest) == [manifest.parent / "stereo" / name for name in ("b.wav", "a.wav")]
    assert sounds_of(manifest.parent) == [manifest.parent / "stereo" / name for name in ("a.wav", "b.wav")]
    assert validate(manifest) == validate(str(manifest.parent)) == {}


def test_manifests_with_absolute_paths(manifest, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "data.jsonl"
    elsewhere.write_text(json.dumps({"path": str(manifest.parent / "stereo" / "a.wav"), "duration": 2.5}) + "\n\n")
    assert sounds_of(elsewhere) == [manifest.parent / "stereo" / "a.wav"]
    assert validate(elsewhere) == {}


def test_faults_of_a_manifest(manifest):
    good, wrong = manifest.read_text().splitlines()
    bad = ["not JSON", '{"path": "stereo/a.wav"}', wrong.replace("2.5", "3.5"), '{"path": "c.wav", "duration": 1}']
    manifest.write_text("\n".join([good, *bad, ""]))
    found = validate(manifest)
    sounds = [str(manifest.parent / name) for name in ("stereo/a.wav", "c.wav")]
    assert list(found) == [f"{manifest}, line 2", f"{manifest}, line 3", *sounds]
    reasons = [fault for faults in found.values() for fault in faults]
    assert 'expected {"path": "a.wav", "duration": seconds}, got not JSON' in reasons[0]
    assert 'got {"path": "stereo/a.wav"} (it has other fields)' in reasons[1]
    assert reasons[2] == f"{manifest} says 3.5 s, the sound has 2.50 s; write the manifest again"
    assert "no file" in reasons[3] and "c.wav" in reasons[3] and "c.json" in reasons[4]
    with pytest.raises(ValueError, match="line 2: .*line 3: "):
        sounds_of(manifest)


def test_sources_without_sounds(tmp_path):
    for source in (tmp_path / "nowhere", tmp_path / "data.jsonl", Path(__file__)):
        with pytest.raises(FileNotFoundError, match="expected a folder of conversations or a manifest .* got "):
            validate(source)
    assert validate(tmp_path) == {str(tmp_path): ["expected stereo WAV files, found none"]}
    (tmp_path / "data.jsonl").write_text("")
    with pytest.raises(ValueError, match="expected stereo WAV files, found none"):
        sounds_of(tmp_path / "data.jsonl")


def test_manifests_list_what_is_there_and_below(manifest, tmp_path_factory):
    with pytest.raises(FileNotFoundError, match="no file .*c.wav; write the conversations before their manifest"):
        write_manifest(manifest, [manifest.parent / "c.wav"])
    outside = put(tmp_path_factory.mktemp("outside"))
    with pytest.raises(ValueError, match="a.wav should lie in .*, the folder of the manifest, or below it"):
        write_manifest(manifest, [outside])
    assert len(sounds_of(manifest)) == 2  # the old one is still there


def test_the_command_names_all_bad_files(tmp_path, monkeypatch, capsys):
    put(tmp_path, "bad", wav=stereo()[:1], content={"alignments": []})
    put(tmp_path, "good")
    monkeypatch.setattr("sys.argv", ["conversations", str(tmp_path)])
    assert main() == 1
    printed = capsys.readouterr()
    place, *reasons = printed.out.splitlines()
    assert place == str(tmp_path / "bad.wav") and len(reasons) == 2 and all(r.startswith("    ") for r in reasons)
    assert "1 bad files" in printed.err
    (tmp_path / "bad.wav").unlink()
    assert main() == 0 and capsys.readouterr() == ("", "all files are good\n")
    monkeypatch.setattr("sys.argv", ["conversations", str(tmp_path / "nowhere")])
    assert main() == 2 and "error: expected a folder" in capsys.readouterr().err
