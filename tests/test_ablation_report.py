"""What is written about a run of `train mimi --variant`."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch
from conftest import tiny_mimi

from moshi_ref.checkpoints import save
from moshi_ref.evaluation import ablation_report
from moshi_ref.evaluation.ablation_report import PIECE, named, report_on, thinned, two_sentences
from moshi_ref.mimi import Mimi


def test_the_name_of_a_run():
    assert named(Path("runs/mimi-cpu-no-split-12")) == {"variant": "no-split", "profile": "cpu", "seed": 12}


@pytest.mark.parametrize("name", ["mimi-cpu", "mimi-cpu-all", "moshi-cpu-all-0", "all-0"])
def test_other_folders_are_refused(name):
    with pytest.raises(ValueError, match="mimi-PROFILE-VARIANT-SEED"):
        named(Path(name))


def test_a_thinned_curve_keeps_the_means():
    curve = [{"step": i, "seconds": 2.0 * i, "loss": float(i)} for i in range(2 * PIECE + 3)]
    first, second = thinned(curve)
    assert first == {"step": PIECE - 1, "seconds": 2.0 * (PIECE - 1), "loss": (PIECE - 1) / 2}
    assert second["loss"] == first["loss"] + PIECE


def test_a_loss_of_some_steps_is_the_mean_of_those():
    curve = [{"step": i, "seconds": 1.0, "reading" if i % 10 == 9 else "text": float(i)} for i in range(PIECE)]
    (point,) = thinned(curve)
    assert point == {"step": PIECE - 1, "seconds": 1.0, "reading": 29.0, "text": 24.0}


def test_the_files_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(ablation_report, "everything", lambda *_: {"quality": {}})
    run = tmp_path / "mimi-cpu-no-split-1"
    save(Mimi(replace(tiny_mimi(), split=False)), run)
    (run / "curve.json").write_text(json.dumps([{"step": i, "seconds": 1.0, "mel": 0.5} for i in range(PIECE)]))
    report_on(run, tmp_path, None, 1, None)
    written = json.loads((tmp_path / "no-split-1.json").read_text())
    assert (written["variant"], written["seed"], written["report"]) == ("no-split", 1, {"quality": {}})
    assert written["curve"] == [{"step": PIECE - 1, "seconds": 1.0, "mel": 0.5}]
    original, rate = soundfile.read(tmp_path / "original.flac", dtype="float32")
    assert rate == 24_000 and torch.allclose(torch.from_numpy(original), two_sentences(), atol=1e-4)
    assert soundfile.info(tmp_path / "no-split-1.flac").frames == len(original)
