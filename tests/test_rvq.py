"""Vector quantization: one codebook, a residual stack, and Mimi's split."""

import copy

import pytest
import torch
from conftest import close

from moshi_ref.rvq import ResidualVectorQuantizer, SplitResidualVectorQuantizer, VectorQuantizer
from moshi_ref.training import codebooks as training


def test_encode_gives_the_nearest_entry():
    quantizer, x = VectorQuantizer(30, 4), torch.randn(2, 50, 4)
    distance = (x[:, :, None] - quantizer.entries).square().sum(-1)  # (2, 50, 30)
    assert torch.equal(quantizer.encode(x), distance.argmin(-1))


def test_an_entry_is_its_sum_divided_by_its_usage():
    quantizer = VectorQuantizer(3, 2)
    quantizer.sums.copy_(torch.tensor([[2.0, 4.0], [3.0, 3.0], [1.0, 0.0]]))
    quantizer.usage.copy_(torch.tensor([2.0, 3.0, 0.0]))
    close(quantizer.entries, torch.tensor([[1.0, 2.0], [1.0, 1.0], [1e5, 0.0]]))  # unused: no division by 0


def test_entries_survive_exactly():
    quantizer = VectorQuantizer(30, 4)
    quantizer.usage.uniform_(0.5, 5)
    codes = torch.randint(30, (2, 7))
    entries = quantizer.decode(codes)
    assert entries.shape == (2, 7, 4)
    assert torch.equal(quantizer.encode(entries), codes)
    assert torch.equal(quantizer.decode(quantizer.encode(entries)), entries)


def residual_by_hand(stack: ResidualVectorQuantizer, latent: torch.Tensor) -> tuple[list, torch.Tensor]:
    """Codes of one latent vector (D,), and what is left over."""
    rest, codes = stack.input_proj.weight[:, :, 0] @ latent, []
    for quantizer in stack.codebooks:
        codes.append(int((quantizer.entries - rest).norm(dim=-1).argmin()))
        rest = rest - quantizer.entries[codes[-1]]
    return codes, rest


@torch.no_grad()
def test_each_codebook_quantizes_what_the_one_before_left_over():
    stack, latent = ResidualVectorQuantizer(6, 4, codebooks=3, entries=20), torch.randn(1, 6, 5)
    codes = stack.encode(latent, 3)
    assert codes.shape == (1, 3, 5)
    for frame in range(5):
        by_hand, rest = residual_by_hand(stack, latent[0, :, frame])
        assert codes[0, :, frame].tolist() == by_hand
        # The sum of the entries is the projected input without the rest.
        inside = stack.input_proj.weight[:, :, 0] @ latent[0, :, frame] - rest
        close(stack.decode(codes)[0, :, frame], stack.output_proj.weight[:, :, 0] @ inside)


@torch.no_grad()
def test_after_kmeans_every_further_codebook_lowers_the_error():
    stack, latent = ResidualVectorQuantizer(4, 4, codebooks=4, entries=16), torch.randn(4, 4, 200)
    for projection in (stack.input_proj, stack.output_proj):
        projection.weight.copy_(torch.eye(4)[:, :, None])
    rest = latent.transpose(1, 2)
    for quantizer in stack.codebooks:
        training.start(quantizer, rest.flatten(0, 1))
        rest = rest - quantizer.decode(quantizer.encode(rest))
    errors = [latent.square().mean()] + [
        (latent - stack.decode(stack.encode(latent, used))).square().mean() for used in (1, 2, 3, 4)
    ]
    for before, after in zip(errors, errors[1:], strict=False):
        assert after < 0.7 * before
    assert all(quantizer.initialized == 1 for quantizer in stack.codebooks)


@pytest.fixture
def split() -> SplitResidualVectorQuantizer:
    return SplitResidualVectorQuantizer(6, 4, codebooks=4, entries=20)


@torch.no_grad()
def test_both_halves_quantize_the_same_latent(split):
    """The acoustic half does not see what the semantic codebook left over; their outputs are added."""
    latent = torch.randn(2, 6, 9)
    codes = split.encode(latent, 4)
    assert codes.shape == (2, 4, 9) and codes.dtype == torch.int64
    assert torch.equal(codes[:, :1], split.semantic.encode(latent, 1))
    assert torch.equal(codes[:, 1:], split.acoustic.encode(latent, 3))
    close(split.decode(codes), split.semantic.decode(codes[:, :1]) + split.acoustic.decode(codes[:, 1:]))


@torch.no_grad()
def test_another_semantic_codebook_leaves_the_acoustic_codes_alone(split):
    latent = torch.randn(2, 6, 9)
    before = split.encode(latent, 4)
    split.semantic.codebooks[0].sums.normal_()
    after = split.encode(latent, 4)
    assert torch.equal(after[:, 1:], before[:, 1:]) and not torch.equal(after[:, 0], before[:, 0])


@torch.no_grad()
def test_fewer_codebooks_are_a_prefix_of_more(split):
    latent = torch.randn(2, 6, 9)
    codes = split.encode(latent, 4)
    for used in (1, 2, 3):
        assert torch.equal(split.encode(latent, used), codes[:, :used])
        assert split.decode(codes[:, :used]).shape == latent.shape


def test_the_table_follows_its_sums_and_counts():
    """It is kept between calls, but never a stale one: not after writing, moving, loading or copying."""
    quantizer, x = VectorQuantizer(40, 8), torch.randn(2, 3, 8)

    def check() -> None:
        expected = quantizer.sums / quantizer.usage[:, None]
        close(quantizer.entries, expected)
        assert torch.equal(quantizer.encode(x), torch.cdist(x, expected[None].expand(2, -1, -1)).argmin(-1))

    check()
    assert quantizer.entries is quantizer.entries
    for _ in range(300):
        quantizer.sums.mul_(1.01)
    check()
    quantizer.usage.fill_(2.0)
    check()
    quantizer.load_state_dict(VectorQuantizer(40, 8).state_dict())
    check()
    quantizer.to(torch.bfloat16).to(torch.float32)  # back in the same type, but rounded
    check()
    quantizer = copy.deepcopy(quantizer)
    with torch.inference_mode():
        quantizer.sums.neg_()
        check()


def test_a_quantizer_may_be_made_for_inference():
    with torch.inference_mode():
        quantizer = VectorQuantizer(40, 8)
        assert quantizer.encode(quantizer.entries[None]).tolist() == [list(range(40))]


def test_half_precision_finds_the_nearest_entry_too():
    """Its weights are rounded, but distances are not: large entries that lie close together stay apart."""
    quantizer = VectorQuantizer(64, 8)
    quantizer.sums.add_(30.0)
    quantizer.to(torch.bfloat16)
    entries = quantizer.decode(torch.arange(64)[None])
    assert entries.dtype == torch.bfloat16
    assert quantizer.encode(entries).tolist() == [list(range(64))]
