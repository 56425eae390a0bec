"""Vectors of a whole round at the sites: contributions, openings, the opened sum, and what of
them is refused."""

import math

import blake3
import canonical
import frames
import manifests
import merkle
import openings
import packing
import parties
import ring
import story
from contribution import contribution, sealed_check_words
from output import digest_of_words, numbers, shown, word, words, write
from parties import SITES, seed


def encryption():
    cases = []
    for site in story.CONTRIBUTORS:
        made = contribution(site)
        cases.append(
            {
                "site": site,
                "update_label": f"ringfence/v1/vectors/update/{site}",
                "update_digest": blake3.digest(bytes.fromhex(numbers(made.update, "f"))).hex(),
                "key_seed": seed(f"one-time-key/{site}").hex(),
                "key": shown(made.key),
                "bulk_seed": made.bulk_seed.hex(),
                "quantized": made.quantized[:16],
                "quantized_digest": blake3.digest(
                    bytes.fromhex(numbers(made.quantized, "I"))
                ).hex(),
                "messages": [shown(block) for block in made.messages],
                "errors": [
                    {"first": block[:16], "digest": digest_of_words([e % ring.Q for e in block])}
                    for block in made.errors
                ],
                "words": [shown(block) for block in made.words],
                "check_words": words(made.check_words),
                "share_seeds": [value.hex() for value in made.share_seeds],
                "masks": words(made.masks),
                "dealt": [shown(share) for share in made.shares],
                "seal_randomness": [value.hex() for value in made.seal_seeds],
                "header": made.signed_header,
            }
        )
    north = contribution("north")
    block_bytes = ring.N * parties.PACKING["wire_bits"] // 8
    write(
        "contribution",
        "secret",
        "contribution",
        "Three whole contributions to round 0 of study.json. The update is (u mod 2001 - 1000) / "
        "2048 for the 2-byte little-endian numbers u of the extendable output of BLAKE3 over its "
        "label; the key that of the residues of the extendable output over `key_seed`. A site draws "
        "in this order: key, bulk seed, share seeds, the values of the two masks at 0 and -1 as 8-byte "
        "words, 64 bytes of sealing randomness for each holder. "
        "Of the first contribution, block 1 of the body and all envelopes stand here in full.",
        study=parties.study_digest(),
        manifest=manifests.manifest(),
        round_keys=[parties.round_keys()],
        cases=cases,
        block_1=north.body[block_bytes:].hex(),
        envelopes=[envelope.hex() for envelope in north.envelopes],
    )
    bad_check_words()
    from_north = {
        "manifest": manifests.manifest(),
        "round_keys": [parties.round_keys()],
        "header": north.signed_header,
    }
    holder = SITES.index("south")
    good = north.envelopes[holder]
    # It opens to the same share, and is not what the header names.
    share = ring.to_bytes(north.shares[holder])
    binding = {"manifest": manifests.digest(), "dealer": "north", "holder": "south"}
    encoded = canonical.SCHEMAS["envelope-binding"](binding)
    randomness = seed("envelope-bad/resealed", 64)
    resealed = parties.seal(parties.kem_seed("south"), "envelope", encoded, share, randomness)
    assert len(resealed) == len(good)
    for name, holder_name, data, error in [
        ("resealed", "south", resealed, "is not the one its header names"),
        ("altered", "south", good[:-1] + bytes([good[-1] ^ 1]), "is not the one its header names"),
        ("of_another_holder", "west", good, "is not the one its header names"),
    ]:
        write(
            f"envelope_bad_{name}",
            "secret",
            "envelope_bad",
            "An envelope that its holder complains about.",
            **from_north,
            holder=holder_name,
            envelope=data.hex(),
            error=error,
        )
    for name, plaintext, bound_to, error in [
        ("residue_at_q", ring.to_bytes([ring.Q] + [0] * 2049), "south", f"word 0 is {ring.Q}"),
        ("short_share", bytes(8 * 2049), "south", "expected 16400 bytes of 8-byte residues, got 16392"),
        ("no_masks", bytes(8 * 2048), "south", "expected 16400 bytes of 8-byte residues, got 16384"),
        ("another_dealer", bytes(8 * 2050), None, "the sealed Envelope did not open"),
    ]:
        dealer = "north" if bound_to else "centre"
        binding = {"manifest": manifests.digest(), "dealer": dealer, "holder": "south"}
        encoded = canonical.SCHEMAS["envelope-binding"](binding)
        randomness = seed(f"envelope-bad/{name}", 64)
        sealed = parties.seal(parties.kem_seed("south"), "envelope", encoded, plaintext, randomness)
        header = {**north.header, "envelopes": list(north.header["envelopes"])}
        header["envelopes"][holder] = blake3.digest(sealed).hex()
        from_north["header"] = canonical.sign("header", header, parties.signing_seed("north"))
        write(
            f"envelope_bad_{name}",
            "secret",
            "envelope_bad",
            "An envelope that its holder complains about.",
            **from_north,
            holder="south",
            envelope=sealed.hex(),
            error=error,
        )


def bad_check_words():
    """Signed headers whose check words do not open."""
    made = contribution("north")
    good, error = bytes.fromhex(made.header["check"]), "the sealed check words in the signed header of"
    p, digest = ring.modulus(parties.PACKING["wire_bits"]), made.header["body"]
    cases = {
        "altered": good[:-1] + bytes([good[-1] ^ 1]),
        "short": good[:-1],
        "empty": b"",
        "of_another_site": bytes.fromhex(contribution("south").header["check"]),
        "of_another_body": bytes.fromhex(
            sealed_check_words("north", parties.digest_of("another body"), made.check_words)
        ),
        "at_p": bytes.fromhex(sealed_check_words("north", digest, [0, 0, 0, p])),
        "three": bytes.fromhex(sealed_check_words("north", digest, made.check_words[:3])),
    }
    for name, check in cases.items():
        header = {**made.header, "check": check.hex()}
        write(
            f"header_words_bad_{name}",
            "secret",
            "header_words_bad",
            "A properly signed header whose sealed check words no site accepts.",
            manifest=manifests.manifest(),
            header=canonical.sign("header", header, parties.signing_seed("north")),
            error=f"{error} north do not open",
        )


def opening_the_sum():
    cases = []
    for holder in story.OPENERS:
        made = story.first().opening(holder)
        cases.append(
            {
                "holder": holder,
                "share": shown(made.words),
                "salt": made.salt.hex(),
                "content_key": made.content_key.hex(),
                "seal_randomness": [value.hex() for value in made.seal_seeds],
                "frame": made.frame.hex(),
            }
        )
    opened, total, w = story.opened(), story.first().sum, parties.PACKING["wire_bits"]
    largest = max(abs(noise) for block in opened.noise for noise in block)
    means = [
        packing.mean(s, len(story.CONTRIBUTORS), clip, parties.PACKING["value_bits"])
        for s, clip in zip(opened.sums, packing.clips_of(parties.LAYOUT))
    ]
    write(
        "opened",
        "secret",
        "opened",
        "The sum of the three bodies of contribution.json, three holders' openings of it (a holder "
        "draws in this order: salt, content key, 64 bytes for each site of the roster), the sum of the "
        "keys, the integers that it opens to, and their mean. Sums are 4-byte little-endian numbers, "
        "means float32.",
        manifest=manifests.manifest(),
        freeze=story.first().freeze,
        reviews=story.first().reviews(),
        certificate=story.first().certificate(),
        openings=cases,
        sum=total.hex(),
        sum_digest=blake3.digest(total).hex(),
        check_words=words(opened.check_words),
        key_sum=shown(opened.key_sum),
        sites=len(story.CONTRIBUTORS),
        sums=numbers(opened.sums, "I"),
        mean=numbers(means, "f"),
        log=story.first().log_entries(),
        largest_noise=largest,
        noise_bound=packing.noise_bound(3, parties.THRESHOLD["collusion"], w),
        margin_bits=math.log2((1 << parties.PACKING["delta_bits"] - 1) / largest),
        mean_square=max(sum(e * e for e in block) / ring.N for block in opened.noise),
        mean_square_bound=float(packing.mean_square_bound(3, w)),
    )
    bad_openings()
    bad_sums(opened)
    bad_closings()


def bad_openings():
    """Parts of openings that south cannot use. One that the holder did not sign is the aggregator's
    fault, and fetched again; one that it did sign is the holder's lie."""
    made, south = story.first().opening("north"), SITES.index("south")
    north = parties.signing_seed("north")
    key, path, centre = made.keys[south], made.path("south"), made.keys[SITES.index("centre")]

    def signed(**changes):
        return canonical.sign("opening", {**made.statement, **changes}, north)

    altered = made.content[:-1] + bytes([made.content[-1] ^ 1])
    altered_key = key[:-1] + bytes([key[-1] ^ 1])
    # The holder gives south the key that is sealed to centre, and signs for it.
    swapped = [*made.keys]
    swapped[south] = centre
    leaves = openings.recipient_leaves(swapped)
    share = ring.to_bytes([ring.Q] + [0] * 2047)
    other_signature = {**made.signed, "signature": story.first().opening("east").signed["signature"]}
    other_closing = signed(closing=parties.digest_of("another closing"))
    follows = signed(content=blake3.digest(altered).hex())
    salted = signed(plaintext=blake3.digest(share).hex())
    root = "do not lead to the root that the opening of north names"
    at_aggregator = {
        "other_closing": (other_closing, key, path, made.content, "is for another round, closing or subject"),
        "other_subject": (
            signed(subject={"keys": {"verdict": parties.digest_of("a verdict")}}),
            key, path, made.content, "is for another round, closing or subject",
        ),
        "stranger": (signed(holder="nobody"), key, path, made.content, "nobody is no key holder"),
        "signature": (
            other_signature, key, path, made.content,
            "the signature of this opening does not verify under the key of north",
        ),
        "altered": (made.signed, key, path, altered, "the content of the opening of north has digest"),
        "altered_key": (made.signed, altered_key, path, made.content, root),
        "of_another_recipient": (made.signed, centre, made.path("centre"), made.content, root),
        "altered_path": (made.signed, key, [path[1], path[0], *path[2:]], made.content, root),
        "short_path": (made.signed, key, path[:-1], made.content, root),
        "long_path": (made.signed, key, path + path[-1:], made.content, root),
    }  # fmt: skip
    at_holder = {
        "altered_and_signed": (follows, key, path, altered, "its content does not decrypt"),
        "key_of_another": (
            signed(recipients=merkle.root(leaves).hex()), centre, merkle.path(south, leaves),
            made.content, "the sealed Opening did not open",
        ),
        "other_plaintext": (
            salted, key, path, made.content, "the digest of what it decrypts to differs",
        ),
    }  # fmt: skip
    for fault, cases in (("aggregator", at_aggregator), ("holder", at_holder)):
        for name, (statement, sealed, hashes, content, error) in cases.items():
            write(
                f"opening_bad_{name}",
                "secret",
                "opening_bad",
                "A part of a holder's opening that its recipient in the round of opened.json cannot "
                "use, and whose fault that is.",
                recipient="south",
                part=frames.opening_part(statement, sealed, hashes, content).hex(),
                fault=fault,
                error=error,
            )


def bad_sums(opened):
    """Sums that must not open: words are added to those of opened.json, modulo p."""
    w, delta_bits = parties.PACKING["wire_bits"], parties.PACKING["delta_bits"]
    total = ring.read_words(story.first().sum, w)
    noise = [value for block in opened.noise for value in block]
    message = [value for block in opened.blocks for value in block]
    bound, half = packing.noise_bound(3, parties.THRESHOLD["collusion"], w), 1 << delta_bits - 1
    unit = 2**64 >> w  # about what one word adds to the noise: q / p

    def scaled(digit, slot=0):
        """What adds a digit to a slot."""
        return ring.to_word((digit << delta_bits + slot * parties.PACKING["slot_bits"]) % ring.Q, w)

    def case(name, changes, error, sites=3, cut=0):
        altered = list(total)
        for index, add in changes:
            altered[index] = (altered[index] + add) % ring.modulus(w)
        body = ring.lay_out(altered, w)
        write(
            f"sum_bad_{name}",
            "secret",
            "sum_bad",
            "The sum of opened.json with `add` (a wire word) added, modulo p, to the words at `indexes`, without "
            "its last `cut` bytes, opened as that of so many sites.",
            indexes=[index for index, _ in changes],
            add=word(changes[0][1]) if changes else word(0),
            cut=cut,
            sites=sites,
            digest=blake3.digest(body).hex(),
            error=error,
        )
        assert len({add for _, add in changes}) <= 1

    check = "the sum's check words are not those of the certified headers"
    case("shifted", [(1000, scaled(1))], check)
    case("shifted_in_block_1", [(ring.N + 3, scaled(-1 % ring.Q))], check)
    case("two_shifts", [(5, scaled(1)), (6, scaled(1))], check)
    # One that two words more push beyond the bound and not to the next digit.
    at = next(k for k in range(ring.N) if bound < noise[k] + 2 * unit < half - unit)
    assert bound < noise[at] + 2 * unit < half - unit
    case("noise", [(at, 2)], f"coefficient {at} has noise")
    quiet = [k for k, value in enumerate(noise[: ring.N]) if abs(value + unit) < bound - unit // 8]
    # Noise within its bounds is nobody's fault, and still not what the headers promise.
    case("noise_within_bounds", [(k, 1) for k in quiet[:2000]], check)
    limit = 3 * 65535
    slot = message[7] // 2**19 + 2**18
    error = f"value {ring.N + 7} sums to {slot}, expected 0 to {limit} for these 3 sites"
    case("slot", [(7, scaled(2**18, 1))], error)
    used = parties.VALUES + 1 - 2 * ring.N
    padding = f"value {2 * ring.N + used} sums to 1, expected 0 to 0"
    case("padding", [(ring.N + used, scaled(1))], padding)
    case("count_too_high", [(0, scaled(1))], "value 0 sums to 4, expected 0 to 3")
    case("count_too_low", [(0, scaled(-1 % ring.Q))], "the sum counts 2 sites, the certified set has 3")
    case("another_set", [], "the sum counts 3 sites, the certified set has 4", sites=4)
    case("truncated", [], "could not read the sum of the bodies", cut=8)


def bad_closings():
    """Closings that a holder does not endorse, beyond those that anybody refuses."""
    headers = [contribution(site).signed_header for site in story.CONTRIBUTORS]
    own = story.receipt_statement("east", parties.digest_of("own"))
    about = "What the holder east is shown, and does not endorse."
    receipt = canonical.sign("receipt", own, parties.AGGREGATOR)
    cases = {
        "own_receipt_omitted": (
            receipt, None, None,
            "the freeze of round 0 leaves out this site's contribution " + own["header"],
        ),
        "endorsed_another": (
            None, story.first().endorsement("east", closing=parties.digest_of("another"))["statement"], None,
            "this holder has endorsed closing " + parties.digest_of("another") + " in round 0",
        ),
        "restored": (None, None, 1, "abstains through round 1"),
    }  # fmt: skip
    for name, (shown_receipt, endorsed, abstains, error) in cases.items():
        write(
            f"endorse_bad_{name}",
            "secret",
            "endorse_bad",
            about,
            manifest=manifests.manifest(),
            closing=story.first().closing,
            freeze=story.first().freeze,
            headers=headers,
            reviews=story.first().reviews(),
            receipt=shown_receipt,
            endorsed=endorsed,
            abstains_through=abstains,
            log=story.first().log_entries(),
            error=error,
        )


def add_all():
    encryption()
    opening_the_sum()
