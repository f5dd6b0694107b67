"""The golden grid: measures, methods, tests and intervals on published data (golden/grid/).

The comparison is one function per part, vectorised over a data set, so that a hundred thousand
numbers take seconds; a failure names the data set, measure, method, test, quantity and both values.
"""

from __future__ import annotations

import csv
import json
import math
import runpy
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retroevidence.effects.measures import MEASURES
from retroevidence.meta import prediction, tau2_intervals
from retroevidence.meta.interval import TESTS
from retroevidence.meta.tau2 import METHODS

GRID = Path(__file__).parent / "golden" / "grid"
COMPARE = runpy.run_path(str(GRID / "compare.py"))
compare, covered, table, model = (
    COMPARE[name] for name in ("compare", "covered", "table", "model")
)
TOLERANCE: float = COMPARE["TOLERANCE"]
PARTS = tuple(COMPARE["PARTS"])
DATASETS = sorted(path.stem for path in (GRID / "data").glob("*.csv"))

EXCEPTIONS = pd.read_csv(GRID / "exceptions.csv", dtype=str)
with (GRID / "reasons.csv").open(encoding="utf-8") as lines:
    REASONS = {row["reason"]: row["sentence"] for row in csv.DictReader(lines)}
WHERE = ["part", "dataset", "measure", "line", "method", "test", "quantity"]


@cache
def compared(part: str, dataset: str) -> pd.DataFrame:
    return compare(part, dataset)


def told(found: pd.DataFrame) -> str:
    return (
        found[[*WHERE[1:], "ours", "theirs", "difference"]]
        .head(20)
        .to_string(index=False, float_format="%.15g")
    )


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_number_agrees_or_is_a_named_exception(dataset: str, part: str) -> None:
    found = compared(part, dataset)
    apart = ~(found["difference"].to_numpy() <= TOLERANCE)
    excused = np.full(len(found), False)
    for _, exception in EXCEPTIONS[EXCEPTIONS["part"] == part].iterrows():
        matches = covered(found, exception)
        # Where neither side is defined there is nothing to excuse.
        needless = found[matches & ~apart & found["theirs"].notna()]
        assert needless.empty, f"no exception is needed ({exception['reason']}):\n{told(needless)}"
        for row in found[matches].itertuples():
            assert RULES[exception["reason"]](row), f"{exception['reason']} does not hold: {row}"
        excused |= matches
    unexplained = found[apart & ~excused]
    assert unexplained.empty, f"{len(unexplained)} numbers differ:\n{told(unexplained)}"


def test_every_exception_is_met_and_has_its_reason() -> None:
    assert set(EXCEPTIONS["reason"]) == set(REASONS) == set(RULES)
    for _, exception in EXCEPTIONS.iterrows():
        names = DATASETS if exception["dataset"] == "*" else exception["dataset"].split(";")
        met = sum(covered(compared(exception["part"], name), exception).sum() for name in names)
        assert met, f"nothing is left of this exception; delete it:\n{exception}"


# What must be true for a reason to hold -----------------------------------------------------------


def newer_variance(row: tuple) -> bool:
    formula = table("formulas")
    where = (formula["dataset"] == row.dataset) & (formula["measure"] == row.measure)
    expected = formula.loc[where & (formula["row"] == int(row.test.split()[1])), "vi"].item()
    same = math.isclose(row.ours, expected, rel_tol=TOLERANCE)
    return same or (math.isnan(row.ours) and math.isnan(expected))


def common_effect(row: tuple) -> bool:
    return row.method == "CE" and math.isnan(row.ours)


def nothing_to_explain(row: tuple) -> bool:
    yi, vi, _ = model(row.dataset, row.measure, 1)
    alone = COMPARE["pool"](yi=yi, vi=vi, method=row.method).tau2
    return alone == 0 and math.isnan(row.ours) and row.theirs in (0, 100)


def boundary(row: tuple) -> bool:
    """Zero must be at least as likely as where metafor stops; for PM, Q must be small enough."""
    yi, vi, mods = model(row.dataset, row.measure, row.line)
    x = np.ones((len(yi), 1)) if mods is None else np.column_stack([np.ones(len(yi)), mods])
    typical = 1 / float(np.mean(1 / vi))
    small = row.theirs < 1e-9 * (typical if row.quantity == "tau2" else 100)
    if row.method == "EB":
        return row.ours == 0 and small and weighted_squares(yi, vi, x, 0.0)[0] <= len(yi) - 2
    # The slope of the likelihood at 0 points below 0, so no value above can be higher nearby.
    return row.ours == 0 and small and slope(yi, vi, x, row.method == "REML") <= 0


def weighted_squares(
    yi: np.ndarray, vi: np.ndarray, x: np.ndarray, tau2: float
) -> tuple[float, np.ndarray, np.ndarray]:
    w = 1 / (vi + tau2)
    inverse = np.linalg.inv(x.T @ (w[:, None] * x))
    residual = yi - x @ (inverse @ (x.T @ (w * yi)))
    return float(np.sum(w * residual**2)), residual, inverse


def slope(yi: np.ndarray, vi: np.ndarray, x: np.ndarray, restricted: bool) -> float:
    w = 1 / vi
    _, residual, inverse = weighted_squares(yi, vi, x, 0.0)
    lost = w * np.sum((x @ inverse) * x, axis=1) if restricted else 0.0
    return float(np.sum((w * residual) ** 2 - w * (1 - lost)))


def exact_q(yi: np.ndarray, vi: np.ndarray, moderator: np.ndarray | None) -> Fraction:
    """Cochran's residual Q of a line (or a mean) without any rounding."""
    y, w = [Fraction(float(v)) for v in yi], [1 / Fraction(float(v)) for v in vi]
    total = sum(w)
    mean_y = sum(a * b for a, b in zip(w, y, strict=True)) / total
    squares = sum(a * (b - mean_y) ** 2 for a, b in zip(w, y, strict=True))
    if moderator is None:
        return squares
    x = [Fraction(float(v)) for v in moderator]
    mean_x = sum(a * b for a, b in zip(w, x, strict=True)) / total
    spread = sum(a * (b - mean_x) ** 2 for a, b in zip(w, x, strict=True))
    both = sum(a * (b - mean_x) * (c - mean_y) for a, b, c in zip(w, x, y, strict=True))
    return squares - both**2 / spread


def ill_conditioned(row: tuple) -> bool:
    """Exact arithmetic must side with ours: p of Q, or R² of the Hunter-Schmidt estimator."""
    from scipy.special import chdtrc

    yi, vi, mods = model(row.dataset, row.measure, 1)
    q = exact_q(yi, vi, mods[:, 0])
    if row.quantity == "q_p":
        exact = float(chdtrc(len(yi) - 2, float(q)))
    else:
        assert row.method == "HS"
        alone = exact_q(yi, vi, None) - len(yi)
        exact = 100 * float((alone - (q - len(yi))) / alone)
    return math.isclose(row.ours, exact, rel_tol=1e-11)


RULES = {
    "older-variance": newer_variance,
    "r2-common-effect": common_effect,
    "r2-nothing-to-explain": nothing_to_explain,
    "boundary": boundary,
    "ill-conditioned": ill_conditioned,
}


# Is the grid complete? ----------------------------------------------------------------------------


def test_there_are_enough_published_data_sets() -> None:
    assert len(DATASETS) >= 15
    assert set(table("tau2")["dataset"]) == set(DATASETS)
    with_moderator = {name for name in DATASETS if "moderator" in COMPARE["data"](name)}
    assert with_moderator == set(table("lines")["dataset"])


def test_every_measure_has_golden_effects_and_golden_models() -> None:
    # D2ORL is D2OR by its other name.
    wanted = set(MEASURES) - {name for name, twin in TWINS.items() if same_formula(name, twin)}
    valued = set(table("effects")["measure"]) | set(table("formulas")["measure"]) | {"GEN"}
    assert wanted <= valued, f"no golden effect of {sorted(wanted - valued)}"
    modelled = set(table("means")["measure"])
    assert wanted <= modelled, f"no golden model of {sorted(wanted - modelled)}"


TWINS = {"D2ORL": "D2OR", "OR2DL": "OR2D"}


def same_formula(name: str, twin: str) -> bool:
    return name in MEASURES and MEASURES[name].compute is MEASURES[twin].compute


def test_every_measure_meets_every_method_and_test() -> None:
    wanted = {(method, test) for method in METHODS for test in TESTS}
    for (dataset, measure), rows in table("means").groupby(["dataset", "measure"]):
        found = set(zip(rows["method"], rows["test"], strict=True))
        assert found == wanted, (dataset, measure, wanted ^ found)
    for (dataset, measure), rows in table("lines").groupby(["dataset", "measure"]):
        found = set(zip(rows["method"], rows["test"], strict=True))
        assert found == wanted, (dataset, measure, wanted ^ found)
    for (dataset, measure, line), rows in table("tau2").groupby(["dataset", "measure", "line"]):
        assert list(rows["method"]) == list(METHODS), (dataset, measure, line)


def test_every_measure_meets_every_interval() -> None:
    for (dataset, measure, line), rows in table("intervals").groupby(
        ["dataset", "measure", "line"]
    ):
        missing = set(tau2_intervals.KINDS) - set(rows["kind"])
        assert not missing, (dataset, measure, line, missing)
        profiles = rows.loc[rows["kind"] == "profile", "method"]
        assert set(profiles) == {"ML", "REML"}
        assert (rows.loc[rows["kind"] == "generalised-q", "a"] > 0).any()
    # The bootstrap interval is drawn at random and has its own tests; all others have numbers.
    assert set(prediction.KINDS) - {"bootstrap"} == set(COMPARE["PREDICTIONS"])
    for test, column in COMPARE["PREDICTIONS"].values():
        rows = table("means")
        rows = rows[(rows["test"] == test) & (rows["method"] != "CE")]
        assert rows[f"{column}_lb"].notna().all()


def pairs(rows: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(rows["dataset"], rows["measure"], strict=True))


def test_no_part_of_a_model_is_missing() -> None:
    """What one table has of a data set and a measure, all tables have."""
    for line, name in enumerate(("means", "lines")):
        wanted = pairs(table(name))
        for other in (table("tau2"), table("intervals")):
            assert pairs(other[other["line"] == line]) == wanted, name
    with_moderator = set(table("lines")["dataset"])
    assert {pair for pair in pairs(table("means")) if pair[0] in with_moderator} == pairs(
        table("lines")
    )
    assert pairs(table("predictions")) == pairs(table("lines"))
    for pair, rows in table("predictions").groupby(["dataset", "measure"]):
        # A new study at the lowest and at the highest moderator.
        places = sorted(rows["at"].unique())
        moderator = COMPARE["data"](pair[0])["moderator"]
        assert places == pytest.approx([moderator.min(), moderator.max()], abs=5e-3), pair
        assert sorted(zip(rows["test"], rows["at"], strict=True)) == sorted(
            (test, place) for test in TESTS for place in places
        ), pair
    for model, rows in table("intervals").groupby(["dataset", "measure", "line"]):
        # Profiles of both likelihoods; the generalised Q with weights at tau² = 0 and at a larger.
        assert sorted(rows["kind"]) == sorted([*tau2_intervals.KINDS, "generalised-q", "profile"])
        assert (rows.loc[rows["kind"] == "generalised-q", "a"] == 0).sum() == 1, model


def test_every_study_has_its_golden_effect() -> None:
    effects = pd.concat([table("effects"), table("formulas")])
    assert pairs(table("means")) <= pairs(effects)
    for (dataset, measure), rows in effects.groupby(["dataset", "measure"]):
        # A measure may be in both tables: metafor's and by the paper's formula.
        found = rows["row"].value_counts()
        assert set(found.index) == set(range(1, len(COMPARE["data"](dataset)) + 1)), measure
        assert found.min() == found.max(), (dataset, measure)


def test_no_golden_number_is_missing() -> None:
    """metafor fitted everything: no hole that a NaN on both sides would hide."""
    undefined = {"tau2": ["se", "r2"], "means": [], "lines": [], "intervals": []}
    for name, loose in undefined.items():
        rows = table(name)
        if name == "means":
            rows = rows[rows["method"] != "CE"]
        holes = rows.drop(columns=loose).isna().sum()
        assert not holes.any(), (name, holes[holes > 0].to_dict())
    tau2 = table("tau2").query("method != 'CE'")
    assert tau2["se"].notna().all()
    assert tau2.loc[tau2["line"] == 1, "r2"].notna().all()


# What the notebook shows --------------------------------------------------------------------------


def test_the_counts_of_the_notebook_are_those_of_this_grid() -> None:
    shown = table("agreement").query("view == 'part'").groupby("name")["numbers"].sum()
    for part in PARTS:
        found = [compared(part, dataset)[["ours", "theirs"]] for dataset in DATASETS]
        defined = sum(int(frame.notna().any(axis=1).sum()) for frame in found)
        assert shown[part] == defined, f"{part}: run make golden"


def test_the_differential_check_ran_in_full_and_left_nothing_unexplained() -> None:
    path = GRID.parents[1] / "differential" / "result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["sets"] == 10_000
    assert result["fits"] == 10_000 * len(METHODS)
    assert result["unexplained"] == []
    # Its classes are the ones README.md explains, with these counts.
    readme = (GRID.parent / "README.md").read_text(encoding="utf-8")
    for name, count in result["classes"].items():
        assert f"| {name} | {count:,} |" in readme, name
