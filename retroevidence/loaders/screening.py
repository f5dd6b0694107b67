"""Screening: two people decide on each record, apart, in two stages; a third settles conflicts.

Every decision is one line of ``screening.csv``, written when it is taken and never changed: a
later line of the same person on the same record and stage takes the place of an earlier one. All
else is derived from these lines, so screening can stop and go on at any point.

A record passes a stage when both screeners include it, and is out when both exclude it; else it
waits for the other screener or is a conflict, which an arbiter, a third person by name, settles.
Full texts need one reason for each exclusion, so two different reasons are a conflict there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import pandas as pd

from retroevidence._show import Card, Carded, interval, number, percent
from retroevidence.errors import TableError, unknown_name
from retroevidence.loaders.logs import DECISIONS, STAGES, append_log, read_log
from retroevidence.loaders.screening_rules import (
    CONFLICT,
    KEY,
    NOT_REACHED,
    SAID,
    WAITING,
    Cells,
    filled,
    settle,
    wrong,
)

Data = str | os.PathLike[str] | None


@dataclass(frozen=True, eq=False, repr=False)
class Screening(Carded):
    """Where the screening of a review stands, made by :func:`screening`.

    Attributes
    ----------
    records : DataFrame
        The works, as :func:`retroevidence.loaders.strategies.search` keeps them.
    decisions : DataFrame
        The decision of each person on each record and stage that counts: the latest.
    table : DataFrame
        One row per record and stage: record_id, stage, state (``include``, ``exclude``,
        ``not_retrieved``, ``conflict``, ``waiting``, ``not reached``), reason, study_id, and who
        ``settled`` it (the two screeners, or the arbiter).

    Examples
    --------
    >>> import tempfile
    >>> from retroevidence.loaders.scaffold import new
    >>> from retroevidence.loaders.strategies import search
    >>> review = new(tempfile.mkdtemp() + "/stairs")
    >>> found = search(review)
    >>> screening(review).waiting("ann", "title_abstract")["record_id"].tolist()
    ['r0001', 'r0002', 'r0003', 'r0004']
    """

    records: pd.DataFrame
    decisions: pd.DataFrame

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per record and stage."""
        by_key: dict[tuple[str, str], list[Cells]] = {}
        for row in _plain(self.decisions):
            by_key.setdefault((row["record_id"], row["stage"]), []).append(row)
        rows = []
        for record_id in self.records["record_id"]:
            reached = True
            for stage in STAGES:
                said = by_key.get((record_id, stage), [])
                state = settle(stage, said) if reached else {"state": NOT_REACHED}
                rows.append({"record_id": record_id, "stage": stage, **state})
                reached = state["state"] == "include"
        columns = ["record_id", "stage", "state", "reason", "study_id", "settled"]
        return pd.DataFrame(rows, columns=columns).astype("string")

    @cached_property
    def conflicts(self) -> pd.DataFrame:
        """What an arbiter has to settle: record_id, stage, title, and who said what."""
        open_ = self.table[self.table["state"] == CONFLICT]
        titles = self.records.set_index("record_id")["title"]
        rows = []
        for record_id, stage in open_[["record_id", "stage"]].itertuples(index=False):
            said = self.decisions[
                (self.decisions["record_id"] == record_id) & (self.decisions["stage"] == stage)
            ]
            rows.append(
                {
                    "record_id": record_id,
                    "stage": stage,
                    "title": titles[record_id],
                    "said": "; ".join(_said(row) for row in _plain(said)),
                }
            )
        return pd.DataFrame(rows, columns=["record_id", "stage", "title", "said"])

    @cached_property
    def agreement(self) -> pd.DataFrame:
        """How well two screeners agree before any conflict is settled.

        One row per stage and pair: n (records both decided on), observed (share of equal
        decisions), kappa (Cohen's, with its 95 % interval ci_low to ci_high). Reasons do not
        count. Kappa is missing where both gave one and the same decision throughout, because
        chance alone would then agree as well; the interval where they agree in all, or in none.
        """
        own = self.decisions[self.decisions["role"] == "screener"]
        rows = []
        for stage in STAGES:
            part = own[own["stage"] == stage]
            wide = part.pivot_table("decision", "record_id", "screener", aggfunc="first")
            names = sorted(map(str, wide.columns))
            for i, one in enumerate(names):
                for two in names[i + 1 :]:
                    both = wide[[one, two]].dropna()
                    if len(both):
                        rows.append({"stage": stage, "one": one, "two": two, **_kappa(both)})
        columns = ["stage", "one", "two", "n", "observed", "kappa", "ci_low", "ci_high"]
        return pd.DataFrame(rows, columns=columns)

    def waiting(self, screener: str, stage: str | None = None) -> pd.DataFrame:
        """Return the records a screener can decide on now, in their order.

        Parameters
        ----------
        screener : str
            Name; what others said is not shown, nor what this one has said already.
        stage : {"title_abstract", "full_text"}, optional
            One stage; both by default.

        Returns
        -------
        DataFrame
            The columns of `records`, and stage.

        Raises
        ------
        UnknownNameError
            If there is no such stage.
        """
        if stage is not None and stage not in STAGES:
            raise unknown_name("stage", stage, STAGES)
        open_ = self.table[self.table["state"] == WAITING]
        open_ = open_ if stage is None else open_[open_["stage"] == stage]
        own = self.decisions[self.decisions["screener"] == screener]
        done = set(zip(own["record_id"], own["stage"], strict=True))
        pairs = [
            (record_id, one)
            for record_id, one in zip(open_["record_id"], open_["stage"], strict=True)
            if (record_id, one) not in done
        ]
        chosen = pd.DataFrame(pairs, columns=["record_id", "stage"], dtype="string")
        return chosen.merge(self.records, on="record_id", how="left").sort_values(
            "stage", key=lambda column: column.map(STAGES.index), kind="stable", ignore_index=True
        )

    @property
    def counts(self) -> pd.DataFrame:
        """How many records stand where: one row per stage, one column per state."""
        states = [*DECISIONS, CONFLICT, WAITING, NOT_REACHED]
        counted = pd.crosstab(self.table["stage"], self.table["state"])
        return counted.reindex(index=list(STAGES), columns=states, fill_value=0)

    def _card(self) -> Card:
        pairs = []
        for stage, row in self.counts.iterrows():
            parts = [f"{n} {str(state).replace('_', ' ')}" for state, n in row.items() if n]
            pairs.append((_words(stage), ", ".join(parts) or "no record"))
        for pair in _plain(self.agreement):
            who = f"{pair['one']} and {pair['two']}, {_words(pair['stage'])}"
            pairs.append((who, _agreed(pair)))
        table = self.conflicts if len(self.conflicts) else None
        return Card(f"Screening: {len(self.records)} records", pairs, table)


def screening(data: Data = None) -> Screening:
    """Return where the screening of a review stands.

    Parameters
    ----------
    data : path, optional
        Directory of a review; the library's own by default.

    Returns
    -------
    Screening

    Raises
    ------
    TableError
        If a line of ``screening.csv`` breaks a rule of screening, with its line.

    Examples
    --------
    >>> import tempfile
    >>> from retroevidence.loaders.scaffold import new
    >>> from retroevidence.loaders.strategies import search
    >>> review = new(tempfile.mkdtemp() + "/stairs")
    >>> found = search(review)
    >>> decide([{"record_id": "r0001", "screener": "ann", "decision": "include"}], review)
    1
    >>> decide([{"record_id": "r0001", "screener": "ben", "decision": "include"}], review)
    1
    >>> screening(review)
    Screening: 4 records
      title and abstract  1 include, 3 waiting
      full text           1 waiting, 3 not reached
      ann and ben, title and abstract  n = 1, agree in 100%, kappa not available
    """
    records, lines = read_log("records", data), read_log("screening", data)
    return _state(records, _plain(lines), numbered=True)


def decide(
    decisions: Iterable[Mapping[str, Any]] | pd.DataFrame,
    data: Data = None,
    *,
    today: date | None = None,
) -> int:
    """Record screening decisions in a review: all of them or, if one is wrong, none.

    Parameters
    ----------
    decisions : rows
        A DataFrame, or dicts, with record_id, screener and decision (``include``, ``exclude``,
        at full text also ``not_retrieved``); by choice stage (``title_abstract``, the default, or
        ``full_text``), reason (required to exclude a full text), study_id (of an included full
        text: the study it reports; reports of one study share it), role (``screener``, the
        default, or ``arbiter``, who settles a conflict) and date.
    data : path, optional
        Directory of a review; the library's own by default.
    today : date, optional
        Date of decisions that give none; today by default.

    Returns
    -------
    int
        How many were added; a decision that stands already is not added again.

    Raises
    ------
    RetroEvidenceError
        If a decision names no known record, comes before its stage is reached, lacks a reason,
        or is a third screener's, or an arbiter's where there is no conflict or who is one of the
        screeners. Nothing is then added.

    Examples
    --------
    >>> import tempfile
    >>> from retroevidence.loaders.scaffold import new
    >>> from retroevidence.loaders.strategies import search
    >>> review = new(tempfile.mkdtemp() + "/stairs")
    >>> found = search(review)
    >>> decide([{"record_id": "r0001", "screener": "ann", "decision": "include"}], review)
    1
    """
    day = (today or date.today()).isoformat()
    rows: Iterable[Mapping[Any, Any]]
    rows = _plain(decisions) if isinstance(decisions, pd.DataFrame) else decisions
    new = [filled(row, day, place) for place, row in enumerate(rows, 1)]
    if not new:
        return 0
    records, lines = read_log("records", data), _plain(read_log("screening", data))
    standing = {tuple(row[n] for n in KEY): row for row in lines}
    added = [
        row
        for row in new
        if any((standing.get(tuple(row[n] for n in KEY)) or {}).get(n) != row[n] for n in SAID)
    ]
    _state(records, [*lines, *added], numbered=False)
    append_log("screening", added, data)
    return len(added)


def _state(records: pd.DataFrame, lines: list[Cells], *, numbered: bool) -> Screening:
    """Walk through the decisions in their order and check each against those before it."""
    known = set(records["record_id"])
    latest: dict[tuple[str, str, str, str], Cells] = {}
    groups: dict[tuple[str, str], list[Cells]] = {}
    for line, row in enumerate(lines, 2):
        broken = wrong(row, known, groups)
        if broken:
            raise TableError(
                "screening.csv" if numbered else "decisions",
                broken[0],
                broken[1],
                row=line if numbered else None,
                column=broken[2],
                value=row[broken[2]] or "a blank",
            )
        key = (row["record_id"], row["stage"], row["screener"], row["role"])
        latest.pop(key, None)
        latest[key] = row
        group = groups.setdefault(key[:2], [])
        group[:] = [r for r in group if (r["screener"], r["role"]) != key[2:]] + [row]
    columns = [*KEY, *SAID, "date"]
    table = pd.DataFrame(list(latest.values()), columns=columns).astype("string")
    return Screening(records, table)


def _kappa(both: pd.DataFrame) -> dict[str, Any]:
    """Return Cohen's kappa of two columns of decisions, with its asymptotic 95 % interval.

    The standard error is that of Fleiss, Cohen & Everitt 1969, Psychological Bulletin 72:323-327.
    It is 0 where nobody differs, or nobody agrees: then there is no interval.
    """
    import numpy as np
    from statsmodels.stats.inter_rater import cohens_kappa

    words = sorted({*both.iloc[:, 0], *both.iloc[:, 1]})
    crossed = pd.crosstab(both.iloc[:, 0], both.iloc[:, 1])
    counts = crossed.reindex(index=words, columns=words, fill_value=0).to_numpy(float)
    n, equal = float(counts.sum()), float(counts.trace())
    found: dict[str, Any] = {"n": int(n), "observed": equal / n}
    found |= dict.fromkeys(("kappa", "ci_low", "ci_high"), float("nan"))
    if len(words) > 1:
        # A standard error of 0 makes the z value, which is not used, a division by 0.
        with np.errstate(divide="ignore", invalid="ignore"):
            result = cohens_kappa(counts)
        found["kappa"] = float(result.kappa)
        if result.std_kappa > 0:
            found["ci_low"] = max(-1.0, float(result.kappa_low))
            found["ci_high"] = min(1.0, float(result.kappa_upp))
    return found


def _plain(table: pd.DataFrame) -> list[Cells]:
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(k): v for k, v in row.items()} for row in rows]


def _said(row: Cells) -> str:
    why = f" ({row['reason']})" if row["reason"] else ""
    return f"{row['screener']}: {row['decision'].replace('_', ' ')}{why}"


def _words(stage: Any) -> str:
    return {"title_abstract": "title and abstract", "full_text": "full text"}[str(stage)]


def _agreed(row: Mapping[Any, Any]) -> str:
    text = f"n = {row['n']}, agree in {percent(row['observed'])}, kappa {number(row['kappa'], 2)}"
    if row["ci_low"] is not None:
        text += f" {interval(row['ci_low'], row['ci_high'], 2)}"
    return text
