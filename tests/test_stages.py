"""The stages of training: rates, delays, steps on text alone, and that all of it resumes."""

import copy
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import close, tiny_helium, tiny_mimi, without_gradient
from test_checkpoints import small_moshi
from test_language import UNDISTURBED, random_dialogue
from test_loop import assert_equal, without_times

from moshi_ref.checkpoints import load_moshi, load_tokenizer
from moshi_ref.corpus.dialogues import Dialogue
from moshi_ref.helium import Helium
from moshi_ref.mimi import Mimi
from moshi_ref.moshi import Moshi
from moshi_ref.rq_transformer import ZERO
from moshi_ref.tokenizer import PAD
from moshi_ref.training import stages as module
from moshi_ref.training.language import LanguageRecipe
from moshi_ref.training.loop import constant, one_step, schedule, train
from moshi_ref.training.lora import WRITING, load_adapters
from moshi_ref.training.recipes import PROFILES
from moshi_ref.training.stage_task import (
    WORDS,
    Stage,
    StageTask,
    hear_as_spoken,
    new_student,
    piece,
    set_acoustic_delay,
)
from moshi_ref.training.stages import speech_text_stage, stages, train_speech_text, train_stages
from moshi_ref.training.supervision import for_both_speakers, for_moshi_alone

CPU = torch.device("cpu")
TEXT = torch.arange(90) ** 2 % 17 + 3
STAGE = Stage("stage", 8, 1e-3, 2e-3, 1, text_only=0.5, recipe=LanguageRecipe(batch_size=2))


def one_speaker(rng: random.Random, hidden: float = 0.5) -> Dialogue:
    """Nothing is said by the user, and Moshi's text is hidden now and then."""
    dialogue = random_dialogue(rng)
    codes = dialogue.codes.clone()
    codes[4:] = ZERO
    if rng.random() < hidden:
        codes[0] = ZERO
    return Dialogue(codes, torch.full_like(dialogue.user_text, PAD))


def new_task(stage: Stage = STAGE, draw=random_dialogue, text=TEXT, both: bool = False) -> StageTask:
    torch.manual_seed(1)
    config = small_moshi().config
    torch.manual_seed(1)
    moshi = Moshi(for_both_speakers(config) if both else config)
    return StageTask(new_student(moshi, CPU), draw, stage, CPU, text)


# --- One stage ------------------------------------------------------------------------------------


def test_every_second_step_is_on_text_alone():
    task = new_task()
    kinds = ["reading" if "reading" in task.losses(step, random.Random(0)) else "audio" for step in range(4)]
    assert kinds == ["audio", "reading", "audio", "reading"]
    task = new_task(text=None)
    assert all("audio" in task.losses(step, random.Random(0)) for step in range(4))


@pytest.mark.parametrize("batch_size, longer, dialogues", [(8, 1, 8), (8, 2, 4), (1, 2, 1)])
def test_of_longer_dialogues_there_are_fewer_in_a_batch(batch_size, longer, dialogues):
    drawn = []
    stage = replace(STAGE, longer=longer, text_only=0.0, recipe=replace(STAGE.recipe, batch_size=batch_size))
    new_task(stage, lambda rng: drawn.append(1) or random_dialogue(rng)).losses(0, random.Random(0))
    assert len(drawn) == dialogues


@pytest.mark.parametrize("step, own, other", [(0, "dialogues", "text"), (1, "text", "dialogues")])
def test_a_step_of_one_kind_leaves_the_state_of_the_other_alone(step, own, other):
    task = new_task()
    for earlier in (0, 1):
        one_step(task, earlier, seed=0)
    states = {name: optimizer.state_dict()["state"] for name, optimizer in task.optimizer.optimizers.items()}
    before = copy.deepcopy(states)
    one_step(task, step, seed=5)

    def changed(name: str) -> list[bool]:
        after = task.optimizer.optimizers[name].state_dict()["state"]
        return [not torch.equal(after[i][k], v) for i, s in before[name].items() for k, v in s.items() if k != "step"]

    assert before[other] and not any(changed(other))
    assert before[own] and all(changed(own))


def test_text_does_not_touch_what_only_sound_needs():
    task = new_task()
    one_step(task, 0, seed=0)
    before = {name: p.clone() for name, p in task.modules.named_parameters()}
    one_step(task, 1, seed=0)
    changed = {name for name, p in task.modules.named_parameters() if not torch.equal(p, before[name])}
    assert {name.split(".")[2] for name in changed} == {"text_embedding", "temporal", "norm", "text_head"}


def rates(task: StageTask, optimizer: str) -> dict[str, float]:
    """The learning rate of every parameter, by its name."""
    names = {id(p): name for name, p in task.modules.named_parameters()}
    groups = task.optimizer.optimizers[optimizer].param_groups
    return {names[id(p)]: group["lr"] for group in groups for p in group["params"]}


def test_each_part_learns_at_its_own_rate():
    task = new_task()
    of_dialogues, of_text = rates(task, "dialogues"), rates(task, "text")
    assert of_dialogues.keys() == dict(task.modules.named_parameters()).keys()
    expected = {
        "moshi.model.text_embedding.weight": WORDS * 1e-3, "moshi.model.text_head.weight": WORDS * 1e-3,
        "moshi.model.audio_embeddings.5.weight": 1e-3,
        "moshi.model.temporal.layers.1.mlp.linear_in.weight": 1e-3,
        "moshi.model.norm.weight": 1e-3,
        "moshi.model.depth.layers.0.attention.in_proj.weight": 2e-3,
        "moshi.model.depth_in.weight": 2e-3,
        "moshi.model.depth_text_embedding.weight": 2e-3,
        "moshi.model.audio_heads.weight": 2e-3, "hearing_head.weight": 2e-3,
    }  # fmt: skip
    assert {name: of_dialogues[name] for name in expected} == expected
    assert set(of_text.values()) == {1e-3} and "moshi.model.text_head.weight" in of_text
    assert not any("depth" in name or "audio" in name for name in of_text)
    assert set(rates(new_task(text=None), "dialogues").values()) == {1e-3, 2e-3}


def test_matrices_decay_and_vectors_do_not():
    for group in new_task().optimizer.param_groups:
        assert {p.dim() > 1 for p in group["params"]} == {group["weight_decay"] > 0}


@pytest.mark.parametrize("both", [False, True])
def test_losses_are_finite_where_nothing_is_to_be_learnt(both):
    """A single speaker whose text is hidden: no text and no user in the whole batch."""
    task = new_task(draw=lambda rng: one_speaker(rng, hidden=1.0), both=both)
    losses = task.losses(0, random.Random(0))
    assert losses["text"] == 0 and losses["audio"] > 0 and all(value.isfinite() for value in losses.values())


def test_of_words_that_are_given_only_the_times_are_learnt():
    task = new_task(replace(STAGE, recipe=LanguageRecipe(batch_size=2, **UNDISTURBED)))
    known = random_dialogue(random.Random(3))
    task.draw = iter([known, replace(known, given=True)] * 2).__next__
    task.draw = lambda rng, draw=task.draw: draw()
    text = known.codes[0]
    pauses = text <= PAD
    assert 0 < pauses.sum() < len(text)
    out, _ = task.modules(known.codes[None])
    each = torch.nn.functional.cross_entropy(out.text_logits[0], text, reduction="none")
    weights = torch.where(pauses, 0.5, 1.0) + 0.5 * pauses  # of both rows: in the second one, words have none
    close(task.losses(0, random.Random(0))["text"], (each * weights).sum() / weights.sum())


def test_what_is_heard_may_be_other_than_what_is_learnt():
    """Text alone, with sounds of which nothing is learnt: they change what is foretold of the text."""
    task = new_task(replace(STAGE, recipe=LanguageRecipe(batch_size=2, **UNDISTURBED)))
    known = random_dialogue(random.Random(3))
    silent = replace(known, codes=torch.cat([known.codes[:1], torch.full_like(known.codes[1:], ZERO)]))
    losses = []
    for dialogue in (silent, replace(silent, shown=known.codes), known):
        task.draw = lambda rng, dialogue=dialogue: dialogue
        losses.append(task.losses(0, random.Random(0)))
    assert losses[0]["audio"] == losses[1]["audio"] == 0 < losses[2]["audio"]
    close(losses[1]["text"], losses[2]["text"])
    assert (losses[0]["text"] - losses[1]["text"]).abs() > 1e-4


def test_of_a_piece_of_the_frames_the_audio_is_learnt():
    """The text of all frames, and the audio of a random third: what of it the delay leaves there."""
    recipe = LanguageRecipe(batch_size=2, **UNDISTURBED)
    every, some = (new_task(replace(STAGE, recipe=replace(recipe, sounded=share))) for share in (1.0, 1 / 3))
    known = random_dialogue(random.Random(3))
    every.draw = some.draw = lambda rng: known
    whole = every.losses(0, random.Random(0))
    out, _ = some.modules(torch.stack([known.codes] * 2))  # of all frames
    targets, weights = known.codes[1:4].expand(2, -1, -1), torch.tensor([100.0, 1, 1])[:, None]
    each = torch.nn.functional.cross_entropy(out.audio_logits.nan_to_num().permute(0, 3, 1, 2), targets,
                                             reduction="none")  # fmt: skip
    for seed in range(5):
        part, mask = some.losses(0, random.Random(seed)), torch.zeros_like(out.audio_mask)
        assert part["text"] == whole["text"] and part["heard"] == whole["heard"]
        chosen = piece(known.codes.shape[1], 1 / 3, random.Random(seed))
        mask[:, :, chosen] = True
        mask[:, 1:, chosen.stop - 1] = False  # its acoustic codes stand in the next column
        close(part["audio"], (each * weights * mask).sum() / (weights * mask).sum())
    part["loss"].backward()
    assert without_gradient(some.modules) == []


def test_a_piece_is_anywhere_and_never_empty():
    pieces = [piece(8, 0.25, random.Random(seed)) for seed in range(99)]
    assert {each.stop - each.start for each in pieces} == {2} and {each.start for each in pieces} == set(range(7))
    assert piece(8, 1.0, random.Random(0)) == slice(0, 8) and piece(3, 0.01, random.Random(0)).stop > 0


def test_both_speakers_count_alike():
    """With 17 streams, the loss is the mean of what it is for each speaker alone, and all heads learn."""
    task = new_task(replace(STAGE, recipe=LanguageRecipe(batch_size=2, **UNDISTURBED)), both=True)
    known = random_dialogue(random.Random(3))

    def audio_loss(streams: slice) -> torch.Tensor:
        codes = known.codes.clone()
        out, _ = task.modules(torch.stack([codes] * 2))
        mask = torch.zeros_like(out.audio_mask)
        mask[:, streams] = out.audio_mask[:, streams]
        targets = codes[1:].expand(2, -1, -1)
        weights = mask * torch.tensor([100.0, 1, 1, 100, 1, 1])[:, None]
        each = torch.nn.functional.cross_entropy(out.audio_logits.nan_to_num().permute(0, 3, 1, 2), targets,
                                                 reduction="none")  # fmt: skip
        return (each * weights).sum() / weights.sum()

    task.draw = lambda rng: known
    losses = task.losses(0, random.Random(0))
    close(losses["audio"], (audio_loss(slice(0, 3)) + audio_loss(slice(3, 6))) / 2)
    losses["loss"].backward()
    assert without_gradient(task.modules) == []


@pytest.mark.parametrize("draw, text, both", [(one_speaker, TEXT, False), (random_dialogue, None, True)])
def test_the_losses_fall(draw, text, both):
    known = [draw(random.Random(i)) for i in range(2)]
    stage = replace(STAGE, temporal=1e-2, depth=1e-2, recipe=LanguageRecipe(batch_size=2, **UNDISTURBED))
    task = new_task(stage, lambda rng: known[rng.getrandbits(1)], text, both)
    curve = [one_step(task, step, seed=0) for step in range(80)]
    assert all(torch.tensor([*entry.values()]).isfinite().all() for entry in curve)
    for name in {"audio", "reading"} & {name for entry in curve for name in entry}:
        values = [entry[name] for entry in curve if name in entry]
        assert sum(values[-5:]) < 0.7 * sum(values[:5])


def test_a_stage_resumes_bit_for_bit(tmp_path):
    whole, resumed, broken = new_task(), new_task(), new_task()
    expected = train(whole, tmp_path / "whole", 6, seed=0, save_every=3, warmup=2, factor=constant)
    losses = broken.losses

    def interrupted(step: int, rng: random.Random) -> dict:
        result = losses(step, rng)
        if step == 4:
            raise KeyboardInterrupt
        return result

    broken.losses = interrupted
    with pytest.raises(KeyboardInterrupt):
        train(broken, tmp_path / "broken", 6, seed=0, save_every=3, warmup=2, factor=constant)
    curve = train(resumed, tmp_path / "broken", 6, seed=0, save_every=3, warmup=2, factor=constant)
    assert without_times(curve) == without_times(expected) and len(curve) == 6
    assert_equal(resumed, whole)


def test_products_in_bfloat16_are_nearly_the_same():
    losses = {}
    for bfloat16 in (False, True):
        torch.manual_seed(1)
        task = StageTask(new_student(Moshi(small_moshi().config), CPU), random_dialogue, STAGE, CPU, TEXT, bfloat16)
        for step in range(2):  # a dialogue, and text
            torch.manual_seed(step)
            found = task.losses(step, random.Random(step))
            assert all(value.dtype == torch.float32 for name, value in found.items() if name != "words_right")
            losses[bfloat16, step] = found["loss"].item()
            found["loss"].backward()
    for step in range(2):
        assert 0 < abs(losses[True, step] - losses[False, step]) < 0.02 * losses[False, step]


def test_a_fixed_rate_stays():
    assert [constant(step, 100, 4) for step in (0, 1, 3, 4, 99)] == [0.25, 0.5, 1, 1, 1]
    assert constant(0, 10, 0) == 1


# --- From one stage to the next -------------------------------------------------------------------


def test_another_delay_keeps_the_weights():
    moshi = small_moshi()
    before = {name: tensor.clone() for name, tensor in moshi.state_dict().items()}
    set_acoustic_delay(moshi, 2)
    assert moshi.config.delays == (0, 0, 2, 2, 0, 2, 2)
    assert all(torch.equal(moshi.state_dict()[name], tensor) for name, tensor in before.items())
    codes = torch.randint(0, 16, (1, 7, 8))
    assert (moshi(codes).audio_mask.sum(-1) == torch.tensor([8, 6, 6])).all()
    set_acoustic_delay(moshi, 1)
    assert moshi.config == small_moshi().config


def test_the_user_is_heard_as_moshi_was():
    moshi = small_moshi()
    before = {name: tensor.clone() for name, tensor in moshi.state_dict().items()}
    hear_as_spoken(moshi)
    changed = {name for name, tensor in moshi.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"model.audio_embeddings.{stream}.weight" for stream in (3, 4, 5)}
    embeddings = moshi.model.audio_embeddings
    assert all(torch.equal(embeddings[q].weight, embeddings[3 + q].weight) for q in range(3))


def test_the_stages_are_the_papers():
    for profile in PROFILES.values():
        first, second, third, fourth = stages(profile)
        assert [stage.acoustic_delay for stage in (first, second, third, fourth)] == [2, 1, 1, 1]
        assert (first.text_only, second.text_only) == (0.5, 0.1) and (first.offset, first.masked) == (0.6, 0.3)
        assert first.temporal < first.depth and second.temporal < second.depth
        assert (first.factor, second.factor, third.factor) == (schedule, constant, constant)
        assert first.recipe.heard == 0 < second.recipe.heard
        assert fourth.recipe.sounded < 1 == third.recipe.sounded
        assert fourth.aside + fourth.silent < 0.5 and fourth.recipe.forgotten == 0 < first.recipe.forgotten
        asr, tts = (speech_text_stage(name, profile) for name in ("asr", "tts"))
        assert asr.recipe.heard == tts.recipe.heard == tts.recipe.forgotten == 0
        assert asr.recipe.audio_weight == 0 < tts.recipe.audio_weight


# --- All of them ----------------------------------------------------------------------------------

SMOKE = replace(PROFILES["smoke"], moshi_steps=4)


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Replaces the sources, and the tiny Moshi by a smaller one; the names of the stages that asked for a source."""
    names = []

    def fake(*_):
        def source(stage: Stage):
            names.append(stage.name)
            return one_speaker if stage.name == "pretraining" else random_dialogue

        return source

    monkeypatch.setattr(module, "sources", fake)
    monkeypatch.setattr(module.MoshiConfig, "tiny", lambda vocabulary: small_moshi(vocabulary).config)
    return names


@pytest.fixture(scope="module")
def mimi() -> Mimi:
    return Mimi(tiny_mimi())


def run(folder: Path, mimi: Mimi, tokenizer, **options) -> Moshi:
    torch.manual_seed(7)
    helium = Helium(replace(tiny_helium(), vocabulary=len(tokenizer)))
    return train_stages(SMOKE, folder, 0, None, mimi, options.pop("helium", helium), tokenizer, **options)


def test_all_stages_one_after_the_other_and_again(asked, mimi, tokenizer, tmp_path, monkeypatch):
    """The second run is interrupted in the third stage and started again; nothing is trained twice."""
    order = ["pretraining", "posttraining", "finetuning", "instruction"]
    moshi = run(tmp_path / "whole", mimi, tokenizer)
    assert asked == order and moshi.config == small_moshi(len(tokenizer)).config
    curve = json.loads((tmp_path / "whole" / "pretraining" / "curve.json").read_text())
    assert ["reading" in entry for entry in curve] == [False, True]
    assert load_moshi(tmp_path / "whole" / "pretraining").config.delays[2] == 2
    after = [load_moshi(tmp_path / "whole" / name).state_dict()["model.text_head.weight"] for name in [*order, "."]]
    assert not torch.equal(after[0], after[1]) and torch.equal(after[3], after[4])
    assert load_tokenizer(tmp_path / "whole").model == tokenizer.model

    real, count = module.train, []

    def interrupted(*args, **kwargs):
        if len(count) == 2:
            raise KeyboardInterrupt
        count.append(1)
        return real(*args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "train", interrupted)
        run(tmp_path / "broken", mimi, tokenizer)
    again = run(tmp_path / "broken", mimi, tokenizer)
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in moshi.state_dict().items())


def test_without_text_and_with_both_speakers(asked, mimi, tokenizer, tmp_path):
    moshi = run(tmp_path, mimi, tokenizer, helium=None, both=True)
    assert moshi.config == small_moshi(len(tokenizer)).config  # what is kept predicts Moshi alone
    for name in asked:
        curve = json.loads((tmp_path / name / "curve.json").read_text())
        assert curve and not any("reading" in entry for entry in curve)


@pytest.mark.parametrize("name, acoustic", [("asr", 1), ("tts", 2)])
def test_a_recogniser_and_a_voice(name, acoustic, asked, mimi, tokenizer, tmp_path):
    start = small_moshi(len(tokenizer))
    base = copy.deepcopy(start)
    before = base.state_dict()
    trained = train_speech_text(name, SMOKE, tmp_path, 0, None, mimi, start, tokenizer)
    assert asked == [name] and trained.config.delays == (0, 0, acoustic, acoustic, 0, acoustic, acoustic)
    loaded, lora = load_moshi(tmp_path), tmp_path / "lora.safetensors"
    assert loaded.config == trained.config and load_tokenizer(tmp_path).model == tokenizer.model
    same = {part for part, weight in trained.state_dict().items() if torch.equal(weight, before[part])}
    if name == "tts":
        assert not lora.exists() and not same
        return
    assert same == {part for part in before if not part.startswith(WRITING) or "norm" in part}
    close(load_adapters(base, lora).model.text_head.weight, trained.model.text_head.weight, 1e-3)  # of float16


def test_what_a_stage_keeps_is_what_was_trained():
    task = new_task(both=True)
    for step in range(2):
        one_step(task, step, seed=0)
    moshi, codes = task.modules.moshi.eval(), random_dialogue(random.Random(0)).codes[None]
    close(for_moshi_alone(moshi)(codes).text_logits, moshi(codes).text_logits)
