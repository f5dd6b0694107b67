"""Closed forms for normal samples: mean and spans expected from median, quartiles and range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri

from retroevidence.effects.formulas.checks import Floats


def luo_mean(n: Any, median: Any, ends: Sequence[Any], quartiles: Sequence[Any]) -> Any:
    """Mean of a normal sample from its median and the pairs that are given.

    Luo et al. (2018), doi 10.1177/0962280216669183.

    Parameters
    ----------
    n, median : array_like
        People and median.
    ends, quartiles : sequence of array_like
        Two numbers each, or none.

    Returns
    -------
    numpy.ndarray or numpy.float64
        The estimated mean.

    Examples
    --------
    >>> round(float(luo_mean(50, 9, (), (4, 15))), 4)
    9.3539
    """
    n = np.asarray(n, dtype=float)
    if len(ends) and len(quartiles):
        w1, w2 = 2.2 / (2.2 + n**0.75), 0.7 - 0.72 / n**0.55
        return w1 * sum(ends) / 2 + w2 * sum(quartiles) / 2 + (1 - w1 - w2) * median
    weight = 4 / (4 + n**0.75) if len(ends) else 0.7 + 0.39 / n
    return weight * sum(ends or quartiles) / 2 + (1 - weight) * median


def expected_spans(n: Any) -> tuple[Floats, Floats]:
    """Return the expected range and interquartile range of n standard normal people.

    Wan et al. (2014), doi 10.1186/1471-2288-14-135.

    Parameters
    ----------
    n : array_like
        People.

    Returns
    -------
    range, interquartile range : numpy.ndarray or numpy.float64
        In SDs.

    Examples
    --------
    >>> full, half = expected_spans(50)
    >>> round(float(full), 4), round(float(half), 4)
    (4.4867, 1.3101)
    """
    n = np.asarray(n, dtype=float)
    return 2 * ndtri((n - 0.375) / (n + 0.25)), 2 * ndtri((0.75 * n - 0.125) / (n + 0.25))
