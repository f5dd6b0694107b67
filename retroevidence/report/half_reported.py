"""How much was reported in full, in part, or not at all: the ladder of every row and its counts."""

from __future__ import annotations

import pandas as pd

from retroevidence._show import percent
from retroevidence.report.cells import effect_texts, words
from retroevidence.report.markup import Markup, Piece, el, join, table
from retroevidence.report.prose import typeset
from retroevidence.report.scales import scale_of
from retroevidence.report.table import Table

#: Headings of the counted columns that a reader sees, in their order.
COUNTED = {
    "rows": "Rows",
    "results": "Results",
    "reported": "Reported",
    "derived": "Derived",
    "bounded": "Bounded",
    "sign_only": "of these sign only",
    "imputed": "Imputed",
    "unusable": "Unusable",
    "rescued": "Rescued",
}


def ladder_tables(ladder: pd.DataFrame, counts: pd.DataFrame) -> list[Table]:
    """Return the rung of every row, and the counts per outcome.

    Parameters
    ----------
    ladder, counts : DataFrame
        From :mod:`retroevidence.claims.ladder`.
    """
    sized = ladder[ladder["yi"].notna() & ladder["measure"].notna()]
    texts = dict(zip(sized.index, effect_texts(sized), strict=True))
    bounds = ladder[ladder["yi"].isna() & ladder["measure"].notna()]
    for at, row in zip(bounds.index, bounds.to_dict("records"), strict=True):
        if pd.notna(row["lower"]) and pd.notna(row["upper"]):
            scale = scale_of(str(row["measure"]))
            texts[at] = scale.bound_text(float(row["lower"]), float(row["upper"]))
    readable = pd.DataFrame(
        {
            "row": ladder["row_id"],
            "study": ladder["study_id"],
            "outcome": ladder["outcome"],
            "kind": ladder["kind"],
            "rung": ladder["rung"],
            "how": ladder["how"],
            "read with": ladder["partners"],
            "says": [texts.get(at, "") for at in ladder.index],
            "measure": ladder["measure"],
            "excluded": ladder["exclude_reason"],
        }
    )
    whole = Table(
        "ladder",
        "Every row of arms and contrasts with the highest rung that it reaches, alone or with the "
        "rows of the same result, and how.",
        ladder,
        readable,
    )
    shown = pd.DataFrame(
        {"outcome": counts["outcome"]}
        | {name.lower(): counts[key].map(words) for key, name in COUNTED.items()}
        | {"rescued share": [_share(value) for value in counts["rescued_share"]]}
    )
    counted = Table(
        "ladder_counts",
        "Results located per outcome and what each rung makes of them; rescued: derived or "
        "bounded, dropped by an analysis of printed means and SDs.",
        counts,
        shown,
    )
    return [whole, counted]


def half_reported(counts: pd.DataFrame) -> Markup:
    """Return the section's text and its table per outcome.

    Examples
    --------
    >>> half_reported(pd.DataFrame())
    '<p>The data hold no arms and no contrasts.</p>'
    """
    if not len(counts):
        return el("p", "The data hold no arms and no contrasts.")
    last = counts[counts["outcome"] == "all"].iloc[0]
    total = {key: words(last[key]) for key in counts.columns}
    said = (
        f"{total['in_results']} rows in use report {total['results']} distinct results about the "
        f"condition, and {total['reported']} of these are printed in full, as means with SDs or "
        f"an estimate with its interval. An analysis of those alone would drop "
        f"{total['rescued']} ({_share(total['rescued_share'])}) that still say something: "
        f"{total['derived']} give an exact size by algebra, {total['bounded']} give limits "
        f"({total['sign_only']} of them no more than a direction or “no difference”), and "
        f"{total['unusable']} say nothing that can be used."
    )
    rows: list[list[Piece]] = [
        [
            words(row["outcome"]).replace("_", " "),
            *(words(row[key]) for key in COUNTED),
            _share(row["rescued_share"]),
        ]
        for row in counts.to_dict("records")
    ]
    made = table(
        ["Outcome", *COUNTED.values(), "Share rescued"],
        rows,
        name="numbers",
        caption="Rows: of arms and contrasts, excluded ones too. Results: distinct, about the "
        "condition, from rows in use. Rescued: derived or bounded. Nothing is imputed unless a "
        "sensitivity analysis asks for it.",
    )
    return join((el("p", typeset(said)), made))


def _share(value: object) -> str:
    text = words(value)
    return percent(float(text)) if text else ""
