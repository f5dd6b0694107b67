"""The highest point of the likelihood of tau² for one group, compiled.

All functions take effects and variances in the form of :mod:`retroevidence.meta.kernel_sums`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from retroevidence.meta.kernel_compile import compiled, summing
from retroevidence.meta.kernel_sums import Sums, mean_and_q, sums

Floats = NDArray[np.float64]

#: Points between which the likelihood is searched where one peak cannot be proved.
GRID = 48
#: How often an interval may be halved in the search for that proof.
HALVINGS = 24


@compiled
def peak(y: Floats, v: Floats, restricted: bool, zero: Sums) -> tuple[float, bool]:
    """Return the tau² >= 0 of highest (restricted) likelihood.

    Parameters
    ----------
    y, v : numpy.ndarray, shape (k,)
        Effects and variances, as the module wants them.
    restricted : bool
        True for REML, False for ML.
    zero : tuple of float
        The `sums` at 0.

    Returns
    -------
    tau2 : float
        The global maximum.
    proved : bool
        Whether one peak was proved, or a grid searched.

    Notes
    -----
    Twice the score is A - B with ``A = sum a_i²/(l_i + t)²`` and ``B = sum 1/(l_i + t)``, where l
    are the eigenvalues of the variances seen by the residuals. ``alpha = A^(-1/2)`` and
    ``beta = 1/B`` are means of powers of straight lines, so both are concave and rise with t. The
    score falls through 0 wherever it is 0 if there ``beta' < 2 alpha alpha'``; concavity bounds
    both sides over whole intervals from their ends. Intervals without that bound, and without
    proof that the score keeps its sign, are halved. Where all zeros are falls there is one.

    Examples
    --------
    >>> y, v = np.array([0.0, 2.0]), np.ones(2)
    >>> peak(y, v, True, sums(y, v, 0.0, True))
    (1.0, True)
    """
    _, _, _, a, b, c, d = zero
    flat = _flat_slope(y)
    if flat == 0:
        return 0.0, True
    knot, best = 0.0, 0.0
    if a > b:
        best, knot, a, b, c, d = _zero(y, v, 0.0, math.inf, 0.0, restricted, zero)
    if _one_peak(y, v, restricted, zero, knot, a, b, c, d, flat):
        return best, True
    return _searched(y, v, restricted), False


@summing
def _sum_of_squares(y: Floats) -> float:
    """Return the plain sum of squares about the mean."""
    mean = 0.0
    for j in range(y.size):
        mean += y[j]
    mean /= y.size
    square = 0.0
    for j in range(y.size):
        square += (y[j] - mean) ** 2
    return square


@compiled
def _flat_slope(y: Floats) -> float:
    """Return the slope of alpha at infinity, its least one; 0 for results that agree exactly."""
    square = _sum_of_squares(y)
    return 1 / math.sqrt(square) if square > 0 else 0.0


@compiled
def _zero(
    y: Floats, v: Floats, low: float, high: float, start: float, restricted: bool, known: Sums
) -> tuple[float, float, float, float, float, float]:
    """Return a zero of the score between a point above 0 and one below, or infinity.

    B/A is nearly a straight line, so tau² is taken as a cubic of it that has the values and slopes
    of the last two points; as a line, Newton's step, where there is one point or the cubic leaves
    the bracket. `known` are the sums at `start`. The other numbers are the last point looked at,
    next to the zero, and A, B, C, D there.
    """
    t = start
    _, _, _, a, b, c, d = known
    before = ratio_before = slope_before = math.nan
    for _ in range(300):
        if a > b:
            low = t
        else:
            high = t
        # Ratios: products of these sums beside a large tau² would leave the range of a double.
        ratio = b / a
        slope = 2 * ratio * (c / a) - d / a
        step = (1 - ratio) / slope if slope > 0 else math.nan
        new = t + step
        reach = abs(step)
        gap = ratio - ratio_before
        if abs(gap) > 1e-7 * ratio and slope > 0 and slope_before > 0:
            x = (1 - ratio_before) / gap
            rest = 1 - x
            cubic = rest * rest * (1 + 2 * x) * before + x * x * (3 - 2 * x) * t
            cubic += x * rest * gap * (rest / slope_before - x / slope)
            if low < cubic < high:
                # The error is the square of this step times the square of the one before.
                new = cubic
                reach = abs(new - t) * min(1.0, abs(t - before) / t)
        if reach <= 1e-8 * t and low <= new <= high:
            # What is left is of the order of the square of this.
            return new, t, a, b, c, d
        if not low < new < high:
            if math.isinf(high):
                new = 4 * t + v[0]
            elif high - low <= 4e-16 * high:
                break
            else:
                new = math.sqrt(low * high) if low > 1e-9 * high else high / 8
        before, ratio_before, slope_before = t, ratio, slope
        t = new
        _, _, _, a, b, c, d = sums(y, v, t, restricted)
    return t, t, a, b, c, d


# The proof --------------------------------------------------------------------------------------


@compiled
def _falls_beyond(a: float, b: float, d: float, flat: float) -> bool:
    """Whether the score has no rise through 0 from here to infinity."""
    alpha, beta = 1 / math.sqrt(a), 1 / b
    slope = d * beta * beta
    if a >= b:
        return slope < 2 * math.sqrt(beta) * flat
    # Below 0 already: beta under its tangent, alpha over its least slope.
    bend = 2 * alpha * flat - slope
    return bend >= 0 or bend * bend < 4 * flat * flat * (alpha * alpha - beta)


@compiled
def _falls_between(
    low: float,
    high: float,
    a0: float,
    b0: float,
    d0: float,
    c0: float,
    a1: float,
    b1: float,
    d1: float,
    c1: float,
) -> bool:
    """Whether the score has no rise through 0 between two points, from the sums at both."""
    alpha0, beta0, alpha1, beta1 = 1 / math.sqrt(a0), 1 / b0, 1 / math.sqrt(a1), 1 / b1
    tilt0, tilt1 = c0 / a0 * alpha0, c1 / a1 * alpha1
    slope0, slope1 = d0 * beta0 * beta0, d1 * beta1 * beta1
    if slope0 < 2 * max(alpha0, math.sqrt(beta0)) * tilt1:
        return True
    width = high - low
    if a0 > b0 and a1 > b1:
        # Above 0 throughout? beta over its chord, alpha under both tangents.
        x = width
        if tilt0 > tilt1:
            x = (alpha1 - tilt1 * width - alpha0) / (tilt0 - tilt1)
        x = min(max(x, 0.0), width)
        upper = min(alpha0 + tilt0 * x, alpha1 - tilt1 * (width - x))
        return beta0 + (beta1 - beta0) * x / width > upper * upper
    if a0 < b0 and a1 < b1:
        # Below 0 throughout? beta under both tangents, alpha over its chord.
        chord = (alpha1 - alpha0) / width
        x = width
        if slope0 > slope1:
            x = (beta1 - slope1 * width - beta0) / (slope0 - slope1)
        x = min(max(x, 0.0), width)
        # On each side of x a concave quadratic, whose top is looked at.
        top0 = (slope0 / (2 * chord) - alpha0) / chord if chord > 0 else x
        top1 = (slope1 / (2 * chord) - alpha0) / chord if chord > 0 else width
        for at in (min(max(top0, 0.0), x), x, min(max(top1, x), width)):
            upper = min(beta0 + slope0 * at, beta1 - slope1 * (width - at))
            if upper >= (alpha0 + chord * at) ** 2:
                return False
        return True
    return False


@compiled
def _one_peak(
    y: Floats,
    v: Floats,
    restricted: bool,
    zero: Sums,
    t: float,
    a: float,
    b: float,
    c: float,
    d: float,
    flat: float,
) -> bool:
    """Whether every zero of the score is a fall: there is then one peak, that at `t`."""
    # First from t to infinity, by ever longer steps; then from 0 to t.
    low, a0, b0, c0, d0 = t, a, b, c, d
    halvings = 0
    reach = max(v[0], t)
    while not _falls_beyond(a0, b0, d0, flat):
        halvings += 1
        if halvings > HALVINGS:
            return False
        high = low + reach
        _, _, _, a1, b1, c1, d1 = sums(y, v, high, restricted)
        if _falls_between(low, high, a0, b0, d0, c0, a1, b1, d1, c1):
            low, a0, b0, c0, d0 = high, a1, b1, c1, d1
            reach *= 2
        else:
            reach /= 3
    if t == 0:
        return True
    _, _, _, a0, b0, c0, d0 = zero
    low, high, a1, b1, c1, d1 = 0.0, t, a, b, c, d
    # The right end moves towards the left one until the part between is proved.
    while True:
        if _falls_between(low, high, a0, b0, d0, c0, a1, b1, d1, c1):
            if high == t:
                return True
            low, a0, b0, c0, d0 = high, a1, b1, c1, d1
            high, a1, b1, c1, d1 = t, a, b, c, d
            continue
        halvings += 1
        if halvings > HALVINGS:
            return False
        high = math.sqrt((low + v[0]) * (high + v[0])) - v[0]
        if not low < high:
            return False
        _, _, _, a1, b1, c1, d1 = sums(y, v, high, restricted)


# The search -------------------------------------------------------------------------------------


@compiled
def _searched(y: Floats, v: Floats, restricted: bool) -> float:
    """Look for peaks between the points of a grid over every scale, and return the highest."""
    k = y.size
    square, widest = _sum_of_squares(y), 0.0
    for j in range(k):
        widest = max(widest, v[j])
    mean_square = square / (k - 1 if restricted else k)
    # Beyond this value the score is negative.
    high = (mean_square + math.sqrt(mean_square**2 + 4 * mean_square * widest)) / 2
    low = v[0] / 1000
    high = 2 * low if high <= low else 1.001 * high
    best, best_value = high, -math.inf
    left, left_positive = 0.0, False
    for i in range(GRID + 1):
        t = 0.0 if i == 0 else low * (high / low) ** ((i - 1) / (GRID - 1))
        _, _, _, a, b, _, _ = sums(y, v, t, restricted)
        positive = a > b
        if (i == 0 and not positive) or (left_positive and not positive):
            at = 0.0
            if i > 0:
                start = (left + t) / 2
                known = sums(y, v, start, restricted)
                at = _zero(y, v, left, t, start, restricted, known)[0]
            value = _log_likelihood(y, v, at, restricted)
            if value > best_value:
                best, best_value = at, value
        left, left_positive = t, positive
    return best


@compiled
def _log_likelihood(y: Floats, v: Floats, t: float, restricted: bool) -> float:
    """Return twice the (restricted) log likelihood, without its constant."""
    _, total, q = mean_and_q(y, v, t)
    value = -q
    for j in range(y.size):
        value -= math.log(v[j] + t)
    return value - math.log(total) if restricted else value
