"""Pool and simulate on worker processes while one of them is killed; print what came out as JSON.

Run: python tests/cluster.py shuffle-method. It stands alone since workers cannot import a test.
"""

import json
import logging
import os
import signal
import sys
import time
from threading import Thread

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster, wait

from retroevidence.meta.many import pool_many
from retroevidence.meta.simulate import simulate

PARTS, ROWS, GROUPS = 16, 400, 150
MODS = "~ center(dose) + arm"
GRID = {"k": [5, 8], "mu": 0.2, "tau2": [0.0, 0.1], "vi": 0.1}


def part(number):
    """Return one part of a table whose groups lie across all parts, slowly."""
    time.sleep(0.15)
    random = np.random.default_rng(number)
    yi, vi = random.normal(size=ROWS), random.uniform(0.01, 1, ROWS)
    table = pd.DataFrame({"id": random.integers(0, GROUPS, ROWS), "yi": yi, "vi": vi})
    # No part has all the levels.
    arms = random.choice(["a", "b"] if number % 2 else ["b", "c"], ROWS)
    return table.assign(dose=random.uniform(0, 3, ROWS), arm=arms)


def differences(found, wanted):
    """Count cells that are not the same to the last bit."""
    same = (found == wanted) | (found.isna() & wanted.isna())
    return int((~same).to_numpy().sum())


def main(method):
    """Compare a run that loses a worker with the same work in memory."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    out = {}
    with (
        dask.config.set({"dataframe.shuffle.method": method}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        before = sorted(client.run(os.getpid).values())
        future = client.compute(pool_many(dd.from_map(part, range(PARTS))))

        def kill():
            # In the middle: the parts take 16 * 0.15 s on two workers.
            time.sleep(0.7)
            out["running"] = not future.done()
            os.kill(before[0], signal.SIGKILL)

        killer = Thread(target=kill)
        killer.start()
        wait(future, timeout=40)
        found = future.result(timeout=5).sort_values("id").reset_index(drop=True)
        killer.join(10)
        client.wait_for_workers(2, timeout=20)
        out["new_workers"] = len(set(client.run(os.getpid).values()) - set(before))
        lines = pool_many(dd.from_map(part, range(PARTS)), mods=MODS).compute()
        lines = lines.sort_values("id").reset_index(drop=True)
        simulated = simulate(GRID, seed=5, repetitions=12_000, client=client)
    table = pd.concat([part(n) for n in range(PARTS)])
    wanted = pool_many(table).sort_values("id").reset_index(drop=True)
    regressed = pool_many(table, mods=MODS).sort_values("id").reset_index(drop=True)
    out["regressed"] = differences(lines, regressed)
    out["terms"] = sum(name.startswith("estimate_") for name in lines.columns)
    out["groups"], out["effects"] = len(found), int(found["k"].sum())
    out["differences"] = differences(found, wanted)
    out["simulated"] = differences(simulated, simulate(GRID, seed=5, repetitions=12_000))
    print(json.dumps(out))


if __name__ == "__main__":
    main(sys.argv[1])
