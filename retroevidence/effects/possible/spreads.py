"""Whether a printed SD can be one, or looks like a standard error or a number in another unit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import betainc

from retroevidence.effects.possible.printed import printed
from retroevidence.effects.possible.ranges import Range, check_people, rounding
from retroevidence.errors import EffectError

#: Two SDs of one quantity are called unlike when an F test of equal variances gives p below this.
UNLIKE = 0.01

#: They are called alike again when the same test gives p above this.
ALIKE = 0.05

#: The relative spread of one quantity in two units is called unlike beyond this factor.
UNITS_FACTOR = 2.0


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
    check_people(n)
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
    check_people(n1, n2)
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


def _equal_variances(ratio: float, n1: int, n2: int) -> float:
    """Return the two-sided p of the F test, for the ratio of the first SD to the second."""
    df1, df2 = n1 - 1, n2 - 1
    below = float(betainc(df1 / 2, df2 / 2, df1 * ratio**2 / (df1 * ratio**2 + df2)))
    return min(1.0, 2 * min(below, 1 - below))
