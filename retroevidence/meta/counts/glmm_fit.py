"""Maximum likelihood for counts with a normally distributed effect: integrate, then climb.

The marginal likelihood of study i is the integral over z of ``L_i(θ + τ z, α_i) φ(z)``. For every
fixed τ its logarithm is concave in θ and all α together, so Newton steps with a
line search find the one maximum; what is left is a search over τ alone, between brackets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtri

from retroevidence.errors import PoolError
from retroevidence.meta.counts.glmm_grid import nodes_of
from retroevidence.meta.counts.glmm_kernels import Kernel
from retroevidence.meta.interval import NAN, Interval

Floats = NDArray[np.float64]

#: Where τ is searched; odds that differ by a factor e^10 between studies are no population.
MOST = 10.0


class Moments(NamedTuple):
    """Log-likelihood of every study with its gradient and curvature; posterior mean and SD of z.

    Orders of the parameters: effect, tau, base.

    Examples
    --------
    >>> Moments(*[np.zeros(1)] * 4).value
    array([0.])
    """

    value: Floats
    gradient: Floats
    hessian: Floats
    posterior: Floats


def integrate(kernel: Kernel, effect: float, tau: float, base: Floats) -> Moments:
    """Integrate each study's likelihood over its own effect, normal around `effect`.

    Parameters
    ----------
    kernel : Kernel
        The likelihood of k studies.
    effect, tau : float
        Mean and standard deviation of the effects.
    base : numpy.ndarray, shape (k,)
        Base levels; ignored where the kernel has none.

    Returns
    -------
    Moments
        value, shape (k,); gradient, shape (3, k); hessian, shape (3, 3, k); posterior, (2, k).

    Notes
    -----
    Trapezoidal rule on points that move with each study's own peak (see `glmm_grid`); the error is
    that of rounding.

    Examples
    --------
    >>> from retroevidence.meta.counts.glmm_kernels import Binomial
    >>> one = Binomial(np.array([1.0]), np.array([2.0]), np.zeros(1))
    >>> round(float(integrate(one, 0.0, 1.0, np.zeros(1)).value[0]), 6)
    -0.883722
    """
    column = base[:, None]

    def curve(z: Floats) -> tuple[Floats, Floats, Floats]:
        found = kernel.terms(effect + tau * z, column)
        return found.value - z**2 / 2, tau * found.effect - z, tau**2 * found.effect2 - 1

    z = nodes_of(curve, np.zeros_like(column), tau)[:, 0]
    found = kernel.terms(effect + tau * z, column)
    exponent = found.value - z**2 / 2
    height = exponent.max(axis=1, keepdims=True)
    mass = np.exp(exponent - height)
    total = mass.sum(axis=1, keepdims=True)
    width = z[:, 1] - z[:, 0]
    value = height[:, 0] + np.log(total[:, 0] * width / math.sqrt(2 * math.pi))
    mass /= total

    slopes = np.stack([found.effect, z * found.effect, found.base])
    gradient = (mass * slopes).sum(axis=2)
    centred = slopes - gradient[:, :, None]
    bends = np.array(
        [
            [found.effect2, z * found.effect2, found.mixed],
            [z * found.effect2, z**2 * found.effect2, z * found.mixed],
            [found.mixed, z * found.mixed, found.base2],
        ]
    )
    hessian = (mass * (bends + centred[:, None] * centred[None, :])).sum(axis=3)
    mean = (mass * z).sum(axis=1)
    deviation = np.sqrt((mass * (z - mean[:, None]) ** 2).sum(axis=1))
    return Moments(value, gradient, hessian, np.stack([mean, deviation]))


@dataclass(frozen=True)
class Profile:
    """The highest log-likelihood at one τ, and where it is.

    `slope` is the derivative of the profile by τ, over τ (its limit where τ is 0); `information`
    minus the curvature in effect and τ, shape (2, 2), with the base levels taken out; `posterior`
    mean and SD of each study's z.

    Examples
    --------
    >>> Profile(0.5, -1.0, 0.0, np.zeros(1), 0.0, np.eye(2), np.zeros((2, 1))).tau
    0.5
    """

    tau: float
    value: float
    effect: float
    base: Floats
    slope: float
    information: Floats
    posterior: Floats


#: Maximises a likelihood at one τ, from an effect and base levels to start at.
Climb = Callable[[float, float, Floats], Profile]


def climb(kernel: Kernel, tau: float, effect: float, base: Floats) -> Profile:
    """Maximise the log-likelihood over the effect and all base levels at one τ.

    Parameters
    ----------
    kernel : Kernel
        The likelihood of k studies.
    tau : float
        Standard deviation of the effects.
    effect, base : float and numpy.ndarray
        Where to start.

    Returns
    -------
    Profile
        The maximum.

    Raises
    ------
    PoolError
        If 200 steps do not reach it.

    Examples
    --------
    >>> from retroevidence.meta.counts.glmm_kernels import Binomial
    >>> one = Binomial(np.array([1.0, 3]), np.array([4.0, 4]), np.zeros(2))
    >>> abs(climb(one, 0.5, 1.0, np.zeros(2)).effect) < 1e-9
    True
    """
    now = integrate(kernel, effect, tau, base)
    # Twice what a quadratic would still gain; a log-likelihood has no unit, so no scale, but
    # differences below its rounding cannot be seen.
    enough = max(1e-10, kernel.rounding)
    for _ in range(200):
        g, h = now.gradient, now.hessian
        if kernel.has_base:
            ratio = h[0, 2] / h[2, 2]
            curve = float((h[0, 0] - ratio * h[0, 2]).sum())
            along = -float((g[0] - ratio * g[2]).sum()) / curve
            aside = -(g[2] + h[0, 2] * along) / h[2, 2]
        else:
            along = -float(g[0].sum()) / float(h[0, 0].sum())
            aside = np.zeros_like(base)
        gain = float(g[0].sum()) * along + float((g[2] * aside).sum())
        total, share = float(now.value.sum()), 1.0
        last = gain < enough
        for _ in range(60):
            try_effect, try_base = effect + share * along, base + share * aside
            then = integrate(kernel, try_effect, tau, try_base)
            risen = float(then.value.sum()) - total
            if last or risen >= 1e-4 * share * gain - enough / 2:
                break
            share /= 2
        effect, base, now = try_effect, try_base, then
        if last:
            return _profile(tau, effect, base, now)
    raise PoolError(
        "the likelihood of these counts was not climbed in 200 steps; "
        "check the counts, or use pool_counts."
    )


def _profile(tau: float, effect: float, base: Floats, now: Moments) -> Profile:
    h = now.hessian
    information = -h[:2, :2].sum(axis=2)
    if np.any(h[2, 2] != 0):
        cross = h[:2, 2]
        information = information + (cross / h[2, 2]) @ cross.T
    # At 0 the second derivative by τ is what the first one over τ tends to.
    slope = h[1, 1].sum() if tau == 0 else now.gradient[1].sum() / tau
    value = float(now.value.sum())
    return Profile(tau, value, effect, base, float(slope), information, now.posterior)


@dataclass(frozen=True)
class Search:
    """The maximum over τ, the one at τ = 0, limits for τ, and whether τ ran into its bound.

    `second` is the next highest peak over τ, where there is one within the limits.

    Examples
    --------
    >>> Search(None, None, None, Interval(0.0, 1.0), False).rising
    False
    """

    best: Profile
    common: Profile
    second: Profile | None
    tau_ci: Interval
    rising: bool


def search(climber: Climb, start: Floats, level: float) -> Search:
    """Maximise the likelihood over τ as well, and find its profile limits.

    Parameters
    ----------
    climber : callable
        From τ, an effect and base levels to start from to the `Profile`, for at least two studies.
    start : numpy.ndarray
        Base levels to start from.
    level : float
        Confidence of the limits.

    Returns
    -------
    Search
        Maximum, common-effect maximum, limits of τ.

    Examples
    --------
    >>> from functools import partial
    >>> from retroevidence.meta.counts.glmm_kernels import Binomial
    >>> two = Binomial(np.array([1.0, 19]), np.array([20.0, 20]), np.zeros(2))
    >>> round(search(partial(climb, two), two.start(), 0.95).best.tau, 3)
    3.186
    """
    common = climber(0.0, 0.0, start)
    grid = [common]
    for tau in MOST * 2.0 ** np.arange(-10, 1):
        grid.append(climber(float(tau), grid[-1].effect, grid[-1].base))
    peaks = [common] if common.slope <= 0 else []
    for left, right in pairwise(grid):
        if left.slope > 0 >= right.slope:
            peaks.append(_between(climber, lambda point: point.slope, left, right))
    rising = grid[-1].slope > 0
    if rising:
        peaks.append(grid[-1])
    best, *others = sorted(peaks, key=lambda point: -point.value)
    limits = _limits(climber, grid, best, level)
    # A likelihood that is flat to rounding has no two peaks worth a word.
    near = best.value - float(chdtri(1, 1 - level)) / 2
    second = next((one for one in others if one.value > near and one.tau != best.tau), None)
    return Search(best, common, second, limits, rising and best is grid[-1])


def _between(
    climber: Climb, height: Callable[[Profile], float], left: Profile, right: Profile
) -> Profile:
    """Return the profile whose `height` is 0 between two of opposite signs."""
    known = {left.tau: left, right.tau: right}

    def at(tau: float) -> float:
        if tau not in known:
            near = min(known.values(), key=lambda point: abs(point.tau - tau))
            known[tau] = climber(tau, near.effect, near.base)
        return height(known[tau])

    tau = float(brentq(at, left.tau, right.tau, xtol=1e-14 * right.tau, rtol=1e-13))
    at(tau)
    return known[tau]


def _limits(climber: Climb, grid: list[Profile], best: Profile, level: float) -> Interval:
    """Return where the profile of τ has fallen by half a quantile of chi-squared (1 df)."""
    floor = best.value - float(chdtri(1, 1 - level)) / 2

    def above(point: Profile) -> float:
        return point.value - floor

    points = sorted([*grid, best], key=lambda point: point.tau)
    here = points.index(best)
    low, high = 0.0, math.inf
    for left, right in pairwise(points[: here + 1]):
        if above(left) < 0 <= above(right):
            low = _between(climber, above, left, right).tau
    for left, right in pairwise(points[here:]):
        if above(left) >= 0 > above(right):
            high = _between(climber, above, left, right).tau
            break
    return Interval(low, high)


def standard_errors(found: Search) -> tuple[float, float]:
    """Return the standard errors of the effect and of τ² from the observed information.

    Parameters
    ----------
    found : Search
        A finished fit.

    Returns
    -------
    tuple of float
        At τ = 0 the first one is that of the common effect, and the second NaN.

    Examples
    --------
    >>> from functools import partial
    >>> from retroevidence.meta.counts.glmm_kernels import Binomial
    >>> two = Binomial(np.array([10.0, 10]), np.array([20.0, 20]), np.zeros(2))
    >>> se, _ = standard_errors(search(partial(climb, two), two.start(), 0.95))
    >>> round(se, 4), round(math.sqrt(1 / 10), 4)
    (0.3162, 0.3162)
    """
    best = found.best
    if best.tau == 0:
        return math.sqrt(1 / float(best.information[0, 0])), NAN
    covariance = np.linalg.inv(best.information)
    return math.sqrt(covariance[0, 0]), 2 * best.tau * math.sqrt(covariance[1, 1])
