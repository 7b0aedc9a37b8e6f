"""The convolutions of Mimi, and the encoder and decoder built of them."""

import pytest
import torch
import torch.nn.functional as F
from conftest import close, tiny_mimi, without_gradient
from torch import nn

from moshi_ref.mimi import MimiConfig
from moshi_ref.seanet import (
    ELU,
    ResidualBlock,
    SEANetConfig,
    SEANetDecoder,
    SEANetEncoder,
    StreamingConv1d,
    StreamingConvTranspose1d,
    convolve,
    convolve_transposed,
)

# --- convolution ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel, stride", [(7, 1), (3, 1), (1, 1), (8, 4), (16, 8), (4, 2)])
def test_kernel_minus_stride_zeros_stand_on_the_left(kernel, stride):
    conv, x = StreamingConv1d(3, 5, kernel, stride), torch.randn(2, 3, 6 * stride)
    nn.init.normal_(conv.bias)
    out = conv(x)
    assert out.shape == (2, 5, 6)
    close(out, F.conv1d(F.pad(x, (kernel - stride, 0)), conv.weight, conv.bias, stride))


def test_replicate_puts_copies_of_the_first_step_on_the_left():
    conv, x = StreamingConv1d(3, 5, 7, stride=2, replicate=True), torch.randn(2, 3, 8)
    padded = torch.cat([x[..., :1]] * 5 + [x], dim=-1)
    close(conv(x), F.conv1d(padded, conv.weight, conv.bias, 2))


def test_replicate_has_no_click_at_the_start_of_a_constant():
    conv = StreamingConv1d(1, 1, 4, stride=2, replicate=True, bias=False)
    out = conv(torch.ones(1, 1, 12))
    close(out, conv.weight.sum().expand(1, 1, 6))


@pytest.mark.parametrize("steps", [0, 1, 7])
@pytest.mark.parametrize("streamed", [False, True])
def test_steps_must_be_a_positive_multiple_of_the_stride(steps, streamed):
    conv = StreamingConv1d(3, 5, 6, stride=3)
    with pytest.raises(ValueError, match=f"multiple of 3 .*got {steps}"):
        conv(torch.randn(1, 3, steps), conv.initial_state(1) if streamed else None)


def test_a_convolution_remembers_kernel_minus_stride_samples():
    conv, x = StreamingConv1d(2, 5, 6, stride=2), torch.randn(3, 2, 10)
    state = conv.initial_state(3)
    assert state.previous.shape == (3, 2, 4)
    conv(x, state)
    assert torch.equal(state.previous, x[..., -4:]) and state.started.all()


# --- transposed convolution -----------------------------------------------------------------------------


@pytest.mark.parametrize("channels, groups", [((4, 6), 1), ((4, 4), 4), ((4, 6), 2)])
@pytest.mark.parametrize("kernel, stride", [(8, 4), (4, 2), (5, 3), (2, 2)])
def test_the_unfinished_end_of_a_transposed_convolution_is_cut(channels, groups, kernel, stride):
    conv = StreamingConvTranspose1d(*channels, kernel, stride, groups)
    x = torch.randn(2, 4, 5)
    nn.init.normal_(conv.bias)
    full = F.conv_transpose1d(x, conv.weight, conv.bias, stride, groups=groups)  # (2, C, 4 * stride + kernel)
    assert full.shape[-1] == 4 * stride + kernel
    assert conv(x).shape == (2, channels[1], 5 * stride)
    close(conv(x), full[..., : 5 * stride])


@pytest.mark.parametrize("conv", [StreamingConv1d(2, 3, 4), StreamingConvTranspose1d(2, 3, 4, stride=2)])
def test_the_bias_is_added_once_at_seams(conv):
    nn.init.constant_(conv.bias, 0.5)
    state = conv.initial_state(1)
    for _ in range(3):
        assert (conv(torch.zeros(1, 2, 1), state) == 0.5).all()


# --- blocks, encoder, decoder ---------------------------------------------------------------------------


def test_elu_is_the_formula():
    x = torch.randn(100)
    close(ELU()(x), torch.where(x > 0, x, x.exp() - 1))


def test_a_residual_block_adds_its_branch():
    block, x = ResidualBlock(4, 3), torch.randn(2, 4, 9)
    first, last = block.branch[1], block.branch[3]
    narrow = F.conv1d(F.pad(F.elu(x), (2, 0)), first.weight, first.bias)
    assert narrow.shape == (2, 2, 9)
    close(block(x), x + F.conv1d(F.elu(narrow), last.weight, last.bias))


def test_the_layers_are_those_of_the_released_model():
    """Shapes of the weights: (out, in, kernel); of the transposed convolutions: (in, out, kernel)."""
    def shapes(chain):
        return [tuple(p.shape) for n, p in chain.named_parameters() if n.endswith("weight")]

    with torch.device("meta"):
        encoder, decoder = (part(MimiConfig.kyutai().seanet) for part in (SEANetEncoder, SEANetDecoder))
    assert shapes(encoder) == [
        (64, 1, 7),
        (32, 64, 3), (64, 32, 1), (128, 64, 8),
        (64, 128, 3), (128, 64, 1), (256, 128, 10),
        (128, 256, 3), (256, 128, 1), (512, 256, 12),
        (256, 512, 3), (512, 256, 1), (1024, 512, 16),
        (512, 1024, 3),
    ]  # fmt: skip
    assert shapes(decoder) == [
        (1024, 512, 7),
        (1024, 512, 16), (256, 512, 3), (512, 256, 1),
        (512, 256, 12), (128, 256, 3), (256, 128, 1),
        (256, 128, 10), (64, 128, 3), (128, 64, 1),
        (128, 64, 8), (32, 64, 3), (64, 32, 1),
        (1, 64, 3),
    ]  # fmt: skip


def test_the_encoder_shortens_by_the_hop_and_the_decoder_undoes_it():
    config = SEANetConfig(dim=6, filters=2, ratios=(3, 2))
    assert config.hop == 6 and tiny_mimi().seanet.hop == 960
    latent = SEANetEncoder(config)(torch.randn(2, 1, 60))
    assert latent.shape == (2, 6, 10)
    assert SEANetDecoder(config)(latent).shape == (2, 1, 60)


def test_gradients_reach_every_parameter():
    config = SEANetConfig(dim=6, filters=4, ratios=(3, 2))
    pair = nn.Sequential(SEANetEncoder(config), SEANetDecoder(config))
    pair(torch.randn(2, 1, 60)).square().sum().backward()
    assert without_gradient(pair) == []


# --- Short pieces as matrix products --------------------------------------------------------------------------


@pytest.mark.parametrize("kernel, stride", [(7, 1), (3, 1), (1, 1), (4, 2), (16, 8)])
@pytest.mark.parametrize("steps", [1, 2, 600])  # outputs: below and above SHORT
def test_a_convolution_is_the_librarys(kernel, stride, steps):
    x, weight, bias = torch.randn(2, 5, kernel + (steps - 1) * stride), torch.randn(6, 5, kernel), torch.randn(6)
    close(convolve(x, weight, bias, stride), F.conv1d(x, weight, bias, stride))
    close(convolve(x, weight, None, stride), F.conv1d(x, weight, None, stride))


@pytest.mark.parametrize("stride", [2, 5, 8])
@pytest.mark.parametrize("steps", [1, 2, 600])
def test_a_transposed_convolution_is_the_librarys(stride, steps):
    x, weight = torch.randn(2, 6, steps), torch.randn(6, 5, 2 * stride)
    close(convolve_transposed(x, weight, stride, 1), F.conv_transpose1d(x, weight, None, stride))
    each = torch.randn(6, 1, 2 * stride)
    close(convolve_transposed(x, each, stride, 6), F.conv_transpose1d(x, each, None, stride, groups=6))


def test_a_stream_lays_the_weight_out_and_changes_nothing():
    conv, x = StreamingConvTranspose1d(6, 4, 8, stride=4), torch.randn(2, 6, 7)
    weight, whole = conv.weight.detach().clone(), conv(x)
    with torch.inference_mode():
        conv.initial_state(2)
    assert torch.equal(conv.weight, weight) and conv.weight.permute(1, 2, 0).is_contiguous()
    close(conv(x), whole)
    conv(x).sum().backward()
    assert conv.weight.grad.shape == weight.shape
