"""Makes resnet.safetensors, and the small PyTorch files in ../fixtures.

    python make_resnet.py [FOLDER]

needs torch, numpy and safetensors (made with 2.4.1, 2.4.6 and 0.8.0). ResNet-18 and
ResNet-50 V1.5 are written out here in plain PyTorch with torchvision's names. Their
weights are too large to keep, so both sides compute them: see `values`. With a FOLDER, the
whole weights are saved there too, in the forms that PyTorch has.
"""

import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures"
SIZE = 65


def values(name, shape, low, high):
    """Numbers from `low` to `high` that depend on the name and the position alone."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = (seed ^ byte) * 0x01000193 & 0xFFFFFFFF
    count = int(np.prod(shape))
    x = np.arange(count, dtype=np.uint64) * 0x9E3779B1 & 0xFFFFFFFF
    x ^= seed
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x ^= x >> np.uint64(shift)
        x = x * factor & 0xFFFFFFFF
    x ^= x >> np.uint64(16)
    numbers = low + (high - low) * (x.astype(np.float64) / 2.0**32)
    return torch.from_numpy(numbers.astype(np.float32).reshape(shape))


class Block(nn.Module):
    def __init__(self, kernels, channels, strides, shortcut):
        super().__init__()
        for n, (kernel, stride) in enumerate(zip(kernels, strides), 1):
            size = channels[n - 1], channels[n], kernel, stride, kernel // 2
            setattr(self, f"conv{n}", nn.Conv2d(*size, bias=False))
            setattr(self, f"bn{n}", nn.BatchNorm2d(channels[n]))
        self.count = len(kernels)
        self.downsample = None
        if shortcut:
            conv = nn.Conv2d(channels[0], channels[-1], 1, max(strides), bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(channels[-1]))

    def forward(self, x):
        out = x
        for n in range(1, self.count + 1):
            out = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(out))
            out = out if n == self.count else out.relu()
        return (out + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet(nn.Module):
    def __init__(self, blocks, bottleneck):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for layer, (count, width) in enumerate(zip(blocks, (64, 128, 256, 512)), 1):
            members = []
            for block in range(count):
                stride = 2 if layer > 1 and block == 0 else 1
                if bottleneck:
                    shape = (1, 3, 1), (channels, width, width, 4 * width), (1, stride, 1)
                else:
                    shape = (3, 3), (channels, width, width), (stride, 1)
                shortcut = stride > 1 or channels != shape[1][-1]
                members.append(Block(*shape, shortcut))
                channels = shape[1][-1]
            setattr(self, f"layer{layer}", nn.Sequential(*members))
        self.fc = nn.Linear(channels, 1000)

    def forward(self, x):
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        stem = self.layer3(self.layer2(self.layer1(x)))
        return stem, self.layer4(stem).mean((2, 3))


def fill(model):
    state = OrderedDict()
    for name, tensor in model.state_dict().items():
        shape = tuple(tensor.shape)
        if name.startswith("fc."):
            state[name] = values(name, shape, -0.1, 0.1)
        elif name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(17)
        elif len(shape) == 4:
            bound = np.sqrt(6.0 / (shape[1] * shape[2] * shape[3]))
            state[name] = values(name, shape, -bound, bound)
        elif name.endswith(("running_var", "weight")):
            state[name] = values(name, shape, 0.5, 1.5)
        else:
            state[name] = values(name, shape, -0.3, 0.3)
    model.load_state_dict(state)
    return state


def golden(folder):
    tensors = {}
    x = values("input", (2, 3, SIZE, SIZE), -2.0, 2.0)
    for name, blocks in (("resnet18", (2, 2, 2, 2)), ("resnet50", (3, 4, 6, 3))):
        model = ResNet(blocks, name == "resnet50").eval()
        state = fill(model)
        with torch.no_grad():
            stem, pooled = model(x)
        # Every 64th channel of the map.
        tensors[f"{name}.stem"] = stem[:, ::64].contiguous()
        tensors[f"{name}.pooled"] = pooled.contiguous()
        if folder:
            torch.save(state, folder / f"{name}.pth")
            old = folder / f"{name}-old.pth"
            torch.save(state, old, _use_new_zipfile_serialization=False)
            save_file(state, folder / f"{name}.safetensors")
    save_file(tensors, HERE / "resnet.safetensors")


def fixtures():
    """A dictionary of every form that a tensor may have in a file."""
    table = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 8
    tensors = OrderedDict(
        plain=table,
        half=table.half(),
        brain=table.bfloat16(),
        double=table.double(),
        turned=table.permute(2, 0, 1),
        part=table[1, 1:, ::2],
        parameter=nn.Parameter(table[0].clone()),
        number=torch.tensor(17),
        empty=torch.zeros(0, 3),
    )
    state = {"epoch": 3, "rate": 0.5, "note": None, "state_dict": tensors}
    torch.save(state, FIXTURES / "tensors.pth")
    torch.save(state, FIXTURES / "tensors-old.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    torch.set_num_threads(2)
    fixtures()
    golden(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
