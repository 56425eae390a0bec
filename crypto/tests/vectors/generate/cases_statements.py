"""Vectors of canonical bytes, statements, signatures and frames."""

import math

import blake3
import canonical
import ed25519
import frames
import judgement
import manifests
import merkle
import openings
import packing
import parties
import sharing
import story
from contribution import contribution
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


def statement_file(label, about, statements, name=None):
    """`statements`: (name, statement, signing site or the aggregator)."""
    file = name or label.replace("-", "_")
    cases = []
    for name, statement, signer in statements:
        seed = AGGREGATOR if signer == "aggregator" else signing_seed(signer)
        cases.append(case(name, label, canonical.sign(label, statement, seed), signer, seed))
    write(file, "public", "statement", about, label=label, cases=cases)


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
        "`signing_seeds` the Ed25519 seeds it signs with. `thresholds` are derived from (m, c, l); "
        "`names`: a spoiled round can name its culprit; `default_packing` is the l chosen for (m, c). "
        "`weighted` is the digest of the same study with other weights, and how far one honest "
        "site moves the mean then, over all sites and over the worst set, as shares of the clip "
        "bound. `trained` is the digest of the same study with a training plan, "
        "and that of the plan.",
        signed={"protocol": 2, "study": statement, "signatures": signatures},
        canonical=canonical.statement_bytes("study", statement).hex(),
        digest=parties.study_digest(),
        layout_digest=blake3.digest(layout).hex(),
        values=parties.VALUES,
        blocks=packing.blocks_of(parties.PACKING, parties.VALUES),
        body_bytes=len(story.first().sum),
        signing_seeds=[signing_seed(site).hex() for site in SITES],
        signature_bytes=signed_bytes,
        weighted={
            "weights": weights,
            "digest": canonical.digest("study", {**statement, "weights": weights}),
            # Largest count over the sum of all.
            "reach_of_all": 250 / 704,
            # min_sites - c = 2 sites: the largest and the smallest.
            "reach_at_worst": 250 / (63 + 250),
        },
        trained={
            "training": {"plan": plan},
            "digest": canonical.digest("study", {**statement, "training": {"plan": plan}}),
            "plan_digest": blake3.digest(
                canonical.labelled("training-plan", canonical.SETTINGS(plan))
            ).hex(),
        },
        thresholds=[
            {
                "sites": sites,
                "min_sites_floor": max(3, c + 2),
                "names": m >= 3 * c + l,
                "silent_tolerated": m - max((m + c) // 2 + 1, sharing.thresholds(m, c, l)["opening"] + c),
                "default_packing": max(1, min(m - 3 * c, math.isqrt(512 // c))),
                **sharing.thresholds(m, c, l),
            }
            for sites, m, c, l in [
                (3, 3, 1, 1), (5, 5, 1, 1), (5, 5, 1, 2), (10, 10, 2, 2), (16, 16, 4, 4),
                (100, 16, 4, 4), (32, 32, 8, 8), (64, 64, 16, 16),
            ]
        ],  # fmt: skip
    )


def opened_rounds():
    """Manifests: round 0 and round 1, by those whose turn it is and by their successors."""
    closing, closed_at = story.first().closing_digest, START + 400
    previous = {
        "round": 0, "closing": closing, "closed_at": closed_at, "trust": judgement.NOBODY,
    }  # fmt: skip
    paired = {"barred": [], "pairs": [{"holder": "west", "dealer": "centre"}]}
    barred = {"barred": ["east"], "pairs": []}
    first, due = manifests.statement(), manifests.statement(1, previous=closing)
    longest = {**first, "deadline": first["opened_at"] + parties.study()["longest_round_seconds"]}

    def opened(statement, site, opened_at, trust=judgement.NOBODY):
        times = {"opened_at": opened_at, "deadline": opened_at + 300}
        return {**statement, "initiator": site, **times, "trust": judgement.trust_digest(trust)}

    cases = [
        ("round 0", first, None),
        ("round 0, the longest", longest, None),
        ("round 0 by a successor", opened(first, "east", START + 600), None),
        ("round 0 by the last of the ring", opened(first, "centre", START + 2400), None),
        ("round 1", due, previous),
        ("round 1 by a successor", opened(due, "south", closed_at + 600), previous),
        (
            "round 1 with a pair",
            opened(due, "east", closed_at, paired),
            {**previous, "trust": paired},
        ),
        (
            "round 1, its initiator barred",
            opened(due, "south", closed_at, barred),
            {**previous, "trust": barred},
        ),
        (
            "round 1 by the successor of one who is barred",
            opened(due, "west", closed_at + 600, barred),
            {**previous, "trust": barred},
        ),
    ]
    statement_file(
        "manifest",
        "Manifests of round 0, which names one holder's round keys, of the same round held open for "
        "as long as the study allows, and of round 1; by the initiator and by its successors on the "
        "ring, 600 s later each. A barred site's turn passes at once.",
        [(name, statement, statement["initiator"]) for name, statement, _ in cases],
    )
    write(
        "manifest_previous",
        "public",
        "manifest_previous",
        "How the round before ended, for each manifest of manifest.json: each is accepted.",
        previous=[before for _, _, before in cases],
    )
    write(
        "holder_keys",
        "public",
        "holder_keys",
        "The KEM keys that shares of round 0 are sealed to, in window order: those of the round "
        "keys' statement for its site, long-term keys for the others.",
        manifest=manifests.manifest(),
        round_keys=[parties.round_keys()],
        keys=[parties.kem_key(parties.holder_secret(site)).hex() for site in SITES],
    )


def certificate():
    headers = [contribution(site).signed_header for site in story.CONTRIBUTORS]
    write(
        "certificate",
        "public",
        "certificate",
        "Round 0 as far as its certificate: the headers, the freeze that lists them, the reviews in the "
        "order in which they came, of which the last is not listed in the closing, and the closing with "
        "Q = 4 endorsements.",
        manifest=manifests.manifest(),
        headers=headers,
        freeze=story.first().freeze,
        reviews=story.first().reviews() + [story.first().review("centre")],
        certificate=story.first().certificate(),
    )


def round_end():
    contributions = [contribution(site) for site in story.CONTRIBUTORS]
    statement_file(
        "header",
        "Headers of the three contributions to round 0.",
        [(f"contribution of {c.site}", c.header, c.site) for c in contributions],
    )
    statement_file(
        "receipt",
        "Receipts of the aggregator for the three contributions.",
        [
            (f"for {c.site}", story.receipt_statement(c.site, c.header_digest), "aggregator")
            for c in contributions
        ],
    )
    statement_file(
        "freeze",
        "The freeze of round 0: three contributions, ascending by site; and one of none.",
        [
            ("three contributions", story.first().freeze_statement, "aggregator"),
            ("none", {**story.first().freeze_statement, "contributions": []}, "aggregator"),
        ],
    )
    answers = [*story.first().answers("west")[:2], "no_share"]
    statement_file(
        "review",
        "Reviews of the freeze: with an answer for every dealer; and one that found no share of "
        "south's in its envelope.",
        [
            *((site, story.first().review_statement(site), site) for site in SITES),
            ("no share", story.first().review_statement("west", answers=answers), "west"),
        ],
    )
    entries = story.first().closing_statement()["included"]
    excluded = [
        [{**entries[2], "reason": reason}]
        for reason in ("barred", "undetermined", "accused", "damaged", "group_incomplete")
    ]
    abort = {"included": [], "excluded": [], "sum": None}
    statement_file(
        "closing",
        "The closing of round 0; an abort; and one with every reason for which a dealer is left out.",
        [
            ("a set", story.first().closing_statement(), "aggregator"),
            ("an abort", story.first().closing_statement(**abort), "aggregator"),
            (
                "an abort for want of reviews",
                story.first().closing_statement(**abort, reviews=[]),
                "aggregator",
            ),
            *(
                (
                    left_out[0]["reason"],
                    story.first().closing_statement(included=entries[:2], excluded=left_out),
                    "aggregator",
                )
                for left_out in excluded
            ),
        ],
    )
    endorsements = [(site, story.first().endorsement(site)["statement"], site) for site in SITES[:4]]
    statement_file("endorsement", "Endorsements of the closing of round 0.", endorsements)
    openings = [(site, story.first().opening(site).statement, site) for site in story.OPENERS]
    statement_file("opening", "Statements of three holders' openings.", openings)
    base = {"manifest": manifests.digest(), "closing": story.first().closing_digest}
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


def binary_frames():
    north, envelopes = story.first().opening("north"), [b"\1\2", b"", b"\3"]
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
        envelope_frame=frames.frame_list(envelopes).hex(),
        manifest=manifests.manifest(),
        closing=story.first().closing_digest,
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
        leaves = openings.recipient_leaves(keys)
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
        frame = frames.opening_frame(statement, content, keys).hex()
        bad("opening_frame", name, "A holder's opening that is not taken.", error, frame=frame)


def add_all():
    primitives()
    study()
    opened_rounds()
    round_key_statements()
    restores()
    round_end()
    certificate()
    binary_frames()
