"""Borrowed SDs, assumed correlations, multiple imputation; and that no headline uses them."""

import ast
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import retroevidence
from retroevidence.effects.imputation.assumed import assume_r, borrow_sd
from retroevidence.effects.imputation.multiple import multiple_imputation
from retroevidence.effects.imputation.rubin import combine_draws
from retroevidence.effects.measures import effect_size
from retroevidence.errors import EffectError, UnknownNameError
from retroevidence.meta.pool import pool

ARMS = pd.DataFrame(
    {
        "study_id": ["a2001", "a2001", "b2002", "c2003", "d2004"],
        "outcome": ["vo2", "vo2", "vo2", "vo2", "pain"],
        "unit": ["ml", "ml", "ml", None, "ml"],
        "mean": [10.0, 20.0, 30.0, 5.0, 4.0],
        "sd": [1.0, 4.0, 9.0, 2.5, 2.0],
    }
)


def asked(**cells):
    row = {"study_id": "e2005", "outcome": "vo2", "unit": "ml", "mean": 50.0, "sd": np.nan}
    return pd.DataFrame([row | cells])


@pytest.mark.parametrize(("statistic", "cv"), [("median", 0.2), ("mean", 0.2), ("largest", 0.3)])
def test_borrowed_sd_is_the_donors_cv_times_the_mean(statistic, cv):
    got = borrow_sd(asked(), donors=ARMS, statistic=statistic).iloc[0]
    assert got["sd"] == pytest.approx(50 * cv)
    assert got["basis"] == "imputed"
    assert "a2001, b2002" in got["how"]
    assert "3 arms" in got["how"]
    logs = np.log([0.1, 0.2, 0.3])
    assert got["log_sd_se"] == pytest.approx(np.std(logs, ddof=1) * math.sqrt(4 / 3))


def test_printed_sds_stay_and_rows_without_donor_stay_empty():
    rows = pd.concat([asked(sd=7.0), asked(unit="L"), asked(unit=None), asked(mean=-1.0)])
    got = borrow_sd(rows, donors=ARMS)
    assert got["sd"].iloc[0] == 7.0
    assert got["sd"].iloc[1:].isna().all()
    assert got["basis"].isna().all()
    assert got["how"].iloc[1] == "no study with the same outcome, unit prints an SD to borrow"
    assert rows["sd"].iloc[1:].isna().all()  # the caller's frame is not touched


def test_one_donor_gives_an_sd_without_a_spread():
    got = borrow_sd(asked(outcome="pain"), donors=ARMS).iloc[0]
    assert got["sd"] == pytest.approx(25.0)
    assert math.isnan(got["log_sd_se"])
    assert "1 arm of d2004" in got["how"]


def test_borrowing_says_what_is_missing():
    with pytest.raises(EffectError, match="donors has no column sd"):
        borrow_sd(asked(), donors=ARMS.drop(columns="sd"))
    with pytest.raises(UnknownNameError, match="statistic"):
        borrow_sd(asked(), donors=ARMS, statistic="mode")
    with pytest.raises(TypeError):
        borrow_sd(asked())  # donors are never assumed


def test_assumed_r_is_the_paired_effect_at_that_r():
    pairs = pd.DataFrame({"m1": [12.0], "sd1": [3.0], "m2": [10.0], "sd2": [2.0], "n": [15]})
    for r in (0.3, 0.9):
        got = assume_r(pairs, r=r).iloc[0]
        yi, vi = effect_size("ROMC", m1=12.0, sd1=3.0, m2=10.0, sd2=2.0, n=15, r=r)
        assert (got["yi"], got["vi"]) == (pytest.approx(yi), pytest.approx(vi))
        assert got["basis"] == "imputed"
        assert f"{r:g}" in got["how"]
    assert assume_r(pairs, r=0.3)["vi"][0] > assume_r(pairs, r=0.9)["vi"][0]
    assert assume_r(pairs, r=0.5, measure="MC")["yi"][0] == 2.0


def test_assumed_r_must_be_named_and_possible():
    pairs = pd.DataFrame({"m1": [12.0], "sd1": [3.0], "m2": [10.0], "sd2": [2.0], "n": [15]})
    with pytest.raises(TypeError):
        assume_r(pairs)
    with pytest.raises(EffectError, match="between -1 and 1"):
        assume_r(pairs, r=1.0)
    with pytest.raises(EffectError, match="takes no correlation"):
        assume_r(pairs, r=0.5, measure="SMD")
    with pytest.raises(UnknownNameError):
        assume_r(pairs, r=0.5, measure="XX")


def test_rubins_rules_by_hand():
    """W = 1, B = 1, m = 3: T = 1 + 4/3; df of Barnard & Rubin (1999) for 20 complete ones."""
    got = combine_draws([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], 20.0)
    total = 1 + 4 / 3
    share = (4 / 3) / total
    observed = 21 / 23 * 20 * (1 - share)
    df = 1 / (share**2 / 2 + 1 / observed)
    assert (got.estimate, got.within, got.between) == (2.0, 1.0, 1.0)
    assert got.se == pytest.approx(math.sqrt(total))
    assert got.df == pytest.approx(df)
    assert got.ci_high == pytest.approx(2 + stats.t.ppf(0.975, df) * math.sqrt(total))
    assert got.p_value == pytest.approx(2 * stats.t.sf(2 / math.sqrt(total), df))


def test_rubins_rules_at_their_limits():
    same = combine_draws([0.5, 0.5], [0.1, 0.1], math.inf)
    assert (same.se, same.df, same.missing_information) == (pytest.approx(0.1), math.inf, 0.0)
    assert same.ci_high == pytest.approx(0.5 + stats.norm.ppf(0.975) * 0.1)
    # With infinite complete df only Rubin's own remain: (m - 1) / share².
    wide = combine_draws([0.4, 0.6, 0.5], [0.1] * 3, math.inf)
    share = (4 / 3 * 0.01) / (0.01 + 4 / 3 * 0.01)
    assert wide.df == pytest.approx(2 / share**2)


def rows_with_interval(lower, upper):
    return pd.DataFrame(
        {
            "yi": [0.5, 0.7, 0.4, 0.6, 0.55, np.nan],
            "vi": [0.05] * 6,
            "lower": [np.nan] * 5 + [lower],
            "upper": [np.nan] * 5 + [upper],
            "basis": ["reported"] * 5 + ["bounded"],
        }
    )


def test_imputed_values_stay_in_their_interval_and_say_so():
    seen = []

    def analyse(frame):
        seen.append(frame)
        return pool(frame)

    got = multiple_imputation(rows_with_interval(-0.3, 0.3), draws=20, seed=1, analyse=analyse)
    values = np.array([frame["yi"].iloc[5] for frame in seen])
    assert len(values) == 20
    assert ((values > -0.3) & (values < 0.3)).all()
    assert len(set(values)) == 20
    assert {frame["basis"].iloc[5] for frame in seen} == {"imputed"}
    assert got.notes == ("1 row drawn within the interval that the report allows.",)
    assert "Multiple imputation, 20 completed sets" in repr(got)
    assert "Multiple imputation" in got._repr_html_()


def test_same_seed_same_result_other_seed_another():
    run = [
        multiple_imputation(rows_with_interval(0.0, np.inf), draws=10, seed=s, analyse=pool)
        for s in (4, 4, 5)
    ]
    assert run[0].estimate == run[1].estimate != run[2].estimate


def test_a_narrow_interval_is_as_good_as_the_value():
    got = multiple_imputation(rows_with_interval(0.4999, 0.5001), draws=10, seed=1, analyse=pool)
    exact = rows_with_interval(0, 1).assign(yi=[0.5, 0.7, 0.4, 0.6, 0.55, 0.5])
    assert got.estimate == pytest.approx(pool(exact).estimate, abs=1e-4)
    assert got.between < 1e-8


def test_an_interval_that_says_nothing_leaves_the_estimate_of_the_rest():
    """Drawn from the others' own distribution, an open row must add no bias and no precision."""
    rows = rows_with_interval(-50.0, np.inf)
    got = multiple_imputation(rows, draws=400, seed=2, analyse=lambda f: pool(f, test="z"))
    rest = pool(rows.iloc[:5], test="z")
    # 400 draws leave a standard error of about 0.006 on the estimate.
    assert got.estimate == pytest.approx(rest.estimate, abs=0.03)
    assert got.se > 0.95 * rest.se


def test_far_tails_do_not_break_the_draw():
    got = multiple_imputation(rows_with_interval(30.0, 40.0), draws=5, seed=1, analyse=pool)
    assert math.isfinite(got.estimate)


def test_a_borrowed_sd_widens_the_answer():
    rows = pd.DataFrame(
        {
            "yi": [0.5, 0.7, 0.4, 0.6],
            "vi": [0.05] * 4,
            "measure": "SMD",
            "n_experimental": 40.0,
            "n_comparator": 40.0,
            "log_sd_se": [np.nan, np.nan, np.nan, 0.5],
        }
    )
    got = multiple_imputation(rows, draws=30, seed=1, analyse=pool)
    assert got.between > 0
    assert "spread of the borrowed SD" in got.notes[0]
    with pytest.raises(EffectError, match="how an SD enters"):
        multiple_imputation(rows.assign(measure="OR"), draws=5, seed=1, analyse=pool)


def test_imputation_refuses_what_it_cannot_do():
    rows = rows_with_interval(0.0, 1.0)
    with pytest.raises(EffectError, match="nothing to draw"):
        multiple_imputation(rows.iloc[:5], draws=5, seed=1, analyse=pool)
    with pytest.raises(EffectError, match="too few"):
        multiple_imputation(rows.iloc[4:], draws=5, seed=1, analyse=pool)
    with pytest.raises(EffectError, match="at least two"):
        multiple_imputation(rows, draws=1, seed=1, analyse=pool)
    with pytest.raises(TypeError):
        multiple_imputation(rows, draws=5, analyse=pool)  # a seed is never assumed


def test_no_headline_can_reach_an_assumption():
    """Nothing that `check` imports, however deep and however late, makes an assumption."""
    root = Path(retroevidence.__file__).parent
    reached, waiting = set(), ["retroevidence.claims.check"]
    while waiting:
        module = waiting.pop()
        path = root.joinpath(*module.split(".")[1:]).with_suffix(".py")
        if module in reached or not path.is_file():
            continue
        reached.add(module)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
            elif isinstance(node, ast.Import):
                waiting += [name.name for name in node.names]
    assert "retroevidence.effects.assemble" in reached
    assert "retroevidence.meta.pool" in reached
    assert not [name for name in reached if "effects.imputation" in name]
