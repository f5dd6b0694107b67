"""Numbers that a report implies without printing them, one step per function.

Nothing is guessed here: a function either follows from the definition of the reported statistic
or names the approximation it makes. All of them are elementwise and broadcast.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from retroevidence.effects.measures import Effect, hedges_j
from retroevidence.errors import EffectError

Floats = NDArray[np.float64]


def sd_from_se(se: Any, n: Any) -> Any:
    """Return the SD behind the standard error of a mean: ``se sqrt(n)``.

    Parameters
    ----------
    se : array_like
        Standard error of the mean, above 0.
    n : array_like
        People behind it, at least 2.

    Returns
    -------
    numpy.ndarray or numpy.float64
        SD, in the unit of `se`.

    Raises
    ------
    EffectError
        If a number is impossible.

    Examples
    --------
    >>> float(sd_from_se(0.5, 16))
    2.0
    """
    se, n = _above("se", se, 0), _at_least("n", n, 2)
    return se * np.sqrt(n)


def sd_from_ci(low: Any, high: Any, n: Any, level: float = 0.95) -> Any:
    """Return the SD behind a t-based confidence interval of one mean.

    ``sqrt(n) (high - low) / (2 t)`` with t on n - 1 degrees of freedom (Cochrane Handbook,
    section 6.5.2.2).

    Parameters
    ----------
    low, high : array_like
        Limits of the interval.
    n : array_like
        People behind the mean, at least 2.
    level : float
        Confidence of the interval.

    Returns
    -------
    numpy.ndarray or numpy.float64
        SD, in the unit of the limits.

    Raises
    ------
    EffectError
        If the limits are reversed or another number is impossible.

    Examples
    --------
    >>> round(float(sd_from_ci(30.0, 34.2, 25)), 3)
    5.087
    """
    n = _at_least("n", n, 2)
    return se_from_ci(low, high, level, df=n - 1) * np.sqrt(n)


def se_from_ci(low: Any, high: Any, level: float = 0.95, df: Any = None) -> Any:
    """Return the standard error of a symmetric confidence interval: ``(high - low) / (2 c)``.

    Parameters
    ----------
    low, high : array_like
        Limits on the scale on which the interval is symmetric (the log scale for ratios).
    level : float
        Confidence of the interval.
    df : array_like, optional
        Degrees of freedom when c is a quantile of t; of z by default.

    Returns
    -------
    numpy.ndarray or numpy.float64
        Standard error, in the unit of the limits.

    Raises
    ------
    EffectError
        If the limits are reversed or another number is impossible.

    Examples
    --------
    >>> round(float(se_from_ci(-0.4, 1.2)), 4), round(float(se_from_ci(-0.4, 1.2, df=10)), 4)
    (0.4082, 0.359)
    """
    if not 0 < level < 1:
        raise EffectError(f"level={level} is not between 0 and 1; write 0.95 for 95%.")
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    if np.any(high <= low):
        raise EffectError(
            f"the interval [{_first(low, high <= low)}, {_first(high, high <= low)}] is empty or "
            "reversed; give low before high."
        )
    tail = (1 - level) / 2
    reach = ndtri(tail) if df is None else stdtrit(_above("df", df, 0), tail)
    return (high - low) / (2 * -reach)


def t_from_p(p: Any, df: Any) -> Any:
    """Absolute t from an exact two-sided p-value.

    Parameters
    ----------
    p : array_like
        Two-sided p-value, above 0 and at most 1; a bound such as "p < .05" is not exact, and gives
        a bound for t.
    df : array_like
        Degrees of freedom of the test.

    Returns
    -------
    numpy.ndarray or numpy.float64
        |t|; the sign is in the direction of the effect, which the caller knows.

    Raises
    ------
    EffectError
        If p is not in (0, 1] or df not above 0.

    Examples
    --------
    >>> round(float(t_from_p(0.03, 28)), 4)
    2.2864
    """
    p, df = np.asarray(p, dtype=float), _above("df", df, 0)
    broken = (p <= 0) | (p > 1)
    if np.any(broken):
        raise EffectError(
            f"p is {_first(p, broken)}, and an exact p-value lies above 0 and up to 1; "
            "use the printed bound for 'p = 0.000'."
        )
    return np.abs(stdtrit(df, p / 2))


def t_from_f(f: Any, df2: Any) -> Any:
    """Absolute t from an F test with one numerator degree of freedom: ``sqrt(F)``.

    Parameters
    ----------
    f : array_like
        F(1, df2), not negative. An F with more numerator degrees of freedom compares more than two
        means and has no t.
    df2 : array_like
        Denominator degrees of freedom, which are those of the t.

    Returns
    -------
    numpy.ndarray or numpy.float64
        |t| with `df2` degrees of freedom.

    Raises
    ------
    EffectError
        If F is negative or df2 not above 0.

    Examples
    --------
    >>> float(t_from_f(6.25, 30))
    2.5
    """
    f, _ = _at_least("f", f, 0), _above("df2", df2, 0)
    return np.sqrt(f)


def smd_from_t(t: Any, n1: Any, n2: Any) -> Effect:
    """Hedges' g and its variance from the t of two independent groups (equal variances).

    ``d = t sqrt(1/n1 + 1/n2)``, ``g = J(n1+n2-2) d``, ``vi = 1/n1 + 1/n2 + g²/(2(n1+n2))``:
    exactly what the SMD from means and SDs gives.

    Parameters
    ----------
    t : array_like
        Student's t, positive when group 1 is higher.
    n1, n2 : array_like
        Group sizes, at least 2.

    Returns
    -------
    yi, vi : numpy.ndarray or numpy.float64
        Standardised mean difference and variance.

    Raises
    ------
    EffectError
        If a group has fewer than 2 people.

    Examples
    --------
    >>> yi, vi = smd_from_t(2.5, 16, 16)
    >>> round(float(yi), 4), round(float(vi), 4)
    (0.8616, 0.1366)
    """
    t = np.asarray(t, dtype=float)
    n1, n2 = _at_least("n1", n1, 2), _at_least("n2", n2, 2)
    g = hedges_j(n1 + n2 - 2) * t * np.sqrt(1 / n1 + 1 / n2)
    return g, 1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2))


def smd_from_p(p: Any, n1: Any, n2: Any, *, sign: Any) -> Effect:
    """Hedges' g and its variance from the exact two-sided p of a t test on independent groups.

    Parameters
    ----------
    p : array_like
        Exact two-sided p-value.
    n1, n2 : array_like
        Group sizes, at least 2.
    sign : {1, -1}
        1 when group 1 is higher: a p-value alone does not know.

    Returns
    -------
    yi, vi : numpy.ndarray or numpy.float64
        Standardised mean difference and variance.

    Raises
    ------
    EffectError
        If p is not in (0, 1], a group has fewer than 2 people, or sign is not 1 or -1.

    Examples
    --------
    >>> yi, vi = smd_from_p(0.03, 15, 15, sign=-1)
    >>> round(float(yi), 4)
    -0.8123
    """
    sign = np.asarray(sign, dtype=float)
    if np.any(np.abs(sign) != 1):
        raise EffectError(f"sign is {_first(sign, np.abs(sign) != 1)}; give 1 or -1.")
    n1, n2 = _at_least("n1", n1, 2), _at_least("n2", n2, 2)
    return smd_from_t(sign * t_from_p(p, n1 + n2 - 2), n1, n2)


def log_ratio_from_percent(percent: Any) -> Any:
    """Log ratio from a percentage difference: ``ln(1 + percent/100)``.

    Parameters
    ----------
    percent : array_like
        Difference in percent of the comparator, above -100.

    Returns
    -------
    numpy.ndarray or numpy.float64
        Natural log of the ratio.

    Raises
    ------
    EffectError
        If the percentage is -100 or less.

    Examples
    --------
    >>> round(float(log_ratio_from_percent(28)), 4)
    0.2469
    """
    return np.log1p(_above("percent", percent, -100) / 100)


def paired_variance_from_t(yi: Any, t: Any) -> Any:
    """Variance of a paired log ratio from the t on the differences: ``(yi / t)²``.

    To first order in the relative difference, ``ln(m1/m2)`` and ``m1 - m2`` have the same ratio of
    estimate to standard error (delta method), so the paired t of the differences serves for the
    log ratio. The error is of second order: with correlation r the variance is too large by a
    share of about ``yi²/(2(1 - r))`` when the SDs grow with the means, and too small by as much
    when they are equal.

    Parameters
    ----------
    yi : array_like
        Log ratio of the two dependent means.
    t : array_like
        Paired t (its sign does not matter), not 0.

    Returns
    -------
    numpy.ndarray or numpy.float64
        Sampling variance of `yi`.

    Raises
    ------
    EffectError
        If t is 0, which leaves the spread unknown, or if yi is 0 while t is not.

    Examples
    --------
    >>> round(float(paired_variance_from_t(0.2469, 5.0)), 6)
    0.002438
    """
    yi, t = np.asarray(yi, dtype=float), np.asarray(t, dtype=float)
    if np.any(t == 0) or np.any(yi == 0):
        raise EffectError(
            "a difference or a t of 0 leaves the spread unknown; use the reported SDs instead."
        )
    return (yi / t) ** 2


def sd_change(sd1: Any, sd2: Any, r: Any) -> Any:
    """Return the SD of the changes: ``sqrt(sd1² + sd2² - 2 r sd1 sd2)``.

    Parameters
    ----------
    sd1, sd2 : array_like
        SDs at the two times or conditions, above 0.
    r : array_like
        Correlation between them, in [-1, 1]. Give the reported one; an assumed one belongs into a
        sensitivity analysis.

    Returns
    -------
    numpy.ndarray or numpy.float64
        SD of the individual differences.

    Raises
    ------
    EffectError
        If a number is impossible.

    Examples
    --------
    >>> round(float(sd_change(15.0, 11.6, 0.47)), 4)
    14.0
    """
    sd1, sd2, r = _above("sd1", sd1, 0), _above("sd2", sd2, 0), _correlation(r)
    return np.sqrt(sd1**2 + sd2**2 - 2 * r * sd1 * sd2)


def correlation_from_sd_change(sd1: Any, sd2: Any, sd_of_change: Any) -> Any:
    """Correlation between two times from the three SDs (Cochrane Handbook, section 6.5.2.8).

    ``(sd1² + sd2² - SDd²) / (2 sd1 sd2)``

    Parameters
    ----------
    sd1, sd2, sd_of_change : array_like
        SDs at the two times and of the individual differences, above 0.

    Returns
    -------
    numpy.ndarray or numpy.float64
        Correlation.

    Raises
    ------
    EffectError
        If the three SDs cannot belong together.

    Examples
    --------
    >>> round(float(correlation_from_sd_change(15.0, 11.6, 14.0)), 4)
    0.47
    """
    sd1, sd2 = _above("sd1", sd1, 0), _above("sd2", sd2, 0)
    spread = _above("sd_of_change", sd_of_change, 0)
    r = (sd1**2 + sd2**2 - spread**2) / (2 * sd1 * sd2)
    # A rounded SD can push a perfect correlation a hair outside.
    r = np.where(np.abs(np.abs(r) - 1) < 1e-12, np.sign(r), r)[()]
    return _correlation(r, "the correlation that the three SDs imply")


def sd_change_from_t(change: Any, t: Any, n: Any) -> Any:
    """Return the SD of the changes from the mean change and its paired t: ``|change/t| sqrt(n)``.

    Parameters
    ----------
    change : array_like
        Mean change.
    t : array_like
        Paired t, not 0.
    n : array_like
        People measured twice, at least 2.

    Returns
    -------
    numpy.ndarray or numpy.float64
        SD of the individual differences.

    Raises
    ------
    EffectError
        If t is 0 or n below 2.

    Examples
    --------
    >>> float(sd_change_from_t(3.0, -2.0, 16))
    6.0
    """
    t, n = np.asarray(t, dtype=float), _at_least("n", n, 2)
    if np.any(t == 0):
        raise EffectError("a t of 0 leaves the spread unknown; use the reported SDs instead.")
    return np.abs(np.asarray(change, dtype=float) / t) * np.sqrt(n)


def sd_from_t(difference: Any, t: Any, n1: Any, n2: Any) -> Any:
    """Pooled SD from a difference of means and its t: ``|difference/t| / sqrt(1/n1 + 1/n2)``.

    Parameters
    ----------
    difference : array_like
        Difference of the means of two independent groups.
    t : array_like
        Student's t, not 0.
    n1, n2 : array_like
        Group sizes, at least 2.

    Returns
    -------
    numpy.ndarray or numpy.float64
        The SD within groups (Cochrane Handbook, section 6.5.2.3).

    Raises
    ------
    EffectError
        If t is 0 or a group has fewer than 2 people.

    Examples
    --------
    >>> round(float(sd_from_t(3.8, 2.78, 25, 22)), 3)
    4.676
    """
    t = np.asarray(t, dtype=float)
    n1, n2 = _at_least("n1", n1, 2), _at_least("n2", n2, 2)
    if np.any(t == 0):
        raise EffectError("a t of 0 leaves the spread unknown; use the reported SDs instead.")
    return np.abs(np.asarray(difference, dtype=float) / t) / np.sqrt(1 / n1 + 1 / n2)


def combine_arms(
    n1: Any, m1: Any, sd1: Any, n2: Any, m2: Any, sd2: Any
) -> tuple[Floats, Floats, Floats]:
    """Merge two arms of one study into one: n, mean and SD as if never split.

    Cochrane Handbook, table 6.5.a. For more arms, merge the result with the next.

    Parameters
    ----------
    n1, m1, sd1, n2, m2, sd2 : array_like
        Sizes (at least 2), means and SDs (above 0) of the two arms.

    Returns
    -------
    n, m, sd : numpy.ndarray or numpy.float64
        Of the merged arm.

    Raises
    ------
    EffectError
        If a number is impossible.

    Examples
    --------
    >>> n, m, sd = combine_arms(10, 5.0, 2.0, 20, 8.0, 3.0)
    >>> float(n), float(m), round(float(sd), 4)
    (30.0, 7.0, 3.0343)
    """
    n1, n2 = _at_least("n1", n1, 2), _at_least("n2", n2, 2)
    sd1, sd2 = _above("sd1", sd1, 0), _above("sd2", sd2, 0)
    m1, m2 = np.asarray(m1, dtype=float), np.asarray(m2, dtype=float)
    n = n1 + n2
    within = (n1 - 1) * sd1**2 + (n2 - 1) * sd2**2
    between = n1 * n2 / n * (m1 - m2) ** 2
    return n, (n1 * m1 + n2 * m2) / n, np.sqrt((within + between) / (n - 1))


def mean_sd_from_quantiles(
    n: Any,
    median: Any,
    *,
    low: Any = None,
    q1: Any = None,
    q3: Any = None,
    high: Any = None,
) -> tuple[Floats, Floats]:
    """Mean and SD estimated from a median with quartiles, with the range, or with both.

    An approximation that assumes a normal outcome: do not use it where the quantiles are clearly
    skewed. Means: Luo et al. (2018), doi 10.1177/0962280216669183. SDs with one pair: Wan et al.
    (2014), doi 10.1186/1471-2288-14-135; with both: Shi et al. (2020), doi 10.1002/jrsm.1429.

    Parameters
    ----------
    n : array_like
        People, at least 2.
    median : array_like
        Median, in the unit of the outcome.
    low, high : array_like, optional
        Minimum and maximum; both or neither.
    q1, q3 : array_like, optional
        Quartiles; both or neither.

    Returns
    -------
    mean, sd : numpy.ndarray or numpy.float64
        In the unit of the outcome.

    Raises
    ------
    EffectError
        If a pair is incomplete, both are missing, or the numbers are out of order.

    Examples
    --------
    >>> mean, sd = mean_sd_from_quantiles(50, 9, q1=4, q3=15)
    >>> round(float(mean), 4), round(float(sd), 4)
    (9.3539, 8.3964)
    """
    ends, quartiles = _pair("low", low, "high", high), _pair("q1", q1, "q3", q3)
    if not (ends or quartiles):
        raise EffectError("a median alone gives no SD; add q1 and q3, or low and high.")
    n, m = _at_least("n", n, 2), np.asarray(median, dtype=float)
    _in_order(m, ends, quartiles)
    # Expected standard normal range and interquartile range of n people (Wan et al. 2014).
    full, half = 2 * ndtri((n - 0.375) / (n + 0.25)), 2 * ndtri((0.75 * n - 0.125) / (n + 0.25))
    if ends and quartiles:
        w1, w2 = 2.2 / (2.2 + n**0.75), 0.7 - 0.72 / n**0.55
        mean = w1 * sum(ends) / 2 + w2 * sum(quartiles) / 2 + (1 - w1 - w2) * m
        share = 0.07 * n**0.6
        sd = (ends[1] - ends[0]) / ((1 + share) * full)
        return mean, sd + (quartiles[1] - quartiles[0]) / ((1 + 1 / share) * half)
    if quartiles:
        weight = 0.7 + 0.39 / n
        spread = (quartiles[1] - quartiles[0]) / half
        return weight * sum(quartiles) / 2 + (1 - weight) * m, spread
    weight = 4 / (4 + n**0.75)
    return weight * sum(ends) / 2 + (1 - weight) * m, (ends[1] - ends[0]) / full


# Checks -----------------------------------------------------------------------------------------


def _pair(one: str, low: Any, two: str, high: Any) -> tuple[Floats, ...]:
    """Return both ends as arrays, or nothing when neither is given."""
    if low is None and high is None:
        return ()
    if low is None or high is None:
        raise EffectError(f"{one} and {two} belong together; give both or neither.")
    return np.asarray(low, dtype=float), np.asarray(high, dtype=float)


def _in_order(median: Floats, ends: tuple[Floats, ...], quartiles: tuple[Floats, ...]) -> None:
    row = [*ends[:1], *quartiles[:1], median, *quartiles[1:], *ends[1:]]
    if any(np.any(a > b) for a, b in pairwise(row)) or np.any(row[0] == row[-1]):
        raise EffectError(
            "the quantiles are not in the order low, q1, median, q3, high (with some spread); "
            "check which is which."
        )


def _above(name: str, value: Any, limit: float) -> Floats:
    array = np.asarray(value, dtype=float)
    if np.any(array <= limit):
        raise EffectError(f"{name} is {_first(array, array <= limit)}; it must be above {limit:g}.")
    return array


def _at_least(name: str, value: Any, limit: float) -> Floats:
    array = np.asarray(value, dtype=float)
    if np.any(array < limit):
        raise EffectError(
            f"{name} is {_first(array, array < limit)}; it must be at least {limit:g}."
        )
    return array


def _correlation(value: Any, name: str = "r") -> Floats:
    array = np.asarray(value, dtype=float)
    if np.any(np.abs(array) > 1):
        raise EffectError(
            f"{name} is {_first(array, np.abs(array) > 1)}; a correlation lies between -1 and 1."
        )
    return array


def _first(array: Floats, broken: NDArray[np.bool_]) -> str:
    return f"{float(np.broadcast_to(array, np.shape(broken))[broken].flat[0]):g}"
