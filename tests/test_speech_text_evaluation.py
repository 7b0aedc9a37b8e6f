"""Word errors and word times of recognition and of synthesis, on transcripts whose scores are known."""

import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from conftest import tiny_mimi
from test_checkpoints import small_moshi

from moshi_ref.__main__ import main
from moshi_ref.checkpoints import CHECKPOINTS, load_mimi, load_moshi, load_tokenizer, mimi_of, save
from moshi_ref.corpus.small_world import Exchange
from moshi_ref.corpus.utterances import Utterance
from moshi_ref.corpus.voices import TEST_VARIANTS
from moshi_ref.evaluation import speech_text as module
from moshi_ref.evaluation.duplex import share
from moshi_ref.evaluation.judges import as_heard
from moshi_ref.evaluation.recogniser import WORDS, Recogniser, RecogniserConfig
from moshi_ref.evaluation.speech_text import (
    after_silence,
    in_time,
    recognition,
    synthesis,
    texts_for,
    utterances,
    written_down,
)
from moshi_ref.inner_monologue import Word
from moshi_ref.mimi import Mimi
from moshi_ref.training.lora import adapters, add_adapters, load_asr, merge, save_adapters


def said(text: str) -> Utterance:
    """A word each half second, from 1 s on."""
    words = tuple(Word(word, 1 + 0.5 * i, 1.4 + 0.5 * i) for i, word in enumerate(text.split()))
    return Utterance(torch.zeros(24_000), text, words, (), Exchange("reading", text, text, ()), "somebody")


def transcript(*words: tuple[str, float]) -> dict:
    return {"text": " ".join(word for word, _ in words), "words": [{"text": w, "start": s} for w, s in words]}


# --- Recognition ----------------------------------------------------------------------------------


def test_word_errors_and_times_by_hand():
    spoken = [said("Ada is a baker."), said("What is the time?")]
    written = [
        transcript(("ada", 1.08), ("is", 1.42), ("a", 1.91), ("baker", 2.58)),  # the third 0.09 s too early
        transcript(("What", 0.92), ("is", 1.5), ("a", 2.0), ("long", 2.2), ("time?", 2.6)),  # the last 0.1 s too late
    ]
    row = recognition(spoken, written)
    assert row["errors"] == 2 and row["words"] == 8 and row["rate"] == 0.25  # "a" for "the", and "long"
    assert row["times"] == share(5, 7)
    assert in_time(spoken[0], transcript()) == (0, 0)
    nothing = recognition(spoken, [transcript(), transcript()])
    assert nothing["rate"] == 1.0 and nothing["times"]["share"] is None


def test_a_word_that_was_left_out_does_not_shift_the_others():
    spoken = said("one two three four")
    assert in_time(spoken, transcript(("one", 1.0), ("three", 2.0), ("four", 2.5))) == (3, 3)


def test_silence_comes_before_and_times_go_with_it():
    spoken = after_silence(said("one two"), random.Random(0))
    shift = spoken.words[0].start - 1
    assert module.BEFORE[0] <= shift <= module.BEFORE[1]
    assert len(spoken.wav) == pytest.approx(24_000 * (1 + shift), abs=1) and spoken.words[1].end == 1.9 + shift


def test_held_out_voices_and_questions_are_written_down(tmp_path):
    for digit in range(10):
        soundfile.write(tmp_path / f"{digit}_anna_0.wav", 0.1 * np.sin(np.arange(2_000)), 8_000)
    kinds = utterances(2, 0, tmp_path)
    assert {kind: len(each) for kind, each in kinds.items()} == {"readings": 2, "questions": 2, "human digits": 2}
    speakers = {each.speaker.split("+")[1] for kind in ("readings", "questions") for each in kinds[kind]}
    assert speakers <= set(TEST_VARIANTS)
    for each in (*kinds["readings"], *kinds["questions"], *kinds["human digits"]):
        assert [word.text for word in each.words] == each.text.split()
        assert each.words[0].start >= module.BEFORE[0] and each.wav[: round(module.BEFORE[0] * 24_000)].abs().max() == 0


# --- Synthesis ------------------------------------------------------------------------------------


def test_only_texts_that_the_judge_knows():
    texts = texts_for(SimpleNamespace(config=RecogniserConfig()), 6, seed=0)
    assert len(texts) == 6 and {word for text in texts for word in as_heard(text).split()} <= set(WORDS)
    assert all(text[0].isupper() and text.endswith(".") for text in texts)
    with pytest.raises(ValueError, match="the judge knows no answer"):
        texts_for(SimpleNamespace(config=RecogniserConfig(("abracadabra",))), 1, seed=0)


def test_word_errors_of_a_voice_stand_beside_those_of_the_originals(monkeypatch, tokenizer):
    """A judge that hears every word in what is loud; a voice that is silent; a codec that loses everything."""
    monkeypatch.setattr(module, "texts_for", lambda *_: ["Four is more.", "One, two."])
    monkeypatch.setattr(module, "speak", lambda stream, tokenizer, text: torch.zeros(24_000))
    monkeypatch.setattr(module, "MoshiStream", lambda *_, **__: None)
    heard = iter(["", "", "four is more", "one two three", "", ""])
    judge = SimpleNamespace(config=RecogniserConfig(), transcribe=lambda wav: next(heard))
    assert synthesis(None, torch.zeros_like, tokenizer, judge, 2, seed=0) == {
        "spoken by the model": {"errors": 5, "words": 5, "rate": 1.0},
        "originals": {"errors": 1, "words": 5, "rate": 0.2},
        "originals through the codec": {"errors": 5, "words": 5, "rate": 1.0},
    }


# --- The command ----------------------------------------------------------------------------------


@pytest.fixture
def models(tmp_path, tokenizer):
    save(Mimi(tiny_mimi()), tmp_path / "moshi" / "mimi")
    save(small_moshi(len(tokenizer)), tmp_path / "moshi")
    tokenizer.save(tmp_path / "moshi" / "tokenizer.model")
    save(Recogniser(RecogniserConfig(WORDS, dim=8)), tmp_path / "judge")
    return tmp_path


def test_the_command(models, capsys):
    """Both tables of a random model, one utterance of each kind."""
    given = ("--moshi", models / "moshi", "--recogniser", models / "judge", "--json", models / "errors.json")
    assert main(["evaluate", "speech-text", "--trials", "1", *map(str, given)]) == 0
    table = json.loads((models / "errors.json").read_text())
    assert list(table["recognition"]) == ["readings", "questions"]
    assert list(table["synthesis"]) == ["spoken by the model", "originals", "originals through the codec"]
    assert all(row["words"] > 0 for part in table.values() for row in part.values())
    printed = capsys.readouterr().out
    assert all(kind in printed for part in table.values() for kind in part)


def test_the_command_with_adapters(models, monkeypatch, capsys):
    """The model by itself, and with them: what they change is heard in one row and not in the other."""
    moshi = add_adapters(load_moshi(models / "moshi"), 1, parts=("model.text_head",))
    for _, adapter in adapters(moshi):
        torch.nn.init.normal_(adapter.lora_B.weight)
    save_adapters(moshi, models / "lora.safetensors")
    heads = []
    monkeypatch.setattr(module, "written_down", lambda moshi, *_: heads.append(moshi.model.text_head.weight) or [])
    monkeypatch.setattr(module, "recognition", lambda said, transcripts: {"errors": 0})
    given = ("--moshi", models / "moshi", "--recogniser", models / "judge", "--lora", models / "lora.safetensors")
    assert main(["evaluate", "speech-text", "--trials", "1", *map(str, given)]) == 0
    plain, adapted = heads[:2]
    assert len(heads) == 4 and torch.equal(plain, load_moshi(models / "moshi").model.text_head.weight)
    torch.testing.assert_close(adapted, merge(moshi).model.text_head.weight, atol=1e-2, rtol=1e-2)  # of float16
    assert not torch.allclose(plain, adapted, atol=0.1)
    assert "recognition with adapters, questions" in capsys.readouterr().out


# --- The recogniser that comes along --------------------------------------------------------------


def test_asr_tiny_hears_what_moshi_tiny_mishears():
    """Readings and questions in held-out voices; the README has more of them."""
    moshi = CHECKPOINTS / "moshi-tiny"
    mimi, tokenizer = load_mimi(mimi_of(moshi)), load_tokenizer(moshi)
    said = [each for some in utterances(8, 0, None).values() for each in some]
    alone, with_adapters = (
        recognition(said, written_down(model, mimi, tokenizer, said)) for model in (load_moshi(moshi), load_asr(moshi))
    )
    assert with_adapters["rate"] < 0.7 * alone["rate"]
    assert with_adapters["times"]["share"] > 0.8
