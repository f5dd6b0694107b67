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
from retroevidence.meta.likelihood import find_root as find_root
from retroevidence.meta.likelihood import log_likelihood as log_likelihood
from retroevidence.meta.likelihood import maximum_likelihood as maximum_likelihood
from retroevidence.meta.projection import _others as _others
from retroevidence.meta.projection import quadratic_variance, residuals, slack, trace

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
    if x.shape[1] > 1:
        # An orthonormal basis of the same column space: tau² depends on nothing else of x, and
        # the equations stay well conditioned for moderators such as a calendar year. Rows of
        # large weight come first, as `projection` asks for.
        order = np.argsort(vi, kind="stable")
        yi, vi, x = yi[order], vi[order], np.linalg.qr(x)[0][order]
    return _ESTIMATORS[method](yi, vi, x)


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
    if x.shape[1] > 1:
        order = np.argsort(vi, kind="stable")
        vi, x = vi[order], np.linalg.qr(x)[0][order]
    return float(len(vi) - x.shape[1]) / trace(1 / vi, x)


# Estimators -------------------------------------------------------------------------------------


def _moment(
    yi: Floats, vi: Floats, x: Floats, weights: Floats, scale: float, offset: float
) -> tuple[float, float]:
    """Estimate ``scale * y'Py - offset``, cut at 0, with its standard error."""
    residual = residuals(yi, weights, x)
    tau2 = max(0.0, scale * float(np.sum(weights * residual**2)) - offset)
    return tau2, scale * float(np.sqrt(quadratic_variance(weights, x, vi + tau2)))


def _dl(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    total = trace(1 / vi, x)
    return _moment(yi, vi, x, 1 / vi, 1 / total, (len(yi) - x.shape[1]) / total)


def _he(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    ones = np.ones_like(yi)
    df = len(yi) - x.shape[1]
    return _moment(yi, vi, x, ones, 1 / df, float(np.sum(vi * slack(ones, x))) / df)


def _hs(yi: Floats, vi: Floats, x: Floats, factor: float = 1.0) -> tuple[float, float]:
    total = float(np.sum(1 / vi))
    return _moment(yi, vi, x, 1 / vi, factor / total, len(yi) / total)


def _hsk(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    return _hs(yi, vi, x, len(yi) / (len(yi) - x.shape[1]))


def _sj(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    # Asked of the effects themselves: the mean of equal numbers can be off by rounding.
    if np.ptp(yi) == 0:
        return 0.0, 0.0
    start = float(np.mean((yi - yi.mean()) ** 2))
    return _moment(yi, vi, x, start / (vi + start), 1 / (len(yi) - x.shape[1]), 0.0)


def _pm(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    k, df = len(yi), len(yi) - x.shape[1]
    tau2 = solve_q(yi, vi, x, df)
    return tau2, float(np.sqrt(2 * k**2 / df)) / float(np.sum(1 / (vi + tau2)))


def _ml(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    tau2 = maximum_likelihood(yi, vi, x, restricted=False)
    return tau2, float(np.sqrt(2 / np.sum((vi + tau2) ** -2.0)))


def _reml(yi: Floats, vi: Floats, x: Floats) -> tuple[float, float]:
    tau2 = maximum_likelihood(yi, vi, x, restricted=True)
    weights = 1 / (vi + tau2)
    # The information of tau² is tr(PP)/2, and 2 tr(PP) is the variance for unit covariance.
    return tau2, 2 / float(np.sqrt(quadratic_variance(weights, x, np.ones_like(vi))))


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
