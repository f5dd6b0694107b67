"""The PRISMA 2020 flow of records: counted from the logs of a review, never typed, and drawn.

The boxes are those of the flow diagram of Page et al. 2021 (doi 10.1136/bmj.n71) for searches of
databases and registers; other sources are listed with them. While a review is under way, two
boxes say what waits for a decision, so that the counts add up at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from retroevidence._show import Card, Carded
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.logs import KINDS, STAGES, Data, read_log
from retroevidence.loaders.screening import screening
from retroevidence.loaders.screening_rules import CONFLICT, WAITING
from retroevidence.report.style import (
    BODY,
    GREY,
    INK,
    LINE,
    PALE,
    blank,
    fold,
    font,
    settings,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SOURCES = {"database": "Databases", "register": "Registers", "other": "Other sources"}


@dataclass(frozen=True, repr=False)
class Prisma(Carded):
    """The counts of the PRISMA 2020 flow diagram, made by :func:`prisma`.

    Attributes
    ----------
    sources : dict of str to dict of str to int
        Records identified, by kind of source (``database``, ``register``, ``other``) and name.
    identified, duplicates, screened : int
        Records found, those that were works known already, and works decided on by title and
        abstract.
    waiting : int
        Works without such a decision yet, conflicts among them.
    excluded, sought : int
        Works excluded by title and abstract, and those whose full text was sought.
    not_retrieved, waiting_full_text, assessed : int
        Of these: full texts that could not be had, without a decision yet, and assessed.
    reasons : dict of str to int
        Full texts excluded, by reason, the most frequent first.
    reports, studies : int
        Reports included, and the studies they report: reports with the same ``study_id`` are one
        study, a report without one is a study of its own.
    last_search : str
        Date of the last run of any strategy.

    Examples
    --------
    >>> import tempfile
    >>> from retroevidence.loaders.scaffold import new
    >>> from retroevidence.loaders.strategies import search
    >>> review = new(tempfile.mkdtemp() + "/stairs")
    >>> found = search(review)
    >>> prisma(review).sources
    {'database': {'Example index': 5}}
    """

    sources: Mapping[str, Mapping[str, int]]
    identified: int
    duplicates: int
    screened: int
    waiting: int
    excluded: int
    sought: int
    not_retrieved: int
    waiting_full_text: int
    assessed: int
    reasons: Mapping[str, int]
    reports: int
    studies: int
    last_search: str = field(default="")

    def __post_init__(self) -> None:
        """Refuse counts that do not add up, from box to box."""
        of_sources = sum(n for names in self.sources.values() for n in names.values())
        sums = {
            "identified": (self.identified, of_sources),
            "screened and waiting": (self.screened + self.waiting, self.works),
            "excluded and sought": (self.excluded + self.sought, self.screened),
            "full texts": (
                self.not_retrieved + self.waiting_full_text + self.assessed,
                self.sought,
            ),
            "assessed": (sum(self.reasons.values()) + self.reports, self.assessed),
        }
        for what, (found, expected) in sums.items():
            if found != expected:
                raise RetroEvidenceError(
                    f"the flow of records does not add up: {what} give {found}, not {expected}; "
                    "run the search again, which mends its logs."
                )

    @property
    def works(self) -> int:
        """Records left when duplicates are taken out."""
        return self.identified - self.duplicates

    @property
    def counts(self) -> pd.DataFrame:
        """The boxes as a table: box, n."""
        rows = [
            (f"records identified, {name}", n)
            for names in self.sources.values()
            for name, n in names.items()
        ]
        rows += [
            ("duplicate records removed", self.duplicates),
            ("records screened", self.screened),
            ("records waiting for a decision", self.waiting),
            ("records excluded", self.excluded),
            ("reports sought", self.sought),
            ("reports not retrieved", self.not_retrieved),
            ("reports waiting for a decision", self.waiting_full_text),
            ("reports assessed", self.assessed),
            *((f"reports excluded: {reason}", n) for reason, n in self.reasons.items()),
            ("studies included", self.studies),
            ("reports of included studies", self.reports),
        ]
        return pd.DataFrame(rows, columns=["box", "n"])

    def to_dict(self) -> dict[str, Any]:
        """Return every count as plain values."""
        return {
            "sources": {kind: dict(names) for kind, names in self.sources.items()},
            **{
                name: getattr(self, name)
                for name in self.__dataclass_fields__
                if name not in ("sources", "reasons")
            },
            "reasons": dict(self.reasons),
        }

    def _card(self) -> Card:
        title = f"PRISMA 2020 flow: {self.studies} studies from {self.identified} records"
        when = f"last search on {self.last_search}" if self.last_search else "never searched"
        return Card(title, [("searched", when)], self.counts)


def prisma(data: Data = None) -> Prisma:
    """Count the flow of records through a review from its logs.

    Parameters
    ----------
    data : path, optional
        Directory of a review; the library's own by default.

    Returns
    -------
    Prisma
        All boxes; :func:`flow_diagram` draws them.

    Raises
    ------
    TableError
        If a log breaks its rules.
    RetroEvidenceError
        If the counts do not add up, as when a log was changed by hand.

    Examples
    --------
    >>> import tempfile
    >>> from retroevidence.loaders.scaffold import new
    >>> from retroevidence.loaders.strategies import search
    >>> review = new(tempfile.mkdtemp() + "/stairs")
    >>> found = search(review)
    >>> flow = prisma(review)
    >>> flow.identified, flow.duplicates, flow.screened, flow.waiting
    (5, 1, 0, 4)
    """
    hits, log = read_log("hits", data), read_log("search_log", data)
    asked = log.drop_duplicates("strategy_id", keep="last").set_index("strategy_id")
    unlogged = sorted(set(hits["strategy_id"]) - set(asked.index))
    if unlogged:
        raise RetroEvidenceError(
            f"hits.csv has records of {unlogged[0]}, of which search_log.csv has no run; run the "
            "search again, which mends its logs."
        )
    sources: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for strategy in asked.index:
        kind, name = (str(asked.loc[strategy, column]) for column in ("kind", "database"))
        n = int((hits["strategy_id"] == strategy).sum())
        sources[kind][name] = sources[kind].get(name, 0) + n

    state = screening(data)
    counted = state.counts.to_dict("index")
    early, late = (counted[stage] for stage in STAGES)
    table = state.table
    out = table[(table["stage"] == "full_text") & (table["state"] == "exclude")]
    kept = table[(table["stage"] == "full_text") & (table["state"] == "include")]
    studies = kept["study_id"].fillna(kept["record_id"])
    reasons = {str(reason): int(n) for reason, n in out["reason"].value_counts().items()}
    waiting = early[WAITING] + early[CONFLICT]
    return Prisma(
        sources={kind: names for kind, names in sources.items() if names},
        identified=len(hits),
        duplicates=int((hits["rule"] != "first").sum()),
        screened=len(state.records) - waiting,
        waiting=waiting,
        excluded=early["exclude"],
        sought=early["include"],
        not_retrieved=late["not_retrieved"],
        waiting_full_text=late[WAITING] + late[CONFLICT],
        assessed=late["exclude"] + late["include"],
        reasons=dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0]))),
        reports=len(kept),
        studies=int(studies.nunique()),
        last_search=str(log["run_date"].max()) if len(log) else "",
    )


# The drawing: two columns of boxes beside three bars that name the phases; sizes in points.
_WIDTH, _LEFT, _RIGHT = 190.0, 44.0, 268.0
_PAD, _GAP, _LEADING, _NAME, _AROUND = 7.0, 22.0, 11.5, 52.0, 12.0
_PHASES = ("Identification", "Screening", "Included")
#: The phase of several boxes, which are together higher than its name is long.
_SHARED = 1


@dataclass(frozen=True)
class _Pair:
    """One box of the flow, and what leaves it to the right."""

    phase: int
    main: str
    side: str = ""

    @property
    def height(self) -> float:
        lines = max(self.main.count("\n"), self.side.count("\n") if self.side else 0) + 1
        # The first and the last box alone span their phase, whose name runs upward beside them.
        name = 0.0
        if self.phase != _SHARED:
            name = max(_NAME, text_width(_PHASES[self.phase], bold=True) + _AROUND)
        return max(lines * _LEADING + 2 * _PAD, name)


def flow_diagram(flow: Prisma, ax: Axes | None = None) -> Axes:
    """Draw the PRISMA 2020 flow diagram.

    Parameters
    ----------
    flow : Prisma
        From :func:`prisma`.
    ax : matplotlib Axes, optional
        Where to draw; by default a figure of its own that belongs to no window.

    Returns
    -------
    matplotlib Axes
        Save it with :func:`retroevidence.report.style.save`, as SVG and PNG.

    Examples
    --------
    >>> import tempfile
    >>> from retroevidence.loaders.scaffold import new
    >>> ax = flow_diagram(prisma(new(tempfile.mkdtemp() + "/stairs")))
    >>> [text.get_text() for text in ax.texts][:2]
    ['Records identified (n = 0)', 'Duplicate records removed (n = 0)']
    """
    from matplotlib.patches import FancyBboxPatch

    pairs = _pairs(flow)
    width = _RIGHT + _WIDTH + 8.0
    height = sum(pair.height for pair in pairs) + _GAP * (len(pairs) - 1) + 16.0
    with settings():
        if ax is None:
            ax = blank((width, height))
        ax.set_xlim(0, width)
        ax.set_ylim(0, height)
        ax.axis("off")
        edge: dict[str, Any] = {"linewidth": 0.9}
        line = edge | {"arrowstyle": "-|>", "color": LINE, "shrinkA": 0, "shrinkB": 0}
        box = edge | {"boxstyle": "round,pad=0,rounding_size=2", "edgecolor": LINE}
        top, spans = height - 8.0, dict[int, list[float]]()
        for number, pair in enumerate(pairs):
            bottom = top - pair.height
            middle = (top + bottom) / 2
            spans.setdefault(pair.phase, []).extend((bottom, top))
            for x, text in ((_LEFT, pair.main), (_RIGHT, pair.side)):
                if not text:
                    continue
                patch = FancyBboxPatch((x, bottom), _WIDTH, pair.height, facecolor="white", **box)
                ax.add_patch(patch)
                ax.text(x + _PAD, middle, text, va="center", color=INK, linespacing=1.25, **font())
            if pair.side:
                start = (_LEFT + _WIDTH, middle)
                ax.annotate("", (_RIGHT, middle), start, arrowprops=line)
            if number + 1 < len(pairs):
                x = _LEFT + _WIDTH / 2
                ax.annotate("", (x, bottom - _GAP), (x, bottom), arrowprops=line)
            top = bottom - _GAP
        for phase, ends in spans.items():
            low, high = min(ends), max(ends)
            bar = FancyBboxPatch((8, low), 22, high - low, facecolor=PALE, **box)
            ax.add_patch(bar)
            style: dict[str, Any] = {"ha": "center", "va": "center", "rotation": 90, "color": GREY}
            ax.text(19, (low + high) / 2, _PHASES[phase], **style, **font(bold=True))
    return ax


def _pairs(flow: Prisma) -> list[_Pair]:
    """Return the boxes from top to bottom, texts folded to their width."""
    found = [f"Records identified (n = {flow.identified})"]
    for kind, names in flow.sources.items():
        found.append(f"{_SOURCES[kind]} (n = {sum(names.values())})")
        found += [f"    {name} (n = {n})" for name, n in names.items()]
    out = [f"Reports excluded (n = {sum(flow.reasons.values())})"]
    out += [f"    {reason} (n = {n})" for reason, n in flow.reasons.items()]
    waits = [f"Waiting for a decision (n = {flow.waiting})"] if flow.waiting else []
    late = flow.waiting_full_text
    waits_late = [f"Waiting for a decision (n = {late})"] if late else []
    rows = [
        (0, found, [f"Duplicate records removed (n = {flow.duplicates})"]),
        (1, [f"Records screened (n = {flow.screened})"],
         [f"Records excluded (n = {flow.excluded})", *waits]),
        (1, [f"Reports sought for retrieval (n = {flow.sought})"],
         [f"Reports not retrieved (n = {flow.not_retrieved})", *waits_late]),
        (1, [f"Reports assessed for eligibility (n = {flow.assessed})"], out),
        (2, [f"Studies included in review (n = {flow.studies})",
             f"Reports of included studies (n = {flow.reports})"], []),
    ]  # fmt: skip
    return [_Pair(phase, _lines(main), _lines(side)) for phase, main, side in rows]


def _lines(texts: list[str]) -> str:
    """Fold each line to the box, keeping its indent on what follows."""
    folded = []
    for text in texts:
        indent = text[: len(text) - len(text.lstrip())]
        parts = fold(text.strip(), _WIDTH - 2 * _PAD - 12.0 * bool(indent), BODY).split("\n")
        folded += [indent + part for part in parts]
    return "\n".join(folded)
