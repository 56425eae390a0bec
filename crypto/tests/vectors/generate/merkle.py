"""Merkle trees (RFC 6962, section 2.1): the root of a study's log, for the checkpoint that a closing
carries, and the tree over the content keys of an opening."""

import hashlib

import canonical


def leaf(label, digest):
    """The hash of a statement's entry: its kind and digest."""
    entry = canonical.string(label) + bytes.fromhex(digest)
    return hashlib.sha256(b"\0" + canonical.labelled("log-entry", entry)).digest()


def recipient_leaf(site, key_digest):
    """The data of a recipient's leaf, and its hash."""
    recipient = {"site": site, "key": key_digest}
    data = canonical.statement_bytes("opening-recipient", recipient)
    return data, hashlib.sha256(b"\0" + data).digest()


def path(index, leaves):
    """PATH(m, D[n]) of section 2.1.1: siblings, from the leaf's own up to the root's child."""
    if len(leaves) == 1:
        return []
    left = split(len(leaves))
    if index < left:
        return path(index, leaves[:left]) + [root(leaves[left:])]
    return path(index - left, leaves[left:]) + [root(leaves[:left])]


def split(count):
    """The largest power of two below the number of leaves."""
    left = 1
    while left * 2 < count:
        left *= 2
    return left


def root(leaves):
    if len(leaves) <= 1:
        return leaves[0] if leaves else hashlib.sha256().digest()
    left = split(len(leaves))
    return hashlib.sha256(b"\1" + root(leaves[:left]) + root(leaves[left:])).digest()
