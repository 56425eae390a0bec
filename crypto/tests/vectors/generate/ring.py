"""The ring R_q = Z_q[X]/(X^4096 + 1): residues, values at the stated points, public polynomials,
wire words and how they lie in bytes."""

import struct
from functools import cache

import blake3

N = 4096
Q = 2**64 - 2**32 + 1
PSI = pow(7, (Q - 1) // (2 * N), Q)  # a primitive 8192nd root of unity
GROUP, LANES = 512, 8


def residues(xof, count):
    """The next `count` words below q of an extendable output; words at or above q are skipped."""
    out = []
    while len(out) < count:
        wanted = count - len(out)
        words = struct.unpack(f"<{wanted}Q", xof.read(8 * wanted))
        out += [word for word in words if word < Q]
    return out


def to_bytes(words):
    return struct.pack(f"<{len(words)}Q", *words)


def bit_reverse(index, bits=12):
    return int(f"{index:0{bits}b}"[::-1], 2)


def point(k):
    """Where word k of a transformed polynomial is its value."""
    return pow(PSI, 2 * bit_reverse(k) + 1, Q)


def transform(coefficients):
    """Values at point(0), point(1), ..., by splitting X^{2m} - r^2 = (X^m - r)(X^m + r)."""

    def split(part, exponent):
        # `part` is the polynomial modulo X^m - PSI^exponent.
        if len(part) == 1:
            return part
        half, exponent = len(part) // 2, exponent // 2
        root = pow(PSI, exponent, Q)
        low, high = part[:half], [value * root % Q for value in part[half:]]
        plus = [(a + b) % Q for a, b in zip(low, high)]
        minus = [(a - b) % Q for a, b in zip(low, high)]
        return split(plus, exponent) + split(minus, exponent + N)

    # X^N + 1 = X^N - PSI^N, since PSI^N = -1.
    return split([c % Q for c in coefficients], N)


def inverse_transform(values):
    """Coefficients from values: the same splits, undone."""

    def join(part, exponent):
        if len(part) == 1:
            return part
        half, exponent = len(part) // 2, exponent // 2
        inverse_root = pow(PSI, -exponent, Q)
        plus, minus = join(part[:half], exponent), join(part[half:], exponent + N)
        low = [(a + b) % Q for a, b in zip(plus, minus)]
        high = [(a - b) * inverse_root % Q for a, b in zip(plus, minus)]
        return low + high

    scale = pow(N, -1, Q)
    return [value * scale % Q for value in join(list(values), N)]


def product(values_a, values_b):
    """Coefficients of the product of two polynomials that are given by their values."""
    return inverse_transform([a * b % Q for a, b in zip(values_a, values_b)])


@cache
def public_polynomial(round_digest, block):
    """The values of a_j."""
    seed = b"ringfence/a/1" + round_digest + struct.pack("<Q", block)
    return residues(blake3.Xof(seed), N)


def is_prime(n):
    """Miller and Rabin with the bases that decide below 2^64."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        powers = [pow(base, odd << i, n) for i in range(twos)]
        if powers[0] != 1 and n - 1 not in powers:
            return False
    return True


@cache
def modulus(w):
    """The largest prime below 2^w, modulo which wire words of w bits add."""
    return next(n for n in range((1 << w) - 1, 0, -2) if is_prime(n))


def to_word(residue, w):
    """The wire word of a residue: c p / q, rounded by a formula without division."""
    scaled = residue + (residue >> 32)
    exact = scaled - ((1 << w) - modulus(w)) * scaled // (1 << w)
    return (exact + (1 << 64 - w) // 2 >> 64 - w) % modulus(w)


def from_word(word, w):
    """The residue of a word: W q / p, rounded by a formula without division."""
    k = (1 << w) - modulus(w)
    first = word << 64 - w
    second = k * first >> w
    third = k * second >> w
    scaled = (first + second + third) % (1 << 64)
    return scaled - (scaled >> 32)


def lay_out(words, w):
    """The bytes of whole groups of w-bit words."""
    out = []
    for start in range(0, len(words), GROUP):
        group = words[start : start + GROUP]
        lanes = []
        for i in range(LANES):
            number = sum(word << j * w for j, word in enumerate(group[i::LANES]))
            lanes.append(struct.unpack(f"<{w}Q", number.to_bytes(8 * w, "little")))
        out += [to_bytes([lane[t] for lane in lanes]) for t in range(w)]
    return b"".join(out)


def read_words(data, w):
    """The inverse of lay_out."""
    out = []
    for start in range(0, len(data), GROUP * w // 8):
        pieces = struct.unpack(f"<{8 * w}Q", data[start : start + GROUP * w // 8])
        group = [0] * GROUP
        for i in range(LANES):
            number = int.from_bytes(to_bytes(pieces[i::LANES]), "little")
            for j in range(GROUP // LANES):
                group[LANES * j + i] = number >> j * w & (1 << w) - 1
        out += group
    return out


def add_bodies(bodies, w):
    """Words added modulo p: all that the aggregator does."""
    columns = zip(*(read_words(body, w) for body in bodies))
    return lay_out([sum(column) % modulus(w) for column in columns], w)
