"""Many analyses in one call: ragged groups of effects, one pooled result per group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import PoolError
from retroevidence.meta.batch import pool_batch
from retroevidence.meta.result import critical_value

Floats = NDArray[np.float64]

#: Groups are put side by side in matrices; a shorter one is padded by at most this share.
PADDING = 1.25

_NUMBERS = (
    *("estimate", "se", "df", "p_value", "ci_low", "ci_high", "pi_low", "pi_high"),
    *("tau2", "i2", "h2", "q", "q_p_value"),
)


def pool_many(
    effects: pd.DataFrame,
    by: str | Sequence[str] = "id",
    *,
    method: str = "REML",
    test: str = "knha",
    level: float = 0.95,
) -> pd.DataFrame:
    """Pool every group of a table of effects, each as :func:`retroevidence.meta.pool.pool` would.

    Parameters
    ----------
    effects : pandas.DataFrame
        One row per effect with `yi` and `vi`.
    by : str or list of str
        The columns that say which group a row belongs to; a row without a group enters none.
    method, test, level : str, str and float
        As in :func:`retroevidence.meta.pool.pool`.

    Returns
    -------
    pandas.DataFrame
        One row per group, in order of first appearance: the columns of `by`, k, estimate, se, df,
        p_value, ci_low, ci_high, pi_low, pi_high (prediction), tau2, i2, h2, q, q_p_value,
        left_out (rows without an effect or variance) and reason (why a group could not be pooled;
        empty for the others). One group's fault stops no other.

    Raises
    ------
    PoolError
        If a column is missing.
    UnknownNameError
        If `method` or `test` is unknown.

    Examples
    --------
    >>> table = pd.DataFrame({"id": list("aaab"), "yi": [.1, .3, .8, 2], "vi": [.02, .03, .05, 0]})
    >>> pool_many(table)[["id", "k", "estimate", "reason"]].round(3)
      id  k  estimate             reason
    0  a  3      0.37
    1  b  1       NaN  vi must be above 0
    """
    keys = [by] if isinstance(by, str) else list(by)
    absent = [name for name in (*keys, "yi", "vi") if name not in effects.columns]
    if absent:
        raise PoolError(f"effects has no column {', '.join(absent)}; check by= and the names.")
    codes, names = _groups(effects, keys)
    yi, vi = (effects[name].to_numpy(float, na_value=np.nan) for name in ("yi", "vi"))
    inside = codes >= 0
    usable = inside & ~np.isnan(yi) & np.isfinite(vi)
    count = len(names)
    table = names.assign(k=np.bincount(codes[usable], minlength=count))
    reason = np.full(count, "", dtype=object)
    reason[table["k"].to_numpy() == 0] = "no effect with a variance"
    # An infinite variance is no information, and so left out; one of 0 or below is a mistake.
    for broken, why in ((np.isinf(yi), "yi is infinite"), (vi <= 0, "vi must be above 0")):
        reason[np.unique(codes[usable & broken])] = why
    found = _fitted(codes, yi, vi, usable & (reason[codes] == ""), count, method, test, level)
    for name in _NUMBERS:
        table[name] = found[name]
    table["left_out"] = np.bincount(codes[inside & ~usable], minlength=count)
    return table.assign(reason=reason)


def _groups(effects: pd.DataFrame, keys: list[str]) -> tuple[NDArray[np.intp], pd.DataFrame]:
    """Give each group a number in order of first appearance; -1 where a key is missing."""
    numbers = effects.groupby(keys, sort=False, dropna=True).ngroup()
    codes = numbers.fillna(-1).to_numpy().astype(np.intp)
    first = effects.loc[:, keys].drop_duplicates().dropna()
    return codes, first.reset_index(drop=True)


def _fitted(
    codes: NDArray[np.intp],
    yi: Floats,
    vi: Floats,
    enters: NDArray[np.bool_],
    count: int,
    method: str,
    test: str,
    level: float,
) -> dict[str, Floats]:
    """Fit the groups in matrices of like width."""
    found = {name: np.full(count, np.nan) for name in _NUMBERS}
    rows = np.flatnonzero(enters)
    rows = rows[np.argsort(codes[rows], kind="stable")]
    sizes = np.bincount(codes[rows], minlength=count)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    widths = _widths(sizes)
    for width in np.unique(widths[sizes > 0]):
        groups = np.flatnonzero((widths == width) & (sizes > 0))
        place = np.arange(width)
        held = place < sizes[groups][:, None]
        picked = rows[np.where(held, starts[groups][:, None] + place, 0)]
        y = np.where(held, yi[picked], 0.0)
        v = np.where(held, vi[picked], np.inf)
        fitted = pool_batch(y, v, method=method, test=test, level=level)
        for name in _NUMBERS:
            if name in fitted:
                found[name][groups] = fitted[name]
    if method != "CE":
        several = sizes > 1
        spread = np.sqrt(found["tau2"] + found["se"] ** 2)
        reach = {df: critical_value(level, df) for df in np.unique(found["df"][several])}
        factor = np.array([reach.get(df, np.nan) for df in found["df"]])
        found["pi_low"] = np.where(several, found["estimate"] - factor * spread, np.nan)
        found["pi_high"] = np.where(several, found["estimate"] + factor * spread, np.nan)
    return found


def _widths(sizes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Round sizes up to a few widths, so that few matrices hold all groups."""
    largest = int(sizes.max(initial=1))
    steps = [1]
    while steps[-1] < largest:
        steps.append(max(steps[-1] + 1, int(steps[-1] * PADDING)))
    return np.asarray(np.array(steps)[np.searchsorted(steps, sizes)], dtype=np.intp)
