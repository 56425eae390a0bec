"""Binary frames: fields in order; strings, byte strings and lists carry a 64-bit little-endian count,
a choice its number in 32 bits."""

import struct


def frame_bytes(data):
    return struct.pack("<Q", len(data)) + data


def frame_list(items):
    return struct.pack("<Q", len(items)) + b"".join(frame_bytes(item) for item in items)


def opening_frame(signed, content, keys):
    """A signed opening, its hashes and signature as JSON's text, the content and the sealed keys."""
    return opening_statement(signed) + frame_bytes(content) + frame_list(keys)


def opening_part(signed, key, path, content):
    """What one site fetches: the statement, its sealed key, the key's path, the content."""
    hashes = [node.hex().encode() for node in path]
    return opening_statement(signed) + frame_bytes(key) + frame_list(hashes) + frame_bytes(content)


def opening_statement(signed):
    fields = [*signed["statement"].items(), ("signature", signed["signature"])]
    return b"".join(
        subject(value) if name == "subject" else frame_bytes(value.encode()) for name, value in fields
    )


def subject(value):
    if value == "sum":
        return struct.pack("<I", 0)
    ((name, content),) = value.items()
    number, field = {"functionals": (1, "dispute"), "keys": (2, "verdict")}[name]
    return struct.pack("<I", number) + frame_bytes(content[field].encode())
