"""Save what can be read of a damaged store."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retroevidence._show import Card, Carded
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.pubmed.store import (
    APPLICATION_ID,
    COLUMNS,
    FORM,
    connect,
    insert,
    make,
    seal,
)

# SQLite keeps its unfinished work in these files beside the store.
_BESIDE = ("-wal", "-shm")


@dataclass(frozen=True, repr=False)
class Repaired(Carded):
    """What was saved of a damaged store.

    Attributes
    ----------
    path, damaged : str
        The new store, and where the damaged file lies now, unchanged.
    searches, records : int
        How many answers of each kind were saved.
    refused : int
        Rows that could be read but are not as they were written, or whose record is lost. Rows on
        pages that cannot be read at all are not counted.

    Examples
    --------
    >>> Repaired("answers.sqlite", "answers.damaged.sqlite", 2, 310, 1)
    Store answers.sqlite rebuilt
      searches saved  2
      records saved   310
      rows refused    1
      damaged file    answers.damaged.sqlite
    """

    path: str
    damaged: str
    searches: int
    records: int
    refused: int

    def _card(self) -> Card:
        pairs = [("searches saved", f"{self.searches}"), ("records saved", f"{self.records}")]
        pairs += [("rows refused", f"{self.refused}"), ("damaged file", self.damaged)]
        return Card(f"Store {self.path} rebuilt", pairs)


def repair(path: str | os.PathLike[str]) -> Repaired:
    """Rebuild a damaged store from the rows that are as they were written.

    The damaged file is kept under another name. No other process may use the store meanwhile.

    Parameters
    ----------
    path : path
        The store.

    Returns
    -------
    Repaired
        What was saved, and where the damaged file is.

    Raises
    ------
    RetroEvidenceError
        If the file is missing, is no store of this form, holds no row that can be read, or cannot
        be rewritten.

    Examples
    --------
    >>> repair("no/such/file")
    Traceback (most recent call last):
        ...
    retroevidence.errors.RetroEvidenceError: there is no store no/such/file; check the path.
    """
    old = Path(path)
    if not old.is_file():
        raise RetroEvidenceError(f"there is no store {old}; check the path.")
    form = _form(old)
    if form != FORM:
        raise RetroEvidenceError(
            f"{old} is no store of form {FORM} that this library can rebuild; move it away."
        )
    aside = _unused(old)
    # Work on a copy: opening a store can already write to it.
    with tempfile.TemporaryDirectory(dir=old.parent) as folder:
        copy, new = Path(folder, "copy"), Path(folder, "new")
        for end in ("", *_BESIDE):
            if (beside := _beside(old, end)).exists():
                shutil.copy(beside, _beside(copy, end))
        try:
            saved, refused = _save(copy, new)
        except sqlite3.Error as error:
            raise RetroEvidenceError(f"the store {old} cannot be rebuilt ({error}).") from None
        if not sum(saved.values()):
            raise RetroEvidenceError(f"nothing of the store {old} can be read; move it away.")
        for end in ("", *_BESIDE):
            if (beside := _beside(old, end)).exists():
                os.replace(beside, _beside(aside, end))
        os.replace(new, old)
    return Repaired(str(old), str(aside), saved["searches"], saved["records"], refused)


def _save(old: Path, new: Path) -> tuple[dict[str, int], int]:
    """Copy the sound rows; return how many of each table, and how many are not sound."""
    saved, refused = dict.fromkeys(COLUMNS, 0), 0
    with closing(connect(old)) as source, closing(connect(new)) as target:
        # Without this, SQLite reads nothing of a file that is shorter than it should be.
        source.execute("PRAGMA writable_schema = ON")
        target.execute("BEGIN")
        make(target)
        for table, names in COLUMNS.items():
            for row in _readable(source, table, names):
                if seal(row[1:-1]) == row[-1]:
                    # Under its old number: the newest answer is the one with the highest.
                    insert(target, table, row[1:-1], number=row[0])
                    saved[table] += 1
                else:
                    refused += 1
        # An answer whose record is lost says nothing.
        without = "DELETE FROM records WHERE digest NOT IN (SELECT digest FROM bodies)"
        lost = target.execute(without).rowcount
        target.execute("COMMIT")
    saved["records"] -= lost
    return saved, refused + lost


def _form(path: Path) -> int | None:
    """Return the form of a store from its header, which may be all that is sound."""
    with path.open("rb") as file:
        header = file.read(100)
    # The header of an SQLite file: user_version at byte 60, application_id at byte 68.
    if len(header) < 100 or int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        return None
    return int.from_bytes(header[60:64], "big")


def _readable(
    connection: sqlite3.Connection, table: str, names: Sequence[str]
) -> Iterator[Sequence[Any]]:
    """Give the rows before the first unreadable page, then those after the last one."""
    seen: set[int] = set()
    for order in ("ASC", "DESC"):
        chosen = f"SELECT number, {', '.join(names)}, seal FROM {table} ORDER BY number {order}"
        try:
            for row in connection.execute(chosen):
                if row[0] in seen:
                    break
                seen.add(row[0])
                yield row
        except sqlite3.DatabaseError:
            continue


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _unused(path: Path) -> Path:
    names = (_beside(path, f".damaged-{n}") for n in range(1, 1000))
    for name in names:
        if not name.exists():
            return name
    raise RetroEvidenceError(f"{path.parent} holds a thousand damaged stores; clear them away.")
