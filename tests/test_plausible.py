"""Arithmetic of printed numbers: against every sample there is, and against scipy."""

import math
import statistics
from decimal import ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from scipy import stats

from retroevidence.effects.possible import plausible
from retroevidence.effects.possible.balance import baseline_p, combine_balance
from retroevidence.effects.possible.grim import grim, grimmer, percentage
from retroevidence.effects.possible.plausible import Range
from retroevidence.effects.possible.printed import printed
from retroevidence.errors import EffectError

ROUNDINGS = (ROUND_HALF_UP, ROUND_HALF_DOWN, ROUND_HALF_EVEN)


def write(value, decimals, rule=ROUND_HALF_UP):
    """Return a fraction as a paper prints it."""
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return str(exact.quantize(Decimal(1).scaleb(-decimals), rounding=rule))


def write_sd(values, decimals):
    n, total = len(values), sum(values)
    variance = Fraction(sum(v * v for v in values) * n - total * total, n * (n - 1))
    exact = (Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt()
    return str(exact.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP))


# Printed numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "low", "high", "decimals"),
    [("3.50", "3.495", "3.505", 2), ("3.5", "3.45", "3.55", 1), ("48", "47.5", "48.5", 0),
     ("-0.41", "-0.415", "-0.405", 2), ("1.9e-06", "1.85e-6", "1.95e-6", 7),
     ("0", "-0.5", "0.5", 0)],
)  # fmt: skip
def test_trailing_zeros_say_how_far_a_number_reaches(text, low, high, decimals):
    number = printed(text)
    assert (number.low, number.high) == (Fraction(low), Fraction(high))
    assert number.decimals == decimals


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "3,5"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(EffectError, match="is no number"):
        printed(text)


# GRIM --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 13))
def test_grim_passes_exactly_the_means_that_whole_sums_round_to(n):
    """Exhaustive: all sums up to 3 per person, rounded by every rule; nothing else may pass."""
    occurring = {
        write(Fraction(total, n), 2, rule)
        for total in range(-3 * n, 3 * n + 1)
        for rule in ROUNDINGS
    }
    for hundredths in range(-300, 301):
        mean = write(Fraction(hundredths, 100), 2)
        assert grim(mean, n).possible == (mean in occurring), (mean, n)


def test_grim_of_item_averages_passes_exactly_the_means_that_occur():
    """Exhaustive: three people, each the average of four items scored 0 to 2."""
    occurring = {write(Fraction(total, 12), 2, rule) for total in range(25) for rule in ROUNDINGS}
    for hundredths in range(201):
        mean = write(Fraction(hundredths, 100), 2)
        assert grim(mean, 3, items=4).possible == (mean in occurring)


# pigs1 and pigs2 of the R package scrutiny with the printed output of grim_map(), README.md of
# github.com/lhdjung/scrutiny at 0b4c5b1.
@pytest.mark.parametrize(
    ("mean", "n", "possible"),
    [("7.22", 32, True), ("4.74", 25, False), ("5.23", 29, False), ("2.57", 24, False),
     ("6.77", 27, False), ("2.68", 28, True), ("7.01", 29, False), ("7.38", 26, True),
     ("3.14", 27, False), ("6.89", 31, False), ("5.00", 25, True), ("0.24", 28, False),
     # "GRIM" vignette of the same package, first example.
     ("5.27", 43, False),
     # Allard (2018), Analytic-GRIMMER, first example.
     ("3.45", 10, False),
     # Wikipedia, GRIM test, section Example: twenty rolls of a die.
     ("3.48", 20, False)],
)  # fmt: skip
def test_grim_agrees_with_published_examples(mean, n, possible):
    assert grim(mean, n).possible is possible


@pytest.mark.parametrize(
    ("percent", "possible"),
    [("67.4", False), ("54.2", False), ("54.0", True), ("69.8", False), ("68.1", False),
     ("55.4", False)],
)  # fmt: skip
def test_percentages_agree_with_published_examples(percent, possible):
    assert percentage(percent, 150).possible is possible


@pytest.mark.parametrize("n", [3, 7, 15, 22])
def test_percentages_pass_exactly_where_a_count_rounds_to_them(n):
    occurring = {write(Fraction(100 * x, n), 1, r) for x in range(n + 1) for r in ROUNDINGS}
    for tenths in range(1010):
        percent = write(Fraction(tenths, 10), 1)
        assert percentage(percent, n).possible == (percent in occurring)


def test_a_value_that_ends_in_five_may_be_rounded_either_way():
    """Twelve and three quarters, from 102 / 8."""
    assert grim("12.7", 8).possible
    assert grim("12.8", 8).possible
    assert grim("12.76", 8).possible is False


def test_grim_says_when_it_has_no_power():
    assert grim("4.8", 22).testable is False
    assert grim("4.80", 22).testable is True
    assert grim("4.80", 25, items=4).testable is False


def test_the_nearest_means_enclose_what_is_printed():
    found = grim("2.85", 21)
    assert (found.below, found.above) == (59 / 21, 60 / 21)


# GRIMMER -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "top"), [(2, 9), (3, 7), (4, 6), (5, 5), (6, 4), (8, 3)])
def test_grimmer_never_flags_a_sample_that_exists(n, top):
    """Exhaustive: every sample of n whole numbers from 0 to top, with and without the scale."""
    for values in combinations_with_replacement(range(top + 1), n):
        mean, sd = write(Fraction(sum(values), n), 2), write_sd(values, 2)
        assert grimmer(mean, sd, n).possible, values
        assert grimmer(mean, sd, n, low=0, high=top).possible, values


def test_grimmer_never_flags_item_averages_that_exist():
    """Exhaustive: four people, each the average of three items scored 1 to 3."""
    for sums in combinations_with_replacement(range(3, 10), 4):
        mean = write(Fraction(sum(sums), 12), 2)
        spread = (sum((Fraction(s, 3) - Fraction(sum(sums), 12)) ** 2 for s in sums)) / 3
        exact = (Decimal(spread.numerator) / Decimal(spread.denominator)).sqrt()
        sd = str(exact.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))
        assert grimmer(mean, sd, 4, items=3, low=1, high=3).possible, sums


@pytest.mark.parametrize(("n", "top"), [(5, 4), (6, 4), (7, 3), (10, 2)])
def test_grimmer_flags_nearly_all_pairs_that_no_sample_gives(n, top):
    """Exhaustive over printed pairs: few SDs slip through, since the conditions are necessary."""
    occurring = {
        (write(Fraction(sum(v), n), 2), write_sd(v, 2))
        for v in combinations_with_replacement(range(top + 1), n)
    }
    means = {mean for mean, _ in occurring}
    impossible = slipped = 0
    for mean, hundredths in product(means, range(80 * top)):
        sd = write(Fraction(hundredths, 100), 2)
        if (mean, sd) not in occurring:
            impossible += 1
            slipped += grimmer(mean, sd, n, low=0, high=top).possible
    # Measured 0 to 0.5 %: pairs near the ends of the scale, and SDs that round half down.
    assert slipped / impossible < 0.01


# pigs5 of scrutiny with the expected output of its tests (tests/testthat/test-grimmer-map.R).
# Its fourth row is left out: see the next test.
@pytest.mark.parametrize(
    ("mean", "sd", "n", "reason"),
    [("7.22", "5.30", 38, "mean"), ("4.74", "6.55", 31, ""), ("5.23", "2.55", 35, "parity"),
     ("6.77", "2.18", 33, "mean"), ("2.68", "2.59", 34, ""), ("7.01", "6.68", 35, "mean"),
     ("7.38", "3.65", 32, ""), ("3.14", "5.32", 33, "mean"), ("6.89", "4.18", 37, ""),
     ("5.00", "2.18", 31, ""), ("0.24", "6.43", 34, "")],
)  # fmt: skip
def test_grimmer_agrees_with_published_examples(mean, sd, n, reason):
    found = grimmer(mean, sd, n)
    assert (found.possible, found.reason) == (reason == "", reason)


def test_a_published_flag_is_refuted_by_a_sample():
    """scrutiny lists 2.57, SD 2.57, n = 30 as impossible; these thirty numbers have them."""
    values = [12, 11, 5, 4, *[2] * 19, *[1] * 7]
    assert len(values) == 30
    assert write(Fraction(sum(values), 30), 2) == "2.57"
    assert write_sd(values, 2) == "2.57"
    assert grimmer("2.57", "2.57", 30).possible


def test_a_spread_beyond_the_scale_is_flagged_only_on_the_scale():
    """Ten values 0 and 10 average 5 with SD 5.27, and no ten values from 0 to 10 spread more."""
    assert grimmer("5.00", "5.27", 10, low=0, high=10).possible
    assert grimmer("5.00", "5.50", 10).possible
    assert grimmer("5.00", "5.50", 10, low=0, high=10).reason == "spread"


def test_too_little_spread_is_flagged():
    """Two people who average 2.5 differ by 1 at least, so SD 0.71."""
    assert grimmer("2.50", "0.71", 2).possible
    assert grimmer("2.50", "0.00", 2).possible is False
    # Five ones and five zeros spread least, SD 0.53; a sum of squares of 3 would give 0.24.
    assert grimmer("0.50", "0.53", 10).possible
    assert grimmer("0.50", "0.24", 10).reason == "spread"
    assert grimmer("1.50", "0.24", 10).reason == "spread"


@pytest.mark.parametrize(
    ("call", "words"),
    [(lambda: grim("3.5", 0), "at least 1"), (lambda: grimmer("3.5", "1.0", 1), "2 people"),
     (lambda: grimmer("3.5", "-1.0", 5), "negative"),
     (lambda: grimmer("3.5", "1.0", 5, low=0), "belong together"),
     (lambda: percentage("x", 5), "no number")],
)  # fmt: skip
def test_impossible_questions_are_refused(call, words):
    with pytest.raises(EffectError, match=words):
        call()


# p-values ----------------------------------------------------------------------------------------

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
    found = plausible.t_test(*group, equal_variances=equal)
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
    found = plausible.paired_t_test("3.4", "1.4", "4.5", "1.5", n).p
    assert found.low <= p <= found.high
    back = plausible.correlation_for_p("3.4", "1.4", "4.5", "1.5", n, p)
    # A p near 1e-16 carries few digits back to r.
    assert back == pytest.approx(r, abs=1e-4)


@pytest.mark.parametrize(("t", "df", "p"), [("-1.374", 28, 0.180), ("-1.628", 28, 0.115)])
def test_p_from_t_gives_what_is_printed(t, df, p):
    """The baseline rows of phrir28, and scipy."""
    found = plausible.p_from_t(t, df)
    assert plausible.p_fits(f"{p:.3f}", "=", found)
    assert found.low <= 2 * stats.t.sf(abs(float(t)), df) <= found.high
    assert found.low == pytest.approx(2 * stats.t.sf(abs(float(t)) + 0.0005, df), rel=1e-9)


def test_p_from_f_is_that_of_scipy_and_of_t_squared():
    found = plausible.p_from_f("6.25", 1, 30)
    assert found.low == pytest.approx(stats.f.sf(6.255, 1, 30), rel=1e-9)
    assert found.high == pytest.approx(stats.f.sf(6.245, 1, 30), rel=1e-9)
    assert found.meets(plausible.p_from_t("2.50", 30))
    with pytest.raises(EffectError, match="cannot be negative"):
        plausible.p_from_f("-12.09", 1, 30)


@pytest.mark.parametrize(
    ("p", "op", "low", "high", "fits"),
    [("0.05", "<", 0.049, 0.06, True), ("0.05", "<", 0.05, 0.06, False),
     ("0.05", ">", 0.01, 0.051, True), ("0.05", ">", 0.01, 0.05, False),
     ("0.000", "=", 0.0004, 0.01, True), ("0.000", "=", 0.0006, 0.01, False),
     ("0.03", "=", 0.035, 0.04, True), ("0.03", "=", 0.0351, 0.04, False)],
)  # fmt: skip
def test_bounds_are_strict_and_rounding_is_not(p, op, low, high, fits):
    assert plausible.p_fits(p, op, Range(low, high)) is fits


# Intervals and estimates -------------------------------------------------------------------------


def test_the_interval_of_a_difference_is_that_of_its_t_test():
    low, high = plausible.difference_interval("22.13", "2.35", 15, "18.20", "3.58", 15)
    sp = math.sqrt((2.35**2 + 3.58**2) / 2)
    reach = stats.t.ppf(0.975, 28) * sp * math.sqrt(2 / 15)
    assert low.low < 3.93 - reach < low.high
    assert high.low < 3.93 + reach < high.high
    # Rounding leaves 0.005 per mean and moves t SE by less than that.
    assert low.high - low.low < 0.03


@pytest.mark.parametrize("p", [0.001, 0.04, 0.3])
def test_p_from_an_interval_returns_the_p_it_was_made_from(p):
    estimate = 2.0
    se = estimate / stats.norm.isf(p / 2)
    ends = [f"{estimate + side * 1.959964 * se:.6f}" for side in (-1, 1)]
    found = plausible.p_from_interval("2.000000", *ends)
    # Six decimals of the limits leave p known to about 1e-5 of itself.
    assert found.low == pytest.approx(p, rel=1e-4)
    assert found.high == pytest.approx(p, rel=1e-4)


def test_smd_is_hedges_g():
    g = (1.56 - 2.25) / math.sqrt((0.63**2 + 0.86**2) / 2) * (1 - 3 / (4 * 30 - 1))
    found = plausible.smd("1.56", "0.63", 16, "2.25", "0.86", 16)
    assert found.low < g < found.high
    # The study-level SMD of the Cochrane review CD004376.pub4, analysis 1.1, for chen2021.
    assert found.low < -0.892258 < found.high


def test_the_largest_sd_is_reached_at_the_ends_of_the_scale():
    for high in range(1, 11):
        values = [0] * (11 - high) + [10] * high
        mean = write(Fraction(sum(values), 11), 2)
        most = plausible.largest_sd(mean, 11, 0, 10)
        # The mean is known to 0.005, so the SD to about as much.
        assert most == pytest.approx(statistics.stdev(values), abs=0.02)
        assert most >= statistics.stdev(values) - 1e-9


# Spread ------------------------------------------------------------------------------------------


def test_an_se_among_sds_is_found_and_the_sd_is_not():
    sd = ("50.2", "10.0", 25, "51.0", "9.6", 25)
    se = ("50.2", "2.0", 25, "51.0", "9.6", 25)
    turned = (*se[3:], *se[:3])
    assert plausible.compare_spread(*sd).suspect == 0
    assert plausible.compare_spread(*se).suspect == 1
    assert plausible.compare_spread(*turned).suspect == 2


def test_the_f_test_of_spreads_is_that_of_scipy():
    found = plausible.compare_spread("50", "2.0", 12, "50", "4.0", 20)
    assert found.p_sd == pytest.approx(2 * stats.f.sf(4.0, 19, 11), rel=1e-9)


def test_a_spread_that_grows_with_the_mean_is_no_se():
    """Gait symmetry in yang2005 and back muscle activity in masumoto2005."""
    assert plausible.compare_spread("44.07", "53.29", 13, "5.3", "13.91", 12).suspect == 0
    back = plausible.compare_spread("19.4", "6.8", 6, "13.1", "1.4", 6)
    assert back.suspect == 0
    assert back.p_sd < plausible.UNLIKE < back.p_cv


def test_relative_spread_does_not_depend_on_the_unit():
    found = plausible.relative_spread("1.000", "0.200", "9.810", "1.962")
    assert found.low < 1 < found.high


# Baselines ---------------------------------------------------------------------------------------


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
