#!/usr/bin/env python3
"""Images per second from files to codes: `barbule index` against PyTorch, in one run.

Needs a Python with the packages of `requirements-encode.txt`, a built `barbule`, and a folder
of images:

    python3 -m venv venv && venv/bin/pip install -r benches/requirements-encode.txt
    barbule aviary --out birds --species 20 --per-species 100
    venv/bin/python benches/encode.py birds --barbule target/release/barbule

Both read, decode, scale to 224 × 224 and run EfficientNet-Lite0 on the same cores. PyTorch runs
with its fast settings: batches of 32, channels last, inference mode, the same number of threads,
and a thread pool that decodes the next batch in parallel. Its weights are random, which does not
affect speed. Barbule does the complete work of a user's command: it also hashes every file,
computes codes and writes the index. Rounds alternate; the result is the median.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image

BATCH = 32


def prepare(path):
    """Decodes and normalizes an image for the network."""
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize([round(side * scale) for side in image.size], Image.BICUBIC)
    left, top = [(side - 224) // 2 for side in image.size]
    image = image.crop((left, top, left + 224, top + 224))
    return (np.asarray(image, dtype=np.float32) - 127) / 128


def pytorch(model, files, threads):
    """Returns the seconds for all files."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool, torch.inference_mode():
        batches = [files[i : i + BATCH] for i in range(0, len(files), BATCH)]
        waiting = [pool.submit(prepare, file) for file in batches[0]]
        for number in range(len(batches)):
            images = [future.result() for future in waiting]
            if number + 1 < len(batches):
                waiting = [pool.submit(prepare, file) for file in batches[number + 1]]
            x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
            model(x.contiguous(memory_format=torch.channels_last))
    return time.perf_counter() - begun


def barbule(program, folder):
    """Returns the seconds for a new index, including the program's start, and the image count."""
    with tempfile.TemporaryDirectory() as root:
        command = [program, "index", folder, "--index", f"{root}/i.db", "--device", "cpu", "--json", "-q"]
        begun = time.perf_counter()
        said = subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - begun
        return seconds, json.loads(said.stdout)["images"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--barbule", default="target/release/barbule")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    program = shutil.which(args.barbule) or args.barbule
    torch.set_num_threads(args.threads)
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    files = sorted(p for p in args.folder.rglob("*") if p.suffix in (".jpg", ".png"))
    model = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    model = model.eval().to(memory_format=torch.channels_last)
    pytorch(model, files[:64], args.threads)
    rates = {"pytorch": [], "barbule": []}
    for _ in range(args.rounds):
        rates["pytorch"].append(len(files) / pytorch(model, files, args.threads))
        seconds, images = barbule(program, args.folder)
        rates["barbule"].append(images / seconds)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = medians["barbule"] / medians["pytorch"]
    for name, rate in medians.items():
        print(f"{name}: {rate:.1f} images/s ({', '.join(f'{r:.1f}' for r in rates[name])})")
    print(f"barbule / pytorch: {ratio:.2f} ({len(files)} images, {args.threads} threads)")
    if args.out:
        machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
        record = {
            "date": datetime.date.today().isoformat(), "machine": machine, "torch": torch.__version__,
            "pictures": len(files), "threads": args.threads, "images_per_second": rates, "ratio": ratio,
        }
        args.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
