"""The summary tables: every number at full precision as CSV, and readable as Markdown."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from retroevidence._show import interval, number, p_text, percent
from retroevidence.report.scales import scale_of

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

#: Rungs whose estimate is a share of people or programmes, whatever the claim measures.
SHARES = {"exact", "distribution", "directions"}


@dataclass(frozen=True)
class Table:
    """A table with its caption.

    Attributes
    ----------
    name : str
        File name without suffix.
    caption : str
        One sentence: what a row is, and what the numbers are.
    frame : DataFrame
        The numbers as they were computed.
    readable : DataFrame
        The same rows as text, with fewer columns, for Markdown and the page.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    readable: pd.DataFrame

    def csv(self) -> str:
        """Return the table as CSV; each number has the digits that give it back exactly.

        Examples
        --------
        >>> frame = pd.DataFrame({"x": [0.1 + 0.2, float("nan")]})
        >>> print(Table("t", "c", frame, frame).csv().replace(chr(10), "|"))
        x|0.30000000000000004|""|
        """
        return self.frame.to_csv(index=False, lineterminator="\n")

    def markdown(self) -> str:
        r"""Return the caption and the readable table as GitHub Markdown.

        Examples
        --------
        >>> frame = pd.DataFrame({"a": ["x|y"]})
        >>> print(Table("t", "What it is.", frame, frame).markdown())
        What it is.
        <BLANKLINE>
        | a    |
        |:-----|
        | x\|y |
        """
        from tabulate import tabulate

        cells = [[_plain(cell) for cell in row] for row in self.readable.itertuples(index=False)]
        body = tabulate(
            cells,
            headers=[str(column) for column in self.readable.columns],
            tablefmt="pipe",
            disable_numparse=True,
            colalign=["left"] * len(self.readable.columns) if cells else None,
        )
        return f"{self.caption}\n\n{body}\n"

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write ``name.csv`` and ``name.md`` into an existing directory."""
        for suffix, text in ((".csv", self.csv()), (".md", self.markdown())):
            (Path(folder) / f"{self.name}{suffix}").write_bytes(text.encode("utf-8"))


def _plain(cell: object) -> str:
    """Return a cell's text on one line, with what Markdown would read as a column escaped."""
    return " ".join(words(cell).split()).replace("|", "\\|")


def words(value: object) -> str:
    """Return a value as text; what is missing is empty.

    Examples
    --------
    >>> words(None), words(float("nan")), words(2.0), words("x")
    ('', '', '2', 'x')
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}"
    return str(value)


def columns(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return these columns in this order; one that is not there is empty.

    Examples
    --------
    >>> columns(pd.DataFrame({"b": [1], "c": [2]}), ["a", "b"]).columns.tolist()
    ['a', 'b']
    """
    return frame.reindex(columns=list(names))


def estimate_text(measure: object, estimate: object, low: object, high: object) -> str:
    """Write an estimate with its interval on the scale people read.

    Examples
    --------
    >>> estimate_text("ROMC", 0.27, 0.1, 0.4), estimate_text("SMD", -0.5, -1.0, 0.0)
    ('+31% [+11%, +49%]', '−0.50 [−1.00, 0.00]')
    >>> estimate_text("proportion", 0.0, 0.0, 0.103), estimate_text("SMD", float("nan"), 0, 0)
    ('0.0% [0.0%, 10.3%]', '')
    """
    values = [float(words(value) or "nan") if not isinstance(value, float) else value
              for value in (estimate, low, high)]  # fmt: skip
    if math.isnan(values[0]):
        return ""
    if measure in ("proportion", "share"):
        shares = [percent(value, 1) for value in values]
        return f"{shares[0]} [{shares[1]}, {shares[2]}]"
    scale = scale_of(str(measure))
    return f"{scale.text(values[0])} {scale.interval_text(values[1], values[2])}".strip()


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
            "p": frame["p_value"].map(_p),
            "reading": frame["reading"],
        }
    )
    caption = (
        "The synthesis ladder. On the rung of directions the estimate is the share of directions "
        "on the claim's side, with its exact interval; the p-value of combined p-values is "
        "one-sided for the claim."
    )
    return Table("rungs", caption, frame, readable)


def rung_estimate(row: Mapping[Any, Any], measure: object) -> str:
    """Write the estimate of a rung: a share where things are counted, else on the claim's scale.

    Examples
    --------
    >>> rung_estimate({"rung": "directions", "estimate": 0.5, "ci_low": 0.1, "ci_high": 0.9}, "MD")
    '50.0% [10.0%, 90.0%]'
    """
    kind = "share" if row["rung"] in SHARES else measure
    return estimate_text(kind, row["estimate"], row["ci_low"], row["ci_high"])


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
            "p": frame["p_value"].map(_p),
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


def plain_table(name: str, caption: str, frame: pd.DataFrame) -> Table:
    """Return a table whose readable form has the same columns.

    Examples
    --------
    >>> plain_table("x", "c", pd.DataFrame({"a": [1.5]})).readable.loc[0, "a"]
    '1.5'
    """
    readable = pd.DataFrame({str(c): [words(v) for v in frame[c]] for c in frame.columns})
    return Table(name, caption, frame, readable)


def effect_texts(frame: pd.DataFrame) -> list[str]:
    """Write the effect of each row: with an interval, as bounds, or not at all."""
    texts = []
    for row in frame.to_dict("records"):
        yi, vi, low, high = (_float(row[name]) for name in ("yi", "vi", "lower", "upper"))
        scale = scale_of(str(row["measure"]))
        if math.isfinite(yi) and math.isfinite(vi):
            half = 1.959963984540054 * math.sqrt(vi)
            texts.append(estimate_text(row["measure"], yi, yi - half, yi + half))
        elif math.isfinite(yi):
            texts.append(scale.text(yi))
        elif math.isfinite(low) or math.isfinite(high):
            low = -math.inf if math.isnan(low) else low
            high = math.inf if math.isnan(high) else high
            texts.append(scale.bound_text(low, high))
        else:
            texts.append("")
    return texts


def review_texts(frame: pd.DataFrame) -> list[str]:
    """Write what each review printed: estimate, measure and interval as they stand there."""
    texts = []
    for row in frame.to_dict("records"):
        estimate = _float(row["estimate"])
        if math.isnan(estimate):
            texts.append("")
            continue
        limits = interval(_float(row["ci_low"]), _float(row["ci_high"]), 2)
        shown = limits if limits.startswith("[") else ""
        texts.append(f"{words(row['measure'])} {number(estimate, 2)} {shown}".strip())
    return texts


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


def weight_text(value: object) -> str:
    """Write a weight in percent.

    Examples
    --------
    >>> weight_text(12.345), weight_text(float("nan"))
    ('12.3%', '')
    """
    share = _float(value)
    return f"{share:.1f}%" if math.isfinite(share) else ""


def _estimates(frame: pd.DataFrame) -> list[str]:
    rungs = frame["rung"] if "rung" in frame.columns else [""] * len(frame)
    return [
        rung_estimate({**row, "rung": rung}, row["measure"])
        for row, rung in zip(frame.to_dict("records"), rungs, strict=True)
    ]


def _p(value: object) -> str:
    p = _float(value)
    return "" if math.isnan(p) else p_text(p)


def _float(value: object) -> float:
    text = words(value)
    if not text:
        return math.nan
    return float(value) if isinstance(value, int | float) else float(text)


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
