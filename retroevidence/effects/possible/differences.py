"""How large a difference is: what printed means and SDs give, in each way it is reported."""

from __future__ import annotations

import math
from itertools import product

from retroevidence.effects.measures import hedges_j
from retroevidence.effects.possible.printed import printed
from retroevidence.effects.possible.ranges import (
    Range,
    check_people,
    hull,
    ratio,
    rounding,
    sd_ends,
    size_of,
)
from retroevidence.effects.recover import t_from_p
from retroevidence.errors import EffectError

#: A standardised difference beyond this is called implausible: an SMD of 3 puts the mean of one
#: group above 99.9 % of the other, which is rare between treatments and common where a standard
#: error was taken for an SD.
IMPLAUSIBLE = 3.0


def difference(mean1: str, mean2: str) -> Range:
    """Return the range of the difference of two printed means.

    Examples
    --------
    >>> apart = difference("22.13", "18.20")
    >>> round(apart.low, 2), round(apart.high, 2)
    (3.92, 3.94)
    """
    one, two = printed(mean1), printed(mean2)
    return Range(float(one.low - two.high), float(one.high - two.low))


def standard_errors(
    sd1: str, n1: int, sd2: str, n2: int, *, equal_variances: bool
) -> list[tuple[float, float]]:
    """Return the standard errors that a difference of means can have, with their df.

    Student: ``sp sqrt(1/n1 + 1/n2)`` on n1 + n2 - 2 degrees of freedom; Welch:
    ``sqrt(sd1²/n1 + sd2²/n2)`` on Satterthwaite's.

    Parameters
    ----------
    sd1, sd2 : str
        As printed.
    n1, n2 : int
        People per group, at least 2; the caller checks that with `check_people`.
    equal_variances : bool
        Student's, else Welch's.

    Returns
    -------
    list of tuple
        Standard error and degrees of freedom for each pair of ends of both SDs.

    Raises
    ------
    EffectError
        If an SD is negative or no number.

    Examples
    --------
    >>> errors = standard_errors("1.8", 13, "3.7", 13, equal_variances=True)
    >>> [(round(se, 2), df) for se, df in errors][0]
    (1.12, 24.0)
    """
    found = []
    for s1, s2 in product(sd_ends(sd1), sd_ends(sd2)):
        v1, v2 = s1**2 / n1, s2**2 / n2
        df = float(n1 + n2 - 2)
        if equal_variances:
            se = math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df * (1 / n1 + 1 / n2))
        else:
            se = math.sqrt(v1 + v2)
            # Without a spread any degrees of freedom say the same.
            df = (v1 + v2) ** 2 / (v1**2 / (n1 - 1) + v2**2 / (n2 - 1)) if se else df
        found.append((se, df))
    return found


def difference_interval(
    mean1: str, sd1: str, n1: int, mean2: str, sd2: str, n2: int,
    *, level: float = 0.95, equal_variances: bool = True,
) -> tuple[Range, Range]:  # fmt: skip
    """Recompute the confidence interval of a difference of means from printed numbers.

    ``m1 - m2 -/+ t SE`` with the standard error and degrees of freedom of `t_test`.

    Parameters
    ----------
    mean1, sd1, mean2, sd2 : str
        As printed.
    n1, n2 : int
        People per group, at least 2.
    level : float
        Confidence.
    equal_variances : bool
        Student's interval, else Welch's.

    Returns
    -------
    low, high : Range
        Ranges of both limits.

    Raises
    ------
    EffectError
        If a group has fewer than 2 people or a number cannot be read.

    Examples
    --------
    >>> low, high = difference_interval("22.13", "2.35", 15, "18.20", "3.58", 15)
    >>> round(low.low, 2), round(low.high, 2)
    (1.65, 1.68)
    """
    check_people(n1, n2)
    apart = difference(mean1, mean2)
    errors = standard_errors(sd1, n1, sd2, n2, equal_variances=equal_variances)
    reaches = [float(t_from_p(1 - level, df)) * se for se, df in errors]
    low = Range(apart.low - max(reaches), apart.high - min(reaches))
    return low, Range(apart.low + min(reaches), apart.high + max(reaches))


def smd(mean1: str, sd1: str, n1: int, mean2: str, sd2: str, n2: int) -> Range:
    """Recompute the standardised mean difference from printed means and SDs.

    ``J (m1 - m2) / sp``; J is Hedges' exact factor or its approximation ``1 - 3/(4 df - 1)``,
    whichever reaches further, since software uses both.

    Parameters
    ----------
    mean1, sd1, mean2, sd2 : str
        As printed.
    n1, n2 : int
        People per group, at least 2.

    Returns
    -------
    Range
        Unbounded where an SD can be 0.

    Raises
    ------
    EffectError
        If a group has fewer than 2 people or a number cannot be read.

    Examples
    --------
    >>> found = smd("1.56", "0.63", 16, "2.25", "0.86", 16)
    >>> round(found.low, 2), round(found.high, 2)
    (-0.91, -0.87)
    """
    check_people(n1, n2)
    apart = difference(mean1, mean2)
    df = n1 + n2 - 2
    factors = (float(hedges_j(df)), 1 - 3 / (4 * df - 1))
    pooled = [
        math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df)
        for s1, s2 in zip(sd_ends(sd1), sd_ends(sd2), strict=True)
    ]
    return hull(
        _signed_ratio(end * j, sp)
        for end, sp, j in product((apart.low, apart.high), pooled, factors)
    )


def percent_difference(mean1: str, mean2: str) -> Range:
    """Recompute by how many percent one printed mean exceeds another: ``100 (m1 / m2 - 1)``.

    Parameters
    ----------
    mean1, mean2 : str
        As printed; the second above 0 by more than its rounding.

    Returns
    -------
    Range

    Raises
    ------
    EffectError
        If the second mean can be 0 or less.

    Examples
    --------
    >>> found = percent_difference("97.1", "80.1")
    >>> round(found.low, 1), round(found.high, 1)
    (21.1, 21.4)
    """
    one, two = rounding(mean1), rounding(mean2)
    if two.low <= 0:
        raise EffectError(f"the mean {mean2} can be 0 or less, and a percentage needs more.")
    return hull(100 * (a / b - 1) for a, b in product((one.low, one.high), (two.low, two.high)))


def standardised_change(mean: str, sd: str) -> Range:
    """Return the size of a printed mean change in units of the printed SD of the changes.

    Parameters
    ----------
    mean, sd : str
        As printed.

    Returns
    -------
    Range
        Unbounded where the SD can be 0.

    Raises
    ------
    EffectError
        If a number cannot be read.

    Examples
    --------
    >>> round(standardised_change("3.03", "1.33").low, 2)
    2.27
    """
    sizes, spread = size_of(rounding(mean)), sd_ends(sd)
    return hull(ratio(a, b) for a, b in product((sizes.low, sizes.high), spread))


def middle(low: str, high: str) -> Range:
    """Return the middle of a printed interval, where a symmetric interval has its estimate.

    Parameters
    ----------
    low, high : str
        Limits as printed, on the scale on which the interval is symmetric.

    Returns
    -------
    Range

    Raises
    ------
    EffectError
        If a limit is no number.

    Examples
    --------
    >>> found = middle("-0.94", "-0.08")
    >>> round(found.low, 3), round(found.high, 3)
    (-0.515, -0.505)
    """
    one, two = rounding(low), rounding(high)
    return Range((one.low + two.low) / 2, (one.high + two.high) / 2)


def _signed_ratio(value: float, spread: float) -> float:
    return math.copysign(ratio(abs(value), spread), value)
