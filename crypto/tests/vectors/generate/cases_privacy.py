"""Privacy policies, and what headers state of the budget that is spent."""

import math

import canonical
import manifests
import packing
import parties
from contribution import contribution
from output import bad, write
from parties import signing_seed
from studies import bad_study, changed

# JSON has no infinity; a number beyond all float32 is read as one.
EXTREME = 1e39
PLAN = {"plan": [{"name": "epochs", "value": "2"}]}
RECORD = {
    "unit": "record",
    "clip": 1.0,
    "noise_multiplier": 1.5,
    "rate": 0.0625,
    "steps": 40,
    "normaliser": 32.0,
    "delta": 0.0009765625,
    "epsilon": 8.0,
}
PATIENT = {**RECORD, "unit": {"patient": {"records_per_step": 4}}}
SITE = {"clip": 0.5, "noise_multiplier": 0.75, "delta": 0.0009765625, "epsilon": 3.5}


def of_records(policy=RECORD, **changes):
    """What turns the study of study.json into one with privacy of records."""
    return {"/training": PLAN, "/privacy": {"record_level": {**policy, **changes}}}


def of_sites(**changes):
    """As of_records, with privacy of sites and room for their noise."""
    room = packing.derive(16, 3000, 5, 1)
    return {"/packing": room, "/privacy": {"site_level": {**SITE, **changes}}}


STUDIES = {
    "none": {},
    "records": of_records(),
    "patients": of_records(PATIENT),
    "every unit in every step, more budget than anybody has": of_records(rate=1.0, steps=1, epsilon=1e9),
    "as many records as delta allows": {**of_records(), "/weights": {"sample_counts": [9, 1023, 11, 12, 13]}},
    "more records than patients": {**of_records(PATIENT), "/weights": {"sample_counts": [9, 1024, 11, 12, 13]}},
    "sets_apart": {"/privacy": "sets_apart"},
    "sites": of_sites(),
}  # fmt: skip


def policies():
    cases = []
    for name, replace in STUDIES.items():
        study = changed(parties.study(), replace)
        cases.append(
            {
                "name": name,
                "replace": replace,
                "policy": study["privacy"],
                "bytes": canonical.PRIVACY(study["privacy"]).hex(),
                "digest": canonical.digest("study", study),
            }
        )
    write(
        "privacy",
        "public",
        "privacy",
        "Every privacy policy, with its canonical bytes and the digest of the study of study.json with the "
        "values at these JSON pointers replaced.",
        cases=cases,
    )


def bad_policies():
    numbers = "a policy's numbers are within their limits"

    def record(name, error, rule=numbers, encoded=None, policy=RECORD, also={}, **changes):
        made = {**of_records(policy, **changes), **also}
        signed_as = {**of_records(policy, **encoded), **also} if encoded else None
        bad_study(f"privacy_records_{name}", rule, made, error, encoded=signed_as)

    for field in ("clip", "noise_multiplier", "normaliser", "epsilon"):
        error = f"the privacy policy's {field} is {{}}, expected a finite number above 0"
        record(f"no_{field}", error.format(0), **{field: 0.0})
        record(f"negative_{field}", error.format("-1"), **{field: -1.0})
    infinite = "the privacy policy's clip is inf, expected a finite number above 0"
    record("infinite_clip", infinite, encoded={"clip": math.inf}, clip=EXTREME)
    record("no_rate", "the privacy policy's rate is 0, expected above 0 and at most 1", rate=0.0)
    record("rate_above_1", "the privacy policy's rate is 1.5, expected above 0 and at most 1", rate=1.5)
    record("no_steps", "the privacy policy's steps is 0, expected at least 1", steps=0)
    record("no_delta", "the privacy policy's delta is 0, expected between 0 and 1", delta=0.0)
    record("delta_of_1", "the privacy policy's delta is 1, expected between 0 and 1", delta=1.0)
    nobody = {"patient": {"records_per_step": 0}}
    record("no_records_per_step", "records_per_step is 0, expected at least 1", unit=nobody)
    record(
        "delta_of_a_record",
        "delta is 0.0009765625, expected below 1/1024, since a site of the study has 1024 records",
        "delta is below 1/records of every site whose records are the unit and public",
        also={"/weights": {"sample_counts": [9, 1024, 11, 12, 13]}},
    )
    record(
        "no_plan",
        "privacy for each record needs a pinned training plan",
        "privacy of records needs a training plan",
        also={"/training": "none"},
    )
    room = "a packing has room for noise where whole sites are protected, and only there"
    spare = "the packing's noise_bound is 3000, expected 0"
    record("room_for_noise", spare, room, also={"/packing": of_sites()["/packing"]})
    bad_study("privacy_none_room_for_noise", room, {"/packing": of_sites()["/packing"]}, spare)

    def site(name, error, rule=numbers, also={}, **changes):
        bad_study(f"privacy_sites_{name}", rule, {**of_sites(**changes), **also}, error)

    for field in ("clip", "noise_multiplier", "epsilon"):
        error = f"the privacy policy's {field} is 0, expected a finite number above 0"
        site(f"no_{field}", error, **{field: 0.0})
    site("delta_of_1", "the privacy policy's delta is 1, expected between 0 and 1", delta=1.0)
    quiet = {"/packing": parties.study()["packing"]}
    site("no_room_for_noise", "and the packing's noise_bound is 0; draft the study anew", room, quiet)
    site(
        "weighted",
        "privacy for each site needs sites that count alike",
        "privacy of sites needs sites that count alike",
        {"/weights": {"sample_counts": [9, 10, 11, 12, 13]}},
    )
    bad(
        "study",
        "privacy_unknown",
        "The signed study of study.json with a policy that has no place, and so no bytes to sign.",
        "unknown variant `patient_level`",
        rule="there is no such policy",
        replace={"/study/privacy": "patient_level"},
    )


def header_of(study, manifest, spent, **changes):
    """North's header in a study like that of study.json: its words are of another body, which a
    header does not show."""
    fields = {
        "study": canonical.digest("study", study),
        "manifest": canonical.digest("manifest", manifest["statement"]),
        "body_bytes": packing.blocks_of(study["packing"], parties.VALUES)
        * (study["packing"]["wire_bits"] * 512),
        "spent": spent,
    }
    return {**contribution("north").header, **fields, **changes}


def headers():
    made, spent = [], {"rounds": 3, "epsilon": 2.5, "delta": 0.0009765625}
    whole = {"rounds": 1, "epsilon": 8.0, "delta": 0.0009765625}
    nothing = {"rounds": 1, "epsilon": 0.0, "delta": 0.0009765625}
    none = canonical.sign("header", contribution("north").header, signing_seed("north"))
    for name, cases in {"records": [spent, whole, nothing], "sites": [spent, nothing]}.items():
        study = changed(parties.study(), STUDIES[name])
        statement = manifests.statement(
            study=canonical.digest("study", study), holder_keys=[None] * len(parties.SITES)
        )
        manifest = canonical.sign("manifest", statement, signing_seed("north"))
        headers = [
            canonical.sign("header", header_of(study, manifest, case), signing_seed("north"))
            for case in cases
        ]
        made.append({"replace": STUDIES[name], "manifest": manifest, "headers": headers})
    write(
        "header_spent",
        "public",
        "header_spent",
        "Headers that state what their site's data have spent, in the study of study.json with the values "
        "at these JSON pointers replaced, under this manifest of its round 0. A round takes any of them.",
        studies=made,
    )
    bad(
        "header",
        "spent_without_budget",
        "A header that the round of manifest.json refuses.",
        "the header of north breaks the study's privacy policy: it states a spent privacy budget (epsilon 2.5), expected none",
        signed=canonical.sign("header", {**none["statement"], "spent": spent}, signing_seed("north")),
    )
    sites, manifest = changed(parties.study(), STUDIES["sites"]), made[1]["manifest"]
    breaks = "the header of north breaks the study's privacy policy: it "
    cases = {
        "missing": (None, "does not say what its data have spent of the privacy budget"),
        "no_rounds": ({**spent, "rounds": 0}, "states a privacy budget spent in 0 rounds, expected at least 1"),
        "negative": ({**spent, "epsilon": -1.0}, "states that epsilon -1 is spent, expected a finite number from 0 on"),
        "infinite": (
            {**spent, "epsilon": math.inf}, "states that epsilon inf is spent, expected a finite number from 0 on",
        ),
        "exceeded": ({**spent, "epsilon": 3.75}, "states that epsilon 3.75 is spent, expected at most 3.5"),
        "other_delta": (
            {**spent, "delta": 0.00048828125}, "states what is spent at delta 0.00048828125, expected 0.0009765625",
        ),
    }  # fmt: skip
    for name, (wrong, error) in cases.items():
        signed = canonical.sign("header", header_of(sites, manifest, wrong), signing_seed("north"))
        if name == "infinite":
            statement = {**signed["statement"], "spent": {**wrong, "epsilon": EXTREME}}
            signed = {**signed, "statement": statement}
        bad(
            "header_spent",
            name,
            "A header by north, signed by it, that a round of the second study of header_spent.json refuses.",
            breaks + error,
            signed=signed,
        )


def add_all():
    policies()
    bad_policies()
    headers()
