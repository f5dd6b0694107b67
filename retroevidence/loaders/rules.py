"""Whether tables keep their record: every broken rule, with its place and how to mend it."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from shlex import quote

import pandas as pd

from retroevidence._paths import data_dir
from retroevidence.errors import TableError
from retroevidence.loaders.record import TYPES, Field, ForeignKey, Record, Resource, read_record
from retroevidence.loaders.selected import SELECTION, selection_faults
from retroevidence.loaders.sheet import RECORD, read_sheet


def faults(record: Record, resource: Resource) -> list[TableError]:
    """Return every place where a table breaks its record, in the order of its lines.

    Foreign keys are looked up in the other tables of the directory; if such a table cannot be
    read, that is a fault here as well. So is a line of the selection whose rows are missing or do
    not go together, since a verdict would rest on it.
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
    if resource.name == SELECTION:
        found += selection_faults(record)
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
            small = {one.casefold(): one for one in declared if one not in header}
            near = get_close_matches(name.strip().casefold(), small, n=1)
            fix = f"call it {small[near[0]]!r}" if near else f"remove it, or declare it in {RECORD}"
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
            if field.type in ("number", "integer") and item.strip()[:1] in tuple("<>=≤≥"):
                sign = "write the number alone; its sign goes into the column for it, such as p_op"
                return f"is not {kind}", sign
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
    """Check every table of a directory against its rules, and list all faults.

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


def command(record: Record) -> str:
    """Return the command that lists the faults of a directory.

    Examples
    --------
    >>> command(read_record())
    'retroevidence validate'
    """
    if record.folder.resolve() == data_dir().resolve():
        return "retroevidence validate"
    return f"retroevidence validate {quote(str(record.folder))}"


def _stale(record: Record, resource: Resource) -> TableError | None:
    """Say that a table is not the one the record describes, with the lines to paste."""
    try:
        sheet = read_sheet(record.path(resource))
    except TableError:
        return None  # already a fault of its own
    now = sheet.measures()
    recorded = {"bytes": resource.bytes, "hash": resource.hash, "rows": resource.rows}
    old = [name for name in now if recorded[name] != now[name]]
    if not old:
        return None
    paste = json.dumps(now)[1:-1]
    return TableError(
        resource.path,
        f"is not the file {RECORD} describes ({', '.join(old)})",
        f"if the change is meant, write there: {paste} (or: {command(record)} --refresh)",
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
