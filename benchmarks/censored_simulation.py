"""Bias, coverage and width when many results are reported by half, method against method.

Each replicate draws k trials: n per group uniform on 8 to 40, sampling variance 2/n, true effects
normal with mean mu and variance tau2. A share of the trials is then reported by half, and
significant results (two-sided 5 %) three times less often than the others. Of the half-reported
results a quarter give a direction only; the rest say "p < .05" with a direction, or "p > .05".
Every method sees the same trials:

=========== =====================================================================================
all known   pool() of all trials as if printed in full: what could be had at best
drop        pool() of the trials printed in full
zero        half-reported results put at 0 if not significant or direction only, else at the limit
middle      half-reported results put at the middle of their interval; an open end closed at the
            effect or limit that is largest in size in the review
ML, REML    pool_censored()
=========== =====================================================================================

``python benchmarks/censored_simulation.py`` writes ``censored_simulation.csv`` beside this file,
one cell after the other, in about a quarter of an hour on one core; ``--replicates`` and ``--out``
change how many and where. Each cell has its own seed, so it does not depend on the others.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from retroevidence.meta.censored.pool import pool_censored
from retroevidence.meta.pool import pool

SEED = 20240
K, PARTIAL, TAU2, MU = (5, 10, 20), (0.3, 0.5, 0.8), (0.0, 0.1), (0.0, 0.4)
METHODS = ("all known", "drop", "zero", "middle", "ML", "REML")
LEVEL, Z = 0.95, 1.959963984540054
CHUNK = 100
FIELDS = (
    "k partial tau2 mu method replicates estimated bias bias_se rmse coverage coverage_se "
    "finite width width_se"
).split()


def draw(rng, k, partial, tau2, mu):
    """Return one review: true effects are hidden, `full` holds what nobody printed."""
    vi = 2 / rng.integers(8, 41, k)
    full = rng.normal(mu, np.sqrt(tau2 + vi))
    limit = Z * np.sqrt(vi)
    significant = np.abs(full) > limit
    odds = np.where(significant, 1.0, 3.0)
    half = np.zeros(k, dtype=bool)
    # Half a trial counts as one.
    share = math.floor(partial * k + 0.5)
    half[rng.choice(k, share, replace=False, p=odds / odds.sum())] = True
    only_direction = half & (rng.random(k) < 0.25)
    side = np.sign(full)
    size = np.where(only_direction, 0.0, limit)
    two_sided = ~significant & ~only_direction
    lower = np.where(two_sided, -limit, np.where(side > 0, size, -np.inf))
    upper = np.where(two_sided, limit, np.where(side > 0, np.inf, -size))
    return pd.DataFrame(
        {
            "yi": np.where(half, np.nan, full),
            "vi": vi,
            "lower": np.where(half, lower, np.nan),
            "upper": np.where(half, upper, np.nan),
            "full": full,
        }
    )


def analyse(review, method):
    """Return estimate and limits by one method, NaN where it has none."""
    yi, lower, upper = (review[name].to_numpy() for name in ("yi", "lower", "upper"))
    if method in ("ML", "REML"):
        result = pool_censored(review, method=method, level=LEVEL)
        return result.estimate, *result.ci
    if method == "all known":
        yi = review["full"].to_numpy()
    elif method == "zero":
        at_limit = np.where(np.isinf(upper), lower, np.where(np.isinf(lower), upper, 0.0))
        yi = np.where(np.isnan(yi), at_limit, yi)
    elif method == "middle":
        known = np.concatenate([yi, lower, upper])
        largest = np.abs(known[np.isfinite(known)]).max()
        middle = (np.clip(lower, -largest, None) + np.clip(upper, None, largest)) / 2
        yi = np.where(np.isnan(yi), middle, yi)
    if np.isnan(yi).all():
        return math.nan, math.nan, math.nan
    result = pool(yi=yi, vi=review["vi"].to_numpy(), test="adhoc", level=LEVEL)
    return result.estimate, *result.ci


def simulate(answers, k, partial, tau2, mu):
    """Fill estimate and limits per replicate and method; yield how many after each chunk."""
    rng = np.random.default_rng([SEED, k, round(100 * partial), round(100 * tau2), round(100 * mu)])
    for i in range(len(answers)):
        review = draw(rng, k, partial, tau2, mu)
        answers[i] = [analyse(review, method) for method in METHODS]
        if (i + 1) % CHUNK == 0 or i + 1 == len(answers):
            yield i + 1


def measure(answers, mu):
    """Return one line per method: bias, coverage and width with their Monte-Carlo errors."""
    for method, (estimate, low, high) in zip(METHODS, answers.transpose(1, 2, 0), strict=True):
        error = (estimate - mu)[np.isfinite(estimate)]
        # No estimate but a limit is an interval; neither is none, and counts as not covering.
        covers = (low <= mu) & (mu <= high)
        width = (high - low)[np.isfinite(high - low)]
        n = len(estimate)
        yield {
            "method": method,
            "replicates": n,
            "estimated": len(error) / n,
            "bias": error.mean(),
            "bias_se": error.std(ddof=1) / math.sqrt(len(error)),
            "rmse": math.sqrt((error**2).mean()),
            "coverage": covers.mean(),
            "coverage_se": math.sqrt(covers.mean() * (1 - covers.mean()) / n),
            "finite": len(width) / n,
            "width": width.mean(),
            "width_se": width.std(ddof=1) / math.sqrt(len(width)),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()
    cells = list(product(K, PARTIAL, TAU2, MU))
    start = time.perf_counter()
    with options.out.open("w", newline="") as file:
        table = csv.DictWriter(file, FIELDS, lineterminator="\n")
        table.writeheader()
        for number, (k, partial, tau2, mu) in enumerate(cells, 1):
            answers = np.empty((options.replicates, len(METHODS), 3))
            for done in simulate(answers, k, partial, tau2, mu):
                spent = time.perf_counter() - start
                print(
                    f"cell {number}/{len(cells)}: k={k} partial={partial} tau2={tau2} mu={mu}, "
                    f"{done}/{options.replicates} replicates, {spent:.0f} s",
                    end="\r" if done < options.replicates else "\n",
                    flush=True,
                )
            setting = {"k": k, "partial": partial, "tau2": tau2, "mu": mu}
            for line in measure(answers, mu):
                rounded = {
                    name: round(value, 5) if isinstance(value, float) else value
                    for name, value in line.items()
                }
                table.writerow(setting | rounded)
            file.flush()


if __name__ == "__main__":
    main()
