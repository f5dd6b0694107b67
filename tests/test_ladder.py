"""Every row of the tables has a rung; one example of each rung is worked by hand."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import retroevidence as rv
from retroevidence._paths import bibliography_path
from retroevidence.claims.ladder import COLUMNS, EFFECT_KINDS, RUNGS, ladder, ladder_counts
from retroevidence.effects.assemble import assemble
from retroevidence.effects.ladder.numbers import estimate
from retroevidence.effects.ladder.report import Report
from retroevidence.effects.ladder.same_people import ratio_of_means

LINE = {"study_id": "s", "comparison": "s", "experimental": "", "comparator": "", "contrast": ""}
CONTRAST = {
    **dict.fromkeys(
        "contrast_id study_id outcome instrument unit contrast kind direction estimate_type p_op "
        "higher_is locator source_url".split(),
        "",
    ),
    **dict.fromkeys(
        "estimate ci_low ci_high se t_value f_value p_value n_experimental n_comparator".split(),
        math.nan,
    ),
}
ARM = {
    **dict.fromkeys(
        "arm_id study_id outcome instrument unit role higher_is locator source_url".split(), ""
    ),
    **dict.fromkeys(
        "n mean sd se ci_low ci_high median iqr_low iqr_high min max".split(), math.nan
    ),
}


@pytest.fixture(scope="module")
def table():
    return ladder()


@pytest.fixture(scope="module")
def by_id(table):
    return table.set_index("row_id")


def contrast(measure, **cells):
    rows = pd.DataFrame([CONTRAST | {"contrast_id": "c1", "study_id": "s"} | cells])
    arms = pd.DataFrame([ARM])
    line = pd.DataFrame([LINE | {"contrast": "c1"}])
    return assemble(line, arms, rows, measure=measure).iloc[0]


def two_arms(one, two, measure="SMD"):
    base = {"study_id": "s"}
    arms = pd.DataFrame([ARM | base | {"arm_id": "a1"} | one, ARM | base | {"arm_id": "a2"} | two])
    line = pd.DataFrame([LINE | {"experimental": "a1", "comparator": "a2"}])
    return assemble(line, arms, pd.DataFrame([CONTRAST]), measure=measure).iloc[0]


def j(df):
    """Exact small-sample factor (Hedges 1981) by the log-gamma function of the math module."""
    return math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)


# The whole library -------------------------------------------------------------------------------


def test_every_row_of_both_tables_has_a_rung_and_a_reason(table):
    assert list(table.columns) == COLUMNS
    assert table["row_id"].tolist() == [
        *rv.load("arms")["arm_id"],
        *rv.load("contrasts")["contrast_id"],
    ]
    assert set(table["rung"]) <= set(RUNGS)
    assert (table["how"].str.len() > 10).all()
    assert set(table["effect_of_condition"]) == {"yes", "no"}


def test_nothing_is_imputed_unasked(table):
    assert "imputed" not in set(table["rung"])


def test_every_rung_above_unusable_names_a_source_that_the_bibliography_holds(table):
    usable = table[table["rung"] != "unusable"]
    assert (usable["source"] != "").all()
    keys = set(re.findall(r"^@\w+\{([^,]+),", bibliography_path().read_text("utf-8"), re.M))
    named = {key for cell in table["source"] for key in cell.split(";") if key}
    assert named <= keys
    assert len(named) >= 8


def test_the_numbers_of_a_rung_fit_its_name(table):
    exact = table["rung"].isin(["reported", "derived"])
    assert table.loc[exact, ["yi", "vi"]].notna().all(axis=None)
    bounded = table[table["rung"] == "bounded"]
    sized = bounded["yi"].notna() & bounded["vi"].notna()
    limited = bounded["lower"].notna() & bounded["upper"].notna()
    assert (sized | limited).all()
    assert (bounded.loc[limited, "lower"] < bounded.loc[limited, "upper"]).all()
    unusable = table[table["rung"] == "unusable"]
    assert unusable[["yi", "lower", "upper"]].isna().all(axis=None)


def test_excluded_rows_stay_and_say_why(table):
    for name, key in (("arms", "arm_id"), ("contrasts", "contrast_id")):
        source = rv.load(name)
        gone = table[(table["table"] == name) & (table["excluded"] == "yes")]
        assert gone["row_id"].tolist() == source.loc[source["exclude"] == "yes", key].tolist()
        assert (gone["exclude_reason"] != "").all()


def test_only_comparisons_of_two_conditions_are_effects(table):
    contrasts = table[table["table"] == "contrasts"]
    expected = contrasts["kind"].isin(EFFECT_KINDS).map({True: "yes", False: "no"})
    assert (contrasts["effect_of_condition"] == expected).all()
    arms = table[table["table"] == "arms"]
    assert (arms.loc[arms["kind"] != "pair", "effect_of_condition"] == "no").all()
    assert (arms.loc[arms["kind"] == "single", "rung"] == "unusable").all()


def test_partners_name_each_other_and_no_used_row_stands_on_an_excluded_arm(by_id):
    for row in by_id.itertuples():
        for partner in filter(None, row.partners.split(";")):
            assert row.Index in by_id.loc[partner, "partners"].split(";")
            assert by_id.loc[partner, "study_id"] == row.study_id
            if row.excluded == "no" and partner.startswith("a"):
                assert by_id.loc[partner, "excluded"] == "no"


def test_counts_add_up(table):
    counts = ladder_counts().set_index("outcome")
    total, parts = counts.loc["all"], counts.drop(index="all")
    assert total["rows"] == 240 + 694 == len(table)
    whole = parts.drop(columns="rescued_share").sum()
    assert (whole == total.drop("rescued_share")).all()
    assert (counts[["excluded", "not_an_effect", "in_results"]].sum(axis=1) == counts["rows"]).all()
    assert (counts[list(RUNGS)].sum(axis=1) == counts["results"]).all()
    assert (counts["rescued"] == counts["derived"] + counts["bounded"]).all()
    assert (counts["sign_only"] <= counts["bounded"]).all()
    assert total["excluded"] == (table["excluded"] == "yes").sum()
    # More than half of what is printed has no means with SDs: the reason the ladder exists.
    assert total["rescued_share"] == pytest.approx(total["rescued"] / total["results"])
    assert total["rescued_share"] > 0.5


def test_two_arms_and_the_contrasts_that_print_their_difference_are_one_result(by_id):
    # chen2021, pain: both arms, the contrast of the abstract and Cochrane's SMD of the same means.
    assert by_id.loc["a067", "partners"] == "a068;c192;c193"
    assert len(set(by_id.loc[["a067", "a068", "c192", "c193"], "result"])) == 1


# One of each rung, by hand -----------------------------------------------------------------------


def test_reported_by_hand(by_id):
    # weng2006, Berg: 51.4 (1.8) and 47.3 (3.7), 13 and 13. Pooled SD sqrt((3.24 + 13.69)/2)
    # = 2.9095, d = 4.1/2.9095 = 1.4092, J(24) = 0.96837, g = 1.3646.
    row = by_id.loc["a229"]
    assert (row["rung"], row["measure"], row["effect_of_condition"]) == ("reported", "SMD", "yes")
    assert row["yi"] == pytest.approx(1.3646, abs=5e-5)  # the four digits worked by hand
    assert row["vi"] == pytest.approx(2 / 13 + 1.3646**2 / 52, abs=5e-6)
    assert row["source"] == "hedges1981"


def test_derived_from_an_exact_p_of_two_groups_by_hand(by_id):
    # ansari2020, pain: p = 0.003, 15 and 15, lower. t with 28 df and upper tail 0.0015 is 3.2499,
    # d = 3.2499 sqrt(2/15) = 1.18670, J(28) = 0.97293, g = 1.15458.
    row = by_id.loc["c091"]
    assert row["rung"] == "derived"
    t = stats.t.isf(0.0015, 28)
    assert row["yi"] == pytest.approx(-t * math.sqrt(2 / 15) * j(28), rel=1e-9)
    assert row["yi"] == pytest.approx(-1.15458, abs=2e-5)  # five hand digits


def test_derived_from_an_exact_p_of_the_same_people_by_hand(by_id):
    # balasukumaran2020: p = 0.01, n = 32, lower. t(31; .005) = 2.7440 (printed t tables),
    # d = 2.7440/sqrt(32) = 0.48508, J(31) = 0.97558, g = 0.47324; variance 1/32 + g²/64.
    row = by_id.loc["c125"]
    assert (row["rung"], row["measure"]) == ("derived", "SMCC")
    assert row["yi"] == pytest.approx(-0.47324, abs=2e-5)  # five hand digits
    assert row["vi"] == pytest.approx(1 / 32 + 0.47324**2 / 64, abs=1e-6)
    assert "gibbons1993" in row["source"]


def test_derived_from_medians_and_quartiles_by_hand(by_id):
    # naidu2025: 28.9 [9.01, 36.7] and 17.4 [12.6, 39.7], 7 and 7. Luo: weight of the middle of the
    # quartiles 0.7 + 0.39/7 = 0.755714, means 24.3317 and 24.0125. Wan: 2 z((5.25 - .125)/7.25)
    # = 2 x 0.54434 = 1.08868, SDs 25.435 and 24.893, pooled 25.165, d = 0.012685, J(12) = 0.93594.
    row = by_id.loc["a180"]
    assert row["rung"] == "derived"
    assert row["yi"] == pytest.approx(0.3192 / 25.165 * 0.93594, abs=2e-5)  # hand digits
    assert row["source"].split(";")[:2] == ["luo2018", "wan2014"]


def test_bounded_two_sided_by_hand(by_id):
    # anon_cairo45_nd, pain: p > 0.05, 15 and 15: |t| < t(28; .025) = 2.04841, so
    # |g| < 0.97293 x 2.04841 x sqrt(2/15) = 0.7277.
    row = by_id.loc["c066"]
    assert row["rung"] == "bounded"
    assert (row["lower"], row["upper"]) == pytest.approx((-0.7277, 0.7277), abs=1e-4)
    assert math.isnan(row["yi"])


def test_bounded_by_the_largest_variance_by_hand(by_id):
    # roos2012: 3.4 and 4.5 body weights, p < 0.01, n = 20: t >= t(19; .005) = 2.86093 (printed t
    # tables), ln(3.4/4.5) = -0.28030, variance at most (0.28030/2.86093)² = 0.0095992.
    row = by_id.loc["a214"]
    assert (row["rung"], row["measure"]) == ("bounded", "ROMC")
    assert row["yi"] == pytest.approx(-0.28030, abs=5e-6)
    assert row["vi"] == pytest.approx(0.0095992, abs=2e-7)


def test_bounded_by_the_sign_when_only_a_total_is_printed(by_id):
    # rose2018: p < 0.05 and 18 people in all; halves are not assumed, so only the side is known.
    row = by_id.loc["c554"]
    assert (row["rung"], row["lower"], row["upper"]) == ("bounded", 0.0, math.inf)
    assert "halves of a total are not assumed" in row["how"]


def test_unusable_by_hand(by_id):
    # alghadir2019: Cochrane merges backward and forward walkers, so the control arm has no partner.
    assert by_id.loc["a010", "rung"] == "unusable"
    assert "a009 is excluded" in by_id.loc["a010", "how"]
    # ahmad2023: p = 0.001 without the side on which it lies.
    assert by_id.loc["c044", "how"] == "p = 0.001, but the direction is not reported"


def test_a_test_of_three_groups_and_a_correlation_are_no_size(by_id):
    assert math.isnan(by_id.loc["c404", "yi"])
    assert "three groups" in by_id.loc["c404", "how"]
    assert by_id.loc["c254", "rung"] == "unusable"


def test_before_and_after_in_one_group_has_a_rung_and_is_no_effect(by_id):
    row = by_id.loc["a133"]
    assert (row["kind"], row["effect_of_condition"]) == ("before_after", "no")
    assert row["partners"] == "a132"
    assert row["yi"] == pytest.approx(math.log(118.8 / 142.6), rel=1e-2)  # before the r = 0 term


# The rungs that assemble adds --------------------------------------------------------------------


def test_smcc_from_t_is_smcc_from_means_and_their_correlation():
    numbers = {"m1": 24.0, "m2": 20.0, "sd1": 6.0, "sd2": 5.0, "n": 14, "r": 0.4}
    yi, vi = rv.effect_size("SMCC", **numbers)
    spread = math.sqrt(36 + 25 - 2 * 0.4 * 30)
    t = 4.0 / (spread / math.sqrt(14))
    cells = {"direction": "higher", "n_experimental": 14.0}
    from_t = contrast("SMCC", t_value=t, **cells)
    from_p = contrast("SMCC", p_value=2 * stats.t.sf(t, 13), p_op="=", **cells)
    assert from_t["basis"] == from_p["basis"] == "derived"
    assert (from_t["yi"], from_t["vi"]) == pytest.approx((float(yi), float(vi)), rel=1e-12)
    assert from_p["yi"] == pytest.approx(float(yi), rel=1e-9)  # a quantile and its inverse


@pytest.mark.parametrize(
    ("p", "op", "direction", "sides"),
    [
        (0.05, "<", "higher", (1, math.inf)),
        (0.05, "<", "lower", (-math.inf, -1)),
        (0.05, ">", "", (-1, 1)),
        (0.05, ">", "none", (-1, 1)),
        (0.05, ">", "higher", (0, 1)),  # called not significant, but the page says which side
        (0.05, ">", "lower", (-1, 0)),
        (0.05, "=", "none", (-1, 1)),
    ],
)
@pytest.mark.parametrize("measure", ["SMCC", "SMD"])
def test_limits_from_p_hold_what_p_allows(measure, p, op, direction, sides):
    row = contrast(
        measure, p_value=p, p_op=op, direction=direction, n_experimental=10.0, n_comparator=10.0
    )
    df, factor = (9, math.sqrt(1 / 10)) if measure == "SMCC" else (18, math.sqrt(2 / 10))
    at_limit = stats.t.isf(0.025, df) * factor * j(df)
    assert row["basis"] == "bounded"
    expected = [0.0 if s == 0 else s * at_limit for s in sides]
    np.testing.assert_allclose([row["lower"], row["upper"]], expected, rtol=1e-9)


def test_smcc_without_n_keeps_the_side():
    row = contrast("SMCC", p_value=0.02, p_op="=", direction="lower")
    assert (row["lower"], row["upper"]) == (-math.inf, 0.0)
    assert "n is not printed" in row["how"]


def test_a_change_within_the_comparator_group_takes_its_n():
    row = contrast("SMCC", p_value=0.03, p_op="=", direction="higher", n_comparator=14.0)
    assert row["yi"] == pytest.approx(stats.t.isf(0.015, 13) / math.sqrt(14) * j(13), rel=1e-9)


def test_an_interval_of_a_mean_difference_gives_back_the_difference_and_an_smd():
    # jamil2024 prints 1.64 to 6.22 for the difference of 22.13 (2.35) and 18.20 (3.58), 15 each:
    # the middle is 3.93 = 22.13 - 18.20. SE of the means 1.1057; of the interval with t(28)
    # 1.1179, as the authors used fewer degrees of freedom (unequal variances): 1.1 % apart.
    cells = {
        "estimate_type": "MD", "ci_low": 1.64, "ci_high": 6.22, "direction": "higher",
        "n_experimental": 15.0, "n_comparator": 15.0,
    }  # fmt: skip
    crude, standard = contrast("MD", **cells), contrast("SMD", **cells)
    assert crude["basis"] == standard["basis"] == "derived"
    assert crude["yi"] == pytest.approx(3.93, abs=1e-9)
    assert math.sqrt(crude["vi"]) == pytest.approx(1.1057, rel=0.015)
    means = two_arms({"mean": 22.13, "sd": 2.35, "n": 15.0}, {"mean": 18.2, "sd": 3.58, "n": 15.0})
    assert standard["yi"] == pytest.approx(means["yi"], rel=0.015)  # as the SE


def test_standard_errors_intervals_and_medians_of_arms_stand_in_for_sds():
    n = 16.0
    means = two_arms({"mean": 5.0, "sd": 2.0, "n": n}, {"mean": 4.0, "sd": 2.0, "n": n})
    by_se = two_arms({"mean": 5.0, "se": 0.5, "n": n}, {"mean": 4.0, "se": 0.5, "n": n})
    half = stats.t.isf(0.025, 15) * 0.5
    by_ci = two_arms(
        {"mean": 5.0, "ci_low": 5 - half, "ci_high": 5 + half, "n": n},
        {"mean": 4.0, "sd": 2.0, "n": n},
    )
    for row in (by_se, by_ci):
        assert row["basis"] == "derived"
        assert row["yi"] == pytest.approx(means["yi"], rel=1e-9)
    symmetric = {"median": 5.0, "iqr_low": 4.0, "iqr_high": 6.0, "min": 1.0, "max": 9.0, "n": n}
    both = two_arms(symmetric, {"mean": 4.0, "sd": 2.0, "n": n}, "MD")
    assert both["yi"] == pytest.approx(1.0, abs=1e-12)  # symmetric quantiles: mean is the median
    assert "[shi2020]" in both["how"]


def test_a_median_alone_gives_no_sd():
    row = two_arms({"median": 5.0, "n": 9.0}, {"mean": 4.0, "sd": 2.0, "n": 9.0})
    assert row["basis"] == "unusable"


def test_the_interval_of_an_smd_is_read_with_z_and_that_of_small_trials_with_t():
    printed = [{"estimate": 0.5, "ci_low": 0.1, "ci_high": 0.9}]
    smd, md = estimate(printed, "SMD", 20.0), estimate(printed, "MD", 20.0)
    assert smd.vi == pytest.approx((0.4 / stats.norm.ppf(0.975)) ** 2, rel=1e-12)
    assert md.vi == pytest.approx((0.4 / stats.t.ppf(0.975, 20)) ** 2, rel=1e-12)


def test_the_standard_error_of_a_percentage_is_divided_by_the_ratio():
    # 50 % more with a standard error of 6 points: the ratio 1.5 has one of 0.06, its log 0.04.
    row = {"estimate": 50.0, "se": 6.0, "unit": "%", "estimate_type": "percent_change"}
    found = ratio_of_means(Report(None, [row], 1, math.nan, "", 12.0, 12.0))
    assert found.yi == pytest.approx(math.log(1.5), rel=1e-12)
    assert found.vi == pytest.approx(0.04**2, rel=1e-12)
