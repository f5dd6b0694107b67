"""Measures of the same people twice: before and after, or under two conditions.

`m1` is the later time or the experimental condition; a change is 1 minus 2. The functions take
floats or arrays that :func:`retroevidence.effects.measures.effect_size` has checked.
"""

from __future__ import annotations

import numpy as np

from retroevidence.effects.formulas.checks import Effect, Floats
from retroevidence.effects.formulas.hedges import hedges_j
from retroevidence.effects.formulas.means import log_ratio


def mc(m1: Floats, m2: Floats, sd1: Floats, sd2: Floats, n: Floats, r: Floats) -> Effect:
    """Mean change.

    Formula: m1 - m2; variance (sd1² + sd2² - 2 r sd1 sd2)/n

    Source: Morris 2008, doi 10.1177/1094428106291059.

    >>> "{:.4f} {:.4f}".format(*mc(26, 21, 5, 6, 20, 0.6))
    '5.0000 1.2500'
    """
    return m1 - m2, change_variance(sd1, sd2, r) / n


def smcc(m1: Floats, m2: Floats, sd1: Floats, sd2: Floats, n: Floats, r: Floats) -> Effect:
    """Mean change in units of the SD of the changes; NaN where r makes that SD zero.

    Formula: g = J(n-1) (m1-m2)/SDd with SDd² = sd1² + sd2² - 2 r sd1 sd2; variance 1/n + g²/(2n)

    Source: Gibbons, Hedeker & Davis 1993, doi 10.3102/10769986018003271.

    >>> "{:.4f} {:.4f}".format(*smcc(26, 21, 5, 6, 20, 0.6))
    '0.9599 0.0730'
    """
    spread = change_variance(sd1, sd2, r)
    return _smcc((m1 - m2) / np.sqrt(np.where(spread > 0, spread, np.nan)), n)


def smcc_of_t(t: Floats, n: Floats) -> Effect:
    """Mean change in units of the SD of the changes, from the paired t.

    Formula: g = J(n-1) t/√n; variance 1/n + g²/(2n)

    Source: Gibbons, Hedeker & Davis 1993, doi 10.3102/10769986018003271.

    >>> "{:.4f} {:.4f}".format(*smcc_of_t(4.0, 16))
    '0.9490 0.0906'
    """
    return _smcc(t / np.sqrt(n), n)


def smcr(m1: Floats, m2: Floats, sd1: Floats, n: Floats, r: Floats) -> Effect:
    """Mean change in units of sd1, usually the SD before.

    Formula: g = J(n-1) (m1-m2)/sd1; variance 2(1-r)/n + g²/(2n)

    Source: Becker 1988, doi 10.1111/j.2044-8317.1988.tb00901.x.

    >>> "{:.4f} {:.4f}".format(*smcr(26, 21, 5, 20, 0.6))
    '0.9599 0.0630'
    """
    g = hedges_j(n - 1) * (m1 - m2) / sd1
    return g, 2 * (1 - r) / n + g**2 / (2 * n)


def smcrh(m1: Floats, m2: Floats, sd1: Floats, sd2: Floats, n: Floats, r: Floats) -> Effect:
    """Mean change in units of sd1, with a variance that allows unequal SDs.

    Formula: g = J(n-1) (m1-m2)/sd1; variance SDd²/(sd1²(n-1)) + g²/(2(n-1))

    Source: Bonett 2008, doi 10.1037/1082-989X.13.2.99.

    >>> "{:.4f} {:.4f}".format(*smcrh(26, 21, 5, 6, 20, 0.6))
    '0.9599 0.0769'
    """
    g = hedges_j(n - 1) * (m1 - m2) / sd1
    vi = change_variance(sd1, sd2, r) / (sd1**2 * (n - 1)) + g**2 / (2 * (n - 1))
    return g, vi


def smcrp(m1: Floats, m2: Floats, sd1: Floats, sd2: Floats, n: Floats, r: Floats) -> Effect:
    """Mean change in units of the average of both SDs.

    Formula: g = J(2(n-1)/(1+r²)) (m1-m2)/s with s² = (sd1²+sd2²)/2; variance
    2(1-r)/n + g²(1+r²)/(4n)

    Source: Cousineau 2020, doi 10.20982/tqmp.16.4.p418.

    >>> "{:.4f} {:.4f}".format(*smcrp(26, 21, 5, 6, 20, 0.6))
    '0.8808 0.0532'
    """
    g = _smcrp_estimate(m1, m2, sd1, sd2, n, r)
    return g, 2 * (1 - r) / n + g**2 * (1 + r**2) / (4 * n)


def smcrph(m1: Floats, m2: Floats, sd1: Floats, sd2: Floats, n: Floats, r: Floats) -> Effect:
    """Mean change in units of the average of both SDs, with a variance for unequal SDs.

    Formula: g as for SMCRP; variance
    SDd²/(s²(n-1)) + g²(sd1⁴ + sd2⁴ + 2 r² sd1² sd2²)/(8 s⁴ (n-1))

    Source: Bonett 2008, doi 10.1037/1082-989X.13.2.99, two dependent means.

    >>> "{:.4f} {:.4f}".format(*smcrph(26, 21, 5, 6, 20, 0.6))
    '0.8808 0.0572'
    """
    g = _smcrp_estimate(m1, m2, sd1, sd2, n, r)
    average = (sd1**2 + sd2**2) / 2
    fourth = sd1**4 + sd2**4 + 2 * r**2 * sd1**2 * sd2**2
    vi = change_variance(sd1, sd2, r) / (average * (n - 1)) + g**2 * fourth / (
        8 * average**2 * (n - 1)
    )
    return g, vi


def romc(
    m1: Floats,
    m2: Floats,
    sd1: Floats,
    sd2: Floats,
    n: Floats,
    r: Floats,
    correct: bool = True,
) -> Effect:
    """Log ratio of two dependent means; here sd1 belongs to m1.

    Formula: with c = sd/m, ln(m1/m2) + (c1² - c2²)/(2n); variance (c1² + c2² - 2 r c1 c2)/n

    Source: Lajeunesse 2011, doi 10.1890/11-0423.1; bias term Lajeunesse 2015,
    doi 10.1890/14-2402.1.

    >>> "{:.4f} {:.4f}".format(*romc(26, 21, 6, 5, 20, 0.6))
    '0.2135 0.0022'
    """
    c1, c2 = sd1 / m1, sd2 / m2
    yi = log_ratio(m1, m2) + (c1**2 - c2**2) / (2 * n) * correct
    return yi, (c1**2 + c2**2 - 2 * r * c1 * c2) / n


def change_variance(sd1: Floats, sd2: Floats, r: Floats) -> Floats:
    """Variance of the changes: ``sd1² + sd2² - 2 r sd1 sd2``.

    >>> round(change_variance(5, 6, 0.6), 4)
    25.0
    """
    return sd1**2 + sd2**2 - 2 * r * sd1 * sd2


def _smcc(d: Floats, n: Floats) -> Effect:
    g = hedges_j(n - 1) * d
    return g, 1 / n + g**2 / (2 * n)


def _smcrp_estimate(
    m1: Floats, m2: Floats, sd1: Floats, sd2: Floats, n: Floats, r: Floats
) -> Floats:
    factor = hedges_j(2 * (n - 1) / (1 + r**2))
    estimate: Floats = factor * (m1 - m2) / np.sqrt((sd1**2 + sd2**2) / 2)
    return estimate
