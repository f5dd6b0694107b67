"""What a table is and what a study gives, each as a card that shows itself."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from textwrap import shorten

import pandas as pd

from retroevidence._show import Card, Carded
from retroevidence.errors import UnknownNameError, unknown_name
from retroevidence.loaders.record import Field, read_record
from retroevidence.loaders.sheet import read_sheet
from retroevidence.loaders.tables import load

_NOT_STATED = "not stated"
# Letters that the meaning of a column may take in a table of plain text.
_MEANING = 70


@dataclass(frozen=True)
class TableCard:
    """The record of one table; :func:`describe` makes it.

    Attributes
    ----------
    name, title, description : str
        What the table is called and what one row of it is.
    rows : int
        Rows in the file as it is now.
    licence, sources : tuple of str
        As the record states them.
    hash : str
        ``sha256:`` and 64 hexadecimal digits of the file as it is now.
    recorded : bool
        Whether that is the hash in the record.
    key : tuple of str
        The columns that name a row.
    links : tuple of str
        What other tables this one refers to, as ``study_id → studies``.
    columns : DataFrame
        One row per column: name, type, unit, required, description, values.
    """

    name: str
    title: str
    description: str
    rows: int
    licence: tuple[str, ...]
    sources: tuple[str, ...]
    hash: str
    recorded: bool
    key: tuple[str, ...]
    links: tuple[str, ...]
    columns: pd.DataFrame = field(compare=False)

    def _card(self, width: int | None = None) -> Card:
        changed = "" if self.recorded else "  (not the file its record describes)"
        pairs = [
            ("about", self.description),
            ("licence", "; ".join(self.licence) or _NOT_STATED),
            ("sources", "; ".join(self.sources) or _NOT_STATED),
            ("sha256", f"{self.hash.removeprefix('sha256:')[:12]}…{changed}"),
            ("key", " + ".join(self.key)),
            ("refers to", ", ".join(self.links)),
        ]
        title = f"{self.name}  {self.rows} rows × {len(self.columns)} columns"
        whole = [
            f"{text.rstrip('.')} ({values})" if values else text
            for text, values in zip(
                self.columns["description"], self.columns["values"], strict=True
            )
        ]
        shown = [shorten(text, width, placeholder=" …") if width else text for text in whole]
        return Card(
            f"{title} · {self.title}" if self.title else title,
            [(label, value) for label, value in pairs if value],
            self.columns[["name", "type", "unit", "required"]].assign(meaning=shown),
            [
                f"{name}: {text}"
                for name, text, short in zip(self.columns["name"], whole, shown, strict=True)
                if short.endswith("…")
            ],
        )

    def __repr__(self) -> str:
        # Lines of text stay readable: what is cut in the table stands whole below it.
        return self._card(width=_MEANING).text()

    def _repr_html_(self) -> str:
        return self._card().html()


def describe(name: str, data: str | os.PathLike[str] | None = None) -> TableCard:
    """Describe one table: what a row is, where it is from, and what each column means.

    The table itself is not checked, so a faulty table can be described too.

    Parameters
    ----------
    name : str
        A name that :func:`~retroevidence.loaders.tables.tables` lists.
    data : path, optional
        A directory of the same form as the library's own ``data/``.

    Returns
    -------
    TableCard
        It shows itself; ``.columns`` has one row per column.

    Raises
    ------
    UnknownNameError
        If no table has this name.
    TableError
        If the record or the file cannot be read.

    Examples
    --------
    >>> card = describe("arms")
    >>> card.key
    ('arm_id',)
    >>> card.columns.query("name == 'sd'")["type"].item()
    'number'
    """
    record = read_record(data)
    resource = record.resource(name)
    sheet = read_sheet(record.path(resource))
    columns = pd.DataFrame(
        {
            "name": [column.name for column in resource.fields],
            "type": [column.type for column in resource.fields],
            "unit": [column.unit for column in resource.fields],
            "required": [
                "yes" if column.required or column.name in resource.primary_key else "no"
                for column in resource.fields
            ],
            "description": [column.description for column in resource.fields],
            "values": [_values(column) for column in resource.fields],
        }
    )
    return TableCard(
        name=resource.name,
        title=resource.title,
        description=resource.description,
        rows=len(sheet.rows),
        licence=resource.licenses,
        sources=resource.sources,
        hash=sheet.hash,
        recorded=sheet.hash == resource.hash,
        key=resource.primary_key,
        links=tuple(
            f"{' + '.join(link.fields)} → {link.resource}" for link in resource.foreign_keys
        ),
        columns=columns,
    )


def _values(column: Field) -> str:
    """Say in words which values a column allows."""
    if column.enum:
        return " | ".join(column.enum)
    if column.minimum is not None and column.maximum is not None:
        return f"{column.minimum} to {column.maximum}"
    if column.minimum is not None:
        return f"at least {column.minimum}"
    if column.maximum is not None:
        return f"at most {column.maximum}"
    return f"form {column.pattern}" if column.pattern else ""


@dataclass(frozen=True, repr=False)
class StudyCard(Carded):
    """What the tables hold about one study; :func:`study` makes it.

    Attributes
    ----------
    key : str
        Its name in every table, in the bibliography and in the figures.
    citation : str
        One line from the bibliography, or a sentence that there is none.
    design, population, condition, intervention, comparator, task, dose, adverse_events : str
        As reported; empty where not reported.
    n_total : int or None
        People in the study.
    outcomes : DataFrame
        One row per outcome and table: outcome, table, rows, excluded, timepoints.
    locators, sources : tuple of str
        Where on the page, and which pages, the numbers were read.
    doubts : tuple of str
        What the note on the study warns of; notes on single results are in the tables.
    overlap : tuple of str
        Other studies that may share its participants.
    excluded : DataFrame
        Rows that are kept but not used: table, row, reason.
    claims : tuple of str
        Claims with an analysis this study enters.

    Examples
    --------
    >>> study("hooper2004").n_total
    27
    """

    key: str
    citation: str
    design: str
    population: str
    condition: str
    n_total: int | None
    intervention: str
    comparator: str
    task: str
    dose: str
    adverse_events: str
    outcomes: pd.DataFrame = field(compare=False)
    locators: tuple[str, ...]
    sources: tuple[str, ...]
    doubts: tuple[str, ...]
    overlap: tuple[str, ...]
    excluded: pd.DataFrame = field(compare=False)
    claims: tuple[str, ...]

    def _card(self) -> Card:
        pairs = [
            ("reference", self.citation),
            ("design", self.design),
            ("people", "; ".join(filter(None, [self.population, self.condition]))),
            ("n", "" if self.n_total is None else str(self.n_total)),
            ("compared", " vs ".join(filter(None, [self.intervention, self.comparator]))),
            ("task", self.task),
            ("dose", self.dose),
            ("adverse events", self.adverse_events),
            ("overlaps with", ", ".join(self.overlap)),
            ("read in", "; ".join(self.locators)),
            ("pages", "; ".join(self.sources)),
            ("enters", ", ".join(self.claims)),
        ]
        notes = list(self.doubts)
        notes += [
            f"not used: {table} {', '.join(part['row'])} – {reason}"
            for (table, reason), part in self.excluded.groupby(["table", "reason"], sort=False)
        ]
        table = self.outcomes if len(self.outcomes) else None
        return Card(self.key, [(label, value) for label, value in pairs if value], table, notes)


_RESULTS = ("arms", "contrasts", "reviews")
"""Tables with one result per row."""


def study(key: str, data: str | os.PathLike[str] | None = None) -> StudyCard:
    """Show what the tables hold about one study, and which claims use it.

    Parameters
    ----------
    key : str
        A ``study_id``, which is also its key in the bibliography.
    data : path, optional
        A directory of the same form as the library's own ``data/``.

    Returns
    -------
    StudyCard
        It shows itself; its fields hold what it shows.

    Raises
    ------
    UnknownNameError
        If no study has this key; the message has the nearest keys.
    TableError
        If a table breaks its record.

    Examples
    --------
    >>> card = study("hooper2004")
    >>> card.n_total
    27
    >>> "contrasts" in set(card.outcomes["table"])
    True
    """
    studies = load("studies", data)
    found = studies[studies["study_id"] == key]
    if found.empty:
        raise unknown_name("study", key, studies["study_id"])
    text = {str(name): "" if pd.isna(v) else str(v) for name, v in found.iloc[0].items()}
    # A directory of the same form may have fewer tables than the library.
    names = {resource.name: resource for resource in read_record(data).resources}
    rows = {
        name: table[table["study_id"] == key]
        for name in ("studies", *_RESULTS, "safety")
        if name in names and "study_id" in (table := load(name, data))
    }
    outcomes = [
        {
            "outcome": outcome,
            "table": name,
            "rows": len(part),
            "excluded": int((part["exclude"] == "yes").sum()),
            "timepoints": _joined(part, "timepoint"),
        }
        for name in _RESULTS
        if name in rows
        for outcome, part in rows[name].groupby("outcome", sort=False)
    ]
    excluded = [
        {"table": name, "row": row[names[name].primary_key[0]], "reason": row["exclude_reason"]}
        for name, part in rows.items()
        for row in part[part["exclude"] == "yes"].to_dict("records")
    ]
    group = text["overlap_group"]
    others = studies.loc[studies["overlap_group"] == group, "study_id"] if group else ()
    return StudyCard(
        key=key,
        citation=_citation(key, data),
        design=text["design"],
        population=text["population"],
        condition=text["condition"],
        n_total=int(text["n_total"]) if text["n_total"] else None,
        intervention=text["intervention"],
        comparator=text["comparator"],
        task=text["task"],
        dose=_dose(text["session_min"], text["sessions_per_week"], text["weeks"]),
        adverse_events=text["adverse_events"],
        outcomes=pd.DataFrame(
            outcomes, columns=["outcome", "table", "rows", "excluded", "timepoints"]
        ),
        locators=_distinct(rows, "locator"),
        sources=_distinct(rows, "source_url"),
        doubts=(text["note"],) if text["note"] else (),
        overlap=tuple(other for other in others if other != key),
        excluded=pd.DataFrame(excluded, columns=["table", "row", "reason"]),
        claims=_claims(key, data) if "selection" in names else (),
    )


def _citation(key: str, data: str | os.PathLike[str] | None) -> str:
    # Imported here: the parser of the bibliography is slow to import, and few callers want it.
    from retroevidence.loaders.bibliography import reference

    try:
        return reference(key, data)
    except UnknownNameError:
        return f"no entry {key} in references.bib"


def _dose(minutes: str, per_week: str, weeks: str) -> str:
    parts = [(minutes, "{} min"), (per_week, "{} × per week"), (weeks, "{} weeks")]
    return ", ".join(form.format(value.removesuffix(".0")) for value, form in parts if value)


def _joined(frame: pd.DataFrame, column: str) -> str:
    return ", ".join(frame[column].dropna().unique()) if column in frame else ""


def _distinct(rows: dict[str, pd.DataFrame], column: str) -> tuple[str, ...]:
    """List the different texts of a column over all tables, in the order they occur."""
    texts = [text for part in rows.values() if column in part for text in part[column].dropna()]
    return tuple(dict.fromkeys(texts))


def _claims(key: str, data: str | os.PathLike[str] | None) -> tuple[str, ...]:
    selection = load("selection", data)
    used = (selection["study_id"] == key) & (selection["enters"] != "shown")
    return tuple(selection.loc[used, "claim_id"].unique())
