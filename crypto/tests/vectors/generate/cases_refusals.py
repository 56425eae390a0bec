"""Bad cases of statements and frames: each with the error that it must give."""

import canonical
import ed25519
import story
from output import write
from story import AGGREGATOR, SITES, START, digest_of, signing_seed


def bad(kind, name, about, error, **content):
    write(f"{kind}_bad_{name}", "public", f"{kind}_bad", about, error=error, **content)


def studies():
    study = story.study()
    roster = study["roster"]
    changes = {
        "overflow": ({"/packing/slots": 3}, "overflow the modulus when 5 sites add up"),
        "too_few_wire_bits": ({"/packing/wire_bits": 40}, "use more wire bits"),
        "thresholds_not_derived": (
            {"/threshold/endorsements": 3},
            "give Q = 4 and t = 3, the study states Q = 3 and t = 3",
        ),
        "no_collusion": ({"/threshold/collusion": 0}, "expected a collusion bound c of at least 1"),
        "too_few_holders": ({"/threshold/collusion": 4}, "need 6 holders at least"),
        "min_sites_too_low": ({"/min_sites": 2}, "min_sites is 2, expected 3 to 5"),
        "min_sites_too_high": ({"/min_sites": 6}, "min_sites is 6, expected 3 to 5"),
        "duplicate_site": ({"/roster/3/id": "north"}, "site north or one of its keys stands twice"),
        "duplicate_key": (
            {"/roster/3/signature_key": roster[0]["signature_key"]},
            "site west or one of its keys stands twice",
        ),
        "short_kem_key": (
            {"/roster/1/kem_key": roster[1]["kem_key"][:-2]},
            "the KEM key of east has 1215 bytes, expected 1216",
        ),
        "two_sites": ({"/roster": roster[:2]}, "expected 3 to 10000 sites, got 2"),
        "tensors_out_of_order": (
            {"/layout/tensors/1/name": "a.a"},
            "tensor names must be strictly ascending",
        ),
        "clip_zero": ({"/layout/tensors/0/clip": 0.0}, 'tensor "a.bias" has clip bound 0'),
        "model_too_large": ({"/layout/tensors/2/shape": [134217729]}, "a key encrypts at most 16384"),
        "check_keys_missing": (
            {"/check_key/sealed": study["check_key"]["sealed"][:4]},
            "expected one sealed check key for each of 5 sites, got 4",
        ),
        "no_name": ({"/name": ""}, "expected a study name of 1 to 200 bytes, got 0"),
        "changed_after_signing": (
            {"/review_seconds": 31},
            "the signature of this study-signature does not verify under the key of north",
        ),
        "weak_key": (
            {"/roster/2/signature_key": "01" + 31 * "00"},
            "expected an Ed25519 verification key",
        ),
    }
    about = "The signed study of study.json with the values at these JSON pointers replaced."
    for name, (replace, error) in changes.items():
        replace = {"/study" + pointer: value for pointer, value in replace.items()}
        bad("study", name, about, error, replace=replace)
    signatures = []
    for site in SITES:
        signed = {"study": story.study_digest(), "site": site}
        made = canonical.sign("study-signature", signed, signing_seed(site))
        signatures.append({"site": site, "signature": made["signature"]})
    swapped = [{**signatures[0], "signature": signatures[1]["signature"]}, *signatures[1:]]
    error = "does not verify under the key of north"
    bad("study", "swapped_signature", about, error, replace={"/signatures": swapped})
    error = "the study lacks the signatures of south;"
    unsigned = signatures[:2] + signatures[3:]
    bad("study", "unsigned", about, error, replace={"/signatures": unsigned})
    error = "carries a signature by north, who is not on the roster or signed already"
    bad("study", "signed_twice", about, error, replace={"/signatures": signatures + signatures[:1]})


def signatures():
    statement = story.manifest_statement()
    good = bytes.fromhex(story.manifest()["signature"])
    encoded = canonical.statement_bytes("manifest", statement)
    relabelled = canonical.labelled("header", canonical.SCHEMAS["manifest"](statement))
    unlabelled = canonical.SCHEMAS["manifest"](statement)
    seed = signing_seed("north")
    s = int.from_bytes(good[32:], "little")
    # Of small order: R = the point of order 2. With A of order 1 and S = 0 a verifier that does
    # not look would accept it for any message.
    small = ed25519.compress((0, ed25519.P - 1))
    cases = {
        "s_not_reduced": good[:32] + (s + ed25519.L).to_bytes(32, "little"),
        "other_label": ed25519.sign(seed, relabelled),
        "no_label": ed25519.sign(seed, unlabelled),
        "other_signer": ed25519.sign(signing_seed("east"), encoded),
        "altered": bytes([good[0] ^ 1]) + good[1:],
        "small_order_r": small + good[32:],
        "zero": bytes(64),
    }
    public = ed25519.public_key(seed)
    for name, signature in cases.items():
        assert not ed25519.verify(public, encoded, signature), name
        bad(
            "signature",
            name,
            "A manifest of round 0 whose signature does not hold under the key of north.",
            "the signature of this manifest does not verify under the key of north",
            signed={"statement": statement, "signature": signature.hex()},
        )


def manifests():
    previous = {
        "round": 0,
        "closing": story.closing_digest(),
        "closed_at": story.closing_statement()["closed_at"],
    }
    second = story.manifest_statement(1, previous=story.closing_digest())
    first = story.manifest_statement()
    cases = {
        "initiator": (
            {**first, "initiator": "east"}, "east", None,
            "east opened round 0, but the initiator is north",
        ),
        "successor_too_early": (
            {**second, "initiator": "south", "opened_at": START + 999, "deadline": START + 1300},
            "south", previous, "south opened round 1, but the initiator is east",
        ),
        "initiator_unknown": (
            {**first, "initiator": "nobody"}, "north", None, "nobody opened round 0",
        ),
        "holders": (
            {**first, "holders": SITES[1:] + SITES[:1]}, "north", None,
            "the manifest's key holders are not the 5 sites from ring position 0 on",
        ),
        "holder_keys": (
            {**first, "holder_keys": first["holder_keys"][:4]}, "north", None,
            "the manifest names 4 holders' keys, expected one entry for each of 5",
        ),
        "previous": (
            {**second, "previous": digest_of("another closing")}, "east", previous,
            "as the previous round's closing",
        ),
        "previous_missing": (
            {**second, "previous": None}, "east", previous, "as the previous round's closing",
        ),
        "deadline_too_near": (
            {**first, "deadline": first["opened_at"] + 59}, "north", None,
            "the manifest leaves 59 s for contributions, expected 60 to 7776000 s",
        ),
        "deadline_too_far": (
            {**first, "deadline": first["opened_at"] + 7776001}, "north", None,
            "the manifest leaves 7776001 s for contributions",
        ),
        "deadline_before_opening": (
            {**first, "deadline": first["opened_at"] - 1}, "north", None,
            "the manifest leaves 0 s for contributions",
        ),
        "round": (
            story.manifest_statement(2, previous=story.closing_digest()), "south", previous,
            "the manifest opens round 2, expected round 1",
        ),
        "study": (
            {**first, "study": digest_of("another study")}, "north", None,
            "the manifest is for study " + digest_of("another study"),
        ),
    }  # fmt: skip
    for name, (statement, signer, before, error) in cases.items():
        signed = canonical.sign("manifest", statement, signing_seed(signer))
        about = "A manifest that is refused; `previous` is how the round before ended."
        bad("manifest", name, about, error, signed=signed, previous=before)


def round_keys():
    good = story.round_keys()["statement"]
    cases = {
        "study": ({**good, "study": digest_of("another study")}, "the round keys of east are for study"),
        "site": ({**good, "site": "nobody"}, "nobody is not on its roster"),
        "none": ({**good, "keys": []}, "expected 1 to 64 round keys of 1216 bytes, got 0"),
        "short": (
            {**good, "keys": [good["keys"][0][:-2]]},
            "expected 1 to 64 round keys of 1216 bytes, got 1, of which one has 1215 bytes",
        ),
        "rounds_overflow": ({**good, "first_round": 2**32 - 1}, "expected 1 to 64 round keys"),
    }
    for name, (statement, error) in cases.items():
        signed = canonical.sign("round-keys", statement, signing_seed("east"))
        bad("round_keys", name, "Round keys that are refused.", error, signed=signed)
    unknown = story.manifest_statement()
    unknown["holder_keys"] = [None, digest_of("no such statement"), None, None, None]
    bad(
        "holder_keys",
        "missing",
        "A manifest that names round keys which are not at hand.",
        "has east hold under round keys " + digest_of("no such statement"),
        manifest=canonical.sign("manifest", unknown, signing_seed("north")),
        round_keys=[story.round_keys()],
    )


def headers():
    good = story.contribution("north").header
    cases = {
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
    left_out = {**entries[2], "reviews": []}
    fourth = {"site": "east", "header": digest_of("no header of east")}
    cases = {
        "set_too_small": ({"included": entries[:2]}, "set has 2 contributions, expected none (an abort) or at least 3"),
        "out_of_order": ({"included": entries[::-1]}, "entry north is out of order"),
        "twice": ({"included": [*entries, entries[2]]}, "entry south is out of order, stands twice"),
        "stranger": ({"included": [entries[0], stranger, entries[2]]}, "entry nobody is out of order"),
        "sum_missing": ({"sum": None}, "names a sum if and only if its set is not empty"),
        "abort_with_sum": ({"included": []}, "names a sum if and only if its set is not empty"),
        "in_and_out": ({"excluded": [left_out]}, "entry south is out of order, stands twice"),
        "round": ({"round": 1}, "the closing is for round 1"),
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
        "outcome": {"failed": {"class": "check"}},
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
    studies()
    signatures()
    manifests()
    round_keys()
    headers()
    closings()
    certificates()
    late_messages()
    frames()
    json_texts()
