"""Do printed numbers agree with each other? Recomputation within what rounding leaves open.

Each function takes numbers as printed, lets every one of them be anything that rounds to it, and
returns the range of the result. A printed result agrees when it meets that range. A result outside
it says that the numbers do not come from this calculation, not why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from scipy.special import betainc, fdtrc, ndtr, ndtri, stdtr

from retroevidence.effects.measures import hedges_j
from retroevidence.effects.possible.printed import Printed, printed
from retroevidence.effects.recover import t_from_p
from retroevidence.errors import EffectError

#: A standardised difference beyond this is called implausible: an SMD of 3 puts the mean of one
#: group above 99.9 % of the other, which is rare between treatments and common where a standard
#: error was taken for an SD.
IMPLAUSIBLE = 3.0

#: Two SDs of one quantity are called unlike when an F test of equal variances gives p below this.
UNLIKE = 0.01

#: They are called alike again when the same test gives p above this.
ALIKE = 0.05

#: The relative spread of one quantity in two units is called unlike beyond this factor.
UNITS_FACTOR = 2.0


@dataclass(frozen=True)
class Range:
    """The values a result can have, given the rounding of what it is computed from."""

    low: float
    high: float

    def meets(self, other: Range) -> bool:
        """Tell whether the two ranges share a value; a hair of floating point is forgiven."""
        hair = 1e-9 * max(1.0, abs(self.low), abs(self.high))
        return self.low <= other.high + hair and other.low <= self.high + hair


@dataclass(frozen=True)
class TTest:
    """A recomputed test: ranges of the absolute statistic and of the two-sided p-value."""

    statistic: Range
    p: Range


@dataclass(frozen=True)
class Spread:
    """How two printed SDs of one quantity compare.

    Attributes
    ----------
    ratio : float
        Larger over smaller SD.
    p_sd, p_cv : float
        Two-sided p of the F test on the SDs, and on the SDs relative to their means.
    p_if_se : float
        The larger of both p when the smaller SD is multiplied by sqrt(n).
    suspect : {0, 1, 2}
        Which of the two looks like a standard error; 0 for neither.
    """

    ratio: float
    p_sd: float
    p_cv: float
    p_if_se: float
    suspect: int


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
    given = printed(p)
    if op == "=":
        return found.meets(_rounding(given))
    if op == "<":
        return found.low < float(given.value)
    if op == ">":
        return found.high > float(given.value)
    raise EffectError(f"op is {op!r}; write =, < or >.")


def rounding(text: str) -> Range:
    """Return the values that round to a printed number.

    Parameters
    ----------
    text : str
        The number as printed.

    Returns
    -------
    Range

    Raises
    ------
    EffectError
        If the text is no number.

    Examples
    --------
    >>> rounding("0.10")
    Range(low=0.095, high=0.105)
    """
    return _rounding(printed(text))


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
    _people(n1, n2)
    apart = difference(mean1, mean2)
    sizes = _size_of(apart)
    spreads = product(_spread(sd1), _spread(sd2))
    found = []
    for s1, s2 in spreads:
        v1, v2 = s1**2 / n1, s2**2 / n2
        if equal_variances:
            df = float(n1 + n2 - 2)
            se = math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df * (1 / n1 + 1 / n2))
        else:
            se = math.sqrt(v1 + v2)
            df = (v1 + v2) ** 2 / (v1**2 / (n1 - 1) + v2**2 / (n2 - 1)) if se else 1.0
        found += [(_ratio(size, se), df) for size in (sizes.low, sizes.high)]
    return _two_sided(found)


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
    _people(n)
    sizes = _size_of(difference(mean1, mean2))
    (low1, high1), (low2, high2) = _spread(sd1), _spread(sd2)
    least = max(0.0, low1 - high2, low2 - high1)
    spreads = (least, high1 + high2)
    return _two_sided(
        [(_ratio(size * math.sqrt(n), sd), n - 1.0)
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
    _people(n)
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
    sizes = _size_of(rounding(t))
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
    _people(n1, n2)
    apart = difference(mean1, mean2)
    reaches = []
    for s1, s2 in product(_spread(sd1), _spread(sd2)):
        v1, v2 = s1**2 / n1, s2**2 / n2
        df = float(n1 + n2 - 2)
        se = math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df * (1 / n1 + 1 / n2))
        if not equal_variances:
            se = math.sqrt(v1 + v2)
            df = (v1 + v2) ** 2 / (v1**2 / (n1 - 1) + v2**2 / (n2 - 1)) if se else df
        reaches.append(float(t_from_p(1 - level, df)) * se)
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
    _people(n1, n2)
    apart = difference(mean1, mean2)
    df = n1 + n2 - 2
    factors = (float(hedges_j(df)), 1 - 3 / (4 * df - 1))
    pooled = [
        math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df)
        for s1, s2 in zip(_spread(sd1), _spread(sd2), strict=True)
    ]
    return _hull(
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
    return _hull(100 * (a / b - 1) for a, b in product((one.low, one.high), (two.low, two.high)))


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
    sizes = _size_of(rounding(estimate))
    values = [
        2 * float(ndtr(-_ratio(size, se))) for size, se in product((sizes.low, sizes.high), errors)
    ]
    return Range(min(values), max(values))


def largest_sd(mean: str, n: int, low: float, high: float) -> float:
    """Return the largest SD that n values between two ends can have with a printed mean.

    ``sqrt((m - low) (high - m) n / (n - 1))``: all values at the ends (Bhatia and Davis 2000,
    American Mathematical Monthly 107, 353-357).

    Parameters
    ----------
    mean : str
        As printed.
    n : int
        People, at least 2.
    low, high : float
        Ends of the scale.

    Returns
    -------
    float
        0 when the mean itself is outside.

    Raises
    ------
    EffectError
        If n is below 2 or the mean is no number.

    Examples
    --------
    >>> round(largest_sd("5", 10, 0, 10), 3)
    5.27
    """
    _people(n)
    given = rounding(mean)
    nearest = min(max((low + high) / 2, given.low), given.high)
    return math.sqrt(max(0.0, (nearest - low) * (high - nearest)) * n / (n - 1))


def compare_spread(mean1: str, sd1: str, n1: int, mean2: str, sd2: str, n2: int) -> Spread:
    """Tell whether one of two printed SDs of the same quantity looks like a standard error.

    The rule: the SDs differ by an F test of equal variances (p < `UNLIKE`), so do the SDs relative
    to their means (a larger mean often brings a larger SD), and multiplying the smaller by sqrt(n)
    makes them alike (p > `ALIKE`).

    Parameters
    ----------
    mean1, sd1, mean2, sd2 : str
        As printed, SDs above 0.
    n1, n2 : int
        People, at least 2.

    Returns
    -------
    Spread

    Raises
    ------
    EffectError
        If n is below 2, an SD is not above 0, or a number cannot be read.

    Examples
    --------
    >>> compare_spread("50.2", "2.0", 25, "51.0", "9.6", 25).suspect
    1
    """
    _people(n1, n2)
    s = (float(printed(sd1).value), float(printed(sd2).value))
    m = (abs(float(printed(mean1).value)), abs(float(printed(mean2).value)))
    n = (n1, n2)
    if min(s) <= 0:
        raise EffectError("an SD of 0 cannot be compared; give SDs above 0.")
    small = 0 if s[0] <= s[1] else 1
    large = 1 - small
    ratio = s[large] / s[small]
    relative = ratio * m[small] / m[large] if min(m) > 0 else ratio
    root = math.sqrt(n[small])

    def p_value(of: float) -> float:
        return _equal_variances(of, n[large], n[small])

    p_sd, p_cv = p_value(ratio), p_value(relative)
    p_if_se = max(p_value(ratio / root), p_value(relative / root))
    suspect = max(p_sd, p_cv) < UNLIKE and p_if_se > ALIKE and relative > 1
    return Spread(ratio, p_sd, p_cv, p_if_se, small + 1 if suspect else 0)


def relative_spread(mean1: str, sd1: str, mean2: str, sd2: str) -> Range:
    """Return the ratio of SD over mean in one unit to SD over mean in another.

    One quantity of the same people, printed in two units (newtons and body weights), has about the
    same relative spread in both: beyond a factor of `UNITS_FACTOR` one of the numbers is doubtful.

    Parameters
    ----------
    mean1, sd1, mean2, sd2 : str
        As printed, in the first and second unit; SDs and means above 0 by more than their rounding.

    Returns
    -------
    Range

    Raises
    ------
    EffectError
        If a mean or an SD can be 0 or less.

    Examples
    --------
    >>> found = relative_spread("2277", "192", "3.0", "0.6")
    >>> round(found.low, 2), round(found.high, 2)
    (0.38, 0.47)
    """
    parts = [rounding(text) for text in (sd1, mean2, mean1, sd2)]
    if min(part.low for part in parts) <= 0:
        raise EffectError("a mean or an SD can be 0, so the relative spread has no ratio.")
    up1, up2, down1, down2 = parts
    return Range(
        up1.low * up2.low / (down1.high * down2.high), up1.high * up2.high / (down1.low * down2.low)
    )


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
    sizes, spread = _size_of(rounding(mean)), _spread(sd)
    return _hull(_ratio(a, b) for a, b in product((sizes.low, sizes.high), spread))


# Parts ------------------------------------------------------------------------------------------


def _rounding(number: Printed) -> Range:
    return Range(float(number.low), float(number.high))


def _people(*sizes: int) -> None:
    if min(sizes) < 2:
        raise EffectError(f"a group has {min(sizes)} people; this calculation takes at least 2.")


def _spread(sd: str) -> tuple[float, float]:
    """Return the ends of the rounding interval of an SD, none below 0."""
    given = printed(sd)
    if given.value < 0:
        raise EffectError(f"the SD is {sd}; it cannot be negative.")
    return max(0.0, float(given.low)), float(given.high)


def _size_of(value: Range) -> Range:
    """Return the range of the absolute value."""
    ends = sorted((abs(value.low), abs(value.high)))
    return Range(0.0 if value.low <= 0 <= value.high else ends[0], ends[1])


def _ratio(size: float, se: float) -> float:
    """Divide what is not negative; nothing over nothing is 0, something over nothing infinite."""
    if se > 0:
        return size / se
    return math.inf if size > 0 else 0.0


def _signed_ratio(value: float, spread: float) -> float:
    return math.copysign(_ratio(abs(value), spread), value)


def _hull(values: Iterable[float]) -> Range:
    found = list(values)
    return Range(min(found), max(found))


def _two_sided(found: list[tuple[float, float]]) -> TTest:
    """Return the ranges of |t| and p over pairs of |t| and degrees of freedom."""
    p = [2 * float(stdtr(df, -t)) for t, df in found]
    return TTest(_hull(t for t, _ in found), _hull(p))


def _equal_variances(ratio: float, n1: int, n2: int) -> float:
    """Return the two-sided p of the F test, for the ratio of the first SD to the second."""
    df1, df2 = n1 - 1, n2 - 1
    below = float(betainc(df1 / 2, df2 / 2, df1 * ratio**2 / (df1 * ratio**2 + df2)))
    return min(1.0, 2 * min(below, 1 - below))
