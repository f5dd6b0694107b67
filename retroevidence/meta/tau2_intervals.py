"""Confidence intervals for the variance between studies, by name, with those of I² and H²."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtri, ndtri

from retroevidence._show import Card, Carded, confidence, interval, number, percent
from retroevidence.errors import PoolError, check_name
from retroevidence.meta.estimates import Estimates
from retroevidence.meta.fit import Fit
from retroevidence.meta.heterogeneity import i2_h2, q_profile
from retroevidence.meta.interval import Interval, check_level
from retroevidence.meta.likelihood import log_likelihood, maximum_likelihood
from retroevidence.meta.quadratic import quadratic_tails
from retroevidence.meta.roots import find_root
from retroevidence.meta.tau2 import conditioned, typical_variance, weighted_q
from retroevidence.meta.wording import decimals, or_none

Floats = NDArray[np.float64]

KINDS = {
    "q-profile": "Q-profile",
    "profile": "profile likelihood",
    "generalised-q": "generalised Q",
    "higgins-thompson": "Higgins-Thompson",
}


@dataclass(frozen=True, repr=False)
class Tau2Interval(Carded):
    """Limits for tau², tau, I² and H², as :func:`tau2_interval` returns them.

    Attributes
    ----------
    kind, level : str and float
        The method (a key of ``KINDS``) and the confidence.
    estimate : float
        tau² of the fit, which need not be the centre of the interval.
    tau2, tau, i2, h2 : Interval
        Limits; I² in percent. tau, I² and H² are monotone functions of tau².
    notes : tuple of str
        What a reader must know.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01]).tau2_interval("profile")
    Profile likelihood 95% interval
      tau²  0.0408  [0.0000, 0.6763]
      tau   0.202  [0.000, 0.822]
      I²    65%  [0%, 97%]
      H²    2.83  [1.00, 31.30]
    """

    kind: str
    level: float
    estimate: float
    tau2: Interval
    tau: Interval
    i2: Interval
    h2: Interval
    notes: tuple[str, ...] = ()
    _typical: float = math.nan

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row each for tau2, tau, i2 and h2: estimate, low, high."""
        share = 100 * self.estimate / (self.estimate + self._typical)
        ratio = 1 + self.estimate / self._typical
        middle = {"tau2": self.estimate, "tau": math.sqrt(self.estimate), "i2": share, "h2": ratio}
        rows = {name: (middle[name], *getattr(self, name)) for name in middle}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "low", "high"])

    @property
    def summary(self) -> pd.DataFrame:
        """One row with every number."""
        row = self.to_dict()
        row["notes"] = " ".join(self.notes)
        return pd.DataFrame([row])

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values."""
        flat: dict[str, Any] = {"kind": self.kind, "level": self.level}
        flat["tau2"] = or_none(self.estimate)
        for name in ("tau2", "tau", "i2", "h2"):
            limits: Interval = getattr(self, name)
            flat[f"{name}_low"], flat[f"{name}_high"] = or_none(limits.low), or_none(limits.high)
        return flat | {"notes": list(self.notes)}

    def _card(self) -> Card:
        middle = self.table["estimate"]
        size = decimals(self.estimate if self.estimate > 0 else self._typical)
        tau = decimals(math.sqrt(self.estimate if self.estimate > 0 else self._typical))
        low, high = (percent(limit / 100) for limit in self.i2)
        pairs = [
            ("tau²", f"{number(self.estimate, size)}  {interval(*self.tau2, size)}"),
            ("tau", f"{number(float(middle['tau']), tau)}  {interval(*self.tau, tau)}"),
            ("I²", f"{percent(float(middle['i2']) / 100)}  [{low}, {high}]"),
            ("H²", f"{number(float(middle['h2']), 2)}  {interval(*self.h2, 2)}"),
        ]
        name = KINDS[self.kind]
        return Card(
            f"{name[0].upper()}{name[1:]} {confidence(self.level)} interval",
            pairs,
            notes=self.notes,
        )


def tau2_interval(
    pooled: Estimates, kind: str = "q-profile", *, level: float | None = None, a: float = 0.0
) -> Tau2Interval:
    """Return a confidence interval for tau² of a pooled result, by name.

    Parameters
    ----------
    pooled : Pooled
        A random-effects fit, with or without moderators (then tau² is the residual variance).
    kind : str
        "q-profile" (Viechtbauer 2007, doi 10.1002/sim.2514), "profile" (profile likelihood: ML for
        a fit by ML, REML for every other), "generalised-q" (Biggerstaff & Jackson 2008, doi
        10.1002/sim.3428, with a = 0; Jackson 2013, Res Synth Methods 4:220, with a > 0) or
        "higgins-thompson" (test-based for H, approximate; Higgins & Thompson 2002, doi
        10.1002/sim.1186).
    level : float, optional
        Confidence; that of the fit when not given.
    a : float
        For "generalised-q": weights ``1/(vi + a)``, on the squared scale of the effects. A value
        near the tau² one expects, chosen without the data, gives short intervals; 0 suits little
        heterogeneity.

    Returns
    -------
    Tau2Interval
        Limits for tau², tau, I² and H². It shows itself.

    Raises
    ------
    PoolError
        If tau² is not estimated (one study, a common-effect fit), `level` is not between 0 and 1,
        `a` is negative, or there are too few studies for the kind.
    UnknownNameError
        If `kind` is unknown.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> pooled = pool(yi=[0.0, 1.0, 3.0, 2.0], vi=[0.1, 0.2, 0.3, 0.1])
    >>> found = tau2_interval(pooled, "generalised-q", a=1.0)
    >>> round(found.tau2.low, 3), round(found.tau2.high, 3)
    (0.354, 22.672)
    """
    check_name("tau² interval", kind, KINDS)
    level = pooled.level if level is None else level
    check_level(level)
    if not (isinstance(a, Real) and a >= 0 and math.isfinite(a)):
        raise PoolError(f"a={a!r} cannot enter the weights 1/(vi + a); give a number from 0.")
    if pooled.method == "CE" or math.isnan(pooled.tau2):
        what = "one study" if pooled.k == 1 else "a common-effect fit"
        raise PoolError(f"tau² is not estimated from {what}; there is no interval to give.")
    fit = pooled.fit.variance_fit
    notes: list[str] = []
    if kind == "q-profile":
        limits = q_profile(fit.yi, fit.vi, fit.x, level)
    elif kind == "profile":
        restricted = pooled.method != "ML"
        limits = _profile(fit, level, restricted, notes)
    elif kind == "generalised-q":
        limits = _generalised(fit, level, a)
    else:
        limits = _test_based(pooled, fit, level)
    if limits[1] == 0:
        notes.append(
            "Both limits are 0: the studies agree better than chance would have them at any tau²."
        )
    low, high = (float(limit) for limit in limits)
    (i2_low, h2_low), (i2_high, h2_high) = (i2_h2(limit, fit.vi, fit.x) for limit in (low, high))
    return Tau2Interval(
        kind=kind,
        level=level,
        estimate=pooled.tau2,
        tau2=Interval(low, high),
        tau=Interval(math.sqrt(low), math.sqrt(high)),
        i2=Interval(i2_low, i2_high),
        h2=Interval(h2_low, h2_high),
        notes=tuple(notes),
        _typical=typical_variance(fit.vi, fit.x),
    )


# Profile likelihood -----------------------------------------------------------------------------


def _profile(fit: Fit, level: float, restricted: bool, notes: list[str]) -> tuple[float, float]:
    """Return the outermost values whose log likelihood is within ``chi2/2`` of the maximum."""
    y, v, x = conditioned(fit.yi, fit.vi, fit.x)
    best = maximum_likelihood(y, v, x, restricted=restricted)
    drop = float(chdtri(1, 1 - level))
    floor = log_likelihood(y, v, x, best, restricted) - drop

    def inside(tau2: float) -> float:
        return log_likelihood(y, v, x, tau2, restricted) - floor

    # The likelihood falls like a power of tau² in the end, so the doubling stops.
    edge = max(best, float(v.min()) / 1000)
    for _ in range(2000):
        edge *= 2
        if inside(edge) < 0:
            break
    grid = np.concatenate([[0.0], np.geomspace(min(float(v.min()), edge) / 1000, edge, 200)])
    grid = np.unique(np.append(grid, best))
    height = np.array([inside(float(t)) for t in grid])
    reached = np.flatnonzero(height >= 0)
    first, last = int(reached[0]), int(reached[-1])
    if len(reached) < last - first + 1:
        notes.append(
            "The likelihood has several peaks: values inside the interval fit worse than its ends."
        )
    low = 0.0
    if first > 0:
        low = find_root(lambda t: -inside(t), float(grid[first - 1]), float(grid[first]))
    return low, find_root(inside, float(grid[last]), float(grid[last + 1]))


# Generalised Q ----------------------------------------------------------------------------------


def heterogeneity_weights(vi: Floats, x: Floats, a: float = 0.0) -> Callable[[float], Floats]:
    """Return the chi-squared weights of Q with weights ``1/(vi + a)``, as a function of tau².

    Parameters
    ----------
    vi, x : numpy.ndarray
        Sampling variances (k,), design (k, p).
    a : float
        As in :func:`tau2_interval`.

    Returns
    -------
    callable
        tau² to an array of ``k - p`` weights: Q is the sum of them times independent chi-squared
        variables with one degree of freedom.

    Notes
    -----
    With W = diag(1/(vi + a)) and C an orthonormal basis orthogonal to W^(1/2) X, the weights are
    the eigenvalues of C'W(V + tau² I)C. As ``(vi + tau²)/(vi + a)`` is ``1 + (tau² - a)/(vi + a)``,
    one decomposition serves every tau² (Jackson 2013, Res Synth Methods 4:220).

    Examples
    --------
    >>> heterogeneity_weights(np.full(3, 0.5), np.ones((3, 1)))(0.5).round(12).tolist()
    [2.0, 2.0]
    """
    p = x.shape[1]
    w = 1 / (vi + a)
    basis = np.linalg.qr(np.sqrt(w)[:, None] * x, mode="complete")[0][:, p:]
    if a > float(np.median(vi)):
        # The eigenvalues of vi/(vi + a) keep their digits where those of a/(vi + a) are near 1.
        share = np.maximum(np.linalg.eigvalsh(basis.T @ ((vi * w)[:, None] * basis)), 0)
        return lambda tau2: share + tau2 * (1 - share) / a
    inverse = np.linalg.eigvalsh(basis.T @ (w[:, None] * basis))
    return lambda tau2: 1 + (tau2 - a) * inverse


def _generalised(fit: Fit, level: float, a: float) -> tuple[float, float]:
    """Return the values of tau² at which Q is at either end of its distribution."""
    y, v, x = conditioned(fit.yi, fit.vi, fit.x)
    q = weighted_q(y, 1 / (v + a), x)
    weights = heterogeneity_weights(v, x, a)
    tail = (1 - level) / 2

    def tails(tau2: float) -> tuple[float, float]:
        found = weights(tau2)
        return quadratic_tails(q, found[found > 0])

    def limit(side: int) -> float:
        # P(Q <= q) falls and P(Q > q) rises with tau².
        sign = 1 if side == 0 else -1

        def excess(tau2: float) -> float:
            return sign * (tails(tau2)[side] - tail)

        if excess(0.0) <= 0:
            return 0.0
        step = float(v.min()) + q * float(v.max())
        for _ in range(2000):
            if excess(step) < 0:
                break
            step *= 2
        return find_root(excess, 0.0, step)

    return limit(1), limit(0)


# Test-based -------------------------------------------------------------------------------------


def _test_based(pooled: Estimates, fit: Fit, level: float) -> tuple[float, float]:
    """Return limits from a normal interval for log H, with the standard error that Q implies."""
    k = len(fit.yi) - fit.x.shape[1] + 1
    if k < 3:
        raise PoolError("the Higgins-Thompson interval needs 3 studies; use kind='q-profile'.")
    q = weighted_q(fit.yi, 1 / fit.vi, fit.x)
    if q > k:
        se = 0.5 * math.log(q / (k - 1)) / (math.sqrt(2 * q) - math.sqrt(2 * k - 3))
    else:
        se = math.sqrt((1 - 1 / (3 * (k - 2) ** 2)) / (2 * (k - 2)))
    typical = typical_variance(fit.vi, fit.x)
    h2 = 1 + pooled.tau2 / typical
    factor = math.exp(-2 * float(ndtri((1 - level) / 2)) * se)
    return max(0.0, h2 / factor - 1) * typical, (h2 * factor - 1) * typical
