"""Measures of two groups from counts of events: `a` of `n1` people against `c` of `n2`.

The functions take floats or arrays that :func:`retroevidence.effects.measures.effect_size` has
checked. `add` and `to` say what is done about zero cells: see
:mod:`retroevidence.effects.formulas.zero_cells`.
"""

from __future__ import annotations

import numpy as np

from retroevidence.effects.formulas import zero_cells
from retroevidence.effects.formulas.checks import Effect, Floats
from retroevidence.effects.formulas.means import LOGISTIC, NORMAL


def log_or(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Log odds ratio.

    Formula: with b = n1-a and d = n2-c, ln(ad/(bc)); variance 1/a + 1/b + 1/c + 1/d

    Source: Woolf 1955, doi 10.1111/j.1469-1809.1955.tb01348.x.

    >>> "{:.4f} {:.4f}".format(*log_or(4, 20, 7, 20))
    '-0.7673 0.5323'
    """
    a, b, c, d = _cells(a, n1, c, n2, zero_cells.for_ratio(a, n1, c, n2, add, to))
    return np.log(a * d / (b * c)), 1 / a + 1 / b + 1 / c + 1 / d


def log_rr(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Log risk ratio.

    Formula: ln((a/n1)/(c/n2)); variance 1/a - 1/n1 + 1/c - 1/n2

    Source: Katz et al. 1978, doi 10.2307/2530610.

    >>> "{:.4f} {:.4f}".format(*log_rr(4, 20, 7, 20))
    '-0.5596 0.2929'
    """
    a, b, c, d = _cells(a, n1, c, n2, zero_cells.for_ratio(a, n1, c, n2, add, to))
    n1, n2 = a + b, c + d
    return np.log((a / n1) / (c / n2)), 1 / a - 1 / n1 + 1 / c - 1 / n2


def rd(a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0") -> Effect:
    """Risk difference; studies without events enter with a difference of 0.

    Formula: p1 - p2 with p1 = a/n1 and p2 = c/n2; variance p1(1-p1)/n1 + p2(1-p2)/n2

    Source: Cochrane Handbook, section 10.4.3 (Deeks, Higgins & Altman).

    >>> "{:.4f} {:.4f}".format(*rd(4, 20, 7, 20))
    '-0.1500 0.0194'
    """
    a, b, c, d = _cells(a, n1, c, n2, zero_cells.for_difference(a, n1, c, n2, add, to))
    n1, n2 = a + b, c + d
    return a / n1 - c / n2, a * b / n1**3 + c * d / n2**3


def peto(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Log odds ratio by Peto's one-step method, which needs no correction for a single zero.

    Formula: (a - E)/V with N = n1+n2, e = a+c, E = n1 e/N and V = n1 n2 e (N-e)/(N²(N-1));
    variance 1/V

    Source: Yusuf et al. 1985, doi 10.1016/S0033-0620(85)80003-7.

    >>> "{:.4f} {:.4f}".format(*peto(4, 20, 7, 20))
    '-0.7335 0.4890'
    """
    a, b, c, d = _cells(a, n1, c, n2, zero_cells.for_peto(a, n1, c, n2, add, to))
    n1, n2 = a + b, c + d
    total, events = n1 + n2, a + c
    v = n1 * n2 * events * (total - events) / (total**2 * (total - 1))
    return (a - n1 * events / total) / v, 1 / v


def arcsine_difference(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Difference of arcsine-transformed risks, defined for every table.

    Formula: arcsin √(a/n1) - arcsin √(c/n2); variance 1/(4 n1) + 1/(4 n2)

    Source: Rücker et al. 2009, doi 10.1002/sim.3511.

    >>> "{:.4f} {:.4f}".format(*arcsine_difference(4, 20, 7, 20))
    '-0.1694 0.0250'
    """
    a, b, c, d = _cells(a, n1, c, n2, zero_cells.for_defined(a, n1, c, n2, add, to))
    n1, n2 = a + b, c + d
    yi = np.arcsin(np.sqrt(a / n1)) - np.arcsin(np.sqrt(c / n2))
    return yi, 1 / (4 * n1) + 1 / (4 * n2)


def phi(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Correlation of two yes-or-no variables in one cross-section of people; NaN if perfect.

    Formula: with b = n1-a, d = n2-c, N = n1+n2, shares p = n1/N and q = (a+c)/N:
    φ = (ad - bc)/√(n1 n2 (a+c)(b+d)); variance
    [1 - φ² + φ(1 + φ²/2)(2p-1)(2q-1)/√(p(1-p)q(1-q))
    - 3φ²/4 ((2p-1)²/(p(1-p)) + (2q-1)²/(q(1-q)))]/N

    Source: Yule 1912, doi 10.2307/2340126.

    >>> "{:.4f} {:.4f}".format(*phi(3, 10, 5, 14))
    '-0.0598 0.0409'
    """
    a, b, c, d = _cells(a, n1, c, n2, zero_cells.for_defined(a, n1, c, n2, add, to))
    n1, n2 = a + b, c + d
    total = n1 + n2
    p, q = n1 / total, (a + c) / total
    yi = (a * d - b * c) / np.sqrt(n1 * n2 * (a + c) * (b + d))
    one, two = (2 * p - 1) ** 2 / (p * (1 - p)), (2 * q - 1) ** 2 / (q * (1 - q))
    cross = (2 * p - 1) * (2 * q - 1) / np.sqrt(p * (1 - p) * q * (1 - q))
    vi = (1 - yi**2 + yi * (1 + yi**2 / 2) * cross - 0.75 * yi**2 * (one + two)) / total
    # A perfect association has a variance of 0, which would take all the weight.
    return yi, np.where(1 - np.abs(yi) > 1e-12, vi, np.nan)


def or2d(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Standardised mean difference behind an odds ratio, for a logistic outcome cut in two.

    Formula: ln(OR) √3/π; variance 3/π² times that of ln(OR)

    Source: Hasselblad & Hedges 1995, doi 10.1037/0033-2909.117.1.167; Chinn 2000,
    doi 10.1002/1097-0258(20001130)19:22<3127::AID-SIM784>3.0.CO;2-M.

    >>> "{:.4f} {:.4f}".format(*or2d(4, 20, 7, 20))
    '-0.4230 0.1618'
    """
    return _over(log_or(a, n1, c, n2, add, to), LOGISTIC)


def or2dn(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Standardised mean difference behind an odds ratio, for a normal outcome cut in two.

    Formula: ln(OR)/1.65; variance that of ln(OR) over 1.65²

    Source: Cox & Snell 1989, Analysis of Binary Data, 2nd edition; Sánchez-Meca et al. 2003,
    doi 10.1037/1082-989X.8.4.448.

    >>> "{:.4f} {:.4f}".format(*or2dn(4, 20, 7, 20))
    '-0.4650 0.1955'
    """
    return _over(log_or(a, n1, c, n2, add, to), NORMAL)


def _cells(
    a: Floats, n1: Floats, c: Floats, n2: Floats, plus: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    return a + plus, n1 - a + plus, c + plus, n2 - c + plus


def _over(effect: Effect, factor: float) -> Effect:
    return effect[0] / factor, effect[1] / factor**2
