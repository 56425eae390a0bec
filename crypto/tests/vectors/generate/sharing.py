"""Thresholds, check words, and sharing of a key vector among the key holders."""

import struct
from functools import cache

import blake3
import chacha
from ring import N, Q, modulus, residues, to_bytes

KEY_WORDS = N
CHECK_WORDS = 4
MASKS = 2


def thresholds(m, c, l):
    """A study's threshold entry."""
    return {
        "holders": m,
        "collusion": c,
        "packing": l,
        "opening": max(c + l, m - 2 * c),
        "endorsements": (m + c) // 2 + 1,
    }


def keyed_digest(check_key, label, data=b""):
    return blake3.digest(label + data, key=check_key)


@cache
def check_vectors(check_key, round_digest):
    """rho_0 to rho_3: successive 32-bit numbers of one stream."""
    xof = blake3.Xof(b"ringfence/check/2" + round_digest, key=check_key)
    return [struct.unpack(f"<{N}I", xof.read(4 * N)) for _ in range(CHECK_WORDS)]


def check_scales(check_key, round_digest, block):
    """sigma_{0,j} to sigma_{3,j} of block j."""
    seed = b"ringfence/check-block/2" + round_digest + struct.pack("<Q", block)
    return struct.unpack("<4I", blake3.Xof(seed, key=check_key).read(16))


def check_words(check_key, round_digest, blocks, w):
    """tau_i = sum_j sigma_{i,j} sum_k rho_{i,k} W_{j,k} mod p over the wire words of a body."""
    vectors, words = check_vectors(check_key, round_digest), [0] * CHECK_WORDS
    for j, block in enumerate(blocks):
        scales = check_scales(check_key, round_digest, j)
        for i in range(CHECK_WORDS):
            inner = sum(rho * word for rho, word in zip(vectors[i], block))
            words[i] = (words[i] + scales[i] * inner) % modulus(w)
    return words


def seal_check_words(check_key, words, binding):
    """The check words in a header; `binding` is the canonical bytes that they are bound to."""
    key = blake3.digest(b"ringfence/check-seal/1" + binding, key=check_key)
    return chacha.seal(key, bytes(12), binding, to_bytes(words))


def share_words(threshold):
    """Polynomials of the key, and so words of an opening."""
    return -(-KEY_WORDS // threshold["packing"])


def dealt_words(threshold):
    """Words that a share is dealt with: two masks more."""
    return share_words(threshold) + MASKS


def seeded(threshold):
    """How many holders, from the start of the window, are dealt a seed."""
    return threshold["opening"] - threshold["packing"]


def lagrange(nodes, x):
    weights = []
    for i, node in enumerate(nodes):
        numerator = denominator = 1
        for j, other in enumerate(nodes):
            if i != j:
                numerator = numerator * (x - other) % Q
                denominator = denominator * (node - other) % Q
        weights.append(numerator * pow(denominator, -1, Q) % Q)
    return weights


def expand_seed(seed, threshold):
    return residues(blake3.Xof(b"ringfence/share/1" + seed), dealt_words(threshold))


def share(secret, masks, threshold, seeds):
    """All m shares as words: the first t - l from seeds, the others by interpolation. `masks` are the
    values of the two mask polynomials at 0, -1, ..., -(l-1): 2 l random residues."""
    l, count = threshold["packing"], share_words(threshold)
    padded = secret + [0] * (count * l - len(secret)) + masks
    assert len(masks) == MASKS * l
    shares = [expand_seed(seed, threshold) for seed in seeds]
    known = [padded[i::l] for i in range(l)] + shares
    nodes = [-i % Q for i in range(l)] + [k + 1 for k in range(len(seeds))]
    for offset in range(len(seeds), threshold["holders"]):
        weights = lagrange(nodes, offset + 1)
        columns = zip(*known)
        shares.append([sum(w * v for w, v in zip(weights, column)) % Q for column in columns])
    return shares


def reconstruct(shares, threshold):
    """The secret from (window offset, share) pairs of at least t holders that all agree."""
    l, t = threshold["packing"], threshold["opening"]
    nodes = [offset + 1 for offset, _ in shares[:t]]
    parts = []
    for i in range(l):
        weights = lagrange(nodes, -i % Q)
        columns = zip(*(words[: share_words(threshold)] for _, words in shares[:t]))
        parts.append([sum(w * v for w, v in zip(weights, column)) % Q for column in columns])
    return [word for group in zip(*parts) for word in group][:KEY_WORDS]


def add_vectors(vectors):
    return [sum(column) % Q for column in zip(*vectors)]
