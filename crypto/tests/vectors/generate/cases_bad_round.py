"""Bad messages of a round, frames and JSON: each with the error that it must give."""

import canonical
import story
from output import bad
from parties import AGGREGATOR, SITES, digest_of, signing_seed


def headers():
    good = story.contribution("north").header
    cases = {
        "check_length": (
            {**good, "check": good["check"][:-2]}, "north",
            "sealed check words of 47 bytes, expected 48",
        ),
        "envelopes": (
            {**good, "envelopes": good["envelopes"][:4]}, "north",
            "the header names 4 envelopes, expected one for each of 5 key holders",
        ),
        "body_length": (
            {**good, "body_bytes": good["body_bytes"] - 8}, "north",
            f"a body of {good['body_bytes'] - 8} bytes, expected {good['body_bytes']}",
        ),
        "manifest": (
            {**good, "manifest": digest_of("another manifest")}, "north",
            f"the message is for the round with manifest {digest_of('another manifest')}",
        ),
        "site_unknown": ({**good, "site": "nobody"}, "north", "site nobody is not on the study's roster"),
        "signer": (good, "south", "the signature of this header does not verify under the key of north"),
    }  # fmt: skip
    for name, (statement, signer, error) in cases.items():
        signed = canonical.sign("header", statement, signing_seed(signer))
        bad("header", name, "A header that the round of manifest.json refuses.", error, signed=signed)


def closings():
    good = story.closing_statement()
    entries = good["included"]
    stranger = {"site": "nobody", "header": digest_of("header")}
    left_out = {**entries[2], "reason": {"complaints": []}}
    lost = {**entries[2], "reason": "damaged"}
    fourth = {"site": "east", "header": digest_of("no header of east")}
    cases = {
        "set_too_small": ({"included": entries[:2]}, "set has 2 contributions, expected none (an abort) or at least 3"),
        "out_of_order": ({"included": entries[::-1]}, "entry north is out of order"),
        "twice": ({"included": [*entries, entries[2]]}, "entry south is out of order, stands twice"),
        "stranger": ({"included": [entries[0], stranger, entries[2]]}, "entry nobody is out of order"),
        "sum_missing": ({"sum": None}, "names a sum if and only if its set is not empty"),
        "abort_with_sum": ({"included": []}, "names a sum if and only if its set is not empty"),
        "in_and_out": ({"excluded": [left_out]}, "entry south is out of order, stands twice"),
        "damaged_set_too_small": (
            {"included": entries[:2], "excluded": [lost]},
            "set has 2 contributions, expected none (an abort) or at least 3",
        ),
        "damaged_in_and_out": ({"excluded": [lost]}, "entry south is out of order, stands twice"),
        "damaged_header": (
            {"excluded": [{**fourth, "reason": "damaged"}]},
            f"the closing names header {digest_of('no header of east')} of east",
        ),
        "round": ({"round": 1}, "the closing is for round 1"),
        "closed_before_opened": (
            {"closed_at": story.manifest_statement()["opened_at"] - 1},
            "closed at 2027-01-15 08:00:09 UTC (1800000009), before its manifest opened it at "
            "2027-01-15 08:00:10 UTC (1800000010)",
        ),
        "log_too_small": (
            {"checkpoint": {**good["checkpoint"], "size": 3}},
            "the closing's checkpoint has 3 leaves, expected at least 4",
        ),
        "header": (
            {"included": [entries[0], fourth, *entries[1:]]},
            f"the closing names header {digest_of('no header of east')} of east",
        ),
        "header_of_another": (
            {"included": [{**entries[0], "header": entries[1]["header"]}, *entries[1:]]},
            f"the closing names header {entries[1]['header']} of centre",
        ),
    }  # fmt: skip
    for name, (changes, error) in cases.items():
        signed = canonical.sign("closing", {**good, **changes}, AGGREGATOR)
        about = "A closing of round 0 that nobody should endorse, and the headers that are known."
        known = [story.contribution(site).signed_header for site in story.CONTRIBUTORS]
        bad("closing", name, about, error, signed=signed, headers=known, reviews=[])
    signed, known, reviews = story.exclusion(["north"])
    error = "the closing leaves out west, whose contribution has a receipt, with 1 complaints; more"
    about = "A closing that leaves a contribution out for too few complaints."
    bad("closing", "left_out", about, error, signed=signed, headers=known, reviews=reviews)
    signed = canonical.sign("closing", good, signing_seed("north"))
    error = "the signature of this closing does not verify under the key of the aggregator"
    bad("closing", "signer", "A closing that a site signed.", error, signed=signed, headers=[], reviews=[])


def certificates():
    def certificate(name, endorsements, error, closing=None):
        content = {"closing": closing or story.closing(), "endorsements": endorsements}
        bad("certificate", name, "A certificate that certifies nothing.", error, certificate=content)

    good = [story.endorsement(site) for site in SITES]
    certificate("too_few", good[:3], "round 0 has 3 endorsements of its closing, needed 4")
    certificate("none", [], "round 0 has 0 endorsements of its closing, needed 4")
    stands_twice = "is for another closing, by no key holder of the round, or stands twice"
    certificate("duplicate", good[:3] + good[2:3], "an endorsement by south " + stands_twice)
    other = story.endorsement("west", closing=digest_of("another closing"))
    certificate("other_closing", good[:3] + [other], "an endorsement by west " + stands_twice)
    other = story.endorsement("west", round=1)
    certificate("other_round", good[:3] + [other], "an endorsement by west " + stands_twice)
    statement = {**good[3]["statement"], "holder": "nobody"}
    forged = canonical.sign("endorsement", statement, signing_seed("west"))
    certificate("stranger", good[:3] + [forged], "an endorsement by nobody " + stands_twice)
    forged = {**good[3], "signature": good[2]["signature"]}
    error = "the signature of this endorsement does not verify under the key of west"
    certificate("signature", good[:3] + [forged], error)
    small = canonical.sign(
        "closing", story.closing_statement(included=story.closing_statement()["included"][:2]), AGGREGATOR
    )
    error = "set has 2 contributions, expected none (an abort) or at least 3"
    certificate("set_too_small", good[:4], error, closing=small)


def late_messages():
    """Messages that the round of the story refuses, certified as it is."""
    manifest, other = story.manifest_digest(), digest_of("another closing")
    opening = {**story.opening("north").statement, "closing": other}
    acknowledgement = {
        "manifest": manifest,
        "closing": story.closing_digest(),
        "site": "nobody",
        "outcome": "failed",
    }
    out_of_order = story.review_statement("north", ["south", "centre"])
    cases = {
        "opening_other_closing": ("opening", opening, "north", f"the message is for closing {other}"),
        "acknowledgement_stranger": (
            "acknowledgement", acknowledgement, "north", "site nobody is not on the study's roster",
        ),
        "acknowledgement_other_closing": (
            "acknowledgement", {**acknowledgement, "site": "north", "closing": other}, "north",
            f"the message is for closing {other}",
        ),
        "review_out_of_order": (
            "review", out_of_order, "north", "the review complains about south",
        ),
        "review_of_no_contributor": (
            "review", story.review_statement("north", ["west"]), "north",
            "the review complains about west",
        ),
        "endorsement_other_closing": (
            "endorsement", {**story.endorsement("centre")["statement"], "closing": other}, "centre",
            f"the message is for closing {other}",
        ),
        "second_endorsement": (
            "endorsement", {**story.endorsement("north")["statement"], "closing": other}, "north",
            "holder north has already endorsed in this round",
        ),
    }  # fmt: skip
    for name, (label, statement, signer, error) in cases.items():
        bad(
            "message",
            name,
            "A message that the round refuses once it has headers, receipts, the closing and the "
            "endorsements of certificate.json.",
            error,
            label=label,
            signed=canonical.sign(label, statement, signing_seed(signer)),
        )


def frames():
    good = canonical.frame_list([b"\1\2", b"", b"\3"])
    about = "Bytes that are no frame of envelopes; `zeros` more bytes of zero follow them."
    cases = {
        "truncated": (good[:-1], 0, "expected the frame of envelopes"),
        "left_over": (good + b"\0", 0, f"expected the frame to end at byte {len(good)}, but {len(good) + 1}"),
        "hostile_count": (b"\xff" * 7 + b"\x7f", 0, "expected the frame of envelopes"),
        "too_long": (good, 2**24, f"at most {2**24} bytes, got {2**24 + len(good)}"),
        "empty": (b"", 0, "expected the frame of envelopes"),
    }
    for name, (data, zeros, error) in cases.items():
        bad("frame", name, about, error, bytes=data.hex(), zeros=zeros)


def json_texts():
    digest, signature = digest_of("x"), "00" * 64
    fields = f'"manifest":"{digest}","holder":"north","complaints":[]'
    good = f'{{"statement":{{{fields}}},"signature":"{signature}"}}'
    expected = "expected the JSON of a review"
    cases = {
        "truncated": (good[:-1], 0, expected),
        "left_over": (good + "{}", 0, expected),
        "unknown_field": (good.replace('"complaints"', '"other":1,"complaints"'), 0, "unknown field"),
        "missing_field": (good.replace(',"complaints":[]', ""), 0, "missing field"),
        "field_twice": (good.replace('"complaints":[]', '"complaints":[],"complaints":[]'), 0, "duplicate field"),
        "upper_case_digest": (good.replace(digest, digest.upper()), 0, "expected 64 hexadecimal digits of a digest"),
        "short_digest": (good.replace(digest, digest[:-2]), 0, "expected 64 hexadecimal digits of a digest"),
        "site_name": (good.replace("north", "../north"), 0, "expected a site name of 1 to 32"),
        "short_signature": (good.replace(signature, signature[2:]), 0, "expected a signature of 128 hexadecimal digits"),
        "too_long": (good, 2**22, f"expected at most {2**22} bytes of JSON, got {2**22 + len(good)}"),
    }  # fmt: skip
    assert digest != digest.upper()
    for name, (text, spaces, error) in cases.items():
        about = "A text that is no signed review; `spaces` more bytes of blanks follow it."
        bad("json", name, about, error, text=text, spaces=spaces)


def add_all():
    headers()
    closings()
    certificates()
    late_messages()
    frames()
    json_texts()
