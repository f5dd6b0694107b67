"""The weighted algebra of the tau² estimators, safe where one study outweighs the rest.

A weight may exceed the others a trillionfold. Sums then lose what matters when the large part is
taken off again, so every quantity here is added up from the parts that remain.

For several columns the rows should come with the largest weights first: Householder's decomposition
then keeps the digits of every row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Leverage from which 1 minus it has lost a digit, and from which it has lost four.
HIGH, VERY_HIGH = 0.9, 1 - 1e-4


def sum_of_others(values: Floats) -> Floats:
    """Return, for each entry, the sum of all other entries, without losing digits.

    Parameters
    ----------
    values : numpy.ndarray, shape (..., k)
        Not negative.

    Returns
    -------
    numpy.ndarray, shape (..., k)
        Sums along the last axis.

    Examples
    --------
    >>> sum_of_others(np.array([1e20, 1.0, 2.0])).tolist()
    [3.0, 1e+20, 1e+20]
    """
    if values.ndim == 1:
        total = np.add.reduce(values)
        if np.maximum.reduce(values) <= total / 2:
            # Nothing cancels where no entry has more than half of the sum.
            return np.asarray(total - values)
    others = np.zeros_like(values)
    others[..., 1:] += np.cumsum(values[..., :-1], axis=-1)
    others[..., :-1] += np.cumsum(values[..., :0:-1], axis=-1)[..., ::-1]
    return others


def residuals(y: Floats, weights: Floats, x: Floats) -> Floats:
    """Return the residuals of the weighted fit.

    Parameters
    ----------
    y, x : numpy.ndarray
        Effects (k,), design (k, p).
    weights : numpy.ndarray, shape (..., k)
        Positive weights, one fit per row.

    Returns
    -------
    numpy.ndarray, shape (..., k)
        ``y - X (X'WX)^-1 X'Wy``.

    Examples
    --------
    >>> residuals(np.array([0.0, 2.0]), np.ones(2), np.ones((2, 1))).tolist()
    [-1.0, 1.0]
    """
    if x.shape[1] == 1:
        column = x[:, 0]
        loaded = weights * column
        beta = (loaded @ y) / (loaded @ column)
        return np.asarray(y - np.multiply.outer(beta, column))
    root = np.sqrt(weights)
    q, r = np.linalg.qr(root[..., None] * x)
    beta = np.linalg.solve(r, np.swapaxes(q, -1, -2) @ (root * y)[..., None])
    return np.asarray(y - (x @ beta)[..., 0])


def slack(weights: Floats, x: Floats) -> Floats:
    """Return 1 minus the leverage of each study.

    Parameters
    ----------
    weights : numpy.ndarray, shape (..., k)
        Positive weights.
    x : numpy.ndarray, shape (k, p)
        Design of full rank.

    Returns
    -------
    numpy.ndarray, shape (..., k)
        The diagonal of ``I - X (X'WX)^-1 X'W``, relative accuracy kept near 0.

    Examples
    --------
    >>> slack(np.array([1e20, 1.0]), np.ones((2, 1))).tolist()
    [1e-20, 1.0]
    """
    if x.shape[1] == 1:
        parts = weights * x[:, 0] ** 2
        return np.asarray(sum_of_others(parts) / np.add.reduce(parts, axis=-1, keepdims=True))
    scaled = np.sqrt(weights)[..., None] * x
    leverage = (np.linalg.qr(scaled)[0] ** 2).sum(axis=-1)
    left = np.clip(1 - leverage, 0, 1)
    # Many weights at once only look for where a function changes sign: twelve digits will do.
    for index in np.argwhere(leverage > (HIGH if weights.ndim == 1 else VERY_HIGH)):
        *which, i = index
        rows = scaled[tuple(which)]
        if np.linalg.matrix_rank(np.delete(x, i, axis=0)) < x.shape[1]:
            # This study alone carries a coefficient: the fit goes through it at any weight.
            left[tuple(index)] = 0.0
            continue
        upper = np.linalg.qr(np.delete(rows, i, axis=0))[1]
        left[tuple(index)] = 1 / (1 + float(np.sum(np.linalg.solve(upper.T, rows[i]) ** 2)))
    return np.asarray(left)


def trace(weights: Floats, x: Floats) -> float:
    """Return tr(P), ``P = W - W X (X'WX)^-1 X'W``.

    Parameters
    ----------
    weights, x : numpy.ndarray
        Positive weights (k,), design (k, p).

    Returns
    -------
    float
        ``k - p`` for weights of 1.

    Examples
    --------
    >>> round(trace(np.ones(3), np.ones((3, 1))), 12)
    2.0
    """
    return float(weights @ slack(weights, x))


def quadratic_variance(weights: Floats, x: Floats, variance: Floats) -> float:
    """Return ``2 tr(P S P S)``, the variance of y'Py for y with covariance S = diag(variance).

    Parameters
    ----------
    weights, variance : numpy.ndarray, shape (k,)
        Weights of P and variances of the effects, positive.
    x : numpy.ndarray, shape (k, p)
        Design.

    Returns
    -------
    float
        A variance; the k by k matrix is never formed, so thousands of studies fit in memory.

    Examples
    --------
    >>> round(quadratic_variance(np.ones(3), np.ones((3, 1)), np.ones(3)), 12)
    4.0
    """
    size = weights * variance
    if x.shape[1] == 1:
        parts = weights * x[:, 0] ** 2
        total = float(np.add.reduce(parts))
        left = size * sum_of_others(parts) / total
        loaded = size * parts / total
        return 2 * (float(left @ left) + float(loaded @ sum_of_others(loaded)))
    diagonal = float(np.sum((size * slack(weights, x)) ** 2))
    q = np.linalg.qr(np.sqrt(weights)[:, None] * x)[0]
    leverage = (q**2).sum(axis=1)
    # Studies of high leverage are paired with the others one by one, the rest all at once.
    heavy = np.flatnonzero(leverage > HIGH)
    light = np.flatnonzero(leverage <= HIGH)
    inner = q[light].T @ (size[light, None] * q[light])
    rest = float(np.sum(inner**2)) - float(np.sum((size * leverage)[light] ** 2))
    total = max(0.0, rest)
    for i in heavy:
        shared = size[i] * size * (q @ q[i]) ** 2
        total += 2 * float(np.sum(shared[light])) + float(np.sum(shared[heavy[heavy != i]]))
    return 2 * (diagonal + total)
