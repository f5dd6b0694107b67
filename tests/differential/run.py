"""Thousands of random data sets, fitted by metafor and by us; every disagreement explained.

`make differential` runs it (R with metafor must be there) and writes `result.json` here;
`make differential N=500` runs a part. The exit status is 1 if a disagreement remains that no rule
explains. tests/golden/README.md says what the classes mean.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from generate import KINDS, Set, sets
from judge import DIGITS
from rules import allowed, disagreements, explain, judged

from retroevidence.meta.batch import pool_batch
from retroevidence.meta.heterogeneity import q_profile
from retroevidence.meta.pool import pool

HERE = Path(__file__).resolve().parent
FULL = 10_000
METHODS = ("CE", "DL", "HE", "HS", "HSk", "SJ", "ML", "REML", "EB", "PM", "PMM")
TESTS = ("z", "t", "knha", "adhoc")
COLUMNS = ["set", "method", "failed", "tau2", "tau2_se", "i2", "h2", "q", "q_p"]
COLUMNS += [f"{name}{j}" for name in ("b", "se", "p", "lb", "ub") for j in range(3)]
COLUMNS += ["pi_lb", "pi_ub", "qm", "qm_p", "qp_lb", "qp_ub"]


def main() -> int:
    """Run the check and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=FULL, help=f"data sets ({FULL})")
    parser.add_argument("--seed", type=int, default=20_260, help="seed of the data sets")
    parser.add_argument("--jobs", type=int, default=2, help="R processes (2)")
    parser.add_argument("--out", type=Path, help="where to write; a full run writes result.json")
    given = parser.parse_args()
    data = sets(given.n, given.seed)
    theirs, versions, messages = by_metafor(data, given.jobs)
    result = compare(data, theirs, messages)
    result = {"sets": given.n, "seed": given.seed, "versions": versions} | result
    out = given.out or (HERE / "result.json" if given.n == FULL else None)
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{given.n} sets, {result['fits']} fits, {result['compared']} numbers compared")
    for name, count in result["classes"].items():
        print(f"{count:8d}  {name}")
    for line in result["unexplained"][:60]:
        print("UNEXPLAINED", line)
    print(f"{len(result['unexplained'])} disagreements without an explanation")
    return 1 if result["unexplained"] else 0


def by_metafor(data: list[Set], jobs: int) -> tuple[pd.DataFrame, dict[str, str], list[list[str]]]:
    """Fit everything in R; return a row per fit, the versions, and the errors of each process."""
    with TemporaryDirectory() as place:
        folder = Path(place)

        def put(name: str, values: list[np.ndarray]) -> None:
            np.concatenate(values).astype(float).tofile(folder / f"{name}.bin")

        put("k", [np.array([len(one.yi) for one in data])])
        put("p", [np.array([one.x.shape[1] for one in data])])
        put("yi", [one.yi for one in data])
        put("vi", [one.vi for one in data])
        for j in (1, 2):
            there = [one.x[:, j] if one.x.shape[1] > j else np.zeros(len(one.yi)) for one in data]
            put(f"x{j}", there)
        script = str(HERE / "fit.R")
        running = [
            subprocess.Popen(["Rscript", script, place, str(part), str(jobs)])
            for part in range(1, jobs + 1)
        ]
        if any([process.wait() for process in running]):
            sys.exit("R failed; is the package metafor installed?")
        fits, messages = [], []
        for part in range(1, jobs + 1):
            fits.append(np.fromfile(folder / f"fits{part}.bin").reshape(-1, len(COLUMNS)))
            text = (folder / f"messages{part}.txt").read_text(encoding="utf-8").splitlines()
            versions, errors = {"metafor": text[0], "R": text[1]}, text[2:]
            frame = fits[-1]
            # From each process's own numbering of messages to one for all.
            where = frame[:, 2] > 0
            frame[where, 2] += len(messages)
            messages += errors
    frame = pd.DataFrame(np.vstack(fits), columns=COLUMNS)
    frame[["set", "method", "failed"]] = frame[["set", "method", "failed"]].astype(int)
    return frame.sort_values(["set", "method"], ignore_index=True), versions, messages


def compare(data: list[Set], theirs: pd.DataFrame, messages: list[str]) -> dict[str, object]:
    """Fit everything ourselves and class every disagreement."""
    classes: Counter[str] = Counter()
    apart_fits = 0
    by_kind: Counter[tuple[str, str]] = Counter()
    by_method: Counter[tuple[str, str]] = Counter()
    unexplained: list[str] = []
    shown: dict[str, tuple[int, int]] = {}
    examples: dict[str, dict[str, Any]] = {}
    compared = 0
    histogram: Counter[int] = Counter()
    batch = by_batch(data)
    for row in theirs.itertuples(index=False):
        one, method = data[row.set - 1], METHODS[row.method - 1]
        test = TESTS[(row.set + row.method) % 4]
        ours = by_us(one, method, test)
        apart, count, decades = disagreements(one, ours, row._asdict())
        compared += count
        histogram.update(decades)
        found: set[str] = set()
        wrong = batch_apart(batch, row.set - 1, one, method, test, ours)
        if row.failed:
            found.add(f"metafor gives no fit: {short(messages[row.failed - 1])}")
            wrong += judged(one, method, test, ours, list(ours))
        elif apart:
            wrong += explain(one, method, test, ours, row._asdict(), apart, found)
        apart_fits += bool(found)
        for reason in found:
            classes[reason] += 1
            by_kind[one.kind, reason] += 1
            by_method[method, reason] += 1
            # About six studies show most; fewer are often odd in several ways at once.
            size = (one.x.shape[1], abs(len(one.yi) - 6))
            if size < shown.get(reason, (4, 0)):
                shown[reason] = size
                examples[reason] = example(one, method, test, ours, row.tau2)
        unexplained += [f"set {row.set} ({one.kind}) {method} {test}: {text}" for text in wrong]
        if row.method == len(METHODS) and row.set % 1000 == 0:
            print(f"compared {row.set} of {len(data)} sets", flush=True)

    def counted(counter: Counter[tuple[str, str]]) -> list[dict[str, object]]:
        return [
            {"where": where, "class": name, "fits": n}
            for (where, name), n in sorted(counter.items())
        ]

    return {
        "kinds": {kind: sum(one.kind == kind for one in data) for kind in KINDS},
        "fits": len(theirs),
        "apart": apart_fits,
        "compared": compared,
        "digits": DIGITS,
        "classes": dict(sorted(classes.items(), key=lambda item: -item[1])),
        "by_kind": counted(by_kind),
        "by_method": counted(by_method),
        "differences": {str(size): histogram[size] for size in sorted(histogram)},
        "examples": dict(sorted(examples.items())),
        "unexplained": unexplained,
    }


def example(
    one: Set, method: str, test: str, ours: dict[str, float], theirs: float
) -> dict[str, Any]:
    """Return what shows a class."""
    return {
        "yi": one.yi.tolist(),
        "vi": one.vi.tolist(),
        "mods": one.x[:, 1:].tolist(),
        "method": method,
        "test": test,
        "tau2": ours["tau2"],
        "metafor": None if math.isnan(theirs) else theirs,
    }


def by_us(one: Set, method: str, test: str) -> dict[str, float]:
    """Return our numbers under the names of COLUMNS."""
    mods = one.x[:, 1:] if one.x.shape[1] > 1 else None
    fit = pool(yi=one.yi, vi=one.vi, method=method, test=test, mods=mods)
    out = {
        "tau2": fit.tau2,
        "tau2_se": fit.tau2_se,
        "i2": fit.i2,
        "h2": fit.h2,
        "q": fit.q,
        "q_p": fit.q_p_value,
        "pi_lb": fit.prediction.low,
        "pi_ub": fit.prediction.high,
        "qm": fit.qm,
        "qm_p": fit.qm_p_value,
    }
    table = fit.coefficients.to_dict("list")
    names = {"b": "estimate", "se": "se", "p": "p_value", "lb": "ci_low", "ub": "ci_high"}
    for short_name, name in names.items():
        out |= {f"{short_name}{j}": value for j, value in enumerate(table[name])}
    if method == "REML":
        out["qp_lb"], out["qp_ub"] = q_profile(one.yi, one.vi, fit.fit.x)
    return out


# The batch, against our own single fits -----------------------------------------------------------


def by_batch(data: list[Set]) -> dict[tuple[str, str], pd.DataFrame]:
    """Fit all sets without moderators at once, for every method and test."""
    widest = max(len(one.yi) for one in data)
    yi, vi = np.zeros((len(data), widest)), np.full((len(data), widest), np.inf)
    for i, one in enumerate(data):
        yi[i, : len(one.yi)], vi[i, : len(one.vi)] = one.yi, one.vi
    return {
        (method, test): pool_batch(yi, vi, method=method, test=test)
        for method in METHODS
        for test in TESTS
    }


def batch_apart(
    batch: dict[tuple[str, str], pd.DataFrame],
    i: int,
    one: Set,
    method: str,
    test: str,
    ours: dict[str, float],
) -> list[str]:
    """Return where the batch differs from the single fit."""
    if "b1" in ours:
        return []
    found, typical = batch[method, test], 1 / float(np.mean(1 / one.vi))
    names = {"estimate": "b0", "se": "se0", "ci_low": "lb0", "ci_high": "ub0", "tau2": "tau2"}
    out = []
    for column, name in names.items():
        value = float(found[column].iloc[i])
        limit = allowed(name, ours[name], ours["se0"], typical, 0.0, 0.0)
        if not abs(value - ours[name]) <= limit:
            out.append(f"pool_batch {name} {value!r}, pool {ours[name]!r}")
    return out


def short(message: str) -> str:
    """Return the first sentence of an error."""
    return message.split(". ")[0].rstrip(".")


if __name__ == "__main__":
    sys.exit(main())
