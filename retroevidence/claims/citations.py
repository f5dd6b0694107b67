"""Does a cited reference exist as cited: each reference against every candidate record found.

The rule, per reference:

1. A candidate is *the same record* if the identifiers agree, if the titles agree, or if the first
   author agrees and the titles are near.
2. No such candidate: **not located**. Where one looked is told; it does not mean that the work
   does not exist.
3. There is one, and every field the citation gives agrees with it: **verified**.
4. There is one, and some field differs: **mis-cited**, and the fields are named.

A field that one side does not show neither agrees nor differs. Other counts are harsher: one in
use (chelli2024) takes a reference for invented when two of title, first author and year are wrong.
Here such a reference is mis-cited as long as its first author and a near title lead to a record.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from retroevidence.errors import TableError
from retroevidence.loaders.tables import load

VERIFIED, MIS_CITED, NOT_LOCATED = "verified", "mis-cited", "not located"

#: Titles agree from here on (0 to 100, words in any order). Punctuation, case and accents are
#: gone by then, so what is left below 100 is spelling (randomised, randomized) or one small word.
TITLE_AGREES = 95.0

#: Titles are near from here on, which counts only beside an agreeing first author: about one word
#: in four may be changed. Different papers on one topic reach 75 to 85 (see the tests), so a near
#: title alone proves nothing; papers of one author on different topics stay below 60.
TITLE_NEAR = 75.0

#: A title without its subtitle still names the work, if so many words are left.
_MAIN_TITLE_WORDS = 5

#: How much a field counts in the score. The score orders the candidates and is shown; no verdict
#: is taken from it. What is not shown earns nothing.
_WEIGHTS = {"title": 0.5, "first author": 0.2, "year": 0.15, "journal": 0.15}

_AGREES, _DIFFERS, _NOT_SHOWN = "agrees", "differs", "not shown"

_COMPARED = ("authors", "year", "title", "journal", "volume", "pages", "doi")

_PAIR = ["cited_no", "candidate_id", "record", "same_record", "title_score", "first author"]
_PAIR += [*_COMPARED, "differing", "score", "about", "bears_on_claim", "url"]

_AUDIT = ["cited_no", "cited", "verdict", "best_candidate", "candidate_id", "matched", "differing"]
_AUDIT += ["not_shown", "score", "n_candidates", "about", "bears_on_claim", "supports_claims"]
_AUDIT += ["where_looked", "looked_on", "n_queries", "reason", "url"]

_SMALL_WORDS = {
    *("a", "an", "and", "at", "by", "during", "for", "from", "in", "of", "on", "or", "the"),
    *("to", "with"),
}


def audit(data: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Judge every cited reference by the nearest candidate record.

    Parameters
    ----------
    data : path, optional
        A directory of tables with ``citations`` and ``citation_candidates``. By default the
        library's own.

    Returns
    -------
    DataFrame
        One row per cited reference, in the order of the table: cited_no, cited (as printed),
        verdict (verified, mis-cited or not located), best_candidate (the nearest record as a
        line), candidate_id, matched, differing and not_shown (fields, in words), score (0 to 100,
        only to order candidates), n_candidates, about and bears_on_claim (of the nearest record,
        as its reader noted), supports_claims, where_looked, looked_on, n_queries, reason and url.
        Text is ``string``, blank is ``<NA>``.

    Raises
    ------
    TableError, UnknownNameError
        If a table is missing or breaks its record.

    Examples
    --------
    >>> audit()[["cited_no", "verdict", "matched"]].head(2)
       cited_no      verdict       matched
    0         1  not located  authors; year
    1         2    mis-cited       authors
    """
    citations = load("citations", data)
    pairs = compare(data)
    rows = []
    for row in _rows(citations):
        mine = pairs[pairs["cited_no"] == row["cited_no"]]
        best = None
        if not mine.empty:
            order = mine.sort_values(["same_record", "score"], ascending=False, kind="stable")
            best = {str(name): value for name, value in order.iloc[0].items()}
        rows.append(_judged(row, best, len(mine)))
    table = pd.DataFrame(rows, columns=_AUDIT)
    numbers = {"cited_no": "Int64", "n_candidates": "Int64", "n_queries": "Int64"}
    types = dict.fromkeys(table.columns, "string") | numbers | {"score": "float64"}
    return table.replace("", None).astype(types)


def compare(data: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Compare every cited reference with each of its candidates, field by field.

    Parameters
    ----------
    data : path, optional
        As in :func:`audit`.

    Returns
    -------
    DataFrame
        One row per pair: cited_no, candidate_id, record (as a line), same_record (true or false),
        title_score (0 to 100), one column per field (``agrees``, ``differs`` or ``not shown``),
        differing (in words), score, about, bears_on_claim and url.

    Examples
    --------
    >>> pairs = compare().set_index("candidate_id")
    >>> print(*pairs.loc["k24", ["title_score", "first author", "same_record"]])
    83.6 differs False
    """
    cited = {row["cited_no"]: _work(row, "cited_") for row in _rows(load("citations", data))}
    rows = []
    for line, row in enumerate(_rows(load("citation_candidates", data)), 2):
        if row["cited_no"] not in cited:
            raise TableError(
                "citation_candidates.csv",
                "is not in citations.csv",
                "correct the number, or add the reference there",
                row=line,
                column="cited_no",
                value=row["cited_no"],
            )
        found = _work(row)
        fields, words, title_score = _compare(cited[row["cited_no"]], found)
        score = _WEIGHTS["title"] * title_score + sum(
            100 * weight
            for name, weight in _WEIGHTS.items()
            if name != "title" and fields[name] == _AGREES
        )
        rows.append(
            {
                "cited_no": row["cited_no"],
                "candidate_id": row["candidate_id"],
                "record": found.line(),
                "same_record": _same_record(fields, title_score),
                "title_score": round(title_score, 1),
                **fields,
                "differing": "; ".join(words),
                "score": round(score, 1),
                **{name: row.get(name, "") for name in ("about", "bears_on_claim", "url")},
            }
        )
    return pd.DataFrame(rows, columns=_PAIR)


@dataclass(frozen=True)
class _Person:
    family: str
    initials: str

    def __str__(self) -> str:
        return f"{self.family} {self.initials.upper()}".strip()

    def is_(self, other: _Person) -> bool:
        """Compare family names by their letters; initials only as far as both go."""
        one, two = self.initials, other.initials
        return _letters(self.family) == _letters(other.family) and (
            one.startswith(two) or two.startswith(one)
        )


@dataclass(frozen=True)
class _Work:
    """What a citation or a record says of a work; an empty field says nothing."""

    people: tuple[_Person, ...]
    more_people: bool
    authors: str
    year: str
    title: str
    journal: str
    volume: str
    pages: str
    doi: str

    def line(self) -> str:
        parts = [
            f"{self.authors or '[authors not shown]'} ({self.year or 'year not shown'})",
            self.title or "[title not shown]",
            self.journal,
        ]
        return ". ".join(part.rstrip(".") for part in parts if part) + "."


def _work(row: Mapping[str, Any], prefix: str = "") -> _Work:
    text = {name: str(row.get(prefix + name, "")).strip() for name in _COMPARED}
    people, more = _people(text["authors"])
    return _Work(people, more, **text | {"doi": text["doi"].casefold()})


def _people(text: str) -> tuple[tuple[_Person, ...], bool]:
    """Read ``"Fong, S. S.; Lee V et al."``; the flag says that the list goes on."""
    short = re.sub(r"[;,]?\s*(\band others|\bet al\.?)\s*$", "", text)
    people = []
    for name in filter(None, (part.strip() for part in short.split(";"))):
        family, _, given = (part.strip() for part in name.partition(","))
        if not given and (last := re.fullmatch(r"(.+)\s+([^\W\d_a-z]{1,5})", name)):
            family, given = last[1], ". ".join(last[2])
        initials = "".join(part[0] for part in re.split(r"[\s.\-]+", given) if part)
        people.append(_Person(family, initials.casefold()))
    return tuple(people), short != text


def _compare(cited: _Work, found: _Work) -> tuple[dict[str, str], list[str], float]:
    """Return the state of each field, the differences in words, and the title score."""
    fields, words = {}, []
    title_score = _title_score(cited.title, found.title)

    def settle(name: str, shown: bool, agrees: bool, difference: str) -> None:
        fields[name] = _NOT_SHOWN if not shown else _AGREES if agrees else _DIFFERS
        if fields[name] == _DIFFERS:
            words.append(f"{name}: {difference}")

    def plain(name: str, agrees: bool) -> None:
        one, two = getattr(cited, name), getattr(found, name)
        settle(name, bool(one and two), agrees, f"cited {one}, record {two}")

    fields["first author"] = _first_author(cited, found)
    fields["authors"], difference = _authors(cited, found)
    if difference:
        words.append(f"authors: {difference}")
    plain("year", cited.year == found.year)
    settle(
        "title",
        bool(cited.title and found.title),
        title_score >= TITLE_AGREES,
        _title_difference(cited.title, found.title),
    )
    plain("journal", _same_journal(cited.journal, found.journal))
    plain("volume", cited.volume == found.volume)
    plain("pages", _first_page(cited.pages) == _first_page(found.pages))
    plain("doi", cited.doi == found.doi)
    return fields, words, title_score


def _same_record(fields: Mapping[str, str], title_score: float) -> bool:
    if fields["doi"] == _AGREES:
        return True
    near_by_author = fields["first author"] == _AGREES and title_score >= TITLE_NEAR
    return title_score >= TITLE_AGREES or near_by_author


def _first_author(cited: _Work, found: _Work) -> str:
    if not (cited.people and found.people):
        return _NOT_SHOWN
    return _AGREES if cited.people[0].is_(found.people[0]) else _DIFFERS


def _authors(cited: _Work, found: _Work) -> tuple[str, str]:
    if not (cited.people and found.people):
        return _NOT_SHOWN, ""
    if _first_author(cited, found) == _DIFFERS:
        return _DIFFERS, f"cited {cited.people[0]}, record {found.people[0]}"
    strangers = [str(p) for p in cited.people if not any(p.is_(q) for q in found.people)]
    if strangers and found.more_people:
        return _NOT_SHOWN, ""
    if strangers:
        return _DIFFERS, f"{', '.join(strangers)} not on the record"
    if len(found.people) > len(cited.people) and not cited.more_people:
        return _DIFFERS, f"cited {len(cited.people)}, record {len(found.people)}"
    return _AGREES, ""


def _title_score(cited: str, found: str) -> float:
    """Compare titles as sets of words in order of the alphabet, with and without a subtitle."""
    from rapidfuzz import fuzz

    if not (cited and found):
        return 0.0
    return max(
        fuzz.token_sort_ratio(" ".join(_words(one)), " ".join(_words(two)))
        for one in _main_titles(cited)
        for two in _main_titles(found)
    )


def _main_titles(title: str) -> list[str]:
    main = title.partition(":")[0]
    return [title, main] if len(_words(main)) >= _MAIN_TITLE_WORDS else [title]


def _title_difference(cited: str, found: str) -> str:
    one, two = ([w for w in _words(t) if w not in _SMALL_WORDS] for t in (cited, found))
    only_cited = [w for w in dict.fromkeys(one) if w not in two]
    only_found = [w for w in dict.fromkeys(two) if w not in one]
    sides = [("only cited", only_cited), ("only on the record", only_found)]
    return ", ".join(f"{side} {' '.join(words)}" for side, words in sides if words) or "word order"


def _same_journal(cited: str, found: str) -> bool:
    """Compare journal names word by word, so that an abbreviation agrees with its full name."""
    from rapidfuzz import fuzz

    def same(one: str, two: str) -> bool:
        short, full = sorted((one, two), key=len)
        # A contraction keeps the first and the last letter (Natl, Intl); a spelling differs by
        # one letter in a long word (orthopedic, orthopaedic).
        rest = iter(full)
        contraction = (
            short[0] == full[0] and short[-1] == full[-1] and all(c in rest for c in short)
        )
        return full.startswith(short) or contraction or fuzz.ratio(one, two) >= 90

    one, two = ([w for w in _words(name) if w not in _SMALL_WORDS] for name in (cited, found))
    initials = {"".join(w[0] for w in words) for words in (one, two) if len(words) > 1}
    if (len(one) == 1 and one[0] in initials) or (len(two) == 1 and two[0] in initials):
        return True
    return len(one) == len(two) and all(map(same, one, two))


def _judged(
    row: Mapping[str, Any], best: Mapping[str, Any] | None, n_candidates: int
) -> dict[str, Any]:
    """Build the row of one reference from its nearest candidate."""
    states = {} if best is None else {name: best[name] for name in _COMPARED}
    matched = [name for name, state in states.items() if state == _AGREES]
    if states and states["authors"] != _AGREES and best and best["first author"] == _AGREES:
        matched = ["first author", *matched]
    differs = [name for name, state in states.items() if state == _DIFFERS]
    # A field that the citation does not give is no gap of the record.
    gaps = [n for n, state in states.items() if state == _NOT_SHOWN and row.get(f"cited_{n}")]
    looked = f"{row['n_queries']} queries by {row['looked_on']}: {row['where_looked']}"
    if best is None:
        verdict, reason = NOT_LOCATED, f"no candidate record was found ({looked})"
    elif not best["same_record"]:
        verdict = NOT_LOCATED
        shared = ", ".join(matched) or "no field"
        reason = (
            f"no candidate is close enough: the nearest shares {shared} and has a title score of "
            f"{best['title_score']:.0f}; this does not show that the work does not exist ({looked})"
        )
    elif differs:
        verdict = MIS_CITED
        reason = (
            f"the record agrees in {', '.join(matched)} with a title score of "
            f"{best['title_score']:.0f}, but not in {', '.join(differs)}"
        )
    else:
        verdict = VERIFIED
        reason = f"the record agrees in every field shown: {', '.join(matched)}"
    best = best or {}
    return {
        "cited_no": row["cited_no"],
        "cited": row["cited_text"],
        "verdict": verdict,
        "best_candidate": best.get("record", ""),
        "candidate_id": best.get("candidate_id", ""),
        "matched": "; ".join(matched),
        "differing": best.get("differing", ""),
        "not_shown": "; ".join(gaps),
        "score": best.get("score", float("nan")),
        "n_candidates": n_candidates,
        "about": best.get("about", ""),
        "bears_on_claim": best.get("bears_on_claim", ""),
        "supports_claims": row["supports_claims"],
        "where_looked": row["where_looked"],
        "looked_on": row["looked_on"],
        "n_queries": row["n_queries"],
        "reason": reason,
        "url": best.get("url", ""),
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as dictionaries, with blanks as empty text."""
    filled = table.astype("object").where(table.notna(), "")
    return [{str(k): v for k, v in row.items()} for row in filled.to_dict("records")]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", _fold(text))


def _letters(text: str) -> str:
    return "".join(_words(text))


def _fold(text: str) -> str:
    """Drop case and accents."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in parts if not unicodedata.combining(c))


def _first_page(pages: str) -> str:
    return re.split(r"[-–]", pages.casefold().strip())[0].strip()
