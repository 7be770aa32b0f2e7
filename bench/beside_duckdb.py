"""What benchmarks of columnar tables beside DuckDB share: a server, answers compared, times taken by turns."""

import decimal
import glob
import json
import math
import os
import re
import subprocess
import sys
import time

import duckdb
import psycopg


def queries(path):
    """The queries of a file, each after a line `-- number`."""
    parts = re.split(r"^-- (\d+)$", path.read_text(), flags=re.M)[1:]
    return {int(number): text.strip().rstrip(";") for number, text in zip(parts[::2], parts[1::2])}


class Server:
    def __init__(self, binary, directory, options):
        self.directory = directory
        environment = dict(os.environ, LUMADB_SECURITY_REQUIRE_AUTH="false", **options)
        command = [binary, "serve", "--data-dir", str(directory)]
        for door in ["postgres", "http", "prometheus", "otlp", "otlp-http"]:
            command += [f"--{door}-port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for line in self.process.stdout:
            if line.startswith("postgres "):
                self.host, self.port = line.split()[1].rsplit(":", 1)
            if line.strip() == "ready":
                break
        else:
            sys.exit("the server ended before it was ready")
        self.url = f"postgres://lumadb@{self.host}:{self.port}/lumadb"

    def connect(self):
        return psycopg.connect(self.url, autocommit=True)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def own_files(server, table):
    """The files that a columnar table has."""
    with server.connect() as connection:
        storage = connection.execute(f"SELECT relfilenode FROM pg_class WHERE relname = '{table}'").fetchone()[0]
    # The files' storage is made right after that of the rows.
    for number in range(storage + 1, storage + 40):
        found = sorted(glob.glob(str(server.directory / "columns" / f"{number}-*.parquet")))
        if found:
            return found
    sys.exit(f"table {table} has no files")


def plain(value):
    """A value without what only the two drivers disagree about."""
    if isinstance(value, str):
        return value.rstrip()
    if isinstance(value, (float, decimal.Decimal, int)) and not isinstance(value, bool):
        return float(value)
    return value


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return one == other


def compare(number, ours, theirs):
    ours = [[plain(value) for value in row] for row in ours]
    theirs = [[plain(value) for value in row] for row in theirs]
    if len(ours) != len(theirs):
        sys.exit(f"query {number}: {len(ours)} rows, DuckDB has {len(theirs)}")
    for place, (own, other) in enumerate(zip(ours, theirs)):
        if len(own) != len(other) or not all(map(same, own, other)):
            sys.exit(f"query {number}, row {place}: {own}, DuckDB has {other}")
    return len(ours)


def settings(options):
    """What the server is started with."""
    found = {"LUMADB_QUERY_THREADS": str(options.threads)}
    if options.memory_limit:
        found["LUMADB_MEMORY_MEMORY_LIMIT"] = options.memory_limit
    return found


def arguments(parser):
    """The arguments that all of them take."""
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit")
    parser.add_argument("--check", action="store_true")


def beside_duckdb(options, server, files, queries, seconds):
    """Runs queries by turns: here, by DuckDB on the same files, and by DuckDB on tables of its own."""
    limits = {"threads": options.threads}
    if options.memory_limit:
        limits["memory_limit"] = options.memory_limit
    on_files, own = duckdb.connect(config=limits), duckdb.connect(config=limits)
    for table, path in files.items():
        paths = own_files(server, table)
        on_files.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({paths!r})")
        own.execute(f"CREATE TABLE {table} AS SELECT * FROM '{path}'")
    rows = {table: own.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in files}
    print(f"loaded {sum(rows.values())} rows in {seconds:.1f} s", flush=True)
    results = []
    with server.connect() as connection:
        for number, query in queries.items():
            count = compare(number, connection.execute(query).fetchall(), own.execute(query).fetchall())
            compare(number, on_files.execute(query).fetchall(), own.execute(query).fetchall())
            if options.check:
                print(f"query {number}: {count} rows, the same", flush=True)
                continue
            best = [math.inf] * 3
            for _ in range(options.rounds):
                for place, engine in enumerate([connection, on_files, own]):
                    begun = time.perf_counter()
                    engine.execute(query).fetchall()
                    best[place] = min(best[place], time.perf_counter() - begun)
            results.append({"query": number, "lumadb": best[0], "duckdb_files": best[1], "duckdb": best[2]})
            print(
                f"query {number:2}: {best[0] * 1000:8.1f} ms, DuckDB on the same files {best[1] * 1000:8.1f} ms"
                f" ({best[0] / best[1]:.2f}), on its own {best[2] * 1000:8.1f} ms ({best[0] / best[2]:.2f})",
                flush=True,
            )
    if results:
        for other in ["duckdb_files", "duckdb"]:
            ratios = [result["lumadb"] / result[other] for result in results]
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            print(f"geometric mean of the ratios to {other}: {mean:.2f}")
        print(json.dumps(results))

