"""Closings against the judgement that follows from freeze, reviews and trust."""

import canonical
import judgement
import manifests
import story
from contribution import contribution
from output import bad, write
from parties import AGGREGATOR, digest_of, signing_seed

TOO_SMALL = "set has 2 contributions, expected none (an abort) or at least 3"
# What the holders say otherwise than they were dealt.
BARRED = {("north", "west"): "no_share", ("south", "west"): "no_share"}
ACCUSED = {("west", "centre"): "no_share", ("north", "west"): "no_share"}
ODD = judgement.masked([5, 7])
PAIRED = {("east", "west"): "no_share"}


def content(made, signed, trust=judgement.NOBODY):
    """What a closing is held against."""
    return {
        "signed": signed,
        "trust": trust,
        "freeze": made.freeze,
        "headers": made.headers(),
        "reviews": made.reviews(),
    }


def good():
    """Closings that leave a contribution out rightly, or need not."""
    undetermined = story.Excluding({("north", "west"): ODD}, story.REVIEWERS)
    cases = {
        "": (
            story.Excluding(BARRED), {"west": "barred"},
            "two holders have no share of west, and c = 1: west is barred.",
        ),
        "_accused": (
            story.Excluding(ACCUSED), {"west": "accused"},
            "west has no share of centre, which makes a pair of them, and north none of west: so west "
            "is left out and centre is not.",
        ),
        "_undetermined": (
            undetermined, {"west": "undetermined"},
            "four reviews are listed, of which the words for west lie on no polynomials of degree 2, and "
            "any three of them do: west is left out, and nobody is named.",
        ),
        "_paired": (
            story.Excluding(PAIRED), {},
            "east has no share of west, which makes a pair of them: nobody is left out.",
        ),
        "_damaged": (
            story.Excluding({}), {"west": "damaged"},
            "the aggregator lost west's bytes: its signed word is enough.",
        ),
    }  # fmt: skip
    for name, (made, reasons, about) in cases.items():
        judged = made.judge()
        by_judgement = {site: why for site, why in reasons.items() if why != "damaged"}
        assert judged["excluded"] == by_judgement and judged["set"], (name, judged)
        write(
            "closing_set" + name,
            "public",
            "closing_set",
            "A closing that is right: " + about,
            judgement={**judged, "trust_digest": judgement.trust_digest(judged["trust"])},
            **content(made, made.closing_of(reasons)),
        )
    made = story.Excluding(BARRED)
    abort = made.closing_statement(included=[], excluded=[], sum=None)
    write(
        "closing_set_abort",
        "public",
        "closing_set",
        "A closing that is right: an abort, which is always allowed; its reviews are judged all the "
        "same, and bar west.",
        judgement={
            **made.judge(),
            "trust_digest": judgement.trust_digest(made.judge()["trust"]),
        },
        **content(made, canonical.sign("closing", abort, AGGREGATOR)),
    )


def bad_sets():
    """Closings that nobody endorses for what reviews, freeze and trust say."""
    sound, barred, accused = (story.Excluding(said) for said in ({}, BARRED, ACCUSED))
    few = story.Excluding({}, story.REVIEWERS[:3])
    digests = sound.review_digests()
    says, stays = "the closing says of west: {}, but its reviews say: {}", "it belongs to the set"
    by_reviews, needed = "the key holders' reviews show", "a key holder that is needed says"
    not_list = "the closing's set and exclusions are not the contributions of its freeze: {} is missing"
    review = "the closing lists the review {}, which was not shown, stands twice or is out of window order"
    cases = {
        "left_out": (sound, sound.closing_of({"west": "accused"}), says.split(",")[1].format("", stays)),
        "barred_kept": (barred, barred.closing_of({}), says.format(stays, by_reviews)),
        "accused_kept": (accused, accused.closing_of({}), says.format(stays, needed)),
        "other_reason": (barred, barred.closing_of({"west": "accused"}), says.split(",")[1].format("", by_reviews)),
        "not_in_freeze": (
            sound,
            sound.closing_of({}, included=[sound.entry(s) for s in sound.sites[:3]]),
            not_list.format("west"),
        ),
        "other_header": (
            sound,
            sound.closing_of(
                {},
                included=[
                    {**sound.entry(s), "header": sound.entry("west")["header"]}
                    if s == "south"
                    else sound.entry(s)
                    for s in sound.sites
                ],
            ),
            not_list.format("south"),
        ),
        "other_freeze": (
            sound, sound.closing_of({}, freeze=digest_of("another freeze")),
            f"the closing is of freeze {digest_of('another freeze')}",
        ),
        "review_twice": (
            sound, sound.closing_of({}, reviews=[digests[0], *digests]), review.format(digests[0]),
        ),
        "reviews_out_of_order": (
            sound, sound.closing_of({}, reviews=[digests[1], digests[0], *digests[2:]]),
            review.format(digests[0]),
        ),
        "review_unknown": (
            sound, sound.closing_of({}, reviews=[*digests[:4], digest_of("a review")]),
            review.format(digest_of("a review")),
        ),
        "too_few_reviews": (few, few.closing_of({}), "the closing has a set, but its reviews allow none"),
        "abort_with_exclusions": (
            barred, barred.closing_of({"west": "barred"}, included=[], sum=None),
            not_list.format("west"),
        ),
    }  # fmt: skip
    about = "A closing of round 0 that nobody should endorse, and what it is held against."
    for name, (made, signed, error) in cases.items():
        bad("closing", name, about, error, **content(made, signed))
    good = content(sound, sound.closing_of({}))
    of_west, forged = good["headers"][3], story.review_signed_by(sound, "north", "west")
    unsigned = {**of_west, "signature": good["headers"][0]["signature"]}
    broken = story.Excluding(BARRED | {("north", "south"): "no_share", ("east", "south"): "no_share"})
    # With the pair from before, west stands in two: with c = 1 it is barred.
    again = story.Excluding({("south", "west"): "no_share"})
    before = {"barred": [], "pairs": [{"holder": "north", "dealer": "west"}]}
    assert not again.judge()["excluded"] and again.judge(before)["excluded"] == {"west": "barred"}
    shown = {
        "header_missing": (
            {**good, "headers": good["headers"][:3]},
            f"the freeze names header {sound.entry('west')['header']} of west",
        ),
        "header_unsigned": (
            {**good, "headers": [*good["headers"][:3], unsigned]},
            "the signature of this header does not verify under the key of west",
        ),
        "review_forged": (
            {**good, "reviews": [forged, *good["reviews"][1:]]},
            "the signature of this review does not verify under the key of north",
        ),
        "more_than_c": (
            content(broken, broken.closing_of({"south": "barred", "west": "barred"}, sum=None, included=[], excluded=[])),
            "sites or pairs of sites are shown to be corrupt",
        ),
        "trust": (
            content(again, again.closing_of({}), before), says.format(stays, by_reviews),
        ),
    }
    for name, (against, error) in shown.items():
        bad("closing", name, about, error, **against)


def bad_statements():
    """Closings whose statement alone shows what is wrong."""
    statement = story.first().closing_statement()
    entries = statement["included"]
    stranger = {"site": "nobody", "header": digest_of("header")}
    lost = {**entries[2], "reason": "damaged"}
    leaves = len(story.first().log_entries())
    opened_at = manifests.statement()["opened_at"]
    order, sum_iff = "out of order", "names a sum if and only if its set is not empty"
    cases = {
        "set_too_small": ({"included": entries[:2], "excluded": [lost]}, TOO_SMALL),
        "out_of_order": ({"included": entries[::-1]}, "entry north is " + order),
        "twice": ({"included": [*entries, entries[2]]}, f"entry south is {order}, stands twice"),
        "stranger": ({"included": [entries[0], stranger, entries[2]]}, f"entry nobody is {order}"),
        "sum_missing": ({"sum": None}, sum_iff),
        "abort_with_sum": ({"included": []}, sum_iff),
        "in_and_out": ({"excluded": [lost]}, f"entry south is {order}, stands twice"),
        "round": ({"round": 1}, "the closing is for round 1"),
        "manifest": (
            {"manifest": digest_of("another manifest")},
            f"the closing is for round 0 (manifest {digest_of('another manifest')})",
        ),
        "study": ({"study": digest_of("another study")}, f"of study {digest_of('another study')}"),
        "closed_before_opened": (
            {"closed_at": opened_at - 1},
            "closed at 2027-01-15 08:00:09 UTC, before its manifest opened it at "
            "2027-01-15 08:00:10 UTC",
        ),
        "log_too_small": (
            {"checkpoint": {**statement["checkpoint"], "size": 8}},
            # Manifest, freeze, three headers, four reviews; receipts are each site's own to look for.
            "the closing's checkpoint has 8 leaves, expected at least 9",
        ),
    }
    assert leaves >= 9
    first = {"trust": judgement.NOBODY, "freeze": story.first().freeze}
    first["headers"] = [contribution(site).signed_header for site in story.CONTRIBUTORS]
    first["reviews"] = story.first().reviews()
    about = "A closing of round 0 that nobody should endorse, and what it is held against."
    for name, (changes, error) in cases.items():
        signed = canonical.sign("closing", {**statement, **changes}, AGGREGATOR)
        bad("closing", name, about, error, signed=signed, **first)
    signed = canonical.sign("closing", statement, signing_seed("north"))
    error = "the signature of this closing does not verify under the key of the aggregator"
    bad("closing", "signer", "A closing that a site signed.", error, signed=signed, **first)


def bad_freezes():
    """Freezes of round 0 that no holder reviews."""
    statement = story.first().freeze_statement
    entries, opened_at = statement["contributions"], manifests.statement()["opened_at"]
    stranger = {"site": "nobody", "header": digest_of("header")}
    of_another = {**entries[0], "header": entries[1]["header"]}
    order = "the freeze's entry {} is out of order, stands twice or is not on the roster"
    barred = {"barred": ["south"], "pairs": []}
    paired = {"barred": [], "pairs": [{"holder": "north", "dealer": "south"}]}
    cases = {
        "out_of_order": (
            {"contributions": [entries[1], entries[0], entries[2]]}, order.format("centre"),
        ),
        "twice": ({"contributions": [*entries, entries[2]]}, order.format("south")),
        "stranger": ({"contributions": [entries[0], stranger, entries[2]]}, order.format("nobody")),
        "barred": ({}, "the freeze lists south, which is barred"),
        "round": ({"round": 1}, "the freeze is for round 1"),
        "manifest": (
            {"manifest": digest_of("another manifest")},
            f"the freeze is for round 0 (manifest {digest_of('another manifest')})",
        ),
        "study": ({"study": digest_of("another study")}, f"of study {digest_of('another study')}"),
        "before_opened": (
            {"frozen_at": opened_at - 1}, "the freeze says that collecting ended at 2027-01-15 08:00:09",
        ),
        "header_of_another": (
            {"contributions": [of_another, *entries[1:]]},
            f"the freeze names header {entries[1]['header']} of centre",
        ),
        "header_unknown": (
            {"contributions": [entries[0], {**entries[1], "site": "east"}]},
            f"the freeze names header {entries[1]['header']} of east",
        ),
    }  # fmt: skip
    headers = [contribution(site).signed_header for site in story.CONTRIBUTORS]
    about = "A freeze of round 0 that no holder reviews, with the trust before and the headers."
    for name, (changes, error) in cases.items():
        signed = canonical.sign("freeze", {**statement, **changes}, AGGREGATOR)
        # A pair's sites contribute as others do.
        trust = barred if name == "barred" else paired
        bad("freeze", name, about, error, signed=signed, trust=trust, headers=headers)
    signed = canonical.sign("freeze", statement, signing_seed("north"))
    error = "the signature of this freeze does not verify under the key of the aggregator"
    bad("freeze", "signer", about, error, signed=signed, trust=paired, headers=headers)


def add_all():
    bad_freezes()
    good()
    bad_sets()
    bad_statements()
