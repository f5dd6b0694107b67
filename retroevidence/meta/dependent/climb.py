"""Finding the maximum of a likelihood of clustered effects over variances that are not negative."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retroevidence.meta.dependent.mixed import Likelihood, Point

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Height = Callable[[tuple[int, ...]], float]


class Peak(NamedTuple):
    """A maximum of the likelihood, and whether Newton's method reached it by itself.

    Examples
    --------
    >>> Peak._fields
    ('theta', 'point', 'by_newton')
    """

    theta: Floats
    point: Point
    by_newton: bool

    @property
    def log_likelihood(self) -> float:
        """Log likelihood of the peak."""
        return self.point.log_likelihood


#: Newton's method stops when half the squared step, in standard errors, falls below this.
SETTLED = 1e-24
NEWTON_STEPS = 60


#: Grid points above 0 for each of so many variances; with more of them the whole grid is too large.
STEPS = {0: 6, 1: 6, 2: 6, 3: 4, 4: 3}


def maximise(likelihood: Likelihood, scale: float, free: Flags) -> tuple[Peak, int]:
    """Find the variances >= 0 of highest likelihood.

    A grid over every scale from 1e-3 of `scale` upwards, with 0, shows where the maxima are; each
    is refined by Newton's method within the bounds, as is the best place with one variance at 0,
    and the highest wins. Of more than four variances, the grid is searched one variance after the
    other, from every level common to all.

    Parameters
    ----------
    likelihood : Likelihood
        The function to maximise.
    scale : float
        A variance as large as the answer could reasonably be.
    free : numpy.ndarray of bool
        The variances to estimate; the others stay 0.

    Returns
    -------
    peak : Peak
        The highest maximum.
    found : int
        How many distinct maxima there were.

    Examples
    --------
    >>> from retroevidence.meta.dependent.multilevel import pool_multilevel
    >>> pool_multilevel(
    ...     {"yi": [0.1, 0.2, 0.9, 0.8], "vi": [0.01] * 4, "study": [1, 1, 2, 2]}, cluster="study"
    ... ).sigma2.within
    0.0
    """
    count = int(free.sum())
    levels = np.concatenate([[0.0], np.geomspace(1e-3 * scale, scale, STEPS.get(count, 4))])

    @cache
    def height(at: tuple[int, ...]) -> float:
        return likelihood(np.where(free, levels[list(at)], 0.0)).log_likelihood

    tops = _of_grid(height, len(levels), free) if count in STEPS else _of_lines(
        height, len(levels), free
    )  # fmt: skip
    tops = sorted((at for at in tops if math.isfinite(height(at))), key=height, reverse=True)
    peaks = [
        climb(likelihood, np.where(free, levels[list(at)], 0.0), free, scale) for at in tops[:4]
    ]
    if 1 < count <= max(STEPS):
        # A top at a variance of 0 may lie beside a higher slope of the grid and not show on it.
        for k in np.flatnonzero(free):
            if any(peak.theta[k] == 0 for peak in peaks):
                continue
            others = free.copy()
            others[k] = False
            edge = climb(likelihood, np.where(others, peaks[0].theta, 0.0), others, scale)
            if edge.point.slope[k] <= 0:
                peaks.append(edge)
    peaks.sort(key=lambda peak: -peak.log_likelihood)
    distinct = [peaks[0]]
    for peak in peaks[1:]:
        gap = min(float(np.abs(peak.theta - known.theta).max()) for known in distinct)
        if gap > 1e-6 * scale:
            distinct.append(peak)
    return peaks[0], len(distinct)


def _of_grid(height: Height, levels: int, free: Flags) -> list[tuple[int, ...]]:
    """Return the places of a grid that no neighbour exceeds."""
    shape = tuple(levels if use else 1 for use in free)
    places = list(product(*(range(n) for n in shape)))
    heights = np.array([height(at) for at in places]).reshape(shape)
    return [
        at
        for at in places
        if heights[at] >= heights[tuple(slice(max(i - 1, 0), i + 2) for i in at)].max()
    ]


def _of_lines(height: Height, levels: int, free: Flags) -> list[tuple[int, ...]]:
    """Return the places that no other along one variance exceeds, from every common level."""
    tops = []
    for level in range(levels):
        at = [level if use else 0 for use in free]
        before = None
        while before != at:
            before = list(at)
            for k in np.flatnonzero(free):
                others = [(*at[:k], i, *at[k + 1 :]) for i in range(levels)]
                best = max(others, key=height)
                # A tie must not go to and fro.
                if height(best) > height(tuple(at)):
                    at = list(best)
        tops.append(tuple(at))
    return list(dict.fromkeys(tops))


def climb(
    likelihood: Likelihood, theta: Floats, free: Flags, scale: float, settled: float = SETTLED
) -> Peak:
    """Go up from `theta` by Newton's method within ``theta >= 0``, else by one-dimensional search.

    Parameters
    ----------
    likelihood : Likelihood
        The function to maximise.
    theta : numpy.ndarray
        Where to start.
    free : numpy.ndarray of bool
        The variances that move.
    scale : float
        A variance as large as the answer could reasonably be, for the one-dimensional search.
    settled : float
        Expected gain of log likelihood below which to stop.

    Returns
    -------
    Peak
        The maximum; `by_newton` is False when Newton's method did not settle.

    Notes
    -----
    The stopping rule is the expected gain, which has no unit: the answer does not depend on the
    scale of the effects.

    Examples
    --------
    >>> from retroevidence.meta.dependent.multilevel import pool_multilevel
    >>> frame = {"yi": [0.1, 0.2, 0.9, 0.8], "vi": [0.01] * 4, "lab": [1, 1, 2, 2]}
    >>> fit = pool_multilevel(frame, cluster="lab").fit
    >>> again = climb(fit.likelihood, np.ones(2), np.ones(2, dtype=bool), 1.0)
    >>> bool(np.allclose(again.theta, fit.theta))
    True
    """
    point = likelihood(theta)
    last = math.inf
    for _ in range(NEWTON_STEPS):
        moving = free.copy()
        if moving.any():
            moving &= (theta > 0) | (point.slope > 0)
        if not moving.any():
            return Peak(theta, point, True)
        slope = point.slope[moving]
        step = _newton_step(point, moving, slope)
        gain = float(slope @ step)
        if gain < settled or (gain < 1e-16 and gain >= last):
            return Peak(theta, point, True)
        last = gain
        whole = np.zeros_like(theta)
        whole[moving] = step
        size, there = 1.0, None
        for _ in range(60):
            trial = np.maximum(theta + size * whole, 0.0)
            there = likelihood(trial)
            # So near the top the likelihood no longer sees the difference; the slope does.
            if gain < 1e-8 or there.log_likelihood > point.log_likelihood:
                break
            size /= 2
        else:
            break
        theta, point = trial, there
    return _search(likelihood, theta, free, scale)


def _newton_step(point: Point, moving: Flags, slope: Floats) -> Floats:
    """Newton's step where the likelihood curves down, else the step of Fisher's scoring."""
    for matrix in (-point.curvature, point.expected):
        part = matrix[np.ix_(moving, moving)]
        values, vectors = np.linalg.eigh(part / _outer_root(part))
        if values.min() > 1e-8 * values.max():
            root = np.sqrt(np.abs(np.diag(part)))
            return np.asarray((vectors @ ((vectors.T @ (slope / root)) / values)) / root)
    return np.asarray(slope / np.abs(np.diag(part)))


def _outer_root(matrix: Floats) -> Floats:
    root = np.sqrt(np.maximum(np.abs(np.diag(matrix)), np.finfo(float).tiny))
    return np.asarray(np.outer(root, root))


def _search(likelihood: Likelihood, theta: Floats, free: Flags, scale: float) -> Peak:
    """Maximise one variance after the other in a bracket, until nothing is gained."""
    from scipy.optimize import minimize_scalar

    theta = theta.copy()
    best = likelihood(theta).log_likelihood
    for _ in range(500):
        before = best
        for k in np.flatnonzero(free):

            def down(value: float, k: int = int(k)) -> float:
                trial = theta.copy()
                trial[k] = value
                return -likelihood(trial).log_likelihood

            high = 4 * max(scale, float(theta[k]))
            found = minimize_scalar(
                down, bounds=(0.0, high), method="bounded", options={"xatol": 1e-11 * high}
            )
            for value in (float(found.x), 0.0):
                height = -down(value)
                if height > best:
                    best, theta[k] = height, value
        if best - before <= 1e-13 * max(1.0, abs(best)):
            break
    return Peak(theta, likelihood(theta), False)
