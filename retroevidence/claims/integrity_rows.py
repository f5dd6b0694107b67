"""What the integrity checks share: findings, rows as printed, scales, and arms of a contrast."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retroevidence._paths import data_dir
from retroevidence.claims.evidence import Data
from retroevidence.effects.possible.ranges import Range
from retroevidence.loaders.record import read_record
from retroevidence.loaders.sheet import read_sheet
from retroevidence.loaders.tables import load

#: A row of a table, every cell as its text: the digits of a printed number carry its precision.
Row = dict[str, str]

CONSISTENT, FLAG, NOT_ASSESSABLE = "consistent", "flag", "not assessable"

#: File of scales beside the tables; without it nothing that needs a scale can be assessed.
SCALES = "instruments.csv"


@dataclass(frozen=True)
class Finding:
    """One check made on one row, or on rows that belong together.

    Attributes
    ----------
    study_id : str
        The study.
    rows : str
        Ids of the rows, joined by ``;``.
    check : str
        Name of the check.
    status : {"consistent", "flag", "not assessable"}
        What it found. A flag says that printed numbers do not agree with each other.
    printed, recomputed : str
        What is printed, and what the calculation gives.
    arithmetic : str
        The calculation, with its numbers.
    note : str
        What else to know: why it could not be made, or what would explain a flag.
    used : str
        "yes" when an analysis may use all these rows, "no" when one is excluded already.
    """

    study_id: str
    rows: str
    check: str
    status: str
    printed: str = ""
    recomputed: str = ""
    arithmetic: str = ""
    note: str = ""
    used: str = "yes"


@dataclass(frozen=True)
class Scale:
    """What is known of an instrument's score; None where no page that was read says it."""

    instrument: str
    pattern: re.Pattern[str]
    whole_numbers: bool | None
    items: int
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Pair:
    """Both arms that a contrast compares, and whether they stand for the same time."""

    one: Row
    two: Row
    same_time: bool

    def printed(self) -> str:
        """Return both arms as text."""
        return f"{arm_text(self.one)}; {arm_text(self.two)}"


def read_rows(name: str, data: Data = None) -> list[Row]:
    """Return the rows of a table as text, once the table is found to keep its record."""
    load(name, data)
    record = read_record(data)
    columns = read_sheet(record.path(record.resource(name))).columns()
    return _rows(columns)


def read_scales(data: Data = None) -> list[Scale]:
    """Return the scales that are described beside the tables."""
    path = data_dir(data) / SCALES
    if not path.is_file():
        return []
    return [
        Scale(
            instrument=row["instrument"],
            pattern=re.compile(row["pattern"], re.IGNORECASE),
            whole_numbers={"yes": True, "no": False}.get(row["whole_numbers"]),
            items=int(row["items"] or 1),
            low=float(row["low"]) if row["low"] else None,
            high=float(row["high"]) if row["high"] else None,
        )
        for row in _rows(read_sheet(path).columns())
    ]


def scale_of(row: Row, scales: Sequence[Scale]) -> Scale | None:
    """Return the scale a row's values are points of; none for percentages of a scale."""
    if "%" in row["unit"] or "percent" in row["instrument"].lower():
        return None
    return next((scale for scale in scales if scale.pattern.search(row["instrument"])), None)


def arms_of(contrast: Row, arms: Iterable[Row]) -> Pair | None:
    """Return the two arms a contrast compares, if the tables hold exactly one such pair.

    Arms belong to the contrast when study, outcome, muscle and instrument agree (words in brackets
    are left out; where a study has one instrument for the outcome, its name may differ), then unit,
    condition and time. Which arm is which side follows from the words of the contrast, else from
    the roles. A contrast of changes may meet values after treatment; `Pair.same_time` says so.
    """
    if contrast["kind"] == "within_group_change":
        return None
    near = [a for a in arms if _same(a, contrast, "study_id", "outcome", "muscle")]
    named = [a for a in near if _name(a) == _name(contrast)]
    if not named and len({_name(a) for a in near}) == 1:
        named = near
    for column in ("unit", "condition_detail"):
        equal = [a for a in named if contrast[column] and a[column] == contrast[column]]
        named = equal or named
    for times, same_time in (
        ((contrast["timepoint"],), True),
        (("post",) if contrast["timepoint"] == "change" else (), False),
    ):
        pair = _two_sides(contrast, [a for a in named if a["timepoint"] in times])
        if pair:
            return Pair(*pair, same_time)
    return None


def row_id(row: Row) -> str:
    """Return the id of a row, which every table has under its own name."""
    return next(row[c] for c in ("arm_id", "contrast_id", "review_id", "safety_id") if c in row)


def used(*rows: Row) -> str:
    """Return whether an analysis may use all these rows."""
    return "yes" if all(row["exclude"] == "no" for row in rows) else "no"


def ids(*rows: Row) -> str:
    """Return the ids of rows, joined."""
    return ";".join(row_id(row) for row in rows)


def arm_text(arm: Row) -> str:
    """Return an arm's numbers as printed."""
    parts = [f"SD {arm['sd']}" if arm["sd"] else "", f"n {arm['n']}" if arm["n"] else ""]
    inside = ", ".join(part for part in parts if part)
    return f"{arm['mean']} ({inside})" if inside else arm["mean"]


def span(found: Range) -> str:
    """Return a range as text with three significant digits."""
    low, high = f"{found.low:.3g}", f"{found.high:.3g}"
    return low if low == high else f"{low} to {high}"


def p_printed(row: Row) -> str:
    """Return a printed p-value as text."""
    return f"p {row['p_op'] or '='} {row['p_value']}"


def _rows(columns: dict[str, tuple[str, ...]]) -> list[Row]:
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _same(one: Row, two: Row, *columns: str) -> bool:
    return all(one[column] == two[column] for column in columns)


def _name(row: Row) -> str:
    """Return the name of an instrument without what stands in brackets."""
    return " ".join(re.sub(r"\(.*?\)", " ", row["instrument"]).lower().split())


def _two_sides(contrast: Row, arms: Sequence[Row]) -> tuple[Row, Row] | None:
    """Tell the experimental from the comparator arm, when there is one of each."""
    sides = contrast["contrast"].lower().split(" vs ")
    if len(sides) == 2:
        found = [[a for a in arms if _is_side(a, side)] for side in sides]
        if all(len(f) == 1 for f in found) and found[0] != found[1]:
            return found[0][0], found[1][0]
    if contrast["kind"] == "other":
        return None
    one = [a for a in arms if a["role"] == "experimental"]
    two = [a for a in arms if a["role"] == "comparator"]
    return (one[0], two[0]) if len(one) == len(two) == 1 else None


def _is_side(arm: Row, side: str) -> bool:
    name = arm["arm"].lower()
    return name == side or name.startswith(f"{side} ") or side.startswith(f"{name} ")
