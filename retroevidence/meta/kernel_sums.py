"""Weighted sums over the studies of one group, compiled, and the root of Q.

All functions take the study of smallest variance first, its effect as the origin and its variance
between 1 and 4: large weights then take no digits off small ones, and no power overflows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retroevidence.meta.kernel_compile import compiled, summing

Floats = NDArray[np.float64]
#: Sums at one tau²: mean, total weight, Q, y'PPy, tr P or tr W, y'PPPy, tr PP or tr WW.
Sums = tuple[float, float, float, float, float, float, float]


@summing
def mean_and_q(y: Floats, v: Floats, t: float) -> tuple[float, float, float]:
    """Return weighted mean, total weight and Q for tau² = t.

    Parameters
    ----------
    y, v : numpy.ndarray, shape (k,)
        Effects and variances, as the module wants them.
    t : float
        Variance between studies.

    Returns
    -------
    mean, total, q : float
        The mean is relative to the first effect.

    Examples
    --------
    >>> mean_and_q(np.array([0.0, 2.0]), np.ones(2), 1.0)
    (1.0, 1.0, 1.0)
    """
    total = 0.0
    moment = 0.0
    for j in range(y.size):
        weight = 1 / (v[j] + t)
        total += weight
        moment += weight * y[j]
    mean = moment / total
    q = 0.0
    for j in range(y.size):
        # Dividing again is faster than keeping the weights.
        left = y[j] - mean
        q += left * left / (v[j] + t)
    return mean, total, q


@summing
def sums(y: Floats, v: Floats, t: float, restricted: bool) -> Sums:
    """Return what likelihood and moments need at tau² = t.

    Parameters
    ----------
    y, v, t
        As in `mean_and_q`.
    restricted : bool
        True for the traces of P (REML), False for those of W (ML).

    Returns
    -------
    tuple of float
        mean, total weight, Q, A = y'PPy, B = tr P, C = y'PPPy, D = tr PP (of W for ML).

    Examples
    --------
    >>> y = np.array([0.0, 2.0])
    >>> sums(y, np.ones(2), 0.0, True)
    (1.0, 2.0, 2.0, 2.0, 1.0, 2.0, 1.0)
    """
    scale = v[0] + t
    first = 1 / scale
    rest = 0.0
    moment = 0.0
    squares = 0.0
    cubes = 0.0
    for j in range(1, y.size):
        weight = 1 / (v[j] + t)
        rest += weight
        moment += weight * y[j]
        squares += weight * weight
        cubes += weight * weight * (weight * scale)
    total = first + rest
    mean = moment / total
    start = -first * mean
    q = 0.0
    a = 0.0
    bend = 0.0
    lean = 0.0
    for j in range(1, y.size):
        weight = 1 / (v[j] + t)
        left = y[j] - mean
        loaded = weight * left
        q += loaded * left
        a += loaded * loaded
        apart = loaded - start
        lean += weight * apart
        bend += weight * apart * apart
    q -= start * mean
    a += start * start
    c = bend - lean * (lean / total)
    if not restricted:
        return mean, total, q, a, total, c, first * first + squares
    b = (rest * (first + total) - squares) / total
    # Third and fourth powers of weights beside a large tau² would leave the range of a double.
    share = first / total
    d = (share * rest) ** 2 + 2 * share * share * squares + (squares / total) ** 2
    d += squares - 2 * cubes * share
    return mean, total, q, a, b, c, d


@compiled
def root_of_q(y: Floats, v: Floats, target: float) -> float:
    """Return the tau² at which Q equals `target`, 0 where it is below from the start.

    Newton's steps on 1/Q, which is concave and nearly straight: they come from the left and never
    pass the root.

    Parameters
    ----------
    y, v
        As in `mean_and_q`.
    target : float
        What Q is to be, above 0.

    Returns
    -------
    float
        The root.

    Examples
    --------
    >>> root_of_q(np.array([0.0, 2.0]), np.ones(2), 1.0)
    1.0
    """
    t = 0.0
    for _ in range(1000):
        _, _, q, a, _, _, _ = sums(y, v, t, True)
        step = q * (q - target) / (target * a) if a > 0 else 0.0
        if not step > 0:
            break
        t += step
        if step < 1e-9 * t:
            # What is left is of the order of the square of this step.
            break
    return t
