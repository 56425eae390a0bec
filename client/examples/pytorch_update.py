"""Train a round's model in PyTorch and contribute the update: ten lines beside your own training.

    python pytorch_update.py BASE.safetensors --study study.json --identity SITE.identity --state STATE --server URL
"""
import subprocess, sys, torch
from safetensors.torch import load_file, save_file

base, member = load_file(sys.argv[1]), sys.argv[2:]
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
model.load_state_dict(base)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for _ in range(50):  # your own data and training stand here
    x = torch.randn(32, 4)
    loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
    optimizer.zero_grad(), loss.backward(), optimizer.step()
save_file({name: value - base[name] for name, value in model.state_dict().items()}, "update.safetensors")
subprocess.run(["ringfence", "contribute", *member, "--base", sys.argv[1], "--update", "update.safetensors"], check=True)
