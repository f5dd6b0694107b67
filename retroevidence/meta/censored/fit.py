"""Maxima and limits of the likelihood with bounded rows, every one of them bracketed.

For a given tau² the log likelihood is concave in mu, whatever the intervals are, so its maximum is
found by Newton steps kept between bounds. Over tau² the score is evaluated on a grid that spans
every scale on which it can change, and each change of sign is refined. Nothing has an absolute
tolerance: the unit of the outcome cannot change the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retroevidence.meta.censored.likelihood import Rows, terms

Floats = NDArray[np.float64]

# The integrand over mu is followed until it has fallen by this much on the log scale, exp(-35) or
# 6e-16 of its maximum, in steps of this part of the smallest standard error the rows can give. The
# trapezoid rule then has an error of exp(-2 pi² / 0.7²) for a Gaussian, below 1e-17. To see on
# which side of a maximum a value of tau² is, 1e-5 is enough.
FINE, COARSE = (35.0, 0.7), (12.0, 1.2)
MOST_STEPS = 800


def best_mu(rows: Rows, tau2: ArrayLike) -> Floats:
    """Return the mu of highest likelihood for each `tau2`.

    Parameters
    ----------
    rows : Rows
        Effects, not all open on the same side.
    tau2 : array_like, shape (...)
        Variances between studies.

    Returns
    -------
    numpy.ndarray, shape (...)
        The weighted mean, when all rows are exact.

    Examples
    --------
    >>> rows = Rows(np.array([0.0, 0.5]), np.array([0.0, np.inf]), np.array([0.1, 0.1]))
    >>> round(float(best_mu(rows, 0.0)), 4)
    0.3529
    """
    t = np.asarray(tau2, dtype=float)
    low_end = np.where(np.isfinite(rows.low), rows.low, rows.high)
    high_end = np.where(np.isfinite(rows.high), rows.high, rows.low)
    centre = (low_end + high_end) / 2
    weights = 1 / (rows.v + t[..., None])
    mu = np.asarray((weights * centre).sum(axis=-1) / weights.sum(axis=-1))
    low, high = np.full(mu.shape, -np.inf), np.full(mu.shape, np.inf)
    first, last = rows.ends
    reach = last - first + 4 * np.sqrt(rows.v.max() + t)
    for _ in range(300):
        here = terms(rows, mu, t)
        slope, information = here.slope, here.information
        low, high = np.where(slope > 0, mu, low), np.where(slope < 0, mu, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(slope == 0, 0.0, slope / information)
            # Newton's error is squared at each step: past this one it is below rounding.
            done = step * slope < 1e-16
        new = mu + np.clip(step, -reach, reach)
        with np.errstate(invalid="ignore"):
            halved = np.where(np.isfinite(low) & np.isfinite(high), (low + high) / 2, new)
        inside = (new > low) & (new < high)
        mu = np.where(inside | done, new, halved)
        if done.all():
            break
        reach = 1.5 * reach
    return mu


def restricted(rows: Rows, tau2: ArrayLike) -> tuple[Floats, Floats]:
    """Integrate mu out of the likelihood; return the log of it and its slope in tau².

    Parameters
    ----------
    rows : Rows
        Effects, at least one of them exact or with two finite limits.
    tau2 : array_like, shape (...)
        Variances between studies.

    Returns
    -------
    log_l, slope : numpy.ndarray, shape (...)
        With exact rows only this is the restricted likelihood of REML (Harville 1974, doi
        10.1093/biomet/61.2.383), for any rows the likelihood of tau² under a flat prior for mu.

    Examples
    --------
    >>> y, v = np.array([0.0, 2.0]), np.ones(2)
    >>> slope = restricted(Rows(y, y, v), 1.0)[1]
    >>> bool(abs(slope) < 1e-12)
    True
    """
    t = np.asarray(tau2, dtype=float)
    return _integral(rows, t, *_range(rows, t, FINE))


def _range(rows: Rows, t: Floats, rule: tuple[float, float]) -> tuple[Floats, Floats, int]:
    """Return between which mu the likelihood is not negligible, and how many steps that is."""
    depth, size = rule
    mu = best_mu(rows, t)
    floor = terms(rows, mu, t).loglik - depth
    # Information never exceeds that of rows known exactly, so nothing is finer than this.
    unit = 1 / np.sqrt((1 / (rows.v + t[..., None])).sum(axis=-1))
    side = np.array([-1.0, 1.0]).reshape((2,) + (1,) * t.ndim)
    # For exact rows the first distance is enough: depth is (distance / unit)² / 2.
    away = np.broadcast_to(math.sqrt(2.06 * depth) * unit, (2, *t.shape)).copy()
    for _ in range(100):
        shallow = terms(rows, mu + side * away, t).loglik > floor
        if not shallow.any():
            break
        away[shallow] *= 1.6
    steps = math.ceil(float(np.max(away.sum(axis=0) / unit)) / size)
    return mu - away[0], mu + away[1], min(MOST_STEPS, steps)


def _integral(
    rows: Rows, t: Floats, start: ArrayLike, stop: ArrayLike, steps: int
) -> tuple[Floats, Floats]:
    """Integrate over mu by the trapezoid rule; return the logarithm and its slope in tau²."""
    span = np.asarray(stop) - np.asarray(start)
    nodes = start + np.linspace(0.0, 1.0, steps + 1).reshape((-1,) + (1,) * t.ndim) * span
    here = terms(rows, nodes, t)
    log_l = here.loglik
    peak = log_l.max(axis=0)
    density = np.exp(log_l - peak)
    total = density.sum(axis=0)
    slope = (density * here.slope_tau2).sum(axis=0) / total
    return peak + np.log(total * span / steps), np.asarray(slope)


def _restricted_between(rows: Rows, low: float, high: float) -> Callable[[float], float]:
    """Return the slope of the restricted likelihood within a bracket, on one set of nodes."""
    ends = np.array([low, high])
    start, stop, steps = _range(rows, ends, FINE)
    a, b = float(start.min()), float(stop.max())
    # The steps that the narrower end needs, over the range of both.
    steps = min(MOST_STEPS, math.ceil(steps * (b - a) / float((stop - start).min())))
    return lambda t: float(_integral(rows, np.asarray(t), a, b, steps)[1])


def best_tau2(rows: Rows, *, reml: bool) -> float:
    """Return the tau² >= 0 of highest (restricted) likelihood; infinity when it has no maximum.

    Parameters
    ----------
    rows : Rows
        Effects, at least one of them exact or with two finite limits.
    reml : bool
        Integrate mu out, instead of maximising over it.

    Returns
    -------
    float
        On the squared scale of the effects.

    Examples
    --------
    >>> y, v = np.array([0.0, 2.0]), np.ones(2)
    >>> round(best_tau2(Rows(y, y, v), reml=True), 12)
    1.0
    """
    first, last = rows.ends
    grid = _grid(rows, last - first)
    if reml:
        slopes = _integral(rows, grid, *_range(rows, grid, COARSE))[1]
        peaks = _peaks(slopes, grid, lambda low, high: _restricted_between(rows, low, high))
    else:
        slopes = terms(rows, best_mu(rows, grid), grid).slope_tau2
        peaks = _peaks(slopes, grid, lambda low, high: lambda t: _slope(rows, t))

    def value(t: float) -> float:
        return float(restricted(rows, t)[0] if reml else terms(rows, best_mu(rows, t), t).loglik)

    if len(peaks) == 1 and (rows.sized > 1 or not reml) and peaks[0] < grid[-1]:
        return peaks[0]
    best = max(peaks, key=value)
    # One sized row leaves the restricted likelihood flat far out: its maximum may be there.
    return math.inf if best >= grid[-1] or value(float(grid[-1])) > value(best) else best


def _slope(rows: Rows, t: float) -> float:
    return float(terms(rows, best_mu(rows, t), t).slope_tau2)


def profile(rows: Rows, mu: float) -> tuple[float, float]:
    """Return the highest log likelihood that any tau² >= 0 gives at this `mu`, and its slope in mu.

    Parameters
    ----------
    rows : Rows
        Effects.
    mu : float
        Mean.

    Returns
    -------
    log_l, slope : float
        For rows that are all open on the same side and all miss `mu`, the limit at infinite tau².

    Examples
    --------
    >>> y, v = np.array([0.0, 2.0]), np.ones(2)
    >>> log_l, slope = profile(Rows(y, y, v), 1.0)
    >>> round(log_l, 6), slope
    (-2.837877, 0.0)
    """
    first, last = rows.ends
    grid = _grid(rows, max(last, mu) - min(first, mu))
    slopes = terms(rows, mu, grid).slope_tau2
    # At a maximum the error of the value is the square of that of its place.
    peaks = _peaks(
        slopes, grid, lambda low, high: lambda t: float(terms(rows, mu, t).slope_tau2), 1e-8
    )
    here = terms(rows, mu, np.array(peaks))
    log_l = here.loglik
    best = int(np.argmax(log_l))
    far = -len(rows) * math.log(2)
    if rows.sized == 0 and far > log_l[best]:
        return far, 0.0
    return float(log_l[best]), float(here.slope[best])


def _grid(rows: Rows, distance: float) -> Floats:
    """Return values of tau² from 0 to where spread can no longer explain the distances.

    Rows that miss mu by at most `distance` gain from spread no more than ``k distance / sqrt(s)``
    each in units of 1/s, while an exact row loses 1/2; beyond the last value all slopes are down.
    """
    low = float(rows.v.min()) / 1000
    top = max(4 * (len(rows) * distance) ** 2 + float(rows.v.max()), 4 * low)
    points = max(24, math.ceil(4 * math.log10(top / low)))
    return np.concatenate([[0.0], np.geomspace(low, top, points)])


def _peaks(
    slopes: Floats,
    grid: Floats,
    between: Callable[[float, float], Callable[[float], float]],
    rtol: float = 8.9e-16,
) -> list[float]:
    """Return the local maxima on a grid: 0, what `between` two points refines, or the last."""
    peaks = [0.0] if slopes[0] <= 0 else []
    for i in np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0)):
        low, high = float(grid[i]), float(grid[i + 1])
        peaks.append(root(between(low, high), low, high, rtol))
    return [*peaks, float(grid[-1])] if slopes[-1] > 0 else peaks


def root(
    function: Callable[[float], float], low: float, high: float, rtol: float = 8.9e-16
) -> float:
    """Return where a function changes sign between two points.

    Parameters
    ----------
    function : callable
        Continuous, of opposite signs at `low` and `high`.
    low, high : float
        The bracket.
    rtol : float
        Relative precision; by default that of the machine.

    Returns
    -------
    float
        The root; an end of the bracket, when rounding put it on the wrong side by a hair.

    Examples
    --------
    >>> root(lambda x: x * x - 4, 0.0, 5.0)
    2.0
    """
    from scipy.optimize import brentq

    at_low, at_high = function(low), function(high)
    if at_low == 0 or np.sign(at_low) == np.sign(at_high):
        return low if abs(at_low) <= abs(at_high) else high
    tiny = float(np.finfo(float).tiny)
    # Relative tolerance only: an absolute one would depend on the unit of the outcome.
    found: float = brentq(function, low, high, xtol=tiny, rtol=rtol, maxiter=500)
    return found


def limit(
    log_l: Callable[[float], tuple[float, float]],
    top: float,
    start: float,
    step: float,
    fall: float,
) -> float:
    """Return where a log likelihood has fallen by `fall` on one side of its maximum.

    Parameters
    ----------
    log_l : callable
        Log likelihood and its slope, falling away from `start` in the direction of `step`.
    top : float
        Its maximum, at `start`.
    start, step : float
        Where to begin, and the first step; its sign is the side.
    fall : float
        A positive number.

    Returns
    -------
    float
        Infinity of the side, when the log likelihood never falls as far.

    Examples
    --------
    >>> round(limit(lambda x: (-x * x / 2, -x), 0.0, 0.0, 1.0, 2.0), 12)
    2.0
    """
    # In the root of the fall the function is close to a straight line, so Newton steps need few
    # repetitions; the bracket catches those that leave it.
    aim, inner, outer, x = math.sqrt(fall), start, math.nan, start + step
    rounding = 1e-15 * (abs(top) + fall)
    for _ in range(200):
        value, slope = log_l(x)
        depth = math.sqrt(max(top - value, 0.0))
        if abs(depth**2 - fall) <= rounding:
            return x
        inner, outer = (inner, x) if depth >= aim else (x, outer)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            new = x + float(np.float64(depth - aim) * 2 * depth / slope)
        if math.isnan(outer):
            if abs(x - start) > abs(step) * 2.0**60:
                return math.copysign(math.inf, step)
            # Outward by at least a fifth and at most four times.
            far = (new - start) / (x - start) if math.isfinite(new) else 4.0
            new = start + (x - start) * min(max(far, 1.2), 4.0)
        elif not min(inner, outer) < new < max(inner, outer):
            new = (inner + outer) / 2
        if abs(new - x) <= 1e-15 * abs(x - start):
            return new
        x = new
    return x
