"""The bibliography: every entry of ``references.bib`` as a row, and one reference as a line."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from retroevidence._paths import bibliography_path
from retroevidence.errors import TableError, unknown_name

# A column and the BibTeX (or BibLaTeX) fields it is read from; the first one that is there wins.
_FIELDS = {
    "title": ("title",),
    "journal": (
        "journal",
        "journaltitle",
        "booktitle",
        "howpublished",
        "publisher",
        "school",
        "institution",
    ),
    "volume": ("volume",),
    "number": ("number", "issue"),
    "pages": ("pages", "eid"),
    "doi": ("doi",),
    "pmid": ("pmid",),
    "pmcid": ("pmcid",),
    "url": ("url",),
    "note": ("note",),
}
_COLUMNS = ["key", "type", "authors", "year", *_FIELDS]

# In an address `%` and `_` are themselves, not LaTeX.
_VERBATIM = {"doi", "pmid", "pmcid", "url"}

# Names shown before "et al.": the habit of the Vancouver style.
_MOST_AUTHORS = 6

_ESCAPE = re.compile(r"\\([&%#$_{}])")
_MISSING_AT = re.compile(r"^[ \t]*(article|misc|book|in\w+|\w*thesis|techreport)\s*\{", re.I | re.M)


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
            f"is missing (looked in and beside {path.parent})",
            "put a BibTeX file of that name there, with one entry per study_id",
        ) from None
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, changed_ns: int, size: int) -> pd.DataFrame:
    """Read a file; the two numbers make a changed file a new question to the cache."""
    from bibtexparser import middlewares
    from bibtexparser.entrypoint import parse_string

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise TableError(path.name, "is not UTF-8", "save it as UTF-8", row=line) from None
    with _quiet():
        library = parse_string(
            text,
            append_middleware=[
                middlewares.NormalizeFieldKeys(),
                middlewares.SeparateCoAuthors(),
                middlewares.SplitNameParts(),
                middlewares.MergeNameParts("last"),
            ],
        )
    _refuse_broken(path.name, library)
    entries = [(entry, {f.key: f.value for f in entry.fields}) for entry in library.entries]
    plain = _plain(
        part
        for _, fields in entries
        for name, value in fields.items()
        if name not in _VERBATIM
        for part in (value if isinstance(value, list) else [value])
    )
    rows = []
    for entry, fields in entries:
        row: dict[str, Any] = {"key": entry.key, "type": entry.entry_type}
        people = fields.get("author") or fields.get("editor") or []
        row["authors"] = "; ".join(_person(plain[name], name) for name in people)
        row["year"] = _year(path.name, entry, plain, fields)
        for column, names in _FIELDS.items():
            value = next((fields[name] for name in names if fields.get(name)), "")
            row[column] = value if column in _VERBATIM else plain.get(value, "")
        row["doi"] = re.sub(r"^(https?://(dx\.)?doi\.org/|doi:\s*)", "", row["doi"], flags=re.I)
        row["pages"] = row["pages"].replace("–", "-").replace("--", "-")
        rows.append(row)
    table = pd.DataFrame(rows, columns=_COLUMNS).replace("", None)
    types = dict.fromkeys(_COLUMNS, "string") | {"year": "Int64"}
    return table.astype(types)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the parser's own log: what it says there is raised as an error, with the line."""
    log = logging.getLogger("bibtexparser")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


def _refuse_broken(file: str, library: Any) -> None:
    """Raise one error that names every entry the parser could not take."""
    from bibtexparser.model import DuplicateBlockKeyBlock, DuplicateFieldKeyBlock

    broken = []
    for block in library.failed_blocks:
        line = block.start_line + 1
        if isinstance(block, DuplicateBlockKeyBlock):
            first = (block.previous_block.start_line or 0) + 1
            broken.append((line, f"the key {block.key!r} is already used on line {first}"))
        elif isinstance(block, DuplicateFieldKeyBlock):
            names = ", ".join(sorted(block.duplicate_keys))
            broken.append((line, f"the entry gives {names} twice"))
        else:
            reason = getattr(block.error, "abort_reason", None) or str(block.error)
            broken.append((line, "the entry cannot be read: " + " ".join(reason.split())))
    for comment in library.comments:
        # BibTeX takes any text between entries for a comment, so a lost @ would lose an entry.
        for hit in _MISSING_AT.finditer(comment.comment):
            before = comment.comment[: hit.start()].count("\n")
            line = (comment.start_line or 0) + 1 + before
            broken.append((line, "this looks like an entry without its @"))
    if not broken:
        return
    broken.sort()
    (line, rule), *others = broken
    rest = "".join(f"; line {n}: {text}" for n, text in others)
    entry = "this entry" if not others else "these entries"
    raise TableError(file, rule + rest, f"mend or remove {entry}", row=line)


def _plain(texts: Iterable[str]) -> dict[str, str]:
    """Turn BibTeX text into plain text: grouping braces go, LaTeX commands become letters."""
    plain = {}
    commands = []
    for text in dict.fromkeys(texts):
        simple = _ESCAPE.sub(r"\1", re.sub(r"(?<!\\)[{}]", "", text).replace("~", " "))
        if "\\" in _ESCAPE.sub("", text) or "$" in simple.replace(r"\$", ""):
            commands.append(text)
        plain[text] = " ".join(simple.split())
    if commands:
        # The decoder is slow to build and to run, and most entries need none.
        from bibtexparser.library import Library
        from bibtexparser.middlewares import LatexDecodingMiddleware
        from bibtexparser.model import Entry, Field

        library = Library([Entry("misc", str(n), [Field("x", t)]) for n, t in enumerate(commands)])
        decoded = LatexDecodingMiddleware(keep_math_mode=False).transform(library)
        for text, entry in zip(commands, decoded.entries, strict=True):
            plain[text] = " ".join(re.sub(r"[{}]", "", entry["x"]).split())
    return plain


def _person(name: str, raw: str) -> str:
    """Write ``"Deursen, R. W. M."`` as ``"Deursen RWM"``; a braced name stands as it is."""
    if name == "others":
        return "et al."
    if raw.startswith("{") and raw.endswith("}"):
        return name
    family, *rest = [part.strip() for part in name.split(",")]
    given = rest[-1] if rest else ""
    initials = "".join(part[0].upper() for part in re.split(r"[\s.\-‐]+", given) if part)
    suffix = f" {rest[0]}" if len(rest) > 1 else ""
    return f"{family} {initials}{suffix}".strip()


def _year(file: str, entry: Any, plain: dict[str, str], fields: dict[str, Any]) -> int | None:
    text = plain.get(fields.get("year") or fields.get("date") or "", "")
    if not text:
        return None
    found = re.match(r"(\d{4})(?!\d)", text)
    if found is None:
        raise TableError(
            file,
            "is not a year",
            "write four digits, or leave the field out and say why in note",
            row=entry.start_line + 1,
            column=f"year of {entry.key}",
            value=text,
        )
    return int(found[1])
