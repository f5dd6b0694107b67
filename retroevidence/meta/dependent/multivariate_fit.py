"""The covariance of several outcomes between studies: its maximum-likelihood estimate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from retroevidence.meta.dependent.climb import Peak, maximise
from retroevidence.meta.dependent.mixed import Likelihood
from retroevidence.meta.wording import listed

Floats = NDArray[np.float64]

STRUCTURES = {
    "UN": "every variance and correlation free",
    "DIAG": "every variance free, no correlation",
    "CS": "one variance, one correlation",
}


def directions(struct: str, r: int) -> tuple[Floats, ...]:
    """Return the matrices E_k of which G is the sum ``theta_k E_k``."""
    unit = np.eye(r)
    if struct == "DIAG" or r == 1:
        return tuple(np.outer(row, row) for row in unit)
    if struct == "CS":
        # Variance along the mean of the outcomes and across it: both only need to be >= 0.
        mean = np.full((r, r), 1 / r)
        return (unit - mean, mean)
    return tuple(
        np.outer(unit[a], unit[a])
        if a == b
        else np.outer(unit[a], unit[b]) + np.outer(unit[b], unit[a])
        for a in range(r)
        for b in range(a + 1)
    )


def between(
    likelihood: Likelihood, struct: str, names: Sequence[str], notes: list[str]
) -> tuple[Floats, Peak]:
    """Return G and the maximum, and note what the data could not tell."""
    peak = _highest(likelihood, struct, len(names))
    if not peak.by_newton:
        notes.append("Newton's method did not settle; the maximum was found by bracketing.")
    g = _matrix(likelihood, peak.theta, len(names))
    varies = np.diag(g) > 0
    if not varies.all():
        none = listed(np.array(names, dtype=object)[~varies])
        notes.append(
            f"The variance of {none} between studies is estimated as 0, and correlations with it "
            "are not defined."
        )
    if struct != "DIAG" and varies.sum() > 1:
        errors = np.sqrt(np.diag(g)[varies])
        roots = np.linalg.eigvalsh(g[np.ix_(varies, varies)] / np.outer(errors, errors))
        if roots[0] <= 1e-8:
            notes.append(
                "The correlations between studies are estimated on their boundary, where they "
                "determine each other: read them with care."
            )
    return g, peak


def _highest(likelihood: Likelihood, struct: str, r: int) -> Peak:
    scale = likelihood.scale
    if struct != "UN" or r == 1:
        free = np.ones(len(likelihood.directions), dtype=bool)
        return maximise(likelihood, scale, free)[0]
    diagonal = replace(likelihood, directions=directions("DIAG", r))
    alone, _ = maximise(diagonal, scale, np.ones(r, dtype=bool))
    peak = _unstructured(likelihood, np.maximum(alone.theta, 1e-3 * scale), scale, r)
    # The search nears a variance of 0 without end; where 0 itself is higher it is the answer.
    for i in range(r):
        g = _matrix(likelihood, peak.theta, r)
        variance = float(g[i, i])
        g[i] = g[:, i] = 0.0
        theta = g[np.tril_indices(r)]
        point = likelihood(theta)
        # Beside rounding, a variance too small to show in the likelihood is 0 too.
        lost = peak.log_likelihood - point.log_likelihood
        if lost <= (1e-10 if variance <= 1e-6 * scale else 0.0):
            peak = Peak(theta, point, peak.by_newton)
    return peak


def _matrix(likelihood: Likelihood, theta: Floats, r: int) -> Floats:
    g = np.zeros((r, r))
    for value, direction in zip(theta, likelihood.directions, strict=True):
        assert direction is not None
        g += value * direction
    return g


def _unstructured(likelihood: Likelihood, variances: Floats, scale: float, r: int) -> Peak:
    """Maximise over all covariances: quasi-Newton on ``G = scale L L'``, then Newton on G itself.

    L keeps G a covariance; G itself gives the last digits when it is inside the boundary.
    """
    from scipy.optimize import minimize

    lower = np.tril_indices(r)

    def theta_of(values: Floats) -> tuple[Floats, Floats]:
        factor = np.zeros((r, r))
        factor[lower] = values
        return (scale * factor @ factor.T)[lower], factor

    def downhill(values: Floats) -> tuple[float, Floats]:
        theta, factor = theta_of(values)
        point = likelihood(theta)
        if not math.isfinite(point.log_likelihood):
            return 1e300, np.zeros_like(values)
        slope = np.zeros((r, r))
        slope[lower] = point.slope
        # An entry off the diagonal moves two entries of G, each with half of its slope.
        slope = (slope + slope.T) / 2
        return -point.log_likelihood, -(2 * scale * slope @ factor)[lower]

    best: Peak | None = None
    errors = np.sqrt(variances / scale)
    for correlation in (0.0, 0.6, -0.6 / max(r - 1, 1)):
        start = np.full((r, r), correlation)
        np.fill_diagonal(start, 1.0)
        factor = errors[:, None] * np.linalg.cholesky(start)
        found = minimize(
            downhill, factor[lower], jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 500}
        )
        theta = theta_of(found.x)[0]
        peak = Peak(theta, likelihood(theta), True)
        if best is None or peak.log_likelihood > best.log_likelihood:
            best = peak
    assert best is not None
    return _polished(likelihood, best, r)


def _polished(likelihood: Likelihood, peak: Peak, r: int) -> Peak:
    """Take Newton steps on the entries of G while they stay a covariance and lead uphill."""
    last = math.inf
    for _ in range(20):
        point = peak.point
        roots = np.linalg.eigvalsh(_matrix(likelihood, peak.theta, r))
        if roots[0] <= 1e-8 * roots[-1] or np.linalg.eigvalsh(-point.curvature)[0] <= 0:
            return peak
        step = np.linalg.solve(-point.curvature, point.slope)
        gain = float(point.slope @ step)
        if gain < 1e-24 or gain >= last:
            return peak
        last = gain
        theta = peak.theta + step
        if np.linalg.eigvalsh(_matrix(likelihood, theta, r))[0] <= 0:
            return peak
        peak = Peak(theta, likelihood(theta), True)
    return peak
