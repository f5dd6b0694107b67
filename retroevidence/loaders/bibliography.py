"""The bibliography: every entry of ``references.bib`` as a row, and one reference as a line."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import pandas as pd

from retroevidence._paths import bibliography_path, data_dir
from retroevidence.errors import TableError, unknown_name
from retroevidence.loaders.references import REFERENCE_COLUMNS, read_references

_COLUMNS = [c for c in REFERENCE_COLUMNS if c not in ("names", "abstract", "source", "line")]

# Names shown before "et al.": the habit of the Vancouver style.
_MOST_AUTHORS = 6


def bibliography(data: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Return the bibliography, one row per entry, in the order of the file.

    Parameters
    ----------
    data : path, optional
        A directory of tables; ``references.bib`` lies in it or beside it. By default the
        library's own.

    Returns
    -------
    DataFrame
        Columns key, type, authors (``"Kale AA; Chavan SD"``, ``"Foster H; et al."``), year, title,
        journal (or the book, thesis or publisher), volume, number, pages, doi, pmid, pmcid, url
        and note. ``year`` is ``Int64``, the others are ``string``; what the entry does not give
        is ``<NA>``. The frame is the caller's own copy.

    Raises
    ------
    TableError
        If the file is missing, is not UTF-8, or has entries that cannot be read, that share a key
        or that repeat a field; the message names every such line.

    Examples
    --------
    >>> entries = bibliography().set_index("key")
    >>> entries.loc["roos2012", ["authors", "volume", "pages"]].tolist()
    ['Roos PE; Barton N; van Deursen RWM', '45', '1656-1660']
    """
    return _table(data).copy()


def reference(key: str, data: str | os.PathLike[str] | None = None) -> str:
    """Return one reference as a line of plain text.

    Parameters
    ----------
    key : str
        A ``study_id``, or the key of a method.
    data : path, optional
        As in :func:`bibliography`.

    Returns
    -------
    str
        Up to six authors, year, title, journal, volume(issue):pages and the DOI, or the address
        where there is no DOI. A gap in the entry is named, not left out.

    Raises
    ------
    UnknownNameError
        If there is no such key.
    TableError
        As in :func:`bibliography`.

    Examples
    --------
    >>> print(reference("knapp2003"))
    Knapp G, Hartung J (2003). Improved tests for a random effects meta-regression with a single
    covariate. Statistics in Medicine 22(17):2693–2710. doi:10.1002/sim.1482
    """
    table = _table(data)
    found = table.index[table["key"] == key]
    if found.empty:
        raise unknown_name("reference", key, table["key"])
    row = table.loc[found[0]]
    entry = {str(name): "" if pd.isna(v) else str(v) for name, v in row.items()}
    authors = entry["authors"].split("; ") if entry["authors"] else ["[authors not shown]"]
    if len(authors) > _MOST_AUTHORS:
        authors = [*authors[:_MOST_AUTHORS], "et al."]
    who = ", ".join(authors)
    where = entry["journal"]
    issue = f"({entry['number']})" if entry["number"] else ""
    pages = f":{entry['pages'].replace('-', '–')}" if entry["pages"] else ""
    if entry["volume"] or issue or pages:
        where = f"{where} {entry['volume']}{issue}{pages}".strip()
    title = entry["title"] or "[title not shown]"
    parts = [
        f"{who} ({entry['year'] or 'year not shown'})",
        title.rstrip("."),
        where,
    ]
    line = "".join(
        part + (" " if part.endswith(("?", "!")) else ". ") for part in parts if part
    ).strip()
    link = f"doi:{entry['doi']}" if entry["doi"] else entry["url"]
    return f"{line} {link}".strip()


def _table(data: str | os.PathLike[str] | None) -> pd.DataFrame:
    path = bibliography_path(data)
    try:
        state = path.stat()
    except OSError:
        raise TableError(
            path.name,
            f"is missing (looked in {data_dir(data)} and beside it)",
            "put a BibTeX file of that name there, with one entry per study_id",
        ) from None
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, changed_ns: int, size: int) -> pd.DataFrame:
    """Read a file; the two numbers make a changed file a new question to the cache."""
    return read_references(path)[_COLUMNS]
