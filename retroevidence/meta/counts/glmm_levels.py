"""Maximum likelihood for two groups of counts whose base levels vary normally between studies.

The marginal likelihood of study i is the integral over z and w of
``L_i(θ + τ z, α + σ w) φ(z) φ(w)``. For fixed τ and σ its logarithm is concave in θ and α, and the
sign of σ does not matter.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from retroevidence.errors import PoolError
from retroevidence.meta.counts.glmm_fit import Moments, Profile
from retroevidence.meta.counts.glmm_grid import Curve, nodes_of, peak_of
from retroevidence.meta.counts.glmm_kernels import Bools, Terms, TwoBinomials, TwoPoissons

Floats = NDArray[np.float64]


class RandomLevels:
    """Two groups of counts whose base levels are one normal population.

    The "base" of `glmm_fit.Climb` is here the pair of their mean and standard deviation.

    Examples
    --------
    >>> from retroevidence.meta.counts.tables import Counts
    >>> two = TwoBinomials(Counts(*np.array([[3.0, 4], [20, 20], [2, 9], [20, 20]]), None))
    >>> RandomLevels(two).start().round(2).tolist()
    [-1.28, 0.53]
    """

    def __init__(self, kernel: TwoBinomials | TwoPoissons) -> None:
        self.kernel, self.k = kernel, kernel.k

    def start(self) -> Floats:
        """Return mean and standard deviation of the base levels to start from."""
        levels = self.kernel.start()
        return np.array([levels.mean(), levels.std()])

    def climb(self, tau: float, effect: float, base: Floats) -> Profile:
        """Maximise the log-likelihood over the effect and the base levels at one τ.

        Where the standard deviation of the base levels has several maxima, the highest of those
        that are reached from `base` and, at τ = 0, from a small and a large one.
        """
        effects = np.array([effect])
        found = [_climb(self.kernel, tau, effects, base)]
        if tau == 0:
            for sigma in (0.05, 1.5):
                found.append(_climb(self.kernel, tau, effects, np.array([base[0], sigma])))
        effects, base, now = max(found, key=lambda one: float(one[2].value.sum()))
        h = now.hessian.sum(axis=2)
        rest = [2, 3] if base[1] > 0 else [2]
        cross = h[:2, rest]
        information = -h[:2, :2] + cross @ np.linalg.solve(h[np.ix_(rest, rest)], cross.T)
        slope = h[1, 1] if tau == 0 else float(now.gradient[1].sum()) / tau
        value = float(now.value.sum())
        return Profile(
            tau, value, float(effects[0]), base, float(slope), information, now.posterior
        )

    def saturated(self) -> float:
        """Return the log-likelihood when every study has its own effect."""
        _, _, now = _climb(self.kernel, 0.0, np.zeros(self.k), self.start())
        return float(now.value.sum())

    def edges(self) -> tuple[Bools, Bools]:
        """Return for all studies whether they rise with an effect towards -∞, and towards ∞.

        One base level for all: only a group without an event, or with nothing else, in every
        study carries the effect away.
        """
        c = self.kernel.counts
        full = isinstance(self.kernel, TwoBinomials)
        low = np.all(c.x1 == 0) or (full and np.all(c.x2 == c.n2))
        high = np.all(c.x2 == 0) or (full and np.all(c.x1 == c.n1))
        return np.full(self.k, low), np.full(self.k, high)


def integrate_levels(
    kernel: TwoBinomials | TwoPoissons, effect: Floats, tau: float, base: Floats
) -> Moments:
    """Integrate each study's likelihood over its own effect and its own base level.

    Parameters
    ----------
    kernel : TwoBinomials or TwoPoissons
        The likelihood of k studies.
    effect : numpy.ndarray, shape (1,) or (k,)
        Mean of the effects, one for all or one per study.
    tau : float
        Standard deviation of the effects.
    base : numpy.ndarray, shape (2,)
        Mean and standard deviation of the base levels.

    Returns
    -------
    Moments
        value, shape (k,); gradient, shape (4, k); hessian, shape (4, 4, k); posterior, (2, k), of
        the effects. Parameters in the order effect, tau, mean and SD of the base levels.

    Notes
    -----
    Points over w as far as the highest integrand at w reaches, and at each of them points over z
    around its own peak (see `glmm_grid`). More points change a log-likelihood by about 1e-12.

    Examples
    --------
    >>> from retroevidence.meta.counts.tables import Counts
    >>> one = TwoBinomials(Counts(*np.array([[1.0], [2], [1], [2]]), None))
    >>> found = integrate_levels(one, np.zeros(1), 1.0, np.array([0.0, 0.5]))
    >>> round(float(found.value[0]), 6)
    -1.600366
    """
    alpha, sigma = base
    theta = effect[:, None]

    def along_z(w: Floats) -> Curve:
        def curve(z: Floats) -> tuple[Floats, Floats, Floats]:
            found = kernel.terms(theta + tau * z, alpha + sigma * w)
            return (
                found.value - z**2 / 2,
                tau * found.effect - z,
                tau**2 * found.effect2 - 1,
            )

        return curve

    def along_w(w: Floats) -> tuple[Floats, Floats, Floats]:
        # The highest integrand at w: by the envelope its slope is the partial one.
        z, height, _ = peak_of(along_z(w), np.zeros((kernel.k, w.shape[1])))
        found = kernel.terms(theta + tau * z, alpha + sigma * w)
        across = tau * sigma * found.mixed
        bend = sigma**2 * found.base2 - 1 - across**2 / (tau**2 * found.effect2 - 1)
        # It is -1 at most; far out, rounding may say otherwise.
        return height - w**2 / 2, sigma * found.base - w, np.fmin(bend, -1.0)

    # Where one group holds its level, the other moves by twice the base level.
    w = nodes_of(along_w, np.zeros((kernel.k, 1)), 2 * sigma)[:, 0]
    z = nodes_of(along_z(w), np.zeros_like(w), tau / 2)
    shape = (kernel.k, -1)
    step_w, step_z = w[:, 1] - w[:, 0], z[:, :, 1] - z[:, :, 0]
    columns = z.shape[2]
    area = np.repeat(step_w[:, None] * step_z, columns, axis=1)
    w, z = np.repeat(w, columns, axis=1), z.reshape(shape)
    found = kernel.terms(theta + tau * z, alpha + sigma * w)
    exponent = found.value - (z**2 + w**2) / 2
    height = exponent.max(axis=1, keepdims=True)
    mass = np.exp(exponent - height) * area
    total = mass.sum(axis=1, keepdims=True)
    # A step of a climb may go so far that an integral is lost; it is 0, and the step turned back.
    with np.errstate(divide="ignore", invalid="ignore"):
        mass /= total
        value = height + np.log(total / (2 * math.pi))
    return _moments(found, z, w, mass, value[:, 0])


def _moments(found: Terms, z: Floats, w: Floats, mass: Floats, value: Floats) -> Moments:
    """Average slopes and bends over the integrand: what Fisher's and Louis's identities need."""
    slopes = np.stack([found.effect, z * found.effect, found.base, w * found.base], axis=1)
    gradient = (slopes @ mass[:, :, None])[:, :, 0]
    centred = slopes - gradient[:, :, None]
    hessian = (centred * mass[:, None]) @ centred.transpose(0, 2, 1)
    powers = np.stack([np.ones_like(z), z, w, z**2, w**2, z * w], axis=2)
    effect2, base2, mixed = (
        ((mass * part)[:, None] @ powers)[:, 0].T
        for part in (found.effect2, found.base2, found.mixed)
    )
    bends = np.array(
        [
            [effect2[0], effect2[1], mixed[0], mixed[2]],
            [effect2[1], effect2[3], mixed[1], mixed[5]],
            [mixed[0], mixed[1], base2[0], base2[2]],
            [mixed[2], mixed[5], base2[2], base2[4]],
        ]
    )
    mean = (mass * z).sum(axis=1)
    deviation = np.sqrt((mass * (z - mean[:, None]) ** 2).sum(axis=1))
    hessian = bends + hessian.transpose(1, 2, 0)
    return Moments(value, gradient.T, hessian, np.stack([mean, deviation]))


def _climb(
    kernel: TwoBinomials | TwoPoissons, tau: float, effects: Floats, base: Floats
) -> tuple[Floats, Floats, Moments]:
    """Maximise over one effect, or one per study, and over both parameters of the base levels."""
    x, sigma = np.append(effects, base[0]), float(base[1])
    m = len(effects)

    def at(x: Floats, sigma: float) -> Moments:
        return integrate_levels(kernel, x[:m], tau, np.array([x[m], sigma]))

    now, enough = at(x, sigma), max(1e-10, kernel.rounding)
    for _ in range(200):
        slope, bend, slope_sigma, cross, bend_sigma = _derivatives(now, m)
        to_x, to_cross = np.linalg.solve(-bend, np.stack([slope, cross], axis=1)).T
        # Slope and bend along σ where x follows; at σ = 0 the slope is 0 and only the bend tells.
        slope_sigma, bend_sigma = slope_sigma + cross @ to_x, bend_sigma + cross @ to_cross
        if sigma == 0:
            aside = 0.05 if bend_sigma > 0 else 0.0
            gain = float(slope @ to_x) + bend_sigma * aside**2 / 2
        else:
            aside = -slope_sigma / bend_sigma if bend_sigma < 0 else math.copysign(9.0, slope_sigma)
            aside = float(np.clip(aside, -0.9 * sigma, 2 * sigma))
            gain = float(slope @ to_x) + slope_sigma * aside
        along = to_x + to_cross * aside
        total, share = float(now.value.sum()), 1.0
        last = gain < enough
        for _ in range(60):
            then = at(x + share * along, sigma + share * aside)
            risen = float(then.value.sum()) - total
            if last or risen >= 1e-4 * share * gain - enough / 2:
                break
            share /= 2
        x, sigma, now = x + share * along, sigma + share * aside, then
        if 0 < sigma < 1e-3:
            flat = at(x, 0.0)
            if flat.hessian[3, 3].sum() <= 0:
                sigma, now, last = 0.0, flat, False
        if last:
            return x[:m], np.array([x[m], sigma]), now
    raise PoolError(
        "the likelihood of these counts was not climbed in 200 steps; "
        "check the counts, or use pool_counts."
    )


def _derivatives(now: Moments, m: int) -> tuple[Floats, Floats, float, Floats, float]:
    """Return slope and bend in effects and mean level, then slope, mixed and bend for their SD."""
    g, h = now.gradient, now.hessian
    if m == 1:
        both = [0, 2]
        slope, bend, cross = g[both].sum(1), h[np.ix_(both, both)].sum(2), h[both, 3].sum(1)
    else:
        bend = np.diag(np.append(h[0, 0], h[2, 2].sum()))
        bend[m, :m] = bend[:m, m] = h[0, 2]
        slope, cross = np.append(g[0], g[2].sum()), np.append(h[0, 3], h[2, 3].sum())
    return slope, bend, float(g[3].sum()), cross, float(h[3, 3].sum())
