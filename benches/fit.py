"""Measures how long an index takes to fit its hash, by its number of images.

    python benches/fit.py BARBULE INDEX 100000

INDEX is one that fitted its own hash. Writes a copy of it beside it, with as many images: those of
the index over and over, with noise on their features, so that no picture is needed. Then fits the
hash of the copy. Prints the seconds and the bytes of the file.
"""

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import time

import numpy as np

# Codes of a block.
BLOCK = 4096


def enlarge(path: str, images: int) -> None:
    """Adds images to the index until it has so many."""
    random = np.random.default_rng(1)
    db = sqlite3.connect(path)
    rows = db.execute(
        "SELECT root, numbers FROM images JOIN features USING (id) ORDER BY id"
    ).fetchall()
    bits = int(db.execute("SELECT value FROM meta WHERE key = 'bits'").fetchone()[0])
    last = db.execute("SELECT max(id) FROM images").fetchone()[0]
    ids = []
    for number in range(images - len(rows)):
        root, numbers = rows[number % len(rows)]
        own = np.frombuffer(numbers[4:], np.int8).astype(np.int16)
        own = np.clip(own + random.integers(-6, 7, own.size), -127, 127).astype(np.int8)
        last += 1
        content = struct.pack("<q", last) + bytes(24)
        db.execute(
            "INSERT INTO images (id, root, path, size, modified, content) VALUES (?, ?, ?, 1, 1, ?)",
            (last, root, f"/copies/{last}", content),
        )
        db.execute("INSERT INTO features VALUES (?, ?)", (last, numbers[:4] + own.tobytes()))
        ids.append(last)
    for start in range(0, len(ids), BLOCK):
        block = ids[start : start + BLOCK]
        packed = struct.pack(f"<{len(block)}q", *block)
        codes = bytes(len(block) * ((bits + 7) // 8))
        db.execute(
            "INSERT INTO blocks (first, ids, codes) VALUES (?, ?, ?)", (block[0], packed, codes)
        )
    db.commit()
    db.close()


def main() -> None:
    """Reads the arguments, and prints one line of JSON."""
    barbule, index, images = sys.argv[1], sys.argv[2], int(sys.argv[3])
    copy = f"{index}.copy"
    for ending in ("", "-wal", "-shm"):
        if os.path.exists(copy + ending):
            os.remove(copy + ending)
    shutil.copyfile(index, copy)
    enlarge(copy, images)
    # No folder is read: all of them are missing, so the images stay.
    db = sqlite3.connect(copy)
    db.execute("UPDATE roots SET path = '/missing/' || id")
    db.commit()
    db.close()
    begun = time.monotonic()
    command = [barbule, "index", "--index", copy, "--fit", "now", "--device", "cpu", "--json", "-q"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    seconds = time.monotonic() - begun
    size = os.path.getsize(copy)
    print(json.dumps({"images": report["images"], "seconds": round(seconds, 2), "bytes": size}))


if __name__ == "__main__":
    main()
