#!/usr/bin/env python3
"""Writes log.json beside itself: vectors of the log, from the definitions and hashlib only.

RFC 6962 section 2.1 by its recursive definitions, Ed25519 by RFC 8032 section 5.1 on plain integers,
texts by C2SP's signed-note, tlog-checkpoint and tlog-proof. Run it as `python3 log.py`.
"""

import base64
import hashlib
import json
import pathlib


def sha(data):
    return hashlib.sha256(data).digest()


# RFC 6962, 2.1


def split(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def mth(d):
    if not d:
        return sha(b"")
    if len(d) == 1:
        return sha(b"\x00" + d[0])
    k = split(len(d))
    return sha(b"\x01" + mth(d[:k]) + mth(d[k:]))


def path(m, d):
    if len(d) == 1:
        return []
    k = split(len(d))
    if m < k:
        return path(m, d[:k]) + [mth(d[k:])]
    return path(m - k, d[k:]) + [mth(d[:k])]


def subproof(m, d, whole):
    if m == len(d):
        return [] if whole else [mth(d)]
    k = split(len(d))
    if m <= k:
        return subproof(m, d[:k], whole) + [mth(d[k:])]
    return subproof(m - k, d[k:], False) + [mth(d[:k])]


# RFC 8032, 5.1: affine points, slow and plain.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P
    return x, y


def times(k, point):
    out = (0, 1)
    while k:
        if k & 1:
            out = add(out, point)
        point = add(point, point)
        k >>= 1
    return out


def base_point():
    y = 4 * pow(5, -1, P) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (x if x % 2 == 0 else P - x), y


BASE = base_point()


def compress(point):
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def ed25519(seed, message):
    h = hashlib.sha512(seed).digest()
    a = int.from_bytes(h[:32], "little") & (2**254 - 8) | 2**254
    key = compress(times(a, BASE))
    r = int.from_bytes(hashlib.sha512(h[32:] + message).digest(), "little") % L
    big_r = compress(times(r, BASE))
    k = int.from_bytes(hashlib.sha512(big_r + key + message).digest(), "little") % L
    return key, big_r + ((r + k * a) % L).to_bytes(32, "little")


# C2SP


def b64(data):
    return base64.b64encode(data).decode()


def sign_note(name, seed, text):
    key, signature = ed25519(seed, text.encode())
    key_id = sha(name.encode() + b"\n\x01" + key)[:4]
    typed_key = b64(b"\x01" + key)
    verifier = f"{name}+{key_id.hex()}+{typed_key}"
    return verifier, f"{text}\n\u2014 {name} {b64(key_id + signature)}\n"


def counted(text):
    return len(text).to_bytes(4, "little") + text.encode()


def log_entry(label, digest):
    return counted("ringfence/v2/log-entry") + counted(label) + digest


def main():
    # Kinds of statements in turn, each with a digest that is easy to see.
    kinds = ["manifest", "header", "receipt", "review"]
    kinds += ["closing", "endorsement", "opening", "acknowledgement"]
    entries = [(kinds[i % 8], bytes([i]) * 32) for i in range(13)]
    data = [log_entry(*entry) for entry in entries]
    n = len(data)
    hexes = lambda hashes: [h.hex() for h in hashes]
    seed = bytes(range(32))
    name = "ringfence/" + "ab" * 32
    text = f"{name}\n{n}\n{b64(mth(data))}\n"
    verifier, note = sign_note(name, seed, text)
    extra = b"the statement itself"
    proof = f"c2sp.org/tlog-proof@v1\nextra {b64(extra)}\nindex 5\n"
    proof += "".join(b64(h) + "\n" for h in path(5, data)) + "\n" + note
    vectors = {
        "entries": [
            {"label": label, "digest": digest.hex(), "data": d.hex(), "leaf": mth([d]).hex()}
            for (label, digest), d in zip(entries, data)
        ],
        "roots": hexes(mth(data[:size]) for size in range(n + 1)),
        "inclusion": [
            {"index": m, "size": size, "hashes": hexes(path(m, data[:size]))}
            for size in range(1, n + 1)
            for m in range(size)
        ],
        "consistency": [
            {"from": m, "to": size, "hashes": hexes(subproof(m, data[:size], True))}
            for size in range(1, n + 1)
            for m in range(1, size + 1)
        ],
        "note": {"seed": seed.hex(), "verifier": verifier, "text": text, "note": note},
        "proof": {"index": 5, "extra": extra.hex(), "text": proof},
    }
    out = pathlib.Path(__file__).with_name("log.json")
    out.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n")


# RFC 8032, 7.1, test 1.
_key, _signature = ed25519(
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"), b""
)
assert _key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
assert _signature.hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")

if __name__ == "__main__":
    main()
