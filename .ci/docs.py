#!/usr/bin/env python3
"""Holds the documentation to the programs: pages, links, commands, quick starts, the book.

    .ci/docs.py [--programs DIR]... [--mdbook PROGRAM]

Every page stands in docs/SUMMARY.md once. Every relative link leads to a file and, where it names
one, to a heading. Every command line of Ringfence's programs is parsed by the program itself: it is
run with --help behind it, which ends it after its arguments were read. The quick starts are executed
as they stand. With --mdbook the book is built, and all links of its pages are followed.
"""

import argparse
import html.parser
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import urllib.parse
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PROGRAMS = ["ringfence", "ringfence-aggregator", "ringfence-audit", "ringfence-lab"]
# Pages whose commands the tests execute as they stand.
EXECUTED = ["walkthrough.md", "by_hand.md"]
# Executed here, in this order and in one folder.
QUICK_STARTS = ["quick_site.md", "quick_officer.md", "archive.md", "quick_crypto.md"]

faults = []


def fault(where, what):
    faults.append(f"{where}: {what}")


# Pages and links.


def prose(text):
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)


def anchors(path):
    """The anchors of a page's headings, as GitHub and mdBook make them."""
    found, seen = set(), {}
    for title in re.findall(r"^#+ (.*)$", prose(path.read_text()), flags=re.M):
        title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        number = seen.get(slug, 0)
        seen[slug] = number + 1
        found.add(f"{slug}-{number}" if number else slug)
    return found


def check_links(pages):
    count = 0
    for page in pages:
        text = re.sub(r"`[^`]*`", "", prose(page.read_text()))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            count += 1
            name, _, anchor = target.partition("#")
            to = (page.parent / name).resolve() if name else page
            if not to.exists():
                fault(page.relative_to(ROOT), f"links to {target}, and there is no such file")
            elif page.parent == DOCS and DOCS not in to.parents:
                fault(page.relative_to(ROOT), f"links to {target}, which is not in the book")
            elif anchor and anchor not in anchors(to):
                fault(page.relative_to(ROOT), f"links to {target}, and there is no such heading")
    return count


def check_summary():
    listed = re.findall(r"\]\(([^)]+)\)", (DOCS / "SUMMARY.md").read_text())
    pages = {page.name for page in DOCS.glob("*.md")} - {"SUMMARY.md"}
    for name in sorted(pages - set(listed)):
        fault("docs/SUMMARY.md", f"lacks {name}")
    for name in {name for name in listed if listed.count(name) > 1}:
        fault("docs/SUMMARY.md", f"lists {name} twice")


# Commands.


def blocks(text, kinds):
    return [body for kind, body in re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.S | re.M) if kind in kinds]


def command_lines(block):
    """The command lines of Ringfence's programs in a block, as lists of words."""
    text = re.sub(r"\\\n", " ", block)
    text = re.sub(r"\[the same[^]]*\]", "", text).replace("2>", ">")
    for line in text.splitlines():
        line = re.sub(r"^\$ ", "", line.strip())
        # Each $(...) is one word; what stands in it is a command of its own.
        for inner in re.findall(r"\$\(([^()]*)\)", line):
            yield from command_lines(inner)
        line = re.sub(r'"?\$\([^()]*\)"?', "WORD", line)
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.commenters = ""
            lexer.wordchars += "$:,@%{}"
            words = list(lexer)
        except ValueError:
            # Not a command line: an output with a quote, or a part of a longer word.
            continue
        yield from commands(words)


def commands(words):
    command = []
    for word in [*words, ";"]:
        ends = word in {";", "&&", "||", "|", "&", "(", ")", "do", "then", "<", ">", ">>"} or word.startswith("#")
        if not ends:
            command.append(word)
            continue
        while command and re.fullmatch(r"\w+=.*", command[0]):
            command.pop(0)
        if command and command[0].rsplit("/", 1)[-1] in PROGRAMS:
            yield [command[0].rsplit("/", 1)[-1], *command[1:]]
        # What follows a redirection or a comment is no command.
        if word.startswith(("#", ">", "<")):
            return
        command = []


# Stand-ins for what a page leaves to its reader.
DIGEST = "0" * 64
VALUES = {"$digest": DIGEST, "DIGEST": DIGEST, "$STUDY": DIGEST, "STUDY": DIGEST, "2f0c": DIGEST}


def value(word):
    word = re.sub(r"^2f0c\.*$", DIGEST, word)
    if word in VALUES:
        return VALUES[word]
    return re.sub(r"\$\w+|\$\{\w+\}|WORD", "1", word)


def check_commands(pages, programs):
    count, absent = 0, set()
    for page in [page for page in pages if page.name not in EXECUTED]:
        text = page.read_text()
        # In running text a placeholder may stand for arguments: those that name no option are left out.
        spans = [span for span in re.findall(r"`([^`]*)`", prose(text).replace("\n", " ")) if " -" in span]
        for block in blocks(text, {"sh", "text"}) + spans:
            for command in command_lines(block):
                words = [value(word) for word in command if word != "..."]
                program = programs.get(words[0])
                if program is None:
                    absent.add(words[0])
                    continue
                count += 1
                done = subprocess.run([program, *words[1:], "--help"], capture_output=True, text=True)
                if done.returncode:
                    said = done.stderr.strip().splitlines()
                    fault(page.relative_to(ROOT), f"{' '.join(command)}: {said[0] if said else done.returncode}")
    return count, absent


# Quick starts.


def write_images(folder, shift):
    """Pictures of two kinds: a bright half on the left, or on the right."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    folder.mkdir(parents=True)
    table = ["file,label,patient"]
    for number in range(12):
        left = number % 2 == 0
        rows = b"".join(
            b"\0" + bytes((200 if (x < 8) == left else 40) + (7 * x + 13 * y + 5 * number + shift) % 40 for x in range(16))
            for y in range(16)
        )
        head = struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0)
        png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        (folder / f"{number}.png").write_bytes(png)
        table.append(f"{number}.png,{'left' if left else 'right'},p{number}")
    (folder / "labels.csv").write_text("\n".join(table) + "\n")


# What others do while a page is followed, where the page says so.
OTHERS = {
    "the coordinator makes the study, the two others sign, the server starts": """
for site in south east; do ringfence keygen --site $site --out $site >/dev/null; done
ringfence-aggregator keygen --key aggregator.key > aggregator.pub
(umask 077; head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \\n' > admin.token)
ringfence-aggregator token --role auditor --name officer --out officer.token > tokens
ringfence init --task classification --classes left,right --side 16 --rounds 2 --epochs 1 --out lungs.safetensors
ringfence study new --name lungs --site north/north.public.json --site south/south.public.json \
  --site east/east.public.json --aggregator-key aggregator.pub --model lungs.safetensors --clip 0.5 --out lungs.json
for site in south east; do ringfence study sign --study lungs.json --identity $site/$site.identity; done
ringfence-aggregator serve --data aggregator-data --key aggregator.key --admin-token-file admin.token \
  --tokens tokens --listen 127.0.0.1:8752 > aggregator.out 2> aggregator.log &
until grep -qs 'listening on' aggregator.out; do sleep 0.1; done
""",
    "the study is registered, and the two others join": """
ringfence study register --study lungs.json --admin-token-file admin.token --server http://127.0.0.1:8752
for site in south east; do
  ringfence join --study lungs.json --model lungs.safetensors --identity $site/$site.identity \
    --state $site/state --data $site/images --out $site/out --server http://127.0.0.1:8752 > $site.log 2>&1 &
done
""",
    "a site gives study file and digest, the operator a token": """
until [ -s south/out/report.json ] && [ -s east/out/report.json ]; do sleep 0.1; done
cp lungs.json officer-study.json
STUDY="$(ringfence study verify --study lungs.json | sed -n 's/^study //p')"
""",
    "the study file is at hand": "cp officer-study.json study.json\n",
}


def script(name):
    """A page's blocks, and between them what others do."""
    text = (DOCS / name).read_text()
    parts = re.findall(r"^```sh\n(.*?)^```|^<!-- executed here: (.*?) -->$", text, flags=re.S | re.M)
    lines = [block or OTHERS[others] for block, others in parts]
    return "(\nset -euo pipefail\n" + "\n".join(lines) + "\n)\n"


def check_quick_starts(folders):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for shift, site in enumerate(["north", "south", "east"]):
            write_images(folder / site / "images", shift)
        pages = "".join(map(script, QUICK_STARTS)).replace("8752", str(port))
        path = os.pathsep.join([*map(str, folders), str(ROOT / "crypto/audit"), os.environ["PATH"]])
        shell = subprocess.Popen(
            ["bash", "-ec", pages], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PATH": path, "NO_PROXY": "*"}, start_new_session=True,
        )
        # The server goes on in the background, with the shell's output as it was redirected.
        try:
            said, _ = shell.communicate(timeout=600)
        finally:
            try:
                os.killpg(shell.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        if shell.returncode:
            fault("quick starts", "\n  ".join(["failed:", *said.splitlines()[-30:]]))
            return
        # What the pages promise.
        for file in ["report.html", "report.pdf", "dpia.md", "export.tar.gz", "demo/report.json"]:
            if not (folder / file).is_file():
                fault("quick starts", f"made no {file}")
        for words in ["0 mismatches", "checks are proven", "export.tar.gz: OK"]:
            if words not in said:
                fault("quick starts", f"did not say {words!r}:\n{said[-3000:]}")


# The book.


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.update(attributes[key] for key in ("id", "name") if attributes.get(key))
        for key in ("href", "src"):
            if attributes.get(key):
                self.links.append(attributes[key])


def check_book(mdbook):
    with tempfile.TemporaryDirectory() as folder:
        book = pathlib.Path(folder) / "book"
        done = subprocess.run([mdbook, "build", "-d", book, DOCS], capture_output=True, text=True)
        said = done.stdout + done.stderr
        if done.returncode or "WARN" in said or "ERROR" in said:
            fault("mdbook", said)
            return 0
        # All pages once more, on one to print.
        others = {"404.html", "print.html"}
        pages = {path.resolve(): Page(path) for path in book.rglob("*.html") if path.name not in others}
        for path, page in pages.items():
            for link in page.links:
                url = urllib.parse.urlsplit(link)
                if url.scheme or url.netloc:
                    continue
                to = (path.parent / urllib.parse.unquote(url.path)).resolve() if url.path else path
                if not to.exists():
                    fault(f"book/{path.name}", f"links to {link}, which is not there")
                elif url.fragment and to in pages and urllib.parse.unquote(url.fragment) not in pages[to].ids:
                    fault(f"book/{path.name}", f"links to {link}, and there is no such place")
        return len(pages)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--programs", action="append", type=pathlib.Path, help="folder of programs; target/release unless given")
    arguments.add_argument("--mdbook", help="build the book with this program, too")
    arguments = arguments.parse_args()
    folders = [folder.resolve() for folder in arguments.programs or [ROOT / "target/release"]]
    path = os.pathsep.join(map(str, folders))
    programs = {name: found for name in PROGRAMS if (found := shutil.which(name, path=path))}
    pages = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]
    check_summary()
    links = check_links(pages)
    commands, absent = check_commands(pages, programs)
    if absent:
        said = f"{', '.join(sorted(absent))} is not in {path}: its command lines were not looked at"
        fault("commands", said) if os.environ.get("CI") else print(said)
    check_quick_starts(folders)
    built = check_book(arguments.mdbook) if arguments.mdbook else 0
    for said in dict.fromkeys(faults):
        print(said, file=sys.stderr)
    print(f"{len(pages)} pages, {links} links, {commands} command lines, {len(QUICK_STARTS)} pages executed, {built} pages of the book: {len(set(faults))} faults")
    return 1 if faults else 0


sys.exit(main())
