#!/usr/bin/env python3
"""Two versions of the software in one study: rounds by the commands, the aggregator of one version and
sites of the other.

    .ci/neighbours.py OLD [NEW]     folders with `ringfence` and `ringfence-aggregator`; NEW is
                                    target/release unless given

Three studies, of two rounds each: sites of OLD with the aggregator of NEW, the reverse, and sites of
both with the aggregator of OLD, which is stopped between the rounds, and that of NEW started on its
data. The mean of every round must be that of the updates, and all sites must have the same model. CI
does not run it, for it has no older binaries: build those of the release before, or of the commit
before a change of what is sent (`git worktree add`, `cargo build --release`), and run it before a
release. Python 3.11 and nothing else is needed.
"""

import argparse
import array
import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITES = ["a", "b", "c", "d"]
VALUES = 5000
CLIP = 0.5


class Failed(Exception):
    """What went wrong, in words."""


def write(path, values):
    """A safetensors file with one tensor."""
    data = array.array("f", values).tobytes()
    head = {"w": {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, len(data)]}}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read(path):
    """The values of such a file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    values = array.array("f")
    values.frombytes(data[8 + length :])
    return values


class Study:
    """A study in a folder: whose program each site and the aggregator run."""

    def __init__(self, folder, aggregator, sites):
        self.folder, self.aggregator, self.sites = folder, aggregator, sites
        self.process, self.url = None, None

    def run(self, program, *words, text=None):
        """Runs a command to its end; its output."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RINGFENCE_")}
        ended = subprocess.run(
            [str(program), *map(str, words)], cwd=self.folder, env=environment,
            capture_output=True, text=True, timeout=600, input=text,
        )  # fmt: skip
        if ended.returncode:
            command = " ".join([program.parent.name + "/" + program.name, *map(str, words)][:4])
            raise Failed(f"{command}: {ended.stderr.strip()[-800:]}")
        return ended.stdout

    def site(self, site, *words):
        member = ["--identity", f"{site}.identity", "--state", f"state-{site}"]
        return self.run(
            self.sites[site] / "ringfence", *words, *member, "--server", self.url, "--patience", 120
        )

    def start(self, program):
        """Starts the aggregator's program, on the data that is there."""
        log = open(self.folder / "aggregator.log", "a")
        self.process = subprocess.Popen(
            [program / "ringfence-aggregator", "serve", "--data", "data", "--key", "aggregator.key",
             "--admin-token-file", "admin.token", "--listen", "127.0.0.1:0"],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                self.url = found[0]
                break
        else:
            raise Failed((self.folder / "aggregator.log").read_text()[-800:])
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{self.url}/readyz", timeout=5).read()
                return
            except OSError:
                time.sleep(0.1)
        raise Failed("the aggregator is not ready after 10 s")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def make(self):
        """Keys, the model, and a study that is registered; by the programs of its first site."""
        first = self.sites[SITES[0]] / "ringfence"
        key = self.run(
            self.aggregator / "ringfence-aggregator", "keygen", "--key", "aggregator.key"
        )
        (self.folder / "admin.token").write_text("a-token-of-this-rehearsal-only")
        (self.folder / "admin.token").chmod(0o600)
        write(self.folder / "model-0.safetensors", [1.0] * VALUES)
        for site in SITES:
            self.run(self.sites[site] / "ringfence", "keygen", "--site", site)
        roster = [word for site in SITES for word in ("--site", f"{site}.public.json")]
        self.run(
            first, "study", "new", "--name", "neighbours", *roster, "--aggregator-key", key.strip(),
            "--model", "model-0.safetensors", "--training", "none", "--clip", CLIP,
            "--min-round-seconds", 5, "--review-seconds", 60, "--initiator-timeout-seconds", 1,
            "--out", "study.json",
        )  # fmt: skip
        for site in SITES:
            self.run(
                self.sites[site] / "ringfence", "study", "sign", "--identity", f"{site}.identity"
            )
        self.start(self.aggregator)
        self.run(
            first, "study", "register", "--admin-token-file", "admin.token", "--server", self.url
        )

    def all(self, step):
        """A step of every site, at the same time."""
        with ThreadPoolExecutor(len(SITES)) as pool:
            return list(pool.map(step, SITES))

    def round(self, number):
        """A round by the commands; checks the mean and the model after it."""
        chance = random.Random(number)
        updates = {s: [chance.uniform(-CLIP, CLIP) for _ in range(VALUES)] for s in SITES}
        for site, values in updates.items():
            write(self.folder / f"update-{site}.safetensors", values)
        base = f"model-{number}.safetensors"
        self.site(SITES[number % len(SITES)], "open", "--base", base, "--seconds", 120)
        self.all(
            lambda site: self.site(
                site, "contribute", "--base", base, "--update", f"update-{site}.safetensors"
            )
        )
        self.all(lambda site: self.site(site, "hold"))
        self.all(
            lambda site: self.site(
                site, "mean", "--base", base, "--out", f"mean-{number}-{site}.safetensors",
                "--model-out", f"model-{number + 1}-{site}.safetensors",
            )
        )  # fmt: skip
        models = [self.folder / f"model-{number + 1}-{site}.safetensors" for site in SITES]
        if len({model.read_bytes() for model in models}) != 1:
            raise Failed(f"round {number}: the sites have different models")
        models[0].rename(self.folder / f"model-{number + 1}.safetensors")
        mean = read(self.folder / f"mean-{number}-{SITES[0]}.safetensors")
        right = [sum(updates[site][k] for site in SITES) / len(SITES) for k in range(VALUES)]
        apart = max(abs(got - expected) for got, expected in zip(mean, right, strict=True))
        if apart > 1e-4:
            raise Failed(f"round {number}: the mean differs by {apart} from that of the updates")


def rehearse(name, aggregator, sites, then):
    """One study; whether it went well. `then`: whose program serves the second round."""
    with tempfile.TemporaryDirectory(prefix="neighbours-") as folder:
        study = Study(Path(folder), aggregator, dict(zip(SITES, sites, strict=True)))
        began = time.monotonic()
        try:
            study.make()
            study.round(0)
            if then != aggregator:
                study.stop()
                study.start(then)
            study.round(1)
        except (Failed, OSError, subprocess.TimeoutExpired) as error:
            print(f"FAILED  {name}: {error}", flush=True)
            return False
        finally:
            study.stop()
        print(f"well    {name}: two rounds in {time.monotonic() - began:.0f} s", flush=True)
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old", type=Path, help="folder with the binaries of the version before")
    parser.add_argument("new", type=Path, nargs="?", default=ROOT / "target" / "release")
    arguments = parser.parse_args()
    old, new = arguments.old.resolve(), arguments.new.resolve()
    for folder in old, new:
        for program in "ringfence", "ringfence-aggregator":
            if not (folder / program).is_file():
                sys.exit(f"expected {folder / program}")
    ended = [
        rehearse("sites of the old version, aggregator of the new one", new, [old] * 4, new),
        rehearse("sites of the new version, aggregator of the old one", old, [new] * 4, old),
        rehearse(
            "sites of both, the aggregator brought from the old version to the new one",
            old, [old, new, old, new], new,
        ),
    ]  # fmt: skip
    sys.exit(not all(ended))


if __name__ == "__main__":
    main()
