"""The normal likelihood of clustered effects: its value, slope and curvature.

The covariance of the effects is linear in the unknown variances, ``M = M_0 + sum_k theta_k M_k``,
and M_k is either the identity (effects vary within clusters) or ``U E_k U'`` with U cut at the
clusters (clusters, or outcomes within them, vary). With ``P = M⁻¹ - M⁻¹ X (X'M⁻¹X)⁻¹ X'M⁻¹`` the
slope of the restricted log likelihood is ``(y'P M_k P y - tr(P M_k)) / 2`` and its curvature
``tr(P M_k P M_l) / 2 - y'P M_k P M_l P y`` (Harville 1977, doi 10.1080/01621459.1977.10480998).
All of it costs time linear in the effects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retroevidence.meta.dependent.blocks import Blocks, Split, products

Floats = NDArray[np.float64]


class _Turned(NamedTuple):
    """Solved and turned vectors at one value of the variances."""

    covariance: Floats
    w: Floats
    r: Floats
    solved: Floats
    inside: Floats
    turned_w: list[Floats]
    turned_r: list[Floats]
    across: list[Floats]


@dataclass(frozen=True, eq=False)
class Point:
    """The likelihood at one value of the variances.

    Parameters
    ----------
    blocks : Blocks
        Covariance of the effects there.
    columns : numpy.ndarray, shape (p + 1, n)
        An orthonormal basis of the design, and the effects.
    directions : sequence
        For each variance its matrix E_k, or None for the identity.
    vectors : numpy.ndarray, shape (r, n)
        The U of the E_k.
    restricted : bool
        REML, else ML.

    Examples
    --------
    >>> from retroevidence.meta.dependent.blocks import Layout
    >>> layout = Layout(np.array([0, 1]), 2)
    >>> blocks = Blocks(layout, np.ones(2), np.zeros((0, 2)), np.zeros(0))
    >>> columns = np.array([[0.5**0.5, 0.5**0.5], [0.0, 2.0]])
    >>> point = Point(blocks, columns, [None], np.zeros((0, 2)), True)
    >>> round(point.rss, 12)
    2.0
    """

    blocks: Blocks
    columns: Floats
    directions: Sequence[Floats | None]
    vectors: Floats
    restricted: bool

    @property
    def x(self) -> Floats:
        """The basis of the design, shape (p, n)."""
        return self.columns[:-1]

    @cached_property
    def _fitted(self) -> tuple[Floats, Floats, Floats, float]:
        blocks, p = self.blocks, len(self.x)
        parts = blocks.split(self.columns)
        gram = blocks.inner(parts, parts)
        beta = np.asarray(np.linalg.solve(gram[:p, :p], gram[:p, p]), dtype=float)
        # Splitting is linear, so the parts of the residual are those of the effects less those of
        # the line: they are small where the residual is small.
        less = np.append(-beta, 1.0)[None, :]
        rest = Split(
            tuple(np.einsum("ab,bj->aj", less, share) for share in parts.shares),
            np.einsum("ab,bn->an", less, parts.rest),
        )
        residual = np.einsum("ab,bn->an", less, self.columns)[0]
        return gram[:p, :p], beta, residual, float(blocks.inner(rest, rest)[0, 0])

    @property
    def information(self) -> Floats:
        """``X'M⁻¹X`` of the basis."""
        return self._fitted[0]

    @property
    def beta(self) -> Floats:
        """Coefficients of the basis."""
        return self._fitted[1]

    @property
    def residual(self) -> Floats:
        """Effects minus fitted values."""
        return self._fitted[2]

    @property
    def rss(self) -> float:
        """Weighted residual sum of squares."""
        return self._fitted[3]

    @cached_property
    def log_likelihood(self) -> float:
        """(Restricted) log likelihood with its constants; minus infinity where not defined."""
        p, n = self.x.shape
        determinant = self.blocks.log_determinant
        if not math.isfinite(determinant):
            return -math.inf
        value = -determinant - self.rss - (n - p * self.restricted) * math.log(2 * math.pi)
        if self.restricted:
            # The basis is orthonormal, so the usual term log det X'X is 0.
            value -= float(np.linalg.slogdet(self.information)[1])
        return float(0.5 * value)

    def _turn(self, direction: Floats | None, values: Floats) -> Floats:
        """Return M_k x for vectors x of shape (..., n)."""
        if direction is None:
            return values
        blocks = self.blocks
        held = blocks.layout.sums(values[..., None, :] * self.vectors)
        turned = np.einsum("ab,...bj->...aj", direction, held)
        return np.asarray((blocks.layout.spread(turned) * self.vectors).sum(axis=-2))

    @cached_property
    def _turned(self) -> _Turned:
        """What the slope and the curvature share."""
        blocks = self.blocks
        w, r = blocks.solve(self.x), blocks.solve(self.residual)[None, :]
        solved = blocks.solve(self.vectors)
        inside = blocks.layout.sums(self.vectors[:, None, :] * solved[None, :, :])
        turned_w = [self._turn(e, w) for e in self.directions]
        turned_r = [self._turn(e, r) for e in self.directions]
        across = [products(w, t) for t in turned_w]
        covariance = np.asarray(np.linalg.inv(self.information), dtype=float)
        return _Turned(covariance, w, r, solved, inside, turned_w, turned_r, across)

    @cached_property
    def slope(self) -> Floats:
        """Derivative of the log likelihood in each variance."""
        blocks, at = self.blocks, self._turned
        slope = np.empty(len(self.directions))
        for k, e in enumerate(self.directions):
            trace = (
                float(blocks.inverse_diagonal.sum())
                if e is None
                else float(np.einsum("ab,baj->", e, at.inside))
            )
            if self.restricted:
                trace -= float(np.trace(at.covariance @ at.across[k]))
            slope[k] = 0.5 * (float(products(at.r, at.turned_r[k])[0, 0]) - trace)
        return slope

    @cached_property
    def _second(self) -> tuple[Floats, Floats]:
        """Curvature and expected information of the variances."""
        blocks, at, among = self.blocks, self._turned, range(len(self.directions))
        covariance, across = at.covariance, at.across
        twice = products(at.solved, at.solved)
        solved_w = [blocks.solve(t) for t in at.turned_w]
        solved_r = [blocks.solve(t) for t in at.turned_r]
        along = [products(at.w, t) for t in at.turned_r]
        curvature, expected = np.empty((2, len(among), len(among)))
        for k in among:
            for m in range(k + 1):
                both = _trace_of_two(
                    self.directions[k], self.directions[m], at.inside, twice, blocks
                )
                if self.restricted:
                    within = products(at.turned_w[k], solved_w[m])
                    both -= 2 * float(np.trace(covariance @ within))
                    both += float(np.trace(covariance @ across[k] @ covariance @ across[m]))
                quadratic = products(at.turned_r[k], solved_r[m])
                quadratic = quadratic - along[k].T @ covariance @ along[m]
                expected[k, m] = expected[m, k] = both / 2
                curvature[k, m] = curvature[m, k] = both / 2 - float(quadratic[0, 0])
        return curvature, expected

    @property
    def curvature(self) -> Floats:
        """Second derivatives of the log likelihood in the variances."""
        return self._second[0]

    @property
    def expected(self) -> Floats:
        """Expected information of the variances."""
        return self._second[1]


def _trace_of_two(
    one: Floats | None, other: Floats | None, inside: Floats, twice: Floats, blocks: Blocks
) -> float:
    """Return tr(M⁻¹ M_k M⁻¹ M_l)."""
    if one is None:
        if other is None:
            return blocks.inverse_square_trace
        return float(np.sum(twice * other))
    if other is None:
        return float(np.sum(twice * one))
    return float(np.einsum("abj,bc,cdj,da->", inside, one, inside, other, optimize=True))


@dataclass(frozen=True, eq=False)
class Likelihood:
    """The likelihood as a function of the variances.

    Parameters
    ----------
    base : Blocks
        Covariance of the sampling errors.
    columns : numpy.ndarray, shape (p + 1, n)
        An orthonormal basis of the design, and the effects, sorted by cluster.
    vectors : numpy.ndarray, shape (r, n)
        U: what varies between clusters (ones for their mean, indicators of outcomes).
    directions : tuple
        For each variance its matrix E_k, or None for the identity.
    restricted : bool
        REML, else ML.

    Examples
    --------
    >>> from retroevidence.meta.dependent.blocks import Layout
    >>> base = Blocks(Layout(np.array([0, 1]), 2), np.ones(2), np.zeros((0, 2)), np.zeros(0))
    >>> columns = np.array([[0.5**0.5, 0.5**0.5], [0.0, 2.0]])
    >>> likelihood = Likelihood(base, columns, np.ones((1, 2)), (np.eye(1),), True)
    >>> round(likelihood(np.array([1.0])).rss, 12)
    1.0
    """

    base: Blocks
    columns: Floats
    vectors: Floats
    directions: tuple[Floats | None, ...]
    restricted: bool

    def __call__(self, theta: Floats) -> Point:
        """Return the likelihood at one value of the variances."""
        base, vectors = self.base, self.vectors
        between = np.zeros((len(vectors), len(vectors)))
        diagonal = base.diagonal
        for value, direction in zip(theta, self.directions, strict=True):
            if direction is None:
                diagonal = diagonal + value
            else:
                between += value * direction
        if len(between) == 1:
            scales, turned = between[0], vectors
        else:
            scales, axes = np.linalg.eigh(between)
            turned = axes.T @ vectors
        blocks = Blocks(
            base.layout,
            diagonal,
            np.concatenate([base.vectors, turned]),
            np.concatenate([base.scales, scales]),
        )
        return Point(blocks, self.columns, self.directions, vectors, self.restricted)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of effects, and of coefficients."""
        return self.columns.shape[1], len(self.columns) - 1

    @property
    def scale(self) -> float:
        """A variance that none of the unknown ones is likely to exceed by much."""
        n, p = self.shape
        x, y = self.columns[:-1], self.columns[-1]
        residual = y - products(products(y[None, :], x), x.T)[0]
        mean_square = float((residual**2).sum()) / max(n - p, 1)
        # Effects that agree exactly leave only rounding, which is no scale.
        return max(2 * mean_square, 1e-3 * float(np.median(self.base.diagonal)))
