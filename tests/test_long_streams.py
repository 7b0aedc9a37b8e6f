"""Streams that go on for minutes, far beyond every context, give what the whole sequence gives."""

from dataclasses import replace

import pytest
import torch
from conftest import close, tiny_mimi, tiny_transformer

from moshi_ref.mimi import Mimi
from moshi_ref.transformer import Transformer

# seconds, and the frames of the chunks: one by one, irregular, and half a minute's worth at a time
LENGTHS = [(10, [1]), (60, [3, 1, 40, 2, 7, 16]), (600, [375])]


def chunks(total: int, sizes: list[int]) -> list[int]:
    """The sizes again and again, until their sum is `total`."""
    cut: list[int] = []
    while sum(cut) < total:
        cut.append(min(sizes[len(cut) % len(sizes)], total - sum(cut)))
    return cut


@torch.no_grad()
@pytest.mark.parametrize("seconds, sizes", LENGTHS)
def test_mimi(seconds, sizes):
    config = replace(tiny_mimi(), transformer=tiny_transformer(layers=1, gated=False, layer_scale=1.0))
    mimi, frames = Mimi(config).eval(), round(12.5 * seconds)
    wav = 0.3 * torch.randn(1, 1, frames * 1920)
    state, cut = mimi.initial_state(1), chunks(frames, sizes)
    latent = mimi.encode_latent(wav)
    streamed = torch.cat([mimi.encode_latent(x, state) for x in wav.split([1920 * n for n in cut], -1)], -1)
    close(streamed, latent)
    sound = mimi.decode_latent(latent)
    close(torch.cat([mimi.decode_latent(x, state) for x in latent.split(cut, -1)], -1), sound)


@torch.no_grad()
@pytest.mark.parametrize("seconds, sizes", LENGTHS)
def test_transformer(seconds, sizes):
    model, frames = Transformer(tiny_transformer(context=75)).eval(), round(12.5 * seconds)
    x, state = torch.randn(1, frames, 32), model.initial_state(1)
    close(torch.cat([model(piece, state) for piece in x.split(chunks(frames, sizes), 1)], 1), model(x))


@torch.no_grad()
def test_conversations_of_different_ages_in_one_batch():
    """Row 1 starts anew after 37 frames; each row goes on as if it were alone."""
    mimi, wav = Mimi(tiny_mimi()).eval(), 0.3 * torch.randn(2, 1, 125 * 1920)
    state, codes = mimi.initial_state(2), []
    for index, frame in enumerate(wav.split(1920, -1)):
        if index == 37:
            state.reset(torch.tensor([False, True]))
        codes.append(mimi.encode_latent(frame, state))
    streamed = torch.cat(codes, -1)
    close(streamed[:1], mimi.encode_latent(wav[:1]))
    close(streamed[1:, :, :37], mimi.encode_latent(wav[1:, :, : 37 * 1920]))
    close(streamed[1:, :, 37:], mimi.encode_latent(wav[1:, :, 37 * 1920 :]))
