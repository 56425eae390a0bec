"""Signed studies, and the larger ones that some rules need."""

import copy
from functools import cache

import canonical
import ed25519
import sharing
import study_rules
from output import bad
from parties import AGGREGATOR, SITES, seed, signing_seed, study, study_of

# Seven sites of which two may collude, and 23: the fewest for which c l^2 can be beyond 512.
SEVEN = [*SITES, "island", "coast"]
MANY = [*SEVEN, *(f"site-{number}" for number in range(8, 24))]


@cache
def of_seven():
    return study_of(SEVEN, sharing.thresholds(7, 2, 1), 4)


@cache
def of_naming_nobody():
    return study_of(SITES, sharing.thresholds(5, 1, 3), 3)


@cache
def of_many(m, c, l, min_sites):
    return study_of(MANY, sharing.thresholds(m, c, l), min_sites)


def signature(study_digest, entry):
    """What the owner of the entry's key signs for its name. For a key of small order everybody can
    make what fulfils the equation without cofactor."""
    signed = {"study": study_digest, "site": entry["id"]}
    keys = {ed25519.public_key(s).hex(): s for s in [*map(signing_seed, MANY), AGGREGATOR]}
    if entry["signature_key"] in keys:
        secret = keys[entry["signature_key"]]
        made = canonical.sign("study-signature", signed, secret)["signature"]
    else:
        s = int.from_bytes(seed("signature of a weak key"), "little") % ed25519.L
        r = ed25519.compress(ed25519.multiply(s, ed25519.BASE))
        made = (r + s.to_bytes(32, "little")).hex()
    return {"site": entry["id"], "signature": made}


def signatures(study):
    """One signature an entry of the roster, in its order."""
    digest = canonical.digest("study", study)
    return [signature(digest, entry) for entry in study["roster"]]


def signed(study):
    return {"protocol": 2, "study": study, "signatures": signatures(study)}


def replaced(value, pointer, new):
    """A copy with the value at a JSON pointer replaced."""
    value = copy.deepcopy(value)
    *path, last = pointer.split("/")[1:]
    inner = value
    for step in path:
        inner = inner[int(step) if isinstance(inner, list) else step]
    inner[int(last) if isinstance(inner, list) else last] = new
    return value


def changed(study, changes):
    for pointer, new in changes.items():
        study = replaced(study, pointer, new)
    return study


def replacement(changes, base=None, encoded=None):
    """What turns a signed study into one with these changes that all its sites signed. `encoded` are
    the values that stand in the signed bytes, where JSON has other ones."""
    made = changed(base or study(), encoded or changes)
    pointers = {"/study" + pointer: value for pointer, value in changes.items()}
    return made, {**pointers, "/signatures": signatures(made)}


def bad_study(name, rule, changes, error, encoded=None):
    """A study that all its sites signed, and that breaks this one rule and no other."""
    made, replace = replacement(changes, encoded=encoded)
    assert study_rules.broken(made) == {rule}, (name, study_rules.broken(made))
    about = (
        "The study of study.json with the values at these JSON pointers replaced, signed anew by its "
        "roster, in its order: one rule is broken and no signature."
    )
    bad("study", name, about, error, rule=rule, replace=replace)
