"""Whether the lines of the selection name rows that exist and that go together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from retroevidence.errors import TableError, UnknownNameError
from retroevidence.loaders.record import Record, Resource
from retroevidence.loaders.sheet import read_sheet

#: The table whose lines say which rows enter an analysis.
SELECTION = "selection"
#: Tables that the columns of a line draw their rows from.
_DRAWN = {
    "experimental": ("arms",),
    "comparator": ("arms",),
    "contrast": ("contrasts", "reviews", "safety"),
}
#: What two arms must share to be compared.
_SHARED = ("outcome", "unit", "higher_is")
#: Lines that only show a row may show what no analysis uses.
_SHOWN = "shown"


@dataclass(frozen=True)
class _Row:
    """One row of a table that a line of the selection may name."""

    file: str
    cells: dict[str, str]


def selection_faults(record: Record) -> Iterator[TableError]:
    """Find lines of the selection whose rows are missing or do not go together.

    A line names rows of its own study that exist. Where it enters an analysis, they may be used
    (`exclude` is not yes), an arm stands on the side of its `role`, and the arms that are compared
    have the same outcome, unit and direction of benefit.

    Parameters
    ----------
    record : Record
        The record of a directory; one without a selection has no such faults.

    Yields
    ------
    TableError
        One for each fault, in the order of the lines.
    """
    try:
        selection = record.resource(SELECTION)
        tables = {one.name: _rows(record, one) for one in drawn_from(record)}
        sheet = read_sheet(record.path(selection))
    except (TableError, UnknownNameError):
        return  # a file that cannot be read is a fault of its own
    lists = {field.name: field for field in selection.fields}
    for line, cells in zip(sheet.lines, sheet.rows, strict=True):
        named = dict(zip(sheet.header, cells, strict=False))
        arms: dict[str, _Row] = {}
        faults: list[tuple[str, str, str, str]] = []
        for column, names in _DRAWN.items():
            field = lists.get(column)
            for key in field.items(named.get(column, "")) if field else ():
                if not key:
                    continue
                row = next((tables[n][key] for n in names if key in tables.get(n, {})), None)
                if row is None:
                    faults.append((column, key, *_missing(key, names, tables)))
                    continue
                if fault := _misplaced(column, key, row, named):
                    faults.append((column, key, *fault))
                if column != "contrast":
                    arms[key] = row
        if named.get("enters") != _SHOWN and (unlike := _unlike(arms)):
            faults.append(unlike)
        for column, key, rule, fix in faults:
            yield TableError(selection.path, rule, fix, row=line, column=column, value=key)


def drawn_from(record: Record) -> list[Resource]:
    """Return the tables of a record that lines of the selection name rows of."""
    names = {name for names in _DRAWN.values() for name in names}
    return [one for one in record.resources if one.name in names]


def _rows(record: Record, resource: Resource) -> dict[str, _Row]:
    sheet = read_sheet(record.path(resource))
    columns = sheet.columns()
    (key,) = resource.primary_key
    return {
        name: _Row(resource.path, {column: cells[i] for column, cells in columns.items()})
        for i, name in enumerate(columns.get(key, ()))
    }


def _missing(
    key: str, names: tuple[str, ...], tables: dict[str, dict[str, _Row]]
) -> tuple[str, str]:
    known = [one for name in names for one in tables.get(name, {})]
    near = get_close_matches(key, known, n=1, cutoff=0.8)
    hint = f"did you mean {near[0]!r}? Otherwise " if near else ""
    where = " or ".join(f"{name}.csv" for name in names)
    return f"is the id of no row of {where}", f"{hint}correct it or add the row there"


def _misplaced(column: str, key: str, row: _Row, line: dict[str, str]) -> tuple[str, str] | None:
    """Say why a row cannot stand in its place, and how to mend it."""
    study, theirs = line.get("study_id", ""), row.cells.get("study_id", "")
    if study != theirs:
        return f"belongs to {theirs}, not to {study}", "name a row of the study of this line"
    if line.get("enters") == _SHOWN:
        return None
    if row.cells.get("exclude") == "yes":
        return (
            f"is a row that no analysis may use (exclude is yes in {row.file})",
            f"write {_SHOWN} in enters, or no in exclude there",
        )
    role = row.cells.get("role", "")
    if column in ("experimental", "comparator") and role in _DRAWN and role != column:
        return (
            f"has the role {role} in {row.file}",
            "put it into the other column, or mend its role",
        )
    return None


def _unlike(arms: dict[str, _Row]) -> tuple[str, str, str, str] | None:
    """Say which two arms of a line differ in what they must share; a blank says nothing."""
    for shared in _SHARED:
        first: tuple[str, str] | None = None
        for key, row in arms.items():
            value = row.cells.get(shared, "")
            if not value:
                continue
            if first is None:
                first = (key, value)
            elif value != first[1]:
                return (
                    "experimental+comparator",
                    f"{first[0]}+{key}",
                    f"have different entries under {shared}: {first[1]!r} and {value!r}",
                    f"compare two rows of the same {shared}, or correct one in {row.file}",
                )
    return None
