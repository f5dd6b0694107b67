"""The ladder for events in two independent groups: risk ratios and odds ratios."""

from __future__ import annotations

import math

from retroevidence.effects.ladder.report import Report, counted
from retroevidence.effects.ladder.statement import Statement, without_size
from retroevidence.effects.measures import effect_size

MEASURES = ("RR", "OR")


def ratio_of_counts(report: Report, measure: str) -> Statement:
    """Climb the ladder for events in two independent groups.

    Parameters
    ----------
    report : Report
        What is printed.
    measure : {"RR", "OR"}
        Log risk ratio or log odds ratio.

    Examples
    --------
    >>> arms = ({"events": 2, "n": 20}, {"events": 8, "n": 20})
    >>> found = ratio_of_counts(Report(arms, [], -1, math.nan, "", 20.0, 20.0), "RR")
    >>> round(found.yi, 3), found.how
    (-1.386, '2 of 20 against 8 of 20; log risk ratio [katz1978]')
    """
    if report.arms is None or not counted(report.arms):
        lacking = "; events and n of both arms are not printed"
        return without_size(report.sign, report.p_value, report.p_op, lacking)
    (a, n1), (c, n2) = ((float(arm["events"]), float(arm["n"])) for arm in report.arms)
    name, key = ("risk", "katz1978") if measure == "RR" else ("odds", "woolf1955")
    printed = f"{a:g} of {n1:g} against {c:g} of {n2:g}"
    yi, vi = effect_size(measure, a=a, n1=n1, c=c, n2=n2)
    if math.isnan(float(yi)):
        alike = "nobody had" if a == 0 else "everybody had"
        return Statement(how=f"{printed}: {alike} the event, which says nothing about a ratio")
    how = f"{printed}; log {name} ratio [{key}]"
    if 0 in (a, c, n1 - a, n2 - c):
        how += ", half a person added to each cell because one is empty"
    return Statement(float(yi), float(vi), basis="reported", how=how)
