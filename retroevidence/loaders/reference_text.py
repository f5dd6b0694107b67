"""Reference lists as text: cut into references, and each into its fields.

Three forms are read, the ones that most lists follow: author and year in brackets (APA, Harvard),
numbered with the year before the volume (Vancouver, ICMJE), and author, year, title without
brackets. What a form does not explain stays unread: a field that is not recognised is blank, and
blank means not shown, never wrong.
"""

from __future__ import annotations

import re
from typing import Any

# "1. ", "12) ", "[3] " or a bullet at the beginning of a line begins a reference.
_MARK = re.compile(r"^\s*(?:\[\d{1,4}\]|\(\d{1,4}\)|\d{1,4}[.)]|[•–*-])\s+")

_HEADING = re.compile(r"^\W*(references|bibliography|literature( cited)?|works cited)\W*$", re.I)

# A DOI inside the address of another site may go on with words of that site.
_DOI = re.compile(
    r"(?:https?://(?:dx\.)?doi\.org/|\bdoi:?\s*|(?<![\w/]))(10\.\d{4,9}/[^\s\"<>]+)", re.I
)
_PMID = re.compile(r"\bPMID:?\s*(\d{1,8})\b", re.I)
_PMCID = re.compile(r"\b(PMC\d{3,9})\b")
_URL = re.compile(r"\bhttps?://[^\s\"<>]+")
_PHRASE = re.compile(
    r"(\bavailable (at|from)|\bretrieved from|\[?\b(accessed|cited)\s+\d).*$", re.I
)

_YEAR = r"(?:1[89]|20)\d{2}"
_BRACKETED = re.compile(
    rf"^(?P<authors>.*?)\s*\((?P<year>{_YEAR}|n\.\s?d\.)[a-z]?(?:,[^)]*)?\)[.,:]?\s*(?P<rest>.*)$"
)
# The year of a numbered list stands behind the journal, before the volume or at the end.
_VANCOUVER = re.compile(
    rf"^(?P<head>.*?(?:[.?!,;]|[^\W\d](?=\s+{_YEAR}\s?;)))\s*(?P<year>{_YEAR})"
    r"(?:\s[A-Z][a-z]{2}\w*(?:[-\s]\w+)*)?"
    r"\s*(?:;\s*(?P<numbers>.*)|:\s*(?P<pages>[\w–—-]+))?$"
)
_PLAIN_YEAR = re.compile(
    rf"^(?P<authors>[^.]*?(?:\b[A-Z]{{1,3}}\b|et al)\.?),?\s+(?P<year>{_YEAR})[.,]\s+(?P<rest>.*)$"
)

_PAGES = r"(?:pp?\.\s*)?(?P<pages>[A-Za-z]?\d+(?:\s*[-–—]\s*[A-Za-z]?\d+)?)"
_NUMBERS = re.compile(
    rf"^(?P<journal>.*?)"
    rf"(?:[,.]?\s+(?:vol(?:ume)?\.?\s*)?(?P<volume>\d{{1,4}}))?"
    rf"(?:,?\s*\((?P<number>[^)]*\d[^)]*|suppl[^)]*)\)|,?\s*(?:no|issue)\.?\s*(?P<number2>\w+))?"
    rf"(?:\s*[,:;]\s*{_PAGES})?$",
    re.I,
)
_CHAPTER = re.compile(r"^(?P<book>[^(]+)\(pp\.\s*(?P<pages>[\w–—-]+)\)")
_VOLUME = re.compile(
    rf"^(?P<volume>[A-Za-z]?\d+)?\s*(?:\((?P<number>[^)]*)\))?\s*(?::\s*{_PAGES})?"
)

# Capitals of Latin with its accents, Greek and Cyrillic; the rest of the alphabets has none.
_CAPITAL = "[A-ZÀ-ÖØ-ÞĀĂĄĆĈĊČĎĐĒĔĖĘĚĜĞĠĢĤĦĨĪĬĮİĴĶĹĻĽĿŁŃŅŇŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴŶŸŹŻŽΑ-ΩА-ЯЁ]"

# A point ends a title if a blank follows, and no single letter or short form stands before it.
_END = re.compile(r"(?<!\b[A-Z])(?<!\bvs)(?<!\bSt)(?<!\bNo)(?<!\bet al)[.?!](?=\s|$)")

# Authors of a numbered list end with a point too, unless another initial or name follows it.
_AFTER_AUTHORS = re.compile(rf"[.:]\s+(?!{_CAPITAL}[.,]|&|and\b|et al)")

_QUOTED = re.compile(r"^[\"“‘'](?P<title>.+?)[,.]?[\"”’'][,.]?\s+(?P<rest>.*)$")

_GIVEN = rf"(?:{_CAPITAL}\.?[\s-]?){{1,5}}"
_APA_NAME = re.compile(
    rf"(?P<family>[^,;&]+?),\s*(?P<given>{_GIVEN})(?:,\s*(?P<suffix>Jr|Sr|I{{2,3}})\.?)?(?=,|;|\s&|\sand\b|$)"
)
_SHORT_NAME = re.compile(
    r"^(?P<family>.+?)\s+(?P<given>[A-ZÀ-Þ][A-ZÀ-Þ-]{0,4})(?:\s+(?:Jr|Sr|I{2,3}))?$"
)


def references_of_text(text: str) -> list[dict[str, Any]]:
    """Read a list of references.

    Parameters
    ----------
    text : str
        References that begin with a number, stand in paragraphs of their own, or on one line each.

    Returns
    -------
    list of dict
        One per reference, in order: text (as printed, on one line, without its number), line
        (where it begins), authors (``"Fong SS; Lee V; et al."``), year, title, journal, volume,
        number, pages, doi, pmid, pmcid and url; blank where nothing was recognised.

    Examples
    --------
    >>> text = "1. Roos PE, Barton N. Gait in runners. J Biomech. 2012;45(9):1-6."
    >>> row = references_of_text(text)[0]
    >>> row["authors"], row["year"], row["title"], row["journal"], row["pages"]
    ('Roos PE; Barton N', '2012', 'Gait in runners', 'J Biomech', '1-6')
    """
    return [{"text": one, "line": line} | fields_of(one) for line, one in _split(text)]


def fields_of(reference: str) -> dict[str, str]:
    """Read one reference.

    Parameters
    ----------
    reference : str
        As printed, on one line.

    Returns
    -------
    dict
        The fields of :func:`references_of_text`, without text and line.

    Examples
    --------
    >>> fields_of("Fong, S. S. et al. (2011). Gait of adults. J Gait, 3(1), 2–9.")["authors"]
    'Fong SS; et al.'
    """
    found = dict.fromkeys(
        (
            "authors",
            "year",
            "title",
            "journal",
            "volume",
            "number",
            "pages",
            "doi",
            "pmid",
            "pmcid",
            "url",
        ),
        "",
    )
    rest = reference
    for name, pattern in (("doi", _DOI), ("pmid", _PMID), ("pmcid", _PMCID), ("url", _URL)):
        if match := pattern.search(rest):
            found[name] = match[1 if pattern.groups else 0].rstrip(".,;)")
            rest = f"{rest[: match.start()]} {rest[match.end() :]}"
    rest = " ".join(_PHRASE.sub("", rest).split()).strip(" .,;")
    for form in (_vancouver, _bracketed, _plain_year):
        if fields := form(rest):
            people = fields.pop("authors")
            return (
                found
                | {k: (v or "").strip(" .,;:") for k, v in fields.items()}
                | {"authors": people}
            )
    return found


def _split(text: str) -> list[tuple[int, str]]:
    """Cut a list at its numbers, else at blank lines, else at every line."""
    lines = [(number, line.rstrip()) for number, line in enumerate(text.splitlines(), 1)]
    filled = [(n, line) for n, line in lines if line.strip() and not _HEADING.match(line)]
    if not filled:
        return []
    marked = [number for number, line in filled if _MARK.match(line)]
    if marked and marked[0] == filled[0][0] and (len(marked) > 1 or len(filled) == 1):
        starts = set(marked)
    elif any(not line.strip() for _, line in lines[filled[0][0] - 1 : filled[-1][0]]):
        blank = {0} | {number for number, line in lines if not line.strip()}
        starts = {number for number, _ in filled if number - 1 in blank}
    else:
        starts = {number for number, _ in filled}
    found: list[tuple[int, str]] = []
    for number, line in filled:
        if number in starts:
            found.append((number, _MARK.sub("", line).strip()))
        else:
            first, so_far = found[-1]
            # A hyphen at the end of a line is part of the word as often as not; it stays.
            found[-1] = (first, f"{so_far} {line.strip()}")
    return found


def _vancouver(text: str) -> dict[str, str] | None:
    match = _VANCOUVER.match(text)
    if not match:
        return None
    cut = _AFTER_AUTHORS.search(match["head"])
    if not cut:
        return None
    authors, rest = match["head"][: cut.start()], match["head"][cut.end() :].rstrip(" .,;")
    title, journal = _title_and_journal(rest)
    fields = _VOLUME.match(match["numbers"] or "")
    assert fields is not None  # every part of the pattern may be empty
    return {
        "authors": _people(authors),
        "title": title,
        "journal": journal,
        "year": match["year"],
        "volume": fields["volume"] or "",
        "number": fields["number"] or "",
        "pages": _range(fields["pages"] or match["pages"] or ""),
    }


def _title_and_journal(text: str) -> tuple[str, str]:
    """Cut at the last point that a title could end with, for both may hold points.

    A title in sentence case ends in a small word, and the short forms of a journal are
    capitalised. A question mark ends the title unless words of a sentence follow it.
    """
    cuts = [c for c in _END.finditer(text) if c.end() < len(text)]
    if not cuts:
        return text, ""
    points = [c for c in cuts if c[0] == "."]
    good = [c for c in points if re.search(r"\b[a-z][\w-]{3,}\W?$", text[: c.start()])]
    marks = [c for c in cuts if c[0] != "."]
    cut = good[-1] if good else cuts[0]
    if not good and marks:
        cut = marks[-1]
        going_on = [c for c in points if re.search(r"\b[a-z]+\b", text[cut.end() : c.start()])]
        cut = going_on[0] if going_on else cut
    return text[: cut.start() if cut[0] == "." else cut.end()], text[cut.end() :].strip()


def _bracketed(text: str) -> dict[str, str] | None:
    match = _BRACKETED.match(text)
    if not match:
        return None
    return {
        "authors": _people(match["authors"]),
        "year": match["year"] if match["year"].isdigit() else "",
    } | _title_and_place(match["rest"])


def _plain_year(text: str) -> dict[str, str] | None:
    match = _PLAIN_YEAR.match(text)
    if not match:
        return None
    return {"authors": _people(match["authors"]), "year": match["year"]} | _title_and_place(
        match["rest"]
    )


def _title_and_place(text: str) -> dict[str, str]:
    quoted = _QUOTED.match(text)
    if quoted:
        title, place = quoted["title"], quoted["rest"]
    else:
        title, place = _title_and_journal(text)
    place = place.removeprefix("In: ").removeprefix("In ").strip(" .,;")
    chapter = _CHAPTER.match(place)
    if chapter:
        return {"title": title, "journal": chapter["book"], "pages": _range(chapter["pages"])}
    fields = _NUMBERS.match(place)
    if not fields:
        return {"title": title, "journal": place}
    return {
        "title": title,
        "journal": fields["journal"],
        "volume": fields["volume"],
        "number": fields["number"] or fields["number2"] or "",
        "pages": _range(fields["pages"] or ""),
    }


def _people(text: str) -> str:
    """Write the authors as tables do: ``"Roos PE; Barton N; et al."``."""
    short = re.sub(r"[,;]?\s*(\bet al\b\.?|\band others\b|…|\.\.\.).*$", "", text).strip(" .,;&")
    more = short != text.strip(" .,;&")
    apa = list(_APA_NAME.finditer(short))
    if apa and all("," in part[0] for part in apa):
        people = [f"{m['family'].strip(' ,&')} {_initials(m['given'])}" for m in apa]
        people = [re.sub(r"^(and|&)\s+", "", name) for name in people]
    else:
        people = []
        for part in re.split(r"\s*[,;]\s*|\s+(?:and|&)\s+", short):
            part = re.sub(r"^(and\b|&)\s*", "", part.strip())
            name = _SHORT_NAME.match(part)
            people.append(f"{name['family']} {_initials(name['given'])}" if name else part)
    return "; ".join([*filter(None, people), *(["et al."] if more and short else [])])


def _initials(given: str) -> str:
    return "".join(re.findall(_CAPITAL, given))


def _range(pages: str) -> str:
    return re.sub(r"\s*[-–—]\s*", "-", pages)
