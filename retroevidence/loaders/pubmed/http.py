"""Requests to the E-utilities: paced, repeated while a failure may pass, bounded in every way.

NCBI asks for at most three requests a second, ten with an API key, and shuts out who does not
keep to it. The pace is therefore kept for each server and key, not for each client: a program
that makes a new client for every query is as polite as one that keeps a single one.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from heapq import heappop, heappush
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

from retroevidence.errors import NetworkError

if TYPE_CHECKING:
    import requests

Read = TypeVar("Read")

#: Requests in one second that NCBI allows, without and with an API key.
LIMIT, LIMIT_WITH_KEY = 3, 10

# A second by this clock, and what the server's clock may differ by.
_SECOND = 1.02

_PATIENCE_S = 600.0

# A longer query goes in the body of a POST: servers cut addresses at 2 to 8 kB.
_LONGEST_QUERY = 1500

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0
_PASSING = {408, 429, 500, 502, 503, 504}

# One answer of 200 records has 1 to 10 MB.
_LARGEST_BYTES = 64_000_000
_CHUNK_BYTES = 65_536

# A server that sends one byte at a time never reaches the time limit of a single read.
_WHOLE = 10


class Failure(Exception):
    """Why one attempt gave nothing: a phrase, whether it may pass, and the wait asked for.

    `body` is the answer, to be quoted. A failure never reaches the user: :meth:`Line.ask` repeats
    the request or raises `NetworkError`.
    """

    def __init__(
        self,
        what: str,
        *,
        passing: bool = True,
        after: float | None = None,
        body: bytes = b"",
        mend: str = "try again later, or check the connection and base_url",
    ) -> None:
        super().__init__(what)
        self.what, self.body, self.mend = what, body, mend
        self.passing, self.after = passing, after


class TooLargeError(NetworkError):
    """An answer above the size that is read; fewer records at once may fit."""


class NoIdsError(NetworkError):
    """The service says that no id of the request belongs to a record."""


class Pace:
    """Lets at most `limit` requests reach a server within a second, whoever sends them.

    When a request arrives is not known, only that it has once it is answered. A turn is therefore
    free again a second after the answer: no delay on the way can bring more requests together.
    """

    def __init__(self, limit: int) -> None:
        self._free = [float("-inf")] * limit
        self._changed = threading.Condition()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and hold it while the request is under way."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._free, _PATIENCE_S):
                raise Failure("is waited for by too many threads of this program")
            free = heappop(self._free)
        try:
            wait = free - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            yield
        finally:
            with self._changed:
                heappush(self._free, time.monotonic() + _SECOND)
                self._changed.notify()


_PACES: dict[tuple[str, str | None], Pace] = {}
_PACES_LOCK = threading.Lock()


def pace(address: str, api_key: str | None) -> Pace:
    """Return the pace that every client of this server and key shares."""
    with _PACES_LOCK:
        limit = LIMIT if api_key is None else LIMIT_WITH_KEY
        return _PACES.setdefault((address, api_key), Pace(limit))


@dataclass(frozen=True)
class Service:
    """Where the E-utilities are and how to ask them."""

    address: str
    tool: str
    email: str | None
    api_key: str | None
    timeout: float
    retries: int

    @contextmanager
    def line(self) -> Iterator[Line]:
        """Open a connection that the requests of one piece of work share."""
        import requests

        with requests.Session() as session:
            yield Line(self, session, pace(self.address, self.api_key))

    @property
    def given(self) -> dict[str, str]:
        """The parameters of every request, as pymed sets them, and the key."""
        from pymed.api import PubMed as Requests

        given = Requests(tool=self.tool, email=self.email).parameters
        given = {name: value for name, value in given.items() if value is not None}
        return given if self.api_key is None else given | {"api_key": self.api_key}


@dataclass(frozen=True)
class Line:
    """An open connection to the service."""

    service: Service
    session: requests.Session
    pace: Pace

    def ask(self, tool: str, asked: Mapping[str, str], read: Callable[[bytes], Read]) -> Read:
        """Send a request and read its answer, repeated while the failure may pass.

        `read` turns the bytes of an answer into a value, or raises `Failure`: an answer that
        broke off is as passing as a connection that did. The waits double from half a second
        to a minute, each shortened at random by up to a half, so that clients that failed
        together do not come back together; the server's own Retry-After is never undercut.
        """
        address = f"{self.service.address}/{tool}"
        failure = Failure("nothing was asked")
        for attempt in range(self.service.retries + 1):
            if attempt:
                self._wait(address, attempt, failure)
            try:
                with self.pace.turn():
                    body = self._send(address, asked)
                return read(body)
            except Failure as one:
                failure = one
                if not one.passing:
                    raise NetworkError(f"{address} {self._told(one)}; {one.mend}.") from None
        times = "once" if not self.service.retries else f"{self.service.retries + 1} times"
        raise NetworkError(f"{address} {self._told(failure)}, asked {times}; {failure.mend}.")

    def _wait(self, address: str, attempt: int, failure: Failure) -> None:
        after = failure.after or 0.0
        if after > _LONGEST_WAIT_S:
            raise NetworkError(
                f"{address} {self._told(failure)} and wants no request for {after:.0f} s; "
                "try again then."
            )
        backoff = min(_FIRST_WAIT_S * 2.0 ** (attempt - 1), _LONGEST_WAIT_S)
        time.sleep(max(backoff * (0.5 + random.random() / 2), after))

    def _send(self, address: str, asked: Mapping[str, str]) -> bytes:
        import requests

        query = urlencode({**self.service.given, **asked})
        short = len(query) <= _LONGEST_QUERY
        try:
            with self.session.request(
                "GET" if short else "POST",
                f"{address}?{query}" if short else address,
                data=None if short else query,
                headers={} if short else {"Content-Type": "application/x-www-form-urlencoded"},
                timeout=self.service.timeout,
                # A redirection would turn a POST into a GET without its ids, or carry the key
                # to another server.
                allow_redirects=False,
                stream=True,
            ) as answer:
                return self._checked(address, answer, self._body(address, answer))
        except requests.exceptions.SSLError:
            raise Failure(
                "has a certificate that cannot be verified",
                passing=False,
                mend="check base_url and the clock of this machine",
            ) from None
        except requests.RequestException as error:
            raise self._no_answer(error) from None

    def _no_answer(self, error: requests.RequestException) -> Failure:
        import requests
        from urllib3.exceptions import ReadTimeoutError

        # A body that stalls comes as a connection error around the time-out.
        stalled = error.args and isinstance(error.args[0], ReadTimeoutError)
        if isinstance(error, requests.Timeout) or stalled:
            return Failure(f"gave no answer in {self.service.timeout:g} s")
        if isinstance(error, requests.exceptions.ContentDecodingError):
            return Failure("gave an answer whose compression is broken")
        if isinstance(error, requests.exceptions.ChunkedEncodingError):
            return Failure("gave an answer that breaks off")
        if isinstance(error, requests.ConnectionError):
            return Failure("cannot be reached, or dropped the connection")
        return Failure(
            f"cannot be asked ({type(error).__name__})", passing=False, mend="check base_url"
        )

    def _body(self, address: str, answer: requests.Response) -> bytes:
        """Read an answer in pieces, up to its largest size and longest time.

        Whether it is whole, its reader tells: neither XML nor JSON can be cut unnoticed.
        """
        end = time.monotonic() + _WHOLE * self.service.timeout
        body = bytearray()
        for chunk in answer.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > _LARGEST_BYTES:
                raise TooLargeError(
                    f"{address} gave an answer of more than {_LARGEST_BYTES / 1e6:g} MB, "
                    "the most that is read; leave it out, or check base_url."
                )
            if time.monotonic() > end:
                raise Failure(
                    f"was still sending its answer after {_WHOLE * self.service.timeout:g} s"
                )
        return bytes(body)

    def _checked(self, address: str, answer: requests.Response, body: bytes) -> bytes:
        """Return the body of an answer with status 200; raise for any other status."""
        status = answer.status_code
        if status == 200:
            return body
        if status in _PASSING:
            after = _seconds(answer.headers.get("Retry-After", ""))
            raise Failure(f"answered with status {status}", after=after)
        if 300 <= status < 400:
            raise Failure(
                f"answered with status {status}, a redirection, which is not followed",
                passing=False,
                mend="give the final address as base_url",
            )
        if status == 400 and b"ID list is empty" in body:
            raise NoIdsError(f"{address} says that no id belongs to a record; check the ids.")
        raise Failure(
            f"answered with status {status}",
            passing=False,
            body=body,
            mend="check the request and base_url",
        )

    def _told(self, failure: Failure) -> str:
        """Say what failed and quote the start of the answer, without the user's secrets.

        Servers repeat the key and the address; control characters in an answer are escaped.
        """
        text = " ".join(failure.body[:1000].decode("utf-8", errors="replace").split())
        what = failure.what
        for secret in filter(None, (self.service.api_key, self.service.email)):
            text, what = text.replace(secret, "…"), what.replace(secret, "…")
        return f"{what} (it begins: {text[:80]!r})" if text else what


def _seconds(text: str) -> float | None:
    """Read Retry-After: a number of seconds, or a date."""
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text.strip(), re.ASCII):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
