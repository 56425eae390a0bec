"""BLAKE3: hash, keyed hash and extendable output, after the BLAKE3 paper (O'Connor, Aumasson,
Neves, Wilcox-O'Hearn), sections 2.1 to 2.6. One chunk tree, no SIMD: clarity before speed."""

import struct

IV = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
    0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
CHUNK_START, CHUNK_END, PARENT, ROOT, KEYED_HASH = 1, 2, 4, 8, 16
BLOCK, CHUNK = 64, 1024
MASK = 0xFFFFFFFF


def _message_schedule():
    """Which message word each of the 7 * 16 uses takes."""
    order, schedule = list(range(16)), []
    for _ in range(7):
        schedule.append(tuple(order))
        order = [order[i] for i in PERMUTATION]
    return schedule


SCHEDULE = _message_schedule()


def _unrolled():
    """The source of the compression function with all 56 quarter rounds written out, for speed."""
    lines = ["def compress(chaining, words, counter, length, flags):"]
    lines.append(f"    {', '.join(f'v{i}' for i in range(8))} = chaining")
    lines.append(f"    {', '.join(f'v{i}' for i in range(8, 12))} = {IV[:4]}")
    lines.append("    v12, v13, v14, v15 = counter & M, counter >> 32 & M, length, flags")
    lines.append(f"    {', '.join(f'm{i}' for i in range(16))} = words")
    for order in SCHEDULE:
        for at, (a, b, c, d) in enumerate(COLUMNS + DIAGONALS):
            for word, right, last in ((order[2 * at], 16, 12), (order[2 * at + 1], 8, 7)):
                lines.append(f"    v{a} = v{a} + v{b} + m{word} & M; t = v{d} ^ v{a}")
                lines.append(f"    v{d} = (t >> {right} | t << {32 - right}) & M")
                lines.append(f"    v{c} = v{c} + v{d} & M; t = v{b} ^ v{c}")
                lines.append(f"    v{b} = (t >> {last} | t << {32 - last}) & M")
    ends = [f"v{i} ^ v{i + 8}" for i in range(8)] + [f"v{i + 8} ^ chaining[{i}]" for i in range(8)]
    return "\n".join([*lines, f"    return [{', '.join(ends)}]"])


# The compression function: 16 words, of which the first eight are the chaining value.
_scope = {"M": MASK}
exec(_unrolled(), _scope)
compress = _scope["compress"]


def _words(block):
    return struct.unpack("<16I", block.ljust(BLOCK, b"\0"))


class _Node:
    """A node whose last compression is still to be done: as a parent's child or as the root."""

    def __init__(self, chaining, words, counter, length, flags):
        self.input = (chaining, words, counter, length, flags)

    def chaining_value(self):
        return compress(*self.input)[:8]

    def root_bytes(self, start, count):
        """Bytes `start` up to `start + count` of the extendable output."""
        chaining, words, _, length, flags = self.input
        out = b"".join(
            struct.pack("<16I", *compress(chaining, words, block, length, flags | ROOT))
            for block in range(start // BLOCK, -(-(start + count) // BLOCK))
        )
        return out[start % BLOCK :][:count]


def _chunk(key, chunk, counter, flags):
    blocks = [chunk[i : i + BLOCK] for i in range(0, len(chunk), BLOCK)] or [b""]
    chaining = key
    for index, block in enumerate(blocks):
        own = flags | (CHUNK_START if index == 0 else 0)
        own |= CHUNK_END if index == len(blocks) - 1 else 0
        node = _Node(chaining, _words(block), counter, len(block), own)
        if index < len(blocks) - 1:
            chaining = node.chaining_value()
    return node


def _tree(key, data, counter, flags):
    if len(data) <= CHUNK:
        return _chunk(key, data, counter, flags)
    # The left subtree is the largest complete one that leaves at least a byte to the right.
    left = CHUNK
    while left * 2 < len(data):
        left *= 2
    children = (
        _tree(key, data[:left], counter, flags).chaining_value()
        + _tree(key, data[left:], counter + left // CHUNK, flags).chaining_value()
    )
    return _Node(key, children, 0, BLOCK, flags | PARENT)


def chaining_value(data, start):
    """The chaining value, 32 bytes, of a subtree below the root: `data` starts at byte `start` of the
    whole, a multiple of the chunk."""
    return struct.pack("<8I", *_tree(IV, data, start // CHUNK, 0).chaining_value())


def parent(left, right):
    """The chaining value of a node below the root."""
    words = struct.unpack("<16I", left + right)
    return struct.pack("<8I", *_Node(IV, words, 0, BLOCK, PARENT).chaining_value())


def root_of(left, right):
    """The hash, 32 bytes, whose root has these children."""
    words = struct.unpack("<16I", left + right)
    return _Node(IV, words, 0, BLOCK, PARENT).root_bytes(0, 32)


class Xof:
    """The extendable output, read from the front."""

    def __init__(self, data, key=None):
        words, flags = (IV, 0) if key is None else (struct.unpack("<8I", key), KEYED_HASH)
        self._root, self._at = _tree(words, data, 0, flags), 0

    def skip(self, count):
        self._at += count

    def read(self, count):
        out = self._root.root_bytes(self._at, count)
        self._at += count
        return out


def digest(data, key=None, length=32):
    """The hash of `data`, keyed if a 32-byte key is given."""
    return Xof(data, key).read(length)
