"""The vocabulary of outcomes: words that name an outcome or an instrument, and where they stand.

It is data: ``outcomes.csv`` travels with the library, and the instruments a review already
has in its tables are known too.
"""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from retroevidence._paths import data_dir
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.extraction.sentences import plain
from retroevidence.loaders.record import read_record
from retroevidence.loaders.sheet import read_sheet, stamp

_WORDS = Path(__file__).with_name("outcomes.csv")


@dataclass(frozen=True)
class Term:
    """What a word stands for.

    Attributes
    ----------
    outcome, instrument : str
        As in the tables; the instrument is blank for a word that names only the outcome.
    higher_is : {"better", "worse", "neutral", ""}
        Whether a higher value is better for the person; blank where that is not known.
    """

    outcome: str
    instrument: str
    higher_is: str


@dataclass(frozen=True)
class Named:
    """A place where a text names an outcome."""

    start: int
    end: int
    term: Term


@dataclass(frozen=True)
class Vocabulary:
    """Words by what they stand for; `outcomes` are those the tables allow."""

    terms: dict[str, Term]
    pattern: re.Pattern[str]
    outcomes: tuple[str, ...]

    def find(self, text: str, start: int = 0, end: int | None = None) -> list[Named]:
        """Return the places where outcomes are named, longest words first, none overlapping.

        Examples
        --------
        >>> [named.term.instrument for named in vocabulary().find("the TUG and balance (BBS)")]
        ['timed up and go', 'Berg Balance Scale']
        """
        flat = plain(text)
        found = [
            Named(match.start(), match.end(), term)
            for match in self.pattern.finditer(flat, start, len(flat) if end is None else end)
            if (term := self._term(match[0]))
        ]
        return _joined(flat, found)

    def _term(self, word: str) -> Term | None:
        return self.terms.get(_key(word)) or self.terms.get(_key(word).removesuffix("s"))


def vocabulary(data: str | os.PathLike[str] | None = None) -> Vocabulary:
    """Return the vocabulary for a directory of tables.

    Parameters
    ----------
    data : path, optional
        A directory of tables; its instruments join the words that travel with the library. By
        default the library's own.

    Returns
    -------
    Vocabulary

    Examples
    --------
    >>> found = vocabulary().find("Pain (VAS) fell.")
    >>> found[0].term
    Term(outcome='pain', instrument='VAS', higher_is='worse')
    """
    folder = data_dir(data).resolve()
    stamps = [stamp(folder / "datapackage.json")]
    record = read_record(folder)
    for resource in record.resources:
        if resource.name in ("arms", "contrasts") and record.path(resource).is_file():
            stamps.append(stamp(record.path(resource)))
    return _vocabulary(folder, tuple(stamps))


@lru_cache(maxsize=8)
def _vocabulary(folder: Path, stamps: object) -> Vocabulary:
    terms = {}
    for row in _packaged():
        term = Term(row["outcome"], row["instrument"], row["higher_is"])
        for word in row["words"].split("|"):
            terms[_key(word)] = term
    allowed: list[str] = []
    record = read_record(folder)
    for resource in record.resources:
        if resource.name not in ("arms", "contrasts"):
            continue
        allowed += [o for f in resource.fields if f.name == "outcome" for o in f.enum]
        if not record.path(resource).is_file():
            continue
        cells = read_sheet(record.path(resource)).columns()
        blank = ("",) * len(cells.get("instrument", ()))
        names = [cells.get(name, blank) for name in ("outcome", "instrument", "higher_is")]
        for outcome, instrument, higher_is in zip(*names, strict=True):
            # Long names are descriptions in the reader's words, which no abstract prints.
            if 3 <= len(instrument) <= 40 and not re.search(r"[,()]", instrument):
                terms.setdefault(_key(instrument), Term(outcome, instrument, higher_is))
    return Vocabulary(terms, _pattern(terms), tuple(dict.fromkeys(allowed)))


@lru_cache(maxsize=1)
def _packaged() -> tuple[dict[str, str], ...]:
    try:
        with _WORDS.open(encoding="utf-8", newline="") as file:
            return tuple(csv.DictReader(file))
    except OSError as error:
        raise RetroEvidenceError(
            f"{_WORDS.name} cannot be read ({error.strerror}); install the library again."
        ) from None


def _key(word: str) -> str:
    """Write a word as the vocabulary looks it up: an abbreviation as it is, the rest in small."""
    word = re.sub(r"[ -]+", " ", word.strip())
    return word if _is_short_form(word) else word.casefold()


def _is_short_form(word: str) -> bool:
    return " " not in word and sum(letter.isupper() for letter in word) >= 2


def _pattern(terms: dict[str, Term]) -> re.Pattern[str]:
    """Match any of the words: blanks and hyphens alike, plural too, abbreviations by their case."""
    alternatives = []
    for word in sorted(terms, key=len, reverse=True):
        inner = re.escape(word).replace(r"\ ", r"[ -]+")
        inner = inner if _is_short_form(word) else f"(?i:{inner})"
        alternatives.append(f"{inner}s?" if word[-1].isalpha() else inner)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(alternatives)})(?![A-Za-z\d])(?!-\w)")


def _joined(text: str, found: list[Named]) -> list[Named]:
    """Join a word and what explains it: "pain (VAS)", "Timed Up and Go (TUG)", "knee pain VAS"."""
    joined: list[Named] = []
    for named in found:
        last = joined[-1] if joined else None
        between = text[last.end : named.start] if last else ""
        closed = text[named.end : named.end + 1] in (")", "]")
        if last and closed and re.fullmatch(r" ?[(\[](?:the )?", between):
            joined[-1] = Named(last.start, named.end + 1, named.term)
            continue
        measured = re.fullmatch(r" - | (?:on|by|with) (?:the|a) ", between)
        if last and measured and not last.term.instrument and named.term.instrument:
            joined[-1] = Named(last.start, named.end, named.term)
            continue
        joined.append(named)
    return joined
