"""Which lines have been seen before? FNV-1a hashes in a Bloom filter (Moshi paper, section 3.2.2).

A Bloom filter (Bloom 1970) remembers a set in very little memory. It is a row of m bits, all 0 at first. To add a line
set the k bits that its hash points to; a line has been seen if its k bits are all 1. So a line that was added is
always found. One that was not may be found by mistake, when others happened to set all of its bits.

After n lines a bit is still 0 with probability about exp(-k n / m), so a new line is mistaken with probability

    p = (1 - exp(-k n / m)) ** k      least for k = m / n * ln 2,  where m = -n * ln p / (ln 2) ** 2

A mistake in ten thousand costs 19 bits a line, however long the line is.
"""

import math

import numpy as np

OFFSET, PRIME = 0xCBF29CE484222325, 0x100000001B3  # of the 64-bit FNV (Fowler, Noll, Vo)


def fnv1a(data: bytes) -> int:
    """The 64-bit FNV-1a hash: for each byte, exclusive or with it, then times the prime, modulo 2 ** 64."""
    value = OFFSET
    for byte in data:
        value = (value ^ byte) * PRIME & 0xFFFFFFFFFFFFFFFF
    return value


def fnv1a_windows(data: bytes, width: int) -> np.ndarray:
    """The hashes of all pieces of `width` bytes, `fnv1a(data[i : i + width])`, at once: (len(data) - width + 1,)
    uint64, or none if the data are shorter."""
    values = np.frombuffer(data, dtype=np.uint8).astype(np.uint64)
    count = max(0, len(values) - width + 1)
    hashes = np.full(count, OFFSET, dtype=np.uint64)
    for i in range(width):
        hashes = (hashes ^ values[i : i + count]) * np.uint64(PRIME)  # uint64 wraps around by itself
    return hashes


class BloomFilter:
    """Remembers about `capacity` lines; a line never added is taken for one that was with probability
    `false_positives`, once so many were added. Raises ValueError for a capacity below 1 or a probability outside
    0..1."""

    def __init__(self, capacity: int, false_positives: float = 1e-4):
        if capacity < 1 or not 0 < false_positives < 1:
            raise ValueError(
                "expected a capacity of at least 1 and a probability between 0 and 1, "
                f"got {capacity} and {false_positives}"
            )
        self.size = math.ceil(-capacity * math.log(false_positives) / math.log(2) ** 2)  # m
        self.hashes = max(1, round(self.size / capacity * math.log(2)))  # k
        self.bits = bytearray(math.ceil(self.size / 8))

    def places(self, line: str) -> list[int]:
        """The k bits of a line. Two halves of one hash make all of them: first + i * step (Kirsch and Mitzenmacher
        2006)."""
        value = fnv1a(line.encode())
        first, step = value & 0xFFFFFFFF, value >> 32 | 1  # an odd step is never zero
        return [(first + i * step) % self.size for i in range(self.hashes)]

    def __contains__(self, line: str) -> bool:
        return all(self.bits[place >> 3] >> (place & 7) & 1 for place in self.places(line))

    def add(self, line: str) -> bool:
        """Remember the line. Returns whether it was there already, or was taken to be."""
        known = True
        for place in self.places(line):
            known &= bool(self.bits[place >> 3] >> (place & 7) & 1)
            self.bits[place >> 3] |= 1 << (place & 7)
        return known
