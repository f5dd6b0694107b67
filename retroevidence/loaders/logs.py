"""The tables of a review that grow by themselves: what was searched, found, and decided on.

They lie beside the tables of evidence and are not in their record, because a search or a decision
changes them: their columns and rules are declared here instead, and checked in the same way.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from retroevidence._paths import data_dir, write_beside
from retroevidence.errors import RetroEvidenceError, TableError
from retroevidence.loaders.record import Field, Record, Resource
from retroevidence.loaders.rules import faults
from retroevidence.loaders.sheet import read_sheet

Data = str | os.PathLike[str] | None

#: What never leaves the machine: abstracts, and the answers of PubMed.
LOCAL = "local"

KINDS = ("database", "register", "other")
STAGES = ("title_abstract", "full_text")
ROLES = ("screener", "arbiter")
DECISIONS = ("include", "exclude", "not_retrieved")

_ID = "[a-z0-9][a-z0-9_-]*"


def _required(name: str, **rules: Any) -> Field:
    return Field(name, required=True, **rules)


def _text(names: str) -> tuple[Field, ...]:
    return tuple(Field(name) for name in names.split())


def _log(name: str, title: str, key: tuple[str, ...], *fields: Field) -> Resource:
    return Resource(name, f"{name}.csv", title, "", None, None, None, (), (), fields, key, ())


_WHEN: dict[str, Any] = {"type": "date", "required": True}
_COUNT: dict[str, Any] = {"type": "integer", "required": True, "minimum": 0}

#: Every such table by its name.
LOGS = {
    log.name: log
    for log in (
        _log(
            "strategies",
            "What is searched, and where",
            ("strategy_id",),
            _required("strategy_id", pattern=_ID),
            _required("kind", enum=KINDS),
            _required("database"),
            *_text("query file"),
            Field("from_date", type="date"),
            Field("to_date", type="date"),
            Field("note"),
        ),
        _log(
            "search_log",
            "Every run of a strategy",
            (),
            Field("run_date", **_WHEN),
            _required("strategy_id", pattern=_ID),
            _required("kind", enum=KINDS),
            _required("database"),
            *_text("query file"),
            Field("from_date", type="date"),
            Field("to_date", type="date"),
            *(Field(name, **_COUNT) for name in ("found", "read", "new", "duplicates", "records")),
        ),
        _log(
            "hits",
            "Every record of every source, and the work it is",
            ("strategy_id", "source_id"),
            _required("strategy_id", pattern=_ID),
            _required("source_id"),
            Field("run_date", **_WHEN),
            _required("record_id", pattern="r[0-9]{4,}"),
            _required("rule", enum=("first", "pmid", "doi", "title")),
            Field("score", type="number"),
            Field("differing"),
        ),
        _log(
            "records",
            "One row per work",
            ("record_id",),
            _required("record_id", pattern="r[0-9]{4,}"),
            *_text("type authors"),
            Field("year", type="integer"),
            *_text("title journal volume number pages doi pmid pmcid url"),
        ),
        _log(
            "screening",
            "Every decision, in the order it was taken",
            (),
            _required("record_id", pattern="r[0-9]{4,}"),
            _required("stage", enum=STAGES),
            _required("screener"),
            _required("role", enum=ROLES),
            _required("decision", enum=DECISIONS),
            *_text("reason study_id"),
            Field("date", **_WHEN),
        ),
    )
}


def read_log(name: str, data: Data = None) -> pd.DataFrame:
    """Read one of these tables; one that is not there yet is empty.

    Parameters
    ----------
    name : {"strategies", "search_log", "hits", "records", "screening"}
        The table.
    data : path, optional
        Directory of a review; the library's own by default.

    Returns
    -------
    DataFrame
        Text and dates as ``string``, whole numbers ``Int64``, numbers ``float64``.

    Raises
    ------
    TableError
        If a cell breaks its rule: the first one, and how many more there are.

    Examples
    --------
    >>> import tempfile
    >>> read_log("hits", tempfile.mkdtemp()).empty
    True
    """
    log, folder = LOGS[name], data_dir(data)
    names = [field.name for field in log.fields]
    if (folder / log.path).exists():
        found = faults(Record(folder, "", (log,)), log)
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            first = found[0]
            raise TableError(
                first.file, first.rule, first.fix + more,
                row=first.row, column=first.column, value=first.value,
            )  # fmt: skip
        cells = read_sheet(folder / log.path).columns()
    else:
        cells = dict.fromkeys(names, ())
    types = {"integer": "Int64", "number": "float64"}
    table = pd.DataFrame({n: pd.Series(cells[n], dtype=object) for n in names}).replace("", None)
    for field in log.fields:
        if field.type in types:
            table[field.name] = pd.to_numeric(table[field.name])
    return table.astype({f.name: types.get(f.type, "string") for f in log.fields})


def append_log(name: str, rows: Iterable[Mapping[str, Any]], data: Data = None) -> None:
    """Add rows to the end of one of these tables, at once and for good.

    What is there already is not touched, and the rows are on the disk when the call returns.

    Raises
    ------
    RetroEvidenceError
        If the file cannot be written.
    """
    log = LOGS[name]
    path = data_dir(data) / log.path
    names = [field.name for field in log.fields]
    text = _csv(names, rows)
    if not text:
        return
    try:
        if not path.exists():
            _begin(path, empty_log(name))
        handle = os.open(path, os.O_RDWR | os.O_APPEND)
        try:
            size = os.fstat(handle).st_size
            os.lseek(handle, max(0, size - 1), os.SEEK_SET)
            # An editor may leave out the last line's end; a row must not be glued to that line.
            if size and os.read(handle, 1) != b"\n":
                text = "\n" + text
            os.write(handle, text.encode("utf-8"))
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise _no_write(path, error) from None


def replace_log(name: str, rows: Iterable[Mapping[str, Any]], data: Data = None) -> None:
    """Write one of these tables as a whole, or leave it as it is.

    Raises
    ------
    RetroEvidenceError
        If the file cannot be written.
    """
    log = LOGS[name]
    path = data_dir(data) / log.path
    names = [field.name for field in log.fields]
    try:
        write_beside(path, empty_log(name) + _csv(names, rows))
    except OSError as error:
        raise _no_write(path, error) from None


def empty_log(name: str) -> str:
    """Return the text of one of these tables without a row.

    Examples
    --------
    >>> empty_log("hits").strip()
    'strategy_id,source_id,run_date,record_id,rule,score,differing'
    """
    return ",".join(field.name for field in LOGS[name].fields) + "\n"


def local_folder(data: Data = None) -> Path:
    """Make the folder for what must not be published, and have git pass it over.

    Raises
    ------
    RetroEvidenceError
        If it cannot be made.
    """
    folder = data_dir(data) / LOCAL
    try:
        folder.mkdir(exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise _no_write(folder, error) from None
    return folder


def _begin(path: Path, header: str) -> None:
    """Make a file with its header unless another process has just done so."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(header, encoding="utf-8", newline="\n")
        with suppress(FileExistsError):
            os.link(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _csv(names: list[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])
    return text.getvalue()


def _cell(value: Any) -> str:
    """Write a value in one line; missing is blank."""
    if value is None or value is pd.NA or value != value:
        return ""
    return " ".join(str(value).split())


def _no_write(path: Path, error: OSError) -> RetroEvidenceError:
    reason = error.strerror or "unknown reason"
    return RetroEvidenceError(
        f"{path} cannot be written ({reason}); give a review of your own with --data."
    )
