"""The answer of a Bayesian analysis: posteriors, and the plain numbers read off them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence._show import Card, Carded, confidence, interval, number, percent
from retroevidence.errors import PoolError
from retroevidence.meta.bayes.grid import Grid
from retroevidence.meta.bayes.model import BLOCK, Given, Model
from retroevidence.meta.bayes.posterior import Mixture, Posterior, TauPosterior, highest
from retroevidence.meta.bayes.priors import MuPrior, TauPrior
from retroevidence.meta.heterogeneity import i2_h2
from retroevidence.meta.interval import NAN, Interval
from retroevidence.meta.wording import (
    IN_PERCENT,
    RATIOS,
    decimals,
    exp_of,
    flattened,
    studies_in,
    study_names,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class PooledBayes(Carded):
    """A Bayesian pooled mean, made by :func:`retroevidence.meta.bayes.pool.pool_bayes`.

    Attributes
    ----------
    estimate, mean, mode, se, ci : float and Interval
        Posterior median, mean, mode and standard deviation of the mean effect, and its central
        credible interval. Where a moment does not exist it is infinite or NaN.
    prediction : Interval
        Central interval for the true effect of a new study.
    tau, tau_mean, tau_mode, tau_se, tau_ci : float and Interval
        The same for tau; `tau` is the median. `tau2`, `tau2_ci` and `i2` follow from it.
    map_mu, map_tau : float
        Where the joint posterior density of both is highest.
    log_marginal : float
        Log marginal likelihood; NaN when a prior is improper.
    bf_mu0, bf_tau0 : float
        Bayes factors for "the mean is 0" and for "tau is 0" against the model: above 1 they favour
        the zero. NaN when the prior of what is tested is improper.
    mu_posterior, tau_posterior, new_posterior : Posterior
        Whole distributions: `density`, `cdf`, `quantile`, `interval` (central or shortest), `mean`,
        `sd`, `mode`, `median`.
    studies : pandas.DataFrame
        The rows that entered, with the posterior of each study's own effect: `shrunk`,
        `shrunk_se`, `shrunk_low`, `shrunk_high`, and `weight`, the mean share in percent of the
        study in the mean effect.
    measure, level, k, tau_prior, mu_prior, notes
        What was asked, and what a reader must know before quoting the numbers.
    model, grid, frame, given_notes : Model, Grid, pandas.DataFrame and tuple of str
        What the numbers are computed from: data with priors, the posterior of tau at points, the
        rows that entered, and the notes on what was left out.

    Examples
    --------
    >>> from retroevidence.meta.bayes.pool import pool_bayes
    >>> from retroevidence.meta.bayes.priors import half_normal, normal
    >>> pooled = pool_bayes(
    ...     yi=[0.1, 0.3], vi=[0.02, 0.03], tau_prior=half_normal(0.5), mu_prior=normal(0, 1)
    ... )
    >>> round(pooled.probability(above=0.0), 3), round(pooled.bf_mu0, 2)
    (0.825, 2.79)
    >>> [round(limit, 3) for limit in pooled.mu_posterior.interval(0.95, "shortest")]
    [-0.351, 0.705]
    """

    measure: str
    level: float
    model: Model
    grid: Grid
    given_notes: tuple[str, ...]
    frame: pd.DataFrame

    def __eq__(self, other: object) -> bool:
        """Compare every number and note, not the frames."""
        return isinstance(other, PooledBayes) and self._key() == other._key()

    def __hash__(self) -> int:
        """Hash what equality compares."""
        return hash(self._key())

    def _key(self) -> tuple[str, ...]:
        # repr of a float is exact and treats NaN as equal to itself.
        return tuple(repr(value) for value in self._plain().values())

    # Posteriors -------------------------------------------------------------------------------

    @cached_property
    def _given(self) -> Given:
        return self.model.given(self.grid.tau)

    @cached_property
    def mu_posterior(self) -> Mixture:
        """Posterior of the mean effect."""
        given, tail = self._given, self.model.tail
        bounded = self.model.mu_prior is not None
        return Mixture(
            self.grid.mass,
            given.mean,
            np.sqrt(given.variance),
            has_mean=bounded or tail > 2,
            has_sd=bounded or tail > 3,
        )

    @cached_property
    def new_posterior(self) -> Mixture:
        """Posterior of the true effect in a new study."""
        given, tail = self._given, self.model.tail
        sds = np.sqrt(given.variance + self.grid.tau**2)
        return Mixture(self.grid.mass, given.mean, sds, has_mean=tail > 2, has_sd=tail > 3)

    @cached_property
    def tau_posterior(self) -> Posterior:
        """Posterior of tau."""
        return TauPosterior(self.grid, has_mean=self.model.tail > 2, has_sd=self.model.tail > 3)

    def study_posterior(self, row: int) -> Posterior:
        """Return the posterior of one study's own true effect.

        Parameters
        ----------
        row : int
            Position of the study in `studies`, from 0.

        Returns
        -------
        Posterior
            Given tau it is normal around ``b y + (1 - b) mu`` with ``b = tau²/(tau² + v)``.

        Raises
        ------
        PoolError
            If there is no such row.

        Examples
        --------
        >>> from retroevidence.meta.bayes.pool import pool_bayes
        >>> from retroevidence.meta.bayes.priors import half_normal
        >>> pooled = pool_bayes(yi=[0.0, 1.0], vi=[0.1, 0.1], tau_prior=half_normal(0.5))
        >>> round(pooled.study_posterior(1).mean, 3)
        0.797
        """
        if not (isinstance(row, Integral) and 0 <= row < self.k):
            raise PoolError(f"row={row!r} is none of the {self.k} studies; count from 0.")
        y, v = float(self.model.yi[row]), float(self.model.vi[row])
        kept = self.grid.tau**2 / (self.grid.tau**2 + v)
        means = kept * y + (1 - kept) * self._given.mean
        variances = kept * v + (1 - kept) ** 2 * self._given.variance
        return Mixture(self.grid.mass, means, np.sqrt(variances))

    def probability(self, *, above: float, new_study: bool = False) -> float:
        """Return the probability that the effect lies above a threshold.

        Parameters
        ----------
        above : float
            The threshold, on the scale of the effects.
        new_study : bool
            For the effect of a new study, not for the mean effect.

        Returns
        -------
        float
            Between 0 and 1, small ones to their own digits; the rest is the probability of an
            effect below.

        Raises
        ------
        PoolError
            If the threshold is no number.

        Examples
        --------
        >>> from retroevidence.meta.bayes.pool import pool_bayes
        >>> from retroevidence.meta.bayes.priors import half_normal
        >>> pooled = pool_bayes(yi=[0.0, 1.0], vi=[0.1, 0.1], tau_prior=half_normal(0.5))
        >>> round(pooled.probability(above=0.5), 6)
        0.5
        """
        if not isinstance(above, Real) or math.isnan(above):
            raise PoolError(f"above={above!r} is no threshold; give a number.")
        posterior = self.new_posterior if new_study else self.mu_posterior
        return posterior.above(float(above))

    # Numbers ----------------------------------------------------------------------------------

    @property
    def k(self) -> int:
        """Number of effects."""
        return self.model.k

    @property
    def tau_prior(self) -> TauPrior:
        """The prior of tau."""
        return self.model.tau_prior

    @property
    def mu_prior(self) -> MuPrior | None:
        """The prior of the mean effect; None for the flat one."""
        return self.model.mu_prior

    @cached_property
    def estimate(self) -> float:
        """Posterior median of the mean effect."""
        return self.mu_posterior.median

    @cached_property
    def mean(self) -> float:
        """Posterior mean of the mean effect."""
        return self.mu_posterior.mean

    @cached_property
    def mode(self) -> float:
        """Posterior mode of the mean effect."""
        return self.mu_posterior.mode

    @cached_property
    def se(self) -> float:
        """Posterior standard deviation of the mean effect."""
        return self.mu_posterior.sd

    @cached_property
    def ci(self) -> Interval:
        """Central credible interval of the mean effect."""
        return self.mu_posterior.interval(self.level)

    @cached_property
    def prediction(self) -> Interval:
        """Central interval for the true effect of a new study."""
        return self.new_posterior.interval(self.level)

    @cached_property
    def tau(self) -> float:
        """Posterior median of tau."""
        return self.tau_posterior.median

    @cached_property
    def tau_mean(self) -> float:
        """Posterior mean of tau."""
        return self.tau_posterior.mean

    @cached_property
    def tau_mode(self) -> float:
        """Posterior mode of tau."""
        return self.tau_posterior.mode

    @cached_property
    def tau_se(self) -> float:
        """Posterior standard deviation of tau."""
        return self.tau_posterior.sd

    @cached_property
    def tau_ci(self) -> Interval:
        """Central credible interval of tau."""
        return self.tau_posterior.interval(self.level)

    @property
    def tau2(self) -> float:
        """Posterior median of tau²."""
        return self.tau**2

    @property
    def tau2_ci(self) -> Interval:
        """Central credible interval of tau²."""
        return Interval(self.tau_ci.low**2, self.tau_ci.high**2)

    @cached_property
    def i2(self) -> float:
        """Posterior median of I² in percent, which rises with tau; NaN for one study."""
        if self.k == 1:
            return NAN
        return i2_h2(self.tau2, self.model.vi, np.ones((self.k, 1)))[0]

    @cached_property
    def map_tau(self) -> float:
        """Value of tau where the joint posterior density is highest."""

        def joint(tau: Floats) -> Floats:
            given = self.model.given(tau)
            value = given.log_likelihood - np.log(given.variance) / 2
            return np.asarray(value + self.tau_prior.log_density(tau))

        return highest(joint, self.grid.tau)

    @cached_property
    def map_mu(self) -> float:
        """Mean effect where the joint posterior density is highest."""
        return float(self.model.given(np.array([self.map_tau])).mean[0])

    @cached_property
    def log_marginal(self) -> float:
        """Log marginal likelihood; NaN when a prior is improper."""
        proper = self.tau_prior.proper and self.mu_prior is not None
        return self.grid.log_total if proper else NAN

    @cached_property
    def bf_mu0(self) -> float:
        """Bayes factor for a mean effect of 0; NaN for the flat prior, which makes it arbitrary."""
        if self.mu_prior is None:
            return NAN
        return exp_of(self.model.log_marginal(mu=0.0) - self.grid.log_total)

    @cached_property
    def bf_tau0(self) -> float:
        """Bayes factor for tau = 0; NaN for an improper prior of tau."""
        if not self.tau_prior.proper:
            return NAN
        at_zero = float(self.model.given(np.zeros(1)).log_likelihood[0])
        return exp_of(at_zero - self.grid.log_total)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before quoting the numbers."""
        found = list(self.given_notes)
        if self.k == 1:
            found.append(
                "One study says next to nothing about tau: the spread and the prediction rest on "
                "the prior."
            )
        elif self.k < 10:
            found.append(
                f"With {self.k} studies the prior of tau decides much: "
                "show the result for other priors too."
            )
        if not self.tau_prior.proper:
            found.append("The prior of tau is improper: there is no marginal likelihood.")
        if math.isinf(self.se):
            found.append(
                "The tail of the posterior is so heavy that the mean effect has no standard "
                "deviation; its median and interval stand."
            )
        if studies_in(self.frame) < self.k:
            found.append(
                "Some studies give several effects, taken here as independent: "
                "the interval is too narrow if they are alike."
            )
        return tuple(found)

    @cached_property
    def studies(self) -> pd.DataFrame:
        """The rows that entered with `shrunk` and its se and limits, and `weight` in percent."""
        own = [self.study_posterior(row) for row in range(self.k)]
        limits = [posterior.interval(self.level) for posterior in own]
        return self.frame.assign(
            shrunk=[posterior.median for posterior in own],
            shrunk_se=[posterior.sd for posterior in own],
            shrunk_low=[limit.low for limit in limits],
            shrunk_high=[limit.high for limit in limits],
            weight=self._weights(),
        )

    def _weights(self) -> Floats:
        # The posterior mean of mu is linear in the effects; these are its coefficients, which
        # fall short of 100 by the share of a proper prior of the mean.
        total = np.zeros(self.k)
        step = max(1, BLOCK // self.k)
        for i in range(0, len(self.grid.tau), step):
            part = slice(i, i + step)
            share = self._given.variance[part, None] / (
                self.model.vi + self.grid.tau[part, None] ** 2
            )
            total += self.grid.mass[part] @ share
        return 100 * total

    def _plain(self) -> dict[str, Any]:
        names = (
            "measure level k estimate mean mode se ci prediction tau tau_mean tau_mode tau_se "
            "tau_ci tau2 tau2_ci i2 map_mu map_tau log_marginal bf_mu0 bf_tau0"
        ).split()
        plain = {name: getattr(self, name) for name in names}
        plain["tau_prior"] = repr(self.tau_prior)
        plain["mu_prior"] = "flat" if self.mu_prior is None else repr(self.mu_prior)
        return plain | {"notes": self.notes}

    @property
    def summary(self) -> pd.DataFrame:
        """One row with every number; several of them concatenate to a table of priors."""
        row = self.to_dict()
        row["notes"] = " ".join(self.notes)
        return pd.DataFrame([row])

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values, None where undefined."""
        return flattened(self._plain())

    # Display ----------------------------------------------------------------------------------

    def _repr_html_(self) -> str:
        """Return the card as HTML, with the studies."""
        return self._card(with_studies=True).html()

    def _card(self, *, with_studies: bool = False) -> Card:
        level = confidence(self.level)
        digits = decimals((self.ci.high - self.ci.low) / 4)
        ratio = RATIOS.get(self.measure)
        pairs = [
            (
                f"log {ratio}" if ratio else "mean effect",
                f"{number(self.estimate, digits)}  {level} CrI {interval(*self.ci, digits)}, "
                f"P(> 0) = {percent(self.probability(above=0.0))}",
            )
        ]
        if ratio:
            middle, low, high = (exp_of(value) for value in (self.estimate, *self.ci))
            pairs.append((ratio, f"{number(middle)}  {level} CrI {interval(low, high)}"))
        if self.measure in IN_PERCENT:
            middle, low, high = (100 * (exp_of(value) - 1) for value in (self.estimate, *self.ci))
            pairs.append(
                ("in percent", f"{number(middle, 1)}%  {level} CrI {interval(low, high, 1)}")
            )
        new = self.probability(above=0.0, new_study=True)
        pairs += [
            (
                "a new study",
                f"{number(self.new_posterior.median, digits)}  {level} PI "
                f"{interval(*self.prediction, digits)}, P(> 0) = {percent(new)}",
            ),
            ("tau", f"{number(self.tau, digits)}  {level} CrI {interval(*self.tau_ci, digits)}"),
        ]
        if self.k > 1:
            pairs.append(("I²", percent(self.i2 / 100)))
        factors = [
            f"for {name} = 0: {factor:.3g}"
            for name, factor in (("mu", self.bf_mu0), ("tau", self.bf_tau0))
            if not math.isnan(factor)
        ]
        if factors:
            pairs.append(("Bayes factor", ", ".join(factors)))
        return Card(
            f"Pooled {self.measure or 'effect'}, {self._count()} (Bayesian, "
            f"tau ~ {self.tau_prior}, mu ~ {self.mu_prior or 'flat'})",
            pairs,
            self._study_table(digits) if with_studies else None,
            self.notes,
        )

    def _count(self) -> str:
        studies = studies_in(self.frame)
        noun = "study" if studies == 1 else "studies"
        if studies == self.k:
            return f"k = {self.k} {noun}"
        return f"k = {self.k} effects from {studies} {noun}"

    def _study_table(self, digits: int) -> pd.DataFrame:
        rows = self.studies
        return pd.DataFrame(
            {
                "study": study_names(self.frame),
                "effect": [number(float(y), digits) for y in rows["yi"]],
                "shrunk": [number(float(y), digits) for y in rows["shrunk"]],
                f"{confidence(self.level)} CrI": [
                    interval(float(low), float(high), digits)
                    for low, high in zip(rows["shrunk_low"], rows["shrunk_high"], strict=True)
                ],
                "weight": [f"{w:.1f}%" for w in rows["weight"]],
            }
        )
