"""Canonical bytes of statements, their digests and signatures, and binary frames.

A statement is a dictionary as it stands in JSON. Its schema names the fields in the order in which
they are encoded, each with an encoder from the JSON value to bytes."""

import struct

import blake3
import ed25519


def integer(code):
    return lambda value: struct.pack("<" + code, value)


U8, U16, U32, U64, F32 = (integer(code) for code in "BHIQf")


def string(value):
    data = value.encode()
    return U32(len(data)) + data


def fixed(value):
    """Hexadecimal digits of a fixed number of bytes: a digest or a verification key."""
    return bytes.fromhex(value)


def counted_bytes(value):
    data = bytes.fromhex(value)
    return U32(len(data)) + data


def listing(item):
    return lambda values: U32(len(values)) + b"".join(item(value) for value in values)


def option(item):
    return lambda value: b"\0" if value is None else b"\1" + item(value)


def named(names):
    """A number that JSON shows as one of these names."""
    return lambda value: U8(names.index(value))


def structure(*fields):
    def encode(value):
        assert list(value) == [name for name, _ in fields], list(value)
        return b"".join(encoder(value[name]) for name, encoder in fields)

    return encode


def exclusion_reason(value):
    if value == "damaged":
        return U8(1)
    assert list(value) == ["complaints"], list(value)
    return U8(0) + listing(fixed)(value["complaints"])


def outcome(value):
    if value == "failed":
        return U8(1)
    return U8(0) + structure(("model", fixed))(value["applied"])


def weights(value):
    if value == "equal":
        return U8(0)
    return U8(1) + structure(("sample_counts", listing(U32)))(value)


SETTINGS = listing(structure(("name", string), ("value", string)))


def training(value):
    if value == "none":
        return U8(0)
    return U8(1) + structure(("plan", SETTINGS))(value)


SITE = structure(("id", string), ("signature_key", fixed), ("kem_key", counted_bytes))
THRESHOLD = structure(
    *((name, U16) for name in ("holders", "collusion", "packing", "opening", "endorsements"))
)
PACKING = structure(
    *((name, U8) for name in ("value_bits", "slot_bits", "slots", "delta_bits", "wire_bits"))
)
LAYOUT = structure(
    ("tensors", listing(structure(("name", string), ("shape", listing(U32)), ("clip", F32)))),
)
CHECK_KEY = structure(("commitment", fixed), ("sealed", listing(counted_bytes)))
INCLUDED = structure(("site", string), ("header", fixed))
EXCLUDED = structure(("site", string), ("header", fixed), ("reason", exclusion_reason))
CHECKPOINT = structure(("size", U64), ("root", fixed))

SCHEMAS = {
    "layout": LAYOUT,
    "study": structure(
        ("name", string),
        ("created_at", U64),
        ("roster", listing(SITE)),
        ("aggregator_key", fixed),
        ("parameters", string),
        ("threshold", THRESHOLD),
        ("min_sites", U16),
        ("packing", PACKING),
        ("layout", LAYOUT),
        ("initial_model", fixed),
        ("weights", weights),
        ("privacy", named(["none"])),
        ("training", training),
        ("min_round_seconds", U32),
        ("longest_round_seconds", U32),
        ("review_seconds", U32),
        ("initiator_timeout_seconds", U32),
        ("check_key", CHECK_KEY),
    ),
    "study-signature": structure(("study", fixed), ("site", string)),
    "manifest": structure(
        ("study", fixed),
        ("round", U32),
        ("initiator", string),
        ("opened_at", U64),
        ("deadline", U64),
        ("holders", listing(string)),
        ("holder_keys", listing(option(fixed))),
        ("base_model", fixed),
        ("previous", option(fixed)),
    ),
    "round-keys": structure(
        ("study", fixed), ("site", string), ("first_round", U32), ("keys", listing(counted_bytes))
    ),
    "restore-request": structure(
        ("study", fixed), ("site", string), ("nonce", fixed), ("restored_at", U64)
    ),
    "standing": structure(
        ("study", fixed), ("request", fixed), ("site", string), ("round", option(U32))
    ),
    "header": structure(
        ("study", fixed),
        ("round", U32),
        ("manifest", fixed),
        ("site", string),
        ("body_bytes", U64),
        ("body", fixed),
        ("check", counted_bytes),
        ("envelopes", listing(fixed)),
    ),
    "receipt": structure(
        ("manifest", fixed), ("site", string), ("header", fixed), ("received_at", U64)
    ),
    "review": structure(("manifest", fixed), ("holder", string), ("complaints", listing(string))),
    "closing": structure(
        ("study", fixed),
        ("round", U32),
        ("manifest", fixed),
        ("closed_at", U64),
        ("included", listing(INCLUDED)),
        ("excluded", listing(EXCLUDED)),
        ("sum", option(fixed)),
        ("checkpoint", CHECKPOINT),
    ),
    "endorsement": structure(
        ("study", fixed), ("round", U32), ("closing", fixed), ("holder", string)
    ),
    "opening": structure(
        ("manifest", fixed),
        ("closing", fixed),
        ("holder", string),
        ("content", fixed),
        ("recipients", fixed),
        ("plaintext", fixed),
    ),
    "acknowledgement": structure(
        ("manifest", fixed), ("closing", fixed), ("site", string), ("outcome", outcome)
    ),
    # Not statements: what sealed messages are bound to.
    "check-words": structure(("manifest", fixed), ("site", string), ("body", fixed)),
    "envelope-binding": structure(("manifest", fixed), ("dealer", string), ("holder", string)),
    "opening-binding": structure(
        ("manifest", fixed), ("closing", fixed), ("holder", string), ("recipient", option(string))
    ),
    # A leaf of the tree that an opening's statement names the root of.
    "opening-recipient": structure(("site", string), ("key", fixed)),
}


def labelled(label, encoded):
    return string("ringfence/v2/" + label) + encoded


def statement_bytes(label, statement):
    """What is signed and hashed."""
    return labelled(label, SCHEMAS[label](statement))


def digest(label, statement):
    return blake3.digest(statement_bytes(label, statement)).hex()


def sign(label, statement, seed):
    signature = ed25519.sign(seed, statement_bytes(label, statement)).hex()
    return {"statement": statement, "signature": signature}


# Frames: fields in order; strings, byte strings and lists carry a 64-bit little-endian count.


def frame_bytes(data):
    return U64(len(data)) + data


def frame_list(items):
    return U64(len(items)) + b"".join(frame_bytes(item) for item in items)


def opening_frame(signed, content, keys):
    """A signed opening, its hashes and signature as JSON's text, the content and the sealed keys."""
    return opening_statement(signed) + frame_bytes(content) + frame_list(keys)


def opening_part(signed, key, path, content):
    """What one site fetches: the statement, its sealed key, the key's path, the content."""
    hashes = [node.hex().encode() for node in path]
    return opening_statement(signed) + frame_bytes(key) + frame_list(hashes) + frame_bytes(content)


def opening_statement(signed):
    fields = [*signed["statement"].values(), signed["signature"]]
    return b"".join(frame_bytes(field.encode()) for field in fields)
