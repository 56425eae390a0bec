"""A spoiled round: round 0 of the study, to which west contributes, too, with a slot beyond its limit.
A dispute opens one coefficient of each contributor, the verdict names west, its key is opened, and
what is left is the sum of the story."""

from functools import cache

import canonical
import functionals
import manifests
import ring
import sharing
import story
from contribution import Contribution, contribution
from openings import Opening
from parties import PACKING, SITES, THRESHOLD, signing_seed, study_digest

CULPRIT, BLOCK, COEFFICIENT, PADDING = "west", 1, 7, 4000
ENDORSERS = SITES[: THRESHOLD["endorsements"]]
OPENERS = story.REVIEWERS  # t + c' = 4 must agree


def tamper(messages):
    """The first slot of one coefficient is 2^18 too large, beyond what four sites may sum to, and a
    later one that is padding is not zero: the dispute is about the first."""
    messages[BLOCK][COEFFICIENT] += 1 << 18
    messages[BLOCK][PADDING] += 1


@cache
def spoiled():
    made = [contribution(site) for site in story.CONTRIBUTORS]
    return story.Round([*made, Contribution(CULPRIT, tamper)])


def dispute(**changes):
    fields = {"study": study_digest(), "round": 0, "closing": spoiled().closing_digest, "index": 1}
    return {**fields, "after": None, "block": BLOCK, "coefficient": COEFFICIENT, **changes}


def dispute_digest():
    return canonical.digest("dispute", dispute())


def verdict(**changes):
    fields = {"study": study_digest(), "round": 0, "closing": spoiled().closing_digest}
    return {**fields, "dispute": dispute_digest(), "sites": [CULPRIT], **changes}


def verdict_digest():
    return canonical.digest("verdict", verdict())


def endorse(label, statement, holder, signer=None):
    """An endorsement of a dispute or verdict."""
    endorsed = {"statement": statement, "holder": holder}
    return canonical.sign(label + "-endorsement", endorsed, signing_seed(signer or holder))


def certificate(label, statement):
    endorsements = [endorse(label, statement, holder) for holder in ENDORSERS]
    return {"statement": statement, "endorsements": endorsements}


def row():
    digest = bytes.fromhex(manifests.digest())
    return functionals.row(ring.public_polynomial(digest, BLOCK), COEFFICIENT)


def share(site, holder):
    count = sharing.share_words(THRESHOLD)
    return spoiled().contributions[site].shares[SITES.index(holder)][:count]


@cache
def functional_values(site, holder):
    return functionals.values(share(site, holder), row(), THRESHOLD)


@cache
def functionals_opening(holder):
    """The holder's l values for every site of the set, ascending by name."""
    words = [word for site in spoiled().sites for word in functional_values(site, holder)]
    subject = {"functionals": {"dispute": dispute_digest()}}
    return Opening(spoiled().closing_digest, holder, subject, words)


@cache
def keys_opening(holder):
    """The holder's share of the culprit's key."""
    subject = {"keys": {"verdict": verdict_digest()}}
    return Opening(spoiled().closing_digest, holder, subject, share(CULPRIT, holder))


@cache
def disputed_sum():
    """The sum as a recipient opens it: it counts four sites, and one slot is beyond its limit."""
    opened = story.Opened(spoiled().sum, story.key_sum(spoiled()), len(spoiled().sites))
    first = BLOCK * PACKING["slots"] * ring.N
    limit = len(spoiled().sites) * ((1 << PACKING["value_bits"]) - 1)
    beyond = [k for k, value in enumerate([opened.count, *opened.sums]) if value > limit]
    padding = [k for k, value in enumerate(opened.padding, 1 + len(opened.sums)) if value]
    assert beyond == [first + COEFFICIENT] and padding == [first + PADDING], (beyond, padding)
    return opened


def functional(site):
    """Coefficient k of a_j s_site, from the openers' values."""
    points = [(SITES.index(holder), functional_values(site, holder)) for holder in OPENERS]
    return functionals.combine(points, THRESHOLD)


def decrypted(site):
    """The wire word in dispute of a site's body, and the slots that it decrypts to."""
    made, w = spoiled().contributions[site], PACKING["wire_bits"]
    word = made.words[BLOCK][COEFFICIENT]
    message, noise = functionals.coefficient(word, functional(site), PACKING["delta_bits"], w)
    assert message == made.messages[BLOCK][COEFFICIENT]
    assert abs(noise) <= functionals.bound_of_one(w)
    width = PACKING["slot_bits"]
    return word, [message & (1 << width) - 1, message >> width]


@cache
def reduced():
    """The sum without west's body, opened with the key sum without west's key."""
    p = ring.modulus(PACKING["wire_bits"])
    bodies = [made.body for site, made in spoiled().contributions.items() if site != CULPRIT]
    shares = [(SITES.index(holder), share(CULPRIT, holder)) for holder in OPENERS]
    key = sharing.reconstruct(shares, THRESHOLD)
    total = story.key_sum(spoiled())
    left = [(a - b) % ring.Q for a, b in zip(total, key)]
    words = [ring.read_words(body, PACKING["wire_bits"]) for body in (spoiled().sum, west_body())]
    body = ring.lay_out([(a - b) % p for a, b in zip(*words)], PACKING["wire_bits"])
    assert body == ring.add_bodies(bodies, PACKING["wire_bits"])
    opened = story.Opened(body, left, len(bodies))
    assert opened.sums == story.opened().sums and opened.count == len(story.CONTRIBUTORS)
    return key, opened


def west_body():
    return spoiled().contributions[CULPRIT].body
