"""Regressions with a shared design give what `pool` gives for each group, the hard cases included.

Everything agrees to 1e-10 of what it is measured in. Two things can ask for more room, and get
exactly that:

- The condition number kappa of the problem. Effects and moderators are known to eps of themselves,
  so that columns of condition number kappa, or effects kappa standard errors away from 0, leave
  eps * kappa of an answer; 4 of these where that is more than 1e-10. `ILL` names these cases.
- A tail probability f multiplies a relative error of x by ``|x f'(x) / f(x)|``, which is about x²
  for a normal tail.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta import many_regressions
from retroevidence.meta.interval import TESTS
from retroevidence.meta.many import pool_many
from retroevidence.meta.many_regressions import regress_groups
from retroevidence.meta.pool import pool
from retroevidence.meta.tau2 import BY_Q, METHODS, target_of_q, typical_variance

EPS = float(np.finfo(float).eps)
ILL = {"twins 1e-6", "twins 1e-8", "twins 1e-6, every scale"}


def hard():
    """Return effects, variances and moderators by name; one seed."""
    rng = np.random.default_rng(7)
    k = 12
    dose, vi = rng.uniform(0, 3, k), rng.chisquare(3, k) / 20
    year = rng.integers(1980, 2025, k).astype(float)
    arm = rng.permutation(np.resize([0.0, 1.0], k))
    # Effects 3 and 5 are of the same studies' kind.
    same, even = np.where(np.isin(np.arange(k), [3, 5]), 1.0, dose), np.resize([0.0, 1.0], k)
    one = (np.arange(k) == 4).astype(float)
    yi = rng.normal(0.3 + 0.2 * dose, np.sqrt(vi + 0.1))
    trend = rng.normal(0.01 * (year - 2000), np.sqrt(vi + 0.05))
    wide = 10.0 ** np.linspace(-6, 6, k)
    some = rng.normal(0.2 * dose, np.sqrt(wide + 1e-3))

    def heavy(size, *which):
        out = vi.copy()
        out[list(which)] = size
        return out

    def twin(size):
        return dose + size * rng.normal(0, 1, k)

    ruled = 1e-6 / np.delete(1 / vi, 3).sum()
    cases = {
        "ordinary": (yi, vi, dose, arm),
        "in thousandths": (yi * 1e-3, vi * 1e-6, dose),
        "in millions": (yi * 1e6, vi * 1e12, dose),
        "99.9999 % of the weight": (yi, heavy(ruled, 3), dose),
        "all of the weight": (yi, heavy(1e-12, 3), dose),
        "two rule": (yi, heavy(1e-12, 3, 5), dose),
        "two rule and disagree": (yi, heavy(1e-12, 3, 5), same, even),
        "three rule": (yi, heavy(1e-12, 3, 5, 7), dose),
        "every scale": (rng.normal(0.2 * dose, np.sqrt(wide)), wide, dose),
        "every scale, mixed": (rng.normal(0, np.sqrt(wide + 1)), rng.permutation(wide), dose, arm),
        "every scale, small tau²": (some, wide, dose),
        "five scales": (yi, 10.0 ** rng.uniform(-3, 2, k), dose),
        "years": (trend, vi, year),
        "years and their square": (trend, vi, year, (year - 2000) ** 2),
        "years, one rules": (trend, heavy(1e-8, 2), year),
        "years, every scale": (trend, wide, year),
        "twins 1e-3": (yi, vi, dose, twin(1e-3)),
        "twins 1e-6": (yi, vi, dose, twin(1e-6)),
        "twins 1e-8": (yi, vi, dose, twin(1e-8)),
        "twins 1e-6, every scale": (some, wide, dose, twin(1e-6)),
        "k = p + 1": (yi[:3], vi[:3], dose[:3]),
        "k = p + 1, three columns": (yi[:4], vi[:4], dose[:4], np.array([0.0, 1, 1, 0])),
        "k = p + 1, every scale": (yi[:3], np.array([1e-8, 1, 1e4]), dose[:3]),
        "alone in its level": (yi, vi, one, dose),
        "alone in its level, and rules": (yi, heavy(1e-9, 4), one, dose),
        "no tau²": (0.3 + 0.2 * dose + rng.normal(0, 0.1, k) * np.sqrt(vi), vi, dose),
        "tau² near 0": (rng.normal(0, 1.02, k) * np.sqrt(vi), vi, dose),
        "on a line": (0.3 + 0.2 * dose, vi, dose),
        "on a line of years": (0.3 + 0.01 * (year - 2000), vi, year),
        "all the same": (np.full(k, 0.3), vi, dose),
        "equal variances": (yi, np.full(k, 0.1), dose),
        "far from zero": (1e6 + yi, vi, dose),
        "huge spread": (rng.normal(0, 1e5, k), vi / 10, dose),
        "a study without information": (yi, heavy(1e12, 0), dose),
    }
    large = rng.uniform(0, 3, 200), rng.chisquare(3, 200) / 20
    cases["hundreds"] = (rng.normal(0.2 * large[0], np.sqrt(large[1] + 0.05)), large[1], large[0])
    return cases


HARD = hard()


def design(case):
    """Return the intercept beside the moderators."""
    y, _, *columns = HARD[case]
    return np.column_stack([np.ones(len(y)), *columns])


def regressed(cases, method, test):
    """Regress cases with the same number of columns in one call; one row each."""
    x = np.concatenate([design(case) for case in cases])
    y, v = (np.concatenate([HARD[case][part] for case in cases]) for part in (0, 1))
    offsets = np.cumsum([0, *(len(HARD[case][0]) for case in cases)])
    names = ("intercept", "a", "b")[: x.shape[1]]
    found, why_not = regress_groups(y, v, x, names, offsets, method, test, 0.95)
    assert (why_not == "").all()
    return found.set_index(pd.Index(cases))


def room(case):
    """Return the relative error that the condition of a case allows."""
    x = design(case)
    return max(1e-10, 4 * EPS * np.linalg.cond(x / np.abs(x).max(axis=0)))


def amplified(tail, x):
    """Return by how much a tail probability multiplies an error of x, relative where x is above 1.

    It is ``|x f'(x) / f(x)|`` there.
    """
    if tail.sf(x) == 0:
        return 1.0
    return 1 + max(x, 1.0) * tail.pdf(x) / tail.sf(x)


def compare(row, wanted, room, m, test):
    """Compare every number of a regression; `wanted` names them as the columns of `row`."""
    df = row["df"]
    tail = stats.norm if test == "z" else stats.t(df)
    joint = stats.chi2(m) if test == "z" else stats.f(m, df)
    for name in ("intercept", "a", "b")[: m + 1]:
        se, estimate = wanted[f"se_{name}"], wanted[f"estimate_{name}"]
        assert row[f"se_{name}"] == pytest.approx(se, rel=room)
        for kind in ("estimate", "ci_low", "ci_high"):
            value = wanted[f"{kind}_{name}"]
            assert row[f"{kind}_{name}"] == pytest.approx(value, rel=room, abs=room * se), kind
        # The estimate and its error are each known to the room.
        rel = 2 * room * amplified(tail, abs(estimate / se))
        assert row[f"p_value_{name}"] == pytest.approx(wanted[f"p_value_{name}"], rel=rel)
    typical = wanted["typical"]
    assert row["tau2"] == pytest.approx(wanted["tau2"], rel=room, abs=room * typical)
    assert row["i2"] == pytest.approx(wanted["i2"], rel=room, abs=100 * room)
    # 1 is the natural scale of sums of squares in standard errors.
    for name in ("h2", "q"):
        assert row[name] == pytest.approx(wanted[name], rel=room, abs=room), name
    rel = room * amplified(stats.chi2(wanted["residual_df"]), wanted["q"])
    assert row["q_p_value"] == pytest.approx(wanted["q_p_value"], rel=rel)
    # A square has twice the relative error.
    assert row["qm"] == pytest.approx(wanted["qm"], rel=2 * room, abs=room)
    rel = 2 * room * amplified(joint, wanted["qm"])
    assert row["qm_p_value"] == pytest.approx(wanted["qm_p_value"], rel=rel)


def alone(case, method, test):
    """Return what `pool` finds."""
    y, v, *columns = HARD[case]
    pooled = pool(yi=y, vi=v, mods=np.column_stack(columns), method=method, test=test)
    out = {f"{kind}": getattr(pooled, kind) for kind in ("tau2", "i2", "h2", "q", "q_p_value")}
    out |= {"qm": pooled.qm, "qm_p_value": pooled.qm_p_value, "df": pooled.df}
    out |= {"residual_df": pooled.q_df, "typical": typical_variance(v, design(case))}
    names = ("intercept", "a", "b")
    for name, term in zip(names, pooled.coefficients.to_dict("records"), strict=False):
        out |= {f"{kind}_{name}": value for kind, value in term.items() if kind != "term"}
    return out


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("method", METHODS)
def test_hard_groups_are_regressed_as_by_pool(method, test):
    for m in (1, 2):
        cases = [case for case in HARD if len(HARD[case]) == m + 2]
        found = regressed(cases, method, test)
        for case in cases:
            wanted = alone(case, method, test)
            assert found.loc[case, "df"] == wanted["df"]
            compare(found.loc[case], wanted, room(case), m, test)


def test_few_cases_are_ill_conditioned():
    assert {case for case in HARD if room(case) > 1e-10} == ILL


@pytest.fixture(scope="module")
def judge():
    """The judge of the differential check: 80 digits, by plain sums and inverses."""
    folder = str(Path(__file__).with_name("differential"))
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("judge")
    finally:
        sys.path.remove(folder)


# Columns that are almost the same keep their `room`. Effects far from 0 need none here: it is
# `pool` that loses digits to them, in tau² and Q.
@pytest.mark.parametrize("case", [case for case in HARD if case != "hundreds"])
def test_hard_groups_have_the_numbers_of_exact_arithmetic(case, judge):
    y, v, *columns = HARD[case]
    x, m = design(case), len(columns)
    data = sys.modules["generate"].Set(case, y, v, x)
    exact = judge.Exact(data)
    for method, test in [*((method, "knha") for method in METHODS), ("REML", "z")]:
        row = regressed([case], method, test).iloc[0]
        # The one asked for is not defined for effects on a line.
        on_line = case in ("on a line", "on a line of years", "all the same") and test == "knha"
        numbers = judge.numbers(data, method, "adhoc" if on_line else test, row["tau2"])
        wanted = {name: numbers[name] for name in ("i2", "h2", "q", "qm")}
        wanted |= {"q_p_value": numbers["q_p"], "qm_p_value": numbers["qm_p"]}
        wanted |= {"residual_df": len(y) - x.shape[1], "typical": float(exact.typical())}
        wanted["tau2"] = float(root(exact, method, row["tau2"]))
        pairs = (("estimate", "b"), ("se", "se"), ("ci_low", "lb"), ("ci_high", "ub"))
        for j, name in enumerate(("intercept", "a", "b")[: m + 1]):
            for ours, theirs in (*pairs, ("p_value", "p")):
                wanted[f"{ours}_{name}"] = numbers[f"{theirs}{j}"]
        compare(row, wanted, room(case), m, test)


def root(exact, method, found):
    """Return the exact tau² next to the one found, by Newton's method with differences."""
    from decimal import Decimal, localcontext

    with localcontext() as context:
        context.prec = 80
        df, least = exact.k - exact.p, min(exact.v)
        if method in BY_Q:
            target = Decimal(float(target_of_q(df, method)))

            def function(t):
                return exact.q(t) - target

        elif method in ("ML", "REML"):

            def function(t):
                return exact.score(t, method == "REML")

        else:
            return Decimal(0) if method == "CE" else exact.closed_form(method)
        t = Decimal(found)
        for _ in range(4):
            value, width = function(t), (t + least) * Decimal("1e-30")
            if t == 0 and value <= 0:
                break
            t = max(Decimal(0), t - value * width / (function(t + width) - value))
        return t


def test_groups_beside_it_change_no_bit_of_a_group():
    rng = np.random.default_rng(5)
    sizes = [*rng.integers(4, 30, 150).tolist(), *[12] * 100, many_regressions.MANY + 1]
    offsets = np.cumsum([0, *sizes])
    n = offsets[-1]
    x = np.column_stack([np.ones(n), 2000 + rng.uniform(0, 3, n), rng.integers(0, 2, n)])
    v = np.repeat(10.0 ** rng.uniform(0, 10, len(sizes)), sizes) ** rng.uniform(0, 1, n)
    y = rng.normal(0, np.sqrt(v + 0.05))
    names = ("intercept", "a", "b")
    for method in ("DL", "HE", "REML", "PM", "PMM"):
        whole, _ = regress_groups(y, v, x, names, offsets, method, "knha", 0.95)
        for i in range(len(sizes)):
            part = slice(offsets[i], offsets[i + 1])
            lone, _ = regress_groups(
                y[part], v[part], x[part], names, np.array([0, sizes[i]]), method, "knha", 0.95
            )
            np.testing.assert_array_equal(whole.iloc[i], lone.iloc[0])


def test_a_group_that_cannot_be_solved_stops_no_other(monkeypatch):
    def no_answer(*_):
        # What numpy says of weights that leave 0 of a column; which ones do depends on LAPACK.
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(many_regressions, "estimate_tau2", no_answer)
    rng = np.random.default_rng(9)
    x = np.column_stack([np.ones(40), rng.uniform(0, 3, 40)])
    y, v = rng.normal(0, 1, 40), rng.uniform(0.1, 1, 40)
    # Such variances are not left to eigenvalues.
    v[8] = 1e-30
    offsets = np.arange(0, 41, 8)
    found, why_not = regress_groups(y, v, x, ("intercept", "a"), offsets, "REML", "z", 0.95)
    assert why_not.tolist() == ["", "variances too far apart", "", "", ""]
    assert found["estimate_a"].notna().tolist() == [True, False, True, True, True]


def library(groups: int = 25) -> pd.DataFrame:
    """Groups of 5 to 16 effects, on several scales, with a moderator; one far from balanced."""
    rng = np.random.default_rng(11)
    parts = []
    for n in range(groups):
        k = int(rng.integers(5, 17))
        scale = 10.0 ** rng.integers(-4, 5)
        vi = rng.chisquare(3, k) / 20 * (1e6 if n == 3 else 1.0) ** rng.uniform(0, 1, k)
        dose = rng.uniform(0, 3, k)
        yi = rng.normal(0.3 + 0.2 * dose, np.sqrt(vi + rng.choice([0.0, 0.1, 2.0]) ** 2))
        part = {"id": n, "yi": yi * scale, "vi": vi * scale**2, "dose": dose}
        parts.append(pd.DataFrame(part).assign(arm=rng.permutation(np.resize(["a", "b"], k))))
    return pd.concat(parts, ignore_index=True)


def test_a_table_of_many_scales_is_regressed_as_if_group_by_group():
    table = library()
    many = pool_many(table, mods="~ dose + arm").set_index("id")
    assert (many["reason"] == "").all()
    for name, group in table.groupby("id"):
        one, row = pool(group, mods="~ dose + arm"), many.loc[name]
        for _, term in one.coefficients.iterrows():
            for kind in ("estimate", "se", "ci_low", "ci_high"):
                assert row[f"{kind}_{term['term']}"] == pytest.approx(
                    term[kind], rel=1e-10, abs=1e-10 * term["se"]
                )
        assert (row["df"], row["k"]) == (one.df, one.k)


def test_reasons_and_gaps():
    table = pd.DataFrame(
        {
            "id": list("aaaabbcccc"),
            "yi": np.arange(10) / 7,
            "vi": 0.1,
            "dose": [1.0, 2, 4, np.nan, 1, 2, 3, 3, 3, 3],
        }
    )
    many = pool_many(table, mods="~ dose").set_index("id")
    assert many["k"].tolist() == [3, 2, 4]
    assert many["left_out"].tolist() == [1, 0, 0]
    assert many["reason"].tolist() == [
        "",
        "too few effects for 2 coefficients",
        "moderators that add nothing to each other",
    ]
    assert many["estimate_dose"].notna().tolist() == [True, False, False]


@pytest.mark.parametrize("mods", ["~ 0 + dose", "~ 0 + arm", "~ 0 + arm + dose"])
@pytest.mark.parametrize("method", ["CE", "DL", "REML", "PM"])
def test_designs_without_an_intercept(mods, method):
    table = library(8)
    many = pool_many(table, mods=mods, method=method).set_index("id")
    for name, group in table.groupby("id"):
        one, row = pool(group, mods=mods, method=method), many.loc[name]
        for _, term in one.coefficients.iterrows():
            for kind in ("estimate", "se"):
                assert row[f"{kind}_{term['term']}"] == pytest.approx(
                    term[kind], rel=1e-10, abs=1e-10 * term["se"]
                )
        assert row["tau2"] == pytest.approx(one.tau2, rel=1e-10, abs=1e-10 * one.se**2)
        assert (row["qm"], row["q"]) == pytest.approx((one.qm, one.q), rel=1e-10)


def test_an_infinite_moderator_is_none():
    table = library(4).assign(dose=lambda rows: rows["dose"].where(rows.index % 5 > 0, 0.0))
    with np.errstate(divide="ignore"):
        many = pool_many(table, mods="~ np.log(dose)")
    wanted = pool_many(table.assign(dose=table["dose"].replace(0.0, np.nan)), mods="~ np.log(dose)")
    pd.testing.assert_frame_equal(many, wanted)


def test_columns_by_name_are_those_columns():
    table = library(4)
    one = pool_many(table, mods=["dose"])
    pd.testing.assert_frame_equal(one, pool_many(table, mods=table[["dose"]]))
    with pytest.raises(PoolError, match="no column weight"):
        pool_many(table, mods=["weight"])


def test_no_moderator_is_the_mean():
    table = library(4)
    one, other = pool_many(table, mods="~ 1"), pool_many(table)
    pd.testing.assert_frame_equal(one, other)


def test_wrong_questions():
    table = library(3)
    with pytest.raises(PoolError, match="uses weight"):
        pool_many(table, mods="~ weight")
    with pytest.raises(UnknownNameError, match="REMLL"):
        pool_many(table, method="REMLL", mods="~ dose")
    with pytest.raises(PoolError, match="level=95"):
        pool_many(table, level=95, mods="~ dose")
    with pytest.raises(PoolError, match="yi must be numbers"):
        pool_many(table.assign(yi="x"))
