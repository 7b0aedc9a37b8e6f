"""The benchmark runs and says what it should; how fast anybody is, no test asks."""

import json
import sys
from dataclasses import replace

import pytest
from conftest import tiny_mimi, tiny_transformer

from moshi_ref.evaluation import speed
from moshi_ref.moshi import MoshiConfig
from moshi_ref.rq_transformer import RQTransformerConfig


@pytest.fixture
def small(monkeypatch):
    """Small models in the place of large ones, two rounds of two frames."""
    depth = tiny_transformer(dim=16, layers=1, hidden=24, context=8, rope_period=None, weight_sets=8)
    model = RQTransformerConfig(tiny_transformer(), depth, 20, entries=2048, audio_streams=16)
    config = MoshiConfig(model, MoshiConfig.kyutai_7b().delays)
    mimi = replace(tiny_mimi(), codebooks=8, used_codebooks=8)
    monkeypatch.setattr(speed.MimiConfig, "kyutai", lambda: mimi)
    monkeypatch.setattr(speed, "LANGUAGE_MODELS", dict.fromkeys(speed.LANGUAGE_MODELS, config))
    monkeypatch.setattr(speed, "WARM_UP", 1)
    monkeypatch.setattr(speed, "installed", lambda package: package == "torch")
    monkeypatch.setattr(speed.torch, "set_num_threads", lambda count: None)


def test_everything_is_measured(small, tmp_path):
    speed.save_models(tmp_path)
    results = speed.measure(1, 2, tmp_path)
    assert list(results) == [
        "Mimi, encode", "Mimi, decode", "language model, tiny", "language model, mid", "Mimi, both",
    ]  # fmt: skip
    for row in results.values():
        assert row["moshi_ref"]["ratio"] == 1.0 and row["moshi_ref"]["median_ms"] > 0
    assert 100 < speed.peak_memory("Mimi", "moshi_ref", tmp_path) < 100_000


def test_ratios_are_ours_over_theirs(small, monkeypatch):
    """With a clock that only the turns move: ours takes 2 ms, theirs 8."""
    clock = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])

    def lasting(seconds: float):
        return lambda: clock.__setitem__(0, clock[0] + seconds)

    row = speed.take_turns({"moshi_ref": lasting(0.002), "slow": lasting(0.008)}, frames=3)
    assert row["moshi_ref"] == {"ratio": 1.0, "median_ms": 2.0, "p95_ms": 2.0}
    assert row["slow"] == {"ratio": 0.25, "median_ms": 8.0, "p95_ms": 8.0}


@pytest.mark.parametrize("options, expected", [((), "Mimi, both"), (("--memory", "Mimi", "moshi_ref"), None)])
def test_what_the_processes_print(options, expected, small, tmp_path, monkeypatch, capsys):
    speed.save_models(tmp_path)
    monkeypatch.setattr(sys, "argv", ["speed", "--folder", str(tmp_path), "--frames", "1", *options])
    speed.main()
    printed = json.loads(capsys.readouterr().out)
    assert isinstance(printed, int) if expected is None else expected in printed


def test_the_table_has_times_and_memory(small, tmp_path, monkeypatch, capsys):
    row = {"moshi_ref": {"ratio": 1.0, "median_ms": 2.0, "p95_ms": None}}
    monkeypatch.setattr(speed, "child", lambda _, __, option, *___: 300 if option == "--memory" else {"Mimi": row})
    monkeypatch.setattr(sys, "argv", ["speed", "--threads", "1", "--json", str(tmp_path / "speed.json")])
    speed.main()
    written = json.loads((tmp_path / "speed.json").read_text())
    assert written["1 threads"] == {"Mimi": row} and written["memory, MiB"]["Mimi"] == {"moshi_ref": 300}
    assert "300 MiB at most" in capsys.readouterr().out
