#!/usr/bin/env python3
"""Exact ranking of word codes: Barbule against faiss, in one run.

Needs a Python with the packages of `requirements.txt` and a built `barbule`:

    python3 -m venv venv && venv/bin/pip install -r benches/requirements.txt
    cargo build --release
    venv/bin/python benches/words.py

All rank random codes of 4-bit words with the same number of threads; every figure is the median of
several calls after a warm-up call. faiss's IndexPQ adds up tables of single-precision numbers, and
its IndexPQFastScan tables of bytes, which makes its order approximate. Barbule's order is exact: sums
of 32-bit integers. Its codes also have lengths, which are subtracted.
"""

import argparse
import json
import os
import subprocess

import faiss
import numpy as np

from machine import processor
from peers import median_seconds


def barbule(args, words, codes, queries, threads):
    """Returns Barbule's nanoseconds per query and code."""
    command = [args.barbule, "bench", "rank", "--json", "-q", "--device", args.device]
    command += ["--words", str(words), "--codes", str(codes), "--queries", str(queries)]
    command += ["-k", str(args.k), "--threads", str(threads), "--repeats", str(args.repeats)]
    figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return figures[0]["ns_per_code"]


def indexes(words, count, rng):
    """Returns faiss's indexes of random codes: one byte holds two words."""
    dim = words * 4
    index = faiss.IndexPQ(dim, words, 4)
    index.train(rng.standard_normal((2000, dim), dtype=np.float32))
    packed = rng.integers(0, 256, (count, (words + 1) // 2), dtype=np.uint8)
    if words % 2:
        packed[:, -1] &= 15
    index.add_sa_codes(packed)
    return {"IndexPQ": index, "IndexPQFastScan": faiss.IndexPQFastScan(index)}


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(here, "..", "target"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--barbule", default=os.path.join(target, "release", "barbule"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--words", default="12,32")
    parser.add_argument("--codes", default="1000000,10000000")
    parser.add_argument("--queries", default="100,1", help="queries per call")
    parser.add_argument("--threads", default="2,1")
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    numbers = lambda text: [int(n) for n in text.split(",")]
    rng = np.random.default_rng(1)
    print(f"{processor()}, faiss {faiss.__version__}; nanoseconds per query and code")
    for words in numbers(args.words):
        for count in numbers(args.codes):
            peers = indexes(words, count, rng)
            for threads in numbers(args.threads):
                faiss.omp_set_num_threads(threads)
                for several in numbers(args.queries):
                    queries = rng.standard_normal((several, words * 4), dtype=np.float32)
                    ours = barbule(args, words, count, several, threads)
                    line = f"{words:3} words {count:9} codes {several:4} queries {threads} threads: "
                    line += f"barbule {ours:.3f}"
                    for name, index in peers.items():
                        seconds = median_seconds(lambda: index.search(queries, args.k), args.repeats)
                        theirs = seconds * 1e9 / several / count
                        line += f", {name} {theirs:.3f} ({theirs / ours:.1f} ×)"
                    print(line, flush=True)


if __name__ == "__main__":
    main()
