#!/usr/bin/env python3
"""A round of three sites through everything that stands between a hospital and an aggregator.

Each site is a network namespace behind a gateway that translates addresses, lets only port 443 out
and has a line of 1 Mbit/s. Site a connects directly, b through a proxy with a password, c through a
proxy that opens TLS connections (mitmproxy where `mitmdump` is found, else one of this script's). A
relay before the aggregator cuts every connection after some seconds. The mean must be the one that
the same updates have without all this.

    .ci/network.py             30 s a connection, 4 million parameters: 3 minutes
    .ci/network.py --short     8 s, 800 000 parameters: 1 minute

Needs root, network namespaces, `ip`, `tc`, `nft`, `openssl` and Python 3.11, and says so and ends
well where they are not there. The binaries are those of target/release.
"""

import argparse
import array
import asyncio
import base64
import json
import os
import random
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITES = "abc"
# The outside: the aggregator behind the relay, the proxy with a password, the one that opens
# connections. All at port 443, the only one that is let out.
AGGREGATOR, PROXY, OPENING = "10.77.9.2", "10.77.9.3", "10.77.9.4"
USER = "hospital:pa@ss"
CLIP, BITS = 0.5, 16


# --- Processes of the outside -----------------------------------------------------------------


async def pump(reader, writer):
    """Passes bytes on until there are none."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def join(one, other, seconds=None):
    """Passes bytes on both ways, for so many seconds at most; whether it was cut."""
    both = asyncio.gather(pump(one[0], other[1]), pump(other[0], one[1]))
    try:
        await asyncio.wait_for(both, seconds)
        return False
    except TimeoutError:
        for _, writer in one, other:
            writer.transport.abort()
        return True


async def relay(seconds, report):
    """Leads to the aggregator; cuts every connection after so many seconds, and counts."""
    counts = {"connections": 0, "cut": 0, "peers": []}

    async def serve(reader, writer):
        counts["connections"] += 1
        peer = writer.get_extra_info("peername")[0]
        if peer not in counts["peers"]:
            counts["peers"].append(peer)
        server = await asyncio.open_connection("127.0.0.1", 8443)
        cut = await join((reader, writer), server, seconds)
        counts["cut"] += cut
        Path(report).write_text(json.dumps(counts))

    await listen(serve, AGGREGATOR)


async def connect(reader, writer, user=None):
    """Reads a CONNECT, and answers it: whether the way is open."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    wanted = f"Basic {base64.b64encode(user.encode()).decode()}" if user else ""
    if wanted not in head:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        writer.close()
        return False
    if not head.startswith(f"CONNECT {AGGREGATOR}:443 "):
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        writer.close()
        return False
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await writer.drain()
    return True


async def proxy():
    """Opens a way to the aggregator for whoever knows the password."""

    async def serve(reader, writer):
        if await connect(reader, writer, USER):
            await join((reader, writer), await asyncio.open_connection(AGGREGATOR, 443))

    await listen(serve, PROXY)


async def opening(folder):
    """Ends TLS connections with a certificate of its own, and reads what passes."""
    here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    here.load_cert_chain(f"{folder}/opened.pem", f"{folder}/opened.key")
    there = ssl.create_default_context(cafile=f"{folder}/hospital-ca.pem")

    async def serve(reader, writer):
        if await connect(reader, writer):
            await writer.start_tls(here)
            await join((reader, writer), await asyncio.open_connection(AGGREGATOR, 443, ssl=there))

    await listen(serve, OPENING)


async def listen(serve, host):
    async def careful(reader, writer):
        try:
            await serve(reader, writer)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            writer.transport.abort()

    server = await asyncio.start_server(careful, host, 443)
    async with server:
        await server.serve_forever()


# --- The network ------------------------------------------------------------------------------


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


class Network:
    """Namespaces `a`, `b`, `c` behind `gate`, which leads to `out`."""

    def __init__(self):
        self.prefix = f"rf{os.getpid()}"
        self.made = []

    def name(self, of):
        return f"{self.prefix}{of}"

    def within(self, of):
        return ["ip", "netns", "exec", self.name(of)]

    def build(self):
        for of in [*SITES, "gate", "out"]:
            run("ip", "netns", "add", self.name(of))
            self.made.append(self.name(of))
            run(*self.within(of), "ip", "link", "set", "lo", "up")
        for number, site in enumerate(SITES, 1):
            self.link("gate", f"to-{site}", f"10.77.{number}.1", site, "up0", f"10.77.{number}.2")
            run(*self.within(site), "ip", "route", "add", "default", "via", f"10.77.{number}.1")
            for end, device in [("gate", f"to-{site}"), (site, "up0")]:
                run(*self.within(end), "tc", "qdisc", "add", "dev", device, "root", "tbf",
                    "rate", "1mbit", "burst", "16kb", "latency", "400ms")  # fmt: skip
        self.link("gate", "wan", "10.77.9.1", "out", "wan", AGGREGATOR)
        for address in PROXY, OPENING:
            run(*self.within("out"), "ip", "address", "add", f"{address}/24", "dev", "wan")
        rules = """
            table ip wall {
                chain forward {
                    type filter hook forward priority 0; policy drop;
                    ct state established,related accept
                    oifname "wan" tcp dport 443 accept
                }
                chain translate {
                    type nat hook postrouting priority 100;
                    oifname "wan" masquerade
                }
            }
        """
        gate = self.within("gate")
        run(*gate, "nft", "-f", "-", input=rules, text=True)
        run(*gate, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def link(self, one, device, address, other, other_device, other_address):
        run("ip", "link", "add", device, "netns", self.name(one), "type", "veth",
            "peer", "name", other_device, "netns", self.name(other))  # fmt: skip
        for end, name, own in [(one, device, address), (other, other_device, other_address)]:
            run(*self.within(end), "ip", "address", "add", f"{own}/24", "dev", name)
            run(*self.within(end), "ip", "link", "set", name, "up")

    def reaches(self, site, port):
        """Whether a site's connection to a port of the outside comes about."""
        script = f"import socket; socket.create_connection(('{AGGREGATOR}', {port}), 3)"
        command = [*self.within(site), sys.executable, "-c", script]
        return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0

    def remove(self):
        for name in self.made:
            subprocess.run(["ip", "netns", "delete", name], check=False)


# --- Files ------------------------------------------------------------------------------------


def write_tensor(path, values):
    data = array.array("f", values).tobytes()
    tensor = {"dtype": "F32", "shape": [len(data) // 4], "data_offsets": [0, len(data)]}
    head = json.dumps({"kernel": tensor}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


def read_tensor(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    start, end = json.loads(data[8 : 8 + length])["kernel"]["data_offsets"]
    return array.array("f", data[8 + length + start : 8 + length + end])


def openssl(folder, *arguments):
    run("openssl", *arguments, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificates(folder):
    """Two CAs, and a certificate for the aggregator's address of each."""
    for ca, name in ("hospital-ca", "server"), ("opening-ca", "opened"):
        openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-subj", f"/CN={ca}", "-days", "2", "-keyout", f"{ca}.key",
                "-out", f"{ca}.pem")  # fmt: skip
        openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.csr")  # fmt: skip
        (folder / f"{name}.ext").write_text(
            f"subjectAltName=IP:{AGGREGATOR}\nbasicConstraints=CA:FALSE\n"
        )
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey",
                f"{ca}.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext",
                "-out", f"{name}.pem")  # fmt: skip


# --- A study of one round ---------------------------------------------------------------------


class Study:
    """Keys, a study and a running aggregator in a folder; each site's commands with its way."""

    def __init__(self, folder, binaries, ways, log):
        self.folder, self.binaries, self.ways, self.log = folder, binaries, ways, log

    def ringfence(self, *arguments, site=None):
        prefix, variables, options = self.ways[site] if site else ([], {}, [])
        kept = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        command = [*prefix, self.binaries / "ringfence", *arguments, *options]
        done = subprocess.run(
            [str(part) for part in command], cwd=self.folder, text=True, env=kept | variables,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.log.write(f"{site or '-'} {arguments[0]}: {done.stdout}\n")
        self.log.flush()
        if done.returncode != 0:
            raise SystemExit(f"{arguments[:2]} of {site} failed:\n{done.stdout}")
        return done.stdout

    def prepare(self, model, updates):
        shutil.copy(model, self.folder / "model.safetensors")
        for site in SITES:
            self.ringfence("keygen", "--site", site, "--out", site)
            shutil.copy(updates[site], self.folder / site / "update.safetensors")
        keygen = [self.binaries / "ringfence-aggregator", "keygen", "--key", "aggregator.key"]
        public = run(*keygen, cwd=self.folder, text=True, stdout=subprocess.PIPE).stdout
        (self.folder / "aggregator.pub").write_text(public)
        token = self.folder / "admin.token"
        token.touch(0o600)
        token.write_text(os.urandom(24).hex())
        sites = [part for s in SITES for part in ("--site", f"{s}/{s}.public.json")]
        self.ringfence("study", "new", "--name", "wall", *sites, "--aggregator-key",
                       "aggregator.pub", "--model", "model.safetensors", "--training", "none",
                       "--clip", CLIP, "--bits", BITS, "--min-round-seconds", 5)  # fmt: skip
        for site in SITES:
            self.ringfence("study", "sign", "--identity", f"{site}/{site}.identity")

    def serve(self, prefix, *arguments):
        command = [*prefix, self.binaries / "ringfence-aggregator", "serve", "--data", "data",
                   "--key", "aggregator.key", "--admin-token-file", "admin.token",
                   *arguments]  # fmt: skip
        log = open(self.folder / "aggregator.log", "w")
        process = subprocess.Popen(
            [str(part) for part in command], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
        line = process.stdout.readline().strip()
        if not line.startswith("listening on "):
            raise SystemExit(f"the aggregator did not start: {line}; see {log.name}")
        return process, line.removeprefix("listening on ")

    def play(self):
        """One round; the mean that each site has opened."""
        self.ringfence("study", "register", "--admin-token-file", "admin.token", site="a")

        def at(site, *command):
            own = ["--identity", f"{site}/{site}.identity", "--state", f"{site}/state"]
            self.ringfence(command[0], *own, *command[1:], site=site)

        def part(site):
            base = ["--base", "model.safetensors"]
            if site == "a":
                at(site, "open", *base)
            at(site, "contribute", *base, "--update", f"{site}/update.safetensors")
            at(site, "hold")
            at(site, "mean", *base, "--out", f"{site}/mean.safetensors",
               "--model-out", f"{site}/model-1.safetensors")  # fmt: skip

        failed = []

        def guarded(site):
            try:
                part(site)
            except BaseException as error:
                failed.append(str(error))

        threads = [threading.Thread(target=guarded, args=[site]) for site in SITES]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        if failed:
            raise SystemExit("\n".join(failed))
        return {s: read_tensor(self.folder / s / "mean.safetensors") for s in SITES}


def mitmdump(folder):
    """mitmproxy, if it is there, and the CA that it made."""
    program = os.environ.get("RINGFENCE_MITMDUMP") or shutil.which("mitmdump")
    if not program:
        return None, folder / "opening-ca.pem"
    options = [f"confdir={folder}/mitm", f"ssl_verify_upstream_trusted_ca={folder}/hospital-ca.pem"]
    options = [part for option in options for part in ("--set", option)]
    command = [program, "-q", "--listen-host", OPENING, "--listen-port", "443", *options]
    return command, folder / "mitm" / "mitmproxy-ca-cert.pem"


def wait_for(what, seconds, found):
    end = time.monotonic() + seconds
    while not found():
        if time.monotonic() > end:
            raise SystemExit(f"expected {what} within {seconds} s")
        time.sleep(0.1)


def through_the_wall(network, folder, binaries, files, cut, log):
    """The round through NAT, proxies, cuts and a slow line; its means, and the relay's counts."""
    certificates(folder)
    out, report, running = network.within("out"), folder / "relay.json", []
    myself = [*out, sys.executable, __file__]
    try:
        command, opening_ca = mitmdump(folder)
        print(f"the proxy that opens connections is {'mitmproxy' if command else 'our own'}")
        for process in (
            [*myself, "--role", "relay", "--cut", cut, "--folder", report],
            [*myself, "--role", "proxy"],
            [*out, *command] if command else [*myself, "--role", "opening", "--folder", folder],
        ):
            process = [str(part) for part in process]
            running.append(subprocess.Popen(process, stdout=log, stderr=log))
        ca = ["--ca", folder / "hospital-ca.pem"]
        password = USER.replace("@", "%40")
        ways = {
            "a": ({}, ca),
            "b": ({"HTTPS_PROXY": f"http://{password}@{PROXY}:443"}, ca),
            "c": ({"https_proxy": f"http://{OPENING}:443"}, ["--ca", opening_ca]),
        }
        server = ["--server", f"https://{AGGREGATOR}"]
        ways = {s: (network.within(s), v, [*server, *o]) for s, (v, o) in ways.items()}
        study = Study(folder, binaries, ways, log)
        study.prepare(*files)
        process, _ = study.serve(
            out, "--listen", "0.0.0.0:8443",
            "--tls-certificate", "server.pem", "--tls-key", "server.key",
        )  # fmt: skip
        running.append(process)
        wait_for("a connection through the gateway", 20, lambda: network.reaches("a", 443))
        if network.reaches("a", 8443):
            raise SystemExit("the wall has a hole: port 8443 is reached")
        wait_for("the CA of the proxy", 20, opening_ca.is_file)
        return study.play(), json.loads(report.read_text())
    finally:
        for process in running:
            process.terminate()
            process.wait()


def without(folder, binaries, files, log):
    """The same round on loopback."""
    ways = {site: ([], {}, []) for site in SITES}
    study = Study(folder, binaries, ways, log)
    study.prepare(*files)
    process, url = study.serve([], "--listen", "127.0.0.1:0")
    study.ways = {site: ([], {}, ["--server", url]) for site in SITES}
    try:
        return study.play()
    finally:
        process.terminate()
        process.wait()


def what_is_missing(network):
    if sys.version_info < (3, 11):
        return "Python 3.11 or later"
    if os.geteuid() != 0:
        return "root"
    tools = [tool for tool in ("ip", "tc", "nft", "openssl") if not shutil.which(tool)]
    if tools:
        return ", ".join(tools)
    try:
        network.build()
    except (subprocess.CalledProcessError, OSError) as error:
        return f"network namespaces with NAT and tbf ({error})"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the files, and say where")
    parser.add_argument("--role", choices=["relay", "proxy", "opening"], help=argparse.SUPPRESS)
    parser.add_argument("--cut", type=float, default=30, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role:
        roles = {
            "relay": lambda: relay(given.cut, given.folder),
            "proxy": proxy,
            "opening": lambda: opening(given.folder),
        }
        asyncio.run(roles[given.role]())
        return
    cut, count = (8, 800_000) if given.short else (30, 4_000_000)
    binaries, network = ROOT / "target" / "release", Network()
    folder = Path(tempfile.mkdtemp(prefix="ringfence-network-"))
    try:
        missing = what_is_missing(network)
        if missing:
            print(f"skipped: the network test needs {missing}")
            return
        rng = random.Random(7)
        model = folder / "model.safetensors"
        write_tensor(model, (rng.uniform(-1, 1) for _ in range(count)))
        draw = lambda: array.array("f", (rng.uniform(-CLIP, CLIP) for _ in range(count)))
        values = {site: draw() for site in SITES}
        updates = {site: folder / f"update-{site}.safetensors" for site in SITES}
        for site in SITES:
            write_tensor(updates[site], values[site])
        with open(folder / "log", "w") as log:
            means = []
            for name in "plain", "wall":
                (folder / name).mkdir()
                start = time.monotonic()
                files = (model, updates)
                if name == "plain":
                    means.append(without(folder / name, binaries, files, log))
                else:
                    wall, counts = through_the_wall(
                        network, folder / name, binaries, files, cut, log
                    )
                    means.append(wall)
                print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
        print(f"the relay saw {counts}")
        check(means, values, counts)
        print("the mean is the same")
    except BaseException:
        given.keep = True
        raise
    finally:
        network.remove()
        if given.keep:
            print(f"files: {folder}")
        else:
            shutil.rmtree(folder)


def check(means, values, counts):
    """The same mean on both ways and at all sites, up to the step of the quantization."""
    plain, wall = means
    step = 2 * CLIP / (2**BITS - 1)
    for site in SITES:
        if wall[site] != wall["a"] or plain[site] != plain["a"]:
            raise SystemExit(f"site {site} has another mean than a")
    exact = [sum(of) / len(SITES) for of in zip(*values.values())]
    for name, mean in ("wall", wall["a"]), ("plain", plain["a"]):
        worst = max(abs(x - y) for x, y in zip(mean, exact, strict=True))
        if worst > step:
            raise SystemExit(f"{name}: a value of the mean is off by {worst}, the step is {step}")
    if counts["cut"] < 4:
        raise SystemExit(f"the relay has cut hardly any connection: {counts}")
    if not set(counts["peers"]) <= {"10.77.9.1", AGGREGATOR, PROXY, OPENING}:
        raise SystemExit(f"a site was seen behind the gateway: {counts}")


if __name__ == "__main__":
    main()
