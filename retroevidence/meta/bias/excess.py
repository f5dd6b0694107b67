"""Whether more studies are significant than the pooled effect lets one expect."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import bdtrc, ndtr, ndtri

from retroevidence._show import Card, number, p_text, percent
from retroevidence.errors import check_name
from retroevidence.meta.bias.result import BiasResult, Effects, check_alpha, few, plain_mean
from retroevidence.meta.interval import NAN, NO_INTERVAL, Interval
from retroevidence.meta.wording import study_names

Floats = NDArray[np.float64]

ALTERNATIVES = ("two-sided", "greater", "less")


@dataclass(frozen=True, eq=False, repr=False)
class Excess(BiasResult):
    """The test of excess significance, made by `excess_significance`.

    Attributes
    ----------
    observed, expected, estimate : int and float
        Significant studies found and expected, and their ratio.
    p_value : float
        One-sided for an excess, exact.
    p_chi2, p_binomial : float
        The same by the chi-squared and by the binomial approximation.
    power : pandas.DataFrame
        One row per study, with its index: study, power, significant.
    ci : Interval
        Not defined.
    theta, tau2, alpha, alternative, k, level, measure, notes : float, str, int and tuple of str
        What was assumed, and what a reader must know.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> excess_significance(pool(yi=[0.4, 0.5, 0.6], vi=[0.02, 0.03, 0.05])).observed
    3
    """

    _apart = ("power",)

    observed: int
    expected: float
    estimate: float
    p_value: float
    p_chi2: float
    p_binomial: float
    ci: Interval
    theta: float
    tau2: float
    alpha: float
    alternative: str
    k: int
    level: float
    measure: str
    notes: tuple[str, ...]
    power: pd.DataFrame

    def _card(self) -> Card:
        pairs = [
            ("significant", f"{self.observed}, expected {number(self.expected, 2)}"),
            ("mean power", percent(self.expected / self.k)),
            ("excess", p_text(self.p_value)),
        ]
        return Card(f"Excess significance, k = {self.k}", pairs, notes=self.notes)


def excess_significance(
    effects: Effects, *, alpha: float = 0.05, alternative: str = "two-sided"
) -> Excess:
    """Compare the number of significant studies with their power at the pooled effect.

    The power of a study with variance v at the pooled mean m and tau² of the result is the
    probability that ``N(m, v + tau²)`` falls where its z test rejects, beyond ``z sqrt(v)``.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A pooled mean. Ioannidis and Trikalinos take the common-effect mean: pool with
        ``method="CE"`` for their test.
    alpha : float
        Where a study counts as significant.
    alternative : str
        How studies were tested: "two-sided", "greater" or "less".

    Returns
    -------
    Excess
        Observed and expected numbers with three one-sided p-values: exact (the sum of independent
        studies with unequal power), chi-squared ``(O - E)²/E + (O - E)²/(k - E)`` with one degree
        of freedom, halved for an excess, and binomial with the mean power.

    Raises
    ------
    PoolError
        If there are moderators or `alpha` is no probability.
    UnknownNameError
        If `alternative` is unknown.

    References
    ----------
    Ioannidis & Trikalinos (2007), doi 10.1177/1740774507079441.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> y, v = [0.4, 0.9, 1.1, 0.1], [0.03, 0.15, 0.25, 0.01]
    >>> excess_significance(pool(yi=y, vi=v, method="CE"))
    Excess significance, k = 4
      significant  3, expected 1.09
      mean power   27%
      excess       p = 0.032
      - 4 studies, fewer than 10: ...
    """
    check_name("alternative", alternative, ALTERNATIVES)
    check_alpha(alpha)
    pooled = plain_mean(effects, "excess_significance", 1)
    y, v = pooled.fit.yi, pooled.fit.vi
    theta, tau2 = pooled.estimate, pooled.fit.tau2
    se, spread = np.sqrt(v), np.sqrt(v + tau2)
    tail = alpha / 2 if alternative == "two-sided" else alpha
    reach = -float(ndtri(tail)) * se
    power, found = np.zeros(pooled.k), np.zeros(pooled.k, dtype=bool)
    if alternative != "less":
        power, found = power + ndtr((theta - reach) / spread), found | (y >= reach)
    if alternative != "greater":
        power, found = power + ndtr((-theta - reach) / spread), found | (y <= -reach)
    observed, expected = int(found.sum()), float(power.sum())
    gap, room = observed - expected, pooled.k - expected
    if expected > 0 and room > 0:
        root = math.copysign(math.sqrt(gap**2 / expected + gap**2 / room), gap)
        p_chi2 = float(ndtr(-root))
    else:
        p_chi2 = NAN
    mean_power = min(1.0, expected / pooled.k)
    binomial = float(bdtrc(observed - 1, pooled.k, mean_power)) if observed else 1.0
    return Excess(
        observed=observed,
        expected=expected,
        estimate=observed / expected if expected > 0 else NAN,
        p_value=min(1.0, float(_count_distribution(power)[observed:].sum())),
        p_chi2=p_chi2,
        p_binomial=binomial,
        ci=NO_INTERVAL,
        theta=theta,
        tau2=tau2,
        alpha=alpha,
        alternative=alternative,
        k=pooled.k,
        level=pooled.level,
        measure=pooled.measure,
        notes=few(pooled.k),
        power=pd.DataFrame(
            {"study": study_names(pooled.fit.frame), "power": power, "significant": found},
            index=pooled.fit.frame.index,
        ),
    )


def _count_distribution(power: Floats) -> Floats:
    """Return the probabilities of 0, 1, ... k successes of independent, unequal trials."""
    chances = np.array([1.0])
    for p in power:
        chances = np.convolve(chances, [1 - p, p])
    return chances
