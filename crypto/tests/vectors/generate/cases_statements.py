"""Vectors of canonical bytes, statements, signatures and frames."""

import blake3
import canonical
import ed25519
import packing
import parties
import sharing
import story
from output import write
from parties import AGGREGATOR, SITES, START, signing_seed


def case(name, label, signed, signer, seed):
    """A signed statement with everything that follows from it."""
    encoded = canonical.statement_bytes(label, signed["statement"])
    public = ed25519.public_key(seed)
    assert ed25519.verify(public, encoded, bytes.fromhex(signed["signature"]))
    return {
        "name": name,
        "signer": signer,
        "key": public.hex(),
        "signed": signed,
        "canonical": encoded.hex(),
        "digest": blake3.digest(encoded).hex(),
    }


def statement_file(label, about, statements):
    """`statements`: (name, statement, signing site or the aggregator)."""
    cases = []
    for name, statement, signer in statements:
        seed = AGGREGATOR if signer == "aggregator" else signing_seed(signer)
        cases.append(case(name, label, canonical.sign(label, statement, seed), signer, seed))
    write(label.replace("-", "_"), "public", "statement", about, label=label, cases=cases)


def primitives():
    def shown(label, encoded):
        data = canonical.labelled(label, encoded)
        return {"canonical": data.hex(), "digest": blake3.digest(data).hex()}

    u64, text = canonical.U64, canonical.string
    write(
        "canonical",
        "public",
        "canonical",
        "Canonical bytes of plain values under the label `t`.",
        u8={"value": 200, **shown("t", canonical.U8(200))},
        u16={"value": 513, **shown("t", canonical.U16(513))},
        u32={"value": 4_000_000_000, **shown("t", canonical.U32(4_000_000_000))},
        u64={"value": 2**53 - 1, **shown("t", u64(2**53 - 1))},
        f32={"value": 0.1, **shown("t", canonical.F32(0.1))},
        string={"value": "Größe", **shown("t", text("Größe"))},
        strings={"value": ["", "ab", "c"], **shown("t", canonical.listing(text)(["", "ab", "c"]))},
        none={"value": None, **shown("t", canonical.option(u64)(None))},
        some={"value": 7, **shown("t", canonical.option(u64)(7))},
    )


def study():
    statement, signatures, signed_bytes = parties.study(), [], []
    for site in SITES:
        signed = {"study": parties.study_digest(), "site": site}
        signature = canonical.sign("study-signature", signed, signing_seed(site))["signature"]
        signatures.append({"site": site, "signature": signature})
        signed_bytes.append(canonical.statement_bytes("study-signature", signed).hex())
    layout = canonical.labelled("layout", canonical.LAYOUT(statement["layout"]))
    weights = {"sample_counts": [181, 60, 250, 33, 120]}
    write(
        "study",
        "public",
        "study",
        "A study of five sites with all signatures. `signature_bytes` are what each site signs, "
        "`signing_seeds` the Ed25519 seeds it signs with. `thresholds` are derived from (m, c, l). "
        "`weighted` is the digest of the same study with other weights.",
        signed={"study": statement, "signatures": signatures},
        canonical=canonical.statement_bytes("study", statement).hex(),
        digest=parties.study_digest(),
        layout_digest=blake3.digest(layout).hex(),
        values=parties.VALUES,
        blocks=packing.blocks_of(parties.PACKING, parties.VALUES),
        body_bytes=len(story.body_sum()),
        signing_seeds=[signing_seed(site).hex() for site in SITES],
        signature_bytes=signed_bytes,
        weighted={
            "weights": weights,
            "digest": canonical.digest("study", {**statement, "weights": weights}),
        },
        thresholds=[
            {"sites": sites, "min_sites_floor": max(3, c + 2), **sharing.thresholds(m, c, l)}
            for sites, m, c, l in [
                (3, 3, 1, 1), (5, 5, 1, 1), (5, 5, 1, 2), (10, 10, 2, 2), (16, 16, 4, 4),
                (100, 16, 4, 4), (32, 32, 8, 8), (64, 64, 16, 16),
            ]
        ],  # fmt: skip
    )


def opened_rounds():
    """Manifests: round 0, and round 1 by its initiator and by a successor after one time-out."""
    closing = story.closing_digest()
    due = story.manifest_statement(1, previous=closing)
    late = {**due, "initiator": "south", "opened_at": START + 1000, "deadline": START + 1300}
    statement_file(
        "manifest",
        "Manifests of round 0, which names one holder's round keys, and of round 1, by the "
        "initiator and by its successor on the ring, 600 s after the closing of round 0.",
        [
            ("round 0", story.manifest_statement(), "north"),
            ("round 1", due, "east"),
            ("round 1 by a successor", late, "south"),
        ],
    )
    write(
        "holder_keys",
        "public",
        "holder_keys",
        "The KEM keys that shares of round 0 are sealed to, in window order: those of the round "
        "keys' statement for its site, long-term keys for the others.",
        manifest=story.manifest(),
        round_keys=[parties.round_keys()],
        keys=[parties.kem_key(parties.holder_secret(site)).hex() for site in SITES],
    )


def certificate():
    endorsements = [story.endorsement(site) for site in SITES[:4]]
    headers = [story.contribution(site).signed_header for site in story.CONTRIBUTORS]
    write(
        "certificate",
        "public",
        "certificate",
        "The closing of round 0 with Q = 4 endorsements, and the headers that it names.",
        manifest=story.manifest(),
        headers=headers,
        certificate={"closing": story.closing(), "endorsements": endorsements},
    )


def closing_set():
    signed, headers, reviews = story.exclusion(["north", "south"])
    write(
        "closing_set",
        "public",
        "closing_set",
        "A closing that rightly leaves a contribution out: two holders complain, and c = 1.",
        signed=signed,
        headers=headers,
        reviews=reviews,
    )


def round_end():
    contributions = [story.contribution(site) for site in story.CONTRIBUTORS]
    statement_file(
        "header",
        "Headers of the three contributions to round 0.",
        [(f"contribution of {c.site}", c.header, c.site) for c in contributions],
    )
    statement_file(
        "receipt",
        "Receipts of the aggregator for the three contributions.",
        [(f"for {c.site}", story.receipt_statement(c.site), "aggregator") for c in contributions],
    )
    statement_file(
        "review",
        "A review without and one with complaints.",
        [
            ("no complaint", story.review_statement("north"), "north"),
            ("two complaints", story.review_statement("west", ["centre", "south"]), "west"),
        ],
    )
    reviews = [
        canonical.digest("review", story.review_statement(site, ["south"]))
        for site in ("north", "west")
    ]
    entries = story.closing_statement()["included"]
    excluded = [{**entries[2], "reviews": reviews}]
    statement_file(
        "closing",
        "The closing of round 0; an abort; and one that leaves a dealer out for two complaints.",
        [
            ("a set", story.closing_statement(), "aggregator"),
            ("an abort", story.closing_statement(included=[], sum=None), "aggregator"),
            (
                "with an exclusion",
                story.closing_statement(included=entries[:2], excluded=excluded),
                "aggregator",
            ),
        ],
    )
    endorsements = [(site, story.endorsement(site)["statement"], site) for site in SITES[:4]]
    statement_file("endorsement", "Endorsements of the closing of round 0.", endorsements)
    openings = [(site, story.opening(site).statement, site) for site in story.OPENERS]
    statement_file("opening", "Statements of three holders' openings.", openings)
    base = {"manifest": story.manifest_digest(), "closing": story.closing_digest()}
    outcomes = [("applied", {"applied": {"model": parties.keyed_model("second model")}})]
    outcomes += [("failed", "failed")]
    statement_file(
        "acknowledgement",
        "Every outcome of a round at a site.",
        [(name, {**base, "site": "south", "outcome": outcome}, "south") for name, outcome in outcomes],
    )


def round_key_statements():
    statement_file(
        "round-keys",
        "A site's KEM keys for rounds 0 and 1.",
        [("two rounds", parties.round_keys()["statement"], "east")],
    )


def restores():
    request = {
        "study": parties.study_digest(),
        "site": "west",
        "nonce": blake3.digest(b"a fresh nonce").hex(),
        "restored_at": START + 5000,
    }
    statement_file(
        "restore-request",
        "A site that was restored from a backup asks the others how far they know the study to be.",
        [("restored", request, "west")],
    )
    answer = {
        "study": parties.study_digest(),
        "request": canonical.digest("restore-request", request),
        "site": "north",
    }
    statement_file(
        "standing",
        "Answers to it, by a site that knows round 1 and by one that knows none.",
        [
            ("round 1", {**answer, "round": 1}, "north"),
            ("no round", {**answer, "site": "south", "round": None}, "south"),
        ],
    )


def frames():
    north, envelopes = story.opening("north"), [b"\1\2", b"", b"\3"]
    write(
        "frame",
        "public",
        "frame",
        "Binary frames: of envelopes (here three short stand-ins) and of an opening, whose sealed "
        "bytes are given by their digest.",
        envelopes=[envelope.hex() for envelope in envelopes],
        envelope_frame=canonical.frame_list(envelopes).hex(),
        opening=north.signed,
        opening_frame=north.frame.hex(),
        sealed_digest=blake3.digest(north.sealed).hex(),
    )


def add_all():
    primitives()
    study()
    opened_rounds()
    round_key_statements()
    restores()
    round_end()
    certificate()
    closing_set()
    frames()
