"""The answer of a model on counts: plain numbers that show themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from scipy.special import expit

from retroevidence._show import Card, Carded, confidence, interval, number, p_text, percent
from retroevidence.meta.interval import Interval
from retroevidence.meta.wording import RATIOS, decimals, exp_of, flattened, study_names

MODELS = {
    "CM.EL": "conditional, exact likelihood",
    "CM.AL": "conditional, approximate likelihood",
    "UM.FS": "unconditional, one base level per study",
    "UM.RS": "unconditional, base levels normal between studies",
    "BN": "binomial, normal logits",
}


@dataclass(frozen=True, eq=False, repr=False)
class PooledGLMM(Carded):
    """A mean effect from a model on counts, made by :func:`pool_glmm`.

    Ratios are on the log scale, proportions on the logit scale; group 1 minus group 2.

    Attributes
    ----------
    estimate, se, statistic, p_value, ci : float and Interval
        Mean effect by maximum likelihood, with its z test and z interval. For proportions the
        test is against one half and rarely means anything.
    prediction : Interval
        Where the true effect of a new study is expected (normal quantile).
    tau2, tau2_se, tau2_ci : float and Interval
        Variance between studies; profile-likelihood limits.
    sigma2 : float
        Variance of the base levels between studies in model UM.RS; NaN in the others.
    lrt, lrt_p_value : float
        Likelihood-ratio test of tau² = 0: half a point mass at 0 and half chi-squared (1 df)
        (Self & Liang 1987, doi 10.1080/01621459.1987.10478472).
    q, q_df, q_p_value : float
        Likelihood-ratio test of one common effect against one effect per study; the counterpart
        of Cochran's Q, with k - 1 degrees of freedom.
    loglik : float
        Log-likelihood, with all constants of the counts.
    k, measure, model, level : int, str and float
        Number of studies that say something on the effect, and what was asked.
    studies : pandas.DataFrame
        The rows that enter, as given, with `shrunken` and `shrunken_sd`: mean and standard
        deviation of each study's own effect, given its counts and the fitted model.
    notes : tuple of str
        What a reader must know before quoting the numbers.

    Examples
    --------
    >>> from retroevidence.meta.counts.glmm import pool_glmm
    >>> found = pool_glmm(measure="PLO", x=[1, 3, 9], n=[20, 25, 30])
    >>> found.k, round(found.estimate, 3)
    (3, -1.739)
    """

    measure: str
    model: str
    level: float
    k: int
    estimate: float
    se: float
    statistic: float
    p_value: float
    ci: Interval
    prediction: Interval
    tau2: float
    tau2_se: float
    tau2_ci: Interval
    sigma2: float
    lrt: float
    lrt_p_value: float
    q: float
    q_df: int
    q_p_value: float
    loglik: float
    notes: tuple[str, ...]
    studies: pd.DataFrame

    @property
    def tau(self) -> float:
        """Standard deviation between studies."""
        return math.sqrt(self.tau2)

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values, None where undefined."""
        names = [name for name in self.__dataclass_fields__ if name != "studies"]
        return flattened({name: getattr(self, name) for name in names})

    @property
    def summary(self) -> pd.DataFrame:
        """One row with every number; several of them concatenate to a summary table."""
        return pd.DataFrame([self.to_dict() | {"notes": " ".join(self.notes)}])

    def _repr_html_(self) -> str:
        """Return the card as HTML, with the studies."""
        digits = decimals(self.se)
        shown = pd.DataFrame(
            {
                "study": study_names(self.studies),
                "shrunken effect": [number(float(v), digits) for v in self.studies["shrunken"]],
                "SD": [number(float(v), digits) for v in self.studies["shrunken_sd"]],
            }
        )
        return replace(self._card(), table=shown).html()

    def _card(self) -> Card:
        digits, level = decimals(self.se), confidence(self.level)
        ratio = RATIOS.get(self.measure)
        test = f", {p_text(self.p_value)}" if ratio else ""
        pairs = [
            (
                f"log {ratio}" if ratio else "logit",
                f"{number(self.estimate, digits)}  {level} CI {interval(*self.ci, digits)}{test}",
            )
        ]
        if ratio:
            low, high = (exp_of(limit) for limit in self.ci)
            pairs.append(
                (ratio, f"{number(exp_of(self.estimate))}  {level} CI {interval(low, high)}")
            )
        else:
            shares = [percent(float(expit(v)), 1) for v in (self.estimate, *self.ci)]
            pairs.append(("typical share", f"{shares[0]}  {level} CI [{shares[1]}, {shares[2]}]"))
        pairs.append(("a new study", f"{level} PI {interval(*self.prediction, digits)}"))
        if math.isnan(self.tau2):
            pairs.append(("between studies", "not estimable from one study"))
        else:
            fine = decimals(self.tau2 if self.tau2 > 0 else self.se**2)
            pairs += [
                (
                    "tau²",
                    f"{number(self.tau2, fine)}  {level} CI {interval(*self.tau2_ci, fine)}, "
                    f"tau = {number(self.tau, decimals(self.tau or self.se))}; "
                    f"LRT = {number(self.lrt, 2)}, {p_text(self.lrt_p_value)}",
                ),
                (
                    "one effect",
                    f"LRT chi²({self.q_df}) = {number(self.q, 2)}, {p_text(self.q_p_value)}",
                ),
            ]
        if not math.isnan(self.sigma2):
            fine = decimals(self.sigma2 or self.se**2)
            pairs.append(("base levels", f"sigma² = {number(self.sigma2, fine)}"))
        what = f"k = {self.k} {'study' if self.k == 1 else 'studies'}"
        title = f"Pooled {self.measure}, {what} (model on counts: {MODELS[self.model]})"
        return Card(title, pairs, None, self.notes)
