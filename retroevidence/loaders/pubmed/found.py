"""What a search found at its date, and how two searches differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from retroevidence._show import Card, Carded


@dataclass(frozen=True, repr=False)
class Found(Carded):
    """The answer to one search at one date.

    Attributes
    ----------
    query : str
        As asked.
    since : str or None
        Only records that entered PubMed from this day on (``YYYY-MM-DD``) were asked for.
    date : str
        When PubMed answered, in UTC (``2026-01-31T12:00:00Z``).
    count : int
        How many records PubMed holds for the query.
    ids : tuple of str
        PubMed ids, in PubMed's order; fewer than `count` if fewer were asked for or reachable.
    translation : str
        The query as PubMed understood it.
    notes : tuple of str
        What PubMed ignored, and what could not be reached.
    service : str
        Address of the server.

    Examples
    --------
    >>> old = Found("stairs", None, "2026-01-31T12:00:00Z", 2, ("7", "8"), "", (), "")
    >>> new = Found("stairs", None, "2026-02-28T12:00:00Z", 2, ("9", "8"), "", (), "")
    >>> new.compare(old)
    Search 'stairs', 2026-01-31 to 2026-02-28
      new   1: 9
      gone  1: 7
      same  1
    """

    query: str
    since: str | None
    date: str
    count: int
    ids: tuple[str, ...]
    translation: str
    notes: tuple[str, ...]
    service: str

    @property
    def complete(self) -> bool:
        """Whether every record that PubMed holds for the query is among the ids."""
        return len(self.ids) >= self.count

    def compare(self, older: Found) -> Compared:
        """Say which ids are new, gone and the same since an older search.

        Parameters
        ----------
        older : Found
            Another search, usually of the same query.

        Returns
        -------
        Compared
            ``new`` and ``same`` in this search's order, ``gone`` in the older one's, and notes
            on what the comparison cannot tell.
        """
        before, now = set(older.ids), set(self.ids)
        notes = []
        if (older.query, older.since, older.service) != (self.query, self.since, self.service):
            notes.append("the two searches asked different questions")
        if older.date > self.date:
            notes.append("the search compared with is the later one")
        for name, one, other in (("older", older, "new"), ("newer", self, "gone")):
            if not one.complete:
                notes.append(
                    f"the {name} search holds {len(one.ids)} of {one.count} ids, so that a record "
                    f"called {other} may only lie beyond them"
                )
        return Compared(
            query=self.query,
            older=older.date,
            newer=self.date,
            new=tuple(one for one in self.ids if one not in before),
            gone=tuple(one for one in older.ids if one not in now),
            same=tuple(one for one in self.ids if one in before),
            notes=tuple(notes),
        )

    @property
    def summary(self) -> pd.DataFrame:
        """The search as a table of one row."""
        return pd.DataFrame([self.to_dict() | {"n_ids": len(self.ids)}]).drop(columns="ids")

    def to_dict(self) -> dict[str, Any]:
        """Return the search as plain values."""
        return asdict(self) | {"ids": list(self.ids), "notes": list(self.notes)}

    def _card(self) -> Card:
        pairs = [("asked", self.date), ("found", f"{self.count}"), ("ids", f"{len(self.ids)}")]
        pairs += [("since", self.since)] if self.since else []
        pairs += [("understood", self.translation)] if self.translation else []
        return Card(f"Search {self.query!r}", pairs, notes=self.notes)


@dataclass(frozen=True, repr=False)
class Compared(Carded):
    """What changed between two searches: ids that are new, gone and the same.

    Attributes
    ----------
    query : str
        Of the newer search.
    older, newer : str
        When PubMed answered each, in UTC.
    new, gone, same : tuple of str
        PubMed ids only in the newer search, only in the older one, and in both.
    notes : tuple of str
        What the comparison cannot tell.

    Examples
    --------
    >>> found = Found("stairs", None, "2026-01-31T12:00:00Z", 1, ("7",), "", (), "")
    >>> found.compare(found).same
    ('7',)
    """

    query: str
    older: str
    newer: str
    new: tuple[str, ...]
    gone: tuple[str, ...]
    same: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def summary(self) -> pd.DataFrame:
        """The numbers as a table of one row."""
        row = {"query": self.query, "older": self.older, "newer": self.newer}
        sizes = {name: len(getattr(self, name)) for name in ("new", "gone", "same")}
        return pd.DataFrame([row | sizes])

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain values."""
        plain = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}

    def _card(self) -> Card:
        pairs = [
            ("new", _some(self.new)),
            ("gone", _some(self.gone)),
            ("same", f"{len(self.same)}"),
        ]
        title = f"Search {self.query!r}, {self.older[:10]} to {self.newer[:10]}"
        return Card(title, pairs, notes=self.notes)


def _some(ids: tuple[str, ...], most: int = 10) -> str:
    """Count ids and name the first ones."""
    shown = ", ".join(ids[:most]) + (" …" if len(ids) > most else "")
    return f"{len(ids)}: {shown}" if ids else "0"
