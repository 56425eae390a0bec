"""ChaCha20-Poly1305 (RFC 8439)."""

import hmac
import struct

MASK = 0xFFFFFFFF
CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")
ROUND = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip


def block(key, counter, nonce):
    """The 64 bytes of key stream of one counter value (section 2.3)."""
    start = CONSTANTS + struct.unpack("<8I", key) + (counter,) + struct.unpack("<3I", nonce)
    v = list(start)
    for _ in range(10):
        for a, b, c, d in ROUND:
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            va = (va + vb) & MASK
            vd ^= va
            vd = (vd << 16 | vd >> 16) & MASK
            vc = (vc + vd) & MASK
            vb ^= vc
            vb = (vb << 12 | vb >> 20) & MASK
            va = (va + vb) & MASK
            vd ^= va
            vd = (vd << 8 | vd >> 24) & MASK
            vc = (vc + vd) & MASK
            vb ^= vc
            v[a], v[b], v[c], v[d] = va, (vb << 7 | vb >> 25) & MASK, vc, vd
    return struct.pack("<16I", *((x + y) & MASK for x, y in zip(v, start)))


def chacha20(key, counter, nonce, data):
    blocks = range(counter, counter + -(-len(data) // 64))
    stream = b"".join(block(key, at, nonce) for at in blocks)[: len(data)]
    number = int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")
    return number.to_bytes(len(data), "little")


def poly1305(key, message):
    """Section 2.5."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    accumulator = 0
    for at in range(0, len(message), 16):
        part = int.from_bytes(message[at : at + 16] + b"\1", "little")
        accumulator = (accumulator + part) * r % (2**130 - 5)
    return ((accumulator + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def _tag(key, nonce, associated, ciphertext):
    def padded(data):
        return data + b"\0" * (-len(data) % 16)

    lengths = struct.pack("<QQ", len(associated), len(ciphertext))
    message = padded(associated) + padded(ciphertext) + lengths
    return poly1305(block(key, 0, nonce)[:32], message)


def seal(key, nonce, associated, plaintext):
    ciphertext = chacha20(key, 1, nonce, plaintext)
    return ciphertext + _tag(key, nonce, associated, ciphertext)


def open_sealed(key, nonce, associated, sealed):
    """The plaintext, or None when the tag does not match."""
    ciphertext, tag = sealed[:-16], sealed[-16:]
    if not hmac.compare_digest(tag, _tag(key, nonce, associated, ciphertext)):
        return None
    return chacha20(key, 1, nonce, ciphertext)
