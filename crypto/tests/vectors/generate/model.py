"""A model's digest, and the model that follows a round. A tensor is a dictionary of its name, its shape
and the bits of its values."""

import struct

import blake3
import packing

LABEL = b"ringfence/model/1"


def u64(value):
    return struct.pack("<Q", value)


def tensor_bytes(tensor):
    name, shape = tensor["name"].encode(), tensor["shape"]
    head = u64(len(name)) + name + u64(len(shape)) + b"".join(u64(side) for side in shape)
    return head + b"".join(struct.pack("<I", bits) for bits in tensor["bits"])


def hashed_bytes(tensors):
    ascending = sorted(tensors, key=lambda tensor: tensor["name"].encode())
    return LABEL + b"".join(tensor_bytes(tensor) for tensor in ascending)


def digest(tensors):
    return blake3.digest(hashed_bytes(tensors)).hex()


def value(bits):
    """The double with the value of a float32's bits."""
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def bits_of(number):
    """The bits of the float32 nearest to a double, ties to even."""
    return struct.unpack("<I", struct.pack("<f", number))[0]


def added(base, mean):
    """base + mean, value by value. The sum of two float32 as a double, rounded once more, is their
    float32 sum (a double has more than twice as many digits, and two)."""
    pairs = zip(base, mean)
    return [
        {**b, "bits": [bits_of(packing.float32(value(x) + value(y))) for x, y in zip(b["bits"], m["bits"])]}
        for b, m in pairs
    ]  # fmt: skip
