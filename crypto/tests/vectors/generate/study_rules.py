"""Which rules of `docs/wire.md` a study breaks. So that a bad study breaks the one that it is about,
and no other by the way."""

import math

import ed25519
import mlkem
import packing
from packing import MAX_BLOCKS, WIRE_BITS

NINETY_DAYS = 7_776_000
KEM_KEY_BYTES = 1216


def broken(study):
    """The names of the rules that the study breaks, in no order."""
    rules = {
        "a roster has 3 to 10,000 sites": roster_size,
        "a study's name has 1 to 200 bytes": name,
        "a signature key is a point, and not of small order": signature_keys,
        "a KEM key has its form": kem_keys,
        "a name and a key stand once": once,
        "there is one parameter set": lambda study: study["parameters"] == "std64",
        "m, c and l are within their limits": threshold_limits,
        "m >= 2c + l": enough_holders,
        "Q and t follow from m, c and l": derived,
        "c l^2 <= 512 in a study that names": functionals,
        "min_sites is within its limits": min_sites,
        "bits are within their limits": bits,
        "slot_bits follows from b and n": slot_bits,
        "a sum does not wrap": lambda study: packing.fits(study["packing"], len(study["roster"])),
        "noise stays below half the scale": noise,
        "a layout has 1 to 10,000 tensors, ascending by the bytes of their names": tensors,
        "a tensor has at most 8 sides of at least 1": shapes,
        "a clip bound is finite and above 0": clips,
        "a body has at most 16,384 blocks": blocks,
        "a longest round is between the shortest one and 90 days": round_seconds,
        "there is one sample count a site, and none is 0": counts,
        "max / min is at most 2^min(8, b - 4)": spread,
        "a plan has 1 to 64 settings, ascending by the bytes of their names": settings,
        "a policy's numbers are within their limits": policy_numbers,
        "delta is below 1/records of every site whose records are the unit and public": delta,
        "privacy of records needs a training plan": record_level,
        "privacy of sites needs sites that count alike": site_level,
        "a packing has room for noise where whole sites are protected, and only there": noise_room,
        "there is one sealed check key a site": check_keys,
    }
    return {rule for rule, holds in rules.items() if not holds(study)}


def roster_size(study):
    return 3 <= len(study["roster"]) <= 10_000


def name(study):
    return 1 <= len(study["name"].encode()) <= 200


def signature_keys(study):
    keys = [study["aggregator_key"], *(site["signature_key"] for site in study["roster"])]
    points = [ed25519.decompress(bytes.fromhex(key)) for key in keys]
    return all(p is not None and ed25519.multiply(8, p) != ed25519.IDENTITY for p in points)


def kem_keys(study):
    keys = [bytes.fromhex(site["kem_key"]) for site in study["roster"]]
    return all(len(key) == KEM_KEY_BYTES and mlkem.reduced(key[:-32]) for key in keys)


def once(study):
    roster, aggregator = study["roster"], study["aggregator_key"]
    sets = [{site[field] for site in roster} for field in ("id", "signature_key", "kem_key")]
    return all(len(values) == len(roster) for values in sets) and aggregator not in sets[1]


def mcl(study):
    return [study["threshold"][name] for name in ("holders", "collusion", "packing")]


def names(study):
    m, c, l = mcl(study)
    return m >= 3 * c + l


def threshold_limits(study):
    m, c, l = mcl(study)
    return 3 <= m <= min(64, len(study["roster"])) and c >= 1 and l >= 1


def enough_holders(study):
    m, c, l = mcl(study)
    return m >= 2 * c + l


def derived(study):
    m, c, l = mcl(study)
    stated = study["threshold"]
    return stated["endorsements"] == (m + c) // 2 + 1 and stated["opening"] == max(c + l, m - 2 * c)


def functionals(study):
    _, c, l = mcl(study)
    return not names(study) or c * l * l <= 512


def min_sites(study):
    (_, c, _), n = mcl(study), len(study["roster"])
    return max(3, c + 2) <= study["min_sites"] <= (n - 2 * c + 1 if names(study) else n)


def bits(study):
    stated = study["packing"]
    widths = 2 <= stated["value_bits"] <= 24 and stated["wire_bits"] in WIRE_BITS
    return widths and stated["slots"] > 0 and stated["noise_bound"] <= 1 << 30


def slot_bits(study):
    stated = study["packing"]
    value = (1 << stated["value_bits"]) + 2 * stated["noise_bound"]
    return stated["slot_bits"] == math.ceil(math.log2(len(study["roster"]) * value))


def noise(study):
    stated, (_, c, _) = study["packing"], mcl(study)
    return packing.quiet(len(study["roster"]), c, stated["wire_bits"], stated["delta_bits"])


def tensors(study):
    names = [tensor["name"].encode() for tensor in study["layout"]["tensors"]]
    ascending = all(a < b for a, b in zip(names, names[1:]))
    return 1 <= len(names) <= 10_000 and ascending and all(1 <= len(n) <= 256 for n in names)


def shapes(study):
    shapes = [tensor["shape"] for tensor in study["layout"]["tensors"]]
    return all(len(shape) <= 8 and all(side >= 1 for side in shape) for shape in shapes)


def clips(study):
    return all(0 < tensor["clip"] < math.inf for tensor in study["layout"]["tensors"])


def blocks(study):
    values = packing.values_of(study["layout"]["tensors"])
    return packing.blocks_of(study["packing"], values) <= MAX_BLOCKS


def round_seconds(study):
    return study["min_round_seconds"] <= study["longest_round_seconds"] <= NINETY_DAYS


def sample_counts(study):
    """In ascending order; as if all were alike where the study does not weight."""
    weights = study["weights"]
    return [1] * len(study["roster"]) if weights == "equal" else sorted(weights["sample_counts"])


def counts(study):
    stated = sample_counts(study)
    return len(stated) == len(study["roster"]) and min(stated) >= 1


def spread(study):
    stated, b = sample_counts(study), study["packing"]["value_bits"]
    # A count of 0 is another rule's.
    return max(stated) <= max(1, min(stated)) * 2 ** max(0, min(8, b - 4))


def settings(study):
    if study["training"] == "none":
        return True
    plan = study["training"]["plan"]
    names = [setting["name"].encode() for setting in plan]
    values = [setting["value"].encode() for setting in plan]
    lengths = all(1 <= len(n) <= 64 for n in names) and all(len(v) <= 1024 for v in values)
    return 1 <= len(plan) <= 64 and all(a < b for a, b in zip(names, names[1:])) and lengths


def policy(study, level):
    """The policy's fields if it is of this level."""
    return study["privacy"].get(level) if isinstance(study["privacy"], dict) else None


def policy_numbers(study):
    record, site = policy(study, "record_level"), policy(study, "site_level")
    stated = record or site
    if stated is None:
        return True
    positive = ["clip", "noise_multiplier", "epsilon", *(["normaliser"] if record else [])]
    holds = all(0 < stated[name] < math.inf for name in positive) and 0 < stated["delta"] < 1
    if record:
        unit = record["unit"]
        holds &= 0 < record["rate"] <= 1 and record["steps"] >= 1
        holds &= unit == "record" or unit["patient"]["records_per_step"] >= 1
    return holds


def delta(study):
    record = policy(study, "record_level")
    if record is None or record["unit"] != "record" or study["weights"] == "equal":
        return True
    return packing.float32(record["delta"]) * max(sample_counts(study)) < 1


def record_level(study):
    return policy(study, "record_level") is None or study["training"] != "none"


def site_level(study):
    return policy(study, "site_level") is None or study["weights"] == "equal"


def noise_room(study):
    return (policy(study, "site_level") is not None) == (study["packing"]["noise_bound"] > 0)


def check_keys(study):
    return len(study["check_key"]["sealed"]) == len(study["roster"])
