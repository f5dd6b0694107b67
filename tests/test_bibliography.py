"""The bibliography: what is read, what is refused, and that every study has its entry."""

from __future__ import annotations

import csv
import logging
import re
from pathlib import Path

import pytest

from retroevidence._paths import bibliography_path, data_dir
from retroevidence.errors import RetroEvidenceError, TableError, UnknownNameError
from retroevidence.loaders.bibliography import bibliography, reference


def make(folder: Path, text: str) -> Path:
    (folder / "references.bib").write_text(text, encoding="utf-8")
    return folder


def column(table: str, name: str) -> list[str]:
    with (data_dir() / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def test_names_accents_and_verbatim_fields(tmp_path):
    make(
        tmp_path,
        r"""
@Article{one,
  Author = {M{\"u}ller, Hans-Peter and von der Gracht, Heiko and {World Health
            Organization} and King, Jr, Martin and others},
  title = {{A} test of $\tau^2$ \& more},
  journaltitle = {Gait \& Posture},
  date = {2020-05-01},
  pages = {12--15}, volume = 3, number = {4},
  doi = {https://doi.org/10.1000/a_b%c},
  url = {https://example.org/a_b%20c~d},
}
""",
    )
    row = bibliography(tmp_path).iloc[0]
    assert (
        row["authors"]
        == "Müller HP; von der Gracht H; World Health Organization; King M Jr; et al."
    )
    assert row["title"] == "A test of τ^2 & more"
    assert (row["type"], row["journal"], row["year"]) == ("article", "Gait & Posture", 2020)
    assert (row["volume"], row["number"], row["pages"]) == ("3", "4", "12-15")
    # `%` starts a comment and `~` is a space in LaTeX, but not in an address.
    assert row["doi"] == "10.1000/a_b%c"
    assert row["url"] == "https://example.org/a_b%20c~d"
    assert reference("one", tmp_path) == (
        "Müller HP, von der Gracht H, World Health Organization, King M Jr, et al. (2020). "
        "A test of τ^2 & more. Gait & Posture 3(4):12–15. doi:10.1000/a_b%c"
    )


def test_a_gap_is_missing_in_the_table_and_named_in_the_line(tmp_path):
    make(tmp_path, "@misc{bare, url={https://example.org}}")
    row = bibliography(tmp_path).iloc[0]
    assert row.drop(["key", "type", "url"]).isna().all()
    assert reference("bare", tmp_path) == (
        "[authors not shown] (year not shown). [title not shown]. https://example.org"
    )


def test_more_than_six_authors_are_shortened(tmp_path):
    names = " and ".join(f"Name{n}, A." for n in range(7))
    make(tmp_path, f"@article{{a, author={{{names}}}, year=2001, title={{T?}}}}")
    assert reference("a", tmp_path) == (
        "Name0 A, Name1 A, Name2 A, Name3 A, Name4 A, Name5 A, et al. (2001). T?"
    )


def test_every_broken_entry_is_named_by_line_in_one_error(tmp_path, caplog):
    make(
        tmp_path,
        "@article{a, title={x}}\n"
        "\n"
        "@article{a, title={y}}\n"
        "article{b, title={x}}\n"
        "@article{c, title={y}, title={z}}\n"
        "@article{d, title={y\n"
        "@misc{e, year=2000}\n",
    )
    with caplog.at_level(logging.DEBUG), pytest.raises(TableError) as caught:
        bibliography(tmp_path)
    text = str(caught.value)
    assert text.startswith("references.bib, line 3: the key 'a' is already used on line 1; ")
    assert "line 4: this looks like an entry without its @" in text
    assert "line 5: the entry gives title twice" in text
    assert "line 6: the entry cannot be read" in text
    assert "\n" not in text
    # The parser's own log would say the same a second time, on the user's screen.
    assert not caplog.records


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"@misc{a, title={caf\xe9}}", "line 1: is not UTF-8"),
        (b"@misc{a,\n title={t},\n year={in press}}", "'in press' is not a year"),
        (b"@misc{a, author={A, B, C, D}}", "line 1: the entry cannot be read"),
    ],
)
def test_refusals(tmp_path, content, says):
    (tmp_path / "references.bib").write_bytes(content)
    with pytest.raises(TableError, match=re.escape(says)):
        bibliography(tmp_path)


def test_missing_file_and_unknown_key(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    with pytest.raises(TableError, match="is missing"):
        bibliography(folder)
    make(folder, "@misc{kale2014, year=2014}")
    with pytest.raises(UnknownNameError, match="did you mean 'kale2014'"):
        reference("kale2015", folder)
    assert issubclass(TableError, RetroEvidenceError)


def test_a_changed_file_is_read_again_and_the_frame_is_a_copy(tmp_path):
    make(tmp_path, "@misc{a, year=2000}")
    first = bibliography(tmp_path)
    first.loc[0, "year"] = 1900
    assert bibliography(tmp_path).loc[0, "year"] == 2000
    make(tmp_path, "@misc{a, year=2000}\n@misc{b, year=2001}")
    assert bibliography(tmp_path)["key"].tolist() == ["a", "b"]


def test_an_empty_bibliography_has_the_same_columns(tmp_path):
    make(tmp_path, "% nothing yet\n")
    empty = bibliography(tmp_path)
    assert empty.empty
    assert empty.columns.tolist() == bibliography().columns.tolist()
    assert (empty.dtypes == bibliography().dtypes).all()


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    (tmp_path / "references.bib").write_bytes(b"\xef\xbb\xbf@misc{a,\r\n year = {2000},\r\n}\r\n")
    assert bibliography(tmp_path).loc[0, "year"] == 2000


# --- the library's own file ---------------------------------------------------------------------


def test_every_study_and_every_source_has_an_entry():
    keys = set(bibliography()["key"])
    assert not set(column("studies", "study_id")) - keys
    assert not set(column("background", "key")) - keys
    assert not set(column("citation_candidates", "study_id")) - keys - {""}


def test_a_gap_is_flagged_in_the_note_of_a_study():
    entries = bibliography().set_index("key").loc[column("studies", "study_id")]
    notes = entries["note"].fillna("")
    for name, flag in (("authors", "authors not shown"), ("year", "year not shown")):
        assert (entries[name].isna() == notes.str.contains(flag)).all()
    no_title = entries["title"].isna() | entries["title"].str.contains(r"^\[", na=False)
    assert (
        no_title
        == notes.str.contains(r"\btitle (?:not shown|translated)")
        & ~notes.str.contains("end of the title")
    ).all()


def test_identifiers_have_their_form_and_name_one_record():
    entries = bibliography()
    forms = {"doi": r"10\.\d{4,9}/\S+", "pmid": r"\d{7,8}", "pmcid": r"PMC\d+"}
    for name, form in forms.items():
        given = entries[name].dropna()
        assert given.str.fullmatch(form).all(), given[~given.str.fullmatch(form)].tolist()
        assert given.str.lower().is_unique, given[given.str.lower().duplicated(False)].tolist()
    assert entries["year"].dropna().between(1900, 2026).all()
    assert entries["url"].dropna().str.match(r"https?://[^\s{}]+$").all()


def test_entries_are_sorted_within_their_section():
    text = bibliography_path().read_text(encoding="utf-8")
    sections = re.split(r"^% -{20,}\n% .*\n% -{20,}$", text, flags=re.M)[1:]
    assert len(sections) == 3
    for section in sections:
        keys = re.findall(r"^@\w+\{([^,]+),", section, flags=re.M)
        assert keys == sorted(keys)
