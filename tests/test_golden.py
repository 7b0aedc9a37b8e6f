"""The same numbers as the official implementations, from the same weights.

`golden/make.py` ran the official packages on small models with random weights and kept what came out. Codes must
be equal, sounds and logits within 1e-5. Where the official packages are installed, they are also run here, on
other random weights; this is how:

    pip install --no-deps moshi einops transformers
    NO_TORCH_COMPILE=1 pytest tests/test_golden.py
"""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from conftest import close
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from moshi_ref.checkpoints import load_helium, load_mimi, load_moshi, save
from moshi_ref.moshi import Moshi, MoshiStream
from moshi_ref.rq_transformer import Sampling

GOLDEN = Path(__file__).parent / "golden"
GREEDY = Sampling(0.0, 1)


@pytest.fixture(scope="module", params=["kept", "live"])
def files(request, tmp_path_factory) -> Path:
    """The folder of the golden files: the ones in the repository, or others, made now."""
    if request.param == "kept":
        return GOLDEN
    for package in ("moshi", "transformers"):
        pytest.importorskip(package, reason=f"the official package {package} is not installed")
    make = official_runs(tmp_path_factory.mktemp("golden"))
    torch.manual_seed(1)
    make.DUPLEX |= {"num_heads": 4, "context": 9, "depformer_num_layers": 1, "delays": [0, 0, 2, 2, 0, 2, 2]}
    make.HEARING |= {"num_layers": 3, "context": 4}
    make.main()
    return make.HERE


def official_runs(folder: Path):
    """The module golden/make.py, which needs the official packages and writes into `folder`."""
    spec = importlib.util.spec_from_file_location("make", GOLDEN / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    make.HERE = folder
    return make


def golden(file: Path, folder: Path) -> dict[str, torch.Tensor]:
    """Unpack a golden file: the weights and the configuration into a folder, the values into a dictionary."""
    with safe_open(file, framework="pt") as opened:
        config = opened.metadata()["config"]
    tensors = load_file(file)
    weights = {key.removeprefix("weights."): value for key, value in tensors.items() if key.startswith("weights.")}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(config)
    return {key: value for key, value in tensors.items() if not key.startswith("weights.")}


def near(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0, check_dtype=False)


def by_chunks(function, x: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    return torch.cat([function(piece) for piece in x.split(sizes, -1)], -1)


# --- Mimi -------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_mimi_whole(files, tmp_path):
    values = golden(files / "mimi.safetensors", tmp_path)
    mimi = load_mimi(tmp_path)
    largest = values["latent"].abs().max()
    near(mimi.encode_latent(values["wav"]) / largest, values["latent"] / largest)
    codes = mimi.encode(values["wav"], codebooks=4)
    assert torch.equal(codes, values["codes"]) and len(codes.unique()) > 15
    near(mimi.decode(codes), values["decoded"])
    near(mimi.decode(codes[:, :2]), values["decoded_2"])


@torch.no_grad()
@pytest.mark.parametrize("sizes", [[1, 1, 1], [2, 1]])
def test_mimi_streamed(files, sizes, tmp_path):
    """No longer than the context of the Transformers, from where on the official stream forgets too early."""
    values = golden(files / "mimi.safetensors", tmp_path)
    mimi = load_mimi(tmp_path)
    state = mimi.initial_state(2)
    short = values["wav"][..., : 3 * 1920]
    codes = by_chunks(lambda piece: mimi.encode(piece, state, 4), short, [1920 * size for size in sizes])
    assert torch.equal(codes, values["streamed_codes"])
    near(by_chunks(lambda piece: mimi.decode(piece, state), codes, sizes), values["streamed_sound"])


# --- Moshi ------------------------------------------------------------------------------------------------


def condition_of(moshi: Moshi, name: str) -> torch.Tensor | None:
    """What `make.py` asked for: the first row is "good", of the second nothing is known."""
    config = moshi.config.model.condition
    return torch.tensor([config.index("good"), config.index(None)]) if name == "conditioned" else None


@torch.no_grad()
@pytest.mark.parametrize("name", ["duplex", "conditioned"])
def test_moshi_taught(files, name, tmp_path):
    """Teacher forcing on codes with gaps; the masks say where the logits mean something. Ours are computed in double
    precision: both sides in single precision may differ by twice the rounding of one, on another processor than the
    one that made the golden values. What single precision adds of ours is looked at by itself."""
    values = golden(files / f"{name}.safetensors", tmp_path)
    moshi = load_moshi(tmp_path)
    single = moshi(values["codes"], condition=condition_of(moshi, name))
    out = moshi.double()(values["codes"], condition=condition_of(moshi, name))
    close(single.text_logits.double(), out.text_logits)
    close(single.audio_logits.nan_to_num().double(), out.audio_logits.nan_to_num())
    assert torch.equal(out.text_mask, values["text_mask"]) and torch.equal(out.audio_mask, values["audio_mask"])
    near(out.text_logits, values["text_logits"])
    near(out.audio_logits.masked_fill(~out.audio_mask[..., None], 0),
         values["audio_logits"].masked_fill(~out.audio_mask[..., None], 0))  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("name", ["duplex", "conditioned"])
@pytest.mark.parametrize("forced", [False, True])
def test_moshi_in_conversation(files, name, forced, tmp_path):
    """Column by column, further than the context. Their call number f + 1 is our call number f: we predict
    the first column before anybody is heard, they in a call of its own."""
    values = golden(files / f"{name}.safetensors", tmp_path)
    moshi, mimi = load_moshi(tmp_path), a_mimi_for(tmp_path / "mimi")
    stream = MoshiStream(moshi, mimi, 0, 2, GREEDY, GREEDY)
    if name == "conditioned":
        stream.condition = moshi.condition(condition_of(moshi, name), 2)
        stream.state = stream._begin(stream.generators)
    said = []
    for call, heard in enumerate(values["user"].unbind(-1)):
        text = values["forced_text"][:, call + 1] if forced else None
        text, codes = stream.step_codes(heard, text)
        said.append(torch.cat([text[:, None], codes], 1))
    wait = max(moshi.config.delays)
    expected = values["forced" if forced else "greedy"]
    assert torch.equal(torch.stack(said, -1)[..., wait - 1 :], expected)
    assert len(expected.unique()) > 10


def a_mimi_for(folder: Path):
    """A Mimi with 16 entries, as the golden language models expect; it is not used."""
    from conftest import tiny_mimi

    from moshi_ref.mimi import Mimi

    save(Mimi(tiny_mimi()), folder)
    return load_mimi(folder)


@torch.no_grad()
def test_speech_recogniser(files, tmp_path):
    """One stream to hear, no Depth Transformer, extra heads on z."""
    values = golden(files / "hearing.safetensors", tmp_path)
    moshi = load_moshi(tmp_path)
    out = moshi(values["codes"])
    near(out.hidden, values["hidden"])
    near(out.text_logits, values["text_logits"])
    stream = MoshiStream(moshi, a_mimi_for(tmp_path / "mimi"), 0, 2, GREEDY, GREEDY)
    text = torch.stack([stream.step_codes(heard)[0] for heard in values["heard"].unbind(-1)], -1)
    assert torch.equal(text, values["greedy"][:, 0, 1:])
    heard = torch.cat([values["heard"], values["heard"][..., :1]], -1)  # what comes last has no effect
    codes = torch.cat([values["greedy"], heard], 1)
    near(moshi.model.extra_probabilities(moshi(codes).hidden), values["extra"])


# --- Helium -----------------------------------------------------------------------------------------------


@torch.no_grad()
def test_helium(files, tmp_path):
    values = golden(files / "helium.safetensors", tmp_path)
    near(load_helium(tmp_path)(values["tokens"]), values["logits"])


# --- What we write, they read -----------------------------------------------------------------------------


@pytest.mark.parametrize("name, load", [("mimi", load_mimi), ("duplex", load_moshi), ("conditioned", load_moshi),
                                        ("hearing", load_moshi)])  # fmt: skip
def test_written_in_the_released_layout_and_read_again(files, name, load, tmp_path):
    golden(files / f"{name}.safetensors", tmp_path / "theirs")
    model = load(tmp_path / "theirs")
    save(model, tmp_path / "again", kyutai=True)
    assert "class" not in json.loads((tmp_path / "again" / "config.json").read_text())
    again = load(tmp_path / "again")
    assert again.config == model.config
    assert all(torch.equal(again.state_dict()[key], value) for key, value in model.state_dict().items())
    keys = load_file(tmp_path / "again" / "model.safetensors").keys()
    assert any(key.endswith("self_attn.in_proj_weight") for key in keys)  # one for all steps: the released layout
    assert not any("in_projs" in key or "out_projs" in key for key in keys)


@torch.no_grad()
def test_the_official_package_reads_what_we_write(files, tmp_path):
    loaders = pytest.importorskip("moshi.models.loaders", reason="the official package moshi is not installed")
    values = golden(files / "mimi.safetensors", tmp_path / "a")
    save(load_mimi(tmp_path / "a"), tmp_path / "mimi", kyutai=True)
    config = json.loads((tmp_path / "mimi" / "config.json").read_text())
    mimi = loaders.get_mimi(tmp_path / "mimi" / "model.safetensors", config, num_codebooks=4)
    assert torch.equal(mimi.encode(values["wav"]), values["codes"])
    for name in ("duplex", "hearing"):
        values = golden(files / f"{name}.safetensors", tmp_path / f"b-{name}")
        save(load_moshi(tmp_path / f"b-{name}"), tmp_path / name, kyutai=True)
        config = json.loads((tmp_path / name / "config.json").read_text())
        theirs = loaders.get_moshi_lm(tmp_path / name / "model.safetensors", config, dtype=torch.float32)
        if name == "duplex":
            near(theirs(values["codes"]).text_logits[:, 0], values["text_logits"])
        else:
            columns = torch.cat([theirs._get_initial_token().expand(2, -1, -1), values["codes"][..., :-1]], -1)
            near(theirs.forward_text(columns)[1][:, 0], values["text_logits"])
