"""A holder's opening: words sealed to every site."""

import blake3
import canonical
import chacha
import frames
import manifests
import merkle
import ring
from parties import SITES, kem_seed, seal, seed, signing_seed


def subject_name(subject):
    """For the labels of seeds."""
    return "" if subject == "sum" else next(iter(subject)) + "/"


class Opening:
    def __init__(self, closing, holder, subject, words):
        self.holder, self.words, label = holder, words, subject_name(subject) + holder
        self.salt, self.content_key = seed(f"salt/{label}"), seed(f"content-key/{label}")
        self.seal_seeds = [seed(f"opening/{label}/{site}", 64) for site in SITES]

        def binding(recipient):
            fields = {"manifest": manifests.digest(), "closing": closing, "holder": holder}
            fields |= {"subject": subject, "recipient": recipient}
            return canonical.SCHEMAS["opening-binding"](fields)

        self.plaintext = self.salt + ring.to_bytes(words)
        associated = canonical.labelled("opening-content", binding(None))
        self.content = chacha.seal(self.content_key, bytes(12), associated, self.plaintext)
        self.keys = [
            seal(kem_seed(site), "opening", binding(site), self.content_key, randomness)
            for site, randomness in zip(SITES, self.seal_seeds)
        ]
        self.statement = {
            "manifest": manifests.digest(),
            "closing": closing,
            "holder": holder,
            "subject": subject,
            "content": blake3.digest(self.content).hex(),
            "recipients": merkle.root(recipient_leaves(self.keys)).hex(),
            "plaintext": blake3.digest(self.plaintext).hex(),
        }
        self.signed = canonical.sign("opening", self.statement, signing_seed(holder))
        self.frame = frames.opening_frame(self.signed, self.content, self.keys)

    def path(self, site):
        return merkle.path(SITES.index(site), recipient_leaves(self.keys))

    def part(self, site):
        """The site's part of the opening."""
        key = self.keys[SITES.index(site)]
        return frames.opening_part(self.signed, key, self.path(site), self.content)


def recipient_leaves(keys):
    """The leaves of the tree over these sealed content keys, in roster order."""
    digests = [blake3.digest(key).hex() for key in keys]
    return [merkle.recipient_leaf(site, digest)[1] for site, digest in zip(SITES, digests)]
