"""What a selection model answers: the mean before selection, the weights, and their test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from retroevidence._show import Card, confidence, interval, number, p_text
from retroevidence.meta.bias.result import BiasResult
from retroevidence.meta.interval import Interval
from retroevidence.meta.wording import decimals, or_none

KINDS = {
    "step": "step function",
    "beta": "beta",
    "half-normal": "half-normal",
    "negexp": "negative exponential",
    "vevea-woods": "Vevea-Woods weights",
}


@dataclass(frozen=True, eq=False, repr=False)
class Selection(BiasResult):
    """A fitted selection model, made by `selection_model`.

    Attributes
    ----------
    kind, alternative : str
        The weight function and the side that is favoured.
    estimate, se, p_value, ci : float and Interval
        The mean before selection (with moderators the first coefficient). The interval and the
        p-value against 0 are those of the profile likelihood; the standard error is Wald's.
    wald_ci : Interval
        Estimate ± z times standard error, beside it.
    tau2, tau2_se : float
        Variance between studies before selection; the standard error is NaN at 0.
    delta : pandas.DataFrame
        One row per weight parameter: parameter (the interval of p, or its number), k (studies in
        the interval), delta, se, ci_low, ci_high (profile likelihood).
    coefficients : pandas.DataFrame
        One row per coefficient: term, estimate, se, statistic, p_value, ci_low, ci_high (Wald).
    lrt, lrt_df, lrt_p_value : float and int
        Likelihood-ratio test against no selection; NaN for fixed weights.
    loglik, unadjusted : float
        Maximised log likelihood, and the estimate by maximum likelihood without selection.
    k, level, measure, notes : int, float, str and tuple of str
        The studies, and what a reader must know.

    Examples
    --------
    >>> import retroevidence.meta.pool as p
    >>> import retroevidence.meta.bias.selection as s
    >>> y = [0.9, 0.7, 0.3, 0.5, 0.1, 0.6, 0.2]
    >>> s.selection_model(p.pool(yi=y, vi=[0.1, 0.06, 0.03, 0.05, 0.04, 0.07, 0.01])).k
    7
    """

    _apart = ("delta", "coefficients")

    kind: str
    alternative: str
    estimate: float
    se: float
    p_value: float
    ci: Interval
    wald_ci: Interval
    tau2: float
    tau2_se: float
    lrt: float
    lrt_df: int
    lrt_p_value: float
    loglik: float
    unadjusted: float
    k: int
    level: float
    measure: str
    notes: tuple[str, ...]
    delta: pd.DataFrame
    coefficients: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values, None where undefined."""
        flat = super().to_dict()
        for name in ("delta", "coefficients"):
            table = getattr(self, name)
            flat[name] = [
                {key: or_none(value) if isinstance(value, float) else value
                 for key, value in row.items()}
                for row in table.to_dict("records")
            ]  # fmt: skip
        return flat

    def _card(self) -> Card:
        share, digits = confidence(self.level), decimals(self.se)
        pairs = [
            (
                "estimate" if len(self.coefficients) == 1 else str(self.coefficients["term"][0]),
                f"{number(self.estimate, digits)}  {share} CI {interval(*self.ci, digits)}, "
                f"{p_text(self.p_value)}",
            ),
            ("no selection", number(self.unadjusted, digits)),
            ("tau²", number(self.tau2, decimals(self.tau2 or self.se**2))),
        ]
        if self.lrt_df:
            pairs.append(
                (
                    "selection",
                    f"LRT({self.lrt_df}) = {number(self.lrt)}, {p_text(self.lrt_p_value)}",
                )
            )
        shown = pd.DataFrame(
            {
                "p" if self.kind in ("step", "vevea-woods") else "weight": self.delta["parameter"],
                "k": self.delta["k"].astype("Int64").astype(object),
                "delta": [number(float(d)) for d in self.delta["delta"]],
                f"{share} CI": [
                    "" if math.isnan(low) else interval(low, high)
                    for low, high in zip(self.delta["ci_low"], self.delta["ci_high"], strict=True)
                ],
            }
        )
        if self.kind not in ("step", "vevea-woods"):
            shown = shown.drop(columns="k")
        side = {"greater": "larger", "less": "smaller", "two-sided": "significant"}[
            self.alternative
        ]
        title = f"Selection model ({KINDS[self.kind]}, {side} effects favoured), k = {self.k}"
        return Card(title, pairs, shown, self.notes)
