"""Peto's one-step odds ratio: observed minus expected events over their variance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retroevidence.meta.counts.mantel_haenszel import hypergeometric_variance

Floats = NDArray[np.float64]


class PetoSums(NamedTuple):
    """Peto's pooled log odds ratio, its variance, the weight of every study, and Q.

    Examples
    --------
    >>> PetoSums(0.0, 1.0, np.ones(2), 0.5).q
    0.5
    """

    estimate: float
    variance: float
    weights: Floats
    q: float


def peto(x1: Floats, n1: Floats, x2: Floats, n2: Floats) -> PetoSums:
    """Return Peto's estimate of a common log odds ratio.

    Parameters
    ----------
    x1, n1, x2, n2 : numpy.ndarray, shape (k,)
        Events and people in group 1 and in group 2; each study has events and people without one.

    Returns
    -------
    PetoSums
        Log odds ratio (group 1 over group 2), variance, weights V, Cochran's Q.

    Notes
    -----
    ``Σ(O - E) / ΣV`` with variance ``1/ΣV``; O the events of group 1, E and V their mean and
    variance given the margins. ``Q = Σ(O-E)²/V - (Σ(O-E))²/ΣV`` (Yusuf et al. 1985, doi
    10.1016/S0033-0620(85)80003-7). It is good for rare events, groups of like size and odds
    ratios near 1, and biased towards 1 elsewhere (Greenland & Salvan 1990, doi
    10.1002/sim.4780090307).

    Examples
    --------
    >>> one = peto(*np.array([[4.0, 6], [123, 306], [11, 29], [139, 303]]))
    >>> round(one.estimate, 4), round(one.variance, 4), round(one.q, 4)
    (-1.2401, 0.0848, 0.7279)
    """
    excess = x1 - n1 * (x1 + x2) / (n1 + n2)
    variance = hypergeometric_variance(x1, n1, x2, n2)
    information = float(variance.sum())
    estimate = float(excess.sum()) / information
    # The sum of squared deviations, which keeps its digits where the textbook difference of two
    # large numbers loses them.
    q = float((variance * (excess / variance - estimate) ** 2).sum())
    return PetoSums(estimate, 1 / information, variance, q)
