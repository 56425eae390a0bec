"""A site's contribution to round 0 of the study, and all that it is made from."""

import struct
from functools import cache

import blake3
import canonical
import gaussian
import manifests
import packing
import ring
import sharing
from parties import (
    CHECK_KEY,
    LAYOUT,
    PACKING,
    SITES,
    THRESHOLD,
    VALUES,
    holder_secret,
    seal,
    seed,
    signing_seed,
    study_digest,
)


def update(site):
    """Multiples of 1/2048 in [-0.49, 0.49], some beyond the clip bounds; exact in float32."""
    stream = seed(f"update/{site}", 2 * VALUES)
    return [(u % 2001 - 1000) / 2048 for u in struct.unpack(f"<{VALUES}H", stream)]


class Contribution:
    """`tamper` changes the packed messages before they are encrypted, as no sound site does."""

    def __init__(self, site, tamper=None):
        self.site, round_digest = site, bytes.fromhex(manifests.digest())
        self.update = update(site)
        self.key = ring.residues(blake3.Xof(seed(f"one-time-key/{site}")), ring.N)
        self.bulk_seed = seed(f"bulk/{site}")
        self.share_seeds = [seed(f"share/{site}/{k}") for k in range(sharing.seeded(THRESHOLD))]
        count = sharing.MASKS * THRESHOLD["packing"]
        self.masks = ring.residues(blake3.Xof(seed(f"masks/{site}")), count)
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
        if tamper:
            tamper(self.messages)
        self.errors = [gaussian.errors(stream[0]) for stream in streams]
        self.words = [
            encrypt_block(round_digest, j, self.key, self.errors[j], self.messages[j])
            for j in range(blocks)
        ]
        self.body = b"".join(ring.lay_out(w, PACKING["wire_bits"]) for w in self.words)
        w, body_digest = PACKING["wire_bits"], blake3.digest(self.body).hex()
        self.check_words = sharing.check_words(CHECK_KEY, round_digest, self.words, w)
        self.shares = sharing.share(self.key, self.masks, THRESHOLD, self.share_seeds)
        dealt = self.share_seeds + [ring.to_bytes(s) for s in self.shares[len(self.share_seeds) :]]
        self.envelopes = []
        for holder, plaintext, randomness in zip(SITES, dealt, self.seal_seeds):
            binding = {"manifest": manifests.digest(), "dealer": site, "holder": holder}
            encoded = canonical.SCHEMAS["envelope-binding"](binding)
            secret = holder_secret(holder)
            self.envelopes.append(seal(secret, "envelope", encoded, plaintext, randomness))
        self.header = {
            "study": study_digest(),
            "round": 0,
            "manifest": manifests.digest(),
            "site": site,
            "body_bytes": len(self.body),
            "body": body_digest,
            "check": sealed_check_words(site, body_digest, self.check_words),
            "envelopes": [blake3.digest(envelope).hex() for envelope in self.envelopes],
            "spent": None,
        }
        self.signed_header = canonical.sign("header", self.header, signing_seed(site))
        self.header_digest = canonical.digest("header", self.header)


def sealed_check_words(site, body_digest, words):
    """A header's check words."""
    binding = {"manifest": manifests.digest(), "site": site, "body": body_digest}
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
