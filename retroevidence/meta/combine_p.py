"""Combined p-values: from independent studies, and from tests that share people."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr, ndtri

from retroevidence._show import Card, Carded, number, p_text
from retroevidence.errors import PoolError

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Combined(Carded):
    """Combined p-values: the statistic, its one-sided p-value and the number of studies.

    Attributes
    ----------
    method : str
        Whose method combined them.
    statistic, df : float
        Chi-squared and its degrees of freedom, or a z, whose `df` is infinite.
    p_value : float
        One-sided: small when at least one study has an effect on the tested side.
    k : int
        Number of p-values.

    Examples
    --------
    >>> stouffer([0.02, 0.10, 0.30])
    Combined p-values, k = 3 (Stouffer)
      z          2.228
      one-sided  p = 0.013
    """

    method: str
    statistic: float
    p_value: float
    k: int
    df: float

    def _card(self) -> Card:
        name = "z" if math.isinf(self.df) else f"chi²({number(self.df, 1).removesuffix('.0')})"
        pairs = [(name, number(self.statistic)), ("one-sided", p_text(self.p_value))]
        return Card(f"Combined p-values, k = {self.k} ({self.method})", pairs)


def fisher(p: Any) -> Combined:
    """Combine one-sided p-values by Fisher's method: -2 Σ ln p against chi-squared with 2k df.

    A small result says that at least one study has an effect on the tested side; it says neither
    how large nor in how many.

    Parameters
    ----------
    p : array_like, shape (k,)
        Independent one-sided p-values, all for the same side.

    Returns
    -------
    Combined
        Statistic, p-value, k.

    Raises
    ------
    PoolError
        If there is no p-value, or one is missing or outside [0, 1].

    References
    ----------
    Fisher (1932), Statistical Methods for Research Workers, section 21.1.

    Examples
    --------
    >>> round(fisher([0.02, 0.10, 0.30]).p_value, 5)
    0.02156
    """
    values = _p_values(p)
    statistic = float(-2 * np.sum(np.log(values)))
    df = 2 * len(values)
    return Combined("Fisher", statistic, float(chdtrc(df, statistic)), len(values), df)


def stouffer(p: Any, weights: Any = None) -> Combined:
    """Combine one-sided p-values by Stouffer's method: Σ w z / sqrt(Σ w²).

    Symmetric: strong evidence for the other side gives a p-value near 1.

    Parameters
    ----------
    p : array_like, shape (k,)
        Independent one-sided p-values, all for the same side.
    weights : array_like, shape (k,), optional
        Above 0, such as the square root of the number of people; equal by default.

    Returns
    -------
    Combined
        Statistic z, p-value, k.

    Raises
    ------
    PoolError
        If there is no p-value, one is missing or outside [0, 1], or a weight is not above 0.

    References
    ----------
    Stouffer et al. (1949), The American Soldier; weights: Lipták (1958).

    Examples
    --------
    >>> round(stouffer([0.02, 0.10, 0.30], weights=[4, 3, 2]).p_value, 5)
    0.00746
    """
    values = _p_values(p)
    shares = np.ones_like(values) if weights is None else _numbers(weights, "weights")
    if shares.shape != values.shape or not np.all(np.isfinite(shares) & (shares > 0)):
        raise PoolError(
            f"weights must be {len(values)} finite numbers above 0, one per p-value; "
            "use the square roots of the sample sizes."
        )
    z = float(np.sum(shares * -ndtri(values)) / math.sqrt(float(np.sum(shares**2))))
    return Combined("Stouffer", z, float(ndtr(-z)), len(values), math.inf)


def brown(p: Any, *, correlation: Any) -> Combined:
    """Combine dependent one-sided p-values by Brown's method: Fisher's sum, scaled.

    Parameters
    ----------
    p : array_like, shape (k,)
        One-sided p-values, all for the same side.
    correlation : array_like, shape (k, k), or float
        Correlations between the test statistics behind the p-values (not between the p-values),
        such as ``numpy.corrcoef`` of the measurements tested; one number if all pairs share it.

    Returns
    -------
    Combined
        The scaled statistic, its p-value, k, and the degrees of freedom, which dependence lowers.

    Raises
    ------
    PoolError
        If a p-value is missing or outside [0, 1], or if `correlation` is no correlation matrix.

    Notes
    -----
    The sum ``X = -2 Σ ln p`` has mean 2k and variance ``4k + 2 Σ cov``; ``X / c`` is taken as
    chi-squared with f degrees of freedom, ``f = 2 (2k)² / var`` and ``c = var / 4k``. For a
    correlation r, ``cov = r (3.25 + 0.75 r)`` if r is not negative, else ``r (3.27 + 0.71 r)``
    (Brown 1975, doi 10.2307/2529826; fitted for normal statistics and r above -0.5).

    Examples
    --------
    >>> independent, alike = (brown([0.02, 0.10, 0.03], correlation=r).p_value for r in (0, 0.6))
    >>> round(independent, 5), round(alike, 5)
    (0.00348, 0.02322)
    """
    return _scaled(
        "Brown", p, correlation, lambda r: r * np.where(r < 0, 3.27 + 0.71 * r, 3.25 + 0.75 * r)
    )


def kost(p: Any, *, correlation: Any) -> Combined:
    """Combine dependent one-sided p-values by Kost and McDermott's method.

    Brown's method with a covariance that also serves strong correlations of either sign.

    Parameters
    ----------
    p : array_like, shape (k,)
        One-sided p-values, all for the same side.
    correlation : array_like, shape (k, k), or float
        Correlations between the test statistics behind the p-values, as in `brown`.

    Returns
    -------
    Combined
        The scaled statistic, its p-value, k, and the degrees of freedom.

    Raises
    ------
    PoolError
        If a p-value is missing or outside [0, 1], or if `correlation` is no correlation matrix.

    Notes
    -----
    As `brown`, with ``cov = 3.263 r + 0.710 r² + 0.027 r³`` (Kost & McDermott 2002,
    doi 10.1016/S0167-7152(02)00310-3, known variances).

    Examples
    --------
    >>> kost([0.02, 0.10, 0.03], correlation=0.6)
    Combined p-values, k = 3 (Kost & McDermott)
      chi²(2.8)  9.216
      one-sided  p = 0.023
    """
    return _scaled(
        "Kost & McDermott", p, correlation, lambda r: r * (3.263 + r * (0.710 + 0.027 * r))
    )


def _scaled(
    method: str, p: Any, correlation: Any, covariance: Callable[[Floats], Floats]
) -> Combined:
    values = _p_values(p)
    k = len(values)
    r = _correlations(correlation, k)
    pairs = covariance(r[np.triu_indices(k, 1)])
    variance = 4 * k + 2 * float(np.sum(pairs))
    scale, df = variance / (4 * k), 8 * k**2 / variance
    statistic = float(-2 * np.sum(np.log(values))) / scale
    return Combined(method, statistic, float(chdtrc(df, statistic)), k, df)


def _correlations(correlation: Any, k: int) -> Floats:
    given = _numbers(correlation, "correlation")
    r = np.where(np.eye(k, dtype=bool), 1.0, given) if given.ndim == 0 else given
    if r.shape != (k, k):
        raise PoolError(
            f"correlation has the shape {given.shape} for {k} p-values; give a {k} x {k} matrix "
            "or one number."
        )
    alike = np.isfinite(r).all() and np.allclose(r, r.T, rtol=0, atol=1e-8)
    # Rounding may leave a singular matrix a hair below 0.
    if (
        not alike
        or not np.allclose(np.diag(r), 1, rtol=0, atol=1e-8)
        or np.linalg.eigvalsh(r)[0] < -1e-6
    ):
        raise PoolError(
            "correlation is no correlation matrix (symmetric, ones on the diagonal, no negative "
            "eigenvalue); check how it was made."
        )
    return r


def _numbers(values: Any, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as err:
        raise PoolError(f"{name} must be numbers ({err}); convert them first.") from err


def _p_values(p: Any) -> Floats:
    values = np.atleast_1d(_numbers(p, "p")).ravel()
    if not len(values):
        raise PoolError("no p-value to combine; check the filter.")
    broken = ~((values >= 0) & (values <= 1))
    if broken.any():
        where = int(np.argmax(broken))
        raise PoolError(
            f"p-value {values[where]:g} at position {where} is not between 0 and 1; "
            "leave it out or correct it."
        )
    # A p of 0 or 1 is a rounded one: the nearest number inside keeps the sums finite.
    return np.asarray(np.clip(values, np.finfo(float).tiny, 1 - np.finfo(float).epsneg))
