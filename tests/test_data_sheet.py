"""What a data sheet counts."""

import sys
from dataclasses import asdict

import pytest
from test_timeline import FRAMES, NOISE, RATE, SILENCE, channel, numbered_clip

from moshi_ref.corpus import data_sheet
from moshi_ref.corpus.data_sheet import describe, speaking
from moshi_ref.corpus.timeline import Timeline


@pytest.fixture
def line(tokenizer) -> Timeline:
    line = Timeline(channel(SILENCE), channel(NOISE), tokenizer, RATE)
    line.user_says(numbered_clip(1, "what is seven"), 1.0)  # until 2.48 s
    line.moshi_says(numbered_clip(2, "seven is nine"), 2.0)  # until 3.48 s
    return line


def test_who_speaks_when(line):
    for speaker, start in (("user", 1.0), ("moshi", 2.0)):
        seconds = speaking(line, speaker).nonzero()[:, 0] / 100
        assert len(seconds) == pytest.approx(148, abs=1) and seconds[0] == pytest.approx(start, abs=0.05)


def test_the_numbers_of_a_known_dialogue(line, tokenizer):
    empty = Timeline(channel(SILENCE), channel(NOISE), tokenizer, RATE)
    sheet, seconds = describe([line, empty]), 2 * FRAMES / RATE
    assert sheet.hours == pytest.approx(seconds / 3600)
    assert sheet.moshi_words_per_minute == sheet.user_words_per_minute == pytest.approx(3 * 60 / seconds)
    assert sheet.moshi_speaks == pytest.approx(1.48 / seconds, abs=1e-3)
    assert sheet.user_speaks == pytest.approx(sheet.moshi_speaks, abs=1e-3)
    assert sheet.both_speak == pytest.approx(0.48 / seconds, abs=5e-3)
    tokens = sum(len(tokenizer.encode(word)) for word in ("seven", "is", "nine"))
    assert sheet.padding == pytest.approx(1 - tokens / (2 * FRAMES))
    assert sheet.cut_short == 0
    line.stop(2.6)
    assert describe([line]).cut_short == 1 and describe([line]).moshi_speaks < 1.5 * sheet.moshi_speaks
    with pytest.raises(ValueError, match="draws to describe, got none"):
        describe([])


class Recorded:
    def __init__(self, line: Timeline):
        self.timeline = lambda rng: line


def test_the_command_prints_a_column_for_each_stage(line, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(data_sheet, "load_mimi", lambda folder: None)
    monkeypatch.setattr(data_sheet, "load_tokenizer", lambda folder: None)
    monkeypatch.setattr(data_sheet, "sources", lambda *_: {"first": Recorded(line), "second": Recorded(line)})
    monkeypatch.setattr(sys, "argv", ["data_sheet", "--draws", "2", "--json", str(tmp_path / "sheet.json")])
    assert data_sheet.main() == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["first", "second"]
    assert [row.split()[0] for row in printed[1:]] == list(asdict(describe([line])))
    assert (tmp_path / "sheet.json").is_file()


def test_a_missing_model_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["data_sheet", "--mimi", "nowhere"])
    assert data_sheet.main() == 2
    assert "nowhere" in capsys.readouterr().err
