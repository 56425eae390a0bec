#!/usr/bin/env python3
"""Switches every safety rule off, one at a time, and sees the named test fail.

    .ci/mutations.py              # all rules
    .ci/mutations.py restore key  # rules whose name contains one of these words
    .ci/mutations.py --table      # the table for docs/security.md, nothing is run
    .ci/mutations.py --check      # only that every rule's text stands in its file, in a moment

A rule stands in `mutations.toml`: where it is in the code (`file`, `old`), what replaces it (`new`),
and the test that must fail then (`package`, `target`, `test`). The script works on a copy of the
committed tree. A text that stands in its file not exactly once, a test that does not run, and a
test that passes with the rule switched off are each an error. It takes minutes a rule: CI does not
run it.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent


def command(rule):
    target = rule.get("target", "lib")
    return [
        "cargo", "test", "--profile", "checked", "--locked", "-p", rule["package"],
        *(["--lib"] if target == "lib" else ["--test", target]),
        "--", rule["test"],
    ]  # fmt: skip


def ran(output):
    """How many tests ran: a name that matches none must not count as a failure seen."""
    counts = [line for line in output.splitlines() if line.startswith("running ")]
    return sum(int(line.split()[1]) for line in counts)


def check(rule, copy):
    """What is wrong with a rule's test, or None."""
    path = copy / rule["file"]
    text = path.read_text()
    if text.count(rule["old"]) != 1:
        return f"{rule['file']} holds the rule's text {text.count(rule['old'])} times, expected once"
    path.write_text(text.replace(rule["old"], rule["new"]))
    try:
        run = subprocess.run(command(rule), cwd=copy, capture_output=True, text=True)
    finally:
        path.write_text(text)
    if "error: could not compile" in run.stderr:
        return "does not compile with the rule switched off:\n" + run.stderr[-2000:]
    if ran(run.stdout) == 0:
        return f"no test of {rule['package']} is called {rule['test']}"
    return None if run.returncode else f"{rule['test']} passes with the rule switched off"


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


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    rules = tomllib.loads((HERE / "mutations.toml").read_text())["rules"]
    rules = [r for r in rules if not words or any(word in r["rule"] for word in words)]
    if "--table" in sys.argv:
        return table(rules)
    if "--check" in sys.argv:
        sys.exit(0 if standing(rules) else 1)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--detach", copy, "HEAD"], cwd=TREE, check=True)
        try:
            for rule in rules:
                problem = check(rule, copy)
                failed += problem is not None
                print(f"{'FAULT' if problem else 'found'}  {rule['rule']}", flush=True)
                if problem:
                    print(f"       {problem}", flush=True)
        finally:
            shutil.rmtree(copy)
            subprocess.run(["git", "worktree", "prune"], cwd=TREE, check=True)
    print(f"{len(rules)} rules, {failed} whose test does not find them switched off")
    sys.exit(failed != 0 or not rules)


if __name__ == "__main__":
    main()
