"""Numbers that rows print, or that follow from what they print: moments, estimates, and t."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from retroevidence.effects import recover
from retroevidence.effects.ladder.report import Report, Row, first_number, known
from retroevidence.effects.ladder.statement import NAN, Statement

PRINTED = "means, SDs and n of both arms"


@dataclass(frozen=True)
class Moments:
    """Mean, SD and n of one arm, and from what they were had."""

    mean: float
    sd: float
    n: float
    said: str


def moments(arm: Row) -> Moments | None:
    """Return the mean and SD that an arm prints or implies, if any.

    Examples
    --------
    >>> found = moments({"n": 16, "mean": 3.4, "se": 0.5})
    >>> found.sd, found.said
    (2.0, 'means and n, SD = SE √n [cochranehandbook06]')
    """

    def value(column: str) -> float:
        return float(arm[column]) if known(arm.get(column)) else NAN

    n, mean, sd, se = value("n"), value("mean"), value("sd"), value("se")
    low, high = value("ci_low"), value("ci_high")
    if math.isnan(n):
        return None
    if not math.isnan(mean + sd):
        return Moments(mean, sd, n, PRINTED)
    if not math.isnan(mean + se):
        said = "means and n, SD = SE √n [cochranehandbook06]"
        return Moments(mean, float(recover.sd_from_se(se, n)), n, said)
    if not math.isnan(mean + low + high):
        said = "means and n, SD from the 95% interval of the mean [cochranehandbook06]"
        return Moments(mean, float(recover.sd_from_ci(low, high, n)), n, said)
    median, q1, q3 = value("median"), value("iqr_low"), value("iqr_high")
    least, most = value("min"), value("max")
    quartiles = {} if math.isnan(q1 + q3) else {"q1": q1, "q3": q3}
    ends = {} if math.isnan(least + most) else {"low": least, "high": most}
    if math.isnan(median) or not (quartiles or ends):
        return None
    mean, sd = (float(v) for v in recover.mean_sd_from_quantiles(n, median, **quartiles, **ends))
    words = " and ".join(["quartiles"] * bool(quartiles) + ["ranges"] * bool(ends))
    key = "shi2020" if quartiles and ends else "wan2014"
    said = f"medians with {words} and n, read as normal: means [luo2018], SDs [{key}]"
    return Moments(mean, sd, n, said)


def estimate(rows: Sequence[Row], measure: str, df: float) -> Statement:
    """Return an estimate that contrast rows print with its standard error or interval.

    Parameters
    ----------
    rows : sequence of rows
        Rows whose estimate is of the measure.
    measure : str
        For which of t and z made the interval.
    df : float
        Degrees of freedom of that t.

    Examples
    --------
    >>> estimate([{"estimate": 1.5, "se": 0.5}], "MD", 20.0).vi
    0.25
    """
    middle, se = first_number(rows, "estimate"), first_number(rows, "se")
    low, high = first_number(rows, "ci_low"), first_number(rows, "ci_high")
    if not math.isnan(middle + se):
        how = "estimate and its standard error [cochranehandbook06]"
        return Statement(middle, se**2, basis="reported", how=how)
    if math.isnan(low + high):
        return Statement()
    # Intervals of mean differences of small trials are made with t; those of an SMD with z.
    by_t = measure == "MD" and df > 0
    se = float(recover.se_from_ci(low, high, df=df if by_t else None))
    quantile = f", t on {df:g} degrees of freedom" if by_t else ""
    if math.isnan(middle):
        how = f"middle and width of the 95% interval{quantile} [cochranehandbook06]"
        return Statement((low + high) / 2, se**2, basis="derived", how=how)
    how = f"estimate and its 95% interval{quantile} [cochranehandbook06]"
    return Statement(middle, se**2, basis="reported", how=how)


def t_statistic(report: Report, df: float) -> tuple[float, str]:
    """Return |t| and how it was had: printed, from F(1, df), or from an exact two-sided p.

    Examples
    --------
    >>> t_statistic(Report(None, [{"t_value": -2.1}], None, math.nan, "", 15.0, 15.0), 28.0)
    (2.1, 'reported t')
    """
    t, f = first_number(report.contrasts, "t_value"), first_number(report.contrasts, "f_value")
    if not math.isnan(t):
        return abs(t), "reported t"
    if not math.isnan(f) and f > 0:
        return math.sqrt(f), "reported F read as F(1, df), t = sqrt(F) [cochranehandbook06]"
    if report.p_op == "=" and 0 < report.p_value < 1:
        return float(recover.t_from_p(report.p_value, df)), (
            f"p = {report.p_value:g} read as the two-sided p of a t test on {df:g} degrees of "
            "freedom [cochranehandbook06]"
        )
    return NAN, ""
