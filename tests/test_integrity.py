"""Each check flags a broken copy of a consistent row and not the row; then the real tables."""

import csv
import shutil

import pandas as pd
import pytest

import retroevidence as rv
from retroevidence._paths import bibliography_path, data_dir
from retroevidence.claims import integrity as module
from retroevidence.claims.integrity import flagged_rows, integrity
from retroevidence.claims.integrity_arms import check_arms
from retroevidence.claims.integrity_contrasts import check_contrasts, check_reviews
from retroevidence.claims.integrity_rows import arms_of, read_scales
from retroevidence.claims.without_flagged import compare_verdicts

SCALES = read_scales()


def arm(**cells):
    row = dict.fromkeys(rv.load("arms").columns, "")
    row |= {"arm_id": "a901", "study_id": "one2020", "exclude": "no", "timepoint": "post"}
    row |= {"outcome": "pain", "instrument": "NRS", "arm": "backward", "role": "experimental"}
    return row | {"higher_is": "worse"} | cells


def contrast(**cells):
    row = dict.fromkeys(rv.load("contrasts").columns, "")
    row |= {"contrast_id": "c901", "study_id": "one2020", "exclude": "no", "timepoint": "post"}
    row |= {"outcome": "pain", "instrument": "NRS", "contrast": "backward vs usual care"}
    row |= {"kind": "between_groups", "paired": "no", "estimate_type": "none"}
    return row | {"higher_is": "worse"} | cells


def review(**cells):
    row = dict.fromkeys(rv.load("reviews").columns, "")
    row |= {"review_id": "r91", "study_id": "one2020", "exclude": "no", "measure": "MD"}
    return row | {"estimate": "-1.05", "ci_low": "-1.46", "ci_high": "-0.63"} | cells


def statuses(findings, check):
    return [f.status for f in findings if f.check == check]


# Arms --------------------------------------------------------------------------------------------

ARM_MUTATIONS = [
    # check, a consistent row, what breaks it
    ("GRIM", {"mean": "1.56", "n": "16"}, {"mean": "1.58"}),
    ("GRIMMER", {"mean": "1.56", "sd": "0.63", "n": "16"}, {"sd": "0.65"}),
    ("value against scale", {"mean": "9.8", "n": "12"}, {"mean": "10.8"}),
    ("change against scale", {"timepoint": "change", "mean": "-9.8"}, {"mean": "-10.8"}),
    ("change against scale", {"timepoint": "change", "mean": "9.8"}, {"mean": "10.8"}),
    ("value against scale", {"mean": "0.2", "n": "12"}, {"mean": "-0.2"}),
    ("SD against scale", {"mean": "5.1", "sd": "5.0", "n": "10"}, {"sd": "5.9"}),
    (
        "percentage of people",
        {"instrument": "proportion who improved", "unit": "%", "mean": "28.6", "n": "7"},
        {"mean": "30.0"},
    ),
    (
        "implausible effect",
        {"timepoint": "change", "instrument": "VAS 0-10 cm", "mean": "2.1", "sd": "0.9"},
        {"sd": "0.3"},
    ),
]


@pytest.mark.parametrize(("check", "cells", "broken"), ARM_MUTATIONS)
def test_a_check_of_an_arm_flags_the_broken_copy_only(check, cells, broken):
    assert statuses(check_arms([arm(**cells)], SCALES), check) == ["consistent"]
    assert statuses(check_arms([arm(**cells | broken)], SCALES), check) == ["flag"]


def test_what_cannot_be_tested_is_said_and_not_flagged():
    for cells in (
        {"mean": "1.58"},
        {"mean": "1.58", "n": "16", "instrument": "pain scale not named"},
        {"mean": "4.8", "n": "22"},
    ):
        found = [f for f in check_arms([arm(**cells)], SCALES) if f.check == "GRIM"]
        assert [f.status for f in found] == ["not assessable"]
        assert found[0].note


def test_scores_are_not_asked_to_be_whole_where_the_scale_is_not():
    rows = [arm(instrument="VAS 0-10 cm", mean="1.58", n="16")]
    assert statuses(check_arms(rows, SCALES), "GRIM") == []
    rows = [arm(instrument="Berg Balance Scale, percent change", unit="%", mean="7.87", n="16")]
    assert statuses(check_arms(rows, SCALES), "GRIM") == []


def test_without_scales_no_score_is_assessed():
    assert statuses(check_arms([arm(mean="1.58", n="16")], []), "GRIM") == ["not assessable"]


def test_a_flag_names_the_smaller_n_that_would_fit():
    """1.53 is 23 / 15, and no whole sum over 16."""
    found = next(f for f in check_arms([arm(mean="1.53", n="16")], SCALES) if f.check == "GRIM")
    assert found.status == "flag"
    assert "n = 15" in found.note
    assert "24.48" in found.arithmetic


def pair(**cells):
    base = {
        "outcome": "gait_speed",
        "instrument": "10 m walk",
        "unit": "m/s",
        "higher_is": "better",
    }
    one = arm(mean="1.20", sd="0.30", n="16", **base)
    two = arm(
        arm_id="a902", arm="usual care", role="comparator", mean="1.10", sd="0.28", n="16", **base
    )
    return [one | cells, two]


def test_an_se_among_sds_is_flagged():
    assert statuses(check_arms(pair(), SCALES), "SD or SE") == ["consistent"]
    assert statuses(check_arms(pair(sd="0.07"), SCALES), "SD or SE") == ["flag"]


def test_a_difference_of_many_sds_is_flagged():
    assert statuses(check_arms(pair(), SCALES), "implausible effect") == ["consistent"]
    assert statuses(check_arms(pair(mean="2.20"), SCALES), "implausible effect") == ["flag"]
    assert statuses(check_arms(pair(mean="-0.20"), SCALES), "implausible effect") == ["flag"]


def test_two_units_of_one_quantity_must_spread_alike():
    newton = arm(
        outcome="pf_joint_force", instrument="peak", unit="N", mean="2277", sd="429", n="5"
    )
    weights = newton | {"arm_id": "a902", "unit": "body weights", "mean": "3.0", "sd": "0.6"}
    assert statuses(check_arms([newton, weights], []), "SD in two units") == ["consistent"]
    # The standard error of these 429 N.
    as_se = newton | {"sd": "192"}
    found = [f for f in check_arms([as_se, weights], []) if f.check == "SD in two units"]
    assert [f.status for f in found] == ["flag"]
    assert found[0].note.startswith("read as a standard error, the SD of a901 gives 0.85")


def test_change_must_be_what_lies_between_baseline_and_end():
    rows = [
        arm(arm_id="a901", timepoint="baseline", mean="6.1"),
        arm(arm_id="a902", timepoint="post", mean="4.2"),
        arm(arm_id="a903", timepoint="change", mean="1.9"),
    ]
    assert statuses(check_arms(rows, SCALES), "change against baseline") == ["consistent"]
    rows[2]["mean"] = "2.9"
    assert statuses(check_arms(rows, SCALES), "change against baseline") == ["flag"]


# Contrasts ---------------------------------------------------------------------------------------

ARMS = [
    arm(mean="1.56", sd="0.63", n="16"),
    arm(arm_id="a902", arm="usual care", role="comparator", mean="2.25", sd="0.86", n="16"),
]
SAME_PEOPLE = [
    arm(mean="3.4", sd="1.4", n="20", outcome="knee_load", instrument="force", higher_is="neutral"),
    arm(arm_id="a902", arm="forward", role="comparator", mean="4.5", sd="1.5", n="20",
        outcome="knee_load", instrument="force", higher_is="neutral"),
]  # fmt: skip
WITHIN = {
    "kind": "within_person", "paired": "yes", "outcome": "knee_load", "instrument": "force",
    "contrast": "backward vs forward", "higher_is": "neutral", "n_experimental": "20",
}  # fmt: skip
SIZES = {"n_experimental": "15", "n_comparator": "15"}

# t of these means is 2.59 on 30 df, p 0.015 (scipy.stats.ttest_ind_from_stats).
CONTRAST_MUTATIONS = [
    ("p from means", {"p_value": "0.015", "p_op": "="}, {"p_value": "0.030"}),
    ("p from means", {"p_value": "0.05", "p_op": "<"}, {"p_value": "0.01"}),
    ("p from means", {"p_value": "0.01", "p_op": ">"}, {"p_value": "0.05"}),
    (
        "p from means",
        WITHIN | {"p_value": "0.01", "p_op": "<"},
        # At r = -1 the differences spread most: t = 1.70 on 19 df, p = 0.11.
        {"p_value": "0.90", "p_op": "="},
    ),
    ("estimate from means", {"estimate_type": "MD", "estimate": "-0.69"}, {"estimate": "-0.96"}),
    ("estimate from means", {"estimate_type": "SMD", "estimate": "-0.89"}, {"estimate": "-1.14"}),
    (
        "estimate from means",
        WITHIN | {"estimate_type": "percent_change", "estimate": "-24.4"},
        {"estimate": "-32.4"},
    ),
    (
        "interval from means",
        {"estimate_type": "MD", "ci_low": "-1.23", "ci_high": "-0.15"},
        {"ci_high": "-0.51"},
    ),
    (
        "interval around estimate",
        {"estimate_type": "MD", "estimate": "-0.69", "ci_low": "-1.23", "ci_high": "-0.15"},
        {"ci_high": "0.15"},
    ),
    (
        "interval around estimate",
        {"estimate_type": "MD", "estimate": "-0.69", "ci_low": "-1.23", "ci_high": "-0.15"},
        {"ci_low": "-0.15", "ci_high": "-1.23"},
    ),
    (
        "p from interval",
        {"estimate_type": "MD", "estimate": "-0.69", "ci_low": "-1.23", "ci_high": "-0.15",
         "p_value": "0.012", "p_op": "="},
        {"p_value": "0.120"},
    ),
    (
        "p from test",
        SIZES | {"t_value": "-1.374", "p_value": "0.180", "p_op": "="},
        {"t_value": "-1.734"},
    ),
    ("p from test", SIZES | {"f_value": "4.20", "p_value": "0.05", "p_op": "="},
     {"f_value": "-4.20"}),
    ("direction", {"direction": "lower"}, {"direction": "higher"}),
    (
        "direction",
        {"direction": "lower", "estimate_type": "MD", "estimate": "-0.69"},
        {"estimate": "0.69"},
    ),
    ("side favoured", {"direction": "lower", "favours": "experimental"}, {"favours": "comparator"}),
    ("null against p", {"direction": "none", "p_value": "0.40", "p_op": "="}, {"p_value": "0.04"}),
    ("implausible effect", {"estimate_type": "SMD", "estimate": "-0.89"}, {"estimate": "-8.9"}),
    (
        "implausible effect",
        WITHIN | {"p_value": "0.0004", "p_op": "="},
        {"p_value": "0.000000000000004"},
    ),
    ("percentage fall", {"estimate_type": "percent_change", "estimate": "-32"},
     {"estimate": "-320"}),
]  # fmt: skip


@pytest.mark.parametrize(("check", "cells", "broken"), CONTRAST_MUTATIONS)
def test_a_check_of_a_contrast_flags_the_broken_copy_only(check, cells, broken):
    arms = SAME_PEOPLE if cells.get("paired") == "yes" else ARMS
    if check in ("implausible effect", "percentage fall", "p from test"):
        arms = []
    assert statuses(check_contrasts([contrast(**cells)], arms), check) == ["consistent"]
    assert statuses(check_contrasts([contrast(**cells | broken)], arms), check) == ["flag"]


def test_an_improvement_printed_as_a_positive_number_keeps_its_direction():
    """Reductions of 1.8 and 1.0 points: the value is lower with backward walking."""
    cells = {"timepoint": "change", "unit": "points (reduction)", "higher_is": "better"}
    arms = [
        arm(mean="1.8", **cells),
        arm(arm_id="a902", arm="usual care", role="comparator", mean="1.0", **cells),
    ]
    row = contrast(timepoint="change", direction="lower")
    assert statuses(check_contrasts([row], arms), "direction") == ["consistent"]
    assert statuses(check_contrasts([row | {"direction": "higher"}], arms), "direction") == ["flag"]


@pytest.mark.parametrize(
    "cells",
    [{"note": "time by group interaction of a repeated-measures ANOVA"}, {"outcome": "function"},
     {"kind": "within_group_change", "paired": "yes"}],
)  # fmt: skip
def test_a_p_of_something_else_is_not_held_against_the_means(cells):
    row = contrast(p_value="0.40", p_op="=", **cells)
    assert statuses(check_contrasts([row], ARMS), "p from means") == ["not assessable"]


def test_a_p_may_be_that_of_welch():
    """Means of yang2005: Student gives 0.0226 to 0.0229, Welch 0.0240 to 0.0244 (scipy)."""
    arms = [ARMS[0] | {"mean": "44.07", "sd": "53.29", "n": "13"},
            ARMS[1] | {"mean": "5.3", "sd": "13.91", "n": "12"}]  # fmt: skip
    for p, status in (("0.024", "consistent"), ("0.023", "consistent"), ("0.018", "flag")):
        rows = [contrast(p_value=p, p_op="=")]
        assert statuses(check_contrasts(rows, arms), "p from means") == [status]


def test_a_one_sided_p_is_named_as_an_explanation():
    row = contrast(p_value="0.0074", p_op="=")
    found = next(f for f in check_contrasts([row], ARMS) if f.check == "p from means")
    assert found.status == "flag"
    assert "a one-sided t test gives the printed p" in found.note


def test_arms_are_matched_by_name_before_role_and_never_by_guess():
    third = arm(arm_id="a903", arm="forward", role="comparator", mean="2.0", sd="0.8", n="16")
    found = arms_of(contrast(contrast="backward vs forward"), [*ARMS, third])
    assert found is not None
    assert (found.one["arm_id"], found.two["arm_id"]) == ("a901", "a903")
    assert arms_of(contrast(contrast="walking vs rest"), [*ARMS, third]) is None
    assert arms_of(contrast(kind="other", contrast="walking vs rest"), ARMS) is None
    assert arms_of(contrast(kind="within_group_change", contrast="post vs pre"), ARMS) is None


def test_a_change_may_meet_values_after_treatment_and_says_so():
    row = contrast(timepoint="change", p_value="0.40", p_op="=")
    found = next(f for f in check_contrasts([row], ARMS) if f.check == "p from means")
    assert found.status == "flag"
    assert "a difference at baseline" in found.note


# Reviews, safety, baselines ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "broken"),
    [("interval around estimate", {"ci_high": "0.63"}), ("p from interval", {"p_value": "0.02"})],
)
def test_a_check_of_a_review_flags_the_broken_copy_only(check, broken):
    row = review(p_value="0.001", p_op="<")
    assert statuses(check_reviews([row]), check) == ["consistent"]
    assert statuses(check_reviews([row | broken | {"p_op": "="}]), check) == ["flag"]


def test_more_events_than_people_are_flagged():
    row = dict.fromkeys(rv.load("safety").columns, "")
    row |= {"safety_id": "s91", "study_id": "one2020", "exclude": "no", "n": "16"}
    row |= {"adverse_events": "3", "note": "94% completed the programme"}
    assert [f.status for f in module._safety([row])] == ["consistent", "consistent"]
    broken = row | {"adverse_events": "17", "note": "91% completed the programme"}
    assert [f.status for f in module._safety([broken])] == ["flag", "flag"]


def baseline_rows(gap):
    rows = []
    for i, instrument in enumerate(("age", "mass", "height", "speed")):
        cells = {"timepoint": "baseline", "instrument": instrument, "n": "20", "sd": "10.00"}
        rows.append(arm(arm_id=f"a{900 + 2 * i}", mean="50.00", **cells))
        rows.append(
            arm(arm_id=f"a{901 + 2 * i}", arm="usual care", role="comparator",
                mean=f"{50 + gap:.2f}", **cells)
        )  # fmt: skip
    return rows


@pytest.mark.parametrize(("gap", "status"), [(0.01, "flag"), (2.5, "consistent"), (9, "flag")])
def test_baselines_too_alike_or_too_unlike_are_flagged(gap, status):
    found = list(module._baselines(baseline_rows(gap), [], {"one2020": "parallel_rct"}))
    assert [f.status for f in found] == [status]


def test_a_baseline_is_judged_only_where_groups_were_allocated():
    assert not list(module._baselines(baseline_rows(2.5), [], {"one2020": "cross_sectional"}))


# The library's tables ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    return integrity()


def test_every_finding_is_complete(found):
    assert set(found["status"]) <= {"consistent", "flag", "not assessable"}
    assert (found.loc[found["status"] == "not assessable", "note"] != "").all()
    flags = found[found["status"] == "flag"]
    assert (flags["arithmetic"] != "").all()
    assert (flags["printed"] != "").all()
    assert not found.duplicated(["study_id", "rows", "check", "arithmetic"]).any()


def test_every_row_named_is_in_the_tables(found):
    known = set()
    for name, key in (("arms", "arm_id"), ("contrasts", "contrast_id"),
                      ("reviews", "review_id"), ("safety", "safety_id")):  # fmt: skip
        known |= set(rv.load(name)[key])
    named = {one for rows in found["rows"] if rows for one in rows.split(";")}
    assert named <= known
    assert flagged_rows() <= named


@pytest.mark.parametrize(
    ("rows", "check"),
    [
        ("r15", "interval around estimate"),  # chen2020a: a limit with the sign of the other side
        ("r16", "interval around estimate"),
        ("r16", "p from interval"),
        ("c189;a061;a062", "p from means"),  # chen2021: sway area
        ("a112;a114", "SD in two units"),  # flynn1995: 192 N
        ("a140", "implausible effect"),  # jamil2024: Berg gains
        ("a141", "implausible effect"),
        ("c404", "p from test"),  # kim2017: F below 0
    ],
)
def test_the_doubtful_rows_that_readers_noted_are_found_by_the_arithmetic(found, rows, check):
    one = found[(found["rows"] == rows) & (found["check"] == check)]
    assert one["status"].tolist() == ["flag"]


def test_the_study_level_smds_of_the_cochrane_review_follow_from_its_means(found):
    again = found[(found["check"] == "estimate from means") & (found["used"] == "yes")]
    assert len(again) >= 8
    assert set(again["status"]) == {"consistent"}


def test_flags_speak_of_numbers_and_of_nobody(found):
    said = " ".join(found[["arithmetic", "note", "recomputed"]].to_numpy().ravel()).lower()
    for word in ("fraud", "fabricat", "author", "misconduct", "suspicio", "manipulat", "careless"):
        assert word not in said


def test_scales_name_the_page_they_were_read_on():
    scales = pd.read_csv(data_dir() / "instruments.csv", dtype=str)
    ranged = scales[scales["low"].notna() | scales["whole_numbers"].notna()]
    assert ranged["source_url"].str.startswith("http").all()
    assert ranged["locator"].notna().all()


# With and without --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared():
    return compare_verdicts().set_index("claim_id")


def test_with_all_rows_the_verdicts_are_those_of_check_all(compared):
    verdicts = rv.check_all().set_index("claim_id")["verdict"]
    assert compared["verdict"].to_dict() == verdicts.to_dict()


def test_a_claim_on_which_no_flag_bears_keeps_every_number(compared):
    untouched = compared[compared["rows_left_out"] == ""]
    assert len(untouched)
    for column in ("verdict", "estimate", "k"):
        pd.testing.assert_series_equal(
            untouched[column], untouched[f"{column}_without"], check_names=False
        )


def test_leaving_out_flagged_rows_is_judging_without_their_lines(compared, tmp_path):
    """The same claim judged on tables whose selection was thinned by hand."""
    claim = "heart_rate_higher"
    assert "c383" in compared.loc[claim, "rows_left_out"].split(";")
    shutil.copytree(data_dir(), tmp_path / "data")
    shutil.copy(bibliography_path(), tmp_path / "data" / "references.bib")
    path = tmp_path / "data" / "selection.csv"
    with path.open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    cells = [header.index(c) for c in ("experimental", "comparator", "contrast")]
    flagged = flagged_rows()
    kept = [x for x in lines if not any(set(x[i].split(";")) & flagged for i in cells)]
    assert 0 < len(lines) - len(kept) < 40
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *kept])
    by_hand = rv.check(claim, data=tmp_path / "data")
    assert compared.loc[claim, "verdict_without"] == by_hand.verdict
    assert compared.loc[claim, "estimate_without"] == by_hand.estimate
    assert compared.loc[claim, "k_without"] == by_hand.k < compared.loc[claim, "k"]


def test_a_broken_number_in_a_copy_of_the_tables_is_flagged(tmp_path):
    """From file to flag: one digit of one mean is changed."""
    folder = tmp_path / "data"
    shutil.copytree(data_dir(), folder)
    path = folder / "arms.csv"
    text = path.read_text(encoding="utf-8")
    line = next(x for x in text.splitlines() if x.startswith("a067,"))
    assert line.count(",1.56,") == 1
    path.write_text(text.replace(line, line.replace(",1.56,", ",1.58,")), encoding="utf-8")
    new = flagged_rows(folder) - flagged_rows()
    assert "a067" in new
    assert "c193" in new, "the estimate no longer follows from the means"
