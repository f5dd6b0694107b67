"""What it costs to pool a library of reviews: seconds and memory by size, in memory and with Dask.

Run: make bench, or python benchmarks/library.py [--most EFFECTS]. Every row is a process of its
own; times are the best of three runs after one that loads the kernel, memory is the peak of the
process with table and result, and for Dask the sum over the workers. Writes library.csv.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import retroevidence as rv

SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
WAYS = {
    "together": "in memory, reviews together",
    "mixed": "in memory, any order",
    "words": "in memory, any order, reviews named by words",
    "moderator": "in memory, reviews together, one moderator",
    "dask": "40 Parquet files, any order, two worker processes",
}
#: Effects of a review, on average; and files.
EACH, FILES = 15, 40
#: Above this size a moderator and words take minutes and say nothing new.
LESS = 1_000_000


def library(effects: int, seed: int = 1, *, mixed: bool = False) -> pd.DataFrame:
    """Return effects of reviews of 2 to 28 studies, with a dose."""
    random = np.random.default_rng(seed)
    sizes = random.integers(2, 2 * EACH - 1, effects // EACH * 11 // 10 + 10)
    review = np.repeat(np.arange(len(sizes)), sizes)[:effects]
    tau = random.choice([0.0, 0.1, 0.3], len(sizes))[review]
    vi = random.chisquare(3, effects) / 20
    table = pd.DataFrame({"review": review, "yi": random.normal(0.3, np.sqrt(vi + tau**2))})
    table = table.assign(vi=vi, dose=random.uniform(0, 3, effects))
    return table.sample(frac=1, random_state=seed, ignore_index=True) if mixed else table


def peak() -> float:
    """Return the peak memory of this process, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


def in_memory(way: str, effects: int) -> dict[str, float]:
    """Return seconds, peak memory and number of reviews of one way in memory."""
    table = library(effects, mixed=way in ("mixed", "words"))
    if way == "words":
        table["review"] = "review " + table["review"].astype(str)
    mods = "~ dose" if way == "moderator" else None
    rv.pool_many(table.head(100), by="review", mods=mods)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        found = rv.pool_many(table, by="review", mods=mods)
        seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds), "MiB": peak(), "reviews": len(found)}


def with_dask(effects: int) -> dict[str, float]:
    """Return the same for Parquet files, pooled by two worker processes into Parquet files."""
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "effects", Path(folder) / "pooled"
        source.mkdir()
        table = library(effects, mixed=True)
        for number, rows in enumerate(np.array_split(np.arange(effects), FILES)):
            table.iloc[rows].to_parquet(source / f"part.{number:02}.parquet")
        del table
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            client.run(loaded)
            seconds = []
            for _ in range(3):
                shutil.rmtree(target, ignore_errors=True)
                start = time.perf_counter()
                rv.pool_many(dd.read_parquet(source), by="review").to_parquet(target)
                seconds.append(time.perf_counter() - start)
            memory = sum(client.run(peak).values())
        reviews = len(pd.read_parquet(target, columns=["k"]))
    return {"seconds": min(seconds), "MiB": memory, "reviews": reviews}


def loaded() -> None:
    """Load the kernel in a worker, so that its start is not counted."""
    rv.pool_many(library(100), by="review")


def main() -> None:
    """Measure every way and size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=SIZES[-1], help="largest number of effects")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where to write")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if choice.one:
        way, effects = choice.one[0], int(choice.one[1])
        print(json.dumps(with_dask(effects) if way == "dask" else in_memory(way, effects)))
        return
    rows = []
    for way, what in WAYS.items():
        for effects in SIZES:
            if effects > (LESS if way in ("moderator", "words") else choice.most):
                continue
            run = subprocess.run(
                [sys.executable, __file__, "--one", way, str(effects)],
                capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            if run.returncode:
                print(f"{way}, {effects}: {run.stderr.strip()[-300:]}", file=sys.stderr)
                continue
            found = json.loads(run.stdout.splitlines()[-1])
            per_million = 1e6 * found["seconds"] / effects
            row = {"way": what, "effects": effects} | found
            rows.append(row | {"seconds_per_million": per_million})
            print(rows[-1], file=sys.stderr)
    table = pd.DataFrame(rows).assign(cores=len(os.sched_getaffinity(0)))
    table.to_csv(choice.out / "library.csv", index=False, float_format="%.4g")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
