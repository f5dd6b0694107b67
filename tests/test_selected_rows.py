"""Are lines of the selection that name rows which do not go together found, with their place?"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

import retroevidence as rv
from retroevidence.errors import TableError
from retroevidence.loaders.rules import validate
from retroevidence.loaders.scaffold import new


@pytest.fixture
def review(tmp_path: Path) -> Path:
    return new(tmp_path / "review")


def change(path: Path, line: int, **cells: str) -> None:
    """Write cells into one line of a table, counted as an editor counts."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[line - 2].update(cells)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def found(review: Path) -> list[tuple[object, ...]]:
    faults = validate(review).query("file == 'selection.csv' and kind == 'rule'")
    return list(faults[["line", "column", "value"]].itertuples(index=False, name=None))


ONE = (2, "experimental", "a001")
TWO = (2, "experimental+comparator", "a001+a002")
CASES = {
    "missing": ("selection.csv", {"experimental": "a101"}, (2, "experimental", "a101"), "of arms"),
    "of another study": ("selection.csv", {"experimental": "a003"}, (2, "experimental", "a003"),
                         "belongs to example2002, not to example2001"),
    "excluded": ("arms.csv", {"exclude": "yes"}, ONE, "no analysis may use"),
    "on the wrong side": ("arms.csv", {"role": "comparator"}, ONE, "has the role comparator"),
    "another unit": ("arms.csv", {"unit": "0-100 mm"}, TWO, "under unit: '0-100 mm' and '0-10'"),
    "another outcome": ("arms.csv", {"outcome": "pian"}, TWO, "under outcome: 'pian' and 'pain'"),
    "another direction": ("arms.csv", {"higher_is": "better"}, TWO, "under higher_is"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_line_is_named_with_its_fault(case: str, review: Path) -> None:
    file, cells, place, words = CASES[case]
    change(review / file, 2, **cells)
    assert found(review) == [place]
    assert validate(review)["message"].str.contains(words, regex=False).sum() == 1


@pytest.mark.parametrize("case", CASES)
def test_no_verdict_rests_on_such_a_line(case: str, review: Path) -> None:
    file, cells, _, words = CASES[case]
    rv.load("selection", data=review)  # what is kept from before the change is not used
    change(review / file, 2, **cells)
    with pytest.raises(TableError, match=re.escape(words)) as error:
        rv.check_all(data=review)
    assert str(error.value).startswith("selection.csv, line 2, column experimental")


@pytest.mark.parametrize("case", ["excluded", "on the wrong side", "another unit"])
def test_a_line_that_only_shows_may_show_anything(case: str, review: Path) -> None:
    file, cells, *_ = CASES[case]
    change(review / file, 2, **cells)
    change(review / "selection.csv", 2, enters="shown")
    assert found(review) == []


def test_a_blank_unit_says_nothing(review: Path) -> None:
    change(review / "arms.csv", 2, unit="")
    assert found(review) == []


def test_a_near_id_is_proposed(review: Path) -> None:
    change(review / "selection.csv", 2, contrast="c01")
    assert "of contrasts.csv or reviews.csv or safety.csv" in " ".join(validate(review)["message"])
    change(review / "selection.csv", 2, contrast="", comparator="a02")
    assert "did you mean 'a002'?" in " ".join(validate(review)["message"])


def test_a_table_that_cannot_be_read_is_one_fault_and_no_more(review: Path) -> None:
    (review / "arms.csv").write_bytes(b"")
    assert found(review) == []
    assert (validate(review)["file"] == "arms.csv").any()
