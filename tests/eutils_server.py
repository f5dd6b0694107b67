"""An E-utilities server on this machine: the real formats and limits, invented records.

It speaks esearch (JSON and XML, history, the window of 9,999 records, dates of entry) and efetch
(XML; ids or history; deleted and merged ids), by GET and POST, and fails on request. Every record
is made up: no person, journal or finding in it exists.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pytest

from retroevidence.loaders.pubmed import http as pubmed_http
from retroevidence.loaders.pubmed.client import PubMed

#: What PubMed serves of one search.
WINDOW = 9_999

#: Servers cut addresses; this one refuses those longer than this.
LONGEST_ADDRESS = 4_000

DOCTYPE = (
    '<?xml version="1.0" ?>\n<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, '
    '1st January 2025//EN" "https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">\n'
)


def article(pmid: int | str, title: str = "", inside: str = "", after: str = "") -> str:
    """Return an invented article; `inside` goes in Article, `after` in MedlineCitation."""
    return (
        f'<PubmedArticle><MedlineCitation Status="MEDLINE" Owner="NLM">'
        f'<PMID Version="1">{pmid}</PMID><Article PubModel="Print"><Journal>'
        '<JournalIssue CitedMedium="Print"><Volume>1</Volume><Issue>2</Issue><PubDate>'
        "<Year>2001</Year></PubDate></JournalIssue><Title>Journal of Invented Gait</Title>"
        f"</Journal><ArticleTitle>{title or f'Invented study {pmid}.'}</ArticleTitle>{inside}"
        f"</Article>{after}</MedlineCitation><PubmedData><ArticleIdList>"
        f'<ArticleId IdType="pubmed">{pmid}</ArticleId></ArticleIdList></PubmedData>'
        "</PubmedArticle>"
    )


def record_set(*records: str) -> str:
    """Return an efetch answer."""
    return f"{DOCTYPE}<PubmedArticleSet>\n{chr(10).join(records)}\n</PubmedArticleSet>"


class FakeTime:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        # 2026-01-31 12:00:00 UTC, when the clock starts.
        return 1_769_860_800.0 + self.now - 1_000.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Fault:
    """One request that goes wrong: answered so instead of properly, or not at all."""

    def __init__(
        self,
        status: int = 200,
        body: str | bytes = "",
        headers: dict[str, str] | None = None,
        *,
        how: str = "whole",
    ) -> None:
        self.status, self.headers, self.how = status, headers or {}, how
        self.body = body.encode() if isinstance(body, str) else body


#: The connection is dropped before any answer.
HANG_UP = Fault(how="hang up")
#: The proper answer stops half-way: its length was told; its length was not told; in chunks.
CUT = Fault(how="cut")
CUT_UNTOLD = Fault(how="cut untold")
CUT_CHUNKS = Fault(how="cut chunks")
#: Nothing comes; half comes and then nothing.
SILENT = Fault(how="silent")
STALL = Fault(how="stall")


class Server(ThreadingHTTPServer):
    """Holds records and remembers what was asked."""

    daemon_threads = True

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.clock = clock
        self.records: dict[str, str] = {}
        self.entered: dict[str, date] = {}
        self.deleted: set[str] = set()
        self.merged: dict[str, str] = {}
        self.faults: list[Fault | None] = []
        self.extra: dict[str, object] = {}
        self.zipped = False
        self.heeds_dates = True
        self.most_per_page = WINDOW
        self.allowed: int | None = None
        self.over: threading.Event = threading.Event()
        #: One entry per request: clock, method, path, parameters, connection.
        self.asked: list[tuple[float, str, str, dict[str, str], object]] = []
        self.history: dict[str, list[str]] = {}
        self._order: list[str] | None = None
        self._lock = threading.Lock()

    def add(self, *records: str, day: date = date(2020, 1, 1)) -> None:
        """Hold records that entered on a day."""
        for record in records:
            pmid = re.search(r"<PMID[^>]*>(\d+)</PMID>", record)[1]
            self.records[pmid] = record
            self.entered[pmid] = day
        self._order = None

    def remove(self, pmid: str) -> None:
        """Hold a record no longer."""
        del self.records[pmid]
        self._order = None

    def add_many(self, count: int, first: date, per_day: int) -> None:
        """Hold `count` records numbered from 1, so many a day from a day on."""
        for n in range(count):
            self.records[str(n + 1)] = ""
            self.entered[str(n + 1)] = first + timedelta(days=n // per_day)
        self._order = None

    def record(self, pmid: str) -> str:
        return self.records[pmid] or article(pmid)

    @property
    def queries(self) -> list[dict[str, str]]:
        return [asked for _, _, _, asked, _ in self.asked]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent about connections that a test breaks on purpose."""

    def too_many(self) -> bool:
        """Say whether more requests came within a second than are allowed."""
        if self.allowed is None:
            return False
        last = self.asked[-1][0]
        return sum(last - 1 < moment <= last for moment, *_ in self.asked) > self.allowed

    def esearch(self, asked: dict[str, str]) -> tuple[int, str]:
        term = asked["term"]
        # PubMed gives the newest entries first.
        if self._order is None:
            newest = lambda one: (self.entered[one], int(one))  # noqa: E731
            self._order = sorted(self.records, key=newest, reverse=True)
        found = self._order
        if limited := re.fullmatch(r"\((.*)\) AND (\d+/\d+/\d+):3000/12/31\[crdt\]", term, re.S):
            term, low = limited[1], _day(limited[2])
            found = [one for one in found if self.entered[one] >= low]
        if asked.get("datetype") == "edat" and self.heeds_dates:
            low, high = _day(asked["mindate"]), _day(asked["maxdate"])
            found = [one for one in found if low <= self.entered[one] <= high]
        # Fields, quotes and brackets are heeded by PubMed; here every word must occur.
        plain = re.sub(r"\[[\w/ ]+\]|[\"()]", " ", term).lower()
        words = [] if term == "all[sb]" else plain.replace(" and ", " ").split()
        if words:
            found = [one for one in found if all(w in self.record(one).lower() for w in words)]
        start, size = int(asked.get("retstart", 0)), int(asked.get("retmax", 20))
        if start > WINDOW - 1:
            # As PubMed does: status 200, a line end that JSON does not allow.
            return 200, (
                '{"header":{"type":"esearch","version":"0.3"},"esearchresult":{"ERROR":"Search '
                "Backend failed: Exception:\n'retstart' cannot be larger than 9998. For PubMed, "
                'ESearch can only retrieve the first 9,999 records matching the query."}}'
            )
        size = min(size, WINDOW - start, self.most_per_page)
        ids = found[start : start + size]
        result: dict[str, object] = {
            "count": str(len(found)),
            "retmax": str(len(ids)),
            "retstart": str(start),
            "idlist": ids,
            "translationset": [],
            "querytranslation": " AND ".join(f'"{word}"[All Fields]' for word in words),
            **self.extra,
        }
        if asked.get("usehistory") == "y":
            name = f"MCID_invented{len(self.history)}"
            self.history[name] = found
            result |= {"querykey": "1", "webenv": name}
        if asked.get("retmode") != "json":
            listed = "".join(f"<Id>{one}</Id>" for one in ids)
            return 200, (
                f"<eSearchResult><Count>{len(found)}</Count><RetMax>{len(ids)}</RetMax>"
                f"<RetStart>{start}</RetStart><IdList>{listed}</IdList></eSearchResult>"
            )
        return 200, json.dumps({"header": {"type": "esearch"}, "esearchresult": result})

    def efetch(self, asked: dict[str, str]) -> tuple[int, str]:
        if "WebEnv" in asked:
            start, size = int(asked.get("retstart", 0)), int(asked.get("retmax", 20))
            if start > WINDOW - 1:
                return (
                    400,
                    "<eFetchResult><ERROR>'retstart' cannot be larger</ERROR></eFetchResult>",
                )
            ids = self.history[asked["WebEnv"]][start : min(start + size, WINDOW)]
        else:
            ids = [self.merged.get(one, one) for one in asked["id"].split(",")]
        records = [self.record(one) for one in dict.fromkeys(ids) if one in self.records]
        gone = "".join(f'<PMID Version="1">{one}</PMID>' for one in ids if one in self.deleted)
        records += [f"<DeleteCitation>{gone}</DeleteCitation>"] if gone else []
        return 200, record_set(*records)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    # Otherwise the body waits 40 ms for the client to confirm the headers.
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        if len(self.path) > LONGEST_ADDRESS:
            self.send(414, b"URI too long")
            return
        self.answer(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def answer(self, query: str) -> None:
        server, path = self.server, urlsplit(self.path).path
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        with server._lock:
            moment = server.clock()
            server.asked.append((moment, self.command, path, asked, self.client_address))
            fault = server.faults.pop(0) if server.faults else None
            refused = server.too_many()
        if refused:
            told = {"error": "API rate limit exceeded", "count": "4", "limit": "3"}
            self.send(429, json.dumps(told).encode(), {"Retry-After": "2"})
            return
        if fault is not None and fault.how == "whole":
            self.send(fault.status, fault.body, fault.headers)
            return
        tools = {"esearch.fcgi": server.esearch, "efetch.fcgi": server.efetch}
        folder, _, name = path.rpartition("/")
        if folder != "/entrez/eutils" or name not in tools:
            self.send(404, b"<html><body>Not found</body></html>")
            return
        status, text = tools[name](asked)
        if fault is not None:
            self.fail(fault.how, text.encode())
        else:
            self.send(status, text.encode())

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        headers = dict(headers or {})
        if self.server.zipped:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail(self, how: str, body: bytes) -> None:
        """Break off; `how` says where."""
        self.close_connection = True
        if how == "silent":
            self.server.over.wait(5)
            return
        if how == "hang up":
            return
        self.send_response(200)
        if how == "cut chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(f"{len(body):x}\r\n".encode() + body[: len(body) // 2])
            return
        if how in {"cut", "stall"}:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        if how == "stall":
            self.wfile.flush()
            self.server.over.wait(5)

    def log_message(self, *args: object) -> None:
        """Keep the test output clean."""


def _day(text: str) -> date:
    return date(*map(int, text.split("/")))


@contextmanager
def serving(clock: Callable[[], float]) -> Iterator[Server]:
    """Run a server; every thread of it has ended afterwards."""
    with Server(clock) as running:
        # The default polls every half second, which each test would wait for at its end.
        thread = threading.Thread(target=running.serve_forever, args=(0.005,), daemon=True)
        thread.start()
        try:
            yield running
        finally:
            running.over.set()
            running.shutdown()
            thread.join(timeout=5)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """Time for the client: waits cost nothing and are remembered."""
    fake = FakeTime()
    monkeypatch.setattr(pubmed_http, "time", fake)
    monkeypatch.setattr(pubmed_http, "_PACES", {})
    # No jitter: waits are whole, and tests can name them.
    monkeypatch.setattr(pubmed_http, "random", SimpleNamespace(random=lambda: 1.0))
    return fake


@pytest.fixture
def server(clock: FakeTime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A running server, empty."""
    # A proxy of the machine must not see loopback.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(clock.monotonic) as running:
        yield running


def client(server: Server, **settings: object) -> PubMed:
    """Return a client of the server."""
    return PubMed(**{"email": "me@example.org", "base_url": server.url} | settings)


def paragraphs(*texts: str) -> str:
    """Return an abstract of plain paragraphs."""
    return (
        "<Abstract>"
        + "".join(f"<AbstractText>{escape(t)}</AbstractText>" for t in texts)
        + ("</Abstract>")
    )
