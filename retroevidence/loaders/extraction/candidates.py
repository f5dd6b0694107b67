"""Tables of candidates: their columns, and the file a person fills in."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from retroevidence._paths import write_beside
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.extraction.row import Row
from retroevidence.loaders.extraction.sentences import plain

_ABOUT = ("candidate_id", "accept", "initials", "table", "confidence", "why", "text")
_CELLS = (
    *("study_id", "outcome", "instrument", "muscle", "unit", "condition_detail", "timepoint"),
    *("timepoint_weeks", "arm", "role", "n", "events", "mean", "sd", "se", "ci_low", "ci_high"),
    *("median", "iqr_low", "iqr_high", "min", "max", "contrast", "paired", "estimate_type"),
    *("estimate", "t_value", "f_value", "p_value", "p_op", "n_experimental", "n_comparator"),
    *("kind", "direction", "favours", "higher_is", "task", "locator", "source_url", "note"),
)
_PLACE = ("result", "start", "end", "spans")

#: Columns of a table of candidates: what a person fills in, the cells of the tables, the place.
CANDIDATE_COLUMNS = (*_ABOUT, *_CELLS, *_PLACE)

_WHOLE = ("n", "events", "n_experimental", "n_comparator", "start", "end")
_NUMBERS = (
    *("timepoint_weeks", "mean", "sd", "se", "ci_low", "ci_high", "median", "iqr_low", "iqr_high"),
    *("min", "max", "estimate", "t_value", "f_value", "p_value"),
)


def table_of_rows(
    rows: list[Row],
    abstract: str,
    study_id: str,
    record: Mapping[str, Any],
    allowed: tuple[str, ...],
) -> pd.DataFrame:
    """Make the table of candidates from the rows of one abstract.

    Parameters
    ----------
    rows : list of Row
        In the order they are to stand.
    abstract : str
        The text the positions are in.
    study_id : str
        Key of the study, or blank.
    record : mapping
        What is known of the source: pmid, doi, url.
    allowed : tuple of str
        Outcomes the tables allow; another becomes ``other``, its name the instrument.
    """
    origin = hashlib.sha256(abstract.encode()).hexdigest()
    url = _address(record)
    made = []
    for row in rows:
        cells: dict[str, Any] = dict.fromkeys(CANDIDATE_COLUMNS, "") | row.cells
        outcome = str(cells["outcome"])
        if row.table and allowed and outcome not in allowed:
            cells["instrument"] = cells["instrument"] or outcome
            cells["outcome"] = "other" if "other" in allowed else ""
        text = abstract[row.start : row.end]
        told = f"{origin} {row.table} {row.kind} {row.start} {row.end} {row.spans.get('outcome')}"
        identity = "x" + hashlib.sha256(told.encode()).hexdigest()[:12]
        extra = [f"{name} = {cells.pop(name):g}" for name in ("chi2", "z") if name in row.cells]
        extra += [f"df {cells.pop('df')}"] if "df" in row.cells else []
        extra += [str(cells.pop("ratio"))] if "ratio" in row.cells else []
        cells |= {
            "candidate_id": identity,
            "table": row.table,
            "result": row.kind,
            "study_id": study_id,
            "source_url": url,
            "locator": f"abstract, characters {row.start}-{row.end}",
            "note": "; ".join([_quoted(text), *extra]) if row.table else "",
            "confidence": ("high", "medium", "low")[min(len(row.why), 2)],
            "why": "; ".join(row.why),
            "text": text,
            "start": row.start,
            "end": row.end,
            "spans": "; ".join(f"{name} {a}-{b}" for name, (a, b) in row.spans.items()),
        }
        made.append(cells)
    return _typed(made)


def empty_candidates() -> pd.DataFrame:
    """Return a table of candidates without a row."""
    return _typed([])


def _typed(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Make the table column by column, each with its type; blank is missing."""
    types: dict[str, str] = dict.fromkeys(CANDIDATE_COLUMNS, "string")
    types |= dict.fromkeys(_WHOLE, "Int64") | dict.fromkeys(_NUMBERS, "float64")
    columns = {}
    for name, kind in types.items():
        cells = [None if row[name] == "" else row[name] for row in rows]
        if kind == "Int64":
            cells = [None if cell is None else int(cell) for cell in cells]
        columns[name] = pd.Series(cells, dtype=kind)
    return pd.DataFrame(columns)


def _address(record: Mapping[str, Any]) -> str:
    """Return where the abstract can be read: its page in PubMed, else its doi, else its url."""

    def given(name: str) -> str:
        cell = record.get(name)
        return "" if cell is None or cell is pd.NA or cell != cell else str(cell).strip()

    if given("pmid"):
        return f"https://pubmed.ncbi.nlm.nih.gov/{given('pmid')}/"
    if given("doi"):
        return f"https://doi.org/{given('doi')}"
    return given("url")


def _quoted(text: str) -> str:
    return f'printed: "{" ".join(text.split())}"'


def write_candidates(table: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write candidates as CSV for a person to fill in; numbers keep their printed digits.

    A mean printed as 2.30 is written as 2.30, because the last digit bounds what it can stand for.

    Parameters
    ----------
    table : DataFrame
        As :func:`~retroevidence.loaders.extraction.extract.extract` gives it.
    path : path
        The file to write. One that is there already is not overwritten: it may hold decisions.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RetroEvidenceError
        If the file exists already, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from retroevidence.loaders.extraction.extract import extract
    >>> found = extract("Pain was 2.30 ± 0.90 in the retro group and 3.1 ± 1.0 in controls.")
    >>> file = write_candidates(found, tempfile.mkdtemp() + "/candidates.csv")
    >>> ",2.30,0.90," in file.read_text()
    True
    """
    path = Path(path)
    if path.exists():
        raise RetroEvidenceError(
            f"{path} exists already and may hold decisions; give another name, or move it away."
        )
    lines = [_csv_line(list(CANDIDATE_COLUMNS))]
    for row in table.astype(object).where(table.notna(), "").to_dict("records"):
        lines.append(_csv_line([_cell(name, row) for name in CANDIDATE_COLUMNS]))
    try:
        write_beside(path, "".join(lines))
    except OSError as error:
        raise RetroEvidenceError(
            f"{path} cannot be written ({error.strerror}); give a directory that can."
        ) from None
    return path


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _cell(name: str, row: dict[Any, Any]) -> str:
    """Write a cell; a number as printed, with the sign it was given."""
    cell = row[name]
    if name not in _NUMBERS or cell == "":
        return str(cell)
    for part in str(row["spans"]).split("; "):
        column, _, place = part.rpartition(" ")
        if column == name:
            low, high = (int(end) - int(row["start"]) for end in place.split("-"))
            for digits in re.findall(r"\d*\.?\d+", plain(row["text"])[low:high].replace(",", "")):
                if float(digits) == abs(cell):
                    digits = f"0{digits}" if digits.startswith(".") else digits
                    return f"-{digits}" if cell < 0 else digits
    return f"{cell:g}"
