"""Vectors of a spoiled round at the sites: the challenge of its freeze, the functionals that a dispute
opens, the coefficients, the key that is removed and the sum that is left."""

import math
from fractions import Fraction

import blake3
import challenge
import disputed
import functionals
import manifests
import packing
import parties
import ring
import sharing
from output import numbers, shown, word, words, write
from parties import seed


def challenges():
    cases = []
    for m, c, l in [(5, 1, 1), (5, 1, 2), (16, 4, 4), (16, 2, 3)]:
        threshold = sharing.thresholds(m, c, l)
        freeze = parties.digest_of(f"freeze/{m}/{c}/{l}")
        gammas = challenge.factors(freeze, sharing.share_words(threshold))
        share = sharing.expand_seed(seed(f"challenge/{l}"), threshold)
        cases.append(
            {
                "threshold": threshold,
                "freeze": freeze,
                "factors": [shown(gamma) for gamma in gammas],
                "share_seed": seed(f"challenge/{l}").hex(),
                "answer": words(challenge.words(share, gammas)),
                # What other readings of the page would give.
                "masks_swapped": words(
                    challenge.words([*share[:-2], share[-1], share[-2]], gammas)
                ),
                "factors_interleaved": words(challenge.words(share, interleaved(gammas))),
            }
        )
        assert cases[-1]["answer"] not in (
            cases[-1]["masks_swapped"],
            cases[-1]["factors_interleaved"],
        )
    write(
        "challenge",
        "secret",
        "challenge",
        "Freeze digest to factors, and the answer of a holder that was dealt `share_seed`. The last two "
        "show what other readings give: the masks in the other order, the factors drawn in turn for "
        "both words; a reader must not get them.",
        cases=cases,
    )


def interleaved(gammas):
    drawn = [*gammas[0], *gammas[1]]
    return drawn[0::2], drawn[1::2]


def rows():
    """Functionals of one key at several positions: what they give is a coefficient of the product."""
    round_digest, cases = blake3.digest(b"functionals"), []
    key = ring.residues(blake3.Xof(seed("functionals/key")), ring.N)
    for m, c, l, block, coefficient in [(5, 1, 2, 0, 0), (5, 1, 2, 1, 4095), (16, 4, 4, 3, 1000), (16, 2, 3, 0, 1)]:  # fmt: skip
        threshold = sharing.thresholds(m, c, l)
        masks = ring.residues(blake3.Xof(seed(f"functionals/masks/{l}")), 2 * l)
        seeds = [seed(f"functionals/{m}/{l}/{k}") for k in range(sharing.seeded(threshold))]
        shares = sharing.share(key, masks, threshold, seeds)
        public = ring.public_polynomial(round_digest, block)
        row = functionals.row(public, coefficient)
        values = [functionals.values(share, row, threshold) for share in shares]
        points = [(k, values[k]) for k in range(m - threshold["opening"], m)]
        functional = functionals.combine(points, threshold)
        assert functional == ring.product(public, key)[coefficient]
        cases.append(
            {
                "threshold": threshold,
                "block": block,
                "coefficient": coefficient,
                "masks": words(masks),
                "seeds": [value.hex() for value in seeds],
                "values": [words(value) for value in values],
                "functional": word(functional),
            }
        )
    write(
        "functionals",
        "secret",
        "functionals",
        "A key, shared among (m, c, l) holders from seeds and masks, to every holder's l values F_u(k) "
        "for one coefficient of a_j s, to that coefficient. The key is the residues of the "
        "extendable output over `key_seed`.",
        round=round_digest.hex(),
        key_seed=seed("functionals/key").hex(),
        key=shown(key),
        cases=cases,
    )


def spoiled_round():
    made, round_ = disputed.spoiled().contributions[disputed.CULPRIT], disputed.spoiled()
    key, left = disputed.reduced()
    coefficients = []
    for site in round_.sites:
        sent, slots = disputed.decrypted(site)
        coefficients.append(
            {
                "site": site,
                "values": {
                    holder: words(disputed.functional_values(site, holder))
                    for holder in disputed.OPENERS
                },
                "functional": word(disputed.functional(site)),
                "word": word(sent),
                "slots": slots,
            }
        )
    limit = (1 << parties.PACKING["value_bits"]) - 1
    culprits = [entry["site"] for entry in coefficients if max(entry["slots"]) > limit]
    assert culprits == [disputed.CULPRIT]
    means = [
        packing.mean(s, left.sites, clip, parties.PACKING["value_bits"])
        for s, clip in zip(left.sums, packing.clips_of(parties.LAYOUT))
    ]
    write(
        "disputed",
        "secret",
        "disputed",
        "A spoiled round: to round 0, with the three contributions of contribution.json, comes west's, "
        "whose body has two coefficients that no sound site encrypts. Its freeze, four reviews, its certificate; the sum, which does not decode at two "
        "coefficients; the dispute about the first of them; four holders' openings of functionals; the "
        "decrypted coefficient of each site; the verdict; the openings of west's key; and the sum over "
        "the others, with its mean over three.",
        manifest=manifests.manifest(),
        culprit={
            "header": made.signed_header,
            "body": made.body.hex(),
            "key_seed": seed(f"one-time-key/{disputed.CULPRIT}").hex(),
            "share_seeds": [value.hex() for value in made.share_seeds],
            "masks": words(made.masks),
        },
        headers=[round_.contributions[site].signed_header for site in round_.sites],
        freeze=round_.freeze,
        reviews=round_.reviews(),
        certificate=round_.certificate(),
        log=round_.log_entries(),
        sum_digest=blake3.digest(round_.sum).hex(),
        key_sum=shown(disputed.disputed_sum().key_sum),
        dispute=disputed.certificate("dispute", disputed.dispute()),
        functionals=[opening(disputed.functionals_opening(h)) for h in disputed.OPENERS],
        coefficients=coefficients,
        verdict=disputed.certificate("verdict", disputed.verdict()),
        keys=[opening(disputed.keys_opening(h)) for h in disputed.OPENERS],
        key=shown(key),
        reduced_key_sum=shown(left.key_sum),
        sites=left.sites,
        sums=numbers(left.sums, "I"),
        mean=numbers(means, "f"),
    )


def coefficients():
    """Words at the edges of what a site may send."""
    w, delta_bits = parties.PACKING["wire_bits"], parties.PACKING["delta_bits"]
    p, width = ring.modulus(w), parties.PACKING["slot_bits"]
    most, bound = (1 << parties.PACKING["value_bits"]) - 1, functionals.bound_of_one(w)
    cases = []

    def case(name, at, sent, message, noise, fault):
        """`noise` is the whole part: the word's own fraction comes on top."""
        functional = (sent % p * ring.Q // p - (message << delta_bits) - noise) % ring.Q
        found, exact = functionals.coefficient(sent, functional, delta_bits, w)
        assert found == message and math.floor(exact) == noise, (name, found, exact)
        assert fault == "noise" or abs(exact) <= bound, name
        cases.append(
            {
                "name": name,
                "block": at[0],
                "coefficient": at[1],
                "word": word(sent),
                "functional": word(functional),
                "fault": fault,
            }
        )

    inside, count, padding = (0, 7), (0, 0), (1, disputed.PADDING)
    for sent in (0, 1, p // 3, p - 1, p, (1 << w) - 1):
        part = Fraction(sent % p * ring.Q, p) % 1
        high, low = math.floor(bound - part), math.ceil(-bound - part)
        case(f"noise at its upper bound, word {sent}", inside, sent, 5, high, None)
        case(f"noise beyond its upper bound, word {sent}", inside, sent, 5, high + 1, "noise")
        case(f"noise at its lower bound, word {sent}", inside, sent, 5, low, None)
        case(f"noise beyond its lower bound, word {sent}", inside, sent, 5, low - 1, "noise")
    for name, at, message, fault in [
        ("both values at their limits", inside, most << width | most, None),
        ("a value beyond its limit", inside, most + 1, "slot"),
        ("the upper value beyond its limit", inside, most + 1 << width, "slot"),
        ("the highest bit", inside, 1 << 2 * width - 1, "slot"),
        ("the count is 1", count, 1, None),
        ("the count is 0", count, 0, "count"),
        ("the count is 2", count, 2, "count"),
        ("no value", padding, 0, None),
        ("padding that is 1", padding, 1, "padding"),
        ("padding in the upper slot that is 1", padding, 1 << width, "padding"),
    ]:
        case(name, at, p // 3, message, 0, fault)
    write(
        "coefficient",
        "secret",
        "coefficient",
        "A wire word of one site's body at a position, and coefficient k of a_j times its key, to what "
        "breaks the format: noise, count, slot, padding, or nothing. The study is that of study.json.",
        cases=cases,
    )


def opening(made):
    return {
        "holder": made.holder,
        "salt": made.salt.hex(),
        "content_key": made.content_key.hex(),
        "seal_randomness": [value.hex() for value in made.seal_seeds],
        "frame": made.frame.hex(),
    }


def add_all():
    challenges()
    rows()
    coefficients()
    spoiled_round()
