"""Estimates the security of the parameter set std64 with the lattice estimator, as a Markdown table.

Needs Sage (the passagemath packages will do) and the lattice estimator
(github.com/malb/lattice-estimator, commit 27a581bb8e9d49f5e9e2db315bd48ac769d5f5f5) on PYTHONPATH:

    PYTHONPATH=lattice-estimator python3 docs/estimate_security.py

One row an error width, one column a cost model; each cell is the smallest log2 of operations over
primal uSVP, primal BDD, the dual hybrid and the dual attack. It runs for about an hour.

    python3 docs/estimate_security.py --primal

needs nothing but Python and a second. It works out the primal uSVP attack alone, from its formulas: a check of
the estimator's figures that shares no code with it.
"""

import argparse
import json
import math
import sys

RING_DEGREE = 4096
MODULUS = 2**64 - 2**32 + 1
# Most samples that one key gives: 2^14 blocks of N coefficients (crypto/src/ring/params.rs).
SAMPLES = 2**14 * RING_DEGREE
FRESH = 6.4
# Dimension of a secret of which disputes gave c l^2 <= 512 equations without error, and several freezes
# 4c more, c at most 21 (docs/disputes.md, section 6).
DISPUTED = RING_DEGREE - 512 - 4 * 21
WIDTHS = {
    "6.4 (fresh)": FRESH,
    "4.525 (after the sum of two honest sites' errors is known)": FRESH / math.sqrt(2),
    "3.2": 3.2,
}


def estimate(width, cost):
    """Smallest log2 of operations over the attacks, and each of them."""
    from estimator import LWE, ND
    from sage.all import RR, log

    # Keys are uniform; the estimator normalises the secret to the error's distribution.
    parameters = LWE.Parameters(
        n=RING_DEGREE,
        q=MODULUS,
        Xs=ND.UniformMod(MODULUS),
        Xe=ND.DiscreteGaussian(width),
        m=SAMPLES,
    )
    attacks = {
        "usvp": LWE.primal_usvp,
        "bdd": LWE.primal_bdd,
        "dual_hybrid": LWE.dual_hybrid,
        "dual": LWE.dual,
    }
    bits = {
        name: float(log(RR(attack(parameters, red_cost_model=cost)["rop"]), 2))
        for name, attack in attacks.items()
    }
    return min(bits.values()), bits


def log_delta(beta):
    """Logarithm of BKZ's root Hermite factor at block size beta (Chen, thesis, 2013)."""
    return math.log((math.pi * beta) ** (1 / beta) * beta / (2 * math.pi * math.e)) / (2 * (beta - 1))


def dimensions(beta, width, n=RING_DEGREE):
    """Dimensions in which block size beta finds the error, as a range: sqrt(beta) sigma is at most
    delta^(2 beta - d - 1) q^(m / d), m = d - n - 1 (Alkim et al., "NewHope", 2016; uniform keys are brought
    to the error's distribution)."""
    log_q, step = math.log(MODULUS), log_delta(beta)
    needed = math.log(width) + math.log(beta) / 2
    return [
        d
        for d in range(n + 2, 4 * n)
        if (2 * beta - d - 1) * step + (d - n - 1) / d * log_q >= needed
    ]


# Slope and offset in log2 of a lattice sieve's gates, from MATZOV, "Report on the Security of LWE", 2022: list
# decoding, classical and quantum (depth times width).
MATZOV = {
    "MATZOV classical": (0.29613500308205365, 20.387885985467914),
    "MATZOV quantum": (0.2663676536352464, 25.299541499216627),
}


def primal(width, n=RING_DEGREE):
    """log2 of operations of primal uSVP in dimension n, by cost model."""
    low, beta = 60, 4000  # fails at the one, succeeds at the other
    while beta - low > 1:
        middle = (low + beta) // 2
        low, beta = (low, middle) if dimensions(middle, width, n) else (middle, beta)
    # One sieve in dimension beta (Alkim et al.).
    bits = {"core-SVP classical": 0.292 * beta, "core-SVP quantum": 0.265 * beta}
    for model, (slope, offset) in MATZOV.items():
        # d - beta sieves, each progressive (c times the last one's cost), a few dimensions of each for free
        # (Ducas, "Shortest Vector from Lattice Sieving", 2018).
        free = beta * math.log(4 / 3) / math.log(beta / (2 * math.pi * math.e))
        c = 1 / (1 - 2**-slope)
        sieves = c * (min(dimensions(beta, width, n)) - beta)
        bits[model] = math.log2(sieves * c) + slope * (beta - free) + offset
    return bits


def cost_models():
    from estimator import RC

    adps16, matzov = type(RC.ADPS16), type(RC.MATZOV)
    return {
        "core-SVP classical": adps16(mode="classical"),
        "core-SVP quantum": adps16(mode="quantum"),
        "MATZOV classical": matzov(nn="classical"),
        "MATZOV quantum": matzov(nn="quantum"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print every attack's figure as JSON")
    parser.add_argument("--primal", action="store_true", help="primal uSVP alone, without Sage")
    options = parser.parse_args()
    if options.primal:
        rows = {name: primal(width) for name, width in WIDTHS.items()}
        for name, width in WIDTHS.items():
            rows[f"{name}; n = {DISPUTED}"] = primal(width, DISPUTED)
        if options.json:
            print(json.dumps(rows, indent=1))
            return
        cells = {name: " | ".join(f"{b:.1f}" for b in bits.values()) for name, bits in rows.items()}
        table(next(iter(rows.values())), [f"| {name} | {row} |" for name, row in cells.items()])
        return
    models = cost_models()
    rows, details = [], []
    for name, width in WIDTHS.items():
        cells = []
        for model, cost in models.items():
            smallest, bits = estimate(width, cost)
            cells.append(f"{smallest:.1f}")
            details.append({"width": width, "model": model, **bits})
            print(f"{name}, {model}: {bits}", file=sys.stderr, flush=True)
        rows.append(f"| {name} | {' | '.join(cells)} |")
    if options.json:
        print(json.dumps(details, indent=1))
        return
    table(models, rows)


def table(models, rows):
    print(f"| error width | {' | '.join(models)} |")
    print("| --- " * (len(models) + 1) + "|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
