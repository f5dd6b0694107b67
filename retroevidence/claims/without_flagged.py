"""A sensitivity run: the verdicts with and without the rows that the integrity checks flag."""

from __future__ import annotations

import pandas as pd

from retroevidence.claims.check import check
from retroevidence.claims.evidence import Data, selected
from retroevidence.claims.integrity import flagged_rows
from retroevidence.loaders.tables import load

#: What is shown of each verdict, once with and once without the flagged rows.
SHOWN = ["verdict", "certainty", "estimate", "ci_low", "ci_high", "k", "rung"]

#: Columns of the selection table that hold row ids, joined by ``;``.
ROW_COLUMNS = ("experimental", "comparator", "contrast")


def compare_verdicts(data: Data = None) -> pd.DataFrame:
    """Judge every claim with and without the rows that :func:`integrity` flags.

    A selection line that names a flagged row is left out as a whole, in every analysis: which of
    its numbers is amiss is not known.

    Parameters
    ----------
    data : path, optional
        Directory of tables; the library's own by default. It is not changed.

    Returns
    -------
    DataFrame
        One row per claim: ``claim_id``, the columns `SHOWN`, the same with ``_without``,
        ``rows_left_out`` (ids, joined by ``;``) and ``changed`` (whether the verdict is another).

    Raises
    ------
    RetroEvidenceError
        If the tables break their record, or the selection does not fit them.

    Examples
    --------
    >>> from retroevidence.claims.without_flagged import compare_verdicts
    >>> table = compare_verdicts().set_index("claim_id")
    >>> bool(table.loc["knee_pain", "changed"])
    False
    """
    flagged = flagged_rows(data)
    rows = []
    for claim in map(str, load("claims", data)["claim_id"]):
        left_out = sorted(flagged & _named(selected(claim, data)))
        # Claims on which no flag bears keep their verdict; judging them again adds nothing.
        before = check(claim, data).summary.iloc[0]
        after = before
        if left_out:
            after = check(claim, data, without=frozenset(left_out)).summary.iloc[0]
        rows.append(
            {
                "claim_id": claim,
                **{column: before[column] for column in SHOWN},
                **{f"{column}_without": after[column] for column in SHOWN},
                "rows_left_out": ";".join(left_out),
                "changed": bool(before["verdict"] != after["verdict"]),
            }
        )
    return pd.DataFrame(rows)


def _named(lines: pd.DataFrame) -> set[str]:
    """Return all row ids that selection lines name."""
    cells = (cell for column in ROW_COLUMNS for cell in lines[column].dropna())
    return {one for cell in cells for one in str(cell).split(";")}
