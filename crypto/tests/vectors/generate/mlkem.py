"""ML-KEM-768 (FIPS 203): key generation, encapsulation, decapsulation, all deterministic."""

import hashlib

Q, N, K = 3329, 256, 3
ETA, DU, DV = 2, 10, 4  # for ML-KEM-768 both etas are 2 (table 2)
EK_BYTES, CT_BYTES = 384 * K + 32, 32 * (DU * K + DV)


def _bit_reverse(i):
    return int(f"{i:07b}"[::-1], 2)


ZETAS = [pow(17, _bit_reverse(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * _bit_reverse(i) + 1, Q) for i in range(128)]


def _encode(values, d):
    number = 0
    for i, value in enumerate(values):
        number |= value << i * d
    return number.to_bytes(len(values) * d // 8, "little")


def _decode(data, d):
    number, mask = int.from_bytes(data, "little"), (1 << d) - 1
    return [number >> i * d & mask for i in range(len(data) * 8 // d)]


def reduced(ek):
    """The check of an encapsulation key (FIPS 203, 7.2): every coefficient is below q."""
    return len(ek) == EK_BYTES and max(_decode(ek[:-32], 12)) < Q


def _compress(values, d):
    # Round half up: floor((2^d x + q/2) / q) with q odd.
    return [((x << d + 1) + Q) // (2 * Q) % (1 << d) for x in values]


def _decompress(values, d):
    return [(x * Q * 2 + (1 << d)) >> d + 1 for x in values]


def ntt(f):
    """Algorithm 9."""
    f, at, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[at]
            at += 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def inverse_ntt(f):
    """Algorithm 10."""
    f, at, length = list(f), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[at]
            at -= 1
            for j in range(start, start + length):
                t = f[j]
                f[j] = (t + f[j + length]) % Q
                f[j + length] = zeta * (f[j + length] - t) % Q
        length *= 2
    return [x * 3303 % Q for x in f]


def _multiply(f, g):
    """Algorithm 11: products of the pairs modulo X^2 - gamma."""
    out = []
    for i, gamma in enumerate(GAMMAS):
        a0, a1, b0, b1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        out += [(a0 * b0 + a1 * b1 * gamma) % Q, (a0 * b1 + a1 * b0) % Q]
    return out


def _add(f, g):
    return [(a + b) % Q for a, b in zip(f, g)]


def _inner(row, column):
    total = [0] * N
    for f, g in zip(row, column):
        total = _add(total, _multiply(f, g))
    return total


def _sample_ntt(seed):
    """Algorithm 7."""
    stream = hashlib.shake_128(seed).digest(168 * 8)  # more than any of these seeds needs
    values, at = [], 0
    while len(values) < N:
        c0, c1, c2 = stream[at : at + 3]
        at += 3
        values += [d for d in (c0 + 256 * (c1 % 16), c1 // 16 + 16 * c2) if d < Q]
    return values[:N]


def _sample_cbd(seed, nonce):
    """Algorithm 8 with eta = 2."""
    bits = _decode(hashlib.shake_256(seed + bytes([nonce])).digest(64 * ETA), 1)
    pairs = (bits[2 * ETA * i : 2 * ETA * (i + 1)] for i in range(N))
    return [(sum(b[:ETA]) - sum(b[ETA:])) % Q for b in pairs]


def _matrix(rho):
    return [[_sample_ntt(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def keygen(d, z):
    """Algorithms 16 and 13: (encapsulation key, decapsulation key)."""
    seeds = hashlib.sha3_512(d + bytes([K])).digest()
    rho, sigma = seeds[:32], seeds[32:]
    matrix = _matrix(rho)
    s = [ntt(_sample_cbd(sigma, i)) for i in range(K)]
    e = [ntt(_sample_cbd(sigma, K + i)) for i in range(K)]
    t = [_add(_inner(row, s), error) for row, error in zip(matrix, e)]
    ek = b"".join(_encode(f, 12) for f in t) + rho
    dk = b"".join(_encode(f, 12) for f in s)
    return ek, dk + ek + hashlib.sha3_256(ek).digest() + z


def _encrypt(ek, message, randomness):
    """Algorithm 14."""
    t = [_decode(ek[384 * i : 384 * (i + 1)], 12) for i in range(K)]
    matrix = _matrix(ek[384 * K :])
    y = [ntt(_sample_cbd(randomness, i)) for i in range(K)]
    e1 = [_sample_cbd(randomness, K + i) for i in range(K)]
    e2 = _sample_cbd(randomness, 2 * K)
    transposed = [[matrix[j][i] for j in range(K)] for i in range(K)]
    u = [_add(inverse_ntt(_inner(row, y)), error) for row, error in zip(transposed, e1)]
    mu = _decompress(_decode(message, 1), 1)
    v = _add(_add(inverse_ntt(_inner(t, y)), e2), mu)
    return b"".join(_encode(_compress(f, DU), DU) for f in u) + _encode(_compress(v, DV), DV)


def encapsulate(ek, message):
    """Algorithm 17: (shared secret, ciphertext)."""
    derived = hashlib.sha3_512(message + hashlib.sha3_256(ek).digest()).digest()
    return derived[:32], _encrypt(ek, message, derived[32:])


def decapsulate(dk, ciphertext):
    """Algorithm 18, with implicit rejection."""
    s, ek = dk[: 384 * K], dk[384 * K : 384 * K + EK_BYTES]
    h, z = dk[-64:-32], dk[-32:]
    parts = [ciphertext[32 * DU * i : 32 * DU * (i + 1)] for i in range(K)]
    u = [_decompress(_decode(part, DU), DU) for part in parts]
    v = _decompress(_decode(ciphertext[32 * DU * K :], DV), DV)
    secret = [_decode(s[384 * i : 384 * (i + 1)], 12) for i in range(K)]
    product = inverse_ntt(_inner(secret, [ntt(f) for f in u]))
    w = [(a - b) % Q for a, b in zip(v, product)]
    message = _encode(_compress(w, 1), 1)
    derived = hashlib.sha3_512(message + h).digest()
    if _encrypt(ek, message, derived[32:]) == ciphertext:
        return derived[:32]
    return hashlib.shake_256(z + ciphertext).digest(32)
