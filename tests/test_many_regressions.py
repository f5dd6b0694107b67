"""Regressions with a shared design give what `pool` gives for each group."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.interval import TESTS
from retroevidence.meta.many import pool_many
from retroevidence.meta.pool import pool
from retroevidence.meta.tau2 import METHODS


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


# Every method once, every test once.
CASES = [*((m, "knha") for m in METHODS), *(("REML", t) for t in TESTS)]


@pytest.mark.parametrize(("method", "test"), CASES)
def test_every_group_is_regressed_as_if_alone(method, test):
    table = library()
    many = pool_many(table, method=method, test=test, mods="~ dose + arm").set_index("id")
    assert (many["reason"] == "").all()
    for name, group in table.groupby("id"):
        alone, row = pool(group, method=method, test=test, mods="~ dose + arm"), many.loc[name]
        for _, term in alone.coefficients.iterrows():
            for kind in ("estimate", "se", "ci_low", "ci_high"):
                wanted = term[kind]
                # tau² is a root of the same equation in other coordinates: 1e-10 is left of it.
                assert row[f"{kind}_{term['term']}"] == pytest.approx(
                    wanted, rel=1e-9, abs=1e-9 * term["se"]
                )
            assert row[f"p_value_{term['term']}"] == pytest.approx(term["p_value"], rel=1e-7)
        assert row["tau2"] == pytest.approx(alone.tau2, rel=1e-8, abs=1e-11 * alone.se**2)
        for ours, theirs in (("i2", "i2"), ("q", "q"), ("qm", "qm"), ("qm_p_value", "qm_p_value")):
            assert row[ours] == pytest.approx(getattr(alone, theirs), rel=1e-7, abs=1e-9)
        assert (row["df"], row["k"]) == (alone.df, alone.k)


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
