"""Records of one work joined, records of two works kept apart, and every join explained."""

from __future__ import annotations

import pandas as pd
import pytest

from retroevidence.loaders.duplicates import deduplicate

TITLE = "Backward walking on a treadmill after stroke: a randomised trial"


def table(*rows: dict, source: str = "one") -> pd.DataFrame:
    return pd.DataFrame([{"title": TITLE, "source": source} | row for row in rows])


def test_doi_and_pmid_join_whatever_the_title_says():
    one = table({"doi": "10.1/AbC", "key": "a", "year": 2020})
    two = table({"doi": "https://doi.org/10.1/abc", "pmid": "7", "title": "Other"}, source="two")
    three = table({"pmid": "7", "title": "A third title", "volume": "3"}, source="three")
    found = deduplicate(one, two, three)
    work = found.records.iloc[0]
    assert len(found.records) == 1
    assert (work["key"], work["pmid"], work["volume"], work["year"]) == ("a", "7", "3", 2020)
    assert work["sources"] == "one; two; three"
    assert sorted(found.merges["rule"]) == ["doi", "pmid"]
    assert "title: " in found.merges["differing"].iloc[0]
    assert len(found.records) + len(found.merges) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"title": "Backward Walking on a Treadmill after Stroke - A Randomized Trial."},
        {"year": 2021},  # an early view and its issue
        {"authors": "Kalé AA; Other B"},
        {"authors": "de Kale A"},
    ],
)
def test_titles_join_over_spelling_accents_and_a_year(other):
    first = {"year": 2020, "authors": "Kale A"}
    found = deduplicate(table(first, first | other))
    assert len(found.records) == 1
    assert found.merges.loc[0, "rule"] == "title"
    assert found.merges.loc[0, "score"] >= 95


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"year": 2023}, "years differ"),
        ({"authors": "Smith J"}, "first authors differ"),
        ({"doi": "10.1/other"}, "DOIs differ"),
        ({"pmid": "8"}, "PMIDs differ"),
        ({"title": TITLE + " 2"}, "numbers in their titles differ"),
        ({"title": "Backward walking on the treadmill after a stroke: randomised"}, "near"),
    ],
)
def test_what_speaks_against_a_join_is_said(other, why):
    first = {"year": 2020, "authors": "Kale A", "doi": "10.1/a", "pmid": "7"}
    found = deduplicate(table(first, first | {"doi": "", "pmid": ""} | other))
    assert len(found.records) == 2
    assert why in found.near.loc[0, "why_apart"]


def test_two_works_are_not_joined_through_a_third_record():
    rows = [{"pmid": "1", "doi": "10.1/a"}, {"pmid": "2"}, {"doi": "10.1/a"}]
    found = deduplicate(table(*rows))
    assert len(found.records) == 2
    assert found.merges["rule"].tolist() == ["doi"]
    assert set(found.near["why_apart"]) == {"their PMIDs differ"}


def test_short_titles_join_nothing_and_nothing_is_lost():
    found = deduplicate(table({"title": "Editorial"}, {"title": "Editorial"}, {"title": ""}))
    assert len(found.records) == 3
    assert deduplicate().records.empty
    assert "none" in repr(found)


def test_thousands_of_records_are_compared_in_blocks():
    words = ["gait", "knee", "pain", "stroke", "balance", "trial", "strength", "speed"]
    # 1,500 titles cross the size of a block; the copy of each differs by its accents and case.
    titles = [
        " ".join(f"{word}{chr(97 + (n // 26**i) % 26) * 3}" for i, word in enumerate(words))
        for n in range(1500)
    ]
    found = deduplicate(
        pd.DataFrame({"title": titles}), pd.DataFrame({"title": [t.upper() for t in titles[::5]]})
    )
    exact = found.merges[found.merges["score"] == 100]
    assert len(exact) == 300
