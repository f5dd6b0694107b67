"""Error rates of two tests of the mean, in the design of IntHout, Ioannidis and Borm (2014).

Their paper (doi 10.1186/1471-2288-14-25, PMC4015721) simulates meta-analyses of 2 to 20 trials with
and without heterogeneity, of equal size or with some trials ten times larger, and compares the
DerSimonian-Laird estimate with a z test (DL) and with the test of Hartung, Knapp, Sidik and Jonkman
(HKSJ). Its abstract gives the result in numbers: at a level of 5 % the HKSJ error rates at most
doubled, those of DL could be over 30 %, and both were worse when sizes differed and trials were
heterogeneous. The tables of the paper were not at hand, so its single cells are not compared.

There is no true effect here; the sampling variances are known: 1, and 1/10 in a large trial.
"quarter large" and "half large" round to whole trials, at least one. tau² gives the stated I² for
the typical variance of Higgins and Thompson (2002, doi 10.1002/sim.1186).

``python benchmarks/inthout_simulation.py`` writes ``inthout.csv`` beside this file in about a
minute on one core; ``--replicates`` and ``--out`` change how many and where. Each cell has its own
seed.
"""

from __future__ import annotations

import argparse
import csv
import math
from itertools import product
from pathlib import Path

import numpy as np

from retroevidence.meta.batch import pool_batch
from retroevidence.meta.tau2 import typical_variance

SEED = 20140
K, I2 = (2, 3, 4, 5, 7, 10, 15, 20), (0, 25, 50, 75, 90)
SIZES = ("equal", "one large", "quarter large", "half large")
METHODS = {"DL": "z", "HKSJ": "knha"}
FIELDS = "k sizes i2 method replicates error_rate error_rate_se".split()


def variances(sizes, k):
    """Return the sampling variances of k trials."""
    large = {"equal": 0, "one large": 1, "quarter large": k / 4, "half large": k / 2}[sizes]
    count = 0 if sizes == "equal" else max(1, math.floor(large + 0.5))
    return np.r_[np.full(count, 0.1), np.ones(k - count)]


def cell(k, sizes, i2, replicates):
    """Yield one line per method, as it stands in the file."""
    rng = np.random.default_rng([SEED, k, SIZES.index(sizes), i2])
    vi = variances(sizes, k)
    tau2 = i2 / (100 - i2) * typical_variance(vi, np.ones((k, 1)))
    yi = rng.normal(0, np.sqrt(vi + tau2), (replicates, k))
    for method, test in METHODS.items():
        wrong = (pool_batch(yi, vi, method="DL", test=test)["p_value"] < 0.05).mean()
        yield {
            "k": k,
            "sizes": sizes,
            "i2": i2,
            "method": method,
            "replicates": replicates,
            "error_rate": round(float(wrong), 5),
            "error_rate_se": round(math.sqrt(wrong * (1 - wrong) / replicates), 5),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=50_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("inthout.csv"))
    options = parser.parse_args()
    with options.out.open("w", newline="") as file:
        table = csv.DictWriter(file, FIELDS, lineterminator="\n")
        table.writeheader()
        for k, sizes, i2 in product(K, SIZES, I2):
            table.writerows(cell(k, sizes, i2, options.replicates))
            print(f"k={k}, {sizes}, I²={i2}%", end="\r", flush=True)


if __name__ == "__main__":
    main()
