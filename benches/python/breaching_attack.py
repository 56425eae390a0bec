"""Gives breaching, a public attack library, the gradients that Ringfence's attacks were given.

    ringfence-lab attack --data DIR --attack idlg,inverting --stage plain --images 4 --export SEEN --out OUT
    python benches/python/breaching_attack.py SEEN OUT/report.json

Needs breaching 0.1.2 with PyTorch. Each file of SEEN has weights, the gradient of one image, its class and
the image. The network is built anew in PyTorch, and its own gradient of the image must equal the given
one first: the two sides are then given the same task. iDLG is breaching's deep leakage with the class
told: Euclidean distance, L-BFGS, as many steps and starts as Ringfence's. Inverting Gradients is
breaching's, with its own settings and as many steps as Ringfence's. PSNR as in the laboratory: of grey
values in [0, 1] at the image's brightness and contrast, at most 120 dB.
Prints a line for each gradient, and a mean for each attack: breaching's PSNR beside Ringfence's. The light
CNN's gradient does not say how contrasted an image is, so breaching's answer is scored once more when it
has been brought to mean 0 and variance 1, as models get images ("standardised").
"""

import argparse
import json
import math
import pathlib
import statistics
import time
import warnings

import torch
import torch.nn.functional as F
from omegaconf import OmegaConf

warnings.filterwarnings("ignore")
from breaching.attacks.optimization_based_attack import OptimizationBasedAttacker  # noqa: E402

# L-BFGS of PyTorch makes so many steps in one of breaching's.
INNER_STEPS = 20
LEAKAGE_STEPS, LEAKAGE_STARTS = 1200, 4
MOST_DIFFERENT = 1e-4


class Network(torch.nn.Module):
    """The sigmoid LeNet or the light CNN, with its tensors in the order of their names."""

    def __init__(self, model, shapes):
        super().__init__()
        self.model = model
        self.names = [name for name, _ in shapes]
        self.tensors = torch.nn.ParameterList([torch.zeros(shape) for _, shape in shapes])

    def forward(self, x):
        of = dict(zip(self.names, self.tensors))
        if self.model == "sigmoid LeNet":
            for depth, stride in enumerate((2, 2, 1)):
                kernel, bias = of[f"block{depth}.conv.kernel"], of[f"block{depth}.conv.bias"]
                x = torch.sigmoid(F.conv2d(x, kernel, bias, stride=stride, padding=2))
        else:
            for depth in range(4):
                x = F.conv2d(x, of[f"block{depth}.conv.kernel"], padding=1)
                scale, bias = of[f"block{depth}.norm.scale"], of[f"block{depth}.norm.bias"]
                x = F.avg_pool2d(F.relu(F.group_norm(x, 4, scale, bias, 1e-5)), 2)
        # Ringfence's tensors have their channels last.
        x = x.permute(0, 2, 3, 1).flatten(1)
        if self.model != "sigmoid LeNet":
            x = F.relu(F.linear(x, of["hidden.kernel"], of["hidden.bias"]))
        return F.linear(x, of["head.kernel"], of["head.bias"])


def settings(attack, steps):
    """breaching's, as in its config/attack/deepleakage.yaml and invertinggradients.yaml."""
    common = {
        "type": attack, "attack_type": "optimization", "label_strategy": None,
        "init": "randn", "normalize_gradients": False, "augmentations": None,
        "differentiable_augmentations": False,
        "impl": {"dtype": "float", "mixed_precision": False, "JIT": None},
    }
    optim = {"langevin_noise": 0.0, "warmup": 0, "grad_clip": None, "callback": 10**9}
    if attack == "idlg":
        iterations = LEAKAGE_STEPS // INNER_STEPS
        own = {
            "objective": {"type": "euclidean", "scale": 1.0, "task_regularization": 0.0},
            "restarts": {"num_trials": LEAKAGE_STARTS, "scoring": "euclidean"},
            "regularization": None,
            "optim": {**optim, "optimizer": "L-BFGS", "signed": None, "step_size": 1.0, "boxed": False,
                      "max_iterations": iterations, "step_size_decay": None},
        }
    else:
        tv = {"scale": 0.2, "inner_exp": 1, "outer_exp": 1}
        own = {
            "objective": {"type": "cosine-similarity", "scale": 1.0, "task_regularization": 0.0},
            "restarts": {"num_trials": 1, "scoring": "cosine-similarity"},
            "regularization": {"total_variation": tv},
            "optim": {**optim, "optimizer": "adam", "signed": "hard", "step_size": 0.1, "boxed": True,
                      "max_iterations": steps, "step_size_decay": "step-lr"},
        }
    return OmegaConf.create({**common, **own})


def attacked(seen):
    """What breaching finds in a gradient: an image as the model gets it. And how far off its gradient is."""
    network, loss = Network(seen["model"], seen["shapes"]), torch.nn.CrossEntropyLoss()
    sizes = [math.prod(shape) for _, shape in seen["shapes"]]

    def tensors(values):
        parts = torch.tensor(values).split(sizes)
        return [part.reshape(shape) for part, (_, shape) in zip(parts, seen["shapes"])]

    with torch.no_grad():
        for own, given in zip(network.tensors, tensors(seen["weights"])):
            own.copy_(given)
    side, label = seen["side"], torch.tensor([seen["label"]])
    image = torch.tensor(seen["input"]).reshape(1, 1, side, side)
    gradient = tensors(seen["gradient"])
    own = torch.autograd.grad(loss(network(image), label), list(network.tensors))
    square = sum(part.square().sum() for part in gradient)
    away = math.sqrt(sum((a - b).square().sum() for a, b in zip(own, gradient)) / square)
    if away > MOST_DIFFERENT:
        raise SystemExit(f"expected the gradient of the network built here, found one {away:.1e} away: "
                         "the two networks differ")

    low, high = seen["low"], seen["high"]
    metadata = OmegaConf.create({
        "shape": [1, side, side], "modality": "vision", "task": "classification",
        "classes": len(seen["classes"]), "mean": [-low / (high - low)], "std": [1 / (high - low)],
    })
    attacker = OptimizationBasedAttacker(network, loss, settings(seen["attack"], seen["steps"]))
    for regularizer in attacker.regularizers:
        # breaching's total variation takes three channels; the images are grey.
        regularizer.groups, regularizer.weight = 1, regularizer.weight[:2]
    payload = [{"parameters": [p.detach() for p in network.tensors], "buffers": None,
                "metadata": metadata}]
    told = {"num_data_points": 1, "labels": label, "local_hyperparams": None}
    shared = [{"gradients": gradient, "buffers": None, "metadata": told}]
    torch.manual_seed(seen["seed"] % 2**63)
    found, _ = attacker.reconstruct(payload, shared, {})
    return found["data"], away


def psnr(seen, found):
    """Of grey values, in dB."""
    low, high = seen["low"], seen["high"]
    grey = lambda values: ((values.flatten() - low) / (high - low)).clamp(0, 1)  # noqa: E731
    error = (grey(found.double()) - grey(torch.tensor(seen["input"]).double())).square().mean()
    return -10 * math.log10(max(error.item(), 1e-12))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("seen", type=pathlib.Path, help="folder of --export")
    parser.add_argument("report", type=pathlib.Path, help="report.json of the same start")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(args.report.read_text())["rows"]
    ours = {(row["attack"], row["image"]): row for row in rows if row["stage"] == "plain"}
    means = {}
    for file in sorted(args.seen.glob("*.json")):
        seen = json.loads(file.read_text())
        row = ours[seen["attack"], seen["image"]]
        start = time.process_time()
        found, away = attacked(seen)
        seconds = time.process_time() - start
        standardised = (found - found.mean()) / found.std(correction=0)
        theirs, best = psnr(seen, found), psnr(seen, standardised)
        print(f"{seen['attack']:<10} {seen['image']:<28} breaching {theirs:6.1f} dB, standardised "
              f"{best:6.1f} dB in {seconds:4.0f} s, ringfence {row['psnr']:6.1f} dB in {row['seconds']:4.0f} s, guess {row['psnr_guess']:5.1f} dB; "
              f"gradients differ by {away:.0e}", flush=True)
        means.setdefault(seen["attack"], []).append((theirs, best, row["psnr"]))
    for attack, pairs in means.items():
        theirs, best, own = (statistics.mean(side) for side in zip(*pairs))
        print(f"{attack:<10} mean of {len(pairs)}: breaching {theirs:.1f} dB, standardised {best:.1f} dB, "
              f"ringfence {own:.1f} dB")


if __name__ == "__main__":
    main()
