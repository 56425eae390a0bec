#!/usr/bin/env python3
"""Switches every safety rule off, one at a time, and sees the named test fail.

    .ci/mutations.py              # all rules
    .ci/mutations.py restore key  # rules whose name contains one of these words
    .ci/mutations.py --table      # the table for docs/security.md, nothing is run
    .ci/mutations.py --check      # only that every rule's text stands in its file, in a moment
    .ci/mutations.py --tree DIR   # in a checkout that is built already and may be changed

A rule stands in `mutations.toml`: where it is in the code (`file`, `old`), what replaces it (`new`),
and the test that must fail then (`package`, `target`, `test`). The script works on a copy of the
committed tree. A text that stands in its file not exactly once, a test that does not run, and a
test that passes with the rule switched off are each an error; a test that hangs has found it. Rules of what
several aggregators share want PostgreSQL and SeaweedFS (`weed` in the PATH), as their tests do:
without them those pass, which is such an error. It takes about half a minute a rule: CI does not
run it.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib

# Not optimised, these compile in seconds instead of a minute; futures take more stack then.
QUICK = ("aggregator", "site", "federation", "keys")
ENVIRONMENT = {"RUST_MIN_STACK": str(16 << 20)}

# Longer than any of the tests takes: one that waits for what never comes is ended, and has found it.
SECONDS = 900

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent


def settings():
    """How everything is compiled."""
    quick = [f"profile.checked.package.ringfence-{package}.opt-level=0" for package in QUICK]
    return ["--profile", "checked", "--locked", *(word for setting in quick for word in ("--config", setting))]


def program(rule):
    """What builds the program that a test starts and its package does not; none for most."""
    if rule["package"] != "ringfence-federation":
        return None
    return ["cargo", "build", *settings(), "-p", "ringfence-aggregator"]


def command(rule):
    target = rule.get("target", "lib")
    return [
        "cargo", "test", *settings(), "-p", rule["package"],
        *(["--lib"] if target == "lib" else ["--test", target]),
        "--", rule["test"],
    ]  # fmt: skip


def ran(output):
    """How many tests ran: a name that matches none must not count as a failure seen."""
    counts = [line for line in output.splitlines() if line.startswith("running ")]
    return sum(int(line.split()[1]) for line in counts)


def run(arguments, copy):
    """A finished test, or None if it had to be ended."""
    # One package changes a rule, by a line: most of it need not be compiled again.
    env = os.environ | ENVIRONMENT | {"CARGO_INCREMENTAL": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(arguments, cwd=copy, env=env, start_new_session=True, **pipes) as test:
        try:
            stdout, stderr = test.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(test.pid, signal.SIGKILL)
            return None
    return subprocess.CompletedProcess(arguments, test.returncode, stdout, stderr)


def check(rule, copy):
    """What is wrong with a rule's test, or None."""
    path = copy / rule["file"]
    text = path.read_text()
    if text.count(rule["old"]) != 1:
        return f"{rule['file']} holds the rule's text {text.count(rule['old'])} times, expected once"
    path.write_text(text.replace(rule["old"], rule["new"]))
    try:
        built = program(rule) and run(program(rule), copy)
        test = run(command(rule), copy) if not built or built.returncode == 0 else built
    finally:
        path.write_text(text)
    if test is None:
        return None
    if "error: could not compile" in test.stderr:
        return "does not compile with the rule switched off:\n" + test.stderr[-2000:]
    if ran(test.stdout) == 0:
        return f"no test of {rule['package']} is called {rule['test']}"
    return None if test.returncode else f"{rule['test']} passes with the rule switched off"


def table(rules):
    print("| rule | test that fails without it |\n| --- | --- |")
    for rule in rules:
        target = rule.get("target", "lib")
        print(f"| {rule['rule']} | `{rule['package']}`, {target}: `{rule['test']}` |")


def standing(rules):
    """Whether every rule's text stands in its file exactly once."""
    lost = [r for r in rules if (TREE / r["file"]).read_text().count(r["old"]) != 1]
    for rule in lost:
        print(f"{rule['file']} does not hold the text of this rule once: {rule['rule']}")
    return not lost


@contextlib.contextmanager
def checkout():
    """A copy of the committed tree, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--detach", copy, "HEAD"], cwd=TREE, check=True)
        try:
            yield copy
        finally:
            shutil.rmtree(copy)
            subprocess.run(["git", "worktree", "prune"], cwd=TREE, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--tree", type=pathlib.Path)
    options = parser.parse_args()
    words = options.words
    rules = tomllib.loads((HERE / "mutations.toml").read_text())["rules"]
    rules = [r for r in rules if not words or any(word in r["rule"] for word in words)]
    if options.table:
        return table(rules)
    if options.check:
        sys.exit(0 if standing(rules) else 1)
    failed = 0
    # Rules of one test program together: less is compiled again.
    rules.sort(key=lambda rule: (rule["package"], rule.get("target", "lib"), rule["file"]))
    with contextlib.nullcontext(options.tree) if options.tree else checkout() as copy:
        for rule in rules:
            problem = check(rule, copy)
            failed += problem is not None
            print(f"{'FAULT' if problem else 'found'}  {rule['rule']}", flush=True)
            if problem:
                print(f"       {problem}", flush=True)
    print(f"{len(rules)} rules, {failed} whose test does not find them switched off")
    sys.exit(failed != 0 or not rules)


if __name__ == "__main__":
    main()
