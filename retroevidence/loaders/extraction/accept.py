"""Rows a person has accepted, from a table of candidates into the tables of a review.

Nothing is taken that is not marked and signed, nothing that breaks the record, and nothing twice.
"""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from retroevidence._paths import data_dir, write_beside
from retroevidence.errors import RetroEvidenceError, TableError
from retroevidence.loaders.extraction.candidates import CANDIDATE_COLUMNS
from retroevidence.loaders.record import Record, Resource, read_record
from retroevidence.loaders.refresh import refresh
from retroevidence.loaders.rules import faults
from retroevidence.loaders.sheet import Sheet, read_sheet

_TABLES = ("arms", "contrasts")
_KEYS = {"arms": "arm_id", "contrasts": "contrast_id"}
_INITIALS = re.compile(r"[A-Za-z][\w.-]{0,29}")
_CANDIDATE = re.compile(r"\bcandidate (x[0-9a-f]{12})\b")

Row = dict[str, str]


@dataclass(frozen=True)
class Accepted:
    """What became of each candidate.

    Attributes
    ----------
    rows : DataFrame
        One row per candidate: line (of the file), candidate_id, table, state (``taken``,
        ``already there``, ``not marked``, ``refused``), row_id (in the table) and reason.
    """

    rows: pd.DataFrame

    def count(self, state: str) -> int:
        """Return how many candidates ended in a state."""
        return int((self.rows["state"] == state).sum())

    def __repr__(self) -> str:
        states = ("taken", "already there", "not marked", "refused")
        lines = [", ".join(f"{self.count(state)} {state}" for state in states)]
        for row in self.rows[self.rows["state"] == "refused"].to_dict("records"):
            lines.append(f"line {row['line']}: {row['reason']}")
        return "\n".join(lines)


def accept(
    candidates: str | os.PathLike[str], data: str | os.PathLike[str] | None = None
) -> Accepted:
    """Append the candidates that a person has accepted to the tables of a directory.

    A row is taken if ``accept`` is yes and ``initials`` says who accepted it; the initials become
    its ``extractor``. Rows that break a rule of the record are refused, each with its reason; the
    file of candidates is never changed, so they stay there to be mended. The place in the abstract
    and the id of the candidate are written into ``locator``: by it a second run knows what it
    has taken, even if the cells were corrected since.

    Parameters
    ----------
    candidates : path
        A CSV file with the columns of :func:`~retroevidence.loaders.extraction.extract.extract`.
    data : path
        Directory of tables, with ``arms`` and ``contrasts``. It must be given: the library's own
        tables are not written to by default.

    Returns
    -------
    Accepted

    Raises
    ------
    RetroEvidenceError
        If no directory is given, or its tables cannot be written; they are then as they were.
    TableError
        If the file of candidates cannot be read, or the tables have faults already.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from retroevidence.loaders.extraction.extract import extract
    >>> from retroevidence.loaders.scaffold import new
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> text = "VAS pain fell more in the retro group than in the control group (P = .02)."
    >>> found = extract({"abstract": text, "pmid": "1"}, study_id="example2001")
    >>> found[["accept", "initials", "task"]] = "yes", "AK", "walking"
    >>> found.to_csv(folder / "candidates.csv", index=False)
    >>> accept(folder / "candidates.csv", new(folder / "review"))
    1 taken, 0 already there, 0 not marked, 0 refused
    """
    if data is None:
        raise RetroEvidenceError(
            "accept needs the directory of your tables; give data, or --data DIR to the command."
        )
    path = Path(candidates)
    given = _candidates(path)
    record = read_record(data_dir(data))
    sheets = {name: read_sheet(record.path(record.resource(name))) for name in _TABLES}
    for name in _TABLES:
        for fault in faults(record, record.resource(name)):
            raise TableError(
                fault.file, fault.rule, f"{fault.fix}, before rows are added to it",
                row=fault.row, column=fault.column, value=fault.value,
            )  # fmt: skip
    taken = _taken(sheets)
    tasks = _tasks(record)
    told: dict[int, tuple[str, str, str]] = {}
    wanted: dict[str, list[tuple[int, Row]]] = {name: [] for name in _TABLES}
    for line, row in given:
        if reason := _unfit(row):
            told[line] = (*reason, "")
        elif row["candidate_id"] in taken:
            key = taken[row["candidate_id"]]
            told[line] = ("already there", "" if key else "the same candidate stands above", key)
        else:
            taken[row["candidate_id"]] = ""
            wanted[row["table"]].append((line, _cells(row, record, tasks)))
    texts: dict[str, str] = {}
    for name in _TABLES:
        resource = record.resource(name)
        refused = _broken(record, resource, sheets[name], wanted[name])
        told |= {line: ("refused", reason, "") for line, reason in refused.items()}
        fit = [(line, row) for line, row in wanted[name] if line not in refused]
        key = _KEYS[name]
        numbered = _numbered(sheets[name], key, [row for _, row in fit])
        told |= {
            line: ("taken", "", row[key]) for (line, _), row in zip(fit, numbered, strict=True)
        }
        if numbered:
            texts[name] = _appended(record.path(resource), sheets[name], numbered)
    if texts or any(state == "already there" for state, _, _ in told.values()):
        # Rows taken by a run that was stopped are not in the record yet.
        _write(record, sheets, texts)
    return Accepted(_report(given, told))


def _candidates(path: Path) -> list[tuple[int, Row]]:
    """Read the candidates with their lines, and the columns they cannot do without."""
    if not path.is_file():
        raise TableError(
            path.name, "is no file", "give a file that retroevidence extract has written"
        )
    sheet = read_sheet(path)
    for name in ("candidate_id", "accept", "initials", "table"):
        if name not in sheet.header:
            raise TableError(
                path.name, "is missing from the header",
                "give a file that retroevidence extract has written", row=1, value=name,
            )  # fmt: skip
    rows = []
    for line, cells in zip(sheet.lines, sheet.rows, strict=True):
        if len(cells) != len(sheet.header):
            raise TableError(
                path.name, f"has {len(cells)} cells where the header has {len(sheet.header)}",
                "put cells that contain commas in quotes", row=line,
            )  # fmt: skip
        row = dict.fromkeys(CANDIDATE_COLUMNS, "")
        rows.append((line, row | {n: c.strip() for n, c in zip(sheet.header, cells, strict=True)}))
    return rows


def _unfit(row: Row) -> tuple[str, str] | None:
    """Say why a candidate cannot be considered at all."""
    marked = row["accept"].casefold()
    if marked != "yes":
        if marked in ("", "no"):
            return "not marked", ""
        return "refused", f"accept is {row['accept']!r}; write yes, or no, or leave it blank"
    if not row["initials"]:
        return "refused", "accept is yes, but nobody has signed; write your initials"
    if not _INITIALS.fullmatch(row["initials"]):
        return "refused", f"initials are {row['initials']!r}; write letters, such as AK"
    if row["table"] not in _TABLES:
        return "refused", "the row is of no table (arms, contrasts): it only fills in other rows"
    if not re.fullmatch(r"x[0-9a-f]{12}", row["candidate_id"]):
        return "refused", "candidate_id is not that of a candidate; keep it as it was written"
    return None


def _taken(sheets: Mapping[str, Sheet]) -> dict[str, str]:
    """Return the candidates that the tables hold already, with the id of the row."""
    found = {}
    for name, sheet in sheets.items():
        columns = sheet.columns()
        for key, locator in zip(columns[_KEYS[name]], columns["locator"], strict=True):
            for identity in _CANDIDATE.findall(locator):
                found[identity] = key
    return found


def _tasks(record: Record) -> dict[str, str]:
    """Return the task of each study, which a row repeats, where the tables have one."""
    studies = next((one for one in record.resources if one.name == "studies"), None)
    columns = read_sheet(record.path(studies)).columns() if studies else {}
    if not {"study_id", "task"} <= set(columns):
        return {}
    return dict(zip(columns["study_id"], columns["task"], strict=True))


def _cells(row: Row, record: Record, tasks: Mapping[str, str]) -> Row:
    """Make the row of the table: its own columns, who accepted it, and where it was read."""
    fields = {field.name: field for field in record.resource(row["table"]).fields}
    cells = {name: row.get(name, "") for name in fields}
    for name, field in fields.items():
        if field.type == "integer" and re.fullmatch(r"-?\d+\.0", cells[name]):
            # A spreadsheet, or a table with gaps, writes 20 as 20.0.
            cells[name] = cells[name].removesuffix(".0")
    locator = row["locator"] or "abstract"
    if not _CANDIDATE.search(locator):
        locator = f"{locator}, candidate {row['candidate_id']}"
    filled = {
        "extractor": row["initials"],
        "locator": locator,
        "task": cells.get("task") or tasks.get(row["study_id"], ""),
        "exclude": "no",
    }
    return cells | {name: cell for name, cell in filled.items() if name in fields}


def _broken(
    record: Record, resource: Resource, sheet: Sheet, wanted: Sequence[tuple[int, Row]]
) -> dict[int, str]:
    """Check the new rows alone, against the record and the tables they refer to.

    They are written to a directory of their own, so that the tables are not touched.
    """
    if not wanted:
        return {}
    numbered = _numbered(sheet, _KEYS[resource.name], [row for _, row in wanted])
    broken: dict[int, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="retroevidence-") as place:
        folder = Path(place)
        draft = replace(resource, path=f"new-{resource.name}.csv")
        (folder / draft.path).write_text(
            _csv(sheet.header) + "".join(_csv([r[n] for n in sheet.header]) for r in numbered),
            encoding="utf-8",
            newline="",
        )
        others = []
        for one in record.resources:
            if one.name != resource.name and record.path(one).is_file():
                target = folder / one.path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(record.path(one).read_bytes())
                others.append(one)
        checked = Record(folder, record.title, (draft, *others))
        lines = dict(zip(read_sheet(folder / draft.path).lines, wanted, strict=True))
        for fault in faults(checked, draft):
            if fault.row in lines:
                what = f"{fault.column}: " if fault.column else ""
                value = f"{fault.value!r} " if fault.value is not None else ""
                broken.setdefault(lines[fault.row][0], []).append(
                    f"{what}{value}{fault.rule}; {fault.fix}"
                )
            else:
                raise fault
    return {line: ". ".join(reasons) for line, reasons in broken.items()}


def _numbered(sheet: Sheet, key: str, rows: Sequence[Row]) -> list[Row]:
    """Give each row the next id of the table: after a240 comes a241."""
    known = [cell for cell in sheet.columns()[key] if re.fullmatch(r"[a-z]+\d+", cell)]
    letter = re.sub(r"\d", "", known[0]) if known else key[0]
    numbers = [int(re.sub(r"\D", "", cell)) for cell in known]
    width = max((len(cell) - len(letter) for cell in known), default=3)
    first = max(numbers, default=0) + 1
    return [row | {key: f"{letter}{first + n:0{width}d}"} for n, row in enumerate(rows)]


def _csv(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _appended(path: Path, sheet: Sheet, rows: Sequence[Row]) -> str:
    """Return the text of a table with rows after its last; what is there is not rewritten."""
    text = path.read_bytes().decode("utf-8")
    end = "\r\n" if "\r\n" in text else "\n"
    new = "".join(_csv([row[name] for name in sheet.header]) for row in rows)
    return text + ("" if text.endswith("\n") else end) + new.replace("\n", end)


def _write(record: Record, sheets: Mapping[str, Sheet], texts: Mapping[str, str]) -> None:
    """Write the tables and then the record; if one cannot be written, all are put back."""
    paths = {name: record.path(record.resource(name)) for name in texts}
    before = {}
    for name, path in paths.items():
        if read_sheet(path).hash != sheets[name].hash:
            raise TableError(path.name, "was changed while rows were checked", "run accept again")
        before[path] = path.read_bytes()
    try:
        for name, path in paths.items():
            write_beside(path, texts[name].encode("utf-8"))
        refresh(record.folder)
    except (OSError, TableError) as error:
        for path, content in before.items():
            if path.read_bytes() != content:
                write_beside(path, content)
        if isinstance(error, TableError):
            raise
        reason = error.strerror or "no reason given"
        fix = "make it writable, with room on the disk"
        raise RetroEvidenceError(f"{record.folder} cannot be written ({reason}); {fix}.") from None


def _report(
    given: Sequence[tuple[int, Row]], told: Mapping[int, tuple[str, str, str]]
) -> pd.DataFrame:
    rows = [
        (line, row["candidate_id"], row["table"], told[line][0], told[line][2], told[line][1])
        for line, row in given
    ]
    names = ["line", "candidate_id", "table", "state", "row_id", "reason"]
    table = pd.DataFrame(rows, columns=names)
    return table.astype({n: "Int64" if n == "line" else "string" for n in names})
