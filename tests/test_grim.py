"""Whether whole numbers can give what is printed: against every sample there is."""

from decimal import ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import combinations_with_replacement, product

import pytest

from retroevidence.effects.possible.grim import grim, grimmer, percentage
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
