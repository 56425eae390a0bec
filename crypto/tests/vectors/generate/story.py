"""The first round of the study: three of five sites contribute, three holders open. What most
vectors are taken from."""

import struct
from functools import cache

import blake3
import canonical
import chacha
import gaussian
import merkle
import packing
import ring
import sharing
from parties import (
    AGGREGATOR,
    CHECK_KEY,
    LAYOUT,
    PACKING,
    SITES,
    START,
    THRESHOLD,
    VALUES,
    digest_of,
    holder_secret,
    kem_seed,
    keyed_model,
    round_keys,
    seal,
    seed,
    signing_seed,
    study_digest,
)

CONTRIBUTORS = ["north", "south", "centre"]
OPENERS = ["north", "east", "west"]


def manifest_statement(round_number=0, **changes):
    start = round_number % len(SITES)
    holders = SITES[start:] + SITES[:start]
    keys = canonical.digest("round-keys", round_keys()["statement"])
    statement = {
        "study": study_digest(),
        "round": round_number,
        "initiator": holders[0],
        "opened_at": START + 1000 * round_number + 10,
        "deadline": START + 1000 * round_number + 310,
        "holders": holders,
        "holder_keys": [keys if holder == "east" else None for holder in holders],
        "base_model": keyed_model("initial model" if round_number == 0 else "second model"),
        "previous": None,
    }
    return {**statement, **changes}


@cache
def manifest():
    return canonical.sign("manifest", manifest_statement(), signing_seed("north"))


@cache
def manifest_digest():
    return canonical.digest("manifest", manifest_statement())


def update(site):
    """Multiples of 1/2048 in [-0.49, 0.49], some beyond the clip bounds; exact in float32."""
    stream = seed(f"update/{site}", 2 * VALUES)
    return [(u % 2001 - 1000) / 2048 for u in struct.unpack(f"<{VALUES}H", stream)]


class Contribution:
    """A site's contribution and all that it was made from."""

    def __init__(self, site):
        self.site, round_digest = site, bytes.fromhex(manifest_digest())
        self.update = update(site)
        self.key = ring.residues(blake3.Xof(seed(f"one-time-key/{site}")), ring.N)
        self.bulk_seed = seed(f"bulk/{site}")
        self.share_seeds = [seed(f"share/{site}/{k}") for k in range(sharing.seeded(THRESHOLD))]
        self.seal_seeds = [seed(f"seal/{site}/{holder}", 64) for holder in SITES]
        blocks, capacity = packing.blocks_of(PACKING, VALUES), PACKING["slots"] * ring.N
        streams = []
        for j in range(blocks):
            label = b"ringfence/randomness/1" + struct.pack("<Q", j)
            xof = blake3.Xof(label, key=self.bulk_seed)
            streams.append((xof.read(gaussian.UNIFORM_BYTES), xof.read(4 * capacity)))
        # Value v of the update is value v + 1 of the body.
        dither = b"".join(stream[1] for stream in streams)[4:]
        self.quantized = [
            packing.quantize(value, clip, PACKING["value_bits"], dither[4 * v : 4 * v + 4])
            for v, (value, clip) in enumerate(zip(self.update, packing.clips_of(LAYOUT)))
        ]
        self.messages = packing.pack_values(self.quantized, PACKING)
        self.errors = [gaussian.errors(stream[0]) for stream in streams]
        self.words = [
            encrypt_block(round_digest, j, self.key, self.errors[j], self.messages[j])
            for j in range(blocks)
        ]
        self.body = b"".join(ring.lay_out(w, PACKING["wire_bits"]) for w in self.words)
        w, body_digest = PACKING["wire_bits"], blake3.digest(self.body).hex()
        self.check_words = sharing.check_words(CHECK_KEY, round_digest, self.words, w)
        self.shares = sharing.share(self.key, THRESHOLD, self.share_seeds)
        dealt = self.share_seeds + [ring.to_bytes(s) for s in self.shares[len(self.share_seeds) :]]
        self.envelopes = []
        for holder, plaintext, randomness in zip(SITES, dealt, self.seal_seeds):
            binding = {"manifest": manifest_digest(), "dealer": site, "holder": holder}
            encoded = canonical.SCHEMAS["envelope-binding"](binding)
            secret = holder_secret(holder)
            self.envelopes.append(seal(secret, "envelope", encoded, plaintext, randomness))
        self.header = {
            "study": study_digest(),
            "round": 0,
            "manifest": manifest_digest(),
            "site": site,
            "body_bytes": len(self.body),
            "body": body_digest,
            "check": sealed_check_words(site, body_digest, self.check_words),
            "envelopes": [blake3.digest(envelope).hex() for envelope in self.envelopes],
        }
        self.signed_header = canonical.sign("header", self.header, signing_seed(site))
        self.header_digest = canonical.digest("header", self.header)


def sealed_check_words(site, body_digest, words):
    """A header's check words."""
    binding = {"manifest": manifest_digest(), "site": site, "body": body_digest}
    return sharing.seal_check_words(
        CHECK_KEY, words, canonical.statement_bytes("check-words", binding)
    ).hex()


def encrypt_block(round_digest, block, key, errors, message):
    """Wire words of c = a s + e + Delta m."""
    masks = ring.product(ring.public_polynomial(round_digest, block), key)
    delta = 1 << PACKING["delta_bits"]
    sums = ((mask + e + delta * m) % ring.Q for mask, e, m in zip(masks, errors, message))
    return [ring.to_word(c, PACKING["wire_bits"]) for c in sums]


@cache
def contribution(site):
    return Contribution(site)


@cache
def body_sum():
    bodies = [contribution(site).body for site in CONTRIBUTORS]
    return ring.add_bodies(bodies, PACKING["wire_bits"])


def receipt_statement(site):
    header = contribution(site).header_digest
    return {"manifest": manifest_digest(), "site": site, "header": header, "received_at": START + 99}


def review_statement(holder, complaints=()):
    return {"manifest": manifest_digest(), "holder": holder, "complaints": list(complaints)}


def log_entries():
    """What the study's log holds before the closing of round 0, in order."""
    entries = [("manifest", manifest_digest())]
    for site in CONTRIBUTORS:
        entries.append(("header", contribution(site).header_digest))
        entries.append(("receipt", canonical.digest("receipt", receipt_statement(site))))
    return [{"label": label, "digest": digest} for label, digest in entries]


def closing_statement(**changes):
    included = [
        {"site": site, "header": contribution(site).header_digest} for site in sorted(CONTRIBUTORS)
    ]
    leaves = [merkle.leaf(entry["label"], entry["digest"]) for entry in log_entries()]
    statement = {
        "study": study_digest(),
        "round": 0,
        "manifest": manifest_digest(),
        "closed_at": START + 400,
        "included": included,
        "excluded": [],
        "sum": blake3.digest(body_sum()).hex(),
        "checkpoint": {"size": len(leaves), "root": merkle.root(leaves).hex()},
    }
    return {**statement, **changes}


@cache
def closing():
    return canonical.sign("closing", closing_statement(), AGGREGATOR)


@cache
def closing_digest():
    return canonical.digest("closing", closing_statement())


def exclusion(complaining, reason=None):
    """A closing that also names a contribution of west, left out for the complaints of these
    holders, or for another reason: (signed closing, signed headers, signed reviews)."""
    header = {**contribution("north").header, "site": "west", "body": digest_of("no real body")}
    headers = [contribution(site).signed_header for site in CONTRIBUTORS]
    headers.append(canonical.sign("header", header, signing_seed("west")))
    statements = {holder: review_statement(holder, ["west"]) for holder in complaining}
    excluded = {
        "site": "west",
        "header": canonical.digest("header", header),
        "reason": reason
        or {"complaints": [canonical.digest("review", r) for r in statements.values()]},
    }
    reviews = [canonical.sign("review", r, signing_seed(h)) for h, r in statements.items()]
    signed = canonical.sign("closing", closing_statement(excluded=[excluded]), AGGREGATOR)
    return signed, headers, reviews


def endorsement(holder, **changes):
    statement = {
        "study": study_digest(),
        "round": 0,
        "closing": closing_digest(),
        "holder": holder,
    }
    return canonical.sign("endorsement", {**statement, **changes}, signing_seed(holder))


class Opening:
    """A holder's opening: its share of the key sum, sealed to every site."""

    def __init__(self, holder):
        self.holder, offset = holder, SITES.index(holder)
        self.share = sharing.add_vectors([contribution(s).shares[offset] for s in CONTRIBUTORS])
        self.salt, self.content_key = seed(f"salt/{holder}"), seed(f"content-key/{holder}")
        self.seal_seeds = [seed(f"opening/{holder}/{site}", 64) for site in SITES]

        def binding(recipient):
            fields = {"manifest": manifest_digest(), "closing": closing_digest()}
            fields |= {"holder": holder, "recipient": recipient}
            return canonical.SCHEMAS["opening-binding"](fields)

        self.plaintext = self.salt + ring.to_bytes(self.share)
        associated = canonical.labelled("opening-content", binding(None))
        self.content = chacha.seal(self.content_key, bytes(12), associated, self.plaintext)
        self.keys = [
            seal(kem_seed(site), "opening", binding(site), self.content_key, randomness)
            for site, randomness in zip(SITES, self.seal_seeds)
        ]
        self.statement = {
            "manifest": manifest_digest(),
            "closing": closing_digest(),
            "holder": holder,
            "content": blake3.digest(self.content).hex(),
            "recipients": merkle.root(recipient_leaves(self.keys)).hex(),
            "plaintext": blake3.digest(self.plaintext).hex(),
        }
        self.signed = canonical.sign("opening", self.statement, signing_seed(holder))
        self.frame = canonical.opening_frame(self.signed, self.content, self.keys)

    def path(self, site):
        return merkle.path(SITES.index(site), recipient_leaves(self.keys))

    def part(self, site):
        """The site's part of the opening."""
        key = self.keys[SITES.index(site)]
        return canonical.opening_part(self.signed, key, self.path(site), self.content)


def recipient_leaves(keys):
    """The leaves of the tree over these sealed content keys, in roster order."""
    digests = [blake3.digest(key).hex() for key in keys]
    return [merkle.recipient_leaf(site, digest)[1] for site, digest in zip(SITES, digests)]


@cache
def opening(holder):
    return Opening(holder)


class Opened:
    """The sum as a recipient opens it."""

    def __init__(self):
        shares = [(SITES.index(holder), opening(holder).share) for holder in OPENERS]
        self.key_sum = sharing.reconstruct(shares, THRESHOLD)
        w, delta = PACKING["wire_bits"], 1 << PACKING["delta_bits"]
        words = ring.read_words(body_sum(), w)
        self.blocks, self.noise = [], []
        for j in range(len(words) // ring.N):
            public = ring.public_polynomial(bytes.fromhex(manifest_digest()), j)
            masks = ring.product(public, self.key_sum)
            lifted = (ring.from_word(word, w) for word in words[j * ring.N :])
            values = [(lift - mask + delta // 2) % ring.Q for lift, mask in zip(lifted, masks)]
            self.blocks.append([value // delta for value in values])
            self.noise.append([value % delta - delta // 2 for value in values])
        blocks = [words[j : j + ring.N] for j in range(0, len(words), ring.N)]
        digest = bytes.fromhex(manifest_digest())
        self.check_words = sharing.check_words(CHECK_KEY, digest, blocks, w)
        slots = packing.unpack_values(self.blocks, PACKING)
        self.count, self.sums, self.padding = slots[0], slots[1 : VALUES + 1], slots[VALUES + 1 :]


@cache
def opened():
    result = Opened()
    # The story is consistent: what was opened is what was put in.
    columns = zip(*(contribution(site).quantized for site in CONTRIBUTORS))
    assert result.sums == [sum(column) for column in columns]
    assert result.count == len(CONTRIBUTORS) and not any(result.padding)
    taus = zip(*(contribution(site).check_words for site in CONTRIBUTORS))
    p = ring.modulus(PACKING["wire_bits"])
    assert result.check_words == [sum(column) % p for column in taus]
    return result
