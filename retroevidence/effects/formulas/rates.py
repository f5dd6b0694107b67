"""Measures of two groups from events `x1`, `x2` in times at risk `t1`, `t2`.

The functions take floats or arrays that :func:`retroevidence.effects.measures.effect_size` has
checked.
"""

from __future__ import annotations

import numpy as np

from retroevidence.effects.formulas import zero_cells
from retroevidence.effects.formulas.checks import Effect, Floats


def irr(
    x1: Floats, t1: Floats, x2: Floats, t2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Log ratio of incidence rates.

    Formula: ln((x1/t1)/(x2/t2)); variance 1/x1 + 1/x2

    Source: Rothman, Greenland & Lash 2008, Modern Epidemiology, 3rd edition, chapter 14.

    >>> "{:.4f} {:.4f}".format(*irr(3, 100, 4, 80))
    '-0.5108 0.5833'
    """
    plus = zero_cells.for_rate_ratio(x1, t1, x2, t2, add, to)
    x1, x2 = x1 + plus, x2 + plus
    return np.log((x1 / t1) / (x2 / t2)), 1 / x1 + 1 / x2


def ird(
    x1: Floats, t1: Floats, x2: Floats, t2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Difference of incidence rates.

    Formula: x1/t1 - x2/t2; variance x1/t1² + x2/t2²

    Source: Rothman, Greenland & Lash 2008, Modern Epidemiology, 3rd edition, chapter 14.

    >>> "{:.4f} {:.6f}".format(*ird(3, 100, 4, 80))
    '-0.0200 0.000925'
    """
    plus = zero_cells.for_rate_difference(x1, t1, x2, t2, add, to)
    x1, x2 = x1 + plus, x2 + plus
    return x1 / t1 - x2 / t2, x1 / t1**2 + x2 / t2**2


def irsd(x1: Floats, t1: Floats, x2: Floats, t2: Floats) -> Effect:
    """Difference of square-root transformed incidence rates, whose variance needs no counts.

    Formula: √(x1/t1) - √(x2/t2); variance 1/(4 t1) + 1/(4 t2)

    Source: Freeman & Tukey 1950, doi 10.1214/aoms/1177729756, the square root of a Poisson count.

    >>> "{:.4f} {:.6f}".format(*irsd(3, 100, 4, 80))
    '-0.0504 0.005625'
    """
    return np.sqrt(x1 / t1) - np.sqrt(x2 / t2), 1 / (4 * t1) + 1 / (4 * t2)
