"""The likelihood of effects that were selected by their p-values, with exact derivatives.

An effect y with variance v comes from ``N(mu, v + tau²)`` and is seen with a probability
proportional to ``w(p)``. Its density is ``w(p) N(y; mu, v + tau²) / A``, where A is the integral
of ``w N`` over all outcomes. All derivatives are those of each study with respect to its mean, tau²
and the parameters of w, so that moderators only need a matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

Floats = NDArray[np.float64]


class Parts(NamedTuple):
    """Value (k,), gradient (k, q) and Hessian (k, q, q) of something, one per study.

    The q parameters are the mean, tau² and those of the weight function.

    Examples
    --------
    >>> Parts(np.zeros(3), np.zeros((3, 2)), np.zeros((3, 2, 2))).value.shape
    (3,)
    """

    value: Floats
    gradient: Floats
    hessian: Floats


class Weight(Protocol):
    """A weight function of p with `size` parameters."""

    size: int

    def __call__(self, mean: Floats, tau2: float, delta: Floats) -> Parts:
        """Return ``log w(p) - log A`` of each study."""
        ...

    def heights(self, mean: Floats, tau2: Floats, delta: Floats) -> Floats:
        """Return the sum of ``log w(p) - log A`` at n points, roughly, for a first look.

        Their means are of shape (n, k), tau² (n, 1), parameters (n, size).
        """
        ...


def density(y: Floats, v: Floats, mean: Floats, tau2: float, size: int) -> Parts:
    """Return the log density of ``N(mean, v + tau2)`` at `y`, for `size` further parameters.

    Parameters
    ----------
    y, v, mean : numpy.ndarray, shape (k,)
        Effects, variances, means.
    tau2 : float
        Variance between studies.
    size : int
        Parameters of the weight function, which this part does not contain.

    Returns
    -------
    Parts
        With ``q = 2 + size``.

    Examples
    --------
    >>> out = density(np.array([1.0]), np.array([1.0]), np.array([0.0]), 0.0, 0)
    >>> out.gradient.tolist()
    [[1.0, 0.0]]
    """
    s, r = v + tau2, y - mean
    value = -0.5 * (np.log(2 * np.pi * s) + r**2 / s)
    gradient = np.zeros((len(y), 2 + size))
    hessian = np.zeros((len(y), 2 + size, 2 + size))
    gradient[:, 0] = r / s
    gradient[:, 1] = (r**2 / s - 1) / (2 * s)
    hessian[:, 0, 0] = -1 / s
    hessian[:, 0, 1] = hessian[:, 1, 0] = -r / s**2
    hessian[:, 1, 1] = (0.5 - r**2 / s) / s**2
    return Parts(value, gradient, hessian)


class Steps:
    """A weight that is constant between steps of p; A is a sum of normal probabilities.

    Parameters
    ----------
    y, v : numpy.ndarray, shape (k,)
        Effects, the tested side above 0, and variances.
    steps : tuple of float
        Rising inner cut points of p; interval j is ``steps[j-1] < p <= steps[j]``.
    two_sided : bool
        Whether p is two-sided.

    Examples
    --------
    >>> w = Steps(np.array([3.0, 0.1]), np.ones(2), (0.025,), False)
    >>> w.interval.tolist(), w(np.zeros(2), 0.0, np.array([0.5])).value.round(4).tolist()
    ([0, 1], [0.6685, -0.0247])
    """

    def __init__(self, y: Floats, v: Floats, steps: tuple[float, ...], two_sided: bool) -> None:
        self.size = len(steps)
        self.v = v
        z = y / np.sqrt(v)
        p = 2 * ndtr(-np.abs(z)) if two_sided else ndtr(-z)
        self.interval = np.searchsorted(np.asarray(steps), p, side="left")
        cut = -ndtri(np.asarray(steps) / (2 if two_sided else 1))
        # P(interval j) = constant + signs @ F, F the probabilities of lying above each cut.
        j, e = len(steps) + 1, len(steps)
        upper = np.zeros((j, e))
        upper[np.arange(e), np.arange(e)] = 1.0
        upper[np.arange(1, j), np.arange(e)] -= 1.0
        constant = np.zeros(j)
        if two_sided:
            self.cuts = np.concatenate([cut, -cut])
            self.signs = np.hstack([upper, -upper])
            constant[0] = 1.0
        else:
            self.cuts, self.signs = cut, upper
            constant[-1] = 1.0
        self.constant = constant

    def __call__(self, mean: Floats, tau2: float, delta: Floats) -> Parts:
        """Return ``log w(p) - log A``."""
        k, size = len(self.v), self.size
        weight = np.concatenate([[1.0], delta])
        s = (self.v + tau2)[:, None]
        b = (np.sqrt(self.v)[:, None] * self.cuts - mean[:, None]) / np.sqrt(s)
        phi = np.exp(-(b**2) / 2) / np.sqrt(2 * np.pi)
        share = self.constant + ndtr(-b) @ self.signs.T
        # First and second derivatives of the probabilities above each cut.
        by_mean, by_tau2 = phi / np.sqrt(s), phi * b / (2 * s)
        jump = weight @ self.signs
        whole = share @ weight
        gradient = np.zeros((k, 2 + size))
        gradient[:, 0], gradient[:, 1] = by_mean @ jump, by_tau2 @ jump
        gradient[:, 2:] = share[:, 1:]
        hessian = np.zeros((k, 2 + size, 2 + size))
        hessian[:, 0, 0] = (phi * b / s) @ jump
        hessian[:, 0, 1] = (phi * (b**2 - 1) / (2 * s**1.5)) @ jump
        hessian[:, 1, 1] = (phi * b * (b**2 - 3) / (4 * s**2)) @ jump
        hessian[:, 0, 2:] = by_mean @ self.signs[1:].T
        hessian[:, 1, 2:] = by_tau2 @ self.signs[1:].T
        hessian[:, 1, 0] = hessian[:, 0, 1]
        hessian[:, 2:, :2] = np.swapaxes(hessian[:, :2, 2:], 1, 2)
        slope = gradient / whole[:, None]
        bend = hessian / whole[:, None, None] - slope[:, :, None] * slope[:, None, :]
        value = np.log(weight[self.interval]) - np.log(whole)
        gradient, hessian = -slope, -bend
        for j in range(size):
            own = self.interval == j + 1
            gradient[own, 2 + j] += 1 / delta[j]
            hessian[own, 2 + j, 2 + j] -= 1 / delta[j] ** 2
        return Parts(value, gradient, hessian)

    def heights(self, mean: Floats, tau2: Floats, delta: Floats) -> Floats:
        """Return the sum of ``log w(p) - log A`` at n points."""
        weight = np.hstack([np.ones((len(delta), 1)), delta])
        b = np.sqrt(self.v)[:, None] * self.cuts - mean[:, :, None]
        above = ndtr(-b / np.sqrt(self.v + tau2)[:, :, None])
        whole = (above @ (weight @ self.signs)[:, :, None])[:, :, 0]
        whole += (weight @ self.constant)[:, None]
        tiny = np.finfo(float).tiny
        out: Floats = np.log(weight[:, self.interval] / np.fmax(whole, tiny)).sum(axis=1)
        return out


#: Families log w(p) = Σ eta_m s_m(p): the statistics s as functions of log p and log(1 - p), eta
#: as a multiple of delta plus an offset.
FAMILIES: dict[str, tuple[tuple[str, ...], float, float]] = {
    "beta": (("log p", "log 1-p"), 1.0, -1.0),
    "half-normal": (("p squared",), -1.0, 0.0),
    "negexp": (("p",), -1.0, 0.0),
}
#: The largest parameter of a smooth weight that is looked at.
MOST = 100.0
#: Beta weights are those of p moved into [1e-5, 1 - 1e-5]: they would else be infinite, or 0, for a
#: p that is extreme but not impossible (Citkowicz & Vevea 2017).
CLIP = 1e-5
_EDGE = -float(ndtri(CLIP))
_LOG_ROOT = 0.5 * math.log(2 * math.pi)
#: The z from which on other weights are constant to 1e-13, for parameters up to ``MOST``.
_FLAT = 8.0
_SIDES = np.array([-1.0, 1.0])


class Smooth:
    """A smooth weight function of the one-sided p; A by Gauss-Legendre quadrature and two tails.

    Beta weights are constant beyond the z of p = 1e-5 and 1 - 1e-5, the others to machine precision
    beyond ±8: what lies there are tails of a normal distribution, whose moments have a closed form.
    Between them the integrand is analytic. Its nodes are the same for all studies and as dense as
    its narrowest feature asks.

    Parameters
    ----------
    y, v : numpy.ndarray, shape (k,)
        Effects, the tested side above 0, and variances.
    family : str
        A key of ``FAMILIES``.

    Examples
    --------
    >>> w = Smooth(np.array([1.0]), np.ones(1), "negexp")
    >>> round(float(w(np.zeros(1), 0.0, np.array([1.0])).value[0]), 12)  # A = 1 - 1/e
    0.300019891456
    """

    def __init__(self, y: Floats, v: Floats, family: str) -> None:
        self.statistics, self.factor, self.offset = FAMILIES[family]
        self.edge = _EDGE if family == "beta" else _FLAT
        self.size = len(self.statistics)
        self.v, self.root = v, np.sqrt(v)
        self.seen = self._at(y / self.root)
        self.tails = self._at(_SIDES * self.edge)
        self._known: dict[int, tuple[Floats, Floats, Floats]] = {}

    def _at(self, z: Floats) -> Floats:
        """Return the statistics at z, on a new last axis."""
        z = np.clip(z, -self.edge, self.edge)
        return np.stack([_STATISTICS[name](z) for name in self.statistics], axis=-1)

    def __call__(self, mean: Floats, tau2: float, delta: Floats) -> Parts:
        """Return ``log w(p) - log A``."""
        k, size = len(self.v), self.size
        eta = self.factor * delta + self.offset
        both = np.sqrt(self.v + tau2)
        # u is the distance from the mean in standard deviations; one of z is `near` of it.
        near = self.root / both
        log_near, centre = np.log(near), mean / both
        z, statistics, log_size = self._nodes(eta)
        u = near[:, None] * z - centre[:, None]
        u2 = u * u
        log_g = (statistics @ eta + log_size) - 0.5 * u2 + log_near[:, None]
        end = near[:, None] * (_SIDES * self.edge) - centre[:, None]
        outward, lift = _SIDES * end, self.tails @ eta
        log_tail = lift + log_ndtr(-outward) + _LOG_ROOT
        top = np.fmax(log_g.max(axis=1), log_tail.max(axis=1))
        mass = np.exp(log_g - top[:, None])
        tail = np.exp(log_tail - top[:, None])
        total = mass.sum(axis=1) + tail.sum(axis=1)
        value = self.seen @ eta - top - np.log(total) + _LOG_ROOT
        mass /= total[:, None]
        tail /= total[:, None]
        # Moments of u in the tails, from the density at their ends.
        height = np.exp(lift - 0.5 * end**2 - top[:, None]) / total[:, None]
        one = _SIDES * height
        two = tail + outward * height
        three = 2 * one + _SIDES * end**2 * height
        four = 3 * two + outward * end**2 * height
        # Mean and covariance of (u, u², statistics) under g.
        slopes = np.empty((k, len(z), 2 + size))
        slopes[..., 0] = u
        slopes[..., 1] = u2
        slopes[..., 2:] = statistics
        first = (mass[:, None, :] @ slopes)[:, 0]
        first[:, 0] += one.sum(axis=1)
        first[:, 1] += two.sum(axis=1)
        first[:, 2:] += tail @ self.tails
        slopes -= first[:, None, :]
        bend = np.swapaxes(mass[:, :, None] * slopes, 1, 2) @ slopes
        by_u, by_u2 = first[:, :1], first[:, 1:2]
        lone, ltwo = one - by_u * tail, two - by_u2 * tail
        apart = self.tails - first[:, None, 2:]
        bend[:, 0, 0] += (two - by_u * (one + lone)).sum(axis=1) - 1
        cross = (three - by_u2 * one - by_u * ltwo).sum(axis=1) - 2 * first[:, 0]
        bend[:, 0, 1] += cross
        bend[:, 1, 1] += (four - by_u2 * (two + ltwo)).sum(axis=1) + 2 - 4 * first[:, 1]
        bend[:, 0, 2:] += (lone[:, None, :] @ apart)[:, 0]
        bend[:, 1, 2:] += (ltwo[:, None, :] @ apart)[:, 0]
        bend[:, 2:, 2:] += np.swapaxes(tail[:, :, None] * apart, 1, 2) @ apart
        bend[:, 1, 0] = bend[:, 0, 1]
        bend[:, 2:, :2] = np.swapaxes(bend[:, :2, 2:], 1, 2)
        first[:, 1] -= 1
        first[:, 2:] -= self.seen
        # From u, u² and eta to mean, tau² and delta.
        turn = np.full((k, 2 + size), self.factor)
        turn[:, 0], turn[:, 1] = 1 / both, 0.5 / both**2
        return Parts(value, -first * turn, -bend * turn[:, :, None] * turn[:, None, :])

    def heights(self, mean: Floats, tau2: Floats, delta: Floats) -> Floats:
        """Return the sum of ``log w(p) - log A`` at n points, with few nodes."""
        eta = self.factor * delta + self.offset
        both = np.sqrt(self.v + tau2)
        near, centre = self.root / both, mean / both
        z, statistics, log_size = self._nodes(np.zeros(1))
        u = near[:, :, None] * z - centre[:, :, None]
        log_g = (eta @ statistics.T + log_size)[:, None] - 0.5 * u**2 + np.log(near)[:, :, None]
        end = near[:, :, None] * (_SIDES * self.edge) - centre[:, :, None]
        log_tail = (eta @ self.tails.T)[:, None] + log_ndtr(-_SIDES * end) + _LOG_ROOT
        top = np.fmax(log_g.max(axis=2), log_tail.max(axis=2))[:, :, None]
        total = np.exp(log_g - top).sum(axis=2) + np.exp(log_tail - top).sum(axis=2)
        out: Floats = (eta @ self.seen.T - top[:, :, 0] - np.log(total) + _LOG_ROOT).sum(axis=1)
        return out

    def _nodes(self, eta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return nodes z (n,), the statistics at them, and the logarithms of their weights."""
        sharp = math.sqrt(1 + float(np.abs(eta).sum()))
        # 32 nodes for every twelve standard deviations of the narrowest feature.
        parts = math.ceil(2 * self.edge * sharp / 12)
        if parts not in self._known:
            points, log_sizes = _rule(parts)
            z = self.edge * (2 * points - 1)
            self._known[parts] = z, self._at(z), log_sizes + math.log(2 * self.edge)
        return self._known[parts]


@lru_cache(maxsize=256)
def _rule(parts: int) -> tuple[Floats, Floats]:
    """Return nodes in [0, 1] and log weights of 32 Gauss-Legendre nodes in each of equal parts."""
    points, sizes = np.polynomial.legendre.leggauss(32)
    nodes = (np.arange(parts)[:, None] + (points + 1) / 2) / parts
    return nodes.ravel(), np.tile(np.log(sizes / (2 * parts)), parts)


_STATISTICS: dict[str, Callable[[Floats], Floats]] = {
    "log p": lambda z: np.asarray(log_ndtr(-z)),
    "log 1-p": lambda z: np.asarray(log_ndtr(z)),
    "p": lambda z: np.asarray(ndtr(-z)),
    "p squared": lambda z: np.asarray(ndtr(-z) ** 2),
}
