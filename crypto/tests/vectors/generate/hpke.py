"""HPKE base mode (RFC 9180) with the X-Wing KEM (draft-connolly-cfrg-xwing-kem, KEM id 0x647a),
HKDF-SHA256 (0x0001) and ChaCha20-Poly1305 (0x0003), as one-shot sealing."""

import hashlib
import hmac
import struct

import chacha
import mlkem
from x25519 import BASE, x25519

KEM_ID, KDF_ID, AEAD_ID = 0x647A, 0x0001, 0x0003
ENCAPSULATED = mlkem.CT_BYTES + 32
XWING_LABEL = b"\\.//^\\"


def xwing_keys(seed):
    """Both halves of a key pair from its 32-byte decapsulation key."""
    expanded = hashlib.shake_256(seed).digest(96)
    ek, dk = mlkem.keygen(expanded[:32], expanded[32:64])
    return dk, expanded[64:], ek, x25519(expanded[64:], BASE)


def public_key(seed):
    """The encapsulation key: that of ML-KEM-768, then that of X25519; 1216 bytes."""
    return b"".join(xwing_keys(seed)[2:])


def _combine(ss_m, ss_x, ct_x, pk_x):
    return hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + XWING_LABEL).digest()


def encapsulate(public, randomness):
    """(shared secret, encapsulated key), from 64 bytes: ML-KEM's, then X25519's ephemeral key."""
    pk_m, pk_x = public[: mlkem.EK_BYTES], public[mlkem.EK_BYTES :]
    ss_m, ct_m = mlkem.encapsulate(pk_m, randomness[:32])
    ephemeral = randomness[32:]
    ct_x, ss_x = x25519(ephemeral, BASE), x25519(ephemeral, pk_x)
    return _combine(ss_m, ss_x, ct_x, pk_x), ct_m + ct_x


def decapsulate(seed, encapsulated):
    dk_m, sk_x, _, pk_x = xwing_keys(seed)
    ct_m, ct_x = encapsulated[: mlkem.CT_BYTES], encapsulated[mlkem.CT_BYTES :]
    return _combine(mlkem.decapsulate(dk_m, ct_m), x25519(sk_x, ct_x), ct_x, pk_x)


def _extract(salt, ikm):
    return hmac.digest(salt or bytes(32), ikm, "sha256")


def _expand(prk, info, length):
    out, last, count = b"", b"", 1
    while len(out) < length:
        last = hmac.digest(prk, last + info + bytes([count]), "sha256")
        out, count = out + last, count + 1
    return out[:length]


def key_schedule(shared_secret, info, kem_id=KEM_ID):
    """Section 5.1 in base mode: (key, base nonce)."""
    suite = b"HPKE" + struct.pack(">HHH", kem_id, KDF_ID, AEAD_ID)

    def labeled_extract(salt, label, ikm):
        return _extract(salt, b"HPKE-v1" + suite + label + ikm)

    def labeled_expand(prk, label, info, length):
        header = struct.pack(">H", length) + b"HPKE-v1" + suite
        return _expand(prk, header + label + info, length)

    context = b"\0" + labeled_extract(b"", b"psk_id_hash", b"")
    context += labeled_extract(b"", b"info_hash", info)
    secret = labeled_extract(shared_secret, b"secret", b"")
    return labeled_expand(secret, b"key", context, 32), labeled_expand(
        secret, b"base_nonce", context, 12
    )


def seal(public, info, associated, plaintext, randomness):
    """Encapsulated key, then ciphertext and tag under sequence number 0."""
    shared, encapsulated = encapsulate(public, randomness)
    key, nonce = key_schedule(shared, info)
    return encapsulated + chacha.seal(key, nonce, associated, plaintext)


def open_sealed(seed, info, associated, sealed):
    """The plaintext, or None."""
    key, nonce = key_schedule(decapsulate(seed, sealed[:ENCAPSULATED]), info)
    return chacha.open_sealed(key, nonce, associated, sealed[ENCAPSULATED:])
