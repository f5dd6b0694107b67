"""Every analysis of a claim: that each is what `pool` would give, and that they are counted."""

import math

import numpy as np
import pandas as pd
import pytest

from retroevidence.claims.candidates import ROWS, candidates
from retroevidence.claims.check import check
from retroevidence.claims.evidence import claim_row
from retroevidence.claims.multiverse import multiverse
from retroevidence.errors import RetroEvidenceError, UnknownNameError
from retroevidence.loaders.tables import load
from retroevidence.meta.pool import pool

CLAIMS = load("claims")
POOLABLE = list(CLAIMS.loc[CLAIMS["kind"].isin(["effect", "range"]), "claim_id"])


@pytest.fixture(scope="module")
def pain():
    return multiverse("knee_pain")


@pytest.mark.parametrize("claim_id", POOLABLE)
def test_the_headline_is_the_pooled_result_of_check(claim_id):
    found, checked = multiverse(claim_id), check(claim_id)
    pooled = checked.pooled
    if pooled is None or pooled.k < 2:
        assert found.headline is None
        return
    row = found.table.loc[found.headline]
    assert row["estimate"] == pytest.approx(pooled.estimate, rel=1e-10)
    assert row["ci_low"] == pytest.approx(pooled.ci.low, rel=1e-9)
    assert row["ci_high"] == pytest.approx(pooled.ci.high, rel=1e-9)
    assert row["k"] == pooled.k


def test_any_analysis_is_the_one_pool_gives(pain):
    """Rebuild a few analyses from the claim's own effect rows."""
    effects = check("knee_pain").effects
    sized = effects[effects["yi"].notna() & effects["vi"].notna()]
    table = pain.table
    plain = table[
        (table["measure"] == "SMD")
        & (table["rows"] == "bounded")
        & (table["doubtful"] == "out")
        & (table["result alghadir2019"] == "no size")
    ]
    assert len(plain) > 20
    for row in plain.to_dict("records"):
        rest = sized[sized["study_id"] != row["left_out"]]
        one = pool(rest, method=row["method"], test=row["test"])
        assert row["estimate"] == pytest.approx(one.estimate, rel=1e-9)
        assert row["ci_high"] == pytest.approx(one.ci.high, rel=1e-8, abs=1e-9)
        assert row["tau2"] == pytest.approx(one.tau2, rel=1e-8, abs=1e-12)


def test_every_combination_leads_to_one_distinct_analysis(pain):
    assert len(pain.grid) == pain.combinations == pain.table["combinations"].sum()
    assert sorted(pain.grid["analysis"].unique()) == list(range(pain.distinct))
    names = [name for name in pain.grid.columns if name != "analysis"]
    assert not pain.grid.duplicated(names).any()
    numbers = pain.table[["estimate", "ci_low", "ci_high", "k", *names[:-2]]]
    rounded = numbers.round({"estimate": 9, "ci_low": 9, "ci_high": 9})
    assert not rounded.duplicated().any()


def test_empirical_bayes_and_paule_mandel_are_one_analysis():
    found = multiverse("knee_pain", method=["PM", "EB"])
    by_method = found.grid.groupby("method")["analysis"].agg(list)
    assert by_method["PM"] == by_method["EB"]
    assert found.combinations >= 2 * found.distinct


def test_more_rows_enter_rung_by_rung():
    claim = claim_row("knee_function")
    rows = candidates(claim, ["main"], [])
    found = {row.study: ROWS[row.rung] for row in rows if not row.twin}
    assert found["chen2021"] == "reported"
    assert found["zahra2022"] == "derived"
    assert found["anon_cairo45_nd"] == "interval ends"
    plain = {"method": "REML", "test": "z", "measure": "SMD", "result": "counted",
             "left_out": "none"}  # fmt: skip
    k = {
        rung: int(multiverse("knee_function", rows=rung, doubtful="in", **plain).table["k"].iloc[0])
        for rung in ("reported", "derived", "interval ends")
    }
    assert k == {"reported": 4, "derived": 5, "interval ends": 6}


def test_a_null_report_enters_at_no_effect_with_its_variance():
    rows = candidates(claim_row("knee_pain"), ["main"], [])
    (row,) = [row for row in rows if row.study == "anon_cairo45_nd"]
    yi, vi = row.size("SMD", "none")
    assert yi == 0.0
    # n = 15 and 15: 1/15 + 1/15 is the variance at no effect; the report allows up to its limit.
    assert 2 / 15 < vi < 0.15


def test_an_assumed_r_only_changes_rows_that_need_one():
    cost = candidates(claim_row("energy_cost"), ["main"], [0.3, 0.9])
    by_study = {row.study: row for row in cost if not row.twin}
    borrowed, printed = by_study["kim2001"], by_study["hooper2004"]
    assert ROWS[borrowed.rung] == "borrowed SDs"
    variances = [borrowed.size("ROMC", r)[1] for r in ("none", 0.3, 0.9)]
    assert variances == sorted(variances, reverse=True)
    assert printed.size("ROMC", 0.9) == printed.size("ROMC", "none")
    assert borrowed.size("ROMC", 0.3)[0] == pytest.approx(math.log(23.6 / 15.9))


def test_standardisers_turn_with_the_scale():
    """Better is positive for function, whichever SD standardises."""
    for row in candidates(claim_row("knee_function"), ["main"], []):
        if ROWS[row.rung] == "reported":
            assert row.size("SMD1", "none")[0] > 0
            assert row.size("SMDH", "none")[0] > 0


def test_shares_and_matters_are_those_of_the_table(pain):
    shares = pain.share_by_side.set_index("side")
    estimate, high = pain.table["estimate"], pain.table["ci_high"]
    assert shares.loc["for", "share"] == pytest.approx((estimate < 0).mean())
    assert shares.loc["for", "clear"] == pytest.approx((high < 0).mean())
    matters = pain.matters.set_index("choice")
    assert matters["eta2"].between(0, 1).all()
    assert matters.loc["test", "range"] == pytest.approx(0, abs=1e-9)
    assert matters.loc["test", "clear_range"] > 0.3
    assert list(pain.matters["eta2"]) == sorted(pain.matters["eta2"], reverse=True)


def test_in_a_complete_grid_eta_squared_is_the_classical_one():
    found = multiverse("knee_pain", left_out="none", result="counted", test="z")
    estimate = found.table["estimate"].to_numpy()[found.grid["analysis"]]
    for row in found.matters.to_dict("records"):
        means = pd.Series(estimate).groupby(found.grid[row["choice"]].to_numpy()).transform("mean")
        classical = ((means - estimate.mean()) ** 2).sum() / (
            (estimate - estimate.mean()) ** 2
        ).sum()
        assert row["eta2"] == pytest.approx(classical, abs=1e-9)
        assert row["range"] == pytest.approx(means.max() - means.min(), abs=1e-9)


def test_a_claimed_range_has_three_sides():
    found = multiverse("energy_cost")
    shares = found.share_by_side.set_index("side")["share"]
    low, high = math.log(1.2), math.log(1.4)
    inside = found.table["estimate"].between(low, high).mean()
    assert shares["within"] == pytest.approx(inside)
    assert shares.sum() == pytest.approx(1.0)
    assert "within the range" in repr(found)


def test_uses_tells_every_level_an_analysis_can_be_had_with(pain):
    used = pain.uses("method")
    assert list(used.columns) == list(pain.choices["method"])
    assert (used["PM"] == used["EB"]).all()
    assert used.any(axis=1).all()
    with pytest.raises(UnknownNameError, match="choice"):
        pain.uses("colour")


def test_a_claim_without_sizes_gives_an_empty_multiverse():
    found = multiverse("pf_load")
    assert (found.distinct, found.combinations, found.headline) == (0, 0, None)
    assert len(found.matters) == 0
    assert found.share_by_side["share"].isna().all()
    assert "nothing to pool" in repr(found)
    # Its indirect evidence has sizes, and can be asked for by name.
    assert multiverse("pf_load", comparator="running").distinct > 0


def test_choices_are_checked():
    with pytest.raises(UnknownNameError, match="choice"):
        multiverse("knee_pain", estimator="DL")
    with pytest.raises(UnknownNameError, match="level of method"):
        multiverse("knee_pain", method="XX")
    with pytest.raises(UnknownNameError, match="level of comparator"):
        multiverse("knee_pain", comparator="vs_nothing")
    with pytest.raises(UnknownNameError, match="level of measure"):
        multiverse("energy_cost", measure="SMD")
    with pytest.raises(UnknownNameError, match="level of r"):
        multiverse("energy_cost", r="half")
    with pytest.raises(UnknownNameError, match="study to leave out"):
        multiverse("knee_pain", left_out="nobody1999")
    with pytest.raises(UnknownNameError, match="claim"):
        multiverse("moon_walk")
    with pytest.raises(RetroEvidenceError, match="kind safety"):
        multiverse("safety")


def test_shows_itself_as_text_and_html(pain):
    text = repr(pain)
    assert f"{pain.distinct} distinct, from {pain.combinations} combinations" in text
    assert "of variance" in text
    assert "Multiverse of knee_pain" in pain._repr_html_()


def test_same_call_same_result(pain):
    again = multiverse("knee_pain")
    pd.testing.assert_frame_equal(pain.table, again.table)
    np.testing.assert_array_equal(pain.grid["analysis"], again.grid["analysis"])
