#!/usr/bin/env bash
# Writes a CycloneDX list of everything that is built into `ringfence-aggregator` and `ringfence`,
# and of what built it, with versions, licences and checksums:
#
#   aggregator/deploy/sbom.sh FOLDER [TARGET]
#
# Needs Python 3 and cargo-cyclonedx: cargo install cargo-cyclonedx --debug --locked --version 0.5.9
# Ends with an error if the list lacks anything that `cargo tree` has.
set -euo pipefail
[ $# -ge 1 ] || { echo 'expected a folder for the lists: sbom.sh FOLDER [TARGET]' >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
target=${2:-$(rustc --version --verbose | sed -n 's/^host: //p')}
# It writes a list beside each package that has a program, and has no option for another folder.
clean() { find aggregator benches client -name '*_bin.cdx.json' -delete; }
trap clean EXIT
cargo cyclonedx --manifest-path aggregator/Cargo.toml --format json --spec-version 1.5 \
    --describe binaries --target "$target" --quiet
# Where it was built is nobody's business.
for list in aggregator/ringfence-aggregator client/ringfence; do
    sed "s|file://$PWD|file://.|g" "${list}_bin.cdx.json" > "$out/${list#*/}.cdx.json"
done
for package in ringfence-aggregator ringfence; do
    cargo tree --locked --package "$package" --edges normal,build --target "$target" --prefix none \
        --format '{p}' | python3 -c '
import json, sys

path = sys.argv[1]
listed = json.load(open(path))
found = {(part["name"], part["version"]) for part in listed["components"]}
main = listed["metadata"]["component"]
wanted = {(name, version[1:]) for name, version, *_ in map(str.split, filter(str.strip, sys.stdin))}
wanted.discard((main["name"], main["version"]))
missing = sorted(wanted - found)
if missing:
    sys.exit(f"{path} lacks {missing}")
print(f"{path}: {len(found)} components, all {len(wanted)} of cargo tree among them")
' "$out/$package.cdx.json"
done
