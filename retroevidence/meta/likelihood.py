"""The highest point of the likelihood of tau², for ML and REML."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from retroevidence.meta.projection import residuals, slack
from retroevidence.meta.roots import find_root

Floats = NDArray[np.float64]

#: Points between which the likelihood is searched for maxima.
GRID = 48
_STEPS = np.linspace(0.0, 1.0, GRID)


def log_likelihood(yi: Floats, vi: Floats, x: Floats, tau2: float, restricted: bool) -> float:
    """Return twice the (restricted) log likelihood, without its constant.

    Parameters
    ----------
    yi, vi, x : numpy.ndarray
        Effects (k,), variances (k,), design (k, p).
    tau2 : float
        Variance between studies, from 0.
    restricted : bool
        True for REML, False for ML.

    Returns
    -------
    float
        Twice the log likelihood at the best coefficients for this tau².

    Examples
    --------
    >>> y, v, x = np.array([0.0, 2.0]), np.ones(2), np.ones((2, 1))
    >>> log_likelihood(y, v, x, 1.0, True) > log_likelihood(y, v, x, 3.0, True)
    True
    """
    weights = 1 / (vi + tau2)
    value = float(np.sum(np.log(weights)) - np.sum(weights * residuals(yi, weights, x) ** 2))
    if not restricted:
        return value
    if x.shape[1] == 1:
        return value - math.log(float(weights @ x[:, 0] ** 2))
    upper = np.linalg.qr(np.sqrt(weights)[:, None] * x)[1]
    return value - 2 * float(np.sum(np.log(np.abs(np.diag(upper)))))


def maximum_likelihood(yi: Floats, vi: Floats, x: Floats, *, restricted: bool) -> float:
    """Return the tau² >= 0 of highest (restricted) likelihood.

    Parameters
    ----------
    yi, vi, x : numpy.ndarray
        Effects (k,), variances (k,), design (k, p).
    restricted : bool
        True for REML, False for ML.

    Returns
    -------
    float
        The global maximum.

    Notes
    -----
    The score is evaluated on a grid that spans every scale on which it can change; each change of
    sign from plus to minus brackets a local maximum, which is refined; the best of them wins.

    Examples
    --------
    >>> y, v, x = np.array([0.0, 2.0]), np.ones(2), np.ones((2, 1))
    >>> round(maximum_likelihood(y, v, x, restricted=True), 12)
    1.0
    """
    plain = x.shape[1] == 1 and bool((x == x[0]).all())
    heaviest = int(vi.argmin())
    least, most = float(vi[heaviest]), float(vi.max())
    if plain and heaviest:
        # The score of a plain mean wants the study of the largest weight first, at every tau².
        yi, vi = yi.copy(), vi.copy()
        yi[0], yi[heaviest] = yi[heaviest], yi[0]
        vi[0], vi[heaviest] = least, vi[0]
    k = len(yi)
    deviation = yi - np.add.reduce(yi) / k if plain else residuals(yi, np.ones(k), x)
    df = k - x.shape[1] if restricted else k
    mean_square = float(deviation @ deviation) / df
    # Beyond this value the score is negative: y'PPy <= RSS/t² and tr P >= df/(t + max v).
    high = (mean_square + math.sqrt(mean_square**2 + 4 * mean_square * most)) / 2
    low = least / 1000
    if high <= low:
        high = 2 * low
    grid = np.empty(GRID + 1)
    grid[0] = 0.0
    grid[1:] = low * (1.001 * high / low) ** _STEPS
    parts = _plain_parts if plain else _parts
    gained, lost = parts(yi, vi, x, grid, restricted)
    positive = gained > lost
    peaks = [] if positive[0] else [0.0]
    for i in np.flatnonzero(positive[:-1] & ~positive[1:]).tolist():
        ends = float(grid[i]), float(grid[i + 1])
        if plain:
            start = _between(grid, gained, lost, i)
            peaks.append(_newton(yi, vi, *ends, start, restricted))
        else:
            peaks.append(find_root(lambda t: _score(yi, vi, x, t, restricted), *ends))
    if len(peaks) == 1:
        return peaks[0]
    return max(peaks, key=lambda t: log_likelihood(yi, vi, x, t, restricted), default=high)


def _score(yi: Floats, vi: Floats, x: Floats, tau2: float, restricted: bool) -> float:
    """Return the derivative of twice the (restricted) log likelihood."""
    gained, lost = _parts(yi, vi, x, np.array([tau2]), restricted)
    return float(gained[0] - lost[0])


def _parts(
    yi: Floats, vi: Floats, x: Floats, tau2: Floats, restricted: bool
) -> tuple[Floats, Floats]:
    """Return what the score gains, y'PPy, and loses, tr P (tr W), at each value of `tau2`."""
    weights = 1 / (vi + tau2[:, None])
    share = slack(weights, x) if restricted else 1.0
    gained = np.sum((weights * residuals(yi, weights, x)) ** 2, axis=-1)
    return np.asarray(gained), np.asarray(np.sum(weights * share, axis=-1))


def _plain_parts(
    y: Floats, v: Floats, x: Floats, tau2: Floats, restricted: bool
) -> tuple[Floats, Floats]:
    """Return the same for a plain mean, with the study of smallest variance first."""
    weights = 1 / (v + tau2[:, None])
    first, rest = weights[:, 0], weights[:, 1:]
    others = rest @ np.ones(len(y) - 1)
    total = first + others
    loaded = weights * (y - ((weights @ y) / total)[:, None])
    gained = np.einsum("ij,ij->i", loaded, loaded)
    if not restricted:
        return gained, total
    # tr P, without taking the first weight's square off the square of the total.
    squares = np.einsum("ij,ij->i", rest, rest)
    return gained, (others * (first + total) - squares) / total


def _between(grid: Floats, gained: Floats, lost: Floats, i: int) -> float:
    """Return where both parts are about equal between two points of the grid, by the four nearest.

    The logarithm of their ratio is nearly straight in that of tau².
    """
    low, high = float(grid[i]), float(grid[i + 1])
    near = slice(i - 1, i + 3)
    above, below = gained[near].tolist(), lost[near].tolist()
    if 2 <= i < GRID - 1 and min(above) > 0:
        s = [math.log(a / b) for a, b in zip(above, below, strict=True)]
        if s[0] > s[1] > s[2] > s[3]:
            # Inverse interpolation: the position, in steps of the logarithm, as a cubic of s.
            position = 0.0
            for j in range(4):
                part = j - 1.0
                for m in range(4):
                    if m != j:
                        part *= s[m] / (s[m] - s[j])
                position += part
            if 0 < position < 1:
                return low * math.exp(position * math.log(high / low))
    return math.sqrt(low * high) if low > 0 else high / 2


def _newton(y: Floats, v: Floats, low: float, high: float, start: float, restricted: bool) -> float:
    """Solve the score equation of a plain mean between a positive and a negative end.

    Newton's steps on log tau², kept inside the bracket by halving it, to the last digits.
    """
    t, ones = start, np.ones(len(y))
    for _ in range(200):
        w = 1 / (v + t)
        total = float(w @ ones)
        loaded = w * (y - float(w @ y) / total)
        squares = w * w
        s2 = float(w @ w)
        gained = float(loaded @ loaded)
        # With z = Py: the slope of y'PPy is -2 z'Pz, that of tr P is -tr(PP).
        bent = float(w @ (loaded * loaded)) - float(w @ loaded) ** 2 / total
        if restricted:
            first = float(w[0])
            if first <= total / 2:
                # Nothing cancels where no study has more than half of the weight.
                lost = total - s2 / total
            else:
                rest = w[1:]
                lost = (float(rest @ ones[1:]) * (first + total) - float(rest @ rest)) / total
            slope = s2 - 2 * float(squares @ w) / total + (s2 / total) ** 2 - 2 * bent
        else:
            lost = total
            slope = s2 - 2 * bent
        score = gained - lost
        if score > 0:
            low = t
        else:
            high = t
        # On the logarithm: the score divided by t times its slope.
        step = score / (t * slope) if slope < 0 else math.inf
        new = t * math.exp(-step) if abs(step) < 1 else -1.0
        if not low < new < high:
            if abs(step) < 1e-14 or high - low <= 4e-16 * high:
                return t
            new = math.sqrt(low * high) if low > 0 else high / 2
        elif abs(step) < 1e-8:
            # The error that is left is of the order of the square of this step.
            return new
        t = new
    return t
