"""Reading what is to be pooled: any form of effects to one frame, and what of it can enter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import PoolError, check_name
from retroevidence.meta.interval import TESTS, check_level
from retroevidence.meta.kernel_range import (
    BEYOND,
    LARGEST_EFFECT,
    LARGEST_VARIANCE,
    LEAST_VARIANCE,
    MEND,
    in_range,
)
from retroevidence.meta.moderators import as_floats, check_order
from retroevidence.meta.regression import Design
from retroevidence.meta.tau2 import METHODS
from retroevidence.meta.wording import listed, study_names

Floats = NDArray[np.float64]


def plain_numbers(yi: Any, vi: Any) -> tuple[Floats, Floats] | None:
    """Return effects and variances that need no word said about them, the common and fast case.

    Anything else (names to keep, gaps, wrong shapes) is None, and goes the way that reports it.

    Examples
    --------
    >>> plain_numbers([0.1, None], [0.1, 0.2]) is None
    True
    """
    if isinstance(yi, pd.Series) or isinstance(vi, pd.Series):
        return None
    try:
        y, v = np.array(yi), np.array(vi)
    except (TypeError, ValueError):
        return None
    if y.ndim != 1 or y.shape != v.shape or not len(y):
        return None
    if y.dtype.kind not in "iuf" or v.dtype.kind not in "iuf":
        return None
    y, v = y.astype(float, copy=False), v.astype(float, copy=False)
    return (y, v) if in_range(y, v) else None


def check_choices(method: str, test: str, level: float) -> None:
    """Raise if a method or test is unknown, or a level impossible.

    Parameters
    ----------
    method, test, level : str, str and float
        As in :func:`retroevidence.meta.pool.pool`.

    Raises
    ------
    PoolError
        If `level` is not between 0 and 1.
    UnknownNameError
        If `method` or `test` is unknown.

    Examples
    --------
    >>> check_choices("REML", "knha", 0.95)
    """
    check_name("method", method, METHODS)
    check_name("test", test, TESTS)
    check_level(level)


def assembled(effects: Any, yi: Any, vi: Any, data: pd.DataFrame | None) -> pd.DataFrame:
    """Bring every form of input to one frame with `yi` and `vi`, keeping the user's index.

    Parameters
    ----------
    effects, yi, vi, data
        As in :func:`retroevidence.meta.pool.pool`.

    Returns
    -------
    pandas.DataFrame
        One row per effect.

    Raises
    ------
    PoolError
        If a part is missing, given twice, of another length, or no number.

    Examples
    --------
    >>> assembled(None, [0.1, 0.2], 0.5, None)["vi"].tolist()
    [0.5, 0.5]
    """
    if effects is not None:
        if yi is not None or vi is not None:
            raise PoolError("give either effects or yi= and vi=, not both.")
        if not isinstance(effects, (pd.DataFrame, Mapping)):
            raise PoolError(
                f"effects is a {type(effects).__name__}; give a DataFrame with columns yi and vi, "
                "or yi= and vi=."
            )
        try:
            frame = pd.DataFrame(effects)
        except ValueError as err:
            raise PoolError(
                f"effects is no table ({err}); give columns of one length, one value per effect."
            ) from err
        absent = [name for name in ("yi", "vi") if name not in frame.columns]
        if absent:
            raise PoolError(
                f"effects has no column {', '.join(absent)}; "
                "make them with effect_size, or rename yours."
            )
        if data is not None:
            _same_length(len(_table(data)), len(frame), "data")
            frame = frame.assign(
                **{str(c): data[c].to_numpy() for c in data.columns if c not in frame.columns}
            )
    else:
        if yi is None or vi is None:
            raise PoolError("give effects (a DataFrame with yi and vi), or both yi= and vi=.")
        if isinstance(yi, str) or isinstance(vi, str):
            raise PoolError("yi= and vi= take numbers, not names of columns; pass the frame first.")
        check_order(yi, vi, "vi", "yi")
        values, variances = np.atleast_1d(yi), np.atleast_1d(vi)
        if values.ndim > 1 or variances.ndim > 1:
            raise PoolError("yi and vi must have one dimension each; give one number per effect.")
        if variances.size == 1 and values.size > 1:
            variances = np.full(values.shape, variances[0])
        _same_length(variances.size, values.size, "vi")
        if data is not None:
            _same_length(len(_table(data)), values.size, "data")
            frame = data.assign(yi=values, vi=variances)
        else:
            index = yi.index if isinstance(yi, pd.Series) else None
            frame = pd.DataFrame({"yi": values, "vi": variances}, index=index)
    for name in ("yi", "vi", "study_id", "label", "measure", "comparison"):
        if isinstance(frame.get(name), pd.DataFrame):
            raise PoolError(f"the effects have several columns called {name}; keep one.")
    if frame["yi"].dtype == float and frame["vi"].dtype == float:
        return frame
    try:
        return frame.assign(yi=as_floats(frame["yi"]), vi=as_floats(frame["vi"]))
    except (TypeError, ValueError) as err:
        raise PoolError(f"yi and vi must be numbers ({err}); convert them first.") from err


def _table(data: Any) -> pd.DataFrame:
    if not isinstance(data, pd.DataFrame):
        raise PoolError(f"data is a {type(data).__name__}; give a DataFrame, one row per effect.")
    return data


def _same_length(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise PoolError(f"{what} has {found} rows for {wanted} effects; give one row per effect.")


def one_measure(frame: pd.DataFrame) -> str:
    """Return the measure of the effects; empty if none is named.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `assembled` gives it.

    Returns
    -------
    str
        One name.

    Raises
    ------
    PoolError
        If there are several.

    Examples
    --------
    >>> one_measure(pd.DataFrame({"yi": [0.1], "vi": [0.1], "measure": ["SMD"]}))
    'SMD'
    """
    if "measure" not in frame.columns:
        return ""
    entering = frame["yi"].notna() & frame["vi"].notna()
    found = sorted({str(name) for name in frame.loc[entering, "measure"].dropna()} - {""})
    if len(found) > 1:
        raise PoolError(
            f"the effects mix the measures {', '.join(found)}; pool one measure at a time."
        )
    return found[0] if found else ""


def usable(frame: pd.DataFrame, design: Design) -> tuple[pd.DataFrame, Design, list[str]]:
    """Drop what cannot enter, and say which rows and why.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `assembled` gives it.
    design : Design
        One row per row of the frame.

    Returns
    -------
    pandas.DataFrame, Design, list of str
        What enters, and a note for each reason that leaves rows out.

    Raises
    ------
    PoolError
        If nothing enters, an effect is infinite, a variance not above 0, or a comparison twice.

    Examples
    --------
    >>> frame = pd.DataFrame({"yi": [0.1, None], "vi": [0.1, 0.1]})
    >>> usable(frame, Design.plain(2))[2]
    ['Left out, no effect or variance: 1.']
    """
    notes: list[str] = []
    y, v = frame["yi"].to_numpy(float), frame["vi"].to_numpy(float)
    names = np.array(study_names(frame), dtype=object)
    for broken, rule in (
        (np.isinf(y), "yi is infinite; correct it or leave the row out"),
        (
            (v <= 0) & ~np.isnan(y),
            "vi must be above 0; check that it is a variance and not missing",
        ),
    ):
        if broken.any():
            raise PoolError(f"{listed(names[broken])}: {rule}.")
    missing = np.isnan(y) | ~np.isfinite(v)
    unmoderated = ~missing & np.isnan(design.matrix).any(axis=1)
    if missing.any():
        notes.append(f"Left out, no effect or variance: {listed(names[missing])}.")
    if unmoderated.any():
        notes.append(f"Left out, a moderator is missing or infinite: {listed(names[unmoderated])}.")
    keep = ~(missing | unmoderated)
    if not keep.any():
        raise PoolError(
            f"no effect to pool: none of the {len(frame)} rows has both yi and vi"
            f"{' and every moderator' if design.moderators else ''}; check the filter."
        )
    frame = frame.loc[keep]
    _check_repeats(frame)
    return frame, replace(design, matrix=design.matrix[keep]), notes


def check_sizes(frame: pd.DataFrame) -> None:
    """Raise if a number is so large or small that its powers leave the range of a double.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `usable` gives it.

    Raises
    ------
    PoolError
        If an effect is beyond 1e40, or a variance outside of 1e-60 to 1e60.

    Examples
    --------
    >>> check_sizes(pd.DataFrame({"yi": [0.1, 1.0], "vi": [0.1, 1e-200]}))
    Traceback (most recent call last):
        ...
    retroevidence.errors.PoolError: 1: yi beyond 1e+40 or vi outside of 1e-60 to 1e+60 cannot ...
    """
    y, v = frame["yi"].to_numpy(float), frame["vi"].to_numpy(float)
    beyond = (np.abs(y) > LARGEST_EFFECT) | (v < LEAST_VARIANCE) | (v > LARGEST_VARIANCE)
    if beyond.any():
        names = np.array(study_names(frame), dtype=object)[beyond]
        raise PoolError(f"{listed(names)}: {BEYOND} {MEND}.")


def _check_repeats(frame: pd.DataFrame) -> None:
    if "comparison" not in frame.columns:
        return
    keys = [name for name in ("study_id", "comparison") if name in frame.columns]
    given = frame.loc[frame["comparison"].notna() & (frame["comparison"].astype(str) != ""), keys]
    repeated = given[given.duplicated(keep="first")].drop_duplicates()
    if len(repeated):
        which = [" / ".join(map(str, row)) for row in repeated.itertuples(index=False)]
        raise PoolError(
            f"the same comparison enters twice: {listed(np.array(which, dtype=object))}; "
            "keep one row of each."
        )
