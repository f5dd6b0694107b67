"""How often the default intervals hold the truth: k, heterogeneity and sizes crossed.

Each replicate draws k studies from the normal model with known sampling variances, so what fails
here fails through the small number of studies alone. The variances are

========= ========================================================================================
equal     all 1
unequal   evenly spaced in the logarithm from 1/3 to 3: nine times between the largest and smallest
one large one study of 1/10 (ten times the size), the others 1
========= ========================================================================================

and tau² is such that I² = tau²/(tau² + s²) has the stated value for the typical variance s² of
Higgins and Thompson (2002, doi 10.1002/sim.1186). The methods, all at 95 %:

============ =====================================================================================
knha         REML, Knapp-Hartung: the default of pool()
adhoc        the same, never narrower than z: shown beside it
z            REML, normal interval
prediction   t(k - 1) interval around the default mean, for the true effect of a new study
tau2         Q-profile limits of tau²
============ =====================================================================================

Whether the Q-profile limits hold tau² needs no limits: they do when Q at the true tau² lies between
the two chi-squared quantiles, or below both at tau² = 0. For a new study the share of its effects
inside the interval is known given the interval, and averaged.

``python benchmarks/coverage_simulation.py`` writes ``coverage.csv`` beside this file, one cell
after the other, in about three minutes on one core; ``--replicates`` and ``--out`` change how many
and where. Each cell has its own seed, so it does not depend on the others. ``width`` is the median
width of the interval beside the one of a reader who knows tau²; it is empty for tau² itself.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from itertools import product
from pathlib import Path

import numpy as np
from scipy.special import chdtri, ndtr, ndtri, stdtrit

from retroevidence.meta.batch import pool_batch
from retroevidence.meta.tau2 import typical_variance

SEED = 20250
K, I2, SIZES = (2, 3, 4, 5, 7, 10, 15, 20), (0, 25, 50, 75, 90), ("equal", "unequal", "one large")
METHODS = ("knha", "adhoc", "z", "prediction", "tau2")
LEVEL = 0.95
FIELDS = "k sizes i2 tau2 method replicates coverage coverage_se width".split()


def variances(sizes, k):
    """Return the sampling variances of k studies."""
    if sizes == "unequal":
        return np.geomspace(1 / 3, 3, k)
    return np.r_[0.1 if sizes == "one large" else 1.0, np.ones(k - 1)]


def true_tau2(sizes, k, i2):
    """Return the tau² at which I² has the given percentage."""
    return i2 / (100 - i2) * typical_variance(variances(sizes, k), np.ones((k, 1)))


def simulate(k, sizes, i2, replicates):
    """Return coverage (one value per replicate) and width by method; the true mean is 0."""
    rng = np.random.default_rng([SEED, k, SIZES.index(sizes), i2])
    vi, tau2 = variances(sizes, k), true_tau2(sizes, k, i2)
    yi = rng.normal(0, np.sqrt(vi + tau2), (replicates, k))
    fit = pool_batch(yi, vi, method="REML", test="knha", level=LEVEL)
    plain = 1 / np.sqrt((1 / (vi + fit["tau2"].to_numpy()[:, None])).sum(axis=1))
    mean, se = fit["estimate"].to_numpy(), fit["se"].to_numpy()
    z, t = ndtri((1 + LEVEL) / 2), stdtrit(k - 1, (1 + LEVEL) / 2)
    spread = np.sqrt(fit["tau2"].to_numpy() + se**2)
    reach = {
        "knha": t * se,
        "adhoc": t * np.maximum(se, plain),
        "z": z * plain,
        "prediction": t * spread,
    }
    covers = {name: (np.abs(mean) <= half).astype(float) for name, half in reach.items()}
    if tau2 > 0:
        low, high = (mean + sign * reach["prediction"] for sign in (-1, 1))
        covers["prediction"] = ndtr(high / math.sqrt(tau2)) - ndtr(low / math.sqrt(tau2))
    weights = 1 / (vi + tau2)
    centre = yi @ weights / weights.sum()
    q = (yi - centre[:, None]) ** 2 @ weights
    least, most = (float(chdtri(k - 1, tail)) for tail in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    covers["tau2"] = ((q <= most) & ((q >= least) | (tau2 == 0))).astype(float)
    known = z / math.sqrt(weights.sum())
    ideal = {"prediction": z * math.sqrt(tau2 + 1 / weights.sum())}
    width = {name: np.median(half) / ideal.get(name, known) for name, half in reach.items()}
    return covers, width


def cell(k, sizes, i2, replicates):
    """Yield one line per method, as it stands in the file."""
    covers, width = simulate(k, sizes, i2, replicates)
    for method in METHODS:
        share = covers[method]
        yield {
            "k": k,
            "sizes": sizes,
            "i2": i2,
            "tau2": round(true_tau2(sizes, k, i2), 5),
            "method": method,
            "replicates": replicates,
            "coverage": round(float(share.mean()), 5),
            "coverage_se": round(float(share.std(ddof=1)) / math.sqrt(replicates), 5),
            "width": round(float(width[method]), 4) if method in width else "",
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=50_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("coverage.csv"))
    options = parser.parse_args()
    cells, start = list(product(K, SIZES, I2)), time.perf_counter()
    with options.out.open("w", newline="") as file:
        table = csv.DictWriter(file, FIELDS, lineterminator="\n")
        table.writeheader()
        for number, (k, sizes, i2) in enumerate(cells, 1):
            table.writerows(cell(k, sizes, i2, options.replicates))
            file.flush()
            spent = time.perf_counter() - start
            print(
                f"cell {number}/{len(cells)}: k={k}, {sizes}, I²={i2}%, {spent:.0f} s", flush=True
            )


if __name__ == "__main__":
    main()
