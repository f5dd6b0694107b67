"""Mantel-Haenszel against metafor and statsmodels, and what it says of zeros."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import StratifiedTable

from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.counts.pool import pool_counts

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "counts.json").read_text(encoding="utf-8"))
ACCEPTED = json.loads((GOLDEN / "counts_acceptance.json").read_text(encoding="utf-8"))

# Closed forms on both sides; p-values down to 1e-89 lose digits with their exponent.
RTOL = 1e-8
FIELDS = {"beta": "estimate", "se": "se", "p": "p_value", "Q": "q", "Qp": "q_p_value"}


def table(name):
    return pd.DataFrame(CASES["tables"][name])


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_acceptance_of_bcg(measure):
    found = pool_counts(table("bcg"), measure=measure)
    wanted = ACCEPTED["bcg_mh"][measure]
    assert found.estimate == pytest.approx(wanted["beta"], rel=RTOL)
    assert found.se == pytest.approx(wanted["se"], rel=RTOL)
    assert found.q == pytest.approx(wanted["Q"], rel=RTOL)
    assert (found.k, found.q_df) == (13, 12)


@pytest.mark.parametrize("name", ["bcg", "yusuf1985_t6", "nielweise2007", "zeros"])
@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_tables_match_metafor(name, measure):
    found, wanted = pool_counts(table(name), measure=measure), CASES["mh"][name][measure]
    for theirs, ours in FIELDS.items():
        assert getattr(found, ours) == pytest.approx(wanted[theirs], rel=RTOL), theirs
    assert tuple(found.ci) == pytest.approx((wanted["lb"], wanted["ub"]), rel=RTOL)
    if measure == "OR":
        assert found.cmh == pytest.approx(wanted["cmh"], rel=RTOL)
        assert found.breslow_day == pytest.approx(wanted["bd"], rel=RTOL)
        assert found.tarone == pytest.approx(wanted["tarone"], rel=RTOL)
        assert found.tarone_p_value == pytest.approx(wanted["tarone_p"], rel=RTOL)
    else:
        assert math.isnan(found.tarone)


@pytest.mark.parametrize("measure", ["IRR", "IRD"])
def test_rates_match_metafor(measure):
    found = pool_counts(pd.DataFrame(CASES["rates"]), measure=measure)
    wanted = CASES["mh_rates"][measure]
    for theirs, ours in FIELDS.items():
        assert getattr(found, ours) == pytest.approx(wanted[theirs], rel=RTOL), theirs
    assert found.cmh == pytest.approx(CASES["mh_rates"]["IRR"]["cmh"], rel=RTOL)


def test_statsmodels_agrees_on_the_odds_ratio_and_its_tests():
    d = table("bcg").to_numpy(float)
    tables = [np.array([[a, n1 - a], [c, n2 - c]]) for a, n1, c, n2 in d]
    theirs, ours = StratifiedTable(tables), pool_counts(table("bcg"))
    assert ours.estimate == pytest.approx(theirs.logodds_pooled, rel=RTOL)
    assert ours.se == pytest.approx(theirs.logodds_pooled_se, rel=RTOL)
    assert ours.cmh == pytest.approx(theirs.test_null_odds().statistic, rel=RTOL)
    assert ours.tarone == pytest.approx(theirs.test_equal_odds(adjust=True).statistic, rel=RTOL)
    assert ours.breslow_day == pytest.approx(theirs.test_equal_odds().statistic, rel=RTOL)


@pytest.mark.parametrize(
    ("measure", "method"),
    [("OR", "Peto"), *((measure, "MH") for measure in ("OR", "RR", "RD", "IRR", "IRD"))],
)
def test_swapping_the_groups_only_turns_the_sign(measure, method):
    rates = measure in ("IRR", "IRD")
    d = pd.DataFrame(CASES["rates"]) if rates else table("nielweise2007")
    swapped = d.set_axis([d.columns[i] for i in (2, 3, 0, 1)], axis=1)
    one = pool_counts(d, measure=measure, method=method)
    other = pool_counts(swapped, measure=measure, method=method)
    assert one.estimate == pytest.approx(-other.estimate, rel=1e-10)
    for name in ("se", "q", "cmh"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-10)


def test_the_unit_of_time_does_not_matter():
    days = pd.DataFrame(CASES["rates"])
    years = days.assign(t1=days["t1"] / 365.25, t2=days["t2"] / 365.25)
    for measure, factor in (("IRR", 1.0), ("IRD", 365.25)):
        one, other = pool_counts(days, measure=measure), pool_counts(years, measure=measure)
        shift = other.estimate if measure == "IRR" else other.estimate / factor
        assert one.estimate == pytest.approx(shift, rel=1e-12)
        assert one.p_value == pytest.approx(other.p_value, rel=1e-9)
        assert one.q == pytest.approx(other.q, rel=1e-9)


def test_double_zeros_are_left_out_of_ratios_and_kept_in_differences():
    d = table("zeros").assign(study_id=list("abcdef"))
    odds, risk, difference = (pool_counts(d, measure=m) for m in ("OR", "RR", "RD"))
    assert (odds.k, risk.k, difference.k) == (3, 4, 6)
    assert "Left out, no event in either group: a, f;" in odds.notes[0]
    assert "nothing but events: d." in odds.notes[1]
    assert not any("nothing but events" in note for note in risk.notes)
    assert not any("Left out" in note for note in difference.notes)
    # The study where everybody had the event has no own ratio in Q, but a weight in the sum.
    row = risk.studies.loc[risk.studies["study_id"] == "d"].iloc[0]
    assert math.isnan(row["yi"])
    assert row["weight"] > 0
    assert risk.q_df == 2


def test_a_double_zero_changes_no_ratio():
    d = table("bcg")
    more = pd.concat([d, pd.DataFrame({"a": [0], "n1": [5000], "c": [0], "n2": [10]})])
    for method in ("MH", "Peto"):
        one, other = pool_counts(d, method=method), pool_counts(more, method=method)
        assert (one.estimate, one.se, one.q) == (other.estimate, other.se, other.q)


def test_no_event_in_one_group_of_any_study_gets_a_half_and_says_so():
    d = {"a": [0, 0], "n1": [20, 30], "c": [3, 2], "n2": [21, 28]}
    found = pool_counts(d)
    assert any("one half is added to every cell of 0, 1" in note for note in found.notes)
    half = [np.array(d[name], float) for name in ("a", "n1", "c", "n2")]
    a, n1, c, n2 = (half[0] + 0.5, half[1] + 1, half[2] + 0.5, half[3] + 1)
    by_hand = np.sum(a * (n2 - c) / (n1 + n2)) / np.sum(c * (n1 - a) / (n1 + n2))
    assert found.estimate == pytest.approx(math.log(by_hand), rel=1e-12)
    assert math.isnan(found.tarone)
    # One informative study less and the correction is gone.
    more = {
        name: [*values, extra]
        for (name, values), extra in zip(d.items(), (1, 9, 2, 9), strict=True)
    }
    assert not any("one half is added" in note for note in pool_counts(more).notes)


def test_a_difference_without_any_event_has_a_variance():
    found = pool_counts(measure="RD", a=[0, 0], n1=[20, 30], c=[0, 0], n2=[20, 30])
    assert found.estimate == 0
    assert found.se > 0
    assert any("leans on that half" in note for note in found.notes)


def test_everybody_against_nobody_has_no_variance_but_rounding():
    """Each of the two sums of the variance is 35 000 there, and their difference 1e-11."""
    d = {"a": [35565, 29370, 32045], "n1": [35565, 29370, 32045]}
    d |= {"c": [0, 0, 0], "n2": [540887, 644104, 548676]}
    found = pool_counts(d, measure="RD")
    assert any("leans on that half" in note for note in found.notes)
    assert 0.99 < found.estimate < 1
    assert 1e-6 < found.se < 1e-3


def test_what_no_study_says_is_said_in_the_words_of_the_measure():
    people = {"a": [0, 0], "n1": [9, 9], "c": [0, 0], "n2": [9, 9]}
    times = {"x1": [0, 0], "t1": [9, 9], "x2": [0, 0], "t2": [9, 9]}
    with pytest.raises(PoolError, match=r'has people with and without an event; .*"RD", or'):
        pool_counts(people)
    with pytest.raises(PoolError, match=r'has an event; .*"RD", or'):
        pool_counts(people, measure="RR")
    with pytest.raises(PoolError, match=r'has an event; use pool_counts with measure="IRD"\.$'):
        pool_counts(times, measure="IRR")


def test_columns_can_be_swapped_by_name():
    d = table("bcg")
    one, other = pool_counts(d), pool_counts(d, a="c", n1="n2", c="a", n2="n1")
    assert other.estimate == pytest.approx(-one.estimate, rel=1e-12)
    assert other.studies["a"].tolist() == d["c"].tolist()


def test_counts_beside_a_table_are_its_rows():
    d = table("bcg").set_axis([f"s{i}" for i in range(13)], axis=0)
    one = pool_counts(d)
    assert pool_counts(d.drop(columns="a"), a=d["a"].to_list()).estimate == one.estimate
    with pytest.raises(PoolError, match=r"different indexes; .*a\.to_numpy\(\)"):
        pool_counts(d, a=d["a"].reset_index(drop=True))
    with pytest.raises(PoolError, match="a has 2 values for 13 studies"):
        pool_counts(d, a=[1, 2])


def test_one_study_is_its_own_result():
    found = pool_counts(a=4, n1=123, c=11, n2=139)
    a, b, c, d = 4, 119, 11, 128
    assert found.estimate == pytest.approx(math.log(a * d / (b * c)), rel=1e-12)
    assert found.se == pytest.approx(math.sqrt(1 / a + 1 / b + 1 / c + 1 / d), rel=1e-12)
    assert math.isnan(found.q)
    assert found.q_df == 0
    assert "One study" in found.notes[-1]
    assert "Q" not in dict(found._card().pairs)


def test_identical_studies_have_no_heterogeneity():
    found = pool_counts(a=[4] * 5, n1=[123] * 5, c=[11] * 5, n2=[139] * 5)
    assert found.q == pytest.approx(0, abs=1e-20)
    assert found.i2 == 0
    assert found.tarone == pytest.approx(0, abs=1e-12)


def test_breslow_and_day_at_an_odds_ratio_of_one():
    """The quadratic is then a line; its root must not be lost."""
    found = pool_counts(a=[5, 10], n1=[20, 40], c=[10, 5], n2=[40, 20])
    assert np.isfinite(found.tarone)
    exact = pool_counts(a=[10, 8], n1=[40, 40], c=[8, 10], n2=[40, 40])
    assert exact.estimate == pytest.approx(0, abs=1e-12)
    # By hand: A = 9 in both, V = 1 / (1/9 + 1/31 + 1/9 + 1/31).
    assert exact.breslow_day == pytest.approx(2 * (2 / 9 + 2 / 31), rel=1e-9)


def test_missing_rows_are_named_and_columns_can_be(tmp_path):
    d = pd.DataFrame(
        {"events": [4, 6, np.nan], "n1": [123, 306, 10], "c": [11, 29, 2], "n2": [139, 303, 9]},
        index=["x", "y", "z"],
    )
    found = pool_counts(d, a="events")
    assert found.notes[0] == "Left out, a count is missing: z."
    assert list(found.studies.index) == ["x", "y"]
    assert "a" not in d.columns


def test_several_tables_of_one_study_are_noted():
    d = table("bcg").assign(study_id=["a", "a", *range(11)])
    assert any("several tables" in note for note in pool_counts(d).notes)


def test_it_shows_itself_and_exports():
    found = pool_counts(table("bcg"))
    assert "odds ratio      0.623  95% CI [0.575, 0.675]" in repr(found)
    assert "4/123" in found._repr_html_()
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["ci_low"] == pytest.approx(found.ci.low)
    assert (
        json.loads(json.dumps(pool_counts(table("bcg"), measure="RD").to_dict()))["tarone"] is None
    )
    assert len(found.summary) == 1
    assert found.studies["weight"].sum() == pytest.approx(100)
    as_text = pool_counts(table("bcg").astype(str))
    assert "4/123" in as_text._repr_html_()
    assert "rate ratio" in repr(pool_counts(pd.DataFrame(CASES["rates"]), measure="IRR"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": [5, 400]}, "1: a and n1 must be whole numbers"),
        ({"a": [1.5, 4]}, "0: a and n1 must be whole numbers"),
        ({"n1": [10, 0]}, "1: a and n1"),
        ({"a": [1, 2, 3]}, "differ in length"),
        ({"a": [[4, 6]]}, r"differ in length \(a 1 x 2, n1 2"),
        ({"a": [1 + 2j, 4]}, "a must hold numbers"),
        ({"a": [10**400, 4]}, "a must hold numbers"),
        ({"a": ["x", "y"]}, "must hold numbers"),
        ({"a": None}, "a is missing"),
        ({"x1": [1, 2]}, "x1 is not used here"),
        ({"a": [np.nan, np.nan]}, "no study has all of"),
        ({"a": [0, 0], "c": [0, 0]}, "no study says anything on a ratio"),
        ({"level": 95}, "write 0.95"),
        ({"method": "Peto", "measure": "RR"}, "Peto's method gives odds ratios, not RR"),
    ],
)
def test_refusals(change, message):
    given = {"a": [4, 6], "n1": [123, 306], "c": [11, 29], "n2": [139, 303]} | change
    with pytest.raises(PoolError, match=message):
        pool_counts(**given)


def test_more_refusals():
    with pytest.raises(UnknownNameError, match="method for counts"):
        pool_counts(a=1, n1=2, c=1, n2=2, method="IV")
    with pytest.raises(UnknownNameError, match="measure of counts"):
        pool_counts(a=1, n1=2, c=1, n2=2, measure="SMD")
    with pytest.raises(PoolError, match="has no column c"):
        pool_counts({"a": [1], "n1": [2], "n2": [3]})
    with pytest.raises(PoolError, match="is not a column"):
        pool_counts({"a": [1], "n1": [2], "n2": [3]}, c="events")
    twice = pd.concat([table("bcg"), table("bcg")[["a"]]], axis=1)
    with pytest.raises(PoolError, match="the table has a more than once"):
        pool_counts(twice)
    with pytest.raises(PoolError, match=r"cannot be read .* give one list per column"):
        pool_counts({"a": 1, "n1": 2, "c": 1, "n2": 2})
    with pytest.raises(PoolError, match="the table is a list"):
        pool_counts([1, 2])
    with pytest.raises(PoolError, match="x1 must be a whole number of events"):
        pool_counts(measure="IRR", x1=[-1], t1=[2.5], x2=[1], t2=[2.5])
