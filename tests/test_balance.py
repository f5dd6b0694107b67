"""Baseline balance: against the t test, Stouffer's sum, and random trials."""

import math

import numpy as np
import pytest
from scipy import stats

from retroevidence.effects.possible.balance import baseline_p, combine_balance
from retroevidence.errors import EffectError


def test_with_many_decimals_the_baseline_p_is_that_of_the_t_test():
    p = stats.ttest_ind_from_stats(6.1, 1.2, 20, 6.5, 1.4, 20).pvalue
    found = baseline_p("6.10000", "1.20000", 20, "6.50000", "1.40000", 20)
    # Four standard errors of a share of 20 000 draws.
    assert found == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 20_000))


def test_coarse_rounding_leaves_the_baseline_p_in_the_middle():
    """Means printed without decimals tie most of the time; the mid-p stays near one half."""
    assert 0.4 < baseline_p("6", "1.0", 30, "6", "1.0", 30) < 0.6
    assert baseline_p("6.00", "1.00", 30, "6.00", "1.00", 30) > 0.95


def test_the_mid_p_of_random_trials_averages_one_half():
    rng = np.random.default_rng(5)
    found = []
    for _ in range(200):
        a, b = rng.normal(50, 10, 15), rng.normal(50, 10, 15)
        found.append(
            baseline_p(f"{a.mean():.0f}", f"{a.std(ddof=1):.1f}", 15,
                       f"{b.mean():.0f}", f"{b.std(ddof=1):.1f}", 15, draws=2_000)
        )  # fmt: skip
    # Four standard errors of the mean of 200 uniform numbers.
    assert np.mean(found) == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / 200))


def test_stouffer_is_that_of_scipy():
    p = [0.18, 0.115, 0.7, 0.93]
    expected = stats.combine_pvalues(p, method="stouffer").pvalue
    assert combine_balance(p).p == pytest.approx(expected, rel=1e-9)


def test_too_alike_and_too_unlike_baselines_stand_at_opposite_ends():
    assert combine_balance([0.97, 0.99, 0.96, 0.98]).p > 0.999
    assert combine_balance([0.01, 0.03, 0.02, 0.01]).p < 0.001
    with pytest.raises(EffectError, match="between 0 and 1"):
        combine_balance([])
