"""The SD of an outcome from whatever else a report prints of its spread."""

from __future__ import annotations

from typing import Any

import numpy as np

from retroevidence.effects.conversions.reported import se_from_ci, t_from_p
from retroevidence.effects.formulas.checks import above, at_least, not_zero, numbers, shapes_fit
from retroevidence.errors import EffectError


@shapes_fit
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
    se, n = above("se", se, 0), at_least("n", n, 2)
    return se * np.sqrt(n)


@shapes_fit
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
    n = at_least("n", n, 2)
    return se_from_ci(low, high, level, df=n - 1) * np.sqrt(n)


@shapes_fit
def sd_from_t(difference: Any, t: Any, n1: Any, n2: Any) -> Any:
    """Pooled SD from a difference of means and its t: ``|difference/t| / sqrt(1/n1 + 1/n2)``.

    Parameters
    ----------
    difference : array_like
        Difference of the means of two independent groups, not 0.
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
        If the difference or t is 0, or a group has fewer than 2 people.

    Examples
    --------
    >>> round(float(sd_from_t(3.8, 2.78, 25, 22)), 3)
    4.676
    """
    difference, t = not_zero("difference", difference), not_zero("t", t)
    n1, n2 = at_least("n1", n1, 2), at_least("n2", n2, 2)
    return np.abs(difference / t) / np.sqrt(1 / n1 + 1 / n2)


@shapes_fit
def sd_from_p(difference: Any, p: Any, n1: Any, n2: Any) -> Any:
    """Pooled SD from a difference of means and the exact two-sided p of its t test.

    Parameters
    ----------
    difference : array_like
        Difference of the means of two independent groups, not 0.
    p : array_like
        Exact two-sided p-value, below 1.
    n1, n2 : array_like
        Group sizes, at least 2.

    Returns
    -------
    numpy.ndarray or numpy.float64
        The SD within groups (Cochrane Handbook, section 6.5.2.3).

    Raises
    ------
    EffectError
        If the difference is 0, p is not in (0, 1), or a group has fewer than 2 people.

    Examples
    --------
    >>> round(float(sd_from_p(3.8, 0.008, 25, 22)), 3)
    4.683
    """
    n1, n2 = at_least("n1", n1, 2), at_least("n2", n2, 2)
    return sd_from_t(difference, t_from_p(p, n1 + n2 - 2), n1, n2)


@shapes_fit
def sd_from_f(f: Any, means: Any, sizes: Any) -> Any:
    """SD within groups from the means of two or more groups and the F that compares them.

    F is the mean square between over the mean square within, so the SD within is
    ``sqrt(sum(n_i (m_i - m)²) / (k - 1) / F)`` with m the mean of all people (one-way analysis of
    variance; Cochrane Handbook, section 6.5.2.3, for two groups).

    Parameters
    ----------
    f : array_like
        F of the one-way analysis of variance, above 0.
    means, sizes : array_like
        Means and sizes of all the groups that F compares, along the last axis.

    Returns
    -------
    numpy.ndarray or numpy.float64
        The SD within groups.

    Raises
    ------
    EffectError
        If F is not above 0, fewer than two groups are given, or all means are equal.

    Examples
    --------
    >>> round(float(sd_from_f(4.0, means=[10, 12, 15], sizes=[12, 15, 11])), 4)
    4.2554
    """
    f, sizes = above("f", f, 0), at_least("sizes", sizes, 2)
    means, sizes = np.broadcast_arrays(numbers("means", means), sizes)
    groups = means.shape[-1] if means.ndim else 1
    if groups < 2:
        raise EffectError("an F compares two or more groups; give the means of all of them.")
    middle = (sizes * means).sum(axis=-1, keepdims=True) / sizes.sum(axis=-1, keepdims=True)
    between = (sizes * (means - middle) ** 2).sum(axis=-1) / (groups - 1)
    if np.any(between == 0):
        raise EffectError("all means are equal, which leaves the spread unknown; use the SDs.")
    return np.sqrt(between / f)


@shapes_fit
def sd_from_se_of_difference(se: Any, n1: Any, n2: Any) -> Any:
    """Pooled SD from the standard error of a difference of means.

    ``se / sqrt(1/n1 + 1/n2)`` (Cochrane Handbook, section 6.5.2.3). For a confidence interval of
    the difference take ``se_from_ci(low, high, df=n1 + n2 - 2)`` first.

    Parameters
    ----------
    se : array_like
        Standard error of the difference, above 0.
    n1, n2 : array_like
        Group sizes, at least 2.

    Returns
    -------
    numpy.ndarray or numpy.float64
        The SD within groups.

    Raises
    ------
    EffectError
        If a number is impossible.

    Examples
    --------
    >>> round(float(sd_from_se_of_difference(1.37, 25, 22)), 3)
    4.687
    """
    se = above("se", se, 0)
    n1, n2 = at_least("n1", n1, 2), at_least("n2", n2, 2)
    return se / np.sqrt(1 / n1 + 1 / n2)
