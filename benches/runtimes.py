#!/usr/bin/env python3
"""Compares the time of a forward pass with ONNX Runtime, OpenVINO and PyTorch: same weights, same
threads, same images.

Needs a built `barbule` and a Python with the packages of `requirements-runtimes.txt`:

    python3 -m venv venv && venv/bin/pip install -r benches/requirements-runtimes.txt
    venv/bin/python benches/runtimes.py --barbule target/release/barbule

Networks are those of the library timm with random weights, exported to ONNX for the other two
runtimes and imported into Barbule (`barbule weights import`). A time is the median of several passes
after a warm-up, for tensors in memory. With --images DIR, files are decoded and scaled too: by Barbule
as `barbule index` does, by the others with Pillow in as many processes as threads. All runtimes
compute in single precision: OpenVINO is told so, because it would use bfloat16 on some processors.
Runtimes take turns, so that a slow minute of the machine is not one runtime's.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from machine import processor

MODELS = {
    "efficientnet-lite0": ("tf_efficientnet_lite0", None),
    "resnet18": ("resnet18", None),
    "resnet50": ("resnet50", None),
    "convnext-pico": ("convnext_pico", None),
    "convnext-tiny": ("convnext_tiny", None),
    "dinov2-vits14": ("vit_small_patch14_dinov2", 224),
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def median(pass_, repeats):
    """Seconds of one pass."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        pass_()
        times.append(time.perf_counter() - begun)
    return sorted(times)[len(times) // 2]


def opened(path):
    """A file as the others read it: decoded, scaled and cropped by Pillow, normalised."""
    import numpy as np
    from PIL import Image

    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    width, height = (max(round(side * scale), 224) for side in image.size)
    left, top = (width - 224) // 2, (height - 224) // 2
    image = image.resize((width, height), Image.BICUBIC).crop((left, top, left + 224, top + 224))
    pixels = np.asarray(image, np.float32) / 255
    return ((pixels - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)


class Peers:
    """One network in the other runtimes, for one size of batches."""

    def __init__(self, model, batch, threads, folder):
        import onnxruntime
        import openvino
        import torch

        x = torch.randn(batch, 3, 224, 224)
        path = str(folder / f"{batch}.onnx")
        torch.onnx.export(model, x, path, dynamo=False, opset_version=17)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        how = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        request = openvino.Core().compile_model(path, "CPU", how).create_infer_request()

        def eager(values):
            with torch.inference_mode():
                return model(torch.from_numpy(values))

        self.x = x.numpy()
        self.run = {
            "onnxruntime": lambda values: session.run(None, {name: values}),
            "openvino": lambda values: request.infer({0: values}),
            "pytorch": eager,
        }


def ours(barbule, trunk, weights, batch, repeats, images):
    """Milliseconds per image from tensors, and from files if there are any."""
    command = [barbule, "-q", "bench", "encode", "--trunk", trunk, "--size", "224"]
    command += ["--weights", weights] if weights else []
    command += ["--batch", str(batch), "--repeats", str(repeats), "--device", "cpu", "--json"]
    command += ["--images", str(images)] if images else []
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return report["ms_per_image"], report["files"] and report["files"]["ms_per_image"]


def weights_of(barbule, model, trunk, folder):
    """Imports a timm network's weights."""
    from safetensors.torch import save_file

    state = model.state_dict()
    if trunk == "efficientnet-lite0":
        # The import reads the released names; the built-in weights are as fast.
        return None
    published, out = folder / "published.safetensors", folder / "own.safetensors"
    state = {name: value.contiguous() for name, value in state.items()}
    if trunk == "dinov2-vits14":
        state["pos_embed"] = resampled(state["pos_embed"])
    save_file(state, published)
    command = [barbule, "-q", "weights", "import", published, "--trunk", trunk, "--out", out]
    subprocess.run(command, check=True, capture_output=True)
    return str(out)


def resampled(positions):
    """Positions of 16×16 patches as those of 37×37, which published files have."""
    import torch
    import torch.nn.functional as F

    first, grid = positions[:, :1], positions[:, 1:].reshape(1, 16, 16, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(37, 37), mode="bicubic")
    return torch.cat([first, grid.permute(0, 2, 3, 1).reshape(1, 37 * 37, -1)], 1).contiguous()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--barbule", default="target/release/barbule")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=Path, help="a folder of JPEG files")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)

    import numpy as np
    import timm
    import torch

    torch.set_num_threads(args.threads)
    found = []
    files = sorted(args.images.rglob("*.jpg"))[:256] if args.images else []
    print(f"{processor()}, {args.threads} threads; ms per image")
    print(f"{'':<20}{'batch':>6}{'barbule':>10}{'onnxruntime':>13}{'openvino':>10}{'pytorch':>9}   fastest / barbule")
    for trunk in args.models.split(","):
        name, size = MODELS[trunk]
        model = timm.create_model(name, num_classes=0, **({"img_size": size} if size else {})).eval()
        for batch in map(int, args.batches.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                folder = Path(folder)
                weights = weights_of(args.barbule, model, trunk, folder)
                peers = Peers(model, batch, args.threads, folder)
                for run in peers.run.values():
                    run(peers.x)
                times = {}
                for _ in range(args.rounds):
                    tensor, _ = ours(args.barbule, trunk, weights, batch, args.repeats, None)
                    times.setdefault("barbule", []).append(tensor)
                    for runtime, run in peers.run.items():
                        seconds = median(lambda run=run: run(peers.x), args.repeats)
                        times.setdefault(runtime, []).append(seconds * 1e3 / batch)
                row = {runtime: sorted(all_)[len(all_) // 2] for runtime, all_ in times.items()}
                report(found, trunk, batch, "tensors", row)
                if files and batch == 32:
                    with ProcessPoolExecutor(args.threads) as pool:
                        row = {"barbule": ours(args.barbule, trunk, weights, batch, 3, args.images)[1]}
                        for runtime, run in peers.run.items():
                            begun = time.perf_counter()
                            rows = []
                            for row_ in pool.map(opened, files, chunksize=8):
                                rows.append(row_)
                                if len(rows) == batch:
                                    run(np.stack(rows))
                                    rows = []
                            row[runtime] = (time.perf_counter() - begun) * 1e3 / len(files)
                    report(found, trunk, batch, "files", row)
    if args.out:
        machine = {"processor": processor(), "threads": args.threads, "python": platform.python_version()}
        args.out.write_text(json.dumps({"machine": machine, "results": found}, indent=1))


def report(found, trunk, batch, source, row):
    found.append({"trunk": trunk, "batch": batch, "from": source, "ms_per_image": row})
    fastest = min(row["onnxruntime"], row["openvino"])
    name = trunk if source == "tensors" else f"  {source}"
    print(
        f"{name:<20}{batch:>6}{row['barbule']:>10.2f}{row['onnxruntime']:>13.2f}{row['openvino']:>10.2f}"
        f"{row['pytorch']:>9.2f}   {fastest / row['barbule']:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
