"""Error rates of two intervals beside published ones: Held, Hofmann and Pawel (2025).

The paper (Research Synthesis Methods 16, 758-785, doi 10.1017/rsm.2025.26) compares intervals for
the mean of a random-effects meta-analysis. Two of them are those of this library: the estimate of
DerSimonian and Laird with a normal interval (DL) and, with the same tau², the interval of Hartung
and Knapp without a floor (HK). ``held_published.csv`` beside this file holds their coverage and its
Monte Carlo error in all scenarios of the study with normal effects, no publication bias, a mean of
0.2 and n = 50: 3, 5, 10, 20 or 50 trials, four values of I², and no, one or two trials ten times
larger.

The paper itself was not at hand. The numbers are those of the results file in the study's
repository, https://github.com/felix-hof/confMeta_simulation, whose README bears the paper's title:
``simulation/RData/simulation-summaries.csv`` at commit 6906e1e53770d209a4e21b09e70acc48f9e3614e,
read on 2026-11-23: columns ``coverage_mean`` and ``coverage_mean_mcse``, rows ``hk_ci_additive_DL``
and ``reml_ci_additive_DL``. The latter is taken for the classical interval with the tau² of DL,
since ``reml_ci`` stands before every estimator of tau², and before none. ``offset`` is a character
of the file: the row was read in the 16,000 from there. The repository holds further runs of the
same scenarios, and which of them the paper's figures show is not known. That 20,000 meta-analyses
stand behind each number follows from its Monte Carlo error.

How trials are made is said by the study's protocol, ``protocol.tex`` in
https://github.com/felix-hof/confmeta-protocol at commit 143a5af98e730c6e4279c7ea25ed6d41f2e2d2a3,
which plans 10,000 meta-analyses and calls its set-up similar to that of IntHout, Ioannidis and Borm
(2014, doi 10.1186/1471-2288-14-25). A trial estimates its own effect with variance 2/n, and that
variance from 2n - 2 degrees of freedom, independently of its effect; so by its formulas n counts
the patients of one of two groups. tau² is I²/(1 - I²) times the mean of 2/n over the trials. Only
these rules and the numbers are taken from the study, none of its code.

``python benchmarks/held_simulation.py`` writes ``held.csv`` beside this file in about 20 seconds;
``--replicates`` and ``--out`` change how many and where. Each scenario has its own seed.
An error rate is the share of 95 % intervals without the true mean. ``apart`` is the difference of
the two rates in standard errors of a difference; both methods see the same trials, so their two
values in a scenario go together.
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path

import numpy as np
import pandas as pd

import retroevidence as rv

SEED = 20250
THETA, SMALL, LARGE = 0.2, 50, 500
METHODS = {"DL": "z", "HK": "knha"}
FIELDS = "k i2 large method replicates published published_se ours ours_se apart".split()


def published():
    """Return {(k, i2, large): {method: (coverage, its Monte Carlo error)}}, as in the file."""
    found = {}
    with Path(__file__).with_name("held_published.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            scenario = tuple(int(line[name]) for name in ("k", "i2", "large"))
            number = float(line["coverage"]), float(line["coverage_mcse"])
            found.setdefault(scenario, {})[line["method"]] = number
    return found


def draw(rng, k, i2, large, replicates):
    """Return a table with one row per trial: which meta-analysis, its effect and variance."""
    n = np.repeat([LARGE, SMALL], [large, k - large])
    tau2 = i2 / (100 - i2) * np.mean(2 / n)
    effects = rng.normal(THETA, math.sqrt(tau2), (replicates, k))
    yi = rng.normal(effects, np.sqrt(2 / n))
    vi = 2 / n * rng.chisquare(2 * n - 2, (replicates, k)) / (2 * n - 2)
    number = np.repeat(np.arange(replicates), k)
    return pd.DataFrame({"id": number, "yi": yi.ravel(), "vi": vi.ravel()})


def cell(k, i2, large, replicates):
    """Yield one line per method, as it stands in the file."""
    table = draw(np.random.default_rng([SEED, k, i2, large]), k, i2, large, replicates)
    for method, test in METHODS.items():
        fit = rv.pool_many(table, method="DL", test=test)
        ours = float(((fit["ci_low"] > THETA) | (fit["ci_high"] < THETA)).mean())
        error = math.sqrt(ours * (1 - ours) / replicates)
        coverage, their_error = published()[k, i2, large][method]
        theirs = 1 - coverage
        yield {
            "k": k,
            "i2": i2,
            "large": large,
            "method": method,
            "replicates": replicates,
            "published": round(theirs, 5),
            "published_se": round(their_error, 5),
            "ours": round(ours, 5),
            "ours_se": round(error, 5),
            "apart": round((ours - theirs) / math.hypot(error, their_error), 2),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("held.csv"))
    options = parser.parse_args()
    scenarios = list(published())
    with options.out.open("w", newline="") as file:
        table = csv.DictWriter(file, FIELDS, lineterminator="\n")
        table.writeheader()
        for number, scenario in enumerate(scenarios, 1):
            table.writerows(cell(*scenario, options.replicates))
            print(f"scenario {number}/{len(scenarios)}", end="\r", flush=True)


if __name__ == "__main__":
    main()
