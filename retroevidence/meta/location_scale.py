"""Location-scale models: moderators of the mean and of the variance between studies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc, fdtrc

from retroevidence._show import Card, Carded, number, p_text
from retroevidence.errors import PoolError, unknown_name
from retroevidence.meta.inputs import (
    assembled,
    check_choices,
    check_sizes,
    one_measure,
    usable,
)
from retroevidence.meta.interval import NAN, TESTS, critical_value, two_sided
from retroevidence.meta.likelihood import maximum_likelihood
from retroevidence.meta.regression import INTERCEPT, check_rank, design_of
from retroevidence.meta.tau2 import typical_variance, weighted_q
from retroevidence.meta.wording import listed, or_none, rounded_coefficients, study_names

Floats = NDArray[np.float64]

#: A tau² below this share of a typical sampling variance no longer changes the likelihood.
NOTHING = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class LocationScale(Carded):
    """A fitted location-scale model, made by :func:`location_scale`.

    Attributes
    ----------
    measure, method, test, level, k : str, float and int
        What was asked, and how many effects entered.
    names, scale_names : tuple of str
        Names of the location and of the scale coefficients.
    beta, covariance : numpy.ndarray
        Location coefficients and their covariance.
    alpha, alpha_covariance : numpy.ndarray
        Scale coefficients, on the scale of log tau², and their covariance (observed information).
    tau2 : numpy.ndarray, shape (k,)
        Variance between studies for each study's scale moderators.
    log_likelihood : float
        Restricted for REML.
    qm, qm_df, qm_p_value, qs, qs_df, qs_p_value : float
        Wald tests of the location and of the scale moderators: chi-squared for ``test="z"``, F
        otherwise.
    lr, lr_p_value : float
        Likelihood-ratio test of the scale moderators against one tau²; NaN when the scale has no
        intercept.
    notes : tuple of str
        What a reader must know.

    Examples
    --------
    >>> y, v = [0.1, 0.3, 0.2, 1.9, -1.2, 0.9, -0.4, 2.2], [0.02] * 8
    >>> x = [[0]] * 3 + [[1]] * 5
    >>> fit = location_scale(yi=y, vi=v, scale=x)
    >>> bool(fit.tau2[-1] > fit.tau2[0])
    True
    """

    measure: str
    method: str
    test: str
    level: float
    k: int
    names: tuple[str, ...]
    beta: Floats
    covariance: Floats
    scale_names: tuple[str, ...]
    alpha: Floats
    alpha_covariance: Floats
    tau2: Floats
    log_likelihood: float
    qm: float
    qm_df: int
    qm_p_value: float
    qs: float
    qs_df: int
    qs_p_value: float
    lr: float
    lr_p_value: float
    notes: tuple[str, ...]

    @cached_property
    def coefficients(self) -> pd.DataFrame:
        """Location coefficients: term, estimate, se, statistic, p_value, ci_low, ci_high."""
        return self._table(self.names, self.beta, self.covariance)

    @cached_property
    def scale_coefficients(self) -> pd.DataFrame:
        """Scale coefficients, of log tau², with the same columns."""
        return self._table(self.scale_names, self.alpha, self.alpha_covariance)

    def _table(self, names: tuple[str, ...], values: Floats, covariance: Floats) -> pd.DataFrame:
        df = math.inf if self.test == "z" else float(self.k - len(values))
        se = np.sqrt(np.diag(covariance))
        reach = critical_value(self.level, df) * se
        return pd.DataFrame(
            {
                "term": list(names),
                "estimate": values,
                "se": se,
                "statistic": values / se,
                "p_value": [two_sided(float(value), df) for value in values / se],
                "ci_low": values - reach,
                "ci_high": values + reach,
            }
        )

    @property
    def summary(self) -> pd.DataFrame:
        """One row with the tests."""
        row = self.to_dict()
        row["notes"] = " ".join(self.notes)
        for name in ("coefficients", "scale_coefficients"):
            row.pop(name)
        return pd.DataFrame([row])

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values, None where undefined."""
        names = "measure method test level k log_likelihood qm qm_df qm_p_value".split()
        names += "qs qs_df qs_p_value lr lr_p_value".split()
        flat = {name: getattr(self, name) for name in names}
        flat = {name: or_none(v) if isinstance(v, float) else v for name, v in flat.items()}
        for name in ("coefficients", "scale_coefficients"):
            flat[name] = [
                {key: or_none(v) if isinstance(v, float) else v for key, v in row.items()}
                for row in getattr(self, name).to_dict("records")
            ]
        return flat | {"notes": list(self.notes)}

    def _card(self) -> Card:
        z = self.test == "z"
        letter = "chi²" if z else "F"
        pairs = []
        for name, value, df, p in (
            ("location", self.qm, self.qm_df, self.qm_p_value),
            ("scale", self.qs, self.qs_df, self.qs_p_value),
        ):
            if df:
                pairs.append((name, f"{letter}({df}) = {number(value, 2)}, {p_text(p)}"))
        if not math.isnan(self.lr):
            text = f"chi²({self.qs_df}) = {number(self.lr, 2)}, {p_text(self.lr_p_value)}"
            pairs.append(("likelihood ratio", text))
        pairs.append(("tau²", f"{self.tau2.min():.3g} to {self.tau2.max():.3g}"))
        parts = [
            rounded_coefficients(table).assign(term=[f"{what}: {name}" for name in table["term"]])
            for what, table in (("mean", self.coefficients), ("log tau²", self.scale_coefficients))
        ]
        of = self.measure or "effects"
        title = f"Location-scale model of {of}, k = {self.k} ({self.method}, {TESTS[self.test]})"
        return Card(title, pairs, pd.concat(parts), self.notes)


def location_scale(
    effects: pd.DataFrame | Mapping[str, Any] | None = None,
    *,
    scale: Any,
    mods: Any = None,
    yi: Any = None,
    vi: Any = None,
    method: str = "REML",
    test: str = "knha",
    level: float = 0.95,
    data: pd.DataFrame | None = None,
) -> LocationScale:
    """Fit a model whose moderators act on the mean and on the variance between studies.

    Parameters
    ----------
    effects, mods, yi, vi, test, level, data
        As in :func:`retroevidence.meta.pool.pool`.
    scale : str or array_like
        Moderators of ``log tau²``, in the same forms as `mods`.
    method : str
        "REML" or "ML".

    Returns
    -------
    LocationScale
        Both sets of coefficients. It shows itself.

    Raises
    ------
    PoolError
        As :func:`pool` does, or if the scale moderators cannot be told apart.
    UnknownNameError
        If `method` or `test` is unknown.

    Notes
    -----
    ``yi ~ N(x'beta, vi + tau²)`` with ``log tau² = z'alpha`` (Viechtbauer & López-López 2022,
    doi 10.1002/jrsm.1562). The likelihood is maximised by Newton's method in a trust region with
    exact derivatives, from several starts, in units of a typical standard error; a fit whose slope
    is still not 0 is continued by a simplex search, and a note says so.

    Examples
    --------
    >>> y, v = [0.1, 0.3, 0.2, 1.9, -1.2, 0.9, -0.4, 2.2], [0.02] * 8
    >>> location_scale(yi=y, vi=v, scale=[[0]] * 3 + [[1]] * 5, test="z").qs_df
    1
    """
    if method not in ("REML", "ML"):
        raise unknown_name("method", method, ("REML", "ML"))
    check_choices(method, test, level)
    frame = assembled(effects, yi, vi, data)
    entering = (frame["yi"].notna() & np.isfinite(frame["vi"])).to_numpy()
    measure = one_measure(frame)
    variance = design_of(scale, frame, entering, argument="scale")
    broken = entering & np.isnan(variance.matrix).any(axis=1)
    location = design_of(mods, frame, entering & ~broken)
    notes = []
    if broken.any():
        missing = np.array(study_names(frame), dtype=object)[broken]
        notes.append(f"Left out, a scale moderator is missing or infinite: {listed(missing)}.")
    names = variance.names
    frame = frame.assign(_row=np.arange(len(frame))).loc[~broken]
    location = replace(location, matrix=location.matrix[~broken])
    frame, location, more = usable(frame, location)
    check_sizes(frame)
    notes += more
    z = variance.matrix[frame["_row"].to_numpy()]
    y, v, x = frame["yi"].to_numpy(float), frame["vi"].to_numpy(float), location.matrix
    check_rank(x, location.names)
    check_rank(z, names)
    if len(y) <= x.shape[1] + z.shape[1]:
        raise PoolError(
            f"{len(y)} {'study' if len(y) == 1 else 'studies'} cannot carry {x.shape[1]} location "
            f"and {z.shape[1]} scale coefficients; use fewer moderators or more studies."
        )
    model = _Model(y, v, x, z, restricted=method == "REML")
    alpha, said = model.fit()
    notes += said
    tau2 = model.tau2(alpha)
    weights = 1 / (v + tau2)
    plain = np.linalg.inv(x.T @ (weights[:, None] * x))
    beta = plain @ (x.T @ (weights * y))
    mean_square = weighted_q(y, weights, x) / (len(y) - x.shape[1])
    if mean_square < 1e-12 and test == "knha":
        test = "adhoc"
        notes.append(
            "The studies agree exactly, so Knapp-Hartung is not defined; "
            "the modified Knapp-Hartung interval is used."
        )
    factor = {"knha": mean_square, "adhoc": max(1.0, mean_square)}.get(test, 1.0)
    alpha_covariance = _inverse_or_nan(-model.hessian(alpha))
    if np.isnan(alpha_covariance).any():
        notes.append("The scale coefficients have no standard errors: the likelihood is flat.")
    log_likelihood = model.value(alpha)
    constant = maximum_likelihood(y, v, x, restricted=method == "REML")
    lr = 2 * max(0.0, log_likelihood - model.value_at(np.full(len(y), constant)))
    moved = [i for i, name in enumerate(names) if name != INTERCEPT]
    qs = _wald(alpha, alpha_covariance, moved, test, len(y) - z.shape[1])
    qm = _wald(beta, plain * factor, location.moderators, test, len(y) - x.shape[1])
    nested = INTERCEPT in names and bool(moved)
    if moved and not nested:
        notes.append(
            "The scale has no intercept, so there is no likelihood-ratio test against one tau²."
        )
    return LocationScale(
        measure=measure,
        method=method,
        test=test,
        level=level,
        k=len(y),
        names=location.names,
        beta=beta,
        covariance=plain * factor,
        scale_names=names,
        alpha=alpha,
        alpha_covariance=alpha_covariance,
        tau2=tau2,
        log_likelihood=log_likelihood,
        qm=qm[0],
        qm_df=qm[1],
        qm_p_value=qm[2],
        qs=qs[0],
        qs_df=qs[1],
        qs_p_value=qs[2],
        lr=lr if nested else NAN,
        lr_p_value=float(chdtrc(len(moved), lr)) if nested else NAN,
        notes=tuple(notes),
    )


def _wald(
    values: Floats, covariance: Floats, which: list[int], test: str, df: int
) -> tuple[float, int, float]:
    if not which or np.isnan(covariance).any():
        return NAN, len(which), NAN
    part = values[which]
    wald = float(part @ np.linalg.solve(covariance[np.ix_(which, which)], part))
    if test == "z":
        return wald, len(which), float(chdtrc(len(which), wald))
    return wald / len(which), len(which), float(fdtrc(len(which), df, wald / len(which)))


def _inverse_or_nan(information: Floats) -> Floats:
    """Return the inverse, or NaN throughout where the information is not positive definite."""
    try:
        if np.linalg.eigvalsh(information).min() > 0:
            return np.asarray(np.linalg.inv(information))
    except np.linalg.LinAlgError:
        pass
    return np.full_like(information, np.nan)


class _Model:
    """The likelihood of alpha with the location coefficients profiled out."""

    def __init__(self, y: Floats, v: Floats, x: Floats, z: Floats, *, restricted: bool) -> None:
        self.y, self.v, self.restricted = y, v, restricted
        # Orthonormal columns keep the equations well conditioned, whatever the moderators' units.
        self.x = np.linalg.qr(x)[0]
        self.z, self.back = np.linalg.qr(z)
        self.typical = typical_variance(v, self.x)

    def tau2(self, alpha: Floats) -> Floats:
        """Return tau² of each study."""
        return self._tau2(self.back @ alpha)

    def _tau2(self, theta: Floats) -> Floats:
        return np.asarray(np.exp(np.clip(self.z @ theta, -700, 700)))

    def value(self, alpha: Floats) -> float:
        """Return the log likelihood."""
        return self.value_at(self.tau2(alpha))

    def value_at(self, tau2: Floats) -> float:
        """Return the log likelihood for any tau² of each study."""
        k, p = self.x.shape
        w = 1 / (self.v + tau2)
        value = float(np.sum(np.log(w))) - weighted_q(self.y, w, self.x)
        if self.restricted:
            # The columns of x are orthonormal, so the value does not depend on their units.
            information = self.x.T @ (w[:, None] * self.x)
            value -= float(np.linalg.slogdet(information)[1])
        free = float(k - p) if self.restricted else float(k)
        return (value - free * math.log(2 * math.pi)) / 2

    def _derivatives(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return slope and curvature of the log likelihood in `theta`."""
        tau2 = self._tau2(theta)
        w = 1 / (self.v + tau2)
        wx = w[:, None] * self.x
        p = np.diag(w) - wx @ np.linalg.solve(self.x.T @ wx, wx.T)
        residual = p @ self.y
        lost = np.diag(p) if self.restricted else w
        slope = (residual**2 - lost) / 2
        squares = p**2 if self.restricted else np.diag(w**2)
        second = squares / 2 - p * np.outer(residual, residual)
        tz = tau2[:, None] * self.z
        curvature = tz.T @ second @ tz + self.z.T @ ((slope * tau2)[:, None] * self.z)
        return tz.T @ slope, curvature

    def hessian(self, alpha: Floats) -> Floats:
        """Return the second derivatives in `alpha`."""
        curvature = self._derivatives(self.back @ alpha)[1]
        return np.asarray(self.back.T @ curvature @ self.back)

    def fit(self) -> tuple[Floats, list[str]]:
        """Return the best alpha, and what is to be said about it."""
        from scipy.optimize import minimize

        def loss(theta: Floats) -> float:
            value = -self.value_at(self._tau2(theta))
            return value if math.isfinite(value) else 1e300

        def slope(theta: Floats) -> Floats:
            return -self._derivatives(theta)[0]

        def curvature(theta: Floats) -> Floats:
            return -self._derivatives(theta)[1]

        found = []
        for start in self._starts():
            fit = minimize(
                loss, start, jac=slope, hess=curvature, method="trust-exact",
                options={"gtol": 1e-9, "maxiter": 500, "max_trust_radius": 100.0},
            )  # fmt: skip
            found.append((float(fit.fun), fit.x))
        best, theta = min(found, key=lambda pair: pair[0])
        notes = []
        # The slope in log tau² has no unit, so one bound serves every scale.
        if np.abs(slope(theta)).max() > 1e-5:
            again = minimize(
                loss, theta, method="Nelder-Mead", options={"maxiter": 20_000, "fatol": 1e-12}
            )
            theta = again.x if again.fun < best else theta
            notes.append(
                "The likelihood of the scale was hard to maximise; a simplex search finished it."
            )
        for _ in range(5):
            gradient, second = self._derivatives(theta)
            try:
                step = np.linalg.solve(second, gradient)
            except np.linalg.LinAlgError:
                break
            if not np.isfinite(step).all() or np.abs(step).max() > 0.01:
                break
            theta = theta - step
        if self._tau2(theta).min() < NOTHING * self.typical:
            notes.append(
                "tau² is estimated as 0 for some studies: the scale coefficients run off to "
                "infinity, and stop where the likelihood no longer changes."
            )
        return np.linalg.solve(self.back, theta), notes

    def _starts(self) -> list[Floats]:
        """Return where to start: one tau², the squared residuals, and both ways from there."""
        level = maximum_likelihood(self.y, self.v, self.x, restricted=self.restricted)
        flat = math.log(max(level, 0.01 * self.typical))
        residual = self.y - self.x @ (self.x.T @ self.y)
        excess = np.log(np.maximum(residual**2 - self.v, 0.01 * self.typical))
        constant = self.z.T @ np.full(len(self.y), flat)
        sloped = self.z.T @ excess
        return [constant, sloped, 2 * constant - sloped]
