"""One meta-regression per group with a shared design, by stacked linear algebra."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc, fdtrc, ndtr, stdtr

from retroevidence.meta.batch import _roots
from retroevidence.meta.interval import critical_value
from retroevidence.meta.kernel import chosen_numbers
from retroevidence.meta.regression import INTERCEPT
from retroevidence.meta.tau2 import estimate_tau2, typical_variance, weighted_q

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]

#: Numbers in one stack of matrices.
STACK = 2**22
#: Up to this ratio of variances eigenvalues keep ten digits; beyond, a group is fitted alone.
RATIO = 1e5
#: Points between which the likelihood is searched for maxima, as in `tau2`.
GRID = 48


def regress_groups(
    yi: Floats,
    vi: Floats,
    x: Floats,
    names: tuple[str, ...],
    offsets: Wholes,
    method: str,
    test: str,
    level: float,
) -> tuple[pd.DataFrame, NDArray[np.object_]]:
    """Fit the same regression to every group of effects that lie group after group.

    Parameters
    ----------
    yi, vi : numpy.ndarray, shape (n,)
        Finite effects and positive, finite sampling variances.
    x : numpy.ndarray, shape (n, p)
        Design of all effects.
    names : tuple of str
        Its columns.
    offsets : numpy.ndarray of int, shape (groups + 1,)
        Where each group begins, and where the last one ends.
    method, test, level : str, str and float
        As in :func:`retroevidence.meta.pool.pool`.

    Returns
    -------
    pandas.DataFrame
        One row per group: df, then estimate, se, p_value, ci_low and ci_high of each coefficient,
        tau2, i2, h2, q, q_p_value, qm, qm_df, qm_p_value.
    numpy.ndarray of str, shape (groups,)
        Why a group has no answer, empty for the others.

    Raises
    ------
    PoolError
        If `level` is not between 0 and 1.
    UnknownNameError
        If `method` or `test` is unknown.

    Notes
    -----
    With K an orthonormal basis of what the design leaves, l the eigenvalues of ``K'VK`` and a the
    coordinates of the effects on its eigenvectors, tau² enters each quantity as a sum:
    ``y'Py = sum a²/(l + tau²)``, ``tr P = sum 1/(l + tau²)`` and ``y'PPy = sum a²/(l + tau²)²``.

    Examples
    --------
    >>> x = np.column_stack([np.ones(4), [0.0, 1, 2, 3]])
    >>> found, why_not = regress_groups(np.array([0.1, 0.3, 0.8, 0.9]), np.full(4, 0.01), x,
    ...     ("intercept", "dose"), np.array([0, 4]), "DL", "z", 0.95)
    >>> round(float(found["estimate_dose"][0]), 12)
    0.29
    """
    chosen_numbers(method, test, level)
    count, p = len(offsets) - 1, x.shape[1]
    columns = _columns(names)
    out = np.full((count, len(columns)), np.nan)
    sizes = np.diff(offsets)
    why_not = np.full(count, "", dtype=object)
    why_not[sizes <= p] = f"too few effects for {p} coefficients"
    for k in np.unique(sizes[sizes > p]).tolist():
        same = np.flatnonzero(sizes == k)
        step = max(1, STACK // (GRID * k + k * k))
        for part in np.split(same, range(step, len(same), step)):
            rows = offsets[part][:, None] + np.arange(k)
            stack = x[rows]
            size = np.abs(stack).max(axis=1, keepdims=True)
            full = np.linalg.matrix_rank(stack / np.where(size > 0, size, 1)) == p
            why_not[part[~full]] = "moderators that add nothing to each other"
            if full.any():
                rows, part = rows[full], part[full]
                out[part] = _fit(yi[rows], vi[rows], stack[full], names, method, test, level)
    return pd.DataFrame(out, columns=columns, copy=False), why_not


def _columns(names: tuple[str, ...]) -> list[str]:
    kinds = ("estimate", "se", "p_value", "ci_low", "ci_high")
    terms = [f"{kind}_{name}" for name in names for kind in kinds]
    return ["df", *terms, *"tau2 i2 h2 q q_p_value qm qm_df qm_p_value".split()]


def _fit(
    y: Floats, v: Floats, x: Floats, names: tuple[str, ...], method: str, test: str, level: float
) -> Floats:
    k, p = x.shape[1:]
    df = k - p
    tau2, q, trace = _tau2(y, v, x, method)
    root = np.sqrt(1 / (v + tau2[:, None]))
    orthogonal, upper = np.linalg.qr(root[..., None] * x)
    beta = np.linalg.solve(upper, np.swapaxes(orthogonal, 1, 2) @ (root * y)[..., None])[..., 0]
    inverse = np.linalg.inv(upper)
    covariance = inverse @ np.swapaxes(inverse, 1, 2)
    residual = root * (y - (x @ beta[..., None])[..., 0])
    mean_square = (residual**2).sum(axis=1) / df
    factor = np.ones(len(y))
    if test in ("knha", "adhoc"):
        plain = (mean_square >= 1e-12) & (test == "knha")
        factor = np.where(plain, mean_square, np.fmax(1.0, mean_square))
    covariance = covariance * factor[:, None, None]
    se = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    size = -np.abs(beta / se)
    p_value = 2 * (ndtr(size) if test == "z" else stdtr(df, size))
    df_test = np.inf if test == "z" else float(df)
    reach = critical_value(level, df_test) * se
    terms = np.stack([beta, se, p_value, beta - reach, beta + reach], axis=2)
    if method == "CE":
        i2, h2 = np.where(q > 0, np.fmax(0.0, 100 * (q - df) / np.where(q > 0, q, 1)), 0.0), q / df
    else:
        typical = df / trace
        i2, h2 = 100 * tau2 / (tau2 + typical), (tau2 + typical) / typical
    which = [i for i, name in enumerate(names) if name != INTERCEPT]
    qm = qm_p = np.full(len(y), np.nan)
    if which:
        moved = beta[:, which, None]
        inner = np.linalg.solve(covariance[:, which][:, :, which], moved)
        wald = (moved * inner).sum(axis=(1, 2))
        qm = wald if test == "z" else wald / len(which)
        qm_p = chdtrc(len(which), qm) if test == "z" else fdtrc(len(which), df, qm)
    ones = np.ones(len(y))
    tail = [tau2, i2, h2, q, chdtrc(df, q), qm, len(which) * ones, qm_p]
    return np.column_stack([df_test * ones, terms.reshape(len(y), -1), *tail])


def _tau2(y: Floats, v: Floats, x: Floats, method: str) -> tuple[Floats, Floats, Floats]:
    """Return tau², Q and tr P of the common-effect model for each regression of a stack."""
    k, p = x.shape[1:]
    basis = np.linalg.qr(x, mode="complete")[0][:, :, p:]
    turned = np.swapaxes(basis, 1, 2)
    values, vectors = np.linalg.eigh(turned @ (v[..., None] * basis))
    # Interlacing: no eigenvalue is below the least variance.
    values = np.maximum(values, v.min(axis=1, keepdims=True))
    squares = ((np.swapaxes(vectors, 1, 2) @ (turned @ y[..., None]))[..., 0]) ** 2
    q, trace = (squares / values).sum(axis=1), (1 / values).sum(axis=1)
    tau2 = _estimated(y, v, values, squares, q, trace, method)
    for i in np.flatnonzero(v.max(axis=1) > RATIO * v.min(axis=1)):
        tau2[i] = estimate_tau2(y[i], v[i], x[i], method)
        q[i] = weighted_q(y[i], 1 / v[i], x[i])
        trace[i] = (k - p) / typical_variance(v[i], x[i])
    return tau2, q, trace


def _estimated(
    y: Floats, v: Floats, values: Floats, squares: Floats, q: Floats, trace: Floats, method: str
) -> Floats:
    """Return tau² by the formulas of `tau2`, in eigenvalues."""
    k, df = v.shape[1], values.shape[1]
    if method == "CE":
        return np.zeros(len(v))
    if method in ("ML", "REML"):
        return _peaks(values, squares, values if method == "REML" else v)
    if method in ("EB", "PM"):

        def excess(tau2: Floats, rows: NDArray[np.intp]) -> Floats:
            return np.asarray((squares[rows] / (values[rows] + tau2[:, None])).sum(axis=1) - df)

        tau2 = np.zeros(len(v))
        above = np.flatnonzero(q > df)
        high = squares[above].sum(axis=1) / df
        tau2[above] = _roots(excess, above, np.zeros(len(above)), high)
        return tau2
    if method == "DL":
        found = (q - df) / trace
    elif method == "HE":
        found = (squares - values).sum(axis=1) / df
    elif method == "SJ":
        start = np.mean((y - y.mean(axis=1, keepdims=True)) ** 2, axis=1)
        first = np.where(start > 0, start, 1.0)
        found = start * (squares / (values + first[:, None])).sum(axis=1) / df
    else:
        factor = k / df if method == "HSk" else 1.0
        found = (factor * q - k) / (1 / v).sum(axis=1)
    return np.asarray(np.fmax(0.0, found))


def _peaks(values: Floats, squares: Floats, own: Floats) -> Floats:
    """Return the tau² >= 0 of highest likelihood; `own` are the numbers of its determinant."""

    def score(tau2: Floats, rows: NDArray[np.intp] | slice) -> Floats:
        gained = (squares[rows] / (values[rows] + tau2[:, None]) ** 2).sum(axis=1)
        return np.asarray(gained - (1 / (own[rows] + tau2[:, None])).sum(axis=1))

    mean_square = squares.sum(axis=1) / own.shape[1]
    # Beyond this value the score is negative: A <= sum a²/t² and B >= n/(t + the largest).
    high = (mean_square + np.sqrt(mean_square**2 + 4 * mean_square * own.max(axis=1))) / 2
    low = own.min(axis=1) / 1000
    high = np.where(high <= low, 2 * low, 1.001 * high)
    steps = np.linspace(0.0, 1.0, GRID)[:, None]
    grid = np.vstack([np.zeros(len(values)), low * (high / low) ** steps])
    scores = np.array([score(point, slice(None)) for point in grid])
    step, rows = np.nonzero((scores[:-1] > 0) & (scores[1:] <= 0))
    peaks = _roots(score, rows, grid[step, rows], grid[step + 1, rows])
    flat = np.flatnonzero(scores[0] <= 0)
    rows, peaks = np.concatenate([flat, rows]), np.concatenate([np.zeros(len(flat)), peaks])
    height = -np.log(own[rows] + peaks[:, None]).sum(axis=1)
    height -= (squares[rows] / (values[rows] + peaks[:, None])).sum(axis=1)
    tau2: Floats = high.copy()
    # Written from the lowest peak to the highest, so that the highest stays.
    order = np.argsort(height, kind="stable")
    tau2[rows[order]] = peaks[order]
    return tau2
