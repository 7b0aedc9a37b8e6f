"""The training loop: a run that is interrupted ends exactly like one that is not."""

import json
import random

import pytest
import torch
from conftest import tiny_mimi
from safetensors import safe_open
from test_checkpoints import small_moshi
from test_codec import fake_utterance
from test_language import random_dialogue
from torch import nn

from moshi_ref.mimi import Mimi
from moshi_ref.training import loop
from moshi_ref.training.codec import CodecRecipe, CodecTask, Source
from moshi_ref.training.language import LanguageRecipe, LanguageTask
from moshi_ref.training.loop import schedule, train

STEPS = 20


class Toy:
    """A small network with dropout and batch statistics, on random data: needs both sources of chance and
    has buffers besides its weights. `fails` = (step, exception) stops it in the middle of that step."""

    def __init__(self, fails: tuple | None = None):
        torch.manual_seed(1)
        self.modules = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.optimizer = torch.optim.AdamW(
            [{"params": self.modules[0].parameters(), "lr": 1e-2}, {"params": self.modules[1:].parameters()}],
            lr=3e-2,
        )
        self.fails, self.rates = fails, []

    def losses(self, step: int, rng: random.Random) -> dict[str, torch.Tensor]:
        self.rates.append([group["lr"] for group in self.optimizer.param_groups])
        x = torch.randn(16, 3) + rng.random()
        loss = (self.modules(x)[:, 0] - x.sum(1)).square().mean()  # changes the batch statistics
        if self.fails and self.fails[0] == step:
            raise self.fails[1]
        return {"loss": loss, "half": loss / 2}


def without_times(curve: list) -> list:
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in curve]


def assert_equal(task, other) -> None:
    """The same weights, buffers and optimizer, bit for bit."""
    weights, others = task.modules.state_dict(), other.modules.state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[key], others[key]) for key in weights)
    states, others = (t.optimizer.state_dict()["state"] for t in (task, other))
    assert states.keys() == others.keys() != set()
    for index, state in states.items():
        assert all(torch.equal(value, others[index][name]) for name, value in state.items())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    task = Toy()
    return task, train(task, tmp_path_factory.mktemp("whole"), STEPS, seed=3, save_every=5, warmup=4)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("step", [3, 5, 12, 19])
def test_an_interrupted_run_ends_like_one_that_was_not(step, error, undisturbed, tmp_path, capsys):
    with pytest.raises(error):
        train(Toy((step, error)), tmp_path, STEPS, seed=3, save_every=5, warmup=4)
    if error is KeyboardInterrupt:
        assert f"interrupted at step {step}; start again" in capsys.readouterr().err
    task = Toy()
    curve = train(task, tmp_path, STEPS, seed=3, save_every=5, warmup=4)
    assert len(task.rates) == STEPS - step // 5 * 5  # it begins at the last checkpoint
    assert [entry["step"] for entry in curve] == list(range(STEPS))
    assert without_times(curve) == without_times(undisturbed[1])
    assert_equal(task, undisturbed[0])
    assert json.loads((tmp_path / "curve.json").read_text()) == curve


def test_two_interruptions(undisturbed, tmp_path):
    for step in (7, 16):
        with pytest.raises(KeyboardInterrupt):
            train(Toy((step, KeyboardInterrupt)), tmp_path, STEPS, seed=3, save_every=5, warmup=4)
    task = Toy()
    curve = train(task, tmp_path, STEPS, seed=3, save_every=5, warmup=4)
    assert without_times(curve) == without_times(undisturbed[1])
    assert_equal(task, undisturbed[0])
    assert [entry["seconds"] for entry in curve] == sorted(entry["seconds"] for entry in curve)


def test_going_on_with_the_same_task(undisturbed, tmp_path):
    """As in a notebook, where the cell is simply run again."""
    task = Toy((12, KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train(task, tmp_path, STEPS, seed=3, save_every=5, warmup=4)
    task.fails = None
    curve = train(task, tmp_path, STEPS, seed=3, save_every=5, warmup=4)
    assert without_times(curve) == without_times(undisturbed[1])
    assert_equal(task, undisturbed[0])


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = train(Toy(), tmp_path, 6, seed=0)
    task = Toy()
    assert train(task, tmp_path, 6, seed=0) == first and task.rates == []


@pytest.mark.parametrize("other", [{"seed": 1}, {"steps": 7}])
def test_another_run_in_the_same_folder_is_refused(other, tmp_path):
    train(Toy(), tmp_path, 6, seed=0)
    with pytest.raises(ValueError, match="holds another run .*; choose another folder, or remove it"):
        train(Toy(), tmp_path, **({"steps": 6, "seed": 0} | other))


def test_other_seeds_give_other_runs(undisturbed, tmp_path):
    assert train(Toy(), tmp_path, STEPS, seed=4)[0]["loss"] != undisturbed[1][0]["loss"]


def test_a_checkpoint_is_never_half_written(undisturbed, tmp_path, monkeypatch):
    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half a file")
        if metadata["step"] == "10":
            raise OSError("no space left on device")
        save_file(tensors, path, metadata)

    save_file = loop.save_file
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(loop, "save_file", full_disk)
        train(Toy(), tmp_path, STEPS, seed=3, save_every=5, warmup=4)
    with safe_open(tmp_path / "checkpoint.safetensors", "pt") as file:
        assert file.metadata()["step"] == "5"
    task = Toy()
    assert without_times(train(task, tmp_path, STEPS, 3, 5, 4)) == without_times(undisturbed[1])
    assert_equal(task, undisturbed[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.safetensors", "curve.json"]


def test_a_damaged_checkpoint_says_so(tmp_path):
    train(Toy(), tmp_path, 3, seed=0)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="checkpoint.safetensors is damaged"):
        train(Toy(), tmp_path, 3, seed=0)


def test_the_learning_rate_rises_and_falls():
    factors = [schedule(step, 100, 10) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == 1 and factors[55] == pytest.approx(0.51) and factors[100] == pytest.approx(0.02)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert schedule(150, 100, 10) == pytest.approx(0.02)  # further than planned
    assert schedule(0, 100, 0) == 1 and schedule(4, 5, 10) == 0.5  # no warm-up, and nothing but warm-up


def test_every_group_has_its_own_rate_also_after_an_interruption(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(Toy((12, KeyboardInterrupt)), tmp_path, STEPS, seed=3, save_every=5, warmup=4)
    task = Toy()
    train(task, tmp_path, STEPS, seed=3, save_every=5, warmup=4)
    for step, rates in enumerate(task.rates, start=10):
        assert rates == pytest.approx([1e-2 * schedule(step, STEPS, 4), 3e-2 * schedule(step, STEPS, 4)])


# --- The real tasks -------------------------------------------------------------------------------


def codec_task() -> CodecTask:
    torch.manual_seed(1)
    said = [fake_utterance(i) for i in range(3)]
    sources = [Source(said, 0.5, augmented=False), Source(said, 0.5, augmented=True)]
    recipe = CodecRecipe(batch_size=2, frames=4, unquantized_steps=2)
    return CodecTask(Mimi(tiny_mimi()), sources, recipe, torch.device("cpu"))


def language_task() -> LanguageTask:
    torch.manual_seed(1)
    return LanguageTask(small_moshi(), random_dialogue, LanguageRecipe(batch_size=2), torch.device("cpu"))


@pytest.mark.parametrize("make", [codec_task, language_task])
def test_training_resumes_bit_for_bit(make, tmp_path):
    """The codec is interrupted after its codebooks have started, and long after its last checkpoint."""
    whole, resumed = make(), make()
    expected = train(whole, tmp_path / "whole", 6, seed=0, save_every=3)
    broken = make()
    losses = broken.losses

    def interrupted(step: int, rng: random.Random) -> dict:
        result = losses(step, rng)
        if step == 4:
            raise KeyboardInterrupt
        return result

    broken.losses = interrupted
    with pytest.raises(KeyboardInterrupt):
        train(broken, tmp_path / "broken", 6, seed=0, save_every=3)
    curve = train(resumed, tmp_path / "broken", 6, seed=0, save_every=3)
    assert without_times(curve) == without_times(expected) and len(curve) == 6
    assert_equal(resumed, whole)
