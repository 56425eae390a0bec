"""Vectors of a body's parts, each checked against the body's digest alone: groups of 16 chunks of
BLAKE3, and the chaining values beside their way up."""

import blake3
from output import write
from parties import seed

GROUP = 16 * blake3.CHUNK


def value(body, groups, start):
    """The chaining value of `groups` groups from group `start`."""
    return blake3.chaining_value(body[start * GROUP : (start + groups) * GROUP], start * GROUP)


def siblings(body, index):
    """Chaining values from the group's own sibling up to the root's child."""
    start, groups, found = 0, max(1, -(-len(body) // GROUP)), []
    while groups > 1:
        left = 1
        while left * 2 < groups:
            left *= 2
        if index < start + left:
            found.append(value(body, groups - left, start + left))
            groups = left
        else:
            found.append(value(body, left, start))
            start, groups = start + left, groups - left
    return found[::-1]


def climb(body, index):
    """The digest that the group and its siblings lead to, the other way round than `siblings`."""
    groups, at, own = -(-len(body) // GROUP), index, value(body, 1, index)
    ways = []
    while groups > 1:
        left = 1
        while left * 2 < groups:
            left *= 2
        ways.append(at < left)
        at, groups = (at, left) if at < left else (at - left, groups - left)
    path = siblings(body, index)
    for sibling, in_left in zip(path[:-1], ways[:0:-1]):
        own = blake3.parent(own, sibling) if in_left else blake3.parent(sibling, own)
    children = (own, path[-1]) if ways[0] else (path[-1], own)
    return blake3.root_of(*children)


def group(label, size, index, **changes):
    body = seed(label, size)
    found = {
        "body_label": f"ringfence/v1/vectors/{label}",
        "body_bytes": size,
        "digest": blake3.digest(body).hex(),
        "index": index,
        "start": index * GROUP,
        "bytes": min(GROUP, size - index * GROUP),
        "siblings": [sibling.hex() for sibling in siblings(body, index)],
    }
    if size > GROUP:
        assert climb(body, index) == blake3.digest(body)
    return {**found, **changes}


def add_all():
    sizes = {"chunks/one": 1000, "chunks/whole": 2 * GROUP, "chunks/body": 90_000}
    places = [("one", 0), ("whole", 0), ("whole", 1)] + [("body", k) for k in range(6)]
    cases = [group(f"chunks/{name}", sizes[f"chunks/{name}"], index) for name, index in places]
    write(
        "body_chunk",
        "public",
        "body_chunk",
        "Parts of bodies, each checked against the body's digest alone. A body is the extendable "
        "output of BLAKE3 over a text; a part is a group of 16 chunks, of 16384 bytes, and the last "
        "one may be shorter: `bytes` from `start` on. `siblings` are the chaining values of the "
        "subtrees beside its way up, from its own sibling to the root's child.",
        cases=cases,
    )
    good = group("chunks/body", 90_000, 2)
    path = good["siblings"]
    flipped = f"{int(path[1][:2], 16) ^ 1:02x}" + path[1][2:]
    leads = "group 2 leads to the digest"
    bad = {
        "altered": ({}, 100, leads),
        "altered_sibling": ({"siblings": [path[0], flipped, path[2]]}, None, leads),
        "sibling_order": ({"siblings": [path[1], path[0], path[2]]}, None, leads),
        "another_place": ({"index": 3}, None, "group 3 leads to the digest"),
        "sibling_missing": (
            {"siblings": path[:2]}, None, "group 2 of 6 has 3 siblings on its way up, got 2",
        ),
        "sibling_too_many": (
            {"siblings": path + path[2:]}, None, "group 2 of 6 has 3 siblings on its way up, got 4",
        ),
        "short": ({"bytes": 16383}, None, "group 2 of a body of 90000 bytes has 16384 bytes, got 16383"),
        "beyond": ({"index": 6}, None, "has 6 groups of 16384 bytes, got group 6"),
    }  # fmt: skip
    for name, (changes, flip, error) in bad.items():
        write(
            f"body_chunk_bad_{name}",
            "public",
            "body_chunk_bad",
            "A part that is not the body's at the place `index`: `flip` is the place of a byte in it "
            "whose lowest bit is flipped.",
            **{**good, **changes},
            flip=flip,
            error=error,
        )
