"""What is known to come and not built: places in the study and in the statements, so that a later
version needs no other wire format."""

import canonical
import ed25519
import manifests
import parties
from cases_statements import statement_file
from output import write
from parties import SITES, START, digest_of, seed, study_digest


def entry(site):
    """A roster entry with new keys."""
    return {
        "id": site,
        "signature_key": ed25519.public_key(seed(f"epoch/signing/{site}")).hex(),
        "kem_key": parties.kem_key(seed(f"epoch/kem/{site}")).hex(),
    }


def statements():
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
    signature = canonical.sign("epoch-signature", signatures[0][1], parties.signing_seed(SITES[0]))
    answer = {
        "study": study_digest(),
        "request": digest_of("the restore request of a site that has signed the epoch"),
        "site": SITES[1],
        "round": 12,
        "has_signed": {"epoch": epoch, "signature": signature["signature"]},
    }
    statement_file(
        "standing",
        "An answer to a restore request of a site that has signed the next epoch.",
        [("has signed", answer, SITES[1])],
        "standing_has_signed",
    )
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
    statements()
