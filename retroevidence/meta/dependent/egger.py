"""Tests for small-study effects when several effects come from one study.

Egger's regression takes effects as independent; with several per study its error rate rises far
above the stated one. Here the regression is a three-level model with CR2 standard errors (Rodgers &
Pustejovsky 2021, doi 10.1037/met0000300).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence._show import Card, Carded, confidence, interval, number, p_text
from retroevidence.errors import PoolError, check_name
from retroevidence.meta.dependent.clustered import Clustered, read_clustered
from retroevidence.meta.dependent.columns import frame_with, numbers
from retroevidence.meta.dependent.multilevel import pool_multilevel
from retroevidence.meta.dependent.multilevel_result import PooledMultilevel
from retroevidence.meta.interval import Interval
from retroevidence.meta.wording import decimals, or_none

PREDICTORS = {
    "se": "standard error (Egger, PET)",
    "vi": "sampling variance (PEESE)",
    "size": "size of the groups, sqrt(1/n1 + 1/n2)",
}


@dataclass(frozen=True, eq=False, repr=False)
class DependentEgger(Carded):
    """Egger's regression with dependent effects, made by :func:`dependent_egger`.

    Attributes
    ----------
    estimate, se, df, p_value, ci : float and Interval
        Slope of the effects on the predictor, with CR2 standard error and Satterthwaite degrees of
        freedom: above 0 when small studies show larger effects.
    corrected, corrected_se, corrected_p_value, corrected_ci : float and Interval
        The line at predictor 0, an infinitely large study.
    predictor : str
        What the effects were regressed on.
    fit : PooledMultilevel
        The model.
    notes : tuple of str
        What a reader must know before quoting the numbers.

    Examples
    --------
    >>> from retroevidence.meta.dependent.egger import dependent_egger
    >>> dependent_egger.__name__
    'dependent_egger'
    """

    estimate: float
    se: float
    df: float
    p_value: float
    ci: Interval
    corrected: float
    corrected_se: float
    corrected_p_value: float
    corrected_ci: Interval
    predictor: str
    notes: tuple[str, ...]
    fit: PooledMultilevel = field(repr=False)

    @property
    def summary(self) -> pd.DataFrame:
        """One row with every number."""
        return pd.DataFrame([self.to_dict() | {"notes": " ".join(self.notes)}])

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values, None where undefined."""
        names = ("estimate", "se", "df", "p_value")
        flat: dict[str, Any] = {"predictor": self.predictor}
        flat |= {name: or_none(getattr(self, name)) for name in names}
        flat["ci_low"], flat["ci_high"] = map(or_none, self.ci)
        for name in ("corrected", "corrected_se", "corrected_p_value"):
            flat[name] = or_none(getattr(self, name))
        flat["corrected_ci_low"], flat["corrected_ci_high"] = map(or_none, self.corrected_ci)
        return flat | {"notes": list(self.notes)}

    def _card(self) -> Card:
        level = confidence(self.fit.level)
        slope, line = decimals(self.se), decimals(self.corrected_se)
        pairs = [
            (
                "slope",
                f"{number(self.estimate, slope)}  {level} CI {interval(*self.ci, slope)}, "
                f"{p_text(self.p_value)}, {number(self.df, 1)} df",
            ),
            (
                "at predictor 0",
                f"{number(self.corrected, line)}  {level} CI {interval(*self.corrected_ci, line)}, "
                f"{p_text(self.corrected_p_value)}",
            ),
        ]
        title = (
            f"Small-study effects, k = {self.fit.k} effects in {self.fit.clusters} clusters, "
            f"on the {PREDICTORS[self.predictor]}"
        )
        return Card(title, pairs, notes=self.notes)


def dependent_egger(
    effects: pd.DataFrame | Mapping[str, Any],
    *,
    cluster: str,
    rho: float | None = None,
    V: Any = None,
    predictor: str = "se",
    yi: str = "yi",
    vi: str = "vi",
    level: float = 0.95,
) -> DependentEgger:
    """Test whether small studies show other effects, with several effects per study.

    Parameters
    ----------
    effects : pandas.DataFrame
        One row per effect; with ``predictor="size"`` also n1 and n2, the people of both groups.
    cluster : str
        Column of the study.
    rho, V : float or covariance, optional
        Sampling errors within a study, as in
        :func:`retroevidence.meta.dependent.multilevel.pool_multilevel`.
    predictor : str
        "se" (Egger et al. 1997, doi 10.1136/bmj.315.7109.629; its intercept is PET), "vi" (PEESE;
        Stanley & Doucouliagos 2014, doi 10.1002/jrsm.1095) or "size", ``sqrt(1/n1 + 1/n2)``: the
        standard error of a standardised mean difference contains the effect itself, which makes
        the test on "se" reject too often (Pustejovsky & Rodgers 2019, doi 10.1002/jrsm.1332).
    yi, vi : str
        Columns of effects and sampling variances; with `V` its diagonal takes the place of `vi`.
    level : float
        Confidence of the intervals.

    Returns
    -------
    DependentEgger
        The slope and its test, and the line at predictor 0.

    Raises
    ------
    PoolError
        If columns are missing, the predictor is the same in all rows, or there are fewer than three
        clusters.
    UnknownNameError
        If `predictor` is unknown.

    Examples
    --------
    >>> frame = pd.DataFrame({
    ...     "study_id": [*"aabbccddee"],
    ...     "yi": [0.1, 0.2, 0.3, 0.2, 0.5, 0.6, 0.4, 0.5, 0.9, 0.7],
    ...     "vi": [0.01, 0.01, 0.02, 0.03, 0.05, 0.06, 0.05, 0.04, 0.1, 0.12],
    ... })
    >>> found = dependent_egger(frame, cluster="study_id", rho=0.6)
    >>> round(found.estimate, 2), round(found.corrected, 2)
    (2.45, -0.08)
    """
    check_name("predictor", predictor, PREDICTORS)
    data = read_clustered(effects, cluster=cluster, yi=yi, vi=vi, V=V)
    frame = frame_with(effects, *(("n1", "n2") if predictor == "size" else ()))
    column = np.full(len(frame), np.nan)
    column[data.kept] = _predictor(data, predictor)
    known = column[np.isfinite(column)]
    if not len(known) or np.ptp(known) <= 1e-12 * np.abs(known).max():
        raise PoolError(
            f"the {PREDICTORS[predictor]} is the same in all rows, so nothing can be regressed on "
            "it."
        )
    if len(data.labels) < 3:
        raise PoolError(
            f"{len(data.labels)} clusters cannot show whether small studies differ; it takes three."
        )
    fit = pool_multilevel(
        frame,
        cluster=cluster,
        yi=yi,
        vi=vi,
        rho=rho,
        V=V,
        level=level,
        mods=pd.DataFrame({predictor: column}, index=frame.index),
    )
    line, slope = fit.robust.coefficients.to_dict("records")
    return DependentEgger(
        estimate=slope["estimate"],
        se=slope["se"],
        df=slope["df"],
        p_value=slope["p_value"],
        ci=Interval(slope["ci_low"], slope["ci_high"]),
        corrected=line["estimate"],
        corrected_se=line["se"],
        corrected_p_value=line["p_value"],
        corrected_ci=Interval(line["ci_low"], line["ci_high"]),
        predictor=predictor,
        notes=tuple(dict.fromkeys((*fit.notes, *fit.robust.notes))),
        fit=fit,
    )


def _predictor(data: Clustered, predictor: str) -> NDArray[np.float64]:
    """Return what the effects that enter are regressed on."""
    if predictor != "size":
        return data.v if predictor == "vi" else np.sqrt(data.v)
    n1, n2 = numbers(data.frame, "n1"), numbers(data.frame, "n2")
    if (n1 <= 0).any() or (n2 <= 0).any():
        raise PoolError("n1 and n2 must be above 0; correct them or leave the rows out.")
    return np.sqrt(1 / n1 + 1 / n2)
