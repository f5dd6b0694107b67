"""Any list of references: read, looked up, judged; and how often the judgement is right."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from retroevidence.claims.reference_list import audit_references, queries
from retroevidence.errors import RetroEvidenceError, TableError, UnknownNameError
from retroevidence.loaders.reference_text import fields_of, references_of_text

KNOWN = pd.DataFrame(
    [
        {
            "key": "adams2001",
            "authors": "Adams B; Cole D",
            "year": 2001,
            "title": "Grip strength after a winter of rowing",
            "journal": "Journal of Invented Studies",
            "volume": "4",
            "pages": "10-19",
            "doi": "10.1000/a",
        },
        {
            "key": "eve1999",
            "authors": "Eve F",
            "year": 1999,
            "title": "Sleep of sailors on long night watches",
            "journal": "Annals of Invention",
            "volume": "7",
            "pages": "1-5",
        },
    ]
)

RIGHT = "Adams B, Cole D. Grip strength after a winter of rowing. J Invented Stud. 2001;4:10-19."

# One reference in the forms that lists follow, and what must be read in each.
FORMS = [
    RIGHT,
    "Adams, B., & Cole, D. (2001). Grip strength after a winter of rowing. "
    "Journal of Invented Studies, 4, 10–19.",
    "Adams, B. and Cole, D. (2001) 'Grip strength after a winter of rowing', "
    "Journal of Invented Studies, 4, pp. 10-19. Available at: https://x.org (Accessed: 1 May).",
    "Adams B, Cole D. 2001. Grip strength after a winter of rowing. "
    "Journal of Invented Studies 4: 10-19.",
    "Adams B; Cole D. Grip strength after a winter of rowing. J. Invented Stud. 2001 May 3;4:10–19",
]


@pytest.mark.parametrize("text", FORMS)
def test_the_forms_of_a_reference_are_read(text):
    row = fields_of(text)
    assert row["authors"] == "Adams B; Cole D"
    assert row["title"] == "Grip strength after a winter of rowing"
    assert (row["year"], row["volume"], row["pages"]) == ("2001", "4", "10-19")
    assert row["journal"].startswith("J")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Fong, S. S. et al. (2011). Gait. J Gait.", {"authors": "Fong SS; et al."}),
        (
            "Yuan Z, Shi K. You cited it, but did you read it? A benchmark for all. arXiv. 2026.",
            {"title": "You cited it, but did you read it? A benchmark for all", "journal": "arXiv"},
        ),
        (
            "Doe A. Is it so? J. Orthop. Sports Phys. 2011;1:2.",
            {"journal": "J. Orthop. Sports Phys"},
        ),
        ("Smith J. Title of one vs. another. PLoS One 2012;7:e31234.", {"pages": "e31234"}),
        (
            "World Health Organization. Falls. Geneva: WHO; 2007.",
            {"year": "2007", "title": "Falls"},
        ),
        ("İnan Ü, Özkan Ş. Yürüyüş. Dergi. 2020;1(2 Suppl):S1-S9.", {"authors": "İnan Ü; Özkan Ş"}),
        (
            "A B. T t. J. 2020;1:2. https://doi.org/10.1000/x(1)2. PMID: 77",
            {"doi": "10.1000/x(1)2"},
        ),
        # The address of another site goes on after the DOI that it holds.
        ("A B. T t. J. 2020;1:2. https://x.org/10.1000/abc/full", {"doi": ""}),
    ],
)
def test_hard_places(text, wanted):
    row = fields_of(text)
    assert {name: row[name] for name in wanted} == wanted


def test_a_list_is_cut_at_numbers_paragraphs_or_lines():
    numbered = "References\n\n1. One a\n   goes on\n\n2. Two b\n[3] Three c\n"
    assert [(r["line"], r["text"]) for r in references_of_text(numbered)] == [
        (3, "One a goes on"),
        (6, "Two b"),
        (7, "Three c"),
    ]
    assert [r["text"] for r in references_of_text("One\ngoes on\n\nTwo\n")] == [
        "One goes on",
        "Two",
    ]
    assert [r["text"] for r in references_of_text("One\nTwo\n")] == ["One", "Two"]
    assert references_of_text("\n \n") == []


def audited(tmp_path, text, name="list.txt", **options):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    before = file.read_bytes()
    table = audit_references(file, **({"library": KNOWN} | options))
    assert file.read_bytes() == before
    return table


def test_the_verdicts_of_a_list(tmp_path):
    text = "\n".join(
        [
            f"1. {RIGHT}",
            f"2. {RIGHT.replace('2001', '2003')}",
            "3. Nobody X. Something else entirely about nothing. J Void. 1980;1:1.",
            "4. page torn off here",
            "5. Eve F. Grip strength after a winter of rowing. Annals of Invention. 1999;7:1-5.",
        ]
    )
    table = audited(tmp_path, text)
    assert table["verdict"].tolist() == [
        "verified",
        "mis-cited",
        "not located",
        "not assessed",
        "mis-cited",
    ]
    assert table.loc[1, "differing"] == "year: cited 2003, record 2001"
    assert "does not show that the work does not exist" in table.loc[2, "reason"]
    assert "is that of another record" in table.loc[4, "reason"]
    assert table["line"].tolist() == [1, 2, 3, 4, 5]
    # Whether a work exists is not whether it supports anything.
    assert table[["about", "bears_on_claim", "supports_claims"]].isna().all(axis=None)


@pytest.mark.parametrize("name", ["list.bib", "list.ris", "list.nbib"])
def test_files_of_references_are_audited_too(tmp_path, name):
    from retroevidence import write_references

    write_references(KNOWN.assign(year=[2001, 2005]), tmp_path / name)
    table = audit_references(tmp_path / name, library=KNOWN)
    assert table["verdict"].tolist() == ["verified", "mis-cited"]


def test_without_a_library_the_bibliography_of_the_data_is_searched(tmp_path):
    text = (
        "Roos PE, Barton N, van Deursen RWM. Patellofemoral joint compression forces in backward "
        "and forward running. J Biomech. 2012;45(9):1656-60."
    )
    table = audited(tmp_path, text, library=None)
    assert table.loc[0, "verdict"] == "verified"
    assert table.loc[0, "where_looked"] == "references.bib alone"


class Client:
    """Stands for PubMed: knows one record, by the words of its title."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def search(self, query: str, max_results: int) -> pd.DataFrame:
        self.asked.append(query)
        known = KNOWN.iloc[: 1 if "1au" in query and "rowing" in query else 0]
        return known.assign(pmid="7").rename(columns={"number": "issue"})


def test_pubmed_is_asked_until_it_answers(tmp_path):
    client = Client()
    table = audited(tmp_path, RIGHT.replace("winter", "summer"), library=None, pubmed=client)
    assert len(client.asked) == 2
    assert table.loc[0, "n_queries"] == 2
    assert table.loc[0, "verdict"] == "mis-cited"
    assert table.loc[0, "where_looked"] == "PubMed"
    assert table.loc[0, "url"] == "https://pubmed.ncbi.nlm.nih.gov/7/"
    assert "title: only cited summer, only on the record winter" in table.loc[0, "differing"]


def test_the_questions_go_from_sharp_to_wide():
    cited = {"pmid": "7", "doi": "10.1000/a", "title": "Grip: a trial", "authors": "Adams B"}
    assert queries(cited) == [
        "7[uid]",
        "10.1000/a[doi]",
        '"Grip a trial"[Title]',
        "Adams B[1au] AND (grip trial)",
    ]
    assert queries({}) == []


def test_what_cannot_be_audited_is_refused(tmp_path):
    with pytest.raises(TableError, match=r"none\.txt: cannot be read"):
        audit_references(tmp_path / "none.txt", library=KNOWN)
    with pytest.raises(TableError, match=r"list\.txt: holds no reference"):
        audited(tmp_path, "\n")
    with pytest.raises(UnknownNameError, match="docx"):
        audit_references(tmp_path / "list.docx", library=KNOWN)
    with pytest.raises(RetroEvidenceError, match="pubmed is no client"):
        audited(tmp_path, RIGHT, pubmed="me@example.org")


# How often the judgement is right ---------------------------------------------------------------

FILE = Path(__file__).parents[1] / "benchmarks" / "citation_damage.py"


@pytest.fixture(scope="module")
def damage():
    spec = importlib.util.spec_from_file_location("citation_damage", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return pd.read_csv(FILE.with_suffix(".csv")).set_index("damage")


def test_the_stored_table_is_what_the_audit_gives_today(damage, stored):
    # The kinds that take least time; the whole table is written by the file itself.
    kinds = ["only three authors", "doi of another record", "pages"]
    fresh = damage.confusion(kinds).set_index("damage")
    for kind in kinds:
        for column in ("references", *damage.VERDICTS, "as_expected", "nearest_is_the_record"):
            assert fresh.loc[kind, column] == stored.loc[kind, column], (kind, column)


def test_the_stored_table_holds_every_kind_and_enough_references(damage, stored):
    assert list(stored.index) == list(damage.KINDS)
    assert len(damage.records()) >= 200
    assert (stored[list(damage.VERDICTS)].sum(axis=1) == stored["references"]).all()
    # Sound references are hardly ever called wrong, and damaged fields hardly ever overlooked.
    sound = stored.loc[["none", "spelling of the title", "only three authors"]]
    assert (sound["verified"] / sound["references"] >= 0.99).all()
    named = stored[stored["expected"] == "mis-cited"]
    assert (named["field_named"] / named["references"] >= 0.95).all()


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"knee": "shoulder"}, "mis-cited"),
        ({"randomised": "randomized", "the": ""}, "verified"),
    ],
)
def test_one_replaced_word_of_a_long_title_is_a_difference(changed, verdict):
    # A single word of twenty leaves the score above 95, so the words decide.
    title = (
        "Effect of six weeks of supervised walking uphill on pain and function of the knee in "
        "adults with osteoarthritis living in the community: a randomised controlled trial"
    )
    known = KNOWN.iloc[:1].assign(title=title)
    for old, new in changed.items():
        title = title.replace(old, new, 1)
    table = audit_references(known.assign(title=title), library=known)
    assert table.loc[0, "verdict"] == verdict
