"""How far one study moves a fit: deletion diagnostics."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import PoolError
from retroevidence.meta.regression import check_rank
from retroevidence.meta.result import Pooled, study_names
from retroevidence.meta.tau2 import estimate_tau2, generalised_q

Floats = NDArray[np.float64]


def influence(pooled: Pooled) -> pd.DataFrame:
    """Measure what each study does to a fit by fitting again without it.

    Parameters
    ----------
    pooled : Pooled
        A pooled mean or meta-regression with at least two more effects than coefficients.

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

    Raises
    ------
    PoolError
        If too few studies are left without one, or if a moderator can only be estimated with it.

    Notes
    -----
    Formulas of Viechtbauer & Cheung (2010, doi 10.1002/jrsm.11), with ``-i`` for the fit without
    study i, ``V`` for the model's covariance of the coefficients, ``W`` for the weights:

    - ``rstudent = (y - x b(-i)) / sqrt(v + tau²(-i) + x V(-i) x')``
    - ``dffits = x (b - b(-i)) / sqrt(hat (v + tau²(-i)))``
    - ``cook_d = (b - b(-i))' V^-1 (b - b(-i))``
    - ``cov_r = det V(-i) / det V``
    - ``dfbetas = (b - b(-i)) / sqrt(diag((X' W(tau²(-i)) X)^-1))``

    Limits, for p coefficients: absolute dffits above ``3 sqrt(p / (k - p))``; the lower tail of
    chi-squared(p) at cook_d above one half; hat above ``3 p / k``; absolute dfbetas above 1.
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
    fit = pooled.fit
    y, v, x, tau2 = fit.yi, fit.vi, fit.x, fit.tau2
    k, p = x.shape
    if k < p + 2:
        raise PoolError(
            f"{k} studies leave too few without one to fit {p} coefficient"
            f"{'' if p == 1 else 's'}; influence needs at least {p + 2}."
        )
    weights = 1 / (v + tau2)
    precision = x.T @ (weights[:, None] * x)
    covariance = np.linalg.inv(precision)
    hat = weights * ((x @ covariance) * x).sum(axis=1)
    rows = []
    for i in range(k):
        keep = np.arange(k) != i
        try:
            check_rank(x[keep], fit.design.names)
        except PoolError as err:
            name = study_names(fit.frame)[i]
            raise PoolError(f"without {name} the model has no answer: {err}") from err
        alone, left_v, left_x = y[keep], v[keep], x[keep]
        tau2_left = estimate_tau2(alone, left_v, left_x, pooled.method)[0]
        w_left = 1 / (left_v + tau2_left)
        covariance_left = np.linalg.inv(left_x.T @ (w_left[:, None] * left_x))
        beta_left = covariance_left @ (left_x.T @ (w_left * alone))
        moved = fit.beta - beta_left
        at = x[i]
        spread = v[i] + tau2_left
        whole = np.linalg.inv(x.T @ (x / (v + tau2_left)[:, None]))
        rows.append(
            {
                "rstudent": (y[i] - at @ beta_left) / np.sqrt(spread + at @ covariance_left @ at),
                "dffits": at @ moved / np.sqrt(hat[i] * spread),
                "cook_d": moved @ precision @ moved,
                "cov_r": np.linalg.det(covariance_left) / np.linalg.det(covariance),
                "tau2_deleted": tau2_left,
                "q_deleted": generalised_q(alone, left_v, left_x, 0.0),
                "hat": hat[i],
            }
            | dict(zip(_terms(fit.design.names), moved / np.sqrt(np.diag(whole)), strict=True))
        )
    out = pd.DataFrame(rows, index=fit.frame.index)
    out.insert(0, "study", study_names(fit.frame))
    out.insert(1, "weight", fit.weights)
    out["influential"] = _flagged(out, k, p)
    return out


def _terms(names: tuple[str, ...]) -> list[str]:
    return ["dfbetas"] if len(names) == 1 else [f"dfbetas_{name}" for name in names]


def _flagged(out: pd.DataFrame, k: int, p: int) -> NDArray[np.bool_]:
    """Apply the published limits."""
    from scipy.special import chdtr

    shifts = out[[name for name in out.columns if name.startswith("dfbetas")]].abs().max(axis=1)
    passed = (
        (out["dffits"].abs() > 3 * np.sqrt(p / (k - p)))
        | (chdtr(p, out["cook_d"].to_numpy(float)) > 0.5)
        | (out["hat"] > 3 * p / k)
        | (shifts > 1)
    )
    return np.asarray(passed, dtype=bool)
