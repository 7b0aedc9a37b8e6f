"""Mimi, the codec."""

from dataclasses import replace

import pytest
import torch
from conftest import chunkings, close, tiny_mimi, without_gradient

from moshi_ref.mimi import Mimi, MimiConfig
from moshi_ref.training.codebooks import quantize_split


@pytest.fixture
def mimi() -> Mimi:
    return Mimi(tiny_mimi())


@pytest.mark.parametrize("config", [MimiConfig.kyutai(), MimiConfig.tiny(), tiny_mimi()])
def test_a_frame_is_1920_samples_80_milliseconds(config):
    assert config.sample_rate == 24_000
    assert config.frame_size == 1920
    assert config.frame_rate == 12.5


def test_bits_per_second():
    assert MimiConfig.kyutai().bits_per_second == 1100  # 8 codebooks of 11 bits
    assert MimiConfig.tiny().bits_per_second == 900  # 8 codebooks of 9 bits
    assert tiny_mimi().bits_per_second == 3 * 4 * 12.5


def test_the_released_model_has_the_released_size():
    with torch.device("meta"):
        mimi = Mimi(MimiConfig.kyutai())
    assert {name: sum(p.numel() for p in part.parameters()) for name, part in mimi.named_children()} == {
        "encoder": 12_628_256,
        "encoder_transformer": 25_190_400,
        "downsample": 1_048_576,
        "quantizer": 524_288,
        "upsample": 2_048,
        "decoder_transformer": 25_190_400,
        "decoder": 14_724_641,
    }
    assert sum(p.numel() for p in mimi.parameters()) == 79_308_609
    assert sum(b.numel() for b in mimi.buffers()) == 16_842_784  # the codebooks


@torch.no_grad()
@pytest.mark.parametrize("samples, frames", [(1, 1), (1919, 1), (1920, 1), (1921, 2), (24_000, 13)])
def test_sizes(mimi, samples, frames):
    wav = torch.randn(2, 1, samples)
    codes = mimi.encode(wav)
    assert codes.shape == (2, 3, frames) and codes.dtype == torch.int64
    assert codes.min() >= 0 and codes.max() < 16
    assert mimi.decode(codes).shape == (2, 1, frames * 1920)
    assert mimi(wav).shape == wav.shape


@torch.no_grad()
def test_forward_is_encode_and_decode_cut_to_length(mimi):
    wav = torch.randn(1, 1, 3000)
    assert torch.equal(mimi(wav), mimi.decode(mimi.encode(wav))[..., :3000])


@torch.no_grad()
def test_missing_samples_are_zeros(mimi):
    wav = torch.randn(1, 1, 3000)
    padded = torch.cat([wav, torch.zeros(1, 1, 840)], dim=-1)
    assert torch.equal(mimi.encode(wav), mimi.encode(padded))


@torch.no_grad()
def test_one_can_ask_for_fewer_or_more_codebooks(mimi):
    wav = torch.randn(1, 1, 9600)
    most = mimi.encode(wav, codebooks=4)
    for used in (1, 2, 3, 4):
        codes = mimi.encode(wav, codebooks=used)
        assert torch.equal(codes, most[:, :used])
        assert mimi.decode(codes).shape == wav.shape
    assert torch.equal(mimi.encode(wav), most[:, :3])


@torch.no_grad()
@pytest.mark.parametrize("layers", [0, 2])
def test_codes_and_sound_are_the_same_in_a_stream(layers):
    """Both directions with one state, one frame in, one frame out: nothing else is waited for. Without Transformers
    too."""
    mimi = Mimi(replace(tiny_mimi(), transformer=replace(tiny_mimi().transformer, layers=layers)))
    wav = torch.randn(2, 1, 50 * 1920)
    codes = mimi.encode(wav)
    sound = mimi.decode(codes)
    for sizes in chunkings(50)[:2]:
        state, codes_out, sound_out = mimi.initial_state(2), [], []
        for piece in wav.split([1920 * size for size in sizes], -1):
            codes_out.append(mimi.encode(piece, state))
            sound_out.append(mimi.decode(codes_out[-1], state))
            assert sound_out[-1].shape == piece.shape
        assert torch.equal(torch.cat(codes_out, -1), codes)
        close(torch.cat(sound_out, -1), sound)


@torch.no_grad()
def test_downsampling_repeats_the_first_step_before_the_sound(mimi):
    """A constant latent stays constant from its first frame on."""
    frames = mimi.downsample(torch.randn(1, 32, 1).expand(1, 32, 8))  # (1, 32, 4)
    close(frames, frames[..., -1:].expand(1, 32, 4))


@torch.no_grad()
def test_the_kernel_of_upsampling_belongs_to_each_channel(mimi):
    """One filter a channel: disturbing channel 0 of the latent leaves the others at 25 Hz alone."""
    latent = torch.randn(1, 32, 4)
    disturbed = latent.clone()
    disturbed[:, 0] += 1
    changed = (mimi.upsample(disturbed) != mimi.upsample(latent)).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == [0]


def test_gradients_reach_every_parameter(mimi):
    """Through the quantizer straight, as in training."""
    latent = mimi.encode_latent(torch.randn(2, 1, 4 * 1920))
    quantized, _, commitment, codes = quantize_split(mimi.quantizer, latent, torch.tensor([4, 2]))
    assert codes.shape == (2, 4, 4)
    (mimi.decode_latent(quantized).square().mean() + commitment).backward()
    assert without_gradient(mimi) == []


def test_the_autoencoder_learns_one_sound(mimi):
    time = torch.arange(2 * 1920) / 24_000
    wav = torch.stack([(440 * pitch * time).sin() for pitch in (1.0, 2.5)])[:, None]  # (2, 1, T)
    optimizer = torch.optim.Adam(mimi.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = (mimi.decode_latent(mimi.encode_latent(wav)) - wav).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10
    assert losses[-1] < wav.square().mean() / 10  # much better than silence


@pytest.mark.parametrize("wav, named", [
    (torch.zeros(1920), r"float32 \(1920,\)"),
    (torch.zeros(1, 1920), r"float32 \(1, 1920\)"),
    (torch.zeros(1, 2, 1920), r"float32 \(1, 2, 1920\)"),
    (torch.zeros(1, 1, 1920, dtype=torch.int16), r"int16 \(1, 1, 1920\)"),
    (torch.zeros(1, 1, 0), "without samples"),
    (torch.full((1, 1, 1920), torch.nan), "NaN"),
    (torch.full((1, 1, 1920), -torch.inf), "infinite"),
], ids=["1 dimension", "2 dimensions", "stereo", "integers", "empty", "NaN", "infinite"])  # fmt: skip
@pytest.mark.parametrize("streamed", [False, True])
def test_a_sound_that_is_none_is_refused(mimi, wav, named, streamed):
    with pytest.raises(ValueError, match=named):
        mimi.encode(wav, mimi.initial_state(1) if streamed else None)


@pytest.mark.parametrize("samples", [1, 1919, 1921])
def test_a_stream_takes_whole_frames_only(mimi, samples):
    with pytest.raises(ValueError, match=f"frames of 1920 samples, got {samples}"):
        mimi.encode(torch.zeros(1, 1, samples), mimi.initial_state(1))


@pytest.mark.parametrize("codebooks", [-1, 0, 5])
def test_a_number_of_codebooks_that_do_not_exist_is_refused(mimi, codebooks):
    with pytest.raises(ValueError, match=f"1 to 4 codebooks, got {codebooks}"):
        mimi.encode(torch.zeros(1, 1, 1920), codebooks=codebooks)


@pytest.mark.parametrize("codes, named", [
    (torch.zeros(3, 2, dtype=torch.long), r"\(3, 2\)"),
    (torch.zeros(1, 5, 2, dtype=torch.long), r"\(1, 5, 2\)"),
    (torch.zeros(1, 0, 2, dtype=torch.long), r"\(1, 0, 2\)"),
    (torch.zeros(1, 3, 0, dtype=torch.long), r"\(1, 3, 0\)"),
    (torch.full((1, 3, 2), 16), "got 16"),
    (torch.full((1, 3, 2), -1), "got -1"),
    (torch.zeros(1, 3, 2), "float32"),
], ids=["2 dimensions", "5 books", "no book", "no frame", "too large", "negative", "floats"])  # fmt: skip
def test_codes_that_are_none_are_refused(mimi, codes, named):
    with pytest.raises(ValueError, match=named):
        mimi.decode(codes)


def test_without_the_split_there_is_one_residual_stack():
    mimi, wav = Mimi(replace(tiny_mimi(), split=False)), 0.1 * torch.randn(2, 1, 4 * 1920)
    codes = mimi.encode(wav, codebooks=4)
    assert codes.shape == (2, 4, 4) and mimi.decode(codes).shape == wav.shape
    assert torch.equal(mimi.encode(wav, codebooks=2), codes[:, :2])
    assert len(mimi.quantizer.codebooks) == 4
