#!/usr/bin/env python3
"""Exact Hamming ranking: Barbule against its peers, on the same codes in one run.

Needs a Python with the packages of `requirements.txt` and a built `barbule`:

    python3 -m venv venv && venv/bin/pip install -r benches/requirements.txt
    cargo build --release
    venv/bin/python benches/peers.py --out benches/runs/NAME.json

All programs rank the same random codes with the same number of threads; every figure is
the median of several calls after a warm-up call. faiss runs in both of its modes
(`use_heap`), and on codes padded to whole bytes and, where it differs, to 64 bits. The run
fails unless Barbule and the exact peers find equal distances. The approximate
IndexBinaryHNSW is reported with its recall. Only distances are compared, because usearch
orders equal distances differently.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

import faiss
import numpy as np

from machine import processor


def median_seconds(call, repeats):
    call()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return sorted(times)[len(times) // 2]


def random_codes(rng, count, bits):
    codes = rng.integers(0, 256, (count, (bits + 7) // 8), dtype=np.uint8)
    if bits % 8:
        codes[:, -1] &= (1 << bits % 8) - 1
    return codes


def barbule(args, folder, bits, queries, threads):
    """Runs Barbule and returns its figures and distances."""
    out = os.path.join(folder, "distances.npy")
    command = [args.barbule, "bench", "rank", "--json", "-q", "--device", args.device]
    command += ["--bits", str(bits), "--queries", str(queries), "-k", str(args.k)]
    command += ["--threads", str(threads), "--repeats", str(args.repeats), "--distances", out]
    command += ["--database", os.path.join(folder, "database.npy")]
    command += ["--query-codes", os.path.join(folder, "queries.npy")]
    figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return figures[0], np.load(out)


def flat(codes, heap):
    index = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    index.use_heap = heap
    index.add(codes)
    return index


def padded(codes):
    return np.pad(codes, ((0, 0), (0, -codes.shape[1] % 8)))


def peers(args, bits, database, queries, threads, expected):
    """Returns the milliseconds per query of each peer."""
    faiss.omp_set_num_threads(threads)
    rows = {}

    def note(name, call, exact=True):
        seconds = median_seconds(call, args.repeats)
        distances = np.sort(np.asarray(call()).astype(np.int64), axis=1)
        recall = float((distances == expected).mean())
        if exact and recall != 1.0:
            sys.exit(f"{name} and Barbule found different distances at {bits} bits")
        rows[name] = {"ms_per_query": seconds * 1e3 / len(queries), "agreement": recall}

    for heap in (True, False):
        index = flat(database, heap)
        name = f"faiss IndexBinaryFlat, use_heap={heap}"
        note(name, lambda: index.search(queries, args.k)[0])
        if database.shape[1] % 8:
            wide, wide_queries = flat(padded(database), heap), padded(queries)
            note(name + ", padded", lambda: wide.search(wide_queries, args.k)[0])
    if args.more and len(queries) > 1:
        from usearch.index import MetricKind, search

        note(
            "usearch exact",
            lambda: search(
                database, queries, args.k, MetricKind.Hamming, exact=True, threads=threads
            ).distances,
        )
        few = queries[:4]

        def with_numpy():
            wide, wide_queries = padded(database).view(np.uint64), padded(few).view(np.uint64)
            found = []
            for query in wide_queries:
                distances = np.bitwise_count(wide ^ query).sum(axis=1)
                found.append(np.sort(np.partition(distances, args.k)[: args.k]))
            return np.array(found)

        seconds = median_seconds(with_numpy, min(args.repeats, 3))
        if (with_numpy().astype(np.int64) != expected[:4]).any():
            sys.exit(f"NumPy and Barbule found different distances at {bits} bits")
        rows["NumPy, 1 thread"] = {"ms_per_query": seconds * 1e3 / 4, "agreement": 1.0}
        index = faiss.IndexBinaryHNSW(database.shape[1] * 8, 16)
        some = database[: args.hnsw]
        index.add(some)
        truth = flat(some, True).search(queries, args.k)[0]
        seconds = median_seconds(lambda: index.search(queries, args.k), args.repeats)
        agreement = float((index.search(queries, args.k)[0] == truth).mean())
        rows[f"faiss IndexBinaryHNSW of {len(some)}"] = {
            "ms_per_query": seconds * 1e3 / len(queries),
            "agreement": agreement,
        }
    return rows


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(here, "..", "target"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--barbule", default=os.path.join(target, "release", "barbule"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bits", default="12,32,48,64,128,256,1024")
    parser.add_argument("--codes", type=int, default=1_000_000)
    parser.add_argument("--queries", default="100,1", help="queries per call")
    parser.add_argument("--threads", default="2,1")
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--more", action="store_true", help="also run usearch, NumPy and HNSW")
    parser.add_argument("--hnsw", type=int, default=100_000, help="codes in the HNSW index")
    parser.add_argument("--out", help="write all results to this JSON file")
    args = parser.parse_args()
    numbers = lambda text: [int(n) for n in text.split(",")]
    rng = np.random.default_rng(1)
    rows = []
    for bits in numbers(args.bits):
        database = random_codes(rng, args.codes, bits)
        all_queries = random_codes(rng, max(numbers(args.queries)), bits)
        for threads in numbers(args.threads):
            for count in numbers(args.queries):
                queries = all_queries[:count]
                with tempfile.TemporaryDirectory() as folder:
                    np.save(os.path.join(folder, "database.npy"), database)
                    np.save(os.path.join(folder, "queries.npy"), queries)
                    ours, expected = barbule(args, folder, bits, count, threads)
                theirs = peers(args, bits, database, queries, threads, expected.astype(np.int64))
                rows.append({"barbule": ours, "threads": threads, "peers": theirs})
                limit = ours["fraction_of_limit"]
                print(
                    f"{bits:5} bits {count:4} queries {threads} threads: barbule "
                    f"{ours['ms_per_query']:.4f} ms"
                    + (f", {limit:.2f} of its measured limit" if limit else "")
                )
                for name, row in theirs.items():
                    ratio = row["ms_per_query"] / ours["ms_per_query"]
                    agreement = row["agreement"]
                    note = "" if agreement == 1.0 else f", {agreement:.3f} of distances correct"
                    print(f"      {ratio:7.1f} × {name} ({row['ms_per_query']:.4f} ms{note})")
    if args.out:
        run = {
            "date": datetime.date.today().isoformat(),
            "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
            "versions": {"faiss": faiss.__version__, "numpy": np.__version__},
            "codes": args.codes,
            "k": args.k,
            "repeats": args.repeats,
            "rows": rows,
        }
        with open(args.out, "w") as out:
            json.dump(run, out, indent=1)


if __name__ == "__main__":
    main()
