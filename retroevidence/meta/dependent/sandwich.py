"""The sandwich: what cluster-robust covariances and their degrees of freedom are made of.

It sums over clusters j, with working covariance Phi_j (the model's own), weights ``Phi_j⁻¹``,
``B = (X'Phi⁻¹X)⁻¹`` and residuals e_j:
``V = B (sum_j X_j'Phi_j⁻¹ A_j e_j e_j' A_j Phi_j⁻¹ X_j) B``. CR0 takes A_j = 1. CR2 chooses the
symmetric A_j with ``A_j (Phi_j - X_j B X_j') A_j = Phi_j``, which makes V unbiased when the working
covariance is right (Bell & McCaffrey 2002; Pustejovsky & Tipton 2018,
doi 10.1080/07350015.2016.1247004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import PoolError
from retroevidence.meta.dependent.blocks import Blocks, Layout, by_size
from retroevidence.meta.dependent.large_clusters import adjust_large
from retroevidence.meta.result import Pooled

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

#: Beyond this many effects a cluster's adjustment is an integral instead of a matrix root, if its
#: covariance is a diagonal plus no more than so many vectors.
LARGE = 24
MANY = 24

#: What to do with results that are no weighted mean or line of effects.
INSTEAD = {
    "PooledCounts": "it weighs counts; make effects with effect_sizes and pool those",
    "PooledGLMM": "it weighs counts; make effects with effect_sizes and pool those",
    "PooledBayes": "its interval comes from a prior; pool the same effects",
    "LocationScale": "its variances differ between studies; pool the same effects",
    "Subgroups": "give one of its groups, such as found.groups['a'], or pool with mods='~ C(by)'",
}


@dataclass(frozen=True, eq=False)
class LinearFit:
    """What a sandwich needs of a fitted model: effects, design, covariance and coefficients.

    Attributes
    ----------
    y, x : numpy.ndarray, shapes (n,) and (p, n)
        Effects and design, sorted by block.
    blocks : Blocks
        Covariance of the effects under the model.
    beta, covariance : numpy.ndarray, shapes (p,) and (p, p)
        Coefficients and ``(X'Phi⁻¹X)⁻¹``.
    names : tuple of str
        Names of the coefficients.
    frame : pandas.DataFrame
        The rows that entered, as the user gave them.
    order : numpy.ndarray of int
        Position in `frame` of each sorted row.
    level : float
        Confidence of intervals.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> LinearFit.of(pool(yi=[0.1, 0.4], vi=[0.1, 0.1])).names
    ('intercept',)
    """

    y: Floats
    x: Floats
    blocks: Blocks
    beta: Floats
    covariance: Floats
    names: tuple[str, ...]
    frame: pd.DataFrame
    order: Ints
    level: float

    @classmethod
    def of(cls, pooled: Any) -> LinearFit:
        """Return the linear fit behind any pooled result."""
        if not isinstance(pooled, Pooled):
            linear = getattr(pooled, "linear", None)
            if isinstance(linear, cls):
                return linear
            name = type(pooled).__name__
            raise PoolError(
                f"robust: a {name} is not what pool, pool_multilevel or pool_multivariate return; "
                f"{INSTEAD.get(name, 'give one of these')}."
            )
        fit = pooled.fit
        k = len(fit.yi)
        blocks = Blocks(Layout(np.arange(k), k), fit.vi + fit.tau2, np.zeros((0, k)), np.zeros(0))
        x = np.ascontiguousarray(fit.x.T)
        covariance = np.asarray(np.linalg.inv((x / blocks.diagonal) @ x.T), dtype=float)
        return cls(
            fit.yi, x, blocks, fit.beta, covariance, fit.design.names, fit.frame, np.arange(k),
            pooled.level,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Parts:
    """Sums over clusters from which every degree of freedom follows.

    With g_j the weights that turn residuals of cluster j into its share of the coefficients
    (CR2 included), ``own[j] = g_j' Phi_j g_j`` and ``held[j] = X_j' g_j``, the covariance of the
    shares of clusters i and j under the working model is
    ``1(i = j) own[j] - held[i]' B held[j]`` (Pustejovsky & Tipton 2018).

    Examples
    --------
    >>> parts = Parts(np.ones((2, 1, 1)), np.full((2, 1, 1), 0.5), np.ones((1, 1)))
    >>> round(parts.hotelling_df([0]), 3)
    1.8
    """

    own: Floats
    held: Floats
    covariance: Floats

    def satterthwaite(self) -> Floats:
        """Degrees of freedom of each coefficient's robust variance."""
        b = self.covariance
        own = np.einsum("jcc->jc", self.own)
        lost = np.einsum("jac,ab,jbc->jc", self.held, b, self.held)
        total = np.einsum("jac,jbc->cab", self.held, self.held)
        product = b @ total
        square = (own**2 - 2 * own * lost).sum(axis=0) + np.einsum("cab,cba->c", product, product)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((own - lost).sum(axis=0) ** 2 / square)

    def hotelling_df(self, at: list[int]) -> float:
        """Degrees of freedom of the robust covariance of the coefficients `at`, as a Wishart."""
        b = self.covariance
        own, held = self.own[:, at][:, :, at], self.held[:, :, at]
        lost = np.einsum("jas,ab,jbt->jst", held, b, held)
        # What the robust covariance is expected to be: b itself, unless the design fits a
        # direction of some cluster exactly.
        values, vectors = np.linalg.eigh((own - lost).sum(axis=0))
        root = vectors / np.sqrt(values) @ vectors.T
        own, held, lost = root @ own @ root, held @ root, root @ lost @ root
        # sum over clusters i, j and coordinates s, t of P_ss P_tt + P_st P_ts, with P_st of
        # clusters i and j = 1(i = j) own_st - held_s' B held_t.
        straight = np.einsum("jss,jtt->", own, own) - 2 * np.einsum("jss,jtt->", own, lost)
        crossed = np.einsum("jst,jst->", own, own) - 2 * np.einsum("jst,jst->", own, lost)
        between = np.einsum("ab,jbs,jct->acst", b, held, held)
        straight += np.einsum("acst,cats->", between, between)
        crossed += np.einsum("acst,cast->", between, between)
        q = len(at)
        return float(q * (q + 1) / (straight + crossed))


def sandwich(
    linear: LinearFit, codes: Ints, count: int, *, corrected: bool
) -> tuple[Floats, Parts]:
    """Return the robust covariance of the coefficients, and what its degrees of freedom need.

    Parameters
    ----------
    linear : LinearFit
        The model.
    codes : numpy.ndarray of int, shape (n,)
        Cluster of each sorted row, from 0.
    count : int
        Number of clusters.
    corrected : bool
        CR2, else CR0.

    Returns
    -------
    covariance : numpy.ndarray, shape (p, p)
        Of the coefficients.
    parts : Parts
        Sums over clusters.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> linear = LinearFit.of(pool(yi=[0.0, 2.0], vi=[1.0, 1.0]))
    >>> sandwich(linear, np.array([0, 1]), 2, corrected=True)[0].round(9).tolist()
    [[1.0]]
    """
    n, p = len(linear.y), len(linear.names)
    b = linear.covariance
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(count))
    residual = linear.y - linear.beta @ linear.x
    weighted = b @ linear.blocks.solve(linear.x)
    shares = np.empty((count, p))
    own, held = np.empty((count, p, p)), np.empty((count, p, p))
    for which, places in by_size(starts, n):
        rows = order[places]
        x = np.moveaxis(linear.x[:, rows], 0, -1)
        g = np.moveaxis(weighted[:, rows], 0, -1)
        if corrected:
            g = _adjusted(linear.blocks, rows, x, b, g)
        across = np.swapaxes(g, -1, -2)
        shares[which] = (across @ residual[rows][..., None])[..., 0]
        held[which] = np.swapaxes(x, -1, -2) @ g
        own[which] = across @ linear.blocks.multiply_part(rows, g)
    return shares.T @ shares, Parts(own, held, b)


def _adjusted(blocks: Blocks, rows: Ints, x: Floats, b: Floats, g: Floats) -> Floats:
    """Return ``A g`` for clusters of one size, rows (c, m)."""
    if rows.shape[1] <= LARGE:
        return _by_matrix(blocks.dense(rows), x, b, g)
    vectors, scales = blocks.part(rows)
    if len(scales) > MANY:
        reliable, found = np.zeros(len(rows), dtype=bool), g.copy()
    else:
        found, reliable = adjust_large(blocks.diagonal[rows], vectors, scales, x, b, g)
    for i in np.flatnonzero(~reliable):
        some = slice(i, i + 1)
        found[some] = _by_matrix(blocks.dense(rows[some]), x[some], b, g[some])
    return found


def _by_matrix(phi: Floats, x: Floats, b: Floats, g: Floats) -> Floats:
    """Return ``A g`` with the symmetric A of ``A (Phi - X B X') A = Phi``, for stacks (b, m, m).

    ``A = L (L'(Phi - X B X')L)^(-1/2) L'`` for ``Phi = L L'``. Directions that the design fits
    exactly (no residual is left in them) are dropped.
    """
    if phi.shape[-1] == 1:
        left = phi - x @ b @ np.swapaxes(x, -1, -2)
        keeps = left > 1e-10 * phi
        return np.where(keeps, np.sqrt(phi / np.where(keeps, left, 1.0)), 0.0) * g
    lower = np.linalg.cholesky(phi)
    upper = np.swapaxes(lower, -1, -2)
    diagonal = np.einsum("bii->bi", phi)
    if diagonal.max() < 1e3 * diagonal.min():
        left = phi - x @ b @ np.swapaxes(x, -1, -2)
        values, vectors = np.linalg.eigh(upper @ left @ lower)
        smallest = 10 * np.finfo(float).eps * phi.shape[-1] * values[:, -1:]
        roots = np.where(values > smallest, 1 / np.sqrt(np.maximum(values, smallest)), 0.0)
        axes = np.swapaxes(vectors, -1, -2)
    else:
        # Variances far apart: eigenvalues of the product go with their squares and drown. Singular
        # values of its factor go with the variances themselves.
        inside = np.linalg.solve(lower, x)
        shares, turned = np.linalg.eigh(
            np.eye(phi.shape[-1]) - inside @ b @ np.swapaxes(inside, -1, -2)
        )
        shares = np.where(shares > 1e-10, shares, 0.0)
        factor = np.sqrt(shares)[..., None] * (np.swapaxes(turned, -1, -2) @ (upper @ lower))
        _, values, axes = np.linalg.svd(factor)
        kept = np.arange(phi.shape[-1]) < (shares > 0).sum(axis=-1, keepdims=True)
        roots = np.where(kept, 1 / np.where(kept, values, 1.0), 0.0)
    return np.asarray(
        lower @ (np.swapaxes(axes, -1, -2) @ (roots[..., None] * (axes @ (upper @ g))))
    )
