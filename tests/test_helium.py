"""Helium, the text language model."""

import pytest
import torch
import torch.nn.functional as F
from conftest import tiny_helium, without_gradient

from moshi_ref.helium import Helium, HeliumConfig
from moshi_ref.tokenizer import BOS


@pytest.fixture
def helium() -> Helium:
    return Helium(tiny_helium())


@pytest.mark.parametrize("config, vocabulary, dim, layers, hidden", [
    (HeliumConfig.kyutai_7b(), 32_000, 4096, 32, 11_264),
    (HeliumConfig.kyutai_2b(), 48_000, 2560, 24, 7_040),
    (HeliumConfig.tiny(300), 300, 256, 4, 704),
], ids=["7b", "2b", "tiny"])  # fmt: skip
def test_parameters_of_the_presets(config, vocabulary, dim, layers, hidden):
    attention, mlp, norms = 4 * dim**2, 3 * dim * hidden, 2 * dim
    expected = 2 * vocabulary * dim + layers * (attention + mlp + norms) + dim
    with torch.device("meta"):
        model = Helium(config)
    assert sum(p.numel() for p in model.parameters()) == expected
    assert model.head.weight is not model.embedding.weight  # not tied


def test_logits_have_one_row_a_token(helium):
    assert helium(torch.zeros(2, 7, dtype=torch.long)).shape == (2, 7, 40)


def test_gradients_reach_every_parameter(helium):
    tokens = torch.randint(40, (2, 9))
    F.cross_entropy(helium(tokens).flatten(0, 1), tokens.flatten()).backward()
    assert without_gradient(helium) == []


def test_it_learns_two_sentences_by_heart(helium):
    """The context (5) is shorter than the sentences, but long enough to know what comes next."""
    tokens = torch.stack([torch.randperm(20), 20 + torch.randperm(20)])  # (2, 20), no token twice
    optimizer = torch.optim.Adam(helium.parameters(), lr=1e-2)
    for _ in range(60):
        loss = F.cross_entropy(helium(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    assert torch.equal(helium.generate(tokens[:, :1], 19, temperature=0.0), tokens)


def greedy(helium: Helium, tokens: torch.Tensor, length: int) -> torch.Tensor:
    """Continue with the likeliest token, computing everything anew at each step."""
    for _ in range(length):
        tokens = torch.cat([tokens, helium(tokens)[:, -1:].argmax(-1)], dim=1)
    return tokens


@pytest.mark.parametrize("prompt_length", [1, 3, 50])
def test_generation_equals_the_argmax_of_whole_sequences(helium, prompt_length):
    """Also with prompts longer than one chunk and texts longer than the context."""
    prompt = torch.randint(40, (2, prompt_length))
    assert torch.equal(helium.generate(prompt, 12, temperature=0.0), greedy(helium, prompt, 12))


def test_an_empty_prompt_starts_from_bos_and_does_not_return_it(helium):
    empty, bos = torch.empty(2, 0, dtype=torch.long), torch.full((2, 1), BOS)
    assert torch.equal(helium.generate(empty, 6, temperature=0.0), greedy(helium, bos, 6)[:, 1:])


def test_generation_repeats_with_the_same_seed(helium):
    prompt = torch.zeros(2, 1, dtype=torch.long)
    first, again, other = (
        helium.generate(prompt, 20, 1.0, 25, torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert first.shape == (2, 21)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(helium.generate(prompt, 0), prompt)


@pytest.mark.parametrize("token", [-1, 40])
def test_a_token_outside_the_vocabulary_is_refused(helium, token):
    with pytest.raises(ValueError, match=f"0 to 39, got .*{token}"):
        helium(torch.tensor([[0, token]]) if token > 0 else torch.tensor([[token, 0]]))
