"""Canonical bytes of statements, their digests and signatures.

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


def structure(*fields, last=None):
    """`last`: a field that may be left out, and has no bytes then."""

    def encode(value):
        if last is not None and last[0] in value:
            return structure(*fields, last)(value)
        assert list(value) == [name for name, _ in fields], list(value)
        return b"".join(encoder(value[name]) for name, encoder in fields)

    return encode


def choice(skipping=(), **variants):
    """One of several, by number, of which some may be left out: one without content stands in JSON as
    its name, another as an object with its name and content."""
    used = [n for n in range(len(variants) + len(skipping)) if n not in skipping]
    numbers = dict(zip(variants, used, strict=True))

    def encode(value):
        if isinstance(value, str):
            assert variants[value] is None, value
            return U8(numbers[value])
        ((name, content),) = value.items()
        return U8(numbers[name]) + variants[name](content)

    return encode


def words(count):
    """So many words of 8 bytes."""

    def encode(value):
        assert len(value) == 16 * count, value
        return fixed(value)

    return encode


SETTINGS = listing(structure(("name", string), ("value", string)))
WEIGHTS = choice(equal=None, sample_counts=listing(U32))
TRAINING = choice(none=None, plan=SETTINGS)
OUTCOME = choice(applied=structure(("model", fixed)), failed=None)
ANSWER = choice(no_share=None, masked=words(2))
REASON = choice(barred=None, undetermined=None, accused=None, damaged=None, group_incomplete=None)
SUBJECT = choice(
    sum=None,
    functionals=structure(("dispute", fixed)),
    keys=structure(("verdict", fixed)),
)
SITE = structure(("id", string), ("signature_key", fixed), ("kem_key", counted_bytes))
THRESHOLD = structure(
    *((name, U16) for name in ("holders", "collusion", "packing", "opening", "endorsements"))
)
PACKING = structure(
    ("value_bits", U8),
    ("noise_bound", U32),
    *((name, U8) for name in ("slot_bits", "slots", "delta_bits", "wire_bits")),
)
LAYOUT = structure(
    ("tensors", listing(structure(("name", string), ("shape", listing(U32)), ("clip", F32)))),
)
CHECK_KEY = structure(("commitment", fixed), ("sealed", listing(counted_bytes)))
INCLUDED = structure(("site", string), ("header", fixed))
EXCLUDED = structure(("site", string), ("header", fixed), ("reason", REASON))
PAIR = structure(("holder", string), ("dealer", string))
CHECKPOINT = structure(("size", U64), ("root", fixed))

UNIT = choice(record=None, patient=structure(("records_per_step", U16)))
RECORD_LEVEL = structure(
    ("unit", UNIT),
    ("clip", F32),
    ("noise_multiplier", F32),
    ("rate", F32),
    ("steps", U32),
    ("normaliser", F32),
    ("delta", F32),
    ("epsilon", F32),
)
SITE_LEVEL = structure(
    *((name, F32) for name in ("clip", "noise_multiplier", "delta", "epsilon"))
)
PRIVACY = choice(
    none=None, record_level=RECORD_LEVEL, sets_apart=None, site_level=SITE_LEVEL, skipping=(2,)
)
SPENT = structure(("rounds", U32), ("epsilon", F32), ("delta", F32))
CHANGE = choice(
    enrol=structure(("entry", SITE)),
    rotate=structure(("entry", SITE)),
    revoke=structure(("site", string)),
    leave=structure(("site", string)),
)
EPOCH = structure(
    ("study", fixed),
    ("epoch", U32),
    ("before", fixed),
    ("after", fixed),
    ("last_round", U32),
    ("changes", listing(CHANGE)),
)
HAS_SIGNED = structure(("epoch", EPOCH), ("signature", fixed))
REFUSED = choice(
    unavailable=None, budget_spent=None, singles_out=None, other=structure(("why", string))
)
DISPUTE = structure(
    ("study", fixed),
    ("round", U32),
    ("closing", fixed),
    ("index", U16),
    ("after", option(fixed)),
    ("block", U64),
    ("coefficient", U16),
)
VERDICT = structure(
    ("study", fixed),
    ("round", U32),
    ("closing", fixed),
    ("dispute", option(fixed)),
    ("sites", listing(string)),
)

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
        ("weights", WEIGHTS),
        ("privacy", PRIVACY),
        ("training", TRAINING),
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
        ("trust", fixed),
    ),
    "round-keys": structure(
        ("study", fixed), ("site", string), ("first_round", U32), ("keys", listing(counted_bytes))
    ),
    "restore-request": structure(
        ("study", fixed), ("site", string), ("nonce", fixed), ("restored_at", U64)
    ),
    "standing": structure(
        ("study", fixed),
        ("request", fixed),
        ("site", string),
        ("round", option(U32)),
        last=("has_signed", HAS_SIGNED),
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
        ("spent", option(SPENT)),
    ),
    "receipt": structure(
        ("manifest", fixed), ("site", string), ("header", fixed), ("received_at", U64)
    ),
    "freeze": structure(
        ("study", fixed),
        ("round", U32),
        ("manifest", fixed),
        ("frozen_at", U64),
        ("contributions", listing(INCLUDED)),
    ),
    "review": structure(
        ("manifest", fixed), ("freeze", fixed), ("holder", string), ("answers", listing(ANSWER))
    ),
    "closing": structure(
        ("study", fixed),
        ("round", U32),
        ("manifest", fixed),
        ("freeze", fixed),
        ("closed_at", U64),
        ("included", listing(INCLUDED)),
        ("excluded", listing(EXCLUDED)),
        ("reviews", listing(fixed)),
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
        ("subject", SUBJECT),
        ("content", fixed),
        ("recipients", fixed),
        ("plaintext", fixed),
    ),
    "acknowledgement": structure(
        ("manifest", fixed), ("closing", fixed), ("site", string), ("outcome", OUTCOME)
    ),
    "dispute": DISPUTE,
    "verdict": VERDICT,
    "dispute-endorsement": structure(("statement", DISPUTE), ("holder", string)),
    "verdict-endorsement": structure(("statement", VERDICT), ("holder", string)),
    # Known to come, not built.
    "epoch": EPOCH,
    "epoch-signature": structure(("epoch", fixed), ("site", string)),
    "refusal": structure(
        ("manifest", fixed), ("site", string), ("reason", REFUSED), ("refused_at", U64)
    ),
    # Not a statement: what a manifest names the digest of.
    "trust": structure(("barred", listing(string)), ("pairs", listing(PAIR))),
    # Not statements: what sealed messages are bound to.
    "check-words": structure(("manifest", fixed), ("site", string), ("body", fixed)),
    "envelope-binding": structure(("manifest", fixed), ("dealer", string), ("holder", string)),
    "opening-binding": structure(
        ("manifest", fixed),
        ("closing", fixed),
        ("holder", string),
        ("subject", SUBJECT),
        ("recipient", option(string)),
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
