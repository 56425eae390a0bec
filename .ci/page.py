#!/usr/bin/env python3
"""Opens the offline page from its file in headless Chromium, gives it folders, and holds its verdicts to
those of the command: honest exports and altered ones.

    .ci/page.py [--count 6] [--profile release] [--built] [--screenshots DIR]

Says loudly that it skips where WebAssembly's target cannot be installed or no Chromium is found.
"""

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".ci"))
TARGET = "wasm32-unknown-unknown"


def skip(why):
    print(f"\n{'!' * 78}\n!! SKIPPED: the offline page of the audit is neither built nor tested:\n"
          f"!! {why}\n{'!' * 78}\n", flush=True)
    sys.exit(0)


def needed():
    """Chromium, and the target."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        skip("no chromium is installed (Debian: apt-get install chromium)")
    libraries = subprocess.run(["rustc", "--print", "target-libdir", "--target", TARGET], text=True,
                               capture_output=True).stdout.strip()
    if not list(Path(libraries).glob("libstd*")):
        rustup = shutil.which("rustup")
        if not rustup or subprocess.run([rustup, "target", "add", TARGET]).returncode:
            skip(f"the Rust target {TARGET} cannot be installed")
    return chromium


class Browser:
    """Chromium over its debugging pipe: no port, no package."""

    def __init__(self, chromium, profile):
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()
        script = f'exec "$0" "$@" 3<&{to_read} 4>&{from_write}'
        self.process = subprocess.Popen(
            ["sh", "-c", script, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--remote-debugging-pipe", f"--user-data-dir={profile}", "--window-size=1100,1400", "about:blank"],
            pass_fds=(to_read, from_write), stderr=subprocess.DEVNULL)  # fmt: skip
        os.close(to_read), os.close(from_write)
        self.pipe, self.answers = os.fdopen(to_write, "wb", 0), os.fdopen(from_read, "rb")
        self.number, self.session, self.requests = 0, None, []
        target = next(t for t in self("Target.getTargets")["targetInfos"] if t["type"] == "page")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "DOM", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.pipe.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self.message())
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"][:100])
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer}"
                return answer["result"]

    def message(self):
        data = bytearray()
        while (byte := self.answers.read(1)) != b"\0":
            assert byte, "the browser has ended"
            data += byte
        return data

    def value(self, expression):
        return self("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def until(self, expression, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (value := self.value(expression)) is not None:
                return value
            time.sleep(0.1)
        sys.exit(f"the page shows after {seconds} s: {self.value('document.body.innerText')}")

    def audit(self, page, folder):
        """What the page ends with, and its report."""
        self("Page.navigate", url=page.as_uri())
        self.until("document.getElementById('folder') && document.readyState === 'complete' ? 1 : null")
        root = self("DOM.getDocument")["root"]["nodeId"]
        node = self("DOM.querySelector", nodeId=root, selector="#folder")["nodeId"]
        self("DOM.setFileInputFiles", nodeId=node, files=[str(folder)])
        code = self.until("document.body.dataset.code ?? (document.getElementById('said').className === 'bad'"
                          " ? document.getElementById('said').textContent : null)")
        report = self.value("document.body.dataset.json")
        return int(code), json.loads(report) if report else None

    def screenshot(self, to):
        to.write_bytes(base64.b64decode(self("Page.captureScreenshot", format="png")["data"]))


def verdicts(report):
    """Without what is of one run: which parts of a sum were drawn."""
    lines = [(None, line) for line in report["lines"]]
    lines += [(of["round"], line) for of in report["rounds"] for line in of["lines"]]
    return [(number, line["check"], line["verdict"], line["words"]) for number, line in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=6, help="honest exports, and as many altered ones")
    parser.add_argument("--profile", default="release")
    parser.add_argument("--built", action="store_true", help="with the command and the example that are there")
    parser.add_argument("--screenshots", type=Path)
    arguments = parser.parse_args()
    chromium = needed()
    from verifiers import built

    command, exports = built(arguments.profile, arguments.built)
    with tempfile.TemporaryDirectory() as to:
        to, faults = Path(to), []
        page = to / "ringfence-audit.html"
        make = ROOT / "crypto" / "audit" / "page" / "make.py"
        subprocess.run([make, page, "--profile", arguments.profile], check=True)
        folders = []
        # Of the altered ones every third kind.
        for kind, numbers in (("honest", range(arguments.count)), ("tampered", range(0, 3 * arguments.count, 3))):
            for number in numbers:
                at = to / kind
                at.mkdir(exist_ok=True)
                subprocess.run([exports, kind, str(number), "1", at], check=True)
                folders.append(at / str(number))
        browser = Browser(chromium, to / "profile")
        for folder in folders:
            done = subprocess.run([command, folder, "--json"], capture_output=True, text=True)
            expected = verdicts(json.loads(done.stdout)) if done.returncode != 2 else None
            code, report = browser.audit(page, folder)
            got = verdicts(report) if report else None
            if code != done.returncode or got != expected:
                faults.append(f"{folder.parent.name} {folder.name}: the command ends with {done.returncode}, the "
                              f"page with {code}: {set(expected or []) ^ set(got or [])}")
            if arguments.screenshots:
                arguments.screenshots.mkdir(parents=True, exist_ok=True)
                browser.screenshot(arguments.screenshots / f"{folder.parent.name}-{folder.name}.png")
        outside = [url for url in browser.requests if not url.startswith((page.as_uri(), "blob:", "about:", "data:"))]
        faults += [f"the page asked for {url}" for url in outside]
        browser.process.terminate()
        browser.process.wait()
    for fault in faults:
        print(fault)
    print(f"{len(folders)} folders in the page, {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
