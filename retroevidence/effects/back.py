"""Back from the scale of the analysis to the scale of the outcome.

An effect is pooled on the scale on which it is normal: logs of ratios, logits, Fisher's z. Its
limits are turned back one by one; a standard error is not, since the scale of the outcome has none
that belongs to the interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtri

from retroevidence._show import Card, Carded, confidence, interval, number
from retroevidence.effects.formulas.checks import as_floats, at_least, column, level_of, shapes_fit
from retroevidence.effects.formulas.inverse import (
    correlation_from_z,
    harmonic_mean,
    percent_change,
    proportion_from_arcsine,
    proportion_from_freeman_tukey,
    proportion_from_logit,
    ratio,
)
from retroevidence.effects.measures import MEASURES, known
from retroevidence.errors import EffectError

NAN = math.nan

FREEMAN_TUKEY_WARNING = (
    "the pooled double arcsine is turned back with the harmonic mean of the sizes, and can lie "
    "outside the proportions of the studies: pool logits (PLO) instead (Schwarzer et al. 2019, "
    "doi 10.1002/jrsm.1348; Röver & Friede 2022, arXiv 2203.04773)"
)


class Limits(NamedTuple):
    """The two limits of an interval on the scale of the outcome.

    Examples
    --------
    >>> Limits(0.5, 0.8).high
    0.8
    """

    low: float
    high: float


class Natural(NamedTuple):
    """What a measure becomes: its name in words and the function that gets there.

    Examples
    --------
    >>> NATURAL["OR"].name
    'odds ratio'
    """

    name: str
    back: Callable[[Any], Any]


def _same(yi: Any) -> Any:
    return np.asarray(yi, dtype=float)


#: What each measure is called on the scale of the outcome, and how it gets there. PFT needs n.
NATURAL: dict[str, Natural] = {
    "ROM": Natural("ratio of means", ratio),
    "ROMC": Natural("ratio of means", ratio),
    "VR": Natural("ratio of SDs", ratio),
    "CVR": Natural("ratio of CVs", ratio),
    "OR": Natural("odds ratio", ratio),
    "PETO": Natural("odds ratio", ratio),
    "D2OR": Natural("odds ratio", ratio),
    "D2ORL": Natural("odds ratio", ratio),
    "D2ORN": Natural("odds ratio", ratio),
    "RR": Natural("risk ratio", ratio),
    "MPRR": Natural("risk ratio", ratio),
    "MPOR": Natural("odds ratio", ratio),
    "MPORC": Natural("conditional odds ratio", ratio),
    "MPPETO": Natural("conditional odds ratio", ratio),
    "IRR": Natural("rate ratio", ratio),
    "MNLN": Natural("mean", ratio),
    "PLN": Natural("proportion", ratio),
    "PLO": Natural("proportion", proportion_from_logit),
    "PAS": Natural("proportion", proportion_from_arcsine),
    "ZCOR": Natural("correlation", correlation_from_z),
    "ARAW": Natural("Cronbach's alpha", _same),
}

#: Measures whose scale has no way back, because it needs the level of the comparator.
_NO_WAY = {
    "AS": "the risk of the comparator: pool the risk difference (RD) instead",
    "IRSD": "the rate of the comparator: pool the rate difference (IRD) instead",
}


@dataclass(frozen=True, repr=False)
class BackTransformed(Carded):
    """A pooled result on the scale of the outcome.

    Attributes
    ----------
    measure, name : str
        The measure that was pooled, and what it is called here.
    estimate : float
        Turned back from the pooled estimate.
    ci, prediction : Limits
        Turned back limit by limit; NaN where the result has none.
    level : float
        Confidence of both intervals.
    notes : tuple of str
        What to mind.

    Examples
    --------
    >>> from types import SimpleNamespace as Result
    >>> pooled = Result(estimate=-0.7145, ci=(-1.0669, -0.3622), prediction=(-1.8667, 0.4376),
    ...                 level=0.95, measure="RR")
    >>> back_transform(pooled)
    Pooled RR on the scale of the outcome
      risk ratio   0.489  95% CI [0.344, 0.696]
      a new study  95% PI [0.155, 1.549]
    """

    measure: str
    name: str
    estimate: float
    ci: Limits
    prediction: Limits
    level: float
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> pd.DataFrame:
        """The numbers in one row."""
        return pd.DataFrame([self.to_dict()])

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain Python values."""
        return {
            "measure": self.measure,
            "name": self.name,
            "estimate": self.estimate,
            "ci_low": self.ci.low,
            "ci_high": self.ci.high,
            "prediction_low": self.prediction.low,
            "prediction_high": self.prediction.high,
            "level": self.level,
        }

    def _card(self) -> Card:
        level = confidence(self.level)
        pairs = [(self.name, f"{number(self.estimate)}  {level} CI {interval(*self.ci)}")]
        if not math.isnan(self.prediction.low):
            pairs.append(("a new study", f"{level} PI {interval(*self.prediction)}"))
        title = f"Pooled {self.measure} on the scale of the outcome"
        return Card(title, pairs, notes=self.notes)


@shapes_fit
def back_transform(
    what: Any,
    *,
    measure: str | None = None,
    percent: bool = False,
    n: Any = None,
    level: float = 0.95,
) -> Any:
    """Turn a pooled result, a table of effects or plain values back to the scale of the outcome.

    Parameters
    ----------
    what : pooled result, DataFrame or array_like
        Anything with `estimate`, `ci` and, if it has one, `prediction`; a table with columns
        `estimate`, `ci_low`, `ci_high` (and `prediction_low`, `prediction_high`), or with `yi` and
        `vi`; or values.
    measure : str, optional
        The measure that was pooled. By default the result or the column `measure` says it; it has
        to be given for plain values.
    percent : bool
        Ratios as the change in percent of the comparator.
    n : array_like, optional
        For PFT only: the sizes of the studies. For a pooled result their harmonic mean is used;
        for values and tables each row needs its own.
    level : float
        Confidence of the intervals made from `yi` and `vi`, with the normal distribution.

    Returns
    -------
    BackTransformed, DataFrame, Series or numpy.ndarray
        A Series keeps its index. For a table its index with `estimate`, `ci_low`, `ci_high` and,
        if they were there, `prediction_low` and `prediction_high`. Measures in units of the
        outcome, or in SDs, stay as they are.

    Raises
    ------
    UnknownNameError
        If the measure is unknown.
    EffectError
        If the measure is missing or has no way back, PFT comes without `n`, percent is asked of
        what is no ratio, or a table lacks the columns.

    Notes
    -----
    The middle of a symmetric interval on the scale of the analysis turns into a median, not a
    mean: the ratio of a pooled log ratio is a geometric mean. A pooled Freeman-Tukey result
    carries a warning in its notes; its reason stands at
    :func:`retroevidence.effects.formulas.inverse.proportion_from_freeman_tukey`.

    Examples
    --------
    >>> back_transform([-0.7145, 0.2], measure="RR").round(3).tolist()
    [0.489, 1.221]
    >>> table = pd.DataFrame({"yi": [0.2469], "vi": [0.01]}, index=["Ada"])
    >>> back_transform(table, measure="ROM", percent=True).round(1)
         estimate  ci_low  ci_high
    Ada      28.0     5.2     55.7
    """
    level_of(level)
    if isinstance(what, pd.DataFrame):
        return _table(what, measure, percent, n, level)
    if hasattr(what, "estimate") and hasattr(what, "ci"):
        return _pooled(what, measure, percent, n)
    natural = _natural(_only(measure, what), percent, n)
    values = natural.back(as_floats("what", what))
    return pd.Series(values, what.index) if isinstance(what, pd.Series) else values


def _natural(measure: str, percent: bool, n: Any) -> Natural:
    """Return the name and the function for one measure."""
    known(measure)
    if measure in _NO_WAY:
        raise EffectError(f"{measure} has no scale of the outcome without {_NO_WAY[measure]}.")
    if measure == "PFT":
        if n is None:
            raise EffectError("PFT needs n, the sizes of the studies, to be turned back.")
        natural = Natural("proportion", lambda yi: proportion_from_freeman_tukey(yi, n))
    else:
        natural = NATURAL.get(measure, Natural(MEASURES[measure].name, _same))
    if not percent:
        return natural
    if MEASURES[measure].scale != "log ratio":
        raise EffectError(f"{measure} is no ratio, so it has no change in percent; leave percent.")
    return Natural(f"{natural.name}, change in percent", percent_change)


def _only(measure: str | None, what: Any) -> str:
    if measure:
        return measure
    raise EffectError(
        f"which measure {type(what).__name__} holds is not known; give measure, as in measure='OR'."
    )


def _pooled(result: Any, measure: str | None, percent: bool, n: Any) -> BackTransformed:
    measure = _only(measure or getattr(result, "measure", None), result)
    notes: tuple[str, ...] = ()
    if measure == "PFT" and n is not None:
        n, notes = harmonic_mean(n), (FREEMAN_TUKEY_WARNING,)
    name, back = _natural(measure, percent, n)

    def both(limits: Any) -> Limits:
        low, high = (float(back(value)) for value in limits)
        return Limits(low, high)

    prediction = getattr(result, "prediction", None)
    return BackTransformed(
        measure=measure,
        name=name,
        estimate=float(back(result.estimate)),
        ci=both(result.ci),
        prediction=Limits(NAN, NAN) if prediction is None else both(prediction),
        level=float(getattr(result, "level", 0.95)),
        notes=notes,
    )


def _table(
    table: pd.DataFrame, measure: str | None, percent: bool, n: Any, level: float
) -> pd.DataFrame:
    """Turn the rows back, each by its own measure where the table names it."""
    if {"estimate", "ci_low", "ci_high"} <= {*table.columns}:
        parts = {c: column(table, c) for c in ("estimate", "ci_low", "ci_high")}
        for end in ("low", "high"):
            # `Pooled.predict` calls the limits for a new study pi_low and pi_high.
            for name in (f"prediction_{end}", f"pi_{end}"):
                if name in table.columns:
                    parts[f"prediction_{end}"] = column(table, name)
    elif {"yi", "vi"} <= {*table.columns}:
        yi, vi = column(table, "yi"), at_least("vi", column(table, "vi"), 0)
        reach = -float(ndtri((1 - level) / 2)) * np.sqrt(vi)
        parts = {"estimate": yi, "ci_low": yi - reach, "ci_high": yi + reach}
    else:
        raise EffectError("the table needs columns estimate, ci_low and ci_high, or yi and vi.")
    if measure is None and "measure" in table.columns:
        measures = table["measure"].to_numpy(object)
    else:
        measures = np.full(len(table), _only(measure, table), dtype=object)
    sizes = None if n is None else np.broadcast_to(as_floats("n", n), (len(table),))
    columns = {name: np.full(len(table), np.nan) for name in parts}
    for code in dict.fromkeys(measures):
        rows = measures == code
        natural = _natural(code, percent, None if sizes is None else sizes[rows])
        for name, values in parts.items():
            columns[name][rows] = natural.back(values[rows])
    return pd.DataFrame(columns, index=table.index)
