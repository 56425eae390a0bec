#!/bin/sh
# Fetches what a study left behind from a running aggregator into a folder, for `ringfence-audit`:
#
#     fetch.sh URL STUDY TOKEN_FILE DIR [--without-bodies]
#
# URL is the aggregator's, STUDY the study's digest, TOKEN_FILE holds an auditor's token
# (docs/audit.md). It needs curl and nothing else, trusts nothing of what comes, and may be run again:
# all files are of the log's state at its start. What is fetched is checked afterwards, offline.
set -eu

if [ $# -lt 4 ]; then
    echo "usage: fetch.sh URL STUDY TOKEN_FILE DIR [--without-bodies]" >&2
    exit 2
fi
study="$1/v2/studies/$2" token=$3 to=$4 bodies=${5:-}
mkdir -p "$to/log" "$to/rounds"

# The token is not among the arguments, which everybody on this machine can see.
get() {
    printf 'header = "Authorization: Bearer %s"\n' "$(cat "$token")" |
        curl --config - --silent --show-error --retry 5 "$@"
}

get --fail -o "$to/study.json" "$study"
# First what the sites have cosigned: so the log is at least as long as all of them saw it.
get --fail -o "$to/log/cosignatures.json" "$study/log/cosignatures"
get --fail -o "$to/log/checkpoint" "$study/log/checkpoint"
size=$(sed -n 2p "$to/log/checkpoint")

: >"$to/log/entries.txt"
from=0
while [ "$from" -lt "$size" ]; do
    get --fail "$study/log/entries?from=$from&size=$size" >>"$to/log/entries.txt"
    came=$(wc -l <"$to/log/entries.txt")
    [ "$came" -gt "$from" ] || { echo "fetch.sh: the log ends at entry $came of $size" >&2; exit 1; }
    from=$came
done

round=0
rounds=$(grep -c '^manifest ' "$to/log/entries.txt" || true)
while [ "$round" -lt "$rounds" ]; do
    of="$study/rounds/$round" file="$to/rounds/$round"
    get --fail -o "$file.proof.json" "$of/proof?size=$size"
    # Not there before the set is closed, and in an aborted round.
    status=$(get -o "$file.sum" -w '%{http_code}' "$of/sum")
    [ "$status" = 200 ] || rm -f "$file.sum"
    if [ "$status" = 200 ] && [ "$bodies" != --without-bodies ]; then
        mkdir -p "$file.bodies"
        # The freeze lists whose contributions there are.
        for site in $(get --fail "$of/freeze" | grep -o '"site":"[a-z0-9-]*"' | cut -d '"' -f 4); do
            body="$file.bodies/$site"
            status=$(get -o "$body" -w '%{http_code}' "$of/contributions/$site/body")
            case $status in
                200) ;;
                410) mv "$body" "$file.gone" ;;
                *) rm -f "$body" ;;
            esac
        done
    fi
    round=$((round + 1))
done
echo "$rounds rounds and $size entries of the log are in $to"
