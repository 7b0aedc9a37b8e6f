"""The benchmark of Helium runs and says what it should; how fast anybody is, no test asks."""

import json
import sys

import pytest
import torch
from conftest import tiny_helium
from torch import nn

from moshi_ref.evaluation import speed, text_speed
from moshi_ref.helium import Helium


def test_a_turn_of_learning_changes_the_weights_even_where_nothing_else_may_learn():
    helium = Helium(tiny_helium())
    before = helium.head.weight.detach().clone()
    rows = torch.randint(40, (2, 6))
    with torch.inference_mode():
        text_speed.learning(helium, helium, rows)()
    assert not torch.equal(helium.head.weight, before)


def test_without_the_other_one_there_is_nothing_to_compare(monkeypatch, capsys):
    monkeypatch.setattr(speed, "installed", lambda package: False)
    monkeypatch.setattr(sys, "argv", ["text_speed"])
    with pytest.raises(SystemExit):
        text_speed.main()
    assert "pip install transformers" in capsys.readouterr().err


def test_what_the_command_prints_and_writes(monkeypatch, capsys, tmp_path):
    """With a helium of ours in the place of theirs."""

    class Theirs(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Helium(tiny_helium())

    def turns(config, folder):
        rows = torch.randint(40, (2, 6))
        ours, theirs = Helium(config), Theirs()
        return {
            "write": {"moshi_ref": lambda: ours.generate(rows, 3),
                      "Hugging Face": lambda: theirs.model.generate(rows, 3)},
            "learn": {"moshi_ref": text_speed.learning(ours, ours, rows),
                      "Hugging Face": text_speed.learning(theirs, theirs.model, rows)},
        }  # fmt: skip

    monkeypatch.setattr(speed, "installed", lambda package: True)
    monkeypatch.setattr(text_speed, "MODELS", {"tiny": tiny_helium()})
    monkeypatch.setattr(text_speed, "turns_of", turns)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(sys, "argv", ["text_speed", "--turns", "2", "--json", str(tmp_path / "out.json")])
    text_speed.main()
    assert len(capsys.readouterr().out.splitlines()) == 4
    results = json.loads((tmp_path / "out.json").read_text())
    assert list(results) == ["tiny, write", "tiny, learn"]
    assert results["tiny, learn"]["moshi_ref"]["ratio"] == 1.0
