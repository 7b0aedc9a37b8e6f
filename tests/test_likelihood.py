"""Likelihoods of continuations and bits per byte, with models whose likelihoods are known."""

import math

import pytest
import torch
from conftest import SENTENCES, close, tiny_transformer

from moshi_ref.evaluation.likelihood import (
    BitsPerByte,
    bits_per_byte,
    likelihoods,
    longest_rows,
    split_tokens,
    uniform_bits_per_byte,
    unigram_bits_per_byte,
)
from moshi_ref.helium import Helium, HeliumConfig
from moshi_ref.tokenizer import BOS

PAIRS = [
    ("what is seven plus five?", " seven plus five is twelve."),
    ("what is seven plus five?", " seven plus five is three."),
    ("what is", " seven"),
    ("", " hello there, how are you today?"),
    ("repeat after me:", " one, two, three, four, five"),
]


class Bigrams:
    """The next token depends on the last one alone, by a table (V, V). Remembers the batches that it was asked."""

    def __init__(self, vocabulary: int, seed: int = 0):
        self.table = torch.randn(vocabulary, vocabulary, generator=torch.Generator().manual_seed(seed))
        self.shapes = []

    def __call__(self, tokens):
        self.shapes.append(tuple(tokens.shape))
        return self.table[tokens]


@torch.no_grad()
def by_hand(model, tokenizer, context, continuation) -> float:
    """The definition, one token at a time, without batches, padding or shared rows."""
    tokens = [BOS, *tokenizer.encode(context + continuation)]
    total = 0.0
    for i in range(1 + len(tokenizer.encode(context)), len(tokens)):
        total += float(model(torch.tensor([tokens[:i]]))[0, -1].log_softmax(-1)[tokens[i]])
    return total


@pytest.fixture
def helium(tokenizer):
    return Helium(HeliumConfig(tiny_transformer(context=64), vocabulary=len(tokenizer))).eval()


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_bigrams(tokenizer, batch_size):
    model = Bigrams(len(tokenizer))
    found = likelihoods(model, tokenizer, PAIRS, batch_size)
    for each, pair in zip(found, PAIRS, strict=True):
        assert each.log_likelihood == pytest.approx(by_hand(model, tokenizer, *pair), abs=1e-4)


def test_helium(tokenizer, helium):
    for each, pair in zip(likelihoods(helium, tokenizer, PAIRS), PAIRS, strict=True):
        assert each.log_likelihood == pytest.approx(by_hand(helium, tokenizer, *pair), abs=1e-4)


def test_a_uniform_model(tokenizer):
    def uniform(tokens):
        return torch.zeros(*tokens.shape, len(tokenizer))

    (each,) = likelihoods(uniform, tokenizer, PAIRS[:1])
    count = len(tokenizer.encode(PAIRS[0][1]))
    assert each.log_likelihood == pytest.approx(-count * math.log(len(tokenizer)))


def test_greedy_is_what_generation_writes(tokenizer, helium):
    """A continuation counts as greedy if and only if `generate` without chance writes it."""
    prompt = [BOS, *tokenizer.encode("what is")]
    written = helium.generate(torch.tensor([prompt]), 6, temperature=0)[0, len(prompt) :].tolist()
    right = [BOS, *tokenizer.encode("what is seven")]

    def steered(tokens):
        """Prefers the beginning of one sentence, whatever Helium thinks."""
        logits = helium(tokens)
        for t, token in enumerate(right[1:]):
            logits[:, t, token] += 100
        return logits

    assert [each.greedy for each in likelihoods(steered, tokenizer, [("what is", " seven"), ("what is", " five")])] == [
        True, False
    ]  # fmt: skip
    text = tokenizer.decode(written)
    if tokenizer.encode("what is" + text) == prompt[1:] + written:  # the text of the tokens may have other tokens
        assert likelihoods(helium, tokenizer, [("what is", text)])[0].greedy
    assert not likelihoods(helium, tokenizer, [("what is", " twelve plus five")])[0].greedy


def test_choices_that_differ_in_their_last_token_cost_one_row(tokenizer):
    model, words = Bigrams(len(tokenizer)), set(" ".join(SENTENCES).split())
    pairs = [("seven plus five is", f" {word}") for word in sorted(words) if len(tokenizer.encode(word)) == 1]
    assert len(pairs) >= 3
    found = likelihoods(model, tokenizer, pairs)
    assert model.shapes == [(1, 1 + len(tokenizer.encode("seven plus five is")))]
    for each, pair in zip(found, pairs, strict=True):
        assert each.log_likelihood == pytest.approx(by_hand(model, tokenizer, *pair), abs=1e-4)


def test_longest_rows():
    rows = [(1,), (1, 2), (1, 2, 3), (1, 3), (2,), (1, 2)]
    assert longest_rows(rows) == {(1,): (1, 2, 3), (1, 2): (1, 2, 3), (1, 2, 3): (1, 2, 3), (1, 3): (1, 3), (2,): (2,)}
    assert longest_rows([]) == {} and longest_rows([()]) == {(): ()}


@pytest.mark.parametrize(("context", "continuation"), [("hello", ""), ("fiv", "e"), ("hello ", "  ")])
def test_seams_within_a_token_are_refused(tokenizer, context, continuation):
    with pytest.raises(ValueError, match="begins with a space"):
        split_tokens(tokenizer, context, continuation)


def test_bits_per_byte(tokenizer):
    """Windows as long as the documents: the sum over tokens, in bits, over the bytes."""
    model = Bigrams(len(tokenizer))
    nats = sum(by_hand(model, tokenizer, "", text) for text in SENTENCES)
    size = sum(len(text) for text in SENTENCES)
    for batch_size in (1, 3, 32):
        found = bits_per_byte(model, tokenizer, SENTENCES, window=200, batch_size=batch_size)
        assert found.value == pytest.approx(-nats / math.log(2) / size, rel=1e-5)
    assert found.interval[0] < found.value < found.interval[1]


def test_windows_are_read_each_by_itself(tokenizer, helium):
    text = SENTENCES[0]
    tokens = tokenizer.encode(text)
    nats = 0.0
    for begin in range(0, len(tokens), 5):
        piece = torch.tensor([[BOS, *tokens[begin : begin + 5]]])
        with torch.no_grad():
            nats -= float(helium(piece)[0, :-1].log_softmax(-1).gather(-1, piece[0, 1:, None]).sum())
    found = bits_per_byte(helium, tokenizer, [text, text], window=5)
    assert found.value == pytest.approx(nats / math.log(2) / len(text), rel=1e-5)
    close(torch.tensor(found.interval), torch.tensor([found.value] * 2))  # two equal documents


def test_baselines(tokenizer):
    uniform = uniform_bits_per_byte(tokenizer, SENTENCES)
    count = sum(len(tokenizer.encode(text)) for text in SENTENCES)
    assert uniform.value == pytest.approx(count * math.log2(len(tokenizer)) / sum(map(len, SENTENCES)))

    def flat(tokens):
        return torch.zeros(*tokens.shape, len(tokenizer))

    assert bits_per_byte(flat, tokenizer, SENTENCES, 16).value == pytest.approx(uniform.value, rel=1e-5)
    assert unigram_bits_per_byte(tokenizer, [], SENTENCES).value == pytest.approx(uniform.value)
    assert unigram_bits_per_byte(tokenizer, SENTENCES * 9, SENTENCES).value < uniform.value


def test_the_interval_covers_the_truth():
    """Of 400 samples of 50 documents, about 95 % have the true ratio within their interval."""
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(400):
        sizes = torch.randint(20, 200, (50,), generator=generator)
        bits = sizes * (2 + 0.5 * torch.randn(50, generator=generator))
        low, high = BitsPerByte.of(bits.tolist(), sizes.tolist()).interval
        covered += low < 2 < high
    assert 0.91 < covered / 400 < 0.98


def test_one_document_has_no_interval(tokenizer):
    with pytest.raises(ValueError, match="at least 2 documents"):
        uniform_bits_per_byte(tokenizer, ["one"])
