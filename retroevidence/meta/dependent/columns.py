"""Reading the columns of clustered effects: what is missing, doubled or no number is said so."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import PoolError

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def frame_with(effects: Any, *needed: Any) -> pd.DataFrame:
    """Return the effects as a frame that has every needed column once.

    Parameters
    ----------
    effects : pandas.DataFrame or mapping of columns
        One row per effect.
    *needed : str
        Names of columns.

    Returns
    -------
    pandas.DataFrame
        The same rows.

    Raises
    ------
    PoolError
        If it is no frame, or a column is missing or there twice.

    Examples
    --------
    >>> frame_with({"yi": [0.1, 0.2]}, "vi")
    Traceback (most recent call last):
        ...
    retroevidence.errors.PoolError: effects has no column vi; add it, or name yours.
    """
    for name in needed:
        if not isinstance(name, Hashable):
            raise PoolError(
                f"a {type(name).__name__} stands where the name of a column belongs; put it into "
                "effects and give its name."
            )
    if not isinstance(effects, (pd.DataFrame, Mapping)):
        raise PoolError(
            f"effects is a {type(effects).__name__}; give a DataFrame with the columns "
            f"{', '.join(map(str, needed))}."
        )
    try:
        frame = pd.DataFrame(effects)
    except ValueError as err:
        raise PoolError(f"effects is no table ({err}); give columns of one length.") from err
    absent = [str(name) for name in needed if name not in frame.columns]
    if absent:
        raise PoolError(f"effects has no column {', '.join(absent)}; add it, or name yours.")
    twice = frame.columns[frame.columns.duplicated()].unique()
    if len(twice):
        raise PoolError(
            f"effects has two columns {', '.join(map(str, twice))}; drop or rename one."
        )
    return frame


def numbers(frame: pd.DataFrame, name: Any) -> Floats:
    """Return a column as floats, NaN where it is missing.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `frame_with` gives it.
    name : str
        The column.

    Returns
    -------
    numpy.ndarray, shape (n,)
        Its values.

    Raises
    ------
    PoolError
        If a value is no number.

    Examples
    --------
    >>> numbers(pd.DataFrame({"n": pd.array([1, None], dtype="Int64")}), "n").tolist()
    [1.0, nan]
    """
    column = frame[name]
    try:
        # Dates and complex numbers would turn into floats without a word.
        if column.dtype.kind in "mMc":
            raise TypeError(f"they are {column.dtype}")
        return np.asarray(column.to_numpy(dtype=float, na_value=np.nan))
    except (TypeError, ValueError) as err:
        raise PoolError(f"{name} must be numbers ({err}); convert them first.") from err


def groups(column: pd.Series[Any]) -> tuple[Ints, pd.Index]:
    """Return a number for each row, by first appearance of its value; -1 where it is missing.

    Parameters
    ----------
    column : pandas.Series
        Names of clusters or outcomes.

    Returns
    -------
    codes, labels : numpy.ndarray of int and pandas.Index
        Number of each row, and the values.

    Raises
    ------
    PoolError
        If a value is a list or a dictionary, which names nothing.

    Examples
    --------
    >>> groups(pd.Series(["b", "a", "b"]))[0].tolist()
    [0, 1, 0]
    """
    try:
        codes, labels = pd.factorize(column)
    except TypeError as err:
        raise PoolError(
            f"the column {column.name} cannot name groups ({err}); use words or numbers."
        ) from err
    return np.asarray(codes, dtype=np.intp), pd.Index(labels)


def one_number(value: Any, name: str) -> float:
    """Return an assumption such as a correlation as a float.

    Parameters
    ----------
    value : float
        What the user gave.
    name : str
        How the user calls it.

    Returns
    -------
    float
        The same; NaN stays NaN.

    Raises
    ------
    PoolError
        If it is no single number.

    Examples
    --------
    >>> one_number(np.float32(0.5), "rho")
    0.5
    """
    try:
        if isinstance(value, str) or np.ndim(value):
            raise TypeError
        return float(value)
    except (TypeError, ValueError) as err:
        raise PoolError(f"{name}={value!r} is not a number; give one, such as 0.6.") from err
