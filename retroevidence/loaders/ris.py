"""RIS, the exchange format of reference managers, read and written with rispy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from retroevidence.errors import TableError
from retroevidence.loaders.people import initials_of

#: Types of RIS and what BibTeX calls them; the first of a kind is the one that is written.
_TYPES = {
    "JOUR": "article",
    "EJOUR": "article",
    "MGZN": "article",
    "JFULL": "article",
    "BOOK": "book",
    "EBOOK": "book",
    "EDBOOK": "book",
    "CHAP": "incollection",
    "ECHAP": "incollection",
    "CPAPER": "inproceedings",
    "CONF": "inproceedings",
    "THES": "phdthesis",
    "RPRT": "techreport",
    "GEN": "misc",
    "ELEC": "misc",
}

# A column and the names rispy gives to the tags it is read from; the first that is there wins.
_SOURCES = {
    "key": ("id", "label"),
    "title": ("primary_title", "title"),
    "journal": (
        *("journal_name", "alternate_title3", "secondary_title", "alternate_title2"),
        *("alternate_title1", "publisher"),
    ),
    "volume": ("volume",),
    "number": ("number",),
    "doi": ("doi",),
    "abstract": ("abstract", "notes_abstract"),
    "note": ("notes",),
}

_TAG = re.compile(r"[A-Z][A-Z0-9]  -")


def rows_of_ris(text: str, file: str) -> list[dict[str, Any]]:
    """Read RIS.

    Parameters
    ----------
    text : str
        The content of a file.
    file : str
        Its name, for messages.

    Returns
    -------
    list of dict
        One per record, as in :func:`retroevidence.loaders.references.read_references`.

    Raises
    ------
    TableError
        If a record has no end, a line stands outside every record, or a year is none; the
        message names the lines.

    Examples
    --------
    >>> lines = ["TY  - JOUR", "AU  - Kale, Anita", "SP  - 3", "EP  - 9", "ER  - "]
    >>> row = rows_of_ris(chr(10).join(lines), "a.ris")[0]
    >>> row["authors"], row["pages"], row["type"]
    ('Kale A', '3-9', 'article')
    """
    import rispy

    rows = []
    for line, lines in _records(text, file):
        (record,) = rispy.loads("\n".join(lines), delimiter_tags_mapping={})
        rows.append(_row(record, line, file))
    return rows


def ris_of_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """Write RIS.

    Parameters
    ----------
    rows : iterable of dict
        Rows as :func:`rows_of_ris` gives them.

    Returns
    -------
    str
        One record per row, in their order.

    Examples
    --------
    >>> print(ris_of_rows([{"key": "a1", "type": "article", "names": "Kale, A.; {WHO}",
    ...                     "title": "Gait", "pages": "3-9"}]).strip())
    TY  - JOUR
    ID  - a1
    AU  - Kale, A.
    AU  - WHO
    TI  - Gait
    SP  - 3
    EP  - 9
    ER  -
    """
    import rispy

    class Writer(rispy.RisWriter):  # type: ignore[misc]
        def set_header(self, count: int) -> str:
            # A number above each record is no part of the format, and some readers refuse it.
            return ""

    kinds = {bib: ris for ris, bib in reversed(_TYPES.items())}
    records = []
    for row in rows:
        first, _, last = str(row.get("pages") or "").partition("-")
        names = [_in_ris(name) for name in str(row.get("names") or "").split("; ") if name]
        record: dict[str, Any] = {
            "type_of_reference": kinds.get(str(row["type"]), "GEN"),
            "id": row["key"],
            "authors": names,
            "year": str(row.get("year") or ""),
            "title": row.get("title"),
            "publisher" if row["type"] == "book" else "journal_name": row.get("journal"),
            "volume": row.get("volume"),
            "number": row.get("number"),
            "start_page": first,
            "end_page": last,
            "doi": row.get("doi"),
            "accession_number": row.get("pmid"),
            "custom2": row.get("pmcid"),
            "urls": [row["url"]] if row.get("url") else [],
            "abstract": row.get("abstract"),
            "notes": [row["note"]] if row.get("note") else [],
        }
        records.append({name: value for name, value in record.items() if value})
    # An end without a blank behind its dash is lost on readers that ask for the six signs.
    text: str = rispy.dumps(records, implementation=Writer, delimiter_tags_mapping={})
    return text.replace("ER  -\n", "ER  - \n")


def _in_ris(name: str) -> str:
    """Write a name as RIS has it, the suffix last."""
    parts = name.strip("{}").split(", ")
    return f"{parts[0]}, {parts[2]}, {parts[1]}" if len(parts) == 3 else name.strip("{}")


def _records(text: str, file: str) -> list[tuple[int, list[str]]]:
    """Cut the text into records, for the parser would drop one without an end unseen."""
    records: list[tuple[int, list[str]]] = []
    broken = []
    start, lines = 0, list[str]()
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.lstrip("\ufeff").rstrip()
        tag = line[:2] if _TAG.match(line) else ""
        if tag == "TY":
            if start:
                broken.append((start, "the record that begins here has no end (ER)"))
            start, lines = number, [line]
        elif not start:
            if tag and tag != "ER":
                broken.append((number, f"the tag {tag} stands before any TY"))
        elif tag == "ER":
            records.append((start, [*lines, "ER  - "]))
            start = 0
        else:
            lines.append(line)
    if start:
        broken.append((start, "the record that begins here has no end (ER)"))
    if not records and not broken:
        broken.append((1, "no record begins with TY"))
    refuse(file, broken)
    return records


def refuse(file: str, broken: list[tuple[int, str]]) -> None:
    """Raise one error that names every broken place of a file of references.

    Parameters
    ----------
    file : str
        Name of the file.
    broken : list of (line, what is wrong)
        Nothing happens if it is empty.

    Raises
    ------
    TableError
        If there is any.

    Examples
    --------
    >>> refuse("a.ris", [])
    """
    if not broken:
        return
    (line, rule), *others = sorted(broken)
    rest = "".join(f"; line {n}: {text}" for n, text in others)
    entry = "this entry" if not others else "these entries"
    raise TableError(file, rule + rest, f"mend or remove {entry}", row=line)


def _row(record: Mapping[str, Any], line: int, file: str) -> dict[str, Any]:
    people = [*(record.get("first_authors") or []), *(record.get("authors") or [])]
    people = people or record.get("secondary_authors") or []
    names = [person(name) for name in people]
    row: dict[str, Any] = {
        "type": _TYPES.get(record.get("type_of_reference", ""), "misc"),
        "names": "; ".join(names),
        "authors": "; ".join(map(initials_of, names)),
        "line": line,
    }
    for column, sources in _SOURCES.items():
        value = next((record[name] for name in sources if record.get(name)), "")
        row[column] = " ".join(value) if isinstance(value, list) else value
    date = record.get("year") or record.get("publication_year") or record.get("date") or ""
    found = re.match(r"\s*(\d{4})(?!\d)", date)
    if date.strip(" /") and not found:
        refuse(file, [(line, f"the year of this record is {date!r}, which is no year")])
    row["year"] = int(found[1]) if found else None
    pages = [record[name] for name in ("start_page", "end_page") if record.get(name)]
    row["pages"] = "-".join(dict.fromkeys(pages)).replace("–", "-").replace("--", "-")
    row["url"] = next(iter(record.get("urls") or []), "")
    number = record.get("accession_number", "")
    row["pmid"] = number if re.fullmatch(r"\d{1,8}", number) else ""
    row["pmcid"] = next(iter(re.findall(r"PMC\d+", record.get("custom2", ""))), "")
    return row


def person(name: str) -> str:
    """Write a name of RIS as BibTeX has it; one without a comma is a body.

    Parameters
    ----------
    name : str
        ``"Family, Given"`` or ``"Family, Given, Suffix"``.

    Returns
    -------
    str
        ``"Family, Given"``, ``"Family, Suffix, Given"``, or the name in braces; ``"et al."`` stays.

    Examples
    --------
    >>> person("King, Martin, Jr"), person("World Health Organization")
    ('King, Jr, Martin', '{World Health Organization}')
    """
    if name.strip() == "et al.":
        return "et al."
    parts = [part.strip() for part in name.split(",") if part.strip()]
    if len(parts) == 3:
        return f"{parts[0]}, {parts[2]}, {parts[1]}"
    return ", ".join(parts) if len(parts) > 1 else f"{{{name.strip()}}}"
