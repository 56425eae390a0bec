"""Thresholds, check words, and sharing of a key vector among the key holders."""

import struct

import blake3
from ring import N, Q, residues

KEY_WORDS = N + 2


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


def check_vectors(check_key, round_digest):
    """rho_0 and rho_1: successive residues of one stream."""
    xof = blake3.Xof(b"ringfence/check/1" + round_digest, key=check_key)
    return [residues(xof, N), residues(xof, N)]


def check_scales(check_key, round_digest, block):
    """sigma_{j,0} and sigma_{j,1} of block j."""
    seed = b"ringfence/check-block/1" + round_digest + struct.pack("<Q", block)
    return residues(blake3.Xof(seed, key=check_key), 2)


def check_words(check_key, round_digest, blocks):
    """tau_i = sum_j sigma_{j,i} sum_k rho_{i,k} m_{j,k}."""
    vectors, words = check_vectors(check_key, round_digest), [0, 0]
    for j, block in enumerate(blocks):
        scales = check_scales(check_key, round_digest, j)
        for i in range(2):
            inner = sum(rho * m for rho, m in zip(vectors[i], block))
            words[i] = (words[i] + scales[i] * inner) % Q
    return words


def share_words(threshold):
    return -(-KEY_WORDS // threshold["packing"])


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
    return residues(blake3.Xof(b"ringfence/share/1" + seed), share_words(threshold))


def share(secret, threshold, seeds):
    """All m shares as words: the first t - l from seeds, the others by interpolation."""
    l, count = threshold["packing"], share_words(threshold)
    padded = secret + [0] * (count * l - len(secret))
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
        columns = zip(*(words for _, words in shares[:t]))
        parts.append([sum(w * v for w, v in zip(weights, column)) % Q for column in columns])
    return [word for group in zip(*parts) for word in group][:KEY_WORDS]


def add_vectors(vectors):
    return [sum(column) % Q for column in zip(*vectors)]
