"""Does the record catch what is wrong, and say where and how to mend it?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from retroevidence.errors import RetroEvidenceError, TableError, UnknownNameError
from retroevidence.loaders.record import read_record
from retroevidence.loaders.refresh import record_text, refresh
from retroevidence.loaders.rules import faults, validate
from retroevidence.loaders.sheet import read_json, read_sheet
from retroevidence.loaders.tables import load

Edit = Callable[[str, str, str], None]


def rules(folder: Path) -> list[str]:
    """List the messages of all broken rules, without stale hashes."""
    found = validate(folder)
    return found.loc[found["kind"] == "rule", "message"].tolist()


def test_tables_that_keep_their_record_have_no_fault_but_a_missing_hash(tiny: Path) -> None:
    found = validate(tiny)
    assert found["kind"].tolist() == ["stale", "stale"]
    assert found["file"].tolist() == ["studies.csv", "arms.csv"]


# One edit, the fault it must give (and no other): file, line, column, value, rule.
BROKEN = {
    "blank, required": ("arms.csv", "a003,roos2012", "a003,", 4, "study_id", None, "is blank"),
    "blank key": ("arms.csv", "a003,roos", ",roos", 4, "arm_id", None, "is blank"),
    "only spaces": (
        "studies.csv",
        "https://example.org/2",
        "  ",
        3,
        "source_url",
        "  ",
        "is not text",
    ),
    "enum": (
        "studies.csv",
        ",running,",
        ",Running,",
        3,
        "task",
        "Running",
        "is not one of: walking, running",
    ),
    "pattern": (
        "studies.csv",
        "roos2012,running,20,https://example.org/2\n",
        "roos2012,running,20,https://example.org/2\nRoos 2012,running,,\n",
        4,
        "study_id",
        "Roos 2012",
        "does not have the form [a-z]+[0-9]{4}",
    ),
    "pattern, only the beginning": (
        "studies.csv",
        "roos2012",
        "roos2012b",
        3,
        "study_id",
        "roos2012b",
        "does not have the form [a-z]+[0-9]{4}",
    ),
    "minimum": ("studies.csv", ",20,", ",0,", 3, "n_total", "0", "is below the minimum of 1"),
    "maximum": ("studies.csv", ",20,", ",501,", 3, "n_total", "501", "is above the maximum of 500"),
    "integer": ("studies.csv", ",20,", ",20.0,", 3, "n_total", "20.0", "is not a whole number"),
    "digits of another script": (
        "studies.csv",
        ",20,",
        ",٢٠,",
        3,
        "n_total",
        "٢٠",
        "is not a whole number",
    ),
    "number": ("arms.csv", "-2e-1", "n.s.", 3, "mean", "n.s.", "is not a number"),
    "underscore": ("arms.csv", "-2e-1", "1_000", 3, "mean", "1_000", "is not a number"),
    "nan": ("arms.csv", "-2e-1", "nan", 3, "mean", "nan", "is not a number"),
    "infinite": ("arms.csv", "-2e-1", "1e999", 3, "mean", "1e999", "is not a number"),
    "boolean": ("arms.csv", "false", "no", 3, "blinded", "no", "is not true or false"),
    "date": ("arms.csv", "2026-01-31", "2026-02-30", 2, "read_on", "2026-02-30", "is not a date"),
    "unique": (
        "studies.csv",
        "example.org/2",
        "example.org/1",
        3,
        "source_url",
        "https://example.org/1",
        "is already on line 2",
    ),
    "primary key": ("arms.csv", "\na003,", "\na001,", 4, "arm_id", "a001", "is already on line 2"),
    "foreign key": (
        "arms.csv",
        "a003,roos2012",
        "a003,roos2021",
        4,
        "study_id",
        "roos2021",
        "is no study_id of studies.csv",
    ),
    "foreign key in a list": (
        "arms.csv",
        ",a001\n",
        ",a001;a009\n",
        3,
        "pairs_with",
        "a009",
        "is no arm_id of arms.csv",
    ),
    "short line": (
        "arms.csv",
        "a002,chen2021,-2e-1,false,,a001",
        "a002,chen2021,1",
        3,
        None,
        None,
        "has 3 cells where the header has 6",
    ),
    "long line": (
        "arms.csv",
        "a003,roos2012,,,,",
        "a003,roos2012,,,,,",
        4,
        None,
        None,
        "has 7 cells where the header has 6",
    ),
    "unknown column": (
        "studies.csv",
        "source_url\n",
        "source_url,\n",
        1,
        None,
        "",
        "is no column of this table",
    ),
    "missing column": (
        "studies.csv",
        "task,",
        "study_id,",
        1,
        None,
        "task",
        "is missing from the header",
    ),
    "unclosed quote": (
        "arms.csv",
        "a002,chen2021",
        'a002,"chen2021',
        3,
        None,
        None,
        "has a broken quotation (unexpected end of data)",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_one_broken_cell_is_named_with_its_place(case: str, tiny: Path, edit: Edit) -> None:
    file, old, new, line, column, value, rule = BROKEN[case]
    edit(file, old, new)
    record = read_record(tiny)
    found = faults(record, record.resource(Path(file).stem))
    match = [f for f in found if (f.row, f.column, f.value, f.rule) == (line, column, value, rule)]
    assert len(match) == 1, [str(fault) for fault in found]
    assert str(match[0]) in rules(tiny)
    with pytest.raises(TableError):
        load(Path(file).stem, tiny)


@pytest.mark.parametrize(
    ("file", "old", "new", "fix"),
    [
        ("studies.csv", ",running,", ",Running,", "write 'running', or leave the cell blank"),
        ("arms.csv", "-2e-1", '"3,5"', "write a decimal point, and no thousands separator"),
        ("studies.csv", ",20,", ", 20,", "remove the spaces, or leave the cell blank"),
        ("arms.csv", "a003,roos2012", "a003,roos2021", "did you mean 'roos2012'?"),
        ("studies.csv", "task", "Task", "call it 'task'"),
        ("studies.csv", "task", "TASK", "call it 'task'"),
        ("arms.csv", "-2e-1", "<0.05", "its sign goes into the column for it, such as p_op"),
    ],
)
def test_the_fix_is_the_right_one(
    tiny: Path, edit: Edit, file: str, old: str, new: str, fix: str
) -> None:
    edit(file, old, new)
    assert any(fix in message for message in rules(tiny)), rules(tiny)


def test_limits_themselves_and_repeated_blanks_are_allowed(tiny: Path) -> None:
    (tiny / "studies.csv").write_text(
        "study_id,task,n_total,source_url\nchen2021,,1,\nroos2012,,500,\n", encoding="utf-8"
    )
    assert rules(tiny) == []


def test_every_fault_of_every_table_is_listed(tiny: Path, edit: Edit) -> None:
    edit("studies.csv", ",32,", ",none,")
    edit("studies.csv", ",running,", ",swimming,")
    edit("arms.csv", "1.5", "x")
    found = validate(tiny).query("kind == 'rule'")
    assert found[["file", "line", "column", "value"]].to_numpy().tolist() == [
        ["studies.csv", 2, "n_total", "none"],
        ["studies.csv", 3, "task", "swimming"],
        ["arms.csv", 2, "mean", "x"],
    ]


def test_the_line_is_the_one_an_editor_shows(tiny: Path, edit: Edit) -> None:
    # A quoted cell over two lines and a blank line both shift what follows.
    edit("studies.csv", "https://example.org/1\n", '"two\nlines"\n\n')
    edit("studies.csv", ",20,", ",x,")
    assert [fault.split(":")[0] for fault in rules(tiny)] == ["studies.csv, line 5, column n_total"]


def test_latin1_is_refused_with_its_place(tiny: Path) -> None:
    text = (tiny / "studies.csv").read_text(encoding="utf-8").replace("roos2012", "göteborg2012")
    (tiny / "studies.csv").write_bytes(text.encode("latin-1"))
    byte = text.index("ö") + 1
    with pytest.raises(TableError, match=rf"line 3: is not UTF-8 at byte {byte} \(0xf6\); save it"):
        load("studies", tiny)


def test_utf16_is_refused(tiny: Path) -> None:
    text = (tiny / "studies.csv").read_text(encoding="utf-8")
    for encoding in ("utf-16", "utf-16-le"):
        (tiny / "studies.csv").write_bytes(text.encode(encoding))
        with pytest.raises(TableError, match="UTF-8"):
            load("studies", tiny)


def test_byte_order_mark_and_windows_line_ends_are_tolerated(tiny: Path) -> None:
    plain = load("studies", tiny)
    raw = (tiny / "studies.csv").read_bytes().replace(b"\n", b"\r\n")
    (tiny / "studies.csv").write_bytes(b"\xef\xbb\xbf" + raw)
    assert load("studies", tiny).equals(plain)


def test_semicolons_are_recognised(tiny: Path) -> None:
    text = (tiny / "studies.csv").read_text(encoding="utf-8").replace(",", ";")
    (tiny / "studies.csv").write_text(text, encoding="utf-8")
    with pytest.raises(TableError, match="save it with commas instead of ';'"):
        load("studies", tiny)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_a_fault(tiny: Path, content: bytes) -> None:
    (tiny / "arms.csv").write_bytes(content)
    with pytest.raises(TableError, match=r"arms\.csv: is empty; write at least the line"):
        load("arms", tiny)


def test_a_missing_table_is_reported_once(tiny: Path) -> None:
    (tiny / "studies.csv").unlink()
    assert [message[:22] for message in rules(tiny)] == ["studies.csv: is missin"]
    with pytest.raises(TableError, match=r"studies\.csv: is missing"):
        load("arms", tiny)


def test_a_stale_hash_does_not_stop_loading_and_gives_the_line_to_paste(
    tiny: Path, edit: Edit
) -> None:
    refresh(tiny)
    assert validate(tiny).empty
    edit("studies.csv", ",32,", ",33,")
    assert load("studies", tiny)["n_total"].tolist() == [33, 20]
    (message,) = validate(tiny)["message"]
    digest = hashlib.sha256((tiny / "studies.csv").read_bytes()).hexdigest()
    size = (tiny / "studies.csv").stat().st_size
    assert f'"bytes": {size}, "hash": "sha256:{digest}", "rows": 2' in message
    # The same number of bytes and rows: only the hash tells.
    assert "(hash)" in message


def test_refresh_changes_sizes_only(tiny: Path, edit: Edit) -> None:
    before = read_json(tiny / "datapackage.json")
    assert refresh(tiny) == ("studies", "arms")
    after = read_json(tiny / "datapackage.json")
    assert [entry.pop("rows") for entry in after["resources"]] == [2, 3]
    for entry in after["resources"]:
        assert entry.pop("bytes") == (tiny / entry["path"]).stat().st_size
        assert entry.pop("hash") == read_sheet(tiny / entry["path"]).hash
    assert after == before
    written = (tiny / "datapackage.json").stat().st_mtime_ns
    assert refresh(tiny) == ()
    assert (tiny / "datapackage.json").stat().st_mtime_ns == written
    assert sorted(path.name for path in tiny.iterdir()) == [
        "arms.csv",
        "datapackage.json",
        "references.bib",
        "studies.csv",
    ]


def test_refresh_leaves_the_record_alone_when_a_table_is_unreadable(tiny: Path) -> None:
    before = (tiny / "datapackage.json").read_bytes()
    (tiny / "arms.csv").write_bytes(b"")
    with pytest.raises(TableError, match="is empty"):
        refresh(tiny)
    assert (tiny / "datapackage.json").read_bytes() == before


def test_a_study_without_reference_is_reported_and_still_loads(tiny: Path, edit: Edit) -> None:
    refresh(tiny)
    edit("references.bib", "{roos2012", "{roos2013")
    found = validate(tiny)
    assert found[["kind", "file", "line", "value"]].to_numpy().tolist() == [
        ["reference", "studies.csv", 3, "roos2012"]
    ]
    assert len(load("studies", tiny)) == 2
    (tiny / "references.bib").unlink()
    assert validate(tiny)["message"].str.startswith("references.bib: is missing").all()


def test_a_refresh_that_fails_leaves_the_record_whole(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (tiny / "datapackage.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(TableError, match=r"cannot be written \(No space left"):
        refresh(tiny)
    assert (tiny / "datapackage.json").read_bytes() == before
    assert list(tiny.glob("*.part")) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"number"', '"numeric"', r"field 3 of table 'arms' \(mean\) has the unknown type"),
        ('"maximum"', '"maxLength"', "unknown constraint 'maxLength'"),
        ('"path": "arms.csv"', '"path": "../arms.csv"', "leaves the directory"),
        ('"path": "arms.csv"', '"path": "/arms.csv"', "leaves the directory"),
        ('"path": "arms.csv"', '"pfad": "arms.csv"', "table 'arms' has no 'path'"),
        ('"name": "arms"', '"name": "studies"', "two entries for table 'studies'"),
        ('"name": "mean"', '"name": "arm_id"', "two entries for column 'arm_id'"),
        ('"primaryKey": ["arm_id"]', '"primaryKey": ["arm"]', "names 'arm', which is no field"),
        ('"resource": "studies"', '"resource": "study"', "'study', which is not declared"),
        ("[a-z]+[0-9]{4}", "[a-z+", "is no regular expression"),
        ('"minimum": 1,', '"minimum": "1",', "'minimum' of field 3 .* is not a number"),
        ('"unique": true', '"unique": "yes"', "'unique' of field 4 .* is not true or false"),
        ('"schema": {"fields"', '"schema": [], "s": {"fields"', "'schema' of table 'studies' is"),
        ("[{", "{", r"is not valid JSON: .* at character \d+"),
    ],
)
def test_a_record_that_is_not_understood_is_an_error(
    tiny: Path, old: str, new: str, message: str
) -> None:
    path = tiny / "datapackage.json"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(TableError, match=message):
        read_record(tiny)
    assert validate(tiny)["file"].tolist() == ["datapackage.json"]


def test_a_directory_without_record_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"datapackage\.json: is missing .* retroevidence new DIR"):
        read_record(tmp_path)
    with pytest.raises(RetroEvidenceError, match="is no directory"):
        validate(tmp_path / "nowhere")


def test_other_missing_values_than_blank_are_refused(tiny: Path) -> None:
    content = read_json(tiny / "datapackage.json")
    content["resources"][0]["schema"]["missingValues"] = ["", "NA"]
    (tiny / "datapackage.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(TableError, match="other missing values than blank"):
        read_record(tiny)


def test_an_unknown_table_has_near_names(tiny: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'arms'"):
        read_record(tiny).resource("arm")


def test_a_joined_key_may_repeat_in_its_parts(tiny: Path) -> None:
    content = read_json(tiny / "datapackage.json")
    content["resources"][1]["schema"]["primaryKey"] = ["study_id", "mean"]
    (tiny / "datapackage.json").write_text(json.dumps(content), encoding="utf-8")
    text = (tiny / "arms.csv").read_text(encoding="utf-8").replace("roos2012,,", "chen2021,1.5,")
    (tiny / "arms.csv").write_text(text, encoding="utf-8")
    assert rules(tiny) == [
        "arms.csv, line 4, column study_id+mean: 'chen2021+1.5' is already on line 2; "
        "give each row its own study_id+mean."
    ]


def test_record_text_is_the_same_json() -> None:
    content = read_record().folder / "datapackage.json"
    assert json.loads(record_text(read_json(content))) == read_json(content)


def test_the_librarys_own_tables_keep_their_record() -> None:
    found = validate()
    assert found.empty, "\n".join(found["message"])
