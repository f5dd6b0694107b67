"""Pooling effects of which some are only known to lie between two limits.

Trials print "p < .05", "no significant difference" or a direction where a number should be. Such
a row says between which limits its effect lies. Leaving it out biases the mean toward whatever was
printed in full; here it enters with what it says, and with nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from retroevidence.errors import check_name
from retroevidence.meta.censored.result import METHODS, MODELS, PooledCensored
from retroevidence.meta.interval import check_level


def pool_censored(
    effects: pd.DataFrame | Mapping[str, Any],
    *,
    method: str = "REML",
    model: str = "random",
    level: float = 0.95,
) -> PooledCensored:
    """Pool exact effects and effects of which only limits are known.

    Parameters
    ----------
    effects : pandas.DataFrame or mapping
        One row per effect with `yi` and `vi`, and `lower` and `upper` where `yi` is missing:
        limits on the scale of the effect, either of them infinite or missing when there is none.
        `study_id`, `label` and `measure` are used for names when present.
    method : {"REML", "ML"}
        REML: tau² from the likelihood with mu integrated out, and a small-sample interval for the
        mean. ML: maximum likelihood for both, and a profile-likelihood interval.
    model : {"random", "fixed"}
        "fixed" takes tau² as 0 and makes a likelihood-ratio interval, whatever the method.
    level : float
        Confidence of all intervals.

    Returns
    -------
    PooledCensored
        The mean with its interval, a prediction interval and tau². It shows itself. What the rows
        cannot tell is NaN, a limit they do not give is infinite, and a note says so.

    Raises
    ------
    PoolError
        If nothing can enter, a variance is not above 0, a lower limit exceeds the upper one, or
        measures are mixed.
    UnknownNameError
        If `method` or `model` is unknown.

    Notes
    -----
    Likelihood: with ``s_i = vi + tau²`` an exact row gives the normal density of `yi` with mean mu
    and variance ``s_i``, a bounded row ``Phi((upper - mu) / sqrt(s_i)) - Phi((lower - mu) /
    sqrt(s_i))``. Whether a row is printed in full may depend on what its limits tell, such as
    significance, but not on more. `vi` of a bounded row has to be worked out from its n at the
    limit, since its estimate is not known; it is taken as given.

    Without bounded rows ML equals ``pool(method="ML")`` and REML equals ``pool(method="REML",
    test="adhoc")``. In general, with ``e_i`` and ``V_i`` the mean and variance of ``z = (Y_i - mu)
    / sqrt(s_i)`` within the limits, the rows are worth ``m = sum(1 - V_i)`` exact ones (an exact
    row counts 1), the mean square of the residuals is ``q = sum(e_i²) / (m - 1)``, and the REML
    interval holds every mu with ``2 (log L(estimate) - log L(mu)) <= max(1, q) t²``, t the
    quantile with ``k - 1`` degrees of freedom, tau² held. That is the modified Knapp-Hartung
    interval carried over to a likelihood that need not be symmetric. In the simulation of
    ``benchmarks/censored_simulation.py`` it keeps its level where the interval of ML does not.

    Bushman & Wang (1996, doi 10.1037/1082-989X.1.1.66) combine effects and vote counts for one
    common effect. MetaNSUE (Radua et al. 2015, doi 10.1001/jamapsychiatry.2015.2196;
    Albajes-Eizagirre et al. 2019, doi 10.1177/0962280218811349) takes non-significant effects as
    lying between two limits, and imputes them many times.

    Examples
    --------
    >>> from math import inf, nan
    >>> pool_censored(
    ...     {
    ...         "yi": [0.42, 0.75, nan, nan],
    ...         "vi": [0.06, 0.08, 0.10, 0.09],
    ...         "lower": [nan, nan, -0.62, 0.59],
    ...         "upper": [nan, nan, 0.62, inf],
    ...     }
    ... )
    Pooled effect, 2 exact and 2 bounded results (REML, modified Knapp-Hartung)
      ...
    """
    check_name("method", method, METHODS)
    check_name("model", model, MODELS)
    check_level(level)
    return PooledCensored.fitted(effects, method=method, model=model, level=level)
