"""Recomputed p-values of printed tests: against scipy over all roundings."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from retroevidence.effects.possible.p_values import (
    correlation_for_p,
    p_fits,
    p_from_f,
    p_from_interval,
    p_from_t,
    paired_t_test,
    t_test,
)
from retroevidence.effects.possible.printed import printed
from retroevidence.effects.possible.ranges import Range
from retroevidence.errors import EffectError

GROUPS = [
    ("51.4", "1.8", 13, "47.3", "3.7", 13),
    ("44.07", "53.29", 13, "5.3", "13.91", 12),
    ("0.09", "0.076", 13, "-0.0064", "0.078", 12),
    ("3", "1", 8, "3", "1", 9),
]


def grid(text, steps=5):
    number = printed(text)
    return [float(number.low + (number.high - number.low) * i / (steps - 1)) for i in range(steps)]


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("group", GROUPS)
def test_the_range_of_p_is_that_of_scipy_over_all_roundings(group, equal):
    m1, s1, n1, m2, s2, n2 = group
    found = t_test(*group, equal_variances=equal)
    p = [
        stats.ttest_ind_from_stats(a, max(b, 0), n1, c, max(d, 0), n2, equal_var=equal).pvalue
        for a, b, c, d in product(grid(m1), grid(s1), grid(m2), grid(s2))
    ]
    # The grid holds the corners, where the extremes are; 1e-9 is floating point.
    assert found.p.low == pytest.approx(min(p), rel=1e-9)
    assert found.p.high == pytest.approx(max(p), rel=1e-9)


@pytest.mark.parametrize("r", np.linspace(-1, 0.999, 9))
def test_the_paired_range_holds_every_correlation(r):
    m1, s1, m2, s2, n = 3.4, 1.4, 4.5, 1.5, 20
    sd = math.sqrt(s1**2 + s2**2 - 2 * r * s1 * s2)
    p = 2 * stats.t.sf(abs(m1 - m2) * math.sqrt(n) / sd, n - 1)
    found = paired_t_test("3.4", "1.4", "4.5", "1.5", n).p
    assert found.low <= p <= found.high
    back = correlation_for_p("3.4", "1.4", "4.5", "1.5", n, p)
    # A p near 1e-16 carries few digits back to r.
    assert back == pytest.approx(r, abs=1e-4)


@pytest.mark.parametrize(("t", "df", "p"), [("-1.374", 28, 0.180), ("-1.628", 28, 0.115)])
def test_p_from_t_gives_what_is_printed(t, df, p):
    """The baseline rows of phrir28, and scipy."""
    found = p_from_t(t, df)
    assert p_fits(f"{p:.3f}", "=", found)
    assert found.low <= 2 * stats.t.sf(abs(float(t)), df) <= found.high
    assert found.low == pytest.approx(2 * stats.t.sf(abs(float(t)) + 0.0005, df), rel=1e-9)


def test_p_from_f_is_that_of_scipy_and_of_t_squared():
    found = p_from_f("6.25", 1, 30)
    assert found.low == pytest.approx(stats.f.sf(6.255, 1, 30), rel=1e-9)
    assert found.high == pytest.approx(stats.f.sf(6.245, 1, 30), rel=1e-9)
    assert found.meets(p_from_t("2.50", 30))
    with pytest.raises(EffectError, match="cannot be negative"):
        p_from_f("-12.09", 1, 30)


@pytest.mark.parametrize(
    ("p", "op", "low", "high", "fits"),
    [("0.05", "<", 0.049, 0.06, True), ("0.05", "<", 0.05, 0.06, False),
     ("0.05", ">", 0.01, 0.051, True), ("0.05", ">", 0.01, 0.05, False),
     ("0.000", "=", 0.0004, 0.01, True), ("0.000", "=", 0.0006, 0.01, False),
     ("0.03", "=", 0.035, 0.04, True), ("0.03", "=", 0.0351, 0.04, False)],
)  # fmt: skip
def test_bounds_are_strict_and_rounding_is_not(p, op, low, high, fits):
    assert p_fits(p, op, Range(low, high)) is fits


@pytest.mark.parametrize("p", [0.001, 0.04, 0.3])
def test_p_from_an_interval_returns_the_p_it_was_made_from(p):
    estimate = 2.0
    se = estimate / stats.norm.isf(p / 2)
    ends = [f"{estimate + side * 1.959964 * se:.6f}" for side in (-1, 1)]
    found = p_from_interval("2.000000", *ends)
    # Six decimals of the limits leave p known to about 1e-5 of itself.
    assert found.low == pytest.approx(p, rel=1e-4)
    assert found.high == pytest.approx(p, rel=1e-4)


def test_an_interval_narrower_than_its_rounding_leaves_any_p_below_its_largest():
    # The limits may be one number, so the standard error may be 0 but never below.
    found = p_from_interval("0.1", "0.1", "0.1")
    assert found.low == 0
    widest = 0.1 / (2 * stats.norm.ppf(0.975))
    assert found.high == pytest.approx(2 * stats.norm.sf(0.05 / widest), rel=1e-9)
