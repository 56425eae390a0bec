"""Ed25519 signatures (RFC 8032, section 5.1) and the points that Ringfence's bad cases need."""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)


def _recover_x(y, sign):
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    if x2 == 0:
        return None if sign else 0
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * SQRT_MINUS_ONE % P
    if (x * x - x2) % P:
        return None
    return x if x & 1 == sign else P - x


BASE_Y = 4 * pow(5, -1, P) % P
BASE = (_recover_x(BASE_Y, 0), BASE_Y)
IDENTITY = (0, 1)


def add(a, b):
    """Sum of two points in affine coordinates; the formula is complete."""
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def _add_projective(a, b):
    """The same formula without division, for points x/z, y/z given as (x, y, z)."""
    (x1, y1, z1), (x2, y2, z2) = a, b
    z = z1 * z2 % P
    square, product = z * z % P, D * x1 * x2 * y1 * y2 % P
    minus, plus = (square - product) % P, (square + product) % P
    x = z * minus * (x1 * y2 + x2 * y1) % P
    y = z * plus * (y1 * y2 + x1 * x2) % P
    return x, y, minus * plus % P


def multiply(scalar, point):
    result, doubled = (0, 1, 1), (*point, 1)
    while scalar:
        if scalar & 1:
            result = _add_projective(result, doubled)
        doubled = _add_projective(doubled, doubled)
        scalar >>= 1
    x, y, z = result
    inverse = pow(z, -1, P)
    return x * inverse % P, y * inverse % P


def compress(point):
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decompress(data):
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    x = _recover_x(y, sign)
    return None if x is None else (x, y)


def _expand(seed):
    h = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(h[:32], "little") & ((1 << 254) - 8) | 1 << 254
    return scalar, h[32:]


def _challenge(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L


_PUBLIC = {}


def public_key(seed):
    if seed not in _PUBLIC:
        _PUBLIC[seed] = compress(multiply(_expand(seed)[0], BASE))
    return _PUBLIC[seed]


def sign(seed, message):
    scalar, prefix = _expand(seed)
    r = _challenge(prefix, message)
    encoded = compress(multiply(r, BASE))
    s = (r + _challenge(encoded, public_key(seed), message) * scalar) % L
    return encoded + s.to_bytes(32, "little")


def sign_with_small_r(seed, message):
    """R is the identity, S = H(R, A, M) a: the equation holds, and only a strict verifier refuses."""
    encoded = compress(IDENTITY)
    s = _challenge(encoded, public_key(seed), message) * _expand(seed)[0] % L
    return encoded + s.to_bytes(32, "little")


def verify(public, message, signature):
    """Strictly: canonical encodings and no point of small order, the equation without cofactor."""
    if len(signature) != 64:
        return False
    a, r = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    if multiply(8, a) == IDENTITY or multiply(8, r) == IDENTITY:
        return False
    challenge = _challenge(signature[:32], public, message)
    return multiply(s, BASE) == add(r, multiply(challenge, a))
