"""Effects of cross-over trials and other paired designs, from whatever they report.

The paired analysis is the right one: that of a parallel-group trial ignores that people are their
own comparators and gives too wide an interval. Elbourne et al. (2002), doi 10.1093/ije/31.1.140;
Cochrane Handbook, section 23.2. Carry-over and period effects are for the reader of the report to
judge; no formula here sees them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from retroevidence._show import Card, Carded, number
from retroevidence.effects.conversions.change import sd_change as change_sd
from retroevidence.effects.conversions.reported import se_from_ci, t_from_p
from retroevidence.effects.formulas.checks import (
    Effect,
    above,
    at_least,
    correlation,
    level_of,
    numbers,
    shapes_fit,
)
from retroevidence.errors import EffectError

NAN = math.nan


@dataclass(frozen=True, repr=False)
class Paired(Carded):
    """A mean difference within people, its standard error, and how it was found.

    Attributes
    ----------
    estimate, se, vi : float
        Mean difference (condition 1 minus 2), standard error and variance, in the unit of the
        outcome.
    sd_change : float
        SD of the individual differences: ``se sqrt(n)``.
    r : float
        Correlation between the conditions that the SDs imply, or the given one; NaN without SDs.
    how : str
        Which numbers were used.

    Examples
    --------
    >>> paired_difference(16, m1=5.0, m2=3.0, t=2.5)
    Mean difference within people
      estimate  2.000
      SE        0.800
      how       paired t
    """

    estimate: float
    se: float
    sd_change: float
    r: float
    how: str

    @property
    def vi(self) -> float:
        """Variance of the estimate."""
        return self.se**2

    @property
    def summary(self) -> pd.DataFrame:
        """The numbers in one row."""
        return pd.DataFrame([self.to_dict()])

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain Python values."""
        return {
            "estimate": self.estimate,
            "se": self.se,
            "vi": self.vi,
            "sd_change": self.sd_change,
            "r": self.r,
            "how": self.how,
        }

    def _card(self) -> Card:
        pairs = [("estimate", number(self.estimate)), ("SE", number(self.se))]
        if not math.isnan(self.r):
            pairs.append(("correlation", number(self.r)))
        return Card("Mean difference within people", [*pairs, ("how", self.how)])


def paired_difference(
    n: float,
    *,
    difference: float | None = None,
    m1: float | None = None,
    m2: float | None = None,
    se: float | None = None,
    sd_change: float | None = None,
    low: float | None = None,
    high: float | None = None,
    t: float | None = None,
    p: float | None = None,
    sd1: float | None = None,
    sd2: float | None = None,
    r: float | None = None,
    level: float = 0.95,
) -> Paired:
    """Compute the mean difference of a cross-over or paired study by the best numbers it reports.

    The first of these that is given is used: the standard error; the SD of the individual
    differences, ``SDd/sqrt(n)``; the paired interval; the paired t, ``|difference/t|``; the exact
    p of the paired t test; both SDs with their correlation,
    ``sqrt((sd1² + sd2² - 2 r sd1 sd2)/n)``. NaN counts as not given. Elbourne et al. (2002),
    doi 10.1093/ije/31.1.140.

    Parameters
    ----------
    n : float
        People who were measured under both conditions, at least 2.
    difference : float, optional
        Mean difference, condition 1 minus 2; or give `m1` and `m2`.
    m1, m2 : float, optional
        Means under the two conditions.
    se, sd_change, low, high, t, p : float, optional
        Standard error, SD of the differences, limits of the interval, paired t, exact two-sided p.
    sd1, sd2 : float, optional
        SDs under the two conditions. With one of the numbers above they give the correlation.
    r : float, optional
        Correlation between the conditions: the reported one, or an assumed one in a sensitivity
        analysis (see :func:`retroevidence.effects.conversions.change.estimate_r`).
    level : float
        Confidence of the interval.

    Returns
    -------
    Paired
        With `estimate`, `se`, `vi`, `sd_change`, `r` and `how`.

    Raises
    ------
    EffectError
        If the difference or every measure of its spread is missing, a number is impossible, the
        difference lies outside its interval, or t is 0 or p is 1, which leaves the spread unknown.

    Examples
    --------
    >>> found = paired_difference(16, m1=5.0, m2=3.0, p=0.02, sd1=3.5, sd2=3.1)
    >>> round(found.se, 4), round(found.r, 3), found.how
    (0.7685, 0.572, 'exact p of the paired t test')
    >>> round(paired_difference(16, difference=2.0, sd1=3.5, sd2=3.1, r=0.5).se, 4)
    0.8295
    """
    people = _one("n", n)
    if people is None:
        raise EffectError("n is missing; give the people who were measured under both conditions.")
    n = float(at_least("n", people, 2))
    level_of(level)
    difference, m1, m2 = _one("difference", difference), _one("m1", m1), _one("m2", m2)
    se, sd_change = _one("se", se), _one("sd_change", sd_change)
    low, high, t, p = _one("low", low), _one("high", high), _one("t", t), _one("p", p)
    sd1, sd2, r = _one("sd1", sd1), _one("sd2", sd2), _one("r", r)
    if difference is None:
        if m1 is None or m2 is None:
            raise EffectError("the mean difference is missing; give difference, or m1 and m2.")
        difference = m1 - m2
    elif m1 is not None and m2 is not None and not _same_difference(difference, m1, m2):
        raise EffectError(
            f"difference is {difference:g} and m1 - m2 is {m1 - m2:g}; give one of them."
        )
    spread, how = _spread(n, difference, se, sd_change, low, high, t, p, sd1, sd2, r, level)
    implied = NAN if r is None else float(correlation(r))
    if sd1 is not None and sd2 is not None and r is None:
        implied = _implied(sd1, sd2, spread * math.sqrt(n))
        if math.isnan(implied):
            how += "; the SDs do not fit it, so no correlation"
    return Paired(difference, spread, spread * math.sqrt(n), implied, how)


def _one(name: str, value: float | None) -> float | None:
    """Return one number; None where it is missing, which NaN says too."""
    array = numbers(name, value)
    if array.ndim:
        raise EffectError(
            f"{name} holds {array.size} values; paired_difference takes one study at a time."
        )
    return None if np.isnan(array) else float(array)


def _same_difference(difference: float, m1: float, m2: float) -> bool:
    """Tell whether a difference is that of the means but for rounding, in any unit."""
    return abs(difference - (m1 - m2)) <= 1e-9 * max(abs(m1), abs(m2))


def _spread(
    n: float,
    difference: float,
    se: float | None,
    sd_change: float | None,
    low: float | None,
    high: float | None,
    t: float | None,
    p: float | None,
    sd1: float | None,
    sd2: float | None,
    r: float | None,
    level: float,
) -> tuple[float, str]:
    """Return the standard error and the numbers it is from."""
    if se is not None:
        return float(above("se", se, 0)), "standard error"
    if sd_change is not None:
        return float(above("sd_change", sd_change, 0)) / math.sqrt(n), "SD of the differences"
    if low is not None and high is not None:
        if not low <= difference <= high:
            raise EffectError(
                f"the difference {difference:g} lies outside its interval [{low:g}, {high:g}]; "
                "check the direction of both."
            )
        return float(se_from_ci(low, high, level, df=n - 1)), "paired confidence interval"
    if t is not None or p is not None:
        size, how = (
            (abs(t), "paired t")
            if t is not None
            else (float(t_from_p(p, n - 1)), "exact p of the paired t test")
        )
        if size == 0 or difference == 0:
            raise EffectError(
                "a difference or a t of 0 leaves the spread unknown; use the reported SDs instead."
            )
        return abs(difference) / size, how
    if sd1 is not None and sd2 is not None and r is not None:
        spread = float(change_sd(sd1, sd2, r))
        if spread == 0:
            raise EffectError("equal SDs with r = 1 leave no spread; check the correlation.")
        return spread / math.sqrt(n), f"SDs of both conditions with r = {r:g}"
    raise EffectError(
        "nothing tells the spread of the differences; give se, sd_change, low and high, t, p, or "
        "sd1, sd2 and r."
    )


def _implied(sd1: float, sd2: float, spread: float) -> float:
    """Return the correlation of three SDs, NaN where they cannot belong together."""
    one, two = float(above("sd1", sd1, 0)), float(above("sd2", sd2, 0))
    r = (one**2 + two**2 - spread**2) / (2 * one * two)
    return r if abs(r) <= 1 else NAN


@shapes_fit
def smd_crossover(difference: Any, sd1: Any, sd2: Any, n: Any, *, r: Any) -> Effect:
    """Standardised mean difference of a cross-over trial, comparable with parallel trials.

    ``d = difference / sqrt((sd1² + sd2²)/2)`` and
    ``vi = 2 (1 - r) (1/n + d²/(2n))``: standardised by the SD between people, not by that of the
    differences, so that it can be pooled with SMDs of parallel groups. Elbourne et al. (2002),
    doi 10.1093/ije/31.1.140; Cochrane Handbook, section 23.2.7. The measure SMCRP of
    :func:`retroevidence.effects.measures.effect_size` is the same idea with the exact small-sample
    factor.

    Parameters
    ----------
    difference : array_like
        Mean difference within people, condition 1 minus 2.
    sd1, sd2 : array_like
        SDs under the two conditions, above 0.
    n : array_like
        People, at least 2.
    r : array_like
        Correlation between the conditions; the reported or implied one.

    Returns
    -------
    yi, vi : numpy.ndarray or numpy.float64
        Standardised mean difference and variance.

    Raises
    ------
    EffectError
        If a number is impossible.

    Examples
    --------
    >>> yi, vi = smd_crossover(2.0, 3.5, 3.1, 16, r=0.57)
    >>> round(float(yi), 4), round(float(vi), 4)
    (0.605, 0.0636)
    """
    one, two, n = above("sd1", sd1, 0), above("sd2", sd2, 0), at_least("n", n, 2)
    d = numbers("difference", difference) / np.sqrt((one**2 + two**2) / 2)
    return d, 2 * (1 - correlation(r)) * (1 / n + d**2 / (2 * n))
