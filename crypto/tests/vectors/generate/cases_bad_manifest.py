"""Bad signatures, manifests and round keys: each with the error that it must give."""

import canonical
import ed25519
import judgement
import manifests
import parties
import story
from output import bad
from parties import SITES, START, digest_of, signing_seed


def signatures():
    statement = manifests.statement()
    good = bytes.fromhex(manifests.manifest()["signature"])
    encoded = canonical.statement_bytes("manifest", statement)
    relabelled = canonical.labelled("header", canonical.SCHEMAS["manifest"](statement))
    unlabelled = canonical.SCHEMAS["manifest"](statement)
    seed = signing_seed("north")
    s = int.from_bytes(good[32:], "little")
    cases = {
        "s_not_reduced": good[:32] + (s + ed25519.L).to_bytes(32, "little"),
        "other_label": ed25519.sign(seed, relabelled),
        "no_label": ed25519.sign(seed, unlabelled),
        "other_signer": ed25519.sign(signing_seed("east"), encoded),
        "altered": bytes([good[0] ^ 1]) + good[1:],
        "small_order_r": ed25519.sign_with_small_r(seed, encoded),
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


def bad_manifests():
    previous = {
        "round": 0,
        "closing": story.first().closing_digest,
        "closed_at": story.first().closing_statement()["closed_at"],
        "trust": judgement.NOBODY,
    }
    barred = {"barred": ["east"], "pairs": []}
    paired = {"barred": [], "pairs": [{"holder": "west", "dealer": "centre"}]}
    other_way = {"barred": [], "pairs": [{"holder": "centre", "dealer": "west"}]}
    ended = previous["closed_at"]

    def at(statement, site, opened_at, trust=judgement.NOBODY):
        times = {"opened_at": opened_at, "deadline": opened_at + 300}
        return {**statement, "initiator": site, **times, "trust": judgement.trust_digest(trust)}

    second = manifests.statement(1, previous=story.first().closing_digest)
    first = manifests.statement()
    cases = {
        "initiator": (
            {**first, "initiator": "east"}, "east", None,
            "east opened round 0, but the initiator is north",
        ),
        "successor_too_early": (
            {**second, "initiator": "south", "opened_at": START + 999, "deadline": START + 1300},
            "south", previous, "south opened round 1, but the initiator is east",
        ),
        "first_successor_too_early": (
            at(first, "east", START + 599), "east", None,
            "east opened round 0, but the initiator is north, and its successors on the ring may step "
            "in only after 600 s each",
        ),
        "first_successor_waits_once": (
            at(first, "south", START + 600), "south", None,
            "south opened round 0, but the initiator is north",
        ),
        "barred": (
            at(second, "east", ended + 10_000, barred), "east", {**previous, "trust": barred},
            "east opened round 1, but the initiator is south",
        ),
        "successor_of_barred_too_early": (
            at(second, "west", ended + 599, barred), "west", {**previous, "trust": barred},
            "west opened round 1, but the initiator is south",
        ),
        "trust": (
            at(second, "east", ended + 10, paired), "east", previous,
            "the manifest names the trust " + judgement.trust_digest(paired),
        ),
        "trust_missing": (
            second, "east", {**previous, "trust": paired},
            "the manifest names the trust " + judgement.trust_digest(judgement.NOBODY),
        ),
        "trust_other_way": (
            at(second, "east", ended + 10, other_way), "east", {**previous, "trust": paired},
            "the manifest names the trust " + judgement.trust_digest(other_way),
        ),
        "trust_in_round_0": (
            at(first, "north", START + 10, paired), "north", None,
            "the manifest names the trust " + judgement.trust_digest(paired),
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
        "previous_in_round_0": (
            {**first, "previous": story.first().closing_digest}, "north", None,
            "as the previous round's closing, expected None",
        ),
        "deadline_too_near": (
            {**first, "deadline": first["opened_at"] + 59}, "north", None,
            "the manifest leaves 59 s for contributions, expected 60 to 3600 s",
        ),
        "deadline_too_far": (
            {**first, "deadline": first["opened_at"] + 3601}, "north", None,
            "the manifest leaves 3601 s for contributions, expected 60 to 3600 s",
        ),
        "deadline_never": (
            {**first, "deadline": 2**64 - 1}, "north", None,
            f"the manifest leaves {2**64 - 1 - first['opened_at']} s for contributions",
        ),
        "deadline_before_opening": (
            {**first, "deadline": first["opened_at"] - 1}, "north", None,
            "the manifest leaves 0 s for contributions",
        ),
        "round": (
            manifests.statement(2, previous=story.first().closing_digest), "south", previous,
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
    good = parties.round_keys()["statement"]
    cases = {
        "study": ({**good, "study": digest_of("another study")}, "the round keys of east are for study"),
        "site": ({**good, "site": "nobody"}, "nobody is not on its roster"),
        "none": ({**good, "keys": []}, "expected 1 to 64 round keys of 1216 bytes, got 0"),
        "unreduced_key": (
            {**good, "keys": ["ff" * 1184 + good["keys"][0][2368:]]},
            "coefficient 0 of its ML-KEM-768 half is 4095, expected less than 3329",
        ),
        "short": (
            {**good, "keys": [good["keys"][0][:-2]]},
            "the key of east for round 0 has 1215 bytes, expected 1216 of X-Wing",
        ),
        "rounds_overflow": ({**good, "first_round": 2**32 - 1}, "expected 1 to 64 round keys"),
    }
    for name, (statement, error) in cases.items():
        signed = canonical.sign("round-keys", statement, signing_seed("east"))
        bad("round_keys", name, "Round keys that are refused.", error, signed=signed)
    signed = canonical.sign("round-keys", good, signing_seed("north"))
    error = "the signature of this round-keys does not verify under the key of east"
    bad("round_keys", "signer", "Round keys that another site signed.", error, signed=signed)
    unknown = manifests.statement()
    unknown["holder_keys"] = [None, digest_of("no such statement"), None, None, None]
    bad(
        "holder_keys",
        "missing",
        "A manifest that names round keys which are not at hand.",
        "has east hold under round keys " + digest_of("no such statement"),
        manifest=canonical.sign("manifest", unknown, signing_seed("north")),
        round_keys=[parties.round_keys()],
    )


def add_all():
    signatures()
    bad_manifests()
    round_keys()
