"""Pool counts of events directly: Mantel-Haenszel and Peto."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc

from retroevidence._show import Card, Carded, confidence, interval, number, p_text, percent
from retroevidence.errors import PoolError, check_name
from retroevidence.meta.counts.mantel_haenszel import association_test, mantel_haenszel, tarone
from retroevidence.meta.counts.peto import peto
from retroevidence.meta.counts.tables import (
    RATES,
    TABLES,
    Counts,
    informative,
    own_effects,
    read_counts,
)
from retroevidence.meta.interval import NAN, Interval, check_level, critical_value, two_sided
from retroevidence.meta.wording import RATIOS, decimals, exp_of, flattened, listed, study_names

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

METHODS = {"MH": "Mantel-Haenszel", "Peto": "Peto"}
MEASURES = ("OR", "RR", "RD", "IRR", "IRD")


@dataclass(frozen=True, eq=False, repr=False)
class PooledCounts(Carded):
    """One ratio or difference from many tables of counts, made by :func:`pool_counts`.

    Ratios are on the log scale; group 1 minus group 2.

    Attributes
    ----------
    estimate, se, statistic, p_value, ci : float and Interval
        The common effect with its z test and z interval.
    q, q_df, q_p_value, i2, h2 : float
        Cochran's Q around the estimate, and the shares that follow from it.
    cmh, cmh_p_value : float
        Cochran-Mantel-Haenszel test of no effect in any study, without continuity correction.
    breslow_day, tarone, tarone_p_value : float
        Tests of one odds ratio in all studies, k - 1 degrees of freedom; NaN for other measures.
    k, measure, method, level : int, str and float
        Number of studies that say something on the effect, and what was asked.
    studies : pandas.DataFrame
        The rows that enter, as given, with `yi` and `vi` (each study's own result, as in Q; NaN
        where it has none) and `weight` in percent.
    notes : tuple of str
        What a reader must know before quoting the numbers.

    Examples
    --------
    >>> pooled = pool_counts(a=[4, 6], n1=[123, 306], c=[11, 29], n2=[139, 303])
    >>> pooled.k, round(pooled.studies["weight"].sum())
    (2, 100)
    """

    measure: str
    method: str
    level: float
    k: int
    estimate: float
    se: float
    statistic: float
    p_value: float
    ci: Interval
    q: float
    q_df: int
    q_p_value: float
    i2: float
    h2: float
    cmh: float
    cmh_p_value: float
    breslow_day: float
    tarone: float
    tarone_p_value: float
    notes: tuple[str, ...]
    studies: pd.DataFrame

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
        return replace(self._card(), table=self._study_table()).html()

    def _card(self) -> Card:
        digits, level = decimals(self.se), confidence(self.level)
        ratio = RATIOS.get(self.measure)
        pairs = [
            (
                f"log {ratio}" if ratio else "estimate",
                f"{number(self.estimate, digits)}  {level} CI {interval(*self.ci, digits)}, "
                f"{p_text(self.p_value)}",
            )
        ]
        if ratio:
            low, high = (exp_of(limit) for limit in self.ci)
            pairs.append(
                (ratio, f"{number(exp_of(self.estimate))}  {level} CI {interval(low, high)}")
            )
        pairs.append(("no effect", f"CMH chi²(1) = {number(self.cmh)}, {p_text(self.cmh_p_value)}"))
        if self.q_df > 0:
            pairs.append(
                (
                    "Q",
                    f"Q({self.q_df}) = {number(self.q, 2)}, {p_text(self.q_p_value)}; "
                    f"I² = {percent(self.i2 / 100)}",
                )
            )
        if not math.isnan(self.tarone):
            pairs.append(
                (
                    "one odds ratio",
                    f"Tarone chi²({self.k - 1}) = {number(self.tarone, 2)}, "
                    f"{p_text(self.tarone_p_value)}",
                )
            )
        what = f"k = {self.k} {'study' if self.k == 1 else 'studies'}"
        return Card(
            f"Pooled {self.measure}, {what} ({METHODS[self.method]})", pairs, None, self.notes
        )

    def _study_table(self) -> pd.DataFrame:
        digits = decimals(self.se)
        columns = RATES if "x1" in self.studies.columns else TABLES
        return pd.DataFrame(
            {
                "study": study_names(self.studies),
                "group 1": _pairs(self.studies, columns[:2]),
                "group 2": _pairs(self.studies, columns[2:]),
                "effect": [number(float(y), digits) for y in self.studies["yi"]],
                "weight": [f"{w:.1f}%" for w in self.studies["weight"]],
            }
        )


def pool_counts(
    table: Any = None,
    *,
    measure: str = "OR",
    method: str = "MH",
    a: Any = None,
    n1: Any = None,
    c: Any = None,
    n2: Any = None,
    x1: Any = None,
    t1: Any = None,
    x2: Any = None,
    t2: Any = None,
    level: float = 0.95,
) -> PooledCounts:
    """Pool tables of counts by Mantel-Haenszel or Peto, without correcting zeros.

    Parameters
    ----------
    table : pandas.DataFrame, optional
        One row per study with the columns below; `study_id` and `label` are used for names.
    measure : str
        OR, RR or RD from people (`a`, `n1`, `c`, `n2`), IRR or IRD from time (`x1`, `t1`, `x2`,
        `t2`).
    method : str
        "MH", or "Peto" for odds ratios.
    a, n1, c, n2 : array_like, shape (k,), or str
        Events and people in group 1, events and people in group 2; or names of columns.
    x1, t1, x2, t2 : array_like, shape (k,), or str
        Events and time in group 1, events and time in group 2, all times in one unit.
    level : float
        Confidence of the interval.

    Returns
    -------
    PooledCounts
        The common effect, log for ratios, group 1 minus group 2, with its tests. It shows itself.

    Raises
    ------
    PoolError
        If a column is missing, counts are impossible, or no study says anything on the effect.
    UnknownNameError
        If `measure` or `method` is unknown.

    Notes
    -----
    Formulas and papers: `mantel_haenszel` and `peto`. Studies without an event in either group
    (for OR also: with nothing but events) say nothing on a ratio and are left out; they do enter
    a difference. Only where a sum over all studies is 0, so that there would be no answer, one
    half is added to every cell of the studies with a zero cell, and a note says so (Cochrane
    Handbook, chapter 10). Q compares each study's own result with the estimate, weighted by
    inverse variances (Peto: by V) without tau²; studies with a zero cell get one half per cell
    there, and only there. (Woolf's test is Q around the inverse-variance mean: ``pool`` with
    ``method="CE"``.)

    Examples
    --------
    >>> pool_counts(a=[4, 6, 3], n1=[123, 306, 231], c=[11, 29, 11], n2=[139, 303, 220])
    Pooled OR, k = 3 studies (Mantel-Haenszel)
      log odds ratio  -1.414  95% CI [-2.032, -0.795], p < 0.001
      odds ratio      0.243  95% CI [0.131, 0.452]
      no effect       CMH chi²(1) = 23.261, p < 0.001
      Q               Q(2) = 0.94, p = 0.625; I² = 0%
      one odds ratio  Tarone chi²(2) = 0.95, p = 0.621
      - Common effect: every study is taken to have the same effect; differences between ...
    """
    _check(measure, method, level)
    rates = measure in ("IRR", "IRD")
    given = {"a": a, "n1": n1, "c": c, "n2": n2, "x1": x1, "t1": t1, "x2": x2, "t2": t2}
    counts, notes = read_counts(table, RATES if rates else TABLES, given)
    counts, said = informative(counts, measure)
    notes += said
    if method == "Peto":
        sums = peto(counts.x1, counts.n1, counts.x2, counts.n2)
        estimate, variance, weights, q = sums
        excess = counts.x1 - counts.n1 * (counts.x1 + counts.x2) / (counts.n1 + counts.n2)
        yi, vi = excess / weights, 1 / weights
    else:
        estimate, variance, weights, said = _mantel_haenszel(counts, measure)
        notes += said
        yi, vi = own_effects(counts, measure)
        q = float(np.nansum((yi - estimate) ** 2 / vi))
    q_df = int(np.isfinite(yi).sum()) - 1
    q = q if q_df > 0 else NAN
    se = math.sqrt(variance)
    reach = critical_value(level, math.inf) * se
    cmh, cmh_p = association_test(counts.x1, counts.n1, counts.x2, counts.n2, rates=rates)
    k = len(counts.x1)
    homogeneity = _homogeneity(counts, measure, method, estimate)
    return PooledCounts(
        measure=measure,
        method=method,
        level=level,
        k=k,
        estimate=estimate,
        se=se,
        statistic=estimate / se,
        p_value=two_sided(estimate / se, math.inf),
        ci=Interval(estimate - reach, estimate + reach),
        q=q,
        q_df=max(0, q_df),
        q_p_value=float(chdtrc(q_df, q)) if q_df > 0 else NAN,
        i2=max(0.0, 100 * (q - q_df) / q) if q_df > 0 and q > 0 else (0.0 if q == 0 else NAN),
        h2=q / q_df if q_df > 0 else NAN,
        cmh=cmh,
        cmh_p_value=cmh_p,
        breslow_day=homogeneity[0],
        tarone=homogeneity[1],
        tarone_p_value=float(chdtrc(k - 1, homogeneity[1])) if k > 1 else NAN,
        notes=(*notes, *_remarks(method, k, counts)),
        studies=counts.frame.assign(yi=yi, vi=vi, weight=100 * weights / weights.sum()),
    )


def _check(measure: str, method: str, level: float) -> None:
    check_name("measure of counts", measure, MEASURES)
    check_name("method for counts", method, METHODS)
    if method == "Peto" and measure != "OR":
        raise PoolError(f'Peto\'s method gives odds ratios, not {measure}; use method="MH".')
    check_level(level)


def _mantel_haenszel(counts: Counts, measure: str) -> tuple[float, float, Floats, list[str]]:
    sums = mantel_haenszel(measure, counts.x1, counts.n1, counts.x2, counts.n2)
    if math.isfinite(sums.estimate) and sums.variance > 0:
        return *sums, []
    zero = (counts.x1 == 0) | (counts.x2 == 0)
    if measure not in ("IRR", "IRD"):
        zero |= (counts.x1 == counts.n1) | (counts.x2 == counts.n2)
    half = np.where(zero, 0.5, 0.0)
    people = 0 * half if measure in ("IRR", "IRD") else 2 * half
    x1, x2 = counts.x1 + half, counts.x2 + half
    sums = mantel_haenszel(measure, x1, counts.n1 + people, x2, counts.n2 + people)
    note = (
        "A cell is 0 in every study, so the counts alone give no answer: one half is added to "
        f"every cell of {listed(counts.names[zero])}. The estimate leans on that half."
    )
    return *sums, [note]


def _homogeneity(counts: Counts, measure: str, method: str, estimate: float) -> tuple[float, float]:
    """Test one odds ratio in all studies, at the Mantel-Haenszel estimate."""
    if measure != "OR" or method != "MH" or len(counts.x1) < 2:
        return NAN, NAN
    plain = mantel_haenszel("OR", counts.x1, counts.n1, counts.x2, counts.n2)
    if not math.isfinite(plain.estimate):
        return NAN, NAN
    return tarone(math.exp(estimate), counts.x1, counts.n1, counts.x2, counts.n2)


def _remarks(method: str, k: int, counts: Counts) -> list[str]:
    notes = []
    if k == 1:
        notes.append("One study: its own result; nothing can be said on other studies.")
    else:
        notes.append(
            "Common effect: every study is taken to have the same effect; differences between "
            "studies do not widen the interval. Q is taken around this estimate with "
            + ("weights V." if method == "Peto" else "inverse-variance weights, without tau².")
        )
    ids = counts.frame.get("study_id")
    if ids is not None and ids.duplicated().any():
        notes.append(
            "Some studies give several tables, taken here as independent: "
            "the interval is too narrow if they share people."
        )
    return notes


def _pairs(frame: pd.DataFrame, columns: tuple[str, ...]) -> list[str]:
    events, people = (frame[name].astype(float) for name in columns)
    return [f"{x:g}/{n:g}" for x, n in zip(events, people, strict=True)]
