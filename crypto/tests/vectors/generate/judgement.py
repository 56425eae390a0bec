"""The judgement of a round's dealings (docs/disputes.md, section 2): from trust, freeze and reviews to
the sites that are barred, the pairs, the set and the holders whose openings count. Decoding tries
every choice of t answers: clarity before speed."""

from itertools import combinations

import canonical
from ring import Q
from sharing import lagrange

NOBODY = {"barred": [], "pairs": []}


class Broken(Exception):
    """More entries than c: the study's assumption does not hold."""


def trust_digest(trust):
    return canonical.digest("trust", trust)


def free(trust, threshold):
    """c': how many sites that stand in no entry may be corrupt."""
    entries = len(trust["barred"]) + len(trust["pairs"])
    if entries > threshold["collusion"]:
        raise Broken(f"{entries} sites or pairs of sites are shown to be corrupt")
    return threshold["collusion"] - entries


def names(threshold):
    """Whether a spoiled round can name its culprit."""
    return threshold["holders"] >= 3 * threshold["collusion"] + threshold["packing"]


def in_entry(trust, site):
    return site in trust["barred"] or any(site in pair.values() for pair in trust["pairs"])


def words_of(answer):
    """The two words of an answer, or none."""
    if answer == "no_share":
        return None
    data = bytes.fromhex(answer["masked"])
    return tuple(int.from_bytes(data[i : i + 8], "little") for i in (0, 8))


def masked(words):
    return {"masked": b"".join(word.to_bytes(8, "little") for word in words).hex()}


def value_at(points, x):
    """The value at x of the two polynomials through (node, (word, word)) points."""
    weights = lagrange([node for node, _ in points], x)
    return tuple(sum(w * y[e] for w, (_, y) in zip(weights, points)) % Q for e in (0, 1))


def decode(points, t, agreeing):
    """Nodes that lie on one codeword, at least `agreeing` of them, or None. At most one codeword
    has so many."""
    if len(points) < agreeing:
        return None
    for chosen in combinations(points, t):
        on = {node for node, words in points if value_at(chosen, node) == words}
        if len(on) >= agreeing:
            return on
    return None


class Dealing:
    """Step 1: what the reviews show of one dealer."""

    def __init__(self, place, usable, t, free):
        answers = {holder: words_of(review[place]) for holder, review in usable.items()}
        nodes = usable.nodes
        self.points = [(nodes[h], words) for h, words in answers.items() if words is not None]
        agreeing = max(t + free, len(self.points) - free)
        self.on = decode(self.points, t, agreeing)
        self.determined = self.on is not None
        self.edges = {h for h, words in answers.items() if words is None}
        if self.determined:
            self.edges |= {h for h, words in answers.items() if words and nodes[h] not in self.on}
        self.corrupt = len(self.edges) > free
        self.corrupt |= not self.determined and len(usable) >= t + 2 * free

    def codeword(self, t):
        """t points that fix it."""
        return [point for point in self.points if point[0] in self.on][:t]


class Usable(dict):
    """Answers of the holders that are not set aside, in window order, with their nodes."""

    def __init__(self, window, trust, reviews):
        super().__init__()
        self.nodes = {}
        for offset, holder in enumerate(window):
            answers = [review["answers"] for review in reviews if review["holder"] == holder]
            if answers and not in_entry(trust, holder):
                self[holder], self.nodes[holder] = answers[0], offset + 1


def judge(threshold, min_sites, window, dealers, trust, reviews):
    """The judgement as JSON; `reviews` are holder and answers, in the order of `dealers`."""
    t, before = threshold["opening"], free(trust, threshold)
    usable = Usable(window, trust, reviews)
    dealings = {d: Dealing(place, usable, t, before) for place, d in enumerate(dealers)}

    corrupt = {dealer for dealer, dealing in dealings.items() if dealing.corrupt}
    for holder in window:
        accused = [dealer for dealer in dealers if holder in dealings[dealer].edges]
        fresh = [dealer for dealer in accused if not in_entry(trust, dealer)]
        if len(fresh) > before or holder in accused:
            corrupt.add(holder)
    after = {
        "barred": trust["barred"] + sorted(corrupt - set(trust["barred"])),
        "pairs": [p for p in trust["pairs"] if not corrupt & set(p.values())],
    }
    edges = [(h, d) for d in dealers for h in window if h in dealings[d].edges]
    edges = [(h, d) for h, d in edges if h not in after["barred"] and d not in after["barred"]]
    for holder, dealer in edges:
        if not in_entry(after, holder) and not in_entry(after, dealer):
            after["pairs"].append({"holder": holder, "dealer": dealer})
    left = free(after, threshold)

    def aside(site):
        return in_entry(trust, site) or in_entry(after, site)

    excluded = {}
    for dealer in dealers:
        if dealer in after["barred"]:
            excluded[dealer] = "barred"
        elif not dealings[dealer].determined:
            excluded[dealer] = "undetermined"
        elif any(d == dealer and not aside(h) for h, d in edges):
            excluded[dealer] = "accused"
    openers = sorted(holder for holder in usable if not aside(holder))
    set_aside = sorted(holder for holder in window if aside(holder))
    chosen = [dealer for dealer in dealers if dealer not in excluded]
    if len(openers) < t + left or len(chosen) < min_sites:
        chosen = []
    return {
        # Where nobody can be named, what a round shows is not carried on.
        "trust": after if names(threshold) else trust,
        "excluded": excluded,
        "set": chosen,
        "openers": openers,
        "aside": set_aside,
        "free": left,
    }


def agrees(threshold, window, dealers, trust, reviews, chosen, review):
    """Whether a review lies on the codewords that the listed ones determine, for every dealer of
    the set."""
    t, usable = threshold["opening"], Usable(window, trust, reviews)
    node = window.index(review["holder"]) + 1
    for place, dealer in enumerate(dealers):
        if dealer in chosen:
            dealing = Dealing(place, usable, t, free(trust, threshold))
            if value_at(dealing.codeword(t), node) != words_of(review["answers"][place]):
                return False
    return True
