"""What is read from data/ablations, and what may be said about it."""

import json

import pytest

from moshi_ref.lab.ablation_tables import (
    PAPER,
    Spread,
    cell,
    compared,
    coverage,
    load_ablations,
    load_moshi_ablations,
    over_seeds,
    rows,
    rows_beside_paper,
    verdict,
)
from moshi_ref.training.ablations import VARIANTS
from moshi_ref.training.moshi_ablations import WHAT_IS_LEFT_OUT


def write(folder, variant, seed, error):
    run = {"variant": variant, "profile": "cpu", "seed": seed, "curve": [], "report": {"ABX": {"error": error}}}
    (folder / f"{variant}-{seed}.json").write_text(json.dumps(run))


def test_runs_come_by_variant_and_seed(tmp_path):
    for variant, seed, error in (("no-split", 2, 0.3), ("all", 10, 0.1), ("all", 9, 0.2)):
        write(tmp_path, variant, seed, error)
    runs = load_ablations(tmp_path)
    assert list(runs) == ["all", "no-split"] and [run["seed"] for run in runs["all"]] == [9, 10]
    assert over_seeds(runs["all"], "report", "ABX", "error").values == (0.2, 0.1)
    assert over_seeds(runs["all"], "report", "hearing", "both") is None
    told = coverage(runs)
    assert "all (seeds 9, 10)" in told and "Not there yet: no-distillation, " in told


def test_a_folder_without_runs(tmp_path):
    assert load_ablations(tmp_path) == load_ablations(tmp_path / "none") == {}
    assert coverage({}).startswith("measured: nothing yet. Not there yet: all")


def test_runs_of_moshi(tmp_path):
    for seed in (1, 0):
        run = {"variant": "no-helium", "seed": seed, "curve": [], "rows": {"known": {"voice": {"share": seed}}}}
        (tmp_path / f"no-helium-{seed}.json").write_text(json.dumps(run))
    runs = load_moshi_ablations(tmp_path)
    assert over_seeds(runs["no-helium"], "rows", "known", "voice", "share").values == (0, 1)
    assert "Not there yet: all, no-inner-monologue" in coverage(runs, WHAT_IS_LEFT_OUT)
    with pytest.raises(ValueError, match="got no report"):
        load_ablations(tmp_path)


def test_other_files_are_refused(tmp_path):
    write(tmp_path, "other", 0, 0.1)
    with pytest.raises(ValueError, match="a report on one of all, .* got 'other'"):
        load_ablations(tmp_path)
    (tmp_path / "other-0.json").unlink()
    (tmp_path / "all-0.json").write_text('{"variant": "all"}')
    with pytest.raises(ValueError, match="got no curve, report, seed"):
        load_ablations(tmp_path)
    (tmp_path / "all-0.json").write_text("{")
    with pytest.raises(ValueError, match="all-0.json is no JSON"):
        load_ablations(tmp_path)


def test_mean_and_spread():
    spread = Spread((1.0, 2.0, 3.0))
    assert (spread.mean, spread.deviation) == (2.0, 1.0) and f"{spread:.1f}" == "2.0 ± 1.0"
    assert Spread((2.0,)).deviation is None and f"{Spread((2.0,)):.1f}" == "2.0"
    assert cell(spread, ".0f", 10) == "20 ± 10" and cell(None, ".0f") == ""


def test_runs_that_overlap_say_nothing():
    low, high = Spread((0.1, 0.2, 0.3)), Spread((0.4, 0.5, 0.6))
    found = compared(low, high)
    assert (found.direction, found.luck, found.clear) == (-1, 1 / 20, True)
    assert compared(high, low).direction == 1 and compared(low, Spread((0.25, 0.9))).direction == 0
    assert verdict(low, high, -1) == "agrees" and verdict(low, high, 1) == "disagrees"
    assert verdict(low, Spread((0.25, 0.9)), -1).startswith("open")
    assert verdict(Spread((0.1,)), Spread((0.2,)), -1) == "agrees, but 50% by luck"
    assert verdict(low, None, -1) == "not measured yet"


def test_a_table(tmp_path):
    write(tmp_path, "all", 0, 0.1)
    write(tmp_path, "all", 1, 0.3)
    write(tmp_path, "no-split", 0, 0.25)
    table = rows(load_ablations(tmp_path), {"error, %": (("report", "ABX", "error"), ".0f", 100)})
    assert table.splitlines()[2:] == ["| all | 2 | 20 ± 14 |", "| no-split | 1 | 25 |"]


def test_a_table_beside_the_paper(tmp_path):
    write(tmp_path, "all", 0, 0.1)
    table = rows_beside_paper(load_ablations(tmp_path), {"error, %": (("report", "ABX", "error"), ".0f", 100)})
    lines = table.splitlines()
    assert lines[2] == "| all | 1 | 10 | 8.1 | 2.82 | 64.0 |"
    assert "| no-split | not there yet |  | 6.5 | 2.22 | 57.8 |" in lines
    assert len(lines) == 2 + len(VARIANTS) and len({line.count("|") for line in lines}) == 1
    assert set(PAPER) < set(VARIANTS)
