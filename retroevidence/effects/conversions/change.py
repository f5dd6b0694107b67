"""Changes of the same people: their SD, its correlation, and what other studies say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from retroevidence._show import Card, Carded, number
from retroevidence.effects.formulas.checks import (
    above,
    at_least,
    column,
    correlation,
    not_zero,
    numbers,
    shapes_fit,
)
from retroevidence.effects.formulas.paired import change_variance
from retroevidence.errors import EffectError


@shapes_fit
def sd_change(sd1: Any, sd2: Any, r: Any) -> Any:
    """Return the SD of the changes: ``sqrt(sd1² + sd2² - 2 r sd1 sd2)``.

    Parameters
    ----------
    sd1, sd2 : array_like
        SDs at the two times or conditions, above 0.
    r : array_like
        Correlation between them, in [-1, 1]. Give the reported one; an assumed one belongs into a
        sensitivity analysis.

    Returns
    -------
    numpy.ndarray or numpy.float64
        SD of the individual differences.

    Raises
    ------
    EffectError
        If a number is impossible.

    Examples
    --------
    >>> round(float(sd_change(15.0, 11.6, 0.47)), 4)
    14.0
    """
    return np.sqrt(change_variance(above("sd1", sd1, 0), above("sd2", sd2, 0), correlation(r)))


@shapes_fit
def correlation_from_sd_change(sd1: Any, sd2: Any, sd_of_change: Any) -> Any:
    """Correlation between two times from the three SDs (Cochrane Handbook, section 6.5.2.8).

    ``(sd1² + sd2² - SDd²) / (2 sd1 sd2)``

    Parameters
    ----------
    sd1, sd2, sd_of_change : array_like
        SDs at the two times and of the individual differences, above 0.

    Returns
    -------
    numpy.ndarray or numpy.float64
        Correlation.

    Raises
    ------
    EffectError
        If the three SDs cannot belong together.

    Examples
    --------
    >>> round(float(correlation_from_sd_change(15.0, 11.6, 14.0)), 4)
    0.47
    """
    sd1, sd2 = above("sd1", sd1, 0), above("sd2", sd2, 0)
    spread = above("sd_of_change", sd_of_change, 0)
    r = (sd1**2 + sd2**2 - spread**2) / (2 * sd1 * sd2)
    # A rounded SD can push a perfect correlation a hair outside.
    r = np.where(np.abs(np.abs(r) - 1) < 1e-12, np.sign(r), r)[()]
    return correlation(r, "the correlation that the three SDs imply")


@shapes_fit
def sd_change_from_t(change: Any, t: Any, n: Any) -> Any:
    """Return the SD of the changes from the mean change and its paired t: ``|change/t| sqrt(n)``.

    Parameters
    ----------
    change : array_like
        Mean change, not 0.
    t : array_like
        Paired t, not 0.
    n : array_like
        People measured twice, at least 2.

    Returns
    -------
    numpy.ndarray or numpy.float64
        SD of the individual differences.

    Raises
    ------
    EffectError
        If the change or t is 0, or n is below 2.

    Examples
    --------
    >>> float(sd_change_from_t(3.0, -2.0, 16))
    6.0
    """
    change, t = not_zero("change", change), not_zero("t", t)
    return np.abs(change / t) * np.sqrt(at_least("n", n, 2))


@shapes_fit
def paired_variance_from_t(yi: Any, t: Any) -> Any:
    """Variance of a paired log ratio from the t on the differences: ``(yi / t)²``.

    To first order in the relative difference, ``ln(m1/m2)`` and ``m1 - m2`` have the same ratio of
    estimate to standard error (delta method), so the paired t of the differences serves for the
    log ratio. The error is of second order: with correlation r the variance is too large by a
    share of about ``yi²/(2(1 - r))`` when the SDs grow with the means, and too small by as much
    when they are equal.

    Parameters
    ----------
    yi : array_like
        Log ratio of the two dependent means.
    t : array_like
        Paired t (its sign does not matter), not 0.

    Returns
    -------
    numpy.ndarray or numpy.float64
        Sampling variance of `yi`.

    Raises
    ------
    EffectError
        If t is 0, which leaves the spread unknown, or if yi is 0 while t is not.

    Examples
    --------
    >>> round(float(paired_variance_from_t(0.2469, 5.0)), 6)
    0.002438
    """
    return (not_zero("log ratio", yi) / not_zero("t", t)) ** 2


@dataclass(frozen=True, repr=False)
class EstimatedR(Carded):
    """The correlation between two times that studies of one outcome report, and its range.

    Attributes
    ----------
    r : float
        Mean over the studies, weighted by n - 3 on the scale of Fisher's z.
    low, high : float
        Smallest and largest correlation among the studies: the range for a sensitivity analysis.
    k : int
        Studies that gave a correlation.
    how : str
        In words.
    studies : DataFrame
        The given rows with their index: `r`, its `weight` in percent, and the reason in `note`
        where a row gave none.

    Examples
    --------
    >>> table = pd.DataFrame({"sd1": [10.0, 8.0], "sd2": [9.0, 8.5], "sd_change": [6.0, 7.0]})
    >>> print(estimate_r(table.assign(n=[30, 20])))
    Correlation between two times, from 2 studies
      mean   0.75
      range  0.64 to 0.81
      how    r = (sd1² + sd2² - sd_change²)/(2 sd1 sd2); mean of Fisher's z, weights n - 3
    """

    r: float
    low: float
    high: float
    k: int
    how: str
    studies: pd.DataFrame

    @property
    def summary(self) -> pd.DataFrame:
        """The numbers in one row."""
        return pd.DataFrame([self.to_dict()])

    def to_dict(self) -> dict[str, Any]:
        """Return r, low, high, k and how as plain Python values."""
        return {"r": self.r, "low": self.low, "high": self.high, "k": self.k, "how": self.how}

    def _repr_html_(self) -> str:
        """Show the numbers and the studies in a notebook."""
        return self._card(self.studies.round(3)).html()

    def _card(self, table: pd.DataFrame | None = None) -> Card:
        studies = "1 study" if self.k == 1 else f"{self.k} studies"
        left_out = len(self.studies) - self.k
        return Card(
            f"Correlation between two times, from {studies}",
            [
                ("mean", number(self.r, 2)),
                ("range", f"{number(self.low, 2)} to {number(self.high, 2)}"),
                ("how", self.how),
            ],
            table,
            [f"{left_out} of {len(self.studies)} rows gave no correlation"] if left_out else [],
        )


def estimate_r(
    table: pd.DataFrame,
    *,
    sd1: str = "sd1",
    sd2: str = "sd2",
    sd_change: str = "sd_change",
    n: str = "n",
) -> EstimatedR:
    """Estimate the correlation of before and after from studies that report the SD of changes.

    ``r = (sd1² + sd2² - sd_change²)/(2 sd1 sd2)`` for each study (Cochrane Handbook, section
    6.5.2.8), averaged as Fisher's z with weights n - 3 (Fisher 1921). Where other studies then
    borrow it, give :attr:`EstimatedR.r` as their `r`, and `low` and `high` in a sensitivity
    analysis: it is an assumption about them.

    Parameters
    ----------
    table : DataFrame
        One row per study or arm; rows that lack a number are kept and give no correlation.
    sd1, sd2, sd_change, n : str
        Columns: SDs at the two times and of the individual changes, and the people.

    Returns
    -------
    EstimatedR
        With `r`, `low`, `high`, `k`, `how` and `studies`.

    Raises
    ------
    UnknownNameError
        If a column is not in the table.
    EffectError
        If no row has all three SDs of more than 3 people, or an SD is not above 0.

    Examples
    --------
    >>> table = pd.DataFrame({"sd1": [10.0, 8.0], "sd2": [9.0, 8.5], "sd_change": [6.0, None]})
    >>> found = estimate_r(table.assign(n=[30, 20]))
    >>> round(found.r, 4), found.k
    (0.8056, 1)
    """
    if not isinstance(table, pd.DataFrame):
        raise EffectError(f"estimate_r takes a DataFrame, not {type(table).__name__}.")
    one, two, change = (above(name, column(table, name), 0) for name in (sd1, sd2, sd_change))
    people = numbers(n, column(table, n))
    r = (one**2 + two**2 - change**2) / (2 * one * two)
    note = np.where(np.isnan(r) | np.isnan(people), "a number is missing", "")
    note = np.where(np.abs(r) > 1, "the three SDs cannot belong together", note)
    # Rounding may leave a perfect correlation a hair inside or outside.
    perfect = np.abs(np.abs(r) - 1) < 1e-12
    note = np.where(perfect, "a perfect correlation has no Fisher's z", note)
    note = np.where((note == "") & (people <= 3), "fewer than 4 people", note)
    usable = note == ""
    if not usable.any():
        raise EffectError(
            "no row has the SDs at both times and of the changes of more than 3 people; "
            "r can only be assumed."
        )
    weight = np.where(usable, people - 3, 0.0)
    z = np.arctanh(np.where(usable, r, 0.0))
    return EstimatedR(
        r=float(np.tanh((weight * z).sum() / weight.sum())),
        low=float(r[usable].min()),
        high=float(r[usable].max()),
        k=int(usable.sum()),
        how="r = (sd1² + sd2² - sd_change²)/(2 sd1 sd2); mean of Fisher's z, weights n - 3",
        studies=pd.DataFrame(
            {"r": r, "weight": 100 * weight / weight.sum(), "note": note}, index=table.index
        ),
    )
