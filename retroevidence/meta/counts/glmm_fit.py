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
from retroevidence.meta.counts.glmm_kernels import Kernel
from retroevidence.meta.interval import NAN, Interval

Floats = NDArray[np.float64]

#: An integrand is followed until it has fallen to e^-38 of its peak.
DROP = 38.0
#: Its logarithm bends at least as much as -z²/2, so beyond this distance it has fallen that far.
REACH = math.sqrt(2 * DROP)
#: Fewest points of an integral, and the widest step on the scale of the effect. A step of 0.3
#: leaves an error of about e^-33 for functions without singularities nearer than π/2.
POINTS, STEP = 49, 0.3
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
    Trapezoidal rule on equally spaced points between the places where the integrand has fallen to
    e^-38, which for smooth functions that vanish at both ends converges exponentially (Trefethen &
    Weideman 2014, doi 10.1137/130932132); the points move with each study's own peak.

    Examples
    --------
    >>> from retroevidence.meta.counts.glmm_kernels import Binomial
    >>> one = Binomial(np.array([1.0]), np.array([2.0]), np.zeros(1))
    >>> round(float(integrate(one, 0.0, 1.0, np.zeros(1)).value[0]), 6)
    -0.883722
    """
    column = base[:, None]
    peak, height, spread = _peak(kernel, effect, tau, column)
    low, high = _ends(kernel, effect, tau, column, peak, height, spread)
    widest = float((tau * (high - low)).max())
    points = max(POINTS, math.ceil(widest / STEP) + 1)
    z = low + (high - low) * np.linspace(0.0, 1.0, points)
    found = kernel.terms(effect + tau * z, column)
    mass = np.exp(found.value - z**2 / 2 - height)
    total = mass.sum(axis=1, keepdims=True)
    width = (high - low)[:, 0] / (points - 1)
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


def _peak(
    kernel: Kernel, effect: float, tau: float, column: Floats
) -> tuple[Floats, Floats, Floats]:
    """Find where each integrand is highest, by Newton steps inside a bracket."""
    z = np.zeros_like(column)
    reach: Floats | None = None
    for _ in range(200):
        found = kernel.terms(effect + tau * z, column)
        slope, bend = tau * found.effect - z, tau**2 * found.effect2 - 1
        if reach is None:
            # The slope falls by at least 1 per unit of z, so the peak is not farther than this.
            reach = np.abs(slope)
            left, right = -reach, reach
        left, right = np.where(slope >= 0, z, left), np.where(slope <= 0, z, right)
        step = z - slope / bend
        step = np.where((step > left) & (step < right), step, (left + right) / 2)
        # A peak that is found to a hundredth of its width serves as the middle of the points.
        if np.all(np.abs(step - z) * np.sqrt(-bend) < 0.01):
            break
        z = step
    return z, found.value - z**2 / 2, 1 / np.sqrt(-bend)


def _ends(
    kernel: Kernel,
    effect: float,
    tau: float,
    column: Floats,
    peak: Floats,
    height: Floats,
    spread: Floats,
) -> tuple[Floats, Floats]:
    """Return where each integrand has fallen far enough, on both sides."""
    reach = np.repeat(np.fmin(REACH, REACH * spread), 2, axis=1)
    side = np.array([[-1.0, 1.0]])
    for _ in range(40):
        z = peak + side * reach
        fallen = height - kernel.terms(effect + tau * z, column).value + z**2 / 2
        short = (fallen < DROP) & (reach < REACH + 1)
        if not short.any():
            break
        reach = np.where(short, 1.4 * reach, reach)
    return peak - reach[:, :1], peak + reach[:, 1:]


@dataclass(frozen=True)
class Profile:
    """The highest log-likelihood at one τ, and where it is.

    Examples
    --------
    >>> Profile(0.5, -1.0, 0.0, np.zeros(1), None).tau
    0.5
    """

    tau: float
    value: float
    effect: float
    base: Floats
    moments: Moments

    @property
    def slope(self) -> float:
        """Derivative of the profile by τ, over τ; its limit where τ is 0."""
        if self.tau == 0:
            # There the second derivative by τ is what the first one over τ tends to.
            return float(self.moments.hessian[1, 1].sum())
        return float(self.moments.gradient[1].sum()) / self.tau

    def information(self, *, with_tau: bool) -> Floats:
        """Return minus the curvature in effect (and τ), base levels taken out."""
        h = self.moments.hessian
        kept = [0, 1] if with_tau else [0]
        whole = h[np.ix_(kept, kept)].sum(axis=2)
        if np.all(h[2, 2] == 0):
            return np.asarray(-whole)
        cross = h[kept, 2]
        return np.asarray(-whole + (cross / h[2, 2]) @ cross.T)


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
        # Twice what a quadratic would still gain: a log-likelihood has no unit, so no scale.
        gain = float(g[0].sum()) * along + float((g[2] * aside).sum())
        total, share = float(now.value.sum()), 1.0
        last = gain < 1e-10
        for _ in range(60):
            try_effect, try_base = effect + share * along, base + share * aside
            then = integrate(kernel, try_effect, tau, try_base)
            risen = float(then.value.sum()) - total
            if last or risen >= 1e-4 * share * gain:
                break
            share /= 2
        effect, base, now = try_effect, try_base, then
        if last:
            return Profile(tau, float(now.value.sum()), effect, base, now)
    raise PoolError(
        "the likelihood of these counts was not climbed in 200 steps; "
        "check the counts, or use pool_counts."
    )


@dataclass(frozen=True)
class Search:
    """The maximum over τ, the one at τ = 0, limits for τ, and whether τ ran into its bound.

    Examples
    --------
    >>> Search(None, None, Interval(0.0, 1.0), False).rising
    False
    """

    best: Profile
    common: Profile
    tau_ci: Interval
    rising: bool


def search(kernel: Kernel, level: float) -> Search:
    """Maximise the likelihood over τ as well, and find its profile limits.

    Parameters
    ----------
    kernel : Kernel
        The likelihood of at least two studies.
    level : float
        Confidence of the limits.

    Returns
    -------
    Search
        Maximum, common-effect maximum, limits of τ.

    Examples
    --------
    >>> from retroevidence.meta.counts.glmm_kernels import Binomial
    >>> two = Binomial(np.array([1.0, 19]), np.array([20.0, 20]), np.zeros(2))
    >>> round(search(two, 0.95).best.tau, 3)
    3.186
    """
    common = climb(kernel, 0.0, 0.0, kernel.start())
    grid = [common]
    for tau in MOST * 2.0 ** np.arange(-10, 1):
        grid.append(climb(kernel, float(tau), grid[-1].effect, grid[-1].base))
    peaks = [common] if common.slope <= 0 else []
    for left, right in pairwise(grid):
        if left.slope > 0 >= right.slope:
            peaks.append(_between(kernel, lambda point: point.slope, left, right))
    rising = grid[-1].slope > 0
    if rising:
        peaks.append(grid[-1])
    best = max(peaks, key=lambda point: point.value)
    return Search(best, common, _limits(kernel, grid, best, level), rising and best is grid[-1])


def _between(
    kernel: Kernel, height: Callable[[Profile], float], left: Profile, right: Profile
) -> Profile:
    """Return the profile whose `height` is 0 between two of opposite signs."""
    known = {left.tau: left, right.tau: right}

    def at(tau: float) -> float:
        if tau not in known:
            near = min(known.values(), key=lambda point: abs(point.tau - tau))
            known[tau] = climb(kernel, tau, near.effect, near.base)
        return height(known[tau])

    tau = float(brentq(at, left.tau, right.tau, xtol=1e-14 * right.tau, rtol=1e-13))
    at(tau)
    return known[tau]


def _limits(kernel: Kernel, grid: list[Profile], best: Profile, level: float) -> Interval:
    """Return where the profile of τ has fallen by half a quantile of chi-squared (1 df)."""
    floor = best.value - float(chdtri(1, 1 - level)) / 2

    def above(point: Profile) -> float:
        return point.value - floor

    points = sorted([*grid, best], key=lambda point: point.tau)
    here = points.index(best)
    low, high = 0.0, math.inf
    for left, right in pairwise(points[: here + 1]):
        if above(left) < 0 <= above(right):
            low = _between(kernel, above, left, right).tau
    for left, right in pairwise(points[here:]):
        if above(left) >= 0 > above(right):
            high = _between(kernel, above, left, right).tau
            break
    return Interval(low, high)


def standard_errors(search: Search) -> tuple[float, float]:
    """Return the standard errors of the effect and of τ² from the observed information.

    Parameters
    ----------
    search : Search
        A finished fit.

    Returns
    -------
    tuple of float
        At τ = 0 the first one is that of the common effect, and the second NaN.

    Examples
    --------
    >>> from retroevidence.meta.counts.glmm_kernels import Binomial
    >>> two = Binomial(np.array([10.0, 10]), np.array([20.0, 20]), np.zeros(2))
    >>> found = standard_errors(globals()["search"](two, 0.95))
    >>> round(found[0], 4), round(math.sqrt(1 / 10), 4)
    (0.3162, 0.3162)
    """
    best = search.best
    if best.tau == 0:
        return math.sqrt(1 / float(best.information(with_tau=False)[0, 0])), NAN
    covariance = np.linalg.inv(best.information(with_tau=True))
    return math.sqrt(covariance[0, 0]), 2 * best.tau * math.sqrt(covariance[1, 1])
