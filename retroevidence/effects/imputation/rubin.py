"""Rubin's rules: the analyses of many completed sets as one answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from retroevidence._show import Card, Carded, confidence, interval, number, p_text, percent


@dataclass(frozen=True, repr=False)
class Imputed(Carded):
    """Analyses of many completed sets of effects, combined.

    Attributes
    ----------
    estimate, se, df, p_value, ci_low, ci_high : float
        The combined mean and its t interval.
    within, between : float
        Mean squared standard error of the analyses, and variance of their estimates.
    missing_information : float
        Share of the information about the mean that is missing (Rubin 1987).
    level : float
        Confidence of the interval.
    draws : pandas.DataFrame
        One row per completed set: estimate, se, df.
    notes : tuple of str
        What was drawn, and what could not enter.

    Examples
    --------
    >>> combine_draws([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], 20.0).estimate
    2.0
    """

    estimate: float
    se: float
    df: float
    p_value: float
    ci_low: float
    ci_high: float
    within: float
    between: float
    missing_information: float
    level: float = 0.95
    draws: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)
    notes: tuple[str, ...] = ()

    def _card(self) -> Card:
        reach = interval(self.ci_low, self.ci_high)
        pairs = [
            (
                "estimate",
                f"{number(self.estimate)}  {confidence(self.level)} CI {reach}, "
                f"{p_text(self.p_value)}",
            ),
            ("variance", f"within {number(self.within, 4)}, between {number(self.between, 4)}"),
            ("missing", f"{percent(self.missing_information)} of the information"),
            ("df", number(self.df, 1)),
        ]
        title = f"Multiple imputation, {len(self.draws)} completed sets"
        return Card(title, pairs, None, self.notes)


def combine_draws(
    estimates: Any, ses: Any, df: float, *, level: float = 0.95, notes: tuple[str, ...] = ()
) -> Imputed:
    """Combine the analyses of completed sets by Rubin's rules.

    Parameters
    ----------
    estimates, ses : array_like, shape (m,)
        Estimate and standard error of each analysis.
    df : float
        Degrees of freedom that the analysis would have without missing values.
    level : float
        Confidence of the interval.
    notes : tuple of str
        Notes to carry along.

    Returns
    -------
    Imputed

    Examples
    --------
    >>> out = combine_draws([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], 20.0)
    >>> round(out.se**2, 4), round(out.df, 3)
    (2.3333, 3.436)
    """
    estimates, ses = np.asarray(estimates, dtype=float), np.asarray(ses, dtype=float)
    m = len(estimates)
    estimate, within = float(estimates.mean()), float(np.mean(ses**2))
    between = float(estimates.var(ddof=1))
    extra = (1 + 1 / m) * between
    total = within + extra
    share = extra / total
    observed = df if math.isinf(df) else (df + 1) / (df + 3) * df
    observed *= 1 - share
    combined = observed
    if share > 0:
        combined = 1 / (share**2 / (m - 1) + (0.0 if math.isinf(observed) else 1 / observed))
    se = math.sqrt(total)
    finite = math.isfinite(combined)
    tail = (1 - level) / 2
    reach = -se * float(stdtrit(combined, tail) if finite else ndtri(tail))
    z = -abs(estimate) / se
    ratio = extra / within
    return Imputed(
        estimate=estimate,
        se=se,
        df=combined,
        p_value=2 * float(stdtr(combined, z) if finite else ndtr(z)),
        ci_low=estimate - reach,
        ci_high=estimate + reach,
        within=within,
        between=between,
        missing_information=(ratio + 2 / (combined + 3)) / (1 + ratio) if share > 0 else 0.0,
        level=level,
        draws=pd.DataFrame({"estimate": estimates, "se": ses}),
        notes=notes,
    )
