"""Measures of yes-or-no outcomes of the same people, or matched pairs, under two conditions.

Of the pairs `a` have the event under both conditions, `b` under condition 1 only, `c` under
condition 2 only and `d` under neither. A cross-over trial that prints only how many of its `n`
people had the event, `x1` under condition 1 and `x2` under condition 2, gives the same marginal
effects with the correlation `r` of the two outcomes (phi). The marginal measures MPRD, MPRR and
MPOR can be pooled with those of parallel groups; the conditional odds ratios MPORC and MPPETO
answer another question and lie further from 1 (Curtin et al. 2002, doi 10.1002/sim.1206). The
functions take floats or arrays that :func:`retroevidence.effects.measures.effect_size` has
checked.
"""

from __future__ import annotations

import numpy as np

from retroevidence.effects.formulas import zero_cells
from retroevidence.effects.formulas.checks import Effect, Floats


def mprd(a: Floats, b: Floats, c: Floats, d: Floats, add: float = 0.5, to: str = "only0") -> Effect:
    """Risk difference of matched pairs, marginal: that of the two conditions.

    Formula: with n = a+b+c+d, (b-c)/n; variance (b+c)/n² - (b-c)²/n³

    Source: May & Johnson 1997,
    doi 10.1002/(SICI)1097-0258(19970930)16:18<2127::AID-SIM633>3.0.CO;2-W.

    >>> "{:.4f} {:.4f}".format(*mprd(4, 7, 3, 20))
    '0.1176 0.0082'
    """
    plus = zero_cells.for_pairs_difference(a, b, c, d, add, to)
    b, c, n = b + plus, c + plus, a + b + c + d + 4 * plus
    return (b - c) / n, (b + c) / n**2 - (b - c) ** 2 / n**3


def mprr(a: Floats, b: Floats, c: Floats, d: Floats, add: float = 0.5, to: str = "only0") -> Effect:
    """Log risk ratio of matched pairs, marginal: that of the two conditions.

    Formula: ln((a+b)/(a+c)); variance (b+c)/((a+b)(a+c))

    Source: Zou 2007, doi 10.1177/1740774506075667.

    >>> "{:.4f} {:.4f}".format(*mprr(4, 7, 3, 20))
    '0.4520 0.1299'
    """
    plus = zero_cells.for_pairs_ratio(a, b, c, d, add, to)
    a, b, c = a + plus, b + plus, c + plus
    return np.log((a + b) / (a + c)), (b + c) / ((a + b) * (a + c))


def mpor(a: Floats, b: Floats, c: Floats, d: Floats, add: float = 0.5, to: str = "only0") -> Effect:
    """Log odds ratio of matched pairs, marginal: that of the two conditions.

    Formula: with n = a+b+c+d and the margins x = a+b, y = a+c, ln(x(n-y)/(y(n-x))); variance
    1/x + 1/(n-x) + 1/y + 1/(n-y) - 2n(an - xy)/(x(n-x)y(n-y))

    Source: Becker & Balagtas 1993, doi 10.2307/2532242; Elbourne et al. 2002,
    doi 10.1093/ije/31.1.140.

    >>> "{:.4f} {:.4f}".format(*mpor(4, 7, 3, 20))
    '0.6123 0.2304'
    """
    plus = zero_cells.for_pairs_ratio(a, b, c, d, add, to)
    a, b, c, d = a + plus, b + plus, c + plus, d + plus
    x, not_x, y, not_y = a + b, c + d, a + c, b + d
    # an - xy is ad - bc, which loses no digits.
    shared = 2 * (x + not_x) * (a * d - b * c) / (x * not_x * y * not_y)
    vi = 1 / x + 1 / not_x + 1 / y + 1 / not_y - shared
    # Without a pair that differs nothing but rounding is left.
    return np.log(x * not_y / (y * not_x)), np.where(b + c > 0, vi, 0.0)


def mporc(
    a: Floats, b: Floats, c: Floats, d: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Log odds ratio of matched pairs, conditional: from the pairs that differ.

    Formula: ln(b/c); variance 1/b + 1/c

    Source: Curtin et al. 2002, doi 10.1002/sim.1206, by Mantel and Haenszel.

    >>> "{:.4f} {:.4f}".format(*mporc(4, 7, 3, 20))
    '0.8473 0.4762'
    """
    plus = zero_cells.for_discordant_ratio(a, b, c, d, add, to)
    b, c = b + plus, c + plus
    return np.log(b / c), 1 / b + 1 / c


def mppeto(
    a: Floats, b: Floats, c: Floats, d: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Log odds ratio of matched pairs by Peto's one step, conditional; needs no correction.

    Formula: 2(b-c)/(b+c); variance 4/(b+c)

    Source: Curtin et al. 2002, doi 10.1002/sim.1206.

    >>> "{:.4f} {:.4f}".format(*mppeto(4, 7, 3, 20))
    '0.8000 0.4000'
    """
    plus = zero_cells.for_discordant_peto(a, b, c, d, add, to)
    b, c = b + plus, c + plus
    return 2 * (b - c) / (b + c), 4 / (b + c)


def mprd_of_margins(
    x1: Floats, x2: Floats, n: Floats, r: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Risk difference of n people under two conditions, from events and their correlation.

    Formula: p1 - p2 with p = x/n; with v = p(1-p)/n, variance v1 + v2 - 2 r √(v1 v2)

    Source: Elbourne et al. 2002, doi 10.1093/ije/31.1.140; it equals that of the pairs.

    >>> "{:.4f} {:.4f}".format(*mprd_of_margins(11, 7, 34, 0.2698))
    '0.1176 0.0082'
    """
    plus = zero_cells.for_difference(x1, n, x2, n, add, to)
    p1, p2, n = (x1 + plus) / (n + 2 * plus), (x2 + plus) / (n + 2 * plus), n + 2 * plus
    return p1 - p2, _together(p1 * (1 - p1) / n, p2 * (1 - p2) / n, r)


def mprr_of_margins(
    x1: Floats, x2: Floats, n: Floats, r: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Log risk ratio of n people under two conditions, from events and their correlation.

    Formula: ln(x1/x2); with v = 1/x - 1/n, variance v1 + v2 - 2 r √(v1 v2)

    Source: Elbourne et al. 2002, doi 10.1093/ije/31.1.140; it equals that of the pairs.

    >>> "{:.4f} {:.4f}".format(*mprr_of_margins(11, 7, 34, 0.2698))
    '0.4520 0.1299'
    """
    plus = zero_cells.for_ratio(x1, n, x2, n, add, to)
    x1, x2, n = x1 + plus, x2 + plus, n + 2 * plus
    return np.log(x1 / x2), _together(1 / x1 - 1 / n, 1 / x2 - 1 / n, r)


def mpor_of_margins(
    x1: Floats, x2: Floats, n: Floats, r: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Log odds ratio of n people under two conditions, from events and their correlation.

    Formula: ln(x1(n-x2)/(x2(n-x1))); with v = 1/x + 1/(n-x), variance v1 + v2 - 2 r √(v1 v2)

    Source: Elbourne et al. 2002, doi 10.1093/ije/31.1.140; it equals that of the pairs.

    >>> "{:.4f} {:.4f}".format(*mpor_of_margins(11, 7, 34, 0.2698))
    '0.6123 0.2304'
    """
    plus = zero_cells.for_ratio(x1, n, x2, n, add, to)
    x1, x2, n = x1 + plus, x2 + plus, n + 2 * plus
    vi = _together(1 / x1 + 1 / (n - x1), 1 / x2 + 1 / (n - x2), r)
    return np.log(x1 * (n - x2) / (x2 * (n - x1))), vi


def possible_r(x1: Floats, x2: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Return the least and the largest correlation that two numbers of events allow.

    So many people can share the event, and so few; NaN where a condition has no event or no
    non-event, and no correlation at all.

    >>> low, high = possible_r(np.array(2.0), np.array(20.0), np.array(40.0))
    >>> round(float(low), 3), round(float(high), 3)
    (-0.229, 0.229)
    """
    p1, p2 = x1 / n, x2 / n
    spread = np.sqrt(p1 * (1 - p1) * p2 * (1 - p2))
    spread = np.where(spread > 0, spread, np.nan)
    least, most = np.maximum(0, p1 + p2 - 1), np.minimum(p1, p2)
    return (least - p1 * p2) / spread, (most - p1 * p2) / spread


def _together(one: Floats, two: Floats, r: Floats) -> Floats:
    """Variance of a difference of two estimates with correlation r."""
    vi: Floats = one + two - 2 * r * np.sqrt(one * two)
    # Equal variances with r = 1 leave nothing but rounding.
    return np.where(vi > 1e-12 * (one + two), vi, 0.0)
