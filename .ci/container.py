#!/usr/bin/env python3
"""Takes the steps of aggregator/deploy/Containerfile where no container engine runs; tries them.

The base is a Debian of the release that FROM names, made by mmdebstrap. COPY, RUN, ENV, USER,
VOLUME, HEALTHCHECK, STOPSIGNAL, ENTRYPOINT and CMD are read from the file itself; a step that this
script does not know is an error. Then the program is started as the file's user in namespaces of
its own, with a root that can only be read, without capabilities; it is asked /readyz and by the
health check, stopped by the file's signal, and started again on the same volumes.

    .ci/container.py BINARY                 about two minutes, most of them for the base
    .ci/container.py BINARY --base FILE     keeps the base in FILE, or takes it from there

Needs root, mmdebstrap (or a base), and a binary for this machine, as target/release has it.
"""

import argparse
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "aggregator/deploy/Containerfile"
CONFIG = "/etc/ringfence-aggregator"


def steps(text):
    """The file's instructions, each with its words as they stand there."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, rest = line.partition(" ")
        yield name.upper(), rest.strip()


def words(rest):
    """The words of a command: a list in JSON, or a text for the shell."""
    return json.loads(rest) if rest.startswith("[") else ["/bin/sh", "-c", rest]


def base(release, kept):
    """A tar file with a small Debian."""
    if not kept.exists():
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", release, kept], check=True)
    return kept


def build(folder, binary, kept):
    """Takes the steps in a folder; answers with what they say about the running."""
    image = {"env": {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}, "volumes": []}
    root = folder / "root"
    context = folder / "context"
    context.mkdir()
    shutil.copy(binary, context / "ringfence-aggregator")
    for name, rest in steps(FILE.read_text()):
        print(f"{name} {rest}", flush=True)
        if name == "FROM":
            release = re.fullmatch(r"debian:(\w+)-slim", rest).group(1)
            root.mkdir()
            tar = base(release, kept or folder / "base.tar")
            # Device nodes are the engine's.
            command = ["tar", "--extract", "--numeric-owner", "--exclude=./dev/*", "--file", tar]
            subprocess.run([*command, "--directory", root], check=True)
        elif name == "COPY":
            source, target = shlex.split(rest)
            shutil.copy(context / source, root / target.lstrip("/"))
        elif name == "RUN":
            subprocess.run(["chroot", root, *words(rest)], env=image["env"], check=True)
        elif name == "ENV":
            image["env"].update(word.split("=", 1) for word in shlex.split(rest))
        elif name == "VOLUME":
            image["volumes"] += json.loads(rest) if rest.startswith("[") else shlex.split(rest)
        elif name == "HEALTHCHECK":
            image["health"] = words(rest.split(" CMD ", 1)[1].strip())
        elif name in ("ENTRYPOINT", "CMD"):
            image[name.lower()] = words(rest)
        elif name in ("USER", "STOPSIGNAL"):
            image[name.lower()] = rest
        elif name != "EXPOSE":
            sys.exit(f"{FILE}: this script does not know {name}")
    return image


def loopback_up():
    with socket.socket() as some:
        flags = struct.pack("16sh", b"lo", 0x1)
        fcntl.ioctl(some, 0x8914, flags)  # SIOCSIFFLAGS, IFF_UP


def mount(*words):
    subprocess.run(["mount", *words], check=True)


class Running:
    """The container's root with its mounts, as it runs; they end with this process."""

    def __init__(self, folder, image):
        self.image, self.root = image, folder / "root"
        loopback_up()
        mount("--make-rprivate", "/")
        mount("--bind", self.root, self.root)
        # As an engine does it: a volume starts with the owner that the image has at its place.
        for number, path in enumerate([*image["volumes"], CONFIG]):
            volume, place = folder / f"volume-{number}", self.root / path.lstrip("/")
            volume.mkdir()
            about = place.stat()
            os.chown(volume, about.st_uid, about.st_gid)
            volume.chmod(about.st_mode & 0o7777)
            mount("--bind", volume, place)
        mount("-o", "remount,bind,ro", self.root)

    def command(self, words):
        user, _, group = self.image["user"].partition(":")
        caps = ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        drop = ["setpriv", f"--reuid={user}", f"--regid={group}", *caps]
        return ["chroot", self.root, *drop, *words]

    def run(self, words, **more):
        return subprocess.run(self.command(words), env=self.image["env"], **more)

    def settings(self):
        """What an administrator puts there: the sample, a key, a token."""
        place = self.root / CONFIG.lstrip("/")
        entry = self.image["entrypoint"]
        self.run([*entry, "keygen", "--key", f"{CONFIG}/aggregator.key"], check=True)
        shutil.copy(ROOT / "aggregator/deploy/aggregator.toml", place)
        (place / "admin.token").write_text("a-token-only-for-this-script\n")
        (place / "tokens").touch()
        user, _, group = self.image["user"].partition(":")
        for file in place.iterdir():
            os.chown(file, int(user), int(group))
            file.chmod(0o400)
        mount("-o", "remount,bind,ro", place)

    def serve(self):
        """Starts it, asks whether it is well, and stops it; how many milliseconds stopping took."""
        words = self.command([*self.image["entrypoint"], *self.image["cmd"]])
        process = subprocess.Popen(words, env=self.image["env"])
        try:
            for _ in range(600):
                assert process.poll() is None, f"it ended: {process.returncode}"
                if self.run(self.image["health"], stderr=subprocess.DEVNULL).returncode == 0:
                    break
                time.sleep(0.1)
            else:
                sys.exit("the health check never passed")
            status = Path(f"/proc/{process.pid}/status").read_text()
            user = self.image["user"].partition(":")[0]
            assert re.search(rf"^Uid:\t{user}\t{user}\t{user}\t{user}$", status, re.M), status
            assert re.search(r"^CapEff:\t0+$", status, re.M), status
            assert re.search(r"^NoNewPrivs:\t1$", status, re.M), status
            for place in ("8080/readyz", "9464/metrics"):
                with urllib.request.urlopen(f"http://127.0.0.1:{place}", timeout=10) as answer:
                    assert answer.status == 200, place
            began = time.monotonic()
            process.send_signal(getattr(signal, self.image["stopsignal"]))
            assert process.wait(30) == 0, process.returncode
            return round(1000 * (time.monotonic() - began))
        finally:
            process.kill()

    def check(self):
        health = self.run(self.image["health"], stderr=subprocess.DEVNULL)
        assert health.returncode != 0, "the health check passes where nothing runs"
        for path in ("/usr/bin/x", "/tmp/x", "/etc/x", f"{CONFIG}/x"):
            words = ["chroot", self.root, "touch", path]
            as_root = subprocess.run(words, capture_output=True, env=self.image["env"])
            for tried in (as_root, self.run(["touch", path], capture_output=True)):
                assert b"Read-only file system" in tried.stderr, (path, tried)


def inside(folder):
    image = json.loads((folder / "image.json").read_text())
    running = Running(folder, image)
    running.settings()
    running.check()
    for start in ("first", "second"):
        print(f"{start} start: ready, and stopped in {running.serve()} ms", flush=True)
    data = running.root / "var/lib/ringfence-aggregator/data"
    assert (data / "statements.sqlite").is_file(), "nothing was stored in the volume"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        inside(given.inside)
        return
    if os.geteuid() != 0:
        sys.exit("expected root: it makes a root folder with other owners and mounts in it")
    with tempfile.TemporaryDirectory(prefix="ringfence-container-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        image = build(folder, given.binary, given.base)
        (folder / "image.json").write_text(json.dumps(image))
        # Its mounts and processes are gone when it ends.
        spaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        own = [sys.executable, __file__, given.binary, "--inside", folder]
        subprocess.run([*spaces, *own], check=True)
    print("every step of the Containerfile was taken, and what it makes runs")


if __name__ == "__main__":
    main()
