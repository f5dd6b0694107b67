"""Groups of a table in memory: which rows each has, and one pooled result per group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import PoolError
from retroevidence.meta.kernel import NUMBERS, compiled_rows, fit_groups
from retroevidence.meta.kernel_range import BEYOND
from retroevidence.meta.moderators import as_floats, once
from retroevidence.meta.regression import INTERCEPT, Design, design_of

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]

#: Why a group is not pooled, by the codes of :mod:`retroevidence.meta.kernel_rows`. An infinite
#: variance is no information, and so left out; one of 0 or below is a mistake.
REASONS = ("", "no effect with a variance", BEYOND, "vi must be above 0", "yi is infinite")


def pool_groups(
    effects: pd.DataFrame, keys: list[str], *, method: str, test: str, level: float, mods: Any
) -> pd.DataFrame:
    """Pool every group of a table in memory.

    Parameters
    ----------
    effects : pandas.DataFrame
        One row per effect with `yi` and `vi`.
    keys : list of str
        The columns that say which group a row belongs to.
    method, test, level, mods
        As in :func:`retroevidence.meta.many.pool_many`; `mods` may be a
        :class:`retroevidence.meta.regression.Design` of these rows.

    Returns
    -------
    pandas.DataFrame
        As there.

    Raises
    ------
    PoolError
        If a column is missing or is no number, or numba cannot be used.
    UnknownNameError
        If `method` or `test` is unknown.

    Examples
    --------
    >>> table = pd.DataFrame({"id": ["a", "a"], "yi": [0.1, 0.3], "vi": [0.1, 0.1]})
    >>> found = pool_groups(table, ["id"], method="CE", test="z", level=0.95, mods=None)
    >>> found["estimate"].round(12).tolist()
    [0.2]
    """
    named = named_columns(mods)
    check_columns(effects, keys, named)
    yi, vi = _number(effects, "yi"), _number(effects, "vi")
    code = compiled_rows()
    codes, runs, first = _groups(effects, keys)
    design = None
    if mods is not None:
        if isinstance(mods, Design):
            design = mods
        else:
            design = design_of(effects[named] if named else mods, effects, entering(effects, keys))
        # An infinite moderator, such as the logarithm of 0, is none. A mistake in a row without one
        # stays: it is a fault of its group all the same.
        out = ~np.isfinite(design.matrix).all(axis=1) & np.isfinite(yi) & (vi > 0)
        yi = np.where(out, np.nan, yi)
        design = None if design.names == (INTERCEPT,) else design
    sizes, left_out, faults = code.survey(yi, vi, codes, runs, len(first))
    offsets = np.concatenate([[0], np.cumsum(np.where(faults == code.FINE, sizes, 0))])
    order = code.rows_of_groups(yi, vi, codes, runs, faults, offsets)
    # Declared strings, so that a Dask table of them can be written to Parquet.
    reason = pd.Series(pd.array(REASONS, dtype="string").take(faults))
    table = effects[keys].iloc[first].reset_index(drop=True)
    if design is None:
        found = fit_groups(yi, vi, offsets, order=order, method=method, test=test, level=level)
        numbers = pd.DataFrame(found, columns=list(NUMBERS), copy=False)
    else:
        from retroevidence.meta.many_regressions import regress_groups

        rows = order if len(order) else np.arange(int(offsets[-1]))
        numbers, why_not = regress_groups(
            yi[rows], vi[rows], design.matrix[rows], design.names, offsets, method, test, level
        )
        reason = reason.mask(faults == code.FINE, pd.Series(why_not, dtype="string"))
    taken = [str(name) for name in keys if name in (*numbers, "k", "left_out", "reason")]
    if taken:
        raise PoolError(f"by=: the result has its own column {', '.join(taken)}; rename yours.")
    table["k"] = sizes
    return pd.concat([table, numbers], axis=1).assign(left_out=left_out, reason=reason)


def check_columns(effects: pd.DataFrame, keys: list[str], named: list[str]) -> None:
    """Raise if a column that is needed is not there exactly once.

    Parameters
    ----------
    effects : pandas.DataFrame
        The table, or one without rows that has its columns.
    keys, named : list of str
        The columns of the groups, and those of the moderators.

    Raises
    ------
    PoolError
        If there is no key, or a column is missing or there several times.

    Examples
    --------
    >>> check_columns(pd.DataFrame({"id": [1], "yi": 0.1}), ["id"], [])
    Traceback (most recent call last):
        ...
    retroevidence.errors.PoolError: effects has no column vi; check by= and the names.
    """
    if not keys or len(set(keys)) < len(keys):
        raise PoolError("by= needs one column or several different ones; check the names.")
    needed = (*keys, "yi", "vi", *named)
    absent = [str(name) for name in needed if name not in effects.columns]
    if absent:
        raise PoolError(f"effects has no column {', '.join(absent)}; check by= and the names.")
    once(effects, [str(name) for name in needed], "effects")


def named_columns(mods: Any) -> list[str]:
    """Return the columns that `mods` names; none if it is no list of names.

    Parameters
    ----------
    mods : object
        As in `pool_many`.

    Returns
    -------
    list of str
        Names of columns.

    Examples
    --------
    >>> named_columns(["dose", "year"]), named_columns("~ dose"), named_columns([[1.0], [2.0]])
    (['dose', 'year'], [], [])
    """
    if not isinstance(mods, (list, tuple)) or not all(isinstance(name, str) for name in mods):
        return []
    return list(mods)


def entering(effects: pd.DataFrame, keys: list[str]) -> NDArray[np.bool_]:
    """Return which rows have an effect, a finite variance and a group.

    Parameters
    ----------
    effects : pandas.DataFrame
        With `yi`, `vi` and the columns of the groups.
    keys : list of str
        These columns.

    Returns
    -------
    numpy.ndarray of bool, shape (rows,)
        True for a row that enters, if it has the moderators.

    Raises
    ------
    PoolError
        If `yi` or `vi` is no number.

    Examples
    --------
    >>> entering(pd.DataFrame({"id": ["a", None], "yi": [0.1, 0.2], "vi": [0.1, 0.1]}), ["id"])
    array([ True, False])
    """
    grouped = effects[keys].notna().all(axis=1).to_numpy()
    yi, vi = _number(effects, "yi"), _number(effects, "vi")
    return np.asarray(~np.isnan(yi) & np.isfinite(vi) & grouped)


def _number(effects: pd.DataFrame, name: str) -> Floats:
    try:
        return as_floats(effects[name])
    except (TypeError, ValueError) as err:
        raise PoolError(f"{name} must be numbers ({err}); convert it first.") from err


def _groups(effects: pd.DataFrame, keys: list[str]) -> tuple[Wholes, Wholes, Wholes]:
    """Give each run of rows the number of its group, in order of first appearance.

    Returns the groups of the runs, -1 for none; where each run begins, and the end; and the first
    row of each group.
    """
    runs = _runs(effects, keys)
    if len(keys) == 1:
        values: Any = effects[keys[0]]
        if len(runs) <= len(effects):
            values = values.to_numpy()[runs[:-1]]
        codes = pd.factorize(values)[0].astype(np.int64)
    else:
        heads = effects[keys] if len(runs) > len(effects) else effects[keys].iloc[runs[:-1]]
        numbers = heads.groupby(keys, sort=False, dropna=True).ngroup()
        codes = numbers.fillna(-1).to_numpy().astype(np.int64)
    first = np.zeros(int(codes.max(initial=-1)) + 1, dtype=np.int64)
    known = np.flatnonzero(codes >= 0)[::-1]
    # Written from the last run to the first, so that the first one stays.
    first[codes[known]] = runs[known]
    return codes, runs, first


def _runs(effects: pd.DataFrame, keys: list[str]) -> Wholes:
    """Return where runs of equal keys begin, and the end; each row is a run for keys of words."""
    begins = np.zeros(len(effects) + 1, dtype=bool)
    begins[0] = begins[-1] = True
    for name in keys:
        column = effects[name]
        if column.dtype.kind not in "iu" or not isinstance(column.dtype, np.dtype):
            return np.arange(len(effects) + 1, dtype=np.int64)
        values = column.to_numpy()
        begins[1:-1] |= values[1:] != values[:-1]
    return np.flatnonzero(begins)
