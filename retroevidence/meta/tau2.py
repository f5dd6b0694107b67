"""The variance between studies, tau², by ten estimators, with standard errors.

Every estimator works on `k` effects and a design matrix `x` (a column of ones for the plain mean)
and returns a value that is never negative. Nothing here has an absolute tolerance: roots are
bracketed on the scale of the data and refined to machine precision, so the unit of the outcome
cannot change the answer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from retroevidence.errors import unknown_name

Floats = NDArray[np.float64]

METHODS: dict[str, str] = {
    "CE": "common effect",
    "DL": "DerSimonian-Laird",
    "HE": "Hedges",
    "HS": "Hunter-Schmidt",
    "HSk": "Hunter-Schmidt, small-sample corrected",
    "SJ": "Sidik-Jonkman",
    "ML": "maximum likelihood",
    "REML": "restricted maximum likelihood",
    "EB": "empirical Bayes",
    "PM": "Paule-Mandel",
}


def estimate_tau2(yi: Floats, vi: Floats, x: Floats, method: str = "REML") -> tuple[float, float]:
    """Estimate tau² and its standard error.

    Parameters
    ----------
    yi, vi : numpy.ndarray, shape (k,)
        Effects and sampling variances, all finite, ``vi > 0``.
    x : numpy.ndarray, shape (k, p)
        Design matrix of full rank, ``p < k``.
    method : str
        A key of ``METHODS``.

    Returns
    -------
    tau2, se : float
        On the squared scale of `yi`. The standard error is asymptotic; NaN for CE.

    Raises
    ------
    UnknownNameError
        If `method` is unknown.

    Notes
    -----
    DL: DerSimonian & Laird (1986). HE: Hedges (1983). HS: Hunter & Schmidt (1990); HSk: Brannick
    et al. (2019). SJ: Sidik & Jonkman (2005). ML, REML: Raudenbush (2009), with the global maximum
    on tau² >= 0. EB: Morris (1983). PM: Paule & Mandel (1982), the same root as EB.

    Standard errors: DL, HE, HS, HSk and SJ that of a quadratic form in normal variables; ML and
    REML the expected information (Viechtbauer 2005, doi 10.3102/10769986030003261); EB and PM the
    delta method on ``Q(tau²) = k - p``, with variance ``2 (k - p)`` of Q and slope
    ``-(k - p) mean(w)``.

    Examples
    --------
    >>> y, v = np.array([0.1, 0.3, 0.8, 0.2]), np.array([0.02, 0.03, 0.05, 0.01])
    >>> tau2, se = estimate_tau2(y, v, np.ones((4, 1)), "DL")
    >>> round(tau2, 6), round(se, 6)
    (0.033537, 0.04725)
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if method == "CE":
        return 0.0, float("nan")
    # An orthonormal basis of the same column space: tau² depends on nothing else of x, and the
    # normal equations stay well conditioned for moderators such as a calendar year.
    basis = np.linalg.qr(x)[0]
    return _ESTIMATORS[method](yi, vi, basis)


def generalised_q(yi: Floats, vi: Floats, x: Floats, tau2: float) -> float:
    """Return Q(tau²), the weighted residual sum of squares with weights 1/(vi + tau²).

    Parameters
    ----------
    yi, vi, x : numpy.ndarray
        Effects (k,), variances (k,), design (k, p).
    tau2 : float
        Variance between studies, not negative; 0 gives Cochran's Q.

    Returns
    -------
    float
        Decreasing in `tau2`; chi-squared with ``k - p`` degrees of freedom at the true value.

    Examples
    --------
    >>> q = generalised_q(np.array([0.0, 2.0]), np.ones(2), np.ones((2, 1)), 0.0)
    >>> round(q, 12)
    2.0
    """
    weights = 1 / (vi + tau2)
    residual = _residual(yi, weights, x)[0]
    return float(np.sum(weights * residual**2))


def solve_q(yi: Floats, vi: Floats, x: Floats, target: float) -> float:
    """Return the tau² at which the generalised Q equals `target`; 0 if it is below already at 0.

    Parameters
    ----------
    yi, vi, x : numpy.ndarray
        Effects (k,), variances (k,), design (k, p).
    target : float
        A positive value of Q.

    Returns
    -------
    float
        The root, to machine precision.

    Examples
    --------
    >>> tau2 = solve_q(np.array([0.0, 2.0]), np.ones(2), np.ones((2, 1)), 1.0)
    >>> round(tau2, 12)
    1.0
    """
    if generalised_q(yi, vi, x, 0.0) <= target:
        return 0.0
    plain = _residual(yi, np.ones_like(yi), x)[0]
    # Q(t) <= RSS/t, so the root lies below RSS/target.
    high = float(plain @ plain) / target
    return _root(lambda t: generalised_q(yi, vi, x, t) - target, 0.0, high)


def typical_variance(vi: Floats, x: Floats) -> float:
    """Return the sampling variance of a typical study, the one behind I² (Higgins & Thompson 2002).

    Parameters
    ----------
    vi, x : numpy.ndarray
        Sampling variances (k,), design (k, p).

    Returns
    -------
    float
        ``(k - p) / tr(P)``, with P the projection of the common-effect model.

    Examples
    --------
    >>> round(typical_variance(np.array([0.5, 0.5, 0.5]), np.ones((3, 1))), 12)
    0.5
    """
    basis = np.linalg.qr(x)[0]
    return float((len(vi) - x.shape[1]) / _trace(1 / vi, basis))


# The weighted algebra every estimator shares ----------------------------------------------------


def _inverse(weights: Floats, x: Floats) -> Floats:
    """Return (X'WX)^-1 for weights of shape (..., k)."""
    information = np.swapaxes(x, -1, -2) @ (weights[..., None] * x)
    return np.asarray(1 / information if x.shape[1] == 1 else np.linalg.inv(information))


def _residual(yi: Floats, weights: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Return residuals of the weighted fit and (X'WX)^-1, for weights of shape (..., k)."""
    inverse = _inverse(weights, x)
    beta = inverse @ ((weights * yi) @ x)[..., None]
    return yi - (x @ beta)[..., 0], inverse


def _others(values: Floats) -> Floats:
    """Return, for each entry, the sum of all other entries, without subtracting.

    The sum minus the entry would cancel when one study outweighs the rest a trillionfold.
    """
    others = np.zeros_like(values)
    others[..., 1:] += np.cumsum(values[..., :-1], axis=-1)
    others[..., :-1] += np.cumsum(values[..., :0:-1], axis=-1)[..., ::-1]
    return others


def _slack(weights: Floats, x: Floats, inverse: Floats) -> Floats:
    """Return 1 minus the leverage of each study, the diagonal of I - X (X'WX)^-1 X'W."""
    if x.shape[1] == 1:
        return _others(weights * x[:, 0] ** 2) * inverse[..., 0]
    return np.asarray(np.clip(1 - weights * ((x @ inverse) * x).sum(axis=-1), 0, 1))


def _trace(weights: Floats, x: Floats) -> float:
    """Return tr(P), P = W - W X (X'WX)^-1 X'W."""
    return float(np.sum(weights * _slack(weights, x, _inverse(weights, x))))


def _quadratic_variance(weights: Floats, x: Floats, variance: Floats) -> float:
    """Return 2 tr(P S P S), the variance of y'Py for y with covariance S = diag(variance).

    The diagonal and the rest of P are summed apart, without the k by k matrix, so that thousands
    of studies fit in memory.
    """
    inverse = _inverse(weights, x)
    slack = _slack(weights, x, inverse)
    diagonal = float(np.sum((weights * variance * slack) ** 2))
    loading = weights**2 * variance
    if x.shape[1] == 1:
        part = loading * x[:, 0] ** 2 * inverse[0, 0]
        return 2 * (diagonal + float(np.sum(part * _others(part))))
    product = inverse @ (x.T @ (loading[:, None] * x))
    own = float(np.sum((weights * variance * (1 - slack)) ** 2))
    return 2 * (diagonal + max(0.0, float(np.trace(product @ product)) - own))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    if function(high) >= 0:
        # Rounding can leave the upper bound on the wrong side by a hair: it is then the root.
        return high
    tiny = float(np.finfo(float).tiny)
    # Relative tolerance only: an absolute one would depend on the unit of the outcome.
    root: float = brentq(function, low, high, xtol=tiny, rtol=8.9e-16, maxiter=500)
    return root


# Estimators -------------------------------------------------------------------------------------


def _moment(
    yi: Floats, vi: Floats, x: Floats, weights: Floats, scale: float, offset: float
) -> tuple[float, float]:
    """Estimate ``scale * y'Py - offset``, cut at 0, with its standard error."""
    residual = _residual(yi, weights, x)[0]
    tau2 = max(0.0, scale * float(np.sum(weights * residual**2)) - offset)
    return tau2, scale * float(np.sqrt(_quadratic_variance(weights, x, vi + tau2)))


def _dl(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    trace = _trace(1 / vi, x)
    return _moment(yi, vi, x, 1 / vi, 1 / trace, (len(yi) - x.shape[1]) / trace)


def _he(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    ones = np.ones_like(yi)
    df = len(yi) - x.shape[1]
    slack = _slack(ones, x, _inverse(ones, x))
    return _moment(yi, vi, x, ones, 1 / df, float(np.sum(vi * slack)) / df)


def _hs(yi: Floats, vi: Floats, x: Floats, factor: float = 1.0) -> tuple[float, float]:
    total = float(np.sum(1 / vi))
    return _moment(yi, vi, x, 1 / vi, factor / total, len(yi) / total)


def _hsk(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    return _hs(yi, vi, x, len(yi) / (len(yi) - x.shape[1]))


def _sj(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    start = float(np.mean((yi - yi.mean()) ** 2))
    if start == 0:
        return 0.0, 0.0
    return _moment(yi, vi, x, start / (vi + start), 1 / (len(yi) - x.shape[1]), 0.0)


def _pm(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    k, df = len(yi), len(yi) - x.shape[1]
    tau2 = solve_q(yi, vi, x, df)
    return tau2, float(np.sqrt(2 * k**2 / df)) / float(np.sum(1 / (vi + tau2)))


def _ml(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    tau2 = _maximum(yi, vi, x, restricted=False)
    return tau2, float(np.sqrt(2 / np.sum((vi + tau2) ** -2.0)))


def _reml(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    tau2 = _maximum(yi, vi, x, restricted=True)
    weights = 1 / (vi + tau2)
    # The information of tau² is tr(PP)/2, and 2 tr(PP) is the variance for unit covariance.
    return tau2, 2 / float(np.sqrt(_quadratic_variance(weights, x, np.ones_like(vi))))


def _score(yi: Floats, vi: Floats, x: Floats, tau2: Floats, restricted: bool) -> Floats:
    """Return the derivative of twice the (restricted) log likelihood at each value of `tau2`."""
    weights = 1 / (vi + tau2[..., None])
    residual, inverse = _residual(yi, weights, x)
    share = _slack(weights, x, inverse) if restricted else 1.0
    return np.asarray(np.sum((weights * residual) ** 2 - weights * share, axis=-1))


def _log_likelihood(yi: Floats, vi: Floats, x: Floats, tau2: float, restricted: bool) -> float:
    """Return twice the (restricted) log likelihood, without its constant."""
    weights = 1 / (vi + tau2)
    residual, inverse = _residual(yi, weights, x)
    value = float(np.sum(np.log(weights)) - np.sum(weights * residual**2))
    return value + float(np.linalg.slogdet(inverse)[1]) if restricted else value


def _maximum(yi: Floats, vi: Floats, x: Floats, *, restricted: bool) -> float:
    """Return the tau² >= 0 of highest (restricted) likelihood.

    The score is evaluated on a grid that spans every scale on which it can change; each change of
    sign from plus to minus brackets a local maximum, which is refined; the best of them wins.
    """
    plain = _residual(yi, np.ones_like(yi), x)[0]
    df = len(yi) - x.shape[1] if restricted else len(yi)
    mean_square = float(plain @ plain) / df
    # Beyond this value the score is negative: y'PPy <= RSS/t² and tr P >= df/(t + max v).
    high = (mean_square + float(np.sqrt(mean_square**2 + 4 * mean_square * vi.max()))) / 2
    low = float(vi.min()) / 1000
    if high <= low:
        high = 2 * low
    grid = np.concatenate([[0.0], np.geomspace(low, 1.001 * high, 48)])
    score = _score(yi, vi, x, grid, restricted)
    peaks = [0.0] if score[0] <= 0 else []
    for i in np.flatnonzero((score[:-1] > 0) & (score[1:] <= 0)):
        peaks.append(
            _root(
                lambda t: float(_score(yi, vi, x, np.asarray(t), restricted)),
                float(grid[i]),
                float(grid[i + 1]),
            )
        )
    if len(peaks) == 1:
        return peaks[0]
    return max(peaks, key=lambda t: _log_likelihood(yi, vi, x, t, restricted), default=high)


_ESTIMATORS: dict[str, Callable[[Floats, Floats, Floats], tuple[float, float]]] = {
    "DL": _dl,
    "HE": _he,
    "HS": _hs,
    "HSk": _hsk,
    "SJ": _sj,
    "ML": _ml,
    "REML": _reml,
    "EB": _pm,
    "PM": _pm,
}
