#!/usr/bin/env python3
"""Measures how many bits of the general codes change if the shipped trunk computes in 8-bit integers.

Needs a Python with the packages of `requirements-runtimes.txt`, and the Grocery Store Dataset:

    venv/bin/python benches/quantize.py GROCERY

The trunk is simulated in PyTorch as the best integer kernels would compute it: norms folded, weights
with one scale per output channel, activations with one scale and zero point per layer, sums of
products and of skipped connections exact. Scales of activations have the least squared error on 128
training images. Prints, for several choices of the layers that are quantized, the share of bits of
the general hash that differ, and the mAP of 400 test images among 800 other training images.
"""

import argparse
import copy
import random
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

ASSETS = Path(__file__).parent.parent / "assets"


def trunk():
    """Returns the shipped trunk as timm's network, with all norms folded."""
    ours = load_file(ASSETS / "efficientnet-lite0.safetensors")
    ours = {name: tensor.float() for name, tensor in ours.items()}
    network = timm.create_model("tf_efficientnet_lite0").eval()

    def take(convolution, activation, name):
        norm = {key: ours[f"{name}.norm.{key}"] for key in ("gamma", "beta", "running_mean", "running_var")}
        scale = norm["gamma"] / torch.sqrt(norm["running_var"] + 1e-3)
        weight = ours[f"{name}.weight"] * scale[:, None, None, None]
        assert convolution.weight.shape == weight.shape, name
        convolution.weight = nn.Parameter(weight)
        convolution.bias = nn.Parameter(norm["beta"] - norm["running_mean"] * scale)
        return activation

    network.bn1 = take(network.conv_stem, nn.ReLU6(), "stem.entry")
    network.bn2 = take(network.conv_head, nn.ReLU6(), "refine.head")
    blocks = [block for stage in network.blocks for block in stage]
    in_stem = sum(name.startswith("stem.") and name.endswith("project.weight") for name in ours)
    for number, block in enumerate(blocks):
        half, at = ("stem", number) if number < in_stem else ("refine", number - in_stem)
        name = f"{half}.blocks.{at}"
        if hasattr(block, "conv_pwl"):
            block.bn1 = take(block.conv_pw, nn.ReLU6(), f"{name}.expand")
            block.bn2 = take(block.conv_dw, nn.ReLU6(), f"{name}.depthwise")
            block.bn3 = take(block.conv_pwl, nn.Identity(), f"{name}.project")
        else:
            block.bn1 = take(block.conv_dw, nn.ReLU6(), f"{name}.depthwise")
            block.bn2 = take(block.conv_pw, nn.Identity(), f"{name}.project")
    return network


def convolutions(network):
    return {name: one for name, one in network.named_modules() if isinstance(one, nn.Conv2d)}


def prepared(path):
    """Returns the network's input: the short side scaled to 256, the middle 224 cut out."""
    picture = Image.open(path).convert("RGB")
    scale = 256 / min(picture.size)
    size = [max(224, round(side * scale)) for side in picture.size]
    picture = picture.resize(size, Image.BICUBIC)
    left, top = ((side - 224) // 2 for side in size)
    pixels = np.asarray(picture.crop((left, top, left + 224, top + 224)), dtype=np.float32)
    return torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)


@torch.no_grad()
def features(network, inputs):
    batches = [network.forward_features(some) for some in inputs.split(32)]
    return torch.cat([network.forward_head(batch, pre_logits=True) for batch in batches])


def scales(network, inputs):
    """Returns scale and zero point of the input of each convolution."""
    seen = {}
    hooks = []
    for name, one in convolutions(network).items():
        def note(_, given, name=name):
            flat = given[0].flatten()
            seen.setdefault(name, []).append(flat[torch.randint(len(flat), (100_000,))])
        hooks.append(one.register_forward_pre_hook(note))
    features(network, inputs)
    for hook in hooks:
        hook.remove()
    chosen = {}
    for name, parts in seen.items():
        values = torch.cat(parts)
        low, high = min(0.0, values.min().item()), values.max().item()
        tried = []
        for share in np.linspace(0.3, 1, 29):
            step = (high - low) * share / 255
            zero = round(-low * share / step)
            tried.append((((rounded(values, step, zero) - values) ** 2).mean().item(), step, zero))
        chosen[name] = min(tried)[1:]
    return chosen


def rounded(values, step, zero):
    return (torch.clamp(torch.round(values / step) + zero, 0, 255) - zero) * step


def quantized(network, chosen, layers):
    """Returns a copy in which these layers compute with 8-bit numbers."""
    network = copy.deepcopy(network)
    for name, one in convolutions(network).items():
        if not layers(name):
            continue
        step = one.weight.data.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12) / 127
        one.weight.data = torch.round(one.weight.data / step) * step
        one.register_forward_pre_hook(lambda _, given, how=chosen[name]: (rounded(given[0], *how),))
    return network


def mean_precision(queries, query_labels, database, labels):
    """Returns mAP by cosine over whole rankings; queries without a relevant image do not count."""
    unit = [rows / rows.norm(dim=1, keepdim=True) for rows in (queries, database)]
    orders = np.argsort(-(unit[0] @ unit[1].T).numpy(), axis=1, kind="stable")
    total = []
    for order, label in zip(orders, query_labels):
        relevant = labels[order] == label
        if relevant.any():
            total.append((np.cumsum(relevant) / np.arange(1, len(order) + 1))[relevant].mean())
    return np.mean(total)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("grocery", type=Path)
    options = parser.parse_args()
    torch.manual_seed(1)
    draw = random.Random(1)

    def some(split):
        rows = [line.split(",") for line in open(options.grocery / f"{split}.txt")]
        draw.shuffle(rows)
        return [options.grocery / row[0].strip() for row in rows], np.array([int(row[1]) for row in rows])

    (train, train_labels), (test, test_labels) = some("train"), some("test")
    calibration, database, queries = (
        torch.stack([prepared(path) for path in paths]) for paths in (train[:128], train[128:928], test[:400])
    )
    labels, query_labels = train_labels[128:928], test_labels[:400]
    network = trunk()
    chosen = scales(network, calibration)
    hash = load_file(ASSETS / "general-256.safetensors")

    def code(rows):
        values = (rows - hash["hash.mean"]) @ hash["hash.projection"] + hash["hash.bias"]
        return torch.where(values >= 0, 1.0, -1.0)

    def measure(name, network, exact=None):
        rows = [features(network, inputs) for inputs in (queries, database)]
        codes = [code(some) for some in rows]
        differ = "-" if exact is None else f"{100 * (codes[0] != exact).float().mean():.2f} %"
        found = [mean_precision(a, query_labels, b, labels) for a, b in (codes, rows)]
        print(f"| {name} | {differ} | {found[0]:.4f} | {found[1]:.4f} |", flush=True)
        return codes[0]

    print("| layers in 8 bits | bits that differ | mAP of codes | mAP of features |")
    print("|---|---:|---:|---:|")
    exact = measure("none", network)
    choices = {
        "all": lambda name: True,
        "pointwise ones": lambda name: "conv_dw" not in name and name != "conv_stem",
        "pointwise ones of the last seven blocks": lambda name: name.startswith(("blocks.5", "blocks.6", "conv_head"))
        and "conv_dw" not in name,
    }
    for name, layers in choices.items():
        measure(name, quantized(network, chosen, layers), exact)


if __name__ == "__main__":
    main()
