"""Three-level pooling: effects within clusters (studies, laboratories), with one mean or a line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from scipy.special import chdtrc

from retroevidence.errors import PoolError, check_name
from retroevidence.meta.dependent.clustered import Clustered, read_clustered
from retroevidence.meta.dependent.multilevel_fit import LevelFit, fit_levels
from retroevidence.meta.dependent.multilevel_result import PooledMultilevel, Shares, Sigma2
from retroevidence.meta.interval import (
    NAN,
    NO_INTERVAL,
    Interval,
    check_level,
    critical_value,
    two_sided,
)
from retroevidence.meta.regression import INTERCEPT

LIKELIHOODS = {"REML": "restricted maximum likelihood", "ML": "maximum likelihood"}
TESTS = {"t": "t with clusters - p degrees of freedom", "z": "z"}


def pool_multilevel(
    effects: pd.DataFrame | Mapping[str, Any],
    *,
    cluster: str,
    yi: str = "yi",
    vi: str = "vi",
    rho: float | None = None,
    method: str = "REML",
    test: str = "t",
    level: float = 0.95,
    mods: Any = None,
    V: Any = None,
) -> PooledMultilevel:
    """Pool effects of which several come from one cluster, in a three-level model.

    ``y_ij = x_ij' beta + u_j + w_ij + e_ij``: true effects vary between clusters (variance
    ``sigma2.between``) and within them (``sigma2.within``), and e has the known covariance of the
    sampling errors.

    Parameters
    ----------
    effects : pandas.DataFrame
        One row per effect, in any order and with any index.
    cluster : str
        Column that names the cluster, usually the study.
    yi, vi : str
        Columns of effects (log scale for ratios) and sampling variances.
    rho : float, optional
        Assumed correlation of the sampling errors within a cluster; the model is then that of
        correlated and hierarchical effects (Pustejovsky & Tipton 2022,
        doi 10.1007/s11121-021-01246-3). Without `rho` and `V` they are taken as independent.
    method : str
        "REML" or "ML".
    test : str
        "t" with as many degrees of freedom as clusters minus coefficients, or "z". `robust` stands
        beside it and needs no trust in the covariance.
    level : float
        Confidence of all intervals.
    mods : str or array_like, optional
        Moderators: a formula such as ``"~ dose + C(design)"`` or a 2-d array.
    V : SamplingCovariance or list of array_like or array_like, optional
        Covariance of the sampling errors instead of `vi` and `rho`: what the functions of
        :mod:`retroevidence.meta.dependent.covariance` return, one block per cluster in order of
        first appearance, or the whole matrix.

    Returns
    -------
    PooledMultilevel
        The mean with its intervals, both variances, I² by level and robust tests; it shows itself.

    Raises
    ------
    PoolError
        If there is nothing to pool, all effects come from one cluster, a variance is not above 0,
        or `rho` or `V` is no covariance.
    UnknownNameError
        If `method` or `test` is unknown.

    Notes
    -----
    Rows without an effect, variance, cluster or moderator are left out and named in `notes`. Time
    and memory are linear in the effects: a cluster's covariance is a diagonal plus one or two
    vectors (a given general block is turned to its own axes once). Both variances are refined by
    Newton's method from every peak of a grid; see :mod:`retroevidence.meta.dependent.climb`.

    Examples
    --------
    >>> frame = pd.DataFrame({
    ...     "study_id": ["a", "a", "b", "b", "c", "c", "d"],
    ...     "yi": [0.1, 0.5, 0.3, 0.2, 0.9, 0.7, -0.1],
    ...     "vi": [0.02, 0.03, 0.02, 0.04, 0.05, 0.03, 0.02],
    ... })
    >>> pool_multilevel(frame, cluster="study_id", rho=0.6)
    Pooled effect, k = 7 effects in 4 clusters (REML, three levels, sampling correlation 0.6)
      estimate          0.302  95% CI [-0.246, 0.851], p = 0.178
      robust (CR2)      95% CI [-0.244, 0.849], p = 0.176, 3.0 df
      a new effect      95% PI [-0.866, 1.471]
      between clusters  sigma² = 0.0809  95% CI [0.0000, 1.0404], I² = 66%
      within clusters   sigma² = 0.0243  95% CI [0.0000, 0.2807], I² = 20%
      Q                 Q(6) = 24.05, p < 0.001
      - With 4 clusters the variance between them is barely estimable, ...
    """
    check_name("method", method, LIKELIHOODS)
    check_name("test", test, TESTS)
    check_level(level)
    if rho is not None and V is not None:
        raise PoolError("give either rho= or V=; make V with the correlation you mean.")
    data = read_clustered(effects, cluster=cluster, yi=yi, vi=vi, mods=mods, V=V)
    if len(data.labels) < 2:
        raise PoolError(
            f"all effects come from one cluster ({data.labels[0]}), so the variation between "
            "clusters cannot be estimated; pool them with pool, or name another cluster=."
        )
    fit = fit_levels(data, rho, restricted=method == "REML")
    return _result(data, fit, cluster, rho, method, test, level)


def _result(
    data: Clustered,
    fit: LevelFit,
    cluster: str,
    rho: float | None,
    method: str,
    test: str,
    level: float,
) -> PooledMultilevel:
    notes = [*data.notes, *fit.notes]
    k, p, count = len(data.y), len(data.design.names), len(data.labels)
    df = math.inf if test == "z" else float(count - p)
    if df < 1:
        df = 1.0
        notes.append(
            f"{count} clusters for {p} coefficients leave no degree of freedom for t; 1 is used."
        )
    estimate, se = float(fit.beta[0]), math.sqrt(fit.covariance[0, 0])
    sigma2 = Sigma2(*map(float, fit.theta))
    total = sum(sigma2) + fit.typical
    shares = Shares(*(100 * s / total for s in (*sigma2, sum(sigma2))))
    reach = critical_value(level, df)
    spread = math.sqrt(sum(sigma2) + se**2)
    plain = data.design.names == (INTERCEPT,)
    if sigma2.between == 0 and sigma2.within == 0:
        notes.append(
            "Both variances are estimated as 0: the effects differ no more than by chance."
        )
    if count < 5:
        notes.append(
            f"With {count} clusters the variance between them is barely estimable, and the "
            "prediction interval rough."
        )
    return PooledMultilevel(
        measure=data.measure,
        method=method,
        test=test,
        level=level,
        k=k,
        clusters=count,
        rho=NAN if rho is None else float(rho),
        estimate=estimate,
        se=se,
        statistic=estimate / se,
        df=df,
        p_value=two_sided(estimate / se, df),
        ci=Interval(estimate - reach * se, estimate + reach * se),
        prediction=(
            Interval(estimate - reach * spread, estimate + reach * spread) if plain else NO_INTERVAL
        ),
        sigma2=sigma2,
        i2=shares,
        loglik=fit.log_likelihood,
        q=fit.q,
        q_df=k - p,
        q_p_value=float(chdtrc(k - p, fit.q)) if k > p else NAN,
        notes=tuple(notes),
        cluster=cluster,
        fit=fit,
        data=data,
    )
