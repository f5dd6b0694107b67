"""One PubMed record to one row.

pymed reads the fields. Before it does, the record is made so that pymed reads it right: what
belongs to other works is taken out, inline markup becomes text, groups stand among the authors.
What pymed does not read (pages, languages, MeSH, retractions …) is read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any
from xml.etree.ElementTree import Element

#: Columns of a record, in the order of the table.
COLUMNS = ["pmid", "title", "abstract", "authors", "journal", "year", "volume", "issue"]
COLUMNS += ["pages", "doi", "pmcid", "publication_types", "mesh", "languages", "vernacular_title"]
COLUMNS += ["other_abstracts", "retracted", "retraction_links", "correction_links", "other_links"]

#: Raised whenever the same record gives another row; a stored row of an older reader is reread.
READER = 1

# Parts of a record that hold titles, authors and identifiers of other works, or the abstract in
# another language.
_FOREIGN = {"ReferenceList", "CommentsCorrectionsList", "OtherAbstract", "InvestigatorList"}

_RAISED = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_LOWERED = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")

_MATHML = "{http://www.w3.org/1998/Math/MathML}"

# The same formula once more, in TeX or in words, for other programs.
_SAID_AGAIN = {f"{_MATHML}annotation", f"{_MATHML}annotation-xml"}

_RETRACTED_BY = {"RetractionIn", "RetractedandRepublishedIn"}
_RETRACTIONS = _RETRACTED_BY | {"RetractionOf", "RetractedandRepublishedFrom"}
_CORRECTIONS = {
    *("ErratumIn", "ErratumFor", "ExpressionOfConcernIn", "ExpressionOfConcernFor"),
    *("CorrectedandRepublishedIn", "CorrectedandRepublishedFrom"),
    *("RepublishedIn", "RepublishedFrom", "UpdateIn", "UpdateOf"),
}

_NO_TITLE = "[Not Available]"


def record_row(record: Element) -> dict[str, Any]:
    """Read a record, article or book, as the columns `COLUMNS`; what it lacks is None.

    The record is changed by reading.
    """
    linked = _links(record)
    others = _other_abstracts(record)
    _clean(record)
    row = _article(record) if record.tag == "PubmedArticle" else _book(record)
    kinds = _all(record, ".//PublicationType")
    vernacular = _text(record, ".//VernacularTitle")
    if (row["title"] or "").rstrip(".") in {"", _NO_TITLE} and vernacular:
        row["title"] = vernacular
    row |= {
        "publication_types": "; ".join(dict.fromkeys(kinds)),
        "mesh": "; ".join(map(_heading, record.iter("MeshHeading"))),
        "languages": "; ".join(dict.fromkeys(_all(record, ".//Language"))),
        "vernacular_title": vernacular,
        "other_abstracts": others,
        "retracted": "Retracted Publication" in kinds
        or any(kind in _RETRACTED_BY for kind, _ in linked),
        "retraction_links": _joined(linked, lambda kind: kind in _RETRACTIONS),
        "correction_links": _joined(linked, lambda kind: kind in _CORRECTIONS),
        "other_links": _joined(linked, lambda kind: kind not in _RETRACTIONS | _CORRECTIONS),
    }
    return {name: None if row.get(name) == "" else row.get(name) for name in COLUMNS}


@lru_cache(maxsize=1)
def _reader() -> Callable[..., Any]:
    from pymed.article import PubMedArticle

    class Reader(PubMedArticle):  # type: ignore[misc]
        """pymed's reader of a record, without the date that it prints an error about."""

        __slots__ = ()

        def _extractPublicationDate(self, xml_element: Element) -> None:
            return None

    return Reader


def _article(record: Element) -> dict[str, Any]:
    read = _reader()(xml_element=record)
    issue = record.find(".//Journal/JournalIssue")
    pages = _text(record, ".//Pagination/MedlinePgn")
    first, last = (_text(record, f".//Pagination/{end}Page") for end in ("Start", "End"))
    return {
        "pmid": _text(record, "./MedlineCitation/PMID"),
        "title": read.title,
        "abstract": read.abstract,
        "authors": _authors(record, read.authors),
        "journal": read.journal
        or _text(record, ".//Journal/ISOAbbreviation")
        or _text(record, ".//MedlineJournalInfo/MedlineTA"),
        "year": _year(record, ".//Journal/JournalIssue/PubDate", ".//ArticleDate"),
        "volume": _text(issue, "Volume"),
        "issue": _text(issue, "Issue"),
        "pages": pages or "-".join(filter(None, (first, last))),
        "doi": _doi(read.doi, record),
        "pmcid": _pmcid(record),
    }


def _book(record: Element) -> dict[str, Any]:
    """Read a book or a chapter.

    Where an article has the journal, a chapter has its book, and a book its publisher.
    """
    from pymed.book import PubMedBookArticle

    read = PubMedBookArticle(xml_element=record)
    chapter = _text(record, "./BookDocument/ArticleTitle")
    return {
        "pmid": _text(record, "./BookDocument/PMID"),
        "title": chapter or read.title,
        "abstract": read.abstract,
        "authors": _authors(record, read.authors),
        "journal": read.title if chapter else read.publisher,
        "year": _year(record, ".//Book/PubDate", ".//ContributionDate"),
        "volume": _text(record, ".//Book/Volume"),
        "pages": _text(record, "./BookDocument/Pagination/MedlinePgn"),
        "doi": _doi(read.doi, record),
        "pmcid": _pmcid(record),
    }


def _clean(record: Element) -> None:
    """Change a record so that pymed reads it right."""
    editors = [one for one in record.iter("AuthorList") if one.get("Type") == "editors"]
    # Editors stand for the authors only where a book names no author.
    dropped = editors if len(editors) < len(list(record.iter("AuthorList"))) else []
    for parent in list(record.iter()):
        for child in list(parent):
            # Marked N: once printed wrong, and since corrected beside it.
            wrong = child.tag in {"Author", "ELocationID"} and child.get("ValidYN") == "N"
            if child.tag in _FOREIGN or child in dropped or wrong:
                parent.remove(child)
    for part in record.iter("AbstractText"):
        label = " ".join(part.get("Label", "").split())
        _flatten(part, f"{label}: " if label and label != "UNLABELLED" else "")
    for tag in ("ArticleTitle", "BookTitle", "VernacularTitle", "Title"):
        for part in record.iter(tag):
            _flatten(part)
    for author in record.iter("Author"):
        # pymed knows persons only; a group goes where it looks for the family name.
        for name in author.findall("CollectiveName"):
            name.tag = "LastName"
            _flatten(name)


def _flatten(part: Element, before: str = "") -> None:
    """Replace inline markup by its text: italics lose nothing, 10<sup>2</sup> becomes 10²."""
    whole = " ".join(_plain(part).split())
    for child in list(part):
        part.remove(child)
    part.text = before + whole if whole else None


def _plain(node: Element) -> str:
    """Return the text of a node, raised and lowered digits by their own characters."""
    if node.tag in _SAID_AGAIN:
        return ""
    parts = [_plain(child) for child in node]
    if str(node.tag).startswith(_MATHML):
        return _formula(str(node.tag).removeprefix(_MATHML), node, parts)
    tails = (child.tail or "" for child in node)
    whole = (node.text or "") + "".join(map("".join, zip(parts, tails, strict=True)))
    return _shifted(whole, str(node.tag))


def _formula(tag: str, node: Element, parts: list[str]) -> str:
    """Write a formula on one line; white space between its parts is layout."""
    if tag == "mfrac" and len(parts) == 2:
        return "/".join(parts)
    if tag in {"msup", "msub"} and len(parts) == 2:
        return parts[0] + _shifted(parts[1], tag[1:])
    if tag == "msubsup" and len(parts) == 3:
        return parts[0] + _shifted(parts[1], "sub") + _shifted(parts[2], "sup")
    return " ".join((node.text or "").split()) + "".join(parts)


def _shifted(text: str, where: str) -> str:
    table = {"sup": _RAISED, "sub": _LOWERED}.get(where)
    return text.translate(table) if table and all(ord(letter) in table for letter in text) else text


def _authors(record: Element, people: Iterable[Mapping[str, str | None]]) -> str:
    names = []
    for person, author in zip(people, record.iter("Author"), strict=True):
        given = person["initials"] or person["firstname"] or ""
        parts = (person["lastname"] or "", given, _text(author, "Suffix"))
        names.append(" ".join(" ".join(filter(None, parts)).split()))
    # PubMed once kept only the first ten or twenty-five authors.
    cut = any(one.get("CompleteYN") == "N" for one in record.iter("AuthorList"))
    return "; ".join([*filter(None, names), *(["et al."] if cut and names else [])])


def _year(record: Element, *places: str) -> int | None:
    """Return the first year found; a range of dates (``2004 Dec-2005 Jan``) gives its first."""
    for place in places:
        for one in ("Year", "MedlineDate"):
            if found := re.search(r"\b(?:1[5-9]|20)\d\d\b", _text(record, f"{place}/{one}")):
                return int(found[0])
    return None


def _doi(read: str | None, record: Element) -> str:
    """Take the first doi of the identifiers, or that of the electronic location."""
    first = (read or "").partition("\n")[0].strip()
    doi = first or _text(record, ".//ELocationID[@EIdType='doi']")
    return re.sub(r"^(?:https?://(?:dx\.)?doi\.org/|doi:\s*)", "", doi, flags=re.IGNORECASE)


def _pmcid(record: Element) -> str:
    """Take the id in PubMed Central, of which old records say ``pmc-id: PMC1;``."""
    found = re.search(r"PMC\d+", _text(record, ".//ArticleId[@IdType='pmc']"))
    return found[0] if found else ""


def _heading(heading: Element) -> str:
    """Write a MeSH heading as PubMed does: ``Walking/physiology*``, * marks a major topic."""

    def name(part: Element) -> str:
        return (part.text or "").strip() + ("*" if part.get("MajorTopicYN") == "Y" else "")

    return "/".join(map(name, heading))


def _links(record: Element) -> list[tuple[str, str]]:
    """Return the notices about this record: their kind, and the kind with id and source."""
    found = []
    for link in record.iterfind(".//CommentsCorrectionsList/CommentsCorrections"):
        kind = link.get("RefType", "")
        pmid, source, note = (_text(link, part) for part in ("PMID", "RefSource", "Note"))
        told = f"{kind} {pmid}".strip() + (f": {source}" if source else "")
        if kind != "Cites":
            found.append((kind, told + (f" [{note}]" if note else "")))
    return found


def _joined(linked: list[tuple[str, str]], which: Callable[[str], bool]) -> str:
    return " | ".join(text for kind, text in linked if which(kind))


def _other_abstracts(record: Element) -> str:
    """Return the abstracts in other languages or for other readers, each after its mark."""
    told = []
    for other in record.iter("OtherAbstract"):
        marks = [other.get("Language", ""), other.get("Type", "")]
        parts = []
        for part in other.iter("AbstractText"):
            label = part.get("Label", "")
            _flatten(part, f"{label}: " if label else "")
            parts.append(part.text or "")
        text = "\n".join(filter(None, parts))
        if text:
            told.append(f"[{', '.join(filter(None, marks))}] {text}")
    return "\n\n".join(told)


def _all(record: Element, path: str) -> list[str]:
    found = (" ".join("".join(one.itertext()).split()) for one in record.iterfind(path))
    return list(filter(None, found))


def _text(element: Element | None, path: str) -> str:
    found = None if element is None else element.find(path)
    return "" if found is None else " ".join("".join(found.itertext()).split())
