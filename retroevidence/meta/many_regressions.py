"""One meta-regression per group with a shared design, by stacked linear algebra."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc, fdtrc, ndtr, stdtr

from retroevidence.meta.interval import critical_value
from retroevidence.meta.kernel import chosen_numbers
from retroevidence.meta.projection import HIGH
from retroevidence.meta.regression import INTERCEPT
from retroevidence.meta.roots import find_roots
from retroevidence.meta.tau2 import BY_Q, estimate_tau2, target_of_q
from retroevidence.meta.weighted import weighted_fits

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]
Places = NDArray[np.intp]

#: Numbers in one stack of matrices.
STACK = 2**22
#: Up to this ratio of variances eigenvalues keep the eight digits that one step of Newton doubles;
#: beyond, a group's tau² is sought alone.
RATIO = 1e8
#: From this many effects on eigenvalues cost more than a search for tau² in the effects themselves.
MANY = 128
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
    Roots are found in these sums, which lose digits when variances are far apart, and get the lost
    digits back by one step of Newton on the effects themselves. All other quantities never leave
    the effects. A group's numbers do not depend on the groups beside it.

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
    if p == 1:
        one = np.flatnonzero(sizes == 1)
        at = offsets[one]
        out[one], why_not[one] = _alone(yi[at], vi[at], x[at, 0], len(columns), level)
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
                found = _fits(yi[rows], vi[rows], stack[full], names, method, test, level)
                out[part] = found
                why_not[part[np.isnan(found[:, 0])]] = "variances too far apart"
    return pd.DataFrame(out, columns=columns, copy=False), why_not


def _alone(
    y: Floats, v: Floats, x: Floats, columns: int, level: float
) -> tuple[Floats, NDArray[np.object_]]:
    """Return what single effects say of a single coefficient, with a z interval."""
    out = np.full((len(y), columns), np.nan)
    fine = x != 0
    slope, se = y[fine] / x[fine], np.sqrt(v[fine]) / np.abs(x[fine])
    reach = critical_value(level, np.inf) * se
    p_value = 2 * ndtr(-np.abs(slope / se))
    known = [np.full(len(se), np.inf), slope, se, p_value, slope - reach, slope + reach]
    out[fine, : len(known)] = np.column_stack(known)
    return out, np.where(fine, "", "moderators that add nothing to each other").astype(object)


def _columns(names: tuple[str, ...]) -> list[str]:
    kinds = ("estimate", "se", "p_value", "ci_low", "ci_high")
    terms = [f"{kind}_{name}" for name in names for kind in kinds]
    return ["df", *terms, *"tau2 i2 h2 q q_p_value qm qm_df qm_p_value".split()]


def _fits(y: Floats, v: Floats, x: Floats, *how: Any) -> Floats:
    """Fit a stack; one that cannot be solved has NaN, and is no reason not to fit the others."""
    try:
        return _fit(y, v, x, *how)
    except (np.linalg.LinAlgError, RuntimeError):
        if len(y) == 1:
            return np.full((1, len(_columns(how[0]))), np.nan)
        halves = np.array_split(np.arange(len(y)), 2)
        return np.concatenate([_fits(y[half], v[half], x[half], *how) for half in halves])


def _fit(
    y: Floats, v: Floats, x: Floats, names: tuple[str, ...], method: str, test: str, level: float
) -> Floats:
    k, p = x.shape[1:]
    df = k - p
    which = [i for i, name in enumerate(names) if name != INTERCEPT]
    tau2, q, trace = _tau2(y, v, x, method, INTERCEPT in names)
    beta, covariance, mean_square, explained = weighted_fits(y, v, x, tau2, which)
    factor = np.ones(len(y))
    if test in ("knha", "adhoc"):
        plain = (mean_square >= 1e-12) & (test == "knha")
        factor = np.where(plain, mean_square, np.fmax(1.0, mean_square))
    se = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2) * factor[:, None])
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
    qm = qm_p = np.full(len(y), np.nan)
    if which:
        qm = explained / factor / (1 if test == "z" else len(which))
        qm_p = chdtrc(len(which), qm) if test == "z" else fdtrc(len(which), df, qm)
    ones = np.ones(len(y))
    tail = [tau2, i2, h2, q, chdtrc(df, q), qm, len(which) * ones, qm_p]
    return np.column_stack([df_test * ones, terms.reshape(len(y), -1), *tail])


# tau² -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stack:
    """Effects and variances (fits, k), the largest weight first, and designs (fits, k, p)."""

    y: Floats
    v: Floats
    x: Floats

    @classmethod
    def of(cls, y: Floats, v: Floats, x: Floats, shifts: bool) -> _Stack:
        """Return what tau² depends on; beside an intercept a shift of the effects is nothing."""
        order = np.argsort(v, axis=1, kind="stable")
        y, v = np.take_along_axis(y, order, 1), np.take_along_axis(v, order, 1)
        # Effects far from 0 lose their last digits in sums; differences of them do not.
        y = y - y[:, :1] if shifts else y
        return cls(y, v, np.take_along_axis(x, order[..., None], 1))

    def left(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return residuals times the roots of the weights, and a basis of the weighted design."""
        root = np.sqrt(weights)
        turned = np.linalg.qr(root[..., None] * self.x)[0]
        loaded = root * self.y
        part = np.swapaxes(turned, 1, 2) @ loaded[..., None]
        return loaded - (turned @ part)[..., 0], turned

    def slack(self, weights: Floats, turned: Floats) -> Floats:
        """Return 1 minus the leverages; `turned` is the basis that `left` gives."""
        leverage = (turned**2).sum(axis=2)
        slack = np.clip(1 - leverage, 0, 1)
        fit, row = np.nonzero(leverage > HIGH)
        if len(fit):
            slack[fit, row] = self._without(weights, fit, row)
        return np.asarray(slack)

    def _without(self, weights: Floats, fit: Places, row: Places) -> Floats:
        """Return 1 minus high leverages, from the fits without these effects."""
        k, p = self.x.shape[1:]
        others = np.arange(k) != row[:, None]
        rest = self.x[fit][others].reshape(-1, k - 1, p)
        root = np.sqrt(weights[fit])
        own = root[np.arange(len(fit)), row, None] * self.x[fit, row]
        slack = np.zeros(len(fit))
        # An effect that alone carries a coefficient is met by the fit at any weight.
        shared = np.linalg.matrix_rank(rest) == p
        upper = np.linalg.qr(root[others].reshape(-1, k - 1, 1) * rest, mode="r")[shared]
        solved = np.linalg.solve(np.swapaxes(upper, 1, 2), own[shared, :, None])
        slack[shared] = 1 / (1 + (solved**2).sum(axis=(1, 2)))
        return slack


def _tau2(
    y: Floats, v: Floats, x: Floats, method: str, shifts: bool
) -> tuple[Floats, Floats, Floats]:
    """Return tau², Q and tr P of the common-effect model for each regression of a stack."""
    stack = _Stack.of(y, v, x, shifts)
    common = 1 / stack.v
    left, turned = stack.left(common)
    q, trace = (left**2).sum(axis=1), (common * stack.slack(common, turned)).sum(axis=1)
    if method == "CE":
        return np.zeros(len(y)), q, trace
    if method not in ("ML", "REML", *BY_Q):
        return _moment(stack, q, trace, method), q, trace
    tau2 = np.full(len(y), np.nan)
    if y.shape[1] <= MANY:
        near = np.flatnonzero(stack.v[:, -1] <= RATIO * stack.v[:, 0])
        part = _Stack(stack.y[near], stack.v[near], stack.x[near])
        tau2[near] = _root(part, q[near], method)
    for i in np.flatnonzero(np.isnan(tau2)):
        tau2[i] = estimate_tau2(stack.y[i], stack.v[i], stack.x[i], method)
    return tau2, q, trace


def _moment(stack: _Stack, q: Floats, trace: Floats, method: str) -> Floats:
    """Return tau² by the formulas of `tau2` that need no root."""
    y, v = stack.y, stack.v
    k, p = stack.x.shape[1:]
    df = k - p
    if method == "DL":
        found = (q - df) / trace
    elif method == "HE":
        ones = np.ones_like(v)
        left, turned = stack.left(ones)
        found = (left**2 - v * stack.slack(ones, turned)).sum(axis=1) / df
    elif method == "SJ":
        agree = y.max(axis=1) == y.min(axis=1)
        start = np.mean((y - y.mean(axis=1, keepdims=True)) ** 2, axis=1)
        start = np.where(agree, 0.0, start)
        first = np.where(start > 0, start, 1.0)[:, None]
        found = np.sign(start) * (stack.left(first / (v + first))[0] ** 2).sum(axis=1) / df
    else:
        factor = k / df if method == "HSk" else 1.0
        found = (factor * q - k) / (1 / v).sum(axis=1)
    return np.asarray(np.fmax(0.0, found))


def _root(stack: _Stack, q: Floats, method: str) -> Floats:
    """Return tau² by the methods that need a root; NaN where it must be sought alone."""
    y, v, x = stack.y, stack.v, stack.x
    k, p = x.shape[1:]
    turned = np.swapaxes(np.linalg.qr(x, mode="complete")[0][:, :, p:], 1, 2)
    values, vectors = np.linalg.eigh((turned * v[:, None]) @ np.swapaxes(turned, 1, 2))
    # Interlacing: no eigenvalue is below the least variance.
    values = np.maximum(values, v[:, :1])
    squares = ((np.swapaxes(vectors, 1, 2) @ (turned @ y[..., None]))[..., 0]) ** 2
    target = float(target_of_q(k - p, method))
    if method in BY_Q:
        tau2 = _balance(values, squares, q, target)
    else:
        tau2 = _peaks(values, squares, values if method == "REML" else v)
    # One step of Newton: the score of the effects, the slope of the eigenvalues.
    weights, inside = 1 / (v + tau2[:, None]), values + tau2[:, None]
    left, turned = stack.left(weights)
    if method in BY_Q:
        score = (left**2).sum(axis=1) - target
        slope = -(squares / inside**2).sum(axis=1)
    else:
        lost = weights * stack.slack(weights, turned) if method == "REML" else weights
        own = inside if method == "REML" else v + tau2[:, None]
        score = (weights * left**2 - lost).sum(axis=1)
        slope = (1 / own**2).sum(axis=1) - 2 * (squares / inside**3).sum(axis=1)
    done = (tau2 == 0) & (score <= 0)
    step = np.where(done, 0.0, -score / np.where(slope < 0, slope, np.nan))
    # A step that is not small says that the sums had lost too much.
    return np.where(np.abs(step) <= 1e-5 * (tau2 + v[:, 0]), np.fmax(0.0, tau2 + step), np.nan)


def _balance(values: Floats, squares: Floats, q: Floats, target: float) -> Floats:
    """Return the tau² at which Q equals its target, 0 where it never does."""

    def excess(tau2: Floats, rows: Places) -> Floats:
        return np.asarray((squares[rows] / (values[rows] + tau2[:, None])).sum(axis=1) - target)

    tau2 = np.zeros(len(values))
    above = np.flatnonzero(q > target)
    high = squares[above].sum(axis=1) / target
    tau2[above] = find_roots(excess, above, np.zeros(len(above)), high)
    return tau2


def _peaks(values: Floats, squares: Floats, own: Floats) -> Floats:
    """Return the tau² >= 0 of highest likelihood; `own` are the numbers of its determinant."""

    def score(tau2: Floats, rows: Places | slice) -> Floats:
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
    peaks = find_roots(score, rows, grid[step, rows], grid[step + 1, rows])
    flat = np.flatnonzero(scores[0] <= 0)
    rows, peaks = np.concatenate([flat, rows]), np.concatenate([np.zeros(len(flat)), peaks])
    height = -np.log(own[rows] + peaks[:, None]).sum(axis=1)
    height -= (squares[rows] / (values[rows] + peaks[:, None])).sum(axis=1)
    tau2: Floats = high.copy()
    # Written from the lowest peak to the highest, so that the highest stays.
    order = np.argsort(height, kind="stable")
    tau2[rows[order]] = peaks[order]
    return tau2
