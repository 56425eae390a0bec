"""Vectors of the cipher's public half: public polynomials, residues, wire words, packing."""

import math
import struct
from decimal import Decimal

import blake3
import packing
import ring
from output import digest_of_words, numbers, word, words, write
from parties import seed


def masked(label, w):
    """4096 words of w bits from a stream."""
    stream = seed(label, 8 * ring.N)
    return [value & (1 << w) - 1 for value in struct.unpack(f"<{ring.N}Q", stream)]


def polynomials():
    cases = []
    # The last one was found by search: its word 1522 is at or above q, as one in 2^32 is.
    for text, block in [("round 0", 0), ("round 0", 1), ("round 1", 16383), ("skip/174", 11758)]:
        label = text if text.startswith("round") else f"ringfence/v1/vectors/{text}"
        digest = blake3.digest(label.encode())
        values = ring.public_polynomial(digest, block)
        stream = blake3.Xof(b"ringfence/a/1" + digest + struct.pack("<Q", block))
        raw = struct.unpack(f"<{ring.N}Q", stream.read(8 * ring.N))
        skipped = [k for k, value in enumerate(raw) if value >= ring.Q]
        at = skipped[0] if skipped else 1000
        cases.append(
            {
                "round": digest.hex(),
                "block": block,
                "skipped": [{"index": k, "word": word(raw[k])} for k in skipped],
                "first": words(values[:4]),
                "from": at - 1,
                "middle": words(values[at - 1 : at + 3]),
                "last": words(values[-4:]),
                "digest": digest_of_words(values),
                "misread": misreadings(digest, block, values, at - 1) if skipped else [],
            }
        )
    assert [case["skipped"] != [] for case in cases] == [False, False, False, True]
    write(
        "public_polynomial",
        "public",
        "polynomials",
        "Round digest and block to the values of a_j: first, some middle and last words, and the "
        "BLAKE3 digest of all 4096 as 8-byte little-endian words. `skipped` are the words of the "
        "extendable output, by their index in it, that are at or above q. `misread` shows what other "
        "readings of the page give at `from`; a reader must not get them.",
        cases=cases,
    )


def misreadings(digest, block, values, at):
    """Four words from index `at` on, as they are not."""
    label, count = b"ringfence/a/1", 8 * (ring.N + 1)

    def read(data):
        return struct.unpack(f"<{ring.N + 1}Q", blake3.Xof(data).read(count))

    right = label + digest + struct.pack("<Q", block)
    one_stream = blake3.Xof(label + digest)
    one_stream.skip(8 * ring.N * block)
    readings = {
        "a word at or above q is reduced, and not skipped": [word % ring.Q for word in read(right)],
        "the block's number has the highest byte first": read(label + digest + struct.pack(">Q", block)),
        "the block's number has four bytes": read(label + digest + struct.pack("<I", block)),
        "the block's number stands before the digest": read(label + struct.pack("<Q", block) + digest),
        "the label is left out": read(digest + struct.pack("<Q", block)),
        "one stream goes through all blocks": struct.unpack(f"<{ring.N}Q", one_stream.read(8 * ring.N)),
        "coefficients for values": ring.transform(values),
        "words with the highest byte first": struct.unpack(
            f">{ring.N}Q", blake3.Xof(right).read(8 * ring.N)
        ),
    }
    shown = [
        {"reading": name, "from": at, "words": words(read_words[at : at + 4])}
        for name, read_words in readings.items()
    ]
    assert all(case["words"] != words(values[at : at + 4]) for case in shown)
    return shown


def noise_bounds():
    cases = []
    for sites in (3, 5, 16, 100, 1000, 10_000):
        for c in sorted({1, max(1, sites // 4), min(sites, 64)}):
            for w in (32, 41, 52, 64):
                cases.append(
                    {
                        "sites": sites,
                        "collusion": c,
                        "wire_bits": w,
                        "rounding": float(packing.half_width(w)),
                        "noise_bound": packing.noise_bound(sites, c, w),
                        "mean_square_bound": float(packing.mean_square_bound(sites, w)),
                    }
                )
    # Where all sites choose their noise, nothing is left to chance: tail, rounding and lifting.
    alone = packing.noise_bound(1, 1, 41)
    assert alone == packing.sixteen_bits(
        math.ceil(packing.TAIL + packing.half_width(41) + packing.LIFTING)
    )
    write(
        "noise_bounds",
        "public",
        "noise_bounds",
        "Sites, how many of them may choose their noise, and the width of a wire word, to the most that "
        "the rounding of a word errs, the largest noise of a coefficient and the largest mean square of a "
        "block's noise; by docs/parameters.md and docs/wire.md. Noise bounds are rounded up "
        "to 16 significant bits: floating point must give exactly these.",
        cases=cases,
    )


def residues():
    edges = [0, 1, 2**32 - 1, 2**32, ring.Q - 1]
    write(
        "residues",
        "public",
        "residues",
        "Residues as bytes: 8-byte little-endian words, each below q.",
        words=words(edges),
        bytes=ring.to_bytes(edges).hex(),
    )
    bad = {
        "at_q": ([5, ring.Q, 7], 3, f"word 1 is {ring.Q}, expected a residue below q"),
        "all_ones": ([2**64 - 1], 1, f"word 0 is {2**64 - 1}, expected a residue below q"),
        "one_missing": ([5, 6], 3, "expected 24 bytes of 8-byte residues, got 16"),
        "one_too_many": ([5, 6, 7, 8], 3, "expected 24 bytes of 8-byte residues, got 32"),
    }
    for name, (values, count, error) in bad.items():
        data = numbers(values, "Q")
        about = "Bytes that are no vector of `count` residues."
        write(
            f"residues_bad_{name}", "public", "residues_bad", about, bytes=data, count=count, error=error
        )
    write(
        "residues_bad_half_a_word",
        "public",
        "residues_bad",
        "Bytes that are no vector of `count` residues.",
        bytes="00" * 12,
        count=1,
        error="expected 8 bytes of 8-byte residues, got 12",
    )


def wire_words():
    roundings, layouts = [], []
    edges = [0, 1, 2, 2**31, 2**32 - 1, 2**32, 2**63, ring.Q // 2, ring.Q // 2 + 1]
    edges += [ring.Q - 2**31, ring.Q - 2, ring.Q - 1]
    stream = ring.residues(blake3.Xof(seed("words/residues")), 8)
    for w in packing.WIRE_BITS:
        to = [ring.to_word(c, w) for c in edges + stream]
        p = ring.modulus(w)
        received = [0, 1, p // 2, p // 2 + 1, p - 1, p, 2**w - 1] + to[-4:]
        roundings.append(
            {
                "wire_bits": w,
                "modulus": word(p),
                "residues": words(edges + stream),
                "words": words(to),
                "received": words(received),
                "lifted": words([ring.from_word(value, w) for value in received]),
            }
        )
        if w not in (32, 41, 52, 61, 63, 64):
            continue
        bodies = [ring.lay_out(masked(f"words/{i}", w), w) for i in range(3)]
        total = ring.add_bodies(bodies, w)
        layouts.append(
            {
                "wire_bits": w,
                "labels": [f"ringfence/v1/vectors/words/{i}" for i in range(3)],
                "first_bytes": [body[:64].hex() for body in bodies],
                "bytes": [len(body) for body in bodies],
                "digests": [blake3.digest(body).hex() for body in bodies],
                "sum_first_bytes": total[:64].hex(),
                "sum_digest": blake3.digest(total).hex(),
            }
        )
    write(
        "words",
        "public",
        "words",
        "Residues to wire words of w bits and back, and blocks of 4096 words laid out in bytes and "
        "added, modulo the largest prime below 2^w. The words of a block are the 8-byte little-endian "
        "words of the extendable output of BLAKE3 over `label`, cut to their lower w bits: some are at "
        "or above the prime at 64 bits or 32, and stand for their residue.",
        roundings=roundings,
        layouts=layouts,
    )
    for name, first, second, w in [("shorter", 41 * 64, 41 * 64 - 8, 41), ("no_group", 100, 100, 41)]:
        write(
            f"words_bad_{name}",
            "public",
            "words_bad",
            "Two buffers of zeros, of so many bytes, that cannot be added.",
            wire_bits=w,
            sum_bytes=first,
            body_bytes=second,
            error=f"expected {first} bytes, a multiple of 2624 (whole groups of 41-bit words, of 32 to 64 bits), got {second}",
        )


CELLS = [(b, n, 1 if n < 8 else min(n, 16) // 4) for b in (8, 10, 12, 16) for n in (3, 5, 10, 32, 100, 256, 500, 1000, 10_000)]


def packings():
    cases = []
    others = [(2, 3, 1), (24, 3, 1), (24, 16, 1), (24, 10_000, 4), (16, 17, 4), (16, 100, 16)]
    quiet = [(b, 0, n, c) for b, n, c in CELLS + others]
    # 12 bits: 4 * (4096 + 2 * 6144) is 2^16, and a slot just full.
    noisy = [(16, 1, 3, 1), (16, 500, 5, 1), (12, 6144, 4, 1), (12, 6145, 4, 1), (4, 24, 16, 4)]
    noisy += [(16, 100_000, 10, 2), (8, 4000, 100, 4), (24, 1 << 30, 3, 1), (20, 3_000_000, 32, 4)]
    for b, noise, n, c in quiet + noisy:
        derived = packing.derive(b, noise, n, c)
        w, delta = derived["wire_bits"], derived["delta_bits"]
        # The least, and the most that three blocks hold beside the count, and one more.
        full = 3 * derived["slots"] * ring.N - 1
        values = [1, full, full + 1]
        cases.append(
            {
                "sites": n,
                "collusion": c,
                "packing": derived,
                "contribution_limit": (1 << b) - 1 + 2 * noise,
                "slot_limit": n * ((1 << b) - 1 + 2 * noise),
                "noise_bound": packing.noise_bound(n, c, w),
                "mean_square_bound": float(packing.mean_square_bound(n, w)),
                "room": float(Decimal(packing.noise_bound(n, c, w)) / (1 << delta - 1)),
                "room_one_bit_less": w > packing.WIRE_BITS[0]
                and float(Decimal(packing.noise_bound(n, c, w - 1)) / (1 << delta - 1))
                or None,
                "values": values,
                "blocks": [packing.blocks_of(derived, v) for v in values],
            }
        )
    assert all(c["room"] < 0.995 and (c["room_one_bit_less"] or 2) > 1.005 for c in cases)
    write(
        "packing",
        "public",
        "packing",
        "Value bits, the bound of the integer noise that a site adds to a value, sites and how many of "
        "them may choose the cipher's noise, to slots, scale and wire words. "
        "`room` is the noise bound over half "
        "the scale, and with one bit less a word (none below 32): the first is below 1, the second not, "
        "and neither is within half a percent of it, so that no implementation's floating point decides.",
        cases=cases,
    )
    base = packing.derive(16, 0, 5, 1)
    bad = {
        "another_slot": ({"slots": 3}, 5, "3 slots of 19 bits above 2^26 overflow the modulus"),
        "larger_scale": ({"delta_bits": 27}, 5, "2 slots of 19 bits above 2^27 overflow the modulus"),
        "narrow_words": ({"wire_bits": 40}, 5, "beyond half the scale, 2^25"),
        "more_sites": ({}, 9, "9 sites at 16 bits need slots of 20 bits"),
        "no_slot": ({"slots": 0}, 5, "at least one of them; the study states 0 of 19"),
        "value_bits": ({"value_bits": 25}, 5, "expected 2 to 24 bits a value, got 25"),
        "wire_bits": ({"wire_bits": 65}, 5, "expected 32 to 64 bits a wire word, got 65"),
        "noise_without_room": (
            {"noise_bound": 100_000}, 5,
            "5 sites at 16 bits with noise of up to 100000 need slots of 21 bits, at least one of them; the study states 2 of 19",
        ),
        "room_without_noise": (
            {**packing.derive(16, 100_000, 5, 1), "noise_bound": 0}, 5, "5 sites at 16 bits need slots of 19 bits",
        ),
        "noise_bound": (
            {"noise_bound": (1 << 30) + 1}, 5, f"a noise bound of at most {1 << 30} for a quantized value, got {(1 << 30) + 1}",
        ),
        "wire_bits_31": ({"wire_bits": 31}, 5, "expected 32 to 64 bits a wire word, got 31"),
    }  # fmt: skip
    for name, (changes, sites, error) in bad.items():
        write(
            f"packing_bad_{name}",
            "public",
            "packing_bad",
            "A packing that a study must not have.",
            packing={**base, **changes},
            sites=sites,
            collusion=1,
            error=error,
        )


def add_all():
    polynomials()
    residues()
    wire_words()
    packings()
    noise_bounds()
