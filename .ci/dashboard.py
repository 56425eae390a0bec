#!/usr/bin/env python3
"""The dashboard, as people meet it: headless Chromium signs in and looks at every page.

A study of six sites plays one round and half of the next. Each page is looked at on a laptop and on a
phone, light and dark: axe finds nothing serious, the console stays empty, nothing is wider than the
screen; the pages read without a script, and one that is open changes by itself when a site contributes.

    .ci/dashboard.py             needs Python 3.11 with venv, PyPI, Chromium, and the binaries of
                                 target/release; without Chromium it says so and ends well
    .ci/dashboard.py --out DIR   keeps the screenshots
"""

import argparse
import base64
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARIES = Path(os.environ.get("RINGFENCE_BINARIES", ROOT / "target" / "release"))
# The first one carries axe-core 4.12; neither brings what it names with it.
PACKAGES = ["axe-playwright-python==0.1.8", "websocket-client==1.9.2"]
# The longest name that a site may have is among them.
SITES = ["north", "south", "east", "west-university-hospital", "a-name-of-thirty-two-characters1", "lake"]
SCREENS = {"laptop": (1440, 900), "phone": (390, 844)}
SCHEMES = ["light", "dark"]


def outside(arguments):
    """Makes the environment, and goes on in it."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", f"{folder}/venv"], check=True)
        pip = [f"{folder}/venv/bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", *PACKAGES], check=True)
        os.makedirs(f"{folder}/study")
        inside = [f"{folder}/venv/bin/python", __file__, "--inside", f"{folder}/study", *arguments]
        return subprocess.run(inside).returncode


def write_tensor(path, values):
    """One tensor `w`, as safetensors."""
    data = struct.pack(f"<{len(values)}f", *values)
    entry = {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, len(data)]}
    header = json.dumps({"w": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


class Study:
    """Keys, a study and a running aggregator in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.log = open(folder / "commands.log", "w")

    def run(self, program, *arguments):
        command = [str(BINARIES / program), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, text=True, capture_output=True)
        self.log.write(f"{command}\n{done.stdout}{done.stderr}\n")
        self.log.flush()
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def at(self, site, command, *arguments):
        own = ["--identity", f"{site}/{site}.identity", "--state", f"{site}/state"]
        return self.run("ringfence", command, *own, "--server", self.url, *arguments)

    def begin(self):
        write_tensor(self.folder / "model", [0.0] * 40_000)
        for place, site in enumerate(SITES):
            self.run("ringfence", "keygen", "--site", site, "--out", site)
            self.run("ringfence", "ledger", "init", f"{site}/ledger", "--unit", "site", "--epsilon", 20,
                     "--delta", 1e-5, "--identity", f"{site}/{site}.identity")  # fmt: skip
            update = [0.001 * ((place * 13 + k) % 17 - 8) for k in range(40_000)]
            write_tensor(self.folder / site / "update", update)
        public = self.run("ringfence-aggregator", "keygen", "--key", "aggregator.key")
        (self.folder / "aggregator.pub").write_text(public)
        for name, role in (("admin", "admin"), ("officer", "auditor")):
            arguments = ["token", "--role", role, "--name", name, "--out", f"{name}.token"]
            line = self.run("ringfence-aggregator", *arguments)
            if role == "auditor":
                (self.folder / "tokens").write_text(line)
        public = [part for site in SITES for part in ("--site", f"{site}/{site}.public.json")]
        self.run("ringfence", "study", "new", "--name", "Lung nodules in CT", *public,
                 "--aggregator-key", "aggregator.pub", "--model", "model", "--training", "none",
                 "--clip", 0.01, "--min-round-seconds", 5, "--privacy", "site",
                 "--privacy-clip", 1, "--noise-multiplier", 1.3, "--delta", 1e-5,
                 "--epsilon", 12)  # fmt: skip
        for site in SITES:
            self.run("ringfence", "study", "sign", "--identity", f"{site}/{site}.identity")
        command = [BINARIES / "ringfence-aggregator", "serve", "--data", "data", "--key",
                   "aggregator.key", "--admin-token-file", "admin.token", "--tokens", "tokens",
                   "--listen", "127.0.0.1:0"]  # fmt: skip
        self.process = subprocess.Popen(
            [str(part) for part in command], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=open(self.folder / "aggregator.log", "w"),
        )  # fmt: skip
        self.url = self.process.stdout.readline().strip().removeprefix("listening on ")

    def register(self):
        self.run("ringfence", "study", "register", "--admin-token-file", "admin.token",
                 "--server", self.url)  # fmt: skip

    def contribute(self, site, base):
        self.at(site, "contribute", "--base", base, "--update", f"{site}/update",
                "--ledger", f"{site}/ledger")  # fmt: skip

    def play(self):
        """Round 0, to models that all have acknowledged; round 1, to half of its contributions."""
        self.at(SITES[0], "open", "--base", "model")
        failed = []

        def part(site):
            try:
                self.contribute(site, "model")
                self.at(site, "hold")
                self.at(site, "mean", "--base", "model", "--out", f"{site}/mean",
                        "--model-out", f"{site}/model-1")  # fmt: skip
            except BaseException as error:
                failed.append(str(error))

        threads = [threading.Thread(target=part, args=[site]) for site in SITES]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        if failed:
            raise SystemExit("\n".join(failed))
        self.at(SITES[1], "open", "--base", f"{SITES[1]}/model-1")
        for site in SITES[:3]:
            self.contribute(site, f"{site}/model-1")


class Browser:
    """Headless Chromium, by its debugging protocol."""

    def __init__(self, program, folder):
        import websocket

        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                     "--remote-debugging-port=0", "--remote-allow-origins=*", "--no-first-run",
                     f"--user-data-dir={folder / 'browser'}", "about:blank"]  # fmt: skip
        self.process = subprocess.Popen(
            [program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        port = folder / "browser" / "DevToolsActivePort"
        wait_for("Chromium's port", 60, lambda: port.exists() and port.read_text().count("\n"))
        number = port.read_text().split("\n")[0]
        targets = json.load(urllib.request.urlopen(f"http://127.0.0.1:{number}/json"))
        page = next(target for target in targets if target["type"] == "page")
        self.socket = websocket.create_connection(page["webSocketDebuggerUrl"], timeout=60)
        self.number, self.errors, self.loaded = 0, [], False
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.number:
                if "error" in message:
                    raise SystemExit(f"{method}: {message['error']}")
                return message["result"]
            self.heard(message)

    def heard(self, message):
        method, said = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.exceptionThrown":
            self.errors.append(f"exception: {said['exceptionDetails'].get('text')}")
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning"):
            self.errors.append(f"console: {said['args']}")

    def evaluate(self, script):
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True,
                           returnByValue=True)  # fmt: skip
        if "exceptionDetails" in answer:
            raise SystemExit(f"{script[:80]}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def after_load(self, act):
        self.loaded = False
        act()
        end = time.monotonic() + 30
        while not self.loaded:
            if time.monotonic() > end:
                raise SystemExit("the page did not load within 30 s")
            self.evaluate("0")
            time.sleep(0.02)

    def open(self, url):
        self.after_load(lambda: self.call("Page.navigate", url=url))

    def look(self, screen, scheme):
        width, height = SCREENS[screen]
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=screen == "phone")  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait()


def wait_for(what, seconds, found):
    end = time.monotonic() + seconds
    while not found():
        if time.monotonic() > end:
            raise SystemExit(f"expected {what} within {seconds} s")
        time.sleep(0.05)


WIDER = """(() => {
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide <= 0) return "";
  const right = document.documentElement.clientWidth + 1;
  const out = [...document.querySelectorAll("body *")].filter(e =>
    e.getBoundingClientRect().right > right && !e.closest(".scroll, .visually-hidden, pre"));
  return `${wide} px: ` + out.slice(0, 4).map(e => e.tagName + "." + e.getAttribute("class")).join(" ");
})()"""


class Looker:
    def __init__(self, browser, out):
        import axe_playwright_python

        self.browser, self.out, self.faults, self.looked = browser, out, [], 0
        self.axe = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()

    def look(self, name, url):
        """A page on each screen and in each scheme."""
        for screen in SCREENS:
            for scheme in SCHEMES:
                self.browser.look(screen, scheme)
                self.browser.open(url)
                where = f"{name}, {screen}, {scheme}"
                if wide := self.browser.evaluate(WIDER):
                    self.faults.append(f"{where}: wider than the screen by {wide}")
                self.browser.evaluate(f"{self.axe};0")
                # Moving colours would be looked at in the middle.
                run = "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v =>"
                run += " [v.impact, v.id, v.nodes.slice(0, 3).map(n => n.html + ' ' + n.failureSummary)]))"
                for impact, rule, nodes in self.browser.evaluate(run):
                    if impact in ("serious", "critical"):
                        self.faults.append(f"{where}: axe {impact} {rule}: {nodes}")
                self.looked += 1
                if self.out:
                    self.browser.picture(self.out / f"{name}-{screen}-{scheme}.png")


def sign_in(browser, url, token):
    browser.open(url)
    browser.evaluate(f"document.getElementById('token').value = {json.dumps(token)}")
    browser.after_load(lambda: browser.evaluate("document.querySelector('.sign-in button').click()"))
    if browser.evaluate("document.querySelector('.who') === null"):
        raise SystemExit(f"signed in, and the page says: {browser.evaluate('document.body.innerText')}")


def check_live(browser, study, page):
    """The page is open while a site contributes: it changes by itself, where its reader is not."""
    browser.look("laptop", "light")
    browser.open(page)
    count = "document.querySelector('.ring .count').textContent.trim()"
    before = browser.evaluate(count)
    if not before.startswith("3"):
        raise SystemExit(f"expected 3 contributions in the picture, got {before}")
    browser.evaluate("document.querySelector('#log summary').click()")
    study.contribute(SITES[3], f"{SITES[3]}/model-1")
    wait_for("the page to change by itself", 30, lambda: browser.evaluate(count).startswith("4"))
    if not browser.evaluate("document.querySelector('#log details').open"):
        raise SystemExit("what the reader has opened was closed")
    if "Live" not in browser.evaluate("document.getElementById('live').textContent"):
        raise SystemExit("the page does not say that it is live")


def check_keys(browser, page):
    """The first key leads past the banner, and where the keyboard is can be seen."""
    browser.open(page)
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab",
                     windowsVirtualKeyCode=9)  # fmt: skip
    where = browser.evaluate("document.activeElement.className")
    outline = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    if where != "skip" or outline == "none":
        raise SystemExit(f"expected the first key at the skip link with an outline, got {where} {outline}")


def check_without_script(browser, page):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(page)
    text = browser.evaluate("document.querySelector('main').innerText")
    for word in ("Waits for contributions", "Privacy budget", "Root", "Rounds"):
        if word not in text:
            raise SystemExit(f"without a script the page lacks {word!r}:\n{text}")
    if "Load it again" not in browser.evaluate("document.querySelector('.foot').innerText"):
        raise SystemExit("without a script the page does not say how it is read anew")
    browser.call("Emulation.setScriptExecutionDisabled", value=False)


def inside(folder, out):
    study = Study(folder)
    study.begin()
    browser = None
    try:
        program = chromium()
        browser = Browser(program, folder)
        looker = Looker(browser, out)
        looker.look("sign-in", study.url)
        token = (folder / "officer.token").read_text().strip()
        browser.look("laptop", "light")
        sign_in(browser, study.url, token)
        looker.look("no-study", study.url)
        study.register()
        browser.open(study.url)
        page = study.url + browser.evaluate("document.querySelector('.study h2 a').getAttribute('href')")
        looker.look("no-round", page)
        study.play()
        looker.look("studies", study.url)
        for name, rest in (("study", ""), ("round-0", "/rounds/0"), ("round-1", "/rounds/1"), ("held", "/held")):
            looker.look(name, page + rest)
        if browser.errors:
            looker.faults += [f"console: {error}" for error in browser.errors]
        check_live(browser, study, page)
        check_keys(browser, page)
        check_without_script(browser, page)
        looker.look("missing", f"{page}/rounds/77")
        if looker.faults:
            raise SystemExit("\n".join(looker.faults))
        print(f"looked at {looker.looked} pages: axe finds nothing serious, nothing is too wide, the "
              "console is empty; live, by keys and without a script they work", flush=True)  # fmt: skip
    finally:
        if browser:
            browser.close()
        study.process.terminate()
        study.process.wait()


def chromium():
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for found in map(shutil.which, names) if found), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for screenshots")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not chromium():
        print("SKIPPED: there is no Chromium here, so that nobody has looked at the dashboard "
              "(Debian: apt-get install chromium)", flush=True)  # fmt: skip
        return 0
    if arguments.out:
        arguments.out = arguments.out.absolute()
        arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.inside:
        inside(arguments.inside, arguments.out)
        return 0
    return outside(["--out", str(arguments.out)] if arguments.out else [])


if __name__ == "__main__":
    sys.exit(main())
