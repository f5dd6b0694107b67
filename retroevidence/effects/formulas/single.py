"""Measures of one group: proportions, means, reliability, and effects given as they are.

The functions take floats or arrays that :func:`retroevidence.effects.measures.effect_size` has
checked.
"""

from __future__ import annotations

import numpy as np

from retroevidence.effects.formulas import zero_cells
from retroevidence.effects.formulas.checks import Effect, Floats


def pr(x: Floats, n: Floats, add: float = 0.5, to: str = "only0") -> Effect:
    """Proportion.

    Formula: p = x/n; variance p(1-p)/n

    Source: Schwarzer, Carpenter & Rücker 2015, doi 10.1007/978-3-319-21416-0.

    >>> "{:.4f} {:.4f}".format(*pr(3, 10))
    '0.3000 0.0210'
    """
    x, n = _corrected(x, n, add, to)
    p = x / n
    return p, p * (1 - p) / n


def pln(x: Floats, n: Floats, add: float = 0.5, to: str = "only0") -> Effect:
    """Log proportion.

    Formula: ln(x/n); variance 1/x - 1/n

    Source: Schwarzer, Carpenter & Rücker 2015, doi 10.1007/978-3-319-21416-0.

    >>> "{:.4f} {:.4f}".format(*pln(3, 10))
    '-1.2040 0.2333'
    """
    x, n = _corrected(x, n, add, to)
    return np.log(x / n), 1 / x - 1 / n


def plo(x: Floats, n: Floats, add: float = 0.5, to: str = "only0") -> Effect:
    """Logit of a proportion.

    Formula: ln(x/(n-x)); variance 1/x + 1/(n-x)

    Source: Schwarzer, Carpenter & Rücker 2015, doi 10.1007/978-3-319-21416-0.

    >>> "{:.4f} {:.4f}".format(*plo(3, 10))
    '-0.8473 0.4762'
    """
    x, n = _corrected(x, n, add, to)
    return np.log(x / (n - x)), 1 / x + 1 / (n - x)


def pas(x: Floats, n: Floats) -> Effect:
    """Arcsine square root of a proportion.

    Formula: arcsin √(x/n); variance 1/(4n)

    Source: Rücker et al. 2009, doi 10.1002/sim.3511.

    >>> "{:.4f} {:.4f}".format(*pas(3, 10))
    '0.5796 0.0250'
    """
    return np.arcsin(np.sqrt(x / n)), 1 / (4 * n)


def pft(x: Floats, n: Floats) -> Effect:
    """Freeman-Tukey double arcsine of a proportion, halved.

    Formula: (arcsin √(x/(n+1)) + arcsin √((x+1)/(n+1)))/2; variance 1/(4n+2)

    Source: Freeman & Tukey 1950, doi 10.1214/aoms/1177729756. Pooled values can mislead when they
    are turned back: Schwarzer et al. 2019, doi 10.1002/jrsm.1348.

    >>> "{:.4f} {:.4f}".format(*pft(3, 10))
    '0.5984 0.0238'
    """
    yi = (np.arcsin(np.sqrt(x / (n + 1))) + np.arcsin(np.sqrt((x + 1) / (n + 1)))) / 2
    return yi, 1 / (4 * n + 2)


def mn(m: Floats, sd: Floats, n: Floats) -> Effect:
    """Mean.

    Formula: m; variance sd²/n

    Source: definition of the standard error of a mean.

    >>> "{:.4f} {:.4f}".format(*mn(10, 3, 8))
    '10.0000 1.1250'
    """
    return m, sd**2 / n


def mnln(m: Floats, sd: Floats, n: Floats) -> Effect:
    """Log mean, by the delta method; NaN for means not above 0.

    Formula: ln m; variance sd²/(n m²)

    Source: Hedges, Gurevitch & Curtis 1999,
    doi 10.1890/0012-9658(1999)080[1150:TMAORR]2.0.CO;2, one of its two means.

    >>> "{:.4f} {:.4f}".format(*mnln(np.array(10), 3, 8))
    '2.3026 0.0112'
    """
    positive = np.where(m > 0, m, np.nan)
    return np.log(positive), sd**2 / (n * positive**2)


def araw(alpha: Floats, m: Floats, n: Floats) -> Effect:
    """Cronbach's alpha of m items as it is.

    Formula: α; variance 2m(1-α)²/((m-1)(n-2))

    Source: van Zyl, Neudecker & Nel 2000, doi 10.1007/BF02296146; with n-2 Bonett 2010,
    doi 10.1037/a0020142.

    >>> "{:.4f} {:.6f}".format(*araw(0.8, np.array(10), np.array(50)))
    '0.8000 0.001852'
    """
    df = np.where(n > 2, n - 2, np.nan)
    return alpha, 2 * m * (1 - alpha) ** 2 / ((m - 1) * df)


def gen(yi: Floats, vi: Floats) -> Effect:
    """Return an effect and its variance as they are given.

    Formula: yi; variance vi

    Source: the report itself.

    >>> gen(0.3, 0.04)
    (0.3, 0.04)
    """
    return yi, vi


def _corrected(x: Floats, n: Floats, add: float, to: str) -> tuple[Floats, Floats]:
    plus = zero_cells.for_proportion(x, n, add, to)
    return x + plus, n + 2 * plus
