"""The two variances of a three-level model: their estimates, profile limits, and what follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from retroevidence.meta.dependent.blocks import Blocks
from retroevidence.meta.dependent.climb import Peak, climb, maximise
from retroevidence.meta.dependent.clustered import Clustered, Turned, turn
from retroevidence.meta.dependent.mixed import Likelihood, Point

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LevelFit:
    """The maximum of the likelihood, and the model there.

    Attributes
    ----------
    theta : numpy.ndarray, shape (2,)
        Variances between and within clusters.
    log_likelihood : float
        At the maximum, with its constants.
    beta, covariance : numpy.ndarray
        Coefficients of the design, and ``(X'M⁻¹X)⁻¹``.
    blocks : Blocks
        Covariance of the effects.
    typical, q : float
        Sampling variance of a typical effect, and Cochran's Q.
    free : numpy.ndarray of bool
        The variances that the data can tell.
    notes : tuple of str
        What the search for the maximum met.
    turned : Turned
        The effects, sorted by cluster.

    Examples
    --------
    >>> from retroevidence.meta.dependent.multilevel import pool_multilevel
    >>> frame = {"yi": [0.1, 0.2, 0.9, 0.8], "vi": [0.01] * 4, "lab": [1, 1, 2, 2]}
    >>> pool_multilevel(frame, cluster="lab").fit.weights.round(6).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    theta: Floats
    log_likelihood: float
    beta: Floats
    covariance: Floats
    blocks: Blocks
    typical: float
    q: float
    free: Flags
    scale: float
    notes: tuple[str, ...]
    turned: Turned
    likelihood: Likelihood

    @cached_property
    def weights(self) -> Floats:
        """What each effect, in the user's order, adds to the first coefficient; 1 in all."""
        turned = self.turned
        share = self.covariance[0] @ self.blocks.solve(turned.x)
        weights = np.empty(len(share))
        weights[turned.order] = turned.turn_back(share)
        return weights

    def profile(self, which: int, level: float) -> tuple[float, float]:
        """Return the profile-likelihood limits of one variance; NaN if the data cannot tell it.

        The limits are where twice the drop of the log likelihood, maximised over the other
        variance, reaches the quantile of chi-squared with one degree of freedom.
        """
        from scipy.optimize import brentq

        if not self.free[which]:
            return math.nan, math.nan
        others = self.free.copy()
        others[which] = False
        allowed = float(chdtri(1, 1 - level)) / 2
        at = self.theta.copy()

        def short(value: float) -> float:
            start = at.copy()
            start[which] = value
            peak = climb(self.likelihood, start, others, self.scale, settled=1e-12)
            # The next value starts where this one ended: they are near each other.
            at[others] = peak.theta[others]
            return self.log_likelihood - peak.log_likelihood - allowed

        best = float(self.theta[which])
        low = 0.0
        if best > 0 and short(0.0) > 0:
            at[:] = self.theta
            low = float(brentq(short, 0.0, best, xtol=1e-13 * best, rtol=1e-12))
        at[:] = self.theta
        reach = max(best, 1e-3 * self.scale)
        inside = best
        for _ in range(200):
            if short(best + reach) > 0:
                break
            inside, reach = best + reach, 2 * reach
        else:
            return low, math.inf
        at[:] = self.theta
        high = float(brentq(short, inside, best + reach, xtol=1e-13 * reach, rtol=1e-12))
        return low, high


def fit_levels(data: Clustered, rho: float | None, *, restricted: bool) -> LevelFit:
    """Estimate both variances and the coefficients.

    Parameters
    ----------
    data : Clustered
        The rows that enter, in at least two clusters.
    rho : float, optional
        Correlation of the sampling errors within a cluster.
    restricted : bool
        REML, else ML.

    Returns
    -------
    LevelFit
        The highest maximum found.

    Examples
    --------
    >>> import pandas as pd
    >>> from retroevidence.meta.dependent.clustered import read_clustered
    >>> frame = pd.DataFrame({"yi": [0.0, 2.0], "vi": [1.0, 1.0], "lab": ["a", "b"]})
    >>> fit_levels(read_clustered(frame, cluster="lab"), None, restricted=True).theta.round(9)
    array([1., 0.])
    """
    turned = turn(data, rho)
    n, p = turned.x.shape[1], turned.x.shape[0]
    # The design enters through an orthonormal basis, so that a calendar year as a moderator costs
    # no accuracy.
    basis, upper = np.linalg.qr(turned.x.T)
    likelihood = Likelihood(
        turned.base,
        np.concatenate([basis.T, turned.y[None, :]]),
        turned.turn(np.ones(n))[None, :],
        (np.eye(1), None),
        restricted,
    )
    sampling = likelihood(np.zeros(2))
    scale = likelihood.scale
    notes: list[str] = []
    free = _identified(likelihood, scale, n > p, notes)
    peak = _best(likelihood, scale, free, notes)
    point = peak.point
    covariance = np.linalg.inv(point.information)
    back = np.linalg.inv(upper)
    return LevelFit(
        theta=peak.theta,
        log_likelihood=point.log_likelihood,
        beta=back @ point.beta,
        covariance=back @ covariance @ back.T,
        blocks=point.blocks,
        typical=_typical(sampling, n - p),
        q=sampling.rss,
        free=free,
        scale=scale,
        notes=tuple(notes),
        turned=turned,
        likelihood=likelihood,
    )


def _identified(likelihood: Likelihood, scale: float, possible: bool, notes: list[str]) -> Flags:
    """Find the variances that the design lets the data tell, from their expected information."""
    if not possible:
        notes.append("As many coefficients as effects: both variances are set to 0.")
        return np.zeros(2, dtype=bool)
    point = likelihood(np.full(2, scale))
    if point.blocks.layout.alone.all():
        notes.append(
            "Each cluster has one effect: variation between and within clusters cannot be told "
            "apart, and all of it is counted as between."
        )
        return np.array([True, False])
    expected = point.expected
    if expected[0, 0] <= 1e-10 * expected[1, 1]:
        notes.append(
            "The moderators tell all clusters apart: the variance between them is set to 0."
        )
        return np.array([False, True])
    correlation = expected[0, 1] / math.sqrt(expected[0, 0] * expected[1, 1])
    if correlation > 1 - 1e-10:
        notes.append(
            "Variation between and within clusters cannot be told apart here; the latter is 0."
        )
        return np.array([True, False])
    return np.ones(2, dtype=bool)


def _best(likelihood: Likelihood, scale: float, free: Flags, notes: list[str]) -> Peak:
    peak, found = maximise(likelihood, scale, free)
    if found > 1:
        notes.append(f"The likelihood has {found} maxima; the highest is reported.")
    if not peak.by_newton:
        notes.append(
            "Newton's method did not settle; the maximum was found by bracketing one variance "
            "after the other."
        )
    return peak


def _typical(point: Point, df: int) -> float:
    """Return the sampling variance of a typical effect, ``(k - p)/tr(P)``."""
    if df < 1:
        return math.nan
    blocks = point.blocks
    weighted = blocks.solve(point.x)
    lost = np.trace(np.linalg.solve(point.information, weighted @ weighted.T))
    return df / float(blocks.inverse_diagonal.sum() - lost)
