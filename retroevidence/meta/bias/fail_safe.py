"""How many unpublished studies without an effect would undo a result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np

from retroevidence._show import Card, number, p_text
from retroevidence.errors import PoolError, check_name
from retroevidence.meta.bias.result import BiasResult, Effects, check_alpha, plain_mean
from retroevidence.meta.interval import NAN, NO_INTERVAL, Interval, two_sided
from retroevidence.meta.result import Pooled
from retroevidence.meta.roots import find_root
from retroevidence.meta.wording import decimals

KINDS = {
    "rosenthal": "sum of z",
    "orwin": "unweighted mean",
    "rosenberg": "common-effect mean",
    "general": "random-effects mean",
}


@dataclass(frozen=True, eq=False, repr=False)
class FailSafe(BiasResult):
    """A fail-safe number, made by `fail_safe_n`.

    Attributes
    ----------
    kind : str
        Whose definition.
    estimate : float
        Studies needed, rounded up; 0 if the result does not stand to begin with.
    exact : float
        The same before rounding.
    p_value : float
        Of the observed result, by the test of this definition; NaN for Orwin.
    target : float
        The p-value to be reached, or Orwin's mean.
    ci : Interval
        Not defined.
    k, level, measure, notes : int, float, str and tuple of str
        The studies, and what a reader must know.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> fail_safe_n(pool(yi=[0.4, 0.5, 0.6], vi=[0.02, 0.03, 0.05])).estimate
    24.0
    """

    kind: str
    estimate: float
    exact: float
    p_value: float
    target: float
    ci: Interval
    k: int
    level: float
    measure: str
    notes: tuple[str, ...]

    def _card(self) -> Card:
        if self.kind == "orwin":
            goal = f"to bring the mean to {number(self.target, decimals(abs(self.target)))}"
        else:
            goal = f"to bring p to {number(self.target)}, from {p_text(self.p_value)}"
        pairs = [("studies", f"{self.estimate:.0f} {goal}")]
        title = f"Fail-safe N ({self.kind.title()}, {KINDS[self.kind]}), k = {self.k}"
        return Card(title, pairs, notes=self.notes)


def fail_safe_n(
    effects: Effects,
    kind: str = "rosenthal",
    *,
    alpha: float = 0.05,
    target: float | None = None,
) -> FailSafe:
    """Count the studies with no effect on average that would take a result away.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A pooled mean of k studies.
    kind : str
        - "rosenthal": ``(Σ z)² / z²(alpha) - k``, the sum of z of all studies tested one-sided.
        - "orwin": ``k (m - target) / target``, m the unweighted mean.
        - "rosenberg": ``((Σ w y)² / z² - Σ w) / (Σ w / k)`` with weights 1/v, a two-sided z test
          of the common-effect mean, missing studies of average weight.
        - "general": N studies of effect 0, whose variance is the harmonic mean of the observed
          ones, join the model; with the share p = k / (k + N) of observed studies, both kinds keep
          the tau² of the result and their means differ, so that of all studies is
          ``tau² + p (1 - p) m²``. N brings the two-sided z test of the joint mean to `alpha`.
    alpha : float
        The p-value at which the result counts as gone (not for "orwin").
    target : float, optional
        Orwin's smallest mean of interest, on the side of the mean; by default half of it.

    Returns
    -------
    FailSafe
        The number of studies.

    Raises
    ------
    PoolError
        If `alpha` is no probability (for "rosenthal" none below one half), or `target` lies on
        the other side of 0 or is given for another kind.
    UnknownNameError
        If `kind` is unknown.

    References
    ----------
    Rosenthal (1979), doi 10.1037/0033-2909.86.3.638; Orwin (1983), doi 10.3102/10769986008002157;
    Rosenberg (2005), doi 10.1111/j.0014-3820.2005.tb01004.x. "general" is what metafor calls so.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> fail_safe_n(pool(yi=[0.4, 0.5, 0.6], vi=[0.02, 0.03, 0.05]), "orwin", target=0.1)
    Fail-safe N (Orwin, unweighted mean), k = 3
      studies  12 to bring the mean to 0.100
      - It says nothing about how many studies are missing, and takes those to average no effect.
    """
    check_name("kind", kind, KINDS)
    check_alpha(alpha)
    if kind == "rosenthal" and alpha >= 0.5:
        raise PoolError(
            f"alpha={alpha:g} cannot be reached: studies without an effect bring the one-sided p "
            "up to 0.5 and no further; write alpha=0.05."
        )
    if target is not None and kind != "orwin":
        raise PoolError("target= belongs to kind='orwin'; leave it out, or choose that kind.")
    pooled = plain_mean(effects, "fail_safe_n", 1)
    if kind == "orwin":
        goal, p_value, exact = _orwin(pooled, target)
    else:
        goal = alpha
        p_value, exact = {
            "rosenthal": _rosenthal, "rosenberg": _rosenberg, "general": _general
        }[kind](pooled, alpha)  # fmt: skip
    exact = max(0.0, exact)
    notes = [
        "It says nothing about how many studies are missing, and takes those to average no effect."
    ]
    if exact == 0:
        notes.insert(0, "The result does not stand even without missing studies.")
    return FailSafe(
        kind=kind,
        # Half of the mean gives k studies: rounding must not make it k + 1.
        estimate=float(math.ceil(exact * (1 - 1e-12))),
        exact=exact,
        p_value=p_value,
        target=goal,
        ci=NO_INTERVAL,
        k=pooled.k,
        level=pooled.level,
        measure=pooled.measure,
        notes=tuple(notes),
    )


def _quantile(tail: float) -> float:
    from scipy.special import ndtri

    return -float(ndtri(tail))


def _rosenthal(pooled: Pooled, alpha: float) -> tuple[float, float]:
    total = abs(float(np.sum(pooled.fit.yi / np.sqrt(pooled.fit.vi))))
    p_value = two_sided(total / math.sqrt(pooled.k), math.inf) / 2
    if p_value >= alpha:
        return p_value, 0.0
    return p_value, (total / _quantile(alpha)) ** 2 - pooled.k


def _orwin(pooled: Pooled, target: float | None) -> tuple[float, float, float]:
    mean = float(np.mean(pooled.fit.yi))
    if target is None:
        return mean / 2, NAN, float(pooled.k) if mean else 0.0
    if not isinstance(target, Real) or not 0 < target * mean < math.inf:
        raise PoolError(
            f"target={target!r} must be a number on the same side of 0 as the mean {mean:g}, "
            "and not 0; give the smallest mean that matters."
        )
    goal = float(target)
    return goal, NAN, pooled.k * (mean - goal) / goal


def _rosenberg(pooled: Pooled, alpha: float) -> tuple[float, float]:
    weights = 1 / pooled.fit.vi
    total = float(weights.sum())
    z = abs(float(weights @ pooled.fit.yi)) / math.sqrt(total)
    return two_sided(z, math.inf), pooled.k * ((z / _quantile(alpha / 2)) ** 2 - 1)


def _general(pooled: Pooled, alpha: float) -> tuple[float, float]:
    y, v, tau2, k = pooled.fit.yi, pooled.fit.vi, pooled.fit.tau2, pooled.k
    mean = float((y / (v + tau2)).sum() / (1 / (v + tau2)).sum())
    typical = k / float((1 / v).sum())
    reach = _quantile(alpha / 2)

    def z(n: float) -> float:
        share = k / (k + n)
        spread = tau2 + share * (1 - share) * mean**2
        weights = 1 / (v + spread)
        whole = float(weights.sum()) + n / (typical + spread)
        return abs(float(weights @ y)) / math.sqrt(whole)

    p_value = two_sided(z(0.0), math.inf)
    if p_value >= alpha:
        return p_value, 0.0
    high = float(k)
    while z(high) > reach:
        # z falls as 1/sqrt(n), so the doubling ends.
        high *= 2
    return p_value, find_root(lambda n: z(n) - reach, 0.0, high)
