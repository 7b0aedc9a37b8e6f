"""Training Moshi: which tokens count how much, the disturbed past, and that a batch can be learnt."""

import random
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import close, without_gradient
from test_checkpoints import small_moshi

from moshi_ref.corpus.dialogues import Dialogue
from moshi_ref.tokenizer import EPAD, PAD
from moshi_ref.training.language import LanguageRecipe, LanguageTask, audio_loss, text_loss
from moshi_ref.training.loop import one_step

CPU = torch.device("cpu")
Q, K = 3, 7  # codebooks of a speaker, streams


def random_dialogue(rng: random.Random, frames: int = 12) -> Dialogue:
    """Two words in Moshi's text and in the user's, and any codes."""
    text, heard = ([PAD, PAD, EPAD, *rng.sample(range(4, 20), 4)] + [PAD] * (frames - 7) for _ in range(2))
    codes = [[rng.randrange(16) for _ in range(frames)] for _ in range(K - 1)]
    return Dialogue(torch.tensor([text, *codes]), torch.tensor(heard))


def language_task(**changes) -> LanguageTask:
    torch.manual_seed(1)
    recipe = replace(LanguageRecipe(batch_size=2), **changes)
    return LanguageTask(small_moshi(), random_dialogue, recipe, CPU)


# --- The losses by hand ---------------------------------------------------------------------------


def test_padding_counts_less_and_masked_frames_do_not():
    logits, targets = torch.randn(1, 5, 20), torch.tensor([[PAD, EPAD, 7, 11, -1]])
    mask = torch.tensor([[True, True, True, False, False]])
    each = -logits.log_softmax(-1)[0, torch.arange(4), targets[0, :4]]
    expected = (0.5 * each[0] + 0.5 * each[1] + 1.0 * each[2]) / 2.0
    close(text_loss(logits, targets, mask, 0.5), expected)
    changed = torch.where(mask[..., None], logits, torch.randn(1, 5, 20))
    close(text_loss(changed, targets, mask, 0.5), expected)
    close(text_loss(logits, targets, mask, 1.0), each[:3].mean())


def test_semantic_codes_count_as_much_as_many_acoustic_ones():
    logits, targets = torch.randn(1, Q, 2, 16), torch.randint(16, (1, Q, 2))
    mask = torch.tensor([[[True, True], [True, False], [True, False]]])
    logits[:, 1:, 1] = float("nan")  # pushed out by the delay
    each = F.cross_entropy(logits.flatten(0, 2), targets.flatten(), reduction="none").view(Q, 2)
    expected = (100 * (each[0, 0] + each[0, 1]) + each[1, 0] + each[2, 0]) / 202
    logits.requires_grad_()
    loss = audio_loss(logits, targets, mask, 100.0)
    close(loss, expected)
    loss.backward()
    assert logits.grad.isfinite().all() and (logits.grad[~mask] == 0).all() and (logits.grad[mask] != 0).any()


def test_missing_codes_do_not_count():
    logits, targets = torch.randn(2, Q, 4, 16), torch.randint(16, (2, Q, 4))
    mask = torch.ones(2, Q, 4, dtype=torch.bool)
    mask[1, :, 2] = False
    other = targets.clone()
    other[1, :, 2] = -1
    close(audio_loss(logits, targets, mask, 10.0), audio_loss(logits, other, mask, 10.0))


# --- The disturbed past ---------------------------------------------------------------------------


def test_only_moshis_own_sound_is_disturbed():
    task = language_task(replaced=0.4)
    codes = torch.randint(16, (200, K, 50))
    original = codes.clone()
    shown = task.disturb(codes)
    assert torch.equal(codes, original)
    untouched = [0, *range(1 + Q, K)]  # text, and all of the user
    assert torch.equal(shown[:, untouched], codes[:, untouched])
    share = (shown[:, 1 : 1 + Q] != codes[:, 1 : 1 + Q]).float().mean((1, 2))  # (200,)
    assert share.max() < 0.4 + 0.1  # chance of a cell is 0.4 at most
    clean = (share == 0).float().mean().item()
    assert clean == pytest.approx(0.5, abs=0.15)
    assert share[share > 0].mean().item() == pytest.approx(0.2 * 15 / 16, abs=0.05)


def test_what_takes_their_place_are_tokens_of_the_same_codebook():
    task = language_task(replaced=1.0)
    codes = (100 * torch.arange(K) + torch.arange(2)[:, None])[..., None].expand(-1, -1, 40)  # (2, K, 40)
    shown = task.disturb(codes)
    assert torch.equal(shown // 100, codes // 100) and shown.max() < 100 * K


def test_without_disturbance_the_past_is_shown_as_it_is():
    codes = torch.randint(16, (8, K, 10))
    assert torch.equal(language_task(replaced=0.0).disturb(codes), codes)


# --- A training step ------------------------------------------------------------------------------


def test_losses_are_finite_and_their_sum_is_minimised():
    losses = language_task(heard=0.5).losses(0, random.Random(0))
    assert all(value.ndim == 0 and value.isfinite() for value in losses.values())
    close(losses["loss"], losses["text"] + losses["audio"] + 0.5 * losses["heard"])
    assert 0 <= losses["words_right"] <= 1


def test_gradients_reach_every_parameter():
    task = language_task()
    task.losses(0, random.Random(0))["loss"].backward()
    assert without_gradient(task.modules) == []


def test_hearing_teaches_the_temporal_transformer_alone():
    task = language_task()
    task.losses(0, random.Random(0))["heard"].backward()
    assert without_gradient(task.hearing_head) == []
    assert without_gradient(task.moshi.model.temporal) == []
    unused = [*task.moshi.model.depth.parameters(), *task.moshi.model.text_head.parameters()]
    assert all(parameter.grad is None for parameter in unused)


def test_norms_and_scales_do_not_decay():
    decayed, others = language_task().optimizer.param_groups
    assert decayed["weight_decay"] > 0 == others["weight_decay"]
    assert {p.dim() for p in others["params"]} == {1} and 1 not in {p.dim() for p in decayed["params"]}


def test_one_batch_can_be_learnt_by_heart():
    known = [random_dialogue(random.Random(i)) for i in range(2)]
    task = language_task(learning_rate=1e-2, replaced=0.0)
    task.draw = lambda rng: known[rng.getrandbits(1)]
    curve = [one_step(task, step, seed=0) for step in range(60)]
    for name in ("text", "audio", "heard"):
        assert curve[-1][name] < 0.3 * curve[0][name]
    assert curve[-1]["words_right"] > 0.8
