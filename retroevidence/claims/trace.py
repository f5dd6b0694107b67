"""From any pooled number back to the page: weights, effect rows, formulas, source rows."""

from __future__ import annotations

from typing import Any

import pandas as pd

from retroevidence.claims.check import Checked
from retroevidence.claims.evidence import Data
from retroevidence.claims.synthesis import EFFECTS, WITH_BOUNDS
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.tables import load
from retroevidence.meta.censored.result import PooledCensored
from retroevidence.meta.result import Pooled

COLUMNS = [
    "study_id", "comparison", "outcome", "instrument", "measure", "yi", "vi", "basis", "how",
    "weight", "rung", "printed", "rows", "locator", "source_url",
]  # fmt: skip


def trace(result: Checked | Pooled | PooledCensored, data: Data = None) -> pd.DataFrame:
    """Walk a result back to what was printed, and where.

    Parameters
    ----------
    result : Checked, Pooled or PooledCensored
        A checked claim, or the pooled result of effect rows made by `effects`.
    data : path, optional
        Directory of tables; the library's own by default.

    Returns
    -------
    DataFrame
        One row per effect that entered: ``study_id yi vi basis how weight`` [%], the ids of the
        source ``rows``, what these rows ``printed``, ``locator`` and ``source_url``. Rows that
        entered only on a lower rung have no weight.

    Raises
    ------
    RetroEvidenceError
        If the effects carry no row ids, as when bare numbers were pooled.

    Examples
    --------
    >>> import retroevidence as rv
    >>> rv.trace(rv.check("knee_pain")).set_index("study_id").loc["chen2021", "printed"]
    'BW plus conventional 1.56 (SD 0.63, n 16); conventional 2.25 (SD 0.86, n 16)...'
    """
    if isinstance(result, Checked):
        frame = result.effects.copy()
        if "rows" not in frame.columns:
            raise RetroEvidenceError(
                f"claim {result.claim_id} rests on counts, not on effects; its rows are in "
                ".effects."
            )
        headline = {EFFECTS: result.pooled, WITH_BOUNDS: result.censored}.get(result.rung)
        if headline is not None:
            weights = headline.studies.set_index("comparison")["weight"]
            frame["weight"] = frame["comparison"].map(weights)
    else:
        frame = result.studies.copy()
        if "rows" not in frame.columns:
            raise RetroEvidenceError(
                "these effects carry no source rows; make them with effects(...) to trace them."
            )
    frame["printed"] = [_printed(ids, data) for ids in frame["rows"]]
    for column in COLUMNS:
        if column not in frame.columns:
            frame[column] = float("nan") if column == "weight" else pd.NA
    return frame[COLUMNS].reset_index(drop=True)


def source_rows(result: Checked | Pooled | PooledCensored, data: Data = None) -> pd.DataFrame:
    """Return the whole rows of the tables from which a result was made.

    Parameters
    ----------
    result, data
        As in :func:`trace`.

    Returns
    -------
    DataFrame
        One row per source row: ``table row_id`` and all its filled columns.

    Raises
    ------
    RetroEvidenceError
        As :func:`trace`.

    Examples
    --------
    >>> import retroevidence as rv
    >>> rows = rv.source_rows(rv.check("knee_pain")).set_index("row_id")
    >>> rows.loc["a067", "study_id"], float(rows.loc["a067", "mean"])
    ('chen2021', 1.56)
    """
    found = []
    for ids in trace(result, data)["rows"]:
        for row_id in str(ids).split(";"):
            table, row = _row(row_id, data)
            found.append({"table": table, "row_id": row_id, **row})
    return pd.DataFrame(found).dropna(axis="columns", how="all")


def _row(row_id: str, data: Data) -> tuple[str, dict[str, Any]]:
    name, key = ("arms", "arm_id") if row_id.startswith("a") else ("contrasts", "contrast_id")
    table = load(name, data)
    return name, {str(k): v for k, v in table[table[key] == row_id].iloc[0].items()}


def _printed(ids: str, data: Data) -> str:
    """Say in one line what the source rows print."""
    return "; ".join(_say(*_row(row_id, data)) for row_id in str(ids).split(";"))


def _say(table: str, row: dict[str, Any]) -> str:
    known = {k: v for k, v in row.items() if not pd.isna(v)}
    if table == "arms":
        spread = [f"SD {known['sd']:g}"] if "sd" in known else []
        size = [f"n {known['n']:g}"] if "n" in known else []
        inside = f" ({', '.join(spread + size)})" if spread + size else ""
        if "events" in known:
            return f"{known['arm']} {known['events']:g} events{inside}"
        mean = f"{known['mean']:g}" if "mean" in known else "no mean"
        return f"{known['arm']} {mean}{inside}"
    parts = []
    if "estimate" in known:
        parts.append(f"{known['estimate']:g} {known.get('unit', '')}".strip())
    if "ci_low" in known:
        parts.append(f"95% CI {known['ci_low']:g} to {known['ci_high']:g}")
    if "t_value" in known:
        parts.append(f"t = {known['t_value']:g}")
    if "f_value" in known:
        parts.append(f"F = {known['f_value']:g}")
    if "p_value" in known:
        parts.append(f"p {known['p_op']} {known['p_value']:g}")
    if "direction" in known:
        words = {"none": "no difference reported"}
        parts.append(words.get(known["direction"], known["direction"]))
    return f"{known['contrast']}: {', '.join(parts) if parts else 'no number'}"
