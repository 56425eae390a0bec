#!/usr/bin/env python3
"""Builds the page that audits an export offline in a browser: one file of HTML.

    crypto/audit/page/make.py ringfence-audit.html [--profile release]

Needs the target wasm32-unknown-unknown: `rustup target add wasm32-unknown-unknown`. The library is the
command's own. Random numbers come from the page, so that nothing here asks the system for any.
"""

import argparse
import base64
import hashlib
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TARGET = "wasm32-unknown-unknown"


def build(profile):
    flags = '--cfg getrandom_backend="unsupported"'
    where = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run(
        ["cargo", "build", "--locked", "--profile", profile, "-p", "ringfence-audit-page",
         "--target", TARGET],
        check=True, cwd=ROOT, env=dict(os.environ, RUSTFLAGS=flags),
    )  # fmt: skip
    return (where / TARGET / profile / "ringfence_audit_page.wasm").read_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--profile", default="release")
    arguments = parser.parse_args()
    wasm = build(arguments.profile)
    script, worker = ((HERE / name).read_text() for name in ("page.js", "worker.js"))
    assert "</script" not in script + worker
    # The worker comes from a blob, which the policy names; no other script may run.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {
        "@HASHES@": f"'sha256-{digest}'",
        "@WASM@": base64.b64encode(wasm).decode(),
        "@WORKER@": worker,
        "@PAGE@": script,
    }
    page = (HERE / "page.html").read_text()
    for name, part in parts.items():
        assert page.count(name) == 1
        page = page.replace(name, part)
    arguments.out.write_text(page)
    print(f"{arguments.out}: {len(page) / 1e6:.1f} MB, of which {len(wasm) / 1e6:.1f} MB are the program; "
          f"SHA-256 {hashlib.sha256(page.encode()).hexdigest()}")


if __name__ == "__main__":
    main()
