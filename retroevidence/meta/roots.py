"""Where falling functions pass through 0: one of them, or many at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def find_root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function falls through 0, to machine precision.

    Parameters
    ----------
    function : callable
        Positive at `low`, negative at `high`.
    low, high : float
        The bracket, from 0.

    Returns
    -------
    float
        The root; `high` when rounding has left that end on the wrong side.

    Examples
    --------
    >>> find_root(lambda t: 2.0 - t, 0.0, 5.0)
    2.0
    """
    from scipy.optimize import brentq

    if function(high) >= 0:
        # Rounding can leave the upper bound on the wrong side by a hair: it is then the root.
        return high
    tiny = float(np.finfo(float).tiny)
    # Relative tolerance only: an absolute one would depend on the unit of the outcome.
    root: float = brentq(function, low, high, xtol=tiny, rtol=8.9e-16, maxiter=500)
    return root


def find_roots(
    function: Callable[[Floats, NDArray[np.intp]], Floats],
    rows: NDArray[np.intp],
    low: Floats,
    high: Floats,
) -> Floats:
    """Solve ``function(x, rows) = 0`` for every row, between a positive and a negative end.

    Chandrupatla's method (1997, doi 10.1016/S0965-9978(96)00051-8): inverse quadratic steps while
    they pay, bisection otherwise; at most 200 steps, to the last digits of x.
    """
    a, b, c = high.copy(), low.copy(), high.copy()
    if not len(rows):
        return b
    f_a, f_b = function(a, rows), function(b, rows)
    # Rounding can leave the upper end on the wrong side by a hair: it is then the root.
    found = np.where(f_a >= 0, a, b)
    active = np.flatnonzero(f_a < 0)
    a, b, c, f_a, f_b = (part[active] for part in (a, b, c, f_a, f_b))
    f_c, share = f_a.copy(), np.full(len(active), 0.5)
    for _ in range(200):
        if not len(active):
            break
        x = a + share * (b - a)
        f_x = function(x, rows[active])
        same = np.sign(f_x) == np.sign(f_a)
        c, f_c = np.where(same, a, b), np.where(same, f_a, f_b)
        b, f_b = np.where(same, b, a), np.where(same, f_b, f_a)
        a, f_a = x, f_x
        nearer = np.abs(f_a) < np.abs(f_b)
        best = np.where(nearer, a, b)
        found[active] = best
        with np.errstate(divide="ignore", invalid="ignore"):
            least = 2 * np.finfo(float).eps * np.abs(best) / np.abs(b - c)
            done = (least > 0.5) | (f_a == 0) | (f_b == 0) | (a == b)
            position, height = (a - b) / (c - b), (f_a - f_b) / (f_c - f_b)
            safe = (1 - np.sqrt(1 - position) < height) & (height < np.sqrt(position))
            step = f_a / (f_b - f_a) * f_c / (f_b - f_c)
            step += (c - a) / (b - a) * f_a / (f_c - f_a) * f_b / (f_c - f_b)
        share = np.clip(np.where(safe, step, 0.5), least, 1 - least)
        share = np.where(np.isfinite(share), share, 0.5)
        keep = ~done
        active, share = active[keep], share[keep]
        a, b, c = a[keep], b[keep], c[keep]
        f_a, f_b, f_c = f_a[keep], f_b[keep], f_c[keep]
    return found
