"""FNV-1a by its published values, and the Bloom filter by its formula."""

import math
import random

import pytest

from moshi_ref.corpus.bloom import BloomFilter, fnv1a, fnv1a_windows


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", 0xCBF29CE484222325),
        (b"a", 0xAF63DC4C8601EC8C),
        (b"b", 0xAF63DF4C8601F1A5),
        (b"foobar", 0x85944171F73967E8),
        (b"fo", 0x08985907B541D342),
        (b"foo", 0xDCB27518FED9D577),
        (b"foob", 0xDD120E790C2512AF),
        (b"chongo was here!\n", 0x46810940EFF5F915),
    ],
)
def test_published_values(data, value):
    """From the authors' test vectors (isthe.com/chongo/tech/comp/fnv)."""
    assert fnv1a(data) == value


@pytest.mark.parametrize("width", [1, 2, 4, 9])
def test_windows(width):
    data = "Grüße from the mill".encode()
    assert fnv1a_windows(data, width).tolist() == [fnv1a(data[i : i + width]) for i in range(len(data) - width + 1)]
    assert fnv1a_windows(b"", width).tolist() == []


def test_size():
    """19.2 bits and 13 hashes for a mistake in ten thousand."""
    seen = BloomFilter(1000, 1e-4)
    assert seen.size == math.ceil(1000 * 19.170116) and seen.hashes == 13 and len(seen.bits) == 2397
    assert BloomFilter(1, 0.9).hashes >= 1


def test_whatever_was_added_is_found():
    seen, lines = BloomFilter(500), [f"line {i}" for i in range(500)]
    assert not any(line in seen for line in lines)
    first = [seen.add(line) for line in lines]
    assert sum(first) <= 1 and all(line in seen for line in lines) and all(seen.add(line) for line in lines)


@pytest.mark.parametrize("probability", [0.1, 0.01])
def test_mistakes_are_as_frequent_as_promised(probability):
    rng = random.Random(0)
    seen = BloomFilter(2000, probability)
    for _ in range(2000):
        seen.add(f"{rng.random()}")
    mistakes = sum(f"new {i}" in seen for i in range(20_000)) / 20_000
    assert 0.8 * probability < mistakes < 1.25 * probability
    ones = sum(byte.bit_count() for byte in seen.bits) / seen.size
    assert abs(ones - (1 - math.exp(-seen.hashes * 2000 / seen.size))) < 0.01  # about half of them


@pytest.mark.parametrize(("capacity", "probability"), [(0, 0.1), (10, 0.0), (10, 1.0)])
def test_impossible_filters(capacity, probability):
    with pytest.raises(ValueError, match="capacity of at least 1"):
        BloomFilter(capacity, probability)
