"""Many small analyses at once: the plain mean of thousands of sets of effects, as array steps.

A study that is not in a set has an infinite variance there: its weight is 0, and every formula
stays as it is. Results are those of :func:`retroevidence.meta.pool.pool` to rounding; what changes
is that a fit costs microseconds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr, ndtri, stdtr, stdtrit

from retroevidence.errors import PoolError
from retroevidence.meta.inputs import check_choices
from retroevidence.meta.kernel_range import check_range
from retroevidence.meta.projection import sum_of_others
from retroevidence.meta.roots import find_roots
from retroevidence.meta.tau2 import BY_Q, target_of_q

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Sets handled together: their arrays then fit into a processor's own memory.
CHUNK = 2048
#: Numbers of such an array when several points are looked at together.
ROOM = 2**14
#: Points between which the likelihood is searched for maxima, as in `tau2`.
GRID = 48


def pool_batch(
    yi: Floats, vi: Floats, *, method: str = "REML", test: str = "knha", level: float = 0.95
) -> pd.DataFrame:
    """Pool every row of a matrix of effects.

    Parameters
    ----------
    yi, vi : numpy.ndarray, shape (sets, k)
        Effects and sampling variances; one of them may have the shape (k,) and then serves all
        sets. An infinite variance says that the study is not in the set.
    method, test, level : str, str and float
        As in :func:`retroevidence.meta.pool.pool`.

    Returns
    -------
    pandas.DataFrame
        One row per set: k, estimate, se, df, p_value, ci_low, ci_high, tau2, i2, h2, q,
        q_p_value. A set of one study has its own effect, a z interval and no tau².

    Raises
    ------
    PoolError
        If a set is empty, a variance is not above 0, or a number is too large or small to compute
        with, as in :func:`retroevidence.meta.pool.pool`.
    UnknownNameError
        If `method` or `test` is unknown.

    Examples
    --------
    >>> out = pool_batch(np.array([0.1, 0.3, 0.8]), np.array([[.02, .03, .05], [.02, .03, np.inf]]))
    >>> out["k"].tolist(), out["estimate"].round(4).tolist()
    ([3, 2], [0.3704, 0.18])
    """
    check_choices(method, test, level)
    y, v, inside = checked_sets(yi, vi)
    parts = [
        _fit(y[i : i + CHUNK], v[i : i + CHUNK], inside[i : i + CHUNK], method, test, level)
        for i in range(0, len(y), CHUNK)
    ]
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def checked_sets(yi: Floats, vi: Floats) -> tuple[Floats, Floats, Bools]:
    """Bring effects and variances to one shape, and say which study is in which set.

    Parameters
    ----------
    yi, vi : numpy.ndarray
        As in `pool_batch`.

    Returns
    -------
    y, v : numpy.ndarray, shape (sets, k)
        Effects and variances.
    inside : numpy.ndarray of bool, shape (sets, k)
        Where the variance is finite.

    Raises
    ------
    PoolError
        If a set is empty, a variance is not above 0, or a number is too large or small to compute
        with, as in :func:`retroevidence.meta.pool.pool`.

    Examples
    --------
    >>> checked_sets(np.array([0.1, 0.3]), np.array([[0.1, np.inf]]))[2].tolist()
    [[True, False]]
    """
    y, v = np.broadcast_arrays(np.atleast_2d(yi), np.atleast_2d(vi))
    inside = np.isfinite(v)
    if not inside.any(axis=1).all():
        raise PoolError("a set holds no study; give at least one finite variance per row.")
    if not (v > 0).all():
        raise PoolError("vi must be above 0; check that it is a variance and not missing.")
    check_range(y[inside], v[inside])
    return y, v, inside


def _fit(
    y: Floats, v: Floats, inside: Bools, method: str, test: str, level: float
) -> dict[str, NDArray[np.generic]]:
    y = np.where(inside, y, 0.0)
    k = inside.sum(axis=1)
    df = (k - 1).astype(float)
    several = k > 1
    tau2 = np.zeros(len(y))
    if several.any():
        tau2[several] = _tau2(y[several], v[several], inside[several], method)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = 1 / (v + tau2[:, None])
        total = weights.sum(axis=1)
        estimate, residual = _centred(y, weights)
        mean_square = (weights * residual**2).sum(axis=1) / df
        factor = np.ones(len(y))
        if test in ("knha", "adhoc"):
            plain = (mean_square >= 1e-12) & (test == "knha")
            factor = np.where(plain, mean_square, np.fmax(1.0, mean_square))
        se = np.sqrt(np.where(several, factor, 1.0) / total)
        df_test = np.where(several & (test != "z"), df, np.inf)
        finite = np.isfinite(df_test)
        tail = (1 - level) / 2
        reach = -np.where(finite, stdtrit(np.where(finite, df_test, 1.0), tail), ndtri(tail)) * se
        z = -np.abs(estimate / se)
        p_value = 2 * np.where(finite, stdtr(np.where(finite, df_test, 1.0), z), ndtr(z))
        common = 1 / v
        q = (common * _centred(y, common)[1] ** 2).sum(axis=1)
        if method == "CE":
            i2, h2 = np.where(q > 0, np.fmax(0.0, 100 * (q - df) / q), 0.0), q / df
        else:
            typical = df / _trace(common)
            i2, h2 = 100 * tau2 / (tau2 + typical), (tau2 + typical) / typical

    def defined(values: Floats) -> Floats:
        return np.where(several, values, np.nan)

    return {
        "k": k,
        "estimate": estimate,
        "se": se,
        "df": df_test,
        "p_value": p_value,
        "ci_low": estimate - reach,
        "ci_high": estimate + reach,
        "tau2": defined(tau2),
        "i2": defined(i2),
        "h2": defined(h2),
        "q": defined(q),
        "q_p_value": defined(np.asarray(chdtrc(np.fmax(df, 1.0), q))),
    }


def _centred(y: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return weighted means, shape (sets,), and residuals, shape (sets, k)."""
    mean = (weights * y).sum(axis=1) / weights.sum(axis=1)
    return mean, y - mean[:, None]


def _trace(weights: Floats) -> Floats:
    """Return tr(P) of each set, the sum of weight times (1 - share of the weight)."""
    total = weights.sum(axis=1)
    return np.asarray((weights * sum_of_others(weights)).sum(axis=1) / total)


# tau² -------------------------------------------------------------------------------------------


def _tau2(y: Floats, v: Floats, inside: Bools, method: str) -> Floats:
    """Estimate tau² of each set by one of the formulas that `tau2` documents."""
    k = inside.sum(axis=1).astype(float)
    if method == "CE":
        return np.zeros(len(y))
    if method in ("REML", "ML"):
        return _maximum(y, v, inside, restricted=method == "REML")
    ones = inside.astype(float)
    plain = _centred(y, ones)[1] ** 2 * ones
    square = plain.sum(axis=1)
    if method in BY_Q:
        return _paule_mandel(y, v, square, target_of_q(k - 1, method))
    if method == "HE":
        own = np.where(inside, v, 0.0).sum(axis=1)
        return np.asarray(np.fmax(0.0, square / (k - 1) - own / k))
    if method == "SJ":
        agree = np.where(inside, y, -np.inf).max(axis=1) == np.where(inside, y, np.inf).min(axis=1)
        start = np.where(agree, 0.0, square / k)
        # Results that agree exactly leave nothing to weight by; their answer is 0 below.
        scale = np.where(start > 0, start, 1.0)[:, None]
        weights = scale / (v + scale)
        spread = (weights * _centred(y, np.where(inside, weights, 0.0))[1] ** 2).sum(axis=1)
        return np.asarray(np.where(start > 0, spread / (k - 1), 0.0))
    weights = 1 / v
    q = (weights * _centred(y, weights)[1] ** 2).sum(axis=1)
    if method == "DL":
        return np.asarray(np.fmax(0.0, (q - (k - 1)) / _trace(weights)))
    factor = k / (k - 1) if method == "HSk" else 1.0
    return np.asarray(np.fmax(0.0, (factor * q - k) / weights.sum(axis=1)))


def _paule_mandel(y: Floats, v: Floats, square: Floats, target: Floats) -> Floats:
    """Return the tau² at which Q(tau²) equals its target, 0 where it never does."""

    def excess(tau2: Floats, rows: NDArray[np.intp]) -> Floats:
        weights = 1 / (v[rows] + tau2[:, None])
        spread = (weights * _centred(y[rows], weights)[1] ** 2).sum(axis=1)
        return np.asarray(spread - target[rows])

    everyone = np.arange(len(y))
    tau2 = np.zeros(len(y))
    rows = everyone[excess(tau2, everyone) > 0]
    # Q(t) is at most the unweighted sum of squares over t, so the root lies below this.
    tau2[rows] = find_roots(excess, rows, np.zeros(len(rows)), square[rows] / target[rows])
    return tau2


def _maximum(y: Floats, v: Floats, inside: Bools, *, restricted: bool) -> Floats:
    """Return the tau² >= 0 of highest (restricted) likelihood of each set.

    The score is evaluated on a grid over every scale on which it can change; each change of its
    sign from plus to minus brackets a local maximum; where there are several, the best one wins.
    """
    # The largest weight first, so that nothing is ever taken off its square.
    order = np.arange(v.shape[1]) + np.zeros((len(v), 1), dtype=np.intp)
    heaviest = v.argmin(axis=1)
    order[np.arange(len(v)), heaviest] = 0
    order[:, 0] = heaviest
    y, v = np.take_along_axis(y, order, axis=1), np.take_along_axis(v, order, axis=1)
    inside = np.take_along_axis(inside, order, axis=1)

    def score(tau2: Floats, rows: NDArray[np.intp] | slice) -> Floats:
        weights = 1 / (v[rows] + tau2[..., None])
        others = weights[..., 1:].sum(axis=-1)
        total = weights[..., 0] + others
        mean = np.einsum("...j,...j->...", weights, y[rows]) / total
        loaded = weights * (y[rows] - mean[..., None])
        gained = np.einsum("...j,...j->...", loaded, loaded)
        if not restricted:
            return np.asarray(gained - total)
        squares = np.einsum("...j,...j->...", weights[..., 1:], weights[..., 1:])
        return np.asarray(gained - (others * (weights[..., 0] + total) - squares) / total)

    k = inside.sum(axis=1)
    ones = inside.astype(float)
    square = (_centred(y, ones)[1] ** 2 * ones).sum(axis=1)
    mean_square = square / (k - restricted)
    widest = np.where(inside, v, 0.0).max(axis=1)
    # Beyond this value the score is negative.
    high = (mean_square + np.sqrt(mean_square**2 + 4 * mean_square * widest)) / 2
    low = v.min(axis=1) / 1000
    high = np.where(high <= low, 2 * low, 1.001 * high)
    steps = np.linspace(0.0, 1.0, GRID)[:, None]
    grid = np.vstack([np.zeros(len(y)), low * (high / low) ** steps])
    # Several points at once for few sets, as far as the arrays stay in a processor's own memory.
    points = max(1, ROOM // y.size)
    parts = np.split(grid, range(points, len(grid), points))
    scores = np.concatenate([score(part, slice(None)) for part in parts])

    step, rows = np.nonzero((scores[:-1] > 0) & (scores[1:] <= 0))
    peaks = find_roots(score, rows, grid[step, rows], grid[step + 1, rows])
    flat = np.flatnonzero(scores[0] <= 0)
    rows, peaks = np.concatenate([flat, rows]), np.concatenate([np.zeros(len(flat)), peaks])
    tau2: Floats = high.copy()
    tau2[rows] = peaks
    rivals = np.flatnonzero(np.bincount(rows, minlength=len(y)) > 1)
    for row in rivals:
        these = np.flatnonzero(rows == row)
        likelihood = [_log_likelihood(y[row], v[row], peaks[i], restricted) for i in these]
        tau2[row] = peaks[these[int(np.argmax(likelihood))]]
    return tau2


def _log_likelihood(y: Floats, v: Floats, tau2: float, restricted: bool) -> float:
    """Return twice the (restricted) log likelihood of one set, without its constant."""
    inside = np.isfinite(v)
    weights = 1 / (v[inside] + tau2)
    mean = float(weights @ y[inside]) / float(weights.sum())
    value = float(np.log(weights).sum() - weights @ (y[inside] - mean) ** 2)
    return value - float(np.log(weights.sum())) if restricted else value
