"""Many analyses on a cluster: a Dask table in, one pooled row per group out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from retroevidence.errors import PoolError

#: The column that remembers where a row stood, so that groups keep the order of their rows.
PLACE = "_retroevidence_place"
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
    mods : None
        Regressions are for tables in memory.

    Returns
    -------
    dask.dataframe.DataFrame
        The rows of :func:`retroevidence.meta.many.pool_many`, not computed yet; each group's
        numbers are those of a table in memory to the last bit. Groups are in the order in which
        Dask's hash puts them.

    Raises
    ------
    PoolError
        If `effects` is no table, lacks a column, or moderators are given.

    Notes
    -----
    Only the needed columns travel. Dask's shuffle brings each group into one partition, where one
    thread of the worker fits it. What a lost worker held is computed again by another.

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
    if mods is not None:
        raise PoolError(
            "mods= needs a table in memory, since levels and centres are those of the whole "
            "table; compute it first, or leave mods= out."
        )
    columns = list(effects.columns)
    absent = [name for name in (*keys, "yi", "vi") if name not in columns]
    if absent:
        raise PoolError(f"effects has no column {', '.join(absent)}; check by= and the names.")
    needed = effects[[*keys, "yi", "vi"]]
    sample = needed._meta
    placed = needed.map_partitions(_placed, meta=sample.assign(**{PLACE: np.int64(0)}))
    whole = placed.shuffle(on=keys)
    options: dict[str, Any] = {"keys": keys, "method": method, "test": test, "level": level}
    return whole.map_partitions(_pooled, meta=_pooled(placed._meta, **options), **options)


def _placed(part: pd.DataFrame, partition_info: Any = None) -> pd.DataFrame:
    """Return a partition whose rows have numbers above those of all earlier ones."""
    number = 0 if partition_info is None else int(partition_info["number"])
    return part.assign(**{PLACE: number * PARTITION + np.arange(len(part), dtype=np.int64)})


def _pooled(
    part: pd.DataFrame, *, keys: list[str], method: str, test: str, level: float
) -> pd.DataFrame:
    """Pool the groups of a partition that holds them whole, each in its first order."""
    from retroevidence.meta.many import pool_many

    part = part.sort_values(PLACE, kind="stable")
    found: pd.DataFrame = pool_many(part, by=keys, method=method, test=test, level=level)
    return found
