"""Adapters: nothing at the start, alone in learning, and gone after merging."""

import copy
import random

import pytest
import torch
from conftest import close
from safetensors.torch import load_file, save_file
from test_checkpoints import small_moshi
from test_language import random_dialogue
from test_moshi import small_mimi

from moshi_ref.checkpoints import save
from moshi_ref.moshi import Moshi, MoshiConfig, MoshiStream
from moshi_ref.rq_transformer import Sampling
from moshi_ref.training.language import LanguageRecipe
from moshi_ref.training.loop import one_step
from moshi_ref.training.lora import (
    ASR_TINY,
    SCALING,
    WRITING,
    adapters,
    add_adapters,
    for_kyutai,
    load_adapters,
    load_asr,
    merge,
    recogniser_of,
    save_adapters,
)
from moshi_ref.training.stage_task import Stage, StageTask, new_student

CPU = torch.device("cpu")
RANK = 2


def grid(frames: int = 9) -> torch.Tensor:
    return torch.stack([random_dialogue(random.Random(i), frames).codes for i in range(2)])


def logits(moshi: Moshi, codes: torch.Tensor) -> torch.Tensor:
    out = moshi(codes)
    return torch.cat([out.text_logits.flatten(), out.audio_logits.nan_to_num().flatten()])


def adapted() -> Moshi:
    """With adapters that have learnt something."""
    moshi = add_adapters(small_moshi().eval(), RANK)
    for _, adapter in adapters(moshi):
        torch.nn.init.normal_(adapter.lora_B.weight, std=0.3)
    return moshi


def count(moshi: Moshi) -> int:
    """The number of adapters, where a position with weights of its own has one of its own."""
    thin = [adapter.lora_A.weight for _, adapter in adapters(moshi)]
    return sum(len(weight) if weight.dim() == 3 else 1 for weight in thin)


def test_at_the_start_nothing_is_changed():
    moshi, codes = small_moshi().eval(), grid()
    before = logits(moshi, codes)
    assert torch.equal(logits(add_adapters(moshi, RANK), codes), before)
    assert all(adapter.lora_A.weight.abs().sum() > 0 for _, adapter in adapters(moshi))


def test_what_an_adapter_computes():
    moshi, x = adapted(), torch.randn(2, 5, 32)
    head = moshi.model.text_head
    by_hand = x @ head.frozen_W.weight.T + SCALING * (x @ head.lora_A.weight.T) @ head.lora_B.weight.T
    close(head(x), by_hand)
    assert head.lora_A.weight.shape == (RANK, 32) and head.lora_B.weight.shape == (20, RANK)
    steps = moshi.model.audio_heads  # position t has matrices of its own
    assert steps.lora_A.weight.shape == (3, RANK, 16) and steps.lora_B.weight.shape == (3, 16, RANK)
    y, (frozen, a, b) = torch.randn(2, 1, 16), (m.weight[2] for m in (steps.frozen_W, steps.lora_A, steps.lora_B))
    close(steps(y, 2), y @ frozen.T + SCALING * y @ a.T @ b.T)
    bound = 32**-0.5
    assert 0.8 * bound < head.lora_A.weight.abs().max() <= bound


def test_merged_is_the_same_and_plain():
    moshi, codes = adapted(), grid()
    before = logits(moshi, codes)
    assert not torch.allclose(before, logits(small_moshi(), codes))
    merged = merge(moshi)
    close(logits(merged, codes), before)
    assert merged.state_dict().keys() == small_moshi().state_dict().keys()
    assert all(p.requires_grad for p in merged.parameters()) and not any(adapters(merged))


def test_a_stream_with_adapters_is_the_stream_of_the_merged_model():
    """Step by step, the model takes other ways through its matrices than over whole grids."""
    greedy, mimi, user = Sampling(0.0, 1), small_mimi(), torch.randint(0, 16, (10, 1, 3))

    def conversation(moshi: Moshi) -> list[torch.Tensor]:
        stream = MoshiStream(moshi, mimi, seed=0, text=greedy, audio=greedy)
        return [torch.cat([text[:, None], codes], 1) for text, codes in map(stream.step_codes, user)]

    moshi = adapted()
    own = conversation(moshi)
    assert torch.equal(torch.stack(own), torch.stack(conversation(merge(moshi))))


def test_only_adapters_learn():
    """And all of them, each step of the Depth Transformer too."""
    moshi = adapted()
    stage = Stage("stage", 4, 1e-2, 1e-2, 1, recipe=LanguageRecipe(batch_size=2, heard=0.0))
    task = StageTask(new_student(moshi, CPU), random_dialogue, stage, CPU)
    before = {name: p.clone() for name, p in moshi.named_parameters()}
    for step in range(4):
        one_step(task, step, seed=0)
    changed = {name for name, p in moshi.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if "lora_" in name}
    assert 2 * len(list(adapters(moshi))) == len(changed)
    for name in ("model.audio_heads.lora_B.weight", "model.depth.layers.0.mlp.linear_in.lora_A.weight"):
        difference = moshi.get_parameter(name) - before[name]
        assert (difference.abs().sum((1, 2)) > 0).all()


def test_names_are_those_of_the_official_programs(tmp_path):
    moshi = adapted()
    save_adapters(moshi, tmp_path / "lora.safetensors")
    written = load_file(tmp_path / "lora.safetensors")
    assert all(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in written)
    model = moshi.model
    expected = {
        "transformer.layers.1.self_attn.in_projs.0": (model.temporal.layers[1].attention.in_proj, None),
        "transformer.layers.0.self_attn.out_projs.0": (model.temporal.layers[0].attention.out_proj, None),
        "transformer.layers.0.gating.linear_out": (model.temporal.layers[0].mlp.linear_out, None),
        "depformer.layers.0.self_attn.in_projs.2": (model.depth.layers[0].attention.in_proj, 2),
        "depformer.layers.0.gating.1.linear_in": (model.depth.layers[0].mlp.linear_in, 1),
        "depformer_in.0": (model.depth_in, 0),
        "linears.2": (model.audio_heads, 2),
        "text_linear": (model.text_head, None),
    }
    for name, (adapter, number) in expected.items():
        for part in ("lora_A", "lora_B"):
            weight = getattr(adapter, part).weight
            assert torch.equal(written[f"{name}.{part}.weight"], (weight if number is None else weight[number]).half())


def test_the_released_size_has_the_published_number_of_adapters():
    """337 matrices of the 7B; rank 128 makes 387,874,816 weights that learn, as the fine-tuning tool counts them."""
    with torch.device("meta"):
        moshi = add_adapters(Moshi(MoshiConfig.kyutai_7b()), 128)
    learning = [p for p in moshi.parameters() if p.requires_grad]
    assert sum(p.numel() for p in learning) == 387_874_816
    assert count(moshi) == 337


def test_wrong_wishes_are_refused():
    with pytest.raises(ValueError, match="expected a rank of 1 or more, got 0"):
        add_adapters(small_moshi(), 0)
    with pytest.raises(ValueError, match="has adapters already; merge them first"):
        add_adapters(adapted(), 1)


def test_two_adapters_never_have_one_name():
    moshi = adapted()
    assert len(for_kyutai(moshi)) == 2 * count(moshi)


# --- Adapters in a file ---------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path):
    """A model, the file of adapters that are exact in float16 beside it, and the model that both make."""
    base = small_moshi()
    moshi = add_adapters(copy.deepcopy(base), RANK)
    for _, adapter in adapters(moshi):
        torch.nn.init.normal_(adapter.lora_B.weight, std=0.3)
        for weight in (adapter.lora_A.weight, adapter.lora_B.weight):
            weight.data = weight.data.half().float()
    save_adapters(moshi, tmp_path / "lora.safetensors")
    return base, tmp_path / "lora.safetensors", merge(moshi)


def assert_same(moshi: Moshi, expected: Moshi) -> None:
    ours, theirs = moshi.state_dict(), expected.state_dict()
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        close(ours[name], weight)


def test_a_file_of_adapters_makes_the_merged_model(written):
    base, path, merged = written
    assert not torch.allclose(base.model.audio_heads.weight, merged.model.audio_heads.weight, atol=0.1)
    assert_same(load_adapters(base, path), merged)
    assert all(p.requires_grad for p in base.parameters())


def test_parts_without_adapters_stay(tmp_path):
    """A recogniser has them where it hears and writes; the embeddings and the Depth Transformer are as before."""
    base = small_moshi()
    moshi, before = add_adapters(copy.deepcopy(base), RANK, parts=WRITING), copy.deepcopy(base.state_dict())
    for _, adapter in adapters(moshi):
        torch.nn.init.normal_(adapter.lora_B.weight, std=0.3)
    save_adapters(moshi, tmp_path / "lora.safetensors")
    after = load_adapters(base, tmp_path / "lora.safetensors").state_dict()
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert changed == {name for name in before if name.startswith(WRITING) and "norm" not in name}


def test_adapters_that_do_not_fit_are_refused_and_change_nothing(written, tmp_path):
    base, path, _ = written
    held, before, bad = load_file(path), copy.deepcopy(base.state_dict()), tmp_path / "wrong.safetensors"
    wrong = {
        "depformer_in.9": held | {"depformer_in.9.lora_A.weight": torch.zeros(RANK, 32)},
        "text_linear": {name: weight for name, weight in held.items() if name != "text_linear.lora_B.weight"},
        "linears.2": held | {"linears.2.lora_A.weight": torch.zeros(RANK, 9)},
        "there are none": {},
    }
    for said, tensors in wrong.items():
        save_file(tensors, bad)
        with pytest.raises(ValueError, match=f"do not fit this model: .*{said}"):
            load_adapters(base, bad)
    bad.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="holds no adapters, or is damaged"):
        load_adapters(base, bad)
    with pytest.raises(FileNotFoundError, match="expected adapters, as `finetune --lora` and `train asr` write them"):
        load_adapters(base, tmp_path / "nowhere.safetensors")
    assert all(torch.equal(weight, before[name]) for name, weight in base.state_dict().items())


def test_which_adapters_make_a_recogniser(written, tmp_path):
    """Of moshi-tiny, those that come along; of other models, those that are named."""
    base, path, merged = written
    assert recogniser_of(ASR_TINY.parents[1] / "moshi-tiny") == ASR_TINY and recogniser_of(tmp_path) is None
    save(base, tmp_path / "moshi")
    assert_same(load_asr(tmp_path / "moshi"), base)
    assert_same(load_asr(tmp_path / "moshi", path), merged)
    with pytest.raises(ValueError, match="holds adapters and no model; expected the model"):
        load_asr(path.parent)
