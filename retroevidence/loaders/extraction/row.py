"""One candidate: its cells, where each was read, and what is doubtful about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from retroevidence.loaders.extraction.link import Link, Scene
from retroevidence.loaders.extraction.vocabulary import Term
from retroevidence.loaders.extraction.words import weeks

Cell = float | str


@dataclass
class Row:
    """A candidate: cells of a table, where each was read, and what is doubtful."""

    table: str
    kind: str
    start: int
    end: int
    cells: dict[str, Cell] = field(default_factory=dict)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    why: list[str] = field(default_factory=list)
    term: Term | None = None

    def fill(self, name: str, value: Cell | None, start: int, end: int) -> None:
        """Fill a cell and remember where it was read."""
        if value is not None and value != "":
            self.cells[name] = value
            self.spans[name] = (start, end)

    def doubt(self, *reasons: str) -> None:
        """Add reasons for doubt, each once."""
        self.why += [reason for reason in reasons if reason not in self.why]


def fill_outcome(row: Row, link: Link) -> None:
    """Fill in outcome, instrument and its direction from the place where it is named."""
    term = link.target
    row.doubt(*link.why)
    if not isinstance(term, Term):
        row.doubt("no outcome is named")
        return
    row.term = term
    row.fill("outcome", term.outcome, link.start, link.end)
    row.fill("instrument", term.instrument, link.start, link.end)
    row.fill("higher_is", term.higher_is, link.start, link.end)
    row.spans["outcome"] = (link.start, link.end)


def fill_weeks(row: Row, scene: Scene) -> None:
    """Fill in the weeks if the sentence names one time only, and the row is no baseline."""
    if row.cells.get("timepoint") != "baseline":
        when = weeks(scene.text[scene.sentence.start : scene.sentence.end])
        if when is not None:
            row.cells["timepoint_weeks"] = when
