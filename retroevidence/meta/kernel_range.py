"""How large and small numbers may be, so that their powers stay within the range of a double.

It loads nothing of numba, so that :func:`retroevidence.meta.pool.pool` can ask it too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retroevidence.errors import PoolError

Floats = NDArray[np.float64]

LARGEST_EFFECT, LEAST_VARIANCE, LARGEST_VARIANCE = 1e40, 1e-60, 1e60
#: What lies outside, in words.
BEYOND = f"yi beyond {LARGEST_EFFECT:g} or vi outside of {LEAST_VARIANCE:g} to {LARGEST_VARIANCE:g}"
MEND = "cannot be computed with; state the effects in another unit"


def in_range(y: Floats, v: Floats) -> bool:
    """Return whether every effect and variance can be computed with; NaN cannot.

    Examples
    --------
    >>> in_range(np.array([0.1]), np.array([0.2])), in_range(np.array([0.1]), np.array([1e-70]))
    (True, False)
    """
    if not y.size:
        return True
    # NaN makes every comparison false.
    return bool(
        np.maximum.reduce(np.abs(y), axis=None) <= LARGEST_EFFECT
        and np.minimum.reduce(v, axis=None) >= LEAST_VARIANCE
        and np.maximum.reduce(v, axis=None) <= LARGEST_VARIANCE
    )


def check_range(y: Floats, v: Floats) -> None:
    """Raise if an effect or variance cannot be computed with.

    Raises
    ------
    PoolError
        If one is beyond the range, or NaN.

    Examples
    --------
    >>> check_range(np.array([1e50]), np.array([0.2]))
    Traceback (most recent call last):
        ...
    retroevidence.errors.PoolError: yi beyond 1e+40 or vi outside of 1e-60 to 1e+60 cannot ...
    """
    if not in_range(y, v):
        raise PoolError(f"{BEYOND} {MEND}.")
