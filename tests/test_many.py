"""Many groups at once give what `pool` gives for each, and a broken group stops no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.interval import TESTS
from retroevidence.meta.many import pool_many
from retroevidence.meta.pool import pool
from retroevidence.meta.tau2 import METHODS


def library(groups: int = 60) -> pd.DataFrame:
    """Groups of 1 to 40 effects on scales from 1e-6 to 1e6, some without spread, shuffled."""
    rng = np.random.default_rng(6)
    parts = []
    for n in range(groups):
        k = int(rng.integers(1, 41)) if n % 7 else 2
        scale = 10.0 ** rng.integers(-6, 7)
        vi = rng.chisquare(3, k) / 20
        tau = rng.choice([0.0, 0.1, 2.0])
        yi = np.full(k, 0.3) if n % 11 == 0 else rng.normal(0.3, np.sqrt(vi + tau**2))
        parts.append(pd.DataFrame({"id": f"g{n}", "yi": yi * scale, "vi": vi * scale**2}))
    return pd.concat(parts).sample(frac=1, random_state=1)


NAMES = {"ci_low": "ci.low", "ci_high": "ci.high", "pi_low": "prediction.low"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("test", TESTS)
def test_every_group_is_pooled_as_if_alone(method, test):
    table = library()
    many = pool_many(table, method=method, test=test).set_index("id")
    assert (many["reason"] == "").all()
    for name, group in table.groupby("id"):
        alone = pool(group[["yi", "vi"]], method=method, test=test)
        row = many.loc[name]
        # Both refine tau² to the last digits; 1e-10 leaves room for the order of sums.
        size = alone.se
        for ours, theirs in (
            (row["estimate"], alone.estimate),
            (row["se"], alone.se),
            (row["ci_low"], alone.ci.low),
            (row["ci_high"], alone.ci.high),
            (row["pi_low"], alone.prediction.low),
            (row["pi_high"], alone.prediction.high),
        ):
            assert ours == pytest.approx(theirs, rel=1e-10, abs=1e-10 * size, nan_ok=True)
        assert row["tau2"] == pytest.approx(alone.tau2, rel=1e-10, abs=1e-10 * size**2, nan_ok=True)
        assert (row["k"], row["df"]) == (alone.k, alone.df)
        # 100 and 1 are the natural scales: a percentage, and sums of squares in standard errors.
        for kind, scale in (("i2", 100), ("h2", 1), ("q", 1)):
            wanted = getattr(alone, kind)
            assert row[kind] == pytest.approx(wanted, rel=1e-10, abs=1e-10 * scale, nan_ok=True)
        # A tail f multiplies an error of x by |x f'(x)/f(x)|: at most 1 + x² for normal tails and
        # df for those of t, and at most max(1, x) for those of chi-squared.
        grown = 1 + alone.statistic**2 if np.isinf(alone.df) else max(1.0, alone.df)
        assert row["p_value"] == pytest.approx(alone.p_value, rel=2e-10 * grown, abs=1e-300)
        grown = max(1.0, np.nan_to_num(alone.q))
        assert row["q_p_value"] == pytest.approx(
            alone.q_p_value, rel=1e-10 * grown, abs=1e-300, nan_ok=True
        )


def test_a_group_that_cannot_be_pooled_gets_its_reason():
    table = pd.DataFrame(
        {
            "id": ["ok", "zero", "gone", "ok", "far", None, "part"],
            "yi": [0.1, 0.2, np.nan, 0.4, np.inf, 9.0, 0.5],
            "vi": [0.1, 0.0, 0.1, 0.2, 0.1, 0.1, 0.2],
        }
    )
    table = pd.concat([table, pd.DataFrame({"id": ["part"], "yi": [1.0], "vi": [np.inf]})])
    many = pool_many(table).set_index("id")
    assert list(many.index) == ["ok", "zero", "gone", "far", "part"]
    assert many["reason"].to_dict() == {
        "ok": "",
        "zero": "vi must be above 0",
        "gone": "no effect with a variance",
        "far": "yi is infinite",
        "part": "",
    }
    assert many["estimate"].notna().to_dict() == {
        "ok": True,
        "zero": False,
        "gone": False,
        "far": False,
        "part": True,
    }
    assert many["left_out"].tolist() == [0, 0, 1, 0, 1]


def test_groups_by_several_columns_keep_their_order_and_types():
    table = pd.DataFrame({"a": [2, 1, 2, 1], "b": list("xyxx"), "yi": [1.0, 2, 3, 4], "vi": 1.0})
    many = pool_many(table, by=["a", "b"])
    assert many[["a", "b", "k"]].to_numpy().tolist() == [[2, "x", 2], [1, "y", 1], [1, "x", 1]]


def test_an_empty_table_gives_an_empty_table():
    many = pool_many(pd.DataFrame({"id": [], "yi": [], "vi": []}))
    assert len(many) == 0
    assert {"estimate", "pi_high", "reason"} <= set(many.columns)


def test_wrong_questions():
    table = pd.DataFrame({"id": [1], "yi": [1.0], "vi": [1.0]})
    with pytest.raises(PoolError, match="no column group"):
        pool_many(table, by="group")
    with pytest.raises(UnknownNameError, match="REMLL"):
        pool_many(table, method="REMLL")


#: One group each: what `pool` refuses, and the sizes it just takes.
EXTREMES = {
    "large effect": ([1e41, 0.2], [0.1, 0.1]),
    "small variance": ([0.1, 0.2], [1e-61, 0.1]),
    "tiny variance": ([0.1, 0.2], [5e-324, 0.1]),
    "large variance": ([0.1, 0.2], [1e61, 0.1]),
    "alone": ([0.1], [1e-200]),
    "infinite effect": ([np.inf, 0.2], [0.1, 0.1]),
    "infinite effect without a variance": ([-np.inf, 0.2, 0.1], [np.nan, 0.1, 0.1]),
    "negative infinity": ([0.1, 0.2, 0.1], [-np.inf, 0.1, 0.1]),
    "infinite and negative": ([np.inf, 0.2], [0.1, -0.1]),
    "negative without an effect": ([np.nan, 0.2, 0.1], [-1, 0.1, 0.1]),
    "nothing": ([np.nan, 0.2], [0.1, np.inf]),
    "just within": ([1e40, -1e40, 1.0], [1e-60, 1e60, 1.0]),
}


@pytest.mark.parametrize("mods", [None, "~ dose"])
@pytest.mark.parametrize("method", METHODS)
def test_sizes_that_pool_refuses_are_refused_group_by_group(method, mods):
    parts = [pd.DataFrame({"id": n, "yi": y, "vi": v}) for n, (y, v) in EXTREMES.items()]
    plain = pd.DataFrame({"id": "plain", "yi": [0.1, 0.5, 0.3, 0.7], "vi": 0.1})
    table = pd.concat([*parts, plain], ignore_index=True)
    # The first row has no moderator, which mends no mistake in it.
    table["dose"] = np.where(table.index == 0, np.nan, np.arange(len(table)) % 3)
    many = pool_many(table, method=method, mods=mods).set_index("id")
    for name, group in table.groupby("id", sort=False):
        reason = many.loc[name, "reason"]
        columns = group[["yi", "vi", "dose"]].reset_index(drop=True)
        if reason == "":
            alone = pool(columns, method=method, mods=mods)
            estimate = many.loc[name, "estimate" if mods is None else "estimate_intercept"]
            # What is far from 0 cancels; a mean is known on the scale of its standard error.
            assert estimate == pytest.approx(alone.estimate, rel=1e-9, abs=1e-10 * alone.se)
            continue
        with pytest.raises(PoolError) as refused:
            pool(columns, method=method, mods=mods)
        for words in ("yi is infinite", "vi must be above 0", "yi beyond 1e+40 or vi outside"):
            assert (words in reason) == (words in str(refused.value)), name
        assert many.loc[name].filter(regex="estimate|^se|ci_").isna().all()
    assert many.loc["plain", "reason"] == ""


def test_columns_by_that_cannot_be():
    table = pd.DataFrame({"id": [1, 1], "yi": [1.0, 2.0], "vi": 1.0, "k": "a", "reason": "b"})
    for by, message in (
        (None, "no column None"),
        (3, "no column 3"),
        ([], "one column or several different ones"),
        (["id", "id"], "one column or several different ones"),
        ([["id"]], "takes names of columns"),
        (table["id"], "one column or several different ones"),
        (["id", "k"], "its own column k; rename"),
        ("reason", "its own column reason; rename"),
    ):
        with pytest.raises(PoolError, match=message):
            pool_many(table, by=by)
    for name in ("id", "yi"):
        twice = pd.concat([table[["id", "yi", "vi"]], table[[name]]], axis=1)
        with pytest.raises(PoolError, match=f"several columns are called {name}; keep one"):
            pool_many(twice)


def test_complex_numbers_are_none():
    table = pd.DataFrame({"id": [1, 1], "yi": [1.0, 2.0], "vi": [1.0, 1.0], "x": [1.0, 2.0]})
    for name in ("yi", "vi"):
        with pytest.raises(PoolError, match=f"{name} must be numbers \\(some are complex"):
            pool_many(table.assign(**{name: table[name] + 1j}))
    with pytest.raises(PoolError, match="some are complex"):
        pool_many(table.assign(x=1j), mods=["x"])


TEN_MILLION = """
import numpy as np, pandas as pd
from retroevidence.meta.many import pool_many
random = np.random.default_rng(1)
n = 10_000_000
ids = random.permutation(n) // 15
frame = pd.DataFrame({"id": ids, "yi": random.normal(size=n), "vi": random.uniform(0.01, 1, n)})
found = pool_many(frame)
print(len(found), found["k"].sum(), found["estimate"].notna().sum())
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own count")
def test_ten_million_effects_in_any_order_need_less_than_two_gibibytes():
    run = subprocess.run(
        [sys.executable, "-c", TEN_MILLION], capture_output=True, text=True, timeout=120, check=True
    )
    groups, effects, pooled, peak = map(int, run.stdout.split())
    assert groups == pooled == 666_667
    assert effects == 10_000_000
    # Making the table takes half of it.
    assert peak * 1024 < 2 * 2**30
