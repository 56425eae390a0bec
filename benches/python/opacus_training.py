"""Trains one of the two networks with Opacus: mode, model, side, batch and threads on the command line.

Modes: `ordinary` (no privacy), `hooks` (a gradient of each sample is kept) and `ghost` (only its length
is worked out, and a second pass adds up). Prints and reads as `pytorch_training.py` does, whose networks
these are. Exits with 3 without PyTorch or Opacus.
"""

import sys
import warnings

try:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    from opacus import PrivacyEngine
except ImportError:
    sys.exit(3)

import pytorch_training

warnings.filterwarnings("ignore")
pytorch_training.IN_PLACE = False


class Pixels(nn.Module):
    """Binary cross-entropy: the mean over pixels, then over samples unless `reduction` is `none`."""

    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, logits, targets):
        each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        each = each.flatten(1).mean(1)
        return each if self.reduction == "none" else each.mean()


def main():
    mode, name, (side, batch, threads) = sys.argv[1], sys.argv[2], map(int, sys.argv[3:])
    torch.set_num_threads(threads)
    images = torch.rand(batch, 1, side, side)
    if name == "cnn":
        model, criterion = pytorch_training.cnn(side), nn.CrossEntropyLoss()
        targets = torch.randint(0, 2, (batch,))
    else:
        model, criterion = pytorch_training.UNet(), Pixels()
        targets = (torch.rand(batch, 1, side, side) < 0.5).float()
    print(sum(p.numel() for p in model.parameters()), flush=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    if mode != "ordinary":
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(images, targets), batch_size=batch
        )
        private = PrivacyEngine().make_private(
            module=model,
            optimizer=optimizer,
            data_loader=loader,
            criterion=criterion,
            noise_multiplier=1.0,
            max_grad_norm=1.0,
            poisson_sampling=False,
            grad_sample_mode=mode,
        )
        if mode == "ghost":
            model, optimizer, criterion, _ = private
        else:
            model, optimizer, _ = private

    def step():
        optimizer.zero_grad()
        criterion(model(images), targets).backward()
        optimizer.step()

    pytorch_training.take_turns(step)


if __name__ == "__main__":
    main()
