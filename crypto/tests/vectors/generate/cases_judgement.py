"""Judgements of dealings: named cases over one study of five sites and one of eleven."""

from functools import cache

import blake3
import judgement
import ring
import sharing
from output import write
from parties import SITES, seed

FIVE = sharing.thresholds(5, 1, 2)  # t = 3, c = 1
ELEVEN = sharing.thresholds(11, 2, 5)  # t = 7, c = 2
THREE = sharing.thresholds(3, 1, 1)  # t = 2, c = 1: names nobody
FOUR = sharing.thresholds(5, 1, 3)  # t = 4, c = 1: names nobody
NAMES = [f"s{k:02}" for k in range(11)]


@cache
def pair(label):
    """Two residues."""
    return tuple(ring.residues(blake3.Xof(seed(label)), 2))


def said(threshold, window, dealers, changes, reviewers):
    """Reviews: what sound dealing gives, but for `changes` by (holder, dealer). `odd` is another pair of
    words, different for every holder and dealer."""
    t, reviews = threshold["opening"], []
    for offset, holder in enumerate(window):
        answers = []
        for dealer in dealers:
            points = [(x, pair(f"judge/{dealer}/{x}")) for x in range(1, t + 1)]
            sound = judgement.masked(judgement.value_at(points, offset + 1))
            odd = judgement.masked(pair(f"judge/odd/{holder}/{dealer}"))
            # Only one of the two words is another one.
            half = {"masked": sound["masked"][:16] + odd["masked"][16:]}
            change = changes.get((holder, dealer))
            answers.append({None: sound, "odd": odd, "half": half, "no_share": "no_share"}[change])
        if holder in reviewers:
            reviews.append({"holder": holder, "answers": answers})
    return reviews


def trust(barred=(), pairs=()):
    return {
        "barred": list(barred),
        "pairs": [{"holder": holder, "dealer": dealer} for holder, dealer in pairs],
    }


NO = "no_share"
# Name, why, trust before, what is said otherwise, who does not review, dealers.
OF_FIVE = [
    ("honest", "nobody is accused", trust(), {}, [], SITES),
    ("four reviews", "t + c' = 4 are enough", trust(), {}, ["centre"], SITES),
    ("a false complaint", "makes a pair", trust(), {("west", "centre"): NO}, [], SITES),
    ("a wrong share", "makes a pair", trust(), {("west", "centre"): "odd"}, [], SITES),
    ("one wrong word of two", "makes a pair", trust(), {("west", "centre"): "half"}, [], SITES),
    (
        "two wrong shares", "more than c' edges: the dealer is barred", trust(),
        {("west", "centre"): NO, ("north", "centre"): "odd"}, [], SITES,
    ),
    (
        "two accusations", "more than c' edges: the holder is barred", trust(),
        {("west", "centre"): NO, ("west", "north"): "odd"}, [], SITES,
    ),
    ("itself", "a holder that accuses itself is barred", trust(), {("west", "west"): NO}, [], SITES),
    (
        "undetermined", "four answers that disagree: nobody is named", trust(),
        {("west", "centre"): "odd"}, ["north"], SITES,
    ),
    (
        "undetermined with a complaint", "three answers are fewer than t + c' = 4; the complaint makes "
        "a pair, and two reviewers are left: abort", trust(), {("west", "centre"): NO}, ["north"], SITES,
    ),
    (
        "undetermined with all", "t + 2c' reviews, and no codeword: barred", trust(),
        {(h, "centre"): "odd" for h in ("north", "east", "south")}, [], SITES,
    ),
    (
        "accused", "west stands in a pair with centre, and north, who does not, accuses it", trust(),
        {("west", "centre"): NO, ("north", "west"): NO}, [], SITES,
    ),
    (
        "the order of the freeze", "the same with north for centre: east's edge with centre comes first, "
        "so centre is in a pair and north is not left out", trust(),
        {("centre", "north"): NO, ("east", "centre"): NO}, [], SITES,
    ),
    (
        "set aside", "the reviews of a pair are not used, whatever they say",
        trust(pairs=[("west", "centre")]),
        {("west", dealer): "odd" for dealer in SITES} | {("centre", "north"): NO}, [], SITES,
    ),
    (
        "a pair dissolved", "west is barred; centre is in no entry, and a holder from the next round on",
        trust(pairs=[("west", "centre")]), {("north", "west"): NO}, [], SITES,
    ),
    ("barred before", "its review is not used", trust(barred=["west"]), {}, [], SITES[:3]),
    (
        "a barred dealer", "a dealer that is barred already stays out", trust(barred=["west"]), {}, [],
        SITES,
    ),
    ("too few reviews", "three of five: abort", trust(), {}, ["north", "east"], SITES),
    (
        "too few dealers", "one of three dealers is barred: abort, and it stays barred", trust(),
        {("east", "north"): NO, ("west", "north"): NO}, [], SITES[:3],
    ),
    (
        "more than c", "two dealers with two edges each: the assumption does not hold", trust(),
        {(h, d): NO for h in ("east", "west") for d in ("north", "south")}, [], SITES,
    ),
    (
        "a pair and one more", "the entries are more than c", trust(pairs=[("west", "centre")]),
        {("north", "south"): NO}, [], SITES,
    ),
]  # fmt: skip
OF_THREE = [
    ("three sites", "nobody is accused", trust(), {}, [], SITES[:3]),
    ("three sites, one complaint", "abort, and nobody is named", trust(), {("east", "north"): NO}, [], SITES[:3]),
    ("three sites, one silent", "abort", trust(), {}, ["east"], SITES[:3]),
]  # fmt: skip
OF_FOUR = [
    (
        "l = 3, two accusations by one", "it is left out of this round: four reviews are left, and "
        "t + c' = 4 with it", trust(), {("west", "centre"): "odd", ("west", "north"): NO}, [], SITES,
    ),
    ("l = 3, two wrong shares", "the dealer is left out of this round", trust(),
     {("west", "centre"): NO, ("north", "centre"): NO}, [], SITES),
]  # fmt: skip
OF_ELEVEN = [
    ("two pairs", "as many as c", trust(), {("s00", "s05"): NO, ("s07", "s02"): "odd"}, [], NAMES),
    (
        "one site in two edges", "the second edge makes no pair, and leaves nobody out", trust(),
        {("s00", "s05"): NO, ("s00", "s02"): NO}, [], NAMES,
    ),
    (
        "a dealer with two edges", "the first holder is its pair; the second is not set aside", trust(),
        {("s00", "s05"): NO, ("s03", "s05"): NO}, [], NAMES,
    ),
    (
        "a dealer in a pair", "a holder that accuses it besides c' others is not barred",
        trust(pairs=[("s09", "s10")]), {("s00", "s10"): NO, ("s00", "s01"): NO}, [], NAMES,
    ),
    (
        "only a dealer in a pair", "is accused by one that is not set aside",
        trust(pairs=[("s09", "s10")]), {("s00", "s10"): NO}, [], NAMES,
    ),
    (
        "two barred at once", "stand in the order of their names", trust(),
        {(h, d): NO for h in ("s01", "s03", "s05") for d in ("s08", "s02")}, [], NAMES,
    ),
    (
        "one barred after another", "stands behind it", trust(barred=["s08"]),
        {(h, "s02"): NO for h in ("s01", "s03")}, [], NAMES,
    ),
    ("nine reviews", "t + c' = 9", trust(), {}, ["s04", "s08"], NAMES),
    ("eight reviews", "are too few: abort", trust(), {}, ["s04", "s06", "s08"], NAMES),
    (
        "a lie among nine answers", "eight agree of t + c' = 9: undetermined", trust(),
        {("s03", "s05"): "odd"}, ["s04", "s08"], NAMES,
    ),
]  # fmt: skip


def case(threshold, sites, name, why, before, changes, missing, dealers, turn=0):
    window, dealers = sites[turn:] + sites[:turn], sorted(dealers)
    reviewers = [holder for holder in window if holder not in missing]
    everybody = said(threshold, window, dealers, changes, window)
    reviews = [review for review in everybody if review["holder"] in reviewers]
    given = {
        "name": f"{name}: {why}",
        "threshold": threshold,
        "min_sites": 3,
        "window": window,
        "dealers": dealers,
        "trust": before,
        "reviews": reviews,
    }
    try:
        judged = judgement.judge(threshold, 3, window, dealers, before, reviews)
    except judgement.Broken as broken:
        return {**given, "judgement": None, "broken": str(broken), "late": []}
    digest = judgement.trust_digest(judged["trust"])
    late = []
    if judged["set"]:
        late = [
            {
                **review,
                "agrees": judgement.agrees(
                    threshold, window, dealers, before, reviews, judged["set"], review
                ),
            }
            for review in everybody
            if review["holder"] in missing
        ]
        late += [{**review, "agrees": False} for review in odd_late(judged, everybody, missing, dealers)]
    return {**given, "judgement": {**judged, "trust_digest": digest}, "broken": None, "late": late}


def odd_late(judged, everybody, missing, dealers):
    """Late reviews with one word wrong for the first dealer of the set, and with no share."""
    place = dealers.index(judged["set"][0])
    for review in everybody:
        if review["holder"] in missing:
            answers = list(review["answers"])
            if answers[place] == NO:
                continue
            words = judgement.words_of(answers[place])
            for other in (judgement.masked([words[0], (words[1] + 1) % ring.Q]), NO):
                changed = [*answers]
                changed[place] = other
                yield {"holder": review["holder"], "answers": changed}


def judgements():
    cases = [case(FIVE, SITES, *given) for given in OF_FIVE]
    # The window starts elsewhere in another round; the judgement goes by it.
    cases += [case(FIVE, SITES, *given, turn=2) for given in OF_FIVE[2:4]]
    cases += [case(THREE, SITES[:3], *given) for given in OF_THREE]
    cases += [case(FOUR, SITES, *given) for given in OF_FOUR]
    cases += [case(ELEVEN, NAMES, *given) for given in OF_ELEVEN]
    outcomes = {why for c in cases if c["judgement"] for why in c["judgement"]["excluded"].values()}
    assert outcomes == {"barred", "undetermined", "accused"}
    assert any(c["late"] and c["late"][0]["agrees"] for c in cases)
    write(
        "judgement",
        "public",
        "judgement",
        "Thresholds, the window, dealers in the order of the freeze, trust before and reviews, to the "
        "judgement: trust after it with its digest, who is left out and why, the set, the holders whose "
        "openings count and c' after it; or that the study's assumption is `broken`. `late` are reviews "
        "that the closing does not list, and whether they agree with every dealer of the set.",
        cases=cases,
    )


def add_all():
    judgements()
