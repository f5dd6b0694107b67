"""Many analyses in one call: ragged groups of effects, one pooled result per group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import PoolError
from retroevidence.meta.kernel import NUMBERS, fit_groups, rows_of_groups
from retroevidence.meta.regression import INTERCEPT, design_of

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]
Bools = NDArray[np.bool_]


def pool_many(
    effects: Any,
    by: str | Sequence[str] = "id",
    *,
    method: str = "REML",
    test: str = "knha",
    level: float = 0.95,
    mods: Any = None,
) -> Any:
    """Pool every group of a table of effects, each as :func:`retroevidence.meta.pool.pool` would.

    Parameters
    ----------
    effects : pandas.DataFrame or dask.dataframe.DataFrame
        One row per effect with `yi` and `vi`. A Dask table, such as partitioned Parquet files,
        gives a Dask table: groups are brought together, wherever their rows are.
    by : str or list of str
        The columns that say which group a row belongs to; a row without a group enters none.
    method, test, level : str, str and float
        As in :func:`retroevidence.meta.pool.pool`.
    mods : str or array_like, optional
        One design for all groups, as in :func:`retroevidence.meta.pool.pool`: a formula over
        `effects`, or one column per moderator. Levels of factors and centres of variables are
        those of the whole table.

    Returns
    -------
    pandas.DataFrame, or a Dask one
        One row per group, in order of first appearance: the columns of `by`, k, estimate, se, df,
        p_value, ci_low, ci_high, pi_low, pi_high (prediction), tau2, i2, h2, q, q_p_value,
        left_out (rows without an effect, variance or moderator) and reason (why a group could not
        be pooled; empty for the others). One group's fault stops no other. With `mods`, estimate
        to ci_high come once per coefficient, as ``estimate_<term>``, with qm, qm_df and
        qm_p_value, and without a prediction.

    Raises
    ------
    PoolError
        If a column is missing or is no number, or numba cannot be used.
    UnknownNameError
        If `method` or `test` is unknown.

    Notes
    -----
    Means are fitted by a compiled kernel, regressions by stacked linear algebra. Beside the table
    and the result the memory needed is some 20 bytes per effect, and less where the rows of each
    group stand together.

    Examples
    --------
    >>> table = pd.DataFrame({"id": list("aaab"), "yi": [.1, .3, .8, 2], "vi": [.02, .03, .05, 0]})
    >>> pool_many(table)[["id", "k", "estimate", "reason"]].round(3)
      id  k  estimate             reason
    0  a  3      0.37
    1  b  1       NaN  vi must be above 0
    """
    keys = [by] if isinstance(by, str) else list(by)
    if not isinstance(effects, pd.DataFrame):
        from retroevidence.meta.distributed import pool_partitions

        return pool_partitions(effects, keys, method=method, test=test, level=level, mods=mods)
    absent = [name for name in (*keys, "yi", "vi") if name not in effects.columns]
    if absent:
        raise PoolError(f"effects has no column {', '.join(absent)}; check by= and the names.")
    yi, vi = _number(effects, "yi"), _number(effects, "vi")
    codes, first = _groups(effects, keys)
    missing = np.isnan(yi) | ~np.isfinite(vi)
    design = None
    if mods is not None:
        design = design_of(mods, effects, ~missing & (codes >= 0))
        missing |= np.isnan(design.matrix).any(axis=1)
        design = None if design.names == (INTERCEPT,) else design
    usable = (codes >= 0) & ~missing
    count = len(first)
    sizes = np.bincount(codes[usable] if not usable.all() else codes, minlength=count)
    reason = np.full(count, "", dtype=object)
    reason[sizes == 0] = "no effect with a variance"
    # An infinite variance is no information, and so left out; one of 0 or below is a mistake.
    for broken, why in ((np.isinf(yi), "yi is infinite"), (vi <= 0, "vi must be above 0")):
        broken &= usable
        if broken.any():
            reason[np.unique(codes[broken])] = why
    if not usable.all():
        left_out = np.bincount(codes[(codes >= 0) & missing], minlength=count)
    else:
        left_out = np.zeros(count, dtype=np.int64)
    fitted = reason == ""
    offsets = np.concatenate([[0], np.cumsum(np.where(fitted, sizes, 0))])
    order = _order(codes, usable, fitted, offsets)
    table = effects[keys].iloc[first].reset_index(drop=True)
    table["k"] = sizes
    if design is None:
        found = fit_groups(yi, vi, offsets, order=order, method=method, test=test, level=level)
        numbers = pd.DataFrame(found, columns=list(NUMBERS), copy=False)
    else:
        from retroevidence.meta.many_regressions import regress_groups

        rows = np.arange(len(yi)) if order is None else order
        numbers, why_not = regress_groups(
            yi[rows], vi[rows], design.matrix[rows], design.names, offsets, method, test, level
        )
        reason = np.where(fitted, why_not, reason)
    return pd.concat([table, numbers], axis=1).assign(left_out=left_out, reason=reason)


def _number(effects: pd.DataFrame, name: str) -> Floats:
    try:
        return effects[name].to_numpy(float, na_value=np.nan)
    except (TypeError, ValueError) as err:
        raise PoolError(f"{name} must be numbers ({err}); convert it first.") from err


def _groups(effects: pd.DataFrame, keys: list[str]) -> tuple[Wholes, Wholes]:
    """Give each group a number in order of first appearance, and its first row; -1 is no group."""
    runs = _runs(effects, keys)
    heads = effects[keys] if runs is None else effects[keys].iloc[runs]
    if len(keys) == 1:
        codes = pd.factorize(heads[keys[0]])[0].astype(np.int64)
    else:
        numbers = heads.groupby(keys, sort=False, dropna=True).ngroup()
        codes = numbers.fillna(-1).to_numpy().astype(np.int64)
    first = np.full(int(codes.max(initial=-1)) + 1, len(codes), dtype=np.int64)
    known = np.flatnonzero(codes >= 0)
    # Written from the last row to the first, so that the first one stays.
    first[codes[known][::-1]] = known[::-1]
    if runs is None:
        return codes, first
    return np.repeat(codes, np.diff(np.append(runs, len(effects)))), runs[first]


def _runs(effects: pd.DataFrame, keys: list[str]) -> Wholes | None:
    """Return where a run of equal keys begins, if the keys are numbers and runs are long."""
    begins = np.zeros(len(effects), dtype=bool)
    begins[:1] = True
    for name in keys:
        column = effects[name]
        if column.dtype.kind not in "iu" or not isinstance(column.dtype, np.dtype):
            return None
        values = column.to_numpy()
        begins[1:] |= values[1:] != values[:-1]
    runs = np.flatnonzero(begins)
    return runs if 2 * len(runs) < len(effects) else None


def _order(codes: Wholes, usable: Bools, fitted: Bools, offsets: Wholes) -> Wholes | None:
    """Return the rows group after group, or None if that is how they stand."""
    if usable.all() and fitted.all() and (codes[1:] >= codes[:-1]).all():
        return None
    return rows_of_groups(codes, usable & fitted[codes], offsets)
