"""The ladder: from what a row prints to the strongest statement it supports."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from retroevidence.effects.assemble import COLUMNS, assemble
from retroevidence.effects.comparisons import pair
from retroevidence.errors import EffectError, UnknownNameError

ARM = dict.fromkeys(
    "arm_id study_id task outcome instrument muscle unit condition_detail timepoint arm role "
    "locator source_url".split(),
    "",
) | {"n": math.nan, "mean": math.nan, "sd": math.nan, "higher_is": "worse", "exclude": "no"}
ARM |= {"events": math.nan}
CONTRAST = dict.fromkeys(
    "contrast_id study_id task outcome instrument muscle unit condition_detail timepoint contrast "
    "kind direction favours estimate_type p_op locator source_url".split(),
    "",
) | dict.fromkeys(
    "estimate ci_low ci_high se t_value f_value p_value n_experimental n_comparator".split(),
    math.nan,
)
CONTRAST |= {"higher_is": "worse", "exclude": "no", "kind": "between_groups"}


def arms(*rows):
    return pd.DataFrame([ARM | row for row in rows], columns=list(ARM))


def contrasts(*rows):
    return pd.DataFrame([CONTRAST | row for row in rows], columns=list(CONTRAST))


def line(**cells):
    base = {
        "study_id": "s",
        "comparison": "s",
        "experimental": "",
        "comparator": "",
        "contrast": "",
    }
    return pd.DataFrame([base | cells])


def one(measure="SMD", arm_rows=(), contrast_rows=(), toward_benefit=False, **cells):
    table = assemble(
        line(**cells),
        arms(*arm_rows),
        contrasts(*contrast_rows),
        measure=measure,
        toward_benefit=toward_benefit,
    )
    assert list(table.columns) == list(COLUMNS)
    return table.iloc[0]


def contrast_only(measure="SMD", toward_benefit=False, **row):
    row = {"contrast_id": "c1", "study_id": "s"} | row
    return one(measure, contrast_rows=[row], contrast="c1", toward_benefit=toward_benefit)


PAIR = [
    {"arm_id": "a1", "study_id": "s", "role": "experimental", "mean": 1.56, "sd": 0.63, "n": 16},
    {"arm_id": "a2", "study_id": "s", "role": "comparator", "mean": 2.25, "sd": 0.86, "n": 16},
]


def test_means_sds_and_n_give_an_exact_effect_with_the_sign_of_the_difference():
    row = one(arm_rows=PAIR, experimental="a1", comparator="a2")
    d = (1.56 - 2.25) / math.sqrt((0.63**2 + 0.86**2) / 2)
    factor = math.exp(math.lgamma(15) - math.lgamma(14.5)) / math.sqrt(15)  # exact J, 30 df
    assert row["basis"] == "reported"
    assert row["yi"] == pytest.approx(d * factor, rel=1e-12)  # closed form
    assert row["direction"] == -1
    assert row["rows"] == "a1;a2"


def test_a_scale_on_which_lower_is_better_is_turned_only_when_asked():
    plain = one(arm_rows=PAIR, experimental="a1", comparator="a2")
    turned = one(arm_rows=PAIR, experimental="a1", comparator="a2", toward_benefit=True)
    assert turned["yi"] == -plain["yi"]
    assert turned["vi"] == plain["vi"]
    assert turned["direction"] == 1
    assert "sign turned" in turned["how"]


def test_an_exact_p_gives_back_the_t_it_came_from():
    t, n1, n2 = -2.7, 12, 15
    p = 2 * stats.t.sf(abs(t), n1 + n2 - 2)
    from_p = contrast_only(
        p_value=p, p_op="=", direction="lower", n_experimental=n1, n_comparator=n2
    )
    from_t = contrast_only(t_value=t, direction="lower", n_experimental=n1, n_comparator=n2)
    from_f = contrast_only(f_value=t**2, direction="lower", n_experimental=n1, n_comparator=n2)
    assert from_p["basis"] == from_t["basis"] == from_f["basis"] == "derived"
    assert from_p["yi"] == pytest.approx(from_t["yi"], rel=1e-9)  # quantile and its inverse
    assert from_f["yi"] == pytest.approx(from_t["yi"], rel=1e-12)
    assert from_t["yi"] < 0


def test_an_exact_p_without_a_direction_gives_no_effect():
    row = contrast_only(p_value=0.02, p_op="=", n_experimental=10, n_comparator=10)
    assert math.isnan(row["yi"])
    assert row["basis"] == "unusable"
    assert math.isnan(row["p_one_sided"])


def test_a_p_bound_gives_limits_that_hold_every_effect_it_allows():
    row = contrast_only(
        p_value=0.05, p_op="<", direction="higher", n_experimental=10, n_comparator=10
    )
    at_bound = contrast_only(
        t_value=stats.t.isf(0.025, 18), direction="higher", n_experimental=10, n_comparator=10
    )
    assert row["basis"] == "bounded"
    assert row["lower"] == pytest.approx(at_bound["yi"], rel=1e-9)
    assert row["upper"] == math.inf
    null = contrast_only(p_value=0.05, p_op=">", n_experimental=10, n_comparator=10)
    assert (null["lower"], null["upper"]) == (-row["lower"], row["lower"])


@pytest.mark.parametrize(
    ("p", "op", "direction", "expected"),
    [
        (0.02, "=", "higher", 0.01),
        (0.02, "=", "lower", 0.99),
        (0.05, "<", "higher", 0.025),
        (0.05, "<", "lower", 0.975),
        (0.05, ">", "", 0.5),
        (0.05, ">", "higher", 0.5),
        (math.nan, "", "none", 0.5),
        (0.7, "=", "none", 0.5),
        (math.nan, "", "higher", math.nan),
        (0.02, "=", "", math.nan),
        (0.0, "=", "higher", 0.0005),  # printed as 0.000: below .001
    ],
)
def test_one_sided_p(p, op, direction, expected):
    row = contrast_only(p_value=p, p_op=op, direction=direction)
    np.testing.assert_allclose(row["p_one_sided"], expected)


def test_a_paired_ratio_takes_its_variance_from_t():
    row = contrast_only(
        "ROMC", estimate=30.0, unit="%", estimate_type="percent_change", t_value=5.0,
        direction="higher", n_experimental=10, n_comparator=10,
    )  # fmt: skip
    assert row["yi"] == pytest.approx(math.log(1.3), rel=1e-12)
    assert row["vi"] == pytest.approx((math.log(1.3) / 5) ** 2, rel=1e-12)
    assert row["basis"] == "derived"


def test_a_paired_ratio_with_a_p_bound_has_the_largest_variance_the_bound_allows():
    def with_p(op, p):
        return contrast_only(
            "ROMC", estimate=30.0, unit="%", estimate_type="percent_change", p_value=p, p_op=op,
            direction="higher", n_experimental=10, n_comparator=10,
        )  # fmt: skip

    bounded = with_p("<", 0.01)
    assert bounded["basis"] == "bounded"
    for p in (0.009, 0.001, 1e-6):
        assert with_p("=", p)["vi"] < bounded["vi"]


def test_a_range_of_percentages_is_read_at_its_middle_on_the_log_scale():
    rows = [
        {"contrast_id": key, "study_id": "s", "estimate": value, "unit": "%", "p_value": 0.01,
         "p_op": "<", "estimate_type": "percent_change", "direction": "higher",
         "n_experimental": 10}
        for key, value in (("c1", 31.0), ("c2", 41.0))
    ]  # fmt: skip
    row = one("ROMC", contrast_rows=rows, contrast="c1;c2")
    assert math.exp(row["yi"]) == pytest.approx(math.sqrt(1.31 * 1.41), rel=1e-12)
    assert row["rows"] == "c1;c2"


def test_means_without_any_test_keep_their_direction_and_no_variance():
    pair_without_sd = [dict(row, sd=math.nan) for row in PAIR]
    row = one("ROMC", arm_rows=pair_without_sd, experimental="a1", comparator="a2")
    assert math.isnan(row["yi"])
    assert row["direction"] == -1
    assert row["upper"] == 0
    assert "nothing from which to get a variance" in row["how"]


def test_a_row_of_another_study_is_refused():
    with pytest.raises(EffectError, match="belongs to other, not to s"):
        contrast_only(study_id="other")


def test_a_row_that_does_not_exist_is_refused():
    with pytest.raises(EffectError, match="there is no row 'c9'"):
        one(contrast="c9")


def test_a_report_that_only_says_which_side_it_favours_counts_where_benefit_is_asked():
    said = {"p_value": 0.003, "p_op": "=", "favours": "experimental", "higher_is": "neutral"}
    assert contrast_only(toward_benefit=True, **said)["p_one_sided"] == 0.0015
    assert math.isnan(contrast_only(**said)["p_one_sided"])
    sized = said | {"n_experimental": 15, "n_comparator": 15}
    for higher_is in ("neutral", "worse"):
        row = contrast_only(toward_benefit=True, **sized | {"higher_is": higher_is})
        assert row["yi"] > 0
        assert row["basis"] == "derived"


def test_a_direction_with_n_has_a_limit_and_the_variance_of_no_effect():
    row = contrast_only(direction="higher", n_experimental=10, n_comparator=20)
    assert (row["lower"], row["upper"]) == (0, math.inf)
    assert row["vi"] == pytest.approx(1 / 10 + 1 / 20, rel=1e-12)  # closed form
    assert math.isnan(contrast_only(direction="higher", n_experimental=10)["vi"])


def test_pair_matches_arms_and_leaves_out_changes_within_a_group():
    table = pair(
        arms(*PAIR, PAIR[0] | {"arm_id": "a3", "exclude": "yes"}),
        contrasts(
            {"contrast_id": "c1", "study_id": "s", "kind": "within_group_change"},
            {"contrast_id": "c2", "study_id": "s", "kind": "within_person"},
        ),
    )
    assert table[["experimental", "comparator", "contrast"]].to_numpy().tolist() == [
        ["a1", "a2", ""],
        ["", "", "c2"],
    ]


def test_an_unknown_outcome_or_column_is_named():
    with pytest.raises(UnknownNameError, match="no outcome is called 'pian'"):
        pair(arms(PAIR[0] | {"outcome": "pain"}), contrasts(), outcome="pian")
    with pytest.raises(UnknownNameError, match="no column is called 'weather'"):
        pair(arms(*PAIR), contrasts(), weather="fine")


def counts(a, n1, c, n2, measure="RR"):
    row = {"study_id": "s", "higher_is": "worse"}
    return one(
        measure,
        [
            row | {"arm_id": "a001", "role": "experimental", "events": a, "n": n1},
            row | {"arm_id": "a002", "role": "comparator", "events": c, "n": n2},
        ],
        experimental="a001",
        comparator="a002",
    )


def test_events_and_n_give_exact_ratios():
    # First trial of metadat 1.2-0 dat.bcg; metafor 3.8-1 escalc(measure="RR") prints -0.8893 and
    # 0.3256, escalc(measure="OR") -0.9387 and 0.3571: rounded there to four digits.
    row = counts(4, 123, 11, 139)
    assert (row["yi"], row["vi"]) == pytest.approx((-0.8893, 0.3256), abs=5e-5)
    assert row["basis"] == "reported"
    assert row["how"] == "4 of 123 against 11 of 139; log risk ratio [katz1978]"
    assert row["direction"] == -1
    row = counts(4, 123, 11, 139, "OR")
    assert (row["yi"], row["vi"]) == pytest.approx((-0.9387, 0.3571), abs=5e-5)


def test_an_empty_cell_is_said_and_two_say_nothing():
    row = counts(0, 20, 3, 20)
    # With half a person added to each cell: ln((0.5/21) / (3.5/21)).
    assert row["yi"] == pytest.approx(math.log(0.5 / 3.5), rel=1e-12)
    assert "half a person added" in row["how"]
    for a in (0, 20):
        nothing = counts(a, 20, a, 20)
        assert nothing["basis"] == "unusable"
        assert "says nothing about a ratio" in nothing["how"]


def test_counts_of_one_arm_alone_or_a_direction_stay_what_they_are():
    assert counts(4, 123, math.nan, 139)["basis"] == "unusable"
    row = contrast_only("RR", direction="lower")
    assert (row["basis"], row["upper"]) == ("bounded", 0.0)
    assert "events and n of both arms are not printed" in row["how"]


def test_a_table_without_a_column_of_events_gives_no_ratio():
    table = arms({"arm_id": "a001", "study_id": "s"}, {"arm_id": "a002", "study_id": "s"})
    found = assemble(
        line(experimental="a001", comparator="a002"),
        table.drop(columns="events"),
        contrasts(),
        measure="RR",
    )
    assert found.loc[0, "basis"] == "unusable"
