"""TenSEAL's CKKS at NVIDIA FLARE's settings: one secret key at every site.

NVIDIA FLARE's HEBuilder defaults: poly_modulus_degree 8192, coeff_mod_bit_sizes [60, 40, 40],
scale 2^40, symmetric encryption. Values are floats, not quantized; a ciphertext carries 4096.
"""

import sys

import common

try:
    import numpy
    import tenseal
except ImportError:
    sys.exit(common.NOT_INSTALLED)

SLOTS = 4096

args = common.arguments()
updates = common.updates(args)
context = tenseal.context(
    tenseal.SCHEME_TYPE.CKKS,
    poly_modulus_degree=2 * SLOTS,
    coeff_mod_bit_sizes=[60, 40, 40],
    encryption_type=tenseal.ENCRYPTION_TYPE.SYMMETRIC,
    n_threads=1,
)
context.global_scale = 2**40


def encrypt(update):
    """Encrypted and serialized: what travels."""
    chunks = (update[first : first + SLOTS] for first in range(0, len(update), SLOTS))
    return [tenseal.ckks_vector(context, chunk).serialize() for chunk in chunks]


def load(body):
    return [tenseal.ckks_vector_from(context, chunk) for chunk in body]


def add(total, body):
    """Deserializes a body and adds it, ciphertext by ciphertext."""
    for left, right in zip(total, load(body)):
        left += right


def decrypt(total):
    values = [value for chunk in total for value in chunk.decrypt()]
    return numpy.array(values[: args.parameters]) / args.sites


encrypt_seconds, body = common.timed(args, lambda: encrypt(updates[0]))
total = load(body)
for update in updates[1:]:
    add(total, encrypt(update))
open_seconds, mean = common.timed(args, lambda: decrypt(total))
max_error = float(numpy.abs(mean - updates.mean(axis=0, dtype=numpy.float64)).max())
add_seconds, _ = common.timed(args, lambda: add(total, body))
common.print_row(
    args,
    "tenseal-ckks",
    encrypt_seconds,
    add_seconds,
    open_seconds,
    sum(map(len, body)),
    max_error,
    f"TenSEAL {tenseal.__version__} CKKS, N = 8192, moduli 60 + 40 + 40 bits, scale 2^40, "
    "symmetric, floats not quantized; times include (de)serializing; ONE secret key held by every "
    "site.",
    "defaults of NVIDIA FLARE's HEBuilder",
)
