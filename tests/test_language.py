"""Training Moshi: which tokens count how much, the disturbed past, and that a batch can be learnt."""

import random
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import close, without_gradient
from test_checkpoints import small_moshi

from moshi_ref.corpus.dialogues import Dialogue
from moshi_ref.rq_transformer import ZERO
from moshi_ref.tokenizer import EPAD, PAD
from moshi_ref.training.language import LanguageRecipe, LanguageTask, audio_loss, text_loss
from moshi_ref.training.loop import one_step

CPU = torch.device("cpu")
Q, K = 3, 7  # codebooks of a speaker, streams
UNDISTURBED = {"forgotten": 0.0, "replaced": 0.0, "misheard": 0.0, "muffled": 0.0}


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


STREAMS = {"forgotten": [0], "replaced": [*range(1, 1 + Q)], "misheard": [*range(1 + Q, K)]}


@pytest.mark.parametrize("kind", STREAMS)
def test_each_kind_of_stream_has_a_share_of_its_own(kind):
    task = language_task(**UNDISTURBED | {kind: 0.4})
    codes = torch.randint(16, (200, K, 50))
    original = codes.clone()
    shown = task.disturb(codes)
    assert torch.equal(codes, original)
    untouched = [stream for stream in range(K) if stream not in STREAMS[kind]]
    assert torch.equal(shown[:, untouched], codes[:, untouched])
    share = (shown != codes)[:, STREAMS[kind]].float().mean((1, 2))  # (200,)
    assert share.max() < 0.4 + 0.2  # chance of a cell is 0.4 at most
    assert (share == 0).float().mean().item() == pytest.approx(0.5, abs=0.15)
    same_by_chance = 0 if kind == "forgotten" else 1 / 16
    assert share[share > 0].mean().item() == pytest.approx(0.2 * (1 - same_by_chance), abs=0.06)


def test_text_becomes_nothing_and_sound_becomes_tokens_of_the_same_codebook():
    task = language_task(forgotten=1.0, replaced=1.0, misheard=1.0, muffled=0.0)
    codes = (100 * torch.arange(K) + torch.arange(2)[:, None])[..., None].expand(-1, -1, 40)  # (2, K, 40)
    for _ in range(10):
        shown = task.disturb(codes)
        assert torch.equal(shown[:, 1:] // 100, codes[:, 1:] // 100)
        assert ((shown[:, 0] == codes[:, 0]) | (shown[:, 0] == ZERO)).all()


def test_some_users_are_known_by_their_semantic_codes_alone():
    codes = torch.randint(16, (400, K, 10))
    shown = language_task(**UNDISTURBED | {"muffled": 0.3}).disturb(codes)
    muffled = (shown[:, 2 + Q :] == ZERO).all((1, 2))  # (400,)
    assert muffled.float().mean().item() == pytest.approx(0.3, abs=0.08)
    assert torch.equal(shown[~muffled], codes[~muffled])
    assert torch.equal(shown[:, : 2 + Q], codes[:, : 2 + Q])


def test_without_disturbance_the_past_is_shown_as_it_is():
    codes = torch.randint(16, (8, K, 10))
    assert torch.equal(language_task(**UNDISTURBED).disturb(codes), codes)


def test_where_there_is_nothing_nothing_is_heard():
    codes = torch.randint(16, (8, K, 10))
    codes[::2, K // 2 + 1 :] = ZERO  # in half of the dialogues there is no user
    shown = torch.stack([language_task(misheard=1.0, muffled=0.0).disturb(codes) for _ in range(8)])
    assert (shown[:, ::2, K // 2 + 1 :] == ZERO).all() and (shown[:, 1::2] != codes[1::2]).any()


# --- A training step ------------------------------------------------------------------------------


def test_losses_are_finite_and_their_sum_is_minimised():
    losses = language_task(heard=0.5, audio_weight=0.3).losses(0, random.Random(0))
    assert all(value.ndim == 0 and value.isfinite() for value in losses.values())
    close(losses["loss"], losses["text"] + 0.3 * losses["audio"] + 0.5 * losses["heard"])
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
    task = language_task(learning_rate=1e-2, **UNDISTURBED)
    task.draw = lambda rng: known[rng.getrandbits(1)]
    curve = [one_step(task, step, seed=0) for step in range(60)]
    for name in ("text", "audio", "heard"):
        assert curve[-1][name] < 0.3 * curve[0][name]
    assert curve[-1]["words_right"] > 0.8
