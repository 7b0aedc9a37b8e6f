"""The latency budget and the long conversation: what is measured, and that it adds up. How fast, no test asks."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from conftest import tiny_mimi
from test_checkpoints import small_moshi as saved_moshi
from test_moshi import small_mimi, small_moshi

from moshi_ref.checkpoints import save
from moshi_ref.evaluation import endurance, latency
from moshi_ref.evaluation.duplex import Question
from moshi_ref.mimi import Mimi
from moshi_ref.moshi import MoshiConfig, MoshiStream
from moshi_ref.tokenizer import PAD

PARTS = ["encode", "temporal", "depth and sampling", "decode", "rest", "whole frame"]


@pytest.fixture
def clock(monkeypatch):
    """A clock that counts how often it was asked, a second each time."""
    seconds = iter(range(10**9))
    monkeypatch.setattr(latency, "now", lambda device: float(next(seconds)))


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_the_wait_by_design(delay):
    stream = MoshiStream(small_moshi(acoustic=delay), small_mimi(), seed=0)
    assert latency.by_design(stream) == {"filling a frame": 80.0, "acoustic delay": 80.0 * delay}


def test_the_released_geometry_waits_160_ms():
    config = MoshiConfig.kyutai_7b()
    assert max(config.delays) == 1  # so 80 + 80, as section 3.4.2 of the paper has it


def test_the_parts_add_up(clock):
    """Each part asks the clock twice: 1 s for each of 4 parts, and 4 * 2 + 1 for the whole frame."""
    stream = MoshiStream(small_moshi(), small_mimi(), seed=0, batch_size=2)
    result = latency.budget(stream, frames=3)
    assert list(result["parts"]) == PARTS
    medians = {name: numbers["median_ms"] for name, numbers in result["parts"].items()}
    assert medians == dict.fromkeys(PARTS[:4], 1000.0) | {"rest": 5000.0, "whole frame": 9000.0}
    assert result["latency_ms"] == {"median": 9160.0, "p95": 9160.0} and result["conversations"] == 2
    lines = latency.table(result).splitlines()
    assert len(lines) == 2 + len(PARTS) + 2 and "less than 80 ms: too slow here" in lines[-1]


def test_a_model_that_decodes_nothing_has_no_such_part(clock):
    stream = MoshiStream(small_moshi(depth=False), small_mimi(6), seed=0)
    assert list(latency.parts(stream, frames=2)) == [part for part in PARTS if part != "decode"]


def test_measuring_changes_nothing():
    moshi, mimi = small_moshi(), small_mimi()
    stream = MoshiStream(moshi, mimi, seed=0)
    latency.parts(stream, frames=2)
    assert not {"encode", "decode", "context", "sample_column", "step"} & (
        vars(stream).keys() | vars(mimi).keys() | vars(moshi.model).keys()
    )


def test_milliseconds():
    assert latency.milliseconds([float(n) for n in range(101)]) == {"median_ms": 50.0, "p95_ms": 95.0}


@pytest.fixture
def folders(tmp_path, tokenizer):
    """A Moshi and a Mimi that were saved."""
    save(saved_moshi(len(tokenizer)), tmp_path / "moshi")
    save(Mimi(tiny_mimi()), tmp_path / "mimi")
    tokenizer.save(tmp_path / "moshi" / "tokenizer.model")
    return ["--moshi", str(tmp_path / "moshi"), "--mimi", str(tmp_path / "mimi")]


def test_the_command(folders, tmp_path, monkeypatch, capsys):
    path = tmp_path / "latency.json"
    monkeypatch.setattr(sys, "argv", ["latency", *folders, "--frames", "3", "--json", str(path)])
    latency.main()
    result = json.loads(path.read_text())
    assert result["by_design_ms"] == {"filling a frame": 80.0, "acoustic delay": 80.0} and result["threads"] == 1
    assert latency.table(result) in capsys.readouterr().out


@pytest.mark.parametrize("program", [latency, endurance])
@pytest.mark.parametrize("options, message", [
    (["--frames", "0"], "expected at least"), (["--moshi", "nowhere"], "nowhere"),
    (["--json", "nowhere/x.json"], "no folder nowhere"),
])  # fmt: skip
def test_bad_input_is_named(program, options, message, folders, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["program", *folders, *options])
    with pytest.raises(SystemExit):
        program.main()
    assert message in capsys.readouterr().err


# --- A long conversation ----------------------------------------------------------------------------------


class Scripted(MoshiStream):
    """Says "seven" whenever it hears more than noise."""

    def step(self, frame, text=None):
        return replace(super().step(frame), text=torch.tensor([self.word if frame.max() > 0.5 else PAD]))


def test_what_a_long_conversation_reports(tokenizer, monkeypatch):
    monkeypatch.setattr(endurance, "PAUSE_SECONDS", 1)  # 12 frames
    (word,) = tokenizer.encode("seven")
    stream = Scripted(small_moshi(), small_mimi(), seed=0)
    stream.word = word
    loud = torch.zeros(20 * 1920)
    loud[5 * 1920 : 6 * 1920] = 0.9
    questions = [Question(loud, 0.5, "seven")]
    found = endurance.endure(stream, tokenizer, questions, frames=100, seed=0)
    assert len(found.times) == len(found.memory) == 100
    assert found.right == [("silence", True), ("noise", True), ("question", True)] * 2 + [("silence", True)]
    result = endurance.report(found, minute=30)
    assert result["frames"] == 100 and result["right, first half"] == dict.fromkeys(
        ["noise", "question", "silence"], "1 of 1"
    )
    assert result["right, second half"]["silence"] == "2 of 2"
    assert result["first minute"] == latency.milliseconds(found.times[20:50])
    assert result["last minute"] == latency.milliseconds(found.times[70:])
    assert result["memory_mib"] == {"after the first minute": found.memory[29], "at the end": found.memory[99]}


def test_the_scenes_of_a_long_conversation():
    questions = [Question(torch.ones(1920 * 7 + 5), 0.5, "yes")]
    made = [scene for scene, _ in zip(endurance.scenes(questions, 24_000, 1920, 0), range(6), strict=False)]
    assert [scene.kind for scene in made] == ["silence", "noise", "question"] * 2
    assert not made[0].frames.any() and made[1].frames.any() and made[2].frames.shape == (7, 1, 1, 1920)
    assert not torch.equal(made[1].frames, made[4].frames) and [s.answer for s in made[:3]] == ["", "", "yes"]
