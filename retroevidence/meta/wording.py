"""How results are worded: names of studies and ratios, decimals, plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence._show import number, p_text
from retroevidence.meta.interval import NAN, Interval

#: Measures on the log scale, with the ratio they turn into.
RATIOS = {
    "ROM": "ratio of means",
    "ROMC": "ratio of means",
    "VR": "ratio of SDs",
    "CVR": "ratio of CVs",
    "OR": "odds ratio",
    "PETO": "odds ratio",
    "D2OR": "odds ratio",
    "D2ORL": "odds ratio",
    "D2ORN": "odds ratio",
    "MPOR": "odds ratio",
    "MPORC": "odds ratio",
    "MPPETO": "odds ratio",
    "RR": "risk ratio",
    "MPRR": "risk ratio",
    "IRR": "rate ratio",
}
IN_PERCENT = ("ROM", "ROMC")


def study_names(frame: pd.DataFrame) -> list[str]:
    """Return what a reader calls each row: its label, else its study, else its index.

    Parameters
    ----------
    frame : pandas.DataFrame
        Effects, one per row.

    Returns
    -------
    list of str
        One name per row.

    Examples
    --------
    >>> study_names(pd.DataFrame({"study_id": ["hao2011", None]}, index=[4, 7]))
    ['hao2011', '7']
    """
    names = [str(i) for i in frame.index]
    for column in ("study_id", "label"):
        if column in frame.columns:
            given = frame[column]
            names = [
                str(value) if not missing and str(value) else name
                for value, missing, name in zip(given, given.isna(), names, strict=True)
            ]
    return names


def studies_in(frame: pd.DataFrame) -> int:
    """Return how many studies the rows are from; a row that names none is one of its own.

    Examples
    --------
    >>> studies_in(pd.DataFrame({"study_id": ["a", "a", None, None]}))
    3
    """
    if "study_id" not in frame.columns:
        return len(frame)
    named = frame["study_id"].dropna().astype(str)
    named = named[named != ""]
    return len(frame) - len(named) + named.nunique()


def listed(names: NDArray[np.object_], most: int = 8) -> str:
    """Name what a note speaks of, and only count what goes beyond `most`."""
    shown = ", ".join(map(str, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def decimals(size: float) -> int:
    """Decimals that show a number of this size with three significant digits."""
    if not math.isfinite(size) or size <= 0:
        return 3
    return min(10, max(1, 2 - math.floor(math.log10(size))))


def rounded_coefficients(coefficients: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """Write a table of coefficients for reading.

    Parameters
    ----------
    coefficients : pandas.DataFrame
        Columns term, estimate, se, p_value, ci_low and ci_high.
    digits : int
        Decimals at least.

    Returns
    -------
    pandas.DataFrame
        Texts: term, estimate, se, ci_low, ci_high, p.

    Examples
    --------
    >>> row = {"term": "dose", "estimate": 1.5, "se": 0.5, "p_value": 0.01}
    >>> rounded_coefficients(pd.DataFrame([row | {"ci_low": 0.5, "ci_high": 2.5}]))["p"].tolist()
    ['0.010']
    """
    shown = {"term": coefficients["term"]}
    for name in ("estimate", "se", "ci_low", "ci_high"):
        shown[name] = pd.Series(
            [
                number(float(value), max(digits, decimals(float(se))))
                for value, se in zip(coefficients[name], coefficients["se"], strict=True)
            ],
            index=coefficients.index,
        )
    shown["p"] = coefficients["p_value"].map(lambda p: p_text(p).removeprefix("p ").strip("= "))
    return pd.DataFrame(shown)


def exp_of(value: float) -> float:
    """Return exp of a number or limit: NaN stays, and what no number can hold is infinite.

    Examples
    --------
    >>> exp_of(0.0), exp_of(float("-inf")), exp_of(1e6), exp_of(float("nan"))
    (1.0, 0.0, inf, nan)
    """
    if math.isnan(value):
        return NAN
    return math.exp(value) if value < 709 else math.inf


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a result as JSON has them: an interval as its two limits.

    Parameters
    ----------
    values : mapping
        Numbers, texts, tuples and intervals by name.

    Returns
    -------
    dict
        ``name_low`` and ``name_high`` for an interval; None for what is not finite.

    Examples
    --------
    >>> flattened({"se": float("nan"), "ci": Interval(0.1, 0.5), "notes": ("one",)})
    {'se': None, 'ci_low': 0.1, 'ci_high': 0.5, 'notes': ['one']}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Interval):
            flat[f"{name}_low"], flat[f"{name}_high"] = map(or_none, value)
        elif isinstance(value, float):
            flat[name] = or_none(value)
        else:
            flat[name] = list(value) if isinstance(value, tuple) else value
    return flat


def or_none(value: float) -> float | None:
    """Return a number as JSON has it, which knows no NaN and no infinity."""
    return float(value) if math.isfinite(value) else None
