"""How the time of a three-level fit with CR2 tests grows with the number of effects.

Run: make bench, or python benchmarks/multilevel.py. Writes one row per size to multilevel.csv and
prints the slope of time against effects on logarithmic axes (1 is linear). Where R has them, rma.mv
(sparse matrices) and clubSandwich are timed on the same numbers.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from retroevidence.meta.dependent.multilevel import pool_multilevel

#: Effects and clusters; the second row is the size of metafor's own speed example.
SIZES = ((100, 10), (1_653, 126), (10_000, 770), (30_000, 2_300), (100_000, 7_700))
TARGETS = {1_653: 0.050, 100_000: 10.0}
R = """
suppressMessages({library(metafor); library(clubSandwich)})
d <- read.csv(commandArgs(TRUE)[1])
che <- commandArgs(TRUE)[2] == "che"
V <- if (che) vcalc(vi, cluster = lab, obs = obs, data = d, rho = 0.6) else d$vi
a <- proc.time()[3]
f <- rma.mv(yi, V, random = ~ 1 | lab/obs, data = d, sparse = TRUE)
b <- proc.time()[3]
r <- coef_test(f, vcov = "CR2", cluster = d$lab)
cat(format(c(b - a, proc.time()[3] - b, f$beta, r$SE, logLik(f)), digits = 15))
"""


def example(effects: int, clusters: int, seed: int = 1) -> pd.DataFrame:
    """Return effects of unequal precision in clusters of unequal size, in mixed order."""
    rng = np.random.default_rng(seed)
    lab = rng.integers(0, clusters, effects)
    v = rng.uniform(0.01, 0.2, effects)
    true = 0.3 + 0.3 * rng.normal(size=clusters)[lab] + 0.2 * rng.normal(size=effects)
    yi = true + np.sqrt(v) * rng.normal(size=effects)
    frame = pd.DataFrame({"yi": yi, "vi": v, "lab": lab + 1})
    return frame.assign(obs=frame.groupby("lab").cumcount() + 1)


def measured(frame: pd.DataFrame, rho: float | None) -> tuple[float, float, float, object]:
    """Return the best wall and processor seconds of a few fits with CR2, and the fit."""
    walls, cpus = [], []
    for _ in range(3 if len(frame) > 20_000 else 7):
        wall, cpu = time.perf_counter(), time.process_time()
        fit = pool_multilevel(frame, cluster="lab", rho=rho)
        tested = fit.robust
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus), tested.se, fit


def metafor(frame: pd.DataFrame, rho: float | None) -> list[float]:
    """Return seconds of the fit and of CR2, the estimate, its robust error and the likelihood."""
    with tempfile.TemporaryDirectory() as folder:
        table, script = Path(folder, "effects.csv"), Path(folder, "fit.R")
        frame.sort_values("lab", kind="stable").to_csv(table, index=False)
        script.write_text(R, encoding="utf-8")
        run = subprocess.run(
            ["Rscript", str(script), str(table), "che" if rho else "independent"],
            capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
    if run.returncode:
        print(f"R: {run.stderr.strip()[-300:]}", file=sys.stderr)
        return []
    return [float(part) for part in run.stdout.split()]


def main() -> None:
    """Measure, print, and compare with the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where to write")
    chosen = parser.parse_args()
    rows = []
    for rho in (None, 0.6):
        for effects, clusters in SIZES:
            frame = example(effects, clusters)
            wall, cpu, se, fit = measured(frame, rho)
            row = {
                "model": "three-level" if rho is None else f"CHE, rho {rho}",
                "effects": effects,
                "clusters": clusters,
                "seconds": wall,
                "cpu": cpu,
                "µs/effect": 1e6 * wall / effects,
                "target": TARGETS.get(effects, np.nan),
            }
            if effects <= 1_653 and shutil.which("Rscript"):
                theirs = metafor(frame, rho)
                if theirs:
                    fitting, testing, estimate, error, height = theirs
                    row |= {
                        "metafor": fitting + testing,
                        "times": (fitting + testing) / wall,
                        "difference": max(abs(estimate / fit.estimate - 1), abs(error / se - 1)),
                        "loglik gain": fit.loglik - height,
                    }
            rows.append(row)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.3g}"))
    for model, part in table[table["effects"] >= 10_000].groupby("model"):
        slope = np.polyfit(np.log(part["effects"]), np.log(part["cpu"]), 1)[0]
        print(f"{model}: time grows with effects to the power {slope:.2f}")
    table.to_csv(chosen.out / "multilevel.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
