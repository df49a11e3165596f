#!/usr/bin/env python3
"""Makes many clustered codes: noisy copies of a model's learned codes.

    barbule train adsh --data grocery --bits 48 --out m.safetensors
    venv/bin/python benches/replicate.py m.safetensors --noise 0.06 --out codes
    barbule bench rank --bits 48 --database codes/database.npy --query-codes codes/queries.npy \\
        --queries 1 -k 10 --repeats 25 [--tables] [--radius 2]
"""

import argparse
import json
import os
import struct

import numpy as np


def learned(path):
    """Returns the learned codes in a model's card, packed as bytes, and their bits."""
    with open(path, "rb") as model:
        length = struct.unpack("<Q", model.read(8))[0]
        card = json.loads(json.loads(model.read(length))["__metadata__"]["barbule"])
    codes = np.frombuffer(bytes.fromhex(card["learned"]), np.uint8)
    return codes.reshape(-1, (card["bits"] + 7) // 8), card["bits"]


def noisy(rng, rows, bits, share):
    """Returns the rows with each bit flipped with probability `share`."""
    rows = rows.copy()
    for bit in range(bits):
        flipped = (rng.random(len(rows)) < share).astype(np.uint8)
        rows[:, bit // 8] ^= flipped << bit % 8
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model")
    parser.add_argument("--codes", type=int, default=10_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--noise", type=float, default=0.06, help="fraction of flipped bits")
    parser.add_argument("--out", default="codes", help="folder for both files")
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    codes, bits = learned(args.model)
    os.makedirs(args.out, exist_ok=True)
    database = noisy(rng, codes[np.arange(args.codes) % len(codes)], bits, args.noise)
    queries = noisy(rng, codes[np.arange(args.queries) * 13 % len(codes)], bits, args.noise)
    np.save(os.path.join(args.out, "database.npy"), database)
    np.save(os.path.join(args.out, "queries.npy"), queries)


if __name__ == "__main__":
    main()
