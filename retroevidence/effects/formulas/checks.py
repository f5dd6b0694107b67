"""Checks of reported numbers: each says which number is impossible and what it must be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retroevidence.errors import EffectError

Floats = NDArray[np.float64]
Effect = tuple[Floats, Floats]


def above(name: str, value: Any, limit: float) -> Floats:
    """Return `value` as floats, each above `limit`; NaN passes.

    Examples
    --------
    >>> above("se", [0.5, 1], 0).tolist()
    [0.5, 1.0]
    """
    array = np.asarray(value, dtype=float)
    if np.any(array <= limit):
        raise EffectError(f"{name} is {first(array, array <= limit)}; it must be above {limit:g}.")
    return array


def at_least(name: str, value: Any, limit: float) -> Floats:
    """Return `value` as floats, none below `limit`; NaN passes.

    Examples
    --------
    >>> at_least("n", 2, 2).tolist()
    2.0
    """
    array = np.asarray(value, dtype=float)
    if np.any(array < limit):
        raise EffectError(
            f"{name} is {first(array, array < limit)}; it must be at least {limit:g}."
        )
    return array


def correlation(value: Any, name: str = "r") -> Floats:
    """Return `value` as floats, each between -1 and 1; NaN passes.

    Examples
    --------
    >>> correlation(-0.3).tolist()
    -0.3
    """
    array = np.asarray(value, dtype=float)
    broken = np.abs(array) > 1
    if np.any(broken):
        raise EffectError(f"{name} is {first(array, broken)}; a correlation lies between -1 and 1.")
    return array


def level_of(level: float) -> float:
    """Return a confidence level, which lies between 0 and 1.

    Examples
    --------
    >>> level_of(0.95)
    0.95
    """
    if not 0 < level < 1:
        raise EffectError(f"level={level} is not between 0 and 1; write 0.95 for 95%.")
    return level


def first(array: Floats, broken: NDArray[np.bool_]) -> str:
    """Return the first number that is broken, as text.

    Examples
    --------
    >>> import numpy as np
    >>> first(np.array([1.0, -2.0]), np.array([False, True]))
    '-2'
    """
    return f"{float(np.broadcast_to(array, np.shape(broken))[broken].flat[0]):g}"
