"""Sound files in, whatever their format, and files out, whole or not at all."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from moshi_ref.audio import read_audio, writing


def tone(seconds: float, rate: int, frequency: float = 440.0, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(
    "name, rate, subtype, notes",
    [
        ("phone.wav", 8_000, "PCM_16", ["resampled from 8000 to 24000 Hz"]),
        ("studio.flac", 44_100, "PCM_24", ["resampled from 44100 to 24000 Hz"]),
        ("loud.wav", 24_000, "FLOAT", []),
        ("plain.wav", 24_000, "PCM_16", []),
        ("web.ogg", 48_000, "VORBIS", ["resampled from 48000 to 24000 Hz"]),
    ],
)
def test_every_format_becomes_the_same_tone_at_24_khz(name, rate, subtype, notes, tmp_path):
    """The same frequency, level and phase."""
    soundfile.write(tmp_path / name, tone(0.5, rate), rate, subtype)
    wav, said = read_audio(tmp_path / name)
    assert said == notes
    assert wav.dtype == torch.float32 and wav.shape == (12_000,)
    middle = slice(1_000, 11_000)
    tolerance = 0.02 if subtype == "VORBIS" else 2e-3
    torch.testing.assert_close(
        wav[middle], torch.from_numpy(tone(0.5, 24_000)).float()[middle], atol=tolerance, rtol=0
    )


def test_channels_are_averaged(tmp_path):
    left, right = tone(0.1, 24_000), tone(0.1, 24_000, frequency=1_000, level=0.1)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], 1), 24_000, "FLOAT")
    wav, notes = read_audio(tmp_path / "stereo.wav")
    assert notes == ["averaged 2 channels"]
    torch.testing.assert_close(wav, torch.from_numpy((left + right) / 2).float())


def test_both_changes_are_noted(tmp_path):
    soundfile.write(tmp_path / "both.wav", np.zeros((80, 3)), 8_000)
    wav, notes = read_audio(str(tmp_path / "both.wav"))
    assert wav.shape == (240,) and notes == ["averaged 3 channels", "resampled from 8000 to 24000 Hz"]


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100])
@pytest.mark.parametrize("count", [1, 240])  # 240 samples are 30 ms at 8 kHz, 10 ms at 24 kHz
def test_very_short_sounds_are_sounds(count, rate, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.full(count, 0.1), rate)
    wav, _ = read_audio(tmp_path / "short.wav")
    assert wav.shape == (math.ceil(count * 24_000 / rate),) and wav.isfinite().all()


def test_another_rate_may_be_asked_for(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(0.1, 24_000), 24_000)
    assert read_audio(tmp_path / "a.wav", sample_rate=16_000)[0].shape == (1_600,)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def without_samples(path: Path) -> None:
    soundfile.write(path, np.zeros(0), 24_000)


def text(path: Path) -> None:
    path.write_text("This is not a sound.\n" * 100)


def not_finite(value: float):
    def write(path: Path) -> None:
        samples = tone(0.1, 24_000)
        samples[100] = value
        soundfile.write(path, samples, 24_000, "FLOAT")

    return write


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda path: None, FileNotFoundError, "no file .*sound.wav; expected the path"),
        (Path.mkdir, FileNotFoundError, "no file .*sound.wav; expected the path"),
        (empty, ValueError, "sound.wav is not a sound file that can be read; expected WAV"),
        (text, ValueError, "sound.wav is not a sound file that can be read; expected WAV"),
        (without_samples, ValueError, "sound.wav has no samples; record something"),
        (not_finite(math.nan), ValueError, "NaN or infinite; export the recording again"),
        (not_finite(math.inf), ValueError, "NaN or infinite; export the recording again"),
    ],
    ids=["missing", "folder", "empty", "text", "no samples", "NaN", "infinite"],
)
def test_what_is_not_a_sound(make, error, message, tmp_path):
    make(tmp_path / "sound.wav")
    with pytest.raises(error, match=message):
        read_audio(tmp_path / "sound.wav")


def test_a_file_whose_name_does_not_say_what_it_is(tmp_path):
    (tmp_path / "sound.raw").write_bytes(bytes(1_000))
    with pytest.raises(ValueError, match="not a sound file that can be read"):
        read_audio(tmp_path / "sound.raw")


# --- Files out ------------------------------------------------------------------------------------


def test_writing_replaces_the_old_file(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with writing(path) as part:
        assert part.parent == tmp_path and part != path and part.suffix == ".txt"
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_writing_keeps_the_old_file(error, tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with pytest.raises(error), writing(path) as part:
        part.write_text("ne")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere to write a.wav into; create it first"):
        with writing(tmp_path / "nowhere" / "a.wav"):
            raise AssertionError("nothing should be written")
    assert not list(tmp_path.iterdir())
