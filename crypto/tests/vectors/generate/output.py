"""Files of vectors: a head that says who checks them and how, then the cases."""

import json
import struct

import blake3

FILES = {}


def write(name, half, kind, about, **content):
    """Adds the file `name`. `half` says which test program reads it: `public` (crypto/tests), `secret`
    (crypto/keys) or `model` (client/weights); `kind` which of its checks."""
    assert name not in FILES, name
    FILES[name] = {"version": "v2", "half": half, "kind": kind, "about": about, **content}


def bad(kind, name, about, error, half="public", **content):
    """A bad case, with the error that it must give."""
    write(f"{kind}_bad_{name}", half, f"{kind}_bad", about, error=error, **content)


def save(folder):
    for name, content in FILES.items():
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8", newline="\n")


def word(value):
    """A 64-bit word: 16 hexadecimal digits, the highest first."""
    return f"{value:016x}"


def words(values):
    return [word(value) for value in values]


def numbers(values, code):
    """Numbers as little-endian bytes in hexadecimal digits: code H, I, Q, or f for float32."""
    return struct.pack(f"<{len(values)}{code}", *values).hex()


def digest_of_words(values):
    """BLAKE3 of 8-byte little-endian words."""
    return blake3.digest(struct.pack(f"<{len(values)}Q", *values)).hex()


def shown(values):
    """The ends and the digest of a long vector of words."""
    return {
        "first": words(values[:4]),
        "last": words(values[-4:]),
        "digest": digest_of_words(values),
    }
