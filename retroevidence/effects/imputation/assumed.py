"""One assumed number for each gap: an SD borrowed from like studies, a correlation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.effects.imputation.columns import need
from retroevidence.effects.measures import MEASURES, effect_size
from retroevidence.errors import EffectError, check_name

Floats = NDArray[np.float64]

#: How the coefficients of variation of the donors become one.
STATISTICS: Mapping[str, Callable[[Floats], float]] = {
    "median": lambda cv: float(np.median(cv)),
    "mean": lambda cv: float(np.mean(cv)),
    "largest": lambda cv: float(np.max(cv)),
}


def borrow_sd(
    rows: pd.DataFrame,
    *,
    donors: pd.DataFrame,
    by: Sequence[str] = ("outcome", "unit"),
    statistic: str = "median",
) -> pd.DataFrame:
    """Give rows without an SD the coefficient of variation of like studies.

    ``sd = mean * CV``, with CV the median (or mean, or largest) of ``sd / mean`` over the donors
    that agree in all columns of `by`. Only for scales with a true zero, on which spread grows with
    the mean: oxygen uptake, force, speed; not for changes or for scores that can be near 0.

    Parameters
    ----------
    rows : pandas.DataFrame
        Arms with ``mean`` and ``sd`` (missing where it is to be borrowed) and the columns of `by`.
    donors : pandas.DataFrame
        Arms with ``study_id``, ``mean``, ``sd`` and the columns of `by`; those with a mean and an
        SD above 0 serve.
    by : sequence of str
        Columns in which donors must agree. A missing value agrees with nothing.
    statistic : {"median", "mean", "largest"}
        How the donors' coefficients become one.

    Returns
    -------
    pandas.DataFrame
        The rows with ``sd`` filled where it could be, ``basis`` ("imputed" there, else missing),
        ``how``, and ``log_sd_se``: the standard error of the log of a borrowed SD, from the spread
        of the donors (missing with one donor), for `multiple_imputation`.

    Raises
    ------
    EffectError
        If a column is missing.
    UnknownNameError
        If `statistic` is unknown.

    Examples
    --------
    >>> arms = pd.DataFrame({"study_id": ["heath2001", "ordway2016", "kim2001"], "outcome": "vo2",
    ...                      "unit": "ml/kg/min", "mean": [20.0, 40.0, 30.0], "sd": [4, 4, None]})
    >>> filled = borrow_sd(arms, donors=arms)
    >>> filled["sd"].round(3).tolist(), filled["basis"].tolist()[-1]
    ([4.0, 4.0, 4.5], 'imputed')
    >>> print(filled["how"].iloc[-1])
    SD borrowed: the mean times 0.150, the median coefficient of variation of 2 arms of heath2001,
    ordway2016 (same outcome, unit)
    """
    check_name("statistic", statistic, STATISTICS)
    for name, frame, columns in (
        ("rows", rows, ("mean", "sd", *by)),
        ("donors", donors, ("study_id", "mean", "sd", *by)),
    ):
        need(frame, columns, name)
    giving = donors[(donors["mean"] > 0) & (donors["sd"] > 0)]
    sd = rows["sd"].to_numpy(float, na_value=np.nan).copy()
    basis: list[Any] = [None] * len(rows)
    how, log_sd_se = [""] * len(rows), np.full(len(rows), np.nan)
    for i, row in enumerate(rows.to_dict("records")):
        if not (math.isnan(_float(row["sd"])) and _float(row["mean"]) > 0):
            continue
        like = giving
        for column in by:
            like = like[(like[column] == row[column]).fillna(False).to_numpy(bool)]
        same = ", ".join(by)
        if not len(like):
            how[i] = f"no study with the same {same} prints an SD to borrow"
            continue
        cv = (like["sd"] / like["mean"]).to_numpy(float)
        chosen = STATISTICS[statistic](cv)
        sd[i] = chosen * _float(row["mean"])
        basis[i] = "imputed"
        names = ", ".join(dict.fromkeys(map(str, like["study_id"])))
        how[i] = (
            f"SD borrowed: the mean times {chosen:.3f}, the {statistic} coefficient of variation "
            f"of {len(cv)} {'arm' if len(cv) == 1 else 'arms'} of {names} (same {same})"
        )
        if len(cv) > 1:
            log_sd_se[i] = np.std(np.log(cv), ddof=1) * math.sqrt(1 + 1 / len(cv))
    return rows.assign(sd=sd, basis=basis, how=how, log_sd_se=log_sd_se)


def assume_r(pairs: pd.DataFrame, *, r: float, measure: str = "ROMC") -> pd.DataFrame:
    """Make effects of paired results whose correlation was not reported, at a stated one.

    Parameters
    ----------
    pairs : pandas.DataFrame
        One row per result of the same people under two conditions: m1, sd1, m2, sd2, n (1 is the
        experimental condition).
    r : float
        The assumed correlation between the conditions, between -1 and 1.
    measure : str
        A paired measure of `effect_size`: MC, ROMC, SMCC, SMCR and their kin.

    Returns
    -------
    pandas.DataFrame
        The rows with ``measure yi vi lower upper basis how``; ``yi`` is experimental minus
        comparator (log scale for ROMC).

    Raises
    ------
    EffectError
        If `r` is no correlation, a column is missing, or `measure` takes no correlation.
    UnknownNameError
        If `measure` is unknown.

    Examples
    --------
    >>> pair = pd.DataFrame({"m1": [23.6], "sd1": [4.7], "m2": [15.9], "sd2": [3.2], "n": [20]})
    >>> made = assume_r(pair, r=0.7)
    >>> made["yi"].round(4).tolist(), made["how"].tolist()
    ([0.3949], ['both means and SDs, at an assumed correlation of 0.7'])
    """
    check_name("measure", measure, MEASURES)
    wanted = [name for name in MEASURES[measure].arguments if name != "r"]
    if "r" not in MEASURES[measure].arguments or "m1" not in wanted:
        raise EffectError(f"{measure} takes no correlation; give a paired measure such as ROMC.")
    if not -1 < r < 1:
        raise EffectError(f"r is {r:g}; a correlation to assume lies between -1 and 1.")
    need(pairs, wanted, "pairs")
    yi, vi = effect_size(measure, **{name: pairs[name].to_numpy(float) for name in wanted}, r=r)
    how = f"both means and SDs, at an assumed correlation of {r:g}"
    nothing = np.full(len(pairs), np.nan)
    return pairs.assign(
        measure=measure, yi=yi, vi=vi, lower=nothing, upper=nothing, basis="imputed", how=how
    )


def _float(value: Any) -> float:
    return math.nan if value is None or pd.isna(value) else float(value)
