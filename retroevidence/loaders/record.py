"""The record of a directory of tables (``datapackage.json``), and whether its tables keep it.

The record is a Frictionless Data Package. It is the only place that says which columns a table
has, of what type, in what unit and with which values. Files are read as text, checked as text,
and converted afterwards (:mod:`retroevidence.loaders.tables`), so nothing is guessed on the way.
"""

from __future__ import annotations

import datetime
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from retroevidence._paths import data_dir
from retroevidence.errors import TableError, unknown_name
from retroevidence.loaders.sheet import RECORD, Stamp, read_json, stamp

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


#: What the experimental arms do, if the record does not say it.
EXPERIMENTAL = "the experimental arm"


@dataclass(frozen=True)
class Record:
    """The record of one directory: its title and its tables, in the order they are listed.

    `experimental` says what the experimental arms do, for figures and the report.
    """

    folder: Path
    title: str
    resources: tuple[Resource, ...]
    experimental: str = EXPERIMENTAL

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
    return Record(
        path.parent,
        _take(content, "title", str, "the file", ""),
        resources,
        _take(content, "experimental", str, "the file", EXPERIMENTAL),
    )


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
