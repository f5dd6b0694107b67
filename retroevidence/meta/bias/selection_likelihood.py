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
#: What is left beyond the ends of the integral, as a power of e.
_TAIL = 46.0


class Smooth:
    """A smooth weight function of the one-sided p; A by Gauss-Legendre quadrature in three panels.

    The panels meet at the z of p = 1e-5 and 1 - 1e-5, where beta weights stop changing and the
    others nearly do; within them the integrand is analytic, and the nodes are as dense as its
    narrowest feature asks. All weights stay within e^±1200 for parameters up to ``MOST``, so the
    integral has bounded ends.

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
        self.clipped = family == "beta"
        self.size = len(self.statistics)
        self.v = v
        self.seen = self._at(y / np.sqrt(v))

    def _at(self, z: Floats) -> Floats:
        """Return the statistics at z, on a new last axis."""
        if self.clipped:
            z = np.clip(z, -_EDGE, _EDGE)
        return np.stack([_STATISTICS[name](z) for name in self.statistics], axis=-1)

    def __call__(self, mean: Floats, tau2: float, delta: Floats) -> Parts:
        """Return ``log w(p) - log A``."""
        k, size = len(self.v), self.size
        eta = self.factor * delta + self.offset
        root = np.sqrt(self.v)
        m, s = mean / root, 1 + tau2 / self.v
        z, log_size = self._nodes(m, s, eta)
        statistics = self._at(z)
        r, wide = z - m[:, None], s[:, None]
        log_g = statistics @ eta - r**2 / (2 * wide) + log_size
        top = log_g.max(axis=1, keepdims=True)
        mass = np.exp(log_g - top)
        total = mass.sum(axis=1)
        value = self.seen @ eta - top[:, 0] - np.log(total) + 0.5 * np.log(2 * np.pi * s)
        mass /= total[:, None]
        # d log g / d(m, S, eta) at each node, then their mean and covariance under g.
        slopes = np.empty((*z.shape, 2 + size))
        slopes[..., 0] = r / wide
        slopes[..., 1] = (r**2 / wide - 1) / (2 * wide)
        slopes[..., 2:] = statistics
        first = np.einsum("kn,knq->kq", mass, slopes)
        centred = slopes - first[:, None, :]
        bend = np.swapaxes(mass[:, :, None] * centred, 1, 2) @ centred
        mean_r, mean_r2 = (mass * r).sum(axis=1), (mass * r**2).sum(axis=1)
        bend[:, 0, 0] -= 1 / s
        bend[:, 0, 1] -= mean_r / s**2
        bend[:, 1, 0] = bend[:, 0, 1]
        bend[:, 1, 1] += (0.5 - mean_r2 / s) / s**2
        first[:, 2:] -= self.seen
        # From m, S and eta to mean, tau² and delta.
        turn = np.concatenate(
            [np.stack([1 / root, 1 / self.v], axis=1), np.full((k, size), self.factor)], axis=1
        )
        return Parts(value, -first * turn, -bend * turn[:, :, None] * turn[:, None, :])

    def _nodes(self, m: Floats, s: Floats, eta: Floats) -> tuple[Floats, Floats]:
        """Return nodes z (k, n) and the logarithms of their weights."""
        known = np.maximum(self._at(m) @ eta, self._at(np.zeros_like(m)) @ eta - m**2 / (2 * s))
        # How far the weights can lift a tail, and how low the integrand's top may lie.
        lift = float(np.fmax(0.0, -eta).sum()) * -np.log(CLIP) if self.clipped else 0.0
        reach = np.sqrt(2 * s * (_TAIL + lift - np.fmin(known, 0.0)))
        # Outside of these ends nothing is left, so each panel is cut back to them.
        least, most = m - reach, m + reach
        panels = (
            (np.fmin(least, -_EDGE), np.fmin(most, -_EDGE)),
            (np.clip(least, -_EDGE, _EDGE), np.clip(most, -_EDGE, _EDGE)),
            (np.fmax(least, _EDGE), np.fmax(most, _EDGE)),
        )
        sharp = np.sqrt(1 + np.abs(eta).sum())
        tails = 1 / np.sqrt(s)
        z, log_size = [], []
        for (low, high), narrow in zip(panels, (tails, sharp, tails), strict=True):
            # 32 nodes for every eight standard deviations of the narrowest feature.
            parts = max(1, math.ceil(float(np.max((high - low) * narrow)) / 8))
            points, log_sizes = _rule(parts)
            z.append(low[:, None] + (high - low)[:, None] * points)
            length = np.fmax(high - low, np.finfo(float).tiny)
            log_size.append(np.log(length)[:, None] + log_sizes)
        return np.concatenate(z, axis=1), np.concatenate(log_size, axis=1)


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
