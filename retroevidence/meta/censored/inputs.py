"""Reading effects of which some have limits instead of a size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import PoolError
from retroevidence.meta.censored.likelihood import Rows
from retroevidence.meta.interval import NAN
from retroevidence.meta.wording import listed, study_names

Floats = NDArray[np.float64]


def read_effects(
    effects: pd.DataFrame | Mapping[str, Any],
) -> tuple[pd.DataFrame, Rows, str, list[str]]:
    """Return the rows that can enter, as given and as intervals, their measure, and notes.

    Parameters
    ----------
    effects : pandas.DataFrame or mapping
        As in :func:`retroevidence.meta.censored.pool.pool_censored`.

    Returns
    -------
    pandas.DataFrame, Rows, str, list of str
        The rows with the user's index, their intervals, one measure or none, and a note for each
        reason that leaves rows out.

    Raises
    ------
    PoolError
        If nothing can enter, a variance is not above 0, a lower limit exceeds the upper one, or
        measures are mixed.

    Examples
    --------
    >>> frame, rows, _, notes = read_effects({"yi": [0.1, None], "vi": [0.2, 0.2]})
    >>> len(rows), notes
    (1, ['Left out, neither a size nor a limit: 1.'])
    """
    if not isinstance(effects, (pd.DataFrame, Mapping)):
        raise PoolError(
            f"effects is a {type(effects).__name__}; give a DataFrame with columns yi and vi, and "
            "lower and upper where yi is missing."
        )
    frame = pd.DataFrame(effects)
    absent = [name for name in ("yi", "vi") if name not in frame.columns]
    if absent:
        raise PoolError(
            f"effects has no column {', '.join(absent)}; "
            "make them with effect_size, or rename yours."
        )
    y, v = _column(frame, "yi"), _column(frame, "vi")
    lower, upper = _column(frame, "lower"), _column(frame, "upper")
    names = np.array(study_names(frame), dtype=object)

    told = ~np.isnan(y)
    # A missing limit is no limit.
    low = np.where(told, y, np.where(np.isnan(lower), -np.inf, lower))
    high = np.where(told, y, np.where(np.isnan(upper), np.inf, upper))
    for broken, rule in (
        (np.isinf(y), "yi is infinite; correct it or leave the row out"),
        (v <= 0, "vi must be above 0; check that it is a variance and not missing"),
        (low > high, "lower is above upper; exchange or correct them"),
        ((low == high) & np.isinf(low), "both limits are the same infinity; correct one"),
    ):
        if broken.any():
            raise PoolError(f"{listed(names[broken])}: {rule}.")
    silent = np.isinf(low) & np.isinf(high)
    unsized = ~silent & ~np.isfinite(v)
    notes = []
    if unsized.any():
        notes.append(f"Left out, no variance: {listed(names[unsized])}.")
    if silent.any():
        notes.append(f"Left out, neither a size nor a limit: {listed(names[silent])}.")
    keep = ~(silent | unsized)
    if not keep.any():
        raise PoolError(
            f"no effect to pool: none of the {len(frame)} rows has a variance and a size or a "
            "limit; check the filter."
        )
    frame = frame.loc[keep]
    return frame, Rows(low[keep], high[keep], v[keep]), _one_measure(frame), notes


def _column(frame: pd.DataFrame, name: str) -> Floats:
    if name not in frame.columns:
        return np.full(len(frame), NAN)
    try:
        return frame[name].to_numpy(dtype=float, na_value=NAN)
    except (TypeError, ValueError) as err:
        raise PoolError(f"{name} must be numbers ({err}); convert them first.") from err


def _one_measure(frame: pd.DataFrame) -> str:
    if "measure" not in frame.columns:
        return ""
    found = sorted({str(name) for name in frame["measure"].dropna()} - {""})
    if len(found) > 1:
        raise PoolError(
            f"the effects mix the measures {', '.join(found)}; pool one measure at a time."
        )
    return found[0] if found else ""
