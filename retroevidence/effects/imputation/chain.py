"""Drawing what reports leave open, together with the model it is drawn from."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp

from retroevidence.errors import EffectError

Floats = NDArray[np.float64]

#: Steps of the chain before the first draw, and between draws.
BURN_IN, THIN = 50, 10


def completed_sets(
    frame: pd.DataFrame,
    open_: NDArray[np.bool_],
    unsure: NDArray[np.bool_],
    draws: int,
    random: np.random.Generator,
) -> list[tuple[Floats, Floats]]:
    """Alternate between the model's mean and tau and the open values; return completed sets.

    Parameters
    ----------
    frame : pandas.DataFrame
        Effects: ``yi``, ``vi``, and ``lower``, ``upper`` or ``log_sd_se`` where they are drawn.
    open_, unsure : numpy.ndarray of bool
        Rows whose value is drawn within its limits, and rows whose SD is.
    draws : int
        Sets to return.
    random : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    list of (numpy.ndarray, numpy.ndarray)
        Effects and variances of each set.

    Raises
    ------
    EffectError
        If it is not known how an SD enters the measure.

    Examples
    --------
    >>> frame = pd.DataFrame({"yi": [0.1, 0.3, None], "vi": 0.1, "lower": 0.5, "upper": 0.9})
    >>> missing, none = frame["yi"].isna().to_numpy(), np.zeros(3, dtype=bool)
    >>> sets = completed_sets(frame, missing, none, 2, np.random.default_rng(1))
    >>> all(0.5 <= yi[2] <= 0.9 for yi, _ in sets)
    True
    """
    y0, v0 = frame["yi"].to_numpy(float, na_value=np.nan), frame["vi"].to_numpy(float)
    exact = y0[~open_]
    y, v = y0.copy(), v0.copy()
    if open_.any():
        low, high = frame["lower"].to_numpy(float)[open_], frame["upper"].to_numpy(float)[open_]
        y[open_] = np.clip(exact.mean(), low, high)
    sd_se = frame["log_sd_se"].to_numpy(float) if unsure.any() else np.zeros(len(y))
    # Wide enough that its end has no weight, on the scale of the data.
    widest = 5 * (float(np.ptp(exact)) + float(np.sqrt(v0.max())))
    taus = np.linspace(0.0, widest, 101)
    completed = []
    for step in range(BURN_IN + THIN * draws):
        if unsure.any():
            factor = np.exp(sd_se[unsure] * random.standard_normal(int(unsure.sum())))
            y[unsure], v[unsure] = _rescaled(frame[unsure], y0[unsure], v0[unsure], factor)
        mean, tau = _drawn_model(y, v, taus, random)
        if open_.any():
            spread = np.sqrt(tau**2 + v[open_])
            y[open_] = mean + spread * _cut_normal(
                (low - mean) / spread, (high - mean) / spread, random
            )
        if step >= BURN_IN and (step - BURN_IN) % THIN == THIN - 1:
            completed.append((y.copy(), v.copy()))
    return completed


def _drawn_model(
    y: Floats, v: Floats, taus: Floats, random: np.random.Generator
) -> tuple[float, float]:
    """Draw the mean and tau from their posterior under flat priors, tau on a grid."""
    weights = 1 / (v + taus[:, None] ** 2)
    total = weights.sum(axis=1)
    means = weights @ y / total
    spread = (weights * (y - means[:, None]) ** 2).sum(axis=1)
    log_posterior = (np.log(weights).sum(axis=1) - np.log(total) - spread) / 2
    chance = np.exp(log_posterior - log_posterior.max())
    cumulative = np.cumsum(chance)
    at = int(np.searchsorted(cumulative, random.random() * cumulative[-1]))
    return float(means[at] + random.standard_normal() / math.sqrt(total[at])), float(taus[at])


def _cut_normal(low: Floats, high: Floats, random: np.random.Generator) -> Floats:
    """Draw standard normals between two limits, accurately however far out these are."""
    # On the log scale of the lower tail nothing underflows; the upper tail is its mirror image.
    turned = low > 0
    a, b = np.where(turned, -high, low), np.where(turned, -low, high)
    log_a, log_b = log_ndtr(a), log_ndtr(b)
    u = random.random(len(a))
    drawn = ndtri_exp(log_b + np.log(u + (1 - u) * np.exp(log_a - log_b)))
    return np.asarray(np.clip(np.where(turned, -drawn, drawn), low, high))


def _rescaled(rows: pd.DataFrame, yi: Floats, vi: Floats, factor: Floats) -> tuple[Floats, Floats]:
    """Return what the effects would be with SDs `factor` times as large."""
    measure = rows["measure"].astype(str) if "measure" in rows else pd.Series("", rows.index)
    standardised = measure.str.startswith("SM").to_numpy(bool)
    plain = measure.isin(["MD", "MC", "ROM", "ROMC"]).to_numpy(bool)
    if not (standardised | plain).all():
        odd = ", ".join(sorted(set(measure[~(standardised | plain)])))
        raise EffectError(f"it is not known how an SD enters the measure {odd!r}; use SMD or MD.")
    if not standardised.any():
        return yi, vi * factor**2
    n = (rows["n_experimental"] + rows["n_comparator"]).to_numpy(float)
    moved = yi / factor
    # The variance of an SMD is a part that only n decides, plus g²/(2n).
    return (
        np.where(standardised, moved, yi),
        np.where(standardised, vi + (moved**2 - yi**2) / (2 * n), vi * factor**2),
    )
