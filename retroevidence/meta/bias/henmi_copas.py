"""An interval for the mean that withstands small-study effects (Henmi and Copas)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

from retroevidence._show import Card, confidence, interval, number, p_text
from retroevidence.meta.bias.result import BiasResult, Effects, few, plain_mean
from retroevidence.meta.interval import Interval
from retroevidence.meta.projection import sum_of_others
from retroevidence.meta.result import Pooled
from retroevidence.meta.roots import find_root
from retroevidence.meta.tau2 import estimate_tau2
from retroevidence.meta.wording import decimals

Floats = NDArray[np.float64]

#: Nodes of the integral over the mean's own deviation, whose integrand is smooth.
_NODES = 200


@dataclass(frozen=True, eq=False, repr=False)
class HenmiCopas(BiasResult):
    """The common-effect mean with an interval for random effects, made by `henmi_copas`.

    Attributes
    ----------
    estimate, se, p_value, ci : float and Interval
        The mean with common-effect weights; its standard error, test and interval allow for tau².
    tau2, critical : float
        DerSimonian-Laird estimate, and the quantile that takes the place of 1.96.
    k, level, measure, notes : int, float, str and tuple of str
        The studies, and what a reader must know.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> henmi_copas(pool(yi=[0.1, 0.3, 0.8], vi=[0.02, 0.03, 0.05])).k
    3
    """

    estimate: float
    se: float
    p_value: float
    ci: Interval
    tau2: float
    critical: float
    k: int
    level: float
    measure: str
    notes: tuple[str, ...]

    def _card(self) -> Card:
        digits = decimals(self.se)
        pairs = [
            (
                "estimate",
                f"{number(self.estimate, digits)}  {confidence(self.level)} CI "
                f"{interval(*self.ci, digits)}, {p_text(self.p_value)}",
            ),
            ("tau²", number(self.tau2, decimals(self.tau2 or self.se**2))),
        ]
        return Card(f"Henmi-Copas, k = {self.k}", pairs, notes=self.notes)


def henmi_copas(effects: Effects) -> HenmiCopas:
    """Centre on the common-effect mean, which small studies move least, and allow for tau².

    With ``w = 1/v``, sums ``W1 = Σ w``, ``W2 = Σ w²`` and the mean m of weights w,
    ``var(m) = (W1 + tau² W2) / W1²``. The pivot ``(m - mu) / se(m)`` with the DerSimonian-Laird
    tau² in the standard error depends on m and on Q; Q given m is taken as gamma with its exact
    conditional mean and variance at the estimated tau², and the distribution of m integrated out.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A pooled mean; its level is used, its own estimator of tau² is not.

    Returns
    -------
    HenmiCopas
        Mean, interval and test.

    Raises
    ------
    PoolError
        If there are moderators or fewer than 2 studies.

    References
    ----------
    Henmi & Copas (2010), doi 10.1002/sim.4029.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> henmi_copas(pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01]))
    Henmi-Copas, k = 4
      estimate  0.251  95% CI [-0.087, 0.588], p = 0.119
      tau²      0.0335
      - 4 studies, fewer than 10: ...
    """
    pooled = plain_mean(effects, "henmi_copas", 2)
    v = pooled.fit.vi
    weights = 1 / v
    whole = float(weights.sum())
    mean = float(weights @ pooled.fit.yi) / whole
    tau2 = estimate_tau2(pooled.fit.yi, v, pooled.fit.x, "DL")
    tail = _Tail(pooled, tau2)
    se = math.sqrt(tail.variance)
    # The tail falls from 1 at 0; it is steeper than that of Cauchy's distribution.
    high = 2.0
    while tail(high) > 1 - pooled.level:
        high *= 2
    critical = find_root(lambda t: tail(t) - (1 - pooled.level), 0.0, high)
    return HenmiCopas(
        estimate=mean,
        se=se,
        p_value=tail(abs(mean) / se),
        ci=Interval(mean - critical * se, mean + critical * se),
        tau2=tau2,
        critical=critical,
        k=pooled.k,
        level=pooled.level,
        measure=pooled.measure,
        notes=few(pooled.k),
    )


class _Tail:
    """P(|pivot| > t), by quadrature over the standardised deviation r of the mean."""

    def __init__(self, pooled: Pooled, tau2: float) -> None:
        v = pooled.fit.vi
        # In units of the precision of the mean, so that no power of a weight overflows.
        whole = float((1 / v).sum())
        w, d = 1 / v / whole, (v + tau2) * whole
        self.df = pooled.k - 1
        self.square = float(w @ w)
        self.spread = float(w @ sum_of_others(w))
        scaled = float(w**2 @ d)
        self.variance = scaled / whole
        self.scaled = scaled
        c = w * d / math.sqrt(scaled)
        u = w * c - w * float(w @ c)
        bent, turned = float(c @ u), float(d @ u**2)
        first = float((w * d) @ (sum_of_others(w)))
        # tr(ADAD) with A = W - ww', summed without cancellation off the diagonal.
        own = (w * d * sum_of_others(w)) ** 2
        part = w**2 * d
        second = float(own.sum() + (part @ sum_of_others(part)))
        self.mean = (first - bent, bent)
        self.var = (
            2 * (second - 2 * turned + bent**2),
            4 * (turned - bent**2),
        )
        nodes, sizes = np.polynomial.legendre.leggauss(_NODES)
        self.nodes, self.sizes = (nodes + 1) / 2, sizes / 2

    def __call__(self, t: float) -> float:
        if t <= 0:
            return 1.0
        start = t / math.sqrt(self.scaled)
        # Beyond 10 standard deviations further out nothing is left of the normal density.
        r = start + 10 * self.nodes
        room = (self.scaled * (r / t) ** 2 - 1) / self.square
        q = self.df + self.spread * np.fmax(room, 0.0)
        mean = self.mean[0] + self.mean[1] * r**2
        var = np.fmax(self.var[0] + self.var[1] * r**2, np.finfo(float).tiny)
        below = gammainc(mean**2 / var, q * mean / var)
        density = np.exp(-(r**2) / 2) / math.sqrt(2 * math.pi)
        return min(1.0, 20 * float(self.sizes @ (below * density)))
