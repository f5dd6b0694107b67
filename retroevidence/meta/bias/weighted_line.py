"""Weighted least squares with a variance estimated from the residuals, for a handful of columns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retroevidence.meta.interval import NAN, Interval, critical_value, two_sided

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Coefficient:
    """One coefficient with its t test; NaN where the points lie on the line exactly.

    Examples
    --------
    >>> Coefficient(0.5, 0.25, 8.0).statistic
    2.0
    """

    estimate: float
    se: float
    df: float

    @property
    def statistic(self) -> float:
        """Estimate over standard error."""
        return self.estimate / self.se if self.se > 0 else NAN

    @property
    def p_value(self) -> float:
        """Two-sided p-value of t."""
        return NAN if math.isnan(self.statistic) else two_sided(self.statistic, self.df)

    def ci(self, level: float) -> Interval:
        """Return the confidence interval."""
        if not self.se > 0:
            return Interval(NAN, NAN)
        reach = critical_value(level, self.df) * self.se
        return Interval(self.estimate - reach, self.estimate + reach)


def weighted_line(y: Floats, x: Floats, weights: Floats) -> tuple[list[Coefficient], Floats]:
    """Regress `y` on the columns of `x`, with variances known up to one factor.

    The multiplicative model ``var(y_i) = phi / weights_i``, phi the weighted residual mean square.

    Parameters
    ----------
    y, weights : numpy.ndarray, shape (k,)
        Responses and weights above 0.
    x : numpy.ndarray, shape (k, p)
        Columns, of full rank, ``p < k``.

    Returns
    -------
    coefficients : list of Coefficient
        One per column, with ``k - p`` degrees of freedom; a standard error of 0 says that the
        points lie on the line exactly.
    covariance : numpy.ndarray, shape (p, p)
        Of the coefficients.

    Examples
    --------
    >>> x = np.column_stack([np.ones(4), [1.0, 2.0, 3.0, 4.0]])
    >>> line, _ = weighted_line(np.array([1.0, 2.2, 2.8, 4.0]), x, np.ones(4))
    >>> round(line[1].estimate, 6), round(line[1].se, 6)
    (0.96, 0.084853)
    """
    root = np.sqrt(weights)
    # Columns of like size: the coefficients of 1/n and of n then come out equally precise.
    size = np.abs(root[:, None] * x).max(axis=0)
    orthogonal, upper = np.linalg.qr(root[:, None] * x / size)
    beta = np.linalg.solve(upper, orthogonal.T @ (root * y)) / size
    inverse = np.linalg.inv(upper) / size[:, None]
    residual = root * (y - x @ beta)
    df = len(y) - x.shape[1]
    factor = float(residual @ residual) / df
    if factor <= (1e-14 * float(np.abs(root * y).max())) ** 2:
        # Rounding is all that is left of the residuals.
        factor = 0.0
    covariance = factor * (inverse @ inverse.T)
    return [
        Coefficient(float(b), math.sqrt(max(0.0, float(c))), float(df))
        for b, c in zip(beta, np.diag(covariance), strict=True)
    ], covariance
