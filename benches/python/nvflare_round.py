"""What a round of NVIDIA FLARE takes that protects nothing: FedAvg of float32 by its simulator.

Its server and sites are processes of one machine, as ours are. A job of one round and one of more are
run; the difference, over the rounds that it has more, is a round, without start and end. Sites do not
train: each sends what the server gave it, and a number of its own.

    pip install nvflare        # 2.9.0
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

NOT_INSTALLED = 3
TRIES = 3
SECONDS_A_ROUND = 20

SITE = """
import numpy
import nvflare.client as flare

flare.init()
own = float(flare.get_site_name().rsplit("-", 1)[1])
while flare.is_running():
    model = flare.receive()
    values = model.params["numpy_key"]
    flare.send(flare.FLModel(params={"numpy_key": numpy.asarray(values + numpy.float32(own))}))
"""


def job(args, rounds, folder):
    """Runs a whole job, and checks the model that it ends with."""
    import numpy
    from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
    from nvflare.recipe import SimEnv

    script = os.path.join(folder, "site.py")
    with open(script, "w") as file:
        file.write(SITE)
    initial = os.path.join(folder, "initial.npy")
    numpy.save(initial, numpy.zeros(args.parameters, dtype=numpy.float32))
    recipe = NumpyFedAvgRecipe(
        name="plain",
        initial_ckpt=initial,
        min_clients=args.sites,
        num_rounds=rounds,
        train_script=script,
    )
    recipe.execute(
        SimEnv(num_clients=args.sites, num_threads=args.sites, workspace_root=folder)
    )
    found = [
        os.path.join(at, name)
        for at, _, names in os.walk(folder)
        for name in names
        if name.endswith(".npy") and name != "initial.npy"
    ]
    if not found:
        raise SystemExit("NVFlare left no model")
    # Sites are numbered from 1: every round adds the mean of their numbers.
    expected = rounds * (args.sites + 1) / 2
    model = numpy.load(found[0])
    if model.size != args.parameters or abs(model - expected).max() > 1e-3:
        raise SystemExit(f"NVFlare's mean is {model[:3]}..., expected {expected}")


def measured(args, rounds):
    """CPU-seconds and seconds of a whole job, in processes of its own.

    The simulator sometimes loses a site while it starts, and then waits for it for ever: such a job
    is ended, and run again.
    """
    words = [sys.executable, __file__, "--job"]
    words += ["--parameters", str(args.parameters), "--sites", str(args.sites)]
    for _ in range(TRIES):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        with tempfile.TemporaryFile() as said:
            job = subprocess.Popen(
                words + ["--rounds", str(rounds)],
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = job.wait(timeout=60 + SECONDS_A_ROUND * rounds)
            except subprocess.TimeoutExpired:
                os.killpg(job.pid, signal.SIGKILL)
                job.wait()
                continue
            if status != 0:
                said.seek(0)
                sys.stderr.buffer.write(said.read()[-4000:])
                raise SystemExit(1)
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return cpu, seconds
    raise SystemExit(f"{TRIES} jobs of NVFlare did not end")


def main():
    parser = argparse.ArgumentParser()
    for name in ("parameters", "sites", "rounds"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--job", action="store_true")
    args = parser.parse_args()
    try:
        import numpy  # noqa: F401
        import nvflare  # noqa: F401
    except ImportError:
        sys.exit(NOT_INSTALLED)
    if args.job:
        with tempfile.TemporaryDirectory() as folder:
            job(args, args.rounds, folder)
        return
    one, more = measured(args, 1), measured(args, 1 + args.rounds)
    cpu, seconds = ((after - before) / args.rounds for before, after in zip(one, more))
    print(json.dumps({"cpu_seconds": cpu, "seconds": seconds}))


if __name__ == "__main__":
    main()
