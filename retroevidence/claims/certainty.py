"""How sure a verdict is: a GRADE-like rating with the reason for each step.

The rating starts at *high* when every comparison comes from a randomised trial or from the same
people under both conditions, else at *low*, and goes down by the steps below. What was not
assessed is said, never assumed to be fine: no table holds the risk of bias, which abstracts do not
show, so it counts as one step for every claim, and nothing is rated above *moderate*.

========================  ====================================================================
domain                    step
========================  ====================================================================
risk of bias              not assessed: 1 down for every claim
inconsistency             1 down when I² is at least 50 % and a new study may go the other way,
                          or when at least a third of the directions disagree
indirectness              1 down when at least half of the comparisons are indirect
imprecision               1 down when the interval includes zero, 1 more when fewer than 400
                          people were studied; 1 down when only p-values or directions are there,
                          1 more with fewer than 400 people
publication bias          not assessed with fewer than 10 comparisons
========================  ====================================================================

Sources: Guyatt 2008 (the domains); GRADE's rule of thumb of 400 people for a continuous outcome.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from retroevidence._show import percent
from retroevidence.claims.rules import AnyPooled
from retroevidence.claims.synthesis import EFFECTS, WITH_BOUNDS, Synthesis, is_bounded

LEVELS = ("very low", "low", "moderate", "high")
NOT_ASSESSED = "not assessed"
RISK_OF_BIAS = "risk of bias: not assessed, so not taken to be low"

#: Designs that start high: chance, or the person as their own control, makes the groups alike.
STRONG_DESIGNS = ("parallel_rct", "crossover", "within_subject")
#: People below which an estimate of a continuous outcome counts as imprecise (GRADE).
OPTIMAL_SIZE = 400
#: Share of the variability between studies from which inconsistency counts.
LARGE_I2 = 50.0
#: Comparisons below which tests for small-study effects say nothing.
ENOUGH_FOR_BIAS = 10


@dataclass(frozen=True)
class Certainty:
    """A level and the reason of each step that led to it."""

    level: str
    reasons: tuple[str, ...]


def rate(synthesis: Synthesis, frame: pd.DataFrame, designs: pd.Series) -> Certainty:
    """Rate how sure a synthesis is.

    Parameters
    ----------
    synthesis : Synthesis
        Result of the ladder.
    frame : DataFrame
        The classified rows that entered.
    designs : Series
        Design of the study of each row.
    """
    used = frame
    if synthesis.rung in (EFFECTS, WITH_BOUNDS):
        enters = frame["rung"] == EFFECTS
        used = frame[enters | is_bounded(frame)] if synthesis.rung == WITH_BOUNDS else frame[enters]
    if not len(used):
        return Certainty(NOT_ASSESSED, ("nothing to rate",))
    designs = designs.loc[used.index]
    strong = designs.isin(STRONG_DESIGNS)
    reasons = []
    if strong.all():
        level = 3
        reasons.append("starts high: randomised, or the same people under both conditions")
    else:
        level = 1
        reasons.append(
            f"starts low: {int((~strong).sum())} of {len(used)} comparisons not randomised"
        )

    if synthesis.headline is not None:
        steps = _effect_steps(synthesis.headline, used)
    else:
        steps = _direction_steps(used)
    indirect = used["indirect"].fillna("").astype(str).str.len() > 0
    if 2 * indirect.sum() >= len(used):
        steps.append((1, f"indirectness: {int(indirect.sum())} of {len(used)} are indirect"))
    steps.insert(0, (1, RISK_OF_BIAS))
    for down, why in steps:
        level -= down
        reasons.append(f"-{down} {why}")

    if len(used) < ENOUGH_FOR_BIAS:
        reasons.append(f"publication bias: not assessed with {len(used)} comparisons")
    else:
        reasons.append("publication bias: not assessed beyond the funnel plot")
    return Certainty(LEVELS[max(0, level)], tuple(reasons))


def _effect_steps(pooled: AnyPooled, used: pd.DataFrame) -> list[tuple[int, str]]:
    steps = []
    crosses = pooled.prediction.low < 0 < pooled.prediction.high
    if pooled.i2 >= LARGE_I2 and crosses:
        steps.append(
            (1, f"inconsistency: I² {percent(pooled.i2 / 100)}, a new study may go the other way")
        )
    if pooled.ci.low <= 0 <= pooled.ci.high:
        steps.append((1, "imprecision: the interval includes zero"))
    steps.extend(_size_step(used))
    return steps


def _direction_steps(used: pd.DataFrame) -> list[tuple[int, str]]:
    sides = used["for_claim"].dropna()
    sides = sides[sides != 0]
    steps = []
    if len(sides):
        minority = min(int((sides > 0).sum()), int((sides < 0).sum()))
        if 3 * minority >= len(sides):
            steps.append((1, f"inconsistency: {minority} of {len(sides)} directions disagree"))
    steps.append((1, "imprecision: no pooled size"))
    steps.extend(_size_step(used))
    return steps


def _size_step(used: pd.DataFrame) -> list[tuple[int, str]]:
    """Count people: both groups of a trial, but each person once in a within-person comparison."""
    paired = used["measure"] == "ROMC"
    people = used["n_experimental"].fillna(0) + used["n_comparator"].fillna(0).where(~paired, 0)
    total = int(people.sum())
    unknown = int((people == 0).sum())
    if total >= OPTIMAL_SIZE:
        return []
    also = f" ({unknown} comparisons do not report n)" if unknown else ""
    return [(1, f"imprecision: {total} people{also}, fewer than {OPTIMAL_SIZE}")]
