"""What an answer owes to the analyst's choices and to single studies: in tables and on the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from retroevidence._show import number, percent
from retroevidence.report.cells import estimate_text, words
from retroevidence.report.markup import Markup, Piece, el, join, table
from retroevidence.report.names import study_label
from retroevidence.report.prose import typeset
from retroevidence.report.scales import scale_of
from retroevidence.report.specification import LEVEL_WORDS
from retroevidence.report.table import Table, columns

if TYPE_CHECKING:
    from retroevidence.claims.check import Checked
    from retroevidence.claims.multiverse import Multiverse

MULTIVERSE = [
    "claim_id", "measure", "combinations", "distinct", "median", "lowest", "highest",
    "share_for", "clear_for", "share_against", "clear_against", "share_below", "clear_below",
    "share_within", "clear_within", "share_above", "clear_above", "matters_most", "moves_by",
    "share_of_variance", "lowest_with", "highest_with", "notes",
]  # fmt: skip
LEFT_OUT = [
    "claim_id", "rung", "measure", "left_out", "k", "estimate", "se", "ci_low", "ci_high",
    "p_value", "tau2", "i2",
]  # fmt: skip

#: Each choice as the end of "the choice that matters most is ...".
CHOICES = {
    "measure": "the measure",
    "method": "the estimator of τ²",
    "test": "the interval",
    "rows": "how far down the ladder rows are used",
    "doubtful": "whether doubtful rows enter",
    "indirect": "whether indirect rows enter",
    "comparator": "the comparison",
    "r": "the correlation assumed where none is printed",
    "left_out": "which study is left out",
}


def multiverse_table(multiverses: Mapping[str, Multiverse]) -> Table:
    """Return one row per claim: how many analyses there are, and on which side they fall.

    Parameters
    ----------
    multiverses : mapping of str to Multiverse
        By claim id.

    Returns
    -------
    Table
        Estimates in units of the claim's measure; ``share_`` counts distinct analyses by their
        estimate and ``clear_`` those whose whole interval is on that side. ``moves_by`` is the
        range of the mean estimate across the levels of the choice that ``matters_most``.
    """
    frame = columns(pd.DataFrame([_numbers(found) for found in multiverses.values()]), MULTIVERSE)
    readable = pd.DataFrame(
        {
            "claim": list(multiverses),
            "analyses": [f"{f.distinct} of {f.combinations}" for f in multiverses.values()],
            "sides": [_sides(found) for found in multiverses.values()],
            "matters most": [_most(found) for found in multiverses.values()],
            "notes": frame["notes"].tolist(),
        }
    )
    caption = (
        "Every defensible analysis of each claim that rests on pooled effects: distinct analyses "
        "of all combinations of choices, their share on each side, and the choice that matters "
        "most."
    )
    return Table("multiverse", caption, frame, readable)


def leave_one_out_table(left_out: Mapping[str, pd.DataFrame], checks: Iterable[Checked]) -> Table:
    """Return each pooled estimate without each study in turn."""
    claims = {checked.claim_id: checked for checked in checks}
    rows = [
        {
            "claim_id": claim_id,
            "rung": claims[claim_id].rung,
            "measure": claims[claim_id].claim["measure"],
            **row,
        }
        for claim_id, frame in left_out.items()
        for row in frame.to_dict("records")
    ]
    frame = columns(pd.DataFrame(rows), LEFT_OUT)
    readable = pd.DataFrame(
        {
            "claim": frame["claim_id"],
            "rests on": frame["rung"],
            "without": frame["left_out"],
            "k": frame["k"].map(words),
            "estimate [95% CI]": [
                estimate_text(row["measure"], row["estimate"], row["ci_low"], row["ci_high"])
                for row in frame.to_dict("records")
            ],
        }
    )
    caption = (
        "The headline pooled again without each study in turn, where three or more results are "
        "pooled."
    )
    return Table("leave_one_out", caption, frame, readable)


def robustness(
    checked: Checked,
    figure: Markup | None,
    multiverse: Multiverse | None,
    left_out: pd.DataFrame | None,
) -> Markup:
    """Return what a claim's section says about choices and single studies; empty without either.

    Parameters
    ----------
    checked : Checked
        The claim.
    figure : Markup, optional
        Its specification curve.
    multiverse : Multiverse, optional
        All its analyses.
    left_out : DataFrame, optional
        From :func:`retroevidence.meta.sensitivity.leave_one_out`.
    """
    parts: list[Piece] = []
    if multiverse is not None and multiverse.distinct:
        parts += [el("h4", "Other defensible analyses"), el("p", typeset(choices_text(multiverse)))]
        if figure is not None:
            parts.append(figure)
    if left_out is not None and len(left_out):
        measure = str(checked.claim["measure"])
        rows: list[list[Piece]] = [
            [
                study_label(str(row["left_out"])),
                words(row["k"]),
                typeset(estimate_text(measure, row["estimate"], row["ci_low"], row["ci_high"])),
            ]
            for row in left_out.to_dict("records")
        ]
        made = table(
            ["Without", "k", "Estimate [95% CI]"],
            rows,
            name="narrow",
            caption="Pooled again without each study in turn.",
        )
        parts += [
            el("h4", "Without any one study"),
            el("p", typeset(left_out_text(left_out, measure))),
            el("details", el("summary", f"Each of the {len(left_out)} studies left out"), made),
        ]
    return join(parts)


def choices_text(multiverse: Multiverse) -> str:
    """Say in two sentences where the analyses of a claim fall, and which choice moves them most.

    Examples
    --------
    >>> from retroevidence.claims.multiverse import multiverse
    >>> said = choices_text(multiverse("knee_pain", left_out="none", test="knha"))
    >>> "fall for the claim" in said, "The choice that matters most is" in said
    (True, True)
    """
    many = multiverse.distinct > 1
    said = (
        f"Of {multiverse.distinct} distinct {'analyses' if many else 'analysis'} of results with "
        f"a size (from {multiverse.combinations} combinations of choices) {_sides(multiverse)}."
    )
    most = _most(multiverse)
    return f"{said} The choice that matters most is {most}." if most else said


def left_out_text(frame: pd.DataFrame, measure: str) -> str:
    """Say in one sentence how far one study can move a pooled estimate.

    Examples
    --------
    >>> frame = pd.DataFrame({"left_out": ["chen2021", "joshi2019"], "estimate": [-0.5, -0.2],
    ...                       "ci_low": [-0.9, -0.6], "ci_high": [-0.1, 0.2]})
    >>> left_out_text(frame, "SMD")
    'The estimate lies between −0.50 (without Chen 2021) and −0.20 (without Joshi 2019); the 95%
    interval leaves out no effect in 1 of 2 cases.'
    """
    scale = scale_of(measure)
    rows = frame.sort_values("estimate", kind="stable").to_dict("records")
    ends = [
        f"{scale.text(float(row['estimate']))} (without {study_label(str(row['left_out']))})"
        for row in (rows[0], rows[-1])
    ]
    said = f"The estimate lies between {ends[0]} and {ends[1]}"
    if math.isnan(scale.null):
        return f"{said}."
    clear = int(((frame["ci_low"] > scale.null) | (frame["ci_high"] < scale.null)).sum())
    return f"{said}; the 95% interval leaves out no effect in {clear} of {len(frame)} cases."


def _numbers(found: Multiverse) -> dict[str, Any]:
    estimate = found.table["estimate"].astype("float64")
    row: dict[str, Any] = {
        "claim_id": found.claim_id,
        "measure": found.claim["measure"],
        "combinations": found.combinations,
        "distinct": found.distinct,
        "notes": " ".join(found.notes),
    }
    if not found.distinct:
        return row
    row |= {
        "median": estimate.median(), "lowest": estimate.min(), "highest": estimate.max(),
    }  # fmt: skip
    for side, share, clear in found.share_by_side.itertuples(index=False):
        row |= {f"share_{side}": share, f"clear_{side}": clear}
    if len(found.matters):
        top = found.matters.iloc[0]
        row |= {
            "matters_most": top["choice"], "moves_by": top["range"],
            "share_of_variance": top["eta2"], "lowest_with": top["lowest"],
            "highest_with": top["highest"],
        }  # fmt: skip
    return row


def _sides(found: Multiverse) -> str:
    """Write the share on each side, as ``90% fall for the claim (80% ...) and 10% against``."""
    if not found.distinct:
        return ""
    of = "the claim" if found.limits is None else "the claimed range"
    said: list[str] = []
    for side, share, clear in found.share_by_side.itertuples(index=False):
        first = not said
        whole = " with their whole 95% interval" if first else ""
        shown = f" ({_share(clear)}{whole})" if share > 0 else ""
        said.append(f"{_share(share)} {'fall ' if first else ''}{side}"
                    f"{f' {of}' if first else ''}{shown}")  # fmt: skip
    return _listed(said)


def _most(found: Multiverse) -> str:
    """Name the choice that matters most, how far it moves the estimate, and between what."""
    if not len(found.matters):
        return ""
    top = found.matters.iloc[0]
    choice = str(top["choice"])
    scale = scale_of(str(found.claim["measure"]))
    # On a log scale a difference is a ratio.
    far = float(top["range"])
    move = (
        f"a factor of {math.exp(far):.2f}" if scale.name in ("percent", "ratio") else number(far, 2)
    )
    ends = [_level(choice, str(top[end])) for end in ("lowest", "highest")]
    return (
        f"{_choice(choice)}: on average it moves the estimate by {move}, from {ends[0]} (lowest) "
        f"to {ends[1]} (highest), {_share(float(top['eta2']))} of the variance between analyses"
    )


def _choice(name: str) -> str:
    if name.startswith("result "):
        return f"which result of {study_label(name.removeprefix('result '))} counts"
    return CHOICES[name]


def _level(choice: str, level: str) -> str:
    if choice == "left_out":
        return "all studies" if level == "none" else f"without {study_label(level)}"
    return LEVEL_WORDS.get(level, level)


def _share(value: float) -> str:
    """Write a share of analyses; what rounds to none or to all of them says so.

    Examples
    --------
    >>> _share(0.997), _share(1.0), _share(0.002)
    ('over 99%', '100%', 'under 1%')
    """
    if 0 < value < 0.005:
        return "under 1%"
    return "over 99%" if 0.995 <= value < 1 else percent(value)


def _listed(parts: Sequence[str]) -> str:
    return " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else parts[0]
