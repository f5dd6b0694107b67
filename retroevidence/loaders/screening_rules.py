"""The rules of screening: which decisions may be taken, and what they make of a record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from retroevidence.errors import RetroEvidenceError, unknown_name
from retroevidence.loaders.logs import DECISIONS, ROLES, STAGES

#: One decision, or where a record stands: cells by column, blank as None.
Cells = dict[str, Any]

#: People whose decisions a record needs at each stage.
SCREENERS = 2

# Where a record stands at one stage when it is neither in nor out.
NOT_REACHED, WAITING, CONFLICT = "not reached", "waiting", "conflict"

#: What makes a decision one, and what it says.
KEY = ["record_id", "stage", "screener", "role"]
SAID = ["decision", "reason", "study_id"]


def filled(row: Mapping[Any, Any], day: str, place: int) -> Cells:
    """Return a decision with every column, the usual stage, role and date where it gives none.

    Parameters
    ----------
    row : mapping
        A decision as it was given.
    day : str
        Its date unless it gives one.
    place : int
        Its place among those given, for messages.

    Raises
    ------
    UnknownNameError
        If it has an unknown column or word.
    RetroEvidenceError
        If nobody took it.

    Examples
    --------
    >>> given = {"record_id": "r0001", "screener": "ann", "decision": "include"}
    >>> filled(given, "2026-01-31", 1)["stage"]
    'title_abstract'
    """
    known = [*KEY, *SAID, "date"]
    for name in row:
        if name not in known:
            raise unknown_name(f"column of decision {place}", str(name), known)
    full: Cells = {name: _blank(row.get(name)) for name in known}
    full["stage"] = full["stage"] or STAGES[0]
    full["role"] = full["role"] or ROLES[0]
    full["date"] = full["date"] or day
    for name, words in (("stage", STAGES), ("role", ROLES), ("decision", DECISIONS)):
        if full[name] not in words:
            raise unknown_name(f"{name} (decision {place})", full[name], words)
    if not full["screener"]:
        raise RetroEvidenceError(f"decision {place} has no screener; say who decided.")
    return full


def wrong(
    row: Cells, known: set[str], groups: Mapping[tuple[str, str], list[Cells]]
) -> tuple[str, str, str] | None:
    """Say what is wrong with a decision after those before it.

    Parameters
    ----------
    row : dict
        The decision.
    known : set of str
        Ids of the records.
    groups : mapping
        By record and stage the decisions that stand so far.

    Returns
    -------
    tuple or None
        The rule it breaks, how to mend it, and the column; None if nothing is wrong.

    Examples
    --------
    >>> row = filled({"record_id": "r9", "screener": "ann", "decision": "include"}, "", 1)
    >>> wrong(row, {"r0001"}, {})[0]
    'is no record of this review'
    """
    record, stage = row["record_id"], row["stage"]
    said = groups.get((record, stage), [])
    names = [r["screener"] for r in said if r["role"] == "screener"]
    if record not in known:
        return "is no record of this review", "look it up in records.csv", "record_id"
    if stage == "full_text":
        before = settle(STAGES[0], groups.get((record, STAGES[0]), []))["state"]
        if before != "include":
            return (
                f"has not passed title and abstract ({before})",
                "decide on title and abstract first",
                "record_id",
            )
        if row["decision"] == "exclude" and not row["reason"]:
            return "excludes a full text without a reason", "say why in reason", "decision"
    elif row["decision"] == "not_retrieved":
        return "is a decision on full texts", "write include or exclude", "decision"
    if row["role"] == "screener":
        if row["screener"] not in names and len(names) >= SCREENERS:
            return (
                f"is a third screener of {record}, after {' and '.join(names)}",
                "give the role arbiter to the one who settles a conflict",
                "screener",
            )
        return None
    if row["screener"] in names:
        return f"screened {record} already", "have a third person settle the conflict", "screener"
    if settle(stage, [r for r in said if r["role"] == "screener"])["state"] != CONFLICT:
        return f"settles {record}, which is no conflict", "take this decision out", "screener"
    return None


def settle(stage: str, said: Iterable[Cells]) -> Cells:
    """Return where a record stands at a stage, from what was said on it.

    Examples
    --------
    >>> said = {"role": "screener", "decision": "include", "reason": None, "study_id": None}
    >>> two = [said | {"screener": "ann"}, said | {"screener": "ben"}]
    >>> settle("title_abstract", two[:1])["state"], settle("title_abstract", two)["state"]
    ('waiting', 'include')
    """
    rows = list(said)
    own = [row for row in rows if row["role"] == "screener"]
    if len(own) < SCREENERS:
        return {"state": WAITING}
    arbiter = [row for row in rows if row["role"] == "arbiter"]
    by = " and ".join(row["screener"] for row in own)
    differs = len({row["decision"] for row in own}) > 1
    if stage == "full_text":
        column = {"exclude": "reason", "include": "study_id"}.get(own[0]["decision"], "decision")
        differs = differs or len({row[column] for row in own} - {None}) > 1
    if differs:
        if not arbiter:
            return {"state": CONFLICT}
        return _state_of(arbiter[-1:], arbiter[-1]["screener"])
    return _state_of(own, by)


def _state_of(rows: list[Cells], by: str) -> Cells:
    first = {name: next((r[name] for r in rows if r[name]), None) for name in SAID}
    return {
        "state": first["decision"],
        "reason": first["reason"] if first["decision"] == "exclude" else None,
        "study_id": first["study_id"] if first["decision"] == "include" else None,
        "settled": by,
    }


def _blank(value: Any) -> str | None:
    if value is None or value is pd.NA or value != value:
        return None
    return " ".join(str(value).split()) or None
