"""Errors: the cumulative table of the discrete Gaussian of width 6.4 and the sampler on uniform
bytes. `python3 gaussian.py` prints the table as it stands in crypto/keys/src/encrypt/rlwe_noise.rs,
`python3 gaussian.py half` that of crypto/keys/src/update/site_noise/discrete_gaussian.rs."""

import struct
import sys
from decimal import Decimal, localcontext

import ring

TAIL = 64
UNIFORM_BYTES = ring.N // 8 + 8 + 8 * ring.N


def table(weight_of_zero=1, weight_of_others=2):
    """floor(2^128 * P(|X| <= k)), k = 0..63, for P(x) ~ exp(-x^2 / (2 * 6.4^2)); 90 digits.
    With equal weights: that of the half-Gaussian, in which zero and each other magnitude count
    once."""
    with localcontext() as context:
        context.prec = 90
        sigma = Decimal("6.4")
        weights = [(-(Decimal(k) ** 2) / (2 * sigma * sigma)).exp() for k in range(2000)]
        weights = [weight_of_zero * weights[0]] + [weight_of_others * w for w in weights[1:]]
        total = sum(weights)
        entries, below = [], Decimal(0)
        for k in range(TAIL):
            below += weights[k]
            entries.append(int(below / total * (1 << 128)))
        return entries


TABLE = table()


def errors(uniform):
    """N signed errors from uniform bytes: first the signs, a bit each, least significant first;
    then the lower 64 bits that all numbers of the block share; then each number's upper 64."""
    signs = int.from_bytes(uniform[: ring.N // 8], "little")
    low, *highs = struct.unpack(f"<{ring.N + 1}Q", uniform[ring.N // 8 :])
    out = []
    for k, high in enumerate(highs):
        number = high << 64 | low
        magnitude = sum(number >= entry for entry in TABLE)
        out.append(-magnitude if signs >> k & 1 else magnitude)
    return out


if __name__ == "__main__":
    for entry in table(1, 1) if sys.argv[1:] == ["half"] else TABLE:
        print(f"    0x{entry:032x},")
