"""Many analyses in one call: ragged groups of effects, one pooled result per group."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd

from retroevidence.errors import PoolError
from retroevidence.meta.grouped import pool_groups


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
    mods : str, list of str or array_like, optional
        One design for all groups: a formula over `effects`, a list of its columns, or an array
        with one column per moderator, as in :func:`retroevidence.meta.pool.pool`. Levels of
        factors and centres of variables are those of all rows that enter. For a Dask table a
        formula or a list: its columns are read when the call is made, and must fit into memory.

    Returns
    -------
    pandas.DataFrame, or a Dask one
        One row per group, in order of first appearance (a Dask one: in the order of Dask's hash,
        with an index that starts from 0 in each partition): the columns of `by`, k, estimate, se,
        df, p_value, ci_low, ci_high, pi_low, pi_high (prediction), tau2, i2, h2, q, q_p_value,
        left_out (rows without an effect, variance or moderator) and reason (why a group could not
        be pooled; empty for the others). One group's fault stops no other. With `mods`, estimate
        to ci_high come once per coefficient, as ``estimate_<term>``, with qm, qm_df and
        qm_p_value, and without a prediction.

    Raises
    ------
    PoolError
        If a column is missing, there twice or no number, a column of `by` has the name of one of
        the result, or numba cannot be used.
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
    keys: list[Any] = [by] if isinstance(by, Hashable) and not isinstance(by, tuple) else list(by)
    if not all(isinstance(key, Hashable) for key in keys):
        raise PoolError("by= takes names of columns, not the columns; give one, or a list of them.")
    if isinstance(effects, pd.DataFrame):
        return pool_groups(effects, keys, method=method, test=test, level=level, mods=mods)
    from retroevidence.meta.distributed import pool_partitions

    return pool_partitions(effects, keys, method=method, test=test, level=level, mods=mods)
