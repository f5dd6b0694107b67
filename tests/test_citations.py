"""The citation audit: the written rule on invented cases, then the six references as read."""

from __future__ import annotations

import csv

import pandas as pd
import pytest

from retroevidence._paths import data_dir
from retroevidence.claims import citations
from retroevidence.claims.citations import audit_citations, compare
from retroevidence.claims.works import TITLE_AGREES, TITLE_NEAR, same_journal
from retroevidence.errors import TableError

CITED = {
    "cited_no": 1,
    "cited_text": "Adams & Cole (2001). Stair climbing and grip strength in adults. J Inv Res.",
    "cited_authors": "Adams, B.; Cole, D.",
    "cited_year": 2001,
    "cited_title": "Stair climbing and grip strength in adults",
    "cited_journal": "J Inv Res",
    "where_looked": "two catalogues",
    "looked_on": "2026-01-02",
    "n_queries": 3,
    "supports_claims": "",
}
RECORD = {
    "cited_no": 1,
    "candidate_id": "k1",
    "authors": "Adams BE; Cole D",
    "year": 2001,
    "title": "Stair climbing and grip strength in adults",
    "journal": "Journal of Invented Research",
    "volume": "4",
    "pages": "11-19",
    "doi": "10.1000/xyz",
    "url": "https://example.org/1",
}


@pytest.fixture
def judge(monkeypatch):
    """Audit one invented reference against invented records."""

    def run(cited: dict[str, object], *records: dict[str, object]) -> pd.Series:
        tables = {
            "citations": pd.DataFrame([CITED | cited]),
            "citation_candidates": pd.DataFrame([RECORD | r for r in records], columns=[*RECORD]),
        }
        monkeypatch.setattr(citations, "load", lambda name, data=None: tables[name])
        return audit_citations().iloc[0]

    return run


def test_every_field_agrees(judge):
    row = judge({}, {})
    assert row["verdict"] == "verified"
    assert row["matched"] == "authors; year; title; journal"
    assert row["score"] == 100
    assert pd.isna(row["differing"])


@pytest.mark.parametrize(
    ("record", "field", "words"),
    [
        ({"year": 2003}, "year", "year: cited 2001, record 2003"),
        ({"journal": "Annals of Invention"}, "journal", "record Annals of Invention"),
        ({"authors": "Adams BE; Cole D; Eve F"}, "authors", "authors: cited 2, record 3"),
        ({"authors": "Adams BE; Eve F"}, "authors", "authors: Cole D not on the record"),
        # The title is the work's own, so another first author is an error of the citation.
        ({"authors": "Eve F"}, "authors", "authors: cited Adams B, record Eve F"),
        (
            {"title": "Stair climbing and pinch strength in adults"},
            "title",
            "title: only cited grip, only on the record pinch",
        ),
    ],
)
def test_one_differing_field_is_mis_cited_and_named(judge, record, field, words):
    row = judge({}, record)
    assert row["verdict"] == "mis-cited"
    assert words in row["differing"]
    assert f"not in {field}" in row["reason"]


@pytest.mark.parametrize(
    ("cited", "record"),
    [
        # What the record does not show cannot speak against the citation.
        ({}, {"authors": "", "year": None, "journal": ""}),
        ({}, {"authors": "Adams BE; et al."}),
        ({"cited_authors": "Adams, B. et al."}, {"authors": "Adams BE; Cole D; Eve F"}),
        # Spelling, case, accents, punctuation, a subtitle left out.
        ({"cited_authors": "Ádams, B.; Cole, D."}, {}),
        ({}, {"title": "STAIR-CLIMBING AND GRIP STRENGTH IN ADULTS."}),
        ({}, {"title": "Stair climbing and grip strength in adults: a randomised trial"}),
        ({"cited_journal": "The Journal of Invented Research"}, {}),
        ({"cited_volume": "4", "cited_pages": "11–9"}, {}),
    ],
)
def test_what_must_not_matter(judge, cited, record):
    assert judge(cited, record)["verdict"] == "verified"


@pytest.mark.parametrize(
    "record",
    [
        # A near title by someone else is another paper on the topic.
        {"authors": "Eve F", "title": "Stair climbing and pinch strength in adults"},
        # A near title by nobody known is not enough either.
        {"authors": "", "title": "Stair climbing and pinch strength in adults"},
        # The same author on another topic.
        {"title": "Reading aloud and sleep in children"},
        {"title": ""},
    ],
)
def test_not_close_enough_is_not_located(judge, record):
    row = judge({}, record)
    assert row["verdict"] == "not located"
    assert "does not show that the work does not exist" in row["reason"]
    assert "3 queries by 2026-01-02: two catalogues" in row["reason"]


def test_no_candidate_at_all(judge):
    row = judge({})
    assert (row["verdict"], row["n_candidates"]) == ("not located", 0)
    assert "no candidate record was found" in row["reason"]
    assert pd.isna(row["best_candidate"])
    assert pd.isna(row["score"])


def test_the_same_record_comes_before_a_higher_score(judge):
    # k2 shares author, year and journal; k1 only author and title, but it is the work.
    row = judge(
        {},
        {"candidate_id": "k1", "year": 1990, "journal": "Annals of Invention"},
        {"candidate_id": "k2", "title": "Stairs and the adult grip"},
    )
    assert (row["candidate_id"], row["verdict"]) == ("k1", "mis-cited")


def test_an_identifier_settles_which_record_is_meant(judge):
    row = judge({"cited_doi": "10.1000/XYZ"}, {"title": "Reading aloud", "authors": "Eve F"})
    assert row["verdict"] == "mis-cited"
    assert "doi" in row["matched"]


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("J Orthop Sports Phys Ther", "Journal of Orthopaedic & Sports Physical Therapy", True),
        (
            "Journal of Orthopedic and Sports Physical Therapy",
            "J. Orthop. Sports Phys. Ther.",
            True,
        ),
        ("JOSPT", "Journal of Orthopaedic & Sports Physical Therapy", True),
        ("Gait & Posture", "Gait and Posture", True),
        ("Proc Natl Acad Sci", "Proceedings of the National Academy of Sciences", True),
        ("Gait & Posture", "Clinical Rehabilitation", False),
        ("Journal of Sports Science & Medicine", "Journal of Sports Sciences", False),
        ("Medicine", "Medicine & Science in Sports & Exercise", False),
    ],
)
def test_journal_names(one, two, same):
    assert same_journal(one, two) is same
    assert same_journal(two, one) is same


def test_a_candidate_of_no_reference_is_an_error(judge):
    with pytest.raises(TableError, match=r"citation_candidates.csv, line 2, column cited_no: 7"):
        judge({}, {"cited_no": 7})


# --- the six references of the article ----------------------------------------------------------

# Verdicts of the reader who made the candidate list (2026-11-22), before any rule was written.
READ = {
    1: "not located",
    2: "mis-cited",
    3: "not located",
    4: "not located",
    5: "not located",
    6: "not located",
}

# The same reader's field by field reading of the 24 pairs: authors, year, title, journal;
# y agrees, n differs, - not shown. Authors, year and journal of k21 were not on the page that
# reader saw; they are on the page the table names now.
FIELDS = {
    "k11": "yynn", "k12": "nnnn", "k13": "nnnn", "k14": "nnnn",
    "k21": "ynnn", "k22": "-ynn", "k23": "nnny", "k24": "nnnn",
    "k31": "-ynn", "k32": "nnnn", "k33": "nnnn", "k34": "-nny",
    "k41": "nnnn", "k42": "nnny", "k43": "nynn", "k44": "nnnn",
    "k51": "ynnn", "k52": "nnnn", "k53": "nnny", "k54": "-nnn",
    "k61": "ynnn", "k62": "-nnn", "k63": "nnnn", "k64": "nnnn",
}  # fmt: skip


def test_the_rule_gives_the_reader_s_verdicts():
    table = audit_citations()
    assert dict(zip(table["cited_no"], table["verdict"], strict=True)) == READ


def test_the_rule_reads_the_fields_as_the_reader_did():
    states = {"agrees": "y", "differs": "n", "not shown": "-"}
    pairs = compare().set_index("candidate_id")
    read = pairs[["authors", "year", "title", "journal"]].replace(states).agg("".join, axis=1)
    assert read.to_dict() == FIELDS


def test_the_verdicts_do_not_hang_on_the_thresholds():
    pairs = compare()
    by_author = pairs["first author"] == "agrees"
    # No pair lies within 5 points of a limit that could turn it.
    assert not pairs.loc[by_author, "title_score"].between(TITLE_NEAR - 5, TITLE_NEAR + 5).any()
    assert not pairs["title_score"].between(TITLE_AGREES - 5, 100).any()


def test_the_order_of_the_tables_does_not_matter(monkeypatch):
    before = audit_citations()
    whole = citations.load
    monkeypatch.setattr(citations, "load", lambda name, data=None: whole(name, data).iloc[::-1])
    after = audit_citations().iloc[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, after)


def test_counts_of_queries_are_those_of_the_list_of_queries():
    with (data_dir() / "citation_queries.csv").open(encoding="utf-8", newline="") as file:
        served = [n for row in csv.DictReader(file) for n in row["cited_nos"].split(";") if n]
    table = audit_citations()
    assert table["n_queries"].tolist() == [served.count(str(n)) for n in table["cited_no"]]


def test_no_verdict_is_written_in_the_tables():
    for name in ("citations", "citation_candidates"):
        header = (data_dir() / f"{name}.csv").read_text(encoding="utf-8").splitlines()[0]
        assert "verdict" not in header
