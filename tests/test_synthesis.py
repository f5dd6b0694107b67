"""The ladder of synthesis and the rating of certainty, on small tables made by hand."""

import math

import pandas as pd
import pytest
from scipy import stats

from retroevidence.claims import certainty, rules
from retroevidence.claims.synthesis import (
    DIRECTIONS,
    EFFECTS,
    NONE,
    P_VALUES,
    WITH_BOUNDS,
    classify,
    synthesise,
)

EMPTY = {
    "yi": math.nan,
    "vi": math.nan,
    "lower": math.nan,
    "upper": math.nan,
    "p_one_sided": math.nan,
    "direction": math.nan,
    "measure": "SMD",
    "n_experimental": 20,
    "n_comparator": 20,
    "indirect": "",
}
EFFECT = {"yi": 0.5, "vi": 0.04, "direction": 1.0}
P = {"p_one_sided": 0.01, "direction": 1.0}
UP = {"direction": 1.0}
WITHIN = {"vi": 0.1, "lower": -0.6, "upper": 0.6, "p_one_sided": 0.5}
NULL = {"direction": 0.0, "p_one_sided": 0.5}


def frame(*rows):
    table = pd.DataFrame([EMPTY | row for row in rows], columns=list(EMPTY))
    table["study_id"] = [f"s{i}" for i in range(len(table))]
    table["comparison"] = table["study_id"]
    return table


def run(*rows, sign=1, **options):
    table = classify(frame(*rows), sign)
    return table, synthesise(table, sign, smallest=0.2, **options)


@pytest.mark.parametrize(
    ("rows", "rung"),
    [
        ([EFFECT, EFFECT, WITHIN, P], WITH_BOUNDS),
        ([EFFECT, WITHIN, P], P_VALUES),
        ([EFFECT, EFFECT, P, UP], EFFECTS),
        ([EFFECT, P, UP], P_VALUES),
        ([P, UP], DIRECTIONS),
        ([UP], DIRECTIONS),
        ([{}], NONE),
        ([], NONE),
    ],
)
def test_the_highest_rung_with_enough_comparisons_is_the_headline(rows, rung):
    assert run(*rows)[1].rung == rung


def test_nothing_usable_is_said_and_not_called_no_effect():
    assert run({})[1].verdict.word == rules.NO_EVIDENCE


def test_a_null_known_between_limits_pulls_the_mean_and_both_are_shown():
    result = run(EFFECT | {"yi": 0.9}, EFFECT | {"yi": 0.8}, WITHIN)[1]
    by_rung = result.rungs.set_index("rung")["estimate"]
    assert by_rung[WITH_BOUNDS] < by_rung[EFFECTS]
    assert result.headline is result.censored
    assert result.censored.k_bounded == 1


def test_an_effect_also_counts_on_the_lower_rungs():
    table, result = run(EFFECT, P)
    # A normal test of 0.5 with standard error 0.2, combined with p = .01 by Stouffer.
    z = (2.5 + stats.norm.isf(0.01)) / math.sqrt(2)
    combined = result.rungs.set_index("rung").loc[P_VALUES]
    assert combined["k"] == 2
    assert combined["p_value"] == pytest.approx(stats.norm.sf(z), rel=1e-9)  # double precision
    assert table["p_claim"].iloc[0] == pytest.approx(stats.norm.sf(2.5), rel=1e-9)


def test_a_claim_of_less_turns_p_values_and_directions():
    table, result = run(P, P, P, sign=-1)
    assert table["p_claim"].tolist() == pytest.approx([0.99] * 3)
    assert table["for_claim"].tolist() == [-1.0] * 3
    assert result.verdict.word == rules.LEANS_AGAINST


def test_null_reports_pull_a_combination_to_no_effect():
    alone = run(P, P)[1].rungs.set_index("rung").loc[P_VALUES, "p_value"]
    diluted = run(P, P, NULL, NULL)[1].rungs.set_index("rung").loc[P_VALUES, "p_value"]
    assert diluted > alone


def test_p_values_cannot_judge_a_range():
    result = run(P, P, P, limits=(0.1, 0.2))[1]
    assert result.rung == P_VALUES
    assert result.verdict.word == rules.INCONCLUSIVE


def test_verdicts_rest_on_the_interval_that_is_never_narrower_than_the_normal_one():
    # Two nearly identical studies: the plain Knapp-Hartung interval is next to nothing.
    pooled = run(EFFECT, EFFECT | {"yi": 0.501})[1].pooled
    assert pooled.ci.high - pooled.ci.low >= 2 * stats.norm.isf(0.025) * math.sqrt(0.04 / 2)


def rated(rows, designs):
    table, result = run(*rows)
    return certainty.rate(result, table, pd.Series(designs, index=table.index))


BIG = EFFECT | {"n_experimental": 300, "n_comparator": 300, "vi": 0.001}


def test_randomised_precise_consistent_evidence_loses_only_the_unassessed_step():
    level = rated([BIG] * 6, ["parallel_rct"] * 6)
    assert level.level == "moderate"
    assert sum(reason.startswith("-") for reason in level.reasons) == 1


def test_each_weakness_costs_a_step():
    strong = ["parallel_rct"] * 6
    small = [row | {"n_experimental": 20, "n_comparator": 20} for row in [BIG] * 6]
    assert rated(small, strong).level == "low"
    assert rated([BIG] * 6, ["pre_post", *strong[1:]]).level == "very low"
    indirect = [row | {"indirect": "running"} for row in [BIG] * 6]
    assert rated(indirect, strong).level == "low"


def test_people_in_a_paired_comparison_are_counted_once():
    paired = BIG | {"measure": "ROMC", "n_experimental": 60, "n_comparator": 60}
    reasons = rated([paired] * 6, ["within_subject"] * 6).reasons
    assert any("360 people" in reason for reason in reasons)


def test_disagreeing_directions_are_inconsistent():
    down = {"direction": -1.0, "p_one_sided": 0.99}
    reasons = rated([P, P, down], ["parallel_rct"] * 3).reasons
    assert any("1 of 3 directions disagree" in reason for reason in reasons)
