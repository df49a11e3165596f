#!/usr/bin/env python3
"""Time from program start to printed results, on an index of a million codes.

Needs only a built `barbule` and one image:

    python3 benches/open.py photo.jpg --barbule target/release/barbule

Writes an index of random codes in the format of docs/FORMATS.md and searches it: for an image
that is not indexed (the model is loaded and the code computed), for an indexed image (its code is
stored, and its values are computed for the order of the hits, or not), and for a code. Prints the median wall-clock time over `--rounds` runs of the program, and
the phases (`search --timings`) of the median run.
"""

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import tempfile
import time
from pathlib import Path

BLOCK = 4096


def fill(path, count, bits):
    """Adds rows until there are `count` images."""
    database = sqlite3.connect(path)
    images = database.execute("SELECT count(*), max(id) FROM images").fetchone()
    first, bytes_ = images[1] + 1, (bits + 7) // 8
    root = database.execute("SELECT min(id) FROM roots").fetchone()[0]
    for start in range(first, first + count - images[0], BLOCK):
        ids = range(start, min(start + BLOCK, first + count - images[0]))
        rows = (
            (i, root, f"/photos/{i // 1000}/{i}.jpg", 100_000, 0, hashlib.sha256(b"%d" % i).digest(), None)
            for i in ids
        )
        named = "id, root, path, size, modified, content, label"
        database.executemany(f"INSERT INTO images ({named}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        packed = struct.pack(f"<{len(ids)}q", *ids)
        codes = os.urandom(len(ids) * bytes_)
        database.execute("INSERT INTO blocks (first, ids, codes) VALUES (?, ?, ?)", (start, packed, codes))
    database.commit()
    database.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--barbule", default="target/release/barbule")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--model", help="the model of the index; without it the built-in one")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    program = shutil.which(args.barbule) or args.barbule
    with tempfile.TemporaryDirectory() as root:
        root = Path(root)
        (root / "photos").mkdir()
        indexed = root / "photos" / f"indexed{args.picture.suffix}"
        # A trailing byte makes its content differ from the query's.
        indexed.write_bytes(args.picture.read_bytes() + b"\0")
        database = root / "photos.db"
        common = ["--index", database, "--device", "cpu", "-q"]
        model = ["--model", args.model] if args.model else []
        subprocess.run([program, "index", root / "photos", *model, *common], check=True, stdout=subprocess.DEVNULL)
        status = json.loads(subprocess.check_output([program, "status", "--index", database, "--json"]))
        bits = status["bits"]
        fill(database, args.images, bits)
        print(f"{args.images} codes of {bits} bits, {database.stat().st_size / 1e6:.0f} MB")
        asked = {
            "an image that is not indexed": [args.picture],
            "an indexed image": [indexed],
            "an indexed image, by distance alone": [indexed, "--order", "hamming"],
            "a code": ["--code", "5a" * ((bits + 7) // 8)],
        }
        if status["words"]:
            # Words have one order.
            del asked["an indexed image, by distance alone"]
        for name, query in asked.items():
            runs = []
            for _ in range(args.rounds):
                begun = time.perf_counter()
                said = subprocess.check_output([program, "search", *query, *common, "--json", "--timings"])
                runs.append((time.perf_counter() - begun, json.loads(said)["seconds"]))
            runs.sort(key=lambda run: run[0])
            whole, parts = runs[len(runs) // 2]
            parts = ", ".join(f"{part} {seconds * 1e3:.0f}" for part, seconds in parts.items())
            print(f"{name}: {whole * 1e3:.0f} ms ({parts})")


if __name__ == "__main__":
    main()
