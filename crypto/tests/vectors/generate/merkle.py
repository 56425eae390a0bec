"""The root of a study's log (RFC 6962, section 2.1), for the checkpoint that a closing carries."""

import hashlib

import canonical


def leaf(label, digest):
    """The hash of a statement's entry: its kind and digest."""
    entry = canonical.string(label) + bytes.fromhex(digest)
    return hashlib.sha256(b"\0" + canonical.labelled("log-entry", entry)).digest()


def root(leaves):
    if len(leaves) <= 1:
        return leaves[0] if leaves else hashlib.sha256().digest()
    left = 1
    while left * 2 < len(leaves):
        left *= 2
    return hashlib.sha256(b"\1" + root(leaves[:left]) + root(leaves[left:])).digest()
