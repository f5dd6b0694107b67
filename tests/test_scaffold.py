"""Is a new review complete, valid, ready to run, and never made over somebody's files?"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders import scaffold
from retroevidence.loaders.cards import describe, study
from retroevidence.loaders.logs import read_log
from retroevidence.loaders.record import read_record
from retroevidence.loaders.rules import validate
from retroevidence.loaders.scaffold import new
from retroevidence.loaders.sheet import read_json
from retroevidence.loaders.strategies import search
from retroevidence.loaders.tables import load, tables


@pytest.fixture
def review(tmp_path: Path) -> Path:
    return new(tmp_path / "My review", title="Stairs and knees")


def test_a_new_review_is_valid_and_not_stale(review: Path) -> None:
    found = validate(review)
    assert found.empty, "\n".join(found["message"])


def test_it_has_the_librarys_tables_columns_and_rules(review: Path) -> None:
    assert tables(review) == tables()
    for name in tables():
        assert load(name, review).dtypes.equals(load(name).dtypes)
        ours, theirs = (read_record(data).resource(name) for data in (None, review))
        assert (theirs.primary_key, theirs.foreign_keys) == (ours.primary_key, ours.foreign_keys)
        # Readers, topics and tasks have other names in another review, and the descriptions speak
        # of no task; every other rule is the same.
        for their, our in zip(theirs.fields, ours.fields, strict=True):
            expected = replace(our, enum=()) if our.name in scaffold._OPEN else our
            assert their == replace(expected, description=their.description)


def test_nothing_of_the_librarys_own_topic_is_left_in_the_record(tmp_path: Path) -> None:
    text = (new(tmp_path / "r") / "datapackage.json").read_text(encoding="utf-8").casefold()
    assert not re.search(r"backward|walk|knee", text)


def test_its_example_can_be_searched_and_the_logs_are_empty_before(review: Path) -> None:
    for name in ("search_log", "hits", "records", "screening"):
        assert read_log(name, review).empty
    assert read_log("strategies", review)["strategy_id"].tolist() == ["example"]
    found = search(review)
    assert found.log[["found", "new", "duplicates", "records"]].iloc[0].tolist() == [5, 5, 1, 4]


def test_the_example_is_marked_and_nothing_else_is_there(review: Path) -> None:
    filled = {name for name in tables(review) if len(load(name, review))}
    assert filled == {"studies", "arms", "claims", "selection"}
    for name in ("studies", "arms", "claims"):
        assert (load(name, review)["note"] == "fictitious example, delete").all()
    assert load("studies", review)["study_id"].str.startswith("example").all()
    assert load("claims", review)["claim_id"].tolist() == ["example_claim"]


def test_the_example_selects_rows_of_its_own_studies(review: Path) -> None:
    arms = load("arms", review).set_index("arm_id")
    for row in load("selection", review).itertuples():
        assert arms.loc[row.experimental, ["study_id", "role"]].tolist() == [
            row.study_id,
            "experimental",
        ]
        assert arms.loc[row.comparator, ["study_id", "role"]].tolist() == [
            row.study_id,
            "comparator",
        ]


def test_every_example_study_is_in_the_bibliography(review: Path) -> None:
    card = study("example2001", review)
    assert "Made-up trial 1" in card.citation
    assert card.claims == ("example_claim",)


def test_title_and_licence_are_the_users(review: Path) -> None:
    assert read_record(review).title == "Stairs and knees"
    assert read_json(review / "datapackage.json")["name"] == "my-review"
    assert (review / "README.md").read_text(encoding="utf-8").startswith("# Stairs and knees\n")
    # The library's licence and sources do not become those of somebody else's tables.
    assert describe("arms", review).licence == ()
    assert describe("arms", review).sources == ()


def test_the_recipe_is_numbered_without_a_gap_and_lists_every_table(review: Path) -> None:
    text = (review / "README.md").read_text(encoding="utf-8")
    steps = [int(step) for step in re.findall(r"^(\d+)\. ", text, flags=re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1))
    for resource in read_record(review).resources:
        assert f"`{resource.path}`" in text
    assert max(len(line) for line in text.splitlines() if line[:1] != "|") <= 100


def test_an_empty_directory_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    new(".")
    assert validate(".").empty
    new("deep/er")
    assert validate("deep/er").empty


def test_the_same_call_writes_the_same_bytes(tmp_path: Path) -> None:
    first, second = new(tmp_path / "a" / "r"), new(tmp_path / "b" / "r")
    names, others = (
        sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        for folder in (first, second)
    )
    assert names == others
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize("name", ["notes.txt", ".hidden"])
def test_a_directory_that_holds_anything_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / name).write_text("mine", encoding="utf-8")
    with pytest.raises(RetroEvidenceError, match=r"holds files already.*give a new or empty"):
        new(tmp_path / "r")
    assert [path.name for path in (tmp_path / "r").iterdir()] == [name]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("mine", encoding="utf-8")
    with pytest.raises(RetroEvidenceError, match="is a file"):
        new(tmp_path / "r")
    with pytest.raises(RetroEvidenceError, match="cannot be written"):
        new(tmp_path / "r" / "deeper")
    assert (tmp_path / "r").read_text(encoding="utf-8") == "mine"


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scaffold, "_readme", full)
    with pytest.raises(RetroEvidenceError, match="No space left on device"):
        new(tmp_path / "r")
    assert list(tmp_path.iterdir()) == []
