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


def cosign_line(name, seed, text, time):
    """A witness's line: tlog-cosignature, Ed25519. The time is eight bytes, the highest first."""
    key, signature = ed25519(seed, f"cosignature/v1\ntime {time}\n{text}".encode())
    key_id = sha(name.encode() + b"\n\x04" + key)[:4]
    verifier = f"{name}+{key_id.hex()}+{b64(bytes([4]) + key)}"
    return verifier, f"\u2014 {name} {b64(key_id + time.to_bytes(8, 'big') + signature)}\n"


def counted(text):
    return len(text).to_bytes(4, "little") + text.encode()


def log_entry(label, digest):
    return counted("ringfence/v2/log-entry") + counted(label) + digest


def hexes(hashes):
    return [h.hex() for h in hashes]


def bad_inclusions(data):
    """Proofs of leaf 5 of 13 that lead nowhere, or elsewhere."""
    n, good, leaf = len(data), path(5, data), mth([data[5]])
    root, length = "leads to root", "does not fit its index and sizes"
    flipped = bytes([good[0][0] ^ 1]) + good[0][1:]
    cases = {
        "another leaf": ({"leaf": mth([data[4]])}, root),
        "the data as the leaf's hash": ({"leaf": sha(data[5])}, root),
        "another index": ({"index": 4}, root),
        "an index at the size": ({"index": n}, "expected an index below"),
        "altered": ({"hashes": [flipped, *good[1:]]}, root),
        "two swapped": ({"hashes": [good[1], good[0], *good[2:]]}, root),
        "one too few": ({"hashes": good[:-1]}, length),
        "one too many": ({"hashes": [*good, good[-1]]}, length),
        "none": ({"hashes": []}, length),
        "another size": ({"size": n - 1}, f"for a log of {n - 1} leaves, expected one for the"),
        "a proof of a smaller log": (
            {"size": 12, "hashes": path(5, data[:12])}, "for a log of 12 leaves, expected one for the",
        ),
        "another root": ({"root": mth(data[:12])}, root),
    }  # fmt: skip
    for name, (changes, error) in cases.items():
        proof = {"leaf": leaf, "index": 5, "size": n, "hashes": good, "root": mth(data)} | changes
        yield {
            "name": name,
            "leaf": proof["leaf"].hex(),
            "proof": {
                "index": proof["index"], "size": proof["size"], "hashes": hexes(proof["hashes"]),
            },
            "checkpoint": {"size": n, "root": proof["root"].hex()},
            "error": error,
        }  # fmt: skip


def bad_consistencies(data):
    """Proofs from 6 to 13 leaves that show nothing."""
    n, good = len(data), subproof(6, data, True)
    fork = [*data[:5], b"another leaf", *data[6:]]
    root, length = "leads to root", "does not fit its index and sizes"
    flipped = bytes([good[-1][0] ^ 1]) + good[-1][1:]
    cases = {
        "a fork": ({"old": mth(fork[:6])}, root),
        "a fork, its own proof": (
            {"old": mth(fork[:6]), "hashes": subproof(6, fork, True)}, root,
        ),
        "altered": ({"hashes": [*good[:-1], flipped]}, root),
        "one too few": ({"hashes": good[:-1]}, length),
        "one too many": ({"hashes": [*good, good[-1]]}, length),
        "none": ({"hashes": []}, length),
        "backwards": ({"from": n, "to": 6}, "a log never shrinks"),
        "another old size": ({"from": 5}, "for a log of 5 leaves, expected one for the"),
        "equal sizes, another root": (
            {"from": n, "from_size": n, "old": mth(data[:12]), "hashes": []}, root,
        ),
    }  # fmt: skip
    for name, (changes, error) in cases.items():
        made = {"from": 6, "to": n, "hashes": good, "old": mth(data[:6]), "from_size": 6} | changes
        sizes = (n, 6) if name == "backwards" else (made["from_size"], n)
        roots = (mth(data), mth(data[:6])) if name == "backwards" else (made["old"], mth(data))
        yield {
            "name": name,
            "proof": {"from": made["from"], "to": made["to"], "hashes": hexes(made["hashes"])},
            "old": {"size": sizes[0], "root": roots[0].hex()},
            "new": {"size": sizes[1], "root": roots[1].hex()},
            "error": error,
        }


def bad_notes(name, seed, text, note):
    line = note.split("\n\n")[1]
    signature = line.rstrip().split(" ")[2]
    other = sign_note(name, bytes(32), text)[1]
    renamed = sign_note("ringfence/" + "cd" * 32, seed, text)[1]
    short = signature[:6] + "AA"
    cases = {
        "another text": (note.replace("\n13\n", "\n12\n"), "does not verify"),
        "another key of that name": (other, "has no signature by"),
        "another name": (renamed, "has no signature by"),
        "signed twice": (note + line, "more than one signature"),
        "no signature": (text + "\n", "a blank line"),
        "no blank line": (text + line, "a blank line"),
        "no last newline": (note[:-1], "each ended by a newline"),
        "a hyphen for the dash": (note.replace("\u2014", "-"), "expected a signature line"),
        "carriage returns": (note.replace("\n", "\r\n"), "control characters"),
        "a short signature": (note.replace(signature, short), "does not verify"),
        "base64 without padding": (note.replace(signature, signature.rstrip("=")), "signature line"),
        "101 signatures": (text + "\n" + 101 * line, "1 to 100 signatures"),
    }
    return [{"name": n, "note": altered, "error": error} for n, (altered, error) in cases.items()]


def bad_proofs(proof, data):
    hashes = [b64(h) + "\n" for h in path(5, data)]
    cases = {
        "another version": (proof.replace("@v1", "@v2"), "begins with the line"),
        "another index": (proof.replace("index 5", "index 4"), "leads to root"),
        "a leading zero": (proof.replace("index 5", "index 05"), "without leading zeros"),
        "no index": (proof.replace("index 5\n", ""), "expected a line `index N`"),
        "one hash less": (proof.replace(hashes[0], ""), "does not fit"),
        "hashes swapped": (
            proof.replace(hashes[0] + hashes[1], hashes[1] + hashes[0]), "leads to root",
        ),
        "a short hash": (proof.replace(hashes[0], hashes[0][4:]), "32 bytes in padded base64"),
        "empty extra data": (
            proof.replace(proof.split("\n")[1], "extra "), "extra data of 1 to",
        ),
        "another checkpoint": (proof.replace("\n13\n", "\n12\n"), "does not verify"),
    }  # fmt: skip
    return [{"name": n, "text": altered, "error": error} for n, (altered, error) in cases.items()]


def cosigned(text, note):
    """The note with a witness's line, and lines that are no cosignature of it."""
    witness, seed, time = "witness.example/w1", bytes(range(32, 64)), 1_800_000_460
    verifier, line = cosign_line(witness, seed, text, time)
    _, later = cosign_line(witness, seed, text, time + 1)
    raw = base64.b64decode(line.split(" ")[2])
    late = base64.b64decode(later.split(" ")[2])
    key, _ = ed25519(seed, b"")

    def written(data):
        return f"\u2014 {witness} {b64(data)}\n"

    plain = ed25519(seed, text.encode())[1]
    type_1 = sha(witness.encode() + b"\n\x01" + key)[:4]
    return {
        "seed": seed.hex(),
        "verifier": verifier,
        "time": time,
        "message": f"cosignature/v1\ntime {time}\n{text}",
        "line": line,
        "note": note + line,
        "bad": [
            {"name": name, "line": written(data)}
            for name, data in (
                ("another time", raw[:4] + late[4:12] + raw[12:]),
                ("the time in the other byte order", raw[:4] + raw[4:12][::-1] + raw[12:]),
                ("a signature of the note's text", raw[:12] + plain),
                ("a plain signature of the note", type_1 + plain),
                ("the key ID of a plain signature", type_1 + raw[4:]),
                ("no time", raw[:4] + raw[12:]),
                ("one byte more", raw + bytes(1)),
            )
        ],
    }


def main():
    # Kinds of statements in turn, each with a digest that is easy to see.
    kinds = ["manifest", "header", "receipt", "freeze", "review", "closing", "endorsement"]
    kinds += ["dispute-endorsement", "verdict-endorsement", "opening", "acknowledgement"]
    entries = [(kinds[i % len(kinds)], bytes([i]) * 32) for i in range(13)]
    data = [log_entry(*entry) for entry in entries]
    n = len(data)
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
        "bad": {
            "inclusion": list(bad_inclusions(data)),
            "consistency": list(bad_consistencies(data)),
            "notes": bad_notes(name, seed, text, note),
            "proofs": bad_proofs(proof, data),
        },
        "cosigned": cosigned(text, note),
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
