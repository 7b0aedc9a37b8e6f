"""Clips that know what they are about, and how they come back."""

from dataclasses import replace

import pytest
import torch
from conftest import tiny_mimi
from test_codec import fake_utterance

from moshi_ref.corpus import augment, dialogues
from moshi_ref.corpus.clips import encode, encode_echoes, load_clips, save_clips
from moshi_ref.corpus.spoken import BEFORE, InRooms
from moshi_ref.mimi import Mimi

SAID = [fake_utterance(i) for i in range(6)]


@pytest.fixture
def mimi() -> Mimi:
    return Mimi(tiny_mimi()).eval()


def test_clips_are_those_of_dialogues_and_know_more(mimi):
    clips = encode(mimi, SAID, 7, True, "test")
    for clip, plain, utterance in zip(clips, dialogues.encode(mimi, SAID, 7, True, "test"), SAID, strict=True):
        assert torch.equal(clip.codes, plain.codes) and clip.words == plain.words
        assert (clip.start, clip.answer) == (plain.start, plain.answer)
        assert clip.end == pytest.approx(plain.end, abs=1e-3)
        about = utterance.exchange
        assert (clip.topic, clip.question, clip.speaker) == (about.topic, about.question, utterance.speaker)
        assert clip.echo is None


def test_silence_of_a_room_is_no_speech(mimi):
    plain = encode(mimi, SAID, 7, False, "test")
    for there, clip in zip(encode(mimi, InRooms(SAID, 0), 7, False, "test"), plain, strict=True):
        assert there.start == pytest.approx(clip.start + BEFORE) and there.end == pytest.approx(clip.end + BEFORE)


def test_a_noise_is_there_from_the_beginning_to_the_end(mimi):
    plain, clips = encode(mimi, SAID, 7, False, "test"), encode(mimi, SAID, 7, False, "test", noise=1)
    for quiet, noisy in zip(plain, clips, strict=True):
        assert (quiet.noise, noisy.noise) == (0, 1) and noisy.words == quiet.words
        differs = (quiet.codes != noisy.codes).any(0)
        assert differs[:4].any() and differs[-4:].any()


def test_an_echo_is_that_of_the_very_sound(mimi, monkeypatch):
    clips = encode(mimi, SAID, 7, False, "test")
    assert all(clip.echo is None for clip in encode_echoes(mimi, SAID, clips, 7, 0.0))
    echoed = encode_echoes(mimi, SAID, clips, 7, 1.0)
    for clip, before in zip(echoed, clips, strict=True):
        assert torch.equal(clip.codes, before.codes) and clip.words == before.words
        assert clip.echo.shape == clip.codes.shape and clip.echo.dtype == torch.int16
        assert not torch.equal(clip.echo, clip.codes)
    monkeypatch.setattr(augment, "echo", lambda wav, rng: wav)  # a mirror: what comes back is what was said
    for clip in encode_echoes(mimi, SAID, clips, 7, 1.0):
        assert torch.equal(clip.echo, clip.codes)


def test_a_share_of_the_clips_has_an_echo(mimi):
    clips = encode(mimi, SAID, 7, False, "test")
    echoed = [clip.echo is not None for clip in encode_echoes(mimi, SAID, clips, 7, 0.5)]
    assert 0 < sum(echoed) < 6
    again = [clip.echo is not None for clip in encode_echoes(mimi, SAID, clips, 7, 0.5)]
    assert echoed == again


def test_an_echo_of_another_sound_is_refused(mimi):
    clips = encode(mimi, SAID, 7, False, "test")
    with pytest.raises(ValueError, match="clip 0 should come from utterance 0 and seed 7"):
        encode_echoes(mimi, [replace(SAID[0], wav=torch.zeros(72_000)), *SAID[1:]], clips, 7, 1.0)


def test_clips_survive_on_disk(mimi, tmp_path):
    clips = encode_echoes(mimi, SAID, encode(mimi, SAID, 7, False, "test"), 7, 0.5)
    clips = [replace(clip, noise=i % 3) for i, clip in enumerate(clips)]
    path = tmp_path / "new" / "clips.safetensors"
    save_clips(clips, path)
    assert list(path.parent.iterdir()) == [path]
    for clip, loaded in zip(clips, load_clips(path), strict=True):
        assert torch.equal(clip.codes, loaded.codes) and loaded.codes.dtype == torch.int16
        assert (clip.echo is None) == (loaded.echo is None) and clip.noise == loaded.noise
        assert clip.echo is None or torch.equal(clip.echo, loaded.echo)
        names = "words", "start", "end", "answer", "topic", "question", "speaker"
        assert all(getattr(clip, name) == getattr(loaded, name) for name in names)
    with pytest.raises(FileNotFoundError):
        load_clips(tmp_path / "none.safetensors")
