"""Groups of a study that holds its sets apart, and who is left out where one is not whole."""

from output import write


def groups(sites, c):
    """The groups, as places on the ring: c + 2 each, counted from the end, so that the first one has
    those that are left over."""
    size, made, end = max(3, c + 2), [], sites
    while end >= 2 * size:
        made.insert(0, list(range(end - size, end)))
        end -= size
    return [list(range(end)), *made]


def left_out(sites, c, there, barred):
    """Those that are there and whose group misses somebody who is not barred."""
    out = []
    for group in groups(sites, c):
        if not all(place in there or place in barred for place in group):
            out += [place for place in group if place in there]
    return out


def add_all():
    cases = []
    for name, sites, c, there, barred in (
        ("one group, whole", 5, 1, [0, 1, 2, 3, 4], []),
        ("one group, one is missing", 5, 1, [0, 1, 2, 3], []),
        ("two groups, one is missing in the first", 7, 1, [0, 1, 2, 4, 5, 6], []),
        ("two groups, one is missing in the second", 7, 1, [0, 1, 2, 3, 4, 5], []),
        ("two groups, one is missing in each", 8, 2, [0, 1, 2, 4, 5, 6], []),
        ("a group of which nobody is there", 8, 2, [4, 5, 6, 7], []),
        ("who is barred is not missed", 8, 2, [0, 1, 2, 3, 4, 5, 6], [7]),
        ("who is barred is not missed, another one is", 8, 2, [0, 1, 2, 3, 4, 5], [7]),
        ("a first group with five left over", 17, 4, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11], []),
        ("three groups of five", 15, 3, [place for place in range(15) if place != 6], []),
    ):
        cases.append(
            {
                "name": name,
                "sites": sites,
                "collusion": c,
                "groups": groups(sites, c),
                "there": there,
                "barred": barred,
                "left_out": left_out(sites, c, there, barred),
            }
        )
    write(
        "groups",
        "public",
        "groups",
        "Groups of sites, by their places on the ring, where a study holds its sets apart, and which "
        "of the contributions that are there are left out because their group is not whole.",
        cases=cases,
    )
