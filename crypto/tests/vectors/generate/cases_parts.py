"""Vectors of parts of the secret half: transform, sampler, quantizer, check words."""

import struct

import blake3
import gaussian
import packing
import ring
import sharing
from output import digest_of_words, numbers, shown, word, words, write
from parties import seed


def transforms():
    a = ring.residues(blake3.Xof(seed("transform/a")), ring.N)
    b = ring.residues(blake3.Xof(seed("transform/b")), ring.N)
    sparse = [0] * ring.N
    sparse[0], sparse[1], sparse[ring.N - 1] = 5, 1, ring.Q - 2
    values_a, values_b = ring.transform(a), ring.transform(b)
    product = ring.product(values_a, values_b)
    squared = ring.product(ring.transform(sparse), ring.transform(sparse))

    write(
        "transform",
        "secret",
        "transform",
        "The evaluation points in the stated order, values of polynomials at them, and products. "
        "Polynomials a and b have as coefficients the residues of the extendable output of BLAKE3 "
        "over their seed; `sparse` lists its coefficients that are not zero.",
        psi=word(ring.PSI),
        points={"first": words([ring.point(k) for k in range(8)]), "last": word(ring.point(4095))},
        a={"seed": seed("transform/a").hex(), "values": shown(values_a)},
        b={"seed": seed("transform/b").hex(), "values": shown(values_b)},
        product=shown(product),
        sparse={
            "coefficients": [[k, word(c)] for k, c in enumerate(sparse) if c],
            "values": shown(ring.transform(sparse)),
            "square": [[k, word(c)] for k, c in enumerate(squared) if c],
        },
    )


def sampler():
    cases = []
    for label in ("gaussian/0", "gaussian/1"):
        uniform = seed(label, gaussian.UNIFORM_BYTES)
        errors = gaussian.errors(uniform)
        cases.append(
            {
                "label": f"ringfence/v1/vectors/{label}",
                "first": errors[:64],
                "digest": digest_of_words([e % ring.Q for e in errors]),
                "sum_of_squares": sum(e * e for e in errors),
            }
        )
    write(
        "gaussian",
        "secret",
        "gaussian",
        "The cumulative table, 32 hexadecimal digits an entry: a number that reaches k + 1 entries "
        "has magnitude k + 1. And errors from uniform bytes, which are the extendable output of "
        "BLAKE3 over `label`; the digest is of the errors as residues.",
        table=[f"{entry:032x}" for entry in gaussian.TABLE],
        uniform_bytes=gaussian.UNIFORM_BYTES,
        cases=cases,
    )


def quantizer():
    cases = []
    for bits, clip in [(2, 1.0), (8, 0.25), (16, 0.1), (24, 3.5)]:
        clip32 = packing.float32(clip)
        step = 2 * clip32 / ((1 << bits) - 1)
        values = [0.0, -0.0, clip32, -clip32, 10 * clip, -10 * clip, 1e-38, 3.4e38, -1e-45]
        values += [-clip32 + (k + 0.5) * step for k in range(3)]
        values += [
            (u % 2001 - 1000) / 1000 * clip for u in struct.unpack("<20H", seed("quantize/values", 40))
        ]
        values = [packing.float32(value) for value in values]
        dithers = [bytes(4), b"\xff" * 4, b"\x0f\0\0\0", b"\0\0\0\x80"]
        dithers += [seed(f"quantize/dither/{k}")[:4] for k in range(4)]
        for dither in dithers:
            quantized = [packing.quantize(value, clip32, bits, dither) for value in values]
            cases.append(
                {
                    "value_bits": bits,
                    "clip": clip,
                    "values": numbers(values, "f"),
                    "dither": dither.hex(),
                    "quantized": quantized,
                }
            )
    means = []
    studies = [(8, 0, 0.1, 3), (16, 0, 0.25, 10), (24, 0, 3.5, 10_000)]
    for bits, noise, clip, sites in studies + [(8, 1000, 0.1, 3), (20, 3_000_000, 0.25, 32)]:
        clip32, limit = packing.float32(clip), sites * ((1 << bits) - 1)
        sums = [0, 1, limit // 3, limit // 2, limit // 2 + 1, limit - 1, limit]
        # With noise also the ends of the quantizer's range, and the largest sum of all.
        offset = sites * noise
        sums += [offset, offset + limit // 3, offset + limit, limit + 2 * offset] if noise else []
        means.append(
            {
                "value_bits": bits,
                "noise_bound": noise,
                "clip": clip,
                "sites": sites,
                "sums": sums,
                "mean": numbers([packing.mean(s, sites, clip32, bits, noise) for s in sums], "f"),
            }
        )
    write(
        "quantize",
        "secret",
        "quantize",
        "Float32 values, clip bound and four dither bytes (the same for every value of a case) to "
        "integers of `value_bits` bits; and sums back to a float32 mean, bit for bit. Floats are "
        "four little-endian bytes each.",
        cases=cases,
        means=means,
    )


def weighting():
    """Clip, then weigh, then quantize; and the weighted mean over the sites that are there."""
    # Counts, clip bound, bits, places that contributed: all of them, and after drop-outs. The first
    # two are the examples of a site of few samples with a value far beyond the clip bound.
    settings = [
        ([10, 1000, 1000], 0.5, 16, [0, 1, 2]),
        ([40, 60, 50, 30, 60000], 0.5, 16, [0, 1, 2, 3]),
        ([181, 90, 250, 63, 120], 0.1, 16, [0, 1, 2, 3, 4]),
        ([181, 90, 250, 63, 120], 0.1, 16, [4, 1, 3]),
        ([7, 3, 5], 3.5, 24, [2, 0, 1]),
        ([1000003, 999983, 65537, 524287], 0.25, 8, [3, 0, 2]),
    ]
    cases = []
    for counts, clip, bits, places in settings:
        clip32, limit = packing.float32(clip), (1 << bits) - 1
        sites, sums = [], None
        for place in places:
            stream = seed(f"weighting/{place}", 2 * 24)
            values = [(u % 2001 - 1000) / 800 * clip for u in struct.unpack("<24H", stream)]
            # Far beyond the bound, beyond it, at it, and so small that the factor makes it smaller
            # than any float32.
            values += [40.0, 700.0, -40.0, 1.25 * clip, clip32, -clip32, 1e-45, -0.0]
            values = [packing.float32(value) for value in values]
            factor = packing.factor(counts, place)
            weighed = [packing.weighed(value, clip32, factor) for value in values]
            # What an implementation would get that weighed first: it must not be taken for this.
            other = [packing.float32(packing.float32(value * factor)) for value in values]
            other = [max(-clip32, min(value, clip32)) for value in other]
            assert factor == 1.0 or other != weighed
            dither = seed(f"weighting/dither/{place}")[:4]
            quantized = [packing.quantize(value, clip32, bits, dither) for value in weighed]
            sites.append(
                {
                    "place": place,
                    "factor": numbers([factor], "d"),
                    "values": numbers(values, "f"),
                    "weighed": numbers(weighed, "f"),
                    "weighed_before_clipping": numbers(other, "f"),
                    "dither": dither.hex(),
                    "quantized": quantized,
                    "range": packing.value_range(counts, place, bits),
                }
            )
            least, most = sites[-1]["range"]
            assert all(least <= value <= most for value in quantized)
            sums = [a + b for a, b in zip(sums or [0] * len(quantized), quantized)]
        # Sums at the edges, too: what malicious sites can make of the mean.
        of_sum = [sum(site["range"][end] for site in sites) for end in (0, 1)]
        sums += of_sum
        means = [packing.weighted_mean(s, counts, places, clip32, bits) for s in sums]
        base = [packing.float32((k - 16) / 7) for k in range(len(means))]
        added = [packing.float32(b + m) for b, m in zip(base, means)]
        k, total = len(places), sum(counts[place] for place in places) / max(counts)
        step = 2 / (limit * total)
        # Another reading of the sentence on the mean: rounded to float32 once, at the end.
        once = [
            packing.float32(
                (float(s) / (float(limit) * k) * 2.0 * clip32 - clip32)
                * packing.correction(counts, places)
            )
            for s in sums
        ]
        cases.append(
            {
                "counts": counts,
                "clip": clip,
                "value_bits": bits,
                "sites": sites,
                "places": places,
                "correction": numbers([packing.correction(counts, places)], "d"),
                "range": of_sum,
                "sums": sums,
                "mean": numbers(means, "f"),
                "rounded_once": numbers(once, "f"),
                "base": numbers(base, "f"),
                "next": numbers(added, "f"),
                "step": step,
                "rms_error": k**0.5 / 2 * step,
            }
        )
    # The readings differ somewhere.
    assert any(case["mean"] != case["rounded_once"] for case in cases)
    write(
        "weighting",
        "secret",
        "weighting",
        "Weighted contributions and their mean. Each site's float32 values are clipped, multiplied "
        "by its factor and rounded to float32 (`weighed`), then quantized with four dither bytes, "
        "the same for every value; `range` is between what they may lie, at a site and in the sum. "
        "`mean` is that of `sums` over `places`, which come in any order, "
        "`next` the float32 sum of `base` and `mean`. `weighed_before_clipping` and `rounded_once` "
        "show what other readings give; a reader must not get them. `step` and `rms_error` are "
        "shares of the clip bound. Factor and correction are the eight little-endian bytes of a double.",
        cases=cases,
    )


def check_words():
    key, digest = seed("check-words/key"), blake3.digest(b"any round")
    vectors = sharing.check_vectors(key, digest)
    cases = []
    for w in (32, 41, 44, 45, 52, 64):
        blocks = [[0] * ring.N, [0] * ring.N, [ring.modulus(w) - 1] * ring.N]
        blocks[0][0], blocks[0][17], blocks[1][4095] = 5, 2**31, 7
        parts = [sharing.check_words(key, digest, blocks[: n + 1], w) for n in range(3)]
        cases.append({"wire_bits": w, "words": [words(part) for part in parts]})
    write(
        "check_words",
        "secret",
        "check_words",
        "Check key and round digest to rho_0 to rho_3 (found by blocks with a single 1), the scales of "
        "blocks 0 to 2 and, for several widths, the check words of bodies of one, two and three blocks; "
        "a block lists [index, wire word], or is all p - 1.",
        key=key.hex(),
        round=digest.hex(),
        rho=[{"first": v[:4], "last": v[-2:]} for v in vectors],
        scales=[sharing.check_scales(key, digest, j) for j in range(3)],
        blocks=[[[0, word(5)], [17, word(2**31)]], [[4095, word(7)]], "largest"],
        cases=cases,
    )


def add_all():
    transforms()
    sampler()
    quantizer()
    weighting()
    check_words()
