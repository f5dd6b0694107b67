"""Measures of association: correlations, plain, transformed and partial.

The functions take floats or arrays that :func:`retroevidence.effects.measures.effect_size` has
checked.
"""

from __future__ import annotations

import numpy as np

from retroevidence.effects.formulas.checks import Effect, Floats


def cor(r: Floats, n: Floats) -> Effect:
    """Correlation as it is.

    Formula: r; variance (1-r²)²/(n-1)

    Source: Hedges & Olkin 1985, Statistical Methods for Meta-Analysis, chapter 11.

    >>> "{:.4f} {:.4f}".format(*cor(0.4, 18))
    '0.4000 0.0415'
    """
    return r, (1 - r**2) ** 2 / (n - 1)


def zcor(r: Floats, n: Floats) -> Effect:
    """Fisher's z of a correlation; NaN for n up to 3 or a correlation of 1 or -1.

    Formula: artanh r; variance 1/(n-3)

    Source: Fisher 1921, On the "probable error" of a coefficient of correlation, Metron 1.

    >>> "{:.4f} {:.4f}".format(*zcor(np.array(0.4), np.array(18)))
    '0.4236 0.0667'
    """
    inside = np.where(np.abs(r) < 1, r, np.nan)
    return np.arctanh(inside), 1 / np.where(n > 3, n - 3, np.nan)


def pcor(r: Floats, n: Floats, m: Floats) -> Effect:
    """Partial correlation of a regression with m predictors, this one included.

    Formula: r; variance (1-r²)²/(n-m-1)

    Source: Aloe & Thompson 2013, doi 10.5243/jsswr.2013.24.

    >>> "{:.4f} {:.4f}".format(*pcor(np.array(0.33), np.array(40), np.array(3)))
    '0.3300 0.0221'
    """
    df = n - m - 1
    return r, (1 - r**2) ** 2 / np.where(df > 0, df, np.nan)


def pcor_of_t(t: Floats, n: Floats, m: Floats) -> Effect:
    """Partial correlation from the t of its regression coefficient, m predictors in all.

    Formula: r = t/√(t² + n-m-1); variance (1-r²)²/(n-m-1)

    Source: Aloe & Thompson 2013, doi 10.5243/jsswr.2013.24.

    >>> "{:.4f} {:.4f}".format(*pcor_of_t(np.array(2.1), np.array(40), np.array(3)))
    '0.3304 0.0220'
    """
    df = np.where(n - m - 1 > 0, n - m - 1, np.nan)
    return pcor(t / np.sqrt(t**2 + df), n, m)
