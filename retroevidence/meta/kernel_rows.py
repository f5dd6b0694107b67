"""Which rows of a table belong to which group, and can be pooled; compiled passes over the rows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from retroevidence.meta.kernel_compile import compiled
from retroevidence.meta.kernel_range import LARGEST_EFFECT, LARGEST_VARIANCE, LEAST_VARIANCE

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]

# What can be wrong with a group; the last of the list that a group has is reported.
FINE, EMPTY, BEYOND, NOT_POSITIVE, INFINITE = range(5)


@compiled
def survey(
    yi: Floats, vi: Floats, codes: Wholes, runs: Wholes, count: int
) -> tuple[Wholes, Wholes, NDArray[np.int8]]:
    """Count the effects of each group, and find what cannot be pooled.

    Parameters
    ----------
    yi, vi : numpy.ndarray, shape (n,)
        Effects and variances; a missing effect and a missing or infinite variance are left out,
        but an infinite effect is a fault even then.
    codes : numpy.ndarray of int64, shape (runs,)
        The group of each run of rows, -1 for none.
    runs : numpy.ndarray of int64, shape (runs + 1,)
        Where each run begins, and where the last one ends.
    count : int
        Number of groups.

    Returns
    -------
    sizes, left_out : numpy.ndarray of int64, shape (count,)
        Effects that enter, and rows that do not.
    faults : numpy.ndarray of int8, shape (count,)
        0, or what is wrong with the group.

    Examples
    --------
    >>> y, v = np.array([0.1, np.nan, 0.2, 0.3]), np.array([1.0, 1.0, 0.0, 1.0])
    >>> codes, runs = np.array([0, 1, -1]), np.array([0, 2, 3, 4])
    >>> [found.tolist() for found in survey(y, v, codes, runs, 3)]
    [[1, 1, 0], [1, 0, 0], [0, 3, 1]]
    """
    sizes, left_out = np.zeros(count, np.int64), np.zeros(count, np.int64)
    faults = np.zeros(count, np.int8)
    for run in range(codes.size):
        group = codes[run]
        if group < 0:
            continue
        if all_in_range(yi[runs[run] : runs[run + 1]], vi[runs[run] : runs[run + 1]]):
            sizes[group] += runs[run + 1] - runs[run]
            continue
        for row in range(runs[run], runs[run + 1]):
            if math.isinf(yi[row]):
                faults[group] = INFINITE
            if math.isnan(yi[row]) or not vi[row] < math.inf:
                left_out[group] += 1
                continue
            sizes[group] += 1
            if vi[row] <= 0:
                faults[group] = max(faults[group], NOT_POSITIVE)
            elif not all_in_range(yi[row : row + 1], vi[row : row + 1]):
                faults[group] = max(faults[group], BEYOND)
    for group in range(count):
        if sizes[group] == 0:
            faults[group] = max(faults[group], EMPTY)
    return sizes, left_out, faults


@compiled
def all_in_range(y: Floats, v: Floats) -> bool:
    """Return whether every effect and variance can be computed with, as `in_range` does.

    Parameters
    ----------
    y, v : numpy.ndarray, shape (k,)
        Effects and variances.

    Returns
    -------
    bool
        False if one is NaN or out of the range.

    Examples
    --------
    >>> all_in_range(np.array([0.1, 1e50]), np.ones(2))
    False
    """
    # Without branches, as most are.
    fine = 0
    for row in range(y.size):
        small = abs(y[row]) <= LARGEST_EFFECT
        fine += small & (v[row] >= LEAST_VARIANCE) & (v[row] <= LARGEST_VARIANCE)
    return fine == y.size


@compiled
def rows_of_groups(
    yi: Floats,
    vi: Floats,
    codes: Wholes,
    runs: Wholes,
    faults: NDArray[np.int8],
    offsets: Wholes,
) -> Wholes:
    """Return the rows that enter, group after group, each group's in their order.

    Parameters
    ----------
    yi, vi, codes, runs, faults
        As in `survey`.
    offsets : numpy.ndarray of int64, shape (groups + 1,)
        Where each group begins, with none in groups that have a fault.

    Returns
    -------
    numpy.ndarray of int64, shape (rows that enter,)
        Positions; empty if all rows enter and stand group after group.

    Examples
    --------
    >>> y, v, runs, offsets = np.zeros(3), np.ones(3), np.arange(4), np.array([0, 1, 3])
    >>> rows_of_groups(y, v, np.array([1, 0, 1]), runs, np.zeros(2, np.int8), offsets).tolist()
    [1, 0, 2]
    """
    sorted_already = offsets[-1] == yi.size
    for run in range(1, codes.size):
        if not sorted_already:
            break
        sorted_already = codes[run] >= codes[run - 1]
    if sorted_already:
        return np.empty(0, np.int64)
    place = offsets[:-1].copy()
    rows = np.empty(offsets[-1], np.int64)
    for run in range(codes.size):
        group = codes[run]
        if group < 0 or faults[group] != FINE:
            continue
        for row in range(runs[run], runs[run + 1]):
            if math.isnan(yi[row]) or not math.isfinite(vi[row]):
                continue
            rows[place[group]] = row
            place[group] += 1
    return rows
