"""The same work found twice: records joined by DOI, PMID or title, every join explained.

Two records are one work if

1. they share a DOI or a PMID, or
2. their titles agree (spelling and order of words aside), their numbers (Part 2, 12 weeks) agree,
   and neither the year nor the first author speaks against it.

Records with two different PMIDs are never joined, and by title alone neither are records with two
different DOIs. Pairs that come near are listed for a person to look at, not joined.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from retroevidence._show import Card, Carded
from retroevidence.loaders.folding import folded_words
from retroevidence.loaders.references import REFERENCE_COLUMNS, table_of

#: Titles agree from here on (0 to 100, words in any order): with case, accents and punctuation
#: gone, what is left below 100 is a spelling or one small word.
TITLE_AGREES = 95.0

#: Titles from here on are shown as near. Different papers on one topic reach 75 to 85.
TITLE_NEAR = 88.0

#: A preprint, an early view and the printed issue may lie a year apart.
YEARS_APART = 1

#: Titles as short as "Editorial" or "Correction" name many works.
_SHORTEST = 4

_MERGES = ["kept", "joined", "rule", "score", "differing", "kept_source", "joined_source"]
_NEAR = ["first", "second", "score", "why_apart", "first_title", "second_title"]


@dataclass(frozen=True, eq=False, repr=False)
class Deduplicated(Carded):
    """What :func:`deduplicate` found.

    Attributes
    ----------
    records : DataFrame
        One row per work, as of :func:`retroevidence.loaders.references.read_references`, with
        `sources` and `keys` of all the records it was made of.
    merges : DataFrame
        One row per record that was joined to another: kept and joined (keys), rule, score (of
        the titles), differing (fields both give, that differ: the first is kept), and the sources.
    near : DataFrame
        Pairs that come near and stay apart, with the reason.

    Examples
    --------
    >>> titles = ["Gait in old age", "Gait in Old Age."]
    >>> two = pd.DataFrame({"title": titles, "doi": ["10.1/a", "10.1/A"]})
    >>> deduplicate(two)
    Deduplicated: 2 records, 1 work
      joined  1 by doi
    """

    records: pd.DataFrame
    merges: pd.DataFrame
    near: pd.DataFrame

    def _card(self) -> Card:
        found, works = len(self.records) + len(self.merges), len(self.records)
        counts = self.merges["rule"].value_counts().sort_index()
        how = ", ".join(f"{n} by {rule}" for rule, n in counts.items())
        pairs = [("joined", how or "none")]
        if len(self.near):
            pairs.append(("near", f"{len(self.near)} pairs stay apart; look at .near"))
        noun = "work" if works == 1 else "works"
        return Card(f"Deduplicated: {found} records, {works} {noun}", pairs, None, ())


def deduplicate(*tables: pd.DataFrame) -> Deduplicated:
    """Join records of the same work, from one table of references or several.

    Parameters
    ----------
    *tables : DataFrame
        Tables of references (of ``read_references``, ``PubMed.search`` or any with a column
        ``title``). The first record of a work gives its key; the fullest gives its fields, and
        the others fill its gaps.

    Returns
    -------
    Deduplicated
        The works, every join with its rule, and the pairs that came near.

    Notes
    -----
    Titles are compared by rapidfuzz's ``token_sort_ratio`` after case, accents and punctuation
    are dropped; all pairs are compared, in blocks, so ten thousand records take seconds and no
    more memory than one block.

    Examples
    --------
    >>> one = pd.DataFrame({"title": ["Backward walking in knee pain"], "doi": ["10.1/a"]})
    >>> two = pd.DataFrame({"title": ["Backward Walking in Knee Pain."], "pmid": ["7"]})
    >>> deduplicate(one, two).records.loc[0, ["doi", "pmid"]].tolist()
    ['10.1/a', '7']
    """
    whole = pd.concat(
        [
            table_of(table.to_dict("records"), f"table {number}")
            for number, table in enumerate(tables, 1)
        ]
        or [table_of([], "")],
        ignore_index=True,
    )
    records = _Records(whole)
    for rule, left, right, score in [*records.by_identifier(), *records.by_title()]:
        records.join(rule, left, right, score)
    return records.result()


class _Records:
    """The records, which of them are joined so far, and by what."""

    def __init__(self, table: pd.DataFrame) -> None:
        filled = table.astype(object).where(table.notna(), "")
        self.rows: list[dict[str, Any]] = [
            {str(k): v for k, v in row.items()} for row in filled.to_dict("records")
        ]
        self.doi = [row["doi"].casefold() for row in self.rows]
        self.pmid = [row["pmid"] for row in self.rows]
        self.title = [_title(row["title"]) for row in self.rows]
        self.numbers = [sorted(_numbers(row["title"])) for row in self.rows]
        self.family = [_family(row["authors"]) for row in self.rows]
        self.group = list(range(len(self.rows)))
        self.joins: list[tuple[int, int, str, float]] = []
        self.apart: list[tuple[int, int, float, str]] = []

    def by_identifier(self) -> Iterable[tuple[str, int, int, float]]:
        for rule, values in (("pmid", self.pmid), ("doi", self.doi)):
            first: dict[str, int] = {}
            for row, value in enumerate(values):
                if value and first.setdefault(value, row) != row:
                    yield rule, first[value], row, np.nan

    def by_title(self) -> Iterable[tuple[str, int, int, float]]:
        """Compare all titles, the best pairs first."""
        from rapidfuzz import fuzz, process

        long = [n for n, title in enumerate(self.title) if len(title.split()) >= _SHORTEST]
        titles = [self.title[n] for n in long]
        pairs = []
        block = 1000
        for start in range(0, len(long), block):
            scores = process.cdist(
                titles[start : start + block],
                titles[start:],
                scorer=fuzz.token_sort_ratio,
                score_cutoff=TITLE_NEAR,
                dtype=np.float32,
            )
            for one, other in np.argwhere(scores > 0):
                if one < other:
                    score = float(scores[one, other])
                    pairs.append((score, long[start + int(one)], long[start + int(other)]))
        pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
        for score, left, right in pairs:
            yield "title", left, right, score

    def join(self, rule: str, left: int, right: int, score: float) -> None:
        one, other = sorted((self.group[left], self.group[right]))
        if one == other:
            return
        if np.isnan(score):
            from rapidfuzz import fuzz

            score = float(fuzz.token_sort_ratio(self.title[left], self.title[right]))
        against = self.against(rule, left, right, one, other, score)
        if against:
            self.apart.append((left, right, score, against))
            return
        self.joins.append((one, other, rule, score))
        self.group = [one if group == other else group for group in self.group]

    def against(self, rule: str, left: int, right: int, one: int, other: int, score: float) -> str:
        """Say what speaks against joining two groups of records, or nothing."""
        members = [n for n, group in enumerate(self.group) if group in (one, other)]
        if len({self.pmid[n] for n in members} - {""}) > 1:
            return "their PMIDs differ"
        if rule != "title":
            return ""
        if score < TITLE_AGREES:
            return "their titles are near, not equal"
        if self.numbers[left] != self.numbers[right]:
            return "numbers in their titles differ"
        if len({self.doi[n] for n in members} - {""}) > 1:
            return "their DOIs differ"
        years = [int(self.rows[n]["year"]) for n in (left, right) if self.rows[n]["year"] != ""]
        if len(years) == 2 and abs(years[0] - years[1]) > YEARS_APART:
            return "their years differ"
        families = {self.family[n] for n in (left, right)} - {""}
        return "their first authors differ" if len(families) > 1 else ""

    def result(self) -> Deduplicated:
        works, merges = [], []
        for group in dict.fromkeys(self.group):
            members = [n for n, other in enumerate(self.group) if other == group]
            fullest = max(members, key=lambda n: (sum(v != "" for v in self.rows[n].values()), -n))
            order = [fullest, *(n for n in members if n != fullest)]
            work = {
                name: next((self.rows[n][name] for n in order if self.rows[n][name] != ""), "")
                for name in REFERENCE_COLUMNS
            }
            work["key"] = self.rows[members[0]]["key"]
            work["sources"] = "; ".join(dict.fromkeys(self.rows[n]["source"] for n in members))
            work["keys"] = "; ".join(self.rows[n]["key"] for n in members)
            works.append(work)
        for one, other, rule, score in self.joins:
            kept, joined = self.rows[one], self.rows[other]
            merges.append(
                {
                    "kept": kept["key"],
                    "joined": joined["key"],
                    "rule": rule,
                    "score": score,
                    "differing": _differing(kept, joined),
                    "kept_source": kept["source"],
                    "joined_source": joined["source"],
                }
            )
        near = [
            {
                "first": self.rows[left]["key"],
                "second": self.rows[right]["key"],
                "score": score,
                "why_apart": why,
                "first_title": self.rows[left]["title"],
                "second_title": self.rows[right]["title"],
            }
            for left, right, score, why in self.apart
            if self.group[left] != self.group[right]
        ]
        table = table_of(works, "")
        extra = pd.DataFrame(works, columns=["sources", "keys"]).astype("string")
        return Deduplicated(
            table.join(extra),
            pd.DataFrame(merges, columns=_MERGES),
            pd.DataFrame(near, columns=_NEAR),
        )


def _differing(kept: dict[str, Any], joined: dict[str, Any]) -> str:
    """Name the fields that both records give and that are not the same letters."""
    names = ("authors", "year", "title", "journal", "volume", "number", "pages", "doi", "pmid")
    return "; ".join(
        f"{name}: {kept[name]} / {joined[name]}"
        for name in names
        if kept[name] != ""
        and joined[name] != ""
        and _title(str(kept[name])) != _title(str(joined[name]))
    )


def _title(text: str) -> str:
    return " ".join(folded_words(text))


def _numbers(title: str) -> list[str]:
    return re.findall(r"\d+|\b[ivx]+\b", _title(title))


def _family(authors: str) -> str:
    """Return the family name of the first author, without particles that sources write apart."""
    first = authors.partition(";")[0].strip()
    words = [word for word in _title(first).split() if len(word) > 2]
    return words[-1] if words else _title(first)
