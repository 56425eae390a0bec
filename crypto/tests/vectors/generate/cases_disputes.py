"""Disputes and verdicts: their statements, what certifies them, and what is refused."""

import canonical
import disputed
import judgement
from cases_statements import statement_file
from output import bad, write
from parties import SITES, THRESHOLD, digest_of

OTHER = "is of another {}, by no key holder of the round, or stands twice"


def statements():
    dispute, verdict = disputed.dispute(), disputed.verdict()
    # As in a study with c = 2: a second dispute names the first one's verdict.
    second = disputed.dispute(index=2, after=disputed.verdict_digest(), block=0, coefficient=4095)
    of_words = disputed.verdict(dispute=None)
    disputes = [("the first", dispute, "north"), ("a second", second, "north")]
    verdicts = [
        ("one site", verdict, "north"),
        ("two sites", disputed.verdict(sites=["centre", "west"]), "north"),
        ("wrong check words", of_words, "north"),
    ]
    for label, cases in (("dispute", disputes), ("verdict", verdicts)):
        for_whom = [
            (f"{name}, by {holder}", {"statement": statement, "holder": holder}, holder)
            for name, statement, _ in cases
            for holder in ("north", "east")
        ]
        statement_file(
            f"{label}-endorsement",
            f"Two holders' endorsements of each of several {label}s.",
            for_whom,
        )
        write(
            f"{label}_digest",
            "public",
            f"{label}_digest",
            f"Canonical bytes and digests of {label}s: a {label} is certified by endorsements, and "
            "signed by nobody alone.",
            cases=[
                {
                    "name": name,
                    "statement": statement,
                    "canonical": canonical.statement_bytes(label, statement).hex(),
                    "digest": canonical.digest(label, statement),
                }
                for name, statement, _ in cases
            ],
        )
        write(
            f"{label}_certificate",
            "public",
            f"{label}_certificate",
            f"A {label} of the spoiled round that Q = 4 holders endorse.",
            closing=disputed.spoiled().closing,
            certificate=disputed.certificate(label, cases[0][1]),
        )


def quorums():
    """Endorsements that certify nothing; the same for disputes and verdicts."""
    for label, statement, other in (
        ("dispute", disputed.dispute(), disputed.dispute(coefficient=8)),
        ("verdict", disputed.verdict(), disputed.verdict(sites=["centre"])),
    ):
        good = [disputed.endorse(label, statement, holder) for holder in SITES]
        stranger = disputed.endorse(label, statement, "nobody", signer="west")
        forged = {**good[3], "signature": good[2]["signature"]}
        cases = {
            "too_few": (good[:3], f"the {label} of round 0 has 3 endorsements, needed 4"),
            "none": ([], f"the {label} of round 0 has 0 endorsements, needed 4"),
            "twice": ([*good[:3], good[2]], "south " + OTHER.format(label)),
            "two_statements": (
                [*good[:3], disputed.endorse(label, other, "west")], "west " + OTHER.format(label),
            ),
            "other_round": (
                [*good[:3], disputed.endorse(label, {**statement, "round": 1}, "west")],
                "west " + OTHER.format(label),
            ),
            "stranger": ([*good[:3], stranger], "nobody " + OTHER.format(label)),
            "signature": ([*good[:3], forged], "does not verify under the key of west"),
        }  # fmt: skip
        for name, (endorsements, error) in cases.items():
            refuse(label, name, statement, error, endorsements)


def refuse(label, name, statement, error, endorsements=None, of="proceedings"):
    """A certificate that is refused; by default every holder endorses the statement. `of` names the
    file with the closing that it is held against."""
    if endorsements is None:
        endorsements = [disputed.endorse(label, statement, holder) for holder in SITES]
    bad(
        f"{label}_certificate",
        name,
        f"Endorsements of a {label} of the round of {of}.json that certify nothing.",
        error,
        of=of,
        certificate={"statement": statement, "endorsements": endorsements},
    )


def bad_statements():
    """Disputes and verdicts that no holder of this study (c = 1) may endorse, even if all do."""
    verdict, c = disputed.verdict_digest(), THRESHOLD["collusion"]
    other = "the {} is of another study, round or closing"
    first = "expected index 1 without a verdict before it, or an index up to c = 1 after the verdict"
    disputes = {
        "index_0": ({"index": 0}, first),
        "index_beyond": ({"index": c + 1, "after": verdict}, first),
        "after_at_first": ({"after": verdict}, first),
        "block_beyond": ({"block": 2}, "block 2, coefficient 7 is no position of a body of 2 blocks"),
        "coefficient_beyond": (
            {"coefficient": 4096}, "block 1, coefficient 4096 is no position of a body of 2 blocks",
        ),
        "other_closing": ({"closing": digest_of("another closing")}, other.format("dispute")),
        "other_study": ({"study": digest_of("another study")}, other.format("dispute")),
        # Of round 1 the same five sites are the holders.
        "of_round_1": ({"round": 1}, other.format("dispute")),
    }  # fmt: skip
    for name, (changes, error) in disputes.items():
        refuse("dispute", name, disputed.dispute(**changes), error)
    sites = "the verdict names {} sites, expected 1 to c = 1 of the set, ascending by name"
    verdicts = {
        "no_site": ({"sites": []}, sites.format(0)),
        "too_many": ({"sites": ["centre", "west"]}, sites.format(2)),
        "not_in_set": ({"sites": ["east"]}, sites.format(1)),
        "other_closing": ({"closing": digest_of("another closing")}, other.format("verdict")),
        "other_study": ({"study": digest_of("another study")}, other.format("verdict")),
        "of_round_1": ({"round": 1}, other.format("verdict")),
    }
    for name, (changes, error) in verdicts.items():
        refuse("verdict", name, disputed.verdict(**changes), error)


def proceedings():
    """What is certified of the spoiled round after its closing."""
    settled = {
        "dispute": disputed.certificate("dispute", disputed.dispute()),
        "verdict": disputed.certificate("verdict", disputed.verdict()),
    }
    after = {"barred": [disputed.CULPRIT], "pairs": []}
    of_words = disputed.certificate("verdict", disputed.verdict(dispute=None, sites=["north"]))
    write(
        "proceedings",
        "public",
        "proceedings",
        "The certified dispute and verdict of the spoiled round, beside its closing; who is removed from "
        "the sum, and the digest of the trust after the round. And the same with a verdict on wrong check "
        "words, which removes nobody and bars one more.",
        study=None,
        closing=disputed.spoiled().closing,
        proceedings={"check_words": None, "disputes": [settled]},
        removed=[disputed.CULPRIT],
        trust=after,
        trust_digest=judgement.trust_digest(after),
        with_check_words={"check_words": of_words, "disputes": [settled]},
        barred=["north", disputed.CULPRIT],
    )
    elsewhere = disputed.verdict(dispute=digest_of("another dispute"))
    cases = {
        "other_dispute": (
            None, [{**settled, "verdict": disputed.certificate("verdict", elsewhere)}], 1,
        ),
        "verdict_without_dispute": (None, [{**settled, "verdict": of_words}], 1),
        "check_words_with_dispute": (settled["verdict"], [], 0),
    }  # fmt: skip
    for name, (check_words, disputes, index) in cases.items():
        bad(
            "proceedings",
            name,
            "Certificates of the spoiled round that do not belong together.",
            f"dispute {index} and its verdict do not follow the ones before",
            of="proceedings",
            proceedings={"check_words": check_words, "disputes": disputes},
        )


def openings():
    functional, keys = (
        [made(holder) for holder in disputed.OPENERS]
        for made in (disputed.functionals_opening, disputed.keys_opening)
    )
    cases = [(f"functionals by {made.holder}", made.statement, made.holder) for made in functional]
    cases += [(f"keys by {made.holder}", made.statement, made.holder) for made in keys]
    statement_file(
        "opening",
        "Statements of holders' openings of a dispute's functionals, and of the key that a verdict "
        "removes.",
        cases,
        name="opening_disputed",
    )
    made = functional[0]
    write(
        "frame_functionals",
        "public",
        "opening_frame",
        "A holder's opening of functionals as it posts it: l = 2 words for each of the four sites.",
        words=len(made.words),
        opening=made.signed,
        frame=made.frame.hex(),
    )
    write(
        "frame_keys",
        "public",
        "opening_frame",
        "A holder's opening of the key of one site as it posts it: 2048 words.",
        words=len(keys[0].words),
        opening=keys[0].signed,
        frame=keys[0].frame.hex(),
    )


def add_all():
    statements()
    quorums()
    bad_statements()
    proceedings()
    openings()
