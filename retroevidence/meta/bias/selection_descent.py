"""Descent to a minimum, the crossing of a profile, and points that fill a box evenly."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: A loss with its gradient and Hessian.
Found = tuple[float, Floats, Floats]

#: Turns of the search for a limit.
_TURNS = 120
#: Damped steps, and attempts to damp one until the loss falls.
_STEPS, _TRIES = 300, 40


def evenly(count: int, size: int) -> Floats:
    """Return points that fill the unit cube evenly, always the same ones.

    The additive recurrence whose steps are powers of a generalised golden ratio.

    Parameters
    ----------
    count, size : int
        Points and dimensions.

    Returns
    -------
    numpy.ndarray, shape (count, size)
        The points.

    Examples
    --------
    >>> evenly(3, 1)[:, 0].round(3).tolist()
    [0.118, 0.736, 0.354]
    """
    ratio = 2.0
    for _ in range(60):
        ratio = (1 + ratio) ** (1 / (size + 1))
    steps = ratio ** -np.arange(1.0, size + 1)
    out: Floats = (0.5 + np.arange(1, count + 1)[:, None] * steps) % 1
    return out


def downhill(
    at: Callable[[Floats], Found], start: Floats, ends: Floats, damping: float, goal: float
) -> Floats:
    """Minimise by Newton steps, damped as far as needed for the loss to fall, within `ends`.

    The steps are those of Levenberg and Marquardt in units of each coordinate's own curvature,
    which differ by 10^12 where one study has nearly all the weight; negative curvatures count as
    positive ones.

    Parameters
    ----------
    at : callable
        The loss, its gradient and Hessian at a point.
    start, ends : numpy.ndarray
        Where to begin, and the largest coordinates on either side of 0.
    damping : float
        How carefully the first step is taken.
    goal : float
        A loss to beat, or infinity: a descent that slows down on it, or well above, is broken off.

    Returns
    -------
    numpy.ndarray
        The lowest point.

    Examples
    --------
    >>> bowl = lambda x: (float(x @ x), 2 * x, 2 * np.eye(2))
    >>> downhill(bowl, np.array([1.0, 2.0]), np.full(2, np.inf), 0.0, np.inf).tolist()
    [0.0, 0.0]
    """
    here = start
    value, gradient, hessian = at(here)
    for _ in range(_STEPS):
        if not np.isfinite(hessian).all():
            break
        # What presses against an end stays there, and the others step without it.
        pressed = (np.abs(here) >= ends) & (gradient * here < 0)
        gradient = np.where(pressed, 0.0, gradient)
        hessian = np.where(pressed[:, None] | pressed, np.diag(np.diag(np.abs(hessian))), hessian)
        unit = np.sqrt(np.fmax(np.abs(np.diag(hessian)), 1e-12))
        bends, axes = np.linalg.eigh(hessian / unit[:, None] / unit)
        slopes = axes.T @ (gradient / unit)
        # On the ridge of a saddle, such as tau = 0, the slope is 0 and only the bend leads down.
        nudged = np.copysign(np.fmax(np.abs(slopes), 0.3 * np.abs(bends)), slopes)
        slopes = np.where(bends < -1e-8, nudged, slopes)
        if slopes @ (slopes / np.fmax(np.abs(bends), 1e-12)) <= 1e-14 * (1 + abs(value)):
            return here
        for _ in range(_TRIES):
            step = -(axes @ (slopes / np.fmax(np.abs(bends) + damping, 1e-12))) / unit
            # A flat direction must not carry the search out of sight at once.
            step *= min(1.0, float(np.min((3 + np.abs(here)) / np.fmax(np.abs(step), 1e-300))))
            new: Floats = np.clip(here + step, -ends, ends)
            if (np.abs(new - here) <= 1e-14 * (1 + np.abs(here))).all():
                return here
            found = at(new)
            if found[0] < value:
                break
            damping = max(4 * damping, 1e-3)
        else:
            return here
        gain = value - found[0]
        here, (value, gradient, hessian) = new, found
        damping = 0.0 if damping < 1e-8 else 0.1 * damping
        if gain <= 1e-13 * (1 + abs(value)):
            return here
        if (gain < 1e-2 and value > goal + 100 * gain) or (gain < 1e-6 and value > goal - 1e-7):
            return here
    return here


def settled(value: float, gradient: Floats, hessian: Floats) -> bool:
    """Tell whether the gradient is 0, or a Newton step would gain nothing that can be seen.

    Parameters
    ----------
    value, gradient, hessian : float and numpy.ndarray
        The loss and its derivatives.

    Returns
    -------
    bool
        Whether the search has settled.

    Examples
    --------
    >>> settled(1.0, np.array([1e-7]), np.eye(1))
    True
    """
    if np.abs(gradient).max() <= 1e-5 * max(1.0, abs(value)):
        return True
    try:
        np.linalg.cholesky(hessian)
    except np.linalg.LinAlgError:
        return False
    return float(gradient @ np.linalg.solve(hessian, gradient)) <= 1e-9 * max(1.0, abs(value))


def crossing(
    fallen: Callable[[float], tuple[float, float]],
    start: float,
    limit: float,
    step: float,
    drop: float,
    middle: float | None = None,
) -> float:
    """Return where `fallen` turns positive on the way to `limit`; an infinity if it never does.

    The square root of what a profile has lost is nearly a line: Newton steps on it, within what is
    known to hold the crossing.

    Parameters
    ----------
    fallen : callable
        What the profile has lost beyond `drop` (negative before the crossing), and the slope.
    start, limit, step : float
        A point before the crossing, the last point that is looked at, and a first step with sign.
    drop : float
        Where the crossing lies, below the maximum.
    middle : float, optional
        The maximum, if it is not at `start`.

    Returns
    -------
    float
        The crossing.

    Examples
    --------
    >>> crossing(lambda x: (x * x - 4.0, 2 * x), 0.0, 100.0, 1.0, 4.0)
    2.0
    """
    side = math.copysign(1.0, step)
    middle = start if middle is None else middle
    near, far, here = start, math.inf, start + step
    width = math.inf
    for turn in range(_TURNS):
        here = side * min(side * here, side * limit)
        value, slope = fallen(here)
        if value <= 0 and here == limit:
            return side * math.inf
        if value > 0:
            far = here
        else:
            near = here
        # Far below the digits a user can read, and above the noise of the inner search.
        if abs(far - near) <= 1e-11 * abs(step):
            break
        depth = math.sqrt(max(value + drop, 0.0))
        rate = side * slope / (2 * depth) if depth else 0.0
        move = (math.sqrt(drop) - depth) / rate if rate > 0 else math.inf
        new = here + side * move
        if math.isinf(far):
            # Outwards, but neither a crawl nor out of sight at once.
            least, most = 0.02 * abs(step), max(1.6 * abs(here - middle), abs(step))
            here += side * (min(max(1.01 * move, least), most) if move > 0 else most)
            continue
        if abs(move) <= 1e-10 * abs(step):
            return float(min(max(new, min(near, far)), max(near, far)))
        slow = turn % 4 == 3 and abs(far - near) > 0.5 * width
        if turn % 4 == 3:
            width = abs(far - near)
        inside = min(near, far) < new < max(near, far)
        here = new if inside and not slow else (near + far) / 2
    return (near + far) / 2
