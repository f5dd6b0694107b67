"""The variance between studies, tau², by ten estimators, and their standard errors.

Every estimator works on `k` effects and a design matrix `x` (a column of ones for the plain mean)
and returns a value that is never negative. Nothing here has an absolute tolerance: roots are
bracketed on the scale of the data and refined to machine precision, so the unit of the outcome
cannot change the answer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri

from retroevidence.errors import check_name
from retroevidence.meta.likelihood import maximum_likelihood
from retroevidence.meta.projection import quadratic_variance, residuals, slack, trace
from retroevidence.meta.roots import find_root

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
    "PMM": "Paule-Mandel, median-unbiased",
}

#: Estimators that look for the tau² at which Q(tau²) is what is expected of it.
BY_Q = ("EB", "PM", "PMM")


def estimate_tau2(yi: Floats, vi: Floats, x: Floats, method: str = "REML") -> float:
    """Estimate tau².

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
    float
        On the squared scale of `yi`, not negative; 0 for CE.

    Raises
    ------
    UnknownNameError
        If `method` is unknown.

    Notes
    -----
    DL: DerSimonian & Laird (1986). HE: Hedges (1983). HS: Hunter & Schmidt (1990); HSk: Brannick
    et al. (2019). SJ: Sidik & Jonkman (2005). ML, REML: Raudenbush (2009), with the global maximum
    on tau² >= 0. EB: Morris (1983). PM: Paule & Mandel (1982), the same root as EB. PMM: the tau²
    at which Q is the median of its distribution in place of its mean, the point that a Q-profile
    interval (Viechtbauer 2007, doi 10.1002/sim.2514) of ever lower confidence shrinks to.

    Examples
    --------
    >>> y, v = np.array([0.1, 0.3, 0.8, 0.2]), np.array([0.02, 0.03, 0.05, 0.01])
    >>> round(estimate_tau2(y, v, np.ones((4, 1)), "DL"), 6)
    0.033537
    """
    check_name("method", method, METHODS)
    if method == "CE":
        return 0.0
    yi, vi, x = conditioned(yi, vi, x)
    if method in ("ML", "REML"):
        return maximum_likelihood(yi, vi, x, restricted=method == "REML")
    if method in BY_Q:
        return solve_q(yi, vi, x, float(target_of_q(len(yi) - x.shape[1], method)))
    # Asked of the effects themselves: the mean of equal numbers can be off by rounding.
    if method == "SJ" and np.ptp(yi) == 0:
        return 0.0
    weights, scale, offset = _moment(yi, vi, x, method)
    return max(0.0, scale * weighted_q(yi, weights, x) - offset)


def tau2_standard_error(yi: Floats, vi: Floats, x: Floats, method: str, tau2: float) -> float:
    """Return the asymptotic standard error of an estimate of tau².

    Parameters
    ----------
    yi, vi, x, method
        As in `estimate_tau2`.
    tau2 : float
        What it returned.

    Returns
    -------
    float
        On the squared scale of `yi`; NaN for CE.

    Notes
    -----
    DL, HE, HS, HSk and SJ: that of a quadratic form in normal variables. ML and REML: the expected
    information (Viechtbauer 2005, doi 10.3102/10769986030003261). EB, PM and PMM: the delta method
    on ``Q(tau²) = k - p``, with variance ``2 (k - p)`` of Q and slope ``-(k - p) mean(w)``.

    Examples
    --------
    >>> y, v = np.array([0.1, 0.3, 0.8, 0.2]), np.array([0.02, 0.03, 0.05, 0.01])
    >>> x = np.ones((4, 1))
    >>> round(tau2_standard_error(y, v, x, "DL", estimate_tau2(y, v, x, "DL")), 6)
    0.04725
    """
    if method == "CE":
        return float("nan")
    yi, vi, x = conditioned(yi, vi, x)
    k, p = x.shape
    inverse = 1 / (vi + tau2)
    if method == "ML":
        return float(np.sqrt(2 / np.sum(inverse**2)))
    if method == "REML":
        # The information of tau² is tr(PP)/2, and 2 tr(PP) is the variance for unit covariance.
        return 2 / float(np.sqrt(quadratic_variance(inverse, x, np.ones_like(vi))))
    if method in BY_Q:
        return float(np.sqrt(2 * k**2 / (k - p))) / float(np.sum(inverse))
    if method == "SJ" and np.ptp(yi) == 0:
        return 0.0
    weights, scale, _ = _moment(yi, vi, x, method)
    return scale * float(np.sqrt(quadratic_variance(weights, x, vi + tau2)))


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
    return weighted_q(yi, 1 / (vi + tau2), x)


def target_of_q(df: ArrayLike, method: str) -> Floats:
    """Return the value of Q that an estimator by Q looks for.

    Parameters
    ----------
    df : int or array_like
        Degrees of freedom, from 1.
    method : str
        EB, PM or PMM.

    Returns
    -------
    numpy.ndarray
        Of the shape of `df`: the mean of chi-squared for EB and PM, its median for PMM.

    Examples
    --------
    >>> float(target_of_q(2, "PM")), round(float(target_of_q(2, "PMM")), 6)
    (2.0, 1.386294)
    """
    df = np.asarray(df, dtype=float)
    return np.asarray(chdtri(df, 0.5)) if method == "PMM" else df


def weighted_q(yi: Floats, weights: Floats, x: Floats) -> float:
    """Return the weighted sum of squared residuals of the fit with these weights.

    Parameters
    ----------
    yi, weights, x : numpy.ndarray
        Effects (k,), positive weights (k,), design (k, p).

    Returns
    -------
    float
        Cochran's Q for weights ``1/vi``.

    Examples
    --------
    >>> round(weighted_q(np.array([0.0, 2.0]), np.ones(2), np.ones((2, 1))), 12)
    2.0
    """
    residual = residuals(yi, weights, x)
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
    plain = residuals(yi, np.ones_like(yi), x)
    # Q(t) <= RSS/t, so the root lies below RSS/target.
    high = float(plain @ plain) / target
    return find_root(lambda t: generalised_q(yi, vi, x, t) - target, 0.0, high)


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
    _, vi, x = conditioned(vi, vi, x)
    return float(len(vi) - x.shape[1]) / trace(1 / vi, x)


def conditioned(yi: Floats, vi: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
    """Bring a regression to a form whose equations stay well conditioned.

    Parameters
    ----------
    yi, vi, x : numpy.ndarray
        Effects (k,), variances (k,), design (k, p).

    Returns
    -------
    yi, vi, x : numpy.ndarray
        The same for one column, with effects that are all equal as 0. For several another
        regression with the same residuals: they depend on nothing of the design but its column
        space, so an orthonormal basis serves as well, also for moderators such as a calendar year.
        Rows of large weight come first, as `projection` asks for.

    Examples
    --------
    >>> y, v, x = conditioned(np.array([5.0, 7.0]), np.array([2.0, 1.0]), np.ones((2, 1)))
    >>> y.tolist(), v.tolist()
    ([5.0, 7.0], [2.0, 1.0])
    """
    if x.shape[1] == 1:
        if yi[0] == yi[-1] and (yi == yi[0]).all() and (x == x[0]).all():
            # The mean of equal numbers can be off by rounding, which tiny variances magnify.
            yi = np.zeros_like(yi)
        return yi, vi, x
    order = np.argsort(vi, kind="stable")
    yi = yi[order]
    if (x == x[0]).all(axis=0).any():
        # Beside an intercept a shift is nothing, and effects far from 0 lose digits in sums.
        yi = yi - yi[0]
    return yi, vi[order], np.linalg.qr(x)[0][order]


def _moment(yi: Floats, vi: Floats, x: Floats, method: str) -> tuple[Floats, float, float]:
    """Return weights, scale and offset of the estimate ``scale * y'Py - offset``."""
    k, df = len(yi), len(yi) - x.shape[1]
    if method == "HE":
        ones = np.ones_like(yi)
        return ones, 1 / df, float(np.sum(vi * slack(ones, x))) / df
    if method == "SJ":
        start = float(np.mean((yi - yi.mean()) ** 2))
        return start / (vi + start), 1 / df, 0.0
    if method == "DL":
        total = trace(1 / vi, x)
        return 1 / vi, 1 / total, df / total
    total = float(np.sum(1 / vi))
    return 1 / vi, (k / df if method == "HSk" else 1.0) / total, k / total
