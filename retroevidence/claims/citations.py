"""Does a cited reference exist as cited: each reference against every candidate record found.

The rule, per reference:

1. A candidate is *the same record* if the identifiers agree, if the titles agree, if the titles
   are near and the first author agrees together with the year, the journal or all of two or more
   authors, or if journal, volume and first page agree.
2. No such candidate: **not located**. Where one looked is told; it does not mean that the work
   does not exist.
3. There is one, and every field the citation gives agrees with it: **verified**.
4. There is one, and some field differs: **mis-cited**, and the fields are named.

A field that one side does not show neither agrees nor differs. Other counts are harsher: one in
use (chelli2024) takes a reference for invented when two of title, first author and year are wrong.
Here such a reference is mis-cited as long as what it gives leads to one record.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from retroevidence.claims.works import (
    AGREES,
    COMPARED,
    DIFFERS,
    NOT_SHOWN,
    WEIGHTS,
    Work,
    compare_works,
    same_record,
    work_of,
)
from retroevidence.errors import TableError
from retroevidence.loaders.tables import load

VERIFIED, MIS_CITED, NOT_LOCATED = "verified", "mis-cited", "not located"

_PAIR = ["cited_no", "candidate_id", "record", "same_record", "title_score", "first author"]
_PAIR += [*COMPARED, "differing", "score", "about", "bears_on_claim", "url"]

_AUDIT = ["cited_no", "cited", "verdict", "best_candidate", "candidate_id", "matched", "differing"]
_AUDIT += ["not_shown", "score", "n_candidates", "about", "bears_on_claim", "supports_claims"]
_AUDIT += ["where_looked", "looked_on", "n_queries", "reason", "url"]


def audit_citations(data: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Judge every cited reference by the nearest candidate record.

    Parameters
    ----------
    data : path, optional
        A directory of tables with ``citations`` and ``citation_candidates``. By default the
        library's own.

    Returns
    -------
    DataFrame
        One row per cited reference, in the order of the table: cited_no, cited (as printed),
        verdict (verified, mis-cited or not located), best_candidate (the nearest record as a
        line), candidate_id, matched, differing and not_shown (fields, in words), score (0 to 100,
        only to order candidates), n_candidates, about and bears_on_claim (of the nearest record,
        as its reader noted), supports_claims, where_looked, looked_on, n_queries, reason and url.
        Text is ``string``, blank is ``<NA>``.

    Raises
    ------
    TableError, UnknownNameError
        If a table is missing or breaks its record.

    Examples
    --------
    >>> audit_citations()[["cited_no", "verdict", "matched"]].head(2)
       cited_no      verdict       matched
    0         1  not located  authors; year
    1         2    mis-cited       authors
    """
    citations = load("citations", data)
    pairs = _rows(compare(data))
    return audit_table(
        judge(row, [p for p in pairs if p["cited_no"] == row["cited_no"]])
        for row in _rows(citations)
    )


def cited_references(data: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Return the references of the article as a table, for an audit in other places.

    Parameters
    ----------
    data : path, optional
        As in :func:`audit_citations`.

    Returns
    -------
    DataFrame
        One row per reference: authors, year, title, journal, volume, pages and doi.

    Examples
    --------
    >>> cited_references()["year"].tolist()
    ['2011', '1993', '2005', '2021', '2016', '2014']
    """
    works = [work_of(row, "cited_") for row in _rows(load("citations", data))]
    return pd.DataFrame([{name: getattr(work, name) for name in COMPARED} for work in works])


def audit_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Bring judged references to the form of :func:`audit_citations`.

    Examples
    --------
    >>> audit_table([]).columns[:3].tolist()
    ['cited_no', 'cited', 'verdict']
    """
    table = pd.DataFrame([dict(row) for row in rows], columns=_AUDIT)
    numbers = {"cited_no": "Int64", "n_candidates": "Int64", "n_queries": "Int64"}
    types = dict.fromkeys(table.columns, "string") | numbers | {"score": "float64"}
    return table.replace("", None).astype(types)


def compare(data: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Compare every cited reference with each of its candidates, field by field.

    Parameters
    ----------
    data : path, optional
        As in :func:`audit_citations`.

    Returns
    -------
    DataFrame
        One row per pair: cited_no, candidate_id, record (as a line), same_record (true or false),
        title_score (0 to 100), one column per field (``agrees``, ``differs`` or ``not shown``),
        differing (in words), score, about, bears_on_claim and url.

    Examples
    --------
    >>> pairs = compare().set_index("candidate_id")
    >>> print(*pairs.loc["k24", ["title_score", "first author", "same_record"]])
    83.6 differs False
    """
    cited = {row["cited_no"]: work_of(row, "cited_") for row in _rows(load("citations", data))}
    rows = []
    for line, row in enumerate(_rows(load("citation_candidates", data)), 2):
        if row["cited_no"] not in cited:
            raise TableError(
                "citation_candidates.csv",
                "is not in citations.csv",
                "correct the number, or add the reference there",
                row=line,
                column="cited_no",
                value=row["cited_no"],
            )
        rows.append({"cited_no": row["cited_no"], **pair(cited[row["cited_no"]], row)})
    return pd.DataFrame(rows, columns=_PAIR)


def pair(cited: Work, row: Mapping[str, Any]) -> dict[str, Any]:
    """Compare a citation with one candidate.

    Parameters
    ----------
    cited : Work
        The citation.
    row : mapping
        The candidate: the fields of a work, and candidate_id, about, bears_on_claim and url where
        known.

    Returns
    -------
    dict
        A row of :func:`compare`, without the number of the citation.

    Examples
    --------
    >>> from retroevidence.claims.works import work_of
    >>> pair(work_of({"title": "Gait in old age"}), {"title": "Gait in Old Age"})["same_record"]
    True
    """
    found = work_of(row)
    fields, words, title_score = compare_works(cited, found)
    score = WEIGHTS["title"] * title_score + sum(
        100 * weight
        for name, weight in WEIGHTS.items()
        if name != "title" and fields[name] == AGREES
    )
    return {
        "candidate_id": row.get("candidate_id", ""),
        "record": found.line(),
        "same_record": same_record(fields, title_score),
        "title_score": round(title_score, 1),
        **{name: state for name, state in fields.items() if name in _PAIR},
        "differing": "; ".join(words),
        "score": round(score, 1),
        **{name: row.get(name, "") for name in ("about", "bears_on_claim", "url")},
    }


def judge(row: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Build the row of one reference from its candidates, by the rule above.

    Parameters
    ----------
    row : mapping
        The citation: cited_no, cited_text, the fields it gives (cited_year …), and where_looked,
        looked_on, n_queries and supports_claims.
    pairs : sequence of mapping
        Its rows of :func:`compare`.

    Returns
    -------
    dict
        A row of :func:`audit_citations`.

    Examples
    --------
    >>> row = {"cited_no": 1, "cited_text": "x", "looked_on": "2026-01-01", "n_queries": 2}
    >>> judge(row | {"where_looked": "one index", "supports_claims": ""}, [])["verdict"]
    'not located'
    """
    order = sorted(pairs, key=lambda p: (not p["same_record"], -p["score"]))
    best, n_candidates = (order[0] if order else None), len(pairs)
    states = {} if best is None else {name: best[name] for name in COMPARED}
    matched = [name for name, state in states.items() if state == AGREES]
    if states and states["authors"] != AGREES and best and best["first author"] == AGREES:
        matched = ["first author", *matched]
    differs = [name for name, state in states.items() if state == DIFFERS]
    # A field that the citation does not give is no gap of the record.
    gaps = [n for n, state in states.items() if state == NOT_SHOWN and row.get(f"cited_{n}")]
    looked = f"{row['n_queries']} queries by {row['looked_on']}: {row['where_looked']}"
    if best is None:
        verdict, reason = NOT_LOCATED, f"no candidate record was found ({looked})"
    elif not best["same_record"]:
        verdict = NOT_LOCATED
        shared = ", ".join(matched) or "no field"
        reason = (
            f"no candidate is close enough: the nearest shares {shared} and has a title score of "
            f"{best['title_score']:.0f}; this does not show that the work does not exist ({looked})"
        )
    elif differs:
        verdict = MIS_CITED
        reason = (
            f"the record agrees in {', '.join(matched)} with a title score of "
            f"{best['title_score']:.0f}, but not in {', '.join(differs)}"
        )
    else:
        verdict = VERIFIED
        reason = f"the record agrees in every field shown: {', '.join(matched)}"
    best = best or {}
    return {
        "cited_no": row["cited_no"],
        "cited": row["cited_text"],
        "verdict": verdict,
        "best_candidate": best.get("record", ""),
        "candidate_id": best.get("candidate_id", ""),
        "matched": "; ".join(matched),
        "differing": best.get("differing", ""),
        "not_shown": "; ".join(gaps),
        "score": best.get("score", float("nan")),
        "n_candidates": n_candidates,
        "about": best.get("about", ""),
        "bears_on_claim": best.get("bears_on_claim", ""),
        "supports_claims": row["supports_claims"],
        "where_looked": row["where_looked"],
        "looked_on": row["looked_on"],
        "n_queries": row["n_queries"],
        "reason": reason,
        "url": best.get("url", ""),
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as dictionaries, with blanks as empty text."""
    filled = table.astype("object").where(table.notna(), "")
    return [{str(k): v for k, v in row.items()} for row in filled.to_dict("records")]
