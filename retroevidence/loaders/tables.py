"""Tables as DataFrames: checked against their record, with the types it declares."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache

import pandas as pd

from retroevidence.errors import TableError
from retroevidence.loaders.record import BOOLEANS, Field, Record, read_record
from retroevidence.loaders.rules import command, faults
from retroevidence.loaders.selected import SELECTION, drawn_from
from retroevidence.loaders.sheet import Stamp, read_sheet, stamp

_DTYPES = {"integer": "Int64", "year": "Int64", "number": "float64", "boolean": "boolean"}


def tables(data: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the names of the tables of the data.

    Parameters
    ----------
    data : path, optional
        A directory of the same form as the library's own ``data/``.

    Returns
    -------
    list of str
        In the order of the record; what :func:`load` and
        :func:`~retroevidence.loaders.cards.describe` take.

    Examples
    --------
    >>> tables()[:3]
    ['studies', 'arms', 'contrasts']
    """
    return [resource.name for resource in read_record(data).resources]


def load(name: str, data: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Load one table of the data, checked against its rules.

    Parameters
    ----------
    name : str
        A name that :func:`tables` lists.
    data : path, optional
        A directory of the same form as the library's own ``data/``.

    Returns
    -------
    DataFrame
        Columns in the order of the record, rows in the order of the file, numbered from 0. Text,
        lists and dates are ``string`` and whole numbers ``Int64`` (blank is ``<NA>``); numbers
        are ``float64`` (blank is NaN). Units are those of the record
        (:func:`~retroevidence.loaders.cards.describe`). The frame is the caller's own copy.

    Raises
    ------
    UnknownNameError
        If no table has this name.
    TableError
        If the table breaks its record: the first fault, and how many more there are.

    Examples
    --------
    >>> studies = load("studies")
    >>> int(studies.set_index("study_id").loc["hooper2004", "n_total"])
    27
    """
    record = read_record(data)
    resource = record.resource(name)
    # A table stays valid while neither it, nor its record, nor a table it refers to changes.
    linked = [record.resource(link.resource) for link in resource.foreign_keys]
    if name == SELECTION:
        linked += drawn_from(record)
    files = dict.fromkeys(record.path(one) for one in (resource, *linked))
    return _load(name, record, tuple(stamp(path) for path in files)).copy()


@lru_cache(maxsize=64)
def _load(name: str, record: Record, stamps: tuple[Stamp, ...]) -> pd.DataFrame:
    resource = record.resource(name)
    if found := faults(record, resource):
        raise _first(found, record)
    columns = read_sheet(record.path(resource)).columns()
    return pd.DataFrame(
        {field.name: _typed(field, columns[field.name]) for field in resource.fields}
    )


def _first(found: Sequence[TableError], record: Record) -> TableError:
    """Return the first fault, saying how many there are besides."""
    first, more = found[0], len(found) - 1
    if not more:
        return first
    s = "s" if more > 1 else ""
    fix = f"{first.fix} ({more} more fault{s}; list them with: {command(record)})"
    return TableError(
        first.file, first.rule, fix, row=first.row, column=first.column, value=first.value
    )


def _typed(field: Field, cells: Sequence[str]) -> pd.Series:
    """Convert checked text to the declared type; blank is missing."""
    values: list[str | int | float | bool | None]
    match field.type:
        case "number":
            values = [float(cell) if cell else float("nan") for cell in cells]
        case "integer" | "year":
            values = [int(cell) if cell else None for cell in cells]
        case "boolean":
            values = [BOOLEANS[cell] if cell else None for cell in cells]
        case _:
            values = [cell or None for cell in cells]
    return pd.Series(values, dtype=_DTYPES.get(field.type, "string"))
