#!/usr/bin/env python3
"""Index updates with 10,000 images: counts, times and peak memory.

Needs only a built `barbule`:

    python3 benches/index.py --barbule target/release/barbule --out benches/runs/NAME.json

Draws `--species` × 100 birds (`barbule aviary`), indexes them from scratch, again unchanged, then
after a third is moved, a third deleted and 100 changed. Prints the report of
`barbule index --json` for each run, with its peak memory.
"""

import argparse
import datetime
import json
import os
import platform
import random
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path


def index(barbule, folder, database, device):
    """Runs `barbule index` once and returns its report, time and peak memory."""
    command = [barbule, "index", folder, "--index", database, "--device", device, "--json", "-q"]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    if status != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed")
    said = json.loads(printed)
    names = ["found", "added", "copied", "changed", "moved", "unchanged", "removed", "images"]
    return {name: said[name] for name in names} | {
        "skipped": len(said["skipped"]),
        "seconds": round(seconds, 2),
        "peak_mebibytes": usage.ru_maxrss // 1024,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--barbule", default="target/release/barbule")
    parser.add_argument("--species", type=int, default=100)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    barbule = shutil.which(args.barbule) or args.barbule
    random.seed(args.seed)
    with tempfile.TemporaryDirectory() as root:
        root = Path(root)
        birds = root / "birds"
        draw = [barbule, "aviary", "--out", birds, "--species", str(args.species), "--per-species", "100"]
        subprocess.run(draw + ["--seed", str(args.seed), "-q"], check=True, stdout=subprocess.DEVNULL)
        run = lambda: index(barbule, birds, root / "birds.db", args.device)
        runs = {"from nothing": run(), "unchanged": run()}
        files = sorted(birds.rglob("*.jpg")) + sorted(birds.rglob("*.png"))
        random.shuffle(files)
        third = len(files) // 3
        for number, file in enumerate(files[:third]):
            target = birds / "moved" / f"{number % 50}" / f"{number}{file.suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            file.rename(target)
        for file in files[third : 2 * third]:
            file.unlink()
        # Each gets another one's image and a trailing byte, so its content is new.
        changed = files[2 * third : 2 * third + 100]
        contents = [file.read_bytes() + b"\0" for file in changed]
        for file, content in zip(changed, contents[1:] + contents[:1]):
            file.write_bytes(content)
        runs["a third moved, a third deleted, 100 changed"] = run()
        runs["unchanged again"] = run()
    for name, said in runs.items():
        print(name)
        print("  " + ", ".join(f"{key} {value}" for key, value in said.items() if value))
    rate = runs["from nothing"]["found"] / runs["from nothing"]["seconds"]
    print(f"{rate:.1f} images/s from nothing")
    if args.out:
        machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
        record = {"date": datetime.date.today().isoformat(), "machine": machine, "runs": runs}
        args.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
