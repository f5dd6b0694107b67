"""The record of a directory of tables (``datapackage.json``), and whether its tables keep it.

The record is a Frictionless Data Package. It is the only place that says which columns a table
has, of what type, in what unit and with which values. Files are read as text, checked as text,
and converted afterwards (:mod:`retroevidence.loaders.tables`), so nothing is guessed on the way.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from retroevidence._paths import data_dir
from retroevidence.errors import TableError, unknown_name

RECORD = "datapackage.json"

Stamp = tuple[Path, int, int]
"""A file, when it was last changed (ns) and its size: two equal stamps mean the same content."""

_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
BOOLEANS = {"true": True, "True": True, "TRUE": True, "1": True} | {
    "false": False,
    "False": False,
    "FALSE": False,
    "0": False,
}


def _is_date(cell: str) -> bool:
    try:
        return datetime.date.fromisoformat(cell).isoformat() == cell
    except ValueError:
        return False


# Each type: is this text of that type, what it is called, and how to write it.
TYPES: dict[str, tuple[Callable[[str], bool], str, str]] = {
    "string": (lambda cell: bool(cell.strip()), "text", "remove the spaces"),
    "list": (lambda cell: bool(cell.strip()), "text", "remove the empty item"),
    "integer": (
        lambda cell: bool(_INTEGER.fullmatch(cell)),
        "a whole number",
        "write digits only, such as 12",
    ),
    "year": (lambda cell: bool(re.fullmatch(r"[0-9]{4}", cell)), "a year", "write 2026"),
    "number": (
        lambda cell: bool(_NUMBER.fullmatch(cell)) and math.isfinite(float(cell)),
        "a number",
        "write digits with a decimal point, such as 3.5",
    ),
    "boolean": (lambda cell: cell in BOOLEANS, "true or false", "write true or false"),
    "date": (_is_date, "a date", "write year-month-day, such as 2026-01-31"),
}
_CONSTRAINTS = ("required", "unique", "enum", "minimum", "maximum", "pattern")


@dataclass(frozen=True)
class Field:
    """One column as the record declares it.

    A field of type ``list`` holds several items in one cell, separated by `delimiter`; every
    rule and every foreign key is then about the items.
    """

    name: str
    type: str = "string"
    description: str = ""
    unit: str = ""
    required: bool = False
    unique: bool = False
    enum: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    delimiter: str = ","

    def items(self, cell: str) -> tuple[str, ...]:
        """Split a cell into the items the rules are about (one item unless a ``list``).

        Examples
        --------
        >>> Field("rows", type="list", delimiter=";").items("a001; a002")
        ('a001', 'a002')
        """
        if self.type != "list":
            return (cell,)
        return tuple(item.strip() for item in cell.split(self.delimiter))


@dataclass(frozen=True)
class ForeignKey:
    """Columns whose values must occur in columns of another table (blank is allowed)."""

    fields: tuple[str, ...]
    resource: str
    reference: tuple[str, ...]


@dataclass(frozen=True)
class Resource:
    """One table as the record declares it; `hash` is ``sha256:`` and 64 hexadecimal digits."""

    name: str
    path: str
    title: str
    description: str
    bytes: int | None
    hash: str | None
    rows: int | None
    sources: tuple[str, ...]
    licenses: tuple[str, ...]
    fields: tuple[Field, ...]
    primary_key: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...]


@dataclass(frozen=True)
class Record:
    """The record of one directory: its title and its tables, in the order they are listed."""

    folder: Path
    title: str
    resources: tuple[Resource, ...]

    def resource(self, name: str) -> Resource:
        """Return the table called `name`.

        Raises
        ------
        UnknownNameError
            If there is none; the message has the nearest names.
        """
        for resource in self.resources:
            if resource.name == name:
                return resource
        raise unknown_name("table", name, [resource.name for resource in self.resources])

    def path(self, resource: Resource) -> Path:
        """Return the file of a table."""
        return self.folder / resource.path


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


# --- files -----------------------------------------------------------------------------------


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


# --- the record ------------------------------------------------------------------------------


def read_record(data: str | os.PathLike[str] | None = None) -> Record:
    """Read and check the record of a directory of tables.

    Parameters
    ----------
    data : path, optional
        A directory with a ``datapackage.json``; by default the library's own tables.

    Raises
    ------
    TableError
        If ``datapackage.json`` is missing, is not JSON or says something that is not understood.
        A rule that would be passed over in silence is an error here.

    Examples
    --------
    >>> read_record().resource("studies").primary_key
    ('study_id',)
    """
    return _read_record(stamp(data_dir(data).resolve() / RECORD))


@lru_cache(maxsize=16)
def _read_record(stamp: Stamp) -> Record:
    path = stamp[0]
    content = read_json(path)
    entries = _take(content, "resources", list, "the file")
    resources = tuple(_resource(entry, n, content) for n, entry in enumerate(entries, 1))
    _no_repeat([resource.name for resource in resources], "the file", "table")
    by_name = {resource.name: {f.name for f in resource.fields} for resource in resources}
    for resource in resources:
        for key in resource.foreign_keys:
            if not set(key.reference) <= by_name.get(key.resource, set()):
                raise _wrong(
                    f"table {resource.name!r} refers to {'+'.join(key.reference)} of "
                    f"{key.resource!r}, which is not declared",
                    "correct the foreign key",
                )
    return Record(path.parent, _take(content, "title", str, "the file", ""), resources)


def _wrong(rule: str, fix: str) -> TableError:
    return TableError(RECORD, rule, fix)


_KINDS: dict[type, str] = {str: "text", int: "a whole number", list: "a list", dict: "an object"}


def _take(source: Any, key: str, kind: type, place: str, default: object = None) -> Any:
    """Take one entry of a JSON object; without a default it must be there."""
    if not isinstance(source, dict):
        raise _wrong(f"{place} is no JSON object", "write it as {...}")
    value = source.get(key, default)
    if value is None and default is None:
        raise _wrong(f"{place} has no {key!r}", "add it")
    if value is not default and (not isinstance(value, kind) or isinstance(value, bool)):
        raise _wrong(f"{key!r} of {place} is not {_KINDS[kind]}", "correct it")
    return value


def _names(value: object, place: str) -> tuple[str, ...]:
    """Read ``"a"`` or ``["a", "b"]``: the standard allows both for keys."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise _wrong(f"{place} is not a column name or a list of them", "correct it")
    return tuple(names)


def _no_repeat(names: Sequence[str], place: str, kind: str) -> None:
    for name in {name for name in names if names.count(name) > 1}:
        raise _wrong(f"{place} has two entries for {kind} {name!r}", "keep one of them")


def _titles(entry: Any, package: Any, key: str, place: str) -> tuple[str, ...]:
    """Read sources or licences as text; a table without its own has those of the package."""
    found = _take(entry, key, list, place, []) or _take(package, key, list, "the file", [])
    texts = []
    for item in found:
        parts = [_take(item, part, str, f"{key} of {place}", "") for part in ("title", "path")]
        name = _take(item, "name", str, f"{key} of {place}", "")
        texts.append(" – ".join(part for part in (name, *parts) if part))
    return tuple(texts)


def _resource(entry: Any, position: int, package: Any) -> Resource:
    name = _take(entry, "name", str, f"table {position}")
    place = f"table {name!r}"
    path = _take(entry, "path", str, place)
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path:
        raise _wrong(f"the path {path!r} of {place} leaves the directory", "give a file in it")
    schema = _take(entry, "schema", dict, place)
    if schema.get("missingValues", [""]) != [""]:
        raise _wrong(f"{place} has other missing values than blank", 'write [""] and use blanks')
    fields = tuple(
        _field(field, f"field {n} of {place}")
        for n, field in enumerate(_take(schema, "fields", list, place), 1)
    )
    columns = [field.name for field in fields]
    _no_repeat(columns, place, "column")
    keys = []
    for key in _take(schema, "foreignKeys", list, place, []):
        reference = _take(key, "reference", dict, f"a foreign key of {place}")
        keys.append(
            ForeignKey(
                _names(key.get("fields"), f"a foreign key of {place}"),
                _take(reference, "resource", str, f"a foreign key of {place}", "") or name,
                _names(reference.get("fields"), f"a foreign key of {place}"),
            )
        )
        if len(keys[-1].fields) != len(keys[-1].reference):
            raise _wrong(f"a foreign key of {place} pairs unequal columns", "list as many in both")
    primary = _names(schema.get("primaryKey", []), f"the primary key of {place}")
    for column in (*primary, *(column for key in keys for column in key.fields)):
        if column not in columns:
            raise _wrong(f"a key of {place} names {column!r}, which is no field", "correct it")
    return Resource(
        name=name,
        path=path,
        title=_take(entry, "title", str, place, ""),
        description=_take(entry, "description", str, place, ""),
        bytes=_take(entry, "bytes", int, place, -1) if "bytes" in entry else None,
        hash=_take(entry, "hash", str, place, "") if "hash" in entry else None,
        rows=_take(entry, "rows", int, place, -1) if "rows" in entry else None,
        sources=_titles(entry, package, "sources", place),
        licenses=_titles(entry, package, "licenses", place),
        fields=fields,
        primary_key=primary,
        foreign_keys=tuple(keys),
    )


def _field(entry: Any, place: str) -> Field:
    name = _take(entry, "name", str, place)
    place = f"{place} ({name})"
    kind = _take(entry, "type", str, place, "string")
    if kind not in TYPES:
        raise _wrong(f"{place} has the unknown type {kind!r}", f"use one of {', '.join(TYPES)}")
    rules = _take(entry, "constraints", dict, place, {})
    for rule in rules:
        if rule not in _CONSTRAINTS:
            known = ", ".join(_CONSTRAINTS)
            raise _wrong(f"{place} has the unknown constraint {rule!r}", f"use one of {known}")
    for rule in ("required", "unique"):
        if not isinstance(rules.get(rule, False), bool):
            raise _wrong(f"{rule!r} of {place} is not true or false", "correct it")
    for rule in ("minimum", "maximum"):
        limit = rules.get(rule, 0)
        if isinstance(limit, bool) or not isinstance(limit, int | float):
            raise _wrong(f"{rule!r} of {place} is not a number", "correct it")
        if rule in rules and kind not in ("integer", "number", "year"):
            raise _wrong(f"{place} is of type {kind} and has a {rule}", "make it a number")
    pattern = _take(rules, "pattern", str, place, "") or None
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise _wrong(
            f"the pattern of {place} is no regular expression: {error}", "mend it"
        ) from None
    return Field(
        name=name,
        type=kind,
        description=_take(entry, "description", str, place, ""),
        unit=_take(entry, "unit", str, place, ""),
        required=rules.get("required", False),
        unique=rules.get("unique", False),
        enum=tuple(str(value) for value in _take(rules, "enum", list, place, [])),
        minimum=rules.get("minimum"),
        maximum=rules.get("maximum"),
        pattern=pattern,
        delimiter=_take(entry, "delimiter", str, place, ",") or ",",
    )


# --- does a table keep its record? -----------------------------------------------------------


def faults(record: Record, resource: Resource) -> list[TableError]:
    """Return every place where a table breaks its record, in the order of its lines.

    Foreign keys are looked up in the other tables of the directory; if such a table cannot be
    read, that is a fault here as well.
    """
    try:
        sheet = read_sheet(record.path(resource))
    except TableError as error:
        return [error]
    found = list(_header_faults(resource, sheet.header))
    width = len(sheet.header)
    found += [
        TableError(
            resource.path,
            f"has {len(cells)} cells where the header has {width}",
            "look for a missing or extra comma; put cells that contain commas in quotes",
            row=line,
        )
        for line, cells in zip(sheet.lines, sheet.rows, strict=True)
        if len(cells) != width
    ]
    lines = [n for n, cells in zip(sheet.lines, sheet.rows, strict=True) if len(cells) == width]
    columns = sheet.columns()
    for field in resource.fields:
        if field.name in columns:
            found += _cell_faults(resource, field, lines, columns[field.name])
    unique = [(f.name,) for f in resource.fields if f.unique and (f.name,) != resource.primary_key]
    for key in (resource.primary_key, *unique):
        if key and all(column in columns for column in key):
            found += _repeat_faults(resource, key, lines, columns)
    for link in resource.foreign_keys:
        if all(column in columns for column in link.fields):
            found += _link_faults(record, resource, link, lines, columns)
    return sorted(found, key=lambda fault: fault.row or 0)


def _header_faults(resource: Resource, header: tuple[str, ...]) -> Iterator[TableError]:
    declared = [field.name for field in resource.fields]
    if not set(declared) & set(header):
        separated = next((mark for mark in ";\t|" if mark in header[0]), None)
        yield TableError(
            resource.path,
            "has none of the columns of its record in the first line",
            f"save it with commas instead of {separated!r}"
            if separated and len(header) == 1
            else f"begin the file with: {','.join(declared)}",
            row=1,
        )
        return
    for name in dict.fromkeys(header):
        if header.count(name) > 1:
            yield TableError(
                resource.path, "occurs twice in the header", "keep one", row=1, value=name
            )
        if name not in declared:
            near = get_close_matches(name, set(declared) - set(header), n=1)
            fix = f"call it {near[0]!r}" if near else f"remove it, or declare it in {RECORD}"
            yield TableError(resource.path, "is no column of this table", fix, row=1, value=name)
    for name in declared:
        if name not in header:
            yield _missing_column(resource, name)


def _missing_column(resource: Resource, name: str) -> TableError:
    return TableError(
        resource.path,
        "is missing from the header",
        "add the column; its cells may be blank where it is not required",
        row=1,
        value=name,
    )


def _cell_faults(
    resource: Resource, field: Field, lines: Sequence[int], cells: Sequence[str]
) -> Iterator[TableError]:
    # Tables repeat their values, so each distinct text is judged once.
    broken = {cell: fault for cell in set(cells) if (fault := _judge(field, cell))}
    if field.name in resource.primary_key and "" in cells:
        broken.setdefault("", ("is blank", "fill it in; it is part of the key of this table"))
    if not broken:
        return
    for line, cell in zip(lines, cells, strict=True):
        if cell in broken:
            rule, fix = broken[cell]
            yield TableError(
                resource.path, rule, fix, row=line, column=field.name, value=cell or None
            )


def _judge(field: Field, cell: str) -> tuple[str, str] | None:
    """Say which rule of its field a cell breaks, and how to mend it."""
    if cell == "":
        return ("is blank", "fill it in; this column is required") if field.required else None
    fits, kind, how = TYPES[field.type]
    blank = "" if field.required else ", or leave the cell blank"
    for item in field.items(cell):
        if not fits(item):
            if item != item.strip() and (not item.strip() or fits(item.strip())):
                return f"is not {kind}", f"remove the spaces{blank}"
            if field.type in ("number", "integer") and "," in item:
                return f"is not {kind}", "write a decimal point, and no thousands separator"
            return f"is not {kind}", how + blank
        if field.enum and item not in field.enum:
            near = get_close_matches(item.strip(), field.enum, n=1)
            return (
                f"is not one of: {', '.join(field.enum)}",
                f"write {near[0]!r}{blank}" if near else f"write one of them{blank}",
            )
        if field.pattern and not re.fullmatch(field.pattern, item):
            meaning = f" ({field.description})" if field.description else ""
            return f"does not have the form {field.pattern}", f"correct it{meaning}"
        if field.minimum is not None and float(item) < field.minimum:
            return f"is below the minimum of {field.minimum}", f"correct it{blank}"
        if field.maximum is not None and float(item) > field.maximum:
            return f"is above the maximum of {field.maximum}", f"correct it{blank}"
    return None


def _repeat_faults(
    resource: Resource,
    key: tuple[str, ...],
    lines: Sequence[int],
    columns: dict[str, tuple[str, ...]],
) -> Iterator[TableError]:
    name, first = "+".join(key), dict[tuple[str, ...], int]()
    for line, *values in zip(lines, *(columns[column] for column in key), strict=True):
        if all(values) and first.setdefault(tuple(values), line) != line:
            yield TableError(
                resource.path,
                f"is already on line {first[tuple(values)]}",
                f"give each row its own {name}",
                row=line,
                column=name,
                value="+".join(values),
            )


def _link_faults(
    record: Record,
    resource: Resource,
    link: ForeignKey,
    lines: Sequence[int],
    columns: dict[str, tuple[str, ...]],
) -> Iterator[TableError]:
    target = record.resource(link.resource)
    try:
        sheet = read_sheet(record.path(target))
    except TableError as error:
        yield error
        return
    absent = [name for name in link.reference if name not in sheet.header]
    if absent:
        yield _missing_column(target, absent[0])
        return
    others = sheet.columns()
    known = set(zip(*(others[name] for name in link.reference), strict=True))
    fields = {field.name: field for field in resource.fields}
    hints: dict[str, str] = {}
    for line, *cells in zip(lines, *(columns[name] for name in link.fields), strict=True):
        if not all(cells):
            continue
        # Only a single-column key can be a list; a joined key is compared as it stands.
        single = fields[link.fields[0]].items(cells[0]) if len(cells) == 1 else ()
        for values in [(item,) for item in single] or [tuple(cells)]:
            if values in known or not all(values):
                continue
            name = "+".join(values)
            if name not in hints:
                near = get_close_matches(name, ["+".join(one) for one in known], n=1, cutoff=0.8)
                hints[name] = f"did you mean {near[0]!r}? Otherwise " if near else ""
            yield TableError(
                resource.path,
                f"is no {'+'.join(link.reference)} of {target.path}",
                f"{hints[name]}correct it or add it there",
                row=line,
                column="+".join(link.fields),
                value=name,
            )


def validate(data: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Check every table of a directory against its record and list all faults.

    Parameters
    ----------
    data : path, optional
        A directory with a ``datapackage.json``; by default the library's own tables.

    Returns
    -------
    DataFrame
        One row per fault, none if all is well: ``kind``, ``file``, ``line``, ``column``,
        ``value``, ``rule``, ``fix``, ``message``. `kind` is ``rule`` for what also stops
        :func:`~retroevidence.loaders.tables.load`, ``reference`` where a study has no entry in
        ``references.bib``, ``stale`` where a table is not the one whose size, hash and rows the
        record states (:func:`refresh` mends that).

    Raises
    ------
    RetroEvidenceError
        If `data` is no directory.

    Examples
    --------
    >>> validate().empty
    True
    """
    found: dict[str, tuple[str, TableError]] = {}
    try:
        record = read_record(data)
    except TableError as error:
        found[str(error)] = ("rule", error)
    else:
        for resource in record.resources:
            for fault in faults(record, resource):
                found.setdefault(str(fault), ("rule", fault))
            if stale := _stale(record, resource):
                found[str(stale)] = ("stale", stale)
        for fault in _without_reference(record):
            found[str(fault)] = ("reference", fault)
    rows = [
        (kind, e.file, e.row, e.column, e.value, e.rule, e.fix, message)
        for message, (kind, e) in found.items()
    ]
    names = ["kind", "file", "line", "column", "value", "rule", "fix", "message"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.astype({name: "Int64" if name == "line" else "string" for name in names})


def _stale(record: Record, resource: Resource) -> TableError | None:
    """Say that a table is not the one the record describes, with the lines to paste."""
    try:
        sheet = read_sheet(record.path(resource))
    except TableError:
        return None  # already a fault of its own
    now = _measures(sheet)
    recorded = {"bytes": resource.bytes, "hash": resource.hash, "rows": resource.rows}
    old = [name for name in now if recorded[name] != now[name]]
    if not old:
        return None
    paste = json.dumps(now)[1:-1]
    return TableError(
        resource.path,
        f"is not the file {RECORD} describes ({', '.join(old)})",
        f"if the change is meant, write there: {paste} (or: retroevidence validate --refresh)",
    )


def _without_reference(record: Record) -> Iterator[TableError]:
    """Find studies that the bibliography of the directory does not have under the same key."""
    # Imported here: the parser of the bibliography is slow to import, and few callers want it.
    from retroevidence.loaders.bibliography import bibliography

    studies = next((one for one in record.resources if one.primary_key == ("study_id",)), None)
    if studies is None:
        return
    try:
        known = set(bibliography(record.folder)["key"])
        sheet = read_sheet(record.path(studies))
    except TableError as error:
        if error.file != studies.path:  # a fault of the table is listed already
            yield error
        return
    place = sheet.header.index("study_id") if "study_id" in sheet.header else len(sheet.header)
    for line, cells in zip(sheet.lines, sheet.rows, strict=True):
        for key in cells[place : place + 1]:
            if key and key not in known:
                yield TableError(
                    studies.path,
                    "has no entry in references.bib",
                    "add a BibTeX entry with this key",
                    row=line,
                    column="study_id",
                    value=key,
                )


def _measures(sheet: Sheet) -> dict[str, int | str]:
    return {"bytes": sheet.bytes, "hash": sheet.hash, "rows": len(sheet.rows)}


def refresh(data: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """Write the present size, hash and number of rows of every table into the record.

    Nothing else of ``datapackage.json`` changes. It is written beside and then renamed, so a
    reader never meets half a file.

    Returns
    -------
    tuple of str
        The tables whose entry changed; empty if the record was up to date.

    Raises
    ------
    TableError
        If the record or one of its tables cannot be read, or the record cannot be written; it
        then stays as it is.
    """
    record = read_record(data)
    path = record.folder / RECORD
    content = read_json(path)
    changed = []
    for entry, resource in zip(content["resources"], record.resources, strict=True):
        now = _measures(read_sheet(record.path(resource)))
        if {name: entry.get(name) for name in now} != now:
            entry.update(now)
            changed.append(resource.name)
    if changed:
        beside = path.with_name(f"{RECORD}.{os.getpid()}.part")
        try:
            beside.write_text(record_text(content), encoding="utf-8", newline="\n")
            beside.replace(path)
        except OSError as error:
            fix = "make the directory writable, with room on the disk"
            raise TableError(RECORD, f"cannot be written ({error.strerror})", fix) from None
        finally:
            beside.unlink(missing_ok=True)
    return tuple(changed)


def record_text(content: dict[str, Any]) -> str:
    """Write a record as JSON with two spaces of indentation, one field per line.

    A field on one line reads, and changes, like a row of a table.

    Examples
    --------
    >>> print(record_text({"fields": [{"name": "n", "type": "integer"}]}))
    {
      "fields": [
        {"name": "n", "type": "integer"}
      ]
    }
    """
    return _json(content, "") + "\n"


def _json(value: Any, indent: str) -> str:
    line = json.dumps(value, ensure_ascii=False)
    leaf = not isinstance(value, dict | list) or not value
    nested = isinstance(value, dict) and isinstance(value.get("fields"), list)
    short = len(indent) + len(line) <= 98 or (isinstance(value, dict) and "type" in value)
    if leaf or (indent and short and not nested and "[{" not in line):
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        parts = [f"{inner}{json.dumps(k)}: {_json(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + _json(v, inner) for v in value) + f"\n{indent}]"
