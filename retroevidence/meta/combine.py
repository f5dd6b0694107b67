"""Synthesis without sizes: combined p-values, the sign test, and exact proportions.

Cochrane Handbook, chapter 12: what has neither a size nor a variance can still say whether there
is an effect in at least one study (p-values) or on which side most studies lie (signs).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

from scipy.special import bdtrc

from retroevidence._show import Card, Carded, confidence, p_text, percent
from retroevidence.errors import PoolError
from retroevidence.meta.combine_p import Combined, brown, fisher, kost, stouffer
from retroevidence.meta.interval import Interval, check_level

__all__ = [
    "Combined",
    "Proportion",
    "SignTest",
    "brown",
    "fisher",
    "kost",
    "proportion",
    "sign_test",
    "stouffer",
]


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)


@dataclass(frozen=True, repr=False)
class SignTest(Carded):
    """How many of `k` studies lie on one side: the share, its exact interval and p-value.

    Attributes
    ----------
    n_positive, k : int
        Studies on the tested side, and studies on either side.
    estimate, ci : float and Interval
        Share on the tested side, in [0, 1], with its Clopper-Pearson interval.
    p_value : float
        Two-sided, against a share of one half.
    level : float
        Confidence of the interval.

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

    def _card(self) -> Card:
        low, high = percent(self.ci.low), percent(self.ci.high)
        pairs = [
            ("share", f"{percent(self.estimate)}  {confidence(self.level)} CI [{low}, {high}]"),
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
class Proportion(Carded):
    """A share of people with its exact interval and its one-sided upper limit.

    Attributes
    ----------
    x, n : int
        People with the event, and people observed.
    estimate, ci : float and Interval
        Share in [0, 1] with its two-sided Clopper-Pearson interval.
    upper_bound : float
        One-sided upper limit of the share, at the same confidence.
    level : float
        Confidence of `ci` and of `upper_bound`.

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

    def _card(self) -> Card:
        low, high = percent(self.ci.low, 1), percent(self.ci.high, 1)
        pairs = [
            ("share", f"{percent(self.estimate, 1)}  {confidence(self.level)} CI [{low}, {high}]"),
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
    whole = all(isinstance(count, Real) and float(count).is_integer() for count in (x, n))
    if not (whole and 0 <= x <= n and n > 0):
        raise PoolError(f"{x} of {n} is not a proportion; give whole numbers with 0 <= x <= n > 0.")
    check_level(level)
    # statsmodels is slow to import, and most calls of the library need no proportion.
    from statsmodels.stats.proportion import proportion_confint

    x, n = int(x), int(n)
    alpha = 1 - level
    low, high = proportion_confint(x, n, alpha=alpha, method="beta")
    # The one-sided limit is the upper end of the two-sided interval at twice the error.
    upper = proportion_confint(x, n, alpha=2 * alpha, method="beta")[1]
    return Proportion(x, n, x / n, Interval(float(low), float(high)), float(upper), level)
