"""Fine-tuning on recorded conversations, all weights or adapters."""

import json
from pathlib import Path

import pytest
import torch
from conftest import tiny_mimi
from safetensors.torch import load_file
from test_checkpoints import small_moshi

from moshi_ref.checkpoints import load_moshi, load_tokenizer
from moshi_ref.corpus.conversations import Conversation, write_conversation, write_manifest
from moshi_ref.inner_monologue import Word
from moshi_ref.mimi import Mimi
from moshi_ref.moshi import Moshi, MoshiConfig
from moshi_ref.training import finetune as module
from moshi_ref.training.finetune import finetune

WORDS = (Word("hello", 0.3, 0.6), Word("there", 0.9, 1.2))


@pytest.fixture
def data(tmp_path) -> Path:
    """A manifest of three conversations, in which the users' words are known."""
    sounds = [tmp_path / f"{name}.wav" for name in "abc"]
    for sound in sounds:
        wav = 0.1 * torch.randn(2, 40_000)
        write_conversation(sound, Conversation(wav, WORDS, (Word("what", 0.1, 0.25),)))
    write_manifest(tmp_path / "data.jsonl", sounds)
    return tmp_path / "data.jsonl"


@pytest.fixture
def tune(tokenizer, data, tmp_path):
    """Fine-tunes the same small model, by 4 steps on windows of a second."""

    def function(rank: int | None = None, source: Path = data, seconds: float = 1.0, **changes) -> Moshi:
        torch.manual_seed(0)
        mimi = Mimi(tiny_mimi()).eval()
        moshi = small_moshi(len(tokenizer))
        options = {"steps": 4, "rate": 1e-2, "batch_size": 2, "seed": 0} | changes
        return finetune(source, tmp_path / "run", moshi, mimi, tokenizer, seconds=seconds, rank=rank, **options)

    return function


def start(tokenizer) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    Mimi(tiny_mimi())
    return small_moshi(len(tokenizer)).state_dict()


def changed(moshi: Moshi, tokenizer) -> set[str]:
    before = start(tokenizer)
    return {name for name, tensor in moshi.state_dict().items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("rank", [None, 2])
def test_a_model_comes_out_that_can_be_loaded(rank, tune, tokenizer, tmp_path):
    moshi = tune(rank)
    loaded = load_moshi(tmp_path / "run")
    assert loaded.config == moshi.config == small_moshi(len(tokenizer)).config
    for name, tensor in moshi.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)
    assert load_tokenizer(tmp_path / "run").model == tokenizer.model
    curve = json.loads((tmp_path / "run" / "curve.json").read_text())
    assert len(curve) == 4 and all(entry["heard"] > 0 for entry in curve)
    assert (tmp_path / "run" / "lora.safetensors").exists() == (rank is not None)


def test_all_weights_learn_or_only_the_matrices(tune, tokenizer, tmp_path):
    everything = set(start(tokenizer))
    assert changed(tune(), tokenizer) == everything
    (tmp_path / "run").rename(tmp_path / "first")
    matrices = changed(tune(rank=2), tokenizer)
    assert "model.temporal.layers.0.mlp.linear_in.weight" in matrices and "model.audio_heads.weight" in matrices
    assert not any("embedding" in name or "norm" in name for name in matrices)
    written = load_file(tmp_path / "run" / "lora.safetensors")
    assert all(tensor.abs().sum() > 0 for tensor in written.values())


def test_an_interrupted_run_goes_on(tune, monkeypatch, tmp_path):
    expected = tune(rank=2).state_dict()
    (tmp_path / "run").rename(tmp_path / "first")

    class Interrupted(module.StageTask):
        def losses(self, step, rng):
            if step == 2:
                raise KeyboardInterrupt
            return super().losses(step, rng)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "StageTask", Interrupted)
        tune(rank=2)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in tune(rank=2).state_dict().items())


def test_users_whose_words_nobody_wrote_down(tune, tmp_path):
    (tmp_path / "others").mkdir()
    write_conversation(tmp_path / "others" / "a.wav", Conversation(0.1 * torch.randn(2, 40_000), WORDS))
    tune(source=tmp_path / "others")
    for entry in json.loads((tmp_path / "run" / "curve.json").read_text()):
        assert entry["loss"] == pytest.approx(entry["text"] + entry["audio"], abs=1e-5)


def test_bad_files_and_wrong_wishes_are_refused(tune, data, tokenizer, tmp_path):
    for changes in ({"seconds": 0.1}, {"steps": 0}, {"batch_size": 0}, {"rate": 0.0}, {"rate": float("nan")}):
        with pytest.raises(ValueError, match="expected windows of 0.16 s or more, and steps"):
            tune(**changes)
    with pytest.raises(FileNotFoundError, match="expected a folder of conversations or a manifest"):
        tune(source=tmp_path / "nowhere")
    (tmp_path / "b.json").unlink()
    with pytest.raises(ValueError, match="b.json"):
        tune()
    with torch.device("meta"):
        deaf = Moshi(MoshiConfig.kyutai_stt_1b())
    with pytest.raises(ValueError, match="only writes; expected one that speaks"):
        finetune(data, tmp_path / "run", deaf, Mimi(tiny_mimi()), tokenizer, 1, 1e-3, 1, 1.0, None, 0)
