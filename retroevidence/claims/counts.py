"""Claims that are no effect: harms (an exact proportion) and doses (a distribution)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from retroevidence.claims import rules
from retroevidence.claims.certainty import (
    LEVELS,
    NOT_ASSESSED,
    RISK_OF_BIAS,
    STRONG_DESIGNS,
    Certainty,
)
from retroevidence.meta.combine import proportion


@dataclass(frozen=True)
class Counted:
    """A verdict from counting, with the share it rests on and the rows that were counted."""

    verdict: rules.Verdict
    certainty: Certainty
    rung: str
    k: int
    estimate: float
    ci_low: float
    ci_high: float
    rows: pd.DataFrame
    extra: dict[str, Any]


NAN = float("nan")

#: With no event among 300 people an event of 1 % is excluded (the rule of three, 3 / n).
ENOUGH_PEOPLE = 300


def harms(
    lines: pd.DataFrame, safety: pd.DataFrame, studies: pd.DataFrame, threshold: float
) -> Counted:
    """Judge a claim of no harm by the arms that report events in numbers.

    Parameters
    ----------
    lines : DataFrame
        Selection lines; ``contrast`` holds ids of the safety table.
    safety, studies : DataFrame
        The tables of these names.
    threshold : float
        Share of people with an event that would matter.
    """
    rows = lines.merge(safety, left_on="contrast", right_on="safety_id", suffixes=("", "_table"))
    numeric = rows["adverse_events"].notna() & rows["n"].notna()
    main = rows[(rows["enters"] == "main") & numeric]
    doubtful = rows[rows["enters"].isin(["main", "sensitivity"]) & numeric]
    if not len(main):
        return Counted(
            rules.none("no selected arm reports adverse events in numbers"),
            Certainty(NOT_ASSESSED, ("nothing to rate",)),
            "none", 0, NAN, NAN, NAN, rows, {},
        )  # fmt: skip
    events, n = int(main["adverse_events"].sum()), int(main["n"].sum())
    share = proportion(events, n)
    wider = proportion(int(doubtful["adverse_events"].sum()), int(doubtful["n"].sum()))
    verdict = rules.from_harms(events, n, share.ci.high, threshold, wider.estimate)
    designs = main["study_id"].map(studies.set_index("study_id")["design"])
    strong = bool(designs.isin(STRONG_DESIGNS).all())
    steps = [f"-1 {RISK_OF_BIAS}", "-1 indirectness: what counted as an adverse event is not shown"]
    if n < ENOUGH_PEOPLE:
        steps.append(f"-1 imprecision: {n} people in arms that report events, fewer than 300")
    if len(rows) > len(main):
        steps.append(
            f"-1 silence: {len(rows) - len(main)} located arms give no count for backward walking"
        )
    level = LEVELS[max(0, (3 if strong else 1) - len(steps))]
    reasons = (
        "starts high: arms of randomised trials" if strong else "starts low: not all randomised",
        *steps,
    )
    extra = {
        "events": events,
        "people": n,
        "upper_bound_one_sided": share.upper_bound,
        "with_mixed_arms_events": int(doubtful["adverse_events"].sum()),
        "with_mixed_arms_people": int(doubtful["n"].sum()),
        "with_mixed_arms_ci_high": wider.ci.high,
    }
    return Counted(
        verdict, Certainty(level, reasons), "exact", len(main), share.estimate,
        share.ci.low, share.ci.high, rows, extra,
    )  # fmt: skip


def doses(
    lines: pd.DataFrame, studies: pd.DataFrame, low: float | None, high: float | None
) -> Counted:
    """Judge a claim about session length by the programmes that state one.

    Parameters
    ----------
    lines : DataFrame
        Selection lines; ``minutes`` is the session length of the programme [min].
    studies : DataFrame
        The studies table.
    low, high : float, optional
        Claimed range [min]; an end that is missing is open.
    """
    columns = ["study_id", "sessions_per_week", "weeks", "condition", "design",
               "source_url", "locator"]  # fmt: skip
    rows = lines.merge(studies[columns], on="study_id", how="left")
    main = rows[(rows["enters"] == "main") & rows["minutes"].notna()]
    if not len(main):
        return Counted(
            rules.none("no located programme states such a session length with a result"),
            Certainty(NOT_ASSESSED, ("nothing to rate",)),
            "none", 0, NAN, NAN, NAN, rows, {},
        )  # fmt: skip
    minutes = main["minutes"].astype(float)
    inside = minutes.between(
        -float("inf") if low is None else low, float("inf") if high is None else high
    )
    share = proportion(int(inside.sum()), len(main))
    extra = {
        "minutes_median": float(minutes.median()),
        "minutes_lower_quartile": float(minutes.quantile(0.25)),
        "minutes_upper_quartile": float(minutes.quantile(0.75)),
        "minutes_shortest": float(minutes.min()),
        "minutes_longest": float(minutes.max()),
        "programmes": len(main),
    }
    reasons = ("a description of programmes, not an effect: no rating of certainty applies",)
    return Counted(
        rules.from_share(int(inside.sum()), len(main), share.ci.low, share.ci.high),
        Certainty(NOT_ASSESSED, reasons), "distribution", len(main), share.estimate,
        share.ci.low, share.ci.high, rows, extra,
    )  # fmt: skip
