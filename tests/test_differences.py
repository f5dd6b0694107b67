"""Differences of printed means and SDs: against their formulas, and a published review."""

import math

import pytest
from scipy import stats

from retroevidence.effects.possible.differences import difference_interval, smd


def test_the_interval_of_a_difference_is_that_of_its_t_test():
    low, high = difference_interval("22.13", "2.35", 15, "18.20", "3.58", 15)
    sp = math.sqrt((2.35**2 + 3.58**2) / 2)
    reach = stats.t.ppf(0.975, 28) * sp * math.sqrt(2 / 15)
    assert low.low < 3.93 - reach < low.high
    assert high.low < 3.93 + reach < high.high
    # Rounding leaves 0.005 per mean and moves t SE by less than that.
    assert low.high - low.low < 0.03


def test_smd_is_hedges_g():
    g = (1.56 - 2.25) / math.sqrt((0.63**2 + 0.86**2) / 2) * (1 - 3 / (4 * 30 - 1))
    found = smd("1.56", "0.63", 16, "2.25", "0.86", 16)
    assert found.low < g < found.high
    # The study-level SMD of the Cochrane review CD004376.pub4, analysis 1.1, for chen2021.
    assert found.low < -0.892258 < found.high


def test_smd_holds_for_the_exact_factor_and_for_its_approximation():
    # With four people the two differ by more than a per cent: 0.5642 and 1 - 3/7.
    found = smd("1.0000", "1.0000", 2, "0.0000", "1.0000", 2)
    exact = math.gamma(1) / math.gamma(0.5)
    assert found.low == pytest.approx(exact, abs=2e-4)
    assert found.high == pytest.approx(4 / 7, abs=2e-4)
