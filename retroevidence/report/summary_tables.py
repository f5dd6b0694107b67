"""The summary tables of checked claims: verdicts, effects, rungs, pooled results, and what else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from retroevidence._show import number, percent
from retroevidence.report.cells import (
    effect_texts,
    estimate_text,
    p_or_empty,
    review_texts,
    rung_estimate,
    weight_text,
    words,
)
from retroevidence.report.scales import scale_of
from retroevidence.report.table import Table, columns

if TYPE_CHECKING:
    from retroevidence.claims.check import Checked

CLAIMS = [
    "claim_id", "section", "statement", "verdict", "certainty", "measure", "estimate", "ci_low",
    "ci_high", "pi_low", "pi_high", "k", "rung", "reason",
]  # fmt: skip
EFFECTS = [
    "claim_id", "study_id", "comparison", "outcome", "instrument", "measure", "yi", "vi", "lower",
    "upper", "basis", "how", "rung", "weight", "direction", "p_value", "p_op", "p_claim",
    "for_claim", "n_experimental", "n_comparator", "unit", "indirect", "rows", "locator",
    "source_url",
]  # fmt: skip
RUNGS = ["claim_id", "rung", "k", "estimate", "ci_low", "ci_high", "p_value", "reading"]
ANALYSES = [
    "claim_id", "analysis", "rung", "k", "estimate", "ci_low", "ci_high", "verdict", "reason",
]  # fmt: skip
POOLED = [
    "claim_id", "analysis", "measure", "method", "test", "k", "estimate", "se", "ci_low", "ci_high",
    "p_value", "pi_low", "pi_high", "tau2", "i2", "q", "q_p_value",
]  # fmt: skip
COUNTS = [
    "claim_id", "study_id", "row", "arm", "enters", "n", "adverse_events", "minutes",
    "sessions_per_week", "weeks", "reason", "locator", "source_url",
]  # fmt: skip
SHOWN = [
    "claim_id", "analysis", "comparison", "study_id", "experimental", "comparator", "contrast",
    "indirect", "reason",
]  # fmt: skip
REVIEWS = [
    "claim_id", "review_id", "study_id", "outcome", "instrument", "contrast", "condition",
    "measure", "estimate", "ci_low", "ci_high", "p_value", "i2", "certainty", "locator",
    "source_url", "ours_measure", "ours_estimate", "ours_ci_low", "ours_ci_high", "ours_k",
    "why_it_differs",
]  # fmt: skip

#: Name of the main analysis with results that are only known between limits.
WITH_BOUNDS = "main with bounds"


def claims_table(checks: Sequence[Checked]) -> Table:
    """Return one row per claim: verdict, certainty, estimate, and what they rest on."""
    frame = _stack([checked.summary for checked in checks], CLAIMS)
    readable = pd.DataFrame(
        {
            "claim": frame["claim_id"],
            "statement": frame["statement"],
            "verdict": frame["verdict"],
            "certainty": frame["certainty"],
            "estimate [95% CI]": _estimates(frame),
            "k": frame["k"].map(words),
            "rests on": frame["rung"],
            "why": frame["reason"],
        }
    )
    caption = (
        "Claims with their verdicts. Estimates are experimental minus comparator; percent "
        "differences are ratios of means; k counts independent comparisons."
    )
    return Table("claims", caption, frame, readable)


def effects_table(checks: Sequence[Checked]) -> Table:
    """Return every effect row that entered a main analysis, with where it was read."""
    frames = []
    for checked in checks:
        if "rows" in checked.effects.columns:
            frame = checked.effects.assign(claim_id=_id(checked))
            frames.append(frame.assign(weight=weights(checked)))
    frame = _stack(frames, EFFECTS)
    readable = pd.DataFrame(
        {
            "claim": frame["claim_id"],
            "study": frame["study_id"],
            "outcome": frame["outcome"],
            "effect [95% CI]": effect_texts(frame),
            "basis": frame["basis"],
            "how": frame["how"],
            "weight": frame["weight"].map(weight_text),
            "source": frame["source_url"],
            "place": frame["locator"],
        }
    )
    caption = (
        "Effect rows of the main analysis of each claim, from the strongest statement each report "
        "supports; weights in percent of the pooled estimate."
    )
    return Table("effects", caption, frame, readable)


def rungs_table(checks: Sequence[Checked]) -> Table:
    """Return what each rung of the synthesis ladder says about each claim."""
    frame = _stack([c.rungs.assign(claim_id=_id(c)) for c in checks if len(c.rungs)], RUNGS)
    measures = {_id(checked): checked.claim.get("measure") for checked in checks}
    readable = pd.DataFrame(
        {
            "claim": frame["claim_id"],
            "rung": frame["rung"],
            "k": frame["k"].map(words),
            "estimate [95% CI]": [
                rung_estimate(row, measures.get(row["claim_id"]))
                for row in frame.to_dict("records")
            ],
            "p": frame["p_value"].map(p_or_empty),
            "reading": frame["reading"],
        }
    )
    caption = (
        "The synthesis ladder. On the rung of directions the estimate is the share of directions "
        "on the claim's side, with its exact interval; the p-value of combined p-values is "
        "one-sided for the claim."
    )
    return Table("rungs", caption, frame, readable)


def analyses_table(checks: Sequence[Checked]) -> Table:
    """Return the analyses beside the main one, with the verdict each alone would give."""
    frames = [
        c.analyses_table.assign(claim_id=_id(c), measure=c.claim.get("measure"))
        for c in checks
        if len(c.analyses_table)
    ]
    whole = _stack(frames, [*ANALYSES, "measure"])
    readable = pd.DataFrame(
        {
            "claim": whole["claim_id"],
            "analysis": whole["analysis"],
            "rung": whole["rung"],
            "k": whole["k"].map(words),
            "estimate [95% CI]": _estimates(whole),
            "verdict it alone would give": whole["verdict"],
            "why": whole["reason"],
        }
    )
    caption = (
        "Analyses beside the main one: other comparators, doubtful rows added, indirect tasks."
    )
    return Table("analyses", caption, whole[ANALYSES], readable)


def pooled_table(checks: Sequence[Checked]) -> Table:
    """Return every pooled result in full: main analyses and those beside them."""
    rows = []
    for checked in checks:
        main = {"main": checked.pooled, WITH_BOUNDS: checked.censored}
        for name, pooled in {**main, **checked.analyses}.items():
            if pooled is not None:
                rows.append(
                    {
                        "claim_id": _id(checked),
                        "analysis": name,
                        "ci_low": pooled.ci.low,
                        "ci_high": pooled.ci.high,
                        "pi_low": pooled.prediction.low,
                        "pi_high": pooled.prediction.high,
                    }
                    | {key: getattr(pooled, key) for key in POOLED if hasattr(pooled, key)}
                )
    frame = columns(pd.DataFrame(rows), POOLED)
    readable = pd.DataFrame(
        {
            "claim": frame["claim_id"],
            "analysis": frame["analysis"],
            "k": frame["k"].map(words),
            "estimate [95% CI]": _estimates(frame),
            "prediction interval": [
                scale_of(str(row["measure"])).interval_text(row["pi_low"], row["pi_high"])
                for row in frame.to_dict("records")
            ],
            "τ²": [number(float(value)) if words(value) else "" for value in frame["tau2"]],
            "I²": [percent(float(value) / 100) if words(value) else "" for value in frame["i2"]],
            "p": frame["p_value"].map(p_or_empty),
        }
    )
    caption = "Pooled results in full: random effects, REML, Knapp–Hartung unless the row differs."
    return Table("pooled", caption, frame, readable)


def counts_table(checks: Sequence[Checked]) -> Table:
    """Return the rows behind the claims that are counts: arms with harms, session lengths."""
    frames = [
        c.effects.assign(claim_id=_id(c), row=c.effects["contrast"])
        for c in checks
        if len(c.effects) and "enters" in c.effects.columns
    ]
    frame = _stack(frames, COUNTS)
    readable = pd.DataFrame(
        {
            "claim": frame["claim_id"],
            "study": frame["study_id"],
            "arm": frame["arm"],
            "counted": frame["enters"],
            "people": frame["n"].map(words),
            "adverse events": frame["adverse_events"].map(words),
            "minutes": frame["minutes"].map(words),
            "reason": frame["reason"],
            "source": frame["source_url"],
        }
    )
    caption = "Arms and programmes behind claims about safety and dose, counted or not."
    return Table("counts", caption, frame, readable)


def shown_table(checks: Sequence[Checked]) -> Table:
    """Return what was located but not counted, each with its reason."""
    frame = _stack([c.shown.assign(claim_id=_id(c)) for c in checks if len(c.shown)], SHOWN)
    readable = pd.DataFrame(
        {
            "claim": frame["claim_id"],
            "study": frame["study_id"],
            "analysis": frame["analysis"],
            "why it is not counted": frame["reason"],
        }
    )
    return Table("not_counted", "Located results that were not counted.", frame, readable)


def reviews_table(checks: Sequence[Checked]) -> Table:
    """Return what published reviews pooled, beside our own estimate."""
    frames = [
        c.reviews.assign(
            claim_id=_id(c),
            ours_measure=c.claim.get("measure"),
            ours_estimate=c.estimate,
            ours_ci_low=c.ci_low,
            ours_ci_high=c.ci_high,
            ours_k=c.k,
        )
        for c in checks
        if len(c.reviews)
    ]
    frame = _stack(frames, REVIEWS)
    ours = frame.rename(columns={f"ours_{x}": f"{x}_" for x in ("measure", "estimate")})
    readable = pd.DataFrame(
        {
            "claim": frame["claim_id"],
            "review": frame["study_id"],
            "outcome": frame["outcome"],
            "comparison": frame["contrast"],
            "review's estimate [95% CI]": review_texts(frame),
            "ours [95% CI]": [
                estimate_text(
                    row["measure_"], row["estimate_"], row["ours_ci_low"], row["ours_ci_high"]
                )
                for row in ours.to_dict("records")
            ],
            "why they differ": frame["why_it_differs"],
        }
    )
    return Table("reviews", "Published pooled results beside ours.", frame, readable)


def weights(checked: Checked) -> pd.Series[float]:
    """Return the weight [%] each effect row has in the main pooled estimate, missing if none."""
    frame = checked.effects
    pooled = checked.censored if checked.rung == "effects and bounds" else checked.pooled
    if pooled is None or "comparison" not in frame.columns:
        return pd.Series(math.nan, index=frame.index, dtype="float64")
    studies = pooled.studies
    if "comparison" not in studies.columns:
        return pd.Series(math.nan, index=frame.index, dtype="float64")
    known = dict(zip(studies["comparison"], studies["weight"], strict=True))
    return pd.Series([float(known.get(key, math.nan)) for key in frame["comparison"]],
                     index=frame.index, dtype="float64")  # fmt: skip


def _estimates(frame: pd.DataFrame) -> list[str]:
    rungs = frame["rung"] if "rung" in frame.columns else [""] * len(frame)
    return [
        rung_estimate({**row, "rung": rung}, row["measure"])
        for row, rung in zip(frame.to_dict("records"), rungs, strict=True)
    ]


def _id(checked: Checked) -> str:
    return str(checked.claim["claim_id"])


def _stack(frames: Sequence[pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    """Put frames below each other, with these columns in this order."""
    rows: list[dict[Any, Any]] = []
    for frame in frames:
        rows.extend(columns(frame, names).to_dict("records"))
    return pd.DataFrame(rows, columns=list(names))


#: One function per table, in the order they are written.
MAKERS: tuple[Callable[[Sequence[Checked]], Table], ...] = (
    claims_table,
    rungs_table,
    pooled_table,
    analyses_table,
    effects_table,
    counts_table,
    shown_table,
    reviews_table,
)


def summary_tables(checks: Sequence[Checked]) -> list[Table]:
    """Return all tables made from checked claims.

    Examples
    --------
    >>> import retroevidence as rv
    >>> [table.name for table in summary_tables([rv.check("knee_pain")])][:3]
    ['claims', 'rungs', 'pooled']
    """
    return [make(checks) for make in MAKERS]
