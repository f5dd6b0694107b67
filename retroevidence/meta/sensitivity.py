"""What a pooled mean owes to each of its studies: one left out, one added, every subset."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import PoolError, unknown_name
from retroevidence.meta.bootstrap import bootstrap
from retroevidence.meta.draws import check_count, check_seed
from retroevidence.meta.influence import check_refittable, deletions, influence
from retroevidence.meta.permutation import permutation_test
from retroevidence.meta.result import Pooled
from retroevidence.meta.sets import pool_signed
from retroevidence.meta.wording import study_names

__all__ = ["bootstrap", "cumulative", "gosh", "influence", "leave_one_out", "permutation_test"]

Bools = NDArray[np.bool_]


def leave_one_out(pooled: Pooled, *, by: str | None = None) -> pd.DataFrame:
    """Pool again without each study in turn, with the method, test and level of the result.

    Parameters
    ----------
    pooled : Pooled
        A pooled mean of at least two effects.
    by : str, optional
        Column of ``pooled.studies``; all effects with the same value are left out together, for
        example ``"study_id"`` where studies give several effects.

    Returns
    -------
    pandas.DataFrame
        One row per study, in their order and with their index: left_out, k, estimate, se, df,
        p_value, ci_low, ci_high, tau2, i2, h2, q, q_p_value. With `by`, one row per value.

    Raises
    ------
    PoolError
        If the result has moderators, or nothing would be left.
    UnknownNameError
        If `by` is not a column.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> pooled = pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01])
    >>> leave_one_out(pooled)[["left_out", "estimate", "tau2"]].round(3)
      left_out  estimate   tau2
    0        0     0.390  0.059
    1        1     0.329  0.090
    2        2     0.191  0.000
    3        3     0.370  0.086
    """
    _plain_mean(pooled)
    names, index, members = deletions(pooled, by)
    if members.all(axis=1).any():
        raise PoolError("leaving one out leaves nothing: give a result of at least two studies.")
    fits = _fits(pooled, ~members).set_axis(index, axis=0)
    fits.insert(0, "left_out", names)
    return fits


def cumulative(pooled: Pooled, order: Any = None, *, by: str | None = None) -> pd.DataFrame:
    """Pool the first study, the first two, and so on (Lau et al. 1992).

    Parameters
    ----------
    pooled : Pooled
        A pooled mean.
    order : str or array_like, shape (k,), optional
        What to sort the studies by, ascending: a column of ``pooled.studies``, or one value per
        study such as the year. By default the order of the rows. Ties keep that order.
    by : str, optional
        Column of ``pooled.studies``; all effects with the same value are added together, when the
        first of them comes up.

    Returns
    -------
    pandas.DataFrame
        One row per study in the order they are added, with their index: added, then the columns of
        `leave_one_out`. The first row is the first study alone, without tau². With `by`, one row
        per value.

    Raises
    ------
    PoolError
        If the result has moderators, or `order` has another length or missing values.
    UnknownNameError
        If `order` is a name but no column, or `by` is no column.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> pooled = pool(yi=[0.1, 0.3, 0.8], vi=[0.02, 0.03, 0.05])
    >>> cumulative(pooled, order=[2001, 1999, 2010])[["added", "k", "estimate"]].round(3)
      added  k  estimate
    1     1  1      0.30
    0     0  2      0.18
    2     2  3      0.37
    """
    _plain_mean(pooled)
    frame = pooled.fit.frame
    if order is None:
        rank = np.arange(pooled.k)
    else:
        if isinstance(order, str) and order not in frame.columns:
            raise unknown_name("column", order, map(str, frame.columns))
        keys = frame[order] if isinstance(order, str) else _one_per_study(order)
        if len(keys) != pooled.k:
            raise PoolError(
                f"order has {len(keys)} values for {pooled.k} studies; give one value per study."
            )
        if keys.isna().any():
            raise PoolError("order has missing values; fill them, or leave those studies out.")
        try:
            rank = keys.reset_index(drop=True).sort_values(kind="stable").index.to_numpy()
        except TypeError as err:
            raise PoolError(f"order cannot be sorted ({err}); give values of one kind.") from err
    names, index, members = deletions(pooled, by)
    # Where each study or cluster first comes up: True is the largest of a row of booleans.
    turn = np.argsort(members[:, rank].argmax(axis=1), kind="stable")
    fits = _fits(pooled, np.logical_or.accumulate(members[turn], axis=0))
    fits.insert(0, "added", [names[i] for i in turn])
    return fits.set_axis(index[turn], axis=0)


def _one_per_study(order: Any) -> pd.Series[Any]:
    values = np.asarray(order)
    if values.ndim != 1:
        raise PoolError("order must be the name of a column, or one value per study in one list.")
    return pd.Series(values)


def gosh(pooled: Pooled, *, max_subsets: int = 2**20, seed: int | None = None) -> pd.DataFrame:
    """Pool every subset of the studies (Olkin, Dahabreh & Trikalinos 2012).

    Parameters
    ----------
    pooled : Pooled
        A pooled mean.
    max_subsets : int
        Above this number of subsets, that many different ones are drawn at random, each study
        being in a drawn subset with probability one half.
    seed : int, optional
        Seed of the draw; required when subsets are drawn.

    Returns
    -------
    pandas.DataFrame
        One row per subset that is not empty: the columns of `leave_one_out` without ``left_out``,
        then one column ``with <study>`` per study that says whether it is in the subset. Subsets
        of one study have no tau².

    Raises
    ------
    PoolError
        If the result has moderators, or subsets must be drawn and no seed is given.

    Notes
    -----
    Several clouds of estimates mean that the studies are no one population; the columns
    ``with <study>`` tell which study makes them (doi 10.1002/jrsm.1053).

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> subsets = gosh(pool(yi=[0.1, 0.3, 0.8], vi=[0.02, 0.03, 0.05], method="DL"))
    >>> len(subsets), round(float(subsets.loc[subsets["with 2"], "estimate"].mean()), 3)
    (7, 0.532)
    """
    _plain_mean(pooled)
    check_count(max_subsets, "max_subsets", 1, "write max_subsets=100_000")
    k = pooled.k
    # Exact in whole numbers whatever k is.
    if 2**k - 1 <= max_subsets:
        codes = np.arange(1, 2**k, dtype="<u8")[:, None].view(np.uint8)
        members: Bools = np.unpackbits(codes, axis=1, count=k, bitorder="little").view(bool)
    elif seed is None:
        raise PoolError(
            f"{k} studies have {2**k - 1} subsets, more than max_subsets={max_subsets}: give seed= "
            "to draw some of them, or raise max_subsets."
        )
    else:
        members = _drawn(k, max_subsets, seed)
    names = study_names(pooled.fit.frame)
    if len(set(names)) < k:
        names = [f"{name} (row {i + 1})" for i, name in enumerate(names)]
    columns = pd.DataFrame(members, columns=[f"with {name}" for name in names])
    return pd.concat([_fits(pooled, members), columns], axis=1)


def _drawn(k: int, wanted: int, seed: int) -> Bools:
    """Return that many different subsets that are not empty, or a few less after 100 rounds."""
    check_seed(seed)
    random = np.random.default_rng(seed)
    drawn = np.zeros((0, k), dtype=bool)
    for _ in range(100):
        drawn = np.vstack([drawn, random.random((wanted, k)) < 0.5])
        drawn = drawn[drawn.any(axis=1)]
        # The first of equal subsets stays, so that what is cut off at the end is random too.
        first = np.sort(np.unique(np.packbits(drawn, axis=1), axis=0, return_index=True)[1])
        drawn = drawn[first]
        if len(drawn) >= wanted:
            break
    return drawn[:wanted]


def _fits(pooled: Pooled, members: Bools) -> pd.DataFrame:
    fit = pooled.fit
    choice: dict[str, Any] = {"method": pooled.method, "test": pooled.test, "level": pooled.level}
    return pool_signed(fit.yi, fit.vi, members, **choice)


def _plain_mean(pooled: Pooled) -> None:
    check_refittable(pooled)
    if pooled.fit.design.names != ("intercept",):
        raise PoolError(
            "this result has moderators; pool without mods=, or use influence, which allows them."
        )
