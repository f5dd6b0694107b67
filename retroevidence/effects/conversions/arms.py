"""Several arms of one study: merged into one, or a shared comparator split among them.

Arms that share a comparator count its people more than once when each is compared with it. Merging
the arms, or splitting the comparator, mends that (Cochrane Handbook, sections 6.5.2.10 and
23.3.4).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retroevidence.effects.formulas.checks import (
    Floats,
    above,
    at_least,
    first,
    numbers,
    shapes_fit,
)
from retroevidence.errors import EffectError


@shapes_fit
def combine_arms(n1: Any, m1: Any, sd1: Any, n2: Any, m2: Any, sd2: Any) -> tuple[Any, Any, Any]:
    """Merge two arms of one study into one: n, mean and SD as if never split.

    Cochrane Handbook, table 6.5.a. For more arms use :func:`combine_all_arms`.

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
    n1, n2 = at_least("n1", n1, 2), at_least("n2", n2, 2)
    sd1, sd2 = above("sd1", sd1, 0), above("sd2", sd2, 0)
    m1, m2 = numbers("m1", m1), numbers("m2", m2)
    n = n1 + n2
    within = (n1 - 1) * sd1**2 + (n2 - 1) * sd2**2
    between = n1 * n2 / n * (m1 - m2) ** 2
    return n, (n1 * m1 + n2 * m2) / n, np.sqrt((within + between) / (n - 1))


@shapes_fit
def combine_all_arms(n: Any, m: Any, sd: Any) -> tuple[Any, Any, Any]:
    """Merge any number of arms of one study: n, mean and SD as if never split.

    The sum of squares of all people is that within the arms plus that between them:
    ``sum((n_i - 1) sd_i² + n_i (m_i - m)²)``; for two arms this is table 6.5.a of the Cochrane
    Handbook.

    Parameters
    ----------
    n, m, sd : array_like
        Sizes (at least 2), means and SDs (above 0), the arms along the last axis.

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
    >>> n, m, sd = combine_all_arms(n=[10, 20, 15], m=[5, 8, 6], sd=[2, 3, 2.5])
    >>> float(n), round(float(m), 4), round(float(sd), 4)
    (45.0, 6.6667, 2.8782)
    """
    n, sd = at_least("n", n, 2), above("sd", sd, 0)
    n, m, sd = np.broadcast_arrays(n, numbers("m", m), sd)
    total = n.sum(axis=-1)
    mean = (n * m).sum(axis=-1) / total
    squares = ((n - 1) * sd**2 + n * (m - mean[..., None]) ** 2).sum(axis=-1)
    return total, mean, np.sqrt(squares / (total - 1))


@shapes_fit
def combine_counts(events: Any, n: Any) -> tuple[Any, Any]:
    """Merge any number of arms that count events: the sums of events and of people.

    Parameters
    ----------
    events, n : array_like
        Events, and the people among whom they were counted, the arms along the last axis.

    Returns
    -------
    events, n : numpy.ndarray or numpy.float64
        Of the merged arm.

    Raises
    ------
    EffectError
        If an arm has more events than people, or a count is negative.

    Examples
    --------
    >>> events, n = combine_counts([3, 0, 5], [20, 18, 22])
    >>> float(events), float(n)
    (8.0, 60.0)
    """
    events, n = np.broadcast_arrays(at_least("events", events, 0), at_least("n", n, 1))
    _no_more_than(events, n)
    return events.sum(axis=-1), n.sum(axis=-1)


@shapes_fit
def split_control(n: Any, *, arms: int) -> Any:
    """Split the people of a shared comparator evenly among the arms compared with it.

    The mean and the SD of the comparator stay as they are: only its size is divided (Cochrane
    Handbook, section 23.3.4). This mends the double counting, not the correlation between the
    comparisons: merging the arms, or a model of that correlation, does both.

    Parameters
    ----------
    n : array_like
        People of the comparator.
    arms : int
        Arms that are compared with it, at least 2.

    Returns
    -------
    numpy.ndarray or numpy.float64
        People of the comparator in each comparison, not rounded, at least 2.

    Raises
    ------
    EffectError
        If fewer than two arms share it, or fewer than two people are left for each.

    Examples
    --------
    >>> float(split_control(31, arms=2))
    15.5
    """
    share = numbers("n", n) / _arms(arms)
    if np.any(share < 2):
        raise EffectError(
            f"{arms} arms leave {first(share, share < 2)} people of the comparator for each, and "
            "an effect needs 2; merge the arms instead."
        )
    return share


@shapes_fit
def split_control_counts(events: Any, n: Any, *, arms: int) -> tuple[Any, Any]:
    """Split the events and people of a shared comparator evenly among the arms.

    Events and people are both divided (Cochrane Handbook, section 23.3.4), so that the risk stays
    what it was.

    Parameters
    ----------
    events, n : array_like
        Events and people of the comparator.
    arms : int
        Arms that are compared with it, at least 2.

    Returns
    -------
    events, n : numpy.ndarray or numpy.float64
        Of the comparator in each comparison, not rounded.

    Raises
    ------
    EffectError
        If fewer than two arms share it, or there are more events than people.

    Examples
    --------
    >>> events, n = split_control_counts(5, 40, arms=2)
    >>> float(events), float(n)
    (2.5, 20.0)
    """
    events, n = np.broadcast_arrays(at_least("events", events, 0), at_least("n", n, 1))
    _no_more_than(events, n)
    share = _arms(arms)
    return events / share, n / share


def _arms(arms: int) -> int:
    if not isinstance(arms, (int, np.integer)) or arms < 2:
        raise EffectError(f"arms={arms!r}: a comparator is shared by 2 arms at least.")
    return int(arms)


def _no_more_than(events: Floats, n: Floats) -> None:
    broken = events > n
    if np.any(broken):
        raise EffectError(
            f"{first(events, broken)} events cannot exceed {first(n, broken)}, the people."
        )
