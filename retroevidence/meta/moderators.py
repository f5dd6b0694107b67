"""Moderators as people give them: what enters, in which form, and what is said if it cannot."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from numpy.exceptions import ComplexWarning
from numpy.typing import NDArray

from retroevidence.errors import PoolError

Floats = NDArray[np.float64]
#: What pandas calls the contents of a column of objects that are all numbers.
_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")


def check_order(first: Any, second: Any, what: str, other: str) -> None:
    """Raise if two labelled things have the same labels in another order.

    Values are paired by position, so this can only be a slip.

    Parameters
    ----------
    first, second : object
        Series or frames; anything without an index passes.
    what, other : str
        What the second and the first are, for the message.

    Raises
    ------
    PoolError
        If the order differs.

    Examples
    --------
    >>> check_order(pd.Series([1, 2], ["a", "b"]), pd.Series([1, 2], ["b", "a"]), "vi", "yi")
    Traceback (most recent call last):
        ...
    retroevidence.errors.PoolError: vi has the labels of yi in another order; ...
    """
    if not all(isinstance(one, (pd.Series, pd.DataFrame)) for one in (first, second)):
        return
    if not first.index.equals(second.index) and set(first.index) == set(second.index):
        raise PoolError(
            f"{what} has the labels of {other} in another order; bring them into the same one."
        )


def plain_factors(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the rows with numbers and factors as formulaic knows them.

    A declared category that no row has would be a column of zeros, strings of Arrow numbers, and
    numbers in a column of objects categories.

    Examples
    --------
    >>> plain_factors(pd.DataFrame({"dose": [1, None]}, dtype=object), ["dose"])["dose"].dtype
    dtype('float64')
    """
    new: dict[str, Any] = {}
    for name in columns:
        dtype = rows[name].dtype
        if isinstance(dtype, pd.CategoricalDtype):
            new[name] = rows[name].cat.remove_unused_categories()
        elif isinstance(dtype, pd.StringDtype) or getattr(dtype, "type", None) is str:
            new[name] = rows[name].astype(object)
        elif (
            pd.api.types.is_object_dtype(dtype)
            and pd.api.types.infer_dtype(rows[name], skipna=True) in _NUMBERS
        ):
            new[name] = rows[name].astype(float)
    return rows.assign(**new)


def complete_rows(frame: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.bool_]:
    """Return which rows have every one of the columns, and no infinite number.

    Examples
    --------
    >>> complete_rows(pd.DataFrame({"dose": [1.0, None, np.inf]}), ["dose"]).tolist()
    [True, False, False]
    """
    whole = frame[list(columns)].notna().all(axis=1).to_numpy()
    for name in columns:
        if pd.api.types.is_float_dtype(frame[name]):
            whole = whole & ~np.isinf(frame[name].to_numpy(dtype=float, na_value=np.nan))
    return np.asarray(whole)


def finite_rows(values: Floats) -> Floats:
    """Return the rows, those that are not finite throughout as NaN.

    Examples
    --------
    >>> finite_rows(np.array([[1.0, 2.0], [3.0, np.inf]])).tolist()
    [[1.0, 2.0], [nan, nan]]
    """
    return np.where(np.isfinite(values).all(axis=1, keepdims=True), values, np.nan)


def once(frame: pd.DataFrame, columns: Sequence[str], what: str) -> pd.DataFrame:
    """Return the frame, or raise if one of the columns is there several times.

    Raises
    ------
    PoolError
        If it is.

    Examples
    --------
    >>> once(pd.DataFrame([[1, 2]], columns=["dose", "dose"]), ["dose"], "newdata")
    Traceback (most recent call last):
        ...
    retroevidence.errors.PoolError: newdata: several columns are called dose; keep one.
    """
    repeated = sorted({str(c) for c in frame.columns[frame.columns.duplicated()]} & set(columns))
    if repeated:
        raise PoolError(f"{what}: several columns are called {', '.join(repeated)}; keep one.")
    return frame


@contextmanager
def real_numbers() -> Iterator[None]:
    """Let a conversion to floats raise where numpy would drop the imaginary parts.

    Raises
    ------
    TypeError
        If it meets complex numbers.

    Examples
    --------
    >>> with real_numbers():
    ...     np.array([1 + 2j]).astype(float)
    Traceback (most recent call last):
        ...
    TypeError: some are complex
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ComplexWarning)
            yield
    except ComplexWarning as err:
        raise TypeError("some are complex") from err


def as_floats(column: pd.Series) -> Floats:
    """Return a column as floats, what is missing as NaN.

    Parameters
    ----------
    column : pandas.Series
        Numbers of any type, nullable and Arrow's too.

    Returns
    -------
    numpy.ndarray
        One float per row.

    Raises
    ------
    TypeError, ValueError
        If they are no real numbers.

    Examples
    --------
    >>> as_floats(pd.Series([1, pd.NA], dtype="Int64")).tolist()
    [1.0, nan]
    """
    # A date would become the number of its ticks.
    if column.dtype.kind in "mM":
        raise TypeError("some are dates or times")
    with real_numbers():
        return column.to_numpy(dtype=float, na_value=np.nan)


def first_sentence(err: Exception) -> str:
    r"""Return the first sentence of another library, without colours and its full stop.

    Examples
    --------
    >>> first_sentence(ValueError("No such thing. Try another.\nAnd so on."))
    'No such thing'
    """
    lines = re.sub("\x1b\\[[0-9;]*m", "", str(err)).strip().splitlines()
    return lines[0].split(". ")[0].rstrip(". ") if lines else type(err).__name__


def frame_of(newdata: Any) -> pd.DataFrame:
    """Return new studies given as a frame or a dict of columns as a frame.

    Raises
    ------
    PoolError
        If they are neither, or the columns are of different lengths.

    Examples
    --------
    >>> frame_of({"dose": [1, 2], "design": "rct"})["design"].tolist()
    ['rct', 'rct']
    """
    if isinstance(newdata, pd.DataFrame):
        return newdata
    if isinstance(newdata, Mapping):
        columns = {str(name): np.atleast_1d(np.asarray(v)) for name, v in newdata.items()}
        length = max((len(values) for values in columns.values()), default=0)
        for name, values in columns.items():
            if len(values) not in (1, length):
                raise PoolError(
                    f"predict: {name} has {len(values)} values and another column {length}; "
                    "give one value, or one per new study."
                )
        return pd.DataFrame({name: np.resize(v, length) for name, v in columns.items()})
    raise PoolError("predict: newdata must be a DataFrame or a dict of columns for a formula.")


def two_dimensional(values: Any, columns: int | None) -> Floats:
    """Return numbers as an array with one column per moderator.

    Parameters
    ----------
    values : array_like
        One or two dimensions.
    columns : int or None
        How many there should be, when that is known: a single row of several is then one study.

    Returns
    -------
    numpy.ndarray, shape (k, columns)
        Floats.

    Raises
    ------
    PoolError
        If they are no numbers.

    Examples
    --------
    >>> two_dimensional([1, 2], 2).shape, two_dimensional([1, 2], 1).shape
    ((1, 2), (2, 1))
    """
    if isinstance(values, Mapping):
        raise PoolError("moderators by name need a formula or a DataFrame; give one of these.")
    try:
        with real_numbers():
            array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as err:
        raise PoolError(
            f"moderators must be numbers ({err}); use a formula, such as '~ C(design)', for words."
        ) from err
    if array.ndim == 2:
        return array
    if array.ndim == 1 and columns not in (None, 1):
        return array[None, :]
    return array.reshape(-1, 1)
