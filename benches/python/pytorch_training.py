"""Trains one of the two networks with PyTorch: model, side, batch and threads on the command line.

Prints the number of parameters; then for each line with a number of seconds on standard input it
trains for that long and prints the seconds of the best step. Exits with 3 without PyTorch.
"""

import sys
import time

try:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError:
    sys.exit(3)


# Opacus takes gradients where they leave a layer, and must find there what the layer gave.
IN_PLACE = True


def normed(inputs, outputs):
    return [
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.GroupNorm(8, outputs),
        nn.ReLU(inplace=IN_PLACE),
    ]


def cnn(side):
    widths = [1, 16, 32, 64, 128]
    layers = [
        layer for pair in zip(widths, widths[1:]) for layer in normed(*pair) + [nn.MaxPool2d(2)]
    ]
    flat = 128 * (side // 16) ** 2
    dense = [nn.Flatten(), nn.Linear(flat, 128), nn.ReLU(inplace=IN_PLACE), nn.Linear(128, 2)]
    return nn.Sequential(*layers, *dense)


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [16, 32, 64, 128, 256]
        block = lambda i, o: nn.Sequential(*normed(i, o), *normed(o, o))
        self.down = nn.ModuleList(block(i, o) for i, o in zip([1] + widths, widths))
        pairs = list(zip(widths, widths[1:]))
        self.narrow = nn.ModuleList(nn.Conv2d(o, i, 1) for i, o in pairs)
        self.up = nn.ModuleList(block(2 * i, i) for i, _ in pairs)
        self.head = nn.Conv2d(16, 1, 1)

    def forward(self, x):
        skips = []
        for depth, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if depth else x)
            skips.append(x)
        for depth in reversed(range(len(self.up))):
            x = self.narrow[depth](F.interpolate(x, scale_factor=2))
            x = self.up[depth](torch.cat([skips[depth], x], 1))
        return self.head(x)


def main():
    name, (side, batch, threads) = sys.argv[1], map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    model = cnn(side) if name == "cnn" else UNet()
    print(sum(p.numel() for p in model.parameters()), flush=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images = torch.rand(batch, 1, side, side)
    if name == "cnn":
        targets, loss = torch.randint(0, 2, (batch,)), F.cross_entropy
    else:
        targets = (torch.rand(batch, 1, side, side) < 0.5).float()
        loss = F.binary_cross_entropy_with_logits

    def step():
        optimizer.zero_grad()
        loss(model(images), targets).backward()
        optimizer.step()

    take_turns(step)


def take_turns(step):
    step()
    for line in sys.stdin:
        start, best = time.perf_counter(), float("inf")
        while best == float("inf") or time.perf_counter() - start < float(line):
            begin = time.perf_counter()
            step()
            best = min(best, time.perf_counter() - begin)
        print(best, flush=True)


if __name__ == "__main__":
    main()
