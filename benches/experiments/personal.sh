#!/bin/sh
# What of a model stays at each site, on nuclei, as personal.md beside this file fixes it.
#
#   personal.sh DATA OUT DRAW...
#
# As nuclei.sh, whose folders it goes on with: the runs of `local` and `fedavg` with 20 rounds are
# taken from OUT/FEDERATION-DRAW where they are there. Its own folders end in -personal.
set -eu
data=$1 out=$2
shift 2
lab=${LAB:-ringfence-lab}

for draw in "$@"; do
    for federation in dark6 nuclei9; do
        case $federation in
            nuclei9) epochs=4 ;;
            dark6) epochs=6 ;;
        esac
        images=$out/drawn/$federation-$draw
        if [ ! -e "$images/labels.csv" ]; then
            mkdir -p "$out/drawn"
            python3 "$data/nuclei_draw.py" "$federation" "$draw" "$images" > "$images.txt"
        fi
        folder=$out/$federation-$draw-personal
        for method in local fedavg; do
            made=$out/$federation-$draw/runs/$method-seed-$draw
            if [ -e "$made/run.json" ] && [ ! -e "$folder/runs/$method-seed-$draw" ]; then
                mkdir -p "$folder/runs"
                cp -r "$made" "$folder/runs/"
            fi
        done
        "$lab" experiment --data "$images" --batch 2 --rounds 20 --epochs "$epochs" --alpha 0.1 \
            --fine-tune-epochs 30 --seeds "$draw" --ditto 0.1 \
            --methods local,fedavg,ditto,fedbn,fedrep,fedbn-rep,fedavg-moments,local-tuned,mixture \
            --out "$folder"
    done
done
