"""Synthesis without sizes: combined p-values, the sign test, and exact proportions.

Cochrane Handbook, chapter 12: what has neither a size nor a variance can still say whether there
is an effect in at least one study (p-values) or on which side most studies lie (signs).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, chdtrc, ndtr, ndtri

from retroevidence._show import Card, number, p_text, percent
from retroevidence.errors import PoolError
from retroevidence.meta.result import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Combined:
    """Combined p-values: the statistic, its one-sided p-value and the number of studies.

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

    def __repr__(self) -> str:
        """Return the card as text."""
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        name = "z" if self.method == "Stouffer" else f"chi²({2 * self.k})"
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
    return Combined("Fisher", statistic, float(chdtrc(2 * len(values), statistic)), len(values))


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
    shares = np.ones_like(values) if weights is None else np.asarray(weights, dtype=float)
    if shares.shape != values.shape or not np.all(np.isfinite(shares) & (shares > 0)):
        raise PoolError(
            f"weights must be {len(values)} finite numbers above 0, one per p-value; "
            "use the square roots of the sample sizes."
        )
    z = float(np.sum(shares * -ndtri(values)) / math.sqrt(float(np.sum(shares**2))))
    return Combined("Stouffer", z, float(ndtr(-z)), len(values))


def _p_values(p: Any) -> Floats:
    values = np.atleast_1d(np.asarray(p, dtype=float)).ravel()
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


@dataclass(frozen=True, repr=False)
class SignTest:
    """How many of `k` studies lie on one side: the share, its exact interval and p-value.

    Examples
    --------
    >>> sign_test(9, 10)
    Sign test, 9 of 10 studies on the tested side
      share      90%  95% CI [55%, 100%]
      two-sided  p = 0.021
    """

    n_positive: int
    k: int
    estimate: float
    ci: Interval
    p_value: float
    level: float = 0.95

    def __repr__(self) -> str:
        """Return the card as text."""
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        low, high = percent(self.ci.low), percent(self.ci.high)
        pairs = [
            ("share", f"{percent(self.estimate)}  {percent(self.level)} CI [{low}, {high}]"),
            ("two-sided", p_text(self.p_value)),
        ]
        title = f"Sign test, {self.n_positive} of {self.k} studies on the tested side"
        return Card(title, pairs)


def sign_test(n_positive: int, n_total: int, level: float = 0.95) -> SignTest:
    """Test exactly whether studies lie on one side more often than a coin would put them there.

    Parameters
    ----------
    n_positive : int
        Studies on the tested side.
    n_total : int
        Studies on either side; a study without a side does not count.
    level : float
        Confidence of the Clopper-Pearson interval.

    Returns
    -------
    SignTest
        Share, interval, two-sided binomial p-value (twice the smaller tail, at most 1).

    Raises
    ------
    PoolError
        If the counts are not whole numbers with ``0 <= n_positive <= n_total`` and ``n_total > 0``.

    Examples
    --------
    >>> round(sign_test(6, 6).p_value, 5)
    0.03125
    """
    share = proportion(n_positive, n_total, level)
    larger = max(share.x, share.n - share.x)
    # P(X >= larger) for a fair coin; bdtrc counts strictly above its first argument.
    tail = float(bdtrc(larger - 1, share.n, 0.5))
    return SignTest(share.x, share.n, share.estimate, share.ci, min(1.0, 2 * tail), level)


@dataclass(frozen=True, repr=False)
class Proportion:
    """A share of people with its exact interval; `upper_bound` is the one-sided limit.

    Examples
    --------
    >>> proportion(0, 50)
    0 of 50
      share                  0.0%  95% CI [0.0%, 7.1%]
      one-sided upper bound  5.8%
    """

    x: int
    n: int
    estimate: float
    ci: Interval
    upper_bound: float
    level: float = 0.95

    def __repr__(self) -> str:
        """Return the card as text."""
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        low, high = percent(self.ci.low, 1), percent(self.ci.high, 1)
        pairs = [
            ("share", f"{percent(self.estimate, 1)}  {percent(self.level)} CI [{low}, {high}]"),
            ("one-sided upper bound", percent(self.upper_bound, 1)),
        ]
        return Card(f"{self.x} of {self.n}", pairs)


def proportion(x: int, n: int, level: float = 0.95) -> Proportion:
    """Estimate a proportion with the exact interval of Clopper and Pearson (1934).

    With no events the two-sided limit is ``1 - (α/2)^(1/n)`` and the one-sided ``1 - α^(1/n)``,
    about 3/n at 95%.

    Parameters
    ----------
    x, n : int
        People with the event, and people observed.
    level : float
        Confidence, between 0 and 1.

    Returns
    -------
    Proportion
        Shares in [0, 1].

    Raises
    ------
    PoolError
        If the counts are not whole numbers with ``0 <= x <= n`` and ``n > 0``, or `level` is not
        between 0 and 1.

    References
    ----------
    Clopper & Pearson (1934), doi 10.1093/biomet/26.4.404.

    Examples
    --------
    >>> round(proportion(0, 100).upper_bound, 5)
    0.02951
    """
    if not (float(x).is_integer() and float(n).is_integer() and 0 <= x <= n and n > 0):
        raise PoolError(f"{x} of {n} is not a proportion; give whole numbers with 0 <= x <= n > 0.")
    if not 0 < level < 1:
        raise PoolError(f"level={level} is not between 0 and 1; write 0.95 for 95%.")
    # statsmodels is slow to import, and most calls of the library need no proportion.
    from statsmodels.stats.proportion import proportion_confint

    x, n = int(x), int(n)
    alpha = 1 - level
    low, high = proportion_confint(x, n, alpha=alpha, method="beta")
    # The one-sided limit is the upper end of the two-sided interval at twice the error.
    upper = proportion_confint(x, n, alpha=2 * alpha, method="beta")[1]
    return Proportion(x, n, x / n, Interval(float(low), float(high)), float(upper), level)
