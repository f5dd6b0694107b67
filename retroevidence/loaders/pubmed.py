"""PubMed: search it and fetch records as a table.

pymed builds the requests and reads the fields. This layer gives it what it lacks: a time limit,
bounded repeats, safe XML, and records cleaned before they are read, so that identifiers of the
reference list are not taken for the article's own and a title does not end at its first italic.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

import pandas as pd

from retroevidence.errors import RetroEvidenceError

if TYPE_CHECKING:
    import requests

_COLUMNS = ["pmid", "title", "abstract", "authors", "journal", "year", "volume", "issue"]
_COLUMNS += ["pages", "doi", "pmcid", "publication_types"]

#: PubMed's own limit for one search.
MOST_RESULTS = 10_000

_NCBI = "https://eutils.ncbi.nlm.nih.gov"
_TOOLS = "/entrez/eutils"

# NCBI allows three requests a second without a key; another server sets its own limit.
_PAUSE_S = 0.34

# Ids in one request: keeps its address well below the 8 kB that servers take.
_BATCH = 200

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_PASSING = {429, 500, 502, 503, 504}

# Parts of a record that hold titles, authors and identifiers of other works, or the abstract in
# another language.
_FOREIGN = {"ReferenceList", "CommentsCorrectionsList", "OtherAbstract", "InvestigatorList"}

_RAISED = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_LOWERED = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")


@dataclass(frozen=True)
class PubMed:
    """A client of PubMed (NCBI E-utilities) or of a server that speaks like it.

    Parameters
    ----------
    email : str, optional
        Your address. NCBI asks for it, to write to you before it shuts a program out.
    base_url : str, optional
        Address of another server, such as ``"http://127.0.0.1:8000"``. By default NCBI's.
    tool : str, optional
        Name of the program that asks.
    timeout : float, optional
        Longest wait for an answer, in seconds.
    retries : int, optional
        How often a request is repeated after a passing failure (statuses 429, 500, 502, 503,
        504, a dropped connection, no answer in time). Waits double from half a second.

    Examples
    --------
    >>> PubMed(email="me@example.org").search("")
    Traceback (most recent call last):
        ...
    retroevidence.errors.RetroEvidenceError: the query is empty; say what to search for.
    """

    email: str | None = None
    base_url: str | None = None
    tool: str = "retroevidence"
    timeout: float = 30.0
    retries: int = 3
    _asked: list[float] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse settings under which no request could end."""
        if not self.timeout > 0 or self.retries < 0:
            raise RetroEvidenceError(
                f"timeout is {self.timeout!r} and retries is {self.retries!r}; "
                "give a timeout above 0 seconds and 0 or more retries."
            )

    def search(self, query: str, max_results: int = 20) -> pd.DataFrame:
        """Search PubMed and fetch the records found.

        Parameters
        ----------
        query : str
            As typed into PubMed's own search box.
        max_results : int, optional
            How many records at most, from 1 to 10 000; PubMed's order (newest first).

        Returns
        -------
        DataFrame
            As :meth:`fetch`; no row if nothing was found.

        Raises
        ------
        RetroEvidenceError
            If the query is empty, `max_results` is out of range, or PubMed gives no usable
            answer; the message says which.
        """
        if not query.strip():
            raise RetroEvidenceError("the query is empty; say what to search for.")
        if not 1 <= max_results <= MOST_RESULTS:
            raise RetroEvidenceError(
                f"max_results is {max_results!r}, but PubMed gives 1 to {MOST_RESULTS} records "
                "of a search; narrow the query."
            )
        asked = {"term": query, "retmax": str(max_results), "retmode": "json"}
        answer = self._ask("esearch.fcgi", asked)
        try:
            content = answer.json()
        except ValueError:
            raise self._odd(answer, "which is not JSON") from None
        result = content.get("esearchresult") if isinstance(content, dict) else None
        if not isinstance(result, dict) or "idlist" not in result:
            raise self._odd(answer, "which holds no list of ids")
        return self.fetch(result["idlist"][:max_results])

    def fetch(self, ids: str | int | Iterable[str | int] | pd.DataFrame) -> pd.DataFrame:
        """Fetch records by their PubMed ids.

        Parameters
        ----------
        ids : str, int, iterable of them, or DataFrame
            PubMed ids, or a table with a column pmid.

        Returns
        -------
        DataFrame
            One row per id, in the order asked, each id once: pmid, title, abstract (its labelled
            parts on lines of their own), authors (``"Kale AA; Chavan SD"``; a group by its name),
            journal, year, volume, issue, pages, doi, pmcid and publication_types
            (``"; "`` between them). ``year`` is ``Int64``, the others ``string``; what a record
            does not give is ``<NA>``. An id for which PubMed sends no record keeps its row, with
            nothing but the id.

        Raises
        ------
        RetroEvidenceError
            If an id is not a number, or PubMed gives no usable answer.
        """
        wanted = list(dict.fromkeys(_pmid(one) for one in _each(ids)))
        records: dict[str, dict[str, Any]] = {}
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            answer = self._ask("efetch.fcgi", {"id": ",".join(batch), "retmode": "xml"})
            for record in self._records(answer):
                records[record["pmid"]] = record
        rows = [records.get(pmid, {"pmid": pmid}) for pmid in wanted]
        table = pd.DataFrame(rows, columns=_COLUMNS)
        types = dict.fromkeys(_COLUMNS, "string") | {"year": "Int64"}
        return table.replace("", None).astype(types)

    def _records(self, answer: requests.Response) -> list[dict[str, Any]]:
        from xml.etree.ElementTree import ParseError

        from defusedxml.common import DefusedXmlException
        from defusedxml.ElementTree import fromstring

        try:
            root = fromstring(answer.content)
        except (ParseError, DefusedXmlException):
            raise self._odd(answer, "which is not XML this library reads") from None
        if root.tag != "PubmedArticleSet":
            raise self._odd(answer, "which holds no records")
        found = [_article(one) for one in root.iter("PubmedArticle")]
        return found + [_book(one) for one in root.iter("PubmedBookArticle")]

    def _ask(self, tool: str, asked: Mapping[str, str]) -> requests.Response:
        """Send one request, repeated while the failure may pass."""
        import requests
        from pymed.api import PubMed as Requests

        client = Requests(tool=self.tool, email=self.email)
        given = {name: value for name, value in client.parameters.items() if value is not None}
        address = self._address(tool)
        failure, wait = "", _FIRST_WAIT_S
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(min(wait, _LONGEST_WAIT_S))
                wait *= 2
            self._pause()
            try:
                answer = requests.get(address, params={**given, **asked}, timeout=self.timeout)
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                timed_out = isinstance(error, requests.Timeout)
                failure = f"no answer in {self.timeout:g} s" if timed_out else "no connection"
                continue
            except requests.RequestException as error:
                raise RetroEvidenceError(f"{address} cannot be asked: {error}.") from None
            if answer.status_code in _PASSING:
                failure = f"status {answer.status_code}"
                after = answer.headers.get("Retry-After", "")
                wait = max(wait, float(after)) if after.isdecimal() else wait
                continue
            if answer.status_code != 200:
                raise self._odd(answer, f"with status {answer.status_code}")
            return answer
        raise RetroEvidenceError(
            f"{address} did not answer: {failure}, asked {self.retries + 1} times; "
            "try again later, or check the connection and base_url."
        )

    def _address(self, tool: str) -> str:
        base = (self.base_url or _NCBI).rstrip("/").removesuffix(_TOOLS)
        return f"{base}{_TOOLS}/{tool}"

    def _pause(self) -> None:
        """Keep to NCBI's limit: sleep until the last request lies far enough back."""
        if self.base_url is None and self._asked:
            time.sleep(max(0.0, self._asked[-1] + _PAUSE_S - time.monotonic()))
        self._asked[:] = [time.monotonic()]

    def _odd(self, answer: requests.Response, what: str) -> RetroEvidenceError:
        address = str(answer.url).partition("?")[0]
        start = " ".join(answer.text[:300].split())[:80]
        return RetroEvidenceError(
            f"{address} gave an answer {what} (it begins: {start!r}); "
            "check base_url, or try again later."
        )


def _each(ids: str | int | Iterable[str | int] | pd.DataFrame) -> Iterable[str | int]:
    if isinstance(ids, pd.DataFrame):
        return list(ids["pmid"])
    return [ids] if isinstance(ids, (str, int)) else ids


def _pmid(one: object) -> str:
    text = str(one).strip()
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise RetroEvidenceError(
            f"{one!r} is not a PubMed id; give whole numbers such as 15029939."
        )
    return text


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
    _clean(record)
    read = _reader()(xml_element=record)
    issue = record.find(".//Journal/JournalIssue")
    pages = _text(record, ".//Pagination/MedlinePgn")
    first, last = (_text(record, f".//Pagination/{end}Page") for end in ("Start", "End"))
    return {
        "pmid": _text(record, "./MedlineCitation/PMID") or read.pubmed_id,
        "title": read.title,
        "abstract": read.abstract,
        "authors": _authors(read.authors),
        "journal": read.journal,
        "year": _year(record, ".//Journal/JournalIssue/PubDate"),
        "volume": _text(issue, "Volume"),
        "issue": _text(issue, "Issue"),
        "pages": pages or "-".join(filter(None, (first, last))),
        "doi": _first(read.doi) or _text(record, ".//ELocationID[@EIdType='doi']"),
        "pmcid": _text(record, ".//ArticleId[@IdType='pmc']"),
        "publication_types": _kinds(record),
    }


def _book(record: Element) -> dict[str, Any]:
    """Read a book or a chapter; its publisher stands where an article has the journal."""
    from pymed.book import PubMedBookArticle

    _clean(record)
    read = PubMedBookArticle(xml_element=record)
    return {
        "pmid": _text(record, "./BookDocument/PMID") or read.pubmed_id,
        "title": _text(record, "./BookDocument/ArticleTitle") or read.title,
        "abstract": read.abstract,
        "authors": _authors(read.authors),
        "journal": read.publisher,
        "year": _year(record, ".//Book/PubDate"),
        "doi": _first(read.doi),
        "publication_types": _kinds(record),
    }


def _clean(record: Element) -> None:
    """Change a record so that pymed reads it right."""
    for parent in list(record.iter()):
        for child in [child for child in parent if child.tag in _FOREIGN]:
            parent.remove(child)
    for part in record.iter("AbstractText"):
        label = part.get("Label", "")
        _flatten(part, f"{label}: " if label else "")
    for tag in ("ArticleTitle", "BookTitle", "Title"):
        for part in record.iter(tag):
            _flatten(part)
    for author in record.iter("Author"):
        # pymed knows persons only; a group goes where it looks for the family name.
        for name in author.findall("CollectiveName"):
            name.tag = "LastName"
            _flatten(name)


def _flatten(part: Element, before: str = "") -> None:
    """Replace inline markup by its text: italics lose nothing, 10<sup>2</sup> becomes 10²."""

    def text(node: Element) -> str:
        whole = (node.text or "") + "".join(text(child) + (child.tail or "") for child in node)
        table = {"sup": _RAISED, "sub": _LOWERED}.get(node.tag)
        if table and all(ord(letter) in table for letter in whole):
            return whole.translate(table)
        return whole

    whole = " ".join(text(part).split())
    for child in list(part):
        part.remove(child)
    part.text = before + whole if whole else None


def _authors(people: Iterable[Mapping[str, str | None]]) -> str:
    names = (f"{p['lastname'] or ''} {p['initials'] or ''}".strip() for p in people)
    return "; ".join(filter(None, names))


def _year(record: Element, path: str) -> int | None:
    """Return the year of the issue; a range of dates (``2004 Dec-2005 Jan``) gives its first."""
    for one in (f"{path}/Year", f"{path}/MedlineDate", ".//ArticleDate/Year"):
        if found := re.search(r"\b\d{4}\b", _text(record, one)):
            return int(found[0])
    return None


def _kinds(record: Element) -> str:
    kinds = (" ".join("".join(kind.itertext()).split()) for kind in record.iter("PublicationType"))
    return "; ".join(dict.fromkeys(filter(None, kinds)))


def _first(lines: str | None) -> str:
    """Take the first of the values that pymed joins by line ends."""
    return (lines or "").partition("\n")[0].strip()


def _text(element: Element | None, path: str) -> str:
    found = None if element is None else element.find(path)
    return "" if found is None else " ".join("".join(found.itertext()).split())
