"""Audit of any list of references: parsed, looked up, compared field by field.

The rule is the one of :mod:`retroevidence.claims.citations`. Two things are added for lists: a
reference in which neither a title nor an identifier can be read is **not assessed**, and where the
fields that differ are those of another record, the reason names that record (a blend of two).

Whether a work exists says nothing about whether it supports a claim: `about` and `supports_claims`
stay blank until a person has read it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from retroevidence._paths import bibliography_path
from retroevidence.claims.citations import audit_table, judge, pair
from retroevidence.claims.works import AGREES, COMPARED, DIFFERS, Work, folded_title, work_of
from retroevidence.errors import RetroEvidenceError, TableError
from retroevidence.loaders.reference_text import references_of_text
from retroevidence.loaders.references import read_references, table_of, text_of

NOT_ASSESSED = "not assessed"

#: Records of one source that are compared with a reference: the nearest titles, and as many of
#: the same first author and year.
MOST_CANDIDATES = 5

_TEXT = (".txt", ".text", ".md")


class Source(Protocol):
    """A place to look for records.

    Examples
    --------
    >>> source: Source = Records(pd.DataFrame({"title": ["Gait"]}), "one list")
    >>> source.where
    'one list'
    """

    @property
    def where(self) -> str:
        """What it is, for the reader of the verdict."""

    def find(self, cited: Mapping[str, str]) -> tuple[list[dict[str, Any]], int]:
        """Return records that may be the cited work, and how many questions were asked."""


class Records:
    """A table of records to look in: by identifier, by title, by first author and year.

    Parameters
    ----------
    table : DataFrame
        As :func:`retroevidence.loaders.references.read_references` gives it.
    where : str
        What it is, for the reader of the verdict.

    Examples
    --------
    >>> records = Records(pd.DataFrame({"title": ["Gait in old age"], "year": [2011]}), "one list")
    >>> records.find({"title": "Gait in Old Age"})[0][0]["year"]
    '2011'
    """

    def __init__(self, table: pd.DataFrame, where: str) -> None:
        self.where = where
        whole = table_of(table.to_dict("records"), where)
        self.rows = [
            {str(k): "" if pd.isna(v) else str(v) for k, v in row.items()}
            for row in whole.to_dict("records")
        ]
        for row in self.rows:
            row["candidate_id"] = row["key"]
        self.titles = [folded_title(row["title"]) for row in self.rows]
        self.people = [work_of(row).people[:1] for row in self.rows]

    def find(self, cited: Mapping[str, str]) -> tuple[list[dict[str, Any]], int]:
        """Return the nearest records, each once, and the number of questions."""
        from rapidfuzz import fuzz, process

        asked = 0
        found: dict[int, None] = {}
        for name in ("doi", "pmid"):
            if cited.get(name):
                asked += 1
                wanted = cited[name].casefold()
                found |= {
                    n: None for n, row in enumerate(self.rows) if row[name].casefold() == wanted
                }
        if cited.get("title"):
            asked += 1
            near = process.extract(
                folded_title(cited["title"]),
                self.titles,
                scorer=fuzz.token_sort_ratio,
                limit=MOST_CANDIDATES,
            )
            found |= {index: None for _, _, index in near}
        first = work_of(cited).people[:1]
        if first and cited.get("year"):
            asked += 1
            same = (
                n
                for n, people in enumerate(self.people)
                if people and people[0].is_(first[0]) and self.rows[n]["year"] == cited["year"]
            )
            found |= {n: None for n, _ in zip(same, range(MOST_CANDIDATES), strict=False)}
        return [self.rows[n] for n in found], asked


class OnPubMed:
    """PubMed to look in, by identifier, by title, and by first author, year and words of the title.

    Parameters
    ----------
    client : PubMed
        Anything with ``search(query, max_results=…)`` that returns a table of records.

    Examples
    --------
    >>> OnPubMed(None).where
    'PubMed'
    """

    where = "PubMed"

    def __init__(self, client: Any) -> None:
        self.client = client

    def find(self, cited: Mapping[str, str]) -> tuple[list[dict[str, Any]], int]:
        """Ask until a question brings records; return them and the number of questions."""
        for asked, query in enumerate(queries(cited), 1):
            frame = self.client.search(query, max_results=MOST_CANDIDATES)
            if len(frame):
                found = table_of(frame.to_dict("records"), self.where)
                rows = [
                    {str(k): "" if pd.isna(v) else str(v) for k, v in row.items()}
                    for row in found.to_dict("records")
                ]
                for row in rows:
                    row["candidate_id"] = f"pmid {row['pmid']}"
                    row["url"] = f"https://pubmed.ncbi.nlm.nih.gov/{row['pmid']}/"
                return rows, asked
        return [], len(queries(cited))


def queries(cited: Mapping[str, str]) -> list[str]:
    """Write the questions to PubMed about one reference, the sharpest first.

    Parameters
    ----------
    cited : mapping
        Fields of the reference.

    Returns
    -------
    list of str
        Queries in PubMed's own words.

    Examples
    --------
    >>> queries({"title": "Gait in old age: a trial", "authors": "Kale A", "year": "2011"})
    ['"Gait in old age a trial"[Title]', 'Kale A[1au] AND 2011[dp] AND (gait old age trial)']
    """
    words = re.findall(r"\w+", cited.get("title", ""))
    asked = [f"{cited['pmid']}[uid]"] if cited.get("pmid") else []
    asked += [f"{cited['doi']}[doi]"] if cited.get("doi") else []
    asked += [f'"{" ".join(words)}"[Title]'] if words else []
    people = work_of(cited).people
    telling = [word.casefold() for word in words if len(word) > 2]
    if people and telling:
        year = f" AND {cited['year']}[dp]" if cited.get("year") else ""
        asked.append(f"{people[0]}[1au]{year} AND ({' '.join(telling[:8])})")
    return asked


def audit_references(
    references: str | os.PathLike[str] | pd.DataFrame,
    *,
    library: str | os.PathLike[str] | pd.DataFrame | None = None,
    pubmed: Any = None,
    data: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Judge every reference of a list: verified, mis-cited, not located, or not assessed.

    Nothing is corrected, and the list is not touched.

    Parameters
    ----------
    references : path or DataFrame
        A list as text (``.txt``, ``.md``; numbered, in paragraphs or by line), BibTeX, RIS or
        nbib, or a table of references.
    library : path or DataFrame, optional
        Records to look in: a file of references or a table. By default, and if `pubmed` is not
        given, the bibliography of `data`.
    pubmed : PubMed, optional
        A client; PubMed is then asked about each reference.
    data : path, optional
        As in :func:`retroevidence.loaders.bibliography.bibliography`.

    Returns
    -------
    DataFrame
        One row per reference, in order, with the columns of
        :func:`retroevidence.claims.citations.audit_citations`, and `line` (where it begins in
        its file).

    Raises
    ------
    TableError, UnknownNameError
        If a file cannot be read or holds no reference.

    Examples
    --------
    >>> cited = pd.DataFrame({"title": ["Gait in old age"], "authors": ["Kale A"], "year": [2010]})
    >>> known = pd.DataFrame({"title": ["Gait in old age"], "authors": ["Kale A"], "year": [2011]})
    >>> audit_references(cited, library=known)[["verdict", "differing"]].iloc[0].tolist()
    ['mis-cited', 'year: cited 2010, record 2011']
    """
    rows = _references(references)
    sources = _sources(library, pubmed, data)
    today = date.today().isoformat()
    return audit_list(rows, sources, today)


def audit_list(
    rows: Iterable[Mapping[str, Any]], sources: Sequence[Source], looked_on: str
) -> pd.DataFrame:
    """Judge references that are already parsed, in the sources given.

    Parameters
    ----------
    rows : iterable of mapping
        Fields of each reference, and `text` and `line`.
    sources : sequence of Source
        Where to look.
    looked_on : str
        The date that the verdicts carry.

    Returns
    -------
    DataFrame
        As :func:`audit_references`.

    Examples
    --------
    >>> audit_list([{"text": "illegible"}], [], "2026-01-01")["verdict"].tolist()
    ['not assessed']
    """
    judged, lines = [], []
    for number, row in enumerate(rows, 1):
        cited = {name: str(row.get(name) or "") for name in (*COMPARED, "pmid")}
        work = work_of(cited)
        about: dict[str, Any] = {
            "cited_no": number,
            "cited_text": row.get("text") or work.line(),
            "where_looked": " and ".join(source.where for source in sources),
            "looked_on": looked_on,
            "n_queries": 0,
            "supports_claims": "",
        } | {f"cited_{name}": cited[name] for name in COMPARED}
        lines.append(row.get("line") or None)
        if not (cited["title"] or cited["doi"] or cited["pmid"]):
            judged.append(_unread(about))
            continue
        pairs = []
        for source in sources:
            found, asked = source.find(cited)
            about["n_queries"] += asked
            pairs += [pair(work, record) for record in found]
        verdict = judge(about, pairs)
        verdict["reason"] += _blend(work, verdict, pairs)
        judged.append(verdict)
    table = audit_table(judged)
    return table.assign(line=pd.array(lines, dtype="Int64"))


def _unread(about: Mapping[str, Any]) -> dict[str, Any]:
    return judge(about, []) | {
        "verdict": NOT_ASSESSED,
        "reason": "neither a title nor an identifier could be read in it; nothing was looked up",
    }


def _blend(work: Work, verdict: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> str:
    """Name another record that has what the best one lacks.

    It must be the same by its title or place, or share the first author and one thing more.
    """
    best = next((p for p in pairs if p["candidate_id"] == verdict["candidate_id"]), None)
    if best is None:
        return ""
    wrong = [name for name in ("first author", *COMPARED) if best[name] == DIFFERS]
    for other in pairs:
        shared = [n for n in wrong if other is not best and other[n] == AGREES and n != "authors"]
        if shared and (other["same_record"] or ("first author" in shared and len(shared) > 1)):
            verb = "is that" if len(shared) == 1 else "are those"
            return f"; {', '.join(shared)} {verb} of another record: {other['record']}"
    return ""


def _references(references: Any) -> list[dict[str, Any]]:
    if isinstance(references, pd.DataFrame):
        table = table_of(references.to_dict("records"), "the table given")
    else:
        path = Path(references)
        if path.suffix.casefold() in _TEXT:
            return _listed(path)
        table = read_references(path)
    rows = table.astype(object).where(table.notna(), "").to_dict("records")
    return [{str(k): v for k, v in row.items()} for row in rows]


def _listed(path: Path) -> list[dict[str, Any]]:
    rows = references_of_text(text_of(path))
    if not rows:
        raise TableError(path.name, "holds no reference", "give one reference per line or number")
    return rows


def _sources(library: Any, pubmed: Any, data: Any) -> list[Source]:
    sources: list[Source] = []
    if library is None and pubmed is None:
        path = bibliography_path(data)
        sources.append(Records(read_references(path), f"{path.name} alone"))
    elif isinstance(library, pd.DataFrame):
        sources.append(Records(library, "the table of records given"))
    elif library is not None:
        path = Path(library)
        sources.append(Records(read_references(path), path.name))
    if pubmed is not None:
        if not hasattr(pubmed, "search"):
            raise RetroEvidenceError("pubmed is no client; give rv.PubMed(email=...).")
        sources.append(OnPubMed(pubmed))
    return sources
