"""Files of references: BibTeX, RIS and nbib read to one table and written from it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pandas as pd

from retroevidence._paths import write_beside
from retroevidence.errors import TableError, unknown_name
from retroevidence.loaders.folding import folded
from retroevidence.loaders.people import full_name

#: Columns of a table of references. `authors` has initials ("Kale AA; Chavan SD"), `names` what
#: the file has ("Kale, Anita A.; Chavan, S. D."); `source` and `line` say where an entry stands.
REFERENCE_COLUMNS = (
    *("key", "type", "authors", "names", "year", "title", "journal", "volume", "number", "pages"),
    *("doi", "pmid", "pmcid", "url", "abstract", "note", "source", "line"),
)

_DOI = re.compile(r"^(https?://(dx\.)?doi\.org/|doi:\s*)", re.I)


def read_references(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a file of references: ``.bib`` (BibTeX), ``.ris`` (RIS) or ``.nbib`` (PubMed).

    Parameters
    ----------
    path : path
        A UTF-8 file. The ending of its name says the format.

    Returns
    -------
    DataFrame
        One row per entry, in the order of the file: key, type (as in BibTeX), authors, names,
        year, title, journal (or the book, thesis or publisher), volume, number, pages, doi, pmid,
        pmcid, url, abstract, note, source (name of the file) and line. ``year`` and ``line`` are
        ``Int64``, the others ``string``; what an entry does not give is ``<NA>``. An entry
        without a key gets one from its first author and year.

    Raises
    ------
    TableError
        If the file is missing, not UTF-8 or has broken entries; every one is named by its line.
    UnknownNameError
        If the name ends in something else.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "export.ris"
    >>> lines = ["TY  - JOUR", "AU  - Kale, Anita", "PY  - 2020", "TI  - Gait", "ER  - "]
    >>> _ = file.write_text(chr(10).join(lines))
    >>> read_references(file).loc[0, ["key", "authors", "title"]].tolist()
    ['kale2020', 'Kale A', 'Gait']
    """
    path = Path(path)
    read = _format(path)[0]
    rows = read(text_of(path), path.name)
    return table_of(rows, path.name)


def write_references(table: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a table of references as ``.bib``, ``.ris`` or ``.nbib``.

    Parameters
    ----------
    table : DataFrame
        Columns as :func:`read_references` gives them; ``title`` is needed, the others may lack.
        ``names`` are written where there are any, else ``authors``.
    path : path
        The file to write; it is replaced as a whole, or left as it is if writing fails.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    TableError
        If the table has no column ``title``, or two rows share a key.
    UnknownNameError
        If the name ends in something else.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "one.bib"
    >>> one = pd.DataFrame({"authors": ["Kale A"], "year": [2020], "title": ["Gait & pain"]})
    >>> read_references(write_references(one, file))["title"].tolist()
    ['Gait & pain']
    """
    path = Path(path)
    write = _format(path)[1]
    if "title" not in table.columns:
        raise TableError(path.name, "has no column title to write", "give a table of references")
    whole = table_of(table.to_dict("records"), path.name)
    repeated = whole.loc[whole["key"].duplicated(), "key"]
    if len(repeated):
        raise TableError(
            path.name,
            "is the key of two rows",
            "give each its own, or join them with deduplicate",
            column="key",
            value=repeated.iloc[0],
        )
    rows = whole.astype(object).where(whole.notna(), "").to_dict("records")
    write_beside(path, write([{str(k): v for k, v in row.items()} for row in rows]))
    return path


def table_of(rows: Iterable[Mapping[Any, Any]], source: str) -> pd.DataFrame:
    """Bring rows of references to the one form: all columns, blanks as ``<NA>``, a key each.

    Parameters
    ----------
    rows : iterable of dict
        Any of the columns of :func:`read_references`.
    source : str
        Where they come from, for rows that do not say it.

    Returns
    -------
    DataFrame
        As :func:`read_references` gives it.

    Examples
    --------
    >>> table_of([{"title": "Gait", "doi": "https://doi.org/10.1/X"}], "list")["doi"].tolist()
    ['10.1/X']
    """
    whole = []
    for given in rows:
        row = {name: _cell(given.get(name)) for name in REFERENCE_COLUMNS}
        row["number"] = row["number"] or _cell(given.get("issue"))
        row["doi"] = _DOI.sub("", row["doi"]).strip()
        row["type"] = row["type"] or "article"
        row["names"] = row["names"] or "; ".join(
            full_name(name) for name in row["authors"].split("; ") if name
        )
        row["source"] = row["source"] or source
        whole.append(row)
    table = pd.DataFrame(whole, columns=list(REFERENCE_COLUMNS))
    table["key"] = _keys(table)
    types = dict.fromkeys(REFERENCE_COLUMNS, "string") | {"year": "Int64", "line": "Int64"}
    for name in ("year", "line"):
        table[name] = pd.to_numeric(table[name].replace("", None))
    return table.replace("", None).astype(types)


def _cell(value: Any) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value).strip()


def _keys(table: pd.DataFrame) -> list[str]:
    """Give rows without a key one of first author and year, with a letter where it is taken."""
    taken = {key for key in table["key"] if key}
    keys = []
    for key, authors, year in zip(table["key"], table["authors"], table["year"], strict=True):
        if not key:
            family = full_name(authors.partition(";")[0]).partition(",")[0]
            family = re.sub(r"[^a-z]", "", folded(family))
            names = _letters(f"{family or 'anon'}{year or '_nd'}")
            key = next(name for name in names if name not in taken)
            taken.add(key)
        keys.append(key)
    return keys


def _letters(stem: str) -> Iterator[str]:
    """Name a key, then the same with a, b, … z, aa, ab and so on."""
    yield stem
    for length in count(1):
        for letters in product(ascii_lowercase, repeat=length):
            yield stem + "".join(letters)


def text_of(path: Path) -> str:
    """Return the text of a UTF-8 file of references.

    Raises
    ------
    TableError
        If it cannot be read or is not UTF-8; the message names the line.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise TableError(path.name, "is not UTF-8", "save it as UTF-8", row=line) from None
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise TableError(path.name, f"cannot be read ({reason})", "check its name") from None


_Reader = Callable[[str, str], list[dict[str, Any]]]
_Writer = Callable[[list[dict[str, Any]]], str]


def _format(path: Path) -> tuple[_Reader, _Writer]:
    """Import the one parser that is needed."""
    ending = path.suffix.casefold()
    if ending in (".bib", ".bibtex"):
        from retroevidence.loaders.bibtex import bibtex_of_rows, rows_of_bibtex

        return rows_of_bibtex, bibtex_of_rows
    if ending == ".ris":
        from retroevidence.loaders.ris import ris_of_rows, rows_of_ris

        return rows_of_ris, ris_of_rows
    if ending == ".nbib":
        from retroevidence.loaders.nbib import nbib_of_rows, rows_of_nbib

        return rows_of_nbib, nbib_of_rows
    raise unknown_name("ending of a file of references", path.suffix, (".bib", ".ris", ".nbib"))
