"""The first round of the study: three of five sites contribute, four holders review, three open. What
most vectors are taken from."""

from functools import cache, cached_property
from types import SimpleNamespace

import blake3
import canonical
import challenge
import judgement
import manifests
import merkle
import packing
import ring
import sharing
from contribution import contribution
from openings import Opening
from parties import (
    AGGREGATOR,
    CHECK_KEY,
    PACKING,
    SITES,
    START,
    THRESHOLD,
    VALUES,
    digest_of,
    seed,
    signing_seed,
    study_digest,
)

CONTRIBUTORS = ["north", "south", "centre"]  # in the order in which they come
REVIEWERS = ["north", "east", "south", "west"]  # whose reviews the closing lists; centre's is late
OPENERS = ["north", "east", "west"]


class Round:
    """Round 0 with these contributions, as far as its closing."""

    def __init__(self, contributions, reviewers=REVIEWERS):
        self.contributions = {made.site: made for made in contributions}
        self.sites, self.reviewers = sorted(self.contributions), reviewers

    def entry(self, site):
        return {"site": site, "header": self.contributions[site].header_digest}

    @cached_property
    def freeze_statement(self):
        return {
            "study": study_digest(),
            "round": 0,
            "manifest": manifests.digest(),
            "frozen_at": manifests.statement()["deadline"] + 1,
            "contributions": [self.entry(site) for site in self.sites],
        }

    @cached_property
    def freeze(self):
        return canonical.sign("freeze", self.freeze_statement, AGGREGATOR)

    @cached_property
    def freeze_digest(self):
        return canonical.digest("freeze", self.freeze_statement)

    @cached_property
    def factors(self):
        return challenge.factors(self.freeze_digest, sharing.share_words(THRESHOLD))

    @cache
    def answers(self, holder):
        offset = SITES.index(holder)
        return [self.dealt_answer(site, offset) for site in self.sites]

    def dealt_answer(self, site, offset):
        """What follows from the site's share for the holder at this window offset."""
        return challenge.answer(self.contributions[site].shares[offset], self.factors)

    def review_statement(self, holder, **changes):
        fields = {"manifest": manifests.digest(), "freeze": self.freeze_digest, "holder": holder}
        return {**fields, "answers": self.answers(holder), **changes}

    def review(self, holder):
        return canonical.sign("review", self.review_statement(holder), signing_seed(holder))

    def reviews(self):
        return [self.review(holder) for holder in self.reviewers]

    def judge(self, trust=judgement.NOBODY):
        reviews = [self.review_statement(holder) for holder in self.reviewers]
        return judgement.judge(THRESHOLD, 3, SITES, self.sites, trust, reviews)

    @cached_property
    def sum(self):
        bodies = [self.contributions[site].body for site in self.sites]
        return ring.add_bodies(bodies, PACKING["wire_bits"])

    def log_entries(self):
        """What the study's log holds before the closing of round 0, in order."""
        entries = [("manifest", manifests.digest())]
        for site, made in self.contributions.items():
            entries.append(("header", made.header_digest))
            receipt = receipt_statement(site, made.header_digest)
            entries.append(("receipt", canonical.digest("receipt", receipt)))
        entries.append(("freeze", self.freeze_digest))
        entries += [("review", digest) for digest in self.review_digests()]
        return [{"label": label, "digest": digest} for label, digest in entries]

    def review_digests(self):
        return [canonical.digest("review", self.review_statement(h)) for h in self.reviewers]

    def closing_statement(self, **changes):
        leaves = [merkle.leaf(entry["label"], entry["digest"]) for entry in self.log_entries()]
        statement = {
            "study": study_digest(),
            "round": 0,
            "manifest": manifests.digest(),
            "freeze": self.freeze_digest,
            "closed_at": START + 400,
            "included": [self.entry(site) for site in self.sites],
            "excluded": [],
            "reviews": self.review_digests(),
            "sum": blake3.digest(self.sum).hex(),
            "checkpoint": {"size": len(leaves), "root": merkle.root(leaves).hex()},
        }
        return {**statement, **changes}

    @cached_property
    def closing(self):
        return canonical.sign("closing", self.closing_statement(), AGGREGATOR)

    @cached_property
    def closing_digest(self):
        return canonical.digest("closing", self.closing_statement())

    def endorsement(self, holder, **changes):
        fields = {"study": study_digest(), "round": 0, "closing": self.closing_digest}
        statement = {**fields, "holder": holder, **changes}
        return canonical.sign("endorsement", statement, signing_seed(holder))

    def certificate(self):
        endorsements = [self.endorsement(site) for site in SITES[: THRESHOLD["endorsements"]]]
        return {"closing": self.closing, "endorsements": endorsements}

    @cache
    def opening(self, holder):
        """The holder's opening of the sum: the sum of its shares of the set's keys."""
        offset, count = SITES.index(holder), sharing.share_words(THRESHOLD)
        shares = [self.contributions[site].shares[offset][:count] for site in self.sites]
        return Opening(self.closing_digest, holder, "sum", sharing.add_vectors(shares))


@cache
def first():
    """The round of the story."""
    return Round([contribution(site) for site in CONTRIBUTORS])


def receipt_statement(site, header):
    return {"manifest": manifests.digest(), "site": site, "header": header, "received_at": START + 99}


@cache
def dealt(label):
    """What a dealer's sound shares make the holders answer: two random polynomials of degree below t
    at the holders' points."""
    nodes = range(1, THRESHOLD["opening"] + 1)
    points = [(x, tuple(ring.residues(blake3.Xof(seed(f"{label}/{x}")), 2))) for x in nodes]
    return [judgement.masked(judgement.value_at(points, x + 1)) for x in range(len(SITES))]


class Excluding(Round):
    """A round to which west contributes, too, and is accused; its header names no real body. These
    holders say something else of these dealers than what they were dealt."""

    def __init__(self, said, reviewers=SITES):
        real = [contribution(site) for site in CONTRIBUTORS]
        header = {**real[0].header, "site": "west", "body": digest_of("no real body")}
        west = SimpleNamespace(
            site="west",
            signed_header=canonical.sign("header", header, signing_seed("west")),
            header_digest=canonical.digest("header", header),
        )
        super().__init__([*real, west], reviewers)
        self.said = said

    @cache
    def answers(self, holder):
        offset = SITES.index(holder)
        answers = [
            dealt("dealt/west")[offset] if site == "west" else self.dealt_answer(site, offset)
            for site in self.sites
        ]
        return [self.said.get((holder, site), a) for site, a in zip(self.sites, answers)]

    @cached_property
    def sum(self):
        return first().sum

    def closing_of(self, reasons, **changes):
        """A closing that leaves these sites out for these reasons."""
        statement = self.closing_statement(
            included=[self.entry(site) for site in self.sites if site not in reasons],
            excluded=[{**self.entry(site), "reason": why} for site, why in sorted(reasons.items())],
        )
        return canonical.sign("closing", {**statement, **changes}, AGGREGATOR)

    def headers(self):
        return [made.signed_header for made in self.contributions.values()]


def review_signed_by(round_, holder, signer):
    return canonical.sign("review", round_.review_statement(holder), signing_seed(signer))


class Opened:
    """A sum of bodies as a recipient opens it."""

    def __init__(self, body, key_sum, sites):
        self.key_sum, w, delta = key_sum, PACKING["wire_bits"], 1 << PACKING["delta_bits"]
        words, digest = ring.read_words(body, w), bytes.fromhex(manifests.digest())
        self.blocks, self.noise = [], []
        for j in range(len(words) // ring.N):
            masks = ring.product(ring.public_polynomial(digest, j), key_sum)
            lifted = (ring.from_word(word, w) for word in words[j * ring.N :])
            values = [(lift - mask + delta // 2) % ring.Q for lift, mask in zip(lifted, masks)]
            self.blocks.append([value // delta for value in values])
            self.noise.append([value % delta - delta // 2 for value in values])
        blocks = [words[j : j + ring.N] for j in range(0, len(words), ring.N)]
        self.check_words = sharing.check_words(CHECK_KEY, digest, blocks, w)
        slots = packing.unpack_values(self.blocks, PACKING)
        self.count, self.sums, self.padding = slots[0], slots[1 : VALUES + 1], slots[VALUES + 1 :]
        self.sites = sites


def key_sum(round_):
    shares = [(SITES.index(holder), round_.opening(holder).words) for holder in OPENERS]
    return sharing.reconstruct(shares, THRESHOLD)


@cache
def opened():
    result = Opened(first().sum, key_sum(first()), len(CONTRIBUTORS))
    # The story is consistent: what was opened is what was put in.
    columns = zip(*(contribution(site).quantized for site in CONTRIBUTORS))
    assert result.sums == [sum(column) for column in columns]
    assert result.count == len(CONTRIBUTORS) and not any(result.padding)
    taus = zip(*(contribution(site).check_words for site in CONTRIBUTORS))
    p = ring.modulus(PACKING["wire_bits"])
    assert result.check_words == [sum(column) % p for column in taus]
    assert first().judge()["set"] == first().sites
    return result
