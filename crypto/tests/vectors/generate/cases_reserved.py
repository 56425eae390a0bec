"""What is known to come and not built: places in the study and in the statements, so that a later
version needs no other wire format."""

import canonical
import ed25519
import manifests
import parties
from cases_statements import statement_file
from output import bad, write
from parties import SITES, START, digest_of, seed, study_digest
from studies import bad_study

GUARANTEE = {"clip": 1.0, "noise_multiplier": 1.5, "delta": 0.0009765625, "epsilon": 8.0}


def privacy():
    study = parties.study()
    policies = ["none", {"record_level": GUARANTEE}, {"patient_level": GUARANTEE}, "sets_apart"]
    write(
        "privacy",
        "public",
        "privacy",
        "Every privacy policy that has a place in a study, with its canonical bytes and the digest of the "
        "study of study.json with it. This version enforces none but the first, and refuses the others.",
        cases=[
            {
                "policy": policy,
                "bytes": canonical.PRIVACY(policy).hex(),
                "digest": canonical.digest("study", {**study, "privacy": policy}),
            }
            for policy in policies
        ],
    )
    rule = "there is no privacy policy yet"
    for policy in policies[1:]:
        name = policy if isinstance(policy, str) else next(iter(policy))
        error = "this version does not enforce it"
        bad_study(f"privacy_{name}", rule, {"/privacy": policy}, error)
    bad(
        "study",
        "privacy_unknown",
        "The signed study of study.json with a policy that has no place, and so no bytes to sign.",
        "unknown variant `user_level`",
        rule=rule,
        replace={"/study/privacy": "user_level"},
    )


def entry(site):
    """A roster entry with new keys."""
    return {
        "id": site,
        "signature_key": ed25519.public_key(seed(f"epoch/signing/{site}")).hex(),
        "kem_key": parties.kem_key(seed(f"epoch/kem/{site}")).hex(),
    }


def statements():
    budget = {
        "study": study_digest(),
        "round": 0,
        "manifest": manifests.digest(),
        "site": "south",
        "epsilon": 0.75,
        "delta": 0.0009765625,
    }
    statement_file("budget", "What a round has spent of a site's budget.", [("spent", budget, "south")])
    changes = [
        {"enrol": {"entry": entry("island")}},
        {"rotate": {"entry": entry("east")}},
        {"revoke": {"site": "west"}},
        {"leave": {"site": "centre"}},
    ]
    epoch = {
        "study": study_digest(),
        "epoch": 1,
        "before": study_digest(),
        "after": digest_of("the study as it is after the changes"),
        "last_round": 12,
        "changes": changes,
    }
    digest = canonical.digest("epoch", epoch)
    write(
        "epoch",
        "public",
        "epoch",
        "An epoch's statement with every change, its canonical bytes and digest, and what two sites of "
        "the roster sign for it.",
        statement=epoch,
        canonical=canonical.statement_bytes("epoch", epoch).hex(),
        digest=digest,
    )
    signatures = [(site, {"epoch": digest, "site": site}, site) for site in SITES[:2]]
    statement_file("epoch-signature", "Signatures of an epoch.", signatures)
    reasons = ["unavailable", "budget_spent", "singles_out", {"other": {"why": "audit"}}]
    refusals = [
        (
            reason if isinstance(reason, str) else "other",
            {
                "manifest": manifests.digest(),
                "site": "west",
                "reason": reason,
                "refused_at": START + 20,
            },
            "west",
        )
        for reason in reasons
    ]
    statement_file("refusal", "Why a site takes no part in a round, for every reason.", refusals)


def add_all():
    privacy()
    statements()
