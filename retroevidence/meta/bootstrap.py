"""Bootstrap of a pooled mean: what estimate and tau² would have been in other draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence._show import Card, Carded, confidence, interval, number
from retroevidence.errors import PoolError, check_name
from retroevidence.meta.draws import check_count, check_seed
from retroevidence.meta.influence import check_refittable
from retroevidence.meta.interval import Interval
from retroevidence.meta.regression import INTERCEPT
from retroevidence.meta.result import Pooled
from retroevidence.meta.sets import pool_sets
from retroevidence.meta.wording import or_none

Floats = NDArray[np.float64]

KINDS = {"parametric": "effects drawn from the model", "case": "studies drawn with replacement"}
#: Draws that share one stream of random numbers.
BLOCK = 1024


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(Carded):
    """Intervals of a pooled mean from redrawn sets of effects, made by :func:`bootstrap`.

    Attributes
    ----------
    kind : str
        "parametric" or "case".
    estimate, se : float
        The mean, and the standard deviation of its draws.
    bias : float
        Mean of the draws minus the estimate.
    ci : Interval
        Percentile interval of the mean.
    ci_studentised : Interval
        ``estimate - se t``, with t the quantiles of ``(draw - estimate) / se of the draw``; `se`
        is that of the result.
    tau2, i2 : float
        Variance between studies and I² (percent) of the result.
    tau2_ci, i2_ci : Interval
        Their percentile intervals.
    level : float
        Confidence of the intervals.
    k, repetitions : int
        Studies, and draws.
    draws : pandas.DataFrame
        One row per draw: estimate, se, tau2, i2.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> pooled = pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01])
    >>> len(bootstrap(pooled, kind="case", seed=1, repetitions=200).draws)
    200
    """

    kind: str
    estimate: float
    se: float
    bias: float
    ci: Interval
    ci_studentised: Interval
    tau2: float
    tau2_ci: Interval
    i2: float
    i2_ci: Interval
    level: float
    k: int
    repetitions: int
    draws: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Return every number as plain JSON-ready values, without the draws."""
        out: dict[str, Any] = {"kind": self.kind, "k": self.k, "repetitions": self.repetitions}
        out |= {"level": self.level}
        for name in ("estimate", "se", "bias", "tau2", "i2"):
            out[name] = or_none(getattr(self, name))
        for name in ("ci", "ci_studentised", "tau2_ci", "i2_ci"):
            low, high = getattr(self, name)
            out[f"{name}_low"], out[f"{name}_high"] = or_none(low), or_none(high)
        return out

    @property
    def summary(self) -> pd.DataFrame:
        """One row with every number."""
        return pd.DataFrame([self.to_dict()])

    def _card(self) -> Card:
        level = confidence(self.level)
        pairs = [
            ("estimate", f"{number(self.estimate)}  {level} CI {interval(*self.ci)}"),
            ("studentised", f"{level} CI {interval(*self.ci_studentised)}"),
            ("se, bias", f"{number(self.se)}, {number(self.bias)}"),
            ("tau²", f"{number(self.tau2, 4)}  {level} CI {interval(*self.tau2_ci, 4)}"),
            ("I²", f"{number(self.i2, 0)}%  {level} CI {interval(*self.i2_ci, 0)}"),
            ("draws", f"{self.repetitions}, {KINDS[self.kind]}"),
        ]
        return Card(f"Bootstrap of the mean, k = {self.k} studies", pairs)


def bootstrap(pooled: Pooled, *, kind: str, seed: int, repetitions: int = 10_000) -> Bootstrap:
    """Redraw the effects of a pooled mean many times, and pool each set in the same way.

    Parameters
    ----------
    pooled : Pooled
        A pooled mean of at least two effects.
    kind : str
        "parametric": effects from a normal distribution around the estimate, with variance
        ``vi + tau²`` and the same `vi`. "case": studies with replacement, each with its variance.
    seed : int
        Seed of the draws. Draws come in blocks of 1024 with a stream each, so that more
        `repetitions` add to the same first ones.
    repetitions : int
        How many draws, from 2.

    Returns
    -------
    Bootstrap
        Intervals for the mean, tau² and I², and all draws.

    Raises
    ------
    PoolError
        If the result has moderators or one study, or `repetitions` is below 2.
    UnknownNameError
        If `kind` is unknown.

    Notes
    -----
    Van den Noortgate & Onghena (2005, doi 10.3758/bf03206394) compare both for meta-analysis. The
    percentile interval of the mean is too narrow for few studies; the studentised one keeps its
    level better. A case draw that holds one study only, many times, has tau² = 0.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> pooled = pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01])
    >>> bootstrap(pooled, kind="parametric", seed=1, repetitions=2000)
    Bootstrap of the mean, k = 4 studies
      estimate     0.304  95% CI [0.058, 0.553]
      studentised  95% CI [-0.196, 0.808]
      se, bias     0.127, 0.002
      tau²         0.0408  95% CI [0.0000, 0.1715]
      I²           65%  95% CI [0, 88]
      draws        2000, effects drawn from the model
    """
    check_refittable(pooled)
    check_name("kind of bootstrap", kind, KINDS)
    if pooled.fit.design.names != (INTERCEPT,):
        raise PoolError("this result has moderators; bootstrap is for a mean, pool without mods=.")
    if pooled.k < 2:
        raise PoolError("one study has nothing to draw from; give a result of at least two.")
    check_count(repetitions, "repetitions", 2, "ask for some thousands")
    check_seed(seed)
    y, v = _drawn(pooled, kind, seed, repetitions)
    fits = pool_sets(y, v, method=pooled.method, test=pooled.test)
    draws = fits[["estimate", "se", "tau2", "i2"]]
    tails = [(1 - pooled.level) / 2, (1 + pooled.level) / 2]

    def percentiles(values: Floats) -> Interval:
        low, high = np.quantile(values, tails)
        return Interval(float(low), float(high))

    estimates = draws["estimate"].to_numpy()
    ratio = percentiles((estimates - pooled.estimate) / draws["se"].to_numpy())
    return Bootstrap(
        kind=kind,
        estimate=pooled.estimate,
        se=float(estimates.std(ddof=1)),
        bias=float(estimates.mean()) - pooled.estimate,
        ci=percentiles(estimates),
        ci_studentised=Interval(
            pooled.estimate - ratio.high * pooled.se, pooled.estimate - ratio.low * pooled.se
        ),
        tau2=pooled.tau2,
        tau2_ci=percentiles(draws["tau2"].to_numpy()),
        i2=pooled.i2,
        i2_ci=percentiles(draws["i2"].to_numpy()),
        level=pooled.level,
        k=pooled.k,
        repetitions=repetitions,
        draws=draws,
    )


def _drawn(pooled: Pooled, kind: str, seed: int, repetitions: int) -> tuple[Floats, Floats]:
    """Return effects and variances, shape (repetitions, k), block by block."""
    fit, k = pooled.fit, pooled.k
    spread = np.sqrt(fit.vi + fit.tau2)
    y, v = np.empty((repetitions, k)), np.empty((repetitions, k))
    for block in range(0, repetitions, BLOCK):
        stream = np.random.SeedSequence(seed, spawn_key=(block // BLOCK,))
        random, rows = np.random.default_rng(stream), slice(block, block + BLOCK)
        if kind == "parametric":
            noise = random.standard_normal((BLOCK, k))[: repetitions - block]
            y[rows], v[rows] = pooled.estimate + spread * noise, fit.vi
        else:
            picked = random.integers(0, k, (BLOCK, k))[: repetitions - block]
            y[rows], v[rows] = fit.yi[picked], fit.vi[picked]
    return y, v
