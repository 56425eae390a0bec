#!/usr/bin/env python3
"""Tables of methods over several draws: means, spread, and paired differences.

    paired.py FOLDER... [--score Dice] [--without SITE] [--over ROW]... [--of ROW]...

Every FOLDER is one that `ringfence-lab experiment` has written; its finished runs count. They are
grouped by their seed: a draw is all runs of one seed. A run is known by its method, and where its folder ends
in -NUMBER after the draw's own number (`dark6-4-100`), by that number of rounds beside it.

A row's value in a draw is the mean over the sites of their test scores; sites where a score is
undefined are left out, and so is --without. The spread is the standard deviation over the draws (by
n - 1). The difference of two rows is taken in each draw; its standard error is the standard
deviation of these differences over the root of their number.
"""
import argparse
import glob
import json
import math
import os
import re


def spread(values):
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


def mean_of_sites(table, score, without):
    values = [dict(site["scores"]).get(score) for site in table if site["site"] not in without]
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


def rows(folders, score, without):
    """Of every row the value in each draw: {row: {seed: value}}, rows as they come."""
    found = {}
    for folder in folders:
        name = os.path.basename(os.path.normpath(folder))
        more = re.search(r"-\d+-(\d+)$", name)
        suffix = f", {more.group(1)} rounds" if more else ""
        runs = sorted(glob.glob(os.path.join(glob.escape(folder), "runs", "*", "run.json")))
        if not runs:
            raise SystemExit(f"{folder}: expected runs of `ringfence-lab experiment`, found none")
        for path in runs:
            with open(path, encoding="utf-8") as file:
                run = json.load(file)
            tables = {"": run["test"], ", fine-tuned": run["personalised"]}
            for kind, table in tables.items():
                value = table and mean_of_sites(table, score, without)
                if value is None:
                    continue
                row = run["key"]["method"] + suffix + kind
                draws = found.setdefault(row, {})
                seed = run["key"]["seed"]
                if seed in draws:
                    raise SystemExit(f"{folder}: {row} of draw {seed} is there twice")
                draws[seed] = value
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--score", default="Dice")
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--over", action="append", default=[])
    parser.add_argument("--of", action="append", default=[])
    args = parser.parse_args()

    found = rows(args.folders, args.score, args.without)
    draws = sorted({draw for row in found.values() for draw in row})
    names = ", ".join(map(str, draws))
    without = f" without {', '.join(args.without)}" if args.without else ""
    print(f"| {args.score}, mean of sites{without} | mean ± deviation | draws {names} |")
    print("| --- | --- | --- |")
    for row, values in found.items():
        mean, deviation = spread(list(values.values()))
        each = ", ".join(f"{values[d]:.3f}" if d in values else "-" for d in draws)
        beside = "" if math.isnan(deviation) else f" ± {deviation:.3f}"
        print(f"| {row} | {mean:.3f}{beside} | {each} |")
    if not args.over:
        return
    print()
    print(f"| points, paired{without} | difference ± standard error | draws {names} |")
    print("| --- | --- | --- |")
    for over in args.over:
        if over not in found:
            raise SystemExit(f"--over {over}: expected one of {', '.join(found)}")
        for row in args.of or [row for row in found if row != over]:
            if row not in found:
                raise SystemExit(f"--of {row}: expected one of {', '.join(found)}")
            both = [draw for draw in draws if draw in found[row] and draw in found[over]]
            if row == over or not both:
                continue
            points = {draw: 100 * (found[row][draw] - found[over][draw]) for draw in both}
            mean, deviation = spread(list(points.values()))
            error = deviation / math.sqrt(len(both))
            each = ", ".join(f"{points[d]:+.1f}" if d in points else "-" for d in draws)
            beside = "" if math.isnan(error) else f" ± {error:.1f}"
            print(f"| {row} over {over} | {mean:+.1f}{beside} | {each} |")


main()
