"""How far one study, or one cluster of effects, moves a fit: deletion diagnostics."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtr, chdtrc

from retroevidence.errors import PoolError, unknown_name
from retroevidence.meta.regression import INTERCEPT, check_rank
from retroevidence.meta.result import Pooled
from retroevidence.meta.sets import pool_signed
from retroevidence.meta.tau2 import estimate_tau2, generalised_q
from retroevidence.meta.wording import study_names

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Weights held at once.
BLOCK = 2**20


def influence(pooled: Pooled, *, by: str | None = None) -> pd.DataFrame:
    """Measure what each study does to a fit by fitting again without it.

    Parameters
    ----------
    pooled : Pooled
        A pooled mean or meta-regression with at least two more effects than coefficients.
    by : str, optional
        Column of ``pooled.studies``; all effects with the same value are left out together, for
        example ``"study_id"`` where studies give several effects.

    Returns
    -------
    pandas.DataFrame
        One row per study, with its index:

        - study, weight: its name and its weight in percent
        - rstudent: its distance from the fit without it, in standard errors of that distance
        - dffits: how far its own fitted value moves without it, in standard errors
        - cook_d: the distance between both sets of coefficients
        - cov_r: determinant of the covariance without it over the one with it; below 1 the study
          costs precision
        - tau2_deleted, q_deleted: tau² and Q of the fit without it
        - hat: its leverage
        - dfbetas: how far the mean moves without it, in standard errors; with moderators one
          column ``dfbetas_<term>`` per coefficient
        - influential: whether the study passes one of the limits below

        With `by`, one row per value with the number of its `effects`, the sums of their weights
        and leverages, and in place of rstudent and dffits, which are about one effect,
        `x2` and `x2_p_value`: the joint distance of its effects from the fit without them,
        chi-squared with as many degrees of freedom as it has effects.

    Raises
    ------
    PoolError
        If too few studies are left without one, if a moderator can only be estimated with it, or
        if tau² is shared with other subgroups.
    UnknownNameError
        If `by` is not a column.

    Notes
    -----
    Formulas of Viechtbauer & Cheung (2010, doi 10.1002/jrsm.11), with ``-i`` for the fit without
    study i, ``V`` for the model's covariance of the coefficients, ``W`` for the weights:

    - ``rstudent = (y - x b(-i)) / sqrt(v + tau²(-i) + x V(-i) x')``
    - ``dffits = x (b - b(-i)) / sqrt(hat (v + tau²(-i)))``
    - ``cook_d = (b - b(-i))' V^-1 (b - b(-i))``
    - ``cov_r = det V(-i) / det V``
    - ``dfbetas = (b - b(-i)) / sqrt(diag((X' W(tau²(-i)) X)^-1))``
    - ``x2 = e' (diag(v + tau²(-i)) + X V(-i) X')^-1 e``, ``e = y - X b(-i)`` of one cluster

    Limits, for p coefficients: absolute dffits above ``3 sqrt(p / (k - p))``; the lower tail of
    chi-squared(p) at cook_d above one half; hat above ``3 p / k``; absolute dfbetas above 1. For
    clusters those of cook_d and dfbetas.
    The measures describe the model, so the test of the result (Knapp-Hartung or z) changes none.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> pooled = pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01])
    >>> influence(pooled)[["rstudent", "cook_d", "influential"]].round(3)
       rstudent  cook_d  influential
    0    -0.886   0.449        False
    1    -0.072   0.037        False
    2     2.587   0.784         True
    3    -0.463   0.270        False
    """
    names, index, members = deletions(pooled, by)
    fit = pooled.fit
    y, v, tau2 = fit.yi, fit.vi, fit.tau2
    # In an orthonormal basis of the columns, moderators such as a calendar year lose no digits.
    x, back = _basis(fit.x)
    k, p = x.shape
    _check_left(k, p, members, names)
    tau2_left, q_left = _refits(pooled, names, members)
    weights = 1 / (v + tau2)
    precision = x.T @ (weights[:, None] * x)
    beta, covariance = _solved(y, x, weights)
    hat = weights * ((x @ covariance) * x).sum(axis=1)
    without, moved, covariance_left = _left(y, v, x, beta, members, tau2_left)
    found: dict[str, Any] = {"study": names}
    if by is not None:
        found["effects"] = members.sum(axis=1)
    found["weight"] = members @ fit.weights
    if by is None:
        around = np.einsum("dp,dpq,dq->d", x, covariance_left, x)
        distance = y - (x * (beta - moved)).sum(axis=1)
        found["rstudent"] = distance / np.sqrt(v + tau2_left + around)
        found["dffits"] = (x * moved).sum(axis=1) / np.sqrt(hat * (v + tau2_left))
    else:
        found["x2"] = [
            _joint_distance(y[out] - x[out] @ (beta - moved[i]), v[out] + tau2_left[i],
                            x[out], covariance_left[i])
            for i, out in enumerate(members)
        ]  # fmt: skip
        found["x2_p_value"] = chdtrc(members.sum(axis=1), found["x2"])
    found["cook_d"] = np.einsum("dp,pq,dq->d", moved, precision, moved)
    found["cov_r"] = np.linalg.det(covariance_left) / np.linalg.det(covariance)
    found["tau2_deleted"] = tau2_left
    found["q_deleted"] = q_left
    found["hat"] = members @ hat
    spread = np.diagonal(back @ without @ back.T, axis1=1, axis2=2)
    shifts = (moved @ back.T) / np.sqrt(spread)
    for name, shift in zip(_terms(fit.design.names), shifts.T, strict=True):
        found[name] = shift
    shown = pd.DataFrame(found, index=index)
    return shown.assign(influential=_flagged(shown, k, p))


def _refits(pooled: Pooled, names: list[str], members: Bools) -> tuple[Floats, Floats]:
    """Return tau² and Q of the fits without each deletion, shape (deletions,) each."""
    fit = pooled.fit
    if fit.design.names == (INTERCEPT,):
        found = pool_signed(fit.yi, fit.vi, ~members, method=pooled.method)
        # One study has nothing between studies.
        return found["tau2"].fillna(0.0).to_numpy(), found["q"].fillna(0.0).to_numpy()
    refits = np.empty((2, len(members)))
    for i, (name, out) in enumerate(zip(names, members, strict=True)):
        y, v, x = fit.yi[~out], fit.vi[~out], fit.x[~out]
        try:
            check_rank(x, fit.design.names)
        except PoolError as err:
            raise PoolError(f"without {name} the model has no answer: {err}") from err
        refits[:, i] = estimate_tau2(y, v, x, pooled.method), generalised_q(y, v, x, 0.0)
    return refits[0], refits[1]


def _basis(x: Floats) -> tuple[Floats, Floats]:
    """Return an orthonormal basis of a design, and what turns its coefficients into those of x."""
    if x.shape[1] == 1:
        return x, np.eye(1)
    q, r = np.linalg.qr(x)
    return q, np.linalg.inv(r)


def _solved(y: Floats, x: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return coefficients (..., p) and covariance (..., p, p) of one fit per row of weights.

    By an orthonormal basis of the weighted columns: their products would square what their
    weights differ by.
    """
    root = np.sqrt(weights)
    q, r = np.linalg.qr(root[..., None] * x)
    back = np.linalg.inv(r)
    beta = back @ (np.swapaxes(q, -1, -2) @ (root * y)[..., None])
    return beta[..., 0], back @ np.swapaxes(back, -1, -2)


def _left(
    y: Floats, v: Floats, x: Floats, beta: Floats, members: Bools, tau2_left: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return what changes with each deletion, at the tau² of the fit without it.

    The covariance of all studies, shape (deletions, p, p); how far the coefficients move, shape
    (deletions, p); and the covariance without the deleted.
    """
    p = len(beta)
    all_of_them, left = np.empty((2, len(members), p, p))
    moved = np.empty((len(members), p))
    # Some deletions at a time, so that thousands of studies fit in memory.
    step = max(1, BLOCK // len(y))
    for first in range(0, len(members), step):
        part = slice(first, first + step)
        weights = 1 / (v + tau2_left[part, None])
        kept = np.where(members[part], 0.0, weights)
        all_of_them[part] = _solved(y, x, weights)[1]
        found, left[part] = _solved(y, x, kept)
        moved[part] = beta - found
    return all_of_them, moved, left


def _joint_distance(distance: Floats, spread: Floats, x: Floats, covariance: Floats) -> float:
    """Return ``e' (diag(spread) + X V X')^-1 e`` for the effects of one cluster."""
    around = np.diag(spread) + x @ covariance @ x.T
    return float(distance @ np.linalg.solve(around, distance))


def deletions(pooled: Pooled, by: str | None) -> tuple[list[str], pd.Index, Bools]:
    """Return what can be left out of a result: each study, or each value of a column.

    Parameters
    ----------
    pooled : Pooled
        A pooled result.
    by : str or None
        Column of ``pooled.studies``, or None for one effect at a time.

    Returns
    -------
    list of str
        What a reader calls each deletion.
    pandas.Index
        The index of the studies, or a plain one for values.
    numpy.ndarray, shape (deletions, k)
        Which effects each deletion takes out.

    Raises
    ------
    UnknownNameError
        If `by` is not a column.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> pooled = pool({"yi": [0.1, 0.2, 0.4], "vi": [0.1] * 3, "study_id": ["a", "a", "b"]})
    >>> deletions(pooled, "study_id")[2].tolist()
    [[True, True, False], [False, False, True]]
    """
    check_refittable(pooled)
    frame = pooled.fit.frame
    if by is None:
        return study_names(frame), frame.index, np.eye(pooled.k, dtype=bool)
    if not isinstance(by, Hashable) or by not in frame.columns:
        raise unknown_name("column", by, map(str, frame.columns))
    codes, values = pd.factorize(frame[by], use_na_sentinel=False)
    members = codes == np.arange(len(values))[:, None]
    return [str(value) for value in values], pd.RangeIndex(len(values)), members


def check_refittable(pooled: Pooled) -> None:
    """Refuse what cannot be fitted again from its own studies.

    Parameters
    ----------
    pooled : Pooled
        A pooled result.

    Raises
    ------
    PoolError
        If it is none, or a subgroup whose tau² comes from other groups too.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> check_refittable(pool(yi=[0.1, 0.2], vi=[0.1, 0.1]))
    """
    if not isinstance(pooled, Pooled):
        raise PoolError(
            f"this needs a result of pool and got a {type(pooled).__name__}; write pool(effects)."
        )
    if pooled.fit.shared is not None:
        raise PoolError(
            "this subgroup shares its tau² with other groups, so it cannot be fitted again alone; "
            "use the overall result, or subgroups with common_tau2=False."
        )


def _check_left(k: int, p: int, members: Bools, names: list[str]) -> None:
    """Ask for one more effect than coefficients without whatever is left out."""
    left = k - members.sum(axis=1)
    if (left > p).all():
        return
    coefficients = f"{p} coefficient{'' if p == 1 else 's'}"
    if members.sum(axis=1).max() == 1:
        raise PoolError(
            f"{k} studies leave too few without one to fit {coefficients}; "
            f"influence needs at least {p + 2}."
        )
    name = names[int(np.argmin(left))]
    raise PoolError(
        f"without {name} only {left.min()} of {k} effects are left, too few to fit {coefficients}; "
        "influence needs more effects from others."
    )


def _terms(names: tuple[str, ...]) -> list[str]:
    return ["dfbetas"] if len(names) == 1 else [f"dfbetas_{name}" for name in names]


def _flagged(out: pd.DataFrame, k: int, p: int) -> Bools:
    """Apply the published limits."""
    shifts = out.filter(regex="^dfbetas").abs().max(axis=1)
    passed = (chdtr(p, out["cook_d"].to_numpy(float)) > 0.5) | (shifts > 1)
    if "dffits" in out.columns:
        passed |= (out["dffits"].abs() > 3 * np.sqrt(p / (k - p))) | (out["hat"] > 3 * p / k)
    return np.asarray(passed, dtype=bool)
