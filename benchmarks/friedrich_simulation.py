"""A published simulation table, cell by cell: Friedrich, Adhikari and Beyene (2008), Table 3.

The paper (doi 10.1186/1471-2288-8-32) simulates meta-analyses of continuous outcomes: k trials of
equal groups of n patients, normal data with a standard deviation of 40 % of the control mean, a
true difference of 0.2, 0.5 or 0.8 standard deviations, no heterogeneity or tau of half a standard
deviation. Each meta-analysis is made three times, with mean differences (MD), standardised mean
differences (SMD) and log ratios of means (RoM), by the random-effects method of DerSimonian and
Laird with a normal interval. The table gives percent bias, coverage of the 95 % interval, power and
I², rounded to whole percent, from 10,000 simulations per scenario. It is read from
https://bmcmedresmethodol.biomedcentral.com/articles/10.1186/1471-2288-8-32/tables/3, where its last
three rows (n = 100, a difference of 0.8) are cut off; they are left out here.

The same scenarios run through effect_size() and pool_batch(), and beside the published interval
stands the coverage of the Knapp-Hartung interval, which the paper does not have. Two definitions
are the ones that the table itself shows: its I² is that of the mean Q of a scenario (the mean of
the I² of single meta-analyses is up to 16 points lower), and its SMD has the variance of RevMan,
``2/n + g²/(2(2n - 3.94))`` (with ours, ``2/n + g²/(4n)``, the bias at n = 10 is a point smaller).
RoM with heterogeneity is left out: the table does not say on which scale ratios vary.

``python benchmarks/friedrich_simulation.py`` writes ``friedrich.csv`` beside this file in about a
minute on one core; ``--replicates`` and ``--out`` change how many and where. Each scenario has its
own seed. ``error`` is our Monte Carlo error, ``apart`` how many errors of both simulations lie
between the two numbers beyond the rounding of the published one.
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path

import numpy as np

from retroevidence.effects.measures import effect_size
from retroevidence.meta.batch import pool_batch

SEED = 20080
SD, CONTROL = 40.0, 100.0
#: Difference, n per group, k; then in percent: bias of MD, SMD, RoM without and with
#: heterogeneity, coverage likewise, power likewise, and I² with heterogeneity.
PUBLISHED = """
0.2  10  5   0 -4  0  0 -5  1  95 97 95 90 92 90   15  11  14  15  13  14  59 48 55
0.2  10 10   0 -5  0  1 -5  0  95 97 95 92 93 92   27  22  26  19  18  19  60 48 56
0.2  10 30   0 -5  0  1 -6  0  94 96 95 94 94 94   66  61  64  39  38  38  60 48 56
0.2 100  5   0  0  0  0  0  1  96 97 96 88 88 87   82  82  82  21  21  21  93 92 92
0.2 100 10   0  0  0  0  0  0  96 96 96 92 92 91   99  99  99  27  27  28  93 92 92
0.2 100 30   0  0  0  0  0  0  96 96 96 94 94 94  100 100 100  56  58  59  93 92 92
0.5  10  5   0 -4  0  0 -5  0  95 97 95 90 92 90   64  57  62  43  40  42  59 48 56
0.5  10 10   0 -5  0  0 -5  0  95 97 95 92 93 92   91  89  90  66  64  65  60 48 56
0.5  10 30   0 -5  0  0 -6  0  94 96 94 94 93 93  100 100 100  98  97  97  60 47 57
0.5 100  5   0  0  0  0  0  1  96 97 96 88 88 88  100 100 100  61  61  61  93 92 92
0.5 100 10   0  0  0  0  0  0  96 96 96 92 92 91  100 100 100  85  86  86  93 92 92
0.5 100 30   0  0  0  0 -1  0  96 96 96 94 94 93  100 100 100 100 100 100  93 92 92
0.8  10  5   0 -4  0  0 -5  0  95 97 95 90 92 90   95  94  95  75  72  73  59 47 56
0.8  10 10   0 -5  0  0 -5  0  95 96 95 92 92 92  100 100 100  95  95  95  60 47 57
0.8  10 30   0 -5 -1  0 -6  0  94 94 94 94 92 93  100 100 100 100 100 100  60 46 57
"""
FIELDS = "difference n k tau measure quantity published ours error apart knapp_hartung".split()
THEIR_REPLICATES = 10_000


def published():
    """Return {(difference, n, k, tau, measure, quantity): percent} without what is left out."""
    found = {}
    for line in PUBLISHED.split("\n")[1:-1]:
        difference, n, k, *numbers = line.split()
        values = iter(map(int, numbers))
        labels = [(what, tau) for what in ("bias", "coverage", "power") for tau in (0.0, 0.5)]
        for what, tau in [*labels, ("I2", 0.5)]:
            for measure in ("MD", "SMD", "RoM"):
                value = next(values)
                if not (measure == "RoM" and tau):
                    found[float(difference), int(n), int(k), tau, measure, what] = value
    return found


def draw(rng, measure, difference, n, k, tau, replicates):
    """Return effects and variances, shape (replicates, k), and the true mean effect."""
    shape = (replicates, k)
    treated = CONTROL + SD * (difference + tau * rng.standard_normal(shape))
    numbers = {"n1": n, "n2": n}
    for arm, mean in (("1", treated), ("2", CONTROL)):
        numbers[f"m{arm}"] = mean + SD / math.sqrt(n) * rng.standard_normal(shape)
        numbers[f"sd{arm}"] = SD * np.sqrt(rng.chisquare(n - 1, shape) / (n - 1))
    flat = {name: np.broadcast_to(value, shape).ravel() for name, value in numbers.items()}
    if measure == "RoM":
        # The paper's delta method has no correction for small samples.
        yi, vi = effect_size("ROM", correct=False, **flat)
        truth = math.log(1 + difference * SD / CONTROL)
    else:
        yi, vi = effect_size(measure, **flat)
        if measure == "SMD":
            vi = 2 / n + yi**2 / (2 * (2 * n - 3.94))
        truth = difference * (SD if measure == "MD" else 1.0)
    return np.reshape(yi, shape), np.reshape(vi, shape), truth


def scenario(difference, n, k, tau, measure, replicates):
    """Return {quantity: (percent, its Monte Carlo error, percent of Knapp-Hartung)}."""
    key = [round(10 * difference), n, k, round(10 * tau), ("MD", "SMD", "RoM").index(measure)]
    rng = np.random.default_rng([SEED, *key])
    yi, vi, truth = draw(rng, measure, difference, n, k, tau, replicates)
    theirs, ours = (pool_batch(yi, vi, method="DL", test=test) for test in ("z", "knha"))

    def summary(values, other=None):
        values = 100 * values
        error = float(values.std(ddof=1)) / math.sqrt(replicates)
        return float(values.mean()), error, None if other is None else 100 * float(other.mean())

    def covers(fit):
        return (fit["ci_low"] <= truth) & (truth <= fit["ci_high"])

    def rejects(fit):
        return fit["p_value"] < 0.05

    estimate = theirs["estimate"].to_numpy()
    scale = (np.exp(estimate), math.exp(truth)) if measure == "RoM" else (estimate, truth)
    q = theirs["q"].to_numpy()
    share = (k - 1) / q.mean()
    i2_error = share * q.std(ddof=1) / math.sqrt(replicates) / q.mean()
    return {
        "bias": summary(scale[0] / scale[1] - 1),
        "coverage": summary(covers(theirs), covers(ours)),
        "power": summary(rejects(theirs), rejects(ours)),
        "I2": (100 * (1 - share), 100 * float(i2_error), None),
    }


def rows(difference, n, k, tau, measure, replicates):
    """Yield one line per published quantity of a scenario, as it stands in the file."""
    table, found = published(), scenario(difference, n, k, tau, measure, replicates)
    for quantity, (ours, error, other) in found.items():
        theirs = table.get((difference, n, k, tau, measure, quantity))
        if theirs is None:
            continue
        # Both simulations err; the published number is also rounded to whole percent.
        both = error * math.sqrt(1 + replicates / THEIR_REPLICATES)
        beyond = max(0.0, abs(ours - theirs) - 0.5)
        yield {
            "difference": difference,
            "n": n,
            "k": k,
            "tau": tau,
            "measure": measure,
            "quantity": quantity,
            "published": theirs,
            "ours": round(ours, 3),
            "error": round(error, 4),
            "apart": round(beyond / both, 2) if both > 0 else 0.0,
            "knapp_hartung": "" if other is None else round(other, 3),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("friedrich.csv"))
    options = parser.parse_args()
    scenarios = dict.fromkeys(key[:5] for key in published())
    with options.out.open("w", newline="") as file:
        table = csv.DictWriter(file, FIELDS, lineterminator="\n")
        table.writeheader()
        for number, key in enumerate(scenarios, 1):
            table.writerows(rows(*key, options.replicates))
            print(f"scenario {number}/{len(scenarios)}", end="\r", flush=True)


if __name__ == "__main__":
    main()
