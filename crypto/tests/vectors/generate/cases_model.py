"""Digests of models, and the model that follows a round."""

import math
import struct
import unicodedata

import blake3
import model
import packing
import story
from output import bad, numbers, write
from parties import LAYOUT, VALUES

ONE, MINUS_ZERO, ZERO, SUBNORMAL, LARGEST_SUBNORMAL = 0x3F800000, 0x80000000, 0, 1, 0x007FFFFF
SMALLEST_NORMAL, LARGEST, INFINITE, NAN = 0x00800000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000


def tensor(name, shape, *bits):
    assert len(bits) == math.prod(shape), name
    return {"name": name, "shape": shape, "bits": list(bits)}


# Ascending as bytes: "Z", "a", "a.b", "a.bias", "a_b", "e\u0301" (two characters), "\u00e9" (one),
# "\uff5e", "\U00010000"; UTF-16 has the last two the other way round.
EVERYTHING = [
    tensor("\U00010000", [1], ONE),
    tensor("a.bias", [3], ZERO, MINUS_ZERO, SUBNORMAL),
    tensor("a_b", [2, 1], LARGEST, LARGEST | MINUS_ZERO),
    tensor("\u00e9", [1, 2], LARGEST_SUBNORMAL, SMALLEST_NORMAL),
    tensor("e\u0301", [], SUBNORMAL | MINUS_ZERO),
    tensor("a", [2, 2], *(model.bits_of(x) for x in (0.1, -1 / 3, 16777216.0, 2.0**-126))),
    tensor("Z", [1, 1, 1], ONE | MINUS_ZERO),
    tensor("\uff5e", [2], ONE, model.bits_of(1 + 2.0**-23)),
    tensor("a.b", [1] * 8, model.bits_of(3.0e-39)),
]


def otherwise():
    """What other readings of the sentence would make of EVERYTHING."""
    ascending = sorted(EVERYTHING, key=lambda tensor: tensor["name"].encode())

    def of(tensors, encode=model.tensor_bytes, label=model.LABEL):
        return blake3.digest(label + b"".join(map(encode, tensors))).hex()

    def values(change):
        changed = [{**t, "bits": [change(bits) for bits in t["bits"]]} for t in ascending]
        return of(changed)

    def flushed(bits):
        return bits if bits & 0x7F800000 else bits & MINUS_ZERO

    def with_counts(code):
        def encode(tensor):
            name, shape = tensor["name"].encode(), tensor["shape"]
            head = [len(name), name, len(shape), *shape]
            head = [x if isinstance(x, bytes) else struct.pack(code, x) for x in head]
            return b"".join(head) + b"".join(struct.pack("<I", bits) for bits in tensor["bits"])

        return encode

    def characters(tensor):
        return model.u64(len(tensor["name"])) + model.tensor_bytes(tensor)[8:]

    def big_endian(tensor):
        head = model.tensor_bytes({**tensor, "bits": []})
        return head + b"".join(struct.pack(">I", bits) for bits in tensor["bits"])

    def grouped():
        heads = [model.tensor_bytes({**t, "bits": []}) for t in ascending]
        bits = [struct.pack("<I", bits) for t in ascending for bits in t["bits"]]
        return blake3.digest(model.LABEL + b"".join(heads + bits)).hex()

    def scalar_as_1(tensor):
        return model.tensor_bytes({**tensor, "shape": tensor["shape"] or [1]})

    def composed(tensor):
        return model.tensor_bytes({**tensor, "name": unicodedata.normalize("NFC", tensor["name"])})

    return {
        "in the order of the file": of(EVERYTHING),
        "ascending in UTF-16": of(sorted(EVERYTHING, key=lambda t: t["name"].encode("utf-16-be"))),
        "ascending without regard to case": of(sorted(ascending, key=lambda t: t["name"].lower())),
        "names normalized": of(ascending, composed),
        "length of a name in characters": of(ascending, characters),
        "counts of 4 bytes": of(ascending, with_counts("<I")),
        "counts of 8 bytes, the highest first": of(ascending, with_counts(">Q")),
        "a scalar with one side": of(ascending, scalar_as_1),
        "values with the highest byte first": of(ascending, big_endian),
        "values after all names and shapes": grouped(),
        "-0 as 0": values(lambda bits: ZERO if bits == MINUS_ZERO else bits),
        "subnormals as 0": values(flushed),
        "no label": of(ascending, label=b""),
        "a label with its length": of(ascending, label=struct.pack("<I", len(model.LABEL)) + model.LABEL),
    }


def digests():
    # The same five values in other tensors are other models.
    five = [model.bits_of(x) for x in (1.0, 2.0, 3.0, 4.0, 5.0)]
    cases = {
        "everything": EVERYTHING,
        "one scalar": [tensor("w", [], ONE)],
        "one value": [tensor("w", [1], ONE)],
        "one value of two sides": [tensor("w", [1, 1], ONE)],
        "minus zero": [tensor("w", [1], MINUS_ZERO)],
        "zero": [tensor("w", [1], ZERO)],
        "five and one name": [tensor("ab", [5], *five)],
        "two and three": [tensor("a", [2], *five[:2]), tensor("b", [3], *five[2:])],
        "three and two": [tensor("a", [3], *five[:3]), tensor("b", [2], *five[3:])],
        "a row": [tensor("ab", [1, 5], *five)],
        "a column": [tensor("ab", [5, 1], *five)],
    }
    cases = [
        {
            "name": name,
            "tensors": tensors,
            "hashed": model.hashed_bytes(tensors).hex(),
            "digest": model.digest(tensors),
        }
        for name, tensors in cases.items()
    ]
    write(
        "model_digest",
        "model",
        "model_digest",
        "Models, as the tensors come from a file, in any order, to the bytes that are hashed and the "
        "digest. Values are the bits of float32 as numbers. `otherwise`: what other readings of "
        "docs/wire.md would give for the first.",
        cases=cases,
        otherwise=otherwise(),
    )
    about = "A model with a value that is not finite: it has no digest in the protocol, and is refused."
    for name, bits, text in [("nan", NAN, "NaN"), ("infinite", INFINITE | MINUS_ZERO, "-inf")]:
        tensors = [tensor("a", [1], ONE), tensor("w", [2], ONE, bits)]
        bad("model", name, about, f"tensor `w` holds {text} at index 1", half="model", tensors=tensors)


def steps():
    tie_down, tie_up = (ONE, model.bits_of(2.0**-24)), (ONE + 1, model.bits_of(2.0**-24))
    pairs = [
        tie_down,
        tie_up,
        (ONE, model.bits_of(2.0**-24) + 1),
        (MINUS_ZERO, MINUS_ZERO),
        (MINUS_ZERO, ZERO),
        (ONE, ONE | MINUS_ZERO),
        (SUBNORMAL, SUBNORMAL),
        (SMALLEST_NORMAL, SUBNORMAL | MINUS_ZERO),
        (LARGEST, model.bits_of(2.0**102)),
        (model.bits_of(16777216.0), ONE),
        (model.bits_of(0.1), model.bits_of(0.2)),
    ]
    base, mean = ([tensor("w", [len(pairs)], *column)] for column in zip(*pairs))
    after = model.added(base, mean)
    write(
        "model_step",
        "model",
        "model_step",
        "A model, the mean of a round and the next model, as bits of float32: ties, signed zeros and "
        "subnormals.",
        base=base,
        mean=mean,
        next=after,
        digest=model.digest(after),
    )
    about = "A model and the mean of a round that have no next model."
    one = [tensor("w", [2], ONE, ONE)]
    for name, update, error in [
        ("overflow", [tensor("w", [2], ZERO, LARGEST)], "tensor `w` holds inf at index 1"),
        ("nan", [tensor("w", [2], ZERO, NAN)], "tensor `w` holds NaN at index 1"),
        ("other_shape", [tensor("w", [1, 2], ONE, ONE)], "expected shape [2], found [1, 2]"),
        ("other_name", [tensor("v", [2], ONE, ONE)], "tensor `v` is in the update weights but not in the base ones"),
    ]:  # fmt: skip
        start = [tensor("w", [2], ONE, LARGEST)] if name == "overflow" else one
        bad("model_step", name, about, error, half="model", base=start, mean=update)


def round_of_the_story():
    """From the mean of opened.json to the next model's digest."""
    label = "ringfence/v2/vectors/base model"
    drawn = struct.unpack(f"<{VALUES}H", blake3.digest(label.encode(), length=2 * VALUES))
    base = [packing.float32((u % 2001 - 1000) / 1000) for u in drawn]
    values, clips = story.opened().sums, packing.clips_of(LAYOUT)
    mean = [packing.mean(s, len(story.CONTRIBUTORS), c, 16) for s, c in zip(values, clips)]
    models, at = [[], []], 0
    for layout in LAYOUT:
        count = math.prod(layout["shape"])
        for tensors, numbers_ in zip(models, (base, mean)):
            bits = [model.bits_of(x) for x in numbers_[at : at + count]]
            tensors.append(tensor(layout["name"], layout["shape"], *bits))
        at += count
    after = model.added(*models)
    values = [model.value(bits) for t in after for bits in t["bits"]]
    write(
        "model_after_round",
        "model",
        "model_after_round",
        "A whole step: value v of the base model is the float32 nearest to (u mod 2001 - 1000) / 1000 for "
        "the 2-byte little-endian numbers u of the extendable output of BLAKE3 over `base_label`, in layout "
        "order; the mean is that of opened.json. Both digests, and the first and last values of the next "
        "model as float32.",
        layout=[{"name": t["name"], "shape": t["shape"]} for t in LAYOUT],
        base_label=label,
        base_digest=model.digest(models[0]),
        mean_of="opened",
        first=numbers(values[:8], "f"),
        last=numbers(values[-8:], "f"),
        digest=model.digest(after),
    )


def add_all():
    digests()
    steps()
    round_of_the_story()
