"""Published reviews beside ours, and the study-level SMD of the Cochrane data recomputed."""

import math

import pytest

import retroevidence as rv
from retroevidence.claims import reviews
from retroevidence.claims.reviews import COLUMNS, redo_cochrane, redo_reviews


@pytest.fixture(scope="module")
def table():
    return redo_reviews().set_index("review_id", drop=False)


def test_every_printed_pooled_value_has_a_row_and_a_reason(table):
    assert list(table.columns) == COLUMNS
    assert table["review_id"].tolist() == rv.load("reviews")["review_id"].tolist()
    assert len(table) == 46
    assert (table["why"].str.len() > 0).all()


def test_nothing_is_called_recomputed_whose_trials_are_not_listed(table):
    assert set(table["recomputed"]) == {"no"}
    assert table["why"].str.contains("not listed").all()


def test_excluded_rows_stay_with_their_reason(table):
    gone = rv.load("reviews").query("exclude == 'yes'")
    assert table.index[table["excluded"] == "yes"].tolist() == gone["review_id"].tolist()
    for row in gone.itertuples():
        assert row.exclude_reason in table.loc[row.review_id, "why"]


def test_ours_is_the_pooled_value_of_the_claim(table):
    pain = rv.check("knee_pain").pooled
    ours = table.loc["r29"]
    assert ours["our_estimate"] == pytest.approx(pain.estimate, rel=1e-12)
    assert ours["our_ci_low"] == pytest.approx(pain.ci.low, rel=1e-12)
    assert ours["our_k"] == pain.k
    assert ours["difference"] == pytest.approx(pain.estimate - -0.997, rel=1e-12)


def test_points_of_the_berg_scale_are_compared_in_points(table):
    # weng2006 prints 51.4 and 47.3; the review of chen2020b pooled 3.82 points.
    row = table.loc["r19"]
    assert (row["our_measure"], row["our_k"], row["our_studies"]) == ("MD", 1, "weng2006")
    assert row["our_estimate"] == pytest.approx(4.1, abs=1e-9)
    assert row["difference"] == pytest.approx(0.28, abs=1e-9)
    assert "one trial" in row["why"]


def test_a_difference_is_given_on_one_scale_only(table):
    with_difference = table[table["difference"].notna()]
    same = with_difference["measure"].replace("WMD", "MD") == with_difference["our_measure"]
    assert same.all()
    assert table.loc[table["measure"] == "unclear", "difference"].isna().all()
    assert table.loc["r43", "our_k"] > 0
    assert "not the same measure" in table.loc["r43", "why"]


def test_a_slip_of_sign_is_suspected_where_interval_and_p_contradict_and_only_there(table):
    suspected = table.index[table["why"].str.contains("slip of sign in print")]
    # chen2020a: -0.43 (-0.94 to -0.08), p = 0.10, and -0.41 (-0.67 to 0.16), p = 0.001.
    assert suspected.tolist() == ["r15", "r16"]


def test_missing_intervals_values_and_comparisons_are_named(table):
    assert "prints no interval" in table.loc["r04", "why"]
    assert "prints no value" in table.loc["r07", "why"]
    assert table.loc["r03", "our_comparisons"] == 0
    assert "no comparison of ours" in table.loc["r03", "why"]
    assert (table.loc[table["comparator"] == "combined", "our_comparisons"] == 0).all()


@pytest.mark.parametrize(
    ("contrast", "expected"),
    [
        ("backward plus conventional vs conventional", "usual"),
        ("backward vs forward walking", "forward"),
        ("backward vs forward walking or conventional", "any"),
        ("forward + backward vs forward walking training", "combined"),
        ("backward walking vs comparator", "any"),
        ("backward walking + conventional physiotherapy vs comparator", "usual"),
    ],
)
def test_the_comparator_is_read_from_the_words(contrast, expected):
    assert reviews._comparator(contrast) == expected


def test_cochrane_study_level_smds_come_out_to_the_last_printed_digit():
    # Six printed decimals. Review Manager's J = 1 - 3/(4N - 9) and its variance are needed for
    # that: with the exact J, which the library pools, only the first four agree.
    table = redo_cochrane().set_index("contrast_id")
    assert len(table) == 10
    assert set(table["agrees"]) == {"yes"}
    assert (table["redone"] - table["estimate"]).abs().max() < 1e-6
    gap = (table["exact"] - table["estimate"]).abs()
    # The smallest trials have m = 28 degrees of freedom: 1 - 3/111 is 0.972973 and the exact J
    # 0.972932 (Hedges 1981), 4.2e-5 of it apart; less with more people.
    assert (gap <= 4.3e-5 * table["estimate"].abs()).all()
    assert gap.max() > 1e-6
    # The merged arm of alghadir2019 is recomputed like the others, though no claim may use it.
    assert table.loc[["c051", "c053"], "excluded"].tolist() == ["yes", "yes"]


def test_one_cochrane_smd_by_hand():
    # gondhalekar2013, pain: 3.53 (1.33) and 4.07 (1.18), 15 each. Pooled SD
    # sqrt((1.7689 + 1.3924)/2) = 1.25724, d = -0.42951, J = 1 - 3/111 = 0.97297, g = -0.41790;
    # SE² = 30/225 + 0.41790²/(2 x 26.06) = 0.136684, limits -0.41790 -+ 0.72462.
    row = redo_cochrane().set_index("contrast_id").loc["c287"]
    assert row["redone"] == pytest.approx(-0.41790, abs=1e-5)  # five hand digits
    assert row["redone_low"] == pytest.approx(-1.14252, abs=1e-5)
    assert row["redone_high"] == pytest.approx(0.30672, abs=2e-5)


def test_a_changed_digit_or_a_missing_arm_is_seen(monkeypatch):
    arms = rv.load("arms")
    arms.loc[arms["arm_id"] == "a130", "sd"] = 1.34
    arms = arms[arms["arm_id"] != "a067"]
    real = reviews.load
    monkeypatch.setattr(reviews, "load", lambda name, data: arms if name == "arms" else real(name))
    table = redo_cochrane().set_index("contrast_id")
    assert table.loc["c287", "agrees"] == "no"
    assert table.loc["c193", "agrees"] == "no arm rows"
    assert math.isnan(table.loc["c193", "exact"])
