"""Makes trunks.safetensors: what PyTorch computes with ConvNeXt, EfficientNet-Lite1 and -2 and the
transformers.

    python make_trunks.py [FOLDER]

needs torch, numpy and safetensors (made with 2.15.0, 2.4.6 and 0.8.0). The networks are written out
here in plain PyTorch. Their weights are too large to keep, so both sides compute them by the formula
of `make_resnet.py`. With a FOLDER, the whole weights are saved there too, in every published form of
names that the import knows.

    python make_trunks.py --timm

compares these networks with those of the library timm (made with 1.0.31) and prints the greatest
difference of each.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from make_resnet import values

HERE = Path(__file__).parent


# Weights by name and shape, in the names of the networks' authors.


def drawn(name, shape):
    """Weights of one tensor, in ranges that keep activations near 1."""
    last = name.rsplit(".", 1)[-1]
    if last in ("gamma", "lambda1"):
        return values(name, shape, 0.1, 0.5)
    if last == "running_var":
        return values(name, shape, 0.5, 1.5)
    if len(shape) == 1:
        norm = "norm" in name or "ln_" in name or "downsample" in name or "bn" in name
        return values(name, shape, 0.5, 1.5) if norm and last == "weight" else values(name, shape, -0.3, 0.3)
    if any(part in name for part in ("token", "pos_embed", "positional", "class_embedding")):
        return values(name, shape, -1.0, 1.0)
    bound = np.sqrt(3.0 / np.prod(shape[1:]))
    return values(name, shape, -bound, bound)


class Weights(dict):
    """A dictionary of weights that draws those it does not have."""

    def get(self, name, *shape):
        if name not in self:
            self[name] = drawn(name, shape)
        return self[name]


class Masked:
    """Weights in which the biases of keys are 0, as a mask in DINOv3's files makes them."""

    def __init__(self, w):
        self.w = w

    def get(self, name, *shape):
        found = self.w.get(name, *shape)
        if name.endswith("qkv.bias"):
            mask = torch.ones(3, shape[0] // 3)
            mask[1] = 0
            self.w[f"{name}_mask"] = mask.flatten()
            return found * mask.flatten()
        return found


def norm(w, name, x, epsilon):
    """Layer norm of the last axis."""
    width = x.shape[-1]
    return F.layer_norm(x, (width,), w.get(f"{name}.weight", width), w.get(f"{name}.bias", width), epsilon)


def linear(w, name, x, output):
    return F.linear(x, w.get(f"{name}.weight", output, x.shape[-1]), w.get(f"{name}.bias", output))


# ConvNeXt, names of its authors.


def map_norm(w, name, x):
    return norm(w, name, x.permute(0, 2, 3, 1), 1e-6).permute(0, 3, 1, 2)


def conv(w, name, x, output, side, **how):
    weight = w.get(f"{name}.weight", output, x.shape[1] // how.get("groups", 1), side, side)
    return F.conv2d(x, weight, w.get(f"{name}.bias", output), **how)


def convnext(w, x, depths, widths):
    for stage, (depth, width) in enumerate(zip(depths, widths)):
        name = f"downsample_layers.{stage}"
        if stage == 0:
            x = map_norm(w, f"{name}.1", conv(w, f"{name}.0", x, width, 4, stride=4))
        else:
            x = map_norm(w, f"{name}.0", x)
            if stage == 3:
                stem = x
            x = conv(w, f"{name}.1", x, width, 2, stride=2)
        for block in range(depth):
            name = f"stages.{stage}.{block}"
            y = conv(w, f"{name}.dwconv", x, width, 7, padding=3, groups=width)
            y = norm(w, f"{name}.norm", y.permute(0, 2, 3, 1), 1e-6)
            y = linear(w, f"{name}.pwconv2", F.gelu(linear(w, f"{name}.pwconv1", y, 4 * width)), width)
            x = x + (y * w.get(f"{name}.gamma", width)).permute(0, 3, 1, 2)
    pooled = norm(w, "norm", x.mean((2, 3)), 1e-6)
    linear(w, "head", pooled, 1000)
    return stem, pooled


# Transformers, names of DINOv2's authors.


def resample(grid, to):
    """Bicubic with antialias, as timm and DINOv2's networks with registers do."""
    side = int(grid.shape[0] ** 0.5)
    image = grid.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    image = F.interpolate(image, size=(to, to), mode="bicubic", antialias=True, align_corners=False)
    return image.permute(0, 2, 3, 1).reshape(to * to, -1)


def rotation(side, d):
    """cos and sin of DINOv3's positions, `[side², d]`."""
    centres = 2 * (torch.arange(side, dtype=torch.float64) + 0.5) / side - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    periods = 100.0 ** (2 * torch.arange(d // 4, dtype=torch.float64) / (d // 2))
    angles = 2 * torch.pi * torch.stack([y, x], -1).reshape(side * side, 2, 1) / periods
    angles = angles.flatten(1, 2).tile(2)
    return angles.cos().float(), angles.sin().float()


def rotate(t, side, prefix):
    cos, sin = rotation(side, t.shape[-1])
    still, moving = t[..., :prefix, :], t[..., prefix:, :]
    a, b = moving.chunk(2, -1)
    return torch.cat([still, moving * cos + torch.cat([-b, a], -1) * sin], -2)


def vit(w, x, *, width, heads, patch, grid, registers=0, bias=True, pre=False, scales=False,
        quick=False, projection=None, epsilon=1e-6):
    weight = w.get("patch_embed.proj.weight", width, 3, patch, patch)
    x = F.conv2d(x, weight, w.get("patch_embed.proj.bias", width) if bias else None, stride=patch)
    batch, side = x.shape[0], x.shape[-1]
    x = x.flatten(2).transpose(1, 2)
    token = w.get("cls_token", 1, 1, width).expand(batch, -1, -1)
    if grid:
        places = w.get("pos_embed", 1, 1 + grid * grid, width)[0]
        token = token + places[0]
        x = x + (places[1:] if grid == side else resample(places[1:], side))
    tokens = [token]
    if registers:
        tokens.append(w.get("register_tokens", 1, registers, width).expand(batch, -1, -1))
    x = torch.cat([*tokens, x], 1)
    if pre:
        x = norm(w, "norm_pre", x, epsilon)
    masked = w if grid else Masked(w)
    for number in range(12):
        if number == 9:
            stem = x
        name = f"blocks.{number}"
        qkv = linear(masked, f"{name}.attn.qkv", norm(w, f"{name}.norm1", x, epsilon), 3 * width)
        qkv = qkv.reshape(batch, -1, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv
        if not grid:
            q, k = (rotate(t, side, 1 + registers) for t in (q, k))
        table = (q @ k.transpose(-1, -2) / (width // heads) ** 0.5).softmax(-1)
        y = linear(w, f"{name}.attn.proj", (table @ v).transpose(1, 2).reshape(x.shape), width)
        x = x + (y * w.get(f"{name}.ls1.gamma", width) if scales else y)
        y = linear(w, f"{name}.mlp.fc1", norm(w, f"{name}.norm2", x, epsilon), 4 * width)
        y = y * torch.sigmoid(1.702 * y) if quick else F.gelu(y)
        y = linear(w, f"{name}.mlp.fc2", y, width)
        x = x + (y * w.get(f"{name}.ls2.gamma", width) if scales else y)
    pooled = norm(w, "norm", x, epsilon)[:, 0]
    if projection:
        pooled = F.linear(pooled, w.get("projection.weight", projection, width))
    # The map of the stem as Barbule has it, and the attention of the class token.
    attention = table[:, :, 0, 1 + registers:].reshape(batch, heads, side, side)
    return stem.transpose(1, 2).unsqueeze(-1), pooled, attention


# EfficientNet-Lite, names of the released files.


def batch_norm(w, name, x):
    width = x.shape[1]
    mean, var = w.get(f"{name}.running_mean", width), w.get(f"{name}.running_var", width)
    return F.batch_norm(x, mean, var, w.get(f"{name}.weight", width), w.get(f"{name}.bias", width), eps=1e-3)


def same(w, name, x, output, kernel, stride=1, groups=1):
    """A convolution with TensorFlow's padding."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    weight = w.get(f"{name}.weight", output, x.shape[1] // groups, kernel, kernel)
    return F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)


def lite(w, x, repeats, channels):
    x = F.relu6(batch_norm(w, "_bn0", same(w, "_conv_stem", x, 32, 3, 2)))
    kernels, strides = (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 2, 1, 2, 1)
    number = 0
    for stage, (repeat, output) in enumerate(zip(repeats, channels)):
        if stage == 5:
            stem = x
        for again in range(repeat):
            name, y, stride = f"_blocks.{number}", x, 1 if again else strides[stage]
            wide = x.shape[1] * (6 if stage else 1)
            if stage:
                y = F.relu6(batch_norm(w, f"{name}._bn0", same(w, f"{name}._expand_conv", y, wide, 1)))
            y = same(w, f"{name}._depthwise_conv", y, wide, kernels[stage], stride, wide)
            y = F.relu6(batch_norm(w, f"{name}._bn1", y))
            y = batch_norm(w, f"{name}._bn2", same(w, f"{name}._project_conv", y, output, 1))
            x = x + y if y.shape == x.shape else y
            number += 1
    x = F.relu6(batch_norm(w, "_bn1", same(w, "_conv_head", x, 1280, 1)))
    return stem, x.mean((2, 3))


# The cases: name, size of the input, network.

DEEP = (1, 3, 3, 4, 4, 5, 1)
CASES = {
    "efficientnet-lite1": (65, lite, dict(repeats=DEEP, channels=(16, 24, 40, 80, 112, 192, 320))),
    "efficientnet-lite2": (65, lite, dict(repeats=DEEP, channels=(16, 24, 48, 88, 120, 208, 352))),
    "convnext-atto": (65, convnext, dict(depths=(2, 2, 6, 2), widths=(40, 80, 160, 320))),
    "convnext-femto": (65, convnext, dict(depths=(2, 2, 6, 2), widths=(48, 96, 192, 384))),
    "convnext-pico": (65, convnext, dict(depths=(2, 2, 6, 2), widths=(64, 128, 256, 512))),
    "convnext-nano": (65, convnext, dict(depths=(2, 2, 8, 2), widths=(80, 160, 320, 640))),
    "convnext-tiny": (65, convnext, dict(depths=(3, 3, 9, 3), widths=(96, 192, 384, 768))),
    "dinov2-vits14": (70, vit, dict(width=384, heads=6, patch=14, grid=37, scales=True)),
    "dinov2-vits14-reg": (70, vit, dict(width=384, heads=6, patch=14, grid=37, scales=True, registers=4)),
    "dinov2-vitb14": (42, vit, dict(width=768, heads=12, patch=14, grid=37, scales=True)),
    "dinov2-vitb14-reg": (42, vit, dict(width=768, heads=12, patch=14, grid=37, scales=True, registers=4)),
    "dinov3-vits16": (80, vit, dict(width=384, heads=6, patch=16, grid=None, scales=True, registers=4, epsilon=1e-5)),
    "clip-vitb32": (96, vit, dict(width=768, heads=12, patch=32, grid=7, bias=False, pre=True, quick=True, projection=512, epsilon=1e-5)),
    "clip-vitb16": (64, vit, dict(width=768, heads=12, patch=16, grid=14, bias=False, pre=True, quick=True, projection=512, epsilon=1e-5)),
    "openclip-vitb32": (96, vit, dict(width=768, heads=12, patch=32, grid=7, bias=False, pre=True, projection=512, epsilon=1e-5)),
    "openclip-vitb16": (64, vit, dict(width=768, heads=12, patch=16, grid=14, bias=False, pre=True, projection=512, epsilon=1e-5)),
    "vit-ti16": (320, vit, dict(width=192, heads=3, patch=16, grid=14)),
    "vit-s16": (80, vit, dict(width=384, heads=6, patch=16, grid=14)),
    "vit-b32": (96, vit, dict(width=768, heads=12, patch=32, grid=7)),
    "vit-b16": (64, vit, dict(width=768, heads=12, patch=16, grid=14)),
}


def run(name):
    """Returns the weights of a case, the input and the results."""
    size, network, shape = CASES[name]
    w, x = Weights(), values("input", (1, 3, size, size), -2.0, 2.0)
    with torch.no_grad():
        return w, x, network(w, x, **shape)


def every(map, count):
    """Some of the channels of a map, evenly."""
    return map[:, :: map.shape[1] // count].contiguous()


def golden(folder):
    tensors = {}
    for name in CASES:
        w, _, found = run(name)
        tensors[f"{name}.stem"] = every(found[0], 8)
        tensors[f"{name}.pooled"] = found[1].contiguous()
        if name in ("dinov3-vits16", "vit-ti16"):
            tensors[f"{name}.attention"] = found[2].contiguous()
        if folder:
            save_file({key: value.contiguous() for key, value in w.items()}, folder / f"{name}.safetensors")
    save_file(tensors, HERE / "trunks.safetensors")


def with_timm():
    """Loads the same weights into timm's networks, and compares the pooled features."""
    import timm

    names = {
        "convnext-atto": "convnext_atto", "convnext-femto": "convnext_femto",
        "convnext-pico": "convnext_pico", "convnext-nano": "convnext_nano",
        "convnext-tiny": "convnext_tiny",
        "dinov2-vits14": "vit_small_patch14_dinov2",
        "dinov2-vits14-reg": "vit_small_patch14_reg4_dinov2",
        "dinov2-vitb14": "vit_base_patch14_dinov2",
        "dinov2-vitb14-reg": "vit_base_patch14_reg4_dinov2",
        "dinov3-vits16": "vit_small_patch16_dinov3_qkvb",
        "clip-vitb32": "vit_base_patch32_clip_quickgelu_224",
        "clip-vitb16": "vit_base_patch16_clip_quickgelu_224",
        "openclip-vitb32": "vit_base_patch32_clip_224",
        "openclip-vitb16": "vit_base_patch16_clip_224",
        "vit-ti16": "vit_tiny_patch16_224", "vit-s16": "vit_small_patch16_224",
        "vit-b32": "vit_base_patch32_224", "vit-b16": "vit_base_patch16_224",
        "efficientnet-lite1": "tf_efficientnet_lite1", "efficientnet-lite2": "tf_efficientnet_lite2",
    }
    for name, theirs in names.items():
        size = CASES[name][0]
        w, x, found = run(name)
        how = dict(dynamic_img_size=True) if "vit" in name else {}
        model = timm.create_model(theirs, num_classes=512 if "clip" in name else 0, **how).eval()
        state = dict(renamed(name, w))
        if name.startswith("efficientnet"):
            state = lite_state(model, w)
        missing, unexpected = model.load_state_dict(state, strict=False)
        missing = [key for key in missing if not key.startswith(("head.", "rope", "num_b")) and "num_batches" not in key]
        with torch.no_grad():
            # timm's DINOv3 takes the mean of patches; the feature here is the class token.
            dinov3 = name.startswith("dinov3")
            other = model.forward_features(x)[:, 0] if dinov3 else model(x)
        error = (other - found[1]).abs().max() / found[1].abs().max()
        print(f"{name:<20} {size:>4} {error:.1e} missing {missing[:3]} unexpected {unexpected[:3]}")


def lite_state(model, w):
    """timm's names, which are in the order of the released ones."""
    state, ours = {}, list(w.items())
    # Of each norm, the released order here is mean, variance, weight, bias.
    for key in model.state_dict():
        if "num_batches" not in key and not key.startswith("classifier"):
            state[key] = None
    convs = [value for key, value in ours if value.dim() == 4]
    norms = [key.rsplit(".", 1)[0] for key, _ in ours if key.endswith("running_mean")]
    for key in [k for k in state if k.endswith("weight") and model.state_dict()[k].dim() == 4]:
        state[key] = convs.pop(0)
    seen = []
    for key in state:
        if state[key] is None:
            module = key.rsplit(".", 1)[0]
            if module not in seen:
                seen.append(module)
            state[key] = w[f"{norms[seen.index(module)]}.{key.rsplit('.', 1)[1]}"]
    return state


def renamed(name, w):
    """timm's names for the weights of a case."""
    for key, value in w.items():
        if name.startswith("convnext"):
            if key.startswith("head"):
                continue
            for a, b in (
                ("downsample_layers.0.", "stem."), ("downsample_layers.1", "stages.1.downsample"),
                ("downsample_layers.2", "stages.2.downsample"), ("downsample_layers.3", "stages.3.downsample"),
                ("dwconv", "conv_dw"), ("pwconv", "mlp.fc"),
            ):
                key = key.replace(a, b)
            if key.startswith("norm."):
                key = f"head.{key}"
            parts = key.split(".")
            if parts[0] == "stages" and parts[2] != "downsample":
                key = ".".join([*parts[:2], "blocks", *parts[2:]])
            if ".mlp." in key and value.dim() == 2 and "tiny" not in name:
                value = value[:, :, None, None]
        elif name == "dinov3-vits16":
            if key.endswith("qkv.bias"):
                q, _, v = value.chunk(3)
                yield key.replace("qkv.bias", "q_bias"), q
                key, value = key.replace("qkv.bias", "v_bias"), v
            if key.endswith("bias_mask"):
                continue
            key = key.replace("register_tokens", "reg_token").replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2")
        elif "vit" in name:
            key = key.replace("register_tokens", "reg_token").replace("projection.weight", "head.weight")
            if name.endswith("-reg") and key == "cls_token":
                value = value + w["pos_embed"][:, :1]
            if name.endswith("-reg") and key == "pos_embed":
                value = value[:, 1:]
            if "clip" in name and key == "head.weight":
                yield "head.bias", torch.zeros(512)
        yield key, value


if __name__ == "__main__":
    torch.set_num_threads(2)
    if sys.argv[1:] == ["--timm"]:
        with_timm()
    else:
        golden(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
