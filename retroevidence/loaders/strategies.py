"""Saved searches: run again at any time, every run logged, every record found kept once.

A review holds ``strategies.csv``, one row per search: PubMed by its query, any other source by the
file it exports (``.ris``, ``.nbib``, ``.bib``). A run writes three tables beside it. ``hits.csv``
has every record of every source with the work it is and why; ``records.csv`` the works;
``search_log.csv`` one line per strategy and run. Abstracts stay in the folder ``local/``, which git
passes over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from retroevidence._paths import data_dir, write_beside
from retroevidence._show import Card, Carded
from retroevidence.errors import RetroEvidenceError, TableError, unknown_name
from retroevidence.loaders.duplicates import deduplicate
from retroevidence.loaders.logs import LOGS, append_log, local_folder, read_log, replace_log
from retroevidence.loaders.references import read_references, table_of

PUBMED = "PubMed"
ABSTRACTS = "abstracts.csv"

_NEAR = ["first", "second", "score", "why_apart", "first_title", "second_title"]
_RECORD_FIELDS = [field.name for field in LOGS["records"].fields]


class Searches(Protocol):
    """What a search needs of a client, such as :class:`retroevidence.PubMed`."""

    def search(self, query: str, max_results: int | None = ...) -> pd.DataFrame:
        """Return the records found."""


@dataclass(frozen=True, eq=False, repr=False)
class Searched(Carded):
    """What one run found.

    Attributes
    ----------
    log : DataFrame
        The lines added to ``search_log.csv``: run_date, strategy_id, kind, database, query, file,
        from_date, to_date, found (as the source counts), read (records it gave), new (not seen in
        this strategy before), duplicates (of the new ones: works known already), records (works
        in the review after it).
    records : DataFrame
        All works, one row each, by ``record_id``.
    added : DataFrame
        Those of them that are new.
    merges : DataFrame
        The new hits that were works known already, each with rule, score of the titles, and the
        fields that differ.
    near : DataFrame
        Pairs that come near and were kept apart; for a person to look at.

    Examples
    --------
    >>> import tempfile
    >>> from retroevidence.loaders.scaffold import new
    >>> found = search(new(tempfile.mkdtemp() + "/stairs"))
    >>> found.records["record_id"].tolist()
    ['r0001', 'r0002', 'r0003', 'r0004']
    """

    log: pd.DataFrame
    records: pd.DataFrame
    added: pd.DataFrame
    merges: pd.DataFrame
    near: pd.DataFrame

    def _card(self) -> Card:
        new = len(self.added)
        title = f"Searched: {len(self.records)} records, {new} of them new"
        columns = ["strategy_id", "database", "found", "new", "duplicates"]
        pairs = [("near", f"{len(self.near)} pairs stay apart; look at .near")]
        return Card(title, pairs if len(self.near) else [], self.log[columns])


def search(
    data: str | os.PathLike[str] | None = None,
    *,
    pubmed: Searches | None = None,
    strategies: Iterable[str] = (),
    today: date | None = None,
) -> Searched:
    """Run the saved searches of a review and add what they find to its records.

    Parameters
    ----------
    data : path, optional
        Directory of a review with a ``strategies.csv``; the library's own by default.
    pubmed : PubMed, optional
        The client that strategies of the database PubMed ask.
    strategies : iterable of str, optional
        Run these only; all by default.
    today : date, optional
        The date of the run as it is logged; today by default.

    Returns
    -------
    Searched

    Raises
    ------
    TableError
        If ``strategies.csv`` is missing, has no row or breaks its rules.
    UnknownNameError
        If there is no such strategy.
    RetroEvidenceError
        If a strategy has neither a file nor a client to ask, or nothing can be written.
    NetworkError
        If PubMed gives no usable answer.

    Notes
    -----
    All sources are read before anything is written. A record known already keeps its id, and gaps
    in it are filled from the new ones; nothing is ever taken out, so a decision on a record stays
    a decision on that record. An interrupted run is made good by the next.

    Examples
    --------
    >>> import tempfile
    >>> from retroevidence.loaders.scaffold import new
    >>> review = new(tempfile.mkdtemp() + "/stairs")
    >>> search(review, strategies=["example"])
    Searched: 4 records, 4 of them new
    <BLANKLINE>
      strategy_id      database  found  new  duplicates
          example Example index      5    5           1
    <BLANKLINE>
    """
    folder = data_dir(data)
    chosen = _chosen(folder, list(strategies))
    day = (today or date.today()).isoformat()
    found = [_ask(row, folder, pubmed) for row in chosen]
    records, hits = read_log("records", folder), _rows(read_log("hits", folder))
    abstracts = read_abstracts(folder)
    before, lines, merges, near = len(records), [], [], []
    for row, (table, count) in zip(chosen, found, strict=True):
        known = {hit["source_id"] for hit in hits if hit["strategy_id"] == row["strategy_id"]}
        fresh = table[~table["source_id"].isin(known)].reset_index(drop=True)
        records, given, apart = _place(records, fresh, {hit["record_id"] for hit in hits})
        added = [
            {"strategy_id": row["strategy_id"], "source_id": source, "run_date": day, **one}
            for source, one in zip(fresh["source_id"], given, strict=True)
        ]
        hits += added
        for hit, text in zip(added, fresh["abstract"], strict=True):
            if pd.notna(text):
                abstracts.setdefault(hit["record_id"], str(text))
        joined = [hit for hit in added if hit["rule"] != "first"]
        merges += joined
        near += [pair for pair in apart if pair["first"] != pair["second"]]
        counts = {"found": count, "read": len(table), "new": len(fresh)}
        counts |= {"duplicates": len(joined), "records": len(records)}
        lines.append({**row, "run_date": day, **counts})
    _keep_abstracts(folder, abstracts)
    # A run that ends between these is made good by the next: its hits are still to come.
    replace_log("records", _rows(records), folder)
    replace_log("hits", hits, folder)
    append_log("search_log", lines, folder)
    log = read_log("search_log", folder).tail(len(lines)).reset_index(drop=True)
    records = read_log("records", folder)
    return Searched(
        log,
        records,
        records.iloc[before:].reset_index(drop=True),
        pd.DataFrame(merges, columns=[field.name for field in LOGS["hits"].fields]),
        pd.DataFrame(near, columns=_NEAR).drop_duplicates(["first", "second"], ignore_index=True),
    )


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as plain values, missing as None."""
    plain = table.astype(object).where(table.notna(), None)
    return [{str(k): v for k, v in row.items()} for row in plain.to_dict("records")]


def _chosen(folder: Path, wanted: list[str]) -> list[dict[str, Any]]:
    """Return the strategies to run as plain rows."""
    table = read_log("strategies", folder)
    if table.empty:
        columns = ",".join(field.name for field in LOGS["strategies"].fields)
        raise TableError(
            "strategies.csv",
            f"has no strategy (looked in {folder})",
            f"write one per line under the columns {columns}",
        )
    for name in wanted:
        if name not in set(table["strategy_id"]):
            raise unknown_name("strategy", name, table["strategy_id"])
    if wanted:
        table = table[table["strategy_id"].isin(wanted)]
    return [{k: "" if v is None else v for k, v in row.items()} for row in _rows(table)]


def _ask(row: Mapping[str, Any], folder: Path, pubmed: Searches | None) -> tuple[pd.DataFrame, int]:
    """Return what a source gives, each record with its id there, and how many it says it has."""
    name = row["strategy_id"]
    if row["file"]:
        given = read_references(folder / str(row["file"]))
        count = len(given)
    elif row["database"] == PUBMED and row["query"]:
        if pubmed is None:
            raise RetroEvidenceError(
                f"strategy {name} asks PubMed, which needs your address; add: "
                "--email you@example.org (or pubmed=rv.PubMed(email=...)), or choose others."
            )
        answer = pubmed.search(dated(str(row["query"]), row["from_date"], row["to_date"]), None)
        if "state" in answer.columns:
            answer = answer[answer["title"].notna()]
        given = table_of(answer.to_dict("records"), PUBMED)
        count = int(answer.attrs.get("count", len(given)))
    else:
        raise RetroEvidenceError(
            f"strategy {name} has no file; export what {row['database']} finds as .ris, .nbib or "
            ".bib, put it in the review and name it in the column file."
        )
    ids = pd.Series([_source_id(one) for one in given.to_dict("records")], dtype="string")
    # A source may give a record twice: the second is a hit of its own, and a duplicate.
    again = ids.groupby(ids).cumcount()
    ids = ids.where(again == 0, ids + "#" + (again + 1).astype("string"))
    return given.assign(source_id=ids), count


def dated(query: str, start: str, end: str) -> str:
    """Limit a PubMed query to the dates of publication from `start` to `end`; either may be blank.

    Examples
    --------
    >>> dated("bcg[ti]", "1990-01-01", "")
    '(bcg[ti]) AND ("1990/01/01"[Date - Publication] : "3000"[Date - Publication])'
    >>> dated("bcg[ti]", "", "")
    'bcg[ti]'
    """
    if not (start or end):
        return query
    first, last = (start or "1000").replace("-", "/"), (end or "3000").replace("-", "/")
    return f'({query}) AND ("{first}"[Date - Publication] : "{last}"[Date - Publication])'


def _source_id(row: Mapping[Any, Any]) -> str:
    """Name a record by what stays the same when a source is asked again."""
    for name in ("pmid", "doi"):
        if pd.notna(row[name]):
            return f"{name}:{str(row[name]).casefold()}"
    return f"key:{row['key']}"


def _place(
    records: pd.DataFrame, fresh: pd.DataFrame, with_hits: set[str]
) -> tuple[pd.DataFrame, list[dict[str, Any]], list[dict[str, Any]]]:
    """Find the work of each new hit among the records, or make a new record of it.

    Returns the records, what each hit is, and the pairs that came near.
    """
    unique = fresh.assign(key=[f"hit {source}" for source in fresh["source_id"]])
    result = deduplicate(records.rename(columns={"record_id": "key"}), unique)
    rows = _rows(records)
    by_id = {row["record_id"]: row for row in rows}
    old = set(by_id)
    record_of: dict[str, str] = {}
    for work in _rows(result.records):
        keys = work["keys"].split("; ")
        fields = {name: work[name] for name in _RECORD_FIELDS[1:]}
        # Two old records stay two, whatever a new one says: decisions were taken on each.
        if keys[0] in old:
            mine = keys[0]
            by_id[mine] |= {n: v for n, v in fields.items() if by_id[mine][n] is None}
        else:
            mine = f"r{len(rows) + 1:04d}"
            rows.append({"record_id": mine, **fields})
        record_of |= {key: mine for key in keys if key not in old}
    merges = {merge["joined"]: merge for merge in _rows(result.merges)}
    given, seen = [], set(with_hits)
    for key in unique["key"]:
        mine, merge = record_of[key], merges.get(key)
        hit = {"record_id": mine, "rule": "first", "score": None, "differing": None}
        if merge is not None and mine in seen:
            hit |= {"rule": merge["rule"], "score": round(merge["score"], 1)}
            hit["differing"] = merge["differing"]
        seen.add(mine)
        given.append(hit)
    near = [
        _by_record(pair, record_of)
        for pair in _rows(result.near)
        if {pair["first"], pair["second"]} & set(record_of)
    ]
    return pd.DataFrame(rows, columns=_RECORD_FIELDS, dtype=object), given, near


def _by_record(pair: dict[str, Any], record_of: Mapping[str, str]) -> dict[str, Any]:
    """Name the records of a near pair, the earlier first."""
    one, two = sorted(
        (record_of.get(pair[side], pair[side]), pair[f"{side}_title"])
        for side in ("first", "second")
    )
    named = {"first": one[0], "second": two[0], "first_title": one[1], "second_title": two[1]}
    return pair | named


def read_abstracts(data: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """Return the abstracts kept on this machine, by record; none on another machine.

    Examples
    --------
    >>> import tempfile
    >>> read_abstracts(tempfile.mkdtemp())
    {}
    """
    path = data_dir(data) / "local" / ABSTRACTS
    if not path.is_file():
        return {}
    table = pd.read_csv(path, dtype="string")
    return dict(zip(table["record_id"], table["abstract"], strict=True))


def _keep_abstracts(folder: Path, abstracts: Mapping[str, str]) -> None:
    if abstracts:
        table = pd.DataFrame(sorted(abstracts.items()), columns=["record_id", "abstract"])
        write_beside(local_folder(folder) / ABSTRACTS, table.to_csv(index=False))
