"""Prints the cumulative table of src/noise.rs: floor(2^128 * P(|X| <= k)), k = 0..63, for the
discrete Gaussian P(x) ~ exp(-x^2 / (2 * 6.4^2)). Standard library only, 90 decimal digits."""

from decimal import Decimal, getcontext

getcontext().prec = 90
SIGMA = Decimal("6.4")
WEIGHTS = [(-(Decimal(k) ** 2) / (2 * SIGMA * SIGMA)).exp() for k in range(2000)]
TOTAL = WEIGHTS[0] + 2 * sum(WEIGHTS[1:])

below = Decimal(0)
for k in range(64):
    below += WEIGHTS[k] * (1 if k == 0 else 2)
    print(f"    0x{int(below / TOTAL * (1 << 128)):032x},")
