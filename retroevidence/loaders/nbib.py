"""nbib, what PubMed exports, read and written with rispy's parser of tagged records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from retroevidence.loaders.people import initials_of
from retroevidence.loaders.ris import person, refuse

# Tags of PubMed's format (its help lists them) and the columns they fill.
_ONE = {
    "PMID": "pmid",
    "TI": "title",
    "BTI": "book_title",
    "TT": "vernacular_title",
    "JT": "journal",
    "TA": "journal_short",
    "VI": "volume",
    "IP": "number",
    "PG": "pages",
    "DP": "date",
    "PMC": "pmcid",
    "AB": "abstract",
}
_MANY = {"FAU": "full", "AU": "short", "CN": "bodies", "AID": "ids", "LID": "ids", "PT": "kinds"}

# "King, Martin Jr": PubMed writes the suffix behind the given names.
_SUFFIX = re.compile(r"(?<=\w) (Jr|Sr|[IV]{2,3}|\d(?:st|nd|rd|th))\.?$")

_TAG = re.compile(r"([A-Z]{2,4}) *- ?(.*)")


def rows_of_nbib(text: str, file: str) -> list[dict[str, Any]]:
    """Read nbib.

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
        If a record does not begin with its PMID or a year is none; the message names the lines.

    Examples
    --------
    >>> lines = ["PMID- 12", "DP  - 2020 May", "TI  - A long", "      title.", "FAU - Kale, Anita"]
    >>> row = rows_of_nbib(chr(10).join(lines), "a.nbib")[0]
    >>> row["pmid"], row["year"], row["title"], row["authors"]
    ('12', 2020, 'A long title.', 'Kale A')
    """
    parser = _parser()
    rows = []
    for line, lines in _records(text, file):
        (record,) = parser.parse("\n".join([*lines, "ER  - "]))
        rows.append(_row(record, line, file))
    return rows


def nbib_of_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """Write nbib.

    Parameters
    ----------
    rows : iterable of dict
        Rows as :func:`rows_of_nbib` gives them. The format has no place for a key, an address, a
        note or an open list of authors ("et al.").

    Returns
    -------
    str
        One record per row, in their order; one without a PMID begins with an empty one.

    Examples
    --------
    >>> print(nbib_of_rows([{"pmid": "12", "year": 2020, "title": "Gait", "names": "Kale, A."}]))
    PMID- 12
    DP  - 2020
    TI  - Gait
    FAU - Kale, A.
    AU  - Kale A
    <BLANKLINE>
    """
    records = []
    for row in rows:
        names = [name for name in str(row.get("names") or "").split("; ") if name]
        tagged = [("PMID", row.get("pmid") or "")]
        for tag, column in (
            *(("DP", "year"), ("TI", "title"), ("PG", "pages"), ("AB", "abstract")),
            *(("JT", "journal"), ("VI", "volume"), ("IP", "number"), ("PMC", "pmcid")),
        ):
            tagged.append((tag, row.get(column) or ""))
        if row.get("doi"):
            tagged.append(("LID", f"{row['doi']} [doi]"))
        for name in names:
            if name.startswith("{"):
                tagged.append(("CN", name.strip("{}")))
            elif name != "et al.":
                tagged += [("FAU", _in_nbib(name)), ("AU", initials_of(name))]
        lines = [f"{tag:<4}- {' '.join(str(value).split())}" for tag, value in tagged if value]
        records.append("\n".join(lines if row.get("pmid") else ["PMID-", *lines]) + "\n")
    return "\n".join(records)


def _parser() -> Any:
    """Teach rispy's parser the tags of PubMed, which have up to four letters."""
    import rispy

    class Nbib(rispy.RisParser):  # type: ignore[misc]
        START_TAG = "PMID"

        def parse_line(self, line: str) -> tuple[str | None, str]:
            found = _TAG.match(line)
            return (found[1], found[2].strip()) if found else (None, line.strip())

    return Nbib(
        mapping=_ONE | _MANY | {"ER": "end"},
        list_tags=list(_MANY),
        delimiter_tags_mapping={},
        skip_unknown_tags=True,
    )


def _records(text: str, file: str) -> list[tuple[int, list[str]]]:
    """Cut the text at each PMID: the format has no sign for the end of a record."""
    records: list[tuple[int, list[str]]] = []
    broken = []
    blank = True
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.lstrip("\ufeff").rstrip()
        if line.startswith("PMID-"):
            records.append((number, [line]))
        elif line and blank and not line.startswith(" "):
            broken.append((number, "a record begins here without its PMID"))
        elif line and records:
            records[-1][1].append(line)
        blank = not line
    if not records and not broken:
        broken.append((1, "no record begins with PMID"))
    refuse(file, broken)
    return records


def _row(record: Mapping[str, Any], line: int, file: str) -> dict[str, Any]:
    people = record.get("full") or [_with_comma(name) for name in record.get("short") or []]
    names = [
        *(person(_SUFFIX.sub(r", \1", name)) for name in people),
        *(f"{{{name}}}" for name in record.get("bodies") or []),
    ]
    ids = record.get("ids") or []
    doi = next((text.split(" ")[0] for text in ids if text.endswith("[doi]")), "")
    date = record.get("date", "")
    found = re.search(r"(?<!\d)(\d{4})(?!\d)", date)
    if date and not found:
        refuse(file, [(line, f"the date of this record is {date!r}, which has no year")])
    kinds = {kind.casefold() for kind in record.get("kinds") or []}
    title = record.get("title") or record.get("book_title") or record.get("vernacular_title") or ""
    return {
        "type": "book" if record.get("book_title") or "book" in kinds else "article",
        "names": "; ".join(names),
        "authors": "; ".join(map(initials_of, names)),
        "year": int(found[1]) if found else None,
        "title": title,
        "journal": record.get("journal") or record.get("journal_short") or "",
        "volume": record.get("volume", ""),
        "number": record.get("number", ""),
        "pages": _whole_pages(record.get("pages", "")),
        "doi": doi,
        "pmid": record.get("pmid", ""),
        "pmcid": record.get("pmcid", ""),
        "abstract": record.get("abstract", ""),
        "line": line,
    }


def _in_nbib(name: str) -> str:
    parts = name.split(", ")
    return f"{parts[0]}, {parts[2]} {parts[1]}" if len(parts) == 3 else name


def _with_comma(name: str) -> str:
    family, _, initials = name.rpartition(" ")
    return f"{family}, {' '.join(f'{c}.' for c in initials)}" if family else name


def _whole_pages(pages: str) -> str:
    """Write ``1656-60`` as ``1656-1660``: PubMed leaves out what the last page repeats."""
    found = re.fullmatch(r"(\d+)-(\d+)", pages.strip())
    if not found or len(found[2]) >= len(found[1]):
        return pages.strip()
    first, last = found[1], found[2]
    return f"{first}-{first[: len(first) - len(last)]}{last}"
