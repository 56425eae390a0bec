"""Bad messages of a round, frames and JSON: each with the error that it must give."""

import canonical
import frames
import manifests
import ring
import story
from contribution import contribution
from output import bad
from parties import AGGREGATOR, SITES, digest_of, signing_seed


def headers():
    good = contribution("north").header
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
        "study": (
            {**good, "study": digest_of("another study")}, "north",
            f"the header is of round 0 of study {digest_of('another study')}, expected round 0 of study",
        ),
        "round": ({**good, "round": 1}, "north", "the header is of round 1 of study"),
        "site_unknown": ({**good, "site": "nobody"}, "north", "site nobody is not on the study's roster"),
        "signer": (good, "south", "the signature of this header does not verify under the key of north"),
    }  # fmt: skip
    for name, (statement, signer, error) in cases.items():
        signed = canonical.sign("header", statement, signing_seed(signer))
        bad("header", name, "A header that the round of manifest.json refuses.", error, signed=signed)


def certificates():
    def certificate(name, endorsements, error, closing=None):
        content = {"closing": closing or story.first().closing, "endorsements": endorsements}
        bad("certificate", name, "A certificate that certifies nothing.", error, certificate=content)

    good = [story.first().endorsement(site) for site in SITES]
    certificate("too_few", good[:3], "round 0 has 3 endorsements of its closing, needed 4")
    certificate("none", [], "round 0 has 0 endorsements of its closing, needed 4")
    stands_twice = "is for another closing, by no key holder of the round, or stands twice"
    certificate("duplicate", good[:3] + good[2:3], "an endorsement by south " + stands_twice)
    other = story.first().endorsement("west", closing=digest_of("another closing"))
    certificate("other_closing", good[:3] + [other], "an endorsement by west " + stands_twice)
    other = story.first().endorsement("west", round=1)
    certificate("other_round", good[:3] + [other], "an endorsement by west " + stands_twice)
    statement = {**good[3]["statement"], "holder": "nobody"}
    forged = canonical.sign("endorsement", statement, signing_seed("west"))
    certificate("stranger", good[:3] + [forged], "an endorsement by nobody " + stands_twice)
    forged = {**good[3], "signature": good[2]["signature"]}
    error = "the signature of this endorsement does not verify under the key of west"
    certificate("signature", good[:3] + [forged], error)
    entries = story.first().closing_statement()["included"]
    lost = {"included": entries[:2], "excluded": [{**entries[2], "reason": "damaged"}]}
    small = canonical.sign("closing", story.first().closing_statement(**lost), AGGREGATOR)
    digest = canonical.digest("closing", small["statement"])
    of_small = [story.first().endorsement(site, closing=digest) for site in SITES[:4]]
    error = "set has 2 contributions, expected none (an abort) or at least 3"
    certificate("set_too_small", of_small, error, closing=small)


def late_messages():
    """Messages that the round of the story refuses, certified as it is."""
    manifest, other = manifests.digest(), digest_of("another closing")
    opening = {**story.first().opening("north").statement, "closing": other}
    acknowledgement = {
        "manifest": manifest,
        "closing": story.first().closing_digest,
        "site": "nobody",
        "outcome": "failed",
    }
    review = story.first().review_statement("centre")
    answers = review["answers"]
    cases = {
        "opening_other_closing": ("opening", opening, "north", f"the message is for closing {other}"),
        "acknowledgement_stranger": (
            "acknowledgement", acknowledgement, "north", "site nobody is not on the study's roster",
        ),
        "acknowledgement_other_closing": (
            "acknowledgement", {**acknowledgement, "site": "north", "closing": other}, "north",
            f"the message is for closing {other}",
        ),
        "review_too_few_answers": (
            "review", {**review, "answers": answers[:2]}, "centre",
            "the review of centre has 2 answers, expected one for each of 3 contributions",
        ),
        "review_too_many_answers": (
            "review", {**review, "answers": [*answers, "no_share"]}, "centre",
            "the review of centre has 4 answers, expected one for each of 3 contributions",
        ),
        "review_of_another_freeze": (
            "review", {**review, "freeze": digest_of("another freeze")}, "centre",
            f"the review of centre is of freeze {digest_of('another freeze')}",
        ),
        "review_by_no_holder": (
            "review", {**review, "holder": "nobody"}, "centre", "site nobody is not on the study's roster",
        ),
        "second_review": (
            "review", {**story.first().review_statement("north"), "answers": answers}, "north",
            "holder north has already reviewed this round differently",
        ),
        "endorsement_other_closing": (
            "endorsement", {**story.first().endorsement("centre")["statement"], "closing": other}, "centre",
            f"the message is for closing {other}",
        ),
        "endorsement_other_round": (
            "endorsement", {**story.first().endorsement("centre")["statement"], "round": 1}, "centre",
            "the endorsement is of round 1 of study",
        ),
        "endorsement_other_study": (
            "endorsement",
            {**story.first().endorsement("centre")["statement"], "study": digest_of("another study")},
            "centre", f"the endorsement is of round 0 of study {digest_of('another study')}",
        ),
        "second_endorsement": (
            "endorsement", {**story.first().endorsement("north")["statement"], "closing": other}, "north",
            "holder north has already endorsed in this round",
        ),
    }  # fmt: skip
    for name, (label, statement, signer, error) in cases.items():
        bad(
            "message",
            name,
            "A message that the round refuses once it has headers, receipts, the freeze, the first four "
            "reviews, the closing and the endorsements of certificate.json.",
            error,
            label=label,
            signed=canonical.sign(label, statement, signing_seed(signer)),
        )


def bad_frames():
    good = frames.frame_list([b"\1\2", b"", b"\3"])
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
    q = ring.Q.to_bytes(8, "little").hex()
    fields = f'"manifest":"{digest}","freeze":"{digest}","holder":"north","answers":["no_share"]'
    good = f'{{"statement":{{{fields}}},"signature":"{signature}"}}'
    expected = "expected the JSON of a review"
    cases = {
        "truncated": (good[:-1], 0, expected),
        "left_over": (good + "{}", 0, expected),
        "unknown_field": (good.replace('"answers"', '"other":1,"answers"'), 0, "unknown field"),
        "missing_field": (good.replace(',"answers":["no_share"]', ""), 0, "missing field"),
        "field_twice": (good.replace('"answers":', '"answers":[],"answers":'), 0, "duplicate field"),
        "upper_case_digest": (good.replace(digest, digest.upper()), 0, "expected 64 hexadecimal digits of a digest"),
        "short_digest": (good.replace(digest, digest[:-2]), 0, "expected 64 hexadecimal digits of a digest"),
        "site_name": (good.replace("north", "../north"), 0, "expected a site name of 1 to 32"),
        "short_signature": (good.replace(signature, signature[2:]), 0, "expected a signature of 128 lower-case hexadecimal digits"),
        "upper_case_signature": (good.replace(signature, signature[:-2] + "AB"), 0, "expected a signature of 128 lower-case hexadecimal digits"),
        "upper_case_answer": (good.replace('"no_share"', '{"masked":"%s"}' % ("0A" + "00" * 15)), 0, "expected lower-case hexadecimal digits"),
        "answer_word_at_q": (good.replace('"no_share"', '{"masked":"%s"}' % (q + "00" * 8)), 0, f"word 0 is {ring.Q}"),
        "answer_second_word": (good.replace('"no_share"', '{"masked":"%s"}' % ("00" * 8 + "ff" * 8)), 0, f"word 1 is {2**64 - 1}"),
        "answer_short": (good.replace('"no_share"', '{"masked":"%s"}' % ("00" * 15)), 0, "expected 16 bytes of 8-byte residues, got 15"),
        "answer_unknown": (good.replace('"no_share"', '"no_answer"'), 0, "unknown variant"),
        "too_long": (good, 2**22, f"expected at most {2**22} bytes of JSON, got {2**22 + len(good)}"),
    }  # fmt: skip
    assert digest != digest.upper()
    for name, (text, spaces, error) in cases.items():
        about = "A text that is no signed review; `spaces` more bytes of blanks follow it."
        bad("json", name, about, error, text=text, spaces=spaces)


def add_all():
    headers()
    certificates()
    late_messages()
    bad_frames()
    json_texts()
