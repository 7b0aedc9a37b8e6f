"""Codebook statistics by hand; codecs whose faults are known."""

import math
from types import SimpleNamespace

import pytest
import torch
from conftest import close, tiny_mimi

from moshi_ref.evaluation import codebook_use as module
from moshi_ref.evaluation.codebook_use import (
    CodebookUse,
    codebook_use,
    effective_bitrate,
    frame_times,
    idempotence,
    look_ahead,
)
from moshi_ref.mimi import Mimi


def test_use_by_hand():
    """Four of eight entries evenly, a single one, and one half, two quarters."""
    codes = torch.tensor([[0, 1, 2, 7], [5, 5, 5, 5], [0, 0, 1, 2]])
    even, single, uneven = codebook_use(codes, 8)
    assert even == CodebookUse(0.5, pytest.approx(2), pytest.approx(4))
    assert single == CodebookUse(0.125, pytest.approx(0), pytest.approx(1))
    assert uneven == CodebookUse(0.375, pytest.approx(1.5), pytest.approx(2**1.5))
    assert effective_bitrate([even, single, uneven], 12.5) == pytest.approx(12.5 * 3.5)


def test_all_entries_evenly_give_the_nominal_bitrate():
    config = tiny_mimi()
    codes = torch.arange(config.entries).repeat(config.used_codebooks, 50)
    assert effective_bitrate(codebook_use(codes, config.entries), config.frame_rate) == pytest.approx(
        config.bits_per_second
    )


def test_what_are_not_codes_is_refused():
    for codes in (torch.zeros(2, 0).long(), torch.zeros(1, 2, 3).long(), torch.zeros(2, 3), torch.full((1, 2), 8)):
        with pytest.raises(ValueError, match="codes"):
            codebook_use(codes, 8)


def test_idempotence_by_hand():
    """A codec whose sound is its codes; on the way its second level loses every second frame, its third all."""

    def decode(codes: torch.Tensor) -> torch.Tensor:
        sound = codes.clone()
        sound[:, 1, ::2] += 1
        sound[:, 2] += 1
        return sound

    codec = SimpleNamespace(encode=lambda wav, codebooks: wav[:, :codebooks], decode=decode)
    codes = torch.randint(0, 9, (2, 3, 6))
    close(idempotence(codec, codes, 3), torch.tensor([1, 0.5, 0]).double())


def test_idempotence_of_a_mimi_is_a_share_for_each_level():
    share = idempotence(Mimi(tiny_mimi()), 0.1 * torch.randn(2, 1, 5 * 1920), 3)
    assert share.shape == (3,) and (share >= 0).all() and (share <= 1).all()


def test_mimi_does_not_look_ahead():
    assert look_ahead(Mimi(tiny_mimi()).eval(), 0.1 * torch.randn(1, 1, 6 * 1920)) == {
        "encoder, frames": 0, "decoder, samples": 0,
    }  # fmt: skip


def test_look_ahead_is_found():
    """A codec that averages over two later frames, and plays 100 samples early."""

    def encode_latent(wav: torch.Tensor) -> torch.Tensor:
        frames = wav.unflatten(-1, (-1, 1920)).mean(-1)  # (1, 1, F)
        return frames + frames.roll(-2, -1)

    def decode_latent(latent: torch.Tensor) -> torch.Tensor:
        return latent.repeat_interleave(1920, -1).roll(-100, -1)

    codec = SimpleNamespace(
        config=SimpleNamespace(frame_size=1920), encode_latent=encode_latent, decode_latent=decode_latent
    )
    found = look_ahead(codec, torch.randn(1, 1, 8 * 1920))
    assert found == {"encoder, frames": 2, "decoder, samples": 100}
    with pytest.raises(ValueError, match="two frames"):
        look_ahead(codec, torch.randn(1, 1, 1920))


def test_real_time_factor(monkeypatch):
    """Twenty milliseconds for a frame of eighty."""
    monkeypatch.setattr(module, "take_turns", lambda turns, frames: {"moshi_ref": {"median_ms": 20.0, "p95_ms": 30.0}})
    times = frame_times(Mimi(tiny_mimi()))
    expected = {"median_ms": 20.0, "p95_ms": 30.0, "real_time_factor": 0.25}
    assert times == {"encode": expected, "decode": expected}


def test_frames_are_really_timed():
    times = frame_times(Mimi(tiny_mimi()).eval(), frames=2)
    assert all(0 < row["median_ms"] and math.isfinite(row["real_time_factor"]) for row in times.values())
