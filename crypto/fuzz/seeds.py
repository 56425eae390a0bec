"""Writes the fuzzers' seeds from the test vectors: `python3 crypto/fuzz/seeds.py`.

A seed of the target `json` is the number of its kind (the order of the match in
`fuzz_targets/json.rs`) and the JSON; of `frames`, a frame; of `texts`, a text.
"""

import json
from pathlib import Path

HERE = Path(__file__).parent
VECTORS = HERE.parent / "tests" / "vectors"
# A field that only statements of the kind have, beside those of all kinds before it.
KINDS = {
    "base_model": 0,
    "body_bytes": 1,
    "received_at": 2,
    "answers": 3,
    "included": 4,
    "recipients": 6,
    "outcome": 7,
    "first_round": 8,
    "contributions": 18,
}


def write(target, name, data):
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def objects(value):
    if isinstance(value, dict):
        yield value
        value = value.values()
    if isinstance(value, (list, type({}.values()))):
        for item in value:
            yield from objects(item)


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def kind(message):
    if set(message) == {"closing", "endorsements"}:
        return 9
    if set(message) == {"protocol", "study", "signatures"}:
        return 23
    if set(message) == {"statement", "endorsements"}:
        return 21 if "coefficient" in message["statement"] else 22
    if set(message) != {"statement", "signature"} or not isinstance(message["statement"], dict):
        return None
    fields = message["statement"]
    if set(fields) == {"statement", "holder"}:
        return 19 if "coefficient" in fields["statement"] else 20
    return next((number for field, number in KINDS.items() if field in fields), 5)


def main():
    seen = {}
    for path in sorted((VECTORS / "v2").glob("*.json")):
        for message in objects(json.loads(path.read_text())):
            number = kind(message)
            # Two of a kind are enough: the fuzzer finds the rest.
            if number is None or seen.get(number, 0) == 2:
                continue
            data = json.dumps(message, separators=(",", ":")).encode()
            if len(data) < 40_000:
                seen[number] = seen.get(number, 0) + 1
                write("json", f"kind-{number:02}-{seen[number]}", bytes([number]) + data)
    for path in sorted((VECTORS / "v2").glob("frame*.json")):
        found = [t for t in texts(json.loads(path.read_text())) if len(t) > 8 and len(t) < 20_000]
        for index, text in enumerate(found):
            try:
                write("frames", f"{path.stem}-{index}", bytes.fromhex(text))
            except ValueError:
                pass
    log = json.loads((VECTORS / "log.json").read_text())
    for index, text in enumerate(t for t in texts(log) if "\n" in t or "+" in t):
        write("texts", f"log-{index}", text.encode())
    write("texts", "site", b"site-1")
    write("texts", "identity", b"site-1\n" + b"07" * 32 + b"\n" + b"08" * 32 + b"\n")
    write("words", "mixed", bytes(range(256)) * 4)
    # Announce and receive four contributions, freeze, review, close, endorse, open.
    write("round", "mixed", bytes(range(0, 256, 3)) * 2)


if __name__ == "__main__":
    main()
