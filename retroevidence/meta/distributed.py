"""Many analyses on a cluster: a Dask table in, one pooled row per group out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from retroevidence.errors import PoolError
from retroevidence.meta.grouped import check_columns, entering, named_columns, pool_groups
from retroevidence.meta.regression import Design, design_of, parsed_formula

#: The column that remembers where a row stood, so that groups keep the order of their rows.
PLACE = "_retroevidence_place"
#: The column that says whether a row enters.
ENTERS = "_retroevidence_enters"
#: Rows that one partition may hold: places count partitions above it.
PARTITION = 2**40


def pool_partitions(
    effects: Any, keys: list[str], *, method: str, test: str, level: float, mods: Any = None
) -> Any:
    """Pool every group of a Dask table; :func:`retroevidence.meta.many.pool_many` is the way in.

    Parameters
    ----------
    effects : dask.dataframe.DataFrame
        One row per effect with `yi` and `vi`, in any number of partitions; a group's rows may be in
        several. ``dask.dataframe.read_parquet`` makes one from a directory of Parquet files.
    keys : list of str
        The columns that say which group a row belongs to.
    method, test, level : str, str and float
        As in :func:`retroevidence.meta.pool.pool`.
    mods : str or list of str, optional
        A formula, or columns of numbers: the design of all groups.

    Returns
    -------
    dask.dataframe.DataFrame
        The rows of :func:`retroevidence.meta.many.pool_many`, not computed yet; each group's
        numbers are those of a table in memory to the last bit (with `mods` where linear algebra has
        one thread there, as Dask gives its workers: more may add in another order). Groups are in
        the order in which Dask's hash puts them, and the index starts from 0 in each partition, as
        that of Dask's own ``reset_index`` does: go by the columns of the groups.

    Raises
    ------
    PoolError
        If `effects` is no table, lacks a column, or `mods` is an array.

    Notes
    -----
    Only the needed columns travel. Dask's shuffle brings each group into one partition, where one
    thread of the worker fits it. What a lost worker held is computed again by another.

    A design has the levels and centres of the whole table. So the columns of `mods` come here in
    one pass, when the call is made: 8 bytes per number and row, the words of a factor, and 1 byte
    that says whether the row enters, and as much again for the design they make. This must fit
    into memory. What goes to the partitions is the recipe, from which they build their own rows.
    A function that looks at neighbouring rows, such as ``lag``, finds others there.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> table = pd.DataFrame({"id": list("abab"), "yi": [0.1, 0.2, 0.5, 0.8], "vi": 0.1})
    >>> parts = dd.from_pandas(table, npartitions=2)
    >>> found = pool_partitions(parts, ["id"], method="DL", test="z", level=0.95)
    >>> found.compute(scheduler="sync").sort_values("id")["estimate"].round(3).tolist()
    [0.3, 0.5]
    """
    if not hasattr(effects, "map_partitions") or not hasattr(effects, "shuffle"):
        raise PoolError(
            f"effects is a {type(effects).__name__}; give a DataFrame of pandas or of Dask."
        )
    columns = list(effects.columns)
    used = _used(mods, columns)
    check_columns(effects._meta, keys, used)
    needed = effects[list(dict.fromkeys([*keys, "yi", "vi", *used]))]
    design = None if mods is None else _design(needed, keys, mods, used)
    sample = needed._meta
    placed = needed.map_partitions(_placed, meta=sample.assign(**{PLACE: np.int64(0)}))
    whole = placed.shuffle(on=keys)
    options: dict[str, Any] = {"keys": keys, "method": method, "test": test, "level": level}
    options["design"] = design
    return whole.map_partitions(_pooled, meta=_pooled(placed._meta, **options), **options)


def _used(mods: Any, columns: list[str]) -> list[str]:
    """Return the columns that the moderators are made of."""
    if mods is None:
        return []
    if isinstance(mods, str):
        return parsed_formula(mods, columns)[1]
    named = named_columns(mods)
    if not named:
        raise PoolError(
            "mods= of a Dask table must be a formula or a list of its columns, since the rows of "
            "an array cannot be matched to partitions; add the array to the table as columns."
        )
    return named


def _design(needed: Any, keys: list[str], mods: Any, used: list[str]) -> Design:
    """Return the design that the whole table makes, without its rows."""
    sample = needed._meta[used].assign(**{ENTERS: False})
    whole = needed.map_partitions(_told, keys, used, meta=sample).compute()
    whole = whole.reset_index(drop=True)
    flags = whole.pop(ENTERS).to_numpy(bool)
    design = design_of(mods if isinstance(mods, str) else whole[used], whole, flags)
    return replace(design, matrix=design.matrix[:0])


def _told(part: pd.DataFrame, keys: list[str], used: list[str]) -> pd.DataFrame:
    """Return the moderators of a partition, and which rows enter."""
    return part[used].assign(**{ENTERS: entering(part, keys)})


def _rows(design: Design, part: pd.DataFrame, keys: list[str]) -> Design:
    """Return the design with the rows of a partition.

    A row that does not enter stays empty: its levels need not be known.
    """
    flags = entering(part, keys)
    matrix = np.full((len(part), len(design.names)), np.nan)
    matrix[flags] = design.rows(part.loc[flags].reset_index(drop=True))[0]
    return replace(design, matrix=matrix)


def _placed(part: pd.DataFrame, partition_info: Any = None) -> pd.DataFrame:
    """Return a partition whose rows have numbers above those of all earlier ones."""
    number = 0 if partition_info is None else int(partition_info["number"])
    return part.assign(**{PLACE: number * PARTITION + np.arange(len(part), dtype=np.int64)})


def _pooled(
    part: pd.DataFrame,
    *,
    keys: list[str],
    method: str,
    test: str,
    level: float,
    design: Design | None,
) -> pd.DataFrame:
    """Pool the groups of a partition that holds them whole, each in its first order."""
    part = part.sort_values(PLACE, kind="stable")
    mods = None if design is None else _rows(design, part, keys)
    return pool_groups(part, keys, method=method, test=test, level=level, mods=mods)
