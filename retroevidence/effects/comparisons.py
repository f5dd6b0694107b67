"""Which comparisons the tables contain: matched arms, and rows that compare two."""

from __future__ import annotations

from typing import Any

import pandas as pd

from retroevidence.errors import check_name, unknown_name

#: Columns in which the two arms of one comparison agree.
MATCHED_ON = "study_id outcome instrument muscle unit condition_detail timepoint".split()


def pair(
    arms: pd.DataFrame, contrasts: pd.DataFrame, *, outcome: str | None = None, **filters: Any
) -> pd.DataFrame:
    """List the comparisons that the tables contain: matched arms, and contrast rows.

    Arms match when study, outcome, instrument, muscle, unit, condition and timepoint are equal and
    exactly one arm of each role is there. Contrast rows within one group (before against after)
    and between populations are left out: they are no effect of the experimental condition.

    Parameters
    ----------
    arms, contrasts : DataFrame
        Tables as `load` returns them; excluded rows are left out here.
    outcome : str, optional
        Keep this outcome only.
    **filters
        Column = value (or a list of values), applied to both tables.

    Returns
    -------
    DataFrame
        One row per comparison: ``study_id comparison experimental comparator contrast``.

    Raises
    ------
    UnknownNameError
        If a filter names no column, or `outcome` is not in the tables.
    """
    if outcome is not None:
        known = {*arms["outcome"].dropna(), *contrasts["outcome"].dropna()}
        check_name("outcome", outcome, known)
        filters = {"outcome": outcome, **filters}
    kept = []
    for table in (arms, contrasts):
        keep = table["exclude"] == "no"
        for column, wanted in filters.items():
            if column not in arms.columns and column not in contrasts.columns:
                raise unknown_name("column", column, {*arms.columns, *contrasts.columns})
            if column in table.columns:
                values = [wanted] if isinstance(wanted, str) else list(wanted)
                keep &= table[column].isin(values)
        kept.append(table[keep])
    arms, contrasts = kept

    found: list[dict[str, str]] = []
    for _, group in arms.fillna({k: "" for k in MATCHED_ON}).groupby(MATCHED_ON, sort=False):
        one = group[group["role"] == "experimental"].to_dict("records")
        two = group[group["role"] == "comparator"].to_dict("records")
        if len(one) == len(two) == 1:
            found.append(
                {
                    "study_id": str(one[0]["study_id"]),
                    "comparison": f"{one[0]['study_id']}:{one[0]['arm_id']}",
                    "experimental": str(one[0]["arm_id"]),
                    "comparator": str(two[0]["arm_id"]),
                    "contrast": "",
                }
            )
    effects_of_condition = contrasts["kind"].isin(["between_groups", "within_person"])
    for row in contrasts[effects_of_condition].to_dict("records"):
        found.append(
            {
                "study_id": str(row["study_id"]),
                "comparison": f"{row['study_id']}:{row['contrast_id']}",
                "experimental": "",
                "comparator": "",
                "contrast": str(row["contrast_id"]),
            }
        )
    columns = ["study_id", "comparison", "experimental", "comparator", "contrast"]
    return pd.DataFrame(found, columns=columns)
