"""The written rule: each verdict from numbers made to earn it, and the borders between verdicts."""

import math

import pytest

from retroevidence.claims import rules
from retroevidence.meta.pool import pool

PRECISE = [0.001] * 6


def pooled(yi, vi=PRECISE):
    return pool(yi=yi, vi=vi[: len(yi)], test="adhoc")


NEAR = [0.48, 0.5, 0.52, 0.49, 0.51, 0.5]


def test_consistent_effects_on_the_claimed_side_support_it():
    assert rules.from_effects(pooled(NEAR), 1, 0.2).word == rules.SUPPORTED


def test_the_same_effects_contradict_the_opposite_claim():
    assert rules.from_effects(pooled(NEAR), -1, 0.2).word == rules.CONTRADICTED


def test_four_results_never_do_more_than_lean():
    four = pooled(NEAR[:4], [1e-5] * 4)
    assert four.prediction.low > 0
    assert rules.from_effects(four, 1, 0.2).word == rules.LEANS_SUPPORTED
    assert rules.from_effects(four, -1, 0.2).word == rules.LEANS_AGAINST


def test_an_effect_below_what_matters_only_leans():
    verdict = rules.from_effects(pooled(NEAR), 1, 0.8)
    assert verdict.word == rules.LEANS_SUPPORTED
    assert "below the smallest difference that matters" in verdict.reason


def test_a_prediction_interval_across_zero_only_leans():
    result = pooled([0.1, 0.9, 0.3, 0.8, 0.2, 0.9])
    assert result.ci.low > 0 > result.prediction.low
    assert rules.from_effects(result, 1, 0.2).word == rules.LEANS_SUPPORTED


def test_a_precise_null_leans_against_a_difference_that_matters():
    result = pooled([0.01, -0.01, 0.02, -0.02, 0.0, 0.01])
    assert rules.from_effects(result, 1, 0.2).word == rules.LEANS_AGAINST


def test_a_wide_interval_around_zero_is_inconclusive():
    result = pooled([0.9, -0.7, 0.4, -0.5], [0.3] * 4)
    assert rules.from_effects(result, 1, 0.2).word == rules.INCONCLUSIVE


def test_ninety_percent_of_the_chance_leans_and_less_does_not():
    # Two equal studies: the modified interval has one degree of freedom and SE sqrt(v / 2), so the
    # chance of a positive mean is the Cauchy distribution function at estimate / SE.
    needed = math.tan(math.pi * (rules.LEANING - 0.5))
    for factor, word in ((1.01, rules.LEANS_SUPPORTED), (0.99, rules.INCONCLUSIVE)):
        size = factor * needed * math.sqrt(0.04 / 2)
        result = pool(yi=[size, size], vi=[0.04, 0.04], test="adhoc")
        assert rules.from_effects(result, 1, 0.0).word == word


def test_range_probabilities_add_up():
    result = pooled(NEAR)
    mean, new = rules.probability_between(result, -math.inf, math.inf)
    assert mean == pytest.approx(1, abs=1e-12)  # the whole line holds all probability
    assert new == pytest.approx(1, abs=1e-12)
    low, high = result.ci
    # The 95 % interval holds 95 % by construction; rounding error only.
    assert rules.probability_between(result, low, high)[0] == pytest.approx(0.95, abs=1e-9)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.4, 0.6, rules.SUPPORTED),
        (0.499, 0.9, rules.LEANS_SUPPORTED),
        (0.503, 0.9, rules.INCONCLUSIVE),
        (0.52, 0.9, rules.LEANS_AGAINST),
        (0.7, 0.9, rules.CONTRADICTED),
    ],
)
def test_a_claimed_range(low, high, word):
    assert rules.from_range(pooled(NEAR), low, high).word == word


@pytest.mark.parametrize(
    ("p", "n_for", "n_against", "n_null", "sign_p", "word"),
    [
        (0.001, 8, 0, 0, 0.008, rules.SUPPORTED),
        (0.001, 3, 0, 0, 0.25, rules.LEANS_SUPPORTED),
        (0.001, 3, 1, 1, 0.6, rules.INCONCLUSIVE),
        (0.2, 8, 0, 0, 0.008, rules.INCONCLUSIVE),
        (0.999, 0, 3, 0, 0.25, rules.LEANS_AGAINST),
        (0.999, 0, 8, 0, 0.008, rules.CONTRADICTED),
    ],
)
def test_combined_p_values(p, n_for, n_against, n_null, sign_p, word):
    k = n_for + n_against + n_null
    assert rules.from_p_values(p, k, n_for, n_against, n_null, sign_p).word == word


@pytest.mark.parametrize(
    ("n_for", "n_against", "n_null", "sign_p", "word"),
    [
        (9, 0, 0, 0.004, rules.LEANS_SUPPORTED),
        (9, 0, 6, 0.004, rules.INCONCLUSIVE),
        (0, 9, 0, 0.004, rules.LEANS_AGAINST),
        (4, 0, 0, 0.125, rules.INCONCLUSIVE),
    ],
)
def test_directions_never_do_more_than_lean(n_for, n_against, n_null, sign_p, word):
    assert rules.from_directions(n_for, n_against, n_null, sign_p).word == word


@pytest.mark.parametrize(
    ("events", "n", "upper", "wider", "word"),
    [
        (0, 400, 0.009, 0.0, rules.SUPPORTED),
        (0, 34, 0.103, 0.0375, rules.LEANS_SUPPORTED),
        (0, 34, 0.103, 0.08, rules.INCONCLUSIVE),
        (4, 34, 0.27, 0.1, rules.LEANS_AGAINST),
    ],
)
def test_harms(events, n, upper, wider, word):
    assert rules.from_harms(events, n, upper, 0.05, wider).word == word


def test_an_audit_with_references_not_located_never_contradicts():
    assert rules.from_audit(0, 0, 6).word == rules.LEANS_AGAINST
    assert rules.from_audit(6, 0, 0).word == rules.SUPPORTED
    assert rules.from_audit(4, 1, 1).word == rules.INCONCLUSIVE
