"""LibriSpeech and LJSpeech, on small made-up folders in their layouts."""

import numpy as np
import pytest
import soundfile
import torch

from moshi_ref.corpus.libraries import librispeech, ljspeech
from moshi_ref.corpus.small_world import Exchange


def tone(seconds: float, rate: int) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def libri(tmp_path):
    """Two readers, one of them with two chapters, in two parts of the library."""
    texts = {
        "dev-clean/84/121123/84-121123": ["GO DO YOU HEAR", "BUT IN LESS THAN FIVE MINUTES"],
        "dev-clean/84/121550/84-121550": ["BUT WITH FULL RAVISHMENT"],
        "test-other/367/130732/367-130732": ["LOBSTERS AND LOBSTERS", "MISTER O'BRIEN"],
    }
    for chapter, lines in texts.items():
        path = tmp_path / chapter
        path.parent.mkdir(parents=True)
        for i, _ in enumerate(lines):
            soundfile.write(f"{path}-{i:04}.flac", tone(0.5 + i / 10, 16_000), 16_000)
        names = [f"{path.name}-{i:04} {text}" for i, text in enumerate(lines)]
        path.with_name(f"{path.name}.trans.txt").write_text("\n".join(names) + "\n")
    (tmp_path / "SPEAKERS.TXT").write_text(";ID  |SEX| SUBSET\n")
    return tmp_path


@pytest.fixture
def lj(tmp_path):
    (tmp_path / "wavs").mkdir()
    lines = [
        "LJ001-0001|Printing, in the only sense|Printing, in the only sense",
        'LJ001-0002|in "1813," he|in "eighteen thirteen," he',
    ]
    for i in (1, 2):
        soundfile.write(tmp_path / "wavs" / f"LJ001-000{i}.wav", tone(0.4, 22_050), 22_050)
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_librispeech(libri):
    read = librispeech(libri)
    assert [u.text for u in read] == [
        "go do you hear", "but in less than five minutes", "but with full ravishment", "lobsters and lobsters",
        "mister o'brien",
    ]  # fmt: skip
    assert [u.speaker for u in read] == ["librispeech-84"] * 3 + ["librispeech-367"] * 2
    assert [u.text for u in librispeech(str(libri / "dev-clean" / "84" / "121550"))] == ["but with full ravishment"]


def test_ljspeech(lj):
    read = ljspeech(lj)
    assert [u.text for u in read] == ["Printing, in the only sense", 'in "eighteen thirteen," he']
    assert {u.speaker for u in read} == {"ljspeech"}


@pytest.mark.parametrize("library", ["libri", "lj"])
def test_readings_are_utterances_at_24_khz(library, request):
    read = {"libri": librispeech, "lj": ljspeech}[library](request.getfixturevalue(library))
    first = read[0]
    seconds = {"libri": 0.5, "lj": 0.4}[library]
    assert first.wav.dtype == torch.float32 and first.wav.shape == (round(seconds * 24_000),)
    spectrum = torch.fft.rfft(first.wav[: 24_000 // 4]).abs()
    assert spectrum.argmax() * 4 == 440
    assert first.exchange == Exchange("reading", first.text, first.text, ())
    assert first.words == () and first.phones == ()
    assert torch.equal(read[-1].wav, read[len(read) - 1].wav)
    with pytest.raises(IndexError):
        read[len(read)]


def test_what_is_missing_in_librispeech(libri, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(FileNotFoundError, match="no .trans.txt in .*; expected a part of LibriSpeech, unpacked"):
        librispeech(empty)
    (libri / "dev-clean/84/121123/84-121123-0001.flac").unlink()
    with pytest.raises(FileNotFoundError, match="84-121123.trans.txt, line 2: no sound .*0001.flac; unpack"):
        librispeech(libri)


@pytest.mark.parametrize("line", ["84-121123-0001", "84-121123-0001   ", "84_121123_0001 GO DO", "GO DO YOU HEAR"])
def test_wrong_lines_in_librispeech(line, libri):
    transcript = libri / "dev-clean/84/121123/84-121123.trans.txt"
    transcript.write_text(f"84-121123-0000 GO DO YOU HEAR\n\n{line}\n")
    with pytest.raises(ValueError, match="84-121123.trans.txt, line 3: expected reader-chapter-number and a text, got"):
        librispeech(libri)


def test_what_is_missing_in_ljspeech(lj):
    with pytest.raises(FileNotFoundError, match="no .*metadata.csv; expected the folder LJSpeech-1.1"):
        ljspeech(lj / "wavs")
    (lj / "wavs" / "LJ001-0002.wav").unlink()
    with pytest.raises(FileNotFoundError, match="metadata.csv, line 2: no sound .*LJ001-0002.wav"):
        ljspeech(lj)


@pytest.mark.parametrize("line", ["LJ001-0001", "LJ001-0001|one text", "LJ001-0001|text| ", "LJ001-0001|a|b|c"])
def test_wrong_lines_in_ljspeech(line, lj):
    (lj / "metadata.csv").write_text(line)
    with pytest.raises(ValueError, match="metadata.csv, line 1: expected name.text.text as it is .* got 'LJ001"):
        ljspeech(lj)


def test_a_broken_sound_is_named_when_it_is_read(lj):
    (lj / "wavs" / "LJ001-0002.wav").write_bytes(b"no sound")
    read = ljspeech(lj)
    assert len(read[0].wav) > 0
    with pytest.raises(ValueError, match="LJ001-0002.wav is not a sound file"):
        read[1]
