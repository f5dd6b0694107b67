"""Intervals and tests of a mean: their names, critical values and p-values."""

from __future__ import annotations

import math
from functools import lru_cache
from numbers import Real
from typing import NamedTuple

from scipy.special import ndtr, ndtri, stdtr, stdtrit

from retroevidence.errors import PoolError

#: One NaN object, so that two equal results compare equal field by field.
NAN = math.nan

TESTS = {
    "z": "z",
    "t": "t",
    "knha": "Knapp-Hartung",
    "adhoc": "modified Knapp-Hartung",
}


class Interval(NamedTuple):
    """The two limits of an interval; NaN where it is not defined.

    Examples
    --------
    >>> Interval(0.1, 0.5).low
    0.1
    """

    low: float
    high: float


NO_INTERVAL = Interval(NAN, NAN)


def check_level(level: float) -> None:
    """Raise if a confidence level is none.

    Parameters
    ----------
    level : float
        Confidence.

    Raises
    ------
    PoolError
        If it is not a number between 0 and 1.

    Examples
    --------
    >>> check_level(95)
    Traceback (most recent call last):
        ...
    retroevidence.errors.PoolError: level=95 is not between 0 and 1; write 0.95 for 95%.
    """
    # float first: it is the usual case, and the cheap test.
    if not (isinstance(level, (float, Real)) and 0 < level < 1):
        raise PoolError(f"level={level!r} is not between 0 and 1; write 0.95 for 95%.")


@lru_cache(maxsize=1024)
def critical_value(level: float, df: float) -> float:
    """Return the two-sided critical value of t, or of z when `df` is infinite.

    Parameters
    ----------
    level : float
        Confidence, between 0 and 1.
    df : float
        Degrees of freedom; infinity for the normal distribution.

    Returns
    -------
    float
        A positive quantile.

    Examples
    --------
    >>> round(critical_value(0.95, math.inf), 6), round(critical_value(0.95, 12), 6)
    (1.959964, 2.178813)
    """
    tail = (1 - level) / 2
    return -float(ndtri(tail) if math.isinf(df) else stdtrit(df, tail))


def two_sided(statistic: float, df: float) -> float:
    """Return the two-sided p-value of a t statistic, or of z when `df` is infinite.

    Parameters
    ----------
    statistic : float
        Estimate over its standard error.
    df : float
        Degrees of freedom; infinity for the normal distribution.

    Returns
    -------
    float
        A probability.

    Examples
    --------
    >>> round(two_sided(-1.959964, math.inf), 6)
    0.05
    """
    size = -abs(statistic)
    return 2 * float(ndtr(size) if math.isinf(df) else stdtr(df, size))
