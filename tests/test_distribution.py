"""Two processes train what one would train."""

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from conftest import tiny_mimi
from safetensors.torch import load_file
from test_checkpoints import small_moshi
from test_codec import ADVERSARIAL, fake_utterance
from test_language import random_dialogue
from test_text import small_helium

from moshi_ref.checkpoints import load_helium
from moshi_ref.corpus.utterances import utterances
from moshi_ref.mimi import Mimi
from moshi_ref.training import distribution
from moshi_ref.training.codec import CodecTask, Source
from moshi_ref.training.language import LanguageRecipe, LanguageTask
from moshi_ref.training.loop import Task, train
from moshi_ref.training.recipes import keep_with_tokenizer
from moshi_ref.training.stage_task import Stage, StageTask, new_student
from moshi_ref.training.text import TextRecipe, TextTask

STEPS = 5
SCALARS = {"codec": 9, "moshi": 7, "stage": 7, "helium": 3}  # kinds of tasks, and how many scalars each has at least
RECIPE = replace(ADVERSARIAL, batch_size=4, unquantized_steps=2)


def new_task(kind: str) -> Task:
    """In double precision, because Adam makes a whole step of a gradient that is zero but for its rounding."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    device = distribution.pick_device()
    if kind == "codec":
        source = Source([fake_utterance(1), fake_utterance(2)], 1.0, True)
        return CodecTask(Mimi(tiny_mimi()), [source], RECIPE, device)
    if kind == "moshi":
        return LanguageTask(small_moshi(), random_dialogue, LanguageRecipe(batch_size=4), device)
    if kind == "stage":  # every second step is on text alone
        stage = Stage("stage", STEPS, 1e-3, 2e-3, 1, text_only=0.5, recipe=LanguageRecipe(batch_size=4))
        text = torch.arange(90) ** 2 % 17 + 3
        return StageTask(new_student(small_moshi(), device), random_dialogue, stage, device, text)
    text = torch.arange(90) ** 2 % 37
    return TextTask(small_helium(), text, text.flip(0), TextRecipe(batch_size=4), device)


class Interrupted:
    """A task that is stopped in the middle of step 4."""

    def __init__(self, task: Task):
        self.task, self.modules, self.optimizer = task, task.modules, task.optimizer

    def losses(self, step: int, rng: random.Random) -> dict:
        if step == 4:
            raise KeyboardInterrupt
        return self.task.losses(step, rng)


def run(kind: str, folder: Path) -> None:
    """Two processes are interrupted, and go on from their last checkpoint."""
    if distribution.processes() > 1:
        with pytest.raises(KeyboardInterrupt):
            train(Interrupted(new_task(kind)), folder, STEPS, seed=0, save_every=3, warmup=1)
    train(new_task(kind), folder, STEPS, seed=0, save_every=3, warmup=1)


def make_files(rank: int, count: int, port: str, folder: Path) -> None:
    os.environ |= {"WORLD_SIZE": str(count), "RANK": str(rank), "MASTER_ADDR": "localhost", "MASTER_PORT": port,
                   "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
    distribution.pick_device()
    found = distribution.first_before_others(lambda: utterances("user", "train", 5, seed=0, folder=folder))
    assert len(found) == 5
    distribution.leave()


def test_files_are_made_by_the_first_process_and_found_by_the_others(tmp_path):
    mp.spawn(make_files, (2, str(29_940 + os.getpid() % 50), tmp_path), nprocs=2)
    assert [path.name for path in tmp_path.iterdir()] == [path.name for path in tmp_path.glob("user-train-5-*")]


def worker(rank: int, count: int, port: str, folder: Path) -> None:
    """What torchrun would start; all kinds of tasks, one after the other, because starting takes long."""
    torch.set_num_threads(1)
    os.environ |= {"WORLD_SIZE": str(count), "RANK": str(rank), "MASTER_ADDR": "localhost", "MASTER_PORT": port,
                   "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
    distribution.pick_device()
    for kind in SCALARS:
        run(kind, folder / kind)
    distribution.leave()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with the runs of one process and of two."""
    folder = tmp_path_factory.mktemp("trained")
    for count in (1, 2):
        mp.spawn(worker, (count, str(29_540 + os.getpid() % 400 + count), folder / str(count)), nprocs=count)
    return folder


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="this PyTorch lacks gloo")
@pytest.mark.parametrize("kind", SCALARS)
def test_the_same_batch_gives_the_same_losses_on_one_and_on_two_processes(kind, trained):
    """And the same weights, also if each process has only a share of them."""
    one, two = (json.loads((trained / str(n) / kind / "curve.json").read_text()) for n in (1, 2))
    assert len(one) == len(two) == STEPS and len(one[-1]) >= SCALARS[kind]
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for name in a.keys() - {"seconds"}:
            assert a[name] == pytest.approx(b[name], abs=2e-6), (name, a["step"])
    one, two = (load_file(trained / str(n) / kind / "checkpoint.safetensors") for n in (1, 2))
    assert one.keys() == two.keys()
    for name in one.keys() - {"modules.balancer.lengths"}:  # with half of the rows each gradient is twice as long
        torch.testing.assert_close(two[name], one[name], atol=2e-6, rtol=0, msg=name)


def keep_divided(rank: int, count: int, port: str, folder: Path, tokenizer) -> None:
    os.environ |= {"WORLD_SIZE": str(count), "RANK": str(rank), "MASTER_ADDR": "localhost", "MASTER_PORT": port,
                   "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
    distribution.pick_device()
    torch.manual_seed(1)
    helium = small_helium()
    weights = {name: tensor.clone() for name, tensor in helium.state_dict().items()}
    distribution.divide(helium, helium.transformer.layers)
    assert sum(p.to_local().numel() for p in helium.parameters()) < 0.6 * sum(p.numel() for p in weights.values())
    kept = keep_with_tokenizer(helium, tokenizer, folder)
    assert all(torch.equal(kept.state_dict()[name], tensor) for name, tensor in weights.items())
    distribution.leave()


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="this PyTorch lacks gloo")
def test_a_divided_model_is_written_whole(tmp_path, tokenizer):
    mp.spawn(keep_divided, (2, str(29_990 + os.getpid() % 50), tmp_path, tokenizer), nprocs=2)
    assert load_helium(tmp_path)(torch.zeros(1, 3, dtype=torch.long)).shape == (1, 3, 40)


def test_alone_nothing_is_exchanged():
    x = torch.randn(3, 2)
    assert distribution.processes() == 1 and distribution.first()
    assert distribution.gather(x) is x and distribution.mean(x) is x
    assert distribution.share(7) == slice(0, 7)


def test_rows_that_cannot_be_shared_are_refused(monkeypatch):
    monkeypatch.setattr(distribution, "processes", lambda: 2)
    with pytest.raises(ValueError, match="batch of 7 cannot be shared by 2 processes"):
        distribution.share(7)
