"""One work against another: the same or not, and where a citation and a record differ.

A field that one side does not show neither agrees nor differs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retroevidence.loaders.folding import folded_words

#: Titles agree from here on (0 to 100, words in any order), if no word of one stands for another
#: of the other. Punctuation, case and accents are gone by then, so what is left below 100 is
#: spelling (randomised, randomized) or one small word.
TITLE_AGREES = 95.0

#: Titles are near from here on, which counts only beside an agreeing first author and an agreeing
#: year, journal or list of authors: about one word in four may be changed. Different papers on one
#: topic reach 75 to 85 (see the tests), so a near title alone proves nothing.
TITLE_NEAR = 75.0

#: Two words of a title are spellings of one from here on (randomised, randomized: 90).
_SPELLING = 80.0

#: A title without its subtitle still names the work, if so many words are left.
_MAIN_TITLE_WORDS = 5

#: How much a field counts in the score. The score orders the candidates and is shown; no verdict
#: is taken from it. What is not shown earns nothing.
WEIGHTS = {"title": 0.5, "first author": 0.2, "year": 0.15, "journal": 0.15}

AGREES, DIFFERS, NOT_SHOWN = "agrees", "differs", "not shown"

COMPARED = ("authors", "year", "title", "journal", "volume", "pages", "doi")

_SMALL_WORDS = {
    *("a", "an", "and", "at", "by", "during", "for", "from", "in", "of", "on", "or", "the"),
    *("to", "with"),
}


@dataclass(frozen=True)
class Person:
    """An author: family name and initials.

    Examples
    --------
    >>> Person("Fong", "ss").is_(Person("FONG", "s"))
    True
    """

    family: str
    initials: str

    def __str__(self) -> str:
        return f"{self.family} {self.initials.upper()}".strip()

    def is_(self, other: Person) -> bool:
        """Compare family names by their letters; initials only as far as both go."""
        one, two = self.initials, other.initials
        return _letters(self.family) == _letters(other.family) and (
            one.startswith(two) or two.startswith(one)
        )


@dataclass(frozen=True)
class Work:
    """What a citation or a record says of a work; an empty field says nothing."""

    people: tuple[Person, ...]
    more_people: bool
    authors: str
    year: str
    title: str
    journal: str
    volume: str
    pages: str
    doi: str

    def line(self) -> str:
        """Write the work as one line; what is not shown is said."""
        parts = [
            f"{self.authors or '[authors not shown]'} ({self.year or 'year not shown'})",
            self.title or "[title not shown]",
            self.journal,
        ]
        return ". ".join(part.rstrip(".") for part in parts if part) + "."


def work_of(row: Mapping[str, Any], prefix: str = "") -> Work:
    """Read a work from the fields of a row.

    Parameters
    ----------
    row : mapping
        authors (``"Fong, S. S.; Lee V"``), year, title, journal, volume, pages and doi, each as
        text; what lacks is not shown.
    prefix : str
        What the names of the fields begin with.

    Returns
    -------
    Work
        Blank where nothing is shown.

    Examples
    --------
    >>> work_of({"authors": "Fong SS", "year": "2011", "title": "Gait"}).line()
    'Fong SS (2011). Gait.'
    """
    text = {name: str(row.get(prefix + name, "")).strip() for name in COMPARED}
    people, more = _people(text["authors"])
    return Work(people, more, **text | {"doi": text["doi"].casefold()})


def _people(text: str) -> tuple[tuple[Person, ...], bool]:
    """Read ``"Fong, S. S.; Lee V et al."``; the flag says that the list goes on."""
    short = re.sub(r"[;,]?\s*(\band others|\bet al\.?)\s*$", "", text)
    people = []
    for part in filter(None, (part.strip() for part in short.split(";"))):
        # A suffix is left out by many lists, and tells nobody apart here.
        name = re.sub(r",?\s+(Jr|Sr|I{2,3}|2nd|3rd)\.?(?=,|$)", "", part)
        family, _, given = (part.strip() for part in name.partition(","))
        if not given and (last := re.fullmatch(r"(.+)\s+([^\W\d_a-z]{1,5})", name)):
            family, given = last[1], ". ".join(last[2])
        initials = "".join(part[0] for part in re.split(r"[\s.\-]+", given) if part)
        people.append(Person(family, initials.casefold()))
    return tuple(people), short != text


def compare_works(cited: Work, found: Work) -> tuple[dict[str, str], list[str], float]:
    """Compare a citation with a record, field by field.

    Parameters
    ----------
    cited, found : Work
        The citation and the record.

    Returns
    -------
    fields : dict
        ``agrees``, ``differs`` or ``not shown`` for first author, for several authors (as for
        authors, not shown if one is cited) and for each of `COMPARED`.
    words : list of str
        Each difference in words.
    title_score : float
        0 to 100.

    Examples
    --------
    >>> one, two = ({"title": "Gait in old age", "year": year} for year in ("2011", "2012"))
    >>> compare_works(work_of(one), work_of(two))[1]
    ['year: cited 2011, record 2012']
    """
    fields, words = {}, []
    title_score = title_score_of(cited.title, found.title)

    def settle(name: str, shown: bool, agrees: bool, difference: str) -> None:
        fields[name] = NOT_SHOWN if not shown else AGREES if agrees else DIFFERS
        if fields[name] == DIFFERS:
            words.append(f"{name}: {difference}")

    def plain(name: str, agrees: bool) -> None:
        one, two = getattr(cited, name), getattr(found, name)
        settle(name, bool(one and two), agrees, f"cited {one}, record {two}")

    fields["first author"] = _first_author(cited, found)
    fields["authors"], difference = _authors(cited, found)
    if difference:
        words.append(f"authors: {difference}")
    several = len(cited.people) > 1
    fields["several authors"] = fields["authors"] if several else NOT_SHOWN
    plain("year", cited.year == found.year)
    settle(
        "title",
        bool(cited.title and found.title),
        _titles_agree(cited.title, found.title),
        _title_difference(cited.title, found.title),
    )
    plain("journal", same_journal(cited.journal, found.journal))
    plain("volume", cited.volume == found.volume)
    plain("pages", _first_page(cited.pages) == _first_page(found.pages))
    plain("doi", cited.doi == found.doi)
    return fields, words, title_score


def same_record(fields: Mapping[str, str], title_score: float) -> bool:
    """Decide whether citation and record speak of one work.

    They do if

    - the identifiers agree, or
    - the titles agree (score of at least `TITLE_AGREES`), or
    - the titles are near, the first author agrees, and so do the year, the journal or all of two
      or more authors, or
    - the place agrees: journal, volume and first page.

    Examples
    --------
    >>> shown = {"doi": "not shown", "first author": "agrees", "year": "differs"}
    >>> shown["several authors"] = "not shown"
    >>> same_record(shown | {"journal": "agrees", "volume": "differs", "pages": "differs"}, 80.0)
    True
    """
    if fields["doi"] == AGREES or title_score >= TITLE_AGREES:
        return True
    if all(fields[name] == AGREES for name in ("journal", "volume", "pages")):
        return True
    beside = AGREES in (fields["year"], fields["journal"], fields["several authors"])
    return fields["first author"] == AGREES and beside and title_score >= TITLE_NEAR


def _first_author(cited: Work, found: Work) -> str:
    if not (cited.people and found.people):
        return NOT_SHOWN
    return AGREES if cited.people[0].is_(found.people[0]) else DIFFERS


def _authors(cited: Work, found: Work) -> tuple[str, str]:
    if not (cited.people and found.people):
        return NOT_SHOWN, ""
    if _first_author(cited, found) == DIFFERS:
        return DIFFERS, f"cited {cited.people[0]}, record {found.people[0]}"
    strangers = [str(p) for p in cited.people if not any(p.is_(q) for q in found.people)]
    if strangers and found.more_people:
        return NOT_SHOWN, ""
    if strangers:
        return DIFFERS, f"{', '.join(strangers)} not on the record"
    if len(found.people) > len(cited.people) and not cited.more_people:
        return DIFFERS, f"cited {len(cited.people)}, record {len(found.people)}"
    return AGREES, ""


def title_score_of(cited: str, found: str) -> float:
    """Compare titles by their words in order of the alphabet, with and without a subtitle.

    Returns
    -------
    float
        0 (nothing shared, or a title is not shown) to 100.

    Examples
    --------
    >>> title_score_of("Gait in old age and health", "Gait in Old Age and Health: a trial")
    100.0
    """
    from rapidfuzz import fuzz

    if not (cited and found):
        return 0.0
    return max(
        fuzz.token_sort_ratio(folded_title(one), folded_title(two))
        for one, two in _versions(cited, found)
    )


def _versions(cited: str, found: str) -> list[tuple[str, str]]:
    """Return the two titles, and each without its subtitle against the whole other one."""
    versions = [(cited, found)]
    for side, title in enumerate((cited, found)):
        main = title.partition(":")[0]
        if main != title and len(folded_words(main)) >= _MAIN_TITLE_WORDS:
            versions.append((cited, main) if side else (main, found))
    return versions


def _titles_agree(cited: str, found: str) -> bool:
    """Compare word by word: a spelling or a small word may differ, a word of content may not."""
    from rapidfuzz import fuzz

    for one, two in _versions(cited, found):
        if _letters(one) == _letters(two):
            return True
        first, second = folded_words(one), folded_words(two)
        if fuzz.token_sort_ratio(" ".join(first), " ".join(second)) < TITLE_AGREES:
            continue
        # Counted, for a word may stand twice in one title and once in the other.
        left = set(Counter(first) - Counter(second)) - _SMALL_WORDS
        right = set(Counter(second) - Counter(first)) - _SMALL_WORDS
        if all(any(fuzz.ratio(w, v) >= _SPELLING for v in right) for w in left) and all(
            any(fuzz.ratio(w, v) >= _SPELLING for v in left) for w in right
        ):
            return True
    return False


def _title_difference(cited: str, found: str) -> str:
    one, two = ([w for w in folded_words(t) if w not in _SMALL_WORDS] for t in (cited, found))
    only_cited = [w for w in dict.fromkeys(one) if w not in two]
    only_found = [w for w in dict.fromkeys(two) if w not in one]
    sides = [("only cited", only_cited), ("only on the record", only_found)]
    return ", ".join(f"{side} {' '.join(words)}" for side, words in sides if words) or "word order"


def same_journal(cited: str, found: str) -> bool:
    """Compare journal names word by word, so that an abbreviation agrees with its full name.

    Examples
    --------
    >>> same_journal("J Biomech", "Journal of Biomechanics")
    True
    """
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

    one, two = ([w for w in folded_words(name) if w not in _SMALL_WORDS] for name in (cited, found))
    initials = {"".join(w[0] for w in words) for words in (one, two) if len(words) > 1}
    if (len(one) == 1 and one[0] in initials) or (len(two) == 1 and two[0] in initials):
        return True
    return len(one) == len(two) and all(map(same, one, two))


def folded_title(title: str) -> str:
    """Write a title as its words, without case, accents and punctuation.

    Examples
    --------
    >>> folded_title("Gáit: in OLD age.")
    'gait in old age'
    """
    return " ".join(folded_words(title))


def _letters(text: str) -> str:
    return "".join(folded_words(text))


def _first_page(pages: str) -> str:
    return re.split(r"[-–]", pages.casefold().strip())[0].strip()
