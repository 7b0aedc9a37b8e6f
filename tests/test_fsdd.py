"""The loader of human digits, on small made-up recordings in the layout of the data set."""

import numpy as np
import pytest
import soundfile
import torch

from moshi_ref.corpus.fsdd import load_digits, trim
from moshi_ref.corpus.voices import LOUDNESS


def tone(seconds: float = 0.3, rate: int = 8000) -> np.ndarray:
    return 0.01 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def clone(tmp_path):
    """Two speakers, three digits, recordings 3 to 6 of each: two of the test set, two of the training set."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for speaker in ("anna", "bob"):
        for digit in (0, 5, 9):
            for index in (3, 4, 5, 6):
                soundfile.write(folder / f"{digit}_{speaker}_{index}.wav", tone(), 8000)
    (tmp_path / "README.md").write_text("made up")
    return tmp_path


def test_splits_follow_the_index(clone):
    train, test = load_digits(clone, "train"), load_digits(clone, "test")
    assert len(train) == len(test) == 12
    assert {r.index for r in train} == {5, 6} and {r.index for r in test} == {3, 4}
    assert {(r.digit, r.speaker) for r in train} == {(d, s) for d in (0, 5, 9) for s in ("anna", "bob")}


def test_recordings_have_the_format_of_the_codec(clone):
    for recording in load_digits(clone, "train"):
        assert recording.wav.dtype == torch.float32 and recording.wav.shape == (round(0.3 * 24000),)
        assert recording.wav.square().mean().sqrt().item() == pytest.approx(LOUDNESS, rel=0.01)


def test_silence_at_the_ends_is_cut_and_soft_speech_is_not():
    soft, loud = torch.from_numpy(tone(0.1)) * 0.02, torch.from_numpy(tone(0.2))  # 34 dB apart
    silence = torch.zeros(800) + 1e-6
    assert torch.equal(trim(torch.cat([silence, loud, soft, silence]), 8000), torch.cat([loud, soft]))
    assert torch.equal(trim(loud, 8000), loud)


def test_a_lone_click_is_cut_and_the_burst_of_a_t_is_not():
    speech, burst = torch.from_numpy(tone(0.2)), torch.from_numpy(tone(0.02)) * 0.1
    pause, silence = torch.zeros(800), torch.zeros(2400)  # 0.1 s, as in "eight"; 0.3 s
    assert torch.equal(trim(torch.cat([speech, silence, burst]), 8000), speech)
    assert torch.equal(trim(torch.cat([burst, silence, speech]), 8000), speech)
    eight = torch.cat([speech, pause, burst])
    assert torch.equal(trim(eight, 8000), eight)


def test_both_folders_are_accepted(clone):
    outer, inner = load_digits(str(clone), "test"), load_digits(clone / "recordings", "test")
    assert [(r.digit, r.speaker, r.index) for r in outer] == [(r.digit, r.speaker, r.index) for r in inner]
    assert all(torch.equal(a.wav, b.wav) for a, b in zip(outer, inner, strict=True))


def test_errors_say_what_to_do(clone, tmp_path):
    with pytest.raises(FileNotFoundError, match="git clone"):
        load_digits(tmp_path / "nowhere", "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no train recordings"):
        load_digits(tmp_path / "empty", "train")
    with pytest.raises(ValueError, match="split"):
        load_digits(clone, "validation")


@pytest.mark.parametrize("samples", [tone(rate=16000), np.zeros((100, 2)), np.zeros(0)])
def test_wrong_files_are_refused(clone, samples):
    soundfile.write(clone / "recordings" / "1_anna_7.wav", samples, 16000 if len(samples) > 1000 else 8000)
    with pytest.raises(ValueError, match="1_anna_7.wav should hold one channel at 8000 Hz"):
        load_digits(clone, "train")
