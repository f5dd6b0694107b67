"""Whether a printed p-value follows from the other printed numbers of its test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

from scipy.special import fdtrc, ndtr, ndtri, stdtr

from retroevidence.effects.possible.differences import difference, standard_errors
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


@dataclass(frozen=True)
class TTest:
    """A recomputed test: ranges of the absolute statistic and of the two-sided p-value."""

    statistic: Range
    p: Range


def p_fits(p: str, op: str, found: Range) -> bool:
    """Tell whether a printed p-value, or bound, agrees with a recomputed range.

    Parameters
    ----------
    p : str
        P-value as printed; ``0.000`` stands for anything that rounds to it.
    op : {"=", "<", ">"}
        How it is printed.
    found : Range
        Range of the recomputed p-value.

    Returns
    -------
    bool

    Raises
    ------
    EffectError
        If `op` is none of these or p is no number.

    Examples
    --------
    >>> p_fits("0.03", "=", Range(0.0251, 0.0349)), p_fits("0.01", "<", Range(0.012, 0.02))
    (True, False)
    """
    given = float(printed(p).value)
    if op == "=":
        return found.meets(rounding(p))
    if op == "<":
        return found.low < given
    if op == ">":
        return found.high > given
    raise EffectError(f"op is {op!r}; write =, < or >.")


def t_test(
    mean1: str, sd1: str, n1: int, mean2: str, sd2: str, n2: int, *, equal_variances: bool = True
) -> TTest:
    """Recompute the t test of two independent groups from printed means and SDs.

    Student: ``t = (m1 - m2) / (sp sqrt(1/n1 + 1/n2))`` on n1 + n2 - 2 degrees of freedom; Welch:
    ``t = (m1 - m2) / sqrt(sd1²/n1 + sd2²/n2)`` on Satterthwaite's degrees of freedom.

    Parameters
    ----------
    mean1, sd1, mean2, sd2 : str
        As printed.
    n1, n2 : int
        People per group, at least 2.
    equal_variances : bool
        Student's test, else Welch's.

    Returns
    -------
    TTest
        Student's range is exact: t is nearest 0 where both SDs are largest. Welch's is taken over
        the ends of the rounding intervals; its degrees of freedom hardly move within them.

    Raises
    ------
    EffectError
        If a group has fewer than 2 people or a number cannot be read.

    Examples
    --------
    >>> found = t_test("51.4", "1.8", 13, "47.3", "3.7", 13)
    >>> round(found.p.low, 4), round(found.p.high, 4)
    (0.001, 0.0021)
    """
    check_people(n1, n2)
    sizes = size_of(difference(mean1, mean2))
    errors = standard_errors(sd1, n1, sd2, n2, equal_variances=equal_variances)
    return _two_sided(
        [(ratio(size, se), df) for (se, df), size in product(errors, (sizes.low, sizes.high))]
    )


def paired_t_test(mean1: str, sd1: str, mean2: str, sd2: str, n: int) -> TTest:
    """Recompute the paired t test for every correlation that the same people can have.

    ``t = (m1 - m2) sqrt(n) / SDd`` with ``SDd² = sd1² + sd2² - 2 r sd1 sd2``; r is not printed and
    lies between -1 and 1, so SDd lies between ``|sd1 - sd2|`` and ``sd1 + sd2``.

    Parameters
    ----------
    mean1, sd1, mean2, sd2 : str
        As printed, under both conditions.
    n : int
        People measured twice, at least 2.

    Returns
    -------
    TTest

    Raises
    ------
    EffectError
        If n is below 2 or a number cannot be read.

    Examples
    --------
    No correlation makes a difference of 0.1 with SDs of 0.2 and 0.9 significant in ten people.

    >>> round(paired_t_test("2.4", "0.2", "2.3", "0.9", 10).p.low, 2)
    0.32
    """
    check_people(n)
    sizes = size_of(difference(mean1, mean2))
    (low1, high1), (low2, high2) = sd_ends(sd1), sd_ends(sd2)
    least = max(0.0, low1 - high2, low2 - high1)
    spreads = (least, high1 + high2)
    return _two_sided(
        [(ratio(size * math.sqrt(n), sd), n - 1.0)
         for size, sd in product((sizes.low, sizes.high), spreads)]
    )  # fmt: skip


def correlation_for_p(mean1: str, sd1: str, mean2: str, sd2: str, n: int, p: float) -> float:
    """Return the correlation at which the paired t test of printed values gives a p-value.

    Parameters
    ----------
    mean1, sd1, mean2, sd2 : str
        As printed, SDs above 0.
    n : int
        People measured twice, at least 2.
    p : float
        Two-sided p-value in (0, 1).

    Returns
    -------
    float
        Outside [-1, 1] when no correlation gives it.

    Raises
    ------
    EffectError
        If an SD is 0, n below 2, p not in (0, 1] or a number cannot be read.

    Examples
    --------
    >>> round(correlation_for_p("3.4", "1.4", "4.5", "1.5", 20, 0.01), 2)
    0.3
    """
    check_people(n)
    s1, s2 = float(printed(sd1).value), float(printed(sd2).value)
    if s1 <= 0 or s2 <= 0:
        raise EffectError("an SD of 0 has no correlation; give SDs above 0.")
    apart = float(printed(mean1).value - printed(mean2).value)
    needed = apart * math.sqrt(n) / float(t_from_p(p, n - 1))
    return (s1**2 + s2**2 - needed**2) / (2 * s1 * s2)


def p_from_t(t: str, df: float) -> Range:
    """Recompute the two-sided p of a printed t.

    Parameters
    ----------
    t : str
        As printed.
    df : float
        Degrees of freedom, above 0.

    Returns
    -------
    Range

    Raises
    ------
    EffectError
        If df is not above 0 or t is no number.

    Examples
    --------
    >>> found = p_from_t("-1.374", 28)
    >>> round(found.low, 3), round(found.high, 3)
    (0.18, 0.18)
    """
    if df <= 0:
        raise EffectError(f"df is {df:g}; it must be above 0.")
    sizes = size_of(rounding(t))
    return _two_sided([(sizes.low, df), (sizes.high, df)]).p


def p_from_f(f: str, df1: float, df2: float) -> Range:
    """Recompute the p of a printed F.

    Parameters
    ----------
    f : str
        As printed, not negative.
    df1, df2 : float
        Degrees of freedom, above 0.

    Returns
    -------
    Range

    Raises
    ------
    EffectError
        If F is negative, a df is not above 0 or F is no number.

    Examples
    --------
    >>> round(p_from_f("4.20", 1, 28).high, 3)
    0.05
    """
    if df1 <= 0 or df2 <= 0:
        raise EffectError(f"the degrees of freedom are {df1:g} and {df2:g}; both are above 0.")
    given = rounding(f)
    if printed(f).value < 0:
        raise EffectError(f"F is {f}; a ratio of variances cannot be negative.")
    ends = (float(fdtrc(df1, df2, given.high)), float(fdtrc(df1, df2, max(0.0, given.low))))
    return Range(*ends)


def p_from_interval(estimate: str, low: str, high: str, level: float = 0.95) -> Range:
    """Recompute p from an estimate and its interval: ``z = estimate / SE``.

    ``SE = (high - low) / (2 z*)`` with the normal quantile z* (Cochrane Handbook, section 6.3.1;
    Altman and Bland 2011, doi 10.1136/bmj.d2304).

    Parameters
    ----------
    estimate, low, high : str
        As printed, on the scale on which the interval is symmetric.
    level : float
        Confidence.

    Returns
    -------
    Range

    Raises
    ------
    EffectError
        If the limits are reversed, or a number cannot be read.

    Examples
    --------
    >>> found = p_from_interval("-0.43", "-0.94", "0.08")
    >>> round(found.low, 2), round(found.high, 2)
    (0.09, 0.11)
    """
    one, two = rounding(low), rounding(high)
    if two.high <= one.low:
        raise EffectError(f"the interval [{low}, {high}] is reversed; give low before high.")
    reach = 2 * -float(ndtri((1 - level) / 2))
    errors = (max(0.0, two.low - one.high) / reach, (two.high - one.low) / reach)
    sizes = size_of(rounding(estimate))
    values = [
        2 * float(ndtr(-ratio(size, se))) for size, se in product((sizes.low, sizes.high), errors)
    ]
    return Range(min(values), max(values))


def _two_sided(found: list[tuple[float, float]]) -> TTest:
    """Return the ranges of |t| and p over pairs of |t| and degrees of freedom."""
    p = [2 * float(stdtr(df, -t)) for t, df in found]
    return TTest(hull(t for t, _ in found), hull(p))
