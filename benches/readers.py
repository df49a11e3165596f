#!/usr/bin/env python3
"""Searches exports of an index with other programs, and compares hits and times.

    pip install -r benches/requirements-readers.txt
    python3 benches/readers.py --index photos.db --barbule target/release/barbule

Also runs chdb (ClickHouse's engine) and pyspark if they are installed.

Exports the index as NumPy arrays, a faiss index and Parquet. The queries are stored codes with all
bits of every fifth byte flipped. Each reader searches the 100 nearest, and their ids and distances
are compared with `barbule search`. Readers that are not installed are skipped.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

K = 100


def nearest(ids, distances):
    """Returns the first K by (distance, id)."""
    order = np.lexsort((ids, distances))[:K]
    return [(int(ids[i]), int(distances[i])) for i in order]


def with_numpy(folder, queries):
    """Linear scan with NumPy."""
    codes, ids = np.load(folder / "codes.npy"), np.load(folder / "ids.npy")

    def search(query):
        return nearest(ids, np.bitwise_count(codes ^ query).sum(axis=1, dtype=np.int64))

    return search, len(codes)


def with_faiss(folder, queries):
    """Search in the exported IndexBinaryFlat."""
    import faiss

    index = faiss.read_index_binary(str(folder / "codes.faiss"))
    ids = np.load(folder / "codes.faiss.ids.npy")

    def search(query):
        # faiss picks arbitrarily among ties at the last distance, so a range search gets all.
        row = np.zeros((1, index.code_size), np.uint8)
        row[0, : len(query)] = query
        distances, rows = index.search(row, K)
        last = int(distances[0, -1])
        lims, distances, rows = index.range_search(row, last + 1)
        return nearest(ids[rows], distances)

    return search, index.ntotal


def words_of(query, bits):
    """Returns the 64-bit words of a code as integers."""
    padded = np.zeros(-(-bits // 64) * 8, np.uint8)
    padded[: len(query)] = query
    return padded.view("<u8").tolist()


def with_duckdb(folder, queries, bits):
    """SQL over the Parquet file."""
    import duckdb

    path = str(folder / "codes.parquet")
    database = duckdb.connect()
    terms = " + ".join(f"bit_count(xor(word_{i}, $q{i}::UBIGINT))" for i in range(-(-bits // 64)))
    sql = f"SELECT id, {terms} AS distance FROM read_parquet($path) ORDER BY distance, id LIMIT {K}"

    def search(query):
        values = {f"q{i}": word for i, word in enumerate(words_of(query, bits))}
        return database.execute(sql, values | {"path": path}).fetchall()

    count = database.execute("SELECT count(*) FROM read_parquet(?)", [path]).fetchone()[0]
    return search, count


def with_chdb(folder, queries, bits):
    """ClickHouse's engine over the Parquet file."""
    import chdb

    path = folder / "codes.parquet"

    def run(sql):
        return [tuple(map(int, line.split("\t"))) for line in str(chdb.query(sql, "TabSeparated")).splitlines()]

    def search(query):
        words = words_of(query, bits)
        terms = " + ".join(f"bitHammingDistance(word_{i}, toUInt64({word}))" for i, word in enumerate(words))
        return run(f"SELECT id, {terms} AS d FROM file('{path}', Parquet) ORDER BY d, id LIMIT {K}")

    return search, run(f"SELECT count() FROM file('{path}', Parquet)")[0][0]


def with_spark(folder, queries, bits):
    """Spark over the Parquet file; it reads uint64 as decimal, so the `code` bytes are used."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    table = session.read.parquet(str(folder / "codes.parquet"))
    table.createOrReplaceTempView("codes")
    pieces = [(start, min(8, -(-bits // 8) - start)) for start in range(0, -(-bits // 8), 8)]

    def number(start, length):
        """Returns SQL that converts bytes of a code to an integer."""
        return f"conv(hex(substring(code, {start + 1}, {length})), 16, -10)"

    def search(query):
        terms = []
        for start, length in pieces:
            value = int.from_bytes(query[start : start + length].tobytes(), "big")
            value -= (1 << 64) if value >= 1 << 63 else 0
            # Spark rejects the minimum bigint as a numeric literal.
            terms.append(f"bit_count(CAST({number(start, length)} AS BIGINT) ^ CAST('{value}' AS BIGINT))")
        sql = f"SELECT id, {' + '.join(terms)} AS distance FROM codes ORDER BY distance, id LIMIT {K}"
        return [tuple(row) for row in session.sql(sql).collect()]

    return search, table.count()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--index", required=True)
    parser.add_argument("--barbule", default="target/release/barbule")
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    program = shutil.which(args.barbule) or args.barbule

    def barbule(*more):
        done = subprocess.run([program, *map(str, more), "--device", "cpu"], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return done.stdout

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        report = {}
        for to in (f"{folder}/", folder / "codes.faiss", folder / "codes.parquet"):
            answer = json.loads(barbule("export", "--index", args.index, "--to", to, "--json"))
            report[f"export to {Path(to).suffix or 'numpy'}"] = {"seconds": answer["seconds"]}
            bits = answer["bits"]
        codes = np.load(folder / "codes.npy")
        rows = np.linspace(0, len(codes) - 1, args.queries).astype(int)
        queries = codes[rows].copy()
        queries[:, ::5] ^= 255
        if bits % 8:
            queries[:, -1] &= (1 << (bits % 8)) - 1
        named = [part for query in queries for part in ("--code", query.tobytes().hex())]
        answers = json.loads(barbule("search", "--index", args.index, *named, "-k", K, "--json", "--timings"))
        answers = answers if isinstance(answers, list) else [answers]
        expected = [[(hit["id"], hit["distance"]) for hit in answer["results"]] for answer in answers]
        report["barbule"] = {"images": len(codes), "bits": bits, "ms": 1000 * answers[0]["seconds"]["ranking"] / len(queries)}
        readers = {
            "numpy": lambda: with_numpy(folder, queries),
            "faiss": lambda: with_faiss(folder, queries),
            "duckdb": lambda: with_duckdb(folder, queries, bits),
            "chdb": lambda: with_chdb(folder, queries, bits),
            "spark": lambda: with_spark(folder, queries, bits),
        }
        for name, open_ in readers.items():
            try:
                search, count = open_()
            except ImportError:
                continue
            times, same = [], count == len(codes)
            for query, right in zip(queries, expected):
                begun = time.perf_counter()
                found = search(query)
                times.append(1000 * (time.perf_counter() - begun))
                same = same and [tuple(hit) for hit in found] == right
            report[name] = {"images": int(count), "same": same, "ms": statistics.median(times)}
    if args.json:
        print(json.dumps(report, indent=2))
        return
    for name, line in report.items():
        print(f"{name:20}", "  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in line.items()))


if __name__ == "__main__":
    main()
