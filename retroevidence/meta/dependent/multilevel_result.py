"""The answer of a three-level model: plain numbers that show themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from retroevidence._show import Card, Carded, confidence, interval, number, p_text, percent
from retroevidence.meta.dependent.clustered import Clustered
from retroevidence.meta.dependent.multilevel_fit import LevelFit
from retroevidence.meta.dependent.robust import Robust, robust
from retroevidence.meta.dependent.sandwich import LinearFit
from retroevidence.meta.interval import Interval, critical_value, two_sided
from retroevidence.meta.regression import INTERCEPT
from retroevidence.meta.wording import decimals, or_none


class Sigma2(NamedTuple):
    """Variance between clusters, and between the effects within a cluster.

    Examples
    --------
    >>> Sigma2(0.2, 0.1).between
    0.2
    """

    between: float
    within: float


class Sigma2Limits(NamedTuple):
    """Confidence limits of the two variances.

    Examples
    --------
    >>> Sigma2Limits(Interval(0.1, 0.5), Interval(0.0, 0.2)).within.high
    0.2
    """

    between: Interval
    within: Interval


class Shares(NamedTuple):
    """I² by level, in percent.

    Examples
    --------
    >>> Shares(60.0, 30.0, 90.0).total
    90.0
    """

    between: float
    within: float
    total: float


@dataclass(frozen=True, eq=False, repr=False)
class PooledMultilevel(Carded):
    """A three-level mean or meta-regression, made by :func:`pool_multilevel`.

    All numbers are plain floats on the scale of the effects; I² is in percent; undefined is NaN.

    Attributes
    ----------
    estimate, se, statistic, df, p_value, ci : float and Interval
        The mean and its test under the model (with moderators: the first coefficient).
    robust : Robust
        The same with CR2 standard errors, which hold whatever the covariance within clusters is.
    prediction : Interval
        Where the true effect of a new cluster is expected; not with moderators.
    sigma2 : Sigma2
        Variances ``between`` clusters and ``within`` them.
    sigma2_ci : Sigma2Limits
        Their profile-likelihood limits.
    i2 : Shares
        ``100 sigma²/(sigma².between + sigma².within + s²)`` for each level and both, with the
        typical sampling variance ``s² = (k - p)/tr(P)``,
        ``P = V⁻¹ - V⁻¹X (X'V⁻¹X)⁻¹X'V⁻¹`` (Higgins & Thompson 2002, doi 10.1002/sim.1186;
        Nakagawa & Santos 2012, doi 10.1007/s10682-012-9555-5; Cheung 2014, doi 10.1037/a0032968).
    loglik : float
        (Restricted) log likelihood at the maximum, with its constants.
    q, q_df, q_p_value : float
        Cochran's Q with the given covariance of the sampling errors.
    k, clusters, rho, measure, method, test, level, cluster : int, float and str
        Number of effects and clusters, and what was asked; `rho` is NaN if it was not given.
    notes : tuple of str
        What a reader must know before quoting the numbers.
    fit, data : LevelFit and Clustered
        The maximum of the likelihood and the rows it rests on, for functions that go on from them.

    Examples
    --------
    >>> from retroevidence.meta.dependent.multilevel import pool_multilevel
    >>> frame = {"yi": [0.1, 0.2, 0.9, 0.8, 0.4], "vi": [0.01] * 5, "lab": [1, 1, 2, 2, 3]}
    >>> round(pool_multilevel(frame, cluster="lab").i2.between, 1)
    92.4
    """

    measure: str
    method: str
    test: str
    level: float
    k: int
    clusters: int
    rho: float
    estimate: float
    se: float
    statistic: float
    df: float
    p_value: float
    ci: Interval
    prediction: Interval
    sigma2: Sigma2
    i2: Shares
    loglik: float
    q: float
    q_df: int
    q_p_value: float
    notes: tuple[str, ...]
    cluster: str
    fit: LevelFit = field(repr=False)
    data: Clustered = field(repr=False)

    @property
    def linear(self) -> LinearFit:
        """The linear model at the estimated variances, for a robust covariance."""
        fit = self.fit
        return LinearFit(
            y=fit.turned.y,
            x=fit.turned.x,
            blocks=fit.blocks,
            beta=fit.beta,
            covariance=fit.covariance,
            names=self.data.design.names,
            frame=self.data.frame,
            order=fit.turned.order,
            level=self.level,
        )

    @cached_property
    def robust(self) -> Robust:
        """CR2 tests by cluster."""
        return robust(self)

    @cached_property
    def coefficients(self) -> pd.DataFrame:
        """One row per coefficient: term, estimate, se, statistic, p_value, ci_low, ci_high."""
        beta = self.fit.beta
        se = np.sqrt(np.diag(self.fit.covariance))
        reach = critical_value(self.level, self.df) * se
        return pd.DataFrame(
            {
                "term": list(self.data.design.names),
                "estimate": beta,
                "se": se,
                "statistic": beta / se,
                "p_value": [two_sided(float(t), self.df) for t in beta / se],
                "ci_low": beta - reach,
                "ci_high": beta + reach,
            }
        )

    @cached_property
    def sigma2_ci(self) -> Sigma2Limits:
        """Profile-likelihood limits of both variances."""
        return Sigma2Limits(*(Interval(*self.fit.profile(i, self.level)) for i in range(2)))

    @cached_property
    def studies(self) -> pd.DataFrame:
        """The rows that entered, as given and with their index, plus `weight` in percent.

        The mean is ``sum(weight * yi)/100``; with strongly correlated errors a weight can be
        negative.
        """
        return self.data.frame.assign(weight=100 * self.fit.weights)

    @property
    def summary(self) -> pd.DataFrame:
        """One row with every number; several of them concatenate to a summary table."""
        row = self.to_dict()
        row["notes"] = " ".join(self.notes)
        row.pop("coefficients", None)
        return pd.DataFrame([row])

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values, None where undefined."""
        flat: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("measure", "method", "test", "cluster", "k", "clusters")
        }
        for name in ("level", "rho", "estimate", "se", "statistic", "df", "p_value"):
            flat[name] = or_none(getattr(self, name))
        for name in ("ci", "prediction"):
            flat[f"{name}_low"], flat[f"{name}_high"] = map(or_none, getattr(self, name))
        for level in ("between", "within"):
            flat[f"sigma2_{level}"] = or_none(getattr(self.sigma2, level))
            limits = getattr(self.sigma2_ci, level)
            flat[f"sigma2_{level}_low"], flat[f"sigma2_{level}_high"] = map(or_none, limits)
        for level in Shares._fields:
            flat[f"i2_{level}"] = or_none(getattr(self.i2, level))
        for name in ("loglik", "q", "q_df", "q_p_value"):
            flat[name] = or_none(getattr(self, name))
        tested = self.robust.to_dict() if self._has_robust else {}
        for name in ("se", "df", "p_value", "ci_low", "ci_high"):
            flat[f"robust_{name}"] = tested.get(name)
        flat["notes"] = list(self.notes)
        if self._has_moderators:
            flat["coefficients"] = self.coefficients.to_dict("records")
        return flat

    @property
    def _has_robust(self) -> bool:
        return self.clusters > len(self.data.design.names)

    @property
    def _has_moderators(self) -> bool:
        return self.data.design.names != (INTERCEPT,)

    # Display --------------------------------------------------------------------------------

    def _card(self) -> Card:
        level = confidence(self.level)
        digits = decimals(self.se)
        pairs: list[tuple[str, str]] = []
        table = None
        if self._has_moderators:
            table = self._shown(digits)
        else:
            tested = self.robust
            pairs += [
                (
                    "estimate",
                    f"{number(self.estimate, digits)}  {level} CI {interval(*self.ci, digits)}, "
                    f"{p_text(self.p_value)}",
                ),
                (
                    f"robust ({tested.kind})",
                    f"{level} CI {interval(*tested.ci, digits)}, {p_text(tested.p_value)}, "
                    f"{number(tested.df, 1)} df",
                ),
                ("a new effect", f"{level} PI {interval(*self.prediction, digits)}"),
            ]
        for name in Sigma2._fields:
            value, limits = getattr(self.sigma2, name), getattr(self.sigma2_ci, name)
            places = decimals(value if value > 0 else self.se**2)
            pairs.append(
                (
                    f"{name} clusters",
                    f"sigma² = {number(value, places)}  {level} CI "
                    f"{interval(limits.low, limits.high, places)}, "
                    f"I² = {percent(getattr(self.i2, name) / 100)}",
                )
            )
        pairs.append(("Q", f"Q({self.q_df}) = {number(self.q, 2)}, {p_text(self.q_p_value)}"))
        errors = "independent sampling errors"
        if not math.isnan(self.rho):
            errors = f"sampling correlation {self.rho:g}"
        elif self.data.given is not None:
            errors = "given sampling covariance"
        what = f"Pooled {self.measure or 'effect'}"
        if self._has_moderators:
            what = f"Meta-regression of {self.measure or 'effects'}"
        title = f"{what}, k = {self.k} effects in {self.clusters} clusters"
        return Card(f"{title} ({self.method}, three levels, {errors})", pairs, table, self.notes)

    def _shown(self, digits: int) -> pd.DataFrame:
        sandwich = self.robust.coefficients.to_dict("records") if self._has_robust else []
        rows = []
        for i, mine in enumerate(self.coefficients.to_dict("records")):
            places = max(digits, decimals(float(mine["se"])))
            row = {
                "term": mine["term"],
                "estimate": number(mine["estimate"], places),
                "CI": interval(mine["ci_low"], mine["ci_high"], places),
                "p": p_text(mine["p_value"]).removeprefix("p ").strip("= "),
            }
            if sandwich:
                tested = sandwich[i]
                row |= {
                    "robust CI": interval(tested["ci_low"], tested["ci_high"], places),
                    "robust p": p_text(tested["p_value"]).removeprefix("p ").strip("= "),
                    "df": number(tested["df"], 1),
                }
            rows.append(row)
        return pd.DataFrame(rows)
