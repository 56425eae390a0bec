"""Vectors of the sites' secrets, of sharing and of sealing."""

import blake3
import canonical
import hpke
import parties
import ring
import sharing
from contribution import contribution
from output import shown, words, write
from parties import SITES, seed


def identities():
    study = parties.study()
    write(
        "identities",
        "secret",
        "identities",
        "The sites' secrets, and what their public halves follow from: seeds of Ed25519 and X-Wing "
        "keys, the study's check key, the 64 bytes of randomness with which it was sealed to each "
        "site, and the seeds of round keys. All public halves stand in study.json.",
        sites=[
            {
                "site": site,
                "signing_seed": parties.signing_seed(site).hex(),
                "kem_seed": parties.kem_seed(site).hex(),
                "seal_randomness": seed(f"check/{site}", 64).hex(),
            }
            for site in SITES
        ],
        aggregator_seed=parties.AGGREGATOR.hex(),
        check_key=parties.CHECK_KEY.hex(),
        commitment=study["check_key"]["commitment"],
        models=[
            {"model": parties.digest_of(text), "keyed": parties.keyed_model(text)}
            for text in ("initial model", "second model")
        ],
        round_key_seeds=[parties.round_secret("east", r).hex() for r in (0, 1)],
        round_keys=parties.round_keys(),
    )


def shares():
    made, cases = contribution("south"), []
    secret = made.key
    for m, c, l in [(3, 1, 1), (5, 1, 2), (16, 4, 4)]:
        threshold = sharing.thresholds(m, c, l)
        seeds = [seed(f"sharing/{m}/{k}") for k in range(sharing.seeded(threshold))]
        count = sharing.MASKS * l
        masks = ring.residues(blake3.Xof(seed(f"sharing/masks/{m}")), count)
        dealt = sharing.share(secret, masks, threshold, seeds)
        t = threshold["opening"]
        subset = list(range(m - t, m))
        assert sharing.reconstruct([(k, dealt[k]) for k in subset], threshold) == secret
        lies = [k for k in (0, m - 1, 2, 9) if k < m][: (m - t) // 2]
        cases.append(
            {
                "threshold": threshold,
                "seeds": [value.hex() for value in seeds],
                "masks": words(masks),
                "share_words": sharing.share_words(threshold),
                "dealt_words": sharing.dealt_words(threshold),
                "dealt_bytes": [32] * len(seeds)
                + [8 * sharing.dealt_words(threshold)] * (m - len(seeds)),
                "shares": [shown(share) for share in dealt],
                "subset": subset,
                "lies": sorted(lies),
            }
        )
    write(
        "sharing",
        "secret",
        "sharing",
        "The key vector of south's contribution, shared among (m, c, l) holders: seeds of the first "
        "t - l shares, the values of the two masks at 0, -1, ..., -(l-1), all shares as they are dealt; t holders whose shares give the vector back; and holders that may "
        "lie in any words (here: every fifth word from 3 + offset on, plus 77 + offset) without "
        "changing it, whose offsets are found.",
        of="south",
        secret=shown(secret),
        cases=cases,
    )
    few = "openings came, needed 3: too few key holders answered"
    many = "openings disagree, and at most 1 lies can be corrected (t = 3); more openings are needed"
    for name, present, liars, error in [
        ("too_few", [0, 4], [], "2 " + few),
        ("two_lies", [0, 1, 2, 3, 4], [1, 3], "the 5 " + many),
    ]:
        write(
            f"sharing_bad_{name}",
            "secret",
            "sharing_bad",
            "Openings of the second case of sharing.json by these holders, of which some lie, that "
            "determine nothing.",
            case=1,
            present=present,
            lies=liars,
            error=error,
        )
    threshold = sharing.thresholds(16, 4, 4)
    share = sharing.expand_seed(seed("share-bad"), threshold)
    for name, values, offset, error in [
        ("residue_at_q", share[:7] + [ring.Q] + share[8:], 4, f"word 7 is {ring.Q}"),
        ("residue_2_64", share[:-1] + [2**64 - 1], 15, f"word 1025 is {2**64 - 1}"),
        ("short", share[:-1], 4, "expected 8208 bytes of 8-byte residues, got 8200"),
        ("no_masks", share[:-2], 4, "expected 8208 bytes of 8-byte residues, got 8192"),
        ("long", share + [0], 4, "expected 8208 bytes of 8-byte residues, got 8216"),
        ("no_seed", share, 3, "expected 32 bytes of 8-byte residues, got 8208"),
    ]:
        write(
            f"share_bad_{name}",
            "secret",
            "share_bad",
            "What a holder at a window offset was dealt, and cannot use.",
            threshold=threshold,
            offset=offset,
            dealt=ring.to_bytes(values).hex(),
            error=error,
        )


def seals():
    recipient, other, cases = seed("seal/recipient"), seed("seal/other"), []
    binding = canonical.string("north")
    for purpose, plaintext in [("envelope", b"share"), ("opening", b""), ("check-key", bytes(300))]:
        randomness = seed(f"seal/randomness/{purpose}", 64)
        sealed = parties.seal(recipient, purpose, binding, plaintext, randomness)
        shared, encapsulated = hpke.encapsulate(hpke.public_key(recipient), randomness)
        assert hpke.decapsulate(recipient, encapsulated) == shared
        cases.append(
            {
                "purpose": purpose,
                "bound_to": "north",
                "randomness": randomness.hex(),
                "plaintext": plaintext.hex(),
                "sealed": sealed.hex(),
            }
        )
    write(
        "seal",
        "secret",
        "seal",
        "HPKE sealing to an X-Wing key from a 32-byte seed, bound to a site's name, from 64 bytes of "
        "randomness: ML-KEM's message, then X25519's ephemeral secret.",
        recipient_seed=recipient.hex(),
        recipient_key=hpke.public_key(recipient).hex(),
        cases=cases,
    )
    sealed = bytes.fromhex(cases[0]["sealed"])

    def flipped(at):
        return sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]

    refused = "the sealed {} did not open: it was altered"
    for name, purpose, bound_to, key, data in [
        ("altered_kem", "envelope", "north", recipient, flipped(0)),
        ("altered_x25519", "envelope", "north", recipient, flipped(1119)),
        ("altered_content", "envelope", "north", recipient, flipped(1120)),
        ("altered_tag", "envelope", "north", recipient, flipped(len(sealed) - 1)),
        ("truncated", "envelope", "north", recipient, sealed[:-1]),
        ("no_content", "envelope", "north", recipient, sealed[:1120]),
        ("short_kem", "envelope", "north", recipient, sealed[:1119]),
        ("longer", "envelope", "north", recipient, sealed + b"\0"),
        ("other_purpose", "opening", "north", recipient, sealed),
        ("other_binding", "envelope", "south", recipient, sealed),
        ("other_recipient", "envelope", "north", other, sealed),
    ]:
        write(
            f"seal_bad_{name}",
            "secret",
            "seal_bad",
            "Sealed bytes that do not open with this seed, purpose and binding.",
            recipient_seed=key.hex(),
            purpose=purpose,
            bound_to=bound_to,
            sealed=data.hex(),
            error=refused.format(purpose.title().replace("-", "")),
        )


def add_all():
    identities()
    shares()
    seals()
