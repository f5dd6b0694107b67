"""Effect sizes of a whole table: rows and index kept, and a reason where an effect is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from retroevidence.effects.conversions.standard_errors import suspicions
from retroevidence.effects.formulas.checks import Floats, as_floats, column
from retroevidence.effects.formulas.entry import Measure
from retroevidence.effects.measures import check_options, impossible, known, raw_effect
from retroevidence.errors import EffectError

#: Columns that the result adds to the table.
ADDED = ("yi", "vi", "measure", "note")

_TWO_GROUPS = {"m1", "sd1", "n1", "m2", "sd2", "n2"}


def effect_sizes(measure: str, table: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """Compute an effect size and its sampling variance for every row of a table.

    Rows may report in different ways: where means or SDs are missing, t, d or p serves if its
    column is named, and the note says so.

    Parameters
    ----------
    measure : str
        A key of ``MEASURES``; :func:`retroevidence.effects.measures.measures` lists them.
    table : DataFrame
        One row per effect. It is not modified.
    **columns : str, number or array_like
        Where each argument of the measure is: the name of a column, or a number for all rows. An
        argument of the usual numbers that is not named is looked for in the column of its own
        name; `t`, `d`, `p` and `sign` are used only when they are named. The options `correct`,
        `add` and `to` are passed on as they are.

    Returns
    -------
    DataFrame
        The table, with its index and its order, and the columns `yi`, `vi` (NaN where there is no
        effect), `measure` and `note`: why an effect is missing, what was added to a zero cell, by
        which numbers the effect was found where not by the usual ones, and where an SD looks like
        a standard error. Columns of an earlier call are replaced.

    Raises
    ------
    UnknownNameError
        If the measure or a column does not exist.
    EffectError
        If a column that the measure needs is not there, a number is impossible, or the table has
        a column of its own called `yi`, `vi`, `measure` or `note`.

    Examples
    --------
    >>> trials = pd.DataFrame({"a": [4, 0, 0], "n1": 20, "c": [7, 3, 0], "n2": 20})
    >>> found = effect_sizes("OR", trials.set_axis(["Ada", "Bo", "Cy"]))
    >>> found["yi"].round(3).tolist()
    [-0.767, -2.104, nan]
    >>> for note in found["note"]:
    ...     print(note or "-")
    -
    0.5 added to each cell: one is zero
    no event in either group says nothing about a ratio
    """
    spec = known(measure)
    if not isinstance(table, pd.DataFrame):
        raise EffectError(
            f"effect_sizes takes a DataFrame, one row per effect, not {type(table).__name__}; "
            "effect_size takes plain numbers."
        )
    options = {name: columns.pop(name) for name in spec.options if name in columns}
    check_options(measure, options)
    given = {name: _column(table, name, where) for name, where in columns.items()}
    ways = [names for names in spec.ways if _available(names, spec, given, table)]
    # What is named must be used: without it another question would be answered.
    if not ways or set(given) - set(spec.ignores) - {name for names in ways for name in names}:
        raise _nothing_fits(measure, spec, given, table)
    for name in {name for names in ways for name in names} - set(given):
        given[name] = _column(table, name, name)
    _refuse_own(table, {name: columns.get(name, name) for names in ways for name in names})

    yi, vi = np.full(len(table), np.nan), np.full(len(table), np.nan)
    note = np.full(len(table), "", dtype=object)
    done = np.zeros(len(table), dtype=bool)
    for names in ways:
        numbers = {name: given[name] for name in names}
        complete = ~done & np.all([~np.isnan(x) for x in numbers.values()], axis=0)
        if not complete.any():
            continue
        part = {name: x[complete] for name, x in numbers.items()}
        _check(measure, part, table.index[complete])
        y, v = raw_effect(measure, **part, **options)
        note[complete] = _notes(spec, names, part, y, v, options)
        usable = np.isfinite(y) & np.isfinite(v) & (v > 0)
        yi[complete], vi[complete] = np.where(usable, y, np.nan), np.where(usable, v, np.nan)
        done |= complete
    for i in np.flatnonzero(~done):
        missing = [name for name in ways[0] if np.isnan(given[name][i])]
        note[i] = f"missing: {' '.join(missing)}"
    result = table.drop(columns=[name for name in ADDED if name in table.columns])
    return result.assign(yi=yi, vi=vi, measure=measure, note=note)


def _column(table: pd.DataFrame, name: str, where: Any) -> Floats:
    """Return the numbers of one argument, one per row."""
    if isinstance(where, str):
        return column(table, where)
    if isinstance(where, pd.Series) and not where.index.equals(table.index):
        raise EffectError(
            f"{name} is a Series whose index is not that of the table; reindex it, or make it a "
            "column."
        )
    values = as_floats(name, where)
    if values.ndim and values.shape != (len(table),):
        raise EffectError(
            f"{name} has {values.size} values for {len(table)} rows; give one for each or one for "
            "all."
        )
    return np.array(np.broadcast_to(values, (len(table),)))


def _available(
    names: tuple[str, ...], spec: Measure, given: dict[str, Floats], table: pd.DataFrame
) -> bool:
    """Tell whether all numbers are there; a column called "t" may hold times, so it is named."""
    return all(
        name in given or (name in table.columns and name in spec.arguments) for name in names
    )


def _nothing_fits(
    measure: str, spec: Measure, given: dict[str, Floats], table: pd.DataFrame
) -> EffectError:
    needs = ", or ".join(" ".join(names) for names in spec.ways)
    # Meant are the numbers of which most are named; the usual ones where none is.
    meant = max(spec.ways, key=lambda names: len(set(names) & set(given)))
    known = {name for names in spec.ways for name in names} | set(spec.ignores)
    unknown = [name for name in given if name not in known]
    missing = [name for name in meant if not _available((name,), spec, given, table)]
    wrong = [f"{' '.join(unknown)} not understood"] if unknown else []
    wrong += [f"no column for {' '.join(missing)}"] if missing else []
    example = missing[0] if missing else meant[0]
    return EffectError(
        f"effect_sizes({measure!r}): {', '.join(wrong)}; {measure} needs {needs}: name the "
        f"columns, as in {example}='…'."
    )


def _refuse_own(table: pd.DataFrame, used: dict[str, Any]) -> None:
    """Raise where a column of the user's would be replaced."""
    present = [name for name in ADDED if name in table.columns]
    own = [name for name in present if name not in used.values()]
    if own and len(present) < len(ADDED):
        raise EffectError(
            f"the table has a column {own[0]!r} already, which the result needs; rename it."
        )


def _check(measure: str, given: dict[str, Floats], labels: pd.Index) -> None:
    found = impossible(measure, given)
    if found is not None:
        name, where, rule = found
        raise EffectError(
            f"effect_sizes({measure!r}), row {labels[where]!r}: {name} is "
            f"{given[name][where]:g}; {rule}."
        )


def _notes(
    spec: Measure,
    names: tuple[str, ...],
    given: dict[str, Floats],
    yi: Floats,
    vi: Floats,
    options: dict[str, Any],
) -> list[str]:
    """Return what is to be said of each row that had all its numbers."""
    notes = [[] if names == spec.arguments else [f"from {' '.join(names)}"] for _ in yi]
    added = spec.added if names == spec.arguments else spec.added_otherwise
    plus = added(*given.values(), **options) if added else np.zeros(len(yi))
    for i, amount in enumerate(plus):
        if np.isnan(amount):
            notes[i].append(_left_out({name: value[i] for name, value in given.items()}))
        elif np.isfinite(yi[i]) and vi[i] == 0:
            notes[i].append("not defined: its variance would be 0, and take all the weight")
        elif not (np.isfinite(yi[i]) and np.isfinite(vi[i])):
            notes[i].append(f"not defined: {spec.undefined}" if spec.undefined else "not defined")
        elif amount > 0:
            why = _why(given, spec) if options.get("to", "only0") != "all" else "to='all'"
            notes[i].append(f"{amount:g} added to each {_what(given)}: {why}")
    if set(given) >= _TWO_GROUPS:
        for texts, doubt in zip(notes, suspicions(given, spec.scale), strict=True):
            texts += [doubt] if doubt else []
    return ["; ".join(texts) for texts in notes]


def _left_out(one: dict[str, float]) -> str:
    """Say why a study without, or with nothing but, events has no ratio."""
    if "b" in one:
        if one["b"] == one["c"] == 0 and one["a"] > 0 and one["d"] > 0:
            return "no pair differs, which says nothing about a conditional ratio"
        where, none = "under either condition", one["a"] == one["b"] == one["c"] == 0
    else:
        where = "under either condition" if "r" in one else "in either group"
        none = all(one[name] == 0 for name in ("a", "c", "x1", "x2") if name in one)
    events = "no event" if none else "nothing but events"
    return f"{events} {where} says nothing about a ratio"


def _why(given: dict[str, Floats], spec: Measure) -> str:
    """Say what zero it was that asked for a correction."""
    if "b" not in given:
        return "one is zero"
    if not spec.other:
        return "pairs differ one way only"
    return "a condition has no event or only events, or no pair differs"


def _what(given: dict[str, Floats]) -> str:
    if "b" in given:
        return "kind of pairs"
    return "cell" if {"a", "x", "r"} & set(given) else "count"
