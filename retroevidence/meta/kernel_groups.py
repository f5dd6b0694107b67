"""One pooled mean per group of effects, compiled; :mod:`retroevidence.meta.kernel` calls it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from retroevidence.meta.kernel_compile import compiled
from retroevidence.meta.kernel_peak import peak
from retroevidence.meta.kernel_rows import all_in_range
from retroevidence.meta.kernel_sums import mean_and_q, root_of_q, sums
from retroevidence.meta.kernel_tails import (
    median_of_chi_squared,
    two_sided_normal,
    two_sided_t,
    upper_chi_squared,
)

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]

# Positions of the names in METHODS and TESTS.
CE, DL, HE, HS, HSK, SJ, ML, REML, EB, PM, PMM = range(11)
Z, T, KNHA, ADHOC = range(4)
#: A weighted residual mean square below this means that the studies agree exactly.
AGREE = 1e-12


@compiled
def fit_ragged(
    yi: Floats,
    vi: Floats,
    order: Wholes,
    offsets: Wholes,
    first: int,
    last: int,
    method: int,
    test: int,
    reach: Floats,
    reach_z: float,
    out: Floats,
) -> None:
    """Fit the groups `first` to `last` of effects that lie group after group.

    Parameters
    ----------
    yi, vi : numpy.ndarray, shape (n,)
        Effects and variances.
    order : numpy.ndarray of int64, shape (n,) or (0,)
        Where the effects of the groups are; empty if they lie one after the other.
    offsets : numpy.ndarray of int64, shape (groups + 1,)
        Where each group begins.
    first, last : int
        The groups to fit, the last one excluded.
    method, test : int
        Positions in METHODS and TESTS.
    reach : numpy.ndarray, shape (groups,)
        Critical value of t for each group.
    reach_z : float
        That of z.
    out : numpy.ndarray, shape (groups, 13)
        What is found.

    Examples
    --------
    >>> out = np.empty((1, 13))
    >>> fit_ragged(np.array([0.1, 0.5]), np.array([0.1, 0.1]), np.empty(0, np.int64),
    ...            np.array([0, 2]), 0, 1, DL, Z, np.array([1.96]), 1.96, out)
    >>> float(out[0, 0].round(12))
    0.3
    """
    most = 0
    for group in range(first, last):
        most = max(most, offsets[group + 1] - offsets[group])
    room = np.empty((2, max(most, 1)))
    for group in range(first, last):
        start = offsets[group]
        k = offsets[group + 1] - start
        y, v = room[0, :k], room[1, :k]
        for j in range(k):
            row = start + j if order.size == 0 else order[start + j]
            y[j] = yi[row]
            v[j] = vi[row]
        fit_one(y, v, method, test, reach[group], reach_z, out[group])


@compiled
def fit_signed(
    yi: Floats,
    vi: Floats,
    signs: NDArray[np.int8],
    first: int,
    last: int,
    method: int,
    test: int,
    reach: Floats,
    reach_z: float,
    out: Floats,
) -> None:
    """Fit sets of the same effects, with a sign each, or left out where the sign is 0.

    Parameters
    ----------
    yi, vi : numpy.ndarray, shape (k,)
        Effects and variances.
    signs : numpy.ndarray of int8, shape (sets, k)
        1, -1, or 0.
    first, last, method, test, reach_z, out
        As in `fit_ragged`, for sets.
    reach : numpy.ndarray, shape (k + 1,)
        Critical value of t for each number of studies.

    Examples
    --------
    >>> out = np.empty((1, 13))
    >>> y, v = np.array([0.1, 0.5, 9]), np.array([0.1, 0.1, 1])
    >>> fit_signed(y, v, np.array([[1, -1, 0]], np.int8), 0, 1, DL, Z, np.full(4, 2.0), 1.96, out)
    >>> float(out[0, 0].round(12))
    -0.2
    """
    room = np.empty((2, yi.size))
    for row in range(first, last):
        k = 0
        for j in range(yi.size):
            if signs[row, j] != 0:
                room[0, k] = yi[j] * signs[row, j]
                room[1, k] = vi[j]
                k += 1
        y, v = room[0, :k], room[1, :k]
        fit_one(y, v, method, test, reach[k], reach_z, out[row])


@compiled
def fit_one(
    y: Floats,
    v: Floats,
    method: int,
    test: int,
    reach: float,
    reach_z: float,
    out: Floats,
) -> None:
    """Fit one group; `y` and `v` are changed on the way.

    Parameters
    ----------
    y, v : numpy.ndarray, shape (k,)
        Effects and variances.
    method, test, reach, reach_z
        As in `fit_ragged`, for this group.
    out : numpy.ndarray, shape (13,)
        Estimate, se, df, p, both limits of the interval and of the prediction, tau², I², H², Q and
        its p; NaN where not defined, and throughout where a number is out of range.

    Examples
    --------
    >>> out = np.empty(13)
    >>> fit_one(np.array([0.1, 0.5]), np.array([0.1, 0.1]), CE, Z, 1.96, 1.96, out)
    >>> float(out[0].round(12))
    0.3
    """
    out[:] = math.nan
    k = y.size
    if k == 0 or not all_in_range(y, v):
        return
    if k == 1:
        se = math.sqrt(v[0])
        out[0], out[1], out[2] = y[0], se, math.inf
        out[3] = two_sided_normal(y[0] / se)
        out[4], out[5] = y[0] - reach_z * se, y[0] + reach_z * se
        return
    origin, unit = _prepare(y, v)
    df = k - 1
    zero = sums(y, v, 0.0, True)
    tau2 = _tau2(y, v, method, zero)
    mean, total, spread = mean_and_q(y, v, tau2)
    mean_square = spread / df
    factor = 1.0
    if test == KNHA and mean_square >= AGREE:
        factor = mean_square
    elif test in (KNHA, ADHOC):
        factor = max(1.0, mean_square)
    se = math.sqrt(factor / total) * unit
    estimate = origin + mean * unit
    far = reach_z if test == Z else reach
    statistic = estimate / se
    out[0], out[1] = estimate, se
    if test == Z:
        out[2], out[3] = math.inf, two_sided_normal(statistic)
    else:
        out[2], out[3] = df, two_sided_t(statistic, df)
    out[4], out[5] = estimate - far * se, estimate + far * se
    if method != CE:
        around = far * math.sqrt(tau2 * unit * unit + se * se)
        out[6], out[7] = estimate - around, estimate + around
    out[8] = tau2 * unit * unit
    q, trace = zero[2], zero[4]
    if method == CE:
        out[9] = max(0.0, 100 * (q - df) / q) if q > 0 else 0.0
        out[10] = q / df
    else:
        typical = df / trace
        out[9] = 100 * tau2 / (tau2 + typical)
        out[10] = (tau2 + typical) / typical
    out[11], out[12] = q, upper_chi_squared(q, df)


@compiled
def _prepare(y: Floats, v: Floats) -> tuple[float, float]:
    """Bring numbers to the form `kernel_sums` wants; return the origin and the unit taken off.

    The unit is a power of 2, so that no digit changes.
    """
    heaviest = 0
    for j in range(1, y.size):
        if v[j] < v[heaviest]:
            heaviest = j
    y[0], y[heaviest] = y[heaviest], y[0]
    v[0], v[heaviest] = v[heaviest], v[0]
    exponent = math.frexp(v[0])[1] - 1
    unit = math.ldexp(1.0, exponent // 2)
    scale = 1 / unit
    origin = y[0]
    for j in range(y.size):
        y[j] = (y[j] - origin) * scale
        v[j] = v[j] * scale * scale
    return origin, unit


@compiled
def _tau2(
    y: Floats,
    v: Floats,
    method: int,
    zero: tuple[float, float, float, float, float, float, float],
) -> float:
    """Return tau² by one of the formulas that `tau2` documents."""
    k = y.size
    if method == CE:
        return 0.0
    if method == REML:
        return peak(y, v, True, zero)[0]
    if method == ML:
        return peak(y, v, False, sums(y, v, 0.0, False))[0]
    if method in (EB, PM):
        return root_of_q(y, v, float(k - 1))
    if method == PMM:
        return root_of_q(y, v, median_of_chi_squared(k - 1))
    q, trace = zero[2], zero[4]
    if method == DL:
        return max(0.0, (q - (k - 1)) / trace)
    if method in (HS, HSK):
        _, total, _ = mean_and_q(y, v, 0.0)
        factor = k / (k - 1) if method == HSK else 1.0
        return max(0.0, (factor * q - k) / total)
    mean = 0.0
    own = 0.0
    for j in range(k):
        mean += y[j]
        own += v[j]
    mean /= k
    square = 0.0
    for j in range(k):
        square += (y[j] - mean) ** 2
    if method == HE:
        return max(0.0, square / (k - 1) - own / k)
    # Sidik and Jonkman's weights are those of a first tau², here with the same factor for all.
    if square == 0:
        return 0.0
    start = square / k
    return start * mean_and_q(y, v, start)[2] / (k - 1)
