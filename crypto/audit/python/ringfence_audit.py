#!/usr/bin/env python3
"""A second verifier of a Ringfence export, written from docs/audit.md, wire.md, protocol.md, disputes.md
and privacy.md alone: whoever does not trust the command can read this one, page by page.

    python3 ringfence_audit.py DIR [--json] [--without-bodies]

It makes every check of the command under the same name, and ends as it does: 0, 1, 2 or 3. It needs
Python 3.9 and, of PyPI, `cryptography` (Ed25519) and `blake3` (plain Python hashes bodies a thousand
times slower). Of a study it does not check the packing, the tensors, the KEM keys, the policy's and the
training plan's numbers: the roster signed them, and no evidence rests on them.
"""
import base64, functools, hashlib, json, math, operator, os, re, stat, struct, sys
from array import array
from collections import Counter
from types import SimpleNamespace
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MIB, U64 = 1 << 20, (1 << 64) - 1
Q = (1 << 64) - (1 << 32) + 1  # the cipher's modulus
P25519 = (1 << 255) - 19
GAPS = [5, 9, 41, 31, 5, 25, 45, 7, 87, 21, 11, 57, 17, 55, 21, 115, 59, 81, 27, 129, 47, 111, 33, 55, 5, 13,
        27, 55, 93, 1, 57, 25, 59]  # 2^w less the largest prime below it, from w = 32 on


class Fault(Exception):
    """What was shown does not hold; with the check that says so, where it is not the one at work."""


def need(condition, words, check=None):
    if not condition:
        raise Fault(words, check)


# Types of values, as wire.md has them: {records}, [lists], ?options, <choices by number>, other types' names.
TYPES = """
member {id site signature_key key kem_key bytes}
entry {site site header digest}
spent {rounds u32 epsilon f32 delta f32}
trust {barred [site] pairs [{holder site dealer site}]}
point {size u64 root digest}
records {unit <0 record| 1 patient {records_per_step u16}> clip f32 noise_multiplier f32 rate f32 steps u32
  normaliser f32 delta f32 epsilon f32}
sites {clip f32 noise_multiplier f32 delta f32 epsilon f32}
study {name text created_at u64 roster [member] aggregator_key key parameters std64
  threshold {holders u16 collusion u16 packing u16 opening u16 endorsements u16} min_sites u16
  packing {value_bits u8 noise_bound u32 slot_bits u8 slots u8 delta_bits u8 wire_bits u8}
  layout {tensors [{name text shape [u32] clip f32}]} initial_model digest
  weights <0 equal| 1 sample_counts [u32]>
  privacy <0 none| 1 record_level records| 3 sets_apart| 4 site_level sites>
  training <0 none| 1 plan [{name text value text}]> min_round_seconds u32 longest_round_seconds u32
  review_seconds u32 initiator_timeout_seconds u32 check_key {commitment digest sealed [bytes]}}
change <0 enrol {entry member}| 1 rotate {entry member}| 2 revoke {site site}| 3 leave {site site}>
dispute {study digest round u32 closing digest index u16 after ?digest block u64 coefficient u16}
verdict {study digest round u32 closing digest dispute ?digest sites [site]}
epoch {study digest epoch u32 before digest after digest last_round u32 changes [change]}
round-keys {study digest site site first_round u32 keys [bytes]}
manifest {study digest round u32 initiator site opened_at u64 deadline u64 holders [site] holder_keys [?digest]
  base_model digest previous ?digest trust digest}
header {study digest round u32 manifest digest site site body_bytes u64 body digest check bytes
  envelopes [digest] spent ?spent}
receipt {manifest digest site site header digest received_at u64}
freeze {study digest round u32 manifest digest frozen_at u64 contributions [entry]}
review {manifest digest freeze digest holder site answers [<0 no_share| 1 masked words>]}
closing {study digest round u32 manifest digest freeze digest closed_at u64 included [entry]
  excluded [{site site header digest reason <0 barred| 1 undetermined| 2 accused| 3 damaged| 4 group_incomplete>}]
  reviews [digest] sum ?digest checkpoint point}
endorsement {study digest round u32 closing digest holder site}
dispute-endorsement {statement dispute holder site}
verdict-endorsement {statement verdict holder site}
opening {manifest digest closing digest holder site
  subject <0 sum| 1 functionals {dispute digest}| 2 keys {verdict digest}>
  content digest recipients digest plaintext digest}
acknowledgement {manifest digest closing digest site site outcome <0 applied {model digest}| 1 failed>}
signatures [{site site signature signature}]
study-file {protocol 2 study study signatures signatures}
epoch-file {protocol 2 epoch epoch after study signatures signatures}
proof {protocol 2 round u32 epochs [{leaf u64 statement epoch-file}]
  before ?{closing {leaf u64 statement +closing} trust trust} round_keys [{leaf u64 statement +round-keys}]
  manifest {leaf u64 statement +manifest} events [{leaf u64 statement <0 announced +header| 0 received +receipt|
    0 frozen +freeze| 0 reviewed +review| 0 closed +closing| 0 endorsed +endorsement|
    0 disputed +dispute-endorsement| 0 judged +verdict-endorsement| 0 opened +opening|
    0 acknowledged +acknowledgement>}]
  log {checkpoint note leaves {size u64 hashes [digest]} closing ?{from u64 to u64 hashes [digest]}}}
"""
KINDS = {  # of a round's events: the label of the statement, and the check that it belongs to
    "announced": ("header", "contributions"), "received": ("receipt", "receipts"),
    "frozen": ("freeze", "freeze"), "reviewed": ("review", "reviews"), "closed": ("closing", "closing"),
    "endorsed": ("endorsement", "certificate"), "disputed": ("dispute-endorsement", "disputes"),
    "judged": ("verdict-endorsement", "disputes"), "opened": ("opening", "openings"),
    "acknowledged": ("acknowledgement", "acknowledgements")}
IN_LOG = ["epoch", "round-keys", "manifest"] + [label for label, _ in KINDS.values()]
HEX = {"digest": 64, "key": 64, "signature": 128, "words": 32}


class Choice(dict):
    """By name: the number and the type, or none."""


class Float(str):
    """An f32 in its one spelling behind a NUL, by which json.dumps keeps it apart."""


def type_of(words):
    """The type that begins the list of words, which it takes away."""
    word = words.pop(0)
    if word == "{":
        fields = {}
        while words[0] != "}":
            name = words.pop(0)
            fields[name] = type_of(words)
        words.pop(0)
        return fields
    if word == "<":
        variants, end = Choice(), "|"
        while end == "|":
            number, name = int(words.pop(0)), words.pop(0)
            variants[name] = number, type_of(words) if words[0] not in "|>" else None
            end = words.pop(0)
        return variants
    if word == "[":
        inner = [type_of(words)]
        words.pop(0)
        return inner
    if word == "?":
        return (type_of(words),)
    return {"statement": TYPE[words.pop(0)], "signature": "signature"} if word == "+" else TYPE.get(word, word)


TYPE = {}
for words in re.split(r"\n(?=\S)", TYPES.strip()):
    words = re.findall(r"[\w-]+|\S", words)
    TYPE[words[0]] = type_of(words[1:])


def read(of, value):
    """A JSON value of a type, its fields in their order."""
    if isinstance(of, Choice):
        name, inner = (*value.items(),)[0] if type(value) is dict and len(value) == 1 else (value, None)
        known = type(name) is str and name in of and (of[name][1] is None) == (type(value) is str)
        need(known, f"expected one of {list(of)}")
        return name if name is value else {name: read(of[name][1], inner)}
    if type(of) is dict:
        need(type(value) is dict and value.keys() <= of.keys(), f"expected the fields {list(of)}")
        lacks = [name for name, inner in of.items() if name not in value and type(inner) is not tuple]
        need(not lacks, f"the fields {lacks} are missing")
        return {name: read(inner, value.get(name)) for name, inner in of.items()}
    if type(of) is list:
        need(type(value) is list, "expected a list")
        return [read(of[0], item) for item in value]
    if type(of) is tuple:
        return None if value is None else read(of[0], value)
    if of == "f32":
        return read_f32(value)
    if of[0] == "u":
        need(type(value) is int and 0 <= value < 1 << int(of[1:]), f"expected a {of}")
    elif of == "2":
        need(type(value) is int and value == 2, "expected protocol 2")
    else:
        need(type(value) is str, f"expected a {of} as text")
        need(of not in HEX or len(value) == HEX[of], f"expected a {of} of {HEX.get(of)} hexadecimal digits")
        need(of not in [*HEX, "bytes"] or re.fullmatch("([0-9a-f]{2})*", value), f"expected a {of} in hex")
        need(of != "site" or re.fullmatch("[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", value), "no site's name")
        need(of != "std64" or value == of, "other parameters than std64")
        need(of != "words" or all(w < Q for w in struct.unpack("<QQ", bytes.fromhex(value))), "a word beyond q")
        need(of != "key" or is_key(bytes.fromhex(value)), "no verification key")
        if of == "note":
            read_note(value)
    return value


def read_f32(value):
    need(type(value) in (int, Float), "expected a number")
    try:
        bits = struct.pack("<f", float(value[1:] if type(value) is Float else value))
    except OverflowError:
        raise Fault("expected an f32, got a larger number", None) from None
    x = abs(struct.unpack("<f", bits)[0])
    shortest = next(s for s in (f"{x:.{p}e}" for p in range(17)) if abs(as_f32(s)) == x)
    digits, exponent = shortest.replace(".", "").split("e")[0].rstrip("0") or "0", int(shortest.split("e")[1])
    if not -6 <= exponent <= 12:
        digits = digits[0] + ("." + digits[1:] if digits[1:] else "") + f"e{'+' * (exponent > 0)}{exponent}"
    elif exponent < 0:
        digits = "0." + "0" * (-exponent - 1) + digits
    else:
        digits = digits.ljust(exponent + 2, "0")
        digits = digits[:exponent + 1] + "." + digits[exponent + 1:]
    return Float("\0" + "-" * (bits[3] >> 7) + digits)


def as_f32(number):
    return struct.unpack("<f", struct.pack("<f", float(number)))[0]


def num(value):
    return as_f32(value[1:])


def counted(data):
    return struct.pack("<I", len(data)) + data


def encode(of, value):
    """The canonical bytes of a value that was read."""
    if isinstance(of, Choice):
        name, inner = (value, None) if type(value) is str else (*value.items(),)[0]
        return bytes([of[name][0]]) + (encode(of[name][1], inner) if of[name][1] else b"")
    if type(of) is dict:
        return b"".join(encode(inner, value[name]) for name, inner in of.items())
    if type(of) is list:
        return struct.pack("<I", len(value)) + b"".join(encode(of[0], item) for item in value)
    if type(of) is tuple:
        return b"\0" if value is None else b"\1" + encode(of[0], value)
    if of == "f32":
        return struct.pack("<f", num(value))
    if of[0] == "u":
        return value.to_bytes(int(of[1:]) // 8, "little")
    if of in HEX:
        return bytes.fromhex(value)
    return counted(bytes.fromhex(value) if of == "bytes" else value.encode())


def parse(data, of, one_spelling=False):
    def fields(pairs):
        need(len(dict(pairs)) == len(pairs), "a field stands twice")
        return dict(pairs)
    try:
        numbers = lambda number: Float("\0" + number)
        value = read(of, json.loads(data.decode(), object_pairs_hook=fields, parse_float=numbers))
        spelt = json.dumps(value, ensure_ascii=False, separators=(",", ":")) if one_spelling else ""
        spelt = re.sub(r'"\\u0000([^"]*)"', r"\1", spelt).encode()
    except (ValueError, RecursionError) as error:
        raise Fault(f"it is none: {error}", None) from None
    need(not one_spelling or spelt == data, "it is not in its one spelling")
    return value


def canonical(label, fields):
    return counted(b"ringfence/v2/" + label.encode()) + fields


def digest(label, statement):
    return blake3(canonical(label, encode(TYPE[label], statement))).hexdigest()


# Ed25519 (RFC 8032, without cofactor; OpenSSL refuses an S from the group's order on), strictly.
SMALL = {0, 1, P25519 - 1, 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd83d3d706a17c7,
         0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826}
KEYS = {}


def small_order(point):
    return (int.from_bytes(point, "little") & ~(1 << 255)) % P25519 in SMALL


def is_key(point):
    y2 = pow(int.from_bytes(point, "little") & ~(1 << 255), 2, P25519)
    x2 = (y2 - 1) * pow(1 - 121665 * pow(121666, -1, P25519) * y2, -1, P25519)
    return pow(x2, (P25519 - 1) // 2, P25519) in (0, 1) and not small_order(point)


def verifies(key, message, signature):
    signature, key = bytes.fromhex(signature), bytes.fromhex(key)
    try:
        KEYS.setdefault(key, Ed25519PublicKey.from_public_bytes(key)).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return not small_order(signature[:32]) and not small_order(key)


def check_signature(label, said, key):
    message = canonical(label, encode(TYPE[label], said["statement"]))
    need(verifies(key, message, said["signature"]), f"the signature of this {label} does not hold")


# The log: a Merkle tree (RFC 6962), C2SP's notes and checkpoints.
EMPTY = hashlib.sha256().digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def leaf_hash(label, of):
    return hashlib.sha256(b"\0" + canonical("log-entry", counted(label.encode()) + bytes.fromhex(of))).digest()


def roots(leaves, sizes):
    """The roots of the log when it had these sizes."""
    peaks, found = [], {}
    for size, leaf in enumerate([*leaves, b""]):
        if size in sizes:
            root = peaks[-1] if peaks else EMPTY
            for peak in peaks[-2::-1]:
                root = node(peak, root)
            found[size] = root
        while size & 1:
            leaf, size = node(peaks.pop(), leaf), size >> 1
        peaks.append(leaf)
    return found


def check_leaves(proof, leaves, size, root):
    """One proof for several leaves: the tree is walked from its root, left before right."""
    places, hashes = [place for place, _ in leaves], iter(map(bytes.fromhex, proof["hashes"]))
    need(proof["size"] == size and all(a < b for a, b in zip(places, places[1:] + [size])),
         "the statements are not in the order of the log, or not in it")

    def walk(start, end, leaves):
        if not leaves:
            found = next(hashes, None)
            need(found, "the proof has too few hashes")
            return found
        if end - start == 1:
            return leaves[0][1]
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        low, high = 0, len(leaves)
        while low < high:
            at = (low + high) // 2
            low, high = (at + 1, high) if leaves[at][0] < middle else (low, at)
        left = walk(start, middle, leaves[:low])
        return node(left, walk(middle, end, leaves[low:]))
    got = walk(0, size, leaves) if size else EMPTY
    need(next(hashes, None) is None and got == root, "the proof leads to another root than the checkpoint's")


def check_consistency(proof, old, new):
    """That the log of `new` begins with that of `old`: RFC 9162, 2.1.4.2."""
    (size, root), (to, new_root), hashes = old, new, [bytes.fromhex(h) for h in proof["hashes"]]
    need((proof["from"], proof["to"]) == (size, to) and size <= to, "a proof between other logs")
    if size in (0, to):
        return need(not hashes and root == (new_root if size else EMPTY), "another root, or left-over hashes")
    hashes = [root] * (size & (size - 1) == 0) + hashes
    n, last = size - 1, to - 1
    while n & 1:
        n, last = n >> 1, last >> 1
    a = b = hashes[0] if hashes else EMPTY
    for other in hashes[1:]:
        need(last, "the proof has too many hashes")
        if n & 1 or n == last:
            a, b = node(other, a), node(other, b)
            while n and not n & 1:
                n, last = n >> 1, last >> 1
        else:
            b = node(b, other)
        n, last = n >> 1, last >> 1
    need(last == 0 and (a, b) == (root, new_root), "the proof leads to other roots: the log did not only grow")


def read_note(note):
    """The text of a signed note, and (name, key ID, signature) of each line."""
    need(len(note.encode()) <= MIB // 4 and not re.search("[\0-\x09\x0b-\x1f]", note), "no signed note")
    end = note.rfind("\n\n")
    need(end >= 0 and note[end + 2:].endswith("\n"), "no text, blank line and lines of signatures")
    lines, signatures = note[end + 2:-1].split("\n"), []
    need(len(lines) <= 100, "too many signatures on a note")
    for line in lines:
        parts = re.fullmatch(r"\u2014 ([^\s+]+) (\S+)", line)
        raw = parts and unbase64(parts[2])
        need(raw and len(raw) > 4 and len(parts[1].encode()) <= 255, "no line of a signature")
        signatures.append((parts[1], raw[:4], raw[4:]))
    return note[:end + 1], signatures


def unbase64(text):
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if base64.b64encode(raw).decode() == text else None


def checkpoint_of(note, origin, key):
    content, signatures = read_note(note)
    key_id = hashlib.sha256(origin.encode() + b"\n\1" + bytes.fromhex(key)).digest()[:4]
    by_key = [signature for *whose, signature in signatures if whose == [origin, key_id]]
    need(len(by_key) == 1 and len(by_key[0]) == 64 and verifies(key, content.encode(), by_key[0].hex()),
         "the checkpoint is not signed by the aggregator")
    lines = content[:-1].split("\n")
    need(3 <= len(lines) <= 19 and lines[0] == origin, "it is no checkpoint of this study's log")
    need(all(0 < len(line.encode()) <= 255 for line in lines), "a line of a checkpoint that cannot be")
    size, root = re.fullmatch("0|[1-9][0-9]{0,19}", lines[1]), unbase64(lines[2])
    need(size and int(lines[1]) <= U64 and root and len(root) == 32, "no size and root of a log")
    need(int(lines[1]) or root == EMPTY, "another root than the empty log's")
    return int(lines[1]), root


# A study, its rosters, its epochs.
def cosigned(note, origin, keys):
    """The sites whose cosignatures a note has (C2SP tlog-cosignature); other names are passed over."""
    (content, signatures), sites = read_note(note), []
    for name in {name for name, _, _ in signatures if name.startswith(origin + "/")}:
        site = name[len(origin) + 1:]
        ids = {key: hashlib.sha256(name.encode() + b"\n\4" + bytes.fromhex(key)).digest()[:4] for key in keys.get(site, ())}
        by = {key: [raw for *whose, raw in signatures if whose == [name, of]] for key, of in ids.items()}
        holds = lambda key, raw: len(raw) == 72 and verifies(
            key, b"cosignature/v1\ntime %d\n%b" % (int.from_bytes(raw[:8], "big"), content.encode()), raw[8:].hex())
        need(not ids or any(len(raw) == 1 and holds(key, raw[0]) for key, raw in by.items()),
             f"a cosignature in the name of {site} that does not hold")
        sites += [site] if ids else []
    return sites


def keys_of(study):
    return {site["id"]: site["signature_key"] for site in study["roster"]}


def thresholds(m, c, l, n):
    th = dict(holders=m, collusion=c, packing=l, opening=max(c + l, m - 2 * c), endorsements=(m + c) // 2 + 1)
    need(3 <= m <= min(64, n) and c and l and max(th["opening"], th["endorsements"], 2 * c + l) <= m,
         "thresholds that cannot be")
    return th


def names(th):
    return th["holders"] >= 3 * th["collusion"] + th["packing"]


def min_sites_range(th, n):
    return max(3, th["collusion"] + 2), n + 1 - 2 * th["collusion"] if names(th) else n


def blocks(study):
    values = sum(math.prod(tensor["shape"]) for tensor in study["layout"]["tensors"])
    return max(2, -(-(values + 1) // (study["packing"]["slots"] * 4096)))


def groups(study):
    """The sites that count together or not at all: wire.md, Groups."""
    if study["privacy"] != "sets_apart":
        return []
    order, size = [*keys_of(study)], max(3, study["threshold"]["collusion"] + 2)
    first = min(len(order), size + len(order) % size)
    return [order[:first]] + [order[at:at + size] for at in range(first, len(order), size)]


def torn(study, trust, sites):
    """Those of these sites whose group is not whole without others."""
    broken = [group for group in groups(study) if set(group) - sites - set(trust["barred"])]
    return sites & {site for group in broken for site in group}


def policy_of(study):
    return None if type(study["privacy"]) is str else (*study["privacy"].values(),)[0]


def check_study(study):
    n, th, packing = len(study["roster"]), study["threshold"], study["packing"]
    need(3 <= n <= 10_000, "3 to 10,000 sites")
    for field in ("id", "signature_key", "kem_key"):
        need(len({site[field] for site in study["roster"]}) == n, f"a {field} stands twice in the roster")
    need(study["aggregator_key"] not in keys_of(study).values(), "a site has the aggregator's key")
    need(th == thresholds(th["holders"], th["collusion"], th["packing"], n), "thresholds that do not follow")
    low, high = min_sites_range(th, n)
    need(low <= study["min_sites"] <= high, f"min_sites out of {low} to {high}")
    need(32 <= packing["wire_bits"] <= 64 and packing["slots"] and blocks(study) <= 16384, "the packing")


def check_study_file(file):
    check_study(file["study"])
    keys, of = keys_of(file["study"]), bytes.fromhex(digest("study", file["study"]))
    for one in file["signatures"]:
        need(one["site"] in keys, f"a signature by {one['site']}, who is no site or has signed already")
        message = canonical("study-signature", of + encode("site", one["site"]))
        need(verifies(keys.pop(one["site"]), message, one["signature"]), f"the signature of {one['site']}")
    need(not keys, f"it lacks the signatures of {', '.join(sorted(keys))}")


def subject_of(change):
    (what, of), = change.items()
    return what, of.get("site") or of["entry"]["id"], of.get("entry")


def check_epoch(file, lineage):
    """Adds the study after an epoch to those in force before: (study, digest, first round, epoch)."""
    epoch, after, (before, before_id, _, last) = file["epoch"], file["after"], lineage[-1]
    need([epoch[f] for f in ("study", "epoch", "before", "after")] ==
         [lineage[0][1], len(lineage), before_id, digest("study", after)], "it is not the next epoch")
    need(not last or epoch["last_round"] >= last["last_round"], "the last round falls")
    changes, roster = [subject_of(change) for change in epoch["changes"]], before["roster"][:]
    need(changes and len({site for _, site, _ in changes}) == len(changes), "no change, or two of a site")
    for what, site, entry in changes:
        place = next((i for i, member in enumerate(roster) if member["id"] == site), None)
        need((place is None) == (what == "enrol") and entry not in roster, f"a change of {site} that is none")
        place = len(roster) if place is None else place
        roster[place:place + 1] = [entry] if entry else []
    need(roster == after["roster"], "the changes give another roster")
    check_study(after)
    need(all(group in groups(before) or not set(group) & set(keys_of(before)) for group in groups(after)),
         "it does not take whole groups")
    free = ("roster", "threshold", "min_sites", "packing", "weights", "check_key")
    kept = lambda s: [s[f] for f in s if f not in free] + [s["packing"][f] for f in ("value_bits", "noise_bound")]
    need(kept(before) == kept(after), "more is changed than what follows from the roster")
    n, n2, th = len(before["roster"]), len(roster), before["threshold"]
    m, c, l, stated = th["holders"], th["collusion"], th["packing"], before["min_sites"]
    m2 = min(n2, max(16, m) if m == n else m)
    usual = lambda m: max(1, min(m - 3 * c, math.isqrt(512 // c)))
    th2 = thresholds(m2, c, usual(m2) if l == usual(m) else min(l, usual(m2)), n2)
    common = lambda n, low, high: max(low, min(-(-2 * n // 3), high))
    (low, high), is_common = min_sites_range(th2, n2), stated == common(n, *min_sites_range(th, n))
    expected = common(n2, low, high) if is_common else max(low, min(stated, high))
    expected = stated if "site_level" in before["privacy"] else expected
    need((after["threshold"], after["min_sites"]) == (th2, expected), "thresholds or min_sites do not follow")
    weights = [s["weights"] if s["weights"] == "equal" else
               dict(zip(keys_of(s), s["weights"]["sample_counts"])) for s in (before, after)]
    need("equal" in weights and weights[0] == weights[1] or "equal" not in weights and all(
        weights[1].get(site, count) == count for site, count in weights[0].items()), "weights are changed")
    need(all(what in ("enrol", "rotate") for what, _, _ in changes) or
         before["check_key"]["commitment"] != after["check_key"]["commitment"], "the check key is the same")
    old, new = keys_of(before), {site: key for site, key in keys_of(after).items() if keys_of(before).get(site) != key}
    have = []
    for one in file["signatures"]:
        message = canonical("epoch-signature", bytes.fromhex(digest("epoch", epoch)) + encode("site", one["site"]))
        have.append(next(((one["site"], which) for which, keys in (("old", old), ("new", new)) if one["site"] in keys
                          and verifies(keys[one["site"]], message, one["signature"])), None))
    must = {(site, "old") for what, site, _ in changes if what in ("rotate", "leave")}
    must |= {(site, "new") for what, site, _ in changes if what == "enrol" or what == "rotate" and site in new}
    if any(what == "enrol" for what, _, _ in changes):
        must |= {(site, "old") for site in keys_of(after) if site in old}
    need(None not in have and len(set(have)) == len(have), "a signature that does not belong there")
    need(must <= set(have) and sum(which == "old" for _, which in have) > (n + c) // 2, "too few have signed it")
    lineage.append((after, epoch["after"], epoch["last_round"] + 1, epoch))


# A round, played from its statements.
def ring(study, number):
    start = number % len(study["roster"])
    return [site["id"] for site in study["roster"][start:] + study["roster"][:start]]


def aside(trust, site):
    return site in trust["barred"] or any(site in pair.values() for pair in trust["pairs"])


def bar(trust, sites):
    return {"barred": trust["barred"] + sorted(sites - set(trust["barred"])),
            "pairs": [pair for pair in trust["pairs"] if not sites & set(pair.values())]}


def covered(closing, previous):
    """The leaves that a closing's checkpoint must cover."""
    named = [("manifest", closing["manifest"]), ("closing", previous), ("freeze", closing["freeze"])]
    named += [("header", entry["header"]) for entry in closing["included"] + closing["excluded"]]
    return [leaf_hash(*of) for of in named + [("review", review) for review in closing["reviews"]] if of[1]]


class Round:
    """What the statements of a round come to; one that the protocol does not allow is refused."""

    def __init__(self, study, study_id, manifest, previous):
        said, number = manifest["statement"], manifest["statement"]["round"]
        need(said["study"] == study_id, "the manifest is for another study")
        need(number == (previous["round"] + 1 if previous else 0), "the manifest opens another round than the next")
        plan = {} if study["training"] == "none" else {s["name"]: s["value"] for s in study["training"]["plan"]}
        last = re.fullmatch(r"\+?([0-9]+)", plan.get("rounds", ""))
        need(not last or int(last[1]) >= 1 << 32 or number < int(last[1]), "the training plan has no such round")
        trust = previous["trust"] if previous else {"barred": [], "pairs": []}
        need(said["previous"] == (previous and previous["closing"]), "another closing of the round before")
        need(said["trust"] == digest("trust", trust), "another trust before the round")
        order = [site for site in ring(study, number) if site not in trust["barred"]]
        need(said["initiator"] in order, f"{said['initiator']} may open no round")
        ended, turns = previous["closed_at"] if previous else study["created_at"], order.index(said["initiator"])
        need(said["opened_at"] >= min(U64, ended + turns * study["initiator_timeout_seconds"]), "out of its turn")
        self.window, keys = ring(study, number)[:study["threshold"]["holders"]], keys_of(study)
        need(said["holders"] == self.window and len(said["holder_keys"]) == len(self.window), "other key holders")
        span = max(0, said["deadline"] - said["opened_at"])
        need(study["min_round_seconds"] <= span <= study["longest_round_seconds"], "a deadline out of its range")
        check_signature("manifest", manifest, keys[said["initiator"]])
        self.study, self.manifest, self.trust, self.keys, self.blocks = study, said, trust, keys, blocks(study)
        self.names = {"study": study_id, "round": number, "manifest": digest("manifest", said)}
        self.quorum, self.seen = study["threshold"]["endorsements"], set()
        self.headers, self.received_, self.reviews = {}, {}, {}
        self.freeze = self.closing = None
        self.endorsements, self.opened_, self.disputes, self.verdicts, self.outcomes = set(), 0, {}, {}, {}

    def state(self):
        if not self.closing:
            return "reviewing" if self.freeze else "collecting"
        if len(self.endorsements) < self.quorum:
            return "closed"
        if not self.closing["included"]:
            return "aborted"
        return "opened" if self.opened_ >= self.study["threshold"]["opening"] else "certified"

    def take(self, kind, said):
        """What is asked of every statement, and then what of its kind."""
        of, label = said["statement"], KINDS[kind][0]
        inner = of["statement"] if "statement" in of else of
        signer = of.get("holder") or of.get("site")
        if kind in ("received", "frozen", "closed"):
            key = self.study["aggregator_key"]
        else:
            may = self.window if "holder" in of else self.keys
            need(signer in may and (kind != "announced" or signer not in self.trust["barred"]), f"{signer} may not")
            key = self.keys[signer]
        other = [name for name, value in self.names.items() if inner.get(name, value) != value]
        need(not other, f"the {label} is of another {', '.join(other)}")
        need(kind not in ("announced", "received") or not self.freeze, "collecting had ended")
        need(kind in ("announced", "received", "frozen") or self.freeze, "it comes before the freeze")
        need(inner.get("freeze", self.names.get("freeze")) == self.names.get("freeze"), "it is of another freeze")
        if kind in ("endorsed", "disputed", "judged", "opened", "acknowledged"):
            need(self.closing and inner["closing"] == self.closing_id, f"the {label} names another closing, or none")
            need(kind == "endorsed" or self.state() in ("certified", "opened"), "nothing is certified")
        check_signature(label, said, key)
        once = kind, signer or "", json.dumps(of.get("subject") or inner.get("index") or 0)
        need(kind in ("judged", "acknowledged") or once not in self.seen, f"a second {label} by {signer}")
        getattr(self, kind)(of, inner)
        self.seen.add(once)

    def announced(self, of, _):
        whole = self.blocks * 512 * self.study["packing"]["wire_bits"]
        need(of["body_bytes"] == whole and len(of["check"]) == 96 and len(of["envelopes"]) == len(self.window),
             "a header of wrong lengths")
        policy, spent = policy_of(self.study), of["spent"]
        need((policy is None) == (spent is None), "a budget is stated where there is one, and only there", "budget")
        need(not policy or spent["rounds"] >= 1 and 0 <= num(spent["epsilon"]) <= num(policy["epsilon"])
             and num(spent["delta"]) == num(policy["delta"]), "a stated budget beyond the policy", "budget")
        self.headers[of["site"]] = of

    def received(self, of, _):
        header = self.headers.get(of["site"])
        need(header and of["header"] == digest("header", header), "a receipt for no or another contribution")
        self.received_[of["site"]] = of["header"]

    def frozen(self, of, _):
        got = [{"site": site, "header": self.received_[site]} for site in sorted(self.received_)]
        need(of["contributions"] == got, "the list is not what had receipts")
        need(of["frozen_at"] >= self.manifest["opened_at"], "it was frozen before it was opened")
        self.freeze, self.names["freeze"] = of, digest("freeze", of)

    def reviewed(self, of, _):
        need(len(of["answers"]) == len(self.freeze["contributions"]), "not one answer a contribution")
        self.reviews[of["holder"]] = of

    def closed(self, of, _):
        need(self.manifest["opened_at"] <= of["closed_at"] <= self.manifest["deadline"]
             + self.study["review_seconds"] + 300, "closed at a time that cannot be")
        need((of["sum"] is None) == (not of["included"]), "a sum without a set, or a set without a sum")
        need(of["checkpoint"]["size"] >= len(covered(of, self.manifest["previous"])), "its log is too small")
        listed = [self.reviews[holder] for holder in self.window if holder in self.reviews]
        need(of["reviews"] == [digest("review", review) for review in listed], "it lists other reviews")
        included, excluded, judged = [], [], judge(self, listed)
        if of["included"]:
            need(judged and judged[1] is not None, "the reviews allow no set")
            lost = {entry["site"] for entry in of["excluded"] if entry["reason"] == "damaged"}
            why = {**dict.fromkeys(lost, "damaged"), **judged[1]}
            alone = torn(self.study, judged[0], {e["site"] for e in self.freeze["contributions"]} - set(why))
            why.update(dict.fromkeys(alone, "group_incomplete"))
            for entry in self.freeze["contributions"]:
                reason = why.get(entry["site"])
                excluded.append(dict(entry, reason=reason)) if reason else included.append(entry)
            need(len(included) >= self.study["min_sites"], "a set of fewer than min_sites")
        need((of["included"], of["excluded"]) == (included, excluded), "another set follows from the reviews")
        self.closing, self.closing_id, self.judged_ = of, digest("closing", of), judged

    def endorsed(self, of, _):
        self.endorsements.add(of["holder"])

    def disputed(self, of, said):
        index, before = said["index"], self.certified(self.verdicts, said["index"] - 1)
        need(names(self.study["threshold"]) and 1 <= index <= self.study["threshold"]["collusion"]
             and said["block"] < self.blocks and said["coefficient"] < 4096, "a dispute that cannot be")
        need(said["after"] == (digest("verdict", before) if index > 1 and before else None)
             and (index == 1 or before), "it does not follow the verdict of the dispute before")
        self.endorse(self.disputes, index, of)

    def judged(self, of, said):
        sites, members = said["sites"], {entry["site"] for entry in self.closing["included"]}
        need(names(self.study["threshold"]) and 1 <= len(sites) <= self.study["threshold"]["collusion"]
             and sites == sorted(set(sites)) and set(sites) <= members, "sites that no verdict can name")
        index = self.index_of(said["dispute"]) if said["dispute"] else 0
        need(index is not None, "its dispute is not certified")
        self.endorse(self.verdicts, index, of)

    def endorse(self, endorsed, index, of):
        need(of["holder"] not in endorsed.get(index, {}), f"a second endorsement by {of['holder']}")
        need(self.agreed() is None, "the round has ended")
        endorsed.setdefault(index, {})[of["holder"]] = of["statement"]

    def certified(self, endorsed, index):
        said = list(endorsed.get(index, {}).values())
        return next((one for one in said if said.count(one) >= self.quorum), None)

    def index_of(self, dispute):
        found = ((index, self.certified(self.disputes, index)) for index in self.disputes)
        return next((index for index, of in found if of and digest("dispute", of) == dispute), None)

    def all_verdicts(self):
        return [of for of in (self.certified(self.verdicts, index) for index in sorted(self.verdicts)) if of]

    def opened(self, of, _):
        subject = of["subject"]
        need("functionals" not in subject or self.index_of(subject["functionals"]["dispute"]) is not None,
             "the dispute is not certified")
        need("keys" not in subject or any(v["dispute"] and digest("verdict", v) == subject["keys"]["verdict"]
                                          for v in self.all_verdicts()), "the verdict is not certified")
        self.opened_ += subject == "sum"

    def acknowledged(self, of, _):
        before = self.outcomes.get(of["site"])
        need(not before or before == "failed" != of["outcome"], f"{of['site']} has spoken before")
        self.outcomes[of["site"]] = of["outcome"]

    def agreed(self):
        models = Counter(said["applied"]["model"] for said in self.outcomes.values() if said != "failed")
        return next((model for model, sites in models.items() if sites >= self.quorum), None)

    def ended(self):
        """How it ended, for the next round; none where it is not over."""
        over = self.state() == "aborted" or self.state() in ("certified", "opened") and self.agreed()
        if not over or not self.judged_:
            return None
        trust = self.judged_[0]
        for verdict in self.all_verdicts():
            trust = bar(trust, set(verdict["sites"]))
        return {"round": self.names["round"], "closing": self.closing_id, "closed_at": self.closing["closed_at"],
                "trust": trust}

    def pending(self):
        """The checks that it has not come to."""
        state, late = self.state(), ("certified", "opened", "aborted")
        pending = {"freeze": not self.freeze, "reviews": not self.reviews, "closing": not self.closing,
                   "certificate": state not in late, "openings": state not in ("aborted", "opened"),
                   "acknowledgements": state != "aborted" and not self.agreed()}
        return {check for check, is_pending in pending.items() if is_pending}


# The judgement of the reviews: disputes.md, 2.
def judge(of, reviews):
    """The trust after it, and why each dealer is left out that is, or none where there is no set. Nothing
    where more sites are corrupt than the study allows for."""
    before, th, window = of.trust, of.study["threshold"], of.window
    dealers, t = [entry["site"] for entry in of.freeze["contributions"]], th["opening"]
    remaining = lambda trust: th["collusion"] - len(trust["barred"]) - len(trust["pairs"])
    free = remaining(before)
    if free < 0:
        return None
    usable = [review for review in reviews if not aside(before, review["holder"])]
    edges, undetermined, corrupt = {}, set(), set()
    for place, dealer in enumerate(dealers):
        edges[dealer] = {r["holder"] for r in usable if r["answers"][place] == "no_share"}
        masked = [(r["holder"], *struct.unpack("<QQ", bytes.fromhex(r["answers"][place]["masked"])))
                  for r in usable if r["answers"][place] != "no_share"]
        points, least = [window.index(holder) + 1 for holder, _, _ in masked], max(t + free, len(masked) - free)
        stray = [strays(points, words, t, least) for words in list(zip(*masked))[1:] or [[], []]]
        if None in stray or len(masked) - len(stray[0] | stray[1]) < least:
            undetermined.add(dealer)
        else:
            edges[dealer] |= {masked[i][0] for i in stray[0] | stray[1]}
        if len(edges[dealer]) > free or dealer in undetermined and len(usable) >= t + 2 * free:
            corrupt.add(dealer)
    for holder in window:
        accusers = [dealer for dealer in dealers if holder in edges[dealer]]
        if holder in accusers or sum(not aside(before, dealer) for dealer in accusers) > free:
            corrupt.add(holder)
    trust = bar(before, corrupt)
    pairs = [(holder, dealer) for dealer in dealers for holder in window if holder in edges[dealer]
             and not {holder, dealer} & set(trust["barred"])]
    for holder, dealer in pairs:
        if not aside(trust, holder) and not aside(trust, dealer):
            trust["pairs"].append({"holder": holder, "dealer": dealer})
    free = remaining(trust)
    if free < 0:
        return None
    out = {site for site in window if aside(trust, site) or aside(before, site)}
    why = {dealer: "accused" for holder, dealer in pairs if holder not in out}
    why.update({dealer: "undetermined" for dealer in undetermined})
    why.update({dealer: "barred" for dealer in dealers if dealer in trust["barred"]})
    openers = sum(review["holder"] not in out for review in usable)
    enough = openers >= t + free and len(dealers) - len(why) >= of.study["min_sites"]
    return trust if names(th) else before, why if enough else None


@functools.lru_cache(4096)
def lagrange(points, base, i):
    """What the values at `base` are multiplied by to give the value at point i."""
    others = [[points[k] for k in base if k != j] for j in base]
    return [math.prod(points[i] - o for o in of) * pow(math.prod(points[j] - o for o in of) % Q, -1, Q) % Q
            for j, of in zip(base, others)]


def strays(points, values, t, agreeing):
    """Places of the words off the one polynomial of degree below t that `agreeing` of them lie on."""
    n, lies = len(points), len(points) - agreeing
    if lies < 0 or 2 * agreeing < t + n:
        return None

    def off(base):
        at = (sum(map(operator.mul, lagrange(tuple(points), tuple(base), i), (values[j] for j in base)))
              for i in range(n))
        return {i for i, value in enumerate(at) if (value - values[i]) % Q}
    found = off(range(t))
    if len(found) > lies:  # Berlekamp and Welch: F(x) = y E(x) at every point, E monic of the degree `lies`
        rows = [[pow(x, e, Q) for e in range(t + lies)] + [-y * pow(x, e, Q) % Q for e in range(lies)]
                + [y * pow(x, lies, Q) % Q] for x, y in zip(points, values)]
        pivots, width = [], t + 2 * lies
        for column in range(width):
            rank = len(pivots)
            at = next((i for i in range(rank, n) if rows[i][column]), None)
            if at is not None:
                rows[rank], rows[at] = rows[at], rows[rank]
                factor = pow(rows[rank][column], -1, Q)
                rows[rank] = [value * factor % Q for value in rows[rank]]
                rows = [row if i == rank or not row[column] else
                        [(a - row[column] * b) % Q for a, b in zip(row, rows[rank])] for i, row in enumerate(rows)]
                pivots.append(column)
        if any(row[-1] for row in rows[len(pivots):]):
            return None
        solved = dict(zip(pivots, (row[-1] for row in rows)))
        locator = [solved.get(t + lies + e, 0) for e in range(lies)] + [1]
        good = [i for i, x in enumerate(points) if sum(k * pow(x, e, Q) for e, k in enumerate(locator)) % Q]
        found = off(good[:t]) if len(good) >= t else set(range(n))
    return found if len(found) <= lies else None


# A round's file.
CHECKS = ["epochs", "manifest", "round-keys", "contributions", "receipts", "freeze", "reviews", "closing",
          "certificate", "openings", "disputes", "acknowledgements", "budget", "log", "closing-log"]


class RoundFile:
    def __init__(self, proof, audit, previous):
        self.proof, self.number, self.faults, self.round, self.checkpoint = proof, proof["round"], {}, None, None
        self.lineage = [(audit.study, audit.id, 0, None)]
        self.attempt("epochs", self.add_epochs)
        self.study, self.study_id, _, _ = [of for of in self.lineage if of[2] <= self.number][-1]
        self.manifest, before = proof["manifest"]["statement"]["statement"], None
        self.events = [(event["leaf"], *kind) for event in proof["events"] for kind in event["statement"].items()]
        self.entries = sorted(self.placed(), key=lambda entry: entry[0])
        if proof["before"]:
            closing, trust = proof["before"]["closing"]["statement"], proof["before"]["trust"]
            if self.attempt("manifest", check_signature, "closing", closing, self.study["aggregator_key"]):
                before = dict(round=closing["statement"]["round"], closing=digest("closing", closing["statement"]),
                              closed_at=closing["statement"]["closed_at"], trust=trust)
            self.attempt("manifest", need, self.manifest["trust"] == digest("trust", trust), "another trust before")
        if previous:
            gone = {of["site"] for _, _, start, epoch in self.lineage[1:] if previous["round"] < start <= self.number
                    for change in epoch["changes"] for of in change.values() if "site" in of}
            kept = {"barred": [site for site in previous["trust"]["barred"] if site not in gone],
                    "pairs": [pair for pair in previous["trust"]["pairs"] if not gone & set(pair.values())]}
            previous = dict(previous, trust=kept)
            self.attempt("manifest", need, before in (None, previous), "the round before has ended otherwise")
        self.attempt("manifest", need, self.manifest["round"] == self.number, "the manifest of another round")
        self.attempt("log", self.check_log, audit)
        self.attempt("round-keys", self.check_round_keys)
        self.attempt("manifest", self.play, previous or before)
        closing = [(leaf, said["statement"]) for leaf, kind, said in self.events if kind == "closed"][:1]
        if closing and self.checkpoint:
            self.attempt("closing-log", self.check_closing_log, *closing[0])
        pending = self.round.pending() if self.round else set(CHECKS[3:-2])
        pending |= {"closing-log"} if not closing or not self.checkpoint else set()
        self.lines = [(check, "false" if check in self.faults else "pending" if check in pending else "proven",
                       self.faults.get(check, "")) for check in CHECKS]
        self.ended = self.round.ended() if self.round and not self.faults else None

    def attempt(self, check, act, *arguments):
        try:
            act(*arguments)
            return True
        except Fault as fault:
            self.faults.setdefault(fault.args[1] or check, fault.args[0])

    def play(self, previous):
        self.round = Round(self.study, self.study_id, self.proof["manifest"]["statement"], previous)
        for _, kind, said in self.events:
            self.attempt(KINDS[kind][1], self.round.take, kind, said)

    def trust_after(self, closing):
        """The trust after the reviews that a closing lists; that before the round, where they allow no judgement."""
        before = self.proof["before"]["trust"] if self.proof["before"] else {"barred": [], "pairs": []}
        freezes = [said["statement"] for _, kind, said in self.events if kind == "frozen"]
        reviews = {digest("review", said["statement"]): said for _, kind, said in self.events if kind == "reviewed"}
        window, place = ring(self.study, closing["round"])[:self.study["threshold"]["holders"]], -1
        try:
            need(freezes and digest("freeze", freezes[0]) == closing["freeze"], "another freeze")
            need(all(of in reviews for of in closing["reviews"]), "a review is not there")
            listed = [reviews[of]["statement"] for of in closing["reviews"]]
            for of, said in zip(closing["reviews"], listed):
                need(said["holder"] in window[place + 1:] and len(said["answers"]) == len(freezes[0]["contributions"])
                     and (said["manifest"], said["freeze"]) == (freezes[0]["manifest"], closing["freeze"]), "no review")
                check_signature("review", reviews[of], keys_of(self.study)[said["holder"]])
                place = window.index(said["holder"])
        except Fault:
            return before
        judged = judge(SimpleNamespace(trust=before, study=self.study, window=window, freeze=freezes[0]), listed)
        return judged[0] if judged else before

    def add_epochs(self):
        for one in self.proof["epochs"]:
            check_epoch(one["statement"], self.lineage)
            need(self.lineage[-1][2] <= self.number, "it states an epoch of a later round")

    def placed(self):
        """Every statement of the file as (leaf, label, digest)."""
        proof = self.proof
        of = [("round-keys", keys) for keys in proof["round_keys"]] + [("manifest", proof["manifest"])]
        of += [("closing", proof["before"]["closing"])] if proof["before"] else []
        of += [(KINDS[kind][0], {"leaf": leaf, "statement": said}) for leaf, kind, said in self.events]
        return [(one["leaf"], "epoch", digest("epoch", one["statement"]["epoch"])) for one in proof["epochs"]] + \
            [(one["leaf"], label, digest(label, one["statement"]["statement"])) for label, one in of]

    def check_log(self, audit):
        log, leaves = self.proof["log"], [leaf for leaf, _, _ in self.events]
        size, root = checkpoint_of(log["checkpoint"], audit.origin, audit.study["aggregator_key"])
        need(all(a < b for a, b in zip(leaves, leaves[1:])), "its statements are not in the order of the log")
        check_leaves(log["leaves"], [(leaf, leaf_hash(*of)) for leaf, *of in self.entries], size, root)
        self.checkpoint = size, root

    def check_closing_log(self, leaf, closing):
        size, root = closing["checkpoint"]["size"], bytes.fromhex(closing["checkpoint"]["root"])
        need(self.proof["log"]["closing"], "there is no proof that the log only grew")
        check_consistency(self.proof["log"]["closing"], (size, root), self.checkpoint)
        places = {leaf_hash(*of): place for place, *of in self.entries}
        need(leaf >= size and all(places.get(of, size) < size for of in covered(closing, self.manifest["previous"])),
             "the closing stands in its own log, or names what is not in it")

    def check_round_keys(self):
        manifest, number, keys = self.manifest, self.manifest["round"], keys_of(self.study)
        said = [keys["statement"] for keys in self.proof["round_keys"]]
        named = [(holder, of) for holder, of in zip(ring(self.study, number), manifest["holder_keys"]) if of]
        need([digest("round-keys", of["statement"]) for of in said] == [of for of in manifest["holder_keys"] if of],
             "the round keys are not those that the manifest names")
        for (holder, _), of in zip(named, said):
            first, count = of["statement"]["first_round"], len(of["statement"]["keys"])
            need(of["statement"]["site"] == holder and of["statement"]["study"] == manifest["study"]
                 and 1 <= count <= 64 and first + count < 1 << 32 and first <= number < first + count,
                 f"the round keys of {holder} are another's, or not for this round")
            check_signature("round-keys", of, keys[holder])


# The folder.
class Audit:
    def __init__(self, folder, bodies):
        self.folder, self.bodies, self.rounds, self.lines = folder, bodies, {}, []
        data = self.file("study.json", 64 * MIB)
        need(data is not None, "there is no study.json: take it from a site that signed it")
        file = parse(data, TYPE["study-file"])
        check_study_file(file)
        self.study, self.id = file["study"], digest("study", file["study"])
        self.origin = "ringfence/" + self.id
        self.say(None, "study", "proven", "All sites of the roster signed it.")
        self.read_rounds()
        self.check_whole_log()
        self.check_sets()
        self.check_cohorts()
        self.check_spent()
        self.check_witnesses()
        for number, of in self.rounds.items():
            if bodies and of and of.round and of.round.state() in ("certified", "opened") and of.round.closing["sum"]:
                self.check_sum(number, of)

    def say(self, number, check, verdict, words):
        self.lines.append(dict(round=number, check=check, verdict=verdict, words=words))

    def unlinked(self, name):
        """What stands there; none where nothing does. Links lead out of the export, to the reader's own files."""
        path = self.folder
        for part in name.split("/"):
            path = os.path.join(path, part)
            try:
                of = os.lstat(path)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise Fault(f"{name} cannot be read: {error}", None) from None
            need(not stat.S_ISLNK(of.st_mode), f"{name} is a link")
        return of

    def length(self, name):
        """Bytes of a plain file; none where there is none."""
        of = self.unlinked(name)
        need(not of or stat.S_ISREG(of.st_mode), f"{name} is no plain file")
        return of and of.st_size

    def file(self, name, limit):
        length = self.length(name)
        need((length or 0) <= limit, f"{name} has more than {limit} bytes")
        return None if length is None else self.window(name, 0, length)

    def window(self, name, start, length):
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                file.seek(start)
                data = file.read(length)
        except OSError as error:
            raise Fault(f"{name} cannot be read: {error}", None) from None
        need(len(data) == length, f"{name} ends too early")
        return data

    def read_rounds(self):
        folder, there, epochs, previous, broken = os.path.join(self.folder, "rounds"), set(), 0, None, None
        rounds = self.unlinked("rounds")
        need(not rounds or stat.S_ISDIR(rounds.st_mode), "rounds is no folder")
        for entry in os.scandir(folder) if rounds else []:
            number = re.fullmatch(r"(0|[1-9][0-9]{0,4})\.proof\.json", entry.name)
            there |= {int(number[1])} if number else set()
        missing = [number for number in range(max(there, default=-1)) if number not in there]
        for number in sorted(there):
            if number - 1 not in there:
                previous = None
            try:
                proof = parse(self.file(f"rounds/{number}.proof.json", 256 * MIB), TYPE["proof"], True)
            except Fault as fault:
                self.say(number, "file", "false", fault.args[0])
                self.rounds[number] = previous = None
                continue
            of = self.rounds[number] = RoundFile(proof, self, previous)
            for line in of.lines:
                self.say(number, *line)
            if proof["round"] != number:
                self.say(number, "file", "false", f"It holds the statements of round {proof['round']}.")
            if len(proof["epochs"]) < epochs:
                self.say(number, "epochs", "false", "It states fewer epochs than a file before.")
            epochs = max(epochs, len(proof["epochs"]))
            if previous is None and number - 1 in there and broken is None:
                broken = number
            previous = of.ended
        verdict = "missing" if missing or not there else "proven" if broken is None else "false"
        self.say(None, "rounds", verdict, f"{len(there)} files; without one: {missing[:3]}; after none that ended: {broken}.")

    def check_whole_log(self):
        self.checkpoint, self.leaves, entries, lacks = None, None, [], None
        try:
            note = self.file("log/checkpoint", MIB // 4)
            need(note is not None, "There is no log/checkpoint.", "missing")
            self.checkpoint = checkpoint_of(as_text(note), self.origin, self.study["aggregator_key"])
            data = self.file("log/entries.txt", 256 * MIB)
            need(data is not None, "There is no log/entries.txt.", "missing")
            lines = as_text(data).split("\n")
            need(lines.pop() == "", "log/entries.txt was cut off")
            stated = [tuple(line.split(" ")) for line in lines]
            need(all(len(entry) == 2 and entry[0] in IN_LOG and re.fullmatch("[0-9a-f]{64}", entry[1])
                     for entry in stated), "log/entries.txt: a line that is no kind and digest")
            entries = stated
        except Fault as fault:
            lacks = fault.args[1] or "false", fault.args[0]
        files = {number: of for number, of in self.rounds.items() if of and of.checkpoint}
        sizes = {of.checkpoint[0] for of in files.values()}
        leaves = [leaf_hash(*entry) for entry in entries]
        history = roots(leaves, sizes | {len(entries)})
        if not lacks and self.checkpoint != (len(entries), history[len(entries)]):
            lacks = "false", "The entries do not make the log that the aggregator signed."
        if lacks:
            self.say(None, "one-history", *lacks)
            return self.say(None, "whole-log", *lacks)
        self.leaves = leaves
        other = next((n for n, of in files.items() if history.get(of.checkpoint[0]) != of.checkpoint[1]), None)
        later = other is not None and files[other].checkpoint[0] > len(entries)
        self.say(None, "one-history", "proven" if other is None else "missing" if later else "false",
                 "One history." if other is None else f"The file of round {other} is of another history, or a later one.")
        forked = [n for n, of in files.items() for place, *entry in of.entries
                  if place < len(entries) and entries[place] != tuple(entry)]
        shown = {place for of in self.rounds.values() if of for place, *_ in of.entries}
        hidden = [i for i, (label, _) in enumerate(entries) if i not in shown and label not in ("epoch", "round-keys")]
        early = [i for i in hidden if i < min(sizes, default=0)]
        whole = all(number in self.rounds for number in range(max(self.rounds, default=-1)))
        verdict = "false" if forked or early and whole else "missing" if hidden else "proven"
        self.say(None, "whole-log", verdict, f"Of two histories: {forked[:3]}; leaves in no file: {hidden[:3]}.")

    def check_sets(self):
        shown = {n: of for n, of in self.rounds.items() if of}
        two = [n for n, of in shown.items() if sum(kind == "closed" for _, kind, _ in of.events) > 1]
        self.say(None, "one-set", "false" if two else "proven", f"Rounds with two closings: {two}.")
        bases, twice = {}, []
        for number, of in shown.items():
            sums = any(kind == "opened" and said["statement"]["subject"] == "sum" for _, kind, said in of.events)
            if of.round and sums and of.round.state() != "aborted":
                twice += [number] if bases.setdefault(of.manifest["base_model"], number) != number else []
        self.say(None, "one-opening", "false" if twice else "proven", f"Opened from a model once more: {twice}.")

    def check_cohorts(self):
        """What the sums of all rounds tell together: cohorts.md. A certified set counts as opened."""
        sets, corrupt, split = {}, set(), None
        for number, of in self.rounds.items():
            ended = of and of.round and of.round.ended()
            corrupt |= set(ended["trust"]["barred"] if ended else of.round.trust["barred"] if of and of.round else [])
            endorsed = Counter(said["statement"]["closing"] for _, kind, said in of.events if kind == "endorsed") if of else {}
            closings = (said["statement"] for _, kind, said in (of.events if of else []) if kind == "closed")
            closing = next((c for c in closings if c["included"] and endorsed[digest("closing", c)]
                            >= of.study["threshold"]["endorsements"]), None)
            if closing:
                sets[number] = {entry["site"] for entry in closing["included"]}
                trust = of.trust_after(closing)
                corrupt |= set(trust["barred"])
                split = split or [number, *sorted(torn(of.study, trust, sets[number]))]
                split = split if len(split) > 1 else None
        rank, alone = combined([sites - corrupt for sites in sets.values()])
        whole = all(self.rounds.get(number) for number in range(max(self.rounds, default=0) + 1))
        self.say(None, "cohorts", "false" if split else "proven" if whole else "missing",
                 f"Sums: {len(sets)}, of rank {rank}; they single out {alone[:3]}; a torn group: {split}.")

    def check_witnesses(self):
        """The sites that have cosigned this log, where the folder says anything of them."""
        try:
            data = self.file("log/cosignatures.json", 16 * MIB)
            if data is None:
                return
            notes, keys, seen = parse(data, ["text"]), {}, {}
            for study in [self.study] + [of.study for of in self.rounds.values() if of]:
                for site, key in keys_of(study).items():
                    keys.setdefault(site, set()).add(key)
            need(self.leaves is not None, "Without the whole log nobody can tell whether cosignatures are of it.", "missing")
            heads = [checkpoint_of(note, self.origin, self.study["aggregator_key"]) for note in notes]
            history = roots(self.leaves, {size for size, _ in heads})
            for note, (size, root) in zip(notes, heads):
                sites = cosigned(note, self.origin, keys)
                if size in history:  # else they have looked again since
                    need(history[size] == root, f"The log was forked: {sites} have seen another history.")
                    need(not set(sites) & set(seen), "a site's cosignature stands twice")
                    seen.update(dict.fromkeys(sites, size))
            self.say(None, "witnesses", "proven" if seen else "pending", f"{len(seen)} of {len(keys)} sites cosigned it.")
        except UnicodeEncodeError as error:
            self.say(None, "witnesses", "false", f"log/cosignatures.json: {error}")
        except Fault as fault:
            self.say(None, "witnesses", fault.args[1] or "false", fault.args[0])

    def check_spent(self):
        """What headers state is no less than what as many rounds spend: privacy.md."""
        shown, of_site, seen = [(n, of) for n, of in self.rounds.items() if of], {}, {}
        if not shown:
            return
        policy, fault = policy_of(shown[0][1].study), None
        for number, of in shown if policy else []:
            headers, receipts = {}, []
            for _, kind, said in of.events:
                if kind == "announced":
                    headers[said["statement"]["site"]] = said["statement"]["spent"]
                receipts += [said["statement"]["site"]] if kind == "received" else []
            for site in sorted(site for site in set(receipts) if headers.get(site)):
                rounds, epsilon = headers[site]["rounds"], num(headers[site]["epsilon"])
                last, seen[site] = of_site.get(site), seen.get(site, 0) + 1
                if rounds not in seen:
                    seen[rounds] = least_epsilon(policy, rounds)
                back = last and (rounds <= last[0] or epsilon < last[1])
                if rounds < seen[site] or back or epsilon < seen[rounds] * (1 - 1e-6):
                    fault = fault or f"Round {number}, {site}: {epsilon} after {rounds} rounds is too little."
                of_site[site] = rounds, epsilon
        self.say(None, "spent", "false" if fault else "proven", fault or "As much at least as the rounds spend.")

    def check_sum(self, number, of):
        """The bodies have the digests that were signed, and add up to the sum."""
        closing, wire, headers = of.round.closing, of.study["packing"]["wire_bits"], of.round.headers
        whole, members = of.round.blocks * 512 * wire, [entry["site"] for entry in closing["included"]]
        path = lambda site: f"rounds/{number}.bodies/{site}"
        try:
            gone, absent = self.file(f"rounds/{number}.gone", 4096), [s for s in members if self.length(path(s)) is None]
            need(not absent, f"{len(absent)} bodies are not here: {absent[:3]}.",
                 "gone" if gone is not None and absent == members else "missing")
            others = [site for site in of.round.received_ if site not in members and self.length(path(site)) is not None]
            hashers, total = {site: blake3() for site in members + others}, blake3()
            bad = [site for site in hashers if self.length(path(site)) != whole]
            need(not bad, f"Bodies of a wrong length: {bad[:3]}.")
            unit = 64 * wire
            step = unit * max(1, 8 * MIB // unit)
            for start in range(0, whole, step):
                length, sums = min(step, whole - start), None
                for site, hasher in hashers.items():
                    data = self.window(path(site), start, length)
                    hasher.update(data)
                    sums = added(sums, data, wire) if site in members else sums
                total.update(laid_out(sums, wire, length))
            altered = [site for site, hasher in hashers.items() if hasher.hexdigest() != headers[site]["body"]]
            need(not altered, f"Bodies that are not those that were signed: {altered[:3]}.")
            need(total.hexdigest() == closing["sum"], "The bodies give another sum: the aggregator signed a false one.")
            length, stated = self.length(f"rounds/{number}.sum"), blake3()
            need(length in (None, whole), "The sum in the folder has another length.")
            for start in range(0, length or 0, step):
                stated.update(self.window(f"rounds/{number}.sum", start, min(step, length - start)))
            need(length is None or stated.hexdigest() == closing["sum"], "The sum in the folder was altered.")
            self.say(number, "sum", "proven", f"All {len(members)} bodies add up to the sum.")
        except Fault as fault:
            self.say(number, "sum", fault.args[1] or "false", fault.args[0])


def combined(sets):
    """The rank of these sums, and whom a combination of them singles out: elimination modulo a prime."""
    p, rows, names = (1 << 61) - 1, {}, sorted(set().union(*sets)) if sets else []
    for sites in sets:
        row = {site: 1 for site in sites}
        for pivot, other in rows.items():
            row = less(row, row.get(pivot, 0), other, p)
        if row:
            pivot = min(row)
            row = {site: value * pow(row[pivot], -1, p) % p for site, value in row.items()}
            rows = {place: less(of, of.get(pivot, 0), row, p) for place, of in rows.items()}
            rows[pivot] = row
    return len(rows), [site for site in names if len(rows.get(site, ())) == 1]


def less(row, times, other, p):
    """`row - times * other`, without zeros."""
    values = ((site, (row.get(site, 0) - times * other.get(site, 0)) % p) for site in {*row, *other})
    return {site: value for site, value in values if value} if times else row


def as_text(data):
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Fault(f"no text: {error}", None) from None


# Wire words: lane i of a window is every eighth number of it, words of w bits one after the other.
@functools.lru_cache(4)
def mask_of(wire, bits):
    """Every other word."""
    return ((1 << bits) - 1) // ((1 << 2 * wire) - 1) * ((1 << wire) - 1)


def added(sums, data, wire):
    """Adds a body's words to sums that have room for two words each: the even ones and the odd ones, by lane."""
    numbers, mask, out = array("Q", data), mask_of(wire, len(data)), sums or [(0, 0)] * 8
    lanes = [int.from_bytes(numbers[i::8].tobytes(), "little") for i in range(8)]
    return [(even + (lane & mask), odd + (lane >> wire & mask)) for lane, (even, odd) in zip(lanes, out)]


def laid_out(sums, wire, length):
    prime, both, out = (1 << wire) - GAPS[wire - 32], (1 << 2 * wire) - 1, array("Q", bytes(length))
    for i, lane in enumerate(sums):
        halves, pieces = [half.to_bytes(length // 8, "little") for half in lane], []
        for start in range(0, length // 8, 8 * wire):  # a group: 64 words of the lane
            even, odd = (int.from_bytes(half[start:start + 8 * wire], "little") for half in halves)
            words = ((half >> 2 * wire * k & both) % prime << (2 * k + is_odd) * wire
                     for k in range(32) for is_odd, half in enumerate((even, odd)))
            pieces.append(sum(words).to_bytes(8 * wire, "little"))
        out[i::8] = array("Q", b"".join(pieces))
    return out.tobytes()


# The accountant: Renyi divergences of the orders of privacy.md.
def orders():
    yield from (1 + 0.1 * 1.15 ** -step for step in range(99, 0, -1))
    yield from (tenth / 10 for tenth in range(11, 110))
    yield from [*range(11, 64), 128, 256, 512, 1024]
    yield from (math.floor(1024 * 1.5 ** step) for step in range(1, 30))


def divergence(noise, rate, order):
    """Of a Gaussian step to which each record comes by chance: ln E((1-q + q e^((2x-1)/2s^2))^a) / (a-1)."""
    if rate == 1:
        return order / (2 * noise * noise)
    low, high = -12 * noise, order + 12 * noise
    step, terms = noise / 8, []  # the sum converges faster than any power of the step
    for k in range(math.ceil((high - low) / step)):
        x = low + k * step
        shift = (2 * x - 1) / (2 * noise * noise)
        ratio = math.log1p(rate * math.expm1(shift)) if shift < 30 else shift + math.log(
            rate + (1 - rate) * math.exp(-shift))
        terms.append(order * ratio - x * x / (2 * noise * noise))
    most = max(terms)
    log = most + math.log(math.fsum(math.exp(term - most) for term in terms) * step / noise / math.sqrt(2 * math.pi))
    return max(0.0, log / (order - 1))


def least_epsilon(policy, rounds):
    noise, delta, best = num(policy["noise_multiplier"]), num(policy["delta"]), math.inf
    rate, times = (num(policy["rate"]), policy["steps"] * rounds) if "rate" in policy else (1, rounds)
    for a in orders():
        spent = times * divergence(noise, rate, a) + math.log((a - 1) / a) - math.log(a) / (a - 1)
        if spent > best:
            break
        best = min(best, spent - math.log(delta) / (a - 1))
    return max(0.0, best)


def main():
    given = sys.argv[1:]
    folders = [one for one in given if not one.startswith("--")]
    if len(folders) != 1 or set(given) - {*folders, "--json", "--without-bodies"}:
        sys.exit("usage: ringfence_audit.py DIR [--json] [--without-bodies]")
    try:
        lines = Audit(folders[0], "--without-bodies" not in given).lines
    except Fault as fault:
        print(f"ringfence_audit.py: study.json: {fault.args[0]}", file=sys.stderr)
        sys.exit(2)
    worst = max((line["verdict"] for line in lines), key=["proven", "pending", "gone", "missing", "false"].index)
    if "--json" in given:
        print(json.dumps(dict(verdict=worst, lines=lines), indent=1))
    for line in lines if "--json" not in given else []:
        of = "" if line["round"] is None else f"round {line['round']} "
        words = "".join(c if c.isprintable() else "\ufffd" for c in line["words"])
        print(f"{line['verdict']:<8} {of}{line['check']}: {words}")
    sys.exit({"false": 1, "missing": 3}.get(worst, 0))


if __name__ == "__main__":
    main()
