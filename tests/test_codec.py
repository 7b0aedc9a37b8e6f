"""Training Mimi: the spectral loss, crops with their phonemes, and where the gradients go."""

import random
from dataclasses import replace

import pytest
import torch
from conftest import tiny_mimi, tiny_transformer, without_gradient

from moshi_ref.corpus.small_world import exchange
from moshi_ref.corpus.utterances import PHONES, Utterance
from moshi_ref.corpus.voices import Phone
from moshi_ref.inner_monologue import Word
from moshi_ref.mimi import Mimi
from moshi_ref.training.codec import CodecRecipe, CodecTask, DecoderTask, Source, convolutions, folded
from moshi_ref.training.discriminator import DiscriminatorConfig
from moshi_ref.training.distillation import PhoneTeacher
from moshi_ref.training.loop import train

CPU = torch.device("cpu")
RECIPE = CodecRecipe(batch_size=2, frames=6, unquantized_steps=2)
ADVERSARIAL = replace(RECIPE, adversarial=1.0, features=1.0, discriminator=DiscriminatorConfig(4, (256, 128)))


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


# --- Crops ----------------------------------------------------------------------------------------


def test_the_phones_of_a_crop_sound_when_they_say():
    task, rng, phones_seen = codec_task(), random.Random(0), set()
    for _ in range(60):
        crop = task.crop(rng)
        assert crop.wav.shape == crop.clean.shape == (6 * 1920,)
        sounding = (crop.clean * 100).round().long()  # (T,): a phone's number each
        for phone in crop.phones:
            begin, end = round(phone.start * 24_000), round(phone.end * 24_000)
            inside = sounding[max(0, begin + 1) : max(0, end - 1)]
            assert (inside == PHONES.index(phone.symbol)).all()
            if len(inside):
                phones_seen.add(phone.symbol)
    assert len(phones_seen) > 12  # every part of both utterances


def test_the_teacher_hears_the_clean_crop_of_each_row():
    task = codec_task(replace(RECIPE, batch_size=4))
    wav, wanted = task.batch(random.Random(3))
    assert wav.shape == (4, 1, 6 * 1920) and wanted.shape == (4, 6, 2 * len(PHONES))
    levels = (wav[:, 0] * 100).round().long().unflatten(1, (-1, 960))  # (4, 12, 960): a phone's number each
    shares = torch.nn.functional.one_hot(levels, len(PHONES)).float().mean(2)  # (4, 12, P)
    heard = wanted.view(4, 12, -1)
    assert (heard[:, 1:] - shares[:, :-1]).abs().sum(-1).mean() < 0.2  # half a frame late, to 20 ms


def test_crops_are_repeatable_and_fit_very_short_utterances():
    task = codec_task(augmented=True)
    short = replace(fake_utterance(3), wav=torch.full((100,), 0.1), phones=())
    task.sources = [*task.sources, Source([short], 1.0, augmented=True)]
    for seed in range(20):
        crop, again = (task.crop(random.Random(seed)) for _ in range(2))
        assert crop.wav.shape == (6 * 1920,) and torch.equal(crop.wav, again.wav) and crop.phones == again.phones


def test_sources_are_drawn_by_their_weights():
    task = codec_task()
    silence = replace(fake_utterance(0), wav=torch.zeros(24_000), phones=())
    task.sources = [replace(task.sources[0], weight=0.25), Source([silence], 0.75, augmented=False)]
    rng = random.Random(0)
    silent = sum(bool((task.crop(rng).wav == 0).all()) for _ in range(400))
    assert silent / 400 == pytest.approx(0.75, abs=0.08)


# --- Losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, RECIPE.unquantized_steps])
@pytest.mark.parametrize("recipe", [RECIPE, ADVERSARIAL])
def test_losses_are_finite_and_their_weighted_sum_is_minimised(step, recipe):
    losses = codec_task(recipe).losses(step, random.Random(0))
    assert all(value.ndim == 0 and value.isfinite() for value in losses.values())
    names = ("mel", "envelope", "wave", "adversarial", "features", "commitment", "distillation")
    weighted = sum(getattr(recipe, name) * losses[name] for name in names if name in losses)
    torch.testing.assert_close(losses["loss"], weighted + losses.get("discriminator", 0.0))
    assert 0 <= losses["distillation"] <= 2
    assert (losses["commitment"] > 0) == (step >= RECIPE.unquantized_steps)


@pytest.mark.parametrize("recipe", [RECIPE, ADVERSARIAL])
def test_gradients_reach_every_parameter(recipe):
    task = codec_task(replace(recipe, batch_size=4, skipped=0.0))
    task.losses(RECIPE.unquantized_steps, random.Random(0))["loss"].backward()
    missing = [name for name in without_gradient(task.modules) if not name.startswith("average")]
    if recipe is RECIPE:
        missing = [name for name in missing if not name.startswith("discriminator")]
    # originals and outputs pull the discriminator's biases equally, until the hinge lets go
    assert [name for name in missing if not (name.startswith("discriminator") and name.endswith("bias"))] == []


def test_a_loss_that_is_left_out_costs_nothing_and_changes_nothing():
    task = codec_task(replace(RECIPE, distillation=0.0))
    losses = task.losses(RECIPE.unquantized_steps, random.Random(0))
    losses["loss"].backward()
    assert "adversarial" not in losses and "features" not in losses
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in task.projection.parameters())


@pytest.mark.parametrize("changes", [{"split": False}, {"transformer": tiny_transformer(gated=False, layers=0)}])
def test_a_mimi_that_lacks_something_learns_too(changes, tmp_path):
    torch.manual_seed(1)
    source = Source([fake_utterance(1), fake_utterance(2)], 1.0, False)
    task = CodecTask(Mimi(replace(tiny_mimi(), **changes)), [source], RECIPE, CPU)
    curve = train(task, tmp_path, 40, seed=0, warmup=1)
    assert sum(e["mel"] for e in curve[-5:]) < 0.9 * sum(e["mel"] for e in curve[:5])
    assert task.trained().encode(torch.zeros(1, 1, 1920)).shape == (1, 3, 1)


def test_only_the_quantizer_waits_at_first():
    task = codec_task()
    task.losses(0, random.Random(0))["loss"].backward()
    missing = [n for n in without_gradient(task.modules) if not n.startswith(("average", "discriminator"))]
    assert missing == [n for n, _ in task.modules.named_parameters() if n.startswith("mimi.quantizer.")] != []
    assert all(buffer == 0 for name, buffer in task.modules.named_buffers() if name.endswith("initialized"))


def test_half_of_the_rows_use_all_codebooks_and_half_are_not_quantized():
    torch.manual_seed(0)
    used, skipped = codec_task(replace(RECIPE, batch_size=2_000)).chances()
    assert used.unique().tolist() == [1, 2, 3, 4]
    assert (used == 4).float().mean().item() == pytest.approx(0.5 + 0.5 / 4, abs=0.05)
    assert skipped.float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_a_row_that_is_not_quantized_reaches_the_decoder_as_it_is(monkeypatch):
    task, seen = codec_task(replace(RECIPE, skipped=1.0)), []
    decode = task.mimi.decode_latent
    monkeypatch.setattr(task.mimi, "decode_latent", lambda latent: seen.append(latent) or decode(latent))
    rng = random.Random(0)
    task.losses(RECIPE.unquantized_steps, rng)
    wav, _ = task.batch(random.Random(0))
    torch.testing.assert_close(seen[0], task.mimi.encode_latent(wav))


# --- The weights ----------------------------------------------------------------------------------


def test_only_the_transformers_weights_decay():
    task = codec_task(replace(RECIPE, weight_decay=0.5, learning_rate=0.1))
    task.optimizer.zero_grad()
    before = {name: p.clone() for name, p in task.modules.named_parameters()}
    for p in task.modules.parameters():
        p.grad = torch.zeros_like(p)
    task.optimizer.step()
    smaller = {name for name, p in task.modules.named_parameters() if not torch.equal(p, before[name])}
    inside = ("mimi.encoder_transformer", "mimi.decoder_transformer")
    assert smaller == {name for name, p in before.items() if name.startswith(inside) and p.abs().sum() > 0} != set()


def test_norms_are_learnt_apart_and_folded_at_the_end(tmp_path):
    task, wav = codec_task(), 0.1 * torch.randn(1, 1, 5 * 1920)
    before = Mimi(tiny_mimi())
    before.load_state_dict(folded(task.mimi).state_dict())
    torch.testing.assert_close(task.mimi.encode_latent(wav), before.encode_latent(wav))
    assert any("original0" in name for name, _ in task.mimi.named_parameters())
    train(task, tmp_path, 3, seed=0, warmup=1)
    trained = task.trained()
    assert {n for n, _ in trained.named_parameters()} == {n for n, _ in before.named_parameters()}
    assert all(p.requires_grad for p in trained.parameters()) and len(convolutions(trained.encoder)) > 10


def test_what_is_kept_is_the_running_mean(tmp_path):
    task = codec_task()
    train(task, tmp_path, 12, seed=0, warmup=1)
    kept, last = (m.encoder.state_dict() for m in (task.trained(), folded(task.mimi)))
    assert any(not torch.equal(kept[name], last[name]) for name in kept)


def test_another_teacher_needs_another_projection():
    class Loudness(PhoneTeacher):
        width = 3

        def __call__(self, wav, phones):
            return wav.unflatten(1, (-1, 1920)).abs().mean(-1, keepdim=True).expand(-1, -1, 3)

    torch.manual_seed(1)
    task = CodecTask(Mimi(tiny_mimi()), [Source([fake_utterance(1)], 1.0, False)], RECIPE, CPU, Loudness())
    assert task.losses(2, random.Random(0))["distillation"].isfinite()


# --- The last stage -------------------------------------------------------------------------------


def test_in_the_last_stage_the_decoder_learns_and_the_codes_stay(tmp_path):
    first = codec_task()
    train(first, tmp_path, 4, seed=0, warmup=1)
    before = first.trained().state_dict()
    task = DecoderTask(first.trained(), first.sources, RECIPE, CPU)
    losses = [entry["loss"] for entry in train(task, tmp_path / "decoder", 40, seed=0, warmup=1)]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    after = task.trained().state_dict()
    changed = {name for name in before if not torch.equal(after[name], before[name])}
    learning = {name for name in before if name.startswith(("upsample", "decoder"))}
    assert changed == learning


def test_now_and_then_the_decoder_hears_fewer_codebooks(monkeypatch):
    task, heard = DecoderTask(Mimi(tiny_mimi()), codec_task().sources, RECIPE, CPU), []
    decode, every = task.mimi.quantizer.decode, task.mimi.config.codebooks
    monkeypatch.setattr(task.mimi.quantizer, "decode", lambda codes: heard.append(codes.shape[1]) or decode(codes))
    for step in range(40):
        torch.manual_seed(step)
        task.losses(step, random.Random(step))
    assert 20 < heard.count(every) < 40 and set(heard) <= set(range(1, every + 1))


def test_the_judge_may_learn_alone_first(tmp_path):
    def moved(steps: int) -> set[str]:
        """Parts that have learnt after so many steps, of which the judge has the first three alone."""
        task = DecoderTask(Mimi(tiny_mimi()), codec_task().sources, replace(ADVERSARIAL, judge_alone=3), CPU)
        before = {name: p.detach().clone() for name, p in task.modules.named_parameters()}
        curve = train(task, tmp_path / str(steps), steps, seed=0, warmup=1)
        assert all(entry["loss"] == entry["discriminator"] for entry in curve[:3])
        after = dict(task.modules.named_parameters())
        return {name.split(".")[0] for name in before if not torch.equal(after[name], before[name])}

    assert moved(3) == {"discriminator"}
    assert moved(4) >= {"discriminator", "mimi"}
