"""Saving and loading models, and what is said about files that are damaged or do not fit."""

import json
from pathlib import Path

import pytest
import torch
from conftest import tiny_helium, tiny_mimi, tiny_transformer
from safetensors.torch import load_file, save_file
from torch import nn

from moshi_ref import checkpoints, kyutai_names
from moshi_ref.checkpoints import CHECKPOINTS, load_helium, load_mimi, load_moshi, load_tokenizer, mimi_of, save
from moshi_ref.helium import Helium
from moshi_ref.mimi import Mimi, MimiConfig
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
    with pytest.raises(ValueError, match="config.json .*is damaged: expected (JSON with|an entry 'config')"):
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


# --- Several files ----------------------------------------------------------------------------------------


INDEX = "model.safetensors.index.json"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", MODELS)
def test_large_weights_are_cut_into_several_files(name, tmp_path, monkeypatch):
    model, loads = MODELS[name][0](), MODELS[name][1]
    monkeypatch.setattr(checkpoints, "LARGEST", 20_000)
    save(model, tmp_path)
    files = sorted(tmp_path.glob("*.safetensors"))
    count = len(files)
    assert count > 2 and [path.name for path in files] == [
        f"model-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)
    ]
    held = [load_file(path) for path in files]
    assert all(len(part) == 1 or sum(t.nbytes for t in part.values()) <= 20_000 for part in held)
    index = json.loads((tmp_path / INDEX).read_text())
    expected = {key: path.name for path, part in zip(files, held, strict=True) for key in part}
    assert index["weight_map"] == expected and expected.keys() == model.state_dict().keys()
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in model.state_dict().values())
    loaded = loads(tmp_path)
    assert_same(model, loaded)
    save(loaded, tmp_path)  # over the files that its tables are mapped from
    for again in (loaded, loads(tmp_path)):
        assert_same(model, again)
    assert names(tmp_path) == {"config.json", INDEX, *(path.name for path in files)}


def test_no_file_of_the_repository_is_too_large():
    assert checkpoints.LARGEST + 2**19 < 16 * 2**20  # room for the header


def test_an_earlier_save_leaves_nothing_behind(tmp_path, monkeypatch):
    """One file, several, fewer, and one again, beside files that are none of its business."""
    others = {"README.md", "tokenizer.model", "mimi.safetensors", "config.json"}
    for other in others:
        (tmp_path / other).write_text("mine")
    for largest in (10**9, 5000, 20_000, 10**9):
        model = small_moshi()
        monkeypatch.setattr(checkpoints, "LARGEST", largest)
        save(model, tmp_path)
        assert_same(model, load_moshi(tmp_path))
        several = largest < 10**9
        assert (INDEX in names(tmp_path)) == several and ("model.safetensors" in names(tmp_path)) != several
    assert names(tmp_path) == others | {"model.safetensors"}


def test_a_save_that_is_stopped_never_leaves_old_and_new_weights_together(tmp_path, monkeypatch):
    """Every rename is the last one once; what is found then is all old, all new, or refused."""
    old, new, rename_to = small_moshi(), small_moshi(), Path.replace
    for before, after in ((10**9, 5000), (5000, 10**9), (5000, 5000), (5000, 20_000), (10**9, 10**9)):
        for stop in range(100):
            folder, left = tmp_path / f"{before} {after} {stop}", [stop]

            def replace(path: Path, target: Path, left=left) -> Path:
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
                return rename_to(path, target)

            monkeypatch.setattr(checkpoints, "LARGEST", before)
            save(old, folder)
            monkeypatch.setattr(checkpoints, "LARGEST", after)
            with monkeypatch.context() as stopped:
                stopped.setattr(Path, "replace", replace)
                try:
                    save(new, folder)
                    break
                except KeyboardInterrupt:
                    pass
            try:
                found = load_moshi(folder).state_dict()
            except FileNotFoundError as error:
                assert before == 5000 and after != 10**9 and "no model.safetensors in" in str(error)
                continue
            whole = [all(torch.equal(found[k], v) for k, v in m.state_dict().items()) for m in (old, new)]
            assert any(whole)
        assert stop > 0


def test_a_file_of_several_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "LARGEST", 20_000)
    save(small_moshi(), tmp_path)
    file = sorted(tmp_path.glob("*.safetensors"))[1]
    file.unlink()
    with pytest.raises(FileNotFoundError, match=f"no {file.name} in"):
        load_moshi(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", '{"weight_map": 3}'])
def test_a_damaged_index(text, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "LARGEST", 20_000)
    save(small_moshi(), tmp_path)
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(ValueError, match="index.json is damaged"):
        load_moshi(tmp_path)


def test_the_official_programs_get_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "LARGEST", 5000)
    save(small_moshi(), tmp_path)
    save(small_moshi(), tmp_path, kyutai=True)
    assert names(tmp_path) == {"config.json", "model.safetensors"}


# --- Files that Kyutai released ---------------------------------------------------------------------------


def released(tmp_path: Path, name: str) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """A model that was saved in the layout of the released files, and the tensors of its file."""
    model = MODELS[name][0]()
    save(model, tmp_path, kyutai=True)
    return model, load_file(tmp_path / "model.safetensors")


def assert_same(model: nn.Module, other: nn.Module) -> None:
    assert other.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(other.state_dict()[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    "old, new",
    [
        (("_codebook._initialized",), ("_codebook.inited",)),
        (("_codebook.cluster_usage", "_codebook.embedding_sum"), ("_codebook.cluster_size", "_codebook.embed_avg")),
        (("self_attn.in_proj_weight", "self_attn.out_proj.weight"),
         ("self_attn.in_projs.0.weight", "self_attn.out_projs.0.weight")),
    ],
    ids=["inited", "codebooks", "attention"],
)  # fmt: skip
def test_older_and_newer_names_of_mimi(old, new, tmp_path):
    model, weights = released(tmp_path, "mimi")
    for before, after in zip(old, new, strict=True):
        weights = {name.replace(before, after): value for name, value in weights.items()}
    save_file(weights, tmp_path / "model.safetensors")
    assert_same(model, load_mimi(tmp_path))


def test_a_released_file_needs_no_description(tmp_path, monkeypatch):
    for name, kind in (("mimi", Mimi), ("moshi", Moshi)):
        model, _ = released(tmp_path / name, name)
        (tmp_path / name / "config.json").unlink()
        file = tmp_path / name / "model.safetensors"
        with pytest.raises(ValueError, match="do not fit any released model .and no config.json says"):
            MODELS[name][1](file)
        monkeypatch.setitem(checkpoints.RELEASED, kind, [*checkpoints.RELEASED[kind], model.config])
        assert_same(model, MODELS[name][1](file))


def test_mimi_and_moshi_in_one_folder(tmp_path):
    """As in Kyutai's repositories: the config.json is Moshi's and names the file of Mimi."""
    mimi, _ = released(tmp_path / "codec", "mimi")
    moshi, _ = released(tmp_path, "moshi")
    (tmp_path / "codec" / "model.safetensors").rename(tmp_path / "mimi.safetensors")
    (tmp_path / "codec" / "config.json").rename(tmp_path / "mimi.json")
    description = json.loads((tmp_path / "config.json").read_text())
    names = {"mimi_name": "mimi.safetensors", "mimi_config_name": "mimi.json", "model_type": "moshi"}
    (tmp_path / "config.json").write_text(json.dumps(description | names))
    assert_same(mimi, load_mimi(tmp_path))
    assert_same(moshi, load_moshi(tmp_path))
    assert_same(moshi, load_moshi(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("nested", [False, True], ids=["transformers 4", "transformers 5"])
def test_a_helium_in_several_files(nested, tmp_path):
    model = Helium(tiny_helium())
    weights = kyutai_names.to_theirs(Helium, model.state_dict())
    files = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(weights)}
    for file in set(files.values()):
        part = {name: weights[name].contiguous() for name in weights if files[name] == file}
        save_file(part, tmp_path / file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    t = model.config.transformer
    description = {
        "hidden_size": t.dim, "num_attention_heads": t.heads, "num_hidden_layers": t.layers, "vocab_size": 40,
        "intermediate_size": t.hidden, "max_position_embeddings": t.context, "rope_theta": t.rope_period,
    }  # fmt: skip
    if nested:
        description["rope_parameters"] = {"rope_type": "default", "rope_theta": description.pop("rope_theta")}
    (tmp_path / "config.json").write_text(json.dumps(description))
    assert_same(model, load_helium(tmp_path))


@pytest.mark.parametrize(
    "kind, config, tensors, numbers",
    [
        (Mimi, MimiConfig.kyutai(), 318, 96_151_393),  # 384,644,900 bytes in the released file, with its header
        (Moshi, MoshiConfig.kyutai_7b(), 355, 7_687_729_152),
        (Moshi, MoshiConfig.kyutai_stt_1b(), 135, 989_253_632),
        (Moshi, MoshiConfig.kyutai_stt_2b6(), 323, 2_617_118_720),
    ],
)
def test_as_many_tensors_as_in_the_released_files(kind, config, tensors, numbers):
    with torch.device("meta"):
        state = kind(config).state_dict()
    theirs = kyutai_names.to_theirs(kind, state)
    assert len(theirs) == tensors and sum(value.numel() for value in theirs.values()) == numbers
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    back = kyutai_names.to_ours(kind, theirs, shapes)
    assert {name: tuple(value.shape) for name, value in back.items()} == shapes


def test_bfloat16_stays(tmp_path):
    save(small_moshi(), tmp_path, torch.bfloat16, kyutai=True)
    assert {p.dtype for p in load_moshi(tmp_path).parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"depformer_low_rank_embeddings": 128}, "does not build models with .*low_rank"),
        ({"norm": "layer_norm"}, "does not build models with .*layer_norm"),
        ({"fuser": {"cross": ["speaker_wavs"]}}, "does not build models with cross-attention"),
        ({"num_heads": 3}, "dim must be heads times"),
        ({"num_layers": 3}, "do not fit its config.json in 6 places: missing model.temporal.layers.2"),
        ({"delays": [0, 1]}, "expected 7 delays"),
    ],
)
def test_a_released_description_that_does_not_fit(changes, message, tmp_path):
    released(tmp_path, "moshi")
    description = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(description | changes))
    with pytest.raises(ValueError, match=message):
        load_moshi(tmp_path)


def test_a_description_without_an_entry(tmp_path):
    released(tmp_path, "moshi")
    description = json.loads((tmp_path / "config.json").read_text())
    description.pop("num_layers")
    (tmp_path / "config.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="is damaged: expected an entry 'num_layers'"):
        load_moshi(tmp_path)


def test_every_tensor_once(tmp_path):
    _, weights = released(tmp_path, "mimi")
    name = "decoder_transformer.transformer.layers.0.self_attn.in_proj_weight"
    weights[name.replace("in_proj_weight", "in_projs.0.weight")] = weights[name].clone()
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="is there under two names"):
        load_mimi(tmp_path)


def test_a_pickle_is_not_opened(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="is a pickle, which can run any program"):
        load_mimi(tmp_path / "model.safetensors")


def test_weights_that_are_not_numbers_are_named(folder):
    weights = load_file(folder / "model.safetensors")
    weights["encoder.0.bias"][1] = float("nan")
    save_file(weights, folder / "model.safetensors")
    with pytest.warns(UserWarning, match="encoder.0.bias in .* has NaN"):
        load_mimi(folder)


def test_a_repository_that_cannot_be_reached(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="no folder nobody/nothing-at-all, and no repository of this name"):
        load_mimi("nobody/nothing-at-all")


def test_a_model_may_be_saved_over_the_file_it_came_from(folder):
    mimi = load_mimi(folder)
    kept = {key: value.clone() for key, value in mimi.state_dict().items()}
    save(mimi, folder)
    for model in (mimi, load_mimi(folder)):
        assert all(torch.equal(model.state_dict()[key], value) for key, value in kept.items())


def test_only_models_with_a_configuration_are_saved(tmp_path):
    with pytest.raises(AttributeError):
        save(nn.Linear(1, 1), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_moshi_may_have_its_own_codec_beside_it(tmp_path):
    assert mimi_of(tmp_path) == CHECKPOINTS / "mimi-tiny"
    save(Mimi(tiny_mimi()), tmp_path / "mimi")
    assert mimi_of(tmp_path) == mimi_of(str(tmp_path)) == tmp_path / "mimi"
    assert load_mimi(mimi_of(tmp_path)).config == tiny_mimi()
