"""Verdicts, traces and evidence on the library's own tables."""

import dataclasses
import math

import pandas as pd
import pytest

import retroevidence as rv
from retroevidence.claims import rules
from retroevidence.errors import RetroEvidenceError, UnknownNameError

CLAIMS = [str(c) for c in rv.load("claims")["claim_id"]]


@pytest.fixture(scope="module")
def checked():
    return {claim: rv.check(claim) for claim in CLAIMS}


def test_all_29_claims_have_a_verdict_of_the_rule_with_a_reason(checked):
    assert len(checked) == 29
    for result in checked.values():
        assert result.verdict in rules.VERDICTS
        assert result.reason
        assert result.certainty_reasons


def test_check_all_says_what_check_says(checked):
    table = rv.check_all()
    assert table["claim_id"].tolist() == CLAIMS
    assert table["verdict"].tolist() == [checked[c].verdict for c in CLAIMS]


def test_the_headline_is_the_pooled_result_of_the_rows_that_entered(checked):
    result = checked["heart_rate_higher"]
    again = rv.pool(result.effects[result.effects["rung"] == "effects"], test="adhoc")
    assert result.rung == "effects"
    assert again.estimate == result.estimate
    assert result.k == again.k >= 2


def test_results_known_between_limits_enter_the_headline(checked):
    result = checked["knee_pain"]
    again = rv.pool_censored(result.effects)
    assert result.rung == "effects and bounds"
    assert (result.estimate, result.k) == (again.estimate, again.k)
    assert result.k == result.pooled.k + 1  # anon_cairo45_nd, reported as p > .05


def test_energy_cost_gives_the_probability_of_the_claimed_range(checked):
    extra = checked["energy_cost"].extra
    assert 0 < extra["p_new_in_range"] <= extra["p_mean_in_range"] < 1


def test_walking_has_no_patellofemoral_result_and_running_is_shown_apart(checked):
    result = checked["pf_load"]
    assert result.verdict == rules.NO_EVIDENCE
    assert result.analyses["running"].k == 2
    assert "running" in result.reason


def test_harms_count_only_arms_that_report_numbers(checked):
    result = checked["safety"]
    assert (result.extra["events"], result.extra["people"]) == (0, 34)
    # Exact upper limit with no event: 1 - (0.025)^(1/n), Clopper and Pearson 1934.
    assert result.ci_high == pytest.approx(1 - 0.025 ** (1 / 34), rel=1e-12)


def test_older_adults_silence_is_not_zero(checked):
    assert checked["older_adults"].verdict == rules.NO_EVIDENCE
    assert math.isnan(checked["older_adults"].estimate)


def test_no_sample_is_counted_twice_in_a_main_analysis(checked):
    groups = rv.load("studies").set_index("study_id")["overlap_group"]
    for claim, result in checked.items():
        if "comparison" not in result.effects or "rung" not in result.effects:
            continue
        assert result.effects["comparison"].is_unique, claim
        seen = groups.reindex(result.effects["study_id"].unique()).dropna()
        assert seen.is_unique, (claim, seen.tolist())


def test_only_walking_enters_a_main_analysis(checked):
    tasks = rv.load("studies").set_index("study_id")["task"]
    for claim, result in checked.items():
        if "rung" in result.effects:
            used = tasks.reindex(result.effects["study_id"])
            assert set(used) <= {"walking", "mixed"}, claim


def test_no_excluded_row_and_no_change_within_a_group_is_counted():
    selection = rv.load("selection")
    counted = selection[selection["enters"] != "shown"]
    contrasts = rv.load("contrasts").set_index("contrast_id")
    arms = rv.load("arms").set_index("arm_id")
    for row in counted.itertuples():
        for cell, table in (
            (row.experimental, arms),
            (row.comparator, arms),
            (row.contrast, contrasts),
        ):
            for key in [] if pd.isna(cell) else str(cell).split(";"):
                if key in table.index:
                    assert table.loc[key, "exclude"] == "no", (row.claim_id, key)
                    if table is contrasts:
                        kind = table.loc[key, "kind"]
                        assert kind in ("between_groups", "within_person"), (row.claim_id, key)


def test_every_selected_row_exists_and_belongs_to_its_study():
    homes = {
        key: study
        for table, column in (
            ("arms", "arm_id"),
            ("contrasts", "contrast_id"),
            ("reviews", "review_id"),
            ("safety", "safety_id"),
        )
        for key, study in rv.load(table).set_index(column)["study_id"].items()
    }
    for row in rv.load("selection").itertuples():
        for cell in (row.experimental, row.comparator, row.contrast):
            for key in [] if pd.isna(cell) else str(cell).split(";"):
                assert homes[key] == row.study_id, (row.claim_id, key)


def test_every_selection_line_gives_its_reason():
    assert rv.load("selection")["reason"].notna().all()


def test_trace_leaves_no_number_without_a_page(checked):
    for claim, result in checked.items():
        if result.rung not in ("effects", "p-values", "directions"):
            continue
        rows = rv.trace(result)
        assert len(rows) >= result.k, claim
        for column in ("study_id", "how", "printed", "rows", "locator", "source_url"):
            assert rows[column].astype(str).str.len().min() > 0, (claim, column)


def test_trace_leaves_no_pooled_number_without_a_page(checked):
    seen = 0
    for result in checked.values():
        for pooled in (result.pooled, result.censored, *result.analyses.values()):
            if pooled is not None:
                rows = rv.trace(pooled)
                assert len(rows) == pooled.k
                assert rows["printed"].str.len().min() > 0
                assert rows["source_url"].str.len().min() > 0
                seen += 1
    assert seen >= 20


def test_trace_of_an_effect_repeats_what_the_page_prints():
    row = rv.trace(rv.check("knee_pain")).set_index("study_id").loc["chen2021"]
    # chen2021, abstract: 1.56 (0.63) against 2.25 (0.86), 16 people in each group.
    assert "1.56 (SD 0.63, n 16)" in row["printed"]
    assert "2.25 (SD 0.86, n 16)" in row["printed"]


def test_weights_of_a_trace_add_up_to_100_percent(checked):
    weights = rv.trace(checked["knee_pain"])["weight"]
    assert weights.sum() == pytest.approx(100, rel=1e-12)  # sums in double precision
    assert weights.notna().sum() == checked["knee_pain"].k


def test_source_rows_are_the_rows_of_the_tables(checked):
    rows = rv.source_rows(checked["knee_pain"])
    assert {"arms", "contrasts"} >= set(rows["table"])
    assert set(rows.loc[rows["table"] == "arms", "row_id"]) <= set(rv.load("arms")["arm_id"])


def test_bare_numbers_cannot_be_traced():
    with pytest.raises(RetroEvidenceError, match="no source rows"):
        rv.trace(rv.pool(yi=[0.1, 0.2], vi=[0.1, 0.1]))


def test_counts_have_no_effects_to_trace(checked):
    with pytest.raises(RetroEvidenceError, match="rests on counts"):
        rv.trace(checked["safety"])


def test_an_unknown_claim_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'knee_pain'"):
        rv.check("knee_pian")


def test_a_result_is_frozen_and_shows_itself(checked):
    result = checked["knee_function"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.verdict = "supported"
    text, page = repr(result), result._repr_html_()
    for part in (result.verdict, result.certainty, result.claim["statement"]):
        assert part in text
        assert part in page


def test_every_evidence_row_of_an_outcome_can_be_asked_for():
    pain = rv.effects("pain", measure="SMD", condition="knee_oa")
    assert set(pain["basis"]) <= {"reported", "derived", "bounded", "unusable"}
    assert (pain.loc[pain["basis"] == "unusable", "how"].str.len() > 0).all()
    assert pain.loc[pain["basis"] == "reported", ["yi", "vi"]].notna().to_numpy().all()
