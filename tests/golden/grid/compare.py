"""Every number of the golden grid beside our own (README.md here says what the files are).

The result is one long table, a row per compared number; `tests/test_golden_grid.py` asserts that
its differences are within the tolerance, and run as a script it writes `agreement.csv`, which
`notebooks/10-statistics-check.ipynb` shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retroevidence.effects.measures import MEASURES, effect_size
from retroevidence.meta.batch import pool_batch
from retroevidence.meta.pool import pool
from retroevidence.meta.result import Pooled

HERE = Path(__file__).resolve().parent
COLUMNS = ["part", "dataset", "measure", "line", "method", "test", "quantity", "ours", "theirs"]

#: 1e-8 of the number itself. Both sides iterate to about 1e-13 of the scale of the data, closed
#: forms differ by rounding, and the files carry 15 digits.
TOLERANCE = 1e-8


@cache
def table(name: str) -> pd.DataFrame:
    """Return one of the files of expected numbers."""
    return pd.read_csv(HERE / f"{name}.csv", keep_default_na=False, na_values=[""])


@cache
def data(name: str) -> pd.DataFrame:
    """Return a published data set, with the column names of `effect_size`."""
    return pd.read_csv(HERE / "data" / f"{name}.csv")


def effects(dataset: str, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the effects R computed, which both sides' models stand on."""
    if measure == "GEN":
        return data(dataset)["yi"].to_numpy(float), data(dataset)["vi"].to_numpy(float)
    for name in ("effects", "formulas"):
        rows = table(name)
        rows = rows[(rows["dataset"] == dataset) & (rows["measure"] == measure)]
        if len(rows):
            break
    return rows["yi"].to_numpy(float), rows["vi"].to_numpy(float)


@cache
def model(dataset: str, measure: str, line: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """Return the effects and the moderator of one model, without incomplete rows."""
    yi, vi = effects(dataset, measure)
    use = np.isfinite(yi) & np.isfinite(vi) & (vi > 0)
    if not line:
        return yi[use], vi[use], None
    moderator = data(dataset)["moderator"].to_numpy(float)
    use &= np.isfinite(moderator)
    return yi[use], vi[use], moderator[use][:, None]


def compare(part: str, dataset: str) -> pd.DataFrame:
    """Return every compared number of one part and one data set.

    `difference` is relative to the expected number; to its standard error where that is larger,
    for means and limits, which may lie near 0; and is 0 where both are undefined or both 0.
    """
    found = pd.DataFrame(PARTS[part](dataset), columns=[*COLUMNS, "scale"])
    ours, theirs = found["ours"].to_numpy(float), found["theirs"].to_numpy(float)
    scale = np.fmax(np.abs(theirs), found.pop("scale").to_numpy(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.abs(ours - theirs) / scale
    same = (np.isnan(ours) & np.isnan(theirs)) | (ours == theirs)
    # One side undefined is as far apart as it gets.
    difference = np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))
    return found.assign(difference=difference)


def _rows(name: str, dataset: str) -> Iterator[Any]:
    rows = table(name)
    yield from rows[rows["dataset"] == dataset].itertuples(index=False)


@cache
def fit(dataset: str, measure: str, line: int, method: str, test: str) -> Pooled:
    """Return our fit of one model."""
    yi, vi, mods = model(dataset, measure, line)
    return pool(yi=yi, vi=vi, mods=mods, method=method, test=test)


def _effects(dataset: str) -> list[tuple[Any, ...]]:
    inputs, made, rows = data(dataset), {}, []
    for name in ("effects", "formulas"):
        for row in _rows(name, dataset):
            key = (row.measure, name == "formulas")
            if key not in made:
                spec = MEASURES[row.measure]
                choices = (spec.arguments, *spec.other)
                names = next(names for names in choices if set(names) <= set(inputs.columns))
                given = {name: inputs[name] for name in names}
                # metafor 3.8-1 has no bias correction; the formulas here have it.
                options = {"correct": key[1]} if "correct" in spec.options else {}
                made[key] = effect_size(row.measure, **given, **options)
            where = ("effects", dataset, row.measure, 0, name, f"row {row.row}")
            for quantity in ("yi", "vi"):
                ours = made[key][quantity == "vi"][row.row - 1]
                theirs = getattr(row, quantity)
                rows.append((*where, quantity, float(ours), theirs, 0.0))
    return rows


def _tau2(dataset: str) -> list[tuple[Any, ...]]:
    rows = []
    for row in _rows("tau2", dataset):
        ours = fit(dataset, row.measure, row.line, row.method, "z")
        where = ("tau2", dataset, row.measure, row.line, row.method, "")
        for quantity, value in {
            "k": ours.k,
            "tau2": ours.tau2,
            "se": ours.tau2_se,
            "i2": ours.i2,
            "h2": ours.h2,
            "q": ours.q,
            "q_p": ours.q_p_value,
            "r2": ours.r2,
        }.items():
            rows.append((*where, quantity, value, getattr(row, quantity), 0.0))
    return rows


def _means(dataset: str) -> list[tuple[Any, ...]]:
    rows = []
    for row in _rows("means", dataset):
        ours = fit(dataset, row.measure, 0, row.method, row.test)
        where = ("means", dataset, row.measure, 0, row.method, row.test)
        for quantity, value in {
            "estimate": ours.estimate,
            "se": ours.se,
            "lb": ours.ci.low,
            "ub": ours.ci.high,
            "pi_lb": ours.prediction.low,
            "pi_ub": ours.prediction.high,
        }.items():
            rows.append((*where, quantity, value, getattr(row, quantity), row.se))
        rows.append((*where, "p", ours.p_value, row.p, 0.0))
    return rows


def _batch(dataset: str) -> list[tuple[Any, ...]]:
    rows = []
    expected = list(_rows("means", dataset))
    measures = list(dict.fromkeys(row.measure for row in expected))
    # All measures of a data set in one call: shorter ones are padded, as in any ragged batch.
    sets = [model(dataset, measure, 0)[:2] for measure in measures]
    yi = np.zeros((len(sets), max(len(y) for y, _ in sets)))
    vi = np.full_like(yi, np.inf)
    for i, (y, v) in enumerate(sets):
        yi[i, : len(y)], vi[i, : len(v)] = y, v
    made = {}
    for row in expected:
        choice = (row.method, row.test)
        if choice not in made:
            made[choice] = pool_batch(yi, vi, method=row.method, test=row.test).to_dict("list")
        ours, i = made[choice], measures.index(row.measure)
        where = ("batch", dataset, row.measure, 0, row.method, row.test)
        for quantity, column in {
            "estimate": "estimate",
            "se": "se",
            "lb": "ci_low",
            "ub": "ci_high",
        }.items():
            rows.append((*where, quantity, ours[column][i], getattr(row, quantity), row.se))
        rows.append((*where, "p", ours["p_value"][i], row.p, 0.0))
    return rows


def _lines(dataset: str) -> list[tuple[Any, ...]]:
    rows = []
    for row in _rows("lines", dataset):
        ours = fit(dataset, row.measure, 1, row.method, row.test)
        coefficients = ours.coefficients.to_dict("list")
        where = ("lines", dataset, row.measure, 1, row.method, row.test)
        for quantity, column in {
            "b": "estimate",
            "se": "se",
            "lb": "ci_low",
            "ub": "ci_high",
            "p": "p_value",
        }.items():
            for i in (0, 1):
                scale = 0.0 if quantity == "p" else getattr(row, f"se{i}")
                value = coefficients[column][i]
                theirs = getattr(row, f"{quantity}{i}")
                rows.append((*where, f"{quantity}{i}", value, theirs, scale))
        rows.append((*where, "qm", ours.qm, row.qm, 0.0))
        rows.append((*where, "qm_p", ours.qm_p_value, row.qm_p, 0.0))
    return rows


def _predictions(dataset: str) -> list[tuple[Any, ...]]:
    rows = []
    for row in _rows("predictions", dataset):
        ours = fit(dataset, row.measure, 1, "REML", row.test).predict([[row.at]]).iloc[0]
        where = ("predictions", dataset, row.measure, 1, "REML", row.test)
        for quantity, column in {
            "estimate": "estimate",
            "se": "se",
            "lb": "ci_low",
            "ub": "ci_high",
            "pi_lb": "pi_low",
            "pi_ub": "pi_high",
        }.items():
            rows.append((*where, quantity, float(ours[column]), getattr(row, quantity), row.se))
    return rows


#: Which columns of means.csv hold which named prediction interval.
PREDICTIONS = {
    "z": ("z", "pi"),
    "t": ("t", "pi"),
    "hk": ("knha", "pi"),
    "hts": ("z", "riley"),
    "hk-pr": ("knha", "riley"),
}


def _new_study(dataset: str) -> list[tuple[Any, ...]]:
    rows = []
    for row in _rows("means", dataset):
        for kind, (test, column) in PREDICTIONS.items():
            if test != row.test or row.method == "CE":
                continue
            # The kind names everything that matters; the test of the fit must not.
            ours = fit(dataset, row.measure, 0, row.method, "adhoc").prediction_interval(kind)
            where = ("new study", dataset, row.measure, 0, row.method, kind)
            for quantity, value in zip(("lb", "ub"), ours, strict=True):
                theirs = getattr(row, f"{column}_{quantity}")
                rows.append((*where, quantity, value, theirs, row.se))
    return rows


def _intervals(dataset: str) -> list[tuple[Any, ...]]:
    rows = []
    for row in _rows("intervals", dataset):
        pooled = fit(dataset, row.measure, row.line, row.method, "z")
        ours = pooled.tau2_interval(row.kind, a=row.a)
        where = ("intervals", dataset, row.measure, row.line, row.method, row.kind)
        weights = "" if row.a == 0 else " typical a"
        for name in ("tau2", "i2", "h2"):
            for side, value in zip(("lb", "ub"), getattr(ours, name), strict=True):
                quantity = f"{name}_{side}"
                rows.append((*where, quantity + weights, value, getattr(row, quantity), 0.0))
        if row.kind == "q-profile":
            for name, limits in (
                ("tau2", pooled.tau2_ci),
                ("i2", pooled.i2_ci),
                ("h2", pooled.h2_ci),
            ):
                for side, value in zip(("lb", "ub"), limits, strict=True):
                    theirs = getattr(row, f"{name}_{side}")
                    rows.append((*where, f"{name}_{side} of the fit", value, theirs, 0.0))
    return rows


PARTS: dict[str, Callable[[str], list[tuple[Any, ...]]]] = {
    "effects": _effects,
    "tau2": _tau2,
    "means": _means,
    "batch": _batch,
    "new study": _new_study,
    "intervals": _intervals,
    "lines": _lines,
    "predictions": _predictions,
}


def covered(found: pd.DataFrame, exception: pd.Series) -> np.ndarray:
    """Tell which rows an exception speaks of; `*` stands for all, `;` separates several."""
    matches = np.full(len(found), True)
    for name in COLUMNS[:7]:
        if exception[name] != "*":
            matches &= found[name].astype(str).isin(exception[name].split(";")).to_numpy()
    return matches


#: What agreement.csv counts by: a column, and the parts it makes sense in.
VIEWS = {
    "part": ("part", tuple(PARTS)),
    "measure": ("measure", ("effects",)),
    "estimator": ("method", ("tau2",)),
    "test": ("test", ("means", "lines")),
    "interval": ("test", ("new study", "intervals")),
    "data set": ("dataset", tuple(PARTS)),
}


def summary() -> pd.DataFrame:
    """Return, from several views, how many numbers were compared in each decade of difference.

    Numbers that neither side defines are left out. The decade -17 holds all that are equal to the
    last digit; `exception` names the reason where the difference is one of exceptions.csv.
    """
    names = sorted(path.stem for path in (HERE / "data").glob("*.csv"))
    found = pd.concat([compare(part, name) for part in PARTS for name in names])
    found = found[found["theirs"].notna() | found["ours"].notna()].reset_index(drop=True)
    exception = np.full(len(found), "", dtype=object)
    for _, row in table("exceptions").iterrows():
        exception[covered(found, row.astype(str))] = row["reason"]
    size = np.clip(found["difference"].to_numpy(), 1e-17, 1)
    found = found.assign(exception=exception, decade=np.floor(np.log10(size)).astype(int))
    views = []
    for view, (column, parts) in VIEWS.items():
        rows = found[found["part"].isin(parts)].assign(view=view, name=found[column])
        groups = rows.groupby(["view", "name", "exception", "decade"])
        views.append(groups.agg(numbers=("ours", "size"), largest=("difference", "max")))
    return pd.concat(views).reset_index()


if __name__ == "__main__":
    summary().to_csv(HERE / "agreement.csv", index=False, float_format="%.3g")
