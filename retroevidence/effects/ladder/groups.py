"""The ladder for the means of two independent groups: mean differences, standardised or not."""

from __future__ import annotations

import math
from dataclasses import replace

from retroevidence.effects import recover
from retroevidence.effects.ladder.numbers import PRINTED, estimate, moments, t_statistic
from retroevidence.effects.ladder.report import Report
from retroevidence.effects.ladder.statement import Statement, with_sign, within_limit, without_size
from retroevidence.effects.measures import effect_size

MEASURES = ("SMD", "MD")


def difference(report: Report, measure: str) -> Statement:
    """Climb the ladder for two independent groups.

    Parameters
    ----------
    report : Report
        What is printed.
    measure : {"SMD", "MD"}
        Standardised mean difference with exact J, or mean difference.

    Examples
    --------
    >>> printed = Report(None, [{"t_value": 2.0, "estimate_type": ""}], 1, math.nan, "", 15.0, 15.0)
    >>> found = difference(printed, "SMD")
    >>> round(found.yi, 3), found.basis
    (0.711, 'derived')
    """
    n1, n2, p_value, p_op = report.n1, report.n2, report.p_value, report.p_op
    both = [moments(arm) for arm in report.arms] if report.arms else [None]
    one, two = both[0], both[-1]
    if one is not None and two is not None:
        yi, vi = effect_size(
            measure,
            m1=one.mean, sd1=one.sd, n1=one.n, m2=two.mean, sd2=two.sd, n2=two.n,
        )  # fmt: skip
        basis = "reported" if one.said == two.said == PRINTED else "derived"
        how = " and ".join(dict.fromkeys((one.said, two.said)))
        if measure == "SMD":
            how += "; standardised by the pooled SD, exact small-sample factor J [hedges1981]"
        else:
            how += "; variance of a difference of means [borenstein2009]"
        return Statement(float(yi), float(vi), basis=basis, how=how)

    df = n1 + n2 - 2
    same = [row for row in report.contrasts if row["estimate_type"] == measure]
    stated = estimate(same, measure, df)
    if not math.isnan(stated.vi):
        return stated

    sized = not (math.isnan(n1) or math.isnan(n2)) and n1 >= 2 and n2 >= 2
    if measure == "SMD" and sized:
        crude = estimate([r for r in report.contrasts if r["estimate_type"] == "MD"], "MD", df)
        if not math.isnan(crude.vi):
            g = recover.smd_from_t(crude.yi / math.sqrt(crude.vi), n1, n2)
            how = f"{crude.how}; t = difference / SE; d from t [borenstein2009]"
            return Statement(float(g[0]), float(g[1]), basis="derived", how=how)
        t, said = t_statistic(report, df)
        if not math.isnan(t) and report.sign is not None:
            g = recover.smd_from_t(t, n1, n2)
            how = f"{said} and n of both groups; d from t [borenstein2009], exact J [hedges1981]"
            return with_sign(report.sign, float(g[0]), float(g[1]), how)
        if p_op in ("<", ">") and not math.isnan(p_value):
            g = recover.smd_from_t(float(recover.t_from_p(p_value, df)), n1, n2)
            how = f"p {p_op} {p_value:g} and n of both groups, two-sided t test [bushman1996]"
            return within_limit(report.sign, p_op, float(g[0]), float(g[1]), how)
    lacking = "" if sized else "; n per group is not printed, and halves of a total are not assumed"
    left = without_size(report.sign, p_value, p_op, lacking)
    if measure == "SMD" and sized and report.sign in (1, -1) and left.basis == "bounded":
        # Where a direction is all there is, its limit is zero, and so is d in its variance.
        how = f"{left.how}; variance at d = 0 [borenstein2009]"
        return replace(left, vi=1 / n1 + 1 / n2, how=how)
    return left
