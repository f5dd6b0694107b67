"""Candidates into tables: only what is marked and signed, nothing broken, nothing twice."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from retroevidence._paths import data_dir
from retroevidence.cli import extraction as commands
from retroevidence.errors import RetroEvidenceError, TableError
from retroevidence.loaders.extraction import accept as module
from retroevidence.loaders.extraction.accept import accept
from retroevidence.loaders.extraction.candidates import write_candidates
from retroevidence.loaders.extraction.extract import extract
from retroevidence.loaders.rules import validate
from retroevidence.loaders.scaffold import new
from retroevidence.loaders.tables import load

TEXT = (
    "Forty adults were randomised to a retro walking group (n = 20) or a control group (n = 20). "
    "After 6 weeks, VAS was 2.30 ± 0.90 in the retro walking group and 3.8 ± 1.1 in the control "
    "group (P = 0.002). Gait speed did not differ (p > .05)."
)


@pytest.fixture
def review(tmp_path: Path) -> Path:
    return new(tmp_path / "review")


def candidates(tmp_path: Path, change=None, *, text: str = TEXT, name: str = "c.csv") -> Path:
    """Write the candidates of a text, all marked and signed, changed as a person would."""
    table = extract({"abstract": text, "pmid": "1"}, study_id="example2001")
    file = write_candidates(table, tmp_path / name)
    rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    rows[["accept", "initials"]] = ["yes", "AK"]
    if change is not None:
        change(rows)
    rows.to_csv(file, index=False)
    return file


def files(folder: Path) -> dict[str, str]:
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.is_file()
    }


def test_accepted_rows_are_appended_and_everything_else_stays(tmp_path, review):
    before = (review / "arms.csv").read_text()
    file = candidates(tmp_path)
    text = file.read_text()
    done = accept(file, review)
    # Two means, p of VAS, a null; the two numbers of people belong to no table.
    assert done.count("taken") == 4
    assert done.count("refused") == 2
    assert (review / "arms.csv").read_text().startswith(before)
    assert file.read_text() == text
    assert validate(review).empty
    arms = load("arms", review).tail(2)
    assert arms["arm_id"].tolist() == ["a007", "a008"]
    assert arms[["mean", "sd", "n"]].to_numpy().tolist() == [[2.3, 0.9, 20], [3.8, 1.1, 20]]
    assert arms["role"].tolist() == ["experimental", "comparator"]
    assert set(arms["extractor"]) == {"AK"}
    assert set(arms["exclude"]) == {"no"}
    assert set(arms["task"]) == {"walking"}
    assert set(arms["source_url"]) == {"https://pubmed.ncbi.nlm.nih.gov/1/"}
    assert arms["locator"].str.match(r"abstract, characters \d+-\d+, candidate x[0-9a-f]{12}").all()
    assert ",2.30,0.90," in (review / "arms.csv").read_text()
    contrasts = load("contrasts", review)
    assert contrasts["contrast_id"].tolist() == ["c001", "c002"]
    assert contrasts["direction"].fillna("").tolist() == ["", "none"]


def test_a_second_run_appends_nothing(tmp_path, review):
    file = candidates(tmp_path)
    accept(file, review)
    before = files(review)
    done = accept(file, review)
    assert (done.count("taken"), done.count("already there")) == (0, 4)
    assert done.rows.loc[done.rows["state"] == "already there", "row_id"].tolist() == [
        *("a007", "a008", "c001", "c002")
    ]
    assert files(review) == before


def test_a_row_corrected_after_it_was_taken_is_not_taken_again(tmp_path, review):
    accept(candidates(tmp_path), review)

    def corrected(rows):
        rows.loc[rows["mean"] == "3.8", "mean"] = "3.9"

    done = accept(candidates(tmp_path, corrected, name="again.csv"), review)
    assert done.count("taken") == 0
    assert "3.9" not in (review / "arms.csv").read_text()


def test_a_row_that_stands_twice_in_the_file_is_taken_once(tmp_path, review):
    file = candidates(tmp_path)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines, lines[-1]]))
    done = accept(file, review)
    assert (done.count("taken"), done.count("already there")) == (4, 1)


@pytest.mark.parametrize(
    ("cells", "state", "reason"),
    [
        ({"accept": ""}, "not marked", ""),
        ({"accept": "no"}, "not marked", ""),
        ({"accept": "YES"}, "taken", ""),
        ({"accept": "y"}, "refused", "write yes"),
        ({"accept": "true"}, "refused", "write yes"),
        ({"initials": ""}, "refused", "nobody has signed"),
        ({"initials": "?"}, "refused", "write letters"),
        ({"candidate_id": "a1"}, "refused", "candidate_id"),
        ({"study_id": "nobody2020"}, "refused", "study_id"),
        ({"study_id": ""}, "refused", "study_id"),
        ({"mean": "about 2"}, "refused", "is not a number"),
        ({"mean": "2,3"}, "refused", "decimal point"),
        ({"sd": "-1"}, "refused", "minimum"),
        ({"timepoint": "someday"}, "refused", "is not one of"),
        ({"timepoint": ""}, "refused", "is blank"),
        ({"source_url": ""}, "refused", "source_url"),
    ],
)
def test_only_what_is_marked_signed_and_sound_is_taken(tmp_path, review, cells, state, reason):
    def change(rows):
        rows.loc[rows["mean"] != "2.30", "accept"] = "no"
        for name, cell in cells.items():
            rows.loc[rows["mean"] == "2.30", name] = cell

    before = files(review)
    done = accept(candidates(tmp_path, change), review)
    [row] = done.rows[done.rows["line"] == 4].to_dict("records")
    assert row["state"] == state
    assert reason in row["reason"]
    assert (files(review) == before) == (state != "taken")
    assert validate(review).empty
    if state == "refused":
        assert f"line 4: {row['reason']}" in repr(done)


def test_a_refused_row_does_not_hold_up_the_others(tmp_path, review):
    def broken(rows):
        rows.loc[rows["mean"] == "3.8", "timepoint"] = "someday"

    done = accept(candidates(tmp_path, broken), review)
    assert (done.count("taken"), done.count("refused")) == (3, 3)
    # Mended, it is taken in a second run, and the others are not taken again.
    done = accept(candidates(tmp_path, name="mended.csv"), review)
    assert (done.count("taken"), done.count("already there")) == (1, 3)
    assert load("arms", review)["arm_id"].tolist()[-2:] == ["a007", "a008"]


def test_corrections_of_the_person_are_what_is_written(tmp_path, review):
    def corrected(rows):
        rows.loc[rows["mean"] == "2.30", ["mean", "unit", "note"]] = ["2.4", "cm", 'said "so", yes']

    accept(candidates(tmp_path, corrected), review)
    row = load("arms", review).iloc[-2]
    assert (row["mean"], row["unit"], row["note"]) == (2.4, "cm", 'said "so", yes')


def test_a_spreadsheet_may_have_been_at_work(tmp_path, review):
    """A byte-order mark, whole numbers as 20.0, spaces around, columns moved."""
    file = candidates(tmp_path)
    rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    rows["n"] = rows["n"].replace("20", "20.0 ")
    rows["accept"] = " yes"
    rows[sorted(rows)].to_csv(file, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    assert accept(file, review).count("taken") == 4
    assert load("arms", review)["n"].tolist()[-2:] == [20, 20]


def test_line_ends_of_the_table_stay_as_they_are(tmp_path, review):
    arms = review / "arms.csv"
    arms.write_bytes(arms.read_bytes().replace(b"\n", b"\r\n").removesuffix(b"\r\n"))
    accept(candidates(tmp_path), review)
    raw = arms.read_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n") == len(load("arms", review)) + 1


def test_rows_of_initials_outside_the_list_are_refused(tmp_path, review):
    """A review may list its extractors; then nobody else's rows are taken."""
    record = json.loads((review / "datapackage.json").read_text(encoding="utf-8"))
    for entry in record["resources"]:
        for field in entry["schema"]["fields"]:
            if field["name"] == "extractor" and entry["name"] in ("arms", "contrasts"):
                field["constraints"] = {"enum": ["example", "MM"]}
    (review / "datapackage.json").write_text(json.dumps(record), encoding="utf-8")
    before = files(review)
    done = accept(candidates(tmp_path), review)
    assert done.count("taken") == 0
    assert "extractor: 'AK' is not one of: example, MM" in repr(done)
    assert files(review) == before


def test_a_directory_must_be_named_and_sound(tmp_path, review):
    file = candidates(tmp_path)
    with pytest.raises(RetroEvidenceError, match="directory of your tables"):
        accept(file)
    (review / "arms.csv").write_text(
        (review / "arms.csv").read_text().replace("experimental", "expermental", 1)
    )
    before = files(review)
    with pytest.raises(TableError, match="before rows are added"):
        accept(file, review)
    assert files(review) == before


def test_a_file_that_is_none_of_candidates_is_refused(tmp_path, review):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match="candidate_id"):
        accept(tmp_path / "other.csv", review)
    with pytest.raises(TableError, match=r"^none.csv: is no file; give a file that .* extract"):
        accept(tmp_path / "none.csv", review)


@pytest.mark.parametrize("fails", ["arms.csv", "contrasts.csv", "datapackage.json"])
def test_nothing_is_half_written(tmp_path, review, monkeypatch, fails):
    """Whichever file cannot be written, all are as they were."""
    file = candidates(tmp_path)
    before = files(review)
    write, refreshed = module.write_beside, module.refresh
    failed = []

    def full(path, content):
        if path.name == fails and not failed:
            failed.append(path)
            raise OSError(28, "No space left on device")
        write(path, content)

    def full_record(folder):
        if fails == "datapackage.json":
            raise TableError(fails, "cannot be written (full)", "make room")
        return refreshed(folder)

    monkeypatch.setattr(module, "write_beside", full)
    monkeypatch.setattr(module, "refresh", full_record)
    with pytest.raises(RetroEvidenceError, match="cannot be written"):
        accept(file, review)
    assert files(review) == before
    monkeypatch.undo()
    assert accept(file, review).count("taken") == 4


def test_a_stopped_run_is_finished_by_the_next(tmp_path, review):
    """Stopped between the tables and the record: the record is stale, and mended without a row."""
    file = candidates(tmp_path)
    record = (review / "datapackage.json").read_bytes()
    accept(file, review)
    (review / "datapackage.json").write_bytes(record)
    assert set(validate(review)["kind"]) == {"stale"}
    assert accept(file, review).count("taken") == 0
    assert validate(review).empty


def test_the_library_s_own_tables_are_not_written_to(tmp_path):
    before = files(data_dir())
    with pytest.raises(RetroEvidenceError):
        accept(candidates(tmp_path))
    assert files(data_dir()) == before


def test_the_command_says_what_was_refused(tmp_path, review):
    app = typer.Typer()
    app.command()(commands.accept)
    done = CliRunner().invoke(app, [str(candidates(tmp_path)), "--data", str(review)])
    assert done.exit_code == 1
    assert done.output.startswith("4 taken, 0 already there, 0 not marked, 2 refused\nline 2: ")
    rows = pd.read_csv(tmp_path / "c.csv", dtype=str, keep_default_na=False)
    only = tmp_path / "d.csv"
    rows[rows["table"] != ""].to_csv(only, index=False)
    done = CliRunner().invoke(app, [str(only), "--data", str(review)])
    assert (done.exit_code, done.output) == (
        0,
        "0 taken, 4 already there, 0 not marked, 0 refused\n",
    )
