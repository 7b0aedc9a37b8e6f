"""The benchmark runs and says what it should; how fast anybody is, no test asks."""

import json
import sys
from dataclasses import replace

import pytest
from conftest import tiny_mimi, tiny_transformer

from moshi_ref.evaluation import speed
from moshi_ref.mimi import Mimi
from moshi_ref.moshi import MoshiConfig
from moshi_ref.rq_transformer import RQTransformerConfig


@pytest.fixture
def small(monkeypatch):
    """Small models in the place of large ones, two rounds of two frames."""
    depth = tiny_transformer(dim=16, layers=1, hidden=24, context=8, rope_period=None, weight_sets=8)
    model = RQTransformerConfig(tiny_transformer(), depth, 20, entries=2048, audio_streams=16)
    config = MoshiConfig(model, MoshiConfig.kyutai_7b().delays)
    mimi = replace(tiny_mimi(), codebooks=8, used_codebooks=8)
    monkeypatch.setattr(speed, "random_mimi", lambda: Mimi(mimi).eval())
    monkeypatch.setattr(speed, "MID", config)
    monkeypatch.setattr(speed, "TINY", config)
    monkeypatch.setattr(speed, "WARM_UP", 1)
    monkeypatch.setattr(speed, "installed", lambda package: False)
    monkeypatch.setattr(speed.torch, "set_num_threads", lambda count: None)


def test_everything_is_measured(small):
    results = speed.measure(threads=1, frames=2)
    assert list(results) == [
        "Mimi, encode", "Mimi, decode", "language model, tiny", "language model, mid", "Mimi, both",
    ]  # fmt: skip
    for row in results.values():
        assert row["moshi_ref"]["ratio"] == 1.0 and row["moshi_ref"]["median_ms"] > 0


def test_ratios_are_ours_over_theirs(small, monkeypatch):
    """With a clock that only the turns move: ours takes 2 ms, theirs 8."""
    clock = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])

    def lasting(seconds: float):
        return lambda: clock.__setitem__(0, clock[0] + seconds)

    row = speed.take_turns({"moshi_ref": lasting(0.002), "slow": lasting(0.008)}, frames=3)
    assert row["moshi_ref"] == {"ratio": 1.0, "median_ms": 2.0, "p95_ms": 2.0}
    assert row["slow"] == {"ratio": 0.25, "median_ms": 8.0, "p95_ms": 8.0}


def test_one_number_of_threads_prints_json(small, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["speed", "--here", "--threads", "1", "--frames", "1"])
    speed.main()
    assert "Mimi, both" in json.loads(capsys.readouterr().out)
