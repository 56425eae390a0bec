#!/bin/sh
# Personalisation on nuclei across microscopies and laboratories, as nuclei.md beside this file fixes it.
#
#   nuclei.sh DATA OUT DRAW...
#
# DATA holds nuclei_draw.py and the images that it draws from. Every DRAW is drawn into OUT/drawn and
# run into OUT/FEDERATION-DRAW, with 100 rounds into OUT/FEDERATION-DRAW-100. Started again, it keeps
# the runs that are there. LAB names the program, ringfence-lab unless given.
set -eu
data=$1 out=$2
shift 2
lab=${LAB:-ringfence-lab}

run() {
    rounds=$1 methods=$2 folder=$3
    "$lab" experiment --data "$images" --batch 2 --epochs "$epochs" --alpha 0.1 \
        --fine-tune-epochs 30 --seeds "$draw" --methods "$methods" --rounds "$rounds" \
        --out "$folder"
}

# The long runs come last, so that the short ones are there whenever it is stopped.
for rounds in 20 100; do
    for draw in "$@"; do
        for federation in nuclei9 dark6; do
            case $federation in
                nuclei9) epochs=4 ;;
                dark6) epochs=6 ;;
            esac
            images=$out/drawn/$federation-$draw
            if [ ! -e "$images/labels.csv" ]; then
                mkdir -p "$out/drawn"
                python3 "$data/nuclei_draw.py" "$federation" "$draw" "$images" > "$images.txt"
            fi
            case $rounds in
                20) run 20 local,fedavg,perfedavg "$out/$federation-$draw" ;;
                100) run 100 fedavg "$out/$federation-$draw-100" ;;
            esac
        done
    done
done
