"""The local store: every answer of PubMed with its date, in one SQLite file.

Nothing read from it is trusted unseen: the file must be a sound SQLite file of this form, and
each row carries a checksum of its content. Writes are transactions, so that an interrupted one
leaves no trace; several processes may use one store at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.pubmed.found import Found

# "rvPM": marks the file as this library's own in the header that every SQLite file has.
APPLICATION_ID = 0x7276504D

#: The form of the tables; raised whenever they change.
FORM = 1

_TABLES = """
CREATE TABLE searches (number INTEGER PRIMARY KEY, service TEXT, query TEXT, since TEXT,
    date TEXT, count INTEGER, ids TEXT, more TEXT, seal TEXT);
CREATE TABLE bodies (number INTEGER PRIMARY KEY, digest TEXT UNIQUE, xml BLOB, row TEXT,
    reader INTEGER, seal TEXT);
CREATE TABLE records (number INTEGER PRIMARY KEY, service TEXT, pmid TEXT, fetched TEXT,
    state TEXT, digest TEXT, seal TEXT);
CREATE INDEX records_by_pmid ON records (service, pmid, number);
"""

#: Columns by table, in the order of their seal.
COLUMNS = {
    "searches": ("service", "query", "since", "date", "count", "ids", "more"),
    "bodies": ("digest", "xml", "row", "reader"),
    "records": ("service", "pmid", "fetched", "state", "digest"),
}

_PATIENCE_S = 30.0
_TRIES = 100

# SQLite of 2020 and before allows 999 values in one statement.
_AT_ONCE = 500


@dataclass(frozen=True)
class Kept:
    """What PubMed said about one id at one date."""

    pmid: str
    state: str
    fetched: str
    xml: bytes | None = None
    row: dict[str, Any] | None = None
    reader: int = 0


def seal(values: Iterable[object]) -> str:
    """Return the checksum of a row: it tells damage, not forgery."""
    text = hashlib.sha256()
    for value in values:
        part = value if isinstance(value, bytes) else repr(value).encode()
        text.update(len(part).to_bytes(8, "big") + part)
    return text.hexdigest()


class Store:
    """Answers of PubMed in a file.

    Parameters
    ----------
    path : path
        The file; made when something is first kept.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()
        self._sound = False

    def check(self) -> None:
        """Make the file, or refuse it before there is anything to lose."""
        with self._open():
            pass

    def keep_search(self, found: Found) -> None:
        """Keep a search."""
        more = json.dumps({"translation": found.translation, "notes": found.notes})
        row = (found.service, found.query, found.since, found.date, found.count)
        with self._writing() as connection:
            insert(connection, "searches", (*row, " ".join(found.ids), more))

    def searches(self, service: str, query: str | None = None) -> list[Found]:
        """Return the kept searches of a server, oldest first; of one query, if it is given."""
        chosen = f"SELECT number, {', '.join(COLUMNS['searches'])}, seal FROM searches"
        chosen += " WHERE service = ? AND (? IS NULL OR query = ?) ORDER BY number"
        with self._open() as connection:
            rows = connection.execute(chosen, (service, query, query)).fetchall()
        return [self._found(row) for row in rows]

    def _found(self, row: Sequence[Any]) -> Found:
        number, *values, told = row
        if seal(values) != told:
            raise self._damaged(f"search {number} is not as it was written")
        service, query, since, date, count, ids, more = values
        rest = json.loads(more)
        return Found(
            query=query,
            since=since,
            date=date,
            count=count,
            ids=tuple(ids.split()),
            translation=rest["translation"],
            notes=tuple(rest["notes"]),
            service=service,
        )

    def keep_records(self, service: str, kept: Iterable[Kept]) -> None:
        """Keep what PubMed said about several ids: all of it, or after a failure nothing."""
        with self._writing() as connection:
            for one in kept:
                digest = None if one.xml is None else hashlib.sha256(one.xml).hexdigest()
                if one.xml is not None:
                    # The same record read again is kept once, with another date.
                    connection.execute("DELETE FROM bodies WHERE digest = ?", (digest,))
                    row = json.dumps(one.row, ensure_ascii=False)
                    body = (digest, zlib.compress(one.xml), row, one.reader)
                    insert(connection, "bodies", body)
                values = (service, one.pmid, one.fetched, one.state, digest)
                insert(connection, "records", values)

    def records(self, service: str, pmids: Sequence[str], strict: bool) -> dict[str, Kept]:
        """Return the newest kept answer for each of the ids that has one.

        A damaged row is passed over, to be fetched again; with `strict` it is refused.
        """
        found: dict[str, Kept] = {}
        with self._open() as connection:
            for start in range(0, len(pmids), _AT_ONCE):
                part = pmids[start : start + _AT_ONCE]
                # In SQLite the plain columns come from the row that has the maximum.
                chosen = (
                    f"SELECT MAX(r.number), {', '.join(f'r.{n}' for n in COLUMNS['records'])}, "
                    f"r.seal, {', '.join(f'b.{n}' for n in COLUMNS['bodies'])}, b.seal "
                    "FROM records r LEFT JOIN bodies b ON b.digest = r.digest "
                    f"WHERE r.service = ? AND r.pmid IN ({', '.join('?' * len(part))}) "
                    "GROUP BY r.pmid"
                )
                for row in connection.execute(chosen, (service, *part)):
                    one = _kept(row[1:])
                    if one is not None:
                        found[one.pmid] = one
                    elif strict:
                        raise self._damaged(f"the record of {row[2]} is not as it was written")
        return found

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one piece of work; at the first time, make or check it."""
        self._refuse_what_is_no_store()
        try:
            with closing(connect(self.path)) as connection:
                if not self._sound:
                    self._make_or_check(connection)
                    self._sound = True
                yield connection
        except sqlite3.OperationalError as error:
            if "malformed" in str(error):
                raise self._damaged(str(error)) from None
            raise RetroEvidenceError(
                f"the store {self.path} cannot be used ({error}); check that its directory exists "
                "and can be written, that the disk has room, and that no other program locks it."
            ) from None
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from None

    def _refuse_what_is_no_store(self) -> None:
        if self.path.is_dir() or (self.path.exists() and not self.path.is_file()):
            raise RetroEvidenceError(f"{self.path} is no file; name a file for the store.")
        try:
            with self.path.open("rb") as file:
                start = file.read(16)
        except FileNotFoundError:
            return
        except OSError as error:
            raise RetroEvidenceError(
                f"the store {self.path} cannot be read ({error.strerror}); check its permissions."
            ) from None
        if start and start != b"SQLite format 3\0":
            raise RetroEvidenceError(
                f"{self.path} is no store of this library (not an SQLite file); name another file, "
                "or move this one away."
            )

    def _make_or_check(self, connection: sqlite3.Connection) -> None:
        # Looked at before anything is written: the file may be another program's.
        if _pragma(connection, "application_id") == 0 and not _tables(connection):
            _share(connection)
            connection.execute("BEGIN IMMEDIATE")
            # Another process may have made the tables meanwhile.
            if not _tables(connection):
                make(connection)
            connection.execute("COMMIT")
        if _pragma(connection, "application_id") != APPLICATION_ID:
            raise RetroEvidenceError(
                f"{self.path} is the database of another program; name another file for the store."
            )
        form = _pragma(connection, "user_version")
        if form != FORM:
            raise RetroEvidenceError(
                f"the store {self.path} has form {form}, but this version of the library reads "
                f"form {FORM}; use the version that wrote it, or name another file."
            )
        if not set(COLUMNS) <= _tables(connection):
            raise self._damaged("a table is missing")
        ((sound,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
        if sound != "ok":
            raise self._damaged(sound)

    def _damaged(self, what: str) -> RetroEvidenceError:
        what = " ".join(what.split())
        return RetroEvidenceError(
            f"the store {self.path} is damaged ({what}); save what can be read with "
            f"retroevidence.loaders.pubmed.repair.repair({str(self.path)!r}), or move it away."
        )


def connect(path: Path) -> sqlite3.Connection:
    """Open an SQLite file without the implicit transactions of Python's module."""
    return sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)


def make(connection: sqlite3.Connection) -> None:
    """Make the tables, inside the caller's transaction: a store has all of them or none."""
    for statement in filter(str.strip, _TABLES.split(";")):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORM}")


def insert(
    connection: sqlite3.Connection,
    table: str,
    values: Sequence[object],
    number: int | None = None,
) -> None:
    """Add a row with its seal, under the next number or under a given one."""
    names = ("number", *COLUMNS[table], "seal")
    marks = ", ".join("?" * len(names))
    statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"
    connection.execute(statement, (number, *values, seal(values)))


def _kept(row: Sequence[Any]) -> Kept | None:
    """Check a row of both tables; None if it is not as it was written."""
    size = len(COLUMNS["records"])
    record, record_seal = row[:size], row[size]
    body, body_seal = row[size + 1 : -1], row[-1]
    _, pmid, fetched, state, digest = record
    if seal(record) != record_seal:
        return None
    if digest is None:
        return Kept(pmid, state, fetched)
    if seal(body) != body_seal:
        return None
    _, xml, parsed, reader = body
    return Kept(pmid, state, fetched, zlib.decompress(xml), json.loads(parsed), reader)


def _share(connection: sqlite3.Connection) -> None:
    """Let others read while one writes.

    Two processes that open a new store together may find it locked for a moment, which SQLite
    does not wait for here.
    """
    for _ in range(_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(0.02)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    ((value,),) = connection.execute(f"PRAGMA {name}").fetchall()
    return int(value)


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master").fetchall()}
