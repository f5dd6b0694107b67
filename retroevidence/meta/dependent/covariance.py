"""Covariance of the sampling errors of effects that share people, a control group or a time series.

Each function returns one block per cluster; effects of different clusters are independent. What
the reports do not tell (a correlation) is asked for, never assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import PoolError, unknown_name
from retroevidence.meta.dependent.blocks import by_size
from retroevidence.meta.dependent.sampling import SamplingCovariance, checked, cluster_codes
from retroevidence.meta.wording import listed

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def from_correlation(
    effects: pd.DataFrame | Mapping[str, Any],
    *,
    cluster: str,
    rho: float | pd.DataFrame,
    outcome: str | None = None,
    vi: str = "vi",
) -> SamplingCovariance:
    """Covariance of effects measured on the same people, from an assumed correlation.

    ``cov(e_i, e_j) = rho_ij sqrt(v_i v_j)`` within a cluster (Pustejovsky & Tipton 2022,
    doi 10.1007/s11121-021-01246-3).

    Parameters
    ----------
    effects : pandas.DataFrame
        One row per effect.
    cluster : str
        Column of the people: effects of one value are correlated.
    rho : float or pandas.DataFrame
        One correlation for every two effects of a cluster, or a table of correlations between the
        values of `outcome`, which index and columns name.
    outcome : str, optional
        Column of outcomes, for a table.
    vi : str
        Column of sampling variances.

    Returns
    -------
    SamplingCovariance
        One block per cluster.

    Raises
    ------
    PoolError
        If a column or a correlation is missing, or a block is not positive definite.

    Examples
    --------
    >>> frame = pd.DataFrame({"vi": [1.0, 4.0], "study_id": "a"})
    >>> from_correlation(frame, cluster="study_id", rho=0.5).matrix().tolist()
    [[1.0, 1.0], [1.0, 4.0]]
    """
    frame = _with(effects, cluster, vi, *([outcome] if outcome else []))
    if not isinstance(rho, pd.DataFrame):
        same = float(rho)
        return _built(
            frame, cluster, vi, lambda rows: np.full(rows.shape + rows.shape[1:], same),
            f"correlation {same:g} within a cluster",
        )  # fmt: skip
    if outcome is None:
        raise PoolError("a table of correlations needs outcome=, the column that it speaks of.")
    found = frame[outcome].dropna().unique()
    absent = [str(name) for name in found if name not in rho.index or name not in rho.columns]
    if absent:
        raise PoolError(
            f"rho has no correlations of {', '.join(absent)}; add a row and a column for each."
        )
    table = rho.loc[found, found].to_numpy(float)
    at = pd.Index(found).get_indexer(frame[outcome])
    return _built(
        frame,
        cluster,
        vi,
        lambda rows: table[at[rows][:, :, None], at[rows][:, None, :]],
        f"correlations between the values of {outcome}",
    )


def from_times(
    effects: pd.DataFrame | Mapping[str, Any],
    *,
    cluster: str,
    time: str,
    phi: float | None = None,
    lags: Mapping[float, float] | None = None,
    vi: str = "vi",
) -> SamplingCovariance:
    """Covariance of one outcome measured again and again on the same people.

    ``cor(e_i, e_j) = phi^|t_i - t_j|`` (first-order autoregression in continuous time; Ishak et al.
    2007, doi 10.1177/1740774507083567), or a correlation for each time apart.

    Parameters
    ----------
    effects : pandas.DataFrame
        One row per effect.
    cluster : str
        Column of the people.
    time : str
        Column of the times, in any unit.
    phi : float, optional
        Correlation of measurements one unit of time apart, from 0 to below 1.
    lags : mapping of float to float, optional
        Correlation for each time apart, instead of `phi`.
    vi : str
        Column of sampling variances.

    Returns
    -------
    SamplingCovariance
        One block per cluster.

    Raises
    ------
    PoolError
        If neither or both of `phi` and `lags` are given, a lag has no correlation, two effects of
        a cluster have the same time, or a block is not positive definite.

    Examples
    --------
    >>> frame = pd.DataFrame({"vi": 1.0, "study_id": "a", "week": [0, 1, 3]})
    >>> from_times(frame, cluster="study_id", time="week", phi=0.5).matrix()[0].tolist()
    [1.0, 0.5, 0.125]
    """
    frame = _with(effects, cluster, vi, time)
    times = pd.to_numeric(frame[time], errors="coerce").to_numpy(float)
    if (phi is None) == (lags is None):
        raise PoolError("give either phi= (correlation one unit of time apart) or lags=.")
    known = frame[frame[cluster].notna() & frame[vi].notna()]
    if np.isnan(pd.to_numeric(known[time], errors="coerce")).any():
        raise PoolError(f"{time} must be a number for every effect; fill it in.")
    if phi is not None:
        rate = float(phi)
        if not 0 <= rate < 1:
            raise PoolError(f"phi={phi} must be from 0 to below 1.")

        def correlation(rows: Ints) -> Floats:
            apart = np.abs(times[rows][:, :, None] - times[rows][:, None, :])
            return np.asarray(rate**apart)

        return _built(frame, cluster, vi, correlation, f"{rate:g} to the power of {time} apart")
    table = {0.0: 1.0} | {float(a): float(b) for a, b in (lags or {}).items()}
    steps = np.array(sorted(table))
    heights = np.array([table[step] for step in steps])

    def by_lag(rows: Ints) -> Floats:
        apart = np.abs(times[rows][:, :, None] - times[rows][:, None, :])
        at = np.abs(apart[..., None] - steps).argmin(axis=-1)
        unknown = np.isfinite(apart) & ~np.isclose(apart, steps[at])
        if unknown.any():
            raise PoolError(
                f"lags has no correlation for measurements {apart[unknown][0]:g} apart; add it."
            )
        return np.asarray(heights[at])

    return _built(frame, cluster, vi, by_lag, f"correlations by {time} apart")


#: The part of a sampling variance that comes from the control group, by measure.
_CONTROL_TERMS: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "MD": (("sd2", "n2"), lambda sd2, n2: sd2**2 / n2),
    "ROM": (("m2", "sd2", "n2"), lambda m2, sd2, n2: sd2**2 / (n2 * m2**2)),
    "RR": (("c", "n2"), lambda c, n2: 1 / c - 1 / n2),
    "OR": (("c", "n2"), lambda c, n2: 1 / c + 1 / (n2 - c)),
    "RD": (("c", "n2"), lambda c, n2: c * (n2 - c) / n2**3),
    "SMD": (("n1", "n2"), lambda n1, n2: 1 / n2),
}


def from_shared_control(
    effects: pd.DataFrame | Mapping[str, Any],
    *,
    control: str,
    measure: str,
    sd: str | None = None,
    yi: str = "yi",
    vi: str = "vi",
) -> SamplingCovariance:
    """Covariance of effects of several treatments against one and the same control group.

    Two such effects share the control group's own error: its variance is their covariance (Gleser
    & Olkin 2009). MD: ``sd2²/n2``; ROM (log ratio of means): ``sd2²/(n2 m2²)``; RR (log):
    ``1/c - 1/n2``; OR (log): ``1/c + 1/(n2 - c)``; RD: ``c (n2 - c)/n2³``. An SMD also shares the
    error of the standard deviation: ``1/n2 + d_i d_j/(2 N)`` with N the people of all groups when
    one standard deviation of all groups was used, ``1/n2 + n2 d_i d_j/(2 (n2 + n_i) (n2 + n_j))``
    when each treatment was pooled with the control group alone (delta method).

    Parameters
    ----------
    effects : pandas.DataFrame
        One row per effect with the numbers of its control group: n2 and, by measure, m2, sd2 or c
        (events); n1 for SMD.
    control : str
        Column that names the control group; effects of one value share it.
    measure : str
        MD, ROM, RR, OR, RD or SMD.
    sd : str, optional
        For SMD: "all" if one standard deviation of all groups was used, "pair" if that of the two
        groups compared.
    yi, vi : str
        Columns of effects and sampling variances.

    Returns
    -------
    SamplingCovariance
        One block per control group.

    Raises
    ------
    PoolError
        If a column is missing, the numbers of a shared control group differ between rows, or a
        block is not positive definite.
    UnknownNameError
        If `measure` or `sd` is unknown.

    Examples
    --------
    >>> frame = pd.DataFrame({"yi": [0.1, 0.4], "vi": [0.3, 0.2], "c": 10, "n2": 100, "lab": "a"})
    >>> from_shared_control(frame, control="lab", measure="RR").matrix().round(6).tolist()
    [[0.3, 0.09], [0.09, 0.2]]
    """
    if measure not in _CONTROL_TERMS:
        raise unknown_name("measure with a shared control", measure, _CONTROL_TERMS)
    columns, term = _CONTROL_TERMS[measure]
    frame = _with(effects, control, yi, vi, *columns)
    numbers = {name: frame[name].to_numpy(float) for name in columns}
    complete = frame[[control, vi]].notna().all(axis=1)
    of_control = [name for name in columns if name != "n1"]
    unequal = frame[complete].groupby(control)[of_control].nunique().gt(1).any(axis=1)
    if unequal.any():
        raise PoolError(
            f"{listed(unequal.index[unequal].to_numpy(object))}: rows of one control group differ "
            f"in {', '.join(of_control)}; correct them or name the groups apart."
        )
    shared = np.asarray(term(**numbers), dtype=float)
    d = frame[yi].to_numpy(float)
    known = {"all": "all", "pair": "pair"}
    if measure == "SMD" and sd not in known:
        raise unknown_name("standard deviation of an SMD (sd=)", sd, known)
    v = frame[vi].to_numpy(float)

    def correlation(rows: Ints) -> Floats:
        common = np.broadcast_to(shared[rows][:, :1, None], rows.shape + rows.shape[1:])
        if measure == "SMD":
            products = d[rows][:, :, None] * d[rows][:, None, :]
            n1, n2 = numbers["n1"][rows], numbers["n2"][rows][:, 0][:, None, None]
            if sd == "all":
                people = n1.sum(axis=1)[:, None, None] + n2
                common = common + products / (2 * people)
            else:
                pair = (n1[:, :, None] + n2) * (n1[:, None, :] + n2)
                common = common + n2 * products / (2 * pair)
        errors = np.sqrt(v[rows])
        return np.asarray(common / errors[:, :, None] / errors[:, None, :])

    return _built(frame, control, vi, correlation, f"shared {control}, {measure}")


def _with(effects: Any, *needed: str) -> pd.DataFrame:
    frame = pd.DataFrame(effects)
    absent = [str(name) for name in needed if name not in frame.columns]
    if absent:
        raise PoolError(f"effects has no column {', '.join(absent)}; add it or name yours.")
    return frame


def _built(
    frame: pd.DataFrame, cluster: str, vi: str, correlation: Callable[[Ints], Floats], how: str
) -> SamplingCovariance:
    """Build blocks from variances and a function that gives correlations for sets of rows."""
    codes, labels = cluster_codes(frame[cluster])
    v = frame[vi].to_numpy(float)
    if (v <= 0).any():
        raise PoolError(f"{vi} must be above 0; check that it is a variance and not missing.")
    sizes = np.bincount(codes, minlength=len(labels))
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    offsets = np.concatenate([[0], np.cumsum(sizes**2)])
    values = np.empty(offsets[-1])
    for which, rows in by_size(starts, len(order)):
        errors = np.sqrt(v[order[rows]])
        made = np.array(correlation(order[rows]), dtype=float)
        diagonal = np.arange(rows.shape[1])
        made[:, diagonal, diagonal] = 1.0
        made *= errors[:, :, None] * errors[:, None, :]
        made[:, diagonal, diagonal] = v[order[rows]]
        inside = np.arange(rows.shape[1] ** 2)
        values[offsets[which][:, None] + inside] = made.reshape(len(which), -1)
    return checked(codes, labels, sizes, order, starts, values, how)
