"""The door to the compiled kernel: many pooled means on all processors.

numba and the compiled code are loaded when the first fit is asked for, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from retroevidence.errors import PoolError
from retroevidence.meta.inputs import check_choices
from retroevidence.meta.interval import TESTS, critical_value
from retroevidence.meta.tau2 import METHODS

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]

#: What is found for each group, in the order of the kernel's columns.
NUMBERS = (
    *("estimate", "se", "df", "p_value", "ci_low", "ci_high", "pi_low", "pi_high"),
    *("tau2", "i2", "h2", "q", "q_p_value"),
)
#: Effects that one thread takes at a time.
PIECE = 2**15


def fit_groups(
    yi: Floats,
    vi: Floats,
    offsets: Wholes,
    *,
    order: Wholes | None = None,
    method: str = "REML",
    test: str = "knha",
    level: float = 0.95,
    threads: int | None = None,
) -> Floats:
    """Pool every group of effects that lie group after group.

    Parameters
    ----------
    yi, vi : numpy.ndarray, shape (n,)
        Finite effects and positive, finite sampling variances.
    offsets : numpy.ndarray of int, shape (groups + 1,)
        Where each group begins, and where the last one ends; a group may be empty.
    order : numpy.ndarray of int, optional
        Positions of the effects, group after group, where they do not lie so; empty where they do.
    method, test, level : str, str and float
        As in :func:`retroevidence.meta.pool.pool`.
    threads : int, optional
        By default as many as there are processors. It changes no bit of the result.

    Returns
    -------
    numpy.ndarray, shape (groups, 13)
        One column per name in ``NUMBERS``; NaN where not defined, and in all columns for numbers
        that :func:`retroevidence.meta.pool.pool` refuses because of their size.

    Raises
    ------
    PoolError
        If numba cannot be used.
    UnknownNameError
        If `method` or `test` is unknown.

    Examples
    --------
    >>> y, v = np.array([0.1, 0.5, 2.0]), np.array([0.1, 0.1, 0.4])
    >>> fit_groups(y, v, np.array([0, 2, 3]), method="DL")[:, 0].round(12).tolist()
    [0.3, 2.0]
    """
    chosen = chosen_numbers(method, test, level)
    code = _code()
    offsets = np.ascontiguousarray(offsets, dtype=np.int64)
    sizes = np.diff(offsets)
    found = np.bincount(sizes) > 0
    by_size = np.full(len(found), np.nan)
    by_size[found] = _reaches(np.flatnonzero(found), level)
    reach = by_size[sizes]
    out = np.empty((len(offsets) - 1, len(NUMBERS)))
    yi, vi = (np.ascontiguousarray(values, dtype=np.float64) for values in (yi, vi))
    places = np.empty(0, np.int64) if order is None else np.asarray(order, dtype=np.int64)
    cuts = np.searchsorted(offsets, np.arange(PIECE, int(offsets[-1]), PIECE))
    edges = np.unique(np.concatenate([[0], cuts, [len(out)]]))

    def work(first: int, last: int) -> None:
        code.fit_ragged(yi, vi, places, offsets, first, last, *chosen[:2], reach, chosen[2], out)

    _spread(work, edges, threads)
    return out


def fit_sets(
    yi: Floats,
    vi: Floats,
    signs: NDArray[np.int8],
    *,
    method: str = "REML",
    test: str = "knha",
    level: float = 0.95,
    threads: int | None = None,
) -> Floats:
    """Pool subsets of the same effects, or the effects with other signs.

    Parameters
    ----------
    yi, vi : numpy.ndarray, shape (k,)
        Finite effects and positive, finite sampling variances.
    signs : numpy.ndarray of int8, shape (sets, k)
        0 leaves a study out, -1 turns its sign.
    method, test, level, threads
        As in `fit_groups`.

    Returns
    -------
    numpy.ndarray, shape (sets, 13)
        One column per name in ``NUMBERS``; NaN where not defined, and in all columns for numbers
        that :func:`retroevidence.meta.pool.pool` refuses because of their size.

    Raises
    ------
    PoolError
        If numba cannot be used.
    UnknownNameError
        If `method` or `test` is unknown.

    Examples
    --------
    >>> y, v = np.array([0.1, 0.5, 2.0]), np.array([0.1, 0.1, 0.4])
    >>> fit_sets(y, v, np.array([[1, 1, 0], [1, -1, 0]], np.int8))[:, 0].round(12).tolist()
    [0.3, -0.2]
    """
    chosen = chosen_numbers(method, test, level)
    code = _code()
    reach = _reaches(np.arange(len(yi) + 1), level)
    yi, vi = (np.ascontiguousarray(values, dtype=np.float64) for values in (yi, vi))
    out = np.empty((len(signs), len(NUMBERS)))
    step = max(1, PIECE // max(1, len(yi)))
    edges = np.unique(np.append(np.arange(0, len(out), step), len(out)))

    def work(first: int, last: int) -> None:
        code.fit_signed(yi, vi, signs, first, last, *chosen[:2], reach, chosen[2], out)

    _spread(work, edges, threads)
    return out


def compiled_rows() -> Any:
    """Return the compiled passes over the rows of a table, or say how to get numba.

    Returns
    -------
    module
        :mod:`retroevidence.meta.kernel_rows`.

    Raises
    ------
    PoolError
        If numba cannot be used.

    Examples
    --------
    >>> compiled_rows().FINE
    0
    """
    _code()
    from retroevidence.meta import kernel_rows

    return kernel_rows


def _code() -> Any:
    try:
        from retroevidence.meta import kernel_groups
    except ImportError as err:
        raise PoolError(
            f"numba cannot be used here ({err}); install it (pip install numba), or pool the "
            "groups one by one with pool."
        ) from err
    return kernel_groups


def chosen_numbers(method: str, test: str, level: float) -> tuple[int, int, float]:
    """Check a choice of method, test and level.

    Parameters
    ----------
    method, test, level : str, str and float
        As in :func:`retroevidence.meta.pool.pool`.

    Returns
    -------
    method, test : int
        Their positions in METHODS and TESTS.
    reach : float
        The critical value of z.

    Raises
    ------
    PoolError
        If `level` is not between 0 and 1.
    UnknownNameError
        If `method` or `test` is unknown.

    Examples
    --------
    >>> chosen_numbers("DL", "z", 0.95)[:2]
    (1, 0)
    """
    check_choices(method, test, level)
    return list(METHODS).index(method), list(TESTS).index(test), critical_value(level, np.inf)


def _reaches(sizes: Wholes, level: float) -> Floats:
    """Return the critical value of t for each number of studies."""
    return -np.asarray(stdtrit(np.fmax(sizes - 1.0, 1.0), (1 - level) / 2), dtype=float)


def _spread(work: Callable[[int, int], None], edges: Wholes, threads: int | None) -> None:
    """Do the pieces between the edges on several threads; the kernel holds no lock of Python."""
    pieces = list(pairwise(edges.tolist()))
    if threads is None:
        from numba.core import config

        threads = int(vars(config)["NUMBA_NUM_THREADS"])
    if threads == 1 or len(pieces) == 1:
        for piece in pieces:
            work(*piece)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, *piece) for piece in pieces]:
            done.result()
