"""Printed SDs: the largest there can be, and those that are none."""

import statistics

import pytest
from scipy import stats

from retroevidence.effects.possible.spreads import (
    UNLIKE,
    compare_spread,
    largest_sd,
    relative_spread,
)


def test_the_largest_sd_is_reached_at_the_ends_of_the_scale():
    for high in range(1, 11):
        values = [0] * (11 - high) + [10] * high
        mean = f"{statistics.mean(values):.2f}"
        most = largest_sd(mean, 11, 0, 10)
        # The mean is known to 0.005, so the SD to about as much.
        assert most == pytest.approx(statistics.stdev(values), abs=0.02)
        assert most >= statistics.stdev(values) - 1e-9


def test_an_se_among_sds_is_found_and_the_sd_is_not():
    sd = ("50.2", "10.0", 25, "51.0", "9.6", 25)
    se = ("50.2", "2.0", 25, "51.0", "9.6", 25)
    turned = (*se[3:], *se[:3])
    assert compare_spread(*sd).suspect == 0
    assert compare_spread(*se).suspect == 1
    assert compare_spread(*turned).suspect == 2


def test_the_f_test_of_spreads_is_that_of_scipy():
    found = compare_spread("50", "2.0", 12, "50", "4.0", 20)
    assert found.p_sd == pytest.approx(2 * stats.f.sf(4.0, 19, 11), rel=1e-9)


def test_a_spread_that_grows_with_the_mean_is_no_se():
    """Gait symmetry in yang2005 and back muscle activity in masumoto2005."""
    assert compare_spread("44.07", "53.29", 13, "5.3", "13.91", 12).suspect == 0
    back = compare_spread("19.4", "6.8", 6, "13.1", "1.4", 6)
    assert back.suspect == 0
    assert back.p_sd < UNLIKE < back.p_cv


def test_relative_spread_does_not_depend_on_the_unit():
    found = relative_spread("1.000", "0.200", "9.810", "1.962")
    assert found.low < 1 < found.high


def test_an_se_is_found_where_spreads_grow_with_their_means():
    # An SD of 2 at a mean of 10 and of 20 at 100 is one relative spread; 0.5 is 2 over sqrt(16).
    # Without the means the larger SD is still ten times the smaller, even as an SD.
    found = compare_spread("10.0", "0.5", 16, "100.0", "20.0", 16)
    assert found.suspect == 1
    assert found.p_if_se == pytest.approx(1)
    assert stats.f.sf(100, 15, 15) < 0.01
