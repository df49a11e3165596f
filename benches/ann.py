#!/usr/bin/env python3
"""Compares binary codes with other search structures on the same images: time, memory, quality.

Needs a Python with the packages of `requirements-ann.txt`, a built `barbule` and a model:

    python3 -m venv venv && venv/bin/pip install -r benches/requirements-ann.txt
    barbule train adsh --data grocery --bits 48 --out m.safetensors
    barbule bench ann --model m.safetensors --data grocery --device cpu --out ann
    venv/bin/python benches/ann.py ann --out benches/runs/NAME.json

`barbule bench ann` encodes database and queries once, times its own search and a linear
scan of the features, and writes both to the folder. This script searches the same features
(unit length, so the nearest has the largest cosine) with other programs: linear scans, k-d
tree and ball tree (exact), IVF-PQ and HNSW (approximate). Everything runs on one thread.
Every time is the median of several rounds over all queries, after a warm-up round; once with
one query per call and once with all queries in one call.

mAP@k is the mean over queries of Σ (precision at each relevant rank up to k) / min(k,
relevant images), computed by the same function for all; among codes at equal distance it is
the expectation over their orders. recall@k is the fraction of the k nearest by cosine that
is found. It says little about codes, which are learned for a different similarity. Memory is
the size of the serialized index (faiss, hnswlib, scikit-learn with its copy of the data).

`barbule bench ann --replicate N` enlarges the database with noisy copies. That data is
synthetic: it shows how times grow, not search quality.
"""

import argparse
import datetime
import json
import os
import pickle
import platform

# NumPy reads these on import.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import faiss
import numpy as np
import sklearn
from sklearn.neighbors import BallTree, KDTree

from machine import processor
from peers import median_seconds


def average_precision(levels, k, relevant):
    """Returns the expected average precision at k for ties given as levels of (items, relevant)."""
    found_before, items_before, total = 0, 0, 0.0
    for items, hits in levels:
        if hits:
            places = np.arange(1, min(items, k - items_before) + 1)
            others = (places - 1) * (hits - 1) / (items - 1) if items > 1 else 0 * places
            total += hits / items * ((found_before + 1 + others) / (items_before + places)).sum()
        items_before += items
        found_before += hits
        if items_before >= k:
            break
    return total / min(k, relevant)


class Truth:
    """Ground truth: relevant images, and nearest images by cosine."""

    def __init__(self, database_labels, query_labels, nearest, k):
        self.k, self.nearest = k, nearest
        width = 1 + max(max(labels, default=0) for labels in database_labels + query_labels)
        database = np.zeros((len(database_labels), width), np.float32)
        queries = np.zeros((len(query_labels), width), np.float32)
        for rows, lists in ((database, database_labels), (queries, query_labels)):
            for row, labels in zip(rows, lists):
                row[labels] = 1
        self.relevant = queries @ database.T > 0

    def of_lists(self, found):
        """Returns mAP@k and recall@k of ranked ids; −1 marks an empty position."""
        precision, recall = [], []
        for row, relevant, nearest in zip(found, self.relevant, self.nearest):
            row = row[row >= 0]
            if relevant.any():
                levels = [(1, int(hit)) for hit in relevant[row]]
                precision.append(average_precision(levels, self.k, int(relevant.sum())))
            recall.append(len(np.intersect1d(row, nearest)) / len(nearest))
        return float(np.mean(precision)), float(np.mean(recall))

    def of_distances(self, codes, queries, bits):
        """Returns mAP@k (expectation over ties) and recall@k (ties by id) of Hamming distances."""
        precision, recall = [], []
        for query, relevant, nearest in zip(queries, self.relevant, self.nearest):
            distances = np.bitwise_count(codes ^ query).sum(axis=1, dtype=np.int64)
            if relevant.any():
                items = np.bincount(distances, minlength=bits + 1)
                hits = np.bincount(distances[relevant], minlength=bits + 1)
                levels = [(int(n), int(r)) for n, r in zip(items, hits) if n]
                precision.append(average_precision(levels, self.k, int(relevant.sum())))
            first = np.argsort(distances, kind="stable")[: self.k]
            recall.append(len(np.intersect1d(first, nearest)) / len(nearest))
        return float(np.mean(precision)), float(np.mean(recall))


def numpy_scan(database, k):
    def search(queries):
        scores = queries @ database.T
        some = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1)
        return np.take_along_axis(some, order, axis=1)

    return search, database.nbytes


def with_faiss(index, database, k):
    index.train(database)
    index.add(database)
    return lambda queries: index.search(queries, k)[1], len(faiss.serialize_index(index))


def tree(kind, database, k):
    built = kind(database)
    search = lambda queries: built.query(queries, k, return_distance=True)[1]
    return search, len(pickle.dumps(built, protocol=5))


def ivf_pq(database, k, probes):
    count, dim = database.shape
    lists = max(1, round(count**0.5))
    quantizer = faiss.IndexFlatL2(dim)
    # 16 codebooks of 256 words if there are enough images to train them in faiss, else of 64.
    index = faiss.IndexIVFPQ(quantizer, dim, lists, 16, 8 if count >= 39 * 256 else 6)
    index.nprobe = probes
    search, size = with_faiss(index, database, k)
    # The index does not own the quantizer, so the closure keeps it alive.
    return lambda queries, _keep=quantizer: search(queries), size


def hnsw(database, k, breadth):
    index = faiss.IndexHNSWFlat(database.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 100
    index.hnsw.efSearch = breadth
    return with_faiss(index, database, k)


def hnswlib_index(database, k, breadth):
    import hnswlib

    index = hnswlib.Index(space="ip", dim=database.shape[1])
    index.init_index(max_elements=len(database), ef_construction=100, M=32, random_seed=1)
    index.set_num_threads(1)
    index.add_items(database)
    index.set_ef(breadth)
    return lambda queries: index.knn_query(queries, k)[0].astype(np.int64), index.index_file_size()


def structures(database, k):
    """Returns (name, builder) pairs; a builder returns a search function and its size in bytes."""
    flat = lambda: with_faiss(faiss.IndexFlatIP(database.shape[1]), database, k)
    return [
        ("faiss IndexFlatIP", flat),
        ("NumPy linear scan", lambda: numpy_scan(database, k)),
        ("scikit-learn KDTree", lambda: tree(KDTree, database, k)),
        ("scikit-learn BallTree", lambda: tree(BallTree, database, k)),
        ("faiss IVF-PQ, 4 probes", lambda: ivf_pq(database, k, 4)),
        ("faiss IVF-PQ, 16 probes", lambda: ivf_pq(database, k, 16)),
        ("faiss HNSW, ef 128", lambda: hnsw(database, k, 128)),
        ("hnswlib, ef 128", lambda: hnswlib_index(database, k, 128)),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", help="output folder of `barbule bench ann --out`")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", help="write all results to this JSON file")
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    load = lambda name: np.load(os.path.join(args.folder, name + ".npy"))
    with open(os.path.join(args.folder, "lists.json")) as lists:
        lists = json.load(lists)
    ours = lists["barbule"]
    k = min(ours["k"], ours["database"])
    database, queries = load("features-database"), load("features-queries")
    exact = faiss.IndexFlatIP(database.shape[1])
    exact.add(database)
    nearest = exact.search(queries, k)[1]
    truth = Truth(lists["database"]["labels"], lists["queries"]["labels"], nearest, k)

    rows = []

    def note(name, single, batch, size, quality):
        rows.append(
            {
                "name": name,
                "ms_per_query": single,
                "batch_ms_per_query": batch,
                "bytes_per_image": size,
                "map_at_k": quality[0],
                "recall_at_k": quality[1],
            }
        )

    codes, floats = ours["codes"], ours["floats"]
    found = truth.of_distances(load("codes-database"), load("codes-queries"), ours["bits"])
    times = lambda side: (side["ms_per_query"], side["batch_ms_per_query"])
    note(f"Barbule, {ours['bits']}-bit codes", *times(codes), codes["bytes_per_image"], found)
    note("Barbule, features", *times(floats), floats["bytes_per_image"], truth.of_lists(nearest))
    for name, make in structures(database, k):
        search, size = make()
        one_by_one = lambda: [search(queries[at : at + 1]) for at in range(len(queries))]
        single = median_seconds(one_by_one, args.repeats) * 1e3 / len(queries)
        batch = median_seconds(lambda: search(queries), args.repeats) * 1e3 / len(queries)
        note(name, single, batch, size / len(database), truth.of_lists(search(queries)))

    synthetic = f" (enlarged {ours['replicate']}-fold with noisy copies: synthetic)" if ours["replicate"] > 1 else ""
    print(
        f"top {k} of {ours['database']} images{synthetic}, {ours['queries']} queries, 1 thread; "
        f"mAP over all: codes {codes['map']:.3f}, features {floats['map']:.3f}\n"
    )
    print(
        f"| | ms per query | in a batch | bytes per image | mAP@{k} | recall@{k} "
        "| codes: times as fast | in a batch | times as small |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    first = rows[0]
    for row in rows:
        ratio = lambda field: row[field] / first[field]
        print(
            f"| {row['name']} | {row['ms_per_query']:.4f} | {row['batch_ms_per_query']:.4f} "
            f"| {row['bytes_per_image']:.0f} | {row['map_at_k']:.3f} | {row['recall_at_k']:.3f} "
            f"| {ratio('ms_per_query'):.0f} | {ratio('batch_ms_per_query'):.0f} "
            f"| {ratio('bytes_per_image'):.0f} |"
        )
    if args.out:
        run = {
            "date": datetime.date.today().isoformat(),
            "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
            "versions": {
                "faiss": faiss.__version__,
                "numpy": np.__version__,
                "scikit-learn": sklearn.__version__,
            },
            "repeats": args.repeats,
            "barbule": ours,
            "rows": rows,
        }
        with open(args.out, "w") as out:
            json.dump(run, out, indent=1)


if __name__ == "__main__":
    main()
