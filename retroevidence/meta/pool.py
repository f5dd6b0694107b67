"""Pooling: one mean (or one regression line) from many effects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc, fdtrc

from retroevidence.meta.fit import Fit
from retroevidence.meta.inputs import (
    assembled,
    check_choices,
    check_sizes,
    one_measure,
    plain_numbers,
    usable,
)
from retroevidence.meta.interval import (
    NAN,
    NO_INTERVAL,
    Interval,
    critical_value,
    two_sided,
)
from retroevidence.meta.regression import INTERCEPT, Design, check_rank, design_of
from retroevidence.meta.result import Pooled
from retroevidence.meta.tau2 import estimate_tau2
from retroevidence.meta.weighted import weighted_fits
from retroevidence.meta.wording import studies_in

Floats = NDArray[np.float64]


def pool(
    effects: pd.DataFrame | Mapping[str, Any] | None = None,
    *,
    yi: Any = None,
    vi: Any = None,
    method: str = "REML",
    test: str = "knha",
    level: float = 0.95,
    mods: Any = None,
    data: pd.DataFrame | None = None,
) -> Pooled:
    """Pool effects in a random-effects (or common-effect) model, or regress them on moderators.

    Parameters
    ----------
    effects : pandas.DataFrame, optional
        One row per effect with `yi` and `vi`; `study_id`, `label` and `measure` are used for names
        when present. Or give `yi` and `vi`.
    yi, vi : array_like, shape (k,), optional
        Effects (log scale for ratios; experimental minus comparator) and sampling variances.
    method : str
        Estimator of tau²: CE DL HE HS HSk SJ ML REML EB PM PMM. CE is the common-effect model.
    test : str
        "knha" (Knapp & Hartung 2003, doi 10.1002/sim.1482: residual mean square times the usual
        variance, t with k - p degrees of freedom), "adhoc" (the same, never below the usual
        variance), "t" or "z".
    level : float
        Confidence of all intervals.
    mods : str or array_like, optional
        Moderators: a formula such as ``"~ dose + C(design)"`` over `data` (or `effects`), or a 2-d
        array with one column each.
    data : pandas.DataFrame, optional
        The frame of the formula, one row per effect, when it is not `effects`.

    Returns
    -------
    Pooled
        The mean with its intervals, a prediction interval from t (z for ``test="z"``) with the
        standard error of the test, and heterogeneity. It shows itself.

    Raises
    ------
    PoolError
        If there is nothing to pool, a variance is not above 0, measures are mixed, the same
        `comparison` of a study occurs twice, the moderators do not fit the studies, or a number is
        too large or small to compute with (yi beyond 1e40, vi outside of 1e-60 to 1e60).
    UnknownNameError
        If `method` or `test` is unknown.

    Notes
    -----
    Rows without `yi`, `vi` or a finite moderator are left out and named in `notes`. With one study
    or with studies that agree exactly, the test falls back to one that is defined and a note says
    so.

    Examples
    --------
    >>> pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01])
    Pooled effect, k = 4 studies (REML, Knapp-Hartung)
      estimate     0.304  95% CI [-0.142, 0.750], p = 0.118
      a new study  95% PI [-0.478, 1.086]
      tau²         0.0408  95% CI [0.0000, 1.3036], tau = 0.202
      I²           65%  95% CI [0%, 98%]
      Q            Q(3) = 7.51, p = 0.057
      beside it    z [0.054, 0.554], modified Knapp-Hartung [-0.142, 0.750]
      ...
    """
    check_choices(method, test, level)
    if effects is None and data is None and mods is None:
        plain = plain_numbers(yi, vi)
        if plain is not None:
            y, v = plain
            design = Design.plain(len(y))
            if len(y) == 1:
                return _single(None, design, y, v, "", method, level, [])
            return fit_model(None, design, y, v, "", method, test, level, [])
    frame = assembled(effects, yi, vi, data)
    measure = one_measure(frame)
    entering = frame["yi"].notna() & np.isfinite(frame["vi"])
    design = design_of(mods, frame, entering.to_numpy())
    frame, design, notes = usable(frame, design)
    check_sizes(frame)
    y, v = frame["yi"].to_numpy(float), frame["vi"].to_numpy(float)
    check_rank(design.matrix, design.names)
    if len(y) == 1:
        return _single(frame, design, y, v, measure, method, level, notes)
    return fit_model(frame, design, y, v, measure, method, test, level, notes)


def fit_model(
    frame: pd.DataFrame | None,
    design: Design,
    y: Floats,
    v: Floats,
    measure: str,
    method: str,
    test: str,
    level: float,
    notes: list[str],
) -> Pooled:
    """Fit checked numbers; :func:`pool` is the way in.

    Parameters
    ----------
    frame : pandas.DataFrame or None
        The rows that enter; None when there is nothing beside the numbers.
    design : Design
        Columns of the model for these rows, of full rank and fewer than the rows.
    y, v : numpy.ndarray, shape (k,)
        Finite effects and positive variances, k from 2.
    measure, method, test, level
        As in :func:`pool`.
    notes : list of str
        What is already to be said.

    Returns
    -------
    Pooled
        The mean or the regression.

    Examples
    --------
    >>> y, v = np.array([0.1, 0.5]), np.array([0.1, 0.1])
    >>> round(fit_model(None, Design.plain(2), y, v, "", "DL", "z", 0.95, []).estimate, 12)
    0.3
    """
    x = design.matrix
    tau2 = estimate_tau2(y, v, x, method)
    beta, plain, mean_square, explained = _weighted_fit(y, v, x, tau2, design.moderators)
    if mean_square < 1e-12 and test == "knha":
        test = "adhoc"
        notes.append(
            "The studies agree exactly, so Knapp-Hartung is not defined; "
            "the modified Knapp-Hartung interval is used."
        )
    df = math.inf if test == "z" else float(len(y) - x.shape[1])
    inflation = _inflation(test, mean_square)
    covariance = plain * inflation
    joint = _joint_test(explained / inflation, len(design.moderators), df)
    r2, why = _explained(y, v, design, tau2, method)
    notes += why
    return describe(
        Fit(y, v, design, tau2, beta, covariance, frame),
        usual_se=math.sqrt(plain[0, 0]),
        modified_se=math.sqrt(plain[0, 0] * _inflation("adhoc", mean_square)),
        residual_df=len(y) - x.shape[1],
        measure=measure,
        method=method,
        test=test,
        level=level,
        r2=r2,
        moderators=joint,
        notes=notes,
    )


def describe(
    fit: Fit,
    *,
    usual_se: float,
    modified_se: float,
    residual_df: int,
    measure: str,
    method: str,
    test: str,
    level: float,
    r2: float,
    moderators: tuple[float, int, float],
    notes: list[str],
) -> Pooled:
    """Derive intervals, tests and heterogeneity from a fit.

    Parameters
    ----------
    fit : Fit
        Coefficients with the covariance of the test, and tau².
    usual_se, modified_se : float
        Standard errors of the first coefficient for the z and the modified Knapp-Hartung interval.
    residual_df : int
        Degrees of freedom of the t distribution.
    measure, method, test, level
        As in :func:`pool`.
    r2, moderators : float and tuple
        Share of tau² explained; statistic, degrees of freedom and p-value of the joint test.
    notes : list of str
        What is already to be said.

    Returns
    -------
    Pooled
        The result, with the remarks its numbers call for.

    Examples
    --------
    >>> pooled = pool(yi=[0.1, 0.5], vi=[0.1, 0.1])
    >>> again = describe(
    ...     pooled.fit, usual_se=0.2, modified_se=0.3, residual_df=1,
    ...     measure="", method="REML", test="knha", level=0.95, r2=NAN, moderators=(NAN, 0, NAN),
    ...     notes=[])
    >>> again.ci == pooled.ci
    True
    """
    tau2 = fit.tau2
    estimate, se = float(fit.beta[0]), math.sqrt(fit.covariance[0, 0])
    df = math.inf if test == "z" else float(residual_df)
    reach_z, reach_t = critical_value(level, math.inf), critical_value(level, residual_df)
    reach = reach_z if test == "z" else reach_t
    predictable = method != "CE" and fit.design.names == (INTERCEPT,)
    ci, z_ci = _around(estimate, reach * se), _around(estimate, reach_z * usual_se)
    pooled = Pooled(
        measure=measure,
        method=method,
        test=test,
        level=level,
        k=len(fit.yi),
        estimate=estimate,
        se=se,
        statistic=estimate / se,
        df=df,
        p_value=two_sided(estimate / se, df),
        ci=ci,
        z_ci=z_ci,
        modified_ci=_around(estimate, reach_t * modified_se),
        prediction=(
            _around(estimate, reach * math.sqrt(tau2 + se**2)) if predictable else NO_INTERVAL
        ),
        tau2=tau2,
        r2=r2,
        qm=moderators[0],
        qm_df=moderators[1],
        qm_p_value=moderators[2],
        notes=(*notes, *_remarks(fit, method, test, residual_df, ci, z_ci)),
        fit=fit,
    )
    return pooled


def _single(
    frame: pd.DataFrame | None,
    design: Design,
    y: Floats,
    v: Floats,
    measure: str,
    method: str,
    level: float,
    notes: list[str],
) -> Pooled:
    """One study: its own effect with a z interval, and nothing about other studies."""
    # Beside a moderator without an intercept, what the study gives is the slope.
    size = float(design.matrix[0, 0])
    estimate, se = float(y[0]) / size, math.sqrt(v[0]) / abs(size)
    covariance = np.array([[se**2]])
    ci = _around(estimate, critical_value(level, math.inf) * se)
    note = (
        "One study: its own estimate with a z interval; "
        "variation between studies and a new study's effect cannot be estimated."
    )
    return Pooled(
        measure=measure,
        method=method,
        test="z",
        level=level,
        k=1,
        estimate=estimate,
        se=se,
        statistic=estimate / se,
        df=math.inf,
        p_value=two_sided(estimate / se, math.inf),
        ci=ci,
        z_ci=ci,
        modified_ci=NO_INTERVAL,
        prediction=NO_INTERVAL,
        tau2=NAN,
        r2=NAN,
        qm=NAN,
        qm_df=0,
        qm_p_value=NAN,
        notes=(*notes, note),
        fit=Fit(y, v, design, 0.0, y / size, covariance, frame),
    )


# Numbers ----------------------------------------------------------------------------------------


def _weighted_fit(
    y: Floats, v: Floats, x: Floats, tau2: float, moderators: list[int]
) -> tuple[Floats, Floats, float, float]:
    """Return coefficients, their usual covariance, the residual mean square and what they explain.

    The last is the weighted sum of squares that `moderators` explain beyond the other columns.
    """
    if x.shape[1] > 1:
        found = weighted_fits(y[None], v[None], x[None], np.array([tau2]), moderators)
        beta, covariance, mean_square, explained = (part[0] for part in found)
        return beta, covariance, float(mean_square), float(explained)
    weights, column = 1 / (v + tau2), x[:, 0]
    loaded = weights * column
    information = float(loaded @ column)
    beta = (loaded @ y / information).reshape(1)
    left = y - column * beta
    covariance = np.array([[1 / information]])
    squares = float(weights @ (left * left))
    return beta, covariance, squares / (len(y) - 1), float(beta[0]) ** 2 * information


def _inflation(test: str, mean_square: float) -> float:
    if test == "knha":
        return mean_square
    return max(1.0, mean_square) if test == "adhoc" else 1.0


def _around(middle: float, reach: float) -> Interval:
    return Interval(middle - reach, middle + reach)


def _joint_test(wald: float, columns: int, df: float) -> tuple[float, int, float]:
    """Test all moderators together: chi-squared after z, F otherwise."""
    if not columns:
        return NAN, 0, NAN
    if math.isinf(df):
        return wald, columns, float(chdtrc(columns, wald))
    f = wald / columns
    return f, columns, float(fdtrc(columns, df, f))


def _explained(
    y: Floats, v: Floats, design: Design, tau2: float, method: str
) -> tuple[float, list[str]]:
    """Percent of tau² that the moderators explain (Raudenbush 2009), or why there is none."""
    if not design.moderators:
        return NAN, []
    if method == "CE":
        return NAN, ["There is no R²: a common-effect model has no tau² to explain."]
    if INTERCEPT not in design.names:
        return NAN, ["There is no R²: the model has no intercept to compare with."]
    alone = estimate_tau2(y, v, np.ones((len(y), 1)), method)
    if alone == 0:
        return NAN, ["There is no R²: tau² is 0 without the moderators too."]
    return max(0.0, 100 * (alone - tau2) / alone), []


def _remarks(
    fit: Fit, method: str, test: str, residual_df: int, ci: Interval, z_ci: Interval
) -> list[str]:
    """Say in words what the numbers alone would hide."""
    notes = []
    if method == "CE":
        notes.append("Common effect: tau² is assumed 0, so there is no prediction interval.")
    elif residual_df < 4:
        k = len(fit.variance_fit.yi)
        notes.append(
            f"With {k} studies tau² is barely estimable, and the prediction interval rough."
        )
    if fit.tau2 == 0 and method != "CE":
        notes.append(
            "tau² is estimated as 0: the mean is the common-effect mean, and the prediction "
            "interval adds nothing for differences between studies."
        )
    if test == "knha" and ci.high - ci.low < z_ci.high - z_ci.low:
        notes.append(
            "The Knapp-Hartung interval is narrower than the z interval; quote the modified one."
        )
    if fit.rows is not None and studies_in(fit.rows) < len(fit.rows):
        notes.append(
            "Some studies give several effects, taken here as independent: "
            "the interval is too narrow if they are alike."
        )
    return notes
