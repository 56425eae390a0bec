"""Estimates the security of the parameter set std64 with the lattice estimator, as a Markdown table.

Needs Sage (the passagemath packages will do) and the lattice estimator
(github.com/malb/lattice-estimator, commit 27a581bb8e9d49f5e9e2db315bd48ac769d5f5f5) on PYTHONPATH:

    PYTHONPATH=lattice-estimator python3 docs/estimate_security.py

One row an error width, one column a cost model; each cell is the smallest log2 of operations over
primal uSVP, primal BDD, the dual hybrid and the dual attack. It runs for about an hour.
"""

import argparse
import json
import math
import sys

RING_DEGREE = 4096
MODULUS = 2**64 - 2**32 + 1
# Most samples that one key gives: 2^14 blocks of N coefficients (crypto/src/params.rs).
SAMPLES = 2**14 * RING_DEGREE
FRESH = 6.4
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
    options = parser.parse_args()
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
    print(f"| error width | {' | '.join(models)} |")
    print("| --- " * (len(models) + 1) + "|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
