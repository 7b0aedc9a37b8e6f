"""Learning codebooks: k-means, moving averages, revival, and the gradient that passes a quantizer by."""

import copy

import pytest
import torch
from conftest import close

from moshi_ref.rvq import ResidualVectorQuantizer, SplitResidualVectorQuantizer, VectorQuantizer
from moshi_ref.training.codebooks import kmeans, quantize, quantize_plain, quantize_split, start, update

CENTRES = torch.tensor([[10.0, 10.0], [10.0, -10.0], [-10.0, 10.0], [-10.0, -10.0]])


def clusters(each: int = 100) -> torch.Tensor:
    """(4 * each, 2), cluster after cluster, well separated."""
    return CENTRES.repeat_interleave(each, 0) + 0.2 * torch.randn(4 * each, 2)


def started_stack(codebooks: int = 3) -> ResidualVectorQuantizer:
    """Codebooks that look as if they had been started, each finer than the one before."""
    stack = ResidualVectorQuantizer(6, 4, codebooks, entries=16)
    for level, quantizer in enumerate(stack.codebooks):
        quantizer.initialized.fill_(1)
        quantizer.sums.mul_(0.5**level)
    return stack


def test_kmeans_finds_well_separated_clusters():
    vectors = clusters()
    centres, sizes = kmeans(vectors, 32)
    assert centres.shape == (32, 2) and sizes.sum() == 400
    distance = torch.cdist(centres, CENTRES)  # (32, 4)
    assert distance.amin(1).max() < 1  # no centre lies between the clusters
    for cluster in range(4):
        assert sizes[distance.argmin(1) == cluster].sum() == 100
    assert torch.cdist(vectors, centres).amin(1).mean() < 0.15  # several centres share a cluster


def test_kmeans_with_fewer_vectors_than_centres():
    centres, _ = kmeans(CENTRES, 64)
    assert torch.cdist(CENTRES, centres).amin(1).max() == 0


def test_a_codebook_starts_from_kmeans():
    quantizer, vectors = VectorQuantizer(32, 2), clusters()
    start(quantizer, vectors)
    assert quantizer.initialized == 1
    assert (quantizer.decode(quantizer.encode(vectors[None]))[0] - vectors).norm(dim=1).mean() < 0.15
    assert quantizer.usage.sum() == pytest.approx(400, abs=31)  # an entry without vectors counts as one


def test_moving_averages_end_at_the_means():
    quantizer, vectors = VectorQuantizer(4, 2), clusters()
    quantizer.sums.copy_(CENTRES * 0.7)
    for _ in range(1200):
        update(quantizer, vectors, quantizer.encode(vectors[None])[0])
    close(quantizer.entries, vectors.view(4, 100, 2).mean(1), 1e-4)
    close(quantizer.usage, torch.full((4,), 100.0), 1e-2)


def test_one_update_moves_an_entry_by_a_hundredth():
    quantizer = VectorQuantizer(2, 1)
    quantizer.sums.copy_(torch.tensor([[1.0], [5.0]]))
    update(quantizer, torch.tensor([[2.0], [4.0]]), torch.tensor([0, 0]))
    close(quantizer.usage, torch.tensor([0.99 + 0.01 * 2, 0.99]))
    close(quantizer.sums, torch.tensor([[0.99 * 1 + 0.01 * 6], [0.99 * 5]]))


def test_dead_entries_get_a_new_life():
    quantizer, vectors = VectorQuantizer(8, 2), clusters()
    quantizer.sums.copy_(torch.cat([CENTRES, CENTRES * 100]))  # the last four are near nothing
    for _ in range(300):
        codes = quantizer.encode(vectors[None])[0]
        update(quantizer, vectors, codes)
    assert torch.cdist(quantizer.entries, CENTRES).amin(1).max() < 2
    assert quantizer.encode(vectors[None]).unique().tolist() == list(range(8))


def test_a_living_codebook_is_left_alone():
    quantizer, vectors = VectorQuantizer(4, 2), clusters()
    quantizer.sums.copy_(CENTRES)
    codes = quantizer.encode(vectors[None])[0]
    update(quantizer, vectors, codes)
    expected = (0.99 * CENTRES + 0.01 * vectors.view(4, 100, 2).sum(1)) / (0.99 + 0.01 * 100)
    close(quantizer.entries, expected)


# --- A stack of codebooks in training -------------------------------------------------------------


def test_codes_are_those_of_the_quantizer_itself():
    stack, latent = started_stack(), torch.randn(2, 6, 9)
    expected = stack.encode(latent, 3)
    assert torch.equal(quantize(stack, latent, torch.tensor([3, 1]))[2], expected)


def test_dropout_keeps_the_first_codebooks():
    stack, latent = started_stack(), torch.randn(4, 6, 9)
    before = copy.deepcopy(stack)
    out, _, codes = quantize(stack, latent, torch.tensor([3, 2, 1, 0]))
    for row, used in enumerate([3, 2, 1]):
        close(out[row : row + 1], before.decode(codes[row : row + 1, :used]))
    close(out[3], torch.zeros(6, 9))


def test_all_codebooks_learn_whatever_is_dropped():
    stack, latent = started_stack(), torch.randn(2, 6, 9)
    before = copy.deepcopy(stack)
    quantize(stack, latent, torch.tensor([1, 1]))
    for quantizer, old in zip(stack.codebooks, before.codebooks, strict=True):
        assert not torch.equal(quantizer.entries, old.entries)


def test_the_gradient_passes_as_if_nothing_were_quantized():
    stack, latent = started_stack(), torch.randn(2, 6, 9)
    weight = torch.randn(2, 6, 9)
    gradients = []
    for function in (
        lambda x: quantize(stack, x, torch.tensor([3, 1]))[0],
        lambda x: stack.output_proj(stack.input_proj(x)),
    ):
        x = latent.clone().requires_grad_()
        (function(x) * weight).sum().backward()
        gradients.append(x.grad)
    close(*gradients)


def test_commitment_pulls_towards_the_entries():
    stack, latent = started_stack(1), torch.randn(1, 6, 9)
    x = stack.input_proj(latent)  # (1, 4, 9)
    entry = stack.codebooks[0].decode(stack.encode(latent, 1)[:, 0]).transpose(1, 2)
    latent.requires_grad_()
    _, commitment, _ = quantize(stack, latent, torch.tensor([1]))
    close(commitment, (x - entry).square().mean())
    commitment.backward()
    towards = stack.input_proj(-latent.grad) * (entry - x)  # the way of a gradient step, and the way there
    assert towards.sum() > 0


def test_commitment_falls_as_the_entries_approach():
    stack, latent = started_stack(), torch.randn(4, 6, 40)
    commitments = [quantize(stack, latent, torch.full((4,), 3))[1].item() for _ in range(300)]
    assert commitments[-1] < 0.5 * commitments[0]


def test_the_first_call_starts_every_codebook():
    stack, latent = ResidualVectorQuantizer(6, 4, 3, entries=16), torch.randn(4, 6, 40)
    random_entries = copy.deepcopy(stack)
    for quantizer in random_entries.codebooks:
        quantizer.initialized.fill_(1)
    used = torch.full((4,), 3)
    assert quantize(stack, latent, used)[1] < 0.5 * quantize(random_entries, latent, used)[1]
    assert all(quantizer.initialized == 1 for quantizer in stack.codebooks)


def test_both_halves_together():
    split, latent = SplitResidualVectorQuantizer(6, 4, 4, entries=16), torch.randn(3, 6, 20)
    quantize_split(split, latent, torch.tensor([4, 4, 4]))  # starts the codebooks
    before = copy.deepcopy(split)
    whole, semantic, commitment, codes = quantize_split(split, latent, torch.tensor([4, 2, 1]))
    assert torch.equal(codes, before.encode(latent, 4)) and commitment.ndim == 0
    for row, used in enumerate([4, 2, 1]):
        close(whole[row : row + 1], before.decode(codes[row : row + 1, :used]))
    close(semantic, before.decode(codes[:, :1]))


def test_without_the_split_the_first_codebook_alone_is_the_semantic_part():
    stack, latent = started_stack(), torch.randn(2, 6, 5, requires_grad=True)
    whole, semantic, _, codes = quantize_plain(stack, latent, torch.tensor([3, 3]))
    assert codes.shape == (2, 3, 5)
    first = stack.output_proj(stack.codebooks[0].decode(codes[:, 0]).transpose(1, 2))
    close(semantic, first)
    assert not torch.allclose(whole, semantic)
    semantic.sum().backward()
    assert latent.grad.abs().sum() > 0 and stack.input_proj.weight.grad.abs().sum() > 0
