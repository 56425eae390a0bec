"""What the scripts of this folder share: the updates from standard input, timing, the row."""

import argparse
import json
import statistics
import sys
import time

NOT_INSTALLED = 3


def arguments():
    """Command line of every script; the updates follow on standard input as raw float32."""
    parser = argparse.ArgumentParser()
    for name in ("parameters", "sites", "bits", "repetitions"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--clip", type=float, required=True)
    return parser.parse_args()


def updates(args):
    """One float32 vector a site."""
    import numpy

    values = numpy.frombuffer(sys.stdin.buffer.read(), dtype="<f4")
    if values.size != args.sites * args.parameters:
        raise SystemExit(f"expected {args.sites} x {args.parameters} values, got {values.size}")
    return values.reshape(args.sites, args.parameters)


def timed(args, step):
    """Median seconds of a step after one untimed run, and its last result."""
    result = step()
    seconds = []
    for _ in range(args.repetitions):
        start = time.perf_counter()
        result = step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def print_row(args, scheme, encrypt, add, opened, upload_bytes, max_error, settings, source):
    """The row as JSON on standard output."""
    row = {
        "scheme": scheme,
        "parameters": args.parameters,
        "sites": args.sites,
        "bits": args.bits,
        "threads": 1,
        "encrypt_seconds": encrypt,
        "share_seconds": 0.0,
        "body_bytes_per_parameter": upload_bytes / args.parameters,
        "bytes_per_parameter": upload_bytes / args.parameters,
        "add_seconds": add,
        "open_seconds": opened,
        "max_error": max_error,
        "settings": f"{settings} Median of {args.repetitions} repetitions.",
        "source": source,
    }
    print(json.dumps(row))
