"""Quantizing, packing of values into coefficients, and the packing that a study gets: slots,
scale and wire words by a Chernoff bound on the noise."""

import math
import struct
from decimal import Decimal, getcontext
from functools import lru_cache

from ring import N, Q, modulus

getcontext().prec = 40
SIGMA = Decimal("6.4")
MAX_BLOCKS, MIN_BLOCKS = 1 << 14, 2
FAILURE_LOG2 = 64
# Natural logarithm of 2 * 2^26 * 2^64: two sides, all coefficients of a largest model.
LEVEL = (1 + (MAX_BLOCKS * N).bit_length() - 1 + FAILURE_LOG2) * Decimal(2).ln()


# Residues by which the rounding to a word may miss half a word, and the lifting of one W q / p.
ROUNDING, LIFTING = 2, 3
WIRE_BITS = range(32, 65)
TAIL = 64


def half_width(w):
    """The most that the rounding to a word errs."""
    return Decimal(Q) / modulus(w) / 2 + ROUNDING


def _cumulant(t, h):
    """K(t) and K'(t) of one contribution: Gaussian t^2 sigma^2 / 2, uniform ln(sinh(th)/(th)), and
    2 t for roundings that are off centre."""
    x = t * h
    if x < Decimal("1e-12"):
        uniform, slope = x * x / 6, x / 3
    else:
        small = (-2 * x).exp()
        uniform = x - (2 * x).ln() + (1 - small).ln()
        slope = (1 + small) / (1 - small) - 1 / x
    value = t * t * SIGMA * SIGMA / 2 + uniform + ROUNDING * t
    return value, t * SIGMA * SIGMA + h * slope + ROUNDING


@lru_cache(maxsize=None)
def noise_infimum(sites, w):
    """min over t > 0 of (n K(t) + L) / t: where n (t K'(t) - K(t)) = L, which rises with t."""
    h = half_width(w)
    low, high = Decimal("1e-21"), Decimal(100)
    for _ in range(70):
        middle = (low * high).sqrt()
        value, slope = _cumulant(middle, h)
        if sites * (middle * slope - value) < LEVEL:
            low = middle
        else:
            high = middle
    return (sites * _cumulant(low, h)[0] + LEVEL) / low


def noise_bound(sites, c, w):
    """Largest noise of a coefficient but for a chance of 2^-64 a model: c sites choose theirs."""
    honest, most = max(sites - c, 0), TAIL + half_width(w)
    bound = min(noise_infimum(honest, w), honest * most) if honest else 0
    return sixteen_bits(math.ceil(bound + min(c, sites) * most + LIFTING))


def sixteen_bits(number):
    """The next number of 16 significant bits: floating point elsewhere comes to the same."""
    step = 1 << max(0, number.bit_length() - 16)
    return -(-number // step) * step


def mean_square_bound(sites, w):
    """Largest mean square of the noise over one block, if every site draws its noise as it should
    (Hsu, Kakade and Zhang 2012)."""
    proxy = sites * (SIGMA * SIGMA + half_width(w) ** 2 / 3) + LIFTING**2
    ratio = LEVEL / N
    return proxy * (1 + 2 * ratio.sqrt() + 2 * ratio)


def contribution_limit(packing):
    """The largest value that a site contributes, q + e + B."""
    return (1 << packing["value_bits"]) - 1 + 2 * packing["noise_bound"]


def slot_bits(value_bits, noise_bound, sites):
    """Room for one step more of each site than it may contribute."""
    return (sites * ((1 << value_bits) + 2 * noise_bound) - 1).bit_length()


def fits(packing, sites):
    """Delta (M_max + 1) < q for the largest sum M_max."""
    largest = sites * contribution_limit(packing)
    message = sum(largest << s * packing["slot_bits"] for s in range(packing["slots"]))
    return (message + 1) << packing["delta_bits"] < Q


def quiet(sites, c, w, delta_bits):
    return noise_bound(sites, c, w) < 1 << delta_bits - 1


def derive(value_bits, noise_bound, sites, c):
    """The packing with the fewest wire bits a value; of equals the one with more slots."""
    width, best = slot_bits(value_bits, noise_bound, sites), None
    of_values = {"value_bits": value_bits, "noise_bound": noise_bound}
    for slots in range(1, 63 // width + 1):
        packing = {**of_values, "slot_bits": width, "slots": slots}
        deltas = [d for d in range(1, 63) if fits({**packing, "delta_bits": d}, sites)]
        if not deltas or not quiet(sites, c, 64, max(deltas)):
            continue
        delta, low, high = max(deltas), WIRE_BITS[0] - 1, 64
        while high - low > 1:  # noise falls as words widen
            middle = (low + high) // 2
            low, high = (low, middle) if quiet(sites, c, middle, delta) else (middle, high)
        packing |= {"delta_bits": delta, "wire_bits": high}
        # high / slots < best, or equal with more slots.
        if best is None or high * best["slots"] <= best["wire_bits"] * slots:
            best = packing
    return best


def values_of(layout):
    return sum(math.prod(tensor["shape"]) for tensor in layout)


def blocks_of(packing, values):
    return max(MIN_BLOCKS, -(-(values + 1) // (packing["slots"] * N)))


def float32(value):
    """The nearest float32, as a double."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def clips_of(layout):
    """The clip bound of every value, in layout order."""
    return [float32(t["clip"]) for t in layout for _ in range(math.prod(t["shape"]))]


def quantize(value, clip, value_bits, dither):
    """A float32 to an integer of `value_bits` bits; `dither` is four bytes, of which, read as a
    little-endian number, the upper 28 bits are used."""
    limit = (1 << value_bits) - 1
    y = (max(-clip, min(value, clip)) + clip) * (limit / (2 * clip))
    fixed = round(y * 2.0**28)  # exact scaling; Python rounds ties to even
    return min(fixed + (int.from_bytes(dither, "little") >> 4) >> 28, limit)


def mean(total, sites, clip, value_bits, noise_bound=0):
    """Operations in this order, in double precision, one rounding to float32 at the end; the noise
    bounds come off as integers."""
    limit = float((1 << value_bits) - 1) * float(sites)
    return float32(float(total - sites * noise_bound) / limit * 2.0 * clip - clip)


def weighed(value, clip, factor):
    """Clipped first, then times the factor, then one rounding to float32."""
    return float32(max(-clip, min(value, clip)) * factor)


def factor(counts, place):
    """One division of doubles."""
    return float(counts[place]) / float(max(counts))


def correction(counts, places):
    """k m / s: what the plain mean over `places` is multiplied by; m is the whole roster's largest
    count. Product and sum are exact."""
    return float(len(places) * max(counts)) / float(sum(counts[place] for place in places))


def value_range(counts, place, value_bits):
    """Least and largest value of a site: rounded outwards, and a step further."""
    limit, m, n = (1 << value_bits) - 1, max(counts), counts[place]
    least = (m - n) * limit // (2 * m) - 1
    most = -(-(m + n) * limit // (2 * m)) + 1
    return [max(0, least), min(limit, most)]


def weighted_mean(total, counts, places, clip, value_bits):
    """The plain mean, rounded to float32, times the correction, rounded to float32 again."""
    return float32(mean(total, len(places), clip, value_bits) * correction(counts, places))


def pack_values(values, packing):
    """Blocks of N coefficients from quantized values; value 0 counts the site."""
    slots, width = packing["slots"], packing["slot_bits"]
    count = blocks_of(packing, len(values))
    padded = [1, *values]
    padded += [0] * (count * slots * N - len(padded))
    blocks = []
    for j in range(count):
        part = padded[j * slots * N : (j + 1) * slots * N]
        blocks.append([sum(part[s * N + k] << s * width for s in range(slots)) for k in range(N)])
    return blocks


def unpack_values(blocks, packing):
    """All slots of all blocks; the last slot takes every bit that is left."""
    out, width = [], packing["slot_bits"]
    for block in blocks:
        for s in range(packing["slots"]):
            last = s + 1 == packing["slots"]
            out += [c >> s * width & (-1 if last else (1 << width) - 1) for c in block]
    return out
