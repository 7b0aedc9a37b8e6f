"""Saving and loading models, and what is said about files that are damaged or do not fit."""

import json
from pathlib import Path

import pytest
import torch
from conftest import tiny_helium, tiny_mimi, tiny_transformer
from safetensors.torch import load_file, save_file
from torch import nn

from moshi_ref.checkpoints import load_helium, load_mimi, load_moshi, load_tokenizer, save
from moshi_ref.helium import Helium
from moshi_ref.mimi import Mimi
from moshi_ref.moshi import Moshi, MoshiConfig
from moshi_ref.rq_transformer import RQTransformerConfig


def small_moshi(vocabulary: int = 20) -> Moshi:
    """Three codebooks for each speaker, as many as `tiny_mimi` uses; acoustic delay 1."""
    depth = tiny_transformer(dim=16, layers=1, hidden=24, context=3, rope_period=None, weight_sets=3)
    model = RQTransformerConfig(tiny_transformer(), depth, vocabulary, entries=16, audio_streams=6)
    return Moshi(MoshiConfig(model, (0, 0, 1, 1, 0, 1, 1)))


MODELS = {
    "mimi": (lambda: Mimi(tiny_mimi()), load_mimi),
    "helium": (lambda: Helium(tiny_helium()), load_helium),
    "moshi": (small_moshi, load_moshi),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved Mimi."""
    save(Mimi(tiny_mimi()), tmp_path / "mimi")
    return tmp_path / "mimi"


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_as_it_was(name, tmp_path):
    make, load = MODELS[name]
    model = make().train()
    save(model, tmp_path / "new" / "folder")
    loaded = load(str(tmp_path / "new" / "folder"))
    assert type(loaded) is type(model) and loaded.config == model.config and not loaded.training
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in model.state_dict().items())
    assert model.training


@pytest.mark.parametrize("name", MODELS)
def test_half_precision_halves_the_file_and_comes_back_close(name, tmp_path):
    make, load = MODELS[name]
    model = make()
    save(model, tmp_path, torch.float16)
    assert {value.dtype for value in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    for key, value in load(tmp_path).state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, model.state_dict()[key], rtol=1e-3, atol=1e-4)


def test_the_tokenizer_lies_beside_the_weights(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.model")
    assert load_tokenizer(tmp_path).encode("twelve") == tokenizer.encode("twelve")
    with pytest.raises(FileNotFoundError, match="no tokenizer"):
        load_tokenizer(tmp_path / "elsewhere")


def test_a_missing_folder_or_file_is_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no config.json in .*nowhere; expected a folder with"):
        load_mimi(tmp_path / "nowhere")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no model.safetensors in .*mimi; expected"):
        load_mimi(folder)


@pytest.mark.parametrize("kept", [0, 100, 0.5, -1], ids=["nothing", "header", "half", "all but a byte"])
def test_weights_that_were_cut_short(kept, folder):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match="is damaged or cut short .*; fetch it again"):
        load_mimi(folder)


@pytest.mark.parametrize("text", ["", '{"class": "Mimi", "con', "[]", '{"class": "Mimi"}', "\x00\x01"])
def test_a_damaged_description(text, folder):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match='config.json is damaged: expected JSON with "class" and "config"'):
        load_mimi(folder)


def test_a_model_of_another_class(folder):
    with pytest.raises(ValueError, match="mimi holds a Mimi, expected a Moshi"):
        load_moshi(folder)


def change_config(folder: Path, **changes) -> None:
    description = json.loads((folder / "config.json").read_text())
    description["config"].update(changes)
    (folder / "config.json").write_text(json.dumps(description))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"colour": "red"}, r"unknown entries \['colour'\]"),
        ({"seanet": {"dim": 32, "filters": 4, "depth": 3}}, r"unknown entries \['depth'\]"),
        ({"seanet": {"dim": 32}}, "missing .* 'filters'"),
        ({"transformer": dict(dim=30, heads=4, layers=1, hidden=8, context=5)}, "dim must be heads"),
        ({"seanet": 3}, "does not describe a Mimi"),
        ({"seanet": None}, "does not describe a Mimi"),
        ({"entries": "many"}, "does not describe a Mimi"),
    ],
)
def test_a_description_that_no_model_has(changes, message, folder):
    change_config(folder, **changes)
    with pytest.raises(ValueError, match=message):
        load_mimi(folder)


KEY = "quantizer.semantic.codebooks.0.usage"


def rename(weights: dict) -> None:
    weights["other"] = weights.pop(KEY)


def shorten(weights: dict) -> None:
    weights[KEY] = weights[KEY][:5].clone()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda weights: weights.pop(KEY), f"in 1 places: missing {KEY}"),
        (lambda weights: weights.update(other=torch.zeros(1)), "in 1 places: unexpected other"),
        (rename, f"in 2 places: missing {KEY}; unexpected other"),
        (shorten, rf"in 1 places: {KEY} is \(5,\), expected \(16,\)"),
    ],
)
def test_weights_that_do_not_fit(change, message, folder):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ValueError, match="the weights in .* do not fit its config.json " + message):
        load_mimi(folder)


def test_a_description_of_a_larger_model(folder):
    change_config(folder, entries=32)
    with pytest.raises(ValueError, match=r"in 8 places: .*expected \(32,\)"):  # usage and sums of 4 codebooks
        load_mimi(folder)


def test_only_models_with_a_configuration_are_saved(tmp_path):
    with pytest.raises(AttributeError):
        save(nn.Linear(1, 1), tmp_path)
    assert not list(tmp_path.iterdir())
