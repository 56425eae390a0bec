"""Studies that no site signs, each for one rule; studies at the limits of the rules, which are sound;
and sound studies whose signatures do not hold."""

import math

import canonical
import parties
import sharing
import study_rules
from output import bad, write
from parties import SITES, signing_seed
from studies import bad_study, changed, of_many, replacement, signatures, signed

ROSTER = "a roster has 3 to 10,000 sites"
NAMES = "a layout has 1 to 10,000 tensors, ascending by the bytes of their names"
SHAPES = "a tensor has at most 8 sides of at least 1"
CLIPS = "a clip bound is finite and above 0"
LIMITS = "m, c and l are within their limits"
ENOUGH = "m >= 2c + l"
MIN_SITES = "min_sites is within its limits"
ONCE = "a name and a key stand once"
COUNTS = "there is one sample count a site, and none is 0"
PLAN = "a plan has 1 to 64 settings, ascending by the bytes of their names"
ROUND = "a longest round is between the shortest one and 90 days"


def threshold(m, c, l, **stated):
    return {"/threshold": {**sharing.thresholds(m, c, l), **stated}}


def rosters():
    study = parties.study()
    roster = study["roster"]
    bad_study("no_name", "a study's name has 1 to 200 bytes", {"/name": ""}, "name of 1 to 200 bytes, got 0")
    bad_study(
        "long_name", "a study's name has 1 to 200 bytes", {"/name": "ö" * 100 + "x"},
        "expected a study name of 1 to 200 bytes, got 201",
    )  # fmt: skip
    bad_study(
        "other_parameters", "there is one parameter set", {"/parameters": "std128"}, "unknown variant `std128`",
    )  # fmt: skip
    stands_twice = "site {} or one of its keys stands twice"
    for name, site, changes in [
        ("duplicate_site", "north", {"/roster/3/id": "north"}),
        ("duplicate_key", "west", {"/roster/3/signature_key": roster[0]["signature_key"]}),
        ("duplicate_kem_key", "west", {"/roster/3/kem_key": roster[0]["kem_key"]}),
        ("aggregator_key", "south", {"/aggregator_key": roster[2]["signature_key"]}),
    ]:
        bad_study(name, ONCE, changes, stands_twice.format(site))
    bad_study(
        "short_kem_key", "a KEM key has its form", {"/roster/1/kem_key": roster[1]["kem_key"][:-2]},
        "the KEM key of east has 1215 bytes, expected 1216",
    )  # fmt: skip
    bad_study(
        "unreduced_kem_key", "a KEM key has its form",
        {"/roster/1/kem_key": "ff" * 1184 + roster[1]["kem_key"][2368:]},
        "coefficient 0 of its ML-KEM-768 half is 4095, expected less than 3329",
    )  # fmt: skip
    bad_study(
        "weak_key", "a signature key is a point, and not of small order",
        {"/roster/2/signature_key": "01" + 31 * "00"}, "expected an Ed25519 verification key",
    )  # fmt: skip
    bad_study(
        "check_keys_missing", "there is one sealed check key a site",
        {"/check_key/sealed": study["check_key"]["sealed"][:4]},
        "expected one sealed check key for each of 5 sites, got 4",
    )  # fmt: skip
    two_sites()


def two_sites():
    """No thresholds are for two sites, so this breaks what needs three holders, too."""
    sites = SITES[:2]
    small = parties.study_of(sites, sharing.thresholds(2, 1, 1), 3)
    assert study_rules.broken(small) == {ROSTER, LIMITS, ENOUGH, MIN_SITES}
    bad(
        "study",
        "two_sites",
        "A signed study of two sites. No thresholds are for two sites, so that it breaks their rules, too.",
        "expected 3 to 10000 sites, got 2",
        rule=ROSTER,
        replace={"/study": small, "/signatures": signatures(small)},
    )


def thresholds():
    bad_study(
        "endorsements_not_derived", "Q and t follow from m, c and l", {"/threshold/endorsements": 3},
        "give Q = 4 and t = 3, the study states Q = 3 and t = 3",
    )  # fmt: skip
    bad_study(
        "opening_not_derived", "Q and t follow from m, c and l", {"/threshold/opening": 4},
        "give Q = 4 and t = 3, the study states Q = 4 and t = 4",
    )  # fmt: skip
    bad_study("no_collusion", LIMITS, threshold(5, 0, 2), "expected a collusion bound c of at least 1")
    bad_study("no_packing", LIMITS, threshold(5, 1, 0), "at least one key word a sharing polynomial, got l = 0")
    bad_study(
        "holders_beyond_roster", LIMITS, threshold(6, 1, 2),
        "expected 3 to 64 key holders and no more than the 5 sites, got m = 6",
    )  # fmt: skip
    bad_study(
        "too_few_holders", ENOUGH, {**threshold(5, 3, 3), "/min_sites": 5, **wider(3)},
        "need 6 holders at least",
    )  # fmt: skip
    bad_study(
        "no_review", ENOUGH, {**threshold(5, 2, 2), "/min_sites": 4, **wider(2)},
        "c = 2 and l = 2 need m >= 2c + l = 6 key holders",
    )  # fmt: skip
    between = "min_sites is {}, expected {} to {}"
    bad_study("min_sites_too_low", MIN_SITES, {"/min_sites": 2}, between.format(2, 3, 4))
    bad_study("min_sites_lets_dealers_stop_it", MIN_SITES, {"/min_sites": 5}, between.format(5, 3, 4))
    # m < 3c + l: a spoiled round names nobody, and all may be asked for, but not more.
    bad_study(
        "min_sites_beyond_roster", MIN_SITES, {**threshold(5, 1, 3), "/min_sites": 6}, between.format(6, 3, 5)
    )
    rule = "c l^2 <= 512 in a study that names"
    many = of_many(23, 2, 17, 4)
    assert study_rules.broken(many) == {rule}
    bad(
        "study",
        "functionals",
        "A study of 23 sites that all of them signed: disputes of m = 23, c = 2, l = 17 give too much.",
        "c l^2 is 578, expected at most 512",
        rule=rule,
        replace={"/study": many, "/signatures": signatures(many)},
    )


def wider(collusion):
    """The packing for five sites of which so many may choose their noise."""
    return {"/packing": parties.packing.derive(16, 0, 5, collusion)}


def numbers():
    bad_study(
        "overflow", "a sum does not wrap", {"/packing/slots": 3}, "overflow the modulus when 5 sites add up"
    )
    bad_study(
        "too_few_wire_bits", "noise stays below half the scale", {"/packing/wire_bits": 40}, "use more wire bits"
    )
    bad_study(
        "other_slot_bits", "slot_bits follows from b and n", {"/packing/slot_bits": 18},
        "5 sites at 16 bits need slots of 19 bits, at least one of them; the study states 2 of 18",
    )  # fmt: skip
    bad_study(
        "model_too_large", "a body has at most 16,384 blocks", {"/layout/tensors/2/shape": [134217724]},
        "134217728 values need 16385 blocks, a key encrypts at most 16384",
    )  # fmt: skip
    between = "longest_round_seconds is {}, expected 60 (min_round_seconds) to 7776000 (90 days)"
    for name, seconds in [("short", 59), ("long", 7_776_001)]:
        changes = {"/longest_round_seconds": seconds}
        bad_study(f"longest_round_too_{name}", ROUND, changes, between.format(seconds))


def layouts():
    order = "tensor names must be strictly ascending and of 1 to 256 bytes; {} is not"
    for name, tensor, text in [
        ("tensors_out_of_order", 1, "a.a"),
        ("tensor_twice", 1, "a.bias"),
        ("tensor_without_name", 0, ""),
        ("tensor_name_too_long", 2, "d" * 257),
    ]:
        shown = '"' + text[:256] + '"'
        bad_study(name, NAMES, {f"/layout/tensors/{tensor}/name": text}, order.format(shown))
    # Ascending in UTF-16, not as bytes.
    names = {"/layout/tensors/1/name": "b\U00010000", "/layout/tensors/2/name": "b\uff5e"}
    bad_study("tensors_out_of_order_as_bytes", NAMES, names, order.format('"b\uff5e"'))
    bad_study("no_tensor", NAMES, {"/layout/tensors": []}, "expected 1 to 10000 tensors in the layout, got 0")
    for name, shape in [("side_of_0", [3, 0]), ("nine_sides", [1] * 9)]:
        error = f'tensor "a.bias" has shape {shape}; expected at most 8 sides, all positive'
        bad_study(name, SHAPES, {"/layout/tensors/0/shape": shape}, error)
    pointer = "/layout/tensors/0/clip"
    for name, clip, shown in [("zero", 0.0, "0"), ("negative", -0.25, "-0.25"), ("infinite", 1e39, "inf")]:
        encoded = {pointer: math.inf} if clip > 1e38 else None
        bad_study("clip_" + name, CLIPS, {pointer: clip}, f'tensor "a.bias" has clip bound {shown};', encoded)


def weightings():
    for name, rule, counts, error in [
        (
            "weights_missing", COUNTS, [1, 2, 3, 4],
            "expected one sample count for each of the 5 sites, in roster order, got 4",
        ),
        (
            "weight_zero", COUNTS, [2, 3, 0, 4, 3],
            "the site at place 2 of the roster (from 0) has a sample count of 0",
        ),
        (
            "weights_too_far_apart", "max / min is at most 2^min(8, b - 4)", [1, 200, 257, 200, 200],
            "the largest sample count, 257, is over 256 times the smallest, 1",
        ),
    ]:  # fmt: skip
        bad_study(name, rule, {"/weights": {"sample_counts": counts}}, error)


def plans():
    def setting(name, value=""):
        return {"name": name, "value": value}

    for name, plan, error in [
        ("empty", [], "expected 1 to 64 settings in the training plan, got 0"),
        (
            "too_long", [setting(f"s{number:02}") for number in range(65)],
            "expected 1 to 64 settings in the training plan, got 65",
        ),
        (
            "out_of_order", [setting("b"), setting("a")],
            'the training plan\'s names must be strictly ascending; "a" stands after "b"',
        ),
        (
            "twice", [setting("a"), setting("a", "1")],
            'the training plan\'s names must be strictly ascending; "a" stands after "a"',
        ),
        ("no_name", [setting("")], "expected names of 1 to 64 bytes in the training plan"),
        ("name", [setting(65 * "n")], "expected names of 1 to 64 bytes in the training plan"),
        (
            "value", [setting("classes", 1025 * "v")],
            'the training plan\'s "classes" takes 1025 bytes, expected at most 1024',
        ),
    ]:  # fmt: skip
        bad_study("training_plan_" + name, PLAN, {"/training": {"plan": plan}}, error)


def at_limits():
    """Sound studies."""
    plan = [{"name": f"{number:064}", "value": ""} for number in range(64)]
    plan[0]["value"] = "v" * 1024
    deep = {"name": "n" * 256, "shape": [2, 1, 1, 1, 1, 1, 1, 83], "clip": 0.25}
    # In UTF-16 the second name would be before the first.
    layout = [{**deep, "name": name} for name in ("b\uff5e", "b\U00010000", "n" * 256)]
    cases = {
        "a name of 200 bytes": {"/name": "ö" * 100},
        "min_sites at its ceiling": {"/min_sites": 4},
        "min_sites of all, where a spoiled round names nobody": {**threshold(5, 1, 3), "/min_sites": 5},
        "the longest round is the shortest": {"/longest_round_seconds": 60},
        "a round of 90 days": {"/longest_round_seconds": 7_776_000},
        "16,384 blocks": {"/layout/tensors/2/shape": [134217723]},
        "three names, ascending as bytes, and eight sides": {"/layout/tensors": layout},
        "counts 256 times apart": {"/weights": {"sample_counts": [256, 1, 255, 255, 255]}},
        "64 settings": {"/training": {"plan": plan}},
    }
    write_edges("study_edges", parties.study(), cases)
    # 22 holders would name up to l = 16; with l = 17 they name nobody, and the bound is none.
    cases = {
        "c l^2 = 512": {},
        "c l^2 = 578, where a spoiled round names nobody": {**threshold(22, 2, 17), "/min_sites": 23},
    }
    write_edges("study_edges_of_23_sites", of_many(22, 2, 16, 20), cases)


def write_edges(name, study, cases):
    made = {case: replacement(changes, study) for case, changes in cases.items()}
    for case, (edge, _) in made.items():
        assert not study_rules.broken(edge), (case, study_rules.broken(edge))
    write(
        name,
        "public",
        "study_edges",
        "A signed study, and with the values at these JSON pointers replaced: each stands at a limit, and "
        "is accepted. Each is signed by its roster, in this or that order.",
        signed=signed(study),
        cases=[
            {"name": case, "replace": {**replace, "/signatures": replace["/signatures"][turn:] + replace["/signatures"][:turn]}}
            for turn, (case, (_, replace)) in enumerate(made.items())
        ],
    )


def bad_signatures():
    study, good = parties.study(), signatures(parties.study())
    digest = parties.study_digest()
    later = changed(study, {"/review_seconds": 31})
    assert not study_rules.broken(later)
    itself = canonical.sign("study", study, signing_seed("north"))["signature"]
    of_nobody = canonical.sign("study-signature", {"study": digest, "site": "nobody"}, signing_seed("west"))
    of_other = {"study": canonical.digest("study", later), "site": "north"}
    of_other = canonical.sign("study-signature", of_other, signing_seed("north"))
    invalid = "the signature of this study-signature does not verify under the key of north"
    signer = "carries a signature by {}, who is not on the roster or signed already"

    def first(signature):
        return [{"site": "north", "signature": signature}, *good[1:]]

    nobody = {"site": "nobody", "signature": of_nobody["signature"]}
    about = "The signed study of study.json, which is sound, with the values at these pointers replaced."
    for name, replace, error in [
        ("changed_after_signing", {"/study/review_seconds": 31}, invalid),
        ("of_another_study", {"/signatures": first(of_other["signature"])}, invalid),
        ("swapped", {"/signatures": first(good[1]["signature"])}, invalid),
        ("of_the_study_itself", {"/signatures": first(itself)}, invalid),
        ("missing", {"/signatures": good[:2] + good[3:]}, "the study lacks the signatures of south;"),
        ("twice", {"/signatures": good + good[:1]}, signer.format("north")),
        ("of_a_stranger", {"/signatures": [*good, nobody]}, signer.format("nobody")),
    ]:
        bad("study_signatures", name, about, error, replace=replace)


def versions():
    about = "The signed study of study.json with another number of the protocol."
    error = "this is of protocol version {}, and this program speaks version 2 only"
    for other in (1, 3):
        bad(
            "study",
            f"protocol_version_{other}",
            about,
            error.format(other),
            rule="the protocol's version is 2",
            replace={"/protocol": other},
        )


def add_all():
    rosters()
    thresholds()
    numbers()
    layouts()
    weightings()
    plans()
    versions()
    at_limits()
    bad_signatures()
