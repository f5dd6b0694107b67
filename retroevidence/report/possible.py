"""Whether printed numbers agree with each other: flags with their arithmetic, verdicts without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from retroevidence.report.cells import rung_estimate, words
from retroevidence.report.markup import Markup, Piece, el, join, link, table
from retroevidence.report.names import study_label
from retroevidence.report.prose import typeset
from retroevidence.report.table import Table

#: What a check can find, in the order of the columns.
STATUSES = ("consistent", "flag", "not assessable")

#: Address and place of each row by its id.
Sources = Mapping[str, tuple[str, str]]


def flags(integrity: pd.DataFrame) -> pd.DataFrame:
    """Return the findings in which numbers do not agree."""
    return integrity[integrity["status"] == "flag"].reset_index(drop=True)


def integrity_tables(integrity: pd.DataFrame, without: pd.DataFrame) -> list[Table]:
    """Return all flags, the counts by check, and the verdicts without flagged rows.

    Parameters
    ----------
    integrity : DataFrame
        From :func:`retroevidence.claims.integrity.integrity`.
    without : DataFrame
        From :func:`retroevidence.claims.without_flagged.compare_verdicts`.
    """
    found = flags(integrity)
    readable = found[
        ["study_id", "rows", "check", "printed", "recomputed", "arithmetic", "note", "used"]
    ].rename(columns={"study_id": "study"})
    counts = integrity_counts(integrity)
    verdicts = pd.DataFrame(
        {
            "claim": without["claim_id"],
            "verdict": without["verdict"],
            "without flagged rows": without["verdict_without"],
            "k": without["k"].map(words),
            "k without": without["k_without"].map(words),
            "rows left out": without["rows_left_out"],
        }
    )
    return [
        Table(
            "integrity",
            "Printed numbers that do not agree with each other, with the arithmetic. A flag "
            "describes numbers, never people.",
            found,
            readable,
        ),
        Table(
            "integrity_counts",
            "Checks of printed numbers, by what they found.",
            counts,
            counts.map(words),
        ),
        Table(
            "verdicts_without_flagged",
            "The verdict of each claim with and without the rows that a flag names.",
            without,
            verdicts,
        ),
    ]


def integrity_counts(integrity: pd.DataFrame) -> pd.DataFrame:
    """Count the findings of each check by status, and of all checks at the end.

    Examples
    --------
    >>> found = pd.DataFrame({"check": ["GRIM", "GRIM"], "status": ["flag", "consistent"]})
    >>> print(integrity_counts(found).to_string(index=False))
    check  consistent  flag  not assessable  checks
     GRIM           1     1               0       2
      all           1     1               0       2
    """
    counted = pd.crosstab(integrity["check"], integrity["status"])
    counted = counted.reindex(columns=list(STATUSES), fill_value=0).astype("int64")
    counted.loc["all"] = counted.sum()
    counted["checks"] = counted.sum(axis=1)
    return pd.DataFrame({"check": [str(name) for name in counted.index]}).join(
        counted.reset_index(drop=True)
    )


def possible(integrity: pd.DataFrame, without: pd.DataFrame, sources: Sources) -> Markup:
    """Return the section's text, the counts, the verdicts and the collapsible flags."""
    if not len(integrity):
        return el("p", "No printed number can be checked against another.")
    counts = integrity_counts(integrity)
    total = counts.iloc[-1]
    found = flags(integrity)
    said = (
        f"{total['checks']} checks set printed numbers against each other: in "
        f"{total['consistent']} they agree, {total['flag']} are flagged, and "
        f"{total['not assessable']} could not be made with what is printed."
    )
    meant = (
        "A flag says that numbers printed together do not agree. It describes numbers, never "
        "people: misprints, rounding on the way, drop-outs, a test that is not named and a slip in "
        "copying all look the same from here."
    )
    rows: list[list[Piece]] = [
        [words(row["check"]), *(words(row[name]) for name in (*STATUSES, "checks"))]
        for row in counts.to_dict("records")
    ]
    parts: list[Piece] = [
        el("p", said),
        el("p", meant),
        table(
            ["Check", "Agree", "Flagged", "Not assessable", "All"],
            rows,
            name="numbers",
            caption="What each check found, over all rows that can be checked.",
        ),
        _verdicts(without),
    ]
    if len(found):
        summary = el("summary", f"Every flag with its arithmetic ({len(found)})")
        parts.append(el("details", summary, flag_list(found, sources)))
    return join(parts)


def flag_list(found: pd.DataFrame, sources: Sources) -> Markup:
    """Return flags as a list: what is printed and where, what comes out, and how."""
    items = []
    for row in found.to_dict("records"):
        ids = [one for one in words(row["rows"]).split(";") if one]
        head = el("strong", f"{study_label(words(row['study_id']))}, {words(row['check'])}")
        pieces: list[Piece] = [head, f": printed {typeset(words(row['printed']))}"]
        if words(row["recomputed"]):
            pieces.append(f"; recomputed {typeset(words(row['recomputed']))}")
        pieces += [". ", el("span", typeset(words(row["arithmetic"])), class_="sum"), ". "]
        if words(row["note"]):
            pieces.append(f"Note: {typeset(words(row['note']))}. ")
        if words(row["used"]) == "no":
            pieces.append("Not in use anyway. ")
        items.append(el("li", *pieces, "Read at ", row_links(ids, sources), "."))
    return el("ul", *items, class_="flags")


def row_links(ids: Sequence[str], sources: Sources) -> Markup:
    """Return row ids, each a link to the page it was read on, with the places on it.

    Examples
    --------
    >>> row_links(["a001", "a002"], {"a001": ("https://a.org/x", "abstract")})
    '<a href="https://a.org/x" rel="noreferrer">a001</a>, a002 (abstract)'
    """
    known = [sources.get(one, ("", "")) for one in ids]
    named = [
        link(url.split()[0], one) if url else one for one, (url, _) in zip(ids, known, strict=True)
    ]
    places = list(dict.fromkeys(place for _, place in known if place))
    return join((join(named, ", "), f" ({'; '.join(places)})" if places else ""))


def claim_flags(claim: Mapping[str, object], integrity: pd.DataFrame, without: pd.DataFrame,
                sources: Sources) -> Markup:  # fmt: skip
    """Return the flagged rows that a claim selects, and its verdict without them; else nothing."""
    if not len(without):
        return Markup("")
    row = without.set_index("claim_id").loc[str(claim["claim_id"])]
    ids = {one for one in words(row["rows_left_out"]).split(";") if one}
    found = flags(integrity)
    own = found[[bool(ids & set(str(cell).split(";"))) for cell in found["rows"]]]
    if not ids or not len(own):
        return Markup("")
    now = "is" if row["changed"] else "stays"
    kind = {"rung": row["rung_without"], "estimate": row["estimate_without"],
            "ci_low": row["ci_low_without"], "ci_high": row["ci_high_without"]}  # fmt: skip
    numbers = rung_estimate(kind, claim["measure"])
    listed = [f"{row['certainty_without']} certainty", numbers, f"k = {words(row['k_without'])}"]
    shown = ", ".join(part for part in listed if part)
    said = typeset(f"Without these rows the verdict {now} {row['verdict_without']} ({shown}).")
    count = f"{len(own)} flag{'s' if len(own) != 1 else ''} on rows selected here, with arithmetic"
    return join(
        (
            el("h4", "Numbers that do not agree"),
            el("p", said),
            el("details", el("summary", count), flag_list(own, sources)),
        )
    )


def _verdicts(without: pd.DataFrame) -> Markup:
    if not len(without):
        return Markup("")
    touched = without[without["rows_left_out"] != ""]
    changed = int(touched["changed"].sum())
    said = (
        f"Flagged rows are selected for {len(touched)} of {len(without)} claims. Without them "
        f"{changed} verdict{'s' if changed != 1 else ''} "
        f"{'are' if changed != 1 else 'is'} another."
    )
    if not len(touched):
        return el("p", said)
    rows: list[list[Piece]] = [
        [
            el("a", str(row["claim_id"]).replace("_", " "), href=f"#claim-{row['claim_id']}"),
            words(row["verdict"]),
            el("strong", words(row["verdict_without"])) if row["changed"] else
            words(row["verdict_without"]),
            f"{words(row['k'])} and {words(row['k_without'])}",
            words(row["rows_left_out"]).replace(";", ", "),
        ]
        for row in touched.to_dict("records")
    ]  # fmt: skip
    made = table(
        ["Claim", "Verdict", "Without flagged rows", "k, with and without", "Rows left out"],
        rows,
        caption="A selected comparison that names a flagged row is left out as a whole.",
    )
    return join((el("p", said), made))
