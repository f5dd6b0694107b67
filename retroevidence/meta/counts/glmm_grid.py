"""Where to evaluate the integrals of a model on counts: equally spaced points around each peak.

On such points the trapezoidal rule converges exponentially for smooth functions that vanish at
both ends (Trefethen & Weideman 2014, doi 10.1137/130932132).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: The log of an integrand, with its slope and bend.
Curve = Callable[[Floats], tuple[Floats, Floats, Floats]]

#: An integrand is followed until it has fallen to e^-38 of its peak.
DROP = 38.0
#: Its logarithm bends at least as much as -z²/2, so beyond this distance it has fallen that far.
REACH = math.sqrt(2 * DROP)
#: Widest step in standard deviations of the integrand at its peak: for a normal one the error is
#: 2 e^(-2π²/0.6²) = 1e-23. And on the scale of a logit or log rate: for functions without
#: singularities nearer than π/2 it is about e^(-π²/0.3) = 5e-15.
STEP_SD, STEP = 0.6, 0.3
#: Most steps. Logits that differ by a factor e^10 between studies need a thousand; only a climb's
#: step too far, on an integrand narrower than the rounding of its place, would ask for more.
MOST = 2000.0


def peak_of(curve: Curve, at: Floats) -> tuple[Floats, Floats, Floats]:
    """Find where curves that bend by at least 1 are highest, to a few thousandths of their width.

    Parameters
    ----------
    curve : callable
        Log, slope and bend of each integrand.
    at : numpy.ndarray
        Where to start.

    Returns
    -------
    tuple of numpy.ndarray
        Place, height and standard deviation (1 over the root of the bend) of each peak.

    Examples
    --------
    >>> place, _, spread = peak_of(lambda z: (-2 * z**2 + z, 1 - 4 * z, 0 * z - 4), np.zeros(1))
    >>> place.item(), spread.item()
    (0.25, 0.5)
    """
    height, slope, bend = curve(at)
    # The slope falls by at least 1 per unit, so the peak is not farther than this.
    left, right = at - np.abs(slope), at + np.abs(slope)
    moved = np.full_like(at, np.inf)
    for _ in range(200):
        left, right = np.where(slope >= 0, at, left), np.where(slope <= 0, at, right)
        # Far out a log-likelihood overflows; there, and where Newton's steps do not shrink, the
        # bracket is halved.
        with np.errstate(invalid="ignore"):
            newton = at - slope / bend
            small = np.abs(newton - at) * np.sqrt(-bend) < 0.01
        good = (newton > left) & (newton < right) & (np.abs(newton - at) <= moved / 2)
        step = np.where(good | small, newton, (left + right) / 2)
        moved, at = np.abs(step - at), step
        height, slope, bend = curve(at)
        if small.all():
            break
    return at, height, 1 / np.sqrt(-bend)


def nodes_of(curve: Curve, at: Floats, scale: float) -> Floats:
    """Return equally spaced points from where each integrand rises to where it has fallen.

    Parameters
    ----------
    curve : callable
        Log, slope and bend of each integrand.
    at : numpy.ndarray, shape (...)
        Where to start looking for the peaks.
    scale : float
        How far a unit moves a logit or log rate.

    Returns
    -------
    numpy.ndarray, shape (..., points)
        The points, as many for each as the widest one needs.

    Examples
    --------
    >>> z = nodes_of(lambda z: (-(z**2) / 2, -z, 0 * z - 1), np.zeros(1), 0.0)
    >>> z.shape, round(float(np.exp(-(z**2) / 2).sum() * (z[0, 1] - z[0, 0])) ** 2 / 2, 12)
    ((1, 31), 3.14159265359)
    """
    peak, height, spread = peak_of(curve, at)
    ends = []
    for side in (-1.0, 1.0):
        reach = np.fmin(REACH, REACH * spread)
        grown = np.zeros(reach.shape, dtype=bool)
        for _ in range(80):
            fallen = height - curve(peak + side * reach)[0]
            short = (fallen < DROP) & (reach < REACH)
            # One side may fall far faster than the bend at the peak says.
            long = (fallen > 3 * DROP) & ~grown
            if not (short | long).any():
                break
            grown |= short
            reach = reach * np.where(short, 1.2, np.where(long, 0.7, 1.0))
        ends.append(peak + side * reach)
    low, high = ends
    steps = np.fmax((high - low) / spread / STEP_SD, scale * (high - low) / STEP)
    points = math.ceil(min(MOST, max(1.0, float(steps.max())))) + 1
    return np.asarray(low[..., None] + (high - low)[..., None] * np.linspace(0.0, 1.0, points))
