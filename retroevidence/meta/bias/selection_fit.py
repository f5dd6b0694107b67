"""Maximising the likelihood of a selection model, and profiling it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retroevidence.meta.bias.selection_likelihood import MOST, Smooth, Weight, density
from retroevidence.meta.interval import Interval

Floats = NDArray[np.float64]
#: A loss with its gradient and Hessian.
Found = tuple[float, Floats, Floats]

#: Beyond e^±this the weight of an interval of p counts as 0 or without limit.
_FAR = 18.0
#: Newton steps after the damped ones, which stop where the loss falls no further, not at the last
#: digit.
_POLISH = 20
#: How often a limit is carried on along a higher ridge.
_RIDGES = 5
#: Damped steps, and attempts to damp one until the loss falls.
_STEPS, _TRIES = 300, 40


@dataclass(frozen=True)
class Peak:
    """A maximum: the free coordinates, the log likelihood, and whether the search had settled.

    Examples
    --------
    >>> Peak(np.zeros(2), -3.0, True).loglik
    -3.0
    """

    at: Floats
    loglik: float
    settled: bool


@dataclass
class Model:
    """A selection model in coordinates without bounds.

    The coordinates are the coefficients, t with tau² = t² (so that tau² = 0 is an ordinary point),
    and for each weight parameter its logarithm, or t with delta = t² where 0 means no selection.

    Parameters
    ----------
    y, v : numpy.ndarray, shape (k,)
        Effects and variances in a unit in which variances are about 1.
    x : numpy.ndarray, shape (k, p)
        Design.
    weight : Weight
        The weight function.
    logs : bool
        Whether weight parameters are held as logarithms.
    fixed : dict of int to float
        Coordinates that are held.

    Examples
    --------
    >>> from retroevidence.meta.bias.selection_likelihood import Steps
    >>> y, v = np.array([1.0, 2.5, 0.1]), np.ones(3)
    >>> model = Model(y, v, np.ones((3, 1)), Steps(y, v, (0.025,), False), True)
    >>> model.size
    3
    """

    y: Floats
    v: Floats
    x: Floats
    weight: Weight
    logs: bool
    fixed: dict[int, float] = field(default_factory=dict)

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return int(self.x.shape[1])

    @property
    def most(self) -> float:
        """Largest coordinate of a weight parameter, on either side of 0."""
        if not isinstance(self.weight, Smooth):
            return _FAR
        return math.log(MOST) if self.logs else math.sqrt(MOST)

    @property
    def size(self) -> int:
        """Number of coordinates, held ones included."""
        return self.p + 1 + self.weight.size

    def natural(self, at: Floats) -> Floats:
        """Return coefficients, tau² and weight parameters at the coordinates `at`."""
        out = np.array(at, dtype=float)
        out[self.p] = at[self.p] ** 2
        rest = at[self.p + 1 :]
        out[self.p + 1 :] = np.exp(rest) if self.logs else rest**2
        return out

    def coordinates(self, natural: Floats) -> Floats:
        """Return the coordinates of natural parameters, the inverse of `natural`."""
        out = np.array(natural, dtype=float)
        out[self.p] = math.sqrt(natural[self.p])
        rest = natural[self.p + 1 :]
        out[self.p + 1 :] = np.log(rest) if self.logs else np.sqrt(rest)
        return out

    def parts(self, natural: Floats) -> tuple[float, Floats, Floats]:
        """Return the log likelihood, its gradient and Hessian in natural parameters."""
        p = self.p
        mean, tau2, delta = self.x @ natural[:p], float(natural[p]), natural[p + 1 :]
        plain = density(self.y, self.v, mean, tau2, self.weight.size)
        tilt = self.weight(mean, tau2, delta)
        value = float(plain.value.sum() + tilt.value.sum())
        if not math.isfinite(value):
            size = self.size
            return -math.inf, np.zeros(size), np.zeros((size, size))
        each, bends = plain.gradient + tilt.gradient, plain.hessian + tilt.hessian
        gradient = np.concatenate([self.x.T @ each[:, 0], each[:, 1:].sum(axis=0)])
        hessian = np.empty((self.size, self.size))
        hessian[:p, :p] = self.x.T @ (bends[:, :1, 0] * self.x)
        hessian[:p, p:] = self.x.T @ bends[:, 0, 1:]
        hessian[p:, :p] = hessian[:p, p:].T
        hessian[p:, p:] = bends[:, 1:, 1:].sum(axis=0)
        return value, gradient, hessian

    def loss(self, at: Floats) -> tuple[float, Floats, Floats]:
        """Return minus the log likelihood, its gradient and Hessian in coordinates."""
        natural = self.natural(at)
        value, gradient, hessian = self.parts(natural)
        turn, curve = np.ones(self.size), np.zeros(self.size)
        p = self.p
        turn[p], curve[p] = 2 * at[p], 2.0
        if self.logs:
            turn[p + 1 :] = curve[p + 1 :] = natural[p + 1 :]
        else:
            turn[p + 1 :], curve[p + 1 :] = 2 * at[p + 1 :], 2.0
        bent = hessian * turn[:, None] * turn[None, :] + np.diag(gradient * curve)
        return -value, -gradient * turn, -bent

    def climb(self, start: Floats, fixed: dict[int, float] | None = None) -> Peak:
        """Search the maximum near `start`, with some coordinates held."""
        held = self.fixed | (fixed or {})
        whole = np.array(start, dtype=float)
        for i, value in held.items():
            whole[i] = value
        free = np.array([i for i in range(self.size) if i not in held])
        if not len(free):
            return Peak(whole, -self.loss(whole)[0], True)
        memory: dict[bytes, Found] = {}

        def at(part: Floats) -> Found:
            key = part.tobytes()
            if key not in memory:
                memory.clear()
                full = whole.copy()
                full[free] = part
                value, gradient, hessian = self.loss(full)
                memory[key] = value, gradient[free], hessian[np.ix_(free, free)]
            return memory[key]

        begun = at(whole[free])[0]
        if not math.isfinite(begun):
            return Peak(whole, -math.inf, False)
        ends = np.where(free > self.p, self.most, np.inf)
        best = _downhill(at, whole[free], ends)
        low = at(best)[0]
        for _ in range(_POLISH):
            value, gradient, hessian = at(best)
            try:
                step = np.linalg.solve(hessian, gradient)
            except np.linalg.LinAlgError:
                break
            new = best - step
            if (np.abs(new) > ends).any():
                break
            value_new = at(new)[0]
            if not value_new <= value + 1e-12 * abs(value) or np.abs(step).max() > 1:
                break
            best, low = new, min(value, value_new)
            if np.abs(step).max() <= 1e-13 * (1 + np.abs(best).max()):
                break
        whole[free] = best
        return Peak(whole, -low, _settled(*at(best)))

    def at_end(self, at: Floats) -> dict[int, float]:
        """Return the weight coordinates that lie at an end of the range that is searched."""
        first = self.p + 1
        return {
            i: math.copysign(self.most, at[i])
            for i in range(first, self.size)
            if i not in self.fixed and abs(at[i]) > 0.98 * self.most
        }

    def _limit(self, which: int, side: float, start: float, step: float) -> float:
        """Return where the search for a limit ends: a weight of 0 or without limit, or far away."""
        if which < self.p:
            return start + side * 1e3 * step
        if which == self.p or not self.logs:
            return 0.0 if side < 0 else self.most
        return side * self.most

    def profile(
        self, best: Peak, which: int, drop: float, step: float, starts: list[Floats]
    ) -> tuple[Interval, Peak]:
        """Return the coordinates at which the profile lies `drop` below its maximum.

        Parameters
        ----------
        best : Peak
            The maximum.
        which : int
            The coordinate.
        drop : float
            Half of the critical value of chi-squared.
        step : float
            A first guess of the distance.
        starts : list of numpy.ndarray
            Where else to search at a limit; if that leads higher, the limit lies further out.

        Returns
        -------
        Interval, Peak
            Limits, infinite where the profile never falls so far, and the highest point met on the
            way, which a careful caller compares with `best`.
        """
        top = best
        ends = []
        for side in (-1.0, 1.0):
            # Each point is searched once, from the nearest one: asked again it answers the same.
            known = {float(best.at[which]): best}

            def fallen(value: float, known: dict[float, Peak] = known) -> float:
                nonlocal top
                if value not in known:
                    near = known[min(known, key=lambda seen: abs(seen - value))].at
                    # Near tau = 0 a higher ridge with differences between studies is easily missed.
                    apart = near.copy()
                    apart[self.p] = 1.0
                    climbed = [self.climb(start, {which: value}) for start in (near, apart)]
                    known[value] = max(climbed, key=lambda peak: peak.loglik)
                peak = known[value]
                top = max(top, peak, key=lambda peak: peak.loglik)
                return best.loglik - peak.loglik - drop

            limit = self._limit(which, side, float(best.at[which]), step)
            found = _crossing(fallen, float(best.at[which]), limit, side * step)
            for _ in range(_RIDGES):
                if math.isinf(found):
                    break
                others = [self.climb(start, {which: found}) for start in starts]
                higher = max(others, key=lambda peak: peak.loglik)
                top = max(top, higher, key=lambda peak: peak.loglik)
                if higher.loglik <= best.loglik - drop + 1e-6:
                    break
                # Points further out may lie on the lower ridge too: they are searched again.
                for value in [value for value in known if (value - found) * side >= 0]:
                    del known[value]
                known[found] = higher
                found = _crossing(fallen, found, limit, side * step)
            ends.append(found)
        return Interval(*ends), top


def _downhill(at: Callable[[Floats], Found], start: Floats, ends: Floats) -> Floats:
    """Minimise by Newton steps, damped as far as needed for the loss to fall, within `ends`.

    The steps are those of Levenberg and Marquardt in units of each coordinate's own curvature,
    which differ by 10^12 where one study has nearly all the weight; negative curvatures count as
    positive ones.
    """
    here, damping = start, 0.1
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
        for _ in range(_TRIES):
            step = -(axes @ (slopes / np.fmax(np.abs(bends) + damping, 1e-12))) / unit
            # A flat direction must not carry the search out of sight at once.
            step *= min(1.0, float(np.min((3 + np.abs(here)) / np.fmax(np.abs(step), 1e-300))))
            new: Floats = np.clip(here + step, -ends, ends)
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
    return here


def _settled(value: float, gradient: Floats, hessian: Floats) -> bool:
    """Tell whether the gradient is 0, or a Newton step would gain nothing that can be seen."""
    if np.abs(gradient).max() <= 1e-5 * max(1.0, abs(value)):
        return True
    try:
        np.linalg.cholesky(hessian)
    except np.linalg.LinAlgError:
        return False
    return float(gradient @ np.linalg.solve(hessian, gradient)) <= 1e-9 * max(1.0, abs(value))


def _crossing(fallen: Callable[[float], float], start: float, limit: float, step: float) -> float:
    """Return where `fallen` turns positive on the way to `limit`; an infinity if it never does."""
    from scipy.optimize import brentq

    side = math.copysign(1.0, step)
    near, reach = start, step
    while True:
        far = start + reach
        outside = (far - limit) * side >= 0
        far = limit if outside else far
        if fallen(far) > 0:
            break
        if outside:
            return side * math.inf
        near, reach = far, 1.6 * reach
    # Far below the digits a user can read, and above the noise of the inner search.
    root: float = brentq(fallen, near, far, xtol=1e-11 * abs(step), rtol=8.9e-16, maxiter=200)
    return root
