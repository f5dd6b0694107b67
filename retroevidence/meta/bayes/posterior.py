"""Posterior distributions: of tau on its grid, and of effects as mixtures over that grid."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtr, ndtri

from retroevidence.errors import check_name
from retroevidence.meta.bayes.grid import Grid
from retroevidence.meta.interval import NAN, Interval, check_level

Floats = NDArray[np.float64]

KINDS = ("central", "shortest")


class Posterior(ABC):
    """What one knows of a number: density, cdf, quantiles, moments and intervals.

    Examples
    --------
    >>> known = Mixture(np.array([1.0]), np.array([0.0]), np.array([1.0]))
    >>> isinstance(known, Posterior), round(known.quantile(0.975), 6)
    (True, 1.959964)
    """

    @property
    @abstractmethod
    def mean(self) -> float:
        """Mean; infinite or NaN where the distribution has none."""

    @property
    @abstractmethod
    def sd(self) -> float:
        """Standard deviation; infinite where the distribution has none."""

    @property
    @abstractmethod
    def mode(self) -> float:
        """Where the density is highest."""

    @abstractmethod
    def density(self, x: Any) -> Floats:
        """Return the density at each x, in the shape of x."""

    @abstractmethod
    def cdf(self, x: Any) -> Floats:
        """Return the probability of values up to each x, in the shape of x."""

    @abstractmethod
    def quantile(self, share: float) -> float:
        """Return the value below which this share of the probability lies."""

    @property
    def median(self) -> float:
        """The value with half of the probability on either side."""
        return self.quantile(0.5)

    def interval(self, level: float = 0.95, kind: str = "central") -> Interval:
        """Return a credible interval.

        Parameters
        ----------
        level : float
            Its probability, between 0 and 1.
        kind : str
            "central" leaves the same probability outside on both sides and stays an interval of
            the same kind after exp(); "shortest" is the narrowest of its probability.

        Returns
        -------
        Interval
            Two limits.

        Raises
        ------
        PoolError
            If the level is not between 0 and 1.
        UnknownNameError
            If the kind is neither of the two.

        Examples
        --------
        >>> known = Mixture(np.array([1.0]), np.array([0.0]), np.array([1.0]))
        >>> [round(limit, 4) for limit in known.interval(0.5, "shortest")]
        [-0.6745, 0.6745]
        """
        check_level(level)
        check_name("kind of interval", kind, KINDS)
        tail = self._lower_tail(level) if kind == "shortest" else (1 - level) / 2
        return Interval(self.quantile(tail), self.quantile(tail + level))

    def _lower_tail(self, level: float) -> float:
        """Return the probability below the shortest interval.

        Where it is shortest its ends are equally likely, so the difference of the densities
        changes its sign there; several such points (more than one mode) are compared.
        """
        spare = 1 - level

        def slope(tail: float) -> float:
            low, high = self.density([self.quantile(tail), self.quantile(tail + level)])
            return float(low - high)

        tails = np.linspace(0.0, spare, 11)
        # Just inside of the ends: a quantile of 0 or 1 may be infinite.
        tails[[0, -1]] = spare * np.array([1e-6, 1 - 1e-6])
        slopes = [slope(float(tail)) for tail in tails]
        found = [
            brentq(slope, float(tails[i]), float(tails[i + 1]), xtol=1e-13)
            for i in range(len(tails) - 1)
            if slopes[i] < 0 <= slopes[i + 1]
        ]
        if slopes[0] >= 0:
            found.append(0.0)
        if not found:
            return spare
        width = [self.quantile(tail + level) - self.quantile(tail) for tail in found]
        return float(found[int(np.argmin(width))])


@dataclass(frozen=True, eq=False, repr=False)
class Mixture(Posterior):
    """A mixture of normal distributions: the posterior of an effect, one part per tau.

    Attributes
    ----------
    mass, means, sds : numpy.ndarray, shape (parts,)
        Probability of each part, and its mean and standard deviation.
    has_mean, has_sd : bool
        Whether the moments of the mixture exist; that is known from the tails of the prior and
        the likelihood, not from a finite grid.

    Examples
    --------
    >>> two = Mixture(np.array([0.5, 0.5]), np.array([-1.0, 1.0]), np.array([1.0, 1.0]))
    >>> two.mean, round(two.sd**2, 12), round(float(two.cdf(0.0)), 12)
    (0.0, 2.0, 0.5)
    """

    mass: Floats
    means: Floats
    sds: Floats
    has_mean: bool = True
    has_sd: bool = True

    @property
    def mean(self) -> float:
        """Mean; NaN where the distribution has none."""
        return float(self.mass @ self.means) if self.has_mean else NAN

    @property
    def sd(self) -> float:
        """Standard deviation; infinite where the distribution has none."""
        if not self.has_sd:
            return math.inf
        centre = float(self.mass @ self.means)
        return math.sqrt(float(self.mass @ (self.sds**2 + (self.means - centre) ** 2)))

    @property
    def mode(self) -> float:
        """Where the density is highest."""
        x = np.array([self.quantile(share) for share in np.linspace(0.01, 0.99, 41)])
        best = int(np.argmax(self.density(x)))
        low, high = x[max(best - 1, 0)], x[min(best + 1, len(x) - 1)]
        span = (high - low) or 1.0
        # Scaled to its bracket, so that the search stops at the same digit on every scale.
        found = minimize_scalar(
            lambda share: -float(self.density(low + share * span)),
            bounds=(0.0, 1.0),
            method="bounded",
            options={"xatol": 1e-9},
        )
        return float(low + found.x * span)

    def density(self, x: Any) -> Floats:
        """Return the density at each x, in the shape of x."""
        z = (np.asarray(x, dtype=float)[..., None] - self.means) / self.sds
        parts = np.exp(-(z**2) / 2) / (self.sds * math.sqrt(2 * math.pi))
        return np.asarray(parts @ self.mass)

    def cdf(self, x: Any) -> Floats:
        """Return the probability of values up to each x, in the shape of x."""
        z = (np.asarray(x, dtype=float)[..., None] - self.means) / self.sds
        return np.asarray(ndtr(z) @ self.mass)

    def above(self, x: float) -> float:
        """Return the probability of values above x, which 1 less the rest would round away."""
        return float(ndtr((self.means - x) / self.sds) @ self.mass)

    def quantile(self, share: float) -> float:
        """Return the value below which this share of the probability lies."""
        if not 0 < share < 1:
            return -math.inf if share <= 0 else math.inf
        # The heaviest part gives the scale; from there the bracket doubles, which ends because
        # every part puts some probability on both sides.
        heaviest = int(np.argmax(self.mass))
        centre, unit = float(self.means[heaviest]), float(self.sds[heaviest])
        guess = centre + unit * float(ndtri(share))

        def excess(steps: float) -> float:
            return float(self.cdf(guess + steps * unit)) - share

        low, high = -1.0, 1.0
        for _ in range(1100):
            if excess(low) <= 0:
                break
            low *= 2
        for _ in range(1100):
            if excess(high) >= 0:
                break
            high *= 2
        return guess + unit * float(brentq(excess, low, high, xtol=1e-13, rtol=1e-14))


@dataclass(frozen=True, eq=False, repr=False)
class TauPosterior(Posterior):
    """The posterior of tau, on the grid of :mod:`retroevidence.meta.bayes.grid`.

    Attributes
    ----------
    grid : Grid
        Points, masses and the density itself.
    has_mean, has_sd : bool
        Whether the moments exist.

    Examples
    --------
    >>> from retroevidence.meta.bayes.grid import integrate
    >>> tau = TauPosterior(integrate(lambda t: -t, 0.0))
    >>> round(tau.mean, 10), round(tau.median, 6), tau.mode
    (1.0, 0.693147, 0.0)
    """

    grid: Grid
    has_mean: bool = True
    has_sd: bool = True

    @property
    def mean(self) -> float:
        """Mean; infinite where the distribution has none."""
        return float(self.grid.mass @ self.grid.tau) if self.has_mean else math.inf

    @property
    def sd(self) -> float:
        """Standard deviation; infinite where the distribution has none."""
        if not self.has_sd:
            return math.inf
        return math.sqrt(float(self.grid.mass @ (self.grid.tau - self.mean) ** 2))

    @property
    def mode(self) -> float:
        """Where the density is highest, which may be 0."""
        return highest(self.grid.log_function, self.grid.tau)

    def density(self, x: Any) -> Floats:
        """Return the density at each x, in the shape of x; 0 below 0."""
        x = np.asarray(x, dtype=float)
        values = self.grid.density(np.maximum(x.ravel(), 0.0)).reshape(x.shape)
        return np.where(x < 0, 0.0, values)

    def cdf(self, x: Any) -> Floats:
        """Return the probability of values up to each x, in the shape of x."""
        x = np.asarray(x, dtype=float)
        return np.array([self.grid.cdf(float(value)) for value in x.ravel()]).reshape(x.shape)

    def quantile(self, share: float) -> float:
        """Return the value below which this share of the probability lies."""
        return self.grid.quantile(share)


def highest(log_function: Any, tau: Floats) -> float:
    """Return the tau >= 0 at which a function is highest, given points that bracket it.

    Parameters
    ----------
    log_function : callable
        Takes an array of tau and returns the log of the function.
    tau : numpy.ndarray
        Points in rising order.

    Returns
    -------
    float
        0 if no point exceeds the value there by more than rounding.

    Examples
    --------
    >>> round(highest(lambda tau: -((tau - 0.3) ** 2), np.linspace(0.01, 1, 50)), 7)
    0.3
    """
    values = log_function(tau)
    best = int(np.argmax(values))
    at_zero = float(log_function(np.zeros(1))[0])
    if best == 0 or values[best] <= at_zero + 1e-10:
        return 0.0
    low, high = float(tau[best - 1]), float(tau[min(best + 1, len(tau) - 1)])
    found = minimize_scalar(
        lambda share: -float(log_function(np.array([low + share * (high - low)]))[0]),
        bounds=(0.0, 1.0),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return low + float(found.x) * (high - low)
