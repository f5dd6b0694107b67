"""How much the studies differ: Q-profile limits for tau², and I² and H² derived from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri

from retroevidence.meta.tau2 import conditioned, generalised_q, solve_q, typical_variance

Floats = NDArray[np.float64]


def q_test(yi: Floats, vi: Floats, x: Floats) -> tuple[float, int, float]:
    """Cochran's test that the studies share one effect (or one line, with moderators).

    Parameters
    ----------
    yi, vi, x : numpy.ndarray
        Effects (k,), variances (k,), design (k, p).

    Returns
    -------
    q, df, p_value : float, int, float
        Weighted residual sum of squares, ``k - p``, upper tail of chi-squared; the p-value is NaN
        without degrees of freedom.

    Examples
    --------
    >>> q, df, p = q_test(np.array([0.0, 2.0]), np.ones(2), np.ones((2, 1)))
    >>> round(q, 3), df, round(p, 4)
    (2.0, 1, 0.1573)
    """
    q = generalised_q(*conditioned(yi, vi, x), 0.0)
    df = len(yi) - x.shape[1]
    return q, df, float(chdtrc(df, q)) if df else float("nan")


def q_profile(yi: Floats, vi: Floats, x: Floats, level: float = 0.95) -> tuple[float, float]:
    """Confidence limits for tau² by inverting the generalised Q (Viechtbauer 2007).

    Q(tau²) is chi-squared with ``k - p`` degrees of freedom at the true tau², whatever the true
    value, so the limits are exact for known sampling variances
    (doi 10.1002/sim.2514). A limit below zero is 0; with both at 0 the studies agree better than
    chance would have them.

    Parameters
    ----------
    yi, vi, x : numpy.ndarray
        Effects (k,), variances (k,), design (k, p).
    level : float
        Confidence, between 0 and 1.

    Returns
    -------
    low, high : float
        NaN without degrees of freedom.

    Examples
    --------
    >>> low, high = q_profile(np.array([0.0, 1.0, 3.0]), np.full(3, 0.1), np.ones((3, 1)))
    >>> round(low, 3), round(high, 1)
    (0.533, 92.1)
    """
    df = len(yi) - x.shape[1]
    if df == 0:
        return float("nan"), float("nan")
    yi, vi, x = conditioned(yi, vi, x)
    tail = (1 - level) / 2
    return (
        solve_q(yi, vi, x, float(chdtri(df, tail))),
        solve_q(yi, vi, x, float(chdtri(df, 1 - tail))),
    )


def i2_h2(tau2: float, vi: Floats, x: Floats) -> tuple[float, float]:
    """I² in percent and H², from tau² and the variance of a typical study.

    ``I² = 100 tau²/(tau² + s²)`` and ``H² = (tau² + s²)/s²`` (Higgins & Thompson 2002,
    doi 10.1002/sim.1186), with s² of :func:`retroevidence.meta.tau2.typical_variance`. This is
    the form Cochrane has used since 2025; the form from Q is reported as ``i2_q``.

    Parameters
    ----------
    tau2 : float
        Variance between studies.
    vi, x : numpy.ndarray
        Sampling variances (k,), design (k, p).

    Returns
    -------
    i2, h2 : float
        Percent in [0, 100); ratio from 1.

    Examples
    --------
    >>> i2, h2 = i2_h2(0.3, np.full(4, 0.1), np.ones((4, 1)))
    >>> round(i2, 6), round(h2, 6)
    (75.0, 4.0)
    """
    typical = typical_variance(vi, x)
    return 100 * tau2 / (tau2 + typical), (tau2 + typical) / typical
