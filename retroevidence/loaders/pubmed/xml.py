"""The bytes of an efetch answer to its records, safely; nothing unreadable passes as empty."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import cast
from xml.etree.ElementTree import Element, ParseError, tostring

from retroevidence.loaders.pubmed.http import Failure

_RECORDS = {"PubmedArticle": "./MedlineCitation/PMID", "PubmedBookArticle": "./BookDocument/PMID"}

# Codes of expat: no element found, unclosed token, partial character, unclosed CDATA section.
_BREAKS_OFF = {3, 5, 6, 20}
_INVALID_TOKEN, _UNKNOWN_ENCODING = 4, 18

# Records have about twelve levels. Python's own recursion ends at a thousand.
_DEEPEST = 100


@dataclass(frozen=True)
class Fetched:
    """What one efetch answer holds: records by PubMed id, and the ids it reports as deleted."""

    records: dict[str, Element]
    deleted: frozenset[str]


def read_records(body: bytes) -> Fetched:
    """Read an efetch answer, or raise `Failure` saying what is wrong with it."""
    root = _root(body)
    if root.tag != "PubmedArticleSet":
        told = " ".join("".join(root.itertext()).split()) if root.tag == "eFetchResult" else ""
        raise _reported(told) if told else _odd("holds no records", body)
    records: dict[str, Element] = {}
    versions: dict[str, int] = {}
    for record in root:
        if record.tag not in _RECORDS:
            continue
        number = record.find(_RECORDS[record.tag])
        pmid = "" if number is None else (number.text or "").strip()
        if number is None or not re.fullmatch(r"\d{1,9}", pmid, re.ASCII):
            raise _odd("holds a record without a PubMed id", body)
        # Some journals keep every version of an article under the same id: the last one counts.
        told = number.get("Version", "")
        version = int(told) if told.isdecimal() else 1
        if version >= versions.get(pmid, 0):
            records[pmid], versions[pmid] = record, version
    deleted = root.iterfind("./DeleteCitation/PMID")
    return Fetched(records, frozenset((one.text or "").strip() for one in deleted))


def record_bytes(record: Element) -> bytes:
    """Write one record as XML in UTF-8."""
    # The tail is the white space between two records, not part of either.
    record.tail = None
    return cast(bytes, tostring(record, encoding="utf-8"))


def parse_record(xml: bytes) -> Element:
    """Read back what :func:`record_bytes` wrote."""
    return _root(xml)


def _root(body: bytes) -> Element:
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    start = body[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        raise _odd("is empty", b"")
    if start.startswith((b"{", b"[")):
        raise _json(body)
    if start.startswith((b"<!doctype html", b"<html")):
        raise _odd("is an HTML page", body)
    try:
        root = cast(Element, fromstring(body))
    except DefusedXmlException:
        raise Failure(
            "gave an answer that declares XML entities, which is refused as unsafe",
            passing=False,
            body=body,
            mend="check base_url",
        ) from None
    except ParseError as error:
        raise _odd(_broken(body, error), body) from None
    except (ValueError, LookupError):
        raise _odd("declares an encoding that is not known", body) from None
    level, depth = [root], 0
    while level:
        level, depth = [child for one in level for child in one], depth + 1
        if depth > _DEEPEST:
            raise _odd(f"is nested more than {_DEEPEST} levels deep, as no record is", body)
    return root


def _broken(body: bytes, error: ParseError) -> str:
    if error.code in _BREAKS_OFF:
        return "breaks off"
    line, column = error.position
    if error.code == _UNKNOWN_ENCODING:
        return "declares an encoding that is not known"
    if error.code == _INVALID_TOKEN and body.lstrip().startswith(b"<"):
        declared = re.match(rb"\s*<\?xml[^>]*encoding=[\"']([\w.-]+)", body)
        name = declared[1].decode("ascii") if declared else "utf-8"
        try:
            body.decode(name)
        except UnicodeDecodeError as wrong:
            return f"is not in the encoding it claims ({name}; byte {wrong.start})"
        except LookupError:  # pragma: no cover
            pass
    return f"is not XML (line {line}, column {column})"


def _json(body: bytes) -> Failure:
    """Say what a JSON answer tells: the service answers so when it refuses a request."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return _odd("is not XML", body)
    told = content.get("error") if isinstance(content, dict) else None
    return _reported(str(told)) if told else _odd("is JSON, not XML", body)


def _reported(told: str) -> Failure:
    return Failure(f"reports an error: {told[:200]}")


def _odd(what: str, body: bytes) -> Failure:
    return Failure(f"gave an answer that {what}", body=body)
