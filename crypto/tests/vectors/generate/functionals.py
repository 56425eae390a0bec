"""What a dispute opens: one coefficient of a_j s as a linear functional of the shared key."""

from fractions import Fraction

import packing
import ring
import sharing
from ring import N, Q


def row(public_values, coefficient):
    """row_x = N^-1 point_x^-k a_j[x]: coefficient k of a_j s is the inner product with s."""
    scale = pow(N, -1, Q)
    return [
        scale * pow(ring.point(x), -coefficient, Q) * value % Q
        for x, value in enumerate(public_values)
    ]


def values(share, row, threshold):
    """F_0(k) to F_{l-1}(k) of a holder: F_u = sum_p row_{p l + u} P_p."""
    l = threshold["packing"]
    return [sum(r * word for r, word in zip(row[u::l], share)) % Q for u in range(l)]


def combine(points, threshold):
    """The functional sum_u F_u(-u) from (window offset, values) pairs of t holders that agree."""
    l, t = threshold["packing"], threshold["opening"]
    nodes = [offset + 1 for offset, _ in points[:t]]
    total = 0
    for u in range(l):
        weights = sharing.lagrange(nodes, -u % Q)
        total += sum(w * value[u] for w, (_, value) in zip(weights, points))
    return total % Q


def coefficient(word, functional, delta_bits, w):
    """Message and noise of one coefficient of one body. Nothing is rounded: all sites must find the
    same, and the same bound as the site that rounded when it sent."""
    p = ring.modulus(w)
    exact, delta = Fraction(word % p * Q, p), 1 << delta_bits
    whole = exact.numerator // exact.denominator
    value = (whole - functional + delta // 2) % Q
    return value // delta, value % delta - delta // 2 + exact - whole


def bound_of_one(w):
    """Tail and rounding of the site that sent it."""
    return packing.TAIL + Fraction(Q, 2 * ring.modulus(w)) + packing.ROUNDING
