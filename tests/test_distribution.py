"""Two processes train what one would train."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from conftest import tiny_mimi
from test_codec import ADVERSARIAL, fake_utterance

from moshi_ref.corpus.utterances import utterances
from moshi_ref.mimi import Mimi
from moshi_ref.training import distribution
from moshi_ref.training.codec import CodecTask, Source
from moshi_ref.training.loop import train

STEPS = 5
RECIPE = replace(ADVERSARIAL, batch_size=4, unquantized_steps=2)


def run(folder: Path) -> None:
    """In double precision, because Adam makes a whole step of a gradient that is zero but for its rounding."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    source = Source([fake_utterance(1), fake_utterance(2)], 1.0, True)
    task = CodecTask(Mimi(tiny_mimi()), [source], RECIPE, distribution.pick_device())
    train(task, folder, STEPS, seed=0, save_every=3, warmup=1)


def make_files(rank: int, count: int, port: str, folder: Path) -> None:
    os.environ |= {"WORLD_SIZE": str(count), "RANK": str(rank), "MASTER_ADDR": "localhost", "MASTER_PORT": port,
                   "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
    distribution.pick_device()
    found = distribution.first_before_others(lambda: utterances("user", "train", 5, seed=0, folder=folder))
    assert len(found) == 5
    dist.destroy_process_group()


def test_files_are_made_by_the_first_process_and_found_by_the_others(tmp_path):
    mp.spawn(make_files, (2, str(29_940 + os.getpid() % 50), tmp_path), nprocs=2)
    assert [path.name for path in tmp_path.iterdir()] == [path.name for path in tmp_path.glob("user-train-5-*")]


def worker(rank: int, count: int, port: str, folder: Path) -> None:
    """What torchrun would start."""
    torch.set_num_threads(1)
    os.environ |= {"WORLD_SIZE": str(count), "RANK": str(rank), "MASTER_ADDR": "localhost", "MASTER_PORT": port,
                   "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
    run(folder)
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="this PyTorch lacks gloo")
def test_the_same_batch_gives_the_same_losses_on_one_and_on_two_processes(tmp_path):
    for count in (1, 2):
        mp.spawn(worker, (count, str(29_540 + os.getpid() % 400 + count), tmp_path / str(count)), nprocs=count)
    one, two = (json.loads((tmp_path / str(n) / "curve.json").read_text()) for n in (1, 2))
    assert len(one) == len(two) == STEPS and len(one[-1]) > 8
    for a, b in zip(one, two, strict=True):
        for name in a.keys() - {"seconds"}:
            assert a[name] == pytest.approx(b[name], abs=2e-6), (name, a["step"])


def test_alone_nothing_is_exchanged():
    x = torch.randn(3, 2)
    assert distribution.processes() == 1 and distribution.first()
    assert distribution.gather(x) is x and distribution.mean(x) is x
    assert distribution.share(7) == slice(0, 7)


def test_rows_that_cannot_be_shared_are_refused(monkeypatch):
    monkeypatch.setattr(distribution, "processes", lambda: 2)
    with pytest.raises(ValueError, match="batch of 7 cannot be shared by 2 processes"):
        distribution.share(7)
