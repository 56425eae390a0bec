"""Two disputes of one round, in a study of seven sites of which two may collude (so Q = 5): how they
follow each other, and what a study with c = 1 cannot show. And a study that has no disputes."""

from functools import cache

import canonical
import disputed
import judgement
from cases_disputes import refuse
from output import bad, write
from parties import AGGREGATOR, SITES, START, THRESHOLD, digest_of
from studies import SEVEN, of_naming_nobody, of_seven, signed

ENDORSERS = SEVEN[: of_seven()["threshold"]["endorsements"]]
NAME = "proceedings_of_two"


@cache
def closing(study=of_seven):
    """All sites contribute to round 0; nothing of it but this closing is shown."""
    sites = sorted(entry["id"] for entry in study()["roster"])
    entries = [{"site": site, "header": digest_of(f"header of {site}")} for site in sites]
    statement = {
        "study": canonical.digest("study", study()),
        "round": 0,
        "manifest": digest_of("a manifest"),
        "freeze": digest_of("a freeze"),
        "closed_at": START + 400,
        "included": entries,
        "excluded": [],
        "reviews": [],
        "sum": digest_of("a sum"),
        "checkpoint": {"size": 2 + len(entries), "root": digest_of("a root")},
    }
    return canonical.sign("closing", statement, AGGREGATOR)


def of_round(study=of_seven, **fields):
    statement = closing(study)["statement"]
    closed = canonical.digest("closing", statement)
    return {"study": statement["study"], "round": 0, "closing": closed, **fields}


def dispute(index, after, **changes):
    fields = {"index": index, "after": after, "block": index - 1, "coefficient": 7}
    return of_round(**{**fields, **changes})


def verdict(of, *sites):
    """On this dispute; None: on check words."""
    named = None if of is None else canonical.digest("dispute", of)
    return of_round(dispute=named, sites=list(sites))


def certificate(label, statement):
    endorsements = [disputed.endorse(label, statement, holder) for holder in ENDORSERS]
    return {"statement": statement, "endorsements": endorsements}


def settled(of, *sites):
    return {
        "dispute": certificate("dispute", of),
        "verdict": certificate("verdict", verdict(of, *sites)),
    }


def digest(statement):
    return canonical.digest("verdict", statement)


FIRST = dispute(1, None)
SECOND = dispute(2, digest(verdict(FIRST, "west")))
OF_WORDS = verdict(None, "coast")


def two_disputes():
    both = [settled(FIRST, "west"), settled(SECOND, "coast")]
    after = {"barred": ["west", "coast"], "pairs": []}
    write(
        NAME,
        "public",
        "proceedings",
        "Two certified disputes of a round of seven sites (c = 2) with their verdicts: the second one "
        "names the verdict of the first. And the same with a verdict on wrong check words, which no "
        "dispute names and which bars first. Nothing but this closing of the round is shown.",
        study=signed(of_seven()),
        closing=closing(),
        proceedings={"check_words": None, "disputes": both},
        removed=["coast", "west"],
        trust=after,
        trust_digest=judgement.trust_digest(after),
        with_check_words={"check_words": certificate("verdict", OF_WORDS), "disputes": both},
        barred=["coast", "west"],
    )


def bad_statements():
    """What certifies nothing however many endorse it, and only where c is 2."""
    order = "expected index 1 without a verdict before it, or an index up to c = 2 after the verdict"
    sites = "the verdict names {} sites, expected 1 to c = 2 of the set, ascending by name"
    first = digest(verdict(FIRST, "west"))
    for label, name, statement, error in [
        ("dispute", "after_missing", dispute(2, None), order),
        ("dispute", "after_at_first_of_two", dispute(1, first), order),
        ("dispute", "index_beyond_two", dispute(3, first, block=1), order),
        ("verdict", "unsorted", verdict(FIRST, "west", "coast"), sites.format(2)),
        ("verdict", "site_twice", verdict(FIRST, "west", "west"), sites.format(2)),
        ("verdict", "too_many_of_seven", verdict(FIRST, "coast", "east", "west"), sites.format(3)),
    ]:
        endorsements = certificate(label, statement)["endorsements"]
        refuse(label, name, statement, error, endorsements, of=NAME)


def bad_sequences():
    """Certificates each of which holds, and which do not follow each other."""
    first, words = settled(FIRST, "west"), certificate("verdict", OF_WORDS)
    order = "dispute {} and its verdict do not follow the ones before"
    index = "expected index 1 without a verdict before it"
    another = digest(verdict(FIRST, "coast"))
    of_first = canonical.digest("dispute", FIRST)

    def second(after, *sites, index=2):
        return settled(dispute(index, after, block=1), *(sites or ["coast"]))

    cases = {
        # What `after` could be read to name.
        "second_without_after": (None, [first, second(None)], index),
        "after_the_dispute": (None, [first, second(of_first)], order.format(2)),
        "after_another_verdict": (None, [first, second(another)], order.format(2)),
        "after_the_check_words": (words, [first, second(digest(OF_WORDS))], order.format(2)),
        "first_after_the_check_words": (
            words, [settled(dispute(1, digest(OF_WORDS)), "west")], index,
        ),
        "check_words_are_the_first": (
            words, [settled(dispute(2, digest(OF_WORDS), block=0), "west")], order.format(1),
        ),
        # The order.
        "first_missing": (None, [settled(SECOND, "coast")], order.format(1)),
        "first_twice": (None, [first, second(None, index=1)], order.format(2)),
        "backwards": (None, [settled(SECOND, "coast"), first], order.format(1)),
        "named_again": (None, [first, settled(SECOND, "west")], order.format(2)),
    }  # fmt: skip
    for name, (check_words, disputes, error) in cases.items():
        bad(
            "proceedings",
            name,
            f"Certificates of the round of {NAME}.json that do not belong together.",
            error,
            of=NAME,
            proceedings={"check_words": check_words, "disputes": disputes},
        )


def no_disputes():
    """With m < 3c + l nobody is named, however many endorse it."""
    none = {"check_words": None, "disputes": []}
    name = "proceedings_of_none"
    write(
        name,
        "public",
        "proceedings",
        "A study in which a spoiled round names nobody (m = 5, c = 1, l = 3), and a closing of its round 0, "
        "of which nothing else is shown: nothing is certified after it.",
        study=signed(of_naming_nobody()),
        closing=closing(of_naming_nobody),
        proceedings=none,
        removed=[],
        trust=judgement.NOBODY,
        trust_digest=judgement.trust_digest(judgement.NOBODY),
        with_check_words=none,
        barred=[],
    )
    error = "this study has no disputes: naming a culprit needs m >= 3c + l key holders, and it has m = 5"
    fields = {"index": 1, "after": None, "block": 1, "coefficient": 7}
    dispute = of_round(of_naming_nobody, **fields)
    of_words = of_round(of_naming_nobody, dispute=None, sites=["west"])
    for label, statement in [("dispute", dispute), ("verdict", of_words)]:
        holders = SITES[: THRESHOLD["endorsements"]]
        endorsements = [disputed.endorse(label, statement, holder) for holder in holders]
        refuse(label, "names_nobody", statement, error, endorsements, of=name)


def add_all():
    no_disputes()
    two_disputes()
    bad_statements()
    bad_sequences()
