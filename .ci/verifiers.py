#!/usr/bin/env python3
"""Holds the two verifiers of an export to each other: the command `ringfence-audit`, and the Python program
beside it that was written from the documents.

Honest exports must be found honest by both. Of altered ones both must say that something is wrong, and
name what was altered, as the generator says from the documents which check of which round that is; and
the verdicts of both must be the same, check by check.

    .ci/verifiers.py [--tampered 200] [--honest 20] [--first 0] [--workers 2] [--built]

Needs `cryptography` and `blake3` of PyPI, which it installs into target/verifiers unless they are here,
and the command with the example `exports`, which it builds in the profile of --profile
unless they are (--built).
"""

import argparse
import collections
import importlib.util
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "crypto" / "audit" / "python" / "ringfence_audit.py"
PACKAGES = ["cryptography==50.0.2", "blake3==1.0.11"]
BATCH = 37


def with_packages():
    """Starts this program again where its packages are."""
    if all(importlib.util.find_spec(name) for name in ("cryptography", "blake3")):
        return
    where = ROOT / "target" / "verifiers"
    python = where / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", where], check=True)
    if Path(sys.prefix).resolve() == where.resolve():
        sys.exit("the packages are not to be found")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    os.execv(python, [python, *sys.argv])


def built(profile, is_built):
    """The command and the example."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / profile
    programs = target / "ringfence-audit", target / "examples" / "exports"
    if is_built:
        return programs
    build = ["cargo", "build", "--locked", "--profile", profile, "-p", "ringfence-audit"]
    subprocess.run([*build, "--bins", "--example", "exports"], check=True, cwd=ROOT)
    return programs


def by_the_command(command, folder):
    """What it ends with, and its verdicts: (round or none, check, verdict)."""
    done = subprocess.run([command, folder, "--json"], capture_output=True, text=True)
    if done.returncode == 2:
        return 2, collections.Counter()
    report = json.loads(done.stdout)
    lines = [(None, line) for line in report["lines"]]
    lines += [(of["round"], line) for of in report["rounds"] for line in of["lines"]]
    return done.returncode, collections.Counter(
        (number, line["check"], line["verdict"]) for number, line in lines
    )


def by_python(folder):
    import ringfence_audit as other

    try:
        lines = other.Audit(str(folder), True).lines
    except other.Fault:
        return 2, collections.Counter()
    except Exception as error:  # a fault of the program's own, to be told with its export
        return repr(error), collections.Counter()
    found = collections.Counter((line["round"], line["check"], line["verdict"]) for line in lines)
    verdicts = {verdict for _, _, verdict in found}
    return 1 if "false" in verdicts else 3 if "missing" in verdicts else 0, found


def faults_of(expected, got):
    """Why this is not what was expected, if it is not."""
    code, found = got
    if not expected["named"] and not expected["unreadable"]:
        return [] if code == 0 else [f"a false alarm: {code}, {bad(found)}"]
    if expected["unreadable"]:
        return [] if code == 2 else [f"expected an end with 2, got {code}"]
    if code not in (1, 3):
        return [f"not found: {code}"]
    named = any((*of, verdict) in found for of in expected["named"] for verdict in ("false", "missing"))
    return [] if named else [f"expected one of {expected['named']}, got {bad(found)}"]


def bad(found):
    return sorted((str(n), check, v) for n, check, v in found if v in ("false", "missing"))


def batch(work):
    kind, first, count, command, exports = work
    faults = []
    with tempfile.TemporaryDirectory() as to:
        subprocess.run([exports, kind, str(first), str(count), to], check=True)
        for number in range(first, first + count):
            folder = Path(to) / str(number)
            expected = json.loads((Path(to) / f"{number}.json").read_text())
            ours, theirs = by_the_command(command, folder), by_python(folder)
            of = [f"command: {fault}" for fault in faults_of(expected, ours)]
            of += [f"Python: {fault}" for fault in faults_of(expected, theirs)]
            if ours != theirs:
                of.append(f"verdicts differ: only the command {sorted(map(str, ours[1] - theirs[1]))}, only "
                          f"Python {sorted(map(str, theirs[1] - ours[1]))}, {ours[0]} and {theirs[0]}")
            faults += [f"{kind} {number}, {expected['what']}: {fault}" for fault in of]
            shutil.rmtree(folder, ignore_errors=True)
    return count, faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tampered", type=int, default=200)
    parser.add_argument("--honest", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--profile", default="release")
    parser.add_argument("--built", action="store_true", help="with the programs that are there")
    arguments = parser.parse_args()
    command, exports = built(arguments.profile, arguments.built)
    sys.path.insert(0, str(PROGRAM.parent))
    end = lambda of: arguments.first + of
    work = [
        (kind, first, min(BATCH, end(of) - first), command, exports)
        for kind, of in (("honest", arguments.honest), ("tampered", arguments.tampered))
        for first in range(arguments.first, end(of), BATCH)
    ]
    start, done, faults = time.monotonic(), 0, []
    told = start
    with multiprocessing.Pool(arguments.workers) as pool:
        for count, found in pool.imap_unordered(batch, work):
            done += count
            faults += found
            for fault in found:
                print(fault, flush=True)
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(f"{done} of {arguments.tampered + arguments.honest}, {len(faults)} faults", flush=True)
    print(f"{arguments.tampered} tamperings, {arguments.honest} honest exports, {len(faults)} faults, "
          f"{time.monotonic() - start:.0f} s")
    sys.exit(1 if faults or done == 0 else 0)


if __name__ == "__main__":
    with_packages()
    main()
