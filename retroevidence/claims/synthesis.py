"""The synthesis ladder: effects with bounds, effects, p-values, directions, or nothing.

The highest rung with enough independent comparisons is the headline; the lower ones are shown.
Effects with bounds stand above effects alone: they hold every exact result and, beside them, what
a p bound or a direction says. Leaving those out would lean to whatever was printed in full.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr

from retroevidence.claims import rules
from retroevidence.meta.censored.pool import pool_censored
from retroevidence.meta.censored.result import PooledCensored
from retroevidence.meta.combine import sign_test, stouffer
from retroevidence.meta.pool import pool
from retroevidence.meta.result import Pooled

WITH_BOUNDS, EFFECTS = "effects and bounds", "effects"
P_VALUES, DIRECTIONS, NONE = "p-values", "directions", "none"

#: Fewest independent comparisons for a rung to be the headline; with bounds two of them are exact.
ENOUGH = {WITH_BOUNDS: 3, EFFECTS: 2, P_VALUES: 2, DIRECTIONS: 1}

RUNG_COLUMNS = ["rung", "k", "estimate", "ci_low", "ci_high", "p_value", "reading"]


@dataclass(frozen=True)
class Synthesis:
    """What each rung says about one set of effect rows, and which of them is the headline."""

    rung: str
    pooled: Pooled | None
    censored: PooledCensored | None
    verdict: rules.Verdict
    rungs: pd.DataFrame

    @property
    def headline(self) -> Pooled | PooledCensored | None:
        """The pooled result the verdict rests on, or nothing when it rests on no size."""
        return {WITH_BOUNDS: self.censored, EFFECTS: self.pooled}.get(self.rung)


def classify(frame: pd.DataFrame, sign: int) -> pd.DataFrame:
    """Add to each effect row the strongest rung it can enter, and how it stands to the claim.

    Parameters
    ----------
    frame : DataFrame
        Effect rows.
    sign : {1, -1}
        The claimed side.

    Returns
    -------
    DataFrame
        The rows with ``rung``, ``p_claim`` (one-sided p for the claim) and ``for_claim`` (1 on its
        side, -1 on the other, 0 null, missing when unknown).
    """
    frame = frame.copy()
    sized = frame["yi"].notna() & frame["vi"].notna()
    z = frame["yi"].to_numpy(float) / np.sqrt(frame["vi"].to_numpy(float))
    from_size = pd.Series(ndtr(-z), index=frame.index)
    p = frame["p_one_sided"].fillna(from_size)
    frame["p_claim"] = p if sign > 0 else 1 - p
    frame["for_claim"] = sign * frame["direction"].astype(float) + 0.0  # no minus before a zero
    frame["rung"] = np.select(
        [sized, frame["p_claim"].notna(), frame["for_claim"].notna()],
        [EFFECTS, P_VALUES, DIRECTIONS],
        NONE,
    )
    return frame


def is_bounded(frame: pd.DataFrame) -> pd.Series:
    """Tell which rows have no size but limits for it, and the variance that goes with them."""
    limits = np.isfinite(frame[["lower", "upper"]].to_numpy(float)).any(axis=1)
    return frame["yi"].isna() & frame["vi"].notna() & pd.Series(limits, index=frame.index)


def synthesise(
    frame: pd.DataFrame, sign: int, *, smallest: float, limits: tuple[float, float] | None = None
) -> Synthesis:
    """Climb the ladder for classified effect rows.

    Parameters
    ----------
    frame : DataFrame
        Rows from `classify`, one per independent comparison.
    sign : {1, -1}
        The claimed side.
    smallest : float
        Smallest difference that matters, in units of the measure.
    limits : (float, float), optional
        A claimed range on the scale of the measure.
    """
    rows: list[dict[str, object]] = []
    verdicts: dict[str, rules.Verdict] = {}

    sized = frame[frame["rung"] == EFFECTS]
    # With few studies the plain Knapp-Hartung interval can be narrower than the normal one; the
    # modified form never is (Röver 2015), so that chance agreement earns no verdict.
    pooled = pool(sized, test="adhoc") if len(sized) else None
    partial = frame[is_bounded(frame)]
    censored = None
    if len(sized) >= ENOUGH[EFFECTS] and len(partial):
        censored = pool_censored(pd.concat([sized, partial]))
    results: list[tuple[str, Pooled | PooledCensored | None]] = [
        (WITH_BOUNDS, censored),
        (EFFECTS, pooled),
    ]
    for name, result in results:
        if result is None:
            continue
        if limits is None:
            verdicts[name] = rules.from_effects(result, sign, smallest)
        else:
            verdicts[name] = rules.from_range(result, *limits)
        rows.append(
            {
                "rung": name,
                "k": result.k,
                "estimate": result.estimate,
                "ci_low": result.ci.low,
                "ci_high": result.ci.high,
                "p_value": result.p_value,
            }
        )

    side = frame["for_claim"]
    n_for, n_against = int((side > 0).sum()), int((side < 0).sum())
    n_null = int((side == 0).sum())
    signs = sign_test(n_for, n_for + n_against) if n_for + n_against else None
    sign_p = signs.p_value if signs else 1.0

    tested = frame["p_claim"].dropna()
    if len(tested):
        combined = stouffer(tested.to_numpy(float))
        verdicts[P_VALUES] = rules.from_p_values(
            combined.p_value, len(tested), n_for, n_against, n_null, sign_p
        )
        rows.append({"rung": P_VALUES, "k": len(tested), "p_value": combined.p_value})
    if n_for + n_against + n_null:
        verdicts[DIRECTIONS] = rules.from_directions(n_for, n_against, n_null, sign_p)
        share = n_for / (n_for + n_against) if signs else math.nan
        rows.append(
            {
                "rung": DIRECTIONS,
                "k": n_for + n_against + n_null,
                "estimate": share,
                "ci_low": signs.ci.low if signs else math.nan,
                "ci_high": signs.ci.high if signs else math.nan,
                "p_value": sign_p,
            }
        )

    enough = {str(r["rung"]): int(str(r["k"])) for r in rows}
    rung = next((r for r in ENOUGH if enough.get(r, 0) >= ENOUGH[r]), NONE)
    for row in rows:
        row["reading"] = verdicts[str(row["rung"])].reason
    if limits is not None and rung in (P_VALUES, DIRECTIONS):
        # A p-value or a direction says nothing about how large an effect is.
        verdict = rules.Verdict(
            rules.INCONCLUSIVE, "no two results give a size, so the range cannot be judged"
        )
    elif rung == NONE:
        verdict = rules.none("no located result gives a size, a p-value or a direction")
    else:
        verdict = verdicts[rung]
    return Synthesis(
        rung=rung,
        pooled=pooled,
        censored=censored,
        verdict=verdict,
        rungs=pd.DataFrame(rows, columns=RUNG_COLUMNS),
    )
