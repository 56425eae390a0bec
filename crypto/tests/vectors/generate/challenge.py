"""The challenge of a freeze: factors, and the two masked words that a holder answers with."""

from functools import cache

import blake3
from judgement import masked
from ring import Q, residues


@cache
def factors(freeze_digest, count):
    """gamma_0 and gamma_1, of `count` words each: successive residues of one stream."""
    stream = residues(blake3.Xof(b"ringfence/review/2" + bytes.fromhex(freeze_digest)), 2 * count)
    return stream[:count], stream[count:]


def words(share, gammas):
    """y_e = g_e(k) + sum_p gamma_{e,p} P_p(k); the masks' words stand at the end of a share."""
    masks = share[-2:]
    return [
        (mask + sum(gamma * word for gamma, word in zip(gammas[e], share))) % Q
        for e, mask in enumerate(masks)
    ]


def answer(share, gammas):
    return masked(words(share, gammas))
