"""OpenFHE's BFV at depth 0: additions only, one key pair, one quantized value a slot.

The plaintext modulus is the smallest prime above the largest sum that allows packing
(1 modulo 2N); the library chooses ring and modulus for 128 bits of security.
"""

import sys
import tempfile

import common

try:
    import numpy
    import openfhe
except ImportError:
    sys.exit(common.NOT_INSTALLED)


def is_prime(number):
    return number > 1 and all(number % k for k in range(2, int(number**0.5) + 1))


args = common.arguments()
updates = common.updates(args)
limit = 2**args.bits - 1
# Prime for every ring up to 2^14, so that the library may choose any of them.
modulus = args.sites * limit // 2**15 * 2**15 + 1
while modulus <= 2 * args.sites * limit or not is_prime(modulus):
    modulus += 2**15

parameters = openfhe.CCParamsBFVRNS()
parameters.SetPlaintextModulus(modulus)
parameters.SetMultiplicativeDepth(0)
parameters.SetSecurityLevel(openfhe.SecurityLevel.HEStd_128_classic)
context = openfhe.GenCryptoContext(parameters)
context.Enable(openfhe.PKESchemeFeature.PKE)
context.Enable(openfhe.PKESchemeFeature.LEVELEDSHE)
keys = context.KeyGen()
slots = context.GetRingDimension()


def quantize(update):
    scaled = (numpy.clip(update.astype(numpy.float64), -args.clip, args.clip) + args.clip) * (
        limit / (2 * args.clip)
    )
    return numpy.floor(scaled + 0.5).astype(numpy.int64)


def encrypt(update):
    """Quantized, packed, encrypted and serialized: what travels."""
    values = quantize(update)
    body = []
    for first in range(0, len(values), slots):
        plain = context.MakePackedPlaintext(values[first : first + slots].tolist())
        ciphertext = context.Encrypt(keys.publicKey, plain)
        body.append(openfhe.Serialize(ciphertext, openfhe.BINARY))
    return body


def load(body):
    return [openfhe.DeserializeCiphertextString(chunk, openfhe.BINARY) for chunk in body]


def add(total, body):
    for left, right in zip(total, load(body)):
        context.EvalAddInPlace(left, right)


def decrypt(total):
    sums = []
    for index, ciphertext in enumerate(total):
        plain = context.Decrypt(ciphertext, keys.secretKey)
        plain.SetLength(min(slots, args.parameters - index * slots))
        sums.extend(plain.GetPackedValue())
    # BFV gives residues in (-modulus/2, modulus/2); the modulus is above twice the largest sum.
    sums = numpy.array(sums)
    return sums, sums * (2 * args.clip / (limit * args.sites)) - args.clip


encrypt_seconds, body = common.timed(args, lambda: encrypt(updates[0]))
total = load(body)
for update in updates[1:]:
    add(total, encrypt(update))
open_seconds, (sums, mean) = common.timed(args, lambda: decrypt(total))
plain = sum(quantize(update) for update in updates)
if not numpy.array_equal(sums, plain):
    raise SystemExit(f"wrong sums at {numpy.flatnonzero(sums != plain)[:5]}")
max_error = float(numpy.abs(mean - updates.mean(axis=0, dtype=numpy.float64)).max())
add_seconds, _ = common.timed(args, lambda: add(total, body))
common.print_row(
    args,
    "openfhe-bfv",
    encrypt_seconds,
    add_seconds,
    open_seconds,
    sum(map(len, body)),
    max_error,
    f"OpenFHE BFVrns, depth 0, N = {slots}, plaintext modulus {modulus}, HEStd_128_classic, public "
    "key; times include (de)serializing; ONE secret key opens everything.",
    "OpenFHE's own parameter generation",
)
