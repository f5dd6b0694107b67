"""Do tables arrive with the declared types, unharmed, quickly, and only when they are valid?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from retroevidence.errors import TableError, UnknownNameError
from retroevidence.loaders import tables as module
from retroevidence.loaders.cards import describe, study
from retroevidence.loaders.record import read_record
from retroevidence.loaders.refresh import refresh
from retroevidence.loaders.rules import validate
from retroevidence.loaders.sheet import read_json, read_sheet
from retroevidence.loaders.tables import load, tables

Edit = Callable[[str, str, str], None]


def test_types_are_the_declared_ones(tiny: Path) -> None:
    arms = load("arms", tiny)
    assert {name: str(dtype) for name, dtype in arms.dtypes.items()} == {
        "arm_id": "string",
        "study_id": "string",
        "mean": "float64",
        "blinded": "boolean",
        "read_on": "string",
        "pairs_with": "string",
    }
    assert str(load("studies", tiny)["n_total"].dtype) == "Int64"
    assert isinstance(arms.index, pd.RangeIndex)
    assert arms.attrs == {}


def test_values_are_the_written_ones_and_blank_is_missing(tiny: Path) -> None:
    arms = load("arms", tiny)
    assert arms["mean"].tolist()[:2] == [1.5, -0.2]
    assert arms["blinded"].tolist()[:2] == [True, False]
    assert arms["pairs_with"].tolist()[:2] == ["a002;a003", "a001"]
    assert arms.loc[2, ["mean", "blinded", "read_on", "pairs_with"]].isna().all()
    assert arms["read_on"].isna().tolist() == [False, True, True]


def test_columns_come_in_the_order_of_the_record(tiny: Path) -> None:
    plain = load("studies", tiny)
    lines = (tiny / "studies.csv").read_text(encoding="utf-8").splitlines()
    turned = [",".join(reversed(line.split(","))) for line in lines]
    (tiny / "studies.csv").write_text("\n".join(turned), encoding="utf-8")
    assert load("studies", tiny).equals(plain)


def test_a_table_with_only_a_header_keeps_its_types(tiny: Path) -> None:
    (tiny / "arms.csv").write_text(
        "arm_id,study_id,mean,blinded,read_on,pairs_with\n", encoding="utf-8"
    )
    arms = load("arms", tiny)
    assert len(arms) == 0
    assert str(arms["mean"].dtype) == "float64"
    assert str(arms["blinded"].dtype) == "boolean"


def test_the_first_fault_is_raised_with_the_number_of_others(tiny: Path, edit: Edit) -> None:
    edit("studies.csv", ",32,", ",none,")
    with pytest.raises(TableError) as one:
        load("studies", tiny)
    assert "more fault" not in str(one.value)
    edit("studies.csv", ",running,20", ",swimming,0")
    with pytest.raises(
        TableError, match=r"line 2, column n_total.*2 more faults.*validate"
    ) as all_:
        load("studies", tiny)
    assert (all_.value.row, all_.value.column, all_.value.value) == (2, "n_total", "none")
    # Without the directory the command would speak of the library's own tables.
    assert f"retroevidence validate {tiny.resolve()})" in str(all_.value)


def test_callers_get_copies(tiny: Path) -> None:
    first = load("studies", tiny)
    first.loc[0, "n_total"] = 1
    first["new"] = 0
    second = load("studies", tiny)
    assert second["n_total"].tolist() == [32, 20]
    assert "new" not in second


def test_a_changed_file_is_read_again(tiny: Path, edit: Edit) -> None:
    assert load("studies", tiny)["n_total"].sum() == 52
    edit("studies.csv", ",32,", ",132,")
    assert load("studies", tiny)["n_total"].sum() == 152


def test_a_change_in_a_table_referred_to_is_noticed(tiny: Path, edit: Edit) -> None:
    load("arms", tiny)
    edit("studies.csv", "roos2012", "roos2013")
    with pytest.raises(
        TableError, match=r"'roos2012' is no study_id of studies\.csv; did you mean"
    ):
        load("arms", tiny)


def test_a_valid_table_is_checked_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load("arms", tiny)

    def never(*_: object) -> None:
        raise AssertionError("checked again")

    monkeypatch.setattr(module, "faults", never)
    load("arms", tiny)


def test_a_relative_directory_is_found_again(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tiny)
    assert len(load("arms", ".")) == 3
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TableError, match=r"datapackage\.json: is missing"):
        load("arms", ".")


def test_unknown_names_have_near_names(tiny: Path) -> None:
    assert tables(tiny) == ["studies", "arms"]
    with pytest.raises(UnknownNameError, match="did you mean 'studies'"):
        load("study", tiny)


def test_a_table_card_shows_the_record(tiny: Path, edit: Edit) -> None:
    refresh(tiny)
    card = describe("studies", tiny)
    assert (card.rows, card.key, card.recorded) == (2, ("study_id",), True)
    assert card.licence == ("CC-BY-4.0 – Attribution 4.0",)
    assert describe("arms", tiny).links == ("study_id → studies", "pairs_with → arms")
    columns = card.columns.set_index("name")
    assert columns.loc["n_total", ["type", "unit", "required", "values"]].tolist() == [
        "integer",
        "people",
        "no",
        "1 to 500",
    ]
    assert columns.loc["task", "values"] == "walking | running"
    for shown in (repr(card), card._repr_html_()):
        assert "studies  2 rows × 4 columns · one row per study" in shown
        assert card.hash[7:19] in shown
        assert "first author and year" in shown
        assert "not stated" in shown  # its sources
    edit("studies.csv", ",32,", ",33,")
    assert f"retroevidence validate {tiny.resolve()} --refresh" in " ".join(
        validate(tiny)["message"]
    )
    changed = describe("studies", tiny)
    assert not changed.recorded
    assert "not the file its record describes" in repr(changed)
    assert card != changed
    assert card.hash == read_json(tiny / "datapackage.json")["resources"][0]["hash"]


# --- the library's own tables ----------------------------------------------------------------


def test_every_cell_of_the_librarys_tables_survives() -> None:
    """Loading drops, adds and changes nothing: each cell means what was written."""
    own = read_record()
    for resource in own.resources:
        frame = load(resource.name)
        written = read_sheet(own.path(resource)).columns()
        assert list(frame.columns) == [field.name for field in resource.fields]
        for field in resource.fields:
            numeric = field.type in ("number", "integer", "year")
            for value, text in zip(frame[field.name], written[field.name], strict=True):
                meant = float(text) if numeric and text else text
                assert pd.isna(value) if text == "" else value == meant, (resource.name, field.name)


def test_a_card_holds_every_allowed_value() -> None:
    card = describe("arms")
    outcomes = card.columns.set_index("name").loc["outcome", "values"]
    assert len(outcomes) > 100
    # Plain text has short lines in the table, and what they leave out below it.
    assert max(map(len, repr(card).split("\n\n")[1].splitlines())) < 130
    for shown in (repr(card), card._repr_html_()):
        assert outcomes in shown


def test_every_table_describes_itself() -> None:
    for name in tables():
        card = describe(name)
        assert card.rows == len(load(name))
        assert card.licence, name
        assert card.title, name
        undescribed = card.columns.query("description == ''")["name"].tolist()
        assert not undescribed, (name, undescribed)
        for shown in (repr(card), card._repr_html_()):
            assert f"{name}  {card.rows} rows × {len(card.columns)} columns" in shown


def test_a_study_card_tells_what_the_tables_hold() -> None:
    card = study("chen2021")
    assert "Chen" in card.citation
    # Two arms of 16, as the abstract states (evidence tables, rows of chen2021).
    assert card.n_total == 32
    arms = load("arms").query("study_id == 'chen2021'")
    shown = card.outcomes.query("table == 'arms'")
    assert shown["rows"].sum() == len(arms)
    assert shown["excluded"].sum() == (arms["exclude"] == "yes").sum()
    assert set(arms["source_url"]) <= set(card.sources)
    assert set(arms["locator"].dropna()) <= set(card.locators)
    assert "knee_pain" in card.claims
    for shown_as in (repr(card), card._repr_html_()):
        assert "chen2021" in shown_as
        assert card.design in shown_as


def test_an_excluded_row_is_shown_with_its_reason() -> None:
    arms = load("arms").query("exclude == 'yes'")
    row = arms.iloc[0]
    card = study(row["study_id"])
    assert row["arm_id"] in set(card.excluded["row"])
    assert row["exclude_reason"] in repr(card)


def test_every_study_has_a_card() -> None:
    for key in load("studies")["study_id"]:
        assert repr(study(key)).startswith(key)


def test_studies_that_may_share_people_point_at_each_other() -> None:
    studies = load("studies").dropna(subset="overlap_group")
    group = studies.groupby("overlap_group")["study_id"].apply(list)
    first, *others = next(keys for keys in group if len(keys) > 1)
    assert set(others) == set(study(first).overlap)


def test_an_unknown_study_has_near_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'chen2021'"):
        study("chen2012")


def test_a_list_key_of_unknown_type_is_refused(tiny: Path) -> None:
    content = read_json(tiny / "datapackage.json")
    content["resources"][1]["schema"]["fields"][5]["type"] = "array"
    (tiny / "datapackage.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(TableError, match="unknown type 'array'; use one of string, list"):
        load("arms", tiny)
