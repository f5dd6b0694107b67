"""Standard errors and t statistics behind what a report prints: intervals, p-values, F tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri, stdtrit

from retroevidence.effects.formulas.checks import (
    above,
    as_floats,
    at_least,
    first,
    level_of,
    numbers,
    shapes_fit,
)
from retroevidence.errors import EffectError


@shapes_fit
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
    low, high = numbers("low", low), numbers("high", high)
    if np.any(high <= low):
        raise EffectError(
            f"the interval [{first(low, high <= low)}, {first(high, high <= low)}] is empty or "
            "reversed; give low before high."
        )
    tail = (1 - level_of(level)) / 2
    reach = ndtri(tail) if df is None else stdtrit(above("df", df, 0, infinite=True), tail)
    return (high - low) / (2 * -reach)


@shapes_fit
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
    p, df = as_floats("p", p), above("df", df, 0, infinite=True)
    broken = (p <= 0) | (p > 1)
    if np.any(broken):
        raise EffectError(
            f"p is {first(p, broken)}, and an exact p-value lies above 0 and up to 1; "
            "use the printed bound for 'p = 0.000'."
        )
    # The median of t is 0; older versions of scipy miss it by rounding.
    return np.abs(stdtrit(df, p / 2)) * (p < 1)


@shapes_fit
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
    f, _ = at_least("f", f, 0), above("df2", df2, 0, infinite=True)
    return np.sqrt(f)
