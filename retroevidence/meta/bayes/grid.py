"""Integrals over tau to machine precision, and the grid of tau that they leave behind.

The integrand is smooth in log(tau): the likelihood of the normal-normal model and the priors on
offer change over factors of tau, not over fixed steps. So the axis is cut into panels of log(tau),
each integrated by Gauss and Legendre's rule with 16 points, and a panel is halved until halving no
longer changes its integral. The points of all panels, with their masses, are the grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from retroevidence.errors import PoolError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(16)
#: Log of what is too small to count beside the largest value of the integrand.
_LEAST = -41.0
#: How far the search goes in log(tau): tau² must neither overflow nor vanish.
_REACH = 340.0
_STEP = 0.25
_WIDTH = 2.0
_TOLERANCE = 1e-13
#: Bounds of the halving, far above what any posterior has needed.
_ROUNDS, _MOST = 40, 20_000


_NOT_INTEGRABLE = (
    "the posterior of tau cannot be integrated; give a prior whose log density is a number and "
    "falls faster than 1/tau."
)


@dataclass(frozen=True, eq=False)
class Grid:
    """Points of tau with their share of an integral.

    Attributes
    ----------
    tau, mass : numpy.ndarray, shape (points,)
        Points in rising order, and their shares, which sum to 1.
    log_total : float
        Log of the integral over tau.
    error : float
        How much the last halving of all panels changed the integral, as a share of it: an upper
        bound for the error of the finer panels, which are the ones kept.
    edges, below : numpy.ndarray, shape (panels + 1,)
        Ends of the panels in log(tau), and the share of the integral below each.

    Examples
    --------
    >>> grid = integrate(lambda tau: -tau, 0.0)
    >>> abs(grid.log_total) < 1e-14, round(float(grid.mass @ grid.tau), 12), grid.error < 1e-12
    (True, 1.0, True)
    """

    tau: Floats
    mass: Floats
    log_total: float
    error: float
    edges: Floats
    below: Floats
    log_function: Callable[[Floats], Floats]

    def density(self, tau: Floats) -> Floats:
        """Return the density at any tau >= 0, shape of `tau`."""
        return np.asarray(np.exp(self.log_function(tau) - self.log_total))

    def cdf(self, tau: float) -> float:
        """Return the share of the integral below a tau."""
        if tau <= 0 or math.log(tau) <= self.edges[0]:
            return 0.0
        u = math.log(tau)
        if u >= self.edges[-1]:
            return 1.0
        panel = int(np.searchsorted(self.edges, u, side="right")) - 1
        return float(self.below[panel]) + self._part(self.edges[panel], u)

    def quantile(self, share: float) -> float:
        """Return the tau below which a share of the integral lies."""
        if share <= 0:
            return 0.0
        panel = int(np.searchsorted(self.below, share, side="left")) - 1
        if panel >= len(self.edges) - 1:
            return math.exp(self.edges[-1])
        low, high = float(self.edges[panel]), float(self.edges[panel + 1])
        wanted = share - float(self.below[panel])
        if self._part(low, high) <= wanted:
            return math.exp(high)
        found = brentq(lambda u: self._part(low, u) - wanted, low, high, xtol=1e-14, rtol=1e-14)
        return math.exp(found)

    def _part(self, low: float, high: float) -> float:
        half = (high - low) / 2
        tau = np.exp(low + half * (1 + _POINTS))
        return float(half * _WEIGHTS @ (self.density(tau) * tau))


def integrate(
    log_function: Callable[[Floats], Floats],
    centre: float,
    *,
    upper: float = math.inf,
    restless: Callable[[Floats], Bools] | None = None,
) -> Grid:
    """Integrate ``exp(log_function(tau))`` over tau from 0 to `upper`.

    Parameters
    ----------
    log_function : callable
        Log of the integrand for an array of tau > 0; it must fall faster than 1/tau.
    centre : float
        Log of a tau of usual size; the search starts there.
    upper : float
        End of the range.
    restless : callable, optional
        Takes the points of several panels, shape (panels, points), and says which panels must be
        halved although the integral itself is settled.

    Returns
    -------
    Grid
        Points and masses.

    Raises
    ------
    PoolError
        If the integrand is no number, or grows.

    Examples
    --------
    A half-Cauchy density has no mean, and yet its mass is 1:

    >>> grid = integrate(lambda tau: np.log(2 / np.pi) - np.log1p(tau**2), 0.0)
    >>> abs(grid.log_total) < 1e-13, round(grid.quantile(0.5), 12)
    (True, 1.0)
    """

    def log_integrand(u: Floats) -> Floats:
        return np.asarray(log_function(np.exp(u)) + u)

    low, high, top = _range(log_integrand, centre, math.log(upper))
    if not math.isfinite(top):
        raise PoolError(_NOT_INTEGRABLE)
    edges = np.linspace(low, high, 1 + max(1, math.ceil((high - low) / _WIDTH)))
    active = np.column_stack([edges[:-1], edges[1:]])
    kept: list[tuple[Floats, Floats, Floats]] = []
    settled, error = 0.0, 0.0
    # A log value of a million carries rounding that no halving removes.
    tolerance = max(_TOLERANCE, 4 * np.finfo(float).eps * abs(top))
    for _ in range(_ROUNDS):
        whole = _rule(log_integrand, active, top)[1].sum(axis=1)
        middle = active.mean(axis=1)
        halves = np.column_stack([active[:, 0], middle, middle, active[:, 1]]).reshape(-1, 2)
        points, values = _rule(log_integrand, halves, top)
        fine = values.sum(axis=1).reshape(-1, 2).sum(axis=1)
        total = settled + fine.sum()
        change = np.abs(fine - whole)
        again = change > tolerance * total
        if restless is not None:
            counts = fine > 1e-12 * total
            again |= counts & restless(np.exp(points)).reshape(-1, 2).any(axis=1)
        done = np.repeat(~again, 2)
        kept.append((halves[done], points[done], values[done]))
        settled += float(fine[~again].sum())
        error += float(change[~again].sum())
        active = halves[~done]
        if not 0 < len(active) <= _MOST:
            break
    if len(active):
        # A bound was met: what is left enters as fine as it is.
        kept.append((halves[~done], points[~done], values[~done]))
        error += float(change[again].sum())
    panels, points, values = (np.concatenate(part) for part in zip(*kept, strict=True))
    order = np.argsort(panels[:, 0])
    panels, points, values = panels[order], points[order], values[order]
    total = float(values.sum())
    if not 0 < total < math.inf:
        raise PoolError(_NOT_INTEGRABLE)
    return Grid(
        tau=np.exp(points).ravel(),
        mass=(values / total).ravel(),
        log_total=top + math.log(total),
        error=error / total,
        edges=np.append(panels[:, 0], panels[-1, 1]),
        below=np.concatenate([[0.0], np.cumsum(values.sum(axis=1)) / total]),
        log_function=log_function,
    )


def _rule(
    log_integrand: Callable[[Floats], Floats], panels: Floats, top: float
) -> tuple[Floats, Floats]:
    """Return points and weighted values of each panel, both of shape (panels, 16)."""
    half = (panels[:, 1:] - panels[:, :1]) / 2
    points = panels[:, :1] + half * (1 + _POINTS)
    values = np.exp(log_integrand(points.ravel()).reshape(points.shape) - top)
    return points, half * _WEIGHTS * values


def _range(
    log_integrand: Callable[[Floats], Floats], centre: float, end: float
) -> tuple[float, float, float]:
    """Find between which log(tau) the integrand counts, and its largest log value."""
    first, last = max(-_REACH, centre - _REACH), min(_REACH, centre + _REACH, end)
    u = np.linspace(first, last, 1 + math.ceil((last - first) / _STEP))
    values = log_integrand(u)
    best, step = int(np.argmax(values)), u[1] - u[0]
    peak, top = float(u[best]), float(values[best])
    for _ in range(8):
        # A sharp peak can stand between two points.
        near = np.clip(np.linspace(peak - step, peak + step, 33), first, last)
        heights = log_integrand(near)
        best, step = int(np.argmax(heights)), step / 8
        if heights[best] <= top:
            continue
        peak, top = float(near[best]), float(heights[best])
    counts = u[values > top + _LEAST]
    step = u[1] - u[0]
    low = min(float(counts.min(initial=peak)), peak) - step
    high = max(float(counts.max(initial=peak)), peak) + step
    return max(low, first), min(high, last), top
