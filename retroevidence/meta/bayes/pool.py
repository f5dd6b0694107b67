"""Bayesian pooling in the normal-normal model, by integration instead of sampling.

Effects are ``yi ~ normal(theta_i, vi)`` with ``theta_i ~ normal(mu, tau²)``. Given tau everything
is normal and known in closed form, so only tau is left to integrate (Röver 2020,
doi 10.18637/jss.v093.i06): the answer is exact to rounding, and the same on every run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from retroevidence.errors import PoolError
from retroevidence.meta.bayes.model import Model
from retroevidence.meta.bayes.priors import MuPrior, TauPrior
from retroevidence.meta.bayes.result import PooledBayes
from retroevidence.meta.inputs import assembled, one_measure, usable
from retroevidence.meta.interval import check_level
from retroevidence.meta.regression import design_of


def pool_bayes(
    effects: pd.DataFrame | Mapping[str, Any] | None = None,
    *,
    tau_prior: TauPrior,
    yi: Any = None,
    vi: Any = None,
    mu_prior: MuPrior | None = None,
    level: float = 0.95,
) -> PooledBayes:
    """Pool effects in the Bayesian random-effects model.

    Parameters
    ----------
    effects : pandas.DataFrame, optional
        One row per effect with `yi` and `vi`; `study_id`, `label` and `measure` are used for names
        when present. Or give `yi` and `vi`.
    tau_prior : TauPrior
        What is assumed of tau before the studies are seen, such as ``half_normal(0.5)``; see
        :mod:`retroevidence.meta.bayes.priors`. It is on the scale of the effects and has no
        default.
    yi, vi : array_like, shape (k,), optional
        Effects (log scale for ratios; experimental minus comparator) and sampling variances.
    mu_prior : MuPrior, optional
        ``normal(mean, sd)`` for the mean effect; without it every mean is as likely as any other.
    level : float
        Probability of all intervals.

    Returns
    -------
    PooledBayes
        Posterior of the mean, of tau, of the effect in a new study and of each study's own effect.
        It shows itself.

    Raises
    ------
    PoolError
        If there is nothing to pool, a variance is not above 0, a prior is not one, or the
        posterior does not exist (an improper prior with too few studies).

    Notes
    -----
    With weights ``w = 1/(v + tau²)`` the mean given tau is normal with variance ``1/sum(w)`` and
    mean ``sum(w y)/sum(w)`` (a normal prior enters as one more study without tau²), and integrating
    it out leaves the likelihood of tau.

    Examples
    --------
    >>> from retroevidence.meta.bayes.priors import half_normal
    >>> pool_bayes(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01], tau_prior=half_normal(0.5))
    Pooled effect, k = 4 studies (Bayesian, tau ~ half-normal(0.5), mu ~ flat)
      mean effect   0.294  95% CrI [-0.047, 0.712], P(> 0) = 96%
      a new study   0.287  95% PI [-0.468, 1.136], P(> 0) = 86%
      tau           0.235  95% CrI [0.015, 0.744]
      I²            71%
      Bayes factor  for tau = 0: 1.04
      - With 4 studies the prior of tau decides much: show the result for other priors too.
    """
    if not isinstance(tau_prior, TauPrior):
        raise PoolError(
            f"tau_prior is a {type(tau_prior).__name__}; give a prior such as half_normal(0.5)."
        )
    if not (mu_prior is None or isinstance(mu_prior, MuPrior)):
        raise PoolError(
            f"mu_prior is a {type(mu_prior).__name__}; give normal(mean, sd) or leave it out."
        )
    check_level(level)
    frame = assembled(effects, yi, vi, None)
    measure = one_measure(frame)
    frame, _, notes = usable(frame, design_of(None, frame))
    model = Model(frame["yi"].to_numpy(float), frame["vi"].to_numpy(float), tau_prior, mu_prior)
    if not tau_prior.proper and model.tail <= 1:
        raise PoolError(
            f"the prior of tau is improper ({tau_prior.name}), and {model.k} "
            f"{'study is' if model.k == 1 else 'studies are'} too few to make up for it; give a "
            "proper prior such as half_normal(0.5)."
        )
    return PooledBayes(measure, level, model, model.grid(), tuple(notes), frame)
