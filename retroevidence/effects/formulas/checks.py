"""Checks of reported numbers: each says which number is impossible and what it must be."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import EffectError, unknown_name

Floats = NDArray[np.float64]
Effect = tuple[Floats, Floats]

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def shapes_fit(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Let a function say in words that its numbers cannot be broadcast against each other.

    Examples
    --------
    >>> shapes_fit(lambda a, b: numbers("a", a) + numbers("b", b))([1, 2], 3).tolist()
    [4.0, 5.0]
    """

    @wraps(function)
    def checked(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except ValueError as err:
            if isinstance(err, EffectError) or "broadcast" not in str(err):
                raise
            raise EffectError(
                f"{function.__name__}: the shapes of the numbers do not fit together; give one "
                "value per study, or one for all."
            ) from err

    return checked


def as_floats(name: str, value: Any) -> Floats:
    """Return `value` as floats; what is masked or None becomes NaN.

    Examples
    --------
    >>> as_floats("m1", [1, None]).tolist()
    [1.0, nan]
    """
    try:
        if isinstance(value, np.ma.MaskedArray):
            value = np.ma.filled(value.astype(float), np.nan)
        if getattr(getattr(value, "dtype", None), "kind", None) in ("m", "M"):
            raise TypeError("a time")
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError) as err:
        raise EffectError(
            f"{name} holds something that is not a number ({err}); convert it first, with NaN "
            "where it is missing."
        ) from err


def column(table: pd.DataFrame, name: str) -> Floats:
    """Return a column of a table as floats, with NaN where it is missing.

    Examples
    --------
    >>> column(pd.DataFrame({"n": [20, None]}), "n").tolist()
    [20.0, nan]
    """
    if name not in table.columns:
        raise unknown_name("column", str(name), map(str, table.columns))
    values = table[name]
    if not isinstance(values, pd.Series):
        raise EffectError(f"several columns are called {name!r}; rename all but one.")
    try:
        if values.dtype.kind in "mM":
            raise TypeError("a time")
        return pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as err:
        raise EffectError(
            f"column {name!r} holds something that is not a number ({err}); convert it first, "
            "with NaN where it is missing."
        ) from err


def numbers(name: str, value: Any) -> Floats:
    """Return `value` as floats, none infinite; NaN passes.

    Examples
    --------
    >>> numbers("m1", [1, 2]).tolist()
    [1.0, 2.0]
    """
    array = as_floats(name, value)
    if np.any(np.isinf(array)):
        raise EffectError(f"{name} is {first(array, np.isinf(array))}; a number must be finite.")
    return array


def not_zero(name: str, value: Any) -> Floats:
    """Return `value` as floats, none 0, since 0 would leave the spread unknown; NaN passes.

    Examples
    --------
    >>> not_zero("t", -2).tolist()
    -2.0
    """
    array = numbers(name, value)
    if np.any(array == 0):
        raise EffectError(f"a {name} of 0 leaves the spread unknown; use the reported SDs instead.")
    return array


def above(name: str, value: Any, limit: float, *, infinite: bool = False) -> Floats:
    """Return `value` as floats, each above `limit`; NaN passes, infinity where it is allowed.

    Examples
    --------
    >>> above("se", [0.5, 1], 0).tolist()
    [0.5, 1.0]
    """
    array = as_floats(name, value) if infinite else numbers(name, value)
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
    array = numbers(name, value)
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
    array = numbers(name, value)
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
    if not (isinstance(level, (int, float, np.number)) and 0 < level < 1):
        raise EffectError(f"level={level!r} is not between 0 and 1; write 0.95 for 95%.")
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
