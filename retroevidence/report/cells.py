"""What stands in the cells of a table: numbers, estimates and p-values as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from retroevidence._show import interval, number, p_text, percent
from retroevidence.report.scales import scale_of

#: Rungs whose estimate is a share of people or programmes, whatever the claim measures.
SHARES = {"exact", "distribution", "directions"}


def words(value: object) -> str:
    """Return a value as text; what is missing is empty.

    Examples
    --------
    >>> words(None), words(float("nan")), words(2.0), words("x")
    ('', '', '2', 'x')
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}"
    return str(value)


def number_in(value: object) -> float:
    """Return the number that a cell holds; NaN where it is empty.

    Examples
    --------
    >>> number_in(None), number_in("1.5"), number_in(2)
    (nan, 1.5, 2.0)
    """
    text = words(value)
    if not text:
        return math.nan
    return float(value) if isinstance(value, int | float) else float(text)


def p_or_empty(value: object) -> str:
    """Write a p-value; empty where there is none.

    Examples
    --------
    >>> p_or_empty(0.0123), p_or_empty(None)
    ('p = 0.012', '')
    """
    p = number_in(value)
    return "" if math.isnan(p) else p_text(p)


def weight_text(value: object) -> str:
    """Write a weight in percent.

    Examples
    --------
    >>> weight_text(12.345), weight_text(float("nan"))
    ('12.3%', '')
    """
    share = number_in(value)
    return f"{share:.1f}%" if math.isfinite(share) else ""


def estimate_text(measure: object, estimate: object, low: object, high: object) -> str:
    """Write an estimate with its interval on the scale people read.

    Examples
    --------
    >>> estimate_text("ROMC", 0.27, 0.1, 0.4), estimate_text("SMD", -0.5, -1.0, 0.0)
    ('+31% [+11%, +49%]', '−0.50 [−1.00, 0.00]')
    >>> estimate_text("proportion", 0.0, 0.0, 0.103), estimate_text("SMD", float("nan"), 0, 0)
    ('0.0% [0.0%, 10.3%]', '')
    """
    values = [number_in(value) for value in (estimate, low, high)]
    if math.isnan(values[0]):
        return ""
    if measure in ("proportion", "share"):
        shares = [percent(value, 1) for value in values]
        return f"{shares[0]} [{shares[1]}, {shares[2]}]"
    scale = scale_of(str(measure))
    return f"{scale.text(values[0])} {scale.interval_text(values[1], values[2])}".strip()


def rung_estimate(row: Mapping[Any, Any], measure: object) -> str:
    """Write the estimate of a rung: a share where things are counted, else on the claim's scale.

    Examples
    --------
    >>> rung_estimate({"rung": "directions", "estimate": 0.5, "ci_low": 0.1, "ci_high": 0.9}, "MD")
    '50.0% [10.0%, 90.0%]'
    """
    kind = "share" if row["rung"] in SHARES else measure
    return estimate_text(kind, row["estimate"], row["ci_low"], row["ci_high"])


def effect_texts(frame: pd.DataFrame) -> list[str]:
    """Write the effect of each row: with an interval, as bounds, or not at all."""
    texts = []
    for row in frame.to_dict("records"):
        yi, vi, low, high = (number_in(row[name]) for name in ("yi", "vi", "lower", "upper"))
        scale = scale_of(str(row["measure"]))
        if math.isfinite(yi) and math.isfinite(vi):
            half = 1.959963984540054 * math.sqrt(vi)
            texts.append(estimate_text(row["measure"], yi, yi - half, yi + half))
        elif math.isfinite(yi):
            texts.append(scale.text(yi))
        elif math.isfinite(low) or math.isfinite(high):
            low = -math.inf if math.isnan(low) else low
            high = math.inf if math.isnan(high) else high
            texts.append(scale.bound_text(low, high))
        else:
            texts.append("")
    return texts


def review_texts(frame: pd.DataFrame) -> list[str]:
    """Write what each review printed: estimate, measure and interval as they stand there."""
    texts = []
    for row in frame.to_dict("records"):
        estimate = number_in(row["estimate"])
        if math.isnan(estimate):
            texts.append("")
            continue
        limits = interval(number_in(row["ci_low"]), number_in(row["ci_high"]), 2)
        shown = limits if limits.startswith("[") else ""
        texts.append(f"{words(row['measure'])} {number(estimate, 2)} {shown}".strip())
    return texts
