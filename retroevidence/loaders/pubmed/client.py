"""PubMed: search it, fetch records as a table, keep every answer.

pymed builds the requests and reads the fields. Around it stand a patient and polite connection
(`http`), safe XML (`xml`), records made readable for pymed (`record`),
searches beyond PubMed's window (`search`) and a store of every answer (`store`).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import pandas as pd

from retroevidence.errors import NetworkError, RetroEvidenceError, unknown_name
from retroevidence.loaders.pubmed.fetch import fetched, reread
from retroevidence.loaders.pubmed.found import Found
from retroevidence.loaders.pubmed.http import Service
from retroevidence.loaders.pubmed.record import COLUMNS
from retroevidence.loaders.pubmed.search import find, stamp
from retroevidence.loaders.pubmed.store import Kept, Store

_NCBI = "https://eutils.ncbi.nlm.nih.gov"
_TOOLS = "/entrez/eutils"

# Records in one request: about 2 MB, lost at most when a connection drops.
_BATCH = 200

_TYPES = dict.fromkeys([*COLUMNS, "state", "fetched"], "string")
_TYPES |= {"year": "Int64", "retracted": "boolean"}


@dataclass(frozen=True)
class PubMed:
    """A client of PubMed (NCBI E-utilities) or of a server that speaks like it.

    Requests keep to NCBI's limit, three a second or ten with a key, together with those of every
    other client in the program. They are repeated after a passing failure.

    Parameters
    ----------
    email : str, optional
        Your address. NCBI asks for it, to write to you before it shuts a program out.
    base_url : str, optional
        Address of another server, such as ``"http://127.0.0.1:8000"``. By default NCBI's.
    tool : str, optional
        Name of the program that asks.
    timeout : float, optional
        Longest wait for an answer to begin or to go on, in seconds; a whole answer may take ten
        times as long.
    retries : int, optional
        How often a request is repeated after a passing failure (statuses 408, 429, 500, 502,
        503, 504, a dropped connection, no answer in time, an answer that breaks off or is
        garbled). Waits double from half a second up to a minute, and never undercut the server's
        Retry-After.
    api_key : str, optional
        Your NCBI key, which raises the limit to ten requests a second. Never shown.
    store : path, optional
        A file that keeps every answer with its date (SQLite; made when needed). With it an
        interrupted fetch goes on where it stopped, and a search can be rerun offline.
    offline : bool, optional
        Answer from the store alone, whatever the age of what it holds.
    max_age_days : float, optional
        A kept record younger than this is not fetched again; 0 fetches every record anew.
    progress : bool, optional
        Show a progress bar on the terminal's error output while records are fetched. Never shown
        where there is no terminal.

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
    api_key: str | None = field(default=None, repr=False)
    store: str | os.PathLike[str] | None = None
    offline: bool = False
    max_age_days: float = 7.0
    progress: bool = False

    def __post_init__(self) -> None:
        """Refuse settings under which no request could end, or none could be made."""
        if not 0 < self.timeout < float("inf") or not 0 <= self.retries <= 20:
            raise RetroEvidenceError(
                f"timeout is {self.timeout!r} and retries is {self.retries!r}; "
                "give a timeout above 0 seconds and 0 to 20 retries."
            )
        if not self.max_age_days >= 0:
            raise RetroEvidenceError(f"max_age_days is {self.max_age_days!r}; give 0 or more days.")
        if self.base_url is not None and not re.match(r"https?://[^\s/]", self.base_url):
            raise RetroEvidenceError(
                f"base_url is {self.base_url!r}; give an address that begins with https:// or "
                "http://."
            )
        if self.api_key is not None and not re.fullmatch(r"\S+", self.api_key):
            raise RetroEvidenceError("api_key is empty or holds blanks; copy it once more.")
        if self.offline and self.store is None:
            raise RetroEvidenceError("offline needs the file that keeps the answers; give store.")

    def search(
        self,
        query: str,
        max_results: int | None = 20,
        *,
        since: str | date | None = None,
    ) -> pd.DataFrame:
        """Search PubMed and fetch the records found.

        Parameters
        ----------
        query, max_results, since
            As for :meth:`find`.

        Returns
        -------
        DataFrame
            As :meth:`fetch`; no row if nothing was found. ``.attrs`` holds the query, the date,
            the count of all records found and what PubMed ignored.

        Raises
        ------
        RetroEvidenceError
            As for :meth:`find` and :meth:`fetch`.
        """
        found = self.find(query, max_results, since=since)
        table = self.fetch(found.ids)
        told = found.to_dict()
        table.attrs |= {name: told[name] for name in ("query", "date", "count", "notes")}
        return table

    def find(
        self,
        query: str,
        max_results: int | None = None,
        *,
        since: str | date | None = None,
    ) -> Found:
        """Search PubMed for ids, and keep the answer in the store if there is one.

        PubMed serves the first 9,999 records of a search; beyond that the search is split by the
        day of entry. The notes of the answer say what could not be reached even so.

        Parameters
        ----------
        query : str
            As typed into PubMed's own search box.
        max_results : int, optional
            How many ids at most, in PubMed's order (newest first); all by default.
        since : date or str, optional
            Only records that entered PubMed on this day (``YYYY-MM-DD``) or later.

        Returns
        -------
        Found
            Count, ids, date and notes. ``found.compare(older)`` says what is new, gone and same.

        Raises
        ------
        RetroEvidenceError
            If the query is empty, `max_results` is below 1, `since` is no day, the store is
            damaged, or (offline) no such search was kept.
        NetworkError
            If PubMed gives no usable answer; the message says what it gave.
        """
        if not query.strip():
            raise RetroEvidenceError("the query is empty; say what to search for.")
        if max_results is not None and max_results < 1:
            raise RetroEvidenceError(f"max_results is {max_results!r}; ask for 1 or more records.")
        day = _day(since)
        if self.offline:
            return self._remembered(query, max_results, day)
        store = self._store
        if store is not None:
            store.check()
        with self._service.line() as line:
            found = find(line, query, day, max_results, _now())
        if store is not None:
            store.keep_search(found)
        return found

    def kept(self, query: str | None = None) -> tuple[Found, ...]:
        """Return the searches in the store, oldest first.

        Parameters
        ----------
        query : str, optional
            Only searches for this query, as it was asked; all by default.

        Returns
        -------
        tuple of Found
            Each with its date, count, ids and notes.

        Raises
        ------
        RetroEvidenceError
            If there is no store, or it is damaged.
        """
        if self._store is None:
            raise RetroEvidenceError("no answers are kept; give PubMed a store.")
        return tuple(self._store.searches(self._service.address, query))

    def fetch(self, ids: str | int | Iterable[str | int] | pd.DataFrame) -> pd.DataFrame:
        """Fetch records by their PubMed ids.

        Parameters
        ----------
        ids : str, int, iterable of them, or DataFrame
            PubMed ids, or a table with a column pmid.

        Returns
        -------
        DataFrame
            One row per id, in the order asked, each id once:

            - pmid, title, abstract (its labelled parts on lines of their own), authors
              (``"Kale AA; Chavan SD"``; a group by its name), journal, year, volume, issue,
              pages, doi, pmcid, publication_types (``"; "`` between them);
            - mesh (``"Walking/physiology*; Gait"``, * marks a major topic), languages,
              vernacular_title, other_abstracts (``"[ger] …"``);
            - retracted (whether a notice or the publication type says so), retraction_links,
              correction_links and other_links (``"RetractionIn 7: J Gait. 2020"``, ``" | "``
              between them; the articles cited are not among them);
            - state: ``given``; ``given as 9`` if PubMed answers with the record 9 in its place;
              ``deleted``; ``not given``; offline also ``not in the store``. Every row but a
              given one holds nothing else than id and date;
            - fetched, the moment of PubMed's answer in UTC.

            ``year`` is ``Int64``, ``retracted`` ``boolean``, the others ``string``; what a
            record does not give is ``<NA>``.

        Raises
        ------
        RetroEvidenceError
            If an id is not a number, or the store is damaged.
        NetworkError
            If PubMed gives no usable answer. With a store, what came before is kept, and the
            same call goes on from there.
        """
        wanted = list(dict.fromkeys(map(_pmid, _each(ids))))
        have = self._recalled(wanted)
        missing = [pmid for pmid in wanted if pmid not in have]
        if missing and self.offline:
            have |= {pmid: Kept(pmid, "not in the store", "") for pmid in missing}
        elif missing:
            with _bar(self.progress, len(wanted), len(have)) as advance:
                for kept in self._batches(missing):
                    have |= {one.pmid: one for one in kept}
                    advance(len(kept))
        rows = [_shown(have[pmid]) for pmid in wanted]
        return pd.DataFrame(rows, columns=list(_TYPES)).astype(_TYPES)

    def _batches(self, pmids: list[str]) -> Iterator[list[Kept]]:
        """Fetch ids in batches, each kept before the next is asked for."""
        from pymed.helpers import batches

        store, done = self._store, 0
        try:
            with self._service.line() as line:
                for batch in batches(pmids, _BATCH):
                    kept = fetched(line, batch, stamp(_now()))
                    if store is not None:
                        store.keep_records(self._service.address, kept)
                    done += len(batch)
                    yield kept
        except NetworkError as error:
            if len(pmids) <= _BATCH:
                raise
            kept_so_far = (
                f"{done} of {len(pmids)} records are kept in {self.store}, and the same call "
                "goes on from there"
                if store is not None
                else f"{done} of {len(pmids)} records had come; with a store, the same call would "
                "go on from there"
            )
            raise NetworkError(f"{str(error).removesuffix('.')}; {kept_so_far}.") from None

    def _recalled(self, pmids: list[str]) -> dict[str, Kept]:
        """Return what the store holds of the ids, if it is young enough."""
        if self._store is None:
            return {}
        have = self._store.records(self._service.address, pmids, strict=self.offline)
        if not self.offline:
            # A store may hold answers for as long as the calendar counts.
            days = min(self.max_age_days, 365_000.0)
            oldest = stamp(_now() - timedelta(days=days)) if days else "~"
            have = {pmid: one for pmid, one in have.items() if one.fetched >= oldest}
        return {pmid: reread(one) for pmid, one in have.items()}

    def _remembered(self, query: str, most: int | None, since: str | None) -> Found:
        """Answer a search from the store: the newest one that holds enough ids."""
        same = [one for one in self.kept(query) if one.since == since]
        if not same:
            day = "" if since is None else f" since {since}"
            raise unknown_name(f"search{day} in the store", query, [f.query for f in self.kept()])
        enough = [one for one in same if len(one.ids) >= min(most or one.count, one.count)]
        found = (enough or same)[-1]
        notes = found.notes
        if not enough:
            notes += (f"kept with {len(found.ids)} of {found.count} ids",)
        return replace(found, ids=found.ids[:most], notes=notes)

    @cached_property
    def _service(self) -> Service:
        base = (self.base_url or _NCBI).rstrip("/").removesuffix(_TOOLS)
        settings = (self.tool, self.email, self.api_key, self.timeout, self.retries)
        return Service(base + _TOOLS, *settings)

    @cached_property
    def _store(self) -> Store | None:
        return None if self.store is None else Store(self.store)


def _now() -> datetime:
    return datetime.now(UTC)


def _day(since: str | date | None) -> str | None:
    if since is None:
        return None
    try:
        day = since if isinstance(since, date) else date.fromisoformat(since)
    except ValueError:
        raise RetroEvidenceError(f"since is {since!r}; write the day as 2026-01-31.") from None
    return day.strftime("%Y-%m-%d")


def _each(ids: str | int | Iterable[str | int] | pd.DataFrame) -> Iterable[str | int]:
    if isinstance(ids, pd.DataFrame):
        if "pmid" not in ids.columns:
            raise unknown_name("column of the table", "pmid", map(str, ids.columns))
        return list(ids["pmid"])
    return [ids] if isinstance(ids, (str, int)) else ids


def _pmid(one: object) -> str:
    text = str(one).strip()
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not int(text):
        raise RetroEvidenceError(
            f"{one!r} is not a PubMed id; give whole numbers such as 15029939."
        )
    return str(int(text))


def _shown(one: Kept) -> dict[str, Any]:
    told = {"pmid": one.pmid, "state": one.state, "fetched": one.fetched or None}
    return (one.row or {}) | told


@contextmanager
def _bar(shown: bool, total: int, done: int) -> Iterator[Callable[[int], None]]:
    """Give a function that moves a progress bar on, or one that does nothing."""
    if not (shown and sys.stderr.isatty()):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("records", total=total, completed=done)
        yield lambda count: bar.advance(task, count)
