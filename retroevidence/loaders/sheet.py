"""The files as they stand: text read as UTF-8, CSV as cells, JSON as it is."""

import csv
import hashlib
import io
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from retroevidence.errors import TableError

RECORD = "datapackage.json"

Stamp = tuple[Path, int, int]
"""A file, when it was last changed (ns) and its size: two equal stamps mean the same content."""


@dataclass(frozen=True)
class Sheet:
    """A CSV file as it stands: header, cells, and the line on which each row starts."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    bytes: int
    hash: str

    def columns(self) -> dict[str, tuple[str, ...]]:
        """Return the cells by column; rows that are too short or too long are left out."""
        whole = [cells for cells in self.rows if len(cells) == len(self.header)]
        cells = zip(*whole, strict=True) if whole else ((),) * len(self.header)
        return dict(zip(self.header, cells, strict=True))

    def measures(self) -> dict[str, int | str]:
        """Return what the record says of the file: size [bytes], hash and number of rows."""
        return {"bytes": self.bytes, "hash": self.hash, "rows": len(self.rows)}


def stamp(path: Path) -> Stamp:
    """Return what identifies the content of a file, or raise a TableError if it is missing."""
    try:
        status = path.stat()
    except OSError as error:
        raise _no_file(path, error) from None
    return path, status.st_mtime_ns, status.st_size


def _no_file(path: Path, error: OSError) -> TableError:
    if path.name == RECORD and isinstance(error, FileNotFoundError):
        fix = "give the directory that has one, or make one with: retroevidence new DIR"
    elif isinstance(error, FileNotFoundError):
        fix = f"put the file there, or take its entry out of {RECORD}"
    else:
        fix = "make the file readable"
    reason = "is missing" if isinstance(error, FileNotFoundError) else f"unreadable: {error}"
    return TableError(path.name, f"{reason} (looked in {path.parent})", fix)


def _read_utf8(path: Path) -> tuple[bytes, str]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _no_file(path, error) from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TableError(
            path.name,
            f"is not UTF-8 at byte {error.start + 1} (0x{raw[error.start]:02x})",
            "save it as UTF-8 (Excel: 'CSV UTF-8'; LibreOffice: character set 'Unicode (UTF-8)')",
            row=raw.count(b"\n", 0, error.start) + 1,
        ) from None
    if "\0" in text:
        raise TableError(path.name, "is no plain text file", "save it as CSV in UTF-8")
    return raw, text.removeprefix("\ufeff")


def read_sheet(path: Path) -> Sheet:
    """Read a CSV file as text, checking only that it is one (UTF-8, header, closed quotes).

    A byte-order mark and any line ends are accepted; blank lines are passed over.

    Raises
    ------
    TableError
        If the file is missing, empty, not UTF-8, or has a quotation mark that is never closed.
    """
    return _read_sheet(stamp(path))


@lru_cache(maxsize=64)
def _read_sheet(stamp: Stamp) -> Sheet:
    path = stamp[0]
    raw, text = _read_utf8(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    line = 1
    try:
        for cells in reader:
            if cells:
                rows.append(tuple(cells))
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise TableError(
            path.name,
            f"has a broken quotation ({error})",
            'close every quoted cell, and write a " inside it twice',
            row=line,
        ) from None
    if not rows:
        raise TableError(path.name, "is empty", "write at least the line with the column names")
    digest = hashlib.sha256(raw).hexdigest()
    return Sheet(rows[0], tuple(rows[1:]), tuple(lines[1:]), len(raw), f"sha256:{digest}")


def read_json(path: Path) -> dict[str, Any]:
    """Read ``datapackage.json`` as it stands.

    Raises
    ------
    TableError
        If it is missing, not UTF-8, not JSON, or not an object.
    """
    _, text = _read_utf8(path)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise TableError(
            path.name,
            f"is not valid JSON: {error.msg} at character {error.colno}",
            "mend that line",
            row=error.lineno,
        ) from None
    if not isinstance(content, dict):
        raise TableError(path.name, "is no JSON object", "begin it with {")
    return content
