"""Published reviews redone: what can be recomputed, and our own values beside theirs."""

from __future__ import annotations

import pandas as pd

from retroevidence._show import number
from retroevidence.report.cells import estimate_text, review_texts, words
from retroevidence.report.markup import Markup, Piece, el, join, table
from retroevidence.report.names import study_label
from retroevidence.report.possible import Sources, row_links
from retroevidence.report.prose import typeset
from retroevidence.report.table import Table

#: Digits that the Cochrane data print.
PRINTED_DIGITS = 6


def redone_tables(reviews: pd.DataFrame, cochrane: pd.DataFrame) -> list[Table]:
    """Return our value beside each pooled value of a review, and the Cochrane rows recomputed.

    Parameters
    ----------
    reviews, cochrane : DataFrame
        From :mod:`retroevidence.claims.reviews`.
    """
    beside = pd.DataFrame(
        {
            "review": reviews["study_id"],
            "outcome": reviews["outcome"],
            "comparison": reviews["contrast"],
            "its estimate [95% CI]": review_texts(reviews),
            "ours [95% CI]": _ours(reviews),
            "our k": reviews["our_k"].map(words),
            "why they differ": reviews["why"],
        }
    )
    same = pd.DataFrame(
        {
            "study": cochrane["study_id"],
            "outcome": cochrane["outcome"],
            "printed": _three(cochrane, ("estimate", "ci_low", "ci_high")),
            "recomputed": _three(cochrane, ("redone", "redone_low", "redone_high")),
            "exact factor": [_number(value) for value in cochrane["exact"]],
            "agrees": cochrane["agrees"],
        }
    )
    return [
        Table(
            "reviews_redone",
            "Pooled values that reviews print, and ours for the same outcome, population and "
            "comparator: another sample of trials, not a check of their arithmetic.",
            reviews,
            beside,
        ),
        Table(
            "cochrane_redone",
            "Standardised mean differences that Cochrane data print, recomputed from the arms by "
            "Cochrane's formulas and with the exact small-sample factor.",
            cochrane,
            same,
        ),
    ]


def redone(reviews: pd.DataFrame, cochrane: pd.DataFrame, sources: Sources) -> Markup:
    """Return the section's text and both tables."""
    if not len(reviews) and not len(cochrane):
        return el("p", "The data hold no pooled value of a published review.")
    return join((_cochrane(cochrane, sources), _reviews(reviews, sources)))


def _cochrane(frame: pd.DataFrame, sources: Sources) -> Markup:
    if not len(frame):
        return Markup("")
    agree = int((frame["agrees"] == "yes").sum())
    said = (
        f"Cochrane data print {len(frame)} standardised mean differences whose arms are in our "
        f"tables: {agree} come out to the last digit, interval included."
    )
    rows: list[list[Piece]] = [
        [
            study_label(str(row["study_id"])),
            words(row["outcome"]).replace("_", " "),
            typeset(printed),
            typeset(again),
            typeset(_number(row["exact"])),
            words(row["agrees"]),
            row_links([str(row["contrast_id"])], sources),
        ]
        for row, printed, again in zip(
            frame.to_dict("records"),
            _three(frame, ("estimate", "ci_low", "ci_high")),
            _three(frame, ("redone", "redone_low", "redone_high")),
            strict=True,
        )
    ]
    made = table(
        ["Study", "Outcome", "Printed [95% CI]", "Recomputed [95% CI]", "With the exact factor",
         "Agrees", "Read at"],
        rows,
        caption="Recomputed with the approximate small-sample factor that Cochrane's software "
        "uses; our effect sizes take the exact one.",
    )  # fmt: skip
    return join((el("h3", "Recomputed from the arms"), el("p", said), made))


def _reviews(frame: pd.DataFrame, sources: Sources) -> Markup:
    if not len(frame):
        return Markup("")
    used = frame[frame["excluded"] == "no"]
    compared = int(used["difference"].notna().sum())
    sized = int((used["our_k"] > 0).sum())
    said = (
        f"{len(used)} pooled values of {used['study_id'].nunique()} reviews are in use; for "
        f"{sized} of them our tables hold a size for the same outcome, population and comparator, "
        f"and {compared} are on the same scale as ours. Abstracts do not list the trials behind a "
        "pooled value, so ours is another sample of trials, not a check of their arithmetic."
    )
    rows: list[list[Piece]] = [
        [
            study_label(str(row["study_id"])),
            words(row["outcome"]).replace("_", " "),
            words(row["contrast"]),
            typeset(text),
            typeset(ours),
            words(row["our_k"]),
            typeset(_number(row["difference"], 2)),
            typeset(words(row["why"])),
            row_links([str(row["review_id"])], sources),
        ]
        for row, text, ours in zip(
            frame.to_dict("records"), review_texts(frame), _ours(frame), strict=True
        )
    ]
    made = table(
        ["Review", "Outcome", "Comparison", "Its estimate [95% CI]", "Ours [95% CI]", "Our k",
         "Ours minus its", "Why they differ", "Read at"],
        rows,
        name="wide",
        caption="Pooled values that reviews print, those not in use too, beside ours.",
    )  # fmt: skip
    summary = el("summary", f"All {len(frame)} pooled values beside ours")
    return join((el("h3", "Ours beside theirs"), el("p", said), el("details", summary, made)))


def _ours(frame: pd.DataFrame) -> list[str]:
    return [
        f"{row['our_measure']} {text}" if text else ""
        for row in frame.to_dict("records")
        for text in [
            estimate_text(
                row["our_measure"], row["our_estimate"], row["our_ci_low"], row["our_ci_high"]
            )
        ]
    ]


def _three(frame: pd.DataFrame, names: tuple[str, str, str]) -> list[str]:
    """Write an estimate and its limits with the digits that the Cochrane data print."""
    texts = []
    for row in frame.to_dict("records"):
        middle, low, high = (_number(row[name]) for name in names)
        texts.append(f"{middle} [{low}, {high}]" if middle else "")
    return texts


def _number(value: object, digits: int = PRINTED_DIGITS) -> str:
    text = words(value)
    return number(float(str(value)), digits) if text else ""
