"""Vectors of canonical bytes, statements, signatures and frames."""

import blake3
import canonical
import ed25519
import merkle
import packing
import parties
import sharing
import story
from output import bad, write
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
    weights = {"sample_counts": [181, 90, 250, 63, 120]}
    # Settings of the shipped trainer; names ascend as bytes, values are JSON or plain text.
    plan = [
        {"name": "classes", "value": '["normal","pneumonia"]'},
        {"name": "rounds", "value": "10"},
        {"name": "side", "value": "64"},
        {"name": "task", "value": "classification"},
        {"name": "training.epochs", "value": "1"},
    ]
    write(
        "study",
        "public",
        "study",
        "A study of five sites with all signatures. `signature_bytes` are what each site signs, "
        "`signing_seeds` the Ed25519 seeds it signs with. `thresholds` are derived from (m, c, l). "
        "`weighted` is the digest of the same study with other weights, and how far one site moves "
        "the mean then: [an honest one, a malicious one] over all sites and over the worst set, as "
        "shares of the clip bound. `trained` is the digest of the same study with a training plan, "
        "and that of the plan.",
        signed={"protocol": 2, "study": statement, "signatures": signatures},
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
            # Largest count over the sum of all; the largest count (a factor of 1) over that sum.
            "reach_of_all": [250 / 704, 250 / 704],
            # min_sites - c = 2 sites around the largest; min_sites - c + 1 = 3 smallest.
            "reach_at_worst": [250 / (63 + 250), 250 / (63 + 90 + 120)],
        },
        trained={
            "training": {"plan": plan},
            "digest": canonical.digest("study", {**statement, "training": {"plan": plan}}),
            "plan_digest": blake3.digest(
                canonical.labelled("training-plan", canonical.SETTINGS(plan))
            ).hex(),
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
    first = story.manifest_statement()
    longest = {**first, "deadline": first["opened_at"] + parties.study()["longest_round_seconds"]}
    statement_file(
        "manifest",
        "Manifests of round 0, which names one holder's round keys, of the same round held open for "
        "as long as the study allows, and of round 1, by the initiator and by its successor on the "
        "ring, 600 s after the closing of round 0.",
        [
            ("round 0", first, "north"),
            ("round 0, the longest", longest, "north"),
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
    signed, headers, reviews = story.exclusion([], "damaged")
    write(
        "closing_set_damaged",
        "public",
        "closing_set_damaged",
        "A closing that leaves a contribution out whose bytes the aggregator lost: its signed word "
        "is enough, with no complaint.",
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
    excluded = [{**entries[2], "reason": {"complaints": reviews}}]
    lost = [{**entries[2], "reason": "damaged"}]
    statement_file(
        "closing",
        "The closing of round 0; an abort; one that leaves a dealer out for two complaints; and one "
        "that leaves out a contribution that the aggregator lost.",
        [
            ("a set", story.closing_statement(), "aggregator"),
            ("an abort", story.closing_statement(included=[], sum=None), "aggregator"),
            (
                "with an exclusion",
                story.closing_statement(included=entries[:2], excluded=excluded),
                "aggregator",
            ),
            (
                "with a loss",
                story.closing_statement(included=entries[:2], excluded=lost),
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
    parts = []
    for site, key in zip(SITES, north.keys):
        digest = blake3.digest(key).hex()
        data, leaf = merkle.recipient_leaf(site, digest)
        parts.append(
            {
                "recipient": site,
                "key_digest": digest,
                "leaf_data": data.hex(),
                "leaf": leaf.hex(),
                "frame": north.part(site).hex(),
            }
        )
    write(
        "frame",
        "public",
        "frame",
        "Binary frames: of envelopes (here three short stand-ins), of an opening as its holder posts "
        "it, and of each site's part of it, with the leaf that the part's key and path lead from to "
        "the root in the statement.",
        envelopes=[envelope.hex() for envelope in envelopes],
        envelope_frame=canonical.frame_list(envelopes).hex(),
        manifest=story.manifest(),
        closing=story.closing_digest(),
        opening=north.signed,
        opening_frame=north.frame.hex(),
        parts=parts,
    )
    bad_opening_frames(north)


def bad_opening_frames(made):
    """What a holder may not post: not what its statement names, or not what the study asks for. The
    statements are those of the very frames, but for the last three."""
    keys, content = made.keys, made.content
    longer, swapped = content + b"\0", [keys[1], keys[0], *keys[2:]]

    def signed(content, keys):
        leaves = story.recipient_leaves(keys)
        changes = {"content": blake3.digest(content).hex(), "recipients": merkle.root(leaves).hex()}
        statement = {**made.statement, **changes}
        return canonical.sign("opening", statement, parties.signing_seed("north"))

    shorter = [*keys[:2], keys[2][:-1], *keys[3:]]
    altered = content[:-1] + bytes([content[-1] ^ 1])
    cases = {
        "key_missing": (
            signed(content, keys[:4]), content, keys[:4],
            "holds 4 content keys, expected one for each of the 5 sites",
        ),
        "short_key": (
            signed(content, shorter), content, shorter,
            f"content key for {SITES[2]} has 1167 bytes, expected 1168",
        ),
        "long_content": (
            signed(longer, keys), longer, keys,
            f"content has {len(longer)} bytes, expected {len(content)}",
        ),
        "content": (made.signed, altered, keys, "the opening's content has digest"),
        "order": (made.signed, content, swapped, "the opening's content keys have the root"),
        "altered_key": (
            made.signed, content, [keys[0][:-1] + bytes([keys[0][-1] ^ 1]), *keys[1:]],
            "the opening's content keys have the root",
        ),
    }  # fmt: skip
    for name, (statement, content, keys, error) in cases.items():
        frame = canonical.opening_frame(statement, content, keys).hex()
        bad("opening_frame", name, "A holder's opening that is not taken.", error, frame=frame)


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
