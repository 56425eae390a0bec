#!/usr/bin/env python3
"""The OpenAPI document, used as strangers use it: by a generated client, and by a fuzzer.

A client that `openapi-python-client` makes from docs/openapi.json completes a contribution whose
files `ringfence bundle contribution` has made; the round goes on to its mean. Then schemathesis sends what
the document allows and what it does not, as nobody, as an auditor and as a site: no answer may be a
5xx, or another one than the document says.

    .ci/openapi.py             needs Python 3.11 with venv, PyPI, and the binaries of target/release
"""

import importlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "client" / "examples"
sys.path[:0] = [str(ROOT / ".ci"), str(EXAMPLES)]
DOCUMENT = ROOT / "docs" / "openapi.json"
BINARIES = Path(os.environ.get("RINGFENCE_BINARIES", ROOT / "target" / "release"))
PACKAGES = ["openapi-python-client==0.29.1", "schemathesis==4.32.5", "cryptography==50.0.2"]
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance"
# Bounded by examples and not by time: a slow machine must not look at less.
FUZZING = ["--checks", f"{CHECKS},response_schema_conformance", "--phases", "coverage,fuzzing",
           "--max-examples", "3", "--seed", "20270101", "--warnings", "off"]  # fmt: skip

# How schemathesis signs: as the requests go out.
HOOKS = """
import requests, schemathesis
from sign_request import Signer
class Auth(requests.auth.AuthBase):
    signer = Signer("a", "a/a.identity")
    def __call__(self, request):
        message = request.body.encode() if isinstance(request.body, str) else request.body
        message = None if request.path_url.partition("?")[0].endswith("/body") else message
        request.headers.update(self.signer.headers(request.method, request.path_url, message))
        return request
schemathesis.auth.set_from_requests(Auth())
"""


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


def outside():
    """Makes the environment, and goes on in it."""
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "venv", f"{folder}/venv")
        binaries = f"{folder}/venv/bin"
        run(f"{binaries}/pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES)
        path = f"{binaries}:{os.environ['PATH']}"
        done = subprocess.run(
            [f"{binaries}/python", __file__, folder], env=os.environ | {"PATH": path}
        )
        return done.returncode


def study(folder, log):
    """A study whose round 0 is open, with a running aggregator and an auditor's token."""
    from network import Study, write_tensor

    model = folder / "model"
    write_tensor(model, [0.0] * 5000)
    updates = {site: folder / f"update-{site}" for site in "abc"}
    for place, update in enumerate(updates.values()):
        write_tensor(update, [0.001 * (place + k % 7) for k in range(5000)])
    study = Study(folder, BINARIES, {}, log)
    study.prepare(model, updates)
    token = [BINARIES / "ringfence-aggregator", "token", "--role", "auditor", "--name", "officer"]
    line = run(*token, "--out", folder / "auditor.token", stdout=subprocess.PIPE, text=True).stdout
    (folder / "tokens").write_text(line)
    process, url = study.serve([], "--listen", "127.0.0.1:0", "--tokens", "tokens")
    study.ways = {site: ([], {}, ["--server", url]) for site in "abc"}
    study.ringfence("study", "register", "--admin-token-file", "admin.token", site="a")
    return study, process, url


def at(study, site, *command):
    own = ["--identity", f"{site}/{site}.identity", "--state", f"{site}/state"]
    (start, options) = (2, command[2:]) if command[0] == "bundle" else (1, command[1:])
    return study.ringfence(*command[:start], *own, *options, site=site)


def contribute(folder, url, name):
    """The generated client sends what `ringfence bundle contribution` has written; its receipt's header."""
    from sign_request import Signer

    run("openapi-python-client", "generate", "--path", DOCUMENT, "--output-path",
        folder / "generated", "--meta", "none", "--fail-on-warning")  # fmt: skip
    sys.path.insert(0, str(folder))
    api, models, types = (
        importlib.import_module(f"generated.{part}")
        for part in ("api.contributions", "models", "types")
    )

    def call(operation, **arguments):
        module = importlib.import_module(f"{api.__name__}.{operation}")
        answer = module.sync_detailed(name, 0, "a", client=client, **arguments)
        if answer.status_code != 200:
            raise SystemExit(f"{operation}: {answer.status_code} {answer.content.decode()}")
        return answer.parsed

    client = importlib.import_module("generated").Client(
        base_url=url, httpx_args={"auth": Signer("a", folder / "a/a.identity").httpx()}
    )
    bundle = folder / "bundle"
    header = json.loads((bundle / "header.json").read_text())
    call("put_header", body=models.SignedHeader.from_dict(header))
    envelopes = io.BytesIO((bundle / "envelopes.bin").read_bytes())
    call("put_envelopes", body=types.File(envelopes))
    with (bundle / "body.bin").open("rb") as body:
        receipt = call("put_body", body=types.File(body), offset=0).receipt
    if call("get_header").to_dict() != header:
        raise SystemExit("the header that came back is another one")
    return receipt.statement.header


def fuzz(folder, url, name):
    """schemathesis as nobody, as an auditor and as a site."""
    config = {"study": f'"{name}"', "round": "0", "site": '"a"', "holder": '"b"', "index": "1"}
    lines = [f'"path.{key}" = {value}' for key, value in config.items()]
    lines.append('"query.wait" = 0')
    (folder / "schemathesis.toml").write_text("\n".join(["[parameters]", *lines, ""]))
    (folder / "hooks.py").write_text(HOOKS)
    token = (folder / "auditor.token").read_text().strip()
    for who, options, variables in (
        ("nobody", [], {}),
        ("an auditor", ["-H", f"Authorization: Bearer {token}"], {}),
        ("site a", [], {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": f"{folder}:{EXAMPLES}"}),
    ):
        print(f"schemathesis as {who}", flush=True)
        run("st", "--config-file", folder / "schemathesis.toml", "run", DOCUMENT, "--url", url,
            *FUZZING, *options, cwd=folder, env=os.environ | variables)  # fmt: skip


def inside(folder):
    (folder / "study").mkdir()
    folder = folder / "study"
    with open(folder / "commands.log", "w") as log:
        made, process, url = study(folder, log)
        try:
            shown = made.ringfence("study", "verify").split()
            name = shown[shown.index("study") + 1]
            base = ["--base", "model.safetensors"]
            at(made, "a", "open", *base)
            own = [*base, "--update", "a/update.safetensors"]
            print(at(made, "a", "bundle", "contribution", *own, "--out", "bundle").strip())
            header = contribute(folder, url, name)
            if f"receipt for contribution {header}" not in at(made, "a", "contribute", *own):
                raise SystemExit("the receipt is of another contribution")
            print(f"the generated client has completed contribution {header}")
            rest(made, base)
            fuzz(folder, url, name)
        finally:
            process.terminate()
            process.wait()


def rest(made, base):
    """The round to its mean."""
    for site in "bc":
        at(made, site, "contribute", *base, "--update", f"{site}/update.safetensors")
    holders = [threading.Thread(target=at, args=(made, site, "hold")) for site in "abc"]
    [holder.start() for holder in holders]
    [holder.join() for holder in holders]
    at(made, "a", "mean", *base, "--out", "a/mean.safetensors", "--model-out", "a/1.safetensors")
    print("the round has its mean")


if __name__ == "__main__":
    sys.exit(inside(Path(sys.argv[1])) if sys.argv[1:] else outside())
