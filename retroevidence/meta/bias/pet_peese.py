"""The effect in a study without error: PET, PEESE, and the rule that chooses between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retroevidence._show import Card, confidence, interval, number, p_text
from retroevidence.errors import PoolError, check_name
from retroevidence.meta.bias.asymmetry import EXACT_LINE
from retroevidence.meta.bias.result import (
    BiasResult,
    Effects,
    check_alpha,
    few,
    plain_mean,
    same_size,
)
from retroevidence.meta.bias.weighted_line import weighted_line
from retroevidence.meta.interval import Interval
from retroevidence.meta.pool import pool
from retroevidence.meta.result import Pooled
from retroevidence.meta.wording import decimals

MODELS = {"wls": "weighted least squares", "random": "random-effects meta-regression"}


@dataclass(frozen=True, eq=False, repr=False)
class Limit(BiasResult):
    """One regression's answer: the effect at a standard error of 0, and the slope.

    Attributes
    ----------
    estimate, se, df, p_value, ci : float and Interval
        The effect at a standard error of 0, and its test.
    slope, slope_p_value : float
        Change of the effect per unit of standard error (PET) or of variance (PEESE), and the
        p-value of its test.
    notes : tuple of str
        What a reader must know.

    Examples
    --------
    >>> Limit(0.1, 0.05, 8.0, 0.08, Interval(-0.02, 0.22), 1.2, 0.03, ()).estimate
    0.1
    """

    estimate: float
    se: float
    df: float
    p_value: float
    ci: Interval
    slope: float
    slope_p_value: float
    notes: tuple[str, ...]

    def _card(self) -> Card:
        digits = decimals(self.se)
        text = f"{number(self.estimate, digits)}  CI {interval(*self.ci, digits)}"
        return Card("Effect without error", [("estimate", f"{text}, {p_text(self.p_value)}")])


@dataclass(frozen=True, eq=False, repr=False)
class PetPeese(BiasResult):
    """PET, PEESE and the conditional estimate, made by `pet_peese`.

    Attributes
    ----------
    chosen : str
        "PET" or "PEESE", by the rule.
    estimate, se, df, p_value, ci : float and Interval
        Those of the chosen one.
    pet, peese : Limit
        Both regressions, each with estimate, se, df, p_value, ci, slope and slope_p_value.
    model, alpha, k, level, measure, notes : str, float, int and tuple of str
        What was asked, and what a reader must know.

    Examples
    --------
    >>> pet_peese(pool(yi=[0.1, 0.2, 0.1, 0.9], vi=[0.01, 0.02, 0.03, 0.2])).chosen
    'PET'
    """

    chosen: str
    estimate: float
    se: float
    df: float
    p_value: float
    ci: Interval
    pet: Limit
    peese: Limit
    model: str
    alpha: float
    k: int
    level: float
    measure: str
    notes: tuple[str, ...]

    def _card(self) -> Card:
        share = confidence(self.level)
        pairs = []
        for name, part in (("PET", self.pet), ("PEESE", self.peese)):
            digits = decimals(part.se)
            mark = "  (chosen)" if name == self.chosen else ""
            pairs.append(
                (
                    name,
                    f"{number(part.estimate, digits)}  {share} CI {interval(*part.ci, digits)}, "
                    f"{p_text(part.p_value)}{mark}",
                )
            )
        return Card(f"PET-PEESE ({MODELS[self.model]}), k = {self.k}", pairs, notes=self.notes)


def pet_peese(effects: Effects, model: str = "wls", *, alpha: float = 0.10) -> PetPeese:
    """Estimate the effect in a study without error by regression on its standard error.

    PET regresses effects on the standard error, PEESE on the variance; the intercept is the effect
    at 0. PET is better when there is no effect and PEESE when there is one, so the conditional
    estimate is PEESE if PET's intercept differs from 0 at `alpha` (two-sided), else PET.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A pooled mean.
    model : str
        "wls": weights 1/vi, one multiplicative variance, t with k - 2 degrees of freedom, the
        authors' model. "random": meta-regression with the tau² estimator and test of the result.
    alpha : float
        Where PET's intercept counts as an effect; 0.10 two-sided is 0.05 in each direction.

    Returns
    -------
    PetPeese
        Both intercepts and the chosen one.

    Raises
    ------
    PoolError
        If there are fewer than 3 studies, or all have the same precision.
    UnknownNameError
        If `model` is unknown.

    Notes
    -----
    The conditional estimate's interval ignores that the model was chosen from the same data.

    References
    ----------
    Stanley & Doucouliagos (2014), doi 10.1002/jrsm.1095; limits of the method: Stanley (2017),
    doi 10.1177/1948550617693062.

    Examples
    --------
    >>> pooled = pool(yi=[0.1, 0.2, 0.1, 0.9, 0.8], vi=[0.01, 0.02, 0.03, 0.2, 0.3])
    >>> pet_peese(pooled)
    PET-PEESE (weighted least squares), k = 5
      PET    -0.0915  95% CI [-0.3264, 0.1434], p = 0.303  (chosen)
      PEESE  0.0799  95% CI [-0.0471, 0.2069], p = 0.139
      - 5 studies, fewer than 10: ...
      - The interval does not know that the model was chosen from the same data.
    """
    check_name("model", model, MODELS)
    check_alpha(alpha)
    pooled = plain_mean(effects, "pet_peese")
    vi = pooled.fit.vi
    if same_size(vi):
        raise PoolError(
            "all studies have the same precision, so none says what a study without error would "
            "find; report the mean."
        )
    pet, peese = (_limit(pooled, z, model) for z in (np.sqrt(vi), vi))
    chosen, part = ("PEESE", peese) if pet.p_value < alpha else ("PET", pet)
    notes = [*few(pooled.k)]
    notes.append("The interval does not know that the model was chosen from the same data.")
    notes.extend(dict.fromkeys((*pet.notes, *peese.notes)))
    if np.isnan(pet.p_value):
        notes.append("PET's points lie on the line exactly; there is no test to choose by.")
    if np.isnan(peese.p_value):
        notes.append("PEESE's points lie on the line exactly; it has no test and no interval.")
    return PetPeese(
        chosen=chosen,
        estimate=part.estimate,
        se=part.se,
        df=part.df,
        p_value=part.p_value,
        ci=part.ci,
        pet=pet,
        peese=peese,
        model=model,
        alpha=alpha,
        k=pooled.k,
        level=pooled.level,
        measure=pooled.measure,
        notes=tuple(notes),
    )


def _limit(pooled: Pooled, z: NDArray[np.float64], model: str) -> Limit:
    fit = pooled.fit
    if model == "wls":
        x = np.column_stack([np.ones(pooled.k), z])
        (start, slope), _ = weighted_line(fit.yi, x, 1 / fit.vi)
        return Limit(
            start.estimate, start.se, start.df, start.p_value, start.ci(pooled.level),
            slope.estimate, slope.p_value, (),
        )  # fmt: skip
    line = pool(
        yi=fit.yi, vi=fit.vi, mods=z, method=pooled.method, test=pooled.test, level=pooled.level
    )
    slope_row = line.coefficients.iloc[1]
    return Limit(
        line.estimate, line.se, line.df, line.p_value, line.ci,
        float(slope_row["estimate"]), float(slope_row["p_value"]),
        () if line.test == pooled.test else (EXACT_LINE,),
    )  # fmt: skip
