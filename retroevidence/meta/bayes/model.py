"""The normal-normal model: data, priors, and what has a closed form once tau is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retroevidence.meta.bayes.grid import Grid, integrate
from retroevidence.meta.bayes.priors import MuPrior, TauPrior

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Points of tau times studies that are held in memory at once.
BLOCK = 2_000_000


class Given(NamedTuple):
    """What is known once tau is known: arrays over tau."""

    log_likelihood: Floats
    mean: Floats
    variance: Floats


@dataclass(frozen=True, eq=False)
class Model:
    """Data and priors, with everything that has a closed form given tau.

    Examples
    --------
    >>> from retroevidence.meta.bayes.priors import half_normal
    >>> model = Model(np.array([0.0, 1.0]), np.ones(2), half_normal(1), None)
    >>> model.given(np.array([0.0])).mean, model.tail
    (array([0.5]), inf)
    """

    yi: Floats
    vi: Floats
    tau_prior: TauPrior
    mu_prior: MuPrior | None

    @property
    def k(self) -> int:
        """Number of effects."""
        return len(self.yi)

    @property
    def tail(self) -> float:
        """The power of 1/tau with which the posterior of tau falls.

        The likelihood falls with ``k``, or ``k - 1`` when a flat prior of the mean is integrated.
        """
        return self.k - (self.mu_prior is None) + self.tau_prior.tail

    def given(self, tau: Floats) -> Given:
        """Return likelihood of tau, and mean and variance of mu, at each tau."""
        step = max(1, BLOCK // self.k)
        parts = [self._given(tau[i : i + step]) for i in range(0, len(tau), step)]
        return Given(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _given(self, tau: Floats) -> tuple[Floats, Floats, Floats]:
        prior = self.mu_prior
        # Effects counted from a centre keep their digits when they all lie far from 0.
        centre = float(np.median(self.yi))
        y = self.yi - centre
        weights = 1 / (self.vi + tau[:, None] ** 2)
        total, pull = weights.sum(axis=1), weights @ y
        own, start = 0.0, 0.0
        if prior is not None:
            own, start = prior.sd**-2, prior.mean - centre
        mean = (pull + own * start) / (total + own)
        spread = (weights * (y - mean[:, None]) ** 2).sum(axis=1) + own * (start - mean) ** 2
        log_l = np.log(weights).sum(axis=1) - np.log(total + own) - spread
        constants = self.k - 1.0
        if prior is not None:
            log_l, constants = log_l + math.log(own), float(self.k)
        log_l = (log_l - constants * math.log(2 * math.pi)) / 2
        return log_l, mean + centre, 1 / (total + own)

    def at_mu(self, mu: float, tau: Floats) -> Floats:
        """Return the log likelihood of tau when the mean is known."""
        variances = self.vi + tau[:, None] ** 2
        terms = np.log(2 * math.pi * variances) + (self.yi - mu) ** 2 / variances
        return np.asarray(-terms.sum(axis=1) / 2)

    def log_posterior(self, tau: Floats) -> Floats:
        """Return the log posterior density of tau, up to its constant."""
        return np.asarray(self.given(tau).log_likelihood + self.tau_prior.log_density(tau))

    def grid(self) -> Grid:
        """Return the posterior of tau on its grid."""

        def restless(tau: Floats) -> Bools:
            # The means must move by less than their standard deviation within a panel, so that
            # the mixture over the points is as smooth as the posterior it stands for.
            ends = self.given(tau[:, [0, -1]].ravel())
            moved = np.abs(np.diff(ends.mean.reshape(-1, 2), axis=1)[:, 0])
            spread = np.sqrt(ends.variance.reshape(-1, 2).min(axis=1))
            wide = np.log(tau[:, -1] / tau[:, 0]) > 0.6
            return np.asarray((moved > spread) | wide)

        return integrate(
            self.log_posterior, self._centre, upper=self.tau_prior.upper, restless=restless
        )

    @property
    def _centre(self) -> float:
        return 0.5 * float(np.median(np.log(self.vi)))

    def log_marginal(self, mu: float | None = None) -> float:
        """Return the log of the probability of the data when the mean is known to be `mu`."""

        def log_function(tau: Floats) -> Floats:
            return np.asarray(self.at_mu(mu or 0.0, tau) + self.tau_prior.log_density(tau))

        return integrate(log_function, self._centre, upper=self.tau_prior.upper).log_total
