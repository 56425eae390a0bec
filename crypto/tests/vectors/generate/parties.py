"""The parties of the story and their study, from fixed seeds: five sites, thresholds
(m, c, l) = (5, 1, 2), so Q = 4 and t = 3."""

from functools import cache

import blake3
import canonical
import ed25519
import hpke
import packing
import sharing

START = 1_800_000_000
SITES = ["north", "east", "south", "west", "centre"]  # the ring's order
LAYOUT = [
    {"name": "a.bias", "shape": [3], "clip": 0.1},
    {"name": "b.scale", "shape": [], "clip": 1.0},
    {"name": "dense.weight", "shape": [83, 100], "clip": 0.25},
]
THRESHOLD = sharing.thresholds(5, 1, 2)
PACKING = packing.derive(16, 0, 5, 1)
VALUES = packing.values_of(LAYOUT)


def seed(label, length=32):
    """Bytes that a real party would draw at random."""
    return blake3.digest(b"ringfence/v1/vectors/" + label.encode(), length=length)


def digest_of(text):
    return blake3.digest(text.encode()).hex()


@cache
def signing_seed(site):
    return seed(f"signing/{site}")


@cache
def kem_seed(site):
    return seed(f"kem/{site}")


@cache
def round_secret(site, round_number):
    return seed(f"round-key/{site}/{round_number}")


@cache
def kem_key(secret):
    return hpke.public_key(secret)


AGGREGATOR = signing_seed("aggregator")
CHECK_KEY = seed("check-key")


def seal(secret, purpose, binding, plaintext, randomness):
    """HPKE to the owner of `secret`; `binding` is canonical bytes without a label."""
    info = b"ringfence/v2/seal/" + purpose.encode()
    associated = canonical.labelled("seal", binding)
    return hpke.seal(kem_key(secret), info, associated, plaintext, randomness)


def study_of(sites, threshold, min_sites, **changes):
    """A study of these sites, on the ring in this order, with the packing that they get."""
    sealed = [
        seal(kem_seed(s), "check-key", canonical.string(s), CHECK_KEY, seed(f"check/{s}", 64)).hex()
        for s in sites
    ]
    roster = [
        {
            "id": site,
            "signature_key": ed25519.public_key(signing_seed(site)).hex(),
            "kem_key": kem_key(kem_seed(site)).hex(),
        }
        for site in sites
    ]
    fields = {
        "name": "vectors v2",
        "created_at": START,
        "roster": roster,
        "aggregator_key": ed25519.public_key(AGGREGATOR).hex(),
        "parameters": "std64",
        "threshold": threshold,
        "min_sites": min_sites,
        "packing": packing.derive(16, 0, len(sites), threshold["collusion"]),
        "layout": {"tensors": LAYOUT},
        "initial_model": digest_of("initial model"),
        "weights": "equal",
        "privacy": "none",
        "training": "none",
        "min_round_seconds": 60,
        "longest_round_seconds": 3600,
        "review_seconds": 30,
        "initiator_timeout_seconds": 600,
        "check_key": {
            "commitment": sharing.keyed_digest(CHECK_KEY, b"ringfence/check-key/1").hex(),
            "sealed": sealed,
        },
    }
    return {**fields, **changes}


@cache
def study():
    return study_of(SITES, THRESHOLD, 3)


@cache
def study_digest():
    return canonical.digest("study", study())


@cache
def round_keys():
    """East publishes keys for rounds 0 and 1."""
    keys = [kem_key(round_secret("east", r)).hex() for r in (0, 1)]
    statement = {"study": study_digest(), "site": "east", "first_round": 0, "keys": keys}
    return canonical.sign("round-keys", statement, signing_seed("east"))


def holder_secret(site):
    """The KEM secret that shares of round 0 are sealed to."""
    return round_secret(site, 0) if site == "east" else kem_seed(site)


def keyed_model(text):
    model = blake3.digest(text.encode())
    return sharing.keyed_digest(CHECK_KEY, b"ringfence/keyed-model/1", model).hex()
