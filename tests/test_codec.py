"""Training Mimi: the spectral loss, crops with their phonemes, and where the gradients go."""

import random
from dataclasses import replace

import pytest
import torch
from conftest import tiny_mimi, without_gradient

from moshi_ref.corpus.small_world import exchange
from moshi_ref.corpus.utterances import PHONES, Utterance
from moshi_ref.corpus.voices import Phone
from moshi_ref.inner_monologue import Word
from moshi_ref.mimi import Mimi
from moshi_ref.training.codec import LISTEN, CodecRecipe, CodecTask, DecoderTask, MelLoss, Source
from moshi_ref.training.loop import train

CPU = torch.device("cpu")
RECIPE = CodecRecipe(batch_size=2, frames=6, unquantized_steps=2)
HALF = 960  # samples in half a frame


def fake_utterance(seed: int) -> Utterance:
    """About a second in which every phone has a level of its own, so that the sound shows which it is."""
    rng = random.Random(seed)
    numbers = rng.sample(range(1, len(PHONES)), 8)
    edges = [0]
    for _ in numbers:
        edges.append(edges[-1] + rng.randrange(1_500, 4_500))
    spans = list(zip(numbers, edges, edges[1:], strict=False))
    wav = torch.cat([torch.full((end - begin,), number / 100) for number, begin, end in spans])
    phones = [Phone(PHONES[number], begin / 24_000, end / 24_000) for number, begin, end in spans]
    about = exchange("repeat", seed % 10, seed // 10 % 10)
    first, second = about.answer.split()
    words = (Word(first, 0.0, phones[3].end), Word(second, phones[4].start, phones[-1].end))
    return Utterance(wav, about.answer, words, tuple(phones), about, "nobody")


def codec_task(recipe: CodecRecipe = RECIPE, augmented: bool = False) -> CodecTask:
    torch.manual_seed(1)
    source = Source([fake_utterance(1), fake_utterance(2)], 1.0, augmented)
    return CodecTask(Mimi(tiny_mimi()), [source], recipe, CPU)


# --- The spectral loss ----------------------------------------------------------------------------


def test_equal_sounds_have_no_loss():
    wav = 0.1 * torch.randn(2, 9_600)
    assert MelLoss(24_000)(wav, wav.clone()) == 0


def test_the_loss_grows_with_the_distortion():
    mel, wav, noise = MelLoss(24_000), 0.1 * torch.randn(2, 9_600), torch.randn(2, 9_600)
    losses = [mel(wav + level * noise, wav).item() for level in (0.001, 0.01, 0.1, 1.0)]
    assert losses == sorted(losses) and losses[0] < 0.1 < 1 < losses[-1]


def test_what_nobody_can_hear_does_not_count():
    mel, silence, noise = MelLoss(24_000), torch.zeros(1, 9_600), torch.randn(1, 9_600)
    assert mel(1e-5 * noise, silence) == 0
    assert mel(1e-2 * noise, silence) > 0.5


# --- Crops ----------------------------------------------------------------------------------------


def test_the_phoneme_of_a_half_frame_is_the_one_that_sounded_just_before():
    task, rng, phones_seen = codec_task(), random.Random(0), set()
    for _ in range(60):
        wav, phones = task.crop(rng)
        assert wav.shape == (6 * 1920,) and phones.shape == (12,) and phones.dtype == torch.int64
        sounding = (wav * 100).round().long().unflatten(0, (12, HALF))  # (12, 960): a phone's number each
        for half in range(LISTEN, 12):
            most = torch.bincount(sounding[half - LISTEN], minlength=len(PHONES))
            assert most[phones[half]] >= most.max() - 1  # a phone may end within a sample
        phones_seen |= set(phones.tolist())
    assert len(phones_seen) > 12 and 0 in phones_seen  # every part of both utterances, and silence


def test_crops_are_repeatable_and_fit_very_short_utterances():
    task = codec_task(augmented=True)
    short = replace(fake_utterance(3), wav=torch.full((100,), 0.1), phones=())
    task.sources = [*task.sources, Source([short], 1.0, augmented=True)]
    for seed in range(20):
        (wav, phones), (again, same) = (task.crop(random.Random(seed)) for _ in range(2))
        assert wav.shape == (6 * 1920,) and torch.equal(wav, again) and torch.equal(phones, same)


def test_sources_are_drawn_by_their_weights():
    task = codec_task()
    silence = replace(fake_utterance(0), wav=torch.zeros(24_000), phones=())
    task.sources = [replace(task.sources[0], weight=0.25), Source([silence], 0.75, augmented=False)]
    rng = random.Random(0)
    silent = sum(bool((task.crop(rng)[0] == 0).all()) for _ in range(400))
    assert silent / 400 == pytest.approx(0.75, abs=0.08)


# --- Losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, RECIPE.unquantized_steps])
def test_losses_are_finite_and_their_weighted_sum_is_minimised(step):
    losses = codec_task().losses(step, random.Random(0))
    assert all(value.ndim == 0 and value.isfinite() for value in losses.values())
    weighted = sum(getattr(RECIPE, name) * losses[name] for name in ("mel", "wave", "commitment", "phones"))
    torch.testing.assert_close(losses["loss"], weighted)
    assert 0 <= losses["phone_accuracy"] <= 1
    assert (losses["commitment"] > 0) == (step >= RECIPE.unquantized_steps)


def test_gradients_reach_every_parameter():
    task = codec_task(replace(RECIPE, batch_size=4))
    task.losses(RECIPE.unquantized_steps, random.Random(0))["loss"].backward()
    assert without_gradient(task.modules) == []


def test_only_the_quantizer_waits_at_first():
    task = codec_task()
    task.losses(0, random.Random(0))["loss"].backward()
    quantizer = [name for name, _ in task.modules.named_parameters() if ".quantizer." in name]
    assert without_gradient(task.modules) == quantizer != []
    assert all(buffer == 0 for name, buffer in task.modules.named_buffers() if name.endswith("initialized"))


def test_half_of_the_rows_use_all_codebooks():
    torch.manual_seed(0)
    used = codec_task()._dropout(1_000)
    assert used.unique().tolist() == [1, 2, 3, 4]
    assert (used == 4).float().mean().item() == pytest.approx(0.5 + 0.5 / 4, abs=0.05)


# --- The second stage -----------------------------------------------------------------------------


def test_in_the_second_stage_the_decoder_learns_and_the_codes_stay(tmp_path):
    first = codec_task()
    train(first, tmp_path, 4, seed=0, warmup=1)
    mimi = first.mimi
    before = {name: value.clone() for name, value in mimi.state_dict().items()}
    task = DecoderTask(mimi, first.sources, RECIPE, CPU)
    losses = [entry["loss"] for entry in train(task, tmp_path / "decoder", 40, seed=0, warmup=1)]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    changed = {name for name, value in mimi.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith(("upsample", "decoder"))}
