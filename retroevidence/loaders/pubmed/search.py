"""Searches by esearch: pages of ids, and more of them than one search reaches.

PubMed serves the first 9,999 records of a search, whatever retmax asks for and with the history
server too. More are reached by splitting the search by the day on which records entered PubMed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from retroevidence.errors import NetworkError
from retroevidence.loaders.pubmed.found import Found
from retroevidence.loaders.pubmed.http import Failure, Line

#: Records of one search that PubMed serves.
WINDOW = 9_999

# No record entered before the oldest article in PubMed was printed.
_FIRST_DAY = date(1700, 1, 1)

# Entries may change while a search is split; a larger excess means that days are not heeded.
_EXCESS = 1.05


@dataclass(frozen=True)
class Page:
    """One esearch answer."""

    count: int
    ids: list[str]
    translation: str
    notes: list[str]


def find(line: Line, query: str, since: str | None, most: int | None, now: datetime) -> Found:
    """Search PubMed for up to `most` ids (None: all) of a query, entered `since` a day."""
    term = query if since is None else f"({query}) AND {since.replace('-', '/')}:3000/12/31[crdt]"
    first = _page(line, term, 0, WINDOW if most is None else min(most, WINDOW))
    goal = first.count if most is None else min(most, first.count)
    notes = list(first.notes)
    if goal <= WINDOW:
        ids = _fill(line, term, first, goal, None, notes)
    else:
        ids = _split(line, term, first.count, goal, now.date(), notes)
    return Found(
        query=query,
        since=since,
        date=stamp(now),
        count=first.count,
        ids=tuple(ids[:goal]),
        translation=first.translation,
        notes=tuple(notes),
        service=line.service.address,
    )


def stamp(moment: datetime) -> str:
    """Write a moment as the store and the tables do."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _fill(
    line: Line,
    term: str,
    first: Page,
    goal: int,
    days: tuple[int, int] | None,
    notes: list[str],
) -> list[str]:
    """Return `goal` ids: those of the first page, and further pages where it gave fewer."""
    ids = dict.fromkeys(first.ids)
    start = len(first.ids)
    while len(ids) < goal:
        before = len(ids)
        if start < WINDOW:
            page = _page(line, term, start, goal - before, days)
            ids |= dict.fromkeys(page.ids)
            start += len(page.ids)
        if len(ids) == before:
            notes.append(f"PubMed counts {goal} records but gave only {before} ids")
            break
    return list(ids)


def _split(
    line: Line, term: str, count: int, goal: int, today: date, notes: list[str]
) -> list[str]:
    """Return more ids than one search gives: newest days first, halved until each part fits."""
    ids: dict[str, None] = {}
    # A year ahead: the clock of this machine may be behind, and some entries are dated ahead.
    todo = [(_FIRST_DAY.toordinal(), today.toordinal() + 366)]
    counted, beyond = 0, []
    while todo and len(ids) < goal:
        low, high = days = todo.pop()
        page = _page(line, term, 0, WINDOW, days)
        if page.count > WINDOW and high > low:
            middle = (low + high) // 2
            todo += [(low, middle), (middle + 1, high)]
            continue
        counted += page.count
        if counted > _EXCESS * count + 10:
            raise NetworkError(
                f"{line.service.address} does not heed the days of a search, so that no more than "
                f"{WINDOW} of its {count} records can be reached; narrow the query."
            )
        ids |= dict.fromkeys(_fill(line, term, page, min(page.count, WINDOW), days, notes))
        if page.count > WINDOW:
            beyond.append(f"{page.count - WINDOW} of {page.count} of {date.fromordinal(low)}")
    if beyond:
        notes.append(f"not reachable, being too many of one day: {', '.join(beyond)}")
    left = goal - len(ids) if not beyond else 0
    if left > 0:
        notes.append(f"{left} records of the count were given by no day of entry")
    return list(ids)


def _page(
    line: Line, term: str, start: int, size: int, days: tuple[int, int] | None = None
) -> Page:
    asked = {"term": term, "retmax": str(size), "retmode": "json"}
    asked |= {"retstart": str(start)} if start else {}
    if days is not None:
        low, high = (date.fromordinal(day).strftime("%Y/%m/%d") for day in days)
        asked |= {"datetype": "edat", "mindate": low, "maxdate": high}
    return line.ask("esearch.fcgi", asked, read_page)


def read_page(body: bytes) -> Page:
    """Read an esearch answer, or raise `Failure` saying what is wrong with it."""
    try:
        # Not strict: PubMed's own error texts hold raw line ends.
        content = json.loads(body, strict=False)
    except (ValueError, RecursionError):
        raise _odd("is not JSON, or breaks off", body) from None
    result = content.get("esearchresult") if isinstance(content, dict) else None
    if not isinstance(result, dict):
        told = content.get("error") if isinstance(content, dict) else None
        raise _reported(told) if told else _odd("holds no search", body)
    if told := result.get("ERROR"):
        raise _reported(told)
    try:
        count, ids = int(result["count"]), result["idlist"]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise _odd("holds no list of ids", body) from None
    if count < 0 or not isinstance(ids, list) or not all(map(_is_id, ids)):
        raise _odd("holds no list of ids", body)
    return Page(
        count,
        [str(one) for one in ids],
        str(result.get("querytranslation", "")),
        list(_notes(result)),
    )


def _notes(result: dict[str, Any]) -> Iterable[str]:
    """Say what PubMed left out of the query, which it does without failing."""
    said = {
        "phrasesnotfound": "not found and left out of the query",
        "fieldsnotfound": "no such field",
        "phrasesignored": "ignored in the query",
        "quotedphrasesnotfound": "quoted phrase not found",
    }
    for group in ("errorlist", "warninglist"):
        told = result.get(group)
        for name, what in said.items():
            values = told.get(name) if isinstance(told, dict) else None
            if isinstance(values, list):
                yield from (f"{what}: {value}" for value in values)


def _is_id(one: object) -> bool:
    return re.fullmatch(r"[1-9]\d{0,8}", str(one), re.ASCII) is not None


def _reported(told: object) -> Failure:
    return Failure(f"reports an error: {' '.join(str(told).split())[:200]}")


def _odd(what: str, body: bytes) -> Failure:
    return Failure(f"gave an answer that {what}", body=body)
