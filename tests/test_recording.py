"""A conversation that is recorded, repeated, and taken up again."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from test_moshi import Q, small_mimi, small_moshi

from moshi_ref.inner_monologue import PAUSE
from moshi_ref.moshi import Moshi, MoshiStream, Reply
from moshi_ref.recording import Recorder, replay, restore, resume, snapshot
from moshi_ref.rq_transformer import ConditionConfig, Sampling

TEXT, AUDIO = Sampling(0.9, 12), Sampling(1.1, 15)


@pytest.fixture
def models():
    return small_moshi(), small_mimi()


def sound(frames: int) -> torch.Tensor:
    """(F, 1, 1, 1920)"""
    return 0.1 * torch.randn(frames, 1, 1, 1920)


def same(replies: list[Reply], others: list[Reply]) -> bool:
    pairs = zip(replies, others, strict=True)
    return all(torch.equal(getattr(a, part), getattr(b, part)) for a, b in pairs for part in ("text", "codes", "audio"))


@pytest.mark.parametrize("before", [0, 1, 30], ids=["the beginning", "frame 1", "the middle"])
def test_a_replay_is_the_same_bit_for_bit(before, models, tmp_path):
    """From the beginning, and from the middle, long after the contexts have been filled."""
    stream = MoshiStream(*models, seed=3, text=TEXT, audio=AUDIO)
    for frame in sound(before):
        stream.step(frame)
    recorder, replies = Recorder(stream), []
    for number, frame in enumerate(sound(25)):
        text = 7 if number == 5 else PAUSE if number > 20 else -1
        replies.append(stream.step(frame, torch.tensor([text])))
        recorder.note(text)
    recorder.save(tmp_path / "talk.safetensors")
    again = list(replay(tmp_path / "talk.safetensors", *models))
    assert same(replies, again)
    assert len({int(reply.text) for reply in replies}) > 3 and replies[-1].audio.abs().max() > 0
    other = MoshiStream(*models, seed=4, text=TEXT, audio=AUDIO)
    assert not same(replies, [other.answer(heard[None].long()) for heard in recorder.heard])


def test_a_conversation_is_taken_up_again(models, tmp_path):
    """With sound: the state of the encoder is in the file, too."""
    stream = MoshiStream(*models, seed=3, text=TEXT, audio=AUDIO)
    frames = sound(30)
    for frame in frames[:20]:
        stream.step(frame)
    Recorder(stream).save(tmp_path / "talk.safetensors")
    expected = [stream.step(frame) for frame in frames[20:]]
    resumed = resume(tmp_path / "talk.safetensors", *models)
    assert resumed.text == TEXT and resumed.audio == AUDIO
    assert same(expected, [resumed.step(frame) for frame in frames[20:]])
    assert list(replay(tmp_path / "talk.safetensors", *models)) == []


def test_a_conversation_moves_to_another_row(models):
    """Its tokens are the same; the sound is to the rounding of another shape. The other rows go on undisturbed."""

    def run(moved: bool) -> tuple[list[Reply], list[Reply]]:
        one, three = (MoshiStream(*models, seed, rows, TEXT, AUDIO) for seed, rows in ((3, 1), (40, 3)))
        for frame in sound(20):
            one.step(frame)
        for frame in sound(9):
            three.step(frame.expand(3, -1, -1))
        if moved:
            restore(three, snapshot(one), row=1)
        frames = sound(12)
        return [one.step(f) for f in frames], [three.step(f.expand(3, -1, -1)) for f in frames]

    torch.manual_seed(1)
    _, before = run(moved=False)
    torch.manual_seed(1)
    alone, after = run(moved=True)
    for a, b, c in zip(alone, before, after, strict=True):
        assert c.text[1] == a.text[0] and torch.equal(c.codes[1], a.codes[0])
        torch.testing.assert_close(c.audio[1], a.audio[0], atol=1e-5, rtol=1e-5)
        for row in (0, 2):
            assert c.text[row] == b.text[row] and torch.equal(c.codes[row], b.codes[row])
            torch.testing.assert_close(c.audio[row], b.audio[row], atol=1e-5, rtol=1e-5)


def test_the_condition_is_part_of_the_record(tmp_path):
    plain, choices = small_moshi(), ConditionConfig(("bad", "good"), bins=4, dim=3)
    moshi = Moshi(replace(plain.config, model=replace(plain.config.model, condition=choices))).eval()
    stream = MoshiStream(moshi, small_mimi(), seed=0, condition="good")
    mimi, condition = stream.mimi, stream.condition
    Recorder(stream).save(tmp_path / "talk.safetensors")
    assert torch.equal(resume(tmp_path / "talk.safetensors", moshi, mimi).condition, condition)
    with pytest.raises(ValueError, match="has another condition than the stream"):
        restore(MoshiStream(moshi, mimi, seed=0, condition="bad"), snapshot(stream))


def test_what_does_not_fit_is_refused(models, tmp_path):
    moshi, mimi = models
    path = tmp_path / "talk.safetensors"
    with pytest.raises(FileNotFoundError, match="no file .*talk.safetensors; expected a recording"):
        resume(path, moshi, mimi)
    Recorder(MoshiStream(moshi, mimi, seed=0)).save(path)
    with pytest.raises(ValueError, match="with another Moshi: expected as its weights"):
        resume(path, small_moshi(), mimi)
    with pytest.raises(ValueError, match="with another Moshi: expected as its config"):
        resume(path, small_moshi(acoustic=2), mimi)
    with pytest.raises(ValueError, match="with another Mimi: expected as its weights"):
        resume(path, moshi, small_mimi())
    with pytest.raises(ValueError, match=r"another model.*: own is \(4, 2\), expected \(4, 3\)"):
        taken = snapshot(MoshiStream(moshi, mimi, seed=0))
        restore(MoshiStream(small_moshi(acoustic=2), mimi, seed=0), taken | {"user": torch.zeros(Q, 3)})
    content = path.read_bytes()
    for damaged in (b"", content[:1000], content[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is no recording, or damaged"):
            resume(path, moshi, mimi)
    save_file({"heard": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="is no recording"):
        list(replay(path, moshi, mimi))
    with pytest.raises(FileNotFoundError, match="no folder"):
        Recorder(MoshiStream(moshi, mimi, seed=0)).save(tmp_path / "nowhere" / "talk.safetensors")
