"""The exact small-sample factor of standardised mean differences."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln, poch

#: Above this, scipy's Pochhammer symbol is exact by its series.
_LARGE = 25_000


def hedges_j(df: Any) -> Any:
    r"""Small-sample factor that makes a standardised mean difference unbiased, exactly.

    :math:`J(m) = \Gamma(m/2) / (\sqrt{m/2}\,\Gamma((m-1)/2))` (Hedges 1981,
    doi 10.3102/10769986006002107). The usual :math:`1 - 3/(4m-1)` approximates it.

    Parameters
    ----------
    df : array_like
        Degrees of freedom of the standard deviation; NaN for one or fewer, where the mean of the
        standardised difference does not exist.

    Returns
    -------
    numpy.ndarray or numpy.float64
        The factor, below 1.

    Examples
    --------
    >>> round(float(hedges_j(10)), 6)
    0.922746
    """
    m = np.asarray(df, dtype=float)
    m = np.where(m > 1, m, np.nan)
    exact = np.exp(gammaln(m / 2) - gammaln((m - 1) / 2) - np.log(m / 2) / 2)
    # The difference of two logarithms of about m loses digits as m grows; poch knows the ratio.
    large = np.where(m > _LARGE, m, np.nan)
    return np.where(m > _LARGE, poch((large - 1) / 2, 0.5) / np.sqrt(large / 2), exact)[()]
