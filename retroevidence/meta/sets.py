"""Many sets of the same effects, each pooled: by array steps, or by the kernel where it pays."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.meta.batch import checked_sets, pool_batch
from retroevidence.meta.kernel import NUMBERS, fit_groups, fit_sets
from retroevidence.meta.kernel_range import check_range

Floats = NDArray[np.float64]

#: From this many sets on the kernel is asked. Loading it takes as long as some 40,000 sets by
#: arrays, but once in a process, and arrays do fewer sets than this in a sixth of a second.
WORTH = 2**14


def pool_sets(
    yi: Floats, vi: Floats, *, method: str = "REML", test: str = "knha", level: float = 0.95
) -> pd.DataFrame:
    """Pool every row of a matrix of effects.

    Parameters
    ----------
    yi, vi, method, test, level
        As in :func:`retroevidence.meta.batch.pool_batch`.

    Returns
    -------
    pandas.DataFrame
        As there: one row per set.

    Raises
    ------
    PoolError
        If a set is empty, a variance is not above 0, or a number is too large or small to compute
        with, as in :func:`retroevidence.meta.pool.pool`.
    UnknownNameError
        If `method` or `test` is unknown.

    Examples
    --------
    >>> out = pool_sets(np.array([0.1, 0.3, 0.8]), np.array([[.02, .03, .05], [.02, .03, np.inf]]))
    >>> out["k"].tolist(), out["estimate"].round(4).tolist()
    ([3, 2], [0.3704, 0.18])
    """
    y, v, inside = checked_sets(yi, vi)
    if len(y) < WORTH:
        return pool_batch(y, v, method=method, test=test, level=level)
    k = inside.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(k)])
    found = fit_groups(y[inside], v[inside], offsets, method=method, test=test, level=level)
    return _table(found, k)


def pool_signed(
    yi: Floats,
    vi: Floats,
    signs: NDArray[np.int8] | NDArray[np.bool_],
    *,
    method: str = "REML",
    test: str = "knha",
    level: float = 0.95,
) -> pd.DataFrame:
    """Pool subsets of the same effects, or the effects with other signs.

    Parameters
    ----------
    yi, vi : numpy.ndarray, shape (k,)
        Effects and sampling variances.
    signs : numpy.ndarray of int8 or bool, shape (sets, k)
        0 leaves a study out, -1 turns its sign.
    method, test, level : str, str and float
        As in :func:`retroevidence.meta.pool.pool`.

    Returns
    -------
    pandas.DataFrame
        As in `pool_sets`.

    Raises
    ------
    PoolError
        If a set is empty, or a number is too large or small to compute with.
    UnknownNameError
        If `method` or `test` is unknown.

    Examples
    --------
    >>> y, v = np.array([0.1, 0.5, 2.0]), np.array([0.1, 0.1, 0.4])
    >>> signs = np.array([[1, 1, 0], [1, -1, 0]], np.int8)
    >>> pool_signed(y, v, signs)["estimate"].round(12).tolist()
    [0.3, -0.2]
    """
    if len(signs) < WORTH:
        v = np.where(signs == 0, np.inf, vi)
        return pool_batch(signs * yi, v, method=method, test=test, level=level)
    check_range(yi, vi)
    found = fit_sets(yi, vi, signs.view(np.int8), method=method, test=test, level=level)
    return _table(found, np.count_nonzero(signs, axis=1))


def _table(found: Floats, k: NDArray[np.intp]) -> pd.DataFrame:
    fits = pd.DataFrame(found, columns=list(NUMBERS), copy=False)
    fits.insert(0, "k", k)
    return fits.drop(columns=["pi_low", "pi_high"])
