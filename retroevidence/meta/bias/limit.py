"""Limit meta-analysis: the mean that studies would find if their precision grew without end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retroevidence._show import Card, confidence, interval, number, p_text
from retroevidence.errors import PoolError
from retroevidence.meta.bias.result import BiasResult, Effects, few, plain_mean, same_size
from retroevidence.meta.interval import Interval, critical_value, two_sided
from retroevidence.meta.wording import decimals, study_names


@dataclass(frozen=True, eq=False, repr=False)
class LimitMean(BiasResult):
    """The adjusted mean, made by `limit_meta_analysis`.

    Attributes
    ----------
    estimate, se, p_value, ci : float and Interval
        The mean adjusted for small-study effects, with a z interval.
    intercept, slope : float
        alpha, the small-study effect in standard deviations, and beta of the extended model.
    original, original_ci : float and Interval
        The mean before.
    limits : pandas.DataFrame
        One row per study, with its index: study, yi, limit (where it would go).
    tau2, k, level, measure, notes : float, int, str and tuple of str
        The studies, and what a reader must know.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> limit_meta_analysis(pool(yi=[0.1, 0.3, 0.8], vi=[0.02, 0.03, 0.05])).k
    3
    """

    _apart = ("limits",)

    estimate: float
    se: float
    p_value: float
    ci: Interval
    intercept: float
    slope: float
    original: float
    original_ci: Interval
    tau2: float
    k: int
    level: float
    measure: str
    notes: tuple[str, ...]
    limits: pd.DataFrame

    def _card(self) -> Card:
        share, digits = confidence(self.level), decimals(self.se)
        pairs = [
            (
                "limit",
                f"{number(self.estimate, digits)}  {share} CI {interval(*self.ci, digits)}, "
                f"{p_text(self.p_value)}",
            ),
            (
                "as published",
                f"{number(self.original, digits)}  {share} CI "
                f"{interval(*self.original_ci, digits)}",
            ),
        ]
        return Card(f"Limit meta-analysis, k = {self.k}", pairs, notes=self.notes)


def limit_meta_analysis(effects: Effects) -> LimitMean:
    """Extrapolate a random-effects model with small-study effects to infinite precision.

    The model is ``y = beta + sqrt(v + tau²) (alpha + e)`` with e standard normal and the tau² of
    the result: a regression of ``y / sqrt(v + tau²)`` on ``1 / sqrt(v + tau²)`` with slope beta and
    intercept alpha. A study without error expects ``beta + tau alpha``, the adjusted mean. Each
    study's own limit is ``adjusted + sqrt(tau² / (v + tau²)) (y - adjusted)``.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A pooled mean.

    Returns
    -------
    LimitMean
        The adjusted mean; its standard error is that of a slope in the radial plot,
        ``1 / sqrt(Σ (1/s - mean)²)`` with s the standard errors of the studies.

    Raises
    ------
    PoolError
        If there are moderators, fewer than 3 studies, or all have the same precision.

    References
    ----------
    Rücker et al. (2011), doi 10.1093/biostatistics/kxq046.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> y, v = [0.1, 0.2, 0.15, 0.3, 0.5, 0.9, 0.8], [0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.3]
    >>> limit_meta_analysis(pool(yi=y, vi=v))
    Limit meta-analysis, k = 7
      limit         -0.086  95% CI [-0.359, 0.186], p = 0.534
      as published  0.193  95% CI [0.030, 0.356]
      ...
    """
    pooled = plain_mean(effects, "limit_meta_analysis")
    y, v, tau2 = pooled.fit.yi, pooled.fit.vi, pooled.fit.tau2
    if same_size(v):
        raise PoolError(
            "all studies have the same precision, so nothing says where more of it would lead; "
            "report the mean."
        )
    spread = np.sqrt(v + tau2)
    # Residuals of both lines are 1 by the model, so ordinary least squares is the likelihood's.
    x, z = 1 / spread, y / spread
    slope = float((x - x.mean()) @ (z - z.mean()) / ((x - x.mean()) @ (x - x.mean())))
    intercept = float(z.mean() - slope * x.mean())
    estimate = slope + math.sqrt(tau2) * intercept
    precision = 1 / np.sqrt(v)
    se = 1 / math.sqrt(float(np.sum((precision - precision.mean()) ** 2)))
    limits = estimate + math.sqrt(tau2) / spread * (y - estimate)
    reach = critical_value(pooled.level, math.inf) * se
    notes = list(few(pooled.k))
    if tau2 == 0:
        notes.append("tau² is 0: the adjusted mean is the slope of the radial plot.")
    return LimitMean(
        estimate=estimate,
        se=se,
        p_value=two_sided(estimate / se, math.inf),
        ci=Interval(estimate - reach, estimate + reach),
        intercept=intercept,
        slope=slope,
        original=pooled.estimate,
        original_ci=pooled.ci,
        tau2=tau2,
        k=pooled.k,
        level=pooled.level,
        measure=pooled.measure,
        notes=tuple(notes),
        limits=pd.DataFrame(
            {"study": study_names(pooled.fit.frame), "yi": y, "limit": limits},
            index=pooled.fit.frame.index,
        ),
    )
