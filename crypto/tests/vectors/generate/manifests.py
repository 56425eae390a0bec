"""Manifests of the study's rounds."""

from functools import cache

import canonical
import judgement
from parties import SITES, START, keyed_model, round_keys, signing_seed, study_digest


def statement(round_number=0, **changes):
    start = round_number % len(SITES)
    holders = SITES[start:] + SITES[:start]
    keys = canonical.digest("round-keys", round_keys()["statement"])
    fields = {
        "study": study_digest(),
        "round": round_number,
        "initiator": holders[0],
        "opened_at": START + 1000 * round_number + 10,
        "deadline": START + 1000 * round_number + 310,
        "holders": holders,
        "holder_keys": [keys if holder == "east" else None for holder in holders],
        "base_model": keyed_model("initial model" if round_number == 0 else "second model"),
        "previous": None,
        "trust": judgement.trust_digest(judgement.NOBODY),
    }
    return {**fields, **changes}


@cache
def manifest():
    return canonical.sign("manifest", statement(), signing_seed("north"))


@cache
def digest():
    return canonical.digest("manifest", statement())
