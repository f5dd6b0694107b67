"""Covariance matrices of clustered effects, and their inverse in time linear in the effects.

Every model of dependent effects here has one block per cluster, ``diag(d) + sum_k c_k u_k u_k'``:
a diagonal plus a few vectors. A rank-one update of an inverse costs as much as reading the block
(Sherman & Morrison 1950, doi 10.1214/aoms/1177729893), so no block is ever written out, and no
matrix of all effects exists.

Arrays keep the effects on their last axis, sorted by cluster: sums over clusters then run over
contiguous memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def by_size(starts: Ints, n: int, most: int = 2_000_000) -> Iterator[tuple[Ints, Ints]]:
    """Yield clusters of one size together, as many at once as fit in `most` matrix entries.

    Parameters
    ----------
    starts : numpy.ndarray of int
        First row of each cluster.
    n : int
        Number of rows.
    most : int
        Largest number of entries ``b * m * m``.

    Yields
    ------
    which, rows : numpy.ndarray of int, shapes (b,) and (b, m)
        The clusters and their rows.

    Examples
    --------
    >>> [rows.tolist() for _, rows in by_size(np.array([0, 1, 3]), 5)]
    [[[0]], [[1, 2], [3, 4]]]
    """
    sizes = np.diff(starts, append=n)
    for size in np.unique(sizes):
        which = np.flatnonzero(sizes == size)
        step = max(1, most // int(size) ** 2)
        for first in range(0, len(which), step):
            some = which[first : first + step]
            yield some, starts[some][:, None] + np.arange(size)


def products(one: Floats, other: Floats) -> Floats:
    """Return ``a b'`` for a few long vectors a (p, n) and b (q, n).

    Parameters
    ----------
    one, other : numpy.ndarray, shapes (p, n) and (q, n)
        The vectors.

    Returns
    -------
    numpy.ndarray, shape (p, q)
        Their inner products. A threaded matrix product would wait longer than it works.

    Examples
    --------
    >>> products(np.ones((1, 3)), np.ones((2, 3))).tolist()
    [[3.0, 3.0]]
    """
    return np.asarray(np.einsum("an,bn->ab", one, other))


class Split(NamedTuple):
    """Vectors taken apart along the directions of a block, and what is left of them.

    Sums of squares of the parts never cancel, however far the variances lie apart.

    Examples
    --------
    >>> Split((np.zeros(1),), np.ones(2)).rest.tolist()
    [1.0, 1.0]
    """

    shares: tuple[Floats, ...]
    rest: Floats


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the blocks of sorted rows start and end; shared by all covariances of one data set.

    Examples
    --------
    >>> Layout(np.array([0, 2]), 3).member.tolist()
    [0, 0, 1]
    """

    starts: Ints
    rows: int

    @cached_property
    def sizes(self) -> Ints:
        """Rows of each block."""
        return np.diff(self.starts, append=self.rows)

    @cached_property
    def member(self) -> Ints:
        """Block of each row."""
        return np.repeat(np.arange(len(self.starts)), self.sizes)

    @cached_property
    def alone(self) -> NDArray[np.bool_]:
        """Which blocks have one row."""
        return np.asarray(self.sizes == 1)

    @cached_property
    def single(self) -> Ints:
        """Rows that are a block by themselves."""
        return self.starts[self.alone]

    def sums(self, values: Floats) -> Floats:
        """Sum values of shape (..., n) over each block, to shape (..., J)."""
        return np.asarray(np.add.reduceat(values, self.starts, axis=-1))

    def spread(self, values: Floats) -> Floats:
        """Repeat values of shape (..., J) over the rows of each block."""
        return np.asarray(values.take(self.member, axis=-1))


@dataclass(frozen=True, eq=False)
class Blocks:
    """A block-diagonal covariance ``diag(d) + sum_k c_k u_k u_k'``, with u_k cut at the blocks.

    Parameters
    ----------
    layout : Layout
        The blocks; rows are sorted by block, and no block is empty.
    diagonal : numpy.ndarray, shape (n,)
        d, above 0.
    vectors : numpy.ndarray, shape (r, n)
        The u_k.
    scales : numpy.ndarray, shape (r,)
        The c_k.

    Examples
    --------
    >>> one = Blocks(Layout(np.array([0]), 2), np.ones(2), np.ones((1, 2)), np.array([0.5]))
    >>> one.solve(np.array([1.0, 0.0])).tolist()
    [0.75, -0.25]
    """

    layout: Layout
    diagonal: Floats
    vectors: Floats
    scales: Floats

    @cached_property
    def _steps(self) -> list[tuple[Floats, Floats, Floats]]:
        """For each u_k: itself, z = M_k⁻¹ u_k with the updates before it, and u_k' z per block."""
        steps: list[tuple[Floats, Floats, Floats]] = []
        for vector in self.vectors:
            z = self._solve(vector, steps)
            steps.append((vector, z, self.layout.sums(vector * z)))
        return steps

    def split(self, values: Floats) -> Split:
        """Take vectors of shape (..., n) apart for `inner`."""
        return self._split(values, self._steps)

    def _split(self, values: Floats, steps: list[tuple[Floats, Floats, Floats]]) -> Split:
        shares = []
        for vector, z, length in reversed(steps):
            share = self.layout.sums(values * z)
            share = share / np.where(length > 0, length, 1.0)
            values = values - vector * self.layout.spread(share)
            shares.append(share)
            if len(self.layout.single):
                # A single row lies along its own vector: what rounding leaves of it, divided by
                # a tiny variance, would not be tiny.
                on = self.layout.single[vector[self.layout.single] != 0]
                values[..., on] = 0.0
        return Split(tuple(shares[::-1]), values)

    def inner(self, one: Split, other: Split) -> Floats:
        """Return ``a' M⁻¹ b`` for vectors a (p, n) and b (q, n) taken apart."""
        value = products(one.rest / self.diagonal, other.rest)
        for a, b, scale, (_, _, length) in zip(
            one.shares, other.shares, self.scales, self._steps, strict=True
        ):
            value = value + products(a * (length / (1 + scale * length)), b)
        return np.asarray(value)

    def solve(self, values: Floats) -> Floats:
        """Return ``M⁻¹ x`` for vectors x of shape (..., n)."""
        return self._solve(values, self._steps)

    def _solve(self, values: Floats, steps: list[tuple[Floats, Floats, Floats]]) -> Floats:
        parts = self._split(values, steps)
        solved = parts.rest / self.diagonal
        for share, scale, (_, z, length) in zip(
            parts.shares, self.scales[: len(steps)], steps, strict=True
        ):
            solved = solved + z * self.layout.spread(share / (1 + scale * length))
        return np.asarray(solved)

    def multiply(self, values: Floats) -> Floats:
        """Return ``M x`` for vectors x of shape (..., n)."""
        product = values * self.diagonal
        for vector, scale in zip(self.vectors, self.scales, strict=True):
            product = product + scale * vector * self.layout.spread(
                self.layout.sums(vector * values)
            )
        return np.asarray(product)

    @cached_property
    def log_determinant(self) -> float:
        """Logarithm of the determinant; NaN when a block is not positive definite."""
        growth = [
            1 + scale * length
            for scale, (_, _, length) in zip(self.scales, self._steps, strict=True)
        ]
        if any((g <= 0).any() for g in growth):
            return float("nan")
        return float(np.log(self.diagonal).sum() + sum(np.log(g).sum() for g in growth))

    @cached_property
    def _single_inverse(self) -> Floats:
        on = self.layout.single
        return np.asarray(1 / (self.diagonal[on] + self.scales @ self.vectors[:, on] ** 2))

    @cached_property
    def inverse_diagonal(self) -> Floats:
        """Diagonal of the inverse, shape (n,)."""
        inverse = 1 / self.diagonal
        for scale, (_, z, length) in zip(self.scales, self._steps, strict=True):
            inverse = inverse - z**2 * self.layout.spread(scale / (1 + scale * length))
        inverse[self.layout.single] = self._single_inverse
        return np.asarray(inverse)

    @cached_property
    def inverse_square_trace(self) -> float:
        """Trace of the squared inverse."""
        total = self.layout.sums(self.diagonal**-2.0)
        steps = [
            (z, scale / (1 + scale * length))
            for scale, (_, z, length) in zip(self.scales, self._steps, strict=True)
        ]
        for i, (z, weight) in enumerate(steps):
            total = total - 2 * weight * self.layout.sums(z**2 / self.diagonal)
            for j, (other, its) in enumerate(steps[: i + 1]):
                total = total + (2 - (i == j)) * weight * its * self.layout.sums(z * other) ** 2
        total[self.layout.alone] = self._single_inverse**2
        return float(total.sum())

    def part(self, rows: Ints) -> tuple[Floats, Floats]:
        """Return U (c, m, s) and scales (s,) of sets of rows (c, m).

        Rows of several blocks in one set need a vector for each; all sets get as many as the set
        with most blocks.
        """
        member = self.layout.member[rows]
        vectors = np.moveaxis(self.vectors[:, rows], 0, -1)
        if (member == member[:, :1]).all():
            return vectors, self.scales
        # Number the blocks within each set: rows of one block stand together.
        local = np.cumsum(np.diff(member, axis=1, prepend=member[:, :1]) != 0, axis=1)
        mine = (local[..., None] == np.arange(local.max() + 1)).astype(float)
        apart = vectors[..., :, None] * mine[..., None, :]
        return apart.reshape(*rows.shape, -1), np.repeat(self.scales, mine.shape[-1])

    def multiply_part(self, rows: Ints, values: Floats) -> Floats:
        """Return ``M x`` for sets of rows (c, m) that hold whole blocks, x of shape (c, m, p)."""
        product = self.diagonal[rows][..., None] * values
        member = self.layout.member[rows]
        if not len(self.scales):
            return np.asarray(product)
        if (member != member[:, :1]).any():
            return np.asarray(self.dense(rows) @ values)
        vectors = np.moveaxis(self.vectors[:, rows], 0, -1)
        held = np.einsum("cmr,cmp->crp", vectors, values)
        return np.asarray(product + vectors @ (self.scales[:, None] * held))

    def dense(self, rows: Ints) -> Floats:
        """Return the covariance of each set of rows, (b, m) to (b, m, m)."""
        vectors = np.moveaxis(self.vectors[:, rows], 0, -1)
        low_rank = (vectors * self.scales) @ np.swapaxes(vectors, -1, -2)
        member = self.layout.member[rows]
        matrix = np.where(member[:, :, None] == member[:, None, :], low_rank, 0.0)
        places = np.arange(rows.shape[1])
        matrix[:, places, places] += self.diagonal[rows]
        return np.asarray(matrix)
