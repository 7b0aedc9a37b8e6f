"""Small models and helpers that the tests share."""

import os
import random
from dataclasses import replace

import pytest
import torch

from moshi_ref.helium import HeliumConfig
from moshi_ref.mimi import MimiConfig
from moshi_ref.seanet import SEANetConfig
from moshi_ref.tokenizer import TextTokenizer
from moshi_ref.transformer import TransformerConfig

os.environ.setdefault("MOSHI_REF_PROFILE", "smoke")  # of the notebooks, which run as tests too
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of their kernels: two files are tested at a time
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

SENTENCES = [
    "hello there, how are you today?",
    "what is seven plus five? seven plus five is twelve.",
    "the capital of france is paris, and the sun is a star.",
    "i'm fine, thank you. can you repeat after me: one, two, three?",
    "stop! wait a minute, what was the question again?",
    "add 1 and 20, then take away 3, 45 or 678. what is left? 9.",
    "quick brown foxes jump over lazy dogs; vexed wizards just keep the box.",
]


@pytest.fixture(autouse=True)
def seed():
    """Every test draws the same random numbers, alone or among others."""
    torch.manual_seed(0)
    random.seed(0)


@pytest.fixture(scope="session")
def tokenizer() -> TextTokenizer:
    return TextTokenizer.train(SENTENCES, 360)


def tiny_transformer(**changes) -> TransformerConfig:
    return replace(TransformerConfig(32, 2, 2, hidden=64, context=5), **changes)


def tiny_helium(**changes) -> HeliumConfig:
    return HeliumConfig(tiny_transformer(**changes), vocabulary=40)


def tiny_mimi() -> MimiConfig:
    """Real frames of 1920 samples, few channels. The branches of the Transformers count in full
    (layer_scale 1), so that a mistake in them cannot hide behind the usual scale of 0.01."""
    transformer = tiny_transformer(gated=False, layer_scale=1.0)
    return MimiConfig(SEANetConfig(32, 4), transformer, 4, 3, entries=16, codebook_dim=8)


def chunkings(count: int, unit: int = 1) -> list[list[int]]:
    """Ways to cut `count * unit` steps: one unit at a time, irregularly, and not at all."""
    irregular = []
    while sum(irregular) < count:
        size = (3, 1, 40, 4, 1, 5, 9)[len(irregular) % 7]
        irregular.append(min(size, count - sum(irregular)))
    return [[unit * size for size in sizes] for sizes in ([1] * count, irregular, [count])]


def close(actual, expected, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


def without_gradient(module: torch.nn.Module) -> list[str]:
    """Names of the parameters that the last backward pass did not reach."""
    return [n for n, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
