"""The ladder for two conditions in the same people: ratios of means, differences in SDs."""

from __future__ import annotations

import math

import numpy as np

from retroevidence.effects import recover
from retroevidence.effects.ladder.numbers import t_statistic
from retroevidence.effects.ladder.report import Report, Row, all_known, first_number, known
from retroevidence.effects.ladder.statement import (
    NAN,
    Statement,
    with_sign,
    within_limit,
    without_size,
)
from retroevidence.effects.measures import effect_size, hedges_j

MEASURES = ("ROMC", "SMCC")


def standardised_difference(report: Report) -> Statement:
    """Climb the ladder for the mean difference of the same people in SDs of the differences.

    Examples
    --------
    >>> printed = Report(None, [{"t_value": 2.0}], -1, math.nan, "", 16.0, math.nan)
    >>> round(standardised_difference(printed).yi, 3)
    -0.475
    """
    # Means and SDs of both conditions do not give the SD of the differences without their
    # correlation, so only a test of the differences speaks on this scale.
    n, p_value, p_op = report.people, report.p_value, report.p_op
    if n >= 3:
        t, said = t_statistic(report, n - 1)
        if not math.isnan(t) and report.sign is not None:
            g, vi = _smcc_from_t(t, n)
            how = f"{said}, n = {n:g}; t / √n [gibbons1993], exact J [hedges1981]"
            return with_sign(report.sign, g, vi, how)
        if p_op in ("<", ">") and not math.isnan(p_value):
            g, vi = _smcc_from_t(float(recover.t_from_p(p_value, n - 1)), n)
            how = f"p {p_op} {p_value:g}, n = {n:g}, two-sided paired t test"
            how += "; t / √n [gibbons1993] as a limit [bushman1996]"
            return within_limit(report.sign, p_op, g, vi, how)
    return without_size(report.sign, p_value, p_op, "" if n >= 3 else "; n is not printed")


def ratio_of_means(report: Report) -> Statement:
    """Climb the ladder for the log ratio of means of the same people.

    Examples
    --------
    >>> arms = ({"mean": 24.0}, {"mean": 16.0})
    >>> found = ratio_of_means(Report(arms, [{"t_value": 5.0, "estimate_type": ""}], 1, math.nan,
    ...                               "", 12.0, 12.0))
    >>> round(found.yi, 3), round(found.vi, 4)
    (0.405, 0.0066)
    """
    n, p_value, p_op = report.people, report.p_value, report.p_op
    yi, size = _log_ratio(report)
    if math.isnan(yi):
        lacking = "; n is not printed" if math.isnan(n) else ""
        return without_size(report.sign, p_value, p_op, lacking)
    if yi == 0:
        how = f"{size}: no difference, so no test of it can be turned into a variance"
        return Statement(how=how)
    in_percent = [row for row in report.contrasts if row["estimate_type"] == "percent_change"]
    se = first_number(in_percent, "se")
    if not math.isnan(se):
        vi = (se / 100 / math.exp(yi)) ** 2
        how = f"{size}; delta method from its standard error [friedrich2008]"
        return Statement(yi, vi, basis="derived", how=how)
    t, said = t_statistic(report, n - 1)
    if not math.isnan(t) and t > 0:
        how = f"{size}; {said}; variance (yi / t)², delta method [friedrich2008]"
        return Statement(yi, float(recover.paired_variance_from_t(yi, t)), basis="derived", how=how)
    if p_op == "<" and 0 < p_value < 1 and n >= 2:
        t = float(recover.t_from_p(p_value, n - 1))
        how = f"{size}; p < {p_value:g} with n = {n:g}: the largest variance it allows, (yi / t)², "
        how += "delta method [friedrich2008]"
        return Statement(yi, float(recover.paired_variance_from_t(yi, t)), basis="bounded", how=how)
    if report.arms and all_known(report.arms, "mean", "sd", "n"):
        one, two = report.arms
        at_zero = effect_size(
            "ROMC",
            m1=float(one["mean"]), sd1=float(one["sd"]),
            m2=float(two["mean"]), sd2=float(two["sd"]), n=float(one["n"]), r=0.0,
        )  # fmt: skip
        how = f"{size} and SDs; their correlation is not reported: the variance at r = 0, the "
        how += "largest for any r of 0 or more [lajeunesse2011]"
        return Statement(yi, float(at_zero[1]), basis="bounded", how=how)
    return Statement(
        lower=0.0 if yi > 0 else -math.inf,
        upper=math.inf if yi > 0 else 0.0,
        basis="bounded",
        how=f"{size} ({100 * math.expm1(yi):+.1f} %), but nothing from which to get a variance "
        "[bushman1996]",
    )


def _smcc_from_t(t: float, n: float) -> tuple[float, float]:
    """Return g = J(n-1) t/√n and its variance 1/n + g²/(2n), as `effect_size` has them."""
    g = float(hedges_j(n - 1)) * t / math.sqrt(n)
    return g, 1 / n + g**2 / (2 * n)


def _log_ratio(report: Report) -> tuple[float, str]:
    """Return the log ratio of both means, or of printed percentages, and what it was had from."""
    arms = report.arms
    if arms and all_known(arms, "mean") and min(float(a["mean"]) for a in arms) > 0:
        return (
            math.log(float(arms[0]["mean"]) / float(arms[1]["mean"])),
            f"means {arms[0]['mean']:g} and {arms[1]['mean']:g}",
        )
    printed = [float(row["estimate"]) for row in report.contrasts if _is_percent(row)]
    if not printed:
        return NAN, ""
    logs = [math.log1p(value / 100) for value in printed]
    if len(printed) == 1:
        return logs[0], f"{printed[0]:g} % as printed"
    ends = " to ".join(f"{value:g}" for value in sorted(printed))
    return float(np.mean(logs)), f"{ends} % as printed, middle on the log scale"


def _is_percent(row: Row) -> bool:
    """Tell whether a contrast row prints a percentage by which one condition exceeds the other."""
    return (
        known(row["estimate"])
        and row["unit"] == "%"
        and row["estimate_type"] in ("percent_change", "other")
        and float(row["estimate"]) > -100
    )
