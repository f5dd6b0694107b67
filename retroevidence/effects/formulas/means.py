"""Measures of two independent groups from means and standard deviations.

Group 1 is the experimental arm: a difference is 1 minus 2, a ratio 1 over 2. The functions take
floats or arrays that :func:`retroevidence.effects.measures.effect_size` has checked.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, stdtrit

from retroevidence.effects.formulas.checks import Effect, Floats
from retroevidence.effects.formulas.hedges import hedges_j

#: Log odds ratio per SD when the outcome behind the odds is logistic, and when it is normal.
LOGISTIC, NORMAL = np.pi / np.sqrt(3), 1.65


def md(m1: Floats, sd1: Floats, n1: Floats, m2: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Difference of means, variances of the groups taken as they are.

    Formula: m1 - m2; variance sd1²/n1 + sd2²/n2

    Source: Cochrane Handbook, chapter 6 (Higgins, Li & Deeks 2024).

    >>> "{:.4f} {:.4f}".format(*md(12, 3, 14, 9, 2, 11))
    '3.0000 1.0065'
    """
    return m1 - m2, sd1**2 / n1 + sd2**2 / n2


def smd(m1: Floats, sd1: Floats, n1: Floats, m2: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Hedges' g: difference in units of the pooled SD, freed of small-sample bias.

    Formula: g = J(n1+n2-2) (m1-m2)/pooled SD; variance 1/n1 + 1/n2 + g²/(2(n1+n2))

    Source: Hedges 1981, doi 10.3102/10769986006002107; variance as in Hedges & Olkin 1985.

    >>> "{:.4f} {:.4f}".format(*smd(12, 3, 14, 9, 2, 11))
    '1.1103 0.1870'
    """
    df = n1 + n2 - 2
    pooled = np.sqrt(((n1 - 1) * sd1**2 + (n2 - 1) * sd2**2) / df)
    return smd_of_d((m1 - m2) / pooled, n1, n2)


def smd_of_d(d: Floats, n1: Floats, n2: Floats) -> Effect:
    """Hedges' g from a reported Cohen's d, the difference in units of the pooled SD.

    Formula: g = J(n1+n2-2) d; variance 1/n1 + 1/n2 + g²/(2(n1+n2))

    Source: Hedges 1981, doi 10.3102/10769986006002107.

    >>> "{:.4f} {:.4f}".format(*smd_of_d(0.5, 20, 20))
    '0.4901 0.1030'
    """
    g = hedges_j(n1 + n2 - 2) * d
    return g, 1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2))


def smd_of_t(t: Floats, n1: Floats, n2: Floats) -> Effect:
    """Hedges' g from Student's t of two groups, positive when group 1 is higher.

    Formula: d = t sqrt(1/n1 + 1/n2), then as from d

    Source: Hedges 1981, doi 10.3102/10769986006002107.

    >>> "{:.4f} {:.4f}".format(*smd_of_t(2.5, 16, 16))
    '0.8616 0.1366'
    """
    return smd_of_d(t * np.sqrt(1 / n1 + 1 / n2), n1, n2)


def smd_of_p(p: Floats, sign: Floats, n1: Floats, n2: Floats) -> Effect:
    """Hedges' g from the exact two-sided p of a t test and the sign of the difference.

    Formula: |t| is the quantile of t(n1+n2-2) at 1 - p/2, then as from t

    Source: Cochrane Handbook, section 6.5.2.3.

    >>> "{:.4f} {:.4f}".format(*smd_of_p(0.03, -1, 15, 15))
    '-0.8123 0.1443'
    """
    return smd_of_t(sign * -stdtrit(n1 + n2 - 2, p / 2), n1, n2)


def smdh(m1: Floats, sd1: Floats, n1: Floats, m2: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Difference in units of the average SD of the groups, for unequal variances.

    Formula: with s² = (sd1²+sd2²)/2, g = J(n1+n2-2) (m1-m2)/s; variance
    g² (sd1⁴/(n1-1) + sd2⁴/(n2-1))/(8s⁴) + (sd1²/(n1-1) + sd2²/(n2-1))/s²

    Source: Bonett 2008, doi 10.1037/1082-989X.13.2.99.

    >>> "{:.4f} {:.4f}".format(*smdh(12, 3, 14, 9, 2, 11))
    '1.1378 0.1980'
    """
    var1, var2 = sd1**2, sd2**2
    average = (var1 + var2) / 2
    g = hedges_j(n1 + n2 - 2) * (m1 - m2) / np.sqrt(average)
    spread = var1**2 / (n1 - 1) + var2**2 / (n2 - 1)
    vi = g**2 * spread / (8 * average**2) + (var1 / (n1 - 1) + var2 / (n2 - 1)) / average
    return g, vi


def smd1(m1: Floats, n1: Floats, m2: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Glass's delta: difference in units of the SD of group 2, variances taken as equal.

    Formula: g = J(n2-1) (m1-m2)/sd2; variance 1/n1 + 1/n2 + g²/(2 n2)

    Source: Glass 1976, doi 10.3102/0013189X005010003; Hedges 1981.

    >>> "{:.4f} {:.4f}".format(*smd1(12, 14, 9, 2, 11))
    '1.3841 0.2494'
    """
    g = hedges_j(n2 - 1) * (m1 - m2) / sd2
    return g, 1 / n1 + 1 / n2 + g**2 / (2 * n2)


def smd1h(m1: Floats, sd1: Floats, n1: Floats, m2: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Glass's delta with a variance that allows the groups to vary unequally.

    Formula: g = J(n2-1) (m1-m2)/sd2; variance
    (sd1²/sd2²)/(n1-1) + 1/(n2-1) + g²/(2(n2-1))

    Source: Bonett 2008, doi 10.1037/1082-989X.13.2.99.

    >>> "{:.4f} {:.4f}".format(*smd1h(12, 3, 14, 9, 2, 11))
    '1.3841 0.3689'
    """
    g = hedges_j(n2 - 1) * (m1 - m2) / sd2
    return g, (sd1 / sd2) ** 2 / (n1 - 1) + 1 / (n2 - 1) + g**2 / (2 * (n2 - 1))


def rom(
    m1: Floats,
    sd1: Floats,
    n1: Floats,
    m2: Floats,
    sd2: Floats,
    n2: Floats,
    correct: bool = True,
) -> Effect:
    """Log ratio of means, its small-sample bias removed unless ``correct=False``.

    Formula: with c = sd²/(n m²), ln(m1/m2) + (c1-c2)/2; variance c1 + c2

    Source: Hedges, Gurevitch & Curtis 1999,
    doi 10.1890/0012-9658(1999)080[1150:TMAORR]2.0.CO;2; bias term Lajeunesse 2015,
    doi 10.1890/14-2402.1.

    >>> "{:.4f} {:.4f}".format(*rom(12, 3, 14, 9, 2, 11))
    '0.2877 0.0090'
    """
    c1, c2 = sd1**2 / (n1 * m1**2), sd2**2 / (n2 * m2**2)
    return log_ratio(m1, m2) + (c1 - c2) / 2 * correct, c1 + c2


def vr(sd1: Floats, n1: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Log ratio of standard deviations.

    Formula: with u = 1/(2(n-1)), ln(sd1/sd2) + u1 - u2; variance u1 + u2

    Source: Nakagawa et al. 2015, doi 10.1111/2041-210X.12309.

    >>> "{:.4f} {:.4f}".format(*vr(3, 14, 2, 11))
    '0.3939 0.0885'
    """
    u1, u2 = 1 / (2 * (n1 - 1)), 1 / (2 * (n2 - 1))
    return np.log(sd1 / sd2) + u1 - u2, u1 + u2


def cvr(
    m1: Floats,
    sd1: Floats,
    n1: Floats,
    m2: Floats,
    sd2: Floats,
    n2: Floats,
    correct: bool = True,
) -> Effect:
    """Log ratio of coefficients of variation, means and SDs taken as independent.

    Formula: log ratio of SDs minus log ratio of means; variance the sum of theirs

    Source: Nakagawa et al. 2015, doi 10.1111/2041-210X.12309; the bias term of the means Senior
    et al. 2020, doi 10.1002/jrsm.1423.

    >>> "{:.4f} {:.4f}".format(*cvr(12, 3, 14, 9, 2, 11))
    '0.1063 0.0974'
    """
    log_sd, var_sd = vr(sd1, n1, sd2, n2)
    log_mean, var_mean = rom(m1, sd1, n1, m2, sd2, n2, correct)
    return log_sd - log_mean, var_sd + var_mean


def cles(m1: Floats, sd1: Floats, n1: Floats, m2: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Common-language effect size: probability that one of group 1 is above one of group 2.

    Formula: with s² = sd1²+sd2² and z = (m1-m2)/s, Φ(z); variance
    φ(z)² [(sd1²/n1 + sd2²/n2)/s² + z² (sd1⁴/(n1-1) + sd2⁴/(n2-1))/(2s⁴)]

    Source: McGraw & Wong 1992, doi 10.1037/0033-2909.111.2.361, normal outcomes; variance by the
    delta method, with independent means and SDs.

    >>> "{:.2f} {:.6f}".format(*cles(69.7, 2.6, 988, 64.3, 2.8, 1066))
    '0.92 0.000032'
    """
    total = sd1**2 + sd2**2
    z = (m1 - m2) / np.sqrt(total)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    mean_part = (sd1**2 / n1 + sd2**2 / n2) / total
    sd_part = z**2 * (sd1**4 / (n1 - 1) + sd2**4 / (n2 - 1)) / (2 * total**2)
    return ndtr(z), density**2 * (mean_part + sd_part)


def d2or(m1: Floats, sd1: Floats, n1: Floats, m2: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Log odds ratio behind a difference of means, for a logistic outcome cut in two.

    Formula: d π/√3 with d = (m1-m2)/pooled SD; variance
    (1/n1 + 1/n2 + d²/(2(n1+n2))) π²/3

    Source: Hasselblad & Hedges 1995, doi 10.1037/0033-2909.117.1.167; Chinn 2000,
    doi 10.1002/1097-0258(20001130)19:22<3127::AID-SIM784>3.0.CO;2-M.

    >>> "{:.4f} {:.4f}".format(*d2or(12, 3, 14, 9, 2, 11))
    '2.0827 0.6208'
    """
    return _odds(*_plain_d(m1, sd1, n1, m2, sd2, n2), LOGISTIC)


def d2or_of_d(d: Floats, vi: Floats) -> Effect:
    """Log odds ratio behind a reported standardised difference and its variance, logistic outcome.

    Formula: d π/√3; variance vi π²/3

    Source: Hasselblad & Hedges 1995, doi 10.1037/0033-2909.117.1.167.

    >>> "{:.4f} {:.4f}".format(*d2or_of_d(0.5, 0.1))
    '0.9069 0.3290'
    """
    return _odds(d, vi, LOGISTIC)


def d2orn(m1: Floats, sd1: Floats, n1: Floats, m2: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Log odds ratio behind a difference of means, for a normal outcome cut in two.

    Formula: 1.65 d with d = (m1-m2)/pooled SD; variance
    1.65² (1/n1 + 1/n2 + d²/(2(n1+n2)))

    Source: Cox & Snell 1989, Analysis of Binary Data, 2nd edition; Sánchez-Meca et al. 2003,
    doi 10.1037/1082-989X.8.4.448.

    >>> "{:.4f} {:.4f}".format(*d2orn(12, 3, 14, 9, 2, 11))
    '1.8946 0.5138'
    """
    return _odds(*_plain_d(m1, sd1, n1, m2, sd2, n2), NORMAL)


def d2orn_of_d(d: Floats, vi: Floats) -> Effect:
    """Log odds ratio behind a reported standardised difference and its variance, normal outcome.

    Formula: 1.65 d; variance 1.65² vi

    Source: Sánchez-Meca et al. 2003, doi 10.1037/1082-989X.8.4.448.

    >>> "{:.4f} {:.4f}".format(*d2orn_of_d(0.5, 0.1))
    '0.8250 0.2722'
    """
    return _odds(d, vi, NORMAL)


def log_ratio(m1: Floats, m2: Floats) -> Floats:
    """Return ln(m1/m2), NaN where the means are not on one side of zero.

    >>> round(float(log_ratio(12, 9)), 4)
    0.2877
    """
    ratio = m1 / np.where(m2 == 0, np.nan, m2)
    return np.log(np.where(ratio > 0, ratio, np.nan))


def _plain_d(m1: Floats, sd1: Floats, n1: Floats, m2: Floats, sd2: Floats, n2: Floats) -> Effect:
    pooled = np.sqrt(((n1 - 1) * sd1**2 + (n2 - 1) * sd2**2) / (n1 + n2 - 2))
    d = (m1 - m2) / pooled
    return d, 1 / n1 + 1 / n2 + d**2 / (2 * (n1 + n2))


def _odds(d: Floats, vi: Floats, factor: float) -> Effect:
    return d * factor, vi * factor**2
