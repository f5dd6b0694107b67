"""Bring sizes, hashes and numbers of rows in the record up to date."""

import json
import os
from typing import Any

from retroevidence._paths import write_beside
from retroevidence.errors import TableError
from retroevidence.loaders.record import read_record
from retroevidence.loaders.sheet import RECORD, read_json, read_sheet


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
        now = read_sheet(record.path(resource)).measures()
        if {name: entry.get(name) for name in now} != now:
            entry.update(now)
            changed.append(resource.name)
    if changed:
        try:
            write_beside(path, record_text(content))
        except OSError as error:
            fix = "make the directory writable, with room on the disk"
            raise TableError(RECORD, f"cannot be written ({error.strerror})", fix) from None
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
