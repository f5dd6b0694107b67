"""Files of references: what is read, what is refused, and that a round trip loses nothing."""

from __future__ import annotations

import pytest

from retroevidence._paths import bibliography_path
from retroevidence.errors import RetroEvidenceError, TableError, UnknownNameError
from retroevidence.loaders.formatted import STYLES, cite, format_references
from retroevidence.loaders.references import REFERENCE_COLUMNS, read_references, write_references

RIS = """\ufeffProvider: some database

TY  - JOUR
ID  - a1
A1  - Müller, Hans-Peter
A1  - King, Martin, Jr
A1  - World Health Organization
T1  - Gait of the elderly:
a trial
JO  - Gait & Posture
Y1  - 2020/05/01/
VL  - 12
IS  - 3
SP  - 101
EP  - 110
DO  - https://doi.org/10.1000/a;b
AN  - 12345
UR  - https://example.org/a;b
N2  - First line
second line.
XX  - a tag nobody knows
ER  -

TY  - CHAP
AU  - 王, 伟
TI  - 后退行走
PY  - 2019
SP  - e12
ER  -
"""

NBIB = """
PMID- 101
OWN - NLM
DP  - 2020 May 1
TI  - A title over
      two lines.
PG  - 1656-60
LID - 10.1000/xyz [doi]
AID - S0000 [pii]
AB  - Text with a dash - and more
      text.
FAU - Kale, Anita A
AU  - Kale AA
CN  - Gait Study Group
JT  - Gait & posture
PMC - PMC99

PMID- 102
DP  - 1999 Winter
TI  - [Translated title].
AU  - Deursen RW
PT  - Journal Article
"""


def read(tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return read_references(file)


def test_ris_is_read_with_names_dates_and_lines_that_go_on(tmp_path):
    table = read(tmp_path, "export.ris", RIS)
    first, second = table.iloc[0], table.iloc[1]
    assert first["authors"] == "Müller HP; King M Jr; World Health Organization"
    assert first["names"] == "Müller, Hans-Peter; King, Jr, Martin; {World Health Organization}"
    assert first["title"] == "Gait of the elderly: a trial"
    assert (first["year"], first["pages"], first["pmid"]) == (2020, "101-110", "12345")
    # A semicolon is part of an address, not the end of it.
    assert (first["doi"], first["url"]) == ("10.1000/a;b", "https://example.org/a;b")
    assert first["abstract"] == "First line second line."
    assert (first["line"], second["line"], first["source"]) == (3, 24, "export.ris")
    assert (second["type"], second["authors"], second["title"]) == (
        "incollection",
        "王 伟",
        "后退行走",
    )
    assert second["pages"] == "e12"


def test_nbib_is_read_with_whole_pages_bodies_and_translated_titles(tmp_path):
    table = read(tmp_path, "export.nbib", NBIB)
    first, second = table.iloc[0], table.iloc[1]
    assert first["title"] == "A title over two lines."
    assert first["pages"] == "1656-1660"
    assert (first["doi"], first["pmid"], first["pmcid"]) == ("10.1000/xyz", "101", "PMC99")
    assert first["authors"] == "Kale AA; Gait Study Group"
    assert first["abstract"] == "Text with a dash - and more text."
    assert (second["year"], second["authors"], second["title"]) == (
        1999,
        "Deursen RW",
        "[Translated title].",
    )
    assert second["key"] == "deursen1999"


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("a.ris", "TY  - JOUR\nTI  - x\n\nTY  - JOUR\nER  - \n", ["line 1", "no end"]),
        ("a.ris", "TY  - JOUR\nER  - \nTI  - x\n", ["line 3", "TI stands before any TY"]),
        ("a.ris", "nothing here\n", ["line 1", "no record"]),
        ("a.ris", "TY  - JOUR\nPY  - in press\nER  - \n", ["line 1", "'in press'"]),
        ("a.nbib", "PMID- 1\nTI  - x\n\nTI  - y\n", ["line 4", "without its PMID"]),
        ("a.nbib", "PMID- 1\nDP  - soon\n", ["line 1", "'soon'"]),
        ("a.nbib", "", ["line 1", "no record"]),
        ("a.bib", "@article{a, title={x}}\n@article{a, title={y}}\n", ["line 2", "already used"]),
        ("a.bib", "@article{a, title={x}\n@article{b, title={y}}\n", ["line 1", "cannot be read"]),
    ],
)
def test_broken_entries_are_refused_by_line(tmp_path, name, text, lines):
    with pytest.raises(TableError) as error:
        read(tmp_path, name, text)
    for part in (name, *lines):
        assert part in str(error.value)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.ris").write_bytes(b"TY  - JOUR\nTI  - caf\xe9\nER  - \n")
    with pytest.raises(TableError, match=r"a\.ris, line 2: is not UTF-8"):
        read_references(tmp_path / "a.ris")
    with pytest.raises(TableError, match=r"none\.bib: cannot be read"):
        read_references(tmp_path / "none.bib")
    with pytest.raises(UnknownNameError, match=r"\.docx"):
        read_references(tmp_path / "a.docx")


#: What a format has no place for.
LOST = {
    ".bib": {"source", "line"},
    ".ris": {"source", "line"},
    ".nbib": {"source", "line", "key", "type", "url", "note", "authors", "names", "pages"},
}


@pytest.mark.parametrize("ending", LOST)
def test_the_whole_bibliography_survives_a_round_trip(tmp_path, ending):
    before = read_references(bibliography_path())
    after = read_references(write_references(before, tmp_path / f"all{ending}"))
    assert len(after) == len(before) > 300
    for name in set(REFERENCE_COLUMNS) - LOST[ending]:
        same = (before[name] == after[name]) | (before[name].isna() & after[name].isna())
        assert same.all(), (name, before.loc[~same, name].head(), after.loc[~same, name].head())


def test_signs_of_latex_survive_a_round_trip(tmp_path):
    table = read(tmp_path, "a.ris", RIS)
    table.loc[0, "title"] = r"50 % & more: a_b {c} #1 $x$ ~ ^ \tau"
    table.loc[0, "names"] = "O'Brien, Seán; King, Jr, Martin; {Johnson and Johnson}"
    after = read_references(write_references(table, tmp_path / "a.bib"))
    assert after.loc[0, "title"] == table.loc[0, "title"]
    assert after.loc[0, "names"] == table.loc[0, "names"]
    assert after.loc[0, "authors"] == "O'Brien S; King M Jr; Johnson and Johnson"
    for ending in ("ris", "nbib"):
        other = read_references(write_references(table, tmp_path / f"a2.{ending}"))
        assert other.loc[0, "names"] == table.loc[0, "names"]


def test_a_repeated_key_is_not_written(tmp_path):
    table = read(tmp_path, "a.ris", RIS)
    table["key"] = "same"
    with pytest.raises(TableError, match="'same' is the key of two rows"):
        write_references(table, tmp_path / "b.ris")
    assert [file.name for file in tmp_path.iterdir()] == ["a.ris"]


def test_keys_that_are_missing_are_made_and_differ(tmp_path):
    records = (
        "TY  - JOUR\nAU  - van der Gracht, Eva\nPY  - 2001\nER  - \n" * 3 + "TY  - JOUR\nER  - \n"
    )
    keys = read(tmp_path, "a.ris", records)["key"].tolist()
    assert keys == ["vandergracht2001", "vandergracht2001a", "vandergracht2001b", "anon_nd"]


# Styles -----------------------------------------------------------------------------------------

# The forms of an article in a journal, as the two manuals give them: APA 7 chapter 10.1 (author,
# year in brackets, volume in italics with the issue in brackets); ICMJE samples no. 1 (initials
# without points, year;volume(issue):pages).
APA = (
    "Roos, P. E., Barton, N., & van Deursen, R. W. M. (2012). Patellofemoral joint compression "
    "forces in backward and forward running. Journal of Biomechanics, 45(9), 1656–1660. "
    "https://doi.org/10.1016/j.jbiomech.2012.03.020"
)
VANCOUVER = (
    "2. Roos PE, Barton N, van Deursen RWM. Patellofemoral joint compression forces in backward "
    "and forward running. Journal of Biomechanics. 2012;45(9):1656–1660. "
    "doi:10.1016/j.jbiomech.2012.03.020"
)


def test_apa_sorts_by_author_and_vancouver_counts_by_citation():
    keys = ["winter1989", "roos2012", "knapp2003"]
    apa, numbered = (format_references(keys, style) for style in STYLES)
    assert apa.lines[1] == APA
    assert [line.partition(",")[0] for line in apa.lines] == ["Knapp", "Roos", "Winter"]
    assert numbered.lines[1] == VANCOUVER
    assert [numbered.cite(key) for key in keys] == ["(1)", "(2)", "(3)"]
    assert apa.cite("knapp2003") == "(Knapp & Hartung, 2003)"
    assert "<i>Journal of Biomechanics</i>" in apa.html_lines[1]
    assert "&amp;" in apa.html_lines[1]


def test_an_open_list_of_authors_and_gaps_read_well():
    assert cite("winter1989", "roos2012") == "(Roos et al., 2012; Winter et al., 1989)"
    every = {style: format_references(style=style) for style in STYLES}
    for style, refs in every.items():
        assert len(refs.lines) == len(set(refs.lines)) > 300
        text = "\n".join(refs.lines)
        for ugly in ("& et al", "..", " None ", " nan ", "<NA>", "()", "{", " ,", "?."):
            assert ugly not in text, (style, ugly)


def test_unknown_keys_and_styles_are_named(tmp_path):
    with pytest.raises(UnknownNameError, match="roos2013"):
        cite("roos2013")
    with pytest.raises(UnknownNameError, match="harvard"):
        cite("roos2012", style="harvard")
    with pytest.raises(UnknownNameError, match="roos2012"):
        format_references(["knapp2003"]).cite("roos2012")
    with pytest.raises(RetroEvidenceError, match="cannot be read as a style"):
        cite("roos2012", style=str(tmp_path / "none.csl"))
    (tmp_path / "bad.csl").write_text("<style>", encoding="utf-8")
    with pytest.raises(RetroEvidenceError, match="cannot be read as a style"):
        cite("roos2012", style=str(tmp_path / "bad.csl"))
