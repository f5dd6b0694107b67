"""Maximising the likelihood of a selection model, and profiling it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retroevidence.meta.bias.selection_descent import (
    Found,
    crossing,
    downhill,
    evenly,
    settled,
)
from retroevidence.meta.bias.selection_likelihood import MOST, Smooth, Weight, density
from retroevidence.meta.interval import Interval

Floats = NDArray[np.float64]

#: Beyond e^±this the weight of an interval of p counts as 0 or without limit.
_FAR = 18.0
#: Newton steps after the damped ones, which stop where the loss falls no further, not at the last
#: digit.
_POLISH = 20
#: How often a limit is carried on along a higher ridge.
_RIDGES = 5
#: A look around: points at most, rows of studies at most, starts that are taken, how far these lie
#: apart in a unit cube, and the range of tau (the upper end in units of the scale).
_POINTS, _ROWS, _LOOKS, _APART = 512, 6000, 9, 0.25
_LOW_TAU, _HIGH_TAU = 0.05, 16.0


@dataclass(frozen=True)
class Peak:
    """A maximum: its coordinates, the log likelihood, and whether the search had settled.

    With them the gradient and Hessian of the loss there, in all coordinates.

    Examples
    --------
    >>> Peak(np.zeros(2), -3.0, True, np.zeros(2), np.eye(2)).loglik
    -3.0
    """

    at: Floats
    loglik: float
    settled: bool
    gradient: Floats
    hessian: Floats


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

    def climb(
        self,
        start: Floats,
        fixed: dict[int, float] | None = None,
        *,
        damping: float = 0.1,
        beat: float = math.inf,
    ) -> Peak:
        """Search the maximum near `start`, with some coordinates held.

        Parameters
        ----------
        start : numpy.ndarray
            Where to begin.
        fixed : dict of int to float, optional
            Coordinates that are held.
        damping : float
            How carefully the first step is taken; little near a maximum.
        beat : float
            A log likelihood. A search that slows down on it, or well below, is broken off.

        Returns
        -------
        Peak
            The maximum.
        """
        goal = -beat if math.isfinite(beat) else math.inf
        held = self.fixed | (fixed or {})
        whole = np.array(start, dtype=float)
        for i, value in held.items():
            whole[i] = value
        free = np.array([i for i in range(self.size) if i not in held])
        if not len(free):
            loss, *derivatives = self.loss(whole)
            return Peak(whole, -loss, True, *derivatives)
        memory: dict[bytes, Found] = {}

        def at(part: Floats) -> Found:
            key = part.tobytes()
            if key not in memory:
                if len(memory) > 1:
                    del memory[next(iter(memory))]
                full = whole.copy()
                full[free] = part
                memory[key] = self.loss(full)
            value, gradient, hessian = memory[key]
            return value, gradient[free], hessian[np.ix_(free, free)]

        begun = at(whole[free])[0]
        if not math.isfinite(begun):
            size = self.size
            return Peak(whole, -math.inf, False, np.zeros(size), np.zeros((size, size)))
        ends = np.where(free > self.p, self.most, np.inf)
        best = downhill(at, whole[free], ends, damping, goal)
        low = at(best)[0]
        for _ in range(_POLISH if low < goal - 1e-7 else 0):
            value, gradient, hessian = at(best)
            try:
                step = np.linalg.solve(hessian, gradient)
            except np.linalg.LinAlgError:
                break
            new = best - step
            if (np.abs(new) > ends).any() or np.abs(step).max() > 1:
                break
            value_new = at(new)[0]
            if not value_new <= value + 1e-12 * abs(value):
                break
            best, low = new, min(value, value_new)
            if np.abs(step).max() <= 1e-10 * (1 + np.abs(best).max()):
                break
        whole[free] = best
        calm = settled(*at(best))
        _, gradient, hessian = memory[best.tobytes()]
        return Peak(whole, -low, calm, gradient, hessian)

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

    def look_around(
        self, centre: Floats, scale: float, fixed: dict[int, float] | None = None
    ) -> list[Floats]:
        """Return promising starts for a search, out of points spread over what is conceivable.

        The points fill a box evenly: tau from 0 to far above `scale`, means by some tau away from
        `centre`, weights over most of their range. The highest are taken that lie well apart.

        Parameters
        ----------
        centre : numpy.ndarray
            The middle of the box.
        scale : float
            How far effects, and what is held, lie from `centre`.
        fixed : dict of int to float, optional
            Coordinates that are held.

        Returns
        -------
        list of numpy.ndarray
            At most `_LOOKS` starts; none where studies are so many that the look costs too much.
        """
        held = self.fixed | (fixed or {})
        count = min(_POINTS, _ROWS // len(self.y))
        # More weights have more ridges.
        free = sum(i not in self.fixed for i in range(self.p + 1, self.size))
        looks = min(3 + 3 * free, _LOOKS)
        if count < 2 * _LOOKS or all(i in held for i in range(self.size)):
            return []
        p = self.p
        cube = evenly(count, self.size)
        tau = _LOW_TAU * (_HIGH_TAU * scale / _LOW_TAU) ** cube[:, p]
        tau[cube[:, p] < 0.15] = 1e-3
        if p in held:
            tau[:] = held[p]
        points = np.tile(centre, (count, 1))
        apart = 8 * (cube[:, 0] - 0.5) ** 3 + 0.2 * (cube[:, 0] - 0.5)
        points[:, 0] += 4 * apart * np.hypot(scale, tau)
        # Every other point lies as near to the weighted mean of its tau as that is precise: without
        # tau the precise studies decide, and a peak there is as narrow as they are.
        precision = 1 / (self.v + tau[::2, None] ** 2)
        bread = np.linalg.inv(np.einsum("nk,ki,kj->nij", precision, self.x, self.x))
        points[::2, :p] = np.einsum("nij,nk,kj->ni", bread, precision * self.y, self.x)
        points[::2, 0] += 8 * apart[::2] * np.sqrt(bread[:, 0, 0])
        points[:, p] = tau
        far = min(self.most, 6.0) if self.logs else self.most
        weights = cube[:, p + 1 :]
        points[:, p + 1 :] = far * (2 * weights - 1) if self.logs else far * weights**2
        for i, value in held.items():
            points[:, i] = value
            cube[:, i] = 0.0
        with np.errstate(all="ignore"):
            high = self._heights(points)
        chosen: list[int] = []
        for i in np.argsort(-np.where(np.isfinite(high), high, -np.inf)):
            if all(np.abs(cube[i] - cube[j]).max() > _APART for j in chosen):
                chosen.append(int(i))
            if len(chosen) == looks:
                break
        return [points[i] for i in chosen]

    def _heights(self, points: Floats) -> Floats:
        """Return rough log likelihoods at coordinates of shape (n, size)."""
        p = self.p
        out = []
        # Few at a time, so that what is computed stays in the processor's cache.
        for some in np.array_split(points, max(1, len(points) * len(self.y) // 300)):
            mean, tau2, rest = some[:, :p] @ self.x.T, some[:, p : p + 1] ** 2, some[:, p + 1 :]
            s = self.v + tau2
            plain = -0.5 * (np.log(2 * np.pi * s) + (self.y - mean) ** 2 / s).sum(axis=1)
            delta = np.exp(rest) if self.logs else rest**2
            out.append(plain + self.weight.heights(mean, tau2, delta))
        return np.concatenate(out)

    def _along(self, near: Peak, which: int, value: float) -> Floats:
        """Return where the ridge through `near` leads to first order as one coordinate moves."""
        start = near.at.copy()
        start[which] = value
        others = [
            i for i in range(self.size)
            if i != which and i not in self.fixed
            and (i <= self.p or abs(near.at[i]) < self.most)
        ]  # fmt: skip
        if not others:
            return start
        bend = near.hessian[np.ix_(others, others)]
        try:
            np.linalg.cholesky(bend)
        except np.linalg.LinAlgError:
            return start
        move = -np.linalg.solve(bend, near.hessian[others, which]) * (value - near.at[which])
        if not (np.abs(move) <= 1 + np.abs(near.at[others])).all():
            return start
        start[others] += move
        start[self.p + 1 :] = np.clip(start[self.p + 1 :], -self.most, self.most)
        return start

    def profile(
        self, best: Peak, which: int, drop: float, step: float, starts: list[Floats]
    ) -> tuple[Interval, Peak]:
        """Return the coordinates at which the profile lies `drop` below its maximum.

        The ridge is followed from the maximum. Where it has fallen far enough, the whole space of
        the other coordinates is looked over; if that leads higher, the limit lies further out, and
        the higher ridge is followed.

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
            Where else to search at a limit; ridges that are met are added to it.

        Returns
        -------
        Interval, Peak
            Limits, infinite where the profile never falls so far, and the highest point met on the
            way, which a careful caller compares with `best`.
        """
        top = best
        ends = []
        middle = float(best.at[which])
        for side in (-1.0, 1.0):
            # Each point is searched once, from the nearest one: asked again it answers the same.
            known = {middle: best}

            def fallen(value: float, known: dict[float, Peak] = known) -> tuple[float, float]:
                nonlocal top
                if value not in known:
                    near = known[min(known, key=lambda seen: abs(seen - value))]
                    start = self._along(near, which, value)
                    known[value] = self.climb(start, {which: value}, damping=1e-6)
                peak = known[value]
                top = max(top, peak, key=lambda peak: peak.loglik)
                return best.loglik - peak.loglik - drop, float(peak.gradient[which])

            limit = self._limit(which, side, middle, step)
            found = crossing(fallen, middle, limit, side * step, drop)
            for _ in range(_RIDGES):
                if math.isinf(found):
                    break
                higher = self.highest(known.get(found, best), starts, {which: found})
                top = max(top, higher, key=lambda peak: peak.loglik)
                if higher.loglik <= best.loglik - drop + 1e-6:
                    break
                starts.append(higher.at)
                # Points further out may lie on the lower ridge too: they are searched again.
                for value in [value for value in known if (value - found) * side >= 0]:
                    del known[value]
                known[found] = higher
                found = crossing(fallen, found, limit, side * step, drop, middle)
            ends.append(found)
        return Interval(*ends), top

    def highest(self, near: Peak, starts: list[Floats], fixed: dict[int, float]) -> Peak:
        """Return the highest maximum with some coordinates held, from `starts` and a look around.

        Parameters
        ----------
        near : Peak
            A maximum known nearby.
        starts : list of numpy.ndarray
            Where to search from.
        fixed : dict of int to float
            What is held.

        Returns
        -------
        Peak
            The highest one.
        """
        away = max((abs(near.at[i] - value) for i, value in fixed.items() if i < self.p), default=0)
        rest = self.y - self.x @ near.at[: self.p]
        scale = 1.0 + away + float(np.abs(rest).max())
        top = self.climb(near.at, fixed, damping=1e-3)
        # Near tau = 0 a higher ridge with differences between studies is easily missed.
        apart = near.at.copy()
        apart[self.p] = 1.0
        for start in (apart, *starts, *self.look_around(near.at, scale, fixed)):
            peak = self.climb(start, fixed, beat=top.loglik)
            # A search that was broken off is not at its maximum.
            top = peak if peak.loglik > top.loglik + 1e-7 else top
        return top
