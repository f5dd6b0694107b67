"""Counts of events per arm, as they enter Mantel-Haenszel, Peto and the models on counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import PoolError
from retroevidence.meta.wording import listed, study_names

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Columns of events and people (or time) per arm; the first two belong to group 1.
TABLES = ("a", "n1", "c", "n2")
RATES = ("x1", "t1", "x2", "t2")
SINGLE = ("x", "n")


@dataclass(frozen=True)
class Counts:
    """Events and exposure of every study that has them, and the rows they came from.

    `x1` events among `n1` people (or in `n1` units of time) in group 1, `x2` of `n2` in group 2;
    for one group the second pair is empty.

    Examples
    --------
    >>> counts, notes = read_counts(None, TABLES, {"a": [1, 0], "n1": 9, "c": [2, 3], "n2": 8})
    >>> counts.x1.tolist(), counts.n2.tolist(), notes
    ([1.0, 0.0], [8.0, 8.0], [])
    """

    x1: Floats
    n1: Floats
    x2: Floats
    n2: Floats
    frame: pd.DataFrame

    def keep(self, rows: Bools) -> Counts:
        """Return the studies where `rows` is true."""
        x1, n1, x2, n2 = (
            part[rows] if len(part) else part for part in (self.x1, self.n1, self.x2, self.n2)
        )
        return Counts(x1, n1, x2, n2, self.frame.loc[rows])

    @property
    def names(self) -> NDArray[np.object_]:
        """What a reader calls each study."""
        return np.array(study_names(self.frame), dtype=object)

    @property
    def no_event(self) -> Bools:
        """Whether nobody had the event, in either group."""
        return np.asarray((self.x1 == 0) & (self.x2 == 0))

    @property
    def all_event(self) -> Bools:
        """Whether everybody had the event, in both groups."""
        return np.asarray((self.x1 == self.n1) & (self.x2 == self.n2))


def read_counts(
    table: Any, columns: tuple[str, ...], given: Mapping[str, Any]
) -> tuple[Counts, list[str]]:
    """Bring a frame, or one argument per column, to counts.

    Parameters
    ----------
    table : pandas.DataFrame or dict or None
        One row per study with the columns `columns`.
    columns : tuple of str
        `TABLES`, `RATES` or `SINGLE`.
    given : dict
        The same columns as arguments, None where not given: arrays or single numbers, or, with a
        `table`, the name of the column that holds them.

    Returns
    -------
    Counts
        The complete rows.
    list of str
        What was left out, in words.

    Raises
    ------
    PoolError
        If a column is missing, a count is not a whole number from 0 to its group's size, or no
        row is complete.

    Examples
    --------
    >>> read_counts({"x": [1, 2], "n": [9, None]}, SINGLE, {})[1]
    ['Left out, a count is missing: 1.']
    """
    frame = _frame(table, columns, given)
    values = {name: _numbers(frame, name) for name in columns}
    first, size = columns[0], columns[1]
    complete = ~np.isnan(np.array(list(values.values()))).any(axis=0)
    names = np.array(study_names(frame), dtype=object)
    notes = []
    if not complete.all():
        notes.append(f"Left out, a count is missing: {listed(names[~complete])}.")
    if not complete.any():
        raise PoolError(
            f"no study has all of {', '.join(columns)}; check the filter or fill them in."
        )
    pairs = [(first, size)] if len(columns) == 2 else [(first, size), (columns[2], columns[3])]
    for events, people in pairs:
        x, n = values[events], values[people]
        wrong = (x < 0) | (x != np.floor(x)) | ~np.isfinite(x) | (n <= 0) | ~np.isfinite(n)
        rule = f"{events} must be a whole number of events and {people} above 0"
        if columns != RATES:
            wrong |= (x > n) | (n != np.floor(n))
            rule = f"{events} and {people} must be whole numbers with 0 <= {events} <= {people} > 0"
        wrong &= complete
        if wrong.any():
            raise PoolError(f"{listed(names[wrong])}: {rule}; correct the counts.")
    arrays = [values[name][complete] for name in columns]
    if len(columns) == 2:
        arrays += [np.empty(0), np.empty(0)]
    x1, n1, x2, n2 = arrays
    return Counts(x1, n1, x2, n2, frame.loc[complete]), notes


def informative(counts: Counts, measure: str) -> tuple[Counts, list[str]]:
    """Leave out the studies that say nothing on a ratio.

    Parameters
    ----------
    counts : Counts
        Events and people, or time.
    measure : str
        OR, RR, RD, IRR or IRD; a difference leaves nothing out.

    Returns
    -------
    Counts
        What is left.
    list of str
        What was left out, in words.

    Raises
    ------
    PoolError
        If nothing is left.

    Examples
    --------
    >>> given = {"a": [0, 1], "n1": [9, 9], "c": [0, 3], "n2": [9, 9]}
    >>> left, notes = informative(read_counts(given, TABLES, {})[0], "OR")
    >>> left.x1.tolist(), notes[0][:40]
    ([1.0], 'Left out, no event in either group: 0; s')
    """
    if measure in ("RD", "IRD"):
        return counts, []
    empty = counts.no_event
    # Risks of 1 in both groups have a ratio, of 1; their odds do not.
    full = counts.all_event if measure == "OR" else np.zeros_like(empty)
    notes = []
    if empty.any():
        notes.append(
            f"Left out, no event in either group: {listed(counts.names[empty])}; "
            "such a study says nothing on a ratio."
        )
    if full.any():
        notes.append(f"Left out, nothing but events: {listed(counts.names[full])}.")
    if (empty | full).all():
        lacking = "people with and without an event" if measure == "OR" else "an event"
        instead = 'measure="IRD"' if measure == "IRR" else 'measure="RD", or proportion for a bound'
        raise PoolError(
            f"no study says anything on a ratio: none of the {len(empty)} has {lacking}; "
            f"use pool_counts with {instead}."
        )
    return counts.keep(~(empty | full)), notes


def own_effects(counts: Counts, measure: str) -> tuple[Floats, Floats]:
    """Return each study's own effect and variance, one half added per cell where a cell is 0.

    Parameters
    ----------
    counts : Counts
        Events and people, or time.
    measure : str
        OR, RR, RD, IRR or IRD.

    Returns
    -------
    tuple of numpy.ndarray
        Effects (log for ratios) and variances; NaN where a ratio has no event, or only events, in
        both groups.

    Examples
    --------
    >>> counts, _ = read_counts({"a": [0], "n1": [9], "c": [2], "n2": [8]}, TABLES, {})
    >>> [values.round(3).tolist() for values in own_effects(counts, "RR")]
    [[-1.715], [2.189]]
    """
    a, c, rates = counts.x1, counts.x2, measure in ("IRR", "IRD")
    zero = (a == 0) | (c == 0)
    silent = counts.no_event
    if not rates:
        zero |= (a == counts.n1) | (c == counts.n2)
        silent = silent | counts.all_event
    half = np.where(zero, 0.5, 0.0)
    if measure in ("OR", "RR", "IRR"):
        half = np.where(silent, np.nan, half)
    a, c = a + half, c + half
    n1, n2 = (counts.n1, counts.n2) if rates else (counts.n1 + 2 * half, counts.n2 + 2 * half)
    b, d = n1 - a, n2 - c
    if measure == "OR":
        return np.log(a * d / (b * c)), 1 / a + 1 / b + 1 / c + 1 / d
    if measure == "RR":
        return np.log(a / n1) - np.log(c / n2), 1 / a - 1 / n1 + 1 / c - 1 / n2
    if measure == "RD":
        return a / n1 - c / n2, a * b / n1**3 + c * d / n2**3
    if measure == "IRR":
        return np.log(a / n1) - np.log(c / n2), 1 / a + 1 / c
    return a / n1 - c / n2, a / n1**2 + c / n2**2


def _frame(table: Any, columns: tuple[str, ...], given: Mapping[str, Any]) -> pd.DataFrame:
    arguments = {name: given[name] for name in columns if given.get(name) is not None}
    surplus = [name for name, value in given.items() if value is not None and name not in columns]
    if surplus:
        raise PoolError(f"{', '.join(surplus)} is not used here; give {', '.join(columns)}.")
    if table is None:
        absent = [name for name in columns if name not in arguments]
        if absent:
            raise PoolError(
                f"{', '.join(absent)} is missing; give a table with the columns "
                f"{', '.join(columns)}, or all of them as arguments."
            )
        arrays = {name: np.atleast_1d(np.asarray(value)) for name, value in arguments.items()}
        try:
            shaped = np.broadcast_arrays(*arrays.values())
        except ValueError:
            shaped = ()
        if not shaped or shaped[0].ndim > 1:
            sizes = ", ".join(f"{name} {_size(value)}" for name, value in arrays.items())
            raise PoolError(f"the counts differ in length ({sizes}); give one per study.")
        index = next(
            (
                value.index
                for value in arguments.values()
                if isinstance(value, pd.Series) and len(value) == len(shaped[0])
            ),
            None,
        )
        return pd.DataFrame(dict(zip(arrays, shaped, strict=True)), index=index)
    if not isinstance(table, (pd.DataFrame, Mapping)):
        raise PoolError(
            f"the table is a {type(table).__name__}; give a DataFrame with the columns "
            f"{', '.join(columns)}."
        )
    try:
        frame = pd.DataFrame(table)
    except ValueError as err:
        raise PoolError(f"the table cannot be read ({err}); give one list per column.") from err
    # All of them from the table as it came: the columns of the two groups may be swapped.
    frame = frame.assign(**{name: _argument(frame, name, arguments[name]) for name in arguments})
    twice = [name for name in columns if list(frame.columns).count(name) > 1]
    if twice:
        raise PoolError(f"the table has {twice[0]} more than once; drop or rename one of them.")
    absent = [name for name in columns if name not in frame.columns]
    if absent:
        raise PoolError(
            f"the table has no column {', '.join(absent)}; rename yours, or say which one it is, "
            f'such as {absent[0]}="events".'
        )
    return frame


def _argument(frame: pd.DataFrame, name: str, value: Any) -> Any:
    """Return the values of a column that is given beside a table: by name, or as they are."""
    if isinstance(value, str):
        if list(frame.columns).count(value) != 1:
            raise PoolError(f"{name}={value!r} is not a column of the table; name one of its own.")
        return frame[value]
    if isinstance(value, pd.Series) and not value.index.equals(frame.index):
        raise PoolError(
            f"{name} and the table have different indexes; make them one, or give "
            f"{name}.to_numpy() if the order is the same."
        )
    if np.ndim(value) > 1 or (np.ndim(value) == 1 and len(value) != len(frame)):
        raise PoolError(
            f"{name} has {_size(np.asarray(value))} values for {len(frame)} studies; give one each."
        )
    return value


def _size(values: NDArray[Any]) -> str:
    return " x ".join(map(str, values.shape))


def _numbers(frame: pd.DataFrame, name: str) -> Floats:
    values = frame[name]
    try:
        if values.dtype.kind == "c":
            raise TypeError("complex")
        return np.asarray(values.astype(float), dtype=float)
    except (TypeError, ValueError, OverflowError) as err:
        raise PoolError(f"{name} must hold numbers ({err}); convert it first.") from err
