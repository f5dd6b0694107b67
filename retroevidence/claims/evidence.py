"""Where the tables meet the effects: one question to the tables, and the rows a claim selects."""

from __future__ import annotations

import os
from typing import Any

import pandas as pd

from retroevidence.effects.assemble import assemble
from retroevidence.effects.comparisons import pair
from retroevidence.errors import RetroEvidenceError, unknown_name
from retroevidence.loaders.record import read_record
from retroevidence.loaders.tables import load

Data = str | os.PathLike[str] | None


def effects(
    outcome: str | None = None, measure: str = "SMD", data: Data = None, **filters: Any
) -> pd.DataFrame:
    """Return every comparison of an outcome in the tables as an effect row.

    All results of a study are there, so rows of one study depend on each other: choose one per
    sample before pooling, as `selection.csv` does for the claims.

    Parameters
    ----------
    outcome : str, optional
        Outcome as in the tables, for example ``"pain"``; all outcomes by default.
    measure : {"SMD", "MD", "ROMC", "SMCC", "RR", "OR"}
        ``ROMC`` (log ratio of means) and ``SMCC`` for two conditions in the same people; the others
        for independent groups, of which ``RR`` and ``OR`` take counts of events.
    data : path, optional
        Directory of tables; the library's own by default.
    **filters
        Column = value or list of values, for columns of arms, contrasts or studies, for example
        ``condition="knee_oa"``, ``task="walking"``, ``timepoint=["post", "change"]``.

    Returns
    -------
    DataFrame
        One row per comparison, with ``yi vi lower upper basis how`` and where it was read.

    Raises
    ------
    UnknownNameError
        If the outcome or a filter's column is not in the tables.

    Examples
    --------
    >>> import retroevidence as rv
    >>> pain = rv.effects("pain", measure="SMD", condition="knee_oa")
    >>> sorted(pain.loc[pain["basis"] == "reported", "study_id"].unique())
    ['chen2021', 'gondhalekar2013', 'joshi2019', 'shabbir2022']
    """
    arms, contrasts, studies = load("arms", data), load("contrasts", data), load("studies", data)
    own = {*arms.columns, *contrasts.columns}
    of_rows = {c: v for c, v in filters.items() if c in own}
    for column, wanted in filters.items():
        if column in own:
            continue
        if column not in studies.columns:
            raise unknown_name("column", column, own | {*studies.columns})
        values = [wanted] if isinstance(wanted, str) else list(wanted)
        studies = studies[studies[column].isin(values)]
    keep = set(studies["study_id"])
    arms = arms[arms["study_id"].isin(keep)]
    contrasts = contrasts[contrasts["study_id"].isin(keep)]
    comparisons = pair(arms, contrasts, outcome=outcome, **of_rows)
    return assemble(comparisons, arms, contrasts, measure=measure)


def claim_row(claim_id: str, data: Data = None) -> dict[str, Any]:
    """Return one row of the claims table, and what the experimental arms of the review do."""
    claims = load("claims", data).set_index("claim_id", drop=False)
    if claim_id not in claims.index:
        raise unknown_name("claim", claim_id, claims.index)
    row = {str(k): (None if pd.isna(v) else v) for k, v in claims.loc[claim_id].items()}
    return row | {"experimental": read_record(data).experimental}


def selected(claim_id: str, data: Data = None) -> pd.DataFrame:
    """Return the selection lines of a claim, in the order of the file."""
    table = load("selection", data)
    return table[table["claim_id"] == claim_id].reset_index(drop=True)


def claim_effects(lines: pd.DataFrame, claim: dict[str, Any], data: Data = None) -> pd.DataFrame:
    """Return the effect rows of selection lines, with what the lines say about them."""
    measure = claim["measure"]
    twice = lines["comparison"].duplicated()
    if twice.any():
        raise RetroEvidenceError(
            f"selection.csv: claim {claim['claim_id']} names comparison "
            f"{lines.loc[twice, 'comparison'].iloc[0]!r} twice in one analysis; count each "
            "independent comparison once."
        )
    frame = assemble(
        lines,
        load("arms", data),
        load("contrasts", data),
        measure=measure,
        toward_benefit=claim["claimed_direction"] == "better",
    )
    for column in ("indirect", "reason"):
        frame[column] = lines[column].to_numpy()
    return frame
