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

from retroevidence.errors import PoolError, check_name, unknown_name
from retroevidence.meta.dependent.blocks import by_size
from retroevidence.meta.dependent.columns import frame_with, groups, numbers, one_number
from retroevidence.meta.dependent.sampling import SamplingCovariance, checked, cluster_codes
from retroevidence.meta.wording import listed

__all__ = ["from_correlation", "from_shared_control", "from_times"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)


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
        values of `outcome`, which index and columns name. Its diagonal speaks of two effects of one
        outcome in one cluster.
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
        If a column or a correlation is missing, a table is not symmetric, or a block is not
        positive definite.

    Examples
    --------
    >>> frame = pd.DataFrame({"vi": [1.0, 4.0], "study_id": "a"})
    >>> from_correlation(frame, cluster="study_id", rho=0.5).matrix().tolist()
    [[1.0, 1.0], [1.0, 4.0]]
    """
    frame = frame_with(effects, cluster, vi, *([] if outcome is None else [outcome]))
    if not isinstance(rho, pd.DataFrame):
        same = one_number(rho, "rho")
        if not -1 <= same <= 1:
            raise PoolError(f"rho={rho} is no correlation; give one between -1 and 1.")
        if outcome is not None:
            raise PoolError(
                "outcome= says nothing with one correlation; leave it out, or give a table as rho=."
            )
        return _built(
            frame, cluster, vi, lambda rows: np.full(rows.shape + rows.shape[1:], same),
            f"correlation {same:g} within a cluster",
        )  # fmt: skip
    if outcome is None:
        raise PoolError("a table of correlations needs outcome=, the column that it speaks of.")
    at, found = groups(frame[outcome])
    absent = [str(name) for name in found if name not in rho.index or name not in rho.columns]
    if absent:
        raise PoolError(
            f"rho has no correlations of {', '.join(absent)}; add a row and a column for each."
        )
    table = _table(rho, found)
    if ((at < 0) & frame[[cluster, vi]].notna().all(axis=1).to_numpy(dtype=bool)).any():
        raise PoolError(f"{outcome} must be known for every effect; fill it in.")
    return _built(
        frame,
        cluster,
        vi,
        lambda rows: table[at[rows][:, :, None], at[rows][:, None, :]],
        f"correlations between the values of {outcome}",
    )


def _table(rho: pd.DataFrame, found: pd.Index) -> Floats:
    """Return the correlations between the outcomes found, in their order."""
    if not (rho.index.is_unique and rho.columns.is_unique):
        raise PoolError("rho names an outcome twice; keep one row and one column of each.")
    try:
        table = np.asarray(rho.loc[found, found].to_numpy(dtype=float, na_value=np.nan))
    except (TypeError, ValueError) as err:
        raise PoolError(f"rho must be numbers ({err}); convert them first.") from err
    apart = ~np.eye(len(table), dtype=bool)
    if np.isnan(table[apart]).any():
        raise PoolError("rho lacks the correlation of two outcomes; fill both halves of the table.")
    if not np.allclose(table, table.T, rtol=1e-10, atol=1e-12, equal_nan=True):
        raise PoolError("rho is not symmetric; write the same correlation in both halves.")
    return table


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
    frame = frame_with(effects, cluster, vi, time)
    if (phi is None) == (lags is None):
        raise PoolError("give either phi= (correlation one unit of time apart) or lags=.")
    times = numbers(frame, time)
    known = frame[[cluster, vi]].notna().all(axis=1).to_numpy(dtype=bool)
    if not np.isfinite(times[known]).all():
        raise PoolError(f"{time} must be a number for every effect; fill it in.")
    times = np.where(known, times, np.nan)
    if phi is not None:
        rate = one_number(phi, "phi")
        if not 0 <= rate < 1:
            raise PoolError(f"phi={phi} must be from 0 to below 1.")

        def correlation(rows: Ints) -> Floats:
            apart = np.abs(times[rows][:, :, None] - times[rows][:, None, :])
            return np.asarray(rate**apart)

        return _built(frame, cluster, vi, correlation, f"{rate:g} to the power of {time} apart")
    if not isinstance(lags, Mapping):
        raise PoolError("lags is no mapping; give a correlation for each time apart, as {1: 0.8}.")
    table = {0.0: 1.0} | {
        one_number(apart, "a lag"): one_number(height, "a correlation of lags")
        for apart, height in lags.items()
    }
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
        Columns of effects (used for SMD alone) and sampling variances.

    Returns
    -------
    SamplingCovariance
        One block per control group.

    Raises
    ------
    PoolError
        If a column is missing, the numbers of a shared control group differ between rows or are
        impossible, or a block is not positive definite.
    UnknownNameError
        If `measure` or `sd` is unknown.

    Examples
    --------
    >>> frame = pd.DataFrame({"yi": [0.1, 0.4], "vi": [0.3, 0.2], "c": 10, "n2": 100, "lab": "a"})
    >>> from_shared_control(frame, control="lab", measure="RR").matrix().round(6).tolist()
    [[0.3, 0.09], [0.09, 0.2]]
    """
    check_name("measure with a shared control", measure, _CONTROL_TERMS)
    known = {"all": "all", "pair": "pair"}
    if measure == "SMD" and sd not in known:
        raise unknown_name("standard deviation of an SMD (sd=)", sd, known)
    if measure != "SMD" and sd is not None:
        raise PoolError(f"sd= speaks of an SMD and says nothing on {measure}; leave it out.")
    columns, term = _CONTROL_TERMS[measure]
    frame = frame_with(effects, control, vi, *columns, *([yi] if measure == "SMD" else []))
    d = numbers(frame, yi) if measure == "SMD" else np.zeros(len(frame))
    v = numbers(frame, vi)
    given = {name: numbers(frame, name) for name in columns}
    enters = np.isfinite(v) & ~np.isnan(d) & frame[control].notna().to_numpy(dtype=bool)
    _check_controls(frame[control], given, enters, measure)
    if sd == "all" and not (given["n1"][frame[control].notna()] > 0).all():
        raise PoolError(
            "n1 must be known for every group when one standard deviation of all was used; fill it "
            "in."
        )
    # What does not enter is not looked at, but for its people.
    v = np.where(enters, v, np.nan)
    shared = np.full(len(frame), np.nan)
    shared[enters] = term(**{name: values[enters] for name, values in given.items()})

    def correlation(rows: Ints) -> Floats:
        common = np.broadcast_to(shared[rows][:, :, None], rows.shape + rows.shape[1:])
        if measure == "SMD":
            products = d[rows][:, :, None] * d[rows][:, None, :]
            n1, n2 = given["n1"][rows], given["n2"][rows][:, :, None]
            if sd == "all":
                people = n1.sum(axis=1)[:, None, None] + n2
                common = common + products / (2 * people)
            else:
                pair = (n1[:, :, None] + n2) * (n1[:, None, :] + n2)
                common = common + n2 * products / (2 * pair)
        errors = np.sqrt(v[rows])
        return np.asarray(common / errors[:, :, None] / errors[:, None, :])

    frame = frame.assign(**{vi: v})
    return _built(frame, control, vi, correlation, f"shared {control}, {measure}")


def _check_controls(
    control: pd.Series[Any],
    given: Mapping[str, Floats],
    enters: NDArray[np.bool_],
    measure: str,
) -> None:
    """Raise if rows of one control group differ, or a number of it is impossible."""
    of_control = [name for name in given if name != "n1"]
    table = pd.DataFrame({name: given[name] for name in of_control})[enters]
    labels = control.to_numpy(dtype=object)[enters]
    unequal = table.groupby(groups(control)[0][enters]).transform("nunique").gt(1).any(axis=1)

    def named(which: Any) -> str:
        return listed(pd.unique(labels[np.asarray(which, dtype=bool)]))

    if unequal.any():
        raise PoolError(
            f"{named(unequal)}: rows of one control group differ in {', '.join(of_control)}; "
            "correct them or name the groups apart."
        )
    values = {name: column[enters] for name, column in given.items()}
    n2 = values["n2"]
    rules = [
        (~(values[name] > 0), f"{name} must be above 0") for name in ("n1", "n2") if name in values
    ]
    if "sd2" in values:
        rules.append((~(values["sd2"] >= 0), "sd2 must not be below 0"))
    if "m2" in values:
        rules.append((~(np.abs(values["m2"]) > 0), "m2 must not be 0"))
    if "c" in values:
        c = values["c"]
        rules.append((~((c >= 0) & (c <= n2)), "c must lie from 0 to n2"))
        empty = {"OR": (c == 0) | (c == n2), "RR": c == 0}.get(measure, np.zeros(len(c), bool))
        rules.append(
            (empty, "an empty cell has no variance: add to c and n2 what the effect added")
        )
    for broken, rule in rules:
        if broken.any():
            raise PoolError(f"{named(broken)}: {rule}; correct it.")


def _built(
    frame: pd.DataFrame, cluster: str, vi: str, correlation: Callable[[Ints], Floats], how: str
) -> SamplingCovariance:
    """Build blocks from variances and a function that gives correlations for sets of rows."""
    if not len(frame):
        raise PoolError("there is no effect: effects has no rows; check the filter.")
    codes, labels = cluster_codes(frame[cluster])
    v = numbers(frame, vi)
    v = np.where(np.isinf(v), np.nan, v)
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
