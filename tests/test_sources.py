"""What each stage hears: the right voices, in the right streams."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import tiny_mimi

from moshi_ref import speech_text
from moshi_ref.corpus.clips import Clip
from moshi_ref.corpus.voices import MOSHI_VOICE
from moshi_ref.inner_monologue import Word
from moshi_ref.mimi import Mimi
from moshi_ref.rq_transformer import ZERO
from moshi_ref.tokenizer import PAD
from moshi_ref.training import sources as module
from moshi_ref.training.moshi_ablations import variant_stage
from moshi_ref.training.recipes import PROFILES
from moshi_ref.training.sources import sources
from moshi_ref.training.stage_task import Stage
from moshi_ref.training.stages import speech_text_stage, stages

FRAMES = PROFILES["cpu"].frames
SMOKE = replace(PROFILES["smoke"], frames=FRAMES)
ALL = {stage.name: stage for stage in (*stages(SMOKE), *(speech_text_stage(n, SMOKE) for n in ("asr", "tts")))}
CODE = {"reading": 1, "question": 2, "question in rooms": 3, "answer": 4, "backchannel": 5, "interruption": 6,
        "people": 7, "own reading": 8} | {f"question in noise {i}": 8 + i for i in range(1, 9)}  # fmt: skip
NOISY, NOISE = set(range(9, 17)), set(range(101, 109))  # questions in noise, and the noises themselves
Q = 3


def clip(kind: str, number: int) -> Clip:
    """A second of sound whose codes say what it is."""
    name = kind.replace("own ", "")
    own = kind in ("answer", "own reading")
    text = "stop" if kind == "interruption" else "seven"
    return Clip(torch.full((Q, 16), CODE[kind]).short(), (Word(text, 0.4, 0.7),), 0.4, 0.7,
                "" if name in ("backchannel", "interruption") else "five", topic=name,
                speaker=MOSHI_VOICE.name if own else f"{kind} {number}",
                noise=int(name[-1]) if "noise" in name else 0)  # fmt: skip


@pytest.fixture
def source(monkeypatch, tokenizer):
    """Sources with made clips, three of a kind."""

    def clips(self, kind: str) -> list[Clip]:
        kinds = ("reading", "own reading") if kind == "reading" else (kind,)
        return [clip(each, number) for each in kinds for number in range(3)]

    monkeypatch.setattr(module.Voices, "clips", clips)
    numbers = torch.arange(101, 109, dtype=torch.int16)[:, None, None, None]
    monkeypatch.setattr(module, "encode_backgrounds", lambda _, frames, *__: torch.zeros(2, Q, frames).short())
    monkeypatch.setattr(module, "encode_noises", lambda _, frames, *__: numbers.expand(8, 2, Q, frames))
    return sources(SMOKE, 0, Path("people"), Mimi(tiny_mimi()), tokenizer, ("Seven is more.\nUser: stop Moshi: five",))


def drawn(source, stage: Stage, count: int = 60) -> torch.Tensor:
    """Dialogues (count, K, F)."""
    draw = source(stage)
    return torch.stack([draw(random.Random(i)).codes for i in range(count)])


def heard(codes: torch.Tensor) -> set[int]:
    return set(codes.unique().tolist()) - {0}


@pytest.mark.parametrize(
    "name, moshi, user",
    [
        ("pretraining", {1, 8}, {ZERO}),
        ("posttraining", {1, 8}, {1, 8}),
        ("finetuning", {4}, {2, 5, 6}),
        ("instruction", {1, 2, 4, 7, 8, ZERO}, {2, 3, 5, 6, 7, ZERO} | NOISY | NOISE),
        ("asr", {1, 2, 7, 8}, {ZERO}),
        ("tts", {4, 8}, {ZERO}),
    ],
)
def test_who_is_heard(name, moshi, user, source):
    codes = drawn(source, ALL[name], 300 if name == "instruction" else 60)
    assert heard(codes[:, 1 : 1 + Q]) == moshi and heard(codes[:, 1 + Q :]) == user


@pytest.mark.parametrize("name, longer", [("finetuning", 1), ("instruction", 2)])
def test_dialogues_are_as_long_as_the_stage_wants(name, longer, source):
    """Also those in which it is a recogniser or a voice, or reads."""
    assert drawn(source, ALL[name]).shape == (60, 1 + 2 * Q, longer * FRAMES)


@pytest.mark.parametrize("name", ["pretraining", "posttraining", "finetuning", "asr", "tts"])
def test_the_end_tells_nothing(name, source, tokenizer):
    """A shorter dialogue is the beginning of a longer one; a model cannot learn to fall silent before the end."""
    stage = replace(ALL[name], masked=0.0)
    whole = drawn(source, stage, 30)
    for frames in range(20, FRAMES, 11):
        shorter = sources(replace(SMOKE, frames=frames), 0, Path("people"), Mimi(tiny_mimi()), tokenizer)
        assert torch.equal(drawn(shorter, stage, 30), whole[..., :frames])


def test_conversations_about_sums_are_about_nothing_else(source, tokenizer, monkeypatch):
    topics = ("sum", "greeting", "farewell", "fact", "repeat")
    asked = [replace(clip("question", i), topic=topic, codes=torch.full((Q, 16), i).short())
             for i, topic in enumerate(topics, 21)]  # fmt: skip
    others = module.Voices.clips
    monkeypatch.setattr(module.Voices, "clips", lambda self, kind: asked if kind == "question" else others(self, kind))
    source = sources(SMOKE, 0, None, Mimi(tiny_mimi()), tokenizer)
    assert heard(drawn(source, variant_stage("all", SMOKE))[:, 1 + Q :]) == {21, 22, 23, 5, 6}


def test_who_is_in_noise_stays_in_it(source):
    for row in drawn(source, ALL["instruction"], 200):
        user = heard(row[1 + Q :])
        numbers = {each - 8 for each in user & NOISY} | {each - 100 for each in user & NOISE}
        assert len(numbers) <= 1 and not (numbers and user & {2, 3, 7})


def test_in_the_last_stage_it_is_a_recogniser_or_a_voice_now_and_then_or_reads(source):
    codes = drawn(source, ALL["instruction"], 400)
    silent = (codes[:, 1:] == ZERO).flatten(1).all(1)
    assert 0.19 < silent.float().mean() < 0.31
    text = codes[silent, 0]  # words, or nothing where a word stands that is not learnt; in some conversations, no word
    assert ((text > PAD) | (text == ZERO)).any(1).float().mean() > 0.9
    codes = codes[~silent]
    alone = (codes[:, 1 + Q :] == ZERO).flatten(1).all(1)
    assert 0.20 < alone.float().mean() < 0.34
    assert heard(codes[~alone, 1 : 1 + Q]) == {4} and ZERO not in heard(codes[~alone, 1 + Q :])
    leads = [lead(row[None]) for row in codes[alone]]
    frames = [each[0] for each in leads if each]
    late, early = -speech_text.BEHIND * 12.5, speech_text.AHEAD * 12.5
    assert all(min(abs(each - late), abs(each - early)) <= 1 for each in frames)
    assert min(frames) < 0 < max(frames)


def lead(codes: torch.Tensor) -> list[int]:
    """Frames from the first text token to the first sound of each dialogue, as far as there are both."""
    pairs = [((row[0] > PAD).nonzero(), (row[1] > 0).nonzero()) for row in codes]
    return [int(sound[0] + 5 - text[0]) for text, sound in pairs if len(text) and len(sound)]  # words begin after 0.4 s


def test_when_the_text_comes(source):
    asr, tts, free = (lead(drawn(source, ALL[name])) for name in ("asr", "tts", "pretraining"))
    assert max(abs(each + 0.5 * 12.5) for each in asr) <= 1
    assert max(abs(each - speech_text.AHEAD * 12.5) for each in tts) <= 1
    assert min(free) < -4 and max(free) > 4


def test_the_text_is_hidden_in_pre_training_alone(source):
    hidden = {name: (drawn(source, stage)[:, 0] == ZERO).all(1).float().mean().item() for name, stage in ALL.items()}
    assert 0.15 < hidden.pop("pretraining") < 0.45 and set(hidden.values()) == {0.0}


def test_real_clips_are_made_once(tokenizer, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "CACHE", tmp_path)
    real = module.spoken
    monkeypatch.setattr(module, "spoken", lambda *given: real(*given, folder=tmp_path))
    profile = replace(SMOKE, clips=(3, 4, 2), readings=2)
    voices = module.Voices(profile, 0, None, Mimi(tiny_mimi()).eval())
    for kind in ("question", "question in rooms", "answer", "interruption", "question in noise 2"):
        first, files = voices.clips(kind), sorted(tmp_path.glob("clips-of-spoken-*"))
        again = voices.clips(kind)
        assert len(first) == (len(voices.questions[kind]) if "question" in kind else voices.counts[kind])
        assert {c.noise for c in first} == {2 if "noise" in kind else 0}
        assert [c.codes.tolist() for c in first] == [c.codes.tolist() for c in again]
        assert files and sorted(tmp_path.glob("clips-of-spoken-*")) == files
    assert voices.clips("people") == []  # nobody gave any
    said = real("question", "train", voices.counts["question"], 0, folder=tmp_path)
    assert [c.question for c in voices.clips("question in rooms")] == [said[i].exchange.question for i in range(3, 6)]


def test_each_kind_of_question_has_its_own():
    kinds = module.kinds_of_question(40)
    assert list(kinds) == ["question", "question in rooms", *(f"question in noise {n}" for n in range(1, 9))]
    assert [len(numbers) for numbers in kinds.values()] == [40, 40, *8 * [3]]  # 40 / 16, rounded up
    assert [i for numbers in kinds.values() for i in numbers] == list(range(104))
